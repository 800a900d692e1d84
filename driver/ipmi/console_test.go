package ipmi_test

import (
	"context"
	"io"
	"net"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"ferric"
	"ferric/driver"
	"ferric/driver/ipmi"
	"ferric/flow"
	"ferric/lab/bmc"
)

// terminal is a machine whose console repeats what is typed, in capitals.
func terminal(context.Context) (io.ReadWriteCloser, error) {
	near, far := net.Pipe()
	go func() {
		b := make([]byte, 256)
		for {
			n, err := far.Read(b)
			if err != nil {
				return
			}
			if _, err := far.Write([]byte(strings.ToUpper(string(b[:n])))); err != nil {
				return
			}
		}
	}()
	return near, nil
}

// freePorts finds a range of ports that nobody has now.
func freePorts(t *testing.T, n int) (first int) {
	t.Helper()
	for range 100 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		first = l.Addr().(*net.TCPAddr).Port
		l.Close()
		free := first+n < 65536
		for port := first; port < first+n && free; port++ {
			l, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(port))
			if free = err == nil; free {
				l.Close()
			}
		}
		if free {
			return first
		}
	}
	t.Fatal("no free ports")
	return 0
}

// consoleTask is a task on a node of the BMC.
func consoleTask(s *bmc.Server, id string, more ...any) *driver.Task {
	m := machineFor(s, more...)
	m.Node.UUID = id
	t := &driver.Task{Machine: m}
	t.Mutate = func(_ context.Context, change flow.Mutate) error { return change(m.Node) }
	return t
}

// client connects to the console that the node's URL leads to.
func client(t *testing.T, c *ipmi.Console, m *driver.Machine) net.Conn {
	t.Helper()
	info, err := c.ConsoleInfo(t.Context(), m)
	if err != nil || info["type"] != "socat" || !strings.HasPrefix(info["url"], "tcp://") {
		t.Fatalf("console %v, %v", info, err)
	}
	conn, err := net.DialTimeout("tcp", strings.TrimPrefix(info["url"], "tcp://"), 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(30 * time.Second))
	return conn
}

func types(t *testing.T, conn net.Conn, text string) {
	t.Helper()
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, len(text))
	if _, err := io.ReadFull(conn, got); err != nil || string(got) != strings.ToUpper(text) {
		t.Fatalf("read %q, %v", got, err)
	}
}

// ends reads until the other side closes, and returns what it said.
func ends(t *testing.T, conn net.Conn) string {
	t.Helper()
	rest, err := io.ReadAll(conn)
	if err != nil {
		t.Fatalf("the connection is not closed: %v", err)
	}
	return string(rest)
}

