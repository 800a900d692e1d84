package conductor

import (
	"cmp"
	"context"
	"time"

	"ferric"
	"ferric/agentapi"
	"ferric/agentapi/shacrypt"
	"ferric/driver"
	"ferric/flow"
	"ferric/rpc"
	"ferric/state"
)

// rescueHash is where instance_info holds the hash of the password of a rescue under way, with Ironic's name. The password itself is kept nowhere.
const rescueHash = "hashed_rescue_password"

// forgetPassword drops the password of a rescue.
func forgetPassword(n *ferric.Node) error {
	delete(n.InstanceInfo, rescueHash)
	delete(n.InstanceInfo, "rescue_password")
	return nil
}

// planRescue makes the plan that opens a machine to people beside its deployed system.
func (c *Conductor) planRescue(ctx context.Context, t *driver.Task, a rpc.ProvisionArgs) (*flow.Operation, flow.Mutate, error) {
	n := t.Node
	if n.Maintenance {
		return nil, nil, inMaintenance(n.UUID, "rescuing")
	}
	hash, err := shacrypt.Hash(a.RescuePassword, c.RescueHash)
	if err != nil {
		return nil, nil, ferric.Errorf(ferric.CodeInvalid, "rescue_password: %w", err)
	}
	kinds := []ferric.InterfaceKind{ferric.KindPower, ferric.KindRescue, ferric.KindNetwork}
	inBand := t.Set.Rescue().InBand(t.Machine)
	if inBand {
		kinds = append(kinds, ferric.KindBoot)
	}
	for _, kind := range kinds {
		if err := fits(ctx, t, kind, driver.ForRescue); err != nil {
			return nil, nil, ferric.Errorf(ferric.CodeInvalid, "Failed to rescue instance %s for node %s: Validation failed: %w", cmp.Or(n.InstanceID, "None"), n.UUID, err)
		}
	}
	op := &flow.Operation{Kind: "rescue", Lane: flow.Provision}
	if inBand {
		op.Steps = []flow.Step{hidden("boot_ramdisk", flow.Safe), hidden("finalize_rescue", flow.Safe), hidden("leave_agent", flow.Safe),
			cleanUp("collect_logs"), cleanUp("clean_up_rescue")}
	} else {
		op.Steps = []flow.Step{hidden("rescue", flow.Safe), cleanUp("forget_password")}
	}
	return op, func(n *ferric.Node) error {
		n.LastError = ""
		if n.InstanceInfo == nil {
			n.InstanceInfo = map[string]any{}
		}
		n.InstanceInfo[rescueHash] = hash
		return c.machine.Apply(n, state.Rescue, ferric.Rescue)
	}, nil
}

func (c *Conductor) rescueProgram() *program {
	return &program{kind: "rescue", done: state.Done,
		endsWell: func(_ *flow.Operation, n *ferric.Node) error {
			n.LastError = ""
			return forgetPassword(n)
		},
		endsBadly: func(op *flow.Operation, n *ferric.Node) error {
			if why := firstCleanUpError(op); why != "" && op.Abort != "" {
				n.LastError = "Failed to clean up rescue after aborting the operation: " + why
				maintain(n, ferric.FaultRescueAbort)
			}
			return forgetPassword(n)
		},
		own: map[string]stepCode{
			"boot_ramdisk":    c.bootRamdisk(driver.ForRescue, c.RescueCallbackTimeout, nil),
			"finalize_rescue": c.finalizeRescue,
			"leave_agent":     c.leaveAgent,
			"collect_logs":    c.collectLogs,
			"clean_up_rescue": c.cleanUpRescue,
			stepRestart:       c.bootRamdisk(driver.ForRescue, c.RescueCallbackTimeout, nil),
			"rescue": func(ctx context.Context, t *driver.Task) (flow.Outcome, error) {
				hash, err := passwordOf(t.Node)
				if err != nil {
					return flow.Outcome{}, err
				}
				if err := t.Set.Rescue().Rescue(ctx, t, hash); err != nil {
					return flow.Outcome{}, ferric.Errorf(ferric.ErrorCode(err), "Failed to rescue: %w", err)
				}
				return flow.Done(nil), nil // the password is forgotten with the end: a step that is run again after a crash needs it
			},
			"forget_password": func(ctx context.Context, t *driver.Task) (flow.Outcome, error) {
				return flow.Done(nil), t.Mutate(ctx, forgetPassword)
			},
		}}
}

// passwordOf returns the hash of the rescue's password.
func passwordOf(n *ferric.Node) (string, error) {
	if hash, _ := n.InstanceInfo[rescueHash].(string); hash != "" {
		return hash, nil
	}
	return "", ferric.Errorf(ferric.CodeConflict, "the rescue password is gone from instance_info: somebody changed the node meanwhile")
}

// handover is the checkpoint of finalizeRescue.
type handover struct {
	Told        bool          `json:"told,omitempty"`        // the agent was told, or was about to be
	Interrupted bool          `json:"interrupted,omitempty"` // the conductor died while it told the agent: it may have been told
	Heard       time.Time     `json:"heard,omitzero"`        // when the agent had called last
	Waited      time.Duration `json:"waited,omitempty"`      // how long the step had waited then
}

