package openstack

import (
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"
)

// column is one kind of caller of api/testdata/rbac.txt, with a token of such a user.
type column struct{ name, token string }

// crowd are nodes of which a project owns two and another one leases one, and one that is nobody's; and users of each role in each scope, in the
// order of the columns of api/testdata/rbac.txt.
type crowd struct {
	admin   *ferric
	columns []column
	object  map[string]string // for the braces in paths
}

func (c *cloud) crowd(t *testing.T, p *people, f *ferric) *crowd {
	t.Helper()
	roles := map[string][]string{"admin": {"admin", "manager", "member", "reader"}, "manager": {"manager", "member", "reader"}, "member": {"member", "reader"},
		"reader": {"reader"}, "service": {"service"}}
	scopes := map[string]string{"system": "system", "owner": "projects/" + p.project(t, "owner"), "lessee": "projects/" + p.project(t, "lessee"),
		"stranger": "projects/" + p.project(t, "stranger")}
	cr := &crowd{object: map[string]string{}}
	users := map[string]string{}
	for role := range roles {
		users[role], _ = p.user(t, role)
	}
	for _, scope := range []string{"system", "owner", "lessee", "stranger"} {
		for _, role := range []string{"admin", "manager", "member", "reader", "service"} {
			if scope == "system" && role == "manager" {
				continue // not in the table
			}
			p.grant(t, scopes[scope], users[role], roles[role]...)
			cr.columns = append(cr.columns, column{scope + " " + role, p.as(t, users[role], scopes[scope])})
		}
	}
	service := "projects/" + p.projectID(t, "service")
	p.grant(t, service, users["service"], "service")
	p.grant(t, "domains/default", users["admin"], "admin")
	cr.columns = append(cr.columns, column{"elevated service", p.as(t, users["service"], service)}, column{"domain admin", p.as(t, users["admin"], "domains/default")})

	cr.admin = f.with(cr.columns[0].token)
	make := func(path string, body map[string]any) string {
		id, _ := cr.admin.must(t, http.MethodPost, path, body)["uuid"].(string)
		return id
	}
	owner, lessee := strings.TrimPrefix(scopes["owner"], "projects/"), strings.TrimPrefix(scopes["lessee"], "projects/")
	make("/v1/nodes", map[string]any{"driver": "fake-hardware", "name": "owned", "owner": owner})
	make("/v1/nodes", map[string]any{"driver": "fake-hardware", "name": "nobodys"})
	node := make("/v1/nodes", map[string]any{"driver": "fake-hardware", "name": "leased", "owner": owner, "lessee": lessee,
		"driver_info": map[string]any{"fake_password": "geheim", "fake_address": "10.0.0.1"}})
	cr.object["node"] = node
	cr.object["port"] = make("/v1/ports", map[string]any{"node_uuid": node, "address": "52:54:00:00:00:01"})
	cr.object["portgroup"] = make("/v1/portgroups", map[string]any{"node_uuid": node})
	cr.object["connector"] = make("/v1/volume/connectors", map[string]any{"node_uuid": node, "type": "ip", "connector_id": "10.0.0.9"})
	cr.object["target"] = make("/v1/volume/targets", map[string]any{"node_uuid": node, "volume_type": "iscsi", "volume_id": "v", "boot_index": 0})
	cr.object["chassis"] = make("/v1/chassis", map[string]any{})
	cr.object["allocation"] = make("/v1/allocations", map[string]any{"resource_class": "none", "owner": owner})
	cr.object["runbook"] = make("/v1/runbooks", map[string]any{"name": "CUSTOM_R", "owner": owner, "steps": []any{map[string]any{"interface": "bios", "step": "factory_reset", "args": map[string]any{}, "order": 1}}})
	return cr
}

// TestKeystoneRoles asks with tokens that Keystone gave to users of each role and scope.
func TestKeystoneRoles(t *testing.T) {
	c := newCloud(t)
	p := c.people(t)
	f := c.start(t, "api.auth_strategy=keystone")
	cr := c.crowd(t, p, f)
	t.Run("table", func(t *testing.T) { cr.table(t, f) })
	t.Run("refusals", func(t *testing.T) { cr.refusals(t, f) })
	t.Run("visibility", func(t *testing.T) { cr.visibility(t, f) })
}

