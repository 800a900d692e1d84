package store_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"ferric"
	"ferric/flow"
	"ferric/store"
)

// A backup of a database that is being written to is one moment of it: every node has its change.
func TestBackupOfADatabaseInUse(t *testing.T) {
	e := open(t, "sqlite")
	ctx := t.Context()
	e.node(t)
	stop := make(chan struct{})
	var writers sync.WaitGroup
	for w := range 4 {
		writers.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				n := &ferric.Node{Name: fmt.Sprintf("n%d-%d", w, i), DriverInfo: map[string]any{"password": "hunter2"}}
				if err := e.CreateNode(ctx, n); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	var copies []*store.Copy
	for i := range 3 {
		c, err := store.Backup(ctx, e.cfg, filepath.Join(e.cfg.DataDir, fmt.Sprint("backup", i)), quiet())
		must(t, err)
		copies = append(copies, c)
	}
	close(stop)
	writers.Wait()
	e.node(t) // the store goes on
	for i, c := range copies {
		info, err := os.Stat(c.File)
		must(t, err)
		equal(t, "mode", info.Mode(), fs.FileMode(0o600))
		if i > 0 && c.Nodes < copies[i-1].Nodes {
			t.Errorf("the backups have %d and then %d nodes", copies[i-1].Nodes, c.Nodes)
		}
		cfg := config(t.TempDir(), "")
		cfg.KeyFile = filepath.Join(e.cfg.DataDir, "secret.key")
		must(t, os.Rename(c.File, filepath.Join(cfg.DataDir, "ferric.db")))
		s := reopen(t, cfg)
		last, err := s.LastChange(ctx)
		must(t, err)
		equal(t, "nodes", int64(c.Nodes), last)
		must(t, s.EachNode(ctx, ferric.NodeFilter{}, func(*ferric.Node) error { return nil })) // all can be decrypted
	}
}

func TestBackupIsRefused(t *testing.T) {
	e := open(t, "sqlite")
	ctx := t.Context()
	there := filepath.Join(t.TempDir(), "there")
	must(t, os.WriteFile(there, []byte("precious"), 0o600))
	_, err := store.Backup(ctx, e.cfg, there, quiet())
	wantCode(t, err, ferric.CodeConflict, "exists already")
	nowhere := config(t.TempDir(), "")
	_, err = store.Backup(ctx, nowhere, there+"2", quiet())
	wantCode(t, err, ferric.CodeNotFound, "there is no database")
	if _, err := os.Stat(filepath.Join(nowhere.DataDir, "ferric.db")); !errors.Is(err, fs.ErrNotExist) {
		t.Error("a backup made a database")
	}
	pg := open(t, "postgres")
	_, err = store.Backup(ctx, pg.cfg, there+"3", quiet())
	wantCode(t, err, ferric.CodeUnsupported, "pg_dump")
}

// site is a database with a node in every condition that a restore must think of.
type site struct {
	active, available, kept, deploying, held *ferric.Node
	operation                                *flow.Operation
	lease                                    flow.Lease
}

func (e *env) site(t *testing.T) *site {
	t.Helper()
	ctx := t.Context()
	in := func(state ferric.ProvisionState) func(*ferric.Node) {
		return func(n *ferric.Node) {
			n.ProvisionState = state
			n.DriverInfo = map[string]any{"password": "hunter2"}
		}
	}
	s := &site{active: e.node(t, in(ferric.Active)), available: e.node(t, in(ferric.Available)), deploying: e.node(t, in(ferric.Deploying)), held: e.node(t, in(ferric.CleanHold))}
	s.kept = e.node(t, in(ferric.Available), func(n *ferric.Node) { n.Maintenance, n.MaintenanceReason = true, "a disk is missing" })
	var err error
	s.lease, err = e.Acquire(ctx, s.deploying.UUID, "host-1", time.Hour)
	must(t, err)
	s.operation = e.begin(t, s.lease, 3)
	must(t, e.BeginAgentSession(ctx, s.deploying.UUID))
	must(t, e.Announce(ctx, ferric.Conductor{Host: "host-1", HardwareTypes: []string{"fake-hardware"}}))
	return s
}

// wantReset checks what must be so after a restore.
func (s *site) wantReset(t *testing.T, db *store.Store, changes int64) {
	t.Helper()
	ctx := t.Context()
	node := func(n *ferric.Node) *ferric.Node {
		t.Helper()
		got, err := db.Node(ctx, n.UUID)
		must(t, err)
		return got
	}
	if n := node(s.active); n.ProvisionState != ferric.Active || n.Maintenance || n.DriverInfo["password"] != "hunter2" {
		t.Errorf("the active node is %s, maintenance %v", n.ProvisionState, n.Maintenance)
	}
	if n := node(s.available); n.ProvisionState != ferric.Available || !strings.Contains(n.MaintenanceReason, "may be in use by now") {
		t.Errorf("the available node: %s, maintenance because %q", n.ProvisionState, n.MaintenanceReason)
	}
	if n := node(s.kept); n.MaintenanceReason != "a disk is missing" {
		t.Errorf("the reason of the node in maintenance became %q", n.MaintenanceReason)
	}
	n := node(s.deploying)
	if n.ProvisionState != ferric.DeployFailed || !n.Maintenance || n.Reservation != "" || !strings.Contains(n.LastError, "in which the node was deploying") {
		t.Errorf("the deploying node: %s, reserved by %q: %s", n.ProvisionState, n.Reservation, n.LastError)
	}
	if n.LeaseEpoch <= s.lease.Epoch+1<<31 || n.Version <= s.deploying.Version+1000 {
		t.Errorf("epoch %d and version %d may have been given out after the backup", n.LeaseEpoch, n.Version)
	}
	if n := node(s.held); n.ProvisionState != ferric.CleanFailed || !n.Maintenance {
		t.Errorf("the held node is %s", n.ProvisionState)
	}
	op, err := db.Operation(ctx, s.operation.ID)
	must(t, err)
	if op.Status != flow.Failed || !strings.Contains(op.Error, "was not carried on") {
		t.Errorf("the operation is %s: %s", op.Status, op.Error)
	}
	due, err := db.Due(ctx, time.Now().Add(24*365*time.Hour), 0)
	must(t, err)
	equal(t, "due operations", due, nil)
	_, err = db.AgentSession(ctx, s.deploying.UUID)
	wantCode(t, err, ferric.CodeNotFound, "")
	conductors, err := db.Conductors(ctx, time.Hour)
	must(t, err)
	equal(t, "conductors", conductors, nil)
	list, err := db.Changes(ctx, changes, 1)
	must(t, err)
	if len(list) == 0 || list[0].ID == changes+1 {
		t.Errorf("readers of the change feed do not see that they missed something: %v", list)
	}
}

func TestRestore(t *testing.T) {
	e := open(t, "sqlite")
	ctx := t.Context()
	s := e.site(t)
	backup := filepath.Join(t.TempDir(), "backup.db")
	_, err := store.Backup(ctx, e.cfg, backup, quiet())
	must(t, err)
	later := e.node(t)
	changes, err := e.LastChange(ctx)
	must(t, err)
	_, err = store.Restore(ctx, e.cfg, backup, store.Reset{}, quiet())
	wantCode(t, err, ferric.CodeConflict, "another process has the database open")
	must(t, e.Close())

	done, err := store.Restore(ctx, e.cfg, backup, store.Reset{}, quiet())
	must(t, err)
	equal(t, "counts", []int{done.Operations, done.Stopped, done.Guarded}, []int{1, 2, 2})
	db := reopen(t, e.cfg)
	s.wantReset(t, db, changes)
	_, err = db.Node(ctx, later.UUID)
	wantCode(t, err, ferric.CodeNotFound, "")
	must(t, db.Close())

	// What was there before is whole, under another name.
	equal(t, "files aside", len(done.Aside), 1)
	old, err := store.CheckCopy(ctx, done.Aside[0])
	must(t, err)
	equal(t, "nodes of the old database", old.Nodes, 6)
	left, err := filepath.Glob(filepath.Join(e.cfg.DataDir, "*restoring*"))
	must(t, err)
	equal(t, "what is left over", left, nil)

	done, err = store.Restore(ctx, e.cfg, backup, store.Reset{TrustAvailable: true}, quiet())
	must(t, err)
	n, err := reopen(t, e.cfg).Node(ctx, s.available.UUID)
	must(t, err)
	if n.Maintenance || done.Guarded != 0 {
		t.Errorf("maintenance %v though nothing was deployed since", n.Maintenance)
	}
}

func TestRestoreIsRefused(t *testing.T) {
	e := open(t, "sqlite")
	e.site(t)
	good := filepath.Join(t.TempDir(), "good.db")
	_, err := store.Backup(t.Context(), e.cfg, good, quiet())
	must(t, err)
	must(t, e.Close())
	whole, err := os.ReadFile(good)
	must(t, err)
	for name, tc := range map[string]struct {
		make func(file string)
		key  bool // of another database
		want string
	}{
		"missing":     {func(string) {}, false, "no such file"},
		"a folder":    {func(file string) { must(t, os.Mkdir(file, 0o700)) }, false, "no regular file"},
		"garbage":     {func(file string) { must(t, os.WriteFile(file, []byte(strings.Repeat("garbage ", 1000)), 0o600)) }, false, "not a database"},
		"empty":       {func(file string) { must(t, os.WriteFile(file, nil, 0o600)) }, false, "no database of Ferric"},
		"cut off":     {func(file string) { must(t, os.WriteFile(file, whole[:len(whole)/2], 0o600)) }, false, "malformed"},
		"other's key": {func(file string) { must(t, os.WriteFile(file, whole, 0o600)) }, true, "lacks the key"},
		"in use": {func(file string) {
			must(t, os.WriteFile(file, whole, 0o600))
			must(t, os.WriteFile(file+"-wal", whole, 0o600))
		}, false, "write-ahead log"},
		"newer schema": {func(file string) {
			must(t, os.WriteFile(file, whole, 0o600))
			alter(t, file, "INSERT INTO schema_version (version_id, is_applied) VALUES (999, 1)")
		}, false, "has version 999"},
		"other's": {func(file string) {
			must(t, os.WriteFile(file, nil, 0o600))
			alter(t, file, "CREATE TABLE nodes (a)")
		}, false, "no database of Ferric"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := e.cfg
			if tc.key {
				cfg = open(t, "sqlite").cfg
				must(t, os.Remove(filepath.Join(cfg.DataDir, "ferric.db"+".lock")))
			}
			before := listing(t, e.cfg.DataDir)
			file := filepath.Join(t.TempDir(), "bad.db")
			tc.make(file)
			_, err := store.Restore(t.Context(), cfg, file, store.Reset{}, quiet())
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Fatalf("got %v, want %q", err, tc.want)
			}
			equal(t, "files", listing(t, e.cfg.DataDir), before)
		})
	}
	must(t, reopen(t, e.cfg).Ping(t.Context()))
}

