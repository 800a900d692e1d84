package main

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func reply(status int, body string, header ...string) answer {
	a := answer{status: status, header: http.Header{"Content-Type": {"application/json"}, "X-Openstack-Ironic-Api-Version": {"1.82"}}, body: []byte(body)}
	for i := 0; i+1 < len(header); i += 2 {
		a.header.Set(header[i], header[i+1])
	}
	return a
}

func TestCompare(t *testing.T) {
	const u1, u2 = "0a0a0a0a-0000-4000-8000-000000000001", "0b0b0b0b-0000-4000-8000-000000000002"
	fault := func(text string) string {
		return string(mustJSON(m{"error_message": string(mustJSON(m{"faultcode": "Client", "faultstring": text, "debuginfo": nil}))}))
	}
	early := string(mustJSON(m{"error_message": string(mustJSON(m{"code": 404, "title": "Not Found", "description": ""}))}))
	for name, c := range map[string]struct {
		ironic, ferric answer
		want           []string
	}{
		"alike":               {reply(200, `{"uuid":"`+u1+`","at":"2026-11-22T10:00:00+00:00","href":"http://one:1/v1"}`), reply(200, `{"uuid":"`+u2+`","at":"2026-11-23T10:00:01+00:00","href":"http://two:2/v1"}`), nil},
		"status":              {reply(404, fault("Node x could not be found.")), reply(200, `{}`), []string{"status: Ironic 404, Ferric 200 (Ironic: Node x could not be found.)"}},
		"a member":            {reply(200, `{"a":1}`), reply(200, `{"b":2}`), []string{"body.a: only Ironic has it: 1", "body.b: only Ferric has it: 2"}},
		"deep":                {reply(200, `{"a":[{"b":null}]}`), reply(200, `{"a":[{"b":""}]}`), []string{`body.a[0].b: Ironic null, Ferric ""`}},
		"length":              {reply(200, `{"a":[1]}`), reply(200, `{"a":[]}`), []string{"body.a: Ironic has 1 items, Ferric 0: [1], []"}},
		"order of traits":     {reply(200, `{"traits":["a","b"]}`), reply(200, `{"traits":["b","a"]}`), nil},
		"our own UUIDs":       {reply(200, `["`+nodeID+`"]`), reply(200, `["`+otherNode+`"]`), []string{`body[0]: Ironic "` + nodeID + `", Ferric "` + otherNode + `"`}},
		"header":              {reply(201, `{}`, "Location", "http://one:1/v1/nodes/"+u1), reply(201, `{}`), []string{`header Location: Ironic "<base>/v1/nodes/<uuid>", Ferric ""`}},
		"charset":             {reply(200, `{}`, "Content-Type", "application/json; charset=UTF-8"), reply(200, `{}`), nil},
		"another text":        {reply(400, fault("Bad thing")), reply(400, fault("A bad thing")), nil},
		"text that is parsed": {reply(404, fault("Node x could not be found.")), reply(404, fault("No such node")), []string{`error text lacks "x could not be found": Ironic "Node x could not be found.", Ferric "No such node"`}},
		"form":                {reply(404, early), reply(404, fault("x")), []string{"form of the error: Ironic's is of the framework, Ferric's of a controller"}},
		"next":                {reply(200, `{"next":"http://one:1/v1/nodes?fields=b,a"}`), reply(200, `{"next":"http://two:2/v1/nodes?fields=a,b"}`), nil},
	} {
		t.Run(name, func(t *testing.T) {
			got := compare(c.ironic, c.ferric, alike{bases: []string{"http://one:1", "http://two:2"}}, false)
			if d := cmp.Diff(c.want, got); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestReport(t *testing.T) {
	file := filepath.Join(t.TempDir(), "differences.md")
	text := "# Differences\n\n| request | difference | reason |\n|---|---|---|\n| `GET .*(a\\|b)$` | `^status: Ironic 500` | it fails |\n| `never` | `.` | old |\n"
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	list, err := readList(file)
	if err != nil {
		t.Fatal(err)
	}
	r := &report{listed: list}
	r.add("one", request{method: "GET", path: "/v1/b", version: 5}, "status: Ironic 500, Ferric 200")
	r.add("one", request{method: "GET", path: "/v1/c", version: 5}, "status: Ironic 500, Ferric 200")
	r.add("two", request{method: "GET", path: "/v1/c", version: 6}, "status: Ironic 500, Ferric 200")
	var b strings.Builder
	if r.print(&b, true) {
		t.Error("a difference that is not listed was no failure")
	}
	want := "one: GET 1.5 /v1/c\n    status: Ironic 500, Ferric 200\n    … and 1 more like it\n" +
		"docs/differences.md:6: this difference is listed and does not occur\n" +
		"0 requests to each, 1 differences, 1 that are listed, 1 listed that do not occur\n"
	if d := cmp.Diff(want, b.String()); d != "" {
		t.Error(d)
	}
	b.Reset()
	r = &report{listed: list, rows: true}
	if r.add("one", request{method: "GET", path: "/v1/a", version: 5}, "status: Ironic 500, Ferric 200"); r.print(&b, true) {
		t.Error("a row that nothing matches was no failure")
	}
	if b.Reset(); !r.print(&b, false) {
		t.Error("a part of the conversations need not match every row")
	}
	if want := "differences.md:5: 2 times\n    one: GET 1.5 /v1/b\n        status: Ironic 500, Ferric 200\n    one: GET 1.5 /v1/a\n"; !strings.Contains(b.String(), want) {
		t.Errorf("%q is not in:\n%s", want, &b)
	}
	if err := os.WriteFile(file, []byte("| `a` | `b` | |\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := readList(file); err == nil {
		t.Error("a row without a reason was read")
	}
}

// TestList reads the list that is committed.
func TestList(t *testing.T) {
	list, err := readList("../../" + listFile)
	if err != nil || len(list) == 0 {
		t.Errorf("%d rows, %v", len(list), err)
	}
}
