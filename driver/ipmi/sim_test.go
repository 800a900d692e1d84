package ipmi_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ferric"
	"ferric/driver/ipmi"
)

// chassisControl is the program that ipmi_sim calls. It keeps its state in files beside itself and notes each
// change in "log".
const chassisControl = `#!/bin/sh
dir=$(dirname "$0")
case $1 in 0x*) shift ;; esac # the controller's address, which some versions give
op=$1
shift
while [ $# -gt 0 ]; do
	case $op in
	get)
		case $1 in
		power) echo "power:$(cat "$dir/power")" ;;
		boot) echo "boot:$(cat "$dir/boot")" ;;
		esac
		shift ;;
	set)
		echo "$1 $2" >>"$dir/log"
		case $1 in
		power) echo "$2" >"$dir/power" ;;
		shutdown) echo 0 >"$dir/power" ;;
		boot) echo "$2" >"$dir/boot" ;;
		esac
		shift 2 ;;
	*) shift ;;
	esac
done
exit 0
`

// cpuRecord is the full sensor record (43.1) of sensor 1: "CPU Temp", degrees C, raw value - 5, upper critical 80,
// upper non-critical 70 (raw 85 and 75).
const cpuRecord = `0x00 0x00 0x51 0x01 0x33 0x20 0x00 0x01 0x03 0x01 0x7f 0x68 0x01 0x01 0x00 0x00 0x00 0x00 0x18 0x00 ` +
	`0x00 0x01 0x00 0x00 0x01 0x00 0xfb 0xc0 0x00 0x00 0x00 0x00 0x00 0x00 0xff 0x00 0x5f 0x55 0x4b 0x00 0x00 0x00 0x00 0x00 ` +
	`0x00 0x00 0x00 0xc8 0x43 0x50 0x55 0x20 0x54 0x65 0x6d 0x70`

// simulator is OpenIPMI's ipmi_sim: a BMC that was not written by us nor by the authors of go-ipmi. It knows cipher
// suite 3 only.
type simulator struct {
	dir  string
	port uint16
	// serial accepts the connection that the simulator makes for serial over LAN.
	serial net.Listener
}

func startSimulator(t *testing.T) simulator {
	t.Helper()
	program, err := exec.LookPath("ipmi_sim")
	if err != nil {
		t.Skip("ipmi_sim (Debian package openipmi) is not installed: the client is not proven against foreign code")
	}
	dir := t.TempDir()
	serial, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { serial.Close() })
	s := simulator{dir: dir, port: freePort(t), serial: serial}
	lan := fmt.Sprintf(`name "lab"
set_working_mc 0x20
  startlan 1
    addr 127.0.0.1 %d
    priv_limit admin
    allowed_auths_admin none md2 md5 straight
    guid a123456789abcdefa123456789abcd01
  endlan
  chassis_control "%s/chassis_control"
  sol "tcp:127.0.0.1:%d" 115200
  user 2 true "admin" "%s" admin 10 none md2 md5 straight
  user 3 true "oper" "pw" operator 10 none md2 md5 straight
`, s.port, dir, serial.Addr().(*net.TCPAddr).Port, password)
	emu := `mc_setbmc 0x20
mc_add 0x20 0 no-device-sdrs 0x23 9 8 0x9f 0x1291 0xf02 persist_sdr
sel_enable 0x20 1000 0x0a
sensor_add 0x20 0 1 0x01 0x01 poll 1000 file "` + dir + `/cputemp"
sensor_set_threshold 0x20 0 1 settable 111000 90 80 70 00 00 00
sensor_set_event_support 0x20 0 1 enable scanning per-state 000111111000000 000111111000000 000111111000000 000111111000000
main_sdr_add 0x20 ` + cpuRecord + `
mc_enable 0x20
`
	for name, content := range map[string]string{
		"lan.conf": lan, "emu.cmd": emu, "chassis_control": chassisControl, "power": "0", "boot": "default", "cputemp": "42\n", "log": "",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command(program, "-n", "-c", dir+"/lan.conf", "-f", dir+"/emu.cmd", "-s", dir+"/state")
	stdin, err := cmd.StdinPipe() // at end of input ipmi_sim goes away
	if err != nil {
		t.Fatal(err)
	}
	var output strings.Builder
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stdin.Close()
		cmd.Process.Kill()
		cmd.Wait()
		if t.Failed() {
			t.Logf("ipmi_sim said:\n%s", output.String())
		}
	})
	return s
}

func freePort(t *testing.T) uint16 {
	t.Helper()
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	return uint16(c.LocalAddr().(*net.UDPAddr).Port)
}

func (s simulator) info() ipmi.Info {
	return ipmi.Info{Address: "127.0.0.1", Port: s.port, Username: "admin", Password: password}
}

