package store_test

import (
	"slices"
	"testing"
	"time"

	"ferric"
	"ferric/flow"
)

func TestDueAndNextWake(t *testing.T) {
	each(t, func(t *testing.T, e *env) {
		ctx := t.Context()
		start := e.clock.now().Add(time.Hour)
		at := func(min int) time.Time { return start.Add(time.Duration(min) * time.Minute) }
		e.after(time.Hour)
		ids := map[string]string{}
		add := func(name string, status flow.Status, wakeAt time.Time, group string, lane flow.Lane) flow.Lease {
			t.Helper()
			n := e.node(t, func(n *ferric.Node) { n.ConductorGroup = group })
			l, err := e.Acquire(ctx, n.UUID, "host-1", 24*time.Hour)
			must(t, err)
			op := plan(1)
			op.Status, op.WakeAt, op.WaitFor, op.Lane = status, wakeAt, flow.EventHeartbeat, lane
			_, err = e.Start(ctx, l, op, nil)
			must(t, err)
			ids[op.ID] = name
			if name != "held by its worker" {
				must(t, e.Release(ctx, l))
			}
			return l
		}
		add("waiting until 10", flow.Waiting, at(10), "g1", flow.Provision)
		add("waiting until 5", flow.Waiting, at(5), "", flow.Power)
		add("failing until 20", flow.Failing, at(20), "", flow.Provision)
		add("waiting for the event alone", flow.Waiting, time.Time{}, "", flow.Provision)
		add("held", flow.Held, time.Time{}, "", flow.Provision)
		worker := add("held by its worker", flow.Running, time.Time{}, "", flow.Provision)
		add("running", flow.Running, time.Time{}, "", flow.Provision)
		add("ended", flow.Failed, at(1), "", flow.Provision)
		due := func(min, limit int) (names []string) {
			t.Helper()
			list, err := e.Due(ctx, at(min), limit)
			must(t, err)
			for _, d := range list {
				names = append(names, ids[d.OperationID])
				if d.NodeUUID == "" || d.WakeAt.IsZero() || d.WakeAt.After(at(min)) {
					t.Errorf("due: %+v", d)
				}
				if ids[d.OperationID] == "waiting until 10" && (d.ConductorGroup != "g1" || d.Lane != flow.Provision || !d.WakeAt.Equal(at(10))) {
					t.Errorf("due: %+v", d)
				}
			}
			return names
		}
		wake := func(min int) time.Time {
			t.Helper()
			w, err := e.NextWake(ctx, at(min))
			must(t, err)
			return w
		}
		equal(t, "due at 1", due(1, 10), []string{"running"})
		equal(t, "due at 5", due(5, 10), []string{"running", "waiting until 5"})
		equal(t, "due at 30", due(30, 10), []string{"running", "waiting until 5", "waiting until 10", "failing until 20"})
		equal(t, "longest due", due(30, 2), []string{"running", "waiting until 5"})
		equal(t, "without limit", len(due(30, 0)), 4)
		equal(t, "next after 1", wake(1), at(5))
		equal(t, "next after 5", wake(5), at(10))
		equal(t, "next after 10", wake(10), at(20))
		equal(t, "next after all", wake(20), time.Time{})
		// A worker that died: its node's lease runs out.
		equal(t, "after a day", due(25*60, 10), []string{"held by its worker", "running", "waiting until 5", "waiting until 10", "failing until 20"})
		must(t, e.Release(ctx, worker))
		equal(t, "after its release", due(1, 10), []string{"held by its worker", "running"})
	})
}

