// Package clean holds the agent's cleaning steps: erasing the metadata of disks or all of their content.
//
// Disks that are on the node's skip list, removable, or protected (shared file systems) are not touched.
//
// # Concurrency
//
// A Cleaner works on several disks at once, in goroutines that end before its methods return.
package clean