func TestConsole(t *testing.T) {
	s, _ := newBMC(t, bmc.Options{Console: terminal})
	pool := newPool(t, ipmi.Options{TryWait: 100 * time.Millisecond})
	first := freePorts(t, 2)
	var today atomic.Pointer[ferric.Node]
	c := &ipmi.Console{Pool: pool, Opts: ipmi.ConsoleOptions{Address: "127.0.0.1", FirstPort: first, LastPort: first + 1,
		Node: func(context.Context, string) (*ferric.Node, error) { return today.Load(), nil }}}
	defer c.Close()
	one := consoleTask(s, "1be26c0b-03f2-4d2e-ae87-c02d7f33c121")
	now := func(password string) {
		n := consoleTask(s, one.Node.UUID).Node
		n.DriverInfo["ipmi_password"] = password
		today.Store(n)
	}
	now(password)
	ctx := t.Context()
	if err := c.Validate(ctx, one.Machine); err != nil {
		t.Fatal(err)
	}
	if err := c.StartConsole(ctx, one); err != nil {
		t.Fatal(err)
	}
	if got := one.Node.InternalInfo["allocated_ipmi_terminal_port"]; got != first {
		t.Errorf("port %v, want %d", got, first)
	}
	conn := client(t, c, one.Machine)
	types(t, conn, "login: root\r")
	second := client(t, c, one.Machine)
	if said := ends(t, second); !strings.Contains(said, "somebody else uses this console") {
		t.Errorf("a second client was told %q", said)
	}
	now("changed")
	conn.Close()
	for said := ""; !strings.Contains(said, "refused the user name or password"); { // the first one may still be leaving
		said = ends(t, client(t, c, one.Machine))
		if !strings.Contains(said, "somebody else") && !strings.Contains(said, "refused") {
			t.Fatalf("a client was told %q", said)
		}
	}
	now(password)
	again := client(t, c, one.Machine)
	for said := ""; ; { // the first one may still be leaving
		b := make([]byte, 64)
		io.WriteString(again, "x")
		n, err := again.Read(b)
		if said += string(b[:n]); strings.Contains(said, "X") {
			break
		}
		if err != nil {
			again, said = client(t, c, one.Machine), ""
		}
	}

	// Another node gets another port, and a third one none.
	two, three := consoleTask(s, "1be26c0b-03f2-4d2e-ae87-c02d7f33c122"), consoleTask(s, "1be26c0b-03f2-4d2e-ae87-c02d7f33c123")
	if err := c.StartConsole(ctx, two); err != nil || two.Node.InternalInfo["allocated_ipmi_terminal_port"] != first+1 {
		t.Errorf("%v, %v", two.Node.InternalInfo, err)
	}
	if err := c.StartConsole(ctx, three); !ferric.IsCode(err, ferric.CodeBusy) {
		t.Errorf("a console without a port: %v", err)
	}
	// Starting again is the same console; clients of before are let go.
	if err := c.StartConsole(ctx, one); err != nil || one.Node.InternalInfo["allocated_ipmi_terminal_port"] != first {
		t.Errorf("%v, %v", one.Node.InternalInfo, err)
	}
	ends(t, again)
	conn = client(t, c, one.Machine)
	types(t, conn, "still there\r")
	if err := c.StopConsole(ctx, one); err != nil {
		t.Fatal(err)
	}
	if said := ends(t, conn); !strings.Contains(said, "the console was closed") {
		t.Errorf("the client was told %q", said)
	}
	if _, there := one.Node.InternalInfo["allocated_ipmi_terminal_port"]; there {
		t.Error("the port is still the node's")
	}
	if _, err := net.Dial("tcp", "127.0.0.1:"+strconv.Itoa(first)); err == nil {
		t.Error("the port is still open")
	}
	if err := c.StopConsole(ctx, one); err != nil {
		t.Errorf("a second time: %v", err)
	}
	// After a restart of the process the node keeps its port; leaving keeps it, too.
	if err := c.LeaveConsole(ctx, two.Machine); err != nil {
		t.Error(err)
	}
	two.Node.InternalInfo["allocated_ipmi_terminal_port"] = float64(first + 1) // as it comes from the database
	next := &ipmi.Console{Pool: pool, Opts: c.Opts}
	defer next.Close()
	if err := next.StartConsole(ctx, two); err != nil {
		t.Fatal(err)
	}
	types(t, client(t, next, two.Machine), "back\r")
	next.Close()
	if err := next.StartConsole(ctx, two); !ferric.IsCode(err, ferric.CodeUnavailable) {
		t.Errorf("a start after the end: %v", err)
	}
}

func TestConsoleOfItsOwnPort(t *testing.T) {
	s, _ := newBMC(t, bmc.Options{Console: terminal})
	pool := newPool(t, ipmi.Options{TryWait: 100 * time.Millisecond})
	c := &ipmi.Console{Pool: pool, Opts: ipmi.ConsoleOptions{Address: "127.0.0.1", Public: "console.example.org", Idle: 50 * time.Millisecond}}
	defer c.Close()
	ctx, port := t.Context(), freePorts(t, 1)
	task := consoleTask(s, "1be26c0b-03f2-4d2e-ae87-c02d7f33c121")
	if err := c.Validate(ctx, task.Machine); !ferric.IsCode(err, ferric.CodeInvalid) || !strings.Contains(err.Error(), "Missing 'ipmi_terminal_port'") {
		t.Errorf("without a port: %v", err)
	}
	task.Node.DriverInfo["ipmi_terminal_port"] = float64(port)
	if err := c.StartConsole(ctx, task); err != nil || len(task.Node.InternalInfo) != 0 {
		t.Fatalf("%v, %v", task.Node.InternalInfo, err)
	}
	info, err := c.ConsoleInfo(ctx, task.Machine)
	if err != nil || info["url"] != "tcp://console.example.org:"+strconv.Itoa(port) {
		t.Errorf("%v, %v", info, err)
	}
	conn, err := net.Dial("tcp", "127.0.0.1:"+strconv.Itoa(port))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(30 * time.Second))
	ends(t, conn) // nobody types
	other := consoleTask(s, "1be26c0b-03f2-4d2e-ae87-c02d7f33c122", "ipmi_terminal_port", float64(port))
	if err := c.StartConsole(ctx, other); !ferric.IsCode(err, ferric.CodeConflict) {
		t.Errorf("a port that another node has: %v", err)
	}
}

