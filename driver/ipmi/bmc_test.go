package ipmi_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"ferric"
	"ferric/driver/ipmi"
	"ferric/lab/bmc"
)

// chassis is a virtual machine that notes what is asked of it.
type chassis struct {
	mu    sync.Mutex
	on    bool
	calls []string
}

func (c *chassis) note(call string, on bool) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls = append(c.calls, call)
	c.on = on
	return nil
}

func (c *chassis) PowerState(context.Context) (bool, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.on, nil
}
func (c *chassis) PowerOn(context.Context) error  { return c.note("on", true) }
func (c *chassis) PowerOff(context.Context) error { return c.note("off", false) }
func (c *chassis) Reset(context.Context) error    { return c.note("reset", true) }
func (c *chassis) SoftOff(context.Context) error  { return c.note("soft", false) }
func (c *chassis) NMI(context.Context) error      { return c.note("nmi", true) }

func (c *chassis) take() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := strings.Join(c.calls, " ")
	c.calls = nil
	return s
}

const (
	password   = "s3cret-pa55word"
	systemGUID = "7c9e6679-7425-40de-944b-e07fc1f90ae7"
)

func newBMC(tb testing.TB, o bmc.Options) (*bmc.Server, *chassis) {
	tb.Helper()
	if o.Users == nil {
		o.Users = []bmc.User{{Name: "admin", Password: password}, {Name: "oper", Password: "pw", Privilege: 3}}
	}
	o.GUID = systemGUID
	c := &chassis{}
	s, err := bmc.Start(c, o)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { s.Close() })
	return s, c
}

func infoFor(s *bmc.Server) ipmi.Info {
	addr := s.Addr()
	return ipmi.Info{Address: addr.IP.String(), Port: uint16(addr.Port), Username: "admin", Password: password}
}

func newPool(tb testing.TB, o ipmi.Options) *ipmi.Pool {
	tb.Helper()
	p := ipmi.NewPool(o)
	tb.Cleanup(p.Close)
	return p
}

func TestPower(t *testing.T) {
	for _, suite := range []int{0, 3, 17} {
		t.Run(fmt.Sprintf("suite %d", suite), func(t *testing.T) {
			s, c := newBMC(t, bmc.Options{})
			info := infoFor(s)
			info.CipherSuite = suite
			pool := newPool(t, ipmi.Options{})
			b := pool.BMC(info)
			ctx := t.Context()
			expect := func(want ferric.PowerState) {
				t.Helper()
				got, err := b.PowerState(ctx)
				if err != nil || got != want {
					t.Fatalf("power state %q, %v; want %q", got, err, want)
				}
			}
			expect(ferric.PowerOff)
			for _, a := range []ipmi.Action{ipmi.PowerUp, ipmi.PowerCycle, ipmi.HardReset, ipmi.DiagnosticInterrupt} {
				if err := b.Control(ctx, a); err != nil {
					t.Fatalf("%v: %v", a, err)
				}
			}
			expect(ferric.PowerOn)
			if err := b.Control(ctx, ipmi.SoftShutdown); err != nil {
				t.Fatal(err)
			}
			expect(ferric.PowerOff)
			if err := b.Control(ctx, ipmi.PowerDown); err != nil {
				t.Fatal(err)
			}
			if got, want := c.take(), "on off on reset nmi soft off"; got != want {
				t.Errorf("the machine was asked for %q, want %q", got, want)
			}
			if err := b.Control(ctx, ipmi.HardReset); !ferric.IsCode(err, ferric.CodeConflict) {
				t.Errorf("reset of a machine that is off: %v", err)
			}
			if err := b.Identify(ctx, 5); err != nil || !s.Identifying() {
				t.Errorf("identify: %v, lamp %v", err, s.Identifying())
			}
			if n := pool.Stats().Logins; n != 1 {
				t.Errorf("%d logins for one BMC, want one session reused", n)
			}
		})
	}
}

