package api_test

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"ferric/api"
)

// history is what testdata/microversions.txt says: the first version by "resource field" and by "METHOD path".
func history(t *testing.T) map[string]int {
	t.Helper()
	data, err := os.ReadFile("testdata/microversions.txt")
	if err != nil {
		t.Fatal(err)
	}
	first := map[string]int{}
	note := func(name, version string) {
		minor, err := strconv.Atoi(strings.TrimPrefix(version, "1."))
		if _, twice := first[name]; twice || err != nil {
			t.Fatalf("%s: version %q, listed before: %v", name, version, twice)
		}
		first[name] = minor
	}
	for line := range strings.Lines(string(data)) {
		words := strings.Fields(line)
		switch {
		case len(words) == 0 || words[0] == "#":
		case words[0] == "field":
			for _, name := range words[3:] {
				note(words[1]+" "+name, words[2])
			}
		case words[0] == "route":
			for method := range strings.SplitSeq(words[2], ",") {
				note(method+" "+words[3], words[1])
			}
		default:
			t.Fatalf("what is %q?", line)
		}
	}
	return first
}

var braces = regexp.MustCompile(`\{[^}]*\}`)

// earlier are the routes that the tables have before their first version, with the reason.
func earlier() map[string]string {
	const refused = "the path is there, and older versions are refused with 406"
	return map[string]string{
		"PUT /v1/nodes/{}/states/raid":                    refused,
		"GET /v1/drivers/{}/raid/logical_disk_properties": refused,
		"GET /v1/nodes/{}/vmedia":                         "the other methods of the path came before it",
		"POST /v1/continue_inspection":                    "agents that know the inspector's API send no version",
	}
}

// TestMicroversions compares the tables with the history of versions.
func TestMicroversions(t *testing.T) {
	first := history(t)
	s := newFixture(t).api.Surface()
	seen := map[string]bool{}
	for _, r := range s.Resources {
		for _, f := range r.Fields {
			name := strings.ReplaceAll(r.Name, " ", "_") + " " + f.Name
			seen[name] = true
			want, listed := first[name]
			// A field is as old as its resource at least.
			if !listed || want != f.Since && !(f.Since < want && want == oldest(first, r.Name)) {
				t.Errorf("field %s: first version 1.%d; in testdata/microversions.txt: 1.%d, there: %v", name, f.Since, want, listed)
			}
		}
		for name := range first {
			if resource, _, _ := strings.Cut(name, " "); resource == strings.ReplaceAll(r.Name, " ", "_") && !seen[name] {
				t.Errorf("field %s: not in the tables", name)
			}
		}
	}
	for _, r := range s.Routes {
		if strings.HasPrefix(r.Path, "/ferric") {
			continue
		}
		name := r.Method + " " + braces.ReplaceAllString(r.Path, "{}")
		want, listed := first[name]
		if _, known := earlier()[name]; known && r.Since < want {
			continue
		}
		if !listed || want != r.Since {
			t.Errorf("route %s: first version 1.%d; in testdata/microversions.txt: 1.%d, there: %v", name, r.Since, want, listed)
		}
	}
}

// oldest is the first version of a resource's uuid.
func oldest(first map[string]int, resource string) int {
	return first[strings.ReplaceAll(resource, " ", "_")+" uuid"]
}

// TestFirstVersions asks for every field and every route in its first version and in the one before.
func TestFirstVersions(t *testing.T) {
	f := newFixture(t)
	s := f.api.Surface()
	paths := objects(f, s)
	for _, r := range s.Resources {
		path, ok := paths[r.Name]
		if !ok {
			t.Errorf("objects makes no %s", r.Name)
			continue
		}
		for _, field := range r.Fields {
			if field.Since < 2 {
				continue
			}
			for _, version := range []int{field.Since - 1, field.Since} {
				reply := f.do("GET", fmt.Sprintf("1.%d %s", version, path), nil)
				if reply.status == 404 && version < field.Since {
					continue // the resource itself is not there yet
				}
				if reply.status != 200 {
					t.Errorf("GET 1.%d %s: %d %s", version, path, reply.status, reply.body)
					continue
				}
				if _, shown := reply.object(t)[field.Name]; shown != (version == field.Since) {
					t.Errorf("GET 1.%d %s: %s shown: %v", version, path, field.Name, shown)
				}
			}
		}
	}
	first := history(t)
	for _, r := range s.Routes {
		name := r.Method + " " + braces.ReplaceAllString(r.Path, "{}")
		since := first[name]
		if since < 2 || name == "POST /v1/continue_inspection" {
			continue
		}
		path := braces.ReplaceAllString(r.Path, "missing")
		if strings.Contains(path, "/nodes/missing") {
			path = strings.Replace(path, "/nodes/missing", "/nodes/"+strings.TrimPrefix(paths["node"], "/v1/nodes/"), 1)
		}
		for _, version := range []int{since - 1, since} {
			reply := f.do(r.Method, fmt.Sprintf("1.%d %s", version, path), "")
			// The form of the error tells a path or method that is not there from an object that is not.
			absent := reply.status == 406 || (reply.status == 404 || reply.status == 405) && reply.fault(t)["code"] != nil
			if absent != (version < since) {
				t.Errorf("%s 1.%d %s: %d %s", r.Method, version, path, reply.status, reply.body)
			}
		}
	}
}

// objects makes an object of each resource and returns their paths by the resource's name.
func objects(f *fixture, s api.Surface) map[string]string {
	f.t.Helper()
	node := f.node(m{"resource_class": "x"})
	paths := map[string]string{"node": "/v1/nodes/" + node}
	step := m{"interface": "bios", "step": "apply", "args": m{}, "priority": 1}
	for _, made := range []struct {
		name string
		body m
	}{
		{"chassis", m{}},
		{"port", m{"node_uuid": node, "address": "52:54:00:00:00:01"}},
		{"portgroup", m{"node_uuid": node}},
		{"volume connector", m{"node_uuid": node, "type": "iqn", "connector_id": "iqn"}},
		{"volume target", m{"node_uuid": node, "volume_type": "iscsi", "boot_index": 0, "volume_id": "v"}},
		{"allocation", m{"resource_class": "x"}},
		{"deploy_template", m{"name": "CUSTOM_X", "steps": []any{step}}},
		{"runbook", m{"name": "CUSTOM_X", "steps": []any{m{"interface": "bios", "step": "apply", "args": m{}, "order": 1}}}},
		{"inspection_rule", m{"actions": []any{m{"op": "set-attribute", "args": m{"path": "/extra/x", "value": 1}}}}},
	} {
		i := slices.IndexFunc(s.Resources, func(r api.ResourceInfo) bool { return r.Name == made.name })
		if i < 0 {
			continue
		}
		list := "/v1/" + s.Resources[i].Collection
		paths[made.name] = list + "/" + f.must(201, "POST", list, made.body).object(f.t)["uuid"].(string)
	}
	return paths
}
