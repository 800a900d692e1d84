package conductor

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"ferric"
	"ferric/flow"
	"ferric/rpc"
	"ferric/state"

	"github.com/google/uuid"
)

// AllocationStore keeps allocations. What gives a node away is one transaction, so that nothing is half done after a crash.
type AllocationStore interface {
	CreateAllocation(ctx context.Context, a *ferric.Allocation) error
	Allocation(ctx context.Context, uuid string) (*ferric.Allocation, error)
	UpdateAllocation(ctx context.Context, uuid string, version int64, m func(*ferric.Allocation) error) (*ferric.Allocation, error)
	// DeleteAllocation removes one without a node. One with a node ends when the node lets go of the instance.
	DeleteAllocation(ctx context.Context, uuid string) error
	// Allocate gives an allocation a fit node that nobody holds. taken is false if there is none, and left says what there is instead. It does nothing
	// to an allocation that needs nothing more, or that another conductor is at.
	Allocate(ctx context.Context, uuid, host string) (taken bool, left ferric.Candidates, err error)
	// AllocateNode adds an allocation that has the node of the lease.
	AllocateNode(ctx context.Context, l flow.Lease, a *ferric.Allocation, check func(*ferric.Node) error) error
	DueAllocations(ctx context.Context, limit int) ([]string, error)
	// NextAllocation returns when the next one is due, zero if none waits.
	NextAllocation(ctx context.Context) (time.Time, error)
}

// How allocations are tried, as in Ironic: when all fit nodes are held by somebody, again after a second, three times in all. allocationLook is how
// often a conductor looks for allocations that it was not told of, because another one died.
const (
	allocationTries = 3
	allocationPause = time.Second
	allocationLook  = 3 * time.Second
	allocationBatch = 100
)

// createAllocation stores an allocation. Looking for a node is work that any conductor may do: the row in the database is all that it needs, so it is
// carried on whoever dies.
func (c *Conductor) createAllocation(ctx context.Context, a rpc.AllocationArgs) (*ferric.Allocation, error) {
	if a.Allocation == nil {
		return nil, ferric.Errorf(ferric.CodeInvalid, "arguments of the call: allocation is missing")
	}
	made := a.Allocation.Clone()
	if made.UUID == "" {
		made.UUID = uuid.NewString()
	}
	made.Conductor, made.State, made.LastError, made.Attempts = c.Host, ferric.AllocationPending, "", 0
	if made.NodeUUID != "" {
		return c.backfill(ctx, made)
	}
	if err := c.Store.CreateAllocation(flow.CarriesOut(ctx), made); err != nil {
		return nil, err
	}
	c.seekNodes()
	return made, nil
}

// seekNodes wakes the loop that looks for nodes.
func (c *Conductor) seekNodes() {
	select {
	case c.wanted <- struct{}{}:
	default:
	}
}

func allocationFailed(a *ferric.Allocation, format string, args ...any) error {
	return ferric.Errorf(ferric.CodeInvalid, "Failed to process allocation %s: %s.", a.UUID, fmt.Sprintf(format, args...))
}

// backfill makes an allocation for a node that is in use already.
func (c *Conductor) backfill(ctx context.Context, a *ferric.Allocation) (*ferric.Allocation, error) {
	id := a.NodeUUID
	a.NodeUUID = ""
	err := c.runner.WithLease(ctx, id, func(ctx context.Context, l flow.Lease) error {
		return c.Store.AllocateNode(flow.CarriesOut(ctx), l, a, func(n *ferric.Node) error { return fitsBackfill(a, n) })
	})
	if err == nil {
		return a, nil
	}
	if ferric.IsCode(err, ferric.CodeInvalid) || ferric.IsCode(err, ferric.CodeConflict) {
		failed := a.Clone()
		failed.State = ferric.AllocationFailed
		if e := c.Store.CreateAllocation(ctx, failed); e != nil {
			return nil, e // a duplicate, most often: then that is what is wrong
		}
		if _, e := c.Store.UpdateAllocation(ctx, failed.UUID, 0, func(f *ferric.Allocation) error { f.LastError = err.Error(); return nil }); e != nil {
			return nil, e
		}
	}
	return nil, err
}

// fitsBackfill refuses a node that is not what the allocation says.
func fitsBackfill(a *ferric.Allocation, n *ferric.Node) error {
	var wrong []string
	if n.ProvisionState != ferric.Active {
		wrong = append(wrong, fmt.Sprintf(`Node must be in the "active" state, but the current state is "%s"`, n.ProvisionState))
	}
	if a.ResourceClass != "" && n.ResourceClass != a.ResourceClass {
		wrong = append(wrong, fmt.Sprintf("Resource class %s does not match the requested resource class %s", n.ResourceClass, a.ResourceClass))
	}
	if slices.ContainsFunc(a.Traits, func(t string) bool { return !slices.Contains(n.Traits, t) }) {
		wrong = append(wrong, fmt.Sprintf("List of traits %s does not match the requested traits %s", joined(n.Traits), joined(a.Traits)))
	}
	if len(a.CandidateNodes) > 0 && !slices.Contains(a.CandidateNodes, n.UUID) {
		wrong = append(wrong, fmt.Sprintf("Candidate nodes must be empty or contain the target node, but got %s", joined(a.CandidateNodes)))
	}
	if len(wrong) == 0 {
		return nil
	}
	return allocationFailed(a, "Cannot backfill an allocation for node %s: %s", n.UUID, strings.Join(wrong, "; "))
}

