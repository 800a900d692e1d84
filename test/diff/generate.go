package main

import (
	"fmt"
	"net/url"
	"strings"

	"ferric/api"
)

// World is what generated conversations are about: one object of each kind, with UUIDs that are the same on both sides.
const (
	nodeID    = ours + "000000000001"
	otherNode = ours + "000000000002"
	portID    = ours + "000000000011"
	groupID   = ours + "000000000021"
	chassisID = ours + "000000000031"
	connID    = ours + "000000000041"
	targetID  = ours + "000000000042"
	templID   = ours + "000000000051"
	allocID   = ours + "000000000061"
	freshID   = ours + "000000000099" // of objects that a conversation makes
	nobody    = ours + "0000000000ff" // nothing has it
)

// kind is how the objects of a resource are made.
type kind struct {
	collection string // below /v1
	object     string // UUID of the world's object
	make       m      // a body that makes the world's object, without its uuid
	fresh      m      // the same for another one
	off        bool   // objects change only while their node is off
}

// kinds are the resources of which generated conversations know how to make objects, by the name in package api, in the order in
// which they are made. A resource that is not here is not generated for.
func kinds() []struct {
	name string
	kind
} {
	return []struct {
		name string
		kind
	}{
		{"chassis", kind{"chassis", chassisID, m{"description": "a rack"}, m{}, false}},
		{"node", kind{"nodes", nodeID, m{"driver": "fake-hardware", "name": "alpha", "resource_class": "baremetal"}, m{"driver": "fake-hardware"}, false}},
		{"portgroup", kind{"portgroups", groupID, m{"node_uuid": nodeID, "name": "bond", "address": "52:54:00:00:01:01"},
			m{"node_uuid": nodeID, "address": "52:54:00:00:01:02"}, false}},
		{"port", kind{"ports", portID, m{"node_uuid": nodeID, "address": "52:54:00:00:00:01"}, m{"node_uuid": nodeID, "address": "52:54:00:00:00:02"}, false}},
		{"volume connector", kind{"volume/connectors", connID, m{"node_uuid": nodeID, "type": "iqn", "connector_id": "iqn.2026-11.org:one"},
			m{"node_uuid": nodeID, "type": "iqn", "connector_id": "iqn.2026-11.org:two"}, true}},
		{"volume target", kind{"volume/targets", targetID, m{"node_uuid": nodeID, "volume_type": "iscsi", "boot_index": 0, "volume_id": "v0"},
			m{"node_uuid": nodeID, "volume_type": "iscsi", "boot_index": 7, "volume_id": "v7"}, true}},
		{"deploy_template", kind{"deploy_templates", templID, m{"name": "CUSTOM_ONE", "steps": []any{step()}}, m{"name": "CUSTOM_TWO", "steps": []any{step()}}, false}},
		{"allocation", kind{"allocations", allocID, m{"name": "first", "resource_class": "nothing"}, m{"name": "second", "resource_class": "nothing"}, false}},
	}
}

func step() m { return m{"interface": "deploy", "step": "deploy", "args": m{}, "priority": 50} }

// described reports which resources both servers have.
func described(s api.Surface) map[string]api.ResourceInfo {
	has := map[string]bool{}
	for _, r := range s.Routes {
		if r.Method == "POST" && r.Since <= newest {
			has[strings.TrimPrefix(r.Path, "/v1/")] = true
		}
	}
	out := map[string]api.ResourceInfo{}
	for _, r := range s.Resources {
		if has[r.Collection] {
			out[r.Collection] = r
		}
	}
	return out
}

// world makes the world on both sides.
func world(t *talk, s api.Surface) {
	there := described(s)
	for _, k := range kinds() {
		if _, ok := there[k.collection]; ok {
			t.post("/v1/"+k.collection, with(k.make, "uuid", k.object))
		}
	}
	t.post("/v1/nodes", m{"driver": "fake-hardware", "uuid": otherNode, "name": "beta"})
	t.put("/v1/nodes/"+nodeID+"/states/power", m{"target": "power on"})
	t.rest(nodeID)
}

