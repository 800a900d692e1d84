package notify

import (
	"context"
	"encoding/json"

	"ferric"
)

// Subjects publishes on NATS; package bus does.
type Subjects interface {
	// Put publishes data on a subject, which is taken as it is. With kept it returns when a stream of JetStream has stored the message, whose id keeps it from being stored
	// twice; CodeUnavailable if no stream takes the subject.
	Put(ctx context.Context, subject, id string, data []byte, kept bool) error
	// Flush returns when the server has everything that was put before.
	Flush(ctx context.Context) error
}

// NATS publishes each message on a subject made of a prefix and its event type. Without a stream, those who listen at that moment get it; with one, a message counts as
// delivered when the stream has it.
type NATS struct {
	Subjects Subjects
	Prefix   string
	Stream   bool
}

// Send implements Sink.
func (s *NATS) Send(ctx context.Context, list []ferric.Notice) (sent int, err error) {
	for i := range list {
		n := &list[i]
		data, err := json.Marshal(NewMessage(n))
		if err != nil {
			return i, ferric.Errorf(ferric.CodeInternal, "message %s: %w", n.MessageID, err)
		}
		if err := s.Subjects.Put(ctx, s.Prefix+"."+n.EventType, n.MessageID, data, s.Stream); err != nil {
			if s.Stream || i == 0 {
				return i, err
			}
			return 0, err // nobody has confirmed those before it
		}
	}
	if !s.Stream {
		if err := s.Subjects.Flush(ctx); err != nil {
			return 0, err
		}
	}
	return len(list), nil
}

// Close implements Sink. The connection is the bus's.
func (*NATS) Close() error { return nil }