func TestSuiteFallback(t *testing.T) {
	tests := map[string]struct {
		offered []int
		mute    bool
		tried   []int
		node    int
		want    ferric.Code
		logins  int // requests for a session that reached the BMC
	}{
		"both, best first":         {offered: []int{3, 17}, logins: 1},
		"only 3, refused with why": {offered: []int{3}, logins: 2},
		"only 3, silently":         {offered: []int{3, 17}, mute: true, logins: 3},
		"only 17, order reversed":  {offered: []int{17}, tried: []int{3, 17}, logins: 2},
		"node wants 17, only 3":    {offered: []int{3}, node: 17, want: ferric.CodeUnsupported, logins: 1},
		"pool wants 3, only 17":    {offered: []int{17}, tried: []int{3}, want: ferric.CodeUnsupported, logins: 1},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			s, _ := newBMC(t, bmc.Options{CipherSuites: test.offered})
			s.SetFaults(bmc.Faults{MuteSuites: test.mute})
			pool := newPool(t, ipmi.Options{CipherSuites: test.tried, TryWait: 300 * time.Millisecond})
			info := infoFor(s)
			info.CipherSuite = test.node
			_, err := pool.BMC(info).PowerState(t.Context())
			if ferric.ErrorCode(err) != test.want {
				t.Errorf("got %v, want code %q", err, test.want)
			}
			if err != nil && !strings.Contains(err.Error(), "ipmi_cipher_suite") {
				t.Errorf("the message does not name the field: %v", err)
			}
			if got := s.Stats().Logins; got != test.logins {
				t.Errorf("%d requests for a session, want %d", got, test.logins)
			}
		})
	}
}

func TestSuiteIsRemembered(t *testing.T) {
	s, _ := newBMC(t, bmc.Options{CipherSuites: []int{3}})
	pool := newPool(t, ipmi.Options{})
	for range 2 {
		if _, err := pool.BMC(infoFor(s)).PowerState(t.Context()); err != nil {
			t.Fatal(err)
		}
		s.ForgetSessions()
		oper := infoFor(s) // other credentials: a new login
		oper.Username, oper.Password, oper.Privilege = "oper", "pw", ipmi.Operator
		if _, err := pool.BMC(oper).PowerState(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if got := s.Stats().Logins; got != 1+4 {
		t.Errorf("%d requests for a session, want 5: suite 17 only once", got)
	}
}

func TestBoot(t *testing.T) {
	tests := map[string]struct {
		set  ipmi.Boot
		raw  [5]byte
		want ipmi.Boot
	}{
		"pxe once":           {ipmi.Boot{Device: ferric.BootPXE}, [5]byte{0x80, 0x04}, ipmi.Boot{Device: ferric.BootPXE, Selector: 1, Valid: true}},
		"disk persistent":    {ipmi.Boot{Device: ferric.BootDisk, Persistent: true}, [5]byte{0xc0, 0x08}, ipmi.Boot{Device: ferric.BootDisk, Selector: 2, Persistent: true, Valid: true}},
		"pxe UEFI once":      {ipmi.Boot{Device: ferric.BootPXE, UEFI: true}, [5]byte{0xa0, 0x04}, ipmi.Boot{Device: ferric.BootPXE, Selector: 1, UEFI: true, Valid: true}},
		"disk UEFI for good": {ipmi.Boot{Device: ferric.BootDisk, UEFI: true, Persistent: true}, [5]byte{0xe0, 0x08}, ipmi.Boot{Device: ferric.BootDisk, Selector: 2, UEFI: true, Persistent: true, Valid: true}},
		"cdrom":              {ipmi.Boot{Device: ferric.BootCDROM}, [5]byte{0x80, 0x14}, ipmi.Boot{Device: ferric.BootCDROM, Selector: 5, Valid: true}},
		"bios":               {ipmi.Boot{Device: ferric.BootBIOS}, [5]byte{0x80, 0x18}, ipmi.Boot{Device: ferric.BootBIOS, Selector: 6, Valid: true}},
		"safe":               {ipmi.Boot{Device: ferric.BootSafe}, [5]byte{0x80, 0x0c}, ipmi.Boot{Device: ferric.BootSafe, Selector: 3, Valid: true}},
		"none":               {ipmi.Boot{}, [5]byte{0x80, 0x00}, ipmi.Boot{Valid: true}},
		"Supermicro's disk":  {ipmi.Boot{Device: ferric.BootDisk, Selector: ipmi.SelectorRemotePrimary, UEFI: true}, [5]byte{0xa0, 0x24}, ipmi.Boot{Selector: 9, UEFI: true, Valid: true}},
	}
	s, _ := newBMC(t, bmc.Options{})
	b := newPool(t, ipmi.Options{}).BMC(infoFor(s))
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if err := b.SetBoot(t.Context(), test.set); err != nil {
				t.Fatal(err)
			}
			if got := s.Boot().Raw; got != test.raw {
				t.Errorf("the BMC has % x, want % x", got, test.raw)
			}
			got, err := b.Boot(t.Context())
			if err != nil || got != test.want {
				t.Errorf("read back %+v, %v; want %+v", got, err, test.want)
			}
		})
	}
	err := b.SetBoot(t.Context(), ipmi.Boot{Device: "wanboot"})
	if !ferric.IsCode(err, ferric.CodeInvalid) || !strings.Contains(err.Error(), "wanboot") {
		t.Errorf("an unknown device: %v", err)
	}
}

