package conductor_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"ferric"
	"ferric/agentapi"
	"ferric/agentapi/shacrypt"
	"ferric/conductor"
	"ferric/driver"
	"ferric/rpc"
)

func password(pw string) func(*rpc.ProvisionArgs) {
	return func(a *rpc.ProvisionArgs) { a.RescuePassword = pw }
}

// TestRescue opens a machine to who knows the password, and brings its system back.
func TestRescue(t *testing.T) {
	b := newBench(t)
	p := b.boot("one", func(c *conductor.Config) { c.RescueHash = shacrypt.SHA512 })
	m := deployed(b, "lab")
	m.with(func(m *machine) { m.awaited = true })
	b.verb(m.id, "rescue", password("open sesame"))
	n := b.reaches(m.id, ferric.Rescue)
	same(t, "history of the machine", []string{"off", "boots the ramdisk", "rescued"}, m.history())
	same(t, "image", n.InstanceInfo["image_source"], any("http://images/debian.qcow2"))
	if n.InstanceInfo["rescue_password"] != nil || n.InstanceInfo["hashed_rescue_password"] != nil || n.LastError != "" || n.PowerState != ferric.PowerOn {
		t.Errorf("instance_info %v, error %q, power %q", n.InstanceInfo, n.LastError, n.PowerState)
	}
	given := m.params(agentapi.CmdFinalizeRescue)
	hash, _ := given["rescue_password"].(string)
	if given["hashed"] != true || !strings.HasPrefix(hash, "$6$") || !shacrypt.Verify(hash, "open sesame") {
		t.Errorf("the agent got %v", given)
	}
	for _, text := range moments(p.mortal, m.id, func(n *ferric.Node) string { return fmt.Sprint(*n) }) {
		if strings.Contains(text, "open sesame") {
			t.Fatal("the password was kept in clear")
		}
	}
	op := b.operation(m.id)
	if text := fmt.Sprint(*op); strings.Contains(text, "sesame") || strings.Contains(text, hash) {
		t.Errorf("the ledger tells the password: %s", text)
	}
	was := slices.Compact(moments(p.mortal, m.id, stages))
	// How often it waits depends on how fast the agent is; it always does so for its first call.
	working, waiting := stage{ferric.Rescuing, ferric.Rescue}, stage{ferric.RescueWait, ferric.Rescue}
	end := len(was) - 1
	if end < 1 || was[0] != working || !slices.Contains(was, waiting) || was[end] != (stage{ferric.Rescue, ""}) ||
		slices.ContainsFunc(was[:end], func(s stage) bool { return s != working && s != waiting }) {
		t.Errorf("states %v", was)
	}
	b.verb(m.id, "rescue", password("another one")) // anew
	b.reaches(m.id, ferric.Rescue)
	same(t, "history of the machine", []string{"off", "boots the ramdisk", "rescued"}, m.history())
	b.verb(m.id, "unrescue")
	n = b.reaches(m.id, ferric.Active)
	same(t, "history of the machine", []string{"off", "boots the disk"}, m.history())
	if n.PowerState != ferric.PowerOn || n.LastError != "" || n.TargetProvisionState != "" {
		t.Errorf("power %q, error %q, target %q", n.PowerState, n.LastError, n.TargetProvisionState)
	}
}

// TestRescueOfFakeHardware needs no agent.
func TestRescueOfFakeHardware(t *testing.T) {
	b := newBench(t)
	p := b.boot("one")
	m := b.site.node("fake-hardware", in(ferric.Active))
	b.verb(m.id, "rescue", password("pw"))
	if n := b.reaches(m.id, ferric.Rescue); n.InstanceInfo["hashed_rescue_password"] != nil {
		t.Errorf("instance_info %v", n.InstanceInfo)
	}
	b.verb(m.id, "unrescue")
	b.reaches(m.id, ferric.Active)
	same(t, "states", []stage{{ferric.Rescuing, ferric.Rescue}, {ferric.Rescue, ""}, {ferric.Unrescuing, ferric.Active}, {ferric.Active, ""}},
		slices.Compact(moments(p.mortal, m.id, stages)))
}

