package api

import (
	"cmp"
	"slices"
	"strings"

	"ferric"
	"ferric/rpc"
)

func portListArgs(extra ...arg) []arg {
	return append(append(pageArgs(), extra...), arg{name: "node", parse: argIdent}, arg{name: "node_uuid", parse: argUUID},
		arg{name: "address", parse: argMAC}, arg{name: "portgroup", parse: argIdent, since: 24, quiet: true},
		arg{name: "shard", parse: argList, since: 82}, arg{name: "description_contains", parse: argString},
		arg{name: "conductor_groups", parse: argList, since: 99})
}

func (a *API) listPorts(rq *request) (any, error)       { return a.portList(rq, false) }
func (a *API) listPortDetails(rq *request) (any, error) { return a.portList(rq, true) }

func (a *API) portList(rq *request, detail bool) (any, error) {
	s, err := a.ports.choose(rq, detail)
	if err != nil {
		return nil, err
	}
	page, err := a.ports.page(rq, a.config.MaxLimit)
	if err != nil {
		return nil, err
	}
	filter, err := a.portFilter(rq)
	if err != nil {
		return nil, err
	}
	filter.Page, filter.Project = page, rq.only
	ports, err := a.deps.Store.Ports(rq.Context(), filter)
	if err != nil {
		return nil, err
	}
	return a.ports.list(rq, rq.listPath(), ports, page, s), nil
}

// portFilter turns the arguments, and what the path names, into a filter.
func (a *API) portFilter(rq *request) (f ferric.PortFilter, err error) {
	node, below := rq.vars["node"]
	if !below {
		node = cmp.Or(rq.args.str("node_uuid"), rq.args.str("node"))
	}
	group := cmp.Or(rq.vars["portgroup"], rq.args.str("portgroup"))
	f.Shards, f.ConductorGroups = rq.args.list("shard"), rq.args.list("conductor_groups")
	f.DescriptionLike = rq.args.str("description_contains")
	exclusive := 0
	for _, given := range []bool{node != "", group != "", len(f.Shards) > 0} {
		if given {
			exclusive++
		}
	}
	if exclusive > 1 {
		return f, ferric.Errorf(ferric.CodeForbidden, "Operation not permitted.")
	}
	if len(f.ConductorGroups) > 0 && (node != "" || group != "" || rq.args.has("address")) {
		return f, invalid("Filtering by conductor_groups cannot be combined with node_ident, portgroup_ident, or node address filters.")
	}
	if node != "" {
		if rq.version < 5 && !isUUID(node) {
			return f, notAcceptable()
		}
		n, err := a.nodeByIdent(rq, node)
		if err != nil {
			return f, err
		}
		f.NodeUUIDs = []string{n.UUID}
	}
	if group != "" {
		g, err := a.portgroupByIdent(rq, group)
		if err != nil {
			return f, err
		}
		f.PortgroupUUID = g.UUID
	}
	if mac := rq.args.str("address"); mac != "" {
		f.Addresses = []string{mac}
	}
	return f, nil
}

// port loads the port that the path names, by UUID, or by name from 1.88 on.
func (a *API) port(rq *request) (p *ferric.Port, err error) {
	ident := rq.vars["port"]
	missing := ferric.Errorf(ferric.CodeNotFound, "Port %s could not be found.", clip(ident))
	switch {
	case isUUID(ident):
		p, err = a.deps.Store.Port(rq.Context(), canonicalUUID(ident))
	case !isName(ident):
		return nil, invalid("Expected UUID or name for port_ident: %s", clip(ident))
	case rq.version < 88:
		return nil, missing
	default:
		var found []*ferric.Port
		if found, err = a.deps.Store.Ports(rq.Context(), ferric.PortFilter{Name: ident}); err == nil && len(found) == 0 {
			return nil, missing
		}
		if err == nil {
			p = found[0]
		}
	}
	if err == nil {
		err = a.seesNode(rq, p.NodeUUID)
	}
	return p, named(err, "Port", ident)
}

func (a *API) showPort(rq *request) (any, error) {
	p, err := a.port(rq)
	if err != nil {
		return nil, err
	}
	return a.ports.show(rq, p)
}

