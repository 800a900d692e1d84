package store

import (
	"context"
	"reflect"
	"time"

	"ferric"
)

// biosRow is a BIOS setting as it is stored: value is JSON, since a setting may have none; registry is the rest.
type biosRow struct{ ferric.BIOSSetting }

// biosRegistry is what the hardware says about a setting besides its value.
type biosRegistry struct {
	AttributeType   *string  `json:"attribute_type,omitempty"`
	AllowableValues []string `json:"allowable_values,omitempty"`
	LowerBound      *int64   `json:"lower_bound,omitempty"`
	UpperBound      *int64   `json:"upper_bound,omitempty"`
	MinLength       *int64   `json:"min_length,omitempty"`
	MaxLength       *int64   `json:"max_length,omitempty"`
	ReadOnly        *bool    `json:"read_only,omitempty"`
	ResetRequired   *bool    `json:"reset_required,omitempty"`
	Unique          *bool    `json:"unique,omitempty"`
}

func (b *biosRow) registry() biosRegistry {
	return biosRegistry{b.AttributeType, b.AllowableValues, b.LowerBound, b.UpperBound, b.MinLength, b.MaxLength, b.ReadOnly,
		b.ResetRequired, b.Unique}
}

var biosTable = table[biosRow]{
	name: "bios_settings",
	id:   func(b *biosRow) string { return b.NodeUUID + "/" + b.Name },
	cols: []column[biosRow]{
		text("node_uuid", func(b *biosRow) *string { return &b.NodeUUID }),
		text("name", func(b *biosRow) *string { return &b.Name }),
		moment("created_at", func(b *biosRow) *time.Time { return &b.CreatedAt }),
		moment("updated_at", func(b *biosRow) *time.Time { return &b.UpdatedAt }),
		document("value", func(b *biosRow) **string { return &b.Value }),
		{name: "registry", doc: true,
			get: func(b *biosRow) (any, error) { return encode("registry", b.registry()) },
			set: func(b *biosRow, c *cell) error {
				var r biosRegistry
				decode := document("registry", func(*biosRow) *biosRegistry { return &r })
				if err := decode.set(b, c); err != nil {
					return err
				}
				b.AttributeType, b.AllowableValues, b.LowerBound, b.UpperBound = r.AttributeType, r.AllowableValues, r.LowerBound, r.UpperBound
				b.MinLength, b.MaxLength, b.ReadOnly, b.ResetRequired, b.Unique = r.MinLength, r.MaxLength, r.ReadOnly, r.ResetRequired, r.Unique
				return nil
			}},
	},
}

// SetBIOSSettings keeps the settings that were read from a machine, in place of those of an earlier reading. One whose value or
// registry is the same keeps its times. Names must differ. CodeNotFound if there is no such node.
func (s *Store) SetBIOSSettings(ctx context.Context, nodeUUID string, settings []ferric.BIOSSetting) error {
	return s.write(ctx, "keep BIOS settings", func(ctx context.Context, t *tx) error {
		if _, err := lockNode(ctx, t, nodeUUID); err != nil {
			return err
		}
		stored, err := biosTable.all(ctx, s, t, "WHERE node_uuid = $1", clean(nodeUUID))
		if err != nil {
			return err
		}
		before := map[string]*biosRow{}
		for _, b := range stored {
			before[b.Name] = b
		}
		var rows []*biosRow
		for _, setting := range settings {
			row := &biosRow{setting}
			row.NodeUUID, row.Name, row.CreatedAt, row.UpdatedAt = nodeUUID, clean(row.Name), t.now, time.Time{}
			if old := before[row.Name]; old != nil {
				row.CreatedAt, row.UpdatedAt = old.CreatedAt, old.UpdatedAt
				if !reflect.DeepEqual(old.registry(), row.registry()) || !reflect.DeepEqual(old.Value, row.Value) {
					row.UpdatedAt = t.now
				}
			}
			rows = append(rows, row)
		}
		if sameRows(rows, stored, func(b *biosRow) string { return b.Name }) {
			return nil
		}
		if _, err := t.ExecContext(ctx, "DELETE FROM bios_settings WHERE node_uuid = $1", clean(nodeUUID)); err != nil {
			return err
		}
		return biosTable.insert(ctx, s, t, nil, rows...)
	})
}

// sameRows reports whether two lists have the same rows, in any order. name tells the rows of a list apart.
func sameRows[T any](a, b []*T, name func(*T) string) bool {
	if len(a) != len(b) {
		return false
	}
	byName := map[string]*T{}
	for _, row := range b {
		byName[name(row)] = row
	}
	for _, row := range a {
		if other := byName[name(row)]; other == nil || !reflect.DeepEqual(row, other) {
			return false
		}
	}
	return true
}

// BIOSSettings returns a node's settings as they were read last, by name.
func (s *Store) BIOSSettings(ctx context.Context, nodeUUID string) (list []ferric.BIOSSetting, err error) {
	err = s.get(ctx, "read BIOS settings", func(ctx context.Context, q querier) error {
		rows, err := biosTable.all(ctx, s, q, "WHERE node_uuid = $1 ORDER BY name", clean(nodeUUID))
		list = nil
		for _, b := range rows {
			list = append(list, b.BIOSSetting)
		}
		return err
	})
	return list, err
}

// BIOSSetting returns one setting. CodeNotFound, in Ironic's words.
func (s *Store) BIOSSetting(ctx context.Context, nodeUUID, name string) (found *ferric.BIOSSetting, err error) {
	err = s.get(ctx, "read BIOS setting", func(ctx context.Context, q querier) error {
		row, err := biosTable.one(ctx, s, q, "WHERE node_uuid = $1 AND name = $2", clean(nodeUUID), clean(name))
		if missing(err) {
			return ferric.Errorf(ferric.CodeNotFound, "Node %s doesn't have a BIOS setting '%s'", nodeUUID, name)
		}
		if err == nil {
			found = &row.BIOSSetting
		}
		return err
	})
	return found, err
}
