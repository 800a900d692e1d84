package store

import (
	"context"
	"time"

	"ferric"
)

var firmwareTable = table[ferric.FirmwareComponent]{
	name: "firmware_components",
	id:   func(f *ferric.FirmwareComponent) string { return f.NodeUUID + "/" + f.Component },
	cols: []column[ferric.FirmwareComponent]{
		text("node_uuid", func(f *ferric.FirmwareComponent) *string { return &f.NodeUUID }),
		text("component", func(f *ferric.FirmwareComponent) *string { return &f.Component }),
		moment("created_at", func(f *ferric.FirmwareComponent) *time.Time { return &f.CreatedAt }),
		moment("updated_at", func(f *ferric.FirmwareComponent) *time.Time { return &f.UpdatedAt }),
		text("initial_version", func(f *ferric.FirmwareComponent) *string { return &f.InitialVersion }),
		text("current_version", func(f *ferric.FirmwareComponent) *string { return &f.CurrentVersion }),
		text("last_version_flashed", func(f *ferric.FirmwareComponent) *string { return &f.LastVersionFlashed }),
		text("vendor", func(f *ferric.FirmwareComponent) *string { return &f.Vendor }),
		text("model", func(f *ferric.FirmwareComponent) *string { return &f.Model }),
		text("serial_number", func(f *ferric.FirmwareComponent) *string { return &f.SerialNumber }),
	},
}

// SetFirmware keeps the components that were read from a machine, in place of those of an earlier reading. The initial version is that
// of the first reading; a current version that is another one than before is the last that was flashed, too. Names must differ.
// CodeNotFound if there is no such node.
func (s *Store) SetFirmware(ctx context.Context, nodeUUID string, components []ferric.FirmwareComponent) error {
	return s.write(ctx, "keep firmware components", func(ctx context.Context, t *tx) error {
		if _, err := lockNode(ctx, t, nodeUUID); err != nil {
			return err
		}
		stored, err := firmwareTable.all(ctx, s, t, "WHERE node_uuid = $1", clean(nodeUUID))
		if err != nil {
			return err
		}
		before := map[string]*ferric.FirmwareComponent{}
		for _, f := range stored {
			before[f.Component] = f
		}
		var rows []*ferric.FirmwareComponent
		for _, c := range components {
			row := c
			row.NodeUUID, row.Component, row.CreatedAt, row.UpdatedAt = nodeUUID, clean(c.Component), t.now, time.Time{}
			row.InitialVersion, row.LastVersionFlashed = row.CurrentVersion, ""
			if old := before[row.Component]; old != nil {
				row.CreatedAt, row.UpdatedAt = old.CreatedAt, old.UpdatedAt
				row.InitialVersion, row.LastVersionFlashed = old.InitialVersion, old.LastVersionFlashed
				if row.CurrentVersion != old.CurrentVersion {
					row.LastVersionFlashed = row.CurrentVersion
				}
				if row != *old {
					row.UpdatedAt = t.now
				}
			}
			rows = append(rows, &row)
		}
		if sameRows(rows, stored, func(f *ferric.FirmwareComponent) string { return f.Component }) {
			return nil
		}
		if _, err := t.ExecContext(ctx, "DELETE FROM firmware_components WHERE node_uuid = $1", clean(nodeUUID)); err != nil {
			return err
		}
		return firmwareTable.insert(ctx, s, t, nil, rows...)
	})
}

// Firmware returns a node's components as they were read last, by name.
func (s *Store) Firmware(ctx context.Context, nodeUUID string) (list []ferric.FirmwareComponent, err error) {
	err = s.get(ctx, "read firmware components", func(ctx context.Context, q querier) error {
		rows, err := firmwareTable.all(ctx, s, q, "WHERE node_uuid = $1 ORDER BY component", clean(nodeUUID))
		list = nil
		for _, f := range rows {
			list = append(list, *f)
		}
		return err
	})
	return list, err
}
