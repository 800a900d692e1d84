package bmc_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"ferric"
	"ferric/lab/bmc"
)

// machine is a chassis that notes what is asked of it.
type machine struct {
	mu    sync.Mutex
	on    bool
	calls []string
	fail  error
	boots []bmc.Boot
	bmc   *bmc.Server
}

func (m *machine) Attach(s *bmc.Server) { m.bmc = s }

func (m *machine) PowerState(context.Context) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.on, nil
}

func (m *machine) note(call string, change func()) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.calls = append(m.calls, call)
	if m.fail == nil {
		change()
	}
	return m.fail
}

func (m *machine) boot() { m.boots = append(m.boots, m.bmc.TakeBoot()) }

func (m *machine) PowerOn(context.Context) error {
	return m.note("on", func() {
		if !m.on {
			m.on = true
			m.boot()
		}
	})
}
func (m *machine) PowerOff(context.Context) error { return m.note("off", func() { m.on = false }) }
func (m *machine) Reset(context.Context) error    { return m.note("reset", m.boot) }
func (m *machine) SoftOff(context.Context) error  { return m.note("soft", func() { m.on = false }) }
func (m *machine) NMI(context.Context) error      { return m.note("nmi", func() {}) }

// take returns the calls noted so far and forgets them.
func (m *machine) take() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := strings.Join(m.calls, " ")
	m.calls = nil
	return s
}

func (m *machine) lastBoot() bmc.Boot {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.boots) == 0 {
		return bmc.Boot{}
	}
	return m.boots[len(m.boots)-1]
}

const guid = "7c9e6679-7425-40de-944b-e07fc1f90ae7"

