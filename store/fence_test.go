package store_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"ferric"
	"ferric/flow"

	"github.com/google/uuid"
)

// underLease runs do as a step of an operation does its work: under the lease of a runner.
func underLease(t *testing.T, e *env, node string, do func(ctx context.Context)) {
	t.Helper()
	r := flow.New(flow.Config{Ledger: e.Store, Owner: "one", LeaseTTL: time.Hour})
	if err := r.WithLease(t.Context(), node, func(ctx context.Context, _ flow.Lease) error { do(ctx); return nil }); err != nil {
		t.Fatal(err)
	}
}

// TestNothingWithAnOldEpoch lets another conductor take a node over while work goes on under the old lease: none of its writes changes anything.
func TestNothingWithAnOldEpoch(t *testing.T) {
	each(t, func(t *testing.T, e *env) {
		n := &ferric.Node{UUID: uuid.NewString(), Driver: "fake-hardware"}
		must(t, e.CreateNode(t.Context(), n))
		must(t, e.BeginAgentSession(t.Context(), n.UUID))
		underLease(t, e, n.UUID, func(ctx context.Context) {
			must(t, e.SetDriverState(ctx, n.UUID, "x", []byte("before"))) // with the lease it may
			_, err := e.ReleaseOwner(t.Context(), "one")
			must(t, err)
			_, err = e.Acquire(t.Context(), n.UUID, "two", time.Hour)
			must(t, err)
			for name, write := range map[string]func() error{
				"driver state":     func() error { return e.SetDriverState(ctx, n.UUID, "x", []byte("after")) },
				"no driver state":  func() error { return e.SetDriverState(ctx, n.UUID, "x", nil) },
				"agent session":    func() error { return e.BeginAgentSession(ctx, n.UUID) },
				"end of a session": func() error { return e.EndAgentSession(ctx, n.UUID) },
				"config drive":     func() error { return e.SetConfigDrive(ctx, n.UUID, []byte("data")) },
				"inventory":        func() error { return e.SetInventory(ctx, &ferric.Inventory{NodeUUID: n.UUID, Inventory: []byte("{}")}) },
				"port":             func() error { return e.CreatePort(ctx, &ferric.Port{NodeUUID: n.UUID, Address: "52:54:00:00:00:01"}) },
				"history":          func() error { return e.AddHistory(ctx, &ferric.HistoryEntry{UUID: uuid.NewString(), NodeUUID: n.UUID}) },
				"BIOS settings":    func() error { return e.SetBIOSSettings(ctx, n.UUID, []ferric.BIOSSetting{{Name: "a"}}) },
				"change of a node": func() error {
					_, err := e.ForceNode(ctx, n.UUID, 0, func(n *ferric.Node) error { n.Description = "x"; return nil })
					return err
				},
				"removal of the node": func() error { return e.DeleteNode(ctx, n.UUID, flow.Lease{}) },
			} {
				if err := write(); !ferric.IsCode(err, ferric.CodeStale) {
					t.Errorf("%s: %v, want CodeStale", name, err)
				}
			}
		})
		state, err := e.DriverState(t.Context(), n.UUID, "x")
		must(t, err)
		if now, err := e.Node(t.Context(), n.UUID); err != nil || now.Description != "" || now.Reservation != "two" || string(state) != "before" {
			t.Errorf("node %+v, %v, state %q", now, err, state)
		}
	})
}

// TestRequestIsCarriedOutOnce lets many attempts of one call write at the same time.
func TestRequestIsCarriedOutOnce(t *testing.T) {
	each(t, func(t *testing.T, e *env) {
		key := uuid.NewString()
		const attempts = 8
		errs := make([]error, attempts)
		var all sync.WaitGroup
		for i := range attempts {
			all.Go(func() {
				ctx := flow.WithRequest(t.Context(), flow.Request{Key: key, Attempt: uuid.NewString(), Repeated: i > 0})
				errs[i] = e.CreateNode(flow.CarriesOut(ctx), &ferric.Node{UUID: uuid.NewString(), Driver: "fake-hardware"})
			})
		}
		all.Wait()
		made := 0
		for _, err := range errs {
			switch {
			case err == nil:
				made++
			case err != flow.ErrCarriedOut:
				t.Errorf("an attempt failed: %v", err)
			}
		}
		nodes, err := e.Nodes(t.Context(), ferric.NodeFilter{IncludeChildren: true}, ferric.Page{})
		must(t, err)
		if made != 1 || len(nodes) != 1 {
			t.Errorf("%d attempts were carried out, and there are %d nodes", made, len(nodes))
		}
		if _, done, err := e.Request(t.Context(), key); err != nil || !done {
			t.Errorf("the request is not noted: %v", err)
		}
		_, err = e.PruneRequests(t.Context(), e.Now().Add(time.Hour))
		must(t, err)
		if _, done, err := e.Request(t.Context(), key); err != nil || done {
			t.Errorf("the request is noted still: %v", err)
		}
	})
}
