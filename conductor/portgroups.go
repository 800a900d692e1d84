package conductor

import (
	"context"

	"ferric"
	"ferric/driver"
	"ferric/flow"
	"ferric/rpc"
)

// updatePortgroup stores the API's new form of a port group.
func (c *Conductor) updatePortgroup(ctx context.Context, a rpc.PortgroupArgs) (*ferric.Portgroup, error) {
	now := a.Portgroup
	if now == nil {
		return nil, missingArgument("portgroup")
	}
	stored, err := c.Store.Portgroup(ctx, now.UUID)
	if err != nil {
		return nil, err
	}
	var made *ferric.Portgroup
	err = c.withNodes(ctx, stored.NodeUUID, now.NodeUUID, func(ctx context.Context) error {
		before, err := c.Store.Portgroup(ctx, now.UUID)
		if err != nil {
			return err
		}
		if before.Version != now.Version {
			return changedMeanwhile("Portgroup", now.UUID)
		}
		t, err := c.nodeTask(ctx, now.NodeUUID)
		if err != nil {
			return err
		}
		if now.NodeUUID != before.NodeUUID && !cablingFree(t.Node) {
			return ferric.Errorf(ferric.CodeConflict, "Portgroup %s can not be associated to node %s unless the node is in a %s state or in maintenance mode. "+
				"Current state is '%s'.", now.UUID, now.NodeUUID, joined(stateNames(cablingStates())), t.Node.ProvisionState)
		}
		if w, ok := t.Set.Network().(driver.PortWatcher); ok {
			if err := w.PortgroupChanged(ctx, t, now, before); err != nil {
				return err
			}
		}
		made, err = c.Store.UpdatePortgroup(flow.CarriesOut(ctx), now.UUID, before.Version, func(g *ferric.Portgroup) error { *g = *now.Clone(); return nil })
		return err
	})
	return made, err
}

// destroyPortgroup deletes a port group that has no ports.
func (c *Conductor) destroyPortgroup(ctx context.Context, a rpc.PartRef) error {
	stored, err := c.Store.Portgroup(ctx, a.UUID)
	if err != nil {
		return err
	}
	return c.runner.WithLease(ctx, stored.NodeUUID, func(ctx context.Context, _ flow.Lease) error {
		return c.Store.DeletePortgroup(ctx, a.UUID)
	})
}
