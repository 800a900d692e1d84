package api

import (
	"slices"
	"strings"

	"ferric"
)

func portListArgs(extra ...arg) []arg {
	return append(append(pageArgs(), extra...), arg{name: "node", parse: argIdent}, arg{name: "node_uuid", parse: argUUID},
		arg{name: "address", parse: argMAC}, arg{name: "portgroup", parse: argIdent, since: 24, quiet: true},
		arg{name: "shard", parse: argList, since: 82}, arg{name: "description_contains", parse: argString},
		arg{name: "conductor_groups", parse: argList, since: 99})
}

func (a *API) listPorts(rq *request) (any, error)       { return a.portList(rq, "ports", false) }
func (a *API) listPortDetails(rq *request) (any, error) { return a.portList(rq, "ports/detail", true) }

func (a *API) portList(rq *request, path string, detail bool) (any, error) {
	s, err := a.ports.choose(rq, detail)
	if err != nil {
		return nil, err
	}
	page, err := a.ports.page(rq, a.config.MaxLimit)
	if err != nil {
		return nil, err
	}
	filter := ferric.PortFilter{Page: page, Project: rq.only}
	some, err := a.filterPorts(rq, &filter)
	if err != nil {
		return nil, err
	}
	var ports []*ferric.Port
	if some {
		var match func(*ferric.Port) bool
		if part := rq.args.str("description_contains"); part != "" {
			match = func(p *ferric.Port) bool { return strings.Contains(p.Description, part) }
		}
		if ports, err = a.findPorts(rq, filter, match); err != nil {
			return nil, err
		}
	}
	next := path
	if rq.vars["node"] != "" && !detail {
		next = "nodes/" + rq.vars["node"] + "/ports"
	}
	return a.ports.list(rq, next, ports, page, s), nil
}

// filterPorts turns the arguments into a filter; some is false when nothing can match.
func (a *API) filterPorts(rq *request, f *ferric.PortFilter) (some bool, err error) {
	node := rq.vars["node"]
	for _, name := range []string{"node_uuid", "node"} {
		if node == "" {
			node = rq.args.str(name)
		}
	}
	exclusive := 0
	for _, given := range []bool{node != "", rq.args.has("portgroup"), len(rq.args.list("shard")) > 0} {
		if given {
			exclusive++
		}
	}
	if exclusive > 1 {
		return false, ferric.Errorf(ferric.CodeForbidden, "Operation not permitted.")
	}
	if rq.args.has("conductor_groups") && (node != "" || rq.args.has("portgroup") || rq.args.has("address")) {
		return false, invalid("Filtering by conductor_groups cannot be combined with node_ident, portgroup_ident, or node address filters.")
	}
	if node != "" {
		if rq.version < 5 && !isUUID(node) {
			return false, notAcceptable()
		}
		n, err := a.nodeByIdent(rq, node)
		if err != nil {
			return false, err
		}
		f.NodeUUIDs = []string{n.UUID}
	}
	if mac := rq.args.str("address"); mac != "" {
		f.Addresses = []string{mac}
	}
	if group := rq.args.str("portgroup"); group != "" {
		if !isUUID(group) {
			return false, ferric.Errorf(ferric.CodeNotFound, "Portgroup %s could not be found.", group)
		}
		f.PortgroupUUID = canonicalUUID(group)
	}
	var of []ferric.NodeFilter
	if shards := rq.args.list("shard"); len(shards) > 0 {
		of = append(of, ferric.NodeFilter{Shards: shards, IncludeChildren: true})
	}
	for _, group := range rq.args.list("conductor_groups") {
		of = append(of, ferric.NodeFilter{ConductorGroup: &group, Shards: rq.args.list("shard"), IncludeChildren: true})
	}
	if rq.args.has("conductor_groups") && rq.args.has("shard") {
		of = of[1:] // the groups' filters hold the shards as well
	}
	for _, filter := range of {
		nodes, err := a.deps.Store.Nodes(rq.Context(), filter, ferric.Page{})
		if err != nil {
			return false, err
		}
		for _, n := range nodes {
			f.NodeUUIDs = append(f.NodeUUIDs, n.UUID)
		}
	}
	return len(of) == 0 || len(f.NodeUUIDs) > 0, nil
}

