package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"ferric/api"
)

// bodies make one object of each resource, in this order. Its UUID is the value of the name in braces that follows its collection; "{node}" in
// a body is the node's.
func bodies() []struct{ path, variable, body string } {
	return []struct{ path, variable, body string }{
		{"/v1/chassis", "chassis", `{"description":"c"}`},
		{"/v1/nodes", "node", `{"driver":"fake-hardware","name":"one","resource_class":"x"}`},
		{"/v1/ports", "port", `{"node_uuid":"{node}","address":"52:54:00:00:00:01"}`},
		{"/v1/portgroups", "portgroup", `{"node_uuid":"{node}","name":"bond"}`},
		{"/v1/volume/connectors", "connector", `{"node_uuid":"{node}","type":"iqn","connector_id":"iqn.2026-01.org.example:1"}`},
		{"/v1/volume/targets", "target", `{"node_uuid":"{node}","volume_type":"iscsi","volume_id":"v","boot_index":0}`},
		{"/v1/deploy_templates", "template", `{"name":"CUSTOM_T","steps":[{"interface":"bios","step":"x","args":{},"priority":10}]}`},
		{"/v1/runbooks", "runbook", `{"name":"CUSTOM_R","steps":[{"interface":"bios","step":"x","args":{},"order":1}]}`},
		{"/v1/inspection_rules", "rule", `{"description":"r","actions":[{"op":"fail","args":{"msg":"no"}}],"conditions":[]}`},
		{"/v1/allocations", "allocation", `{"resource_class":"nothing"}`},
	}
}

// junk is what no argument, name or field should be.
func junk() []any {
	return []any{nil, true, false, 0.0, -1.0, 1e300, 0.5, "", " ", "x", "\x00", "ÿ\u202e💥", strings.Repeat("a", 300), strings.Repeat("9", 40), "-1", "%", "../..",
		"00000000-0000-4000-8000-000000000000", "None", "'; DROP TABLE nodes; --", []any{}, []any{nil}, []any{map[string]any{}}, []any{"a", 1.0},
		map[string]any{}, map[string]any{"": nil}, map[string]any{"a": map[string]any{"b": []any{1.0}}}}
}

// badInput asks every route for nonsense.
type badInput struct {
	*fixture
	doc  m
	vars map[string]string // values of the names in braces
	sent int
}

func TestBadInput(t *testing.T) {
	f, _ := feedFixture(t, func(c *api.Config, _ *api.Deps) {
		c.MaxBody, c.MaxBodyProvision, c.MaxBodyInspection, c.LockedTries = 1<<16, 1<<16, 1<<16, 0
	})
	b := &badInput{fixture: f, doc: f.must(200, "GET", "- /ferric/v1/openapi.json", nil).object(t)}
	b.restore()
	paths := b.doc["paths"].(m)
	for _, path := range slices.Sorted(maps.Keys(paths)) {
		for _, method := range slices.Sorted(maps.Keys(paths[path].(m))) {
			b.route(strings.ToUpper(method), path, paths[path].(m)[method].(m))
		}
	}
	t.Logf("%d requests", b.sent)
}

// restore makes again what is gone.
func (b *badInput) restore() {
	b.t.Helper()
	if b.vars == nil {
		b.vars = map[string]string{"driver": "fake-hardware", "conductor": "host-1", "trait": "CUSTOM_A", "event": nodeID, "setting": "a", "vif": "v",
			"indicator": "led@chassis", "method": "second_method", "operation": opID}
	}
	for _, r := range bodies() {
		item, served := b.doc["paths"].(m)[r.path].(m)
		if !served {
			continue
		}
		if id := b.vars[r.variable]; id != "" && b.do("GET", r.path+"/"+id, nil).status == 200 {
			continue
		}
		if item["post"] == nil {
			b.t.Errorf("%s cannot be posted to", r.path)
			continue
		}
		body := strings.ReplaceAll(r.body, "{node}", b.vars["node"])
		reply := b.do("POST", r.path, body)
		if reply.status != 201 {
			b.t.Fatalf("POST %s %s: %d %s", r.path, body, reply.status, reply.body)
		}
		b.vars[r.variable] = reply.object(b.t)["uuid"].(string)
	}
	// Names in braces that are called otherwise take the UUID of what their collection holds.
	for path := range b.doc["paths"].(m) {
		for _, r := range bodies() {
			if rest, ok := strings.CutPrefix(path, r.path+"/{"); ok {
				name, _, _ := strings.Cut(rest, "}")
				b.vars[name] = b.vars[r.variable]
			}
		}
	}
}

