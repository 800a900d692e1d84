package image_test

import (
	"bytes"
	"context"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"ferric"
	"ferric/image"
)

func TestHTTPSource(t *testing.T) {
	content := noise(3<<20+17, 1)
	server := newWebServer(t, content)
	source := mustOpen(t, server.url(), quick())
	info := source.Info()
	if info.Size != int64(len(content)) || info.ETag != `"v1"` || !info.Ranges || info.LastModified == "" {
		t.Fatalf("info %+v", info)
	}
	for _, offset := range []int64{0, 1, 100_000, info.Size - 1, info.Size} {
		got, err := readAll(t, source, offset)
		if err != nil || !bytes.Equal(got, content[offset:]) {
			t.Fatalf("from %d: %d bytes, %v", offset, len(got), err)
		}
	}
	p := make([]byte, 1000)
	if n, err := source.ReaderAt(t.Context()).ReadAt(p, 5000); n != 1000 || err != nil || !bytes.Equal(p, content[5000:6000]) {
		t.Fatalf("ReadAt: %d, %v", n, err)
	}
	if n, err := source.ReaderAt(t.Context()).ReadAt(p, info.Size-10); n != 10 || err != io.EOF {
		t.Fatalf("ReadAt at the end: %d, %v; want 10, EOF", n, err)
	}
}

func TestNoRanges(t *testing.T) {
	content := noise(2<<20, 1)
	server := newWebServer(t, content)
	server.set(func() { server.noRanges = true })
	source := mustOpen(t, server.url(), quick())
	if info := source.Info(); info.Ranges || info.Size != int64(len(content)) {
		t.Fatalf("info %+v", info)
	}
	if got, err := readAll(t, source, 0); err != nil || !bytes.Equal(got, content) {
		t.Fatalf("%d bytes, %v", len(got), err)
	}
	p := make([]byte, 1000)
	for _, offset := range []int64{5000, 900_000, 100, 2<<20 - 1000} {
		if _, err := source.ReaderAt(t.Context()).ReadAt(p, offset); err != nil || !bytes.Equal(p, content[offset:offset+1000]) {
			t.Fatalf("ReadAt %d: %v", offset, err)
		}
	}
	server.set(func() { server.cutEvery = 1 << 20 })
	_, err := readAll(t, source, 0)
	wantError(t, err, ferric.CodeUnavailable, "cannot resume", "of 2097152")
}

func TestUnknownLength(t *testing.T) {
	content := noise(1<<20, 1)
	server := newWebServer(t, content)
	server.set(func() { server.chunked = true })
	source := mustOpen(t, server.url(), quick())
	if info := source.Info(); info.Size != -1 {
		t.Fatalf("info %+v", info)
	}
	if got, err := readAll(t, source, 0); err != nil || !bytes.Equal(got, content) {
		t.Fatalf("%d bytes, %v", len(got), err)
	}
	server.set(func() { server.cutEvery = 1 << 19 })
	_, err := readAll(t, source, 0)
	wantError(t, err, ferric.CodeUnavailable, "broke off")
}

func TestEmptyFile(t *testing.T) {
	source := mustOpen(t, newWebServer(t, nil).url(), quick())
	if got, err := readAll(t, source, 0); len(got) != 0 || err != nil || source.Info().Size != 0 {
		t.Fatalf("%d bytes, %v, %+v", len(got), err, source.Info())
	}
}

// TestResumeTruncated has a server that breaks every connection.
func TestResumeTruncated(t *testing.T) {
	content := noise(4<<20, 1)
	tests := map[string]func(*webServer){
		"ETag":               func(*webServer) {},
		"weak ETag":          func(s *webServer) { s.etag = `W/"v1"` },
		"Last-Modified only": func(s *webServer) { s.etag = "" },
		"no validators":      func(s *webServer) { s.etag, s.modified = "", time.Time{} },
	}
	for name, change := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := newWebServer(t, content)
			server.set(func() { change(server) })
			server.set(func() { server.cutEvery = 1_000_000 })
			source := mustOpen(t, server.url(), quick())
			got, err := readAll(t, source, 0)
			if err != nil || !bytes.Equal(got, content) {
				t.Fatalf("%d bytes, %v", len(got), err)
			}
			if server.count() < 5 {
				t.Fatalf("%d requests: the connection was not broken", server.count())
			}
		})
	}
}

