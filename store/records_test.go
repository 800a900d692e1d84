package store_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"ferric"
	"ferric/flow"
)

func TestHistory(t *testing.T) {
	each(t, func(t *testing.T, e *env) {
		ctx := t.Context()
		n := e.node(t, func(n *ferric.Node) { n.ProvisionState, n.TargetProvisionState = ferric.Deploying, ferric.Active })
		var all []ferric.HistoryEntry
		for i := range 7 {
			h := ferric.HistoryEntry{NodeUUID: n.UUID, Event: fmt.Sprint("event ", i), EventType: []string{"b", "a"}[i%2], Conductor: "h"}
			must(t, e.AddHistory(ctx, &h))
			all = append(all, h)
		}
		if h := all[0]; h.UUID == "" || h.Severity != ferric.SeverityInfo || h.State != ferric.Deploying || h.TargetState != ferric.Active || h.CreatedAt.IsZero() {
			t.Fatalf("entry: %+v", h)
		}
		other := ferric.HistoryEntry{NodeUUID: e.node(t).UUID, Event: "other", State: ferric.Rescue, Severity: ferric.SeverityError}
		must(t, e.AddHistory(ctx, &other))
		read := func(p ferric.Page) []ferric.HistoryEntry {
			t.Helper()
			list, err := e.History(ctx, n.UUID, p)
			must(t, err)
			return list
		}
		equal(t, "all", read(ferric.Page{}), all)
		equal(t, "a page", read(ferric.Page{Limit: 2, Marker: all[3].UUID}), all[4:6])
		backwards := slices.Clone(all)
		slices.Reverse(backwards)
		equal(t, "newest", read(ferric.Page{Limit: 2, Desc: true}), backwards[:2])
		byType := read(ferric.Page{SortKey: "event_type"})
		equal(t, "by type, then order", []string{byType[0].Event, byType[2].Event, byType[3].Event}, []string{"event 1", "event 5", "event 0"})
		_, err := e.History(ctx, n.UUID, ferric.Page{SortKey: "seq"})
		wantCode(t, err, ferric.CodeInvalid, "event_type, ")
		_, err = e.History(ctx, n.UUID, ferric.Page{Marker: "gone"})
		wantCode(t, err, ferric.CodeNotFound, "Node history record gone could not be found.")
		one, err := e.HistoryEntry(ctx, other.UUID)
		must(t, err)
		equal(t, "entry", *one, other)
		_, err = e.HistoryEntry(ctx, "gone")
		wantCode(t, err, ferric.CodeNotFound, "Node history record gone could not be found.")
		wantCode(t, e.AddHistory(ctx, &ferric.HistoryEntry{NodeUUID: "nobody"}), ferric.CodeNotFound, "Node nobody")
		gone, err := e.PruneHistory(ctx, 3)
		must(t, err)
		equal(t, "pruned", gone, 4)
		equal(t, "left", read(ferric.Page{}), all[4:])
		must(t, e.AddHistory(ctx, &ferric.HistoryEntry{NodeUUID: n.UUID, Event: "after"}))
		equal(t, "last", read(ferric.Page{})[3].Event, "after")
		gone, err = e.PruneHistory(ctx, 3)
		must(t, err)
		equal(t, "pruned again", gone, 1)
	})
}

