package store_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"ferric"
	"ferric/flow"
	"ferric/store"
)

// free makes nodes fit to be allocated.
func free(n *ferric.Node) {
	n.ProvisionState, n.PowerState, n.ResourceClass = ferric.Available, ferric.PowerOff, "large"
}

func (e *env) allocation(t *testing.T, change ...func(*ferric.Allocation)) *ferric.Allocation {
	t.Helper()
	a := &ferric.Allocation{ResourceClass: "large"}
	for _, c := range change {
		c(a)
	}
	must(t, e.CreateAllocation(t.Context(), a))
	return a
}

func TestAllocations(t *testing.T) {
	each(t, func(t *testing.T, e *env) {
		ctx := t.Context()
		node := e.node(t, free, func(n *ferric.Node) {
			n.InstanceInfo = map[string]any{"kept": "yes"}
			n.Traits = []string{"CUSTOM_A", "CUSTOM_B"}
		})
		a := e.allocation(t, func(a *ferric.Allocation) {
			a.Name, a.Owner, a.Extra, a.CandidateNodes, a.Traits = "a", "", map[string]any{"x": "y"}, []string{node.UUID}, []string{"CUSTOM_B", "CUSTOM_A", "CUSTOM_B"}
		})
		if a.UUID == "" || a.State != ferric.AllocationPending || a.Version != 1 || a.CreatedAt.IsZero() || a.DueAt.IsZero() {
			t.Fatalf("created %+v", a)
		}
		wantCode(t, e.CreateAllocation(ctx, &ferric.Allocation{Name: "a"}), ferric.CodeConflict, "An allocation with name a already exists.")
		wantCode(t, e.CreateAllocation(ctx, &ferric.Allocation{UUID: a.UUID}), ferric.CodeConflict, "An allocation with UUID "+a.UUID+" already exists.")
		byName, err := e.AllocationByName(ctx, "a")
		must(t, err)
		equal(t, "by name", byName, a)

		due, err := e.DueAllocations(ctx, 10)
		must(t, err)
		equal(t, "due", due, []string{a.UUID})
		next, err := e.NextAllocation(ctx)
		must(t, err)
		equal(t, "next", next, a.DueAt)
		taken, _, err := e.Allocate(ctx, a.UUID, "host-1")
		must(t, err)
		got, err := e.Allocation(ctx, a.UUID)
		must(t, err)
		if !taken || got.State != ferric.AllocationActive || got.NodeUUID != node.UUID || got.Conductor != "host-1" || got.Version != 2 {
			t.Fatalf("allocated %v: %+v", taken, got)
		}
		n, err := e.Node(ctx, node.UUID)
		must(t, err)
		equal(t, "instance_info", n.InstanceInfo, map[string]any{"kept": "yes", "traits": []any{"CUSTOM_B", "CUSTOM_A", "CUSTOM_B"}})
		equal(t, "instance", []string{n.InstanceID, n.AllocationUUID}, []string{a.UUID, a.UUID})
		taken, _, err = e.Allocate(ctx, a.UUID, "host-2")
		must(t, err)
		equal(t, "allocated again", taken, true)
		wantCode(t, e.DeleteAllocation(ctx, a.UUID), ferric.CodeConflict, "has got node "+node.UUID)

		for name, f := range map[string]ferric.AllocationFilter{"all": {}, "node": {NodeUUID: node.UUID}, "class": {ResourceClass: "large"},
			"state": {State: ferric.AllocationActive}, "page": {Page: ferric.Page{SortKey: "name", Limit: 1}}} {
			list, err := e.Allocations(ctx, f)
			must(t, err)
			equal(t, name, list, []*ferric.Allocation{got})
		}
		list, err := e.Allocations(ctx, ferric.AllocationFilter{Owner: "nobody"})
		must(t, err)
		equal(t, "nobody's", len(list), 0)
		_, err = e.Allocations(ctx, ferric.AllocationFilter{Page: ferric.Page{Marker: "gone"}})
		wantCode(t, err, ferric.CodeNotFound, "Allocation gone could not be found.")

		// The node lets go of its instance.
		_, err = e.ForceNode(ctx, node.UUID, 0, func(n *ferric.Node) error { n.InstanceID = ""; return nil })
		must(t, err)
		_, err = e.Allocation(ctx, a.UUID)
		wantCode(t, err, ferric.CodeNotFound, "could not be found.")
		n, err = e.Node(ctx, node.UUID)
		must(t, err)
		equal(t, "allocation_uuid", n.AllocationUUID, "")

		// The node is deleted.
		b := e.allocation(t)
		_, _, err = e.Allocate(ctx, b.UUID, "host-1")
		must(t, err)
		must(t, e.DeleteNode(ctx, node.UUID, flow.Lease{}))
		_, err = e.Allocation(ctx, b.UUID)
		wantCode(t, err, ferric.CodeNotFound, "could not be found.")
		wantCode(t, e.DeleteAllocation(ctx, b.UUID), ferric.CodeNotFound, "could not be found.")
	})
}

