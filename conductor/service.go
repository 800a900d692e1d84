package conductor

import (
	"context"
	"encoding/json"

	"ferric"
	"ferric/driver"
	"ferric/flow"
	"ferric/rpc"
	"ferric/state"
)

// serviceParams are the parameters of a service in the ledger.
type serviceParams struct {
	Steps          []rpc.StepArgs `json:"steps,omitempty"`
	DisableRamdisk bool           `json:"disable_ramdisk,omitempty"`
	agentPlan
}

// planService makes the plan that works on a machine while its instance is deployed, and then gives it back.
func (c *Conductor) planService(ctx context.Context, t *driver.Task, a rpc.ProvisionArgs) (*flow.Operation, flow.Mutate, error) {
	n := t.Node
	if n.Maintenance {
		return nil, nil, inMaintenance(n.UUID, "service")
	}
	if len(a.Steps) == 0 {
		return nil, nil, ferric.Errorf(ferric.CodeInvalid, `"service_steps" is required when setting target provision state to service: name at least one step`)
	}
	for _, kind := range []ferric.InterfaceKind{ferric.KindPower, ferric.KindNetwork} {
		if err := fits(ctx, t, kind, driver.ForServicing); err != nil {
			return nil, nil, ferric.Errorf(ferric.CodeInvalid, "Validation of node %s for servicing failed: %w", n.UUID, err)
		}
	}
	if err := c.allowed(driver.ServicePhase, a.Steps); err != nil {
		return nil, nil, err
	}
	params, err := json.Marshal(serviceParams{Steps: a.Steps, DisableRamdisk: a.DisableRamdisk})
	if err != nil {
		return nil, nil, ferric.Errorf(ferric.CodeInvalid, "service_steps: %w", err)
	}
	op := &flow.Operation{Kind: "service", Lane: flow.Provision, Params: params,
		Steps: []flow.Step{hidden("begin_service", flow.Safe), cleanUp("collect_logs"), cleanUp("tear_down_service"), cleanUp("start_instance")}}
	return op, func(n *ferric.Node) error {
		n.LastError = ""
		return c.machine.Apply(n, state.Service, ferric.Active)
	}, nil
}

func (c *Conductor) serviceProgram() *program {
	return &program{kind: "service", phase: driver.ServicePhase, done: state.Done, aborted: state.Abort,
		show: func(n *ferric.Node, s map[string]any) { n.ServiceStep = s },
		endsWell: func(_ *flow.Operation, n *ferric.Node) error {
			n.LastError = ""
			return nil
		},
		endsBadly: func(op *flow.Operation, n *ferric.Node) error {
			switch {
			case op.Abort != "" && tornDown(op):
				return nil
			case op.Abort != "":
				n.LastError = "Failed to tear down service after aborting the operation: " + firstCleanUpError(op)
			case !hurt(op):
				return nil
			}
			maintain(n, ferric.FaultService)
			return nil
		},
		own: map[string]stepCode{
			"begin_service":         c.beginService,
			"boot_ramdisk":          c.bootRamdisk(driver.ForServicing, c.ServiceCallbackTimeout, nil),
			"collect_service_steps": c.collectServiceSteps,
			"end_service":           c.tearDownService,
			"start_instance":        c.startInstance,
			"collect_logs":          c.collectLogs,
			"keep_logs":             c.collectLogs,
			"tear_down_service":     c.tearDownService,
			stepRestart:             c.bootRamdisk(driver.ForServicing, c.ServiceCallbackTimeout, nil),
		}}
}

// maintain puts a node into maintenance because of its last error, with an operator's own reason left as it is.
func maintain(n *ferric.Node, fault ferric.Fault) {
	if !n.Maintenance || n.MaintenanceReason == "" {
		n.MaintenanceReason = n.LastError
	}
	n.Maintenance, n.Fault = true, fault
}

// tornDown reports whether all clean-up steps of an operation that failed did well.
func tornDown(op *flow.Operation) bool { return firstCleanUpError(op) == "" }

func firstCleanUpError(op *flow.Operation) string {
	for _, s := range op.Steps {
		if s.CleanUp && s.Status == flow.Failed {
			return s.Error
		}
	}
	return ""
}

