package driver_test

import (
	"context"
	"strings"
	"testing"

	"ferric"
	"ferric/driver"
	"ferric/driver/fake"
	"ferric/driver/noop"

	"github.com/google/go-cmp/cmp"
)

// registry has two hardware types: "small" with few interfaces, "big" with a choice of power interfaces.
func registry() *driver.Registry {
	hw := (&fake.Hardware{}).Implementations()
	r := &driver.Registry{Implementations: map[ferric.InterfaceKind]map[string]driver.Interface{}}
	small, big := map[ferric.InterfaceKind][]string{}, map[ferric.InterfaceKind][]string{}
	for _, kind := range ferric.InterfaceKinds() {
		r.Implementations[kind] = map[string]driver.Interface{}
		if impl := hw[kind]; impl != nil && kind != ferric.KindRescue {
			r.Implementations[kind]["fake"] = impl
			small[kind], big[kind] = []string{"fake"}, []string{"fake"}
			continue
		}
		r.Implementations[kind]["none"] = noop.Absent{Kind: kind}
		small[kind], big[kind] = []string{"none"}, []string{"none"}
	}
	r.Implementations[ferric.KindNetwork] = map[string]driver.Interface{"noop": noop.Network{}}
	small[ferric.KindNetwork], big[ferric.KindNetwork] = []string{"noop"}, []string{"noop"}
	r.Implementations[ferric.KindPower]["loud"] = hw[ferric.KindPower]
	r.Implementations[ferric.KindPower]["quiet"] = hw[ferric.KindPower]
	big[ferric.KindPower] = []string{"loud", "quiet", "imagined", "fake"}
	r.Types = []driver.HardwareType{{Name: "small", Supports: small}, {Name: "big", Supports: big}}
	return r
}

