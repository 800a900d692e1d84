package main

import (
	"context"
	"fmt"
	"io"
	"net/url"
	"strings"
	"sync"
)

// talk is a conversation that both servers hear.
type talk struct {
	ctx     context.Context
	name    string
	ironic  *side
	ferric  *side
	report  *report
	texts   bool
	version int // microversion of requests that name none
	names   [2]map[string]string
	trace   io.Writer // told each request; nil: nobody
}

// scenario is a conversation written down as a function.
type scenario struct {
	name string
	play func(*talk)
}

// pair is the answers of both.
type pair struct{ ironic, ferric answer }

func (t *talk) sides() [2]*side { return [2]*side{t.ironic, t.ferric} }

// both does something on each side at the same time.
func (t *talk) both(do func(i int, s *side)) {
	var wg sync.WaitGroup
	for i, s := range t.sides() {
		wg.Go(func() { do(i, s) })
	}
	wg.Wait()
}

// keep remembers a value of the answers by a name; {name} in a path or body stands for it from then on.
func (t *talk) keep(name string, p pair, field string) {
	for i, a := range []answer{p.ironic, p.ferric} {
		if t.names[i] == nil {
			t.names[i] = map[string]string{}
		}
		t.names[i][name], _ = a.object()[field].(string)
	}
}

// fill replaces {name} by what the side gave.
func (t *talk) fill(i int, s string) string {
	for name, v := range t.names[i] {
		s = strings.ReplaceAll(s, "{"+name+"}", v)
	}
	return s
}

// send sends a request to both, compares the answers and reports the differences.
func (t *talk) send(r request) pair {
	var p pair
	t.both(func(i int, s *side) {
		own := r
		own.path = t.fill(i, r.path)
		if r.body != nil {
			own.body = []byte(t.fill(i, string(r.body)))
		}
		if a := s.insist(t.ctx, own); i == 0 {
			p.ironic = a
		} else {
			p.ferric = a
		}
	})
	t.report.requests++
	if t.trace != nil {
		fmt.Fprintf(t.trace, "%d %d %s\n", p.ironic.status, p.ferric.status, r)
	}
	known := map[string]string{}
	for i := range t.names {
		for name, v := range t.names[i] {
			known[v] = name
		}
	}
	a := alike{known: known}
	for _, s := range t.sides() {
		a.bases = append(a.bases, s.url, url.QueryEscape(s.url), strings.TrimPrefix(s.url, "http://"))
	}
	for _, d := range compare(p.ironic, p.ferric, a, t.texts) {
		t.report.add(t.name, r, d)
	}
	return p
}

// do is send for a method, a path and a body, which is JSON already if it is a string.
func (t *talk) do(method, path string, body any) pair {
	r := request{method: method, path: path, version: t.version}
	switch b := body.(type) {
	case nil:
	case string:
		r.body = []byte(b)
	default:
		r.body = mustJSON(b)
	}
	return t.send(r)
}

// at is the conversation in another microversion.
func (t *talk) at(version int) *talk {
	c := *t
	c.version = version
	return &c
}

func (t *talk) get(path string) pair               { return t.do("GET", path, nil) }
func (t *talk) put(path string, body any) pair     { return t.do("PUT", path, body) }
func (t *talk) post(path string, body any) pair    { return t.do("POST", path, body) }
func (t *talk) del(path string) pair               { return t.do("DELETE", path, nil) }
func (t *talk) patch(path string, ops ...any) pair { return t.do("PATCH", path, ops) }
func (t *talk) change(path, field string, v any) pair {
	return t.patch(path, op("add", field, v))
}

// op is an operation of a JSON Patch.
func op(verb, field string, v any) any {
	o := m{"op": verb, "path": "/" + field}
	if verb != "remove" {
		o["value"] = v
	}
	return o
}

type m = map[string]any

// rest waits until nothing goes on with a node on either side.
func (t *talk) rest(node string) {
	t.both(func(i int, s *side) { s.rest(t.ctx, t.fill(i, node)) })
}

// clear leaves both sides empty.
func (t *talk) clear() error {
	var errs [2]error
	t.both(func(i int, s *side) { errs[i] = s.clear(t.ctx) })
	if errs[0] != nil {
		return errs[0]
	}
	return errs[1]
}
