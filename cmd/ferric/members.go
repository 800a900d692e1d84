package main

import (
	"context"
	"sync"
	"time"

	"ferric"
	"ferric/bus"
	"ferric/conductor/ring"
	"ferric/store"
)

// membersAge is how old the list of conductors may be when nothing is heard of a change.
const membersAge = time.Second

// members knows which conductors are alive. Database and bus say it together: a conductor must have written its sign of life to the database,
// and must be heard on the bus, because otherwise it either can do no work or cannot be asked to. Where this process has lost the bus itself, the
// database alone counts.
type members struct {
	store   *store.Store
	timeout time.Duration // age of a sign of life in the database after which a conductor is gone
	watch   *bus.Watch
	told    func() // of every change

	mu      sync.Mutex
	all     []ferric.Conductor
	ring    *ring.Ring
	readAt  time.Time
	changed chan struct{}            // closed and replaced with every change
	gone    map[string]chan struct{} // by boot id: closed when the bus loses the process
}

// follow starts to follow the members. told is called for every change.
func follow(s *store.Store, b *bus.Bus, timeout time.Duration, told func()) (*members, error) {
	m := &members{store: s, timeout: timeout, told: told, changed: make(chan struct{}), gone: map[string]chan struct{}{}}
	var err error
	m.mu.Lock() // heard may be called before Watch returns
	defer m.mu.Unlock()
	m.watch, err = b.Watch(m.heard)
	return m, err
}

// heard is told of every change on the bus.
func (m *members) heard(c bus.Change) {
	m.mu.Lock()
	m.readAt = time.Time{}
	close(m.changed)
	m.changed = make(chan struct{})
	if c.Status == bus.StatusLost || c.Status == bus.StatusLeft {
		if gone := m.gone[c.Member.BootID]; gone != nil {
			close(gone)
			delete(m.gone, c.Member.BootID)
		}
	}
	m.mu.Unlock()
	m.told()
}

// Conductors lists all conductors with who is alive.
func (m *members) Conductors(ctx context.Context) ([]ferric.Conductor, error) {
	all, _, err := m.read(ctx)
	return all, err
}

func (m *members) read(ctx context.Context) ([]ferric.Conductor, *ring.Ring, error) {
	m.mu.Lock()
	defer m.mu.Unlock() // one reader; the others take what it brings
	if m.ring != nil && time.Since(m.readAt) < membersAge {
		return m.all, m.ring, nil
	}
	at := time.Now()
	all, err := m.store.Conductors(ctx, m.timeout)
	if err != nil {
		return nil, nil, err
	}
	for i := range all {
		if there, sure := m.watch.Present(all[i].Host, all[i].BootID); sure && !there {
			all[i].Alive = false
		}
	}
	m.all, m.ring, m.readAt = all, ring.New(all), at
	return all, m.ring, nil
}

// change returns a channel that is closed at the next change.
func (m *members) change() <-chan struct{} {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.changed
}

// forget lets the next question be answered by the database.
func (m *members) forget() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.readAt = time.Time{}
}

// lost returns a channel that is closed when the process behind a host name is gone: what it was asked is not going to be answered.
func (m *members) lost(host string) <-chan struct{} {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, c := range m.all {
		if c.Host != host {
			continue
		}
		if m.gone[c.BootID] == nil {
			m.gone[c.BootID] = make(chan struct{})
		}
		return m.gone[c.BootID]
	}
	return nil
}

// seenWithin reports whether a conductor that could serve a node was alive a short while ago. Waiting for it, or for the one that takes over, makes
// sense then.
func (m *members) seenWithin(d time.Duration, fits func(ferric.Conductor) bool) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, c := range m.all {
		if fits(c) && time.Since(c.UpdatedAt) < d {
			return true
		}
	}
	return false
}

// memberStore is the store with what the bus knows of the conductors, for the API.
type memberStore struct {
	*store.Store
	members *members
}

// Conductors implements api.Store.
func (s memberStore) Conductors(ctx context.Context, _ time.Duration) ([]ferric.Conductor, error) {
	all, err := s.members.Conductors(ctx)
	return append([]ferric.Conductor{}, all...), err
}
