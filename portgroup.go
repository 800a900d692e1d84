package ferric

import (
	"cmp"
	"time"
)

// Portgroup is a set of a node's ports that work as one, such as a bond.
type Portgroup struct {
	UUID            string         `json:"uuid"`
	NodeUUID        string         `json:"node_uuid"`
	Address         string         `json:"address,omitempty"` // MAC, lower case with colons; "" takes a member's
	Name            string         `json:"name,omitempty"`
	Mode            string         `json:"mode,omitempty"` // Linux bonding mode, "active-backup" and the like
	Properties      map[string]any `json:"properties,omitempty"`
	StandalonePorts bool           `json:"standalone_ports_supported"` // its ports may be used one by one, too
	PhysicalNetwork string         `json:"physical_network,omitempty"`
	Category        string         `json:"category,omitempty"`
	Dynamic         bool           `json:"dynamic_portgroup,omitempty"` // made by Ferric itself for an attached VIF
	Extra           map[string]any `json:"extra,omitempty"`
	InternalInfo    map[string]any `json:"internal_info,omitempty"`
	CreatedAt       time.Time      `json:"created_at,omitzero"`
	UpdatedAt       time.Time      `json:"updated_at,omitzero"`
	Version         int64          `json:"version,omitempty"`
}

// Clone returns a deep copy.
func (g *Portgroup) Clone() *Portgroup {
	c := *g
	c.Properties = cloneMap(g.Properties)
	c.Extra = cloneMap(g.Extra)
	c.InternalInfo = cloneMap(g.InternalInfo)
	return &c
}

// Admit refuses a port that cannot be a member of the group: all members are of one node (CodeInvalid) and on one physical network
// (CodeConflict). members are the group's ports; the port itself may be among them. Without other members the group's own network counts.
func (g *Portgroup) Admit(p *Port, members []*Port) error {
	if p.NodeUUID != g.NodeUUID {
		return Errorf(CodeInvalid, "Port can not be added to a portgroup belonging to a different node.")
	}
	want, others := g.PhysicalNetwork, false
	for _, m := range members {
		if m.UUID != p.UUID {
			want, others = m.PhysicalNetwork, true
			break
		}
	}
	if !others && want == "" || p.PhysicalNetwork == want {
		return nil
	}
	return Errorf(CodeConflict, "Port with physical network %s cannot become a member of port group %s which has ports in physical network %s.",
		cmp.Or(p.PhysicalNetwork, "None"), g.UUID, cmp.Or(want, "None"))
}

// PortgroupFilter selects portgroups; zero fields select everything.
type PortgroupFilter struct {
	Project         string // owner or lessee of the node
	NodeUUIDs       []string
	Address         string
	Shards          []string // of the node
	ConductorGroups []string // of the node
	Page
}
