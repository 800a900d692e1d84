package api

import (
	"encoding/json"
	"math"
	"time"

	"ferric"
	"ferric/inspection/rules"
)

// ruleResource is the table of an inspection rule's fields.
func ruleResource() *resource[ferric.InspectionRule] {
	type R = ferric.InspectionRule
	fields := []field[R]{
		{name: "uuid", brief: true, sort: true, value: text(func(r *R) *string { return &r.UUID }), write: onCreate, check: aUUID},
		{name: "description", brief: true, sort: true, value: text(func(r *R) *string { return &r.Description }), write: writable, check: aString(255)},
		{name: "priority", brief: true, sort: true, value: whole(func(r *R) *int { return &r.Priority }), write: writable, check: aPriority},
		{name: "phase", brief: true, sort: true, value: text(func(r *R) *string { return &r.Phase }), write: writable, check: aPhase},
		{name: "sensitive", brief: true, sort: true, value: flag(func(r *R) *bool { return &r.Sensitive }), write: writable, check: boolOrNull},
		{name: "conditions", value: operations{"conditions", func(r *R) *[]ferric.RuleOperation { return &r.Conditions }}, write: writable,
			check: ruleOperations},
		{name: "actions", required: true, value: operations{"actions", func(r *R) *[]ferric.RuleOperation { return &r.Actions }}, write: writable,
			check: ruleOperations},
		{name: "created_at", sort: true, value: moment(func(r *R) *time.Time { return &r.CreatedAt })},
		{name: "updated_at", sort: true, value: sinceMade[R]{moment(func(r *R) *time.Time { return &r.UpdatedAt }),
			func(r *R) int64 { return r.Version }}},
	}
	return newResource(resource[R]{name: "inspection_rule", collection: "inspection_rules", fields: fields,
		uuid: func(r *R) string { return r.UUID }, clone: (*R).Clone})
}

// operations are a rule's conditions or actions. Those of a sensitive rule are shown to nobody.
type operations struct {
	what string
	at   func(*ferric.InspectionRule) *[]ferric.RuleOperation
}

func (f operations) appendJSON(b []byte, r *ferric.InspectionRule, _ int) []byte {
	if r.Sensitive {
		return append(b, "null"...)
	}
	return appendValue(b, f.get(r))
}

func (f operations) get(r *ferric.InspectionRule) any {
	list := []any{}
	for _, o := range *f.at(r) {
		m := map[string]any{"op": o.Op, "args": o.Args}
		if n, _ := json.Marshal(o.Loop); o.Loop != nil && string(n) != "[]" && string(n) != "{}" {
			m["loop"] = o.Loop
			if f.what == "conditions" {
				m["multiple"] = "any"
				if o.Multiple != "" {
					m["multiple"] = o.Multiple
				}
			}
		}
		list = append(list, m)
	}
	return list
}

func (f operations) set(r *ferric.InspectionRule, v any) {
	*f.at(r), _ = v.([]ferric.RuleOperation)
}

// ruleOperations takes a list of conditions or actions.
func ruleOperations(_, name string, v any) (any, error) {
	if v == nil && name == "conditions" {
		return nil, nil
	}
	return rules.Operations(name, v)
}

func aPriority(where, _ string, v any) (any, error) {
	if v == nil { // a patch took it away
		return 0, nil
	}
	f, ok := v.(float64)
	switch {
	case !ok || f != math.Trunc(f) || math.Abs(f) > 1<<53:
		return nil, typeError(where, v, "integer")
	case f < 0:
		return nil, invalid("Schema error for %s: %s is less than the minimum of 0", where, repr(v))
	}
	return int(f), nil
}

// aPhase takes a phase; rules.Check says which ones there are. A patch that takes it away leaves the usual one.
func aPhase(where, name string, v any) (any, error) {
	if v == nil {
		if where == "patch" {
			return ferric.PhaseMain, nil
		}
		return nil, nil
	}
	return aString(16)(where, name, v)
}

// boolOrNull takes true, false and null.
func boolOrNull(where, name string, v any) (any, error) {
	if v == nil {
		return nil, nil
	}
	if _, ok := v.(bool); !ok {
		return nil, typeError(where, v, "boolean", "null")
	}
	return v, nil
}

// whole is a whole number.
func whole[T any](at func(*T) *int) value[T] { return wholeValue[T]{at} }

type wholeValue[T any] struct{ at func(*T) *int }

func (f wholeValue[T]) appendJSON(b []byte, o *T, _ int) []byte { return appendValue(b, *f.at(o)) }
func (f wholeValue[T]) get(o *T) any                            { return float64(*f.at(o)) }
func (f wholeValue[T]) set(o *T, v any)                         { *f.at(o), _ = v.(int) }
