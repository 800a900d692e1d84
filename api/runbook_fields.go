package api

import (
	"time"

	"ferric"
)

// runbookResource is the table of a runbook's fields. The order of those that a patch may change is the order in which a refusal lists them.
func runbookResource() *resource[ferric.Runbook] {
	type R = ferric.Runbook
	steps := stepList[R]{at: func(r *R) *[]ferric.StepRequest { return &r.Steps }, place: "order"}
	fields := []field[R]{
		{name: "uuid", brief: true, sort: true, value: text(func(r *R) *string { return &r.UUID }), write: onCreate, check: aUUID},
		{name: "created_at", sort: true, value: moment(func(r *R) *time.Time { return &r.CreatedAt })},
		{name: "disable_ramdisk", sort: true, value: flag(func(r *R) *bool { return &r.DisableRamdisk }), write: writable, check: nullBool},
		{name: "extra", value: object(func(r *R) *map[string]any { return &r.Extra }), write: writable, check: anObject},
		{name: "name", brief: true, required: true, sort: true, value: text(func(r *R) *string { return &r.Name }), write: writable, check: runbookName},
		{name: "owner", sort: true, value: text(func(r *R) *string { return &r.Owner }), write: writable, check: aString(255),
			policy: "baremetal:runbook:update:owner"},
		{name: "public", sort: true, value: flag(func(r *R) *bool { return &r.Public }), write: writable, check: nullBool,
			policy: "baremetal:runbook:update:public"},
		{name: "steps", required: true, value: steps, write: writable, check: steps.check},
		{name: "description", since: 112, unknown: true, sort: true, value: text(func(r *R) *string { return &r.Description }),
			write: writable, check: aString(255)},
		{name: "traits", since: 112, unknown: true, value: names(func(r *R) *[]string { return &r.Traits })},
		{name: "updated_at", sort: true, value: sinceMade[R]{moment(func(r *R) *time.Time { return &r.UpdatedAt }),
			func(r *R) int64 { return r.Version }}},
	}
	return newResource(resource[R]{name: "runbook", collection: "runbooks", fields: fields,
		uuid: func(r *R) string { return r.UUID }, clone: (*R).Clone})
}

// runbookName takes a name of RFC 3986 unreserved characters. Before 1.112 a new runbook is named after a trait.
func runbookName(where, _ string, v any) (any, error) {
	s, ok := v.(string)
	if !ok {
		return nil, typeError(where, v, "string")
	}
	if !isName(s) {
		return nil, invalid("Schema error for %s: %s does not match '^[A-Za-z0-9\\\\-._~]+$', or is longer than 255 characters", where, clip(repr(s)))
	}
	return s, nil
}
