package conductor_test

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"ferric"
	"ferric/conductor"
	"ferric/driver/fake"
	"ferric/flow"
	"ferric/rpc"
	"ferric/state"

	gocmp "github.com/google/go-cmp/cmp"
)

// death is one way to kill a conductor.
type death struct {
	after bool   // after the write instead of before it
	heir  string // host name of the conductor that goes on
}

// over reports whether nothing is under way in a lane of a node.
func (b *bench) over(n *ferric.Node, lane flow.Lane) bool {
	_, err := b.store.Unfinished(context.Background(), n.UUID, lane)
	return n.Reservation == "" && ferric.IsCode(err, ferric.CodeNotFound)
}

// TestKilledAtEveryWrite kills the conductor at every one of its writes to the ledger, before the write and after it. The conductor that
// comes then, with the same name or another one, must bring the operation to its end, and nothing may be done to the machine twice.
func TestKilledAtEveryWrite(t *testing.T) {
	for name, k := range killings() {
		for _, d := range []death{{false, "one"}, {true, "two"}, {true, "one"}, {false, "two"}} {
			t.Run(fmt.Sprintf("%s, after=%v, then %s", name, d.after, d.heir), func(t *testing.T) {
				t.Parallel()
				if odd := d.after == (d.heir == "one"); odd && (name != "deploy" && name != "rescue" || testing.Short() || killEvery > 1) {
					t.Skip("two of four ways to die are enough here")
				}
				if k.light && testing.Short() && !d.after {
					t.Skip("one way to die is enough for a short run")
				}
				if k.light && killEvery > 1 { // with the race detector: once, in the middle
					killedAt(t, k, d, 5)
					return
				}
				for n := 2; ; n += killEvery { // the first write takes the lease for the call
					if !killedAt(t, k, d, n) {
						t.Logf("killed at %d writes", n-2)
						if n < cmp.Or(k.least, 15) {
							t.Errorf("it ended after %d writes; it was not killed often", n)
						}
						return
					}
					if t.Failed() {
						return
					}
				}
			})
		}
	}
}

// killedAt reports whether the operation came as far as the nth write.
func killedAt(t *testing.T, k killing, d death, n int) bool {
	b := newBench(t)
	defer b.site.close()
	b.site.hw.Journal = &fake.Journal{Dir: memory(t)}
	var m *machine
	if k.make != nil {
		m = k.make(b)
		b.change(m.id, func(n *ferric.Node) { n.ProvisionState = k.from })
	} else {
		m = b.site.node("lab", in(k.from))
	}
	first := &mortal{Store: b.store, left: n, after: d.after, last: m.called}
	if k.conf == nil {
		k.conf = func(*conductor.Config) {}
	}
	p := b.bootOn(first, "one", k.conf)
	if k.args == nil {
		k.args = func(*rpc.ProvisionArgs) {}
	}
	lane := cmp.Or(k.lane, flow.Provision)
	ask := k.ask
	if ask == nil {
		ask = func(b *bench, id string) error { return b.try(id, k.verb, k.args) }
	}
	err := ask(b, m.id)
	b.until(m.id, "dead or done", func(n *ferric.Node) bool {
		if k.then != "" && n.ProvisionState == k.hold && n.Reservation == "" && !first.isDead() {
			_ = b.try(m.id, k.then) // it may be killed by this, and asked again then
		}
		return first.isDead() || n.ProvisionState == k.end && n.TargetProvisionState == "" && b.over(n, lane)
	})
	came := first.isDead()
	p.kill()
	if ops, e := b.store.Operations(b.Context(), m.id, 1); err != nil && len(ops) == 0 {
		if !came || e != nil {
			t.Errorf("killed at write %d: refused: %v, %v", n, err, e)
		}
		return came // the call was refused, and nothing was begun
	}
	if d.heir != "one" {
		bury(b, "one")
	}
	next := b.boot(d.heir, k.conf)
	b.until(m.id, "ended", func(n *ferric.Node) bool {
		if k.then != "" && n.ProvisionState == k.hold && n.Reservation == "" {
			_ = b.try(m.id, k.then)
		}
		if state.Failed(n.ProvisionState) && n.Reservation == "" {
			t.Fatalf("killed at write %d: the node is %q: %s", n.Version, n.ProvisionState, n.LastError)
		}
		return n.ProvisionState == k.end && b.over(n, lane)
	})
	node := b.node(m.id) // the other may have been read before the end
	next.stop()
	k.proves(t, b, m, node, n)
	return came
}

// proves compares what the machine and the node have come to with what was asked for.
func (k killing) proves(t *testing.T, b *bench, m *machine, node *ferric.Node, n int) {
	id := m.id
	if m.child != nil {
		m = m.child
	}
	if node.InstanceInfo["hashed_rescue_password"] != nil {
		t.Errorf("killed at write %d: the password is still there", n)
	}
	excused := k.excuse != "" && strings.Contains(node.LastError, k.excuse)
	if node.LastError != k.error && !excused || node.ServiceStep != nil || node.DeployStep != nil || node.CleanStep != nil {
		t.Errorf("killed at write %d: error %q, deploy step %v, clean step %v", n, node.LastError, node.DeployStep, node.CleanStep)
	}
	for what, times := range k.begun {
		if got := m.begun()[what]; got != times {
			t.Errorf("killed at write %d: %s was begun %d times, want %d", n, what, got, times)
		}
	}
	have := m.history()
	if k.twice {
		have = slices.Compact(have)
	}
	if !excused || len(have) > 0 {
		if diff := gocmp.Diff(k.want, have); diff != "" {
			t.Errorf("killed at write %d: history of the machine (-want +have):\n%s", n, diff)
		}
	}
	if k.is != nil {
		if diff := gocmp.Diff(k.become, k.is(b, node)); diff != "" {
			t.Errorf("killed at write %d: what it has come to (-want +have):\n%s", n, diff)
		}
	}
	entries, err := b.site.hw.Journal.Read(id)
	var done []string
	for _, e := range entries {
		switch e.Event {
		case fake.Begin:
			done = append(done, e.Step)
		case fake.Repeat: // the machine knew better; a real one may not
			done = append(done, e.Step+" again")
		}
	}
	if diff := gocmp.Diff(k.journal, done); diff != "" || err != nil {
		t.Errorf("killed at write %d: the machine's journal (-want +have):\n%s%v", n, diff, err)
	}
	ops, err := b.store.Operations(b.Context(), id, 10)
	if err != nil || len(ops) == 0 {
		t.Errorf("killed at write %d: %d operations, %v", n, len(ops), err)
	}
	for _, op := range ops {
		if kept, err := b.store.DriverState(b.Context(), id, "arguments/"+op.ID); err != nil || kept != nil {
			t.Errorf("killed at write %d: the arguments are kept: %q, %v", n, kept, err)
		}
	}
}

// bury does what time does after a conductor's death: its leases run out and it counts as down.
func bury(b *bench, host string) {
	b.Helper()
	if _, err := b.store.ReleaseOwner(b.Context(), host); err != nil {
		b.Fatal(err)
	}
	if err := b.store.Retire(b.Context(), host); err != nil {
		b.Fatal(err)
	}
}
