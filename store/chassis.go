package store

import (
	"context"
	"strings"
	"time"

	"ferric"
)

var chassis = newPart(part[ferric.Chassis]{
	what: "Chassis", object: ferric.ObjectChassis,
	table: table[ferric.Chassis]{name: "chassis", cols: []column[ferric.Chassis]{
		text("uuid", func(c *ferric.Chassis) *string { return &c.UUID }),
		moment("created_at", func(c *ferric.Chassis) *time.Time { return &c.CreatedAt }),
		moment("updated_at", func(c *ferric.Chassis) *time.Time { return &c.UpdatedAt }),
		number("version", func(c *ferric.Chassis) *int64 { return &c.Version }),
		text("description", func(c *ferric.Chassis) *string { return &c.Description }),
		document("extra", func(c *ferric.Chassis) *map[string]any { return &c.Extra }),
	}},
	meta: func(c *ferric.Chassis) meta {
		return meta{uuid: &c.UUID, created: &c.CreatedAt, updated: &c.UpdatedAt, version: &c.Version}
	},
	clash: func(err error, c *ferric.Chassis) error {
		if duplicate(err, "chassis", "uuid") {
			return ferric.Errorf(ferric.CodeConflict, "A chassis with UUID %s already exists.", c.UUID)
		}
		return err
	},
})

// inChassis refuses a chassis that does not exist (CodeInvalid) for a node, and keeps it from being deleted meanwhile. "" is no chassis.
func (t *tx) inChassis(ctx context.Context, uuid string) error {
	if uuid == "" {
		return nil
	}
	_, err := chassis.lock(ctx, t, uuid)
	if ferric.IsCode(err, ferric.CodeNotFound) {
		return ferric.Errorf(ferric.CodeInvalid, "%w", err)
	}
	return err
}

// CreateChassis adds a chassis and fills in its times, its version and, if it is empty, its UUID. CodeConflict for a UUID that another one has.
func (s *Store) CreateChassis(ctx context.Context, c *ferric.Chassis) error {
	return chassis.create(ctx, s, c)
}

// Chassis returns a chassis (CodeNotFound).
func (s *Store) Chassis(ctx context.Context, uuid string) (*ferric.Chassis, error) {
	return chassis.get(ctx, s, "uuid", strings.ToLower(uuid))
}

// ChassisList returns a page of the chassis, like Nodes.
func (s *Store) ChassisList(ctx context.Context, p ferric.Page) ([]*ferric.Chassis, error) {
	return chassis.list(ctx, s, p, func(*filter) {})
}

// UpdateChassis changes a chassis and returns it. expectVersion 0 is any. CodeNotFound; CodeConflict for another version.
func (s *Store) UpdateChassis(ctx context.Context, uuid string, expectVersion int64, mutate func(*ferric.Chassis) error) (*ferric.Chassis, error) {
	return chassis.update(ctx, s, uuid, expectVersion, mutate)
}

// DeleteChassis removes a chassis. CodeNotFound; CodeInvalid while nodes are in it.
func (s *Store) DeleteChassis(ctx context.Context, uuid string) error {
	return chassis.remove(ctx, s, uuid, func(ctx context.Context, t *tx, c *ferric.Chassis) error {
		has, err := t.used(ctx, "nodes", "chassis_uuid", c.UUID)
		if err == nil && has {
			err = ferric.Errorf(ferric.CodeInvalid, "Cannot complete the requested action because chassis %s contains nodes.", c.UUID)
		}
		return err
	})
}
