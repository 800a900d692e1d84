package api

import (
	"slices"
	"strings"

	"github.com/google/uuid"

	"ferric"
	"ferric/policy"
	"ferric/rpc"
)

func allocationListArgs(fields arg) []arg {
	return append(pageArgs(), fields, arg{name: "node", parse: argIdent}, arg{name: "resource_class", parse: argString},
		arg{name: "state", parse: argString}, arg{name: "owner", parse: argString, since: 60, quiet: true})
}

// allocation loads the allocation that the path names. One that the caller may not see does not exist.
func (a *API) allocation(rq *request) (*ferric.Allocation, error) {
	ident := rq.vars["allocation"]
	o, err := identified(rq, "Allocation", ident, a.deps.Store.Allocation, a.deps.Store.AllocationByName)
	if err == nil && !rq.may(seeAllocation, allocationTarget(o)) {
		err = ferric.Errorf(ferric.CodeNotFound, "Allocation %s could not be found.", clip(ident))
	}
	return o, err
}

func (a *API) listAllocations(rq *request) (any, error) {
	s, err := a.allocations.choose(rq, false)
	if err != nil {
		return nil, err
	}
	page, err := a.allocations.page(rq, a.config.MaxLimit)
	if err != nil {
		return nil, err
	}
	filter := ferric.AllocationFilter{ResourceClass: rq.args.str("resource_class"), State: ferric.AllocationState(rq.args.str("state")), Page: page}
	if filter.Owner, err = rq.restricted(rq.args.str("owner"), "baremetal:allocation:list_all"); err != nil {
		return nil, err
	}
	if node := rq.args.str("node"); node != "" {
		n, err := a.nodeByIdent(rq, node)
		if err != nil {
			return nil, asBadRequest(err)
		}
		filter.NodeUUID = n.UUID
	}
	for _, name := range []string{"resource_class", "state", "owner"} {
		if rq.args.has(name) && rq.args.str(name) == "" {
			return a.allocations.list(rq, "allocations", nil, page, s), nil // no allocation has an empty one
		}
	}
	found, err := a.deps.Store.Allocations(rq.Context(), filter)
	if err != nil {
		return nil, err
	}
	return a.allocations.list(rq, "allocations", found, page, s), nil
}

func (a *API) showAllocation(rq *request) (any, error) {
	o, err := a.allocation(rq)
	if err != nil {
		return nil, err
	}
	rq.header.Set("Etag", etag(o.Version))
	return a.allocations.show(rq, o)
}

func (a *API) createAllocation(rq *request) (any, error) {
	node, err := a.backfillNode(rq)
	if err != nil {
		return nil, err
	}
	o := &ferric.Allocation{}
	if err := a.allocations.read(rq.doc, o, rq.version); err != nil {
		return nil, err
	}
	if o.Name != "" && !isName(o.Name) {
		return nil, invalid("Cannot create allocation with invalid name '%s'", clip(o.Name))
	}
	if err := ownAllocation(rq, o); err != nil {
		return nil, err
	}
	if node != nil {
		o.NodeUUID = node.UUID
		if o.ResourceClass == "" {
			o.ResourceClass = node.ResourceClass
		}
		if o.UUID == "" {
			o.UUID = node.InstanceID
		}
	} else if o.ResourceClass == "" {
		return nil, invalid("The resource_class field is mandatory when not backfilling")
	}
	if o.CandidateNodes, err = a.nodeUUIDs(rq, o.CandidateNodes); err != nil {
		return nil, err
	}
	if o.UUID == "" {
		o.UUID = uuid.NewString()
	}
	o.UUID = canonicalUUID(o.UUID)
	made := &ferric.Allocation{}
	rq.changes(ferric.ActionCreate, o)
	args := rpc.AllocationArgs{Allocation: o, Caller: rq.caller}
	if node != nil {
		err = a.deps.Conductors.Call(rq.Context(), node, rpc.CreateAllocation, args, made)
	} else {
		err = a.deps.Conductors.CallAny(rq.Context(), rpc.CreateAllocation, args, made)
	}
	if err != nil {
		return nil, err
	}
	rq.location("allocations", made.UUID)
	rq.header.Set("Etag", etag(made.Version))
	return a.allocations.object(rq, made), nil
}

// ownAllocation gives a new allocation to the caller's project, if the caller has one. Another owner takes a rule of its own.
func ownAllocation(rq *request, o *ferric.Allocation) error {
	project := rq.who.ProjectID
	switch {
	case rq.who.Scope() == policy.System:
	case o.Owner == "":
		o.Owner = project
	case o.Owner != project && !rq.may("baremetal:allocation:create_restricted", policy.Target{}):
		return ferric.Errorf(ferric.CodeForbidden, "Cannot create allocation with an owner Project ID value %s not matching the requester Project ID %s. "+
			"Policy baremetal:allocation:create_restricted is required for this capability.", clip(o.Owner), project)
	}
	return nil
}

