package store

import (
	"context"
	"strings"
	"time"

	"ferric"
)

var volumeConnectors = newPart(part[ferric.VolumeConnector]{
	what: "Volume connector", object: ferric.ObjectVolumeConnector, kind: "volume_connector",
	table: table[ferric.VolumeConnector]{name: "volume_connectors", cols: []column[ferric.VolumeConnector]{
		text("uuid", func(v *ferric.VolumeConnector) *string { return &v.UUID }),
		moment("created_at", func(v *ferric.VolumeConnector) *time.Time { return &v.CreatedAt }),
		moment("updated_at", func(v *ferric.VolumeConnector) *time.Time { return &v.UpdatedAt }),
		number("version", func(v *ferric.VolumeConnector) *int64 { return &v.Version }),
		text("node_uuid", func(v *ferric.VolumeConnector) *string { return &v.NodeUUID }),
		text("type", func(v *ferric.VolumeConnector) *string { return &v.Type }),
		text("connector_id", func(v *ferric.VolumeConnector) *string { return &v.ConnectorID }),
		document("extra", func(v *ferric.VolumeConnector) *map[string]any { return &v.Extra }),
	}},
	meta: func(v *ferric.VolumeConnector) meta {
		return meta{uuid: &v.UUID, node: &v.NodeUUID, created: &v.CreatedAt, updated: &v.UpdatedAt, version: &v.Version}
	},
	clash: func(err error, v *ferric.VolumeConnector) error {
		switch {
		case duplicate(err, "volume_connectors", "connector_id"):
			return ferric.Errorf(ferric.CodeConflict, "A volume connector with type %s and connector ID %s already exists.", v.Type, v.ConnectorID)
		case duplicate(err, "volume_connectors", "uuid"):
			return ferric.Errorf(ferric.CodeConflict, "A volume connector with UUID %s already exists.", v.UUID)
		}
		return err
	},
})

var volumeTargets = newPart(part[ferric.VolumeTarget]{
	what: "Volume target", object: ferric.ObjectVolumeTarget, kind: "volume_target",
	table: table[ferric.VolumeTarget]{name: "volume_targets", cols: []column[ferric.VolumeTarget]{
		text("uuid", func(v *ferric.VolumeTarget) *string { return &v.UUID }),
		moment("created_at", func(v *ferric.VolumeTarget) *time.Time { return &v.CreatedAt }),
		moment("updated_at", func(v *ferric.VolumeTarget) *time.Time { return &v.UpdatedAt }),
		number("version", func(v *ferric.VolumeTarget) *int64 { return &v.Version }),
		text("node_uuid", func(v *ferric.VolumeTarget) *string { return &v.NodeUUID }),
		text("volume_type", func(v *ferric.VolumeTarget) *string { return &v.Type }),
		text("volume_id", func(v *ferric.VolumeTarget) *string { return &v.VolumeID }),
		number("boot_index", func(v *ferric.VolumeTarget) *int { return &v.BootIndex }),
		document("extra", func(v *ferric.VolumeTarget) *map[string]any { return &v.Extra }),
		sealed("properties", func(v *ferric.VolumeTarget) *map[string]any { return &v.Properties }),
	}},
	meta: func(v *ferric.VolumeTarget) meta {
		return meta{uuid: &v.UUID, node: &v.NodeUUID, created: &v.CreatedAt, updated: &v.UpdatedAt, version: &v.Version}
	},
	clash: func(err error, v *ferric.VolumeTarget) error {
		switch {
		case duplicate(err, "volume_targets", "boot_index"):
			return ferric.Errorf(ferric.CodeConflict, "A volume target with boot index '%d' for the same node already exists.", v.BootIndex)
		case duplicate(err, "volume_targets", "uuid"):
			return ferric.Errorf(ferric.CodeConflict, "A volume target with UUID %s already exists.", v.UUID)
		}
		return err
	},
})

// CreateVolumeConnector adds a volume connector and fills in its times, its version and, if it is empty, its UUID. CodeConflict for a UUID, or a type and ID, that
// another one has; CodeNotFound for the node.
func (s *Store) CreateVolumeConnector(ctx context.Context, v *ferric.VolumeConnector) error {
	return volumeConnectors.create(ctx, s, v)
}

// VolumeConnector returns a volume connector (CodeNotFound).
func (s *Store) VolumeConnector(ctx context.Context, uuid string) (*ferric.VolumeConnector, error) {
	return volumeConnectors.get(ctx, s, "uuid", strings.ToLower(uuid))
}

// VolumeConnectors returns volume connectors, like Nodes.
func (s *Store) VolumeConnectors(ctx context.Context, f ferric.VolumeFilter) ([]*ferric.VolumeConnector, error) {
	return volumeConnectors.list(ctx, s, f.Page, func(w *filter) {
		w.equal("node_uuid", strings.ToLower(f.NodeUUID))
		w.ofProject(f.Project)
	})
}

// UpdateVolumeConnector changes a volume connector and returns it. expectVersion 0 is any. The codes are CreateVolumeConnector's, and CodeConflict for
// another version.
func (s *Store) UpdateVolumeConnector(ctx context.Context, uuid string, expectVersion int64, mutate func(*ferric.VolumeConnector) error) (*ferric.VolumeConnector, error) {
	return volumeConnectors.update(ctx, s, uuid, expectVersion, mutate)
}

// DeleteVolumeConnector removes a volume connector (CodeNotFound).
func (s *Store) DeleteVolumeConnector(ctx context.Context, uuid string) error {
	return volumeConnectors.remove(ctx, s, uuid, nil)
}

// CreateVolumeTarget adds a volume target and fills in its times, its version and, if it is empty, its UUID. CodeConflict for a UUID, or a boot index of the
// node, that another one has; CodeNotFound for the node.
func (s *Store) CreateVolumeTarget(ctx context.Context, v *ferric.VolumeTarget) error {
	return volumeTargets.create(ctx, s, v)
}

// VolumeTarget returns a volume target (CodeNotFound).
func (s *Store) VolumeTarget(ctx context.Context, uuid string) (*ferric.VolumeTarget, error) {
	return volumeTargets.get(ctx, s, "uuid", strings.ToLower(uuid))
}

// VolumeTargets returns volume targets, like Nodes.
func (s *Store) VolumeTargets(ctx context.Context, f ferric.VolumeFilter) ([]*ferric.VolumeTarget, error) {
	return volumeTargets.list(ctx, s, f.Page, func(w *filter) {
		w.equal("node_uuid", strings.ToLower(f.NodeUUID))
		w.ofProject(f.Project)
	})
}

// UpdateVolumeTarget changes a volume target and returns it. expectVersion 0 is any. The codes are CreateVolumeTarget's, and CodeConflict for another version.
func (s *Store) UpdateVolumeTarget(ctx context.Context, uuid string, expectVersion int64, mutate func(*ferric.VolumeTarget) error) (*ferric.VolumeTarget, error) {
	return volumeTargets.update(ctx, s, uuid, expectVersion, mutate)
}

// DeleteVolumeTarget removes a volume target (CodeNotFound).
func (s *Store) DeleteVolumeTarget(ctx context.Context, uuid string) error {
	return volumeTargets.remove(ctx, s, uuid, nil)
}
