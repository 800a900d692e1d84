package store

import (
	"context"
	"time"

	"ferric"
)

// configDrive is a node's config drive in whatever form it was given: it may hold passwords and keys.
type configDrive struct {
	nodeUUID  string
	updatedAt time.Time
	data      []byte
}

var configDriveTable = table[configDrive]{
	name: "configdrives",
	id:   func(c *configDrive) string { return c.nodeUUID },
	cols: []column[configDrive]{
		text("node_uuid", func(c *configDrive) *string { return &c.nodeUUID }),
		moment("updated_at", func(c *configDrive) *time.Time { return &c.updatedAt }),
		{name: "data", kind: bytesKind, doc: true,
			get: func(c *configDrive) (any, error) { return string(c.data), nil },
			set: func(c *configDrive, v *cell) error { c.data = []byte(v.text); return nil }},
	},
}

// SetConfigDrive keeps a node's config drive, encrypted, in place of an earlier one. CodeNotFound if there is no such node.
func (s *Store) SetConfigDrive(ctx context.Context, nodeUUID string, data []byte) error {
	return s.write(ctx, "keep config drive", func(ctx context.Context, t *tx) error {
		err := configDriveTable.insert(ctx, s, t, []string{"node_uuid"}, &configDrive{nodeUUID: nodeUUID, updatedAt: t.now, data: data})
		if orphaned(err) {
			return nodeNotFound(nodeUUID)
		}
		return err
	})
}

// ConfigDrive returns a node's config drive (CodeNotFound).
func (s *Store) ConfigDrive(ctx context.Context, nodeUUID string) (data []byte, err error) {
	err = s.get(ctx, "read config drive", func(ctx context.Context, q querier) error {
		c, err := configDriveTable.one(ctx, s, q, "WHERE node_uuid = $1", clean(nodeUUID))
		if missing(err) {
			return ferric.Errorf(ferric.CodeNotFound, "Node %s has no config drive.", nodeUUID)
		}
		if err == nil {
			data = c.data
		}
		return err
	})
	return data, err
}

// DeleteConfigDrive forgets a node's config drive. None there is no error.
func (s *Store) DeleteConfigDrive(ctx context.Context, nodeUUID string) error {
	_, err := s.exec(ctx, "delete config drive", "DELETE FROM configdrives WHERE node_uuid = $1", clean(nodeUUID))
	return err
}
