package network_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"ferric"
	"ferric/driver"
	"ferric/network"
)

// TestOwnPorts: a purpose's ports are made in one request, with what mechanism drivers need, and are gone afterwards.
func TestOwnPorts(t *testing.T) {
	b := newBench(t, network.Neutron)
	b.ports[1].PhysicalNetwork = "physnet1"
	b.must(b.face.Connect(t.Context(), b.task(), driver.ForCleaning))
	same(t, "writes", []string{"create 2"}, b.neutron.Writes())
	all := b.neutron.All()
	if len(all) != 2 {
		t.Fatalf("%d ports", len(all))
	}
	want := network.Port{ID: all[1].ID, Name: "ferric-cleaning-" + port2, NetworkID: netA, MAC: mac2, Status: "ACTIVE", DeviceID: node, DeviceOwner: "baremetal:none",
		HostID: node, VIFType: "other", VNICType: "baremetal", Profile: map[string]any{"physical_network": "physnet1",
			"local_link_information": []any{map[string]any{"switch_id": "00:11:22:33:44:55", "port_id": "Eth1/2"}}}}
	same(t, "the port", want, *all[1])
	same(t, "noted", map[string]map[string]any{mac1: {"cleaning_vif_port_id": all[0].ID}, mac2: {"cleaning_vif_port_id": all[1].ID}}, b.noted())

	b.must(b.face.Connect(t.Context(), b.task(), driver.ForCleaning))
	same(t, "writes of a repetition", nil, b.neutron.Writes())

	b.must(b.face.Disconnect(t.Context(), b.task(), driver.ForProvisioning))
	same(t, "writes when another purpose ends", nil, b.neutron.Writes())
	b.must(b.face.Disconnect(t.Context(), b.task(), driver.ForCleaning))
	b.must(b.face.Disconnect(t.Context(), b.task(), driver.ForCleaning))
	same(t, "writes", []string{"delete", "delete"}, b.neutron.Writes())
	same(t, "noted", map[string]map[string]any{}, b.noted())
}

