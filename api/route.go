package api

import (
	"net/http"
	"slices"
	"strings"
)

// route is one row of the API.
type route struct {
	method string
	path   string // "/v1/nodes/{node}/states"; the braces take one segment
	since  int    // microversion; before it the path does not exist. 0: always
	early  int    // status of a request in an older version; 0 is 404
	policy string // Ironic's name of the rule that guards it, "" for what everybody may; see access.go
	own    string // of a list: the rule that suffices for what the caller's project has
	orElse string // another rule that suffices for callers with a project
	late   bool   // the handler asks the rule, because the target is in the body
	// patched returns the rules of the fields that a patch changes. nil: policy alone.
	patched func(doc any) []string
	status  int // of success; 0 is 200
	body    bodyKind
	args    []arg
	handle  func(*request) (any, error)
	// ramdisk routes are for agents: they need no credentials, and Ramdisk serves nothing else.
	ramdisk bool
	// public routes need no credentials.
	public bool
	// refusal routes do nothing but refuse, so they need no rule.
	refusal bool
}

// bodyKind says what a route's body holds.
type bodyKind int

const (
	noBody   bodyKind = iota // whatever is sent is ignored
	argsBody                 // an object whose members are arguments
	docBody                  // a JSON value, in request.doc; none is an empty object
)

// table finds routes by path.
type table struct{ root tableNode }

// tableNode is one segment of the paths of a table.
type tableNode struct {
	literal map[string]*tableNode
	any     *tableNode
	anyName string
	routes  []*route // of different methods
}

func newTable(routes []route) *table {
	t := &table{}
	for i := range routes {
		r := &routes[i]
		n := &t.root
		for seg := range segments(r.path) {
			if name, ok := strings.CutPrefix(seg, "{"); ok {
				if n.any == nil {
					n.any, n.anyName = &tableNode{}, strings.TrimSuffix(name, "}")
				}
				n = n.any
				continue
			}
			if n.literal == nil {
				n.literal = map[string]*tableNode{}
			}
			if n.literal[seg] == nil {
				n.literal[seg] = &tableNode{}
			}
			n = n.literal[seg]
		}
		n.routes = append(n.routes, r)
	}
	return t
}

func segments(path string) func(func(string) bool) {
	return func(yield func(string) bool) {
		for seg := range strings.SplitSeq(strings.Trim(path, "/"), "/") {
			if seg != "" && !yield(seg) {
				return
			}
		}
	}
}

// public reports whether a path needs no credentials: discovery, and what agents call.
func (t *table) public(path string) bool {
	n := t.at(path, nil)
	return n != nil && slices.ContainsFunc(n.routes, func(r *route) bool { return r.public || r.ramdisk })
}

// at follows a path and notes the values of its braces. nil: there is no such path.
func (t *table) at(path string, vars map[string]string) *tableNode {
	n := &t.root
	for seg := range segments(path) {
		next := n.literal[seg]
		if next == nil && n.any != nil {
			next = n.any
			if vars != nil {
				vars[n.anyName] = seg
			}
		}
		if next == nil {
			return nil
		}
		n = next
	}
	return n
}

// find returns the route for a request and the values of its braces. A path that the version does not have is a 404, one
// that has no such method a 405 with Allow.
func (t *table) find(method, path string, version int) (*route, map[string]string, error) {
	vars := map[string]string{}
	n := t.at(path, vars)
	if n == nil {
		return nil, nil, notHere()
	}
	var allow []string
	early := http.StatusNotFound
	for _, r := range n.routes {
		if version < r.since {
			if r.method == method && r.early != 0 {
				early = r.early
			}
			continue
		}
		if r.method == method {
			return r, vars, nil
		}
		allow = append(allow, r.method)
	}
	if len(allow) == 0 {
		return nil, nil, &routeError{status: early}
	}
	slices.Sort(allow)
	return nil, nil, &routeError{status: http.StatusMethodNotAllowed,
		header: http.Header{"Allow": {strings.Join(allow, ", ")}}}
}

// canonicalPath gives the paths that Ironic takes as well the form of the table: trailing slashes go, and what does not begin
// with a version is version 1 (bookmark links are like that).
func canonicalPath(path string) string {
	path = strings.Trim(path, "/")
	first, _, _ := strings.Cut(path, "/")
	switch first {
	case "", "v1", "ferric":
		return "/" + path
	}
	return "/v1/" + path
}
