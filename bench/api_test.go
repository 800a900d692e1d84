package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

var (
	nodes   = flag.Int("nodes", 1000, "BenchmarkAPI: how many nodes there are")
	target  = flag.String("target", "", "BenchmarkAPI: URL of a running Ironic API to measure in place of a Ferric of its own")
	clients = flag.Int("clients", 8, "BenchmarkAPI: how many clients ask at once")
)

// BenchmarkAPI measures the API over HTTP: what is asked, how many requests a second, their median and 99th percentile, and the
// processor time that the service takes for one (its own, without that of the clients).
func BenchmarkAPI(b *testing.B) {
	s := subject(b)
	base := s.count(b)
	s.measure(b, "create", max(0, *nodes-base), func(i int) *http.Request {
		return s.request("POST", "/v1/nodes", newNode(base+i))
	})
	all := s.uuids(b)
	one := func() string { return "/v1/nodes/" + all[rand.IntN(len(all))] }
	page := func(query string) func(int) *http.Request {
		return func(int) *http.Request { return s.request("GET", "/v1/nodes"+query, nil) }
	}
	for _, c := range []struct {
		name string
		n    int
		make func(int) *http.Request
	}{
		{"get", 4000, func(int) *http.Request { return s.request("GET", one(), nil) }},
		{"get-fields", 4000, func(int) *http.Request { return s.request("GET", one()+"?fields=uuid,name,driver_info", nil) }},
		{"get-by-name", 2000, func(int) *http.Request {
			return s.request("GET", "/v1/nodes/"+nodeName(rand.IntN(len(all))), nil)
		}},
		{"list-default", 200, page("?limit=1000")},
		{"list-detail", 100, page("/detail?limit=1000")},
		{"list-fields", 100, page("?limit=1000&fields=uuid,name,driver_info")},
		{"list-filtered", 200, page("?limit=1000&provision_state=enroll&resource_class=gold")},
		{"patch", 1000, func(i int) *http.Request {
			return s.request("PATCH", one(), []map[string]any{{"op": "add", "path": "/extra/n", "value": i}})
		}},
		{"create-port", 1000, func(i int) *http.Request {
			mac := fmt.Sprintf("02:%02x:%02x:%02x:%02x:%02x", rand.IntN(256), rand.IntN(256), i>>16&255, i>>8&255, i&255)
			return s.request("POST", "/v1/ports", map[string]any{"node_uuid": all[rand.IntN(len(all))], "address": mac})
		}},
	} {
		s.measure(b, c.name, c.n, c.make)
	}
	b.Run("walk-detail", func(b *testing.B) {
		for b.Loop() {
			seen := 0
			for next := s.url + "/v1/nodes/detail?limit=1000"; next != ""; {
				var doc struct {
					Nodes []json.RawMessage
					Next  string
				}
				req, _ := http.NewRequestWithContext(b.Context(), "GET", next, nil)
				req.Header.Set(versionHeader, s.version)
				if err := json.Unmarshal(s.do(b, req), &doc); err != nil {
					b.Fatal(err)
				}
				seen, next = seen+len(doc.Nodes), doc.Next
			}
			if seen < *nodes {
				b.Fatalf("saw %d nodes", seen)
			}
		}
	})
	if s.pid != 0 {
		b.ReportMetric(residentMiB(b, s.pid), "MiB")
	}
}

const versionHeader = "X-OpenStack-Ironic-API-Version"

// service is the API that is measured.
type service struct {
	url, version string
	pid          int // 0: not on this machine, or not known
	client       *http.Client
}

// subject is the API that was named, or a Ferric that is started for the benchmark.
func subject(b *testing.B) *service {
	s := &service{url: strings.TrimRight(*target, "/"), version: "1.82", client: &http.Client{Timeout: 5 * time.Minute,
		Transport: &http.Transport{MaxIdleConnsPerHost: *clients}}}
	if s.url == "" {
		bin := filepath.Join(b.TempDir(), "ferric")
		build(b, bin)
		s.url, s.pid = start(b, bin, b.TempDir())
	}
	return s
}

