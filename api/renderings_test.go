package api_test

import (
	"strings"
	"testing"
	"time"

	"ferric"
	"ferric/flow"
)

// TestRenderings looks at a node, alone and in lists, before and after everything that changes it: a kept representation is never old.
func TestRenderings(t *testing.T) {
	f := newFixture(t)
	id := "6d2f4a94-8f0e-4d7c-a5c8-0123456789ab"
	create := func(name string) {
		t.Helper()
		n := &ferric.Node{UUID: id, Name: name, Driver: "ipmi", DriverInfo: map[string]any{"ipmi_password": "hunter2"}}
		if err := f.store.CreateNode(t.Context(), n); err != nil {
			t.Fatal(err)
		}
	}
	create("first")
	other := &ferric.Node{Name: "other", Driver: "ipmi"}
	if err := f.store.CreateNode(t.Context(), other); err != nil {
		t.Fatal(err)
	}
	change := func(mutate func(*ferric.Node)) func() { return func() { f.change(id, mutate) } }
	var lease flow.Lease
	steps := []struct {
		name      string
		do        func()
		want, not string // in every answer
	}{
		{"at first", func() {}, `"name":"first"`, "hunter2"},
		{"a field", change(func(n *ferric.Node) { n.Description = "spare" }), `"description":"spare"`, "hunter2"},
		{"a document", change(func(n *ferric.Node) { n.Extra = map[string]any{"rack": "r7"} }), `"extra":{"rack":"r7"}`, "hunter2"},
		{"traits", change(func(n *ferric.Node) { n.Traits = []string{"CUSTOM_FAST"} }), `"traits":["CUSTOM_FAST"]`, "hunter2"},
		{"a lock", func() {
			var err error
			if lease, err = f.store.Acquire(t.Context(), id, "host-7", time.Hour); err != nil {
				t.Fatal(err)
			}
		}, `"reservation":"host-7"`, "hunter2"},
		{"no lock any more", func() {
			if err := f.store.Release(t.Context(), lease); err != nil {
				t.Fatal(err)
			}
		}, `"traits":["CUSTOM_FAST"]`, "host-7"},
		{"another node of its UUID", func() {
			if err := f.store.DeleteNode(t.Context(), id, flow.Lease{}); err != nil {
				t.Fatal(err)
			}
			create("second")
		}, `"name":"second"`, "spare"},
	}
	for _, s := range steps {
		t.Run(s.name, func(t *testing.T) {
			s.do()
			for _, path := range []string{"/v1/nodes/" + id, "/v1/nodes/detail", "/v1/nodes?detail=true&limit=2", "/v1/nodes/" + id} {
				body := string(f.with(t).must(200, "GET", path, nil).body)
				if !strings.Contains(body, s.want) || strings.Contains(body, s.not) {
					t.Errorf("%s: %q is missing or %q is there: %s", path, s.want, s.not, body)
				}
				if !strings.HasSuffix(path, id) && !strings.Contains(body, `"name":"other"`) {
					t.Errorf("%s: the other node is missing: %s", path, body)
				}
			}
		})
	}
}
