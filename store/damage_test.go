package store_test

import (
	"bytes"
	"database/sql"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ferric"
	"ferric/store"
)

// alter runs statements on a database file that nobody uses.
func alter(t *testing.T, file string, statements ...string) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+file)
	must(t, err)
	defer db.Close()
	for _, s := range statements {
		if _, err := db.Exec(s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

// rootPages returns the first pages of a table and of its indexes, and the size of pages.
func rootPages(t *testing.T, file, table string) (pages []int64, size int64) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+file)
	must(t, err)
	defer db.Close()
	must(t, db.QueryRow("PRAGMA page_size").Scan(&size))
	rows, err := db.Query("SELECT rootpage FROM sqlite_master WHERE tbl_name = ? AND rootpage > 0", table)
	must(t, err)
	defer rows.Close()
	for rows.Next() {
		var p int64
		must(t, rows.Scan(&p))
		pages = append(pages, p)
	}
	return pages, size
}

// A file that is not what it should be keeps the store from opening, with its name, what is wrong, and what to do. It is left as it is.
func TestDamagedFile(t *testing.T) {
	patch := func(at int64, with []byte) func(t *testing.T, file string) {
		return func(t *testing.T, file string) {
			f, err := os.OpenFile(file, os.O_WRONLY, 0)
			must(t, err)
			defer f.Close()
			_, err = f.WriteAt(with, at)
			must(t, err)
		}
	}
	size := func(t *testing.T, file string) int64 {
		info, err := os.Stat(file)
		must(t, err)
		return info.Size()
	}
	for name, tc := range map[string]struct {
		harm func(t *testing.T, file string)
		want string
	}{
		"header":         {patch(0, []byte("not SQLite at all")), `begins with "not SQLite at al"`},
		"page size":      {patch(16, []byte{0xff, 0xff}), ""},
		"cut in header":  {func(t *testing.T, file string) { must(t, os.Truncate(file, 50)) }, "cut off after 50 bytes"},
		"cut in half":    {func(t *testing.T, file string) { must(t, os.Truncate(file, size(t, file)/2)) }, "malformed"},
		"last page gone": {func(t *testing.T, file string) { must(t, os.Truncate(file, size(t, file)-4096)) }, ""},
		"schema page":    {patch(100, bytes.Repeat([]byte{0xa5}, 3000)), "malformed"},
		"page of a table": {func(t *testing.T, file string) {
			pages, n := rootPages(t, file, "nodes")
			patch((pages[0]-1)*n, bytes.Repeat([]byte{0xa5}, int(n)))(t, file)
		}, "malformed"},
		"page of an index": {func(t *testing.T, file string) {
			pages, n := rootPages(t, file, "nodes")
			patch((pages[len(pages)-1]-1)*n, bytes.Repeat([]byte{0}, 64))(t, file)
		}, "malformed"},
		"missing": {func(t *testing.T, file string) {
			must(t, os.Remove(file))
			must(t, os.WriteFile(file+"-wal", []byte("x"), 0o600))
		}, "is missing, but its write-ahead log"},
		"empty": {func(t *testing.T, file string) {
			must(t, os.Truncate(file, 0))
			must(t, os.WriteFile(file+"-wal", []byte("x"), 0o600))
		}, "it is empty, but its write-ahead log"},
	} {
		t.Run(name, func(t *testing.T) {
			e := open(t, "sqlite")
			for range 100 {
				e.node(t)
			}
			must(t, e.Close())
			file := filepath.Join(e.cfg.DataDir, "ferric.db")
			tc.harm(t, file)
			before, _ := os.ReadFile(file)
			_, err := store.Open(t.Context(), e.cfg, quiet())
			wantCode(t, err, ferric.CodeUnavailable, tc.want)
			for _, want := range []string{file, "ferric db restore", "docs/operations.md"} {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q is missing in: %v", want, err)
				}
			}
			if after, _ := os.ReadFile(file); !bytes.Equal(before, after) {
				t.Error("the file was changed")
			}
		})
	}
}

// The write-ahead log of a database that was not closed in order is gone: that is told, and not passed over.
func TestMissingLog(t *testing.T) {
	e := open(t, "sqlite")
	n := e.node(t)
	dir := t.TempDir() // as the disk is found after a crash
	for _, name := range []string{"ferric.db", "ferric.db-wal", "ferric.db.lock", "secret.key"} {
		data, err := os.ReadFile(filepath.Join(e.cfg.DataDir, name))
		must(t, err)
		must(t, os.WriteFile(filepath.Join(dir, name), data, 0o600))
	}
	cfg := config(dir, "")
	wal := filepath.Join(dir, "ferric.db-wal")
	must(t, os.Rename(wal, wal+".away"))
	_, err := store.Open(t.Context(), cfg, quiet())
	wantCode(t, err, ferric.CodeUnavailable, "was not closed in order, and its write-ahead log "+wal+" is missing")
	must(t, os.Rename(wal+".away", wal))
	s := reopen(t, cfg)
	_, err = s.Node(t.Context(), n.UUID)
	must(t, err)
	must(t, s.Close())
	must(t, reopen(t, cfg).Close()) // closed in order it has none

	must(t, os.WriteFile(filepath.Join(dir, "ferric.db.lock"), []byte("open\n"), 0o600))
	_, err = store.Open(t.Context(), cfg, quiet())
	wantCode(t, err, ferric.CodeUnavailable, "ferric db check --accept")
	must(t, store.AcceptLoss(cfg))
	must(t, reopen(t, cfg).Ping(t.Context()))
}

// Damage that shows while the store is in use ends all writing, and Ping says so; what can be read is still read.
func TestDamageInUse(t *testing.T) {
	e := open(t, "sqlite")
	ctx := t.Context()
	var nodes []*ferric.Node
	for i := range 300 {
		nodes = append(nodes, e.node(t, func(n *ferric.Node) { n.Description = strings.Repeat(fmt.Sprint(i, " "), 200) }))
	}
	must(t, e.Close())
	// The pages below the root of the nodes are overwritten after the start: by a pointer into nowhere.
	file := filepath.Join(e.cfg.DataDir, "ferric.db")
	pages, size := rootPages(t, file, "nodes")
	s := reopen(t, e.cfg)
	must(t, s.Ping(ctx))
	f, err := os.OpenFile(file, os.O_RDWR, 0)
	must(t, err)
	page := make([]byte, size)
	_, err = f.ReadAt(page, (pages[0]-1)*size)
	must(t, err)
	if page[0] != 5 {
		t.Fatalf("the root of nodes is a page of type %d, want an interior one", page[0])
	}
	for i, cells := 0, int(binary.BigEndian.Uint16(page[3:])); i < cells; i++ {
		cell := binary.BigEndian.Uint16(page[12+2*i:])
		copy(page[cell:], []byte{0x7f, 0xff, 0xff, 0xff})
	}
	_, err = f.WriteAt(page, (pages[0]-1)*size)
	must(t, err)
	t.Cleanup(func() { f.Close() }) // not before the store: a process that closes a file loses its locks

	var failed error
	for _, n := range nodes {
		if _, err := s.Node(ctx, n.UUID); err != nil {
			failed = err
			break
		}
	}
	wantCode(t, failed, ferric.CodeUnavailable, "malformed")
	wantCode(t, s.Ping(ctx), ferric.CodeUnavailable, file)
	err = s.CreateNode(ctx, &ferric.Node{})
	wantCode(t, err, ferric.CodeUnavailable, "ferric db restore")
	if _, err := s.LastChange(ctx); err != nil {
		t.Errorf("what is whole cannot be read any more: %v", err)
	}
}
