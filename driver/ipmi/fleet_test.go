package ipmi_test

import (
	"net"
	"net/netip"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"ferric"
	"ferric/driver/ipmi"
	"ferric/lab/bmc"
)

// newFleet starts a fleet on a port of its own.
func newFleet(tb testing.TB, o bmc.FleetOptions) *bmc.Fleet {
	tb.Helper()
	free, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	o.Port = free.LocalAddr().(*net.UDPAddr).Port
	free.Close()
	f, err := bmc.StartFleet(o)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(f.Close)
	return f
}

func fleetInfo(f *bmc.Fleet, index int) ipmi.Info {
	at := f.Addr(index)
	return ipmi.Info{Address: at.Addr().String(), Port: at.Port(), Username: f.User().Name, Password: ipmi.Secret(f.User().Password),
		Privilege: ipmi.Administrator}
}

// TestFleet uses the BMCs of a fleet as any others.
func TestFleet(t *testing.T) {
	f := newFleet(t, bmc.FleetOptions{Count: 300, On: 0.5})
	pool := newPool(t, ipmi.Options{TryWait: 10 * time.Second})
	on := 0
	for i := range f.Len() {
		info := fleetInfo(f, i)
		info.CipherSuite = []int{0, 3, 17}[i%3]
		b := pool.BMC(info)
		is, err := b.PowerState(t.Context())
		if err != nil {
			t.Fatalf("BMC %d: %v", i, err)
		}
		if (is == ferric.PowerOn) != f.Power(i) {
			t.Errorf("BMC %d says %q", i, is)
		}
		if is == ferric.PowerOn {
			on++
		}
		if err := b.Control(t.Context(), ipmi.PowerUp); err != nil || !f.Power(i) {
			t.Errorf("BMC %d: power on: %v", i, err)
		}
	}
	if on != 150 {
		t.Errorf("%d machines were on at first, want half of them", on)
	}
	if st := f.Stats(); st.Sessions != 300 || st.Logins != 300 || st.On != 300 {
		t.Errorf("stats: %+v", st)
	}
	b := pool.BMC(fleetInfo(f, 7))
	if err := b.SetBoot(t.Context(), ipmi.Boot{Device: ferric.BootPXE}); err != nil {
		t.Error(err)
	}
	if boot, err := b.Boot(t.Context()); err != nil || boot.Device != ferric.BootPXE {
		t.Errorf("boot device %+v, %v", boot, err)
	}
	if d, err := b.Device(t.Context()); err != nil || d.Manufacturer != 7154 {
		t.Errorf("device %+v, %v", d, err)
	}
	if _, err := b.Raw(t.Context(), 0x06, 0x7f, nil); !ferric.IsCode(err, ferric.CodeUnsupported) {
		t.Errorf("a command that there is not: %v", err)
	}
	wrong := fleetInfo(f, 8)
	wrong.Password = "wrong"
	if _, err := pool.BMC(wrong).PowerState(t.Context()); !ferric.IsCode(err, ferric.CodeUnauthorized) {
		t.Errorf("with a wrong password: %v", err)
	}
	wrong = fleetInfo(f, 9)
	wrong.Username = "nobody"
	if _, err := pool.BMC(wrong).PowerState(t.Context()); !ferric.IsCode(err, ferric.CodeUnauthorized) {
		t.Errorf("with a wrong name: %v", err)
	}
}

