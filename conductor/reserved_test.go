package conductor_test

import (
	"os"
	"strings"
	"testing"
	"time"

	"ferric"
	"ferric/conductor"
	"ferric/driver"
	"ferric/flow"
	"ferric/rpc"
)

func reserved(step string, args map[string]any) rpc.StepArgs {
	return rpc.StepArgs{Interface: "power", Step: step, Args: args}
}

// TestReservedSteps steer cleaning, servicing and deploying, in the ramdisk and out of it.
func TestReservedSteps(t *testing.T) {
	sixty := 60
	erase := rpc.StepArgs{Interface: "deploy", Step: "erase_devices"}
	for name, c := range map[string]struct {
		verb  string
		from  ferric.ProvisionState
		end   ferric.ProvisionState
		node  func(*ferric.Node)
		steps []rpc.StepArgs
		want  []string
	}{
		"clean, reboot in the ramdisk": {"clean", ferric.Manageable, ferric.Manageable, nil, []rpc.StepArgs{erase, reserved("reboot", nil), erase},
			[]string{"boots the ramdisk", "erased", "off", "boots the ramdisk", "erased", "off"}},
		"clean, off and on in the ramdisk": {"clean", ferric.Manageable, ferric.Manageable, nil,
			[]rpc.StepArgs{erase, reserved("power_off", nil), reserved("power_on", nil), reserved("power_on", nil), erase},
			[]string{"boots the ramdisk", "erased", "off", "boots the ramdisk", "erased", "off"}},
		"clean, without the ramdisk": {"clean", ferric.Manageable, ferric.Manageable, nil,
			[]rpc.StepArgs{reserved("power_on", nil), reserved("reboot", nil), reserved("power_off", nil)}, []string{"boots nothing", "off", "boots nothing", "off"}},
		"clean, waits": {"clean", ferric.Manageable, ferric.Manageable, nil, []rpc.StepArgs{erase, reserved("wait", map[string]any{"seconds": 0}), reserved("wait", map[string]any{"seconds": "1"}), reserved("wait", nil)},
			[]string{"boots the ramdisk", "erased", "off"}},
		"service, reboot of the system": {"service", ferric.Active, ferric.Active, nil, []rpc.StepArgs{vent(1), reserved("reboot", nil), vent(2)},
			[]string{"vent 1", "off", "boots the disk", "vent 2"}},
		"service, the agent wants a reboot": {"service", ferric.Active, ferric.Active, nil, []rpc.StepArgs{{Interface: "firmware", Step: "reflash"}, burnIn()},
			[]string{"off", "boots the ramdisk", "off", "boots the ramdisk", "off", "boots the disk"}},
		"deploy, wait and reboot": {"active", ferric.Available, ferric.Active, nil, []rpc.StepArgs{{Interface: "power", Step: "reboot", Priority: &sixty, Args: map[string]any{}}},
			[]string{"boots the ramdisk", "image written", "off", "boots the ramdisk", "off", "boots the disk"}},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.boot("one")
			m := b.site.node("lab", in(c.from))
			if c.from == ferric.Active {
				m = deployed(b, "lab")
			}
			b.verb(m.id, c.verb, asks(c.steps...))
			n := b.reaches(m.id, c.end)
			same(t, "history of the machine", c.want, m.history())
			if n.LastError != "" || n.PowerState != m.power() {
				t.Errorf("error %q, recorded %q, is %q", n.LastError, n.PowerState, m.power())
			}
		})
	}
}

// TestWaitIsBounded cuts a wait to what the configuration allows, and keeps no worker meanwhile.
func TestWaitIsBounded(t *testing.T) {
	b := newBench(t)
	p := b.boot("one", func(c *conductor.Config) { c.MaxWaitStep = time.Second })
	m := deployed(b, "lab")
	began := time.Now()
	b.verb(m.id, "service", asks(reserved("wait", map[string]any{"seconds": 1000}), vent(1)))
	op := b.waits(m.id, "the time that the step is to wait")
	n := b.reaches(m.id, ferric.ServiceWait)
	if n.ServiceStep["step"] != "wait" || op.Status != flow.Waiting {
		t.Errorf("service step %v", n.ServiceStep)
	}
	p.kill()
	bury(b, "one")
	b.boot("two", func(c *conductor.Config) { c.MaxWaitStep = time.Second }) // a wait outlives conductors
	b.reaches(m.id, ferric.Active)
	if took := time.Since(began); took < time.Second || took > patience/2 {
		t.Errorf("it took %s", took)
	}
}

// TestPowerOffIsForbidden keeps a machine on that must not be powered off, even where a step asks for it.
func TestPowerOffIsForbidden(t *testing.T) {
	b := newBench(t)
	b.boot("one")
	m := deployed(b, "lab", func(n *ferric.Node) { n.DisablePowerOff = true })
	b.verb(m.id, "service", asks(reserved("power_off", nil)))
	n := b.reaches(m.id, ferric.ServiceFailed)
	wantWords(t, n.LastError, "Failed to set node power state to power off.")
	if m.power() != ferric.PowerOn {
		t.Error("the machine is off")
	}
}

// TestStepsThatSayNothing: a step of which its driver does not say how it may be repeated is not. A reboot is looked after by its own code.
func TestStepsThatSayNothing(t *testing.T) {
	b := newBench(t)
	b.boot("one")
	m := deployed(b, "lab")
	b.verb(m.id, "service", asks(rpc.StepArgs{Interface: "management", Step: "mystery"}, vent(1), reserved("reboot", nil), reserved("power_on", nil)))
	b.reaches(m.id, ferric.Active)
	have := map[string]flow.Repeat{}
	for _, s := range b.operation(m.id).Steps {
		if !s.Hidden {
			have[s.Name] = s.Repeat
		}
	}
	same(t, "classes", map[string]flow.Repeat{"mystery": flow.Never, "vent": flow.Safe, "reboot": flow.Check, "power_on": flow.Safe}, have)
}

// TestEveryStepIsExplained: docs/reliability.md says of every step what becomes of it when a conductor dies.
func TestEveryStepIsExplained(t *testing.T) {
	text, err := os.ReadFile("../docs/reliability.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(text), "## Every step")
	table, _, _ = strings.Cut(table, "\n## ")
	b := newBench(t)
	names := b.boot("one").OwnSteps()
	for kind, impls := range b.site.registry().Implementations {
		for _, impl := range impls {
			steps, ok := impl.(driver.Stepper)
			if _, lab := impl.(labManagement); lab || !ok || kind == ferric.KindDeploy || kind == ferric.KindVendor { // the fake ones stand for agents
				continue
			}
			for _, phase := range []driver.Phase{driver.DeployPhase, driver.CleanPhase, driver.ServicePhase, driver.VerifyPhase} {
				for _, s := range steps.Steps(&driver.Machine{Node: &ferric.Node{}}, phase) {
					names = append(names, string(kind)+"."+s.Name)
				}
			}
		}
	}
	if len(names) < 40 {
		t.Errorf("only %d steps were found", len(names))
	}
	for _, name := range names {
		if !strings.Contains(table, "`"+name+"`") {
			t.Errorf("docs/reliability.md does not say what becomes of the step %s", name)
		}
	}
}