// listing is the sizes of a folder's files.
func listing(t *testing.T, dir string) map[string]int64 {
	t.Helper()
	entries, err := os.ReadDir(dir)
	must(t, err)
	out := map[string]int64{}
	for _, entry := range entries {
		info, err := entry.Info()
		must(t, err)
		out[entry.Name()] = info.Size()
	}
	return out
}

// A restore that died in between keeps the service from starting, and can be done again.
func TestRestoreThatDied(t *testing.T) {
	e := open(t, "sqlite")
	s := e.site(t)
	backup := filepath.Join(t.TempDir(), "backup.db")
	_, err := store.Backup(t.Context(), e.cfg, backup, quiet())
	must(t, err)
	changes, err := e.LastChange(t.Context())
	must(t, err)
	must(t, e.Close())
	db := filepath.Join(e.cfg.DataDir, "ferric.db")
	must(t, os.WriteFile(db+".restoring", []byte("half"), 0o600))
	must(t, os.WriteFile(db+".restoring.part", []byte("half"), 0o600))
	must(t, os.Rename(db, db+".before-restore-x"))
	_, err = store.Open(t.Context(), e.cfg, quiet())
	wantCode(t, err, ferric.CodeUnavailable, "was interrupted: run `ferric db restore BACKUP` again")
	if _, err := os.Stat(db); err == nil {
		t.Fatal("an empty database was made")
	}
	_, err = store.Restore(t.Context(), e.cfg, backup, store.Reset{}, quiet())
	must(t, err)
	s.wantReset(t, reopen(t, e.cfg), changes)
}

