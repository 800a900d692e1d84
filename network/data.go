package network

import (
	"context"
	"fmt"
	"net/netip"

	"ferric"
	"ferric/driver"
)

// NetworkData implements driver.NetworkData: network_data.json as Nova makes it, from what Neutron knows of the VIFs and what is known here of the machine.
// Links are named iface0, iface1 and so on: some readers of config drives take a link's id for the name of a network device.
func (i *Interface) NetworkData(ctx context.Context, m *driver.Machine) (map[string]any, error) {
	d := document{links: []any{}, networks: []any{}, services: []any{}}
	for _, s := range driver.Sockets(m) {
		if s.VIF() == "" {
			continue
		}
		if err := i.describe(ctx, &d, m, s); err != nil {
			return nil, err
		}
	}
	if len(d.links) == 0 {
		return nil, nil
	}
	return map[string]any{"links": d.links, "networks": d.networks, "services": d.services}, nil
}

// document is a network_data.json in the making.
type document struct {
	links, networks, services []any
}

func (d *document) name() string { return fmt.Sprintf("iface%d", len(d.links)) }

// describe adds what is plugged into a socket.
func (i *Interface) describe(ctx context.Context, d *document, m *driver.Machine, s driver.Socket) error {
	vif := s.VIF()
	p, err := i.Client.Port(ctx, vif)
	if err != nil {
		return i.failed(err, "look up VIF %s", vif)
	}
	network, err := i.Client.Network(ctx, p.NetworkID)
	if err != nil {
		return i.failed(err, "look up network %s of VIF %s", p.NetworkID, vif)
	}
	mac := address(s)
	if mac == "" {
		mac = p.MAC
	}
	id := d.name()
	link := map[string]any{"id": id, "type": "phy", "ethernet_mac_address": mac, "vif_id": p.ID, "mtu": network.MTU}
	d.links = append(d.links, link)
	if s.Group != nil {
		link["type"], link["bond_mode"] = "bond", s.Group.Mode
		for k, v := range groupInformation(s.Group)["bond_properties"].(map[string]any) {
			link[k] = v
		}
		members := []any{}
		for _, member := range m.Members(s.Group.UUID) {
			name := d.name()
			members = append(members, name)
			d.links = append(d.links, map[string]any{"id": name, "type": "phy", "ethernet_mac_address": member.Address})
		}
		link["bond_links"] = members
	}
	for _, ip := range p.FixedIPs {
		subnet, err := i.Client.Subnet(ctx, ip.SubnetID)
		if err != nil {
			return i.failed(err, "look up subnet %s of VIF %s", ip.SubnetID, vif)
		}
		if err := d.add(subnet, p, ip, id); err != nil {
			return err
		}
	}
	return nil
}

// add adds an address of a port.
func (d *document) add(subnet *Subnet, p *Port, ip FixedIP, link string) error {
	prefix, err := netip.ParsePrefix(subnet.CIDR)
	if err != nil {
		return ferric.Errorf(ferric.CodeCorrupt, "Neutron: subnet %s: %w", subnet.ID, err)
	}
	routes := []any{}
	if subnet.Gateway != "" {
		zero := "0.0.0.0"
		if subnet.IPVersion == 6 {
			zero = "::0"
		}
		routes = append(routes, map[string]any{"network": zero, "netmask": zero, "gateway": subnet.Gateway})
	}
	for _, r := range subnet.Routes {
		to, err := netip.ParsePrefix(r.Destination)
		if err != nil {
			return ferric.Errorf(ferric.CodeCorrupt, "Neutron: route of subnet %s: %w", subnet.ID, err)
		}
		routes = append(routes, map[string]any{"network": to.Masked().Addr().String(), "netmask": netmask(to), "gateway": r.NextHop})
	}
	d.networks = append(d.networks, map[string]any{"id": fmt.Sprintf("network%d", len(d.networks)), "network_id": p.NetworkID, "type": fmt.Sprintf("ipv%d", subnet.IPVersion),
		"link": link, "ip_address": ip.Address, "netmask": netmask(prefix), "routes": routes})
	for _, a := range subnet.DNS {
		d.services = append(d.services, map[string]any{"type": "dns", "address": a})
	}
	return nil
}

// netmask writes the length of a prefix as a mask.
func netmask(p netip.Prefix) string {
	bytes := make([]byte, p.Addr().BitLen()/8)
	for i := range p.Bits() {
		bytes[i/8] |= 0x80 >> (i % 8)
	}
	mask, _ := netip.AddrFromSlice(bytes)
	return mask.String()
}
