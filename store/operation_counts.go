package store

import (
	"context"

	"ferric"
	"ferric/flow"
)

// Places lists what decides which conductor serves each node, without reading the nodes.
func (s *Store) Places(ctx context.Context) (list []ferric.Place, err error) {
	err = s.get(ctx, "list places of nodes", func(ctx context.Context, q querier) error {
		rows, err := q.QueryContext(ctx, "SELECT uuid, conductor_group, driver FROM nodes")
		if err != nil {
			return err
		}
		defer rows.Close()
		list = nil
		for rows.Next() {
			var p ferric.Place
			if err := rows.Scan(&p.UUID, &p.ConductorGroup, &p.Driver); err != nil {
				return err
			}
			list = append(list, p)
		}
		return rows.Err()
	})
	return list, err
}

// OperationCount is how many unfinished operations are of a kind, in a lane and a status.
type OperationCount struct {
	Kind   string
	Lane   flow.Lane
	Status flow.Status
	Count  int
}

// OperationCounts counts the unfinished operations.
func (s *Store) OperationCounts(ctx context.Context) (list []OperationCount, err error) {
	err = s.get(ctx, "count operations", func(ctx context.Context, q querier) error {
		rows, err := q.QueryContext(ctx, "SELECT kind, lane, status, count(*) FROM operations WHERE ended_at = 0 GROUP BY kind, lane, status")
		if err != nil {
			return err
		}
		defer rows.Close()
		list = nil
		for rows.Next() {
			var c OperationCount
			if err := rows.Scan(&c.Kind, &c.Lane, &c.Status, &c.Count); err != nil {
				return err
			}
			list = append(list, c)
		}
		return rows.Err()
	})
	return list, err
}
