package network

import (
	"context"
	"fmt"
	"maps"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"time"

	"ferric"
	"ferric/driver"
)

// Ports of Ferric's own: for purposes other than an instance's.

// addPorts makes the ports of a purpose, or adopts those that are there already, and notes them. Those of other purposes are removed: a machine is in one
// network at a time.
func (i *Interface) addPorts(ctx context.Context, t *driver.Task, purpose driver.NetworkPurpose) error {
	network, err := i.networkOf(ctx, t.Node, purpose)
	if err != nil {
		return err
	}
	wanted, err := i.wanted(ctx, t, purpose, network)
	if err != nil {
		return err
	}
	// A VIF that was given the machine's address would keep it from ours in the same network.
	if err := i.unbindVIFs(ctx, t); err != nil {
		return err
	}
	have, err := i.own(ctx, t.Machine)
	if err != nil {
		return err
	}
	made, missing := map[string]*Port{}, []Attrs{}
	for _, p := range t.Ports {
		want, ok := wanted[p.UUID]
		if !ok {
			continue
		}
		at := slices.IndexFunc(have, func(h *Port) bool { return h.NetworkID == network && strings.EqualFold(h.MAC, p.Address) })
		if at < 0 {
			missing = append(missing, want)
			continue
		}
		if made[p.UUID], err = i.adopt(ctx, have[at], want); err != nil {
			return err
		}
		have = slices.Delete(have, at, at+1)
	}
	for _, stale := range have {
		t.Log.Warn("a Neutron port that an earlier operation left behind is removed", "port", stale.ID, "name", stale.Name, "network", stale.NetworkID)
		if err := i.remove(ctx, t, stale); err != nil {
			return err
		}
	}
	if len(missing) > 0 {
		created, err := i.create(ctx, t, network, missing)
		if err != nil {
			return err
		}
		for _, p := range t.Ports {
			at := slices.IndexFunc(created, func(c *Port) bool { return strings.EqualFold(c.MAC, p.Address) })
			if at >= 0 && wanted[p.UUID] != nil {
				made[p.UUID] = created[at]
			}
		}
	}
	for _, p := range slices.Clone(t.Ports) {
		id := ""
		if made[p.UUID] != nil {
			id = made[p.UUID].ID
		}
		if err := note(ctx, t, p, purpose, id, true); err != nil {
			return err
		}
	}
	ports := slices.Collect(maps.Values(made))
	slices.SortFunc(ports, func(a, b *Port) int { return strings.Compare(a.ID, b.ID) })
	for _, p := range ports {
		if err := i.moreAddresses(ctx, p); err != nil {
			return err
		}
	}
	return i.awaitBound(ctx, t, ports, slices.ContainsFunc(t.Ports, func(p *ferric.Port) bool { return p.IsSmartNIC && made[p.UUID] != nil }))
}

// wanted says what ports a purpose needs, by the UUIDs of the node's ports.
func (i *Interface) wanted(ctx context.Context, t *driver.Task, purpose driver.NetworkPurpose, network string) (map[string]Attrs, error) {
	n := t.Node
	var groups []string
	if i.Kind == Neutron {
		groups = i.Settings.SecurityGroups[purpose]
	}
	if err := i.checkSecurityGroups(ctx, groups); err != nil {
		return nil, err
	}
	candidates, skipped := 0, []string{}
	all := map[string]Attrs{}
	for _, p := range t.Ports {
		if !p.PXEEnabled && !i.Settings.AddAllPorts {
			continue
		}
		candidates++
		if why := i.unfit(p); why != "" {
			t.Log.Warn("no Neutron port is made for a port", "port", p.UUID, "reason", why)
			skipped = append(skipped, p.UUID+" ("+why+")")
			continue
		}
		host, vnic := hostOf(n, p)
		if p.IsSmartNIC {
			if err := i.awaitAgent(ctx, t, host); err != nil {
				return nil, err
			}
		}
		profile := map[string]any{"local_link_information": []any{link(p)}}
		if p.PhysicalNetwork != "" {
			profile["physical_network"] = p.PhysicalNetwork
		}
		device := n.InstanceID
		if device == "" {
			device = n.UUID
		}
		a := Attrs{attrName: portName(purpose, p.UUID), attrNetwork: network, attrMAC: p.Address, attrAdminUp: true, attrDevice: device,
			attrOwner: ownerBareMetal, attrHost: host, attrVNIC: vnic, attrProfile: profile}
		if len(groups) > 0 {
			a[attrGroups] = groups
		}
		if !p.PXEEnabled {
			a[attrFixedIPs] = []any{}
		}
		if id := clientID(p); id != "" {
			a[attrDHCP] = []any{DHCPOption{Name: optClientID, Value: &id}}
		}
		all[p.UUID] = a
	}
	switch {
	case candidates == 0 && !i.Settings.AddAllPorts:
		return nil, ferric.Errorf(ferric.CodeInvalid, "No available PXE-enabled ports on node %s.", n.UUID)
	case candidates == 0:
		return nil, ferric.Errorf(ferric.CodeInvalid, "No available ports on node %s.", n.UUID)
	case len(all) == 0:
		return nil, ferric.Errorf(ferric.CodeInvalid, "Failed to create neutron ports for node's %s ports %s.", n.UUID, strings.Join(skipped, ", "))
	}
	return all, nil
}

