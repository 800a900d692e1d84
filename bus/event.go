package bus

import (
	"context"
	"errors"

	"github.com/nats-io/nats.go"

	"ferric"
	"ferric/obs"
)

// QueueSize is how many events wait for a slow subscriber before the newest are dropped.
const QueueSize = 4096

// Event is one published value.
type Event struct {
	Subject string // without the prefix
	Data    []byte // JSON
}

// Decode reads the event into v. CodeCorrupt when it does not fit.
func (e Event) Decode(v any) error {
	if err := decode(e.Data, v); err != nil {
		return ferric.Errorf(ferric.CodeCorrupt, "event %s: %w", e.Subject, err)
	}
	return nil
}

// Publish sends v as JSON to all subscribers of the subject at this moment. It does not block and does not say
// whether anybody got it. The context lends its request id.
//
// Errors: CodeUnavailable when the bus is not connected, CodeInvalid for a subject or a value that cannot be sent.
func (b *Bus) Publish(ctx context.Context, subject string, v any) error {
	if err := checkSubject(subject, false); err != nil {
		return err
	}
	m, err := b.newMessage(ctx, b.full(subject), v)
	if err != nil {
		return ferric.Errorf(ferric.ErrorCode(err), "publish %s: %w", subject, err)
	}
	if b.isClosed() {
		return errClosed("publish " + subject)
	}
	err = b.nc.PublishMsg(m)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, nats.ErrMaxPayload):
		return ferric.Errorf(ferric.CodeInvalid, "publish %s: the event of %d bytes is larger than the server takes (max_payload %d): %w",
			subject, len(m.Data), b.nc.MaxPayload(), err)
	case errors.Is(err, nats.ErrReconnectBufExceeded):
		return ferric.Errorf(ferric.CodeUnavailable, "publish %s: the bus is not connected", subject)
	}
	return ferric.Errorf(ferric.CodeUnavailable, "publish %s: %w", subject, err)
}

// Subscription is a reader of events.
type Subscription struct {
	b      *Bus
	sub    *nats.Subscription
	fn     func(context.Context, Event)
	onGap  func(context.Context)
	ctx    context.Context
	cancel context.CancelFunc
	in     chan *nats.Msg
	done   chan struct{}
	seen   int // dropped events that onGap has been called for; only of run
}

// Subscribe calls fn for every event of the subject, which may hold the wildcards * (one token) and > (the rest), one
// after the other. fn's context carries the publisher's request id and ends when the subscription does.
//
// onGap (nil for none) is called between events when some may be missing: after the queue was full and after a
// reconnect. The reader should then read the truth from the database. When Subscribe returns, events are received.
func (b *Bus) Subscribe(subject string, fn func(context.Context, Event), onGap func(context.Context)) (*Subscription, error) {
	s := &Subscription{b: b, fn: fn, onGap: onGap, in: make(chan *nats.Msg, QueueSize), done: make(chan struct{})}
	if onGap == nil {
		s.onGap = func(context.Context) {}
	}
	s.ctx, s.cancel = context.WithCancel(b.ctx)
	renewed, forget := b.notify()
	sub, err := b.subscribe("subscribe", subject, "", true, s.in)
	if err == nil {
		s.sub = sub
		err = b.start(func() {
			defer close(s.done)
			defer s.cancel()
			defer forget()
			s.run(renewed)
		})
		if err != nil {
			_ = sub.Unsubscribe()
		}
	}
	if err != nil {
		forget()
		s.cancel()
		return nil, err
	}
	return s, nil
}

func (s *Subscription) run(renewed <-chan struct{}) {
	defer func() { _ = s.sub.Unsubscribe() }() // fails only when the connection is closed
	for {
		// Events are dropped only while the queue is full, so a look before waiting again sees every drop.
		for s.ctx.Err() == nil && s.dropped() {
			s.gap()
		}
		if s.ctx.Err() != nil {
			return // select would choose at random between the end and an event
		}
		select {
		case <-s.ctx.Done():
			return
		case <-renewed:
			s.gap()
		case m := <-s.in:
			ctx := obs.WithRequestID(s.ctx, m.Header.Get(headerRequestID))
			s.b.protect(ctx, "subscriber", s.sub.Subject, func() {
				s.fn(ctx, Event{Subject: s.b.short(m.Subject), Data: m.Data})
			})
		}
	}
}

func (s *Subscription) gap() {
	s.b.protect(s.ctx, "gap function", s.sub.Subject, func() { s.onGap(s.ctx) })
}

// dropped reports whether events were dropped since it was last asked.
func (s *Subscription) dropped() bool {
	n, err := s.sub.Dropped()
	if err != nil || n == s.seen {
		return false
	}
	s.seen = n
	return true
}

// Stop ends the subscription and returns when fn has. Events that still wait are not delivered. Repeating it is
// harmless.
func (s *Subscription) Stop() {
	s.cancel()
	<-s.done
}
