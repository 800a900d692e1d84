package flow_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"ferric"
	"ferric/flow"
	"ferric/store"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
)

// world is what steps do things to: it outlives runners, as a machine outlives conductors.
type world struct {
	mu   sync.Mutex
	ran  map[string]int // how often a step's code was begun
	done []string       // effects, in order, each once
}

func (w *world) begin(step string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ran == nil {
		w.ran = map[string]int{}
	}
	w.ran[step]++
	return w.ran[step]
}

// effect happens once, however often it is asked for: a machine that is on stays on.
func (w *world) effect(step string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !slices.Contains(w.done, step) {
		w.done = append(w.done, step)
	}
}

func (w *world) effects() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.done)
}

// script is a Program whose steps are functions by name; it shows moments in the node's extra.
type script struct {
	world *world
	steps map[string]flow.Func
	// spares names a step that aborts must not interrupt.
	spares string
}

func (p *script) Func(_ *flow.Operation, s *flow.Step) (flow.Func, error) {
	if fn, ok := p.steps[s.Name]; ok {
		return fn, nil
	}
	return func(_ context.Context, t *flow.Task) (flow.Outcome, error) {
		p.world.begin(t.Step.Name)
		p.world.effect(t.Step.Name)
		return flow.Done(t.Step.Name), nil
	}, nil
}

// Spares implements flow.Program.
func (p *script) Spares(_ *flow.Operation, s *flow.Step) bool { return p.spares == s.Name }

func (p *script) View(m flow.Moment, op *flow.Operation) flow.Mutate {
	return func(n *ferric.Node) error {
		switch m {
		case flow.Fails:
			n.LastError = op.Error
		case flow.EndsWell:
			n.Description = "ended well"
		case flow.EndsBadly:
			n.Description = "ended badly"
		case flow.Holds:
			n.Description = "held"
		}
		return nil
	}
}

// bench is a store with one node, and what a test needs around it.
type bench struct {
	t     *testing.T
	store *store.Store
	node  string
	world *world
}

func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{t: t, world: &world{}}
	c := store.Defaults()
	c.DataDir = t.TempDir()
	b.open(c)
	return b
}

// open opens a store with one node.
func (b *bench) open(c store.Config) {
	b.t.Helper()
	s, err := store.Open(b.t.Context(), c, slog.New(slog.DiscardHandler))
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { s.Close() })
	b.store, b.node = s, uuid.NewString()
	if err := s.CreateNode(b.t.Context(), &ferric.Node{UUID: b.node, Driver: "fake-hardware", ProvisionState: ferric.Available}); err != nil {
		b.t.Fatal(err)
	}
}

// run starts a runner and returns it with a function that stops it.
func (b *bench) run(l flow.Ledger, steps map[string]flow.Func, change ...func(*flow.Config)) (*flow.Runner, func()) {
	c := flow.Config{Ledger: l, Owner: "one", Programs: map[string]flow.Program{"test": &script{world: b.world, steps: steps}},
		Workers: 4, Reserved: 1, LeaseTTL: 5 * time.Second, Poll: 20 * time.Millisecond}
	if os.Getenv("FLOW_LOG") != "" {
		c.Log = slog.Default()
	}
	for _, f := range change {
		f(&c)
	}
	r := flow.New(c)
	ctx, cancel := context.WithCancel(b.t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		r.Run(ctx)
	}()
	stop := func() { cancel(); <-ended }
	b.t.Cleanup(stop)
	return r, stop
}

func plan(steps ...flow.Step) func(context.Context) (*flow.Operation, flow.Mutate, error) {
	return func(context.Context) (*flow.Operation, flow.Mutate, error) {
		return &flow.Operation{ID: uuid.NewString(), Kind: "test", Lane: flow.Provision, Steps: slices.Clone(steps)}, nil, nil
	}
}

func step(name string, repeat flow.Repeat) flow.Step {
	return flow.Step{Interface: "deploy", Name: name, Repeat: repeat}
}

func cleanUp(name string) flow.Step {
	s := step(name, flow.Safe)
	s.CleanUp = true
	return s
}