// TestRescueRamdisk chooses what is booted.
func TestRescueRamdisk(t *testing.T) {
	for name, c := range map[string]struct {
		config func(*conductor.Config)
		info   map[string]any
		want   driver.RamdiskBoot
	}{
		"the deploy ramdisk": {func(*conductor.Config) {}, nil, driver.RamdiskBoot{Kernel: "file:///kernel", Ramdisk: "file:///ramdisk"}},
		"configured": {func(c *conductor.Config) { c.RescueKernel, c.RescueRamdisk = "file:///rk", "file:///rr" }, nil,
			driver.RamdiskBoot{Kernel: "file:///rk", Ramdisk: "file:///rr"}},
		"by architecture": {func(c *conductor.Config) {
			c.RescueKernel, c.RescueKernelByArch = "file:///rk", map[string]string{"x86_64": "file:///x86k"}
			c.RescueRamdiskByArch = map[string]string{"x86_64": "file:///x86r"}
		}, nil, driver.RamdiskBoot{Kernel: "file:///x86k", Ramdisk: "file:///x86r"}},
		"the node's": {func(c *conductor.Config) { c.RescueKernel = "file:///rk" }, map[string]any{"rescue_kernel": "file:///nk", "rescue_ramdisk": "file:///nr"},
			driver.RamdiskBoot{Kernel: "file:///nk", Ramdisk: "file:///nr"}},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.boot("one", c.config)
			m := deployed(b, "lab", func(n *ferric.Node) {
				for k, v := range c.info {
					n.DriverInfo[k] = v
				}
			})
			m.with(func(m *machine) { m.deaf = true })
			b.verb(m.id, "rescue", password("pw"))
			b.waits(m.id, "first call of the agent")
			m.with(func(m *machine) {
				if m.ramdisk.Kernel != c.want.Kernel || m.ramdisk.Ramdisk != c.want.Ramdisk || m.ramdisk.Purpose != "rescuing" {
					t.Errorf("booted %+v, want %+v", m.ramdisk, c.want)
				}
			})
		})
	}
}

// TestAgentClosesItself lets the agent stop to answer as soon as it has the password, as ironic-python-agent does, before the conductor could note
// that it has.
func TestAgentClosesItself(t *testing.T) {
	b := newBench(t)
	p := b.boot("one", func(c *conductor.Config) { c.AgentHeartbeatTimeout = 200 * time.Millisecond })
	m := deployed(b, "lab")
	m.with(func(m *machine) { m.closes = true })
	open := make(chan struct{})
	m.with(func(m *machine) { m.handing = func() { p.mortal.die(); close(open) } })
	b.verb(m.id, "rescue", password("pw"))
	<-open
	p.kill()
	b.boot("one", func(c *conductor.Config) { c.AgentHeartbeatTimeout = 200 * time.Millisecond })
	b.reaches(m.id, ferric.Rescue)
	if got := m.begun()[agentapi.CmdFinalizeRescue]; got != 1 {
		t.Errorf("the agent got the password %d times", got)
	}
}

// TestRescueFails ends off and without a password, in all the ways there are.
func TestRescueFails(t *testing.T) {
	for name, c := range map[string]struct {
		meddle func(*bench, *machine) // before
		during string                 // abort while it waits for this
		broken bool                   // the BMC, when it is aborted
		words  []string
		fault  ferric.Fault
		on     ferric.PowerState
	}{
		"the agent never calls": {meddle: func(_ *bench, m *machine) { m.with(func(m *machine) { m.deaf = true }) }, words: []string{"timed out after 150ms", "first call of the agent"}},
		"aborted": {meddle: func(_ *bench, m *machine) { m.with(func(m *machine) { m.deaf = true }) }, during: "first call of the agent",
			words: []string{"The rescue was aborted by ada"}},
		"aborted, and the BMC fails": {meddle: func(_ *bench, m *machine) { m.with(func(m *machine) { m.deaf = true }) }, during: "first call of the agent", broken: true,
			words: []string{"Failed to clean up rescue after aborting the operation", "no BMC"}, fault: ferric.FaultRescueAbort, on: ferric.PowerOn},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.boot("one", func(cf *conductor.Config) {
				if c.during == "" {
					cf.RescueCallbackTimeout = 150 * time.Millisecond
				}
			})
			m := deployed(b, "lab")
			c.meddle(b, m)
			b.verb(m.id, "rescue", password("pw"))
			if c.during != "" {
				b.waits(m.id, c.during)
				if n := b.reaches(m.id, ferric.RescueWait); n.InstanceInfo["hashed_rescue_password"] == nil {
					t.Error("the hash is not kept while it is needed")
				}
				if c.broken {
					m.with(func(m *machine) { m.broken = ferric.Errorf(ferric.CodeUnavailable, "no BMC") })
				}
				b.verb(m.id, "abort")
			}
			n := b.reaches(m.id, ferric.RescueFailed)
			wantWords(t, n.LastError, c.words...)
			if n.InstanceInfo["hashed_rescue_password"] != nil || n.Fault != c.fault || n.Maintenance != (c.fault != "") || n.TargetProvisionState != ferric.Rescue {
				t.Errorf("instance_info %v, fault %q, maintenance %v, target %q", n.InstanceInfo, n.Fault, n.Maintenance, n.TargetProvisionState)
			}
			if c.on == "" && m.power() != ferric.PowerOff {
				t.Errorf("the machine is %q", m.power())
			}
			m.with(func(m *machine) { m.broken, m.deaf = nil, false })
			b.change(m.id, func(n *ferric.Node) { n.Maintenance, n.Fault = false, "" })
			b.verb(m.id, "unrescue") // a way out
			b.reaches(m.id, ferric.Active)
			m.with(func(m *machine) { m.broken = ferric.Errorf(ferric.CodeUnavailable, "no BMC") })
			b.change(m.id, func(n *ferric.Node) { n.ProvisionState = ferric.Rescue })
			b.verb(m.id, "unrescue")
			n = b.reaches(m.id, ferric.UnrescueFailed)
			wantWords(t, n.LastError, "Failed to unrescue", "no BMC")
			m.with(func(m *machine) { m.broken = nil })
			b.verb(m.id, "deleted")
			b.reaches(m.id, ferric.Available)
		})
	}
}

