package api_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ferric"
	"ferric/api"
	"ferric/rpc"
)

const (
	goneID  = "00000000-0000-4000-8000-000000000000"
	otherID = "11111111-0000-4000-8000-000000000000"
)

// refused is a table of requests that must be refused.
type refused map[string]struct {
	method, path string
	body         any
	status       int
	text         string
}

func (c refused) check(t *testing.T, f *fixture) {
	t.Helper()
	for name, c := range c {
		t.Run(name, func(t *testing.T) {
			f := f.with(t)
			if r := f.must(c.status, c.method, c.path, c.body); !strings.Contains(r.text(t), c.text) {
				t.Errorf("text %q, want %q in it", r.text(t), c.text)
			}
		})
	}
}

// set is a patch of one value.
func set(path string, v any) []m { return []m{{"op": "replace", "path": path, "value": v}} }

// unset is a patch that takes a value away.
func unset(path string) []m { return []m{{"op": "remove", "path": path}} }

func TestChassis(t *testing.T) {
	f := newFixture(t)
	r := f.must(201, "POST", "/v1/chassis", m{"uuid": strings.ToUpper(chassisID), "description": "Sample chassis", "extra": m{"a": "b"}})
	if where := r.header.Get("Location"); where != f.server.URL+"/v1/chassis/"+chassisID || r.header.Get("Etag") != `"1"` {
		t.Errorf("Location %q, Etag %q", where, r.header.Get("Etag"))
	}
	f.must(201, "POST", "/v1/chassis", m{"uuid": otherID, "description": nil, "extra": nil})
	path := "/v1/chassis/" + chassisID
	got := f.must(200, "PATCH", path, []m{{"op": "replace", "path": "/description", "value": "Updated"}, {"op": "add", "path": "/extra/c", "value": 1}}).object(t)
	if got["description"] != "Updated" || len(got["extra"].(m)) != 2 || got["updated_at"] == nil {
		t.Errorf("updated: %v", got)
	}
	if got := f.must(200, "PATCH", path, unset("/description")).object(t); got["description"] != nil {
		t.Errorf("updated: %v", got)
	}
	f.must(412, "PATCH", path, unset("/extra"), "If-Match", `"1"`)
	f.must(412, "DELETE", path, nil, "If-Match", `"1"`)

	node := f.node(m{"name": "in", "chassis_uuid": chassisID})
	f.node(m{"name": "out"})
	for path, want := range map[string]string{
		path + "/nodes": "in", "1.43 " + path + "/nodes?detail=true": "in", "1.1 " + path + "/nodes/detail": "<nil>", path + "/nodes?driver=none": "",
		"/v1/nodes?chassis_uuid=" + chassisID: "in", "/v1/nodes?chassis_uuid=" + otherID: "",
		path + "/nodes?fields=name&limit=1": "in",
	} {
		if got := strings.Join(names(t, f.must(200, "GET", path, nil), "nodes"), " "); got != want {
			t.Errorf("%s: %s, want %s", path, got, want)
		}
	}
	next := f.must(200, "GET", path+"/nodes?limit=1", nil).object(t)["next"]
	if want := f.server.URL + path + "/nodes?sort_key=id&sort_dir=asc"; !strings.HasPrefix(fmt.Sprint(next), want) {
		t.Errorf("next %v, want %s…", next, want)
	}
	refused{
		"unknown field":         {"POST", "/v1/chassis", m{"x": 1}, 400, "Schema error for chassis: Additional properties are not allowed ('x' was unexpected)"},
		"read-only field":       {"POST", "/v1/chassis", m{"created_at": "x"}, 400, "('created_at' was unexpected)"},
		"wrong type":            {"POST", "/v1/chassis", m{"description": 1}, 400, "1 is not of type 'string', 'null'"},
		"too long":              {"POST", "/v1/chassis", m{"description": strings.Repeat("x", 256)}, 400, "is too long"},
		"wrong extra":           {"POST", "/v1/chassis", m{"extra": "x"}, 400, "is not of type 'object', 'null'"},
		"bad UUID":              {"POST", "/v1/chassis", m{"uuid": "x"}, 400, "Expected UUID for uuid: x"},
		"no object":             {"POST", "/v1/chassis", []any{}, 400, "is not of type 'object'"},
		"duplicate":             {"POST", "/v1/chassis", m{"uuid": chassisID}, 409, "A chassis with UUID " + chassisID + " already exists."},
		"show by name":          {"GET", "/v1/chassis/x", nil, 400, "Expected UUID for chassis_uuid: x"},
		"show what is not":      {"GET", "/v1/chassis/" + goneID, nil, 404, "Chassis " + goneID + " could not be found."},
		"patch what is not":     {"PATCH", "/v1/chassis/" + goneID, []m{}, 404, "could not be found"},
		"delete what is not":    {"DELETE", "/v1/chassis/" + goneID, nil, 404, "could not be found"},
		"patch of the list":     {"PATCH", "/v1/chassis", []m{}, 400, "Missing mandatory parameter: chassis_uuid"},
		"delete of the list":    {"DELETE", "/v1/chassis", nil, 400, "Missing mandatory parameter: chassis_uuid"},
		"patch read-only":       {"PATCH", path, set("/uuid", goneID), 400, "Cannot patch /uuid. Only the following can be updated: extra, description"},
		"patch wrong type":      {"PATCH", path, set("/description", 1), 400, "is not of type"},
		"patch too long":        {"PATCH", path, set("/description", strings.Repeat("x", 256)), 400, "is too long"},
		"patch no list":         {"PATCH", path, m{}, 400, "is not of type 'array'"},
		"nodes in it":           {"DELETE", path, nil, 400, "Cannot complete the requested action because chassis " + chassisID + " contains nodes."},
		"fields too early":      {"GET", "1.7 " + path + "?fields=uuid", nil, 406, ""},
		"unknown field shown":   {"GET", path + "?fields=x", nil, 400, "x"},
		"detail too early":      {"GET", "1.42 /v1/chassis?detail=true", nil, 400, "detail"},
		"detail and fields":     {"GET", "/v1/chassis?detail=true&fields=uuid", nil, 400, "Can not specify ?detail=True and fields"},
		"unknown argument":      {"GET", "/v1/chassis?x=1", nil, 400, "Unexpected arguments: x"},
		"sort by a document":    {"GET", "/v1/chassis?sort_key=extra", nil, 400, "is an invalid field for sorting"},
		"no such marker":        {"GET", "/v1/chassis?marker=" + goneID, nil, 404, "could not be found"},
		"limit 0":               {"GET", "/v1/chassis?limit=0", nil, 400, "Limit must be positive"},
		"nodes of no chassis":   {"GET", "/v1/chassis/" + goneID + "/nodes", nil, 404, "Chassis " + goneID + " could not be found."},
		"filter by no chassis":  {"GET", "/v1/nodes?chassis_uuid=" + goneID, nil, 404, "Chassis " + goneID + " could not be found."},
		"nodes of a name":       {"GET", "/v1/chassis/x/nodes", nil, 400, "Expected UUID"},
		"a node below":          {"GET", path + "/nodes/" + node, nil, 403, "Operation not permitted."},
		"make a node below":     {"POST", path + "/nodes", m{"driver": "ipmi"}, 403, "Operation not permitted."},
		"patch a node below":    {"PATCH", path + "/nodes/" + node, []m{}, 403, "Operation not permitted."},
		"delete a node below":   {"DELETE", path + "/nodes/" + node, nil, 403, "Operation not permitted."},
		"node in no chassis":    {"POST", "/v1/nodes", m{"driver": "ipmi", "chassis_uuid": goneID}, 400, "Chassis " + goneID + " could not be found."},
		"node in a bad chassis": {"POST", "/v1/nodes", m{"driver": "ipmi", "chassis_uuid": "x"}, 400, "Expected UUID for chassis_uuid: x"},
		"node to no chassis":    {"PATCH", "/v1/nodes/in", set("/chassis_uuid", goneID), 400, "could not be found"},
		"node out at 1.24":      {"PATCH", "1.24 /v1/nodes/in", unset("/chassis_uuid"), 406, "Request not acceptable."},
		"chassis, PUT":          {"PUT", path, m{}, 405, ""},
		"malformed JSON":        {"POST", "/v1/chassis", "{", 400, "Malformed JSON"},
	}.check(t, f)
	f.must(200, "PATCH", "1.25 /v1/nodes/in", unset("/chassis_uuid"))
	f.must(204, "DELETE", path, nil)
	f.must(404, "GET", path, nil)
}

