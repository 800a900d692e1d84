package store

import (
	"context"
	"time"

	"github.com/google/uuid"

	"ferric"
)

// historyRow is an entry with its place in its node's history.
type historyRow struct {
	ferric.HistoryEntry
	seq int64
}

var historyTable = table[historyRow]{
	name: "history",
	id:   func(h *historyRow) string { return h.UUID },
	cols: []column[historyRow]{
		text("node_uuid", func(h *historyRow) *string { return &h.NodeUUID }),
		number("seq", func(h *historyRow) *int64 { return &h.seq }),
		text("uuid", func(h *historyRow) *string { return &h.UUID }),
		text("conductor", func(h *historyRow) *string { return &h.Conductor }),
		text("event", func(h *historyRow) *string { return &h.Event }),
		text("event_type", func(h *historyRow) *string { return &h.EventType }),
		text("severity", func(h *historyRow) *string { return &h.Severity }),
		text("user_id", func(h *historyRow) *string { return &h.User }),
		text("project", func(h *historyRow) *string { return &h.Project }),
		moment("created_at", func(h *historyRow) *time.Time { return &h.CreatedAt }),
		text("state", func(h *historyRow) *ferric.ProvisionState { return &h.State }),
		text("target_state", func(h *historyRow) *ferric.ProvisionState { return &h.TargetState }),
		number("duration", func(h *historyRow) *time.Duration { return &h.Duration }),
		text("operation_id", func(h *historyRow) *string { return &h.OperationID }),
		text("step", func(h *historyRow) *string { return &h.Step }),
	},
}

// historyOrder is per node. Entries come in the order in which they were written.
var historyOrder = ordering{table: "history", marker: "uuid", tie: []string{"seq"}, keys: map[string]string{
	"created_at": "created_at", "uuid": "uuid", "conductor": "conductor", "event": "event", "event_type": "event_type",
	"severity": "severity", "user": "user_id", "project": "project", "state": "state", "target_provision_state": "target_state",
	"duration_seconds": "duration"}}

func historyNotFound(id string) error {
	return ferric.Errorf(ferric.CodeNotFound, "Node history record %s could not be found.", id)
}

// AddHistory adds an entry to its node's history and fills in UUID, time, severity (INFO) and the node's states if they are
// empty. CodeNotFound if there is no such node.
func (s *Store) AddHistory(ctx context.Context, e *ferric.HistoryEntry) error {
	var made ferric.HistoryEntry
	err := s.write(ctx, "add to the history of node "+e.NodeUUID, func(ctx context.Context, t *tx) error {
		n := &ferric.Node{UUID: e.NodeUUID}
		err := t.QueryRowContext(ctx, "SELECT provision_state, target_provision_state FROM nodes WHERE uuid = $1"+t.forUpdate(),
			clean(e.NodeUUID)).Scan(&n.ProvisionState, &n.TargetProvisionState)
		if missing(err) {
			return nodeNotFound(e.NodeUUID)
		}
		if err != nil {
			return err
		}
		list := []ferric.HistoryEntry{*e}
		err = t.addHistory(ctx, n, e.Conductor, e.OperationID, list)
		made = list[0]
		return err
	})
	if err == nil {
		*e = made
	}
	return err
}

// addHistory writes entries of a node that is locked, and fills in what is empty.
func (t *tx) addHistory(ctx context.Context, n *ferric.Node, conductor, operationID string, list []ferric.HistoryEntry) error {
	if len(list) == 0 {
		return nil
	}
	var last int64
	if err := t.QueryRowContext(ctx, "SELECT COALESCE(MAX(seq), 0) FROM history WHERE node_uuid = $1", n.UUID).Scan(&last); err != nil {
		return err
	}
	rows := make([]*historyRow, len(list))
	for i := range list {
		e := &list[i]
		e.NodeUUID = n.UUID
		if e.UUID == "" {
			e.UUID = uuid.NewString()
		}
		if e.CreatedAt.IsZero() {
			e.CreatedAt = t.now
		}
		if e.Conductor == "" {
			e.Conductor = conductor
		}
		if e.OperationID == "" {
			e.OperationID = operationID
		}
		if e.Severity == "" {
			e.Severity = ferric.SeverityInfo
		}
		if e.State == "" {
			e.State, e.TargetState = n.ProvisionState, n.TargetProvisionState
		}
		rows[i] = &historyRow{HistoryEntry: *e, seq: last + int64(i) + 1}
	}
	err := historyTable.insert(ctx, t.s, t, nil, rows...)
	if duplicate(err, "history", "uuid") {
		return ferric.Errorf(ferric.CodeConflict, "add to the history of node %s: an entry with that UUID already exists", n.UUID)
	}
	return err
}

// History returns entries of a node's history, oldest first unless the page says otherwise. CodeInvalid for an unknown
// sort key, CodeNotFound for an unknown marker. No node, no entries.
func (s *Store) History(ctx context.Context, nodeUUID string, p ferric.Page) (list []ferric.HistoryEntry, err error) {
	err = s.get(ctx, "read history", func(ctx context.Context, q querier) error {
		w := &filter{}
		w.and("node_uuid = ?", clean(nodeUUID))
		if err := w.page(ctx, q, historyOrder, p, historyNotFound); err != nil {
			return err
		}
		rows, err := historyTable.all(ctx, s, q, w.sql.String(), w.args...)
		list = make([]ferric.HistoryEntry, len(rows))
		for i, h := range rows {
			list[i] = h.HistoryEntry
		}
		return err
	})
	return list, err
}

// HistoryEntry returns one entry (CodeNotFound).
func (s *Store) HistoryEntry(ctx context.Context, uuid string) (e *ferric.HistoryEntry, err error) {
	err = s.get(ctx, "read history", func(ctx context.Context, q querier) error {
		h, err := historyTable.one(ctx, s, q, "WHERE uuid = $1", clean(uuid))
		if missing(err) {
			return historyNotFound(uuid)
		}
		if err == nil {
			e = &h.HistoryEntry
		}
		return err
	})
	return e, err
}

// PruneHistory keeps the newest entries of each node, removes the others and returns how many there were.
func (s *Store) PruneHistory(ctx context.Context, keep int) (int, error) {
	return s.exec(ctx, "prune history",
		"DELETE FROM history WHERE seq <= (SELECT MAX(h.seq) FROM history h WHERE h.node_uuid = history.node_uuid) - $1", keep)
}
