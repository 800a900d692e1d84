package store

import (
	"context"
	"time"

	"ferric"
)

// conductorRow is a conductor as it is stored.
type conductorRow struct {
	ferric.Conductor
	retired bool
}

var conductorTable = table[conductorRow]{
	name: "conductors",
	id:   func(c *conductorRow) string { return c.Host },
	cols: []column[conductorRow]{
		text("hostname", func(c *conductorRow) *string { return &c.Host }),
		text("conductor_group", func(c *conductorRow) *string { return &c.Group }),
		document("drivers", func(c *conductorRow) *[]string { return &c.HardwareTypes }),
		text("boot_id", func(c *conductorRow) *string { return &c.BootID }),
		number("protocol_oldest", func(c *conductorRow) *int { return &c.Protocol.Oldest }),
		number("protocol_newest", func(c *conductorRow) *int { return &c.Protocol.Newest }),
		moment("created_at", func(c *conductorRow) *time.Time { return &c.StartedAt }),
		moment("updated_at", func(c *conductorRow) *time.Time { return &c.UpdatedAt }),
		boolean("retired", func(c *conductorRow) *bool { return &c.retired }),
	},
}

// Announce notes that a conductor is alive now. With PostgreSQL it looks at the server's clock, too.
func (s *Store) Announce(ctx context.Context, c ferric.Conductor) error {
	if c.Host == "" {
		return ferric.Errorf(ferric.CodeInvalid, "announce conductor: Host must not be empty")
	}
	if err := s.sync(ctx); err != nil {
		return err
	}
	return s.urgent(ctx, "announce conductor", func(ctx context.Context, t *tx) error {
		row := &conductorRow{Conductor: c}
		row.UpdatedAt = t.now
		if row.StartedAt.IsZero() {
			row.StartedAt = t.now
		}
		if err := conductorTable.insert(ctx, s, t, []string{"hostname"}, row); err != nil || !s.serverClock {
			return err
		}
		_, err := t.ExecContext(ctx, "UPDATE conductors SET updated_at = "+serverNow+" WHERE hostname = $1", clean(c.Host))
		return err
	})
}

// Conductors returns all conductors by host name. Those are alive that announced themselves within the time given and did
// not retire.
func (s *Store) Conductors(ctx context.Context, aliveWithin time.Duration) (list []ferric.Conductor, err error) {
	err = s.get(ctx, "list conductors", func(ctx context.Context, q querier) error {
		since := micros(s.now().Add(-aliveWithin))
		if s.serverClock {
			if err := q.QueryRowContext(ctx, "SELECT "+s.at("$1"), s.from(time.Time{}, -aliveWithin)).Scan(&since); err != nil {
				return err
			}
		}
		rows, err := conductorTable.all(ctx, s, q, "ORDER BY hostname")
		list = make([]ferric.Conductor, len(rows))
		for i, c := range rows {
			c.Alive = !c.retired && micros(c.UpdatedAt) >= since
			c.Retired = c.retired
			list[i] = c.Conductor
		}
		return err
	})
	return list, err
}

// Retire notes that a conductor went away on purpose: it is not alive until it announces itself again. None there is no
// error.
func (s *Store) Retire(ctx context.Context, host string) error {
	_, err := s.exec(ctx, "retire conductor", "UPDATE conductors SET retired = TRUE WHERE hostname = $1", clean(host))
	return err
}

// OpenDoor notes that a host's API takes the calls of agents now; CloseDoor that it does no more.
func (s *Store) OpenDoor(ctx context.Context, host string) error {
	if err := s.sync(ctx); err != nil {
		return err
	}
	_, err := s.exec(ctx, "announce the API", "INSERT INTO agent_doors (hostname, updated_at) VALUES ($1, $2) "+
		"ON CONFLICT (hostname) DO UPDATE SET updated_at = excluded.updated_at", clean(host), micros(s.now()))
	return err
}

// CloseDoor takes back what OpenDoor noted; none there is no error.
func (s *Store) CloseDoor(ctx context.Context, host string) error {
	_, err := s.exec(ctx, "retire the API", "DELETE FROM agent_doors WHERE hostname = $1", clean(host))
	return err
}

// DoorOpen reports whether the API of any host took agents' calls within the time given.
func (s *Store) DoorOpen(ctx context.Context, within time.Duration) (open bool, err error) {
	err = s.get(ctx, "look for an API", func(ctx context.Context, q querier) error {
		now := s.now()
		return q.QueryRowContext(ctx, "SELECT EXISTS (SELECT 1 FROM agent_doors WHERE updated_at >= $1)", micros(now.Add(-within))).Scan(&open)
	})
	return open, err
}
