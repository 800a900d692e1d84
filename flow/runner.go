package flow

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"ferric"
)

// Config is what a Runner is made of. All fields without a default in their comment must be set.
type Config struct {
	Ledger   Ledger
	Owner    string // this conductor's host name
	Programs map[string]Program
	// Spoken is the version of the protocol that all conductors speak now, this one included: what is planned is for it. nil: 1.
	Spoken func() int
	// Owns says whether this conductor is the one to carry an operation on. One that it does not understand is not its.
	Owns     func(Due) bool
	Workers  int           // steps that run at the same time; 100
	Reserved int           // of these, only for operations that people begin now; 5 % of Workers
	LeaseTTL time.Duration // 3 s; renewed after each third
	Poll     time.Duration // longest time between two looks for due operations; 500 ms
	LockWait time.Duration // how long to wait for somebody else's short lease, or for a free worker; 3 s
	// Drain is how long Run, told to stop, waits for the steps under way to come to their ends or checkpoints before it interrupts them. 0: not at all.
	Drain time.Duration
	// Orphaned says whether the one who holds a node is known to be gone. Its lease is then waited for until it runs out, whatever
	// LockWait says. It may be nil.
	Orphaned func(ctx context.Context, nodeUUID string) bool
	Log      *slog.Logger
	Now      func() time.Time // time.Now
	// Serving says whether events can come at all: whether somebody takes agents' calls. While not, waits for events do not run out. nil: always.
	Serving func() bool
	// Observe is told of every step that ended, for metrics. It may be nil.
	Observe func(op *Operation, s *Step)
	// Renewed is told of every round of renewals: how many leases there were, how many were lost or ran out since the last one, how long after its time it was
	// done, and what went wrong. It may be nil.
	Renewed func(leases, lost int, late time.Duration, err error)
	// TookOver is told of every operation that is carried on which another conductor had begun. It may be nil.
	TookOver func(op *Operation)
	// Released is told of every lease that is given back while the runner stops: others may go on. It may be nil.
	Released func(nodeUUID string)
	// Clock is the clock of leases; CLOCK_BOOTTIME.
	Clock func() time.Duration
}

// Runner works on the operations of a ledger. Make it with New, start it with Run.
type Runner struct {
	Config
	ledger Ledger
	now    func() time.Time
	log    *slog.Logger
	poke   chan struct{}

	mu      sync.Mutex
	held    map[string]*holding // by node
	busy    int                 // workers taken
	closed  bool
	drains  bool // no step is begun any more
	workers sync.WaitGroup
	base    context.Context // of all workers
	stop    context.CancelFunc
	marks   atomic.Int64 // of checkpoints
	lost    atomic.Int64 // leases, since the last round of renewals
}

// New makes a runner. Nothing runs before Run, but Begin may be called.
func New(c Config) *Runner {
	if c.Workers == 0 {
		c.Workers = 100
	}
	if c.Reserved == 0 {
		c.Reserved = max(1, c.Workers*5/100)
	}
	if c.LeaseTTL == 0 {
		c.LeaseTTL = 3 * time.Second
	}
	if c.Poll == 0 {
		c.Poll = 500 * time.Millisecond
	}
	if c.LockWait == 0 {
		c.LockWait = 3 * time.Second
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Clock == nil {
		c.Clock = uptime
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	base, stop := context.WithCancel(context.Background())
	return &Runner{Config: c, ledger: c.Ledger, now: c.Now, log: c.Log, poke: make(chan struct{}, 1),
		held: map[string]*holding{}, base: base, stop: stop}
}

// Poke makes the runner look for due operations at once.
func (r *Runner) Poke() {
	select {
	case r.poke <- struct{}{}:
	default:
	}
}

// Run looks for due operations and renews leases until ctx ends. Then it begins nothing more, lets the steps under way come to their ends for
// Config.Drain, stops the workers that are left, waits for them, and gives their leases back. What they were doing stays in the ledger
// and is carried on by the next runner.
func (r *Runner) Run(ctx context.Context) error {
	renewing, stopRenewing := context.WithCancel(context.WithoutCancel(ctx)) // as long as there are workers
	defer stopRenewing()
	var loops sync.WaitGroup
	loops.Go(func() { r.renewLoop(renewing) })
	r.claimLoop(ctx)
	r.mu.Lock()
	r.closed, r.drains = true, true
	r.mu.Unlock()
	r.drain()
	r.stop()
	r.workers.Wait()
	stopRenewing()
	loops.Wait()
	return nil
}

// drain waits for the workers, but not for longer than Config.Drain.
func (r *Runner) drain() {
	if r.Drain <= 0 {
		return
	}
	done := make(chan struct{})
	go func() { r.workers.Wait(); close(done) }() // it ends: Run waits for the workers, too
	limit := time.NewTimer(r.Drain)
	defer limit.Stop()
	select {
	case <-done:
	case <-limit.C:
		busy, _ := r.Busy()
		r.log.Warn("steps are still under way; they are interrupted, and whoever goes on looks how far they came", "operations", busy, "after", r.Drain)
	}
}

// Stop begins to stop before Run's context ends: no operation and no step is begun any more.
func (r *Runner) Stop() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed, r.drains = true, true
}

// draining reports whether no step is to be begun any more.
func (r *Runner) draining() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.drains
}

