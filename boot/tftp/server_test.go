package tftp_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	pin "github.com/pin/tftp/v3"
	"go.uber.org/goleak"

	"ferric"
	"ferric/boot"
	"ferric/boot/tftp"
)

// transfers is an Observer that keeps what it is told.
type transfers struct {
	mu   sync.Mutex
	errs []error
}

func (o *transfers) Transfer(_ int64, _ time.Duration, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.errs = append(o.errs, err)
}

// wait returns the failures of n transfers; the server is told of the end of one after its client is.
func (o *transfers) wait(t *testing.T, n int) []error {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		o.mu.Lock()
		errs := append([]error{}, o.errs...)
		o.mu.Unlock()
		if len(errs) >= n || time.Now().After(deadline) {
			if len(errs) != n {
				t.Errorf("%d transfers were observed, want %d", len(errs), n)
			}
			return errs
		}
	}
}

// freePort returns a UDP port that nobody uses.
func freePort(t testing.TB) netip.AddrPort {
	t.Helper()
	c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	return c.LocalAddr().(*net.UDPAddr).AddrPort()
}

// start runs a server until the end of the test and returns its address.
func start(t testing.TB, opts tftp.Options, files fs.FS, obs tftp.Observer) string {
	t.Helper()
	opts.Address = freePort(t)
	srv := tftp.NewServer(opts, files, slog.New(slog.DiscardHandler), obs)
	if err := srv.Listen(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- srv.Serve(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
		goleak.VerifyNone(t)
	})
	return srv.Addr().String()
}

func get(t testing.TB, addr, name string, blksize int) ([]byte, int64, error) {
	t.Helper()
	c, err := pin.NewClient(addr)
	if err != nil {
		t.Fatal(err)
	}
	c.SetTimeout(10 * time.Second)
	c.RequestTSize(true)
	if blksize > 0 {
		c.SetBlockSize(blksize)
	}
	wt, err := c.Receive(name, "octet")
	if err != nil {
		return nil, 0, err
	}
	var size int64 = -1
	if in, ok := wt.(pin.IncomingTransfer); ok {
		if n, ok := in.Size(); ok {
			size = n
		}
	}
	var buf bytes.Buffer
	_, err = wt.WriteTo(&buf)
	return buf.Bytes(), size, err
}

func random(n int) []byte {
	r := rand.NewChaCha8([32]byte{1})
	b := make([]byte, n)
	r.Read(b)
	return b
}

func TestGet(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "disk.efi"), random(200_000), 0o600); err != nil {
		t.Fatal(err)
	}
	mem := fstest.MapFS{
		"empty":          {},
		"exact":          {Data: random(1024)},
		"grub/grub.cfg":  {Data: []byte("config")},
		"big":            {Data: random(70_000 * 512)}, // more blocks than the counter has numbers
		"sub/dir/file.x": {Data: []byte("x")},
	}
	obs := &transfers{}
	addr := start(t, tftp.Options{}, boot.Tree{mem, os.DirFS(dir)}, obs)
	tests := map[string]struct {
		name    string
		blksize int
		want    []byte
	}{
		"plain":         {"disk.efi", 0, random(200_000)},
		"blksize":       {"disk.efi", 1428, random(200_000)},
		"exact blocks":  {"exact", 512, random(1024)},
		"empty":         {"empty", 512, nil},
		"leading slash": {"/grub/grub.cfg", 1428, []byte("config")},
		"double slash":  {"//grub//grub.cfg", 1428, []byte("config")},
		"backslash":     {`\grub\grub.cfg`, 1428, []byte("config")},
		"block wrap":    {"big", 512, random(70_000 * 512)},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got, size, err := get(t, addr, tt.name, tt.blksize)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, tt.want) {
				t.Errorf("got %d bytes, want %d (or they differ)", len(got), len(tt.want))
			}
			if len(tt.want) > 0 && size != int64(len(tt.want)) {
				t.Errorf("tsize is %d, want %d", size, len(tt.want))
			}
		})
	}
	for _, err := range obs.wait(t, len(tests)) {
		if err != nil {
			t.Errorf("observed failure: %v", err)
		}
	}
}

