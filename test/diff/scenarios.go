package main

import (
	"fmt"
	"strings"
)

// written are the conversations written by hand.
func written() []scenario {
	return []scenario{
		{"node life", nodeLife},
		{"verbs in every state", everyVerb},
		{"a node that is held", heldNode},
		{"maintenance", maintenance},
		{"protected and retired", protected},
		{"ports and VIFs", portsAndVIFs},
		{"traits", traits},
		{"paging", paging},
		{"discovery and versions", discovery},
		{"bad requests", badRequests},
		{"rules of a node's fields", fieldRules},
		{"chassis, port groups, volumes", groups},
		{"allocations", allocations},
	}
}

const nodePath = "/v1/nodes/" + nodeID

// enroll makes the node of most conversations.
func enroll(t *talk, fields m) {
	body := m{"driver": "fake-hardware", "uuid": nodeID, "name": "alpha"}
	for k, v := range fields {
		body[k] = v
	}
	t.post("/v1/nodes", body)
}

// provision asks for a verb and waits until it has had its effect.
func provision(t *talk, target string, more m) {
	t.put(nodePath+"/states/provision", with(more, "target", target))
	t.rest(nodeID)
	t.get(nodePath + "/states")
}

// deployable is instance_info with which fake hardware deploys.
var deployable = m{"image_source": "http://127.0.0.1:1/image", "image_checksum": strings.Repeat("0", 32), "root_gb": 10}

func nodeLife(t *talk) {
	enroll(t, nil)
	t.get(nodePath)
	t.get(nodePath + "/validate")
	t.get("/v1/nodes/alpha/states")
	provision(t, "manage", nil)
	t.put(nodePath+"/states/power", m{"target": "power on"})
	t.rest(nodeID)
	t.get(nodePath + "/states")
	for _, target := range []string{"rebooting", "soft rebooting", "soft power off", "power on", "power off"} {
		t.put(nodePath+"/states/power", m{"target": target})
		t.rest(nodeID)
		t.get(nodePath + "/states")
	}
	t.at(26).put(nodePath+"/states/power", m{"target": "soft power off"})
	t.at(26).put(nodePath+"/states/power", m{"target": "power on", "timeout": 5})
	t.put(nodePath+"/states/power", m{"target": "power on", "timeout": 0})
	t.put(nodePath+"/states/power", m{"target": "power on", "timeout": 5})
	t.rest(nodeID)
	provision(t, "inspect", nil)
	t.get(nodePath + "?fields=properties,inspection_started_at,inspection_finished_at")
	t.get(nodePath + "/inventory")
	provision(t, "provide", nil)
	t.at(1).get(nodePath)
	t.at(2).get(nodePath)
	t.change(nodePath, "instance_uuid", freshID)
	t.at(72).put(nodePath+"/states/provision", m{"target": "undeploy"})
	t.get("/v1/nodes?instance_uuid=" + freshID)
	t.get("/v1/nodes?associated=true")
	t.get("/v1/nodes?associated=true&maintenance=true")
	provision(t, "active", nil)
	t.change(nodePath, "instance_info", deployable)
	provision(t, "active", nil)
	t.get(nodePath)
	t.get("/v1/nodes?provision_state=active")
	t.at(8).get("/v1/nodes?provision_state=active")
	t.del(nodePath)
	provision(t, "rebuild", m{"configdrive": m{"user_data": "hello"}})
	provision(t, "rescue", m{"rescue_password": "secret"})
	t.get(nodePath + "?fields=instance_info,driver_info")
	provision(t, "unrescue", nil)
	provision(t, "deleted", nil)
	t.get(nodePath)
	provision(t, "active", m{"configdrive": m{"meta_data": m{"a": "b"}}})
	provision(t, "manage", nil)
	provision(t, "clean", m{"clean_steps": []any{m{"interface": "power", "step": "none"}}})
	provision(t, "clean", m{"clean_steps": []any{m{"interface": "deploy", "step": "erase_devices"}}})
	provision(t, "clean", m{"clean_steps": []any{}})
	provision(t, "clean", nil)
	provision(t, "adopt", nil)
	t.get(nodePath)
	provision(t, "deleted", nil)
	t.del(nodePath)
	t.get(nodePath)
	t.del(nodePath)
}

