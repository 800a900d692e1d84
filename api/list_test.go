package api_test

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ferric"
	"ferric/api"
)

// names returns the names of the nodes in an answer.
func names(t testing.TB, r reply, collection string) []string {
	t.Helper()
	out := []string{}
	for _, n := range r.object(t)[collection].([]any) {
		out = append(out, fmt.Sprint(n.(m)["name"]))
	}
	return out
}

func TestNodeFilters(t *testing.T) {
	f := newFixture(t)
	f.version = "1.115"
	const instance, chassis = "1be26c0b-03f2-4d2e-ae87-c02d7f33c123", "2be26c0b-03f2-4d2e-ae87-c02d7f33c123"
	f.must(201, "POST", "/v1/chassis", m{"uuid": chassis})
	plain := f.node(m{"name": "plain"})
	f.node(m{"name": "rich", "driver": "ipmi", "instance_uuid": instance, "instance_name": "web", "maintenance": true, "resource_class": "big",
		"conductor_group": "Rack", "owner": "alice", "lessee": "bob", "description": "Second rack, LEFT side", "shard": "s1", "chassis_uuid": chassis})
	f.node(m{"name": "child", "parent_node": "plain", "retired": true, "retired_reason": "old"})
	broken := f.node(m{"name": "broken", "lessee": "alice", "shard": "s2"})
	f.change(broken, func(n *ferric.Node) { n.Fault, n.ProvisionState = ferric.FaultPower, ferric.Active })
	for query, want := range map[string]string{
		"":                                  "broken plain rich",
		"include_children=true":             "broken child plain rich",
		"include_children=false":            "broken plain rich",
		"parent_node=" + plain:              "child",
		"parent_node=plain":                 "child",
		"driver=ipmi":                       "rich",
		"instance_uuid=" + instance:         "rich",
		"instance_uuid=" + chassis:          "",
		"instance_name=web":                 "rich",
		"associated=true":                   "rich",
		"associated=0":                      "broken plain",
		"maintenance=yes":                   "rich",
		"maintenance=f":                     "broken plain",
		"retired=true&include_children=1":   "child",
		"provision_state=active":            "broken",
		"provision_state=rescue":            "",
		"resource_class=big":                "rich",
		"conductor_group=rack":              "rich",
		"conductor_group=RACK":              "rich",
		"conductor_group=":                  "broken plain",
		"owner=alice":                       "rich",
		"lessee=alice":                      "broken",
		"project=alice":                     "broken rich",
		"description_contains=left":         "rich",
		"description_contains=%25":          "",
		"shard=s1":                          "rich",
		"shard=s1,S2":                       "broken rich",
		"shard=":                            "",
		"sharded=true":                      "broken rich",
		"sharded=false":                     "plain",
		"chassis_uuid=" + chassis:           "rich",
		"fault=power+failure":               "broken",
		"conductor=host-1":                  "broken plain rich",
		"conductor=host-2":                  "",
		"owner=alice&maintenance=true":      "rich",
		"owner=alice&maintenance=false":     "",
		"sort_key=driver&sort_dir=desc":     "broken plain rich",
		"fields=name&driver=ipmi":           "rich",
		"detail=true&resource_class=big":    "rich",
		"detail=false&resource_class=big":   "rich",
		"conductor=host-1&limit=2&detail=1": "",
	} {
		for _, path := range []string{"/v1/nodes?", "/v1/nodes/detail?"} {
			if path == "/v1/nodes/detail?" && (strings.Contains(query, "fields=") || strings.Contains(query, "detail=")) {
				continue
			}
			r := f.must(200, "GET", path+query, nil)
			got := names(t, r, "nodes")
			if strings.Contains(query, "limit=2") {
				if len(got) != 2 || r.object(t)["next"] == nil {
					t.Errorf("%s%s: %v", path, query, got)
				}
				continue
			}
			slices.Sort(got)
			if strings.Join(got, " ") != want {
				t.Errorf("%s%s: %v, want %s", path, query, got, want)
			}
		}
	}
	if r := f.must(200, "GET", "/v1/nodes/plain/children", nil); len(r.object(t)["children"].([]any)) != 1 {
		t.Errorf("children %s", r.body)
	}
}