// await polls until an operation has ended and returns it.
func (b *bench) await(id string) *flow.Operation {
	b.t.Helper()
	return b.until(id, func(op *flow.Operation) bool { return op.Status.Ended() })
}

func (b *bench) until(id string, ok func(*flow.Operation) bool) *flow.Operation {
	b.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		op, err := b.store.Operation(b.t.Context(), id)
		if err != nil {
			b.t.Fatal(err)
		}
		if ok(op) {
			return op
		}
		if time.Now().After(deadline) {
			b.t.Fatalf("the operation did not get there; it is %+v", op)
		}
	}
}

// free waits until nobody holds the node: the lease is given back after the operation's end is written.
func (b *bench) free() {
	b.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		n, err := b.store.Node(b.t.Context(), b.node)
		if err != nil {
			b.t.Fatal(err)
		}
		if n.Reservation == "" {
			return
		}
		if time.Now().After(deadline) {
			b.t.Fatalf("the node is still reserved by %q", n.Reservation)
		}
	}
}

func statuses(op *flow.Operation) map[string]flow.Status {
	out := map[string]flow.Status{}
	for _, s := range op.Steps {
		out[s.Name] = s.Status
	}
	return out
}

func TestStepsRunInOrderAndMayAddOthers(t *testing.T) {
	b := newBench(t)
	r, _ := b.run(b.store, map[string]flow.Func{"b": func(_ context.Context, t *flow.Task) (flow.Outcome, error) {
		b.world.effect("b")
		return flow.Done(nil).Then(step("b1", flow.Safe), step("b2", flow.Safe)), nil
	}})
	op, err := r.Begin(t.Context(), b.node, plan(step("a", flow.Safe), step("b", flow.Safe), step("c", flow.Safe), cleanUp("x")))
	if err != nil {
		t.Fatal(err)
	}
	op = b.await(op.ID)
	if diff := cmp.Diff([]string{"a", "b", "b1", "b2", "c"}, b.world.effects()); diff != "" {
		t.Errorf("effects (-want +have):\n%s", diff)
	}
	if op.Status != flow.Succeeded || statuses(op)["x"] != flow.Skipped {
		t.Errorf("operation %s, clean-up step %s; want succeeded and skipped", op.Status, statuses(op)["x"])
	}
	n, err := b.store.Node(t.Context(), b.node)
	if err != nil || n.Description != "ended well" {
		t.Errorf("node says %q, %v", n.Description, err)
	}
	history, err := b.store.History(t.Context(), b.node, ferric.Page{})
	if err != nil {
		t.Fatal(err)
	}
	if len(history) != 6 { // one per step and one for the operation
		t.Errorf("%d history entries, want 6: %v", len(history), history)
	}
}

// killer is a ledger that dies at its nth write: before it is done or after it is done but before the caller knows. From then on
// nothing gets through, as with a process that was killed.
type killer struct {
	flow.Ledger
	mu    sync.Mutex
	left  int
	after bool
	dead  bool
	died  chan struct{}
}

var errKilled = &ferric.Error{Code: ferric.CodeUnavailable, Message: "killed"}

func (k *killer) write(do func() error) error {
	k.mu.Lock()
	if k.dead {
		k.mu.Unlock()
		return errKilled
	}
	k.left--
	dies := k.left == 0
	if dies {
		k.dead = true
		close(k.died)
	}
	k.mu.Unlock()
	if dies && !k.after {
		return errKilled
	}
	err := do()
	if dies {
		return errKilled
	}
	return err
}

func (k *killer) Checkpoint(ctx context.Context, l flow.Lease, op *flow.Operation, h []ferric.HistoryEntry, m flow.Mutate) (n *ferric.Node, err error) {
	err = k.write(func() error { n, err = k.Ledger.Checkpoint(ctx, l, op, h, m); return err })
	return n, err
}

func (k *killer) Release(ctx context.Context, l flow.Lease) error {
	return k.write(func() error { return k.Ledger.Release(ctx, l) })
}

