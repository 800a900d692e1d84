package bus

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"ferric"
	"ferric/obs"
)

// Request is what a handler gets.
type Request struct {
	Subject string // without the prefix
	Data    []byte // JSON; empty when the caller sent nil
}

// Decode reads the payload into v. CodeInvalid when it does not fit.
func (r *Request) Decode(v any) error {
	if err := decode(r.Data, v); err != nil {
		return ferric.Errorf(ferric.CodeInvalid, "request to %s: %w", r.Subject, err)
	}
	return nil
}

// Handler answers one request: with a value that is sent as JSON (nil for an empty answer) or with an error, whose
// code and message reach the caller; an error without a code becomes CodeInternal (a context's end CodeTimeout or
// CodeUnavailable). The context carries the caller's request id and ends with the caller's deadline or when the
// service is stopped; the handler must then return soon.
type Handler func(ctx context.Context, req *Request) (any, error)

// Handle makes a Handler of a function with typed request and answer. A request that does not fit Req is refused
// with CodeInvalid.
func Handle[Req, Resp any](fn func(ctx context.Context, req Req) (Resp, error)) Handler {
	return func(ctx context.Context, r *Request) (any, error) {
		var req Req
		if err := r.Decode(&req); err != nil {
			return nil, err
		}
		return fn(ctx, req)
	}
}

// Service is a handler at work.
type Service struct {
	b       *Bus
	subject string
	handler Handler
	ctx     context.Context // of the handlers; ends with Stop or Close
	cancel  context.CancelFunc
	slots   chan struct{} // one element per running handler
	in      chan *nats.Msg
	sub     *nats.Subscription
	drained chan struct{} // closed when the server sends no more
	running sync.WaitGroup
	shared  bool // with others of its queue
	once    sync.Once
	done    chan struct{} // closed when the dispatcher and all handlers have ended
}

// Serve calls the handler for every request to the subject, in goroutines, at most limit at once; a request beyond
// is answered with CodeBusy. Services with the same non-empty queue share the requests, each going to one of
// them; one without a queue is to be the only one of its subject, and callers on this bus reach it past the server. When Serve returns, requests are served. It ends with Stop or with the bus.
func (b *Bus) Serve(subject, queue string, limit int, handler Handler) (*Service, error) {
	if limit < 1 {
		return nil, ferric.Errorf(ferric.CodeInvalid, "serve %s: the limit is %d; give at least 1", subject, limit)
	}
	s := &Service{
		b: b, subject: subject, handler: handler, shared: queue != "",
		slots: make(chan struct{}, limit),
		// Requests wait here only until the dispatcher has looked at them, so this is room for a burst.
		in:      make(chan *nats.Msg, 4096),
		drained: make(chan struct{}),
		done:    make(chan struct{}),
	}
	s.ctx, s.cancel = context.WithCancel(b.ctx)
	sub, err := b.subscribe("serve", subject, queue, false, s.in)
	if err != nil {
		s.cancel()
		return nil, err
	}
	s.sub = sub
	var drainedOnce sync.Once
	sub.SetClosedHandler(func(string) { drainedOnce.Do(func() { close(s.drained) }) })
	err = b.start(func() {
		defer close(s.done)
		defer s.cancel()
		s.dispatch()
	})
	if err != nil {
		_ = sub.Unsubscribe()
		s.cancel()
		return nil, err
	}
	b.mu.Lock()
	b.services[s] = true
	if _, taken := b.local[subject]; !taken && !s.shared && !b.closed {
		b.local[subject] = s
	}
	b.mu.Unlock()
	return s, nil
}

// subscribe makes a subscription into a channel and waits until the server knows of it.
func (b *Bus) subscribe(what, subject, queue string, wildcards bool, ch chan *nats.Msg) (*nats.Subscription, error) {
	if err := checkSubject(subject, wildcards); err != nil {
		return nil, err
	}
	sub, err := b.nc.ChanQueueSubscribe(b.full(subject), queue, ch)
	if err != nil {
		if errors.Is(err, nats.ErrConnectionClosed) {
			return nil, errClosed(what + " " + subject)
		}
		return nil, ferric.Errorf(ferric.CodeInvalid, "%s %s: %w", what, subject, err)
	}
	if err := b.nc.FlushTimeout(10 * time.Second); err != nil {
		_ = sub.Unsubscribe()
		return nil, ferric.Errorf(ferric.CodeUnavailable, "%s %s: no answer from the server: %w", what, subject, err)
	}
	return sub, nil
}