func TestRefused(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "secret"), []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	sub := filepath.Join(dir, "sub")
	if err := os.Mkdir(sub, 0o755); err != nil {
		t.Fatal(err)
	}
	root, err := os.OpenRoot(sub)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	if err := os.Symlink(filepath.Join(dir, "secret"), filepath.Join(sub, "link")); err != nil {
		t.Fatal(err)
	}
	addr := start(t, tftp.Options{}, boot.Tree{root.FS(), fstest.MapFS{"folder/file": {}}}, nil)
	for _, name := range []string{"none", "../secret", "/../secret", "a/../../secret", `..\secret`, "link", "folder", "/", ".", filepath.Join(dir, "secret"), "x\x00y"} {
		got, _, err := get(t, addr, name, 512)
		if err == nil {
			t.Errorf("%q was served: %q", name, got)
		} else if strings.Contains(err.Error(), dir) {
			t.Errorf("%q: the error names a path of the server: %v", name, err)
		}
	}
	c, err := pin.NewClient(addr)
	if err != nil {
		t.Fatal(err)
	}
	if rf, err := c.Send("upload", "octet"); err == nil {
		if _, err := rf.ReadFrom(strings.NewReader("text")); err == nil {
			t.Error("the server took a file")
		}
	}
}

// slow is a file whose reader waits until it is told to go on.
type slow struct {
	started chan struct{}
	resume  chan struct{}
}

func (s slow) Open(name string) (fs.File, error) {
	f, err := fstest.MapFS{"slow": {Data: random(100_000)}, "fast": {Data: []byte("fast")}}.Open(name)
	if err != nil || name != "slow" {
		return f, err
	}
	return slowFile{f, s}, nil
}

type slowFile struct {
	fs.File
	s slow
}

func (f slowFile) Read(p []byte) (int, error) {
	select {
	case f.s.started <- struct{}{}:
	default:
	}
	<-f.s.resume
	return f.File.Read(p)
}

func TestLimits(t *testing.T) {
	t.Run("transfers at a time", func(t *testing.T) {
		s := slow{make(chan struct{}, 1), make(chan struct{})}
		addr := start(t, tftp.Options{MaxTransfers: 1}, s, nil)
		done := make(chan error, 1)
		go func() {
			_, _, err := get(t, addr, "slow", 1428)
			done <- err
		}()
		<-s.started
		if _, _, err := get(t, addr, "fast", 512); err == nil || !strings.Contains(err.Error(), "busy") {
			t.Errorf("a second transfer: %v, want busy", err)
		}
		close(s.resume)
		if err := <-done; err != nil {
			t.Errorf("the first transfer: %v", err)
		}
		// The server learns of the end of the first a little later than its client.
		for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(5 * time.Millisecond) {
			got, _, err := get(t, addr, "fast", 512)
			if err == nil && string(got) == "fast" {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("afterwards: %q, %v", got, err)
			}
		}
	})
	t.Run("time", func(t *testing.T) {
		s := slow{make(chan struct{}, 1), make(chan struct{})}
		obs := &transfers{}
		addr := start(t, tftp.Options{TransferTimeout: time.Second}, s, obs)
		go func() {
			<-s.started
			time.Sleep(1500 * time.Millisecond)
			close(s.resume)
		}()
		if _, _, err := get(t, addr, "slow", 512); err == nil {
			t.Error("a transfer went on after its time")
		}
		if errs := obs.wait(t, 1); errs[0] == nil {
			t.Error("observed a success, want a failure")
		}
	})
	t.Run("stop", func(t *testing.T) {
		s := slow{make(chan struct{}, 1), make(chan struct{})}
		srv := tftp.NewServer(tftp.Options{Address: freePort(t)}, s, slog.New(slog.DiscardHandler), nil)
		if err := srv.Listen(t.Context()); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		stopped, got := make(chan error, 1), make(chan error, 1)
		go func() { stopped <- srv.Serve(ctx) }()
		go func() {
			_, _, err := get(t, srv.Addr().String(), "slow", 512)
			got <- err
		}()
		<-s.started
		cancel()
		close(s.resume)
		if err := <-stopped; err != nil {
			t.Errorf("Serve: %v", err)
		}
		if err := <-got; err == nil {
			t.Error("the transfer went on after the server had stopped")
		}
	})
}

