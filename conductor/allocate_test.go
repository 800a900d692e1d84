package conductor_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"ferric"
	"ferric/rpc"
	"ferric/store"
	"ferric/store/pgtest"

	"github.com/google/uuid"
)

// spare makes a node fit to be allocated.
func spare(n *ferric.Node) {
	n.PowerState, n.ResourceClass = ferric.PowerOff, "large"
}

// ask asks for an allocation, and must get it.
func (b *bench) ask(change ...func(*ferric.Allocation)) *ferric.Allocation {
	b.Helper()
	a := &ferric.Allocation{ResourceClass: "large"}
	for _, f := range change {
		f(a)
	}
	var made ferric.Allocation
	if err := b.call(rpc.CreateAllocation, rpc.AllocationArgs{Allocation: a}, &made); err != nil {
		b.Fatal(err)
	}
	if made.State != ferric.AllocationPending {
		b.Fatalf("made as %q", made.State)
	}
	return &made
}

// settled waits until an allocation has a node or never will.
func (b *bench) settled(id string) *ferric.Allocation {
	b.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		a, err := b.store.Allocation(context.Background(), id)
		if err != nil {
			b.Fatal(err)
		}
		if a.State != ferric.AllocationPending {
			return a
		}
		if time.Now().After(deadline) {
			b.Fatalf("still %+v", a)
		}
	}
}

func TestAllocate(t *testing.T) {
	b := newBench(t)
	b.boot("one")
	node := b.site.node("lab", spare, func(n *ferric.Node) { n.Traits = []string{"CUSTOM_A"} }).id
	a := b.settled(b.ask(func(a *ferric.Allocation) { a.Traits = []string{"CUSTOM_A"} }).UUID)
	if a.State != ferric.AllocationActive || a.NodeUUID != node || a.Conductor != "one" {
		t.Fatalf("%+v", a)
	}
	n := b.node(node)
	same(t, "traits of the instance", any([]any{"CUSTOM_A"}), n.InstanceInfo["traits"])
	if n.InstanceID != a.UUID || n.AllocationUUID != a.UUID {
		t.Fatalf("instance %q, allocation %q", n.InstanceID, n.AllocationUUID)
	}

	for name, c := range map[string]struct {
		change func(*ferric.Allocation)
		want   string
	}{
		"class":     {func(a *ferric.Allocation) { a.ResourceClass = "tiny" }, "no available nodes match the resource class tiny."},
		"all taken": {func(*ferric.Allocation) {}, "no available nodes match the resource class large."},
		"candidates": {func(a *ferric.Allocation) { a.CandidateNodes = []string{node} },
			"none of the requested nodes are available and match the resource class large."},
		"traits": {func(a *ferric.Allocation) { a.ResourceClass, a.Traits = "other", []string{"CUSTOM_B", "CUSTOM_A"} },
			"no suitable nodes have the requested traits CUSTOM_B, CUSTOM_A."},
	} {
		if name == "traits" {
			b.site.node("lab", spare, func(n *ferric.Node) { n.ResourceClass, n.Traits = "other", []string{"CUSTOM_A"} })
		}
		failed := b.settled(b.ask(c.change).UUID)
		if want := "Failed to process allocation " + failed.UUID + ": " + c.want; failed.State != ferric.AllocationFailed || failed.LastError != want || failed.NodeUUID != "" {
			t.Errorf("%s: %s %q, want %q", name, failed.State, failed.LastError, want)
		}
		if err := b.call(rpc.DestroyAllocation, rpc.AllocationRef{UUID: failed.UUID}, nil); err != nil {
			t.Error(err)
		}
	}
	wantCode(t, b.call(rpc.CreateAllocation, rpc.AllocationArgs{Allocation: &ferric.Allocation{UUID: a.UUID}}, nil), ferric.CodeConflict,
		"An allocation with UUID "+a.UUID+" already exists.")

	// The instance comes and goes.
	b.verb(node, "active")
	b.reaches(node, ferric.Active)
	destroy := func() error { return b.call(rpc.DestroyAllocation, rpc.AllocationRef{UUID: a.UUID}, nil) }
	wantCode(t, destroy(), ferric.CodeConflict, "Cannot remove allocation "+a.UUID+" for node "+node+", because the node is active (and maintenance mode is off)")
	release := b.node(node)
	release.InstanceID = ""
	wantCode(t, b.call(rpc.UpdateNode, rpc.NodeArgs{Node: release}, nil), ferric.CodeConflict, "Node "+node+" with an allocation can not have instance_uuid removed")
	b.verb(node, "deleted")
	b.reaches(node, ferric.Available)
	if _, err := b.store.Allocation(t.Context(), a.UUID); !ferric.IsCode(err, ferric.CodeNotFound) {
		t.Errorf("the allocation outlived its instance: %v", err)
	}
	wantCode(t, destroy(), ferric.CodeNotFound, "Allocation "+a.UUID+" could not be found.")
	if n := b.node(node); n.AllocationUUID != "" || n.InstanceID != "" {
		t.Errorf("after the undeploy: %q, %q", n.AllocationUUID, n.InstanceID)
	}

	// One that is not used is given back; so is one whose instance is taken off the node.
	a = b.settled(b.ask().UUID)
	if err := destroy(); err != nil {
		t.Fatal(err)
	}
	if n := b.node(a.NodeUUID); n.AllocationUUID != "" || n.InstanceID != "" {
		t.Errorf("after the end: %q, %q", n.AllocationUUID, n.InstanceID)
	}
	a = b.settled(b.ask().UUID)
	release = b.node(a.NodeUUID)
	release.InstanceID = ""
	if err := b.call(rpc.UpdateNode, rpc.NodeArgs{Node: release}, nil); err != nil {
		t.Fatal(err)
	}
	wantCode(t, destroy(), ferric.CodeNotFound)
}

