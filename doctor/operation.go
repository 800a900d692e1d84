package doctor

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"ferric"
	"ferric/flow"
	"ferric/state"
)

// operation looks at an unfinished operation of a node. live says that somebody holds the node's lease.
func (r *round) operation(n *ferric.Node, op *flow.Operation, owner string, live bool) {
	begin := func(code string, severity ferric.Severity, since time.Time) ferric.Finding {
		f := about(n, code, severity, since)
		f.Operation, f.Conductor = op.ID, op.Conductor
		return f
	}
	where := fmt.Sprintf("the %s of the node", op.Kind)
	if len(op.Steps) > 0 {
		where += fmt.Sprintf(" is at its step %s.%s and", op.Steps[0].Interface, op.Steps[0].Name)
	}
	abort := "openstack baremetal node abort " + name(n)
	waits := op.Status == flow.Waiting || op.Status == flow.Held || len(op.Steps) > 0 && op.Steps[0].Status == flow.Waiting
	switch {
	case op.Status == flow.Held:
		f := begin("held", ferric.FindingNotice, op.WaitSince)
		f.What = fmt.Sprintf("the %s of the node rests", op.Kind)
		f.Why = "a step hold was asked for"
		f.Do = "openstack baremetal node unhold " + name(n) + ", or " + abort
		r.add(f)
	case waits && op.WakeAt.IsZero() && op.WaitFor == "":
		f := begin("waits-for-nothing", ferric.FindingError, op.WaitSince)
		f.What = fmt.Sprintf("%s waits for nothing that could come: %s", where, op.WaitWhat)
		f.Why = "the ledger says neither an event nor a time: this is a defect of Ferric"
		f.Do = abort + "; please report it"
		r.add(f)
	case waits && op.WakeAt.IsZero():
		f := begin("waits-without-end", ferric.FindingWarning, op.WaitSince)
		f.What = fmt.Sprintf("%s waits without an end: %s", where, op.WaitWhat)
		f.Why = fmt.Sprintf("it goes on when the event %q comes, and no timeout is set", op.WaitFor)
		f.Do = abort
		r.add(f)
	case waits && strings.HasPrefix(op.WaitWhat, flow.WaitsForService) && r.now.Sub(op.WaitSince) > r.Grace:
		f := begin("waits-for-service", ferric.FindingWarning, op.WaitSince)
		f.What = fmt.Sprintf("%s waits since %s for %s", where, op.WaitSince.UTC().Format(time.RFC3339), op.WaitWhat)
		f.Why = "another service of the cloud gives no answer, or errors; the conductor's log has its words. Nothing has failed: the work goes on when it answers"
		f.Do = "look at that service; or " + abort
		r.add(f)
	case !live && r.overdue(op) > r.Grace:
		f := begin("overdue", ferric.FindingError, r.dueAt(op))
		f.What = fmt.Sprintf("%s should have been carried on %s ago", where, r.overdue(op).Round(time.Second))
		f.Why, f.Do = r.whyOverdue(op, owner)
		r.add(f)
	}
	if op.Abort != "" && r.now.Sub(op.UpdatedAt) > r.Grace && op.Status != flow.Failing {
		f := begin("abort-waits", ferric.FindingNotice, op.UpdatedAt)
		f.What, f.Why = where+" is to be aborted: "+op.Abort, "the step under way must not be interrupted, or nobody carries the operation on"
		f.Do = "wait for the step's end; see /ferric/v1/operations/" + op.ID
		r.add(f)
	}
	if op.Lane == flow.Provision {
		r.agent(n, op)
	}
}

// dueAt is when an operation should have been carried on: a running one that nobody holds, at once.
func (r *round) dueAt(op *flow.Operation) time.Time {
	if !op.WakeAt.IsZero() {
		return op.WakeAt
	}
	return op.UpdatedAt
}

func (r *round) overdue(op *flow.Operation) time.Duration { return r.now.Sub(r.dueAt(op)) }

func (r *round) whyOverdue(op *flow.Operation, owner string) (why, do string) {
	able := func(c ferric.Conductor) bool { return c.Alive && c.Protocol.Newest >= op.Needs }
	switch {
	case op.Needs > 1 && !slices.ContainsFunc(r.conductors, able):
		return fmt.Sprintf("it was begun by a newer version of Ferric: it needs a conductor that speaks protocol %d, and none is alive", op.Needs),
			"start the newer version again: docs/upgrade.md, \"To go back\""
	case owner == "":
		return "no conductor serves the node", "see the finding no-conductor; it is carried on when one does"
	case !r.alive[owner]:
		return "its conductor " + owner + " is not alive", "start ferric serve on " + owner
	}
	return "its conductor " + owner + " is alive, but has not taken it: all its workers are busy, its clock is wrong, or it cannot reach the database",
		"look at the log of " + owner
}

// agent looks at the agent that a node waits for.
func (r *round) agent(n *ferric.Node, op *flow.Operation) {
	if !state.Waiting(n.ProvisionState) || op.WaitFor != flow.EventHeartbeat && op.WaitFor != flow.EventInspection {
		return
	}
	a, known := r.sessions[n.UUID]
	last, what := a.LastHeartbeat, "the agent on the machine has not called since"
	switch {
	case !known || a.StartedAt.IsZero():
		return
	case last.IsZero() && a.LookedUpAt.IsZero():
		last, what = a.StartedAt, "the machine was started for the ramdisk, and its agent has not called yet"
	case last.IsZero():
		last, what = a.LookedUpAt, "the agent asked which node it is on, and has not called since"
	}
	if r.now.Sub(last) < r.AgentSilent {
		return
	}
	f := about(n, "agent-silent", ferric.FindingWarning, last)
	f.Operation, f.Conductor = op.ID, op.Conductor
	f.What = fmt.Sprintf("the node is in the state %q, and %s", n.ProvisionState, what)
	f.Why = "the machine did not boot the ramdisk, or cannot reach the API"
	f.Do = "look at the machine's console, the MAC addresses of its ports, and DHCP; openstack baremetal node abort " + name(n)
	r.add(f)
}
