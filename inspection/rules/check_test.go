package rules_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ferric"
	"ferric/inspection/rules"
)

func TestOperations(t *testing.T) {
	for name, c := range map[string]struct{ what, json, fail string }{
		"good":              {"conditions", `[{"op": "!eq", "args": {"values": []}, "loop": [1], "multiple": "last", "comment": "x"}]`, ""},
		"none":              {"conditions", `[]`, ""},
		"no actions":        {"actions", `[]`, "should be non-empty"},
		"no list":           {"actions", `{}`, "is not of type 'array'"},
		"no object":         {"actions", `["fail"]`, "'fail' is not of type 'object'"},
		"no op":             {"actions", `[{"args": {}}]`, "'op' is a required property"},
		"no args":           {"actions", `[{"op": "fail"}]`, "'args' is a required property"},
		"unknown":           {"actions", `[{"op": "set", "args": {}}]`, "'set' is not one of ['add-trait', "},
		"op of a condition": {"actions", `[{"op": "eq", "args": {}}]`, "is not one of"},
		"inverted action":   {"actions", `[{"op": "!fail", "args": {}}]`, "is not one of"},
		"twice inverted":    {"conditions", `[{"op": "!!eq", "args": {}}]`, "is not one of"},
		"number":            {"conditions", `[{"op": 1, "args": {}}]`, "1 is not one of"},
		"args":              {"conditions", `[{"op": "eq", "args": "x"}]`, "'x' is not of type 'array', 'object'"},
		"loop":              {"conditions", `[{"op": "eq", "args": [], "loop": null}]`, "None is not of type 'array', 'object'"},
		"multiple":          {"conditions", `[{"op": "eq", "args": [], "multiple": "some"}]`, "'some' is not one of ['any'"},
	} {
		t.Run(name, func(t *testing.T) {
			var v any
			if err := json.Unmarshal([]byte(c.json), &v); err != nil {
				t.Fatal(err)
			}
			_, err := rules.Operations(c.what, v)
			if (err == nil) != (c.fail == "") || err != nil && (!strings.Contains(err.Error(), c.fail) || !ferric.IsCode(err, ferric.CodeInvalid)) {
				t.Errorf("error %v, want %q", err, c.fail)
			}
		})
	}
}

func TestCheck(t *testing.T) {
	for name, c := range map[string]struct {
		change  func(*ferric.InspectionRule)
		builtIn bool
		fail    string
	}{
		"good":                   {change: func(*ferric.InspectionRule) {}},
		"phase":                  {change: func(r *ferric.InspectionRule) { r.Phase = "early" }, fail: "Invalid phase: early. Valid phases are: main"},
		"negative":               {change: func(r *ferric.InspectionRule) { r.Priority = -1 }, fail: "Priority cannot be negative for user-defined rules."},
		"too high":               {change: func(r *ferric.InspectionRule) { r.Priority = 10000 }, fail: "Priority must be between 0 and 9999"},
		"built-in":               {change: func(r *ferric.InspectionRule) { r.Priority = -10000 }, builtIn: true},
		"description":            {change: func(r *ferric.InspectionRule) { r.Description = strings.Repeat("ä", 256) }, fail: "longer than 255"},
		"no actions":             {change: func(r *ferric.InspectionRule) { r.Actions = nil }, fail: "at least one action"},
		"arguments of an action": {change: func(r *ferric.InspectionRule) { r.Actions[0].Args = m{"message": "x"} }, fail: "Inspection rule validation failed. Reason: missing required argument(s): msg; unexpected argument(s): message"},
		"plugin_data is taken": {change: func(r *ferric.InspectionRule) {
			r.Actions[0] = op("set-plugin-data", m{"path": "a", "value": 1.0, "plugin_data": m{}})
		}},
		"arguments of a condition": {change: func(r *ferric.InspectionRule) { r.Conditions = []ferric.RuleOperation{op("is-true", l{})} }, fail: "Not enough arguments provided. Missing: value"},
		"several":                  {change: func(r *ferric.InspectionRule) { r.Phase, r.Priority = "x", -1 }, fail: "Multiple validation errors occurred: Invalid phase"},
		"unknown": {change: func(r *ferric.InspectionRule) {
			r.Actions[0].Op = "x"
			r.Conditions = []ferric.RuleOperation{op("!y", l{})}
		}, fail: "Unsupported condition operator: y; Unsupported action operator: x"},
		"no args": {change: func(r *ferric.InspectionRule) { r.Actions[0].Args = nil }, fail: "args must be either a list or dictionary"},
	} {
		t.Run(name, func(t *testing.T) {
			r := &ferric.InspectionRule{Phase: "main", Actions: []ferric.RuleOperation{op("fail", m{"msg": "x"})}}
			c.change(r)
			err := rules.Check(r, c.builtIn)
			if (err == nil) != (c.fail == "") || err != nil && (!strings.Contains(err.Error(), c.fail) || !ferric.IsCode(err, ferric.CodeInvalid)) {
				t.Errorf("error %v, want %q", err, c.fail)
			}
		})
	}
}

func TestBuiltIn(t *testing.T) {
	got, err := rules.BuiltIn([]byte(`
- uuid: "dell"
  description: Dell
  priority: -1
  sensitive: true
  phase: main
  conditions:
    - op: contains
      args: {value: "{inventory[system_vendor][manufacturer]}", regex: "(?i)dell"}
  actions:
    - op: set-attribute
      args: {path: /driver_info/port, value: 443}
      loop: [1, {2: x}]
- actions: [{op: fail, args: [no]}]
- actions: [{op: fail, args: [no]}]
`))
	if err != nil {
		t.Fatal(err)
	}
	fail := []ferric.RuleOperation{op("fail", l{"no"})}
	want := []ferric.InspectionRule{
		{UUID: "dell", Description: "Dell", Priority: -1, Sensitive: true, Phase: "main",
			Conditions: []ferric.RuleOperation{op("contains", m{"value": "{inventory[system_vendor][manufacturer]}", "regex": "(?i)dell"})},
			Actions:    []ferric.RuleOperation{op("set-attribute", m{"path": "/driver_info/port", "value": 443.0}, l{1.0, m{"2": "x"}})}},
		{UUID: "00000000-0000-0000-0000-000000000000", Phase: "main", Actions: fail},
		{UUID: "00000000-0000-0000-0000-000000000001", Phase: "main", Actions: fail},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for name, c := range map[string]struct{ file, fail string }{
		"empty":         {"", "should contain a list"},
		"no list":       {"a: b", "should contain a list"},
		"no YAML":       {"[", "built-in inspection rules: yaml"},
		"no object":     {"- x", "built-in inspection rule 1: it is no object"},
		"unknown field": {"- {actions: [{op: fail, args: [x]}], scope: y}", "'scope' was unexpected"},
		"no actions":    {"- {description: x}", "at least one action"},
		"wrong type":    {"- {priority: high, actions: [{op: fail, args: [x]}]}", "priority has the wrong type"},
		"bad phase":     {"- {phase: x, actions: [{op: fail, args: [x]}]}", "Invalid phase"},
	} {
		if _, err := rules.BuiltIn([]byte(c.file)); err == nil || !strings.Contains(err.Error(), c.fail) {
			t.Errorf("%s: error %v, want %q", name, err, c.fail)
		}
	}
}