func TestAgentSession(t *testing.T) {
	each(t, func(t *testing.T, e *env) {
		ctx := t.Context()
		n := e.node(t)
		_, err := e.AgentSession(ctx, n.UUID)
		wantCode(t, err, ferric.CodeNotFound, "no agent session")
		_, err = e.ChangeAgentSession(ctx, n.UUID, func(*ferric.AgentSession) error { return nil })
		wantCode(t, err, ferric.CodeNotFound, "no agent session")
		wantCode(t, e.BeginAgentSession(ctx, "nobody"), ferric.CodeNotFound, "Node nobody could not be found.")
		must(t, e.BeginAgentSession(ctx, n.UUID))
		at := e.clock.now()
		changed, err := e.ChangeAgentSession(ctx, n.UUID, func(a *ferric.AgentSession) error {
			a.NodeUUID, a.Token, a.CallbackURL, a.VerifyCA, a.Version = "other", "token", "https://192.0.2.1:9999", "PEM", "1.2"
			a.LookedUpAt, a.LastHeartbeat = at, at
			return nil
		})
		must(t, err)
		got, err := e.AgentSession(ctx, n.UUID)
		must(t, err)
		equal(t, "as returned", changed, got)
		equal(t, "session", got, &ferric.AgentSession{NodeUUID: n.UUID, Token: "token", CallbackURL: "https://192.0.2.1:9999", VerifyCA: "PEM",
			Version: "1.2", StartedAt: got.StartedAt, LookedUpAt: at, LastHeartbeat: at})
		own := fmt.Errorf("no")
		if _, err = e.ChangeAgentSession(ctx, n.UUID, func(a *ferric.AgentSession) error { a.Token = ""; return own }); err != own {
			t.Fatalf("got %v", err)
		}
		again, err := e.AgentSession(ctx, n.UUID)
		must(t, err)
		equal(t, "after a failed change", again, got)
		must(t, e.BeginAgentSession(ctx, n.UUID))
		again, err = e.AgentSession(ctx, n.UUID)
		must(t, err)
		if !again.StartedAt.After(got.StartedAt) {
			t.Fatalf("started %v", again.StartedAt)
		}
		equal(t, "begun again", again, &ferric.AgentSession{NodeUUID: n.UUID, StartedAt: again.StartedAt})
		must(t, e.EndAgentSession(ctx, n.UUID))
		must(t, e.EndAgentSession(ctx, n.UUID))
		_, err = e.AgentSession(ctx, n.UUID)
		wantCode(t, err, ferric.CodeNotFound, "")
	})
}

func TestInventoryAndConfigDrive(t *testing.T) {
	each(t, func(t *testing.T, e *env) {
		ctx := t.Context()
		n := e.node(t)
		_, err := e.Inventory(ctx, n.UUID)
		wantCode(t, err, ferric.CodeNotFound, "Node inventory record for node "+n.UUID+" could not be found.")
		wantCode(t, e.SetInventory(ctx, &ferric.Inventory{NodeUUID: "nobody"}), ferric.CodeNotFound, "Node nobody")
		wantCode(t, e.SetInventory(ctx, &ferric.Inventory{NodeUUID: n.UUID, Inventory: json.RawMessage("{")}), ferric.CodeInvalid, "inventory")
		for _, v := range []string{`{"cpu": {"count": 2}}`, `{"memory": "<\u0000>"}`} {
			inv := &ferric.Inventory{NodeUUID: n.UUID, Inventory: json.RawMessage(v), PluginData: json.RawMessage(`[]`)}
			must(t, e.SetInventory(ctx, inv))
			got, err := e.Inventory(ctx, n.UUID)
			must(t, err)
			equal(t, "inventory", got, inv)
		}
		must(t, e.DeleteInventory(ctx, n.UUID))
		must(t, e.DeleteInventory(ctx, n.UUID))
		_, err = e.Inventory(ctx, n.UUID)
		wantCode(t, err, ferric.CodeNotFound, "")

		_, err = e.ConfigDrive(ctx, n.UUID)
		wantCode(t, err, ferric.CodeNotFound, "no config drive")
		wantCode(t, e.SetConfigDrive(ctx, "nobody", []byte("x")), ferric.CodeNotFound, "Node nobody")
		big := make([]byte, 3<<20)
		for i := range big {
			big[i] = byte(i * 7 >> 3)
		}
		for _, data := range [][]byte{[]byte("small"), big, {}, []byte("\x00\xff")} {
			must(t, e.SetConfigDrive(ctx, n.UUID, data))
			got, err := e.ConfigDrive(ctx, n.UUID)
			must(t, err)
			if string(got) != string(data) {
				t.Fatalf("%d bytes came back as %d others", len(data), len(got))
			}
		}
		must(t, e.DeleteConfigDrive(ctx, n.UUID))
		must(t, e.DeleteConfigDrive(ctx, n.UUID))
		_, err = e.ConfigDrive(ctx, n.UUID)
		wantCode(t, err, ferric.CodeNotFound, "")
	})
}

