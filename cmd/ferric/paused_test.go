package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"ferric/lab/bmc"
)

// TestCluster tells stories of one cluster of processes: what its metrics show, what a conductor may do that was paused, and how processes are told to stop.
func TestCluster(t *testing.T) {
	if testing.Short() {
		t.Skip("short: it starts many processes, and the race detector sees nothing of them")
	}
	first := freeAddress(t)
	_, port, err := net.SplitHostPort(first)
	if err != nil {
		t.Fatal(err)
	}
	from, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	c := newCluster(t, "conductor.drain_timeout=1s", "api.drain_delay=1s",
		fmt.Sprint("console.first_port=", min(from, 65000)), fmt.Sprint("console.last_port=", min(from, 65000)+200))
	api := c.start("api-1", "api")
	for _, name := range conductors {
		c.conductor(name)
	}
	c.members(api, conductors...)
	t.Run("metrics", func(t *testing.T) { c.t = t; metricsOfCluster(t, c, api) })
	t.Run("paused", func(t *testing.T) { c.t = t; pausedConductor(t, c, api) })
	t.Run("drain", func(t *testing.T) { c.t = t; drainEnds(t, c, api) })
	t.Run("second signal", func(t *testing.T) { c.t = t; secondSignal(t, c, api) })
	t.Run("drain delay", func(t *testing.T) { c.t = t; drainDelay(t, c) })
}

// slow is the conductor whose machines take a minute to be cleaned; those of the others take no time.
const slow = "conductor-1"

var conductors = []string{slow, "conductor-2", "conductor-3"}

// conductor starts a conductor.
func (c *cluster) conductor(name string, more ...string) *process {
	c.t.Helper()
	if name == slow {
		more = append(more, "--set", "fake.clean_delay=1m")
	}
	return c.start(name, "conductor", more...)
}

// nodeOf makes nodes until one belongs to a conductor, and takes that one to manageable.
func (c *cluster) nodeOf(api *process, host, prefix string) string {
	c.t.Helper()
	for i := range 200 {
		name := fmt.Sprint(prefix, i)
		c.must(api, "POST", "/v1/nodes", map[string]any{"name": name, "driver": "fake-hardware"})
		c.must(api, "PUT", "/v1/nodes/"+name+"/states/provision", map[string]any{"target": "manage"})
		if c.reaches(api, name, "manageable")["conductor"] == host {
			return name
		}
	}
	c.t.Fatalf("the ring gives no node to %s", host)
	return ""
}

// metric is a value of a process's /metrics: the sum over all labels that begin like the one given.
func (c *cluster) metric(p *process, name string) float64 {
	c.t.Helper()
	resp, err := http.Get(p.url + "/metrics")
	if err != nil {
		c.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != 200 {
		c.t.Fatalf("/metrics of %s: %d, %v", p.name, resp.StatusCode, err)
	}
	sum, found := 0.0, false
	for line := range strings.Lines(string(text)) {
		rest, is := strings.CutPrefix(line, name)
		if !is || rest[0] != ' ' && rest[0] != '{' {
			continue
		}
		v, err := strconv.ParseFloat(strings.TrimSpace(line[strings.LastIndexByte(line, ' '):]), 64)
		if err != nil {
			c.t.Fatal(err)
		}
		sum, found = sum+v, true
	}
	if !found && !strings.HasSuffix(name, "_total") && !strings.HasPrefix(name, "ferric_operations") { // these are there once there is something to count
		c.t.Fatalf("%s has no metric %s", p.name, name)
	}
	return sum
}

// shows waits until a metric has a value, over all processes given.
func (c *cluster) shows(name string, want float64, in ...string) {
	c.t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		sum := 0.0
		for _, host := range in {
			sum += c.metric(c.procs[host], name)
		}
		if sum == want {
			return
		}
		if time.Now().After(deadline) {
			c.t.Fatalf("%s of %v is %v, want %v", name, in, sum, want)
		}
	}
}

func without(host string) []string {
	return slices.DeleteFunc(slices.Clone(conductors), func(h string) bool { return h == host })
}

