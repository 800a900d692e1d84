package main

import (
	"context"
	"sync"
	"time"

	"ferric/store"
)

// leaseClock is the time by which DHCP leases run. It is in the database, goes on while any host serves DHCP, and does not leap with the wall clock: between two
// looks at the database it goes by the time that the kernel counts.
type leaseClock struct {
	store *store.Store

	mu   sync.Mutex
	at   time.Time // the database's
	then time.Time // when it was that
}

// How often the database is looked at, and how far the clock goes on without.
const (
	leaseTick    = 10 * time.Second
	leaseTickMax = time.Minute
)

// Now is the time.
func (c *leaseClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at.Add(min(time.Since(c.then), leaseTickMax))
}

func (c *leaseClock) tick(ctx context.Context) error {
	now, err := c.store.TickLeaseClock(ctx)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at, c.then = now, time.Now()
	return nil
}

// startLeaseClock reads the clock and adds the part that moves it on.
func (s *service) startLeaseClock(ctx context.Context) (*leaseClock, error) {
	c := &leaseClock{store: s.store}
	if err := c.tick(ctx); err != nil {
		return nil, err
	}
	s.run("clock of DHCP leases", func(ctx context.Context) error {
		return every(ctx, leaseTick, func(ctx context.Context) {
			if err := c.tick(ctx); err != nil && ctx.Err() == nil {
				s.log.Warn("the clock of DHCP leases stands still while the database is away; trying again", "error", err)
			}
		})
	})
	return c, nil
}
