package main

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ferric"
)

func TestOperationStep(t *testing.T) {
	for name, c := range map[string]struct{ answer, step, waits string }{
		"running":     {`{"current_step": 1, "steps": [{"step": "a"}, {"step": "write_image"}]}`, "write_image", ""},
		"waiting":     {`{"current_step": 0, "waiting_for": {"what": "the agent"}, "steps": [{"step": "a"}]}`, "a", "the agent"},
		"ended":       {`{"current_step": 0, "ended_at": "2026-01-01T00:00:00+00:00", "steps": [{"step": "a"}]}`, "", ""},
		"passed over": {`{"status": "running", "current_step": 0, "steps": [{"step": "collect_logs", "clean_up": true}]}`, "", ""},
		"cleans up":   {`{"status": "failing", "current_step": 0, "steps": [{"step": "collect_logs", "clean_up": true}]}`, "collect_logs", ""},
		"none":        {`{"current_step": null, "steps": []}`, "", ""},
		"no steps":    {`{"current_step": 3}`, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			var op operation
			if err := json.Unmarshal([]byte(c.answer), &op); err != nil {
				t.Fatal(err)
			}
			if step, waits := op.step(); step != c.step || waits != c.waits {
				t.Errorf("got %q waiting for %q, want %q and %q", step, waits, c.step, c.waits)
			}
		})
	}
}

func TestAPI(t *testing.T) {
	answers := map[string]struct {
		code int
		body string
	}{
		"/v1/nodes/node-1":                        {200, `{"uuid": "u", "provision_state": "clean failed", "last_error": null, "maintenance": true}`},
		"/v1/nodes/gone":                          {404, `{"error_message": "{\"faultcode\": \"Client\", \"faultstring\": \"Node gone could not be found.\"}"}`},
		"/v1/nodes/busy":                          {503, `{"error_message": "{\"faultstring\": \"No conductor\"}"}`},
		"/v1/nodes/node-1/ports":                  {200, `{"ports": [{"address": "52:54:00:77:00:01"}]}`},
		"/ferric/v1/nodes/node-1/operations":      {200, `{"operations": [{"id": "op-1"}]}`},
		"/ferric/v1/operations/op-1":              {200, `{"id": "op-1", "current_step": 0, "steps": [{"step": "deploy"}]}`},
		"/ferric/v1/nodes/without-any/operations": {200, `{"operations": []}`},
		"/ferric/v1/nodes/node-ended/operations":  {200, `{"operations": [{"id": "op-0", "ended_at": "2026-01-01T00:00:00+00:00"}]}`},
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if v := r.Header.Get("X-OpenStack-Ironic-API-Version"); v != "latest" {
			t.Errorf("%s: version %q", r.URL, v)
		}
		a, ok := answers[r.URL.Path]
		if !ok {
			t.Errorf("unexpected request for %s", r.URL)
		}
		w.WriteHeader(a.code)
		_, _ = w.Write([]byte(a.body))
	}))
	defer server.Close()
	a := &api{base: server.URL, client: server.Client()}
	ctx := t.Context()
	n, err := a.node(ctx, "node-1")
	if err != nil || n.ProvisionState != "clean failed" || !n.Maintenance || n.LastError != "" {
		t.Errorf("node: %+v, %v", n, err)
	}
	if _, err := a.node(ctx, "gone"); !ferric.IsCode(err, ferric.CodeNotFound) || !strings.Contains(err.Error(), "Node gone could not be found.") {
		t.Errorf("a node that is not there: %v", err)
	}
	if _, err := a.node(ctx, "busy"); !away(err) {
		t.Errorf("503: %v is not something to wait for", err)
	}
	if ports, err := a.ports(ctx, "node-1"); err != nil || len(ports) != 1 {
		t.Errorf("ports: %v, %v", ports, err)
	}
	if op, err := a.operation(ctx, "node-1"); err != nil || len(op.Steps) != 1 {
		t.Errorf("operation: %+v, %v", op, err)
	}
	if op, err := a.operation(ctx, "node-ended"); err != nil || op.ID != "op-0" {
		t.Errorf("operation that ended: %+v, %v", op, err)
	}
	if _, err := a.operation(ctx, "without-any"); !ferric.IsCode(err, ferric.CodeNotFound) {
		t.Errorf("no operation: %v", err)
	}
	server.Close()
	if _, err := a.node(ctx, "node-1"); !away(err) {
		t.Errorf("Ferric is down: %v is not something to wait for", err)
	}
}

