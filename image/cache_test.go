package image_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"ferric"
	"ferric/image"
)

func openCache(t testing.TB, change func(*image.CacheConfig)) *image.Cache {
	t.Helper()
	config := image.CacheConfig{Dir: filepath.Join(t.TempDir(), "cache"), Options: quick()}
	if change != nil {
		change(&config)
	}
	c, err := image.OpenCache(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func get(t testing.TB, c *image.Cache, r image.Request) (image.Entry, func()) {
	t.Helper()
	entry, release, err := c.Get(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(release)
	return entry, release
}

func wantContent(t testing.TB, entry image.Entry, want []byte) {
	t.Helper()
	got, err := os.ReadFile(entry.Path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) || entry.Size != int64(len(want)) || entry.SHA256 != sum256(want) {
		t.Fatalf("cached %d bytes, entry %+v; want %d bytes of %s", len(got), entry, len(want), sum256(want))
	}
}

// wantFiles checks the number of files in the cache's folder beside the lock.
func wantFiles(t testing.TB, dir string, want int) {
	t.Helper()
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range files {
		if f.Name() != "lock" {
			names = append(names, f.Name())
		}
	}
	if len(names) != want {
		t.Fatalf("%d files in the cache, want %d: %v", len(names), want, names)
	}
}

func checksum(content []byte) image.Checksum {
	return image.Checksum{Algorithm: "sha256", Value: sum256(content)}
}

func TestCacheHit(t *testing.T) {
	disk := diskLike(5<<20, 1)
	for name, content := range map[string][]byte{"raw": disk, "qcow2": toQcow2(t, disk)} {
		for kind, sum := range map[string]image.Checksum{"with": checksum(content), "without": {}} {
			t.Run(name+" "+kind+" checksum", func(t *testing.T) {
				server := newWebServer(t, content)
				c := openCache(t, nil)
				r := image.Request{URL: server.url(), Checksum: sum, Declared: name}
				first, _ := get(t, c, r)
				wantContent(t, first, content)
				if first.Hit || string(first.Format) != name || first.VirtualSize != 5<<20 {
					t.Errorf("first entry %+v", first)
				}
				before := server.count()
				second, _ := get(t, c, r)
				if !second.Hit || second.Path != first.Path || second.SHA256 != first.SHA256 {
					t.Errorf("second entry %+v", second)
				}
				revalidated := server.count() - before
				if want := map[string]int{"with": 0, "without": 1}[kind]; revalidated != want {
					t.Errorf("%d requests for the second Get, want %d", revalidated, want)
				}
			})
		}
	}
}

// TestCacheRestart opens the folder again.
func TestCacheRestart(t *testing.T) {
	content := noise(3<<20, 1)
	server := newWebServer(t, content)
	dir := filepath.Join(t.TempDir(), "cache")
	config := image.CacheConfig{Dir: dir, Options: quick()}
	c, err := image.OpenCache(config)
	if err != nil {
		t.Fatal(err)
	}
	r := image.Request{URL: server.url(), Checksum: checksum(content)}
	first, _ := get(t, c, r)
	_, err = image.OpenCache(config)
	wantError(t, err, ferric.CodeConflict, "in use by another process")
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	_, _, err = c.Get(t.Context(), r)
	wantError(t, err, ferric.CodeUnavailable, "closed")
	for _, junk := range []string{"a.img", "b.part", "c.part.json", "d.json", "e.json.new"} {
		if err := os.WriteFile(filepath.Join(dir, junk), []byte("{}"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c = openCache(t, func(c *image.CacheConfig) { c.Dir = dir })
	wantFiles(t, dir, 2)
	again, _ := get(t, c, r)
	if !again.Hit || again.Path != first.Path {
		t.Fatalf("entry %+v; want the one of before", again)
	}
	wantContent(t, again, content)
}

// TestCacheTogether has many callers for one image; one of them gives up.
func TestCacheTogether(t *testing.T) {
	content := noise(16<<20, 1)
	server := newWebServer(t, content)
	gate := make(chan struct{})
	server.handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Range") != "bytes=0-0" {
			<-gate
		}
		http.ServeContent(w, r, "", server.modified, bytes.NewReader(content))
	})
	c := openCache(t, nil)
	r := image.Request{URL: server.url(), Checksum: checksum(content)}
	impatient, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	started := make(chan struct{}, 9)
	wg.Go(func() {
		started <- struct{}{}
		_, release, err := c.Get(impatient, r)
		if err == nil {
			release() // the image came before it looked at its context
		} else if !ferric.IsCode(err, ferric.CodeUnavailable) {
			t.Errorf("the one who gave up got %v", err)
		}
	})
	for range 8 {
		wg.Go(func() {
			started <- struct{}{}
			entry, release, err := c.Get(t.Context(), r)
			if err != nil {
				t.Error(err)
				return
			}
			defer release()
			wantContent(t, entry, content)
		})
	}
	for range 9 {
		<-started
	}
	time.Sleep(100 * time.Millisecond) // let them wait for each other; whoever comes late finds a hit
	cancel()
	close(gate)
	wg.Wait()
	server.mu.Lock()
	defer server.mu.Unlock()
	opens := 0
	for _, request := range server.requests {
		if request.Header.Get("Range") == "bytes=0-0" {
			opens++
		}
	}
	if opens != 1 {
		t.Errorf("the image was opened %d times", opens)
	}
}

// TestCacheCancelled gives up a download and carries it on with the next Get.
func TestCacheCancelled(t *testing.T) {
	content := noise(16<<20, 1)
	server := newWebServer(t, content)
	server.set(func() { server.stallAt = 8 << 20 })
	dir := filepath.Join(t.TempDir(), "cache")
	c := openCache(t, func(c *image.CacheConfig) { c.Dir = dir })
	r := image.Request{URL: server.url()}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		_, _, err := c.Get(ctx, r)
		done <- err
	}()
	waitForPart(t, dir, 4<<20)
	cancel()
	wantError(t, <-done, ferric.CodeUnavailable, "canceled")
	entry, _ := get(t, c, r)
	wantContent(t, entry, content)
	wantResumed(t, server)
}

// waitForPart waits until so much of an image has arrived.
func waitForPart(t *testing.T, dir string, size int64) {
	t.Helper()
	for deadline := time.Now().Add(60 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		parts, _ := filepath.Glob(filepath.Join(dir, "*.part"))
		if len(parts) == 1 {
			if stat, err := os.Stat(parts[0]); err == nil && stat.Size() >= size {
				return
			}
		}
	}
	t.Fatal("waited for a minute in vain")
}

// wantResumed checks that a transfer began in the middle of the file.
func wantResumed(t *testing.T, server *webServer) {
	t.Helper()
	server.mu.Lock()
	defer server.mu.Unlock()
	var ranges []string
	for _, request := range server.requests {
		value := request.Header.Get("Range")
		ranges = append(ranges, value)
		if strings.HasPrefix(value, "bytes=") && strings.HasSuffix(value, "-") && value != "bytes=0-" {
			return
		}
	}
	t.Errorf("no request carried a transfer on: %q", ranges)
}

// TestCacheKilled kills a process in the middle of a download.
func TestCacheKilled(t *testing.T) {
	if dir := os.Getenv("FERRIC_TEST_CACHE_DIR"); dir != "" {
		c, err := image.OpenCache(image.CacheConfig{Dir: dir, Options: quick()})
		if err != nil {
			t.Fatal(err)
		}
		_, _, err = c.Get(t.Context(), image.Request{URL: os.Getenv("FERRIC_TEST_URL")})
		t.Fatalf("the download was to be interrupted: %v", err)
	}
	content := noise(16<<20, 1)
	server := newWebServer(t, content)
	server.set(func() { server.stallAt = 8 << 20 })
	dir := filepath.Join(t.TempDir(), "cache")
	child := exec.Command(os.Args[0], "-test.run=^TestCacheKilled$")
	child.Env = append(os.Environ(), "FERRIC_TEST_CACHE_DIR="+dir, "FERRIC_TEST_URL="+server.url())
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	waitForPart(t, dir, 4<<20)
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	child.Wait()
	c := openCache(t, func(c *image.CacheConfig) { c.Dir = dir })
	entry, _ := get(t, c, image.Request{URL: server.url()})
	wantContent(t, entry, content)
	wantResumed(t, server)
	wantFiles(t, dir, 2)
}

// TestCacheDamagedPart resumes from bytes that are wrong.
func TestCacheDamagedPart(t *testing.T) {
	content := noise(16<<20, 1)
	server := newWebServer(t, content)
	server.set(func() { server.cutEvery = 4 << 20 })
	dir := filepath.Join(t.TempDir(), "cache")
	options := quick()
	options.ResumeFor = -1
	c := openCache(t, func(c *image.CacheConfig) { c.Dir, c.Options = dir, options })
	r := image.Request{URL: server.url(), Checksum: checksum(content)}
	_, _, err := c.Get(t.Context(), r)
	wantError(t, err, ferric.CodeUnavailable)
	parts, _ := filepath.Glob(filepath.Join(dir, "*.part"))
	if len(parts) != 1 {
		t.Fatalf("partial files %v", parts)
	}
	file, err := os.OpenFile(parts[0], os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	file.WriteAt([]byte("damage"), 1000)
	file.Close()
	server.set(func() { server.cutEvery = 0 })
	entry, _ := get(t, c, r)
	wantContent(t, entry, content)
	wantResumed(t, server)
}

func TestCacheRefused(t *testing.T) {
	content := noise(3<<20, 1)
	wrong := hex.EncodeToString(make([]byte, 32))
	damaged := tinyQcow2(1 << 20)
	damaged[65536+7] = 1 // the first-level table
	tests := map[string]struct {
		content []byte
		request image.Request
		code    ferric.Code
		want    string
	}{
		"checksum":       {content, image.Request{Checksum: image.Checksum{Algorithm: "sha256", Value: wrong}}, ferric.CodeCorrupt, "expected sha256 " + wrong + ", got " + sum256(content)},
		"MD5":            {content, image.Request{Checksum: image.Checksum{Algorithm: "md5", Value: wrong}}, ferric.CodeInvalid, "MD5"},
		"declared":       {content, image.Request{Declared: "qcow2"}, ferric.CodeCorrupt, "declared"},
		"backing file":   {backed(), image.Request{}, ferric.CodeCorrupt, "backing file"},
		"damaged tables": {damaged, image.Request{}, ferric.CodeCorrupt, "first-level entry"},
		"empty":          {nil, image.Request{}, ferric.CodeCorrupt, "empty"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			server := newWebServer(t, test.content)
			dir := filepath.Join(t.TempDir(), "cache")
			c := openCache(t, func(c *image.CacheConfig) { c.Dir = dir })
			test.request.URL = server.url()
			_, _, err := c.Get(t.Context(), test.request)
			wantError(t, err, test.code, test.want)
			wantFiles(t, dir, 0)
		})
	}
	t.Run("declared otherwise later", func(t *testing.T) {
		server := newWebServer(t, content)
		c := openCache(t, nil)
		get(t, c, image.Request{URL: server.url()})
		_, _, err := c.Get(t.Context(), image.Request{URL: server.url(), Declared: "qcow2"})
		wantError(t, err, ferric.CodeCorrupt, "declared")
		get(t, c, image.Request{URL: server.url(), Declared: "raw"})
	})
}

// TestCacheChanged replaces an image on the server while the old one is in use.
func TestCacheChanged(t *testing.T) {
	old, new := noise(3<<20, 1), noise(3<<20, 2)
	server := newWebServer(t, old)
	dir := filepath.Join(t.TempDir(), "cache")
	c := openCache(t, func(c *image.CacheConfig) { c.Dir = dir })
	r := image.Request{URL: server.url()}
	first, release := get(t, c, r)
	server.set(func() { server.content, server.etag = new, `"v2"` })
	second, _ := get(t, c, r)
	if second.Hit {
		t.Error("the changed image was taken from the cache")
	}
	wantContent(t, second, new)
	wantContent(t, first, old)
	wantFiles(t, dir, 4)
	release()
	release() // has no effect
	wantFiles(t, dir, 2)
	wantContent(t, second, new)

	server.kill()
	options := quick()
	options.OpenFor = -1
	_, _, err := c.Get(t.Context(), image.Request{URL: server.url(), Options: &options})
	wantError(t, err, ferric.CodeUnavailable)
}

// TestCacheNoValidators has a server that tells nothing by which a change could be noticed.
func TestCacheNoValidators(t *testing.T) {
	server := newWebServer(t, noise(1<<20, 1))
	server.set(func() { server.etag, server.modified = "", time.Time{} })
	c := openCache(t, nil)
	get(t, c, image.Request{URL: server.url()})
	second, _ := get(t, c, image.Request{URL: server.url()})
	if second.Hit {
		t.Error("an image that may have changed was taken from the cache")
	}
}

// TestCacheDamagedFile changes a cached file behind the cache's back.
func TestCacheDamagedFile(t *testing.T) {
	content := noise(1<<20, 1)
	server := newWebServer(t, content)
	c := openCache(t, nil)
	r := image.Request{URL: server.url(), Checksum: checksum(content)}
	for _, damage := range []func(string) error{
		os.Remove,
		func(path string) error { return os.Truncate(path, 100) },
		func(path string) error { return os.WriteFile(path, make([]byte, len(content)), 0o600) },
	} {
		first, release := get(t, c, r)
		release()
		if err := damage(first.Path); err != nil {
			t.Fatal(err)
		}
		second, _ := get(t, c, r)
		if second.Hit {
			t.Error("a damaged file was handed out")
		}
		wantContent(t, second, content)
	}
}

func TestCacheEviction(t *testing.T) {
	server := newWebServer(t, nil)
	server.handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.ServeContent(w, r, "", server.modified, bytes.NewReader(noise(1<<20, uint64(r.URL.Path[1]))))
	})
	request := func(name string) image.Request {
		return image.Request{URL: "http://" + server.address + "/" + name}
	}
	exists := func(e image.Entry) bool {
		_, err := os.Stat(e.Path)
		return err == nil
	}
	t.Run("size", func(t *testing.T) {
		c := openCache(t, func(c *image.CacheConfig) { c.MaxBytes = 5 << 19 })
		a, _ := get(t, c, request("a"))
		b, releaseB := get(t, c, request("b"))
		releaseB()
		d, releaseD := get(t, c, request("d"))
		releaseD()
		if !exists(a) || exists(b) || !exists(d) {
			t.Errorf("kept a (in use): %t, b (oldest unused): %t, d: %t; want true, false, true", exists(a), exists(b), exists(d))
		}
	})
	t.Run("age", func(t *testing.T) {
		c := openCache(t, func(c *image.CacheConfig) { c.TTL = 50 * time.Millisecond })
		a, _ := get(t, c, request("a"))
		b, release := get(t, c, request("b"))
		release()
		for deadline := time.Now().Add(time.Minute); exists(b); time.Sleep(5 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatal("an image that nobody wanted for longer than the TTL is still there")
			}
		}
		if !exists(a) {
			t.Error("an image in use was removed")
		}
	})
}