// backfillNode takes the node out of a body that makes an allocation for one that is in use, nil if there is none.
func (a *API) backfillNode(rq *request) (*ferric.Node, error) {
	body, _ := rq.doc.(map[string]any)
	v, given := body["node"]
	if !given {
		return nil, nil
	}
	if rq.version < 58 {
		return nil, invalid("Cannot set node when creating an allocation in this API version")
	}
	ident, ok := v.(string)
	if !ok && v != nil {
		return nil, typeError("allocation", v, "string", "null")
	}
	delete(body, "node")
	if ident == "" {
		return nil, nil
	}
	n, err := a.nodeByIdent(rq, ident)
	return n, asBadRequest(err)
}

// nodeUUIDs replaces names of nodes by their UUIDs, in the same order. Nodes that do not exist are the body's fault.
func (a *API) nodeUUIDs(rq *request, idents []string) ([]string, error) {
	known := map[string]string{}
	var ids, missing []string
	for _, ident := range idents {
		if isUUID(ident) {
			ids = append(ids, canonicalUUID(ident))
		}
	}
	if len(ids) > 0 {
		nodes, err := a.deps.Store.NodesBrief(rq.Context(), ferric.NodeFilter{UUIDs: ids, IncludeChildren: true}, ferric.Page{})
		if err != nil {
			return nil, err
		}
		for _, n := range nodes {
			if offered(rq, n) {
				known[n.UUID] = n.UUID
			}
		}
	}
	out := make([]string, 0, len(idents))
	for _, ident := range idents {
		key := ident
		if isUUID(ident) {
			key = canonicalUUID(ident)
		} else if known[key] == "" && isName(ident) {
			n, err := a.deps.Store.NodeByIdent(rq.Context(), ident)
			switch {
			case err == nil && offered(rq, n):
				known[key] = n.UUID
			case err != nil && !ferric.IsCode(err, ferric.CodeNotFound):
				return nil, err
			}
		}
		if known[key] == "" {
			if !slices.Contains(missing, ident) {
				missing = append(missing, ident)
			}
			continue
		}
		out = append(out, known[key])
	}
	if len(missing) > 0 {
		return nil, invalid("Nodes cannot be found: %s", clip(strings.Join(missing, ", ")))
	}
	return out, nil
}

// offered reports whether the caller may name a node as a candidate: one of the caller's project, unless a rule allows more.
func offered(rq *request, n *ferric.Node) bool {
	return rq.may("baremetal:allocation:create_restricted", policy.Target{}) ||
		rq.who.ProjectID != "" && (n.Owner == rq.who.ProjectID || n.Lessee == rq.who.ProjectID)
}

func (a *API) patchAllocation(rq *request) (any, error) {
	ops, err := readPatch(rq.doc, rq.version)
	if err != nil {
		return nil, err
	}
	return a.allocations.patch(rq, ops, edit[ferric.Allocation]{
		load:    func() (*ferric.Allocation, error) { return a.allocation(rq) },
		version: func(o *ferric.Allocation) int64 { return o.Version },
		after: func(now *ferric.Allocation) error {
			if now.Name != "" && !isName(now.Name) {
				return invalid("Cannot update allocation with invalid name '%s'", clip(now.Name))
			}
			return nil
		},
		take:   func(stored, now *ferric.Allocation) { stored.Name, stored.Extra = now.Name, now.Extra },
		update: a.deps.Store.UpdateAllocation,
	})
}

func (a *API) deleteAllocation(rq *request) (any, error) {
	o, err := a.allocation(rq)
	if err != nil {
		return nil, err
	}
	return nil, a.endAllocation(rq, o)
}

// endAllocation goes to a conductor, because the node may be in use.
func (a *API) endAllocation(rq *request, o *ferric.Allocation) error {
	if err := matches(rq, o.Version); err != nil {
		return err
	}
	rq.changes(ferric.ActionDelete, o)
	return a.deps.Conductors.CallAny(rq.Context(), rpc.DestroyAllocation, rpc.AllocationRef{UUID: o.UUID, Caller: rq.caller}, nil)
}

// nodeAllocation loads the allocation of the node that the path names.
func (a *API) nodeAllocation(rq *request) (*ferric.Allocation, error) {
	n, err := a.node(rq)
	if err != nil {
		return nil, err
	}
	found, err := a.deps.Store.Allocations(rq.Context(), ferric.AllocationFilter{NodeUUID: n.UUID, Page: ferric.Page{Limit: 1}})
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return nil, ferric.Errorf(ferric.CodeNotFound, "Allocation for node %s was not found", clip(rq.vars["node"]))
	}
	return found[0], nil
}

func (a *API) showNodeAllocation(rq *request) (any, error) {
	o, err := a.nodeAllocation(rq)
	if ferric.IsCode(err, ferric.CodeNotFound) && rq.everywhere(seeNode) {
		if _, e := a.node(rq); e != nil {
			return nil, asBadRequest(e) // as Ironic says it
		}
	}
	if err != nil {
		return nil, err
	}
	if err := rq.require(seeAllocation, allocationTarget(o)); err != nil {
		return nil, err
	}
	return a.allocations.show(rq, o)
}

func (a *API) deleteNodeAllocation(rq *request) (any, error) {
	o, err := a.nodeAllocation(rq)
	if err != nil {
		return nil, err
	}
	if err := rq.require("baremetal:allocation:delete", allocationTarget(o)); err != nil {
		return nil, err
	}
	return nil, a.endAllocation(rq, o)
}
