// Package ipmi controls a machine through its baseboard management controller (BMC) with IPMI 2.0 over RMCP+,
// in plain Go: no program is started for a command.
//
// A Pool owns all BMCs. Pool.BMC gives a handle on one of them; its methods are the operations: power, boot
// device, sensors, identity, raw commands.
//
//	pool := ipmi.NewPool(ipmi.Options{})
//	defer pool.Close()
//	info, err := ipmi.ParseInfo(node.DriverInfo)
//	on, err := pool.BMC(info).PowerStatus(ctx)
//
// The wire protocol is written here and not taken from the go-ipmi library's client, for reasons that were
// measured: that client decrypts a packet before checking who sent it, does so in a goroutine that nobody can
// recover, and panics when the payload is shorter than a cipher block, so that one forged datagram ends the
// whole process; it never verifies the integrity code of a reply; and each session starts a keep-alive
// goroutine that races with the caller's commands. Here a reply is authenticated before a byte of it is used.
// (The library's server side is what lab/bmc is built on, so client and server prove each other.)
//
// References in comments are to the "Intelligent Platform Management Interface Specification, Second
// Generation, v2.0, revision 1.1".
//
// # Concurrency
//
// Pool and BMC may be used from any number of goroutines. Commands to one BMC run one after the other, the
// interactive ones before the periodic ones, in a goroutine that lives only while there is work; commands to
// different BMCs never wait for each other. An idle BMC costs a map entry and, until Options.SessionIdle has
// passed, a socket. The pool has one goroutine of its own, which closes idle sessions. Pool.Close stops all of
// them and waits.
package ipmi
