package fake_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"ferric"
	"ferric/driver"
	"ferric/driver/fake"
)

func machine(id string) *driver.Machine { return &driver.Machine{Node: &ferric.Node{UUID: id}} }

func TestBootDevices(t *testing.T) {
	ctx, h := context.Background(), &fake.Hardware{}
	g := h.Implementations()[ferric.KindManagement].(driver.Management)
	s, err := g.BootDevice(ctx, machine("a"))
	if err != nil || s.Device != ferric.BootPXE || s.Persistent == nil || *s.Persistent {
		t.Errorf("at first %+v, %v", s, err)
	}
	if err := g.SetBootDevice(ctx, machine("a"), ferric.BootDisk, true); err != nil {
		t.Fatal(err)
	}
	again := h.Implementations()[ferric.KindManagement].(driver.Management) // another view of the same hardware
	if s, err = again.BootDevice(ctx, machine("a")); err != nil || s.Device != ferric.BootDisk || !*s.Persistent {
		t.Errorf("then %+v, %v", s, err)
	}
	if s, _ = g.BootDevice(ctx, machine("b")); s.Device != ferric.BootPXE {
		t.Errorf("another node's is %q", s.Device)
	}
	if err := g.SetBootDevice(ctx, machine("a"), "floppy", false); !ferric.IsCode(err, ferric.CodeInvalid) {
		t.Errorf("floppy: %v", err)
	}
}

func TestPower(t *testing.T) {
	ctx := context.Background()
	p := (&fake.Hardware{}).Implementations()[ferric.KindPower].(driver.Power)
	m := machine("a")
	m.Node.PowerState = ferric.PowerOn
	if s, err := p.PowerState(ctx, m); err != nil || s != ferric.PowerOn {
		t.Errorf("%q, %v", s, err)
	}
	for _, target := range p.SupportedPowerStates(m) {
		if err := p.SetPowerState(ctx, m, target, time.Second); err != nil {
			t.Errorf("%s: %v", target, err)
		}
	}
	if err := p.SetPowerState(ctx, m, "sideways", time.Second); !ferric.IsCode(err, ferric.CodeInvalid) {
		t.Errorf("sideways: %v", err)
	}
	slow := (&fake.Hardware{PowerDelay: fake.Delay{Min: time.Hour, Max: time.Hour}}).Implementations()[ferric.KindPower].(driver.Power)
	if err := slow.SetPowerState(ctx, m, ferric.PowerOn, time.Millisecond); !ferric.IsCode(err, ferric.CodeTimeout) {
		t.Errorf("a change that takes too long: %v", err)
	}
}

// TestManyAtOnce is for the race detector.
func TestManyAtOnce(t *testing.T) {
	h := &fake.Hardware{ManagementDelay: fake.Delay{Max: time.Microsecond}}
	g := h.Implementations()[ferric.KindManagement].(driver.Management)
	var work sync.WaitGroup
	for i := range 8 {
		work.Go(func() {
			m := machine(string(rune('a' + i)))
			for range 50 {
				if err := g.SetBootDevice(context.Background(), m, ferric.BootDisk, true); err != nil {
					t.Error(err)
				}
				if s, err := g.BootDevice(context.Background(), m); err != nil || s.Device != ferric.BootDisk {
					t.Errorf("%+v, %v", s, err)
				}
			}
		})
	}
	work.Wait()
}

func TestSteps(t *testing.T) {
	d := (&fake.Hardware{}).Implementations()[ferric.KindDeploy].(driver.Stepper)
	for phase, want := range map[driver.Phase]int{driver.DeployPhase: 1, driver.CleanPhase: 2, driver.ServicePhase: 1, driver.VerifyPhase: 0} {
		steps := d.Steps(machine("a"), phase)
		if len(steps) != want {
			t.Errorf("%d %s steps, want %d", len(steps), phase, want)
		}
		for _, s := range steps {
			if out, err := s.Run(context.Background(), nil); err != nil || !out.IsDone() {
				t.Errorf("step %s: %v", s.Name, err)
			}
		}
	}
}
