package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"ferric"
	"ferric/bus"
	"ferric/conductor"
)

// subjectReleased carries the UUIDs of nodes whose work may go on, from conductors that stop.
const subjectReleased = "ledger.released"

// presence is how a conductor shows itself on the bus.
type presence struct {
	bus *bus.Bus
	log *slog.Logger

	mu      sync.Mutex
	said    *bus.Announcement // nil before announce
	hearing *bus.Subscription
}

// announce begins to show the conductor, and lets it hear of work that others leave.
func (p *presence) announce(c *conductor.Conductor) error {
	poke := func(context.Context) { c.Poke() }
	hearing, err := p.bus.Subscribe(subjectReleased, func(ctx context.Context, _ bus.Event) { poke(ctx) }, poke)
	if err != nil {
		return err
	}
	said, err := p.bus.Announce(bus.Member{Host: c.Host, Group: c.Group, HardwareTypes: c.Drivers.TypeNames(), BootID: c.BootID,
		Started: time.Now(), Version: version()})
	p.mu.Lock()
	defer p.mu.Unlock()
	p.hearing, p.said = hearing, said
	return err
}

func (p *presence) leave() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.said != nil {
		p.said.Leave()
	}
}

// released tells the others of a node. A message that does not come costs them the time until they look for work by themselves.
func (p *presence) released(nodeUUID string) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if err := p.bus.Publish(ctx, subjectReleased, nodeUUID); err != nil {
		p.log.Debug("the others are not told that work may go on; they look for it", "node", nodeUUID, "error", err)
	}
}

// stop says goodbye.
func (p *presence) stop() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.said != nil {
		p.said.Stop()
	}
	if p.hearing != nil {
		p.hearing.Stop()
	}
	return nil
}

// lockConductor keeps a second conductor out of the data directory. A conductor frees at its start what its dead self held, so that one must be
// dead, and not only stopped.
func (s *service) lockConductor() error {
	path := s.path("conductor.lock")
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return ferric.Errorf(ferric.CodeUnavailable, "open the lock file: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return ferric.Errorf(ferric.CodeConflict,
				"another process is a conductor with this data directory (lock file %s): end it, or give each its own data_dir and host", path)
		}
		return ferric.Errorf(ferric.CodeUnavailable, "lock %s: %w", path, err)
	}
	s.closers = append(s.closers, f.Close)
	return nil
}
