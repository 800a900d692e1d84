package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"time"

	"modernc.org/sqlite"
	lib "modernc.org/sqlite/lib"

	"ferric"
)

// sqliteFile is where a SQLite database lies, and what lies beside it.
type sqliteFile string

func (f sqliteFile) lock() string      { return string(f) + ".lock" }
func (f sqliteFile) wal() string       { return string(f) + "-wal" }
func (f sqliteFile) restoring() string { return string(f) + ".restoring" }

const sqliteMagic = "SQLite format 3\x00"

// remedy ends the text of every error about a file that cannot be used.
const remedy = "Nothing was changed. `ferric db check` tells all that is wrong with it; `ferric db restore BACKUP` puts a backup in its place " +
	"(docs/operations.md, \"Backup and restore\")"

func damaged(path string, format string, args ...any) error {
	return ferric.Errorf(ferric.CodeUnavailable, "the database file %s cannot be used: %w. %s", path, fmt.Errorf(format, args...), remedy)
}

// look finds out, before SQLite sees it, whether the file is one that must not be opened. dirty says that the process before did not close it.
func (f sqliteFile) look(dirty bool) error {
	if _, err := os.Stat(f.restoring()); err == nil {
		return ferric.Errorf(ferric.CodeUnavailable, "the restore of the database %s was interrupted: run `ferric db restore BACKUP` again, "+
			"or remove %s to keep the database as it is", string(f), f.restoring())
	}
	head := make([]byte, 100)
	file, err := os.Open(string(f))
	if errors.Is(err, fs.ErrNotExist) {
		if _, err := os.Stat(f.wal()); err == nil {
			return damaged(string(f), "it is missing, but its write-ahead log %s is there", f.wal())
		}
		return nil
	}
	if err != nil {
		return ferric.Errorf(ferric.CodeUnavailable, "open the database: %w", err)
	}
	defer file.Close()
	n, err := io.ReadFull(file, head)
	switch {
	case errors.Is(err, io.EOF): // empty: a new one
		if info, err := os.Stat(f.wal()); err == nil && info.Size() > 0 {
			return damaged(string(f), "it is empty, but its write-ahead log %s is not", f.wal())
		}
		return nil
	case errors.Is(err, io.ErrUnexpectedEOF):
		return damaged(string(f), "it is cut off after %d bytes", n)
	case err != nil:
		return damaged(string(f), "read its header: %w", err)
	case !bytes.HasPrefix(head, []byte(sqliteMagic)):
		return damaged(string(f), "file is not a database: it begins with %q instead of %q", head[:16], sqliteMagic)
	}
	if _, err := os.Stat(f.wal()); dirty && errors.Is(err, fs.ErrNotExist) {
		return ferric.Errorf(ferric.CodeUnavailable, "the database %s was not closed in order, and its write-ahead log %s is missing: "+
			"what was written last may be lost. Put the log back, if it was moved or left behind in a copy. If another program (sqlite3) has opened and closed the "+
			"database since, all is there: run `ferric db check --accept`. Otherwise do so to go on without what is lost, or restore a backup "+
			"(docs/operations.md, \"Backup and restore\")", string(f), f.wal())
	}
	return nil
}

// quickCheckTime bounds the look at the pages of the database at the start: 100,000 nodes take half a second.
const quickCheckTime = 20 * time.Second

// quickCheck reads all pages of the database and compares their links; it does not compare indexes with their tables.
func (s *Store) quickCheck(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, quickCheckTime)
	defer cancel()
	var verdict string
	err := s.w.QueryRowContext(ctx, "PRAGMA quick_check(1)").Scan(&verdict)
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		s.log.WarnContext(ctx, "the database is too large to be checked at the start; check it with `ferric db check`", "file", string(s.file), "after", quickCheckTime)
		return nil
	case err != nil:
		return s.coded(ctx, "check the database", err)
	case verdict != "ok":
		return damaged(string(s.file), "database disk image is malformed: %s", strings.ReplaceAll(verdict, "\n", "; "))
	}
	return nil
}

// fatal reports whether an error of SQLite says that the file or its disk is damaged: what is written from now on may make it worse. A full disk is
// not that, nor is a write that failed, which SQLite takes back.
func fatal(err error) bool {
	var lite *sqlite.Error
	if !errors.As(err, &lite) {
		return false
	}
	switch code := lite.Code(); code & 0xff {
	case lib.SQLITE_CORRUPT, lib.SQLITE_NOTADB:
		return true
	case lib.SQLITE_IOERR:
		switch code {
		case lib.SQLITE_IOERR_READ, lib.SQLITE_IOERR_SHORT_READ, lib.SQLITE_IOERR_FSYNC, lib.SQLITE_IOERR_DIR_FSYNC, lib.SQLITE_IOERR_DATA,
			lib.SQLITE_IOERR_CORRUPTFS:
			return true
		}
	}
	return false
}

// noteDamage remembers the first error that says that the database is damaged, and logs it. From then on nothing is written.
func (s *Store) noteDamage(ctx context.Context, what string, err error) {
	if s.postgres || !fatal(err) {
		return
	}
	found := damaged(string(s.file), "%s: %w", what, err)
	if s.broken.CompareAndSwap(nil, &found) {
		s.log.ErrorContext(ctx, "the database is damaged: nothing is written any more until Ferric is started again", "error", found)
	}
}

// Damage returns what was found wrong with the database since it was opened, nil if nothing was. Then every write fails with it.
func (s *Store) Damage() error {
	if p := s.broken.Load(); p != nil {
		return *p
	}
	return nil
}
