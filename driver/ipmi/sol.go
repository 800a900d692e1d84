package ipmi

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"ferric"
)

// Times of a serial-over-LAN session.
const (
	solRetry     = time.Second      // until an acknowledgement must be there
	solTries     = 10               // of a packet before the BMC counts as gone
	solKeepAlive = 15 * time.Second // of silence, after which the BMC is asked for a sign of life
)

// sol is a serial-over-LAN session with a BMC. It has a login of its own, beside the one that commands share, and belongs to the goroutine that
// calls run.
//
// It needs no lease: a BMC has one such session at a time, and a conductor that takes the node over ends this one (endSOL). What a process that was
// stopped meanwhile still sends is dropped by the BMC then.
type sol struct {
	session *session
	limits  solLimits
	release func()

	sequence byte // of the last packet with characters that was sent, 1 to 15
	pending  []byte
	tries    int
	resendAt time.Time

	heard          byte // sequence of the last packet with characters that came …
	heardLen       int  // … and how many there were
	lastHeard      time.Time
	keepAlives     int // unanswered
	nextKeepAlive  time.Time
	retry, silence time.Duration
}

var errSOLEnded = errors.New("the BMC has ended serial over LAN")

// openSOL logs in and begins serial over LAN. A session that another console has is ended first, as with ipmitool's "sol deactivate".
// Errors are for people.
func (p *Pool) openSOL(ctx context.Context, info Info) (*sol, error) {
	ctx, cancel := context.WithTimeout(ctx, p.opts.OperationTimeout)
	defer cancel()
	s, err := p.beginSOL(ctx, info)
	if err != nil {
		return nil, explain(info, "serial over LAN", err)
	}
	return s, nil
}

func (p *Pool) beginSOL(ctx context.Context, info Info) (*sol, error) {
	if err := p.acquire(ctx); err != nil {
		return nil, err
	}
	a := &actor{pool: p, address: info.Endpoint()} // for its login alone
	r := retry{tries: p.opts.Tries, wait: p.opts.TryWait}
	session, err := a.logIn(ctx, r, r, info.credentials())
	if err != nil {
		p.release()
		return nil, err
	}
	data, err := session.runPatiently(ctx, r, activateSOL)
	var ce *completionError
	if errors.As(err, &ce) && (ce.cc == 0x80 || ce.cc == 0x82) {
		if _, err = session.runPatiently(ctx, r, deactivateSOL); err == nil {
			data, err = session.runPatiently(ctx, r, activateSOL)
		}
	}
	var limits solLimits
	if err == nil {
		limits, err = parseActivation(data)
	}
	if err == nil && limits.port != 0 && !samePort(session.link.conn.RemoteAddr(), limits.port) {
		// Every known BMC uses the port of the session.
		err = ferric.Errorf(ferric.CodeUnsupported, "the BMC wants serial over LAN on UDP port %d, which is not supported", limits.port)
	}
	if err != nil {
		session.close()
		p.release()
		if errors.As(err, &ce) && ce.code == activateSOL.code && ce.cc >= 0x80 && ce.cc <= 0xbe {
			return nil, ferric.Errorf(ferric.CodeUnsupported, "%s", activationText(ce.cc))
		}
		return nil, err
	}
	now := time.Now()
	return &sol{session: session, limits: limits, release: p.release, lastHeard: now, nextKeepAlive: now.Add(solKeepAlive), retry: solRetry,
		silence: solKeepAlive}, nil
}

// samePort reports whether the port that a BMC names is the one that we talk to. 623 is what BMCs behind a translation of addresses say.
func samePort(at net.Addr, port int) bool {
	udp, ok := at.(*net.UDPAddr)
	return !ok || udp.Port == port || port == 623
}

// run passes characters on, from input to the machine and from the machine to output, until ctx ends, input is closed, output fails or the
// BMC is gone. It ends the session.
func (s *sol) run(ctx context.Context, input <-chan []byte, output func([]byte) error) error {
	ctx, cancel := context.WithCancel(ctx)
	packets, done := make(chan []byte), make(chan struct{})
	go func() {
		defer close(done)
		s.listen(ctx, packets)
	}()
	err := s.serve(ctx, input, packets, output)
	cancel()
	s.session.link.conn.SetReadDeadline(time.Now())
	<-done
	s.end()
	return err
}

// listen reads datagrams until ctx ends.
func (s *sol) listen(ctx context.Context, packets chan<- []byte) {
	defer close(packets)
	for {
		buffer := make([]byte, maxPacketLen)
		s.session.link.conn.SetReadDeadline(time.Now().Add(time.Second)) // so that the end is noticed at the latest then
		n, err := s.session.link.conn.Read(buffer)
		if ctx.Err() != nil {
			return
		}
		var timeout net.Error
		if err != nil {
			if !errors.As(err, &timeout) || !timeout.Timeout() {
				if !pause(ctx, 100*time.Millisecond) { // "connection refused": the BMC restarts, or is gone, which serve finds out
					return
				}
			}
			continue
		}
		select {
		case packets <- buffer[:n]:
		case <-ctx.Done():
			return
		}
	}
}

func (s *sol) serve(ctx context.Context, input <-chan []byte, packets <-chan []byte, output func([]byte) error) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		from := input
		if s.pending != nil {
			from = nil // one packet at a time
		}
		timer.Reset(time.Until(s.wake()))
		select {
		case <-ctx.Done():
			return nil
		case text, ok := <-from:
			if !ok {
				return nil
			}
			if err := s.enter(text); err != nil {
				return err
			}
		case raw, ok := <-packets:
			if !ok {
				return nil
			}
			if err := s.take(raw, output); err != nil {
				return err
			}
		case <-timer.C:
			if err := s.tick(time.Now()); err != nil {
				return err
			}
		}
	}
}

