package store_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"ferric"
)

func (e *env) stamps(t *testing.T, uuids []string) map[string]ferric.Node {
	t.Helper()
	got := map[string]ferric.Node{}
	must(t, e.PowerStamps(t.Context(), uuids, func(n *ferric.Node) { got[n.UUID] = *n }))
	return got
}

func TestPowerStamps(t *testing.T) {
	each(t, func(t *testing.T, e *env) {
		one := e.node(t, func(n *ferric.Node) {
			n.Driver, n.ConductorGroup, n.ProvisionState, n.PowerState = "ipmi", "rack1", ferric.Active, ferric.PowerOn
			n.TargetPowerState, n.Maintenance, n.Fault = ferric.PowerOff, true, ferric.FaultPower
			n.DriverInfo = map[string]any{"ipmi_password": "secret"}
		})
		two := e.node(t, func(n *ferric.Node) { n.ParentNode = one.UUID })
		want := ferric.Node{UUID: one.UUID, Version: 1, Driver: "ipmi", ConductorGroup: "rack1", ProvisionState: ferric.Active, PowerState: ferric.PowerOn,
			TargetPowerState: ferric.PowerOff, Maintenance: true, Fault: ferric.FaultPower}
		all := map[string]ferric.Node{}
		must(t, e.AllPowerStamps(t.Context(), func(n *ferric.Node) { all[n.UUID] = *n }))
		equal(t, "stamp", all[one.UUID], want)
		if len(all) != 2 || all[two.UUID].ProvisionState != ferric.Enroll {
			t.Errorf("all stamps: %v", all)
		}
		some := []string{two.UUID}
		for range 1200 { // more than one statement takes
			some = append(some, uuid.NewString())
		}
		some = append(some, one.UUID)
		equal(t, "of a long list", e.stamps(t, some), all)
		equal(t, "of none", e.stamps(t, nil), nil)
	})
}

func TestChangedNodes(t *testing.T) {
	each(t, func(t *testing.T, e *env) {
		ctx := t.Context()
		one, two := e.node(t), e.node(t)
		before, err := e.LastChange(ctx)
		must(t, err)
		for i := range 3 {
			for _, n := range []*ferric.Node{two, one} {
				_, err := e.ChangeNode(ctx, n.UUID, 0, func(n *ferric.Node) error { n.Description = fmt.Sprint(i); return nil })
				must(t, err)
			}
		}
		must(t, e.CreatePort(ctx, &ferric.Port{NodeUUID: one.UUID, Address: "52:54:00:00:00:01"}))
		got, last, whole, err := e.ChangedNodes(ctx, before)
		must(t, err)
		now, err := e.LastChange(ctx)
		must(t, err)
		equal(t, "changed nodes", got, []string{two.UUID, one.UUID})
		if last != now || !whole {
			t.Errorf("last %d, want %d; whole: %v", last, now, whole)
		}
		got, last, whole, err = e.ChangedNodes(ctx, now)
		if err != nil || len(got) != 0 || last != now || !whole {
			t.Errorf("nothing new: %v, last %d, whole %v, %v", got, last, whole, err)
		}
		e.after(time.Hour)
		_, err = e.PruneChanges(ctx, e.clock.now())
		must(t, err)
		_, err = e.ChangeNode(ctx, one.UUID, 0, func(n *ferric.Node) error { n.Description = "again"; return nil })
		must(t, err)
		if _, last, whole, err = e.ChangedNodes(ctx, before); err != nil || whole || last != now+1 {
			t.Errorf("after pruning: last %d, want %d; whole %v, %v", last, now+1, whole, err)
		}
	})
}

// TestChangeNodes changes several nodes at once, some of which it must leave alone.
func TestChangeNodes(t *testing.T) {
	each(t, func(t *testing.T, e *env) {
		ctx := t.Context()
		var nodes []*ferric.Node
		for range 6 {
			nodes = append(nodes, e.node(t))
		}
		held, old, same := nodes[3], nodes[4], nodes[5]
		lease, err := e.Acquire(ctx, held.UUID, "somebody", time.Hour)
		must(t, err)
		_, err = e.ChangeNode(ctx, old.UUID, 0, func(n *ferric.Node) error { n.Description = "new"; return nil })
		must(t, err)
		before, err := e.LastChange(ctx)
		must(t, err)
		var changes []*ferric.NodeChange
		for _, n := range append(nodes, &ferric.Node{UUID: uuid.NewString(), Version: 1}) {
			c := &ferric.NodeChange{UUID: n.UUID, Version: 1, History: &ferric.HistoryEntry{NodeUUID: n.UUID, Event: "it is on", Conductor: "one"},
				Change: func(n *ferric.Node) error { n.PowerState = ferric.PowerOn; return nil }}
			if n == same {
				c.Change = func(*ferric.Node) error { return nil }
			}
			changes = append(changes, c)
		}
		must(t, e.ChangeNodes(ctx, changes))
		for i, code := range []ferric.Code{"", "", "", ferric.CodeLocked, ferric.CodeConflict, "", ferric.CodeNotFound} {
			c := changes[i]
			if ferric.ErrorCode(c.Err) != code || (c.Err == nil) != (c.Node != nil) {
				t.Errorf("change %d: %v, want %q", i, c.Err, code)
			}
			history, err := e.History(ctx, c.UUID, ferric.Page{})
			must(t, err)
			if want := code == "" && i != 5; want != (len(history) == 1) {
				t.Errorf("change %d: history %v", i, history)
			}
			if i < 3 && (c.Node.PowerState != ferric.PowerOn || c.Node.Version != 2) {
				t.Errorf("change %d: %+v", i, c.Node)
			}
		}
		must(t, e.Release(ctx, lease))
		got, _, _, err := e.ChangedNodes(ctx, before)
		must(t, err)
		want := []string{nodes[0].UUID, nodes[1].UUID, nodes[2].UUID}
		slices.Sort(want)
		slices.Sort(got)
		equal(t, "nodes in the change feed", got, want)
		for _, n := range nodes[3:] {
			now, err := e.Node(ctx, n.UUID)
			must(t, err)
			if now.PowerState != "" {
				t.Errorf("a node that was to be left alone has %q", now.PowerState)
			}
		}
	})
}