// finalizeRescue gives the agent the password. An agent that has it stops to listen and to call, perhaps before its answer was noted: one that
// may have been told before a crash, and has been silent since, has it.
func (c *Conductor) finalizeRescue(ctx context.Context, t *driver.Task) (flow.Outcome, error) {
	var at handover
	if err := t.Flow.Load(&at); err != nil {
		return flow.Outcome{}, err
	}
	hash, err := passwordOf(t.Node)
	if err != nil {
		return flow.Outcome{}, err
	}
	if !at.Told || t.Flow.Repeated && !at.Interrupted {
		at = handover{Told: true, Interrupted: at.Told}
		if err := t.Flow.Save(ctx, at); err != nil {
			return flow.Outcome{}, err
		}
	}
	if s, err := t.Agent.Session(ctx); err == nil && at.Interrupted {
		if !s.LastHeartbeat.Equal(at.Heard) {
			at.Heard, at.Waited = s.LastHeartbeat, t.Flow.Waited()
			if err := t.Flow.Save(ctx, at); err != nil {
				return flow.Outcome{}, err
			}
		}
		if t.Flow.Waited()-at.Waited >= min(c.AgentHeartbeatTimeout, c.AgentTimeout) {
			return flow.Done("the agent has fallen silent: it has the password"), nil
		}
	}
	out, err := c.followCommand(ctx, t, "", agentapi.CmdFinalizeRescue, map[string]any{"rescue_password": hash, "hashed": true})
	if err != nil {
		err = ferric.Errorf(ferric.ErrorCode(err), "Node failed to perform rescue operation: %w", err)
	}
	return out, err
}

// leaveAgent ends the conductor's part: the environment is the user's now, on the user's network.
func (c *Conductor) leaveAgent(ctx context.Context, t *driver.Task) (flow.Outcome, error) {
	if err := c.leaveRamdisk(ctx, t, driver.ForRescue); err != nil {
		return flow.Outcome{}, err
	}
	if err := t.Set.Network().Connect(ctx, t, driver.ForTenant); err != nil {
		return flow.Outcome{}, ferric.Errorf(ferric.ErrorCode(err), "connect the tenant network: %w", err)
	}
	return flow.Done(nil), t.Mutate(ctx, forgetPassword)
}

// cleanUpRescue clears up after a rescue that failed: the machine is off.
func (c *Conductor) cleanUpRescue(ctx context.Context, t *driver.Task) (flow.Outcome, error) {
	if err := c.powerOff(ctx, t); err != nil {
		return flow.Outcome{}, err
	}
	if err := c.leaveRamdisk(ctx, t, driver.ForRescue); err != nil {
		return flow.Outcome{}, err
	}
	return flow.Done(nil), t.Mutate(ctx, forgetPassword)
}

// planUnrescue makes the plan that boots the deployed system again.
func (c *Conductor) planUnrescue(ctx context.Context, t *driver.Task) (*flow.Operation, flow.Mutate, error) {
	n := t.Node
	if n.Maintenance {
		return nil, nil, inMaintenance(n.UUID, "unrescuing")
	}
	for _, kind := range []ferric.InterfaceKind{ferric.KindPower, ferric.KindRescue, ferric.KindNetwork} {
		if err := fits(ctx, t, kind, driver.ForRescue); err != nil {
			return nil, nil, ferric.Errorf(ferric.CodeInvalid, "Failed to unrescue instance %s for node %s: Validation failed: %w", cmp.Or(n.InstanceID, "None"), n.UUID, err)
		}
	}
	op := &flow.Operation{Kind: "unrescue", Lane: flow.Provision, Steps: []flow.Step{hidden("unrescue", flow.Safe)}}
	if t.Set.Rescue().InBand(t.Machine) {
		op.Steps = []flow.Step{hidden("leave_rescue", flow.Safe), hidden("start_instance", flow.Safe)}
	}
	return op, func(n *ferric.Node) error {
		n.LastError = ""
		return c.machine.Apply(n, state.Unrescue, ferric.Active)
	}, nil
}

func (c *Conductor) unrescueProgram() *program {
	return &program{kind: "unrescue", done: state.Done,
		endsWell: func(_ *flow.Operation, n *ferric.Node) error {
			n.LastError = ""
			return forgetPassword(n)
		},
		endsBadly: func(op *flow.Operation, n *ferric.Node) error {
			n.LastError = "Failed to unrescue: " + op.Error
			return nil
		},
		own: map[string]stepCode{
			"leave_rescue": func(ctx context.Context, t *driver.Task) (flow.Outcome, error) {
				return flow.Done(nil), c.backToInstance(ctx, t, driver.ForRescue)
			},
			"start_instance": c.startInstance,
			"unrescue": func(ctx context.Context, t *driver.Task) (flow.Outcome, error) {
				return flow.Done(nil), t.Set.Rescue().Unrescue(ctx, t)
			},
		}}
}