// metricsOfCluster reads what an operator watches: ring, operations, leases. A dead conductor shows, and so does who carries its work on.
func metricsOfCluster(t *testing.T, c *cluster, api *process) {
	node := c.nodeOf(api, slow, "m")
	nodes := float64(len(c.must(api, "GET", "/v1/nodes", nil)["nodes"].([]any)))
	c.shows("ferric_ring_members", 9, conductors...)
	for _, host := range append(conductors, "api-1") {
		c.shows("ferric_bus_connected", 1, host)
		c.shows("ferric_operations", 0, host)
	}
	worker := c.beginClean(api, node)
	if worker.name != slow {
		t.Fatalf("%s cleans, and not %s", worker.name, slow)
	}
	alive := without(slow)
	c.shows("ferric_leases_held", 1, slow)
	c.shows("ferric_leases_held", 0, alive...)
	c.shows(`ferric_operations{lane="provision",operation="clean",status="running"}`, 1, "api-1")
	c.shows("ferric_operations_taken_over_total", 0, alive...)
	worker.kill()
	c.shows("ferric_ring_members", 4, alive...)
	c.shows("ferric_ring_nodes", nodes, alive...)
	if n := c.reaches(api, node, "manageable"); n["last_error"] != nil {
		t.Error(n["last_error"])
	}
	c.shows("ferric_operations_taken_over_total", 1, alive...)
	c.shows("ferric_operations", 0, "api-1")
	c.shows("ferric_leases_held", 0, alive...)
	c.conductor(slow)
	c.shows("ferric_ring_members", 9, conductors...)
	c.shows("ferric_ring_nodes", nodes, conductors...)
}

// box is a machine that is on or off, and whose console notes what is typed.
type box struct {
	mu    sync.Mutex
	on    bool
	turns int
	typed bytes.Buffer
}

func (b *box) set(on bool) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.on != on {
		b.turns++
	}
	b.on = on
	return nil
}

func (b *box) state() (on bool, turns int, typed string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.on, b.turns, b.typed.String()
}

func (b *box) PowerState(context.Context) (bool, error) { on, _, _ := b.state(); return on, nil }
func (b *box) PowerOn(context.Context) error            { return b.set(true) }
func (b *box) PowerOff(context.Context) error           { return b.set(false) }
func (b *box) SoftOff(context.Context) error            { return b.set(false) }
func (b *box) Reset(context.Context) error              { return nil }
func (b *box) NMI(context.Context) error                { return nil }

// console repeats what is typed.
func (b *box) console(context.Context) (io.ReadWriteCloser, error) {
	near, far := net.Pipe()
	go io.Copy(io.MultiWriter(far, noted{b}), far)
	return near, nil
}

type noted struct{ b *box }

func (n noted) Write(p []byte) (int, error) {
	n.b.mu.Lock()
	defer n.b.mu.Unlock()
	return n.b.typed.Write(p)
}

// pausedConductor stops a conductor with SIGSTOP while it sends a command to a BMC again and again, and a client types at the console that it serves. Others
// take the node over. When the conductor goes on, the BMC hears nothing of it but the end of its session, and what was typed reaches nobody.
func pausedConductor(t *testing.T, c *cluster, api *process) {
	machine := &box{}
	server, err := bmc.Start(machine, bmc.Options{Users: []bmc.User{{Name: "admin", Password: "pw"}}, Console: machine.console})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	c.must(api, "POST", "/v1/nodes", map[string]any{"name": "ipmi", "driver": "ipmi", "driver_info": map[string]any{"ipmi_address": server.Addr().IP.String(),
		"ipmi_port": server.Addr().Port, "ipmi_username": "admin", "ipmi_password": "pw"}})
	c.must(api, "PUT", "/v1/nodes/ipmi/states/provision", map[string]any{"target": "manage"})
	c.reaches(api, "ipmi", "manageable")
	c.must(api, "PUT", "/v1/nodes/ipmi/states/console", map[string]any{"enabled": true})
	where := ""
	wait(t, "the console is there", func() bool {
		info, _ := c.must(api, "GET", "/v1/nodes/ipmi/states/console", nil)["console_info"].(map[string]any)
		where, _ = info["url"].(string)
		return where != ""
	})
	terminal := echo(t, where)
	defer terminal.Close()
	worker := c.procs[fmt.Sprint(c.must(api, "GET", "/v1/nodes/ipmi", nil)["conductor"])]
	c.shows("ferric_ipmi_sessions", 2, worker.name) // commands and console

	server.SetFaults(bmc.Faults{Silent: true})
	heard := server.Stats().Datagrams
	c.must(api, "PUT", "/v1/nodes/ipmi/states/power", map[string]any{"target": "power on"})
	wait(t, "the command is sent", func() bool { return server.Stats().Datagrams > heard })
	if holder := c.must(api, "GET", "/v1/nodes/ipmi", nil)["reservation"]; holder != worker.name {
		t.Fatalf("the node is held by %v, want %s", holder, worker.name)
	}
	if err := worker.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	defer worker.Process.Signal(syscall.SIGCONT)
	if _, err := terminal.Write([]byte("into the void")); err != nil {
		t.Fatal(err)
	}
	server.SetFaults(bmc.Faults{})
	wait(t, "another conductor has powered the machine on", func() bool {
		n := c.must(api, "GET", "/v1/nodes/ipmi", nil)
		return n["power_state"] == "power on" && n["reservation"] == nil
	})
	there := ""
	wait(t, "another conductor has the console", func() bool {
		n := c.must(api, "GET", "/v1/nodes/ipmi", nil)
		info, _ := c.must(api, "GET", "/v1/nodes/ipmi/states/console", nil)["console_info"].(map[string]any)
		there, _ = info["url"].(string)
		return there != where && n["reservation"] == nil
	})

	before := server.Stats()
	if err := worker.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	wait(t, "the conductor has noticed that it lost the node", func() bool { return c.metric(worker, "ferric_leases_lost_total") > 0 })
	wait(t, "its session has ended", func() bool { return server.Stats().Commands["Close Session"] > before.Commands["Close Session"] })
	after := server.Stats()
	for name, n := range after.Commands {
		ends := name == "Close Session" || name == "Deactivate Payload" // of what it had begun itself; they change nothing of the machine
		if more := n - before.Commands[name]; more > 0 && !ends {
			t.Errorf("the BMC was sent %d × %q by a conductor that had lost its lease", more, name)
		}
	}
	if after.Logins != before.Logins {
		t.Errorf("the BMC met %d logins of a conductor that had lost its lease", after.Logins-before.Logins)
	}
	if on, turns, typed := machine.state(); !on || turns != 1 || strings.Contains(typed, "void") {
		t.Errorf("the machine is on: %v, after %d changes; typed was %q", on, turns, typed)
	}
	c.members(api, conductors...)
	if err := terminal.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	if text, err := io.ReadAll(terminal); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the console of the conductor that was paused stays open: %q, %v", text, err)
	}
	c.must(api, "PUT", "/v1/nodes/ipmi/states/console", map[string]any{"enabled": false})
}

