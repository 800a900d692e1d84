package store

import (
	"context"
	"strings"
	"time"

	"github.com/google/uuid"

	"ferric"
)

// part is a kind of object that has a UUID, times and a version, and belongs to a node or to nobody. What is common to all such kinds is done here; a
// kind's own file says what is special.
type part[T any] struct {
	table table[T]
	order ordering
	what  string // in messages: "Portgroup"
	kind  string // in the change feed: "portgroup"; "": it is not in the feed
	// object is what notices call it.
	object string
	meta   func(*T) meta
	// tidy brings values into the form that they are kept in. nil: nothing to do.
	tidy func(*T)
	// clash turns the database's complaint into Ironic's text.
	clash func(error, *T) error
	// check refuses what does not fit other records, which it locks. before is nil for a new one. nil: everything fits.
	check func(ctx context.Context, t *tx, now, before *T) error
}

// meta points to what every record has; node is nil if it belongs to no node.
type meta struct {
	uuid, node       *string
	created, updated *time.Time
	version          *int64
}

func newPart[T any](r part[T]) *part[T] {
	r.table.id = func(o *T) string { return *r.meta(o).uuid }
	r.order = ordering{table: r.table.name, marker: "uuid", tie: []string{"created_at", "uuid"}, keys: sortable(r.table)}
	return &r
}

func (r *part[T]) notFound(ident string) error {
	return ferric.Errorf(ferric.CodeNotFound, "%s %s could not be found.", r.what, ident)
}

// failed gives an error of the database a code, where it is about the record.
func (r *part[T]) failed(err error, o *T) error {
	if m := r.meta(o); m.node != nil && orphaned(err) {
		return nodeNotFound(*m.node)
	}
	return r.clash(err, o)
}

// create adds a record and fills in its times, its version and, if it is empty, its UUID.
func (r *part[T]) create(ctx context.Context, s *Store, o *T) error {
	if m := r.meta(o); *m.uuid == "" {
		*m.uuid = uuid.NewString()
	}
	var made T
	err := s.write(ctx, "create "+r.what, func(ctx context.Context, t *tx) error {
		made = *o
		m := r.meta(&made)
		*m.created, *m.updated, *m.version = t.now, t.now, 1
		r.tidied(&made)
		if r.check != nil {
			if err := r.check(ctx, t, &made, nil); err != nil {
				return err
			}
		}
		if err := r.table.insert(ctx, s, t, nil, &made); err != nil {
			return r.failed(err, &made)
		}
		r.tell(ctx, t, ferric.ActionCreate, nil, &made)
		return r.changed(ctx, t, "created", &made, nil)
	})
	if err == nil {
		*o = made
	}
	return err
}

func (r *part[T]) tidied(o *T) {
	m := r.meta(o)
	*m.uuid = strings.ToLower(*m.uuid)
	if m.node != nil {
		*m.node = strings.ToLower(*m.node)
	}
	if r.tidy != nil {
		r.tidy(o)
	}
}

// tell makes notices of a change that a client asked for.
func (r *part[T]) tell(ctx context.Context, t *tx, action ferric.Action, before, after *T) {
	tellAsked(ctx, t, r.object, action, before, after, func(o, before *T) {
		m := r.meta(o)
		if before == nil {
			*m.created, *m.updated = time.Time{}, time.Time{}
		} else {
			*m.updated = *r.meta(before).updated
		}
	})
}

// changed notes a change of a record in the feed.
func (r *part[T]) changed(ctx context.Context, t *tx, what string, o *T, fields []string) error {
	m := r.meta(o)
	if r.kind == "" || m.node == nil {
		return nil
	}
	return t.partChanged(ctx, r.kind+"."+what, *m.node, fields)
}

// partChanged notes a change of what belongs to a node, with what is worth knowing of the node.
func (t *tx) partChanged(ctx context.Context, kind, nodeUUID string, fields []string) error {
	n := ferric.Node{UUID: nodeUUID}
	err := t.QueryRowContext(ctx, "SELECT provision_state, target_provision_state, power_state, maintenance FROM nodes WHERE uuid = $1",
		nodeUUID).Scan(&n.ProvisionState, &n.TargetProvisionState, &n.PowerState, &n.Maintenance)
	if err != nil {
		return err
	}
	t.changed(kind, &n, fields)
	return nil
}

// get returns the record whose column has the value (CodeNotFound).
func (r *part[T]) get(ctx context.Context, s *Store, column, value string) (o *T, err error) {
	err = s.get(ctx, "read "+r.what, func(ctx context.Context, q querier) error {
		o, err = r.table.one(ctx, s, q, "WHERE "+column+" = $1", clean(value))
		if missing(err) || value == "" {
			return r.notFound(value)
		}
		return err
	})
	return o, err
}

// list returns the page of the records that where selects.
func (r *part[T]) list(ctx context.Context, s *Store, p ferric.Page, where func(*filter)) (list []*T, err error) {
	err = s.get(ctx, "list "+r.table.name, func(ctx context.Context, q querier) error {
		w := &filter{}
		where(w)
		if err := w.page(ctx, q, r.order, p, r.notFound); err != nil {
			return err
		}
		list, err = r.table.all(ctx, s, q, w.sql.String(), w.args...)
		return err
	})
	return list, err
}

