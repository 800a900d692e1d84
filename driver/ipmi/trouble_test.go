package ipmi_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"ferric"
	"ferric/driver/ipmi"
	"ferric/lab/bmc"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// quick are options with short waits, for tests in which a BMC keeps silent.
var quick = ipmi.Options{TryWait: 50 * time.Millisecond, Tries: 2}

// udpServer answers each datagram with those that answer returns.
func udpServer(t *testing.T, answer func(request []byte) [][]byte) ipmi.Info {
	t.Helper()
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		buffer := make([]byte, 2048)
		for {
			n, from, err := c.ReadFrom(buffer)
			if err != nil {
				return
			}
			for _, reply := range answer(buffer[:n]) {
				c.WriteTo(reply, from)
			}
		}
	}()
	t.Cleanup(func() { c.Close(); <-done })
	return ipmi.Info{Address: "127.0.0.1", Port: uint16(c.LocalAddr().(*net.UDPAddr).Port), Username: "admin", Password: password}
}

func TestUnreachable(t *testing.T) {
	silent := func([]byte) [][]byte { return nil }
	noise := func([]byte) [][]byte {
		var replies [][]byte
		for size := range 80 {
			b := make([]byte, size)
			rand.Read(b)
			replies = append(replies, b)
		}
		return replies
	}
	echo := func(request []byte) [][]byte {
		return [][]byte{request, append([]byte(nil), request[:len(request)/2]...)}
	}
	tests := map[string]struct {
		info func(t *testing.T) ipmi.Info
		says string
	}{
		"silent":       {func(t *testing.T) ipmi.Info { return udpServer(t, silent) }, "does not answer"},
		"noise":        {func(t *testing.T) ipmi.Info { return udpServer(t, noise) }, "does not answer"},
		"echo":         {func(t *testing.T) ipmi.Info { return udpServer(t, echo) }, "does not answer"},
		"closed port":  {func(t *testing.T) ipmi.Info { return ipmi.Info{Address: "127.0.0.1", Port: freePort(t)} }, "nothing listens"},
		"unknown name": {func(t *testing.T) ipmi.Info { return ipmi.Info{Address: "bmc.invalid"} }, "bmc.invalid"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			info := test.info(t)
			_, err := newPool(t, quick).BMC(info).PowerState(t.Context())
			if !ferric.IsCode(err, ferric.CodeUnavailable) || !strings.Contains(err.Error(), test.says) || !strings.Contains(err.Error(), info.Endpoint()) {
				t.Errorf("got %v (%s)", err, ferric.ErrorCode(err))
			}
		})
	}
}

// TestDeadline shows that a caller's deadline and cancellation end an operation at once, whatever the BMC does.
func TestDeadline(t *testing.T) {
	flood := func([]byte) [][]byte { // more than can be read
		replies := make([][]byte, 500)
		for i := range replies {
			replies[i] = []byte{0x06, 0x00, 0xff, 0x07, 0x06, 0x11, 0, 0}
		}
		return replies
	}
	for name, answer := range map[string]func([]byte) [][]byte{"silent": func([]byte) [][]byte { return nil }, "flood": flood} {
		t.Run(name, func(t *testing.T) {
			pool := newPool(t, ipmi.Options{TryWait: time.Hour})
			info := udpServer(t, answer)
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			defer cancel()
			if _, err := pool.BMC(info).PowerState(ctx); !ferric.IsCode(err, ferric.CodeTimeout) {
				t.Errorf("deadline: %v (%s)", err, ferric.ErrorCode(err))
			}
			ctx, cancel = context.WithCancel(t.Context())
			time.AfterFunc(50*time.Millisecond, cancel)
			if _, err := pool.BMC(info).PowerState(ctx); !ferric.IsCode(err, ferric.CodeTimeout) {
				t.Errorf("cancellation: %v (%s)", err, ferric.ErrorCode(err))
			}
			own := newPool(t, ipmi.Options{TryWait: time.Hour, OperationTimeout: 50 * time.Millisecond})
			if _, err := own.BMC(info).PowerState(t.Context()); !ferric.IsCode(err, ferric.CodeTimeout) {
				t.Errorf("the pool's own limit: %v (%s)", err, ferric.ErrorCode(err))
			}
		})
	}
}

