package conductor_test

import (
	"slices"
	"testing"
	"time"

	"ferric"
	"ferric/conductor"
	"ferric/rpc"
	"ferric/state"
)

func TestIllegalVerbs(t *testing.T) {
	b := newBench(t)
	b.boot("one")
	m := b.site.node("lab", in(ferric.Manageable))
	before := b.node(m.id)
	wantCode(t, b.try(m.id, "active"), ferric.CodeInvalid, `The requested action "active" can not be performed`, m.id, `"manageable"`, "provide", "inspect", "adopt")
	wantCode(t, b.try(m.id, "launch"), ferric.CodeInvalid, `"launch"`)
	wantCode(t, b.try("6d2f4a94-8f0e-4d7c-a5c8-333333333333", "provide"), ferric.CodeNotFound)
	wantCode(t, b.call("dance", ref(m.id), nil), ferric.CodeUnsupported, "dance")
	wantCode(t, b.call(rpc.Provision, "text", nil), ferric.CodeInvalid, "arguments of the call")
	for _, method := range []rpc.Method{rpc.CreateNode, rpc.UpdateNode} {
		wantCode(t, b.call(method, rpc.NodeArgs{}, nil), ferric.CodeInvalid, "node is missing")
	}
	if n := b.node(m.id); n.Version != before.Version {
		t.Error("a refused call changed the node")
	}
}

// TestWhoMayBeProvisioned tries verbs on nodes that are in maintenance, protected, retired or not fit.
func TestWhoMayBeProvisioned(t *testing.T) {
	maintained := func(n *ferric.Node) { n.Maintenance = true }
	noBoot := func(n *ferric.Node) { n.DriverInfo["no_boot"] = true }
	retired := func(n *ferric.Node) { n.Retired = true }
	strict := func(c *conductor.Config) { c.CleanInMaintenance = false }
	vent := func(args map[string]any) []rpc.StepArgs {
		return []rpc.StepArgs{{Interface: "management", Step: "vent", Args: args}}
	}
	for name, c := range map[string]struct {
		verb   string
		from   ferric.ProvisionState
		node   func(*ferric.Node)
		config func(*conductor.Config)
		steps  []rpc.StepArgs
		drive  string
		code   ferric.Code // "": it is done
		words  []string
	}{
		"deploy in maintenance":          {verb: "active", from: ferric.Available, node: maintained, code: ferric.CodeInvalid, words: []string{"maintenance mode"}},
		"rebuild in maintenance":         {verb: "rebuild", from: ferric.Active, node: maintained, code: ferric.CodeInvalid, words: []string{"maintenance mode"}},
		"provide in maintenance":         {verb: "provide", from: ferric.Manageable, node: maintained},
		"provide in maintenance, strict": {verb: "provide", from: ferric.Manageable, node: maintained, config: strict, code: ferric.CodeInvalid, words: []string{"maintenance mode"}},
		"clean in maintenance, strict": {verb: "clean", from: ferric.Manageable, node: maintained, config: strict, steps: vent(map[string]any{"seconds": 1}),
			code: ferric.CodeInvalid, words: []string{"maintenance mode"}},
		"undeploy in maintenance":   {verb: "deleted", from: ferric.Active, node: maintained},
		"deploy of a retired node":  {verb: "active", from: ferric.Available, node: retired, code: ferric.CodeInvalid, words: []string{"retired"}},
		"provide of a retired node": {verb: "provide", from: ferric.Manageable, node: retired, code: ferric.CodeInvalid, words: []string{"retired"}},
		"rebuild of a retired node": {verb: "rebuild", from: ferric.Active, node: retired},
		"clean without steps":       {verb: "clean", from: ferric.Manageable, code: ferric.CodeInvalid, words: []string{"clean_steps", "is required"}},
		"deploy without an image": {verb: "active", from: ferric.Available, node: func(n *ferric.Node) { n.InstanceInfo = nil }, code: ferric.CodeInvalid,
			words: []string{"Failed to validate deploy interface", "image_source"}},
		"deploy without a password": {verb: "active", from: ferric.Available, node: func(n *ferric.Node) { n.DriverInfo = nil }, code: ferric.CodeInvalid,
			words: []string{"Failed to validate power interface", "password"}},
		"clean out of band without boot services": {verb: "clean", from: ferric.Manageable, node: noBoot, steps: vent(map[string]any{"seconds": 1})},
		"provide without boot services": {verb: "provide", from: ferric.Manageable, node: noBoot, code: ferric.CodeInvalid,
			words: []string{"Failed to validate boot interface", "boot services are off"}},
		"inspect without boot services": {verb: "inspect", from: ferric.Manageable, node: noBoot, code: ferric.CodeInvalid,
			words: []string{"Failed to validate boot interface", "boot services are off"}},
		"broken config drive": {verb: "active", from: ferric.Available, drive: `"broken"`, code: ferric.CodeInvalid, words: []string{"configdrive", "user_data"}},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			if c.config == nil {
				c.config = func(*conductor.Config) {}
			}
			b.boot("one", c.config)
			change := []func(*ferric.Node){in(c.from)}
			if c.node != nil {
				change = append(change, c.node)
			}
			m := b.site.node("lab", change...)
			err := b.try(m.id, c.verb, func(a *rpc.ProvisionArgs) { a.Steps, a.ConfigDrive = c.steps, []byte(c.drive) })
			if c.code != "" {
				wantCode(t, err, c.code, c.words...)
				if n := b.reaches(m.id, c.from); n.TargetProvisionState != "" {
					t.Errorf("target %q", n.TargetProvisionState)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			b.until(m.id, "done", func(n *ferric.Node) bool { return n.TargetProvisionState == "" && n.Reservation == "" })
		})
	}
}

