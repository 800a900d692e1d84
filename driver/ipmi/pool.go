package ipmi

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"ferric"
	"ferric/driver"
)

// Options are the settings of a Pool. The zero value means the defaults given at each field.
type Options struct {
	CipherSuites []int // to try where a node names none, best first; default 17, 3

	Tries            int           // how often a request is sent; default 4
	TryWait          time.Duration // for the first reply, half as long again for each further try; default 1 s
	OperationTimeout time.Duration // for one operation, waiting for the BMC's turn included; default 60 s
	MinInterval      time.Duration // between two commands to one BMC; default none

	// SessionIdle is how long a session is kept for reuse; default 50 s, as BMCs end them after 60 s. A negative
	// value means that a session ends when no more operations wait for its BMC.
	SessionIdle time.Duration
	MaxSessions int // open at the same time, over all BMCs; default 4096
	MaxQueue    int // operations waiting for one BMC before CodeBusy; default 64
	// MaxSensorRecords bounds the sensor data records that are remembered, of all BMCs together, in about 150 bytes each; equal repositories
	// are kept once. Default 250,000.
	MaxSensorRecords int

	// A BMC that did not answer BreakerAfter operations in a row (default 3) is left alone for BreakerWait
	// (default 10 s), then twice as long, up to BreakerMax (default 5 min). Meanwhile periodic operations fail
	// at once, and interactive ones after two short tries. The same BreakerMax holds for a refused login, so
	// that periodic work does not get the account locked.
	BreakerAfter int
	BreakerWait  time.Duration
	BreakerMax   time.Duration

	KeepBootTimeout bool // do not tell BMCs to keep boot flags for longer than 60 s, unless a node asks
	// States keeps the boot devices of nodes with ipmi_force_boot_device; nil is memory, which forgets them when the process ends.
	States driver.States
	Logger *slog.Logger // default: nothing is logged
}

func (o Options) withDefaults() Options {
	fill := func(d *time.Duration, v time.Duration) {
		if *d <= 0 {
			*d = v
		}
	}
	count := func(n *int, v int) {
		if *n <= 0 {
			*n = v
		}
	}
	if len(o.CipherSuites) == 0 {
		o.CipherSuites = []int{17, 3}
	}
	count(&o.Tries, 4)
	fill(&o.TryWait, time.Second)
	fill(&o.OperationTimeout, time.Minute)
	if o.SessionIdle == 0 {
		o.SessionIdle = 50 * time.Second
	}
	count(&o.MaxSessions, 4096)
	count(&o.MaxQueue, 64)
	count(&o.MaxSensorRecords, 250_000)
	count(&o.BreakerAfter, 3)
	fill(&o.BreakerWait, 10*time.Second)
	fill(&o.BreakerMax, 5*time.Minute)
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.States == nil {
		o.States = &memory{}
	}
	return o
}

// Validate reports a value that cannot work (CodeInvalid).
func (o Options) Validate() error {
	for _, id := range o.CipherSuites {
		if _, ok := suites[id]; !ok {
			return ferric.Errorf(ferric.CodeInvalid, "cipher_suites: %d is not supported; use 17 and 3", id)
		}
	}
	return nil
}

// Pool owns the sessions with all BMCs. Make it with NewPool.
type Pool struct {
	opts  Options
	ctx   context.Context
	stop  context.CancelFunc
	wg    sync.WaitGroup
	slots chan struct{} // one element per open session

	waiting atomic.Int32 // operations that wait for a slot
	logins  atomic.Int64
	sent    atomic.Int64
	sdrs    *sdrCache

	mu     sync.Mutex
	closed bool
	actors map[string]*actor
}

// NewPool starts a pool. The options must be valid.
func NewPool(o Options) *Pool {
	o = o.withDefaults()
	o.CipherSuites = slices.DeleteFunc(slices.Clone(o.CipherSuites), func(id int) bool { _, ok := suites[id]; return !ok })
	p := &Pool{opts: o, slots: make(chan struct{}, o.MaxSessions), actors: map[string]*actor{}, sdrs: newSDRCache(o.MaxSensorRecords)}
	p.ctx, p.stop = context.WithCancel(context.Background())
	p.wg.Go(p.sweep)
	return p
}

