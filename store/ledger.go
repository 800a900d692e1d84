package store

import (
	"context"

	"github.com/google/uuid"

	"ferric"
	"ferric/flow"
)

// lockOwned reads a node that the transaction is going to change under a lease (CodeNotFound, CodeStale).
func lockOwned(ctx context.Context, t *tx, l flow.Lease) (*nodeRow, error) {
	row, err := lockNode(ctx, t, l.NodeUUID)
	if err != nil {
		return nil, err
	}
	return row, row.owns(l)
}

// Start implements flow.Ledger. It fills in op's ID and status (running) if they are empty, its node and its times.
func (s *Store) Start(ctx context.Context, l flow.Lease, op *flow.Operation, mutate flow.Mutate) (n *ferric.Node, err error) {
	var o *operationRow
	id := op.ID
	if id == "" {
		id = uuid.NewString()
	}
	err = s.write(flow.WithoutLease(ctx), "start operation on node "+l.NodeUUID, func(ctx context.Context, t *tx) error {
		row, err := lockOwned(ctx, t, l)
		if err != nil {
			return err
		}
		o = &operationRow{Operation: *op}
		o.ID, o.NodeUUID, o.CreatedAt, o.Signals = id, row.UUID, t.now, 0
		if o.Status == "" {
			o.Status = flow.Running
		}
		o.settle(t.now)
		if err := operationTable.insert(ctx, s, t, nil, o); err != nil {
			switch {
			case duplicate(err, "operations", "id"):
				return ferric.Errorf(ferric.CodeConflict, "An operation with ID %s already exists.", id)
			case duplicate(err, "operations", "lane"):
				return ferric.Errorf(ferric.CodeConflict, "Node %s has an unfinished operation in lane %s already.", row.UUID, o.Lane)
			}
			return err
		}
		if err := stepTable.insert(ctx, s, t, nil, stepRows(&o.Operation)...); err != nil {
			return err
		}
		n, err = t.change(ctx, row, mutate)
		return err
	})
	if err != nil {
		return nil, err
	}
	steps := op.Steps
	*op = o.Operation
	op.Steps = steps
	renumber(op)
	return n, nil
}

// Checkpoint implements flow.Ledger. Of the signals that came meanwhile, those count that the operation waits for. An
// abort that came meanwhile makes it due at once too, unless op knows of it and waits all the same (AbortLater). On success op's times, Signals, WakeAt and Abort are up to date, and
// what was empty in the history entries is filled in: node, UUID, time, conductor, operation, severity, and the node's
// states as they are after mutate.
func (s *Store) Checkpoint(ctx context.Context, l flow.Lease, op *flow.Operation, history []ferric.HistoryEntry, mutate flow.Mutate) (n *ferric.Node, err error) {
	var o *operationRow
	err = s.write(flow.WithoutLease(ctx), "checkpoint operation "+op.ID, func(ctx context.Context, t *tx) error {
		row, err := lockOwned(ctx, t, l)
		if err != nil {
			return err
		}
		var written bool
		if o, written, err = t.checkpoint(ctx, row.UUID, op); err != nil {
			return err
		}
		if written {
			n = row.seen(t.now)
			return nil
		}
		if n, err = t.change(ctx, row, mutate); err != nil {
			return err
		}
		return t.addHistory(ctx, n, l.Owner, op.ID, history)
	})
	if err != nil {
		return nil, err
	}
	op.NodeUUID, op.CreatedAt, op.UpdatedAt, op.EndedAt = o.NodeUUID, o.CreatedAt, o.UpdatedAt, o.EndedAt
	op.Signals, op.WakeAt, op.Abort = o.Signals, o.WakeAt, o.Abort
	renumber(op)
	return n, nil
}

