package obs_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ferric"
	"ferric/obs"
)

// lines logs with JSON and returns the attributes of each line, without time.
func lines(t *testing.T, level string, fn func(*slog.Logger)) []map[string]any {
	t.Helper()
	var out bytes.Buffer
	log, err := obs.NewLogger(&out, obs.LogOptions{Level: level, Format: "json"})
	if err != nil {
		t.Fatal(err)
	}
	fn(log)
	var got []map[string]any
	for line := range strings.Lines(out.String()) {
		var m map[string]any
		if err := json.Unmarshal([]byte(line), &m); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		if m["time"] == nil {
			t.Errorf("no time: %s", line)
		}
		delete(m, "time")
		got = append(got, m)
	}
	return got
}

type valuer struct{}

func (valuer) LogValue() slog.Value {
	return slog.GroupValue(slog.String("name", "n"), slog.String("token", "SECRET"))
}

type inner struct {
	User     string
	APIToken string `json:"api_token"`
}

func TestSecretsAreNotLogged(t *testing.T) {
	u, err := url.Parse("http://h/")
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		attr slog.Attr
		want any // under the attribute's key
	}{
		"by name":            {slog.String("ipmi_password", "SECRET"), "******"},
		"number":             {slog.Int("token", 1234567), "******"},
		"group":              {slog.Group("bmc", "address", "a", "password", "SECRET"), map[string]any{"address": "a", "password": "******"}},
		"secret group":       {slog.Group("secrets", "a", "SECRET"), map[string]any{"a": "******"}},
		"map":                {slog.Any("info", map[string]any{"x": map[string]any{"token": "SECRET"}, "y": 1}), map[string]any{"x": map[string]any{"token": "******"}, "y": 1.0}},
		"map of strings":     {slog.Any("info", map[string]string{"password": "SECRET", "y": "z"}), map[string]any{"password": "******", "y": "z"}},
		"headers":            {slog.Any("headers", http.Header{"X-Auth-Token": {"SECRET"}, "Accept": {"a"}}), map[string]any{"X-Auth-Token": "******", "Accept": []any{"a"}}},
		"list of maps":       {slog.Any("list", []any{map[string]any{"secret": "SECRET"}}), []any{map[string]any{"secret": "******"}}},
		"struct":             {slog.Any("s", inner{"u", "SECRET"}), map[string]any{"User": "u", "api_token": "******"}},
		"pointer in struct":  {slog.Any("s", &struct{ In *inner }{&inner{"u", "SECRET"}}), map[string]any{"In": map[string]any{"User": "u", "api_token": "******"}}},
		"value of its own":   {slog.Any("v", valuer{}), map[string]any{"name": "n", "token": "******"}},
		"URL in a string":    {slog.String("source", "http://u:SECRET@h/i"), "http://u:******@h/i"},
		"URL in an error":    {slog.Any("error", fmt.Errorf("get http://u:SECRET@h/: %w", errors.New("refused"))), "get http://u:******@h/: refused"},
		"prints itself":      {slog.Any("u", u), map[string]any(nil)},
		"open map untouched": {slog.Any("m", map[string]int{"a": 1}), map[string]any{"a": 1.0}},
		"nil":                {slog.Any("n", nil), nil},
		"nil pointer":        {slog.Any("n", (*inner)(nil)), nil},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			for _, l := range lines(t, "", func(log *slog.Logger) {
				log.LogAttrs(context.Background(), slog.LevelInfo, "m", tt.attr)
				log.With(tt.attr).Info("m")
			}) {
				got := l[tt.attr.Key]
				if name != "prints itself" {
					if diff := cmp.Diff(tt.want, got); diff != "" {
						t.Error(diff)
					}
				}
			}
			var out bytes.Buffer
			log, err := obs.NewLogger(&out, obs.LogOptions{})
			if err != nil {
				t.Fatal(err)
			}
			log.WithGroup("g").With(tt.attr).Info("http://u:SECRET@h/", "x", 1, "password", "SECRET")
			if strings.Contains(out.String(), "SECRET") || strings.Contains(out.String(), "1234567") {
				t.Errorf("text shows it: %s", out.String())
			}
		})
	}
}

