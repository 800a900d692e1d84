package store

import (
	"context"
)

// What a request asked of a machine may hold passwords, and URLs with passwords in them: the parameters of operations, the arguments of their steps, what
// steps keep for themselves and what they bring. They are encrypted as nodes' credentials are. Rows of the time before are read as they are, and
// encrypted when a process that knows this opens the database.

// plain is a column of the time before encryption: it is read, and emptied when the row is written.
func plain[T any](name string, c column[T]) column[T] {
	c.name = name
	c.get = func(*T) (any, error) { return "", nil }
	return c
}

// ledgerColumns are the columns that were plain, with those that took their place.
var ledgerColumns = []struct{ table, key, plain, sealed string }{
	{"operations", "id", "params", "sealed_params"},
	{"steps", "operation_id", "args", "sealed_args"},
	{"steps", "operation_id", "data", "sealed_data"},
	{"steps", "operation_id", "result", "sealed_result"},
}

// ledgerSealed is the counter that says that no plain value is left.
const ledgerSealed = "ledger_sealed"

const sealAtOnce = 100

// sealLedger encrypts what was written before there was encryption. It may be broken off and begun again.
func (s *Store) sealLedger(ctx context.Context) error {
	var done bool
	err := s.get(ctx, "look whether the ledger is encrypted", func(ctx context.Context, q querier) error {
		return q.QueryRowContext(ctx, "SELECT EXISTS (SELECT 1 FROM counters WHERE name = $1)", ledgerSealed).Scan(&done)
	})
	if err != nil || done {
		return err
	}
	total := 0
	for last := ""; ; {
		n, next := 0, ""
		err := s.write(ctx, "encrypt the ledger", func(ctx context.Context, t *tx) (err error) {
			n, next, err = t.sealBatch(ctx, last)
			return err
		})
		if err != nil {
			return err
		}
		total += n
		if next == "" {
			break
		}
		last = next
	}
	if total > 0 {
		s.log.InfoContext(ctx, "the arguments and results of earlier operations are encrypted now", "values", total)
	}
	_, err = s.exec(ctx, "note that the ledger is encrypted", "INSERT INTO counters (name, value) VALUES ($1, 1) ON CONFLICT (name) DO NOTHING", ledgerSealed)
	return err
}

// sealBatch encrypts what some operations after the one named have, and returns how many values it was, and the last of these operations; "" if
// there are no more.
func (t *tx) sealBatch(ctx context.Context, last string) (n int, next string, err error) {
	rows, err := t.QueryContext(ctx, "SELECT id FROM operations WHERE id > $1 ORDER BY id LIMIT $2", last, sealAtOnce)
	if err != nil {
		return 0, "", err
	}
	defer rows.Close()
	var ids []string
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			return 0, "", err
		}
		ids = append(ids, id)
	}
	if err := rows.Close(); err != nil {
		return 0, "", err
	}
	for _, id := range ids {
		o, err := operationTable.one(ctx, t.s, t, "WHERE id = $1"+t.forUpdate(), id)
		if err != nil {
			return 0, "", err
		}
		steps, err := stepTable.all(ctx, t.s, t, "WHERE operation_id = $1 ORDER BY seq", id)
		if err != nil {
			return 0, "", err
		}
		wrote, err := sealRow(ctx, t, operationTable, o, id, key{"id", id})
		if err != nil {
			return 0, "", err
		}
		n += wrote
		for _, r := range steps {
			wrote, err := sealRow(ctx, t, stepTable, r, id, key{"operation_id", id}, key{"seq", r.Seq})
			if err != nil {
				return 0, "", err
			}
			n += wrote
		}
	}
	if len(ids) == sealAtOnce {
		next = ids[len(ids)-1]
	}
	return n, next, nil
}

// sealRow writes the columns of a record that were plain and those that take their place.
func sealRow[T any](ctx context.Context, t *tx, table table[T], item *T, id string, where ...key) (n int, err error) {
	vals, err := table.values(item)
	if err != nil {
		return 0, err
	}
	var idx []int
	for _, c := range ledgerColumns {
		for i := range table.cols {
			if c.table != table.name || table.cols[i].name != c.plain && table.cols[i].name != c.sealed {
				continue
			}
			idx = append(idx, i)
			if table.cols[i].name == c.sealed && vals[i] != "" {
				n++
			}
		}
	}
	if n == 0 {
		return 0, nil
	}
	return n, table.update(ctx, t.s, t, id, vals, idx, where...)
}
