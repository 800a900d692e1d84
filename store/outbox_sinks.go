package store

import (
	"context"
	"slices"
	"time"

	"ferric"
)

// HoldSink makes a holder (a conductor's host name) the one that delivers to a sink, for a while, unless another one does. It returns the ID of
// the last notice that the sink has taken. A sink that is new gets all that there is.
func (s *Store) HoldSink(ctx context.Context, sink, holder string, ttl time.Duration) (done int64, held bool, err error) {
	var other bool
	err = s.get(ctx, "look at sink "+sink, func(ctx context.Context, q querier) error {
		return q.QueryRowContext(ctx, "SELECT EXISTS (SELECT 1 FROM outbox_sinks WHERE name = $1 AND holder <> $2 AND held_until > $3)",
			clean(sink), clean(holder), micros(s.now())).Scan(&other)
	})
	if err != nil || other {
		return 0, false, err
	}
	err = s.write(ctx, "hold sink "+sink, func(ctx context.Context, t *tx) error {
		held = false
		_, err := t.ExecContext(ctx, "INSERT INTO outbox_sinks (name) VALUES ($1) ON CONFLICT (name) DO NOTHING", clean(sink))
		if err != nil {
			return err
		}
		err = t.QueryRowContext(ctx, "UPDATE outbox_sinks SET holder = $1, held_until = $2 WHERE name = $3 AND (holder = $4 OR held_until <= $5) RETURNING done",
			clean(holder), micros(t.now.Add(ttl)), clean(sink), clean(holder), micros(t.now)).Scan(&done)
		if missing(err) {
			return nil
		}
		held = err == nil
		return err
	})
	return done, held, err
}

// SinkDone notes that a sink has taken all notices up to an ID, and how many of them it did not want. CodeStale if somebody else delivers now.
func (s *Store) SinkDone(ctx context.Context, sink, holder string, id int64, refused int) error {
	return s.sinkWrite(ctx, sink, "UPDATE outbox_sinks SET done = CASE WHEN done < $1 THEN $2 ELSE done END, refused = refused + $3, error = '', failing_since = 0 "+
		"WHERE name = $4 AND holder = $5", id, id, refused, clean(sink), clean(holder))
}

// SinkFailed notes why a sink takes nothing. CodeStale if somebody else delivers now.
func (s *Store) SinkFailed(ctx context.Context, sink, holder, why string) error {
	now := micros(s.now())
	return s.sinkWrite(ctx, sink, "UPDATE outbox_sinks SET error = $1, failing_since = CASE WHEN failing_since = 0 THEN $2 ELSE failing_since END "+
		"WHERE name = $3 AND holder = $4", clean(why), now, clean(sink), clean(holder))
}

// KeepSinks forgets all sinks but these. One that comes back gets all that there is then.
func (s *Store) KeepSinks(ctx context.Context, names []string) error {
	sinks, err := s.Sinks(ctx)
	if err != nil {
		return err
	}
	for _, sink := range sinks {
		if slices.Contains(names, sink.Name) {
			continue
		}
		if _, err := s.exec(ctx, "forget sink "+sink.Name, "DELETE FROM outbox_sinks WHERE name = $1", clean(sink.Name)); err != nil {
			return err
		}
	}
	return nil
}

// LeaveSink lets another one deliver at once.
func (s *Store) LeaveSink(ctx context.Context, sink, holder string) error {
	_, err := s.exec(ctx, "leave sink "+sink, "UPDATE outbox_sinks SET held_until = 0 WHERE name = $1 AND holder = $2", clean(sink), clean(holder))
	return err
}

func (s *Store) sinkWrite(ctx context.Context, sink, query string, args ...any) error {
	n, err := s.exec(ctx, "note the state of sink "+sink, query, args...)
	if err == nil && n == 0 {
		return ferric.Errorf(ferric.CodeStale, "another conductor delivers to the sink %s now", sink)
	}
	return err
}

// trimmedAtOnce bounds the notices that one transaction removes: others wait for it.
const trimmedAtOnce = 1000

// TrimOutbox removes notices that the sinks have taken (their names, with the topics that each takes), those beyond the newest keep, and those
// written before a time. It returns how many each sink did not get. Rows of sinks that are not named hold nothing back.
func (s *Store) TrimOutbox(ctx context.Context, sinks map[string][]string, keep int64, before time.Time) (dropped map[string]int64, err error) {
	dropped = map[string]int64{}
	for {
		lost, more, err := s.trimOnce(ctx, sinks, keep, before)
		for name, n := range lost {
			dropped[name] += n
		}
		if err != nil || !more {
			return dropped, err
		}
	}
}

