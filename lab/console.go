package lab

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"ferric"
)

// dialConsole connects to the machine's serial console.
func (m *Machine) dialConsole() (net.Conn, error) {
	conn, err := net.DialTimeout("unix", m.files.console(), qmpTimeout)
	if err != nil {
		return nil, ferric.Errorf(ferric.CodeUnavailable, "connect to the console of %s: %w; ferric lab up starts the console server again", m.Name, err)
	}
	return conn, nil
}

// errEscape ends a console: the user typed ~. at the beginning of a line.
var errEscape = errors.New("escape typed")

// Console connects a terminal with the machine's serial console, until ctx ends, in ends, or in brings "~." at the
// beginning of a line ("~~" sends one "~"). The terminal should be in raw mode. The machine may be off, go off and come
// on again meanwhile, and others may be connected too. Since a read of in cannot be interrupted, one may still be
// waiting when Console returns.
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
		if err == nil || errors.Is(err, errEscape) {
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