// TestServerKilled kills the server in the middle of a transfer and starts it again seconds later.
func TestServerKilled(t *testing.T) {
	t.Parallel()
	content := noise(64<<20, 1)
	server := newWebServer(t, content)
	source := mustOpen(t, server.url(), quick())
	r, err := source.Reader(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var got bytes.Buffer
	if _, err := io.CopyN(&got, r, 5<<20); err != nil {
		t.Fatal(err)
	}
	server.kill()
	restarted := make(chan struct{})
	go func() {
		defer close(restarted)
		time.Sleep(3 * time.Second)
		server.start()
	}()
	if _, err := io.Copy(&got, r); err != nil {
		t.Fatal(err)
	}
	<-restarted
	if !bytes.Equal(got.Bytes(), content) {
		t.Fatalf("%d bytes differ from what was served", got.Len())
	}
	server.mu.Lock()
	defer server.mu.Unlock()
	last := server.requests[len(server.requests)-1]
	if !strings.HasPrefix(last.Header.Get("Range"), "bytes=") || last.Header.Get("If-Range") != `"v1"` {
		t.Fatalf("the last request had Range %q and If-Range %q", last.Header.Get("Range"), last.Header.Get("If-Range"))
	}
}

func TestServerStaysAway(t *testing.T) {
	t.Parallel()
	server := newWebServer(t, noise(64<<20, 1))
	options := quick()
	options.ResumeFor = 500 * time.Millisecond
	source := mustOpen(t, server.url(), options)
	r, err := source.Reader(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := io.CopyN(io.Discard, r, 1<<20); err != nil {
		t.Fatal(err)
	}
	server.kill()
	_, err = io.Copy(io.Discard, r)
	wantError(t, err, ferric.CodeUnavailable, "did not come back within 500ms", "of 67108864")
}

// TestIdle has a server that keeps the connection open and sends nothing more.
func TestIdle(t *testing.T) {
	t.Parallel()
	content := noise(2<<20, 1)
	server := newWebServer(t, content)
	server.set(func() { server.stallAt = 1 << 20 })
	options := quick()
	options.IdleTimeout = 2 * time.Second
	source := mustOpen(t, server.url(), options)
	got, err := readAll(t, source, 0)
	if err != nil || !bytes.Equal(got, content) {
		t.Fatalf("%d bytes, %v", len(got), err)
	}
}

func TestChangedOnServer(t *testing.T) {
	tests := map[string]func(*webServer){
		"other ETag":                 func(s *webServer) { s.etag = `"v2"` },
		"other ETag, ranges ignored": func(s *webServer) { s.etag, s.noRanges = `"v2"`, true },
		"shorter":                    func(s *webServer) { s.content = s.content[:1<<20] },
		"longer, same ETag":          func(s *webServer) { s.content = append(bytes.Clone(s.content), 1) },
		"other time, same ETag":      func(s *webServer) { s.modified = s.modified.Add(time.Hour) },
	}
	for name, change := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := newWebServer(t, noise(4<<20, 1))
			server.set(func() { server.cutOnce = 2 << 20 })
			source := mustOpen(t, server.url(), quick())
			r, err := source.Reader(t.Context(), 0)
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			if _, err := io.CopyN(io.Discard, r, 1<<20); err != nil {
				t.Fatal(err)
			}
			server.set(func() { change(server) })
			_, err = io.Copy(io.Discard, r)
			wantError(t, err, ferric.CodeCorrupt, "changed on the server")
			_, err = source.ReaderAt(t.Context()).ReadAt(make([]byte, 10), 100)
			wantError(t, err, ferric.CodeCorrupt, "changed on the server")
		})
	}
}

