package bus_test

import (
	"context"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ferric"
	"ferric/bus"
	"ferric/obs"
)

func TestEventsComeInOrder(t *testing.T) {
	eachKind(t, func(t *testing.T, a, b *bus.Bus) {
		const n = 2000 // fewer than QueueSize: nothing may be lost
		done := make(chan struct{})
		var got []int
		var ids, subjects []string
		_, err := a.Subscribe("node.>", func(ctx context.Context, e bus.Event) {
			var i int
			if err := e.Decode(&i); err != nil {
				t.Error(err)
			}
			if got = append(got, i); i == 0 {
				ids, subjects = append(ids, obs.RequestID(ctx)), append(subjects, e.Subject)
			}
			if i == n-1 {
				close(done)
			}
		}, func(context.Context) { t.Error("a gap") })
		if err != nil {
			t.Fatal(err)
		}
		ctx := obs.WithRequestID(t.Context(), "req-9")
		for i := range n {
			if err := b.Publish(ctx, bus.Subject("node", "u.1"), i); err != nil {
				t.Fatal(err)
			}
		}
		receive(t, "all events", done)
		for i, v := range got {
			if i != v {
				t.Fatalf("event %d came as number %d", v, i)
			}
		}
		if len(got) != n {
			t.Errorf("%d events", len(got))
		}
		if diff := cmp.Diff([]string{"req-9", "node.u%2E1"}, append(ids, subjects...)); diff != "" {
			t.Error(diff)
		}
	})
}

func TestSlowSubscriberLosesEventsAndIsTold(t *testing.T) {
	b := open(t, bus.Config{})
	const n = 2*bus.QueueSize + 100
	started, release, gap, last := make(chan struct{}), make(chan struct{}), make(chan struct{}, 100), make(chan struct{})
	count := 0
	_, err := b.Subscribe("e", func(_ context.Context, e bus.Event) {
		if count++; count == 1 {
			close(started)
			<-release
		}
		if string(e.Data) == `"last"` {
			close(last)
		}
	}, func(context.Context) { gap <- struct{}{} })
	if err != nil {
		t.Fatal(err)
	}
	quick := make(chan struct{})
	seen := 0
	if _, err := b.Subscribe("done", func(context.Context, bus.Event) { seen++; close(quick) }, nil); err != nil {
		t.Fatal(err)
	}
	for i := range n {
		if err := b.Publish(t.Context(), "e", i); err != nil {
			t.Fatal(err)
		}
	}
	receive(t, "the first event", started)
	if err := b.Publish(t.Context(), "done", nil); err != nil {
		t.Fatal(err)
	}
	receive(t, "another subscriber's event, past the slow one", quick)
	close(release)
	receive(t, "the gap", gap)
	// Once the queue has been worked off, events flow again.
	eventually(t, "an event after the gap", func() bool {
		if err := b.Publish(t.Context(), "e", "last"); err != nil {
			t.Fatal(err)
		}
		select {
		case <-last:
			return true
		default:
			return false
		}
	})
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if count >= n {
		t.Errorf("%d events came through a queue of %d", count, bus.QueueSize)
	}
}

func TestSubscriberPanicEndsOnlyItsCall(t *testing.T) {
	b := open(t, bus.Config{})
	events := make(chan string, 2)
	_, err := b.Subscribe("e", func(_ context.Context, e bus.Event) {
		events <- string(e.Data)
		panic("why")
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"1", "2"} {
		if err := b.Publish(t.Context(), "e", map[string]int{"1": 1, "2": 2}[want]); err != nil {
			t.Fatal(err)
		}
		if got := receive(t, "event", events); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestStoppedSubscriptionIsSilent(t *testing.T) {
	b := open(t, bus.Config{})
	events := make(chan string, 10)
	s, err := b.Subscribe("e", func(_ context.Context, e bus.Event) { events <- string(e.Data) }, nil)
	if err != nil {
		t.Fatal(err)
	}
	s.Stop()
	s.Stop()
	if err := b.Publish(t.Context(), "e", 1); err != nil {
		t.Fatal(err)
	}
	if err := b.Check(t.Context()); err != nil { // the event has been through the server
		t.Fatal(err)
	}
	if len(events) != 0 {
		t.Errorf("got %s", <-events)
	}
}

func TestPublishRefuses(t *testing.T) {
	b := open(t, bus.Config{})
	for name, err := range map[string]error{
		"wildcard":          b.Publish(t.Context(), "a.>", 1),
		"too large":         b.Publish(t.Context(), "a", strings.Repeat("x", 9<<20)),
		"subscribe to > in": second(b.Subscribe("a.>.b", nil, nil)),
	} {
		if !ferric.IsCode(err, ferric.CodeInvalid) {
			t.Errorf("%s: got %v, want invalid", name, err)
		}
	}
	if err := (bus.Event{Subject: "x", Data: []byte("{")}).Decode(new(int)); !ferric.IsCode(err, ferric.CodeCorrupt) {
		t.Errorf("got %v, want corrupt", err)
	}
}

func TestSubject(t *testing.T) {
	tests := map[string]struct {
		parts []string
		want  string
	}{
		"plain":    {[]string{"conductor", "host-1"}, "conductor.host-1"},
		"dots":     {[]string{"conductor", "a.b"}, "conductor.a%2Eb"},
		"unsafe":   {[]string{"*", ">", "a b", "50%"}, "%2A.%3E.a%20b.50%25"},
		"empty":    {[]string{"a", ""}, "a.%"},
		"no ASCII": {[]string{"ü"}, "%C3%BC"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got := bus.Subject(tt.parts...); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}
