package flow

import (
	"context"
	"time"
)

// Timeouts count work, not outages. How long an operation has waited is not the difference of two times: the conductors may have been down between
// them, or the database, or the clock may have leapt. It is the sum of what passed from look to look, and a look that comes much later than it was
// planned counts as one that came in time.

// regained is how much of a wait an outage gives back: what was waited for may have come meanwhile and found nobody, and needs time to
// come again. An agent calls at least every five minutes.
const regained = 5 * time.Minute

// count adds what has passed since the last look to what the operation has waited.
func (r *Runner) count(op *Operation) {
	if op.WaitSince.IsZero() || op.LookedAt.IsZero() {
		return
	}
	now := r.now()
	passed := max(0, now.Sub(op.LookedAt)) // less than nothing: the clock was put back
	planned := max(0, op.WakeAt.Sub(op.LookedAt)) + r.LeaseTTL
	heard := op.WaitFor == "" || r.Serving == nil || r.Serving()
	outage := passed > planned || !heard
	if heard {
		op.Waited += min(passed, planned)
	}
	if outage && op.WaitFor != "" {
		op.Waited = max(0, op.Waited-regained)
	}
	op.LookedAt = now
	if outage && heard {
		r.log.Warn("a wait was not looked after in time: the conductors or the database were away, or the clock leapt; it counts as if there had been no pause",
			"node", op.NodeUUID, "operation", op.ID, "waits_for", op.WaitWhat, "late", passed-planned, "counted", op.Waited)
	}
}

// watch forgets that a lease ran out before; stoodStill reports whether it has since. What a step fails of meanwhile, such as a time that was
// over, says nothing of the machine: this process was stopped, its host was asleep, or the clock leapt.
func (r *Runner) watch(lease Lease) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if h := r.held[lease.NodeUUID]; h != nil && h.is().Epoch == lease.Epoch {
		h.ranOut = false
	}
}

func (r *Runner) stoodStill(lease Lease) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	h := r.held[lease.NodeUUID]
	return h != nil && h.is().Epoch == lease.Epoch && (h.ranOut || r.now().Sub(h.renewedAt) > r.LeaseTTL)
}

// How often times of the future are looked for, and how far the clocks of hosts may be apart.
const (
	rewakeEvery = time.Minute
	clocksApart = 2 * time.Minute
)

// rewake makes operations due whose times are wrong because the clock was put back: they would sleep until it is as late again.
func (r *Runner) rewake(ctx context.Context) (woken int) {
	woken, err := r.ledger.Rewake(ctx, r.now(), clocksApart)
	switch {
	case err != nil && ctx.Err() == nil:
		r.log.Warn("cannot look for operations of the future; trying again", "in", rewakeEvery, "error", err)
	case woken > 0:
		r.log.Warn("the clock was put back, or those of the conductors' hosts are apart; operations that waited for a time of the future are looked after now",
			"operations", woken)
	}
	return woken
}
