package store

import (
	"context"
	"io/fs"
	"path"
	"regexp"
	"strconv"
	"strings"
	"time"

	"ferric"
)

// Most migrations only add (tables, columns with defaults, indexes): a program that does not know them goes on with the database as it did
// before. One that takes something away, or gives it another meaning, says from which version of the schema on a program bears that, with
// the statement
//
//	UPDATE counters SET value = 15 WHERE name = 'schema_oldest';
//
// Programs that know less refuse to open the database from then on, and such a migration is not made while one of them runs.

// oldestSchema is the counter that says which version of the schema a program must know.
const oldestSchema = "schema_oldest"

var raisesOldest = regexp.MustCompile(`UPDATE counters SET value = (\d+) WHERE name = '` + oldestSchema + `'`)

// contracts returns what the migrations after a version demand of programs: the version of the schema to know, by the version of the migration.
func contracts(files fs.FS, after int64) (map[int64]int64, error) {
	names, err := fs.Glob(files, "migrations/*.sql")
	if err != nil {
		return nil, err
	}
	demands := map[int64]int64{}
	for _, name := range names {
		number, _, _ := strings.Cut(path.Base(name), "_")
		version, err := strconv.ParseInt(number, 10, 64)
		if err != nil {
			return nil, ferric.Errorf(ferric.CodeInternal, "migration %s has no number: %w", name, err)
		}
		if version <= after {
			continue
		}
		text, err := fs.ReadFile(files, name)
		if err != nil {
			return nil, err
		}
		if m := raisesOldest.FindSubmatch(text); m != nil {
			if demands[version], err = strconv.ParseInt(string(m[1]), 10, 64); err != nil {
				return nil, ferric.Errorf(ferric.CodeInternal, "migration %s: %w", name, err)
			}
		}
	}
	return demands, nil
}

// schemaFloor returns the version of the schema that a program must know to use the database.
func (s *Store) schemaFloor(ctx context.Context) (floor int64, err error) {
	err = s.get(ctx, "read which programs the schema is for", func(ctx context.Context, q querier) error {
		return q.QueryRowContext(ctx, "SELECT COALESCE(MAX(value), 0) FROM counters WHERE name = $1", oldestSchema).Scan(&floor)
	})
	return floor, err
}

// bearsNewer reports whether this program can use a schema that is newer than it (CodeInvalid if not).
func (s *Store) bearsNewer(ctx context.Context, have, want int64) error {
	floor, err := s.schemaFloor(ctx)
	if err != nil {
		return err
	}
	if floor > want || floor == 0 {
		return tooNew(have, want)
	}
	s.log.InfoContext(ctx, "the database's schema is newer than this program, which may use it all the same", "schema", have, "known", want, "needed", floor)
	return nil
}

// breaksNobody returns CodeConflict if a migration is still to be made that a process which is alive does not bear.
func (s *Store) breaksNobody(ctx context.Context, have int64) error {
	demands, err := contracts(migrations, have)
	if err != nil || have < firstContract {
		return err
	}
	return s.bornByAll(ctx, demands)
}

// bornByAll returns CodeConflict if a process that is alive knows less than migrations demand.
func (s *Store) bornByAll(ctx context.Context, demands map[int64]int64) error {
	if len(demands) == 0 {
		return nil
	}
	alive, err := s.Processes(ctx, ProcessAlive)
	if err != nil {
		return err
	}
	for version, known := range demands {
		for _, p := range alive {
			if p.Schema < known {
				return ferric.Errorf(ferric.CodeConflict, "migration %d of the schema is for programs that know version %d, and the one on %s (ferric %s) "+
					"knows versions up to %d: upgrade or end it first; if it is dead, wait %s", version, known, p.Host, p.Version, p.Schema, ProcessAlive)
			}
		}
	}
	return nil
}

// firstContract is the migration that made the table of processes.
const firstContract = 14

// ProcessAlive is how old a process's last sign of life may be, and ProcessBeat the time between two of them.
const (
	ProcessAlive = 30 * time.Second
	ProcessBeat  = 5 * time.Second
)

// processTable holds the processes that work with the database.
var processTable = table[ferric.Process]{
	name: "processes",
	id:   func(p *ferric.Process) string { return p.Host },
	cols: []column[ferric.Process]{
		text("hostname", func(p *ferric.Process) *string { return &p.Host }),
		text("roles", func(p *ferric.Process) *string { return &p.Roles }),
		text("version", func(p *ferric.Process) *string { return &p.Version }),
		number("schema_known", func(p *ferric.Process) *int64 { return &p.Schema }),
		number("protocol_oldest", func(p *ferric.Process) *int { return &p.Protocol.Oldest }),
		number("protocol_newest", func(p *ferric.Process) *int { return &p.Protocol.Newest }),
		moment("started_at", func(p *ferric.Process) *time.Time { return &p.StartedAt }),
		moment("updated_at", func(p *ferric.Process) *time.Time { return &p.UpdatedAt }),
	},
}

// Shared reports whether other processes may have the database open, too.
func (s *Store) Shared() bool { return s.postgres }

// NewestSchema is the newest version of the schema that this program knows.
func NewestSchema() int64 { return newestSchema() }

// AnnounceProcess notes that a process is alive. CodeInvalid if the schema has changed meanwhile in a way that the process cannot bear: it must end.
func (s *Store) AnnounceProcess(ctx context.Context, p ferric.Process) error {
	if err := s.sync(ctx); err != nil {
		return err
	}
	floor, err := s.schemaFloor(ctx)
	if err != nil {
		return err
	}
	if floor > p.Schema {
		return ferric.Errorf(ferric.CodeInvalid, "the database was made ready for programs that know version %d of its schema, and this one knows versions up to %d: "+
			"start the newer program in its place", floor, p.Schema)
	}
	return s.urgent(ctx, "announce the process", func(ctx context.Context, t *tx) error {
		p.UpdatedAt = t.now
		return processTable.insert(ctx, s, t, []string{"hostname", "roles"}, &p)
	})
}

// EndProcess takes back what AnnounceProcess noted; none there is no error.
func (s *Store) EndProcess(ctx context.Context, p ferric.Process) error {
	_, err := s.exec(ctx, "note that the process ends", "DELETE FROM processes WHERE hostname = $1 AND roles = $2", clean(p.Host), clean(p.Roles))
	return err
}

// Processes lists the processes that announced themselves within the time given, by host name and roles.
func (s *Store) Processes(ctx context.Context, within time.Duration) (list []ferric.Process, err error) {
	if err := s.sync(ctx); err != nil {
		return nil, err
	}
	err = s.get(ctx, "list processes", func(ctx context.Context, q querier) error {
		rows, err := processTable.all(ctx, s, q, "WHERE updated_at >= $1 ORDER BY hostname, roles", micros(s.now().Add(-within)))
		list = make([]ferric.Process, len(rows))
		for i, p := range rows {
			list[i] = *p
		}
		return err
	})
	return list, err
}
