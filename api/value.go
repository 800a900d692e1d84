package api

import (
	"reflect"
	"strconv"
	"time"

	"ferric"
)

// value is where a field lives in an object and how it looks in JSON.
type value[T any] interface {
	// appendJSON writes it as the API shows it to the version: secrets masked, nothing as null.
	appendJSON(b []byte, o *T, version int) []byte
	// get returns it as a JSON document holds it, with secrets. It may share memory with the object.
	get(o *T) any
	// set takes what the field's checker returned; nil clears.
	set(o *T, v any)
}

// text is a string; "" is null.
func text[T any, S ~string](at func(*T) *S) value[T] { return textValue[T, S]{at} }

type textValue[T any, S ~string] struct{ at func(*T) *S }

func (f textValue[T, S]) appendJSON(b []byte, o *T, _ int) []byte {
	if s := *f.at(o); s != "" {
		return appendString(b, string(s))
	}
	return append(b, "null"...)
}

func (f textValue[T, S]) get(o *T) any {
	if s := *f.at(o); s != "" {
		return string(s)
	}
	return nil
}

func (f textValue[T, S]) set(o *T, v any) {
	s, _ := v.(string)
	*f.at(o) = S(s)
}

// plainText is a string that is "" and not null when it is empty.
func plainText[T any](at func(*T) *string) value[T] {
	return plainTextValue[T]{textValue[T, string]{at}}
}

type plainTextValue[T any] struct{ textValue[T, string] }

func (f plainTextValue[T]) appendJSON(b []byte, o *T, _ int) []byte { return appendString(b, *f.at(o)) }
func (f plainTextValue[T]) get(o *T) any                            { return *f.at(o) }

// flag is a bool.
func flag[T any](at func(*T) *bool) value[T] { return flagValue[T]{at} }

type flagValue[T any] struct{ at func(*T) *bool }

func (f flagValue[T]) appendJSON(b []byte, o *T, _ int) []byte {
	return strconv.AppendBool(b, *f.at(o))
}
func (f flagValue[T]) get(o *T) any    { return *f.at(o) }
func (f flagValue[T]) set(o *T, v any) { *f.at(o), _ = v.(bool) }

// flagUnless is a bool that is true unless somebody says otherwise: null makes it true.
func flagUnless[T any](at func(*T) *bool) value[T] { return flagUnlessValue[T]{flagValue[T]{at}} }

type flagUnlessValue[T any] struct{ flagValue[T] }

func (f flagUnlessValue[T]) set(o *T, v any) { *f.at(o) = v != false }

// notFlag is a bool that the object has the other way round; null makes it true.
func notFlag[T any](at func(*T) *bool) value[T] { return notFlagValue[T]{at} }

type notFlagValue[T any] struct{ at func(*T) *bool }

func (f notFlagValue[T]) appendJSON(b []byte, o *T, _ int) []byte {
	return strconv.AppendBool(b, !*f.at(o))
}
func (f notFlagValue[T]) get(o *T) any    { return !*f.at(o) }
func (f notFlagValue[T]) set(o *T, v any) { *f.at(o) = v == false }

// integer is a whole number.
func integer[T any](at func(*T) *int) value[T] { return integerValue[T]{at} }

type integerValue[T any] struct{ at func(*T) *int }

func (f integerValue[T]) appendJSON(b []byte, o *T, _ int) []byte {
	return strconv.AppendInt(b, int64(*f.at(o)), 10)
}
func (f integerValue[T]) get(o *T) any { return float64(*f.at(o)) } // as JSON decodes it
func (f integerValue[T]) set(o *T, v any) {
	n, _ := v.(float64)
	*f.at(o) = int(n)
}

// maybe is a bool that may be unknown.
func maybe[T any](at func(*T) **bool) value[T] { return maybeValue[T]{at} }

type maybeValue[T any] struct{ at func(*T) **bool }

func (f maybeValue[T]) appendJSON(b []byte, o *T, _ int) []byte {
	if p := *f.at(o); p != nil {
		return strconv.AppendBool(b, *p)
	}
	return append(b, "null"...)
}

func (f maybeValue[T]) get(o *T) any {
	if p := *f.at(o); p != nil {
		return *p
	}
	return nil
}

func (f maybeValue[T]) set(o *T, v any) {
	*f.at(o) = nil
	if b, ok := v.(bool); ok {
		*f.at(o) = &b
	}
}

// object is a JSON object; none is {}.
func object[T any](at func(*T) *map[string]any) value[T] { return objectValue[T]{at: at} }

// secrets is an object that holds secrets: they are shown as ******, and one that comes back so is left as it is.
// hidden names keys that are masked besides those that look like secrets.
func secrets[T any](at func(*T) *map[string]any, hidden ...string) value[T] {
	return objectValue[T]{at: at, masked: true, hidden: hidden}
}

