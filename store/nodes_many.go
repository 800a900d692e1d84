package store

import (
	"context"
	"slices"
	"strings"

	"ferric"
)

// AllPowerStamps calls fn for every node with what tells whether its power state is to be looked at: UUID, Version, Driver, ConductorGroup, ProvisionState, PowerState, TargetPowerState, Maintenance, Fault. fn must be quick, and must not keep
// the node: it is the same one at each call.
func (s *Store) AllPowerStamps(ctx context.Context, fn func(*ferric.Node)) error {
	return s.powerStamps(ctx, "", nil, fn)
}

// PowerStamps is AllPowerStamps of the nodes named. Those that do not exist are left out.
func (s *Store) PowerStamps(ctx context.Context, uuids []string, fn func(*ferric.Node)) error {
	for some := range slices.Chunk(uuids, stampsAtOnce) {
		args := make([]any, len(some))
		for i, id := range some {
			args[i] = clean(id)
		}
		var w filter
		w.and("uuid IN (?"+strings.Repeat(", ?", len(some)-1)+")", args...)
		if err := s.powerStamps(ctx, w.sql.String(), w.args, fn); err != nil {
			return err
		}
	}
	return nil
}

const stampsAtOnce = 500

func (s *Store) powerStamps(ctx context.Context, where string, args []any, fn func(*ferric.Node)) error {
	return s.get(ctx, "list power states", func(ctx context.Context, q querier) error {
		rows, err := q.QueryContext(ctx, "SELECT uuid, version, driver, conductor_group, provision_state, power_state, target_power_state, maintenance, fault "+
			"FROM nodes "+where, args...)
		if err != nil {
			return err
		}
		defer rows.Close()
		var n ferric.Node
		for rows.Next() {
			err := rows.Scan(&n.UUID, &n.Version, &n.Driver, &n.ConductorGroup, &n.ProvisionState, &n.PowerState, &n.TargetPowerState, &n.Maintenance, &n.Fault)
			if err != nil {
				return err
			}
			fn(&n)
		}
		return rows.Err()
	})
}

// ChangedNodes returns the UUIDs of the nodes that were changed after a change of the feed, each once, and the ID of the last change. whole is
// false if older changes were pruned: then any node may have been changed.
func (s *Store) ChangedNodes(ctx context.Context, afterID int64) (uuids []string, lastID int64, whole bool, err error) {
	lastID, whole = afterID, true
	err = s.get(ctx, "read changes", func(ctx context.Context, q querier) error {
		rows, err := q.QueryContext(ctx, "SELECT id, node_uuid FROM changes WHERE id > $1 ORDER BY id", afterID)
		if err != nil {
			return err
		}
		defer rows.Close()
		seen := map[string]bool{}
		for rows.Next() {
			var id int64
			var node string
			if err := rows.Scan(&id, &node); err != nil {
				return err
			}
			whole = whole && id == lastID+1
			lastID = id
			if !seen[node] {
				seen[node] = true
				uuids = append(uuids, node)
			}
		}
		return rows.Err()
	})
	return uuids, lastID, whole, err
}

// ChangeNodes does what ChangeNode does for several nodes in one transaction, each with its history. What came of each is in the change; an error
// means that nothing was written. A change that does not change the node writes no history.
func (s *Store) ChangeNodes(ctx context.Context, changes []*ferric.NodeChange) error {
	// One order for all, so that two processes do not wait for each other's rows.
	changes = slices.SortedFunc(slices.Values(changes), func(a, b *ferric.NodeChange) int { return strings.Compare(a.UUID, b.UUID) })
	return s.write(ctx, "change nodes", func(ctx context.Context, t *tx) error {
		for _, c := range changes {
			c.Node, c.Err = nil, nil
			row, err := lockNode(ctx, t, c.UUID)
			switch {
			case ferric.IsCode(err, ferric.CodeNotFound):
				c.Err = err
				continue
			case err != nil:
				return err
			case row.live(t.now):
				c.Err = nodeLocked(row.UUID, row.holder)
				continue
			case c.Version != 0 && row.Version != c.Version:
				c.Err = ferric.Errorf(ferric.CodeConflict, "Node %s was changed meanwhile: its version is %d, not %d. Read it again.",
					row.UUID, row.Version, c.Version)
				continue
			}
			before := row.Version
			if c.Node, err = t.change(ctx, row, c.Change); err != nil {
				return err
			}
			if c.History != nil && c.Node.Version != before {
				if err := t.addHistory(ctx, c.Node, c.History.Conductor, c.History.OperationID, []ferric.HistoryEntry{*c.History}); err != nil {
					return err
				}
			}
		}
		return nil
	})
}
