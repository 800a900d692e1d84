package conductor

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"ferric"
	"ferric/driver"
	"ferric/flow"
	"ferric/rpc"
)

// childSource marks steps that the children of the node run, each as an operation of its own.
const childSource = "children"

// childPoll is how often a step that children run looks at them, besides hearing from them.
const childPoll = 2 * time.Second

// childStep makes the step of a request that children run.
func childStep(w rpc.StepArgs) flow.Step {
	s := flow.Step{Interface: w.Interface, Name: w.Step, Args: w.Args, Repeat: flow.Safe, Source: childSource,
		Info: map[string]any{"execute_on_child_nodes": true}}
	if len(w.Children) > 0 {
		list := []any{}
		for _, id := range w.Children {
			list = append(list, id)
		}
		s.Info["limit_child_node_execution"] = list
	}
	if w.Order != nil {
		s.Info["order"] = *w.Order
	}
	return s
}

// childParams are the parameters of an operation on a child.
type childParams struct {
	Parent string `json:"parent"` // UUID of the node whose operation wants it
	agentPlan
}

func childKind(phase driver.Phase) string { return "child_" + string(phase) }

// childProgram runs one step on a child node. The child's provision state is not its business.
func (c *Conductor) childProgram(phase driver.Phase) *program {
	return &program{kind: childKind(phase), phase: phase, own: map[string]stepCode{"tell_parent": c.tellParent}}
}

// tellParent wakes the operation that waits for the child.
func (c *Conductor) tellParent(ctx context.Context, t *driver.Task) (flow.Outcome, error) {
	var p childParams
	if err := json.Unmarshal(t.Flow.Op.Params, &p); err != nil {
		return flow.Outcome{}, ferric.Errorf(ferric.CodeInternal, "parameters of the step on a child: %w", err)
	}
	if err := c.Store.Signal(ctx, p.Parent, flow.EventChild); err != nil {
		return flow.Outcome{}, err
	}
	c.runner.Poke()
	return flow.Done(nil), nil
}

// onChildren lets the node's children run the step, one after the other. What a child does is an operation with an id of its own, so that
// whoever carries on after a crash finds it begun, or done.
func (c *Conductor) onChildren(phase driver.Phase) stepCode {
	return func(ctx context.Context, t *driver.Task) (flow.Outcome, error) {
		if t.Flow.Step.Name == stepHold {
			return flow.Outcome{}, ferric.Errorf(ferric.CodeInvalid, "the step hold cannot be run on child nodes: it holds the operation of the node itself")
		}
		children, err := c.children(ctx, t)
		if err != nil {
			return flow.Outcome{}, err
		}
		for _, child := range children {
			id := commandID(t.Flow.Op.ID, "child", itoa(t.Flow.Step.Seq)+"\x00"+child.UUID)
			op, err := c.Store.Operation(ctx, id)
			if ferric.IsCode(err, ferric.CodeNotFound) {
				op, err = c.beginOnChild(ctx, t, phase, id, child)
			}
			switch ferric.ErrorCode(err) {
			case "":
			case ferric.CodeLocked, ferric.CodeConflict, ferric.CodeBusy:
				out, late := t.Flow.Wait(flow.EventChild, "child node "+child.UUID+" to be free", childPoll, c.AgentTimeout)
				if late != nil {
					return out, ferric.Errorf(ferric.CodeLocked, "Node %s child_node %s is presently locked and we are unable to perform any action on it "+
						"at this time. Please retry after the current operation is completed.: %w", t.Node.UUID, child.UUID, err)
				}
				return out, nil
			default:
				return flow.Outcome{}, err
			}
			switch s := op.Steps[0]; s.Status {
			case flow.Succeeded:
			case flow.Failed, flow.Skipped:
				return flow.Outcome{}, ferric.Errorf(ferric.CodeConflict, "step %s.%s failed on child node %s: %s", s.Interface, s.Name, child.UUID, op.Error)
			default:
				return t.Flow.Wait(flow.EventChild, "child node "+child.UUID+" to finish the step", childPoll, 0)
			}
		}
		return flow.Done(map[string]any{"children": len(children)}), nil
	}
}

// children returns the children that the step is for.
func (c *Conductor) children(ctx context.Context, t *driver.Task) ([]*ferric.Node, error) {
	nodes, err := c.Store.Nodes(ctx, ferric.NodeFilter{ParentNode: t.Node.UUID}, ferric.Page{})
	if err != nil {
		return nil, err
	}
	limit, _ := t.Flow.Step.Info["limit_child_node_execution"].([]any)
	if len(limit) == 0 {
		return nodes, nil
	}
	return slices.DeleteFunc(nodes, func(n *ferric.Node) bool { return !slices.Contains(limit, any(n.UUID)) }), nil
}

