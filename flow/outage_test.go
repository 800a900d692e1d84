package flow_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"ferric"
	"ferric/flow"

	"github.com/google/go-cmp/cmp"
)

// faulty is a ledger whose nth call gets no answer, once: the database was restarted.
type faulty struct {
	flow.Ledger
	mu    sync.Mutex
	left  int
	after bool // it was carried out all the same
}

var errOutage = ferric.Errorf(ferric.CodeUnavailable, "the database is being restarted: %w", ferric.ErrOutage)

func (f *faulty) call(do func() error) error {
	f.mu.Lock()
	f.left--
	fails := f.left == 0
	f.mu.Unlock()
	if fails && !f.after {
		return errOutage
	}
	if err := do(); err != nil || !fails {
		return err
	}
	return errOutage
}

// reached reports whether the call that fails has come.
func (f *faulty) reached() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.left <= 0
}

func (f *faulty) Checkpoint(ctx context.Context, l flow.Lease, op *flow.Operation, h []ferric.HistoryEntry, m flow.Mutate) (n *ferric.Node, err error) {
	err = f.call(func() error { n, err = f.Ledger.Checkpoint(ctx, l, op, h, m); return err })
	return n, err
}

func (f *faulty) Start(ctx context.Context, l flow.Lease, op *flow.Operation, m flow.Mutate) (n *ferric.Node, err error) {
	err = f.call(func() error { n, err = f.Ledger.Start(ctx, l, op, m); return err })
	return n, err
}

func (f *faulty) Operation(ctx context.Context, id string) (op *flow.Operation, err error) {
	err = f.call(func() error { op, err = f.Ledger.Operation(ctx, id); return err })
	return op, err
}

// TestDatabaseAwayAtEveryCall lets each call to the ledger in turn get no answer, carried out or not. The operation ends well, every step is
// begun once, also one that must not be repeated, and every write is there once.
func TestDatabaseAwayAtEveryCall(t *testing.T) {
	for _, after := range []bool{false, true} {
		for n := 1; ; n++ {
			var reached bool
			t.Run(fmt.Sprintf("call %d, carried out=%v", n, after), func(t *testing.T) { reached = awayAt(t, n, after) })
			if !reached || t.Failed() {
				break
			}
			if n > 100 {
				t.Fatal("the operation has no end")
			}
		}
	}
}

func awayAt(t *testing.T, n int, after bool) bool {
	b := newBench(t)
	f := &faulty{Ledger: b.store, left: n, after: after}
	r, _ := b.run(f, map[string]flow.Func{"waits": func(ctx context.Context, task *flow.Task) (flow.Outcome, error) {
		b.world.effect("waits")
		var saved bool
		if err := task.Load(&saved); err != nil || saved {
			return flow.Done(nil).Then(step("added", flow.Safe)), err
		}
		if err := task.SaveAnd(ctx, true, func(n *ferric.Node) error { n.Extra = map[string]any{"saves": len(n.Extra) + 1}; return nil }); err != nil {
			return flow.Outcome{}, err
		}
		return task.Wait("", "a moment", time.Millisecond, time.Minute)
	}})
	op, err := r.Begin(t.Context(), b.node, plan(step("first", flow.Safe), step("waits", flow.Check), step("never", flow.Never), cleanUp("x")))
	if err != nil {
		t.Fatal(err)
	}
	op = b.await(op.ID)
	if op.Status != flow.Succeeded {
		t.Errorf("the operation is %s: %s", op.Status, op.Error)
	}
	if diff := cmp.Diff([]string{"first", "waits", "added", "never"}, b.world.effects()); diff != "" {
		t.Errorf("effects (-want +have):\n%s", diff)
	}
	for _, s := range op.Steps {
		if want := map[bool]int{true: 0, false: 1}[s.CleanUp]; s.Attempts != want {
			t.Errorf("step %s was begun %d times", s.Name, s.Attempts)
		}
	}
	history, err := b.store.History(t.Context(), b.node, ferric.Page{})
	if err != nil || len(history) != 5 { // one per step and one for the operation
		t.Errorf("%d history entries, want 5: %v, %v", len(history), history, err)
	}
	return f.reached()
}

// TestStepIsNotFailedByAnOutage: its code is called again, and knows of it. One that must not be repeated fails and says so.
func TestStepIsNotFailedByAnOutage(t *testing.T) {
	for name, repeat := range map[string]flow.Repeat{"safe": flow.Safe, "check": flow.Check, "never": flow.Never} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			var repeated []bool // each call's Task.Repeated; the runner is done when it is read
			r, _ := b.run(b.store, map[string]flow.Func{"reads": func(_ context.Context, task *flow.Task) (flow.Outcome, error) {
				repeated = append(repeated, task.Repeated)
				if len(repeated) < 3 {
					return flow.Outcome{}, ferric.Errorf(ferric.CodeInternal, "read the ports: %w", errOutage)
				}
				return flow.Done(nil), nil
			}})
			op, err := r.Begin(t.Context(), b.node, plan(step("reads", repeat)))
			if err != nil {
				t.Fatal(err)
			}
			op = b.await(op.ID)
			want, calls := flow.Succeeded, []bool{false, true, true}
			if repeat == flow.Never {
				want, calls = flow.Failed, []bool{false}
			}
			if diff := cmp.Diff(calls, repeated); op.Status != want || diff != "" {
				t.Errorf("the operation is %s (%s); calls (-want +have):\n%s", op.Status, op.Error, diff)
			}
		})
	}
}

// TestOutageIsOverWhenTheRunnerStops: it does not wait for the database, and the next runner carries on.
func TestOutageIsOverWhenTheRunnerStops(t *testing.T) {
	b := newBench(t)
	begun := make(chan struct{}, 100)
	r, stop := b.run(b.store, map[string]flow.Func{"reads": func(context.Context, *flow.Task) (flow.Outcome, error) {
		begun <- struct{}{}
		return flow.Outcome{}, errOutage
	}})
	op, err := r.Begin(t.Context(), b.node, plan(step("reads", flow.Safe)))
	if err != nil {
		t.Fatal(err)
	}
	<-begun
	stop()
	_, _ = b.run(b.store, nil)
	if op = b.await(op.ID); op.Status != flow.Succeeded {
		t.Errorf("the operation is %s: %s", op.Status, op.Error)
	}
}
