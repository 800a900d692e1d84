package api_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const ruleID = "1f3ee449-08cd-4e3f-91e5-9cfda674081a"

// failing is the smallest action.
func failing() []any { return []any{m{"op": "fail", "args": m{"msg": "x"}}} }

func TestInspectionRules(t *testing.T) {
	f := newFixture(t)
	const path = "/v1/inspection_rules"
	// The request of Ironic's documentation.
	made := f.must(201, "POST", path, m{"uuid": strings.ToUpper(ruleID), "description": "Set properties on discovered data", "phase": "main", "priority": 50,
		"conditions": []any{m{"op": "is-true", "args": m{"value": "{inventory[cpu][count]}"}}},
		"actions": []any{m{"op": "set-attribute", "args": m{"path": "/properties/cpus", "value": "{inventory[cpu][count]}"}},
			m{"op": "set-attribute", "args": []any{"{item[a]}", "x"}, "loop": []any{m{"a": "b"}}, "comment": "not kept"}}})
	if got := made.header.Get("Location"); got != f.server.URL+path+"/"+ruleID {
		t.Errorf("Location %q", got)
	}
	want := m{"uuid": ruleID, "description": "Set properties on discovered data", "phase": "main", "priority": 50.0, "sensitive": false,
		"conditions": []any{m{"op": "is-true", "args": m{"value": "{inventory[cpu][count]}"}}},
		"actions": []any{m{"op": "set-attribute", "args": m{"path": "/properties/cpus", "value": "{inventory[cpu][count]}"}},
			m{"op": "set-attribute", "args": []any{"{item[a]}", "x"}, "loop": []any{m{"a": "b"}}}},
		"created_at": "2026-11-22T10:11:12+00:00", "updated_at": nil,
		"links": []any{m{"href": f.server.URL + path + "/" + ruleID, "rel": "self"}, m{"href": f.server.URL + "/inspection_rules/" + ruleID, "rel": "bookmark"}}}
	if diff := cmp.Diff(want, made.object(t)); diff != "" {
		t.Errorf("created: %s", diff)
	}
	if diff := cmp.Diff(want, f.must(200, "GET", path+"/"+ruleID, nil).object(t)); diff != "" {
		t.Errorf("shown: %s", diff)
	}
	if diff := cmp.Diff(want, f.must(200, "GET", path+"?detail=true", nil).object(t)["inspection_rules"].([]any)[0]); diff != "" {
		t.Errorf("in the detailed list: %s", diff)
	}
	brief := m{"uuid": ruleID, "description": want["description"], "phase": "main", "priority": 50.0, "sensitive": false, "links": want["links"]}
	if diff := cmp.Diff(brief, f.must(200, "GET", path, nil).object(t)["inspection_rules"].([]any)[0]); diff != "" {
		t.Errorf("in the list: %s", diff)
	}

	// The patch of Ironic's documentation.
	patched := f.must(200, "PATCH", path+"/"+ruleID, []m{{"path": "/description", "value": "Updated", "op": "replace"},
		{"path": "/priority", "value": 75, "op": "replace"},
		{"path": "/conditions/0", "value": m{"op": "!eq", "args": m{"values": []any{1, 2}}, "loop": []any{1}}, "op": "replace"},
		{"path": "/actions/-", "value": m{"op": "log", "args": m{"msg": "hi"}}, "op": "add"}, {"path": "/actions/1", "op": "remove"}}).object(t)
	if diff := cmp.Diff([]any{"Updated", 75.0, []any{m{"op": "!eq", "args": m{"values": []any{1.0, 2.0}}, "loop": []any{1.0}, "multiple": "any"}},
		[]any{want["actions"].([]any)[0], m{"op": "log", "args": m{"msg": "hi"}}}, want["created_at"], want["created_at"]},
		[]any{patched["description"], patched["priority"], patched["conditions"], patched["actions"], patched["created_at"], patched["updated_at"]}); diff != "" {
		t.Errorf("patched: %s", diff)
	}
	f.must(412, "PATCH", path+"/"+ruleID, []m{{"path": "/priority", "value": 1, "op": "replace"}}, "If-Match", made.header.Get("Etag"))

	// What a sensitive rule does is shown to nobody.
	secret := f.must(201, "POST", path, m{"sensitive": true, "priority": 1, "actions": []any{m{"op": "set-attribute", "args": m{"path": "driver_info/p", "value": "geheim"}}}}).object(t)
	id := secret["uuid"].(string)
	for name, r := range map[string]reply{"show": f.must(200, "GET", path+"/"+id, nil), "list": f.must(200, "GET", path+"?detail=True", nil),
		"fields": f.must(200, "GET", path+"?fields=actions,conditions", nil), "patch": f.must(200, "PATCH", path+"/"+id, []m{{"op": "add", "path": "/description", "value": "d"}})} {
		if strings.Contains(string(r.body), "geheim") || !strings.Contains(string(r.body), `"actions":null`) {
			t.Errorf("%s: %s", name, r.body)
		}
	}
	for _, op := range []m{{"op": "replace", "path": "/sensitive", "value": false}, {"op": "remove", "path": "/sensitive"}} {
		if r := f.must(400, "PATCH", path+"/"+id, []m{op}); !strings.Contains(r.text(t), "Reason: Inspection rules cannot have the sensitive flag unset.") {
			t.Errorf("%v: %s", op, r.body)
		}
	}

	page := f.must(200, "GET", path+"?limit=1&sort_key=priority&sort_dir=desc&phase=main", nil).object(t)
	if next, _ := page["next"].(string); !strings.HasPrefix(next, f.server.URL+path+"?sort_key=priority&sort_dir=desc&") || !strings.Contains(next, "&phase=main&limit=1&marker="+ruleID) {
		t.Errorf("next: %v", page["next"])
	}
	if list := f.must(200, "GET", path+"?phase=other", nil).object(t)["inspection_rules"].([]any); len(list) != 0 {
		t.Errorf("of another phase: %v", list)
	}
	f.must(204, "DELETE", path+"/"+id, nil)
	f.must(404, "DELETE", path+"/"+id, nil)
	f.must(204, "DELETE", path, nil)
	if list := f.must(200, "GET", path, nil).object(t)["inspection_rules"].([]any); len(list) != 0 {
		t.Errorf("after all were deleted: %v", list)
	}
}