func TestConductors(t *testing.T) {
	each(t, func(t *testing.T, e *env) {
		ctx := t.Context()
		wantCode(t, e.Announce(ctx, ferric.Conductor{}), ferric.CodeInvalid, "Host")
		b := ferric.Conductor{Host: "b", Group: "g", HardwareTypes: []string{"fake-hardware", "ipmi"}, BootID: "1", StartedAt: e.clock.now()}
		must(t, e.Announce(ctx, b))
		must(t, e.Announce(ctx, ferric.Conductor{Host: "a"}))
		list, err := e.Conductors(ctx, time.Minute)
		must(t, err)
		b.UpdatedAt, b.Alive = list[1].UpdatedAt, true
		equal(t, "conductor", list[1], b)
		alive := func() (s string) {
			t.Helper()
			list, err := e.Conductors(ctx, time.Minute)
			must(t, err)
			for _, c := range list {
				if c.Alive {
					s += c.Host
				}
			}
			return fmt.Sprintf("%s of %d", s, len(list))
		}
		equal(t, "alive", alive(), "ab of 2")
		must(t, e.Retire(ctx, "a"))
		must(t, e.Retire(ctx, "nobody"))
		equal(t, "alive after one retired", alive(), "b of 2")
		e.after(time.Hour)
		equal(t, "alive after an hour", alive(), " of 2")
		must(t, e.Announce(ctx, ferric.Conductor{Host: "a", BootID: "2"}))
		equal(t, "alive after one came back", alive(), "a of 2")
	})
}

func TestDHCPLeases(t *testing.T) {
	each(t, func(t *testing.T, e *env) {
		ctx := t.Context()
		now := e.clock.now()
		in := func(d time.Duration) time.Time { return now.Add(d) }
		const one, two = "52:54:00:00:00:01", "52:54:00:00:00:02"
		_, err := e.Lease(ctx, one)
		wantCode(t, err, ferric.CodeNotFound, one)
		must(t, e.PutLease(ctx, ferric.DHCPLease{MAC: "52:54:00:00:00:01", Address: "192.0.2.10", Hostname: "h", ExpiresAt: in(time.Hour), State: ferric.LeaseBound}, now))
		got, err := e.Lease(ctx, "52:54:00:00:00:01")
		must(t, err)
		equal(t, "lease", *got, ferric.DHCPLease{MAC: one, Address: "192.0.2.10", Hostname: "h", ExpiresAt: in(time.Hour), State: ferric.LeaseBound})
		got, err = e.LeaseByAddress(ctx, "192.0.2.10")
		must(t, err)
		equal(t, "MAC by address", got.MAC, one)
		// The same machine may renew and move; its old address is free then.
		must(t, e.PutLease(ctx, ferric.DHCPLease{MAC: one, Address: "192.0.2.10", ExpiresAt: in(2 * time.Hour), State: ferric.LeaseBound}, now))
		must(t, e.PutLease(ctx, ferric.DHCPLease{MAC: one, Address: "192.0.2.11", ExpiresAt: in(2 * time.Hour), State: ferric.LeaseBound}, now))
		_, err = e.LeaseByAddress(ctx, "192.0.2.10")
		wantCode(t, err, ferric.CodeNotFound, "192.0.2.10")
		// Another machine does not get it before it ends, and keeps what it has.
		must(t, e.PutLease(ctx, ferric.DHCPLease{MAC: two, Address: "192.0.2.12", ExpiresAt: in(time.Hour), State: ferric.LeaseBound}, now))
		wantCode(t, e.PutLease(ctx, ferric.DHCPLease{MAC: two, Address: "192.0.2.11", ExpiresAt: in(time.Hour), State: ferric.LeaseBound}, now), ferric.CodeConflict, "192.0.2.11")
		got, err = e.Lease(ctx, two)
		must(t, err)
		equal(t, "address of the second", got.Address, "192.0.2.12")
		must(t, e.PutLease(ctx, ferric.DHCPLease{MAC: two, Address: "192.0.2.11", ExpiresAt: in(4 * time.Hour), State: ferric.LeaseBound}, in(3*time.Hour)))
		_, err = e.Lease(ctx, one)
		wantCode(t, err, ferric.CodeNotFound, one)
		// Declined addresses are nobody's.
		wantCode(t, e.DeclineLease(ctx, one, "192.0.2.11", in(time.Hour)), ferric.CodeNotFound, one)
		must(t, e.DeclineLease(ctx, two, "192.0.2.11", in(10*time.Hour)))
		got, err = e.LeaseByAddress(ctx, "192.0.2.11")
		must(t, err)
		equal(t, "declined", *got, ferric.DHCPLease{Address: "192.0.2.11", ExpiresAt: in(10 * time.Hour), State: ferric.LeaseDeclined})
		_, err = e.Lease(ctx, "")
		wantCode(t, err, ferric.CodeNotFound, "")
		wantCode(t, e.PutLease(ctx, ferric.DHCPLease{MAC: two, Address: "192.0.2.11", ExpiresAt: in(time.Hour), State: ferric.LeaseBound}, now), ferric.CodeConflict, "")
		must(t, e.PutLease(ctx, ferric.DHCPLease{Address: "192.0.2.13", ExpiresAt: in(time.Hour), State: ferric.LeaseDeclined}, now))
		for name, bad := range map[string]ferric.DHCPLease{"no MAC": {Address: "192.0.2.1", State: ferric.LeaseBound}, "no address": {MAC: one, State: ferric.LeaseBound},
			"no state": {MAC: one, Address: "192.0.2.1"}, "MAC and declined": {MAC: one, Address: "192.0.2.1", State: ferric.LeaseDeclined}} {
			if err := e.PutLease(ctx, bad, now); !ferric.IsCode(err, ferric.CodeInvalid) {
				t.Errorf("%s: %v", name, err)
			}
		}
		must(t, e.PutLease(ctx, ferric.DHCPLease{MAC: one, Address: "192.0.2.14", ExpiresAt: in(time.Minute), State: ferric.LeaseBound}, now))
		must(t, e.DeleteLease(ctx, two, "192.0.2.14")) // not its own
		list, err := e.Leases(ctx)
		must(t, err)
		equal(t, "leases", len(list), 3)
		gone, err := e.ExpireLeases(ctx, in(2*time.Minute))
		must(t, err)
		equal(t, "expired", gone, 1)
		must(t, e.PutLease(ctx, ferric.DHCPLease{MAC: one, Address: "2001:db8::1", ExpiresAt: in(time.Minute), State: ferric.LeaseBound}, now))
		must(t, e.DeleteLease(ctx, one, "2001:db8::1"))
		_, err = e.Lease(ctx, one)
		wantCode(t, err, ferric.CodeNotFound, "")
	})
}

