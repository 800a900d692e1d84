package api_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ferric"
	"ferric/rpc"
)

func TestPatchNode(t *testing.T) {
	const instance = "1be26c0b-03f2-4d2e-ae87-c02d7f33c123"
	f := newFixture(t)
	f.must(201, "POST", "/v1/chassis", m{"uuid": instance})
	inState := func(s ferric.ProvisionState) func(*ferric.Node) { return func(n *ferric.Node) { n.ProvisionState = s } }
	for name, c := range map[string]struct {
		before func(*ferric.Node)
		patch  any
		path   string // after the node's; a version may stand before it
		status int
		text   string
		want   m // fields of the answer
	}{
		"add and replace": {patch: []m{{"op": "add", "path": "/extra/a", "value": m{"b": []int{1, 3}}}, {"op": "add", "path": "/extra/a/b/1", "value": 2},
			{"op": "add", "path": "/extra/a/b/-", "value": 4}, {"op": "replace", "path": "/extra/a/b/0", "value": 0}},
			status: 200, want: m{"extra": m{"a": m{"b": []any{0.0, 2.0, 3.0, 4.0}}}}},
		"remove": {before: func(n *ferric.Node) { n.Description = "x"; n.Properties = map[string]any{"a": 1, "b": []any{1, 2}} },
			patch:  []m{{"op": "remove", "path": "/description"}, {"op": "remove", "path": "/properties/a"}, {"op": "remove", "path": "/properties/b/0"}},
			status: 200, want: m{"description": nil, "properties": m{"b": []any{2.0}}}},
		"remove a whole map":  {before: func(n *ferric.Node) { n.Extra = map[string]any{"a": 1} }, patch: []m{{"op": "remove", "path": "/extra"}}, status: 200, want: m{"extra": m{}}},
		"name":                {patch: []m{{"op": "replace", "path": "/name", "value": "new"}}, status: 200, want: m{"name": "new"}},
		"name away":           {patch: []m{{"op": "remove", "path": "/name"}}, status: 200, want: m{"name": nil}},
		"nothing":             {patch: []m{}, status: 200},
		"words for bools":     {patch: []m{{"op": "replace", "path": "/maintenance", "value": "on"}, {"op": "add", "path": "/automated_clean", "value": "no"}}, status: 200, want: m{"maintenance": true, "automated_clean": false}},
		"group in lower case": {patch: []m{{"op": "replace", "path": "/conductor_group", "value": "Rack1"}}, status: 200, want: m{"conductor_group": "rack1"}},
		"interface":           {patch: []m{{"op": "replace", "path": "/deploy_interface", "value": "direct"}}, status: 200, want: m{"deploy_interface": "direct"}},
		"escapes from 1.98":   {patch: []m{{"op": "add", "path": "/extra/a~1b~0c", "value": 1}}, status: 200, want: m{"extra": m{"a/b~c": 1.0}}},
		"instance name":       {patch: []m{{"op": "add", "path": "/instance_info/display_name", "value": "web"}}, status: 200, want: m{"instance_name": "web"}},
		"end of maintenance":  {before: func(n *ferric.Node) { n.Maintenance, n.MaintenanceReason, n.Fault = true, "x", ferric.FaultPower }, patch: []m{{"op": "replace", "path": "/maintenance", "value": false}}, status: 200, want: m{"maintenance": false, "maintenance_reason": nil, "fault": nil}},
		"protected":           {before: inState(ferric.Active), patch: []m{{"op": "add", "path": "/protected", "value": true}, {"op": "add", "path": "/protected_reason", "value": "r"}}, status: 200, want: m{"protected": true, "protected_reason": "r"}},
		"unprotected":         {before: func(n *ferric.Node) { n.Protected, n.ProtectedReason = true, "r" }, patch: []m{{"op": "remove", "path": "/protected"}}, status: 200, want: m{"protected": false, "protected_reason": nil}},
		"instance in a failed state": {before: func(n *ferric.Node) {
			n.ProvisionState, n.TargetProvisionState, n.InstanceID = ferric.DeployFailed, ferric.Active, instance
		}, patch: []m{{"op": "remove", "path": "/instance_uuid"}}, status: 200, want: m{"instance_uuid": nil}},
		"instance in maintenance": {before: func(n *ferric.Node) {
			n.ProvisionState, n.TargetProvisionState, n.InstanceID, n.Maintenance = ferric.Deploying, ferric.Active, instance, true
		}, patch: []m{{"op": "remove", "path": "/instance_uuid"}}, status: 200, want: m{"instance_uuid": nil}},

		"read-only":                 {patch: []m{{"op": "replace", "path": "/power_state", "value": "power on"}}, status: 400, text: "Cannot patch /power_state. Only the following can be updated: name, "},
		"uuid":                      {patch: []m{{"op": "replace", "path": "/uuid", "value": instance}}, status: 400, text: "Cannot patch /uuid."},
		"internal info":             {patch: []m{{"op": "add", "path": "/driver_internal_info/x", "value": 1}}, status: 400, text: "Cannot patch /driver_internal_info/x."},
		"unknown":                   {patch: []m{{"op": "add", "path": "/nope", "value": 1}}, status: 400, text: "Cannot patch /nope."},
		"traits":                    {patch: []m{{"op": "add", "path": "/traits/-", "value": "CUSTOM_X"}}, status: 400, text: "Cannot patch /traits"},
		"test":                      {patch: []m{{"op": "test", "path": "/name", "value": "x"}}, status: 400, text: "'test' is not one of ['add', 'replace', 'remove']"},
		"move":                      {patch: []m{{"op": "move", "path": "/name", "from": "/extra"}}, status: 400, text: "Additional properties are not allowed ('from' was unexpected)"},
		"no path":                   {patch: []m{{"op": "add", "value": 1}}, status: 400, text: "'path' is a required property"},
		"no value":                  {patch: []m{{"op": "add", "path": "/extra/x"}}, status: 400, text: "'value'"},
		"no list":                   {patch: m{"op": "add"}, status: 400, text: "is not of type 'array'"},
		"no object":                 {patch: []any{1}, status: 400, text: "is not of type 'object'"},
		"path without slash":        {patch: []m{{"op": "add", "path": "extra", "value": m{}}}, status: 400, text: "'extra' does not match"},
		"root":                      {patch: []m{{"op": "add", "path": "/", "value": m{}}}, status: 400, text: "does not match"},
		"bad escape":                {patch: []m{{"op": "add", "path": "/extra/~2", "value": 1}}, status: 400, text: "does not match"},
		"escape before 1.98":        {path: "1.97 ", patch: []m{{"op": "add", "path": "/extra/a~1b", "value": 1}}, status: 400, text: "does not match"},
		"remove what is not there":  {patch: []m{{"op": "remove", "path": "/extra/x"}}, status: 400, text: "Couldn't apply patch 'remove /extra/x'. Reason: can't remove a non-existent object 'x'"},
		"replace what is not there": {patch: []m{{"op": "replace", "path": "/extra/x", "value": 1}}, status: 400, text: "can't replace a non-existent object 'x'"},
		"below what is not there":   {patch: []m{{"op": "add", "path": "/extra/x/y", "value": 1}}, status: 400, text: "member 'x' not found"},
		"below a string":            {patch: []m{{"op": "add", "path": "/driver/x", "value": 1}}, status: 400, text: "neither an object nor a list"},
		"wrong type":                {patch: []m{{"op": "replace", "path": "/extra", "value": 5}}, status: 400, text: "Schema error for patch: 5 is not of type 'object', 'null'"},
		"too long":                  {patch: []m{{"op": "replace", "path": "/description", "value": strings.Repeat("x", 4097)}}, status: 400, text: "is too long"},
		"driver away":               {patch: []m{{"op": "remove", "path": "/driver"}}, status: 400, text: "'driver' is a required property"},
		"bad name":                  {patch: []m{{"op": "replace", "path": "/name", "value": "a b"}}, status: 400, text: "Cannot change name to invalid name 'a b'"},
		"empty name":                {patch: []m{{"op": "replace", "path": "/name", "value": ""}}, status: 400, text: "invalid name"},
		"name before names":         {path: "1.4 ", patch: []m{{"op": "replace", "path": "/name", "value": "x"}}, status: 406},
		"reset without driver":      {path: "?reset_interfaces=true", patch: []m{{"op": "replace", "path": "/name", "value": "x"}}, status: 400, text: "can only be used when changing the node's driver"},
		"reset too early":           {path: "1.44 ?reset_interfaces=true", patch: []m{{"op": "replace", "path": "/driver", "value": "ipmi"}}, status: 406},
		"chassis away too early":    {path: "1.24 ", before: func(n *ferric.Node) { n.ChassisUUID = instance }, patch: []m{{"op": "remove", "path": "/chassis_uuid"}}, status: 406},
		"chassis away":              {path: "1.25 ", before: func(n *ferric.Node) { n.ChassisUUID = instance }, patch: []m{{"op": "remove", "path": "/chassis_uuid"}}, status: 200, want: m{"chassis_uuid": nil}},
		"chassis":                   {path: "1.1 ", patch: []m{{"op": "add", "path": "/chassis_uuid", "value": strings.ToUpper(instance)}}, status: 200, want: m{"chassis_uuid": instance}},
		"chassis that is not there": {patch: []m{{"op": "add", "path": "/chassis_uuid", "value": "2be26c0b-03f2-4d2e-ae87-c02d7f33c123"}}, status: 400, text: "Chassis 2be26c0b-03f2-4d2e-ae87-c02d7f33c123 could not be found."},
		"while inspecting":          {before: inState(ferric.Inspecting), patch: []m{{"op": "add", "path": "/extra/x", "value": 1}}, status: 409, text: `while it is in state "inspecting"`},
		"inspecting before 1.39":    {path: "1.38 ", before: inState(ferric.Inspecting), patch: []m{{"op": "add", "path": "/extra/x", "value": 1}}, status: 200},
		"in transition":             {before: func(n *ferric.Node) { n.ProvisionState, n.TargetProvisionState = ferric.Cleaning, ferric.Available }, patch: []m{}, status: 409, text: "while a state transition is in progress"},
		"interface when active":     {before: inState(ferric.Active), patch: []m{{"op": "replace", "path": "/deploy_interface", "value": "direct"}}, status: 409, text: "can not have deploy_interface updated unless it is in one of allowed"},
		"same interface is none":    {before: inState(ferric.Active), patch: []m{{"op": "replace", "path": "/deploy_interface", "value": "fake"}}, status: 200},
		"class when active":         {before: func(n *ferric.Node) { n.ProvisionState, n.ResourceClass = ferric.Active, "a" }, patch: []m{{"op": "replace", "path": "/resource_class", "value": "b"}}, status: 409, text: "can not have resource_class updated"},
		"instance over another":     {before: func(n *ferric.Node) { n.InstanceID = instance }, patch: []m{{"op": "replace", "path": "/instance_uuid", "value": "2be26c0b-03f2-4d2e-ae87-c02d7f33c123"}}, status: 409, text: "is associated with instance " + instance},
		"protect too early":         {patch: []m{{"op": "add", "path": "/protected", "value": true}}, status: 409, text: "can only be made protected in provision states 'active' or 'rescue'"},
		"reason without protected":  {patch: []m{{"op": "add", "path": "/protected_reason", "value": "x"}}, status: 400, text: "can only be set when protected is True"},
		"retire what is available":  {before: inState(ferric.Available), patch: []m{{"op": "add", "path": "/retired", "value": true}}, status: 409, text: "can not have 'retired' set"},
		"retired":                   {before: inState(ferric.Active), patch: []m{{"op": "add", "path": "/retired", "value": true}, {"op": "add", "path": "/retired_reason", "value": "old"}}, status: 200, want: m{"retired": true, "retired_reason": "old"}},
		"not retired":               {before: func(n *ferric.Node) { n.Retired, n.RetiredReason = true, "old" }, patch: []m{{"op": "replace", "path": "/retired", "value": false}}, status: 200, want: m{"retired": false, "retired_reason": nil}},
		"reason without retired":    {patch: []m{{"op": "add", "path": "/retired_reason", "value": "x"}}, status: 400, text: "can only be set when retired is True"},
		"network of no link":        {patch: []m{{"op": "replace", "path": "/network_data", "value": m{"networks": []m{{"id": "n", "link": "x"}}}}}, status: 400, text: "'links' is a required property"},
		"index out of range":        {before: func(n *ferric.Node) { n.Extra = map[string]any{"l": []any{1}} }, patch: []m{{"op": "remove", "path": "/extra/l/1"}}, status: 400, text: "list index 1 is out of range"},
		"index that is none":        {before: func(n *ferric.Node) { n.Extra = map[string]any{"l": []any{1}} }, patch: []m{{"op": "add", "path": "/extra/l/01", "value": 1}}, status: 400, text: "'01' is not a valid list index"},
		"driver with a console":     {before: func(n *ferric.Node) { n.ConsoleEnabled = true }, patch: []m{{"op": "replace", "path": "/driver", "value": "ipmi"}}, status: 409, text: "Please stop the console first."},
		"parent of itself":          {patch: []m{{"op": "add", "path": "/parent_node", "value": "one"}}, status: 400, text: "Unable to apply the requested parent_node 'one'"},
	} {
		t.Run(name, func(t *testing.T) {
			f := f.with(t)
			id := f.node(m{"name": "one"})
			defer f.forget(id)
			if c.before != nil {
				f.change(id, c.before)
			}
			version, query, spaced := strings.Cut(c.path, " ")
			if !spaced {
				version, query = "1.115", c.path
			}
			r := f.must(c.status, "PATCH", version+" /v1/nodes/"+id+query, c.patch)
			if c.status != 200 {
				if !strings.Contains(r.text(t), c.text) {
					t.Errorf("text %q, want %q in it", r.text(t), c.text)
				}
				return
			}
			got := r.object(t)
			for k, want := range c.want {
				if diff := cmp.Diff(want, got[k]); diff != "" {
					t.Errorf("%s (-want +got):\n%s", k, diff)
				}
			}
		})
	}
}