// TestWhichPorts: which ports of a machine get one in Neutron, and what each is made of.
func TestWhichPorts(t *testing.T) {
	tests := map[string]struct {
		kind   network.Kind
		change func(*bench)
		want   []string // address and what differs
		error  string
	}{
		"flat needs no links": {kind: network.Flat, change: func(b *bench) { b.ports[0].LocalLinkConnection = nil }, want: []string{mac1, mac2}},
		"neutron needs links": {change: func(b *bench) { b.ports[0].LocalLinkConnection = nil }, want: []string{mac2}},
		"no port has a link": {change: func(b *bench) { b.ports[0].LocalLinkConnection, b.ports[1].LocalLinkConnection = nil, nil },
			error: "Failed to create neutron ports for node's " + node + " ports " + port1 + " (the network interface neutron needs its local_link_connection), " +
				port2 + " (the network interface neutron needs its local_link_connection)."},
		"only those that machines boot from": {change: func(b *bench) { b.ports[0].PXEEnabled = false }, want: []string{mac2}},
		"nothing to boot from": {change: func(b *bench) { b.ports[0].PXEEnabled, b.ports[1].PXEEnabled = false, false },
			error: "No available PXE-enabled ports on node " + node + "."},
		"no ports":  {change: func(b *bench) { b.ports, b.face.Settings.AddAllPorts = nil, true }, error: "No available ports on node " + node + "."},
		"all ports": {change: func(b *bench) { b.ports[0].PXEEnabled, b.face.Settings.AddAllPorts = false, true }, want: []string{mac1, mac2}},
		"InfiniBand": {change: func(b *bench) {
			b.ports[0].LocalLinkConnection, b.ports[0].Extra = nil, map[string]any{"client-id": "ff:00"}
		}, want: []string{mac1 + " 61=ff:00", mac2}},
		"smart NIC": {change: func(b *bench) {
			b.ports[0].IsSmartNIC, b.ports[0].LocalLinkConnection = true, map[string]any{"port_id": "rep0", "hostname": "nic7"}
			b.neutron.Agents = map[string]bool{"nic7": true}
		}, want: []string{mac1 + " host nic7 smart-nic", mac2}},
		"smart NIC without agent": {change: func(b *bench) {
			b.ports[0].IsSmartNIC, b.ports[0].LocalLinkConnection = true, map[string]any{"port_id": "rep0", "hostname": "nic7"}
		}, error: "Agent on host nic7 failed to reach state up"},
		"instance": {change: func(b *bench) { b.node.InstanceID = instance }, want: []string{mac1 + " device " + instance, mac2 + " device " + instance}},
		"security groups": {change: func(b *bench) {
			b.neutron.Groups = []string{"g1", "g2"}
			b.face.Settings.SecurityGroups = map[driver.NetworkPurpose][]string{driver.ForCleaning: {"g2"}, driver.ForRescue: {"g1"}}
		}, want: []string{mac1 + " groups g2", mac2 + " groups g2"}},
		"security group that is not there": {change: func(b *bench) {
			b.face.Settings.SecurityGroups = map[driver.NetworkPurpose][]string{driver.ForCleaning: {"g3"}}
		}, error: "Could not find these security groups (specified via ironic config) in neutron: g3"},
		"the node's network":        {change: func(b *bench) { b.node.DriverInfo["cleaning_network"] = "tenant" }, want: []string{mac1 + " in net-b", mac2 + " in net-b"}},
		"the node's network by id":  {change: func(b *bench) { b.node.DriverInfo["cleaning_network"] = netB }, want: []string{mac1 + " in net-b", mac2 + " in net-b"}},
		"no network":                {change: func(b *bench) { b.face.Settings.Networks = nil }, error: "UUID or name of cleaning_network is not set in configuration or in node driver_info."},
		"a network that is unknown": {change: func(b *bench) { b.node.DriverInfo["cleaning_network"] = "x" }, error: "cleaning_network with name or UUID x was not found"},
		"a name of two": {change: func(b *bench) { b.neutron.Networks[1].Name = "provision" },
			error: "More than one cleaning_network was found for name provision: net-a, net-b"},
		"an address that is another's": {change: func(b *bench) {
			b.neutron.Add(network.Attrs{"network_id": netA, "mac_address": mac2, "name": "db", "device_owner": "compute:nova", "device_id": instance})
		}, error: "Neutron: create the ports of node " + node + " on network net-a: Neutron answered 409: The mac address " + mac2 + " is in use.. The address " + mac2 +
			" is that of port 00000000-0000-4000-8000-000000000001 (db), device " + instance + `, owner "compute:nova": remove that port, or give it another address`},
		"none can be bound": {change: func(b *bench) { b.neutron.CannotBind(node) },
			error: "Binding failed for neutron port 00000000-0000-4000-8000-000000000001, 00000000-0000-4000-8000-000000000002 of node " + node +
				": look whether ironic-neutron-agent runs and knows the node (openstack network agent list --host " + node +
				"), whether the ports' physical_network is the network's, and into Neutron's log"},
		"none can be bound, and that does not matter": {change: func(b *bench) {
			b.neutron.CannotBind(node)
			b.node.DriverInfo["fail_on_binding_failure"] = "false"
		}, want: []string{mac1, mac2}},
		"flat does not ask for bindings": {kind: network.Flat, change: func(b *bench) { b.neutron.CannotBind(node) }, want: []string{mac1, mac2}},
	}
	for name, c := range tests {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, cmpKind(c.kind))
			c.change(b)
			before := len(b.neutron.All())
			err := b.face.Connect(t.Context(), b.task(), driver.ForCleaning)
			if c.error != "" {
				if err == nil || err.Error() != c.error {
					t.Fatalf("error %v\nwant  %s", err, c.error)
				}
				return
			}
			b.must(err)
			var have []string
			for _, p := range b.neutron.All()[before:] {
				have = append(have, described(p))
			}
			same(t, "ports", c.want, have)
		})
	}
}

func cmpKind(k network.Kind) network.Kind {
	if k == "" {
		return network.Neutron
	}
	return k
}

// described is a port's address, and what is not as usual.
func described(p *network.Port) string {
	text := p.MAC
	if p.NetworkID != netA {
		text += " in " + p.NetworkID
	}
	if p.HostID != node || p.VNICType != "baremetal" {
		text += " host " + p.HostID + " " + p.VNICType
	}
	if p.DeviceID != node {
		text += " device " + p.DeviceID
	}
	if len(p.SecurityGroups) > 0 {
		text += " groups " + strings.Join(p.SecurityGroups, ",")
	}
	for _, o := range p.DHCPOptions {
		text += fmt.Sprintf(" %s=%s", o.Name, *o.Value)
	}
	return text
}

