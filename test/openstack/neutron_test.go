package openstack

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	domain "ferric"
	"ferric/driver"
	"ferric/network"
	cloudsession "ferric/openstack"
	neutronclient "ferric/openstack/neutron"
)

type object = map[string]any

// neutron is the real Neutron, a way to it that the tests control, and a Ferric whose nodes ironic-neutron-agent reports.
type neutron struct {
	*testing.T
	admin   *gophercloud.ServiceClient
	ferric  *ferric
	ours    string // network for provisioning, cleaning and so on
	tenants string
	nodes   map[string]string // UUID by name

	mu   sync.Mutex
	gate func(*http.Request) bool // asked before a request goes to Neutron; false drops the connection
	then func(*http.Request)      // called after Neutron has answered, before Ferric is told
}

// call asks Neutron in the administrator's name.
func (n *neutron) call(ctx context.Context, method, path string, body, answer any) error {
	_, err := n.admin.Request(ctx, method, n.admin.ServiceURL(strings.Split(path, "/")...), &gophercloud.RequestOpts{JSONBody: body, JSONResponse: answer,
		OkCodes: []int{200, 201, 204}})
	return err
}

func (n *neutron) must(method, path string, body any) object {
	n.Helper()
	var out object
	var into any = &out
	if method == http.MethodDelete {
		into = nil
	}
	check(n.T, n.call(n.Context(), method, path, body, into))
	return out
}

// network makes a network of a type with a subnet.
func (n *neutron) network(typ, cidr string) string {
	n.Helper()
	id := n.must(http.MethodPost, "networks", object{"network": object{"name": unique(n.T), "provider:network_type": typ,
		"provider:physical_network": "physnet1"}})["network"].(object)["id"].(string)
	later(n.T, func(ctx context.Context) {
		var all struct{ Ports []struct{ ID string } }
		_ = n.call(ctx, http.MethodGet, "ports?network_id="+id, nil, &all)
		for _, p := range all.Ports {
			_ = n.call(ctx, http.MethodDelete, "ports/"+p.ID, nil, nil)
		}
		if err := n.call(ctx, http.MethodDelete, "networks/"+id, nil, nil); err != nil {
			n.Logf("network %s is left behind: %v", id, err)
		}
	})
	n.must(http.MethodPost, "subnets", object{"subnet": object{"network_id": id, "cidr": cidr, "ip_version": 4, "dns_nameservers": []string{"192.0.2.53"}}})
	return id
}

// flat finds the flat network of physnet1, of which there can be one only, or makes it.
func (n *neutron) flat() string {
	n.Helper()
	all, _ := n.must(http.MethodGet, "networks?provider:network_type=flat&provider:physical_network=physnet1", nil)["networks"].([]any)
	for _, is := range all {
		if subnets, _ := is.(object)["subnets"].([]any); len(subnets) > 0 {
			return is.(object)["id"].(string)
		}
	}
	return n.network("flat", "10.93.0.0/24")
}

// port makes a port in a tenants' network.
func (n *neutron) port(network string) string {
	id := n.must(http.MethodPost, "ports", object{"port": object{"network_id": network, "binding:vnic_type": "baremetal"}})["port"].(object)["id"].(string)
	later(n.T, func(ctx context.Context) { _ = n.call(ctx, http.MethodDelete, "ports/"+id, nil, nil) })
	return id
}

func (n *neutron) show(port string) object {
	n.Helper()
	return n.must(http.MethodGet, "ports/"+port, nil)["port"].(object)
}

// own lists the ports that Ferric made for a node.
func (n *neutron) own(node string) []object {
	n.Helper()
	var out []object
	all := n.must(http.MethodGet, "ports?device_owner=baremetal:none&device_id="+n.nodes[node], nil)["ports"].([]any)
	for _, p := range all {
		out = append(out, p.(object))
	}
	slices.SortFunc(out, func(a, b object) int { return strings.Compare(a["mac_address"].(string), b["mac_address"].(string)) })
	return out
}

// eventually waits until something is so.
func (n *neutron) eventually(what string, is func() bool) {
	n.Helper()
	for deadline := time.Now().Add(3 * time.Minute); !is(); time.Sleep(100 * time.Millisecond) {
		if time.Now().After(deadline) {
			n.Fatalf("it never came to this: %s", what)
		}
	}
}