func TestPatchOrderOfNames(t *testing.T) {
	f := newFixture(t)
	id := f.node(nil)
	text := f.must(400, "PATCH", "/v1/nodes/"+id, []m{{"op": "remove", "path": "/x"}}).text(t)
	_, list, _ := strings.Cut(text, "updated: ")
	if n := len(strings.Split(list, ", ")); n != 37 {
		t.Errorf("%d fields may be patched, Ironic has 37: %s", n, list)
	}
}

// TestMaskedSecretsStay: what a client reads and writes back must not overwrite the secrets that it was not shown.
func TestMaskedSecretsStay(t *testing.T) {
	f := newFixture(t)
	id := f.node(m{"driver_info": m{"ipmi_username": "admin", "ipmi_password": "pw", "nested": m{"token": "t", "list": []any{m{"secret": "s"}}}}})
	shown := f.must(200, "GET", "/v1/nodes/"+id, nil).object(t)["driver_info"].(m)
	want := m{"ipmi_username": "admin", "ipmi_password": "******", "nested": m{"token": "******", "list": []any{m{"secret": "******"}}}}
	if diff := cmp.Diff(want, shown); diff != "" {
		t.Fatalf("shown (-want +got):\n%s", diff)
	}
	shown["ipmi_username"] = "root"
	f.must(200, "PATCH", "/v1/nodes/"+id, []m{{"op": "replace", "path": "/driver_info", "value": shown}})
	f.must(200, "PATCH", "/v1/nodes/"+id, []m{{"op": "add", "path": "/driver_info/ipmi_password", "value": "******"}})
	n, err := f.store.Node(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	stored := map[string]any{"ipmi_username": "root", "ipmi_password": "pw", "nested": map[string]any{"token": "t", "list": []any{map[string]any{"secret": "s"}}}}
	if diff := cmp.Diff(stored, n.DriverInfo); diff != "" {
		t.Errorf("stored (-want +got):\n%s", diff)
	}
	f.must(200, "PATCH", "/v1/nodes/"+id, []m{{"op": "replace", "path": "/driver_info/ipmi_password", "value": "new"}})
	if n, err = f.store.Node(t.Context(), id); err != nil || n.DriverInfo["ipmi_password"] != "new" {
		t.Errorf("stored %v, %v", n.DriverInfo, err)
	}
}

// TestPatchAgainstOthers: a patch is made again when the node changed in between, and given up when it changes without end.
func TestPatchAgainstOthers(t *testing.T) {
	f := newFixture(t)
	id := f.node(nil)
	races := 0
	f.conductor.on(rpc.UpdateNode, func(req any) (any, error) {
		if races > 0 {
			races--
			f.change(id, func(n *ferric.Node) { n.Extra = map[string]any{fmt.Sprint("race", races): true} })
		}
		return f.conductor.answer(t.Context(), rpc.UpdateNode, req)
	})
	races = 2
	got := f.must(200, "PATCH", "/v1/nodes/"+id, []m{{"op": "add", "path": "/extra/mine", "value": 1}}).object(t)
	if diff := cmp.Diff(m{"mine": 1.0, "race0": true}, got["extra"]); diff != "" {
		t.Errorf("extra (-want +got):\n%s", diff)
	}
	races = 100
	r := f.must(409, "PATCH", "/v1/nodes/"+id, []m{{"op": "add", "path": "/extra/mine", "value": 2}})
	if races != 95 || !strings.Contains(r.text(t), "changed") {
		t.Errorf("%d tries, %s", 100-races, r.body)
	}
}

func TestEntityTags(t *testing.T) {
	f := newFixture(t)
	id := f.node(nil)
	tag := f.must(200, "GET", "/v1/nodes/"+id, nil).header.Get("Etag")
	change := []m{{"op": "add", "path": "/extra/x", "value": tag}}
	r := f.must(200, "PATCH", "/v1/nodes/"+id, change, "If-Match", tag)
	if r.header.Get("Etag") == tag {
		t.Error("the entity tag is the same after a change")
	}
	f.must(412, "PATCH", "/v1/nodes/"+id, change, "If-Match", tag)
	f.must(412, "DELETE", "/v1/nodes/"+id, nil, "If-Match", tag)
	f.must(204, "DELETE", "/v1/nodes/"+id, nil, "If-Match", r.header.Get("Etag"))
}

func TestPatchPort(t *testing.T) {
	f := newFixture(t)
	id := f.node(nil)
	port := f.must(201, "POST", "/v1/ports", m{"node_uuid": id, "address": "52:54:00:00:00:01"}).object(t)["uuid"].(string)
	got := f.must(200, "PATCH", "/v1/ports/"+port, []m{{"op": "replace", "path": "/address", "value": "52:54:00:00:00:AB"},
		{"op": "add", "path": "/name", "value": "nic0"}, {"op": "add", "path": "/physical_network", "value": "p"},
		{"op": "add", "path": "/available_for_dynamic_portgroup", "value": false}}).object(t)
	for k, want := range (m{"address": "52:54:00:00:00:ab", "name": "nic0", "physical_network": "p", "available_for_dynamic_portgroup": false}) {
		if got[k] != want {
			t.Errorf("%s: %v, want %v", k, got[k], want)
		}
	}
	f.must(200, "GET", "/v1/ports/nic0", nil)
	f.must(404, "GET", "1.87 /v1/ports/nic0", nil)
	for name, c := range map[string]struct {
		patch  []m
		path   string
		status int
		text   string
	}{
		"read-only":      {[]m{{"op": "add", "path": "/internal_info/x", "value": 1}}, "", 400, "Cannot patch /internal_info/x."},
		"no such node":   {[]m{{"op": "replace", "path": "/node_uuid", "value": "00000000-0000-4000-8000-000000000000"}}, "", 400, "Unable to apply the requested node_uuid"},
		"address away":   {[]m{{"op": "remove", "path": "/address"}}, "", 400, "'address' is a required property"},
		"no such group":  {[]m{{"op": "add", "path": "/portgroup_uuid", "value": "00000000-0000-4000-8000-000000000000"}}, "", 400, "Portgroup 00000000-0000-4000-8000-000000000000 could not be found."},
		"network type":   {[]m{{"op": "add", "path": "/local_link_connection/network_type", "value": "managed"}}, "1.63 ", 406, ""},
		"pxe too early":  {[]m{{"op": "replace", "path": "/pxe_enabled", "value": false}}, "1.18 ", 406, ""},
		"empty physical": {[]m{{"op": "replace", "path": "/physical_network", "value": ""}}, "", 400, "A non-empty value is required"},
	} {
		t.Run(name, func(t *testing.T) {
			f := f.with(t)
			version := c.path
			if version == "" {
				version = "1.115 "
			}
			if r := f.must(c.status, "PATCH", version+"/v1/ports/"+port, c.patch); !strings.Contains(r.text(t), c.text) {
				t.Errorf("text %q, want %q in it", r.text(t), c.text)
			}
		})
	}
	if got := f.must(200, "PATCH", "/v1/ports/"+port, []m{{"op": "replace", "path": "/pxe_enabled", "value": false},
		{"op": "remove", "path": "/pxe_enabled"}}).object(t); got["pxe_enabled"] != true {
		t.Errorf("pxe_enabled without a value: %v", got["pxe_enabled"])
	}
	f.must(204, "DELETE", "/v1/ports/"+port, nil)
	f.must(404, "GET", "/v1/ports/"+port, nil)
}

// FuzzPatch sends any patch: the answer is 200 or a client's error, the node stays readable, and what may not be patched
// stays as it was.
func FuzzPatch(f *testing.F) {
	for _, seed := range []string{`[]`, `{}`, `null`, `[{"op":"add","path":"/extra/a","value":{"b":[1]}}]`, `[{"op":"remove","path":"/extra"}]`,
		`[{"op":"replace","path":"/driver_info","value":{"ipmi_password":"******"}}]`, `[{"op":"add","path":"/extra/a~1b","value":null}]`,
		`[{"op":"add","path":"/network_data/links/-","value":{"id":"x"}}]`, `[{"op":"add","path":"/name","value":"\ud800"}]`,
		`[{"op":"add","path":"/maintenance","value":"yes"},{"op":"remove","path":"/maintenance"}]`, `[{"op":"add","path":"/traits","value":1}]`,
		`[{"op":"add","path":"/properties/-","value":1},{"op":"add","path":"/properties/-/x","value":1}]`} {
		f.Add(seed)
	}
	fx := newFixture(f)
	id := fx.node(m{"driver_info": m{"ipmi_password": "pw"}})
	f.Fuzz(func(t *testing.T, body string) {
		fx := fx.with(t)
		r := fx.do("PATCH", "/v1/nodes/"+id, body)
		if r.status >= 500 {
			t.Fatalf("%s: %d %s", body, r.status, r.body)
		}
		got := fx.must(200, "GET", "/v1/nodes/"+id, nil).object(t)
		if got["uuid"] != id || got["provision_state"] != "enroll" || got["power_state"] != nil {
			t.Fatalf("%s changed what may not be patched: %v", body, got)
		}
		if b, _ := json.Marshal(got["driver_info"]); strings.Contains(string(b), `:"pw"`) {
			t.Fatalf("%s: a secret is shown: %s", body, b)
		}
	})
}
