package config

import (
	"encoding"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// parseText reads a value as it is written in the environment, in flags and in default tags.
func parseText(t reflect.Type, s string) (reflect.Value, error) {
	v := reflect.New(t).Elem()
	switch {
	case t.Kind() == reflect.Slice:
		if s == "" {
			return v, nil
		}
		for part := range strings.SplitSeq(s, ",") {
			e, err := parseText(t.Elem(), strings.TrimSpace(part))
			if err != nil {
				return v, err
			}
			v = reflect.Append(v, e)
		}
		return v, nil
	case t.Kind() == reflect.Map:
		if s == "" {
			return v, nil
		}
		m := map[string]string{}
		for part := range strings.SplitSeq(s, ",") {
			name, value, ok := strings.Cut(part, "=")
			if name = strings.TrimSpace(name); !ok || name == "" {
				return v, fmt.Errorf("must be pairs: name=value,name=value")
			}
			m[name] = strings.TrimSpace(value)
		}
		return reflect.ValueOf(m), nil
	case t.Kind() == reflect.Pointer:
		if s == "" {
			return v, nil
		}
		e, err := parseText(t.Elem(), s)
		if err != nil {
			return v, err
		}
		v.Set(reflect.New(t.Elem()))
		v.Elem().Set(e)
		return v, nil
	}
	return parseScalar(t, s)
}

func parseScalar(t reflect.Type, s string) (reflect.Value, error) {
	v := reflect.New(t).Elem()
	if u, ok := v.Addr().Interface().(encoding.TextUnmarshaler); ok {
		return v, u.UnmarshalText([]byte(s))
	}
	switch {
	case t == reflect.TypeFor[time.Duration]():
		d, err := time.ParseDuration(s)
		if err != nil {
			return v, errDuration
		}
		v.SetInt(int64(d))
	case t.Kind() == reflect.String:
		v.SetString(s)
	case t.Kind() == reflect.Bool:
		if s != "true" && s != "false" {
			return v, fmt.Errorf("must be true or false")
		}
		v.SetBool(s == "true")
	case t.Kind() == reflect.Int:
		n, err := strconv.Atoi(s)
		if err != nil {
			return v, fmt.Errorf("must be a whole number")
		}
		v.SetInt(int64(n))
	default:
		return v, fmt.Errorf("has the type %s, which config cannot read", t)
	}
	return v, nil
}

var errDuration = fmt.Errorf("must be a duration with its unit, for example \"90s\", \"5m\" or \"1h30m\"")

// parseTOML reads a value as the TOML decoder gives it.
func parseTOML(t reflect.Type, raw any) (reflect.Value, error) {
	v := reflect.New(t).Elem()
	switch t.Kind() {
	case reflect.Slice:
		list, ok := raw.([]any)
		if !ok {
			return v, fmt.Errorf("must be a list, for example [%s]", example(t.Elem()))
		}
		for _, item := range list {
			e, err := parseTOML(t.Elem(), item)
			if err != nil {
				return v, fmt.Errorf("%w (in the list)", err)
			}
			v = reflect.Append(v, e)
		}
		return v, nil
	case reflect.Map:
		table, ok := raw.(map[string]any)
		if !ok {
			return v, fmt.Errorf("must be a table, for example { name = \"value\" }")
		}
		m := map[string]string{}
		for name, item := range table {
			s, ok := item.(string)
			if !ok {
				return v, fmt.Errorf("must hold strings only, but %q is none", name)
			}
			m[name] = s
		}
		return reflect.ValueOf(m), nil
	case reflect.Pointer:
		e, err := parseTOML(t.Elem(), raw)
		if err != nil {
			return v, err
		}
		v.Set(reflect.New(t.Elem()))
		v.Elem().Set(e)
		return v, nil
	}
	s, isString := raw.(string)
	_, isText := v.Addr().Interface().(encoding.TextUnmarshaler)
	switch {
	case isText || t == reflect.TypeFor[time.Duration]():
		return parseScalar(t, s) // what is no string becomes "", which is refused with the right words
	case t.Kind() == reflect.String && isString:
		v.SetString(s)
		return v, nil
	case t.Kind() == reflect.String:
		return v, fmt.Errorf("must be a string in quotes")
	case t.Kind() == reflect.Bool:
		b, ok := raw.(bool)
		if !ok {
			return v, fmt.Errorf("must be true or false, without quotes")
		}
		v.SetBool(b)
		return v, nil
	case t.Kind() == reflect.Int:
		n, ok := raw.(int64)
		if !ok {
			return v, fmt.Errorf("must be a whole number, without quotes")
		}
		v.SetInt(n)
		return v, nil
	}
	return v, fmt.Errorf("has the type %s, which config cannot read", t)
}

func example(t reflect.Type) string {
	if t.Kind() == reflect.Int {
		return "1, 2"
	}
	return `"a", "b"`
}

// formatTOML writes a value for a TOML file, secrets masked. An unset value is "".
func formatTOML(v reflect.Value) string {
	switch x := v.Interface().(type) {
	case time.Duration:
		return quote(formatDuration(x))
	case fmt.Stringer: // Secret, SecretURL, Size, Delay
		return quote(x.String())
	case map[string]string:
		parts := make([]string, 0, len(x))
		for _, name := range slices.Sorted(maps.Keys(x)) {
			parts = append(parts, quote(name)+" = "+quote(x[name]))
		}
		if len(parts) == 0 {
			return "{}"
		}
		return "{ " + strings.Join(parts, ", ") + " }"
	}
	switch v.Kind() {
	case reflect.Slice:
		parts := make([]string, v.Len())
		for i := range parts {
			parts[i] = formatTOML(v.Index(i))
		}
		return "[" + strings.Join(parts, ", ") + "]"
	case reflect.Pointer:
		if v.IsNil() {
			return ""
		}
		return formatTOML(v.Elem())
	case reflect.String:
		return quote(v.String())
	}
	return fmt.Sprint(v.Interface())
}

// quote writes a TOML basic string.
func quote(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range strings.ToValidUTF8(s, "\uFFFD") {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r < ' ' || r == 0x7f:
			fmt.Fprintf(&b, "\\u%04X", r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}
