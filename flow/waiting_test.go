package flow_test

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"ferric"
	"ferric/flow"
	"ferric/store"
)

// hands is a clock that a test moves; it stands still otherwise.
type hands struct {
	mu sync.Mutex
	at time.Time
}

func (h *hands) now() time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.at
}

func (h *hands) move(d time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.at = h.at.Add(d)
}

// timed is a bench whose database and runners go by a clock of the test's.
func timed(t *testing.T) (*bench, *hands) {
	t.Helper()
	b, clock := newBench(t), &hands{at: time.Now().Truncate(time.Second)}
	c := store.Defaults()
	c.DataDir, c.Now = t.TempDir(), clock.now
	b.open(c)
	return b, clock
}

// waits runs an operation that waits for news, looked after every minute, for half an hour in all. The function returned is how a look is made: it
// moves the clock, lets the runner look, and returns the operation as it is after that.
func (b *bench) waits(clock *hands, serving func() bool) (start func() (stop func()), look func(d time.Duration, also ...func()) *flow.Operation) {
	var looks atomic.Int64
	steps := map[string]flow.Func{"a": func(_ context.Context, t *flow.Task) (flow.Outcome, error) {
		defer looks.Add(1)
		return t.Wait("news", "the news", time.Minute, 30*time.Minute)
	}}
	var r *flow.Runner
	start = func() func() {
		var stop func()
		r, stop = b.run(b.store, steps, func(c *flow.Config) { c.Now, c.Serving, c.LeaseTTL = clock.now, serving, 30*time.Second })
		return stop
	}
	var op *flow.Operation
	look = func(d time.Duration, also ...func()) *flow.Operation {
		b.t.Helper()
		before := looks.Load()
		clock.move(d)
		for _, do := range also {
			do()
		}
		if op == nil {
			var err error
			if op, err = r.Begin(b.t.Context(), b.node, plan(step("a", flow.Safe))); err != nil {
				b.t.Fatal(err)
			}
		} else if d < 0 { // its time will not come
			if err := b.store.Signal(b.t.Context(), b.node, "news"); err != nil {
				b.t.Fatal(err)
			}
		}
		r.Poke()
		return b.looked(op.ID, &looks, before+1)
	}
	return start, look
}

// looked returns the operation once its step has been called n times, and what came of it is written.
func (b *bench) looked(id string, looks *atomic.Int64, n int64) *flow.Operation {
	b.t.Helper()
	b.until(id, func(*flow.Operation) bool { return looks.Load() >= n })
	return b.until(id, func(op *flow.Operation) bool { return op.Status == flow.Waiting || op.Status.Ended() })
}

