package api_test

import (
	"net/http"
	"strings"
	"testing"

	"ferric"
)

// TestErrors holds the rules of Ironic's API that clients lean on: the status and the text of each refusal.
func TestErrors(t *testing.T) {
	f := newFixture(t)
	one := f.node(m{"name": "one"})
	f.node(m{"name": "two", "instance_uuid": "1be26c0b-03f2-4d2e-ae87-c02d7f33c123"})
	f.must(201, "POST", "/v1/ports", m{"node_uuid": one, "address": "52:54:00:00:00:01", "name": "p1"})
	busy := f.node(m{"name": "busy"})
	f.change(busy, func(n *ferric.Node) { n.ProvisionState, n.TargetProvisionState = ferric.Deploying, ferric.Active })
	cleaning := f.node(m{"name": "cleaning"})
	f.change(cleaning, func(n *ferric.Node) { n.ProvisionState, n.TargetProvisionState = ferric.CleanWait, ferric.Available })
	f.node(m{"name": "kept", "disable_power_off": true})
	const gone = "00000000-0000-4000-8000-000000000000"
	bools := "acceptable values are: '0', '1', 'f', 'false', 'n', 'no', 'off', 'on', 't', 'true', 'y', 'yes'"
	for name, c := range map[string]struct {
		method, path string
		body         any
		status       int
		text         string // part of it
	}{
		"no route":                    {"GET", "/v1/nope", nil, 404, ""},
		"deeper than a route":         {"GET", "/v1/nodes/" + one + "/states/nope", nil, 404, ""},
		"detail below a node":         {"GET", "/v1/nodes/" + one + "/detail", nil, 404, ""},
		"no such node":                {"GET", "/v1/nodes/" + gone, nil, 404, "Node " + gone + " could not be found."},
		"no such name":                {"GET", "/v1/nodes/nobody", nil, 404, "Node nobody could not be found."},
		"a name before names":         {"GET", "1.4 /v1/nodes/one", nil, 404, "Node one could not be found."},
		"not a name":                  {"GET", "/v1/nodes/a%20b", nil, 400, "Expected UUID or name for node: a b"},
		"delete the collection":       {"DELETE", "/v1/nodes", nil, 400, "Missing mandatory parameter: node_ident"},
		"unknown argument":            {"GET", "/v1/nodes?x=1", nil, 400, "Unexpected arguments: x"},
		"unknown arguments":           {"GET", "/v1/nodes?b=1&a=2", nil, 400, "Unexpected arguments: a, b"},
		"unknown field":               {"GET", "/v1/nodes?fields=uuid,bogus", nil, 400, "bogus is not a valid field"},
		"fields and detail":           {"GET", "/v1/nodes?fields=uuid&detail=True", nil, 400, "Can not specify ?detail=True and fields in the same request."},
		"detail too early":            {"GET", "1.42 /v1/nodes?detail=True", nil, 400, "Invalid query parameter ?detail=True received."},
		"bad bool":                    {"GET", "/v1/nodes?maintenance=maybe", nil, 400, "Invalid maintenance: Unrecognized value 'maybe', " + bools},
		"limit 0":                     {"GET", "/v1/nodes?limit=0", nil, 400, "Limit must be positive"},
		"negative limit":              {"GET", "/v1/nodes?limit=-1", nil, 400, "Limit must be positive"},
		"limit not a number":          {"GET", "/v1/nodes?limit=many", nil, 400, "Expected an integer for limit: many"},
		"marker not a UUID":           {"GET", "/v1/nodes?marker=one", nil, 400, "Expected UUID for marker: one"},
		"no such marker":              {"GET", "/v1/nodes?marker=" + gone, nil, 404, "could not be found"},
		"sort direction":              {"GET", "/v1/nodes?sort_dir=up", nil, 400, "Invalid sort direction: up. Acceptable values are 'asc' or 'desc'"},
		"sort by a document":          {"GET", "/v1/nodes?sort_key=properties", nil, 400, `The sort_key value "properties" is an invalid field for sorting`},
		"sort by nothing known":       {"GET", "/v1/nodes?sort_key=x%3B--", nil, 400, "is an invalid field for sorting"},
		"malformed query":             {"GET", "/v1/nodes?a;b", nil, 400, "Malformed query"},
		"no such state":               {"GET", "/v1/nodes?provision_state=x", nil, 400, `Provision state "x" is not valid`},
		"state filter too early":      {"GET", "1.8 /v1/nodes?provision_state=active", nil, 406, "Request not acceptable."},
		"driver filter too early":     {"GET", "1.15 /v1/nodes?driver=x", nil, 406, "should be 1.16"},
		"class filter too early":      {"GET", "1.20 /v1/nodes?resource_class=x", nil, 406, "should be 1.21"},
		"fault filter too early":      {"GET", "1.41 /v1/nodes?fault=x", nil, 406, "should be 1.42"},
		"no such fault":               {"GET", "/v1/nodes?fault=x", nil, 400, `Unrecognized fault "x" is specified`},
		"group filter too early":      {"GET", "1.45 /v1/nodes?conductor_group=x", nil, 406, "should be 1.46"},
		"conductor filter too early":  {"GET", "1.48 /v1/nodes?conductor=x", nil, 406, "should be 1.49"},
		"owner filter too early":      {"GET", "1.49 /v1/nodes?owner=x", nil, 406, "should be 1.50"},
		"lessee filter too early":     {"GET", "1.64 /v1/nodes?lessee=x", nil, 406, "should be 1.65"},
		"shard filter too early":      {"GET", "1.81 /v1/nodes?shard=x", nil, 406, "should be 1.82"},
		"children too early":          {"GET", "1.82 /v1/nodes?include_children=1", nil, 406, "should be 1.83"},
		"instance name too early":     {"GET", "1.103 /v1/nodes?instance_name=x", nil, 406, "should be 1.104"},
		"create with unknown field":   {"POST", "/v1/nodes", m{"driver": "ipmi", "x": 1}, 400, "Schema error for node: Additional properties are not allowed ('x' was unexpected)"},
		"create with read-only field": {"POST", "/v1/nodes", m{"driver": "ipmi", "power_state": "power on"}, 400, "('power_state' was unexpected)"},
		"create with too new field":   {"POST", "1.20 /v1/nodes", m{"driver": "ipmi", "resource_class": "x"}, 406, "Request not acceptable."},
		"create without driver":       {"POST", "/v1/nodes", m{}, 400, "Schema error for node: 'driver' is a required property"},
		"create with no body":         {"POST", "/v1/nodes", nil, 400, "'driver' is a required property"},
		"create with wrong type":      {"POST", "/v1/nodes", m{"driver": 5}, 400, "Schema error for node: 5 is not of type 'string'"},
		"create with wrong map":       {"POST", "/v1/nodes", m{"driver": "ipmi", "extra": "x"}, 400, "Schema error for node: 'x' is not of type 'object', 'null'"},
		"create with a list":          {"POST", "/v1/nodes", []any{}, 400, "is not of type 'object'"},
		"create with bad UUID":        {"POST", "/v1/nodes", m{"driver": "ipmi", "uuid": "x"}, 400, "Expected UUID for uuid: x"},
		"create with bad bool":        {"POST", "/v1/nodes", m{"driver": "ipmi", "retired": "x"}, 400, "Invalid retired: Unrecognized value 'x'"},
		"create with a long value":    {"POST", "/v1/nodes", m{"driver": "ipmi", "resource_class": strings.Repeat("x", 81)}, 400, "is too long"},
		"create with bad name":        {"POST", "/v1/nodes", m{"driver": "ipmi", "name": "a b"}, 400, "Cannot create node with invalid name 'a b'"},
		"create with empty name":      {"POST", "/v1/nodes", m{"driver": "ipmi", "name": ""}, 400, "Cannot create node with invalid name ''"},
		"create with UUID as name":    {"POST", "/v1/nodes", m{"driver": "ipmi", "name": gone}, 400, "invalid name"},
		"create with reserved name":   {"POST", "/v1/nodes", m{"driver": "ipmi", "name": "detail"}, 400, `The word "detail" is reserved`},
		"create with unknown driver":  {"POST", "/v1/nodes", m{"driver": "none"}, 400, "none"},
		"create with bad group":       {"POST", "/v1/nodes", m{"driver": "ipmi", "conductor_group": "a b"}, 400, "Expected a conductor group but received a b."},
		"create with bad parent":      {"POST", "/v1/nodes", m{"driver": "ipmi", "parent_node": gone}, 400, "Unable to apply the requested parent_node"},
		"create with bad network":     {"POST", "/v1/nodes", m{"driver": "ipmi", "network_data": m{"x": 1}}, 400, "Invalid network_data"},
		"duplicate name":              {"POST", "/v1/nodes", m{"driver": "ipmi", "name": "one"}, 409, "A node with name one already exists."},
		"duplicate UUID":              {"POST", "/v1/nodes", m{"driver": "ipmi", "uuid": one}, 409, "A node with UUID " + one + " already exists."},
		"duplicate instance":          {"POST", "/v1/nodes", m{"driver": "ipmi", "instance_uuid": "1be26c0b-03f2-4d2e-ae87-c02d7f33c123"}, 409, "is already associated with a node"},
		"malformed JSON":              {"POST", "/v1/nodes", "{", 400, "Malformed JSON"},
		"not UTF-8":                   {"POST", "/v1/nodes", "{\"driver\": \"\xff\"}", 400, "UTF-8"},
		"port without address":        {"POST", "/v1/ports", m{"node_uuid": one}, 400, "Schema error for port: 'address' is a required property"},
		"port without node":           {"POST", "/v1/ports", m{"address": "52:54:00:00:00:02"}, 400, "'node_uuid' is a required property"},
		"port with bad MAC":           {"POST", "/v1/ports", m{"node_uuid": one, "address": "52-54-00-00-00-02"}, 400, "Expected valid MAC address for address: 52-54-00-00-00-02"},
		"port of no node":             {"POST", "/v1/ports", m{"node_uuid": gone, "address": "52:54:00:00:00:02"}, 400, "Node " + gone + " could not be found."},
		"port with duplicate MAC":     {"POST", "/v1/ports", m{"node_uuid": one, "address": "52:54:00:00:00:01"}, 409, "A port with MAC address 52:54:00:00:00:01 already exists."},
		"port with duplicate name":    {"POST", "/v1/ports", m{"node_uuid": one, "address": "52:54:00:00:00:02", "name": "p1"}, 409, "A port with name p1 already exists."},
		"port with half a link":       {"POST", "/v1/ports", m{"node_uuid": one, "address": "52:54:00:00:00:02", "local_link_connection": m{"port_id": "x"}}, 400, "not valid under any of the given schemas"},
		"port with bad switch":        {"POST", "/v1/ports", m{"node_uuid": one, "address": "52:54:00:00:00:02", "local_link_connection": m{"port_id": "x", "switch_id": "y"}}, 400, "Expected a MAC address or OpenFlow datapath ID but received y."},
		"port with empty physnet":     {"POST", "/v1/ports", m{"node_uuid": one, "address": "52:54:00:00:00:02", "physical_network": ""}, 400, "A non-empty value is required when setting physical_network"},
		"smart NIC without host":      {"POST", "/v1/ports", m{"node_uuid": one, "address": "52:54:00:00:00:02", "is_smartnic": true, "local_link_connection": m{}}, 400, "Smart NIC port must have port_id and hostname in local_link_connection"},
		"port with too new field":     {"POST", "1.33 /v1/ports", m{"node_uuid": one, "address": "52:54:00:00:00:02", "physical_network": "x"}, 406, "Request not acceptable."},
		"port by MAC":                 {"GET", "/v1/ports/52:54:00:00:00:01", nil, 400, ""},
		"ports of no node":            {"GET", "/v1/ports?node=" + gone, nil, 404, "could not be found"},
		"ports, bad MAC":              {"GET", "/v1/ports?address=x", nil, 400, "Expected valid MAC address for address: x"},
		"delete a port by name":       {"DELETE", "/v1/ports/p1", nil, 400, "Expected UUID for port_uuid: p1"},
		"wrong verb for the state":    {"PUT", "/v1/nodes/one/states/provision", m{"target": "active"}, 400, `The requested action "active" can not be performed on node "` + one + `" while it is in state "enroll".`},
		"verbs allowed are named":     {"PUT", "/v1/nodes/one/states/provision", m{"target": "active"}, 400, "Allowed there: manage."},
		"no such verb":                {"PUT", "/v1/nodes/one/states/provision", m{"target": "dance"}, 400, `The requested action "dance"`},
		"no verb":                     {"PUT", "/v1/nodes/one/states/provision", m{}, 400, "Missing mandatory parameter: target"},
		"verb too early":              {"PUT", "1.3 /v1/nodes/" + one + "/states/provision", m{"target": "manage"}, 406, "Request not acceptable."},
		"unknown argument of a verb":  {"PUT", "/v1/nodes/one/states/provision", m{"target": "manage", "x": 1}, 400, "Unexpected arguments: x"},
		"no power target":             {"PUT", "/v1/nodes/one/states/power", m{"target": "dance"}, 400, `The requested action "dance" can not be performed on node "one" while it is in state "None".`},
		"power while cleaning":        {"PUT", "/v1/nodes/cleaning/states/power", m{"target": "power on"}, 400, `while it is in state "clean wait".`},
		"power timeout 0":             {"PUT", "/v1/nodes/one/states/power", m{"target": "power on", "timeout": 0}, 400, "timeout has to be positive integer"},
		"soft off too early":          {"PUT", "1.26 /v1/nodes/one/states/power", m{"target": "soft power off"}, 406, "Request not acceptable."},
		"power timeout too early":     {"PUT", "1.26 /v1/nodes/one/states/power", m{"target": "power on", "timeout": 5}, 406, "Request not acceptable."},
		"power off is disabled":       {"PUT", "/v1/nodes/kept/states/power", m{"target": "power off"}, 409, "Failed to set node power state to power off."},
		"patch in transition":         {"PATCH", "/v1/nodes/busy", []m{{"op": "add", "path": "/extra/x", "value": 1}}, 409, "can not be updated while a state transition is in progress."},
		"trait not allowed":           {"PUT", "/v1/nodes/one/traits", m{"traits": []string{"nope"}}, 400, "Schema error for trait"},
		"no traits":                   {"PUT", "/v1/nodes/one/traits", m{}, 400, "A single node trait may be added"},
		"trait with a body":           {"PUT", "/v1/nodes/one/traits/CUSTOM_X", m{"x": 1}, 400, "Additional properties are not allowed ('x' was unexpected)"},
		"remove a trait not there":    {"DELETE", "/v1/nodes/one/traits/CUSTOM_X", nil, 404, "doesn't have a trait 'CUSTOM_X'"},
		"vif without id":              {"POST", "/v1/nodes/one/vifs", m{}, 400, "Schema error for vif: 'id' is a required property"},
		"vif with two targets":        {"POST", "/v1/nodes/one/vifs", m{"id": "v", "port_uuid": one, "portgroup_uuid": one}, 400, "Cannot specify both port_uuid and portgroup_uuid"},
		"boot device missing":         {"PUT", "/v1/nodes/one/management/boot_device", m{"persistent": true}, 400, "Missing mandatory parameter: boot_device"},
		"no inventory":                {"GET", "/v1/nodes/one/inventory", nil, 404, "Node inventory record for node " + one + " could not be found."},
		"no history entry":            {"GET", "/v1/nodes/one/history/" + gone, nil, 404, "Node history record " + gone + " could not be found."},
		"no driver":                   {"GET", "/v1/drivers/none", nil, 404, "Could not find the following driver(s) or hardware type(s): none."},
		"drivers of a wrong type":     {"GET", "/v1/drivers?type=x", nil, 400, `"type" filter must be one of "classic" or "dynamic"`},
		"driver detail too early":     {"GET", "1.29 /v1/drivers?detail=True", nil, 406, "should be 1.30"},
		"no conductor":                {"GET", "/v1/conductors/none", nil, 404, "Conductor none could not be found."},
		"no operation":                {"GET", "/ferric/v1/operations/" + gone, nil, 404, "Operation " + gone + " could not be found."},
		"validate nobody":             {"GET", "/v1/nodes/validate", nil, 400, "Expected a logical name or UUID but received None"},
	} {
		t.Run(name, func(t *testing.T) {
			f := f.with(t)
			r := f.must(c.status, c.method, c.path, c.body)
			fault := r.fault(t)
			if !strings.Contains(r.text(t), c.text) {
				t.Errorf("text %q, want %q in it", r.text(t), c.text)
			}
			if _, early := fault["title"]; !early && (fault["faultcode"] != "Client" || fault["debuginfo"] != nil) {
				t.Errorf("error %v", fault)
			}
		})
	}
}

