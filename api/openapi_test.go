package api_test

import (
	"bytes"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// TestOpenAPI checks the document against the OpenAPI Initiative's schema of version 3.1 (testdata/openapi-3.1.schema.json, from
// https://spec.openapis.org/oas/3.1/schema/2022-10-07, Apache-2.0), its schemas against JSON Schema, and real answers against its schemas.
func TestOpenAPI(t *testing.T) {
	f := newFixture(t)
	r := f.must(200, http.MethodGet, "- /ferric/v1/openapi.json", nil)
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(r.body))
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile("testdata/openapi-3.1.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	official, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	for url, d := range map[string]any{"https://spec.openapis.org/oas/3.1/schema/2022-10-07": official, "https://ferric.test/openapi.json": doc} {
		if err := c.AddResource(url, d); err != nil {
			t.Fatal(err)
		}
	}
	s, err := c.Compile("https://spec.openapis.org/oas/3.1/schema/2022-10-07")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Validate(doc); err != nil {
		t.Errorf("the document is not OpenAPI 3.1: %#v", err)
	}
	kinds := map[string]*jsonschema.Schema{}
	for name := range doc.(m)["components"].(m)["schemas"].(m) {
		if kinds[name], err = c.Compile("https://ferric.test/openapi.json#/components/schemas/" + name); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}

	ids := map[string]bool{}
	for path, item := range doc.(m)["paths"].(m) {
		for method, op := range item.(m) {
			id := op.(m)["operationId"].(string)
			if ids[id] {
				t.Errorf("%s %s: the operationId %s is there twice", method, path, id)
			}
			ids[id] = true
			if strings.HasPrefix(path, "/v1/") && op.(m)["x-ferric-policy"] == nil {
				t.Errorf("%s %s: no policy", method, path)
			}
		}
	}

	node := f.node(m{"name": "one", "extra": m{"a": 1}, "automated_clean": true, "driver_info": m{"x": "y"}, "description": "d"})
	port := f.must(201, "POST", "/v1/ports", m{"node_uuid": node, "address": "52:54:00:00:00:01"}).object(t)["uuid"].(string)
	for path, kind := range map[string]string{"/v1/nodes/" + node: "Node", "1.1 /v1/nodes/" + node: "Node", "/v1/nodes/one?fields=uuid,links": "Node",
		"/v1/nodes": "NodeList", "/v1/nodes/detail": "NodeList", "/v1/nodes?limit=1": "NodeList", "/v1/ports/" + port: "Port",
		"/v1/nodes/one/ports": "PortList", "/v1/ports/detail": "PortList", "/v1/ports/nobody": "Error"} {
		answer, err := jsonschema.UnmarshalJSON(bytes.NewReader(f.do("GET", path, nil).body))
		if err != nil {
			t.Fatal(err)
		}
		if err := kinds[kind].Validate(answer); err != nil {
			t.Errorf("%s is not a %s: %v", path, kind, err)
		}
	}

	at := func(keys ...string) any {
		t.Helper()
		v := doc
		for _, k := range keys {
			next, ok := v.(m)[k]
			if !ok {
				t.Fatalf("the document has no %s", strings.Join(keys, " → "))
			}
			v = next
		}
		return v
	}
	for name, c := range map[string]struct{ got, want any }{
		"a field's version":   {at("components", "schemas", "Node", "properties", "shard", "x-ferric-since"), "1.82"},
		"a field's type":      {at("components", "schemas", "Node", "properties", "maintenance", "type"), "boolean"},
		"a read-only field":   {at("components", "schemas", "Node", "properties", "power_state", "readOnly"), true},
		"a new object's UUID": {at("components", "schemas", "NewNode", "properties", "uuid", "format"), "uuid"},
		"a new port's MAC":    {at("components", "schemas", "NewPort", "properties", "address", "format"), "mac-address"},
		"a path's version":    {at("paths", "/v1/nodes/{node}/traits", "get", "x-ferric-since"), "1.37"},
		"a path's policy":     {at("paths", "/v1/nodes/{node}/traits", "get", "x-ferric-policy"), "baremetal:node:traits:list"},
		"a body":              {at("paths", "/v1/nodes", "post", "requestBody", "content", "application/json", "schema", "$ref"), "#/components/schemas/NewNode"},
		"an answer": {at("paths", "/v1/nodes/{node}/ports", "get", "responses", "200", "content", "application/json", "schema", "$ref"),
			"#/components/schemas/PortList"},
		"an argument": {at("paths", "/v1/nodes/{node}/states/power", "put", "requestBody", "content", "application/json", "schema",
			"properties", "timeout", "x-ferric-since"), "1.1"},
		"errors": {at("paths", "/v1/nodes", "get", "responses", "default", "$ref"), "#/components/responses/Error"},
	} {
		if c.got != c.want {
			t.Errorf("%s is %v, want %v", name, c.got, c.want)
		}
	}
}
