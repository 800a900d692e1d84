package api_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ferric"
	"ferric/api"
	"ferric/flow"
	"ferric/policy"
	"ferric/rpc"
)

const (
	templateID = "bbb45f41-d4bc-4307-8d1d-32f95ce1e920"
	runbookID  = "fc6b1709-8dd5-86b0-2d34-5203d1c29127"
)

// aStep is a step with a place: "priority" or "order".
func aStep(place string, change m) m {
	s := m{"interface": "bios", "step": "apply_configuration", "args": m{"settings": []any{m{"name": "LogicalProc", "value": "Enabled"}}}, place: 150.0}
	for k, v := range change {
		if v == nil {
			delete(s, k)
			continue
		}
		s[k] = v
	}
	return s
}

func TestDeployTemplate(t *testing.T) {
	f := newFixture(t)
	r := f.must(201, "POST", "/v1/deploy_templates", m{"uuid": templateID, "name": "CUSTOM_HYPERTHREADING_ON", "extra": m{"a": "b"}, "description": "dropped",
		"steps": []m{aStep("priority", nil)}})
	if got := r.header.Get("Location"); got != f.server.URL+"/v1/deploy_templates/"+templateID {
		t.Errorf("Location %q", got)
	}
	links := []any{m{"href": f.server.URL + "/v1/deploy_templates/" + templateID, "rel": "self"},
		m{"href": f.server.URL + "/deploy_templates/" + templateID, "rel": "bookmark"}}
	want := m{"created_at": "2026-11-22T10:11:12+00:00", "extra": m{"a": "b"}, "links": links, "name": "CUSTOM_HYPERTHREADING_ON",
		"steps": []any{aStep("priority", nil)}, "updated_at": nil, "uuid": templateID}
	if diff := cmp.Diff(want, r.object(t)); diff != "" {
		t.Errorf("created (-want +got):\n%s", diff)
	}
	for _, path := range []string{templateID, "CUSTOM_HYPERTHREADING_ON"} {
		if diff := cmp.Diff(want, f.must(200, "GET", "/v1/deploy_templates/"+path, nil).object(t)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", path, diff)
		}
	}
	brief := m{"links": links, "name": "CUSTOM_HYPERTHREADING_ON", "uuid": templateID}
	for query, object := range map[string]m{"": brief, "?detail=True": want, "?fields=uuid,name": brief} {
		if diff := cmp.Diff(m{"deploy_templates": []any{object}}, f.must(200, "GET", "/v1/deploy_templates"+query, nil).object(t)); diff != "" {
			t.Errorf("list %s (-want +got):\n%s", query, diff)
		}
	}
	got := f.must(200, "PATCH", "/v1/deploy_templates/"+templateID, []m{{"op": "replace", "path": "/name", "value": "CUSTOM_HT_ON"},
		{"op": "replace", "path": "/steps/0/priority", "value": "0"},
		{"op": "add", "path": "/steps/-", "value": m{"interface": "raid", "step": "x", "args": m{"password": "secret"}, "priority": 1}}}).object(t)
	want["name"], want["updated_at"] = "CUSTOM_HT_ON", "2026-11-22T10:11:12+00:00"
	want["steps"] = []any{aStep("priority", m{"priority": 0.0}), m{"interface": "raid", "step": "x", "args": m{"password": "******"}, "priority": 1.0}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("patched (-want +got):\n%s", diff)
	}
	// What was masked and comes back keeps its value.
	f.must(200, "PATCH", "/v1/deploy_templates/"+templateID, []m{{"op": "replace", "path": "/steps", "value": got["steps"]}})
	stored, err := f.store.DeployTemplate(t.Context(), templateID)
	if err != nil || stored.Steps[1].Args["password"] != "secret" {
		t.Errorf("%+v, %v", stored, err)
	}
	f.must(204, "DELETE", "/v1/deploy_templates/CUSTOM_HT_ON", nil)
	f.must(404, "GET", "/v1/deploy_templates/CUSTOM_HT_ON", nil)
}

