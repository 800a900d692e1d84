package store_test

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ferric"
	"ferric/store"
)

func TestConfigIsChecked(t *testing.T) {
	dir := t.TempDir()
	for name, tc := range map[string]struct {
		cfg  store.Config
		want string
	}{
		"nothing":              {store.Config{}, "URL and DataDir are both empty"},
		"no key file":          {store.Config{URL: filepath.Join(dir, "x.db")}, "KeyFile and DataDir are both empty"},
		"unknown scheme":       {store.Config{URL: "mysql://h/db", DataDir: dir}, `unknown scheme "mysql"`},
		"relative SQLite URL":  {store.Config{URL: "sqlite://x.db", DataDir: dir}, "write sqlite:///absolute/path"},
		"SQLite options":       {store.Config{URL: "sqlite:///x.db?mode=memory", DataDir: dir}, "without options"},
		"bad PostgreSQL":       {store.Config{URL: "postgres://u:hunter2@h:notaport/db", DataDir: dir}, "no valid PostgreSQL address"},
		"negative connections": {store.Config{DataDir: dir, Connections: -1}, "Connections is -1"},
		"negative timeout":     {store.Config{DataDir: dir, Timeout: -1}, "Timeout is -1ns"},
		"no folder":            {store.Config{URL: filepath.Join(dir, "none", "x.db"), DataDir: dir}, "does not exist: make it"},
	} {
		_, err := store.Open(t.Context(), tc.cfg, quiet())
		if !ferric.IsCode(err, ferric.CodeInvalid) || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: got %v, want %q", name, err, tc.want)
		}
	}
	if err := store.Defaults().Validate(); err != nil {
		t.Errorf("defaults: %v", err)
	}
}