// verbs are the targets of states/provision that 1.82 knows.
var verbs = []string{"active", "deploy", "rebuild", "deleted", "undeploy", "provide", "manage", "inspect", "clean", "abort", "adopt",
	"rescue", "unrescue", "nonsense", "available", "", "Manage"}

// verbsSince are those that came later than 1.1, with their first version.
var verbsSince = map[string]int{"manage": 4, "provide": 4, "inspect": 6, "abort": 13, "clean": 15, "adopt": 17, "rescue": 38, "unrescue": 38,
	"deploy": 73, "undeploy": 73, "unhold": 85, "service": 87}

// everyVerb asks for every verb that is illegal in the states that fake hardware reaches and stays in.
func everyVerb(t *talk) {
	legal := map[string][]string{
		"enroll":     {"manage"},
		"manageable": {"provide", "inspect", "clean", "adopt"},
		"available":  {"active", "deploy", "manage"},
		"active":     {"rebuild", "active", "deploy", "deleted", "undeploy", "rescue"},
		"rescue":     {"rescue", "unrescue", "deleted", "undeploy"},
	}
	illegal := func(state string) {
		for _, v := range verbs {
			if strings.Contains(","+strings.Join(legal[state], ",")+",", ","+v+",") {
				continue
			}
			body := m{"target": v}
			switch v {
			case "clean":
				body["clean_steps"] = []any{m{"interface": "deploy", "step": "erase_devices"}}
			case "rescue":
				body["rescue_password"] = "p"
			}
			t.put(nodePath+"/states/provision", body)
			t.rest(nodeID)
		}
		for v, since := range verbsSince {
			if since > newest || v == "undeploy" { // Ironic takes that one early
				continue
			}
			t.at(since-1).put(nodePath+"/states/provision", m{"target": v})
			t.rest(nodeID)
		}
		t.get(nodePath + "/states")
	}
	enroll(t, m{"instance_info": deployable})
	illegal("enroll")
	provision(t, "manage", nil)
	illegal("manageable")
	for _, body := range []m{
		{"target": "manage", "configdrive": "x"}, {"target": "provide", "clean_steps": []any{}}, {"target": "clean"},
		{"target": "clean", "clean_steps": m{}}, {"target": "clean", "clean_steps": []any{m{"step": "x"}}}, {"target": "clean", "clean_steps": []any{7}},
		{"target": "clean", "clean_steps": []any{m{"interface": "nonsense", "step": "x"}}}, {"target": "provide", "rescue_password": "x"},
		{"target": "clean", "clean_steps": []any{m{"interface": "deploy", "step": "erase_devices", "priority": 3}}},
		{"target": "clean", "clean_steps": []any{m{"interface": "deploy", "step": "erase_devices", "args": []any{}}}},
		{"target": "provide", "deploy_steps": []any{}}, {"target": "provide", "disable_ramdisk": true},
	} {
		t.put(nodePath+"/states/provision", body)
		t.rest(nodeID)
	}
	provision(t, "provide", nil)
	illegal("available")
	for _, body := range []m{
		{"target": "active", "deploy_steps": m{}}, {"target": "active", "deploy_steps": []any{m{"interface": "deploy", "step": "x"}}},
		{"target": "active", "deploy_steps": []any{m{"interface": "deploy", "step": "x", "priority": -1}}},
		{"target": "active", "configdrive": 7}, {"target": "active", "configdrive": m{"nonsense": 1}}, {"target": "active", "rescue_password": "x"},
		{"target": "active", "clean_steps": []any{}},
	} {
		t.put(nodePath+"/states/provision", body)
		t.rest(nodeID)
	}
	t.at(55).put(nodePath+"/states/provision", m{"target": "active", "configdrive": m{"meta_data": m{}}})
	t.at(58).put(nodePath+"/states/provision", m{"target": "active", "configdrive": m{"vendor_data": m{}}})
	t.at(68).put(nodePath+"/states/provision", m{"target": "active", "deploy_steps": []any{}})
	provision(t, "active", nil)
	illegal("active")
	t.put(nodePath+"/states/provision", m{"target": "rescue"})
	t.put(nodePath+"/states/provision", m{"target": "rescue", "rescue_password": ""})
	t.put(nodePath+"/states/provision", m{"target": "rescue", "rescue_password": 7})
	t.put(nodePath+"/states/provision", m{"target": "rebuild", "clean_steps": []any{}})
	t.rest(nodeID)
	t.at(34).put(nodePath+"/states/provision", m{"target": "rebuild", "configdrive": "x"})
	provision(t, "rescue", m{"rescue_password": "p"})
	illegal("rescue")
	provision(t, "deleted", nil)
}

