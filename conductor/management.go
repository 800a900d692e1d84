package conductor

import (
	"context"
	"fmt"

	"ferric"
	"ferric/driver"
	"ferric/flow"
	"ferric/rpc"
)

// onMachine runs a call on a node's hardware under its lease.
func (c *Conductor) onMachine(ctx context.Context, uuid string, do func(ctx context.Context, t *driver.Task) error) error {
	return c.runner.WithLease(ctx, uuid, func(ctx context.Context, l flow.Lease) error {
		t, err := c.nodeTask(ctx, uuid)
		if err != nil {
			return err
		}
		t.Mutate = c.mutate(t, l)
		return do(ctx, t)
	})
}

// mutate changes a task's node under a lease, outside of any operation.
func (c *Conductor) mutate(t *driver.Task, l flow.Lease) func(context.Context, flow.Mutate) error {
	return func(ctx context.Context, m flow.Mutate) error {
		n, err := c.Store.UpdateNode(ctx, l, m)
		if err == nil {
			t.Machine.Node = n
		}
		return err
	}
}

func (c *Conductor) bootDevice(ctx context.Context, a rpc.NodeRef) (*rpc.BootDeviceReply, error) {
	var reply rpc.BootDeviceReply
	err := c.onMachine(ctx, a.UUID, func(ctx context.Context, t *driver.Task) error {
		if err := t.Set.Management().Validate(ctx, t.Machine); err != nil {
			return err
		}
		s, err := t.Set.Management().BootDevice(ctx, t.Machine)
		reply = rpc.BootDeviceReply{BootDevice: s.Device, Persistent: s.Persistent}
		return err
	})
	return &reply, err
}

func (c *Conductor) setBootDevice(ctx context.Context, a rpc.BootDeviceArgs) error {
	return c.onMachine(ctx, a.UUID, func(ctx context.Context, t *driver.Task) error {
		if err := t.Set.Management().Validate(ctx, t.Machine); err != nil {
			return err
		}
		return t.Set.Management().SetBootDevice(ctx, t.Machine, a.BootDevice, a.Persistent)
	})
}

func (c *Conductor) bootDevices(ctx context.Context, a rpc.NodeRef) ([]ferric.BootDevice, error) {
	t, err := c.nodeTask(ctx, a.UUID)
	if err != nil {
		return nil, err
	}
	return t.Set.Management().SupportedBootDevices(t.Machine), nil
}

func (c *Conductor) injectNMI(ctx context.Context, a rpc.NodeRef) error {
	return c.onMachine(ctx, a.UUID, func(ctx context.Context, t *driver.Task) error {
		nmi, ok := t.Set.Management().(driver.NMIInjector)
		if !ok {
			return driver.Unsupported(t.Node.Driver, "inject_nmi")
		}
		if err := t.Set.Management().Validate(ctx, t.Machine); err != nil {
			return err
		}
		if err := nmi.InjectNMI(ctx, t.Machine); err != nil {
			return err
		}
		return c.Store.NoteRequest(ctx, nil)
	})
}

func (c *Conductor) attachVIF(ctx context.Context, a rpc.VIFArgs) error {
	return c.onMachine(ctx, a.UUID, func(ctx context.Context, t *driver.Task) error {
		if err := t.Set.Network().Validate(ctx, t.Machine); err != nil {
			return err
		}
		err := t.Set.Network().AttachVIF(flow.CarriesOut(ctx), t, driver.VIF{ID: a.VIF.ID, Extra: a.VIF.Extra})
		if err != nil {
			c.note(ctx, t.Node, string(t.Node.ProvisionState), ferric.SeverityError,
				fmt.Sprintf("Failed to attach VIF %s to node %s. Error: %v", a.VIF.ID, t.Node.UUID, err))
		}
		return err
	})
}

func (c *Conductor) detachVIF(ctx context.Context, a rpc.VIFArgs) error {
	return c.onMachine(ctx, a.UUID, func(ctx context.Context, t *driver.Task) error {
		if err := t.Set.Network().Validate(ctx, t.Machine); err != nil {
			return err
		}
		err := t.Set.Network().DetachVIF(flow.CarriesOut(ctx), t, a.VIF.ID)
		if err != nil {
			c.note(ctx, t.Node, string(t.Node.ProvisionState), ferric.SeverityError,
				fmt.Sprintf("Failed to detach VIF %s from node %s, Error: %v", a.VIF.ID, t.Node.UUID, err))
		}
		return err
	})
}

func (c *Conductor) listVIFs(ctx context.Context, a rpc.NodeRef) ([]rpc.VIF, error) {
	t, err := c.nodeTask(ctx, a.UUID)
	if err != nil {
		return nil, err
	}
	vifs, err := t.Set.Network().VIFs(ctx, t.Machine)
	out := []rpc.VIF{}
	for _, v := range vifs {
		out = append(out, rpc.VIF{ID: v.ID, Extra: v.Extra})
	}
	return out, err
}

// listDrivers describes the hardware types of this conductor.
func (c *Conductor) listDrivers(context.Context) ([]rpc.Driver, error) {
	var out []rpc.Driver
	for _, t := range c.Drivers.Types {
		d := rpc.Driver{Name: t.Name, Hosts: []string{c.Host}, Enabled: map[ferric.InterfaceKind][]string{},
			Default: map[ferric.InterfaceKind]string{}, Properties: map[string]string{}}
		for _, kind := range ferric.InterfaceKinds() {
			d.Enabled[kind] = c.Drivers.EnabledFor(t, kind)
			d.Default[kind] = c.Drivers.DefaultFor(t, kind)
			if impl := c.Drivers.Implementations[kind][d.Default[kind]]; impl != nil {
				for k, v := range impl.Properties() {
					d.Properties[k] = v
				}
			}
		}
		out = append(out, d)
	}
	return out, nil
}
