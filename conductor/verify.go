package conductor

import (
	"context"

	"ferric"
	"ferric/driver"
	"ferric/flow"
	"ferric/state"
)

// planVerify makes the plan that proves that the machine's BMC can be reached with what the node says.
func (c *Conductor) planVerify() (*flow.Operation, flow.Mutate, error) {
	op := &flow.Operation{Kind: "verify", Lane: flow.Provision, Steps: []flow.Step{hidden("verify", flow.Safe), hidden("collect_verify_steps", flow.Safe)}}
	return op, func(n *ferric.Node) error {
		n.LastError = ""
		return c.machine.Apply(n, state.Manage, "")
	}, nil
}

func (c *Conductor) verifyProgram() *program {
	return &program{kind: "verify", phase: driver.VerifyPhase, done: state.Done, own: map[string]stepCode{
		"verify": c.verify, "collect_verify_steps": c.collectVerifySteps}}
}

func (c *Conductor) verify(ctx context.Context, t *driver.Task) (flow.Outcome, error) {
	for _, kind := range []ferric.InterfaceKind{ferric.KindPower, ferric.KindManagement} {
		if err := t.Set.Get(kind).Validate(ctx, t.Machine); err != nil {
			return flow.Outcome{}, ferric.Errorf(ferric.ErrorCode(err), "validate the %s interface: %w", kind, err)
		}
	}
	power, err := t.Set.Power().PowerState(ctx, t.Machine)
	if err != nil {
		return flow.Outcome{}, ferric.Errorf(ferric.ErrorCode(err), "Failed to get power state for node %s. Error: %w", t.Node.UUID, err)
	}
	c.readHardware(ctx, t)
	return flow.Done(map[string]any{"power_state": power}), t.Mutate(ctx, func(n *ferric.Node) error {
		corrected(n, power)
		if n.Fault == ferric.FaultPower {
			n.Maintenance, n.MaintenanceReason, n.Fault = false, "", ""
		}
		return nil
	})
}

func (c *Conductor) collectVerifySteps(_ context.Context, t *driver.Task) (flow.Outcome, error) {
	steps := automatic(driver.VerifyPhase, driverSteps(t.Set, t.Machine, driver.VerifyPhase), c.VerifyPriorities, nil)
	return flow.Done(nil).Then(steps...), nil
}
