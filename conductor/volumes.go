package conductor

import (
	"cmp"
	"context"

	"ferric"
	"ferric/flow"
	"ferric/rpc"
	"ferric/state"
)

// whileOff runs do under the leases of the nodes that a volume connector or target belongs to, the old one and the new one, if the new one is off: a machine that runs must
// not lose its disks.
func (c *Conductor) whileOff(ctx context.Context, before, now, action string, do func(ctx context.Context) error) error {
	return c.withNodes(ctx, before, now, func(ctx context.Context) error {
		n, err := c.Store.Node(ctx, now)
		if err != nil {
			return err
		}
		if n.PowerState != ferric.PowerOff {
			return notWhileOn(action, n)
		}
		return do(ctx)
	})
}

func notWhileOn(action string, n *ferric.Node) error {
	return ferric.Errorf(ferric.CodeInvalid, `The requested action "%s" can not be performed on node "%s" while it is in state "%s".`,
		action, n.UUID, cmp.Or(string(n.PowerState), "None"))
}

// deletable runs do under a node's lease, if the node is off or could be deleted itself.
func (c *Conductor) deletable(ctx context.Context, node, action string, do func(ctx context.Context) error) error {
	return c.runner.WithLease(ctx, node, func(ctx context.Context, _ flow.Lease) error {
		n, err := c.Store.Node(ctx, node)
		if err != nil {
			return err
		}
		if n.PowerState != ferric.PowerOff && (!state.DeleteAllowed(n.ProvisionState) || n.ProvisionState == ferric.Available) {
			return notWhileOn(action, n)
		}
		return do(ctx)
	})
}

// updateVolumeConnector stores the API's new form of a volume connector.
func (c *Conductor) updateVolumeConnector(ctx context.Context, a rpc.VolumeConnectorArgs) (made *ferric.VolumeConnector, err error) {
	now := a.Connector
	if now == nil {
		return nil, missingArgument("connector")
	}
	stored, err := c.Store.VolumeConnector(ctx, now.UUID)
	if err != nil {
		return nil, err
	}
	err = c.whileOff(ctx, stored.NodeUUID, now.NodeUUID, "volume connector update", func(ctx context.Context) error {
		made, err = c.Store.UpdateVolumeConnector(flow.CarriesOut(ctx), now.UUID, now.Version, func(v *ferric.VolumeConnector) error { *v = *now.Clone(); return nil })
		return err
	})
	return made, err
}

// destroyVolumeConnector deletes a volume connector.
func (c *Conductor) destroyVolumeConnector(ctx context.Context, a rpc.PartRef) error {
	v, err := c.Store.VolumeConnector(ctx, a.UUID)
	if err != nil {
		return err
	}
	return c.deletable(ctx, v.NodeUUID, "volume connector deletion", func(ctx context.Context) error { return c.Store.DeleteVolumeConnector(ctx, a.UUID) })
}

// updateVolumeTarget stores the API's new form of a volume target.
func (c *Conductor) updateVolumeTarget(ctx context.Context, a rpc.VolumeTargetArgs) (made *ferric.VolumeTarget, err error) {
	now := a.Target
	if now == nil {
		return nil, missingArgument("target")
	}
	stored, err := c.Store.VolumeTarget(ctx, now.UUID)
	if err != nil {
		return nil, err
	}
	err = c.whileOff(ctx, stored.NodeUUID, now.NodeUUID, "volume target update", func(ctx context.Context) error {
		made, err = c.Store.UpdateVolumeTarget(flow.CarriesOut(ctx), now.UUID, now.Version, func(v *ferric.VolumeTarget) error { *v = *now.Clone(); return nil })
		return err
	})
	return made, err
}

// destroyVolumeTarget deletes a volume target.
func (c *Conductor) destroyVolumeTarget(ctx context.Context, a rpc.PartRef) error {
	v, err := c.Store.VolumeTarget(ctx, a.UUID)
	if err != nil {
		return err
	}
	return c.deletable(ctx, v.NodeUUID, "volume target deletion", func(ctx context.Context) error { return c.Store.DeleteVolumeTarget(ctx, a.UUID) })
}
