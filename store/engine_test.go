package store_test

import (
	"context"
	"database/sql"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib"

	"ferric/store"
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
		url = freshPostgres(tb)
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
var server postgresServer

type postgresServer struct {
	once   sync.Once
	err    error
	skip   string
	dir    string
	port   int
	cmd    *exec.Cmd
	made   atomic.Int64
	admin  *sql.DB
	output *os.File
}

func TestMain(m *testing.M) {
	if path := os.Getenv("FERRIC_STORE_TEST_CHILD"); path != "" {
		child(path)
		return
	}
	code := m.Run()
	server.stop()
	os.Exit(code)
}

func (p *postgresServer) url(database string) string {
	return fmt.Sprintf("postgres://ferric:secret-word@127.0.0.1:%d/%s?sslmode=disable", p.port, database)
}

// freshPostgres makes an empty database on a server of our own and returns its URL.
func freshPostgres(tb testing.TB) string {
	tb.Helper()
	server.once.Do(server.start)
	if server.skip != "" {
		tb.Skip("SKIPPED: the tests on PostgreSQL did not run: " + server.skip)
	}
	if server.err != nil {
		tb.Fatalf("start PostgreSQL: %v", server.err)
	}
	name := "t" + strconv.FormatInt(server.made.Add(1), 10)
	if _, err := server.admin.Exec("CREATE DATABASE " + name); err != nil {
		tb.Fatalf("make a database: %v", err)
	}
	return server.url(name)
}

// programs finds PostgreSQL's programs: on PATH, or where Debian puts them.
func programs() (dir string, ok bool) {
	if path, err := exec.LookPath("initdb"); err == nil {
		return filepath.Dir(path), true
	}
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if len(found) == 0 {
		return "", false
	}
	return filepath.Dir(found[len(found)-1]), true
}

func (p *postgresServer) start() {
	bin, ok := programs()
	if !ok {
		p.skip = "there is no initdb (on Debian: apt install postgresql)"
		return
	}
	p.err = p.run(bin)
}

func (p *postgresServer) run(bin string) (err error) {
	if p.dir, err = os.MkdirTemp("", "ferric-pg-"); err != nil {
		return err
	}
	attr := &syscall.SysProcAttr{}
	if os.Getuid() == 0 { // the server refuses to run as root
		const nobody = 65534
		if err := os.Chown(p.dir, nobody, nobody); err != nil {
			return err
		}
		attr.Credential = &syscall.Credential{Uid: nobody, Gid: nobody}
	}
	attr.Pdeathsig = syscall.SIGINT // with us, however we end
	password := filepath.Join(p.dir, "password")
	if err := os.WriteFile(password, []byte("secret-word\n"), 0o644); err != nil {
		return err
	}
	data := filepath.Join(p.dir, "data")
	initdb := exec.Command(filepath.Join(bin, "initdb"), "-D", data, "-U", "ferric", "--pwfile="+password,
		"--auth-local=trust", "--auth-host=scram-sha-256", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync")
	initdb.SysProcAttr, initdb.Dir = attr, p.dir
	if out, err := initdb.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w\n%s", err, out)
	}
	if p.port, err = freePort(); err != nil {
		return err
	}
	fsync := "off"
	if f := flag.Lookup("test.bench"); f != nil && f.Value.String() != "" {
		fsync = "on" // honest figures
	}
	// Not pg_ctl: the server is our child, so that it ends with us.
	p.cmd = exec.Command(filepath.Join(bin, "postgres"), "-D", data, "-k", p.dir, "-h", "127.0.0.1", "-p", strconv.Itoa(p.port),
		"-c", "fsync="+fsync, "-c", "max_connections=400", "-c", "shared_buffers=64MB", "-c", "deadlock_timeout=100ms")
	p.cmd.SysProcAttr, p.cmd.Dir = attr, p.dir
	if p.output, err = os.Create(filepath.Join(p.dir, "log")); err != nil {
		return err
	}
	p.cmd.Stdout, p.cmd.Stderr = p.output, p.output
	started := make(chan error)
	go func() { // Pdeathsig is the thread's: the one that starts the server must live as long as we
		runtime.LockOSThread()
		started <- p.cmd.Start()
		select {}
	}()
	if err := <-started; err != nil {
		return err
	}
	if p.admin, err = sql.Open("pgx", p.url("postgres")); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	for {
		err := p.admin.PingContext(ctx)
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			log, _ := os.ReadFile(p.output.Name())
			return fmt.Errorf("%w\n%s", err, log)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func (p *postgresServer) stop() {
	if p.admin != nil {
		p.admin.Close()
	}
	if p.cmd != nil && p.cmd.Process != nil {
		p.cmd.Process.Signal(syscall.SIGINT) // fast shutdown
		p.cmd.Wait()
	}
	if p.output != nil {
		p.output.Close()
	}
	if p.dir != "" {
		os.RemoveAll(p.dir)
	}
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}