// link is what the port is cabled to, as a binding profile tells it.
func link(p *ferric.Port) map[string]any {
	if p.LocalLinkConnection == nil {
		return map[string]any{}
	}
	return p.LocalLinkConnection
}

// hostOf returns who binds a port: the node itself, or the smart NIC's own host.
func hostOf(n *ferric.Node, p *ferric.Port) (host, vnic string) {
	if p.IsSmartNIC {
		host, _ = p.LocalLinkConnection["hostname"].(string)
		return host, vnicSmartNIC
	}
	return n.UUID, vnicBareMetal
}

// unfit says why Neutron cannot bind a port, "" if it can.
func (i *Interface) unfit(p *ferric.Port) string {
	switch {
	case clientID(p) != "": // InfiniBand: its subnet manager knows where it is
	case i.Kind == Neutron && len(p.LocalLinkConnection) == 0:
		return "the network interface neutron needs its local_link_connection"
	case !driver.LinkFits(p) && p.IsSmartNIC:
		return "a smart NIC's local_link_connection must name port_id and hostname"
	case !driver.LinkFits(p):
		return "only a smart NIC's local_link_connection may name port_id and hostname"
	}
	return ""
}

func (i *Interface) checkSecurityGroups(ctx context.Context, ids []string) error {
	if len(ids) == 0 {
		return nil
	}
	found, err := i.Client.SecurityGroups(ctx, ids)
	if err != nil {
		return i.failed(err, "look up the security groups")
	}
	var missing []string
	for _, id := range ids {
		if !slices.Contains(found, id) {
			missing = append(missing, id)
		}
	}
	if len(missing) > 0 {
		return ferric.Errorf(ferric.CodeInvalid, "Could not find these security groups (specified via ironic config) in neutron: %s", strings.Join(missing, ", "))
	}
	return nil
}

// adopt makes a port that is there already what is wanted.
func (i *Interface) adopt(ctx context.Context, p *Port, want Attrs) (*Port, error) {
	is := Attrs{attrName: p.Name, attrDevice: p.DeviceID, attrOwner: p.DeviceOwner, attrHost: p.HostID, attrVNIC: p.VNICType}
	change := Attrs{}
	for name, have := range is {
		if want[name] != have {
			change[name] = want[name]
		}
	}
	if !sameJSON(p.Profile, want[attrProfile]) {
		change[attrProfile] = want[attrProfile]
	}
	if groups, ok := want[attrGroups].([]string); ok && !sameSet(groups, p.SecurityGroups) {
		change[attrGroups] = groups
	}
	if p.VIFType == vifUnbound || p.VIFType == vifFailed {
		change[attrHost] = want[attrHost] // it is tried again
	}
	if len(change) == 0 {
		return p, nil
	}
	changed, err := i.Client.UpdatePort(ctx, p.ID, change)
	if err != nil {
		return nil, i.failed(err, "change port %s, which was there already", p.ID)
	}
	return changed, nil
}

func sameSet(a, b []string) bool {
	return reflect.DeepEqual(slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b)))
}

