package store

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"ferric"
)

// TestPlans: what is asked for all the time is found by an index, and read in its order, however many nodes there are.
func TestPlans(t *testing.T) {
	s, err := Open(t.Context(), Config{DataDir: t.TempDir(), Migrate: true}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	group, yes := "rack-1", true
	for name, f := range map[string]ferric.NodeFilter{
		"all":             {},
		"with children":   {IncludeChildren: true},
		"UUIDs":           {UUIDs: []string{"a", "b"}, IncludeChildren: true},
		"name":            {Name: "n"},
		"instance":        {InstanceID: "i"},
		"provision state": {ProvisionStates: []ferric.ProvisionState{ferric.Available}},
		"resource class":  {ResourceClass: "gold"},
		"conductor group": {ConductorGroup: &group},
		"shard":           {Shards: []string{"s"}},
		"owner":           {Owner: "p"},
		"lessee":          {Lessee: "p"},
		"chassis":         {ChassisUUID: "c"},
		"parent":          {ParentNode: "p"},
		"maintenance":     {Maintenance: &yes},
		"retired":         {Retired: &yes},
		"associated":      {Associated: &yes},
		"fault":           {Fault: "power failure"},
		"instance name":   {InstanceName: "i"},
		"driver":          {Driver: "ipmi"},
		"project":         {Project: "p"},
	} {
		t.Run(name, func(t *testing.T) {
			w := nodeFilter(f, time.Now())
			if err := w.page(t.Context(), s.r, nodeOrder, ferric.Page{Limit: 100}, nodeNotFound); err != nil {
				t.Fatal(err)
			}
			plan := explain(t, s, nodeTable.selection()+w.sql.String(), w.args...)
			first, _, _ := strings.Cut(plan, "\n")
			// A project's nodes come from two indexes, and are sorted.
			sorted := strings.Contains(plan, "TEMP B-TREE") && name != "project" && len(f.UUIDs) == 0 && name != "name" && name != "instance" && name != "parent"
			if !strings.Contains(first, "INDEX") || sorted {
				t.Errorf("the plan is\n%s", plan)
			}
		})
	}
	for name, query := range map[string]string{
		"node by name": "SELECT uuid FROM nodes WHERE name = $1 AND name <> ''",
		"lease by MAC": "SELECT address FROM dhcp_leases WHERE mac = $1 AND mac <> ''",
		"reserved by":  "SELECT uuid FROM nodes WHERE reservation = $1 AND reservation <> ''",
	} {
		t.Run(name, func(t *testing.T) {
			if plan := explain(t, s, query, "x"); !strings.Contains(plan, "SEARCH") {
				t.Errorf("the plan is\n%s", plan)
			}
		})
	}
}

func explain(t *testing.T, s *Store, query string, args ...any) string {
	t.Helper()
	rows, err := s.r.QueryContext(context.Background(), "EXPLAIN QUERY PLAN "+query, args...)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var plan []string
	for rows.Next() {
		var id, parent, unused int
		var detail string
		if err := rows.Scan(&id, &parent, &unused, &detail); err != nil {
			t.Fatal(err)
		}
		plan = append(plan, detail)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return strings.Join(plan, "\n")
}
