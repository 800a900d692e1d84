package conductor_test

import (
	"fmt"
	"testing"
	"time"

	"ferric"
	"ferric/agentapi"
	"ferric/conductor"
	"ferric/driver"
	"ferric/flow"
	"ferric/rpc"
)

// deployed makes a machine with a system on its disk, running.
func deployed(b *bench, kind string, change ...func(*ferric.Node)) *machine {
	b.Helper()
	m := b.site.node(kind, append([]func(*ferric.Node){in(ferric.Active), func(n *ferric.Node) { n.PowerState = ferric.PowerOn }}, change...)...)
	m.with(func(m *machine) { m.began["write_image"] = 1 })
	m.set(ferric.PowerOn)
	m.history()
	return m
}

func asks(steps ...rpc.StepArgs) func(*rpc.ProvisionArgs) {
	return func(a *rpc.ProvisionArgs) { a.Steps = steps }
}

func vent(seconds any) rpc.StepArgs {
	return rpc.StepArgs{Interface: "management", Step: "vent", Args: map[string]any{"seconds": seconds}}
}

func flash() rpc.StepArgs {
	return rpc.StepArgs{Interface: "firmware", Step: "flash", Args: map[string]any{"url": "http://fw"}}
}

func burnIn() rpc.StepArgs { return rpc.StepArgs{Interface: "deploy", Step: "burn_in"} }

// TestService works on a deployed machine, through the ramdisk, and gives it back.
func TestService(t *testing.T) {
	b := newBench(t)
	p := b.boot("one")
	m := deployed(b, "lab")
	b.verb(m.id, "service", asks(vent(1), flash(), burnIn()))
	n := b.reaches(m.id, ferric.Active)
	same(t, "history of the machine", []string{"off", "boots the ramdisk", "vent 1", "flashed", "off", "boots the disk"}, m.history())
	if n.LastError != "" || n.ServiceStep != nil || n.PowerState != ferric.PowerOn || n.Maintenance || m.bootDevice() != ferric.BootDisk {
		t.Errorf("error %q, service step %v, power %q, boots from %q", n.LastError, n.ServiceStep, n.PowerState, m.bootDevice())
	}
	same(t, "service steps", []any{nil, "vent", "flash", "burn_in", nil}, moments(p.mortal, m.id, func(n *ferric.Node) any { return n.ServiceStep["step"] }))
	was := moments(p.mortal, m.id, stages)
	for i, s := range was[:len(was)-1] {
		if want := []stage{{ferric.Servicing, ferric.Active}, {ferric.ServiceWait, ferric.Active}}[i%2]; s != want {
			t.Errorf("state %d of %v", i, was)
		}
	}
	if _, err := b.store.AgentSession(t.Context(), m.id); !ferric.IsCode(err, ferric.CodeNotFound) {
		t.Errorf("the agent's session is still there: %v", err)
	}
	if h, err := b.store.History(t.Context(), m.id, ferric.Page{}); err != nil || h[len(h)-1].EventType != ferric.EventServicing {
		t.Errorf("history %+v, %v", h, err)
	}
}

// TestServiceOutOfBand leaves the system running where no step needs the ramdisk, asked for or not.
func TestServiceOutOfBand(t *testing.T) {
	for name, off := range map[string]bool{"nobody needs it": false, "disable_ramdisk": true} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			p := b.boot("one")
			m := deployed(b, "lab")
			b.verb(m.id, "service", asks(vent(1), vent(2)), func(a *rpc.ProvisionArgs) { a.DisableRamdisk = off })
			n := b.reaches(m.id, ferric.Active)
			same(t, "history of the machine", []string{"vent 1", "vent 2"}, m.history())
			if n.ServiceStep != nil || n.LastError != "" {
				t.Errorf("service step %v, error %q", n.ServiceStep, n.LastError)
			}
			same(t, "steps as they are shown", []string{"map[]", "map[abortable:false args:map[seconds:1] interface:management priority:0 step:vent]",
				"map[abortable:false args:map[seconds:2] interface:management priority:0 step:vent]", "map[]"},
				moments(p.mortal, m.id, func(n *ferric.Node) string { return fmt.Sprint(n.ServiceStep) }))
		})
	}
	t.Run("a step needs it", func(t *testing.T) {
		b := newBench(t)
		b.boot("one")
		m := deployed(b, "lab")
		b.verb(m.id, "service", asks(flash()), func(a *rpc.ProvisionArgs) { a.DisableRamdisk = true })
		n := b.reaches(m.id, ferric.ServiceFailed)
		wantWords(t, n.LastError, "Cannot service node "+m.id, "node does not support this service step: {'interface': 'firmware', 'step': 'flash'")
		if n.Maintenance || n.Fault != "" || len(m.history()) > 0 {
			t.Errorf("maintenance %v, fault %q", n.Maintenance, n.Fault)
		}
	})
}

