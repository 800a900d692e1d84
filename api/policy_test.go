package api_test

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ferric"
	"ferric/api"
	"ferric/policy"
	"ferric/policy/file"
)

// headerAuth believes what the request's headers say of its sender, as the part of Keystone in front of Ironic passes it on.
type headerAuth struct{}

func (headerAuth) Authenticate(r *http.Request) (policy.Caller, error) {
	if r.Header.Get("X-Roles") == "" {
		return policy.Caller{}, &api.Refusal{Status: 401, Text: "Authentication required", Challenge: `Keystone uri="http://auth"`}
	}
	return policy.Caller{UserID: "user-1", ProjectID: r.Header.Get("X-Project-Id"), ProjectName: r.Header.Get("X-Project-Name"),
		SystemScope: r.Header.Get("OpenStack-System-Scope"), Roles: strings.Split(r.Header.Get("X-Roles"), ",")}, nil
}

// The senders of the tests, as headers.
func asSystem(roles string) []string {
	return []string{"X-Roles", roles, "OpenStack-System-Scope", "all"}
}
func asProject(project, roles string) []string {
	return []string{"X-Roles", roles, "X-Project-Id", project}
}

const (
	admins   = "admin,manager,member,reader"
	managers = "manager,member,reader"
	members  = "member,reader"
	readers  = "reader"
)

// rbacFixture has nodes of which "owner" owns two and "lessee" leases one, and one that is nobody's; each has a port.
type rbacFixture struct {
	*fixture
	owned, leased, other string
}

func newRBAC(t *testing.T, overrides string, change ...func(*api.Config, *api.Deps)) *rbacFixture {
	t.Helper()
	list, err := file.Parse("policy.yaml", []byte(overrides))
	if err != nil {
		t.Fatal(err)
	}
	rules, err := policy.New(policy.Ironic(), list)
	if err != nil {
		t.Fatal(err)
	}
	f := &rbacFixture{fixture: newFixture(t, append(change, func(c *api.Config, d *api.Deps) {
		d.Policy = func() *policy.Rules { return rules }
		if c.AuthStrategy != api.Keystone {
			d.Authenticator = headerAuth{}
		}
	})...)}
	make := func(mac string, n ferric.Node) string {
		n.Driver, n.ProvisionState = "fake-hardware", ferric.Available
		n.LastError, n.InternalInfo = "it broke", map[string]any{"a": "b", "agent_token": "hush"}
		n.DriverInfo, n.InstanceInfo = map[string]any{"ipmi_password": "hush", "ipmi_address": "10.0.0.1"}, map[string]any{"image_url": "http://hush", "k": "v"}
		if err := f.store.CreateNode(t.Context(), &n); err != nil {
			t.Fatal(err)
		}
		for _, err := range []error{
			f.store.CreatePort(t.Context(), &ferric.Port{NodeUUID: n.UUID, Address: mac}),
			f.store.CreatePortgroup(t.Context(), &ferric.Portgroup{NodeUUID: n.UUID, Name: "group-" + n.Name, Mode: "active-backup"}),
			f.store.CreateVolumeConnector(t.Context(), &ferric.VolumeConnector{NodeUUID: n.UUID, Type: "iqn", ConnectorID: "iqn." + n.Name}),
			f.store.CreateVolumeTarget(t.Context(), &ferric.VolumeTarget{NodeUUID: n.UUID, Type: "iscsi", VolumeID: "v-" + n.Name,
				Properties: map[string]any{"target_portal": "10.0.0.9"}}),
		} {
			if err != nil {
				t.Fatal(err)
			}
		}
		return n.UUID
	}
	f.owned = make("00:00:00:00:00:01", ferric.Node{Name: "owned", Owner: "owner"})
	f.leased = make("00:00:00:00:00:02", ferric.Node{Name: "leased", Owner: "owner", Lessee: "lessee"})
	f.other = make("00:00:00:00:00:03", ferric.Node{Name: "other"})
	return f
}