func TestPortgroups(t *testing.T) {
	f := newFixture(t, func(c *api.Config, _ *api.Deps) { c.DefaultPortgroupMode = "802.3ad" })
	node := f.node(m{"name": "one", "shard": "s1"})
	other := f.node(m{"name": "two", "conductor_group": "rack"})
	owned := f.node(m{"name": "owned", "owner": "alice"})
	r := f.must(201, "POST", "/v1/portgroups", m{"uuid": portgroupID, "node_uuid": node, "address": "52:54:00:AA:BB:01", "name": "bond0",
		"properties": m{"miimon": 100}, "extra": m{"a": 1}, "standalone_ports_supported": "no", "physical_network": "p1", "category": "c"})
	if where := r.header.Get("Location"); where != f.server.URL+"/v1/portgroups/"+portgroupID || r.header.Get("Etag") != `"1"` {
		t.Errorf("Location %q, Etag %q", where, r.header.Get("Etag"))
	}
	for k, want := range (m{"address": "52:54:00:aa:bb:01", "mode": "802.3ad", "standalone_ports_supported": false, "physical_network": "p1",
		"category": "c", "dynamic_portgroup": false, "updated_at": nil, "node_uuid": node}) {
		if got := r.object(t)[k]; got != want {
			t.Errorf("created: %s is %v, want %v", k, got, want)
		}
	}
	second := f.must(201, "POST", "/v1/portgroups", m{"node_uuid": other, "name": "bond1", "mode": "1", "address": nil, "uuid": nil,
		"standalone_ports_supported": nil}).object(t)
	if second["standalone_ports_supported"] != true || second["mode"] != "1" || second["address"] != nil {
		t.Errorf("created: %v", second)
	}
	path := "/v1/portgroups/bond0"
	for name, c := range map[string]struct {
		patch []m
		want  m
	}{
		"words for bools":   {set("/standalone_ports_supported", "yes"), m{"standalone_ports_supported": true}},
		"no bool":           {unset("/standalone_ports_supported"), m{"standalone_ports_supported": true}},
		"mode":              {set("/mode", "balance-rr"), m{"mode": "balance-rr"}},
		"mode null":         {set("/mode", nil), m{"mode": nil}},
		"address away":      {unset("/address"), m{"address": nil}},
		"address":           {set("/address", "52:54:00:AA:BB:02"), m{"address": "52:54:00:aa:bb:02"}},
		"into properties":   {[]m{{"op": "add", "path": "/properties/xmit", "value": "l"}}, m{"properties": m{"miimon": 100.0, "xmit": "l"}}},
		"physical network":  {set("/physical_network", "p2"), m{"physical_network": "p2"}},
		"category away":     {unset("/category"), m{"category": nil}},
		"to another node":   {set("/node_uuid", other), m{"node_uuid": other}},
		"nothing to change": {[]m{}, m{"name": "bond0"}},
	} {
		t.Run(name, func(t *testing.T) {
			f := f.with(t)
			got := f.must(200, "PATCH", path, c.patch).object(t)
			for k, want := range c.want {
				if d := cmp.Diff(want, got[k]); d != "" {
					t.Errorf("%s (-want +got):\n%s", k, d)
				}
			}
			f.must(200, "PATCH", path, append(set("/node_uuid", node), set("/properties", m{"miimon": 100})...))
		})
	}
	f.must(200, "PATCH", path, []m{{"op": "replace", "path": "/address", "value": "52:54:00:aa:bb:02"}, {"op": "replace", "path": "/physical_network", "value": "p2"}})
	f.must(412, "PATCH", path, []m{}, "If-Match", `"1"`)
	f.must(412, "DELETE", path, nil, "If-Match", `"1"`)
	f.must(201, "POST", "/v1/ports", m{"node_uuid": node, "address": "52:54:00:00:00:01", "portgroup_uuid": portgroupID, "name": "p1", "physical_network": "p2"})

	for path, want := range map[string]string{
		"/v1/portgroups?": "bond0 bond1", "/v1/portgroups/detail?": "bond0 bond1", "/v1/portgroups?detail=1&limit=1&sort_key=name": "bond0",
		"/v1/portgroups?node=one": "bond0", "/v1/portgroups?node=" + other: "bond1", "/v1/nodes/one/portgroups?": "bond0",
		"/v1/nodes/two/portgroups/detail?": "bond1", "/v1/portgroups?address=52:54:00:AA:BB:02": "bond0", "/v1/portgroups?address=52:54:00:00:00:09": "",
		"/v1/portgroups?shard=s1,s9": "bond0", "/v1/portgroups?conductor_groups=rack": "bond1", "/v1/portgroups?sort_key=name&sort_dir=desc": "bond1 bond0",
		"/v1/portgroups?fields=name,ports": "bond0 bond1",
	} {
		got := names(t, f.must(200, "GET", path, nil), "portgroups")
		if !strings.Contains(path, "sort_key") {
			slices.Sort(got)
		}
		if got := strings.Join(got, " "); got != want {
			t.Errorf("%s: %s, want %s", path, got, want)
		}
	}
	for path, want := range map[string]string{
		"/v1/portgroups/bond0/ports": "p1", "/v1/portgroups/bond1/ports": "", "/v1/portgroups/" + portgroupID + "/ports/detail": "p1",
		"/v1/ports?portgroup=bond0": "p1", "/v1/ports?portgroup=" + portgroupID: "p1", "/v1/portgroups/bond0/ports?address=52:54:00:00:00:09": "",
	} {
		if !strings.Contains(path, "detail") {
			path += map[bool]string{true: "&", false: "?"}[strings.Contains(path, "?")] + "fields=name"
		}
		if got := strings.Join(names(t, f.must(200, "GET", path, nil), "ports"), " "); got != want {
			t.Errorf("%s: %s, want %s", path, got, want)
		}
	}
	for _, list := range []string{"/v1/nodes/one/portgroups", "/v1/portgroups/bond0/ports", "/v1/portgroups/detail"} {
		next := fmt.Sprint(f.must(200, "GET", list+"?limit=1", nil).object(t)["next"])
		if !strings.HasPrefix(next, f.server.URL+list+"?") {
			t.Errorf("next of %s: %s", list, next)
		}
	}
	fresh := func(k string, v any) m { return m{"node_uuid": node, k: v} }
	refused{
		"no node":                 {"POST", "/v1/portgroups", m{}, 400, "Schema error for portgroup: 'node_uuid' is a required property"},
		"a node that is not":      {"POST", "/v1/portgroups", m{"node_uuid": goneID}, 400, "Node " + goneID + " could not be found."},
		"a node's name":           {"POST", "/v1/portgroups", m{"node_uuid": "one"}, 400, "Expected UUID for node_uuid: one"},
		"unknown field":           {"POST", "/v1/portgroups", fresh("x", 1), 400, "('x' was unexpected)"},
		"read-only field":         {"POST", "/v1/portgroups", fresh("dynamic_portgroup", true), 400, "('dynamic_portgroup' was unexpected)"},
		"internal info":           {"POST", "/v1/portgroups", fresh("internal_info", m{}), 400, "('internal_info' was unexpected)"},
		"bad MAC":                 {"POST", "/v1/portgroups", fresh("address", "x"), 400, "Expected valid MAC address for address: x"},
		"wrong address":           {"POST", "/v1/portgroups", fresh("address", 1), 400, "1 is not of type 'string', 'null'"},
		"bad name":                {"POST", "/v1/portgroups", fresh("name", "a b"), 400, "Cannot create portgroup with invalid name 'a b'"},
		"long name":               {"POST", "/v1/portgroups", fresh("name", strings.Repeat("x", 256)), 400, "invalid name"},
		"wrong name":              {"POST", "/v1/portgroups", fresh("name", 1), 400, "is not of type 'string', 'null'"},
		"wrong mode":              {"POST", "/v1/portgroups", fresh("mode", 4), 400, "4 is not of type 'string', 'null'"},
		"wrong properties":        {"POST", "/v1/portgroups", fresh("properties", "x"), 400, "is not of type 'object', 'null'"},
		"wrong extra":             {"POST", "/v1/portgroups", fresh("extra", []any{}), 400, "is not of type 'object', 'null'"},
		"bad bool":                {"POST", "/v1/portgroups", fresh("standalone_ports_supported", "x"), 400, "Invalid standalone_ports_supported: Unrecognized value 'x'"},
		"wrong bool":              {"POST", "/v1/portgroups", fresh("standalone_ports_supported", m{}), 400, "is not of type"},
		"long network":            {"POST", "/v1/portgroups", fresh("physical_network", strings.Repeat("x", 65)), 400, "is too long"},
		"long category":           {"POST", "/v1/portgroups", fresh("category", strings.Repeat("x", 81)), 400, "is too long"},
		"bad UUID":                {"POST", "/v1/portgroups", fresh("uuid", "x"), 400, "Expected UUID for uuid: x"},
		"mode at 1.25":            {"POST", "1.25 /v1/portgroups", fresh("mode", "1"), 406, "Request not acceptable."},
		"properties at 1.25":      {"POST", "1.25 /v1/portgroups", fresh("properties", m{"a": 1}), 406, "Request not acceptable."},
		"network at 1.101":        {"POST", "1.101 /v1/portgroups", fresh("physical_network", "p"), 406, "Request not acceptable."},
		"category at 1.102":       {"POST", "1.102 /v1/portgroups", fresh("category", "p"), 406, "Request not acceptable."},
		"duplicate address":       {"POST", "/v1/portgroups", fresh("address", "52:54:00:AA:BB:02"), 409, "A portgroup with MAC address 52:54:00:aa:bb:02 already exists."},
		"duplicate name":          {"POST", "/v1/portgroups", fresh("name", "bond0"), 409, "A portgroup with name bond0 already exists."},
		"duplicate UUID":          {"POST", "/v1/portgroups", fresh("uuid", portgroupID), 409, "A portgroup with UUID " + portgroupID + " already exists."},
		"show what is not":        {"GET", "/v1/portgroups/bond9", nil, 404, "Portgroup bond9 could not be found."},
		"show by UUID":            {"GET", "/v1/portgroups/" + goneID, nil, 404, "Portgroup " + goneID + " could not be found."},
		"show by a bad name":      {"GET", "/v1/portgroups/a:b", nil, 400, "Expected UUID or name"},
		"patch what is not":       {"PATCH", "/v1/portgroups/bond9", []m{}, 404, "could not be found"},
		"delete what is not":      {"DELETE", "/v1/portgroups/bond9", nil, 404, "could not be found"},
		"patch of the list":       {"PATCH", "/v1/portgroups", []m{}, 400, "Missing mandatory parameter"},
		"delete of the list":      {"DELETE", "/v1/portgroups", nil, 400, "Missing mandatory parameter"},
		"patch read-only":         {"PATCH", path, set("/dynamic_portgroup", true), 400, "Cannot patch /dynamic_portgroup. Only the following can be updated: address, extra, mode, name, node_uuid, properties, standalone_ports_supported, physical_network, category"},
		"patch uuid":              {"PATCH", path, set("/uuid", goneID), 400, "Cannot patch /uuid"},
		"patch mode away":         {"PATCH", path, unset("/mode"), 400, "'mode' is a mandatory attribute and can not be removed"},
		"patch node away":         {"PATCH", path, unset("/node_uuid"), 400, "'node_uuid' is a required property"},
		"patch to no node":        {"PATCH", path, set("/node_uuid", goneID), 400, "Unable to apply the requested node_uuid '" + goneID + "'. Requested value was invalid."},
		"patch to a bad node":     {"PATCH", path, set("/node_uuid", "one"), 400, "Expected UUID for node_uuid: one"},
		"patch to another owner":  {"PATCH", path, set("/node_uuid", owned), 400, "Unable to apply the requested node_uuid"},
		"patch a bad name":        {"PATCH", path, set("/name", "a b"), 400, "Portgroup bond0: Cannot change name to invalid name 'a b'"},
		"patch a bad MAC":         {"PATCH", path, set("/address", "x"), 400, "Expected valid MAC address"},
		"patch mode at 1.25":      {"PATCH", "1.25 " + path, set("/mode", "x"), 406, "Request not acceptable."},
		"patch network at 1.101":  {"PATCH", "1.101 " + path, set("/physical_network", "x"), 406, "Request not acceptable."},
		"patch a duplicate name":  {"PATCH", path, set("/name", "bond1"), 409, "A portgroup with name bond1 already exists."},
		"patch, ports in it":      {"PATCH", path, set("/node_uuid", other), 400, "because there are ports associated with this portgroup"},
		"ports in it":             {"DELETE", path, nil, 400, "Cannot complete the requested action because portgroup " + portgroupID + " contains ports."},
		"two filters":             {"GET", "/v1/portgroups?node=one&address=52:54:00:00:00:01", nil, 400, "Filtering by node, address, or shard simultaneously is not supported."},
		"filters of a node":       {"GET", "/v1/nodes/one/portgroups?shard=s1", nil, 400, "simultaneously is not supported"},
		"shard at 1.105":          {"GET", "1.105 /v1/portgroups?shard=s1", nil, 406, "should be 1.106"},
		"of a node that is not":   {"GET", "/v1/portgroups?node=nobody", nil, 404, "Node nobody could not be found."},
		"below a node that isn't": {"GET", "/v1/nodes/nobody/portgroups", nil, 404, "Node nobody could not be found."},
		"filter by a bad MAC":     {"GET", "/v1/portgroups?address=x", nil, 400, "Expected valid MAC address"},
		"sort by a document":      {"GET", "/v1/portgroups?sort_key=properties", nil, 400, "is an invalid field for sorting"},
		"no such marker":          {"GET", "/v1/portgroups?marker=" + goneID, nil, 404, "Portgroup " + goneID + " could not be found."},
		"unknown argument":        {"GET", "/v1/portgroups?x=1", nil, 400, "Unexpected arguments: x"},
		"fields and detail":       {"GET", "/v1/portgroups?fields=uuid&detail=true", nil, 400, "Can not specify ?detail=True and fields"},
		"detail too early":        {"GET", "1.42 /v1/portgroups?detail=true", nil, 400, "detail"},
		"one below a node":        {"GET", "/v1/nodes/one/portgroups/bond0", nil, 400, "Malformed request URI."},
		"make one below a node":   {"POST", "/v1/nodes/one/portgroups", m{"node_uuid": node}, 400, "Malformed request URI."},
		"patch one below a node":  {"PATCH", "/v1/nodes/one/portgroups/bond0", []m{}, 400, "Malformed request URI."},
		"delete one below a node": {"DELETE", "/v1/nodes/one/portgroups/bond0", nil, 400, "Malformed request URI."},
		"a port below":            {"GET", "/v1/portgroups/bond0/ports/p1", nil, 400, "Malformed request URI."},
		"make a port below":       {"POST", "/v1/portgroups/bond0/ports", m{}, 400, "Malformed request URI."},
		"ports of two":            {"GET", "/v1/portgroups/bond0/ports?node=one", nil, 403, "Operation not permitted."},
		"ports below both":        {"GET", "/v1/nodes/one/portgroups/bond0/ports", nil, 403, "Operation not permitted."},
		"ports of none":           {"GET", "/v1/portgroups/bond9/ports", nil, 404, "Portgroup bond9 could not be found."},
		"ports filtered by none":  {"GET", "/v1/ports?portgroup=bond9", nil, 404, "Portgroup bond9 could not be found."},
		"ports filter at 1.23":    {"GET", "1.23 /v1/ports?portgroup=bond0", nil, 406, "Request not acceptable."},
	}.check(t, f)
	f.change(node, func(n *ferric.Node) { n.ProvisionState = ferric.Inspecting })
	refused{"while inspecting": {"PATCH", path, []m{}, 409, `Cannot update portgroup "` + portgroupID + `" on node "` + node + `" while it is in state "inspecting".`}}.check(t, f)
	f.must(200, "PATCH", "1.38 "+path, []m{})
	f.must(204, "DELETE", "/v1/portgroups/bond1", nil)
	f.must(404, "GET", "/v1/portgroups/bond1", nil)
	// A name may end in .json, before and after 1.91.
	f.must(201, "POST", "/v1/portgroups", fresh("name", "a.json"))
	for _, version := range []string{"1.90", "1.91"} {
		if got := f.must(200, "GET", version+" /v1/portgroups/a.json", nil).object(t)["name"]; got != "a.json" {
			t.Errorf("at %s: %v", version, got)
		}
	}
}

