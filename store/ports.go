package store

import (
	"context"
	"strings"
	"time"

	"ferric"
)

var portTable = table[ferric.Port]{name: "ports", cols: []column[ferric.Port]{
	text("uuid", func(p *ferric.Port) *string { return &p.UUID }),
	moment("created_at", func(p *ferric.Port) *time.Time { return &p.CreatedAt }),
	moment("updated_at", func(p *ferric.Port) *time.Time { return &p.UpdatedAt }),
	number("version", func(p *ferric.Port) *int64 { return &p.Version }),
	text("node_uuid", func(p *ferric.Port) *string { return &p.NodeUUID }),
	text("address", func(p *ferric.Port) *string { return &p.Address }),
	text("name", func(p *ferric.Port) *string { return &p.Name }),
	text("description", func(p *ferric.Port) *string { return &p.Description }),
	boolean("pxe_enabled", func(p *ferric.Port) *bool { return &p.PXEEnabled }),
	text("portgroup_uuid", func(p *ferric.Port) *string { return &p.PortgroupUUID }),
	text("physical_network", func(p *ferric.Port) *string { return &p.PhysicalNetwork }),
	boolean("is_smartnic", func(p *ferric.Port) *bool { return &p.IsSmartNIC }),
	text("vendor", func(p *ferric.Port) *string { return &p.Vendor }),
	text("category", func(p *ferric.Port) *string { return &p.Category }),
	opposite("available_for_dynamic_portgroup", func(p *ferric.Port) *bool { return &p.NotForDynamicPortgroup }),
	document("extra", func(p *ferric.Port) *map[string]any { return &p.Extra }),
	document("internal_info", func(p *ferric.Port) *map[string]any { return &p.InternalInfo }),
	document("local_link_connection", func(p *ferric.Port) *map[string]any { return &p.LocalLinkConnection }),
}}

var ports = newPart(part[ferric.Port]{
	what: "Port", object: ferric.ObjectPort, kind: "port",
	table: portTable,
	meta: func(p *ferric.Port) meta {
		return meta{uuid: &p.UUID, node: &p.NodeUUID, created: &p.CreatedAt, updated: &p.UpdatedAt, version: &p.Version}
	},
	tidy: func(p *ferric.Port) {
		p.Address, p.PortgroupUUID = strings.ToLower(p.Address), strings.ToLower(p.PortgroupUUID)
	},
	clash: func(err error, p *ferric.Port) error {
		switch {
		case duplicate(err, "ports", "address"):
			return ferric.Errorf(ferric.CodeConflict, "A port with MAC address %s already exists.", p.Address)
		case duplicate(err, "ports", "name"):
			return ferric.Errorf(ferric.CodeConflict, "A port with name %s already exists.", p.Name)
		case duplicate(err, "ports", "uuid"):
			return ferric.Errorf(ferric.CodeConflict, "A port with UUID %s already exists.", p.UUID)
		}
		return err
	},
	check: func(ctx context.Context, t *tx, now, before *ferric.Port) error {
		if now.PortgroupUUID == "" || before != nil && before.PortgroupUUID == now.PortgroupUUID &&
			before.PhysicalNetwork == now.PhysicalNetwork && before.NodeUUID == now.NodeUUID {
			return nil
		}
		return t.admit(ctx, now)
	},
})

// CreatePort adds a port and fills in its times, its version and, if it is empty, its UUID; the address is kept in lower
// case. CodeConflict for an address, name or UUID that another port has, CodeNotFound for the node; what ferric.Portgroup.Admit
// says for a port group that it does not fit into, CodeInvalid for one that does not exist.
func (s *Store) CreatePort(ctx context.Context, p *ferric.Port) error { return ports.create(ctx, s, p) }

// Port returns a port (CodeNotFound).
func (s *Store) Port(ctx context.Context, uuid string) (*ferric.Port, error) {
	return ports.get(ctx, s, "uuid", strings.ToLower(uuid))
}

// PortByMAC returns the port with a MAC (CodeNotFound).
func (s *Store) PortByMAC(ctx context.Context, mac string) (*ferric.Port, error) {
	return ports.get(ctx, s, "address", strings.ToLower(mac))
}

// Ports returns ports, like Nodes.
func (s *Store) Ports(ctx context.Context, f ferric.PortFilter) ([]*ferric.Port, error) {
	return ports.list(ctx, s, f.Page, func(w *filter) {
		in(w, "node_uuid", lowered(f.NodeUUIDs))
		in(w, "address", lowered(f.Addresses))
		w.equal("name", f.Name)
		w.equal("portgroup_uuid", strings.ToLower(f.PortgroupUUID))
		w.contains("description", f.DescriptionLike)
		ofNodes(w, "shard", f.Shards)
		ofNodes(w, "conductor_group", f.ConductorGroups)
		w.ofProject(f.Project)
	})
}

// UpdatePort changes a port and returns it. expectVersion 0 is any. CodeNotFound (also for a node that it is moved to);
// CodeConflict if the version is another one; otherwise as CreatePort. An error of mutate is returned as it is, and changes nothing.
func (s *Store) UpdatePort(ctx context.Context, uuid string, expectVersion int64, mutate func(*ferric.Port) error) (*ferric.Port, error) {
	return ports.update(ctx, s, uuid, expectVersion, mutate)
}

// DeletePort removes a port (CodeNotFound).
func (s *Store) DeletePort(ctx context.Context, uuid string) error {
	return ports.remove(ctx, s, uuid, nil)
}
