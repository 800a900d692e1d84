package store

import (
	"log/slog"
	"testing"
	"time"

	"ferric/store/pgtest"
)

// TestSharedClock: with PostgreSQL it does not matter what a host's own clock says.
func TestSharedClock(t *testing.T) {
	var server pgtest.Server
	defer server.Stop()
	c := Defaults()
	c.URL, c.DataDir = server.Fresh(t), t.TempDir()
	s, err := Open(t.Context(), c, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	near := func(what string) {
		t.Helper()
		var micros int64
		if err := s.r.QueryRowContext(t.Context(), "SELECT (EXTRACT(EPOCH FROM clock_timestamp()) * 1000000)::BIGINT").Scan(&micros); err != nil {
			t.Fatal(err)
		}
		if d := s.Now().Sub(fromMicros(micros)).Abs(); d > time.Minute { // far more than any delay, far less than what is wrong below
			t.Errorf("%s: %s from the server's clock", what, d)
		}
	}
	s.clock = func() time.Time { return time.Now().Add(-100 * time.Hour) }
	near("the host's clock is behind")
	s.shared.at = s.shared.at.Add(time.Hour) // as if the server's had been put back
	if err := s.OpenDoor(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	near("the server's clock was put back")
}
