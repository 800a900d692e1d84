// Package rescue is what the ramdisk turns into when a node is rescued: a login on the machine's consoles and by SSH for who knows the rescue
// password, with a shell that has all rights. Users are "rescue" and "root".
//
// # Concurrency
//
// Run owns every goroutine that it starts and ends them with its context.
package rescue
