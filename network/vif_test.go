package network_test

import (
	"encoding/json"
	"errors"
	"testing"

	"ferric"
	"ferric/driver"
	"ferric/network"
)

// TestWhichSocket: which port or port group a VIF takes.
func TestWhichSocket(t *testing.T) {
	group := func(b *bench, ports ...int) {
		b.groups = []*ferric.Portgroup{{UUID: group1, NodeUUID: node, Address: groupMAC, Mode: "802.3ad"}}
		for _, i := range ports {
			b.ports[i].PortgroupUUID = group1
		}
	}
	plugged := func(b *bench, i int, vif string) { b.ports[i].InternalInfo = map[string]any{"tenant_vif_port_id": vif} }
	tests := map[string]struct {
		kind   network.Kind
		change func(b *bench, vif string)
		extra  map[string]any
		net    string
		want   string // address
		code   ferric.Code
		error  string
	}{
		"the first that machines boot from": {change: func(*bench, string) {}, want: mac1},
		"one that machines boot from":       {change: func(b *bench, _ string) { b.ports[0].PXEEnabled = false }, want: mac2},
		"a free one":                        {change: func(b *bench, _ string) { plugged(b, 0, "other") }, want: mac2},
		"none is free": {change: func(b *bench, _ string) { plugged(b, 0, "x"); plugged(b, 1, "y") }, code: ferric.CodeInvalid,
			error: "Unable to attach VIF VIF, not enough free physical ports."},
		"attached already": {change: func(b *bench, vif string) { plugged(b, 1, vif) }, code: ferric.CodeConflict,
			error: "Unable to attach VIF because VIF VIF is already attached to Ironic Port " + port2},
		"the one that is asked for":                 {change: func(*bench, string) {}, extra: map[string]any{"port_uuid": port2}, want: mac2},
		"a group before ports":                      {change: func(b *bench, _ string) { group(b, 1) }, want: groupMAC},
		"not a group in use":                        {change: func(b *bench, _ string) { group(b, 0, 1); plugged(b, 0, "x") }, want: mac2},
		"the one on the network's physical network": {change: func(b *bench, _ string) { b.ports[1].PhysicalNetwork = "physnet1" }, want: mac2},
		"not one on another": {change: func(b *bench, _ string) {
			b.ports[0].PhysicalNetwork, b.ports[1].PhysicalNetwork = "physnet2", "physnet2"
		}, code: ferric.CodeInvalid, error: "Unable to attach VIF VIF, not enough free physical ports."},
		"a group on the physical network before a port on it": {change: func(b *bench, _ string) {
			group(b, 1)
			b.ports[0].PhysicalNetwork, b.ports[1].PhysicalNetwork = "physnet1", "physnet1"
		}, want: groupMAC},
		"a port on the physical network before a group without": {change: func(b *bench, _ string) { group(b, 1); b.ports[0].PhysicalNetwork = "physnet1" }, want: mac1},
		"a group on several": {change: func(b *bench, _ string) { group(b, 0, 1); b.ports[0].PhysicalNetwork = "physnet1" }, code: ferric.CodeInternal,
			error: "Port group " + group1 + " has member ports with inconsistent physical networks (, physnet1). All ports in a port group must have the same physical network."},
		"segments": {change: func(b *bench, _ string) {
			b.neutron.Networks[0].Segments = []network.Segment{{PhysicalNetwork: "physnet5"}, {PhysicalNetwork: "physnet6"}}
			b.ports[0].PhysicalNetwork, b.ports[1].PhysicalNetwork = "physnet1", "physnet6"
		}, want: mac2},
		"the segment of an address": {change: func(b *bench, _ string) {
			b.neutron.Networks[0].Segments = []network.Segment{{PhysicalNetwork: "physnet5"}, {PhysicalNetwork: "physnet6"}}
			b.neutron.Subnets = map[string]*network.Subnet{"s": {ID: "s", SegmentID: "g"}}
			b.neutron.Segments = map[string]string{"g": "physnet5"}
			b.ports[0].PhysicalNetwork, b.ports[1].PhysicalNetwork = "physnet6", "physnet5"
		}, want: mac2},
		"neutron: not one without link": {change: func(b *bench, _ string) { b.ports[0].LocalLinkConnection = nil }, want: mac2},
		"flat: one without link":        {kind: network.Flat, change: func(b *bench, _ string) { b.ports[0].LocalLinkConnection = nil }, want: mac1},
		"a smart NIC's link on another": {kind: network.Flat, change: func(b *bench, _ string) { b.ports[0].LocalLinkConnection["hostname"] = "nic7" }, want: mac2},
	}
	for name, c := range tests {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, cmpKind(c.kind))
			b.neutron.Address = func(string) []network.FixedIP {
				if b.neutron.Subnets == nil {
					return nil
				}
				return []network.FixedIP{{SubnetID: "s", Address: "192.0.2.9"}}
			}
			const vif = "VIF"
			c.change(b, vif)
			b.neutron.Add(network.Attrs{"id": vif, "network_id": netA})
			err := b.face.AttachVIF(t.Context(), b.task(), driver.VIF{ID: vif, Extra: c.extra})
			if c.error != "" {
				wantError(t, err, c.code, c.error)
				if p := b.neutron.All()[0]; p.HostID != "" {
					t.Errorf("Neutron was told of %s", p.HostID)
				}
				return
			}
			b.must(err)
			if p := b.neutron.All()[0]; p.MAC != c.want || p.HostID != node {
				t.Errorf("plugged into %s of %s, want %s", p.MAC, p.HostID, c.want)
			}
		})
	}
	b := newBench(t, network.Neutron)
	wantError(t, b.face.AttachVIF(t.Context(), b.task(), driver.VIF{ID: "x"}), ferric.CodeInvalid, "Neutron port x was not found")
	wantError(t, b.face.DetachVIF(t.Context(), b.task(), "x"), ferric.CodeInvalid, "Unable to detach VIF x from node "+node+" because it is not attached to it.")
}