// TestDeleteDuringRescue tears a node down while it waits for the agent.
func TestDeleteDuringRescue(t *testing.T) {
	b := newBench(t)
	b.boot("one")
	m := deployed(b, "lab")
	m.with(func(m *machine) { m.deaf = true })
	b.verb(m.id, "rescue", password("pw"))
	b.waits(m.id, "first call")
	m.with(func(m *machine) { m.deaf = false })
	b.reaches(m.id, ferric.RescueWait)
	b.verb(m.id, "deleted")
	if n := b.reaches(m.id, ferric.Available); n.LastError != "" || len(n.InstanceInfo) > 0 {
		t.Errorf("error %q, instance_info %v", n.LastError, n.InstanceInfo)
	}
}

// TestRescueRefusals says why a rescue is not begun, and keeps no password.
func TestRescueRefusals(t *testing.T) {
	b := newBench(t)
	b.boot("one")
	m := deployed(b, "lab")
	for name, c := range map[string]struct {
		verb  string
		from  ferric.ProvisionState
		node  func(*ferric.Node)
		pw    string
		words string
	}{
		"in maintenance":           {"rescue", ferric.Active, func(n *ferric.Node) { n.Maintenance = true }, "pw", "The rescuing operation can't be performed on node"},
		"unrescue in maintenance":  {"unrescue", ferric.Rescue, func(n *ferric.Node) { n.Maintenance = true }, "", "The unrescuing operation can't be performed on node"},
		"no rescue interface":      {"rescue", ferric.Active, func(n *ferric.Node) { n.Interfaces[ferric.KindRescue] = "no-rescue" }, "pw", "Validation failed: Driver lab does not support rescue"},
		"unrescue without one":     {"unrescue", ferric.Rescue, func(n *ferric.Node) { n.Interfaces[ferric.KindRescue] = "no-rescue" }, "", "Failed to unrescue instance None for node " + m.id},
		"no credentials":           {"rescue", ferric.Active, func(n *ferric.Node) { n.DriverInfo = nil }, "pw", "Failed to rescue instance None for node " + m.id + ": Validation failed:"},
		"a password without end":   {"rescue", ferric.Active, func(*ferric.Node) {}, strings.Repeat("x", 5000), "rescue_password: the password is longer than"},
		"nothing that boots":       {"rescue", ferric.Active, func(n *ferric.Node) { n.DriverInfo["no_boot"] = true }, "pw", "the boot services are off"},
		"a state without a rescue": {"rescue", ferric.Available, func(*ferric.Node) {}, "pw", "can not be performed"},
	} {
		t.Run(name, func(t *testing.T) {
			b.change(m.id, func(n *ferric.Node) {
				n.ProvisionState, n.Maintenance, n.DriverInfo = c.from, false, map[string]any{"password": "right"}
				n.Interfaces[ferric.KindRescue] = "agent"
				c.node(n)
			})
			wantCode(t, b.try(m.id, c.verb, password(c.pw)), ferric.CodeInvalid, c.words)
			if n := b.node(m.id); n.InstanceInfo["hashed_rescue_password"] != nil || n.ProvisionState != c.from {
				t.Errorf("instance_info %v, state %q", n.InstanceInfo, n.ProvisionState)
			}
		})
	}
}
