package conductor_test

import (
	"cmp"
	"context"
	"fmt"
	"testing"

	"ferric"
	"ferric/agentapi"
	"ferric/conductor"
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

// killing is a verb whose conductor is killed.
type killing struct {
	verb  string
	from  ferric.ProvisionState
	end   ferric.ProvisionState
	begun map[string]int // agent commands and steps: how often they must be begun
	want  []string       // what must happen to the machine, once each and in this order
	args  func(*rpc.ProvisionArgs)
	make  func(*bench) *machine   // nil: a node in the state, whose machine is off
	error string                  // last_error in the end
	conf  func(*conductor.Config) // nil: as in every test
	least int                     // writes that there must be; 0: 15
	// then is asked for when the node is in the hold, "" for nothing.
	then string
	hold ferric.ProvisionState
}

func killings() map[string]killing {
	erased := map[string]int{"erase_devices_metadata": 1}
	return map[string]killing{
		"deploy": {verb: "active", from: ferric.Available, end: ferric.Active, begun: map[string]int{"write_image": 1, "burn_in": 1, "image.install_bootloader": 1},
			want: []string{"boots the ramdisk", "image written", "off", "boots the disk"}},
		"clean, power cut": {verb: "provide", from: ferric.Manageable, end: ferric.Available, conf: restarts(1), make: dies("erase_devices_metadata"),
			begun: map[string]int{"erase_devices_metadata": 2}, want: []string{"boots the ramdisk", "erased", "off", "boots the ramdisk", "erased", "off"}},
		"clean":    {verb: "provide", from: ferric.Manageable, end: ferric.Available, begun: erased, want: []string{"boots the ramdisk", "erased", "off"}},
		"undeploy": {verb: "deleted", from: ferric.Active, end: ferric.Available, begun: erased, want: []string{"boots the ramdisk", "erased", "off"}},
		"inspect":  {verb: "inspect", from: ferric.Manageable, end: ferric.Manageable, want: []string{"boots the ramdisk", "off"}},
		"service": {verb: "service", from: ferric.Active, end: ferric.Active, args: asks(vent(1), flash(), burnIn()), make: running,
			begun: map[string]int{"flash": 1, "burn_in": 1}, want: []string{"off", "boots the ramdisk", "vent 1", "flashed", "off", "boots the disk"}},
		"service, held": {verb: "service", from: ferric.Active, end: ferric.Active, args: asks(vent(1), reserved("hold", nil), vent(2)), make: running,
			then: "unhold", hold: ferric.ServiceHold, want: []string{"vent 1", "vent 2"}},
		"rescue": {verb: "rescue", from: ferric.Active, end: ferric.Rescue, args: password("pw"), make: running,
			begun: map[string]int{agentapi.CmdFinalizeRescue: 1}, want: []string{"off", "boots the ramdisk", "rescued"}, least: 11},
		"unrescue": {verb: "unrescue", from: ferric.Rescue, end: ferric.Active, make: running, want: []string{"off", "boots the disk"}, least: 7},
		"clean, reserved steps": {verb: "clean", from: ferric.Manageable, end: ferric.Manageable,
			args:  asks(rpc.StepArgs{Interface: "deploy", Step: "erase_devices"}, reserved("reboot", nil), reserved("wait", map[string]any{"seconds": 0})),
			begun: map[string]int{"erase_devices": 1}, want: []string{"boots the ramdisk", "erased", "off", "boots the ramdisk", "off"}},
		"abort of a failed service": {verb: "abort", from: ferric.ServiceFailed, end: ferric.Active, make: inTheRamdisk, want: []string{"off", "boots the disk"}, least: 7,
			error: "By request, the service operation was aborted"},
		"children": {verb: "service", from: ferric.Active, end: ferric.Active, args: asks(onChildren(vent(1)), onChildren(reserved("power_on", nil))),
			make: parentOfOne, want: []string{"vent 1", "boots nothing"}},
	}
}

func restarts(n int) func(*conductor.Config) {
	return func(c *conductor.Config) { c.AgentRestarts = n }
}

// dies makes a machine that loses its power when an agent's command or step begins for the first time.
func dies(what string) func(*bench) *machine {
	return func(b *bench) *machine {
		m := b.site.node("lab")
		m.with(func(m *machine) { m.dying = what })
		return m
	}
}

// running is a machine whose deployed system runs.
func running(b *bench) *machine { return deployed(b, "lab") }

// inTheRamdisk is a machine that a failed service left in its ramdisk.
func inTheRamdisk(b *bench) *machine {
	m := deployed(b, "lab")
	if err := b.store.BeginAgentSession(b.Context(), m.id); err != nil {
		b.Fatal(err)
	}
	return m
}

// over reports whether nothing is under way on a node.
func (b *bench) over(n *ferric.Node) bool {
	_, err := b.store.Unfinished(context.Background(), n.UUID, flow.Provision)
	return n.Reservation == "" && ferric.IsCode(err, ferric.CodeNotFound)
}

// parentOfOne is a node whose one child shares its machine, so that what is done to the child is seen.
func parentOfOne(b *bench) *machine {
	m := deployed(b, "lab")
	child := b.site.node("lab", in(ferric.Active), func(n *ferric.Node) { n.ParentNode = m.id })
	m.with(func(m *machine) { m.child = child })
	return m
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
	err := b.try(m.id, k.verb, k.args)
	b.until(m.id, "dead or done", func(n *ferric.Node) bool {
		if k.then != "" && n.ProvisionState == k.hold && n.Reservation == "" && !first.isDead() {
			_ = b.try(m.id, k.then) // it may be killed by this, and asked again then
		}
		return first.isDead() || n.ProvisionState == k.end && n.TargetProvisionState == "" && b.over(n)
	})
	came := first.isDead()
	p.kill()
	if err != nil && b.node(m.id).ProvisionState == k.from {
		return came // the call was refused, and nothing was begun
	}
	if d.heir != "one" {
		bury(b, "one")
	}
	next := b.boot(d.heir, k.conf)
	node := b.until(m.id, "ended", func(n *ferric.Node) bool {
		if k.then != "" && n.ProvisionState == k.hold && n.Reservation == "" {
			_ = b.try(m.id, k.then)
		}
		if state.Failed(n.ProvisionState) && n.Reservation == "" {
			t.Fatalf("killed at write %d: the node is %q: %s", n.Version, n.ProvisionState, n.LastError)
		}
		return n.ProvisionState == k.end && b.over(n)
	})
	next.stop()
	if m.child != nil {
		m = m.child
	}
	if node.InstanceInfo["hashed_rescue_password"] != nil {
		t.Errorf("killed at write %d: the password is still there", n)
	}
	if node.LastError != k.error || node.ServiceStep != nil || node.DeployStep != nil || node.CleanStep != nil {
		t.Errorf("killed at write %d: error %q, deploy step %v, clean step %v", n, node.LastError, node.DeployStep, node.CleanStep)
	}
	for what, times := range k.begun {
		if got := m.begun()[what]; got != times {
			t.Errorf("killed at write %d: %s was begun %d times, want %d", n, what, got, times)
		}
	}
	if diff := gocmp.Diff(k.want, m.history()); diff != "" {
		t.Errorf("killed at write %d: history of the machine (-want +have):\n%s", n, diff)
	}
	return came
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
