package store

import (
	"context"
	"encoding/hex"
	"errors"
	"io/fs"

	"ferric"
)

// sealedColumns lists what is encrypted, with the key column of its table. Of steps that is the operation, which has several.
var sealedColumns = []struct{ table, column, key string }{
	{"nodes", "driver_info", "uuid"},
	{"nodes", "instance_info", "uuid"},
	{"agent_sessions", "token", "node_uuid"},
	{"configdrives", "data", "node_uuid"},
	{"inspection_rules", "conditions", "uuid"},
	{"inspection_rules", "actions", "uuid"},
	{"driver_states", "state", "id"},
	{"deploy_templates", "steps", "uuid"},
	{"runbooks", "steps", "uuid"},
	{"volume_targets", "properties", "uuid"},
	{"operations", "sealed_params", "id"},
	{"steps", "sealed_args", "operation_id"},
	{"steps", "sealed_data", "operation_id"},
	{"steps", "sealed_result", "operation_id"},
	{"requests", "answer", "key"},
	{"network_boots", "config", "node_uuid"},
	{"boot_files", "source", "id"},
}

const proofText = "ferric"

// openKeys reads the key file, or makes it, and checks that it fits the database. encryption_keys has a row per key that
// may be in use, with a text sealed by it.
func (s *Store) openKeys(ctx context.Context, path string) error {
	return s.write(ctx, "check the encryption keys", func(ctx context.Context, t *tx) error {
		// One process at a time, so that two do not make two keys for an empty database.
		var n int64
		if err := t.QueryRowContext(ctx, "SELECT value FROM counters WHERE name = 'changes'"+t.forUpdate()).Scan(&n); err != nil {
			return err
		}
		used, err := usedKeys(ctx, t)
		if err != nil {
			return err
		}
		secrets, err := hasSecrets(ctx, t)
		if err != nil {
			return err
		}
		// Keys of an empty SQLite database do not matter. On PostgreSQL another process may hold one and write any time.
		needed := len(used) > 0 && (secrets || s.postgres)
		s.keys, err = readKeys(path)
		if errors.Is(err, fs.ErrNotExist) {
			if needed {
				return ferric.Errorf(ferric.CodeInvalid, "the key file %s is missing, and the database needs its key %s: "+
					"put the file back (from its copy, or from another conductor's host)", path, used[0].id)
			}
			if _, err := AddKey(path); err != nil {
				return err
			}
			s.log.InfoContext(ctx, "key file made: keep a copy of it apart from the database's backups", "file", path)
			s.keys, err = readKeys(path)
		}
		if err != nil {
			return err
		}
		return s.checkKeys(ctx, t, used, needed)
	})
}

func (s *Store) checkKeys(ctx context.Context, t *tx, used []usedKey, needed bool) error {
	known := false
	for _, u := range used {
		if !needed {
			if _, err := t.ExecContext(ctx, "DELETE FROM encryption_keys WHERE key_id = $1", u.id.String()); err != nil {
				return err
			}
			continue
		}
		if !s.keys.has(u.id) {
			return ferric.Errorf(ferric.CodeInvalid, "the key file %s lacks the key %s, which the database needs: put the key back",
				s.keys.path, u.id)
		}
		plain, err := s.keys.open("encryption_keys", "proof", u.id.String(), u.proof)
		if err != nil || string(plain) != proofText {
			return ferric.Errorf(ferric.CodeInvalid, "the key %s in the key file %s is not the one that the database was encrypted with: "+
				"put the right file back", u.id, s.keys.path)
		}
		known = known || u.id == s.keys.first
	}
	if known {
		return nil
	}
	id := s.keys.first.String()
	proof, err := s.keys.seal("encryption_keys", "proof", id, []byte(proofText))
	if err != nil {
		return err
	}
	_, err = t.ExecContext(ctx, "INSERT INTO encryption_keys (key_id, proof, created_at) VALUES ($1, $2, $3)", id, proof, micros(t.now))
	return err
}

