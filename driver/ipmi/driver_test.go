package ipmi_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"ferric"
	"ferric/driver"
	"ferric/driver/drivertest"
	"ferric/driver/ipmi"
	"ferric/flow"
	"ferric/lab/bmc"
)

func machineFor(s *bmc.Server, more ...any) *driver.Machine {
	addr := s.Addr()
	n := &ferric.Node{UUID: "1be26c0b-03f2-4d2e-ae87-c02d7f33c123", ProvisionState: ferric.Available, DriverInfo: map[string]any{
		"ipmi_address": addr.IP.String(), "ipmi_port": float64(addr.Port), "ipmi_username": "admin", "ipmi_password": password}}
	for i := 0; i < len(more); i += 2 {
		n.DriverInfo[more[i].(string)] = more[i+1]
	}
	return &driver.Machine{Node: n}
}

func subject(t *testing.T) (drivertest.Subject, *bmc.Server, *chassis) {
	s, c := newBMC(t, bmc.Options{})
	return drivertest.Subject{Machine: machineFor(s), Invalid: []*driver.Machine{
		{Node: &ferric.Node{}},
		machineFor(s, "ipmi_address", ""),
		machineFor(s, "ipmi_port", "high"),
		machineFor(s, "ipmi_priv_level", "ROOT"),
	}}, s, c
}

func TestContract(t *testing.T) {
	t.Run("power", func(t *testing.T) {
		drivertest.Power(t, func(t *testing.T) (driver.Power, drivertest.Subject) {
			s, _, _ := subject(t)
			return &ipmi.Power{Pool: newPool(t, ipmi.Options{}), Poll: 5 * time.Millisecond}, s
		})
	})
	t.Run("management", func(t *testing.T) {
		drivertest.Management(t, func(t *testing.T) (driver.Management, drivertest.Subject, func()) {
			s, _, c := subject(t)
			return &ipmi.Management{Pool: newPool(t, ipmi.Options{})}, s, func() { c.PowerOn(t.Context()) }
		})
	})
	pool := newPool(t, ipmi.Options{})
	v := &ipmi.Vendor{Pool: pool}
	t.Run("vendor", func(t *testing.T) { drivertest.Vendor(t, v) })
	for name, i := range map[string]driver.Interface{"power": &ipmi.Power{Pool: pool}, "management": &ipmi.Management{Pool: pool}, "vendor": v} {
		t.Run("common to "+name, func(t *testing.T) {
			s, server, _ := subject(t)
			drivertest.Common(t, i, s, func() bool { return server.Stats().Datagrams > 0 })
			drivertest.Steps(t, i, s.Machine)
		})
	}
}

func TestSetPowerState(t *testing.T) {
	tests := map[string]struct {
		from   bool
		target ferric.PowerState
		keepOn bool // disable_power_off
		calls  string
		want   ferric.Code
	}{
		"on":                         {target: ferric.PowerOn, calls: "on"},
		"on when on":                 {from: true, target: ferric.PowerOn},
		"off":                        {from: true, target: ferric.PowerOff, calls: "off"},
		"off when off":               {target: ferric.PowerOff},
		"soft off":                   {from: true, target: ferric.SoftPowerOff, calls: "soft"},
		"soft off when off":          {target: ferric.SoftPowerOff},
		"reboot":                     {from: true, target: ferric.Reboot, calls: "off on"},
		"reboot when off":            {target: ferric.Reboot, calls: "on"},
		"soft reboot":                {from: true, target: ferric.SoftReboot, calls: "soft on"},
		"reboot without off":         {from: true, target: ferric.Reboot, keepOn: true, calls: "reset"},
		"reboot without off, is off": {target: ferric.Reboot, keepOn: true, calls: "on"},
		"soft reboot without off":    {from: true, target: ferric.SoftReboot, keepOn: true, want: ferric.CodeUnsupported},
		"no such state":              {target: "hibernate", want: ferric.CodeInvalid},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			s, c := newBMC(t, bmc.Options{})
			c.note("", test.from)
			c.take()
			m := machineFor(s)
			m.Node.DisablePowerOff = test.keepOn
			p := &ipmi.Power{Pool: newPool(t, ipmi.Options{}), Poll: time.Millisecond}
			if err := p.SetPowerState(t.Context(), m, test.target, time.Minute); ferric.ErrorCode(err) != test.want {
				t.Errorf("got %v (%s), want code %q", err, ferric.ErrorCode(err), test.want)
			}
			if got := c.take(); got != test.calls {
				t.Errorf("the machine was asked for %q, want %q", got, test.calls)
			}
		})
	}
}

