package store

import (
	"context"
	"strings"
	"time"

	"github.com/google/uuid"

	"ferric"
)

var portTable = table[ferric.Port]{
	name: "ports",
	id:   func(p *ferric.Port) string { return p.UUID },
	cols: []column[ferric.Port]{
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
		document("extra", func(p *ferric.Port) *map[string]any { return &p.Extra }),
		document("internal_info", func(p *ferric.Port) *map[string]any { return &p.InternalInfo }),
		document("local_link_connection", func(p *ferric.Port) *map[string]any { return &p.LocalLinkConnection }),
	},
}

var portOrder = ordering{table: "ports", marker: "uuid", tie: []string{"created_at", "uuid"}, keys: sortable(portTable)}

func portNotFound(ident string) error {
	return ferric.Errorf(ferric.CodeNotFound, "Port %s could not be found.", ident)
}

// portConflict turns the database's complaint into Ironic's text.
func portConflict(err error, p *ferric.Port) error {
	switch {
	case duplicate(err, "ports", "address"):
		return ferric.Errorf(ferric.CodeConflict, "A port with MAC address %s already exists.", p.Address)
	case duplicate(err, "ports", "name"):
		return ferric.Errorf(ferric.CodeConflict, "A port with name %s already exists.", p.Name)
	case duplicate(err, "ports", "uuid"):
		return ferric.Errorf(ferric.CodeConflict, "A port with UUID %s already exists.", p.UUID)
	case orphaned(err):
		return nodeNotFound(p.NodeUUID)
	}
	return err
}

// CreatePort adds a port and fills in its times, its version and, if it is empty, its UUID; the address is kept in lower
// case. CodeConflict for an address, name or UUID that another port has, CodeNotFound for the node.
func (s *Store) CreatePort(ctx context.Context, p *ferric.Port) error {
	if p.UUID == "" {
		p.UUID = uuid.NewString()
	}
	var made ferric.Port
	err := s.write(ctx, "create port "+p.UUID, func(ctx context.Context, t *tx) error {
		made = *p
		made.UUID, made.NodeUUID, made.Address = strings.ToLower(p.UUID), strings.ToLower(p.NodeUUID), strings.ToLower(p.Address)
		made.CreatedAt, made.UpdatedAt, made.Version = t.now, t.now, 1
		if err := portTable.insert(ctx, s, t, nil, &made); err != nil {
			return portConflict(err, &made)
		}
		return t.portChanged(ctx, "port.created", made.NodeUUID, nil)
	})
	if err == nil {
		*p = made
	}
	return err
}

// portChanged notes a change of a port, with what is worth knowing of its node.
func (t *tx) portChanged(ctx context.Context, kind, nodeUUID string, fields []string) error {
	n := ferric.Node{UUID: nodeUUID}
	err := t.QueryRowContext(ctx, "SELECT provision_state, target_provision_state, power_state, maintenance FROM nodes WHERE uuid = $1",
		nodeUUID).Scan(&n.ProvisionState, &n.TargetProvisionState, &n.PowerState, &n.Maintenance)
	if err != nil {
		return err
	}
	t.changed(kind, &n, fields)
	return nil
}

// Port returns a port (CodeNotFound).
func (s *Store) Port(ctx context.Context, uuid string) (*ferric.Port, error) {
	return s.port(ctx, "uuid", uuid)
}

// PortByMAC returns the port with a MAC (CodeNotFound).
func (s *Store) PortByMAC(ctx context.Context, mac string) (*ferric.Port, error) {
	return s.port(ctx, "address", mac)
}

func (s *Store) port(ctx context.Context, column, value string) (p *ferric.Port, err error) {
	err = s.get(ctx, "read port", func(ctx context.Context, q querier) error {
		p, err = portTable.one(ctx, s, q, "WHERE "+column+" = $1", clean(strings.ToLower(value)))
		if missing(err) {
			return portNotFound(value)
		}
		return err
	})
	return p, err
}

// Ports returns ports, like Nodes.
func (s *Store) Ports(ctx context.Context, f ferric.PortFilter) (list []*ferric.Port, err error) {
	err = s.get(ctx, "list ports", func(ctx context.Context, q querier) error {
		w := &filter{}
		in(w, "node_uuid", lowered(f.NodeUUIDs))
		in(w, "address", lowered(f.Addresses))
		w.equal("portgroup_uuid", f.PortgroupUUID)
		w.ofProject(f.Project)
		if err := w.page(ctx, q, portOrder, f.Page, portNotFound); err != nil {
			return err
		}
		list, err = portTable.all(ctx, s, q, w.sql.String(), w.args...)
		return err
	})
	return list, err
}

// UpdatePort changes a port and returns it. expectVersion 0 is any. CodeNotFound (also for a node that it is moved to);
// CodeConflict if the version is another one, or address or name collide with another port; an error of mutate is
// returned as it is, and changes nothing.
func (s *Store) UpdatePort(ctx context.Context, uuid string, expectVersion int64, mutate func(*ferric.Port) error) (p *ferric.Port, err error) {
	err = s.write(ctx, "change port "+uuid, func(ctx context.Context, t *tx) error {
		p, err = lockPort(ctx, t, uuid)
		if err != nil {
			return err
		}
		if expectVersion != 0 && p.Version != expectVersion {
			return ferric.Errorf(ferric.CodeConflict, "Port %s was changed meanwhile: its version is %d, not %d. Read it again.",
				p.UUID, p.Version, expectVersion)
		}
		return t.changePort(ctx, p, mutate)
	})
	if err != nil {
		return nil, err
	}
	return p, nil
}

func lockPort(ctx context.Context, t *tx, uuid string) (*ferric.Port, error) {
	p, err := portTable.one(ctx, t.s, t, "WHERE uuid = $1"+t.forUpdate(), clean(strings.ToLower(uuid)))
	if missing(err) {
		return nil, portNotFound(uuid)
	}
	return p, err
}

func (t *tx) changePort(ctx context.Context, p *ferric.Port, mutate func(*ferric.Port) error) error {
	before, err := portTable.values(p)
	if err != nil {
		return err
	}
	kept := *p
	if err := mutate(p); err != nil {
		return mutateError{err}
	}
	p.UUID, p.CreatedAt, p.UpdatedAt, p.Version = kept.UUID, kept.CreatedAt, kept.UpdatedAt, kept.Version
	p.Address, p.NodeUUID = strings.ToLower(p.Address), strings.ToLower(p.NodeUUID)
	after, err := portTable.values(p)
	if err != nil {
		return err
	}
	fields := portTable.names(differing(before, after))
	if len(fields) == 0 {
		return nil
	}
	p.UpdatedAt, p.Version = t.now, kept.Version+1
	if after, err = portTable.values(p); err != nil {
		return err
	}
	if err := portTable.update(ctx, t.s, t, p.UUID, after, differing(before, after), key{"uuid", p.UUID}); err != nil {
		return portConflict(err, p)
	}
	return t.portChanged(ctx, "port.updated", p.NodeUUID, fields)
}

// DeletePort removes a port (CodeNotFound).
func (s *Store) DeletePort(ctx context.Context, uuid string) error {
	return s.write(ctx, "delete port "+uuid, func(ctx context.Context, t *tx) error {
		p, err := lockPort(ctx, t, uuid)
		if err != nil {
			return err
		}
		if _, err := t.ExecContext(ctx, "DELETE FROM ports WHERE uuid = $1", p.UUID); err != nil {
			return err
		}
		return t.portChanged(ctx, "port.deleted", p.NodeUUID, nil)
	})
}