// TestBootTimeout shows that the BMC is told to keep the boot flags for longer than 60 s, and that it is not told
// so where that is switched off.
func TestBootTimeout(t *testing.T) {
	tests := map[string]struct {
		keep   bool
		node   ipmi.Choice
		forgot bool
	}{
		"default":       {},
		"pool does not": {keep: true, forgot: true},
		"node does":     {keep: true, node: ipmi.Yes},
		"node does not": {node: ipmi.No, forgot: true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			var mu sync.Mutex
			now := time.Now()
			s, _ := newBMC(t, bmc.Options{Now: func() time.Time { mu.Lock(); defer mu.Unlock(); return now }})
			info := infoFor(s)
			info.DisableBootTimeout = test.node
			b := newPool(t, ipmi.Options{KeepBootTimeout: test.keep}).BMC(info)
			if err := b.SetBoot(t.Context(), ipmi.Boot{Device: ferric.BootPXE}); err != nil {
				t.Fatal(err)
			}
			mu.Lock()
			now = now.Add(61 * time.Second)
			mu.Unlock()
			if got := !s.Boot().Valid; got != test.forgot {
				t.Errorf("after 61 s the BMC has forgotten: %v, want %v", got, test.forgot)
			}
		})
	}
}

func TestIdentity(t *testing.T) {
	s, _ := newBMC(t, bmc.Options{})
	b := newPool(t, ipmi.Options{}).BMC(infoFor(s))
	d, err := b.Device(t.Context())
	if err != nil || d.IPMI != "2.0" || d.Manufacturer != 7154 || d.Firmware != "1.00" || !d.HasSDR {
		t.Errorf("device %+v, %v", d, err)
	}
	if guid, err := b.SystemGUID(t.Context()); err != nil || guid != systemGUID {
		t.Errorf("GUID %q, %v", guid, err)
	}
	if l, err := b.LAN(t.Context()); err != nil || l.Address.String() != "127.0.0.1" || l.MAC.String() != "52:54:00:bc:00:01" {
		t.Errorf("LAN %+v, %v", l, err)
	}
}

func TestRaw(t *testing.T) {
	s, _ := newBMC(t, bmc.Options{})
	b := newPool(t, ipmi.Options{}).BMC(infoFor(s))
	got, err := b.Raw(t.Context(), 0x06, 0x01, nil)
	if err != nil || len(got) != 11 || got[0] != 0x20 {
		t.Errorf("get device id: % x, %v", got, err)
	}
	if _, err := b.Raw(t.Context(), 0x00, 0x08, []byte{5, 0xe0, 0x08, 0, 0, 0}); err != nil || s.Boot().Raw != [5]byte{0xe0, 0x08} {
		t.Errorf("set boot flags: %v, % x", err, s.Boot().Raw)
	}
	for name, test := range map[string]struct {
		netFn, code byte
		data        []byte
		want        ferric.Code
	}{
		"unknown command": {0x2e, 0x01, nil, ferric.CodeUnsupported},
		"odd function":    {0x07, 0x01, nil, ferric.CodeInvalid},
		"too long":        {0x06, 0x01, make([]byte, 201), ferric.CodeInvalid},
		"wrong length":    {0x00, 0x08, []byte{5, 0}, ferric.CodeInvalid},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := b.Raw(t.Context(), test.netFn, test.code, test.data); !ferric.IsCode(err, test.want) {
				t.Errorf("got %v, want code %q", err, test.want)
			}
		})
	}
}