// BenchmarkPowerPlan is what power sync asks the database for, in a fleet of 100,000 nodes: the whole list, as when conductors come or go, and what
// it asks for in each pass, of a fleet at rest and of one in which 100 nodes were changed.
func BenchmarkPowerPlan(b *testing.B) {
	for _, engine := range []string{"sqlite", "postgres"} {
		for _, count := range []int{1000, 100_000} {
			e := open(b, engine)
			e.multiply(b, count)
			last, err := e.LastChange(b.Context())
			if err != nil {
				b.Fatal(err)
			}
			b.Run(fmt.Sprintf("%s/nodes=%d/whole", engine, count), func(b *testing.B) {
				for b.Loop() {
					n := 0
					if err := e.AllPowerStamps(b.Context(), func(*ferric.Node) { n++ }); err != nil || n != count {
						b.Fatal(n, err)
					}
				}
			})
			pass := func(b *testing.B, after int64, want int) {
				for b.Loop() {
					changed, _, _, err := e.ChangedNodes(b.Context(), after)
					if err == nil {
						err = e.PowerStamps(b.Context(), changed, func(*ferric.Node) {})
					}
					if err != nil || len(changed) != want {
						b.Fatal(len(changed), err)
					}
				}
			}
			b.Run(fmt.Sprintf("%s/nodes=%d/rest", engine, count), func(b *testing.B) { pass(b, last, 0) })
			var changes []*ferric.NodeChange
			if err := e.AllPowerStamps(b.Context(), func(n *ferric.Node) {
				if len(changes) < 100 {
					changes = append(changes, &ferric.NodeChange{UUID: n.UUID, Change: func(n *ferric.Node) error { n.PowerState = ferric.PowerOff; return nil }})
				}
			}); err != nil {
				b.Fatal(err)
			}
			b.Run(fmt.Sprintf("%s/nodes=%d/write-100", engine, count), func(b *testing.B) {
				for i := 0; b.Loop(); i++ {
					for _, c := range changes {
						c.Change = func(n *ferric.Node) error {
							n.PowerState = []ferric.PowerState{ferric.PowerOn, ferric.PowerOff}[i%2]
							return nil
						}
					}
					if err := e.ChangeNodes(b.Context(), changes); err != nil {
						b.Fatal(err)
					}
				}
			})
			recent, err := e.LastChange(b.Context())
			if err != nil {
				b.Fatal(err)
			}
			b.Run(fmt.Sprintf("%s/nodes=%d/changed=100", engine, count), func(b *testing.B) { pass(b, recent-100, 100) })
		}
	}
}

// multiply fills the database with copies of a node.
func (e *env) multiply(b *testing.B, count int) {
	b.Helper()
	e.node(b, func(n *ferric.Node) {
		n.Driver, n.ProvisionState, n.PowerState = "ipmi", ferric.Available, ferric.PowerOn
		n.Properties = map[string]any{"cpu_arch": "x86_64", "cpus": 16}
	})
	db := e.peek(b)
	rows, err := db.Query("SELECT * FROM nodes LIMIT 0")
	if err != nil {
		b.Fatal(err)
	}
	columns, err := rows.Columns()
	rows.Close()
	if err != nil {
		b.Fatal(err)
	}
	into, from := "", ""
	for _, c := range columns {
		into, from = into+", "+c, from+", n."+c
		if c == "uuid" {
			from = from[:len(from)-len("n.uuid")] + "substr(n.uuid, 1, 24) || substr('000000000000' || i, -12)"
			if e.postgres() {
				from = from[:len(from)-len("substr('000000000000' || i, -12)")] + "lpad(i::text, 12, '0')"
			}
		}
	}
	series := "WITH RECURSIVE s(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM s WHERE i < $1)"
	if _, err := db.Exec(series+" INSERT INTO nodes ("+into[2:]+") SELECT "+from[2:]+" FROM s, (SELECT * FROM nodes LIMIT 1) n", count-1); err != nil {
		b.Fatal(err)
	}
	if _, err := db.Exec("ANALYZE"); err != nil {
		b.Fatal(err)
	}
}
