package flow

import (
	"context"
	"errors"
	"fmt"
	"time"

	"ferric"
)

// While the database is away nothing fails: whoever has a lease asks again until there is an answer, or the lease is lost and somebody else goes on.

// patiently calls do again while it ends with an outage and ctx lasts.
func (r *Runner) patiently(ctx context.Context, node, what string, do func() error) error {
	for pause := 25 * time.Millisecond; ; pause = min(2*pause, 500*time.Millisecond) {
		err := do()
		if err == nil || !errors.Is(err, ferric.ErrOutage) || ctx.Err() != nil {
			return err
		}
		r.log.Warn("the database gives no answer; trying again", "what", what, "node", node, "in", pause, "error", err)
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return err
		case <-timer.C:
		}
	}
}

// checkpoint is Ledger.Checkpoint, written once however often the answer is lost.
func (r *Runner) checkpoint(ctx context.Context, lease Lease, op *Operation, history []ferric.HistoryEntry, m Mutate) (n *ferric.Node, err error) {
	op.Mark = fmt.Sprintf("%d.%d", lease.Epoch, r.marks.Add(1)) // of this lease: no other runner has its epoch
	defer func() { op.Mark = "" }()
	err = r.patiently(ctx, op.NodeUUID, "checkpoint", func() error {
		n, err = r.ledger.Checkpoint(ctx, lease, op, history, m)
		return err
	})
	return n, err
}

// start is Ledger.Start, written once however often the answer is lost.
func (r *Runner) start(ctx context.Context, lease Lease, op *Operation, m Mutate) error {
	lost := false // the answer of an earlier try
	return r.patiently(ctx, op.NodeUUID, "start of an operation", func() error {
		if lost {
			if _, err := r.ledger.Operation(ctx, op.ID); !ferric.IsCode(err, ferric.CodeNotFound) {
				return err
			}
		}
		_, err := r.ledger.Start(ctx, lease, op, m)
		lost = errors.Is(err, ferric.ErrOutage) && op.ID != ""
		return err
	})
}

// load is Ledger.Operation.
func (r *Runner) load(ctx context.Context, node, id string) (op *Operation, err error) {
	err = r.patiently(ctx, node, "read an operation", func() error {
		op, err = r.ledger.Operation(ctx, id)
		return err
	})
	return op, err
}

// try calls a step's code, again while the database is away: as after a crash, but that the checkpoint is at hand. Code that must not be
// repeated is not.
func (r *Runner) try(ctx context.Context, fn Func, t *Task) (out Outcome, err error) {
	err = r.patiently(ctx, t.Op.NodeUUID, "step "+t.Step.Interface+"."+t.Step.Name, func() error {
		out, err = r.call(ctx, fn, t)
		if errors.Is(err, ferric.ErrOutage) && ctx.Err() == nil && t.Step.Repeat == Never {
			return ferric.Errorf(ferric.CodeInternal, "step %s.%s was interrupted and must not be run twice; look at the machine, then start the operation again (%v)",
				t.Step.Interface, t.Step.Name, err)
		}
		t.Repeated = t.Repeated || err != nil
		return err
	})
	return out, err
}
