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
	// Owns says whether this conductor is the one to carry an operation on.
	Owns     func(Due) bool
	Workers  int           // steps that run at the same time; 100
	Reserved int           // of these, only for operations that people begin now; 5 % of Workers
	LeaseTTL time.Duration // 30 s
	Poll     time.Duration // longest time between two looks for due operations; 2 s
	LockWait time.Duration // how long to wait for somebody else's short lease, or for a free worker; 3 s
	Log      *slog.Logger
	Now      func() time.Time // time.Now
	// Serving says whether events can come at all: whether somebody takes agents' calls. While not, waits for events do not run out. nil: always.
	Serving func() bool
	// Observe is told of every step that ended, for metrics. It may be nil.
	Observe func(op *Operation, s *Step)
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
	workers sync.WaitGroup
	base    context.Context // of all workers
	stop    context.CancelFunc
	marks   atomic.Int64 // of checkpoints
}

// holding is a lease that this runner has, and how to stop whoever relies on it.
type holding struct {
	lease   Lease
	cancel  context.CancelCauseFunc
	renewed time.Time // when it was taken, or renewed last
	ranOut  bool      // it was renewed too late; see stoodStill
}

// errLeaseLost is the cause of a worker's cancellation when its lease was taken over.
var errLeaseLost = &ferric.Error{Code: ferric.CodeStale, Message: "the node's lease was lost to another conductor"}

