// Package links brings up every network link and configures it: by DHCPv4 on all links at once, or from the kernel's
// ip= parameter. IPv6 addresses come from the kernel by router advertisements.
//
// # Concurrency
//
// A Manager runs one goroutine per link; all end when the context of Start does, and Wait waits for them. Its methods
// may be called from many goroutines.
package links
