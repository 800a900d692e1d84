package main

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

	natsserver "github.com/nats-io/nats-server/v2/server"
)

// asFerric makes the test program be ferric, so that tests can kill real processes.
const asFerric = "FERRIC_TEST_IS_FERRIC"

// cluster is PostgreSQL, three NATS servers, and processes that share them.
type cluster struct {
	t      testing.TB // of the story that is told
	owner  testing.TB // at whose end the processes are killed
	dir    string
	nats   []*natsserver.Server
	shared []string
	procs  map[string]*process
	hosts  map[string]*netHost // where processes run, by name; others run where the test does
}

// process is one ferric.
type process struct {
	*exec.Cmd
	name, url string
	log       *os.File
	ended     chan struct{}
}

func newCluster(t testing.TB, settings ...string) *cluster {
	t.Helper()
	c := &cluster{t: t, owner: t, dir: t.TempDir(), procs: map[string]*process{}}
	var urls, routes []string
	for i := range 3 {
		s, err := natsserver.NewServer(&natsserver.Options{ServerName: fmt.Sprint("nats-", i), Host: "127.0.0.1", Port: natsserver.RANDOM_PORT, NoSigs: true, NoLog: true,
			MaxPayload: 8 << 20, Cluster: natsserver.ClusterOpts{Name: "ferric", Host: "127.0.0.1", Port: natsserver.RANDOM_PORT},
			Routes: natsserver.RoutesFromStr(strings.Join(routes, ","))})
		if err != nil {
			t.Fatal(err)
		}
		s.Start()
		t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
		if !s.ReadyForConnections(time.Minute) {
			t.Fatal("the NATS server does not start")
		}
		c.nats = append(c.nats, s)
		urls, routes = append(urls, s.ClientURL()), append(routes, "nats://"+s.ClusterAddr().String())
	}
	set := append([]string{"database.url=" + postgres.Fresh(t), "database.key_file=" + filepath.Join(c.dir, "key"), "bus.url=" + strings.Join(urls, ","),
		"conductor.sync_power_state_interval=0s", "log.format=json"}, settings...)
	for _, s := range set {
		c.shared = append(c.shared, "--set", s)
	}
	return c
}

// start runs a process and waits until it is ready.
func (c *cluster) start(name, roles string, more ...string) *process {
	c.t.Helper()
	listen := freeAddress(c.t)
	args := append([]string{"serve", "--host", name, "--roles", roles, "--data-dir", filepath.Join(c.dir, name), "--listen", listen}, c.shared...)
	if !strings.Contains(roles, "api") {
		args = append(args, "--set", "metrics.listen="+listen)
	}
	log, err := os.OpenFile(filepath.Join(c.dir, name+".log"), os.O_CREATE|os.O_APPEND|os.O_RDWR, 0o600)
	if err != nil {
		c.t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0], append(args, more...)...)
	if h := c.hosts[name]; h != nil {
		cmd = h.command(append([]string{os.Args[0]}, cmd.Args[1:]...)...)
		h.forward(nil, h, listen)
	}
	p := &process{Cmd: cmd, name: name, url: "http://" + listen, log: log, ended: make(chan struct{})}
	p.Env = append(os.Environ(), asFerric+"=1")
	p.Stderr = log
	if err := p.Start(); err != nil {
		c.t.Fatal(err)
	}
	go func() { _ = p.Wait(); close(p.ended) }()
	c.procs[name] = p
	c.owner.Cleanup(func() {
		p.kill()
		log.Close()
		if c.owner.Failed() {
			text, _ := os.ReadFile(log.Name())
			c.owner.Logf("log of %s:\n%s", name, text[max(0, len(text)-6000):])
		}
	})
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		if resp, err := http.Get(p.url + "/readyz"); err == nil {
			resp.Body.Close()
			if resp.StatusCode == 200 {
				return p
			}
		}
		select {
		case <-p.ended:
			c.t.Fatalf("%s has ended", name)
		default:
		}
		if time.Now().After(deadline) {
			c.t.Fatalf("%s does not become ready", name)
		}
	}
}

func freeAddress(t testing.TB) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().String()
}

// kill is kill -9. It returns when the process is gone.
func (p *process) kill() {
	_ = p.Process.Signal(syscall.SIGKILL)
	<-p.ended
}

// members waits until the API sees just these conductors alive.
func (c *cluster) members(api *process, want ...string) {
	c.t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		var alive []string
		_, body := c.request(api, "GET", "/v1/conductors", nil)
		for _, m := range body["conductors"].([]any) {
			if m := m.(map[string]any); m["alive"] == true {
				alive = append(alive, m["hostname"].(string))
			}
		}
		slices.Sort(alive)
		if slices.Equal(alive, want) {
			return
		}
		if time.Now().After(deadline) {
			c.t.Fatalf("alive are %v, want %v", alive, want)
		}
	}
}

