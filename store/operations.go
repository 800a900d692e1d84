package store

import (
	"context"
	"encoding/json"
	"math"
	"time"

	"ferric"
	"ferric/flow"
)

// operationRow is an operation as it is stored, without its steps.
type operationRow struct {
	flow.Operation
	dueAt int64            // microseconds; never for what waits for an event alone
	marks map[string]int64 // per event, the value of Signals when it came last
	mark  string           // of the last checkpoint
}

const never = math.MaxInt64

var operationTable = table[operationRow]{
	name: "operations",
	id:   func(o *operationRow) string { return o.ID },
	cols: []column[operationRow]{
		text("id", func(o *operationRow) *string { return &o.ID }),
		text("node_uuid", func(o *operationRow) *string { return &o.NodeUUID }),
		text("kind", func(o *operationRow) *string { return &o.Kind }),
		text("lane", func(o *operationRow) *flow.Lane { return &o.Lane }),
		text("status", func(o *operationRow) *flow.Status { return &o.Status }),
		text("error", func(o *operationRow) *string { return &o.Error }),
		number("needs", func(o *operationRow) *int { return &o.Needs }),
		number("step_cursor", func(o *operationRow) *int { return &o.Cursor }),
		text("request_id", func(o *operationRow) *string { return &o.RequestID }),
		text("user_id", func(o *operationRow) *string { return &o.User }),
		text("project", func(o *operationRow) *string { return &o.Project }),
		text("abort_reason", func(o *operationRow) *string { return &o.Abort }),
		text("wait_for", func(o *operationRow) *string { return &o.WaitFor }),
		text("wait_what", func(o *operationRow) *string { return &o.WaitWhat }),
		moment("wait_since", func(o *operationRow) *time.Time { return &o.WaitSince }),
		moment("wake_at", func(o *operationRow) *time.Time { return &o.WakeAt }),
		number("waited", func(o *operationRow) *time.Duration { return &o.Waited }),
		moment("looked_at", func(o *operationRow) *time.Time { return &o.LookedAt }),
		number("due_at", func(o *operationRow) *int64 { return &o.dueAt }),
		number("signals", func(o *operationRow) *int64 { return &o.Signals }),
		document("signal_marks", func(o *operationRow) *map[string]int64 { return &o.marks }),
		moment("created_at", func(o *operationRow) *time.Time { return &o.CreatedAt }),
		moment("updated_at", func(o *operationRow) *time.Time { return &o.UpdatedAt }),
		moment("ended_at", func(o *operationRow) *time.Time { return &o.EndedAt }),
		text("conductor", func(o *operationRow) *string { return &o.Conductor }),
		number("takeovers", func(o *operationRow) *int { return &o.Takeovers }),
		plain("params", raw("params", func(o *operationRow) *json.RawMessage { return &o.Params })),
		sealedRaw("sealed_params", func(o *operationRow) *json.RawMessage { return &o.Params }),
		text("mark", func(o *operationRow) *string { return &o.mark }),
	},
}

// waits reports whether only an event or the time makes the operation go on. An operation that is failing says so by its
// step. The steps must be there.
func (o *operationRow) waits() bool {
	step := o.Current()
	return o.Status == flow.Waiting || o.Status == flow.Held || step != nil && step.Status == flow.Waiting
}

// settle makes due_at and the times fit the rest. now is the time of the write.
func (o *operationRow) settle(now time.Time) {
	o.UpdatedAt = now
	switch {
	case !o.Status.Ended():
		o.EndedAt = time.Time{}
	case o.EndedAt.IsZero():
		o.EndedAt = now
	}
	switch {
	case !o.WakeAt.IsZero():
		o.dueAt = micros(o.WakeAt)
	case o.waits():
		o.dueAt = never
	default:
		o.dueAt = micros(now)
	}
}

func operationNotFound(id string) error {
	return ferric.Errorf(ferric.CodeNotFound, "Operation %s could not be found.", id)
}

// Operation implements flow.Ledger.
func (s *Store) Operation(ctx context.Context, id string) (*flow.Operation, error) {
	list, err := s.operations(ctx, "WHERE id = $1", clean(id))
	if err == nil && len(list) == 0 {
		err = operationNotFound(id)
	}
	if err != nil {
		return nil, err
	}
	return list[0], nil
}

// Unfinished implements flow.Ledger.
func (s *Store) Unfinished(ctx context.Context, nodeUUID string, lane flow.Lane) (*flow.Operation, error) {
	list, err := s.operations(ctx, "WHERE node_uuid = $1 AND lane = $2 AND ended_at = 0", clean(nodeUUID), clean(string(lane)))
	if err == nil && len(list) == 0 {
		err = ferric.Errorf(ferric.CodeNotFound, "Node %s has no unfinished operation in lane %s.", nodeUUID, lane)
	}
	if err != nil {
		return nil, err
	}
	return list[0], nil
}