// TestRangesIgnoredLater has a server that forgets its ranges but not its file.
func TestRangesIgnoredLater(t *testing.T) {
	t.Parallel()
	content := noise(4<<20, 1)
	server := newWebServer(t, content)
	server.set(func() { server.cutOnce = 2 << 20 })
	source := mustOpen(t, server.url(), quick())
	server.set(func() { server.noRanges = true })
	if got, err := readAll(t, source, 0); err != nil || !bytes.Equal(got, content) {
		t.Fatalf("%d bytes, %v", len(got), err)
	}
}

// TestHostileServers has answers that no honest server gives.
func TestHostileServers(t *testing.T) {
	partial := func(contentRange, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Range", contentRange)
			w.WriteHeader(http.StatusPartialContent)
			io.WriteString(w, body)
		}
	}
	tests := map[string]struct {
		handler http.HandlerFunc
		code    ferric.Code
		want    string
	}{
		"not found":          {http.NotFound, ferric.CodeNotFound, "404"},
		"forbidden":          {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(403) }, ferric.CodeForbidden, "403"},
		"server error":       {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) }, ferric.CodeUnavailable, "500"},
		"no Content-Range":   {partial("", "x"), ferric.CodeCorrupt, "Content-Range"},
		"bad Content-Range":  {partial("bytes 0-0/abc", "x"), ferric.CodeCorrupt, "Content-Range"},
		"huge Content-Range": {partial("bytes 0-0/99999999999999999999", "x"), ferric.CodeCorrupt, "Content-Range"},
		"range beyond total": {partial("bytes 0-9/5", "x"), ferric.CodeCorrupt, "Content-Range"},
		"wrong range later":  {partial("bytes 0-0/5", "x"), ferric.CodeCorrupt, "instead of"},
		"compressed": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
		}, ferric.CodeUnsupported, "content encoding"},
		"redirect loop": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/again", http.StatusFound)
		}, ferric.CodeUnavailable, "redirects"},
		"redirect to a file": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "file:///etc/passwd", http.StatusFound)
		}, ferric.CodeUnavailable, "unsupported protocol"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(test.handler)
			defer server.Close()
			options := quick()
			options.OpenFor, options.ResumeFor = time.Millisecond, time.Millisecond
			source, err := image.Open(t.Context(), server.URL+"/secretless?token=s3cret", options)
			if err == nil {
				_, err = readAll(t, source, 1)
			}
			wantError(t, err, test.code, test.want)
			if strings.Contains(err.Error(), "s3cret") {
				t.Fatalf("the query is in the error: %v", err)
			}
		})
	}
}

func TestRedirect(t *testing.T) {
	content := noise(1<<20, 1)
	server := newWebServer(t, content)
	front := httptest.NewServer(http.RedirectHandler(server.url(), http.StatusTemporaryRedirect))
	defer front.Close()
	source := mustOpen(t, front.URL, quick())
	if got, err := readAll(t, source, 10); err != nil || !bytes.Equal(got, content[10:]) {
		t.Fatalf("%d bytes, %v", len(got), err)
	}
	options := quick()
	options.MaxRedirects = -1
	_, err := image.Open(t.Context(), front.URL, options)
	wantError(t, err, ferric.CodeUnavailable, "more than 0 redirects")

	secure := httptest.NewTLSServer(http.RedirectHandler(server.url(), http.StatusFound))
	defer secure.Close()
	options = quick()
	options.Insecure = true
	_, err = image.Open(t.Context(), secure.URL, options)
	wantError(t, err, ferric.CodeForbidden, "from https to http")
}