func (r *Runner) claimLoop(ctx context.Context) {
	var rewoke time.Time
	for {
		next := r.claimDue(ctx)
		if time.Since(rewoke) >= rewakeEvery {
			rewoke = time.Now()
			if r.rewake(ctx) > 0 {
				next = 0
			}
		}
		timer := time.NewTimer(next)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-r.poke:
			timer.Stop()
		case <-timer.C:
		}
	}
}

// claimDue starts workers for what is due and returns how long to sleep.
func (r *Runner) claimDue(ctx context.Context) time.Duration {
	free := r.free() - r.Reserved
	if free <= 0 {
		return r.Poll
	}
	due, err := r.due(ctx, free)
	if err != nil {
		if ctx.Err() == nil {
			r.log.Error("cannot look for due operations; trying again", "error", err)
		}
		return r.Poll
	}
	for _, d := range due {
		if r.holds(ctx, d.NodeUUID) { // a clock was set: the lease looks as if it had run out
			continue
		}
		if !r.reserve(r.Reserved) {
			break
		}
		lease, err := r.take(ctx, d.NodeUUID)
		if err != nil {
			r.unreserve()
			if errors.Is(err, ferric.ErrOutage) { // the others would fare no better
				r.log.Warn("the database takes nothing; due operations wait", "due", len(due), "error", err)
				return r.Poll
			}
			if !ferric.IsCode(err, ferric.CodeLocked) && ctx.Err() == nil {
				r.log.Warn("cannot take the lease of a due node", "node", d.NodeUUID, "error", err)
			}
			continue
		}
		r.spawn(lease, d.OperationID)
	}
	wake, err := r.ledger.NextWake(ctx, r.now())
	if err != nil || wake.IsZero() {
		return r.Poll
	}
	return min(r.Poll, max(wake.Sub(r.now()), 5*time.Millisecond))
}

// due lists operations that wait for this runner, as many as there are, or at least want. It asks for more and more, because any number of
// those that are due longest may belong to conductors that are down.
func (r *Runner) due(ctx context.Context, want int) ([]Due, error) {
	for limit := 4*want + 64; ; limit *= 4 {
		all, err := r.ledger.Due(ctx, r.now(), limit)
		if err != nil {
			return nil, err
		}
		mine := all
		if r.Owns != nil {
			mine = slices.DeleteFunc(slices.Clone(all), func(d Due) bool { return !r.Owns(d) })
		}
		if len(all) < limit || len(mine) >= want {
			return mine, nil
		}
	}
}

// free returns the number of idle workers.
func (r *Runner) free() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.Workers - r.busy
}

// Busy returns the numbers of working workers and of all.
func (r *Runner) Busy() (busy, all int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.busy, r.Workers
}

