package rules

import (
	"slices"

	"ferric"
)

// Operations reads a rule's list of conditions or actions as it stands in JSON or YAML. what is "conditions" or "actions". CodeInvalid, in
// the words of a JSON schema's validator.
func Operations(what string, v any) ([]ferric.RuleOperation, error) {
	list, ok := v.([]any)
	if !ok {
		return nil, schema("%s is not of type 'array'", clip(repr(v)))
	}
	names := ActionNames()
	if what == "conditions" {
		names = ConditionNames()
		for _, n := range ConditionNames() {
			names = append(names, "!"+n)
		}
	} else if len(list) == 0 {
		return nil, schema("[] should be non-empty")
	}
	out := make([]ferric.RuleOperation, 0, len(list))
	for _, item := range list {
		m, ok := item.(map[string]any)
		if !ok {
			return nil, schema("%s is not of type 'object'", clip(repr(item)))
		}
		o, err := operation(what, names, m)
		if err != nil {
			return nil, err
		}
		out = append(out, o)
	}
	return out, nil
}

func operation(what string, names []string, m map[string]any) (ferric.RuleOperation, error) {
	var o ferric.RuleOperation
	for _, name := range []string{"op", "args"} {
		if _, ok := m[name]; !ok {
			return o, schema("'%s' is a required property", name)
		}
	}
	o.Op, _ = m["op"].(string)
	if !slices.Contains(names, o.Op) {
		list := make([]any, len(names))
		for i := range names {
			list[i] = names[i]
		}
		return o, schema("%s is not one of %s", clip(repr(m["op"])), repr(list))
	}
	o.Args, o.Loop = m["args"], m["loop"]
	for _, name := range []string{"args", "loop"} {
		v, given := m[name]
		switch v.(type) {
		case []any, map[string]any:
		default:
			if given {
				return o, schema("%s is not of type 'array', 'object'", clip(repr(v)))
			}
		}
	}
	if v, given := m["multiple"]; given && what == "conditions" {
		o.Multiple, _ = v.(string)
		if !slices.Contains([]string{"any", "all", "first", "last"}, o.Multiple) {
			return o, schema("%s is not one of ['any', 'all', 'first', 'last']", clip(repr(v)))
		}
	}
	return o, nil
}

func schema(format string, args ...any) error {
	return ferric.Errorf(ferric.CodeInvalid, "Schema error for inspection_rule: "+format, args...)
}
