package main

import (
	"bytes"
	"context"
	"database/sql"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// ferricRun runs a subcommand and returns its exit code and all that it printed.
func ferricRun(ctx context.Context, args ...string) (code int, text string) {
	var out bytes.Buffer
	code = run(ctx, args, &out, &out)
	return code, out.String()
}

// TestBackupAndRestore makes a backup while the service works, loses what comes after it, and gets the rest back.
func TestBackupAndRestore(t *testing.T) {
	dir, away := t.TempDir(), t.TempDir()
	db := func(want int, say string, args ...string) {
		t.Helper()
		code, text := ferricRun(t.Context(), append(append([]string{"db"}, args...), "--data-dir", dir)...)
		if code != want || !strings.Contains(text, say) {
			t.Fatalf("ferric db %s: exit %d, %s\nwant exit %d and %q", strings.Join(args, " "), code, text, want, say)
		}
	}
	url, stop := ferricd(t, dir)
	call(t, "POST", url+"/v1/nodes", map[string]any{"driver": "fake-hardware", "name": "before"})
	call(t, "PUT", url+"/v1/nodes/before/states/provision", map[string]any{"target": "manage"})
	awaitState(t, url+"/v1/nodes/before", "manageable")
	backup := filepath.Join(away, "b.db")
	db(0, "The encryption keys are not in it", "backup", "--out", backup)
	db(1, "exists already", "backup", "--out", backup)
	db(0, "keep it apart from the backup", "backup", "--out", filepath.Join(away, "c.db"), "--with-key")
	key, err := os.ReadFile(filepath.Join(away, "c.db.key"))
	if own, _ := os.ReadFile(filepath.Join(dir, "secret.key")); err != nil || !bytes.Equal(key, own) {
		t.Errorf("the copy of the keys: %v", err)
	}
	db(0, "the database is well", "check")
	db(1, "another process has the database open", "restore", backup)
	call(t, "POST", url+"/v1/nodes", map[string]any{"driver": "fake-hardware", "name": "after"})
	stop()

	file := filepath.Join(dir, "ferric.db")
	if err := os.Truncate(file, 5000); err != nil {
		t.Fatal(err)
	}
	code, text := ferricRun(t.Context(), "serve", "--data-dir", dir, "--listen", "127.0.0.1:0")
	if code != 1 || !strings.Contains(text, file) || !strings.Contains(text, "ferric db restore") {
		t.Fatalf("start with a damaged database: exit %d, %s", code, text)
	}
	db(1, file, "check")
	db(2, "usage: ferric db restore BACKUP", "restore")
	db(0, "ferric doctor --hardware", "restore", backup)
	url, _ = ferricd(t, dir)
	if n := call(t, "GET", url+"/v1/nodes/before", nil); n["provision_state"] != "manageable" {
		t.Errorf("the node is %v", n["provision_state"])
	}
	if nodes := call(t, "GET", url+"/v1/nodes", nil)["nodes"].([]any); len(nodes) != 1 {
		t.Errorf("there are %d nodes", len(nodes))
	}
	call(t, "PUT", url+"/v1/nodes/before/states/provision", map[string]any{"target": "provide"})
	awaitState(t, url+"/v1/nodes/before", "available")
}

// TestBackupOfPostgreSQL dumps a database with pg_dump, brings it into another one with pg_restore, and makes that fit for use.
func TestBackupOfPostgreSQL(t *testing.T) {
	restore, err := exec.LookPath("pg_restore")
	if err != nil {
		t.Skip("SKIPPED: pg_restore is not installed")
	}
	dir, from, to := t.TempDir(), postgres.Fresh(t), postgres.Fresh(t)
	db := func(want int, say, url string, args ...string) {
		t.Helper()
		code, text := ferricRun(t.Context(), append(append([]string{"db"}, args...), "--data-dir", dir, "--set", "database.url="+url)...)
		if code != want || !strings.Contains(text, say) || strings.Contains(text, "secret-word") {
			t.Fatalf("ferric db %s: exit %d, %s\nwant exit %d and %q", strings.Join(args, " "), code, text, want, say)
		}
	}
	url, stop := ferricd(t, dir, "--set", "database.url="+from)
	call(t, "POST", url+"/v1/nodes", map[string]any{"driver": "fake-hardware", "name": "first", "driver_info": map[string]any{"fake_password": "hunter2"}})
	dump := filepath.Join(t.TempDir(), "f.dump")
	db(0, "pg_restore --clean", from, "backup", "--out", dump)
	db(1, "use pg_restore", from, "restore", dump)
	stop()
	cmd := exec.Command(restore, "--clean", "--if-exists", "--single-transaction", "--no-owner", "--dbname="+to, dump)
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("pg_restore: %v: %s", err, text)
	}
	// The dump has the conductor as it was when it was alive.
	db(1, "the conductor one announced itself", to, "restored")
	pg, err := sql.Open("pgx", to)
	if err != nil {
		t.Fatal(err)
	}
	defer pg.Close()
	if _, err := pg.Exec("UPDATE conductors SET updated_at = updated_at - 3600000000"); err != nil { // an hour later
		t.Fatal(err)
	}
	db(0, "is ready for use", to, "restored")
	db(0, "the database is well", to, "check")
	url, _ = ferricd(t, dir, "--set", "database.url="+to)
	call(t, "GET", url+"/v1/nodes/first", nil)
}