// TestTimeoutsCountWork: only time in which somebody looked after a wait, and somebody took agents' calls, counts towards its end.
func TestTimeoutsCountWork(t *testing.T) {
	type event struct {
		what string // "": the time passes, with a look every minute; "down": no conductor; "no API"; "leap": the clock does
		d    time.Duration
	}
	for name, c := range map[string]struct {
		events []event
		ends   bool
		waited time.Duration // at the end, where it has not ended
	}{
		"half an hour":                    {events: []event{{"", 30 * time.Minute}}, ends: true},
		"not half an hour":                {events: []event{{"", 29 * time.Minute}}, waited: 29 * time.Minute},
		"down for an hour in the middle":  {events: []event{{"", 15 * time.Minute}, {"down", time.Hour}, {"", 10 * time.Minute}}, waited: 21*time.Minute + 30*time.Second},
		"it ends after an outage, too":    {events: []event{{"", 15 * time.Minute}, {"down", time.Hour}, {"", 20 * time.Minute}}, ends: true},
		"down right before the end":       {events: []event{{"", 29 * time.Minute}, {"down", 100 * time.Hour}, {"", 4 * time.Minute}}, waited: 29*time.Minute + 30*time.Second},
		"down again and again":            {events: []event{{"", 29 * time.Minute}, {"down", time.Hour}, {"", 3 * time.Minute}, {"down", time.Hour}, {"", 3 * time.Minute}, {"down", time.Hour}}, waited: 24*time.Minute + 30*time.Second},
		"no API for an hour":              {events: []event{{"", 15 * time.Minute}, {"no API", time.Hour}, {"", 14 * time.Minute}}, waited: 14 * time.Minute},
		"the clock leaps an hour":         {events: []event{{"", 15 * time.Minute}, {"leap", time.Hour}, {"", 14 * time.Minute}}, waited: 25*time.Minute + 30*time.Second},
		"the clock leaps back an hour":    {events: []event{{"", 15 * time.Minute}, {"leap", -time.Hour}, {"", 14 * time.Minute}}, waited: 29 * time.Minute},
		"the clock leaps forth and back":  {events: []event{{"leap", time.Hour}, {"", 15 * time.Minute}, {"leap", -time.Hour}, {"", 10 * time.Minute}}, waited: 25 * time.Minute},
		"another conductor comes in time": {events: []event{{"", 15 * time.Minute}, {"down", 80 * time.Second}, {"", 13 * time.Minute}}, waited: 29*time.Minute + 20*time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, clock := timed(t)
			var serving atomic.Bool
			serving.Store(true)
			start, look := b.waits(clock, serving.Load)
			stop := start()
			op := look(0)
			for _, e := range c.events {
				switch e.what {
				case "down":
					stop()
					clock.move(e.d) // nobody sees it
					op = look(0, func() { stop = start() })
					continue
				case "leap":
					op = look(e.d)
					continue
				case "no API":
					serving.Store(false)
				}
				for passed := time.Duration(0); passed < e.d && op.Status == flow.Waiting; passed += time.Minute {
					op = look(time.Minute)
				}
				serving.Store(true)
			}
			if c.ends {
				if want := "timed out after 30m0s waiting for the news"; op.Status != flow.Failed || op.Error != want {
					t.Fatalf("%s, waited %s: %q, want %q", op.Status, op.Waited, op.Error, want)
				}
				return
			}
			if op.Status != flow.Waiting || op.Waited != c.waited {
				t.Errorf("%s with %q, waited %s, want %s", op.Status, op.Error, op.Waited, c.waited)
			}
		})
	}
}

// TestClockPutBack: what was to wake up at a time of the day that comes only in an hour is looked after now.
func TestClockPutBack(t *testing.T) {
	b, clock := timed(t)
	start, look := b.waits(clock, nil)
	stop := start()
	op := look(0)
	stop()
	clock.move(-time.Hour)
	if due, err := b.store.Due(t.Context(), clock.now(), 0); err != nil || len(due) != 0 {
		t.Fatal(due, err) // else this test shows nothing
	}
	start() // its first look at the clock is at the start
	after := b.until(op.ID, func(now *flow.Operation) bool { return now.Status == flow.Waiting && now.LookedAt.Before(op.LookedAt) })
	if want := clock.now().Add(time.Minute); !after.WakeAt.Equal(want) {
		t.Errorf("it wakes up at %s, want %s", after.WakeAt, want)
	}
}

// TestClockLeapsDuringAStep: a runner does not take the lease from itself when the clock says that it has run out.
func TestClockLeapsDuringAStep(t *testing.T) {
	b, clock := timed(t)
	entered, leapt := make(chan struct{}), make(chan struct{})
	r, _ := b.run(b.store, map[string]flow.Func{"a": func(ctx context.Context, _ *flow.Task) (flow.Outcome, error) {
		close(entered) // a second time would panic
		select {
		case <-leapt:
			return flow.Done(nil), nil
		case <-ctx.Done():
			return flow.Outcome{}, ctx.Err()
		}
	}}, func(c *flow.Config) { c.Now, c.LeaseTTL, c.LockWait = clock.now, time.Hour, time.Nanosecond })
	op, err := r.Begin(t.Context(), b.node, plan(step("a", flow.Never)))
	if err != nil {
		t.Fatal(err)
	}
	<-entered
	clock.move(2 * time.Hour)
	if due, err := b.store.Due(t.Context(), clock.now(), 0); err != nil || len(due) != 1 {
		t.Fatal(due, err) // it looks as if nobody had it
	}
	_, err = r.Begin(t.Context(), b.node, plan(step("b", flow.Safe)))
	if !ferric.IsCode(err, ferric.CodeLocked) {
		t.Errorf("a second operation: %v", err)
	}
	close(leapt)
	if op = b.await(op.ID); op.Status != flow.Succeeded || op.Steps[0].Attempts != 1 {
		t.Errorf("operation %s after %d attempts: %s", op.Status, op.Steps[0].Attempts, op.Error)
	}
}