func TestPortsInPortgroups(t *testing.T) {
	f := newFixture(t)
	node, other := f.node(m{"name": "one"}), f.node(m{"name": "two"})
	group := func(node, name string, standalone bool, network any) string {
		return f.must(201, "POST", "/v1/portgroups", m{"node_uuid": node, "name": name, "standalone_ports_supported": standalone,
			"physical_network": network}).object(t)["uuid"].(string)
	}
	plain, strict, theirs, wired := group(node, "plain", true, nil), group(node, "strict", false, nil), group(other, "theirs", true, nil), group(node, "wired", true, "p1")
	address := 0
	port := func(fields m) m {
		address++
		body := m{"node_uuid": node, "address": fmt.Sprintf("52:54:00:00:00:%02x", address)}
		for k, v := range fields {
			body[k] = v
		}
		return body
	}
	for name, c := range map[string]struct {
		version string
		body    m
		status  int
		text    string
	}{
		"member":                      {"", port(m{"portgroup_uuid": plain}), 201, ""},
		"in upper case":               {"", port(m{"portgroup_uuid": strings.ToUpper(plain)}), 201, ""},
		"strict, by default":          {"", port(m{"portgroup_uuid": strict}), 201, ""},
		"strict, without pxe":         {"", port(m{"portgroup_uuid": strict, "pxe_enabled": false}), 201, ""},
		"strict, with pxe":            {"", port(m{"portgroup_uuid": strict, "pxe_enabled": "yes"}), 409, "Port group " + strict + " doesn't support standalone ports. This port cannot be created as a member of that portgroup"},
		"of another node":             {"", port(m{"portgroup_uuid": theirs}), 400, "Port can not be added to a portgroup belonging to a different node."},
		"of another node, with pxe":   {"", port(m{"portgroup_uuid": theirs, "pxe_enabled": true}), 400, "belonging to a different node"},
		"of none":                     {"", port(m{"portgroup_uuid": goneID}), 400, "Portgroup " + goneID + " could not be found."},
		"of none, with pxe":           {"", port(m{"portgroup_uuid": goneID, "pxe_enabled": true}), 400, "Portgroup " + goneID + " could not be found."},
		"by name":                     {"", port(m{"portgroup_uuid": "plain"}), 400, "Expected UUID for portgroup_uuid: plain"},
		"at 1.23":                     {"1.23 ", port(m{"portgroup_uuid": plain}), 406, "Request not acceptable."},
		"on the group's network":      {"", port(m{"portgroup_uuid": wired, "physical_network": "p1"}), 201, ""},
		"on another network":          {"", port(m{"portgroup_uuid": wired, "physical_network": "p2"}), 409, "Port with physical network p2 cannot become a member of port group " + wired + " which has ports in physical network p1."},
		"on no network":               {"", port(m{"portgroup_uuid": wired}), 409, "Port with physical network None cannot become a member"},
		"network of a networkless":    {"", port(m{"portgroup_uuid": theirs, "node_uuid": other, "physical_network": "p3"}), 201, ""},
		"available":                   {"1.111 ", port(m{"available_for_dynamic_portgroup": false}), 201, ""},
		"available at 1.110":          {"1.110 ", port(m{"available_for_dynamic_portgroup": false}), 406, "Request not acceptable."},
		"available, in words":         {"", port(m{"available_for_dynamic_portgroup": "no"}), 400, "'no' is not of type 'boolean'"},
		"available, null":             {"", port(m{"available_for_dynamic_portgroup": nil}), 400, "None is not of type 'boolean'"},
		"by the node's name":          {"1.94 ", m{"node_ident": "one", "address": "52:54:00:00:01:01"}, 201, ""},
		"by the node's name at 1.93":  {"1.93 ", m{"node_ident": "one", "address": "52:54:00:00:01:02"}, 406, "Request not acceptable."},
		"by no node's name":           {"", m{"node_ident": "nobody", "address": "52:54:00:00:01:02"}, 400, "Node nobody could not be found."},
		"by both":                     {"", port(m{"node_ident": "one"}), 400, "node_uuid or node_ident"},
		"VTEP":                        {"1.104 ", port(m{"local_link_connection": m{"port_id": "1", "vtep-logical-switch": "a", "vtep-physical-switch": "b"}}), 201, ""},
		"half a VTEP":                 {"", port(m{"local_link_connection": m{"port_id": "1", "switch_id": "00:00:00:00:00:01", "vtep-logical-switch": "a"}}), 400, "not valid under any of the given schemas"},
		"VTEP at 1.89":                {"1.89 ", port(m{"local_link_connection": m{"port_id": "1", "vtep-logical-switch": "a", "vtep-physical-switch": "b"}}), 406, "Request not acceptable."},
		"VTEP at 1.105":               {"1.105 ", port(m{"local_link_connection": m{"port_id": "1", "vtep-logical-switch": "a", "vtep-physical-switch": "b"}}), 406, "Request not acceptable."},
		"unmanaged":                   {"1.64 ", port(m{"local_link_connection": m{"network_type": "unmanaged"}}), 201, ""},
		"managed only":                {"", port(m{"local_link_connection": m{"network_type": "managed"}}), 400, "not valid under any of the given schemas"},
		"network type at 1.63":        {"1.63 ", port(m{"local_link_connection": m{"network_type": "unmanaged"}}), 406, "Request not acceptable."},
		"a network type that is none": {"", port(m{"local_link_connection": m{"network_type": "x"}}), 400, "is not one of ['managed', 'unmanaged']"},
		"an empty link":               {"", port(m{"local_link_connection": m{}}), 201, ""},
		"a link's unknown key":        {"", port(m{"local_link_connection": m{"x": "y"}}), 400, "('x' was unexpected)"},
		"a link's wrong type":         {"", port(m{"local_link_connection": m{"port_id": 1, "switch_id": "x"}}), 400, "1 is not of type 'string'"},
		"datapath":                    {"", port(m{"local_link_connection": m{"port_id": "1", "switch_id": "00ABCDEF00000001"}}), 201, ""},
		"long vendor":                 {"", port(m{"vendor": strings.Repeat("x", 33)}), 400, "is too long"},
		"long category":               {"", port(m{"category": strings.Repeat("x", 81)}), 400, "is too long"},
		"long description":            {"", port(m{"description": strings.Repeat("x", 256)}), 400, "is too long"},
		"long network":                {"", port(m{"physical_network": strings.Repeat("x", 65)}), 400, "is too long"},
		"bad name":                    {"", port(m{"name": "a b"}), 400, "Expected a logical name"},
	} {
		t.Run(name, func(t *testing.T) {
			r := f.with(t).must(c.status, "POST", c.version+"/v1/ports", c.body)
			if c.status >= 400 && !strings.Contains(r.text(t), c.text) {
				t.Errorf("text %q, want %q in it", r.text(t), c.text)
			}
		})
	}
	// A VTEP is an empty link to versions that do not know it; null takes the place of nothing.
	id := f.must(201, "POST", "1.104 /v1/ports", port(m{"name": "vtep", "portgroup_uuid": nil, "pxe_enabled": nil,
		"local_link_connection": m{"port_id": "1", "vtep-logical-switch": "a", "vtep-physical-switch": "b"}})).object(t)["uuid"].(string)
	for version, want := range map[string]int{"1.89": 0, "1.90": 3, "1.104": 3, "1.105": 0, "1.115": 0} {
		got := f.must(200, "GET", version+" /v1/ports/"+id, nil).object(t)
		if len(got["local_link_connection"].(m)) != want || got["pxe_enabled"] != true {
			t.Errorf("at %s: %v", version, got)
		}
	}

	f.must(201, "POST", "/v1/ports", port(m{"name": "member", "portgroup_uuid": wired, "physical_network": "p1"}))
	refused{
		"network of a member":    {"PATCH", "/v1/ports/member", set("/physical_network", "p2"), 400, "physical_network cannot be changed while the port belongs to a portgroup."},
		"the same network":       {"PATCH", "/v1/ports/member", set("/physical_network", "p1"), 400, "physical_network cannot be changed"},
		"to another's group":     {"PATCH", "/v1/ports/member", set("/portgroup_uuid", theirs), 400, "belonging to a different node"},
		"to no group":            {"PATCH", "/v1/ports/member", set("/portgroup_uuid", goneID), 400, "Portgroup " + goneID + " could not be found."},
		"to a name":              {"PATCH", "/v1/ports/member", set("/portgroup_uuid", "plain"), 400, "Expected UUID for portgroup_uuid: plain"},
		"group at 1.23":          {"PATCH", "1.23 /v1/ports/" + id, set("/portgroup_uuid", plain), 406, "Request not acceptable."},
		"available, null":        {"PATCH", "/v1/ports/member", set("/available_for_dynamic_portgroup", nil), 400, "is not of type 'boolean'"},
		"a node_ident":           {"PATCH", "/v1/ports/member", set("/node_ident", "one"), 400, "node_ident"},
		"port below a node":      {"GET", "/v1/nodes/one/ports/member", nil, 400, "Malformed request URI."},
		"make it below a node":   {"POST", "/v1/nodes/one/ports", m{}, 400, "Malformed request URI."},
		"patch it below a node":  {"PATCH", "/v1/nodes/one/ports/member", []m{}, 400, "Malformed request URI."},
		"delete it below a node": {"DELETE", "/v1/nodes/one/ports/member", nil, 400, "Malformed request URI."},
	}.check(t, f)
	if got := f.must(200, "PATCH", "/v1/ports/member", []m{{"op": "remove", "path": "/portgroup_uuid"}, {"op": "replace", "path": "/physical_network", "value": "p2"}}).
		object(t); got["portgroup_uuid"] != nil || got["physical_network"] != "p2" {
		t.Errorf("out of the group: %v", got)
	}
	f.must(200, "PATCH", "/v1/ports/member", unset("/physical_network"))
	f.must(200, "PATCH", "/v1/ports/member", []m{{"op": "add", "path": "/portgroup_uuid", "value": plain}, {"op": "add", "path": "/available_for_dynamic_portgroup", "value": false}})
	got := f.must(200, "GET", "/v1/ports?sort_key=available_for_dynamic_portgroup&fields=available_for_dynamic_portgroup,name&limit=2", nil).object(t)["ports"].([]any)
	if !slices.ContainsFunc(got, func(p any) bool {
		return p.(m)["name"] == "member" && p.(m)["available_for_dynamic_portgroup"] == false
	}) {
		t.Errorf("sorted by availability: %v", got)
	}
}

