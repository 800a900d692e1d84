package conductor_test

import (
	"strings"
	"testing"
	"time"

	"ferric"
	"ferric/conductor"
	"ferric/flow"
	"ferric/rpc"

	"github.com/google/uuid"
)

func (b *bench) turn(id string, target ferric.PowerState) error {
	return b.call(rpc.ChangePower, rpc.PowerArgs{NodeRef: ref(id), Target: target}, nil)
}

func TestPowerTargets(t *testing.T) {
	for name, c := range map[string]struct {
		from, target, end ferric.PowerState
		want              []string
	}{
		"on":              {ferric.PowerOff, ferric.PowerOn, ferric.PowerOn, []string{"boots nothing"}},
		"on, is on":       {ferric.PowerOn, ferric.PowerOn, ferric.PowerOn, nil},
		"off":             {ferric.PowerOn, ferric.PowerOff, ferric.PowerOff, []string{"off"}},
		"off, is off":     {ferric.PowerOff, ferric.PowerOff, ferric.PowerOff, nil},
		"soft off":        {ferric.PowerOn, ferric.SoftPowerOff, ferric.PowerOff, []string{"off softly"}},
		"reboot":          {ferric.PowerOn, ferric.Reboot, ferric.PowerOn, []string{"off", "boots nothing"}},
		"reboot from off": {ferric.PowerOff, ferric.Reboot, ferric.PowerOn, []string{"boots nothing"}},
		"soft reboot":     {ferric.PowerOn, ferric.SoftReboot, ferric.PowerOn, []string{"off softly", "boots nothing"}},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			p := b.boot("one")
			m := b.site.node("lab", soft, func(n *ferric.Node) { n.PowerState, n.LastError = c.from, "old" })
			m.set(c.from)
			m.history()
			if err := b.turn(m.id, c.target); err != nil {
				t.Fatal(err)
			}
			n := b.until(m.id, "done", func(n *ferric.Node) bool { return n.TargetPowerState == "" && n.Reservation == "" })
			if n.PowerState != c.end || n.LastError != "" || n.ProvisionState != ferric.Available {
				t.Errorf("power %q, error %q, state %q", n.PowerState, n.LastError, n.ProvisionState)
			}
			for _, is := range moments(p.mortal, m.id, func(n *ferric.Node) ferric.PowerState { return n.PowerState }) {
				if is != c.from && is != c.end { // as in Ironic, a machine that is rebooted counts as on
					t.Errorf("the node was shown as %q", is)
				}
			}
			same(t, "targets", []ferric.PowerState{c.end, ""}, moments(p.mortal, m.id, func(n *ferric.Node) ferric.PowerState { return n.TargetPowerState }))
			if diff := strings.Join(m.history(), ", "); diff != strings.Join(c.want, ", ") {
				t.Errorf("history %q, want %q", diff, c.want)
			}
		})
	}
}

// TestResetOrNothing: a machine that must not be powered off is reset, and that is not done again after a crash, because nothing tells whether it
// happened.
func TestResetOrNothing(t *testing.T) {
	on := func(n *ferric.Node) { n.DisablePowerOff, n.PowerState = true, ferric.PowerOn }
	b := newBench(t)
	p := b.boot("one")
	m := b.site.node("lab", soft, on)
	m.set(ferric.PowerOn)
	m.history()
	if err := b.turn(m.id, ferric.Reboot); err != nil {
		t.Fatal(err)
	}
	b.until(m.id, "done", func(n *ferric.Node) bool { return n.TargetPowerState == "" && n.Reservation == "" })
	same(t, "history", []string{"reboot", "off", "boots nothing"}, m.history())

	slow, asked := make(chan struct{}), make(chan struct{}, 1)
	m.with(func(m *machine) { m.slow, m.asked = slow, asked })
	if err := b.turn(m.id, ferric.Reboot); err != nil {
		t.Fatal(err)
	}
	<-asked // the command is on its way
	p.kill()
	m.with(func(m *machine) { m.slow, m.asked = nil, nil })
	bury(b, "one")
	b.boot("two")
	n := b.until(m.id, "ended", func(n *ferric.Node) bool { return n.TargetPowerState == "" && n.Reservation == "" })
	wantWords(t, n.LastError, "the rebooting was interrupted and must not be run twice", "disable_power_off")
	if n.PowerState != ferric.PowerOn || m.count("reboot") != 0 {
		t.Errorf("power %q, history %v", n.PowerState, m.history())
	}
	if err := b.turn(m.id, ferric.Reboot); err != nil { // the operator looked, and asks again
		t.Fatal(err)
	}
	n = b.until(m.id, "done", func(n *ferric.Node) bool { return n.TargetPowerState == "" && n.Reservation == "" })
	if n.LastError != "" || m.count("reboot") != 1 {
		t.Errorf("error %q, history %v", n.LastError, m.history())
	}
}

