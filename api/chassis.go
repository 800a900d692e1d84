package api

import (
	"time"

	"ferric"
)

// chassisResource is the table of a chassis' fields.
func chassisResource() *resource[ferric.Chassis] {
	type C = ferric.Chassis
	fields := []field[C]{
		{name: "uuid", brief: true, sort: true, value: text(func(c *C) *string { return &c.UUID }), write: onCreate, check: aUUID},
		{name: "extra", value: object(func(c *C) *map[string]any { return &c.Extra }), write: writable, check: anObject},
		{name: "description", brief: true, sort: true, value: text(func(c *C) *string { return &c.Description }), write: writable, check: aString(255)},
		{name: "created_at", sort: true, value: moment(func(c *C) *time.Time { return &c.CreatedAt })},
		{name: "updated_at", sort: true, value: sinceMade[C]{moment(func(c *C) *time.Time { return &c.UpdatedAt }),
			func(c *C) int64 { return c.Version }}},
	}
	return newResource(resource[C]{name: "chassis", collection: "chassis", fields: fields, clone: (*C).Clone,
		uuid: func(c *C) string { return c.UUID }, version: func(c *C) int64 { return c.Version },
		children: []child{{name: "nodes", since: 1, asked: true, nested: true}}})
}

func (a *API) chassisByIdent(rq *request, ident string) (*ferric.Chassis, error) {
	if !isUUID(ident) {
		return nil, invalid("Expected UUID for chassis_uuid: %s", clip(ident))
	}
	c, err := a.deps.Store.Chassis(rq.Context(), canonicalUUID(ident))
	return c, named(err, "Chassis", ident)
}

// oneChassis loads the chassis that the path names.
func (a *API) oneChassis(rq *request) (*ferric.Chassis, error) {
	return a.chassisByIdent(rq, rq.vars["chassis"])
}

func (a *API) listChassis(rq *request) (any, error)        { return a.chassisList(rq, false) }
func (a *API) listChassisDetails(rq *request) (any, error) { return a.chassisList(rq, true) }

func (a *API) chassisList(rq *request, detail bool) (any, error) {
	s, err := a.chassis.choose(rq, detail)
	if err != nil {
		return nil, err
	}
	page, err := a.chassis.page(rq, a.config.MaxLimit)
	if err != nil {
		return nil, err
	}
	list, err := a.deps.Store.ChassisList(rq.Context(), page)
	if err != nil {
		return nil, err
	}
	return a.chassis.list(rq, rq.listPath(), list, page, s), nil
}

func (a *API) showChassis(rq *request) (any, error) {
	c, err := a.oneChassis(rq)
	if err != nil {
		return nil, err
	}
	return a.chassis.show(rq, c)
}

func (a *API) createChassis(rq *request) (any, error) {
	c := &ferric.Chassis{}
	if err := a.chassis.read(rq.doc, c, rq.version); err != nil {
		return nil, err
	}
	c.UUID = canonicalUUID(c.UUID)
	rq.changes(ferric.ActionCreate, c)
	if err := a.deps.Store.CreateChassis(rq.Context(), c); err != nil {
		return nil, err
	}
	return a.chassis.made(rq, c), nil
}

func (a *API) patchChassis(rq *request) (any, error) {
	ops, err := a.chassis.readPatch(rq)
	if err != nil {
		return nil, err
	}
	return a.chassis.change(rq, ops, func() (*ferric.Chassis, error) { return a.oneChassis(rq) },
		func(now, before *ferric.Chassis) (*ferric.Chassis, error) {
			return a.deps.Store.UpdateChassis(rq.Context(), before.UUID, before.Version, func(c *ferric.Chassis) error { *c = *now; return nil })
		})
}

func (a *API) deleteChassis(rq *request) (any, error) {
	c, err := a.oneChassis(rq)
	if err != nil {
		return nil, err
	}
	if err := matches(rq, c.Version); err != nil {
		return nil, err
	}
	rq.changes(ferric.ActionDelete, c)
	return nil, a.deps.Store.DeleteChassis(rq.Context(), c.UUID)
}

// notPermitted refuses ways that lead to lists of two things at once, or to one object below another.
func notPermitted(*request) (any, error) {
	return nil, ferric.Errorf(ferric.CodeForbidden, "Operation not permitted.")
}