// TestRetiredNodeStaysOut keeps a retired node away from available when its instance goes.
func TestRetiredNodeStaysOut(t *testing.T) {
	b := newBench(t)
	b.boot("one")
	m := b.site.node("lab", in(ferric.Active), func(n *ferric.Node) { n.Retired = true })
	b.verb(m.id, "deleted")
	b.reaches(m.id, ferric.Manageable)
	if n := m.begun()["erase_devices_metadata"]; n != 1 {
		t.Errorf("erased %d times", n)
	}
}

// TestConfigDrives follows the config drive through deploys.
func TestConfigDrives(t *testing.T) {
	b := newBench(t)
	b.boot("one")
	m := b.site.node("lab")
	given := func(text string) func(*rpc.ProvisionArgs) {
		return func(a *rpc.ProvisionArgs) { a.ConfigDrive = []byte(text) }
	}
	m.fails("write_image", "ImageWriteError", "no luck")
	b.verb(m.id, "active", given(`"first"`))
	b.reaches(m.id, ferric.DeployFailed)
	m.with(func(m *machine) { m.plans = map[string]plan{} })
	for _, step := range []struct{ verb, drive, want string }{
		{"active", "", `drive of "first"`}, // once more after the failure: the instance's drive is still there
		{"rebuild", "", `drive of "first"`},
		{"rebuild", "null", `drive of "first"`},
		{"rebuild", `"second"`, `drive of "second"`},
	} {
		b.verb(m.id, step.verb, given(step.drive))
		b.reaches(m.id, ferric.Active)
		m.with(func(m *machine) {
			if m.drive != step.want {
				t.Errorf("%s with %q wrote %q, want %q", step.verb, step.drive, m.drive, step.want)
			}
		})
	}
	b.verb(m.id, "deleted")
	b.reaches(m.id, ferric.Available)
	b.change(m.id, func(n *ferric.Node) {
		n.InstanceInfo = map[string]any{"image_source": "file:///image"}
	})
	b.verb(m.id, "active")
	b.reaches(m.id, ferric.Active)
	if args, _ := m.params("write_image")["args"].(map[string]any); args["configdrive"] != nil {
		t.Errorf("the next instance got the drive %v", args["configdrive"])
	}
}

