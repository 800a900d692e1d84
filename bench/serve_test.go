package bench

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// BenchmarkServe starts `ferric serve` on an empty data directory, and on one that has its database, and measures the time until it is healthy and
// its resident memory when idle.
func BenchmarkServe(b *testing.B) {
	bin := filepath.Join(b.TempDir(), "ferric")
	build(b, bin)
	used := b.TempDir()
	for name, dir := range map[string]func() string{"first": b.TempDir, "again": func() string { return used }} {
		b.Run(name, func(b *testing.B) {
			var starts, memory []float64
			for b.Loop() {
				took, rss := serve(b, bin, dir())
				starts, memory = append(starts, took.Seconds()), append(memory, rss)
			}
			b.ReportMetric(median(starts), "s/start")
			b.ReportMetric(median(memory), "MiB-idle")
			b.ReportMetric(0, "ns/op")
		})
	}
}

func median(v []float64) float64 { return quantile(v, 0.5) }

// quantile sorts v and returns the value below which the share q of them lies.
func quantile(v []float64, q float64) float64 {
	slices.Sort(v)
	return v[min(len(v)-1, int(q*float64(len(v))))]
}

// build builds the service as it is released.
func build(b *testing.B, bin string) {
	b.Helper()
	build := exec.CommandContext(b.Context(), "go", "build", "-trimpath", "-ldflags=-s -w", "-o", bin, "../cmd/ferric")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		b.Fatalf("build: %v\n%s", err, out)
	}
}

// serve runs the service until it has been idle for a while.
func serve(b *testing.B, bin, dir string) (took time.Duration, rssMiB float64) {
	b.Helper()
	began := time.Now()
	_, pid, stop := run(b, bin, dir)
	defer stop()
	took = time.Since(began)
	time.Sleep(3 * time.Second)
	return took, residentMiB(b, pid)
}

// start runs the service until the benchmark ends.
func start(b *testing.B, bin, dir string, set ...string) (url string, pid int) {
	b.Helper()
	url, pid, stop := run(b, bin, dir, set...)
	b.Cleanup(stop)
	return url, pid
}

// run starts the service, with settings besides the data directory, and waits until it is healthy.
func run(b *testing.B, bin, dir string, set ...string) (url string, pid int, stop func()) {
	b.Helper()
	address := "127.0.0.1:" + freePort(b)
	args := []string{"serve", "--data-dir", dir, "--listen", address, "--log-level", "warn"}
	for _, s := range set {
		args = append(args, "--set", s)
	}
	cmd := exec.Command(bin, args...)
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	stop = func() {
		cmd.Process.Signal(syscall.SIGTERM)
		cmd.Wait()
	}
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(2 * time.Millisecond) {
		resp, err := http.Get("http://" + address + "/healthcheck")
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return "http://" + address, cmd.Process.Pid, stop
			}
		}
		if time.Now().After(deadline) {
			stop()
			b.Fatal("the service does not come up")
		}
	}
}

// freePort finds a port of the loopback address that nobody listens on.
func freePort(b *testing.B) string {
	b.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer ln.Close()
	return strconv.Itoa(ln.Addr().(*net.TCPAddr).Port)
}

func residentMiB(b *testing.B, pid int) float64 {
	b.Helper()
	f, err := os.Open(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		if rest, ok := strings.CutPrefix(s.Text(), "VmRSS:"); ok {
			kb, err := strconv.Atoi(strings.TrimSuffix(strings.TrimSpace(rest), " kB"))
			if err != nil {
				b.Fatal(err)
			}
			return float64(kb) / 1024
		}
	}
	b.Fatal("no VmRSS")
	return 0
}
