package store

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"strconv"
	"strings"

	"ferric"
)

// table ties a table to a struct. id is the record's key, to which sealed values are bound.
type table[T any] struct {
	name string
	id   func(*T) string
	cols []column[T]
}

// brief is the table without its documents.
func (t table[T]) brief() table[T] {
	t.cols = slices.DeleteFunc(slices.Clone(t.cols), func(c column[T]) bool { return c.doc })
	return t
}

// only is the table with the named columns alone, to be read.
func (t table[T]) only(names ...string) table[T] {
	t.cols = slices.DeleteFunc(slices.Clone(t.cols), func(c column[T]) bool { return !slices.Contains(names, c.name) })
	return t
}

func (t table[T]) selection() string {
	var b strings.Builder
	b.WriteString("SELECT ")
	for i, c := range t.cols {
		if i > 0 {
			b.WriteString(", ")
		}
		if c.expr != "" {
			b.WriteString(c.expr)
		} else {
			b.WriteString(c.name)
		}
	}
	b.WriteString(" FROM " + t.name + " ")
	return b.String()
}

// all runs SELECT … with the clauses given and returns the rows.
func (t table[T]) all(ctx context.Context, s *Store, q querier, clauses string, args ...any) ([]*T, error) {
	rows, err := q.QueryContext(ctx, t.selection()+clauses, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	cells := make([]cell, len(t.cols))
	targets := make([]any, len(t.cols))
	for i, c := range t.cols {
		targets[i] = cells[i].target(c.kind)
	}
	var list []*T
	for rows.Next() {
		if err := rows.Scan(targets...); err != nil {
			return nil, err
		}
		item := new(T)
		if err := t.fill(s, item, cells); err != nil {
			return nil, err
		}
		list = append(list, item)
	}
	return list, rows.Err()
}

func (t table[T]) fill(s *Store, item *T, cells []cell) error {
	for i := range t.cols {
		c, cell := &t.cols[i], &cells[i]
		if c.kind == bytesKind {
			cell.text = ""
			if len(cell.bytes) > 0 {
				plain, err := s.keys.open(t.name, c.name, t.id(item), cell.bytes)
				if err != nil {
					return err
				}
				cell.text = string(plain)
			}
		}
		if err := c.set(item, cell); err != nil {
			return ferric.Errorf(ferric.CodeInternal, "read %s of %s %s: %w", c.name, t.name, t.id(item), err)
		}
	}
	return nil
}

// one is all for at most one row; sql.ErrNoRows if there is none.
func (t table[T]) one(ctx context.Context, s *Store, q querier, clauses string, args ...any) (*T, error) {
	list, err := t.all(ctx, s, q, clauses, args...)
	if err != nil {
		return nil, err
	}
	if len(list) == 0 {
		return nil, sql.ErrNoRows
	}
	return list[0], nil
}

func missing(err error) bool { return errors.Is(err, sql.ErrNoRows) }

// values encodes a record, column by column; sealed columns are still plain.
func (t table[T]) values(item *T) ([]any, error) {
	vals := make([]any, len(t.cols))
	for i, c := range t.cols {
		v, err := c.get(item)
		if err != nil {
			return nil, err
		}
		vals[i] = v
	}
	return vals, nil
}

// differing returns the indexes of the columns that differ.
func differing(a, b []any) []int {
	var d []int
	for i := range a {
		if a[i] != b[i] {
			d = append(d, i)
		}
	}
	return d
}

func (t table[T]) bind(s *Store, c *column[T], id string, v any) (any, error) {
	if c.kind != bytesKind {
		return v, nil
	}
	plain := v.(string)
	if plain == "" {
		return []byte(nil), nil
	}
	return s.keys.seal(t.name, c.name, id, []byte(plain))
}

// insert writes records. With replace, a record whose key columns (the named ones) exist is overwritten.
func (t table[T]) insert(ctx context.Context, s *Store, q querier, replace []string, items ...*T) error {
	const perStatement = 200
	for batch := range slices.Chunk(items, perStatement) {
		if err := t.insertBatch(ctx, s, q, replace, batch); err != nil {
			return err
		}
	}
	return nil
}

func (t table[T]) insertBatch(ctx context.Context, s *Store, q querier, replace []string, items []*T) error {
	var names, sets []string
	for _, c := range t.cols {
		if c.expr == "" && !c.foreign {
			names = append(names, c.name)
			if !slices.Contains(replace, c.name) {
				sets = append(sets, c.name+" = excluded."+c.name)
			}
		}
	}
	var w clause
	w.sql.WriteString("INSERT INTO " + t.name + " (" + strings.Join(names, ", ") + ") VALUES ")
	for n, item := range items {
		vals, err := t.values(item)
		if err != nil {
			return err
		}
		sep := "("
		if n > 0 {
			sep = ", ("
		}
		for i := range t.cols {
			c := &t.cols[i]
			if c.expr != "" || c.foreign {
				continue
			}
			v, err := t.bind(s, c, t.id(item), vals[i])
			if err != nil {
				return err
			}
			w.sql.WriteString(sep + w.arg(v))
			sep = ", "
		}
		w.sql.WriteString(")")
	}
	if len(replace) > 0 {
		w.sql.WriteString(" ON CONFLICT (" + strings.Join(replace, ", ") + ") DO UPDATE SET " + strings.Join(sets, ", "))
	}
	_, err := q.ExecContext(ctx, w.sql.String(), w.args...)
	return err
}

// update writes the columns with the given indexes. where names the key columns and their values.
func (t table[T]) update(ctx context.Context, s *Store, q querier, id string, vals []any, idx []int, where ...key) error {
	var w clause
	w.sql.WriteString("UPDATE " + t.name + " SET ")
	sep := ""
	for _, i := range idx {
		c := &t.cols[i]
		if c.expr != "" || c.foreign {
			continue
		}
		v, err := t.bind(s, c, id, vals[i])
		if err != nil {
			return err
		}
		w.sql.WriteString(sep + c.name + " = " + w.arg(v))
		sep = ", "
	}
	if sep == "" {
		return nil
	}
	for i, k := range where {
		word := " WHERE "
		if i > 0 {
			word = " AND "
		}
		w.sql.WriteString(word + k.name + " = " + w.arg(k.value))
	}
	_, err := q.ExecContext(ctx, w.sql.String(), w.args...)
	return err
}

type key struct {
	name  string
	value any
}

// clause builds SQL with numbered placeholders. SQLite counts them in order of appearance, so text and arguments must
// be added together.
type clause struct {
	sql  strings.Builder
	args []any
}

func (c *clause) arg(v any) string {
	c.args = append(c.args, v)
	return "$" + strconv.Itoa(len(c.args))
}

// names returns the names of columns.
func (t table[T]) names(idx []int) []string {
	list := make([]string, len(idx))
	for i, c := range idx {
		list[i] = t.cols[c].name
	}
	return list
}
