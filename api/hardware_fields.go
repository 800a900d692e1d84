package api

import (
	"slices"
	"strings"

	"ferric"
)

// column is one row of the table of what is known of a part of a machine. Such objects are only read, in lists that do not page.
type column[T any] struct {
	name  string
	since int  // microversion; before it the column is not there. 0: always
	brief bool // shown where nothing is asked for
	value func(*T) any
}

// biosColumns is the table of a BIOS setting. created_at, updated_at and links are always shown.
func biosColumns() []column[ferric.BIOSSetting] {
	type B = ferric.BIOSSetting
	return []column[B]{
		{"name", 0, true, func(b *B) any { return b.Name }},
		{"value", 0, true, func(b *B) any { return b.Value }},
		{"attribute_type", 74, false, func(b *B) any { return b.AttributeType }},
		{"allowable_values", 74, false, func(b *B) any { return append([]string{}, b.AllowableValues...) }},
		{"lower_bound", 74, false, func(b *B) any { return b.LowerBound }},
		{"max_length", 74, false, func(b *B) any { return b.MaxLength }},
		{"min_length", 74, false, func(b *B) any { return b.MinLength }},
		{"read_only", 74, false, func(b *B) any { return b.ReadOnly }},
		{"reset_required", 74, false, func(b *B) any { return b.ResetRequired }},
		{"unique", 74, false, func(b *B) any { return b.Unique }},
		{"upper_bound", 74, false, func(b *B) any { return b.UpperBound }},
	}
}

// firmwareColumns is the table of a firmware component. created_at and updated_at are always shown.
func firmwareColumns() []column[ferric.FirmwareComponent] {
	type F = ferric.FirmwareComponent
	return []column[F]{
		{"component", 0, true, func(f *F) any { return f.Component }},
		{"initial_version", 0, true, func(f *F) any { return orNull(f.InitialVersion) }},
		{"current_version", 0, true, func(f *F) any { return orNull(f.CurrentVersion) }},
		{"last_version_flashed", 0, true, func(f *F) any { return orNull(f.LastVersionFlashed) }},
		{"vendor", 114, true, func(f *F) any { return orNull(f.Vendor) }},
		{"model", 114, true, func(f *F) any { return orNull(f.Model) }},
		{"serial_number", 114, true, func(f *F) any { return orNull(f.SerialNumber) }},
	}
}

// chooseColumns reads fields= and detail=. also names what may be asked for and is shown anyway.
func chooseColumns[T any](rq *request, table []column[T], also ...string) ([]column[T], error) {
	asked := map[string]bool{}
	for _, name := range rq.args.list("fields") {
		asked[name] = true
	}
	detail := rq.args.isTrue("detail")
	if rq.args.has("fields") && detail {
		return nil, invalid("Can not specify ?detail=True and fields in the same request.")
	}
	var chosen []column[T]
	var early []string
	since := 0
	for _, c := range table {
		switch {
		case asked[c.name] && rq.version < c.since:
			early, since = append(early, c.name), c.since
		case asked[c.name], rq.version >= c.since && (detail || !rq.args.has("fields") && c.brief):
			chosen = append(chosen, c)
		}
		delete(asked, c.name)
	}
	for _, name := range also {
		delete(asked, name)
	}
	if len(early) > 0 {
		slices.Sort(early)
		return nil, invalid("Fields %s are not allowed in this API version. They require at least API version 1.%d.", strings.Join(early, ", "), since)
	}
	if len(asked) > 0 {
		var unknown []string
		for name := range asked {
			unknown = append(unknown, clip(name))
		}
		slices.Sort(unknown)
		return nil, invalid(`Field(s) "%s" are not valid`, strings.Join(unknown, ", "))
	}
	return chosen, nil
}
