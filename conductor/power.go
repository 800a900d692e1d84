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
	"ferric/state"

	"github.com/google/uuid"
)

// powerParams are the parameters of a power change in the ledger.
type powerParams struct {
	Target  ferric.PowerState `json:"target"`
	Timeout time.Duration     `json:"timeout"`
}

// changePower begins a power change that somebody asked for.
func (c *Conductor) changePower(ctx context.Context, a rpc.PowerArgs) error {
	timeout := a.Timeout
	soft := a.Target == ferric.SoftPowerOff || a.Target == ferric.SoftReboot
	if timeout == 0 {
		timeout = c.PowerTimeout
		if soft {
			timeout = c.SoftPowerTimeout
		}
	}
	return c.beginPower(ctx, a, timeout, func(*ferric.Node) error { return nil })
}

// beginPower begins a power change if check, which sees the node under its lease, does not refuse it.
func (c *Conductor) beginPower(ctx context.Context, a rpc.PowerArgs, timeout time.Duration, check func(*ferric.Node) error) error {
	_, err := c.runner.Begin(ctx, a.UUID, func(ctx context.Context) (*flow.Operation, flow.Mutate, error) {
		t, err := c.nodeTask(ctx, a.UUID)
		if err != nil {
			return nil, nil, err
		}
		if err := check(t.Node); err != nil {
			return nil, nil, err
		}
		if state.Transient(t.Node.ProvisionState) && (t.Node.ProvisionState == ferric.Cleaning || t.Node.ProvisionState == ferric.CleanWait) {
			return nil, nil, ferric.Errorf(ferric.CodeInvalid,
				`The requested action "%s" can not be performed on node "%s" while it is in state "%s".`, a.Target, a.UUID, t.Node.ProvisionState)
		}
		if t.Node.DisablePowerOff && endState(a.Target) == ferric.PowerOff {
			return nil, nil, ferric.Errorf(ferric.CodeInvalid, "Node %s has disable_power_off set: it may be powered on and rebooted, but not powered off.", a.UUID)
		}
		power := t.Set.Power()
		if err := power.Validate(ctx, t.Machine); err != nil {
			return nil, nil, err
		}
		if supported := power.SupportedPowerStates(t.Machine); !slices.Contains(supported, a.Target) {
			return nil, nil, ferric.Errorf(ferric.CodeUnsupported, "target: the node's power interface %q does not support %q",
				t.Node.Interfaces[ferric.KindPower], a.Target)
		}
		params, err := json.Marshal(powerParams{a.Target, timeout})
		if err != nil {
			return nil, nil, ferric.Errorf(ferric.CodeInternal, "parameters of the power change: %w", err)
		}
		op := c.operation(ctx, "power", flow.Power, a.Caller, params)
		op.Steps = []flow.Step{hidden("set_power", powerRepeat(a.Target))}
		return op, func(n *ferric.Node) error {
			n.TargetPowerState, n.LastError = endState(a.Target), ""
			return nil
		}, nil
	})
	return err
}

// endState is the power state that a target ends in.
func endState(target ferric.PowerState) ferric.PowerState {
	switch target {
	case ferric.PowerOff, ferric.SoftPowerOff:
		return ferric.PowerOff
	}
	return ferric.PowerOn
}

func (c *Conductor) powerProgram() *program {
	return &program{kind: "power", own: map[string]stepCode{"set_power": c.setPower},
		endsBadly: func(_ *flow.Operation, n *ferric.Node) error {
			n.TargetPowerState = ""
			return nil
		}}
}

func (c *Conductor) setPower(ctx context.Context, t *driver.Task) (flow.Outcome, error) {
	p, err := paramsOf[powerParams](t)
	if err != nil {
		return flow.Outcome{}, err
	}
	if err := c.volumesBeforePower(ctx, t, p.Target); err != nil {
		return flow.Outcome{}, powerFailed(p.Target, err)
	}
	if err := c.turn(ctx, t, p.Target, p.Timeout); err != nil {
		return flow.Outcome{}, err
	}
	return flow.Done(nil), c.volumesAfterPower(ctx, t, p.Target)
}

// powerRepeat is the class of a step that brings a machine to a power target: what is asked for is a state, or a reboot, which is an event.
func powerRepeat(target ferric.PowerState) flow.Repeat {
	if downFirst(target) != "" {
		return flow.Check
	}
	return flow.Safe
}

// downFirst is the target that a reboot begins with, "" for what is no reboot.
func downFirst(target ferric.PowerState) ferric.PowerState {
	switch target {
	case ferric.Reboot:
		return ferric.PowerOff
	case ferric.SoftReboot:
		return ferric.SoftPowerOff
	}
	return ""
}

// turned is the checkpoint of a reboot.
type turned struct {
	Down  bool `json:"down,omitempty"`  // the machine was off
	Reset bool `json:"reset,omitempty"` // it was reset, or was about to be
}

// turn brings the task's machine to a power target and records it. A reboot is done in two parts, off and on, with a checkpoint between them. Each
// part is a state that the BMC is asked for first, so that the machine goes down once, however often the conductor dies.
//
// A machine that must not be powered off, or cannot be, is reset: one command, and no BMC tells afterwards whether it came. After a crash it is not
// given again, because the machine may have been in use for hours by then: the step fails and says so.
func (c *Conductor) turn(ctx context.Context, t *driver.Task, target ferric.PowerState, timeout time.Duration) error {
	down := downFirst(target)
	if down == "" {
		return c.setPowerTo(ctx, t, t.Set.Power(), target, timeout)
	}
	return c.tellingPower(ctx, t, target, func() error { return c.reboot(ctx, t, target, down, timeout) })
}

