package store

import (
	"context"
	"database/sql"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"ferric"
)

// Copy describes a copy of a database, or the database itself.
type Copy struct {
	File   string // "" on PostgreSQL
	Bytes  int64
	Schema int64
	Nodes  int
	Keys   []string // ids of the encryption keys that it needs
	// Changed is when its last change was made; zero if there is none.
	Changed time.Time
}

// Backup writes a consistent copy of the SQLite database, which a service may be using, into a new file with mode 0600. The file has its name only
// when it is whole, checked and on the disk. The encryption keys are not in it. CodeUnsupported on PostgreSQL, CodeConflict if the file exists,
// CodeNotFound if there is no database.
func Backup(ctx context.Context, cfg Config, file string, log *slog.Logger) (*Copy, error) {
	if _, err := os.Lstat(file); err == nil {
		return nil, ferric.Errorf(ferric.CodeConflict, "%s exists already: choose another name", file)
	}
	s, err := attach(ctx, cfg, log)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	if s.postgres {
		return nil, ferric.Errorf(ferric.CodeUnsupported, "the database is PostgreSQL: use pg_dump")
	}
	part := file + ".part"
	if err := os.Remove(part); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, ferric.Errorf(ferric.CodeUnavailable, "remove what is left of an earlier backup: %w", err)
	}
	made, err := os.OpenFile(part, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, ferric.Errorf(ferric.CodeUnavailable, "make the backup: %w", err)
	}
	made.Close()
	defer os.Remove(part) // it is gone if all went well
	if _, err := s.w.ExecContext(ctx, "VACUUM INTO $1", part); err != nil {
		return nil, s.coded(ctx, "copy the database "+string(s.file)+" to "+part, err)
	}
	copied, err := CheckCopy(ctx, part)
	if err != nil {
		return nil, err
	}
	if err := settleFile(part, file); err != nil {
		return nil, err
	}
	copied.File = file
	return copied, s.Close()
}

// CheckCopy checks a file that Backup made, or the file of a SQLite database that nobody uses: it is whole, and Ferric's. It changes nothing.
// CodeInvalid says what is wrong.
func CheckCopy(ctx context.Context, file string) (*Copy, error) {
	info, err := os.Stat(file)
	if err != nil {
		return nil, ferric.Errorf(ferric.CodeInvalid, "read the copy: %w", err)
	}
	if !info.Mode().IsRegular() {
		return nil, ferric.Errorf(ferric.CodeInvalid, "%s is no regular file", file)
	}
	if wal, err := os.Stat(sqliteFile(file).wal()); err == nil && wal.Size() > 0 {
		return nil, ferric.Errorf(ferric.CodeInvalid, "%s has a write-ahead log beside it (%s), so it is no backup but a database that was in use: "+
			"make a backup of it with `ferric db backup --db FILE`", file, sqliteFile(file).wal())
	}
	u := url.URL{Scheme: "file", Path: absolutePath(file), RawQuery: "mode=ro&immutable=1"}
	db, err := sql.Open("sqlite", u.String())
	if err != nil {
		return nil, ferric.Errorf(ferric.CodeInternal, "open %s: %w", file, err)
	}
	defer db.Close()
	problems, err := integrity(ctx, db)
	if err != nil {
		return nil, ferric.Errorf(ferric.CodeInvalid, "%s is no whole SQLite database: %w", file, err)
	}
	if len(problems) > 0 {
		return nil, ferric.Errorf(ferric.CodeInvalid, "%s is damaged: %s", file, strings.Join(problems, "; "))
	}
	c := &Copy{File: file, Bytes: info.Size()}
	if err := c.describe(ctx, db); err != nil {
		return nil, ferric.Errorf(ferric.CodeInvalid, "%s is no database of Ferric: %w", file, err)
	}
	if want := newestSchema(); c.Schema > want {
		return nil, ferric.Errorf(ferric.CodeInvalid, "%s: %w", file, tooNew(c.Schema, want))
	}
	return c, nil
}

// describe reads what a database says of itself.
func (c *Copy) describe(ctx context.Context, db *sql.DB) error {
	if err := db.QueryRowContext(ctx, "SELECT COALESCE(MAX(version_id), 0) FROM schema_version").Scan(&c.Schema); err != nil {
		return err
	}
	if err := db.QueryRowContext(ctx, "SELECT COUNT(*) FROM nodes").Scan(&c.Nodes); err != nil {
		return err
	}
	var at int64
	if err := db.QueryRowContext(ctx, "SELECT COALESCE(MAX(at), 0) FROM changes").Scan(&at); err != nil {
		return err
	}
	c.Changed = fromMicros(at)
	rows, err := db.QueryContext(ctx, "SELECT key_id FROM encryption_keys ORDER BY created_at, key_id")
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			return err
		}
		c.Keys = append(c.Keys, id)
	}
	return rows.Err()
}