// request makes a request. It must be answered, but may be refused.
func (c *cluster) request(api *process, method, path string, body any) (int, map[string]any) {
	c.t.Helper()
	status, out, err := ask(context.Background(), api, method, path, body)
	if err != nil {
		c.t.Errorf("%s %s: %v", method, path, err)
	}
	return status, out
}

func ask(ctx context.Context, api *process, method, path string, body any) (int, map[string]any, error) {
	b, err := json.Marshal(body)
	if err != nil {
		return 0, nil, err
	}
	req, err := http.NewRequestWithContext(ctx, method, api.url+path, bytes.NewReader(b))
	if err != nil {
		return 0, nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("X-OpenStack-Ironic-API-Version", "1.95")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	out := map[string]any{}
	if err == nil && len(raw) > 0 {
		if json.Unmarshal(raw, &out) != nil {
			out["body"] = string(raw)
		}
	}
	return resp.StatusCode, out, err
}

// must makes a request that has to succeed.
func (c *cluster) must(api *process, method, path string, body any) map[string]any {
	c.t.Helper()
	status, out := c.request(api, method, path, body)
	if status >= 300 {
		c.t.Fatalf("%s %s: %d %v", method, path, status, out)
	}
	return out
}

// reaches waits until a node is in a state and nobody works on it.
func (c *cluster) reaches(api *process, node, state string) map[string]any {
	c.t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(20 * time.Millisecond) {
		n := c.must(api, "GET", "/v1/nodes/"+node, nil)
		if n["provision_state"] == state && n["reservation"] == nil {
			return n
		}
		if time.Now().After(deadline) || strings.HasSuffix(fmt.Sprint(n["provision_state"]), "failed") {
			c.t.Fatalf("%s is %v and not %s: %v", node, n["provision_state"], state, n["last_error"])
		}
	}
}

// fake makes a node of fake hardware that is available.
func (c *cluster) fake(api *process, name string) {
	c.t.Helper()
	c.must(api, "POST", "/v1/nodes", map[string]any{"name": name, "driver": "fake-hardware", "automated_clean": false, "instance_info": map[string]any{"image_source": "http://images.example/i"}})
	for _, v := range []struct{ target, end string }{{"manage", "manageable"}, {"provide", "available"}} {
		c.must(api, "PUT", "/v1/nodes/"+name+"/states/provision", map[string]any{"target": v.target})
		c.reaches(api, name, v.end)
	}
}

// beginClean begins a slow manual cleaning of a manageable node and returns the conductor that does it.
func (c *cluster) beginClean(api *process, name string) *process {
	c.t.Helper()
	c.must(api, "PUT", "/v1/nodes/"+name+"/states/provision", map[string]any{"target": "clean", "clean_steps": []any{
		map[string]any{"interface": "deploy", "step": "erase_devices"}, map[string]any{"interface": "deploy", "step": "erase_devices"}}})
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		n := c.must(api, "GET", "/v1/nodes/"+name, nil)
		if step, _ := n["clean_step"].(map[string]any); step["step"] == "erase_devices" && n["reservation"] != nil {
			return c.procs[fmt.Sprint(n["reservation"])]
		}
		if time.Now().After(deadline) {
			c.t.Fatalf("%s is not being cleaned: %v", name, n)
		}
	}
}

// TestTakeOverOfProcesses ends the conductor that cleans a node, in all ways that there are, and each time another one must end the cleaning well.
func TestTakeOverOfProcesses(t *testing.T) {
	if testing.Short() {
		t.Skip("short: it starts many processes")
	}
	c := newCluster(t, "fake.clean_delay=2s")
	api := c.start("api-1", "api")
	all := []string{"conductor-1", "conductor-2", "conductor-3"}
	for _, name := range all {
		c.start(name, "conductor")
	}
	c.members(api, all...)
	c.fake(api, "n")
	c.must(api, "PUT", "/v1/nodes/n/states/provision", map[string]any{"target": "manage"})
	c.reaches(api, "n", "manageable")
	for name, end := range map[string]func(*process){
		"kill -9": func(p *process) { p.kill() },
		"SIGTERM": func(p *process) { _ = p.Process.Signal(syscall.SIGTERM) },
		"SIGSTOP": func(p *process) { _ = p.Process.Signal(syscall.SIGSTOP) },
	} {
		worker := c.beginClean(api, "n")
		began := time.Now()
		end(worker)
		for c.must(api, "GET", "/v1/nodes/n", nil)["reservation"] == worker.name {
			time.Sleep(10 * time.Millisecond)
		}
		t.Logf("%s: the lease was free or taken over after %s", name, time.Since(began).Round(time.Millisecond))
		n := c.reaches(api, "n", "manageable")
		if n["conductor"] == worker.name || n["last_error"] != nil {
			t.Errorf("%s: conductor %v, last error %v", name, n["conductor"], n["last_error"])
		}
		ops := c.must(api, "GET", "/ferric/v1/nodes/n/operations", nil)["operations"].([]any)
		newest := ops[0].(map[string]any)
		if newest["kind"] != "clean" || newest["status"] != "succeeded" || newest["conductor"] == worker.name {
			t.Errorf("%s: operation %v", name, newest)
		}
		rest := slices.DeleteFunc(slices.Clone(all), func(h string) bool { return h == worker.name })
		if name == "SIGTERM" {
			select {
			case <-worker.ended:
				if code := worker.ProcessState.ExitCode(); code != 0 {
					t.Errorf("%s ended with %d", worker.name, code)
				}
			case <-time.After(time.Minute):
				t.Errorf("%s does not stop", worker.name)
			}
		}
		c.members(api, rest...)
		worker.kill()
		c.start(worker.name, "conductor")
		c.members(api, all...)
	}
}