// TestWhoIsAllocated has one node per reason not to be taken, and one that is fit.
func TestWhoIsAllocated(t *testing.T) {
	each(t, func(t *testing.T, e *env) {
		ctx := t.Context()
		for _, spoil := range []func(*ferric.Node){
			func(n *ferric.Node) { n.PowerState = "" },
			func(n *ferric.Node) { n.Maintenance = true },
			func(n *ferric.Node) { n.ProvisionState = ferric.Manageable },
			func(n *ferric.Node) { n.ResourceClass = "small" },
			func(n *ferric.Node) { n.InstanceID = "77777777-2222-4333-8444-555555555555" },
			func(n *ferric.Node) { n.ParentNode = "88888888-2222-4333-8444-555555555555" },
		} {
			e.node(t, free, spoil)
		}
		a := e.allocation(t)
		try := func(want bool, left ferric.Candidates) {
			t.Helper()
			taken, got, err := e.Allocate(ctx, a.UUID, "host-1")
			must(t, err)
			equal(t, "taken", taken, want)
			equal(t, "left", got, left)
		}
		try(false, ferric.Candidates{})
		held := e.node(t, free)
		lease, err := e.Acquire(ctx, held.UUID, "host-2", time.Minute)
		must(t, err)
		try(false, ferric.Candidates{Class: 1, Fit: 1})
		must(t, e.Release(ctx, lease))
		_, err = e.UpdateAllocation(ctx, a.UUID, 0, func(a *ferric.Allocation) error { a.Traits = []string{"CUSTOM_X"}; return nil })
		must(t, err)
		try(false, ferric.Candidates{Class: 1})
		_, err = e.UpdateAllocation(ctx, a.UUID, 0, func(a *ferric.Allocation) error { a.Traits, a.Owner = nil, "p"; return nil })
		must(t, err)
		try(false, ferric.Candidates{})
		_, err = e.ForceNode(ctx, held.UUID, 0, func(n *ferric.Node) error { n.Lessee = "p"; return nil })
		must(t, err)
		_, err = e.UpdateAllocation(ctx, a.UUID, 0, func(a *ferric.Allocation) error { a.CandidateNodes = []string{lease.Owner}; return nil })
		must(t, err)
		try(false, ferric.Candidates{})
		_, err = e.UpdateAllocation(ctx, a.UUID, 0, func(a *ferric.Allocation) error { a.CandidateNodes = []string{held.UUID}; return nil })
		must(t, err)
		try(true, ferric.Candidates{})
		n, err := e.Node(ctx, held.UUID)
		must(t, err)
		equal(t, "taken node", n.InstanceID, a.UUID)
	})
}

// A node that is called like the allocation is preferred.
func TestAllocatedByName(t *testing.T) {
	each(t, func(t *testing.T, e *env) {
		for i := range 20 {
			e.node(t, free, func(n *ferric.Node) { n.Name = fmt.Sprint("metal-", i) })
		}
		a := e.allocation(t, func(a *ferric.Allocation) { a.Name = "metal-13" })
		_, _, err := e.Allocate(t.Context(), a.UUID, "host-1")
		must(t, err)
		n, err := e.NodeByIdent(t.Context(), "metal-13")
		must(t, err)
		equal(t, "instance", n.InstanceID, a.UUID)
	})
}

