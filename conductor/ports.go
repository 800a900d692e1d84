package conductor

import (
	"context"
	"reflect"
	"slices"

	"ferric"
	"ferric/driver"
	"ferric/flow"
	"ferric/rpc"
)

// withNodes runs do under the leases of one or two nodes (the second may be the first): what moves from one to another concerns both. Leases are taken
// in the order of the UUIDs, so that two moves do not wait for each other.
func (c *Conductor) withNodes(ctx context.Context, a, b string, do func(ctx context.Context) error) error {
	nodes := slices.Compact(slices.Sorted(slices.Values([]string{a, b})))
	return c.runner.WithLease(ctx, nodes[0], func(ctx context.Context, _ flow.Lease) error {
		if len(nodes) == 1 {
			return do(ctx)
		}
		return c.runner.WithLease(ctx, nodes[1], func(ctx context.Context, _ flow.Lease) error { return do(ctx) })
	})
}

// cablingStates are those in which what a port is connected to may change.
func cablingStates() []ferric.ProvisionState {
	return []ferric.ProvisionState{ferric.Enroll, ferric.Inspecting, ferric.InspectWait, ferric.Manageable}
}

func cablingFree(n *ferric.Node) bool {
	return n.Maintenance || slices.Contains(cablingStates(), n.ProvisionState)
}

// updatePort stores the API's new form of a port.
func (c *Conductor) updatePort(ctx context.Context, a rpc.PortArgs) (*ferric.Port, error) {
	now := a.Port
	if now == nil {
		return nil, missingArgument("port")
	}
	stored, err := c.Store.Port(ctx, now.UUID)
	if err != nil {
		return nil, err
	}
	var made *ferric.Port
	err = c.withNodes(ctx, stored.NodeUUID, now.NodeUUID, func(ctx context.Context) error {
		before, err := c.Store.Port(ctx, now.UUID)
		if err != nil {
			return err
		}
		if before.Version != now.Version {
			return changedMeanwhile("Port", now.UUID)
		}
		t, err := c.nodeTask(ctx, now.NodeUUID)
		if err != nil {
			return err
		}
		if err := portChange(t.Node, now, before); err != nil {
			return err
		}
		if w, ok := t.Set.Network().(driver.PortWatcher); ok {
			if err := w.PortChanged(ctx, t, now, before); err != nil {
				return err
			}
		}
		made, err = c.Store.UpdatePort(flow.CarriesOut(ctx), now.UUID, before.Version, func(p *ferric.Port) error { *p = *now.Clone(); return nil })
		return err
	})
	return made, err
}

// portChange refuses what the node's state forbids.
func portChange(n *ferric.Node, now, before *ferric.Port) error {
	if now.Address != before.Address && (n.ProvisionState == ferric.Active || n.InstanceID != "") && !n.Maintenance {
		return ferric.Errorf(ferric.CodeConflict, "Cannot update hardware address for port %s as node %s is active or has instance UUID assigned",
			now.UUID, n.UUID)
	}
	cabling := now.PortgroupUUID != before.PortgroupUUID || now.PXEEnabled != before.PXEEnabled || now.PhysicalNetwork != before.PhysicalNetwork ||
		!reflect.DeepEqual(now.LocalLinkConnection, before.LocalLinkConnection)
	if cabling && !cablingFree(n) {
		return ferric.Errorf(ferric.CodeConflict, "Port %s can not have any connectivity attributes (%s) updated unless node %s is in a %s state "+
			"or in maintenance mode. The current state is %s.", now.UUID, "local_link_connection, physical_network, portgroup_id, pxe_enabled", n.UUID,
			joined(stateNames(cablingStates())), n.ProvisionState)
	}
	return nil
}

// destroyPort deletes a port that no VIF is plugged into.
func (c *Conductor) destroyPort(ctx context.Context, a rpc.PartRef) error {
	stored, err := c.Store.Port(ctx, a.UUID)
	if err != nil {
		return err
	}
	return c.runner.WithLease(ctx, stored.NodeUUID, func(ctx context.Context, _ flow.Lease) error {
		n, err := c.Store.Node(ctx, stored.NodeUUID)
		if err != nil {
			return err
		}
		p, err := c.Store.Port(ctx, a.UUID)
		if err != nil {
			return err
		}
		if vif := driver.PluggedVIF(p.InternalInfo); vif != "" && !n.Maintenance {
			return ferric.Errorf(ferric.CodeConflict, "Cannot delete the port %s as it is bound to VIF %s for use.", p.UUID, vif)
		}
		return c.Store.DeletePort(ctx, p.UUID)
	})
}

func missingArgument(name string) error {
	return ferric.Errorf(ferric.CodeInvalid, "arguments of the call: %s is missing", name)
}

func changedMeanwhile(what, uuid string) error {
	return ferric.Errorf(ferric.CodeConflict, "%s %s was changed by somebody else meanwhile.", what, uuid)
}
