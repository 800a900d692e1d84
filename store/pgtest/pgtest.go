// Package pgtest runs a PostgreSQL server for tests.
//
// # Concurrency
//
// A Server may be used by tests that run at the same time.
package pgtest

import (
	"context"
	"database/sql"
	"flag"
	"fmt"
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

	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"
)

// Server is a server of a test process, that starts when it is needed. Its zero value is ready for use; call Stop at the end of TestMain.
type Server struct {
	// Dir keeps everything but the write-ahead log, which LogDir keeps. Both must be empty, and the server's own if root
	// runs the test. Empty: a temporary folder, and the one of the rest.
	Dir, LogDir string
	// Settings are further ones of postgresql.conf, name=value.
	Settings []string

	once   sync.Once
	err    error
	skip   string
	dir    string
	port   int
	cmd    *exec.Cmd
	made   atomic.Int64
	admin  *sql.DB
	output *os.File

	over    []chan struct{} // closed when the threads that started the server may end
	program string
	args    []string
	attr    *syscall.SysProcAttr
}

// launch starts the server as our child, without pg_ctl, so that it ends with us.
func (s *Server) launch() error {
	s.cmd = exec.Command(s.program, s.args...)
	s.cmd.SysProcAttr, s.cmd.Dir = s.attr, s.dir
	s.cmd.Stdout, s.cmd.Stderr = s.output, s.output
	started, over := make(chan error), make(chan struct{})
	s.over = append(s.over, over)
	go func() { // Pdeathsig is the thread's: the one that starts the server must live as long as we
		runtime.LockOSThread()
		started <- s.cmd.Start()
		<-over
	}()
	return <-started
}

// Restart starts a server that has ended by itself, as its supervisor would, and reports whether it had.
func (s *Server) Restart() (ended bool, err error) {
	var status syscall.WaitStatus
	pid, err := syscall.Wait4(s.cmd.Process.Pid, &status, syscall.WNOHANG, nil)
	if err != nil || pid == 0 {
		return false, err
	}
	return true, s.launch()
}

func (s *Server) url(database string) string {
	return fmt.Sprintf("postgres://ferric:secret-word@127.0.0.1:%d/%s?sslmode=disable", s.port, database)
}

// Fresh makes an empty database and returns its URL. It skips the test if PostgreSQL is not installed.
func (s *Server) Fresh(tb testing.TB) string {
	tb.Helper()
	s.once.Do(s.start)
	if s.skip != "" {
		tb.Skip("SKIPPED: the tests on PostgreSQL did not run: " + s.skip)
	}
	if s.err != nil {
		tb.Fatalf("start PostgreSQL: %v", s.err)
	}
	name := "t" + strconv.FormatInt(s.made.Add(1), 10)
	if _, err := s.admin.Exec("CREATE DATABASE " + name); err != nil {
		tb.Fatalf("make a database: %v", err)
	}
	return s.url(name)
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

func (s *Server) start() {
	bin, ok := programs()
	if !ok {
		s.skip = "there is no initdb (on Debian: apt install postgresql)"
		return
	}
	s.err = s.run(bin)
}

func (s *Server) run(bin string) (err error) {
	s.dir = s.Dir
	if s.dir == "" {
		if s.dir, err = os.MkdirTemp("", "ferric-pg-"); err != nil {
			return err
		}
	}
	attr := &syscall.SysProcAttr{}
	if os.Getuid() == 0 { // the server refuses to run as root
		const nobody = 65534
		for _, dir := range []string{s.dir, s.LogDir} {
			if dir == "" {
				continue
			}
			if err := os.Chown(dir, nobody, nobody); err != nil {
				return err
			}
		}
		attr.Credential = &syscall.Credential{Uid: nobody, Gid: nobody}
	}
	attr.Pdeathsig = syscall.SIGINT // with us, however we end
	password := filepath.Join(s.dir, "password")
	if err := os.WriteFile(password, []byte("secret-word\n"), 0o644); err != nil {
		return err
	}
	data := filepath.Join(s.dir, "data")
	more := []string{}
	if s.LogDir != "" {
		more = append(more, "--waldir="+filepath.Join(s.LogDir, "wal"))
	}
	initdb := exec.Command(filepath.Join(bin, "initdb"), "-D", data, "-U", "ferric", "--pwfile="+password,
		"--auth-local=trust", "--auth-host=scram-sha-256", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync")
	initdb.Args = append(initdb.Args, more...)
	initdb.SysProcAttr, initdb.Dir = attr, s.dir
	if out, err := initdb.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w\n%s", err, out)
	}
	if s.port, err = freePort(); err != nil {
		return err
	}
	fsync := "off"
	if f := flag.Lookup("test.bench"); f != nil && f.Value.String() != "" {
		fsync = "on" // honest figures
	}
	// Not pg_ctl: the server is our child, so that it ends with us.
	s.args = []string{"-D", data, "-k", s.dir, "-h", "127.0.0.1", "-p", strconv.Itoa(s.port),
		"-c", "fsync=" + fsync, "-c", "max_connections=400", "-c", "shared_buffers=64MB", "-c", "deadlock_timeout=100ms"}
	for _, setting := range s.Settings {
		s.args = append(s.args, "-c", setting)
	}
	s.program, s.attr = filepath.Join(bin, "postgres"), attr
	if s.output, err = os.Create(filepath.Join(s.dir, "log")); err != nil {
		return err
	}
	if err := s.launch(); err != nil {
		return err
	}
	if s.admin, err = sql.Open("pgx", s.url("postgres")); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	for {
		err := s.admin.PingContext(ctx)
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			log, _ := os.ReadFile(s.output.Name())
			return fmt.Errorf("%w\n%s", err, log)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// Stop ends the server and removes what it stored. It may be called on a server that never started.
func (s *Server) Stop() {
	if s.admin != nil {
		s.admin.Close()
	}
	if s.cmd != nil && s.cmd.Process != nil {
		s.cmd.Process.Signal(syscall.SIGINT) // fast shutdown
		s.cmd.Wait()
	}
	for _, over := range s.over {
		close(over)
	}
	s.over = nil
	if s.output != nil {
		s.output.Close()
	}
	if s.dir != "" {
		os.RemoveAll(s.dir)
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
