package conductor

import (
	"context"

	"ferric"
	"ferric/driver"
	"ferric/flow"
	"ferric/state"
)

// planAdopt makes the plan that takes over a machine which was deployed by other means.
func (c *Conductor) planAdopt() (*flow.Operation, flow.Mutate, error) {
	op := &flow.Operation{Kind: "adopt", Lane: flow.Provision, Steps: []flow.Step{hidden("adopt", flow.Safe)}}
	return op, func(n *ferric.Node) error {
		n.LastError = ""
		return c.machine.Apply(n, state.Adopt, "")
	}, nil
}

func (c *Conductor) adoptProgram() *program {
	return &program{kind: "adopt", done: state.Done, own: map[string]stepCode{"adopt": c.adopt},
		endsBadly: func(op *flow.Operation, n *ferric.Node) error {
			n.PowerState = "" // it says nothing of a machine that could not be reached
			n.LastError = "Error while attempting to adopt node " + n.UUID + ": " + op.Error
			return nil
		}}
}

func (c *Conductor) adopt(ctx context.Context, t *driver.Task) (flow.Outcome, error) {
	// What the deploy interface wants is for deploying: this machine has its system, and Ferric may never hear of the image.
	for _, kind := range []ferric.InterfaceKind{ferric.KindPower, ferric.KindBoot} {
		if err := t.Set.Get(kind).Validate(ctx, t.Machine); err != nil {
			return flow.Outcome{}, ferric.Errorf(ferric.ErrorCode(err), "validate the %s interface: %w", kind, err)
		}
	}
	if err := t.Set.Boot().PrepareInstance(ctx, t); err != nil {
		return flow.Outcome{}, ferric.Errorf(ferric.ErrorCode(err), "prepare the instance's boot: %w", err)
	}
	power, err := t.Set.Power().PowerState(ctx, t.Machine)
	if err != nil {
		return flow.Outcome{}, err
	}
	if err := t.Agent.End(ctx); err != nil { // of an inspection whose machine stayed in the ramdisk, or of a discovery
		return flow.Outcome{}, err
	}
	return flow.Done(nil), t.Mutate(ctx, func(n *ferric.Node) error { n.PowerState = power; return nil })
}
