// Package pid1 is what the first process of a machine must do: mount the kernel's file systems, write logs to the
// consoles, set the clock, and end the machine's life in one way for every cause.
//
// # Concurrency
//
// A Console may be used from many goroutines; it owns one goroutine per terminal, which Close ends. The functions are
// called from main's goroutine.
package pid1
