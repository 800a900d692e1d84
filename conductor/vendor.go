package conductor

import (
	"context"
	"encoding/json"

	"ferric"
	"ferric/driver"
	"ferric/flow"
	"ferric/rpc"
)

func describe(methods []driver.VendorMethod) map[string]rpc.VendorMethod {
	out := map[string]rpc.VendorMethod{}
	for _, m := range methods {
		out[m.Name] = rpc.VendorMethod{Async: m.Async, Attach: m.Attach, Description: m.Description, HTTPMethods: m.HTTPMethods, Exclusive: !m.Shared}
	}
	return out
}

func (c *Conductor) vendorMethods(ctx context.Context, a rpc.NodeRef) (map[string]rpc.VendorMethod, error) {
	t, err := c.nodeTask(ctx, a.UUID)
	if err != nil {
		return nil, err
	}
	return describe(t.Set.Vendor().Methods()), nil
}

// vendorCall calls a vendor's method. An asynchronous one is an operation that is not run twice: what it does is not known here.
func (c *Conductor) vendorCall(ctx context.Context, a rpc.VendorArgs) (*rpc.VendorReply, error) {
	t, err := c.nodeTask(ctx, a.UUID)
	if err != nil {
		return nil, err
	}
	method, err := driver.FindMethod(t.Set.Vendor().Methods(), a.Method, a.HTTPMethod)
	if err != nil {
		return nil, err
	}
	check := func(ctx context.Context, t *driver.Task) error {
		if err := t.Set.Vendor().Validate(ctx, t.Machine); err != nil || method.Check == nil {
			return err
		}
		return method.Check(ctx, t.Machine, a.Args)
	}
	if method.Async {
		return &rpc.VendorReply{Async: true, Attach: method.Attach},
			c.beginAction(ctx, rpc.VendorCall, a.NodeRef, flow.Never, a, func(ctx context.Context, t *driver.Task) (bool, error) { return false, check(ctx, t) })
	}
	var result any
	run := func(ctx context.Context, t *driver.Task) error {
		if err := check(ctx, t); err != nil {
			return err
		}
		result, err = method.Run(ctx, t.Machine, a.Args)
		return err
	}
	if method.Shared {
		err = run(ctx, t)
	} else {
		err = c.onMachine(ctx, a.UUID, run)
	}
	if err != nil {
		return nil, err
	}
	return c.vendorDone(ctx, method, result)
}

// vendorDone notes the answer of a method with the call, so that the method does not run twice if the answer is lost.
func (c *Conductor) vendorDone(ctx context.Context, m driver.VendorMethod, result any) (*rpc.VendorReply, error) {
	reply, err := vendorReply(m, result)
	if err != nil {
		return nil, err
	}
	noted, err := json.Marshal(reply)
	if err != nil {
		return nil, ferric.Errorf(ferric.CodeInternal, "answer of the vendor's method %s: %w", m.Name, err)
	}
	return reply, c.Store.NoteRequest(ctx, noted)
}

func vendorReply(m driver.VendorMethod, result any) (*rpc.VendorReply, error) {
	raw, err := json.Marshal(result)
	if err != nil {
		return nil, ferric.Errorf(ferric.CodeInternal, "result of the vendor's method %s: %w", m.Name, err)
	}
	return &rpc.VendorReply{Return: raw, Attach: m.Attach}, nil
}

// callVendor runs an asynchronous method.
func (c *Conductor) callVendor(ctx context.Context, t *driver.Task, a rpc.VendorArgs) error {
	method, err := driver.FindMethod(t.Set.Vendor().Methods(), a.Method, a.HTTPMethod)
	if err != nil {
		return err
	}
	if _, err := method.Run(ctx, t.Machine, a.Args); err != nil {
		return ferric.Errorf(ferric.ErrorCode(err), "vendor's method %s: %w", a.Method, err)
	}
	return nil
}

// driverVendor finds the methods of a hardware type's default vendor interface that are about no node.
func (c *Conductor) driverVendor(name string) ([]driver.VendorMethod, error) {
	t, err := c.hardwareType(name)
	if err != nil {
		return nil, err
	}
	vendor, ok := c.Drivers.Implementations[ferric.KindVendor][c.Drivers.DefaultFor(t, ferric.KindVendor)].(driver.DriverVendor)
	if !ok {
		return nil, nil
	}
	return vendor.DriverMethods(), nil
}

func (c *Conductor) driverVendorMethods(_ context.Context, a rpc.DriverRef) (map[string]rpc.VendorMethod, error) {
	methods, err := c.driverVendor(a.Driver)
	return describe(methods), err
}

// driverVendorCall calls a method that is about no node. The caller waits for an asynchronous one, too: there is no node that could tell how it
// ended.
func (c *Conductor) driverVendorCall(ctx context.Context, a rpc.DriverVendorArgs) (*rpc.VendorReply, error) {
	methods, err := c.driverVendor(a.Driver)
	if err != nil {
		return nil, err
	}
	method, err := driver.FindMethod(methods, a.Method, a.HTTPMethod)
	if err != nil {
		return nil, err
	}
	if method.Check != nil {
		if err := method.Check(ctx, nil, a.Args); err != nil {
			return nil, err
		}
	}
	result, err := method.Run(ctx, nil, a.Args)
	if err != nil {
		return nil, err
	}
	if method.Async {
		return &rpc.VendorReply{Async: true, Attach: method.Attach}, nil
	}
	return c.vendorDone(ctx, method, result)
}
