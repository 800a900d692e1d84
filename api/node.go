package api

import (
	"fmt"
	"slices"
	"strings"

	"github.com/google/uuid"

	"ferric"
	"ferric/rpc"
	"ferric/state"
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

func (a *API) nodeByIdent(rq *request, ident string) (*ferric.Node, error) {
	if isUUID(ident) {
		return a.foundNode(a.deps.Store.Node(rq.Context(), canonicalUUID(ident)))(ident)
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
	return a.foundNode(a.deps.Store.NodeByIdent(rq.Context(), ident))(ident)
}

// foundNode gives "not found" Ironic's text.
func (a *API) foundNode(n *ferric.Node, err error) func(ident string) (*ferric.Node, error) {
	return func(ident string) (*ferric.Node, error) {
		if ferric.IsCode(err, ferric.CodeNotFound) {
			return nil, ferric.Errorf(ferric.CodeNotFound, "Node %s could not be found.", ident)
		}
		return n, err
	}
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

func (a *API) listNodes(rq *request) (any, error)       { return a.nodeList(rq, "nodes", false) }
func (a *API) listNodeDetails(rq *request) (any, error) { return a.nodeList(rq, "nodes/detail", true) }

func (a *API) nodeList(rq *request, path string, detail bool) (any, error) {
	s, err := a.nodes.choose(rq, detail)
	if err != nil {
		return nil, err
	}
	page, err := a.nodes.page(rq, a.config.MaxLimit)
	if err != nil {
		return nil, err
	}
	var filter ferric.NodeFilter
	for _, f := range nodeFilters() {
		if rq.args.has(f.name) && f.apply != nil {
			if err := f.apply(&filter, rq.args); err != nil {
				return nil, err
			}
		}
	}
	if filter.ParentNode != "" { // a name does as well
		parent, err := a.nodeByIdent(rq, filter.ParentNode)
		if ferric.IsCode(err, ferric.CodeNotFound) {
			return a.nodes.list(rq, path, nil, page, s), nil
		}
		if err != nil {
			return nil, err
		}
		filter.ParentNode = parent.UUID
	}
	nodes, err := a.findNodes(rq, s, filter, page)
	if err != nil {
		return nil, err
	}
	a.withOwner(rq, s, nodes...)
	if rq.args.has("instance_uuid") {
		page.Limit = 0 // it is unique: there is no next page
	}
	return a.nodes.list(rq, path, nodes, page, s), nil
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

// reservedNames cannot be a node's name, because they mean something else in a path.
func reservedNames() []string {
	return []string{"maintenance", "management", "states", "vendor_passthru", "detail", "validate", "ports", "portgroups", "vifs",
		"volume", "traits", "bios", "allocation", "history", "inventory", "children", "firmware", "vmedia"}
}

// checkName refuses a name for a node; what says whose fault it is.
func checkName(name, what string, version int) error {
	if version < 5 {
		return notAcceptable()
	}
	if !isNameFor(name, version) || isUUID(name) {
		return invalid("%s '%s'", what, clip(name))
	}
	if slices.Contains(reservedNames(), name) {
		return invalid(`The word "%s" is reserved and can not be used as a node name. Reserved words are: %s.`, name,
			strings.Join(reservedNames(), ", "))
	}
	return nil
}

func (a *API) createNode(rq *request) (any, error) {
	n := &ferric.Node{ProvisionState: ferric.Enroll}
	if rq.version < 11 {
		n.ProvisionState = ferric.Available
	}
	if err := a.nodes.read(rq.doc, n, rq.version); err != nil {
		return nil, err
	}
	if given, _ := rq.doc.(map[string]any)["name"]; given != nil {
		if err := checkName(n.Name, "Cannot create node with invalid name", rq.version); err != nil {
			return nil, err
		}
	}
	if n.UUID == "" {
		n.UUID = uuid.NewString()
	}
	n.UUID = canonicalUUID(n.UUID)
	if n.ConductorGroup == "" {
		n.ConductorGroup = a.config.DefaultConductorGroup
	}
	if n.ResourceClass == "" {
		n.ResourceClass = a.config.DefaultResourceClass
	}
	if !n.Retired && n.RetiredReason != "" {
		return nil, invalid("The retired_reason field can only be set when retired is True")
	}
	if err := a.resolveParent(rq, n); err != nil {
		return nil, err
	}
	syncInstanceName(n)
	made := &ferric.Node{}
	err := a.deps.Conductors.Call(rq.Context(), n, rpc.CreateNode, rpc.NodeArgs{Node: n, Caller: rq.caller}, made)
	if err != nil {
		return nil, asBadRequest(a.noSuchDriver(rq, n, err))
	}
	rq.location("nodes", made.UUID)
	return a.nodeObject(rq, made), nil
}

// resolveParent replaces a parent's name by its UUID.
func (a *API) resolveParent(rq *request, n *ferric.Node) error {
	if n.ParentNode == "" {
		return nil
	}
	parent, err := a.nodeByIdent(rq, n.ParentNode)
	if err != nil || parent.UUID == n.UUID || parent.Owner != n.Owner {
		return invalid("Unable to apply the requested parent_node '%s'. Requested value was invalid.", clip(n.ParentNode))
	}
	n.ParentNode = parent.UUID
	return nil
}

// syncInstanceName takes the instance's name from where Nova puts it.
func syncInstanceName(n *ferric.Node) {
	if s, _ := n.InstanceInfo["display_name"].(string); n.InstanceName == "" && s != "" && len(s) <= 255 {
		n.InstanceName = s
	}
}

// updateTries is how often a change is made again after somebody else changed the node in between.
const updateTries = 5

func (a *API) patchNode(rq *request) (any, error) {
	if rq.args.has("reset_interfaces") && rq.version < 45 {
		return nil, notAcceptable()
	}
	ops, err := readPatch(rq.doc, rq.version)
	if err != nil {
		return nil, err
	}
	if err := a.checkNodePatch(rq, ops); err != nil {
		return nil, err
	}
	made, err := a.changeNode(rq, func(n *ferric.Node) (rpc.NodeArgs, error) { return a.applyNodePatch(rq, n, ops) })
	if err != nil {
		return nil, err
	}
	return a.nodeObject(rq, made), nil
}

// checkNodePatch refuses what is wrong whatever the node is like.
func (a *API) checkNodePatch(rq *request, ops patch) error {
	drivers := false
	for _, op := range ops {
		if op.root() == "traits" {
			return invalid("Cannot update node traits via node patch. Node traits should be updated via the node traits API.")
		}
		if op.root() == "driver" && op.Op != "remove" {
			drivers = true
		}
	}
	if err := a.nodes.checkPatch(ops, rq.version); err != nil {
		return err
	}
	if rq.args.isTrue("reset_interfaces") && !drivers {
		return invalid("The reset_interfaces parameter can only be used when changing the node's driver.")
	}
	for _, op := range ops {
		if op.Path == "/name" && op.Op != "remove" && op.Value != nil {
			name, ok := op.Value.(string)
			if !ok {
				return typeError("patch", op.Value, "string", "null")
			}
			if err := checkName(name, fmt.Sprintf("Node %s: Cannot change name to invalid name", rq.vars["node"]), rq.version); err != nil {
				return err
			}
		}
	}
	return nil
}

// applyNodePatch makes the new node from the stored one.
func (a *API) applyNodePatch(rq *request, n *ferric.Node, ops patch) (rpc.NodeArgs, error) {
	if err := updatable(n, rq.vars["node"], rq.version, ops); err != nil {
		return rpc.NodeArgs{}, err
	}
	now, changed, err := a.nodes.apply(ops, n)
	if err != nil {
		return rpc.NodeArgs{}, err
	}
	if slices.Contains(changed, "chassis_uuid") && now.ChassisUUID == "" && rq.version < 25 {
		return rpc.NodeArgs{}, notAcceptable()
	}
	if slices.Contains(changed, "parent_node") {
		if err := a.resolveParent(rq, now); err != nil {
			return rpc.NodeArgs{}, err
		}
	}
	if slices.Contains(changed, "instance_info") {
		syncInstanceName(now)
	}
	req := rpc.NodeArgs{Node: now, ResetInterfaces: rq.args.isTrue("reset_interfaces"), Caller: rq.caller}
	for _, op := range ops {
		if kind, ok := strings.CutSuffix(op.root(), "_interface"); ok && !slices.Contains(req.Named, kind) {
			req.Named = append(req.Named, kind)
		}
	}
	return req, nil
}

// changeNode loads the node, makes a request of it and has a conductor write it; again if the node has changed meanwhile.
func (a *API) changeNode(rq *request, change func(*ferric.Node) (rpc.NodeArgs, error)) (*ferric.Node, error) {
	for try := 1; ; try++ {
		n, err := a.node(rq)
		if err != nil {
			return nil, err
		}
		if err := matches(rq, n.Version); err != nil {
			return nil, err
		}
		req, err := change(n)
		if err != nil {
			return nil, err
		}
		made := &ferric.Node{}
		err = a.deps.Conductors.Call(rq.Context(), req.Node, rpc.UpdateNode, req, made)
		if err == nil {
			return made, nil
		}
		if ferric.IsCode(err, ferric.CodeConflict) && try < updateTries && a.changedSince(rq, n) {
			continue
		}
		return nil, a.noSuchDriver(rq, req.Node, err)
	}
}

// noSuchDriver makes "no conductor serves the node" the client's fault when conductors are there and none has its driver.
func (a *API) noSuchDriver(rq *request, n *ferric.Node, err error) error {
	if !ferric.IsCode(err, ferric.CodeUnavailable) {
		return err
	}
	conductors, listErr := a.deps.Store.Conductors(rq.Context(), a.config.ConductorAlive)
	if listErr != nil {
		return err
	}
	alive := false
	for _, c := range conductors {
		if c.Alive && c.Group == n.ConductorGroup && slices.Contains(c.HardwareTypes, n.Driver) {
			return err
		}
		alive = alive || c.Alive
	}
	if !alive {
		return err
	}
	return invalid(`No valid host was found. Reason: No conductor service registered which supports driver %s for conductor group "%s".`,
		clip(n.Driver), n.ConductorGroup)
}

// changedSince reports whether the stored node is another version than n: then a conflict was a race and not a duplicate.
func (a *API) changedSince(rq *request, n *ferric.Node) bool {
	stored, err := a.deps.Store.Node(rq.Context(), n.UUID)
	return err == nil && stored.Version != n.Version
}

func (a *API) deleteNode(rq *request) (any, error) {
	n, err := a.node(rq)
	if err != nil {
		return nil, err
	}
	if err := matches(rq, n.Version); err != nil {
		return nil, err
	}
	return nil, a.deps.Conductors.Call(rq.Context(), n, rpc.DestroyNode, a.ref(rq, n), nil)
}

// ref names the node and who asks.
func (a *API) ref(rq *request, n *ferric.Node) rpc.NodeRef {
	return rpc.NodeRef{UUID: n.UUID, Caller: rq.caller}
}

// missing answers a request on a collection that wants an object.
func missing(name string) func(*request) (any, error) {
	return func(*request) (any, error) { return nil, invalid("Missing mandatory parameter: %s", name) }
}