func TestTLS(t *testing.T) {
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.ServeContent(w, r, "", time.Time{}, strings.NewReader("hello"))
	}))
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
	server.StartTLS()
	defer server.Close()
	options := quick()
	started := time.Now()
	_, err := image.Open(t.Context(), server.URL, options)
	wantError(t, err, ferric.CodeUnavailable, "TLS", "certificate")
	if time.Since(started) > options.OpenFor {
		t.Error("a wrong certificate was tried again")
	}
	options.Insecure = true
	mustOpen(t, server.URL, options)
	options.Insecure = false
	options.CAs = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	source := mustOpen(t, server.URL, options)
	if got, err := readAll(t, source, 0); string(got) != "hello" || err != nil {
		t.Fatalf("%q, %v", got, err)
	}
	options.CAs = []byte("nonsense")
	_, err = image.Open(t.Context(), server.URL, options)
	wantError(t, err, ferric.CodeInvalid, "CA certificates")
}

func TestCredentials(t *testing.T) {
	server := newWebServer(t, []byte("hello"))
	server.handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		if !(user == "joe" && password == "s3cret") && r.Header.Get("Authorization") != "Bearer s3cret" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		http.ServeContent(w, r, "", time.Time{}, strings.NewReader("hello"))
	})
	withUser := strings.Replace(server.url(), "http://", "http://joe:s3cret@", 1)
	tests := map[string]struct {
		url    string
		change func(*image.Options)
	}{
		"basic":         {server.url(), func(o *image.Options) { o.User, o.Password = "joe", "s3cret" }},
		"in the URL":    {withUser, func(*image.Options) {}},
		"authorization": {server.url(), func(o *image.Options) { o.Authorization = "Bearer s3cret" }},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			options := quick()
			test.change(&options)
			source := mustOpen(t, test.url, options)
			if got, err := readAll(t, source, 0); string(got) != "hello" || err != nil {
				t.Fatalf("%q, %v", got, err)
			}
			if shown := fmt.Sprintf("%+v %v", source.Info(), options); strings.Contains(shown, "s3cret") {
				t.Fatalf("the password is in %s", shown)
			}
		})
	}
	options := quick()
	options.User, options.Password = "joe", "wr0ng"
	_, err := image.Open(t.Context(), strings.Replace(server.url(), "http://", "http://bob:wr0ng@", 1), options)
	wantError(t, err, ferric.CodeForbidden, "401")
	if strings.Contains(err.Error(), "wr0ng") {
		t.Fatalf("the password is in the error: %v", err)
	}
}

func TestProxy(t *testing.T) {
	seen := 0
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen++
		if r.URL.Host != "images.example" {
			t.Errorf("the proxy was asked for %s", r.URL)
		}
		http.ServeContent(w, r, "", time.Time{}, strings.NewReader("by proxy"))
	}))
	defer proxy.Close()
	options := quick()
	options.Proxies = map[string]string{"http": proxy.URL}
	options.NoProxy = "localhost, 127.0.0.0/8,.direct.example"
	source := mustOpen(t, "http://images.example/disk", options)
	if got, err := readAll(t, source, 0); string(got) != "by proxy" || err != nil {
		t.Fatalf("%q, %v", got, err)
	}
	before := seen
	server := newWebServer(t, []byte("direct"))
	source = mustOpen(t, server.url(), options)
	if got, err := readAll(t, source, 0); string(got) != "direct" || err != nil || seen != before {
		t.Fatalf("%q, %v", got, err)
	}
	options.Proxies["http"] = "::s3cret::"
	_, err := image.Open(t.Context(), "http://images.example/disk", options)
	wantError(t, err, ferric.CodeInvalid, "proxy for http")
	if strings.Contains(err.Error(), "s3cret") {
		t.Fatal(err)
	}
}

// TestOpenWaits opens before the server is up.
func TestOpenWaits(t *testing.T) {
	t.Parallel()
	server := newWebServer(t, []byte("hello"))
	server.kill()
	started := make(chan struct{})
	go func() {
		defer close(started)
		time.Sleep(time.Second)
		server.start()
	}()
	defer func() { <-started }()
	mustOpen(t, server.url(), quick())
}

