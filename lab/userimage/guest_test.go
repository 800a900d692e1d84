package userimage

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// needAWK skips where there is no awk: every Debian has one.
func needAWK(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("awk"); err != nil {
		t.Skip("SKIPPED: no awk on this host")
	}
}

// flatten is what json.awk does, in Go.
func flatten(path string, value any, out *[]string) {
	join := func(key string) string {
		if path == "" {
			return key
		}
		return path + "/" + key
	}
	switch v := value.(type) {
	case map[string]any:
		for key, element := range v {
			flatten(join(key), element, out)
		}
	case []any:
		for i, element := range v {
			flatten(join(fmt.Sprint(i)), element, out)
		}
	case string:
		*out = append(*out, path+"\t"+strings.NewReplacer("\\", `\\`, "\n", `\n`).Replace(v))
	case nil:
	default:
		text, _ := json.Marshal(v)
		*out = append(*out, path+"\t"+string(text))
	}
}

// TestJSON compares json.awk with Go's decoder.
func TestJSON(t *testing.T) {
	needAWK(t)
	key := rapid.StringMatching(`[a-z][a-z0-9_]{0,8}`)
	text := rapid.StringOf(rapid.RuneFrom([]rune("aZ09 \"\\\n/'$`%~{}[],:é€😀")))
	var value func(depth int) *rapid.Generator[any]
	value = func(depth int) *rapid.Generator[any] {
		leaf := rapid.OneOf(rapid.Map(text, func(s string) any { return s }), rapid.Map(rapid.IntRange(-1e6, 1e6), func(i int) any { return float64(i) }),
			rapid.Map(rapid.Bool(), func(b bool) any { return b }), rapid.Just[any](nil))
		if depth == 0 {
			return leaf
		}
		return rapid.OneOf(leaf, rapid.Map(rapid.MapOfN(key, rapid.Deferred(func() *rapid.Generator[any] { return value(depth - 1) }), 0, 4), func(m map[string]any) any { return m }),
			rapid.Map(rapid.SliceOfN(rapid.Deferred(func() *rapid.Generator[any] { return value(depth - 1) }), 0, 4), func(s []any) any { return s }))
	}
	rapid.Check(t, func(t *rapid.T) {
		document := rapid.MapOfN(key, value(3), 0, 5).Draw(t, "document")
		var data []byte
		var err error
		if rapid.Bool().Draw(t, "indented") {
			data, err = json.MarshalIndent(document, "", "\t")
		} else {
			data, err = json.Marshal(document) // escapes <, > and & as \u00..
		}
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command("awk", "-f", "guest/json.awk")
		cmd.Stdin = bytes.NewReader(data)
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%s: %v", data, err)
		}
		var want []string
		flatten("", any(document), &want)
		got := map[string]int{}
		for line := range strings.Lines(string(out)) {
			got[strings.TrimSuffix(line, "\n")]++
		}
		for _, line := range want {
			got[line]--
		}
		for line, n := range got {
			if n != 0 {
				t.Errorf("%s: line %q: %+d", data, line, n)
			}
		}
	})
}

func TestJSONMalformed(t *testing.T) {
	needAWK(t)
	for _, text := range []string{"", "{", `{"a"`, `{"a":}`, `{"a":1`, `{"a":1,}`, `[1 2]`, `{"a" 1}`, `"x`, `{"a":1} x`, `{"a":"\u12g4"}`, "nul", `{a:1}`, "{\"a\":\"x\ny\"}"} {
		cmd := exec.Command("awk", "-f", "guest/json.awk")
		cmd.Stdin = strings.NewReader(text)
		if out, err := cmd.CombinedOutput(); err == nil {
			t.Errorf("%q: no error, output %q", text, out)
		}
	}
}

// archiveFile is a file in an archive of testdata.
type archiveFile struct{ name, text string }

// parseArchive reads a txtar archive: a comment, and files that begin with lines "-- name --".
func parseArchive(text string) (comment string, files []archiveFile) {
	for line := range strings.Lines(text) {
		name, ok := strings.CutPrefix(line, "-- ")
		switch {
		case ok && strings.HasSuffix(name, " --\n"):
			files = append(files, archiveFile{name: strings.TrimSuffix(name, " --\n")})
		case len(files) == 0:
			comment += line
		default:
			files[len(files)-1].text += line
		}
	}
	return comment, files
}

// TestConfigDrive runs the reader on the drives in testdata: files below drive/ are the drive, those below want/ what
// it must write. A file of want/ that is empty must not be there.
func TestConfigDrive(t *testing.T) {
	needAWK(t)
	archives, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(archives) == 0 {
		t.Fatalf("testdata: %d archives, %v", len(archives), err)
	}
	for _, name := range archives {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txtar"), func(t *testing.T) {
			data, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			comment, files := parseArchive(string(data))
			dir := t.TempDir()
			root := filepath.Join(dir, "root")
			for _, folder := range []string{"root", "home/debian", "etc/systemd/network"} {
				if err := os.MkdirAll(filepath.Join(root, folder), 0o755); err != nil {
					t.Fatal(err)
				}
			}
			for _, file := range files {
				if strings.HasPrefix(file.name, "want/") {
					continue
				}
				path := filepath.Join(dir, file.name)
				if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, []byte(file.text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			run := func() (string, error) {
				out, err := exec.Command("sh", "guest/configdrive", filepath.Join(dir, "drive"), root).CombinedOutput()
				return string(out), err
			}
			out, err := run()
			if wantError := strings.Contains(comment, "fails"); (err != nil) != wantError {
				t.Fatalf("error %v, output:\n%s", err, out)
			}
			if err == nil {
				// Every boot does it again.
				if out, err := run(); err != nil {
					t.Fatalf("second run: %v, output:\n%s", err, out)
				}
			}
			if said := strings.TrimSpace(comment); !strings.Contains(out, strings.TrimPrefix(said, "fails: ")) {
				t.Errorf("output %q, want %q in it", out, said)
			}
			for _, file := range files {
				name, ok := strings.CutPrefix(file.name, "want/")
				if !ok {
					continue
				}
				got, err := os.ReadFile(filepath.Join(root, name))
				if file.text == "" && os.IsNotExist(err) {
					continue
				}
				if diff := cmp.Diff(file.text, string(got)); err != nil || diff != "" {
					t.Errorf("%s: %v (-want +got):\n%s", name, err, diff)
				}
			}
			noSecret(t, root)
		})
	}
}

// noSecret looks for the password of testdata in what was written.
func noSecret(t *testing.T, root string) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		if bytes.Contains(data, []byte("sEcReT")) {
			t.Errorf("%s holds the password", path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
