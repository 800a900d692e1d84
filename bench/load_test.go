package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
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

const versionHeader = "X-OpenStack-Ironic-API-Version"

// service is an API that is measured.
type service struct {
	url, version string
	pid          int          // 0: not on this machine, not known, or several
	pids         func() []int // its processes, if there are several
	ours         bool         // a Ferric, which tells how much memory it allocates
	client       *http.Client
}

func newService(url string) *service {
	return &service{url: strings.TrimRight(url, "/"), version: "1.82", // the newest that the Ironic has to which Ferric is compared
		client: &http.Client{Timeout: 15 * time.Minute, Transport: &http.Transport{MaxIdleConnsPerHost: 1000}}}
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

// send sends a request and returns the answer's status and body.
func (s *service) send(b *testing.B, req *http.Request) (int, []byte) {
	resp, err := s.client.Do(req)
	if err != nil {
		b.Error(err)
		return 0, nil
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		b.Error(err)
		return 0, nil
	}
	return resp.StatusCode, text
}

// do is send for requests that must succeed.
func (s *service) do(b *testing.B, req *http.Request) []byte {
	status, text := s.send(b, req)
	if status >= 300 || status == 0 {
		b.Errorf("%s %s: %d %.300s", req.Method, req.URL, status, text)
	}
	return text
}

// figures are what n requests took.
type figures struct {
	name     string
	rate     float64 // requests a second
	p50, p99 float64 // ms
	cpu      float64 // processor time of the service for one request, in ms; 0: not known
	bytes    float64 // bytes of answers a second
	allocs   float64 // memory allocations of the service for one request; 0: not known
}

// load sends n requests from some clients.
func (s *service) load(b *testing.B, name string, n, clients int, request func(i int) *http.Request) figures {
	times := make([]float64, n)
	var next, size atomic.Int64
	var work sync.WaitGroup
	allocs, cpu, began := s.allocs(b), s.cpu(b), time.Now()
	for range clients {
		work.Go(func() {
			for i := int(next.Add(1)) - 1; i < n && !b.Failed(); i = int(next.Add(1)) - 1 {
				at := time.Now()
				size.Add(int64(len(s.do(b, request(i)))))
				times[i] = float64(time.Since(at).Microseconds()) / 1000
			}
		})
	}
	work.Wait()
	took := time.Since(began).Seconds()
	if b.Failed() {
		b.FailNow()
	}
	count := float64(n)
	return figures{name: name, rate: count / took, p50: quantile(times, 0.5), p99: quantile(times, 0.99), cpu: (s.cpu(b) - cpu) * 1e3 / count,
		bytes: float64(size.Load()) / took, allocs: (s.allocs(b) - allocs) / count}
}

// latency is the median and the 99th percentile of times, in ms.
func (f figures) latency() string {
	if f.p99 == 0 {
		return short(f.p50)
	}
	return short(f.p50) + ", " + short(f.p99)
}

// report shows figures as a benchmark's.
func (f figures) report(b *testing.B) {
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(f.rate, "req/s")
	b.ReportMetric(f.p50, "ms-p50")
	b.ReportMetric(f.p99, "ms-p99")
	b.ReportMetric(f.bytes/1e6, "MB/s")
	if f.cpu > 0 {
		b.ReportMetric(f.cpu*1e3, "cpu-µs/req")
	}
	if f.allocs > 0 {
		b.ReportMetric(f.allocs, "mallocs/req")
	}
}

// cpu is the processor time that the service has taken, in seconds.
func (s *service) cpu(b *testing.B) float64 {
	pids := []int{s.pid}
	if s.pids != nil {
		pids = s.pids()
	}
	const hz = 100 // USER_HZ, proc(5)
	ticks := 0
	for _, pid := range pids {
		stat := processStat(pid)
		for _, f := range stat[min(11, len(stat)):min(13, len(stat))] { // utime and stime; a process that has ended has none
			n, err := strconv.Atoi(f)
			if err != nil {
				b.Fatal(err)
			}
			ticks += n
		}
	}
	return float64(ticks) / hz
}

// processStat returns the fields of /proc/PID/stat from the third one on.
func processStat(pid int) []string {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return nil
	}
	return strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
}

// session returns the processes of a session.
func session(leader int) []int {
	var pids []int
	list, _ := filepath.Glob("/proc/[0-9]*") // the pattern is right
	for _, dir := range list {
		pid, err := strconv.Atoi(filepath.Base(dir))
		if stat := processStat(pid); err == nil && len(stat) > 3 && stat[3] == strconv.Itoa(leader) {
			pids = append(pids, pid)
		}
	}
	return pids
}

// allocs is how often the service has allocated memory.
func (s *service) allocs(b *testing.B) float64 {
	if !s.ours {
		return 0
	}
	_, text := s.send(b, s.request("GET", "/metrics", nil))
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "go_memstats_mallocs_total "); ok {
			n, err := strconv.ParseFloat(strings.TrimSpace(rest), 64)
			if err != nil {
				b.Fatal(err)
			}
			return n
		}
	}
	return 0
}

// page reads a page of detailed nodes and returns how many are in it and where the next one is. It looks for no more than that, because to parse
// a page takes a client longer than a fast service needs to write it.
func (s *service) page(b *testing.B, url string) (nodes int, next string) {
	req := s.request("GET", strings.TrimPrefix(url, s.url), nil)
	text := s.do(b, req.WithContext(context.WithoutCancel(b.Context())))
	if _, after, ok := bytes.Cut(text[max(0, len(text)-2000):], []byte(`"next":`)); ok {
		var rest string
		if err := json.NewDecoder(bytes.NewReader(after)).Decode(&rest); err != nil {
			b.Fatal(err)
		}
		next = rest
	}
	return bytes.Count(text, []byte(`"provision_updated_at":`)), next
}

// uuids lists what is there.
func (s *service) uuids(b *testing.B) []string {
	var all []string
	for next := s.url + "/v1/nodes?fields=uuid"; next != ""; {
		var doc struct {
			Nodes []struct{ UUID string }
			Next  string
		}
		if err := json.Unmarshal(s.do(b, s.request("GET", strings.TrimPrefix(next, s.url), nil)), &doc); err != nil {
			b.Fatal(err)
		}
		for _, n := range doc.Nodes {
			all = append(all, n.UUID)
		}
		next = doc.Next
	}
	return all
}