// findPorts lists ports. match is what the store's filter cannot say; pages are read on until enough ports match.
func (a *API) findPorts(rq *request, filter ferric.PortFilter, match func(*ferric.Port) bool) ([]*ferric.Port, error) {
	if match == nil {
		return a.deps.Store.Ports(rq.Context(), filter)
	}
	want := filter.Limit
	filter.Limit = a.config.MaxLimit
	var found []*ferric.Port
	for {
		ports, err := a.deps.Store.Ports(rq.Context(), filter)
		if err != nil {
			return nil, err
		}
		for _, p := range ports {
			if match(p) {
				if found = append(found, p); len(found) == want {
					return found, nil
				}
			}
		}
		if len(ports) < filter.Limit {
			return found, nil
		}
		filter.Marker = ports[len(ports)-1].UUID
	}
}

// port loads the port that the path names, by UUID, or by name from 1.88 on.
func (a *API) port(rq *request) (*ferric.Port, error) {
	ident := rq.vars["port"]
	var p *ferric.Port
	var err error
	switch {
	case isUUID(ident):
		p, err = a.deps.Store.Port(rq.Context(), canonicalUUID(ident))
	case !isName(ident):
		return nil, invalid("Expected UUID or name for port_ident: %s", clip(ident))
	case rq.version < 88:
		return nil, ferric.Errorf(ferric.CodeNotFound, "Port %s could not be found.", ident)
	default:
		var found []*ferric.Port
		found, err = a.findPorts(rq, ferric.PortFilter{Page: ferric.Page{Limit: 1}}, func(p *ferric.Port) bool { return p.Name == ident })
		if err == nil && len(found) == 1 {
			p = found[0]
		} else if err == nil {
			err = ferric.Errorf(ferric.CodeNotFound, "no port has the name")
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
	rq.header.Set("Etag", etag(p.Version))
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
	if body, _ := rq.doc.(map[string]any); body != nil {
		if err := linkVersion(body["local_link_connection"], rq.version); err != nil {
			return nil, err
		}
	}
	p.NodeUUID, p.UUID = canonicalUUID(p.NodeUUID), canonicalUUID(p.UUID)
	if _, err := a.requireOnNode(rq, "baremetal:port:create", p.NodeUUID); err != nil {
		return nil, err
	}
	if err := a.checkPortgroup(p); err != nil {
		return nil, err
	}
	if rq.doc.(map[string]any)["local_link_connection"] != nil {
		if err := smartNIC(p); err != nil {
			return nil, err
		}
	}
	if err := a.deps.Store.CreatePort(rq.Context(), p); err != nil {
		return nil, asBadRequest(err)
	}
	rq.location("ports", p.UUID)
	rq.header.Set("Etag", etag(p.Version))
	return a.ports.object(rq, p), nil
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

// checkPortgroup refuses a reference to a port group that does not exist.
func (a *API) checkPortgroup(p *ferric.Port) error {
	if p.PortgroupUUID == "" {
		return nil
	}
	return invalid("Portgroup %s could not be found.", p.PortgroupUUID)
}

func (a *API) patchPort(rq *request) (any, error) {
	ops, err := readPatch(rq.doc, rq.version)
	if err != nil {
		return nil, err
	}
	if err := a.ports.checkPatch(ops, rq.version); err != nil {
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
	for try := 1; ; try++ {
		p, err := a.port(rq)
		if err != nil {
			return nil, err
		}
		if err := matches(rq, p.Version); err != nil {
			return nil, err
		}
		now, changed, err := a.ports.apply(ops, p)
		if err != nil {
			return nil, err
		}
		if len(changed) == 0 {
			rq.header.Set("Etag", etag(p.Version))
			return a.ports.object(rq, p), nil
		}
		if err := a.portChange(rq, p, now, changed); err != nil {
			return nil, err
		}
		made, err := a.deps.Store.UpdatePort(rq.Context(), p.UUID, p.Version, func(stored *ferric.Port) error {
			version, created, updated := stored.Version, stored.CreatedAt, stored.UpdatedAt
			*stored = *now
			stored.Version, stored.CreatedAt, stored.UpdatedAt = version, created, updated
			return nil
		})
		if err == nil {
			rq.header.Set("Etag", etag(made.Version))
			return a.ports.object(rq, made), nil
		}
		if ferric.IsCode(err, ferric.CodeConflict) && try < updateTries {
			if stored, err := a.deps.Store.Port(rq.Context(), p.UUID); err == nil && stored.Version != p.Version {
				continue
			}
		}
		return nil, err
	}
}

// portChange refuses changes that the node's state forbids, and references to what is not there.
func (a *API) portChange(rq *request, before, now *ferric.Port, changed []string) error {
	n, err := a.deps.Store.Node(rq.Context(), before.NodeUUID)
	if err != nil {
		return named(err, "Node", before.NodeUUID)
	}
	if n.ProvisionState == ferric.Inspecting && rq.version >= 39 {
		return conflict(`Cannot update port "%s" on "%s" while it is in state "%s".`, before.UUID, n.UUID, n.ProvisionState)
	}
	connectivity := []string{"pxe_enabled", "portgroup_uuid", "physical_network", "local_link_connection", "node_uuid", "is_smartnic"}
	free := n.Maintenance || slices.Contains([]ferric.ProvisionState{ferric.Enroll, ferric.Inspecting, ferric.InspectWait,
		ferric.Manageable, ferric.Available}, n.ProvisionState)
	for _, name := range changed {
		if !free && slices.Contains(connectivity, name) {
			return conflict("Port %s can not have any connectivity attributes (%s) updated unless node %s is in a enroll, inspecting, "+
				"inspect wait, manageable, available state or in maintenance mode. The current state is %s.",
				before.UUID, strings.Join(connectivity, ", "), n.UUID, n.ProvisionState)
		}
		switch name {
		case "node_uuid":
			if _, err := a.linkNode(rq, n.Owner, "node_uuid", now.NodeUUID); err != nil {
				return err
			}
		case "portgroup_uuid":
			if err := a.checkPortgroup(now); err != nil {
				return err
			}
		case "address":
			if vif := portVIF(before); vif != "" && !n.Maintenance {
				return conflict("Cannot change the MAC address of port %s while it is bound to VIF %s.", before.UUID, vif)
			}
		}
	}
	return nil
}

// portVIF returns the instance's virtual interface that is attached to the port, "" if none is.
func portVIF(p *ferric.Port) string {
	for _, key := range []string{"tenant_vif_port_id", "vif_port_id"} {
		if s, _ := p.InternalInfo[key].(string); s != "" {
			return s
		}
	}
	return ""
}

func (a *API) deletePort(rq *request) (any, error) {
	if ident := rq.vars["port"]; !isUUID(ident) {
		return nil, invalid("Expected UUID for port_uuid: %s", clip(ident))
	}
	p, err := a.port(rq)
	if err != nil {
		return nil, err
	}
	if err := matches(rq, p.Version); err != nil {
		return nil, err
	}
	n, err := a.deps.Store.Node(rq.Context(), p.NodeUUID)
	if err != nil {
		return nil, err
	}
	if vif := portVIF(p); vif != "" && !n.Maintenance {
		return nil, conflict("Cannot delete the port %s as it is bound to VIF %s for use.", p.UUID, vif)
	}
	return nil, a.deps.Store.DeletePort(rq.Context(), p.UUID)
}