func with(body m, key string, v any) m {
	out := m{key: v}
	for k, x := range body {
		if k != key {
			out[k] = x
		}
	}
	return out
}

// values are what every field is set to, besides a good value.
func values() []any {
	return []any{nil, true, 7, "", "text", "No Name!", strings.Repeat("x", 300), nobody, []any{}, []any{"a"}, m{}, m{"a": 1}}
}

// fewValues are those that a field is patched with: a patch's values go through the same checks, and Ironic takes its time for patches.
func fewValues() []any {
	return []any{nil, 7, "", strings.Repeat("x", 300), []any{"a"}, m{"a": 1}}
}

// generated are the conversations made of the tables.
func generated(s api.Surface) []scenario {
	var out []scenario
	there := described(s)
	for _, k := range kinds() {
		r, ok := there[k.collection]
		if !ok {
			continue
		}
		add := func(what string, play func(*talk)) {
			out = append(out, scenario{"fields of " + k.name + ": " + what, func(t *talk) {
				world(t, s)
				if k.off {
					t.put("/v1/nodes/"+nodeID+"/states/power", m{"target": "power off"})
					t.rest(nodeID)
				}
				play(t)
			}})
		}
		add("read", func(t *talk) { readFields(t, r, k.kind) })
		add("create", func(t *talk) { createFields(t, r, k.kind) })
		add("patch", func(t *talk) { patchFields(t, r, k.kind) })
	}
	groups := map[string][]api.RouteInfo{}
	for _, r := range s.Routes {
		name, _, _ := strings.Cut(strings.TrimPrefix(r.Path, "/v1"), "{")
		if r.Since <= newest && !strings.HasPrefix(r.Path, "/ferric") {
			groups[name] = append(groups[name], r)
		}
	}
	for _, name := range sorted(groups) {
		out = append(out, scenario{"routes below " + name, func(t *talk) {
			world(t, s)
			for _, r := range groups[name] {
				playRoute(t, r)
				if r.Method == "DELETE" && strings.HasSuffix(r.Path, "}") || strings.HasSuffix(r.Path, "/provision") {
					if err := t.clear(); err != nil {
						t.report.add(t.name, request{method: r.Method, path: r.Path}, err.Error())
					}
					world(t, s)
				}
			}
		}})
	}
	return out
}

// around are the microversions in which something that came with since is tried.
func around(since int) []int {
	if since <= 1 {
		return []int{1, newest}
	}
	if since == newest {
		return []int{since - 1, since}
	}
	return []int{since - 1, since, newest}
}

// readFields asks for each field in lists and objects.
func readFields(t *talk, r api.ResourceInfo, k kind) {
	list, object := "/v1/"+k.collection, "/v1/"+k.collection+"/"+k.object
	for v := 1; v <= newest; v++ {
		t.at(v).get(object)
	}
	for _, v := range []int{1, 7, 8, 42, 43, newest} {
		t := t.at(v)
		for _, q := range []string{"", "?detail=true", "?detail=false", "?detail=maybe", "?detail=true&fields=uuid", "?detail=false&fields=uuid", "?fields=",
			"?fields=uuid", "?fields=uuid,uuid", "?fields=UUID", "?fields=uuid,nonsense", "?fields=links", "?limit=0", "?limit=-1", "?limit=x", "?limit=1",
			"?limit=99999999", "?sort_dir=desc", "?sort_dir=down", "?sort_key=nonsense", "?marker=" + nobody, "?marker=x", "?nonsense=1", "?nonsense=1&more=2"} {
			t.get(list + q)
		}
		t.get(list + "/detail")
		t.get(list + "/detail?fields=uuid")
		t.get(object + "?fields=uuid")
		t.get(object + "?fields=uuid,nonsense")
		t.get(object + "?detail=true")
	}
	for _, f := range r.Fields {
		if f.Since > newest {
			continue
		}
		for _, v := range around(f.Since) {
			t := t.at(v)
			t.get(list + "?fields=" + f.Name)
			t.get(object + "?fields=" + f.Name)
			t.get(list + "?sort_key=" + f.Name)
		}
		t.get(list + "?" + f.Name + "=text")
	}
}