// heldNode asks things of a node in "clean wait"-like and failed states, and of one that has a fault.
func heldNode(t *talk) {
	enroll(t, m{"driver_info": m{"fake_password": "s", "deep": m{"token": "t", "plain": 1}}})
	t.get(nodePath + "?fields=driver_info")
	provision(t, "manage", nil)
	// A step that does not exist fails the cleaning.
	provision(t, "clean", m{"clean_steps": []any{m{"interface": "deploy", "step": "no_such_step"}}})
	t.get(nodePath + "?fields=provision_state,maintenance,fault,last_error")
	provision(t, "provide", nil)
	provision(t, "manage", nil)
	t.del(nodePath + "/maintenance")
	t.get(nodePath)
}

func maintenance(t *talk) {
	enroll(t, nil)
	t.put(nodePath+"/maintenance", nil)
	t.get(nodePath)
	t.put(nodePath+"/maintenance", m{"reason": "broken fan"})
	t.get(nodePath + "?fields=maintenance,maintenance_reason,fault")
	t.get("/v1/nodes?maintenance=true")
	t.get("/v1/nodes?maintenance=false")
	t.get("/v1/nodes?maintenance=perhaps")
	provision(t, "manage", nil)
	t.put(nodePath+"/states/power", m{"target": "power on"})
	t.rest(nodeID)
	provision(t, "provide", nil)
	t.del(nodePath + "/maintenance")
	t.get(nodePath)
	t.del(nodePath + "/maintenance")
	t.change(nodePath, "maintenance", true)
	t.change(nodePath, "maintenance_reason", "x")
	t.change(nodePath, "maintenance", false)
	t.put(nodePath+"/maintenance", m{"reason": 7})
	t.put(nodePath+"/maintenance", m{"why": "x"})
	t.put(nodePath+"/maintenance?reason=query", nil)
	t.get(nodePath + "?fields=maintenance,maintenance_reason")
}

func protected(t *talk) {
	enroll(t, m{"instance_info": deployable})
	t.change(nodePath, "protected", true)
	t.change(nodePath, "protected_reason", "because")
	provision(t, "manage", nil)
	t.change(nodePath, "retired", true)
	t.change(nodePath, "retired_reason", "old")
	t.get("/v1/nodes?retired=true")
	provision(t, "provide", nil)
	t.change(nodePath, "retired", false)
	t.get(nodePath)
	provision(t, "provide", nil)
	t.change(nodePath, "retired", true)
	provision(t, "active", nil)
	t.change(nodePath, "protected_reason", "because")
	t.patch(nodePath, op("add", "protected", true), op("add", "protected_reason", "because"))
	provision(t, "deleted", nil)
	provision(t, "rebuild", nil)
	t.del(nodePath)
	t.change(nodePath, "protected", false)
	t.get(nodePath)
	t.change(nodePath, "retired", true)
	provision(t, "deleted", nil)
	t.get(nodePath)
	for field, v := range map[string]any{"driver": "none", "name": "renamed", "resource_class": "other", "boot_interface": "fake", "extra": m{"a": 1}} {
		t.change(nodePath, field, v)
	}
}