// After pg_restore, too, what must not come back is reset; not under the feet of a conductor.
func TestAfterRestore(t *testing.T) {
	each(t, func(t *testing.T, e *env) {
		s := e.site(t)
		changes, err := e.LastChange(t.Context())
		must(t, err)
		must(t, e.Close())
		_, err = store.AfterRestore(t.Context(), e.cfg, store.Reset{}, time.Minute, quiet())
		wantCode(t, err, ferric.CodeConflict, "host-1 announced itself")
		e.after(time.Hour)
		_, err = store.AfterRestore(t.Context(), e.cfg, store.Reset{}, time.Minute, quiet())
		must(t, err)
		s.wantReset(t, reopen(t, e.cfg), changes)
	})
}

func TestCheck(t *testing.T) {
	each(t, func(t *testing.T, e *env) {
		e.site(t)
		c, problems, err := store.Check(t.Context(), e.cfg, quiet()) // beside the store
		must(t, err)
		equal(t, "problems", problems, nil)
		equal(t, "nodes", c.Nodes, 5)
		if _, err := e.peek(t).Exec("UPDATE nodes SET driver_info = (SELECT driver_info FROM nodes WHERE driver_info IS NOT NULL LIMIT 1)"); err != nil {
			t.Fatal(err)
		}
		_, problems, err = store.Check(t.Context(), e.cfg, quiet())
		must(t, err)
		if len(problems) != 4 || !strings.Contains(problems[0], "cannot be decrypted") {
			t.Errorf("four values were moved to other rows: %q", problems)
		}
	})
}
