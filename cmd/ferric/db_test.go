package main

import (
	"bytes"
	"context"
	"os"
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
