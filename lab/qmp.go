package lab

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"time"

	"ferric"
)

// qmpTimeout bounds one conversation with QEMU if the caller's context does not end earlier.
const qmpTimeout = 20 * time.Second

// maxQMPLine bounds a message from QEMU; the greeting and the answers used here are far shorter.
const maxQMPLine = 4 << 20

// qmp is a connection to QEMU's control socket (QEMU machine protocol). QEMU serves one client at a time and makes
// others wait, so a connection is closed as soon as possible. Not for concurrent use.
type qmp struct {
	conn  net.Conn
	lines *bufio.Scanner
	next  int
}

// dialQMP connects and leaves negotiation mode. CodeUnavailable if QEMU does not answer.
func dialQMP(ctx context.Context, path string) (*qmp, error) {
	ctx, cancel := context.WithTimeout(ctx, qmpTimeout)
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", path)
	if err != nil {
		return nil, ferric.Errorf(ferric.CodeUnavailable, "connect to QEMU: %w", err)
	}
	deadline, _ := ctx.Deadline()
	q := newQMP(conn, deadline)
	if err := q.greet(); err != nil {
		q.close()
		return nil, ferric.Errorf(ferric.CodeUnavailable, "talk to QEMU: %w", err)
	}
	return q, nil
}

func newQMP(conn net.Conn, deadline time.Time) *qmp {
	lines := bufio.NewScanner(conn)
	lines.Buffer(nil, maxQMPLine)
	conn.SetDeadline(deadline) //nolint:errcheck // sockets support deadlines; a failure shows at the next read
	return &qmp{conn: conn, lines: lines}
}

func (q *qmp) close() { q.conn.Close() }

func (q *qmp) greet() error {
	var greeting struct {
		QMP json.RawMessage `json:"QMP"`
	}
	line, err := q.line()
	if err != nil {
		return err
	}
	if err := json.Unmarshal(line, &greeting); err != nil || greeting.QMP == nil {
		return fmt.Errorf("no QMP greeting but %.80q", line)
	}
	return q.execute("qmp_capabilities", nil, nil)
}

func (q *qmp) line() ([]byte, error) {
	if !q.lines.Scan() {
		if err := q.lines.Err(); err != nil {
			return nil, err
		}
		return nil, io.ErrUnexpectedEOF
	}
	return q.lines.Bytes(), nil
}

// execute runs a command and decodes its result into result, which may be nil. Events are dropped.
func (q *qmp) execute(command string, arguments, result any) error {
	q.next++
	request, err := json.Marshal(struct {
		Execute   string `json:"execute"`
		Arguments any    `json:"arguments,omitempty"`
		ID        int    `json:"id"`
	}{command, arguments, q.next})
	if err != nil {
		return err
	}
	if _, err := q.conn.Write(append(request, '\n')); err != nil {
		return fmt.Errorf("%s: %w", command, err)
	}
	for {
		line, err := q.line()
		if err != nil {
			return fmt.Errorf("%s: %w", command, err)
		}
		var answer struct {
			ID     *int            `json:"id"`
			Return json.RawMessage `json:"return"`
			Error  *struct {
				Class string `json:"class"`
				Desc  string `json:"desc"`
			} `json:"error"`
		}
		if err := json.Unmarshal(line, &answer); err != nil {
			return fmt.Errorf("%s: answer %.80q: %w", command, line, err)
		}
		switch {
		case answer.Error != nil && (answer.ID == nil || *answer.ID == q.next):
			return ferric.Errorf(ferric.CodeInternal, "QEMU refuses %s: %s (%s)", command, answer.Error.Desc, answer.Error.Class)
		case answer.Return == nil || answer.ID == nil || *answer.ID != q.next:
			continue // an event, or the answer to a command that was given up
		case result == nil:
			return nil
		}
		if err := json.Unmarshal(answer.Return, result); err != nil {
			return fmt.Errorf("%s: answer %.80q: %w", command, line, err)
		}
		return nil
	}
}
