package store

import (
	"encoding/json"
	"strings"
	"time"
	"unicode/utf8"

	"ferric"
)

type kind int

const (
	textKind kind = iota
	intKind
	boolKind
	bytesKind
)

// cell receives one column of a row.
type cell struct {
	text  string
	num   int64
	truth bool
	bytes []byte
}

func (c *cell) target(k kind) any {
	switch k {
	case intKind:
		return &c.num
	case boolKind:
		return &c.truth
	case bytesKind:
		return &c.bytes
	}
	return &c.text
}

// column ties a column to a field of T. get returns a string, int64 or bool; what it returns for a sealed column is
// sealed on the way to the database.
type column[T any] struct {
	name    string
	kind    kind
	doc     bool   // JSON or sealed: left out of brief reads, and not sortable
	expr    string // what is selected, if not the column; such a column is not written
	foreign bool   // written by statements of its own only
	get     func(*T) (any, error)
	set     func(*T, *cell) error
}

func text[T any, S ~string](name string, field func(*T) *S) column[T] {
	return column[T]{name: name,
		get: func(t *T) (any, error) { return clean(string(*field(t))), nil },
		set: func(t *T, c *cell) error { *field(t) = S(c.text); return nil }}
}

func number[T any, N ~int | ~int64](name string, field func(*T) *N) column[T] {
	return column[T]{name: name, kind: intKind,
		get: func(t *T) (any, error) { return int64(*field(t)), nil },
		set: func(t *T, c *cell) error { *field(t) = N(c.num); return nil }}
}

func boolean[T any](name string, field func(*T) *bool) column[T] {
	return column[T]{name: name, kind: boolKind,
		get: func(t *T) (any, error) { return *field(t), nil },
		set: func(t *T, c *cell) error { *field(t) = c.truth; return nil }}
}

// opposite is a boolean that is kept the other way round than the field has it.
func opposite[T any](name string, field func(*T) *bool) column[T] {
	return column[T]{name: name, kind: boolKind,
		get: func(t *T) (any, error) { return !*field(t), nil },
		set: func(t *T, c *cell) error { *field(t) = !c.truth; return nil }}
}

// maybe is a boolean that may be unknown (nil).
func maybe[T any](name string, field func(*T) **bool) column[T] {
	return column[T]{name: name, kind: intKind,
		get: func(t *T) (any, error) {
			switch p := *field(t); {
			case p == nil:
				return int64(-1), nil
			case *p:
				return int64(1), nil
			}
			return int64(0), nil
		},
		set: func(t *T, c *cell) error {
			*field(t) = nil
			if c.num >= 0 {
				b := c.num == 1
				*field(t) = &b
			}
			return nil
		}}
}

func moment[T any](name string, field func(*T) *time.Time) column[T] {
	return column[T]{name: name, kind: intKind,
		get: func(t *T) (any, error) { return micros(*field(t)), nil },
		set: func(t *T, c *cell) error { *field(t) = fromMicros(c.num); return nil }}
}

// document is a field kept as JSON.
func document[T, V any](name string, field func(*T) *V) column[T] {
	return column[T]{name: name, doc: true,
		get: func(t *T) (any, error) { return encode(name, *field(t)) },
		set: func(t *T, c *cell) error {
			if c.text == "" {
				return nil
			}
			return decodeDocument(c.text, field(t))
		}}
}

// raw is a field that is JSON already.
func raw[T any](name string, field func(*T) *json.RawMessage) column[T] {
	return column[T]{name: name, doc: true,
		get: func(t *T) (any, error) {
			v := *field(t)
			if len(v) > 0 && !json.Valid(v) {
				return nil, ferric.Errorf(ferric.CodeInvalid, "%s is no valid JSON", name)
			}
			return clean(string(v)), nil
		},
		set: func(t *T, c *cell) error {
			if c.text != "" {
				*field(t) = json.RawMessage(c.text)
			}
			return nil
		}}
}

// sealed is a field kept as encrypted JSON, sealedRaw one that is JSON already; sealedText one kept as encrypted text.
func sealed[T, V any](name string, field func(*T) *V) column[T] {
	c := document(name, field)
	c.kind = bytesKind
	return c
}

func sealedRaw[T any](name string, field func(*T) *json.RawMessage) column[T] {
	c := raw(name, field)
	c.kind = bytesKind
	return c
}

func sealedText[T any](name string, field func(*T) *string) column[T] {
	c := text(name, field)
	c.kind, c.doc = bytesKind, true
	return c
}

// from makes a column that is only read.
func from[T any](expr string, c column[T]) column[T] {
	c.expr = expr
	return c
}

// apart makes a column that INSERT and UPDATE of the record leave alone.
func apart[T any](c column[T]) column[T] {
	c.foreign = true
	return c
}

func encode(name string, v any) (string, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return "", ferric.Errorf(ferric.CodeInvalid, "%s cannot be written as JSON: %w", name, err)
	}
	if string(b) == "null" {
		return "", nil
	}
	return string(b), nil
}

func micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

func fromMicros(n int64) time.Time {
	if n == 0 {
		return time.Time{}
	}
	return time.UnixMicro(n).UTC()
}

// clean replaces what PostgreSQL does not take in a text.
func clean(s string) string {
	if !utf8.ValidString(s) {
		s = strings.ToValidUTF8(s, "\uFFFD")
	}
	if strings.IndexByte(s, 0) >= 0 {
		s = strings.ReplaceAll(s, "\x00", "\uFFFD")
	}
	return s
}
