package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"ferric/lab"
	"ferric/lab/userimage"

	"golang.org/x/sys/unix"
)

// site is a lab with a Ferric that serves it.
type site struct {
	t     testing.TB
	lab   *lab.Lab
	dir   string // of Ferric's data
	bin   string // of the binaries
	image userimage.Image

	client *http.Client
	serve  *exec.Cmd
	log    *os.File
}

// root returns the top of the source tree.
func root(t testing.TB) string {
	t.Helper()
	dir, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// newSite builds what is needed (or takes it from the cache), sets the lab up and starts Ferric.
// ramdisk are further arguments for the building of the ramdisk.
func newSite(t testing.TB, spec lab.Spec, ramdisk ...string) *site {
	t.Helper()
	if os.Getenv("FERRIC_QEMU") == "" {
		t.Skip("boots machines in QEMU: set FERRIC_QEMU=1 and run as root (make test does)")
	}
	if os.Geteuid() != 0 {
		t.Fatal("FERRIC_QEMU=1 needs root: network namespaces, DHCP")
	}
	s := &site{t: t, dir: t.TempDir(), bin: t.TempDir()}
	s.build(ramdisk)
	var err error
	s.image, err = userimage.Build(t.Context(), userimage.Recipe{}, userimage.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if s.image, err = s.image.CopyTo(t.Context(), filepath.Join(s.dir, "user-images")); err != nil {
		t.Fatal(err)
	}
	spec.Name = fmt.Sprintf("fe2e-%d", os.Getpid())
	spec.Dir = filepath.Join(t.TempDir(), "lab")
	spec.Self = []string{filepath.Join(s.bin, "ferric"), "lab"}
	s.lab, err = lab.Up(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if t.Failed() {
			s.keepEvidence()
		}
		s.kill()
		if strangers, err := s.lab.Down(ctx); err != nil || len(strangers) > 0 {
			t.Errorf("lab down: %v, left over: %v", err, strangers)
		}
	})
	s.client = &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{DialContext: s.dial, DisableKeepAlives: true}}
	s.start()
	return s
}

// build builds the binaries and the ramdisk.
func (s *site) build(ramdisk []string) {
	s.t.Helper()
	for _, name := range []string{"ferric", "ferric-agent"} {
		cmd := exec.CommandContext(s.t.Context(), "go", "build", "-trimpath", "-ldflags=-s -w", "-o", filepath.Join(s.bin, name), "./cmd/"+name)
		cmd.Dir = root(s.t)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			s.t.Fatalf("build %s: %v\n%s", name, err, out)
		}
	}
	s.run(filepath.Join(s.bin, "ferric"), append([]string{"ramdisk", "build", "--out", filepath.Join(s.dir, "ramdisk")}, ramdisk...)...)
}

// run runs a program that must succeed.
func (s *site) run(name string, args ...string) string {
	s.t.Helper()
	out, err := exec.CommandContext(s.t.Context(), name, args...).CombinedOutput()
	if err != nil {
		s.t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// start starts `ferric serve` and waits until it is healthy.
func (s *site) start() {
	s.t.Helper()
	s.launch()
	s.healthy()
}

// launch starts `ferric serve` in the lab's namespace.
func (s *site) launch() {
	s.t.Helper()
	if s.log == nil {
		var err error
		if s.log, err = os.Create(filepath.Join(s.dir, "serve.log")); err != nil {
			s.t.Fatal(err)
		}
	}
	s.serve = s.lab.Command(context.Background(), filepath.Join(s.bin, "ferric"), "serve", "--data-dir", s.dir, "--host", "conductor-1",
		"--boot-interface", lab.Bridge, "--set", "boot.dhcp=server", "--set", "boot.dhcp_range=10.77.0.100-10.77.0.199",
		// An emulated machine can be too slow for the kernel's check of its timer.
		"--set", "boot.kernel_append_params=console=tty0 console=ttyS0,115200n8 no_timer_check",
		"--set", "boot.router_advertisements=true", "--set", "deploy.boot_retry_timeout=3m", "--set", "conductor.sync_power_state_interval=10s", "--log-level", "debug")
	s.serve.Stdout, s.serve.Stderr = s.log, s.log
	if err := s.serve.Start(); err != nil {
		s.t.Fatal(err)
	}
}

// healthy waits until Ferric says that it is.
func (s *site) healthy() {
	s.t.Helper()
	deadline := time.Now().Add(time.Minute)
	for {
		resp, err := s.client.Get("http://127.0.0.1:6385/healthcheck")
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return
			}
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("ferric serve does not come up: %v\n%s", err, s.tail())
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// kill ends Ferric as a power cut would: no goodbye.
func (s *site) kill() {
	if s.serve == nil {
		return
	}
	// `ip netns exec` replaces itself by the program, so this is the service.
	s.serve.Process.Signal(syscall.SIGKILL)
	s.serve.Wait()
	s.serve = nil
}

func (s *site) tail() string {
	b, err := os.ReadFile(filepath.Join(s.dir, "serve.log"))
	if err != nil {
		return err.Error()
	}
	return string(b[max(0, len(b)-6000):])
}

// keepEvidence prints what a person would look at first.
func (s *site) keepEvidence() {
	s.t.Logf("the end of Ferric's log:\n%s", s.tail())
	for _, m := range s.lab.Machines() {
		if b, err := os.ReadFile(m.Log()); err == nil {
			s.t.Logf("the end of %s's console:\n%s", m.Name, b[max(0, len(b)-4000):])
		}
	}
}

// dial connects from inside the lab's namespace.
func (s *site) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	type result struct {
		conn net.Conn
		err  error
	}
	got := make(chan result, 1)
	go func() {
		conn, err := s.dialInside(ctx, network, addr)
		got <- result{conn, err}
	}()
	r := <-got
	return r.conn, r.err
}

// dialInside connects in a thread that visits the namespace meanwhile. A socket belongs to the namespace that it was made in.
func (s *site) dialInside(ctx context.Context, network, addr string) (net.Conn, error) {
	home, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return nil, err
	}
	defer home.Close()
	ns, err := os.Open("/run/netns/" + s.lab.Name())
	if err != nil {
		return nil, err
	}
	defer ns.Close()
	runtime.LockOSThread()
	if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
		runtime.UnlockOSThread()
		return nil, err
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, network, addr)
	if back := unix.Setns(int(home.Fd()), unix.CLONE_NEWNET); back == nil {
		runtime.UnlockOSThread() // else the thread ends with the goroutine
	}
	return conn, err
}

// call makes a request to the API and returns the status and the answer. body may be nil.
func (s *site) call(method, path string, body any) (int, map[string]any) {
	s.t.Helper()
	var in io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			s.t.Fatal(err)
		}
		in = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(s.t.Context(), method, "http://127.0.0.1:6385"+path, in)
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("X-OpenStack-Ironic-API-Version", "1.95")
	resp, err := s.client.Do(req)
	if err != nil {
		return 0, map[string]any{"error_message": err.Error()}
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, map[string]any{"error_message": err.Error()}
	}
	out := map[string]any{}
	if len(b) > 0 {
		if err := json.Unmarshal(b, &out); err != nil {
			out["error_message"] = string(b)
		}
	}
	return resp.StatusCode, out
}

// must is call with an answer below 300.
func (s *site) must(method, path string, body any) map[string]any {
	s.t.Helper()
	code, out := s.call(method, path, body)
	if code == 0 || code >= 300 {
		s.t.Fatalf("%s %s: %d %v", method, path, code, out["error_message"])
	}
	return out
}