// table asks for everything in api/testdata/rbac.txt that can be asked for without harm, and compares who may with the table.
func (cr *crowd) table(t *testing.T, f *ferric) {
	table, err := os.ReadFile("../../api/testdata/rbac.txt")
	check(t, err)
	asked := 0
	for line := range strings.Lines(string(table)) {
		verdicts, what, ok := strings.Cut(strings.TrimSpace(line), "  ")
		fields := strings.Fields(what)
		if !ok || strings.HasPrefix(line, "#") || len(fields) < 2 {
			continue
		}
		method, path := fields[0], fields[1]
		var body any
		switch {
		case method == "GET":
		case method == "PATCH" && path == "/v1/nodes/{node}":
			body = []any{map[string]any{"op": "add", "path": "/" + fields[2], "value": false}}
		default:
			continue // done by whom it is allowed to, it would change what the next one finds
		}
		for name, id := range cr.object {
			path = strings.ReplaceAll(path, "{"+name+"}", id)
		}
		if strings.Contains(path, "{") || strings.HasPrefix(path, "/ferric/v1/events") || strings.HasSuffix(path, "/inventory") || strings.HasSuffix(path, "/allocation") {
			continue // names something that is not there, or never ends
		}
		switch {
		case path == "/v1/nodes/validate":
			path += "?node=" + cr.object["node"]
		case strings.HasSuffix(path, "/vendor_passthru"):
			path += "?method=none"
		}
		verdicts = strings.ReplaceAll(verdicts, " ", "")
		for i, col := range cr.columns {
			status := f.with(col.token).status(t, method, path, body)
			asked++
			good := status != 401 && status != 403 && status != 404 && status < 500
			switch verdicts[i] {
			case 'F':
				good = status == 403
			case 'N':
				good = status == 404
			}
			if !good {
				t.Errorf("%s: %s %s: status %d, and the table says %c", col.name, method, what, status, verdicts[i])
			}
		}
	}
	if asked < 1000 {
		t.Errorf("only %d requests were made", asked)
	}
	t.Logf("%d requests", asked)
}

