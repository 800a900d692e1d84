package store_test

import (
	"flag"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"ferric"
	"ferric/flow"
)

var fleet = flag.Int("fleet", 100_000, "BenchmarkFleet: how many nodes there are")

// BenchmarkFleet measures what is asked for all the time over a large fleet in which few nodes are special: it must not take longer than over a
// small one.
func BenchmarkFleet(b *testing.B) {
	yes := true
	for _, engine := range []string{"sqlite", "postgres"} {
		b.Run(engine, func(b *testing.B) {
			e := open(b, engine)
			e.fleet(b, *fleet)
			middle, err := e.NodeByIdent(b.Context(), fmt.Sprintf("fleet-%d", *fleet/2))
			if err != nil {
				b.Fatal(err)
			}
			pages := map[string]struct {
				f ferric.NodeFilter
				p ferric.Page
			}{
				"first page":                {},
				"page in the middle":        {p: ferric.Page{Marker: middle.UUID}},
				"page backwards":            {p: ferric.Page{Marker: middle.UUID, Desc: true}},
				"sorted by UUID":            {p: ferric.Page{SortKey: "uuid", Marker: middle.UUID}},
				"sorted by provision state": {f: ferric.NodeFilter{IncludeChildren: true}, p: ferric.Page{SortKey: "provision_state", Marker: middle.UUID}},
				"sorted by driver":          {f: ferric.NodeFilter{IncludeChildren: true}, p: ferric.Page{SortKey: "driver", Marker: middle.UUID}},
				"provision state":           {f: ferric.NodeFilter{ProvisionStates: []ferric.ProvisionState{ferric.Manageable}}},
				"resource class":            {f: ferric.NodeFilter{ResourceClass: "rare"}},
				"driver":                    {f: ferric.NodeFilter{Driver: "rare"}},
				"maintenance":               {f: ferric.NodeFilter{Maintenance: &yes}},
				"retired":                   {f: ferric.NodeFilter{Retired: &yes}},
				"fault":                     {f: ferric.NodeFilter{Fault: "power failure"}},
				"associated":                {f: ferric.NodeFilter{Associated: &yes}},
				"sharded":                   {f: ferric.NodeFilter{Sharded: &yes}},
				"reserved":                  {f: ferric.NodeFilter{Reserved: &yes}},
				"project":                   {f: ferric.NodeFilter{Project: "rare"}},
				"instance name":             {f: ferric.NodeFilter{InstanceName: "rare"}},
			}
			for name, c := range pages {
				c.p.Limit = 100
				b.Run(name, func(b *testing.B) {
					for b.Loop() {
						if _, err := e.NodeStamps(b.Context(), c.f, c.p); err != nil {
							b.Fatal(err)
						}
					}
				})
			}
			for name, do := range map[string]func() error{
				"due": func() error {
					_, err := e.Due(b.Context(), e.clock.now(), 100)
					return err
				},
				"next wake": func() error {
					_, err := e.NextWake(b.Context(), e.clock.now())
					return err
				},
				"count of those that deploy": func() error {
					_, err := e.CountNodes(b.Context(), ferric.NodeFilter{ProvisionStates: []ferric.ProvisionState{ferric.Deploying, ferric.DeployWait}}, 250)
					return err
				},
				"take and give back a lease": func() error {
					l, err := e.Acquire(b.Context(), middle.UUID, "host", time.Minute)
					if err != nil {
						return err
					}
					return e.Release(b.Context(), l)
				},
				"allocation": func() error {
					a := &ferric.Allocation{UUID: uuid.NewString(), ResourceClass: "gold", State: ferric.AllocationPending}
					if err := e.CreateAllocation(b.Context(), a); err != nil {
						return err
					}
					_, _, err := e.Allocate(b.Context(), a.UUID, "host")
					return err
				},
			} {
				b.Run(name, func(b *testing.B) {
					for b.Loop() {
						if err := do(); err != nil {
							b.Fatal(err)
						}
					}
				})
			}
		})
	}
}

