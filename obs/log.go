package obs

import (
	"context"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"

	"ferric"
)

// LogOptions says how a log looks.
type LogOptions struct {
	Level  string // debug, info, warn or error; info if empty
	Format string // text or json; text if empty
}

// NewLogger returns a logger that writes lines to w. Attributes with a secret's name are written as "******",
// in groups, maps, lists and structs too, and so are passwords within URLs, in the message and in errors as well. When
// the context of a line has a request id or a node, the line has request_id or node, outside of all groups.
// Lines that cannot be written, on a full disk, are counted, and the first one that can be is followed by one that
// tells how many were lost. CodeInvalid for an unknown level or format.
func NewLogger(w io.Writer, opts LogOptions) (*slog.Logger, error) {
	level, err := ParseLevel(opts.Level)
	if err != nil {
		return nil, err
	}
	handler := &slog.HandlerOptions{Level: level, ReplaceAttr: redact}
	switch opts.Format {
	case "", "text":
		return slog.New(&contextHandler{inner: slog.NewTextHandler(w, handler), lost: new(atomic.Int64)}), nil
	case "json":
		return slog.New(&contextHandler{inner: slog.NewJSONHandler(w, handler), lost: new(atomic.Int64)}), nil
	}
	return nil, ferric.Errorf(ferric.CodeInvalid, "log format %q is not known; use text or json", opts.Format)
}

// ParseLevel reads the name of a level; "" is info.
func ParseLevel(s string) (slog.Level, error) {
	switch strings.ToLower(s) {
	case "debug":
		return slog.LevelDebug, nil
	case "", "info":
		return slog.LevelInfo, nil
	case "warn", "warning":
		return slog.LevelWarn, nil
	case "error":
		return slog.LevelError, nil
	}
	return 0, ferric.Errorf(ferric.CodeInvalid, "log level %q is not known; use debug, info, warn or error", s)
}

// redact is called by slog for every attribute that is not a group.
func redact(groups []string, a slog.Attr) slog.Attr {
	if SecretKey(a.Key) || slices.ContainsFunc(groups, SecretKey) {
		return slog.String(a.Key, Masked)
	}
	v := a.Value.Resolve()
	switch v.Kind() {
	case slog.KindString:
		a.Value = slog.StringValue(MaskText(v.String()))
	case slog.KindAny:
		switch x := v.Any().(type) {
		case error:
			a.Value = slog.StringValue(MaskText(x.Error()))
		default:
			a.Value = slog.AnyValue(maskValue(x))
		}
	}
	return a
}

// contextHandler adds the context's attributes outside of all groups. inner must not know of the groups for that, so
// once a group is open they and their attributes are kept here and put together for each line.
type contextHandler struct {
	inner  slog.Handler
	keys   []string // of the attributes outside of groups that inner has
	groups []openGroup
	lost   *atomic.Int64 // lines that could not be written since the last one that could
}

type openGroup struct {
	name  string
	attrs []slog.Attr
}

func (h *contextHandler) Enabled(ctx context.Context, level slog.Level) bool {
	return h.inner.Enabled(ctx, level)
}

func (h *contextHandler) Handle(ctx context.Context, r slog.Record) error {
	var own []slog.Attr
	r.Attrs(func(a slog.Attr) bool { own = append(own, a); return true })
	for _, g := range slices.Backward(h.groups) {
		own = []slog.Attr{{Key: g.name, Value: slog.GroupValue(append(slices.Clone(g.attrs), own...)...)}}
	}
	out := slog.NewRecord(r.Time, r.Level, r.Message, r.PC)
	for _, c := range []slog.Attr{slog.String("request_id", RequestID(ctx)), slog.String("node", NodeUUID(ctx))} {
		given := slices.Contains(h.keys, c.Key) || slices.ContainsFunc(own, func(a slog.Attr) bool { return a.Key == c.Key })
		if c.Value.String() != "" && !given {
			out.AddAttrs(c)
		}
	}
	out.AddAttrs(own...)
	err := h.inner.Handle(ctx, out)
	if err != nil {
		h.lost.Add(1)
		return err
	}
	if n := h.lost.Swap(0); n > 0 {
		told := slog.NewRecord(r.Time, slog.LevelError, "lines of this log were lost: it could not be written, because its disk was full or the like", 0)
		told.AddAttrs(slog.Int64("lines", n))
		if err := h.inner.Handle(ctx, told); err != nil {
			h.lost.Add(n)
		}
	}
	return nil
}

func (h *contextHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	c := *h
	if n := len(h.groups); n > 0 {
		c.groups = slices.Clone(h.groups)
		c.groups[n-1].attrs = append(slices.Clone(c.groups[n-1].attrs), attrs...)
		return &c
	}
	c.inner = h.inner.WithAttrs(attrs)
	c.keys = slices.Clone(h.keys)
	for _, a := range attrs {
		c.keys = append(c.keys, a.Key)
	}
	return &c
}

func (h *contextHandler) WithGroup(name string) slog.Handler {
	if name == "" {
		return h
	}
	c := *h
	c.groups = append(slices.Clone(h.groups), openGroup{name: name})
	return &c
}