// lock reads a record that the transaction is going to change (CodeNotFound).
func (r *part[T]) lock(ctx context.Context, t *tx, uuid string) (*T, error) {
	o, err := r.table.one(ctx, t.s, t, "WHERE uuid = $1"+t.forUpdate(), clean(strings.ToLower(uuid)))
	if missing(err) {
		return nil, r.notFound(uuid)
	}
	return o, err
}

// update changes a record and returns it. expectVersion 0 is any. CodeConflict if the version is another one, or the change collides with another
// record; an error of mutate is returned as it is, and changes nothing.
func (r *part[T]) update(ctx context.Context, s *Store, uuid string, expectVersion int64, mutate func(*T) error) (o *T, err error) {
	err = s.write(ctx, "change "+r.what+" "+uuid, func(ctx context.Context, t *tx) error {
		if o, err = r.lock(ctx, t, uuid); err != nil {
			return err
		}
		if m := r.meta(o); expectVersion != 0 && *m.version != expectVersion {
			return ferric.Errorf(ferric.CodeConflict, "%s %s was changed meanwhile: its version is %d, not %d. Read it again.",
				r.what, *m.uuid, *m.version, expectVersion)
		}
		return r.change(ctx, t, o, mutate)
	})
	if err != nil {
		return nil, err
	}
	return o, nil
}

// change lets mutate change a locked record and writes what became different. Identity, times and version are the store's.
func (r *part[T]) change(ctx context.Context, t *tx, o *T, mutate func(*T) error) error {
	before, err := r.table.values(o)
	if err != nil {
		return err
	}
	old := *o
	if err := mutate(o); err != nil {
		return mutateError{err}
	}
	m, kept := r.meta(o), r.meta(&old)
	*m.uuid, *m.created, *m.updated, *m.version = *kept.uuid, *kept.created, *kept.updated, *kept.version
	r.tidied(o)
	after, err := r.table.values(o)
	if err != nil {
		return err
	}
	fields := r.table.names(differing(before, after))
	if len(fields) == 0 {
		return nil
	}
	if r.check != nil {
		if err := r.check(ctx, t, o, &old); err != nil {
			return err
		}
	}
	*m.updated, *m.version = t.now, *kept.version+1
	if after, err = r.table.values(o); err != nil {
		return err
	}
	if err := r.table.update(ctx, t.s, t, *m.uuid, after, differing(before, after), key{"uuid", *m.uuid}); err != nil {
		return r.failed(err, o)
	}
	r.tell(ctx, t, ferric.ActionUpdate, &old, o)
	return r.changed(ctx, t, "updated", o, fields)
}

// remove deletes a record (CodeNotFound), unless refuse, if it is not nil, has something against it.
func (r *part[T]) remove(ctx context.Context, s *Store, uuid string, refuse func(context.Context, *tx, *T) error) error {
	return s.write(ctx, "delete "+r.what+" "+uuid, func(ctx context.Context, t *tx) error {
		o, err := r.lock(ctx, t, uuid)
		if err != nil {
			return err
		}
		if refuse != nil {
			if err := refuse(ctx, t, o); err != nil {
				return err
			}
		}
		if _, err := t.ExecContext(ctx, "DELETE FROM "+r.table.name+" WHERE uuid = $1", *r.meta(o).uuid); err != nil {
			return err
		}
		r.tell(ctx, t, ferric.ActionDelete, o, nil)
		return r.changed(ctx, t, "deleted", o, nil)
	})
}

// used reports whether a row of the table has the value in the column.
func (t *tx) used(ctx context.Context, table, column, value string) (yes bool, err error) {
	err = t.QueryRowContext(ctx, "SELECT EXISTS (SELECT 1 FROM "+table+" WHERE "+column+" = $1)", value).Scan(&yes)
	return yes, err
}

// ofNodes adds a condition on the node that a record belongs to: its shard or its conductor group is one of the values. An empty list is no condition.
func ofNodes(f *filter, column string, values []string) {
	if len(values) == 0 {
		return
	}
	if len(values) > maxList {
		f.err = ferric.Errorf(ferric.CodeInvalid, "%d values for %s: at most %d are allowed", len(values), column, maxList)
		return
	}
	args := make([]any, len(values))
	for i, v := range values {
		args[i] = clean(v)
	}
	f.and("node_uuid IN (SELECT uuid FROM nodes WHERE "+column+" IN (?"+strings.Repeat(", ?", len(values)-1)+"))", args...)
}

// contains adds a condition on a part of a text, whatever its case. "" is no condition.
func (f *filter) contains(column, part string) {
	if part == "" {
		return
	}
	literal := strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`).Replace(strings.ToLower(clean(part)))
	f.and("lower("+column+`) LIKE ? ESCAPE '\'`, "%"+literal+"%")
}