// dispatch hands requests to handlers until the service is drained, and then waits for the handlers.
func (s *Service) dispatch() {
	defer s.running.Wait()
	defer s.withdraw() // nobody in this process may add to it from here on
	for {
		select {
		case m := <-s.in:
			s.take(m)
		case <-s.ctx.Done():
			s.refuseRest()
			return
		case <-s.drained:
			s.refuseRest()
			return
		}
	}
}

func (s *Service) take(m *nats.Msg) {
	select {
	case s.slots <- struct{}{}:
	default:
		s.answer(m, nil, s.busy())
		return
	}
	s.running.Go(func() {
		resp, err := s.handle(m.Header.Get(headerRequestID), timeoutOf(m.Header, s.b.cfg.CallTimeout), &Request{Subject: s.b.short(m.Subject), Data: m.Data})
		<-s.slots // before the answer: whoever has it may call again at once
		s.answer(m, resp, err)
	})
}

// busy says that the service has no room for one more request.
func (s *Service) busy() error {
	return ferric.Errorf(ferric.CodeBusy, "%s: all %d slots are taken; try again later", s.subject, cap(s.slots))
}

// refuseRest answers what came in after the end began, so that its callers need not wait for their deadlines.
func (s *Service) refuseRest() {
	for {
		select {
		case m := <-s.in:
			s.answer(m, nil, ferric.Errorf(ferric.CodeElsewhere, "%s: the service is shutting down", s.subject))
		default:
			return
		}
	}
}

// handle runs the handler. A panic becomes an error.
func (s *Service) handle(requestID string, timeout time.Duration, rq *Request) (resp any, err error) {
	ctx, cancel := context.WithTimeout(s.ctx, timeout)
	defer cancel()
	ctx = obs.WithRequestID(ctx, requestID)
	if !s.b.protect(ctx, "handler", s.subject, func() { resp, err = s.handler(ctx, rq) }) {
		resp, err = nil, ferric.Errorf(ferric.CodeInternal, "%s: the handler crashed; the log of the serving process has the reason", s.subject)
	}
	return resp, err
}

// answer sends the outcome of a request. What cannot be sent is turned into an error that can.
func (s *Service) answer(m *nats.Msg, resp any, failure error) {
	if m.Reply == "" {
		return // published, not called: nobody waits
	}
	var out *nats.Msg
	if failure == nil {
		out, failure = s.b.newMessage(context.Background(), m.Reply, resp)
	}
	if failure != nil {
		out = &nats.Msg{Subject: m.Reply, Header: errorHeader(failure)}
	}
	err := s.b.nc.PublishMsg(out)
	if errors.Is(err, nats.ErrMaxPayload) {
		tooLarge := s.answerTooLarge(len(out.Data), s.b.nc.MaxPayload())
		err = s.b.nc.PublishMsg(&nats.Msg{Subject: m.Reply, Header: errorHeader(tooLarge)})
	}
	if err != nil {
		s.b.log.Warn("an answer on the bus is lost", "subject", s.subject, "error", err)
	}
}

func (s *Service) answerTooLarge(size int, limit int64) error {
	return ferric.Errorf(ferric.CodeInternal, "%s: the answer of %d bytes is larger than the server takes (max_payload %d)", s.subject, size, limit)
}

// withdraw ends the calls that come past the server.
func (s *Service) withdraw() {
	s.b.mu.Lock()
	defer s.b.mu.Unlock()
	if s.b.local[s.subject] == s {
		delete(s.b.local, s.subject)
	}
}

// drain ends the flow of requests and returns when no more can come in (at once when disconnected).
func (s *Service) drain() {
	s.once.Do(func() {
		s.withdraw()
		if !s.b.nc.IsConnected() {
			_ = s.sub.Unsubscribe() // fails only when the connection is closed for good
			return
		}
		if err := s.sub.Drain(); err != nil {
			return // the connection is closed: nothing comes in
		}
		select {
		case <-s.drained:
		case <-time.After(5 * time.Second):
		}
	})
}

// Stop ends the service: new requests find nobody, running handlers may finish until ctx ends and are cancelled
// then. It returns when all of them have ended. Repeating it is harmless.
func (s *Service) Stop(ctx context.Context) {
	s.drain()
	s.b.mu.Lock()
	delete(s.b.services, s)
	s.b.mu.Unlock()
	select {
	case <-s.done:
	case <-ctx.Done():
		s.cancel()
		<-s.done
	}
}
