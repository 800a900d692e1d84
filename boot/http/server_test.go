package http_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"net"
	stdhttp "net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"go.uber.org/goleak"

	"ferric"
	"ferric/boot"
	"ferric/boot/http"
)

var loopback = netip.MustParseAddrPort("127.0.0.1:0")

// memoryImages is an image cache in memory.
type memoryImages map[string]boot.Image

type closer struct {
	io.ReadSeeker
	closed func()
}

func (c closer) Close() error { c.closed(); return nil }

func (m memoryImages) OpenImage(_ context.Context, id string) (boot.Image, error) {
	if id == "broken" {
		return boot.Image{}, errors.New("disk /var/secret/path is broken")
	}
	img, ok := m[id]
	if !ok {
		return boot.Image{}, ferric.Errorf(ferric.CodeNotFound, "no image %s", id)
	}
	return img, nil
}

// start runs a server until the end of the test and returns its base URL.
func start(t *testing.T, opts http.Options, files fs.FS, images boot.Images, mount func(*http.Server)) string {
	t.Helper()
	if !opts.Address.IsValid() {
		opts.Address = loopback
	}
	srv := http.NewServer(opts, files, images, slog.New(slog.DiscardHandler), nil)
	if mount != nil {
		mount(srv)
	}
	if err := srv.Listen(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- srv.Serve(ctx) }()
	t.Cleanup(func() {
		stdhttp.DefaultClient.CloseIdleConnections()
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
		goleak.VerifyNone(t)
	})
	return "http://" + srv.Addr().String()
}

func do(t *testing.T, method, url string, header map[string]string) (*stdhttp.Response, []byte) {
	t.Helper()
	req, err := stdhttp.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for k, v := range header {
		req.Header.Set(k, v)
	}
	resp, err := stdhttp.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, body
}