// TestPaging follows next to the end, in every order, and sees each node once.
func TestPaging(t *testing.T) {
	f := newFixture(t, func(c *api.Config, _ *api.Deps) { c.MaxLimit = 4 })
	for i := range 11 {
		f.node(m{"name": fmt.Sprintf("n%02d", i), "resource_class": fmt.Sprint(i % 3), "maintenance": i%2 == 0})
	}
	for _, query := range []string{"", "limit=3", "sort_key=name", "sort_key=name&sort_dir=desc&limit=2", "sort_key=resource_class&limit=1",
		"fields=name,extra&limit=3", "detail=true", "limit=100", "conductor=host-1&limit=3", "maintenance=true&limit=2"} {
		var all []string
		address, pages := "/v1/nodes?"+query, 0
		for address != "" {
			r := f.must(200, "GET", address, nil)
			page := names(t, r, "nodes")
			if len(page) > 4 {
				t.Fatalf("%s: %d nodes in a page", address, len(page))
			}
			all = append(all, page...)
			next, _ := r.object(t)["next"].(string)
			if next != "" {
				u, err := url.Parse(next)
				if err != nil {
					t.Fatal(err)
				}
				given, _ := url.ParseQuery(query)
				for k := range given {
					if k != "limit" && u.Query().Get(k) != given.Get(k) {
						t.Errorf("next of %q forgot %s: %s", query, k, next)
					}
				}
				next = u.RequestURI()
			}
			address = next
			if pages++; pages > 20 {
				t.Fatalf("%q does not end", query)
			}
		}
		want := 11
		if strings.Contains(query, "maintenance") {
			want = 6
		}
		if sorted := slices.Compact(slices.Sorted(slices.Values(all))); len(all) != want || len(sorted) != want {
			t.Errorf("%q: %v", query, all)
		}
		if strings.HasPrefix(query, "sort_key=name&sort_dir=desc") && all[0] != "n10" {
			t.Errorf("%q: %v", query, all)
		}
	}
}

// TestSortKeys: whatever the table of fields says can be sorted by, the store can sort by.
func TestSortKeys(t *testing.T) {
	f := newFixture(t)
	f.must(201, "POST", "/v1/ports", m{"node_uuid": f.node(nil), "address": "52:54:00:00:00:01"})
	for collection, fields := range map[string]map[string]int{"nodes": nodeSince, "ports": portSince, "portgroups": portgroupSince,
		"chassis": chassisSince, "volume/connectors": connectorSince, "volume/targets": targetSince} {
		sortable := 0
		for name := range fields {
			r := f.do("GET", "/v1/"+collection+"?sort_key="+name, nil)
			switch r.status {
			case 200:
				sortable++
			case 400:
			default:
				t.Errorf("%s by %s: %d %s", collection, name, r.status, r.body)
			}
		}
		if want := map[string]int{"nodes": 34, "ports": 12, "portgroups": 10, "chassis": 4, "volume/connectors": 5, "volume/targets": 6}[collection]; sortable < want {
			t.Errorf("%s can be sorted by %d fields, want at least %d", collection, sortable, want)
		}
	}
}

func TestPortLists(t *testing.T) {
	f := newFixture(t)
	one, two := f.node(m{"name": "one", "shard": "s1"}), f.node(m{"name": "two", "conductor_group": "rack"})
	for i, node := range []string{one, one, two} {
		f.must(201, "POST", "/v1/ports", m{"node_uuid": node, "address": fmt.Sprintf("52:54:00:00:00:0%d", i), "name": fmt.Sprintf("p%d", i),
			"description": fmt.Sprintf("port number %d", i)})
	}
	f.must(201, "POST", "/v1/ports", m{"node_ident": "two", "address": "52:54:00:00:00:03", "name": "p3"})
	for path, want := range map[string][]string{
		"/v1/ports?":                                   {"p0", "p1", "p2", "p3"},
		"/v1/ports?node=one":                           {"p0", "p1"},
		"/v1/ports?node_uuid=" + two:                   {"p2", "p3"},
		"/v1/nodes/one/ports?":                         {"p0", "p1"},
		"/v1/nodes/" + two + "/ports/detail?":          {"p2", "p3"},
		"/v1/ports/detail?address=52:54:00:00:00:01":   {"p1"},
		"/v1/ports?address=52:54:00:00:00:99":          {},
		"/v1/ports?shard=s1":                           {"p0", "p1"},
		"/v1/ports?shard=none":                         {},
		"/v1/ports?conductor_groups=rack":              {"p2", "p3"},
		"/v1/ports?conductor_groups=rack&shard=s1":     {},
		"/v1/ports?description_contains=number":        {"p0", "p1", "p2"},
		"/v1/ports?description_contains=NUMBER%200":    {"p0"},
		"/v1/ports?description_contains=%25":           {},
		"/v1/ports?description_contains=number&node=1": nil,
		"/v1/ports?sort_key=name&sort_dir=desc":        {"p3", "p2", "p1", "p0"},
	} {
		if want == nil {
			f.must(404, "GET", path, nil)
			continue
		}
		if !strings.Contains(path, "detail") {
			path += "&fields=name"
		}
		got := names(t, f.must(200, "GET", path, nil), "ports")
		if !strings.Contains(path, "sort_key") {
			slices.Sort(got)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", path, diff)
		}
	}
	f.must(403, "GET", "/v1/ports?node=one&shard=s1", nil)
	f.must(400, "GET", "/v1/ports?node=one&conductor_groups=rack", nil)
	f.must(406, "GET", "1.98 /v1/ports?conductor_groups=rack", nil)
	f.must(406, "GET", "1.81 /v1/ports?shard=s1", nil)
	f.must(406, "GET", "1.93 /v1/nodes/"+one+"/ports?fields=description", nil)
	for _, path := range []string{"/v1/nodes/one/ports", "/v1/nodes/one/ports/detail", "/v1/ports/detail"} {
		next := f.must(200, "GET", path+"?limit=1", nil).object(t)["next"].(string)
		if !strings.Contains(next, path+"?") {
			t.Errorf("next %s", next)
		}
	}
}
