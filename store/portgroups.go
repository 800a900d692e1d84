package store

import (
	"context"
	"strings"
	"time"

	"ferric"
)

var portgroups = newPart(part[ferric.Portgroup]{
	what: "Portgroup", object: ferric.ObjectPortgroup, kind: "portgroup",
	table: table[ferric.Portgroup]{name: "portgroups", cols: []column[ferric.Portgroup]{
		text("uuid", func(g *ferric.Portgroup) *string { return &g.UUID }),
		moment("created_at", func(g *ferric.Portgroup) *time.Time { return &g.CreatedAt }),
		moment("updated_at", func(g *ferric.Portgroup) *time.Time { return &g.UpdatedAt }),
		number("version", func(g *ferric.Portgroup) *int64 { return &g.Version }),
		text("node_uuid", func(g *ferric.Portgroup) *string { return &g.NodeUUID }),
		text("address", func(g *ferric.Portgroup) *string { return &g.Address }),
		text("name", func(g *ferric.Portgroup) *string { return &g.Name }),
		text("mode", func(g *ferric.Portgroup) *string { return &g.Mode }),
		boolean("standalone_ports_supported", func(g *ferric.Portgroup) *bool { return &g.StandalonePorts }),
		text("physical_network", func(g *ferric.Portgroup) *string { return &g.PhysicalNetwork }),
		text("category", func(g *ferric.Portgroup) *string { return &g.Category }),
		boolean("dynamic_portgroup", func(g *ferric.Portgroup) *bool { return &g.Dynamic }),
		document("properties", func(g *ferric.Portgroup) *map[string]any { return &g.Properties }),
		document("extra", func(g *ferric.Portgroup) *map[string]any { return &g.Extra }),
		document("internal_info", func(g *ferric.Portgroup) *map[string]any { return &g.InternalInfo }),
	}},
	meta: func(g *ferric.Portgroup) meta {
		return meta{uuid: &g.UUID, node: &g.NodeUUID, created: &g.CreatedAt, updated: &g.UpdatedAt, version: &g.Version}
	},
	tidy: func(g *ferric.Portgroup) { g.Address = strings.ToLower(g.Address) },
	clash: func(err error, g *ferric.Portgroup) error {
		switch {
		case duplicate(err, "portgroups", "address"):
			return ferric.Errorf(ferric.CodeConflict, "A portgroup with MAC address %s already exists.", g.Address)
		case duplicate(err, "portgroups", "name"):
			return ferric.Errorf(ferric.CodeConflict, "A portgroup with name %s already exists.", g.Name)
		case duplicate(err, "portgroups", "uuid"):
			return ferric.Errorf(ferric.CodeConflict, "A portgroup with UUID %s already exists.", g.UUID)
		}
		return err
	},
	check: func(ctx context.Context, t *tx, now, before *ferric.Portgroup) error {
		if before == nil || before.NodeUUID == now.NodeUUID {
			return nil
		}
		has, err := t.used(ctx, "ports", "portgroup_uuid", now.UUID)
		if err == nil && has {
			err = ferric.Errorf(ferric.CodeInvalid, "Portgroup %s can not be associated with node %s because there are ports associated with this portgroup.",
				now.UUID, now.NodeUUID)
		}
		return err
	},
})

// admit refuses a port that cannot be a member of its port group. The group stays locked, so that two ports that join at the same time see each other.
func (t *tx) admit(ctx context.Context, p *ferric.Port) error {
	g, err := portgroups.lock(ctx, t, p.PortgroupUUID)
	if ferric.IsCode(err, ferric.CodeNotFound) {
		return ferric.Errorf(ferric.CodeInvalid, "%w", err)
	}
	if err != nil {
		return err
	}
	members, err := portTable.all(ctx, t.s, t, "WHERE portgroup_uuid = $1 ORDER BY created_at, uuid", g.UUID)
	if err != nil {
		return err
	}
	return g.Admit(p, members)
}

