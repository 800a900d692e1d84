package main

import (
	"database/sql"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// smallDisk mounts a file system of a few MiB for the test.
func smallDisk(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "disk")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("ferric-test", dir, "tmpfs", 0, "size=24m"); err != nil {
		t.Skipf("SKIPPED: a small disk cannot be mounted here (root can): %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// fill takes all that is left of a disk, and returns how to give it back.
func fill(t *testing.T, dir string) (free func()) {
	t.Helper()
	path := filepath.Join(dir, "filler")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	for size := 1 << 20; size >= 1; size /= 4 {
		for {
			if _, err := f.Write(make([]byte, size)); err != nil {
				break
			}
		}
	}
	f.Close()
	return func() {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
}

// TestDiskFull fills the disk of the database in the middle of a cleaning: what is asked for gets 503 and is not half done, what can be read is read, and
// when there is space again the cleaning goes on.
func TestDiskFull(t *testing.T) {
	dir := smallDisk(t)
	url, stop := ferricd(t, dir, "--set", "fake.clean_delay=1s", "--set", "conductor.sync_power_state_interval=0s", "--set", "conductor.lease_duration=5s")
	c := client{t, url}
	c.must(201, "POST", "/v1/nodes", m{"name": "one", "driver": "fake-hardware"})
	c.lives("one", "manage", "manageable")
	c.verb(202, "one", "provide")
	free := fill(t, dir)

	// SQLite has some space of its own left: the write-ahead log that it uses again.
	full := func() *http.Response {
		t.Helper()
		for deadline := time.Now().Add(time.Minute); ; {
			rq, err := http.NewRequestWithContext(t.Context(), "POST", url+"/v1/nodes", strings.NewReader(`{"driver": "fake-hardware", "description": "`+strings.Repeat("x", 4000)+`"}`))
			if err != nil {
				t.Fatal(err)
			}
			rq.Header.Set("Content-Type", "application/json")
			rq.Header.Set("X-OpenStack-Ironic-API-Version", "1.115")
			resp, err := http.DefaultClient.Do(rq)
			if err != nil {
				t.Fatal(err)
			}
			if resp.StatusCode != 201 || time.Now().After(deadline) {
				return resp
			}
			resp.Body.Close()
		}
	}
	resp := full()
	defer resp.Body.Close()
	text := make([]byte, 2000)
	n, _ := resp.Body.Read(text)
	if resp.StatusCode != 503 || resp.Header.Get("Retry-After") == "" || !strings.Contains(string(text[:n]), "full") || !strings.Contains(string(text[:n]), `faultstring`) {
		t.Fatalf("on a full disk: %d, Retry-After %q, %s", resp.StatusCode, resp.Header.Get("Retry-After"), text[:n])
	}
	before := len(c.must(200, "GET", "/v1/nodes", nil)["nodes"].([]any))
	if got := c.must(200, "GET", "/v1/nodes/one", nil)["provision_state"]; got == "clean failed" {
		t.Errorf("the cleaning failed because the disk is full")
	}
	time.Sleep(6 * time.Second) // longer than a lease
	free()
	c.reaches("one", "available")
	if after := len(c.must(200, "GET", "/v1/nodes", nil)["nodes"].([]any)); after != before {
		t.Errorf("%d nodes were there on the full disk, and %d are afterwards", before, after)
	}
	c.must(201, "POST", "/v1/nodes", m{"name": "two", "driver": "fake-hardware"})
	stop()
	if code, said := ferricRun(t.Context(), "db", "check", "--data-dir", dir); code != 0 {
		t.Errorf("the database afterwards: %s", said)
	}
}

// TestSlowDisk lets no write end for longer than a lease lasts, in the middle of a cleaning: requests wait and succeed, and no lease is lost.
func TestSlowDisk(t *testing.T) {
	dir := t.TempDir()
	url, _ := ferricd(t, dir, "--set", "fake.clean_delay=1s", "--set", "conductor.sync_power_state_interval=0s", "--set", "conductor.lease_duration=5s")
	c := client{t, url}
	c.must(201, "POST", "/v1/nodes", m{"name": "one", "driver": "fake-hardware"})
	c.lives("one", "manage", "manageable")
	c.verb(202, "one", "provide")
	disk, err := sql.Open("sqlite", "file:"+filepath.Join(dir, "ferric.db")+"?_txlock=immediate&_pragma=busy_timeout(10000)")
	if err != nil {
		t.Fatal(err)
	}
	defer disk.Close()
	stuck, err := disk.BeginTx(t.Context(), nil) // who holds this keeps all others from writing
	if err != nil {
		t.Fatal(err)
	}
	began, answered := time.Now(), make(chan time.Duration, 1)
	go func() {
		status, _, text := c.ask("POST", "/v1/nodes", m{"name": "two", "driver": "fake-hardware"})
		if status != 201 {
			t.Errorf("a request on a slow disk: %d %s", status, text)
		}
		answered <- time.Since(began)
	}()
	const slow = 8 * time.Second
	time.Sleep(slow)
	if err := stuck.Rollback(); err != nil {
		t.Fatal(err)
	}
	if took := <-answered; took < slow {
		t.Errorf("the request was answered after %s: the disk was not slow", took)
	}
	c.reaches("one", "available")
	for _, op := range c.must(200, "GET", "/ferric/v1/nodes/one/operations", nil)["operations"].([]any) {
		if op := op.(m); op["takeovers"] != 0.0 || op["status"] != "succeeded" {
			t.Errorf("the %v: %v, taken over %v times", op["kind"], op["status"], op["takeovers"])
		}
	}
}