// New makes a runner. Nothing runs before Run, but Begin may be called.
func New(c Config) *Runner {
	if c.Workers == 0 {
		c.Workers = 100
	}
	if c.Reserved == 0 {
		c.Reserved = max(1, c.Workers*5/100)
	}
	if c.LeaseTTL == 0 {
		c.LeaseTTL = 30 * time.Second
	}
	if c.Poll == 0 {
		c.Poll = 2 * time.Second
	}
	if c.LockWait == 0 {
		c.LockWait = 3 * time.Second
	}
	if c.Now == nil {
		c.Now = time.Now
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

// Run looks for due operations and renews leases until ctx ends; then it stops all workers, waits for them, and gives their
// leases back. What they were doing stays in the ledger and is carried on by the next runner.
func (r *Runner) Run(ctx context.Context) error {
	var loops sync.WaitGroup
	loops.Go(func() { r.renewLoop(ctx) })
	r.claimLoop(ctx)
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	r.stop()
	r.workers.Wait()
	loops.Wait()
	return nil
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
		if r.keeps(ctx, d.NodeUUID) {
			continue
		}
		if !r.reserve(r.Reserved) {
			break
		}
		lease, err := r.ledger.Acquire(ctx, d.NodeUUID, r.Owner, r.LeaseTTL)
		if err != nil {
			r.unreserve()
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
func (r *Runner) spawn(lease Lease, operationID string) {
	ctx := r.hold(r.base, lease)
	go func() {
		defer r.unreserve()
		defer r.letGo(lease)
		op, err := r.load(ctx, lease.NodeUUID, operationID)
		if err == nil {
			err = r.work(ctx, lease, op)
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

// hold notes a lease for renewal and returns a context that ends when the lease is lost.
func (r *Runner) hold(ctx context.Context, lease Lease) context.Context {
	ctx, cancel := context.WithCancelCause(ctx)
	r.mu.Lock()
	defer r.mu.Unlock()
	if old := r.held[lease.NodeUUID]; old != nil {
		old.cancel(errLeaseLost) // of Begin's planning, which is over, or of a lease that ran out
	}
	r.held[lease.NodeUUID] = &holding{lease: lease, cancel: cancel, renewed: r.now()}
	return ctx
}

// letGo gives a lease back. It works after Run's context has ended, too.
func (r *Runner) letGo(lease Lease) {
	r.mu.Lock()
	h := r.held[lease.NodeUUID]
	if h != nil && h.lease.Epoch == lease.Epoch {
		delete(r.held, lease.NodeUUID)
		h.cancel(nil)
	}
	r.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.base), 10*time.Second)
	defer cancel()
	if err := r.ledger.Release(ctx, lease); err != nil {
		r.log.Warn("cannot give a lease back; it will run out", "node", lease.NodeUUID, "error", err)
	}
	r.Poke() // somebody may be waiting for this node
}

func (r *Runner) renewLoop(ctx context.Context) {
	tick := time.NewTicker(r.LeaseTTL / 3)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			r.renew(ctx)
		}
	}
}

// renew prolongs all leases. Workers whose lease is lost, or has run out because the database cannot be reached, are stopped.
func (r *Runner) renew(ctx context.Context) {
	r.mu.Lock()
	leases := make([]Lease, 0, len(r.held))
	for _, h := range r.held {
		leases = append(leases, h.lease)
	}
	r.mu.Unlock()
	if len(leases) > 0 {
		r.renewAll(ctx, leases)
	}
}

// renewAll prolongs leases that this runner holds and returns how many are still its own.
func (r *Runner) renewAll(ctx context.Context, leases []Lease) (ours int) {
	kept, err := r.ledger.Renew(ctx, leases, r.LeaseTTL)
	if err != nil {
		if ctx.Err() == nil {
			r.log.Error("cannot renew leases; trying again", "leases", len(leases), "error", err)
		}
		kept = nil
	}
	until := map[string]Lease{}
	for _, l := range kept {
		until[l.NodeUUID] = l
	}
	now := r.now()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, asked := range leases {
		h := r.held[asked.NodeUUID]
		if h == nil || h.lease.Epoch != asked.Epoch {
			continue
		}
		l, ok := until[asked.NodeUUID]
		switch {
		case ok && l.Epoch == asked.Epoch:
			h.ranOut = h.ranOut || now.Sub(h.renewed) > r.LeaseTTL
			h.lease.Until, h.renewed = l.Until, now
			ours++
		case err == nil || !now.Before(h.lease.Until):
			r.log.Warn("lost the lease of a node; its worker stops", "node", asked.NodeUUID)
			h.cancel(errLeaseLost)
		}
	}
	return ours
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
		op.NodeUUID, op.Status, op.Conductor = nodeUUID, Running, r.Owner
		op.CreatedAt, op.UpdatedAt = now, now
		for i := range op.Steps {
			op.Steps[i].Seq, op.Steps[i].Status = i, Pending
		}
		err = r.start(held, lease, op, mutate)
	}
	if err != nil {
		r.letGo(lease)
		r.unreserve()
		return nil, err
	}
	r.spawn(lease, op.ID)
	return op, nil
}

// awaitWorker reserves a worker, waiting a little for one: many requests at once are worked on one after the other.
func (r *Runner) awaitWorker(ctx context.Context) error {
	deadline := time.Now().Add(r.LockWait)
	for pause := 5 * time.Millisecond; !r.reserve(0); pause = min(2*pause, 100*time.Millisecond) {
		if time.Now().After(deadline) || ctx.Err() != nil || r.isClosed() {
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
	defer r.letGo(lease)
	return do(r.hold(ctx, lease), lease)
}

// keeps reports whether this runner works on a node under a lease that is its own though it seems to have run out: the clock leapt. It renews the
// lease to find out.
func (r *Runner) keeps(ctx context.Context, nodeUUID string) bool {
	r.mu.Lock()
	h := r.held[nodeUUID]
	var lease Lease
	if h != nil {
		lease = h.lease
	}
	r.mu.Unlock()
	return h != nil && !r.now().Before(lease.Until) && r.renewAll(ctx, []Lease{lease}) > 0
}

// take takes the lease, unless this runner has it and works.
func (r *Runner) take(ctx context.Context, nodeUUID string) (Lease, error) {
	if r.keeps(ctx, nodeUUID) {
		return Lease{}, ferric.Errorf(ferric.CodeLocked, "Node %s is locked by host %s, please retry after the current operation is completed.", nodeUUID, r.Owner)
	}
	return r.ledger.Acquire(ctx, nodeUUID, r.Owner, r.LeaseTTL)
}

// acquire takes the lease, waiting a little for one that is held now.
func (r *Runner) acquire(ctx context.Context, nodeUUID string) (Lease, error) {
	deadline := time.Now().Add(r.LockWait)
	for pause := 20 * time.Millisecond; ; pause = min(2*pause, 300*time.Millisecond) {
		lease, err := r.take(ctx, nodeUUID)
		if err == nil || !ferric.IsCode(err, ferric.CodeLocked) || time.Now().After(deadline) {
			return lease, err
		}
		select {
		case <-ctx.Done():
			return Lease{}, errors.Join(err, ctx.Err())
		case <-time.After(pause):
		}
	}
}