// Operations returns a node's operations with their steps, the newest first; limit 0 is no limit. No node, no operations.
func (s *Store) Operations(ctx context.Context, nodeUUID string, limit int) ([]*flow.Operation, error) {
	var w clause
	w.sql.WriteString("WHERE node_uuid = " + w.arg(clean(nodeUUID)) + " ORDER BY created_at DESC, id DESC")
	if limit > 0 {
		w.sql.WriteString(" LIMIT " + w.arg(limit))
	}
	return s.operations(ctx, w.sql.String(), w.args...)
}

func (s *Store) operations(ctx context.Context, clauses string, args ...any) (list []*flow.Operation, err error) {
	err = s.read(ctx, "read operations", func(ctx context.Context, q querier) error {
		rows, err := operationTable.all(ctx, s, q, clauses, args...)
		if err != nil {
			return err
		}
		list = nil
		for _, o := range rows {
			if o.Steps, err = readSteps(ctx, s, q, o.ID); err != nil {
				return err
			}
			list = append(list, &o.Operation)
		}
		return nil
	})
	return list, err
}

// PruneOperations removes ended operations, but for the newest ones of each node, and returns how many there were.
func (s *Store) PruneOperations(ctx context.Context, keep int) (int, error) {
	return s.exec(ctx, "prune operations", "DELETE FROM operations WHERE id IN (SELECT id FROM (SELECT id, ended_at, "+
		"ROW_NUMBER() OVER (PARTITION BY node_uuid ORDER BY created_at DESC, id DESC) AS rank FROM operations WHERE ended_at <> 0) o "+
		"WHERE rank > $1)", keep)
}

// Due implements flow.Ledger.
func (s *Store) Due(ctx context.Context, now time.Time, limit int) (list []flow.Due, err error) {
	err = s.get(ctx, "look for due operations", func(ctx context.Context, q querier) error {
		var w clause
		w.sql.WriteString("SELECT o.id, o.node_uuid, n.conductor_group, n.driver, o.lane, o.needs, o.due_at FROM operations o " +
			"JOIN nodes n ON n.uuid = o.node_uuid WHERE o.ended_at = 0 AND o.due_at <= " + w.arg(micros(now)) +
			" AND (n.reservation = '' OR n.lease_until < " + s.at(w.arg(s.from(now, 0))) + ") ORDER BY o.due_at, o.id")
		if limit > 0 {
			w.sql.WriteString(" LIMIT " + w.arg(limit))
		}
		rows, err := q.QueryContext(ctx, w.sql.String(), w.args...)
		if err != nil {
			return err
		}
		defer rows.Close()
		list = nil
		for rows.Next() {
			var d flow.Due
			var at int64
			if err := rows.Scan(&d.OperationID, &d.NodeUUID, &d.ConductorGroup, &d.Driver, &d.Lane, &d.Needs, &at); err != nil {
				return err
			}
			d.WakeAt = fromMicros(at)
			list = append(list, d)
		}
		return rows.Err()
	})
	return list, err
}

// Rewake implements flow.Ledger.
func (s *Store) Rewake(ctx context.Context, now time.Time, ahead time.Duration) (int, error) {
	const those = " FROM operations WHERE ended_at = 0 AND due_at > $1 AND due_at < $2 AND updated_at > $3"
	args := []any{micros(now), int64(never), micros(now.Add(ahead))}
	var some bool
	err := s.get(ctx, "look for operations of the future", func(ctx context.Context, q querier) error {
		return q.QueryRowContext(ctx, "SELECT EXISTS (SELECT 1"+those+")", args...).Scan(&some)
	})
	if err != nil || !some {
		return 0, err
	}
	return s.exec(ctx, "wake operations of the future", "UPDATE operations SET due_at = $1 WHERE id IN (SELECT id"+those+")", args...)
}

// NextWake implements flow.Ledger.
func (s *Store) NextWake(ctx context.Context, now time.Time) (at time.Time, err error) {
	err = s.get(ctx, "look for the next operation", func(ctx context.Context, q querier) error {
		var n int64
		err := q.QueryRowContext(ctx, "SELECT COALESCE(MIN(due_at), 0) FROM operations WHERE ended_at = 0 AND due_at > $1 AND due_at < $2",
			micros(now), int64(never)).Scan(&n)
		at = fromMicros(n)
		return err
	})
	return at, err
}