// Close ends all operations and sessions and waits for them. Operations that still come are refused with
// CodeUnavailable.
func (p *Pool) Close() {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.stop()
	p.wg.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, a := range p.actors {
		a.mu.Lock()
		a.hangUp()
		a.mu.Unlock()
	}
	clear(p.actors)
}

// Stats are counters and gauges of a pool.
type Stats struct {
	BMCs      int   // with a queue, a session or a remembered failure
	Sessions  int   // open now
	Waiting   int   // operations in queues, without those in progress
	Logins    int64 // sessions opened so far
	Datagrams int64 // sent so far
}

// Stats returns the present values.
func (p *Pool) Stats() Stats {
	p.mu.Lock()
	defer p.mu.Unlock()
	st := Stats{BMCs: len(p.actors), Sessions: len(p.slots), Logins: p.logins.Load(), Datagrams: p.sent.Load()}
	for _, a := range p.actors {
		a.mu.Lock()
		st.Waiting += len(a.queue[0]) + len(a.queue[1])
		a.mu.Unlock()
	}
	return st
}

// BMC returns a handle on the BMC that info describes. It costs nothing and needs no closing. Its operations go
// before those of a handle made by Periodic.
func (p *Pool) BMC(info Info) BMC { return BMC{pool: p, info: info} }

// BMC is a handle on one BMC, for one set of credentials. The zero value is not usable.
type BMC struct {
	pool     *Pool
	info     Info
	periodic bool
}

// Periodic returns a handle for work that nobody waits for, such as power state synchronization: its operations
// let others pass, and fail at once while the BMC is known to be dead or to refuse the login.
func (b BMC) Periodic() BMC {
	b.periodic = true
	return b
}

// Info returns what the handle was made with.
func (b BMC) Info() Info { return b.info }

// sweep closes sessions that were not used for a while and forgets BMCs.
func (p *Pool) sweep() {
	interval := time.Second
	if p.opts.SessionIdle > 0 {
		interval = min(interval, max(p.opts.SessionIdle/10, 10*time.Millisecond))
	}
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		select {
		case <-p.ctx.Done():
			return
		case <-tick.C:
		}
		p.mu.Lock()
		for address, a := range p.actors {
			a.mu.Lock()
			if !a.running {
				if a.session != nil && time.Since(a.session.lastReply) >= p.opts.SessionIdle {
					a.hangUp()
				}
				if a.session == nil && time.Since(a.lastUsed) > 2*p.opts.BreakerMax {
					delete(p.actors, address)
				}
			}
			a.mu.Unlock()
		}
		p.mu.Unlock()
	}
}

// acquire takes a session slot, closing the session that was idle longest if there is none free.
func (p *Pool) acquire(ctx context.Context) error {
	select {
	case p.slots <- struct{}{}:
		return nil
	default:
	}
	p.waiting.Add(1)
	defer p.waiting.Add(-1)
	p.hangUpIdlest()
	select {
	case p.slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ferric.Errorf(ferric.CodeBusy, "all %d IPMI sessions are in use: %w", p.opts.MaxSessions, ctx.Err())
	}
}

func (p *Pool) release() { <-p.slots }

func (p *Pool) hangUpIdlest() {
	p.mu.Lock()
	defer p.mu.Unlock()
	var idlest *actor
	var since time.Time
	for _, a := range p.actors {
		a.mu.Lock()
		if !a.running && a.session != nil && (idlest == nil || a.session.lastReply.Before(since)) {
			idlest, since = a, a.session.lastReply
		}
		a.mu.Unlock()
	}
	if idlest == nil {
		return
	}
	idlest.mu.Lock()
	if !idlest.running {
		idlest.hangUp()
	}
	idlest.mu.Unlock()
}
