// Command demo shows Ferric at work, from nothing to a login and back: it builds the deploy ramdisk and a Debian image,
// sets up two virtual servers (one BIOS, one UEFI, each with OpenIPMI's BMC simulator), starts `ferric serve`, and
// drives it with the stock `openstack baremetal` client: enrol, inspect, clean, deploy, log in, undeploy.
//
//	go run ./demo            after `make build`, as root, at the top of the source tree; `make demo` does all of it
//	go run ./demo --stop     the same, and stop everything at the end
//	go run ./demo --down     only remove what earlier runs left
//
// Every command that it runs is printed as it would be typed. On a terminal one line per server is rewritten while
// something is under way; elsewhere a line is printed whenever something changes.
//
// All state is in one directory (--dir, build/demo): the data directory of ferric serve, the lab, an SSH key, logs.
// A run that was interrupted is carried on by the next one, from the states that the nodes have by then.
//
// # Concurrency
//
// Each node is driven and watched by a goroutine of its own per stage, which the stage waits for. All output goes
// through one screen, which has a lock. A file lock keeps two runs in the same directory apart.
package main