func (k *killer) Acquire(ctx context.Context, node, owner string, ttl time.Duration) (l flow.Lease, err error) {
	k.mu.Lock()
	dead := k.dead
	k.mu.Unlock()
	if dead {
		return flow.Lease{}, errKilled
	}
	return k.Ledger.Acquire(ctx, node, owner, ttl)
}

// TestKilledAtEveryWrite kills the runner at each of its writes in turn, before and after the write. The next runner must bring the
// operation to its end, with every effect in order, and never begin a step twice that must not be.
func TestKilledAtEveryWrite(t *testing.T) {
	for _, after := range []bool{false, true} {
		for n := 1; ; n++ {
			var reached bool
			t.Run(fmt.Sprintf("write %d, after=%v", n, after), func(t *testing.T) { reached = killedAt(t, n, after) })
			if !reached || t.Failed() {
				break
			}
			if n > 100 {
				t.Fatal("the operation has no end")
			}
		}
	}
}

// killedAt reports whether the runner came as far as the nth write.
func killedAt(t *testing.T, n int, after bool) bool {
	b := newBench(t)
	// waits shows a step that checkpoints, waits and is called again.
	steps := map[string]flow.Func{"waits": func(ctx context.Context, t *flow.Task) (flow.Outcome, error) {
		b.world.begin("waits")
		var at struct{ Started bool }
		if err := t.Load(&at); err != nil {
			return flow.Outcome{}, err
		}
		if !at.Started {
			b.world.effect("waits")
			at.Started = true
			if err := t.Save(ctx, at); err != nil {
				return flow.Outcome{}, err
			}
			return t.Wait("", "a moment", 10*time.Millisecond, time.Minute)
		}
		return flow.Done(nil).Then(step("added", flow.Safe)), nil
	}, "lost": loses(b)}
	k := &killer{Ledger: b.store, left: n, after: after, died: make(chan struct{})}
	r, stop := b.run(k, steps)
	op, err := r.Begin(t.Context(), b.node, plan(step("safe", flow.Safe), step("waits", flow.Check), step("lost", flow.Safe), step("never", flow.Never),
		step("last", flow.Safe), cleanUp("x")))
	if err != nil {
		t.Fatal(err)
	}
	dead := func() bool {
		select {
		case <-k.died:
			return true
		default:
			return false
		}
	}
	b.until(op.ID, func(op *flow.Operation) bool { return dead() || op.Status.Ended() })
	stop()
	if !dead() {
		return false
	}
	if _, err := b.store.ReleaseOwner(t.Context(), "one"); err != nil {
		t.Fatal(err)
	}
	b.run(b.store, steps)
	op = b.await(op.ID)
	if b.world.ran["never"] > 1 {
		t.Errorf("the step that must not be repeated ran %d times", b.world.ran["never"])
	}
	if op.Status == flow.Failed {
		// Only a step that must not be repeated may end it: it was interrupted between its beginning and its end.
		if s := statuses(op); s["never"] != flow.Failed || s["x"] != flow.Succeeded {
			t.Errorf("failed though it could go on: %s, %v", op.Error, s)
		}
		return true
	}
	if diff := cmp.Diff([]string{"safe", "waits", "added", "restart", "lost", "never", "last"}, b.world.effects()); diff != "" {
		t.Errorf("effects (-want +have):\n%s", diff)
	}
	if op.GivenUp() != 1 {
		t.Errorf("%d steps were given up, want 1", op.GivenUp())
	}
	return true
}

// loses is a step that is given up once, and done anew behind another one.
func loses(b *bench) flow.Func {
	return func(_ context.Context, t *flow.Task) (flow.Outcome, error) {
		if t.Op.GivenUp() == 0 {
			return flow.Again("the power was cut", step("restart", flow.Safe), step("lost", flow.Safe)), nil
		}
		b.world.effect("lost")
		return flow.Done(nil), nil
	}
}

