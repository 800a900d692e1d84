package api_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"ferric"
	"ferric/api"
	"ferric/policy"
	"ferric/store"
)

// sse is one event as it was read.
type sse struct {
	id, kind string
	data     map[string]any
}

// listener reads the feed.
type listener struct {
	t      testing.TB
	events chan sse
	cancel context.CancelFunc
}

// listen follows the feed at path until the test ends. Blocks without data come as events without a kind. With lastID "may be refused" it returns
// nil while the feed has too many clients.
func (f *fixture) listen(path, lastID string) *listener {
	f.t.Helper()
	ctx, cancel := context.WithCancel(f.t.Context())
	req, err := http.NewRequestWithContext(ctx, "GET", f.server.URL+path, nil)
	if err != nil {
		f.t.Fatal(err)
	}
	req.Header.Set("Accept", "text/event-stream")
	if lastID != "" && lastID != "may be refused" {
		req.Header.Set("Last-Event-ID", lastID)
	}
	resp, err := f.server.Client().Do(req)
	if err != nil {
		f.t.Fatal(err)
	}
	if resp.StatusCode == 503 && lastID == "may be refused" {
		cancel()
		resp.Body.Close()
		return nil
	}
	if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "text/event-stream" {
		b, _ := io.ReadAll(resp.Body)
		f.t.Fatalf("status %d, type %q: %s", resp.StatusCode, resp.Header.Get("Content-Type"), b)
	}
	l := &listener{t: f.t, events: make(chan sse, 1000), cancel: cancel}
	var ended sync.WaitGroup
	ended.Go(func() {
		defer close(l.events)
		defer resp.Body.Close()
		var e sse
		for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
			name, value, _ := strings.Cut(lines.Text(), ": ")
			switch name {
			case "id":
				e.id = value
			case "event":
				e.kind = value
			case "data":
				if err := json.Unmarshal([]byte(value), &e.data); err != nil {
					f.t.Errorf("data %q: %v", value, err)
				}
			case "":
				if value == "heartbeat" {
					e.kind = "heartbeat"
				}
				if e.id != "" || e.kind != "" {
					l.events <- e
				}
				e = sse{}
			}
		}
	})
	f.t.Cleanup(func() { cancel(); ended.Wait() })
	return l
}

// next is the next event, without heartbeats.
func (l *listener) next() sse {
	l.t.Helper()
	for {
		select {
		case e, ok := <-l.events:
			if !ok {
				l.t.Fatal("the feed ended")
			}
			if e.kind != "heartbeat" {
				return e
			}
		case <-time.After(30 * time.Second):
			l.t.Fatal("no event came")
		}
	}
}

// feedFixture serves an API whose feed runs; stop ends the feed.
func feedFixture(t testing.TB, change ...func(*api.Config, *api.Deps)) (f *fixture, stop func()) {
	change = append([]func(*api.Config, *api.Deps){func(_ *api.Config, d *api.Deps) { d.Changes = d.Store.(*store.Store) }}, change...)
	f = newFixture(t, change...)
	poke := make(chan struct{}, 1)
	f.store.OnChange(func() {
		select {
		case poke <- struct{}{}:
		default:
		}
	})
	ctx, cancel := context.WithCancel(context.Background())
	var ended sync.WaitGroup
	ended.Go(func() {
		if err := f.api.Events(ctx, poke); err != nil {
			t.Error(err)
		}
	})
	stop = func() { cancel(); ended.Wait() }
	t.Cleanup(stop)
	f.open()
	return f, stop
}

// open waits until the feed takes a client, and lets that one go.
func (f *fixture) open() {
	f.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		resp, err := f.server.Client().Get(f.server.URL + "/ferric/v1/events")
		if err != nil {
			f.t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode == 200 {
			return
		}
	}
	f.t.Fatal("the feed takes no client")
}