// reserve takes a worker, leaving at least keep free.
func (r *Runner) reserve(keep int) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed || r.Workers-r.busy <= keep {
		return false
	}
	r.busy++
	r.workers.Add(1)
	return true
}

func (r *Runner) unreserve() {
	r.mu.Lock()
	r.busy--
	r.mu.Unlock()
	r.workers.Done()
}

// spawn runs an operation under a lease in a reserved worker, and gives both back.
func (r *Runner) spawn(lease taken, operationID string) {
	ctx := r.hold(r.base, lease)
	go func() {
		defer r.unreserve()
		defer r.letGo(lease.Lease)
		op, err := r.load(ctx, lease.NodeUUID, operationID)
		if err == nil {
			err = r.work(ctx, lease.Lease, op)
		}
		if err != nil && ctx.Err() == nil && !ferric.IsCode(err, ferric.CodeStale) {
			r.log.Error("an operation could not be carried on; it will be tried again", "node", lease.NodeUUID,
				"operation", operationID, "error", err)
			select { // not in a tight loop
			case <-ctx.Done():
			case <-time.After(r.Poll):
			}
		}
	}()
}

// Begin takes a worker and the node's lease, lets plan make an operation and its effect on the node, writes both down, and
// goes on in the background. When it returns nil the operation is durable. plan runs under the lease and may read. CodeBusy if no
// worker becomes free within LockWait, CodeLocked if somebody else keeps the node, CodeConflict if the lane is taken.
func (r *Runner) Begin(ctx context.Context, nodeUUID string, plan func(ctx context.Context) (*Operation, Mutate, error)) (*Operation, error) {
	if err := r.awaitWorker(ctx); err != nil {
		return nil, err
	}
	lease, err := r.acquire(ctx, nodeUUID)
	if err != nil {
		r.unreserve()
		return nil, err
	}
	held := r.hold(ctx, lease)
	op, mutate, err := plan(held)
	if err == nil {
		now := r.now()
		op.NodeUUID, op.Status, op.Conductor, op.Needs = nodeUUID, Running, r.Owner, max(op.Needs, r.spoken())
		op.CreatedAt, op.UpdatedAt = now, now
		for i := range op.Steps {
			op.Steps[i].Seq, op.Steps[i].Status = i, Pending
		}
		err = r.start(held, lease.Lease, op, mutate)
	}
	if err != nil {
		if lost := Fenced(held); lost != nil {
			err = lost
		}
		r.letGo(lease.Lease)
		r.unreserve()
		return nil, err
	}
	r.spawn(lease, op.ID)
	return op, nil
}

// spoken is the version of the protocol that all conductors speak.
func (r *Runner) spoken() int {
	if r.Spoken == nil {
		return 1
	}
	return r.Spoken()
}

// awaitWorker reserves a worker, waiting a little for one: many requests at once are worked on one after the other.
func (r *Runner) awaitWorker(ctx context.Context) error {
	deadline := time.Now().Add(r.LockWait)
	for pause := 5 * time.Millisecond; !r.reserve(0); pause = min(2*pause, 100*time.Millisecond) {
		if r.isClosed() {
			return ErrElsewhere
		}
		if time.Now().After(deadline) || ctx.Err() != nil {
			return ferric.Errorf(ferric.CodeBusy, "Requested action cannot be performed due to lack of free conductor workers.")
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
	return nil
}

func (r *Runner) isClosed() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.closed
}

// WithLease runs do under the node's lease: for calls that come and go with a request.
func (r *Runner) WithLease(ctx context.Context, nodeUUID string, do func(ctx context.Context, l Lease) error) error {
	lease, err := r.acquire(ctx, nodeUUID)
	if err != nil {
		return err
	}
	defer r.letGo(lease.Lease)
	held := r.hold(ctx, lease)
	err = do(held, lease.Lease)
	if lost := Fenced(held); err != nil && lost != nil {
		return lost
	}
	return err
}

// ErrElsewhere refuses what a runner that stops does not begin any more. Another conductor does.
var ErrElsewhere = &ferric.Error{Code: ferric.CodeElsewhere, Message: "this conductor is stopping"}
