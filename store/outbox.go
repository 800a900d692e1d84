package store

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"github.com/google/uuid"

	"ferric"
)

var noticeTable = table[ferric.Notice]{
	name: "outbox",
	id:   func(n *ferric.Notice) string { return n.MessageID },
	cols: []column[ferric.Notice]{
		number("id", func(n *ferric.Notice) *int64 { return &n.ID }),
		moment("at", func(n *ferric.Notice) *time.Time { return &n.At }),
		text("topic", func(n *ferric.Notice) *string { return &n.Topic }),
		text("about", func(n *ferric.Notice) *string { return &n.About }),
		text("message_id", func(n *ferric.Notice) *string { return &n.MessageID }),
		text("event_type", func(n *ferric.Notice) *string { return &n.EventType }),
		text("level", func(n *ferric.Notice) *string { return &n.Level }),
		text("publisher", func(n *ferric.Notice) *string { return &n.Publisher }),
		raw("payload", func(n *ferric.Notice) *json.RawMessage { return &n.Payload }),
	},
}

// Announcing makes notices of what happens, for Config.Notices. It is called inside transactions, perhaps twice: it must be quick, must not
// call the Store, and must not keep what it is given.
type Announcing func(ferric.Occurrence) []ferric.Notice

// tell adds the notices of an occurrence, to be written at the end of the transaction.
func (t *tx) tell(o ferric.Occurrence) {
	if t.s.notices == nil {
		return
	}
	t.notices = append(t.notices, t.s.notices(o)...)
}

// tellAsked tells of a change that a client of the API asked for: its start and its end. before is nil for what was created, after for what
// was deleted. started makes of the object what it was like at the start.
func tellAsked[T any](ctx context.Context, t *tx, object string, action ferric.Action, before, after *T, started func(o, before *T)) {
	if t.s.notices == nil || ferric.Asked(ctx, object) != action {
		return
	}
	first, last := before, before
	if after != nil {
		begun := *after
		started(&begun, before)
		first, last = &begun, after
	}
	t.tell(ferric.Occurrence{Object: object, News: ferric.News{Action: action, Phase: ferric.PhaseStart}, Subject: first})
	t.tell(ferric.Occurrence{Object: object, News: ferric.News{Action: action, Phase: ferric.PhaseEnd}, Subject: last})
}

// tellOfNode tells of a change of a node. fields are what became different; before is valid but for its documents.
func (t *tx) tellOfNode(ctx context.Context, before, after *ferric.Node, changed bool, news []ferric.News) {
	if t.s.notices == nil {
		return
	}
	now := func(o, before *ferric.Node) { o.UpdatedAt = before.UpdatedAt }
	if changed {
		for _, action := range []ferric.Action{ferric.ActionUpdate, ferric.ActionMaintenanceSet} {
			tellAsked(ctx, t, ferric.ObjectNode, action, before, after, now)
		}
	}
	set := slices.ContainsFunc(news, func(n ferric.News) bool { return n.Action == ferric.ActionPowerSet && n.Phase == ferric.PhaseEnd }) // a reboot ends where it began
	if set || after.PowerState != before.PowerState {
		t.tell(ferric.Occurrence{Object: ferric.ObjectNode, News: ferric.News{Action: ferric.ActionPowerChanged, Power: before.PowerState}, Subject: after})
	}
	for _, n := range news {
		t.tell(ferric.Occurrence{Object: ferric.ObjectNode, News: n, Subject: after})
	}
}

// writeNotices numbers the notices and writes them, as writeChanges does with changes.
func (t *tx) writeNotices(ctx context.Context) error {
	if len(t.notices) == 0 {
		return nil
	}
	var last int64
	err := t.QueryRowContext(ctx, "UPDATE counters SET value = value + $1 WHERE name = 'outbox' RETURNING value", len(t.notices)).Scan(&last)
	if err != nil {
		return err
	}
	list := make([]*ferric.Notice, len(t.notices))
	for i := range t.notices {
		n := &t.notices[i]
		n.ID, n.At, list[i] = last-int64(len(t.notices)-1-i), t.now, n
		if n.MessageID == "" {
			n.MessageID = uuid.NewString()
		}
	}
	return noticeTable.insert(ctx, t.s, t, nil, list...)
}

// Tell writes the notices of occurrences that come with no change of the database: a request that failed, what sensors say.
func (s *Store) Tell(ctx context.Context, list ...ferric.Occurrence) error {
	if s.notices == nil || len(list) == 0 {
		return nil
	}
	return s.write(ctx, "write notices", func(_ context.Context, t *tx) error {
		for _, o := range list {
			t.tell(o)
		}
		return nil
	})
}

// Notices returns the notices of some topics after an ID, oldest first, and the ID of the last notice of all: if fewer come than limit, those
// after them up to it are of other topics, or are gone.
func (s *Store) Notices(ctx context.Context, after int64, topics []string, limit int) (list []ferric.Notice, last int64, err error) {
	err = s.read(ctx, "read notices", func(ctx context.Context, q querier) error {
		if err := q.QueryRowContext(ctx, "SELECT value FROM counters WHERE name = 'outbox'").Scan(&last); err != nil {
			return err
		}
		if list = nil; last <= after {
			return nil
		}
		var w clause
		w.sql.WriteString("WHERE id > " + w.arg(after))
		w.among("topic", topics)
		w.sql.WriteString(" ORDER BY id LIMIT " + w.arg(limit))
		rows, err := noticeTable.all(ctx, s, q, w.sql.String(), w.args...)
		list = flat(rows)
		return err
	})
	return list, last, err
}

func (c *clause) among(column string, values []string) {
	sep := " AND " + column + " IN ("
	for _, v := range values {
		c.sql.WriteString(sep + c.arg(v))
		sep = ", "
	}
	c.sql.WriteString(")")
}