// reboot is turn for a target that begins with another one.
func (c *Conductor) reboot(ctx context.Context, t *driver.Task, target, down ferric.PowerState, timeout time.Duration) error {
	power := alone(t.Set.Power())
	var at turned
	if err := t.Flow.Load(&at); err != nil {
		return err
	}
	if t.Node.DisablePowerOff || !slices.Contains(power.SupportedPowerStates(t.Machine), down) {
		if at.Reset {
			return ferric.Errorf(ferric.CodeConflict, "the %s was interrupted and must not be run twice: whether the machine was reset is not known, and it cannot be "+
				"powered off to be sure (disable_power_off); look at the machine, then ask again if it was not", target)
		}
		at.Reset = true
		if err := t.Flow.Save(ctx, at); err != nil {
			return err
		}
		return c.setPowerTo(ctx, t, power, target, timeout)
	}
	if !at.Down {
		if err := power.SetPowerState(ctx, t.Machine, down, timeout); err != nil {
			return powerFailed(target, err)
		}
		at.Down = true
		if err := t.Flow.Save(ctx, at); err != nil {
			return err
		}
	}
	if err := power.SetPowerState(ctx, t.Machine, ferric.PowerOn, timeout); err != nil {
		return powerFailed(target, err)
	}
	return t.Mutate(ctx, powerIs(ferric.PowerOn))
}

// setPowerTo changes the machine's power and records it.
func (c *Conductor) setPowerTo(ctx context.Context, t *driver.Task, power driver.Power, target ferric.PowerState, timeout time.Duration) error {
	if err := power.SetPowerState(ctx, t.Machine, target, timeout); err != nil {
		return powerFailed(target, err)
	}
	return t.Mutate(ctx, powerIs(endState(target)))
}

func powerFailed(target ferric.PowerState, err error) error {
	return ferric.Errorf(ferric.ErrorCode(err), "Failed to change power state to %q: %w", target, err)
}

// powerIs records a power state that the machine was brought to.
func powerIs(s ferric.PowerState) flow.Mutate {
	return func(n *ferric.Node) error {
		n.PowerState, n.TargetPowerState = s, ""
		return nil
	}
}

// note adds to a node's history.
func (c *Conductor) note(ctx context.Context, n *ferric.Node, kind, severity, text string) {
	err := c.Store.AddHistory(ctx, &ferric.HistoryEntry{UUID: uuid.NewString(), NodeUUID: n.UUID, Conductor: c.Host, Event: text,
		EventType: kind, Severity: severity, CreatedAt: c.Store.Now(), State: n.ProvisionState, TargetState: n.TargetProvisionState})
	if err != nil {
		c.nodeLog(n).Warn("cannot write history", "event", text, "error", err)
	}
}

// findStuck looks for nodes that are on their way but that nobody works for, and ends their wait.
func (c *Conductor) findStuck(ctx context.Context) error {
	var transient []ferric.ProvisionState
	for _, s := range state.All() {
		if state.Transient(s) || state.Held(s) {
			transient = append(transient, s)
		}
	}
	nodes, err := c.Store.Nodes(ctx, ferric.NodeFilter{ProvisionStates: transient, IncludeChildren: true}, ferric.Page{})
	if err != nil {
		return err
	}
	for _, n := range nodes {
		if !c.ownsNode(n.UUID, n.ConductorGroup, n.Driver) {
			continue
		}
		op, err := c.Store.Unfinished(ctx, n.UUID, flow.Provision)
		switch {
		case ferric.IsCode(err, ferric.CodeNotFound) && n.Reservation != "": // somebody is at it
		case ferric.IsCode(err, ferric.CodeNotFound):
			if err := c.unstick(ctx, n); err != nil {
				c.nodeLog(n).Error("cannot end the wait of a stuck node", "error", err)
			}
		case err != nil:
			return err
		case op.Status != flow.Held && c.StuckAfter > 0 && c.Store.Now().Sub(op.UpdatedAt) > c.StuckAfter:
			c.nodeLog(n).Warn("an operation has made no progress", "operation", op.ID, "kind", op.Kind, "since", op.UpdatedAt, "waits_for", op.WaitWhat)
		}
	}
	return nil
}

// unstick fails a node whose state says that an operation is under way though the ledger has none.
func (c *Conductor) unstick(ctx context.Context, n *ferric.Node) error {
	const text = "The node's state says that an operation is under way, but there is none in the ledger; the state was set to failed"
	_, err := c.Store.ChangeNode(ctx, n.UUID, n.Version, func(n *ferric.Node) error {
		n.LastError = text
		if c.machine.Can(n.ProvisionState, state.Fail) {
			return c.machine.Apply(n, state.Fail, "")
		}
		return c.machine.Apply(n, state.Abort, "")
	})
	if ferric.IsCode(err, ferric.CodeConflict) || ferric.IsCode(err, ferric.CodeLocked) {
		return nil // it moved meanwhile
	}
	if err == nil {
		c.note(ctx, n, ferric.EventConductor, ferric.SeverityError, text)
	}
	return err
}
