package notify

import (
	"encoding/hex"
	"encoding/json"
	"strings"

	"github.com/google/uuid"

	"ferric"
)

// Message is a notification as programs see it who listen with oslo.messaging.
type Message struct {
	MessageID   string          `json:"message_id"`
	PublisherID string          `json:"publisher_id"`
	EventType   string          `json:"event_type"`
	Priority    string          `json:"priority"` // in capitals
	Payload     json.RawMessage `json:"payload"`
	Timestamp   string          `json:"timestamp"` // UTC, "2006-01-02 15:04:05.000000"
	// UniqueID is the same when the message is sent again to the same topic: oslo.messaging passes over those that it has just seen.
	UniqueID string `json:"_unique_id,omitempty"`
	// Listeners make their request context of what begins with _context_.
	RequestID string `json:"_context_request_id,omitempty"`
}

// NewMessage makes the message of a notice.
func NewMessage(n *ferric.Notice) Message {
	return Message{MessageID: n.MessageID, PublisherID: n.Publisher, EventType: n.EventType, Priority: strings.ToUpper(n.Level), Payload: n.Payload,
		Timestamp: n.At.UTC().Format("2006-01-02 15:04:05.000000")}
}

// envelope is oslo.messaging's message format 2.0.
type envelope struct {
	Version string `json:"oslo.version"`
	Message string `json:"oslo.message"`
}

// sealed is a message in its envelope, for a topic.
func sealed(n *ferric.Notice, topic string) ([]byte, error) {
	m := NewMessage(n)
	id := uuid.NewSHA1(uuid.NameSpaceOID, []byte(n.MessageID+" "+topic))
	m.UniqueID = hex.EncodeToString(id[:])
	inner, err := json.Marshal(m)
	if err != nil {
		return nil, ferric.Errorf(ferric.CodeInternal, "message %s: %w", n.MessageID, err)
	}
	return json.Marshal(envelope{"2.0", string(inner)})
}
