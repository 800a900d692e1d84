package bus

import (
	"context"
	"encoding/json"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"ferric"
)

// Subjects of the presence protocol: members send beats (and a last one, the goodbye), watchers ask who is there so
// that they need not wait for the next beat.
const (
	subjectBeat = "presence.beat"
	subjectWho  = "presence.who"
)

// Member is a conductor that announces itself.
type Member struct {
	Host          string    `json:"host"`
	Group         string    `json:"group"` // conductor group, "" for the default one
	HardwareTypes []string  `json:"hardware_types"`
	BootID        string    `json:"boot_id"` // new with every start of the process
	Started       time.Time `json:"started"` // of the process
	// Leaving says that the process stops: it takes no new work, but answers what it was asked.
	Leaving bool `json:"leaving,omitempty"`
	// Version is the version of the program, for people and for rules of upgrades.
	Version string `json:"version,omitempty"`
}

type beat struct {
	Member
	Goodbye bool `json:"goodbye,omitempty"`
}

// Announcement is the sender of a member's beats.
type Announcement struct {
	b      *Bus
	cancel context.CancelFunc
	done   chan struct{}
	poke   chan struct{} // send a beat now

	mu sync.Mutex
	m  Member
}

// Announce sends the member's first beat at once and one every cfg.Beat from then on, until Stop or the bus' Close,
// which say goodbye. Host and BootID must be set; a zero Started is now.
func (b *Bus) Announce(m Member) (*Announcement, error) {
	if m.Host == "" || m.BootID == "" {
		return nil, ferric.Errorf(ferric.CodeInvalid, "announce: Host and BootID must be set")
	}
	if m.Started.IsZero() {
		m.Started = time.Now()
	}
	a := &Announcement{b: b, m: m, done: make(chan struct{}), poke: make(chan struct{}, 1)}
	ctx, cancel := context.WithCancel(b.ctx)
	a.cancel = cancel
	in := make(chan *nats.Msg, 64)
	renewed, forget := b.notify()
	sub, err := b.subscribe("announce", subjectWho, "", false, in)
	if err == nil {
		err = b.start(func() {
			defer close(a.done)
			defer func() { _ = sub.Unsubscribe() }()
			defer forget()
			defer cancel()
			a.run(ctx, in, renewed)
		})
		if err != nil {
			_ = sub.Unsubscribe()
		}
	}
	if err != nil {
		forget()
		cancel()
		return nil, err
	}
	return a, nil
}

func (a *Announcement) run(ctx context.Context, who <-chan *nats.Msg, renewed <-chan struct{}) {
	tick := time.NewTicker(a.b.cfg.Beat)
	defer tick.Stop()
	for {
		a.send(false)
		select {
		case <-ctx.Done():
			a.send(true)
			return
		case <-tick.C:
		case <-who:
		case <-renewed:
		case <-a.poke:
		}
	}
}

// send publishes a beat. A failure needs no word: the connection's loss is in the log, and the next beat is near.
func (a *Announcement) send(goodbye bool) {
	a.mu.Lock()
	data, err := json.Marshal(beat{Member: a.m, Goodbye: goodbye})
	a.mu.Unlock()
	if err == nil {
		_ = a.b.nc.Publish(a.b.full(subjectBeat), data)
	}
}

// Update changes the group and the hardware types that the beats carry, and sends one.
func (a *Announcement) Update(group string, hardwareTypes []string) {
	a.mu.Lock()
	a.m.Group, a.m.HardwareTypes = group, slices.Clone(hardwareTypes)
	a.mu.Unlock()
	select {
	case a.poke <- struct{}{}:
	default:
	}
}

// Leave tells that the process is stopping, until Stop says goodbye.
func (a *Announcement) Leave() {
	a.mu.Lock()
	a.m.Leaving = true
	a.mu.Unlock()
	select {
	case a.poke <- struct{}{}:
	default:
	}
}

// Stop says goodbye, so that watchers know at once, and ends the beats. Repeating it is harmless.
func (a *Announcement) Stop() {
	a.cancel()
	<-a.done
}