// TestRefusalsOfConductors: what a conductor says of a change reaches the client as it is.
func TestRefusalsOfConductors(t *testing.T) {
	f := newFixture(t)
	node := f.node(nil)
	port := f.must(201, "POST", "/v1/ports", m{"node_uuid": node, "address": "52:54:00:00:00:01"}).object(t)["uuid"].(string)
	f.must(201, "POST", "/v1/portgroups", m{"node_uuid": node, "name": "bond0"})
	connector := f.must(201, "POST", "/v1/volume/connectors", m{"node_uuid": node, "type": "ip", "connector_id": "1"}).object(t)["uuid"].(string)
	target := f.must(201, "POST", "/v1/volume/targets", m{"node_uuid": node, "volume_type": "i", "volume_id": "1", "boot_index": 0}).object(t)["uuid"].(string)
	for path, calls := range map[string][2]rpc.Method{
		"/v1/ports/" + port: {rpc.UpdatePort, rpc.DestroyPort}, "/v1/portgroups/bond0": {rpc.UpdatePortgroup, rpc.DestroyPortgroup},
		"/v1/volume/connectors/" + connector: {rpc.UpdateVolumeConnector, rpc.DestroyVolumeConnector},
		"/v1/volume/targets/" + target:       {rpc.UpdateVolumeTarget, rpc.DestroyVolumeTarget},
	} {
		t.Run(path, func(t *testing.T) {
			f := f.with(t)
			for i, request := range []struct {
				method string
				body   any
			}{{"PATCH", []m{{"op": "add", "path": "/extra/x", "value": 1}}}, {"DELETE", nil}} {
				f.conductor.on(calls[i], func(any) (any, error) {
					return nil, ferric.Errorf(ferric.CodeLocked, "Node %s is locked by host h, please retry after the current operation is completed.", node)
				})
				r := f.must(409, request.method, path, request.body)
				if !strings.Contains(r.text(t), "is locked by host h") || r.header.Get("Retry-After") == "" {
					t.Errorf("%s: %s", request.method, r.body)
				}
			}
			f.must(200, "GET", path, nil)
		})
	}
}

