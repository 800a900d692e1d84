package api

import (
	"time"

	"ferric"
)

// deployTemplateResource is the table of a deploy template's fields.
func deployTemplateResource() *resource[ferric.DeployTemplate] {
	type D = ferric.DeployTemplate
	steps := stepList[D]{at: func(d *D) *[]ferric.StepRequest { return &d.Steps }, place: "priority"}
	fields := []field[D]{
		{name: "uuid", brief: true, sort: true, value: text(func(d *D) *string { return &d.UUID }), write: onCreate, check: aUUID},
		{name: "created_at", sort: true, value: moment(func(d *D) *time.Time { return &d.CreatedAt })},
		{name: "extra", value: object(func(d *D) *map[string]any { return &d.Extra }), write: writable, check: anObject},
		{name: "name", brief: true, required: true, sort: true, value: text(func(d *D) *string { return &d.Name }), write: writable, check: aTrait},
		{name: "steps", required: true, value: steps, write: writable, check: steps.check},
		{name: "updated_at", sort: true, value: sinceMade[D]{moment(func(d *D) *time.Time { return &d.UpdatedAt }),
			func(d *D) int64 { return d.Version }}},
	}
	return newResource(resource[D]{name: "deploy_template", inText: "template", collection: "deploy_templates", fields: fields,
		uuid: func(d *D) string { return d.UUID }, clone: (*D).Clone})
}

func namedListArgs(extra ...arg) []arg {
	return append(extra, arg{name: "marker", parse: argIdent}, arg{name: "limit", parse: argInt}, arg{name: "sort_key", parse: argString},
		arg{name: "sort_dir", parse: argString})
}

func (a *API) deployTemplate(rq *request) (*ferric.DeployTemplate, error) {
	return identified(rq, "Deploy template", rq.vars["template"], a.deps.Store.DeployTemplate, a.deps.Store.DeployTemplateByName)
}

func (a *API) listDeployTemplates(rq *request) (any, error) {
	s, err := a.deployTemplates.choose(rq, false)
	if err != nil {
		return nil, err
	}
	page, err := a.deployTemplates.page(rq, a.config.MaxLimit)
	if err != nil {
		return nil, err
	}
	found, err := a.deps.Store.DeployTemplates(rq.Context(), ferric.DeployTemplateFilter{Page: page})
	if err != nil {
		return nil, err
	}
	return a.deployTemplates.list(rq, "deploy_templates", found, page, s), nil
}

func (a *API) showDeployTemplate(rq *request) (any, error) {
	d, err := a.deployTemplate(rq)
	if err != nil {
		return nil, err
	}
	rq.header.Set("Etag", etag(d.Version))
	return a.deployTemplates.show(rq, d)
}

func (a *API) createDeployTemplate(rq *request) (any, error) {
	if err := dropDescription(rq); err != nil {
		return nil, err
	}
	d := &ferric.DeployTemplate{}
	if err := a.deployTemplates.read(rq.doc, d, rq.version); err != nil {
		return nil, err
	}
	d.UUID = canonicalUUID(d.UUID)
	rq.changes(ferric.ActionCreate, d)
	if err := a.deps.Store.CreateDeployTemplate(rq.Context(), d); err != nil {
		return nil, err
	}
	rq.location("deploy_templates", d.UUID)
	rq.header.Set("Etag", etag(d.Version))
	return a.deployTemplates.object(rq, d), nil
}

// dropDescription checks a description and takes it out of the body: Ironic takes one, but has no place for it.
func dropDescription(rq *request) error {
	body, _ := rq.doc.(map[string]any)
	v, given := body["description"]
	if !given {
		return nil
	}
	delete(body, "description")
	_, err := aString(255)("template", "description", v)
	return err
}

func (a *API) patchDeployTemplate(rq *request) (any, error) {
	ops, err := readPatch(rq.doc, rq.version)
	if err != nil {
		return nil, err
	}
	return a.deployTemplates.patch(rq, ops, edit[ferric.DeployTemplate]{
		load:    func() (*ferric.DeployTemplate, error) { return a.deployTemplate(rq) },
		version: func(d *ferric.DeployTemplate) int64 { return d.Version },
		take: func(stored, now *ferric.DeployTemplate) {
			stored.Name, stored.Steps, stored.Extra = now.Name, now.Steps, now.Extra
		},
		update: a.deps.Store.UpdateDeployTemplate,
	})
}

func (a *API) deleteDeployTemplate(rq *request) (any, error) {
	d, err := a.deployTemplate(rq)
	if err != nil {
		return nil, err
	}
	if err := matches(rq, d.Version); err != nil {
		return nil, err
	}
	rq.changes(ferric.ActionDelete, d)
	return nil, a.deps.Store.DeleteDeployTemplate(rq.Context(), d.UUID)
}
