package api

import (
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"ferric/obs"
)

// appendString writes a JSON string.
func appendString(b []byte, s string) []byte {
	if !plainJSON(s) {
		return append(b, mustJSON(s)...)
	}
	b = append(b, '"')
	b = append(b, s...)
	return append(b, '"')
}

// appendJoined writes the parts as one JSON string.
func appendJoined(b []byte, parts []string) []byte {
	if slices.ContainsFunc(parts, func(s string) bool { return !plainJSON(s) }) {
		return appendString(b, strings.Join(parts, ""))
	}
	b = append(b, '"')
	for _, s := range parts {
		b = append(b, s...)
	}
	return append(b, '"')
}

// plainJSON reports whether a string stands in JSON as it is.
func plainJSON(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c == '"' || c == '\\' || c >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// appendValue writes a value in JSON, members sorted by name. What JSON is decoded to is written without reflection, several times as fast.
func appendValue(b []byte, v any) []byte { return documentWriter{}.value(b, v) }

// appendMasked is appendValue with every secret masked, nested ones too. hidden names more keys to mask, at the top level.
func appendMasked(b []byte, m map[string]any, hidden []string) []byte {
	return documentWriter{masked: true}.object(b, m, hidden)
}

// documentWriter writes documents, with secrets or without.
type documentWriter struct{ masked bool }

func (w documentWriter) value(b []byte, v any) []byte {
	switch v := v.(type) {
	case nil:
		return append(b, "null"...)
	case string:
		return appendString(b, v)
	case bool:
		return strconv.AppendBool(b, v)
	case float64:
		const exact = 1 << 53
		if v == math.Trunc(v) && math.Abs(v) < exact && (v != 0 || !math.Signbit(v)) {
			return strconv.AppendInt(b, int64(v), 10)
		}
	case map[string]any:
		return w.object(b, v, nil)
	case []any:
		if v == nil {
			return append(b, "null"...)
		}
		b = append(b, '[')
		for i, e := range v {
			if i > 0 {
				b = append(b, ',')
			}
			b = w.value(b, e)
		}
		return append(b, ']')
	}
	if w.masked {
		v = obs.Mask(map[string]any{"": v})[""]
	}
	return append(b, mustJSON(v)...)
}

func (w documentWriter) object(b []byte, m map[string]any, hidden []string) []byte {
	if m == nil {
		return append(b, "null"...)
	}
	var few [16]string
	names := few[:0]
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	b = append(b, '{')
	for i, name := range names {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(appendString(b, name), ':')
		v := m[name]
		if w.masked && (obs.SecretKey(name) || slices.Contains(hidden, name) && v != nil && v != "") {
			b = appendString(b, obs.Masked)
			continue
		}
		b = w.value(b, v)
	}
	return append(b, '}')
}
