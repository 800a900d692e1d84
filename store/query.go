package store

import (
	"context"
	"maps"
	"slices"
	"strings"

	"ferric"
)

// maxList bounds the values of a list in a filter; the databases take 32,766 and 65,535 arguments.
const maxList = 20000

// filter builds a WHERE clause.
type filter struct {
	clause
	err error
}

// and adds a condition; every ? in it stands for the next argument.
func (f *filter) and(condition string, args ...any) {
	if f.sql.Len() == 0 {
		f.sql.WriteString("WHERE ")
	} else {
		f.sql.WriteString(" AND ")
	}
	for _, a := range args {
		before, after, _ := strings.Cut(condition, "?")
		f.sql.WriteString(before + f.arg(a))
		condition = after
	}
	f.sql.WriteString(condition)
}

// equal adds column = value, unless the value is empty.
func (f *filter) equal(column, value string) {
	if value != "" {
		f.and(column+" = ? AND "+column+" <> ''", clean(value)) // the second half tells the planner that indexes without '' will do
	}
}

// ofProject limits a list to what belongs to nodes that a project owns or leases, unless the project is empty.
func (f *filter) ofProject(project string) {
	if project != "" {
		f.and("node_uuid IN (SELECT uuid FROM nodes WHERE "+ofProject+")", clean(project), clean(project))
	}
}

// ofProject is the condition on a node that a project owns or leases it. It says what the indexes say.
const ofProject = "(owner = ? AND owner <> '' OR lessee = ? AND lessee <> '')"

// in adds column IN (values), unless the list is empty.
func in[S ~string](f *filter, column string, values []S) {
	if len(values) == 0 {
		return
	}
	if len(values) > maxList {
		f.err = ferric.Errorf(ferric.CodeInvalid, "%d values for %s: at most %d are allowed", len(values), column, maxList)
		return
	}
	if len(values) == 1 {
		f.equal(column, string(values[0]))
		return
	}
	args := make([]any, len(values))
	for i, v := range values {
		args[i] = clean(string(v))
	}
	f.and(column+" IN (?"+strings.Repeat(", ?", len(values)-1)+")", args...)
}

// is adds a condition or its opposite, unless want is nil.
func (f *filter) is(want *bool, yes, no string, args ...any) {
	if want == nil {
		return
	}
	if *want {
		f.and(yes, args...)
	} else {
		f.and(no, args...)
	}
}

// ordering says how a table can be sorted: the columns by the API's names, and the columns that make an order unique.
type ordering struct {
	table  string
	marker string // column that markers name
	keys   map[string]string
	tie    []string
}

func (o ordering) allowed() string { return strings.Join(slices.Sorted(maps.Keys(o.keys)), ", ") }

// page adds marker, order and limit. notFound makes the error for a marker that does not exist.
func (f *filter) page(ctx context.Context, q querier, o ordering, p ferric.Page, notFound func(string) error) error {
	if f.err != nil {
		return f.err
	}
	if p.Limit < 0 {
		return ferric.Errorf(ferric.CodeInvalid, "limit is %d: it must be positive (0: no limit)", p.Limit)
	}
	cols := o.tie
	if p.SortKey != "" {
		col, ok := o.keys[p.SortKey]
		if !ok {
			return ferric.Errorf(ferric.CodeInvalid,
				"The sort_key value %q is an invalid field for sorting: use one of %s", p.SortKey, o.allowed())
		}
		if !slices.Contains(o.tie, col) || len(o.tie) == 1 {
			cols = append([]string{col}, o.tie...)
		} else if o.tie[0] != col {
			cols = []string{col} // unique by itself
		}
	}
	if p.Marker != "" {
		at := make([]any, len(cols))
		targets := make([]any, len(cols))
		for i := range at {
			targets[i] = &at[i]
		}
		err := q.QueryRowContext(ctx, "SELECT "+strings.Join(cols, ", ")+" FROM "+o.table+" WHERE "+o.marker+" = $1",
			clean(p.Marker)).Scan(targets...)
		if missing(err) {
			return notFound(p.Marker)
		}
		if err != nil {
			return err
		}
		compare := " > "
		if p.Desc {
			compare = " < "
		}
		f.and("("+strings.Join(cols, ", ")+")"+compare+"(?"+strings.Repeat(", ?", len(cols)-1)+")", at...)
	}
	dir := ""
	if p.Desc {
		dir = " DESC"
	}
	f.sql.WriteString(" ORDER BY " + strings.Join(cols, dir+", ") + dir)
	if p.Limit > 0 {
		f.sql.WriteString(" LIMIT " + f.arg(p.Limit))
	}
	return nil
}

// sortable returns the columns of a table that lists may be sorted by.
func sortable[T any](t table[T], but ...string) map[string]string {
	keys := map[string]string{}
	for _, c := range t.cols {
		if !c.doc && !slices.Contains(but, c.name) {
			keys[c.name] = c.name
		}
	}
	return keys
}