func start(t *testing.T, o bmc.Options) (*bmc.Server, *machine) {
	t.Helper()
	if o.Users == nil {
		o.Users = []bmc.User{{Name: "admin", Password: "correct horse bat"}, {Name: "oper", Password: "pw", Privilege: 3}, {Name: "viewer", Password: "pw", Privilege: 2}}
	}
	o.GUID = guid
	m := &machine{}
	s, err := bmc.Start(m, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s, m
}

// ipmitool is the real program, speaking to a server.
type ipmitool struct {
	t      *testing.T
	server *bmc.Server
	args   []string
}

func newIPMITool(t *testing.T, s *bmc.Server, suite int) ipmitool {
	t.Helper()
	if _, err := exec.LookPath("ipmitool"); err != nil {
		t.Skip("ipmitool is not installed: the virtual BMC is not proven against it")
	}
	return ipmitool{t: t, server: s, args: []string{"-C", fmt.Sprint(suite), "-U", "admin", "-P", "correct horse bat"}}
}

func (i ipmitool) try(command string) (string, error) {
	ctx, cancel := context.WithTimeout(i.t.Context(), time.Minute)
	defer cancel()
	addr := i.server.Addr()
	args := append([]string{"-I", "lanplus", "-H", addr.IP.String(), "-p", fmt.Sprint(addr.Port), "-N", "3"}, i.args...)
	out, err := exec.CommandContext(ctx, "ipmitool", append(args, strings.Fields(command)...)...).CombinedOutput()
	return string(out), err
}

// run runs a command and fails the test unless its output contains all texts.
func (i ipmitool) run(command string, want ...string) string {
	i.t.Helper()
	out, err := i.try(command)
	if err != nil {
		i.t.Fatalf("ipmitool %s: %v\n%s", command, err, out)
	}
	for _, w := range want {
		if !strings.Contains(out, w) {
			i.t.Errorf("ipmitool %s: output lacks %q:\n%s", command, w, out)
		}
	}
	return out
}

func TestIPMITool(t *testing.T) {
	for _, suite := range []int{3, 17} {
		t.Run(fmt.Sprintf("suite %d", suite), func(t *testing.T) {
			s, m := start(t, bmc.Options{Sensors: []bmc.Sensor{
				{Name: "CPU Temp", Kind: bmc.Temperature, Read: func() (float64, bool) { return 85, true }, UpperNonCritical: 80, UpperCritical: 90},
				{Name: "Fan 1", Kind: bmc.FanSpeed, Read: func() (float64, bool) { return 4200, true }, LowerCritical: 500},
				{Name: "12V", Kind: bmc.Volts, Read: func() (float64, bool) { return 12.1, true }},
				{Name: "PSU 1", Kind: bmc.Presence, Read: func() (float64, bool) { return 1, true }},
				{Name: "Dead", Kind: bmc.Temperature},
			}})
			i := newIPMITool(t, s, suite)
			i.run("power status", "Chassis Power is off")
			i.run("power on")
			i.run("power status", "Chassis Power is on")
			i.run("power cycle")
			i.run("power reset")
			i.run("power diag")
			i.run("power soft")
			i.run("power status", "Chassis Power is off")
			i.run("power off")
			if got, want := m.take(), "on off on reset nmi soft off"; got != want {
				t.Errorf("chassis calls: %s\nwant: %s", got, want)
			}
			i.run("chassis status", "System Power         : off", "Power Control Fault  : false")
			i.run("chassis identify 9")
			if !s.Identifying() {
				t.Error("the identification lamp is off")
			}
			i.run("chassis identify 0")
			if s.Identifying() {
				t.Error("the identification lamp is on")
			}
			i.run("mc info", "IPMI Version              : 2.0", "Firmware Revision         : 1.00", "Chassis Device")
			i.run("mc guid", guid)
			i.run("mc selftest", "Selftest: passed")
			i.run("sdr list", "CPU Temp         | 85 degrees C      | nc", "Fan 1            | 4200 RPM          | ok",
				"12V              | 12.10 Volts       | ok", "PSU 1            | 0x01              | ok", "Dead             | no reading        | ns")
			i.run("sdr -v", "Sensor Type (Threshold)  : Temperature (0x01)", "Upper critical        : 90.000", "Entity ID             : 3.1 (Processor)")
			i.run("sensor", "CPU Temp", "nc")
			i.run("user list 1", "admin", "ADMINISTRATOR", "oper")
			i.run("lan print 1", "127.0.0.1")
			i.run("raw 0x06 0x01", "20 01 01 00 02")
			out, err := i.try("raw 0x2e 0x01")
			if err == nil || !strings.Contains(out, "rsp=0xc1") {
				t.Errorf("an unknown command gave %v %s", err, out)
			}
			i.run("mc reset cold", "Sent cold reset command to MC")
			if got := m.take(); got != "" {
				t.Errorf("resetting the BMC did this to the machine: %s", got)
			}
		})
	}
}

func TestIPMIToolBoot(t *testing.T) {
	tests := map[string]struct {
		command string
		want    bmc.Boot
		show    []string
	}{
		"pxe once":            {"pxe", bmc.Boot{Valid: true, Device: "pxe"}, []string{"8004000000", "Force PXE", "apply to only next boot"}},
		"disk persistent":     {"disk options=persistent", bmc.Boot{Valid: true, Persistent: true, Device: "disk"}, []string{"c008000000", "all future boots"}},
		"disk efi":            {"disk options=efiboot", bmc.Boot{Valid: true, UEFI: true, Device: "disk"}, []string{"a008000000", "BIOS EFI boot"}},
		"cdrom both":          {"cdrom options=persistent,efiboot", bmc.Boot{Valid: true, Persistent: true, UEFI: true, Device: "cdrom"}, []string{"e014000000", "Force Boot from CD/DVD"}},
		"bios":                {"bios", bmc.Boot{Valid: true, Device: "bios"}, []string{"8018000000"}},
		"safe":                {"safe", bmc.Boot{Valid: true, Device: "safe"}, []string{"800c000000"}},
		"none, persistent":    {"none options=persistent", bmc.Boot{Valid: true, Persistent: true, Device: "none"}, []string{"c000000000"}},
		"clear CMOS and such": {"disk clear-cmos=yes", bmc.Boot{Valid: true, Device: "disk"}, []string{"8088000000"}},
	}
	s, m := start(t, bmc.Options{})
	i := newIPMITool(t, s, 17)
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			i := i
			i.t = t
			i.run("power off")
			i.run("chassis bootdev " + test.command)
			got := s.Boot()
			got.Raw = [5]byte{}
			if got != test.want {
				t.Errorf("the BMC has %+v, want %+v", got, test.want)
			}
			i.run("chassis bootparam get 5", test.show...)
			i.run("power on")
			got = m.lastBoot()
			got.Raw = [5]byte{}
			if got != test.want {
				t.Errorf("the machine booted with %+v, want %+v", got, test.want)
			}
			if after := s.Boot(); after.Valid != test.want.Persistent {
				t.Errorf("after the boot the override is %+v", after)
			}
		})
	}
}

func TestIPMIToolRefused(t *testing.T) {
	s, m := start(t, bmc.Options{CipherSuites: []int{17}})
	tests := map[string]struct {
		args    []string
		command string
		ok      bool
	}{
		"right password":           {[]string{"-C", "17", "-U", "admin", "-P", "correct horse bat"}, "power status", true},
		"wrong password":           {[]string{"-C", "17", "-U", "admin", "-P", "wrong"}, "power status", false},
		"unknown user":             {[]string{"-C", "17", "-U", "nobody", "-P", "wrong"}, "power status", false},
		"no user":                  {[]string{"-C", "17", "-U", "", "-P", ""}, "power status", false},
		"suite not offered":        {[]string{"-C", "3", "-U", "admin", "-P", "correct horse bat"}, "power status", false},
		"operator may switch":      {[]string{"-C", "17", "-U", "oper", "-P", "pw", "-L", "OPERATOR"}, "power on", true},
		"operator is no admin":     {[]string{"-C", "17", "-U", "oper", "-P", "pw", "-L", "ADMINISTRATOR"}, "power status", false},
		"viewer may look":          {[]string{"-C", "17", "-U", "viewer", "-P", "pw", "-L", "USER"}, "power status", true},
		"viewer may not switch":    {[]string{"-C", "17", "-U", "viewer", "-P", "pw", "-L", "USER"}, "power off", false},
		"operator cannot reset":    {[]string{"-C", "17", "-U", "oper", "-P", "pw", "-L", "OPERATOR"}, "raw 6 2", false},
		"IPMI 1.5 is switched off": {[]string{"-I", "lan", "-U", "admin", "-P", "correct horse bat"}, "power status", false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			i := newIPMITool(t, s, 17)
			i.args = append([]string{"-R", "1"}, test.args...)
			out, err := i.try(test.command)
			if (err == nil) != test.ok {
				t.Errorf("%s: %v\n%s", test.command, err, out)
			}
		})
	}
	if got := m.take(); got != "on" {
		t.Errorf("the machine was asked for %q, want only the operator's power on", got)
	}
}