// refusals asks for everything else in api/testdata/rbac.txt in the name of those to whom it is refused: nothing happens then.
func (cr *crowd) refusals(t *testing.T, f *ferric) {
	table, err := os.ReadFile("../../api/testdata/rbac.txt")
	check(t, err)
	some := map[string]string{"vif": "5a5c6d2c-32b1-4d4b-8a3e-3a1f5d2d9f10", "trait": "CUSTOM_T", "method": "none", "driver": "fake-hardware", "template": "CUSTOM_T", "rule": "5a5c6d2c-32b1-4d4b-8a3e-3a1f5d2d9f10",
		"indicator": "led@chassis"}
	steps := []any{map[string]any{"interface": "bios", "step": "factory_reset", "args": map[string]any{}, "priority": 1}}
	node := cr.object["node"]
	bodies := map[string]any{ // of routes that look at the body before they look at the caller
		"POST /v1/nodes": map[string]any{"driver": "fake-hardware"}, "PUT states/power": map[string]any{"target": "power on"}, "PUT states/provision": map[string]any{"target": "manage"},
		"PUT management/boot_device": map[string]any{"boot_device": "pxe"}, "POST vifs": map[string]any{"id": some["vif"]}, "PUT traits": map[string]any{"traits": []any{}},
		"PUT states/boot_mode": map[string]any{"target": "uefi"}, "PUT states/secure_boot": map[string]any{"target": "on"}, "PUT states/console": map[string]any{"enabled": true},
		"PUT management/indicators/{indicator}": map[string]any{"state": "ON"}, "POST vmedia": map[string]any{"device_type": "CDROM", "image_url": "http://x/y.iso", "image_download_source": "http"},
		"POST /v1/ports": map[string]any{"node_uuid": node, "address": "52:54:00:00:00:02"}, "POST /v1/portgroups": map[string]any{"node_uuid": node},
		"POST /v1/volume/connectors": map[string]any{"node_uuid": node, "type": "ip", "connector_id": "2"},
		"POST /v1/volume/targets":    map[string]any{"node_uuid": node, "volume_type": "iscsi", "volume_id": "2", "boot_index": 2},
		"POST /v1/allocations":       map[string]any{"resource_class": "none"}, "POST /v1/deploy_templates": map[string]any{"name": "CUSTOM_T", "steps": steps},
		"POST /v1/events": map[string]any{"events": []any{}},
	}
	asked := 0
	for line := range strings.Lines(string(table)) {
		verdicts, what, ok := strings.Cut(strings.TrimSpace(line), "  ")
		fields := strings.Fields(what)
		if !ok || strings.HasPrefix(line, "#") || len(fields) != 2 || fields[0] == "GET" || strings.HasSuffix(fields[1], "/{node}/allocation") {
			continue // a third word is the field of a patch; the node has no allocation
		}
		method, path := fields[0], fields[1]
		var body any = map[string]any{}
		for _, key := range []string{method + " " + path, method + " " + strings.TrimPrefix(path, "/v1/nodes/{node}/")} {
			if b, ok := bodies[key]; ok {
				body = b
			}
		}
		for _, names := range []map[string]string{cr.object, some} {
			for name, id := range names {
				path = strings.ReplaceAll(path, "{"+name+"}", id)
			}
		}
		if strings.HasSuffix(path, "/vendor_passthru") {
			path += "?method=none"
		}
		verdicts = strings.ReplaceAll(verdicts, " ", "")
		for i, col := range cr.columns {
			want := map[byte]int{'F': 403, 'N': 404}[verdicts[i]]
			if want == 0 {
				continue
			}
			asked++
			if got := f.with(col.token).status(t, method, path, body); got != want {
				t.Errorf("%s: %s: status %d, want %d", col.name, what, got, want)
			}
		}
	}
	if asked < 700 {
		t.Errorf("only %d requests were made", asked)
	}
	t.Logf("%d requests", asked)
}

// visibility: which nodes are in whose list, and what of them is shown.
func (cr *crowd) visibility(t *testing.T, f *ferric) {
	cr.admin.must(t, "PUT", "/v1/nodes/leased/maintenance", map[string]any{"reason": "the test"})
	everything, nothing := "leased nobodys owned", ""
	sees := map[string]string{"system": everything, "owner": "leased owned", "lessee": "leased", "stranger": nothing, "elevated": everything}
	for _, col := range cr.columns {
		as := f.with(col.token)
		scope, role, _ := strings.Cut(col.name, " ")
		if scope == "domain" {
			if status := as.status(t, "GET", "/v1/nodes", nil); status != 403 {
				t.Errorf("%s: status %d, want 403", col.name, status)
			}
			continue
		}
		want := sees[scope]
		if col.name == "lessee service" {
			want = "leased" // the list is by project; what is not a service's to see of it is 404
		}
		if got := as.names(t); got != want {
			t.Errorf("%s sees the nodes %q, want %q", col.name, got, want)
		}
		if !strings.Contains(want, "leased") || col.name == "lessee service" {
			if status := as.status(t, "GET", "/v1/nodes/leased", nil); status != 404 {
				t.Errorf("%s: a node of somebody else is answered with %d, want 404", col.name, status)
			}
			continue
		}
		node := as.must(t, "GET", "/v1/nodes/leased", nil)
		info, _ := node["driver_info"].(map[string]any)
		switch {
		case scope == "lessee" && info["fake_address"] != nil:
			t.Errorf("%s (%s) sees driver_info %v", col.name, role, info)
		case scope != "lessee" && (info["fake_address"] != "10.0.0.1" || info["fake_password"] != "******"):
			t.Errorf("%s sees driver_info %v, want the address, and the password masked", col.name, info)
		}
	}
}

