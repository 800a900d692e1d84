package main

import (
	"database/sql"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ferric"
	"ferric/rpc"
)

// TestStrangersRefuse: a program does not start beside one that it cannot understand, unless that one is dead, and runs no longer than the schema is for it.
func TestStrangersRefuse(t *testing.T) {
	url, dir := postgres.Fresh(t), t.TempDir()
	args := []string{"--data-dir", dir, "--set", "database.url=" + url, "--set", "database.key_file=" + filepath.Join(dir, "key")}
	serve := append([]string{"serve", "--host", "here", "--listen", freeAddress(t)}, args...)
	if code, text := ferricRun(t.Context(), append([]string{"db", "migrate"}, args...)...); code != 0 {
		t.Fatalf("migrate: %d %s", code, text)
	}
	db, err := sql.Open("pgx", url)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	do := func(statement string, args ...any) {
		t.Helper()
		if _, err := db.Exec(statement, args...); err != nil {
			t.Fatal(err)
		}
	}
	do("INSERT INTO processes (hostname, roles, version, schema_known, protocol_oldest, protocol_newest, started_at, updated_at) VALUES ('there', 'conductor', '9.0', 99, $1, $2, 0, $3)",
		rpc.Newest+1, rpc.Newest+2, time.Now().Add(time.Hour).UnixMicro())
	code, text := ferricRun(t.Context(), serve...)
	for _, want := range []string{"ferric 9.0 on there speaks protocols 2 to 3", "this one", "protocol 1", "docs/upgrade.md"} {
		if code != 1 || !strings.Contains(text, want) {
			t.Errorf("beside a stranger: exit %d, no %q in %s", code, want, text)
		}
	}
	do("UPDATE processes SET updated_at = 0")
	do("UPDATE counters SET value = 1000 WHERE name = 'schema_oldest'")
	if code, text := ferricRun(t.Context(), serve...); code != 1 || !strings.Contains(text, "made ready for programs that know version 1000 of its schema") {
		t.Errorf("with a schema for others: exit %d, %s", code, text)
	}
}

// TestUnderstood: a conductor passes calls on that are in no version which it speaks.
func TestUnderstood(t *testing.T) {
	for name, c := range map[string]struct {
		e    envelope
		fine bool
	}{
		"from before there were versions": {envelope{}, true},
		"of this version":                 {envelope{Needs: rpc.Newest, Speaks: rpc.Newest}, true},
		"of a newer caller":               {envelope{Needs: 1, Speaks: rpc.Newest + 5}, true},
		"newer":                           {envelope{Needs: rpc.Newest + 1, Speaks: rpc.Newest + 1}, false},
	} {
		t.Run(name, func(t *testing.T) {
			err := c.e.understood("here")
			if (err == nil) != c.fine || err != nil && !ferric.IsCode(err, ferric.CodeElsewhere) {
				t.Error(err)
			}
		})
	}
}
