package pid1_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"ferric/agent/pid1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type buffer struct {
	mu sync.Mutex
	bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.Write(p)
}
func (b *buffer) String() string { b.mu.Lock(); defer b.mu.Unlock(); return b.Buffer.String() }

func TestConsoleLines(t *testing.T) {
	c := pid1.NewConsole(1 << 16)
	log := slog.New(pid1.NewHandler(c, slog.LevelInfo))
	log.Info("before the terminal is there")
	var out buffer
	c.Add(&out)
	log.Debug("not shown")
	log.With("link", "eth0").WithGroup("g").Warn("two\nlines \x1b[31m", "err", errors.New("a b"), "n", 5, "empty", "", slog.Group("in", "x", 1))
	c.Flush(time.Minute)
	if !strings.HasSuffix(out.String(), "in.x=1\n") {
		t.Errorf("not everything is shown after Flush: %q", out.String())
	}
	c.Close(time.Minute)
	want := regexp.MustCompile(`^ *\d+\.\d{3} INFO  before the terminal is there\n *\d+\.\d{3} WARN  two\|lines \?\[31m link=eth0 g\.err="a b" g\.n=5 g\.empty="" g\.in\.x=1\n$`)
	if !want.MatchString(out.String()) {
		t.Errorf("got %q", out.String())
	}
	if !bytes.Equal(c.Bytes(), []byte(out.String())) {
		t.Errorf("the ring holds %q", c.Bytes())
	}
}

// stuck is a terminal that takes nothing until released.
type stuck struct {
	release chan struct{}
	out     buffer
}

func (s *stuck) Write(b []byte) (int, error) { <-s.release; return s.out.Write(b) }

func TestStuckTerminalHoldsNobodyUp(t *testing.T) {
	c := pid1.NewConsole(1 << 20)
	s := &stuck{release: make(chan struct{})}
	var good buffer
	c.Add(s)
	c.Add(&good)
	done := make(chan struct{})
	go func() {
		for i := range 2000 {
			fmt.Fprintf(c, "line %d\n", i)
		}
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(time.Minute):
		t.Fatal("the writer waits for a terminal that is stuck")
	}
	close(s.release)
	fmt.Fprintln(c, "last")
	c.Close(time.Minute)
	if !bytes.Contains(c.Bytes(), []byte("line 1999\n")) {
		t.Error("the ring lost lines")
	}
	if !strings.Contains(s.out.String(), "were not shown here") {
		t.Error("the stuck terminal is not told that it lost lines")
	}
}

func TestRingKeepsWholeLines(t *testing.T) {
	c := pid1.NewConsole(100)
	for i := range 1000 {
		fmt.Fprintf(c, "line %d\n", i)
	}
	got := string(c.Bytes())
	if len(got) > 125 || !strings.HasPrefix(got, "line ") || !strings.HasSuffix(got, "line 999\n") {
		t.Errorf("%q", got)
	}
}

func TestOpenConsoles(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "sys/class/tty/console"), 0o755); err != nil {
		t.Fatal(err)
	}
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("console", "")
	names := func() (out []string) {
		for _, f := range pid1.OpenConsoles(dir+"/sys", dir) {
			out = append(out, filepath.Base(f.Name()))
			f.Close()
		}
		return out
	}
	if got := fmt.Sprint(names()); got != "[console]" {
		t.Errorf("without sysfs: %s", got)
	}
	write("sys/class/tty/console/active", "tty0 ttyS0\n")
	write("ttyS0", "")
	write("tty0", "")
	if got := fmt.Sprint(names()); got != "[tty0 ttyS0]" {
		t.Errorf("got %s", got)
	}
}

func TestClock(t *testing.T) {
	base := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	tests := map[string]struct {
		now   time.Time
		dates []time.Time
		set   []time.Time
		wrong bool
	}{
		"right":           {now: base, dates: []time.Time{base.Add(time.Minute)}},
		"dead battery":    {now: time.Unix(1000, 0), dates: []time.Time{base}, set: []time.Time{base}, wrong: true},
		"ahead":           {now: base.Add(24 * time.Hour), dates: []time.Time{base}, set: []time.Time{base}},
		"only once":       {now: base, dates: []time.Time{base.Add(time.Hour), base.Add(9 * time.Hour)}, set: []time.Time{base.Add(time.Hour)}},
		"server is wrong": {now: base, dates: []time.Time{time.Unix(5, 0)}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			var set []time.Time
			c := &pid1.Clock{Log: slog.New(slog.NewTextHandler(io.Discard, nil)), Now: func() time.Time { return tt.now }, Set: func(x time.Time) error { set = append(set, x); return nil }}
			if c.Wrong() != tt.wrong {
				t.Errorf("Wrong() = %t", c.Wrong())
			}
			for _, d := range tt.dates {
				c.Observe(d)
			}
			if fmt.Sprint(set) != fmt.Sprint(tt.set) {
				t.Errorf("set to %v, want %v", set, tt.set)
			}
		})
	}
}