// TestFleetTroubles has a fleet lose datagrams, die and restart.
func TestFleetTroubles(t *testing.T) {
	f := newFleet(t, bmc.FleetOptions{Count: 60, Seed: 7, Loss: 0.05, Latency: time.Millisecond, Jitter: 2 * time.Millisecond})
	pool := newPool(t, ipmi.Options{TryWait: 50 * time.Millisecond, Tries: 8})
	all := func() (failed []int) {
		var mu sync.Mutex
		var wg sync.WaitGroup
		for i := range f.Len() {
			wg.Go(func() {
				if _, err := pool.BMC(fleetInfo(f, i)).PowerState(t.Context()); err != nil {
					mu.Lock()
					failed = append(failed, i)
					mu.Unlock()
				}
			})
		}
		wg.Wait()
		return failed
	}
	for range 3 {
		if failed := all(); failed != nil {
			t.Fatalf("no power state of %v", failed)
		}
	}
	if st := f.Stats(); st.Lost == 0 {
		t.Errorf("nothing was lost: %+v", st)
	}
	for i := range f.Len() {
		f.Restart(i)
	}
	if failed := all(); failed != nil {
		t.Fatalf("after a restart of the BMCs: no power state of %v", failed)
	}

	f.Kill(0.1)
	if st := f.Stats(); st.Dead != 6 {
		t.Errorf("%d are dead, want 6 of 60", st.Dead)
	}
	quick := newPool(t, ipmi.Options{TryWait: 20 * time.Millisecond, Tries: 2})
	for i := range f.Len() {
		if f.Dead(i) {
			if _, err := quick.BMC(fleetInfo(f, i)).PowerState(t.Context()); !ferric.IsCode(err, ferric.CodeUnavailable) {
				t.Errorf("dead BMC %d: %v", i, err)
			}
		}
	}
	same := newFleet(t, bmc.FleetOptions{Count: 60, Seed: 7, Dead: 0.1})
	other := newFleet(t, bmc.FleetOptions{Count: 60, Seed: 8, Dead: 0.1})
	differ := false
	for i := range f.Len() {
		if f.Dead(i) != same.Dead(i) {
			t.Errorf("with the same seed BMC %d is dead in one fleet only", i)
		}
		differ = differ || f.Dead(i) != other.Dead(i)
	}
	if !differ {
		t.Error("with another seed the same BMCs are dead")
	}
	f.Kill(0)
	if failed := all(); failed != nil {
		t.Errorf("back from the dead, but no power state of %v", failed)
	}
}

func TestFleetIsRefused(t *testing.T) {
	for name, o := range map[string]bmc.FleetOptions{
		"no BMCs":               {},
		"not loopback":          {Count: 1, First: netip.MustParseAddr("192.0.2.1")},
		"beyond loopback":       {Count: 10, First: netip.MustParseAddr("127.255.255.250")},
		"a share above 1":       {Count: 1, Dead: 1.5},
		"a negative share":      {Count: 1, Loss: -0.1},
		"too long a password":   {Count: 1, User: bmc.User{Name: "a", Password: strings.Repeat("x", 21)}},
		"a latency below zero":  {Count: 1, Latency: -1},
		"a port that is no one": {Count: 1, Port: 65536},
	} {
		t.Run(name, func(t *testing.T) {
			if f, err := bmc.StartFleet(o); !ferric.IsCode(err, ferric.CodeInvalid) {
				t.Errorf("got %v", err)
				if err == nil {
					f.Close()
				}
			}
		})
	}
}

// TestFleetIpmitool has ipmitool use a BMC of a fleet: so the fleet does not only please our own client.
func TestFleetIpmitool(t *testing.T) {
	tool, err := exec.LookPath("ipmitool")
	if err != nil {
		t.Skip("ipmitool is not installed")
	}
	f := newFleet(t, bmc.FleetOptions{Count: 3})
	for _, c := range []struct {
		suite string
		args  []string
		want  string
	}{
		{"", []string{"power", "on"}, "Up/On"},
		{"3", []string{"power", "status"}, "is on"},
		{"17", []string{"chassis", "bootdev", "pxe", "options=efiboot"}, "Set Boot Device to pxe"},
		{"17", []string{"chassis", "bootparam", "get", "5"}, "Force PXE"},
		{"17", []string{"mc", "info"}, "7154"},
	} {
		at := f.Addr(2)
		args := []string{"-I", "lanplus", "-H", at.Addr().String(), "-p", strconv.Itoa(int(at.Port())), "-U", f.User().Name, "-P", f.User().Password}
		if c.suite != "" {
			args = append(args, "-C", c.suite)
		}
		out, err := exec.CommandContext(t.Context(), tool, append(args, c.args...)...).CombinedOutput()
		if err != nil || !strings.Contains(string(out), c.want) {
			t.Errorf("ipmitool %v: %v: %s", c.args, err, out)
		}
	}
	if !f.Power(2) || f.Power(1) {
		t.Error("the wrong machine was switched on")
	}
}
