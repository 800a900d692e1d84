package store

import (
	"context"

	"ferric"
	"ferric/flow"
)

// EachNodeBrief is EachNode without the documents, as NodesBrief.
func (s *Store) EachNodeBrief(ctx context.Context, f ferric.NodeFilter, fn func(*ferric.Node) error) error {
	return s.eachNode(ctx, briefNodeTable, f, fn)
}

var briefOperationTable, briefStepTable = operationTable.brief(), stepTable.brief()

// UnfinishedOperations returns all operations that have not ended, each with the step under its cursor only, and without their documents.
func (s *Store) UnfinishedOperations(ctx context.Context) (list []*flow.Operation, err error) {
	err = s.read(ctx, "list unfinished operations", func(ctx context.Context, q querier) error {
		list = nil
		rows, err := briefOperationTable.all(ctx, s, q, "WHERE ended_at = 0 ORDER BY created_at, id")
		if err != nil {
			return err
		}
		steps, err := briefStepTable.all(ctx, s, q, "WHERE EXISTS (SELECT 1 FROM operations o WHERE o.id = steps.operation_id AND o.ended_at = 0 AND o.step_cursor = steps.seq)")
		if err != nil {
			return err
		}
		current := map[string]flow.Step{}
		for _, r := range steps {
			current[r.operationID] = r.Step
		}
		for _, o := range rows {
			if step, ok := current[o.ID]; ok {
				o.Steps = []flow.Step{step}
			}
			list = append(list, &o.Operation)
		}
		return nil
	})
	return list, err
}

// NodeLeases returns the leases of nodes that were not given back, whether they have run out or not.
func (s *Store) NodeLeases(ctx context.Context) (list []flow.Lease, err error) {
	err = s.get(ctx, "list the leases of nodes", func(ctx context.Context, q querier) error {
		list = nil
		rows, err := q.QueryContext(ctx, "SELECT uuid, reservation, lease_epoch, lease_until FROM nodes WHERE reservation <> '' ORDER BY uuid")
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var l flow.Lease
			var until int64
			if err := rows.Scan(&l.NodeUUID, &l.Owner, &l.Epoch, &until); err != nil {
				return err
			}
			l.Until = fromMicros(until)
			list = append(list, l)
		}
		return rows.Err()
	})
	return list, err
}

var briefAgentTable = agentTable.only("node_uuid", "version", "started_at", "looked_up_at", "last_heartbeat")

// AgentSessions returns all agent sessions, without tokens and addresses.
func (s *Store) AgentSessions(ctx context.Context) (list []ferric.AgentSession, err error) {
	err = s.get(ctx, "list agent sessions", func(ctx context.Context, q querier) error {
		rows, err := briefAgentTable.all(ctx, s, q, "ORDER BY node_uuid")
		list = flat(rows)
		return err
	})
	return list, err
}