func TestInspectionRulesRefused(t *testing.T) {
	f := newFixture(t)
	const path = "/v1/inspection_rules"
	f.must(201, "POST", path, m{"uuid": ruleID, "actions": failing()})
	with := func(name string, v any) m { return m{"actions": failing(), name: v} }
	one := path + "/" + ruleID
	op := func(op, path string, v any) []m { return []m{{"op": op, "path": path, "value": v}} }
	for name, c := range map[string]struct {
		method, path string
		body         any
		status       int
		text         string
	}{
		"no object":               {"POST", path, []any{}, 400, "is not of type 'object'"},
		"no actions":              {"POST", path, m{}, 400, "'actions' is a required property"},
		"null actions":            {"POST", path, m{"actions": nil}, 400, "'actions' is a required property"},
		"empty actions":           {"POST", path, m{"actions": []any{}}, 400, "non-empty"},
		"actions, wrong type":     {"POST", path, m{"actions": "x"}, 400, "'x' is not of type 'array'"},
		"unknown field":           {"POST", path, with("scope", "x"), 400, "Additional properties are not allowed ('scope' was unexpected)"},
		"read-only field":         {"POST", path, with("created_at", "x"), 400, "'created_at' was unexpected"},
		"uuid":                    {"POST", path, with("uuid", "x"), 400, "Expected UUID for uuid: x"},
		"uuid, type":              {"POST", path, with("uuid", 1), 400, "1 is not of type 'string'"},
		"uuid, duplicate":         {"POST", path, with("uuid", ruleID), 409, "A rule with UUID " + ruleID + " already exists."},
		"description, type":       {"POST", path, with("description", 1), 400, "is not of type 'string'"},
		"description, long":       {"POST", path, with("description", strings.Repeat("x", 256)), 400, "is too long"},
		"phase":                   {"POST", path, with("phase", "early"), 400, "Invalid phase: early. Valid phases are: main"},
		"phase, null":             {"POST", path, with("phase", nil), 400, "Invalid phase: None. Valid phases are: main"},
		"phase, long":             {"POST", path, with("phase", strings.Repeat("x", 17)), 400, "is too long"},
		"phase, type":             {"POST", path, with("phase", true), 400, "is not of type"},
		"priority, type":          {"POST", path, with("priority", "1"), 400, "'1' is not of type 'integer'"},
		"priority, fraction":      {"POST", path, with("priority", 1.5), 400, "1.5 is not of type 'integer'"},
		"priority, null":          {"POST", path, with("priority", nil), 400, "None is not of type 'integer'"},
		"priority, negative":      {"POST", path, with("priority", -1), 400, "-1 is less than the minimum of 0"},
		"priority, high":          {"POST", path, with("priority", 10000), 400, "Priority must be between 0 and 9999 for user-defined rules."},
		"sensitive, type":         {"POST", path, with("sensitive", "yes"), 400, "'yes' is not of type 'boolean'"},
		"conditions, type":        {"POST", path, with("conditions", m{}), 400, "{} is not of type 'array'"},
		"condition, unknown":      {"POST", path, with("conditions", []any{m{"op": "ne", "args": m{}}}), 400, "'ne' is not one of"},
		"condition, no args":      {"POST", path, with("conditions", []any{m{"op": "eq"}}), 400, "'args' is a required property"},
		"condition, missing":      {"POST", path, with("conditions", []any{m{"op": "eq", "args": m{}}}), 400, "Inspection rule validation failed. Reason: missing required argument(s): values"},
		"condition, too much":     {"POST", path, with("conditions", []any{m{"op": "is-none", "args": m{"value": 1, "x": 2}}}), 400, "unexpected argument(s): x"},
		"condition, multiple":     {"POST", path, with("conditions", []any{m{"op": "is-none", "args": []any{1}, "multiple": "most"}}), 400, "'most' is not one of"},
		"action, unknown":         {"POST", path, m{"actions": []any{m{"op": "reboot", "args": m{}}}}, 400, "'reboot' is not one of"},
		"action, missing":         {"POST", path, m{"actions": []any{m{"op": "fail", "args": []any{}}}}, 400, "Missing: msg"},
		"several":                 {"POST", path, m{"actions": failing(), "phase": "x", "priority": 10000}, 400, "Multiple validation errors occurred: Invalid phase: x"},
		"bad JSON":                {"POST", path, "{", 400, "Malformed JSON"},
		"show, no UUID":           {"GET", path + "/name", nil, 400, "Expected UUID for inspection_rule_uuid: name"},
		"show, unknown":           {"GET", path + "/" + nodeID, nil, 404, "Rule " + nodeID + " could not be found."},
		"show, bad field":         {"GET", one + "?fields=colour", nil, 400, "colour"},
		"patch, unknown rule":     {"PATCH", path + "/" + nodeID, op("add", "/priority", 1), 404, "could not be found"},
		"patch, no list":          {"PATCH", one, m{}, 400, "is not of type 'array'"},
		"patch, bad operation":    {"PATCH", one, op("move", "/priority", 1), 400, "'move' is not one of"},
		"patch, uuid":             {"PATCH", one, op("replace", "/uuid", nodeID), 400, "Cannot patch /uuid."},
		"patch, unknown field":    {"PATCH", one, op("add", "/colour", 1), 400, "Cannot patch /colour."},
		"patch, no actions":       {"PATCH", one, []m{{"op": "remove", "path": "/actions"}}, 400, "'actions' is a required property"},
		"patch, last action":      {"PATCH", one, []m{{"op": "remove", "path": "/actions/0"}}, 400, "non-empty"},
		"patch, bad action":       {"PATCH", one, op("add", "/actions/-", m{"op": "x", "args": m{}}), 400, "'x' is not one of"},
		"patch, below an action":  {"PATCH", one, op("add", "/actions/0/args/x", 1), 400, "unexpected argument(s): x"},
		"patch, index":            {"PATCH", one, op("replace", "/actions/7", m{}), 400, "/actions/7"},
		"patch, phase":            {"PATCH", one, op("replace", "/phase", "x"), 400, "Invalid phase: x"},
		"patch, priority":         {"PATCH", one, op("replace", "/priority", -1), 400, "less than the minimum"},
		"delete, no UUID":         {"DELETE", path + "/name", nil, 400, "Expected UUID"},
		"list, sort key":          {"GET", path + "?sort_key=actions", nil, 400, `The sort_key value "actions" is an invalid field for sorting`},
		"list, direction":         {"GET", path + "?sort_dir=up", nil, 400, "Invalid sort direction"},
		"list, limit":             {"GET", path + "?limit=0", nil, 400, "Limit must be positive"},
		"list, marker":            {"GET", path + "?marker=" + nodeID, nil, 404, "Rule " + nodeID + " could not be found."},
		"list, fields and detail": {"GET", path + "?fields=uuid&detail=True", nil, 400, "Can not specify ?detail=True and fields"},
		"list, unknown argument":  {"GET", path + "?x=1", nil, 400, "Unexpected arguments: x"},
		"put":                     {"PUT", one, m{}, 405, ""},
	} {
		t.Run(name, func(t *testing.T) {
			r := f.with(t).must(c.status, c.method, c.path, c.body)
			if text := r.text(t); !strings.Contains(text, c.text) {
				t.Errorf("%q, want %q", text, c.text)
			}
		})
	}
	for name, c := range map[string]struct {
		method, path string
		body         any
	}{"list": {"GET", path, nil}, "create": {"POST", path, m{"actions": failing()}}, "show": {"GET", one, nil}, "delete": {"DELETE", one, nil}, "delete all": {"DELETE", path, nil},
		"patch": {"PATCH", one, op("add", "/priority", 1)}} {
		if r := f.do(c.method, "1.95 "+c.path, c.body); r.status != 404 {
			t.Errorf("%s at 1.95: %d %s", name, r.status, r.body)
		}
	}
	for v := range []int{96, 115} {
		f.must(200, "GET", fmt.Sprintf("1.%d %s", []int{96, 115}[v], one), nil)
	}
}