// TestRebootLeavesTheFamilyAlone: as in Ironic, children are powered off with their parent, but not told of its reboot.
func TestRebootLeavesTheFamilyAlone(t *testing.T) {
	b := newBench(t)
	b.boot("one")
	parent := b.site.node("lab", func(n *ferric.Node) { n.PowerState = ferric.PowerOn })
	child := b.site.node("lab", func(n *ferric.Node) { n.PowerState, n.ParentNode = ferric.PowerOn, parent.id })
	for _, m := range []*machine{parent, child} {
		m.set(ferric.PowerOn)
		m.history()
	}
	for _, target := range []ferric.PowerState{ferric.Reboot, ferric.PowerOff} {
		if err := b.turn(parent.id, target); err != nil {
			t.Fatal(err)
		}
		b.until(parent.id, "done", func(n *ferric.Node) bool { return n.TargetPowerState == "" && n.Reservation == "" })
		want := map[ferric.PowerState][]string{ferric.Reboot: nil, ferric.PowerOff: {"off"}}[target]
		same(t, "history of the child, "+string(target), want, child.history())
	}
}

// soft is a node whose machine can be asked to shut down, and then be started.
func soft(n *ferric.Node) { n.DriverInfo["soft"] = true }

func TestPowerIsRefused(t *testing.T) {
	b := newBench(t)
	b.boot("one")
	m := b.site.node("lab", func(n *ferric.Node) { n.PowerState = ferric.PowerOn })
	wantCode(t, b.turn(m.id, ferric.SoftReboot), ferric.CodeUnsupported, `"lab" does not support "soft rebooting"`)
	wantCode(t, b.turn(m.id, "sideways"), ferric.CodeUnsupported, `"sideways"`)
	wantCode(t, b.turn(uuid.NewString(), ferric.PowerOn), ferric.CodeNotFound)
	blank := b.site.node("lab", func(n *ferric.Node) { n.DriverInfo = nil })
	wantCode(t, b.turn(blank.id, ferric.PowerOn), ferric.CodeInvalid, "password is missing")
	m.with(func(m *machine) { m.broken = ferric.Errorf(ferric.CodeUnavailable, "the BMC is silent") })
	if err := b.turn(m.id, ferric.PowerOff); err != nil {
		t.Fatal(err)
	}
	n := b.until(m.id, "failed", func(n *ferric.Node) bool { return n.LastError != "" && n.TargetPowerState == "" && n.Reservation == "" })
	wantWords(t, n.LastError, `Failed to change power state to "power off"`, "the BMC is silent")
	if n.PowerState != ferric.PowerOn || n.Maintenance {
		t.Errorf("power %q, maintenance %v", n.PowerState, n.Maintenance)
	}
}

// TestPowerWhileProvisioning changes the power while an operation of the provision lane waits.
func TestPowerWhileProvisioning(t *testing.T) {
	b := newBench(t)
	b.boot("one", func(c *conductor.Config) { c.LockWait = patience }) // the operation that waits takes the lease every few milliseconds
	m := b.site.node("lab")
	open := m.gate("write_image")
	defer open()
	b.verb(m.id, "active")
	b.waits(m.id, "finish")
	if err := b.turn(m.id, ferric.PowerOn); err != nil {
		t.Fatal(err)
	}
	b.until(m.id, "done", func(n *ferric.Node) bool { return n.TargetPowerState == "" && n.ProvisionState == ferric.DeployWait })
	open()
	b.reaches(m.id, ferric.Active)
	cleaned := b.site.node("lab", in(ferric.Manageable))
	wiped := cleaned.gate("erase_devices_metadata")
	defer wiped()
	b.verb(cleaned.id, "provide")
	b.waits(cleaned.id, "finish")
	wantCode(t, b.turn(cleaned.id, ferric.PowerOff), ferric.CodeInvalid, "can not be performed", string(ferric.CleanWait))
}

// TestTwoPowerChanges refuses the second while the first is under way.
func TestTwoPowerChanges(t *testing.T) {
	b := newBench(t)
	b.boot("one", func(c *conductor.Config) { c.LockWait = 50 * time.Millisecond })
	m := b.site.node("lab")
	slow, asked := make(chan struct{}), make(chan struct{}, 1)
	m.with(func(m *machine) { m.slow, m.asked = slow, asked })
	if err := b.turn(m.id, ferric.PowerOn); err != nil {
		t.Fatal(err)
	}
	<-asked
	wantCode(t, b.turn(m.id, ferric.PowerOff), ferric.CodeLocked, "one")
	close(slow)
	b.until(m.id, "on", func(n *ferric.Node) bool { return n.PowerState == ferric.PowerOn && n.TargetPowerState == "" })
}