func portsAndVIFs(t *talk) {
	enroll(t, nil)
	t.post("/v1/nodes", m{"driver": "fake-hardware", "uuid": otherNode, "name": "beta"})
	port := "/v1/ports/" + portID
	t.get(nodePath + "/ports")
	t.get(nodePath + "/vifs")
	t.post("/v1/ports", m{"uuid": portID, "node_uuid": nodeID, "address": "52:54:00:AB:cd:01", "extra": m{"a": 1}})
	t.post("/v1/ports", m{"uuid": freshID, "node_uuid": nodeID, "address": "52:54:00:ab:cd:01"})
	t.post("/v1/ports", m{"uuid": portID, "node_uuid": nodeID, "address": "52:54:00:ab:cd:02"})
	t.post("/v1/ports", m{"node_uuid": nobody, "address": "52:54:00:ab:cd:03"})
	t.post("/v1/ports", m{"node_uuid": "alpha", "address": "52:54:00:ab:cd:03"})
	t.post("/v1/ports", m{"node_uuid": nodeID, "address": "52-54-00-ab-cd-03"})
	t.get("/v1/ports?address=52:54:00:AB:CD:01")
	t.get("/v1/ports?address=52:54:00:00:00:00")
	t.get("/v1/ports?node=alpha")
	t.get("/v1/ports?node=nobody")
	t.get("/v1/ports?node_uuid=" + nodeID)
	t.get("/v1/ports/detail?node_uuid=" + nodeID)
	t.get("/v1/ports?node=alpha&node_uuid=" + nodeID)
	t.get(nodePath + "/ports/detail")
	t.get(nodePath + "/ports?address=52:54:00:ab:cd:01")
	t.get("/v1/ports/52:54:00:ab:cd:01")
	t.at(4).get("/v1/ports?node=alpha")
	t.at(4).get("/v1/nodes/alpha")
	t.change(port, "node_uuid", otherNode)
	t.change(port, "node_uuid", nodeID)
	t.change(port, "address", "52:54:00:ab:cd:09")
	t.change(port, "physical_network", "net1")
	t.change(port, "local_link_connection", m{"switch_id": "0A:1b:2C:3d:4e:5f", "port_id": "e1"})
	t.change(port, "local_link_connection", m{"switch_id": "nonsense", "port_id": "e1"})
	t.change(port, "local_link_connection", m{"switch_id": "0a:1b:2c:3d:4e:5f"})
	t.change(port, "local_link_connection", m{"network_type": "unmanaged"})
	t.at(63).change(port, "local_link_connection", m{"network_type": "unmanaged"})
	t.get(port)
	t.put(nodePath+"/states/power", m{"target": "power on"})
	t.rest(nodeID)
	t.post(nodePath+"/vifs", m{"id": "vif-1"})
	t.get(nodePath + "/vifs")
	t.post(nodePath+"/vifs", m{"id": "vif-1"})
	t.post(nodePath+"/vifs", m{"id": nobody})
	t.post(nodePath+"/vifs", m{"id": "vif-2", "port_uuid": portID})
	t.post(nodePath+"/vifs", m{"id": "vif-2", "port_uuid": portID, "portgroup_uuid": groupID})
	t.at(66).post(nodePath+"/vifs", m{"id": "vif-2", "port_uuid": portID})
	t.post(nodePath+"/vifs", m{"id": ""})
	t.post(nodePath+"/vifs", m{"id": 7})
	t.post(nodePath+"/vifs", m{})
	t.del(nodePath + "/vifs/vif-1")
	t.get(nodePath + "/vifs")
	t.del(nodePath + "/vifs/vif-1")
	t.del(port)
	t.del(port)
	t.del("/v1/ports/nonsense")
}

func traits(t *talk) {
	enroll(t, nil)
	list := nodePath + "/traits"
	t.get(list)
	t.put(list, m{"traits": []any{"CUSTOM_B", "CUSTOM_A", "HW_CPU_X86_VMX"}})
	t.get(list)
	t.get(nodePath + "?fields=traits")
	t.at(36).get(nodePath)
	for _, bad := range []any{[]any{"custom"}, []any{"NONSENSE"}, []any{7}, "CUSTOM_A", nil, []any{"CUSTOM_A", "CUSTOM_A"}, []any{"CUSTOM_" + strings.Repeat("A", 300)},
		[]any{"CUSTOM_a"}, []any{""}} {
		t.put(list, m{"traits": bad})
	}
	t.put(list, m{})
	t.put(list, m{"trait": "x"})
	t.put(list+"/CUSTOM_C", nil)
	t.put(list+"/CUSTOM_C", nil)
	t.put(list+"/nonsense", nil)
	t.del(list + "/CUSTOM_C")
	t.del(list + "/CUSTOM_C")
	t.del(list + "/nonsense")
	many := []any{}
	for i := range 51 {
		many = append(many, fmt.Sprintf("CUSTOM_T%d", i))
	}
	t.put(list, m{"traits": many})
	t.put(list, m{"traits": many[:50]})
	t.put(list+"/CUSTOM_ONE_MORE", nil)
	t.del(list)
	t.get(list)
}

