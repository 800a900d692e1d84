package store

import (
	"io/fs"
	"log/slog"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"ferric"
)

// TestMigrationsOnlyAdd holds migrations to what programs of the version before bear while they run beside: only new things, which they need not know.
func TestMigrationsOnlyAdd(t *testing.T) {
	names, err := fs.Glob(migrations, "migrations/*.sql")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if name < "migrations/00014" {
			continue
		}
		text, err := fs.ReadFile(migrations, name)
		if err != nil {
			t.Fatal(err)
		}
		for _, bad := range taking(string(text)) {
			t.Errorf("%s takes away or changes what older programs use: %q. They run beside this one during an upgrade: see docs/upgrade.md, \"Rules for migrations\"", name, bad)
		}
	}
	for sql, fine := range map[string]bool{
		"-- +goose Up\nCREATE TABLE a (b TEXT NOT NULL);\nCREATE INDEX i ON a (b);":  true,
		"ALTER TABLE nodes ADD COLUMN a TEXT NOT NULL DEFAULT '';":                   true,
		"ALTER TABLE nodes ADD COLUMN a BYTEA;":                                      true,
		"ALTER TABLE nodes ADD COLUMN a TEXT NOT NULL;":                              false,
		"ALTER TABLE nodes DROP COLUMN a;":                                           false,
		"DROP TABLE nodes;":                                                          false,
		"UPDATE nodes SET name = '';":                                                false,
		"DROP TABLE a; UPDATE counters SET value = 15 WHERE name = 'schema_oldest';": true,
	} {
		if got := len(taking(sql)) == 0; got != fine {
			t.Errorf("%s: only adds: %v", sql, got)
		}
	}
}

var adding = regexp.MustCompile(`(?is)^(CREATE (TABLE|INDEX|UNIQUE INDEX) .*|DROP INDEX .*|INSERT INTO .*|ALTER TABLE \w+ ADD COLUMN \w+ (.* DEFAULT .*|BYTEA))$`)

// taking returns the statements of a migration that do more than add, unless it says which programs bear that.
func taking(sql string) (bad []string) {
	if raisesOldest.MatchString(sql) {
		return nil
	}
	var text strings.Builder
	for line := range strings.Lines(sql) {
		if !strings.HasPrefix(strings.TrimSpace(line), "--") {
			text.WriteString(line)
		}
	}
	for statement := range strings.SplitSeq(text.String(), ";") {
		if statement = strings.TrimSpace(statement); statement != "" && !adding.MatchString(statement) {
			bad = append(bad, statement)
		}
	}
	return bad
}

// TestContracts: a migration that takes something away waits until no process is alive that uses it.
func TestContracts(t *testing.T) {
	files := fstest.MapFS{
		"migrations/00020_more.sql":  {Data: []byte("ALTER TABLE nodes ADD COLUMN a TEXT NOT NULL DEFAULT '';")},
		"migrations/00021_less.sql":  {Data: []byte("DROP TABLE chassis;\nUPDATE counters SET value = 20 WHERE name = 'schema_oldest';\n")},
		"migrations/00022_other.sql": {Data: []byte("CREATE TABLE b (c TEXT);")},
	}
	for after, want := range map[int64]map[int64]int64{0: {21: 20}, 20: {21: 20}, 21: {}} {
		got, err := contracts(files, after)
		if err != nil || !maps.Equal(got, want) {
			t.Errorf("after %d: %v, want %v (%v)", after, got, want, err)
		}
	}
	if _, err := contracts(fstest.MapFS{"migrations/x.sql": {}}, 0); err == nil {
		t.Error("a migration without a number is none")
	}

	now := time.Now()
	cfg := Config{DataDir: t.TempDir(), Migrate: true, Now: func() time.Time { return now }}
	s, err := Open(t.Context(), cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	demands := map[int64]int64{21: 20}
	tell := func(host string, knows int64) ferric.Process {
		p := ferric.Process{Host: host, Roles: "api", Program: ferric.Program{Version: "v" + host, Schema: knows, Protocol: ferric.Protocol{Oldest: 1, Newest: 2}}, StartedAt: now.UTC().Truncate(time.Microsecond)}
		if err := s.AnnounceProcess(t.Context(), p); err != nil {
			t.Fatal(err)
		}
		return p
	}
	expect := func(when string, text string) {
		t.Helper()
		err := s.bornByAll(t.Context(), demands)
		if text == "" && err != nil || text != "" && (!ferric.IsCode(err, ferric.CodeConflict) || !strings.Contains(err.Error(), text)) {
			t.Errorf("%s: %v, want %q", when, err, text)
		}
	}
	expect("nobody runs", "")
	tell("new", 20)
	expect("one that knows enough runs", "")
	old := tell("old", 19)
	expect("one that knows too little runs", "the one on old (ferric vold) knows versions up to 19")
	if err := s.EndProcess(t.Context(), old); err != nil {
		t.Fatal(err)
	}
	expect("it has ended", "")
	tell("old", 19)
	now = now.Add(ProcessAlive / 2)
	expect("it was silent for a while", "on old")
	fit := tell("new", 20)
	now = now.Add(ProcessAlive/2 + time.Second)
	expect("it is dead", "")
	all, err := s.Processes(t.Context(), ProcessAlive)
	if err != nil {
		t.Fatal(err)
	}
	fit.UpdatedAt = all[0].UpdatedAt
	if !slices.Equal(all, []ferric.Process{fit}) {
		t.Errorf("%+v, want %+v", all, fit)
	}
}