// checkpoint writes an operation and its steps over what is stored, unless that has been written already.
func (t *tx) checkpoint(ctx context.Context, nodeUUID string, op *flow.Operation) (o *operationRow, written bool, err error) {
	stored, err := operationTable.one(ctx, t.s, t, "WHERE id = $1 AND node_uuid = $2"+t.forUpdate(), clean(op.ID), nodeUUID)
	if missing(err) {
		return nil, false, operationNotFound(op.ID)
	}
	if err != nil {
		return nil, false, err
	}
	if op.Mark != "" && stored.mark == op.Mark {
		return stored, true, nil
	}
	if stored.Status.Ended() && !op.Status.Ended() {
		return nil, false, ferric.Errorf(ferric.CodeConflict, "Operation %s has ended already (%s).", op.ID, stored.Status)
	}
	o = &operationRow{Operation: *op, marks: stored.marks, mark: op.Mark}
	o.NodeUUID, o.Lane, o.CreatedAt, o.Signals = stored.NodeUUID, stored.Lane, stored.CreatedAt, stored.Signals
	if o.Abort == "" {
		o.Abort = stored.Abort
	}
	if o.waits() {
		signalled := o.WaitFor != "" && stored.marks[o.WaitFor] > op.Signals
		waitsOn := op.Abort != "" && op.AbortLater
		aborted := o.Abort != "" && o.Status != flow.Failing && !waitsOn // a failing one knows
		if signalled || aborted {
			o.WakeAt = t.now
		}
	}
	o.settle(t.now)
	before, err := operationTable.values(stored)
	if err != nil {
		return nil, false, err
	}
	after, err := operationTable.values(o)
	if err != nil {
		return nil, false, err
	}
	if err := operationTable.update(ctx, t.s, t, o.ID, after, differing(before, after), key{"id", o.ID}); err != nil {
		return nil, false, err
	}
	return o, false, writeSteps(ctx, t, &o.Operation)
}

// UpdateNode implements flow.Ledger.
func (s *Store) UpdateNode(ctx context.Context, l flow.Lease, mutate flow.Mutate) (n *ferric.Node, err error) {
	err = s.write(flow.WithoutLease(ctx), "change node "+l.NodeUUID, func(ctx context.Context, t *tx) error {
		row, err := lockOwned(ctx, t, l)
		if err != nil {
			return err
		}
		n, err = t.change(ctx, row, mutate)
		return err
	})
	if err != nil {
		return nil, err
	}
	return n, nil
}

// Signal implements flow.Ledger. A node without an unfinished operation, or no node, is no error.
func (s *Store) Signal(ctx context.Context, nodeUUID, event string) error {
	// Most heartbeats are for nobody: do not bother the writer then.
	waiting := false
	err := s.get(ctx, "signal node "+nodeUUID, func(ctx context.Context, q querier) error {
		return q.QueryRowContext(ctx, "SELECT EXISTS (SELECT 1 FROM operations WHERE node_uuid = $1 AND ended_at = 0)",
			clean(nodeUUID)).Scan(&waiting)
	})
	if err != nil || !waiting {
		return err
	}
	return s.write(ctx, "signal node "+nodeUUID, func(ctx context.Context, t *tx) error {
		list, err := operationTable.all(ctx, s, t, "WHERE node_uuid = $1 AND ended_at = 0 ORDER BY id"+t.forUpdate(), clean(nodeUUID))
		if err != nil {
			return err
		}
		for _, o := range list {
			before, err := operationTable.values(o)
			if err != nil {
				return err
			}
			o.Signals++
			if o.marks == nil {
				o.marks = map[string]int64{}
			}
			o.marks[event] = o.Signals
			if o.WaitFor == event && event != "" {
				o.wake(t)
			}
			if err := t.updateOperation(ctx, o, before); err != nil {
				return err
			}
		}
		return nil
	})
}

// RequestAbort implements flow.Ledger. The first reason stays.
func (s *Store) RequestAbort(ctx context.Context, operationID, reason string) error {
	if reason == "" {
		return ferric.Errorf(ferric.CodeInvalid, "abort operation %s: reason must not be empty", operationID)
	}
	return s.write(ctx, "abort operation "+operationID, func(ctx context.Context, t *tx) error {
		o, err := operationTable.one(ctx, s, t, "WHERE id = $1 AND ended_at = 0"+t.forUpdate(), clean(operationID))
		if missing(err) {
			return ferric.Errorf(ferric.CodeNotFound, "Operation %s does not exist or has ended.", operationID)
		}
		if err != nil {
			return err
		}
		before, err := operationTable.values(o)
		if err != nil {
			return err
		}
		if o.Abort == "" {
			o.Abort = reason
		}
		o.wake(t)
		return t.updateOperation(ctx, o, before)
	})
}

// wake makes an operation due now, if it is not already: one that is being worked on is.
func (o *operationRow) wake(t *tx) {
	if o.dueAt > micros(t.now) {
		o.WakeAt = t.now
		o.dueAt = micros(t.now)
	}
}

func (t *tx) updateOperation(ctx context.Context, o *operationRow, before []any) error {
	after, err := operationTable.values(o)
	if err != nil {
		return err
	}
	return operationTable.update(ctx, t.s, t, o.ID, after, differing(before, after), key{"id", o.ID})
}

// renumber makes each step's Seq its position.
func renumber(op *flow.Operation) {
	for i := range op.Steps {
		op.Steps[i].Seq = i
	}
}
