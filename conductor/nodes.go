package conductor

import (
	"context"
	"maps"
	"reflect"
	"slices"

	"ferric"
	"ferric/driver"
	"ferric/flow"
	"ferric/rpc"
	"ferric/state"

	"github.com/google/uuid"
)

// createNode completes the interfaces of a new node and stores it.
func (c *Conductor) createNode(ctx context.Context, a rpc.NodeArgs) (*ferric.Node, error) {
	n := a.Node
	if n == nil {
		return nil, ferric.Errorf(ferric.CodeInvalid, "arguments of the call: node is missing")
	}
	if n.UUID == "" {
		n.UUID = uuid.NewString()
	}
	if n.ProvisionState == "" {
		n.ProvisionState = ferric.Enroll
	}
	if err := c.Drivers.Complete(n); err != nil {
		return nil, err
	}
	if err := c.Store.CreateNode(flow.CarriesOut(ctx), n); err != nil {
		return nil, err
	}
	return n, nil
}

// interfaceStates are the states in which a node's driver and interfaces may be changed.
func interfaceStates() []ferric.ProvisionState {
	return []ferric.ProvisionState{ferric.Enroll, ferric.Inspecting, ferric.InspectWait, ferric.Manageable, ferric.Available}
}

// mayChangeInterfaces refuses new implementations for a node that is in use. Those that follow from a change of the driver are not asked about.
func mayChangeInterfaces(n *ferric.Node, a rpc.NodeArgs) error {
	if n.Maintenance || slices.Contains(interfaceStates(), n.ProvisionState) {
		return nil
	}
	for _, kind := range ferric.InterfaceKinds() {
		named := slices.Contains(a.Named, string(kind)) || a.Node.Driver == n.Driver
		if named && a.Node.Interfaces[kind] != n.Interfaces[kind] {
			return ferric.Errorf(ferric.CodeConflict, "Node %s can not have %s_interface updated unless it is in one of allowed (%s) states or in maintenance mode. "+
				"Current state is '%s'.", n.UUID, kind, joined(stateNames(interfaceStates())), n.ProvisionState)
		}
	}
	return nil
}

// updateNode stores the API's new form of a node. What the API may not change, such as states and reservation, keeps its stored value.
func (c *Conductor) updateNode(ctx context.Context, a rpc.NodeArgs) (*ferric.Node, error) {
	if a.Node == nil {
		return nil, ferric.Errorf(ferric.CodeInvalid, "arguments of the call: node is missing")
	}
	change := func(n *ferric.Node) error {
		if a.Node.Version != 0 && n.Version != a.Node.Version {
			return ferric.Errorf(ferric.CodeConflict, "Node %s was changed by somebody else meanwhile.", n.UUID)
		}
		next := a.Node.Clone()
		if a.ResetInterfaces {
			for _, kind := range ferric.InterfaceKinds() {
				if !slices.Contains(a.Named, string(kind)) {
					delete(next.Interfaces, kind)
				}
			}
		}
		if next.Driver != n.Driver || !maps.Equal(next.Interfaces, n.Interfaces) {
			if err := mayChangeInterfaces(n, a); err != nil {
				return err
			}
			if err := c.Drivers.Complete(next); err != nil {
				return err
			}
		}
		if n.ConsoleEnabled && next.Interfaces[ferric.KindConsole] != n.Interfaces[ferric.KindConsole] {
			return ferric.Errorf(ferric.CodeConflict, "Node %s can not update the console_interface while the console is enabled. Please stop the console first.", n.UUID)
		}
		if err := mayRelease(n, next); err != nil {
			return err
		}
		takeUpdate(n, next)
		return nil
	}
	updated, err := c.Store.ChangeNode(flow.CarriesOut(ctx), a.Node.UUID, 0, change)
	if !ferric.IsCode(err, ferric.CodeLocked) {
		return updated, err
	}
	// Somebody works on it: wait a little.
	err = c.runner.WithLease(ctx, a.Node.UUID, func(ctx context.Context, l flow.Lease) error {
		_, err := c.Store.UpdateNode(flow.CarriesOut(ctx), l, change)
		return err
	})
	if err != nil {
		return nil, err
	}
	return c.Store.Node(ctx, a.Node.UUID)
}