// values are one field of every object of a list.
func (r reply) values(t testing.TB, list, field string) []string {
	t.Helper()
	var out []string
	items, _ := r.object(t)[list].([]any)
	for _, item := range items {
		s, _ := item.(map[string]any)[field].(string)
		out = append(out, s)
	}
	slices.Sort(out)
	return out
}

func TestListsOfProjects(t *testing.T) {
	f := newRBAC(t, "")
	f.change(f.other, func(n *ferric.Node) { n.Owner = "third" })
	for name, c := range map[string]struct {
		path string
		as   []string
		want []string // nodes' names, or ports' addresses
	}{
		"system":                  {"/v1/nodes", asSystem(readers), []string{"leased", "other", "owned"}},
		"owner":                   {"/v1/nodes", asProject("owner", readers), []string{"leased", "owned"}},
		"lessee":                  {"/v1/nodes", asProject("lessee", readers), []string{"leased"}},
		"stranger":                {"/v1/nodes", asProject("fourth", admins), nil},
		"details":                 {"/v1/nodes/detail", asProject("lessee", readers), []string{"leased"}},
		"system, of a project":    {"/v1/nodes?project=owner", asSystem(readers), []string{"leased", "owned"}},
		"owner, of its own":       {"/v1/nodes?project=owner", asProject("owner", readers), []string{"leased", "owned"}},
		"owner, by another owner": {"/v1/nodes?owner=third", asProject("owner", readers), nil},
		"service":                 {"/v1/nodes", asProject("owner", "service"), []string{"leased", "owned"}},
		"ports, system":           {"/v1/ports", asSystem(readers), []string{"00:00:00:00:00:01", "00:00:00:00:00:02", "00:00:00:00:00:03"}},
		"ports, owner":            {"/v1/ports", asProject("owner", readers), []string{"00:00:00:00:00:01", "00:00:00:00:00:02"}},
		"ports, lessee":           {"/v1/ports/detail", asProject("lessee", readers), []string{"00:00:00:00:00:02"}},
		"ports, by address":       {"/v1/ports?address=00:00:00:00:00:03", asProject("owner", readers), nil},
		"ports of a port group":   {"/v1/portgroups/group-leased/ports", asProject("lessee", readers), nil},
		"port groups, system":     {"/v1/portgroups", asSystem(readers), []string{"group-leased", "group-other", "group-owned"}},
		"port groups, owner":      {"/v1/portgroups", asProject("owner", readers), []string{"group-leased", "group-owned"}},
		"port groups, lessee":     {"/v1/portgroups/detail", asProject("lessee", readers), []string{"group-leased"}},
		"port groups of a node":   {"/v1/nodes/leased/portgroups", asProject("lessee", readers), []string{"group-leased"}},
		"connectors, owner":       {"/v1/volume/connectors", asProject("owner", readers), []string{"iqn.leased", "iqn.owned"}},
		"connectors, stranger":    {"/v1/volume/connectors", asProject("fourth", readers), nil},
		"targets, lessee":         {"/v1/volume/targets", asProject("lessee", readers), []string{"v-leased"}},
		"targets of a node":       {"/v1/nodes/leased/volume/targets", asProject("lessee", readers), []string{"v-leased"}},
		"ports of a node":         {"/v1/nodes/leased/ports", asProject("lessee", readers), []string{"00:00:00:00:00:02"}},
	} {
		t.Run(name, func(t *testing.T) {
			list, field := "nodes", "name"
			switch {
			case strings.Contains(c.path, "ports"):
				list, field = "ports", "address"
			case strings.Contains(c.path, "portgroups"):
				list, field = "portgroups", "name"
			case strings.Contains(c.path, "connectors"):
				list, field = "connectors", "connector_id"
			case strings.Contains(c.path, "targets"):
				list, field = "targets", "volume_id"
			}
			got := f.with(t).must(200, "GET", c.path, nil, c.as...).values(t, list, field)
			if d := cmp.Diff(c.want, got); d != "" {
				t.Error(d)
			}
		})
	}
	for name, c := range map[string]struct {
		path   string
		as     []string
		status int
		text   string
	}{
		"another's project":     {"/v1/nodes?project=third", asProject("owner", readers), 403, "Access was denied to the following resource: baremetal:node:list_all"},
		"no role":               {"/v1/nodes", asProject("owner", "cook"), 403, "Access was denied to the following resource: baremetal:node:list"},
		"no project":            {"/v1/nodes", []string{"X-Roles", readers}, 403, "Access was denied to the following resource: baremetal:node:list_all"},
		"ports of another node": {"/v1/nodes/" + f.other + "/ports", asProject("owner", readers), 404, "Node " + f.other + " could not be found."},
		"port group's ports":    {"/v1/portgroups/group-other/ports", asProject("owner", readers), 404, "Portgroup group-other could not be found."},
		"another's port group":  {"/v1/portgroups/group-other", asProject("owner", readers), 404, "Portgroup group-other could not be found."},
		"targets by node":       {"/v1/volume/targets?node=other", asProject("owner", readers), 404, "Node other could not be found."},
		"ports by port group":   {"/v1/ports?portgroup=group-other", asProject("owner", readers), 404, "Portgroup group-other could not be found."},
		"ports by node":         {"/v1/ports?node=other", asProject("owner", readers), 404, "Node other could not be found."},
		"nobody":                {"/v1/nodes", nil, 401, ""},
	} {
		t.Run(name, func(t *testing.T) {
			r := f.with(t).must(c.status, "GET", c.path, nil, c.as...)
			if c.text != "" && r.text(t) != c.text {
				t.Errorf("%q, want %q", r.text(t), c.text)
			}
			if c.text == "" && (r.header.Get("Www-Authenticate") == "" || !strings.Contains(string(r.body), `"Authentication required"`)) {
				t.Errorf("%v %s", r.header, r.body)
			}
		})
	}
}