func TestIsService(t *testing.T) {
	line := func(args ...string) []byte { return []byte(strings.Join(args, "\x00") + "\x00") }
	for name, c := range map[string]struct {
		cmdline []byte
		want    bool
	}{
		"ours":           {line(serveArgs("bin/ferric", "/d/data")...), true},
		"other data":     {line(serveArgs("bin/ferric", "/d/data2")...), false},
		"still ip":       {line(append([]string{"ip", "netns", "exec", "x"}, serveArgs("bin/ferric", "/d/data")...)...), false},
		"other program":  {line(serveArgs("bin/ferric-agent", "/d/data")...), false},
		"other command":  {line("bin/ferric", "lab", "--data-dir", "/d/data"), false},
		"flag at end":    {line("bin/ferric", "serve", "x", "--data-dir"), false},
		"kernel thread":  {nil, false},
		"editor with it": {line("vi", "serve", "--data-dir", "/d/data"), false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := isService(c.cmdline, "/d/data"); got != c.want {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}

func TestStopServiceLeavesOthersAlone(t *testing.T) {
	data := t.TempDir()
	stopped, err := stopService(t.Context(), data)
	if stopped || err != nil {
		t.Errorf("stopped %v, %v, where nothing runs", stopped, err)
	}
}

func TestStopServiceEndsIt(t *testing.T) {
	// The command line is what counts: a shell that is called ferric and runs the script "serve".
	dir, data := t.TempDir(), t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "serve"), []byte("while :; do sleep 0.1; done\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("bash", "-c", `exec -a ferric bash serve --data-dir "$1"`, "bash", data)
	cmd.Dir = dir
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	gone := make(chan struct{})
	go func() { _ = cmd.Wait(); close(gone) }()
	for deadline := time.Now().Add(time.Minute); findService(data) != cmd.Process.Pid; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the process is not found")
		}
	}
	stopped, err := stopService(t.Context(), data)
	if !stopped || err != nil {
		t.Errorf("stopped %v, %v", stopped, err)
	}
	<-gone
}

func TestClientEnvironment(t *testing.T) {
	got := client([]string{"PATH=/bin", "OS_CLOUD=work", "OS_AUTH_TYPE=password", "http_proxy=http://p", "HTTPS_PROXY=http://p", "HOME=/home/me"})
	want := []string{"PATH=/bin", "HOME=/home/me", "OS_AUTH_TYPE=none", "OS_ENDPOINT=http://127.0.0.1:6385"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestConfigDrive(t *testing.T) {
	text, err := configDrive("web-1", "ssh-ed25519 AAAA demo")
	if err != nil {
		t.Fatal(err)
	}
	want := `{"meta_data":{"hostname":"web-1","public_keys":{"demo":"ssh-ed25519 AAAA demo"}}}`
	if text != want {
		t.Errorf("got %s, want %s", text, want)
	}
}

func TestNeighbour(t *testing.T) {
	table := []byte(`[{"dst":"10.77.0.101","state":["FAILED"]},{"dst":"fe80::1","lladdr":"52:54:00:77:00:01","state":["STALE"]},
		{"dst":"10.77.0.100","lladdr":"52:54:00:77:00:01","state":["REACHABLE"]}]`)
	got, err := neighbour(table, "52:54:00:77:00:01")
	if err != nil || got != netip.MustParseAddr("10.77.0.100") {
		t.Errorf("got %v, %v", got, err)
	}
	if _, err := neighbour(table, "52:54:00:77:00:02"); err == nil {
		t.Error("a machine that is not there was found")
	}
	if _, err := neighbour([]byte("[{"), ""); err == nil {
		t.Error("a broken table was taken")
	}
}

func TestCheckWiped(t *testing.T) {
	const size = 3 * diskEdge
	for name, c := range map[string]struct {
		at   int64 // of a byte that is not zero; -1: none
		want bool  // wiped
	}{
		"empty": {-1, true}, "boot loader": {0, false}, "GPT": {512, false}, "backup GPT": {size - 1, false}, "leftover data": {size / 2, true},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "disk")
			f, err := os.Create(path)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			if err := f.Truncate(size); err != nil {
				t.Fatal(err)
			}
			if c.at >= 0 {
				if _, err := f.WriteAt([]byte{0x55}, c.at); err != nil {
					t.Fatal(err)
				}
			}
			if err := checkWiped(path); (err == nil) != c.want {
				t.Errorf("got %v, want wiped: %v", err, c.want)
			}
		})
	}
}

