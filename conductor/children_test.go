package conductor_test

import (
	"testing"
	"time"

	"ferric"
	"ferric/conductor"
	"ferric/flow"
	"ferric/rpc"
)

// family makes a machine with two children.
func family(b *bench, s ferric.ProvisionState) (parent *machine, children []*machine) {
	b.Helper()
	parent = b.site.node("lab", in(s))
	for range 2 {
		children = append(children, b.site.node("lab", in(ferric.Active), func(n *ferric.Node) { n.ParentNode = parent.id }))
	}
	return parent, children
}

func onChildren(w rpc.StepArgs, limit ...string) rpc.StepArgs {
	w.OnChildren, w.Children = true, limit
	return w
}

// TestStepsOnChildren lets children run steps of their parent's cleaning and servicing, all of them or some.
func TestStepsOnChildren(t *testing.T) {
	for name, c := range map[string]struct {
		verb string
		from ferric.ProvisionState
		end  ferric.ProvisionState
	}{"clean": {"clean", ferric.Manageable, ferric.Manageable}, "service": {"service", ferric.Active, ferric.Active}} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			p := b.boot("one")
			parent, children := family(b, c.from)
			stranger := b.site.node("lab", in(ferric.Active))
			b.verb(parent.id, c.verb, asks(vent(0), onChildren(vent(1)), onChildren(vent(2), children[1].id, stranger.id), onChildren(reserved("power_on", nil), children[0].id)))
			n := b.reaches(parent.id, c.end)
			same(t, "parent", []string{"vent 0", "boots nothing"}, parent.history()) // a child needs its power
			same(t, "first child", []string{"vent 1", "boots nothing"}, children[0].history())
			same(t, "second child", []string{"vent 1", "vent 2"}, children[1].history())
			same(t, "stranger", nil, stranger.history())
			if n.LastError != "" || n.CleanStep != nil || n.ServiceStep != nil {
				t.Errorf("error %q, steps %v %v", n.LastError, n.CleanStep, n.ServiceStep)
			}
			for _, child := range children {
				if n := b.node(child.id); n.ProvisionState != ferric.Active || n.LastError != "" || n.Reservation != "" || n.ServiceStep != nil {
					t.Errorf("child: %q, error %q, reservation %q", n.ProvisionState, n.LastError, n.Reservation)
				}
			}
			shown := false
			for _, n := range p.mortal.all() {
				s := n.CleanStep
				if c.verb == "service" {
					s = n.ServiceStep
				}
				limit, _ := s["limit_child_node_execution"].([]any)
				shown = shown || n.UUID == parent.id && s["execute_on_child_nodes"] == true && len(limit) == 2 && limit[0] == children[1].id
			}
			if !shown {
				t.Error("the step was never shown with its children")
			}
		})
	}
}

// TestStepOnAChildFails fails the parent's operation with the child's reason, and goes no further.
func TestStepOnAChildFails(t *testing.T) {
	for name, c := range map[string]struct {
		step  rpc.StepArgs
		words []string
	}{
		"unknown":  {rpc.StepArgs{Interface: "bios", Step: "polish"}, []string{"node does not support this service step", "polish"}},
		"argument": {rpc.StepArgs{Interface: "management", Step: "vent"}, []string{"missing these required arguments: seconds"}},
		"its BMC":  {reserved("power_on", nil), []string{"failed on child node", "the BMC refuses"}},
		"hold":     {reserved("hold", nil), []string{"hold cannot be run on child nodes"}},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.boot("one")
			parent, children := family(b, ferric.Active)
			for _, child := range children {
				b.change(child.id, func(n *ferric.Node) { n.DriverInfo = map[string]any{"password": "wrong"} })
			}
			b.verb(parent.id, "service", asks(onChildren(c.step), vent(1)))
			n := b.reaches(parent.id, ferric.ServiceFailed)
			wantWords(t, n.LastError, c.words...)
			if !n.Maintenance || n.Fault != ferric.FaultService || parent.count("vent 1") > 0 {
				t.Errorf("maintenance %v, fault %q", n.Maintenance, n.Fault)
			}
			for _, child := range children {
				if n := b.node(child.id); n.ProvisionState != ferric.Active || n.Maintenance {
					t.Errorf("child: %q, maintenance %v", n.ProvisionState, n.Maintenance)
				}
			}
		})
	}
}

// TestBusyChild waits for a child that does something else, up to a time.
func TestBusyChild(t *testing.T) {
	b := newBench(t)
	b.boot("one", func(c *conductor.Config) { c.AgentTimeout = 300 * time.Millisecond })
	parent, children := family(b, ferric.Active)
	open := children[0].gate("burn_in")
	defer open()
	b.verb(children[0].id, "service", asks(burnIn()))
	b.waits(children[0].id, "finish service.execute_service_step")
	b.verb(parent.id, "service", asks(onChildren(vent(1))))
	n := b.reaches(parent.id, ferric.ServiceFailed)
	wantWords(t, n.LastError, "child_node "+children[0].id+" is presently locked")
}

// TestFamilyPower powers children off with their parent and a parent on with its children, unless a child has a power supply of its own.
func TestFamilyPower(t *testing.T) {
	b := newBench(t)
	b.boot("one")
	parent, children := family(b, ferric.Active)
	b.change(children[1].id, func(n *ferric.Node) { n.DriverInfo["has_dedicated_power_supply"] = true })
	turn := func(id string, target ferric.PowerState) {
		t.Helper()
		if err := b.call(rpc.ChangePower, rpc.PowerArgs{NodeRef: ref(id), Target: target}, nil); err != nil {
			t.Fatal(err)
		}
		b.until(id, string(target), func(n *ferric.Node) bool {
			_, err := b.store.Unfinished(t.Context(), id, flow.Power)
			return n.TargetPowerState == "" && n.Reservation == "" && ferric.IsCode(err, ferric.CodeNotFound)
		})
	}
	want := func(what string, powers ...ferric.PowerState) {
		t.Helper()
		for i, m := range append([]*machine{parent}, children...) {
			if n := b.node(m.id); m.power() != powers[i] || n.PowerState != powers[i] && n.PowerState != "" {
				t.Errorf("%s: machine %d is %q, recorded as %q, want %q (error %q)", what, i, m.power(), n.PowerState, powers[i], n.LastError)
			}
		}
	}
	turn(children[1].id, ferric.PowerOn)
	want("a child of its own power", ferric.PowerOff, ferric.PowerOff, ferric.PowerOn)
	turn(children[0].id, ferric.PowerOn)
	want("a child on", ferric.PowerOn, ferric.PowerOn, ferric.PowerOn)
	turn(parent.id, ferric.PowerOff)
	want("the parent off", ferric.PowerOff, ferric.PowerOff, ferric.PowerOn)

	turn(children[0].id, ferric.PowerOn)
	b.change(children[0].id, func(n *ferric.Node) { n.DisablePowerOff = true })
	turn(parent.id, ferric.PowerOff)
	want("a child that must stay on", ferric.PowerOn, ferric.PowerOn, ferric.PowerOn)
	wantWords(t, b.node(parent.id).LastError, "Failed to change power state", "power off")
}