// wake is when something is to be done without anybody asking.
func (s *sol) wake() time.Time {
	if s.pending != nil && s.resendAt.Before(s.nextKeepAlive) {
		return s.resendAt
	}
	return s.nextKeepAlive
}

// tick repeats a packet that was not acknowledged, and asks for signs of life.
func (s *sol) tick(now time.Time) error {
	if s.pending != nil && !now.Before(s.resendAt) {
		if s.tries >= solTries {
			return fmt.Errorf("the BMC has not acknowledged what was typed: %w", errNoReply)
		}
		return s.resend(now)
	}
	if !now.Before(s.nextKeepAlive) {
		if s.keepAlives >= 3 {
			return fmt.Errorf("the BMC has been silent for %s: %w", now.Sub(s.lastHeard).Round(time.Second), errNoReply)
		}
		s.keepAlives++
		s.nextKeepAlive = now.Add(s.silence)
		s.session.request = (s.session.request + 1) & 0x3f
		return s.send(payloadIPMI, appendRequest(nil, getDeviceID, s.session.request))
	}
	return nil
}

// enter sends characters to the machine. What does not fit into a packet follows when it is acknowledged.
func (s *sol) enter(text []byte) error {
	if len(text) == 0 {
		return nil
	}
	s.pending, s.tries = text, 0
	s.sequence = s.sequence%15 + 1
	return s.resend(time.Now())
}

func (s *sol) resend(now time.Time) error {
	s.tries++
	s.resendAt = now.Add(s.retry)
	return s.send(payloadSOL, solPacket{sequence: s.sequence, data: s.part()}.encode())
}

// part is what of the pending characters is in the packet.
func (s *sol) part() []byte { return s.pending[:min(len(s.pending), s.limits.toBMC)] }

func (s *sol) send(payloadType byte, plain []byte) error {
	s.session.sequence++
	if s.session.sequence == 0 {
		s.session.sequence = 1
	}
	raw := s.session.keys.sealAs(payloadType, s.session.bmcID, s.session.sequence, plain)
	if err := s.session.link.conn.SetWriteDeadline(time.Now().Add(time.Second)); err != nil {
		return err
	}
	if _, err := s.session.link.conn.Write(raw); err != nil && !gone(err) {
		return err
	}
	return nil
}

// gone reports whether a datagram did not go out, or the one before was refused. That is like a lost one.
func gone(err error) bool {
	var op *net.OpError
	return errors.As(err, &op)
}

// take works with a datagram.
func (s *sol) take(raw []byte, output func([]byte) error) error {
	sequence, plain, err := s.session.keys.openAs(payloadSOL, raw, s.session.consoleID)
	isSOL := err == nil
	if !isSOL {
		if sequence, _, err = s.session.keys.open(raw, s.session.consoleID); err != nil {
			return nil
		}
	}
	if !s.session.inbound.take(sequence) {
		return nil
	}
	now := time.Now()
	s.lastHeard, s.keepAlives, s.nextKeepAlive = now, 0, now.Add(s.silence)
	if !isSOL {
		return nil // the answer to a sign of life that was asked for
	}
	p, err := parseSOL(plain)
	if err != nil {
		return nil
	}
	if err := s.acknowledged(p, now); err != nil {
		return err
	}
	if err := s.received(p, output); err != nil {
		return err
	}
	if p.flags&solDeactivating != 0 {
		return errSOLEnded
	}
	return nil
}

// acknowledged looks at what the BMC took of the last packet, and sends what it did not.
func (s *sol) acknowledged(p solPacket, now time.Time) error {
	if s.pending == nil || p.ack == 0 || p.ack != s.sequence {
		return nil
	}
	taken := min(int(p.accepted), len(s.part()))
	if p.flags&solNACK == 0 && p.flags&solUnavailable == 0 && taken == 0 {
		taken = len(s.part()) // BMCs that do not count
	}
	rest := s.pending[taken:]
	if len(rest) == 0 {
		s.pending = nil
		return nil
	}
	if p.flags&(solNACK|solUnavailable) == 0 {
		return s.enter(rest)
	}
	// It cannot take more now: the rest is a packet of its own, later.
	s.pending, s.tries, s.sequence, s.resendAt = rest, 0, s.sequence%15+1, now.Add(s.retry/4)
	return nil
}

// received passes characters on and acknowledges them. A packet that was sent again may have more characters than before.
func (s *sol) received(p solPacket, output func([]byte) error) error {
	if p.sequence == 0 {
		return nil
	}
	fresh := p.data
	if p.sequence == s.heard {
		fresh = p.data[min(s.heardLen, len(p.data)):]
	}
	s.heard, s.heardLen = p.sequence, len(p.data)
	if err := s.send(payloadSOL, solPacket{ack: p.sequence, accepted: byte(min(len(p.data), 255))}.encode()); err != nil {
		return err
	}
	if len(fresh) == 0 {
		return nil
	}
	return output(fresh)
}

// end tells the BMC that serial over LAN and the session are over, without waiting for an answer.
func (s *sol) end() {
	s.session.request = (s.session.request + 1) & 0x3f
	_ = s.send(payloadIPMI, appendRequest(nil, deactivateSOL, s.session.request)) // the BMC notices by itself if it is lost
	s.session.close()
	s.release()
}
