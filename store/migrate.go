package store

import (
	"context"
	"embed"
	"io/fs"
	"log/slog"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"

	"ferric"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Migrate brings the schema up to date and returns its version. It needs no key file. The codes are Open's; CodeConflict: a process runs that
// could not go on afterwards.
func Migrate(ctx context.Context, cfg Config, log *slog.Logger) (version int64, err error) {
	s, err := connect(ctx, cfg, log)
	if err != nil {
		return 0, err
	}
	defer s.Close()
	if err := s.migrate(ctx); err != nil {
		return 0, err
	}
	version, _, err = s.schemaVersions(ctx)
	return version, err
}

// SchemaVersion returns the version of the database's schema, 0 for an empty database, and the one that this program
// needs.
func SchemaVersion(ctx context.Context, cfg Config, log *slog.Logger) (have, want int64, err error) {
	s, err := connect(ctx, cfg, log)
	if err != nil {
		return 0, 0, err
	}
	defer s.Close()
	return s.schemaVersions(ctx)
}

func (s *Store) migrator() (*goose.Provider, error) {
	sub, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return nil, err
	}
	opts := []goose.ProviderOption{goose.WithTableName("schema_version"), goose.WithDisableGlobalRegistry(true),
		goose.WithLogger(goose.NopLogger())}
	if !s.postgres {
		return goose.NewProvider(goose.DialectSQLite3, s.w, sub, opts...)
	}
	// Several processes may start at once; one migrates, the others try again every second for five minutes.
	locker, err := lock.NewPostgresSessionLocker(lock.WithLockTimeout(1, 300))
	if err != nil {
		return nil, err
	}
	return goose.NewProvider(goose.DialectPostgres, s.w, sub, append(opts, goose.WithSessionLocker(locker))...)
}

func (s *Store) schemaVersions(ctx context.Context) (have, want int64, err error) {
	p, err := s.migrator()
	if err != nil {
		return 0, 0, s.coded(ctx, "read the migrations", err)
	}
	have, want, err = p.GetVersions(ctx)
	return have, want, s.coded(ctx, "read the schema's version", err)
}

// migrate brings the schema up to date, unless a process that is alive would be broken by that. A schema that is newer is left as it is.
func (s *Store) migrate(ctx context.Context) error {
	have, want, err := s.schemaVersions(ctx)
	if err != nil || have == want {
		return err
	}
	if have > want {
		return s.bearsNewer(ctx, have, want)
	}
	if err := s.breaksNobody(ctx, have); err != nil {
		return err
	}
	p, err := s.migrator()
	if err != nil {
		return s.coded(ctx, "read the migrations", err)
	}
	done, err := p.Up(ctx)
	if err != nil {
		return s.coded(ctx, "migrate the schema", err)
	}
	for _, m := range done {
		s.log.InfoContext(ctx, "schema migrated", "version", m.Source.Version, "duration", m.Duration)
	}
	return nil
}

func (s *Store) checkSchema(ctx context.Context) error {
	have, want, err := s.schemaVersions(ctx)
	switch {
	case err != nil:
		return err
	case have > want:
		return s.bearsNewer(ctx, have, want)
	case have < want:
		return ferric.Errorf(ferric.CodeInvalid,
			"the database's schema has version %d, and this program needs %d: run `ferric db migrate`", have, want)
	}
	return nil
}

func tooNew(have, want int64) error {
	return ferric.Errorf(ferric.CodeInvalid,
		"the database's schema has version %d, and this program knows versions up to %d: use the newer program that ran "+
			"`ferric db migrate` (there is no way back)", have, want)
}