// TestDisablePowerOff takes a machine that must never be powered off through its life.
func TestDisablePowerOff(t *testing.T) {
	b := newBench(t)
	b.boot("one")
	m := b.site.node("lab", in(ferric.Manageable), func(n *ferric.Node) { n.DisablePowerOff, n.PowerState = true, ferric.PowerOn })
	m.set(ferric.PowerOn)
	for _, l := range []struct {
		verb string
		end  ferric.ProvisionState
	}{{"inspect", ferric.Manageable}, {"provide", ferric.Available}, {"active", ferric.Active}, {"deleted", ferric.Available}} {
		m.history()
		b.change(m.id, func(n *ferric.Node) { n.InstanceInfo = map[string]any{"image_source": "file:///image"} })
		b.verb(m.id, l.verb)
		b.reaches(m.id, l.end)
		reboots, offs := 0, 0
		for _, h := range m.history() {
			switch h {
			case "reboot":
				reboots++
			case "off":
				offs++
			}
		}
		if offs > reboots { // a reboot of the lab's machines goes through off
			t.Errorf("%s powered the machine off", l.verb)
		}
		if m.power() != ferric.PowerOn || m.running() != nil {
			t.Errorf("after %s the machine is %q, an agent runs: %v", l.verb, m.power(), m.running() != nil)
		}
	}
	for _, target := range []ferric.PowerState{ferric.PowerOff, ferric.SoftPowerOff} {
		wantCode(t, b.call(rpc.ChangePower, rpc.PowerArgs{NodeRef: ref(m.id), Target: target}, nil), ferric.CodeInvalid, "disable_power_off")
	}
	if err := b.call(rpc.ChangePower, rpc.PowerArgs{NodeRef: ref(m.id), Target: ferric.Reboot}, nil); err != nil {
		t.Errorf("reboot: %v", err)
	}
}

// TestManualCleaning runs what the operator names, in that order.
func TestManualCleaning(t *testing.T) {
	b := newBench(t)
	b.boot("one")
	m := b.site.node("lab", in(ferric.Manageable))
	b.verb(m.id, "clean", func(a *rpc.ProvisionArgs) {
		a.Steps = []rpc.StepArgs{{Interface: "deploy", Step: "erase_devices"}, {Interface: "management", Step: "vent", Args: map[string]any{"seconds": 5}},
			{Interface: "firmware", Step: "update_firmware", Args: map[string]any{"url": "http://fw/1"}}}
	})
	b.reaches(m.id, ferric.Manageable)
	same(t, "history of the machine", []string{"boots the ramdisk", "erased", "vent 5", "off"}, m.history())
	if args, _ := m.params("update_firmware")["args"].(map[string]any); args["url"] != "http://fw/1" {
		t.Errorf("update_firmware got %v", args)
	}
	if n := m.begun()["erase_devices_metadata"]; n != 0 {
		t.Error("a step ran that nobody asked for")
	}
	for name, c := range map[string]struct {
		step  rpc.StepArgs
		words []string
	}{
		"unknown": {rpc.StepArgs{Interface: "deploy", Step: "polish"}, []string{"node does not support this clean step: {'interface': 'deploy', 'step': 'polish'}",
			"deploy.erase_devices", "firmware.update_firmware", "management.vent"}},
		"of another interface":    {rpc.StepArgs{Interface: "bios", Step: "vent"}, []string{"node does not support this clean step: {'interface': 'bios', 'step': 'vent'}"}},
		"argument missing":        {rpc.StepArgs{Interface: "management", Step: "vent"}, []string{"clean step {'interface': 'management', 'step': 'vent'} is missing these required arguments: seconds"}},
		"argument missing, agent": {rpc.StepArgs{Interface: "firmware", Step: "update_firmware"}, []string{"is missing these required arguments: url"}},
		"argument that is not known": {rpc.StepArgs{Interface: "management", Step: "vent", Args: map[string]any{"seconds": 1, "colour": "red"}},
			[]string{"has these unexpected arguments: colour"}},
		"argument of a reserved step": {rpc.StepArgs{Interface: "management", Step: "wait", Args: map[string]any{"seconds": "long"}}, []string{"seconds", "whole number"}},
	} {
		t.Run(name, func(t *testing.T) {
			m := b.site.node("lab", in(ferric.Manageable))
			b.verb(m.id, "clean", func(a *rpc.ProvisionArgs) { a.Steps = []rpc.StepArgs{c.step} })
			n := b.reaches(m.id, ferric.CleanFailed)
			wantWords(t, n.LastError, append(c.words, "Cannot clean node")...)
			if n.TargetProvisionState != ferric.Manageable {
				t.Errorf("target %q", n.TargetProvisionState)
			}
		})
	}
}

