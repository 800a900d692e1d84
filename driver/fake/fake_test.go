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

// states keeps states as a database does.
type states map[string][]byte

func (s states) DriverState(_ context.Context, node, name string) ([]byte, error) {
	return s[node+"/"+name], nil
}

func (s states) SetDriverState(_ context.Context, node, name string, state []byte) error {
	if node == "gone" {
		return ferric.Errorf(ferric.CodeNotFound, "Node gone could not be found.")
	}
	s[node+"/"+name] = state
	return nil
}

// TestStatesSurvive: what was set is there after a restart, if it is kept.
func TestStatesSurvive(t *testing.T) {
	ctx, kept := context.Background(), states{}
	management := func() fake.Management {
		return (&fake.Hardware{States: kept}).Implementations()[ferric.KindManagement].(fake.Management)
	}
	m := machine("a")
	for _, err := range []error{
		management().SetBootDevice(ctx, m, ferric.BootCDROM, true), management().SetBootMode(ctx, m, "bios"), management().SetSecureBoot(ctx, m, true),
		management().SetIndicatorState(ctx, m, "system", "led", "OFF"), management().InjectNMI(ctx, m),
		management().AttachVirtualMedia(ctx, m, driver.VirtualMedium{Device: "floppy", URL: "http://x"}),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	d, err := management().BootDevice(ctx, m)
	if err != nil || d.Device != ferric.BootCDROM || !*d.Persistent {
		t.Errorf("boot device %+v, %v", d, err)
	}
	if mode, err := management().BootMode(ctx, m); err != nil || mode != "bios" {
		t.Errorf("boot mode %q, %v", mode, err)
	}
	if on, err := management().SecureBoot(ctx, m); err != nil || on == nil || !*on {
		t.Errorf("secure boot %v, %v", on, err)
	}
	if light, err := management().IndicatorState(ctx, m, "system", "led"); err != nil || light != "off" {
		t.Errorf("light %q, %v", light, err)
	}
	if err := management().SetBootMode(ctx, machine("gone"), "uefi"); !ferric.IsCode(err, ferric.CodeNotFound) {
		t.Errorf("a node that is gone: %v", err)
	}
	kept["a/fake"] = []byte("{")
	if _, err := management().BootMode(ctx, m); !ferric.IsCode(err, ferric.CodeInternal) {
		t.Errorf("a broken state: %v", err)
	}
	if mode, err := management().BootMode(ctx, machine("b")); err != nil || mode != "" {
		t.Errorf("at first %q, %v", mode, err)
	}
}

// TestEveryKindCanBeSlow: each delay slows the kind down that it is named for.
func TestEveryKindCanBeSlow(t *testing.T) {
	long := fake.Delay{Min: time.Hour, Max: time.Hour}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	m := machine("a")
	task := &driver.Task{Machine: m}
	impl := func(h *fake.Hardware, kind ferric.InterfaceKind) driver.Interface { return h.Implementations()[kind] }
	for name, err := range map[string]error{
		"console": impl(&fake.Hardware{ConsoleDelay: long}, ferric.KindConsole).(driver.Console).StartConsole(ctx, task),
		"storage": impl(&fake.Hardware{StorageDelay: long}, ferric.KindStorage).(driver.Storage).Attach(ctx, task),
		"BIOS": func() error {
			_, err := impl(&fake.Hardware{BIOSDelay: long}, ferric.KindBIOS).(driver.BIOS).ResetBIOS(ctx, task)
			return err
		}(),
		"RAID": func() error {
			_, err := impl(&fake.Hardware{RAIDDelay: long}, ferric.KindRAID).(driver.RAID).DeleteRAID(ctx, task)
			return err
		}(),
		"vendor": func() error {
			_, err := impl(&fake.Hardware{VendorDelay: long}, ferric.KindVendor).(driver.Vendor).Methods()[0].Run(ctx, m, nil)
			return err
		}(),
		"management": func() error {
			_, err := impl(&fake.Hardware{ManagementDelay: long}, ferric.KindManagement).(driver.SensorReader).Sensors(ctx, m)
			return err
		}(),
	} {
		if !ferric.IsCode(err, ferric.CodeTimeout) {
			t.Errorf("%s was not waited for: %v", name, err)
		}
	}
}
