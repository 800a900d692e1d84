package conductor

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"ferric"
	"ferric/driver"
	"ferric/flow"
	"ferric/obs"
	"ferric/rpc"
	"ferric/state"

	"github.com/google/uuid"
)

// operation makes an operation for a caller.
func (c *Conductor) operation(ctx context.Context, kind string, lane flow.Lane, who rpc.Caller, params json.RawMessage) *flow.Operation {
	return &flow.Operation{ID: uuid.NewString(), Kind: kind, Lane: lane, Params: params, RequestID: obs.RequestID(ctx),
		User: who.User, Project: who.Project}
}

// nodeTask loads a node as a task outside of operations.
func (c *Conductor) nodeTask(ctx context.Context, uuid string) (*driver.Task, error) {
	n, err := c.Store.Node(ctx, uuid)
	if err != nil {
		return nil, err
	}
	return c.looseTask(ctx, n)
}

// provision begins what a provision verb asks for.
func (c *Conductor) provision(ctx context.Context, a rpc.ProvisionArgs) error {
	event, ok := state.EventFor(a.Target)
	if !ok {
		return ferric.Errorf(ferric.CodeInvalid, `target: there is no provision target %q`, a.Target)
	}
	n, err := c.Store.Node(ctx, a.UUID)
	if err != nil {
		return err
	}
	if !c.machine.Can(n.ProvisionState, event) {
		return c.machine.RefuseTarget(a.Target, a.UUID, n.ProvisionState)
	}
	switch event {
	case state.Abort:
		return c.abort(ctx, n, a)
	case state.Unhold:
		return c.unhold(ctx, n)
	case state.Manage:
		if n.ProvisionState != ferric.Enroll {
			return c.manage(ctx, n)
		}
	case state.Delete:
		if err := c.supersede(ctx, n); err != nil {
			return err
		}
	}
	_, err = c.runner.Begin(ctx, a.UUID, func(ctx context.Context) (*flow.Operation, flow.Mutate, error) {
		t, err := c.nodeTask(ctx, a.UUID)
		if err != nil {
			return nil, nil, err
		}
		if !c.machine.Can(t.Node.ProvisionState, event) {
			return nil, nil, c.machine.RefuseTarget(a.Target, a.UUID, t.Node.ProvisionState)
		}
		op, mutate, err := c.plan(ctx, t, a, event)
		if err != nil {
			return nil, nil, err
		}
		made := c.operation(ctx, op.Kind, op.Lane, a.Caller, op.Params)
		made.Steps = op.Steps
		return made, mutate, nil
	})
	return err
}

// plan makes the operation of a verb.
func (c *Conductor) plan(ctx context.Context, t *driver.Task, a rpc.ProvisionArgs, event state.Event) (*flow.Operation, flow.Mutate, error) {
	switch event {
	case state.Manage:
		return c.planVerify()
	case state.Inspect:
		return c.planInspect(ctx, t)
	case state.Provide:
		return c.planClean(ctx, t, a, event, ferric.Available)
	case state.Clean:
		return c.planClean(ctx, t, a, event, ferric.Manageable)
	case state.Deploy:
		return c.planDeploy(ctx, t, a, false)
	case state.Rebuild:
		return c.planDeploy(ctx, t, a, true)
	case state.Delete:
		return c.planUndeploy(ctx, t)
	case state.Adopt:
		return c.planAdopt()
	}
	return nil, nil, ferric.Errorf(ferric.CodeUnsupported, "target: this version of Ferric cannot %q a node", a.Target)
}

// manage moves a node to manageable where that takes no work.
func (c *Conductor) manage(ctx context.Context, n *ferric.Node) error {
	return c.runner.WithLease(ctx, n.UUID, func(ctx context.Context, l flow.Lease) error {
		_, err := c.Store.UpdateNode(ctx, l, func(n *ferric.Node) error {
			// The transition from cleaning is the end of a manual clean; nobody but its operation may take it.
			if !c.machine.Can(n.ProvisionState, state.Manage) || n.ProvisionState == ferric.Enroll || state.Transient(n.ProvisionState) {
				return c.machine.RefuseTarget("manage", n.UUID, n.ProvisionState)
			}
			n.LastError = ""
			return c.machine.Apply(n, state.Manage, "")
		})
		return err
	})
}

