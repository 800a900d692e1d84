package api_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ferric"
	"ferric/rpc"
)

const allocationID = "5344a3e2-978a-444e-990a-cbf47c62ef88"

// refusal is a request that must not be obeyed.
type refusal struct {
	method, path string
	body         any
	status       int
	text         string
}

func (f *fixture) refuses(cases map[string]refusal) {
	t := f.t.(*testing.T)
	t.Helper()
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			f := f.with(t)
			r := f.must(c.status, c.method, c.path, c.body)
			if !strings.Contains(r.text(t), c.text) {
				t.Errorf("text %q, want %q in it", r.text(t), c.text)
			}
		})
	}
}

func TestAllocation(t *testing.T) {
	f := newFixture(t)
	node := f.node(m{"name": "metal-1", "resource_class": "bm-large"})
	r := f.must(201, "POST", "/v1/allocations", m{"uuid": allocationID, "name": "allocation-1", "resource_class": "bm-large", "traits": []string{"CUSTOM_GOLD"},
		"candidate_nodes": []string{"metal-1", node}, "owner": "p1", "extra": m{"a": "b"}})
	if got := r.header.Get("Location"); got != f.server.URL+"/v1/allocations/"+allocationID {
		t.Errorf("Location %q", got)
	}
	links := []any{m{"href": f.server.URL + "/v1/allocations/" + allocationID, "rel": "self"}, m{"href": f.server.URL + "/allocations/" + allocationID, "rel": "bookmark"}}
	want := m{"candidate_nodes": []any{node, node}, "created_at": "2026-11-22T10:11:12+00:00", "extra": m{"a": "b"}, "last_error": nil, "links": links,
		"name": "allocation-1", "node_uuid": nil, "owner": "p1", "resource_class": "bm-large", "state": "allocating", "traits": []any{"CUSTOM_GOLD"},
		"updated_at": nil, "uuid": allocationID}
	if diff := cmp.Diff(want, r.object(t)); diff != "" {
		t.Errorf("created (-want +got):\n%s", diff)
	}
	for _, path := range []string{"/v1/allocations/" + allocationID, "/v1/allocations/allocation-1", "/allocations/allocation-1", "1.90 /v1/allocations/allocation-1.json"} {
		if diff := cmp.Diff(want, f.must(200, "GET", path, nil).object(t)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", path, diff)
		}
	}
	if diff := cmp.Diff(m{"allocations": []any{want}}, f.must(200, "GET", "/v1/allocations", nil).object(t)); diff != "" {
		t.Errorf("list (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(m{"name": "allocation-1", "links": links}, f.must(200, "GET", "/v1/allocations/allocation-1?fields=name", nil).object(t)); diff != "" {
		t.Errorf("fields (-want +got):\n%s", diff)
	}
	got := f.must(200, "PATCH", "/v1/allocations/allocation-1", []m{{"op": "add", "path": "/extra/foo", "value": "bar"}, {"op": "replace", "path": "/name", "value": "new"}}).object(t)
	if got["name"] != "new" || got["extra"].(m)["foo"] != "bar" || got["updated_at"] == nil {
		t.Errorf("patched %v", got)
	}
	f.must(204, "DELETE", "/v1/allocations/new", nil)
	f.must(404, "GET", "/v1/allocations/new", nil)

	// Of a node.
	f.change(node, func(n *ferric.Node) { n.ProvisionState, n.InstanceID = ferric.Active, allocationID })
	got = f.must(201, "POST", "/v1/allocations", m{"name": "filled", "node": "metal-1"}).object(t)
	if got["uuid"] != allocationID || got["node_uuid"] != node || got["state"] != "active" || got["resource_class"] != "bm-large" {
		t.Errorf("backfilled %v", got)
	}
	if n := f.must(200, "GET", "/v1/nodes/metal-1", nil).object(t); n["allocation_uuid"] != allocationID {
		t.Errorf("allocation_uuid %v", n["allocation_uuid"])
	}
	if got := f.must(200, "GET", "/v1/nodes/metal-1/allocation?fields=uuid", nil).object(t)["uuid"]; got != allocationID {
		t.Errorf("the node's: %v", got)
	}
	f.must(204, "DELETE", "/v1/nodes/metal-1/allocation", nil)
	f.refuses(map[string]refusal{
		"no more":        {"GET", "/v1/nodes/metal-1/allocation", nil, 404, "Allocation for node metal-1 was not found"},
		"delete no more": {"DELETE", "/v1/nodes/metal-1/allocation", nil, 404, "Allocation for node metal-1 was not found"},
	})
	f.conductor.on(rpc.DestroyAllocation, func(any) (any, error) {
		return nil, ferric.Errorf(ferric.CodeConflict, "Cannot remove allocation x for node y, because the node is active (and maintenance mode is off)")
	})
	f.must(201, "POST", "/v1/allocations", m{"name": "kept", "resource_class": "x"})
	f.must(409, "DELETE", "/v1/allocations/kept", nil)
}

func TestAllocationList(t *testing.T) {
	f := newFixture(t)
	node := f.node(m{"name": "one", "resource_class": "a"})
	f.change(node, func(n *ferric.Node) { n.ProvisionState = ferric.Active })
	f.must(201, "POST", "/v1/allocations", m{"uuid": "1" + allocationID[1:], "name": "c1", "resource_class": "b", "owner": "p1"})
	f.must(201, "POST", "/v1/allocations", m{"uuid": "2" + allocationID[1:], "name": "b1", "node": "one"})
	f.must(201, "POST", "/v1/allocations", m{"uuid": "3" + allocationID[1:], "name": "a1", "resource_class": "a", "owner": "p2"})
	for query, want := range map[string]string{
		"": "c1 b1 a1", "node=one": "b1", "node=" + node: "b1", "resource_class=a": "b1 a1", "state=active": "b1", "state=allocating": "c1 a1", "state=error": "", "state=": "", "resource_class=": "", "owner=": "",
		"owner=p2": "a1", "sort_key=name": "a1 b1 c1", "sort_key=name&sort_dir=desc&limit=2": "c1 b1", "resource_class=a&state=allocating": "a1", "sort_key=state&limit=1": "b1",
	} {
		if got := strings.Join(names(t, f.must(200, "GET", "/v1/allocations?"+query, nil), "allocations"), " "); got != want {
			t.Errorf("%s: %s, want %s", query, got, want)
		}
	}
	next := f.must(200, "GET", "/v1/allocations?limit=2&resource_class=a&fields=name,uuid", nil).object(t)["next"].(string)
	if !strings.Contains(next, "/v1/allocations?sort_key=id&sort_dir=asc&fields=name,uuid&resource_class=a&limit=2&marker=") {
		t.Errorf("next %s", next)
	}
	if got := f.must(200, "GET", strings.TrimPrefix(next, f.server.URL), nil).object(t)["allocations"].([]any); len(got) != 0 {
		t.Errorf("the page after the last: %v", got)
	}
	f.refuses(map[string]refusal{
		"sort key":          {"GET", "/v1/allocations?sort_key=extra", nil, 400, `The sort_key value "extra" is an invalid field for sorting`},
		"sort key, foreign": {"GET", "/v1/allocations?sort_key=foo", nil, 400, `The sort_key value "foo" is an invalid field for sorting`},
		"node":              {"GET", "/v1/allocations?node=banana", nil, 400, "Node banana could not be found."},
		"no name":           {"GET", "/v1/allocations?node=a/b", nil, 400, "Expected UUID or name for node: a/b"},
		"owner too early":   {"GET", "1.59 /v1/allocations?owner=p1", nil, 406, "Request not acceptable."},
		"fields too early":  {"GET", "1.59 /v1/allocations?fields=owner", nil, 406, "Request not acceptable."},
		"field":             {"GET", "/v1/allocations?fields=foo", nil, 400, "foo"},
		"limit":             {"GET", "/v1/allocations?limit=0", nil, 400, "Limit must be positive"},
		"marker":            {"GET", "/v1/allocations?marker=" + nodeID, nil, 404, "Allocation " + nodeID + " could not be found."},
		"argument":          {"GET", "/v1/allocations?detail=true", nil, 400, "Unexpected arguments: detail"},
	})
}

func TestAllocationRefused(t *testing.T) {
	f := newFixture(t)
	f.node(m{"name": "one"})
	f.must(201, "POST", "/v1/allocations", m{"uuid": allocationID, "name": "taken", "resource_class": "x"})
	f.must(201, "POST", "/v1/allocations", m{"name": "other", "resource_class": "x"})
	post := func(change m) m {
		body := m{"name": "new", "resource_class": "x"}
		for k, v := range change {
			body[k] = v
		}
		return body
	}
	const path = "/v1/allocations"
	patch := func(op, path string, value any) []m { return []m{{"op": op, "path": path, "value": value}} }
	f.refuses(map[string]refusal{
		"no resource class":       {"POST", path, m{"name": "new"}, 400, "The resource_class field is mandatory when not backfilling"},
		"empty resource class":    {"POST", path, post(m{"resource_class": ""}), 400, "The resource_class field is mandatory when not backfilling"},
		"resource class, number":  {"POST", path, post(m{"resource_class": 1}), 400, "1 is not of type 'string', 'null'"},
		"resource class, long":    {"POST", path, post(m{"resource_class": strings.Repeat("x", 81)}), 400, "is too long"},
		"name, number":            {"POST", path, post(m{"name": 1}), 400, "1 is not of type 'string', 'null'"},
		"name, wrong":             {"POST", path, post(m{"name": "a b"}), 400, "Cannot create allocation with invalid name 'a b'"},
		"name, taken":             {"POST", path, post(m{"name": "taken"}), 409, "An allocation with name taken already exists."},
		"uuid, wrong":             {"POST", path, post(m{"uuid": "x"}), 400, "Expected UUID for uuid: x"},
		"uuid, taken":             {"POST", path, post(m{"uuid": allocationID}), 409, "An allocation with UUID " + allocationID + " already exists."},
		"traits, no list":         {"POST", path, post(m{"traits": "CUSTOM_A"}), 400, "is not of type 'array', 'null'"},
		"traits, wrong":           {"POST", path, post(m{"traits": []string{"invalid"}}), 400, "'invalid' is not valid under any of the given schemas"},
		"traits, number":          {"POST", path, post(m{"traits": []int{1}}), 400, "1 is not of type 'string'"},
		"candidates, no list":     {"POST", path, post(m{"candidate_nodes": "one"}), 400, "is not of type 'array', 'null'"},
		"candidates, number":      {"POST", path, post(m{"candidate_nodes": []any{1}}), 400, "1 is not of type 'string'"},
		"candidates, unknown":     {"POST", path, post(m{"candidate_nodes": []string{"one", "two", nodeID}}), 400, "Nodes cannot be found: two, " + nodeID},
		"candidates, no name":     {"POST", path, post(m{"candidate_nodes": []string{"a b"}}), 400, "Nodes cannot be found: a b"},
		"extra, no object":        {"POST", path, post(m{"extra": "x"}), 400, "is not of type 'object', 'null'"},
		"owner, number":           {"POST", path, post(m{"owner": 1}), 400, "1 is not of type 'string', 'null'"},
		"owner too early":         {"POST", "1.59 " + path, post(m{"owner": "p"}), 406, "Request not acceptable."},
		"node too early":          {"POST", "1.57 " + path, post(m{"node": "one"}), 400, "Cannot set node when creating an allocation in this API version"},
		"node, unknown":           {"POST", path, post(m{"node": "two"}), 400, "Node two could not be found."},
		"node, number":            {"POST", path, post(m{"node": 1}), 400, "1 is not of type 'string', 'null'"},
		"read-only":               {"POST", path, post(m{"state": "active"}), 400, "Additional properties are not allowed ('state' was unexpected)"},
		"read-only node_uuid":     {"POST", path, post(m{"node_uuid": nodeID}), 400, "Additional properties are not allowed ('node_uuid' was unexpected)"},
		"unknown":                 {"POST", path, post(m{"foo": 1}), 400, "Additional properties are not allowed ('foo' was unexpected)"},
		"no object":               {"POST", path, []int{1}, 400, "is not of type 'object'"},
		"patch, read-only":        {"PATCH", path + "/taken", patch("replace", "/state", "active"), 400, "Cannot patch /state. Only the following can be updated: name, extra"},
		"patch, resource class":   {"PATCH", path + "/taken", patch("replace", "/resource_class", "y"), 400, "Cannot patch /resource_class."},
		"patch, wrong name":       {"PATCH", path + "/taken", patch("replace", "/name", "a b"), 400, "Cannot update allocation with invalid name 'a b'"},
		"patch, name taken":       {"PATCH", path + "/other", patch("replace", "/name", "taken"), 409, "An allocation with name taken already exists."},
		"patch, name, number":     {"PATCH", path + "/taken", patch("replace", "/name", 1), 400, "1 is not of type 'string', 'null'"},
		"patch, extra, no object": {"PATCH", path + "/taken", patch("replace", "/extra", "x"), 400, "is not of type 'object', 'null'"},
		"patch, no such member":   {"PATCH", path + "/taken", patch("remove", "/extra/x", nil), 400, "can't remove a non-existent object 'x'"},
		"patch, unknown":          {"PATCH", path + "/nobody", patch("replace", "/name", "x"), 404, "Allocation nobody could not be found."},
		"show, unknown":           {"GET", path + "/nobody", nil, 404, "Allocation nobody could not be found."},
		"show, no name":           {"GET", path + "/a%20b", nil, 400, "Expected a logical name or UUID but received a b."},
		"delete, unknown":         {"DELETE", path + "/" + nodeID, nil, 404, "Allocation " + nodeID + " could not be found."},
		"delete all":              {"DELETE", path, nil, 400, "Missing mandatory parameter: allocation_ident"},
		"patch all":               {"PATCH", path, []m{}, 400, "Missing mandatory parameter: allocation_ident"},
		"of no node":              {"GET", "/v1/nodes/nobody/allocation", nil, 400, "Node nobody could not be found."},
		"delete of no node":       {"DELETE", "/v1/nodes/nobody/allocation", nil, 404, "Node nobody could not be found."},
	})
	if r := f.do("PATCH", path+"/taken", patch("replace", "/name", "x"), "If-Match", `"7"`); r.status != 412 {
		t.Errorf("If-Match: %d %s", r.status, r.body)
	}
	if r := f.do("DELETE", path+"/taken", nil, "If-Match", `"7"`); r.status != 412 {
		t.Errorf("If-Match: %d %s", r.status, r.body)
	}
}