// TestServiceOfFakeHardware needs no agent.
func TestServiceOfFakeHardware(t *testing.T) {
	b := newBench(t)
	b.boot("one")
	m := b.site.node("fake-hardware", in(ferric.Active))
	b.verb(m.id, "service", asks(burnIn()))
	if n := b.reaches(m.id, ferric.Active); n.LastError != "" || n.ServiceStep != nil {
		t.Errorf("error %q, service step %v", n.LastError, n.ServiceStep)
	}
}

// TestServiceFails puts the node into maintenance when a step fails, and leaves the machine in the ramdisk; the ways out are service, abort,
// rescue and delete.
func TestServiceFails(t *testing.T) {
	for name, c := range map[string]struct {
		verb  string
		end   ferric.ProvisionState
		wants []string
	}{
		"service": {"service", ferric.Active, []string{"off", "boots the ramdisk", "flashed", "off", "boots the disk"}},
		"abort":   {"abort", ferric.Active, []string{"off", "boots the disk"}},
		"rescue":  {"rescue", ferric.Rescue, []string{"off", "boots the ramdisk", "rescued"}},
		"deleted": {"deleted", ferric.Available, []string{"off", "boots the ramdisk", "erased", "off"}},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.boot("one")
			m := deployed(b, "lab")
			m.fails("flash", agentapi.TypeCommandExecution, "the flash is worn out")
			b.verb(m.id, "service", asks(flash(), burnIn()))
			n := b.reaches(m.id, ferric.ServiceFailed)
			wantWords(t, n.LastError, "the flash is worn out", "The ramdisk's logs are in ")
			if !n.Maintenance || n.Fault != ferric.FaultService || n.MaintenanceReason != n.LastError || n.ServiceStep != nil || n.TargetProvisionState != ferric.Active {
				t.Errorf("maintenance %v, fault %q, reason %q, step %v, target %q", n.Maintenance, n.Fault, n.MaintenanceReason, n.ServiceStep, n.TargetProvisionState)
			}
			same(t, "history of the machine", []string{"off", "boots the ramdisk", "flashed"}, m.history())
			m.with(func(m *machine) { m.plans = map[string]plan{} })
			for _, verb := range []string{"service", "abort", "rescue"} {
				err := b.try(m.id, verb, asks(flash()), func(a *rpc.ProvisionArgs) { a.RescuePassword = "pw" })
				if err == nil {
					t.Fatalf("%s in maintenance", verb)
				}
				wantWords(t, err.Error(), "in maintenance mode")
			}
			b.change(m.id, func(n *ferric.Node) { n.Maintenance, n.MaintenanceReason, n.Fault = false, "", "" })
			b.verb(m.id, c.verb, asks(flash()), func(a *rpc.ProvisionArgs) { a.RescuePassword = "pw" })
			n = b.until(m.id, "done", func(n *ferric.Node) bool {
				_, err := b.store.Unfinished(t.Context(), m.id, flow.Provision)
				return n.ProvisionState == c.end && n.Reservation == "" && ferric.IsCode(err, ferric.CodeNotFound)
			})
			same(t, "history of the machine", c.wants, m.history())
			if c.verb == "abort" {
				wantWords(t, n.LastError, "By request, the service operation was aborted")
			} else if n.LastError != "" {
				t.Errorf("error %q", n.LastError)
			}
		})
	}
}

