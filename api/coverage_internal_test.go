package api

import (
	flags "flag"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const (
	ironicFile   = "testdata/ironic.txt"
	coverageFile = "../docs/coverage.md"
)

// item is one line of testdata/ironic.txt.
type item struct {
	kind, since, name, note string // name: "GET /v1/nodes", "GET /v1/nodes limit", "clean", "node shard"
}

func readItems(t *testing.T) []item {
	t.Helper()
	b, err := os.ReadFile(ironicFile)
	if err != nil {
		t.Fatal(err)
	}
	line := regexp.MustCompile(`^(route|arg|verb|field) (1\.\d+) ([^#]+?)(?: # (.*))?$`)
	var items []item
	for n, text := range strings.Split(string(b), "\n") {
		if text == "" || strings.HasPrefix(text, "#") {
			continue
		}
		m := line.FindStringSubmatch(text)
		if m == nil {
			t.Fatalf("%s:%d: not of the form \"kind version name\": %q", ironicFile, n+1, text)
		}
		items = append(items, item{m[1], m[2], m[3], m[4]})
	}
	return items
}

// served is what Ferric's tables have: versions by name, for each kind of item.
func served(a *API) map[string]map[string]string {
	out := map[string]map[string]string{"route": {}, "arg": {}, "verb": {}, "field": {}}
	braces := regexp.MustCompile(`\{\w+\}`)
	for _, r := range a.routes() {
		if r.refusal || !strings.HasPrefix(r.path, "/v1") && r.path != "/" || r.method == "HEAD" {
			continue
		}
		name := r.method + " " + braces.ReplaceAllString(r.path, "{}")
		out["route"][name] = versionString(max(r.since, minVersion))
		for _, arg := range r.args {
			out["arg"][name+" "+arg.name] = versionString(max(arg.since, r.since, minVersion))
		}
	}
	for _, v := range verbs() {
		out["verb"][v.name] = versionString(max(v.since, minVersion))
	}
	for _, r := range a.resources() {
		name, _ := r.names()
		for field, s := range r.answerSchema()["properties"].(schema) {
			since, ok := s.(schema)["x-ferric-since"].(string)
			if !ok { // links
				since = versionString(minVersion)
			}
			out["field"][strings.ReplaceAll(name, " ", "_")+" "+field] = since
		}
	}
	return out
}

// TestCoverage holds docs/coverage.md to the tables, and the tables to what Ironic has. The version of an argument may be held by its handler
// instead of the table, and that of a field by its resource's route; then the table says an earlier one.
func TestCoverage(t *testing.T) {
	a, err := New(Defaults(), Deps{})
	if err != nil {
		t.Fatal(err)
	}
	have := served(a)
	titles := []struct{ kind, title, column string }{
		{"route", "Routes", "Route"}, {"arg", "Arguments", "Argument"}, {"verb", "Provision verbs", "Verb"}, {"field", "Fields", "Field"}}
	all, known := map[string][2]int{}, map[string]bool{}
	var missing []string
	sections := map[string]*strings.Builder{}
	for _, i := range readItems(t) {
		known[i.kind+" "+i.name] = true
		since, ok := have[i.kind][i.name]
		mark := "yes"
		switch {
		case !ok:
			mark = "**missing**"
			missing = append(missing, i.kind+" "+i.name)
		case i.kind == "route" && since != i.since, i.kind == "verb" && since != i.since, older(i.since, since):
			t.Errorf("%s %s: Ironic has it from %s on, the tables say %s", i.kind, i.name, i.since, since)
		}
		count := all[i.kind]
		count[1]++
		if ok {
			count[0]++
		}
		all[i.kind] = count
		if sections[i.kind] == nil {
			sections[i.kind] = &strings.Builder{}
		}
		note := ""
		if i.note != "" {
			note = " (" + i.note + ")"
		}
		fmt.Fprintf(sections[i.kind], "| `%s`%s | %s | %s |\n", i.name, note, i.since, mark)
	}
	for _, kind := range []string{"route", "verb", "field"} {
		for _, name := range slices.Sorted(maps.Keys(have[kind])) {
			if !known[kind+" "+name] {
				t.Errorf("%s %s: Ironic has no such thing; if it does, enter it in %s", kind, name, ironicFile)
			}
		}
	}

	var b strings.Builder
	b.WriteString("# What of Ironic's API is there\n\n<!-- Written by \"go test ./api -run TestCoverage -update\" from the route table and the tables of " +
		"fields in package api. Do not edit. -->\n\nEverything that Ironic's REST API has at microversion 1.115, and whether Ferric serves it.\n\n" +
		"| | there | of |\n|---|---|---|\n")
	for _, s := range titles {
		fmt.Fprintf(&b, "| %s | %d | %d |\n", s.title, all[s.kind][0], all[s.kind][1])
	}
	for _, s := range titles {
		fmt.Fprintf(&b, "\n## %s\n\n| %s | since | there |\n|---|---|---|\n%s", s.title, s.column, sections[s.kind])
	}
	if f := flags.Lookup("update"); f != nil && f.Value.String() == "true" { // the flag of the golden tests
		if err := os.WriteFile(coverageFile, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	now, err := os.ReadFile(coverageFile)
	if err != nil {
		t.Fatal(err)
	}
	if string(now) != b.String() {
		t.Errorf("docs/coverage.md is out of date; run go test ./api -run TestCoverage -update")
	}
	if len(missing) > 0 {
		t.Logf("missing: %s", strings.Join(missing, ", "))
	}
}

// older reports whether version a is older than b.
func older(a, b string) bool {
	var x, y int
	fmt.Sscanf(a, "1.%d", &x)
	fmt.Sscanf(b, "1.%d", &y)
	return x < y
}