func TestFiles(t *testing.T) {
	dir := t.TempDir()
	big := bytes.Repeat([]byte("0123456789abcdef"), 200_000) // more than three pieces
	if err := os.WriteFile(filepath.Join(dir, "big.efi"), big, 0o644); err != nil {
		t.Fatal(err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	tree := boot.Tree{root.FS(), fstest.MapFS{"ipxe/x/boot.ipxe": {Data: []byte("#!ipxe"), ModTime: time.Unix(1e9, 0)}, "snponly.efi": {Data: []byte("loader")}, "empty": {}}}
	closed := 0
	images := memoryImages{"sha-1": {Content: closer{strings.NewReader("image contents"), func() { closed++ }}, ETag: "sha256:abc"},
		"sha-2": {Content: closer{strings.NewReader("other"), func() { closed++ }}, ETag: "bad\"\r\netag"}}
	base := start(t, http.Options{}, tree, images, func(s *http.Server) {
		s.Handle("POST /v1/heartbeat/{id}", stdhttp.HandlerFunc(func(w stdhttp.ResponseWriter, r *stdhttp.Request) {
			io.WriteString(w, "heard "+r.PathValue("id"))
		}))
	})
	tests := map[string]struct {
		method, path string
		header       map[string]string
		status       int
		body         string
	}{
		"file":               {"GET", "/snponly.efi", nil, 200, "loader"},
		"from disk":          {"GET", "/big.efi", nil, 200, string(big)},
		"range":              {"GET", "/big.efi", map[string]string{"Range": "bytes=16-20"}, 206, "01234"},
		"big range":          {"GET", "/big.efi", map[string]string{"Range": "bytes=1-"}, 206, string(big[1:])},
		"last bytes":         {"GET", "/big.efi", map[string]string{"Range": "bytes=-3"}, 206, "def"},
		"range past end":     {"GET", "/snponly.efi", map[string]string{"Range": "bytes=10-"}, 416, ""},
		"nested":             {"GET", "/ipxe/x/boot.ipxe", nil, 200, "#!ipxe"},
		"head":               {"HEAD", "/snponly.efi", nil, 200, ""},
		"empty file":         {"GET", "/empty", nil, 200, ""},
		"not changed":        {"GET", "/ipxe/x/boot.ipxe", map[string]string{"If-Modified-Since": time.Unix(1e9, 0).UTC().Format(stdhttp.TimeFormat)}, 304, ""},
		"image":              {"GET", "/images/sha-1", nil, 200, "image contents"},
		"image range":        {"GET", "/images/sha-1", map[string]string{"Range": "bytes=6-"}, 206, "contents"},
		"image not changed":  {"GET", "/images/sha-1", map[string]string{"If-None-Match": `"sha256:abc"`}, 304, ""},
		"image bad etag":     {"GET", "/images/sha-2", nil, 200, "other"},
		"mounted":            {"POST", "/v1/heartbeat/7", nil, 200, "heard 7"},
		"no file":            {"GET", "/none", nil, 404, ""},
		"root":               {"GET", "/", nil, 404, ""},
		"folder":             {"GET", "/ipxe/x", nil, 404, ""},
		"folder, slash":      {"GET", "/ipxe/", nil, 404, ""},
		"upwards":            {"GET", "/%2e%2e/%2e%2e/etc/passwd", nil, 404, ""},
		"upwards, backslash": {"GET", `/..%5c..%5cetc%5cpasswd`, nil, 404, ""},
		"nul":                {"GET", "/a%00b", nil, 404, ""},
		"no image":           {"GET", "/images/none", nil, 404, ""},
		"images folder":      {"GET", "/images/", nil, 404, ""},
		"image fails":        {"GET", "/images/broken", nil, 500, ""},
		"post":               {"POST", "/snponly.efi", nil, 405, ""},
		"put":                {"PUT", "/images/sha-1", nil, 405, ""},
		"delete":             {"DELETE", "/new", nil, 405, ""},
	}
	opened := 0
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			resp, body := do(t, tt.method, base+tt.path, tt.header)
			if resp.StatusCode != tt.status {
				t.Fatalf("status %d, want %d: %.200s", resp.StatusCode, tt.status, body)
			}
			if resp.StatusCode < 300 && string(body) != tt.body {
				t.Errorf("body of %d bytes, want %d (or they differ): %.100q", len(body), len(tt.body), body)
			}
			if strings.Contains(string(body), "/var/secret") {
				t.Errorf("the answer names a path of the server: %s", body)
			}
			if tt.method == "HEAD" && resp.ContentLength != 6 {
				t.Errorf("HEAD says %d bytes, want 6", resp.ContentLength)
			}
			if resp.StatusCode == 200 && tt.method == "GET" && resp.Header.Get("ETag") == "" && tt.path != "/images/sha-2" {
				t.Error("there is no ETag")
			}
			if strings.HasPrefix(tt.path, "/images/sha") && tt.status < 400 {
				opened++
			}
		})
	}
	if closed != opened {
		t.Errorf("%d images were closed, want %d", closed, opened)
	}
	t.Run("etag of a file", func(t *testing.T) {
		resp, _ := do(t, "GET", base+"/big.efi", nil)
		etag := resp.Header.Get("ETag")
		if again, _ := do(t, "GET", base+"/big.efi", map[string]string{"If-None-Match": etag}); again.StatusCode != 304 {
			t.Errorf("status %d with the ETag %s, want 304", again.StatusCode, etag)
		}
		// A download goes on after the file was written anew only if it is the same file.
		if err := os.WriteFile(filepath.Join(dir, "big.efi"), []byte("new"), 0o644); err != nil {
			t.Fatal(err)
		}
		if changed, body := do(t, "GET", base+"/big.efi", map[string]string{"Range": "bytes=100-", "If-Range": etag}); changed.StatusCode != 200 || string(body) != "new" {
			t.Errorf("status %d, %q; want the whole new file", changed.StatusCode, body)
		}
	})
}

func TestNoImages(t *testing.T) {
	base := start(t, http.Options{}, boot.Tree{}, nil, nil)
	if resp, _ := do(t, "GET", base+"/images/x", nil); resp.StatusCode != 404 {
		t.Errorf("status %d, want 404", resp.StatusCode)
	}
}

// endless gives zeros for ever.
type endless struct{ at int64 }

func (e *endless) Read(p []byte) (int, error) { clear(p); e.at += int64(len(p)); return len(p), nil }
func (e *endless) Seek(off int64, whence int) (int64, error) {
	if whence == io.SeekEnd {
		return 1 << 40, nil
	}
	e.at = off
	return off, nil
}