func TestEvents(t *testing.T) {
	f, stop := feedFixture(t)
	first := f.node(m{"name": "one"})
	all := f.listen("/ferric/v1/events", "")
	start := all.next()
	if start.kind != "" || start.id == "" {
		t.Fatalf("the beginning: %+v", start)
	}
	second := f.node(m{"name": "two"})
	only := f.listen("/ferric/v1/events?node=two", "")
	only.next()
	e := all.next()
	if e.kind != "node.created" || e.data["node_uuid"] != second || e.data["provision_state"] != "enroll" || e.data["power_state"] != nil ||
		fmt.Sprint(e.data["id"]) != e.id || e.data["at"] != "2026-11-22T10:11:12.345678+00:00" {
		t.Errorf("created: %+v", e)
	}
	for i := range 3 {
		f.must(200, "PATCH", "/v1/nodes/"+first, []m{{"op": "replace", "path": "/extra", "value": m{"i": i}}})
		f.must(200, "PATCH", "/v1/nodes/"+second, []m{{"op": "replace", "path": "/description", "value": fmt.Sprint(i)}})
	}
	for range 3 {
		for _, want := range []struct{ id, field string }{{first, "extra"}, {second, "description"}} {
			if e = all.next(); e.kind != "node.updated" || e.data["node_uuid"] != want.id || !strings.Contains(fmt.Sprint(e.data["fields"]), want.field) {
				t.Errorf("updated: %+v", e)
			}
		}
	}
	for got := 0; got < 3; {
		switch e := only.next(); {
		case e.kind == "": // events of others were passed over
		case e.data["node_uuid"] != second:
			t.Fatalf("another node's: %+v", e)
		default:
			got++
		}
	}

	// Coming back, by header and by argument, misses nothing and repeats nothing.
	for _, again := range []*listener{f.listen("/ferric/v1/events", start.id), f.listen("/ferric/v1/events?last_event_id="+start.id, "")} {
		again.next()
		var id int
		fmt.Sscan(start.id, &id)
		for i := range 7 {
			if e := again.next(); e.id != fmt.Sprint(id+1+i) {
				t.Errorf("after %s: %+v", start.id, e)
			}
		}
	}
	// What was pruned, and what is of another database, cannot be had: look at everything again.
	if _, err := f.store.PruneChanges(t.Context(), clock.Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	for name, id := range map[string]string{"pruned": "0", "of the future": "99999"} {
		l := f.listen("/ferric/v1/events", id)
		l.next()
		if r := l.next(); name == "of the future" && (r.kind != "reset" || r.id != e.id) {
			t.Errorf("%s: %+v, want a reset to %s", name, r, e.id)
		}
	}
	f.must(204, "DELETE", "/v1/nodes/"+first, nil)
	if e := all.next(); e.kind != "node.deleted" || e.data["node_uuid"] != first {
		t.Errorf("deleted: %+v", e)
	}
	for path, want := range map[string]int{"?node=nobody": 404, "?node=" + nodeID: 404, "?last_event_id=x": 400, "?last_event_id=-1": 400, "?x=1": 400, "?node=!": 400} {
		f.must(want, "GET", "/ferric/v1/events"+path, nil)
	}
	f.must(405, "POST", "/ferric/v1/events", nil)

	stop()
	for _, l := range []*listener{all, only} {
		for range l.events { //nolint:revive // until it is closed
		}
	}
	f.must(503, "GET", "/ferric/v1/events", nil)
}

// TestEventsPruned resets a client that comes back too late, when this process holds nothing either.
func TestEventsPruned(t *testing.T) {
	f, _ := feedFixture(t, func(_ *api.Config, d *api.Deps) {
		s := d.Store.(*store.Store)
		for range 2 {
			if err := s.CreateNode(t.Context(), &ferric.Node{Driver: "fake-hardware"}); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := s.PruneChanges(t.Context(), clock.Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
	})
	l := f.listen("/ferric/v1/events", "1")
	l.next()
	if e := l.next(); e.kind != "reset" || e.id != "2" || e.data["id"] != 2.0 {
		t.Errorf("%+v", e)
	}
}

func TestEventsHeartbeatAndLimit(t *testing.T) {
	f, _ := feedFixture(t, func(c *api.Config, _ *api.Deps) {
		c.EventHeartbeat, c.MaxEventStreams, c.RequestTimeout = 10*time.Millisecond, 1, 100*time.Millisecond
	})
	f.open() // the one before has gone
	var one *listener
	for one == nil {
		one = f.listen("/ferric/v1/events", "may be refused")
	}
	if r := f.must(503, "GET", "/ferric/v1/events", nil); r.header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	beats := 0
	for e := range one.events { // longer than a request may take
		if e.kind == "heartbeat" {
			if beats++; beats == 20 {
				break
			}
		}
	}
	if beats != 20 {
		t.Errorf("%d heartbeats", beats)
	}
	one.cancel()
	f.open()
}

// TestEventsOfProject shows a project what belongs to it.
func TestEventsOfProject(t *testing.T) {
	const project = "70e5e25a-2ca2-4cb1-8ae8-7d8739cee205"
	f, _ := feedFixture(t, func(_ *api.Config, d *api.Deps) {
		d.Authenticator = everybodyIs(policy.Caller{UserID: "u", ProjectID: project, Roles: []string{"reader"}})
	})
	mine := &ferric.Node{Driver: "fake-hardware", Owner: project}
	other := &ferric.Node{Driver: "fake-hardware"}
	l := f.listen("/ferric/v1/events", "")
	l.next()
	for _, n := range []*ferric.Node{other, mine} {
		if err := f.store.CreateNode(t.Context(), n); err != nil {
			t.Fatal(err)
		}
	}
	seen := func(kind string) {
		t.Helper()
		e := l.next()
		for e.kind == "" {
			e = l.next()
		}
		if e.kind != kind || e.data["node_uuid"] != mine.UUID {
			t.Errorf("%+v, want %s of the project's node", e, kind)
		}
	}
	seen("node.created")
	f.change(other.UUID, func(n *ferric.Node) { n.Description = "x" })
	f.change(mine.UUID, func(n *ferric.Node) { n.Description = "x" })
	seen("node.updated")
	f.forget(other.UUID)
	f.forget(mine.UUID)
	seen("node.deleted")
}

type everybodyIs policy.Caller

func (a everybodyIs) Authenticate(*http.Request) (policy.Caller, error) { return policy.Caller(a), nil }

// pipes is a listener whose connections hold nothing: a write waits until it is read.
type pipes chan net.Conn

func (p pipes) Accept() (net.Conn, error) {
	if c, ok := <-p; ok {
		return c, nil
	}
	return nil, net.ErrClosed
}
func (p pipes) Close() error   { return nil }
func (p pipes) Addr() net.Addr { return &net.TCPAddr{} }

// TestSlowClient: one that takes nothing keeps nobody waiting, and is sent away.
func TestSlowClient(t *testing.T) {
	f, _ := feedFixture(t, func(c *api.Config, _ *api.Deps) { c.MaxEventStreams, c.EventDeadline = 2, 200*time.Millisecond })
	mine, theirs := net.Pipe()
	defer mine.Close()
	listener := make(pipes, 1)
	server := &http.Server{Handler: f.api}
	var served sync.WaitGroup
	served.Go(func() { server.Serve(listener) })
	defer served.Wait()
	defer close(listener)
	listener <- theirs
	fmt.Fprintf(mine, "GET /ferric/v1/events HTTP/1.1\r\nHost: x\r\n\r\n")
	begun, err := bufio.NewReader(mine).ReadString('\n')
	if err != nil || begun != "HTTP/1.1 200 OK\r\n" {
		t.Fatalf("%q, %v", begun, err)
	}
	quick := f.listen("/ferric/v1/events", "may be refused")
	for quick == nil {
		quick = f.listen("/ferric/v1/events", "may be refused")
	}
	quick.next()
	id := f.node(nil)
	for i := range 50 {
		f.change(id, func(n *ferric.Node) { n.Extra = map[string]any{"i": i} })
	}
	for range 51 {
		quick.next()
	}
	f.open() // the slow one's place is free
}

// BenchmarkEvents is the cost of one change for a process with many clients.
func BenchmarkEvents(b *testing.B) {
	f, _ := feedFixture(b)
	id := f.node(nil)
	const clients = 100
	var all []*listener
	for range clients {
		l := f.listen("/ferric/v1/events", "")
		l.next()
		all = append(all, l)
	}
	for i := 0; b.Loop(); i++ {
		f.change(id, func(n *ferric.Node) { n.Extra = map[string]any{"i": i} })
		for _, l := range all {
			l.next()
		}
	}
}
