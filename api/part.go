package api

import (
	"net/http"

	"ferric"
	"ferric/rpc"
)

// nodeOfPart loads the node that a port, a port group or a volume belongs to once it is changed. It may move to another node of the same owner.
func (a *API) nodeOfPart(rq *request, before, now string) (*ferric.Node, error) {
	old, err := a.deps.Store.Node(rq.Context(), before)
	if err != nil || now == before {
		return old, named(err, "Node", before)
	}
	return a.linkNode(rq, old.Owner, "node_uuid", now)
}

// destroyPart has a conductor delete what belongs to a node.
func (a *API) destroyPart(rq *request, method rpc.Method, uuid, node string, version int64) error {
	if err := matches(rq, version); err != nil {
		return err
	}
	n, err := a.deps.Store.Node(rq.Context(), node)
	if err != nil {
		return named(err, "Node", node)
	}
	return a.deps.Conductors.Call(rq.Context(), n, method, rpc.PartRef{UUID: uuid, Caller: rq.caller}, nil)
}

// malformed are the routes of a list that exists below another resource for reading only: its objects have addresses of their own.
func malformed(list, ident string, since int) []route {
	refuse := func(*request) (any, error) { return nil, invalid("Malformed request URI.") }
	routes := []route{{method: http.MethodPost, path: list, since: since, refusal: true, handle: refuse}}
	for _, method := range []string{http.MethodGet, http.MethodPatch, http.MethodDelete} {
		routes = append(routes, route{method: method, path: list + "/{" + ident + "}", since: since, refusal: true, handle: refuse})
	}
	return routes
}