// on puts subtests into the place of the test.
func (n *neutron) on(t *testing.T) *neutron { n.T = t; return n }

// control sets what becomes of Ferric's requests to Neutron.
func (n *neutron) control(gate func(*http.Request) bool, then func(*http.Request)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.gate, n.then = gate, then
}

// proxy stands between Ferric and Neutron.
func (n *neutron) proxy() string {
	target, err := url.Parse(strings.TrimSuffix(n.admin.Endpoint, "/"))
	check(n.T, err)
	forward := httputil.NewSingleHostReverseProxy(target)
	forward.ModifyResponse = func(r *http.Response) error {
		n.mu.Lock()
		then := n.then
		n.mu.Unlock()
		if then != nil {
			then(r.Request)
		}
		return nil
	}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n.mu.Lock()
		gate := n.gate
		n.mu.Unlock()
		if gate != nil && !gate(r) {
			panic(http.ErrAbortHandler)
		}
		forward.ServeHTTP(w, r)
	}))
	n.Cleanup(s.Close)
	return s.URL
}

// mac is the address of a node's port, nobody else's in this cloud.
func mac(node, port int) string {
	return fmt.Sprintf("52:54:00:%02x:%02x:%02x", time.Now().UnixNano()>>20&0xff, node, port)
}

// machine makes a node that is manageable, with ports that have a switch.
func (n *neutron) machine(name, kind string, ports int, info object) {
	n.Helper()
	at := len(n.nodes)
	id := n.ferric.node(n.T, object{"name": name, "network_interface": kind, "deploy_interface": "direct", "driver_info": info})
	n.nodes[name] = id
	for i := range ports {
		n.ferric.must(n.T, http.MethodPost, "/v1/ports", object{"node_uuid": id, "address": mac(at, i), "physical_network": "physnet1",
			"local_link_connection": object{"switch_id": "00:11:22:33:44:55", "port_id": fmt.Sprintf("Eth%d/%d", at, i), "switch_info": "sw1"}})
	}
	n.ferric.provision(n.T, id, "manage", "manageable")
}

// ports returns a node's ports as Ferric has them, by address.
func (n *neutron) ports(node string) []object {
	n.Helper()
	var out []object
	for _, p := range n.ferric.must(n.T, http.MethodGet, "/v1/ports/detail?node="+n.nodes[node], nil)["ports"].([]any) {
		out = append(out, p.(object))
	}
	slices.SortFunc(out, func(a, b object) int { return strings.Compare(a["address"].(string), b["address"].(string)) })
	return out
}

// clean asks for a cleaning, which waits for an agent that never comes.
func (n *neutron) clean(node string) {
	n.Helper()
	n.ferric.must(n.T, http.MethodPut, "/v1/nodes/"+node+"/states/provision", object{"target": "clean", "clean_steps": []any{
		object{"interface": "deploy", "step": "erase_devices"}}})
}

func (n *neutron) abort(node string) {
	n.Helper()
	n.ferric.must(n.T, http.MethodPut, "/v1/nodes/"+node+"/states/provision", object{"target": "abort"})
	n.eventually("the cleaning is aborted", func() bool {
		is := n.ferric.must(n.T, http.MethodGet, "/v1/nodes/"+node, nil)
		return is["provision_state"] == "clean failed" && is["reservation"] == nil
	})
	n.ferric.must(n.T, http.MethodDelete, "/v1/nodes/"+node+"/maintenance", nil)
	n.ferric.provision(n.T, node, "manage", "manageable")
}

// waitsFor waits until the node's operation waits for something.
func (n *neutron) waitsFor(node, what string) {
	n.Helper()
	n.eventually("the operation waits for "+what, func() bool {
		ops, _ := n.ferric.must(n.T, http.MethodGet, "/ferric/v1/nodes/"+n.nodes[node]+"/operations", nil)["operations"].([]any)
		if len(ops) == 0 {
			return false
		}
		waits, _ := ops[0].(object)["waiting_for"].(object)
		text, _ := waits["what"].(string)
		return strings.Contains(text, what)
	})
}

const agentsFirstCall = "the first call of the agent on the machine"