// allocate looks for nodes for allocations until ctx ends.
func (c *Conductor) allocate(ctx context.Context) {
	wait := time.NewTimer(0)
	defer wait.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-c.wanted:
		case <-wait.C:
		}
		next, err := c.allocateDue(ctx)
		if err != nil && ctx.Err() == nil {
			c.Log.Error("allocations cannot be worked on; they will be tried again", "in", allocationLook, "error", err)
		}
		wait.Reset(next)
	}
}

// allocateDue tries all allocations that are due, and returns how long the next one can wait.
func (c *Conductor) allocateDue(ctx context.Context) (time.Duration, error) {
	for {
		due, err := c.Store.DueAllocations(ctx, allocationBatch)
		if err != nil {
			return allocationLook, err
		}
		for _, id := range due {
			if err := c.allocateOne(ctx, id); err != nil {
				return allocationLook, err
			}
		}
		if len(due) < allocationBatch {
			break
		}
	}
	next, err := c.Store.NextAllocation(ctx)
	if err != nil || next.IsZero() {
		return allocationLook, err
	}
	return min(max(time.Until(next), 10*time.Millisecond), allocationLook), nil
}

// allocateOne tries one allocation and notes how it went.
func (c *Conductor) allocateOne(ctx context.Context, id string) error {
	taken, left, err := c.Store.Allocate(ctx, id, c.Host)
	if taken && err == nil {
		return nil
	}
	if err != nil && (ctx.Err() != nil || ferric.IsCode(err, ferric.CodeUnavailable) || ferric.IsCode(err, ferric.CodeTimeout)) {
		return err // the database's trouble, not the allocation's
	}
	unexpected := err
	_, err = c.Store.UpdateAllocation(ctx, id, 0, func(a *ferric.Allocation) error {
		if a.State != ferric.AllocationPending {
			return nil
		}
		a.Conductor = c.Host
		a.Attempts++
		failure := noNode(a, left)
		if unexpected != nil {
			failure = fmt.Errorf("Unexpected exception during allocation: %w", unexpected)
		}
		if failure == nil {
			a.DueAt = c.Store.Now().Add(allocationPause)
			return nil
		}
		a.State, a.LastError = ferric.AllocationFailed, failure.Error()
		return nil
	})
	if ferric.IsCode(err, ferric.CodeNotFound) {
		return nil // it was deleted meanwhile
	}
	return err
}

// noNode says why an allocation gets no node; nil if it is worth another try.
func noNode(a *ferric.Allocation, left ferric.Candidates) error {
	switch {
	case left.Fit > 0 && a.Attempts < allocationTries:
		return nil
	case left.Fit > 0:
		return allocationFailed(a, "could not reserve any of %d suitable nodes", left.Fit)
	case a.Attempts > 1:
		return allocationFailed(a, "all nodes were filtered out during reservation")
	case left.Class > 0:
		return allocationFailed(a, "no suitable nodes have the requested traits %s", strings.Join(a.Traits, ", "))
	case len(a.CandidateNodes) > 0:
		return allocationFailed(a, "none of the requested nodes are available and match the resource class %s", a.ResourceClass)
	}
	return allocationFailed(a, "no available nodes match the resource class %s", a.ResourceClass)
}

// destroyAllocation ends an allocation and takes the node away from it.
func (c *Conductor) destroyAllocation(ctx context.Context, ref rpc.AllocationRef) error {
	for {
		a, err := c.Store.Allocation(ctx, ref.UUID)
		if err != nil {
			return err
		}
		if a.NodeUUID == "" {
			err := c.Store.DeleteAllocation(ctx, a.UUID)
			if ferric.IsCode(err, ferric.CodeConflict) {
				continue // it has got a node just now
			}
			return err
		}
		return c.runner.WithLease(ctx, a.NodeUUID, func(ctx context.Context, l flow.Lease) error {
			_, err := c.Store.UpdateNode(ctx, l, func(n *ferric.Node) error {
				if n.AllocationUUID != a.UUID {
					return ferric.Errorf(ferric.CodeNotFound, "Allocation %s could not be found.", a.UUID)
				}
				if err := mayDeallocate(a, n); err != nil {
					return err
				}
				n.InstanceID = "" // the allocation ends with it
				return nil
			})
			return err
		})
	}
}

// mayDeallocate refuses to take a node away that is in use.
func mayDeallocate(a *ferric.Allocation, n *ferric.Node) error {
	switch {
	case n.Maintenance:
		return nil
	case n.TargetProvisionState != "" && !state.UpdateAllowed(n.ProvisionState):
		return ferric.Errorf(ferric.CodeConflict, "Cannot remove allocation %s for node %s, because the node is in state %s where updates are not "+
			"allowed (and maintenance mode is off)", a.UUID, n.UUID, n.ProvisionState)
	case n.ProvisionState == ferric.Active:
		return ferric.Errorf(ferric.CodeConflict, "Cannot remove allocation %s for node %s, because the node is active (and maintenance mode is off)",
			a.UUID, n.UUID)
	}
	return nil
}

// releasedStates are those in which an instance with an allocation may be taken off a node by hand.
func releasedStates() []ferric.ProvisionState {
	return []ferric.ProvisionState{ferric.Enroll, ferric.Inspecting, ferric.InspectWait, ferric.Manageable, ferric.Available}
}

// mayRelease refuses to remove the instance of a node that was allocated, where the node is in use.
func mayRelease(before, now *ferric.Node) error {
	if before.AllocationUUID == "" || now.InstanceID != "" || before.Maintenance || slices.Contains(releasedStates(), before.ProvisionState) {
		return nil
	}
	return ferric.Errorf(ferric.CodeConflict, "Node %s with an allocation can not have instance_uuid removed unless it is in one of allowed (%s) states "+
		"or in maintenance mode. Current state is '%s'.", before.UUID, joined(stateNames(releasedStates())), before.ProvisionState)
}