// TestServiceAgentNeverCalls gives the machine back when the ramdisk could not be booted.
func TestServiceAgentNeverCalls(t *testing.T) {
	b := newBench(t)
	b.boot("one", func(c *conductor.Config) { c.ServiceCallbackTimeout = 150 * time.Millisecond })
	m := deployed(b, "lab")
	m.with(func(m *machine) { m.deaf = true })
	b.verb(m.id, "service", asks(flash()))
	n := b.reaches(m.id, ferric.ServiceFailed)
	wantWords(t, n.LastError, "timed out after 150ms", "first call of the agent")
	same(t, "history of the machine", []string{"off", "boots the ramdisk", "off", "boots the disk"}, m.history())
	if n.Maintenance || n.Fault != "" {
		t.Errorf("maintenance %v, fault %q: nothing was done to the machine", n.Maintenance, n.Fault)
	}
}

// TestServiceAborted gives the machine back; a step that must not be interrupted ends first.
func TestServiceAborted(t *testing.T) {
	for name, c := range map[string]struct {
		during string
		steps  []rpc.StepArgs
		spared bool
	}{
		"at an abortable step":          {"burn_in", []rpc.StepArgs{burnIn(), flash()}, false},
		"at one that is not":            {"flash", []rpc.StepArgs{flash(), burnIn()}, true},
		"at the last one, which is not": {"flash", []rpc.StepArgs{flash()}, true},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.boot("one")
			m := deployed(b, "lab")
			open := m.gate(c.during)
			defer open()
			b.verb(m.id, "service", asks(c.steps...))
			b.waits(m.id, "finish service.execute_service_step")
			b.verb(m.id, "abort")
			if c.spared {
				b.until(m.id, "to be aborted after the step", func(n *ferric.Node) bool { return n.ServiceStep["abort_after"] == true })
				open()
			}
			n := b.reaches(m.id, ferric.Active)
			wantWords(t, n.LastError, "The service was aborted by ada during step")
			if n.Maintenance || n.Fault != "" || n.ServiceStep != nil || n.TargetProvisionState != "" || m.bootDevice() != ferric.BootDisk {
				t.Errorf("maintenance %v, fault %q, step %v, target %q", n.Maintenance, n.Fault, n.ServiceStep, n.TargetProvisionState)
			}
			h := m.history()
			same(t, "end of the machine's history", []string{"off", "boots the disk"}, h[len(h)-2:])
			if c.during == "burn_in" && m.begun()["flash"] > 0 || c.during == "flash" && m.begun()["burn_in"] > 0 {
				t.Errorf("begun after the abort: %v", m.begun())
			}
		})
	}
	t.Run("the BMC fails", func(t *testing.T) {
		b := newBench(t)
		b.boot("one")
		m := deployed(b, "lab")
		defer m.gate("burn_in")()
		b.verb(m.id, "service", asks(burnIn()))
		b.waits(m.id, "finish service.execute_service_step")
		m.with(func(m *machine) { m.broken = ferric.Errorf(ferric.CodeUnavailable, "the BMC is gone") })
		b.verb(m.id, "abort")
		n := b.reaches(m.id, ferric.Active)
		wantWords(t, n.LastError, "Failed to tear down service after aborting the operation", "the BMC is gone")
		if !n.Maintenance || n.Fault != ferric.FaultService {
			t.Errorf("maintenance %v, fault %q", n.Maintenance, n.Fault)
		}
	})
}

// TestServiceHold holds a service, lets it go on, gives it up, or puts another one in its place.
func TestServiceHold(t *testing.T) {
	hold := rpc.StepArgs{Interface: "power", Step: "hold"}
	for name, c := range map[string]struct {
		verb string
		runs int // how often vent 2 runs
	}{"unhold": {"unhold", 1}, "abort": {"abort", 0}, "another service": {"service", 1}} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.boot("one")
			m := deployed(b, "lab")
			b.verb(m.id, "service", asks(vent(1), hold, vent(2)))
			n := b.reaches(m.id, ferric.ServiceHold)
			if n.TargetProvisionState != ferric.Active || n.ServiceStep["step"] != "hold" {
				t.Errorf("target %q, service step %v", n.TargetProvisionState, n.ServiceStep)
			}
			b.verb(m.id, c.verb, asks(vent(2)))
			if c.verb == "unhold" {
				if n := b.node(m.id); n.ProvisionState == ferric.ServiceHold {
					t.Error("unhold returned before the node had left its hold")
				}
			}
			n = b.reaches(m.id, ferric.Active)
			if n.ServiceStep != nil || n.Maintenance || (c.verb == "abort") != (n.LastError != "") {
				t.Errorf("service step %v, maintenance %v, error %q", n.ServiceStep, n.Maintenance, n.LastError)
			}
			if got := m.count("vent 2"); got != c.runs {
				t.Errorf("vent 2 ran %d times", got)
			}
		})
	}
}

