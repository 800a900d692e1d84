package api

import (
	"strings"

	"ferric"
	"ferric/policy"
)

// How a request is allowed or refused. Every route names a rule, and dispatch asks it before the handler runs:
//
//   - A caller whom the rules allow whatever the target is goes straight on: a system's administrator costs nothing.
//   - Otherwise the object that the path names is loaded, by the first name in braces (see guarded). What the caller may not see is not
//     found (404); then the rule is asked about the object's owner and lessee (403).
//   - A list has two rules: route.policy for all objects, route.own for those of the caller's project. With the second, request.only is
//     the project, and the handler lists nothing else.
//   - A patch is asked about by the rules of the fields that it changes (route.patched, field.policy).
//   - Where the body names the target, the route is late, and the handler asks with require or requireOnNode.
//   - What else a request refers to is loaded by nodeByIdent, node, port and the like, which do not find what the caller may not see.

// The rules that say what exists for a caller.
const (
	seeNode       = "baremetal:node:get"
	seeAllocation = "baremetal:allocation:get"
	seeRunbook    = "baremetal:runbook:get"
)

// guarded is a kind of object that a route may be about: how its owner is found.
type guarded struct {
	see  string // the rule that says whether it exists for the caller; "": it does for everybody
	load func(*request) (policy.Target, error)
}

// guarded are the kinds, by the name in the first braces of a path. A name that is not here has no owner.
func (a *API) guarded() map[string]guarded {
	return map[string]guarded{
		"node": {seeNode, func(rq *request) (policy.Target, error) {
			n, err := a.stamp(rq)
			if err != nil {
				return policy.Target{}, err
			}
			return nodeTarget(n), nil
		}},
		"port": {seeNode, func(rq *request) (policy.Target, error) {
			p, err := a.port(rq)
			if err != nil {
				return policy.Target{}, err
			}
			return a.targetOfNode(rq, p.NodeUUID)
		}},
		"portgroup": {seeNode, func(rq *request) (policy.Target, error) {
			g, err := a.portgroup(rq)
			if err != nil {
				return policy.Target{}, err
			}
			return a.targetOfNode(rq, g.NodeUUID)
		}},
		"connector": {seeNode, func(rq *request) (policy.Target, error) {
			v, err := a.connector(rq)
			if err != nil {
				return policy.Target{}, err
			}
			return a.targetOfNode(rq, v.NodeUUID)
		}},
		"target": {seeNode, func(rq *request) (policy.Target, error) {
			v, err := a.target(rq)
			if err != nil {
				return policy.Target{}, err
			}
			return a.targetOfNode(rq, v.NodeUUID)
		}},
		"operation": {seeNode, func(rq *request) (policy.Target, error) {
			op, err := a.operation(rq)
			if err != nil {
				return policy.Target{}, err
			}
			return a.targetOfNode(rq, op.NodeUUID)
		}},
		"allocation": {seeAllocation, func(rq *request) (policy.Target, error) {
			o, err := a.allocation(rq)
			if err != nil {
				return policy.Target{}, err
			}
			return allocationTarget(o), nil
		}},
		"runbook": {"", func(rq *request) (policy.Target, error) {
			r, err := a.runbook(rq)
			if err != nil {
				return policy.Target{}, err
			}
			return runbookTarget(r), nil
		}},
	}
}

func allocationTarget(o *ferric.Allocation) policy.Target {
	return policy.Target{Kind: "allocation", Owner: o.Owner}
}

func runbookTarget(r *ferric.Runbook) policy.Target {
	return policy.Target{Kind: "runbook", Owner: r.Owner}
}

func nodeTarget(n *ferric.Node) policy.Target {
	return policy.Target{Kind: "node", Owner: n.Owner, Lessee: n.Lessee}
}

// targetOfNode is the target of what belongs to a node.
func (a *API) targetOfNode(rq *request, uuid string) (policy.Target, error) {
	n, err := a.deps.Store.Node(rq.Context(), uuid)
	if err != nil {
		return policy.Target{}, err
	}
	return nodeTarget(n), nil
}

// admit lets a request go on to its handler, or not.
func (a *API) admit(rq *request, r *route) error {
	if r.policy == "" || r.late {
		return nil
	}
	rules := []string{r.policy}
	if r.patched != nil {
		rules = r.patched(rq.doc)
	}
	var target policy.Target
	if o, ok := a.kinds[r.object()]; ok {
		sees := o.see == "" || rq.everywhere(o.see)
		if !sees || r.own == "" && !rq.everywhere(rules...) {
			var err error
			if target, err = o.load(rq); err != nil {
				return err
			}
		}
	}
	if r.own != "" {
		return rq.restrict(r)
	}
	for _, rule := range rules {
		err := rq.require(rule, target)
		if err != nil && !(a.mayElse(rq, r) && rq.may(r.orElse, target)) {
			return err
		}
	}
	return nil
}