// TestFailureWhileStandingStill: a process that was stopped for longer than its lease lasts does not believe that the machine took too long.
func TestFailureWhileStandingStill(t *testing.T) {
	for name, c := range map[string]struct {
		pause    time.Duration
		repeat   flow.Repeat
		attempts int
		error    string
	}{
		"stopped for an hour":             {time.Hour, flow.Safe, 2, ""},
		"stopped for a moment":            {time.Second, flow.Safe, 1, "the machine did not go off in time"},
		"stopped, not to be done twice":   {time.Hour, flow.Never, 1, "the machine did not go off in time"},
		"stopped, asked whether it is so": {time.Hour, flow.Check, 2, ""},
	} {
		t.Run(name, func(t *testing.T) {
			b, clock := timed(t)
			r, _ := b.run(b.store, map[string]flow.Func{"a": func(_ context.Context, ft *flow.Task) (flow.Outcome, error) {
				if ft.Step.Attempts > 1 {
					return flow.Done(nil), nil
				}
				clock.move(c.pause)
				return flow.Outcome{}, ferric.Errorf(ferric.CodeTimeout, "the machine did not go off in time")
			}}, func(c *flow.Config) { c.Now, c.LeaseTTL = clock.now, 30*time.Second })
			op, err := r.Begin(t.Context(), b.node, plan(step("a", c.repeat)))
			if err != nil {
				t.Fatal(err)
			}
			if op = b.await(op.ID); op.Error != c.error || op.Steps[0].Attempts != c.attempts {
				t.Errorf("%s after %d attempts: %q, want %q after %d", op.Status, op.Steps[0].Attempts, op.Error, c.error, c.attempts)
			}
			if strings.Contains(op.Error, "lease") {
				t.Error(op.Error)
			}
		})
	}
}

// TestTheLookItselfCounts: an agent that does not answer costs a minute at every look, and this minute is waited, too.
func TestTheLookItselfCounts(t *testing.T) {
	for name, c := range map[string]struct{ takes, waited time.Duration }{
		"a minute":          {20 * time.Second, 35 * time.Second},
		"stopped meanwhile": {time.Hour, 15 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			b, clock := timed(t)
			var looks atomic.Int64
			r, _ := b.run(b.store, map[string]flow.Func{"a": func(_ context.Context, t *flow.Task) (flow.Outcome, error) {
				if looks.Add(1) == 2 {
					clock.move(c.takes)
				}
				return t.Wait("news", "the news", 15*time.Second, 30*time.Minute)
			}}, func(cf *flow.Config) { cf.Now, cf.LeaseTTL = clock.now, 30*time.Second })
			op, err := r.Begin(t.Context(), b.node, plan(step("a", flow.Safe)))
			if err != nil {
				t.Fatal(err)
			}
			for n := int64(1); n < 3; n++ {
				b.looked(op.ID, &looks, n)
				if n == 1 {
					if err := b.store.Signal(t.Context(), b.node, "news"); err != nil {
						t.Fatal(err)
					}
				} else {
					clock.move(15 * time.Second)
				}
				r.Poke()
			}
			op = b.looked(op.ID, &looks, 3)
			if op.Waited != c.waited {
				t.Errorf("waited %s, want %s", op.Waited, c.waited)
			}
		})
	}
}
