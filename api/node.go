package api

import (
	"context"
	"slices"

	"github.com/google/uuid"

	"ferric"
	"ferric/rpc"
)

// node loads the node that the path names. Names are known from 1.5 on. A name that ends in .json is found too where the
// suffix was taken for a file type.
func (a *API) node(rq *request) (*ferric.Node, error) {
	return a.loadNode(rq, a.deps.Store.NodeByIdent)
}

// stamp is node with no more than whose it is and which conductor serves it. It is loaded once for a request.
func (a *API) stamp(rq *request) (*ferric.Node, error) {
	if rq.stamped != nil {
		return rq.stamped, nil
	}
	n, err := a.loadNode(rq, a.deps.Store.NodeStamp)
	if err == nil {
		rq.stamped = n
	}
	return n, err
}

// nodeLoader loads a node by UUID or name, all of it or a part.
type nodeLoader func(ctx context.Context, ident string) (*ferric.Node, error)

func (a *API) loadNode(rq *request, load nodeLoader) (*ferric.Node, error) {
	n, err := a.visibleNode(rq, rq.vars["node"], load)
	if rq.jsonSuffix && ferric.IsCode(err, ferric.CodeNotFound) {
		return a.visibleNode(rq, rq.vars["node"]+".json", load)
	}
	return n, err
}

// nodeByIdent finds a node by UUID or name, unless the caller may not see it.
func (a *API) nodeByIdent(rq *request, ident string) (*ferric.Node, error) {
	return a.visibleNode(rq, ident, a.deps.Store.NodeByIdent)
}

func (a *API) visibleNode(rq *request, ident string, load nodeLoader) (*ferric.Node, error) {
	n, err := a.nodeBy(rq, ident, load)
	if err == nil && !rq.sees(n) {
		return nil, ferric.Errorf(ferric.CodeNotFound, "Node %s could not be found.", clip(ident))
	}
	return n, err
}

// findNode is nodeByIdent for those who ask rules themselves.
func (a *API) findNode(rq *request, ident string) (*ferric.Node, error) {
	return a.nodeBy(rq, ident, a.deps.Store.NodeByIdent)
}

func (a *API) nodeBy(rq *request, ident string, load nodeLoader) (*ferric.Node, error) {
	if isUUID(ident) {
		n, err := load(rq.Context(), canonicalUUID(ident))
		return n, named(err, "Node", ident)
	}
	if !isName(ident) {
		return nil, invalid("Expected UUID or name for node: %s", clip(ident))
	}
	if rq.version < 5 {
		return nil, ferric.Errorf(ferric.CodeNotFound, "Node %s could not be found.", ident)
	}
	if !isNameFor(ident, rq.version) {
		return nil, invalid("Expected a logical name or UUID but received %s.", ident)
	}
	n, err := load(rq.Context(), ident)
	return n, named(err, "Node", ident)
}

// canonicalUUID is a UUID in lower case and with its dashes.
func canonicalUUID(s string) string {
	id, err := uuid.Parse(s)
	if err != nil {
		return s
	}
	return id.String()
}

// withOwner fills in the conductor that serves the node now, if the answer shows it.
func (a *API) withOwner(rq *request, s selection[ferric.Node], nodes ...*ferric.Node) {
	shown := slices.ContainsFunc(s.fields, func(f *field[ferric.Node]) bool { return f.name == "conductor" })
	if a.deps.Owner == nil || !shown {
		return
	}
	for _, n := range nodes {
		n.Conductor = a.deps.Owner(rq.Context(), n)
	}
}

// nodeObject is the full representation of a node.
func (a *API) nodeObject(rq *request, n *ferric.Node) rawJSON {
	a.withOwner(rq, a.nodes.full(rq.version), n)
	rq.header.Set("Etag", etag(n.Version))
	return a.nodes.object(rq, n)
}

func (a *API) showNode(rq *request) (any, error) {
	s, err := a.nodes.shown(rq)
	if err != nil {
		return nil, err
	}
	view := a.view(rq, s)
	if view == "" {
		n, err := a.node(rq)
		if err != nil {
			return nil, err
		}
		a.withOwner(rq, s, n)
		rq.header.Set("Etag", etag(n.Version))
		return rawJSON(a.nodes.appendJSON(nil, rq, n, s)), nil
	}
	n, err := a.loadNode(rq, a.deps.Store.NodeStamp)
	if err != nil {
		return nil, err
	}
	looks, err := a.rendered(rq, s, view, []*ferric.Node{n})
	if err != nil {
		return nil, err
	}
	if looks[0].json == nil { // deleted between the two looks
		return nil, ferric.Errorf(ferric.CodeNotFound, "Node %s could not be found.", clip(rq.vars["node"]))
	}
	rq.header.Set("Etag", etag(looks[0].stamp.version))
	return rawJSON(looks[0].json), nil
}

// ref names the node and who asks.
func (a *API) ref(rq *request, n *ferric.Node) rpc.NodeRef {
	return rpc.NodeRef{UUID: n.UUID, Caller: rq.caller}
}

// missing answers a request on a collection that wants an object.
func missing(name string) func(*request) (any, error) {
	return func(*request) (any, error) { return nil, invalid("Missing mandatory parameter: %s", name) }
}