// createFields makes objects with each field in turn.
func createFields(t *talk, r api.ResourceInfo, k kind) {
	list := "/v1/" + k.collection
	try := func(t *talk, body any) {
		p := t.post(list, body)
		for i, a := range []answer{p.ironic, p.ferric} {
			if id, _ := a.object()["uuid"].(string); a.status == 201 {
				s := t.sides()[i]
				s.ask(t.ctx, "DELETE", list+"/"+id, nil)
			}
		}
	}
	for _, body := range []string{"", "{}", "[]", "null", "7", `"x"`, "{", `{"a":1}`, `{"a":1,"b":2}`, "\xff", "[[]]"} {
		try(t, body)
	}
	for key := range k.make {
		body := with(k.fresh, "uuid", freshID)
		delete(body, key)
		try(t, body)
	}
	try(t, with(k.fresh, "uuid", k.object))      // is there already
	try(t, with(k.make, "uuid", freshID))        // so is its name
	try(t, with(k.fresh, "created_at", "today")) // is never written
	try(t, with(k.fresh, "links", []any{}))      // neither
	for _, f := range r.Fields {
		if f.Since > newest {
			continue
		}
		good := sample(r.Name, f.Name)
		for _, v := range around(f.Since) {
			try(t.at(v), with(k.fresh, f.Name, good))
		}
		if !f.OnCreate {
			continue
		}
		for _, v := range values() {
			try(t, with(k.fresh, f.Name, v))
		}
	}
}

// patchFields changes each field in turn.
func patchFields(t *talk, r api.ResourceInfo, k kind) {
	object := "/v1/" + k.collection + "/" + k.object
	for _, body := range []string{"", "{}", "[]", "null", "7", `"x"`, "{", "[{}]", "[7]", `[{"op":"add"}]`, `[{"path":"/extra"}]`,
		`[{"op":"add","path":"/extra/a"}]`, `[{"op":"test","path":"/extra","value":{}}]`, `[{"op":"copy","from":"/extra","path":"/extra/b"}]`,
		`[{"op":"add","path":"extra/a","value":1}]`, `[{"op":"add","path":"/extra//a","value":1}]`, `[{"op":"add","path":"/","value":1}]`,
		`[{"op":"add","path":"","value":1}]`, `[{"op":"add","path":"/extra/a~1b","value":1}]`, `[{"op":"add","path":"/extra/a","value":1,"more":2}]`,
		`[{"op":"replace","path":"/extra/none","value":1}]`, `[{"op":"remove","path":"/extra/none"}]`, `[{"op":"add","path":"/extra/x/y","value":1}]`,
		`[{"op":"add","path":"/extra/a","value":1},{"op":"add","path":"/extra/b","value":[1,2]},{"op":"add","path":"/extra/b/0","value":0},{"op":"add","path":"/extra/b/-","value":3}]`,
		`[{"op":"replace","path":"/extra/b/1","value":9},{"op":"remove","path":"/extra/b/0"}]`, `[{"op":"remove","path":"/extra/b/17"}]`,
		`[{"op":"remove","path":"/extra/b"},{"op":"remove","path":"/extra/a"}]`, `[{"op":"add","path":"/nonsense","value":1}]`,
		`[{"op":"remove","path":"/nonsense"}]`, `[{"op":"replace","path":"/nonsense/a","value":1}]`, `[{"op":"remove","path":"/extra"}]`,
		`[{"op":"add","path":"/extra","value":{"a":{"b":1}}}]`, `[{"op":"add","path":"/extra/a/b/c","value":1}]`, `[{"op":"remove","path":"/extra/a"}]`} {
		t.do("PATCH", object, body)
		t.get(object + "?fields=extra")
	}
	t.change("/v1/"+k.collection+"/"+nobody, "extra", m{})
	t.change("/v1/"+k.collection+"/bad!name", "extra", m{})
	for _, f := range r.Fields {
		if f.Since > newest {
			continue
		}
		good := sample(r.Name, f.Name)
		for _, v := range around(f.Since) {
			t.at(v).change(object, f.Name, good)
		}
		t.patch(object, op("replace", f.Name, good))
		t.patch(object, op("remove", f.Name, nil))
		t.patch(object, op("remove", f.Name, nil))
		if !f.OnPatch {
			continue
		}
		for _, v := range fewValues() {
			if f.Name == "chassis_uuid" || f.Name == "instance_uuid" {
				t.patch(object, op("remove", f.Name, nil))
			}
			t.change(object, f.Name, v)
		}
		// What the next field meets is the object as it was.
		if v, ok := restored[r.Name+"."+f.Name]; ok {
			t.change(object, f.Name, v)
		} else if v, ok := k.make[f.Name]; ok {
			t.change(object, f.Name, v)
		} else {
			t.patch(object, op("remove", f.Name, nil))
		}
	}
}

