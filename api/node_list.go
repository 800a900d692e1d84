package api

import (
	"slices"
	"strings"

	"ferric"
	"ferric/state"
)

// findNodes reads one page. Which conductor serves a node is not in the store, so with that filter pages are read on until
// enough nodes match.
func (a *API) findNodes(rq *request, s selection[ferric.Node], filter ferric.NodeFilter, page ferric.Page) ([]*ferric.Node, error) {
	read := a.deps.Store.Nodes
	if a.isBrief(s) {
		read = a.deps.Store.NodesBrief
	}
	host := rq.args.str("conductor")
	if host == "" {
		return read(rq.Context(), filter, page)
	}
	want := page.Limit
	page.Limit = a.config.MaxLimit
	var found []*ferric.Node
	for {
		nodes, err := read(rq.Context(), filter, page)
		if err != nil {
			return nil, err
		}
		for _, n := range nodes {
			if a.deps.Owner != nil {
				n.Conductor = a.deps.Owner(rq.Context(), n)
			}
			if n.Conductor != host {
				continue
			}
			if found = append(found, n); len(found) == want {
				return found, nil
			}
		}
		if len(nodes) < page.Limit {
			return found, nil
		}
		page.Marker = nodes[len(nodes)-1].UUID
	}
}

// isBrief reports whether nothing of the selection is a document or a list.
func (a *API) isBrief(s selection[ferric.Node]) bool {
	return !slices.ContainsFunc(s.fields, func(f *field[ferric.Node]) bool { return !f.sort && !f.brief })
}

// nodeFilter is one argument that selects nodes.
type nodeFilter struct {
	arg
	apply func(f *ferric.NodeFilter, a args) error
}

// nodeFilters is the table of a node list's filters.
func nodeFilters() []nodeFilter {
	ptr := func(s string) *string { return &s }
	simple := func(name string, since int, at func(*ferric.NodeFilter) *string) nodeFilter {
		return nodeFilter{arg{name: name, parse: argString, since: since},
			func(f *ferric.NodeFilter, a args) error { *at(f) = a.str(name); return nil }}
	}
	boolean := func(name string, since int, at func(*ferric.NodeFilter) **bool) nodeFilter {
		return nodeFilter{arg{name: name, parse: argBool, since: since},
			func(f *ferric.NodeFilter, a args) error { *at(f) = a.boolean(name); return nil }}
	}
	return []nodeFilter{
		{arg{name: "chassis_uuid", parse: argUUID}, func(f *ferric.NodeFilter, a args) error {
			f.ChassisUUID = canonicalUUID(a.str("chassis_uuid"))
			return nil
		}},
		{arg{name: "instance_uuid", parse: argUUID}, func(f *ferric.NodeFilter, a args) error {
			f.InstanceID = canonicalUUID(a.str("instance_uuid"))
			return nil
		}},
		boolean("associated", 0, func(f *ferric.NodeFilter) **bool { return &f.Associated }),
		boolean("maintenance", 0, func(f *ferric.NodeFilter) **bool { return &f.Maintenance }),
		boolean("retired", 0, func(f *ferric.NodeFilter) **bool { return &f.Retired }),
		{arg{name: "provision_state", parse: argString, since: 9, quiet: true}, filterState},
		simple("driver", 16, func(f *ferric.NodeFilter) *string { return &f.Driver }),
		simple("resource_class", 21, func(f *ferric.NodeFilter) *string { return &f.ResourceClass }),
		{arg{name: "fault", parse: argString, since: 42}, filterFault},
		{arg{name: "conductor_group", parse: argString, since: 46}, func(f *ferric.NodeFilter, a args) error {
			f.ConductorGroup = ptr(strings.ToLower(a.str("conductor_group")))
			return nil
		}},
		{arg{name: "conductor", parse: argString, since: 49}, nil}, // see listNodes
		simple("owner", 50, func(f *ferric.NodeFilter) *string { return &f.Owner }),
		simple("lessee", 65, func(f *ferric.NodeFilter) *string { return &f.Lessee }),
		simple("project", 0, func(f *ferric.NodeFilter) *string { return &f.Project }),
		simple("description_contains", 0, func(f *ferric.NodeFilter) *string { return &f.DescriptionLike }),
		{arg{name: "shard", parse: argList, since: 82}, func(f *ferric.NodeFilter, a args) error {
			f.Shards = a.list("shard")
			return nil
		}},
		boolean("sharded", 82, func(f *ferric.NodeFilter) **bool { return &f.Sharded }),
		{arg{name: "include_children", parse: argBool, since: 83}, func(f *ferric.NodeFilter, a args) error {
			f.IncludeChildren = a.isTrue("include_children")
			return nil
		}},
		simple("parent_node", 83, func(f *ferric.NodeFilter) *string { return &f.ParentNode }),
		simple("instance_name", 104, func(f *ferric.NodeFilter) *string { return &f.InstanceName }),
	}
}

