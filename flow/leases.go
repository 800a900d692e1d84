package flow

import (
	"context"
	"errors"
	"time"

	"ferric"
)

// taken is a lease with the time of the clock at which it was asked for: it lasts from then on, if not longer.
type taken struct {
	Lease
	asked time.Duration
}

// take takes a lease. One that came so late that little is left of it is given back: CodeLocked.
func (r *Runner) take(ctx context.Context, nodeUUID string) (taken, error) {
	if r.keeps(ctx, nodeUUID) {
		return taken{}, ferric.Errorf(ferric.CodeLocked, "Node %s is locked by host %s, please retry after the current operation is completed.", nodeUUID, r.Owner)
	}
	asked := r.Clock()
	lease, err := r.ledger.Acquire(ctx, nodeUUID, r.Owner, r.LeaseTTL)
	if err != nil {
		return taken{}, err
	}
	if r.Clock()-asked > r.lasts()/2 {
		r.letGo(lease)
		return taken{}, ferric.Errorf(ferric.CodeLocked, "the database took %s to give a lease of %s", (r.Clock() - asked).Round(time.Millisecond), r.LeaseTTL)
	}
	return taken{lease, asked}, nil
}

// lasts is how long this runner relies on a lease from when it was asked for.
func (r *Runner) lasts() time.Duration { return r.LeaseTTL - r.LeaseTTL/marginPart }

// hold notes a lease for renewal and returns a context that ends when the lease is lost, or runs out.
func (r *Runner) hold(ctx context.Context, lease taken) context.Context {
	ctx, cancel := context.WithCancelCause(ctx)
	h := &holding{lease: lease.Lease, cancel: cancel, count: &r.lost, clock: r.Clock, deadline: lease.asked + r.lasts()}
	h.mu.Lock() // expire may begin at once
	h.timer = time.AfterFunc(max(0, h.deadline-r.Clock()), h.expire)
	h.mu.Unlock()
	r.mu.Lock()
	defer r.mu.Unlock()
	if old := r.held[lease.NodeUUID]; old != nil {
		old.timer.Stop()
		old.cancel(errLeaseLost) // of Begin's planning, which is over, or of a lease that ran out
	}
	h.renewedAt = r.now()
	r.held[lease.NodeUUID] = h
	return context.WithValue(ctx, leaseKey{}, h)
}

// keeps reports whether this runner works on a node under a lease that is its own though it seems to have run out: the clock leapt.
func (r *Runner) keeps(ctx context.Context, nodeUUID string) bool {
	r.mu.Lock()
	h := r.held[nodeUUID]
	r.mu.Unlock()
	return h != nil && !r.now().Before(h.is().Until) && r.holds(ctx, nodeUUID)
}

// holds reports whether a worker of this runner has a lease of the node that is good still, and renews it then.
func (r *Runner) holds(ctx context.Context, nodeUUID string) bool {
	r.mu.Lock()
	h := r.held[nodeUUID]
	r.mu.Unlock()
	if h == nil || h.left() <= 0 {
		return false
	}
	asked := r.Clock()
	kept, err := r.ledger.Renew(ctx, []Lease{h.is()}, r.LeaseTTL)
	if err != nil {
		return true // the rounds of renewals will tell
	}
	if len(kept) == 0 {
		return false
	}
	h.renewed(kept[0], asked, r.lasts())
	r.mu.Lock()
	defer r.mu.Unlock()
	h.ranOut = h.ranOut || r.now().Sub(h.renewedAt) > r.LeaseTTL
	h.renewedAt = r.now()
	return true
}

// letGo gives a lease back. It works after Run's context has ended, too.
func (r *Runner) letGo(lease Lease) {
	r.mu.Lock()
	h := r.held[lease.NodeUUID]
	if h != nil && h.is().Epoch == lease.Epoch {
		delete(r.held, lease.NodeUUID)
		h.timer.Stop()
		h.cancel(nil)
	}
	drains := r.drains
	r.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.base), 10*time.Second)
	defer cancel()
	if err := r.ledger.Release(ctx, lease); err != nil {
		r.log.Warn("cannot give a lease back; it will run out", "node", lease.NodeUUID, "error", err)
	}
	r.Poke() // somebody may be waiting for this node
	if drains && r.Released != nil {
		r.Released(lease.NodeUUID)
	}
}

// renewLoop renews all leases after each third of their duration, and sooner after a failure.
func (r *Runner) renewLoop(ctx context.Context) {
	every := r.LeaseTTL / 3
	due := r.Clock() + every
	for {
		timer := time.NewTimer(max(0, due-r.Clock()))
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
		if r.renew(ctx, r.Clock()-due) {
			due = max(due+every, r.Clock()+every/2)
		} else {
			due = r.Clock() + every/4
		}
	}
}

// renew prolongs all leases. Workers whose lease is lost are stopped; those whose lease cannot be renewed stop by themselves before it runs out.
func (r *Runner) renew(ctx context.Context, late time.Duration) (ok bool) {
	r.mu.Lock()
	leases := make([]Lease, 0, len(r.held))
	for _, h := range r.held {
		leases = append(leases, h.is())
	}
	r.mu.Unlock()
	if len(leases) == 0 {
		if r.Renewed != nil {
			r.Renewed(0, int(r.lost.Swap(0)), 0, nil)
		}
		return true
	}
	asked := r.Clock()
	asking, cancel := context.WithTimeout(ctx, r.lasts())
	kept, err := r.ledger.Renew(asking, leases, r.LeaseTTL)
	cancel()
	if ctx.Err() != nil {
		return true
	}
	late += r.Clock() - asked
	if err != nil {
		r.log.Error("cannot renew leases; trying again", "leases", len(leases), "error", err)
		if r.Renewed != nil {
			r.Renewed(len(leases), 0, late, err)
		}
		return false
	}
	until := map[string]Lease{}
	for _, l := range kept {
		until[l.NodeUUID] = l
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, was := range leases {
		h := r.held[was.NodeUUID]
		if h == nil || h.is().Epoch != was.Epoch {
			continue
		}
		if l, ok := until[was.NodeUUID]; ok && l.Epoch == was.Epoch {
			h.ranOut = h.ranOut || r.now().Sub(h.renewedAt) > r.LeaseTTL
			h.renewedAt = r.now()
			h.renewed(l, asked, r.lasts())
			continue
		}
		r.log.Warn("lost the lease of a node; its worker stops", "node", was.NodeUUID)
		h.lose()
	}
	if r.Renewed != nil {
		r.Renewed(len(leases), int(r.lost.Swap(0)), late, nil)
	}
	return true
}

// acquire takes the lease, waiting a little for one that is held now, and for that of a dead conductor until it runs out.
func (r *Runner) acquire(ctx context.Context, nodeUUID string) (taken, error) {
	began := time.Now()
	for pause := 20 * time.Millisecond; ; pause = min(2*pause, 300*time.Millisecond) {
		lease, err := r.take(ctx, nodeUUID)
		if err == nil || !ferric.IsCode(err, ferric.CodeLocked) {
			return lease, err
		}
		if waited := time.Since(began); waited > r.LockWait &&
			(waited > r.LockWait+2*r.LeaseTTL || r.Orphaned == nil || !r.Orphaned(ctx, nodeUUID)) {
			return taken{}, err
		}
		select {
		case <-ctx.Done():
			return taken{}, errors.Join(err, ctx.Err())
		case <-time.After(pause):
		}
	}
}