// TestCleaningWithoutRamdisk leaves the machine alone.
func TestCleaningWithoutRamdisk(t *testing.T) {
	b := newBench(t)
	b.boot("one")
	m := b.site.node("lab", in(ferric.Manageable), func(n *ferric.Node) { n.PowerState = ferric.PowerOn })
	m.set(ferric.PowerOn)
	m.history()
	clean := func(s rpc.StepArgs) {
		b.verb(m.id, "clean", func(a *rpc.ProvisionArgs) { a.Steps, a.DisableRamdisk = []rpc.StepArgs{s}, true })
	}
	clean(rpc.StepArgs{Interface: "management", Step: "vent", Args: map[string]any{"seconds": 1}})
	b.reaches(m.id, ferric.Manageable)
	same(t, "history of the machine", []string{"vent 1"}, m.history())
	clean(rpc.StepArgs{Interface: "deploy", Step: "erase_devices"})
	n := b.reaches(m.id, ferric.CleanFailed)
	wantWords(t, n.LastError, "node does not support this clean step", "management.vent")
	if m.power() != ferric.PowerOn {
		t.Errorf("the machine is %q", m.power())
	}
}

// TestDeploySteps changes, leaves out and adds steps.
func TestDeploySteps(t *testing.T) {
	b := newBench(t)
	b.boot("one")
	m := b.site.node("lab")
	p := func(n int) *int { return &n }
	b.verb(m.id, "active", func(a *rpc.ProvisionArgs) {
		a.Steps = []rpc.StepArgs{{Interface: "deploy", Step: "burn_in", Priority: p(0)}, {Interface: "deploy", Step: "inject_files", Priority: p(65)},
			{Interface: "management", Step: "vent", Priority: p(90), Args: map[string]any{"seconds": 9}}}
	})
	b.reaches(m.id, ferric.Active)
	same(t, "steps", []string{"conductor.prepare_deploy", "deploy.deploy", "conductor.collect_deploy_steps", "management.vent", "deploy.write_image",
		"deploy.inject_files", "deploy.prepare_instance_boot", "deploy.tear_down_agent", "deploy.switch_to_tenant_network", "deploy.boot_instance"}, ran(b.operation(m.id)))
	b.verb(m.id, "rebuild", func(a *rpc.ProvisionArgs) {
		a.Steps = []rpc.StepArgs{{Interface: "raid", Step: "stripe", Priority: p(85)}}
	})
	n := b.reaches(m.id, ferric.DeployFailed)
	wantWords(t, n.LastError, "Validation of deploy steps", "'step': 'stripe'", "deploy.inject_files")
}

// TestCleanPriorities lets the configuration leave steps out and bring them in.
func TestCleanPriorities(t *testing.T) {
	b := newBench(t)
	b.boot("one", func(c *conductor.Config) {
		c.CleanPriorities = map[string]int{"deploy.erase_devices": 10, "deploy.erase_devices_metadata": 0}
		c.EraseSettings = map[string]any{"disk_erasure_concurrency": 4}
	})
	m := b.site.node("lab", in(ferric.Manageable))
	b.verb(m.id, "provide")
	b.reaches(m.id, ferric.Available)
	if begun := m.begun(); begun["erase_devices"] != 1 || begun["erase_devices_metadata"] != 0 {
		t.Errorf("begun: %v", begun)
	}
}

// TestVerifyPriorities lets the configuration leave a verify step out.
func TestVerifyPriorities(t *testing.T) {
	for name, c := range map[string]struct {
		priorities map[string]int
		want       any
	}{"as it comes": {nil, "lab"}, "left out": {map[string]int{"management.note_vendor": 0}, nil}} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.boot("one", func(cf *conductor.Config) { cf.VerifyPriorities = c.priorities })
			m := b.site.node("lab", in(ferric.Enroll))
			b.verb(m.id, "manage")
			same(t, "vendor", c.want, b.reaches(m.id, ferric.Manageable).Properties["vendor"])
		})
	}
}