func paging(t *talk) {
	for i := range 7 {
		t.post("/v1/nodes", m{"driver": "fake-hardware", "uuid": fmt.Sprintf("%s0000000001%02d", ours, 9-i), "name": fmt.Sprintf("n%d", i%7),
			"resource_class": []any{"a", "b"}[i%2], "owner": nil, "extra": m{"i": i}})
	}
	follow := func(t *talk, path string) {
		for range 5 {
			p := t.get(path)
			next, _ := p.ironic.object()["next"].(string)
			if next == "" {
				return
			}
			path = strings.TrimPrefix(next, t.ironic.url)
		}
	}
	for _, q := range []string{"limit=3", "limit=3&sort_key=name", "limit=3&sort_key=name&sort_dir=desc", "limit=3&sort_key=resource_class",
		"limit=3&sort_key=resource_class&sort_dir=desc", "limit=3&fields=name,uuid", "limit=3&resource_class=a", "limit=3&sort_key=uuid",
		"limit=7", "limit=3&detail=true", "limit=3&sort_key=power_state", "limit=3&sort_key=created_at&fields=name", "limit=3&maintenance=false&sort_key=maintenance"} {
		follow(t, "/v1/nodes?"+q)
	}
	follow(t, "/v1/nodes/detail?limit=3")
	follow(t.at(1), "/v1/nodes?limit=3")
	for _, q := range []string{"limit=3&marker=n1", "marker=" + nobody, "limit=0", "sort_key=id", "sort_key=links", "sort_key=traits", "sort_key=chassis_id",
		"sort_key=chassis_uuid", "sort_key=allocation_uuid", "sort_key=conductor", "sort_key=extra", "sort_key=ports", "sort_key=",
		"marker=", "limit=", "resource_class=a&driver=fake-hardware", "driver=ipmi", "owner=x", "project=x", "description_contains=x", "conductor_group=",
		"conductor_group=nope", "conductor=127.0.0.1", "conductor=elsewhere", "fault=nonsense", "fault=power%20failure", "shard=a", "shard=a,b", "sharded=true",
		"sharded=false", "associated=false", "instance_uuid=" + nobody, "instance_uuid=x", "provision_state=enroll", "provision_state=nonsense", "provision_state=",
		"retired=true", "lessee=x", "include_children=true", "parent_node=x", "Limit=3", "limit=3&limit=2", "limit=1.5", "limit=1e3", "limit=%2B3"} {
		t.get("/v1/nodes?" + q)
	}
}

func discovery(t *talk) {
	enroll(t, nil)
	for v := 1; v <= newest; v++ {
		t.at(v).get("/v1")
	}
	t.version = 0
	for _, h := range []string{"", "latest", "1.83.1", "1", "x", "2.0", "0.1", "1.0", "1.999", "1.-1", "1.5,1.6", " 1.5 ", "01.05", "1.5.0", "LATEST"} {
		r := request{method: "GET", path: nodePath, header: map[string]string{"X-OpenStack-Ironic-API-Version": h}}
		if h == "latest" || h == "LATEST" {
			r.path = "/v1/nodes/" + nobody // which is the newest is not the same
		}
		t.send(r)
	}
	for _, h := range []string{"baremetal 1.10", "baremetal latest", "compute 2.1", "baremetal x"} {
		t.send(request{method: "GET", path: "/v1/nodes/" + nobody, header: map[string]string{"OpenStack-API-Version": h}})
	}
	t.get("/")
	t.get("/v1")
	t.get("/v1/")
	t.get("/v2")
	t.get("/v1/v1")
	t.get("/nodes")
	t.get("/nodes/" + nodeID)
}

