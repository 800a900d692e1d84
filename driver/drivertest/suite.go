package drivertest

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ferric"
	"ferric/driver"
)

// Subject is an implementation with a machine that it works for.
type Subject struct {
	Machine *driver.Machine   // valid; its hardware exists, and it is off
	Invalid []*driver.Machine // each with something wrong in its node
	// Timeout is for one change of the power state. It only has to be long enough.
	Timeout time.Duration
}

func (s Subject) timeout() time.Duration {
	if s.Timeout > 0 {
		return s.Timeout
	}
	return time.Minute
}

// Common checks what holds for every kind of interface. touched reports whether the hardware has been spoken to; nil if
// that cannot be told.
func Common(t *testing.T, i driver.Interface, s Subject, touched func() bool) {
	t.Run("properties", func(t *testing.T) {
		for field, text := range i.Properties() {
			if field == "" || len(text) < 10 {
				t.Errorf("property %q has no description: %q", field, text)
			}
		}
	})
	t.Run("validate", func(t *testing.T) {
		if err := i.Validate(t.Context(), s.Machine); err != nil {
			t.Errorf("a valid machine: %v", err)
		}
		for _, m := range s.Invalid {
			if err := i.Validate(t.Context(), m); !ferric.IsCode(err, ferric.CodeInvalid) {
				t.Errorf("driver_info %v: got %v, want CodeInvalid", keys(m.Node.DriverInfo), err)
			}
		}
		if touched != nil && touched() {
			t.Error("Validate has spoken to the hardware")
		}
	})
}

func keys(m map[string]any) []string {
	var all []string
	for k := range m {
		all = append(all, k)
	}
	slices.Sort(all)
	return all
}

// Power checks a power interface. begin is called for each test and returns a machine that is off.
func Power(t *testing.T, begin func(t *testing.T) (driver.Power, Subject)) {
	t.Run("every target from every state", func(t *testing.T) {
		p, s := begin(t)
		targets := p.SupportedPowerStates(s.Machine)
		for _, must := range []ferric.PowerState{ferric.PowerOn, ferric.PowerOff, ferric.Reboot} {
			if !slices.Contains(targets, must) {
				t.Errorf("%q is not supported", must)
			}
		}
		for _, from := range []ferric.PowerState{ferric.PowerOff, ferric.PowerOn} {
			for _, to := range targets {
				set(t, p, s, from)
				set(t, p, s, to)
				set(t, p, s, to) // it may be repeated
			}
		}
	})
	t.Run("no such target", func(t *testing.T) {
		p, s := begin(t)
		for _, target := range []ferric.PowerState{"", "hibernate"} {
			if err := p.SetPowerState(t.Context(), s.Machine, target, s.timeout()); !ferric.IsCode(err, ferric.CodeInvalid) {
				t.Errorf("target %q: got %v, want CodeInvalid", target, err)
			}
		}
	})
	t.Run("invalid machines", func(t *testing.T) {
		p, s := begin(t)
		for _, m := range s.Invalid {
			if _, err := p.PowerState(t.Context(), m); !ferric.IsCode(err, ferric.CodeInvalid) {
				t.Errorf("driver_info %v: PowerState gave %v, want CodeInvalid", keys(m.Node.DriverInfo), err)
			}
			if err := p.SetPowerState(t.Context(), m, ferric.PowerOn, s.timeout()); !ferric.IsCode(err, ferric.CodeInvalid) {
				t.Errorf("driver_info %v: SetPowerState gave %v, want CodeInvalid", keys(m.Node.DriverInfo), err)
			}
		}
	})
	t.Run("a context that has ended", func(t *testing.T) {
		p, s := begin(t)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := p.PowerState(ctx, s.Machine); err == nil {
			t.Error("PowerState succeeded")
		}
		if err := p.SetPowerState(ctx, s.Machine, ferric.PowerOn, s.timeout()); err == nil {
			t.Error("SetPowerState succeeded")
		}
	})
	t.Run("many at once", func(t *testing.T) {
		p, s := begin(t)
		set(t, p, s, ferric.PowerOn)
		errs := make(chan error, 8)
		for range cap(errs) {
			go func() {
				got, err := p.PowerState(t.Context(), s.Machine)
				if err == nil && got != ferric.PowerOn {
					err = ferric.Errorf(ferric.CodeInternal, "power state %q, want %q", got, ferric.PowerOn)
				}
				errs <- err
			}()
		}
		for range cap(errs) {
			if err := <-errs; err != nil {
				t.Error(err)
			}
		}
	})
}

// set sets a power state, looks whether the machine is in the state that must come of it, and records that on the node as a
// conductor does.
func set(t *testing.T, p driver.Power, s Subject, target ferric.PowerState) {
	t.Helper()
	before := s.Machine.Node.Clone()
	if err := p.SetPowerState(t.Context(), s.Machine, target, s.timeout()); err != nil {
		t.Fatalf("set power state %q: %v", target, err)
	}
	if d := cmp.Diff(before, s.Machine.Node); d != "" {
		t.Errorf("SetPowerState has changed the node:\n%s", d)
	}
	want := ferric.PowerOn
	if target == ferric.PowerOff || target == ferric.SoftPowerOff {
		want = ferric.PowerOff
	}
	s.Machine.Node.PowerState = want
	if got, err := p.PowerState(t.Context(), s.Machine); err != nil || got != want {
		t.Fatalf("after %q the power state is %q, %v; want %q", target, got, err, want)
	}
}

