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

// eventually waits until a condition holds; what says which.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
	}
}

// TestManyOnOne has many goroutines use one BMC: each must get its own answer, over one session.
func TestManyOnOne(t *testing.T) {
	s, _ := newBMC(t, bmc.Options{})
	pool := newPool(t, ipmi.Options{TryWait: 10 * time.Second})
	var wg sync.WaitGroup
	for i := range 40 {
		wg.Go(func() {
			b := pool.BMC(infoFor(s))
			if i%2 == 0 {
				b = b.Periodic()
			}
			for range 25 {
				switch i % 4 {
				case 0:
					if on, err := b.PowerState(t.Context()); err != nil || on != ferric.PowerOff {
						t.Errorf("power state: %q, %v", on, err)
					}
				case 1:
					if d, err := b.Device(t.Context()); err != nil || d.Manufacturer != 7154 {
						t.Errorf("device: %+v, %v", d, err)
					}
				case 2:
					if g, err := b.SystemGUID(t.Context()); err != nil || g != systemGUID {
						t.Errorf("GUID: %q, %v", g, err)
					}
				case 3:
					if raw, err := b.Raw(t.Context(), 0x06, 0x04, nil); err != nil || len(raw) != 2 || raw[0] != 0x55 {
						t.Errorf("self test: % x, %v", raw, err)
					}
				}
			}
		})
	}
	wg.Wait()
	st := s.Stats()
	if st.Logins != 1 || st.Sessions != 1 {
		t.Errorf("%d logins, %d sessions, want 1 of each", st.Logins, st.Sessions)
	}
	if got := st.Commands["Get Chassis Status"]; got != 250 {
		t.Errorf("%d times the power state, want 250", got)
	}
}

