package network

import (
	"context"
	"net/netip"

	"ferric"
	"ferric/driver"
)

// optClientID is the DHCP option client-id (RFC 2132), by which a DHCP server knows an InfiniBand port.
const optClientID = "61"

// clientID is what the operator says that a port's client-id is.
func clientID(p *ferric.Port) string {
	id, _ := p.Extra["client-id"].(string)
	return id
}

// waitDHCP is what a step waits for after DHCP options were changed.
const waitDHCP = "Neutron's DHCP servers to take over the options of the node's ports"

// ServesDHCP implements driver.DHCPProvider.
func (i *Interface) ServesDHCP(*driver.Machine) bool { return i.Settings.DHCP }

// SetBootOptions implements driver.DHCPProvider.
func (i *Interface) SetBootOptions(ctx context.Context, t *driver.Task, options func(mac string) []driver.DHCPOption) error {
	vifs := currentVIFs(t.Machine)
	if len(vifs) == 0 {
		return ferric.Errorf(ferric.CodeInvalid, "No VIFs found for node %s when attempting to update DHCP BOOT options.", t.Node.UUID)
	}
	changed, set := false, 0
	var last error
	for _, vif := range vifs {
		did, err := i.setOptions(ctx, vif, options)
		if away(err) {
			return i.failed(err, "set the DHCP options of port %s", vif)
		}
		if err != nil {
			t.Log.Warn("cannot set the DHCP options of a Neutron port", "port", vif, "error", err)
			last = err
			continue
		}
		set, changed = set+1, changed || did
	}
	if set == 0 {
		return ferric.Errorf(codeNetwork, "Failed to set DHCP BOOT options for any port on node %s. %w", t.Node.UUID, last)
	}
	delay := i.Settings.PortSetupDelay
	if delay <= 0 || t.Flow == nil {
		return nil
	}
	waited := t.Flow.Op.WaitWhat == waitDHCP
	if !changed && !waited || waited && t.Flow.Waited() >= delay {
		return nil
	}
	left := delay
	if waited {
		left -= t.Flow.Waited()
	}
	return &driver.Pending{What: waitDHCP, Poll: left, Err: ferric.Errorf(ferric.CodeTimeout, "neutron.port_setup_delay is %s", delay)}
}

// currentVIFs lists the Neutron ports that a machine is on the network with: those of the purpose that it is connected for, else the instance's.
func currentVIFs(m *driver.Machine) []string {
	var out []string
	for _, p := range m.Ports {
		id := ""
		for _, purpose := range purposes() {
			if own, _ := p.InternalInfo[vifKey(purpose)].(string); own != "" {
				id = own
				break
			}
		}
		if id == "" {
			id = driver.PluggedVIF(p.InternalInfo)
		}
		if id != "" {
			out = append(out, id)
		}
	}
	for _, g := range m.Portgroups {
		if id := driver.PluggedVIF(g.InternalInfo); id != "" {
			out = append(out, id)
		}
	}
	return out
}

// setOptions gives a port its options, and reports whether it had others.
func (i *Interface) setOptions(ctx context.Context, id string, options func(mac string) []driver.DHCPOption) (changed bool, err error) {
	p, err := i.Client.Port(ctx, id)
	if err != nil {
		return false, err
	}
	versions := map[int]bool{}
	for _, ip := range p.FixedIPs {
		if a, err := netip.ParseAddr(ip.Address); err == nil {
			versions[map[bool]int{true: 4, false: 6}[a.Is4()]] = true
		}
	}
	want := []any{}
	for _, o := range options(p.MAC) {
		if !versions[o.IPVersion] {
			continue
		}
		have := false
		for _, h := range p.DHCPOptions {
			have = have || h.Name == o.Name && h.IPVersion == o.IPVersion && h.Value != nil && *h.Value == o.Value
		}
		changed = changed || !have
		want = append(want, DHCPOption{Name: o.Name, Value: &o.Value, IPVersion: o.IPVersion})
	}
	if !changed {
		return false, nil
	}
	_, err = i.Client.UpdatePort(ctx, id, Attrs{attrDHCP: want})
	return true, err
}