func TestChanges(t *testing.T) {
	each(t, func(t *testing.T, e *env) {
		ctx := t.Context()
		pokes := 0
		e.OnChange(func() { pokes++ })
		last, err := e.LastChange(ctx)
		must(t, err)
		equal(t, "last change of an empty store", last, int64(0))

		n := e.node(t)
		p := &ferric.Port{NodeUUID: n.UUID, Address: "52:54:00:00:00:01"}
		must(t, e.CreatePort(ctx, p))
		_, err = e.ChangeNode(ctx, n.UUID, 0, func(n *ferric.Node) error {
			n.ProvisionState, n.PowerState, n.Maintenance, n.DriverInfo = ferric.Manageable, ferric.PowerOn, true, map[string]any{"ipmi_password": "x"}
			n.Traits = []string{"CUSTOM_A"}
			return nil
		})
		must(t, err)
		_, err = e.UpdatePort(ctx, p.UUID, 0, func(p *ferric.Port) error { p.PXEEnabled = true; return nil })
		must(t, err)
		l := e.lease(t, n.UUID) // no change
		op := plan(1)
		_, err = e.Start(ctx, l, op, func(n *ferric.Node) error { n.TargetProvisionState = ferric.Available; return nil })
		must(t, err)
		_, err = e.Checkpoint(ctx, l, op, nil, func(n *ferric.Node) error { n.LastError = "x"; return nil })
		must(t, err)
		_, err = e.UpdateNode(ctx, l, func(n *ferric.Node) error { n.Traits = nil; return nil })
		must(t, err)
		_, err = e.UpdateNode(ctx, l, func(n *ferric.Node) error { n.Owner = "lost"; return fmt.Errorf("no") })
		if err == nil {
			t.Fatal("no error")
		}
		must(t, e.DeletePort(ctx, p.UUID))
		must(t, e.CreatePort(ctx, &ferric.Port{NodeUUID: n.UUID, Address: "52:54:00:00:00:02"}))
		must(t, e.DeleteNode(ctx, n.UUID, l))

		list, err := e.Changes(ctx, 0, 0)
		must(t, err)
		var got []string
		for i, c := range list {
			equal(t, "ID", c.ID, int64(i+1))
			equal(t, "node", c.NodeUUID, n.UUID)
			if c.At.IsZero() {
				t.Error("no time")
			}
			got = append(got, fmt.Sprint(c.Kind, " ", c.Fields, " ", c.ProvisionState, "/", c.TargetProvisionState, "/", c.PowerState, "/", c.Maintenance))
		}
		equal(t, "changes", got, []string{
			"node.created [] enroll///false",
			"port.created [] enroll///false",
			"node.updated [power_state provision_state provision_updated_at maintenance driver_info traits] manageable//power on/true",
			"port.updated [pxe_enabled] manageable//power on/true",
			"node.updated [target_provision_state] manageable/available/power on/true",
			"node.updated [last_error] manageable/available/power on/true",
			"node.updated [traits] manageable/available/power on/true",
			"port.deleted [] manageable/available/power on/true",
			"port.created [] manageable/available/power on/true",
			"port.deleted [] manageable/available/power on/true",
			"node.deleted [] manageable/available/power on/true",
		})
		equal(t, "pokes", pokes, 10) // the last two changes are one commit
		last, err = e.LastChange(ctx)
		must(t, err)
		equal(t, "last change", last, int64(11))
		some, err := e.Changes(ctx, 4, 2)
		must(t, err)
		equal(t, "some", some, list[4:6])

		gone, err := e.PruneChanges(ctx, list[10].At)
		must(t, err)
		equal(t, "pruned", gone, 9) // the last two have the same time
		left, err := e.Changes(ctx, 0, 0)
		must(t, err)
		equal(t, "left", left, list[9:])
		_, err = e.PruneChanges(ctx, e.clock.now())
		must(t, err)
		last, err = e.LastChange(ctx) // numbers do not begin anew
		must(t, err)
		equal(t, "last change after pruning all", last, int64(11))
		e.node(t)
		left, err = e.Changes(ctx, 11, 0)
		must(t, err)
		equal(t, "next", left[0].ID, int64(12))
	})
}

