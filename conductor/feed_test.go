package conductor_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"ferric"
	"ferric/conductor"
	"ferric/store"
)

// reader takes what the change feed publishes.
type reader struct {
	mu   sync.Mutex
	got  []ferric.Change
	fail error
}

func (r *reader) publish(_ context.Context, c ferric.Change) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.fail != nil {
		return r.fail
	}
	r.got = append(r.got, c)
	return nil
}

func (r *reader) seen() []ferric.Change {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]ferric.Change(nil), r.got...)
}

func (r *reader) broken(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fail = err
}

// outbox tells when a publisher has found out where it begins: what happens from then on is published.
type outbox struct {
	*store.Store
	begun chan struct{}
	once  sync.Once
}

func (o *outbox) LastChange(ctx context.Context) (int64, error) {
	defer o.once.Do(func() { close(o.begun) })
	return o.Store.LastChange(ctx)
}

// feed lets a conductor publish until the function that it returns is called.
func (b *bench) feed(p *proc, r *reader) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	ended, poke := make(chan struct{}), make(chan struct{}, 1)
	b.store.OnChange(func() {
		select {
		case poke <- struct{}{}:
		default:
		}
	})
	from := &outbox{Store: b.store, begun: make(chan struct{})}
	go func() {
		defer close(ended)
		if err := p.PublishChanges(ctx, from, poke, r.publish); err != nil {
			b.Error(err)
		}
	}()
	stop = sync.OnceFunc(func() { cancel(); <-ended })
	b.Cleanup(stop)
	<-from.begun
	return stop
}

// published waits until the reader has seen the change with an ID.
func (b *bench) published(r *reader, last int64) {
	b.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(2 * time.Millisecond) {
		for _, c := range r.seen() {
			if c.ID == last {
				return
			}
		}
		if time.Now().After(deadline) {
			b.Fatalf("change %d was not published; seen: %d", last, len(r.seen()))
		}
	}
}

func (b *bench) lastChange() int64 {
	b.Helper()
	id, err := b.store.LastChange(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	return id
}

func TestChangeFeedIsInOrder(t *testing.T) {
	b := newBench(t)
	r := &reader{}
	first := b.lastChange()
	b.feed(b.boot("one"), r)
	m := b.site.node("lab")
	b.verb(m.id, "active")
	r.broken(errors.New("the bus is down")) // what happens meanwhile is published later
	b.reaches(m.id, ferric.Active)
	r.broken(nil)
	b.change(m.id, func(n *ferric.Node) { n.Description = "last" })
	b.published(r, b.lastChange())
	for i, c := range r.seen() {
		if c.ID != first+int64(i)+1 {
			t.Fatalf("change %d came as number %d after %d", c.ID, i, first)
		}
	}
	if got := r.seen(); got[0].Kind != "node.created" || got[len(got)-1].ProvisionState != ferric.Active {
		t.Errorf("first %+v, last %+v", got[0], got[len(got)-1])
	}
}

// TestChangeFeedFailsOver kills the conductor that publishes. No change may be missing from what the readers get.
func TestChangeFeedFailsOver(t *testing.T) {
	b := newBench(t)
	quick := func(c *conductor.Config) {
		c.HeartbeatInterval, c.HeartbeatTimeout = 20*time.Millisecond, 10*time.Second
	}
	one, two := b.boot("one", quick), b.boot("two", quick)
	r := &reader{}
	stop := b.feed(one, r)
	other := &reader{}
	b.feed(two, other)
	m := b.site.node("fake-hardware")
	b.published(r, b.lastChange())
	if n := len(other.seen()); n > 0 {
		t.Errorf("both publish: %d changes", n)
	}
	stop()
	one.kill()
	lost := b.lastChange() + 1
	for i := range 5 { // while nobody knows of the death
		b.change(m.id, func(n *ferric.Node) { n.Description = fmt.Sprint(i) })
	}
	last := b.lastChange()
	b.published(other, last)
	got := map[int64]bool{}
	for _, c := range append(r.seen(), other.seen()...) {
		got[c.ID] = true
	}
	for id := lost; id <= last; id++ {
		if !got[id] {
			t.Errorf("change %d was published by nobody", id)
		}
	}
}