// TestAllocateHeldNodes: a node that somebody works on is tried again, but not for ever.
func TestAllocateHeldNodes(t *testing.T) {
	b := newBench(t)
	b.boot("one")
	node := b.site.node("lab", spare).id
	lease, err := b.store.Acquire(t.Context(), node, "somebody", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	a := b.ask()
	failed := b.settled(a.UUID)
	if want := "Failed to process allocation " + a.UUID + ": could not reserve any of 1 suitable nodes."; failed.LastError != want || failed.Attempts != 3 {
		t.Errorf("%q after %d tries, want %q", failed.LastError, failed.Attempts, want)
	}
	a = b.ask()
	if err := b.store.Release(t.Context(), lease); err != nil {
		t.Fatal(err)
	}
	if a = b.settled(a.UUID); a.NodeUUID != node {
		t.Errorf("%+v", a)
	}
}

func TestBackfill(t *testing.T) {
	b := newBench(t)
	b.boot("one")
	instance := uuid.NewString()
	node := b.site.node("lab", spare, in(ferric.Active), func(n *ferric.Node) { n.InstanceID, n.Traits = instance, []string{"CUSTOM_A"} }).id
	idle := b.site.node("lab", spare).id
	fill := func(a *ferric.Allocation) (*ferric.Allocation, error) {
		var made ferric.Allocation
		err := b.call(rpc.CreateAllocation, rpc.AllocationArgs{Allocation: a}, &made)
		return &made, err
	}
	for name, c := range map[string]struct {
		a    ferric.Allocation
		code ferric.Code
		text string
	}{
		"state":      {ferric.Allocation{NodeUUID: idle}, ferric.CodeInvalid, `Cannot backfill an allocation for node ` + idle + `: Node must be in the "active" state, but the current state is "available".`},
		"class":      {ferric.Allocation{NodeUUID: node, UUID: instance, ResourceClass: "x"}, ferric.CodeInvalid, "Resource class large does not match the requested resource class x"},
		"traits":     {ferric.Allocation{NodeUUID: node, Traits: []string{"CUSTOM_B"}}, ferric.CodeInvalid, "List of traits CUSTOM_A does not match the requested traits CUSTOM_B"},
		"candidates": {ferric.Allocation{NodeUUID: node, CandidateNodes: []string{idle}}, ferric.CodeInvalid, "Candidate nodes must be empty or contain the target node, but got " + idle},
		"instance":   {ferric.Allocation{NodeUUID: node, UUID: uuid.NewString()}, ferric.CodeConflict, "Node " + node + " is associated with instance " + instance + "."},
		"no node":    {ferric.Allocation{NodeUUID: uuid.NewString()}, ferric.CodeNotFound, "could not be found."},
	} {
		_, err := fill(&c.a)
		if wantCode(t, err, c.code, c.text); t.Failed() {
			t.Fatal(name)
		}
		if name == "class" { // what failed stays behind, and its UUID with it
			failed := b.settled(instance)
			if failed.State != ferric.AllocationFailed || failed.LastError != err.Error() {
				t.Errorf("%+v", failed)
			}
			if err := b.call(rpc.DestroyAllocation, rpc.AllocationRef{UUID: instance}, nil); err != nil {
				t.Fatal(err)
			}
		}
	}
	a, err := fill(&ferric.Allocation{NodeUUID: node, UUID: instance, Name: "filled", ResourceClass: "large", Traits: []string{"CUSTOM_A"}})
	if err != nil || a.State != ferric.AllocationActive || a.NodeUUID != node {
		t.Fatalf("%+v, %v", a, err)
	}
	if n := b.node(node); n.AllocationUUID != instance {
		t.Errorf("allocation %q", n.AllocationUUID)
	}
}

// TestAllocationsSurvive kills the conductor at its nth write while many allocations want few nodes, on both databases, and lets another one go on.
// Each node is given away once, and nothing is left undecided.
func TestAllocationsSurvive(t *testing.T) {
	var server pgtest.Server
	t.Cleanup(server.Stop)
	for _, engine := range []string{"sqlite", "postgres"} {
		for _, after := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, after=%v", engine, after), func(t *testing.T) {
				for _, left := range []int{1, 2, 7, 11, 12} {
					b := newBench(t)
					if engine == "postgres" {
						b = newBenchOn(t, server.Fresh(t))
					}
					const nodes, wishes = 4, 6
					for range nodes {
						b.site.node("lab", spare)
					}
					first := &mortal{Store: b.store, left: left, after: after}
					b.bootOn(first, "one")
					b.boot("two")
					var asked sync.Map
					var all sync.WaitGroup
					for i := range wishes {
						all.Go(func() {
							a := &ferric.Allocation{UUID: uuid.NewString(), Name: fmt.Sprint("a", i), ResourceClass: "large"}
							p := b.procs[i%2]
							// A call that dies may have been done or not. Its caller asks again, and is told then.
							if p.call(rpc.CreateAllocation, rpc.AllocationArgs{Allocation: a}, nil) != nil {
								err := b.procs[1].call(rpc.CreateAllocation, rpc.AllocationArgs{Allocation: a}, nil)
								if err != nil && !ferric.IsCode(err, ferric.CodeConflict) {
									t.Error(err)
								}
							}
							asked.Store(a.UUID, true)
						})
					}
					all.Wait()
					used := map[string]bool{}
					failed := 0
					asked.Range(func(id, _ any) bool {
						a := b.settled(id.(string))
						if a.State == ferric.AllocationFailed {
							failed++
							return true
						}
						if n := b.node(a.NodeUUID); used[a.NodeUUID] || n.InstanceID != a.UUID || n.AllocationUUID != a.UUID {
							t.Errorf("left %d: %+v has a node that has instance %q and allocation %q", left, a, n.InstanceID, n.AllocationUUID)
						}
						used[a.NodeUUID] = true
						return true
					})
					if len(used) != nodes || failed != wishes-nodes {
						t.Errorf("left %d: %d nodes given away, %d refused", left, len(used), failed)
					}
					for _, p := range b.procs {
						p.stop()
					}
				}
			})
		}
	}
}

