package bus

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"ferric"
)

// Call sends req as JSON to the subject and reads the answer into resp, a pointer (nil to ignore it). It blocks
// until the answer, the context's end, or cfg.CallTimeout if the context has no deadline.
//
// Unreached tells the errors of the way (nobody serves the subject, no connection, it broke, given up by the caller) from the handler's own.
//
// Errors: the handler's *ferric.Error with its code and message; CodeUnavailable when nobody serves the subject,
// the bus is not connected, or the connection broke while waiting (then the request may have been carried out);
// CodeBusy when the handler has no free slot; CodeTimeout when the deadline passed (again: it may have been carried
// out); CodeInvalid for a subject or a request that cannot be sent; CodeCorrupt for an answer that does not fit
// resp.
func (b *Bus) Call(ctx context.Context, subject string, req, resp any) error {
	if err := checkSubject(subject, false); err != nil {
		return err
	}
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, b.cfg.CallTimeout)
		defer cancel()
	}
	if s := b.here(subject); s != nil {
		return b.callHere(ctx, s, req, resp)
	}
	m, err := b.newMessage(ctx, b.full(subject), req)
	if err != nil {
		return ferric.Errorf(ferric.ErrorCode(err), "call %s: %w", subject, err)
	}
	deadline, _ := ctx.Deadline()
	left := time.Until(deadline)
	if left <= 0 {
		return tooLate(subject)
	}
	if m.Header == nil {
		m.Header = nats.Header{}
	}
	m.Header.Set(headerTimeout, left.String())

	link, closed := b.state()
	if closed {
		return wayError{errClosed("call " + subject)}
	}
	answer, err := b.request(ctx, m, link)
	if err != nil {
		if err = b.callError(subject, err, len(m.Data), left); ferric.IsCode(err, ferric.CodeUnavailable) {
			err = wayError{err}
		}
		return err
	}
	if err := errorOf(answer.Header); err != nil {
		return err
	}
	return readAnswer(subject, answer.Data, resp)
}

func readAnswer(subject string, data []byte, resp any) error {
	if err := decode(data, resp); err != nil {
		return ferric.Errorf(ferric.CodeCorrupt, "call %s: read the answer: %w", subject, err)
	}
	return nil
}

func tooLate(subject string) error {
	return ferric.Errorf(ferric.CodeTimeout, "call %s: the deadline had passed before the call: %w", subject, context.DeadlineExceeded)
}

// wayError is an error of the way between caller and handler.
type wayError struct{ error }

// Unwrap returns the error itself.
func (e wayError) Unwrap() error { return e.error }

// Unreached reports whether an error of Call is of the way, not of the handler. The request may have been carried out all the same, unless nobody
// served it.
func Unreached(err error) bool {
	var way wayError
	return errors.As(err, &way)
}

// request sends the message and waits for the answer, the context's end or the link's, which is ErrDisconnected.
func (b *Bus) request(ctx context.Context, m *nats.Msg, link <-chan struct{}) (*nats.Msg, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	var watcher sync.WaitGroup
	watcher.Go(func() {
		select {
		case <-link:
			cancel(nats.ErrDisconnected)
		case <-ctx.Done():
		}
	})
	defer watcher.Wait()
	defer cancel(nil)
	answer, err := b.nc.RequestMsgWithContext(ctx, m)
	if errors.Is(err, context.Canceled) {
		err = context.Cause(ctx)
	}
	return answer, err
}

func (b *Bus) callError(subject string, err error, size int, left time.Duration) error {
	switch {
	case errors.Is(err, nats.ErrNoResponders):
		return ferric.Errorf(ferric.CodeUnavailable, "call %s: nobody serves it: %w", subject, err)
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, nats.ErrTimeout):
		return ferric.Errorf(ferric.CodeTimeout, "call %s: no answer within %s: %w", subject, left.Round(time.Millisecond), err)
	case errors.Is(err, context.Canceled):
		return ferric.Errorf(ferric.CodeUnavailable, "call %s: given up by the caller: %w", subject, err)
	case errors.Is(err, nats.ErrMaxPayload):
		return ferric.Errorf(ferric.CodeInvalid, "call %s: the request of %d bytes is larger than the server takes (max_payload %d): %w",
			subject, size, b.nc.MaxPayload(), err)
	case errors.Is(err, nats.ErrReconnectBufExceeded):
		return ferric.Errorf(ferric.CodeUnavailable, "call %s: the bus is not connected", subject)
	case errors.Is(err, nats.ErrDisconnected):
		return ferric.Errorf(ferric.CodeUnavailable,
			"call %s: the connection to the bus broke while waiting; the request may have been carried out: %w", subject, err)
	case errors.Is(err, nats.ErrConnectionClosed):
		return errClosed("call " + subject)
	}
	return ferric.Errorf(ferric.CodeUnavailable, "call %s: %w", subject, err)
}