func TestSignal(t *testing.T) {
	type script func(t *testing.T, e *env, l flow.Lease, op *flow.Operation)
	signal := func(events ...string) script {
		return func(t *testing.T, e *env, _ flow.Lease, op *flow.Operation) {
			for _, event := range events {
				must(t, e.Signal(t.Context(), op.NodeUUID, event))
			}
		}
	}
	rest := func(status flow.Status, waitFor string, poll time.Duration) script {
		return func(t *testing.T, e *env, l flow.Lease, op *flow.Operation) {
			op.Status, op.WaitFor, op.WakeAt = status, waitFor, time.Time{}
			if status == flow.Failing {
				op.Steps[0].Status = flow.Waiting
			}
			if poll > 0 {
				op.WakeAt = e.clock.now().Add(poll)
			}
			_, err := e.Checkpoint(t.Context(), l, op, nil, nil)
			must(t, err)
		}
	}
	begin := func(t *testing.T, e *env, l flow.Lease, op *flow.Operation) { // as the runner does: sees all signals so far
		op.Status, op.Steps[0].Status = flow.Running, flow.Running
		_, err := e.Checkpoint(t.Context(), l, op, nil, nil)
		must(t, err)
	}
	save := func(t *testing.T, e *env, l flow.Lease, op *flow.Operation) { // in the middle of a step: has seen none of them
		seen := op.Signals
		_, err := e.Checkpoint(t.Context(), l, op, nil, nil)
		must(t, err)
		op.Signals = seen
	}
	abort := func(t *testing.T, e *env, l flow.Lease, op *flow.Operation) {
		must(t, e.RequestAbort(t.Context(), op.ID, "because"))
	}
	cases := map[string]struct {
		script []script
		due    bool
	}{
		"waiting":                           {[]script{rest(flow.Waiting, "heartbeat", time.Hour)}, false},
		"waiting, then the event":           {[]script{rest(flow.Waiting, "heartbeat", time.Hour), signal("heartbeat")}, true},
		"for the event alone":               {[]script{rest(flow.Waiting, "heartbeat", 0), signal("heartbeat")}, true},
		"another event":                     {[]script{rest(flow.Waiting, "inspection", time.Hour), signal("heartbeat")}, false},
		"for the time, then an event":       {[]script{rest(flow.Waiting, "", time.Hour), signal("heartbeat", "")}, false},
		"the event, then waiting":           {[]script{signal("heartbeat"), rest(flow.Waiting, "heartbeat", time.Hour)}, true},
		"another event, then waiting":       {[]script{signal("heartbeat"), rest(flow.Waiting, "inspection", time.Hour)}, false},
		"the event and another":             {[]script{signal("inspection", "heartbeat"), rest(flow.Waiting, "inspection", time.Hour)}, true},
		"the event, seen, then waiting":     {[]script{signal("heartbeat"), begin, rest(flow.Waiting, "heartbeat", time.Hour)}, false},
		"seen, the event, then waiting":     {[]script{signal("heartbeat"), begin, signal("heartbeat"), rest(flow.Waiting, "heartbeat", 0)}, true},
		"the event, saved, then waiting":    {[]script{signal("heartbeat"), save, rest(flow.Waiting, "heartbeat", time.Hour)}, true},
		"held":                              {[]script{rest(flow.Held, "unhold", 0)}, false},
		"held, heartbeats":                  {[]script{signal("heartbeat"), rest(flow.Held, "unhold", 0), signal("heartbeat")}, false},
		"held, unhold":                      {[]script{rest(flow.Held, "unhold", 0), signal("unhold")}, true},
		"failing, waiting":                  {[]script{rest(flow.Failing, "heartbeat", time.Hour)}, false},
		"failing, waiting, event":           {[]script{rest(flow.Failing, "heartbeat", time.Hour), signal("heartbeat")}, true},
		"failing, event, waiting":           {[]script{signal("heartbeat"), rest(flow.Failing, "heartbeat", time.Hour)}, true},
		"waiting, abort":                    {[]script{rest(flow.Waiting, "heartbeat", time.Hour), abort}, true},
		"held, abort":                       {[]script{rest(flow.Held, "unhold", 0), abort}, true},
		"abort, waiting":                    {[]script{abort, rest(flow.Waiting, "heartbeat", time.Hour)}, true},
		"abort, saved, waiting":             {[]script{abort, save, rest(flow.Waiting, "heartbeat", time.Hour)}, true},
		"abort, failing, waiting (no spin)": {[]script{abort, save, rest(flow.Failing, "heartbeat", time.Hour)}, false},
	}
	each(t, func(t *testing.T, e *env) {
		for name, tc := range cases {
			t.Run(name, func(t *testing.T) {
				ctx := t.Context()
				l := e.lease(t, e.node(t).UUID)
				op := e.begin(t, l, 1)
				for _, s := range tc.script {
					s(t, e, l, op)
				}
				stored, err := e.Operation(ctx, op.ID)
				must(t, err)
				must(t, e.Release(ctx, l))
				now := e.clock.now()
				list, err := e.Due(ctx, now, 0)
				must(t, err)
				due := slices.ContainsFunc(list, func(d flow.Due) bool { return d.OperationID == op.ID })
				if due != tc.due {
					t.Fatalf("due: %v, want %v (stored: %+v)", due, tc.due, stored)
				}
				if due && (stored.WakeAt.IsZero() || stored.WakeAt.After(now)) {
					t.Fatalf("due, but wakes at %v", stored.WakeAt)
				}
			})
		}
	})
}

