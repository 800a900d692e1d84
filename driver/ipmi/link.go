package ipmi

import (
	"context"
	"errors"
	"net"
	"os"
	"syscall"
	"time"

	"ferric/flow"
)

// errNoReply says that a BMC did not answer any attempt. errRefused is the same with an ICMP "port unreachable".
var (
	errNoReply = errors.New("no reply")
	errRefused = errors.New("connection refused")
)

// retry says how often and how long to wait for a reply to one request.
type retry struct {
	tries int
	wait  time.Duration // for the first try; each further one waits half as long again
}

// link is a UDP socket to one BMC. It belongs to one goroutine at a time.
type link struct {
	conn   net.Conn
	buffer [maxPacketLen]byte
	sent   int // datagrams, for tests and statistics
}

func dial(ctx context.Context, address string) (*link, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "udp", address)
	if err != nil {
		return nil, err
	}
	return &link{conn: conn}, nil
}

// exchange sends what build makes for each try (0, 1, …) until accept says that a datagram is the reply. accept
// returns errNotOurs to drop a datagram and any other error to end the exchange. The errors are accept's, ctx's,
// errNoReply and errRefused. Nothing is sent, and nothing is sent again, once the lease that ctx's work relies on has run out (flow.Fenced).
func (l *link) exchange(ctx context.Context, r retry, build func(try int) []byte, accept func(raw []byte) error) error {
	woken := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(woken)
		l.conn.SetReadDeadline(time.Now())
	})
	defer func() {
		if !stop() {
			<-woken // so that it does not wake the next exchange
		}
	}()
	failure := errNoReply
	wait := r.wait
	for try := range r.tries {
		if err := ctx.Err(); err != nil {
			return err
		}
		datagram := build(try)
		if err := flow.Fenced(ctx); err != nil { // nothing may come between this and the datagram's leaving
			return err
		}
		_, err := l.conn.Write(datagram)
		l.sent++
		deadline := time.Now().Add(wait)
		if err == nil {
			err = l.receive(ctx, deadline, accept)
		}
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, os.ErrDeadlineExceeded):
			failure = errNoReply
		case errors.Is(err, syscall.ECONNREFUSED):
			failure = errRefused
			if !pause(ctx, min(time.Until(deadline), 200*time.Millisecond<<try)) {
				return ctx.Err()
			}
		default:
			return err
		}
		wait += wait / 2
	}
	return failure
}

// receive reads datagrams until accept takes one or ends the exchange.
func (l *link) receive(ctx context.Context, deadline time.Time, accept func(raw []byte) error) error {
	if err := l.conn.SetReadDeadline(deadline); err != nil {
		return err
	}
	for {
		if err := ctx.Err(); err != nil { // checked after SetReadDeadline, which may have undone the wake-up
			return err
		}
		n, err := l.conn.Read(l.buffer[:])
		if err != nil {
			return err
		}
		if err := accept(l.buffer[:n]); err != errNotOurs {
			return err
		}
		if !time.Now().Before(deadline) { // a flood of garbage must not hold us
			return os.ErrDeadlineExceeded
		}
	}
}

// pause waits and reports whether the time passed before ctx ended.
func pause(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