// integrity has SQLite check every page, index and reference, and returns what is wrong.
func integrity(ctx context.Context, db *sql.DB) (problems []string, err error) {
	rows, err := db.QueryContext(ctx, "PRAGMA integrity_check(20)")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var line string
		if err := rows.Scan(&line); err != nil {
			return nil, err
		}
		if line != "ok" {
			problems = append(problems, strings.Split(line, "\n")...)
		}
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil || len(problems) > 0 {
		return problems, err
	}
	var orphans int
	if err := db.QueryRowContext(ctx, "SELECT COUNT(*) FROM pragma_foreign_key_check").Scan(&orphans); err != nil {
		return nil, err
	}
	if orphans > 0 {
		problems = append(problems, strconv.Itoa(orphans)+" rows refer to rows that do not exist")
	}
	return problems, nil
}

// newestSchema is the version of the last migration that this program has.
func newestSchema() int64 {
	entries, _ := fs.ReadDir(migrations, "migrations")
	newest := int64(0)
	for _, e := range entries {
		number, _, _ := strings.Cut(e.Name(), "_")
		if n, err := strconv.ParseInt(number, 10, 64); err == nil {
			newest = max(newest, n)
		}
	}
	return newest
}

// Attach opens an existing database for reading, beside the service that may be using it: only calls that read, and need no secrets, may be made. Close it.
// CodeNotFound if there is none.
func Attach(ctx context.Context, cfg Config, log *slog.Logger) (*Store, error) {
	return attach(ctx, cfg, log)
}

// attach opens an existing database beside the service that may be using it, for reading. Nothing is made, checked or migrated.
func attach(ctx context.Context, cfg Config, log *slog.Logger) (*Store, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	loc, err := cfg.location()
	if err != nil {
		return nil, err
	}
	if loc.pg != nil {
		return connect(ctx, cfg, log)
	}
	cfg = cfg.filled()
	s := &Store{log: log, timeout: cfg.Timeout, clock: cfg.Now, file: sqliteFile(loc.path)}
	if _, err := os.Stat(loc.path); err != nil {
		return nil, ferric.Errorf(ferric.CodeNotFound, "there is no database: %w", err)
	}
	// Held if no service runs, so that closing is noted as it would be by one: the last one who closes empties the write-ahead log.
	if s.lock, err = lockFile(s.file.lock()); err != nil && !ferric.IsCode(err, ferric.CodeConflict) {
		return nil, err
	}
	if s.lock != nil {
		if err := s.file.look(isDirty(s.lock)); err != nil {
			s.lock.Close()
			return nil, err
		}
	}
	u := url.URL{Scheme: "file", Path: loc.path, RawQuery: url.Values{"_pragma": {"busy_timeout(10000)"}}.Encode()}
	if s.w, err = sql.Open("sqlite", u.String()); err != nil {
		return nil, ferric.Errorf(ferric.CodeInternal, "open the database: %w", err)
	}
	s.r = s.w
	return s, nil
}

func absolutePath(path string) string {
	if abs, err := filepath.Abs(path); err == nil {
		return abs
	}
	return path
}

// settleFile brings a file to the disk and gives it its name, which must be in the same folder.
func settleFile(from, to string) error {
	if err := syncFile(from); err != nil {
		return err
	}
	if err := os.Rename(from, to); err != nil {
		return ferric.Errorf(ferric.CodeUnavailable, "name the copy: %w", err)
	}
	return syncFile(filepath.Dir(absolutePath(to)))
}

// syncFile brings a file or a folder to the disk.
func syncFile(path string) error {
	f, err := os.Open(path)
	if err == nil {
		err = errors.Join(f.Sync(), f.Close())
	}
	if err != nil {
		return ferric.Errorf(ferric.CodeUnavailable, "bring %s to the disk: %w", path, err)
	}
	return nil
}

// CopyKeys writes a copy of the key file, with mode 0600. CodeConflict if the target exists.
func CopyKeys(cfg Config, target string) error {
	if _, err := readKeys(cfg.keyFile()); err != nil {
		return err
	}
	return copyFile(cfg.keyFile(), target)
}

func copyFile(from, to string) (err error) {
	in, err := os.Open(from)
	if err != nil {
		return ferric.Errorf(ferric.CodeUnavailable, "copy: %w", err)
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return ferric.Errorf(ferric.CodeConflict, "%s exists already: choose another name", to)
	}
	if err == nil {
		_, err = io.Copy(out, in)
		err = errors.Join(err, out.Sync(), out.Close())
	}
	if err != nil {
		return ferric.Errorf(ferric.CodeUnavailable, "copy %s to %s: %w", from, to, err)
	}
	return syncFile(filepath.Dir(absolutePath(to)))
}
