package store

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"ferric"
	"ferric/flow"
)

// CreateNode adds a node and fills in its times, its version and, if they are empty, UUID and provision state (enroll).
// CodeConflict for a UUID, name or instance that another node has, CodeInvalid for a chassis that does not exist.
func (s *Store) CreateNode(ctx context.Context, n *ferric.Node) error {
	if n.UUID == "" {
		n.UUID = uuid.NewString()
	}
	var row *nodeRow
	err := s.write(ctx, "create node "+n.UUID, func(ctx context.Context, t *tx) (err error) {
		row, err = t.createNode(ctx, n)
		return err
	})
	if err == nil {
		*n = row.Node
	}
	return err
}

func (t *tx) createNode(ctx context.Context, n *ferric.Node) (*nodeRow, error) {
	row := &nodeRow{Node: *n}
	row.UUID = strings.ToLower(n.UUID)
	row.CreatedAt, row.UpdatedAt, row.Version = t.now, t.now, 1
	row.Reservation, row.LeaseEpoch = "", 0
	if row.ProvisionState == "" {
		row.ProvisionState = ferric.Enroll
	}
	if err := t.inChassis(ctx, row.ChassisUUID); err != nil {
		return nil, err
	}
	if err := nodeTable.insert(ctx, t.s, t, nil, row); err != nil {
		return nil, nodeConflict(err, &row.Node)
	}
	if err := writeTraits(ctx, t, &row.Node); err != nil {
		return nil, err
	}
	t.changed("node.created", &row.Node, nil)
	tellAsked(ctx, t, ferric.ObjectNode, ferric.ActionCreate, nil, &row.Node, func(o, _ *ferric.Node) { o.CreatedAt, o.UpdatedAt = time.Time{}, time.Time{} })
	t.tellOfNode(ctx, &ferric.Node{PowerState: row.PowerState}, &row.Node, false, row.News)
	row.News = nil
	return row, nil
}

// nodeConflict turns the database's complaint about a duplicate into Ironic's text.
func nodeConflict(err error, n *ferric.Node) error {
	switch {
	case duplicate(err, "nodes", "uuid"):
		return ferric.Errorf(ferric.CodeConflict, "A node with UUID %s already exists.", n.UUID)
	case duplicate(err, "nodes", "name"):
		return ferric.Errorf(ferric.CodeConflict, "A node with name %s already exists.", n.Name)
	case duplicate(err, "nodes", "instance_uuid"):
		return ferric.Errorf(ferric.CodeConflict, "Instance %s is already associated with a node, it cannot be associated with this "+
			"other node %s", n.InstanceID, n.UUID)
	}
	return err
}

func writeTraits(ctx context.Context, t *tx, n *ferric.Node) error {
	n.Traits = slices.Compact(slices.Sorted(slices.Values(n.Traits)))
	for _, trait := range n.Traits {
		if _, err := t.ExecContext(ctx, "INSERT INTO node_traits (node_uuid, trait) VALUES ($1, $2)", n.UUID, clean(trait)); err != nil {
			return err
		}
	}
	return nil
}

// lockNode reads a node that the transaction is going to change (CodeNotFound).
func lockNode(ctx context.Context, t *tx, uuid string) (*nodeRow, error) {
	n, err := nodeTable.one(ctx, t.s, t, "WHERE uuid = $1"+t.forUpdate(), clean(strings.ToLower(uuid)))
	if missing(err) {
		return nil, nodeNotFound(uuid)
	}
	return n, err
}

// change lets mutate change a locked node and writes what became different. What the store itself keeps (identity,
// times, version, lease) mutate cannot change.
func (t *tx) change(ctx context.Context, row *nodeRow, mutate flow.Mutate) (*ferric.Node, error) {
	if mutate == nil {
		return row.seen(t.now), nil
	}
	before, err := nodeTable.values(row)
	if err != nil {
		return nil, err
	}
	kept := *row
	row.seen(t.now)
	row.News = nil
	if err := mutate(&row.Node); err != nil {
		return nil, mutateError{err}
	}
	news := row.News
	row.News = nil
	row.UUID, row.CreatedAt, row.UpdatedAt, row.Version = kept.UUID, kept.CreatedAt, kept.UpdatedAt, kept.Version
	row.LeaseEpoch = kept.LeaseEpoch
	row.ProvisionUpdatedAt = kept.ProvisionUpdatedAt
	if row.ProvisionState != kept.ProvisionState {
		row.ProvisionUpdatedAt = t.now
	}
	if row.InstanceID == "" {
		row.AllocationUUID = "" // an allocation is for an instance, and ends with it
	}
	if kept.AllocationUUID != "" && row.AllocationUUID != kept.AllocationUUID {
		if err := t.endAllocation(ctx, kept.AllocationUUID); err != nil {
			return nil, err
		}
	}
	after, err := nodeTable.values(row)
	if err != nil {
		return nil, err
	}
	fields := nodeTable.names(differing(before, after))
	if len(fields) == 0 {
		t.tellOfNode(ctx, &kept.Node, row.seen(t.now), false, news)
		return row.seen(t.now), nil
	}
	if row.ChassisUUID != kept.ChassisUUID {
		if err := t.inChassis(ctx, row.ChassisUUID); err != nil {
			return nil, err
		}
	}
	row.UpdatedAt, row.Version = t.now, kept.Version+1
	if after, err = nodeTable.values(row); err != nil {
		return nil, err
	}
	if err := nodeTable.update(ctx, t.s, t, row.UUID, after, differing(before, after), key{"uuid", row.UUID}); err != nil {
		return nil, nodeConflict(err, &row.Node)
	}
	if slices.Contains(fields, "traits") {
		if _, err := t.ExecContext(ctx, "DELETE FROM node_traits WHERE node_uuid = $1", row.UUID); err != nil {
			return nil, err
		}
		if err := writeTraits(ctx, t, &row.Node); err != nil {
			return nil, err
		}
	}
	n := row.seen(t.now)
	t.changed("node.updated", n, fields)
	t.tellOfNode(ctx, &kept.Node, n, true, news)
	return n, nil
}

