package api

import (
	"bytes"
	"context"
	"encoding/json"
	flags "flag"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"ferric"
	"ferric/flow"
	"ferric/policy"
	"ferric/store"
)

var updateRBAC = flags.Bool("update-rbac", false, "write testdata/rbac.txt")

// caller is a column of the table of roles.
type caller struct {
	name string
	who  policy.Caller
}

const ownerProject, lesseeProject, strangerProject = "70e5e25a-2ca2-4cb1-8ae8-7d8739cee205", "f11853c7-fa9c-4db3-a477-c9d8e0dbbf13", "ae64129e-b188-4662-b014-4127f4366ee6"

// callers are the columns: the roles imply those below them, as in a cloud.
func callers() []caller {
	implied := func(role string) []string {
		order := []string{"admin", "manager", "member", "reader"}
		for i, r := range order {
			if r == role {
				return order[i:]
			}
		}
		return []string{role}
	}
	var all []caller
	for _, role := range []string{"admin", "member", "reader", "service"} {
		all = append(all, caller{"system-" + role, policy.Caller{UserID: "u", SystemScope: "all", Roles: implied(role)}})
	}
	for _, p := range []struct{ name, id string }{{"owner", ownerProject}, {"lessee", lesseeProject}, {"stranger", strangerProject}} {
		for _, role := range []string{"admin", "manager", "member", "reader", "service"} {
			all = append(all, caller{p.name + "-" + role, policy.Caller{UserID: "u", ProjectID: p.id, ProjectName: p.name, Roles: implied(role)}})
		}
	}
	return append(all,
		caller{"elevated-service", policy.Caller{UserID: "u", ProjectID: strangerProject, ProjectName: "service", Roles: []string{"service"}}},
		caller{"domain-admin", policy.Caller{UserID: "u", DomainID: "d", Roles: implied("admin")}},
		caller{"no-role", policy.Caller{UserID: "u", ProjectID: ownerProject}})
}

// columns is how the table groups the callers.
const columns = "system:AMRS owner:AGMRS lessee:AGMRS stranger:AGMRS elevated-service domain-admin no-role"

// fixedCaller authenticates everybody as one caller.
type fixedCaller struct{ who *policy.Caller }

func (f fixedCaller) Authenticate(*http.Request) (policy.Caller, error) { return *f.who, nil }

// rbacStore has one operation, on the node.
type rbacStore struct {
	*store.Store
	node string
}

func (s *rbacStore) Operation(context.Context, string) (*flow.Operation, error) {
	return &flow.Operation{NodeUUID: s.node}, nil
}

// rbacObjects are the objects that the paths of the table name: all belong to a node that one project owns and another one leases.
type rbacObjects struct {
	path map[string]string // by the name in braces
	node string
}

func makeRBACObjects(t *testing.T, s *store.Store) rbacObjects {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	ctx := t.Context()
	n := &ferric.Node{Driver: "fake-hardware", Owner: ownerProject, Lessee: lesseeProject, ProvisionState: ferric.Available}
	must(s.CreateNode(ctx, n))
	p := &ferric.Port{NodeUUID: n.UUID, Address: "00:00:00:00:00:01"}
	must(s.CreatePort(ctx, p))
	g := &ferric.Portgroup{NodeUUID: n.UUID}
	must(s.CreatePortgroup(ctx, g))
	c := &ferric.Chassis{}
	must(s.CreateChassis(ctx, c))
	vc, vt := &ferric.VolumeConnector{NodeUUID: n.UUID, Type: "ip", ConnectorID: "1"}, &ferric.VolumeTarget{NodeUUID: n.UUID}
	must(s.CreateVolumeConnector(ctx, vc))
	must(s.CreateVolumeTarget(ctx, vt))
	al := &ferric.Allocation{Owner: ownerProject, ResourceClass: "x"}
	must(s.CreateAllocation(ctx, al))
	lease, err := s.Acquire(ctx, n.UUID, "host", time.Minute)
	must(err)
	must(s.AllocateNode(ctx, lease, &ferric.Allocation{Owner: ownerProject}, func(*ferric.Node) error { return nil }))
	must(s.Release(ctx, lease))
	rb := &ferric.Runbook{Name: "r", Owner: ownerProject}
	must(s.CreateRunbook(ctx, rb))
	return rbacObjects{node: n.UUID, path: map[string]string{"node": n.UUID, "port": p.UUID, "operation": n.UUID, "allocation": al.UUID, "runbook": rb.UUID,
		"portgroup": g.UUID, "chassis": c.UUID, "connector": vc.UUID, "target": vt.UUID}}
}