func badRequests(t *talk) {
	enroll(t, nil)
	for _, accept := range []string{"*/*", "application/json", "text/html", "text/plain", "application/*", "application/xml", "application/json;q=0.5", "text/*, application/json"} {
		t.send(request{method: "GET", path: nodePath, version: newest, header: map[string]string{"Accept": accept}})
	}
	for _, contentType := range []string{"text/plain", "application/json; charset=utf-8", "application/x-www-form-urlencoded", "nonsense"} {
		t.send(request{method: "POST", path: "/v1/nodes", version: newest, body: []byte(`{"driver":"none"}`), header: map[string]string{"Content-Type": contentType}})
	}
	for _, path := range []string{"/v1/nonsense", "/v1/nodes/" + nodeID + "/nonsense/more", "/v1/nodes/" + nodeID + "/states/nonsense",
		"/v1/nodes/" + nodeID + "/management", "/v1/nodes/" + nodeID + "/management/nonsense", "/v1//nodes", "/v1/nodes//", "/v1/nodes?", "/v1/nodes?&", "/v1/nodes?=",
		"/v1/nodes?limit", "/v1/nodes?%zz", "/v1/nodes/%20", "/v1/nodes/a%2Fb", "/v1/nodes/a%00b", "/v1/nodes/" + strings.ToUpper(nodeID), "/v1/nodes/" + strings.ReplaceAll(nodeID, "-", ""),
		"/v1/nodes/alpha.json", "/v1/nodes/alpha.xml", "/v1/nodes/ALPHA", "/v1/nodes/alpha/", "/v1/nodes/alpha/states/", "/v1/drivers/nonsense", "/v1/drivers/nonsense/properties",
		"/v1/drivers/fake-hardware/properties", "/v1/drivers/fake-hardware/vendor_passthru/methods", "/v1/drivers/fake-hardware/raid/logical_disk_properties",
		"/v1/conductors/nobody", "/v1/conductors/127.0.0.1", "/v1/lookup", "/v1/lookup?addresses=x", "/v1/lookup?addresses=52:54:00:00:00:01",
		"/v1/lookup?node_uuid=" + nodeID, "/v1/lookup?node_uuid=" + nobody} {
		t.get(path)
	}
	for _, body := range []any{m{"callback_url": "http://127.0.0.1:1"}, m{"callback_url": "http://127.0.0.1:1", "agent_token": "x"},
		m{"callback_url": 7, "agent_token": "x"}, m{"agent_token": "x"}, m{"callback_url": "x", "agent_token": "x", "nonsense": 1},
		m{"callback_url": "x", "agent_token": "x", "agent_status": "nonsense"}, m{"callback_url": "x", "agent_token": "x", "agent_verify_ca": "x"}} {
		t.post("/v1/heartbeat/"+nodeID, body)
		t.at(61).post("/v1/heartbeat/"+nodeID, body)
	}
	t.post("/v1/heartbeat/"+nobody, m{"callback_url": "http://127.0.0.1:1", "agent_token": "x"})
	t.put(nodePath+"/management/boot_device", m{"boot_device": "pxe", "persistent": true})
	t.get(nodePath + "/management/boot_device")
	t.put(nodePath+"/management/boot_device", m{"boot_device": "nonsense"})
	t.put(nodePath+"/management/boot_device", m{"boot_device": "pxe", "persistent": "perhaps"})
	t.put(nodePath+"/management/boot_device?boot_device=pxe", nil)
	t.put(nodePath+"/states/console", m{"enabled": true})
	t.rest(nodeID)
	t.get(nodePath + "/states/console")
	t.change(nodePath, "driver", "fake-hardware")
	t.change(nodePath, "driver", "nonsense")
	t.put(nodePath+"/states/console", m{"enabled": false})
	t.put(nodePath+"/states/raid", m{"logical_disks": []any{m{"size_gb": 100, "raid_level": "1"}}})
	t.put(nodePath+"/states/raid", m{"logical_disks": []any{m{"size_gb": "x"}}})
	t.put(nodePath+"/states/raid", m{})
	t.get(nodePath + "?fields=target_raid_config,raid_config")
	t.put(nodePath+"/states/boot_mode", m{"target": "uefi"})
	t.put(nodePath+"/states/boot_mode", m{"target": "nonsense"})
	t.put(nodePath+"/states/secure_boot", m{"target": true})
	t.put(nodePath+"/states/secure_boot", m{"target": "nonsense"})
	t.rest(nodeID)
	t.get(nodePath + "/states")
	t.get(nodePath + "/bios")
	t.get(nodePath + "/bios/nonsense")
	t.get(nodePath + "/management/indicators")
	t.get(nodePath + "/management/indicators/nonsense")
	t.get(nodePath + "/vendor_passthru/methods")
	t.post(nodePath+"/vendor_passthru/first_method", m{"bar": "baz"})
	t.post(nodePath+"/vendor_passthru?method=first_method", m{"bar": "meow"})
	t.post(nodePath+"/vendor_passthru/nonsense", m{})
	t.get(nodePath + "/vendor_passthru/first_method")
	t.post(nodePath+"/vendor_passthru", m{})
	t.rest(nodeID)
}

