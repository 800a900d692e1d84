package flow_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"ferric"
	"ferric/flow"

	"github.com/google/uuid"
)

// TestOthersWorkHidesNothing lets far more operations be due for conductors that are down than a runner asks for at once.
func TestOthersWorkHidesNothing(t *testing.T) {
	b := newBench(t)
	const others = 300 // more than 4 × workers + 64
	for i := range others {
		id := uuid.NewString()
		if err := b.store.CreateNode(t.Context(), &ferric.Node{UUID: id, Name: fmt.Sprint("n", i), Driver: "fake-hardware", ConductorGroup: "down"}); err != nil {
			t.Fatal(err)
		}
		b.strand(id)
	}
	mine := b.strand(b.node)
	b.run(b.store, nil, func(c *flow.Config) { c.Owns = func(d flow.Due) bool { return d.ConductorGroup == "" } })
	if op := b.await(mine); op.Status != flow.Succeeded {
		t.Errorf("operation %s: %s", op.Status, op.Error)
	}
	if op, err := b.store.Unfinished(t.Context(), b.node, flow.Provision); err == nil {
		t.Errorf("unfinished: %+v", op)
	}
}

// strand leaves an operation behind that a dead conductor began.
func (b *bench) strand(node string) string {
	b.t.Helper()
	lease, err := b.store.Acquire(b.t.Context(), node, "dead", time.Minute)
	if err != nil {
		b.t.Fatal(err)
	}
	op := &flow.Operation{ID: uuid.NewString(), Kind: "test", Lane: flow.Provision, Steps: []flow.Step{step("a", flow.Safe)}}
	if _, err := b.store.Start(b.t.Context(), lease, op, nil); err != nil {
		b.t.Fatal(err)
	}
	if err := b.store.Release(b.t.Context(), lease); err != nil {
		b.t.Fatal(err)
	}
	return op.ID
}

// views counts how often the node is shown something.
type views struct {
	*script
	begins atomic.Int32
}

func (v *views) Spares(*flow.Operation, *flow.Step) bool { return false }

func (v *views) View(m flow.Moment, op *flow.Operation) flow.Mutate {
	if m == flow.Begins {
		v.begins.Add(1)
	}
	return v.script.View(m, op)
}

// TestLookingAfterAWaitShowsNothing lets a step look ten times at what it waits for: the node must not flicker.
func TestLookingAfterAWaitShowsNothing(t *testing.T) {
	b := newBench(t)
	looks := 0
	p := &views{script: &script{world: b.world, steps: map[string]flow.Func{"a": func(_ context.Context, t *flow.Task) (flow.Outcome, error) {
		if looks++; looks > 10 {
			return flow.Done(nil), nil
		}
		return t.Wait("news", "the news", time.Millisecond, 0)
	}}}}
	r, _ := b.run(b.store, nil, func(c *flow.Config) { c.Programs = map[string]flow.Program{"test": p} })
	op, err := r.Begin(t.Context(), b.node, plan(step("a", flow.Safe), step("b", flow.Safe)))
	if err != nil {
		t.Fatal(err)
	}
	if op = b.await(op.ID); op.Status != flow.Succeeded || looks != 11 {
		t.Errorf("operation %s after %d looks: %s", op.Status, looks, op.Error)
	}
	if n := p.begins.Load(); n != 2 {
		t.Errorf("%d beginnings were shown for 2 steps", n)
	}
}

// TestLeaseTakenAgain lets a runner's own lease run out and be taken again by itself, while the first worker is still in its step.
func TestLeaseTakenAgain(t *testing.T) {
	b := newBench(t)
	entered := make(chan struct{})
	var once sync.Once
	var stopped atomic.Bool
	r, _ := b.run(b.store, map[string]flow.Func{"a": func(ctx context.Context, _ *flow.Task) (flow.Outcome, error) {
		first := false
		once.Do(func() { first = true })
		if first {
			close(entered)
			<-ctx.Done() // only the loss of the lease ends this
			stopped.Store(true)
			return flow.Outcome{}, ctx.Err()
		}
		return flow.Done(nil), nil
	}}, func(c *flow.Config) { c.LeaseTTL = time.Hour })
	op, err := r.Begin(t.Context(), b.node, plan(step("a", flow.Safe)))
	if err != nil {
		t.Fatal(err)
	}
	<-entered
	if _, err := b.store.ReleaseOwner(t.Context(), "one"); err != nil { // as if its time had run out
		t.Fatal(err)
	}
	if op = b.await(op.ID); op.Status != flow.Succeeded || op.Takeovers != 1 {
		t.Errorf("operation %s after %d take-overs: %s", op.Status, op.Takeovers, op.Error)
	}
	for deadline := time.Now().Add(30 * time.Second); !stopped.Load(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the first worker was not stopped")
		}
	}
}