// create makes ports in one request.
func (i *Interface) create(ctx context.Context, t *driver.Task, network string, all []Attrs) ([]*Port, error) {
	made, err := i.Client.CreatePorts(ctx, all)
	if err == nil {
		return made, nil
	}
	if !ferric.IsCode(err, ferric.CodeConflict) {
		return nil, i.failed(err, "create the ports of node %s on network %s", t.Node.UUID, network)
	}
	// An address is in use: by a request whose answer was lost, which the next look adopts, or by somebody else.
	query := url.Values{attrNetwork: {network}}
	for _, a := range all {
		query.Add(attrMAC, fmt.Sprint(a[attrMAC]))
	}
	others, listErr := i.Client.Ports(ctx, query)
	if listErr != nil {
		return nil, i.failed(listErr, "see who uses the addresses of node %s on network %s", t.Node.UUID, network)
	}
	for _, p := range others {
		if p.DeviceOwner == ownerBareMetal && madeFor(p, t.Machine) {
			return nil, &driver.Pending{What: "ports that another conductor has just made to be seen", Timeout: time.Minute,
				Err: ferric.Errorf(codeNetwork, "Neutron: create the ports of node %s on network %s: %w", t.Node.UUID, network, err)}
		}
	}
	for _, p := range others {
		err = ferric.Errorf(ferric.ErrorCode(err), "%w. The address %s is that of port %s (%s), device %s, owner %q: remove that port, or give it another address",
			err, p.MAC, p.ID, p.Name, p.DeviceID, p.DeviceOwner)
	}
	return nil, ferric.Errorf(codeNetwork, "Neutron: create the ports of node %s on network %s: %w", t.Node.UUID, network, err)
}

// moreAddresses gives a port in a subnet of stateful DHCPv6 as many addresses as a boot has stages.
func (i *Interface) moreAddresses(ctx context.Context, p *Port) error {
	more := i.Settings.StatefulAddresses - len(p.FixedIPs)
	if len(p.FixedIPs) == 0 || more <= 0 || !strings.Contains(p.FixedIPs[0].Address, ":") {
		return nil
	}
	subnet, err := i.Client.Subnet(ctx, p.FixedIPs[0].SubnetID)
	if err != nil {
		return i.failed(err, "look up the subnet of port %s", p.ID)
	}
	if subnet.IPv6AddressMode != "dhcpv6-stateful" {
		return nil
	}
	all := slices.Clone(p.FixedIPs)
	for range more {
		all = append(all, FixedIP{SubnetID: subnet.ID})
	}
	if _, err := i.Client.UpdatePort(ctx, p.ID, Attrs{attrFixedIPs: all}); err != nil {
		return i.failed(err, "give port %s %d addresses for stateful DHCPv6", p.ID, len(all))
	}
	return nil
}

// removePorts removes the ports of a purpose, in whatever network they are, and forgets them.
func (i *Interface) removePorts(ctx context.Context, t *driver.Task, purpose driver.NetworkPurpose) error {
	have, err := i.own(ctx, t.Machine)
	if err != nil {
		return err
	}
	noted := map[string]bool{}
	for _, p := range t.Ports {
		if id, _ := p.InternalInfo[vifKey(purpose)].(string); id != "" {
			noted[id] = true
		}
	}
	for _, p := range have {
		if is, _, ok := parseName(p.Name); !ok && !noted[p.ID] || ok && is != purpose {
			continue
		}
		if err := i.remove(ctx, t, p); err != nil {
			return err
		}
	}
	for _, p := range slices.Clone(t.Ports) {
		if err := note(ctx, t, p, purpose, "", false); err != nil {
			return err
		}
	}
	return nil
}

func (i *Interface) remove(ctx context.Context, t *driver.Task, p *Port) error {
	if p.VNICType == vnicSmartNIC {
		if err := i.awaitAgent(ctx, t, p.HostID); err != nil {
			return err
		}
	}
	if err := i.Client.DeletePort(ctx, p.ID); err != nil && !ferric.IsCode(err, ferric.CodeNotFound) {
		return i.failed(err, "remove port %s of node %s", p.ID, t.Node.UUID)
	}
	return nil
}
