package bus

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

// Status is what a watcher knows of a member.
type Status string

// The statuses of a change.
const (
	StatusAlive   Status = "alive"   // a member not known before
	StatusUpdated Status = "updated" // its group or its hardware types changed, or it is leaving
	StatusLeft    Status = "left"    // it said goodbye
	StatusLost    Status = "lost"    // no beat for cfg.LostAfter, or the host announces a new boot id
)

// Change is news of a member.
type Change struct {
	Member Member
	Status Status
}

// Watch follows the members.
type Watch struct {
	b      *Bus
	fn     func(Change)
	in     chan *nats.Msg
	cancel context.CancelFunc
	done   chan struct{}

	mu      sync.Mutex
	members map[string]*seen // by host
	since   time.Time        // when this watch began to hear everybody; zero while it does not
}

type seen struct {
	Member
	last time.Time
	twin string // boot id of another, older process with this host name that was complained of
}

// Watch calls fn (nil for none) for every change of the members, one call at a time, beginning with those that
// are there now; all of them are known about one round trip later, at the latest after cfg.Beat.
//
// A member is lost after cfg.LostAfter without a beat. While the watcher itself is disconnected nobody is declared
// lost, and after its reconnect everybody gets twice that time. When a host announces a newer boot id, the old one
// is lost and the new one alive; beats of the older process are then ignored and logged, because two conductors
// must not share a host name.
func (b *Bus) Watch(fn func(Change)) (*Watch, error) {
	if fn == nil {
		fn = func(Change) {}
	}
	w := &Watch{b: b, fn: fn, in: make(chan *nats.Msg, 4096), done: make(chan struct{}), members: map[string]*seen{}}
	ctx, cancel := context.WithCancel(b.ctx)
	w.cancel = cancel
	sub, err := b.subscribe("watch", subjectBeat, "", false, w.in)
	if err == nil {
		err = b.start(func() {
			defer close(w.done)
			defer func() { _ = sub.Unsubscribe() }()
			defer cancel()
			w.run(ctx)
		})
		if err != nil {
			_ = sub.Unsubscribe()
		}
	}
	if err != nil {
		cancel()
		return nil, err
	}
	return w, nil
}

func (w *Watch) run(ctx context.Context) {
	w.ask()
	every := max(w.b.cfg.LostAfter/8, time.Millisecond)
	tick := time.NewTicker(every)
	defer tick.Stop()
	last, away := time.Now(), false
	for {
		select {
		case <-ctx.Done():
			return
		case m := <-w.in:
			w.heard(m)
		case <-tick.C:
			w.hearAll() // beats that wait count before silence does
			now := time.Now()
			w.hears(now)
			late := now.Sub(last) > w.b.cfg.LostAfter/2 // this process was stopped or starved: it missed the beats
			last = now
			switch {
			case !w.b.nc.IsConnected():
				away = true
			case away:
				away = false
				w.grace(now.Add(w.b.cfg.LostAfter))
				w.ask()
			case late:
				w.grace(now)
			default:
				w.expire(now)
			}
		}
	}
}

// ask makes all members send a beat. If the connection is broken, it is asked again after the reconnect.
func (w *Watch) ask() { _ = w.b.nc.Publish(w.b.full(subjectWho), nil) }

func (w *Watch) hearAll() {
	for {
		select {
		case m := <-w.in:
			w.heard(m)
		default:
			return
		}
	}
}

func (w *Watch) heard(m *nats.Msg) {
	var bt beat
	if err := json.Unmarshal(m.Data, &bt); err != nil || bt.Host == "" || bt.BootID == "" {
		w.b.log.Warn("a beat on the bus cannot be read", "bytes", len(m.Data))
		return
	}
	for _, c := range w.note(bt, time.Now()) {
		w.tell(c)
	}
}

// note brings a beat into the table and returns what changed.
func (w *Watch) note(bt beat, now time.Time) []Change {
	w.mu.Lock()
	defer w.mu.Unlock()
	old := w.members[bt.Host]
	switch {
	case old == nil && bt.Goodbye:
		return nil
	case old == nil:
		w.members[bt.Host] = &seen{Member: bt.Member, last: now}
		return []Change{{bt.Member, StatusAlive}}
	case old.BootID != bt.BootID && bt.Started.Before(old.Started):
		if !bt.Goodbye && old.twin != bt.BootID {
			old.twin = bt.BootID
			w.b.log.Warn("two conductors use the same host name; give each its own (setting host)",
				"host", bt.Host, "boot_id", old.BootID, "ignored_boot_id", bt.BootID)
		}
		return nil
	case old.BootID != bt.BootID && bt.Goodbye:
		return nil
	case old.BootID != bt.BootID:
		w.members[bt.Host] = &seen{Member: bt.Member, last: now}
		return []Change{{old.Member, StatusLost}, {bt.Member, StatusAlive}}
	case bt.Goodbye:
		delete(w.members, bt.Host)
		return []Change{{old.Member, StatusLeft}}
	}
	changed := old.Leaving != bt.Leaving || old.Group != bt.Group || !slices.Equal(old.HardwareTypes, bt.HardwareTypes)
	old.Member, old.last = bt.Member, now
	if changed {
		return []Change{{bt.Member, StatusUpdated}}
	}
	return nil
}

// hears notes since when the watch hears everybody.
func (w *Watch) hears(now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case !w.b.nc.IsConnected():
		w.since = time.Time{}
	case w.since.IsZero():
		w.since = now
	}
}

// Present reports whether a process is there and not leaving. sure is false when this watch has no right to say so: it is disconnected, or was
// until a moment ago.
func (w *Watch) Present(host, bootID string) (there, sure bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	m := w.members[host]
	if m != nil && m.BootID == bootID {
		return !m.Leaving, true
	}
	return false, !w.since.IsZero() && w.b.nc.IsConnected() && time.Since(w.since) > w.b.cfg.LostAfter
}

// grace lets every member's silence begin at the given time.
func (w *Watch) grace(from time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range w.members {
		s.last = from
	}
}

func (w *Watch) expire(now time.Time) {
	var lost []Change
	w.mu.Lock()
	for host, s := range w.members {
		if now.Sub(s.last) > w.b.cfg.LostAfter {
			delete(w.members, host)
			lost = append(lost, Change{s.Member, StatusLost})
		}
	}
	w.mu.Unlock()
	for _, c := range lost {
		w.tell(c)
	}
}

func (w *Watch) tell(c Change) {
	w.b.protect(context.Background(), "presence watcher", subjectBeat, func() { w.fn(c) })
}

// Members returns the members that are alive, by host name.
func (w *Watch) Members() []Member {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := make([]Member, 0, len(w.members))
	for s := range maps.Values(w.members) {
		m := s.Member
		m.HardwareTypes = slices.Clone(m.HardwareTypes)
		out = append(out, m)
	}
	slices.SortFunc(out, func(a, b Member) int { return strings.Compare(a.Host, b.Host) })
	return out
}

// Stop ends the watch and returns when fn has. Repeating it is harmless.
func (w *Watch) Stop() {
	w.cancel()
	<-w.done
}