// TestCacheDiskFull needs a small file system.
func TestCacheDiskFull(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("SKIPPED: mounting a small file system needs root")
	}
	mount := t.TempDir()
	if err := syscall.Mount("tmpfs", mount, "tmpfs", 0, "size=8m"); err != nil {
		t.Skipf("SKIPPED: a tmpfs cannot be mounted here: %v", err)
	}
	t.Cleanup(func() { syscall.Unmount(mount, syscall.MNT_DETACH) })
	dir := filepath.Join(mount, "cache")
	c := openCache(t, func(c *image.CacheConfig) { c.Dir = dir })
	large := newWebServer(t, noise(20<<20, 1))

	_, _, err := c.Get(t.Context(), image.Request{URL: large.url()})
	wantError(t, err, ferric.CodeNoSpace, dir, "needs 20971520 bytes", "bytes are free")
	wantFiles(t, dir, 0)
	if n := large.count(); n > 3 {
		t.Errorf("%d requests: the image was fetched although it was known not to fit", n)
	}

	// The same when the size is known only at the end, and the disk is full in the middle.
	large.set(func() { large.chunked = true })
	_, _, err = c.Get(t.Context(), image.Request{URL: large.url()})
	wantError(t, err, ferric.CodeNoSpace, dir, "needs more", "free")
	wantFiles(t, dir, 0)

	// An unused image makes room, one in use does not.
	small, other := newWebServer(t, noise(5<<20, 2)), newWebServer(t, noise(5<<20, 3))
	_, release := get(t, c, image.Request{URL: small.url()})
	_, _, err = c.Get(t.Context(), image.Request{URL: other.url()})
	wantError(t, err, ferric.CodeNoSpace, dir)
	wantFiles(t, dir, 2)
	release()
	entry, release := get(t, c, image.Request{URL: other.url()})
	wantContent(t, entry, noise(5<<20, 3))
	wantFiles(t, dir, 2)
	release()
	other.set(func() { other.etag, other.content, other.chunked = `"v2"`, noise(5<<20, 4), true })
	entry, _ = get(t, c, image.Request{URL: other.url()})
	wantContent(t, entry, noise(5<<20, 4))
}