// TestBinding: what Neutron is told of a VIF of an active node.
func TestBinding(t *testing.T) {
	b := newBench(t, network.Neutron)
	b.node.ProvisionState = ferric.Active
	b.ports[0].PortgroupUUID, b.ports[1].PortgroupUUID = group1, group1
	b.ports[0].PhysicalNetwork, b.ports[1].PhysicalNetwork = "physnet1", "physnet1"
	b.groups = []*ferric.Portgroup{{UUID: group1, NodeUUID: node, Name: "bond", Address: groupMAC, Mode: "802.3ad", PhysicalNetwork: "physnet1",
		Properties: map[string]any{"miimon": "100", "bond_xmit_hash_policy": "layer3+4"}}}
	vif := b.neutron.Add(network.Attrs{"network_id": netA, "binding:host_id": "elsewhere", "device_owner": "compute:nova"})
	b.must(b.face.AttachVIF(t.Context(), b.task(), driver.VIF{ID: vif}))
	same(t, "writes", []string{"update binding:host_id,binding:profile",
		"update binding:host_id,binding:profile,binding:vnic_type,mac_address"}, b.neutron.Writes())
	p := b.neutron.All()[0]
	same(t, "profile", map[string]any{
		"local_link_information": []any{map[string]any{"switch_id": "00:11:22:33:44:55", "port_id": "Eth1/1"}, map[string]any{"switch_id": "00:11:22:33:44:55", "port_id": "Eth1/2"}},
		"local_group_information": map[string]any{"id": group1, "name": "bond", "bond_mode": "802.3ad",
			"bond_properties": map[string]any{"bond_miimon": "100", "bond_xmit_hash_policy": "layer3+4"}},
		"physical_network": "physnet1"}, p.Profile)
	if p.MAC != groupMAC || p.HostID != node || p.VNICType != "baremetal" || p.DeviceOwner != "compute:nova" || p.Status != "ACTIVE" {
		t.Errorf("bound %+v", p)
	}
	same(t, "noted", map[string]map[string]any{group1: {"tenant_vif_port_id": vif}}, b.noted())
	b.must(b.face.Connect(t.Context(), b.task(), driver.ForTenant))
	same(t, "writes of a repetition", nil, b.neutron.Writes())

	data, err := b.face.NetworkData(t.Context(), b.task().Machine)
	b.must(err)
	same(t, "links", []any{
		map[string]any{"id": "iface0", "type": "bond", "ethernet_mac_address": groupMAC, "vif_id": vif, "mtu": 1500, "bond_mode": "802.3ad", "bond_miimon": "100",
			"bond_xmit_hash_policy": "layer3+4", "bond_links": []any{"iface1", "iface2"}},
		map[string]any{"id": "iface1", "type": "phy", "ethernet_mac_address": mac1}, map[string]any{"id": "iface2", "type": "phy", "ethernet_mac_address": mac2},
	}, data["links"].([]any))

	b.must(b.face.DetachVIF(t.Context(), b.task(), vif))
	same(t, "writes", []string{"update binding:host_id,binding:profile", "update mac_address"}, b.neutron.Writes())
}