func TestDeployTemplateRefused(t *testing.T) {
	f := newFixture(t)
	f.must(201, "POST", "/v1/deploy_templates", m{"uuid": templateID, "name": "CUSTOM_TAKEN", "steps": []m{aStep("priority", nil)}})
	f.must(201, "POST", "/v1/deploy_templates", m{"name": "CUSTOM_OTHER", "steps": []m{aStep("priority", nil)}})
	const path = "/v1/deploy_templates"
	post := func(change m) m {
		body := m{"name": "CUSTOM_NEW", "steps": []m{aStep("priority", nil)}}
		for k, v := range change {
			if v == nil {
				delete(body, k)
				continue
			}
			body[k] = v
		}
		return body
	}
	with := func(change m) m { return post(m{"steps": []m{aStep("priority", change)}}) }
	patch := func(op, at string, value any) refusal {
		return refusal{"PATCH", path + "/CUSTOM_TAKEN", []m{{"op": op, "path": at, "value": value}}, 400, ""}
	}
	f.refuses(map[string]refusal{
		"no name":                 {"POST", path, post(m{"name": nil}), 400, "'name' is a required property"},
		"name, no trait":          {"POST", path, post(m{"name": "new"}), 400, "'new' is not valid under any of the given schemas"},
		"name, long":              {"POST", path, post(m{"name": "CUSTOM_" + strings.Repeat("X", 249)}), 400, "is not valid under any of the given schemas"},
		"name, number":            {"POST", path, post(m{"name": 1}), 400, "1 is not of type 'string'"},
		"name, taken":             {"POST", path, post(m{"name": "CUSTOM_TAKEN"}), 409, "A deploy template with name CUSTOM_TAKEN already exists."},
		"uuid, taken":             {"POST", path, post(m{"uuid": templateID}), 409, "A deploy template with UUID " + templateID + " already exists."},
		"uuid, wrong":             {"POST", path, post(m{"uuid": "x"}), 400, "Expected UUID for uuid: x"},
		"extra":                   {"POST", path, post(m{"extra": 1}), 400, "1 is not of type 'object', 'null'"},
		"description, number":     {"POST", path, post(m{"description": 1}), 400, "1 is not of type 'string', 'null'"},
		"description, long":       {"POST", path, post(m{"description": strings.Repeat("x", 256)}), 400, "is too long"},
		"unknown":                 {"POST", path, post(m{"foo": 1}), 400, "('foo' was unexpected)"},
		"no steps":                {"POST", path, post(m{"steps": nil}), 400, "'steps' is a required property"},
		"empty steps":             {"POST", path, post(m{"steps": []m{}}), 400, "[] is too short"},
		"steps, no list":          {"POST", path, post(m{"steps": m{}}), 400, "is not of type 'array'"},
		"step, no object":         {"POST", path, post(m{"steps": []int{1}}), 400, "1 is not of type 'object'"},
		"step, unknown key":       {"POST", path, with(m{"foo": 1}), 400, "('foo' was unexpected)"},
		"step, order":             {"POST", path, with(m{"order": 1}), 400, "('order' was unexpected)"},
		"step, no interface":      {"POST", path, with(m{"interface": nil}), 400, "'interface' is a required property"},
		"step, interface, number": {"POST", path, with(m{"interface": 1}), 400, "1 is not of type 'string'"},
		"step, interface, wrong":  {"POST", path, with(m{"interface": "boot"}), 400, "'boot' is not one of ['bios', 'deploy', 'firmware', 'management', 'power', 'raid', 'vendor']"},
		"step, no step":           {"POST", path, with(m{"step": nil}), 400, "'step' is a required property"},
		"step, empty step":        {"POST", path, with(m{"step": ""}), 400, "'' is too short"},
		"step, step, number":      {"POST", path, with(m{"step": 1}), 400, "1 is not of type 'string'"},
		"step, no args":           {"POST", path, with(m{"args": nil}), 400, "'args' is a required property"},
		"step, args, no object":   {"POST", path, with(m{"args": "x"}), 400, "'x' is not of type 'object'"},
		"step, no priority":       {"POST", path, with(m{"priority": nil}), 400, "'priority' is a required property"},
		"step, priority, less":    {"POST", path, with(m{"priority": -1}), 400, "-1 is not valid"},
		"step, priority, half":    {"POST", path, with(m{"priority": 1.5}), 400, "1.5 is not valid"},
		"step, priority, word":    {"POST", path, with(m{"priority": "x"}), 400, "'x' is not valid"},
		"step, priority, empty":   {"POST", path, with(m{"priority": ""}), 400, "'' is not valid"},
		"duplicate":               {"POST", path, post(m{"steps": []m{aStep("priority", nil), aStep("priority", m{"priority": 1})}}), 400, "Duplicate deploy steps. A template cannot have multiple deploy steps with the same interface and step. Duplicates: interface: bios, step: apply_configuration."},
		"patch, read-only":        patch("replace", "/uuid", runbookID),
		"patch, no name":          patch("remove", "/name", nil),
		"patch, wrong name":       patch("replace", "/name", "x"),
		"patch, no steps":         patch("remove", "/steps", nil),
		"patch, empty steps":      patch("replace", "/steps", []m{}),
		"patch, last step":        patch("remove", "/steps/0", nil),
		"patch, no such step":     patch("replace", "/steps/1/priority", 1),
		"patch, wrong priority":   patch("replace", "/steps/0/priority", -1),
		"patch, same step":        patch("add", "/steps/-", aStep("priority", nil)),
		"patch, name taken":       {"PATCH", path + "/CUSTOM_OTHER", []m{{"op": "replace", "path": "/name", "value": "CUSTOM_TAKEN"}}, 409, "A deploy template with name CUSTOM_TAKEN already exists."},
		"patch, unknown":          {"PATCH", path + "/nobody", []m{}, 404, "Deploy template nobody could not be found."},
		"show, unknown":           {"GET", path + "/nobody", nil, 404, "Deploy template nobody could not be found."},
		"delete, unknown":         {"DELETE", path + "/" + nodeID, nil, 404, "Deploy template " + nodeID + " could not be found."},
		"delete all":              {"DELETE", path, nil, 400, "Missing mandatory parameter: template_ident"},
		"sort key":                {"GET", path + "?sort_key=steps", nil, 400, `The sort_key value "steps" is an invalid field for sorting`},
		"detail and fields":       {"GET", path + "?detail=true&fields=name", nil, 400, "Can not specify ?detail=True and fields in the same request."},
		"field":                   {"GET", path + "?fields=description", nil, 400, "description"},
		"marker":                  {"GET", path + "?marker=nobody", nil, 404, "Deploy template nobody could not be found."},
	})
}