func TestFailure(t *testing.T) {
	cause := errors.New("no such disk")
	err := fail("deploy", "node-1", cause)
	if got, want := err.Error(), "deploy of node-1: no such disk"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if again := fail("the demo", "", err); again != err {
		t.Errorf("a failure that knows its place was given another one: %v", again)
	}
	if fail("x", "", nil) != nil {
		t.Error("no error became one")
	}
	if !errors.Is(err, cause) {
		t.Error("the cause is lost")
	}
}

func TestReport(t *testing.T) {
	dir := t.TempDir()
	var out strings.Builder
	d := &demo{dir: filepath.Join(dir, "build/demo"), cwd: dir, screen: &screen{out: &out, now: time.Now}}
	if err := os.MkdirAll(d.path("data", "deploy-logs"), 0o755); err != nil {
		t.Fatal(err)
	}
	for path, text := range map[string]string{
		d.path("ferric.log"):                         strings.Repeat("old\n", 100) + "level=INFO msg=request request_id=req-1 method=GET path=/v1/nodes/node-1 status=200 took=1ms\nlevel=ERROR msg=\"it broke\"\n",
		d.path("data", "deploy-logs", "node.tar.gz"): "",
	} {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	d.report(fail("inspect", "node-1", verdictError(node{ProvisionState: "inspect failed", LastError: "no agent called"})))
	got := out.String()
	for _, want := range []string{"FAILED: inspect of node-1\n", `the node is "inspect failed": no agent called`, `msg="it broke"`,
		"Logs: build/demo/ferric.log, build/demo/data/deploy-logs\n"} {
		if !strings.Contains(got, want) {
			t.Errorf("the report lacks %q:\n%s", want, got)
		}
	}
	if strings.Contains(got, "req-1") {
		t.Errorf("the demo's own requests are shown:\n%s", got)
	}
	if n := strings.Count(got, "old"); n != reportLines-1 {
		t.Errorf("%d old lines, want %d", n, reportLines-1)
	}
}

func TestWasInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	if wasInterrupted(ctx, errors.New("x")) {
		t.Error("a failure counts as Ctrl-C")
	}
	cancel()
	if !wasInterrupted(ctx, fail("deploy", "node-1", ctx.Err())) {
		t.Error("Ctrl-C counts as a failure")
	}
	if wasInterrupted(ctx, nil) {
		t.Error("a run that came to its end was interrupted")
	}
}

func TestForgetKeepsWhatWasBuilt(t *testing.T) {
	d := &demo{dir: t.TempDir()}
	for _, name := range []string{"data/ramdisk/kernel", "data/user-images/x", "data/ferric.db", "data/images/cache/y", "ferric.log", "done", "key"} {
		if err := os.MkdirAll(filepath.Dir(d.path(name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(d.path(name), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 { // nothing there is fine, too
		if err := d.forget(); err != nil {
			t.Fatal(err)
		}
	}
	var got []string
	for _, name := range []string{"data/ramdisk/kernel", "data/user-images/x", "data/ferric.db", "data/images", "ferric.log", "done", "key"} {
		if exist(d.path(name)) {
			got = append(got, name)
		}
	}
	if diff := cmp.Diff([]string{"data/ramdisk/kernel", "data/user-images/x", "key"}, got); diff != "" {
		t.Error(diff)
	}
}

// TestSuggestions lets a shell look at what people are asked to copy.
func TestSuggestions(t *testing.T) {
	for name, d := range map[string]*demo{
		"usual":     {dir: "/home/me/ferric/build/demo", cwd: "/home/me/ferric", name: "ferric-demo", ferric: "bin/ferric", image: "/home/me/ferric/build/demo/x.qcow2"},
		"elsewhere": {dir: "/srv/it's here", cwd: "/home/me/ferric", name: "other", ferric: "bin/ferric", image: "/srv/it's here/x.qcow2"},
	} {
		t.Run(name, func(t *testing.T) {
			text := d.suggestions("node-1")
			if out, err := exec.CommandContext(t.Context(), "bash", "-n", "-c", text).CombinedOutput(); err != nil {
				t.Errorf("%v: %s\n%s", err, out, text)
			}
			if usual := strings.Contains(text, "go run ./demo --down\n") || strings.HasSuffix(text, "go run ./demo --down"); usual != (name == "usual") {
				t.Errorf("flags: %s", text)
			}
			if strings.Contains(text, d.cwd) {
				t.Errorf("a path of this machine: %s", text)
			}
		})
	}
}