func (a *API) createPort(rq *request) (any, error) {
	if err := a.portNode(rq); err != nil {
		return nil, err
	}
	p := &ferric.Port{PXEEnabled: true}
	if err := a.ports.read(rq.doc, p, rq.version); err != nil {
		return nil, err
	}
	body, _ := rq.doc.(map[string]any)
	if err := linkVersion(body["local_link_connection"], rq.version); err != nil {
		return nil, err
	}
	p.NodeUUID, p.UUID, p.PortgroupUUID = canonicalUUID(p.NodeUUID), canonicalUUID(p.UUID), canonicalUUID(p.PortgroupUUID)
	if _, err := a.requireOnNode(rq, "baremetal:port:create", p.NodeUUID); err != nil {
		return nil, err
	}
	if body["local_link_connection"] != nil {
		if err := smartNIC(p); err != nil {
			return nil, err
		}
	}
	if err := a.standalone(rq, p, body["pxe_enabled"] != nil && p.PXEEnabled); err != nil {
		return nil, err
	}
	rq.changes(ferric.ActionCreate, p)
	if err := a.deps.Store.CreatePort(rq.Context(), p); err != nil {
		return nil, asBadRequest(err)
	}
	return a.ports.made(rq, p), nil
}

// standalone refuses a port that is to be booted from by itself in a port group that does not support that. Nobody has to say so: a port that says nothing
// of pxe_enabled is taken.
func (a *API) standalone(rq *request, p *ferric.Port, pxe bool) error {
	if p.PortgroupUUID == "" || !pxe {
		return nil
	}
	g, err := a.deps.Store.Portgroup(rq.Context(), p.PortgroupUUID)
	if err != nil {
		return asBadRequest(named(err, "Portgroup", p.PortgroupUUID))
	}
	if !g.StandalonePorts && g.NodeUUID == p.NodeUUID {
		return conflict("Port group %s doesn't support standalone ports. This port cannot be created as a member of that portgroup as the port's "+
			"'pxe_enabled' field was set to True.", g.UUID)
	}
	return nil
}

// portNode turns node_ident (a name or UUID, from 1.94) of a new port's body into node_uuid.
func (a *API) portNode(rq *request) error {
	body, ok := rq.doc.(map[string]any)
	if !ok {
		return nil
	}
	v, given := body["node_ident"]
	if !given {
		return nil
	}
	if _, both := body["node_uuid"]; both {
		return invalid("Schema error for port: give node_uuid or node_ident, not both")
	}
	ident, ok := v.(string)
	if !ok {
		return typeError("port", v, "string")
	}
	if rq.version < 94 {
		return notAcceptable()
	}
	n, err := a.requireOnNode(rq, "baremetal:port:create", ident)
	if err != nil {
		return err
	}
	delete(body, "node_ident")
	body["node_uuid"] = n.UUID
	return nil
}

func (a *API) patchPort(rq *request) (any, error) {
	ops, err := a.ports.readPatch(rq)
	if err != nil {
		return nil, err
	}
	for _, op := range ops {
		if strings.HasPrefix(op.Path, "/local_link_connection/network_type") && rq.version < 64 {
			return nil, notAcceptable()
		}
		if op.Path == "/local_link_connection" {
			if err := linkVersion(op.Value, rq.version); err != nil {
				return nil, err
			}
		}
	}
	return a.ports.change(rq, ops, func() (*ferric.Port, error) { return a.port(rq) },
		func(now, before *ferric.Port) (*ferric.Port, error) {
			n, err := a.nodeOfPart(rq, before.NodeUUID, now.NodeUUID)
			if err != nil {
				return nil, err
			}
			now.NodeUUID, now.PortgroupUUID = n.UUID, canonicalUUID(now.PortgroupUUID)
			if n.ProvisionState == ferric.Inspecting && rq.version >= 39 {
				return nil, conflict(`Cannot update port "%s" on "%s" while it is in state "%s".`, before.UUID, n.UUID, n.ProvisionState)
			}
			if rq.version >= 102 && now.PortgroupUUID != "" && slices.ContainsFunc(ops, func(op patchOp) bool { return op.root() == "physical_network" }) {
				return nil, invalid("physical_network cannot be changed while the port belongs to a portgroup.")
			}
			made := &ferric.Port{}
			return made, a.deps.Conductors.Call(rq.Context(), n, rpc.UpdatePort, rpc.PortArgs{Port: now, Caller: rq.caller}, made)
		})
}

func (a *API) deletePort(rq *request) (any, error) {
	if ident := rq.vars["port"]; !isUUID(ident) {
		return nil, invalid("Expected UUID for port_uuid: %s", clip(ident))
	}
	p, err := a.port(rq)
	if err != nil {
		return nil, err
	}
	rq.changes(ferric.ActionDelete, p)
	return nil, a.destroyPart(rq, rpc.DestroyPort, p.UUID, p.NodeUUID, p.Version)
}
