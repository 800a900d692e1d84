package bus_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"ferric"
	"ferric/bus"
)

// TestPut publishes for readers outside: whoever listens gets it on the very subject, and the server has it when Flush returns.
func TestPut(t *testing.T) {
	srv := external(t, -1, nil)
	b := open(t, bus.Config{URL: srv.ClientURL()})
	nc, err := nats.Connect(srv.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	in := make(chan *nats.Msg, 10)
	if _, err := nc.ChanSubscribe("ironic.>", in); err != nil {
		t.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := b.Put(t.Context(), "ironic.baremetal.node", "id-1", []byte("hello"), false); err != nil {
		t.Fatal(err)
	}
	if err := b.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	m := receive(t, "the message", in)
	if m.Subject != "ironic.baremetal.node" || string(m.Data) != "hello" || m.Header.Get(nats.MsgIdHdr) != "id-1" {
		t.Errorf("%s %q %v", m.Subject, m.Data, m.Header)
	}
	if err := b.Put(t.Context(), "ironic.*", "id", nil, false); !ferric.IsCode(err, ferric.CodeInvalid) {
		t.Errorf("a subject with a wildcard: %v", err)
	}
	if err := b.Put(t.Context(), "ironic.x", "id", make([]byte, 9<<20), false); !ferric.IsCode(err, ferric.CodeInvalid) {
		t.Errorf("a message that is too large: %v", err)
	}
	if err := b.Put(t.Context(), "other.x", "id", nil, true); !ferric.IsCode(err, ferric.CodeUnavailable) || !strings.Contains(err.Error(), "nats stream add") {
		t.Errorf("no JetStream: %v", err)
	}
	srv.Shutdown()
	eventually(t, "the connection is lost", func() bool { return !b.Connected() })
	if err := b.Put(t.Context(), "ironic.x", "id", nil, false); !ferric.IsCode(err, ferric.CodeUnavailable) {
		t.Errorf("without a server: %v", err)
	}
	if err := b.Flush(t.Context()); !ferric.IsCode(err, ferric.CodeUnavailable) {
		t.Errorf("flush without a server: %v", err)
	}
}

// TestPutIsKept: a stream stores a message when Put returns, and the same id once.
func TestPutIsKept(t *testing.T) {
	srv := external(t, -1, func(o *server.Options) { o.JetStream, o.StoreDir = true, t.TempDir() })
	b := open(t, bus.Config{URL: srv.ClientURL()})
	nc, err := nats.Connect(srv.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := nc.JetStream()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), long)
	defer cancel()
	if err := b.Put(ctx, "ironic.x", "id", nil, true); !ferric.IsCode(err, ferric.CodeUnavailable) || !strings.Contains(err.Error(), "no stream") {
		t.Errorf("no stream takes it: %v", err)
	}
	if _, err := js.AddStream(&nats.StreamConfig{Name: "ironic", Subjects: []string{"ironic.>"}}, nats.MaxWait(time.Minute)); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"a", "b", "a"} {
		if err := b.Put(ctx, "ironic.x", id, []byte(id), true); err != nil {
			t.Fatal(err)
		}
	}
	info, err := js.StreamInfo("ironic", nats.MaxWait(time.Minute))
	if err != nil || info.State.Msgs != 2 {
		t.Errorf("the stream has %+v, %v; want 2 messages", info, err)
	}
}