// sample is a good value of a field.
func sample(resource, field string) any {
	if v, ok := samples[resource+"."+field]; ok {
		return v
	}
	if v, ok := samples[field]; ok {
		return v
	}
	switch {
	case strings.HasSuffix(field, "_interface"):
		return "fake"
	case strings.HasSuffix(field, "_at"):
		return "2026-11-22T10:00:00+00:00"
	case strings.HasSuffix(field, "_uuid"):
		return nobody
	}
	return "text"
}

// samples are good values of fields, by "resource.field" or "field".
var samples = map[string]any{
	"uuid": freshID, "name": "gamma", "address": "52:54:00:00:00:77", "node_uuid": nodeID, "chassis_uuid": chassisID, "portgroup_uuid": groupID,
	"extra": m{"k": []any{1, "two", nil, m{"three": 3.5}}}, "properties": m{"cpus": 4, "capabilities": "boot_mode:uefi"},
	"driver_info": m{"fake_password": "secret", "address": "1.2.3.4"}, "instance_info": m{"image_source": "http://127.0.0.1/x", "capabilities": m{"a": "b"}},
	"network_interface": "noop", "storage_interface": "noop", "maintenance": true, "protected": true, "retired": true, "automated_clean": false,
	"secure_boot": true, "boot_mode": "uefi", "console_enabled": true,
	"driver": "fake-hardware", "conductor_group": "", "resource_class": "Big_1", "network_data": m{}, "traits": []any{"CUSTOM_A"},
	"local_link_connection": m{"switch_id": "0A:1b:2C:3d:4e:5f", "port_id": "eth1", "switch_info": "sw"}, "pxe_enabled": false, "is_smartnic": true,
	"node.is_smartnic": true, "internal_info": m{}, "mode": "802.3ad", "standalone_ports_supported": false, "steps": []any{step()},
	"deploy_template.name": "CUSTOM_GAMMA", "candidate_nodes": []any{nodeID}, "type": "wwpn", "volume_type": "fibre_channel", "boot_index": 3,
	"volume_id": "v3", "portgroup.properties": m{"miimon": "100"}, "volume target.properties": m{"target_iqn": "iqn.x", "auth_password": "s"},
	"instance_uuid": freshID, "allocation.traits": []any{"CUSTOM_A"}, "public": true,
}

// restored are values that cannot be taken away again, with what they are at first.
var restored = map[string]any{"node.maintenance": false, "node.retired": false, "node.protected": false, "node.automated_clean": nil,
	"node.conductor_group": "", "port.is_smartnic": false, "port.pxe_enabled": true}

