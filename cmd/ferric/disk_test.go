package main

import (
	"crypto/rand"
	"database/sql"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ferric/store/pgtest"
)

// smallDisk mounts a file system of a few MiB for the test.
func smallDisk(t *testing.T) string {
	t.Helper()
	return diskOf(t, "24m")
}

func diskOf(t *testing.T, size string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "disk")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("ferric-test", dir, "tmpfs", 0, "size="+size); err != nil {
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

// TestImageCacheFull fills the disk of the image cache before a deploy needs it: the deploy waits and says for what, and goes on when there is space.
// An image that can never fit fails at once.
func TestImageCacheFull(t *testing.T) {
	disk, dir := diskOf(t, "80m"), t.TempDir()
	for name, size := range map[string]int{"image": 2 << 20, "huge": 40 << 20} {
		content := make([]byte, size)
		content[510], content[511], content[size-1] = 0x55, 0xaa, 1
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	url, _ := ferricd(t, filepath.Join(dir, "data"), "--set", "conductor.sync_power_state_interval=0s", "--set", "image.cache_dir="+filepath.Join(disk, "images"),
		"--set", "image.file_url_allowed_paths="+dir, "--set", "boot.deploy_kernel="+filepath.Join(dir, "image"), "--set", "boot.deploy_ramdisk="+filepath.Join(dir, "image"))
	free := fill(t, disk)
	c := client{t, url}
	node := func(name, image string) {
		c.must(201, "POST", "/v1/nodes", m{"name": name, "driver": "fake-hardware", "boot_interface": "fake", "deploy_interface": "direct", "automated_clean": false,
			"instance_info": m{"image_source": "file://" + filepath.Join(dir, image), "image_disk_format": "raw"}})
		c.lives(name, "manage", "manageable")
		c.lives(name, "provide", "available")
		c.verb(202, name, "active")
	}
	waitsFor := func(name string) string {
		for _, op := range c.must(200, "GET", "/ferric/v1/nodes/"+name+"/operations", nil)["operations"].([]any) {
			if op := op.(m); op["status"] == "waiting" {
				return fmt.Sprint(op["waiting_for"])
			}
		}
		return ""
	}
	node("one", "image")
	for deadline := time.Now().Add(time.Minute); !strings.Contains(waitsFor("one"), "space on the disk of image.cache_dir, "+filepath.Join(disk, "images")); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("the deploy on a full disk: %v", c.must(200, "GET", "/ferric/v1/nodes/one/operations", nil))
		}
	}
	node("two", "huge")
	c.reaches("two", "deploy failed")
	if got := fmt.Sprint(c.must(200, "GET", "/v1/nodes/two", nil)["last_error"]); !strings.Contains(got, "image cache "+filepath.Join(disk, "images")) || !strings.Contains(got, "larger disk") {
		t.Errorf("last_error of an image that cannot fit: %s", got)
	}
	free()
	c.reaches("one", "wait call-back")
}

// TestPostgreSQLDiskFull fills the disk of a real PostgreSQL in the middle of a cleaning: that of its tables, where it refuses what would need space, and that of its write-ahead
// log, where it dies and comes back. What is asked for gets an error that says so and is not half done; the cleaning goes on when there is space again, and nothing is lost.
func TestPostgreSQLDiskFull(t *testing.T) {
	for name, log := range map[string]bool{"tables": false, "write-ahead log": true} {
		t.Run(name, func(t *testing.T) {
			disk := diskOf(t, map[bool]string{false: "64m", true: "40m"}[log])
			server := pgtest.Server{Dir: disk, LogDir: t.TempDir(), Settings: []string{"max_wal_size=32MB", "autovacuum=off", "shared_buffers=8MB"}}
			if log {
				server.Dir, server.LogDir = server.LogDir, server.Dir
			}
			if err := os.Chmod(filepath.Dir(filepath.Dir(disk)), 0o755); err != nil { // PostgreSQL is not root
				t.Fatal(err)
			}
			t.Cleanup(server.Stop)
			dir := t.TempDir()
			url, stop := ferricd(t, dir, "--set", "database.url="+server.Fresh(t), "--set", "fake.clean_delay=1s", "--set", "conductor.sync_power_state_interval=0s")
			c := client{t, url}
			c.must(201, "POST", "/v1/nodes", m{"name": "one", "driver": "fake-hardware"})
			c.lives("one", "manage", "manageable")
			c.verb(202, "one", "provide")
			free := fill(t, disk)

			made, answer := 0, ""
			for deadline := time.Now().Add(2 * time.Minute); answer == ""; {
				status, _, text := c.ask("POST", "/v1/nodes", m{"driver": "fake-hardware", "description": strings.Repeat("x", 4000), "extra": m{"text": noise(60000)}})
				switch {
				case status == 201:
					made++
				case status == 503 || status == 504:
					answer = text
				default:
					t.Fatalf("on a full disk: %d %s", status, text)
				}
				if time.Now().After(deadline) {
					t.Fatalf("%d nodes fit on a full disk", made)
				}
			}
			t.Logf("after %d nodes: %s", made, answer)
			if !log {
				if !strings.Contains(answer, "No space left on device") || !strings.Contains(answer, "free space") {
					t.Errorf("the answer on a full disk: %s", answer)
				}
				if got := c.must(200, "GET", "/v1/nodes/one", nil)["provision_state"]; got == "clean failed" {
					t.Errorf("the cleaning failed because the disk is full")
				}
			}
			free()
			done, ended := make(chan struct{}), make(chan struct{})
			go func() { // as a supervisor does
				defer close(ended)
				for {
					select {
					case <-done:
						return
					case <-time.After(200 * time.Millisecond):
					}
					if died, err := server.Restart(); err != nil {
						t.Errorf("start PostgreSQL again: %v", err)
						return
					} else if died {
						t.Log("PostgreSQL ended, and is started again")
					}
				}
			}()
			for deadline := time.Now().Add(time.Minute); ; time.Sleep(100 * time.Millisecond) {
				if status, _, _ := c.ask("GET", "/v1/nodes/one", nil); status == 200 {
					break
				}
				if time.Now().After(deadline) {
					t.Fatal("nothing is answered although there is space again")
				}
			}
			c.reaches("one", "available")
			c.must(201, "POST", "/v1/nodes", m{"name": "two", "driver": "fake-hardware"})
			// The one whose answer was lost when PostgreSQL died may be there or not.
			if got := len(c.must(200, "GET", "/v1/nodes?limit=1000", nil)["nodes"].([]any)); got != made+2 && (!log || got != made+3) {
				t.Errorf("%d nodes are there, and %d were made", got, made+2)
			}
			stop()
			close(done)
			<-ended
		})
	}
}

// noise is text that cannot be compressed.
func noise(n int) string {
	var b strings.Builder
	for b.Len() < n {
		b.WriteString(rand.Text())
	}
	return b.String()
}
