package image_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"ferric"
	"ferric/image"
)

// webServer is a real HTTP server whose bad habits can be chosen, and which can be killed and started again
// on the same port.
type webServer struct {
	t       testing.TB
	address string

	mu       sync.Mutex
	server   *http.Server
	content  []byte
	etag     string
	modified time.Time
	noRanges bool         // ignore Range
	chunked  bool         // say no length
	cutEvery int64        // close the connection after so many bytes of a body
	cutOnce  int64        // the same, but only once
	stallAt  int64        // stop sending after so many bytes, once
	handler  http.Handler // instead of all that
	requests []*http.Request
}

func newWebServer(t testing.TB, content []byte) *webServer {
	s := &webServer{t: t, content: content, etag: `"v1"`, modified: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
	s.start()
	t.Cleanup(s.kill)
	return s
}

func (s *webServer) start() {
	address := s.address
	if address == "" {
		address = "127.0.0.1:0"
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		s.t.Error(err)
		return
	}
	if s.address == "" { // only once, others read it
		s.address = listener.Addr().String()
	}
	server := &http.Server{Handler: s, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, 0)}
	s.mu.Lock()
	s.server = server
	s.mu.Unlock()
	go server.Serve(listener)
}

// kill closes the listener and all connections at once.
func (s *webServer) kill() {
	s.mu.Lock()
	server := s.server
	s.mu.Unlock()
	server.Close()
}

func (s *webServer) set(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
}

func (s *webServer) url() string { return "http://" + s.address + "/images/disk.img" }

func (s *webServer) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.requests)
}

func (s *webServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.requests = append(s.requests, r)
	content, etag, modified, handler := s.content, s.etag, s.modified, s.handler
	cut, stall := s.cutEvery, s.stallAt
	if s.cutOnce > 0 && r.Header.Get("Range") != "bytes=0-0" {
		cut, s.cutOnce = s.cutOnce, 0
	}
	if r.Header.Get("Range") != "bytes=0-0" {
		s.stallAt = 0
	}
	noRanges, chunked := s.noRanges, s.chunked
	s.mu.Unlock()
	if handler != nil {
		handler.ServeHTTP(w, r)
		return
	}
	if etag != "" {
		w.Header().Set("ETag", etag)
	}
	if cut > 0 || stall > 0 {
		w = &faultyWriter{ResponseWriter: w, cut: cut, stall: stall, done: r.Context().Done()}
	}
	switch {
	case noRanges || chunked:
		if !chunked {
			w.Header().Set("Content-Length", fmt.Sprint(len(content)))
		}
		w.Header().Set("Last-Modified", modified.Format(http.TimeFormat))
		w.WriteHeader(http.StatusOK)
		w.Write(content)
	default:
		http.ServeContent(w, r, "", modified, bytes.NewReader(content))
	}
}

// faultyWriter aborts or stalls a body.
type faultyWriter struct {
	http.ResponseWriter
	cut, stall, sent int64
	done             <-chan struct{}
}

func (w *faultyWriter) Write(p []byte) (int, error) {
	total := len(p)
	for len(p) > 0 {
		n := int64(min(len(p), 4096))
		if w.cut > 0 && w.sent+n > w.cut {
			w.ResponseWriter.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		}
		if w.stall > 0 && w.sent+n > w.stall {
			w.ResponseWriter.(http.Flusher).Flush()
			<-w.done
			return 0, io.ErrClosedPipe
		}
		if _, err := w.ResponseWriter.Write(p[:n]); err != nil {
			return 0, err
		}
		w.sent += n
		p = p[n:]
	}
	return total, nil
}

// quick are options whose patience suits a test.
func quick() image.Options {
	return image.Options{OpenFor: 20 * time.Second, ResumeFor: 60 * time.Second, IdleTimeout: 20 * time.Second}
}

func noise(size int, seed uint64) []byte {
	b := make([]byte, size)
	r := rand.New(rand.NewPCG(seed, 2))
	for i := 0; i+8 <= size; i += 8 {
		v := r.Uint64()
		for j := range 8 {
			b[i+j] = byte(v >> (8 * j))
		}
	}
	return b
}

// diskLike makes content with holes of all sizes.
func diskLike(size int, seed uint64) []byte {
	b := noise(size, seed)
	r := rand.New(rand.NewPCG(seed, 3))
	for at := 0; at < size; at += 1 + r.IntN(1<<20) {
		clear(b[at:min(size, at+r.IntN(3<<20)/(1+r.IntN(9)))])
		at += r.IntN(1 << 20)
	}
	return b
}

func sum256(b []byte) string {
	h := sha256.Sum256(b)
	return hex.EncodeToString(h[:])
}

func readAll(t *testing.T, source image.Source, offset int64) ([]byte, error) {
	t.Helper()
	r, err := source.Reader(t.Context(), offset)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}

func mustOpen(t *testing.T, url string, options image.Options) image.Source {
	t.Helper()
	s, err := image.Open(t.Context(), url, options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func wantError(t *testing.T, err error, code ferric.Code, parts ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error; want %s with %q", code, parts)
	}
	if got := ferric.ErrorCode(err); got != code {
		t.Fatalf("code %s, want %s: %v", got, code, err)
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Fatalf("error %q does not contain %q", err, part)
		}
	}
}

// memory is a Target that was full of old data.
type memory struct {
	mu      sync.Mutex
	data    []byte
	written int64
	writes  int
	syncs   int
	fail    error // of WriteAt, after failAt bytes
	failAt  int64
}

func newMemory(size int64) *memory { return &memory{data: bytes.Repeat([]byte{0xEE}, int(size))} }

func (m *memory) WriteAt(p []byte, offset int64) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fail != nil && m.written >= m.failAt {
		return 0, m.fail
	}
	if offset+int64(len(p)) > int64(len(m.data)) {
		return 0, errors.New("write behind the end")
	}
	m.written += int64(len(p))
	m.writes++
	return copy(m.data[offset:], p), nil
}

func (m *memory) Size() int64 { return int64(len(m.data)) }
func (m *memory) Sync() error { m.syncs++; return nil }

// zeroingMemory can zero ranges too.
type zeroingMemory struct {
	*memory
	zeroed int64
}

func (m *zeroingMemory) ZeroRange(_ context.Context, offset, length int64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	clear(m.data[offset : offset+length])
	m.zeroed += length
	return nil
}

func requireProgram(t testing.TB, name, pkg string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("SKIPPED: %s is not installed (package %s)", name, pkg)
	}
	return path
}

func run(t testing.TB, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// toQcow2 converts by qemu-img.
func toQcow2(t testing.TB, raw []byte, args ...string) []byte {
	t.Helper()
	requireProgram(t, "qemu-img", "qemu-utils")
	dir := t.TempDir()
	in, out := filepath.Join(dir, "in"), filepath.Join(dir, "out")
	if err := os.WriteFile(in, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, "qemu-img", append(append([]string{"convert", "-f", "raw", "-O", "qcow2"}, args...), in, out)...)
	b, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
