package network

import (
	"context"
	"net/url"
)

// Client speaks to Neutron. Every method has a deadline of its own. Codes: CodeUnavailable while Neutron (or Keystone) gives no answer, so that it is not
// known whether the request was carried out, CodeBusy if it answers that it has failed; CodeNotFound; CodeConflict; CodeInvalid for what Neutron refuses
// otherwise; CodeInternal if it does not let us in, which only an operator can change.
type Client interface {
	// FindNetworks returns the networks that have the UUID or, if none has, the name.
	FindNetworks(ctx context.Context, idOrName string) ([]*Network, error)
	Network(ctx context.Context, id string) (*Network, error)
	Subnet(ctx context.Context, id string) (*Subnet, error)
	// SegmentNetwork returns the physical network of a segment, "" if it has none.
	SegmentNetwork(ctx context.Context, id string) (string, error)
	// SecurityGroups returns those of the ids that exist.
	SecurityGroups(ctx context.Context, ids []string) ([]string, error)
	// AgentAlive reports whether an agent on the host is alive.
	AgentAlive(ctx context.Context, host string) (bool, error)

	Port(ctx context.Context, id string) (*Port, error)
	// Ports lists the ports that a query matches.
	Ports(ctx context.Context, query url.Values) ([]*Port, error)
	// CreatePorts makes all of the ports or none. CodeConflict if a MAC address is in use in its network. It is not repeated by itself.
	CreatePorts(ctx context.Context, all []Attrs) ([]*Port, error)
	UpdatePort(ctx context.Context, id string, change Attrs) (*Port, error)
	DeletePort(ctx context.Context, id string) error
}

// Attrs are attributes of a port by their names in Neutron's API.
type Attrs map[string]any

// Names of attributes of ports.
const (
	attrName     = "name"
	attrNetwork  = "network_id"
	attrMAC      = "mac_address"
	attrAdminUp  = "admin_state_up"
	attrDevice   = "device_id"
	attrOwner    = "device_owner"
	attrHost     = "binding:host_id"
	attrVNIC     = "binding:vnic_type"
	attrProfile  = "binding:profile"
	attrFixedIPs = "fixed_ips"
	attrGroups   = "security_groups"
	attrDHCP     = "extra_dhcp_opts"
)

// Values of attributes of ports.
const (
	ownerBareMetal = "baremetal:none"
	vnicBareMetal  = "baremetal"
	vnicSmartNIC   = "smart-nic"

	vifUnbound = "unbound"
	vifFailed  = "binding_failed"

	statusActive = "ACTIVE"
)

// Port is a port of Neutron's.
type Port struct {
	ID             string         `json:"id"`
	Name           string         `json:"name"`
	NetworkID      string         `json:"network_id"`
	MAC            string         `json:"mac_address"`
	Status         string         `json:"status"` // ACTIVE, DOWN, BUILD, ERROR
	DeviceID       string         `json:"device_id"`
	DeviceOwner    string         `json:"device_owner"`
	FixedIPs       []FixedIP      `json:"fixed_ips"`
	HostID         string         `json:"binding:host_id"` // "" unbound
	VIFType        string         `json:"binding:vif_type"`
	VNICType       string         `json:"binding:vnic_type"`
	Profile        map[string]any `json:"binding:profile"`
	SecurityGroups []string       `json:"security_groups"`
	DHCPOptions    []DHCPOption   `json:"extra_dhcp_opts"`
}

// FixedIP is an address of a port.
type FixedIP struct {
	SubnetID string `json:"subnet_id"`
	Address  string `json:"ip_address,omitempty"`
}

// DHCPOption is an option that Neutron's DHCP server sends to the port. A nil value takes the option away.
type DHCPOption struct {
	Name      string  `json:"opt_name"`
	Value     *string `json:"opt_value"`
	IPVersion int     `json:"ip_version,omitempty"`
}

// Network is a network of Neutron's.
type Network struct {
	ID              string    `json:"id"`
	Name            string    `json:"name"`
	MTU             int       `json:"mtu"`
	PhysicalNetwork string    `json:"provider:physical_network"`
	Segments        []Segment `json:"segments"` // of a network with several
}

// Segment is a segment of a network.
type Segment struct {
	PhysicalNetwork string `json:"provider:physical_network"`
}

// Subnet is a subnet of Neutron's.
type Subnet struct {
	ID              string   `json:"id"`
	CIDR            string   `json:"cidr"`
	IPVersion       int      `json:"ip_version"`
	Gateway         string   `json:"gateway_ip"`
	DNS             []string `json:"dns_nameservers"`
	Routes          []Route  `json:"host_routes"`
	SegmentID       string   `json:"segment_id"`
	IPv6AddressMode string   `json:"ipv6_address_mode"`
}

// Route is a route of a subnet.
type Route struct {
	Destination string `json:"destination"`
	NextHop     string `json:"nexthop"`
}