// TestAllocationKilledAtEveryWrite kills the conductor at every one of its writes while an allocation is asked for, tried on a node that is held, gets
// it, and is given back: the next one goes on, and whoever asks again is told what came of it.
func TestAllocationKilledAtEveryWrite(t *testing.T) {
	for _, after := range []bool{false, true} {
		t.Run(fmt.Sprintf("after=%v", after), func(t *testing.T) {
			t.Parallel()
			n := 1
			for allocationKilledAt(t, after, n) && !t.Failed() {
				n += killEvery
			}
			if n < 6 {
				t.Errorf("it ended after %d writes; it was not killed often", n-1)
			}
		})
	}
}

// allocationKilledAt reports whether an allocation's life came as far as the nth write.
func allocationKilledAt(t *testing.T, after bool, n int) bool {
	b := newBench(t)
	defer b.site.close()
	node := b.site.node("lab", spare).id
	held, err := b.store.Acquire(t.Context(), node, "somebody", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	first := &mortal{Store: b.store, left: n, after: after}
	p := b.bootOn(first, "one")
	heir := sync.OnceFunc(func() { p.kill(); bury(b, "one"); b.boot("two") })
	// insist calls again what a death left without an answer, as the API does; what an attempt has done already is no error.
	insist := func(method rpc.Method, args any, done ferric.Code) {
		t.Helper()
		err := b.call(method, args, nil)
		if err != nil && first.isDead() {
			heir()
			if err = b.call(method, args, nil); ferric.IsCode(err, done) {
				err = nil
			}
		}
		if err != nil {
			t.Errorf("killed at write %d: %s: %v", n, method, err)
		}
	}
	a := &ferric.Allocation{UUID: uuid.NewString(), ResourceClass: "large"}
	insist(rpc.CreateAllocation, rpc.AllocationArgs{Allocation: a}, ferric.CodeConflict)
	for now := a; now.Attempts == 0; { // the node is held: it is to be tried again
		if first.isDead() {
			heir()
		}
		if now, err = b.store.Allocation(t.Context(), a.UUID); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Millisecond)
	}
	if err := b.store.Release(t.Context(), held); err != nil {
		t.Fatal(err)
	}
	b.until(node, "given away", func(n *ferric.Node) bool {
		if first.isDead() {
			heir()
		}
		return n.AllocationUUID == a.UUID
	})
	if got := b.settled(a.UUID); got.State != ferric.AllocationActive || got.NodeUUID != node || b.node(node).InstanceID != a.UUID {
		t.Errorf("killed at write %d: %+v, instance %q", n, got, b.node(node).InstanceID)
	}
	insist(rpc.DestroyAllocation, rpc.AllocationRef{UUID: a.UUID}, ferric.CodeNotFound)
	if now := b.node(node); now.AllocationUUID != "" || now.InstanceID != "" {
		t.Errorf("killed at write %d: after the end: allocation %q, instance %q", n, now.AllocationUUID, now.InstanceID)
	}
	if _, err := b.store.Allocation(t.Context(), a.UUID); !ferric.IsCode(err, ferric.CodeNotFound) {
		t.Errorf("killed at write %d: the allocation is still there: %v", n, err)
	}
	came := first.isDead()
	for _, p := range b.procs {
		p.stop()
	}
	return came
}

func newBenchOn(t *testing.T, url string) *bench {
	t.Helper()
	c := store.Defaults()
	c.DataDir, c.URL = memory(t), url
	s, err := store.Open(t.Context(), c, quiet())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	b := &bench{T: t, store: s}
	b.site = newSite(b)
	return b
}