// TestNeutron runs the network interfaces against the real Neutron, whose bare metal mechanism driver binds the ports of nodes that ironic-neutron-agent
// reports.
func TestNeutron(t *testing.T) {
	c := newCloud(t)
	n := &neutron{T: t, admin: c.service(t, openstack.NewNetworkV2), nodes: map[string]string{}}
	n.ours, n.tenants = n.network("vlan", "10.91.0.0/24"), n.network("vlan", "10.92.0.0/24")
	n.ferric = c.start(t, "conductor.automated_clean=false", "neutron.cleaning_network="+n.ours, "neutron.provisioning_network="+n.ours,
		"neutron.inspection_network="+n.ours, "neutron.rescuing_network="+n.ours, "openstack.endpoint_override=network="+n.proxy(), "openstack.retries=0",
		"neutron.neutron_agent_status_retry_interval=1s")
	c.reportNodes(t, n.ferric)
	n.machine("cleaned", "neutron", 2, nil)
	n.machine("flat", "flat", 1, nil)
	n.machine("switched", "neutron", 1, nil)
	n.machine("bonded", "neutron", 2, nil)
	n.machine("unreported", "neutron", 1, nil)
	for name, id := range n.nodes {
		if name == "unreported" {
			for _, p := range n.ports(name) { // on a network that its Neutron has not
				n.ferric.must(t, http.MethodPatch, "/v1/ports/"+p["uuid"].(string), []any{object{"op": "add", "path": "/physical_network", "value": "physnet9"}})
			}
		}
		n.eventually("ironic-neutron-agent reports "+name, func() bool {
			agents, _ := n.must(http.MethodGet, "agents?host="+id, nil)["agents"].([]any)
			return len(agents) > 0 && agents[0].(object)["alive"] == true
		})
	}
	t.Run("own ports", func(t *testing.T) { n.on(t).ownPorts() })
	t.Run("killed", func(t *testing.T) { n.on(t).killed() })
	t.Run("away", func(t *testing.T) { n.on(t).away() })
	t.Run("strays", func(t *testing.T) { n.on(t).strays() })
	t.Run("VIFs, flat", func(t *testing.T) { n.on(t).vifs("flat", n.flat()) })
	t.Run("VIFs, neutron", func(t *testing.T) { n.on(t).vifs("switched", n.tenants) })
	t.Run("bond", func(t *testing.T) { n.on(t).bond() })
	t.Run("DHCP options and network data", func(t *testing.T) { n.on(t).client(c) })
	t.Run("binding fails", func(t *testing.T) { n.on(t).bindingFails() })
	n.on(t)
}

// ownPorts: a cleaning has ports of its own, which Neutron binds, and which are gone afterwards.
func (n *neutron) ownPorts() {
	for _, node := range []string{"cleaned", "flat"} {
		n.clean(node)
		n.waitsFor(node, agentsFirstCall)
		have, ours := n.own(node), n.ports(node)
		if len(have) != len(ours) {
			n.Fatalf("%s: %d ports in Neutron for %d", node, len(have), len(ours))
		}
		for i, p := range have {
			profile, _ := p["binding:profile"].(object)
			link := []any{ours[i]["local_link_connection"]}
			if p["name"] != "ferric-cleaning-"+ours[i]["uuid"].(string) || p["network_id"] != n.ours || p["mac_address"] != ours[i]["address"] || p["status"] != "ACTIVE" ||
				p["binding:host_id"] != n.nodes[node] || p["binding:vif_type"] != "other" || p["binding:vnic_type"] != "baremetal" || len(p["fixed_ips"].([]any)) != 1 ||
				!cmp.Equal(profile["local_link_information"], any(link)) {
				n.Errorf("%s: port %v", node, p)
			}
			if info, _ := ours[i]["internal_info"].(object); info["cleaning_vif_port_id"] != p["id"] {
				n.Errorf("%s: noted %v", node, ours[i]["internal_info"])
			}
		}
		n.abort(node)
		if left := n.own(node); len(left) > 0 {
			n.Errorf("%s: left behind: %v", node, left)
		}
		for _, p := range n.ports(node) {
			if info, _ := p["internal_info"].(object); len(info) > 0 {
				n.Errorf("%s: still noted: %v", node, info)
			}
		}
	}
}

