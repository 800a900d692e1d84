package notify_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ferric"
	"ferric/openstack/notify"
	"ferric/store"
)

// outbox opens a database whose changes of chassis and nodes are told of.
func outbox(t *testing.T) *store.Store {
	t.Helper()
	c := composer()
	s, err := store.Open(t.Context(), store.Config{DataDir: t.TempDir(), Migrate: true, Notices: c.Notices}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// happen makes chassis, of each of which two notices tell.
func happen(t *testing.T, s *store.Store, count int) {
	t.Helper()
	for range count {
		if err := s.CreateChassis(ferric.AskedFor(t.Context(), ferric.ObjectChassis, ferric.ActionCreate), &ferric.Chassis{}); err != nil {
			t.Fatal(err)
		}
	}
}

// receiver takes notices as it is told to, and counts what couriers observe.
type receiver struct {
	mu    sync.Mutex
	taken []int64 // IDs, in the order in which they came
	ids   map[string]int
	next  func(n *ferric.Notice) error // nil: it takes everything
	grew  chan struct{}

	delivered, refused, failed int
}

func newReceiver() *receiver { return &receiver{ids: map[string]int{}, grew: make(chan struct{}, 1)} }

func (r *receiver) Send(_ context.Context, list []ferric.Notice) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range list {
		if r.next != nil {
			if err := r.next(&list[i]); err != nil {
				return i, err
			}
		}
		r.taken = append(r.taken, list[i].ID)
		r.ids[list[i].MessageID]++
		select {
		case r.grew <- struct{}{}:
		default:
		}
	}
	return len(list), nil
}

func (r *receiver) Close() error                               { return nil }
func (r *receiver) Delivered(_ string, n int, _ time.Duration) { r.count(&r.delivered, n) }
func (r *receiver) Refused(string)                             { r.count(&r.refused, 1) }
func (r *receiver) DeliveryFailed(string)                      { r.count(&r.failed, 1) }
func (r *receiver) count(what *int, n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	*what += n
}

// await returns when at least so many notices came.
func (r *receiver) await(t *testing.T, count int) []int64 {
	t.Helper()
	for {
		r.mu.Lock()
		taken := append([]int64{}, r.taken...)
		r.mu.Unlock()
		if len(taken) >= count {
			return taken
		}
		select {
		case <-r.grew:
		case <-t.Context().Done():
			t.Fatalf("%d notices came, want %d", len(taken), count)
		}
	}
}

// run runs a courier until stop is called.
func run(t *testing.T, c *notify.Courier, s *store.Store) (stop func()) {
	t.Helper()
	poke := make(chan struct{}, 1)
	s.OnChange(func() {
		select {
		case poke <- struct{}{}:
		default:
		}
	})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx, poke) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return stop
}

func courier(s notify.Outbox, r *receiver, holder string) *notify.Courier {
	return &notify.Courier{Name: "sink", Sink: r, Topics: []string{ferric.TopicNotifications}, Outbox: s, Holder: holder, Log: slog.New(slog.DiscardHandler), Watch: r,
		Poll: 10 * time.Millisecond}
}

func upTo(n int64) (ids []int64) {
	for i := range n {
		ids = append(ids, i+1)
	}
	return ids
}

// TestEveryNoticeArrivesInOrder: those from before the start, those written meanwhile, more than a batch.
func TestEveryNoticeArrivesInOrder(t *testing.T) {
	s, r := outbox(t), newReceiver()
	happen(t, s, 120)
	run(t, courier(s, r, "one"), s)
	happen(t, s, 30)
	if diff := cmp.Diff(upTo(300), r.await(t, 300)); diff != "" {
		t.Errorf("(-want +have):\n%s", diff)
	}
}