// wait waits until something is so.
func wait(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !is(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited for a minute: %s", what)
		}
	}
}

// drainEnds stops a conductor whose step takes longer than conductor.drain_timeout: it ends all the same, and another one carries on.
func drainEnds(t *testing.T, c *cluster, api *process) {
	node := c.nodeOf(api, slow, "d")
	worker := c.beginClean(api, node)
	if err := worker.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	<-worker.ended
	if code := worker.ProcessState.ExitCode(); code != 0 {
		t.Errorf("it ended with %d", code)
	}
	if !c.said(worker, "they are interrupted, and whoever goes on looks how far they came") {
		t.Error("it does not say that a step was interrupted")
	}
	if n := c.reaches(api, node, "manageable"); n["conductor"] == slow || n["last_error"] != nil {
		t.Errorf("it was carried on by %v: %v", n["conductor"], n["last_error"])
	}
}

// said reports whether a process's log has a text.
func (c *cluster) said(p *process, text string) bool {
	c.t.Helper()
	raw := make([]byte, 1<<20)
	n, err := p.log.ReadAt(raw, 0)
	if err != nil && err != io.EOF {
		c.t.Fatal(err)
	}
	return strings.Contains(string(raw[:n]), text)
}

// secondSignal sends SIGTERM twice to a conductor in the middle of a step that it would wait for: the second one ends it at once, as a signal does.
func secondSignal(t *testing.T, c *cluster, api *process) {
	c.conductor(slow, "--set", "conductor.drain_timeout=5m")
	c.members(api, conductors...)
	node := c.nodeOf(api, slow, "s")
	worker := c.beginClean(api, node)
	if err := worker.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	c.members(api, without(slow)...) // it has said goodbye, and waits for its step
	select {
	case <-worker.ended:
		t.Fatalf("it did not wait: %v", worker.ProcessState)
	default:
	}
	if err := worker.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	<-worker.ended
	if state := worker.ProcessState.Sys().(syscall.WaitStatus); !state.Signaled() || state.Signal() != syscall.SIGTERM {
		t.Errorf("it ended so: %v", worker.ProcessState)
	}
	if n := c.reaches(api, node, "manageable"); n["conductor"] == slow || n["last_error"] != nil {
		t.Errorf("it was carried on by %v: %v", n["conductor"], n["last_error"])
	}
}

// drainDelay stops an API: while the load balancer has yet to notice, /readyz says so and requests are answered.
func drainDelay(t *testing.T, c *cluster) {
	api := c.start("api-2", "api")
	if err := api.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	unready, served := 0, 0
	for ended := false; !ended; {
		select {
		case <-api.ended:
			ended = true
			continue
		default:
		}
		resp, err := http.Get(api.url + "/readyz")
		if err != nil {
			continue // it ends
		}
		resp.Body.Close()
		if resp.StatusCode == 200 {
			continue // it has not heard the signal yet
		}
		unready++
		if status, body, err := ask(t.Context(), api, "GET", "/v1/nodes", nil); err == nil {
			if status != 200 {
				t.Errorf("a request while it is unready: %d %v", status, body)
			}
			served++
		}
	}
	if unready == 0 || served == 0 {
		t.Errorf("/readyz said %d times that it stops, and %d requests were answered then", unready, served)
	}
	if code := api.ProcessState.ExitCode(); code != 0 {
		t.Errorf("it ended with %d", code)
	}
}
