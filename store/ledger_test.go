package store_test

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"ferric"
	"ferric/flow"
)

func (e *env) lease(t testing.TB, node string) flow.Lease {
	t.Helper()
	l, err := e.Acquire(t.Context(), node, "host-1", time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// plan makes an operation with n steps.
func plan(n int) *flow.Operation {
	op := &flow.Operation{Kind: "deploy", Lane: flow.Provision, Params: json.RawMessage(`{"a": "<b>"}`), RequestID: "req-1", User: "u", Project: "p"}
	for i := range n {
		op.Steps = append(op.Steps, flow.Step{Seq: i, Interface: "deploy", Name: fmt.Sprint("step-", i), Priority: 100 - i,
			Args: map[string]any{"n": float64(i)}, Repeat: flow.Check, Status: flow.Pending})
	}
	return op
}

func (e *env) begin(t testing.TB, l flow.Lease, steps int) *flow.Operation {
	t.Helper()
	op := plan(steps)
	if _, err := e.Start(t.Context(), l, op, nil); err != nil {
		t.Fatal(err)
	}
	return op
}

func TestAcquireRenewRelease(t *testing.T) {
	each(t, func(t *testing.T, e *env) {
		ctx := t.Context()
		n := e.node(t)
		one, err := e.Acquire(ctx, n.UUID, "host-1", time.Minute)
		must(t, err)
		if one.Epoch != 1 || one.Owner != "host-1" || one.NodeUUID != n.UUID || !one.Until.After(n.CreatedAt.Add(time.Minute)) {
			t.Fatalf("lease: %+v", one)
		}
		now, err := e.Node(ctx, n.UUID)
		must(t, err)
		want := n.Clone()
		want.Reservation, want.LeaseEpoch = "host-1", 1
		equal(t, "the node's record is the same but for the reservation", now, want)

		for _, owner := range []string{"host-1", "host-2"} { // not even the same owner twice
			_, err = e.Acquire(ctx, n.UUID, owner, time.Minute)
			wantCode(t, err, ferric.CodeLocked, "Node "+n.UUID+" is locked by host host-1, please retry after the current operation is completed.")
		}
		_, err = e.Acquire(ctx, "nobody", "host-1", time.Minute)
		wantCode(t, err, ferric.CodeNotFound, "Node nobody could not be found.")
		for _, bad := range []struct {
			owner string
			ttl   time.Duration
		}{{"", time.Minute}, {"h", 0}} {
			_, err = e.Acquire(ctx, n.UUID, bad.owner, bad.ttl)
			wantCode(t, err, ferric.CodeInvalid, "")
		}

		e.after(50 * time.Second)
		kept, err := e.Renew(ctx, []flow.Lease{one, {NodeUUID: "nobody", Owner: "host-1", Epoch: 1}, {NodeUUID: n.UUID, Owner: "host-2", Epoch: 1}}, time.Minute)
		must(t, err)
		if len(kept) != 1 || kept[0].Epoch != 1 || kept[0].Owner != "host-1" || !kept[0].Until.After(one.Until) {
			t.Fatalf("kept: %+v", kept)
		}
		e.after(50 * time.Second) // past the first end, before the new one
		_, err = e.Acquire(ctx, n.UUID, "host-2", time.Minute)
		wantCode(t, err, ferric.CodeLocked, "")

		// Run out, but not taken over: still good.
		e.after(time.Hour)
		now, err = e.Node(ctx, n.UUID)
		must(t, err)
		equal(t, "reservation of a lease that ran out", now.Reservation, "")
		_, err = e.UpdateNode(ctx, one, func(n *ferric.Node) error { n.Owner = "o"; return nil })
		must(t, err)
		kept, err = e.Renew(ctx, []flow.Lease{one}, time.Minute)
		must(t, err)
		equal(t, "kept", len(kept), 1)

		// Taken over: everything is refused.
		e.after(time.Hour)
		two, err := e.Acquire(ctx, n.UUID, "host-2", time.Minute)
		must(t, err)
		equal(t, "epoch", two.Epoch, int64(2))
		kept, err = e.Renew(ctx, []flow.Lease{one, two}, time.Minute)
		must(t, err)
		if len(kept) != 1 || kept[0].Epoch != 2 {
			t.Fatalf("kept: %+v", kept)
		}
		must(t, e.Release(ctx, one)) // lost: no error, no effect
		_, err = e.UpdateNode(ctx, one, func(n *ferric.Node) error { n.Owner = "late"; return nil })
		wantCode(t, err, ferric.CodeStale, "was taken over by host host-2")
		now, err = e.Node(ctx, n.UUID)
		must(t, err)
		if now.Reservation != "host-2" || now.Owner != "o" {
			t.Fatalf("node: %+v", now)
		}
		// Even when the new owner has the same name.
		e.after(time.Hour)
		three, err := e.Acquire(ctx, n.UUID, "host-2", time.Minute)
		must(t, err)
		_, err = e.UpdateNode(ctx, two, nil)
		wantCode(t, err, ferric.CodeStale, "")

		// Given back: refused too.
		must(t, e.Release(ctx, three))
		_, err = e.UpdateNode(ctx, three, func(n *ferric.Node) error { n.Owner = "late"; return nil })
		wantCode(t, err, ferric.CodeStale, "was given back")
		kept, err = e.Renew(ctx, []flow.Lease{three}, time.Minute)
		must(t, err)
		equal(t, "kept", len(kept), 0)
		four := e.lease(t, n.UUID)
		equal(t, "epoch", four.Epoch, int64(4))
		_, err = e.UpdateNode(ctx, flow.Lease{NodeUUID: "nobody", Owner: "h", Epoch: 1}, nil)
		wantCode(t, err, ferric.CodeNotFound, "Node nobody")
		kept, err = e.Renew(ctx, nil, time.Minute)
		must(t, err)
		equal(t, "kept", len(kept), 0)
	})
}

func TestLeaseEndsExactly(t *testing.T) {
	each(t, func(t *testing.T, e *env) {
		n := e.node(t)
		l := e.lease(t, n.UUID)
		e.clock.micros.Store(l.Until.UnixMicro() - 1) // the next look is at the end itself
		_, err := e.Acquire(t.Context(), n.UUID, "host-2", time.Minute)
		wantCode(t, err, ferric.CodeLocked, "")
		_, err = e.Acquire(t.Context(), n.UUID, "host-2", time.Minute) // a microsecond later
		must(t, err)
	})
}

func TestReleaseOwner(t *testing.T) {
	each(t, func(t *testing.T, e *env) {
		ctx := t.Context()
		var mine []flow.Lease
		for range 3 {
			mine = append(mine, e.lease(t, e.node(t).UUID))
		}
		other, err := e.Acquire(ctx, e.node(t).UUID, "host-2", time.Minute)
		must(t, err)
		freed, err := e.ReleaseOwner(ctx, "host-1")
		must(t, err)
		equal(t, "freed", freed, 3)
		freed, err = e.ReleaseOwner(ctx, "host-1")
		must(t, err)
		equal(t, "freed again", freed, 0)
		freed, err = e.ReleaseOwner(ctx, "")
		must(t, err)
		equal(t, "freed of nobody", freed, 0)
		_, err = e.UpdateNode(ctx, mine[0], nil)
		wantCode(t, err, ferric.CodeStale, "")
		_, err = e.UpdateNode(ctx, other, nil)
		must(t, err)
	})
}

func TestStart(t *testing.T) {
	each(t, func(t *testing.T, e *env) {
		ctx := t.Context()
		n := e.node(t)
		l := e.lease(t, n.UUID)
		op := plan(3)
		op.Steps[1].Data, op.Steps[1].CleanUp, op.Steps[1].Hidden, op.Steps[1].Source = json.RawMessage(`{"x":1}`), true, true, "agent"
		op.WakeAt = e.clock.now().Add(time.Hour)
		node, err := e.Start(ctx, l, op, func(n *ferric.Node) error {
			n.ProvisionState, n.TargetProvisionState = ferric.Deploying, ferric.Active
			return nil
		})
		must(t, err)
		if op.ID == "" || op.Status != flow.Running || op.NodeUUID != n.UUID || op.CreatedAt.IsZero() {
			t.Fatalf("operation: %+v", op)
		}
		equal(t, "node's state", node.ProvisionState, ferric.Deploying)
		stored, err := e.Node(ctx, n.UUID)
		must(t, err)
		equal(t, "stored node", stored, node)
		got, err := e.Operation(ctx, op.ID)
		must(t, err)
		equal(t, "operation", got, op)
		got, err = e.Unfinished(ctx, n.UUID, flow.Provision)
		must(t, err)
		equal(t, "unfinished", got, op)
		_, err = e.Unfinished(ctx, n.UUID, flow.Power)
		wantCode(t, err, ferric.CodeNotFound, "power")

		// The lane is taken; nothing of the attempt stays.
		_, err = e.Start(ctx, l, plan(1), func(n *ferric.Node) error { n.ProvisionState = ferric.ErrorState; return nil })
		wantCode(t, err, ferric.CodeConflict, "has an unfinished operation in lane provision already")
		again := plan(1)
		again.ID, again.Lane = op.ID, flow.Power
		_, err = e.Start(ctx, l, again, nil)
		wantCode(t, err, ferric.CodeConflict, "An operation with ID "+op.ID+" already exists.")
		// The other lane is free, and a failing mutate leaves it so.
		power := plan(0)
		power.Lane = flow.Power
		own := fmt.Errorf("no")
		if _, err = e.Start(ctx, l, power, func(*ferric.Node) error { return own }); err != own {
			t.Fatalf("got %v", err)
		}
		equal(t, "ID of an operation that was not started", power.ID, "")
		_, err = e.Start(ctx, l, power, nil)
		must(t, err)
		stored, err = e.Node(ctx, n.UUID)
		must(t, err)
		equal(t, "stored node after failures", stored, node)

		must(t, e.Release(ctx, l))
		_, err = e.Start(ctx, l, plan(1), nil)
		wantCode(t, err, ferric.CodeStale, "")
		_, err = e.Start(ctx, flow.Lease{NodeUUID: "nobody"}, plan(1), nil)
		wantCode(t, err, ferric.CodeNotFound, "")
		bad := plan(1)
		bad.Params = json.RawMessage(`{`)
		_, err = e.Start(ctx, e.lease(t, n.UUID), bad, nil)
		wantCode(t, err, ferric.CodeInvalid, "params")
		all, err := e.Operations(ctx, n.UUID, 0)
		must(t, err)
		equal(t, "operations", []string{all[0].ID, all[1].ID}, []string{power.ID, op.ID})
		all, err = e.Operations(ctx, n.UUID, 1)
		must(t, err)
		equal(t, "newest", len(all), 1)
		_, err = e.Operation(ctx, "gone")
		wantCode(t, err, ferric.CodeNotFound, "Operation gone could not be found.")
	})
}

func TestCheckpoint(t *testing.T) {
	each(t, func(t *testing.T, e *env) {
		ctx := t.Context()
		n := e.node(t)
		l := e.lease(t, n.UUID)
		op := e.begin(t, l, 3)
		check := func(what string) {
			t.Helper()
			got, err := e.Operation(ctx, op.ID)
			must(t, err)
			equal(t, what, got, op)
		}
		// A step ends, others come right behind it, which moves the rest.
		op.Steps[0].Status, op.Steps[0].Result, op.Steps[0].Attempts = flow.Succeeded, json.RawMessage(`{"r":[1,2]}`), 2
		op.Steps[0].StartedAt, op.Steps[0].EndedAt, op.Steps[0].Error = e.clock.now(), e.clock.now(), "almost\x00"
		more := []flow.Step{{Interface: "raid", Name: "new", Repeat: flow.Never, Status: flow.Pending}}
		op.Steps = append(op.Steps[:1:1], append(more, op.Steps[1:]...)...)
		op.Cursor, op.Conductor, op.Takeovers = 1, "host-1", 3
		history := []ferric.HistoryEntry{{Event: "first", EventType: ferric.EventProvisioning}, {Event: "second", Severity: ferric.SeverityError,
			User: "u", Project: "p", Step: "deploy.step-0", Duration: 1500 * time.Millisecond}}
		node, err := e.Checkpoint(ctx, l, op, history, func(n *ferric.Node) error { n.ProvisionState = ferric.Deploying; return nil })
		must(t, err)
		equal(t, "node's state", node.ProvisionState, ferric.Deploying)
		op.Steps[0].Error = "almost\uFFFD"
		check("after a step and an insertion")
		entries, err := e.History(ctx, n.UUID, ferric.Page{})
		must(t, err)
		equal(t, "history as filled in", entries, history)
		if h := entries[0]; h.UUID == "" || h.NodeUUID != n.UUID || h.Conductor != "host-1" || h.OperationID != op.ID ||
			h.Severity != ferric.SeverityInfo || h.State != ferric.Deploying || h.CreatedAt.IsZero() {
			t.Fatalf("history: %+v", h)
		}

		// Only what differs is written: the others keep even what the operation forgot.
		if _, err = e.peek(t).Exec("UPDATE steps SET error = 'kept' WHERE seq = 2"); err != nil {
			t.Fatal(err)
		}
		op.Steps[2].Error = "kept"
		op.Steps[3].Attempts = 9
		_, err = e.Checkpoint(ctx, l, op, nil, nil)
		must(t, err)
		check("after changing one step")

		// Fewer steps.
		op.Steps = op.Steps[:2]
		_, err = e.Checkpoint(ctx, l, op, nil, nil)
		must(t, err)
		check("after dropping steps")

		// All or nothing: history, steps and node.
		before, err := e.Node(ctx, n.UUID)
		must(t, err)
		own := fmt.Errorf("no")
		broken := *op
		broken.Error, broken.Steps = "x", append([]flow.Step{}, op.Steps...)
		broken.Steps[1].Error = "x"
		_, err = e.Checkpoint(ctx, l, &broken, []ferric.HistoryEntry{{Event: "lost"}}, func(n *ferric.Node) error { n.Owner = "lost"; return own })
		if err != own {
			t.Fatalf("got %v", err)
		}
		_, err = e.Checkpoint(ctx, l, &broken, []ferric.HistoryEntry{{UUID: entries[0].UUID}}, func(n *ferric.Node) error { n.Owner = "lost"; return nil })
		wantCode(t, err, ferric.CodeConflict, "history")
		broken.Steps[0].Data = json.RawMessage(`{"`)
		_, err = e.Checkpoint(ctx, l, &broken, nil, nil)
		wantCode(t, err, ferric.CodeInvalid, "data")
		stale := l
		stale.Epoch++
		_, err = e.Checkpoint(ctx, stale, op, []ferric.HistoryEntry{{Event: "lost"}}, func(n *ferric.Node) error { n.Owner = "lost"; return nil })
		wantCode(t, err, ferric.CodeStale, "")
		check("after failures")
		after, err := e.Node(ctx, n.UUID)
		must(t, err)
		equal(t, "node after failures", after, before)
		entries, err = e.History(ctx, n.UUID, ferric.Page{})
		must(t, err)
		equal(t, "history after failures", len(entries), 2)

		// The end: the lane is free, the operation cannot come back, and its end may be written twice.
		op.Status = flow.Succeeded
		_, err = e.Checkpoint(ctx, l, op, nil, nil)
		must(t, err)
		if op.EndedAt.IsZero() {
			t.Fatal("no end")
		}
		_, err = e.Checkpoint(ctx, l, op, nil, nil)
		must(t, err)
		check("after the end")
		zombie := *op
		zombie.Status, zombie.EndedAt = flow.Running, time.Time{}
		_, err = e.Checkpoint(ctx, l, &zombie, nil, nil)
		wantCode(t, err, ferric.CodeConflict, "has ended already")
		_, err = e.Unfinished(ctx, n.UUID, flow.Provision)
		wantCode(t, err, ferric.CodeNotFound, "")
		e.begin(t, l, 1)

		// An operation of another node is not found under this lease.
		other := e.node(t)
		_, err = e.Checkpoint(ctx, e.lease(t, other.UUID), op, nil, nil)
		wantCode(t, err, ferric.CodeNotFound, op.ID)
		_, err = e.Checkpoint(ctx, l, &flow.Operation{ID: "gone"}, nil, nil)
		wantCode(t, err, ferric.CodeNotFound, "gone")
	})
}

func TestPruneOperations(t *testing.T) {
	each(t, func(t *testing.T, e *env) {
		ctx := t.Context()
		l := e.lease(t, e.node(t).UUID)
		var ids []string
		for range 5 {
			op := e.begin(t, l, 2)
			op.Status = flow.Succeeded
			_, err := e.Checkpoint(ctx, l, op, nil, nil)
			must(t, err)
			ids = append(ids, op.ID)
		}
		other := e.lease(t, e.node(t).UUID)
		for range 2 {
			op := e.begin(t, other, 1)
			op.Status = flow.Succeeded
			_, err := e.Checkpoint(ctx, other, op, nil, nil)
			must(t, err)
		}
		open := e.begin(t, l, 1)
		gone, err := e.PruneOperations(ctx, 2)
		must(t, err)
		equal(t, "pruned", gone, 3)
		left, err := e.Operations(ctx, l.NodeUUID, 0)
		must(t, err)
		equal(t, "left", []string{left[0].ID, left[1].ID, left[2].ID}, []string{open.ID, ids[4], ids[3]})
		equal(t, "steps of those left", len(left[1].Steps), 2)
	})
}