func TestRunbook(t *testing.T) {
	f := newFixture(t)
	r := f.must(201, "POST", "1.111 /v1/runbooks", m{"uuid": runbookID, "name": "CUSTOM_AWESOME", "extra": m{}, "steps": []m{aStep("order", m{"order": 1})}})
	if got := r.header.Get("Location"); got != f.server.URL+"/v1/runbooks/"+runbookID {
		t.Errorf("Location %q", got)
	}
	links := []any{m{"href": f.server.URL + "/v1/runbooks/" + runbookID, "rel": "self"}, m{"href": f.server.URL + "/runbooks/" + runbookID, "rel": "bookmark"}}
	want := m{"created_at": "2026-11-22T10:11:12+00:00", "disable_ramdisk": false, "extra": m{}, "links": links, "name": "CUSTOM_AWESOME", "public": false,
		"owner": nil, "steps": []any{aStep("order", m{"order": 1.0})}, "updated_at": nil, "uuid": runbookID}
	if diff := cmp.Diff(want, r.object(t)); diff != "" {
		t.Errorf("created (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(m{"runbooks": []any{want}}, f.must(200, "GET", "1.92 /v1/runbooks?detail=True", nil).object(t)); diff != "" {
		t.Errorf("list (-want +got):\n%s", diff)
	}
	brief := m{"links": links, "name": "CUSTOM_AWESOME", "uuid": runbookID}
	if diff := cmp.Diff(m{"runbooks": []any{brief}}, f.must(200, "GET", "/v1/runbooks?project=true", nil).object(t)); diff != "" {
		t.Errorf("brief list (-want +got):\n%s", diff)
	}
	got := f.must(200, "PATCH", "/v1/runbooks/CUSTOM_AWESOME", []m{{"op": "replace", "path": "/name", "value": "free.name~1"}, {"op": "add", "path": "/description", "value": "d"},
		{"op": "replace", "path": "/disable_ramdisk", "value": true}, {"op": "add", "path": "/owner", "value": "p1"}}).object(t)
	if got["name"] != "free.name~1" || got["description"] != "d" || got["disable_ramdisk"] != true || got["owner"] != "p1" || got["updated_at"] == nil {
		t.Errorf("patched %v", got)
	}
	// A runbook that is made public has no owner, and one that has may not be public.
	got = f.must(200, "PATCH", "/v1/runbooks/free.name~1", []m{{"op": "replace", "path": "/public", "value": true}}).object(t)
	if got["public"] != true || got["owner"] != nil {
		t.Errorf("published %v", got)
	}
	f.must(400, "PATCH", "/v1/runbooks/free.name~1", []m{{"op": "add", "path": "/owner", "value": "p2"}})
	f.must(400, "PATCH", "/v1/runbooks/free.name~1", []m{{"op": "add", "path": "/owner", "value": "p2"}, {"op": "replace", "path": "/public", "value": true}})
	got = f.must(200, "PATCH", "/v1/runbooks/free.name~1", []m{{"op": "replace", "path": "/public", "value": false}, {"op": "add", "path": "/owner", "value": "p2"}}).object(t)
	if got["public"] != false || got["owner"] != "p2" {
		t.Errorf("taken back %v", got)
	}
	// Old clients can still change a runbook with a free name.
	f.must(200, "PATCH", "1.92 /v1/runbooks/"+runbookID, []m{{"op": "replace", "path": "/extra", "value": m{"a": 1}}})

	traits := func(want ...any) {
		t.Helper()
		if diff := cmp.Diff(m{"traits": append([]any{}, want...)}, f.must(200, "GET", "/v1/runbooks/"+runbookID+"/traits", nil).object(t)); diff != "" {
			t.Errorf("traits (-want +got):\n%s", diff)
		}
	}
	traits()
	f.must(204, "PUT", "/v1/runbooks/free.name~1/traits", m{"traits": []string{"CUSTOM_B", "CUSTOM_A", "CUSTOM_B"}})
	traits("CUSTOM_A", "CUSTOM_B")
	r = f.must(204, "PUT", "/v1/runbooks/free.name~1/traits/CUSTOM_C", nil)
	if got := r.header.Get("Location"); got != f.server.URL+"/v1/runbooks/free.name~1/traits/CUSTOM_C" {
		t.Errorf("Location %q", got)
	}
	f.must(204, "DELETE", "/v1/runbooks/free.name~1/traits/CUSTOM_A", nil)
	f.must(204, "DELETE", "/v1/runbooks/free.name~1/traits/CUSTOM_A", nil)
	traits("CUSTOM_B", "CUSTOM_C")
	if got := f.must(200, "GET", "/v1/runbooks/"+runbookID, nil).object(t)["traits"]; !cmp.Equal(got, []any{"CUSTOM_B", "CUSTOM_C"}) {
		t.Errorf("shown traits %v", got)
	}
	f.must(204, "DELETE", "/v1/runbooks/free.name~1/traits", nil)
	traits()
	f.must(204, "DELETE", "/v1/runbooks/"+runbookID, nil)
	f.must(404, "GET", "/v1/runbooks/"+runbookID+"/traits", nil)
}

func TestRunbookRefused(t *testing.T) {
	f := newFixture(t)
	f.must(201, "POST", "/v1/runbooks", m{"uuid": runbookID, "name": "taken", "steps": []m{aStep("order", nil)}})
	f.must(201, "POST", "/v1/runbooks", m{"name": "other", "steps": []m{aStep("order", m{"args": nil})}})
	const path, one = "/v1/runbooks", "/v1/runbooks/taken"
	post := func(change m) m {
		body := m{"name": "CUSTOM_NEW", "steps": []m{aStep("order", nil)}}
		for k, v := range change {
			if v == nil {
				delete(body, k)
				continue
			}
			body[k] = v
		}
		return body
	}
	patch := func(op, at string, value any) []m { return []m{{"op": op, "path": at, "value": value}} }
	f.refuses(map[string]refusal{
		"no name":               {"POST", path, post(m{"name": nil}), 400, "'name' is a required property"},
		"name, free too early":  {"POST", "1.111 " + path, post(m{"name": "new"}), 400, "'new' is not valid under any of the given schemas"},
		"name, wrong":           {"POST", path, post(m{"name": "a b"}), 400, "'a b' does not match"},
		"name, empty":           {"POST", path, post(m{"name": ""}), 400, "'' does not match"},
		"name, long":            {"POST", path, post(m{"name": strings.Repeat("x", 256)}), 400, "does not match"},
		"name, number":          {"POST", path, post(m{"name": 1}), 400, "1 is not of type 'string'"},
		"name, taken":           {"POST", path, post(m{"name": "taken"}), 409, "A runbook with name taken already exists."},
		"uuid, taken":           {"POST", path, post(m{"uuid": runbookID}), 409, "A runbook with UUID " + runbookID + " already exists."},
		"uuid, wrong":           {"POST", path, post(m{"uuid": "x"}), 400, "Expected UUID for uuid: x"},
		"description too early": {"POST", "1.111 " + path, post(m{"description": "d"}), 400, "('description' was unexpected)"},
		"description, long":     {"POST", path, post(m{"description": strings.Repeat("x", 256)}), 400, "is too long"},
		"traits":                {"POST", path, post(m{"traits": []string{"CUSTOM_A"}}), 400, "('traits' was unexpected)"},
		"owner, number":         {"POST", path, post(m{"owner": 1}), 400, "1 is not of type 'string', 'null'"},
		"public, word":          {"POST", path, post(m{"public": "yes"}), 400, "'yes' is not of type 'boolean', 'null'"},
		"disable_ramdisk, word": {"POST", path, post(m{"disable_ramdisk": "yes"}), 400, "'yes' is not of type 'boolean', 'null'"},
		"extra":                 {"POST", path, post(m{"extra": 1}), 400, "1 is not of type 'object', 'null'"},
		"unknown":               {"POST", path, post(m{"foo": 1}), 400, "('foo' was unexpected)"},
		"no steps":              {"POST", path, post(m{"steps": nil}), 400, "'steps' is a required property"},
		"empty steps":           {"POST", path, post(m{"steps": []m{}}), 400, "[] is too short"},
		"step, no order":        {"POST", path, post(m{"steps": []m{aStep("order", m{"order": nil})}}), 400, "'order' is a required property"},
		"step, order, less":     {"POST", path, post(m{"steps": []m{aStep("order", m{"order": -1})}}), 400, "-1 is not valid"},
		"step, priority":        {"POST", path, post(m{"steps": []m{aStep("order", m{"priority": 1})}}), 400, "('priority' was unexpected)"},
		"step, interface":       {"POST", path, post(m{"steps": []m{aStep("order", m{"interface": "network"})}}), 400, "'network' is not one of"},
		"duplicate":             {"POST", path, post(m{"steps": []m{aStep("order", nil), aStep("order", nil)}}), 400, "Duplicates: interface: bios, step: apply_configuration"},
		"patch, traits":         {"PATCH", one, patch("add", "/traits", []string{"CUSTOM_A"}), 400, "Cannot patch /traits. Only the following can be updated: disable_ramdisk, extra, name, owner, public, steps, description"},
		"patch, description":    {"PATCH", "1.111 " + one, patch("add", "/description", "d"), 400, "Cannot patch /description. Only the following can be updated: disable_ramdisk, extra, name, owner, public, steps"},
		"patch, uuid":           {"PATCH", one, patch("replace", "/uuid", nodeID), 400, "Cannot patch /uuid."},
		"patch, name taken":     {"PATCH", path + "/other", patch("replace", "/name", "taken"), 409, "A runbook with name taken already exists."},
		"patch, no name":        {"PATCH", one, patch("remove", "/name", nil), 400, "'name' is a required property"},
		"patch, unknown":        {"PATCH", path + "/nobody", patch("replace", "/name", "x"), 404, "Runbook nobody could not be found."},
		"traits, none given":    {"PUT", one + "/traits", m{}, 400, "A single runbook trait may be added via PUT /v1/runbooks/<runbook identifier>/traits/<trait> with no body"},
		"traits, no list":       {"PUT", one + "/traits", m{"traits": "CUSTOM_A"}, 400, "is not of type 'array'"},
		"traits, null":          {"PUT", one + "/traits", m{"traits": nil}, 400, "None is not of type 'array'"},
		"traits, wrong":         {"PUT", one + "/traits", m{"traits": []string{"x"}}, 400, "'x' is not valid under any of the given schemas"},
		"traits, unknown key":   {"PUT", one + "/traits", m{"traits": []string{}, "x": 1}, 400, "('x' was unexpected)"},
		"traits, no object":     {"PUT", one + "/traits", []int{}, 400, "is not of type 'object'"},
		"trait, wrong":          {"PUT", one + "/traits/x", nil, 400, "'x' is not valid under any of the given schemas"},
		"trait with a body":     {"PUT", one + "/traits/CUSTOM_A", m{"a": 1}, 400, "No body should be provided when adding a trait"},
		"traits of nobody":      {"PUT", path + "/nobody/traits", m{"traits": []string{}}, 404, "Runbook nobody could not be found."},
		"show, unknown":         {"GET", path + "/nobody", nil, 404, "Runbook nobody could not be found."},
		"delete, unknown":       {"DELETE", path + "/nobody", nil, 404, "Runbook nobody could not be found."},
		"delete all":            {"DELETE", path, nil, 400, "Missing mandatory parameter: runbook_ident"},
		"field too early":       {"GET", "1.111 " + path + "?fields=traits", nil, 400, "traits"},
		"sort key":              {"GET", path + "?sort_key=traits", nil, 400, `The sort_key value "traits" is an invalid field for sorting`},
		"marker":                {"GET", path + "?marker=" + nodeID, nil, 404, "Runbook " + nodeID + " could not be found."},
	})
}

// TestUseRunbook: a verb takes the steps of a runbook that was approved for the node.
func TestUseRunbook(t *testing.T) {
	f := newFixture(t)
	f.must(201, "POST", "/v1/runbooks", m{"uuid": runbookID, "name": "CUSTOM_WIPE", "disable_ramdisk": true,
		"steps": []m{{"interface": "deploy", "step": "second", "order": 2}, {"interface": "bios", "step": "first", "args": m{"a": 1}, "order": 1}}})
	f.must(201, "POST", "/v1/runbooks", m{"name": "bare", "steps": []m{{"interface": "deploy", "step": "x", "order": 1}}})
	f.must(204, "PUT", "/v1/runbooks/CUSTOM_WIPE/traits", m{"traits": []string{"CUSTOM_B", "CUSTOM_C"}})
	one, two := 1, 2
	want := []rpc.StepArgs{{Interface: "bios", Step: "first", Args: map[string]any{"a": 1.0}, Order: &one}, {Interface: "deploy", Step: "second", Order: &two}}
	step := []m{{"interface": "deploy", "step": "x"}}
	for name, c := range map[string]struct {
		version string
		traits  []string
		state   ferric.ProvisionState
		body    m
		status  int
		text    string
	}{
		"clean by trait":          {"1.112", []string{"CUSTOM_C"}, ferric.Manageable, m{"target": "clean", "runbook": "CUSTOM_WIPE"}, 202, ""},
		"clean by UUID":           {"1.115", []string{"CUSTOM_B"}, ferric.Manageable, m{"target": "clean", "runbook": runbookID}, 202, ""},
		"clean by name":           {"1.92", []string{"CUSTOM_WIPE"}, ferric.Manageable, m{"target": "clean", "runbook": "CUSTOM_WIPE"}, 202, ""},
		"service":                 {"1.115", []string{"CUSTOM_C"}, ferric.Active, m{"target": "service", "runbook": "CUSTOM_WIPE"}, 202, ""},
		"too early":               {"1.91", []string{"CUSTOM_WIPE"}, ferric.Manageable, m{"target": "clean", "runbook": "CUSTOM_WIPE"}, 406, "Request not acceptable."},
		"no trait":                {"1.112", []string{"CUSTOM_WIPE"}, ferric.Manageable, m{"target": "clean", "runbook": "CUSTOM_WIPE"}, 400, "The node does not have any of the runbook's traits ['CUSTOM_B', 'CUSTOM_C']."},
		"not the name":            {"1.111", []string{"CUSTOM_B"}, ferric.Manageable, m{"target": "clean", "runbook": "CUSTOM_WIPE"}, 400, "Please ask an administrator to add it to your node traits."},
		"a runbook without":       {"1.112", []string{"CUSTOM_B"}, ferric.Manageable, m{"target": "clean", "runbook": "bare"}, 400, "has no traits configured."},
		"with clean steps":        {"1.112", []string{"CUSTOM_B"}, ferric.Manageable, m{"target": "clean", "runbook": "CUSTOM_WIPE", "clean_steps": step}, 400, `Please provide either "clean_steps" or a runbook, but not both.`},
		"with service steps":      {"1.112", []string{"CUSTOM_B"}, ferric.Active, m{"target": "service", "runbook": "CUSTOM_WIPE", "service_steps": step}, 400, `Please provide either "service_steps" or a runbook, but not both.`},
		"steps of the wrong kind": {"1.112", []string{"CUSTOM_B"}, ferric.Manageable, m{"target": "clean", "runbook": "CUSTOM_WIPE", "service_steps": step}, 400, `"service_steps" is only valid`},
		"for a deploy":            {"1.112", []string{"CUSTOM_B"}, ferric.Available, m{"target": "active", "runbook": "CUSTOM_WIPE"}, 400, `"runbooks" is only valid when setting target provision state to any of ['clean', 'service']`},
		"unknown":                 {"1.112", nil, ferric.Manageable, m{"target": "clean", "runbook": "nobody"}, 404, "Runbook nobody could not be found."},
		"no name":                 {"1.112", nil, ferric.Manageable, m{"target": "clean", "runbook": "a b"}, 400, "Expected a logical name or UUID but received a b."},
		"empty":                   {"1.112", nil, ferric.Manageable, m{"target": "clean", "runbook": ""}, 400, `"clean_steps" is required`},
		"number":                  {"1.112", nil, ferric.Manageable, m{"target": "clean", "runbook": 1}, 400, "Expected string for runbook: 1"},
	} {
		t.Run(name, func(t *testing.T) {
			f := f.with(t)
			id := f.node(nil)
			defer f.forget(id)
			f.change(id, func(n *ferric.Node) { n.ProvisionState, n.Traits = c.state, c.traits })
			var got *rpc.ProvisionArgs
			f.conductor.on(rpc.Provision, func(req any) (any, error) { a := req.(rpc.ProvisionArgs); got = &a; return nil, nil })
			r := f.must(c.status, "PUT", c.version+" /v1/nodes/"+id+"/states/provision", c.body)
			if c.status != 202 {
				if got != nil || !strings.Contains(r.text(t), c.text) {
					t.Errorf("text %q, want %q in it; the conductor was told %+v", r.text(t), c.text, got)
				}
				return
			}
			if diff := cmp.Diff(want, got.Steps); diff != "" || !got.DisableRamdisk {
				t.Errorf("conductor told (-want +got):\n%s, without a ramdisk: %v", diff, got.DisableRamdisk)
			}
		})
	}
}

// project is a caller with a role in a project.
type project struct {
	id    string
	roles []string
}

func (p *project) Authenticate(*http.Request) (policy.Caller, error) {
	return policy.Caller{UserID: "u", ProjectID: p.id, Roles: p.roles}, nil
}

// TestProjects: what people in projects get and see, who are no system's administrators.
func TestProjects(t *testing.T) {
	who := &project{}
	f := newFixture(t, func(_ *api.Config, d *api.Deps) { d.Authenticator = who })
	as := func(id, role string) *fixture {
		who.id, who.roles = id, []string{role}
		for i, r := range []string{"admin", "manager", "member", "reader"} {
			if r == role {
				who.roles = []string{"admin", "manager", "member", "reader"}[i:]
			}
		}
		return f
	}
	create := func(n *ferric.Node) string {
		t.Helper()
		n.Driver = "fake-hardware"
		if err := f.store.CreateNode(t.Context(), n); err != nil {
			t.Fatal(err)
		}
		return n.UUID
	}
	mine, leased, theirs := create(&ferric.Node{Name: "mine", Owner: "p1"}), create(&ferric.Node{Name: "leased", Owner: "p2", Lessee: "p1"}), create(&ferric.Node{Name: "theirs", Owner: "p2"})

	got := as("p1", "member").must(201, "POST", "/v1/allocations", m{"name": "a1", "resource_class": "x", "candidate_nodes": []string{mine, "leased"}}).object(t)
	if got["owner"] != "p1" || !cmp.Equal(got["candidate_nodes"], []any{mine, leased}) {
		t.Errorf("made %v", got)
	}
	if r := f.do("POST", "/v1/allocations", m{"resource_class": "x", "candidate_nodes": []string{theirs}}); r.status != 400 || !strings.Contains(r.text(t), "Nodes cannot be found: "+theirs) {
		t.Errorf("%d %s", r.status, r.body)
	}
	if r := f.do("POST", "/v1/allocations", m{"resource_class": "x", "owner": "p2"}); r.status != 403 {
		t.Errorf("%d %s", r.status, r.body)
	}
	if r := f.do("POST", "/v1/allocations", m{"resource_class": "x", "node": "theirs"}); r.status != 400 || !strings.Contains(r.text(t), "Node theirs could not be found.") {
		t.Errorf("%d %s", r.status, r.body)
	}
	as("p2", "member").must(201, "POST", "/v1/allocations", m{"name": "a2", "resource_class": "x"})
	if got := names(t, f.must(200, "GET", "/v1/allocations", nil), "allocations"); !cmp.Equal(got, []string{"a2"}) {
		t.Errorf("p2 sees %v", got)
	}
	f.must(403, "GET", "/v1/allocations?owner=p1", nil)
	f.must(404, "GET", "/v1/allocations/a1", nil)
	f.must(404, "DELETE", "/v1/allocations/a1", nil)
	as("p2", "reader").must(200, "GET", "/v1/allocations/a2", nil)
	f.must(403, "DELETE", "/v1/allocations/a2", nil)

	steps := []m{{"interface": "deploy", "step": "erase_devices", "order": 1}}
	got = as("p1", "manager").must(201, "POST", "/v1/runbooks", m{"name": "r1", "steps": steps}).object(t)
	if got["owner"] != "p1" {
		t.Errorf("made %v", got)
	}
	for text, body := range map[string]m{
		"Cannot create a runbook as a project scoped admin with an owner other than your own project.": {"name": "r2", "steps": steps, "owner": "p2"},
		"Cannot create a public runbook as a project scoped admin.":                                    {"name": "r2", "steps": steps, "public": true},
	} {
		if r := f.do("POST", "/v1/runbooks", body); r.status != 400 || r.text(t) != text {
			t.Errorf("%d %s", r.status, r.body)
		}
	}
	if err := f.store.CreateRunbook(t.Context(), &ferric.Runbook{Name: "public", Public: true, Traits: []string{"CUSTOM_A"}}); err != nil {
		t.Fatal(err)
	}
	f.must(403, "PATCH", "/v1/runbooks/r1", []m{{"op": "replace", "path": "/public", "value": true}})
	as("p2", "manager")
	if got := names(t, f.must(200, "GET", "/v1/runbooks", nil), "runbooks"); !cmp.Equal(got, []string{"public"}) {
		t.Errorf("p2 sees %v", got)
	}
	f.must(200, "GET", "/v1/runbooks/public", nil)
	f.must(403, "GET", "/v1/runbooks/r1", nil)
	f.must(403, "DELETE", "/v1/runbooks/r1", nil)
	f.change(theirs, func(n *ferric.Node) { n.ProvisionState, n.Traits = ferric.Manageable, []string{"CUSTOM_A"} })
	f.must(403, "PUT", "/v1/nodes/theirs/states/provision", m{"target": "clean", "runbook": "r1"})
	// Steps of one's own take a rule that projects do not have; an empty name of a runbook does not lift it.
	as("p1", "member")
	f.change(leased, func(n *ferric.Node) { n.ProvisionState = ferric.Manageable })
	clean := []m{{"interface": "deploy", "step": "erase_devices"}}
	f.must(403, "PUT", "/v1/nodes/leased/states/provision", m{"target": "clean", "clean_steps": clean, "runbook": ""})
}

func TestExternalEvents(t *testing.T) {
	f := newFixture(t)
	node := f.node(m{"name": "one"})
	f.must(201, "POST", "/v1/ports", m{"node_uuid": node, "address": "52:54:00:00:00:01"})
	var told []rpc.EventArgs
	f.conductor.on(rpc.ExternalEvent, func(req any) (any, error) { told = append(told, req.(rpc.EventArgs)); return nil, nil })
	event := func(change m) m {
		e := m{"event": "network.bind_port", "port_id": portID, "mac_address": "52:54:00:00:00:01", "status": "ACTIVE"}
		for k, v := range change {
			if v == "none" {
				delete(e, k)
				continue
			}
			e[k] = v
		}
		return e
	}
	f.must(204, "POST", "1.54 /v1/events", m{"events": []m{event(nil), event(m{"event": "network.unbind_port", "mac_address": "52:54:00:00:00:99", "device_id": nil}),
		event(m{"event": "network.delete_port", "mac_address": "52:54:00:00:00:99", "binding:host_id": node, "device_id": portID, "binding:vnic_type": "baremetal"}),
		event(m{"mac_address": "52:54:00:00:00:98", "binding:host_id": portID})}})
	who := administrator()
	want := []rpc.EventArgs{{NodeRef: rpc.NodeRef{UUID: node, Caller: who}, Event: flow.EventBindPort}, {NodeRef: rpc.NodeRef{UUID: node, Caller: who}, Event: flow.EventDeletePort}}
	if diff := cmp.Diff(want, told); diff != "" {
		t.Errorf("conductor told (-want +got):\n%s", diff)
	}
	const path = "/v1/events"
	one := func(change m) m { return m{"events": []m{event(change)}} }
	f.refuses(map[string]refusal{
		"too early":           {"POST", "1.53 " + path, one(nil), 404, ""},
		"GET":                 {"GET", path, nil, 405, ""},
		"no events":           {"POST", path, m{}, 400, "'events' is a required property"},
		"empty":               {"POST", path, m{"events": []m{}}, 400, "[] is too short"},
		"no list":             {"POST", path, m{"events": m{}}, 400, "is not of type 'array'"},
		"no object":           {"POST", path, []m{}, 400, "is not of type 'object'"},
		"another key":         {"POST", path, m{"events": []m{event(nil)}, "x": 1}, 400, "('x' was unexpected)"},
		"event, no object":    {"POST", path, m{"events": []int{1}}, 400, "1 is not of type 'object'"},
		"event, unknown":      {"POST", path, one(m{"event": "network.x"}), 400, "'network.x' is not one of ['network.bind_port', 'network.unbind_port', 'network.delete_port']"},
		"event, number":       {"POST", path, one(m{"event": 1}), 400, "1 is not of type 'string'"},
		"event, none":         {"POST", path, one(m{"event": "none"}), 400, "'event' is a required property"},
		"port_id, none":       {"POST", path, one(m{"port_id": "none"}), 400, "'port_id' is a required property"},
		"port_id, wrong":      {"POST", path, one(m{"port_id": "x"}), 400, "'x' is not a 'uuid'"},
		"mac_address, none":   {"POST", path, one(m{"mac_address": "none"}), 400, "'mac_address' is a required property"},
		"mac_address, wrong":  {"POST", path, one(m{"mac_address": "x"}), 400, "'x' is not a 'mac-address'"},
		"status, none":        {"POST", path, one(m{"status": "none"}), 400, "'status' is a required property"},
		"status, null":        {"POST", path, one(m{"status": nil}), 400, "None is not of type 'string'"},
		"device_id, wrong":    {"POST", path, one(m{"device_id": "x"}), 400, "'x' is not a 'uuid'"},
		"device_id, number":   {"POST", path, one(m{"device_id": 1}), 400, "1 is not of type 'string', 'null'"},
		"host_id, wrong":      {"POST", path, one(m{"binding:host_id": "x"}), 400, "'x' is not a 'uuid'"},
		"vnic_type, number":   {"POST", path, one(m{"binding:vnic_type": 1}), 400, "1 is not of type 'string', 'null'"},
		"event, unknown key":  {"POST", path, one(m{"x": 1}), 400, "('x' was unexpected)"},
		"event, empty string": {"POST", path, one(m{"event": ""}), 400, "'' is not one of"},
	})
}
