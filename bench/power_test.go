package bench

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// BenchmarkPowerSync runs `ferric serve` with its default settings beside `ferric lab bmcs`, two processes that speak RMCP+ over loopback, and looks at how the
// service keeps the power states of its nodes: how long a pass takes, the processor time of the service for a pass and for a node, its resident
// memory, its open files, and the age of the oldest power state of a machine that answers. -bmcs says how many there are.
func BenchmarkPowerSync(b *testing.B) {
	bin := filepath.Join(b.TempDir(), "ferric")
	build(b, bin)
	for _, c := range []struct {
		name string
		args []string
	}{
		{"latency=0", nil},
		{"latency=20ms", []string{"--latency", "15ms", "--jitter", "10ms"}},
	} {
		b.Run(c.name, func(b *testing.B) {
			s := &service{client: http.DefaultClient, version: "1.82"}
			s.url, s.pid = start(b, bin, b.TempDir())
			f := startFleet(b, bin, s.url, *bmcs, c.args...)
			b.Logf("%s", f.enrolled)
			for _, dead := range []float64{0, 0.05} {
				f.post(b, fmt.Sprintf("/dead?share=%v", dead))
				b.Run(fmt.Sprintf("dead=%v%%", dead*100), func(b *testing.B) { s.watchPower(b, f) })
			}
		})
	}
}

// watchPower measures passes once the service has found out how the fleet is.
func (s *service) watchPower(b *testing.B, f *fleet) {
	silent := float64(f.status(b).Dead)
	s.await(b, "all nodes are asked, and the dead BMCs noticed", func(m map[string]float64) bool {
		return m["ferric_power_sync_nodes"] == float64(*bmcs) && m["ferric_power_sync_silent_nodes"] == silent
	})
	before, began := s.scrape(b), time.Now()
	cpu, theirs := s.cpu(b), f.cpu(b)
	oldest, rss := 0.0, 0.0
	const passes = 6
	var after map[string]float64
	for {
		after = s.scrape(b)
		oldest, rss = max(oldest, after["ferric_power_state_oldest_seconds"]), max(rss, residentMiB(b, s.pid))
		if after["ferric_power_sync_pass_seconds_count"]-before["ferric_power_sync_pass_seconds_count"] >= passes {
			break
		}
		time.Sleep(200 * time.Millisecond)
	}
	delta := func(name string) float64 { return after[name] - before[name] }
	took := time.Since(began).Seconds()
	n := delta("ferric_power_sync_pass_seconds_count")
	used := s.cpu(b) - cpu
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(delta("ferric_power_sync_pass_seconds_sum")/n, "s/pass")
	b.ReportMetric(used/n, "cpu-s/pass")
	b.ReportMetric(used*1e6/n/float64(*bmcs), "cpu-µs/node")
	b.ReportMetric(used/took*100, "cpu-%")
	b.ReportMetric(rss, "MiB")
	b.ReportMetric(oldest, "s-oldest")
	b.ReportMetric(after["process_open_fds"], "files")
	b.ReportMetric((f.cpu(b)-theirs)/took*100, "BMCs-cpu-%")
}

// scrape reads the service's metrics; those with labels are added up by name.
func (s *service) scrape(b *testing.B) map[string]float64 {
	b.Helper()
	resp, err := s.client.Get(s.url + "/metrics")
	if err != nil {
		b.Fatal(err)
	}
	defer resp.Body.Close()
	values := map[string]float64{}
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		name, value, ok := strings.Cut(lines.Text(), " ")
		if !ok || strings.HasPrefix(name, "#") {
			continue
		}
		name, _, _ = strings.Cut(name, "{")
		v, err := strconv.ParseFloat(value[strings.LastIndexByte(value, ' ')+1:], 64)
		if err == nil {
			values[name] += v
		}
	}
	return values
}

func (s *service) await(b *testing.B, what string, holds func(map[string]float64) bool) {
	b.Helper()
	for deadline := time.Now().Add(10 * time.Minute); !holds(s.scrape(b)); time.Sleep(200 * time.Millisecond) {
		if time.Now().After(deadline) {
			b.Fatalf("never: %s; metrics: %v", what, s.scrape(b))
		}
	}
}

// fleet is a `ferric lab bmcs`.
type fleet struct {
	service
	enrolled string // what it says of the enrolment
}

// startFleet starts BMCs and enrols them.
func startFleet(b *testing.B, bin, api string, count int, args ...string) *fleet {
	b.Helper()
	args = append([]string{"lab", "bmcs", "--count", strconv.Itoa(count), "--control", "127.0.0.1:0", "--enrol", api, "--stats", "0", "--on", "0.5"}, args...)
	cmd := exec.Command(bin, args...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	var trouble strings.Builder
	cmd.Stderr = &trouble
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM)
		cmd.Wait()
	})
	f := &fleet{service: service{client: http.DefaultClient, pid: cmd.Process.Pid}}
	for lines := bufio.NewScanner(out); lines.Scan(); {
		text := lines.Text()
		if url, ok := strings.CutPrefix(text, "control at "); ok {
			f.url = url
		}
		if strings.HasPrefix(text, "enrolled: ") {
			f.enrolled = text
			return f
		}
	}
	b.Fatalf("the BMCs did not come up: %s", trouble.String())
	return nil
}

func (f *fleet) post(b *testing.B, path string) {
	b.Helper()
	resp, err := f.client.Post(f.url+path, "", nil)
	if err != nil {
		b.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusNoContent {
		b.Fatalf("%s: HTTP %d", path, resp.StatusCode)
	}
}

func (f *fleet) status(b *testing.B) (st struct{ Dead, On, Sessions int }) {
	b.Helper()
	resp, err := f.client.Get(f.url + "/status")
	if err != nil {
		b.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err == nil {
		err = json.Unmarshal(text, &st)
	}
	if err != nil {
		b.Fatal(err)
	}
	return st
}
