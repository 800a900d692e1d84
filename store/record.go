package store

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"ferric"
)

// record is a table of things with a UUID and a name of their own, which belong to no node.
type record[T any] struct {
	table[T]
	what string // in messages: "Allocation"
	some string // "An allocation"
	head func(*T) head
	// object is what notices call it.
	object string
}

// head is what every record has.
type head struct {
	uuid, name       *string
	created, updated *time.Time
	version          *int64
}

// columns returns the columns of a record's head.
func columns[T any](at func(*T) head) []column[T] {
	return []column[T]{
		text("uuid", func(r *T) *string { return at(r).uuid }),
		moment("created_at", func(r *T) *time.Time { return at(r).created }),
		moment("updated_at", func(r *T) *time.Time { return at(r).updated }),
		number("version", func(r *T) *int64 { return at(r).version }),
		text("name", func(r *T) *string { return at(r).name }),
	}
}

func (r record[T]) order() ordering {
	return ordering{table: r.name, marker: "uuid", tie: []string{"created_at", "uuid"}, keys: sortable(r.table, "version", "attempts", "due_at")}
}

func (r record[T]) notFound(ident string) error {
	return ferric.Errorf(ferric.CodeNotFound, "%s %s could not be found.", r.what, ident)
}

// conflict turns the database's complaint about a duplicate into Ironic's text.
func (r record[T]) conflict(err error, item *T) error {
	h := r.head(item)
	switch {
	case duplicate(err, r.name, "uuid"):
		return ferric.Errorf(ferric.CodeConflict, "%s with UUID %s already exists.", r.some, *h.uuid)
	case duplicate(err, r.name, "name"):
		return ferric.Errorf(ferric.CodeConflict, "%s with name %s already exists.", r.some, *h.name)
	}
	return err
}

// create adds a record and fills in its times, its version and, if it is empty, its UUID. CodeConflict for a UUID or name that
// another one has.
func (r record[T]) create(ctx context.Context, s *Store, item *T) error {
	if *r.head(item).uuid == "" {
		*r.head(item).uuid = uuid.NewString()
	}
	var made T
	err := s.write(ctx, "create "+strings.ToLower(r.what)+" "+*r.head(item).uuid, func(ctx context.Context, t *tx) error {
		made = *item
		return r.add(ctx, t, &made)
	})
	if err == nil {
		*item = made
	}
	return err
}

// add is create inside a transaction.
func (r record[T]) add(ctx context.Context, t *tx, item *T) error {
	h := r.head(item)
	*h.uuid = strings.ToLower(*h.uuid)
	*h.created, *h.updated, *h.version = t.now, t.now, 1
	if err := r.insert(ctx, t.s, t, nil, item); err != nil {
		return r.conflict(err, item)
	}
	r.tell(ctx, t, ferric.ActionCreate, nil, item)
	return nil
}

// tell makes notices of a change that a client asked for.
func (r record[T]) tell(ctx context.Context, t *tx, action ferric.Action, before, after *T) {
	tellAsked(ctx, t, r.object, action, before, after, func(o, before *T) {
		h := r.head(o)
		if before == nil {
			*h.created, *h.updated = time.Time{}, time.Time{}
		} else {
			*h.updated = *r.head(before).updated
		}
	})
}

// get returns the record with a value in a column (CodeNotFound).
func (r record[T]) get(ctx context.Context, s *Store, column, value string) (item *T, err error) {
	err = s.get(ctx, "read "+strings.ToLower(r.what), func(ctx context.Context, q querier) error {
		if value == "" {
			return r.notFound(`""`)
		}
		item, err = r.one(ctx, s, q, "WHERE "+column+" = $1", clean(value))
		if missing(err) {
			return r.notFound(value)
		}
		return err
	})
	return item, err
}

// list returns a page of the records that w selects. CodeInvalid for an unknown sort key, CodeNotFound for an unknown marker.
func (r record[T]) list(ctx context.Context, s *Store, w *filter, p ferric.Page) (list []*T, err error) {
	err = s.get(ctx, "list "+r.name, func(ctx context.Context, q querier) error {
		if err := w.page(ctx, q, r.order(), p, r.notFound); err != nil {
			return err
		}
		list, err = r.all(ctx, s, q, w.sql.String(), w.args...)
		return err
	})
	return list, err
}

// lock reads a record that the transaction is going to change (CodeNotFound).
func (r record[T]) lock(ctx context.Context, t *tx, uuid string) (*T, error) {
	item, err := r.one(ctx, t.s, t, "WHERE uuid = $1"+t.forUpdate(), clean(strings.ToLower(uuid)))
	if missing(err) {
		return nil, r.notFound(uuid)
	}
	return item, err
}

// update changes a record and returns it. expect 0 is any version. CodeNotFound; CodeConflict if the version is another one, or the name is
// taken; an error of mutate is returned as it is, and changes nothing.
func (r record[T]) update(ctx context.Context, s *Store, uuid string, expect int64, mutate func(*T) error) (item *T, err error) {
	err = s.write(ctx, "change "+strings.ToLower(r.what)+" "+uuid, func(ctx context.Context, t *tx) error {
		if item, err = r.lock(ctx, t, uuid); err != nil {
			return err
		}
		if v := *r.head(item).version; expect != 0 && v != expect {
			return ferric.Errorf(ferric.CodeConflict, "%s %s was changed meanwhile: its version is %d, not %d. Read it again.",
				r.what, *r.head(item).uuid, v, expect)
		}
		return r.change(ctx, t, item, mutate)
	})
	if err != nil {
		return nil, err
	}
	return item, nil
}

// change lets mutate change a locked record and writes what became different.
func (r record[T]) change(ctx context.Context, t *tx, item *T, mutate func(*T) error) error {
	before, err := r.values(item)
	if err != nil {
		return err
	}
	h, old := r.head(item), *item
	id, created, updated, version := *h.uuid, *h.created, *h.updated, *h.version
	if err := mutate(item); err != nil {
		return mutateError{err}
	}
	h = r.head(item)
	*h.uuid, *h.created, *h.updated, *h.version = id, created, updated, version
	after, err := r.values(item)
	if err != nil {
		return err
	}
	if slices.Equal(before, after) {
		return nil
	}
	*h.updated, *h.version = t.now, version+1
	if after, err = r.values(item); err != nil {
		return err
	}
	if err := r.table.update(ctx, t.s, t, id, after, differing(before, after), key{"uuid", id}); err != nil {
		return r.conflict(err, item)
	}
	r.tell(ctx, t, ferric.ActionUpdate, &old, item)
	return nil
}

// remove deletes a record (CodeNotFound).
func (r record[T]) remove(ctx context.Context, s *Store, uuid string) error {
	return s.write(ctx, "delete "+strings.ToLower(r.what)+" "+uuid, func(ctx context.Context, t *tx) error {
		item, err := r.lock(ctx, t, uuid)
		if err != nil {
			return err
		}
		if _, err := t.ExecContext(ctx, "DELETE FROM "+r.name+" WHERE uuid = $1", *r.head(item).uuid); err != nil {
			return err
		}
		r.tell(ctx, t, ferric.ActionDelete, item, nil)
		return nil
	})
}
