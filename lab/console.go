package lab

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"ferric"
)

// dialConsole connects to the machine's serial console. QEMU serves one client; CodeConflict if there is one (a serial
// over LAN session, another console), and if the machine is off.
func (m *Machine) dialConsole() (io.ReadWriteCloser, error) {
	ctx, cancel := context.WithTimeout(context.Background(), qmpTimeout)
	defer cancel()
	busy := false
	err := m.command(ctx, "connect to the console of", func(q *qmp) error {
		var devices []struct {
			Label    string `json:"label"`
			Filename string `json:"filename"`
		}
		if err := q.execute("query-chardev", nil, &devices); err != nil {
			return err
		}
		for _, d := range devices {
			if d.Label == "serial0" {
				busy = !strings.HasPrefix(d.Filename, "disconnected:")
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if busy {
		return nil, ferric.Errorf(ferric.CodeConflict, "the console of %s is in use by another console or a serial-over-LAN session; ferric lab log %s shows its output", m.Name, m.Name)
	}
	if m.SerialPort != 0 {
		return m.lab.dialTCP(m.SerialPort)
	}
	return net.DialTimeout("unix", m.files.console(), qmpTimeout)
}

// errEscape ends a console: the user typed ~. at the beginning of a line.
var errEscape = errors.New("escape typed")

// Console connects a terminal with the machine's serial console, until ctx ends, the machine goes off, in ends, or in
// brings "~." at the beginning of a line ("~~" sends one "~"). The terminal should be in raw mode. Since a read of in
// cannot be interrupted, one may still be waiting when Console returns.
func (m *Machine) Console(ctx context.Context, in io.Reader, out io.Writer) error {
	conn, err := m.dialConsole()
	if err != nil {
		return err
	}
	defer conn.Close()
	ended := make(chan error, 2)
	go func() {
		_, err := io.Copy(out, conn)
		ended <- err
	}()
	go func() {
		err := copyInput(conn, in)
		if err == nil {
			// The end of a pipe: leave the machine a moment to answer what was sent.
			select {
			case <-ctx.Done():
			case <-time.After(time.Second):
			}
		}
		ended <- err
	}()
	select {
	case <-ctx.Done():
		return nil
	case err := <-ended:
		if err == nil || errors.Is(err, errEscape) || errors.Is(err, net.ErrClosed) {
			return nil
		}
		return fmt.Errorf("console of %s: %w", m.Name, err)
	}
}

// copyInput sends what is typed and watches for the escape.
func copyInput(to io.Writer, from io.Reader) error {
	typed := bufio.NewReader(from)
	lineStart, tilde := true, false
	for {
		c, err := typed.ReadByte()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		var send []byte
		switch {
		case tilde && c == '.':
			return errEscape
		case tilde && c == '~':
			send = []byte{'~'}
		case tilde:
			send = []byte{'~', c}
		case lineStart && c == '~':
			tilde = true
			continue
		default:
			send = []byte{c}
		}
		tilde, lineStart = false, c == '\r' || c == '\n'
		if _, err := to.Write(send); err != nil {
			return err
		}
	}
}
