package store_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ferric"
	"ferric/flow"
	"ferric/store"
)

// spoken makes notices that say what was told.
func spoken(o ferric.Occurrence) []ferric.Notice {
	about, stamp := "", ""
	switch s := o.Subject.(type) {
	case *ferric.Node:
		about, stamp = s.UUID, fmt.Sprintf("%s,%s,%t", s.ProvisionState, s.PowerState, s.UpdatedAt.IsZero())
	case *ferric.Chassis:
		about, stamp = s.UUID, fmt.Sprintf("%s,%t", s.Description, s.UpdatedAt.IsZero())
	case *ferric.Runbook:
		about, stamp = s.UUID, s.Name
	case *ferric.InspectionRule:
		about, stamp = s.UUID, s.Description
	}
	topic := ferric.TopicNotifications
	if o.Action == ferric.ActionPowerChanged {
		topic = ferric.TopicNova
	}
	return []ferric.Notice{{Topic: topic, About: about, EventType: fmt.Sprintf("%s.%s.%s", o.Object, o.Action, o.Phase), Level: "info", Publisher: "p",
		Payload: fmt.Appendf(nil, "%q", stamp)}}
}

func telling(t *testing.T, engine string) *env {
	e := &env{cfg: fresh(t, engine), clock: newClock()}
	e.cfg.Now, e.cfg.Notices = e.clock.now, spoken
	e.Store = reopen(t, e.cfg)
	return e
}

// told returns the notices after an ID as "id event payload".
func (e *env) told(t *testing.T, after int64, topics ...string) []string {
	t.Helper()
	if topics == nil {
		topics = []string{ferric.TopicNotifications, ferric.TopicNova}
	}
	list, last, err := e.Notices(t.Context(), after, topics, 1000)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, n := range list {
		if n.MessageID == "" || n.At.IsZero() || n.ID > last {
			t.Errorf("notice %+v of %d lacks something", n, last)
		}
		out = append(out, fmt.Sprintf("%d %s %s", n.ID, n.EventType, strings.Trim(string(n.Payload), `"`)))
	}
	return out
}

func eachTelling(t *testing.T, fn func(t *testing.T, e *env)) {
	for _, engine := range []string{"sqlite", "postgres"} {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			fn(t, telling(t, engine))
		})
	}
}