// usesRamdisk reports whether the service boots the ramdisk.
func (p serviceParams) usesRamdisk(t *driver.Task) bool {
	return !p.DisableRamdisk && t.Set.Deploy().UsesRamdisk(t.Machine)
}

// beginService decides whether the machine has to leave its system for the ramdisk. Steps that only the conductor's side does leave the system
// running.
func (c *Conductor) beginService(_ context.Context, t *driver.Task) (flow.Outcome, error) {
	p, err := paramsOf[serviceParams](t)
	if err != nil {
		return flow.Outcome{}, err
	}
	r := request{phase: driver.ServicePhase, steps: p.Steps}
	if !p.DisableRamdisk && r.outOfBand(driverSteps(t.Set, t.Machine, driver.ServicePhase)) {
		p.DisableRamdisk = true
		if t.Flow.Op.Params, err = withParam(t.Flow.Op.Params, "disable_ramdisk", true); err != nil {
			return flow.Outcome{}, err
		}
	}
	var steps []flow.Step
	if p.usesRamdisk(t) {
		steps = append(steps, hidden("boot_ramdisk", flow.Safe))
	}
	steps = append(steps, hidden("collect_service_steps", flow.Safe))
	if p.usesRamdisk(t) {
		steps = append(steps, c.logsAlways()...)
		steps = append(steps, hidden("end_service", flow.Safe), hidden("start_instance", flow.Safe))
	}
	return flow.Done(nil).Then(steps...), nil
}

// collectServiceSteps completes the plan with the steps that the operator asked for, in this order.
func (c *Conductor) collectServiceSteps(ctx context.Context, t *driver.Task) (flow.Outcome, error) {
	p, err := paramsOf[serviceParams](t)
	if err != nil {
		return flow.Outcome{}, err
	}
	offered := driverSteps(t.Set, t.Machine, driver.ServicePhase)
	if p.usesRamdisk(t) {
		fromAgent, out, ok, err := c.agentSteps(ctx, t, driver.ServicePhase)
		if !ok {
			return out, err
		}
		offered = append(offered, fromAgent...)
	}
	steps, err := request{phase: driver.ServicePhase, steps: p.Steps, noRamdisk: p.DisableRamdisk}.resolve(offered)
	if err != nil {
		return flow.Outcome{}, ferric.Errorf(ferric.CodeInvalid, "Cannot service node %s: %w", t.Node.UUID, err)
	}
	return flow.Done(map[string]any{"steps": len(steps)}).Then(steps...), nil
}

// tearDownService takes the machine out of the ramdisk. After a step that failed it is left in the ramdisk, running and on its network, so that
// people can look; the boot configuration goes all the same.
func (c *Conductor) tearDownService(ctx context.Context, t *driver.Task) (flow.Outcome, error) {
	p, err := paramsOf[serviceParams](t)
	if err != nil {
		return flow.Outcome{}, err
	}
	op := t.Flow.Op
	switch {
	case !p.usesRamdisk(t) || t.Flow.CleanUp && !booted(op):
		if t.Flow.CleanUp && op.Abort == "" && c.PowerOffInServiceFail && hurt(op) {
			return flow.Done(nil), c.powerOff(ctx, t)
		}
		return flow.Done("the ramdisk was not booted"), nil
	case t.Flow.CleanUp && op.Abort == "" && hurt(op):
		if err := t.Set.Boot().CleanUpRamdisk(ctx, t); err != nil {
			return flow.Outcome{}, ferric.Errorf(ferric.ErrorCode(err), "remove the boot configuration of the ramdisk: %w", err)
		}
		if c.PowerOffInServiceFail {
			return flow.Done(nil), c.powerOff(ctx, t)
		}
		return flow.Done("the machine stays in the ramdisk"), nil
	}
	return flow.Done(nil), c.backToInstance(ctx, t, driver.ForServicing)
}

// booted reports whether an operation began to boot the ramdisk.
func booted(op *flow.Operation) bool {
	for _, s := range op.Steps {
		if s.Name == "boot_ramdisk" && !s.StartedAt.IsZero() {
			return true
		}
	}
	return false
}

