// Package bmc is a virtual baseboard management controller: an IPMI 2.0 server over RMCP+ for a virtual machine.
//
// It speaks cipher suites 3 and 17, keeps all boot flags with the rules of the specification (valid bit, next
// boot only, the 60 s after which a real BMC forgets), and has power control, NMI, identification, sensors, GUID
// and, if the caller gives it a console, serial over LAN. The protocol is the server side of
// github.com/bougou/go-ipmi; the commands that concern the machine are handled here, because the library's own
// handlers lose the NMI and a part of the boot options, and reset the machine when asked to reset the BMC.
//
// Faults makes a server misbehave: lost datagrams, delay, garbage, refused sessions. It is for tests.
//
// # Concurrency
//
// All methods of Server may be called from any goroutine. Methods of the caller's Chassis are called one at a
// time. Close waits for the read loop and for Chassis calls in progress, whose context it ends first.
package bmc
