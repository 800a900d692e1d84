package store

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"ferric"
)

var inspectionTable = table[ferric.Inspection]{
	name: "inspections",
	id:   func(i *ferric.Inspection) string { return i.NodeUUID },
	cols: []column[ferric.Inspection]{
		text("node_uuid", func(i *ferric.Inspection) *string { return &i.NodeUUID }),
		moment("received_at", func(i *ferric.Inspection) *time.Time { return &i.ReceivedAt }),
		raw("inventory", func(i *ferric.Inspection) *json.RawMessage { return &i.Inventory }),
		raw("plugin_data", func(i *ferric.Inspection) *json.RawMessage { return &i.PluginData }),
	},
}

// MaxInspection bounds each document of an inspection and of an inventory, in bytes: what a machine sends is bounded by the API, but hooks and
// rules add to it.
const MaxInspection = 16 << 20

// tooLarge refuses documents that are larger than MaxInspection.
func tooLarge(docs map[string]json.RawMessage) error {
	for name, doc := range docs {
		if len(doc) > MaxInspection {
			return ferric.Errorf(ferric.CodeInvalid, "the %s has %d bytes; at most %d are kept", name, len(doc), MaxInspection)
		}
	}
	return nil
}

// SetInspection keeps what an inspection was sent, in place of what was there. Its time is filled in unless it has one. CodeNotFound if there is
// no such node, CodeInvalid if something is no JSON or too large.
func (s *Store) SetInspection(ctx context.Context, i *ferric.Inspection) error {
	made := *i
	err := s.write(ctx, "keep inspection data", func(ctx context.Context, t *tx) error { return t.setInspection(ctx, &made) })
	if err == nil {
		*i = made
	}
	return err
}

func (t *tx) setInspection(ctx context.Context, i *ferric.Inspection) error {
	if err := tooLarge(map[string]json.RawMessage{"inventory": i.Inventory, "plugin data": i.PluginData}); err != nil {
		return err
	}
	if i.ReceivedAt.IsZero() {
		i.ReceivedAt = t.now
	}
	err := inspectionTable.insert(ctx, t.s, t, []string{"node_uuid"}, i)
	if orphaned(err) {
		return nodeNotFound(i.NodeUUID)
	}
	return err
}

// Inspection returns what an inspection under way was sent (CodeNotFound).
func (s *Store) Inspection(ctx context.Context, nodeUUID string) (i *ferric.Inspection, err error) {
	err = s.get(ctx, "read inspection data", func(ctx context.Context, q querier) error {
		i, err = inspectionTable.one(ctx, s, q, "WHERE node_uuid = $1", clean(nodeUUID))
		if missing(err) {
			return ferric.Errorf(ferric.CodeNotFound, "no inspection data of node %s wait to be processed", nodeUUID)
		}
		return err
	})
	return i, err
}

// DeleteInspection forgets what an inspection was sent. Nothing there is no error.
func (s *Store) DeleteInspection(ctx context.Context, nodeUUID string) error {
	_, err := s.exec(ctx, "delete inspection data", "DELETE FROM inspections WHERE node_uuid = $1", clean(nodeUUID))
	return err
}

// Discover makes a node of a machine that nobody knows, with the inspection data that it sent. addresses are what the machine is known by from
// now on. If one of them belongs to a node already, by a port or since the machine was discovered before, nothing is made, and that node's UUID
// is returned with made false. CodeConflict as CreateNode, CodeInvalid without addresses.
func (s *Store) Discover(ctx context.Context, n *ferric.Node, addresses []string, data *ferric.Inspection) (uuid string, made bool, err error) {
	if len(addresses) == 0 {
		return "", false, ferric.Errorf(ferric.CodeInvalid, "a machine cannot be enrolled without an address to know it by")
	}
	addresses = lowered(addresses)
	var row *nodeRow
	err = s.write(ctx, "enroll discovered node", func(ctx context.Context, t *tx) error {
		if uuid, err = discovered(ctx, t, addresses); uuid != "" || err != nil {
			return err
		}
		if row, err = t.createNode(ctx, n); err != nil {
			return err
		}
		for _, a := range addresses {
			count, err := affected(t.ExecContext(ctx, "INSERT INTO discoveries (address, node_uuid) VALUES ($1, $2) ON CONFLICT (address) DO NOTHING", clean(a), row.UUID))
			if err != nil {
				return err
			}
			if count == 0 {
				return mutateError{errLostRace} // another one was first; the transaction is given up
			}
		}
		data.NodeUUID = row.UUID
		return t.setInspection(ctx, data)
	})
	if err == errLostRace {
		err = s.get(ctx, "look up discovered node", func(ctx context.Context, q querier) error {
			uuid, err = discovered(ctx, q, addresses)
			return err
		})
		if err == nil && uuid == "" {
			err = ferric.Errorf(ferric.CodeConflict, "the machine was enrolled and removed again at the same time")
		}
		return uuid, false, err
	}
	if err != nil || uuid != "" {
		return uuid, false, err
	}
	*n = row.Node
	return n.UUID, true, nil
}

// errLostRace gives up a transaction that somebody else was faster than.
var errLostRace = ferric.Errorf(ferric.CodeConflict, "another process enrolled the machine first")

// discovered returns the node that has one of the addresses, "" if none does.
func discovered(ctx context.Context, q querier, addresses []string) (uuid string, err error) {
	for _, table := range []string{"ports", "discoveries"} {
		var f filter
		if in(&f, "address", addresses); f.err != nil {
			return "", f.err
		}
		err := q.QueryRowContext(ctx, "SELECT node_uuid FROM "+table+" "+f.sql.String()+" ORDER BY node_uuid LIMIT 1", f.args...).Scan(&uuid)
		if !missing(err) {
			return strings.ToLower(uuid), err
		}
	}
	return "", nil
}
