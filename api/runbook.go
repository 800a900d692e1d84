package api

import (
	"slices"
	"strings"

	"ferric"
	"ferric/policy"
	"ferric/rpc"
)

func (a *API) runbook(rq *request) (*ferric.Runbook, error) {
	return a.runbookByIdent(rq, rq.vars["runbook"])
}

func (a *API) runbookByIdent(rq *request, ident string) (*ferric.Runbook, error) {
	return identified(rq, "Runbook", ident, a.deps.Store.Runbook, a.deps.Store.RunbookByName)
}

func (a *API) listRunbooks(rq *request) (any, error) {
	s, err := a.runbooks.choose(rq, false)
	if err != nil {
		return nil, err
	}
	page, err := a.runbooks.page(rq, a.config.MaxLimit)
	if err != nil {
		return nil, err
	}
	found, err := a.deps.Store.Runbooks(rq.Context(), ferric.RunbookFilter{Project: rq.only, Page: page})
	if err != nil {
		return nil, err
	}
	return a.runbooks.list(rq, "runbooks", found, page, s), nil
}

func (a *API) showRunbook(rq *request) (any, error) {
	r, err := a.runbook(rq)
	if err != nil {
		return nil, err
	}
	if err := rq.require(seeRunbook, runbookTarget(r)); err != nil && !r.Public {
		return nil, err
	}
	rq.header.Set("Etag", etag(r.Version))
	return a.runbooks.show(rq, r)
}

func (a *API) createRunbook(rq *request) (any, error) {
	r := &ferric.Runbook{}
	if err := a.runbooks.read(rq.doc, r, rq.version); err != nil {
		return nil, err
	}
	if rq.version < 112 {
		if _, err := checkTrait(r.Name); err != nil {
			return nil, err
		}
	}
	if err := rq.requireSteps(nil, rq.doc.(map[string]any)["steps"].([]any)); err != nil {
		return nil, err
	}
	if project := rq.who.ProjectID; rq.who.Scope() != policy.System {
		if r.Owner != "" && r.Owner != project {
			return nil, invalid("Cannot create a runbook as a project scoped admin with an owner other than your own project.")
		}
		if project != "" && r.Public {
			return nil, invalid("Cannot create a public runbook as a project scoped admin.")
		}
		r.Owner = project
	}
	r.UUID = canonicalUUID(r.UUID)
	rq.changes(ferric.ActionCreate, r)
	if err := a.deps.Store.CreateRunbook(rq.Context(), r); err != nil {
		return nil, err
	}
	rq.location("runbooks", r.UUID)
	rq.header.Set("Etag", etag(r.Version))
	return a.runbooks.object(rq, r), nil
}

// written reports whether a patch gives a root field a value, and the first of these values.
func (p patch) written(name string) (v any, ok bool) {
	for _, op := range p {
		if op.Path == "/"+name && op.Op != "remove" {
			return op.Value, true
		}
	}
	return nil, false
}

func (a *API) patchRunbook(rq *request) (any, error) {
	ops, err := readPatch(rq.doc, rq.version)
	if err != nil {
		return nil, err
	}
	_, owned := ops.written("owner")
	public, published := ops.written("public")
	steps := slices.ContainsFunc(ops, func(op patchOp) bool { return op.root() == "steps" })
	return a.runbooks.patch(rq, ops, edit[ferric.Runbook]{
		load:    func() (*ferric.Runbook, error) { return a.runbook(rq) },
		version: func(r *ferric.Runbook) int64 { return r.Version },
		before: func(r *ferric.Runbook) error {
			if owned && (r.Public && !published || public == true) {
				return invalid("Couldn't apply patch '%s'. Reason: There cannot be an owner for a public runbook", clip(repr(rq.doc)))
			}
			if published {
				r.Owner = "" // whoever publishes it, or takes it back, gives it up
			}
			return nil
		},
		after: func(now *ferric.Runbook) error {
			if !steps {
				return nil
			}
			return rq.requireSteps(nil, stepItems(now.Steps))
		},
		take: func(stored, now *ferric.Runbook) {
			traits, uuid, version, created, updated := stored.Traits, stored.UUID, stored.Version, stored.CreatedAt, stored.UpdatedAt
			*stored = *now
			stored.Traits, stored.UUID, stored.Version, stored.CreatedAt, stored.UpdatedAt = traits, uuid, version, created, updated
		},
		update: a.deps.Store.UpdateRunbook,
	})
}

func (a *API) deleteRunbook(rq *request) (any, error) {
	r, err := a.runbook(rq)
	if err != nil {
		return nil, err
	}
	if err := matches(rq, r.Version); err != nil {
		return nil, err
	}
	rq.changes(ferric.ActionDelete, r)
	return nil, a.deps.Store.DeleteRunbook(rq.Context(), r.UUID)
}