// abort asks the operation under way to stop. CodeConflict during a clean step that must not be interrupted.
func (c *Conductor) abort(ctx context.Context, n *ferric.Node, a rpc.ProvisionArgs) error {
	op, err := c.Store.Unfinished(ctx, n.UUID, flow.Provision)
	if ferric.IsCode(err, ferric.CodeNotFound) {
		return c.runner.WithLease(ctx, n.UUID, func(ctx context.Context, l flow.Lease) error { // service failed → active
			_, err := c.Store.UpdateNode(ctx, l, func(n *ferric.Node) error { return c.machine.Apply(n, state.Abort, "") })
			return err
		})
	}
	if err != nil {
		return err
	}
	if s := op.Current(); s != nil && s.Status != flow.Pending && op.Status != flow.Failing && !c.mayInterrupt(ctx, n, op, s) {
		return ferric.Errorf(ferric.CodeConflict, "Step %s.%s of node %s must not be interrupted; abort the %s when the step has ended.",
			s.Interface, s.Name, n.UUID, op.Kind)
	}
	by := a.User
	if by == "" {
		by = "the operator"
	}
	text := "The " + op.Kind + " was aborted by " + by
	if s := op.Current(); s != nil {
		text += " during step " + s.Interface + "." + s.Name
	}
	if err := c.Store.RequestAbort(ctx, op.ID, text); err != nil {
		return err
	}
	c.runner.Poke()
	return nil
}

// mayInterrupt reports whether a step under way may be given up: not a clean step that does not say so.
func (c *Conductor) mayInterrupt(ctx context.Context, n *ferric.Node, op *flow.Operation, s *flow.Step) bool {
	if s.Source == conductorSource || op.Kind != "clean" && op.Kind != "undeploy" {
		return true
	}
	if s.Source == agentSource {
		var plan agentPlan
		return json.Unmarshal(op.Params, &plan) == nil && slices.Contains(plan.Abortable, s.Interface+"."+s.Name)
	}
	t, err := c.looseTask(ctx, n)
	if err != nil {
		return false
	}
	return slices.ContainsFunc(driverSteps(t.Set, t.Machine, driver.CleanPhase), func(o offer) bool {
		return o.Interface == s.Interface && o.Name == s.Name && o.abortable
	})
}

// unhold lets a held operation go on.
func (c *Conductor) unhold(ctx context.Context, n *ferric.Node) error {
	if err := c.Store.Signal(ctx, n.UUID, flow.EventUnhold); err != nil {
		return err
	}
	c.runner.Poke()
	return nil
}

// supersede ends a deploy (or rescue) that still waits, because the node is to be torn down.
func (c *Conductor) supersede(ctx context.Context, n *ferric.Node) error {
	op, err := c.Store.Unfinished(ctx, n.UUID, flow.Provision)
	if ferric.IsCode(err, ferric.CodeNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	if n.Protected {
		return ferric.Errorf(ferric.CodeForbidden, "Node %s is protected and cannot be undeployed, rebuilt or deleted.", n.UUID)
	}
	return c.runner.WithLease(ctx, n.UUID, func(ctx context.Context, l flow.Lease) error {
		op, err := c.Store.Operation(ctx, op.ID)
		if err != nil || op.Status.Ended() {
			return err
		}
		op.Supersede("The "+op.Kind+" was given up: the node is being torn down", time.Now())
		_, err = c.Store.Checkpoint(ctx, l, op, nil, func(n *ferric.Node) error {
			if !c.machine.Can(n.ProvisionState, state.Delete) {
				return c.machine.RefuseTarget("deleted", n.UUID, n.ProvisionState)
			}
			n.LastError = op.Error
			return c.machine.Apply(n, state.Fail, "")
		})
		return err
	})
}

// underLimit refuses an operation when too many of its kind are under way.
func (c *Conductor) underLimit(ctx context.Context, limit int, what string, states ...ferric.ProvisionState) error {
	if limit <= 0 {
		return nil
	}
	nodes, err := c.Store.Nodes(ctx, ferric.NodeFilter{ProvisionStates: states, IncludeChildren: true}, ferric.Page{Limit: limit + 1})
	if err != nil {
		return err
	}
	if len(nodes) >= limit {
		return ferric.Errorf(ferric.CodeBusy, "The number of concurrent %s (%d) is at its limit; try again later, or raise max_concurrent_*.", what, limit)
	}
	return nil
}
