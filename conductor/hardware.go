package conductor

import (
	"context"
	"encoding/json"
	"slices"

	"ferric"
	"ferric/driver"
	"ferric/flow"
	"ferric/rpc"
)

// The things that are asked of a machine's hardware and that nobody waits for are operations of one step, whose name is that of the
// operation. Their arguments may hold secrets (a vendor's bytes, a URL), so they are kept with the drivers' states, which are encrypted, and not
// in the ledger.

// actionPrograms are the programs of those operations.
func (c *Conductor) actionPrograms() []*program {
	var all []*program
	for kind, code := range map[string]stepCode{
		string(rpc.SetBootMode):        action(c.setBootMode),
		string(rpc.SetSecureBoot):      action(c.setSecureBoot),
		string(rpc.SetConsole):         action(c.turnConsole),
		string(rpc.AttachVirtualMedia): action(c.attachMedium),
		string(rpc.DetachVirtualMedia): action(c.detachMedia),
		string(rpc.VendorCall):         action(c.callVendor),
	} {
		all = append(all, &program{kind: kind, own: map[string]stepCode{kind: c.thenForget(code), "forget_arguments": c.forgetArguments}})
	}
	return all
}

// action makes the code of a step that works with the arguments of a call.
func action[A any](do func(ctx context.Context, t *driver.Task, args A) error) stepCode {
	return func(ctx context.Context, t *driver.Task) (flow.Outcome, error) {
		var args A
		raw, err := t.States.DriverState(ctx, t.Node.UUID, argumentsOf(t.Flow.Op))
		if err != nil {
			return flow.Outcome{}, err
		}
		if raw == nil { // they are forgotten last: the step was done, and the conductor died before it could write that down
			return flow.Done(nil), nil
		}
		if err := json.Unmarshal(raw, &args); err != nil {
			return flow.Outcome{}, ferric.Errorf(ferric.CodeInternal, "arguments of %s: %w", t.Flow.Op.Kind, err)
		}
		return flow.Done(nil), do(ctx, t, args)
	}
}

func argumentsOf(op *flow.Operation) string { return "arguments/" + op.ID }

// thenForget removes the arguments when the step is done.
func (c *Conductor) thenForget(code stepCode) stepCode {
	return func(ctx context.Context, t *driver.Task) (flow.Outcome, error) {
		out, err := code(ctx, t)
		if err != nil {
			return out, err
		}
		return c.forgetArguments(ctx, t)
	}
}

func (c *Conductor) forgetArguments(ctx context.Context, t *driver.Task) (flow.Outcome, error) {
	return flow.Done(nil), c.Store.SetDriverState(ctx, t.Node.UUID, argumentsOf(t.Flow.Op), nil)
}

// beginAction begins an operation if check, which sees the node under its lease, does not refuse it. With check's skip there is nothing to do.
func (c *Conductor) beginAction(ctx context.Context, method rpc.Method, a rpc.NodeRef, repeat flow.Repeat, args any, check func(ctx context.Context, t *driver.Task) (skip bool, err error)) error {
	raw, err := json.Marshal(args)
	if err != nil {
		return ferric.Errorf(ferric.CodeInvalid, "arguments of %s: %w", method, err)
	}
	op := c.operation(ctx, string(method), flow.Hardware, a.Caller, nil)
	op.Steps = []flow.Step{hidden(string(method), repeat), cleanUp("forget_arguments")}
	kept := false
	_, err = c.runner.Begin(ctx, a.UUID, func(ctx context.Context) (*flow.Operation, flow.Mutate, error) {
		t, err := c.nodeTask(ctx, a.UUID)
		if err != nil {
			return nil, nil, err
		}
		skip, err := check(ctx, t)
		if err != nil {
			return nil, nil, err
		}
		if skip {
			return nil, nil, errNothingToDo
		}
		if err := c.Store.SetDriverState(ctx, a.UUID, argumentsOf(op), raw); err != nil {
			return nil, nil, err
		}
		kept = true
		return op, func(n *ferric.Node) error { n.LastError = ""; return nil }, nil
	})
	if err == errNothingToDo {
		return nil
	}
	if err != nil && kept {
		if e := c.Store.SetDriverState(ctx, a.UUID, argumentsOf(op), nil); e != nil {
			c.Log.Warn("cannot remove the arguments of an operation that was not begun", "node", a.UUID, "operation", op.Kind, "error", e)
		}
	}
	return err
}

