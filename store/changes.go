package store

import (
	"context"
	"time"

	"ferric"
)

var changeTable = table[ferric.Change]{
	name: "changes",
	id:   func(c *ferric.Change) string { return c.NodeUUID },
	cols: []column[ferric.Change]{
		number("id", func(c *ferric.Change) *int64 { return &c.ID }),
		text("node_uuid", func(c *ferric.Change) *string { return &c.NodeUUID }),
		text("kind", func(c *ferric.Change) *string { return &c.Kind }),
		moment("at", func(c *ferric.Change) *time.Time { return &c.At }),
		text("provision_state", func(c *ferric.Change) *ferric.ProvisionState { return &c.ProvisionState }),
		text("target_provision_state", func(c *ferric.Change) *ferric.ProvisionState { return &c.TargetProvisionState }),
		text("power_state", func(c *ferric.Change) *ferric.PowerState { return &c.PowerState }),
		boolean("maintenance", func(c *ferric.Change) *bool { return &c.Maintenance }),
		document("fields", func(c *ferric.Change) *[]string { return &c.Fields }),
	},
}

// changed notes a change, to be written at the end of the transaction.
func (t *tx) changed(kind string, n *ferric.Node, fields []string) {
	t.changes = append(t.changes, ferric.Change{NodeUUID: n.UUID, Kind: kind, At: t.now, Fields: fields,
		ProvisionState: n.ProvisionState, TargetProvisionState: n.TargetProvisionState,
		PowerState: n.PowerState, Maintenance: n.Maintenance})
}

// writeChanges numbers the changes and writes them. The counter's row stays locked until the commit, so numbers follow
// the order of commits; it is taken last, so that nobody waits for anything while holding it.
func (t *tx) writeChanges(ctx context.Context) error {
	if len(t.changes) == 0 {
		return nil
	}
	var last int64
	err := t.QueryRowContext(ctx, "UPDATE counters SET value = value + $1 WHERE name = 'changes' RETURNING value",
		len(t.changes)).Scan(&last)
	if err != nil {
		return err
	}
	list := make([]*ferric.Change, len(t.changes))
	for i := range t.changes {
		t.changes[i].ID = last - int64(len(t.changes)-1-i)
		list[i] = &t.changes[i]
	}
	return changeTable.insert(ctx, t.s, t, nil, list...)
}

// Changes returns the changes after an ID, oldest first; 0 is the beginning, limit 0 is no limit. IDs have no gaps: if the
// first one is not afterID+1, older ones were pruned, and the reader has to look at all nodes again.
func (s *Store) Changes(ctx context.Context, afterID int64, limit int) (list []ferric.Change, err error) {
	err = s.get(ctx, "read changes", func(ctx context.Context, q querier) error {
		var w clause
		w.sql.WriteString("WHERE id > " + w.arg(afterID) + " ORDER BY id")
		if limit > 0 {
			w.sql.WriteString(" LIMIT " + w.arg(limit))
		}
		rows, err := changeTable.all(ctx, s, q, w.sql.String(), w.args...)
		list = flat(rows)
		return err
	})
	return list, err
}

// LastChange returns the ID of the last change, 0 if there was never one.
func (s *Store) LastChange(ctx context.Context) (id int64, err error) {
	err = s.get(ctx, "read the last change", func(ctx context.Context, q querier) error {
		return q.QueryRowContext(ctx, "SELECT value FROM counters WHERE name = 'changes'").Scan(&id)
	})
	return id, err
}

// PruneChanges removes the changes made before a time and returns how many there were.
func (s *Store) PruneChanges(ctx context.Context, before time.Time) (int, error) {
	return s.exec(ctx, "prune changes", "DELETE FROM changes WHERE at < $1", micros(before))
}

func flat[T any](list []*T) []T {
	out := make([]T, len(list))
	for i, p := range list {
		out[i] = *p
	}
	return out
}