func TestMethodsAndPaths(t *testing.T) {
	f := newFixture(t)
	id := f.node(m{"name": "one"})
	for name, c := range map[string]struct {
		method, path string
		status       int
		allow        string
	}{
		"PUT of a node":             {"PUT", "/v1/nodes/" + id, 405, "DELETE, GET, PATCH"},
		"POST of states":            {"POST", "/v1/nodes/" + id + "/states", 405, "GET"},
		"HEAD of a list":            {"HEAD", "/v1/nodes", 405, "DELETE, GET, PATCH, POST"},
		"HEAD of a node":            {"HEAD", "/v1/nodes/" + id, 405, "DELETE, GET, PATCH"},
		"HEAD of the root":          {"HEAD", "/", 200, ""},
		"trailing slash":            {"GET", "/v1/nodes/", 200, ""},
		"trailing slash of a node":  {"GET", "/v1/nodes/one/", 200, ""},
		"bookmark":                  {"GET", "/nodes/" + id, 200, ""},
		"upper case UUID":           {"GET", "/v1/nodes/" + strings.ToUpper(id), 200, ""},
		".json of a node":           {"GET", "1.90 /v1/nodes/one.json", 200, ""},
		".json is a name from 1.91": {"GET", "1.91 /v1/nodes/one.json", 404, ""},
		".json without a version":   {"GET", "- /v1/nodes/" + id + ".json", 404, ""},
		"below the root":            {"GET", "/x", 404, ""},
	} {
		t.Run(name, func(t *testing.T) {
			f := f.with(t)
			if r := f.must(c.status, c.method, c.path, nil); r.header.Get("Allow") != c.allow {
				t.Errorf("Allow: %q, want %q", r.header.Get("Allow"), c.allow)
			}
		})
	}
	f.node(m{"name": "two.json"})
	if got := f.must(200, "GET", "1.90 /v1/nodes/two.json", nil).object(t)["name"]; got != "two.json" {
		t.Errorf("name %v", got)
	}
}

