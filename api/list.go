package api

import (
	"cmp"
	"fmt"
	"net/url"
	"strings"

	"ferric"
)

// pageArgs are the arguments that every list has.
func pageArgs() []arg {
	return []arg{{name: "marker", parse: argUUID}, {name: "limit", parse: argInt}, {name: "sort_key", parse: argString},
		{name: "sort_dir", parse: argString}}
}

// pageOf reads limit, marker and direction.
func pageOf(rq *request, max int) (ferric.Page, error) {
	p := ferric.Page{Limit: max, Marker: rq.args.str("marker")}
	if limit := rq.args.integer("limit"); limit != nil {
		if *limit <= 0 {
			return p, invalid("Limit must be positive")
		}
		p.Limit = min(max, *limit)
	}
	switch dir := rq.args.str("sort_dir"); {
	case dir == "asc" || !rq.args.has("sort_dir"):
	case dir == "desc":
		p.Desc = true
	default:
		return p, invalid("Invalid sort direction: %s. Acceptable values are 'asc' or 'desc'", clip(dir))
	}
	return p, nil
}

// nextURL is the address of the next page: this request's own, with all that it asked for, and the marker.
func nextURL(rq *request, path string, p ferric.Page, fields []string, marker string) string {
	key, dir := p.SortKey, "asc"
	if key == "" {
		key = "id"
	}
	if p.Desc {
		dir = "desc"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s/v1/%s?sort_key=%s&sort_dir=%s", rq.base, path, key, dir)
	if fields != nil && rq.version >= 8 {
		b.WriteString("&fields=" + strings.Join(fields, ","))
	}
	for _, name := range sortedQuery(rq.query) {
		switch name {
		case "sort_key", "sort_dir", "fields", "limit", "marker":
		default:
			b.WriteString("&" + name + "=" + url.QueryEscape(rq.query.Get(name)))
		}
	}
	fmt.Fprintf(&b, "&limit=%d&marker=%s", p.Limit, marker)
	return b.String()
}

func sortedQuery(q url.Values) []string {
	m := make(map[string]any, len(q))
	for k := range q {
		m[k] = nil
	}
	return sortedKeys(m)
}

// listPath is the path of the list that was asked for, for the address of the next page.
func (rq *request) listPath() string { return strings.TrimPrefix(canonicalPath(rq.URL.Path), "/v1/") }

// list writes a page of objects: {"nodes": […], "next": "…"}. path is the list's own, "nodes" or "nodes/detail".
func (r *resource[T]) list(rq *request, path string, objects []*T, p ferric.Page, s selection[T]) rawJSON {
	b := make([]byte, 0, 256+len(objects)*(64+64*len(s.fields)))
	b = r.opened(b)
	for i, o := range objects {
		if i > 0 {
			b = append(b, ',')
		}
		b = r.appendJSON(b, rq, o, s)
	}
	return r.closed(b, rq, path, objects, p, s)
}

// pageOf is list with objects that are rendered already. An empty one is left out.
func (r *resource[T]) pageOf(rq *request, path string, looks []rendering, objects []*T, p ferric.Page, s selection[T]) rawJSON {
	size := 256
	for _, l := range looks {
		size += len(l.json) + 1
	}
	b := r.opened(make([]byte, 0, size))
	begin := len(b)
	for _, l := range looks {
		if l.json == nil {
			continue
		}
		if len(b) > begin {
			b = append(b, ',')
		}
		b = append(b, l.json...)
	}
	return r.closed(b, rq, path, objects, p, s)
}

func (r *resource[T]) opened(b []byte) []byte {
	b = append(b, '{', '"')
	b = append(b, cmp.Or(r.key, r.collection)...)
	return append(b, `":[`...)
}

// closed ends a page, with the address of the next one if it is full.
func (r *resource[T]) closed(b []byte, rq *request, path string, objects []*T, p ferric.Page, s selection[T]) rawJSON {
	b = append(b, ']')
	if n := len(objects); n > 0 && n == p.Limit {
		b = append(b, `,"next":`...)
		b = appendString(b, nextURL(rq, path, p, s.names, r.uuid(objects[n-1])))
	}
	return append(b, '}')
}