// TestGivenUpStepIsSeen keeps a step that was given up in the plan, with the reason, and tells of it in the history.
func TestGivenUpStepIsSeen(t *testing.T) {
	b := newBench(t)
	r, _ := b.run(b.store, map[string]flow.Func{"lost": loses(b)})
	op, err := r.Begin(t.Context(), b.node, plan(step("lost", flow.Safe), step("last", flow.Safe)))
	if err != nil {
		t.Fatal(err)
	}
	op = b.await(op.ID)
	var have []string
	for _, s := range op.Steps {
		have = append(have, fmt.Sprintf("%d %s %s %s", s.Seq, s.Name, s.Status, s.Error))
	}
	if diff := cmp.Diff([]string{"0 lost skipped the power was cut", "1 restart succeeded ", "2 lost succeeded ", "3 last succeeded "}, have); diff != "" {
		t.Errorf("steps (-want +have):\n%s", diff)
	}
	history, err := b.store.History(t.Context(), b.node, ferric.Page{})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(history, func(e ferric.HistoryEntry) bool {
		return strings.Contains(e.Event, "lost of the test was given up") && strings.Contains(e.Event, "the power was cut") && e.Severity == ferric.SeverityError
	}) {
		t.Errorf("the history does not tell: %v", history)
	}
}

// TestFailureAtEachStep fails every step in turn: the rest is skipped, all is cleaned up, and the reason is the first one.
func TestFailureAtEachStep(t *testing.T) {
	names := []string{"a", "b", "c"}
	for i, bad := range names {
		t.Run(bad, func(t *testing.T) {
			b := newBench(t)
			r, _ := b.run(b.store, map[string]flow.Func{
				bad: func(context.Context, *flow.Task) (flow.Outcome, error) {
					return flow.Outcome{}, ferric.Errorf(ferric.CodeUnavailable, "%s is broken", bad)
				},
				"x": func(context.Context, *flow.Task) (flow.Outcome, error) {
					b.world.effect("x")
					return flow.Outcome{}, errors.New("the clean-up is broken, too")
				},
			})
			op, err := r.Begin(t.Context(), b.node, plan(step("a", flow.Safe), step("b", flow.Safe), step("c", flow.Safe), cleanUp("x"), cleanUp("y")))
			if err != nil {
				t.Fatal(err)
			}
			op = b.await(op.ID)
			if diff := cmp.Diff(append(slices.Clone(names[:i]), "x", "y"), b.world.effects()); diff != "" {
				t.Errorf("effects (-want +have):\n%s", diff)
			}
			n, err := b.store.Node(t.Context(), b.node)
			if err != nil {
				t.Fatal(err)
			}
			if op.Status != flow.Failed || op.Error != bad+" is broken" || n.LastError != op.Error || n.Description != "ended badly" {
				t.Errorf("operation %s with %q, node %q with %q", op.Status, op.Error, n.Description, n.LastError)
			}
			b.free()
		})
	}
}

// TestSignalIsNeverLost lets an event come while the step that will wait for it is still running.
func TestSignalIsNeverLost(t *testing.T) {
	b := newBench(t)
	calls := 0
	r, _ := b.run(b.store, map[string]flow.Func{"a": func(ctx context.Context, t *flow.Task) (flow.Outcome, error) {
		if calls++; calls > 1 {
			return flow.Done(nil), nil
		}
		if err := b.store.Signal(ctx, b.node, "news"); err != nil {
			return flow.Outcome{}, err
		}
		if err := t.Save(ctx, calls); err != nil { // a checkpoint between must not swallow it
			return flow.Outcome{}, err
		}
		return t.Wait("news", "the news", time.Hour, 2*time.Hour)
	}})
	op, err := r.Begin(t.Context(), b.node, plan(step("a", flow.Safe)))
	if err != nil {
		t.Fatal(err)
	}
	if op = b.await(op.ID); op.Status != flow.Succeeded {
		t.Errorf("operation %s: %s", op.Status, op.Error)
	}
}