// TestConsoleTroubles: a BMC that is not there, one without a console, and a wrong password.
func TestConsoleTroubles(t *testing.T) {
	s, _ := newBMC(t, bmc.Options{})
	pool := newPool(t, ipmi.Options{Tries: 2, TryWait: 20 * time.Millisecond})
	first := freePorts(t, 1)
	c := &ipmi.Console{Pool: pool, Opts: ipmi.ConsoleOptions{Address: "127.0.0.1", FirstPort: first, LastPort: first}}
	defer c.Close()
	ctx := t.Context()
	task := consoleTask(s, "1be26c0b-03f2-4d2e-ae87-c02d7f33c121")
	if err := c.StartConsole(ctx, task); err != nil {
		t.Fatal(err)
	}
	if said := ends(t, client(t, c, task.Machine)); !strings.Contains(said, "serial over LAN") {
		t.Errorf("the client was told %q", said)
	}
	task.Node.DriverInfo["ipmi_password"] = "wrong"
	if err := c.StartConsole(ctx, task); !ferric.IsCode(err, ferric.CodeUnauthorized) {
		t.Errorf("a wrong password: %v", err)
	}
	s.SetFaults(bmc.Faults{Silent: true})
	task = consoleTask(s, "1be26c0b-03f2-4d2e-ae87-c02d7f33c122")
	if err := c.StartConsole(ctx, task); !ferric.IsCode(err, ferric.CodeUnavailable) {
		t.Errorf("a silent BMC: %v", err)
	}
}

// TestConsoleOfASimulator holds a conversation over OpenIPMI's serial over LAN.
func TestConsoleOfASimulator(t *testing.T) {
	s := startSimulator(t)
	pool := newPool(t, ipmi.Options{})
	first := freePorts(t, 1)
	c := &ipmi.Console{Pool: pool, Opts: ipmi.ConsoleOptions{Address: "127.0.0.1", FirstPort: first, LastPort: first}}
	defer c.Close()
	task := &driver.Task{Machine: &driver.Machine{Node: &ferric.Node{UUID: "1be26c0b-03f2-4d2e-ae87-c02d7f33c121", DriverInfo: map[string]any{
		"ipmi_address": "127.0.0.1", "ipmi_port": float64(s.port), "ipmi_username": "admin", "ipmi_password": password}}}}
	task.Mutate = func(_ context.Context, change flow.Mutate) error { return change(task.Node) }
	if err := c.StartConsole(t.Context(), task); err != nil {
		t.Fatal(err)
	}
	machines := make(chan net.Conn, 1)
	go func() {
		if machine, err := s.serial.Accept(); err == nil {
			machines <- machine
		}
	}()
	var machine net.Conn
	for range 2 { // the second client comes when the first has gone
		conn := client(t, c, task.Machine)
		if machine == nil {
			machine = <-machines
			defer machine.Close()
		}
		machine.SetDeadline(time.Now().Add(30 * time.Second))
		long := strings.Repeat("Booting from the network ... ", 100)
		got := make([]byte, len(long))
		io.WriteString(conn, long[:500]) // the simulator drops what a machine says before the session has begun
		if _, err := io.ReadFull(machine, got[:500]); err != nil || string(got[:500]) != long[:500] {
			t.Fatalf("the machine got %.80q, %v", got, err)
		}
		go io.WriteString(machine, long)
		if _, err := io.ReadFull(conn, got); err != nil || string(got) != long {
			t.Fatalf("read %.80q, %v", got, err)
		}
		conn.Close()
		for pool.Stats().Sessions > 1 { // the one of its commands stays
			time.Sleep(time.Millisecond)
		}
	}
}

// TestConsoleOfAnotherConductor: a client who comes to a conductor that does not serve the node any more takes nobody's console away.
func TestConsoleOfAnotherConductor(t *testing.T) {
	s, _ := newBMC(t, bmc.Options{Console: terminal})
	p := newPool(t, ipmi.Options{})
	first := freePorts(t, 1)
	task := consoleTask(s, "n1")
	c := &ipmi.Console{Pool: p, Opts: ipmi.ConsoleOptions{Address: "127.0.0.1", FirstPort: first, LastPort: first,
		Node: func(context.Context, string) (*ferric.Node, error) { return task.Node, nil },
		Serves: func(context.Context, *ferric.Node) error {
			return ferric.Errorf(ferric.CodeElsewhere, "it is another one's")
		}}}
	defer c.Close()
	if err := c.StartConsole(t.Context(), task); err != nil {
		t.Fatal(err)
	}
	before := s.Stats()
	text, err := io.ReadAll(client(t, c, task.Machine))
	if err != nil || !strings.Contains(string(text), "it is another one's") {
		t.Errorf("a client was told %q, %v", text, err)
	}
	if after := s.Stats(); after.Datagrams != before.Datagrams {
		t.Errorf("the BMC heard %d datagrams of it", after.Datagrams-before.Datagrams)
	}
}