func TestSensors(t *testing.T) {
	s, _ := newBMC(t, bmc.Options{Sensors: []bmc.Sensor{
		{Name: "CPU Temp", Kind: bmc.Temperature, Read: func() (float64, bool) { return 85, true }, UpperNonCritical: 80, UpperCritical: 90},
		{Name: "Fan 1", Kind: bmc.FanSpeed, Read: func() (float64, bool) { return 400, true }, LowerCritical: 500},
		{Name: "12V", Kind: bmc.Volts, Read: func() (float64, bool) { return 12.1, true }},
		{Name: "PSU 1", Kind: bmc.Presence, Read: func() (float64, bool) { return 1, true }},
		{Name: "Dead", Kind: bmc.Temperature},
	}})
	sensors, err := newPool(t, ipmi.Options{}).BMC(infoFor(s)).Sensors(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]map[string]string{}
	for _, sensor := range sensors {
		group, id, fields := sensor.Ironic()
		got[group+" / "+id] = fields
	}
	want := map[string]map[string]string{
		"Temperature / CPU Temp (0x1)": {"Sensor ID": "CPU Temp (0x1)", "Entity ID": "3.1 (Processor)", "Sensor Type (Threshold)": "Temperature (0x01)",
			"Sensor Reading": "85 (+/- 0) degrees C", "Status": "nc", "Upper critical": "90.000", "Upper non-critical": "80.000"},
		"Fan / Fan 1 (0x2)": {"Sensor ID": "Fan 1 (0x2)", "Entity ID": "29.2 (Fan Device)", "Sensor Type (Threshold)": "Fan (0x04)",
			"Sensor Reading": "400 (+/- 0) RPM", "Status": "cr", "Lower critical": "500.000"},
		"Voltage / 12V (0x3)": {"Sensor ID": "12V (0x3)", "Entity ID": "20.3 (Power Module)", "Sensor Type (Threshold)": "Voltage (0x02)",
			"Sensor Reading": "12.1 (+/- 0) Volts", "Status": "ok"},
		"Power / PSU 1 (0x4)": {"Sensor ID": "PSU 1 (0x4)", "Entity ID": "10.4 (Power Supply)", "Sensor Type (Discrete)": "Power Supply (0x08)",
			"Sensor Reading": "1h", "States Asserted": "0x0001"},
		"Temperature / Dead (0x5)": {"Sensor ID": "Dead (0x5)", "Entity ID": "3.5 (Processor)", "Sensor Type (Threshold)": "Temperature (0x01)",
			"Sensor Reading": "No Reading", "Status": "ns"},
	}
	if diff := diff(want, got); diff != "" {
		t.Errorf("sensors (-want +got):\n%s", diff)
	}
}

func TestResetBMC(t *testing.T) {
	for _, warm := range []bool{false, true} {
		s, c := newBMC(t, bmc.Options{})
		b := newPool(t, ipmi.Options{}).BMC(infoFor(s))
		if err := b.Reset(t.Context(), warm); err != nil {
			t.Fatal(err)
		}
		if _, err := b.PowerState(t.Context()); err != nil {
			t.Errorf("after a reset: %v", err)
		}
		if got := c.take(); got != "" {
			t.Errorf("resetting the BMC did this to the machine: %s", got)
		}
		st := s.Stats()
		if st.Commands["Cold Reset"]+st.Commands["Warm Reset"] != 1 {
			t.Errorf("commands: %v", st.Commands)
		}
	}
}