func TestChassisFails(t *testing.T) {
	s, m := start(t, bmc.Options{})
	i := newIPMITool(t, s, 17)
	m.mu.Lock()
	m.fail = errors.New("burnt")
	m.mu.Unlock()
	if out, err := i.try("power on"); err == nil {
		t.Errorf("power on of a burnt machine succeeded: %s", out)
	}
	m.mu.Lock()
	m.fail, m.on = nil, false
	m.mu.Unlock()
	if out, err := i.try("power reset"); err == nil || !strings.Contains(out, "not supported in present state") {
		t.Errorf("reset of a machine that is off: %v %s", err, out)
	}
}

// slowMachine takes its time to power on, until the test lets it.
type slowMachine struct {
	machine
	gate chan struct{}
}

func (m *slowMachine) PowerOn(ctx context.Context) error {
	select {
	case <-m.gate:
	case <-ctx.Done():
		return ctx.Err()
	}
	return m.machine.PowerOn(ctx)
}

func TestSlowChassisIsAcknowledged(t *testing.T) {
	m := &slowMachine{gate: make(chan struct{})}
	s, err := bmc.Start(m, bmc.Options{Users: []bmc.User{{Name: "admin", Password: "correct horse bat"}}, AckWithin: 10 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	i := newIPMITool(t, s, 17)
	i.run("power on")
	i.run("power status", "is off")
	close(m.gate)
	for i.run("power status"); ; {
		if out := i.run("power status"); strings.Contains(out, "is on") {
			break
		}
	}
}

func TestConsole(t *testing.T) {
	near, far := net.Pipe()
	opened := make(chan struct{})
	s, _ := start(t, bmc.Options{Console: func(context.Context) (io.ReadWriteCloser, error) {
		close(opened)
		return near, nil
	}})
	defer far.Close()
	i := newIPMITool(t, s, 17)
	if _, err := exec.LookPath("script"); err != nil {
		t.Skip("script(1) is not installed: ipmitool sol needs a terminal")
	}
	addr := s.Addr()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	line := fmt.Sprintf("ipmitool -I lanplus -H %s -p %d %s sol activate", addr.IP, addr.Port, strings.ReplaceAll(strings.Join(i.args, " "), "correct horse bat", "'correct horse bat'"))
	cmd := exec.CommandContext(ctx, "script", "-qfec", line, "/dev/null")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	defer in.Close()
	var seen strings.Builder
	wait := func(text string) {
		t.Helper()
		b := make([]byte, 256)
		for !strings.Contains(seen.String(), text) {
			n, err := out.Read(b)
			seen.Write(b[:n])
			if err != nil {
				t.Fatalf("waiting for %q: %v; seen: %q", text, err, seen.String())
			}
		}
	}
	wait("SOL Session operational")
	<-opened
	go far.Write([]byte("login: "))
	wait("login: ")
	io.WriteString(in, "root")
	got := make([]byte, 4)
	far.SetReadDeadline(time.Now().Add(time.Minute))
	if _, err := io.ReadFull(far, got); err != nil || string(got) != "root" {
		t.Errorf("the machine got %q, %v", got, err)
	}
	io.WriteString(in, "\r~.")
	go io.Copy(io.Discard, far)
	wait("terminated ipmitool")
}

func TestOptions(t *testing.T) {
	user := []bmc.User{{Name: "a"}}
	tests := map[string]bmc.Options{
		"no users":      {},
		"long name":     {Users: []bmc.User{{Name: "seventeen letters"}}},
		"long password": {Users: []bmc.User{{Password: "twenty-one characters"}}},
		"privilege":     {Users: []bmc.User{{Privilege: 5}}},
		"suite":         {Users: user, CipherSuites: []int{4}},
		"suite zero":    {Users: user, CipherSuites: []int{0}},
		"GUID":          {Users: user, GUID: "xyz"},
		"same name":     {Users: []bmc.User{{Name: "a"}, {Name: "a"}}},
	}
	for name, o := range tests {
		t.Run(name, func(t *testing.T) {
			s, err := bmc.Start(&machine{}, o)
			if err == nil {
				s.Close()
			}
			if !ferric.IsCode(err, ferric.CodeInvalid) {
				t.Errorf("got %v, want a CodeInvalid", err)
			}
		})
	}
	if _, err := bmc.Start(&machine{}, bmc.Options{Users: user, Address: "192.0.2.1:0"}); !ferric.IsCode(err, ferric.CodeUnavailable) {
		t.Errorf("an address that is not ours: %v", err)
	}
}