type objectValue[T any] struct {
	at     func(*T) *map[string]any
	masked bool
	hidden []string
}

func (f objectValue[T]) appendJSON(b []byte, o *T, _ int) []byte {
	m := *f.at(o)
	if len(m) == 0 {
		return append(b, "{}"...)
	}
	if f.masked {
		return appendMasked(b, m, f.hidden)
	}
	return appendValue(b, m)
}

func (f objectValue[T]) get(o *T) any {
	if m := *f.at(o); m != nil {
		return m
	}
	return map[string]any{}
}

func (f objectValue[T]) set(o *T, v any) {
	m, _ := v.(map[string]any)
	if f.masked && m != nil {
		unmask(*f.at(o), m)
	}
	if len(m) == 0 {
		m = nil
	}
	*f.at(o) = m
}

// document is any JSON value; none is {}.
func document[T any](at func(*T) *any) value[T] { return documentValue[T]{at} }

type documentValue[T any] struct{ at func(*T) *any }

func (f documentValue[T]) appendJSON(b []byte, o *T, _ int) []byte { return appendValue(b, f.get(o)) }

func (f documentValue[T]) get(o *T) any {
	if v := *f.at(o); v != nil {
		return v
	}
	return map[string]any{}
}

func (f documentValue[T]) set(o *T, v any) {
	if reflect.DeepEqual(v, map[string]any{}) {
		v = nil
	}
	*f.at(o) = v
}

// names is a list of strings; none is [].
func names[T any](at func(*T) *[]string) value[T] { return namesValue[T]{at} }

type namesValue[T any] struct{ at func(*T) *[]string }

func (f namesValue[T]) appendJSON(b []byte, o *T, _ int) []byte {
	b = append(b, '[')
	for i, s := range *f.at(o) {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendString(b, s)
	}
	return append(b, ']')
}

func (f namesValue[T]) get(o *T) any { return *f.at(o) }
func (f namesValue[T]) set(*T, any)  {} // lists of names have calls of their own

// moment is a time; the zero time is null.
func moment[T any](at func(*T) *time.Time) value[T] { return momentValue[T]{at} }

type momentValue[T any] struct{ at func(*T) *time.Time }

func (f momentValue[T]) appendJSON(b []byte, o *T, _ int) []byte { return appendTime(b, *f.at(o)) }
func (f momentValue[T]) get(o *T) any                            { return timeJSON(*f.at(o)) }
func (f momentValue[T]) set(*T, any)                             {} // times are Ferric's own

// sinceMade is the time of the last change, null until there was one.
type sinceMade[T any] struct {
	value[T]
	version func(*T) int64
}

func (f sinceMade[T]) appendJSON(b []byte, o *T, version int) []byte {
	if f.version(o) <= 1 {
		return append(b, "null"...)
	}
	return f.value.appendJSON(b, o, version)
}

// chosen is a node's implementation of an interface kind; none is null.
func chosen(kind ferric.InterfaceKind) value[ferric.Node] { return chosenValue{kind} }

type chosenValue struct{ kind ferric.InterfaceKind }

func (f chosenValue) appendJSON(b []byte, n *ferric.Node, _ int) []byte {
	if s := n.Interfaces[f.kind]; s != "" {
		return appendString(b, s)
	}
	return append(b, "null"...)
}

func (f chosenValue) get(n *ferric.Node) any {
	if s := n.Interfaces[f.kind]; s != "" {
		return s
	}
	return nil
}

func (f chosenValue) set(n *ferric.Node, v any) {
	s, _ := v.(string)
	if s == "" {
		delete(n.Interfaces, f.kind)
		return
	}
	if n.Interfaces == nil {
		n.Interfaces = ferric.Interfaces{}
	}
	n.Interfaces[f.kind] = s
}

// appearing changes how a value looks in some versions: show returns the text, "" for null.
type appearing[T any] struct {
	value[T]
	show func(o *T, version int) string
}

func (f appearing[T]) appendJSON(b []byte, o *T, version int) []byte {
	if s := f.show(o, version); s != "" {
		return appendString(b, s)
	}
	return append(b, "null"...)
}

// timeLayout is ISO 8601 in UTC, without a fraction.
const timeLayout = "2006-01-02T15:04:05+00:00"

func appendTime(b []byte, t time.Time) []byte {
	if t.IsZero() {
		return append(b, "null"...)
	}
	b = append(b, '"')
	b = t.UTC().AppendFormat(b, timeLayout)
	return append(b, '"')
}

func timeJSON(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UTC().Format(timeLayout)
}