func (s simulator) file(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(s.dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// waitReady waits for ipmi_sim to listen.
func (s simulator) waitReady(t *testing.T, pool *ipmi.Pool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for {
		_, err := pool.BMC(s.info()).PowerState(ctx)
		if err == nil {
			return
		}
		if ctx.Err() != nil {
			t.Fatalf("ipmi_sim does not come up: %v", err)
		}
	}
}

func TestSimulator(t *testing.T) {
	s := startSimulator(t)
	pool := newPool(t, ipmi.Options{})
	s.waitReady(t, pool)
	b := pool.BMC(s.info())
	ctx := t.Context()

	power := func(want ferric.PowerState) {
		t.Helper()
		ctx, cancel := context.WithTimeout(ctx, time.Minute)
		defer cancel()
		for {
			got, err := b.PowerState(ctx)
			if err != nil {
				t.Fatalf("power state: %v; want %q", err, want)
			}
			if got == want {
				return
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
	control := func(a ipmi.Action) {
		t.Helper()
		if err := b.Control(ctx, a); err != nil {
			t.Fatalf("%v: %v", a, err)
		}
	}
	power(ferric.PowerOff)
	control(ipmi.PowerUp)
	power(ferric.PowerOn)
	control(ipmi.HardReset)
	control(ipmi.SoftShutdown)
	power(ferric.PowerOff)
	control(ipmi.PowerUp)
	power(ferric.PowerOn)
	control(ipmi.PowerDown)
	power(ferric.PowerOff)
	if got, want := s.file(t, "log"), "power 1\nreset 1\nshutdown 1\npower 1\npower 0\n"; got != want {
		t.Errorf("the simulator did:\n%swant:\n%s", got, want)
	}
	if err := b.Control(ctx, ipmi.DiagnosticInterrupt); !ferric.IsCode(err, ferric.CodeUnsupported) {
		t.Errorf("NMI, which ipmi_sim does not have: %v", err)
	}

	// It keeps the device, not the flags.
	for device, word := range map[ferric.BootDevice]string{ferric.BootPXE: "pxe", ferric.BootDisk: "default", ferric.BootCDROM: "cdrom", ferric.BootBIOS: "bios"} {
		if err := b.SetBoot(ctx, ipmi.Boot{Device: device}); err != nil {
			t.Errorf("set boot device %s: %v", device, err)
		}
		if got := strings.TrimSpace(s.file(t, "boot")); got != word {
			t.Errorf("set boot device %s: the simulator has %q, want %q", device, got, word)
		}
		if got, err := b.Boot(ctx); err != nil || got.Device != device {
			t.Errorf("boot device %+v, %v; want %s", got, err, device)
		}
	}

	d, err := b.Device(ctx)
	if err != nil || d.Manufacturer != 0x1291 || d.Product != 0xf02 || d.IPMI != "2.0" || d.Firmware != "9.08" {
		t.Errorf("device: %+v, %v", d, err)
	}
	if guid, err := b.SystemGUID(ctx); err != nil || len(guid) != 36 {
		t.Errorf("GUID: %q, %v", guid, err)
	}
	if l, err := b.LAN(ctx); err != nil || l.Address.String() != "0.0.0.0" { // lan.conf's addr is not in its parameters
		t.Errorf("LAN address: %+v, %v", l, err)
	}
	if raw, err := b.Raw(ctx, 0x06, 0x01, nil); err != nil || len(raw) < 11 || raw[0] != 0x00 {
		t.Errorf("raw get device id: % x, %v", raw, err)
	}
	if _, err := b.Raw(ctx, 0x06, 0x7f, nil); !ferric.IsCode(err, ferric.CodeUnsupported) {
		t.Errorf("an unknown raw command: %v", err)
	}
	if err := b.Reset(ctx, false); !ferric.IsCode(err, ferric.CodeUnsupported) {
		t.Errorf("reset of the BMC, which ipmi_sim does not have: %v", err)
	}
	// The reading follows the file within a second.
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		sensors, err := b.Sensors(ctx)
		if err != nil || len(sensors) != 1 {
			t.Fatalf("sensors: %+v, %v", sensors, err)
		}
		if got := sensors[0]; got.Available || time.Now().After(deadline) {
			want := ipmi.Sensor{Name: "CPU Temp", Number: 1, Entity: 3, Instance: 1, Type: 1, Threshold: true, Available: true, Value: 37, Numeric: true,
				Unit: "degrees C", Limits: map[string]float64{"Upper critical": 80, "Upper non-critical": 70}, Status: "ok"}
			if d := diff(want, got); d != "" {
				t.Errorf("sensor (-want +got):\n%s", d)
			}
			break
		}
	}
	if n := pool.Stats().Logins; n > 2 {
		t.Errorf("%d logins, want one session reused", n)
	}
}

func TestSimulatorRefuses(t *testing.T) {
	s := startSimulator(t)
	pool := newPool(t, ipmi.Options{})
	s.waitReady(t, pool)
	tests := map[string]struct {
		change func(*ipmi.Info)
		want   ferric.Code
		names  string
	}{
		"wrong password": {func(i *ipmi.Info) { i.Password = "wr0ng-pa55word" }, ferric.CodeUnauthorized, "ipmi_password"},
		"unknown user":   {func(i *ipmi.Info) { i.Username = "nobody" }, ferric.CodeUnauthorized, "ipmi_username"},
		"null user":      {func(i *ipmi.Info) { i.Username, i.Password = "", "" }, ferric.CodeUnauthorized, "ipmi_username"},
		"suite 17":       {func(i *ipmi.Info) { i.CipherSuite = 17 }, ferric.CodeUnsupported, "ipmi_cipher_suite"},
		"operator":       {func(i *ipmi.Info) { i.Username, i.Password, i.Privilege = "oper", "pw", ipmi.Operator }, "", ""},
		"suite 3":        {func(i *ipmi.Info) { i.CipherSuite = 3 }, "", ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			info := s.info()
			test.change(&info)
			_, err := pool.BMC(info).PowerState(t.Context())
			if ferric.ErrorCode(err) != test.want {
				t.Fatalf("got %v (%s), want code %q", err, ferric.ErrorCode(err), test.want)
			}
			if err == nil {
				return
			}
			if !strings.Contains(err.Error(), test.names) || !strings.Contains(err.Error(), info.Endpoint()) {
				t.Errorf("the message names neither field nor BMC: %v", err)
			}
			if info.Password != "" && strings.Contains(err.Error(), string(info.Password)) {
				t.Errorf("the password is in the message: %v", err)
			}
		})
	}
}