// beginOnChild begins the operation on a child.
func (c *Conductor) beginOnChild(ctx context.Context, t *driver.Task, phase driver.Phase, id string, child *ferric.Node) (*flow.Operation, error) {
	parent, s := t.Flow.Op, t.Flow.Step
	return c.runner.Begin(ctx, child.UUID, func(ctx context.Context) (*flow.Operation, flow.Mutate, error) {
		ct, err := c.nodeTask(ctx, child.UUID)
		if err != nil {
			return nil, nil, err
		}
		w := rpc.StepArgs{Interface: s.Interface, Step: s.Name, Args: s.Args}
		steps, err := request{phase: phase, steps: []rpc.StepArgs{w}, noRamdisk: true}.resolve(driverSteps(ct.Set, ct.Machine, phase))
		if err != nil {
			return nil, nil, ferric.Errorf(ferric.CodeInvalid, "child node %s: %w", child.UUID, err)
		}
		params, err := json.Marshal(childParams{Parent: t.Node.UUID})
		if err != nil {
			return nil, nil, ferric.Errorf(ferric.CodeInternal, "parameters of the step on a child: %w", err)
		}
		op := &flow.Operation{ID: id, Kind: childKind(phase), Lane: flow.Provision, Params: params, RequestID: parent.RequestID,
			User: parent.User, Project: parent.Project}
		op.Steps = append(steps, hidden("tell_parent", flow.Safe), cleanUp("tell_parent"))
		return op, nil, nil
	})
}

// familyPower is a node's power interface with a thought for parents and children: a child without a power supply of its own needs its
// parent's power, and loses its own with it.
type familyPower struct {
	driver.Power
	c *Conductor
	t *driver.Task
}

// SetPowerState implements driver.Power. Other programs are told of it.
func (p *familyPower) SetPowerState(ctx context.Context, m *driver.Machine, target ferric.PowerState, timeout time.Duration) error {
	return p.c.tellingPower(ctx, p.t, target, func() error { return p.set(ctx, m, target, timeout) })
}

func (p *familyPower) set(ctx context.Context, m *driver.Machine, target ferric.PowerState, timeout time.Duration) error {
	switch {
	case target == ferric.PowerOn && m.Node.ParentNode != "" && !dedicated(m.Node):
		if err := p.c.parentOn(ctx, m.Node, timeout); err != nil {
			return err
		}
	case target == ferric.PowerOff:
		if err := p.c.childrenOff(ctx, m.Node, timeout); err != nil {
			return err
		}
	}
	return p.Power.SetPowerState(ctx, m, target, timeout)
}

// alone returns a power interface without a thought for the family: as in Ironic, a reboot is the node's own business, and its children are not
// told to power off for it.
func alone(p driver.Power) driver.Power {
	if f, ok := p.(*familyPower); ok {
		return f.Power
	}
	return p
}

// dedicated reports whether a child has a power supply of its own.
func dedicated(n *ferric.Node) bool {
	v, _ := n.DriverInfo["has_dedicated_power_supply"].(bool)
	return v
}

// parentOn powers the parent of a node on if it is off.
func (c *Conductor) parentOn(ctx context.Context, n *ferric.Node, timeout time.Duration) error {
	err := c.turnRelative(ctx, n.ParentNode, ferric.PowerOn, timeout)
	switch {
	case ferric.IsCode(err, ferric.CodeNotFound): // an orphan
		return nil
	case ferric.IsCode(err, ferric.CodeLocked):
		return ferric.Errorf(ferric.CodeLocked, "Node %s parent_node %s is presently locked and we are unable to perform any action on it at this time. "+
			"Please retry after the current operation is completed.", n.UUID, n.ParentNode)
	}
	return err
}

// childrenOff powers the children of a node off that hang on its power.
func (c *Conductor) childrenOff(ctx context.Context, n *ferric.Node, timeout time.Duration) error {
	children, err := c.Store.Nodes(ctx, ferric.NodeFilter{ParentNode: n.UUID}, ferric.Page{})
	if err != nil {
		return err
	}
	for _, child := range children {
		if dedicated(child) {
			continue
		}
		err := c.turnRelative(ctx, child.UUID, ferric.PowerOff, timeout)
		if ferric.IsCode(err, ferric.CodeLocked) {
			return ferric.Errorf(ferric.CodeLocked, "Node %s child_node %s is presently locked and we are unable to perform any action on it at this time. "+
				"Please retry after the current operation is completed.", n.UUID, child.UUID)
		}
		if err != nil && !ferric.IsCode(err, ferric.CodeNotFound) {
			return err
		}
	}
	return nil
}

// turnRelative brings a parent or child to a power state, under its lease, if it is not there already.
func (c *Conductor) turnRelative(ctx context.Context, id string, target ferric.PowerState, timeout time.Duration) error {
	t, err := c.nodeTask(ctx, id)
	if err != nil {
		return err
	}
	if is, err := t.Set.Power().PowerState(ctx, t.Machine); err != nil || is == target {
		return err
	}
	if target == ferric.PowerOff && t.Node.DisablePowerOff {
		return ferric.Errorf(ferric.CodeConflict, "Failed to set node power state to %s.", target)
	}
	return c.onMachine(ctx, id, func(ctx context.Context, t *driver.Task) error {
		return c.setPowerTo(ctx, t, t.Set.Power(), target, c.PowerTimeout)
	})
}
