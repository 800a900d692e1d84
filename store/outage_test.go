package store_test

import (
	"errors"
	"testing"

	"ferric"
	"ferric/flow"
)

// TestCheckpointIsWrittenOnce: one whose answer was lost is asked for again, with the same mark.
func TestCheckpointIsWrittenOnce(t *testing.T) {
	each(t, func(t *testing.T, e *env) {
		ctx := t.Context()
		l := e.lease(t, e.node(t).UUID)
		op := e.begin(t, l, 2)
		calls := 0
		write := func(mark string) {
			t.Helper()
			op.Mark, op.Steps[0].Attempts = mark, 1
			n, err := e.Checkpoint(ctx, l, op, []ferric.HistoryEntry{{Event: "x"}}, func(n *ferric.Node) error { calls++; n.Owner += "x"; return nil })
			must(t, err)
			if n.UUID != l.NodeUUID || n.Owner == "" {
				t.Errorf("node: %+v", n)
			}
		}
		write("1.1")
		must(t, e.Signal(ctx, l.NodeUUID, flow.EventHeartbeat)) // leaves the mark alone
		write("1.1")
		equal(t, "signals", op.Signals, int64(1))
		equal(t, "changes of the node", calls, 1)
		write("1.2")
		equal(t, "changes of the node", calls, 2)
		write("1.1") // only the last one is known
		equal(t, "changes of the node", calls, 3)
		write("")
		write("") // without a mark each is one
		equal(t, "changes of the node", calls, 5)
		history, err := e.History(ctx, l.NodeUUID, ferric.Page{})
		must(t, err)
		equal(t, "history entries", len(history), 5)
		again, err := e.Operation(ctx, op.ID)
		must(t, err)
		equal(t, "mark as it is read", again.Mark, "")
	})
}

// TestOutage: what the database itself is to blame for can be told from everything else.
func TestOutage(t *testing.T) {
	each(t, func(t *testing.T, e *env) {
		ctx := t.Context()
		n := e.node(t)
		_, err := e.Node(ctx, "nobody")
		if errors.Is(err, ferric.ErrOutage) {
			t.Errorf("a node that is not there is no outage: %v", err)
		}
		_, err = e.ChangeNode(ctx, n.UUID, 0, func(*ferric.Node) error { return ferric.Errorf(ferric.CodeUnavailable, "the BMC is away") })
		if errors.Is(err, ferric.ErrOutage) {
			t.Errorf("the caller's own error is no outage: %v", err)
		}
		must(t, e.Close())
		for what, err := range map[string]error{
			"read": func() error { _, err := e.Node(ctx, n.UUID); return err }(),
			"write": func() error {
				_, err := e.ChangeNode(ctx, n.UUID, 0, func(*ferric.Node) error { return nil })
				return err
			}(),
		} {
			wrapped := ferric.Errorf(ferric.CodeInternal, "step: %w", err)
			if !ferric.IsCode(err, ferric.CodeUnavailable) || !errors.Is(wrapped, ferric.ErrOutage) {
				t.Errorf("%s from a closed database: %v (%s)", what, err, ferric.ErrorCode(err))
			}
		}
	})
}

// TestConnectionsAreKilled: PostgreSQL breaks every connection off, also in the middle of a transaction and of a read. Whoever calls sees nothing of
// it, and what was broken off is done once.
func TestConnectionsAreKilled(t *testing.T) {
	e := open(t, "postgres")
	ctx := t.Context()
	n := e.node(t)
	admin := e.peek(t)
	kill := func() {
		t.Helper()
		_, err := admin.ExecContext(ctx, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()")
		must(t, err)
	}
	calls := 0
	got, err := e.ChangeNode(ctx, n.UUID, 0, func(n *ferric.Node) error {
		if calls++; calls == 1 {
			kill()
		}
		n.Owner += "x"
		return nil
	})
	must(t, err)
	equal(t, "owner", got.Owner, "x")
	equal(t, "calls", calls, 2)
	for what, read := range map[string]func() error{
		"node":       func() error { _, err := e.Node(ctx, n.UUID); return err },
		"nodes":      func() error { _, err := e.Nodes(ctx, ferric.NodeFilter{}, ferric.Page{}); return err },
		"operations": func() error { _, err := e.Operations(ctx, n.UUID, 0); return err },
		"statement":  func() error { return e.Retire(ctx, "nobody") },
	} {
		kill() // the pooled connections are dead
		if err := read(); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// TestStoppedInATransaction: who takes a row and then does nothing, as a process does that was stopped, loses it to the next one soon.
func TestStoppedInATransaction(t *testing.T) {
	e := open(t, "postgres")
	n := e.node(t)
	other := reopen(t, config(e.cfg.DataDir, e.cfg.URL))
	locked, taken := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(taken)
		<-locked
		_, err := other.ChangeNode(t.Context(), n.UUID, 0, func(n *ferric.Node) error { n.Owner = "other"; return nil })
		if err != nil {
			t.Error(err)
		}
	}()
	calls := 0
	_, err := e.ChangeNode(t.Context(), n.UUID, n.Version, func(n *ferric.Node) error {
		if calls++; calls == 1 {
			close(locked)
			<-taken // without the row being given up
		}
		n.Owner = "stopped"
		return nil
	})
	wantCode(t, err, ferric.CodeConflict, "") // it tries again, and the node is another one's
	got, err := e.Node(t.Context(), n.UUID)
	must(t, err)
	equal(t, "owner", got.Owner, "other")
}
