package pid1

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// Console writes log records, one readable line each, to terminals and to a ring buffer. A terminal that does not
// take data (a serial line with flow control and nobody there) loses lines and holds nobody up.
type Console struct {
	ring Ring

	mu    sync.Mutex
	terms []*terminal
}

type terminal struct {
	lines   chan line
	done    chan struct{}
	dropped atomic.Int64
}

// line is text to show, or a request to say when everything before it was shown.
type line struct {
	text  string
	shown chan<- struct{}
}

// NewConsole makes a Console that keeps the last size bytes.
func NewConsole(size int) *Console { return &Console{ring: Ring{size: size}} }

// Add sends further lines to w as well. Lines logged before are written to it first.
func (c *Console) Add(w io.Writer) {
	t := &terminal{lines: make(chan line, 512), done: make(chan struct{})}
	c.mu.Lock()
	backlog := string(c.ring.Bytes())
	c.terms = append(c.terms, t)
	c.mu.Unlock()
	go func() {
		defer close(t.done)
		_, _ = io.WriteString(w, backlog)
		for l := range t.lines {
			if l.shown != nil {
				close(l.shown)
				continue
			}
			if n := t.dropped.Swap(0); n > 0 {
				l.text = fmt.Sprintf("(%d lines were not shown here)\n%s", n, l.text)
			}
			_, _ = io.WriteString(w, l.text) // a console that fails is a console that is not there
		}
	}()
}

// Write takes one or more whole lines.
func (c *Console) Write(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ring.Write(b)
	for _, t := range c.terms {
		select {
		case t.lines <- line{text: string(b)}:
		default:
			t.dropped.Add(1)
		}
	}
	return len(b), nil
}

// Bytes returns what the ring buffer holds, oldest line first.
func (c *Console) Bytes() []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ring.Bytes()
}

// Flush waits until the terminals have shown what was logged, at most the limit.
func (c *Console) Flush(limit time.Duration) {
	c.mu.Lock()
	terms := append([]*terminal(nil), c.terms...)
	c.mu.Unlock()
	over := time.After(limit)
	for _, t := range terms {
		shown := make(chan struct{})
		select {
		case t.lines <- line{shown: shown}:
		case <-over:
			return
		}
		select {
		case <-shown:
		case <-over:
			return
		}
	}
}

// Close flushes and ends the terminals. Later lines go to the ring buffer only.
func (c *Console) Close(limit time.Duration) {
	c.Flush(limit)
	c.mu.Lock()
	terms := c.terms
	c.terms = nil
	c.mu.Unlock()
	over := time.After(limit)
	for _, t := range terms {
		close(t.lines)
		select {
		case <-t.done:
		case <-over: // stuck: its goroutine stays
			return
		}
	}
}

// Ring keeps the last lines.
type Ring struct {
	size int
	buf  []byte
}

// Write appends and drops whole lines from the beginning.
func (r *Ring) Write(b []byte) {
	r.buf = append(r.buf, b...)
	if len(r.buf) <= r.size+r.size/4 {
		return
	}
	cut := len(r.buf) - r.size
	if i := bytes.IndexByte(r.buf[cut:], '\n'); i >= 0 {
		cut += i + 1
	}
	r.buf = append(r.buf[:0], r.buf[cut:]...)
}

// Bytes returns a copy.
func (r *Ring) Bytes() []byte { return append([]byte(nil), r.buf...) }

// ConsoleNames returns the device files of the terminals that the kernel uses as consoles.
func ConsoleNames(sys, dev string) []string {
	names := []string{"console"}
	if b, err := os.ReadFile(filepath.Join(sys, "class/tty/console/active")); err == nil && len(strings.Fields(string(b))) > 0 {
		names = strings.Fields(string(b))
	}
	for i, name := range names {
		names[i] = filepath.Join(dev, name)
	}
	return names
}

// OpenConsoles opens the terminals that the kernel uses as consoles (/sys/class/tty/console/active), or /dev/console.
func OpenConsoles(sys, dev string) []*os.File {
	var out []*os.File
	for _, name := range ConsoleNames(sys, dev) {
		if f, err := os.OpenFile(name, os.O_WRONLY|unix.O_NOCTTY, 0); err == nil {
			out = append(out, f)
		}
	}
	return out
}

// Handler is a slog.Handler that writes "  12.34 WARN  message key=value" with seconds since the machine started.
type Handler struct {
	w     io.Writer
	level slog.Leveler
	attrs string
	group string
}

// NewHandler makes a Handler.
func NewHandler(w io.Writer, level slog.Leveler) *Handler { return &Handler{w: w, level: level} }

// Enabled reports whether the level is shown.
func (h *Handler) Enabled(_ context.Context, l slog.Level) bool { return l >= h.level.Level() }

// Handle writes one line.
func (h *Handler) Handle(_ context.Context, r slog.Record) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%9.3f %-5s %s", uptime(r.Time), r.Level.String(), oneLine(r.Message))
	b.WriteString(h.attrs)
	r.Attrs(func(a slog.Attr) bool { appendAttr(&b, h.group, a); return true })
	b.WriteByte('\n')
	_, err := io.WriteString(h.w, b.String())
	return err
}

// WithAttrs returns a Handler that adds the attributes to every line.
func (h *Handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	var b strings.Builder
	b.WriteString(h.attrs)
	for _, a := range attrs {
		appendAttr(&b, h.group, a)
	}
	n := *h
	n.attrs = b.String()
	return &n
}

// WithGroup returns a Handler that puts the name before the keys.
func (h *Handler) WithGroup(name string) slog.Handler {
	n := *h
	n.group += name + "."
	return &n
}

func appendAttr(b *strings.Builder, group string, a slog.Attr) {
	v := a.Value.Resolve()
	if v.Kind() == slog.KindGroup {
		for _, sub := range v.Group() {
			appendAttr(b, group+a.Key+".", sub)
		}
		return
	}
	text := oneLine(v.String())
	if text == "" || strings.ContainsAny(text, " =\"") {
		text = strconv.Quote(text)
	}
	b.WriteString(" " + group + a.Key + "=" + text)
}

// oneLine keeps control characters of foreign text off the terminal.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return '|'
		case r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0:
			return '?'
		}
		return r
	}, s)
}

// uptime is the kernel's time of t, so that our lines and the kernel's agree.
func uptime(t time.Time) float64 {
	b, err := os.ReadFile("/proc/uptime")
	if err == nil {
		first, _, _ := strings.Cut(string(b), " ")
		if s, err := strconv.ParseFloat(first, 64); err == nil {
			return s
		}
	}
	return float64(t.UnixMilli()%100_000_000) / 1000
}
