package openstack

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
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// binary builds ferric, once.
var binary = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "ferric-openstack-")
	if err != nil {
		return "", err
	}
	built = dir
	path := filepath.Join(dir, "ferric")
	if out, err := exec.Command("go", "build", "-o", path, "ferric/cmd/ferric").CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return path, nil
})

var built string // the folder of the binary; set by binary

func TestMain(m *testing.M) {
	code := m.Run()
	if built != "" {
		os.RemoveAll(built)
	}
	os.Exit(code)
}

// ferric is a running "ferric serve" of a test, with a database of its own.
type ferric struct {
	URL   string
	Data  string // its data_dir; survives restart
	cloud *cloud
	flags []string
	env   []string
	cmd   *exec.Cmd
	log   *locked
	token string // sent with requests, "" for none
}

// locked is a buffer that a process writes to while a test reads it.
type locked struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *locked) Write(p []byte) (int, error) { l.mu.Lock(); defer l.mu.Unlock(); return l.b.Write(p) }
func (l *locked) String() string              { l.mu.Lock(); defer l.mu.Unlock(); return l.b.String() }

// start runs Ferric with fake-hardware, logged in to the cloud as its service user, and stops it when the test ends. A setting is
// "section.name=value"; "api.listen=…" moves it from a free port to a known one. A variable ("NAME=value") in upper case goes into
// its environment.
func (c *cloud) start(t *testing.T, settings ...string) *ferric {
	t.Helper()
	f := &ferric{cloud: c, Data: t.TempDir(), log: &locked{}, env: append(slices.DeleteFunc(os.Environ(), func(v string) bool {
		return strings.HasPrefix(v, "OS_") || strings.HasPrefix(v, "FERRIC_")
	}), c.env(c.Service)...)}
	address := ""
	for _, s := range settings {
		name, value, _ := strings.Cut(s, "=")
		switch {
		case name == "api.listen":
			address = value
		case name == strings.ToUpper(name):
			f.env = append(f.env, s)
		default:
			f.flags = append(f.flags, "--set", s)
		}
	}
	if address == "" {
		address = freeAddress(t)
	}
	f.URL = "http://" + address
	f.flags = append([]string{"serve", "--data-dir", f.Data, "--listen", address, "--roles", "api,conductor",
		"--set", "drivers.enabled_hardware_types=fake-hardware"}, f.flags...)
	f.run(t)
	t.Cleanup(func() {
		f.stop()
		if t.Failed() {
			t.Logf("ferric said:\n%s", f.log.String())
		}
	})
	return f
}

// freeAddress is an address on loopback where nobody listens.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	defer l.Close()
	return l.Addr().String()
}

// run starts the process and waits until it is up; after stop or kill it starts it again.
func (f *ferric) run(t *testing.T) {
	t.Helper()
	path, err := binary()
	check(t, err)
	f.cmd = exec.Command(path, f.flags...)
	f.cmd.Env, f.cmd.Stdout, f.cmd.Stderr = f.env, f.log, f.log
	check(t, f.cmd.Start())
	for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(50 * time.Millisecond) {
		resp, err := http.Get(f.URL + "/healthcheck")
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return
			}
		}
		if time.Now().After(deadline) {
			f.stop()
			t.Fatalf("ferric serve did not come up: %v\n%s", err, f.log.String())
		}
	}
}

// stop ends the process as an operator would.
func (f *ferric) stop() {
	if f.cmd.ProcessState != nil {
		return
	}
	_ = f.cmd.Process.Signal(syscall.SIGTERM)
	kill := time.AfterFunc(30*time.Second, func() { _ = f.cmd.Process.Kill() })
	_ = f.cmd.Wait()
	kill.Stop()
}

// kill ends the process without a goodbye.
func (f *ferric) kill() {
	_ = f.cmd.Process.Kill()
	_ = f.cmd.Wait()
}

// command runs another subcommand of the binary in the environment of the service user, and returns what it printed.
func (c *cloud) command(t *testing.T, args ...string) (string, error) {
	t.Helper()
	path, err := binary()
	check(t, err)
	cmd := exec.CommandContext(t.Context(), path, args...)
	cmd.Env = append(os.Environ(), c.env(c.Service)...)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// call makes a request of Ferric's API, with a body unless it is nil, and returns status and answer.
func (f *ferric) call(ctx context.Context, method, path string, body any) (int, map[string]any, error) {
	var send io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return 0, nil, err
		}
		send = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, f.URL+path, send)
	if err != nil {
		return 0, nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("X-OpenStack-Ironic-API-Version", "latest")
	if f.token != "" {
		req.Header.Set("X-Auth-Token", f.token)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, nil, err
	}
	var answer map[string]any
	if len(raw) > 0 {
		if err := json.Unmarshal(raw, &answer); err != nil {
			return resp.StatusCode, nil, fmt.Errorf("%s %s answered %d with %q: %w", method, path, resp.StatusCode, raw, err)
		}
	}
	return resp.StatusCode, answer, nil
}

// must makes a request that has to succeed, and returns the answer.
func (f *ferric) must(t *testing.T, method, path string, body any) map[string]any {
	t.Helper()
	status, answer, err := f.call(t.Context(), method, path, body)
	if err != nil || status >= 300 {
		t.Fatalf("%s %s: status %d, %v %v", method, path, status, answer, err)
	}
	return answer
}

// node makes a node with fields of its own; it returns its UUID.
func (f *ferric) node(t *testing.T, fields map[string]any) string {
	t.Helper()
	body := map[string]any{"driver": "fake-hardware"}
	for k, v := range fields {
		body[k] = v
	}
	id, _ := f.must(t, http.MethodPost, "/v1/nodes", body)["uuid"].(string)
	return id
}

// provision asks for a provision verb and waits for the state that it ends in.
func (f *ferric) provision(t *testing.T, node, target, want string) map[string]any {
	t.Helper()
	f.must(t, http.MethodPut, "/v1/nodes/"+node+"/states/provision", map[string]any{"target": target})
	return f.until(t, node, want)
}

// until waits until nobody works on a node and it is in a state, for up to two minutes.
func (f *ferric) until(t *testing.T, node, want string) map[string]any {
	t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(50 * time.Millisecond) {
		n := f.must(t, http.MethodGet, "/v1/nodes/"+node, nil)
		if n["provision_state"] == want && n["reservation"] == nil {
			return n
		}
		state, _ := n["provision_state"].(string)
		if time.Now().After(deadline) || strings.HasSuffix(state, "failed") && n["reservation"] == nil {
			t.Fatalf("node %s is %q (target %v, reserved by %v), want %q: %v", node, state, n["target_provision_state"], n["reservation"], want, n["last_error"])
		}
	}
}
