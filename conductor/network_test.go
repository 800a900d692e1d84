package conductor_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"ferric"
	"ferric/driver"
	"ferric/flow"
	"ferric/network"
	"ferric/network/networktest"
	"ferric/rpc"
)

func newNeutron() *networktest.Neutron {
	return &networktest.Neutron{Networks: []*network.Network{{ID: "net-ours", Name: "provision"}, {ID: "net-tenant", Name: "tenant"}}}
}

func networkSettings() network.Settings {
	all := map[driver.NetworkPurpose]string{}
	for _, p := range []driver.NetworkPurpose{driver.ForProvisioning, driver.ForCleaning, driver.ForRescue, driver.ForInspection, driver.ForServicing} {
		all[p] = "provision"
	}
	return network.Settings{Networks: all, FailOnBinding: true, BindPoll: time.Second, BindTimeout: patience}
}

// cabled is a node of a network interface whose port has a switch, and a VIF if there is one.
func cabled(b *bench, kind, vif string) *machine {
	b.Helper()
	m := b.site.node("lab", func(n *ferric.Node) { n.Interfaces[ferric.KindNetwork] = kind })
	p, err := b.store.PortByMAC(b.Context(), m.mac)
	if err == nil {
		_, err = b.store.UpdatePort(b.Context(), p.UUID, 0, func(p *ferric.Port) error {
			p.LocalLinkConnection = map[string]any{"switch_id": "00:11:22:33:44:55", "port_id": "Eth1/1"}
			if vif != "" {
				p.InternalInfo = map[string]any{"tenant_vif_port_id": vif}
			}
			return nil
		})
	}
	if err != nil {
		b.Fatal(err)
	}
	return m
}

// withVIF is such a node with a VIF, which is bound to it already, or not.
func withVIF(kind string, bound bool) func(*bench) *machine {
	return func(b *bench) *machine {
		const vif = "0000ffff-0000-4000-8000-000000000001"
		m := cabled(b, kind, vif)
		a := network.Attrs{"id": vif, "network_id": "net-tenant", "name": "the user's"}
		if bound {
			a["mac_address"], a["binding:host_id"], a["binding:vnic_type"] = m.mac, m.id, "baremetal"
			m.with(func(m *machine) { m.began["write_image"] = 1 })
			m.set(ferric.PowerOn)
			m.history()
		}
		b.site.neutron.Add(a)
		return m
	}
}

// ports describes what Neutron has: the user's port and whether it is bound, and those of Ferric's own.
func ports(b *bench, m *machine) (out []string) {
	for _, p := range b.site.neutron.All() {
		text := p.Name
		if p.MAC == m.mac {
			text += ", the machine's address"
		}
		if p.HostID == m.id && p.Status == "ACTIVE" {
			text += ", bound"
		}
		out = append(out, text)
	}
	return out
}

// inNeutron is what Neutron has, and what is still noted of ports of Ferric's own.
func inNeutron(b *bench, n *ferric.Node) string {
	m := b.site.machine(n.UUID)
	all := ports(b, m)
	p, err := b.store.PortByMAC(context.Background(), m.mac)
	if err != nil {
		return err.Error()
	}
	for _, purpose := range []string{"provisioning", "cleaning", "inspection", "rescuing", "servicing"} {
		if p.InternalInfo[purpose+"_vif_port_id"] != nil {
			all = append(all, "noted for "+purpose)
		}
	}
	return strings.Join(all, "; ")
}

