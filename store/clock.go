package store

import (
	"context"
	"sync"
	"time"
)

// sharedClock is the clock of a PostgreSQL server, as this process knows it. All hosts write their times and measure their leases by it, so that
// it does not matter how far their own clocks are apart, or whether one leaps: between two looks at the server's it goes on by the time that the
// kernel counts, which does not.
type sharedClock struct {
	mu   sync.Mutex
	at   time.Time // the server's time
	then time.Time // when it was that
}

func (c *sharedClock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at.Add(time.Since(c.then))
}

// sync looks at the server's clock. It does nothing where there is none to share.
func (s *Store) sync(ctx context.Context) error {
	if s.shared == nil {
		return nil
	}
	return s.get(ctx, "read the database's clock", func(ctx context.Context, q querier) error {
		asked := time.Now()
		var micros int64
		if err := q.QueryRowContext(ctx, "SELECT (EXTRACT(EPOCH FROM clock_timestamp()) * 1000000)::BIGINT").Scan(&micros); err != nil {
			return err
		}
		took := time.Since(asked)
		s.shared.mu.Lock()
		defer s.shared.mu.Unlock()
		s.shared.at, s.shared.then = fromMicros(micros).Add(took/2), asked.Add(took)
		return nil
	})
}

// Now is the time by the clock that all who work with the database share: PostgreSQL's, or with SQLite the host's.
func (s *Store) Now() time.Time { return s.now() }

// now is the time in the form in which it is kept.
func (s *Store) now() time.Time {
	t := s.clock()
	if s.shared != nil {
		t = s.shared.now()
	}
	return t.UTC().Truncate(time.Microsecond)
}