// TestVerbsThatTheStateForbids tries every verb in every state in which the state machine has none of it: all are refused, and nothing changes.
func TestVerbsThatTheStateForbids(t *testing.T) {
	b := newBench(t)
	b.boot("one")
	m := b.site.node("fake-hardware")
	machine := state.New()
	refused := 0
	for _, s := range state.All() {
		b.change(m.id, func(n *ferric.Node) { n.ProvisionState, n.TargetProvisionState = s, "" })
		before := b.node(m.id)
		for _, target := range []string{"active", "deploy", "rebuild", "deleted", "undeploy", "manage", "provide", "inspect", "clean", "adopt", "rescue", "unrescue", "service", "abort", "unhold"} {
			event, _ := state.EventFor(target)
			if machine.Can(s, event) {
				continue
			}
			refused++
			err := b.try(m.id, target, asks(burnIn()), password("pw"))
			wantCode(t, err, ferric.CodeInvalid, `The requested action "`+target+`" can not be performed on node "`+m.id+`" while it is in state "`+string(s)+`".`)
		}
		if n := b.node(m.id); n.Version != before.Version {
			t.Errorf("a refused verb changed the node in %q", s)
		}
	}
	if refused < 300 {
		t.Errorf("only %d verbs were refused", refused)
	}
}

// TestAutomatedClean heeds the node's own word before the configuration's.
func TestAutomatedClean(t *testing.T) {
	yes, no := true, false
	for name, c := range map[string]struct {
		node   *bool
		config bool
		want   bool
	}{"off": {&no, true, false}, "on": {&yes, false, true}, "as configured, on": {nil, true, true}, "as configured, off": {nil, false, false}} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.boot("one", func(cf *conductor.Config) { cf.AutomatedClean = c.config })
			m := b.site.node("lab", in(ferric.Active), func(n *ferric.Node) { n.AutomatedClean = c.node })
			b.verb(m.id, "deleted")
			b.reaches(m.id, ferric.Available)
			b.verb(m.id, "manage")
			b.verb(m.id, "provide")
			b.reaches(m.id, ferric.Available)
			if got := m.begun()["erase_devices_metadata"]; (got == 2) != c.want {
				t.Errorf("erased %d times", got)
			}
			if !c.want && slices.Contains(m.history(), "boots the ramdisk") {
				t.Error("the ramdisk was booted")
			}
		})
	}
}

// TestLimits refuses what is too much at once.
func TestLimits(t *testing.T) {
	b := newBench(t)
	b.boot("one", func(c *conductor.Config) { c.MaxConcurrentDeploy, c.MaxConcurrentClean = 1, 1 })
	deploying, cleaning := b.site.node("lab"), b.site.node("lab", in(ferric.Manageable))
	open, wiped := deploying.gate("write_image"), cleaning.gate("erase_devices_metadata")
	defer open()
	defer wiped()
	b.verb(deploying.id, "active")
	b.verb(cleaning.id, "provide")
	b.waits(deploying.id, "finish")
	b.waits(cleaning.id, "finish")
	wantCode(t, b.try(b.site.node("lab").id, "active"), ferric.CodeBusy, "concurrent action limit for provisioning")
	more := b.site.node("lab", in(ferric.Manageable))
	wantCode(t, b.try(more.id, "provide"), ferric.CodeBusy, "concurrent action limit for cleaning")
	wiped()
	b.reaches(cleaning.id, ferric.Available)
	b.verb(more.id, "provide")
	b.reaches(more.id, ferric.Available)
}

// TestWorkersAndLocks exhausts the workers, and shows who holds a node.
func TestWorkersAndLocks(t *testing.T) {
	b := newBench(t)
	b.boot("one", func(c *conductor.Config) { c.Workers, c.ReservedWorkers, c.LockWait = 2, 1, 50*time.Millisecond })
	slow := make(chan struct{})
	var held []*machine
	for range 2 {
		m := b.site.node("lab")
		asked := make(chan struct{}, 1)
		m.with(func(m *machine) { m.slow, m.asked = slow, asked })
		if err := b.call(rpc.ChangePower, rpc.PowerArgs{NodeRef: ref(m.id), Target: ferric.PowerOn}, nil); err != nil {
			t.Fatal(err)
		}
		<-asked
		held = append(held, m)
	}
	wantCode(t, b.try(b.site.node("lab").id, "active"), ferric.CodeBusy, "lack of free conductor workers")
	err := b.call(rpc.SetBootDevice, rpc.BootDeviceArgs{NodeRef: ref(held[0].id), BootDevice: ferric.BootPXE}, nil)
	wantCode(t, err, ferric.CodeLocked, held[0].id, "one")
	if r := b.node(held[0].id).Reservation; r != "one" {
		t.Errorf("reservation %q", r)
	}
	close(slow)
	for _, m := range held {
		b.until(m.id, "on", func(n *ferric.Node) bool { return n.PowerState == ferric.PowerOn && n.Reservation == "" })
	}
}