// fill puts values into a path's braces; bad is the one that is to be replaced, "" for none.
func (b *badInput) fill(path, bad, with string) string {
	var out []string
	for _, seg := range strings.Split(path, "/") {
		if name, ok := strings.CutPrefix(seg, "{"); ok {
			name = strings.TrimSuffix(name, "}")
			seg = b.vars[name]
			if seg == "" {
				seg = "00000000-0000-4000-8000-000000000000"
			}
			if name == bad {
				seg = with
			}
			seg = url.PathEscape(seg)
		}
		out = append(out, seg)
	}
	return strings.Join(out, "/")
}

// route asks one route for all kinds of nonsense.
func (b *badInput) route(method, path string, op m) {
	since := strings.TrimPrefix(op["x-ferric-since"].(string), "1.")
	versions := []string{"1.115", "1." + since, "1.1"}
	if testing.Short() {
		versions = versions[:1]
	}
	valid := b.fill(path, "", "")
	var query []string
	for _, p := range list(op["parameters"]) {
		switch p.(m)["in"] {
		case "path":
			for _, v := range junk() {
				if s, ok := v.(string); ok && s != "" && s != "../.." {
					b.ask(method, b.fill(path, p.(m)["name"].(string), s), "1.115", nil)
				}
			}
			b.ask(method, strings.Replace(path, "{"+p.(m)["name"].(string)+"}", "%ff%fe", 1), "1.115", nil)
		case "query":
			query = append(query, p.(m)["name"].(string))
		}
	}
	for _, name := range query {
		for _, v := range junk() {
			s, ok := v.(string)
			if !ok {
				s = fmt.Sprint(v)
			}
			for _, version := range versions {
				b.ask(method, valid+"?"+url.Values{name: {s}}.Encode(), version, nil)
			}
		}
		b.ask(method, valid+"?"+name, "1.115", nil)
		b.ask(method, valid+"?"+name+"=%ff%fe", "1.115", nil)
		b.ask(method, valid+"?"+name+"=a&"+name+"=b", "1.115", nil)
	}
	for _, q := range []string{"no_such_argument=1", "%zz", "=", ";", "limit=-1", "limit=0", "limit=x", "limit=99999999999999999999", "marker=x",
		"marker=00000000-0000-4000-8000-000000000000", "sort_key=no_such_field", "sort_key=extra", "sort_dir=sideways", "fields=", "fields=no_such_field", "fields=,,", "detail=perhaps"} {
		b.ask(method, valid+"?"+q, "1.115", nil)
	}

	deep := strings.Repeat("[", 5000) + strings.Repeat("]", 5000)
	for _, body := range []string{"{", "null", "[]", "{}", `"x"`, "1", "\xff\xfe", `{"a":"` + "\xff" + `"}`, `{"a":1,"a":2}`, deep, `{"a":` + deep + `}`, `[{"op":"add"}]`,
		`[{"op":"test","path":"/a","value":1}]`, `[{"op":"add","path":"","value":{}}]`, `[{"op":"add","path":"/~3","value":{}}]`, `[null]`, `[{"op":"remove","path":"/uuid"}]`,
		`[{"op":"add","path":"/extra/a/b/c","value":1}]`, `[{"op":"add","path":"/no_such_field","value":1}]`, `[{"op":1,"path":2}]`} {
		for _, version := range versions {
			b.ask(method, valid, version, []byte(body))
		}
	}
	// HEAD and GET have bodies that nobody looks at, but none is too large to be refused.
	if w := b.ask(method, valid, "1.115", bytes.Repeat([]byte(" "), 1<<16+1)); w.Code != http.StatusRequestEntityTooLarge {
		b.t.Errorf("%s %s with a huge body: %d", method, path, w.Code)
	}
	b.fields(method, path, op, versions)
}

