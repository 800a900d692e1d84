package store

import (
	"context"
	"slices"
	"strings"
	"time"

	"ferric"
)

var agentTable = table[ferric.AgentSession]{
	name: "agent_sessions",
	id:   func(a *ferric.AgentSession) string { return a.NodeUUID },
	cols: []column[ferric.AgentSession]{
		text("node_uuid", func(a *ferric.AgentSession) *string { return &a.NodeUUID }),
		text("callback_url", func(a *ferric.AgentSession) *string { return &a.CallbackURL }),
		text("version", func(a *ferric.AgentSession) *string { return &a.Version }),
		moment("started_at", func(a *ferric.AgentSession) *time.Time { return &a.StartedAt }),
		moment("looked_up_at", func(a *ferric.AgentSession) *time.Time { return &a.LookedUpAt }),
		moment("last_heartbeat", func(a *ferric.AgentSession) *time.Time { return &a.LastHeartbeat }),
		text("verify_ca", func(a *ferric.AgentSession) *string { return &a.VerifyCA }),
		sealedText("token", func(a *ferric.AgentSession) *string { return &a.Token }),
	},
}

func noSession(nodeUUID string) error {
	return ferric.Errorf(ferric.CodeNotFound, "Node %s has no agent session.", nodeUUID)
}

// AgentSession returns a node's agent session (CodeNotFound).
func (s *Store) AgentSession(ctx context.Context, nodeUUID string) (a *ferric.AgentSession, err error) {
	err = s.get(ctx, "read agent session", func(ctx context.Context, q querier) error {
		a, err = agentTable.one(ctx, s, q, "WHERE node_uuid = $1", clean(nodeUUID))
		if missing(err) {
			return noSession(nodeUUID)
		}
		return err
	})
	return a, err
}

// BeginAgentSession begins a node's agent session; what was known of an earlier one is gone. CodeNotFound if there is no
// such node.
func (s *Store) BeginAgentSession(ctx context.Context, nodeUUID string) error {
	return s.write(ctx, "begin agent session", func(ctx context.Context, t *tx) error {
		err := agentTable.insert(ctx, s, t, []string{"node_uuid"}, &ferric.AgentSession{NodeUUID: nodeUUID, StartedAt: t.now})
		if orphaned(err) {
			return nodeNotFound(nodeUUID)
		}
		return err
	})
}

// EndAgentSession ends a node's agent session. None there is no error.
func (s *Store) EndAgentSession(ctx context.Context, nodeUUID string) error {
	_, err := s.exec(ctx, "end agent session", "DELETE FROM agent_sessions WHERE node_uuid = $1", clean(nodeUUID))
	return err
}

// ChangeAgentSession changes a node's agent session and returns it. Two calls do not see the same state. CodeNotFound if
// there is none; an error of fn is returned as it is, and changes nothing.
func (s *Store) ChangeAgentSession(ctx context.Context, nodeUUID string, fn func(*ferric.AgentSession) error) (a *ferric.AgentSession, err error) {
	err = s.write(ctx, "change agent session", func(ctx context.Context, t *tx) error {
		a, err = agentTable.one(ctx, s, t, "WHERE node_uuid = $1"+t.forUpdate(), clean(nodeUUID))
		if missing(err) {
			return noSession(nodeUUID)
		}
		if err != nil {
			return err
		}
		before, err := agentTable.values(a)
		if err != nil {
			return err
		}
		node := a.NodeUUID
		if err := fn(a); err != nil {
			return mutateError{err}
		}
		a.NodeUUID = node
		after, err := agentTable.values(a)
		if err != nil {
			return err
		}
		return agentTable.update(ctx, s, t, node, after, differing(before, after), key{"node_uuid", node})
	})
	if err != nil {
		return nil, err
	}
	return a, nil
}

// agentContact is what AgentContact returns.
type agentContact struct {
	session ferric.AgentSession
	busy    bool
}

// AgentContact returns a node's agent session, and whether an unfinished operation of the node may be waiting for its agent (CodeNotFound).
func (s *Store) AgentContact(ctx context.Context, nodeUUID string) (*ferric.AgentSession, bool, error) {
	c, found, err := s.contacts.get(ctx, clean(nodeUUID))
	if err != nil {
		return nil, false, s.coded(ctx, "read agent session", err)
	}
	if !found {
		return nil, false, noSession(nodeUUID)
	}
	return &c.session, c.busy, nil
}

func (s *Store) agentContacts(ctx context.Context, nodes []string) (map[string]agentContact, error) {
	found := make(map[string]agentContact, len(nodes))
	err := s.get(ctx, "read agent sessions", func(ctx context.Context, q querier) error {
		where, args := oneOf("node_uuid", nodes)
		sessions, err := agentTable.all(ctx, s, q, "WHERE "+where, args...)
		for _, a := range sessions {
			found[a.NodeUUID] = agentContact{session: *a}
		}
		return err
	})
	if err != nil || len(found) == 0 {
		return found, err
	}
	err = s.get(ctx, "look for operations of nodes whose agents call", func(ctx context.Context, q querier) error {
		where, args := oneOf("node_uuid", nodes)
		rows, err := q.QueryContext(ctx, "SELECT node_uuid FROM operations WHERE ended_at = 0 AND "+where, args...)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var node string
			if err := rows.Scan(&node); err != nil {
				return err
			}
			if c, ok := found[node]; ok {
				c.busy = true
				found[node] = c
			}
		}
		return rows.Err()
	})
	return found, err
}

// AgentsCalled notes when agents called last, in one transaction: node, start of the session, and time. What is older than what is stored, and what
// belongs to another session of the node, is passed over.
func (s *Store) AgentsCalled(ctx context.Context, calls []ferric.AgentSession) error {
	// One order for all, so that two processes do not wait for each other's rows.
	calls = slices.SortedFunc(slices.Values(calls), func(a, b ferric.AgentSession) int { return strings.Compare(a.NodeUUID, b.NodeUUID) })
	return s.write(ctx, "note the calls of agents", func(ctx context.Context, t *tx) error {
		for _, a := range calls {
			at := micros(a.LastHeartbeat)
			_, err := t.ExecContext(ctx, "UPDATE agent_sessions SET last_heartbeat = $1 WHERE node_uuid = $2 AND started_at = $3 AND last_heartbeat < $4",
				at, clean(a.NodeUUID), micros(a.StartedAt), at)
			if err != nil {
				return err
			}
		}
		return nil
	})
}