// TestPagesOfProjects: pages are full although other projects' nodes lie between.
func TestPagesOfProjects(t *testing.T) {
	f := newRBAC(t, "")
	var seen []string
	next := "/v1/nodes?limit=1"
	for range 5 {
		r := f.must(200, "GET", next, nil, asProject("owner", readers)...)
		seen = append(seen, r.values(t, "nodes", "name")...)
		url, more := r.object(t)["next"].(string)
		if !more {
			break
		}
		next = strings.TrimPrefix(url, f.server.URL)
	}
	slices.Sort(seen)
	if d := cmp.Diff([]string{"leased", "owned"}, seen); d != "" {
		t.Error(d)
	}
}

func TestHiddenFields(t *testing.T) {
	type seen struct{ LastError, Internal, Info, Image, Reservation string }
	read := func(t *testing.T, raw any) seen {
		m, _ := json.Marshal(raw)
		var n struct {
			LastError    string         `json:"last_error"`
			Reservation  *string        `json:"reservation"`
			InternalInfo map[string]any `json:"driver_internal_info"`
			DriverInfo   map[string]any `json:"driver_info"`
			InstanceInfo map[string]any `json:"instance_info"`
		}
		if err := json.Unmarshal(m, &n); err != nil {
			t.Fatal(err)
		}
		s := seen{LastError: n.LastError, Internal: string(mustJSON(t, n.InternalInfo)), Info: string(mustJSON(t, n.DriverInfo)), Image: string(mustJSON(t, n.InstanceInfo))}
		if n.Reservation != nil {
			s.Reservation = *n.Reservation
		}
		return s
	}
	open := seen{"it broke", `{"a":"b","agent_token":"******"}`, `{"ipmi_address":"10.0.0.1","ipmi_password":"******"}`, `{"image_url":"******","k":"v"}`, ""}
	redacted := seen{"** Value Redacted - Requires baremetal:node:get:last_error permission. **",
		`{"content":"** Redacted - Requires baremetal:node:get:driver_internal_info permission. **"}`,
		`{"content":"** Redacted - requires baremetal:node:get:driver_info permission. **"}`, open.Image,
		"** Redacted - requires baremetal:node:get:reservation permission. **"}
	secrets := seen{"it broke", `{"a":"b","agent_token":"hush"}`, `{"ipmi_address":"10.0.0.1","ipmi_password":"hush"}`, `{"image_url":"http://hush","k":"v"}`, ""}
	some := redacted
	some.LastError = "it broke"
	instance := open
	instance.Image = secrets.Image
	for name, c := range map[string]struct {
		overrides string
		as        []string
		want      seen
	}{
		"system":                {"", asSystem(readers), open},
		"owner":                 {"", asProject("owner", readers), open},
		"owner's service":       {"", asProject("owner", "service"), open},
		"lessee":                {"", asProject("lessee", admins), redacted},
		"lessee, last error":    {"\"baremetal:node:get:last_error\": \"project_id:%(node.lessee)s\"", asProject("lessee", readers), some},
		"lessee, all":           {"\"baremetal:node:get:filter_threshold\": \"role:reader\"", asProject("lessee", readers), open},
		"secrets":               {"show_password: role:admin\nshow_instance_secrets: role:admin", asSystem(admins), secrets},
		"secrets, not a reader": {"show_password: role:admin\nshow_instance_secrets: role:admin", asSystem(readers), open},
		"the instance's":        {"show_instance_secrets: role:reader", asProject("owner", readers), instance},
		"secrets of a lessee":   {"show_password: role:reader", asProject("lessee", readers), redacted},
	} {
		t.Run(name, func(t *testing.T) {
			f := newRBAC(t, c.overrides)
			one := f.must(200, "GET", "/v1/nodes/leased", nil, c.as...).object(t)
			if d := cmp.Diff(c.want, read(t, one)); d != "" {
				t.Errorf("GET: %s", d)
			}
			if states := f.must(200, "GET", "/v1/nodes/leased/states", nil, c.as...).object(t); states["last_error"] != c.want.LastError {
				t.Errorf("states: last_error %v", states["last_error"])
			}
			for _, path := range []string{"/v1/nodes/detail", "/v1/nodes?fields=uuid,last_error,driver_info,driver_internal_info,instance_info,reservation"} {
				for _, item := range f.must(200, "GET", path, nil, c.as...).object(t)["nodes"].([]any) {
					if m := item.(map[string]any); m["uuid"] == f.leased {
						if d := cmp.Diff(c.want, read(t, m)); d != "" {
							t.Errorf("%s: %s", path, d)
						}
					}
				}
			}
		})
	}
}