// TestBindingFails: an active node's VIF that cannot be bound is not attached.
func TestBindingFails(t *testing.T) {
	b := newBench(t, network.Neutron)
	b.node.ProvisionState = ferric.Active
	b.neutron.CannotBind(node)
	vif := b.neutron.Add(network.Attrs{"network_id": netA})
	err := b.face.AttachVIF(t.Context(), b.task(), driver.VIF{ID: vif})
	if ferric.ErrorCode(err) != ferric.CodeInternal {
		t.Errorf("error %v", err)
	}
	if p := b.neutron.All()[0]; p.HostID != "" || p.MAC == mac1 || len(b.noted()) > 0 {
		t.Errorf("left behind: %+v, %v", p, b.noted())
	}
}

// TestSomebodyElses: a VIF that is gone, or at another host by now, is not touched.
func TestSomebodyElses(t *testing.T) {
	b := newBench(t, network.Flat)
	moved := b.neutron.Add(network.Attrs{"network_id": netA, "binding:host_id": "another", "mac_address": mac1})
	b.ports[0].InternalInfo = map[string]any{"tenant_vif_port_id": moved}
	b.ports[1].InternalInfo = map[string]any{"tenant_vif_port_id": "gone"}
	b.must(b.face.Disconnect(t.Context(), b.task(), driver.ForTenant))
	b.must(b.face.DetachVIF(t.Context(), b.task(), "gone"))
	b.must(b.face.DetachVIF(t.Context(), b.task(), moved))
	same(t, "writes", nil, b.neutron.Writes())
	same(t, "noted", map[string]map[string]any{mac1: {}, mac2: {}}, map[string]map[string]any{mac1: b.ports[0].InternalInfo, mac2: b.ports[1].InternalInfo})
	err := b.face.Connect(t.Context(), b.task(), driver.ForTenant)
	wantError(t, err, ferric.CodeInvalid, "Failed to bind any flat network ports for node "+node+": no VIF is attached to it (openstack baremetal node vif attach)")
	b.face.Kind = network.Neutron
	err = b.face.Connect(t.Context(), b.task(), driver.ForTenant)
	wantError(t, err, ferric.CodeInvalid, "No neutron ports or portgroups are associated with node "+node)
}

// TestFlatKeepsInstancesPort: rescue and servicing stay on the instance's network.
func TestFlatKeepsInstancesPort(t *testing.T) {
	b := newBench(t, network.Flat)
	vif := b.neutron.Add(network.Attrs{"network_id": netA})
	b.must(b.face.AttachVIF(t.Context(), b.task(), driver.VIF{ID: vif}))
	for _, purpose := range []driver.NetworkPurpose{driver.ForProvisioning, driver.ForTenant, driver.ForRescue, driver.ForServicing} {
		b.must(b.face.Connect(t.Context(), b.task(), purpose))
		if p := b.neutron.All()[0]; p.MAC != mac1 || p.HostID != node || p.Status != "ACTIVE" {
			t.Errorf("%s: %+v", purpose, p)
		}
		b.must(b.face.Disconnect(t.Context(), b.task(), purpose))
		stays := purpose == driver.ForRescue || purpose == driver.ForServicing
		if p := b.neutron.All()[0]; (p.HostID == node) != stays {
			t.Errorf("after %s: %+v", purpose, p)
		}
	}
}