// stubborn is a machine that does not do as it is told.
type stubborn struct{ chassis }

func (s *stubborn) PowerOn(context.Context) error { s.take(); return nil }

func TestSetPowerStateTimesOut(t *testing.T) {
	s, err := bmc.Start(&stubborn{}, bmc.Options{Users: []bmc.User{{Name: "admin", Password: password}}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	p := &ipmi.Power{Pool: newPool(t, ipmi.Options{}), Poll: time.Millisecond}
	err = p.SetPowerState(t.Context(), machineFor(s), ferric.PowerOn, 50*time.Millisecond)
	if !ferric.IsCode(err, ferric.CodeTimeout) || !strings.Contains(err.Error(), `not in state "power on"`) {
		t.Errorf("got %v (%s)", err, ferric.ErrorCode(err))
	}
	if n := s.Stats().Commands["Chassis Control"]; n != 1 {
		t.Errorf("%d chassis control commands within 15 s, want 1", n)
	}
}

func TestBackground(t *testing.T) {
	type key struct{}
	s, _ := newBMC(t, bmc.Options{})
	s.SetFaults(bmc.Faults{Silent: true})
	o := quick
	o.BreakerAfter, o.BreakerWait = 1, time.Hour
	p := &ipmi.Power{Pool: newPool(t, o), Background: func(ctx context.Context) bool { return ctx.Value(key{}) != nil }}
	background := context.WithValue(t.Context(), key{}, true)
	for range 2 {
		p.PowerState(background, machineFor(s))
	}
	if _, err := p.PowerState(background, machineFor(s)); err == nil || !strings.Contains(err.Error(), "left alone") {
		t.Errorf("background: %v", err)
	}
	if _, err := p.PowerState(t.Context(), machineFor(s)); err == nil || strings.Contains(err.Error(), "left alone") {
		t.Errorf("foreground: %v", err)
	}
}

func TestBootFlagsFollowNode(t *testing.T) {
	caps := func(v any) func(*ferric.Node) {
		return func(n *ferric.Node) { n.Properties = map[string]any{"capabilities": v} }
	}
	instance := func(k string, v any) func(*ferric.Node) {
		return func(n *ferric.Node) {
			n.Properties = map[string]any{"capabilities": "boot_mode:bios"}
			n.InstanceInfo = map[string]any{k: v}
		}
	}
	tests := map[string]struct {
		change     func(*ferric.Node)
		defaults   string
		persistent bool
		raw        [5]byte
	}{
		"default":                 {func(*ferric.Node) {}, "", false, [5]byte{0xa0, 0x08}},
		"configured default":      {func(*ferric.Node) {}, "bios", false, [5]byte{0x80, 0x08}},
		"persistent":              {func(*ferric.Node) {}, "", true, [5]byte{0xe0, 0x08}},
		"capabilities":            {caps("cpus:4, boot_mode:bios"), "", true, [5]byte{0xc0, 0x08}},
		"seen":                    {func(n *ferric.Node) { n.BootMode = "bios" }, "uefi", false, [5]byte{0x80, 0x08}},
		"capabilities before it":  {func(n *ferric.Node) { n.BootMode = "bios"; caps("boot_mode:uefi")(n) }, "", false, [5]byte{0xa0, 0x08}},
		"instance, object":        {instance("capabilities", map[string]any{"boot_mode": "uefi"}), "", false, [5]byte{0xa0, 0x08}},
		"instance, JSON":          {instance("capabilities", `{"boot_mode": "uefi"}`), "", false, [5]byte{0xa0, 0x08}},
		"instance, secure boot":   {instance("capabilities", "secure_boot:True"), "", false, [5]byte{0xa0, 0x08}},
		"instance, old field":     {instance("deploy_boot_mode", "uefi"), "", false, [5]byte{0xa0, 0x08}},
		"Supermicro, UEFI":        {func(n *ferric.Node) { n.Properties = map[string]any{"vendor": "Supermicro"} }, "", true, [5]byte{0xe0, 0x24}},
		"Supermicro, BIOS":        {func(n *ferric.Node) { n.Properties = map[string]any{"vendor": "supermicro"} }, "bios", true, [5]byte{0xc0, 0x08}},
		"another vendor":          {func(n *ferric.Node) { n.Properties = map[string]any{"vendor": "dell"} }, "", true, [5]byte{0xe0, 0x08}},
		"vendor that is no text":  {func(n *ferric.Node) { n.Properties = map[string]any{"vendor": 7} }, "", true, [5]byte{0xe0, 0x08}},
		"capabilities that is no": {caps(42), "", false, [5]byte{0xa0, 0x08}},
	}
	s, _ := newBMC(t, bmc.Options{})
	pool := newPool(t, ipmi.Options{})
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			g := &ipmi.Management{Pool: pool, DefaultBootMode: test.defaults}
			m := machineFor(s)
			test.change(m.Node)
			if err := g.SetBootDevice(t.Context(), m, ferric.BootDisk, test.persistent); err != nil {
				t.Fatal(err)
			}
			if got := s.Boot().Raw; got != test.raw {
				t.Errorf("the BMC has % x, want % x", got, test.raw)
			}
			got, err := g.BootDevice(t.Context(), m)
			if err != nil || got.Device != ferric.BootDisk || *got.Persistent != test.persistent {
				t.Errorf("read back %+v, %v", got, err)
			}
		})
	}
}