// TestNoticesAreWrittenWithWhatTheyTellOf: what a client asked for and what news a change brings, in order, and nothing of what was not done.
func TestNoticesAreWrittenWithWhatTheyTellOf(t *testing.T) {
	eachTelling(t, func(t *testing.T, e *env) {
		ctx := t.Context()
		asked := func(object string, a ferric.Action) context.Context { return ferric.AskedFor(ctx, object, a) }
		n := &ferric.Node{Driver: "fake-hardware"}
		must(t, e.CreateNode(asked(ferric.ObjectNode, ferric.ActionCreate), n))
		_, err := e.ChangeNode(asked(ferric.ObjectNode, ferric.ActionUpdate), n.UUID, 0, func(n *ferric.Node) error { n.Description = "x"; return nil })
		must(t, err)
		_, err = e.ChangeNode(ctx, n.UUID, 0, func(n *ferric.Node) error { // nobody asked, but there are news
			n.Tell(ferric.News{Action: ferric.ActionProvisionSet, Phase: ferric.PhaseStart})
			n.Tell(ferric.News{Action: ferric.ActionProvisionSet, Phase: ferric.PhaseEnd})
			n.ProvisionState, n.PowerState = ferric.Manageable, ferric.PowerOn
			return nil
		})
		must(t, err)
		_, err = e.ChangeNode(ctx, n.UUID, 0, func(n *ferric.Node) error {
			n.Tell(ferric.News{Action: ferric.ActionConsoleSet, Phase: ferric.PhaseEnd})
			return nil
		})
		must(t, err)
		_, err = e.ChangeNode(asked(ferric.ObjectNode, ferric.ActionUpdate), n.UUID, 0, func(n *ferric.Node) error { return nil })
		must(t, err) // it changes nothing
		_, err = e.ChangeNode(asked(ferric.ObjectNode, ferric.ActionUpdate), n.UUID, 0, func(n *ferric.Node) error {
			n.Tell(ferric.News{Action: ferric.ActionProvisionSet})
			return ferric.Errorf(ferric.CodeConflict, "no")
		})
		if !ferric.IsCode(err, ferric.CodeConflict) {
			t.Errorf("a refused change answers %v", err)
		}
		now, err := e.Node(ctx, n.UUID)
		must(t, err)
		if now.News != nil {
			t.Errorf("a node that was read has news: %v", now.News)
		}
		must(t, e.DeleteNode(asked(ferric.ObjectNode, ferric.ActionDelete), n.UUID, flow.Lease{}))

		c := &ferric.Chassis{}
		must(t, e.CreateChassis(asked(ferric.ObjectChassis, ferric.ActionCreate), c))
		_, err = e.UpdateChassis(asked(ferric.ObjectChassis, ferric.ActionUpdate), c.UUID, 0, func(c *ferric.Chassis) error { c.Description = "new"; return nil })
		must(t, err)
		_, err = e.UpdateChassis(ctx, c.UUID, 0, func(c *ferric.Chassis) error { c.Description = "newer"; return nil }) // nobody asked
		must(t, err)
		must(t, e.DeleteChassis(asked(ferric.ObjectChassis, ferric.ActionDelete), c.UUID))
		r := &ferric.Runbook{Name: "CUSTOM_A"}
		must(t, e.CreateRunbook(asked(ferric.ObjectRunbook, ferric.ActionCreate), r))
		must(t, e.DeleteRunbook(asked(ferric.ObjectRunbook, ferric.ActionDelete), r.UUID))
		rule := &ferric.InspectionRule{Description: "d", Phase: "main"}
		must(t, e.CreateInspectionRule(asked(ferric.ObjectInspectionRule, ferric.ActionCreate), rule))
		must(t, e.DeleteInspectionRules(asked(ferric.ObjectInspectionRule, ferric.ActionDelete)))
		must(t, e.Tell(ctx, ferric.Occurrence{Object: "port", News: ferric.News{Action: "update", Phase: ferric.PhaseError}}))

		want := []string{
			"1 node.create.start enroll,,true", "2 node.create.end enroll,,false",
			"3 node.update.start enroll,,false", "4 node.update.end enroll,,false",
			"5 node.power_changed. manageable,power on,false",
			"6 node.provision_set.start manageable,power on,false", "7 node.provision_set.end manageable,power on,false",
			"8 node.console_set.end manageable,power on,false",
			"9 node.delete.start manageable,power on,false", "10 node.delete.end manageable,power on,false",
			"11 chassis.create.start ,true", "12 chassis.create.end ,false",
			"13 chassis.update.start new,false", "14 chassis.update.end new,false",
			"15 chassis.delete.start newer,false", "16 chassis.delete.end newer,false",
			"17 runbook.create.start CUSTOM_A", "18 runbook.create.end CUSTOM_A", "19 runbook.delete.start CUSTOM_A", "20 runbook.delete.end CUSTOM_A",
			"21 inspectionrule.create.start d", "22 inspectionrule.create.end d", "23 inspectionrule.delete.start d", "24 inspectionrule.delete.end d",
			"25 port.update.error ",
		}
		if diff := cmp.Diff(want, e.told(t, 0)); diff != "" {
			t.Errorf("notices (-want +have):\n%s", diff)
		}
		if diff := cmp.Diff(want[4:5], e.told(t, 0, ferric.TopicNova)); diff != "" {
			t.Errorf("of one topic (-want +have):\n%s", diff)
		}
		if diff := cmp.Diff(want[20:], e.told(t, 20)); diff != "" {
			t.Errorf("after 20 (-want +have):\n%s", diff)
		}
	})
}

func TestOneHolderDeliversToASink(t *testing.T) {
	eachTelling(t, func(t *testing.T, e *env) {
		ctx := t.Context()
		hold := func(holder string, wantHeld bool, wantDone int64) {
			t.Helper()
			done, held, err := e.HoldSink(ctx, "s", holder, time.Minute)
			if err != nil || held != wantHeld || held && done != wantDone {
				t.Fatalf("hold by %s: %d, %t, %v; want %d, %t", holder, done, held, err, wantDone, wantHeld)
			}
		}
		for range 10 {
			must(t, e.CreateChassis(ferric.AskedFor(ctx, ferric.ObjectChassis, ferric.ActionCreate), &ferric.Chassis{}))
		}
		hold("one", true, 0)
		hold("two", false, 0)
		must(t, e.SinkDone(ctx, "s", "one", 5, 1))
		must(t, e.SinkDone(ctx, "s", "one", 3, 0)) // never back
		hold("one", true, 5)
		must(t, e.SinkFailed(ctx, "s", "one", "broker away"))
		if err := e.SinkDone(ctx, "s", "two", 9, 0); !ferric.IsCode(err, ferric.CodeStale) {
			t.Errorf("the one who does not hold it may note progress: %v", err)
		}
		e.after(2 * time.Minute)
		hold("two", true, 5) // one is not heard of any more
		if err := e.SinkFailed(ctx, "s", "one", "late"); !ferric.IsCode(err, ferric.CodeStale) {
			t.Errorf("the one who has lost it may note a failure: %v", err)
		}
		must(t, e.LeaveSink(ctx, "s", "two"))
		hold("one", true, 5)
		sinks, err := e.Sinks(ctx)
		must(t, err)
		if len(sinks) != 1 || sinks[0].Error != "broker away" || sinks[0].Refused != 1 || sinks[0].Done != 5 || sinks[0].FailingSince.IsZero() ||
			sinks[0].Waiting != 15 || sinks[0].Oldest.IsZero() || sinks[0].Holder != "one" {
			t.Errorf("sinks: %+v", sinks)
		}
		must(t, e.SinkDone(ctx, "s", "one", 6, 0))
		if sinks, err = e.Sinks(ctx); err != nil || sinks[0].Error != "" || !sinks[0].FailingSince.IsZero() {
			t.Errorf("after a success: %+v, %v", sinks, err)
		}
	})
}

