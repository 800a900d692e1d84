package notify_test

import (
	"context"
	"encoding/json"
	"errors"
	"testing"

	"ferric"
	"ferric/openstack/notify"
)

// board takes what is put until it is told to fail. The real one is tested in package bus.
type board struct {
	put     []string
	failAt  int // the number of the Put that fails, from 1
	noFlush bool
}

func (b *board) Put(_ context.Context, subject, id string, data []byte, kept bool) error {
	if len(b.put)+1 == b.failAt {
		return errors.New("away")
	}
	var m notify.Message
	if err := json.Unmarshal(data, &m); err != nil || m.MessageID != id {
		return errors.New("no message: " + string(data))
	}
	b.put = append(b.put, subject+" "+id)
	return nil
}

func (b *board) Flush(context.Context) error {
	if b.noFlush {
		return errors.New("away")
	}
	return nil
}

// TestNATS: without a stream nothing counts before the server has it all, with one each message counts by itself.
func TestNATS(t *testing.T) {
	list := []ferric.Notice{}
	for _, id := range []string{"a", "b", "c"} {
		list = append(list, ferric.Notice{MessageID: id, EventType: "baremetal.node.create.end", Payload: json.RawMessage(`{}`)})
	}
	for name, tt := range map[string]struct {
		board  board
		stream bool
		sent   int
		fails  bool
	}{
		"all well":                          {board{}, false, 3, false},
		"all well in a stream":              {board{}, true, 3, false},
		"the server goes":                   {board{failAt: 3}, false, 0, true},
		"the server goes, with a stream":    {board{failAt: 3}, true, 2, true},
		"the server goes before it has all": {board{noFlush: true}, false, 0, true},
	} {
		t.Run(name, func(t *testing.T) {
			sent, err := (&notify.NATS{Subjects: &tt.board, Prefix: "ironic.notifications", Stream: tt.stream}).Send(t.Context(), list)
			if sent != tt.sent || (err != nil) != tt.fails {
				t.Errorf("%d, %v; want %d", sent, err, tt.sent)
			}
			if want := "ironic.notifications.baremetal.node.create.end a"; len(tt.board.put) == 0 || tt.board.put[0] != want {
				t.Errorf("put %v, want %q first", tt.board.put, want)
			}
		})
	}
}
