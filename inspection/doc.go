// Package inspection makes of a machine's inventory what is worth keeping of it: Ironic's inspection hooks, run in the order that the
// configuration gives. A hook changes copies only (Facts); whoever calls writes them down. So processing may be repeated.
//
// # Concurrency
//
// A Processor may be used by several goroutines; Facts belong to one.
package inspection