// syncs makes a conductor look at power states every few milliseconds.
func syncs(force bool) func(*conductor.Config) {
	return func(c *conductor.Config) {
		c.PowerSyncInterval, c.ForcePowerState = 5*time.Millisecond, force
	}
}

func (b *bench) notes(id string) string {
	b.Helper()
	history, err := b.store.History(b.Context(), id, ferric.Page{})
	if err != nil {
		b.Fatal(err)
	}
	var out []string
	for _, h := range history {
		if h.EventType == ferric.EventMonitoring {
			out = append(out, h.Event)
		}
	}
	return strings.Join(out, "\n")
}

func TestPowerSyncRecords(t *testing.T) {
	b := newBench(t)
	p := b.boot("one", syncs(false))
	m := b.site.node("lab", func(n *ferric.Node) { n.PowerState = ferric.PowerOff })
	fresh := b.site.node("lab") // its state is not known yet
	left := map[string]*machine{
		"enrolled":         b.site.node("lab", in(ferric.Enroll)),
		"verifying":        b.site.node("lab", in(ferric.Verifying)),
		"in maintenance":   b.site.node("lab", func(n *ferric.Node) { n.Maintenance = true }),
		"of another group": b.site.node("lab", func(n *ferric.Node) { n.ConductorGroup = "other" }),
		"on its way":       b.site.node("lab", func(n *ferric.Node) { n.TargetPowerState = ferric.PowerOff }),
	}
	for _, m := range left {
		m.set(ferric.PowerOn)
	}
	m.set(ferric.PowerOn)
	b.until(m.id, "recorded", func(n *ferric.Node) bool { return n.PowerState == ferric.PowerOn })
	b.until(fresh.id, "recorded", func(n *ferric.Node) bool { return n.PowerState == ferric.PowerOff })
	b.until(m.id, "noted", func(*ferric.Node) bool {
		return strings.Contains(b.notes(m.id), "power on though it was recorded as power off")
	})
	before := p.metrics.synced()
	b.until(m.id, "looked at again", func(*ferric.Node) bool { return p.metrics.synced() > before+4 })
	for name, m := range left {
		if n := b.node(m.id); n.PowerState != "" {
			t.Errorf("the node %s was recorded as %q", name, n.PowerState)
		}
	}
	if b.notes(fresh.id) != "" {
		t.Errorf("the first look was noted: %s", b.notes(fresh.id))
	}
}

// TestPowerSyncForces brings machines back, but not under an operation, and not for ever.
func TestPowerSyncForces(t *testing.T) {
	b := newBench(t)
	p := b.boot("one", syncs(true))
	m := b.site.node("lab", func(n *ferric.Node) { n.PowerState = ferric.PowerOff })
	m.set(ferric.PowerOn)
	b.until(m.id, "off", func(n *ferric.Node) bool { return m.power() == ferric.PowerOff && n.TargetPowerState == "" })
	wantWords(t, b.notes(m.id), "bringing it back")

	stubborn := b.site.node("lab", func(n *ferric.Node) { n.PowerState = ferric.PowerOn })
	stubborn.with(func(m *machine) { m.stuck = true })
	n := b.until(stubborn.id, "given up", func(n *ferric.Node) bool { return n.PowerState == ferric.PowerOff && n.TargetPowerState == "" })
	if n.Maintenance {
		t.Errorf("maintenance: %s", n.MaintenanceReason)
	}
	if got := strings.Count(b.notes(stubborn.id), "bringing it back"); got != 2 {
		t.Errorf("it was brought back %d times, want the 2 that are configured", got)
	}
	b.until(stubborn.id, "noted", func(*ferric.Node) bool { return strings.Contains(b.notes(stubborn.id), "recorded what it is") })

	deployed := b.site.node("lab")
	open := deployed.gate("write_image")
	defer open()
	b.verb(deployed.id, "active")
	b.waits(deployed.id, "finish")
	b.change(deployed.id, func(n *ferric.Node) { n.PowerState = ferric.PowerOff }) // the record is wrong
	before := p.metrics.synced()
	b.until(deployed.id, "looked at", func(*ferric.Node) bool { return p.metrics.synced() > before+20 })
	if deployed.power() != ferric.PowerOn {
		t.Error("the machine was switched off while its image was written")
	}
	open()
	b.reaches(deployed.id, ferric.Active)
}