// playRoute tries a route with good, bad and missing objects, arguments and bodies.
func playRoute(t *talk, r api.RouteInfo) {
	path := expand(r.Path)
	for _, v := range around(r.Since) {
		settled(t.at(v), r.Method, path, nil)
	}
	settled(t, r.Method, path+"?nonsense=1", nil)
	settled(t, r.Method, path+"/", nil)
	if path != "/" && path != "/v1" {
		settled(t, r.Method, path+".json", nil)
	}
	settled(t, r.Method, path+"/nonsense", nil)
	if strings.Contains(r.Path, "{") {
		for _, bad := range []string{nobody, "bad!name", "alpha", "nobody", strings.Repeat("x", 300)} {
			settled(t, r.Method, expand(strings.Replace(r.Path, r.Path[strings.Index(r.Path, "{"):strings.Index(r.Path, "}")+1], bad, 1)), goodBody(r))
		}
	}
	for _, other := range []string{"GET", "PUT", "POST", "PATCH", "DELETE", "HEAD", "OPTIONS"} {
		if other != r.Method && path != "/" && strings.Count(path, "/") == 2 {
			settled(t, other, path, nil)
		}
	}
	if r.Body {
		for _, body := range []string{"", "{}", "[]", "null", "7", `"x"`, "{", `{"nonsense":1}`, `{"a":`, "\xff", `[{"x":[]}]`} {
			settled(t, r.Method, path, body)
		}
	}
	for _, arg := range r.Args {
		if arg.Since > newest {
			continue
		}
		if !r.Body {
			for _, v := range []string{"", "true", "-1", nobody, nodeID, "bad!name", "52:54:00:00:00:01", "a,b"} {
				t.get(path + "?" + arg.Name + "=" + url.QueryEscape(v))
			}
			for _, v := range around(arg.Since) {
				t.at(v).get(path + "?" + arg.Name + "=true")
			}
			t.get(path + fmt.Sprintf("?%s=a&%s=b", arg.Name, arg.Name))
			continue
		}
		good, _ := goodBody(r).(m)
		for _, v := range values() {
			settled(t, r.Method, path, with(good, arg.Name, v))
		}
		less := with(good, arg.Name, nil)
		delete(less, arg.Name)
		settled(t, r.Method, path, less)
		settled(t, r.Method, path+"?"+arg.Name+"=text", less)
	}
}

// settled sends a request and, if it changed something, waits for what it began.
func settled(t *talk, method, path string, body any) {
	p := t.do(method, path, body)
	if method != "GET" && (p.ironic.status < 300 || p.ferric.status < 300) {
		t.rest(nodeID)
	}
}

// goodBody is a body that the route takes.
func goodBody(r api.RouteInfo) any {
	if !r.Body {
		return nil
	}
	if r.Method == "PATCH" {
		return []any{op("add", "extra", m{})}
	}
	for suffix, body := range map[string]any{
		"/states/power": m{"target": "power on"}, "/states/provision": m{"target": "manage"}, "/boot_device": m{"boot_device": "pxe"},
		"/maintenance": m{"reason": "why"}, "/vifs": m{"id": nobody}, "/traits": m{"traits": []any{"CUSTOM_A"}}, "/states/raid": m{"logical_disks": []any{}},
		"/states/boot_mode": m{"target": "uefi"}, "/states/secure_boot": m{"target": true}, "/states/console": m{"enabled": true},
		"/heartbeat/{node}": m{"callback_url": "http://127.0.0.1:1", "agent_version": "9.0.0", "agent_token": "x"},
	} {
		if strings.HasSuffix(r.Path, suffix) {
			return body
		}
	}
	return m{}
}

// expand puts the world's objects into a path.
func expand(path string) string {
	return strings.NewReplacer("{node}", nodeID, "{port}", portID, "{portgroup}", groupID, "{chassis}", chassisID, "{connector}", connID,
		"{target}", targetID, "{template}", templID, "{deploy_template}", templID, "{allocation}", allocID, "{driver}", "fake-hardware",
		"{conductor}", "127.0.0.1", "{trait}", "CUSTOM_A", "{vif}", nobody, "{event}", nobody, "{setting}", "virtualization",
		"{component}", "system", "{indicator}", "led", "{method}", "first_method", "{volume}", connID).Replace(path)
}
