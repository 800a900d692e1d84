package ferric

import "time"

// Page says which part of a list is wanted, and in which order.
type Page struct {
	Limit   int    // 0: no limit
	Marker  string // UUID of the last object of the page before; "" from the start
	SortKey string // a column's API name; "" is creation order
	Desc    bool
}

// NodeFilter selects nodes; zero fields select everything.
type NodeFilter struct {
	UUIDs           []string
	Name            string
	InstanceID      string
	Associated      *bool
	Maintenance     *bool
	Retired         *bool
	ConsoleEnabled  *bool
	Reserved        *bool
	ProvisionStates []ProvisionState
	Driver          string
	ResourceClass   string
	Fault           string // "none" selects nodes without a fault
	ConductorGroup  *string
	Owner           string
	Lessee          string
	Project         string // owner or lessee
	DescriptionLike string // substring
	ChassisUUID     string
	Shards          []string
	Sharded         *bool
	ParentNode      string
	IncludeChildren bool // otherwise only nodes without a parent, unless ParentNode is set
	InstanceName    string
}

// PortFilter selects ports; zero fields select everything.
type PortFilter struct {
	Project         string // owner or lessee of the node
	NodeUUIDs       []string
	Addresses       []string
	Name            string
	PortgroupUUID   string
	DescriptionLike string   // substring
	Shards          []string // of the node
	ConductorGroups []string // of the node
	Page
}

// DHCPLease is an address that the DHCP server gave to a MAC.
type DHCPLease struct {
	MAC       string     `json:"mac"`
	Address   string     `json:"address"`
	Hostname  string     `json:"hostname,omitempty"`
	ExpiresAt time.Time  `json:"expires_at"`
	State     LeaseState `json:"state"`
}

// LeaseState says what a DHCP lease stands for.
type LeaseState string

const (
	LeaseOffered  LeaseState = "offered"  // offered, not yet taken
	LeaseBound    LeaseState = "bound"    // in use by the machine
	LeaseDeclined LeaseState = "declined" // a machine found somebody else using the address; MAC is empty
)