// bodies are those of the routes whose handler asks the rule, and examples of patches.
func (o rbacObjects) body(r *route) string {
	switch r.method + " " + r.path {
	case "POST /v1/ports":
		return `{"node_uuid": "` + o.node + `", "address": "00:00:00:00:00:02"}`
	case "POST /v1/portgroups":
		return `{"node_uuid": "` + o.node + `", "address": "00:00:00:00:00:03"}`
	case "POST /v1/volume/connectors":
		return `{"node_uuid": "` + o.node + `", "type": "ip", "connector_id": "2"}`
	case "POST /v1/volume/targets":
		return `{"node_uuid": "` + o.node + `", "volume_type": "iscsi", "volume_id": "2", "boot_index": 2}`
	}
	return "{}"
}

// TestRoles compares who may use which route with testdata/rbac.txt. The table was compared with the expectations of Ironic's own tests
// of roles. A route stands for all that its rule protects: its handler is not run, unless the handler asks the rule.
func TestRoles(t *testing.T) {
	cfg := store.Defaults()
	cfg.DataDir = t.TempDir()
	s, err := store.Open(t.Context(), cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	objects := makeRBACObjects(t, s)
	var who policy.Caller
	config := Defaults()
	config.ElevatedServiceProject = "service"
	a, err := New(config, Deps{Log: slog.New(slog.DiscardHandler), Store: &rbacStore{s, objects.node}, Authenticator: fixedCaller{&who}})
	if err != nil {
		t.Fatal(err)
	}
	var only string
	routes := a.routes()
	var rows []route
	for i := range routes {
		r := &routes[i]
		if r.public || r.ramdisk || r.refusal {
			continue
		}
		rows = append(rows, *r)
		if !r.late {
			r.args = nil
			r.handle = func(rq *request) (any, error) { only = rq.only; return nil, nil }
		}
	}
	table := newTable(routes)
	ask := func(r *route, body string) string {
		path := r.path
		for name, value := range objects.path {
			path = strings.ReplaceAll(path, "{"+name+"}", value)
		}
		if o := r.object(); strings.Contains(path, "{"+o+"}") && a.kinds[o].load != nil {
			t.Errorf("%s: give an example of {%s}", path, o)
		}
		if r.late && path == "/v1/nodes/validate" {
			path += "?node=" + objects.node
		}
		var row strings.Builder
		group := ""
		for _, c := range callers() {
			if kind, _, _ := strings.Cut(c.name, "-"); kind != group && group != "" {
				row.WriteByte(' ')
				group = kind
			} else if group == "" {
				group = kind
			}
			who, only = c.who, ""
			rq := httptest.NewRequest(r.method, path, bytes.NewReader([]byte(body)))
			rq.Header.Set(versionHeader, "latest")
			w := httptest.NewRecorder()
			a.serve(w, rq, table, a.auth, true)
			switch {
			case w.Code == http.StatusForbidden:
				row.WriteByte('F')
			case w.Code == http.StatusNotFound:
				row.WriteByte('N')
			case only != "":
				row.WriteByte('o')
			case w.Code >= 500 && !r.late:
				t.Errorf("%s %s: %d %s", r.method, path, w.Code, w.Body)
			default:
				row.WriteByte('+')
			}
		}
		return row.String()
	}
	var got strings.Builder
	fmt.Fprintf(&got, "# + allowed, o the project's own, F forbidden (403), N not found (404); A admin, G manager, M member, R reader, S service\n# %s\n", columns)
	for i := range rows {
		r := &rows[i]
		line := func(what, body string) {
			fmt.Fprintf(&got, "%s  %-6s %s%s\n", ask(r, body), r.method, r.path, what)
		}
		if r.patched == nil {
			line("", objects.body(r))
			continue
		}
		for _, field := range a.patchedFields(r) {
			patch, _ := json.Marshal([]map[string]any{{"op": "add", "path": "/" + field, "value": false}})
			line(" "+field, string(patch))
		}
	}
	const path = "testdata/rbac.txt"
	if *updateRBAC {
		if err := os.WriteFile(path, []byte(got.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	expected := map[string]string{}
	for line := range strings.Lines(string(want)) {
		if verdicts, what, ok := strings.Cut(line, "  "); ok {
			expected[what] = verdicts
		}
	}
	for line := range strings.Lines(got.String()) {
		verdicts, what, ok := strings.Cut(line, "  ")
		switch before := expected[what]; {
		case !ok || before == verdicts:
		case before == "":
			t.Errorf("%s: %s is not in the table; enter it with -update-rbac", strings.TrimSpace(what), verdicts)
		default:
			t.Errorf("%s: %s, want %s; if that is right, run with -update-rbac\n(columns: %s)", strings.TrimSpace(what), verdicts, before, columns)
		}
		delete(expected, what)
	}
	for what := range expected {
		t.Errorf("%s is in testdata/rbac.txt and not in the API", strings.TrimSpace(what))
	}
}

// patchedFields are the names of what a patch of the route may change.
func (a *API) patchedFields(r *route) []string {
	switch r.path {
	case "/v1/nodes/{node}":
		return a.nodes.patchable(maxVersion)
	case "/v1/runbooks/{runbook}":
		return a.runbooks.patchable(maxVersion)
	}
	return []string{"x"}
}