func TestSignalCounts(t *testing.T) {
	each(t, func(t *testing.T, e *env) {
		ctx := t.Context()
		must(t, e.Signal(ctx, "nobody", flow.EventHeartbeat))
		n := e.node(t)
		must(t, e.Signal(ctx, n.UUID, flow.EventHeartbeat)) // no operation: for nobody
		l := e.lease(t, n.UUID)
		op := e.begin(t, l, 1)
		power := plan(1)
		power.Lane = flow.Power
		_, err := e.Start(ctx, l, power, nil)
		must(t, err)
		for range 3 {
			must(t, e.Signal(ctx, n.UUID, flow.EventHeartbeat))
		}
		for _, id := range []string{op.ID, power.ID} { // all unfinished operations of the node count
			got, err := e.Operation(ctx, id)
			must(t, err)
			equal(t, "signals", got.Signals, int64(3))
		}
		op.Signals = 1 // whatever the caller believes
		_, err = e.Checkpoint(ctx, l, op, nil, nil)
		must(t, err)
		equal(t, "signals after a checkpoint", op.Signals, int64(3))
		op.Status = flow.Failed
		_, err = e.Checkpoint(ctx, l, op, nil, nil)
		must(t, err)
		must(t, e.Signal(ctx, n.UUID, flow.EventHeartbeat))
		got, err := e.Operation(ctx, op.ID)
		must(t, err)
		equal(t, "signals of an ended operation", got.Signals, int64(3))
	})
}

func TestRequestAbort(t *testing.T) {
	each(t, func(t *testing.T, e *env) {
		ctx := t.Context()
		l := e.lease(t, e.node(t).UUID)
		op := e.begin(t, l, 1)
		must(t, e.RequestAbort(ctx, op.ID, "first"))
		must(t, e.RequestAbort(ctx, op.ID, "second"))
		wantCode(t, e.RequestAbort(ctx, op.ID, ""), ferric.CodeInvalid, "reason")
		// A checkpoint by a worker that does not know yet does not wipe it out, and tells the worker.
		_, err := e.Checkpoint(ctx, l, op, nil, nil)
		must(t, err)
		equal(t, "reason as the worker sees it", op.Abort, "first")
		got, err := e.Operation(ctx, op.ID)
		must(t, err)
		equal(t, "reason", got.Abort, "first")
		op.Status = flow.Failed
		_, err = e.Checkpoint(ctx, l, op, nil, nil)
		must(t, err)
		wantCode(t, e.RequestAbort(ctx, op.ID, "late"), ferric.CodeNotFound, op.ID)
		wantCode(t, e.RequestAbort(ctx, "gone", "x"), ferric.CodeNotFound, "gone")
	})
}

// TestRewake: operations that were written down in the future become due; held ones and those of the present stay as they are.
func TestRewake(t *testing.T) {
	each(t, func(t *testing.T, e *env) {
		ctx := t.Context()
		start := e.clock.now()
		ids := map[string]string{}
		for name, held := range map[string]bool{"waiting": false, "held": true} {
			n := e.node(t)
			l := e.lease(t, n.UUID)
			op := plan(1)
			_, err := e.Start(ctx, l, op, nil)
			must(t, err)
			op.Status, op.WaitFor, op.WakeAt = flow.Waiting, "news", start.Add(2*time.Hour)
			if held {
				op.Status, op.WakeAt = flow.Held, time.Time{}
			}
			_, err = e.Checkpoint(ctx, l, op, nil, nil)
			must(t, err)
			must(t, e.Release(ctx, l))
			ids[name] = op.ID
		}
		for _, c := range []struct {
			back  time.Duration
			woken int
		}{{0, 0}, {time.Minute, 0}, {time.Hour, 1}, {time.Hour, 0}} {
			now := start.Add(-c.back)
			n, err := e.Rewake(ctx, now, 2*time.Minute)
			must(t, err)
			equal(t, "woken", n, c.woken)
			due, err := e.Due(ctx, now.Add(time.Second), 0)
			must(t, err)
			if c.woken > 0 && (len(due) != 1 || due[0].OperationID != ids["waiting"]) {
				t.Errorf("due: %v", due)
			}
		}
	})
}
