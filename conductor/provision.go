package conductor

import (
	"cmp"
	"context"
	"encoding/json"

	"ferric"
	"ferric/driver"
	"ferric/flow"
	"ferric/obs"
	"ferric/rpc"
	"ferric/state"

	"github.com/google/uuid"
)

// operation makes an operation for a caller. Its id is the key of the call that asks for it, so that a repeated call finds it.
func (c *Conductor) operation(ctx context.Context, kind string, lane flow.Lane, who rpc.Caller, params json.RawMessage) *flow.Operation {
	return &flow.Operation{ID: cmp.Or(flow.RequestOf(ctx).Key, uuid.NewString()), Kind: kind, Lane: lane, Params: params, RequestID: obs.RequestID(ctx),
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
		if n.ProvisionState != ferric.ServiceFailed {
			return c.abort(ctx, n, a)
		}
	case state.Unhold:
		return c.unhold(ctx, n)
	case state.Manage:
		if n.ProvisionState != ferric.Enroll {
			return c.manage(ctx, n)
		}
	case state.Delete:
		if err := c.supersede(ctx, n, event, "deleted", "the node is being torn down"); err != nil {
			return err
		}
	case state.Service:
		if n.ProvisionState == ferric.ServiceHold {
			if err := c.supersede(ctx, n, event, "service", "another service was asked for"); err != nil {
				return err
			}
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
		made.Steps, made.Needs = op.Steps, op.Needs
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
	case state.Rescue:
		return c.planRescue(ctx, t, a)
	case state.Unrescue:
		return c.planUnrescue(ctx, t)
	case state.Service:
		return c.planService(ctx, t, a)
	case state.Abort:
		return c.planServiceAbort(t)
	}
	return nil, nil, ferric.Errorf(ferric.CodeUnsupported, "target: this version of Ferric cannot %q a node", a.Target)
}

// manage moves a node to manageable where that takes no work.
func (c *Conductor) manage(ctx context.Context, n *ferric.Node) error {
	return c.runner.WithLease(ctx, n.UUID, func(ctx context.Context, l flow.Lease) error {
		_, err := c.Store.UpdateNode(flow.CarriesOut(ctx), l, func(n *ferric.Node) error {
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

// abort asks the operation under way to stop, at once or when the step is done that must not be interrupted.
func (c *Conductor) abort(ctx context.Context, n *ferric.Node, a rpc.ProvisionArgs) error {
	op, err := c.Store.Unfinished(ctx, n.UUID, flow.Provision)
	if ferric.IsCode(err, ferric.CodeNotFound) {
		return c.machine.RefuseTarget("abort", n.UUID, n.ProvisionState) // it has ended meanwhile
	}
	if err != nil {
		return err
	}
	by := a.User
	if by == "" {
		by = "the operator"
	}
	text := "The " + op.Kind + " was aborted by " + by
	if s := op.Current(); s != nil {
		text += " during step " + s.Interface + "." + s.Name
	}
	if err := c.Store.RequestAbort(flow.CarriesOut(ctx), op.ID, text); err != nil {
		return err
	}
	c.runner.Poke()
	return nil
}

// unhold lets a held operation go on. The node leaves its hold before the call returns.
func (c *Conductor) unhold(ctx context.Context, n *ferric.Node) error {
	return c.runner.WithLease(ctx, n.UUID, func(ctx context.Context, l flow.Lease) error {
		now, err := c.Store.Node(ctx, n.UUID)
		if err != nil {
			return err
		}
		if !state.Held(now.ProvisionState) {
			return c.machine.RefuseTarget("unhold", n.UUID, now.ProvisionState)
		}
		if err := c.Store.Signal(ctx, n.UUID, flow.EventUnhold); err != nil { // nobody sees it before the lease is given back
			return err
		}
		_, err = c.Store.UpdateNode(flow.CarriesOut(ctx), l, func(n *ferric.Node) error {
			return c.machine.Apply(n, state.Unhold, n.TargetProvisionState)
		})
		return err
	})
}

// supersede ends an operation that waits or is held, because the verb is to take its place, and leaves the node failed. Clearing up is the
// next operation's.
func (c *Conductor) supersede(ctx context.Context, n *ferric.Node, event state.Event, target, why string) error {
	op, err := c.Store.Unfinished(ctx, n.UUID, flow.Provision)
	if ferric.IsCode(err, ferric.CodeNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	if event == state.Delete && n.Protected {
		return protected(n.UUID)
	}
	return c.runner.WithLease(ctx, n.UUID, func(ctx context.Context, l flow.Lease) error {
		op, err := c.Store.Operation(ctx, op.ID)
		if err != nil || op.Status.Ended() {
			return err
		}
		op.Supersede("The "+op.Kind+" was given up: "+why, c.Store.Now())
		_, err = c.Store.Checkpoint(ctx, l, op, nil, func(n *ferric.Node) error {
			if !c.machine.Can(n.ProvisionState, event) {
				return c.machine.RefuseTarget(target, n.UUID, n.ProvisionState)
			}
			n.LastError = op.Error
			return c.machine.Apply(n, state.Fail, "")
		})
		return err
	})
}

// protected is the refusal of what would end the instance of a protected node.
func protected(node string) error {
	return ferric.Errorf(ferric.CodeForbidden, "Node %s is protected and cannot be undeployed, rebuilt or deleted", node)
}

// inMaintenance is the refusal of what is not done to nodes in maintenance.
func inMaintenance(node, operation string) error {
	return ferric.Errorf(ferric.CodeInvalid, "The %s operation can't be performed on node %s because it's in maintenance mode.", operation, node)
}

// underLimit refuses an operation when too many of its kind are under way.
func (c *Conductor) underLimit(ctx context.Context, limit int, what string, states ...ferric.ProvisionState) error {
	if limit <= 0 {
		return nil
	}
	count, err := c.Store.CountNodes(ctx, ferric.NodeFilter{ProvisionStates: states, IncludeChildren: true}, limit)
	if err != nil {
		return err
	}
	if count >= limit {
		return ferric.Errorf(ferric.CodeBusy, "Unable to process request at this time. The concurrent action limit for %s has been reached. Please contact your administrator and try again later.", what)
	}
	return nil
}
