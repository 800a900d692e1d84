package main

import (
	"context"
	"sync/atomic"
	"time"
)

// doors knows whether agents' calls can arrive: an operation that waits for one must not fail because nobody was there to take it.
type doors struct {
	open atomic.Bool
	own  bool // they come into this process
	s    *service
}

// watchDoors adds the part that looks whether an API is there and the bus carries its calls. own says that agents call this process itself.
func (s *service) watchDoors(ctx context.Context, own bool) *doors {
	d := &doors{own: own, s: s}
	d.look(ctx)
	s.run("agents' way to the conductor", func(ctx context.Context) error {
		return every(ctx, s.cfg.Conductor.HeartbeatInterval, d.look)
	})
	return d
}

// look renews what is known. With the database away nothing can be known, and no wait goes on.
func (d *doors) look(ctx context.Context) {
	if d.own {
		d.open.Store(true)
		return
	}
	open, err := d.s.store.DoorOpen(ctx, d.s.cfg.Conductor.HeartbeatTimeout)
	open = err == nil && open && d.s.bus.Check(ctx) == nil
	if was := d.open.Swap(open); was != open && ctx.Err() == nil {
		if open {
			d.s.log.Info("agents' calls arrive again: waits for them go on")
		} else {
			d.s.log.Warn("no API is there to take agents' calls, or the bus does not carry them: waits for them stand still", "error", err)
		}
	}
}

// keepDoor adds the part that tells conductors that this process takes agents' calls, as long as it can pass them on.
func (s *service) keepDoor(ctx context.Context) {
	knock := func(ctx context.Context) {
		if s.bus.Check(ctx) != nil {
			return
		}
		if err := s.store.OpenDoor(ctx, s.cfg.Host); err != nil && ctx.Err() == nil {
			s.log.Warn("cannot note that the API takes agents' calls; trying again", "error", err)
		}
	}
	knock(ctx)
	s.run("presence of the API", func(ctx context.Context) error {
		defer func() {
			stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
			defer cancel()
			if err := s.store.CloseDoor(stop, s.cfg.Host); err != nil {
				s.log.Warn("cannot note that the API has stopped; it will be noticed", "error", err)
			}
		}()
		return every(ctx, s.cfg.Conductor.HeartbeatInterval, knock)
	})
}

// every calls do again and again until ctx ends.
func every(ctx context.Context, interval time.Duration, do func(context.Context)) error {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
			do(ctx)
		}
	}
}
