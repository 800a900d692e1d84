package store

import (
	"context"
	"database/sql"
	"errors"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/stdlib"
	"golang.org/x/sys/unix"
	_ "modernc.org/sqlite" // the database/sql driver "sqlite"

	"ferric"
	"ferric/flow"
)

var _ flow.Ledger = (*Store)(nil)

// Store is an open database.
type Store struct {
	log     *slog.Logger
	timeout time.Duration
	clock   func() time.Time
	shared  *sharedClock // the clock instead, with PostgreSQL

	postgres bool
	// serverClock says that leases and signs of life are measured with the database's clock.
	serverClock bool
	w, r        *sql.DB        // the same on PostgreSQL
	vital       *sql.DB        // for what must not wait for others; on PostgreSQL only
	wp, rp      *prepared      // the statements of w and r; nil on PostgreSQL
	group       *group         // of those who write; nil on PostgreSQL
	tenure      *tenure        // of the leases; nil on PostgreSQL
	behind      sync.WaitGroup // of the renewals that nobody waits for any more
	file        sqliteFile     // "" on PostgreSQL
	lock        *os.File
	broken      atomic.Pointer[error] // what Damage returns
	keys        *keyring
	stamps      together[nodeRow]
	contacts    together[agentContact]

	notices Announcing // nil: nobody is told

	mu       sync.Mutex
	onChange []func()
}

// Open opens the database, makes it and its key file where they do not exist, and brings its schema up to date or checks
// that it is. It returns CodeInvalid for bad settings, an unfit key file or an unfit schema, CodeConflict if another
// process has the SQLite database, and CodeUnavailable if the database cannot be reached.
func Open(ctx context.Context, cfg Config, log *slog.Logger) (*Store, error) {
	s, err := connect(ctx, cfg, log)
	if err != nil {
		return nil, err
	}
	if err := s.prepare(ctx, cfg); err != nil {
		if found := s.Damage(); found != nil {
			err = found
		}
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *Store) prepare(ctx context.Context, cfg Config) error {
	if !s.postgres {
		if err := s.quickCheck(ctx); err != nil {
			return err
		}
	}
	if cfg.Migrate {
		if err := s.migrate(ctx); err != nil {
			return err
		}
	} else if err := s.checkSchema(ctx); err != nil {
		return err
	}
	if err := s.openKeys(ctx, cfg.keyFile()); err != nil {
		return err
	}
	if err := s.sealLedger(ctx); err != nil {
		return err
	}
	return s.markOpen()
}

// connect opens the database; nothing is read from it yet.
func connect(ctx context.Context, cfg Config, log *slog.Logger) (*Store, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	loc, err := cfg.location()
	if err != nil {
		return nil, err
	}
	ownClock := cfg.Now == nil
	now := cfg.Now
	cfg = cfg.filled()
	s := &Store{log: log, timeout: cfg.Timeout, clock: cfg.Now, notices: cfg.Notices, postgres: loc.pg != nil, serverClock: loc.pg != nil && ownClock}
	s.stamps.read, s.contacts.read = s.nodeStamps, s.agentContacts
	if cfg.DataDir != "" {
		if err := os.MkdirAll(cfg.DataDir, 0o700); err != nil {
			return nil, ferric.Errorf(ferric.CodeUnavailable, "make the data directory: %w", err)
		}
	}
	if !s.postgres {
		s.tenure = newTenure(now)
		if err := s.openSQLite(loc.path, cfg.Connections); err != nil {
			return nil, err
		}
		return s, nil
	}
	s.w = stdlib.OpenDB(*loc.pg)
	s.w.SetMaxOpenConns(cfg.Connections)
	s.w.SetMaxIdleConns(cfg.Connections)
	s.w.SetConnMaxIdleTime(5 * time.Minute)
	s.r = s.w
	s.vital = stdlib.OpenDB(*loc.pg)
	s.vital.SetMaxOpenConns(vitalConnections)
	s.vital.SetMaxIdleConns(vitalConnections)
	if err := s.await(ctx, cfg.ConnectTimeout); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	if ownClock {
		s.shared = &sharedClock{}
		if err := s.sync(ctx); err != nil {
			return nil, errors.Join(err, s.Close())
		}
	}
	return s, nil
}

// vitalConnections are for signs of life and for renewing leases, besides those for everything else.
const vitalConnections = 2

// await waits until the database answers: it may be starting at the same time.
func (s *Store) await(ctx context.Context, patience time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for told := false; ; told = true {
		err := s.Ping(ctx)
		if err == nil || refused(err) {
			return err
		}
		if !told {
			s.log.WarnContext(ctx, "the database does not answer; trying again", "patience", patience, "error", err)
		}
		select {
		case <-ctx.Done():
			return ferric.Errorf(ferric.CodeUnavailable, "the database did not answer: %w", err)
		case <-time.After(250 * time.Millisecond):
		}
	}
}

func (s *Store) openSQLite(path string, readers int) error {
	s.file = sqliteFile(path)
	lock, err := lockFile(s.file.lock())
	if err != nil {
		return err
	}
	if err := s.file.look(isDirty(lock)); err != nil {
		lock.Close()
		return err
	}
	// SQLite gives its side files the mode of the database.
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		lock.Close()
		return ferric.Errorf(ferric.CodeUnavailable, "open the database: %w", err)
	}
	f.Close()
	s.lock = lock
	dsn := func(txlock string, pragmas ...string) string {
		u := url.URL{Scheme: "file", Path: path}
		q := url.Values{"_txlock": {txlock}, "_pragma": pragmas}
		u.RawQuery = q.Encode()
		return u.String()
	}
	s.w, err = sql.Open("sqlite", dsn("immediate", "busy_timeout(10000)", "journal_mode(wal)", "synchronous(full)",
		"foreign_keys(1)", "journal_size_limit(67108864)"))
	if err != nil {
		lock.Close()
		return ferric.Errorf(ferric.CodeInternal, "open the database: %w", err)
	}
	s.w.SetMaxOpenConns(1)
	s.r, err = sql.Open("sqlite", dsn("deferred", "busy_timeout(10000)", "query_only(1)"))
	if err != nil {
		s.w.Close()
		lock.Close()
		return ferric.Errorf(ferric.CodeInternal, "open the database: %w", err)
	}
	s.r.SetMaxOpenConns(readers)
	s.r.SetMaxIdleConns(readers)
	s.r.SetConnMaxIdleTime(5 * time.Minute)
	s.wp, s.rp, s.group = newPrepared(s.w), newPrepared(s.r), &group{s: s}
	return nil
}