// TestDeadClient asks for an image and reads nothing: the server must cut it off and close the image.
func TestDeadClient(t *testing.T) {
	closed := make(chan struct{})
	images := memoryImages{"big": {Content: closer{&endless{}, sync.OnceFunc(func() { close(closed) })}}}
	base := start(t, http.Options{StallTimeout: time.Second}, boot.Tree{}, images, nil)
	conn, err := net.Dial("tcp", strings.TrimPrefix(base, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	io.WriteString(conn, "GET /images/big HTTP/1.1\r\nHost: x\r\n\r\n")
	select {
	case <-closed:
	case <-time.After(30 * time.Second):
		t.Error("the server still waits for a client that reads nothing")
	}
}

// TestSlowClient reads for longer than the stall timeout, but keeps reading: it must get everything.
func TestSlowClient(t *testing.T) {
	data := bytes.Repeat([]byte("x"), 12<<20)
	images := memoryImages{"big": {Content: closer{bytes.NewReader(data), func() {}}}}
	base := start(t, http.Options{StallTimeout: 2 * time.Second}, boot.Tree{}, images, nil)
	resp, err := stdhttp.Get(base + "/images/big")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	got := 0
	buf := make([]byte, 1<<20)
	for {
		n, err := io.ReadFull(resp.Body, buf)
		got += n
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			break
		}
		if err != nil {
			t.Fatalf("after %d bytes: %v", got, err)
		}
		time.Sleep(300 * time.Millisecond)
	}
	if got != len(data) {
		t.Errorf("got %d bytes, want %d", got, len(data))
	}
}

func TestStop(t *testing.T) {
	in, out := make(chan struct{}), make(chan struct{})
	srv := http.NewServer(http.Options{Address: loopback, StopTimeout: 30 * time.Second}, boot.Tree{}, nil, slog.New(slog.DiscardHandler), nil)
	srv.Handle("/wait", stdhttp.HandlerFunc(func(w stdhttp.ResponseWriter, r *stdhttp.Request) {
		close(in)
		<-out
		io.WriteString(w, strconv.FormatBool(r.Context().Err() == nil))
	}))
	if err := srv.Listen(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	served, got := make(chan error, 1), make(chan string, 1)
	go func() { served <- srv.Serve(ctx) }()
	go func() {
		resp, err := stdhttp.Get("http://" + srv.Addr().String() + "/wait")
		if err != nil {
			got <- err.Error()
			return
		}
		defer resp.Body.Close()
		body, _ := io.ReadAll(resp.Body)
		got <- string(body)
	}()
	<-in
	cancel()
	close(out)
	if err := <-served; err != nil {
		t.Errorf("Serve: %v", err)
	}
	if body := <-got; body != "true" {
		t.Errorf("the request under way ended with %q, want true", body)
	}
	stdhttp.DefaultClient.CloseIdleConnections()
}

func TestListenErrors(t *testing.T) {
	used, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer used.Close()
	tests := map[string]struct {
		opts http.Options
		want ferric.Code
	}{
		"no address":     {http.Options{}, ferric.CodeInvalid},
		"all addresses":  {http.Options{Address: netip.MustParseAddrPort("0.0.0.0:0")}, ferric.CodeInvalid},
		"bad timeout":    {http.Options{Address: loopback, StallTimeout: time.Millisecond}, ferric.CodeInvalid},
		"no connections": {http.Options{Address: loopback, MaxConns: -1}, ferric.CodeInvalid},
		"not ours":       {http.Options{Address: netip.MustParseAddrPort("192.0.2.1:0")}, ferric.CodeUnavailable},
		"in use":         {http.Options{Address: used.Addr().(*net.TCPAddr).AddrPort()}, ferric.CodeUnavailable},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			srv := http.NewServer(tt.opts, boot.Tree{}, nil, slog.New(slog.DiscardHandler), nil)
			defer srv.Close()
			if err := srv.Listen(t.Context()); !ferric.IsCode(err, tt.want) {
				t.Errorf("error %v (code %s), want %s", err, ferric.ErrorCode(err), tt.want)
			}
		})
	}
}

// TestMaxConns fills the only place with an idle connection: the next client has to wait until it is gone.
func TestMaxConns(t *testing.T) {
	base := start(t, http.Options{MaxConns: 1}, boot.Tree{fstest.MapFS{"a": {Data: []byte("a")}}}, nil, nil)
	first, err := net.Dial("tcp", strings.TrimPrefix(base, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(first, "GET /a HTTP/1.1\r\nHost: x\r\n\r\n")
	if _, err := first.Read(make([]byte, 1)); err != nil { // it has the place now
		t.Fatal(err)
	}
	got := make(chan error, 1)
	go func() {
		resp, err := stdhttp.Get(base + "/a")
		if err == nil {
			resp.Body.Close()
		}
		got <- err
	}()
	select {
	case err := <-got:
		t.Errorf("a second connection was served beside the first: %v", err)
		return
	case <-time.After(200 * time.Millisecond):
	}
	first.Close()
	if err := <-got; err != nil {
		t.Errorf("after the first had gone: %v", err)
	}
}