func fieldRules(t *talk) {
	enroll(t, m{"resource_class": "a"})
	for _, name := range []string{"detail", "states", "Ünicode", "a b", strings.Repeat("n", 255), strings.Repeat("n", 256), nobody, "with.dots", "~tilde", "under_score", ""} {
		t.post("/v1/nodes", m{"driver": "fake-hardware", "uuid": freshID, "name": name})
		t.both(func(_ int, s *side) { s.ask(t.ctx, "DELETE", "/v1/nodes/"+freshID, nil) })
		t.change(nodePath, "name", name)
	}
	t.at(9).change(nodePath, "name", "under_score")
	t.at(4).change(nodePath, "name", "x")
	t.patch(nodePath, op("remove", "name", nil))
	t.change(nodePath, "instance_uuid", freshID)
	t.change(nodePath, "instance_uuid", nobody)
	t.post("/v1/nodes", m{"driver": "fake-hardware", "uuid": otherNode, "instance_uuid": freshID})
	t.patch(nodePath, op("remove", "instance_uuid", nil))
	t.do("PATCH", nodePath+"?reset_interfaces=true", []any{op("add", "driver", "fake-hardware")})
	t.do("PATCH", nodePath+"?reset_interfaces=true", []any{op("add", "extra", m{})})
	t.at(44).do("PATCH", nodePath+"?reset_interfaces=true", []any{op("add", "driver", "fake-hardware")})
	for _, kind := range []string{"bios", "boot", "console", "deploy", "inspect", "management", "network", "power", "raid", "rescue", "storage", "vendor"} {
		t.change(nodePath, kind+"_interface", "nonsense")
		t.post("/v1/nodes", m{"driver": "fake-hardware", "uuid": freshID, kind + "_interface": "nonsense"})
	}
	for _, none := range []string{"bios", "console", "inspect", "raid", "rescue", "vendor"} {
		t.change(nodePath, none+"_interface", "no-"+none)
	}
	t.get(nodePath + "/validate")
	t.get(nodePath + "/vendor_passthru/methods")
	t.get(nodePath + "/bios")
	t.put(nodePath+"/states/console", m{"enabled": true})
	t.get(nodePath + "/states/console")
	t.put(nodePath+"/states/raid", m{"logical_disks": []any{m{"size_gb": 100, "raid_level": "1"}}})
	provision(t, "manage", nil)
	provision(t, "inspect", nil)
	for _, group := range []string{"Group_1", "a b", "x", ""} {
		t.change(nodePath, "conductor_group", group)
	}
	t.change(nodePath, "automated_clean", false)
	t.change(nodePath, "automated_clean", "maybe")
	t.change(nodePath, "driver_info", m{"fake_password": "******", "x": 1})
	t.change(nodePath, "driver_info/y", 2)
	t.get(nodePath + "?fields=driver_info")
	t.change(nodePath, "network_data", m{"links": []any{m{"id": "l1", "type": "phy", "ethernet_mac_address": "52:54:00:00:00:01"}},
		"networks": []any{m{"id": "n1", "link": "l1", "type": "ipv4_dhcp", "network_id": "x"}}, "services": []any{}})
	t.change(nodePath, "network_data", m{"links": []any{m{"id": "l1"}}, "networks": []any{}, "services": []any{}})
	t.change(nodePath, "network_data", m{"links": []any{}, "networks": []any{m{"id": "n1"}}, "services": []any{}})
	t.change(nodePath, "network_data", m{"links": []any{}, "networks": []any{}, "services": []any{m{"type": "dns"}}})
	t.get(nodePath + "?fields=network_data")
	t.change(nodePath, "owner", "somebody")
	t.get("/v1/nodes?owner=somebody")
	t.get("/v1/nodes?project=somebody")
	t.change(nodePath, "lessee", "tenant")
	t.get("/v1/nodes?lessee=tenant")
	t.get("/v1/nodes?project=tenant")
	t.change(nodePath, "description", "A quite Long text with 100% _ signs")
	for _, q := range []string{"Long", "long", "100%25", "_", "nothing"} {
		t.get("/v1/nodes?description_contains=" + q)
	}
	t.change(nodePath, "description", strings.Repeat("d", 4096))
	t.change(nodePath, "description", strings.Repeat("d", 4097))
	t.change(nodePath, "shard", "s1")
	t.get("/v1/nodes?shard=s1")
	t.get("/v1/nodes?sharded=true")
	t.get("/v1/shards")
	t.at(81).get("/v1/shards")
}
