package lab

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestCopyInput(t *testing.T) {
	tests := map[string]struct {
		in, want string
		err      error
	}{
		"plain":              {"ls\r", "ls\r", nil},
		"escape at once":     {"~.rest", "", errEscape},
		"escape after enter": {"ls\r~.x", "ls\r", errEscape},
		"not in a line":      {"a~.b\n", "a~.b\n", nil},
		"two tildes":         {"~~.", "~.", nil},
		"tilde and other":    {"~a\n~.", "~a\n", errEscape},
		"tilde and enter":    {"~\r~.", "~\r", errEscape},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			err := copyInput(&out, strings.NewReader(test.in))
			if out.String() != test.want || !errors.Is(err, test.err) {
				t.Errorf("sent %q, error %v; want %q, %v", out.String(), err, test.want, test.err)
			}
		})
	}
}

// TestServeConsoles lets two clients share a machine that goes off and comes back.
func TestServeConsoles(t *testing.T) {
	l := offlineLab(t, Spec{Nodes: 2, BMC: GoBMC})
	ctx, stop := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- l.ServeConsoles(ctx) }()
	m := l.Machines()[0]
	dial := func(path string) net.Conn {
		t.Helper()
		for deadline := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
			conn, err := net.Dial("unix", path)
			if err == nil {
				conn.SetDeadline(time.Now().Add(time.Minute))
				t.Cleanup(func() { conn.Close() })
				return conn
			}
			if time.Now().After(deadline) {
				t.Fatal(err)
			}
		}
	}
	expect := func(from io.Reader, want string) {
		t.Helper()
		got := make([]byte, len(want))
		if _, err := io.ReadFull(from, got); err != nil || string(got) != want {
			t.Fatalf("read %q, %v; want %q", got, err, want)
		}
	}
	machine := dial(m.files.serial())
	first, second := dial(m.files.console()), dial(m.files.console())
	// arrives types until the machine reads something: input is lost as long as the server has not noticed the machine.
	arrives := func(client net.Conn) {
		t.Helper()
		for deadline := time.Now().Add(time.Minute); ; {
			if _, err := client.Write([]byte("x")); err != nil {
				t.Fatal(err)
			}
			machine.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
			if _, err := machine.Read(make([]byte, 1)); err == nil {
				return
			} else if time.Now().After(deadline) {
				t.Fatalf("no input reaches the machine: %v", err)
			}
		}
	}
	// A client whose input arrives is known to the server and gets the output from here on.
	arrives(first)
	arrives(second)
	if _, err := machine.Write([]byte("login: ")); err != nil {
		t.Fatal(err)
	}
	expect(first, "login: ")
	expect(second, "login: ")
	second.Close()

	machine.Close()
	machine = dial(m.files.serial())
	arrives(first)
	if _, err := machine.Write([]byte("again")); err != nil {
		t.Fatal(err)
	}
	expect(first, "again")

	var out bytes.Buffer
	input, typed := io.Pipe()
	go func() { typed.Write([]byte("\r~.")) }()
	if err := m.Console(ctx, input, &out); err != nil {
		t.Errorf("console: %v", err)
	}
	stop()
	if err := <-served; err != nil {
		t.Errorf("server: %v", err)
	}
	if _, err := m.dialConsole(); err == nil {
		t.Error("the console server still answers")
	}
}

func TestServeConsolesFails(t *testing.T) {
	l := offlineLab(t, Spec{Nodes: 1, BMC: GoBMC})
	// A folder where a socket should be.
	if err := os.MkdirAll(filepath.Join(l.Machines()[0].files.console(), "x"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := l.ServeConsoles(t.Context()); err == nil {
		t.Error("no error")
	}
}