// Many allocations want few nodes, at several processes at once, and all of them work on every allocation. Each node is given away once, and each
// allocation gets one as long as there are any.
func TestAllocationRace(t *testing.T) {
	each(t, func(t *testing.T, e *env) {
		ctx := t.Context()
		const nodes, wishes = 15, 40
		for range nodes {
			e.node(t, free)
		}
		var all []string
		for range wishes {
			all = append(all, e.allocation(t).UUID)
		}
		processes := e.processes(t)
		var mu sync.Mutex
		refused := map[string]bool{}
		crowd(processes, 2*wishes, func(s *store.Store, worker int) {
			id := all[worker%wishes]
			for {
				taken, left, err := s.Allocate(ctx, id, fmt.Sprint("host-", worker))
				if err != nil {
					t.Error(err)
					return
				}
				if taken {
					return
				}
				if left.Fit == 0 {
					mu.Lock()
					refused[id] = true
					mu.Unlock()
					return
				}
			}
		})
		active, err := e.Allocations(ctx, ferric.AllocationFilter{State: ferric.AllocationActive})
		must(t, err)
		used := map[string]string{}
		for _, a := range active {
			if other := used[a.NodeUUID]; other != "" {
				t.Errorf("node %s was given to %s and %s", a.NodeUUID, other, a.UUID)
			}
			used[a.NodeUUID] = a.UUID
			n, err := e.Node(ctx, a.NodeUUID)
			must(t, err)
			if n.InstanceID != a.UUID || n.AllocationUUID != a.UUID {
				t.Errorf("node %s has instance %s and allocation %s, not %s", n.UUID, n.InstanceID, n.AllocationUUID, a.UUID)
			}
			if refused[a.UUID] {
				t.Errorf("allocation %s was refused and got a node", a.UUID)
			}
		}
		equal(t, "nodes given away", len(used), nodes)
		equal(t, "refused", len(refused), wishes-nodes)
	})
}

func TestAllocateNode(t *testing.T) {
	each(t, func(t *testing.T, e *env) {
		ctx := t.Context()
		node := e.node(t, func(n *ferric.Node) {
			n.ProvisionState, n.InstanceID = ferric.Active, "77777777-2222-4333-8444-555555555555"
		})
		other := e.node(t, func(n *ferric.Node) { n.ProvisionState = ferric.Active })
		ok := func(*ferric.Node) error { return nil }
		lease, err := e.Acquire(ctx, node.UUID, "host-1", time.Minute)
		must(t, err)
		wantCode(t, e.AllocateNode(ctx, lease, &ferric.Allocation{UUID: "66666666-2222-4333-8444-555555555555"}, ok), ferric.CodeConflict,
			"Node "+node.UUID+" is associated with instance "+node.InstanceID+".")
		refusal := ferric.Errorf(ferric.CodeInvalid, "not fit")
		wantCode(t, e.AllocateNode(ctx, lease, &ferric.Allocation{UUID: node.InstanceID}, func(*ferric.Node) error { return refusal }),
			ferric.CodeInvalid, "not fit")
		wantCode(t, e.AllocateNode(ctx, flow.Lease{NodeUUID: node.UUID, Owner: "x", Epoch: 99}, &ferric.Allocation{}, ok), ferric.CodeStale, "")
		a := &ferric.Allocation{UUID: node.InstanceID, Name: "a", Traits: []string{"CUSTOM_A"}}
		must(t, e.AllocateNode(ctx, lease, a, ok))
		n, err := e.Node(ctx, node.UUID)
		must(t, err)
		if n.AllocationUUID != a.UUID || a.NodeUUID != node.UUID || a.State != ferric.AllocationActive || a.Conductor != "host-1" {
			t.Fatalf("%+v on %+v", a, n)
		}
		second, err := e.Acquire(ctx, other.UUID, "host-1", time.Minute)
		must(t, err)
		wantCode(t, e.AllocateNode(ctx, second, &ferric.Allocation{UUID: a.UUID}, ok), ferric.CodeConflict, "An allocation with UUID")
		instance := e.node(t, func(n *ferric.Node) { n.InstanceID = "55555555-2222-4333-8444-555555555555" }).InstanceID
		wantCode(t, e.AllocateNode(ctx, second, &ferric.Allocation{UUID: instance}, ok), ferric.CodeConflict, "Instance "+instance+" is already associated")
		list, err := e.Allocations(ctx, ferric.AllocationFilter{})
		must(t, err)
		equal(t, "allocations", len(list), 1)
	})
}