// Management checks a management interface. on switches the machine on, for the parts that need that.
func Management(t *testing.T, begin func(t *testing.T) (g driver.Management, s Subject, on func())) {
	t.Run("every boot device", func(t *testing.T) {
		g, s, _ := begin(t)
		devices := g.SupportedBootDevices(s.Machine)
		for _, must := range []ferric.BootDevice{ferric.BootPXE, ferric.BootDisk} {
			if !slices.Contains(devices, must) {
				t.Errorf("%q is not supported", must)
			}
		}
		for i, d := range devices {
			if slices.Contains(devices[:i], d) {
				t.Errorf("%q is listed twice", d)
			}
			for _, persistent := range []bool{true, false} {
				for range 2 { // it may be repeated
					if err := g.SetBootDevice(t.Context(), s.Machine, d, persistent); err != nil {
						t.Fatalf("set boot device %s: %v", d, err)
					}
				}
				got, err := g.BootDevice(t.Context(), s.Machine)
				if err != nil || got.Device != d {
					t.Errorf("boot device %q, %v; want %q", got.Device, err, d)
				}
				if got.Persistent != nil && *got.Persistent != persistent {
					t.Errorf("boot device %q: persistent %v, want %v", d, *got.Persistent, persistent)
				}
			}
		}
	})
	t.Run("no such boot device", func(t *testing.T) {
		g, s, _ := begin(t)
		for _, d := range []ferric.BootDevice{"", "wanboot"} {
			if err := g.SetBootDevice(t.Context(), s.Machine, d, false); !ferric.IsCode(err, ferric.CodeInvalid) {
				t.Errorf("device %q: got %v, want CodeInvalid", d, err)
			}
		}
	})
	t.Run("invalid machines", func(t *testing.T) {
		g, s, _ := begin(t)
		for _, m := range s.Invalid {
			if _, err := g.BootDevice(t.Context(), m); !ferric.IsCode(err, ferric.CodeInvalid) {
				t.Errorf("driver_info %v: BootDevice gave %v, want CodeInvalid", keys(m.Node.DriverInfo), err)
			}
			if err := g.SetBootDevice(t.Context(), m, ferric.BootPXE, false); !ferric.IsCode(err, ferric.CodeInvalid) {
				t.Errorf("driver_info %v: SetBootDevice gave %v, want CodeInvalid", keys(m.Node.DriverInfo), err)
			}
		}
	})
	t.Run("optional parts", func(t *testing.T) {
		g, s, on := begin(t)
		on()
		if n, ok := g.(driver.NMIInjector); ok {
			if err := n.InjectNMI(t.Context(), s.Machine); err != nil {
				t.Errorf("inject NMI: %v", err)
			}
		}
		if r, ok := g.(driver.SensorReader); ok {
			all, err := r.Sensors(t.Context(), s.Machine)
			if err != nil || all == nil {
				t.Errorf("sensors: %v, %v", all, err)
			}
			for group, sensors := range all {
				if group == "" || len(sensors) == 0 {
					t.Errorf("sensor type %q has %d sensors", group, len(sensors))
				}
			}
		}
		if b, ok := g.(driver.BootModer); ok {
			for _, mode := range b.SupportedBootModes(s.Machine) {
				if err := b.SetBootMode(t.Context(), s.Machine, mode); err != nil {
					t.Errorf("set boot mode %s: %v", mode, err)
				}
				if got, err := b.BootMode(t.Context(), s.Machine); err != nil || got != "" && got != mode {
					t.Errorf("boot mode %q, %v; want %q", got, err, mode)
				}
			}
		}
	})
}

// Vendor checks a vendor interface.
func Vendor(t *testing.T, v driver.Vendor) {
	seen := map[string]bool{}
	for _, m := range v.Methods() {
		if m.Name == "" || seen[m.Name] {
			t.Errorf("method %q is listed twice or has no name", m.Name)
		}
		seen[m.Name] = true
		if m.Description == "" || m.Run == nil || len(m.HTTPMethods) == 0 {
			t.Errorf("method %s lacks a description, code or an HTTP method", m.Name)
		}
		for _, h := range m.HTTPMethods {
			if !slices.Contains([]string{"GET", "POST", "PUT", "PATCH", "DELETE"}, h) {
				t.Errorf("method %s: %q is no HTTP method", m.Name, h)
			}
		}
	}
}

// Steps checks the steps that an implementation offers in any phase.
func Steps(t *testing.T, i driver.Interface, m *driver.Machine) {
	st, ok := i.(driver.Stepper)
	if !ok {
		return
	}
	for _, phase := range []driver.Phase{driver.DeployPhase, driver.CleanPhase, driver.ServicePhase, driver.VerifyPhase} {
		seen := map[string]bool{}
		for _, s := range st.Steps(m, phase) {
			if s.Name == "" || seen[s.Name] || s.Run == nil || s.Phase != phase || s.Priority < 0 || s.Repeat == "" {
				t.Errorf("%s step %+v is listed twice, or lacks name, code, phase or how it may be repeated", phase, s)
			}
			seen[s.Name] = true
			for name, a := range s.Args {
				if a.Description == "" {
					t.Errorf("%s step %s: argument %s has no description", phase, s.Name, name)
				}
			}
		}
	}
}
