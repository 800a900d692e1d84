package network

import (
	"context"
	"strings"

	"ferric"
	"ferric/driver"
)

// PortChanged implements driver.PortWatcher: what is told of a port with a VIF is told Neutron, too.
func (i *Interface) PortChanged(ctx context.Context, t *driver.Task, now, before *ferric.Port) error {
	if err := driver.CheckStandalonePort(t.Machine, now, before); err != nil {
		return err
	}
	vif := driver.PluggedVIF(now.InternalInfo)
	if vif == "" {
		if clientID(now) != clientID(before) && t.Node.InstanceID != "" {
			t.Log.Warn("a port's client-id was changed, and no VIF is there to tell Neutron of", "port", now.UUID, "instance", t.Node.InstanceID)
		}
		return nil
	}
	if now.Address != before.Address {
		if err := i.changeAddress(ctx, vif, now.Address); err != nil {
			return err
		}
	}
	if id := clientID(now); id != clientID(before) {
		opt := DHCPOption{Name: optClientID}
		if id != "" {
			opt.Value = &id
		}
		if _, err := i.Client.UpdatePort(ctx, vif, Attrs{attrDHCP: []any{opt}}); err != nil {
			return ferric.Errorf(codeOf(err), "Update DHCP options on port: %s failed. %w", vif, err)
		}
	}
	return nil
}

// PortgroupChanged implements driver.PortWatcher. The address of a VIF stays when its port group has none any more.
func (i *Interface) PortgroupChanged(ctx context.Context, t *driver.Task, now, before *ferric.Portgroup) error {
	if err := driver.CheckStandalonePorts(t.Machine, now, before); err != nil {
		return err
	}
	if vif := driver.PluggedVIF(now.InternalInfo); vif != "" && now.Address != "" && now.Address != before.Address {
		return i.changeAddress(ctx, vif, now.Address)
	}
	return nil
}

// changeAddress gives a VIF another address. Neutron changes that of unbound ports only, so a bound one is unbound meanwhile. It may be repeated, also after
// it was cut short in the middle: the address comes last, together with the binding.
func (i *Interface) changeAddress(ctx context.Context, vif, mac string) error {
	tell := func(err error) error {
		return ferric.Errorf(codeOf(err), "Update MAC address on port: %s failed. %w", vif, err)
	}
	p, err := i.Client.Port(ctx, vif)
	if err != nil {
		return tell(err)
	}
	if strings.EqualFold(p.MAC, mac) {
		return nil
	}
	change := Attrs{attrMAC: mac}
	if p.HostID != "" {
		change[attrHost], change[attrProfile] = p.HostID, p.Profile
		if p.Profile == nil {
			change[attrProfile] = map[string]any{}
		}
		// Only the host: the profile is kept, so that it is still known if this is cut short.
		if _, err := i.Client.UpdatePort(ctx, vif, Attrs{attrHost: ""}); err != nil {
			return tell(err)
		}
	}
	if _, err := i.Client.UpdatePort(ctx, vif, change); err != nil {
		if p.HostID != "" { // with its old address it is as it was
			_, _ = i.Client.UpdatePort(ctx, vif, Attrs{attrHost: p.HostID, attrProfile: change[attrProfile]})
		}
		return tell(err)
	}
	return nil
}

// codeOf is the code for clients of what Neutron made fail.
func codeOf(err error) ferric.Code {
	if away(err) {
		return ferric.CodeUnavailable
	}
	return codeNetwork
}
