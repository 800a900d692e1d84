package rescue_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/crypto/ssh"
	"golang.org/x/sys/unix"

	"ferric"
	"ferric/agent/rescue"
	"ferric/agentapi/shacrypt"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func environment(t *testing.T, consoles ...string) *rescue.Environment {
	t.Helper()
	hash, err := shacrypt.Hash("open sesame", shacrypt.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	return &rescue.Environment{Hash: hash, Shell: []string{"/bin/sh"}, Env: []string{"PATH=" + os.Getenv("PATH"), "HERE=rescue"}, Dir: "/tmp", Consoles: consoles,
		Log: slog.New(slog.DiscardHandler), Pause: time.Millisecond}
}

// start runs an environment and returns where it listens.
func start(t *testing.T, e *rescue.Environment) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- e.Run(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return l.Addr().String()
}

func dial(addr, user, password string) (*ssh.Client, error) {
	return ssh.Dial("tcp", addr, &ssh.ClientConfig{User: user, Auth: []ssh.AuthMethod{ssh.Password(password)}, HostKeyCallback: ssh.InsecureIgnoreHostKey(), Timeout: 10 * time.Second})
}

func TestSSH(t *testing.T) {
	addr := start(t, environment(t))
	for name, who := range map[string][2]string{"wrong password": {"rescue", "sesame"}, "no password": {"rescue", ""}, "wrong user": {"admin", "open sesame"}} {
		if c, err := dial(addr, who[0], who[1]); err == nil {
			c.Close()
			t.Errorf("%s: logged in", name)
		}
	}
	for _, user := range []string{"rescue", "root"} {
		c, err := dial(addr, user, "open sesame")
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		s, err := c.NewSession()
		if err != nil {
			t.Fatal(err)
		}
		var complaints bytes.Buffer
		s.Stdin, s.Stderr = strings.NewReader("typed"), &complaints
		out, err := s.Output("echo $HERE; cat; echo bad >&2; exit 3")
		var exit *ssh.ExitError
		if string(out) != "rescue\ntyped" || complaints.String() != "bad\n" || !errors.As(err, &exit) || exit.ExitStatus() != 3 {
			t.Errorf("%s: %q, %q, %v", user, out, complaints.String(), err)
		}
	}
	c, err := dial(addr, "rescue", "open sesame")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Dial("tcp", addr); err == nil {
		t.Error("it forwards connections")
	}
}

// TestTerminal works at a shell on a pseudo terminal.
func TestTerminal(t *testing.T) {
	addr := start(t, environment(t))
	c, err := dial(addr, "rescue", "open sesame")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	s, err := c.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.RequestPty("vt100", 33, 77, ssh.TerminalModes{}); err != nil {
		t.Skipf("no pseudo terminals here: %v", err)
	}
	var out bytes.Buffer
	s.Stdout = &out
	in, err := s.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Shell(); err != nil {
		t.Fatal(err)
	}
	io.WriteString(in, "tty; stty size; echo term is $TERM; exit 0\n")
	if err := s.Wait(); err != nil {
		t.Error(err)
	}
	for _, want := range []string{"/dev/pts/", "33 77", "term is vt100"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in %q", want, out.String())
		}
	}
}

// TestConsole logs in at a terminal.
func TestConsole(t *testing.T) {
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer master.Close()
	unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0)
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	name := "/dev/pts/" + strconv.Itoa(n)
	keep, err := os.OpenFile(name, os.O_RDWR|unix.O_NOCTTY, 0) // or else the master sees the end between two logins
	if err != nil {
		t.Fatal(err)
	}
	defer keep.Close()
	start(t, environment(t, name))
	seen := ""
	expect := func(want string) {
		t.Helper()
		b := make([]byte, 1024)
		for !strings.Contains(seen, want) {
			n, err := master.Read(b)
			if err != nil {
				t.Fatalf("%v; want %q in %q", err, want, seen)
			}
			seen += string(b[:n])
		}
		_, seen, _ = strings.Cut(seen, want)
	}
	typed := func(text string) { io.WriteString(master, text+"\n") }
	expect("rescue login")
	typed("rescue")
	expect("Password: ")
	typed("wrong")
	expect("Login incorrect")
	expect("rescue login")
	typed("")
	expect("Password: ")
	typed("open sesame")
	typed("echo a $HERE b")
	expect("a rescue b")
	typed("exit")
	expect("rescue login")
	if strings.Contains(seen, "sesame") {
		t.Error("the password was shown")
	}
}

func TestCheck(t *testing.T) {
	e := environment(t)
	if err := e.Check(); err != nil {
		t.Error(err)
	}
	e.Shell = []string{"/nowhere/sh"}
	if err := e.Check(); !ferric.IsCode(err, ferric.CodeUnsupported) || !strings.Contains(err.Error(), "--rescue-shell") {
		t.Error(err)
	}
	e = environment(t)
	e.Hash = "secret"
	if err := e.Check(); !ferric.IsCode(err, ferric.CodeInvalid) || strings.Contains(err.Error(), "secret") {
		t.Error(err)
	}
}