// CreatePortgroup adds a port group and fills in its times, its version and, if it is empty, its UUID. CodeConflict for an address, name or UUID
// that another port group has, CodeNotFound for the node.
func (s *Store) CreatePortgroup(ctx context.Context, g *ferric.Portgroup) error {
	return portgroups.create(ctx, s, g)
}

// Portgroup returns a port group (CodeNotFound).
func (s *Store) Portgroup(ctx context.Context, uuid string) (*ferric.Portgroup, error) {
	return portgroups.get(ctx, s, "uuid", strings.ToLower(uuid))
}

// PortgroupByName returns the port group with a name (CodeNotFound).
func (s *Store) PortgroupByName(ctx context.Context, name string) (*ferric.Portgroup, error) {
	return portgroups.get(ctx, s, "name", name)
}

// Portgroups returns port groups, like Nodes.
func (s *Store) Portgroups(ctx context.Context, f ferric.PortgroupFilter) ([]*ferric.Portgroup, error) {
	return portgroups.list(ctx, s, f.Page, func(w *filter) {
		in(w, "node_uuid", lowered(f.NodeUUIDs))
		w.equal("address", strings.ToLower(f.Address))
		ofNodes(w, "shard", f.Shards)
		ofNodes(w, "conductor_group", f.ConductorGroups)
		w.ofProject(f.Project)
	})
}

// UpdatePortgroup changes a port group and returns it; its ports follow it to another physical network. expectVersion 0 is any. CodeNotFound (also for a
// node that it is moved to), CodeConflict as CreatePortgroup and for another version, CodeInvalid if it is moved and has ports.
func (s *Store) UpdatePortgroup(ctx context.Context, uuid string, expectVersion int64, mutate func(*ferric.Portgroup) error) (*ferric.Portgroup, error) {
	var before, g *ferric.Portgroup
	err := s.write(ctx, "change Portgroup "+uuid, func(ctx context.Context, t *tx) (err error) {
		if g, err = portgroups.lock(ctx, t, uuid); err != nil {
			return err
		}
		if expectVersion != 0 && g.Version != expectVersion {
			return ferric.Errorf(ferric.CodeConflict, "Portgroup %s was changed meanwhile: its version is %d, not %d. Read it again.",
				g.UUID, g.Version, expectVersion)
		}
		before = g.Clone()
		if err := portgroups.change(ctx, t, g, mutate); err != nil {
			return err
		}
		if g.PhysicalNetwork == before.PhysicalNetwork {
			return nil
		}
		return t.moveMembers(ctx, g)
	})
	if err != nil {
		return nil, err
	}
	return g, nil
}

// moveMembers puts the ports of a group on its physical network.
func (t *tx) moveMembers(ctx context.Context, g *ferric.Portgroup) error {
	members, err := portTable.all(ctx, t.s, t, "WHERE portgroup_uuid = $1 ORDER BY uuid"+t.forUpdate(), g.UUID)
	if err != nil {
		return err
	}
	unchecked := *ports // the members move together: one after the other, they differ from those that have not yet moved
	unchecked.check = nil
	for _, p := range members {
		if err := unchecked.change(ctx, t, p, func(p *ferric.Port) error { p.PhysicalNetwork = g.PhysicalNetwork; return nil }); err != nil {
			return err
		}
	}
	return nil
}

// DeletePortgroup removes a port group. CodeNotFound; CodeInvalid while it has ports.
func (s *Store) DeletePortgroup(ctx context.Context, uuid string) error {
	return portgroups.remove(ctx, s, uuid, func(ctx context.Context, t *tx, g *ferric.Portgroup) error {
		has, err := t.used(ctx, "ports", "portgroup_uuid", g.UUID)
		if err == nil && has {
			err = ferric.Errorf(ferric.CodeInvalid, "Cannot complete the requested action because portgroup %s contains ports.", g.UUID)
		}
		return err
	})
}