// A secret in a field that JSON would not show must not be shown by text either.
func TestUnexportedSecret(t *testing.T) {
	var out bytes.Buffer
	log, err := obs.NewLogger(&out, obs.LogOptions{})
	if err != nil {
		t.Fatal(err)
	}
	log.Info("m", "s", struct {
		Name     string
		password string
	}{"visible", "SECRET"})
	if strings.Contains(out.String(), "SECRET") || !strings.Contains(out.String(), "visible") {
		t.Errorf("got %s", out.String())
	}
}

func TestContextInLines(t *testing.T) {
	ctx := obs.WithNode(obs.WithRequestID(context.Background(), "req-1"), "uuid-1")
	got := lines(t, "debug", func(log *slog.Logger) {
		log.InfoContext(ctx, "plain", "a", 1)
		log.With("w", 1).WithGroup("g").With("x", 2).WithGroup("h").InfoContext(ctx, "groups", "y", 3)
		log.With("node", "given").DebugContext(ctx, "with", "request_id", "given")
		log.Warn("no context")
		log.WithGroup("g").InfoContext(ctx, "empty group")
		log.WithGroup("").InfoContext(obs.WithNode(context.Background(), "uuid-2"), "no group", slog.Group("", "inline", 1))
	})
	ids := func(m map[string]any) map[string]any {
		m["request_id"], m["node"] = "req-1", "uuid-1"
		return m
	}
	want := []map[string]any{
		ids(map[string]any{"level": "INFO", "msg": "plain", "a": 1.0}),
		ids(map[string]any{"level": "INFO", "msg": "groups", "w": 1.0, "g": map[string]any{"x": 2.0, "h": map[string]any{"y": 3.0}}}),
		{"level": "DEBUG", "msg": "with", "node": "given", "request_id": "given"},
		{"level": "WARN", "msg": "no context"},
		ids(map[string]any{"level": "INFO", "msg": "empty group"}),
		{"level": "INFO", "msg": "no group", "node": "uuid-2", "inline": 1.0},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// Loggers made from one another must not share what they hold.
func TestBranches(t *testing.T) {
	got := lines(t, "", func(log *slog.Logger) {
		base := log.WithGroup("g").With("a", 1)
		one, two := base.With("b", 2), base.With("c", 3)
		one.Info("one")
		two.Info("two")
	})
	want := []map[string]any{
		{"level": "INFO", "msg": "one", "g": map[string]any{"a": 1.0, "b": 2.0}},
		{"level": "INFO", "msg": "two", "g": map[string]any{"a": 1.0, "c": 3.0}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestLevels(t *testing.T) {
	for level, want := range map[string]int{"debug": 4, "": 3, "info": 3, "WARN": 2, "warning": 2, "error": 1} {
		got := lines(t, level, func(log *slog.Logger) {
			log.Debug("d")
			log.Info("i")
			log.Warn("w")
			log.Error("e")
		})
		if len(got) != want {
			t.Errorf("level %q: %d lines", level, len(got))
		}
	}
	for _, opts := range []obs.LogOptions{{Level: "loud"}, {Format: "xml"}} {
		if _, err := obs.NewLogger(&bytes.Buffer{}, opts); !ferric.IsCode(err, ferric.CodeInvalid) {
			t.Errorf("%+v: got %v, want invalid", opts, err)
		}
	}
}

// fullDisk takes what is written, or refuses it.
type fullDisk struct {
	strings.Builder
	full bool
}

func (d *fullDisk) Write(p []byte) (int, error) {
	if d.full {
		return 0, syscall.ENOSPC
	}
	return d.Builder.Write(p)
}

// TestLogOnAFullDisk loses lines, goes on when there is space again, and says how many are missing.
func TestLogOnAFullDisk(t *testing.T) {
	disk := &fullDisk{}
	log, err := obs.NewLogger(disk, obs.LogOptions{Format: "json"})
	if err != nil {
		t.Fatal(err)
	}
	log.Info("before")
	disk.full = true
	child := log.With("part", "one")
	for range 3 {
		child.Info("unheard")
	}
	disk.full = false
	log.Info("after")
	log.Info("later")
	lines := strings.Split(strings.TrimSpace(disk.String()), "\n")
	if len(lines) != 4 || !strings.Contains(lines[1], "after") || !strings.Contains(lines[2], `"lines":3`) || !strings.Contains(lines[3], "later") {
		t.Errorf("the log:\n%s", disk.String())
	}
}
