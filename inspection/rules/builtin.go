package rules

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"go.yaml.in/yaml/v3"

	"ferric"
)

// BuiltIn reads the rules of a YAML file: a list of rules with the fields of the API. A rule without a UUID gets one that counts up from
// 00000000-0000-0000-0000-000000000000. CodeInvalid says which rule is wrong.
func BuiltIn(file []byte) ([]ferric.InspectionRule, error) {
	var v any
	d := yaml.NewDecoder(bytes.NewReader(file))
	if err := d.Decode(&v); err != nil && !errors.Is(err, io.EOF) {
		return nil, ferric.Errorf(ferric.CodeInvalid, "built-in inspection rules: %w", err)
	}
	list, ok := plain(v).([]any)
	if !ok {
		return nil, ferric.Errorf(ferric.CodeInvalid, "built-in inspection rules: the file should contain a list of rules")
	}
	var out []ferric.InspectionRule
	unnamed := 0
	for i, item := range list {
		m, ok := item.(map[string]any)
		if !ok {
			return nil, ferric.Errorf(ferric.CodeInvalid, "built-in inspection rule %d: it is no object", i+1)
		}
		if m["uuid"] == nil {
			m["uuid"] = fmt.Sprintf("00000000-0000-0000-0000-%012x", unnamed)
			unnamed++
		}
		r, err := builtIn(m)
		if err == nil {
			err = Check(r, true)
		}
		if err != nil {
			return nil, ferric.Errorf(ferric.CodeInvalid, "built-in inspection rule %d: %w", i+1, err)
		}
		out = append(out, *r)
	}
	return out, nil
}

func builtIn(m map[string]any) (*ferric.InspectionRule, error) {
	r := &ferric.InspectionRule{Phase: ferric.PhaseMain}
	var ok bool
	for name, v := range m {
		var err error
		ok = true
		switch name {
		case "uuid":
			r.UUID, ok = v.(string)
		case "description":
			r.Description, ok = v.(string)
			ok = ok || v == nil
		case "phase":
			if v != nil {
				r.Phase, ok = v.(string)
			}
		case "priority":
			var f float64
			f, ok = number(v)
			r.Priority = int(f)
		case "sensitive":
			r.Sensitive, ok = v.(bool)
			ok = ok || v == nil
		case "conditions":
			if v != nil {
				r.Conditions, err = Operations(name, v)
			}
		case "actions":
			r.Actions, err = Operations(name, v)
		default:
			err = schema("Additional properties are not allowed (%s was unexpected)", clip(repr(name)))
		}
		if err == nil && !ok {
			err = schema("%s has the wrong type", name)
		}
		if err != nil {
			return nil, err
		}
	}
	return r, nil
}

// plain turns what the YAML decoder makes into what the JSON decoder would make.
func plain(v any) any {
	switch v := v.(type) {
	case int:
		return float64(v)
	case int64:
		return float64(v)
	case uint64:
		return float64(v)
	case []any:
		for i := range v {
			v[i] = plain(v[i])
		}
	case map[string]any:
		for k := range v {
			v[k] = plain(v[k])
		}
	case map[any]any:
		m := make(map[string]any, len(v))
		for k, e := range v {
			m[fmt.Sprint(k)] = plain(e)
		}
		return m
	}
	return v
}