func TestCancelled(t *testing.T) {
	server := newWebServer(t, []byte("hello"))
	server.kill()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_, err := image.Open(ctx, server.url(), quick())
	wantError(t, err, ferric.CodeTimeout, "deadline")
}

func TestFileSource(t *testing.T) {
	root, outside := t.TempDir(), t.TempDir()
	content := noise(100_000, 1)
	write := func(path string) string {
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	good := write(filepath.Join(root, "good.img"))
	secret := write(filepath.Join(outside, "secret"))
	os.Symlink("good.img", filepath.Join(root, "link"))
	os.Symlink(secret, filepath.Join(root, "escape"))
	os.Symlink(outside, filepath.Join(root, "dir"))
	os.Symlink("../"+filepath.Base(outside)+"/secret", filepath.Join(root, "relative"))
	if err := syscall.Mkfifo(filepath.Join(root, "fifo"), 0o600); err != nil {
		t.Fatal(err)
	}
	options := image.Options{FileRoots: []string{"/nonexistent", root}}
	tests := map[string]struct {
		url  string
		code ferric.Code // "" for success
	}{
		"file":               {"file://" + good, ""},
		"localhost":          {"file://localhost" + good, ""},
		"link inside":        {"file://" + root + "/link", ""},
		"missing":            {"file://" + root + "/missing", ferric.CodeNotFound},
		"outside":            {"file://" + secret, ferric.CodeForbidden},
		"dots":               {"file://" + root + "/../" + filepath.Base(outside) + "/secret", ferric.CodeForbidden},
		"encoded dots":       {"file://" + root + "/%2e%2e/" + filepath.Base(outside) + "/secret", ferric.CodeForbidden},
		"link outside":       {"file://" + root + "/escape", ferric.CodeForbidden},
		"linked folder":      {"file://" + root + "/dir/secret", ferric.CodeForbidden},
		"relative link":      {"file://" + root + "/relative", ferric.CodeForbidden},
		"FIFO":               {"file://" + root + "/fifo", ferric.CodeForbidden},
		"folder":             {"file://" + root, ferric.CodeForbidden},
		"device":             {"file:///dev/zero", ferric.CodeForbidden},
		"other host":         {"file://elsewhere" + good, ferric.CodeInvalid},
		"no path":            {"file://", ferric.CodeInvalid},
		"sibling of a root":  {"file://" + root + "x", ferric.CodeForbidden},
		"unsupported scheme": {"ftp://x/y", ferric.CodeInvalid},
		"unparsable":         {"http://[", ferric.CodeInvalid},
		"no host":            {"http:///x", ferric.CodeInvalid},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			source, err := image.Open(t.Context(), test.url, options)
			if test.code != "" {
				wantError(t, err, test.code)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer source.Close()
			if got, err := readAll(t, source, 7); err != nil || !bytes.Equal(got, content[7:]) {
				t.Fatalf("%d bytes, %v", len(got), err)
			}
		})
	}
	_, err := image.Open(t.Context(), "file://"+good, image.Options{})
	wantError(t, err, ferric.CodeForbidden, "file roots")
}

func TestFileChanged(t *testing.T) {
	root := t.TempDir()
	path := filepath.Join(root, "disk")
	tests := map[string]func() error{
		"shorter": func() error { return os.Truncate(path, 1000) },
		"longer":  func() error { return os.Truncate(path, 200_000) },
		"touched": func() error { return os.Chtimes(path, time.Now(), time.Now().Add(time.Hour)) },
	}
	for name, change := range tests {
		t.Run(name, func(t *testing.T) {
			if err := os.WriteFile(path, noise(100_000, 1), 0o600); err != nil {
				t.Fatal(err)
			}
			source := mustOpen(t, "file://"+path, image.Options{FileRoots: []string{root}})
			if err := change(); err != nil {
				t.Fatal(err)
			}
			_, err := readAll(t, source, 0)
			wantError(t, err, ferric.CodeCorrupt, "changed")
		})
	}
}