// lockFile keeps other processes out. The lock goes with the process, however it dies.
func lockFile(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR|unix.O_CLOEXEC, 0o600)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ferric.Errorf(ferric.CodeInvalid, "the database's folder %s does not exist: make it, or set another path",
			filepath.Dir(path))
	}
	if err != nil {
		return nil, ferric.Errorf(ferric.CodeUnavailable, "open the lock file: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, ferric.Errorf(ferric.CodeConflict,
				"another process has the database open (lock file %s): stop it, use another data directory, or use PostgreSQL", path)
		}
		return nil, ferric.Errorf(ferric.CodeUnavailable, "lock %s: %w", path, err)
	}
	return f, nil
}

// The lock file says "open" from the moment when the database is opened until it is closed in order: a write-ahead log is left when a process dies,
// and one that is missing then was lost.
const openMark = "open\n"

func isDirty(lock *os.File) bool {
	info, err := lock.Stat()
	return err == nil && info.Size() > 0
}

// markOpen writes the mark. The write-ahead log is there by now.
func (s *Store) markOpen() error {
	if s.lock == nil || isDirty(s.lock) {
		return nil
	}
	if _, err := s.lock.WriteAt([]byte(openMark), 0); err != nil {
		return ferric.Errorf(ferric.CodeUnavailable, "write the lock file: %w", err)
	}
	return nil
}

// markClosed removes the mark if the write-ahead log is gone: then all of it is in the database.
func (f sqliteFile) markClosed(lock *os.File) error {
	if _, err := os.Stat(f.wal()); !errors.Is(err, fs.ErrNotExist) || !isDirty(lock) {
		return nil
	}
	return lock.Truncate(0)
}

// Close lets go of the database. Calls under way fail. It may be repeated.
func (s *Store) Close() error {
	s.behind.Wait()
	var errs []error
	if s.r != s.w {
		errs = append(errs, s.r.Close())
	}
	errs = append(errs, s.w.Close())
	if s.vital != nil {
		errs = append(errs, s.vital.Close())
	}
	s.stamps.wait()
	s.contacts.wait()
	if s.lock != nil {
		if err := s.file.markClosed(s.lock); !errors.Is(err, os.ErrClosed) {
			errs = append(errs, err)
		}
		if err := s.lock.Close(); !errors.Is(err, os.ErrClosed) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// Ping reports whether the database answers (CodeUnavailable, CodeTimeout), and is not damaged.
func (s *Store) Ping(ctx context.Context) error {
	if err := s.Damage(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	var one int
	return s.coded(ctx, "reach the database", s.r.QueryRowContext(ctx, "SELECT 1").Scan(&one))
}
