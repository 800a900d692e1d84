package api

import (
	"bytes"
	"encoding/json"
	"slices"
)

// JSON schemas (draft 2020-12) of what the tables hold, for the OpenAPI document. Nothing is written down twice: what a field or an argument
// takes is found by showing samples to its checker, how a field looks by its value.

// schema is a JSON schema.
type schema map[string]any

// typed is a value that knows the JSON type that it is shown as; the others are looked at.
type typed interface{ jsonType() schema }

func orNullType(types ...string) schema { return schema{"type": append(types, "null")} }

func (textValue[T, S]) jsonType() schema   { return orNullType("string") }
func (plainTextValue[T]) jsonType() schema { return schema{"type": "string"} }
func (flagValue[T]) jsonType() schema      { return schema{"type": "boolean"} }
func (maybeValue[T]) jsonType() schema     { return orNullType("boolean") }
func (objectValue[T]) jsonType() schema    { return schema{"type": "object"} }
func (documentValue[T]) jsonType() schema  { return schema{} }
func (namesValue[T]) jsonType() schema {
	return schema{"type": "array", "items": schema{"type": "string"}}
}
func (momentValue[T]) jsonType() schema { return orNullTime() }
func (f sinceMade[T]) jsonType() schema { return orNullTime() }
func (chosenValue) jsonType() schema    { return orNullType("string") }
func (f appearing[T]) jsonType() schema { return orNullType("string") }
func orNullTime() schema                { return schema{"type": []string{"string", "null"}, "format": "date-time"} }
func listOf(items any) schema           { return schema{"type": "array", "items": items} }
func refTo(kind, name string) schema    { return schema{"$ref": "#/components/" + kind + "/" + name} }
func jsonContent(s schema) map[string]any {
	return map[string]any{"application/json": map[string]any{"schema": s}}
}

// samples are what is shown to checkers, by JSON type, and by the format that a string has.
func samples() []struct {
	kind, format string
	value        any
} {
	return []struct {
		kind, format string
		value        any
	}{
		{"boolean", "", true}, {"integer", "", 7.0}, {"string", "", "sample"}, {"string", "uuid", "11111111-2222-4333-8444-555555555555"},
		{"string", "mac-address", "52:54:00:00:00:01"}, {"string", "boolean", "true"}, {"string", "integer", "7"},
		{"array", "", []any{}}, {"object", "", map[string]any{}}, {"null", "", nil},
	}
}

// takes is the schema of what a checker takes: the types of the samples that it lets pass. A checker that lets none pass wants something
// that no sample shows, and may be anything.
func takes(check func(v any) (any, error)) schema {
	var types, formats []string
	free := false
	for _, s := range samples() {
		if _, err := check(s.value); err != nil {
			continue
		}
		switch {
		case s.kind == "string" && s.format == "":
			free = true
		case s.kind == "string":
			formats = append(formats, s.format)
		}
		if !slices.Contains(types, s.kind) {
			types = append(types, s.kind)
		}
	}
	out := schema{}
	switch {
	case len(types) == 0 || len(types) == 1 && types[0] == "null":
		return out
	case len(types) == 1:
		out["type"] = types[0]
	default:
		out["type"] = types
	}
	if !free && len(formats) == 1 && (formats[0] == "uuid" || formats[0] == "mac-address") {
		out["format"] = formats[0]
	}
	return out
}

// ofArgument is the schema of an argument. In a query everything is text, so what its parser makes of text counts.
func ofArgument(a arg, inBody bool) schema {
	if inBody {
		return takes(func(v any) (any, error) { return a.parse(a.name, v) })
	}
	for _, s := range samples() {
		if s.kind != "string" {
			continue
		}
		v, err := a.parse(a.name, s.value)
		if err != nil {
			continue
		}
		switch v.(type) {
		case bool:
			return schema{"type": "boolean"}
		case int:
			return schema{"type": "integer"}
		case []string:
			return listOf(schema{"type": "string"})
		}
		if s.format == "uuid" || s.format == "mac-address" {
			return schema{"type": "string", "format": s.format}
		}
		return schema{"type": "string"}
	}
	return schema{"type": "string"}
}

// schemaSource is a resource, whatever its type is.
type schemaSource interface {
	names() (name, collection string)
	// answerSchema is the object in answers, bodySchema the one of the body that makes a new one.
	answerSchema() schema
	bodySchema() schema
	info() ResourceInfo
}

func (r *resource[T]) names() (name, collection string) { return r.name, r.collection }

func (r *resource[T]) answerSchema() schema {
	properties := schema{"links": listOf(refTo("schemas", "Link"))}
	for i := range r.fields {
		f := &r.fields[i]
		s := r.look(f)
		s["x-ferric-since"] = versionString(max(f.since, minVersion))
		if f.write == readOnly {
			s["readOnly"] = true
		}
		if f.policy != "" {
			s["x-ferric-policy"] = f.policy
		}
		properties[f.name] = s
	}
	for _, c := range r.children {
		items := refTo("schemas", "Link")
		if c.nested {
			items = listOf(items)
		}
		properties[c.name] = schema{"type": "array", "items": items, "readOnly": true,
			"x-ferric-since": versionString(max(c.since, minVersion))}
	}
	return schema{"type": "object", "properties": properties, "additionalProperties": false,
		"description": "What an answer shows depends on the microversion (x-ferric-since of each property) and on fields=."}
}

// look is the schema of a field as it is shown.
func (r *resource[T]) look(f *field[T]) schema {
	if t, ok := f.value.(typed); ok {
		return t.jsonType()
	}
	// A value of the resource's own: how it looks in an empty object, and after each sample that its checker lets pass.
	seen := map[string]bool{}
	note := func(o *T) {
		var v any
		if json.NewDecoder(bytes.NewReader(f.value.appendJSON(nil, o, maxVersion))).Decode(&v) == nil {
			seen[typeOf(v)] = true
		}
	}
	note(new(T))
	for _, s := range samples() {
		if f.check == nil {
			break
		}
		if v, err := f.check(r.name, f.name, s.value); err == nil && v != nil {
			o := new(T)
			f.value.set(o, v)
			note(o)
		}
	}
	var types []string
	for _, t := range []string{"boolean", "integer", "number", "string", "array", "object", "null"} {
		if seen[t] {
			types = append(types, t)
		}
	}
	if len(types) == 0 || slices.Equal(types, []string{"null"}) {
		return schema{}
	}
	return schema{"type": types}
}

func typeOf(v any) string {
	switch v := v.(type) {
	case nil:
		return "null"
	case bool:
		return "boolean"
	case float64:
		if v == float64(int64(v)) {
			return "integer"
		}
		return "number"
	case string:
		return "string"
	case []any:
		return "array"
	}
	return "object"
}

func (r *resource[T]) bodySchema() schema {
	properties, required := schema{}, []string{}
	for i := range r.fields {
		f := &r.fields[i]
		if f.write&onCreate == 0 {
			continue
		}
		s := takes(func(v any) (any, error) { return f.check(r.name, f.name, v) })
		s["x-ferric-since"] = versionString(max(f.since, minVersion))
		if f.policy != "" {
			s["x-ferric-policy"] = f.policy
		}
		properties[f.name] = s
		if f.required {
			required = append(required, f.name)
		}
	}
	out := schema{"type": "object", "properties": properties}
	if len(required) > 0 {
		out["required"] = required
	}
	return out
}