func (s *service) request(method, path string, body any) *http.Request {
	var r io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			panic(err) // of our own values
		}
		r = bytes.NewReader(text)
	}
	req, err := http.NewRequest(method, s.url+path, r)
	if err != nil {
		panic(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set(versionHeader, s.version)
	return req
}

func (s *service) do(b *testing.B, req *http.Request) []byte {
	resp, err := s.client.Do(req)
	if err != nil {
		b.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode >= 300 {
		b.Fatalf("%s %s: %d %.300s %v", req.Method, req.URL, resp.StatusCode, text, err)
	}
	return text
}

// measure sends n requests from all clients. It needs no repetitions of the benchmark's own: n is what they are.
func (s *service) measure(b *testing.B, name string, n int, request func(i int) *http.Request) {
	if n == 0 {
		return
	}
	b.Run(name, func(b *testing.B) {
		b.ReportAllocs()
		times := make([]float64, n)
		var next, size atomic.Int64
		var work sync.WaitGroup
		cpu, began := s.cpu(b), time.Now()
		for range *clients {
			work.Go(func() {
				for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
					at := time.Now()
					size.Add(int64(len(s.do(b, request(i)))))
					times[i] = float64(time.Since(at).Microseconds()) / 1000
				}
			})
		}
		work.Wait()
		took := time.Since(began).Seconds()
		b.ReportMetric(0, "ns/op")
		b.ReportMetric(float64(n)/took, "req/s")
		b.ReportMetric(quantile(times, 0.5), "ms-p50")
		b.ReportMetric(quantile(times, 0.99), "ms-p99")
		b.ReportMetric(float64(size.Load())/took/1e6, "MB/s")
		if s.pid != 0 {
			b.ReportMetric((s.cpu(b)-cpu)*1e6/float64(n), "cpu-µs/req")
		}
	})
}

// cpu is the processor time that the service has taken, in seconds.
func (s *service) cpu(b *testing.B) float64 {
	if s.pid == 0 {
		return 0
	}
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.pid))
	if err != nil {
		b.Fatal(err)
	}
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	const hz = 100 // USER_HZ, proc(5)
	ticks := 0
	for _, f := range fields[11:13] { // utime and stime
		n, err := strconv.Atoi(f)
		if err != nil {
			b.Fatal(err)
		}
		ticks += n
	}
	return float64(ticks) / hz
}

// count and uuids look at what is there.
func (s *service) count(b *testing.B) int { return len(s.uuids(b)) }

func (s *service) uuids(b *testing.B) []string {
	var all []string
	for next := s.url + "/v1/nodes?fields=uuid"; next != ""; {
		var doc struct {
			Nodes []struct{ UUID string }
			Next  string
		}
		req, err := http.NewRequestWithContext(context.Background(), "GET", next, nil)
		if err != nil {
			b.Fatal(err)
		}
		req.Header.Set(versionHeader, s.version)
		if err := json.Unmarshal(s.do(b, req), &doc); err != nil {
			b.Fatal(err)
		}
		for _, n := range doc.Nodes {
			all = append(all, n.UUID)
		}
		next = doc.Next
	}
	return all
}

func nodeName(i int) string { return fmt.Sprintf("bench-%06d", i) }

func newNode(i int) map[string]any {
	return map[string]any{"driver": "fake-hardware", "name": nodeName(i), "resource_class": "gold",
		"driver_info": map[string]any{"ipmi_address": "192.0.2.1", "ipmi_username": "admin", "ipmi_password": "secret",
			"deploy_kernel": "http://images.example/kernel", "deploy_ramdisk": "http://images.example/ramdisk"},
		"properties": map[string]any{"cpus": "32", "memory_mb": "262144", "local_gb": "960", "cpu_arch": "x86_64", "vendor": "example",
			"capabilities": "boot_mode:uefi,secure_boot:true"},
		"extra": map[string]any{"rack": fmt.Sprintf("r%02d", i%40), "unit": i % 42}}
}