// errNothingToDo ends the beginning of an operation that is not needed.
var errNothingToDo = &ferric.Error{Code: ferric.CodeConflict, Message: "there is nothing to do"}

// part finds an optional part of the node's management interface. what names it in the refusal.
func part[P any](ctx context.Context, t *driver.Task, what string) (P, error) {
	p, ok := t.Set.Management().(P)
	if !ok {
		return p, driver.Unsupported(t.Node.Driver, what)
	}
	return p, t.Set.Management().Validate(ctx, t.Machine)
}

func (c *Conductor) beginBootMode(ctx context.Context, a rpc.BootModeArgs) error {
	return c.beginAction(ctx, rpc.SetBootMode, a.NodeRef, flow.Safe, a, func(ctx context.Context, t *driver.Task) (bool, error) {
		modes, err := part[driver.BootModer](ctx, t, "set_boot_mode")
		if err == nil && !slices.Contains(modes.SupportedBootModes(t.Machine), a.Mode) {
			err = ferric.Errorf(ferric.CodeInvalid, "The machine does not support the boot mode %s; it supports: %s.", a.Mode,
				joined(modes.SupportedBootModes(t.Machine)))
		}
		return false, err
	})
}

func (c *Conductor) setBootMode(ctx context.Context, t *driver.Task, a rpc.BootModeArgs) error {
	modes, err := part[driver.BootModer](ctx, t, "set_boot_mode")
	if err != nil {
		return err
	}
	if now, err := modes.BootMode(ctx, t.Machine); err != nil || now != a.Mode {
		if err := modes.SetBootMode(ctx, t.Machine, a.Mode); err != nil {
			return ferric.Errorf(ferric.ErrorCode(err), "Failed to change boot mode to '%s': %w", a.Mode, err)
		}
	}
	return t.Mutate(ctx, func(n *ferric.Node) error { n.BootMode = a.Mode; return nil })
}

func (c *Conductor) beginSecureBoot(ctx context.Context, a rpc.SecureBootArgs) error {
	return c.beginAction(ctx, rpc.SetSecureBoot, a.NodeRef, flow.Safe, a, func(ctx context.Context, t *driver.Task) (bool, error) {
		_, err := part[driver.SecureBooter](ctx, t, "set_secure_boot_state")
		return false, err
	})
}

func (c *Conductor) setSecureBoot(ctx context.Context, t *driver.Task, a rpc.SecureBootArgs) error {
	secure, err := part[driver.SecureBooter](ctx, t, "set_secure_boot_state")
	if err != nil {
		return err
	}
	if now, err := secure.SecureBoot(ctx, t.Machine); err != nil || now == nil || *now != a.On {
		if err := secure.SetSecureBoot(ctx, t.Machine, a.On); err != nil {
			return ferric.Errorf(ferric.ErrorCode(err), "Failed to change secure_boot state to '%t': %w", a.On, err)
		}
	}
	return t.Mutate(ctx, func(n *ferric.Node) error { on := a.On; n.SecureBoot = &on; return nil })
}

func (c *Conductor) listIndicators(ctx context.Context, a rpc.NodeRef) ([]rpc.Indicator, error) {
	t, err := c.nodeTask(ctx, a.UUID)
	if err != nil {
		return nil, err
	}
	lights, err := part[driver.Indicators](ctx, t, "get_supported_indicators")
	if err != nil {
		return nil, err
	}
	list, err := lights.Indicators(ctx, t.Machine)
	out := []rpc.Indicator{}
	for _, i := range list {
		out = append(out, rpc.Indicator{Component: i.Component, Name: i.Name, ReadOnly: i.ReadOnly, States: i.States})
	}
	return out, err
}

func (c *Conductor) getIndicator(ctx context.Context, a rpc.IndicatorArgs) (state string, err error) {
	err = c.onMachine(ctx, a.UUID, func(ctx context.Context, t *driver.Task) error {
		lights, err := part[driver.Indicators](ctx, t, "get_indicator_state")
		if err != nil {
			return err
		}
		state, err = lights.IndicatorState(ctx, t.Machine, a.Component, a.Indicator)
		return err
	})
	return state, err
}