// TestLeftBehind: what earlier operations, other purposes and an Ironic left is adopted or removed; what is somebody else's stays.
func TestLeftBehind(t *testing.T) {
	b := newBench(t, network.Neutron)
	mine := func(name, net, mac string) string {
		return b.neutron.Add(network.Attrs{"name": name, "network_id": net, "mac_address": mac, "device_owner": "baremetal:none", "device_id": node,
			"binding:host_id": node, "binding:vnic_type": "baremetal"})
	}
	ironics := mine("", netA, mac1)
	mine("ferric-cleaning-"+port1, netB, mac1)
	mine("ferric-inspection-"+port2, netB, mac2)
	mine("ferric-cleaning-cccccccc-0000-4000-8000-000000000009", netA, "52:54:00:00:00:09") // of a port that was deleted
	users := mine("my port", netB, "52:54:00:00:00:10")
	other := b.neutron.Add(network.Attrs{"name": "ferric-cleaning-x", "network_id": netB, "device_owner": "baremetal:none", "binding:host_id": "another"})

	b.must(b.face.Connect(t.Context(), b.task(), driver.ForCleaning))
	var names []string
	for _, p := range b.neutron.All() {
		names = append(names, p.Name)
		if p.Name == "ferric-cleaning-"+port1 && p.ID != ironics {
			t.Error("Ironic's port was not adopted")
		}
	}
	slices.Sort(names)
	same(t, "ports", []string{"ferric-cleaning-" + port1, "ferric-cleaning-" + port2, "ferric-cleaning-x", "my port"}, names)
	b.must(b.face.Disconnect(t.Context(), b.task(), driver.ForCleaning))
	var left []string
	for _, p := range b.neutron.All() {
		left = append(left, p.ID)
	}
	slices.Sort(left)
	same(t, "ports in the end", []string{users, other}, left)
}

// TestSameNetwork: an instance's VIF in the very network of the cleaning gives the machine's address back first.
func TestSameNetwork(t *testing.T) {
	b := newBench(t, network.Neutron)
	vif := b.neutron.Add(network.Attrs{"network_id": netA})
	b.must(b.face.AttachVIF(t.Context(), b.task(), driver.VIF{ID: vif}))
	b.must(b.face.Connect(t.Context(), b.task(), driver.ForProvisioning))
	b.must(b.face.Disconnect(t.Context(), b.task(), driver.ForProvisioning))
	b.must(b.face.Connect(t.Context(), b.task(), driver.ForTenant))
	all := b.neutron.All()
	if len(all) != 1 || all[0].ID != vif || all[0].MAC != mac1 || all[0].HostID != node {
		t.Errorf("ports %+v", all)
	}
}

// TestStatefulDHCPv6: a port in such a subnet gets an address for each stage of a boot.
func TestStatefulDHCPv6(t *testing.T) {
	b := newBench(t, network.Neutron)
	b.ports, b.face.Settings.StatefulAddresses = b.ports[:1], 4
	b.neutron.Subnets = map[string]*network.Subnet{"s6": {ID: "s6", IPVersion: 6, IPv6AddressMode: "dhcpv6-stateful"}}
	b.neutron.Address = func(string) []network.FixedIP { return []network.FixedIP{{SubnetID: "s6", Address: "2001:db8::5"}} }
	b.must(b.face.Connect(t.Context(), b.task(), driver.ForCleaning))
	same(t, "writes", []string{"create 1", "update fixed_ips"}, b.neutron.Writes())
	if n := len(b.neutron.All()[0].FixedIPs); n != 4 {
		t.Errorf("%d addresses", n)
	}
	b.must(b.face.Connect(t.Context(), b.task(), driver.ForCleaning))
	same(t, "writes of a repetition", nil, b.neutron.Writes())
}