// TestDeleteDuringService tears a node down in the middle of a service.
func TestDeleteDuringService(t *testing.T) {
	b := newBench(t)
	b.boot("one")
	m := deployed(b, "lab")
	open := m.gate("burn_in")
	defer open()
	b.verb(m.id, "service", asks(burnIn()))
	b.waits(m.id, "finish service.execute_service_step")
	b.reaches(m.id, ferric.ServiceWait)
	b.verb(m.id, "deleted")
	if n := b.reaches(m.id, ferric.Available); n.LastError != "" || n.ServiceStep != nil {
		t.Errorf("error %q, service step %v", n.LastError, n.ServiceStep)
	}
}

// TestServiceRefusals says why a service is not begun.
func TestServiceRefusals(t *testing.T) {
	b := newBench(t)
	b.boot("one", func(c *conductor.Config) {
		c.DisallowedSteps = map[driver.Phase][]string{driver.ServicePhase: {"firmware.flash"}, driver.CleanPhase: {"deploy.erase_devices"}, driver.DeployPhase: {"deploy.burn_in"}}
	})
	m := deployed(b, "lab")
	one := 1
	for name, c := range map[string]struct {
		verb  string
		from  ferric.ProvisionState
		node  func(*ferric.Node)
		steps []rpc.StepArgs
		words string
	}{
		"no steps":          {"service", ferric.Active, nil, nil, `"service_steps" is required`},
		"in maintenance":    {"service", ferric.Active, func(n *ferric.Node) { n.Maintenance = true }, []rpc.StepArgs{vent(1)}, "The service operation can't be performed on node"},
		"no password":       {"service", ferric.Active, func(n *ferric.Node) { n.DriverInfo = nil }, []rpc.StepArgs{vent(1)}, "for servicing failed"},
		"disallowed":        {"service", ferric.Active, nil, []rpc.StepArgs{flash()}, "service step 'firmware.flash' is not allowed. Disallowed by operator configuration [api]disallow_service_steps."},
		"disallowed clean":  {"clean", ferric.Manageable, nil, []rpc.StepArgs{{Interface: "deploy", Step: "erase_devices"}}, "clean step 'deploy.erase_devices' is not allowed"},
		"disallowed deploy": {"active", ferric.Available, nil, []rpc.StepArgs{{Interface: "deploy", Step: "burn_in", Priority: &one}}, "deploy step 'deploy.burn_in' is not allowed"},
		"core step": {"active", ferric.Available, nil, []rpc.StepArgs{{Interface: "deploy", Step: "deploy", Priority: &one}},
			"deploy step deploy on interface deploy is a core step and cannot be overridden by user steps"},
		"deploy step twice": {"active", ferric.Available, nil, []rpc.StepArgs{{Interface: "raid", Step: "x", Priority: &one}, {Interface: "raid", Step: "x", Priority: &one}},
			"Duplicate deploy steps for raid.x"},
		"deploy step, unexpected argument": {"active", ferric.Available, nil, []rpc.StepArgs{{Interface: "management", Step: "vent", Priority: &one, Args: map[string]any{"colour": 1}}},
			"unexpected arguments: colour; deploy step"},
	} {
		t.Run(name, func(t *testing.T) {
			b.change(m.id, func(n *ferric.Node) {
				n.ProvisionState, n.Maintenance, n.DriverInfo = c.from, false, map[string]any{"password": "right"}
				if c.node != nil {
					c.node(n)
				}
			})
			wantCode(t, b.try(m.id, c.verb, asks(c.steps...)), ferric.CodeInvalid, c.words)
		})
	}
}