func TestDeployTemplates(t *testing.T) {
	each(t, func(t *testing.T, e *env) {
		ctx := t.Context()
		d := &ferric.DeployTemplate{Name: "CUSTOM_A", Extra: map[string]any{"x": 1.0}, Steps: []ferric.StepRequest{
			{Interface: "bios", Step: "apply_configuration", Priority: 150, Args: map[string]any{"password": "step-secret-cleartext"}}}}
		must(t, e.CreateDeployTemplate(ctx, d))
		other := &ferric.DeployTemplate{Name: "CUSTOM_B", Steps: []ferric.StepRequest{{Interface: "raid", Step: "x"}}}
		must(t, e.CreateDeployTemplate(ctx, other))
		got, err := e.DeployTemplateByName(ctx, "CUSTOM_A")
		must(t, err)
		equal(t, "template", got, d)
		wantCode(t, e.CreateDeployTemplate(ctx, &ferric.DeployTemplate{Name: "CUSTOM_A"}), ferric.CodeConflict, "A deploy template with name CUSTOM_A already exists.")
		wantCode(t, e.CreateDeployTemplate(ctx, &ferric.DeployTemplate{Name: "CUSTOM_C", UUID: d.UUID}), ferric.CodeConflict, "A deploy template with UUID "+d.UUID+" already exists.")
		list, err := e.DeployTemplates(ctx, ferric.DeployTemplateFilter{Names: []string{"CUSTOM_B", "CUSTOM_Z"}})
		must(t, err)
		equal(t, "by names", list, []*ferric.DeployTemplate{other})
		list, err = e.DeployTemplates(ctx, ferric.DeployTemplateFilter{Page: ferric.Page{SortKey: "name", Desc: true, Limit: 1}})
		must(t, err)
		equal(t, "last by name", list[0].Name, "CUSTOM_B")
		_, err = e.UpdateDeployTemplate(ctx, d.UUID, 7, func(*ferric.DeployTemplate) error { return nil })
		wantCode(t, err, ferric.CodeConflict, "its version is 1, not 7")
		_, err = e.UpdateDeployTemplate(ctx, d.UUID, 1, func(d *ferric.DeployTemplate) error { d.Name = "CUSTOM_B"; return nil })
		wantCode(t, err, ferric.CodeConflict, "A deploy template with name CUSTOM_B already exists.")
		now, err := e.UpdateDeployTemplate(ctx, d.UUID, 1, func(d *ferric.DeployTemplate) error { d.UUID = "x"; d.Steps[0].Priority = 0; return nil })
		must(t, err)
		if now.UUID != d.UUID || now.Version != 2 || !now.UpdatedAt.After(d.UpdatedAt) || now.Steps[0].Priority != 0 || now.Steps[0].Args["password"] != "step-secret-cleartext" {
			t.Fatalf("%+v", now)
		}
		must(t, e.DeleteDeployTemplate(ctx, d.UUID))
		wantCode(t, e.DeleteDeployTemplate(ctx, d.UUID), ferric.CodeNotFound, "Deploy template "+d.UUID+" could not be found.")
		_, err = e.DeployTemplate(ctx, d.UUID)
		wantCode(t, err, ferric.CodeNotFound, "Deploy template "+d.UUID+" could not be found.")
	})
}

func TestRunbooks(t *testing.T) {
	each(t, func(t *testing.T, e *env) {
		ctx := t.Context()
		mine := &ferric.Runbook{Name: "mine", Description: "d", Owner: "p1", DisableRamdisk: true, Traits: []string{"CUSTOM_A"}, Extra: map[string]any{"x": "y"},
			Steps: []ferric.StepRequest{{Interface: "bios", Step: "apply_configuration", Order: 1, Args: map[string]any{"a": "b"}}}}
		theirs := &ferric.Runbook{Name: "theirs", Owner: "p2"}
		public := &ferric.Runbook{Name: "public", Public: true}
		for _, r := range []*ferric.Runbook{mine, theirs, public} {
			must(t, e.CreateRunbook(ctx, r))
		}
		got, err := e.Runbook(ctx, mine.UUID)
		must(t, err)
		equal(t, "runbook", got, mine)
		got, err = e.RunbookByName(ctx, "public")
		must(t, err)
		equal(t, "runbook", got, public)
		list, err := e.Runbooks(ctx, ferric.RunbookFilter{Project: "p1"})
		must(t, err)
		equal(t, "of p1", list, []*ferric.Runbook{mine, public})
		wantCode(t, e.CreateRunbook(ctx, &ferric.Runbook{Name: "mine"}), ferric.CodeConflict, "A runbook with name mine already exists.")
		now, err := e.UpdateRunbook(ctx, mine.UUID, 0, func(r *ferric.Runbook) error { r.Traits = append(r.Traits, "CUSTOM_B"); return nil })
		must(t, err)
		equal(t, "traits", now.Traits, []string{"CUSTOM_A", "CUSTOM_B"})
		must(t, e.DeleteRunbook(ctx, mine.UUID))
		_, err = e.RunbookByName(ctx, "mine")
		wantCode(t, err, ferric.CodeNotFound, "Runbook mine could not be found.")
		list, err = e.Runbooks(ctx, ferric.RunbookFilter{Page: ferric.Page{Marker: theirs.UUID}})
		must(t, err)
		equal(t, "the page after", slices.Collect(func(yield func(string) bool) {
			for _, r := range list {
				yield(r.Name)
			}
		}), []string{"public"})
	})
}