type usedKey struct {
	id    keyID
	proof []byte
}

func usedKeys(ctx context.Context, t *tx) ([]usedKey, error) {
	rows, err := t.QueryContext(ctx, "SELECT key_id, proof FROM encryption_keys ORDER BY created_at, key_id")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var list []usedKey
	for rows.Next() {
		var id string
		var u usedKey
		if err := rows.Scan(&id, &u.proof); err != nil {
			return nil, err
		}
		if _, err := hex.Decode(u.id[:], []byte(id)[:min(len(id), 2*keyIDSize)]); err != nil {
			return nil, err
		}
		list = append(list, u)
	}
	return list, rows.Err()
}

func hasSecrets(ctx context.Context, t *tx) (bool, error) {
	for _, c := range sealedColumns {
		var yes bool
		err := t.QueryRowContext(ctx, "SELECT EXISTS (SELECT 1 FROM "+c.table+" WHERE "+c.column+" IS NOT NULL)").Scan(&yes)
		if err != nil || yes {
			return yes, err
		}
	}
	return false, nil
}

// Rotate seals every value that is not sealed with the first key again, forgets keys that are then unused, and returns
// how many values it wrote. It may run beside other work and be repeated.
func (s *Store) Rotate(ctx context.Context) (int, error) {
	total := 0
	for _, c := range sealedColumns {
		for last := ""; ; {
			var n int
			var next string
			err := s.write(ctx, "encrypt again", func(ctx context.Context, t *tx) (err error) {
				n, next, err = s.rotateBatch(ctx, t, c.table, c.column, c.key, last)
				return err
			})
			if err != nil {
				return total, err
			}
			total += n
			if next == "" {
				break
			}
			last = next
		}
	}
	_, err := s.exec(ctx, "forget unused keys", "DELETE FROM encryption_keys WHERE key_id <> $1", s.keys.first.String())
	return total, err
}

const rotateAtOnce = 200

func (s *Store) rotateBatch(ctx context.Context, t *tx, table, column, key, last string) (n int, next string, err error) {
	type value struct {
		row  string
		seq  int64 // among those with the same key
		data []byte
	}
	seq, only := "0", ""
	if table == "steps" {
		seq, only = "seq", " AND seq = $3"
	}
	var old []value
	rows, err := t.QueryContext(ctx, "SELECT "+key+", "+seq+", "+column+" FROM "+table+" WHERE "+column+" IS NOT NULL AND "+key+" IN (SELECT DISTINCT "+
		key+" FROM "+table+" WHERE "+key+" > $1 AND "+column+" IS NOT NULL ORDER BY "+key+" LIMIT $2) ORDER BY "+key+t.forUpdate(), last, rotateAtOnce)
	if err != nil {
		return 0, "", err
	}
	defer rows.Close()
	count := 0
	for rows.Next() {
		var v value
		if err := rows.Scan(&v.row, &v.seq, &v.data); err != nil {
			return 0, "", err
		}
		if id, ok := sealedWith(v.data); !ok || id != s.keys.first {
			old = append(old, v)
		}
		if v.row != next {
			count++
		}
		next = v.row
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return 0, "", err
	}
	for _, v := range old {
		plain, err := s.keys.open(table, column, v.row, v.data)
		if err != nil {
			return 0, "", err
		}
		data, err := s.keys.seal(table, column, v.row, plain)
		if err != nil {
			return 0, "", err
		}
		args := []any{data, v.row, v.seq}
		if only == "" {
			args = args[:2]
		}
		if _, err := t.ExecContext(ctx, "UPDATE "+table+" SET "+column+" = $1 WHERE "+key+" = $2"+only, args...); err != nil {
			return 0, "", err
		}
	}
	if count < rotateAtOnce {
		next = ""
	}
	return len(old), next, nil
}