// killed: kill -9 right after Neutron has made the ports, before it has, and while they are removed; nothing is doubled, nothing left.
func (n *neutron) killed() {
	kill := func(method string, after bool) {
		var once sync.Once
		die := func(r *http.Request) bool {
			dies := r.Method == method && strings.Contains(r.URL.Path, "/ports")
			if dies {
				once.Do(n.ferric.kill)
			}
			return !dies
		}
		if after {
			n.control(nil, func(r *http.Request) { die(r) })
		} else {
			n.control(die, nil)
		}
	}
	revive := func() {
		n.Helper()
		n.eventually("it is killed", func() bool { return n.ferric.cmd.ProcessState != nil })
		n.control(nil, nil)
		n.ferric.run(n.T)
	}
	for _, after := range []bool{false, true} {
		kill(http.MethodPost, after)
		n.clean("cleaned")
		revive()
		n.waitsFor("cleaned", agentsFirstCall)
		if have := n.own("cleaned"); len(have) != 2 {
			n.Errorf("killed at the creation, after it: %v: %d ports", after, len(have))
		}
		kill(http.MethodDelete, after)
		_, _, _ = n.ferric.call(n.Context(), http.MethodPut, "/v1/nodes/cleaned/states/provision", object{"target": "abort"})
		revive()
		n.eventually("the ports are gone", func() bool {
			is := n.ferric.must(n.T, http.MethodGet, "/v1/nodes/cleaned", nil)
			return is["provision_state"] == "clean failed" && is["reservation"] == nil
		})
		if left := n.own("cleaned"); len(left) > 0 {
			n.Errorf("killed at the removal, after it: %v: left behind: %v", after, left)
		}
		n.ferric.must(n.T, http.MethodDelete, "/v1/nodes/cleaned/maintenance", nil)
		n.ferric.provision(n.T, "cleaned", "manage", "manageable")
	}
}

// away: while Neutron gives no answer an operation waits and says so, and requests are answered 503.
func (n *neutron) away() {
	n.control(func(*http.Request) bool { return false }, nil)
	n.clean("cleaned")
	n.waitsFor("cleaned", "Neutron to answer again")
	status, answer, err := n.ferric.call(n.Context(), http.MethodPost, "/v1/nodes/cleaned/vifs", object{"id": uuid.NewString()})
	if err != nil || status != http.StatusServiceUnavailable {
		n.Errorf("VIF: %d %v %v", status, answer, err)
	}
	n.control(nil, nil)
	n.waitsFor("cleaned", agentsFirstCall)
	if have := n.own("cleaned"); len(have) != 2 {
		n.Errorf("%d ports", len(have))
	}
	n.abort("cleaned")
}

// strays: the doctor tells of a port that no operation is at, and the next operation removes it.
func (n *neutron) strays() {
	p := n.ports("cleaned")[0]
	stray := n.must(http.MethodPost, "ports", object{"port": object{"network_id": n.tenants, "name": "ferric-rescuing-" + p["uuid"].(string),
		"device_owner": "baremetal:none", "device_id": n.nodes["cleaned"], "binding:host_id": n.nodes["cleaned"]}})["port"].(object)["id"].(string)
	found, _ := n.ferric.must(n.T, http.MethodGet, "/ferric/v1/doctor", nil)["findings"].([]any)
	if !slices.ContainsFunc(found, func(f any) bool {
		o := f.(object)
		return o["code"] == "stray-port" && o["node_uuid"] == n.nodes["cleaned"] && o["do"] == "openstack port delete "+stray
	}) {
		n.Errorf("findings %v", found)
	}
	n.clean("cleaned")
	n.waitsFor("cleaned", agentsFirstCall)
	for _, p := range n.own("cleaned") {
		if p["id"] == stray {
			n.Error("the stray port is still there")
		}
	}
	n.abort("cleaned")
}

// refused makes a request that has to be refused.
func (n *neutron) refused(method, path string, body any, status int, text string) {
	n.Helper()
	have, answer, err := n.ferric.call(n.Context(), method, path, body)
	if said, _ := answer["error_message"].(string); err != nil || have != status || !strings.Contains(said, text) {
		n.Errorf("%s %s: %d %v %v, want %d %s", method, path, have, answer, err, status, text)
	}
}