// mayElse reports whether another rule can take the place of the route's.
func (a *API) mayElse(rq *request, r *route) bool {
	ownNodes := strings.HasSuffix(r.orElse, ":self_owned_node")
	return r.orElse != "" && rq.who.ProjectID != "" && (!ownNodes || a.config.ProjectAdminCanManageOwnNodes)
}

// object is the name in the first braces of the path.
func (r *route) object() string {
	_, rest, _ := strings.Cut(r.path, "{")
	name, _, _ := strings.Cut(rest, "}")
	return name
}

// restrict allows a list: all of it, or what belongs to the caller's project.
func (rq *request) restrict(r *route) error {
	err := rq.require(r.policy, policy.Target{})
	if err == nil || rq.who.ProjectID == "" {
		return err
	}
	if err := rq.require(r.own, policy.Target{}); err != nil {
		return err
	}
	rq.only = rq.who.ProjectID
	return nil
}

// restricted is the project that a list is limited to: the one asked for, or the caller's own where that is all that the caller may see.
// Another one is refused then.
func (rq *request) restricted(asked, rule string) (string, error) {
	if rq.only == "" {
		return asked, nil
	}
	if asked != "" && asked != rq.only {
		return "", forbidden(rule)
	}
	return rq.only, nil
}

// everywhere reports whether the caller is allowed whatever the target is.
func (rq *request) everywhere(rules ...string) bool {
	for _, rule := range rules {
		if rq.rules.Decide(rule, &rq.who) != policy.Always {
			return false
		}
	}
	return true
}

// always is everywhere for one rule that is asked about every object of a list: it is decided once.
func (rq *request) always(rule string) bool {
	known, ok := rq.decided[rule]
	if !ok {
		if rq.decided == nil {
			rq.decided = map[string]bool{}
		}
		known = rq.everywhere(rule)
		rq.decided[rule] = known
	}
	return known
}

// may asks a rule about a target.
func (rq *request) may(rule string, t policy.Target) bool {
	return rq.rules.Allow(rule, &rq.who, t)
}

// require refuses what the rule does not allow. CodeForbidden.
func (rq *request) require(rule string, t policy.Target) error {
	rq.asked = true
	if rq.may(rule, t) {
		return nil
	}
	return forbidden(rule)
}

// forbidden is the refusal of a rule.
func forbidden(resource string) error {
	return ferric.Errorf(ferric.CodeForbidden, "Access was denied to the following resource: %s", resource)
}

// sees reports whether a node exists for the caller. Requests of agents carry a token instead.
func (rq *request) sees(n *ferric.Node) bool {
	return rq.open || rq.may(seeNode, nodeTarget(n))
}

// seesNode is sees for the node that something belongs to. CodeNotFound.
func (a *API) seesNode(rq *request, uuid string) error {
	if rq.open || rq.everywhere(seeNode) {
		return nil
	}
	n, err := a.deps.Store.Node(rq.Context(), uuid)
	if err == nil && !rq.sees(n) {
		err = ferric.Errorf(ferric.CodeNotFound, "Node %s could not be found.", uuid)
	}
	return err
}

// requireOnNode asks a rule about the node that a body names, and returns the node. A node that is not there is refused as a stranger's is,
// unless the caller may do this on every node; then it is CodeInvalid.
func (a *API) requireOnNode(rq *request, rule, ident string) (*ferric.Node, error) {
	n, err := a.findNode(rq, ident)
	if err != nil && !ferric.IsCode(err, ferric.CodeNotFound) {
		return nil, err
	}
	var target policy.Target
	if err == nil {
		target = nodeTarget(n)
	}
	if err := rq.require(rule, target); err != nil {
		return nil, err
	}
	return n, asBadRequest(err)
}

// linkNode finds the node that an object is to belong to, or that is to be a node's parent. It must be visible, and have the owner that the
// object has so far. What is wrong is not said, so that nobody learns which nodes there are.
func (a *API) linkNode(rq *request, owner, field, ident string) (*ferric.Node, error) {
	n, err := a.nodeByIdent(rq, ident)
	if err != nil || n.Owner != owner {
		return nil, invalid("Unable to apply the requested %s '%s'. Requested value was invalid.", field, clip(ident))
	}
	return n, nil
}

// requireSteps asks the rules of single steps, which only a policy file has, about steps that somebody wants run. A nil node is for steps
// that are kept for later: rules that ask for an owner do not hold then.
func (rq *request) requireSteps(n *ferric.Node, items []any) error {
	var target policy.Target
	if n != nil {
		target = nodeTarget(n)
	}
	var refused []string
	for _, item := range items {
		step, _ := item.(map[string]any)
		kind, _ := step["interface"].(string)
		name, _ := step["step"].(string)
		rule := policy.StepPrefix + kind + "." + name
		if rq.rules.Known(rule) && !rq.may(rule, target) {
			refused = append(refused, "insufficient privileges to execute step "+clip(name)+" on interface "+clip(kind))
		}
	}
	if len(refused) > 0 {
		return ferric.Errorf(ferric.CodeForbidden, "%s", strings.Join(refused, "; "))
	}
	return nil
}