func TestWaitEndsWithItsTime(t *testing.T) {
	b := newBench(t)
	r, _ := b.run(b.store, map[string]flow.Func{"a": func(_ context.Context, t *flow.Task) (flow.Outcome, error) {
		return t.Wait("news", "the news", 20*time.Millisecond, 100*time.Millisecond)
	}})
	op, err := r.Begin(t.Context(), b.node, plan(step("a", flow.Safe)))
	if err != nil {
		t.Fatal(err)
	}
	op = b.await(op.ID)
	if want := "timed out after 100ms waiting for the news"; op.Error != want {
		t.Errorf("error %q, want %q", op.Error, want)
	}
}

func TestAbortOfAWait(t *testing.T) {
	b := newBench(t)
	r, _ := b.run(b.store, map[string]flow.Func{"a": func(_ context.Context, t *flow.Task) (flow.Outcome, error) {
		return t.Wait("news", "the news", time.Hour, 0)
	}})
	op, err := r.Begin(t.Context(), b.node, plan(step("a", flow.Safe), step("b", flow.Safe), cleanUp("x")))
	if err != nil {
		t.Fatal(err)
	}
	b.until(op.ID, func(op *flow.Operation) bool { return op.Status == flow.Waiting })
	if err := b.store.RequestAbort(t.Context(), op.ID, "the operator said so"); err != nil {
		t.Fatal(err)
	}
	r.Poke()
	op = b.await(op.ID)
	if op.Status != flow.Failed || op.Error != "the operator said so" {
		t.Errorf("operation %s: %s", op.Status, op.Error)
	}
	if diff := cmp.Diff([]string{"x"}, b.world.effects()); diff != "" {
		t.Errorf("effects (-want +have):\n%s", diff)
	}
}

// TestAbortSparesAStep lets a step that must not be interrupted wait for its end, without looking all the time, before the abort is heeded.
func TestAbortSparesAStep(t *testing.T) {
	b := newBench(t)
	var looks atomic.Int32
	var over atomic.Bool
	p := &script{world: b.world, spares: "a", steps: map[string]flow.Func{"a": func(_ context.Context, t *flow.Task) (flow.Outcome, error) {
		looks.Add(1)
		if over.Load() {
			b.world.effect("a")
			return flow.Done(nil), nil
		}
		return t.Wait("news", "the news", time.Hour, 0)
	}}}
	r, _ := b.run(b.store, nil, func(c *flow.Config) { c.Programs = map[string]flow.Program{"test": p} })
	op, err := r.Begin(t.Context(), b.node, plan(step("a", flow.Safe), step("b", flow.Safe), cleanUp("x")))
	if err != nil {
		t.Fatal(err)
	}
	b.until(op.ID, func(op *flow.Operation) bool { return op.Status == flow.Waiting })
	if err := b.store.RequestAbort(t.Context(), op.ID, "the operator said so"); err != nil {
		t.Fatal(err)
	}
	r.Poke()
	b.until(op.ID, func(op *flow.Operation) bool { return looks.Load() >= 2 && op.Status == flow.Waiting })
	time.Sleep(100 * time.Millisecond)
	if n := looks.Load(); n > 3 {
		t.Errorf("the step was looked at %d times", n)
	}
	over.Store(true)
	if err := b.store.Signal(t.Context(), b.node, "news"); err != nil {
		t.Fatal(err)
	}
	r.Poke()
	if op = b.await(op.ID); op.Status != flow.Failed || op.Error != "the operator said so" {
		t.Errorf("operation %s: %s", op.Status, op.Error)
	}
	if diff := cmp.Diff([]string{"a", "x"}, b.world.effects()); diff != "" {
		t.Errorf("effects (-want +have):\n%s", diff)
	}
}