// vifs: a tenant's ports on a node that is available, and on one that is active.
func (n *neutron) vifs(node, network string) {
	id, address := n.nodes[node], n.ports(node)[0]["address"]
	n.ferric.provision(n.T, node, "provide", "available")
	first, second := n.port(network), n.port(network)
	path := "/v1/nodes/" + node + "/vifs"
	n.ferric.must(n.T, http.MethodPost, path, object{"id": first})
	if p := n.show(first); p["mac_address"] != address || p["binding:host_id"] != id {
		n.Errorf("attached: %v", p)
	}
	n.refused(http.MethodPost, path, object{"id": first}, http.StatusConflict, "Unable to attach VIF because VIF "+first+" is already attached to Ironic Port")
	n.refused(http.MethodPost, path, object{"id": second}, http.StatusBadRequest, "Unable to attach VIF "+second+", not enough free physical ports.")
	gone := uuid.NewString()
	n.refused(http.MethodPost, path, object{"id": gone}, http.StatusBadRequest, "Neutron port "+gone+" was not found")
	n.ferric.must(n.T, http.MethodDelete, path+"/"+first, nil)
	n.refused(http.MethodDelete, path+"/"+first, nil, http.StatusBadRequest, "Unable to detach VIF "+first+" from node "+id+" because it is not attached to it.")
	if p := n.show(first); p["mac_address"] == address || p["binding:host_id"] != "" {
		n.Errorf("detached: %v", p)
	}

	n.ferric.provision(n.T, node, "manage", "manageable")
	n.ferric.provision(n.T, node, "adopt", "active")
	n.ferric.must(n.T, http.MethodPost, path, object{"id": second})
	n.eventually("the VIF is bound", func() bool { return n.show(second)["status"] == "ACTIVE" })
	p := n.show(second)
	profile, _ := p["binding:profile"].(object)
	if links, _ := profile["local_link_information"].([]any); p["binding:host_id"] != id || p["mac_address"] != address || (len(links) == 1) != (node != "flat") {
		n.Errorf("attached to an active node: %v", p)
	}
	// An event that Neutron sends finds the node; nobody waits for it.
	n.ferric.must(n.T, http.MethodPost, "/v1/events", object{"events": []any{object{"event": "network.bind_port", "port_id": second, "mac_address": address,
		"status": "ACTIVE", "device_id": id, "binding:host_id": id, "binding:vnic_type": "baremetal"}}})

	other := mac(99, len(node))
	n.ferric.must(n.T, http.MethodPut, "/v1/nodes/"+node+"/maintenance", object{"reason": "a new network card"})
	n.ferric.must(n.T, http.MethodPatch, "/v1/ports/"+n.ports(node)[0]["uuid"].(string), []any{object{"op": "replace", "path": "/address", "value": other}})
	n.ferric.must(n.T, http.MethodDelete, "/v1/nodes/"+node+"/maintenance", nil)
	if was, p := profile, n.show(second); p["mac_address"] != other || p["binding:host_id"] != id || !cmp.Equal(was, p["binding:profile"]) {
		n.Errorf("with another address: %v", p)
	}
	if node != "flat" {
		n.ferric.must(n.T, http.MethodPatch, "/v1/ports/"+n.ports(node)[0]["uuid"].(string), []any{object{"op": "add", "path": "/extra", "value": object{"client-id": "ff:01"}}})
		if opts, _ := n.show(second)["extra_dhcp_opts"].([]any); len(opts) != 1 || opts[0].(object)["opt_name"] != "61" || opts[0].(object)["opt_value"] != "ff:01" {
			n.Errorf("DHCP options %v", opts)
		}
	}
	n.ferric.provision(n.T, node, "deleted", "available")
	if p := n.show(second); p["mac_address"] == other || p["binding:host_id"] != "" {
		n.Errorf("undeployed: %v", p)
	}
	if vifs, _ := n.ferric.must(n.T, http.MethodGet, path, nil)["vifs"].([]any); len(vifs) != 0 {
		n.Errorf("VIFs after the undeploy: %v", vifs)
	}
}

// bond: a port group takes the VIF, and Neutron learns how its ports work as one.
func (n *neutron) bond() {
	id := n.nodes["bonded"]
	address := mac(77, 0)
	group := n.ferric.must(n.T, http.MethodPost, "/v1/portgroups", object{"node_uuid": id, "name": unique(n.T), "address": address, "mode": "802.3ad",
		"standalone_ports_supported": true, "properties": object{"miimon": "100"}})
	for _, p := range n.ports("bonded") {
		n.ferric.must(n.T, http.MethodPatch, "/v1/ports/"+p["uuid"].(string), []any{object{"op": "add", "path": "/portgroup_uuid", "value": group["uuid"]}})
	}
	n.ferric.provision(n.T, "bonded", "adopt", "active")
	vif := n.port(n.tenants)
	n.ferric.must(n.T, http.MethodPost, "/v1/nodes/bonded/vifs", object{"id": vif})
	p := n.show(vif)
	profile, _ := p["binding:profile"].(object)
	want := object{"id": group["uuid"], "name": group["name"], "bond_mode": "802.3ad", "bond_properties": object{"bond_miimon": "100"}}
	links, _ := profile["local_link_information"].([]any)
	if !cmp.Equal(profile["local_group_information"], any(want)) || len(links) != 2 || p["mac_address"] != address || p["binding:host_id"] != id {
		n.Errorf("bound: %v", p)
	}
	n.ferric.provision(n.T, "bonded", "deleted", "available")
	if p := n.show(vif); p["binding:host_id"] != "" {
		n.Errorf("undeployed: %v", p)
	}
}