// TestLoss drops datagrams at every point of a login and of commands, in both directions.
func TestLoss(t *testing.T) {
	for _, replies := range []bool{false, true} {
		for nth := range 8 {
			t.Run(fmt.Sprintf("replies %v, datagram %d", replies, nth), func(t *testing.T) {
				s, c := newBMC(t, bmc.Options{})
				pool := newPool(t, ipmi.Options{TryWait: 100 * time.Millisecond})
				// The relay drops one datagram.
				info := relay(t, s, func(fromBMC bool, n int) bool { return fromBMC == replies && n == nth })
				b := pool.BMC(info)
				if err := b.Control(t.Context(), ipmi.PowerUp); err != nil {
					t.Fatal(err)
				}
				if got, err := b.PowerState(t.Context()); err != nil || got != ferric.PowerOn {
					t.Errorf("power state %q, %v", got, err)
				}
				if got := c.take(); got != "on" && got != "on on" {
					t.Errorf("the machine was asked for %q", got)
				}
			})
		}
	}
}

// relay passes datagrams between a client and a server, except those that drop tells it to lose: the nth (from
// 0) in a direction.
func relay(t *testing.T, s *bmc.Server, drop func(fromBMC bool, n int) bool) ipmi.Info {
	t.Helper()
	front, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	back, err := net.DialUDP("udp", nil, s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	var client *net.UDPAddr
	counts := map[bool]int{}
	lose := func(fromBMC bool) bool {
		mu.Lock()
		defer mu.Unlock()
		counts[fromBMC]++
		return drop(fromBMC, counts[fromBMC]-1)
	}
	wg.Go(func() {
		buffer := make([]byte, 2048)
		for {
			n, from, err := front.ReadFromUDP(buffer)
			if err != nil {
				return
			}
			mu.Lock()
			client = from
			mu.Unlock()
			if !lose(false) {
				back.Write(buffer[:n])
			}
		}
	})
	wg.Go(func() {
		buffer := make([]byte, 2048)
		for {
			n, err := back.Read(buffer)
			if err != nil {
				return
			}
			mu.Lock()
			to := client
			mu.Unlock()
			if !lose(true) {
				front.WriteToUDP(buffer[:n], to)
			}
		}
	})
	t.Cleanup(func() { front.Close(); back.Close(); wg.Wait() })
	info := infoFor(s)
	info.Port = uint16(front.LocalAddr().(*net.UDPAddr).Port)
	return info
}

// TestOnce shows that a power cycle is never done twice, and that its outcome is reported as unknown when the
// answer is lost.
func TestOnce(t *testing.T) {
	s, c := newBMC(t, bmc.Options{})
	b := newPool(t, quick).BMC(infoFor(s))
	if err := b.Control(t.Context(), ipmi.PowerUp); err != nil {
		t.Fatal(err)
	}
	c.take()
	s.SetFaults(bmc.Faults{DropReplies: 1000})
	err := b.Control(t.Context(), ipmi.PowerCycle)
	if !ferric.IsCode(err, ferric.CodeTimeout) || !strings.Contains(err.Error(), "may have been executed") {
		t.Errorf("answer lost: %v (%s)", err, ferric.ErrorCode(err))
	}
	s.SetFaults(bmc.Faults{})
	if got := c.take(); got != "off on" {
		t.Errorf("the machine was asked for %q, want one power cycle", got)
	}
	s.SetFaults(bmc.Faults{DropRequests: 1})
	if err := b.Control(t.Context(), ipmi.HardReset); err != nil {
		t.Errorf("request lost once: %v", err)
	}
	if got := c.take(); got != "reset" {
		t.Errorf("the machine was asked for %q, want one reset", got)
	}
}

func TestGarbageBetweenReplies(t *testing.T) {
	for _, suite := range []int{3, 17} {
		s, _ := newBMC(t, bmc.Options{CipherSuites: []int{suite}})
		s.SetFaults(bmc.Faults{Garbage: 8})
		b := newPool(t, ipmi.Options{CipherSuites: []int{suite}}).BMC(infoFor(s))
		for range 50 {
			if _, err := b.PowerState(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestSessionLost shows the login anew when the BMC has forgotten its sessions, for commands that may be repeated
// and for those that may not.
func TestSessionLost(t *testing.T) {
	s, c := newBMC(t, bmc.Options{})
	pool := newPool(t, ipmi.Options{TryWait: 50 * time.Millisecond})
	b := pool.BMC(infoFor(s))
	for i := range 3 {
		if _, err := b.PowerState(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := pool.Stats().Logins; got != int64(i+1) {
			t.Errorf("%d logins, want %d", got, i+1)
		}
		s.ForgetSessions()
	}
	if _, err := b.PowerState(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.ForgetSessions()
	time.Sleep(2100 * time.Millisecond) // an old session is tried before a command that must not run twice
	if err := b.Control(t.Context(), ipmi.PowerUp); err != nil {
		t.Fatal(err)
	}
	s.ForgetSessions()
	time.Sleep(2100 * time.Millisecond)
	if err := b.Control(t.Context(), ipmi.HardReset); err != nil {
		t.Errorf("hard reset in a forgotten session: %v", err)
	}
	if got := c.take(); got != "on reset" {
		t.Errorf("the machine was asked for %q", got)
	}
}

func TestBreaker(t *testing.T) {
	s, _ := newBMC(t, bmc.Options{})
	o := quick
	o.BreakerAfter, o.BreakerWait = 2, time.Hour
	pool := newPool(t, o)
	b := pool.BMC(infoFor(s))
	s.SetFaults(bmc.Faults{Silent: true})
	for range 2 {
		if _, err := b.Periodic().PowerState(t.Context()); !ferric.IsCode(err, ferric.CodeUnavailable) {
			t.Fatal(err)
		}
	}
	before := pool.Stats().Datagrams
	_, err := b.Periodic().PowerState(t.Context())
	if !ferric.IsCode(err, ferric.CodeUnavailable) || !strings.Contains(err.Error(), "left alone") {
		t.Errorf("got %v", err)
	}
	if sent := pool.Stats().Datagrams - before; sent != 0 {
		t.Errorf("%d datagrams were sent to a BMC that is left alone", sent)
	}
	if _, err := b.PowerState(t.Context()); !ferric.IsCode(err, ferric.CodeUnavailable) || pool.Stats().Datagrams == before {
		t.Errorf("an interactive operation must try: %v", err)
	}
	s.SetFaults(bmc.Faults{})
	wrong := infoFor(s)
	wrong.Password = "wr0ng"
	if _, err := pool.BMC(wrong).PowerState(t.Context()); !ferric.IsCode(err, ferric.CodeUnauthorized) {
		t.Errorf("the BMC is back, but not for this password: %v", err)
	}
	if _, err := b.Periodic().PowerState(t.Context()); err != nil {
		t.Errorf("the BMC is back, periodic: %v", err)
	}
}

// TestDenied shows that periodic work does not repeat a login that was refused, which would get the account locked,
// and that an operator, or a corrected password, goes through.
func TestDenied(t *testing.T) {
	s, _ := newBMC(t, bmc.Options{})
	pool := newPool(t, ipmi.Options{})
	wrong := infoFor(s)
	wrong.Password = "wr0ng-pa55word"
	for i := range 4 {
		_, err := pool.BMC(wrong).Periodic().PowerState(t.Context())
		if !ferric.IsCode(err, ferric.CodeUnauthorized) || strings.Contains(err.Error(), string(wrong.Password)) {
			t.Errorf("try %d: %v", i, err)
		}
	}
	if got := s.Stats().Logins; got != 1 {
		t.Errorf("%d logins with a wrong password, want 1", got)
	}
	if _, err := pool.BMC(wrong).PowerState(t.Context()); !ferric.IsCode(err, ferric.CodeUnauthorized) || s.Stats().Logins != 2 {
		t.Errorf("interactive: %v, %d logins", err, s.Stats().Logins)
	}
	if _, err := pool.BMC(infoFor(s)).Periodic().PowerState(t.Context()); err != nil {
		t.Errorf("corrected password: %v", err)
	}
}

func TestRefused(t *testing.T) {
	tests := map[string]struct {
		bmc    bmc.Options
		faults bmc.Faults
		change func(*ipmi.Info)
		want   ferric.Code
		says   string
	}{
		"wrong password":   {change: func(i *ipmi.Info) { i.Password = "wr0ng" }, want: ferric.CodeUnauthorized, says: "refused the user name or password"},
		"no password":      {change: func(i *ipmi.Info) { i.Password = "" }, want: ferric.CodeUnauthorized, says: "ipmi_password"},
		"unknown user":     {change: func(i *ipmi.Info) { i.Username = "root" }, want: ferric.CodeUnauthorized, says: "ipmi_username"},
		"operator as such": {change: func(i *ipmi.Info) { i.Username, i.Password, i.Privilege = "oper", "pw", ipmi.Operator }},
		"operator as administrator": {change: func(i *ipmi.Info) { i.Username, i.Password = "oper", "pw" }, want: ferric.CodeUnauthorized,
			says: "privilege level ADMINISTRATOR"},
		"two keys":          {bmc: bmc.Options{Key: "kg kg"}, change: func(i *ipmi.Info) { i.Key = "kg kg" }},
		"two keys, no key":  {bmc: bmc.Options{Key: "kg kg"}, want: ferric.CodeUnauthorized, says: "ipmi_hex_kg_key"},
		"two keys, wrong":   {bmc: bmc.Options{Key: "kg kg"}, change: func(i *ipmi.Info) { i.Key = "gk" }, want: ferric.CodeUnauthorized, says: "ipmi_hex_kg_key"},
		"no free session":   {faults: bmc.Faults{RefuseSession: 0x01}, want: ferric.CodeBusy, says: "no free session"},
		"strange refusal":   {faults: bmc.Faults{RefuseSession: 0x77}, want: ferric.CodeUnavailable, says: "0x77"},
		"IPMI 1.5 suite":    {faults: bmc.Faults{RefuseSession: 0x11}, want: ferric.CodeUnsupported, says: "17, 3"},
		"all suites muted":  {faults: bmc.Faults{MuteSuites: true}, change: func(i *ipmi.Info) { i.CipherSuite = 17 }, want: ferric.CodeUnavailable, says: "is there but"},
		"level of the user": {change: func(i *ipmi.Info) { i.Privilege = ipmi.User }},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			s, _ := newBMC(t, test.bmc)
			s.SetFaults(test.faults)
			info := infoFor(s)
			if test.change != nil {
				test.change(&info)
			}
			_, err := newPool(t, quick).BMC(info).PowerState(t.Context())
			if ferric.ErrorCode(err) != test.want {
				t.Fatalf("got %v (%s), want code %q", err, ferric.ErrorCode(err), test.want)
			}
			if err != nil && (!strings.Contains(err.Error(), test.says) || !strings.Contains(err.Error(), info.Endpoint())) {
				t.Errorf("the message lacks %q or the BMC: %v", test.says, err)
			}
		})
	}
	t.Run("privilege for a command", func(t *testing.T) {
		s, c := newBMC(t, bmc.Options{})
		info := infoFor(s)
		info.Privilege = ipmi.User
		err := newPool(t, quick).BMC(info).Control(t.Context(), ipmi.PowerUp)
		if !ferric.IsCode(err, ferric.CodeUnauthorized) || !strings.Contains(err.Error(), "privilege level USER") || c.take() != "" {
			t.Errorf("got %v", err)
		}
	})
}

// TestNoSecrets gathers what is logged and every error of this package's worst moments.
func TestNoSecrets(t *testing.T) {
	var log strings.Builder
	var mu sync.Mutex
	o := quick
	o.BreakerAfter = 1
	o.Logger = slog.New(slog.NewTextHandler(writer(func(p []byte) (int, error) {
		mu.Lock()
		defer mu.Unlock()
		return log.Write(p)
	}), &slog.HandlerOptions{Level: slog.LevelDebug}))
	pool := newPool(t, o)
	s, _ := newBMC(t, bmc.Options{})
	wrong := infoFor(s)
	wrong.Password, wrong.Key = "s3cret-wrong", "s3cret-key"
	all := fmt.Sprintf("%v %+v %#v %s", wrong, wrong, wrong, wrong.Password)
	for _, faults := range []bmc.Faults{{}, {Silent: true}, {RefuseSession: 1}, {Garbage: 4}} {
		s.SetFaults(faults)
		for _, info := range []ipmi.Info{wrong, infoFor(s)} {
			for _, b := range []ipmi.BMC{pool.BMC(info), pool.BMC(info).Periodic()} {
				_, err := b.PowerState(t.Context())
				all += fmt.Sprintf("%v %+v\n", err, err)
			}
		}
	}
	mu.Lock()
	defer mu.Unlock()
	all += log.String()
	if !strings.Contains(all, "does not answer") || !strings.Contains(all, "IPMI session opened") {
		t.Errorf("the test does not see what it should:\n%s", all)
	}
	if strings.Contains(all, "s3cret") || strings.Contains(all, fmt.Sprintf("%x", password)) {
		t.Errorf("a secret came out:\n%s", all)
	}
}

type writer func([]byte) (int, error)

func (w writer) Write(p []byte) (int, error) { return w(p) }
