package ferric

import (
	"encoding/json"
	"time"
)

// NetworkBoot is what a node boots over the network. It is there from when a ramdisk is prepared until it is taken away again, or until the node is gone.
type NetworkBoot struct {
	NodeUUID string
	MACs     []string        // lower case, with colons; each belongs to one node
	Config   json.RawMessage // for the boot services; may hold secrets
	// UpdatedAt is when it was published.
	UpdatedAt time.Time
}

// BootFile is a file that machines may fetch for a node: a kernel, a ramdisk or an image. Every boot host can bring it.
type BootFile struct {
	NodeUUID string
	Name     string          // "kernel", "ramdisk" or "image"
	Tag      string          // of its content
	Source   json.RawMessage // where it comes from; may hold secrets
}

// BootHost is a host that serves machines that boot.
type BootHost struct {
	Host    string
	HTTP    string // base URL of its files, and of the calls of agents
	Address string // what its DHCP server calls itself
	Network string // subnet that it serves, as a prefix
}