func TestCacheMinFree(t *testing.T) {
	server := newWebServer(t, noise(1<<20, 1))
	c := openCache(t, func(c *image.CacheConfig) { c.MinFree = 1 << 60 })
	_, _, err := c.Get(t.Context(), image.Request{URL: server.url()})
	wantError(t, err, ferric.CodeNoSpace, "are to stay free")
}

func TestCacheFiles(t *testing.T) {
	content := noise(3<<20, 1)
	root := t.TempDir()
	original := filepath.Join(root, "disk.img")
	if err := os.WriteFile(original, content, 0o600); err != nil {
		t.Fatal(err)
	}
	r := image.Request{URL: "file://" + original}
	inode := func(path string) uint64 {
		stat, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		return stat.Sys().(*syscall.Stat_t).Ino
	}
	t.Run("linked", func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "cache") // on the same file system
		c := openCache(t, func(c *image.CacheConfig) { c.Dir, c.Options.FileRoots = dir, []string{root} })
		first, release := get(t, c, r)
		wantContent(t, first, content)
		if inode(first.Path) != inode(original) || !strings.HasPrefix(first.Path, dir) {
			t.Errorf("%s is not a link to the image", first.Path)
		}
		release()
		if second, _ := get(t, c, r); !second.Hit {
			t.Error("the linked file was not found again")
		}
		replaced := noise(3<<20, 2)
		if err := os.Remove(original); err != nil {
			t.Fatal(err)
		}
		os.WriteFile(original, replaced, 0o600)
		third, _ := get(t, c, r)
		wantContent(t, third, replaced)
		appended := append(bytes.Clone(replaced), 1)
		os.WriteFile(original, appended, 0o600)
		fourth, _ := get(t, c, r)
		wantContent(t, fourth, appended)
		os.Remove(original)
		_, _, err := c.Get(t.Context(), r)
		wantError(t, err, ferric.CodeNotFound)
		os.WriteFile(original, content, 0o600)
	})
	t.Run("other file system", func(t *testing.T) {
		if os.Getuid() != 0 {
			t.Skip("SKIPPED: mounting a file system needs root")
		}
		mount := t.TempDir()
		if err := syscall.Mount("tmpfs", mount, "tmpfs", 0, "size=20m"); err != nil {
			t.Skipf("SKIPPED: a tmpfs cannot be mounted here: %v", err)
		}
		t.Cleanup(func() { syscall.Unmount(mount, syscall.MNT_DETACH) })
		for _, inPlace := range []bool{false, true} {
			dir := filepath.Join(mount, map[bool]string{false: "copy", true: "place"}[inPlace])
			c := openCache(t, func(c *image.CacheConfig) { c.Dir, c.Options.FileRoots, c.InPlace = dir, []string{root}, inPlace })
			first, _ := get(t, c, r)
			wantContent(t, first, content)
			if (first.Path == original) != inPlace {
				t.Errorf("in place %t: path %s", inPlace, first.Path)
			}
			if second, _ := get(t, c, r); !second.Hit || second.Path != first.Path {
				t.Errorf("in place %t: not found again", inPlace)
			}
		}
	})
	t.Run("refused", func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "cache")
		c := openCache(t, func(c *image.CacheConfig) { c.Dir, c.Options.FileRoots = dir, []string{root} })
		_, _, err := c.Get(t.Context(), image.Request{URL: "file:///etc/passwd", Options: &image.Options{FileRoots: []string{"/etc"}}})
		wantError(t, err, ferric.CodeForbidden, "file roots")
		_, _, err = c.Get(t.Context(), image.Request{URL: r.URL, Checksum: checksum([]byte("other"))})
		wantError(t, err, ferric.CodeCorrupt, "checksum mismatch")
		wantFiles(t, dir, 0)
		if _, err := os.Stat(original); err != nil {
			t.Fatal("the image itself was removed")
		}
	})
}

