package bus

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/nats-io/nats.go"

	"ferric"
	"ferric/obs"
)

// here returns the service of this very process that answers a subject, nil if there is none. It counts as running from then on.
func (b *Bus) here(subject string) *Service {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.local[subject]
	if s != nil && !b.closed {
		s.running.Add(1)
		return s
	}
	return nil
}

// callHere is Call for a service of this process: the request does not take the way over the server, and needs no connection. Caller and handler
// share no memory all the same, and every limit and error is that of the long way. s counts as running when it begins.
func (b *Bus) callHere(ctx context.Context, s *Service, req, resp any) error {
	data, err := payload(req)
	if err == nil && int64(len(data)) > b.nc.MaxPayload() {
		err = b.callError(s.subject, nats.ErrMaxPayload, len(data), 0)
	} else if err != nil {
		err = ferric.Errorf(ferric.ErrorCode(err), "call %s: %w", s.subject, err)
	}
	deadline, _ := ctx.Deadline()
	left := time.Until(deadline)
	if err == nil && left <= 0 {
		err = tooLate(s.subject)
	}
	if err != nil {
		s.running.Done()
		return err
	}
	select {
	case s.slots <- struct{}{}:
	default:
		s.running.Done()
		return s.busy()
	}
	type outcome struct {
		data []byte
		err  error
	}
	done := make(chan outcome, 1) // the caller may have gone
	go func() {
		defer s.running.Done()
		v, err := s.handle(obs.RequestID(ctx), left, &Request{Subject: s.subject, Data: data})
		<-s.slots
		var o outcome
		if err == nil {
			o.data, err = payload(v)
		}
		if limit := b.nc.MaxPayload(); err == nil && int64(len(o.data)) > limit {
			err = s.answerTooLarge(len(o.data), limit)
		}
		if err != nil {
			o.err = errorOf(errorHeader(err)) // what it would be at the other end of the way
		}
		done <- o
	}()
	select {
	case o := <-done:
		if o.err != nil {
			return o.err
		}
		return readAnswer(s.subject, o.data, resp)
	case <-ctx.Done():
		err := ctx.Err()
		if errors.Is(err, context.Canceled) {
			err = context.Cause(ctx)
		}
		err = b.callError(s.subject, err, len(data), left)
		if ferric.IsCode(err, ferric.CodeUnavailable) {
			err = wayError{err}
		}
		return err
	}
}

// payload is v as JSON, nothing for nil.
func payload(v any) ([]byte, error) {
	if v == nil {
		return nil, nil
	}
	data, err := json.Marshal(v)
	if err != nil {
		return nil, ferric.Errorf(ferric.CodeInternal, "write %T as JSON: %w", v, err)
	}
	return data, nil
}