// backToInstance ends a ramdisk on a machine with a deployed system: it is off then, and boots the system when it is started.
func (c *Conductor) backToInstance(ctx context.Context, t *driver.Task, purpose driver.NetworkPurpose) error {
	if err := c.powerOff(ctx, t); err != nil {
		return err
	}
	if err := c.leaveRamdisk(ctx, t, purpose); err != nil {
		return err
	}
	if err := t.Set.Network().Connect(ctx, t, driver.ForTenant); err != nil {
		return ferric.Errorf(ferric.ErrorCode(err), "connect the tenant network: %w", err)
	}
	if err := t.Set.Boot().PrepareInstance(ctx, t); err != nil {
		return ferric.Errorf(ferric.ErrorCode(err), "prepare the instance's boot: %w", err)
	}
	return nil
}

// startInstance boots the deployed system, unless the machine never left it, or is to stay where it is after a failure.
func (c *Conductor) startInstance(ctx context.Context, t *driver.Task) (flow.Outcome, error) {
	op := t.Flow.Op
	if t.Flow.CleanUp && (!booted(op) && op.Kind == "service" || op.Abort == "" && hurt(op) || firstCleanUpError(op) != "") {
		return flow.Done("the machine stays as it is"), nil
	}
	if err := t.Set.Power().SetPowerState(ctx, t.Machine, startBy(t.Node), c.PowerTimeout); err != nil {
		return flow.Outcome{}, ferric.Errorf(ferric.ErrorCode(err), "power on the deployed machine: %w", err)
	}
	return flow.Done(nil), t.Mutate(ctx, func(n *ferric.Node) error { n.PowerState, n.TargetPowerState = ferric.PowerOn, ""; return nil })
}

// planServiceAbort makes the plan that gives a machine back whose service failed.
func (c *Conductor) planServiceAbort(t *driver.Task) (*flow.Operation, flow.Mutate, error) {
	if t.Node.Maintenance {
		return nil, nil, ferric.Errorf(ferric.CodeConflict, `Can not abort service on node "%s" while it is in maintenance mode. Please remove the node from maintenance prior to issuing the request to abort the service operation.`, t.Node.UUID)
	}
	op := &flow.Operation{Kind: "service_abort", Lane: flow.Provision, Steps: []flow.Step{hidden("give_back", flow.Safe), hidden("start_instance", flow.Safe)}}
	return op, func(n *ferric.Node) error {
		n.LastError, n.ServiceStep = "By request, the service operation was aborted", nil
		return c.machine.Apply(n, state.Abort, "")
	}, nil
}

// serviceAbortProgram gives the machine back; its node is active already.
func (c *Conductor) serviceAbortProgram() *program {
	return &program{kind: "service_abort",
		endsBadly: func(op *flow.Operation, n *ferric.Node) error {
			n.LastError = "Failed to tear down service after aborting the operation: " + op.Error
			maintain(n, ferric.FaultService)
			return nil
		},
		own: map[string]stepCode{
			"give_back":      c.giveBack,
			"start_instance": c.startInstance,
		}}
}

// leaving is the checkpoint of giveBack.
type leaving struct {
	Ramdisk bool `json:"ramdisk"` // the machine was in it
}

// giveBack takes a machine out of the ramdisk in which a failed service left it. That it was there is known only until its agent is forgotten, which is
// before all is done.
func (c *Conductor) giveBack(ctx context.Context, t *driver.Task) (flow.Outcome, error) {
	var at leaving
	if err := t.Flow.Load(&at); err != nil {
		return flow.Outcome{}, err
	}
	if !at.Ramdisk {
		in, err := inRamdisk(ctx, t)
		if err != nil {
			return flow.Outcome{}, err
		}
		if !in {
			return flow.Done("the machine is not in the ramdisk"), t.Set.Network().Disconnect(ctx, t, driver.ForServicing)
		}
		at.Ramdisk = true
		if err := t.Flow.Save(ctx, at); err != nil {
			return flow.Outcome{}, err
		}
	}
	return flow.Done(nil), c.backToInstance(ctx, t, driver.ForServicing)
}