// TestAFailureIsTriedAgain: what was confirmed does not come again, what was not does, in order; what is refused is passed over.
func TestAFailureIsTriedAgain(t *testing.T) {
	s, r := outbox(t), newReceiver()
	tries := 0
	r.next = func(n *ferric.Notice) error {
		switch {
		case n.ID == 4 && tries < 2:
			tries++
			return errors.New("broker away")
		case n.ID == 6:
			return fmt.Errorf("post: %w", &notify.Refused{Why: "no such event"})
		}
		return nil
	}
	happen(t, s, 5)
	run(t, courier(s, r, "one"), s)
	if diff := cmp.Diff([]int64{1, 2, 3, 4, 5, 7, 8, 9, 10}, r.await(t, 9)); diff != "" {
		t.Errorf("(-want +have):\n%s", diff)
	}
	for {
		sinks, err := s.Sinks(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if sinks[0].Done == 10 { // it is noted after it has come
			if sinks[0].Refused != 1 || sinks[0].Error != "" || sinks[0].Waiting != 0 {
				t.Errorf("%+v", sinks[0])
			}
			break
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.failed != 2 || r.refused != 1 {
		t.Errorf("%d failures and %d refusals were observed, want 2 and 1", r.failed, r.refused)
	}
}

// dying is an outbox of a process that is killed after a sink has taken notices and before that is written down.
type dying struct {
	*store.Store
	kill context.CancelFunc
}

func (d *dying) SinkDone(context.Context, string, string, int64, int) error {
	d.kill()
	return context.Canceled
}
func (d *dying) SinkFailed(context.Context, string, string, string) error { return context.Canceled }
func (d *dying) LeaveSink(context.Context, string, string) error          { return nil } // the dead do nothing

// TestAProcessDiesBetweenSendingAndNoting: the next one sends them again, with the same ids.
func TestAProcessDiesBetweenSendingAndNoting(t *testing.T) {
	s, r := outbox(t), newReceiver()
	happen(t, s, 2)
	ctx, cancel := context.WithCancel(t.Context())
	if err := courier(&dying{s, cancel}, r, "one").Run(ctx, nil); err != nil {
		t.Fatal(err)
	}
	run(t, courier(s, r, "one"), s) // started again, under the same name
	if diff := cmp.Diff([]int64{1, 2, 3, 4, 1, 2, 3, 4}, r.await(t, 8)); diff != "" {
		t.Errorf("(-want +have):\n%s", diff)
	}
	if len(r.ids) != 4 {
		t.Errorf("%d message ids for 4 notices", len(r.ids))
	}
}

// TestOneOfTwoDelivers: a second conductor sends nothing until the first one leaves, and goes on then.
func TestOneOfTwoDelivers(t *testing.T) {
	s, first, second := outbox(t), newReceiver(), newReceiver()
	happen(t, s, 1)
	stop := run(t, courier(s, first, "one"), s)
	first.await(t, 2)
	run(t, courier(s, second, "two"), s)
	happen(t, s, 10)
	first.await(t, 22)
	stop()
	happen(t, s, 1)
	if diff := cmp.Diff([]int64{23, 24}, second.await(t, 2)); diff != "" {
		t.Errorf("the second one (-want +have):\n%s", diff)
	}
}

// TestWebhook posts to a real server that answers as it is told to.
func TestWebhook(t *testing.T) {
	type post struct{ ID, Event, Type string }
	var mu sync.Mutex
	var posts []post
	status := []int{500, 200, 429, 302, 201, 422, 204}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		var m notify.Message
		if err := json.Unmarshal(body, &m); err != nil {
			t.Errorf("%s: %v", body, err)
		}
		want := notify.Signature([]byte("key"), r.Header.Get("Ferric-Timestamp"), body)
		if r.Header.Get("Ferric-Signature") != want || r.Header.Get("Ferric-Timestamp") == "" {
			t.Errorf("signed %q at %q, want %q", r.Header.Get("Ferric-Signature"), r.Header.Get("Ferric-Timestamp"), want)
		}
		mu.Lock()
		defer mu.Unlock()
		posts = append(posts, post{m.MessageID, m.EventType, r.Header.Get("Content-Type")})
		w.WriteHeader(status[0])
		status = status[1:]
	}))
	t.Cleanup(server.Close)
	client := server.Client()
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	hook := &notify.Webhook{URL: server.URL + "/s3cret", Secret: []byte("key"), Timeout: time.Minute, Client: client}
	t.Cleanup(func() { hook.Close() })
	var list []ferric.Notice
	for _, id := range []string{"a", "b", "c", "d"} {
		list = append(list, ferric.Notice{MessageID: id, EventType: "baremetal.node.create.end", Level: "info", Payload: json.RawMessage(`{}`)})
	}
	var sent []int
	var refused *notify.Refused
	for len(list) > 0 {
		n, err := hook.Send(t.Context(), list)
		sent = append(sent, n)
		if errors.As(err, &refused) {
			n++
		} else if err != nil && !ferric.IsCode(err, ferric.CodeUnavailable) {
			t.Errorf("%v", err)
		}
		list = list[n:]
	}
	if diff := cmp.Diff([]int{0, 1, 0, 1, 1}, sent); diff != "" {
		t.Errorf("taken by each call (-want +have):\n%s", diff)
	}
	var ids []string
	for _, p := range posts {
		ids = append(ids, p.ID)
		if p.Event != "baremetal.node.create.end" || p.Type != "application/json" {
			t.Errorf("%+v", p)
		}
	}
	if diff := cmp.Diff([]string{"a", "a", "b", "b", "b", "c", "d"}, ids); diff != "" {
		t.Errorf("posts (-want +have):\n%s", diff)
	}
	server.Close()
	if _, err := hook.Send(t.Context(), []ferric.Notice{{Payload: json.RawMessage(`{}`)}}); !ferric.IsCode(err, ferric.CodeUnavailable) ||
		contains(err.Error(), "s3cret") {
		t.Errorf("a server that is gone: %v", err)
	}
}