func (a *API) listRunbookTraits(rq *request) (any, error) {
	r, err := a.runbook(rq)
	if err != nil {
		return nil, err
	}
	return map[string]any{"traits": append([]string{}, r.Traits...)}, nil
}

// changeRunbookTraits writes a runbook's traits, sorted, each once.
func (a *API) changeRunbookTraits(rq *request, change func([]string) []string) error {
	r, err := a.runbook(rq)
	if err != nil {
		return err
	}
	_, err = a.deps.Store.UpdateRunbook(rq.Context(), r.UUID, 0, func(r *ferric.Runbook) error {
		r.Traits = slices.Compact(slices.Sorted(slices.Values(change(r.Traits))))
		return nil
	})
	return err
}

func (a *API) setRunbookTraits(rq *request) (any, error) {
	body, ok := rq.doc.(map[string]any)
	if !ok {
		return nil, typeError("body", rq.doc, "object")
	}
	for _, k := range sortedKeys(body) {
		if k != "traits" {
			return nil, invalid("Schema error for body: Additional properties are not allowed (%s was unexpected)", repr(clip(k)))
		}
	}
	list, given := body["traits"]
	if !given {
		return nil, invalid("A single runbook trait may be added via PUT /v1/runbooks/<runbook identifier>/traits/<trait> with no body, or all runbook " +
			"traits may be replaced via PUT /v1/runbooks/<runbook identifier>/traits with the list of traits specified in the request body.")
	}
	if list == nil {
		return nil, typeError("body", list, "array")
	}
	traits, err := traitList("body", "traits", list)
	if err != nil {
		return nil, err
	}
	return nil, a.changeRunbookTraits(rq, func([]string) []string { return traits.([]string) })
}

func (a *API) addRunbookTrait(rq *request) (any, error) {
	t, err := checkTrait(rq.vars["trait"])
	if err != nil {
		return nil, err
	}
	if body, _ := rq.doc.(map[string]any); !rq.noBody && len(body) > 0 {
		return nil, invalid("No body should be provided when adding a trait")
	}
	if err := a.changeRunbookTraits(rq, func(have []string) []string { return append(slices.Clone(have), t) }); err != nil {
		return nil, err
	}
	rq.location("runbooks", rq.vars["runbook"], "traits", t)
	return nil, nil
}

// removeRunbookTraits removes one trait or all. One that is not there is no error.
func (a *API) removeRunbookTraits(rq *request) (any, error) {
	t := rq.vars["trait"]
	return nil, a.changeRunbookTraits(rq, func(have []string) []string {
		if t == "" {
			return nil
		}
		return slices.DeleteFunc(slices.Clone(have), func(h string) bool { return h == t })
	})
}

// useRunbook puts the steps of the runbook that a verb names into the call: clean and service take one, in place of steps of their own. The node must
// have one of the runbook's traits; before 1.112 it is the runbook's name that must be among the node's traits.
func (a *API) useRunbook(rq *request, n *ferric.Node, req *rpc.ProvisionArgs) error {
	r, err := a.runbookByIdent(rq, rq.args.str("runbook"))
	if err != nil {
		return err
	}
	if err := rq.require("baremetal:runbook:use", runbookTarget(r)); err != nil {
		return err
	}
	has := func(t string) bool { return slices.Contains(n.Traits, t) }
	switch {
	case rq.version < 112 && !has(r.Name):
		return invalid("This runbook has not been approved for use on this node %s. Please ask an administrator to add it to your node traits.", n.UUID)
	case rq.version >= 112 && len(r.Traits) == 0:
		return invalid("Runbook %s has no traits configured. Please ask an administrator to add traits to the runbook.", r.UUID)
	case rq.version >= 112 && !slices.ContainsFunc(r.Traits, has):
		return invalid("This runbook has not been approved for use on this node %s. The node does not have any of the runbook's traits ['%s']. "+
			"Please ask an administrator to add a matching trait to your node.", n.UUID, strings.Join(r.Traits, "', '"))
	}
	if req.Target != "clean" && req.Target != "service" {
		return invalid(`"runbooks" is only valid when setting target provision state to any of ['clean', 'service']`)
	}
	if own := req.Target + "_steps"; len(rq.args.items(own)) > 0 {
		return invalid(`Please provide either "%s" or a runbook, but not both.`, own)
	}
	req.Steps, req.DisableRamdisk = runbookSteps(r), r.DisableRamdisk
	if r.Owner == "" || r.Public {
		return nil // an administrator approved of it
	}
	return rq.requireSteps(n, stepItems(r.Steps))
}

// stepItems are steps as requireSteps takes them.
func stepItems(steps []ferric.StepRequest) []any {
	var items []any
	for _, s := range steps {
		items = append(items, map[string]any{"interface": s.Interface, "step": s.Step})
	}
	return items
}