// life is what a conductor does with a node's networks in a deploy and an undeploy.
func (b *bench) life(ctx context.Context, vif string) error {
	steps := []func() error{
		func() error { return b.face.Connect(ctx, b.task(), driver.ForCleaning) },
		func() error { return b.face.Disconnect(ctx, b.task(), driver.ForCleaning) },
		func() error {
			if len(driver.AttachedVIFs(b.task().Machine)) > 0 {
				return nil // Nova is answered 409, and goes on
			}
			return b.face.AttachVIF(ctx, b.task(), driver.VIF{ID: vif})
		},
		func() error { return b.face.Connect(ctx, b.task(), driver.ForProvisioning) },
		func() error { return b.face.Disconnect(ctx, b.task(), driver.ForProvisioning) },
		func() error { return b.face.Connect(ctx, b.task(), driver.ForTenant) },
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// TestDeaths kills the conductor at every one of its requests to Neutron, before it is carried out and after, and at every write to the database. The one that
// comes then does all of it again; in the end there is what there would have been, made once.
func TestDeaths(t *testing.T) {
	dead := ferric.Errorf(ferric.CodeUnavailable, "killed")
	for _, kind := range []network.Kind{network.Flat, network.Neutron} {
		for _, how := range []string{"before", "after", "at the database"} {
			t.Run(string(kind)+" "+how, func(t *testing.T) {
				for n := 1; ; n++ {
					b := newBench(t, kind)
					vif := b.neutron.Add(network.Attrs{"network_id": netB, "name": "vif"})
					b.neutron.Networks[1].PhysicalNetwork = ""
					left, killed := n, false
					dies := func() bool { left--; killed = killed || left == 0; return left <= 0 }
					switch how {
					case "before":
						b.neutron.Hook(func(string) (error, error) {
							if dies() {
								return nil, dead
							}
							return nil, nil
						})
					case "after":
						b.neutron.Hook(func(string) (error, error) {
							if dies() && left < 0 {
								return nil, dead
							}
							if left <= 0 {
								return dead, nil
							}
							return nil, nil
						})
					default:
						b.broken = func() error {
							if dies() {
								return dead
							}
							return nil
						}
					}
					err := b.life(t.Context(), vif)
					if killed != (err != nil) || killed && !errors.Is(err, dead) && ferric.ErrorCode(err) != ferric.CodeUnavailable {
						t.Fatalf("killed at %d: %v, error %v", n, killed, err)
					}
					b.neutron.Hook(nil)
					b.broken = nil
					b.neutron.Calls()
					b.must(b.life(t.Context(), vif))
					all := b.neutron.All()
					if len(all) != 1 || all[0].ID != vif || all[0].MAC != mac1 || all[0].HostID != node || all[0].Status != "ACTIVE" {
						t.Fatalf("killed at %d: ports %+v", n, all)
					}
					same(t, "noted", map[string]map[string]any{mac1: {"tenant_vif_port_id": vif}}, b.noted())
					b.must(b.face.Disconnect(t.Context(), b.task(), driver.ForTenant))
					b.must(b.face.DetachVIF(t.Context(), b.task(), vif))
					if p := b.neutron.All()[0]; p.MAC == mac1 || p.HostID != "" || len(b.noted()) > 0 {
						t.Fatalf("killed at %d: detached %+v, noted %v", n, p, b.noted())
					}
					if !killed {
						t.Logf("killed at %d points", n-1)
						if n < 5 {
							t.Error("it was not killed often")
						}
						return
					}
				}
			})
		}
	}
}

// TestTwoConductors: one that was thought dead, and whose request is carried out late, does not make a second port.
func TestTwoConductors(t *testing.T) {
	b := newBench(t, network.Neutron)
	late := true
	b.neutron.Hook(func(call string) (error, error) {
		if late && call == "create 2" { // the other one's comes first
			late = false
			return nil, b.face.Connect(context.Background(), b.task(), driver.ForCleaning)
		}
		return nil, nil
	})
	err := b.face.Connect(t.Context(), b.task(), driver.ForCleaning)
	var pending *driver.Pending
	if !errors.As(err, &pending) {
		t.Fatalf("the late one got %v, not that it is to look again", err)
	}
	b.must(b.face.Connect(t.Context(), b.task(), driver.ForCleaning))
	if all := b.neutron.All(); len(all) != 2 {
		t.Errorf("%d ports", len(all))
	}
}

// TestAway: without an answer of Neutron nothing has failed.
func TestAway(t *testing.T) {
	b := newBench(t, network.Neutron)
	b.neutron.Away(true)
	for what, err := range map[string]error{
		"connect":    b.face.Connect(t.Context(), b.task(), driver.ForCleaning),
		"disconnect": b.face.Disconnect(t.Context(), b.task(), driver.ForCleaning),
		"attach":     b.face.AttachVIF(t.Context(), b.task(), driver.VIF{ID: "v"}),
		"validate":   b.face.Validate(t.Context(), b.task().Machine),
	} {
		var pending *driver.Pending
		if !errors.As(err, &pending) || pending.What != "the service Neutron to answer again" || pending.Timeout != 0 || ferric.ErrorCode(err) != ferric.CodeUnavailable {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestStrays(t *testing.T) {
	b := newBench(t, network.Neutron)
	b.neutron.Add(network.Attrs{"name": "db", "network_id": netA, "device_owner": "compute:nova"})
	b.neutron.Add(network.Attrs{"name": "", "network_id": netA, "device_owner": "baremetal:none"})
	b.neutron.Add(network.Attrs{"name": "ferric-lunch-" + port1, "network_id": netA, "device_owner": "baremetal:none"})
	id := b.neutron.Add(network.Attrs{"name": "ferric-rescuing-" + port1, "network_id": netA, "device_owner": "baremetal:none"})
	found, err := b.face.Strays(t.Context())
	b.must(err)
	same(t, "strays", []driver.Stray{{ID: id, Name: "ferric-rescuing-" + port1, Port: port1, Purpose: driver.ForRescue}}, found)
}