// TestTheOutboxIsBounded: what all sinks have goes, what is too old or too much goes too, and each sink is told what it missed.
func TestTheOutboxIsBounded(t *testing.T) {
	eachTelling(t, func(t *testing.T, e *env) {
		ctx := t.Context()
		write := func(n int) {
			t.Helper()
			for range n {
				must(t, e.CreateChassis(ferric.AskedFor(ctx, ferric.ObjectChassis, ferric.ActionCreate), &ferric.Chassis{}))
			}
		}
		all := map[string][]string{"a": {ferric.TopicNotifications}, "b": {ferric.TopicNotifications}, "nova": {ferric.TopicNova}}
		trim := func(keep int64, age time.Duration, want map[string]int64, left int) {
			t.Helper()
			lost, err := e.TrimOutbox(ctx, all, keep, e.Now().Add(-age))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, lost); diff != "" {
				t.Errorf("lost (-want +have):\n%s", diff)
			}
			if have := len(e.told(t, 0)); have != left {
				t.Errorf("%d notices are left, want %d", have, left)
			}
		}
		for name := range all {
			_, _, err := e.HoldSink(ctx, name, "host", time.Hour)
			must(t, err)
		}
		write(20) // 40 notices
		trim(1000, time.Hour, map[string]int64{}, 40)
		must(t, e.SinkDone(ctx, "a", "host", 30, 0))
		must(t, e.SinkDone(ctx, "b", "host", 10, 0))
		must(t, e.SinkDone(ctx, "nova", "host", 40, 0))
		trim(1000, time.Hour, map[string]int64{}, 30)
		trim(20, time.Hour, map[string]int64{"b": 10}, 20)
		e.after(2 * time.Hour)
		write(1)
		trim(20, time.Hour, map[string]int64{"a": 10, "b": 20}, 2)
		sinks, err := e.Sinks(ctx)
		must(t, err)
		for _, s := range sinks {
			if want := map[string]int64{"a": 10, "b": 30, "nova": 0}[s.Name]; s.Dropped != want || s.DroppedAt.IsZero() != (want == 0) {
				t.Errorf("%s misses %d since %v, want %d", s.Name, s.Dropped, s.DroppedAt, want)
			}
			if s.Done != 40 {
				t.Errorf("%s goes on after %d, want 40", s.Name, s.Done)
			}
		}
		must(t, e.KeepSinks(ctx, []string{"a"}))
		if sinks, err = e.Sinks(ctx); err != nil || len(sinks) != 1 || sinks[0].Name != "a" {
			t.Errorf("kept: %+v, %v", sinks, err)
		}
		// Nobody listens any more: age alone counts.
		all = nil
		trim(1000, time.Hour, map[string]int64{}, 2)
		e.after(2 * time.Hour)
		trim(1000, time.Hour, map[string]int64{}, 0)
	})
}

// TestManyTrimmed: more than one transaction removes.
func TestManyTrimmed(t *testing.T) {
	e := telling(t, "sqlite")
	var list []ferric.Occurrence
	for range 2500 {
		list = append(list, ferric.Occurrence{Object: "port"})
	}
	must(t, e.Tell(t.Context(), list...))
	_, _, err := e.HoldSink(t.Context(), "s", "host", time.Hour)
	must(t, err)
	lost, err := e.TrimOutbox(t.Context(), map[string][]string{"s": {ferric.TopicNotifications}}, 100, time.Time{})
	if err != nil || lost["s"] != 2400 {
		t.Errorf("lost %v, %v; want 2400", lost, err)
	}
	if have := len(e.told(t, 0)); have != 100 {
		t.Errorf("%d are left, want 100", have)
	}
}

// TestNobodyListens: without Config.Notices nothing is written.
func TestNobodyListens(t *testing.T) {
	e := open(t, "sqlite")
	must(t, e.CreateChassis(ferric.AskedFor(t.Context(), ferric.ObjectChassis, ferric.ActionCreate), &ferric.Chassis{}))
	must(t, e.Tell(t.Context(), ferric.Occurrence{Object: "port"}))
	if have := e.told(t, 0); len(have) != 0 {
		t.Errorf("%v", have)
	}
}

var _ store.Announcing = spoken
