package conductor

import (
	"context"
	"encoding/json"

	"ferric"
	"ferric/driver"
	"ferric/flow"
	"ferric/state"
)

// planUndeploy makes the plan that takes the instance off a machine and then cleans it.
func (c *Conductor) planUndeploy(ctx context.Context, t *driver.Task) (*flow.Operation, flow.Mutate, error) {
	if t.Node.Protected {
		return nil, nil, protected(t.Node.UUID)
	}
	if err := t.Set.Get(ferric.KindPower).Validate(ctx, t.Machine); err != nil {
		return nil, nil, ferric.Errorf(ferric.CodeInvalid, "Failed to validate power driver interface. Can not delete instance. Error: %w", err)
	}
	params, err := json.Marshal(cleanParams{})
	if err != nil {
		return nil, nil, ferric.Errorf(ferric.CodeInternal, "parameters of the undeploy: %w", err)
	}
	op := &flow.Operation{Kind: "undeploy", Lane: flow.Provision, Params: params}
	op.Steps = []flow.Step{hidden("tear_down", flow.Safe), hidden("forget_instance", flow.Safe), hidden("begin_cleaning", flow.Safe),
		cleanUp("collect_logs"), cleanUp("tear_down_cleaning")}
	return op, func(n *ferric.Node) error {
		n.LastError = ""
		return c.machine.Apply(n, state.Delete, ferric.Available)
	}, nil
}

func (c *Conductor) undeployProgram() *program {
	return c.cleaning("undeploy", map[string]stepCode{"tear_down": c.tearDown, "forget_instance": c.forgetInstance})
}

// tearDown takes power, boot configuration, networks and volumes away from the instance.
func (c *Conductor) tearDown(ctx context.Context, t *driver.Task) (flow.Outcome, error) {
	c.endConsole(ctx, t, ferric.ActionConsoleStop) // whoever watches must not see the next instance; it stays enabled, and comes back
	if err := c.powerOff(ctx, t); err != nil {
		return flow.Outcome{}, err
	}
	if err := t.Set.Boot().CleanUpInstance(ctx, t); err != nil {
		return flow.Outcome{}, ferric.Errorf(ferric.ErrorCode(err), "remove the instance's boot configuration: %w", err)
	}
	if err := c.leaveRamdisk(ctx, t, driver.ForProvisioning); err != nil { // of a deploy that was given up
		return flow.Outcome{}, err
	}
	for _, purpose := range []driver.NetworkPurpose{driver.ForRescue, driver.ForServicing, driver.ForTenant} {
		if err := t.Set.Network().Disconnect(ctx, t, purpose); err != nil {
			return flow.Outcome{}, ferric.Errorf(ferric.ErrorCode(err), "disconnect the %s network: %w", purpose, err)
		}
	}
	vifs, err := t.Set.Network().VIFs(ctx, t.Machine)
	if err != nil {
		return flow.Outcome{}, ferric.Errorf(ferric.ErrorCode(err), "list the VIFs: %w", err)
	}
	for _, v := range vifs {
		if err := t.Set.Network().DetachVIF(ctx, t, v.ID); err != nil {
			return flow.Outcome{}, ferric.Errorf(ferric.ErrorCode(err), "detach the VIF %s: %w", v.ID, err)
		}
	}
	if err := t.Set.Storage().Detach(ctx, t); err != nil {
		return flow.Outcome{}, ferric.Errorf(ferric.ErrorCode(err), "detach the volumes: %w", err)
	}
	if err := c.forgetVolumes(ctx, t); err != nil {
		return flow.Outcome{}, err
	}
	return flow.Done(nil), t.Set.Deploy().CleanUp(ctx, t)
}

// forgetInstance drops what belonged to the instance and moves on to cleaning.
func (c *Conductor) forgetInstance(ctx context.Context, t *driver.Task) (flow.Outcome, error) {
	if err := c.Store.DeleteConfigDrive(ctx, t.Node.UUID); err != nil {
		return flow.Outcome{}, err
	}
	return flow.Done(nil), t.Mutate(ctx, func(n *ferric.Node) error {
		dropLessee(n)
		n.InstanceID, n.InstanceName, n.InstanceInfo, n.DeployStep, n.ServiceStep = "", "", map[string]any{}, nil, nil
		n.InternalInfo = withoutInstance(n.InternalInfo)
		if n.ProvisionState == ferric.Deleting {
			return c.machine.Apply(n, state.Clean, ferric.Available)
		}
		return nil
	})
}

// withoutInstance drops the facts about an instance that a finished deploy published.
func withoutInstance(info map[string]any) map[string]any {
	out := map[string]any{}
	for k, v := range info {
		switch k {
		case "deployment_type", "root_uuid_or_disk_id", "is_whole_disk_image", "instance", bootFromVolume, bootFromVolumeDeploy,
			"glance_image", driver.ImageDeployKernel, driver.ImageDeployRamdisk:
		default:
			out[k] = v
		}
	}
	return out
}
