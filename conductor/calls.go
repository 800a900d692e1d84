package conductor

import (
	"context"
	"encoding/json"

	"ferric"
	"ferric/rpc"
)

type answer func(ctx context.Context, args []byte) (any, error)

// answers is every call by name.
func (c *Conductor) answers() map[rpc.Method]answer {
	return map[rpc.Method]answer{
		rpc.CreateNode:    reply(c.createNode),
		rpc.UpdateNode:    reply(c.updateNode),
		rpc.DestroyNode:   silent(c.destroyNode),
		rpc.ValidateNode:  reply(c.validateNode),
		rpc.ChangePower:   silent(c.changePower),
		rpc.Provision:     silent(c.provision),
		rpc.BootDevice:    reply(c.bootDevice),
		rpc.SetBootDevice: silent(c.setBootDevice),
		rpc.BootDevices:   reply(c.bootDevices),
		rpc.InjectNMI:     silent(c.injectNMI),
		rpc.AttachVIF:     silent(c.attachVIF),
		rpc.DetachVIF:     silent(c.detachVIF),
		rpc.ListVIFs:      reply(c.listVIFs),

		rpc.UpdatePort:             reply(c.updatePort),
		rpc.DestroyPort:            silent(c.destroyPort),
		rpc.UpdatePortgroup:        reply(c.updatePortgroup),
		rpc.DestroyPortgroup:       silent(c.destroyPortgroup),
		rpc.UpdateVolumeConnector:  reply(c.updateVolumeConnector),
		rpc.DestroyVolumeConnector: silent(c.destroyVolumeConnector),
		rpc.UpdateVolumeTarget:     reply(c.updateVolumeTarget),
		rpc.DestroyVolumeTarget:    silent(c.destroyVolumeTarget),

		rpc.Lookup:             reply(c.lookup),
		rpc.Heartbeat:          silent(c.heartbeat),
		rpc.ContinueInspection: silent(c.continueInspection),
		rpc.Discover:           reply(c.discover),

		rpc.SetBootMode:         silent(c.beginBootMode),
		rpc.SetSecureBoot:       silent(c.beginSecureBoot),
		rpc.SetTargetRAID:       silent(c.setTargetRAID),
		rpc.RAIDProperties:      reply(c.raidProperties),
		rpc.GetConsole:          reply(c.getConsole),
		rpc.SetConsole:          silent(c.beginConsole),
		rpc.ListIndicators:      reply(c.listIndicators),
		rpc.GetIndicator:        reply(c.getIndicator),
		rpc.SetIndicator:        silent(c.setIndicator),
		rpc.ListVirtualMedia:    reply(c.listVirtualMedia),
		rpc.AttachVirtualMedia:  silent(c.beginAttach),
		rpc.DetachVirtualMedia:  silent(c.beginDetach),
		rpc.VendorMethods:       reply(c.vendorMethods),
		rpc.VendorCall:          reply(c.vendorCall),
		rpc.DriverVendorMethods: reply(c.driverVendorMethods),
		rpc.DriverVendorCall:    reply(c.driverVendorCall),

		rpc.Drivers:           func(ctx context.Context, _ []byte) (any, error) { return c.listDrivers(ctx) },
		rpc.CreateAllocation:  reply(c.createAllocation),
		rpc.DestroyAllocation: silent(c.destroyAllocation),
		rpc.ExternalEvent:     silent(c.externalEvent),
		rpc.Examine:           reply(c.examine),
	}
}

// reply makes an answer of a function with a result.
func reply[A, R any](do func(context.Context, A) (R, error)) answer {
	return func(ctx context.Context, raw []byte) (any, error) {
		var args A
		if err := json.Unmarshal(raw, &args); err != nil {
			return nil, ferric.Errorf(ferric.CodeInvalid, "arguments of the call: %w", err)
		}
		return do(ctx, args)
	}
}

// silent makes an answer of a function without a result.
func silent[A any](do func(context.Context, A) error) answer {
	return reply(func(ctx context.Context, args A) (any, error) { return nil, do(ctx, args) })
}
