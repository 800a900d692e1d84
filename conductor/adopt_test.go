package conductor_test

import (
	"testing"

	"ferric"
	"ferric/rpc"
)

// TestAdopt takes over a machine that runs, without touching it; one that cannot be reached is not adopted, and may be tried again.
func TestAdopt(t *testing.T) {
	b := newBench(t)
	b.boot("one")
	m := deployed(b, "lab", in(ferric.Manageable), func(n *ferric.Node) { n.InstanceInfo, n.PowerState = nil, "" })
	b.verb(m.id, "adopt")
	n := b.reaches(m.id, ferric.Active)
	if n.LastError != "" || n.PowerState != ferric.PowerOn || len(m.history()) > 0 || m.bootDevice() != ferric.BootDisk {
		t.Errorf("error %q, power %q, boots from %q", n.LastError, n.PowerState, m.bootDevice())
	}
	bad := deployed(b, "lab", in(ferric.Manageable), func(n *ferric.Node) { n.DriverInfo["password"] = "wrong" })
	b.verb(bad.id, "adopt")
	n = b.reaches(bad.id, ferric.AdoptFailed)
	wantWords(t, n.LastError, "Error while attempting to adopt node "+bad.id, "the BMC refuses")
	if n.PowerState != "" || n.Maintenance || n.TargetProvisionState != ferric.Active {
		t.Errorf("power %q, maintenance %v, target %q", n.PowerState, n.Maintenance, n.TargetProvisionState)
	}
	b.change(bad.id, func(n *ferric.Node) { n.DriverInfo["password"] = "right" })
	b.verb(bad.id, "adopt")
	b.reaches(bad.id, ferric.Active)
	off := b.site.node("lab", in(ferric.AdoptFailed))
	b.verb(off.id, "manage")
	b.reaches(off.id, ferric.Manageable)
	b.change(off.id, func(n *ferric.Node) { n.DriverInfo["no_boot"] = true })
	b.verb(off.id, "adopt")
	wantWords(t, b.reaches(off.id, ferric.AdoptFailed).LastError, "the boot services are off")
}

// TestInterfacesOfNodesInUse may be changed in maintenance only, but for those that follow from another driver.
func TestInterfacesOfNodesInUse(t *testing.T) {
	for name, c := range map[string]struct {
		state  ferric.ProvisionState
		maint  bool
		change func(*rpc.NodeArgs)
		words  []string // of the refusal
	}{
		"available":      {ferric.Available, false, to("no-inspect"), nil},
		"active":         {ferric.Active, false, to("no-inspect"), []string{"can not have inspect_interface updated", "enroll, inspecting, inspect wait, manageable, available", "Current state is 'active'."}},
		"inspect failed": {ferric.InspectFailed, false, to("no-inspect"), []string{"Current state is 'inspect failed'."}},
		"in maintenance": {ferric.Active, true, to("no-inspect"), nil},
		"nothing new":    {ferric.Active, false, to("agent"), nil},
		"another driver": {ferric.Active, false, func(a *rpc.NodeArgs) { a.Node.Driver, a.ResetInterfaces = "fake-hardware", true }, nil},
		"and an interface": {ferric.Active, false, func(a *rpc.NodeArgs) {
			a.Node.Driver, a.ResetInterfaces, a.Named = "fake-hardware", true, []string{"inspect"}
			a.Node.Interfaces[ferric.KindInspect] = "no-inspect"
		}, []string{"can not have inspect_interface updated"}},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.boot("one")
			m := b.site.node("lab", in(c.state), func(n *ferric.Node) { n.Maintenance = c.maint })
			a := rpc.NodeArgs{Node: b.node(m.id)}
			c.change(&a)
			err := b.call(rpc.UpdateNode, a, nil)
			if c.words != nil {
				wantCode(t, err, ferric.CodeConflict, c.words...)
			} else if err != nil {
				t.Error(err)
			}
		})
	}
}

// to names another inspect interface.
func to(name string) func(*rpc.NodeArgs) {
	return func(a *rpc.NodeArgs) {
		a.Node.Interfaces[ferric.KindInspect], a.Named = name, []string{"inspect"}
	}
}
