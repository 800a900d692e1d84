package obs

import (
	"encoding"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// Masked stands in the place of a secret.
const Masked = "******"

// secretParts are what the name of a secret contains, in lower case with underscores. The list covers what Ironic
// masks for the names that occur in bare metal.
var secretParts = [...]string{
	"password", "passwd", "passphrase", "pswd", "admin_pass", "adminpass", "secret", "token", "private_key", "privatekey",
	"encryption_key", "encrypted_key", "auth_key", "priv_key", "kg_key", "sslkey", "fernetkey", "configdrive", "config_drive",
	"htpasswd", "authorization", "cookie", "key_material", "credential",
}

// SecretKey reports whether a value with this name is a secret: the name contains password, token, secret and so
// on, whatever its case, with hyphens or underscores. Better one value too many is hidden than one too few.
func SecretKey(name string) bool {
	name = strings.ReplaceAll(strings.ToLower(name), "-", "_")
	return slices.ContainsFunc(secretParts[:], func(p string) bool { return strings.Contains(name, p) })
}

// Mask returns a copy of m in which the values of secret keys are "******", in nested maps and lists too. The value
// of a secret key is replaced whatever its type, null and "" included, so that nothing can be learnt from it. m
// itself is not changed; nil gives nil.
func Mask(m map[string]any) map[string]any {
	if m == nil {
		return nil
	}
	out := make(map[string]any, len(m))
	for k, v := range m {
		if SecretKey(k) {
			out[k] = Masked
		} else {
			out[k] = maskValue(v)
		}
	}
	return out
}

// maskValue masks within the types that JSON is decoded to, and leaves others alone unless they hold a secret.
func maskValue(v any) any {
	switch x := v.(type) {
	case nil, string, bool, float64, int, int64, json.Number:
		return v
	case map[string]any:
		return Mask(x)
	case []any:
		if x == nil {
			return v
		}
		out := make([]any, len(x))
		for i := range x {
			out[i] = maskValue(x[i])
		}
		return out
	}
	if masked, changed := maskReflect(reflect.ValueOf(v), 0); changed {
		return masked
	}
	return v
}

// MaskAll is Mask that takes passwords out of URLs in its texts, too: for what is shown and never written back. Documents of JSON only.
func MaskAll(m map[string]any) map[string]any {
	if m == nil {
		return nil
	}
	return maskTexts(Mask(m)).(map[string]any)
}

// maskTexts changes v, which must be nobody else's.
func maskTexts(v any) any {
	switch x := v.(type) {
	case string:
		return MaskText(x)
	case map[string]any:
		for k := range x {
			x[k] = maskTexts(x[k])
		}
	case []any:
		for i := range x {
			x[i] = maskTexts(x[i])
		}
	}
	return v
}

// maxDepth ends the walk through values that contain themselves.
const maxDepth = 20

// maskReflect walks through maps, lists and structs of any type. When there is a secret inside it returns a masked
// copy made of map[string]any and []any, else changed is false. Types that print themselves are left alone: their
// own methods decide what they show.
func maskReflect(v reflect.Value, depth int) (masked any, changed bool) {
	if !v.IsValid() || depth > maxDepth || printsItself(v) {
		return nil, false
	}
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		if v.IsNil() {
			return nil, false
		}
		return maskReflect(v.Elem(), depth+1)
	case reflect.Map:
		out := make(map[string]any, v.Len())
		for iter := v.MapRange(); iter.Next(); {
			name := fmt.Sprint(printable(iter.Key()))
			if SecretKey(name) {
				out[name], changed = Masked, true
			} else if m, c := maskReflect(iter.Value(), depth+1); c {
				out[name], changed = m, true
			} else {
				out[name] = printable(iter.Value())
			}
		}
		return out, changed
	case reflect.Struct:
		out := make(map[string]any, v.NumField())
		changed = maskFields(v, depth, out)
		return out, changed
	case reflect.Slice, reflect.Array:
		switch v.Type().Elem().Kind() {
		case reflect.Map, reflect.Struct, reflect.Pointer, reflect.Interface, reflect.Slice, reflect.Array:
		default:
			return nil, false
		}
		out := make([]any, v.Len())
		for i := range out {
			if m, c := maskReflect(v.Index(i), depth+1); c {
				out[i], changed = m, true
			} else {
				out[i] = printable(v.Index(i))
			}
		}
		return out, changed
	}
	return nil, false
}

func maskFields(v reflect.Value, depth int, out map[string]any) (changed bool) {
	for i := range v.NumField() {
		f := v.Type().Field(i)
		if !f.IsExported() {
			// JSON does not show it; text does, so a secret one makes the whole value be shown without it.
			changed = changed || SecretKey(f.Name)
			continue
		}
		name := f.Name
		if tag, _, _ := strings.Cut(f.Tag.Get("json"), ","); tag != "" && tag != "-" {
			name = tag
		}
		if SecretKey(name) || SecretKey(f.Name) {
			out[name], changed = Masked, true
		} else if m, c := maskReflect(v.Field(i), depth+1); c {
			out[name], changed = m, true
		} else {
			out[name] = printable(v.Field(i))
		}
	}
	return changed
}

func printable(v reflect.Value) any {
	if v.CanInterface() {
		return v.Interface()
	}
	return fmt.Sprint(v) // of an unexported field
}

func printsItself(v reflect.Value) bool {
	if !v.CanInterface() {
		return false
	}
	switch v.Interface().(type) {
	case error, fmt.Stringer, fmt.Formatter, encoding.TextMarshaler, json.Marshaler, slog.LogValuer:
		return true
	}
	return false
}

// MaskHeader returns a copy of HTTP headers (or any map of lists) without the values of secret keys.
func MaskHeader[H ~map[string][]string](h H) H {
	out := maps.Clone(h)
	for name := range out {
		if SecretKey(name) {
			out[name] = []string{Masked}
		}
	}
	return out
}

// MaskText takes the user part with a password (user:password@) out of all URLs in a text.
func MaskText(s string) string {
	var b strings.Builder
	for {
		at := strings.Index(s, "://")
		if at < 0 {
			break
		}
		b.WriteString(s[:at+3])
		s = s[at+3:]
		end := strings.IndexAny(s, "/?# \t\r\n\"'<>")
		if end < 0 {
			end = len(s)
		}
		if i := strings.LastIndexByte(s[:end], '@'); i >= 0 {
			if user, _, two := strings.Cut(s[:i], ":"); two {
				b.WriteString(user + ":" + Masked)
				s = s[i:]
			}
		}
	}
	if b.Len() == 0 {
		return s
	}
	return b.String() + s
}
