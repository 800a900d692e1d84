package bench

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"ferric"
	"ferric/store/pgtest"
)

var (
	nodes    = flag.Int("nodes", 1000, "BenchmarkAPI: how many nodes there are")
	target   = flag.String("target", "", "BenchmarkAPI, BenchmarkDeploy: URL of a running Ironic API to measure in place of a Ferric of its own")
	clients  = flag.Int("clients", 8, "BenchmarkAPI: how many clients ask at once")
	postgres = flag.Bool("postgres", false, "BenchmarkAPI, BenchmarkDeploy: Ferric's database is PostgreSQL, which is started for it")
	bmcs     = flag.Int("bmcs", 10000, "BenchmarkPowerSync: how many BMCs there are")
)

// BenchmarkAPI measures the API over HTTP: what is asked, how many requests a second, their median and 99th percentile, and the
// processor time that the service takes for one (its own, without that of the clients and of the database's server).
func BenchmarkAPI(b *testing.B) {
	s := subject(b, *nodes)
	for _, c := range s.cases(b, *nodes) {
		b.Run(c.name, func(b *testing.B) { s.load(b, c.name, c.n, *clients, c.make).report(b) })
	}
	b.Run("walk-detail", func(b *testing.B) {
		for b.Loop() {
			s.walk(b, *nodes)
		}
	})
	if s.ours {
		b.ReportMetric(residentMiB(b, s.pid), "MiB")
	}
}

// subject is the API that was named, filled up with nodes, or a Ferric over so many that is started for the benchmark.
func subject(b *testing.B, nodes int) *service {
	if *target == "" {
		return ownService(b, nodes, ferric.Enroll, *postgres)
	}
	s := newService(*target)
	s.fill(b, nodes)
	return s
}

// ownService starts a Ferric over so many nodes of a provision state until the benchmark ends.
func ownService(b *testing.B, nodes int, state ferric.ProvisionState, postgres bool) *service {
	bin := filepath.Join(b.TempDir(), "ferric")
	build(b, bin)
	dir, url := b.TempDir(), ""
	var set []string
	if postgres {
		server := &pgtest.Server{}
		b.Cleanup(server.Stop)
		url = server.Fresh(b)
		set = append(set, "database.url="+url)
	}
	seed(b, dir, url, nodes, state)
	at, pid := start(b, bin, dir, set...)
	s := newService(at)
	s.pid, s.ours = pid, true
	return s
}

// fill makes nodes over the API until there are so many.
func (s *service) fill(b *testing.B, nodes int) {
	have := len(s.uuids(b))
	if have < nodes {
		s.load(b, "fill", nodes-have, *clients, func(i int) *http.Request { return s.request("POST", "/v1/nodes", newNode(have+i)) })
	}
}

// call is a kind of request, and how often it is made.
type call struct {
	name string
	n    int
	make func(i int) *http.Request
}

// cases are the requests that are measured on a service over so many nodes.
func (s *service) cases(b *testing.B, nodes int) []call {
	all := s.uuids(b)
	one := func() string { return "/v1/nodes/" + all[rand.IntN(len(all))] }
	page := func(query string) func(int) *http.Request {
		return func(int) *http.Request { return s.request("GET", "/v1/nodes"+query, nil) }
	}
	pages := max(20, min(200, 100_000/min(nodes, 1000)))
	return []call{
		{"get", 4000, func(int) *http.Request { return s.request("GET", one(), nil) }},
		{"get by name", 2000, func(int) *http.Request { return s.request("GET", "/v1/nodes/"+nodeName(rand.IntN(nodes)), nil) }},
		{"get fields", 2000, func(int) *http.Request { return s.request("GET", one()+"?fields=uuid,name,driver_info", nil) }},
		{"list ids", pages, page("?limit=1000&fields=uuid")},
		{"list", pages, page("?limit=1000")},
		{"list detail", pages, page("/detail?limit=1000")},
		{"list fields", pages, page("?limit=1000&fields=uuid,name,driver_info")},
		{"list filtered", pages, page("?limit=1000&provision_state=enroll&resource_class=gold")},
		{"patch", 1000, func(i int) *http.Request {
			return s.request("PATCH", one(), []map[string]any{{"op": "add", "path": "/extra/n", "value": i}})
		}},
		{"create node", 1000, func(i int) *http.Request { return s.request("POST", "/v1/nodes", newNode(nodes+i)) }},
		{"create port", 1000, func(i int) *http.Request {
			mac := fmt.Sprintf("02:%02x:%02x:%02x:%02x:%02x", rand.IntN(256), rand.IntN(256), i>>16&255, i>>8&255, i&255)
			return s.request("POST", "/v1/ports", map[string]any{"node_uuid": all[rand.IntN(len(all))], "address": mac})
		}},
	}
}

// walk reads all detailed nodes, page by page, and returns how long that took.
func (s *service) walk(b *testing.B, nodes int) time.Duration {
	began, seen := time.Now(), 0
	for next := s.url + "/v1/nodes/detail?limit=1000"; next != ""; {
		var n int
		n, next = s.page(b, next)
		seen += n
	}
	if seen < nodes {
		b.Fatalf("saw %d nodes of %d", seen, nodes)
	}
	return time.Since(began)
}

func nodeName(i int) string { return fmt.Sprintf("bench-%06d", i) }

func newNode(i int) map[string]any {
	return map[string]any{"driver": "fake-hardware", "name": nodeName(i), "resource_class": "gold", "automated_clean": false,
		"driver_info": map[string]any{"ipmi_address": "192.0.2.1", "ipmi_username": "admin", "ipmi_password": "secret",
			"deploy_kernel": "http://images.example/kernel", "deploy_ramdisk": "http://images.example/ramdisk"},
		"properties": map[string]any{"cpus": "32", "memory_mb": "262144", "local_gb": "960", "cpu_arch": "x86_64", "vendor": "example",
			"capabilities": "boot_mode:uefi,secure_boot:true"},
		"extra": map[string]any{"rack": fmt.Sprintf("r%02d", i%40), "unit": i % 42}}
}