// TestPartRace: a change that meets another one is made again on what the other one left.
func TestPartRace(t *testing.T) {
	f := newFixture(t)
	id := f.must(201, "POST", "/v1/portgroups", m{"node_uuid": f.node(nil)}).object(t)["uuid"].(string)
	races := 1
	f.conductor.on(rpc.UpdatePortgroup, func(req any) (any, error) {
		next := req.(rpc.PortgroupArgs).Portgroup
		for ; races > 0; races-- {
			if _, err := f.store.UpdatePortgroup(t.Context(), id, 0, func(g *ferric.Portgroup) error { g.Category = "theirs"; return nil }); err != nil {
				return nil, err
			}
		}
		return f.store.UpdatePortgroup(t.Context(), id, next.Version, func(g *ferric.Portgroup) error { *g = *next; return nil })
	})
	got := f.must(200, "PATCH", "/v1/portgroups/"+id, set("/name", "mine")).object(t)
	if got["name"] != "mine" || got["category"] != "theirs" {
		t.Errorf("after the race: %v", got)
	}
}

func TestVolumes(t *testing.T) {
	f := newFixture(t)
	node, other, owned := f.node(m{"name": "one"}), f.node(m{"name": "two"}), f.node(m{"owner": "alice"})
	connectors, targets := "/v1/volume/connectors", "/v1/volume/targets"
	connector := func(change m) m {
		body := m{"node_uuid": node, "type": "iqn", "connector_id": "iqn.new"}
		for k, v := range change {
			body[k] = v
			if v == "-" {
				delete(body, k)
			}
		}
		return body
	}
	target := func(change m) m {
		body := m{"node_uuid": node, "volume_type": "iscsi", "volume_id": "new", "boot_index": 9}
		for k, v := range change {
			body[k] = v
			if v == "-" {
				delete(body, k)
			}
		}
		return body
	}
	for path, body := range map[string]m{connectors: connector(m{"uuid": connectorID, "connector_id": "iqn.1", "extra": m{"a": "b"}}),
		targets: target(m{"uuid": targetID, "boot_index": 0, "properties": m{"auth_password": "secret", "target_iqn": "x"}})} {
		r := f.must(201, "POST", path, body)
		if where := r.header.Get("Location"); where != f.server.URL+path+"/"+body["uuid"].(string) || r.header.Get("Etag") != `"1"` {
			t.Errorf("Location %q, Etag %q", where, r.header.Get("Etag"))
		}
		if strings.Contains(string(r.body), "secret") {
			t.Errorf("a secret is shown: %s", r.body)
		}
	}
	f.must(201, "POST", connectors, connector(m{"node_uuid": other, "type": "ip", "uuid": otherID, "extra": nil}))
	f.must(201, "POST", targets, target(m{"node_uuid": other, "uuid": otherID, "boot_index": 0, "properties": nil}))

	for path, want := range map[string]string{
		connectors: "2 4+1", connectors + "?detail=true": "2 8", connectors + "?node=one": "1 4+1", "1.32 /v1/nodes/two/volume/connectors?detail=yes": "1 8",
		connectors + "?fields=type,extra": "2 2+1", connectors + "?detail=false&fields=uuid": "2 1+1", connectors + "?node=" + owned: "0",
		targets: "2 5+1", targets + "?detail=true": "2 10", targets + "?node=two": "1 5+1", "/v1/nodes/" + node + "/volume/targets?sort_key=boot_index": "1 5+1",
		targets + "?sort_key=volume_id&sort_dir=desc&limit=1": "1 5+1 next",
	} {
		got := f.must(200, "GET", path, nil).object(t)
		list, _ := got["connectors"].([]any)
		if strings.Contains(path, "target") {
			list, _ = got["targets"].([]any)
		}
		have := fmt.Sprint(len(list))
		if len(list) > 0 {
			have += fmt.Sprint(" ", len(list[0].(m)))
			if strings.Contains(want, "+1") { // and the links
				have = fmt.Sprint(len(list), " ", len(list[0].(m))-1, "+1")
			}
		}
		if got["next"] != nil {
			have += " next"
		}
		if have != want {
			t.Errorf("%s: %s, want %s: %v", path, have, want, got)
		}
	}

	one, two := connectors+"/"+connectorID, targets+"/"+targetID
	got := f.must(200, "PATCH", one, []m{{"op": "replace", "path": "/connector_id", "value": "iqn.2"}, {"op": "add", "path": "/extra/c", "value": 1},
		{"op": "replace", "path": "/node_uuid", "value": other}}).object(t)
	if got["connector_id"] != "iqn.2" || got["node_uuid"] != other || got["updated_at"] == nil {
		t.Errorf("updated: %v", got)
	}
	got = f.must(200, "PATCH", two, []m{{"op": "replace", "path": "/volume_id", "value": "v2"}, {"op": "replace", "path": "/boot_index", "value": 3},
		{"op": "replace", "path": "/properties/target_iqn", "value": "y"}, {"op": "replace", "path": "/properties/auth_password", "value": "******"}}).object(t)
	if d := cmp.Diff(m{"auth_password": "******", "target_iqn": "y"}, got["properties"]); d != "" || got["boot_index"] != 3.0 {
		t.Errorf("updated: %v", got)
	}
	if v, err := f.store.VolumeTarget(t.Context(), targetID); err != nil || v.Properties["auth_password"] != "secret" {
		t.Errorf("a secret that came back masked was lost: %v, %v", v, err)
	}
	f.must(412, "DELETE", one, nil, "If-Match", `"1"`)
	refused{
		"no connector_id":          {"POST", connectors, connector(m{"connector_id": "-"}), 400, "Schema error for connector: 'connector_id' is a required property"},
		"no type":                  {"POST", connectors, connector(m{"type": "-"}), 400, "'type' is a required property"},
		"no node":                  {"POST", connectors, connector(m{"node_uuid": "-"}), 400, "'node_uuid' is a required property"},
		"wrong connector_id":       {"POST", connectors, connector(m{"connector_id": 1}), 400, "1 is not of type 'string'"},
		"long connector_id":        {"POST", connectors, connector(m{"connector_id": strings.Repeat("x", 256)}), 400, "is too long"},
		"long type":                {"POST", connectors, connector(m{"type": strings.Repeat("x", 33)}), 400, "is too long"},
		"connector of no node":     {"POST", connectors, connector(m{"node_uuid": goneID}), 400, "Invalid input for field/attribute node_uuid. Value: '" + goneID + "'."},
		"connector of a name":      {"POST", connectors, connector(m{"node_uuid": "one"}), 400, "Expected UUID for node_uuid: one"},
		"unknown field":            {"POST", connectors, connector(m{"x": 1}), 400, "('x' was unexpected)"},
		"bad UUID":                 {"POST", connectors, connector(m{"uuid": "x"}), 400, "Expected UUID for uuid: x"},
		"wrong extra":              {"POST", connectors, connector(m{"extra": "x"}), 400, "is not of type 'object', 'null'"},
		"duplicate UUID":           {"POST", connectors, connector(m{"uuid": connectorID}), 409, "A volume connector with UUID " + connectorID + " already exists."},
		"duplicate connector":      {"POST", connectors, connector(m{"connector_id": "iqn.2", "node_uuid": node}), 409, "A volume connector with type iqn and connector ID iqn.2 already exists."},
		"no boot_index":            {"POST", targets, target(m{"boot_index": "-"}), 400, "Schema error for target: 'boot_index' is a required property"},
		"boot_index null":          {"POST", targets, target(m{"boot_index": nil}), 400, "boot_index"},
		"boot_index in words":      {"POST", targets, target(m{"boot_index": "1"}), 400, "'1' is not of type 'integer'"},
		"half a boot_index":        {"POST", targets, target(m{"boot_index": 0.5}), 400, "0.5 is not of type 'integer'"},
		"boot_index true":          {"POST", targets, target(m{"boot_index": true}), 400, "True is not of type 'integer'"},
		"big boot_index":           {"POST", targets, target(m{"boot_index": 1 << 40}), 400, "is out of range for boot_index"},
		"no volume_id":             {"POST", targets, target(m{"volume_id": "-"}), 400, "'volume_id' is a required property"},
		"no volume_type":           {"POST", targets, target(m{"volume_type": "-"}), 400, "'volume_type' is a required property"},
		"long volume_type":         {"POST", targets, target(m{"volume_type": strings.Repeat("x", 65)}), 400, "is too long"},
		"long volume_id":           {"POST", targets, target(m{"volume_id": strings.Repeat("x", 256)}), 400, "is too long"},
		"wrong properties":         {"POST", targets, target(m{"properties": []any{}}), 400, "is not of type 'object', 'null'"},
		"target of no node":        {"POST", targets, target(m{"node_uuid": goneID}), 400, "Invalid input for field/attribute node_uuid."},
		"duplicate target UUID":    {"POST", targets, target(m{"uuid": targetID}), 409, "A volume target with UUID " + targetID + " already exists."},
		"duplicate boot_index":     {"POST", targets, target(m{"boot_index": 3}), 409, "A volume target with boot index '3' for the same node already exists."},
		"show by name":             {"GET", connectors + "/x", nil, 400, "Expected UUID for connector_uuid: x"},
		"there is no /detail":      {"GET", targets + "/detail", nil, 400, "Expected UUID for target_uuid: detail"},
		"no connector":             {"GET", connectors + "/" + goneID, nil, 404, "Volume connector " + goneID + " could not be found."},
		"no target":                {"GET", targets + "/" + goneID, nil, 404, "Volume target " + goneID + " could not be found."},
		"patch no connector":       {"PATCH", connectors + "/" + goneID, []m{}, 404, "could not be found"},
		"delete no target":         {"DELETE", targets + "/" + goneID, nil, 404, "could not be found"},
		"patch of connectors":      {"PATCH", connectors, []m{}, 400, "Missing mandatory parameter: connector_uuid"},
		"delete of targets":        {"DELETE", targets, nil, 400, "Missing mandatory parameter: target_uuid"},
		"patch read-only":          {"PATCH", one, set("/uuid", goneID), 400, "Cannot patch /uuid. Only the following can be updated: connector_id, extra, node_uuid, type"},
		"patch target's read-only": {"PATCH", two, set("/links", 1), 400, "Only the following can be updated: boot_index, extra, node_uuid, properties, volume_id, volume_type"},
		"patch type away":          {"PATCH", one, unset("/type"), 400, "'type' is a required property"},
		"patch type null":          {"PATCH", one, set("/type", nil), 400, "'type' is a required property"},
		"patch boot_index away":    {"PATCH", two, unset("/boot_index"), 400, "'boot_index' is a required property"},
		"patch to no node":         {"PATCH", one, set("/node_uuid", goneID), 400, "Unable to apply the requested node_uuid '" + goneID + "'."},
		"patch to another owner":   {"PATCH", two, set("/node_uuid", owned), 400, "Unable to apply the requested node_uuid"},
		"patch to a bad node":      {"PATCH", two, set("/node_uuid", "one"), 400, "Expected UUID for node_uuid"},
		"patch to a duplicate":     {"PATCH", connectors + "/" + otherID, []m{{"op": "replace", "path": "/type", "value": "iqn"}, {"op": "replace", "path": "/connector_id", "value": "iqn.2"}}, 409, "already exists"},
		"patch boot_index taken":   {"PATCH", two, append(set("/node_uuid", other), set("/boot_index", 0)...), 409, "boot index '0'"},
		"fields and detail":        {"GET", connectors + "?fields=uuid&detail=true", nil, 400, "Can't fetch a subset of fields with 'detail' set"},
		"unknown field shown":      {"GET", targets + "?fields=x", nil, 400, "x"},
		"sort by a document":       {"GET", targets + "?sort_key=properties", nil, 400, "is an invalid field for sorting"},
		"no such marker":           {"GET", targets + "?marker=" + goneID, nil, 404, "Volume target " + goneID + " could not be found."},
		"of a node that is not":    {"GET", targets + "?node=nobody", nil, 404, "Node nobody could not be found."},
		"below a node that is not": {"GET", "/v1/nodes/nobody/volume/connectors", nil, 404, "Node nobody could not be found."},
		"volume of no node":        {"GET", "/v1/nodes/nobody/volume", nil, 404, "Node nobody could not be found."},
		"unknown argument":         {"GET", connectors + "?x=1", nil, 400, "Unexpected arguments: x"},
		"connector below a node":   {"GET", "/v1/nodes/one/volume/connectors/" + connectorID, nil, 400, "Malformed request URI."},
		"make one below a node":    {"POST", "/v1/nodes/one/volume/targets", m{}, 400, "Malformed request URI."},
		"delete one below a node":  {"DELETE", "/v1/nodes/one/volume/targets/" + targetID, nil, 400, "Malformed request URI."},
		"volume, POST":             {"POST", "/v1/volume", m{}, 405, ""},
	}.check(t, f)
	f.must(204, "DELETE", one, nil)
	f.must(204, "DELETE", two, nil)
	f.must(404, "GET", one, nil)
}

func TestShards(t *testing.T) {
	f := newFixture(t)
	if r := f.must(200, "GET", "/v1/shards", nil); string(r.body) != `{"shards":[]}` {
		t.Errorf("no shards: %s", r.body)
	}
	for _, shard := range []any{"b", "a", "b", nil} {
		f.node(m{"shard": shard})
	}
	if r := f.must(200, "GET", "/v1/shards", nil); string(r.body) != `{"shards":[{"name":"b","count":2},{"name":"a","count":1},{"name":"None","count":1}]}` &&
		string(r.body) != `{"shards":[{"name":"b","count":2},{"name":"None","count":1},{"name":"a","count":1}]}` {
		t.Errorf("shards: %s", r.body)
	}
	f.must(404, "GET", "/v1/shards/b", nil)
	f.must(405, "POST", "/v1/shards", m{})
	f.must(400, "GET", "/v1/shards?x=1", nil)
}