// fleet writes nodes, a few of them special in one way each, and operations of 2,000 of them, half of which are due.
func (e *env) fleet(b *testing.B, nodes int) {
	first := &ferric.Node{Name: "fleet-0", Driver: "ipmi", ResourceClass: "gold", ProvisionState: ferric.Available, PowerState: ferric.PowerOff,
		Properties: map[string]any{"cpus": "32", "memory_mb": "262144", "local_gb": "960", "cpu_arch": "x86_64"},
		Interfaces: ferric.Interfaces{ferric.KindPower: "ipmitool", ferric.KindDeploy: "direct", ferric.KindBoot: "pxe"}}
	if err := e.CreateNode(b.Context(), first); err != nil {
		b.Fatal(err)
	}
	lease, err := e.Acquire(b.Context(), first.UUID, "host", time.Hour)
	if err != nil {
		b.Fatal(err)
	}
	op := &flow.Operation{Kind: "deploy", Lane: flow.Provision, Steps: []flow.Step{{Interface: "deploy", Name: "deploy"}}}
	if _, err := e.Start(b.Context(), lease, op, nil); err != nil {
		b.Fatal(err)
	}
	db := e.peek(b)
	series := "(WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %d) SELECT i FROM n) AS s"
	id := "printf('%08x-0000-4000-8000-%012x', (s.i * 2654435761) % 4294967296, s.i)"
	if e.postgres() {
		series = "generate_series(1, %d) AS s(i)"
		id = "lpad(to_hex((s.i::bigint * 2654435761) % 4294967296), 8, '0') || '-0000-4000-8000-' || lpad(to_hex(s.i), 12, '0')"
	}
	special := func(column string, every int, value string) string {
		return fmt.Sprintf("CASE WHEN s.i %% %d = 7 THEN %s ELSE t.%s END", every, value, column)
	}
	copies := func(table string, n int, set map[string]string) {
		rows, err := db.QueryContext(b.Context(), "SELECT * FROM "+table+" LIMIT 0")
		if err != nil {
			b.Fatal(err)
		}
		columns, err := rows.Columns()
		rows.Close()
		if err != nil {
			b.Fatal(err)
		}
		values := make([]string, len(columns))
		for i, c := range columns {
			if values[i] = "t." + c; set[c] != "" {
				values[i] = set[c]
			}
		}
		_, err = db.ExecContext(b.Context(), "INSERT INTO "+table+" ("+strings.Join(columns, ", ")+") SELECT "+strings.Join(values, ", ")+
			" FROM "+table+" t, "+fmt.Sprintf(series, n))
		if err != nil {
			b.Fatal(err)
		}
	}
	copies("nodes", nodes, map[string]string{"uuid": id, "name": "'fleet-' || s.i", "created_at": "t.created_at + s.i", "driver_info": "NULL", "reservation": "''",
		"provision_state": special("provision_state", 1001, "'manageable'"), "resource_class": special("resource_class", 1003, "'rare'"),
		"driver": special("driver", 5003, "'rare'"), "maintenance": "s.i % 5009 = 7", "fault": special("fault", 5009, "'power failure'"),
		"retired": "s.i % 5011 = 7", "instance_uuid": special("instance_uuid", 5021, id), "shard": special("shard", 5023, "'rare'"),
		"owner": special("owner", 5039, "'rare'"), "lessee": special("lessee", 5051, "'rare'"), "instance_name": special("instance_name", 5059, "'rare'")})
	copies("operations", 2000, map[string]string{"id": id, "node_uuid": id, "due_at": "CASE WHEN s.i % 2 = 0 THEN t.due_at + s.i ELSE t.due_at + 3600000000 + s.i END"})
	if _, err := db.ExecContext(b.Context(), "ANALYZE"); err != nil {
		b.Fatal(err)
	}
}
