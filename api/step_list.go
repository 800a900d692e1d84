package api

import (
	"cmp"
	"math"
	"slices"
	"strconv"
	"strings"

	"ferric"
	"ferric/rpc"
)

// stepList is the steps of a deploy template or a runbook. place is what orders them: "priority" or "order". Secrets in arguments are masked.
type stepList[T any] struct {
	at    func(*T) *[]ferric.StepRequest
	place string
}

func (f stepList[T]) jsonType() schema {
	return listOf(schema{"type": "object", "properties": schema{"interface": schema{"type": "string", "enum": stepInterfaces()},
		"step": schema{"type": "string"}, "args": schema{"type": "object"}, f.place: schema{"type": "integer", "minimum": 0}}})
}

func (f stepList[T]) number(s *ferric.StepRequest) *int {
	if f.place == "order" {
		return &s.Order
	}
	return &s.Priority
}

func (f stepList[T]) appendJSON(b []byte, o *T, _ int) []byte {
	b = append(b, '[')
	for i, s := range *f.at(o) {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, `{"interface":`...)
		b = appendString(b, s.Interface)
		b = append(b, `,"step":`...)
		b = appendString(b, s.Step)
		b = append(b, `,"args":`...)
		b = appendValue(b, maskSecrets(s.Args, nil))
		b = append(b, `,"`+f.place+`":`...)
		b = strconv.AppendInt(b, int64(*f.number(&s)), 10)
		b = append(b, '}')
	}
	return append(b, ']')
}

func (f stepList[T]) get(o *T) any {
	list := []any{}
	for _, s := range *f.at(o) {
		args := s.Args
		if args == nil {
			args = map[string]any{}
		}
		list = append(list, map[string]any{"interface": s.Interface, "step": s.Step, "args": args, f.place: float64(*f.number(&s))})
	}
	return list
}

func (f stepList[T]) set(o *T, v any) {
	steps, _ := v.([]ferric.StepRequest)
	before := *f.at(o)
	for _, s := range steps {
		i := slices.IndexFunc(before, func(b ferric.StepRequest) bool { return b.Interface == s.Interface && b.Step == s.Step })
		if i >= 0 && s.Args != nil {
			unmask(before[i].Args, s.Args)
		}
	}
	*f.at(o) = steps
}

// check takes a list of at least one step, each of another interface or name.
func (f stepList[T]) check(where, _ string, v any) (any, error) {
	items, ok := v.([]any)
	if !ok {
		return nil, typeError(where, v, "array")
	}
	if len(items) == 0 {
		return nil, invalid("Schema error for %s: [] is too short", where)
	}
	var steps []ferric.StepRequest
	var twice []string
	for _, item := range items {
		s, err := f.checkStep(where, item)
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(steps, func(o ferric.StepRequest) bool { return o.Interface == s.Interface && o.Step == s.Step }) {
			twice = append(twice, "interface: "+s.Interface+", step: "+s.Step)
		}
		steps = append(steps, s)
	}
	if len(twice) > 0 {
		slices.Sort(twice)
		return nil, invalid("Deploy template invalid: Duplicate deploy steps. A template cannot have multiple deploy steps with the same interface and step. "+
			"Duplicates: %s.", clip(strings.Join(slices.Compact(twice), "; ")))
	}
	return steps, nil
}

func (f stepList[T]) checkStep(where string, v any) (s ferric.StepRequest, err error) {
	m, ok := v.(map[string]any)
	if !ok {
		return s, typeError(where, v, "object")
	}
	for _, k := range sortedKeys(m) {
		if !slices.Contains([]string{"interface", "step", "args", f.place}, k) {
			return s, invalid("Schema error for %s: Additional properties are not allowed (%s was unexpected)", where, repr(clip(k)))
		}
	}
	required := []string{"interface", "step", f.place}
	if f.place == "priority" {
		required = append(required, "args")
	}
	for _, k := range required {
		if _, given := m[k]; !given {
			return s, invalid("Schema error for %s: '%s' is a required property", where, k)
		}
	}
	if s.Interface, ok = m["interface"].(string); !ok {
		return s, typeError(where, m["interface"], "string")
	}
	if !slices.Contains(stepInterfaces(), s.Interface) {
		return s, invalid("Schema error for %s: %s is not one of ['%s']", where, clip(repr(s.Interface)), strings.Join(stepInterfaces(), "', '"))
	}
	if s.Step, ok = m["step"].(string); !ok {
		return s, typeError(where, m["step"], "string")
	}
	if s.Step == "" {
		return s, invalid("Schema error for %s: '' is too short", where)
	}
	if args, given := m["args"]; given {
		if s.Args, ok = args.(map[string]any); !ok {
			return s, typeError(where, args, "object")
		}
	}
	if *f.number(&s), ok = stepPlace(m[f.place]); !ok {
		return s, invalid("Schema error for %s: %s is not valid under any of the given schemas. Possible root cause: %s must be an integer of at least 0",
			where, clip(repr(m[f.place])), f.place)
	}
	return s, nil
}

// stepPlace takes a number of at least 0, or its digits.
func stepPlace(v any) (int, bool) {
	switch v := v.(type) {
	case float64:
		return int(v), v >= 0 && v == math.Trunc(v) && v <= math.MaxInt32
	case string:
		n, err := strconv.ParseUint(v, 10, 31)
		return int(n), err == nil
	}
	return 0, false
}

// nullBool takes true, false or null.
func nullBool(where, name string, v any) (any, error) {
	if v == nil {
		return nil, nil
	}
	if _, ok := v.(bool); !ok {
		return nil, typeError(where, v, "boolean", "null")
	}
	return v, nil
}

// aTrait takes the name of a trait.
func aTrait(where, _ string, v any) (any, error) {
	s, ok := v.(string)
	if !ok {
		return nil, typeError(where, v, "string")
	}
	return checkTrait(s)
}

// runbookSteps are the steps of a runbook in their order, as a verb takes them.
func runbookSteps(r *ferric.Runbook) []rpc.StepArgs {
	ordered := slices.Clone(r.Steps)
	slices.SortStableFunc(ordered, func(a, b ferric.StepRequest) int { return cmp.Compare(a.Order, b.Order) })
	var out []rpc.StepArgs
	for _, s := range ordered {
		out = append(out, rpc.StepArgs{Interface: s.Interface, Step: s.Step, Args: s.Args, Order: &s.Order})
	}
	return out
}