func TestListenErrors(t *testing.T) {
	used, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer used.Close()
	tests := map[string]struct {
		opts tftp.Options
		want ferric.Code
	}{
		"no address":    {tftp.Options{}, ferric.CodeInvalid},
		"all addresses": {tftp.Options{Address: netip.MustParseAddrPort("0.0.0.0:6969")}, ferric.CodeInvalid},
		"IPv6":          {tftp.Options{Address: netip.MustParseAddrPort("[::1]:6969")}, ferric.CodeInvalid},
		"no transfers":  {tftp.Options{Address: freePort(t), MaxTransfers: -1}, ferric.CodeInvalid},
		"not ours":      {tftp.Options{Address: netip.MustParseAddrPort("192.0.2.1:6969")}, ferric.CodeUnavailable},
		"in use":        {tftp.Options{Address: used.LocalAddr().(*net.UDPAddr).AddrPort()}, ferric.CodeUnavailable},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			srv := tftp.NewServer(tt.opts, fstest.MapFS{}, slog.New(slog.DiscardHandler), nil)
			if err := srv.Listen(t.Context()); !ferric.IsCode(err, tt.want) {
				t.Errorf("error %v (code %s), want %s", err, ferric.ErrorCode(err), tt.want)
			}
		})
	}
}

// FuzzRequest sends any bytes to the port: the server must not fall over, and must serve the next client.
func FuzzRequest(f *testing.F) {
	for _, s := range []string{"", "\x00", "\x00\x01", "\x00\x01a", "\x00\x01a\x00octet\x00", "\x00\x02a\x00octet\x00", "\x00\x01file\x00netascii\x00blksize\x00999999\x00tsize\x000\x00",
		"\x00\x01file\x00octet\x00blksize\x00-1\x00", "\x00\x01file\x00octet\x00tsize\x00" + strings.Repeat("9", 400) + "\x00", "\x00\x03\x00\x01data", "\x00\x04\x00\x01", "\x00\x05\x00", "\x00\x06blksize\x00"} {
		f.Add([]byte(s))
	}
	addr := startFuzz(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		conn, err := net.Dial("udp4", addr)
		if err != nil {
			t.Fatal(err)
		}
		conn.Write(data) // may be too long for a datagram
		conn.Close()
		if got, _, err := get(t, addr, "file", 512); err != nil || string(got) != "contents" {
			t.Fatalf("after the packet: %q, %v", got, err)
		}
	})
}

// startFuzz is start for a fuzz test, whose clients go away in the middle: transfers end soon, and are not waited for.
func startFuzz(f *testing.F) string {
	f.Helper()
	srv := tftp.NewServer(tftp.Options{Address: freePort(f), MaxTransfers: 100_000, RetryTimeout: 10 * time.Millisecond}, fstest.MapFS{"file": {Data: []byte("contents")}}, slog.New(slog.DiscardHandler), nil)
	if err := srv.Listen(f.Context()); err != nil {
		f.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- srv.Serve(ctx) }()
	f.Cleanup(func() {
		cancel()
		if err := <-done; err != nil && !errors.Is(err, io.EOF) {
			f.Error(err)
		}
	})
	return srv.Addr().String()
}
