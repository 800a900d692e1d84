package flow

import (
	"context"
	"encoding/json"
	"time"

	"ferric"
)

// Func is the code of a step. It is called when the step begins, again after each wait, and again after a crash. An
// error ends the step, and with it the operation, as failed.
type Func func(ctx context.Context, t *Task) (Outcome, error)

// Task is a step's place in the ledger, handed to its code.
type Task struct {
	Op   *Operation
	Step *Step
	// Node is the node as of the last write under this lease.
	Node *ferric.Node
	// Repeated is true when the code was begun before and its outcome never written: this process or another died
	// in the middle of it.
	Repeated bool
	// CleanUp is true while the operation has failed and clears up behind itself.
	CleanUp bool

	runner *Runner
	lease  Lease
}

// Epoch returns the fencing epoch, for agents.
func (t *Task) Epoch() int64 { return t.lease.Epoch }

// Now returns the runner's time.
func (t *Task) Now() time.Time { return t.runner.now() }

// Load reads the step's checkpoint into v; v stays as it is when there is none yet.
func (t *Task) Load(v any) error {
	if len(t.Step.Data) == 0 {
		return nil
	}
	if err := json.Unmarshal(t.Step.Data, v); err != nil {
		return ferric.Errorf(ferric.CodeInternal, "checkpoint of step %s.%s: %w", t.Step.Interface, t.Step.Name, err)
	}
	return nil
}

// Save writes the step's checkpoint: what its code must know when it is called again. It is durable on return.
func (t *Task) Save(ctx context.Context, v any) error { return t.SaveAnd(ctx, v, nil) }

// SaveAnd is Save and Update in one: after a crash either both are there or none.
func (t *Task) SaveAnd(ctx context.Context, v any, m Mutate) error {
	data, err := json.Marshal(v)
	if err != nil {
		return ferric.Errorf(ferric.CodeInternal, "checkpoint of step %s.%s: %w", t.Step.Interface, t.Step.Name, err)
	}
	t.Step.Data = data
	return t.write(ctx, m)
}

// Update changes the node, fenced, and refreshes t.Node.
func (t *Task) Update(ctx context.Context, m Mutate) error { return t.write(ctx, m) }

func (t *Task) write(ctx context.Context, m Mutate) error {
	// Signals that come while the step is running must still be seen when it begins to wait.
	seen := t.Op.Signals
	n, err := t.runner.checkpoint(ctx, t.lease, t.Op, nil, m)
	t.Op.Signals = seen
	if err != nil {
		return err
	}
	t.Node = n
	return nil
}

// Wait is the Outcome of waiting for an event, looked after every poll, for timeout in all (0: for ever). Once the
// time is over it returns CodeTimeout instead, which names what was being waited for. Only time counts in which a runner looked after
// the wait and the event could come; see Waited.
func (t *Task) Wait(event, what string, poll, timeout time.Duration) (Outcome, error) {
	if timeout > 0 && t.waitsFor(event, what) {
		left := timeout - t.Op.Waited
		if left <= 0 {
			return Outcome{}, ferric.Errorf(ferric.CodeTimeout, "timed out after %s waiting for %s", timeout, what)
		}
		poll = min(poll, left)
	} else if timeout > 0 {
		poll = min(poll, timeout)
	}
	return Wait(event, what, poll), nil
}

// Waited returns how long the step has been waiting for the same thing, without the time in which no conductor was there to look, or nobody to
// take agents' calls. What depends on how long something has not happened asks this and not the clock.
func (t *Task) Waited() time.Duration { return t.Op.Waited }

func (t *Task) waitsFor(event, what string) bool {
	return t.Op.WaitFor == event && t.Op.WaitWhat == what && !t.Op.WaitSince.IsZero()
}