// fields sends each member of a body with every kind of junk, alone and beside what is needed, and patches each field with it.
func (b *badInput) fields(method, path string, op m, versions []string) {
	body, _ := op["requestBody"].(m)
	if body == nil {
		return
	}
	s := body["content"].(m)["application/json"].(m)["schema"].(m)
	if ref, ok := s["$ref"].(string); ok {
		s = b.doc["components"].(m)["schemas"].(m)[ref[strings.LastIndexByte(ref, '/')+1:]].(m)
	}
	members, _ := s["properties"].(m)
	whole := m{}
	for _, r := range bodies() {
		if r.path == path {
			if err := json.Unmarshal([]byte(strings.ReplaceAll(r.body, "{node}", b.vars["node"])), &whole); err != nil {
				b.t.Fatal(err)
			}
		}
	}
	patches := s["type"] == "array"
	if patches { // the fields are those of what GET shows
		get := b.doc["paths"].(m)[path].(m)["get"].(m)
		ref := get["responses"].(m)["200"].(m)["content"].(m)["application/json"].(m)["schema"].(m)["$ref"]
		if ref == nil {
			b.t.Errorf("%s: GET does not say what a patch changes; is its resource in API.resources?", path)
			return
		}
		name := ref.(string)[strings.LastIndexByte(ref.(string), '/')+1:]
		members = b.doc["components"].(m)["schemas"].(m)[name].(m)["properties"].(m)
	}
	for _, name := range slices.Sorted(maps.Keys(members)) {
		for _, v := range junk() {
			var docs []any
			if patches {
				for _, verb := range []string{"add", "replace", "remove"} {
					docs = append(docs, []any{m{"op": verb, "path": "/" + name, "value": v}})
				}
				docs = append(docs, []any{m{"op": "add", "path": "/" + name + "/x", "value": v}})
			} else {
				with := maps.Clone(whole)
				with[name] = v
				docs = append(docs, m{name: v}, with)
			}
			for _, doc := range docs {
				data, err := json.Marshal(doc)
				if err != nil {
					b.t.Fatal(err)
				}
				for _, version := range versions[:1] {
					b.ask(method, b.fill(path, "", ""), version, data)
				}
			}
		}
	}
}

// ask sends a request. No answer is a 5xx, and every refusal has Ironic's form.
func (b *badInput) ask(method, path, version string, body []byte) *httptest.ResponseRecorder {
	b.t.Helper()
	b.sent++
	ctx, cancel := context.WithTimeout(b.t.Context(), 10*time.Second)
	if path == "/ferric/v1/events" || strings.HasPrefix(path, "/ferric/v1/events?") { // a feed does not end by itself
		cancel()
		ctx, cancel = context.WithTimeout(b.t.Context(), 20*time.Millisecond)
	}
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, "http://host"+path, bytes.NewReader(body))
	if err != nil {
		return httptest.NewRecorder() // not a request that a client could send
	}
	req.Header.Set("X-OpenStack-Ironic-API-Version", version)
	w := httptest.NewRecorder()
	b.api.ServeHTTP(w, req)
	what := fmt.Sprintf("%s %.200s at %s with %.200q", method, path, version, body)
	checkAnswer(b.t, what, w)
	if w.Code < 300 && method != http.MethodGet && method != http.MethodHead {
		b.restore()
	}
	return w
}

// checkAnswer holds what is true of every answer.
func checkAnswer(t testing.TB, what string, w *httptest.ResponseRecorder) {
	t.Helper()
	if w.Code >= 500 {
		t.Errorf("%s: %d %s", what, w.Code, w.Body)
		return
	}
	if kind := w.Header().Get("Content-Type"); w.Body.Len() > 0 && !strings.HasPrefix(kind, "text/event-stream") && !json.Valid(w.Body.Bytes()) {
		t.Errorf("%s: not JSON: %.200q", what, w.Body)
	}
	if w.Code < 400 {
		return
	}
	var outer struct {
		Message     string `json:"error_message"`
		FaultString string `json:"faultstring"`
	}
	if err := json.Unmarshal(w.Body.Bytes(), &outer); err != nil || outer.FaultString == "" && !json.Valid([]byte(outer.Message)) {
		t.Errorf("%s: %d, not Ironic's error: %.200q", what, w.Code, w.Body)
	}
}

func list(v any) []any {
	l, _ := v.([]any)
	return l
}
