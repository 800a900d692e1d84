package ferric

import "time"

// Chassis groups nodes that share an enclosure.
type Chassis struct {
	UUID        string         `json:"uuid"`
	Description string         `json:"description,omitempty"`
	Extra       map[string]any `json:"extra,omitempty"`
	CreatedAt   time.Time      `json:"created_at,omitzero"`
	UpdatedAt   time.Time      `json:"updated_at,omitzero"`
	Version     int64          `json:"version,omitempty"`
}

// Clone returns a deep copy.
func (c *Chassis) Clone() *Chassis {
	k := *c
	k.Extra = cloneMap(c.Extra)
	return &k
}

// Shard is a part of the fleet with the number of its nodes.
type Shard struct {
	Name  string `json:"name"`
	Nodes int    `json:"count"`
}