// TestPowerFault puts a node whose BMC is silent into maintenance, until it answers again.
func TestPowerFault(t *testing.T) {
	b := newBench(t)
	b.boot("one", syncs(true))
	m := b.site.node("lab", func(n *ferric.Node) { n.PowerState = ferric.PowerOff })
	theirs := b.site.node("lab", func(n *ferric.Node) { n.PowerState = ferric.PowerOff })
	for _, m := range []*machine{m, theirs} {
		m.with(func(m *machine) { m.broken = ferric.Errorf(ferric.CodeTimeout, "no answer within 5s") })
	}
	n := b.until(m.id, "at fault", func(n *ferric.Node) bool { return n.Fault == ferric.FaultPower })
	if !n.Maintenance || n.PowerState != "" {
		t.Errorf("maintenance %v, power %q", n.Maintenance, n.PowerState)
	}
	wantWords(t, n.LastError, "max retries exceeded for node "+m.id, "no answer within 5s")
	wantWords(t, n.MaintenanceReason, "no answer within 5s")
	b.until(theirs.id, "at fault", func(n *ferric.Node) bool { return n.Fault == ferric.FaultPower })
	b.change(theirs.id, func(n *ferric.Node) { n.Fault = "" }) // an operator takes the maintenance over
	for _, m := range []*machine{m, theirs} {
		m.with(func(m *machine) { m.broken = nil })
	}
	m.set(ferric.PowerOn)
	n = b.until(m.id, "well again", func(n *ferric.Node) bool { return n.Fault == "" && n.PowerState == ferric.PowerOn })
	if n.Maintenance || n.MaintenanceReason != "" || n.LastError != "" {
		t.Errorf("maintenance %v %q, error %q", n.Maintenance, n.MaintenanceReason, n.LastError)
	}
	b.until(m.id, "noted", func(*ferric.Node) bool { return strings.Contains(b.notes(m.id), "The BMC answers again") })
	if n := b.node(theirs.id); !n.Maintenance {
		t.Error("maintenance that the operator took over was ended")
	}
}

// TestVerifyEndsPowerFault lets manage do what the next sync would.
func TestVerifyEndsPowerFault(t *testing.T) {
	b := newBench(t)
	b.boot("one")
	m := b.site.node("lab", in(ferric.Enroll), func(n *ferric.Node) {
		n.Maintenance, n.MaintenanceReason, n.Fault = true, "no answer", ferric.FaultPower
	})
	b.verb(m.id, "manage")
	if n := b.reaches(m.id, ferric.Manageable); n.Maintenance || n.Fault != "" || n.MaintenanceReason != "" {
		t.Errorf("maintenance %v %q, fault %q", n.Maintenance, n.MaintenanceReason, n.Fault)
	}
}

// TestStuckNodes finds nodes whose state says that somebody works on them.
func TestStuckNodes(t *testing.T) {
	b := newBench(t)
	want := map[ferric.ProvisionState]ferric.ProvisionState{
		ferric.Deploying: ferric.DeployFailed, ferric.DeployWait: ferric.DeployFailed, ferric.DeployHold: ferric.DeployFailed,
		ferric.Cleaning: ferric.CleanFailed, ferric.CleanWait: ferric.CleanFailed, ferric.CleanHold: ferric.CleanFailed,
		ferric.Inspecting: ferric.InspectFailed, ferric.InspectWait: ferric.InspectFailed, ferric.Verifying: ferric.Enroll,
		ferric.Deleting: ferric.ErrorState, ferric.Adopting: ferric.AdoptFailed,
	}
	nodes := map[ferric.ProvisionState]*machine{}
	for s := range want {
		nodes[s] = b.site.node("lab", in(s))
	}
	other := b.site.node("lab", in(ferric.Deploying), func(n *ferric.Node) { n.ConductorGroup = "other" })
	taken := b.site.node("lab", in(ferric.Deploying))
	lease, err := b.store.Acquire(t.Context(), taken.id, "somebody", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	alive := b.site.node("lab")
	open := alive.gate("write_image")
	defer open()
	b.boot("one", func(c *conductor.Config) { c.StuckInterval, c.StuckAfter = 5*time.Millisecond, time.Hour })
	b.verb(alive.id, "active")
	b.waits(alive.id, "finish")
	for s, m := range nodes {
		n := b.reaches(m.id, want[s])
		wantWords(t, n.LastError, "there is none in the ledger")
	}
	for _, m := range []*machine{other, taken} {
		if n := b.node(m.id); n.ProvisionState != ferric.Deploying {
			t.Errorf("a node that is not this conductor's to judge is %q", n.ProvisionState)
		}
	}
	if n := b.node(alive.id); n.ProvisionState != ferric.DeployWait {
		t.Errorf("a deploy under way is %q", n.ProvisionState)
	}
	if err := b.store.Release(t.Context(), lease); err != nil {
		t.Fatal(err)
	}
	b.reaches(taken.id, ferric.DeployFailed)
	if op, err := b.store.Unfinished(t.Context(), alive.id, flow.Provision); err != nil || op.Kind != "deploy" {
		t.Errorf("operation %v, %v", op, err)
	}
}
