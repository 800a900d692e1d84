package store_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/google/uuid"

	"ferric"
	"ferric/flow"
)

func wantCode(t *testing.T, err error, code ferric.Code, text string) {
	t.Helper()
	if !ferric.IsCode(err, code) || err == nil || !strings.Contains(err.Error(), text) {
		t.Fatalf("got error %q (%s), want one with code %s and %q", err, ferric.ErrorCode(err), code, text)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func equal[T any](t *testing.T, what string, got, want T) {
	t.Helper()
	if d := cmp.Diff(want, got, cmpopts.EquateEmpty()); d != "" {
		t.Fatalf("%s (-want +got):\n%s", what, d)
	}
}

func yes() *bool { b := true; return &b }
func no() *bool  { b := false; return &b }

func (e *env) node(t testing.TB, change ...func(*ferric.Node)) *ferric.Node {
	t.Helper()
	n := &ferric.Node{Driver: "fake-hardware"}
	for _, c := range change {
		c(n)
	}
	if err := e.CreateNode(t.Context(), n); err != nil {
		t.Fatal(err)
	}
	return n
}

// chassis adds a chassis and returns its UUID.
func (e *env) chassis(t testing.TB, uuid string) string {
	t.Helper()
	if err := e.CreateChassis(t.Context(), &ferric.Chassis{UUID: uuid}); err != nil {
		t.Fatal(err)
	}
	return uuid
}

func fullNode() *ferric.Node {
	at := time.Date(2026, 1, 2, 3, 4, 5, 678901000, time.UTC)
	return &ferric.Node{
		UUID: "11111111-2222-4333-8444-555555555555", Name: "node-1", InstanceID: "99999999-2222-4333-8444-555555555555",
		Driver:       "ipmi",
		DriverInfo:   map[string]any{"ipmi_address": "192.0.2.7", "ipmi_password": "hunter2-cleartext", "ipmi_port": 623.0},
		Interfaces:   ferric.Interfaces{ferric.KindPower: "ipmitool", ferric.KindBoot: "ipxe"},
		Properties:   map[string]any{"memory_mb": 4096.0, "capabilities": "boot_mode:uefi", "nested": map[string]any{"a": []any{1.0, "x", nil, true}}},
		InstanceInfo: map[string]any{"image_source": "http://192.0.2.1/a<b>&c.qcow2", "admin_pass": "instance-cleartext"},
		Extra:        map[string]any{"ключ": "значение"}, InternalInfo: map[string]any{"agent_version": "1"},
		ChassisUUID: "c", ResourceClass: "baremetal", ConductorGroup: "g", Owner: "o", Lessee: "l", Description: "words", Shard: "s",
		ParentNode: "p", AllocationUUID: "a", InstanceName: "web-1", Traits: []string{"CUSTOM_B", "CUSTOM_A"},
		PowerState: ferric.PowerOn, TargetPowerState: ferric.PowerOff, ProvisionState: ferric.Active, TargetProvisionState: ferric.Deleted,
		ProvisionUpdatedAt: at, LastError: "it broke\x00 \xff here", Maintenance: true, MaintenanceReason: "mr", Fault: ferric.FaultPower,
		Protected: true, ProtectedReason: "pr", Retired: true, RetiredReason: "rr", AutomatedClean: no(), DisablePowerOff: true,
		ConsoleEnabled: true, BootMode: ferric.BootModeUEFI, SecureBoot: yes(), Health: "OK",
		RAIDConfig: map[string]any{"logical_disks": []any{}}, TargetRAIDConfig: map[string]any{"x": 1.0}, NetworkData: map[string]any{"links": []any{}},
		CleanStep: map[string]any{"step": "c"}, DeployStep: map[string]any{"step": "d"}, ServiceStep: map[string]any{"step": "s"},
		InspectionStartedAt: at, InspectionFinishedAt: at.Add(time.Hour), Conductor: "host-0",
	}
}

func TestNodeKeepsEveryField(t *testing.T) {
	each(t, func(t *testing.T, e *env) {
		n := fullNode()
		e.chassis(t, n.ChassisUUID)
		must(t, e.CreateNode(t.Context(), n))
		want := fullNode()
		want.Traits = []string{"CUSTOM_A", "CUSTOM_B"}
		want.LastError = "it broke\uFFFD \uFFFD here"
		want.CreatedAt, want.UpdatedAt, want.Version = n.CreatedAt, n.UpdatedAt, 1
		if n.CreatedAt.IsZero() || n.CreatedAt.Location() != time.UTC {
			t.Fatalf("created at %v", n.CreatedAt)
		}
		for name, read := range map[string]func() (*ferric.Node, error){
			"by UUID":       func() (*ferric.Node, error) { return e.Node(t.Context(), n.UUID) },
			"by ident UUID": func() (*ferric.Node, error) { return e.NodeByIdent(t.Context(), strings.ToUpper(n.UUID)) },
			"by ident name": func() (*ferric.Node, error) { return e.NodeByIdent(t.Context(), "node-1") },
			"through a list": func() (*ferric.Node, error) {
				list, err := e.Nodes(t.Context(), ferric.NodeFilter{IncludeChildren: true}, ferric.Page{})
				if err != nil || len(list) != 1 {
					return nil, fmt.Errorf("%d nodes, %w", len(list), err)
				}
				return list[0], nil
			},
		} {
			got, err := read()
			must(t, err)
			equal(t, name, got, want)
		}
		brief, err := e.NodesBrief(t.Context(), ferric.NodeFilter{IncludeChildren: true}, ferric.Page{})
		must(t, err)
		want.DriverInfo, want.InstanceInfo, want.Interfaces, want.Properties, want.Extra, want.InternalInfo = nil, nil, nil, nil, nil, nil
		want.RAIDConfig, want.TargetRAIDConfig, want.NetworkData, want.CleanStep, want.DeployStep, want.ServiceStep = nil, nil, nil, nil, nil, nil
		want.Traits = nil
		equal(t, "brief", brief[0], want)

		// And back to nothing, which must not be confused with unchanged.
		empty, err := e.ChangeNode(t.Context(), n.UUID, 1, func(n *ferric.Node) error {
			*n = ferric.Node{Driver: "x", ProvisionState: ferric.Enroll}
			return nil
		})
		must(t, err)
		got, err := e.Node(t.Context(), n.UUID)
		must(t, err)
		equal(t, "emptied, as returned", empty, got)
		equal(t, "emptied", got, &ferric.Node{UUID: n.UUID, Driver: "x", ProvisionState: ferric.Enroll, ProvisionUpdatedAt: got.UpdatedAt,
			CreatedAt: n.CreatedAt, UpdatedAt: got.UpdatedAt, Version: 2})
	})
}

func TestCreateNodeConflicts(t *testing.T) {
	each(t, func(t *testing.T, e *env) {
		ctx := t.Context()
		a := e.node(t, func(n *ferric.Node) { n.Name, n.InstanceID = "a", "i-1" })
		if a.ProvisionState != ferric.Enroll || a.UUID == "" {
			t.Fatalf("defaults were not set: %+v", a)
		}
		b := e.node(t)
		e.node(t) // empty names and instances do not collide
		wantCode(t, e.CreateNode(ctx, &ferric.Node{Name: "a"}), ferric.CodeConflict, "A node with name a already exists.")
		wantCode(t, e.CreateNode(ctx, &ferric.Node{UUID: strings.ToUpper(a.UUID)}), ferric.CodeConflict,
			"A node with UUID "+a.UUID+" already exists.")
		const other = "00000000-0000-4000-8000-000000000001"
		wantCode(t, e.CreateNode(ctx, &ferric.Node{UUID: other, InstanceID: "i-1"}), ferric.CodeConflict,
			"Instance i-1 is already associated with a node, it cannot be associated with this other node "+other)
		_, err := e.ChangeNode(ctx, b.UUID, 0, func(n *ferric.Node) error { n.Name = "a"; return nil })
		wantCode(t, err, ferric.CodeConflict, "A node with name a already exists.")
		_, err = e.ChangeNode(ctx, b.UUID, 0, func(n *ferric.Node) error { n.InstanceID = "i-1"; return nil })
		wantCode(t, err, ferric.CodeConflict, "it cannot be associated with this other node "+b.UUID)
		wantCode(t, e.CreateNode(ctx, &ferric.Node{Traits: []string{"A,B"}}), ferric.CodeInvalid, "traits")
		_, err = e.Node(ctx, other)
		wantCode(t, err, ferric.CodeNotFound, "Node "+other+" could not be found.")
		_, err = e.NodeByIdent(ctx, "nobody")
		wantCode(t, err, ferric.CodeNotFound, "Node nobody could not be found.")
		_, err = e.NodeByIdent(ctx, "") // must not find a node without a name
		wantCode(t, err, ferric.CodeNotFound, "could not be found")
	})
}

func TestChangeNode(t *testing.T) {
	each(t, func(t *testing.T, e *env) {
		ctx := t.Context()
		n := e.node(t)
		last, err := e.LastChange(ctx)
		must(t, err)

		same, err := e.ChangeNode(ctx, n.UUID, 0, func(n *ferric.Node) error {
			n.UUID, n.Version, n.Reservation, n.LeaseEpoch, n.CreatedAt = "x", 77, "thief", 9, time.Time{}
			n.ProvisionUpdatedAt = time.Now()
			return nil
		})
		must(t, err)
		equal(t, "a change of nothing", same, n)
		if now, _ := e.LastChange(ctx); now != last {
			t.Fatalf("a change of nothing was put into the feed")
		}

		first, err := e.ChangeNode(ctx, n.UUID, n.Version, func(n *ferric.Node) error { n.Extra = map[string]any{"a": "b"}; return nil })
		must(t, err)
		if first.Version != 2 || !first.UpdatedAt.After(n.UpdatedAt) || !first.ProvisionUpdatedAt.IsZero() {
			t.Fatalf("version %d, updated %v, provision %v", first.Version, first.UpdatedAt, first.ProvisionUpdatedAt)
		}
		_, err = e.ChangeNode(ctx, n.UUID, n.Version, func(n *ferric.Node) error { n.Name = "late"; return nil })
		wantCode(t, err, ferric.CodeConflict, "its version is 2, not 1")

		moved, err := e.ChangeNode(ctx, n.UUID, 0, func(n *ferric.Node) error { n.ProvisionState = ferric.Manageable; return nil })
		must(t, err)
		equal(t, "provision_updated_at", moved.ProvisionUpdatedAt, moved.UpdatedAt)

		own := ferric.Errorf(ferric.CodeForbidden, "no")
		_, err = e.ChangeNode(ctx, n.UUID, 0, func(n *ferric.Node) error { n.Name = "lost"; return own })
		if err != own {
			t.Fatalf("got %v, want mutate's own error", err)
		}
		now, err := e.Node(ctx, n.UUID)
		must(t, err)
		equal(t, "after a failed change", now, moved)

		l, err := e.Acquire(ctx, n.UUID, "host-1", time.Minute)
		must(t, err)
		_, err = e.ChangeNode(ctx, n.UUID, 0, func(n *ferric.Node) error { n.Name = "x"; return nil })
		wantCode(t, err, ferric.CodeLocked, "Node "+n.UUID+" is locked by host host-1, please retry after the current operation is completed.")
		forced, err := e.ForceNode(ctx, n.UUID, 0, func(n *ferric.Node) error { n.Maintenance = true; return nil })
		must(t, err)
		if !forced.Maintenance || forced.Reservation != "host-1" {
			t.Fatalf("forced: %+v", forced)
		}
		e.after(2 * time.Minute) // the lease runs out
		free, err := e.ChangeNode(ctx, n.UUID, 0, func(n *ferric.Node) error { n.Name = "x"; return nil })
		must(t, err)
		equal(t, "reservation after the lease ran out", free.Reservation, "")
		must(t, e.Release(ctx, l))
		_, err = e.ChangeNode(ctx, "nobody", 0, nil)
		wantCode(t, err, ferric.CodeNotFound, "Node nobody could not be found.")
	})
}

func TestDeleteNode(t *testing.T) {
	each(t, func(t *testing.T, e *env) {
		ctx := t.Context()
		n := e.node(t, func(n *ferric.Node) { n.Traits = []string{"CUSTOM_X"} })
		p := &ferric.Port{NodeUUID: n.UUID, Address: "52:54:00:00:00:01"}
		must(t, e.CreatePort(ctx, p))
		l, err := e.Acquire(ctx, n.UUID, "h", time.Minute)
		must(t, err)
		op := &flow.Operation{Kind: "clean", Lane: flow.Provision, Steps: []flow.Step{{Name: "a", Repeat: flow.Safe}}}
		_, err = e.Start(ctx, l, op, nil)
		must(t, err)
		must(t, e.AddHistory(ctx, &ferric.HistoryEntry{NodeUUID: n.UUID, Event: "x"}))
		must(t, e.BeginAgentSession(ctx, n.UUID))
		must(t, e.SetInventory(ctx, &ferric.Inventory{NodeUUID: n.UUID, Inventory: []byte(`{}`)}))
		must(t, e.SetConfigDrive(ctx, n.UUID, []byte("x")))
		must(t, e.SetBIOSSettings(ctx, n.UUID, []ferric.BIOSSetting{{Name: "x"}}))
		must(t, e.SetFirmware(ctx, n.UUID, []ferric.FirmwareComponent{{Component: "bmc"}}))
		must(t, e.SetDriverState(ctx, n.UUID, "fake", []byte("{}")))

		wantCode(t, e.DeleteNode(ctx, n.UUID, flow.Lease{}), ferric.CodeLocked, "is locked by host h")
		stale := l
		stale.Epoch--
		wantCode(t, e.DeleteNode(ctx, n.UUID, stale), ferric.CodeStale, "was taken over")
		must(t, e.DeleteNode(ctx, n.UUID, l))
		wantCode(t, e.DeleteNode(ctx, n.UUID, flow.Lease{}), ferric.CodeNotFound, "could not be found")

		_, err = e.Port(ctx, p.UUID)
		wantCode(t, err, ferric.CodeNotFound, "Port "+p.UUID+" could not be found.")
		_, err = e.Operation(ctx, op.ID)
		wantCode(t, err, ferric.CodeNotFound, op.ID)
		db := e.peek(t)
		for _, table := range []string{"nodes", "ports", "node_traits", "operations", "steps", "history", "agent_sessions", "inventories", "configdrives",
			"bios_settings", "firmware_components", "driver_states"} {
			var rows int
			must(t, db.QueryRow("SELECT COUNT(*) FROM "+table).Scan(&rows))
			if rows != 0 {
				t.Errorf("%d rows are left in %s", rows, table)
			}
		}
		must(t, e.Release(ctx, l)) // no error on a node that is gone
		kept, err := e.Renew(ctx, []flow.Lease{l}, time.Minute)
		must(t, err)
		equal(t, "kept leases", len(kept), 0)
		// The address is free again.
		must(t, e.CreatePort(ctx, &ferric.Port{NodeUUID: e.node(t).UUID, Address: "52:54:00:00:00:01"}))
	})
}

func TestNodeFilters(t *testing.T) {
	each(t, func(t *testing.T, e *env) {
		ctx := t.Context()
		e.chassis(t, "ch")
		a := e.node(t, func(n *ferric.Node) {
			n.Name, n.InstanceID, n.Maintenance, n.Fault, n.Owner, n.Shard = "a", "i", true, ferric.FaultPower, "p1", "s1"
			n.Description, n.InstanceName, n.ChassisUUID = "Rack 4, 100% full_of disks", "web", "ch"
		})
		b := e.node(t, func(n *ferric.Node) {
			n.Name, n.Retired, n.Lessee, n.ConductorGroup, n.Driver, n.ResourceClass = "b", true, "p1", "g", "ipmi", "big"
			n.ProvisionState = ferric.Available
		})
		c := e.node(t, func(n *ferric.Node) { n.Name, n.ProvisionState, n.Shard = "c", ferric.Active, "s2" })
		d := e.node(t, func(n *ferric.Node) { n.Name, n.ParentNode = "d", a.UUID })
		_, err := e.Acquire(ctx, c.UUID, "h", time.Minute)
		must(t, err)
		_, err = e.Acquire(ctx, b.UUID, "h", time.Millisecond) // runs out at once
		must(t, err)
		e.after(time.Second)
		empty := ""
		for name, tc := range map[string]struct {
			f    ferric.NodeFilter
			want string
		}{
			"everything but children": {ferric.NodeFilter{}, "abc"},
			"children too":            {ferric.NodeFilter{IncludeChildren: true}, "abcd"},
			"children of":             {ferric.NodeFilter{ParentNode: a.UUID}, "d"},
			"uuids":                   {ferric.NodeFilter{UUIDs: []string{a.UUID, strings.ToUpper(c.UUID), "?"}}, "ac"},
			"name":                    {ferric.NodeFilter{Name: "b"}, "b"},
			"instance":                {ferric.NodeFilter{InstanceID: "i"}, "a"},
			"associated":              {ferric.NodeFilter{Associated: yes()}, "a"},
			"not associated":          {ferric.NodeFilter{Associated: no()}, "bc"},
			"maintenance":             {ferric.NodeFilter{Maintenance: yes()}, "a"},
			"no maintenance":          {ferric.NodeFilter{Maintenance: no()}, "bc"},
			"retired":                 {ferric.NodeFilter{Retired: yes()}, "b"},
			"not retired":             {ferric.NodeFilter{Retired: no()}, "ac"},
			"reserved":                {ferric.NodeFilter{Reserved: yes()}, "c"},
			"not reserved":            {ferric.NodeFilter{Reserved: no()}, "ab"},
			"states":                  {ferric.NodeFilter{ProvisionStates: []ferric.ProvisionState{ferric.Active, ferric.Available}}, "bc"},
			"driver":                  {ferric.NodeFilter{Driver: "ipmi"}, "b"},
			"resource class":          {ferric.NodeFilter{ResourceClass: "big"}, "b"},
			"fault":                   {ferric.NodeFilter{Fault: string(ferric.FaultPower)}, "a"},
			"no fault":                {ferric.NodeFilter{Fault: "none"}, "bc"},
			"group":                   {ferric.NodeFilter{ConductorGroup: &b.ConductorGroup}, "b"},
			"empty group":             {ferric.NodeFilter{ConductorGroup: &empty}, "ac"},
			"owner":                   {ferric.NodeFilter{Owner: "p1"}, "a"},
			"lessee":                  {ferric.NodeFilter{Lessee: "p1"}, "b"},
			"project":                 {ferric.NodeFilter{Project: "p1"}, "ab"},
			"description":             {ferric.NodeFilter{DescriptionLike: "rack"}, "a"},
			"description, percent":    {ferric.NodeFilter{DescriptionLike: "0% FULL_"}, "a"},
			"description, no joker":   {ferric.NodeFilter{DescriptionLike: "r%k"}, ""},
			"chassis":                 {ferric.NodeFilter{ChassisUUID: "ch"}, "a"},
			"shards":                  {ferric.NodeFilter{Shards: []string{"s1", "s2"}}, "ac"},
			"sharded":                 {ferric.NodeFilter{Sharded: yes()}, "ac"},
			"not sharded":             {ferric.NodeFilter{Sharded: no()}, "b"},
			"instance name":           {ferric.NodeFilter{InstanceName: "web"}, "a"},
			"several":                 {ferric.NodeFilter{Project: "p1", Maintenance: no(), Fault: "none"}, "b"},
			"hostile":                 {ferric.NodeFilter{Name: "' OR 1=1 --\x00"}, ""},
		} {
			list, err := e.NodesBrief(ctx, tc.f, ferric.Page{SortKey: "name"})
			must(t, err)
			got := ""
			for _, n := range list {
				got += n.Name
			}
			if got != tc.want {
				t.Errorf("%s: got %q, want %q", name, got, tc.want)
			}
			each := ""
			var names []string
			must(t, e.EachNode(ctx, tc.f, func(n *ferric.Node) error { names = append(names, n.Name); return nil }))
			slices.Sort(names)
			each = strings.Join(names, "")
			if each != tc.want {
				t.Errorf("%s: EachNode gave %q, want %q", name, each, tc.want)
			}
		}
		_ = d
		_, err = e.Nodes(ctx, ferric.NodeFilter{UUIDs: make([]string, 100000)}, ferric.Page{})
		wantCode(t, err, ferric.CodeInvalid, "uuid")
	})
}

// Pages of every size, by every column, both ways, put together give every node once, in the order of one big page.
func TestNodePages(t *testing.T) {
	each(t, func(t *testing.T, e *env) {
		ctx := t.Context()
		random := rand.New(rand.NewPCG(1, 2))
		for i := range 30 {
			e.node(t, func(n *ferric.Node) {
				if i%3 > 0 { // duplicates, and nodes without any
					n.Owner = fmt.Sprint("owner-", random.IntN(4))
					n.Maintenance = random.IntN(2) == 0
					n.ProvisionUpdatedAt = time.Unix(int64(random.IntN(3)), 0)
					n.AutomatedClean = []*bool{nil, yes(), no()}[random.IntN(3)]
				}
			})
		}
		walk := func(p ferric.Page) (uuids []string) {
			for {
				list, err := e.NodesBrief(ctx, ferric.NodeFilter{}, p)
				must(t, err)
				for _, n := range list {
					uuids = append(uuids, n.UUID)
				}
				if p.Limit == 0 || len(list) < p.Limit {
					return uuids
				}
				p.Marker = list[len(list)-1].UUID
			}
		}
		byAge := walk(ferric.Page{})
		for _, key := range []string{"", "created_at", "uuid", "owner", "maintenance", "provision_updated_at", "automated_clean", "name", "version", "reservation"} {
			for _, desc := range []bool{false, true} {
				all := walk(ferric.Page{SortKey: key, Desc: desc})
				if len(all) != 30 {
					t.Fatalf("%d nodes", len(all))
				}
				for _, limit := range []int{1, 7, 30} {
					equal(t, fmt.Sprintf("key %q, desc %v, pages of %d", key, desc, limit), walk(ferric.Page{SortKey: key, Desc: desc, Limit: limit}), all)
				}
				if desc {
					slices.Reverse(all)
					equal(t, key+" backwards", all, walk(ferric.Page{SortKey: key}))
				}
			}
		}
		// Nodes without an owner come first, the older first.
		sorted := walk(ferric.Page{SortKey: "owner"})
		var without []string
		for _, id := range byAge {
			if n, err := e.Node(ctx, id); err != nil || n.Owner == "" {
				without = append(without, id)
			}
		}
		equal(t, "without owner", sorted[:len(without)], without)

		for _, key := range []string{"driver_info", "properties", "traits", "lease_until", "1; DROP TABLE nodes", "nonsense"} {
			_, err := e.Nodes(ctx, ferric.NodeFilter{}, ferric.Page{SortKey: key})
			wantCode(t, err, ferric.CodeInvalid, "is an invalid field for sorting")
			wantCode(t, err, ferric.CodeInvalid, "provision_state, ")
		}
		_, err := e.Nodes(ctx, ferric.NodeFilter{}, ferric.Page{Marker: "gone"})
		wantCode(t, err, ferric.CodeNotFound, "Node gone could not be found.")
		_, err = e.Nodes(ctx, ferric.NodeFilter{}, ferric.Page{Limit: -1})
		wantCode(t, err, ferric.CodeInvalid, "limit")
	})
}

func TestEachNodeManyAndStop(t *testing.T) {
	each(t, func(t *testing.T, e *env) {
		seen := map[string]bool{}
		for range 450 {
			e.node(t)
		}
		must(t, e.EachNode(t.Context(), ferric.NodeFilter{}, func(n *ferric.Node) error {
			if seen[n.UUID] {
				t.Errorf("%s came twice", n.UUID)
			}
			seen[n.UUID] = true
			// The store may be used from inside.
			_, err := e.ChangeNode(t.Context(), n.UUID, 0, func(n *ferric.Node) error { n.Owner = "x"; return nil })
			return err
		}))
		equal(t, "nodes seen", len(seen), 450)
		stop := ferric.Errorf(ferric.CodeBusy, "enough")
		if err := e.EachNode(t.Context(), ferric.NodeFilter{}, func(*ferric.Node) error { return stop }); err != stop {
			t.Fatalf("got %v", err)
		}
	})
}

// TestNodesByUUIDAndCount: nodes are found whatever their number, once each, and are counted up to a bound.
func TestNodesByUUIDAndCount(t *testing.T) {
	each(t, func(t *testing.T, s *env) {
		var uuids []string
		for i := range 51 {
			n := &ferric.Node{Name: fmt.Sprint("n", i), Driver: "fake-hardware", ProvisionState: ferric.Available, Extra: map[string]any{"i": float64(i)}}
			if err := s.CreateNode(t.Context(), n); err != nil {
				t.Fatal(err)
			}
			uuids = append(uuids, n.UUID)
		}
		for _, asked := range [][]string{nil, uuids[:1], uuids[:50], uuids, {uuids[3], uuid.NewString(), strings.ToUpper(uuids[5])}} {
			got, err := s.NodesByUUID(t.Context(), asked)
			if err != nil {
				t.Fatal(err)
			}
			var want []string
			for _, id := range asked {
				if slices.Contains(uuids, strings.ToLower(id)) {
					want = append(want, strings.ToLower(id))
				}
			}
			var found []string
			for _, n := range got {
				found = append(found, n.UUID)
				if n.Extra["i"] != float64(slices.Index(uuids, n.UUID)) {
					t.Errorf("node %s has extra %v", n.Name, n.Extra)
				}
			}
			slices.Sort(want)
			slices.Sort(found)
			if !slices.Equal(found, want) {
				t.Errorf("asked for %d, found %d", len(asked), len(found))
			}
		}
		for bound, want := range map[int]int{10: 10, 51: 51, 100: 51} {
			if n, err := s.CountNodes(t.Context(), ferric.NodeFilter{ProvisionStates: []ferric.ProvisionState{ferric.Available, ferric.Active}}, bound); err != nil || n != want {
				t.Errorf("counted %d up to %d, want %d (%v)", n, bound, want, err)
			}
		}
		if n, err := s.CountNodes(t.Context(), ferric.NodeFilter{ProvisionStates: []ferric.ProvisionState{ferric.Active}}, 5); err != nil || n != 0 {
			t.Errorf("counted %d that are active (%v)", n, err)
		}
	})
}
