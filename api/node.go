package api

import (
	"slices"

	"github.com/google/uuid"

	"ferric"
	"ferric/rpc"
)

// node loads the node that the path names. Names are known from 1.5 on. A name that ends in .json is found too where the
// suffix was taken for a file type.
func (a *API) node(rq *request) (*ferric.Node, error) {
	n, err := a.nodeByIdent(rq, rq.vars["node"])
	if rq.jsonSuffix && ferric.IsCode(err, ferric.CodeNotFound) {
		return a.nodeByIdent(rq, rq.vars["node"]+".json")
	}
	return n, err
}

// nodeByIdent finds a node by UUID or name, unless the caller may not see it.
func (a *API) nodeByIdent(rq *request, ident string) (*ferric.Node, error) {
	n, err := a.findNode(rq, ident)
	if err == nil && !rq.sees(n) {
		return nil, ferric.Errorf(ferric.CodeNotFound, "Node %s could not be found.", clip(ident))
	}
	return n, err
}

// findNode is nodeByIdent for those who ask rules themselves.
func (a *API) findNode(rq *request, ident string) (*ferric.Node, error) {
	if isUUID(ident) {
		n, err := a.deps.Store.Node(rq.Context(), canonicalUUID(ident))
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
	n, err := a.deps.Store.NodeByIdent(rq.Context(), ident)
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
	n, err := a.node(rq)
	if err != nil {
		return nil, err
	}
	a.withOwner(rq, a.nodes.full(rq.version), n)
	rq.header.Set("Etag", etag(n.Version))
	return a.nodes.show(rq, n)
}

// ref names the node and who asks.
func (a *API) ref(rq *request, n *ferric.Node) rpc.NodeRef {
	return rpc.NodeRef{UUID: n.UUID, Caller: rq.caller}
}

// missing answers a request on a collection that wants an object.
func missing(name string) func(*request) (any, error) {
	return func(*request) (any, error) { return nil, invalid("Missing mandatory parameter: %s", name) }
}
