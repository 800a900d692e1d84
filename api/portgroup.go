package api

import (
	"ferric"
	"ferric/rpc"
)

func portgroupListArgs(extra ...arg) []arg {
	return append(append(pageArgs(), extra...), arg{name: "node", parse: argIdent}, arg{name: "address", parse: argMAC},
		arg{name: "shard", parse: argList, since: 106}, arg{name: "conductor_groups", parse: argList, since: 99})
}

func (a *API) listPortgroups(rq *request) (any, error)       { return a.portgroupList(rq, false) }
func (a *API) listPortgroupDetails(rq *request) (any, error) { return a.portgroupList(rq, true) }

func (a *API) portgroupList(rq *request, detail bool) (any, error) {
	s, err := a.portgroups.choose(rq, detail)
	if err != nil {
		return nil, err
	}
	page, err := a.portgroups.page(rq, a.config.MaxLimit)
	if err != nil {
		return nil, err
	}
	filter, err := a.portgroupFilter(rq)
	if err != nil {
		return nil, err
	}
	filter.Page, filter.Project = page, rq.only
	groups, err := a.deps.Store.Portgroups(rq.Context(), filter)
	if err != nil {
		return nil, err
	}
	return a.portgroups.list(rq, rq.listPath(), groups, page, s), nil
}

// portgroupFilter turns the arguments into a filter. Only one of them is taken at a time.
func (a *API) portgroupFilter(rq *request) (f ferric.PortgroupFilter, err error) {
	node, below := rq.vars["node"]
	if !below {
		node = rq.args.str("node")
	}
	f.Address, f.Shards, f.ConductorGroups = rq.args.str("address"), rq.args.list("shard"), rq.args.list("conductor_groups")
	count := 0
	for _, given := range []bool{node != "", f.Address != "", len(f.Shards) > 0, len(f.ConductorGroups) > 0} {
		if given {
			count++
		}
	}
	if count > 1 {
		return f, invalid("Filtering by node, address, or shard simultaneously is not supported.")
	}
	if node != "" {
		n, err := a.nodeByIdent(rq, node)
		if err != nil {
			return f, err
		}
		f.NodeUUIDs = []string{n.UUID}
	}
	return f, nil
}

// portgroup loads the port group that the path names, by UUID or name. A name that ends in .json is found too where the suffix was taken for a
// file type.
func (a *API) portgroup(rq *request) (*ferric.Portgroup, error) {
	g, err := a.portgroupByIdent(rq, rq.vars["portgroup"])
	if rq.jsonSuffix && ferric.IsCode(err, ferric.CodeNotFound) {
		if whole, e := a.portgroupByIdent(rq, rq.vars["portgroup"]+".json"); e == nil {
			return whole, nil
		}
	}
	return g, err
}

func (a *API) portgroupByIdent(rq *request, ident string) (g *ferric.Portgroup, err error) {
	switch {
	case isUUID(ident):
		g, err = a.deps.Store.Portgroup(rq.Context(), canonicalUUID(ident))
	case !isName(ident):
		return nil, invalid("Expected UUID or name for portgroup: %s", clip(ident))
	default:
		g, err = a.deps.Store.PortgroupByName(rq.Context(), ident)
	}
	if err == nil {
		err = a.seesNode(rq, g.NodeUUID)
	}
	return g, named(err, "Portgroup", ident)
}

func (a *API) showPortgroup(rq *request) (any, error) {
	g, err := a.portgroup(rq)
	if err != nil {
		return nil, err
	}
	return a.portgroups.show(rq, g)
}

func (a *API) createPortgroup(rq *request) (any, error) {
	g := &ferric.Portgroup{StandalonePorts: true}
	if err := a.portgroups.read(rq.doc, g, rq.version); err != nil {
		return nil, err
	}
	if g.Name != "" && !isName(g.Name) {
		return nil, invalid("Cannot create portgroup with invalid name '%s'", clip(g.Name))
	}
	if g.Mode == "" {
		g.Mode = a.config.DefaultPortgroupMode
	}
	g.NodeUUID, g.UUID = canonicalUUID(g.NodeUUID), canonicalUUID(g.UUID)
	if _, err := a.requireOnNode(rq, "baremetal:portgroup:create", g.NodeUUID); err != nil {
		return nil, err
	}
	rq.changes(ferric.ActionCreate, g)
	if err := a.deps.Store.CreatePortgroup(rq.Context(), g); err != nil {
		return nil, asBadRequest(err)
	}
	return a.portgroups.made(rq, g), nil
}

func (a *API) patchPortgroup(rq *request) (any, error) {
	ops, err := a.portgroups.readPatch(rq)
	if err != nil {
		return nil, err
	}
	for _, op := range ops {
		name, _ := op.Value.(string)
		if op.Path == "/name" && op.Op != "remove" && name != "" && !isName(name) {
			return nil, invalid("Portgroup %s: Cannot change name to invalid name '%s'", rq.vars["portgroup"], clip(name))
		}
		if op.Path == "/mode" && op.Op == "remove" {
			return nil, invalid("'mode' is a mandatory attribute and can not be removed")
		}
	}
	return a.portgroups.change(rq, ops, func() (*ferric.Portgroup, error) { return a.portgroup(rq) },
		func(now, before *ferric.Portgroup) (*ferric.Portgroup, error) {
			n, err := a.nodeOfPart(rq, before.NodeUUID, now.NodeUUID)
			if err != nil {
				return nil, err
			}
			if n.ProvisionState == ferric.Inspecting && rq.version >= 39 {
				return nil, conflict(`Cannot update portgroup "%s" on node "%s" while it is in state "%s".`, before.UUID, n.UUID, n.ProvisionState)
			}
			now.NodeUUID = n.UUID
			made := &ferric.Portgroup{}
			return made, a.deps.Conductors.Call(rq.Context(), n, rpc.UpdatePortgroup, rpc.PortgroupArgs{Portgroup: now, Caller: rq.caller}, made)
		})
}

func (a *API) deletePortgroup(rq *request) (any, error) {
	g, err := a.portgroup(rq)
	if err != nil {
		return nil, err
	}
	rq.changes(ferric.ActionDelete, g)
	return nil, a.destroyPart(rq, rpc.DestroyPortgroup, g.UUID, g.NodeUUID, g.Version)
}
