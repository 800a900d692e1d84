package store

import (
	"context"

	"ferric"
)

// Shards counts the nodes of each shard, the largest first. The nodes without a shard are there, with the name "".
func (s *Store) Shards(ctx context.Context) (list []ferric.Shard, err error) {
	err = s.get(ctx, "count shards", func(ctx context.Context, q querier) error {
		rows, err := q.QueryContext(ctx, "SELECT shard, count(*) FROM nodes GROUP BY shard ORDER BY count(*) DESC, shard")
		if err != nil {
			return err
		}
		defer rows.Close()
		list = nil
		for rows.Next() {
			var shard ferric.Shard
			if err := rows.Scan(&shard.Name, &shard.Nodes); err != nil {
				return err
			}
			list = append(list, shard)
		}
		return rows.Err()
	})
	return list, err
}
