package store

import (
	"context"
	"time"

	"ferric"
)

var bootHostTable = table[ferric.BootHost]{
	name: "boot_hosts",
	id:   func(h *ferric.BootHost) string { return h.Host },
	cols: []column[ferric.BootHost]{
		text("hostname", func(h *ferric.BootHost) *string { return &h.Host }),
		text("http", func(h *ferric.BootHost) *string { return &h.HTTP }),
		text("address", func(h *ferric.BootHost) *string { return &h.Address }),
		text("network", func(h *ferric.BootHost) *string { return &h.Network }),
	},
}

// AnnounceBootHost notes that a host serves machines that boot now.
func (s *Store) AnnounceBootHost(ctx context.Context, h ferric.BootHost) error {
	if err := s.sync(ctx); err != nil {
		return err
	}
	_, err := s.exec(ctx, "announce boot host", "INSERT INTO boot_hosts (hostname, http, address, network, updated_at) VALUES ($1, $2, $3, $4, $5) "+
		"ON CONFLICT (hostname) DO UPDATE SET http = excluded.http, address = excluded.address, network = excluded.network, updated_at = excluded.updated_at",
		clean(h.Host), clean(h.HTTP), clean(h.Address), clean(h.Network), micros(s.now()))
	return err
}

// RetireBootHost takes back what AnnounceBootHost noted. None there is no error.
func (s *Store) RetireBootHost(ctx context.Context, host string) error {
	_, err := s.exec(ctx, "retire boot host", "DELETE FROM boot_hosts WHERE hostname = $1", clean(host))
	return err
}

// BootHosts returns the hosts that announced themselves within the time given, by name.
func (s *Store) BootHosts(ctx context.Context, within time.Duration) (list []ferric.BootHost, err error) {
	err = s.get(ctx, "list boot hosts", func(ctx context.Context, q querier) error {
		rows, err := bootHostTable.all(ctx, s, q, "WHERE updated_at >= $1 ORDER BY hostname", micros(s.now().Add(-within)))
		list = flat(rows)
		return err
	})
	return list, err
}

// maxTick is how far one call of TickLeaseClock moves the clock at most.
const maxTick = time.Minute

// TickLeaseClock moves the time by which DHCP leases run on, by what has gone by since somebody last did so, and returns it. It never goes back, and a clock that
// leaps, PostgreSQL's or the host's, moves it by a minute at most: leases may last longer than they should then, never shorter. It stands still while nobody calls.
func (s *Store) TickLeaseClock(ctx context.Context) (now time.Time, err error) {
	if err := s.sync(ctx); err != nil {
		return time.Time{}, err
	}
	err = s.write(ctx, "move the clock of DHCP leases on", func(ctx context.Context, t *tx) error {
		at := micros(s.now())
		var n, seen int64
		err := t.QueryRowContext(ctx, "SELECT now, seen_at FROM lease_clock WHERE id = 1"+t.forUpdate()).Scan(&n, &seen)
		if missing(err) {
			now = fromMicros(at)
			_, err := t.ExecContext(ctx, "INSERT INTO lease_clock (id, now, seen_at) VALUES (1, $1, $2) ON CONFLICT (id) DO NOTHING", at, at)
			return err
		}
		if err != nil {
			return err
		}
		n += min(max(at-seen, 0), maxTick.Microseconds())
		now = fromMicros(n)
		_, err = t.ExecContext(ctx, "UPDATE lease_clock SET now = $1, seen_at = $2 WHERE id = 1", n, at)
		return err
	})
	return now, err
}