// TestNoRequestFails makes changes all the time while conductors and a NATS server are killed. None may fail, and each must be carried out once.
func TestNoRequestFails(t *testing.T) {
	if testing.Short() {
		t.Skip("short: it starts many processes")
	}
	c := newCluster(t)
	api := c.start("api-1", "api")
	all := []string{"conductor-1", "conductor-2", "conductor-3"}
	for _, name := range all {
		c.start(name, "conductor")
	}
	c.members(api, all...)
	const clients = 6
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var work sync.WaitGroup
	var counts [clients]int
	for i := range clients {
		node := fmt.Sprint("n", i)
		c.fake(api, node)
		work.Go(func() {
			// A refusal is a failure, too: the second carrying out of a request would be refused.
			step := func(status int, method, path string, body any) map[string]any {
				got, out, err := ask(context.Background(), api, method, path, body)
				if err != nil || got != status {
					t.Errorf("%s %s %v: %d %v %v", method, path, body, got, out, err)
				}
				return out
			}
			at := "/v1/nodes/" + node
			for n := 1; ctx.Err() == nil && !t.Failed(); n++ {
				step(200, "PATCH", at, []any{map[string]any{"op": "add", "path": "/extra/n", "value": n}})
				step(200, "PATCH", at, []any{map[string]any{"op": "add", "path": fmt.Sprint("/extra/a", n), "value": n}})
				port := step(201, "POST", "/v1/ports", map[string]any{"node_uuid": step(200, "GET", at, nil)["uuid"], "address": fmt.Sprintf("52:54:00:00:%02x:%02x", i, n%256)})
				step(204, "POST", at+"/vifs", map[string]any{"id": fmt.Sprint("vif-", n)})
				step(204, "DELETE", at+"/vifs/"+fmt.Sprint("vif-", n), nil)
				step(204, "DELETE", fmt.Sprint("/v1/ports/", port["uuid"]), nil)
				step(202, "PUT", at+"/states/power", map[string]any{"target": "rebooting"})
				step(204, "PUT", at+"/management/boot_device", map[string]any{"boot_device": "pxe"})
				made := step(201, "POST", "/v1/nodes", map[string]any{"driver": "fake-hardware", "name": fmt.Sprintf("x%d-%d", i, n)})
				step(204, "DELETE", fmt.Sprint("/v1/nodes/", made["uuid"]), nil)
				alloc := step(201, "POST", "/v1/allocations", map[string]any{"resource_class": "none-such", "name": fmt.Sprintf("a%d-%d", i, n)})
				step(204, "DELETE", fmt.Sprint("/v1/allocations/", alloc["uuid"]), nil)
				for _, v := range []struct{ target, end string }{{"manage", "manageable"}, {"provide", "available"}} {
					step(202, "PUT", at+"/states/provision", map[string]any{"target": v.target})
					c.reaches(api, node, v.end)
				}
				counts[i] = n
			}
		})
	}
	for round := range 4 {
		time.Sleep(2 * time.Second) // the clients get on
		victim := all[round%len(all)]
		c.procs[victim].kill()
		if round == 1 {
			c.nats[0].Shutdown()
		}
		time.Sleep(time.Second)
		if t.Failed() {
			break
		}
		c.start(victim, "conductor")
		c.members(api, all...)
	}
	cancel()
	work.Wait()
	done := 0
	for i, n := range counts {
		done += n
		extra := c.must(api, "GET", fmt.Sprint("/v1/nodes/n", i), nil)["extra"].(map[string]any)
		if len(extra) != n+1 {
			t.Errorf("n%d has %d additions of %d", i, len(extra), n)
		}
	}
	t.Logf("%d rounds of 15 changes", done)
	if done < clients {
		t.Errorf("only %d rounds: nothing was tried", done)
	}
}