// TestSlowBMC has one BMC of 50 that does not answer. All operations on the others end while the one on it is
// still waiting; then it wakes up, and its operation succeeds.
func TestSlowBMC(t *testing.T) {
	pool := newPool(t, ipmi.Options{TryWait: 500 * time.Millisecond, Tries: 1000})
	slow, _ := newBMC(t, bmc.Options{})
	slow.SetFaults(bmc.Faults{Silent: true})
	slowDone := make(chan error, 1)
	go func() {
		_, err := pool.BMC(infoFor(slow)).PowerState(context.WithoutCancel(t.Context()))
		slowDone <- err
	}()
	eventually(t, "the slow BMC is asked", func() bool { return slow.Stats().Datagrams > 0 })

	var wg sync.WaitGroup
	var others []*bmc.Server
	for range 49 {
		s, _ := newBMC(t, bmc.Options{})
		others = append(others, s)
		wg.Go(func() {
			for range 3 {
				if _, err := pool.BMC(infoFor(s)).Periodic().PowerState(t.Context()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	select {
	case err := <-slowDone:
		t.Fatalf("the silent BMC's operation has ended: %v", err)
	default: // all others were done before it
	}
	for _, s := range others {
		if got := s.Stats().Commands["Get Chassis Status"]; got < 3 {
			t.Errorf("a BMC was asked %d times, want 3", got)
		}
	}
	slow.SetFaults(bmc.Faults{})
	if err := <-slowDone; err != nil {
		t.Errorf("the BMC has woken up: %v", err)
	}
}

// gate is a chassis that answers only once it is opened.
type gate struct {
	chassis
	open chan struct{}
}

func (g *gate) PowerState(ctx context.Context) (bool, error) {
	select {
	case <-g.open:
		return true, nil
	case <-ctx.Done():
		return false, ctx.Err()
	}
}

// busyBMC is a BMC with an operation under way on it that ends when release is called.
func busyBMC(t *testing.T, pool *ipmi.Pool) (b ipmi.BMC, g *gate, release func()) {
	t.Helper()
	g = &gate{open: make(chan struct{})}
	s, err := bmc.Start(g, bmc.Options{Users: []bmc.User{{Name: "admin", Password: password}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	b = pool.BMC(infoFor(s))
	done := make(chan error, 1)
	go func() {
		_, err := b.PowerState(context.WithoutCancel(t.Context()))
		done <- err
	}()
	eventually(t, "the BMC is busy", func() bool { return s.Stats().Commands["Get Chassis Status"] > 0 })
	return b, g, func() {
		t.Helper()
		close(g.open)
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

func TestInteractiveFirst(t *testing.T) {
	pool := newPool(t, ipmi.Options{TryWait: time.Minute})
	b, g, release := busyBMC(t, pool)
	var wg sync.WaitGroup
	queue := func(b ipmi.BMC, action ipmi.Action) {
		waiting := pool.Stats().Waiting
		wg.Go(func() {
			if err := b.Control(t.Context(), action); err != nil {
				t.Error(err)
			}
		})
		eventually(t, "it is queued", func() bool { return pool.Stats().Waiting == waiting+1 })
	}
	for range 5 {
		queue(b.Periodic(), ipmi.PowerUp)
	}
	queue(b, ipmi.SoftShutdown)
	release()
	wg.Wait()
	if got, want := g.take(), "soft on on on on on"; got != want {
		t.Errorf("the machine was asked for %q, want %q", got, want)
	}
}

func TestQueueIsBounded(t *testing.T) {
	pool := newPool(t, ipmi.Options{TryWait: time.Minute, MaxQueue: 2})
	b, _, release := busyBMC(t, pool)
	var wg sync.WaitGroup
	for i := range 2 {
		wg.Go(func() {
			if _, err := b.Device(t.Context()); err != nil {
				t.Error(err)
			}
		})
		eventually(t, "it is queued", func() bool { return pool.Stats().Waiting == i+1 })
	}
	if _, err := b.Device(t.Context()); !ferric.IsCode(err, ferric.CodeBusy) {
		t.Errorf("a third: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := b.Periodic().Device(ctx); !ferric.IsCode(err, ferric.CodeTimeout) || pool.Stats().Waiting != 2 {
		t.Errorf("one that is given up: %v, %d waiting", err, pool.Stats().Waiting)
	}
	release()
	wg.Wait()
}

func TestSessionsAreBounded(t *testing.T) {
	pool := newPool(t, ipmi.Options{MaxSessions: 3, TryWait: 10 * time.Second})
	var servers []*bmc.Server
	for range 12 {
		s, _ := newBMC(t, bmc.Options{})
		servers = append(servers, s)
	}
	var wg sync.WaitGroup
	for range 3 {
		for _, s := range servers {
			wg.Go(func() {
				if _, err := pool.BMC(infoFor(s)).PowerState(t.Context()); err != nil {
					t.Error(err)
				}
				if n := pool.Stats().Sessions; n > 3 {
					t.Errorf("%d sessions are open, want at most 3", n)
				}
			})
		}
	}
	wg.Wait()
	open := 0
	for _, s := range servers {
		open += s.Stats().Sessions
	}
	if open > 3 {
		// The message that ends a session needs no answer; give it time to arrive.
		eventually(t, "at most 3 sessions are left at the BMCs", func() bool {
			open = 0
			for _, s := range servers {
				open += s.Stats().Sessions
			}
			return open <= 3
		})
	}
}

// TestNoFreeSlot shows that an operation that finds all sessions in use says so, and that this does not count
// against the BMC it was for.
func TestNoFreeSlot(t *testing.T) {
	pool := newPool(t, ipmi.Options{MaxSessions: 1, TryWait: 20 * time.Millisecond, Tries: 1000, BreakerAfter: 1, BreakerWait: time.Hour})
	_, _, release := busyBMC(t, pool)
	s, _ := newBMC(t, bmc.Options{})
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := pool.BMC(infoFor(s)).PowerState(ctx); !ferric.IsCode(err, ferric.CodeBusy) {
		t.Errorf("got %v (%s)", err, ferric.ErrorCode(err))
	}
	release()
	if _, err := pool.BMC(infoFor(s)).Periodic().PowerState(t.Context()); err != nil {
		t.Errorf("with a free slot: %v", err)
	}
}

func TestSessionPerCommand(t *testing.T) {
	s, _ := newBMC(t, bmc.Options{})
	pool := newPool(t, ipmi.Options{SessionIdle: -1})
	for i := range 3 {
		if _, err := pool.BMC(infoFor(s)).PowerState(t.Context()); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the session ends on both sides", func() bool { return pool.Stats().Sessions == 0 && s.Stats().Sessions == 0 })
		if got := pool.Stats().Logins; got != int64(i+1) {
			t.Errorf("%d logins, want %d", got, i+1)
		}
	}
}

func TestIdleSessionEnds(t *testing.T) {
	s, _ := newBMC(t, bmc.Options{})
	pool := newPool(t, ipmi.Options{SessionIdle: 30 * time.Millisecond, BreakerMax: 50 * time.Millisecond})
	if _, err := pool.BMC(infoFor(s)).PowerState(t.Context()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the session ends on both sides", func() bool { return pool.Stats().Sessions == 0 && s.Stats().Sessions == 0 })
	eventually(t, "the BMC is forgotten", func() bool { return pool.Stats().BMCs == 0 })
	if _, err := pool.BMC(infoFor(s)).PowerState(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestClose(t *testing.T) {
	s, _ := newBMC(t, bmc.Options{})
	pool := ipmi.NewPool(ipmi.Options{TryWait: time.Hour})
	b := pool.BMC(infoFor(s))
	if _, err := b.PowerState(t.Context()); err != nil {
		t.Fatal(err)
	}
	other, _ := newBMC(t, bmc.Options{})
	other.SetFaults(bmc.Faults{Silent: true})
	waiting := make(chan error, 2)
	for range 2 { // one under way, one in the queue
		go func() {
			_, err := pool.BMC(infoFor(other)).PowerState(context.WithoutCancel(t.Context()))
			waiting <- err
		}()
	}
	eventually(t, "one is under way", func() bool { return other.Stats().Datagrams > 0 && pool.Stats().Waiting == 1 })
	pool.Close()
	for range 2 {
		if err := <-waiting; !ferric.IsCode(err, ferric.CodeUnavailable) || !strings.Contains(err.Error(), "shutting down") {
			t.Errorf("under way: %v", err)
		}
	}
	if _, err := b.PowerState(t.Context()); !ferric.IsCode(err, ferric.CodeUnavailable) {
		t.Errorf("afterwards: %v", err)
	}
	eventually(t, "the session is ended at the BMC", func() bool { return s.Stats().Sessions == 0 })
	pool.Close()
}

func TestAddresses(t *testing.T) {
	for _, host := range []string{"::1", "localhost"} {
		t.Run(host, func(t *testing.T) {
			address := "127.0.0.1:0"
			if host == "::1" {
				address = "[::1]:0"
			}
			s, err := bmc.Start(&chassis{}, bmc.Options{Address: address, Users: []bmc.User{{Name: "admin", Password: password}}})
			if err != nil {
				t.Skipf("no address %s here: %v", address, err)
			}
			defer s.Close()
			info := infoFor(s)
			info.Address = host
			if _, err := newPool(t, ipmi.Options{}).BMC(info).PowerState(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestMinInterval(t *testing.T) {
	s, _ := newBMC(t, bmc.Options{})
	b := newPool(t, ipmi.Options{MinInterval: 30 * time.Millisecond}).BMC(infoFor(s))
	begin := time.Now()
	for range 4 {
		if _, err := b.PowerState(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if took := time.Since(begin); took < 90*time.Millisecond {
		t.Errorf("four commands took %v, want 90 ms at least", took)
	}
}

func TestOptions(t *testing.T) {
	if err := (ipmi.Options{CipherSuites: []int{17, 4}}).Validate(); !ferric.IsCode(err, ferric.CodeInvalid) {
		t.Errorf("cipher suite 4: %v", err)
	}
	if err := (ipmi.Options{}).Validate(); err != nil {
		t.Errorf("the defaults: %v", err)
	}
}

// BenchmarkPowerSync reads the power state of N machines, all at once, over sessions that are open already. It
// reports operations per second; client and BMCs share the processor.
func BenchmarkPowerSync(b *testing.B) {
	for _, n := range []int{1, 50, 500} {
		b.Run(fmt.Sprintf("BMCs=%d", n), func(b *testing.B) {
			pool := newPool(b, ipmi.Options{})
			var bmcs []ipmi.BMC
			for range n {
				s, _ := newBMC(b, bmc.Options{})
				bmcs = append(bmcs, pool.BMC(infoFor(s)).Periodic())
			}
			round := func() {
				var wg sync.WaitGroup
				for _, m := range bmcs {
					wg.Go(func() {
						if _, err := m.PowerState(b.Context()); err != nil {
							b.Error(err)
						}
					})
				}
				wg.Wait()
			}
			round() // logins
			logins := pool.Stats().Logins
			b.ReportAllocs()
			b.ResetTimer()
			for range b.N {
				round()
			}
			b.StopTimer()
			b.ReportMetric(float64(n*b.N)/b.Elapsed().Seconds(), "status/s")
			b.ReportMetric(float64(pool.Stats().Logins-logins), "logins")
		})
	}
}

// BenchmarkLogin opens a session, reads the power state and ends the session.
func BenchmarkLogin(b *testing.B) {
	for _, suite := range []int{3, 17} {
		b.Run(fmt.Sprintf("suite=%d", suite), func(b *testing.B) {
			s, _ := newBMC(b, bmc.Options{})
			info := infoFor(s)
			info.CipherSuite = suite
			for range b.N {
				pool := ipmi.NewPool(ipmi.Options{})
				if _, err := pool.BMC(info).PowerState(b.Context()); err != nil {
					b.Fatal(err)
				}
				pool.Close()
			}
		})
	}
}
