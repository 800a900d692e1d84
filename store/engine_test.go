package store_test

import (
	"database/sql"
	"log/slog"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib"

	"ferric/store"
	"ferric/store/pgtest"
)

// env is one test's database, on either engine.
type env struct {
	*store.Store
	cfg   store.Config
	clock *clock
}

// clock is a clock that tests move by hand; it ticks a microsecond at every look, so that orders are sharp.
type clock struct{ micros atomic.Int64 }

func newClock() *clock {
	c := &clock{}
	c.micros.Store(time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC).UnixMicro())
	return c
}

func (c *clock) now() time.Time       { return time.UnixMicro(c.micros.Add(1)).UTC() }
func (c *clock) pass(d time.Duration) { c.micros.Add(d.Microseconds()) }
func (e *env) after(d time.Duration)  { e.clock.pass(d) }
func (e *env) postgres() bool         { return e.cfg.URL != "" }
func quiet() *slog.Logger             { return slog.New(slog.DiscardHandler) }
func config(dir, url string) store.Config {
	return store.Config{URL: url, DataDir: dir, Migrate: true, Timeout: 2 * time.Minute}
}

// each runs a test on SQLite and on PostgreSQL, each time with an empty database.
func each(t *testing.T, fn func(t *testing.T, e *env)) {
	t.Helper()
	for _, engine := range []string{"sqlite", "postgres"} {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			fn(t, open(t, engine))
		})
	}
}

// fresh returns the settings of an empty database.
func fresh(tb testing.TB, engine string) store.Config {
	tb.Helper()
	url := ""
	if engine == "postgres" {
		url = server.Fresh(tb)
	}
	return config(tb.TempDir(), url)
}

func open(tb testing.TB, engine string) *env {
	tb.Helper()
	e := &env{cfg: fresh(tb, engine), clock: newClock()}
	e.cfg.Now = e.clock.now
	e.Store = reopen(tb, e.cfg)
	return e
}

func reopen(tb testing.TB, cfg store.Config) *store.Store {
	tb.Helper()
	s, err := store.Open(tb.Context(), cfg, quiet())
	if err != nil {
		tb.Fatalf("open: %v", err)
	}
	tb.Cleanup(func() {
		if err := s.Close(); err != nil {
			tb.Errorf("close: %v", err)
		}
	})
	return s
}

// peek opens the database beside the store.
func (e *env) peek(tb testing.TB) *sql.DB {
	tb.Helper()
	driver, dsn := "sqlite", "file:"+filepath.Join(e.cfg.DataDir, "ferric.db")+"?_pragma=busy_timeout(10000)"
	if e.postgres() {
		driver, dsn = "pgx", e.cfg.URL
	}
	db, err := sql.Open(driver, dsn)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { db.Close() })
	return db
}

// server is the PostgreSQL server that the tests share.
var server pgtest.Server

func TestMain(m *testing.M) {
	if path := os.Getenv("FERRIC_STORE_TEST_CHILD"); path != "" {
		child(path)
		return
	}
	code := m.Run()
	server.Stop()
	os.Exit(code)
}