func TestHeaders(t *testing.T) {
	f := newFixture(t)
	old, now := f.must(200, "GET", "1.106 /v1/nodes", nil), f.must(200, "GET", "1.107 /v1/nodes", nil)
	for _, r := range []reply{old, now} {
		if id := r.header.Get("Openstack-Request-Id"); len(id) != 40 || !strings.HasPrefix(id, "req-") {
			t.Errorf("Openstack-Request-Id: %q", id)
		}
	}
	if old.header.Get("X-Openstack-Request-Id") != "" || now.header.Get("X-Openstack-Request-Id") != now.header.Get("Openstack-Request-Id") {
		t.Errorf("X-Openstack-Request-Id: %q at 1.106, %q at 1.107", old.header.Get("X-Openstack-Request-Id"), now.header.Get("X-Openstack-Request-Id"))
	}
	for accept, status := range map[string]int{"application/json": 200, "*/*": 200, "text/html, application/json;q=0.5": 200, "text/html": 406,
		"application/json;q=0": 406} {
		f.must(status, "GET", "/v1/nodes", nil, "Accept", accept)
	}
	// Links come from the Host that the client used.
	req, _ := http.NewRequestWithContext(t.Context(), "GET", f.server.URL+"/v1", nil)
	req.Host = "metal.example.org:1234"
	resp, err := f.server.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	buf := make([]byte, 8192)
	n, _ := resp.Body.Read(buf)
	if !strings.Contains(string(buf[:n]), `"http://metal.example.org:1234/v1/nodes/"`) {
		t.Errorf("links: %s", buf[:n])
	}
}