// TestChanges: what is changed of a port with a VIF is changed in Neutron, too.
func TestChanges(t *testing.T) {
	const other = "52:54:00:00:00:77"
	tests := map[string]struct {
		bound  bool
		change func(p *ferric.Port)
		want   []string
		fails  string
		error  string
	}{
		"nothing":          {change: func(p *ferric.Port) { p.Name = "x" }},
		"address":          {change: func(p *ferric.Port) { p.Address = other }, want: []string{"update mac_address"}},
		"address of bound": {bound: true, change: func(p *ferric.Port) { p.Address = other }, want: []string{"update binding:host_id", "update binding:host_id,binding:profile,mac_address"}},
		"client-id":        {change: func(p *ferric.Port) { p.Extra = map[string]any{"client-id": "ff"} }, want: []string{"update extra_dhcp_opts"}},
		"address, refused": {bound: true, fails: "update binding:host_id,binding:profile,mac_address", change: func(p *ferric.Port) { p.Address = other },
			want:  []string{"update binding:host_id", "update binding:host_id,binding:profile,mac_address", "update binding:host_id,binding:profile"},
			error: "Update MAC address on port: VIF failed. refused"},
		"client-id, refused": {fails: "update extra_dhcp_opts", change: func(p *ferric.Port) { p.Extra = map[string]any{"client-id": "ff"} },
			want: []string{"update extra_dhcp_opts"}, error: "Update DHCP options on port: VIF failed. refused"},
	}
	for name, c := range tests {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, network.Neutron)
			a := network.Attrs{"id": "VIF", "network_id": netA, "mac_address": mac1}
			if c.bound {
				a["binding:host_id"], a["binding:profile"] = node, map[string]any{"k": "v"}
			}
			b.neutron.Add(a)
			b.neutron.Hook(func(call string) (error, error) {
				if call == c.fails {
					return nil, ferric.Errorf(ferric.CodeInvalid, "refused")
				}
				return nil, nil
			})
			b.ports[0].InternalInfo = map[string]any{"tenant_vif_port_id": "VIF"}
			now := b.ports[0].Clone()
			c.change(now)
			err := b.face.PortChanged(t.Context(), b.task(), now, b.ports[0])
			same(t, "writes", c.want, b.neutron.Writes())
			if c.error != "" {
				wantError(t, err, ferric.CodeInternal, c.error)
			} else {
				b.must(err)
			}
			p := b.neutron.All()[0]
			if c.bound && (p.HostID != node || p.Profile["k"] != "v") || c.error == "" && p.MAC != now.Address || c.error != "" && p.MAC != mac1 {
				t.Errorf("port %+v", p)
			}
		})
	}
	b := newBench(t, network.Neutron)
	b.groups = []*ferric.Portgroup{{UUID: group1, NodeUUID: node, Address: groupMAC, InternalInfo: map[string]any{"tenant_vif_port_id": "VIF"}}}
	b.neutron.Add(network.Attrs{"id": "VIF", "network_id": netA, "mac_address": groupMAC})
	now := b.groups[0].Clone()
	now.Address = ""
	b.must(b.face.PortgroupChanged(t.Context(), b.task(), now, b.groups[0]))
	same(t, "writes when a group has no address any more", nil, b.neutron.Writes())
	now.Address = other
	b.must(b.face.PortgroupChanged(t.Context(), b.task(), now, b.groups[0]))
	same(t, "writes for another address", []string{"update mac_address"}, b.neutron.Writes())
}

// TestBootOptions: the DHCP options reach the ports that the machine boots from, once.
func TestBootOptions(t *testing.T) {
	b := newBench(t, network.Neutron)
	b.neutron.Address = func(string) []network.FixedIP { return []network.FixedIP{{SubnetID: "s", Address: "192.0.2.9"}} }
	options := func(mac string) []driver.DHCPOption {
		return []driver.DHCPOption{{Name: "67", Value: "http://192.0.2.1/" + mac, IPVersion: 4}, {Name: "59", Value: "v6", IPVersion: 6}}
	}
	wantError(t, b.face.SetBootOptions(t.Context(), b.task(), options), ferric.CodeInvalid, "No VIFs found for node "+node+" when attempting to update DHCP BOOT options.")
	b.ports[0].Extra = map[string]any{"client-id": "ff"}
	b.must(b.face.Connect(t.Context(), b.task(), driver.ForCleaning))
	b.neutron.Calls()
	b.must(b.face.SetBootOptions(t.Context(), b.task(), options))
	b.must(b.face.SetBootOptions(t.Context(), b.task(), options))
	same(t, "writes", []string{"update extra_dhcp_opts", "update extra_dhcp_opts"}, b.neutron.Writes())
	var have []string
	for _, p := range b.neutron.All() {
		have = append(have, described(p))
	}
	same(t, "options", []string{mac1 + " 61=ff 67=http://192.0.2.1/" + mac1, mac2 + " 67=http://192.0.2.1/" + mac2}, have)
	b.neutron.Hook(func(call string) (error, error) {
		if call == "port" {
			return nil, ferric.Errorf(ferric.CodeNotFound, "gone")
		}
		return nil, nil
	})
	wantError(t, b.face.SetBootOptions(t.Context(), b.task(), options), ferric.CodeInternal, "Failed to set DHCP BOOT options for any port on node "+node+". gone")
	b.neutron.Away(true)
	var pending *driver.Pending
	if err := b.face.SetBootOptions(t.Context(), b.task(), options); !errors.As(err, &pending) {
		t.Errorf("while Neutron is away: %v", err)
	}
}

