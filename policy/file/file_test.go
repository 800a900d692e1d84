package file_test

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ferric"
	"ferric/policy"
	"ferric/policy/file"
)

func TestParse(t *testing.T) {
	override := func(line int, name, check string) policy.Override {
		return policy.Override{Name: name, Check: check, File: "p", Line: line}
	}
	for name, c := range map[string]struct {
		text string
		want []policy.Override
	}{
		"empty":              {"", nil},
		"comments only":      {"# \"a\": \"b\"\n", nil},
		"null":               {"~\n", nil},
		"empty object":       {"{}", nil},
		"yaml":               {"# a comment\n\"a\": \"role:x\"\n'b': ''\nc: role:x and role:y\n", []policy.Override{override(2, "a", "role:x"), override(3, "b", ""), override(4, "c", "role:x and role:y")}},
		"colons in the name": {"baremetal:node:get: role:x", []policy.Override{override(1, "baremetal:node:get", "role:x")}},
		"json":               {"{\n\t\"a\": \"role:x\",\n\t\"b\": \"!\"\n}\n", []policy.Override{override(2, "a", "role:x"), override(3, "b", "!")}},
		"block text":         {"a: >-\n  role:x\n  or role:y\n", []policy.Override{override(1, "a", "role:x or role:y")}},
		"lists":              {"a: [[\"role:x\", \"role:y\"], \"role:z\", []]\nb: []\n", []policy.Override{{Name: "a", Lists: [][]string{{"role:x", "role:y"}, {"role:z"}, {}}, File: "p", Line: 1}, {Name: "b", Lists: [][]string{}, File: "p", Line: 2}}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := file.Parse("p", []byte(c.text))
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(c.want, got); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestParseRefuses(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"not yaml":        {"a: [\n", "p: yaml: line"},
		"a list":          {"- a\n", `p:1: expected lines of the form`},
		"text":            {"hello\n", `p:1: expected lines of the form`},
		"nothing":         {"a: x\nb:\n", `p:2: rule "b": it says nothing`},
		"unquoted !":      {"a: !\n", `p:1: rule "a": it says nothing`},
		"a number":        {"a: 1\n", `p:1: rule "a": it must be text`},
		"a bool":          {"a: true\n", `p:1: rule "a": it must be text`},
		"an object":       {"a:\n  b: c\n", `p:2: rule "a": it must be text`},
		"an alias":        {"a: &x role:x\nb: *x\n", `p:2: rule "b": it must be text`},
		"list of numbers": {"a: [1]\n", `p:1: rule "a": its list must hold checks`},
		"lists too deep":  {"a: [[[\"role:x\"]]]\n", `p:1: rule "a": its lists must hold checks`},
		"a number's name": {"1: role:x\n", `p:1: a rule's name must be text`},
		"two documents":   {"a: x\n---\nb: y\n", "p: it holds more than one document"},
		"too large":       {strings.Repeat("# x\n", 1<<19), "p: it is larger than"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := file.Parse("p", []byte(c.text))
			if !ferric.IsCode(err, ferric.CodeInvalid) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want %q", err, c.want)
			}
		})
	}
}

func TestReload(t *testing.T) {
	path := filepath.Join(t.TempDir(), "policy.yaml")
	when := time.Unix(1000, 0)
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		when = when.Add(time.Minute)
		if err := os.Chtimes(path, when, when); err != nil {
			t.Fatal(err)
		}
	}
	var log bytes.Buffer
	now := when
	defaults := []policy.Default{{Name: "baremetal:a", Check: "role:admin"}}
	open := func() (*file.Source, error) {
		return file.Open(path, defaults, slog.New(slog.NewTextHandler(&log, nil)), func() time.Time { return now })
	}
	if _, err := open(); err == nil {
		t.Error("a file that does not exist was taken")
	}
	write("baremetal:b: '@'")
	if _, err := open(); err == nil || !strings.Contains(err.Error(), `policy.yaml:1: rule "baremetal:b": there is no such rule`) {
		t.Errorf("a bad file: %v", err)
	}
	write("baremetal:a: role:cook")
	source, err := open()
	if err != nil {
		t.Fatal(err)
	}
	cook, admin := &policy.Caller{Roles: []string{"cook"}}, &policy.Caller{Roles: []string{"admin"}}
	expect := func(what string, cookMay, adminMay bool) {
		t.Helper()
		rules := source.Rules()
		if got := rules.Allow("baremetal:a", cook, policy.Target{}); got != cookMay {
			t.Errorf("%s: the cook may: %v", what, got)
		}
		if got := rules.Allow("baremetal:a", admin, policy.Target{}); got != adminMay {
			t.Errorf("%s: the admin may: %v", what, got)
		}
	}
	expect("first", true, false)
	write("baremetal:a: role:admin")
	expect("within a second", true, false)
	now = now.Add(time.Second)
	expect("after a second", false, true)
	write("baremetal:a: role:")
	write("baremetal:a: (role:cook")
	now = now.Add(time.Second)
	expect("broken", false, true)
	now = now.Add(time.Second)
	expect("still broken", false, true)
	if n := strings.Count(log.String(), "cannot be used"); n != 1 {
		t.Errorf("the log says %d times that the file is broken:\n%s", n, &log)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	now = now.Add(time.Second)
	expect("removed", false, true)
	write("baremetal:a: role:cook")
	now = now.Add(time.Second)
	expect("mended", true, false)
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("a: role:x\nb: [[\"role:y\"]]\n"))
	f.Add([]byte("{\"a\": \"!\"}"))
	f.Add([]byte("a: &x [*x]\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		overrides, err := file.Parse("p", data)
		if err == nil {
			_, err = policy.New(nil, overrides)
		}
		if err != nil && !ferric.IsCode(err, ferric.CodeInvalid) {
			t.Errorf("%v is not CodeInvalid", err)
		}
	})
}