func filterState(f *ferric.NodeFilter, a args) error {
	s := ferric.ProvisionState(a.str("provision_state"))
	if !slices.Contains(state.All(), s) {
		return invalid(`Provision state "%s" is not valid`, clip(string(s)))
	}
	f.ProvisionStates = []ferric.ProvisionState{s}
	return nil
}

func filterFault(f *ferric.NodeFilter, a args) error {
	f.Fault = a.str("fault")
	valid := []string{string(ferric.FaultPower), string(ferric.FaultClean), string(ferric.FaultRescueAbort), string(ferric.FaultService)}
	if !slices.Contains(valid, f.Fault) {
		return invalid(`Unrecognized fault "%s" is specified, allowed faults are ('%s')`, clip(f.Fault), strings.Join(valid, "', '"))
	}
	return nil
}

func nodeListArgs(extra ...arg) []arg {
	list := append(pageArgs(), extra...)
	for _, f := range nodeFilters() {
		list = append(list, f.arg)
	}
	return list
}

func (a *API) listNodes(rq *request) (any, error)       { return a.nodeList(rq, false) }
func (a *API) listNodeDetails(rq *request) (any, error) { return a.nodeList(rq, true) }

func (a *API) nodeList(rq *request, detail bool) (any, error) {
	s, err := a.nodes.choose(rq, detail)
	if err != nil {
		return nil, err
	}
	page, err := a.nodes.page(rq, a.config.MaxLimit)
	if err != nil {
		return nil, err
	}
	for _, name := range []string{"driver", "resource_class", "owner", "lessee", "project", "instance_name", "shard"} {
		if rq.args.has(name) && rq.args.str(name) == "" && len(rq.args.list(name)) == 0 {
			return a.nodes.list(rq, rq.listPath(), nil, page, s), nil // it asks for an empty text, which is never kept
		}
	}
	var filter ferric.NodeFilter
	for _, f := range nodeFilters() {
		if rq.args.has(f.name) && f.apply != nil {
			if err := f.apply(&filter, rq.args); err != nil {
				return nil, err
			}
		}
	}
	if filter.Project, err = rq.restricted(filter.Project, "baremetal:node:list_all"); err != nil {
		return nil, err
	}
	if ident, ok := rq.vars["chassis"]; ok {
		c, err := a.chassisByIdent(rq, ident)
		if err != nil {
			return nil, err
		}
		filter.ChassisUUID = c.UUID
	} else if filter.ChassisUUID != "" {
		if _, err := a.chassisByIdent(rq, filter.ChassisUUID); err != nil {
			return nil, err
		}
	}
	if filter.ParentNode != "" { // a name does as well
		parent, err := a.nodeByIdent(rq, filter.ParentNode)
		if ferric.IsCode(err, ferric.CodeNotFound) {
			return a.nodes.list(rq, rq.listPath(), nil, page, s), nil
		}
		if err != nil {
			return nil, err
		}
		filter.ParentNode = parent.UUID
	}
	if view := a.view(rq, s); view != "" && !rq.args.has("conductor") && !rq.args.has("instance_uuid") {
		stamps, err := a.deps.Store.NodeStamps(rq.Context(), filter, page)
		if err != nil {
			return nil, err
		}
		looks, err := a.rendered(rq, s, view, stamps)
		if err != nil {
			return nil, err
		}
		return a.nodes.pageOf(rq, rq.listPath(), looks, stamps, page, s), nil
	}
	nodes, err := a.findNodes(rq, s, filter, page)
	if err != nil {
		return nil, err
	}
	a.withOwner(rq, s, nodes...)
	if rq.args.has("instance_uuid") {
		page.Limit = 0 // it is unique: there is no next page
	}
	return a.nodes.list(rq, rq.listPath(), nodes, page, s), nil
}