// forgetful is a machine whose BMC has no boot device any more once the machine is off.
type forgetful struct {
	chassis
	bmc   *bmc.Server
	boots []string
}

func (f *forgetful) Attach(s *bmc.Server) { f.bmc = s }

func (f *forgetful) PowerOn(ctx context.Context) error {
	b := f.bmc.TakeBoot()
	if !b.Valid {
		b.Device = "firmware's choice"
	}
	f.mu.Lock()
	f.boots = append(f.boots, b.Device)
	f.mu.Unlock()
	return f.chassis.PowerOn(ctx)
}

func TestForceBootDevice(t *testing.T) {
	f := &forgetful{}
	s, err := bmc.Start(f, bmc.Options{Users: []bmc.User{{Name: "admin", Password: password}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	m := machineFor(s, "ipmi_force_boot_device", "true")
	boot := func(pool *ipmi.Pool) {
		t.Helper()
		p := &ipmi.Power{Pool: pool, Poll: time.Millisecond}
		if err := p.SetPowerState(t.Context(), m, ferric.Reboot, time.Minute); err != nil {
			t.Fatal(err)
		}
	}
	pool := newPool(t, ipmi.Options{})
	g := &ipmi.Management{Pool: pool}
	set := func(d ferric.BootDevice, persistent bool) {
		t.Helper()
		if err := g.SetBootDevice(t.Context(), m, d, persistent); err != nil {
			t.Fatal(err)
		}
		if s.Boot().Persistent {
			t.Error("the BMC was asked to keep the device, which it cannot")
		}
	}
	boot(pool) // nothing known yet
	set(ferric.BootDisk, true)
	boot(pool)
	boot(pool)
	if got, err := g.BootDevice(t.Context(), m); err != nil || got.Device != ferric.BootDisk || !*got.Persistent {
		t.Errorf("boot device %+v, %v", got, err)
	}
	set(ferric.BootPXE, false) // for one boot
	boot(pool)
	boot(pool)
	fresh := newPool(t, ipmi.Options{}) // the conductor has restarted
	boot(fresh)
	m.Node.ProvisionState = ferric.Active
	boot(fresh)
	m.Node.DriverInfo["ipmi_force_boot_device"] = false
	boot(pool)
	f.mu.Lock()
	defer f.mu.Unlock()
	want := "firmware's choice, disk, disk, pxe, disk, firmware's choice, disk, firmware's choice"
	if got := strings.Join(f.boots, ", "); got != want {
		t.Errorf("the machine booted from %s\nwant %s", got, want)
	}
}

// kept keeps states as a database does.
type kept struct {
	mu     sync.Mutex
	states map[string][]byte
}

func (k *kept) DriverState(_ context.Context, node, name string) ([]byte, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.states[node+name], nil
}

func (k *kept) SetDriverState(_ context.Context, node, name string, state []byte) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.states[node+name] = state
	return nil
}

// TestForcedBootDeviceIsKept: what was set is known to the next conductor, the device for one boot until the machine has been started with it.
func TestForcedBootDeviceIsKept(t *testing.T) {
	f := &forgetful{}
	s, err := bmc.Start(f, bmc.Options{Users: []bmc.User{{Name: "admin", Password: password}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	m := machineFor(s, "ipmi_force_boot_device", "true")
	states := &kept{states: map[string][]byte{}}
	next := func() *ipmi.Pool { return newPool(t, ipmi.Options{States: states}) } // another conductor each time
	boot := func() {
		t.Helper()
		if err := (&ipmi.Power{Pool: next(), Poll: time.Millisecond}).SetPowerState(t.Context(), m, ferric.Reboot, time.Minute); err != nil {
			t.Fatal(err)
		}
	}
	set := func(d ferric.BootDevice, persistent bool) {
		t.Helper()
		if err := (&ipmi.Management{Pool: next()}).SetBootDevice(t.Context(), m, d, persistent); err != nil {
			t.Fatal(err)
		}
	}
	set(ferric.BootCDROM, true)
	boot()
	boot()
	set(ferric.BootPXE, false)
	boot()
	boot()
	if got, err := (&ipmi.Management{Pool: next()}).BootDevice(t.Context(), m); err != nil || got.Device != ferric.BootCDROM || !*got.Persistent {
		t.Errorf("boot device %+v, %v", got, err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if got, want := strings.Join(f.boots, ", "), "cdrom, cdrom, pxe, cdrom"; got != want {
		t.Errorf("the machine booted from %s\nwant %s", got, want)
	}
}

func TestVendor(t *testing.T) {
	s, _ := newBMC(t, bmc.Options{})
	v := &ipmi.Vendor{Pool: newPool(t, ipmi.Options{})}
	call := func(name string, args map[string]any) error {
		for _, m := range v.Methods() {
			if m.Name == name {
				_, err := m.Run(t.Context(), machineFor(s), args)
				return err
			}
		}
		t.Fatalf("there is no method %s", name)
		return nil
	}
	tests := map[string]struct {
		method string
		args   map[string]any
		want   ferric.Code
		count  string // command that the BMC must have got once more
	}{
		"raw":               {"send_raw", map[string]any{"raw_bytes": "0x00 0x04 0x05"}, "", "Chassis Identify"},
		"raw missing":       {"send_raw", nil, ferric.CodeInvalid, ""},
		"raw empty":         {"send_raw", map[string]any{"raw_bytes": " "}, ferric.CodeInvalid, ""},
		"raw no text":       {"send_raw", map[string]any{"raw_bytes": []any{0, 4}}, ferric.CodeInvalid, ""},
		"raw no bytes":      {"send_raw", map[string]any{"raw_bytes": "zero four"}, ferric.CodeInvalid, ""},
		"raw unknown":       {"send_raw", map[string]any{"raw_bytes": "0x2e 0x01"}, ferric.CodeUnsupported, ""},
		"reset":             {"bmc_reset", nil, "", "Warm Reset"},
		"reset warm":        {"bmc_reset", map[string]any{"warm": true}, "", "Warm Reset"},
		"reset cold":        {"bmc_reset", map[string]any{"warm": false}, "", "Cold Reset"},
		"reset cold, text":  {"bmc_reset", map[string]any{"warm": "no"}, "", "Cold Reset"},
		"reset luke-warm":   {"bmc_reset", map[string]any{"warm": "luke"}, ferric.CodeInvalid, ""},
		"reset, not a bool": {"bmc_reset", map[string]any{"warm": []any{}}, ferric.CodeInvalid, ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			before := s.Stats().Commands[test.count]
			if err := call(test.method, test.args); ferric.ErrorCode(err) != test.want {
				t.Errorf("got %v, want code %q", err, test.want)
			}
			if got := s.Stats().Commands[test.count]; test.count != "" && got != before+1 {
				t.Errorf("the BMC got %s %d times more, want 1", test.count, got-before)
			}
		})
	}
	steps := v.Steps(machineFor(s), driver.CleanPhase)
	if len(steps) != 1 || steps[0].Name != "send_raw" || steps[0].Priority != 0 {
		t.Fatalf("clean steps: %+v", steps)
	}
	before := s.Stats().Commands["Chassis Identify"]
	out, err := steps[0].Run(t.Context(), &driver.Task{Machine: machineFor(s),
		Flow: &flow.Task{Step: &flow.Step{Args: map[string]any{"raw_bytes": "0 4 1"}}}})
	if err != nil || !out.IsDone() || s.Stats().Commands["Chassis Identify"] != before+1 {
		t.Errorf("the step: %v", err)
	}
}

// TestSetBootMode keeps the boot device and changes the flag beside it.
func TestSetBootMode(t *testing.T) {
	s, _ := newBMC(t, bmc.Options{})
	g := &ipmi.Management{Pool: newPool(t, ipmi.Options{})}
	m := machineFor(s)
	set := func(mode string, want [5]byte) {
		t.Helper()
		if err := g.SetBootMode(t.Context(), m, mode); err != nil {
			t.Fatal(err)
		}
		if got := s.Boot().Raw; got != want {
			t.Errorf("the BMC has % x, want % x", got, want)
		}
	}
	set("uefi", [5]byte{0xe0, 0x00}) // no device: for all boots
	if err := g.SetBootDevice(t.Context(), m, ferric.BootPXE, false); err != nil {
		t.Fatal(err)
	}
	set("bios", [5]byte{0x80, 0x04})
	set("uefi", [5]byte{0xa0, 0x04})
	if mode, err := g.BootMode(t.Context(), m); err != nil || mode != "" {
		t.Errorf("IPMI does not tell, but: %q, %v", mode, err)
	}
	if err := g.SetBootMode(t.Context(), m, "efi"); !ferric.IsCode(err, ferric.CodeInvalid) {
		t.Errorf("efi: %v", err)
	}
}

// TestVendorArguments are checked before anything is begun.
func TestVendorArguments(t *testing.T) {
	v := &ipmi.Vendor{}
	for name, c := range map[string]struct {
		method string
		args   map[string]any
		words  string // "": they are good
	}{
		"raw":             {"send_raw", map[string]any{"raw_bytes": "0x06 0x01"}, ""},
		"no bytes":        {"send_raw", nil, "Parameter raw_bytes (string of bytes) was not specified."},
		"no hexadecimals": {"send_raw", map[string]any{"raw_bytes": "six one"}, "six"},
		"reset":           {"bmc_reset", nil, ""},
		"cold":            {"bmc_reset", map[string]any{"warm": "false"}, ""},
		"neither nor":     {"bmc_reset", map[string]any{"warm": "tepid"}, "warm"},
	} {
		method, err := driver.FindMethod(v.Methods(), c.method, "post")
		if err != nil {
			t.Fatal(err)
		}
		err = method.Check(t.Context(), nil, c.args)
		if c.words == "" && err != nil || c.words != "" && (!ferric.IsCode(err, ferric.CodeInvalid) || !strings.Contains(err.Error(), c.words)) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