func mustJSON(t *testing.T, v any) []byte {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestRefusals: what clients are told. Each request would work for somebody else.
func TestRefusals(t *testing.T) {
	f := newRBAC(t, "\"baremetal:step:execute:raid.delete_configuration\": \"role:admin and project_id:%(node.owner)s\"\n"+
		"\"baremetal:node:set_provision_state:service_steps\": \"!\"")
	type patch = []m
	change := func(field string, value any) patch { return patch{{"op": "add", "path": "/" + field, "value": value}} }
	step := func(name string) m {
		return m{"target": "clean", "clean_steps": []m{{"interface": "raid", "step": name}}}
	}
	f.change(f.owned, func(n *ferric.Node) { n.ProvisionState = ferric.Manageable })
	denied := "Access was denied to the following resource: baremetal:"
	for name, c := range map[string]struct {
		method, path string
		body         any
		as           []string
		status       int
		text         string
	}{
		"invisible":               {"GET", "/v1/nodes/" + f.other, nil, asProject("owner", admins), 404, "Node " + f.other + " could not be found."},
		"invisible, by name":      {"PUT", "/v1/nodes/other/states/power", m{"target": "power on"}, asProject("owner", admins), 404, "Node other could not be found."},
		"a node of the lessee":    {"GET", "/v1/nodes/owned", nil, asProject("lessee", admins), 404, "Node owned could not be found."},
		"reader and power":        {"PUT", "/v1/nodes/owned/states/power", m{"target": "power on"}, asProject("owner", readers), 403, denied + "node:set_power_state"},
		"lessee's member, deploy": {"PUT", "/v1/nodes/leased/states/provision", m{"target": "active"}, asProject("lessee", members), 403, denied + "node:set_provision_state"},
		"an unknown method":       {"POST", "/v1/nodes/owned", m{}, asProject("owner", readers), 405, ""},
		"another's port":          {"GET", "/v1/ports/" + f.port("other"), nil, asProject("owner", admins), 404, "Port " + f.port("other") + " could not be found."},
		"member changes a port":   {"PATCH", "/v1/ports/" + f.port("owned"), change("extra", m{"a": 1}), asProject("owner", members), 403, denied + "port:update"},
		"a port for another":      {"POST", "/v1/ports", m{"node_uuid": f.other, "address": "00:00:00:00:01:01"}, asProject("owner", admins), 403, denied + "port:create"},
		"a port for nobody":       {"POST", "/v1/ports", m{"node_uuid": "11111111-1111-1111-1111-111111111111", "address": "00:00:00:00:01:01"}, asProject("owner", admins), 403, denied + "port:create"},
		"a port moves away":       {"PATCH", "/v1/ports/" + f.port("owned"), change("node_uuid", f.other), asProject("owner", admins), 400, "Unable to apply the requested node_uuid '" + f.other + "'. Requested value was invalid."},
		"owner changes owner":     {"PATCH", "/v1/nodes/owned", change("owner", "x"), asProject("owner", admins), 403, denied + "node:update:owner"},
		"one of two fields":       {"PATCH", "/v1/nodes/leased", append(change("extra", m{}), change("driver_info", m{})...), asProject("lessee", members), 403, denied + "node:update:driver_info"},
		"cleaning off":            {"PATCH", "/v1/nodes/owned", change("automated_clean", "false"), asProject("owner", admins), 403, denied + "node:disable_cleaning"},
		"a hidden parent":         {"PATCH", "/v1/nodes/owned", change("parent_node", "other"), asSystem(members), 400, "Unable to apply the requested parent_node 'other'. Requested value was invalid."},
		"member creates":          {"POST", "/v1/nodes", m{"driver": "fake-hardware"}, asProject("owner", members), 403, denied + "node:create"},
		"for another project":     {"POST", "/v1/nodes", m{"driver": "fake-hardware", "owner": "third"}, asProject("owner", admins), 400, "Cannot create a node as a project scoped admin with an owner other than your own project."},
		"system's member creates": {"POST", "/v1/nodes", m{"driver": "fake-hardware"}, asSystem(members), 403, denied + "node:create"},
		"manager deletes":         {"DELETE", "/v1/nodes/owned", nil, asProject("owner", managers), 403, denied + "node:delete"},
		"lessee deletes":          {"DELETE", "/v1/nodes/leased", nil, asProject("lessee", admins), 403, denied + "node:delete"},
		"a step":                  {"PUT", "/v1/nodes/owned/states/provision", step("delete_configuration"), asProject("owner", members), 403, "insufficient privileges to execute step delete_configuration on interface raid"},
		"service steps":           {"PUT", "/v1/nodes/owned/states/provision", m{"target": "service", "service_steps": []m{{"interface": "raid", "step": "x"}}}, asSystem(admins), 403, denied + "node:set_provision_state:service_steps"},
		"drivers":                 {"GET", "/v1/drivers", nil, asProject("owner", admins), 403, denied + "driver:get"},
		"another's operation":     {"GET", "/ferric/v1/nodes/other/operations", nil, asProject("owner", admins), 404, "Node other could not be found."},
		"validate, old form":      {"GET", "/v1/nodes/validate?node=owned", nil, asProject("owner", readers), 403, denied + "node:validate"},
	} {
		t.Run(name, func(t *testing.T) {
			r := f.with(t).must(c.status, c.method, c.path, c.body, c.as...)
			if c.text != "" && r.text(t) != c.text {
				t.Errorf("%q, want %q", r.text(t), c.text)
			}
		})
	}
	for name, c := range map[string]struct {
		method, path string
		body         any
		as           []string
		status       int
	}{
		"owner's admin, a step":   {"PUT", "/v1/nodes/owned/states/provision", step("delete_configuration"), asProject("owner", admins), 202},
		"another step":            {"PUT", "/v1/nodes/owned/states/provision", step("create_configuration"), asProject("owner", members), 202},
		"cleaning on":             {"PATCH", "/v1/nodes/owned", change("automated_clean", true), asProject("owner", members), 200},
		"cleaning by default":     {"PATCH", "/v1/nodes/owned", patch{{"op": "remove", "path": "/automated_clean"}}, asProject("owner", members), 200},
		"lessee's member, extra":  {"PATCH", "/v1/nodes/leased", change("extra", m{"x": 1}), asProject("lessee", members), 200},
		"lessee's member, power":  {"PUT", "/v1/nodes/leased/states/power", m{"target": "power on"}, asProject("lessee", members), 202},
		"lessee's admin, service": {"GET", "/v1/nodes/leased/validate", nil, asProject("lessee", admins), 200},
		"a port":                  {"POST", "/v1/ports", m{"node_uuid": f.owned, "address": "00:00:00:00:01:02"}, asProject("owner", managers), 201},
		"a port, by name":         {"POST", "/v1/ports", m{"node_ident": "owned", "address": "00:00:00:00:01:03"}, asProject("owner", managers), 201},
		"a parent":                {"PATCH", "/v1/nodes/owned", change("parent_node", "leased"), asSystem(members), 200},
	} {
		t.Run(name, func(t *testing.T) {
			f.change(f.owned, func(n *ferric.Node) { n.ProvisionState = ferric.Manageable })
			f.with(t).must(c.status, c.method, c.path, c.body, c.as...)
		})
	}
}

// port is the UUID of the port of a node.
func (f *rbacFixture) port(node string) string {
	f.t.Helper()
	return f.must(200, "GET", "/v1/nodes/"+node+"/ports", nil, asSystem(readers)...).values(f.t, "ports", "uuid")[0]
}

func TestOwnNodes(t *testing.T) {
	f := newRBAC(t, "")
	made := f.must(201, "POST", "/v1/nodes", m{"driver": "fake-hardware", "name": "mine"}, asProject("p9", admins)...).object(t)
	if made["owner"] != "p9" {
		t.Errorf("a project's administrator made a node of owner %v", made["owner"])
	}
	if made := f.must(201, "POST", "/v1/nodes", m{"driver": "fake-hardware", "owner": "p9"}, asProject("p9", "service")...).object(t); made["owner"] != "p9" {
		t.Errorf("a service made a node of owner %v", made["owner"])
	}
	if made := f.must(201, "POST", "/v1/nodes", m{"driver": "fake-hardware", "owner": "p8"}, asSystem(admins)...).object(t); made["owner"] != "p8" {
		t.Errorf("the system made a node of owner %v", made["owner"])
	}
	if made := f.must(201, "POST", "/v1/nodes", m{"driver": "fake-hardware"}, asSystem(admins)...).object(t); made["owner"] != nil {
		t.Errorf("the system made a node of owner %v", made["owner"])
	}
	f.must(204, "DELETE", "/v1/nodes/mine", nil, asProject("p9", admins)...)
	f.must(404, "GET", "/v1/nodes/mine", nil, asSystem(readers)...)

	f = newRBAC(t, "", func(c *api.Config, _ *api.Deps) { c.ProjectAdminCanManageOwnNodes = false })
	f.must(403, "POST", "/v1/nodes", m{"driver": "fake-hardware"}, asProject("owner", admins)...)
	f.must(403, "DELETE", "/v1/nodes/owned", nil, asProject("owner", admins)...)
	f.must(204, "DELETE", "/v1/nodes/owned", nil, asSystem(admins)...)
}

func TestOwnerOfAnActiveNode(t *testing.T) {
	f := newRBAC(t, "")
	f.change(f.owned, func(n *ferric.Node) { n.ProvisionState = ferric.Active })
	change := []m{{"op": "replace", "path": "/owner", "value": "third"}}
	r := f.must(409, "PATCH", "/v1/nodes/owned", change, asSystem(members)...)
	if want := `Cannot update owner of node "` + f.owned + `" while it is in state "active".`; r.text(t) != want {
		t.Errorf("%q, want %q", r.text(t), want)
	}
	f.must(200, "PATCH", "/v1/nodes/owned", change, asSystem(admins)...)

	lease, err := f.store.Acquire(t.Context(), f.other, "host-1", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	allocation := &ferric.Allocation{UUID: opID, ResourceClass: "a", Owner: "third", NodeUUID: f.other}
	if err := f.store.AllocateNode(t.Context(), lease, allocation, func(*ferric.Node) error { return nil }); err != nil {
		t.Fatal(err)
	}
	r = f.must(409, "PATCH", "/v1/nodes/other", change, asSystem(admins)...)
	if want := `Cannot update owner of node "` + f.other + `" while it is allocated to an allocation with an  owner.`; r.text(t) != want {
		t.Errorf("%q, want %q", r.text(t), want)
	}
}

func TestElevatedServices(t *testing.T) {
	as := append(asProject("whatever", "service"), "X-Project-Name", "service")
	f := newRBAC(t, "")
	if got := f.must(200, "GET", "/v1/nodes", nil, as...).values(t, "nodes", "name"); len(got) != 0 {
		t.Errorf("a service sees %q", got)
	}
	f = newRBAC(t, "", func(c *api.Config, _ *api.Deps) { c.ElevatedServiceProject = "service" })
	if got := f.must(200, "GET", "/v1/nodes", nil, as...).values(t, "nodes", "name"); len(got) != 3 {
		t.Errorf("an elevated service sees %q", got)
	}
	f.must(202, "PUT", "/v1/nodes/other/states/power", m{"target": "power on"}, as...)
	f.must(403, "DELETE", "/v1/nodes/other", nil, as...)
}

// TestPolicyForEverybody: overrides hold for every strategy.
func TestPolicyForEverybody(t *testing.T) {
	rules, err := policy.New(policy.Ironic(), []policy.Override{{Name: "baremetal:node:create", Check: "!"}, {Name: "baremetal:node:create:self_owned_node", Check: "!"},
		{Name: "baremetal:driver:ipa_lookup", Check: "!"}})
	if err != nil {
		t.Fatal(err)
	}
	f := newFixture(t, func(_ *api.Config, d *api.Deps) { d.Policy = func() *policy.Rules { return rules } })
	f.must(403, "POST", "/v1/nodes", m{"driver": "fake-hardware"})
	f.must(200, "GET", "/v1/nodes", nil)
	if r := f.must(403, "GET", "/v1/lookup?node_uuid=11111111-1111-1111-1111-111111111111", nil); r.text(t) != "Access was denied to the following resource: baremetal:driver:ipa_lookup" {
		t.Error(r.text(t))
	}
}

// TestVolumeTargetProperties: how a volume is reached is for the system and for administrators.
func TestVolumeTargetProperties(t *testing.T) {
	f := newRBAC(t, "")
	redacted := map[string]any{"redacted_contents": "** Value redacted: Requires permission baremetal:volume:view_target_properties access. Permission denied. **"}
	open := map[string]any{"target_portal": "10.0.0.9"}
	for name, c := range map[string]struct {
		as   []string
		want any
	}{
		"system": {asSystem(readers), open}, "lessee's admin": {asProject("lessee", admins), open}, "owner": {asProject("owner", managers), redacted},
	} {
		t.Run(name, func(t *testing.T) {
			list := f.must(200, "GET", "/v1/nodes/leased/volume/targets?detail=true", nil, c.as...).object(t)["targets"].([]any)[0].(map[string]any)
			if d := cmp.Diff(c.want, list["properties"]); d != "" {
				t.Errorf("list: %s", d)
			}
			one := f.must(200, "GET", "/v1/volume/targets/"+list["uuid"].(string), nil, c.as...).object(t)
			if d := cmp.Diff(c.want, one["properties"]); d != "" {
				t.Errorf("GET: %s", d)
			}
		})
	}
}