// takeUpdate copies what the API may change.
func takeUpdate(n, next *ferric.Node) {
	kept := n.Clone()
	*n = *next
	n.PowerState, n.TargetPowerState = kept.PowerState, kept.TargetPowerState
	n.ProvisionState, n.TargetProvisionState, n.ProvisionUpdatedAt = kept.ProvisionState, kept.TargetProvisionState, kept.ProvisionUpdatedAt
	n.CleanStep, n.DeployStep, n.ServiceStep = kept.CleanStep, kept.DeployStep, kept.ServiceStep
	n.Reservation, n.LeaseEpoch, n.Conductor = kept.Reservation, kept.LeaseEpoch, kept.Conductor
	n.InternalInfo, n.LastError = kept.InternalInfo, kept.LastError
	n.InspectionStartedAt, n.InspectionFinishedAt = kept.InspectionStartedAt, kept.InspectionFinishedAt
	n.BootMode, n.SecureBoot, n.Health = kept.BootMode, kept.SecureBoot, kept.Health
	n.AllocationUUID, n.RAIDConfig, n.TargetRAIDConfig = kept.AllocationUUID, kept.RAIDConfig, kept.TargetRAIDConfig
	n.ConsoleEnabled = kept.ConsoleEnabled
	n.Traits, n.CreatedAt, n.Version = kept.Traits, kept.CreatedAt, kept.Version
	if kept.Fault != "" && !n.Maintenance {
		n.Fault = ""
	} else {
		n.Fault = kept.Fault
	}
	if !reflect.DeepEqual(kept.DriverInfo, n.DriverInfo) && n.Fault == ferric.FaultPower {
		n.PowerState = "" // new credentials: ask again
	}
}

func stateNames(states []ferric.ProvisionState) []string {
	var out []string
	for _, s := range states {
		out = append(out, string(s))
	}
	return out
}

// destroyNode deletes a node that nothing is under way on.
func (c *Conductor) destroyNode(ctx context.Context, a rpc.NodeRef) error {
	return c.runner.WithLease(ctx, a.UUID, func(ctx context.Context, l flow.Lease) error {
		n, err := c.Store.Node(ctx, a.UUID)
		if err != nil {
			return err
		}
		switch {
		case n.InstanceID != "" && !n.Maintenance:
			return ferric.Errorf(ferric.CodeConflict, "Node %s is associated with instance %s.", n.UUID, n.InstanceID)
		case n.Protected:
			return protected(n.UUID)
		case (!state.DeleteAllowed(n.ProvisionState) || n.ProvisionState == ferric.Available && !c.DeleteAvailable) && !n.Maintenance:
			allowed := "'manageable', 'enroll', 'adopt failed'"
			if c.DeleteAvailable {
				allowed += ", 'available'"
			}
			return ferric.Errorf(ferric.CodeConflict, `Can not delete node "%s" while it is in provision state "%s". Valid provision states to perform deletion are: "(%s)", or set the node into maintenance mode`,
				n.UUID, n.ProvisionState, allowed)
		}
		if t, err := c.looseTask(ctx, n); err == nil { // best effort: its hardware type may not be here any more
			t.Mutate = c.mutate(t, l)
			c.endConsole(ctx, t, ferric.ActionConsoleSet)
			if err := c.forgetBoot(ctx, t); err != nil {
				t.Log.Warn("cannot remove the boot configuration of a deleted node", "error", err)
			}
		}
		return c.Store.DeleteNode(ctx, n.UUID, l)
	})
}

func (c *Conductor) forgetBoot(ctx context.Context, t *driver.Task) error {
	if err := t.Set.Boot().CleanUpRamdisk(ctx, t); err != nil {
		return err
	}
	return t.Set.Boot().CleanUpInstance(ctx, t)
}

// validateNode asks every interface of a node what it thinks of it.
func (c *Conductor) validateNode(ctx context.Context, a rpc.NodeRef) (rpc.Validations, error) {
	t, err := c.nodeTask(ctx, a.UUID)
	if err != nil {
		return nil, err
	}
	out := rpc.Validations{}
	for kind, v := range t.Set.Validate(ctx, t.Machine) {
		out[kind] = rpc.Validation{Result: v.Result, Reason: v.Reason}
	}
	if out[ferric.KindDeploy].Result {
		if _, err := c.resolveImage(ctx, t, a.Caller); err != nil {
			out[ferric.KindDeploy] = rpc.Validation{Reason: err.Error()}
		}
	}
	if out[ferric.KindDeploy].Result {
		if _, err := c.checkDeploySteps(ctx, t, nil); err != nil {
			out[ferric.KindDeploy] = rpc.Validation{Reason: err.Error()}
		}
	}
	return out, nil
}