func TestComplete(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*driver.Registry)
		node   ferric.Node
		power  string   // what the node gets
		words  []string // of the refusal
	}{
		"default":                 {node: ferric.Node{Driver: "small"}, power: "fake"},
		"first of several":        {node: ferric.Node{Driver: "big"}, power: "loud"},
		"named":                   {node: ferric.Node{Driver: "big", Interfaces: ferric.Interfaces{ferric.KindPower: "quiet"}}, power: "quiet"},
		"default of the registry": {func(r *driver.Registry) { r.Defaults = map[ferric.InterfaceKind]string{ferric.KindPower: "quiet"} }, ferric.Node{Driver: "big"}, "quiet", nil},
		"default of another type": {func(r *driver.Registry) { r.Defaults = map[ferric.InterfaceKind]string{ferric.KindPower: "quiet"} }, ferric.Node{Driver: "small"}, "fake", nil},
		"first that is enabled": {func(r *driver.Registry) {
			r.Enabled = map[ferric.InterfaceKind][]string{ferric.KindPower: {"fake", "quiet"}}
		}, ferric.Node{Driver: "big"}, "quiet", nil},
		"not enabled": {func(r *driver.Registry) { r.Enabled = map[ferric.InterfaceKind][]string{ferric.KindPower: {"quiet"}} },
			ferric.Node{Driver: "big", Interfaces: ferric.Interfaces{ferric.KindPower: "loud"}}, "", []string{"power_interface", `"loud"`, `"big"`, "choose one of: quiet"}},
		"none enabled": {func(r *driver.Registry) { r.Enabled = map[ferric.InterfaceKind][]string{ferric.KindPower: {}} },
			ferric.Node{Driver: "big"}, "", []string{"power_interface", "no enabled implementation", "loud, quiet, imagined, fake"}},
		"not supported":   {node: ferric.Node{Driver: "small", Interfaces: ferric.Interfaces{ferric.KindPower: "loud"}}, words: []string{"power_interface", "choose one of: fake"}},
		"not implemented": {node: ferric.Node{Driver: "big", Interfaces: ferric.Interfaces{ferric.KindPower: "imagined"}}, words: []string{"power_interface", "loud, quiet, fake"}},
		"unknown type":    {node: ferric.Node{Driver: "huge"}, words: []string{`"huge"`, "enabled: small, big"}},
	} {
		t.Run(name, func(t *testing.T) {
			r := registry()
			if c.change != nil {
				c.change(r)
			}
			n := c.node.Clone()
			err := r.Complete(n)
			if c.words != nil {
				if !ferric.IsCode(err, ferric.CodeInvalid) {
					t.Fatalf("error %v, want CodeInvalid", err)
				}
				for _, w := range c.words {
					if !strings.Contains(err.Error(), w) {
						t.Errorf("%q does not say %q", err, w)
					}
				}
				if _, err := r.Compose(c.node.Clone()); err == nil {
					t.Error("it was composed all the same")
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if n.Interfaces[ferric.KindPower] != c.power || len(n.Interfaces) != len(ferric.InterfaceKinds()) {
				t.Errorf("power %q of %v, want %q", n.Interfaces[ferric.KindPower], n.Interfaces, c.power)
			}
			again := n.Clone()
			if err := r.Complete(again); err != nil || !cmp.Equal(n, again) {
				t.Errorf("a second time: %v, %s", err, cmp.Diff(n, again))
			}
		})
	}
}

func TestCompose(t *testing.T) {
	r := registry()
	n := &ferric.Node{Driver: "small"}
	set, err := r.Compose(n)
	if err != nil {
		t.Fatal(err)
	}
	if n.Interfaces != nil {
		t.Errorf("composing changed the node: %v", n.Interfaces)
	}
	for _, impl := range []driver.Interface{set.Power(), set.Management(), set.Boot(), set.Network(), set.Deploy(), set.Inspect(), set.Storage(),
		set.BIOS(), set.Firmware(), set.RAID(), set.Console(), set.Vendor()} {
		if impl == nil {
			t.Error("an interface is missing")
		}
	}
	m := &driver.Machine{Node: n}
	steps := set.Steps(m, driver.CleanPhase)
	if len(steps) != 5 || len(steps[ferric.KindDeploy]) != 2 || len(steps[ferric.KindBIOS]) != 3 {
		t.Errorf("clean steps %v", steps)
	}
	if s := set.Steps(m, driver.VerifyPhase); len(s) != 0 {
		t.Errorf("verify steps %v", s)
	}
	v := set.Validate(context.Background(), m)
	if !v[ferric.KindPower].Result || v[ferric.KindRescue].Result || !strings.Contains(v[ferric.KindRescue].Reason, "does not support rescue") {
		t.Errorf("validation %v", v)
	}
}

// TestCheck finds implementations that are not what they are registered as.
func TestCheck(t *testing.T) {
	if err := registry().Check(); err != nil {
		t.Errorf("a good registry: %v", err)
	}
	hw := (&fake.Hardware{}).Implementations()
	for _, kind := range []ferric.InterfaceKind{ferric.KindPower, ferric.KindManagement, ferric.KindBoot, ferric.KindDeploy, ferric.KindInspect,
		ferric.KindStorage, ferric.KindNetwork, ferric.KindBIOS, ferric.KindFirmware, ferric.KindRAID, ferric.KindConsole, ferric.KindVendor} {
		r := registry()
		wrong := hw[ferric.KindPower]
		if kind == ferric.KindPower {
			wrong = hw[ferric.KindBoot]
		}
		r.Implementations[kind]["wrong"] = wrong
		err := r.Check()
		if !ferric.IsCode(err, ferric.CodeInternal) || !strings.Contains(err.Error(), string(kind)+` implementation "wrong"`) {
			t.Errorf("%s: %v", kind, err)
		}
	}
}

func TestTypeNames(t *testing.T) {
	if got := strings.Join(registry().TypeNames(), " "); got != "big small" {
		t.Errorf("names %q", got)
	}
}