// ChangeNode changes a node that nobody works on, without a lease, and returns it. expectVersion 0 is any. CodeNotFound;
// CodeLocked while somebody holds the lease; CodeConflict if the version is another one, or the change collides with
// another node; CodeInvalid for a chassis that does not exist; an error of mutate is returned as it is, and changes nothing.
func (s *Store) ChangeNode(ctx context.Context, uuid string, expectVersion int64, mutate func(*ferric.Node) error) (*ferric.Node, error) {
	return s.changeNode(ctx, uuid, expectVersion, false, mutate)
}

// ForceNode is ChangeNode even while somebody holds the lease: for fields that nobody else writes, such as maintenance.
func (s *Store) ForceNode(ctx context.Context, uuid string, expectVersion int64, mutate func(*ferric.Node) error) (*ferric.Node, error) {
	return s.changeNode(ctx, uuid, expectVersion, true, mutate)
}

func (s *Store) changeNode(ctx context.Context, uuid string, expectVersion int64, force bool, mutate flow.Mutate) (n *ferric.Node, err error) {
	err = s.write(ctx, "change node "+uuid, func(ctx context.Context, t *tx) error {
		row, err := lockNode(ctx, t, uuid)
		if err != nil {
			return err
		}
		if !force && row.live(t.now) {
			return nodeLocked(row.UUID, row.holder)
		}
		if expectVersion != 0 && row.Version != expectVersion {
			return ferric.Errorf(ferric.CodeConflict, "Node %s was changed meanwhile: its version is %d, not %d. Read it again.",
				row.UUID, row.Version, expectVersion)
		}
		n, err = t.change(ctx, row, mutate)
		return err
	})
	if err != nil {
		return nil, err
	}
	return n, nil
}

// DeleteNode removes a node with everything that belongs to it: ports, port groups, volumes, traits, operations, history, agent session,
// inventory, config drive and allocation. The zero lease stands for none: CodeLocked if somebody holds the node then. CodeStale if
// the lease was lost, CodeNotFound.
func (s *Store) DeleteNode(ctx context.Context, uuid string, l flow.Lease) error {
	return s.write(ctx, "delete node "+uuid, func(ctx context.Context, t *tx) error {
		row, err := lockNode(ctx, t, uuid)
		if err != nil {
			return err
		}
		if l == (flow.Lease{}) {
			if row.live(t.now) {
				return nodeLocked(row.UUID, row.holder)
			}
		} else if err := row.owns(l); err != nil {
			return err
		}
		var kinds []string
		for _, part := range []struct{ kind, table string }{{ports.kind, ports.table.name}, {portgroups.kind, portgroups.table.name},
			{volumeConnectors.kind, volumeConnectors.table.name}, {volumeTargets.kind, volumeTargets.table.name}} {
			var count int
			if err := t.QueryRowContext(ctx, "SELECT count(*) FROM "+part.table+" WHERE node_uuid = $1", row.UUID).Scan(&count); err != nil {
				return err
			}
			kinds = append(kinds, slices.Repeat([]string{part.kind + ".deleted"}, count)...)
		}
		if _, err := t.ExecContext(ctx, "DELETE FROM nodes WHERE uuid = $1", row.UUID); err != nil {
			return err
		}
		if row.AllocationUUID != "" {
			if err := t.endAllocation(ctx, row.AllocationUUID); err != nil {
				return err
			}
		}
		for _, kind := range kinds {
			t.changed(kind, &row.Node, nil)
		}
		t.changed("node.deleted", &row.Node, nil)
		tellAsked(ctx, t, ferric.ObjectNode, ferric.ActionDelete, &row.Node, nil, nil)
		return nil
	})
}
