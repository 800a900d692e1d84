package api

import (
	"context"
	"net/http"

	"ferric"
	"ferric/inspection/rules"
)

// RuleStore holds inspection rules.
type RuleStore interface {
	// CreateInspectionRule writes a new rule and fills in what was missing. CodeConflict names the duplicate.
	CreateInspectionRule(ctx context.Context, r *ferric.InspectionRule) error
	InspectionRule(ctx context.Context, uuid string) (*ferric.InspectionRule, error)
	InspectionRules(ctx context.Context, filter ferric.InspectionRuleFilter) ([]*ferric.InspectionRule, error)
	// UpdateInspectionRule changes a rule. CodeConflict as in ForceNode.
	UpdateInspectionRule(ctx context.Context, uuid string, expectVersion int64, mutate func(*ferric.InspectionRule) error) (*ferric.InspectionRule, error)
	DeleteInspectionRule(ctx context.Context, uuid string) error
	DeleteInspectionRules(ctx context.Context) error
}

// ruleRoutes are the paths of inspection rules.
func (a *API) ruleRoutes() []route {
	const all, one, since = "/v1/inspection_rules", "/v1/inspection_rules/{rule}", 96
	const rule = "baremetal:inspection_rule:"
	fields := arg{name: "fields", parse: argList}
	return []route{
		{method: http.MethodGet, path: all, since: since, policy: rule + "get", handle: a.listRules,
			args: append(pageArgs(), fields, arg{name: "detail", parse: argBool}, arg{name: "phase", parse: argString})},
		{method: http.MethodPost, path: all, since: since, policy: rule + "create", status: http.StatusCreated, body: docBody, handle: a.createRule},
		{method: http.MethodDelete, path: all, since: since, policy: rule + "delete", status: http.StatusNoContent, handle: a.deleteRules},
		{method: http.MethodGet, path: one, since: since, policy: rule + "get", args: []arg{fields}, handle: a.showRule},
		{method: http.MethodPatch, path: one, since: since, policy: rule + "update", body: docBody, handle: a.patchRule},
		{method: http.MethodDelete, path: one, since: since, policy: rule + "delete", status: http.StatusNoContent, handle: a.deleteRule},
	}
}

func (a *API) listRules(rq *request) (any, error) {
	s, err := a.inspectionRules.choose(rq, false)
	if err != nil {
		return nil, err
	}
	page, err := a.inspectionRules.page(rq, a.config.MaxLimit)
	if err != nil {
		return nil, err
	}
	list, err := a.deps.Store.InspectionRules(rq.Context(), ferric.InspectionRuleFilter{Phase: rq.args.str("phase"), Page: page})
	if err != nil {
		return nil, err
	}
	return a.inspectionRules.list(rq, "inspection_rules", list, page, s), nil
}

// rule loads the rule that the path names, by UUID.
func (a *API) rule(rq *request) (*ferric.InspectionRule, error) {
	ident := rq.vars["rule"]
	if !isUUID(ident) {
		return nil, invalid("Expected UUID for inspection_rule_uuid: %s", clip(ident))
	}
	r, err := a.deps.Store.InspectionRule(rq.Context(), canonicalUUID(ident))
	return r, named(err, "Rule", ident)
}

func (a *API) showRule(rq *request) (any, error) {
	r, err := a.rule(rq)
	if err != nil {
		return nil, err
	}
	rq.header.Set("Etag", etag(r.Version))
	return a.inspectionRules.show(rq, r)
}

func (a *API) createRule(rq *request) (any, error) {
	r := &ferric.InspectionRule{Phase: ferric.PhaseMain}
	if err := a.inspectionRules.read(rq.doc, r, rq.version); err != nil {
		return nil, err
	}
	if body, _ := rq.doc.(map[string]any); body != nil {
		for _, name := range []string{"phase", "priority"} { // read takes null for a field that is not there
			if v, given := body[name]; given && v == nil {
				if name == "phase" {
					r.Phase = "None"
					continue
				}
				return nil, typeError("inspection_rule", v, "integer")
			}
		}
	}
	if err := rules.Check(r, false); err != nil {
		return nil, err
	}
	r.UUID = canonicalUUID(r.UUID)
	rq.changes(ferric.ActionCreate, r)
	if err := a.deps.Store.CreateInspectionRule(rq.Context(), r); err != nil {
		return nil, err
	}
	rq.location("inspection_rules", r.UUID)
	rq.header.Set("Etag", etag(r.Version))
	return a.inspectionRules.object(rq, r), nil
}

func (a *API) patchRule(rq *request) (any, error) {
	ops, err := readPatch(rq.doc, rq.version)
	if err != nil {
		return nil, err
	}
	if err := a.inspectionRules.checkPatch(ops, rq.version); err != nil {
		return nil, err
	}
	for try := 1; ; try++ {
		r, err := a.rule(rq)
		if err != nil {
			return nil, err
		}
		if err := matches(rq, r.Version); err != nil {
			return nil, err
		}
		now, _, err := a.inspectionRules.apply(ops, r)
		if err != nil {
			return nil, err
		}
		if r.Sensitive && !now.Sensitive {
			return nil, invalid("Couldn't apply patch '%s'. Reason: Inspection rules cannot have the sensitive flag unset.", "/sensitive")
		}
		if err := rules.Check(now, false); err != nil {
			return nil, err
		}
		rq.changes(ferric.ActionUpdate, now)
		made, err := a.deps.Store.UpdateInspectionRule(rq.Context(), r.UUID, r.Version, func(stored *ferric.InspectionRule) error {
			*stored = *now
			return nil
		})
		if err == nil {
			rq.header.Set("Etag", etag(made.Version))
			return a.inspectionRules.object(rq, made), nil
		}
		if !ferric.IsCode(err, ferric.CodeConflict) || try >= updateTries {
			return nil, err
		}
	}
}

func (a *API) deleteRule(rq *request) (any, error) {
	r, err := a.rule(rq)
	if err != nil {
		return nil, err
	}
	if err := matches(rq, r.Version); err != nil {
		return nil, err
	}
	rq.changes(ferric.ActionDelete, r)
	return nil, named(a.deps.Store.DeleteInspectionRule(rq.Context(), r.UUID), "Rule", r.UUID)
}

func (a *API) deleteRules(rq *request) (any, error) {
	ctx := ferric.AskedFor(rq.Context(), ferric.ObjectInspectionRule, ferric.ActionDelete)
	return nil, a.deps.Store.DeleteInspectionRules(ctx)
}
