package store

import (
	"context"
	"fmt"
	"log/slog"
	"os"

	"ferric"
)

// Check looks through the whole database, which a service may be using, and changes nothing: SQLite's pages, indexes and references, the schema's version, and
// every encrypted value with the key file. It returns what is wrong, in the words of people. The error says why it could not look.
func Check(ctx context.Context, cfg Config, log *slog.Logger) (c *Copy, problems []string, err error) {
	s, err := attach(ctx, cfg, log)
	if err != nil {
		return nil, nil, err
	}
	defer s.Close()
	c = &Copy{}
	if !s.postgres {
		c.File = string(s.file)
		if info, err := os.Stat(c.File); err == nil {
			c.Bytes = info.Size()
		}
		wrong, err := integrity(ctx, s.w)
		if fatal(err) {
			return c, []string{fmt.Sprintf("%s: %v", s.file, err)}, nil
		}
		if err != nil {
			return nil, nil, s.coded(ctx, "check the database", err)
		}
		if len(wrong) > 0 {
			return c, wrong, nil
		}
	}
	if err := c.describe(ctx, s.w); err != nil {
		return nil, nil, s.coded(ctx, "read the database", err)
	}
	if want := newestSchema(); c.Schema > want {
		if err := s.bearsNewer(ctx, c.Schema, want); ferric.IsCode(err, ferric.CodeInvalid) {
			return c, []string{err.Error()}, nil
		} else if err != nil {
			return nil, nil, err
		}
	} else if c.Schema < want {
		return c, []string{fmt.Sprintf("the schema has version %d, and this program needs %d: run `ferric db migrate`, or start the service", c.Schema, want)}, nil
	}
	problems, err = s.checkSecrets(ctx, cfg.keyFile())
	return c, problems, err
}

// checkSecrets opens every encrypted value.
func (s *Store) checkSecrets(ctx context.Context, keyFile string) (problems []string, err error) {
	keys, err := readKeys(keyFile)
	if err != nil {
		return []string{err.Error()}, nil
	}
	const enough = 20
	for _, col := range sealedColumns {
		rows, err := s.w.QueryContext(ctx, "SELECT "+col.key+", "+col.column+" FROM "+col.table+" WHERE "+col.column+" IS NOT NULL")
		if err != nil {
			return nil, s.coded(ctx, "read "+col.table, err)
		}
		for rows.Next() && len(problems) < enough {
			var row string
			var data []byte
			if err := rows.Scan(&row, &data); err != nil {
				rows.Close()
				return nil, s.coded(ctx, "read "+col.table, err)
			}
			if _, err := keys.open(col.table, col.column, row, data); err != nil {
				problems = append(problems, fmt.Sprintf("%s of %s in %s cannot be decrypted with %s: %v", col.column, row, col.table, keyFile, err))
			}
		}
		if err := rows.Err(); err != nil {
			return nil, s.coded(ctx, "read "+col.table, err)
		}
		rows.Close()
	}
	return problems, nil
}

// AcceptLoss lets a SQLite database be opened again whose write-ahead log is missing. CodeConflict while a service uses it.
func AcceptLoss(cfg Config) error {
	loc, err := cfg.location()
	if err != nil {
		return err
	}
	if loc.pg != nil {
		return ferric.Errorf(ferric.CodeUnsupported, "the database is PostgreSQL, which looks after its own log")
	}
	lock, err := lockFile(sqliteFile(loc.path).lock())
	if err != nil {
		return err
	}
	defer lock.Close()
	return sqliteFile(loc.path).markClosed(lock)
}
