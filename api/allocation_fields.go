package api

import (
	"time"

	"ferric"
)

// allocationResource is the table of an allocation's fields. Lists show them all.
func allocationResource() *resource[ferric.Allocation] {
	type A = ferric.Allocation
	fields := []field[A]{
		{name: "candidate_nodes", value: texts(func(a *A) *[]string { return &a.CandidateNodes }), write: onCreate, check: textList},
		{name: "created_at", sort: true, value: moment(func(a *A) *time.Time { return &a.CreatedAt })},
		{name: "last_error", sort: true, value: text(func(a *A) *string { return &a.LastError })},
		{name: "name", sort: true, value: text(func(a *A) *string { return &a.Name }), write: writable, check: aString(0)},
		{name: "extra", value: object(func(a *A) *map[string]any { return &a.Extra }), write: writable, check: anObject},
		{name: "node_uuid", value: text(func(a *A) *string { return &a.NodeUUID })},
		{name: "owner", since: 60, sort: true, value: text(func(a *A) *string { return &a.Owner }), write: onCreate, check: aString(255)},
		{name: "resource_class", sort: true, value: text(func(a *A) *string { return &a.ResourceClass }), write: onCreate, check: aString(80)},
		{name: "state", sort: true, value: text(func(a *A) *ferric.AllocationState { return &a.State })},
		{name: "traits", value: texts(func(a *A) *[]string { return &a.Traits }), write: onCreate, check: traitList},
		{name: "updated_at", sort: true, value: sinceMade[A]{moment(func(a *A) *time.Time { return &a.UpdatedAt }),
			func(a *A) int64 { return a.Version }}},
		{name: "uuid", sort: true, value: text(func(a *A) *string { return &a.UUID }), write: onCreate, check: aUUID},
	}
	return newResource(resource[A]{name: "allocation", collection: "allocations", fields: fields, whole: true,
		uuid: func(a *A) string { return a.UUID }, clone: (*A).Clone})
}

// texts is a list of strings that may be written; none is [].
func texts[T any](at func(*T) *[]string) value[T] { return textsValue[T]{namesValue[T]{at}} }

type textsValue[T any] struct{ namesValue[T] }

func (f textsValue[T]) set(o *T, v any) { *f.at(o), _ = v.([]string) }

// textList takes a list of strings or null.
func textList(where, _ string, v any) (any, error) {
	return eachOf(where, v, func(item any) (string, error) {
		s, ok := item.(string)
		if !ok {
			return "", typeError(where, item, "string")
		}
		return s, nil
	})
}

// traitList takes a list of traits or null.
func traitList(where, _ string, v any) (any, error) { return eachOf(where, v, checkTrait) }

func eachOf(where string, v any, one func(any) (string, error)) (any, error) {
	if v == nil {
		return nil, nil
	}
	items, ok := v.([]any)
	if !ok {
		return nil, typeError(where, v, "array", "null")
	}
	out := make([]string, 0, len(items))
	for _, item := range items {
		s, err := one(item)
		if err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	return out, nil
}
