package bus

import (
	"context"
	"errors"

	"github.com/nats-io/nats.go"

	"ferric"
)

// Put publishes data on a subject that is taken as it is, without the prefix: for readers outside of Ferric. With kept it returns when a stream of
// JetStream has stored the message; the same id is not stored twice while the stream remembers it.
//
// Errors: CodeUnavailable when the bus is not connected or no stream takes the subject, CodeInvalid for a subject or a size that cannot be sent.
func (b *Bus) Put(ctx context.Context, subject, id string, data []byte, kept bool) error {
	if err := checkSubject(subject, false); err != nil {
		return err
	}
	if b.isClosed() || !b.nc.IsConnected() {
		return ferric.Errorf(ferric.CodeUnavailable, "publish %s: the bus is not connected", subject)
	}
	ctx, cancel := context.WithTimeout(ctx, b.cfg.CallTimeout)
	defer cancel()
	m := &nats.Msg{Subject: subject, Data: data, Header: nats.Header{nats.MsgIdHdr: {id}}}
	var err error
	if kept {
		var js nats.JetStreamContext
		if js, err = b.nc.JetStream(); err == nil {
			_, err = js.PublishMsg(m, nats.Context(ctx), nats.MsgId(id))
		}
	} else {
		err = b.nc.PublishMsg(m)
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, nats.ErrNoResponders), errors.Is(err, nats.ErrNoStreamResponse):
		return ferric.Errorf(ferric.CodeUnavailable, "publish %s: no stream of JetStream takes this subject; make one: nats stream add", subject)
	case kept && errors.Is(err, context.DeadlineExceeded):
		return ferric.Errorf(ferric.CodeUnavailable, "publish %s: no stream of JetStream has stored it in time; is there one that takes this subject? (nats stream ls): %w", subject, err)
	case errors.Is(err, nats.ErrMaxPayload):
		return ferric.Errorf(ferric.CodeInvalid, "publish %s: %d bytes are more than the server takes (max_payload %d): %w", subject, len(data), b.nc.MaxPayload(), err)
	}
	return ferric.Errorf(ferric.CodeUnavailable, "publish %s: %w", subject, err)
}

// Flush returns when the server has everything that was published before. CodeUnavailable when the bus is not connected, or ctx ends.
func (b *Bus) Flush(ctx context.Context) error {
	if b.isClosed() || !b.nc.IsConnected() {
		return ferric.Errorf(ferric.CodeUnavailable, "flush: the bus is not connected")
	}
	ctx, cancel := context.WithTimeout(ctx, b.cfg.CallTimeout)
	defer cancel()
	if err := b.nc.FlushWithContext(ctx); err != nil {
		return ferric.Errorf(ferric.CodeUnavailable, "flush: %w", err)
	}
	return nil
}
