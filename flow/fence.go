package flow

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"ferric"
)

// The holder of a lease and the one who waits for it measure the same time with different clocks, and what leaves a process needs time to arrive. So
// a holder stops a part of the lease's duration earlier: a tenth. Whoever takes over waits for all of it. In between, a command whose last check
// (Fenced) came just in time has reached the machine.
const marginPart = 10

// uptime is a clock that no operator can set and that goes on while the process is stopped and while the host is suspended.
func uptime() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &t); err != nil {
		return time.Duration(time.Now().UnixNano()) // a kernel without this clock is older than Go supports
	}
	return time.Duration(t.Nano())
}

type (
	leaseKey   struct{}
	requestKey struct{}
	carriesKey struct{}
)

// errLeaseLost is the cause of a worker's cancellation when its lease was taken over, or ran out because it could not be renewed in time.
var errLeaseLost = &ferric.Error{Code: ferric.CodeStale, Message: "the node's lease was lost to another conductor, or could not be renewed in time"}

// holding is a lease that a runner has, and how to stop whoever relies on it.
type holding struct {
	cancel context.CancelCauseFunc
	clock  func() time.Duration
	gone   atomic.Bool
	count  *atomic.Int64 // of the runner's leases that were lost
	timer  *time.Timer

	// Guarded by Runner.mu.
	renewedAt time.Time // by Config.Now: when it was taken, or renewed last
	ranOut    bool      // it was renewed too late; see stoodStill

	mu       sync.Mutex
	lease    Lease
	deadline time.Duration // by clock; the work stops then
}

// expire stops the work if its time is over, and else looks again when it is.
func (h *holding) expire() {
	if left := h.left(); left > 0 {
		h.timer.Reset(left)
		return
	}
	h.lose()
}

// lose stops the work because the lease is no more.
func (h *holding) lose() {
	if !h.gone.Swap(true) {
		h.count.Add(1)
	}
	h.cancel(errLeaseLost)
}

func (h *holding) left() time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.deadline - h.clock()
}

// renewed notes a renewal that was asked for at a time of the clock.
func (h *holding) renewed(l Lease, asked, lasts time.Duration) {
	h.mu.Lock()
	h.lease.Until, h.deadline = l.Until, asked+lasts
	h.mu.Unlock()
	h.timer.Reset(max(0, h.left()))
}

func (h *holding) is() Lease {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.lease
}

// Fenced returns CodeStale when the lease that the work of ctx relies on has run out or was lost, by a clock that goes on while the process is
// stopped. Drivers call it right before anything leaves for a machine, each repetition included: a deadline of the context alone is noticed only
// when a goroutine looks at it. Work without a lease is never fenced.
func Fenced(ctx context.Context) error {
	h, ok := ctx.Value(leaseKey{}).(*holding)
	if !ok {
		return nil
	}
	if h.left() <= 0 {
		h.lose()
		return errLeaseLost
	}
	if errors.Is(context.Cause(ctx), errLeaseLost) {
		return errLeaseLost
	}
	return nil
}

// LeaseOf returns the lease that the work of ctx relies on. The ledger makes every write of such work depend on it.
func LeaseOf(ctx context.Context) (Lease, bool) {
	h, ok := ctx.Value(leaseKey{}).(*holding)
	if !ok {
		return Lease{}, false
	}
	return h.is(), true
}

// WithoutLease returns a context whose writes do not depend on a lease: for those that carry one themselves.
func WithoutLease(ctx context.Context) context.Context {
	if _, ok := ctx.Value(leaseKey{}).(*holding); !ok {
		return ctx
	}
	return context.WithValue(ctx, leaseKey{}, nil)
}

// Request identifies a call of the API over all of its repetitions: a caller that gets no answer calls again, perhaps another conductor.
type Request struct {
	Key      string // UUID
	Attempt  string // new with every repetition
	Repeated bool   // it is not the first attempt
}

// WithRequest marks the work for a call.
func WithRequest(ctx context.Context, r Request) context.Context {
	return context.WithValue(ctx, requestKey{}, r)
}

// RequestOf returns the call that ctx's work is for; the zero value if there is none.
func RequestOf(ctx context.Context) Request {
	r, _ := ctx.Value(requestKey{}).(Request)
	return r
}

// CarriesOut marks the write that carries a call out: with it, in the same transaction, the ledger notes the call's key. If another attempt has
// done so already, the write is undone and ErrCarriedOut comes back.
func CarriesOut(ctx context.Context) context.Context {
	if RequestOf(ctx).Key == "" {
		return ctx
	}
	return context.WithValue(ctx, carriesKey{}, true)
}

// CarriedOut returns the call that a write made with ctx carries out; the zero value if it carries out none.
func CarriedOut(ctx context.Context) Request {
	if ctx.Value(carriesKey{}) == nil {
		return Request{}
	}
	return RequestOf(ctx)
}

// ErrCarriedOut says that another attempt of the same call has been carried out.
var ErrCarriedOut = &ferric.Error{Code: ferric.CodeConflict, Message: "the request was carried out by an earlier attempt"}