// TestKeystoneNova: the user of Nova, with the roles admin and service in the project service, sees every node with the settings that Ferric comes with.
// If it did not, it would take them for gone and delete its compute nodes.
func TestKeystoneNova(t *testing.T) {
	c := newCloud(t)
	p := c.people(t)
	user, _ := p.user(t, "nova")
	service := "projects/" + p.projectID(t, "service")
	p.grant(t, service, user, "admin", "service")
	system, _ := p.user(t, "system")
	p.grant(t, "system", system, "admin", "member", "reader")
	f := c.start(t, "api.auth_strategy=keystone")
	admin := f.with(p.as(t, system, "system"))
	admin.node(t, map[string]any{"name": "one", "owner": "somebody"})
	admin.node(t, map[string]any{"name": "two"})
	nova := f.with(p.as(t, user, service))
	if got := nova.names(t); got != "one two" {
		t.Errorf("Nova sees the nodes %q, want all", got)
	}
	if status := nova.status(t, "PUT", "/v1/nodes/one/states/provision", map[string]any{"target": "manage"}); status != 202 {
		t.Errorf("Nova is answered with %d when it asks for a provision state", status)
	}
	admin.until(t, "one", "manageable")

	// Somebody who administers a domain makes a project of the same name in it.
	domain := p.must(t, "POST", "/domains", map[string]any{"domain": map[string]any{"name": unique(t)}})["domain"].(map[string]any)["id"].(string)
	p.deleteDomain(t, domain)
	other := "projects/" + p.add(t, "project", map[string]any{"name": "service", "domain_id": domain})
	p.grant(t, other, user, "service")
	pretender := f.with(p.as(t, user, other))
	if status := pretender.status(t, "GET", "/v1/nodes", nil); status != 403 {
		t.Errorf("a service of a project service in another domain is answered with %d, want 403", status)
	}

	off := c.start(t, "api.auth_strategy=keystone", "api.rbac_service_role_elevated_access=false")
	off.with(admin.token).node(t, map[string]any{"name": "one"})
	if got := off.with(nova.token).names(t); got != "" {
		t.Errorf("without rbac_service_role_elevated_access Nova sees %q", got)
	}
}

// TestKeystoneDoors: what needs a token, and what does not.
func TestKeystoneDoors(t *testing.T) {
	c := newCloud(t)
	f := c.start(t, "api.auth_strategy=keystone", "keystone_authtoken.www_authenticate_uri=https://keystone.example/v3")
	for _, path := range []string{"/", "/v1"} {
		if status := f.status(t, "GET", path, nil); status != 200 {
			t.Errorf("%s without a token: %d", path, status)
		}
	}
	if status := f.status(t, "GET", "/v1/lookup?addresses=52:54:00:00:00:99", nil); status != 404 {
		t.Errorf("lookup of an unknown machine without a token: %d, want 404", status)
	}
	for name, headers := range map[string]map[string]string{
		"nothing":          {},
		"a made-up token":  {"X-Auth-Token": "gAAAAABrA5tNOiXg5SSvLst2mM2ONDq8z8P36zmjNNo3k3ZRiiYWyRNAFEmHx2kuhidnM9i7NGRupxygWs6Z00OKiZ"},
		"claimed roles":    {"X-Roles": "admin", "X-User-Id": "x", "OpenStack-System-Scope": "all", "X-Identity-Status": "Confirmed"},
		"a login of Basic": {"Authorization": "Basic YWRtaW46c2VjcmV0"},
	} {
		req, err := http.NewRequestWithContext(t.Context(), "GET", f.URL+"/v1/nodes", nil)
		check(t, err)
		for k, v := range headers {
			req.Header.Set(k, v)
		}
		resp, err := http.DefaultClient.Do(req)
		check(t, err)
		resp.Body.Close()
		if resp.StatusCode != 401 || resp.Header.Get("WWW-Authenticate") != `Keystone uri="https://keystone.example/v3"` {
			t.Errorf("%s: %d, WWW-Authenticate %q", name, resp.StatusCode, resp.Header.Get("WWW-Authenticate"))
		}
	}
	if secret := regexp.MustCompile(`gAAAA`).FindString(f.log.String()); secret != "" {
		t.Error("a token stands in the log")
	}
}
