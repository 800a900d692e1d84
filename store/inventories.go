package store

import (
	"context"
	"encoding/json"
	"time"

	"ferric"
)

var inventoryTable = table[ferric.Inventory]{
	name: "inventories",
	id:   func(i *ferric.Inventory) string { return i.NodeUUID },
	cols: []column[ferric.Inventory]{
		text("node_uuid", func(i *ferric.Inventory) *string { return &i.NodeUUID }),
		moment("updated_at", func(i *ferric.Inventory) *time.Time { return &i.UpdatedAt }),
		raw("inventory", func(i *ferric.Inventory) *json.RawMessage { return &i.Inventory }),
		raw("plugin_data", func(i *ferric.Inventory) *json.RawMessage { return &i.PluginData }),
	},
}

// SetInventory keeps what an inspection found, in place of what an earlier one did, and fills in the time. CodeNotFound if
// there is no such node, CodeInvalid if something is no JSON or too large.
func (s *Store) SetInventory(ctx context.Context, inv *ferric.Inventory) error {
	made := *inv
	if err := tooLarge(map[string]json.RawMessage{"inventory": inv.Inventory, "plugin data": inv.PluginData}); err != nil {
		return err
	}
	err := s.write(ctx, "keep inventory", func(ctx context.Context, t *tx) error {
		made.UpdatedAt = t.now
		err := inventoryTable.insert(ctx, s, t, []string{"node_uuid"}, &made)
		if orphaned(err) {
			return nodeNotFound(inv.NodeUUID)
		}
		return err
	})
	if err == nil {
		*inv = made
	}
	return err
}

// Inventory returns what the last inspection of a node found (CodeNotFound).
func (s *Store) Inventory(ctx context.Context, nodeUUID string) (inv *ferric.Inventory, err error) {
	err = s.get(ctx, "read inventory", func(ctx context.Context, q querier) error {
		inv, err = inventoryTable.one(ctx, s, q, "WHERE node_uuid = $1", clean(nodeUUID))
		if missing(err) {
			return ferric.Errorf(ferric.CodeNotFound, "Node inventory record for node %s could not be found.", nodeUUID)
		}
		return err
	})
	return inv, err
}

// DeleteInventory forgets what inspections of a node found. Nothing there is no error.
func (s *Store) DeleteInventory(ctx context.Context, nodeUUID string) error {
	_, err := s.exec(ctx, "delete inventory", "DELETE FROM inventories WHERE node_uuid = $1", clean(nodeUUID))
	return err
}
