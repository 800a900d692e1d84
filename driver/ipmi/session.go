package ipmi

import (
	"context"
	"encoding/binary"
	"errors"
	"time"
)

// session is an active RMCP+ session. It belongs to one goroutine at a time.
type session struct {
	link             *link
	keys             keys
	creds            credentials
	suite            int
	consoleID, bmcID uint32
	sequence         uint32 // of the last packet sent
	request          byte   // sequence number of the last request, 6 bits
	inbound          window
	lastReply        time.Time
}

// run executes a command and returns the data of its reply. Errors: *completionError, those of link.exchange.
func (s *session) run(ctx context.Context, r retry, c command) ([]byte, error) {
	s.request = (s.request + 1) & 0x3f
	msg := appendRequest(nil, c, s.request)
	var packet []byte
	var cc byte
	var data []byte
	err := s.link.exchange(ctx, r,
		func(try int) []byte {
			// A repetition carries a new session sequence number, so that the BMC answers it when our first
			// packet or its reply was lost. A command that must not run twice keeps its number: the BMC takes
			// the packet if it did not have it, and drops it if it did (6.12.13).
			if try == 0 || !c.once {
				s.sequence++
				if s.sequence == 0 {
					s.sequence = 1
				}
				packet = s.keys.seal(s.bmcID, s.sequence, msg)
			}
			return packet
		},
		func(raw []byte) error {
			sequence, plain, err := s.keys.open(raw, s.consoleID)
			if err != nil {
				return err
			}
			if !s.inbound.take(sequence) {
				return errNotOurs
			}
			cc, data, err = parseReply(plain, c, s.request)
			return err
		})
	if err != nil {
		return nil, err
	}
	s.lastReply = time.Now()
	if cc != 0 {
		return nil, &completionError{command: c.name, netFn: c.netFn, code: c.code, cc: cc}
	}
	return data, nil
}

// runPatiently repeats a command while the BMC says that it is busy, up to r.tries times.
func (s *session) runPatiently(ctx context.Context, r retry, c command) ([]byte, error) {
	wait := r.wait / 4
	for try := 1; ; try++ {
		data, err := s.run(ctx, r, c)
		var ce *completionError
		if !errors.As(err, &ce) || !ce.transient(c.once) || try >= r.tries {
			return data, err
		}
		if !pause(ctx, wait) {
			return nil, ctx.Err()
		}
		wait *= 2
	}
}

// raisePrivilege moves the session from USER, where it starts, to the wanted level (22.18).
func (s *session) raisePrivilege(ctx context.Context, r retry) error {
	_, err := s.runPatiently(ctx, r, command{name: "set session privilege level", netFn: netFnApp, code: 0x3b,
		data: []byte{byte(s.creds.privilege)}})
	return err
}

// closeMessage is Close Session for this session (22.19).
func (s *session) closeMessage() []byte {
	s.request = (s.request + 1) & 0x3f
	return appendRequest(nil, command{netFn: netFnApp, code: 0x3c, data: binary.LittleEndian.AppendUint32(nil, s.bmcID)}, s.request)
}

// close tells the BMC that the session ends, without waiting for an answer, and closes the socket. The session
// of a BMC that does not hear it ends there after its own timeout (60 s). It needs no lease: it ends what this process alone has begun, and changes nothing
// of the machine.
func (s *session) close() {
	s.sequence++
	s.link.conn.SetWriteDeadline(time.Now().Add(time.Second))
	s.link.conn.Write(s.keys.seal(s.bmcID, s.sequence, s.closeMessage()))
	s.link.conn.Close()
}