// trimOnce removes the oldest ones.
func (s *Store) trimOnce(ctx context.Context, sinks map[string][]string, keep int64, before time.Time) (dropped map[string]int64, more bool, err error) {
	to, err := s.removable(ctx, sinks, keep, before)
	if err != nil || to == 0 {
		return nil, false, err
	}
	err = s.write(ctx, "trim the outbox", func(ctx context.Context, t *tx) error {
		dropped = map[string]int64{}
		done, err := sinksDone(ctx, t, t.forUpdate())
		if err != nil {
			return err
		}
		for name, topics := range sinks {
			if done[name] >= to {
				continue
			}
			var w clause
			var lost int64
			w.sql.WriteString("SELECT COUNT(*) FROM outbox WHERE id > " + w.arg(done[name]) + " AND id <= " + w.arg(to))
			w.among("topic", topics)
			if err := t.QueryRowContext(ctx, w.sql.String(), w.args...).Scan(&lost); err != nil {
				return err
			}
			w = clause{}
			w.sql.WriteString("UPDATE outbox_sinks SET done = " + w.arg(to))
			if lost > 0 {
				dropped[name] = lost
				w.sql.WriteString(", dropped = dropped + " + w.arg(lost) + ", dropped_at = " + w.arg(micros(t.now)))
			}
			w.sql.WriteString(" WHERE name = " + w.arg(clean(name)))
			if _, err := t.ExecContext(ctx, w.sql.String(), w.args...); err != nil {
				return err
			}
		}
		n, err := affected(t.ExecContext(ctx, "DELETE FROM outbox WHERE id <= $1", to))
		more = n >= trimmedAtOnce
		return err
	})
	return dropped, more, err
}

// removable returns the ID up to which notices may be removed now, no more than one transaction should; 0 for none.
func (s *Store) removable(ctx context.Context, sinks map[string][]string, keep int64, before time.Time) (to int64, err error) {
	err = s.read(ctx, "look at the outbox", func(ctx context.Context, q querier) error {
		var first, last, old int64
		if err := q.QueryRowContext(ctx, "SELECT COALESCE(MIN(id), 0), COALESCE(MAX(id), 0) FROM outbox").Scan(&first, &last); err != nil || first == 0 {
			return err
		}
		if err := q.QueryRowContext(ctx, "SELECT COALESCE(MAX(id), 0) FROM outbox WHERE at < $1", micros(before)).Scan(&old); err != nil {
			return err
		}
		done, err := sinksDone(ctx, q, "")
		if err != nil {
			return err
		}
		to = max(last-keep, old)
		if len(sinks) > 0 {
			taken := last
			for name := range sinks {
				taken = min(taken, done[name])
			}
			to = max(to, taken)
		}
		if to = min(to, first+trimmedAtOnce-1); to < first {
			to = 0
		}
		return nil
	})
	return to, err
}

// sinksDone returns how far each sink has come.
func sinksDone(ctx context.Context, q querier, lock string) (map[string]int64, error) {
	rows, err := q.QueryContext(ctx, "SELECT name, done FROM outbox_sinks ORDER BY name"+lock)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	done := map[string]int64{}
	for rows.Next() {
		var name string
		var id int64
		if err := rows.Scan(&name, &id); err != nil {
			return nil, err
		}
		done[name] = id
	}
	return done, rows.Err()
}

var sinkTable = table[ferric.Sink]{
	name: "outbox_sinks",
	id:   func(s *ferric.Sink) string { return s.Name },
	cols: []column[ferric.Sink]{
		text("name", func(s *ferric.Sink) *string { return &s.Name }),
		number("done", func(s *ferric.Sink) *int64 { return &s.Done }),
		text("holder", func(s *ferric.Sink) *string { return &s.Holder }),
		moment("held_until", func(s *ferric.Sink) *time.Time { return &s.HeldUntil }),
		text("error", func(s *ferric.Sink) *string { return &s.Error }),
		moment("failing_since", func(s *ferric.Sink) *time.Time { return &s.FailingSince }),
		number("dropped", func(s *ferric.Sink) *int64 { return &s.Dropped }),
		moment("dropped_at", func(s *ferric.Sink) *time.Time { return &s.DroppedAt }),
		number("refused", func(s *ferric.Sink) *int64 { return &s.Refused }),
	},
}

// Sinks returns how far each sink has come, those included that nothing is delivered to any more.
func (s *Store) Sinks(ctx context.Context) (list []ferric.Sink, err error) {
	err = s.read(ctx, "read sinks", func(ctx context.Context, q querier) error {
		rows, err := sinkTable.all(ctx, s, q, "ORDER BY name")
		if err != nil {
			return err
		}
		list = flat(rows)
		for i := range list {
			var oldest int64
			err := q.QueryRowContext(ctx, "SELECT COUNT(*), COALESCE(MIN(at), 0) FROM outbox WHERE id > $1", list[i].Done).Scan(&list[i].Waiting, &oldest)
			if err != nil {
				return err
			}
			list[i].Oldest = fromMicros(oldest)
		}
		return nil
	})
	return list, err
}