// bindingFails: what Neutron cannot bind fails the operation, says so, and leaves nothing.
func (n *neutron) bindingFails() {
	n.clean("unreported")
	is := object{}
	n.eventually("the cleaning has failed", func() bool {
		is = n.ferric.must(n.T, http.MethodGet, "/v1/nodes/unreported", nil)
		return is["provision_state"] == "clean failed" && is["reservation"] == nil
	})
	if text, _ := is["last_error"].(string); !strings.Contains(text, "Binding failed for neutron port") {
		n.Errorf("error %q", text)
	}
	if left := n.own("unreported"); len(left) > 0 {
		n.Errorf("left behind: %v", left)
	}
}

// client: what only a machine that boots, or a config drive, would make Ferric ask of Neutron.
func (n *neutron) client(c *cloud) {
	session, err := cloudsession.New(cloudsession.Credentials{AuthURL: c.AuthURL, Username: c.Service.User, Password: c.Service.Password, ProjectName: c.Service.Project,
		UserDomainName: c.Service.Domain, ProjectDomainName: c.Service.Domain, Region: c.Region, Source: "the test"}, cloudsession.Options{})
	check(n.T, err)
	i := &network.Interface{Kind: network.Neutron, Client: &neutronclient.Client{Session: session, Timeout: time.Minute}, Settings: network.Settings{DHCP: true}}
	vif := n.port(n.tenants)
	was := n.show(vif)
	m := &driver.Machine{Node: &domain.Node{UUID: uuid.NewString()}, Ports: []*domain.Port{{UUID: uuid.NewString(), Address: mac(66, 0),
		InternalInfo: object{"tenant_vif_port_id": vif}}}}
	task := &driver.Task{Machine: m, Log: slog.New(slog.DiscardHandler)}
	for range 2 {
		check(n.T, i.SetBootOptions(n.Context(), task, func(mac string) []driver.DHCPOption {
			return []driver.DHCPOption{{Name: "tag:!ipxe,67", Value: "snponly.efi", IPVersion: 4}, {Name: "tag:ipxe,67", Value: "http://192.0.2.1/" + mac, IPVersion: 4},
				{Name: "255", Value: "192.0.2.1", IPVersion: 4}}
		}))
	}
	options := map[string]any{}
	for _, o := range n.show(vif)["extra_dhcp_opts"].([]any) {
		options[o.(object)["opt_name"].(string)] = o.(object)["opt_value"]
	}
	if diff := cmp.Diff(object{"tag:!ipxe,67": "snponly.efi", "tag:ipxe,67": "http://192.0.2.1/" + was["mac_address"].(string), "255": "192.0.2.1"}, options); diff != "" {
		n.Errorf("DHCP options (-want +have):\n%s", diff)
	}

	data, err := i.NetworkData(n.Context(), m)
	check(n.T, err)
	address := was["fixed_ips"].([]any)[0].(object)["ip_address"]
	want := object{"links": []any{object{"id": "iface0", "type": "phy", "ethernet_mac_address": m.Ports[0].Address, "vif_id": vif, "mtu": 1500}},
		"networks": []any{object{"id": "network0", "network_id": n.tenants, "type": "ipv4", "link": "iface0", "ip_address": address, "netmask": "255.255.255.0",
			"routes": []any{object{"network": "0.0.0.0", "netmask": "0.0.0.0", "gateway": "10.92.0.1"}}}},
		"services": []any{object{"type": "dns", "address": "192.0.2.53"}}}
	if diff := cmp.Diff(want, data); diff != "" {
		n.Errorf("network data (-want +have):\n%s", diff)
	}
}
