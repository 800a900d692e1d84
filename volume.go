package ferric

import "time"

// VolumeConnector is how a node reaches remote volumes: an initiator's name, an address of a host bus adapter.
type VolumeConnector struct {
	UUID        string         `json:"uuid"`
	NodeUUID    string         `json:"node_uuid"`
	Type        string         `json:"type"`         // iqn, ip, mac, wwnn, wwpn, port, portgroup
	ConnectorID string         `json:"connector_id"` // unique among those of the type
	Extra       map[string]any `json:"extra,omitempty"`
	CreatedAt   time.Time      `json:"created_at,omitzero"`
	UpdatedAt   time.Time      `json:"updated_at,omitzero"`
	Version     int64          `json:"version,omitempty"`
}

// Clone returns a deep copy.
func (v *VolumeConnector) Clone() *VolumeConnector {
	c := *v
	c.Extra = cloneMap(v.Extra)
	return &c
}

// VolumeTarget is a remote volume of a node.
type VolumeTarget struct {
	UUID       string         `json:"uuid"`
	NodeUUID   string         `json:"node_uuid"`
	Type       string         `json:"volume_type"` // iscsi, fibre_channel, …
	VolumeID   string         `json:"volume_id"`
	BootIndex  int            `json:"boot_index"`           // unique in the node; 0 is booted from
	Properties map[string]any `json:"properties,omitempty"` // how to reach it; credentials live here, encrypted at rest
	Extra      map[string]any `json:"extra,omitempty"`
	CreatedAt  time.Time      `json:"created_at,omitzero"`
	UpdatedAt  time.Time      `json:"updated_at,omitzero"`
	Version    int64          `json:"version,omitempty"`
}

// Clone returns a deep copy.
func (v *VolumeTarget) Clone() *VolumeTarget {
	c := *v
	c.Properties = cloneMap(v.Properties)
	c.Extra = cloneMap(v.Extra)
	return &c
}

// VolumeFilter selects volume connectors or targets; zero fields select everything.
type VolumeFilter struct {
	Project  string // owner or lessee of the node
	NodeUUID string
	Page
}