func TestHoldAndUnhold(t *testing.T) {
	b := newBench(t)
	r, _ := b.run(b.store, map[string]flow.Func{"hold": func(context.Context, *flow.Task) (flow.Outcome, error) { return flow.Hold(), nil }})
	op, err := r.Begin(t.Context(), b.node, plan(step("hold", flow.Safe), step("b", flow.Safe)))
	if err != nil {
		t.Fatal(err)
	}
	b.until(op.ID, func(op *flow.Operation) bool { return op.Status == flow.Held })
	r.Poke()
	time.Sleep(100 * time.Millisecond) // long enough for a wrong claim: the poll is 20 ms
	if got := b.world.effects(); len(got) > 0 {
		t.Fatalf("it went on while held: %v", got)
	}
	if err := b.store.Signal(t.Context(), b.node, flow.EventUnhold); err != nil {
		t.Fatal(err)
	}
	if op = b.await(op.ID); op.Status != flow.Succeeded {
		t.Errorf("operation %s: %s", op.Status, op.Error)
	}
}

// TestLostLease takes a node away from a runner in the middle of a step: its writes are refused and the new owner finishes.
func TestLostLease(t *testing.T) {
	b := newBench(t)
	entered, leave := make(chan struct{}), make(chan struct{})
	var once sync.Once
	steps := map[string]flow.Func{"a": func(ctx context.Context, t *flow.Task) (flow.Outcome, error) {
		first := false
		once.Do(func() { first = true })
		if first {
			close(entered)
			<-leave
			if err := t.Save(context.WithoutCancel(ctx), "late"); !ferric.IsCode(err, ferric.CodeStale) {
				return flow.Outcome{}, fmt.Errorf("a write with a lost lease: %v, want CodeStale", err)
			}
			return flow.Outcome{}, ferric.Errorf(ferric.CodeStale, "lost")
		}
		b.world.effect("a")
		return flow.Done(nil), nil
	}}
	// It claims nothing, so that it does not take the node again before the other has come.
	r, _ := b.run(b.store, steps, func(c *flow.Config) { c.Owns = func(flow.Due) bool { return false } })
	op, err := r.Begin(t.Context(), b.node, plan(step("a", flow.Safe)))
	if err != nil {
		t.Fatal(err)
	}
	<-entered
	if _, err := b.store.ReleaseOwner(t.Context(), "one"); err != nil { // as if its time had run out
		t.Fatal(err)
	}
	b.run(b.store, steps, func(c *flow.Config) { c.Owner = "two" })
	op = b.await(op.ID)
	close(leave)
	if op.Status != flow.Succeeded || op.Conductor != "two" || op.Takeovers != 1 {
		t.Errorf("operation %s by %q after %d take-overs: %s", op.Status, op.Conductor, op.Takeovers, op.Error)
	}
}

func TestBackPressure(t *testing.T) {
	b := newBench(t)
	leave := make(chan struct{})
	r, _ := b.run(b.store, map[string]flow.Func{"a": func(ctx context.Context, _ *flow.Task) (flow.Outcome, error) {
		select {
		case <-leave:
		case <-ctx.Done():
		}
		return flow.Done(nil), nil
	}}, func(c *flow.Config) { c.Workers = 2 })
	for i := range 2 {
		id := uuid.NewString()
		if err := b.store.CreateNode(t.Context(), &ferric.Node{UUID: id, Name: fmt.Sprint("n", i), Driver: "fake-hardware", ProvisionState: ferric.Available}); err != nil {
			t.Fatal(err)
		}
		if _, err := r.Begin(t.Context(), id, plan(step("a", flow.Safe))); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := r.Begin(t.Context(), b.node, plan(step("a", flow.Safe))); !ferric.IsCode(err, ferric.CodeBusy) {
		t.Errorf("beginning with all workers busy: %v, want CodeBusy", err)
	}
	close(leave)
}

func TestPanicFailsTheOperationOnly(t *testing.T) {
	b := newBench(t)
	r, _ := b.run(b.store, map[string]flow.Func{"a": func(context.Context, *flow.Task) (flow.Outcome, error) { panic("oops") }})
	op, err := r.Begin(t.Context(), b.node, plan(step("a", flow.Safe), cleanUp("x")))
	if err != nil {
		t.Fatal(err)
	}
	if op = b.await(op.ID); op.Status != flow.Failed || statuses(op)["x"] != flow.Succeeded {
		t.Errorf("operation %s: %v", op.Status, statuses(op))
	}
}
