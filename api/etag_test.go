package api_test

import (
	"strings"
	"testing"
)

// TestEveryResourceHasAnEntityTag: every resource that can be changed has an entity tag, and a change that names another one is refused.
func TestEveryResourceHasAnEntityTag(t *testing.T) {
	f := newFixture(t)
	node := f.node(m{"name": "n1"})
	for name, c := range map[string]struct {
		path   string
		create m
	}{
		"node":            {"/v1/nodes", m{"driver": "fake-hardware"}},
		"port":            {"/v1/ports", m{"node_uuid": node, "address": "00:00:00:00:00:01"}},
		"portgroup":       {"/v1/portgroups", m{"node_uuid": node}},
		"chassis":         {"/v1/chassis", m{}},
		"connector":       {"/v1/volume/connectors", m{"node_uuid": node, "type": "iqn", "connector_id": "iqn.1"}},
		"allocation":      {"/v1/allocations", m{"resource_class": "a"}},
		"deploy template": {"/v1/deploy_templates", m{"name": "CUSTOM_A", "steps": []m{{"interface": "bios", "step": "x", "args": m{}, "priority": 1}}}},
		"runbook":         {"/v1/runbooks", m{"name": "CUSTOM_A", "steps": []m{{"interface": "bios", "step": "x", "args": m{}, "order": 1}}}},
		"target":          {"/v1/volume/targets", m{"node_uuid": node, "volume_type": "iscsi", "volume_id": "v", "boot_index": 0}},
	} {
		t.Run(name, func(t *testing.T) {
			f := f.with(t)
			made := f.must(201, "POST", c.path, c.create)
			path := c.path + "/" + made.object(t)["uuid"].(string)
			first := made.header.Get("Etag")
			if got := f.must(200, "GET", path, nil).header.Get("Etag"); first == "" || got != first {
				t.Errorf("made with the entity tag %q, read with %q", first, got)
			}
			change := []m{{"op": "add", "path": "/extra", "value": m{"a": 1}}}
			second := f.must(200, "PATCH", path, change, "If-Match", first).header.Get("Etag")
			if second == first || second == "" {
				t.Errorf("the entity tag was %q and is %q after a change", first, second)
			}
			change[0]["value"] = m{"a": 2}
			if r := f.must(412, "PATCH", path, change, "If-Match", first); !strings.Contains(r.text(t), second) {
				t.Errorf("the refusal does not name the entity tag %s: %s", second, r.body)
			}
			f.must(412, "DELETE", path, nil, "If-Match", first)
			third := f.must(200, "PATCH", path, change, "If-Match", `"9", `+second).header.Get("Etag")
			if got := f.must(200, "GET", path, nil).header.Get("Etag"); got != third {
				t.Errorf("patched to the entity tag %q, read with %q", third, got)
			}
			f.must(200, "PATCH", path, change, "If-Match", "*")
			f.must(204, "DELETE", path, nil, "If-Match", third)
		})
	}
}