// TestKilledWithNeutron kills the conductor at its writes while the networks change, too: Neutron has in the end what it would have had, and nothing more.
func TestKilledWithNeutron(t *testing.T) {
	const bound = "the user's, the machine's address, bound"
	rows := map[string]killing{
		"deploy": {verb: "active", from: ferric.Available, end: ferric.Active, make: withVIF("neutron", false), is: inNeutron, become: bound,
			want: []string{"boots the ramdisk", "image written", "off", "boots the disk"}},
		"deploy, flat": {verb: "active", from: ferric.Available, end: ferric.Active, make: withVIF("flat", false), is: inNeutron, become: bound,
			want: []string{"boots the ramdisk", "image written", "off", "boots the disk"}},
		"undeploy": {verb: "deleted", from: ferric.Active, end: ferric.Available, make: withVIF("neutron", true), is: inNeutron, become: "the user's",
			want: []string{"off", "boots the ramdisk", "erased", "off"}},
		"rescue": {verb: "rescue", from: ferric.Active, end: ferric.Rescue, args: password("pw"), make: withVIF("neutron", true), is: inNeutron, become: bound, least: 11,
			want: []string{"off", "boots the ramdisk", "rescued"}},
		"service": {verb: "service", from: ferric.Active, end: ferric.Active, args: asks(burnIn()), make: withVIF("neutron", true), is: inNeutron, become: bound,
			want: []string{"off", "boots the ramdisk", "off", "boots the disk"}},
		"inspect": {verb: "inspect", from: ferric.Manageable, end: ferric.Manageable, make: withVIF("flat", false), is: inNeutron, become: "the user's",
			want: []string{"boots the ramdisk", "off"}},
	}
	for name, k := range rows {
		for _, d := range []death{{false, "two"}, {true, "one"}} {
			t.Run(fmt.Sprintf("%s, after=%v", name, d.after), func(t *testing.T) {
				t.Parallel()
				if d.after && (testing.Short() || name == "deploy, flat") {
					t.Skip("one of two ways to die is enough here")
				}
				first := 2 // and every fourth write from there: TestKilledAtEveryWrite dies at all of them
				if d.after {
					first = 4
				}
				for n := first; killedAt(t, k, d, n); n += max(killEvery, 4) {
					if t.Failed() {
						return
					}
				}
			})
		}
	}
}

// TestNeutronAway: an operation that cannot reach Neutron waits, says so, and goes on.
func TestNeutronAway(t *testing.T) {
	b := newBench(t)
	b.boot("one")
	m := cabled(b, "neutron", "")
	b.change(m.id, func(n *ferric.Node) { n.ProvisionState = ferric.Manageable })
	b.site.neutron.Away(true)
	b.verb(m.id, "inspect")
	op := b.waits(m.id, "Neutron to answer again")
	if op.Status != flow.Waiting || op.WakeAt.IsZero() {
		t.Errorf("it is %s, wakes at %v", op.Status, op.WakeAt)
	}
	b.site.neutron.Away(false)
	b.reaches(m.id, ferric.Manageable)
	same(t, "in Neutron", "", inNeutron(b, b.node(m.id)))

	b.change(m.id, func(n *ferric.Node) { n.ProvisionState = ferric.Available })
	b.site.neutron.Away(true)
	wantCode(t, b.call(rpc.AttachVIF, rpc.VIFArgs{NodeRef: ref(m.id), VIF: rpc.VIF{ID: "v"}}, nil), ferric.CodeUnavailable)
}

// TestBindingIsAwaited: an operation waits for a port that Neutron has not bound yet, and goes on when Neutron says so. One that cannot be bound fails.
func TestBindingIsAwaited(t *testing.T) {
	b := newBench(t)
	b.boot("one")
	m := cabled(b, "neutron", "")
	b.change(m.id, func(n *ferric.Node) { n.ProvisionState = ferric.Manageable })
	b.site.neutron.Slow(m.id, true)
	b.verb(m.id, "inspect")
	if op := b.waits(m.id, "Neutron to bind the ports of the node"); op.WaitFor != flow.EventBindPort {
		t.Errorf("it waits for %q", op.WaitFor)
	}
	b.site.neutron.Slow(m.id, false)
	if err := b.call(rpc.ExternalEvent, rpc.EventArgs{NodeRef: ref(m.id), Event: flow.EventBindPort}, nil); err != nil {
		t.Fatal(err)
	}
	b.reaches(m.id, ferric.Manageable)

	b.site.neutron.CannotBind(m.id)
	b.verb(m.id, "inspect")
	n := b.reaches(m.id, ferric.InspectFailed)
	if !strings.Contains(n.LastError, "connect to the inspection network: Binding failed for neutron port") {
		t.Errorf("error %q", n.LastError)
	}
	same(t, "in Neutron", "", inNeutron(b, b.node(m.id)))
}

