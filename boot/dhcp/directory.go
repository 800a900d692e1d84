package dhcp

import (
	"context"
	"net/netip"

	"ferric/boot"
)

// Machine is what the directory knows about the owner of a MAC address.
type Machine struct {
	NodeUUID string
	Hostname string      // option 12; optional, left out if it is not a host name
	Fixed    netip.Addr  // address always given to it; not valid = one from the pool. It should lie outside the pool.
	Boot     boot.Flavor // loaders of this flavor are offered; empty = an address and no boot file
	BootFile string      // file name below TFTP, or http URL, given in place of the loader by architecture; optional
	// Elsewhere says that another DHCP server serves the machine, and this one is to keep quiet.
	Elsewhere bool
	Script    string // http URL given to an iPXE in place of the machine's script, of flavor ipxe only; optional
}

// Directory knows the machines.
type Directory interface {
	// Lookup returns the machine that has the MAC (aa:bb:cc:dd:ee:ff), or CodeNotFound if none has. Any other error
	// leaves the packet without an answer. It is called for every packet from a MAC, so it should be quick.
	Lookup(ctx context.Context, mac string) (Machine, error)
}

// Outcome says what became of a packet.
type Outcome string

const (
	OutcomeAnswered Outcome = "answered" // a reply was sent
	OutcomeRefused  Outcome = "refused"  // a NAK was sent
	OutcomeAccepted Outcome = "accepted" // taken note of; it has no reply (RELEASE, DECLINE)
	OutcomeUnknown  Outcome = "unknown"  // from a machine that nobody knows
	OutcomeIgnored  Outcome = "ignored"  // valid, but for somebody else
	OutcomeGarbage  Outcome = "garbage"  // not a DHCP request
	OutcomeError    Outcome = "error"    // the directory, the leases or the network failed
	OutcomeFull     Outcome = "full"     // no address is free
)

// Observer counts packets. Its method must not block.
type Observer interface {
	// Packet is called once per packet received. kind is the DHCP message type in lower case, or "" for garbage.
	Packet(kind string, outcome Outcome)
}
