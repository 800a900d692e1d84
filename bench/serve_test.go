package bench

import (
	"bufio"
	"context"
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
	build := exec.CommandContext(b.Context(), "go", "build", "-trimpath", "-ldflags=-s -w", "-o", bin, "../cmd/ferric")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		b.Fatalf("build: %v\n%s", err, out)
	}
	used := b.TempDir()
	for name, dir := range map[string]func() string{"first": b.TempDir, "again": func() string { return used }} {
		b.Run(name, func(b *testing.B) {
			var starts, memory []float64
			for b.Loop() {
				start, rss := serve(b, bin, dir())
				starts, memory = append(starts, start.Seconds()), append(memory, rss)
			}
			b.ReportMetric(median(starts), "s/start")
			b.ReportMetric(median(memory), "MiB-idle")
			b.ReportMetric(0, "ns/op")
		})
	}
}

func median(v []float64) float64 {
	slices.Sort(v)
	return v[len(v)/2]
}

// serve runs the service until it has been idle for a while.
func serve(b *testing.B, bin, dir string) (start time.Duration, rssMiB float64) {
	b.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	address := ln.Addr().String()
	ln.Close()
	ctx, cancel := context.WithTimeout(b.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, bin, "serve", "--data-dir", dir, "--listen", address)
	began := time.Now()
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	defer func() {
		cmd.Process.Signal(syscall.SIGTERM)
		cmd.Wait()
	}()
	for {
		resp, err := http.Get(fmt.Sprintf("http://%s/healthcheck", address))
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				break
			}
		}
		if ctx.Err() != nil {
			b.Fatal("the service does not come up")
		}
		time.Sleep(2 * time.Millisecond)
	}
	start = time.Since(began)
	time.Sleep(3 * time.Second)
	return start, residentMiB(b, cmd.Process.Pid)
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