func TestEmptyAnswers(t *testing.T) {
	f := newFixture(t)
	f.node(m{"name": "one"})
	for path, want := range map[string]string{
		"/v1/nodes?name=": "", "/v1/nodes?driver=none": `{"nodes":[]}`, "/v1/ports": `{"ports":[]}`, "/v1/drivers?type=classic": `{"drivers":[]}`,
		"/v1/nodes/one/history": `{"history":[]}`, "/v1/nodes/one/traits": `{"traits":[]}`, "/v1/nodes?parent_node=nobody": `{"nodes":[]}`,
	} {
		if want == "" {
			f.must(400, "GET", path, nil)
			continue
		}
		if r := f.must(200, "GET", path, nil); string(r.body) != want {
			t.Errorf("%s: %s, want %s", path, r.body, want)
		}
	}
	for path, body := range map[string]any{"/v1/nodes/one/maintenance": nil, "/v1/nodes/one/states/power": m{"target": "power on"},
		"/v1/nodes/one/states/provision": m{"target": "manage"}} {
		r := f.must(202, "PUT", path, body)
		if len(r.body) != 0 {
			t.Errorf("%s: body %q", path, r.body)
		}
		if where := r.header.Get("Location"); strings.Contains(path, "states") && where != f.server.URL+"/v1/nodes/one/states" {
			t.Errorf("%s: Location %q", path, where)
		}
	}
}