// TestStrayPorts: the doctor finds ports in Neutron that no operation is at.
func TestStrayPorts(t *testing.T) {
	b := newBench(t)
	b.boot("one")
	m := cabled(b, "neutron", "")
	p, err := b.store.PortByMAC(t.Context(), m.mac)
	if err != nil {
		t.Fatal(err)
	}
	add := func(port string) string {
		return b.site.neutron.Add(network.Attrs{"name": "ferric-cleaning-" + port, "network_id": "net-ours", "device_owner": "baremetal:none", "binding:host_id": m.id})
	}
	noted := add(p.UUID)
	if _, err := b.store.UpdatePort(t.Context(), p.UUID, 0, func(p *ferric.Port) error {
		p.InternalInfo = map[string]any{"cleaning_vif_port_id": noted}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	stray, strangers := add(p.UUID), add("0000ffff-0000-4000-8000-00000000000f")
	found := map[string]string{}
	var e rpc.Examination
	if err := b.call(rpc.Examine, rpc.ExamineArgs{}, &e); err != nil {
		t.Fatal(err)
	}
	for _, f := range e.Findings {
		if f.Code == "stray-port" {
			found[f.Do] = f.Node
		}
	}
	same(t, "found", map[string]string{"openstack port delete " + stray: m.id, "openstack port delete " + strangers: ""}, found)
	b.site.neutron.Away(true)
	e = rpc.Examination{}
	if err := b.call(rpc.Examine, rpc.ExamineArgs{}, &e); err != nil || len(e.Unseen) != 1 {
		t.Errorf("while Neutron is away: %v, %v", e.Unseen, err)
	}
}

// TestConfigDriveNetworkData: a config drive that is described and says nothing of the networks gets them from Neutron; any other stays as it is.
func TestConfigDriveNetworkData(t *testing.T) {
	const links = `{"links":[{"ethernet_mac_address":"%s","id":"iface0","mtu":1500,"type":"phy","vif_id":"0000ffff-0000-4000-8000-000000000001"}],"networks":[],"services":[]}`
	for name, c := range map[string]struct {
		kind, drive, want string // %s is what Neutron knows
	}{
		"nothing said":  {"flat", `{"meta_data":{"a":1}}`, `{"meta_data":{"a":1},"network_data":%s}`},
		"empty objects": {"flat", `{"network_data":{"links":[{}],"networks":[{}],"services":[{}]}}`, `{"network_data":%s}`},
		"empty lists":   {"neutron", `{"network_data":{"links":[],"networks":[],"services":[]}}`, `{"network_data":%s}`},
		"its own":       {"flat", `{"network_data":{"links":[{"id":"eth0"}],"networks":[],"services":[]}}`, `{"network_data":{"links":[{"id":"eth0"}],"networks":[],"services":[]}}`},
		"an image":      {"flat", `"H4sIAA=="`, `"H4sIAA=="`},
		"not Neutron's": {"noop", `{"meta_data":{"a":1}}`, `{"meta_data":{"a":1}}`},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.site.neutron.Networks[1].MTU = 1500
			b.boot("one")
			m := withVIF(c.kind, false)(b)
			b.verb(m.id, "active", func(a *rpc.ProvisionArgs) { a.ConfigDrive = []byte(c.drive) })
			b.reaches(m.id, ferric.Active)
			want := "drive of " + c.want
			if strings.Contains(want, "%s") {
				want = fmt.Sprintf(want, fmt.Sprintf(links, m.mac))
			}
			same(t, "the drive", want, m.drive)
		})
	}
}
