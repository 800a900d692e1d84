package api

import (
	"fmt"
	"slices"
	"strings"

	"github.com/google/uuid"

	"ferric"
	"ferric/policy"
	"ferric/rpc"
)

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
	if err := a.own(rq, n); err != nil {
		return nil, err
	}
	if err := a.resolveParent(rq, n); err != nil {
		return nil, err
	}
	syncInstanceName(n)
	made := &ferric.Node{}
	rq.changes(ferric.ActionCreate, n)
	err := a.deps.Conductors.Call(rq.Context(), n, rpc.CreateNode, rpc.NodeArgs{Node: n, Caller: rq.caller}, made)
	if err != nil {
		return nil, asBadRequest(a.noSuchDriver(rq, n, err))
	}
	rq.location("nodes", made.UUID)
	return a.nodeObject(rq, made), nil
}

// own gives a new node to the caller's project, if the caller is the administrator of one.
func (a *API) own(rq *request, n *ferric.Node) error {
	if rq.who.Scope() == policy.System || !a.config.ProjectAdminCanManageOwnNodes || !rq.may("baremetal:node:create:self_owned_node", policy.Target{}) {
		return nil
	}
	if n.Owner != "" && n.Owner != rq.who.ProjectID {
		return invalid("Cannot create a node as a project scoped admin with an owner other than your own project.")
	}
	n.Owner = rq.who.ProjectID
	return nil
}

// resolveParent replaces a parent's name by its UUID.
func (a *API) resolveParent(rq *request, n *ferric.Node) error {
	if n.ParentNode == "" {
		return nil
	}
	parent, err := a.linkNode(rq, n.Owner, "parent_node", n.ParentNode)
	if err == nil && parent.UUID == n.UUID {
		err = invalid("Unable to apply the requested parent_node '%s'. Requested value was invalid.", clip(n.ParentNode))
	}
	if err != nil {
		return err
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
		if op.Path == "/network_data" && op.Op != "remove" {
			if err := wholeNetworkData(op.Value); err != nil {
				return err
			}
		}
		if op.Path == "/name" && op.Op != "remove" {
			name, ok := op.Value.(string)
			if !ok {
				return invalid("Node %s: Cannot change name to invalid name '%s'", rq.vars["node"], clip(plain(op.Value)))
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
	if err := a.ownerChange(rq, n, ops); err != nil {
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

// ownerChange refuses another owner for a node that somebody has an instance on, unless a rule allows it, or that a project has allocated.
func (a *API) ownerChange(rq *request, n *ferric.Node, ops patch) error {
	given := slices.ContainsFunc(ops, func(op patchOp) bool { return op.Path == "/owner" && op.Op != "remove" })
	if given && n.ProvisionState == ferric.Active && !rq.may("baremetal:node:update_owner_provisioned", nodeTarget(n)) {
		return conflict(`Cannot update owner of node "%s" while it is in state "%s".`, n.UUID, n.ProvisionState)
	}
	if !given || n.AllocationUUID == "" {
		return nil
	}
	o, err := a.deps.Store.Allocation(rq.Context(), n.AllocationUUID)
	switch {
	case ferric.IsCode(err, ferric.CodeNotFound): // it has ended meanwhile
	case err != nil:
		return err
	case o.Owner != "":
		return conflict(`Cannot update owner of node "%s" while it is allocated to an allocation with an  owner.`, n.UUID)
	}
	return nil
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
		rq.changes(ferric.ActionUpdate, req.Node)
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

// noSuchDriver makes "no conductor serves the node" the client's fault when conductors are there and none has its driver. One
// that has it and is down may come back.
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
		if c.Group == n.ConductorGroup && slices.Contains(c.HardwareTypes, n.Driver) {
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
	rq.changes(ferric.ActionDelete, n)
	return nil, a.deps.Conductors.Call(rq.Context(), n, rpc.DestroyNode, a.ref(rq, n), nil)
}