func (c *Conductor) setIndicator(ctx context.Context, a rpc.IndicatorArgs) error {
	return c.onMachine(ctx, a.UUID, func(ctx context.Context, t *driver.Task) error {
		lights, err := part[driver.Indicators](ctx, t, "set_indicator_state")
		if err != nil {
			return err
		}
		return lights.SetIndicatorState(ctx, t.Machine, a.Component, a.Indicator, a.State)
	})
}

func (c *Conductor) listVirtualMedia(ctx context.Context, a rpc.NodeRef) ([]map[string]any, error) {
	t, err := c.nodeTask(ctx, a.UUID)
	if err != nil {
		return nil, err
	}
	media, err := part[driver.VirtualMedia](ctx, t, "get_virtual_media")
	if err != nil {
		return nil, err
	}
	return media.VirtualMedia(ctx, t.Machine)
}

func (c *Conductor) beginAttach(ctx context.Context, a rpc.VirtualMediaArgs) error {
	return c.beginAction(ctx, rpc.AttachVirtualMedia, a.NodeRef, flow.Safe, a, mediaCheck("attach"))
}

func (c *Conductor) beginDetach(ctx context.Context, a rpc.VirtualMediaArgs) error {
	return c.beginAction(ctx, rpc.DetachVirtualMedia, a.NodeRef, flow.Safe, a, mediaCheck("detach"))
}

func mediaCheck(verb string) func(context.Context, *driver.Task) (bool, error) {
	return func(ctx context.Context, t *driver.Task) (bool, error) {
		_, err := part[driver.VirtualMedia](ctx, t, verb+"_virtual_media")
		if err == nil && t.Node.Maintenance && t.Node.Fault == ferric.FaultPower {
			err = ferric.Errorf(ferric.CodeBusy, "Unable to %s virtual media for node %s due to power failure state", verb, t.Node.UUID)
		}
		return false, err
	}
}

func (c *Conductor) attachMedium(ctx context.Context, t *driver.Task, a rpc.VirtualMediaArgs) error {
	media, err := part[driver.VirtualMedia](ctx, t, "attach_virtual_media")
	if err != nil {
		return err
	}
	err = media.AttachVirtualMedia(ctx, t.Machine, driver.VirtualMedium{Device: a.Device, URL: a.URL, Source: a.Source})
	if err != nil {
		return ferric.Errorf(ferric.ErrorCode(err), "Could not attach device %s to node %s: %w", a.Device, t.Node.UUID, err)
	}
	return nil
}

func (c *Conductor) detachMedia(ctx context.Context, t *driver.Task, a rpc.VirtualMediaArgs) error {
	media, err := part[driver.VirtualMedia](ctx, t, "detach_virtual_media")
	if err != nil {
		return err
	}
	if err := media.DetachVirtualMedia(ctx, t.Machine, a.Devices); err != nil {
		return ferric.Errorf(ferric.ErrorCode(err), "Could not detach device(s) %s from node %s: %w", joined(a.Devices), t.Node.UUID, err)
	}
	return nil
}

// hardwareType finds a hardware type for a call that is about no node.
func (c *Conductor) hardwareType(name string) (driver.HardwareType, error) {
	t, err := c.Drivers.Type(name)
	if err != nil {
		return t, ferric.Errorf(ferric.CodeUnavailable, "%w", err)
	}
	return t, nil
}

func (c *Conductor) setTargetRAID(ctx context.Context, a rpc.RAIDArgs) error {
	return c.onMachine(ctx, a.UUID, func(ctx context.Context, t *driver.Task) error {
		if len(a.Config) > 0 { // none may be wanted of any driver
			if err := t.Set.RAID().ValidateRAID(ctx, t.Machine, a.Config); err != nil {
				return err
			}
		}
		return t.Mutate(ctx, func(n *ferric.Node) error { n.TargetRAIDConfig = a.Config; return nil })
	})
}

func (c *Conductor) raidProperties(_ context.Context, a rpc.DriverRef) (map[string]string, error) {
	t, err := c.hardwareType(a.Driver)
	if err != nil {
		return nil, err
	}
	raid, ok := c.Drivers.Implementations[ferric.KindRAID][c.Drivers.DefaultFor(t, ferric.KindRAID)].(driver.RAID)
	if !ok {
		return nil, driver.Unsupported(a.Driver, string(ferric.KindRAID))
	}
	return raid.LogicalDiskProperties(), nil
}
