package driver

import (
	"context"
)

// PurposeValidator is an optional part of Network.
type PurposeValidator interface {
	// ValidateFor checks what a connection for the purpose needs, besides what Validate does. It may return a Pending: it is not known.
	ValidateFor(ctx context.Context, m *Machine, purpose NetworkPurpose) error
}

// DHCPProvider is an optional part of Network, of one with a DHCP server that takes options for single machines.
type DHCPProvider interface {
	// ServesDHCP reports whether that server, and not Ferric's own, leads the machine to its boot loader.
	ServesDHCP(m *Machine) bool
	// SetBootOptions gives the server the options for the ports that the machine is connected with now; options returns them for a MAC address. It may be
	// repeated. It returns a Pending while the server needs time.
	SetBootOptions(ctx context.Context, t *Task, options func(mac string) []DHCPOption) error
}

// DHCPOption is an option for a machine.
type DHCPOption struct {
	Name      string // number, with tags of dnsmasq before it: "tag:ipxe,67"
	Value     string
	IPVersion int // 4 or 6
}

// NetworkData is an optional part of Network, of one that knows the networks of an instance.
type NetworkData interface {
	// NetworkData describes them in the form of network_data.json; nil if there are none.
	NetworkData(ctx context.Context, m *Machine) (map[string]any, error)
}

// PortAuditor is an optional part of Network, of one that makes ports elsewhere. Whether one is a stray the caller knows, who compares it with what is noted
// on the node's port.
type PortAuditor interface {
	// Strays lists all ports that were made, of all nodes.
	Strays(ctx context.Context) ([]Stray, error)
}

// Stray is a port that was made elsewhere for a port of a node.
type Stray struct {
	ID, Name string
	Port     string // UUID of the port that it was made for
	Purpose  NetworkPurpose
}