// TestNetworkData: network_data.json of two VIFs, one of them with IPv6.
func TestNetworkData(t *testing.T) {
	b := newBench(t, network.Flat)
	none, err := b.face.NetworkData(t.Context(), b.task().Machine)
	if err != nil || none != nil {
		t.Errorf("without VIFs: %v, %v", none, err)
	}
	b.neutron.Subnets = map[string]*network.Subnet{
		"s4": {ID: "s4", CIDR: "192.0.2.0/25", IPVersion: 4, Gateway: "192.0.2.1", DNS: []string{"192.0.2.53"}, Routes: []network.Route{{Destination: "198.51.100.0/24", NextHop: "192.0.2.2"}}},
		"s6": {ID: "s6", CIDR: "2001:db8::/64", IPVersion: 6, Gateway: "2001:db8::1"},
	}
	b.neutron.Add(network.Attrs{"id": "v1", "network_id": netA, "fixed_ips": []network.FixedIP{{SubnetID: "s4", Address: "192.0.2.9"}}})
	b.neutron.Add(network.Attrs{"id": "v2", "network_id": netB, "fixed_ips": []network.FixedIP{{SubnetID: "s6", Address: "2001:db8::9"}}})
	b.ports[0].InternalInfo = map[string]any{"tenant_vif_port_id": "v1"}
	b.ports[1].InternalInfo = map[string]any{"tenant_vif_port_id": "v2"}
	data, err := b.face.NetworkData(t.Context(), b.task().Machine)
	b.must(err)
	raw, err := json.Marshal(data)
	b.must(err)
	var have map[string]any
	b.must(json.Unmarshal(raw, &have))
	var want map[string]any
	b.must(json.Unmarshal([]byte(`{
		"links": [{"id": "iface0", "type": "phy", "ethernet_mac_address": "52:54:00:00:00:01", "vif_id": "v1", "mtu": 1500},
			{"id": "iface1", "type": "phy", "ethernet_mac_address": "52:54:00:00:00:02", "vif_id": "v2", "mtu": 9000}],
		"networks": [{"id": "network0", "network_id": "net-a", "type": "ipv4", "link": "iface0", "ip_address": "192.0.2.9", "netmask": "255.255.255.128", "routes": [
				{"network": "0.0.0.0", "netmask": "0.0.0.0", "gateway": "192.0.2.1"}, {"network": "198.51.100.0", "netmask": "255.255.255.0", "gateway": "192.0.2.2"}]},
			{"id": "network1", "network_id": "net-b", "type": "ipv6", "link": "iface1", "ip_address": "2001:db8::9", "netmask": "ffff:ffff:ffff:ffff::",
				"routes": [{"network": "::0", "netmask": "::0", "gateway": "2001:db8::1"}]}],
		"services": [{"type": "dns", "address": "192.0.2.53"}]}`), &want))
	same(t, "network_data.json", want, have)
}

// TestValidate: what every node of an interface needs.
func TestValidate(t *testing.T) {
	tests := map[string]struct {
		kind   network.Kind
		change func(*bench)
		error  string
	}{
		"neutron without rescuing network": {change: func(b *bench) { delete(b.face.Settings.Networks, driver.ForRescue) },
			error: "UUID or name of rescuing_network is not set in configuration or in node driver_info."},
		"flat without rescuing network": {kind: network.Flat, change: func(b *bench) { delete(b.face.Settings.Networks, driver.ForRescue) }},
		"neutron":                       {change: func(*bench) {}},
		"neutron without provisioning network": {change: func(b *bench) { delete(b.face.Settings.Networks, driver.ForProvisioning) },
			error: "UUID or name of provisioning_network is not set in configuration or in node driver_info."},
		"flat without provisioning network": {kind: network.Flat, change: func(b *bench) { delete(b.face.Settings.Networks, driver.ForProvisioning) }},
		"flat without cleaning network": {kind: network.Flat, change: func(b *bench) { delete(b.face.Settings.Networks, driver.ForCleaning) },
			error: "UUID or name of cleaning_network is not set in configuration or in node driver_info."},
		"never off": {change: func(b *bench) { b.node.DisablePowerOff = true },
			error: "Nodes with disable_power_off cannot be used with the neutron network interface (disallowed in the configuration)"},
		"never off, and that is allowed": {change: func(b *bench) { b.node.DisablePowerOff, b.face.Settings.AllowDisablingPowerOff = true, true }},
		"nonsense": {change: func(b *bench) { b.node.DriverInfo["fail_on_binding_failure"] = "perhaps" },
			error: "fail_on_binding_failure: perhaps in driver_info is neither true nor false"},
	}
	for name, c := range tests {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, cmpKind(c.kind))
			c.change(b)
			err := b.face.Validate(t.Context(), b.task().Machine)
			if err == nil {
				err = b.face.ValidateFor(t.Context(), b.task().Machine, driver.ForRescue)
			}
			if c.error == "" {
				b.must(err)
			} else {
				wantError(t, err, ferric.CodeInvalid, c.error)
			}
		})
	}
}
