package api

import (
	"context"

	"ferric"
)

// identified loads what a path names, by UUID or by name. A name that ends in .json is found too where the suffix was taken for a file type.
func identified[T any](rq *request, what, ident string, byUUID, byName func(context.Context, string) (*T, error)) (*T, error) {
	load := func(ident string) (*T, error) {
		var o *T
		var err error
		switch {
		case isUUID(ident):
			o, err = byUUID(rq.Context(), canonicalUUID(ident))
		case isName(ident):
			o, err = byName(rq.Context(), ident)
		default:
			return nil, invalid("Expected a logical name or UUID but received %s.", clip(ident))
		}
		return o, named(err, what, ident)
	}
	o, err := load(ident)
	if rq.jsonSuffix && ferric.IsCode(err, ferric.CodeNotFound) {
		return load(ident + ".json")
	}
	return o, err
}

// edit is how a resource is patched that needs no conductor for it.
type edit[T any] struct {
	load    func() (*T, error)
	version func(*T) int64
	// before changes the object before the patch is applied; nil: nothing.
	before func(*T) error
	// after looks at the patched object; nil: nothing.
	after func(*T) error
	// take copies to the stored object what a patch may change.
	take   func(stored, now *T)
	update func(ctx context.Context, uuid string, expectVersion int64, mutate func(*T) error) (*T, error)
}

// patch changes an object, again if somebody else changed it in between.
func (r *resource[T]) patch(rq *request, ops patch, e edit[T]) (any, error) {
	if err := r.checkPatch(ops, rq.version); err != nil {
		return nil, err
	}
	for try := 1; ; try++ {
		o, err := e.load()
		if err != nil {
			return nil, err
		}
		if err := matches(rq, e.version(o)); err != nil {
			return nil, err
		}
		source := r.clone(o)
		if e.before != nil {
			if err := e.before(source); err != nil {
				return nil, err
			}
		}
		now, _, err := r.apply(ops, source)
		if err != nil {
			return nil, err
		}
		if e.after != nil {
			if err := e.after(now); err != nil {
				return nil, err
			}
		}
		rq.changes(ferric.ActionUpdate, now)
		made, err := e.update(rq.Context(), r.uuid(o), e.version(o), func(stored *T) error { e.take(stored, now); return nil })
		if err == nil {
			rq.header.Set("Etag", etag(e.version(made)))
			return r.object(rq, made), nil
		}
		if ferric.IsCode(err, ferric.CodeConflict) && try < updateTries {
			if stored, err := e.load(); err == nil && e.version(stored) != e.version(o) {
				continue
			}
		}
		return nil, err
	}
}