func TestSQLitePlaces(t *testing.T) {
	for name, url := range map[string]func(dir string) string{
		"path": func(dir string) string { return filepath.Join(dir, "a?b #%20.db") },
		"URL":  func(dir string) string { return "sqlite://" + dir + "/a%3Fb%20%23%2520.db" },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s := reopen(t, store.Config{URL: url(dir), KeyFile: filepath.Join(dir, "k"), Migrate: true})
			must(t, s.Ping(t.Context()))
			want := "a?b #%20.db"
			if _, err := os.Stat(filepath.Join(dir, want)); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestSQLiteHasOneProcess(t *testing.T) {
	e := open(t, "sqlite")
	_, err := store.Open(t.Context(), e.cfg, quiet())
	wantCode(t, err, ferric.CodeConflict, "another process has the database open")
	_, err = store.Migrate(t.Context(), e.cfg, quiet())
	wantCode(t, err, ferric.CodeConflict, "another process has the database open")
	must(t, e.Close())
	must(t, reopen(t, e.cfg).Ping(t.Context()))
}

func TestMigrations(t *testing.T) {
	for _, engine := range []string{"sqlite", "postgres"} {
		t.Run(engine, func(t *testing.T) {
			ctx := t.Context()
			cfg := fresh(t, engine)
			cfg.Migrate = false
			have, want, err := store.SchemaVersion(ctx, cfg, quiet())
			equal(t, "the newest one", store.NewestSchema(), want)
			must(t, err)
			if have != 0 || want < 1 {
				t.Fatalf("have %d, want %d", have, want)
			}
			_, err = store.Open(ctx, cfg, quiet())
			wantCode(t, err, ferric.CodeInvalid, "run `ferric db migrate`")
			for range 2 { // may be repeated
				version, err := store.Migrate(ctx, cfg, quiet())
				must(t, err)
				equal(t, "version", version, want)
			}
			if _, err := os.Stat(filepath.Join(cfg.DataDir, "secret.key")); err == nil {
				t.Error("a migration made a key file")
			}
			e := &env{Store: reopen(t, cfg), cfg: cfg, clock: newClock()}
			e.node(t)
			// A newer program was here, and has only added to the schema.
			if _, err := e.peek(t).Exec("INSERT INTO schema_version (version_id, is_applied) VALUES (999, TRUE)"); err != nil {
				t.Fatal(err)
			}
			must(t, e.Close())
			for _, migrate := range []bool{false, true} {
				cfg.Migrate = migrate
				s := reopen(t, cfg)
				list, err := s.Nodes(ctx, ferric.NodeFilter{}, ferric.Page{})
				must(t, err)
				equal(t, "nodes", len(list), 1)
				must(t, s.Close())
			}
			version, err := store.Migrate(ctx, cfg, quiet())
			must(t, err)
			equal(t, "version", version, 999)
			// Now what this program uses has been taken away.
			e = &env{Store: reopen(t, cfg), cfg: cfg, clock: newClock()}
			own := ferric.Process{Host: "a", Roles: "api", Program: ferric.Program{Schema: want}}
			must(t, e.AnnounceProcess(ctx, own))
			if _, err := e.peek(t).Exec("UPDATE counters SET value = $1 WHERE name = 'schema_oldest'", want+1); err != nil {
				t.Fatal(err)
			}
			wantCode(t, e.AnnounceProcess(ctx, own), ferric.CodeInvalid, "start the newer program in its place")
			must(t, e.Close())
			for _, migrate := range []bool{false, true} {
				cfg.Migrate = migrate
				_, err = store.Open(ctx, cfg, quiet())
				wantCode(t, err, ferric.CodeInvalid, "has version 999, and this program knows versions up to")
			}
			_, err = store.Migrate(ctx, cfg, quiet())
			wantCode(t, err, ferric.CodeInvalid, "ferric db migrate")
		})
	}
}

// Conductors that start at the same time on an empty database agree on the schema and on the key file.
func TestManyProcessesStart(t *testing.T) {
	cfg := fresh(t, "postgres")
	type result struct {
		s   *store.Store
		err error
	}
	results := make(chan result)
	const processes = 5
	for range processes {
		go func() {
			s, err := store.Open(t.Context(), cfg, quiet())
			results <- result{s, err}
		}()
	}
	for range processes {
		r := <-results
		if r.err != nil {
			t.Error(r.err)
			continue
		}
		defer r.s.Close()
		must(t, r.s.CreateNode(t.Context(), &ferric.Node{DriverInfo: map[string]any{"a": "b"}}))
		list, err := r.s.Nodes(t.Context(), ferric.NodeFilter{}, ferric.Page{})
		must(t, err)
		if list[0].DriverInfo["a"] != "b" {
			t.Error("driver info is not readable")
		}
	}
}

// A second conductor without the key file must not make its own.
func TestSecondHostNeedsTheKeyFile(t *testing.T) {
	e := open(t, "postgres")
	cfg := config(t.TempDir(), e.cfg.URL)
	_, err := store.Open(t.Context(), cfg, quiet())
	wantCode(t, err, ferric.CodeInvalid, "from another conductor's host")
}

func TestUnavailable(t *testing.T) {
	t.Run("closed", func(t *testing.T) {
		each(t, func(t *testing.T, e *env) {
			n := e.node(t)
			must(t, e.Close())
			_, err := e.Node(t.Context(), n.UUID)
			wantCode(t, err, ferric.CodeUnavailable, "read node")
			_, err = e.Acquire(t.Context(), n.UUID, "h", time.Minute)
			wantCode(t, err, ferric.CodeUnavailable, "take the lease of node "+n.UUID)
			wantCode(t, e.Ping(t.Context()), ferric.CodeUnavailable, "")
		})
	})
	t.Run("cancelled", func(t *testing.T) {
		each(t, func(t *testing.T, e *env) {
			n := e.node(t)
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			_, err := e.Node(ctx, n.UUID)
			wantCode(t, err, ferric.CodeUnavailable, "canceled")
			_, err = e.Acquire(ctx, n.UUID, "h", time.Minute)
			wantCode(t, err, ferric.CodeUnavailable, "canceled")
			_, err = e.Acquire(t.Context(), n.UUID, "h", time.Minute) // and it was not taken
			must(t, err)
		})
	})
	t.Run("nobody listens", func(t *testing.T) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		must(t, err)
		address := l.Addr().String()
		l.Close()
		cfg := config(t.TempDir(), "postgres://u:hunter2@"+address+"/db?sslmode=disable")
		cfg.ConnectTimeout = 300 * time.Millisecond
		_, err = store.Open(t.Context(), cfg, quiet())
		if !ferric.IsCode(err, ferric.CodeUnavailable) || strings.Contains(err.Error(), "hunter2") {
			t.Fatalf("got %v", err)
		}
	})
	t.Run("wrong password", func(t *testing.T) {
		cfg := fresh(t, "postgres")
		cfg.URL = strings.Replace(cfg.URL, "secret-word", "hunter2", 1)
		cfg.ConnectTimeout = time.Hour // it does not wait for that
		_, err := store.Open(t.Context(), cfg, quiet())
		wantCode(t, err, ferric.CodeUnavailable, "password authentication failed")
		if strings.Contains(err.Error(), "hunter2") {
			t.Fatalf("the error shows the password: %v", err)
		}
	})
	t.Run("no SQLite file", func(t *testing.T) {
		cfg := config(t.TempDir(), "")
		must(t, os.WriteFile(filepath.Join(cfg.DataDir, "ferric.db"), []byte(strings.Repeat("garbage ", 1000)), 0o600))
		_, err := store.Open(t.Context(), cfg, quiet())
		wantCode(t, err, ferric.CodeUnavailable, "not a database")
	})
}