// TestCacheCredentials does not hand a protected image to a caller without the password.
func TestCacheCredentials(t *testing.T) {
	server := newWebServer(t, nil)
	server.handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, password, _ := r.BasicAuth(); password != "s3cret" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		http.ServeContent(w, r, "", server.modified, bytes.NewReader(noise(1<<20, 1)))
	})
	dir := filepath.Join(t.TempDir(), "cache")
	c := openCache(t, func(c *image.CacheConfig) { c.Dir = dir })
	with := quick()
	with.User, with.Password = "joe", "s3cret"
	r := image.Request{URL: server.url() + "?token=s3cret", Checksum: checksum(noise(1<<20, 1)), Options: &with}
	get(t, c, r)
	if second, _ := get(t, c, r); !second.Hit {
		t.Error("not a hit")
	}
	r.Options = nil
	_, _, err := c.Get(t.Context(), r)
	wantError(t, err, ferric.CodeForbidden, "401")
	files, _ := filepath.Glob(filepath.Join(dir, "*.json"))
	for _, name := range files {
		if b, _ := os.ReadFile(name); bytes.Contains(b, []byte("s3cret")) {
			t.Errorf("%s holds a secret:\n%s", name, b)
		}
	}
}

func TestCacheConfigRefused(t *testing.T) {
	for name, config := range map[string]image.CacheConfig{
		"relative folder": {Dir: "cache"},
		"negative size":   {Dir: "/cache", MaxBytes: -1},
		"relative root":   {Dir: "/cache", Options: image.Options{FileRoots: []string{"images"}}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := image.OpenCache(config)
			wantError(t, err, ferric.CodeInvalid)
		})
	}
}
