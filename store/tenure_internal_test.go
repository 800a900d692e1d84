package store

import (
	"log/slog"
	"testing"
	"time"

	"ferric"
	"ferric/flow"
)

// A host's clock is set forward or back by an hour. On SQLite no lease ends early by that, and none lasts for longer.
func TestClockJumps(t *testing.T) {
	for name, jump := range map[string]time.Duration{"forward": time.Hour, "back": -time.Hour} {
		t.Run(name, func(t *testing.T) {
			cfg := Defaults()
			cfg.DataDir = t.TempDir()
			s, err := Open(t.Context(), cfg, slog.New(slog.DiscardHandler))
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			ctx := t.Context()
			var jumped, runs time.Duration // what the clock was set by; how long the host has been running
			s.clock = func() time.Time { return time.Now().Add(jumped + runs) }
			s.tenure.since = func() time.Duration { return runs }
			n := &ferric.Node{Driver: "fake-hardware"}
			if err := s.CreateNode(ctx, n); err != nil {
				t.Fatal(err)
			}
			first, err := s.Acquire(ctx, n.UUID, "one", time.Minute)
			if err != nil {
				t.Fatal(err)
			}
			jumped, runs = jump, 30*time.Second
			if _, err := s.Acquire(ctx, n.UUID, "two", time.Minute); !ferric.IsCode(err, ferric.CodeLocked) {
				t.Errorf("a second worker, while the first one is at work: %v", err)
			}
			if kept, err := s.Renew(ctx, []flow.Lease{first}, time.Minute); err != nil || len(kept) != 1 {
				t.Errorf("renewal: %v, %v", kept, err)
			}
			runs += 50 * time.Second
			if _, err := s.Acquire(ctx, n.UUID, "two", time.Minute); !ferric.IsCode(err, ferric.CodeLocked) {
				t.Errorf("a second worker after the renewal: %v", err)
			}
			runs += time.Minute // nobody renewed it
			second, err := s.Acquire(ctx, n.UUID, "two", time.Minute)
			if err != nil || second.Epoch != first.Epoch+1 {
				t.Fatalf("the lease has run out: %+v, %v", second, err)
			}
			if kept, err := s.Renew(ctx, []flow.Lease{first}, time.Minute); err != nil || len(kept) != 0 {
				t.Errorf("renewal of a lost lease: %v, %v", kept, err)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			// Another process, under another name, with the clock as it was: what the dead one held is free at once.
			again, err := Open(ctx, cfg, slog.New(slog.DiscardHandler))
			if err != nil {
				t.Fatal(err)
			}
			defer again.Close()
			if third, err := again.Acquire(ctx, n.UUID, "renamed", time.Minute); err != nil || third.Epoch != second.Epoch+1 {
				t.Errorf("after a restart: %+v, %v", third, err)
			}
		})
	}
}
