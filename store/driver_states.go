package store

import (
	"context"
	"time"
)

// driverState is what a driver remembers of a machine.
type driverState struct {
	id, nodeUUID string
	updatedAt    time.Time
	state        []byte
}

var driverStateTable = table[driverState]{
	name: "driver_states",
	id:   func(d *driverState) string { return d.id },
	cols: []column[driverState]{
		text("id", func(d *driverState) *string { return &d.id }),
		text("node_uuid", func(d *driverState) *string { return &d.nodeUUID }),
		moment("updated_at", func(d *driverState) *time.Time { return &d.updatedAt }),
		{name: "state", kind: bytesKind, doc: true,
			get: func(d *driverState) (any, error) { return string(d.state), nil },
			set: func(d *driverState, v *cell) error { d.state = []byte(v.text); return nil }},
	},
}

// SetDriverState keeps what a driver must remember of a machine under a name, encrypted, in place of what was there; empty removes it.
// CodeNotFound if there is no such node.
func (s *Store) SetDriverState(ctx context.Context, nodeUUID, name string, state []byte) error {
	id := clean(nodeUUID + "/" + name)
	if len(state) == 0 {
		_, err := s.exec(ctx, "delete driver state", "DELETE FROM driver_states WHERE id = $1", id)
		return err
	}
	return s.write(ctx, "keep driver state", func(ctx context.Context, t *tx) error {
		err := driverStateTable.insert(ctx, s, t, []string{"id"}, &driverState{id: id, nodeUUID: nodeUUID, updatedAt: t.now, state: state})
		if orphaned(err) {
			return nodeNotFound(nodeUUID)
		}
		return err
	})
}

// DriverState returns what was kept under a name, nil if nothing was.
func (s *Store) DriverState(ctx context.Context, nodeUUID, name string) (state []byte, err error) {
	err = s.get(ctx, "read driver state", func(ctx context.Context, q querier) error {
		d, err := driverStateTable.one(ctx, s, q, "WHERE id = $1", clean(nodeUUID+"/"+name))
		if missing(err) {
			return nil
		}
		if err == nil {
			state = d.state
		}
		return err
	})
	return state, err
}