// The store must not be used by mutate, but a listener may use it: it runs after the commit.
func TestListenerMayReadTheStore(t *testing.T) {
	each(t, func(t *testing.T, e *env) {
		var seen []ferric.Change
		e.OnChange(func() {
			list, err := e.Changes(t.Context(), int64(len(seen)), 0)
			if err != nil {
				t.Error(err)
			}
			seen = append(seen, list...)
		})
		l := e.lease(t, e.node(t).UUID)
		e.begin(t, l, 1)
		_, err := e.UpdateNode(t.Context(), l, func(n *ferric.Node) error { n.Owner = "o"; return nil })
		must(t, err)
		equal(t, "seen", len(seen), 2)
		must(t, e.Release(t.Context(), flow.Lease{}))
	})
}

// TestDoors: conductors know from the database whether anybody takes agents' calls.
func TestDoors(t *testing.T) {
	each(t, func(t *testing.T, e *env) {
		ctx := t.Context()
		open := func(want bool) {
			t.Helper()
			got, err := e.DoorOpen(ctx, time.Minute)
			must(t, err)
			equal(t, "open", got, want)
		}
		open(false)
		must(t, e.OpenDoor(ctx, "a"))
		must(t, e.OpenDoor(ctx, "b"))
		open(true)
		must(t, e.CloseDoor(ctx, "a"))
		must(t, e.CloseDoor(ctx, "nobody"))
		open(true)
		e.after(2 * time.Minute) // b died
		open(false)
		must(t, e.OpenDoor(ctx, "b"))
		open(true)
		must(t, e.CloseDoor(ctx, "b"))
		open(false)
	})
}
