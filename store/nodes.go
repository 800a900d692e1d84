package store

import (
	"context"
	"database/sql"
	"slices"
	"strings"
	"time"

	"ferric"
	"ferric/flow"
)

// nodeRow is a node as it is stored.
type nodeRow struct {
	ferric.Node
	leaseUntil int64 // microseconds
	holder     string
}

// live reports whether somebody holds the node's lease.
func (n *nodeRow) live(now time.Time) bool { return n.holder != "" && n.leaseUntil >= micros(now) }

var nodeTable = table[nodeRow]{
	name: "nodes",
	id:   func(n *nodeRow) string { return n.UUID },
	cols: []column[nodeRow]{
		text("uuid", func(n *nodeRow) *string { return &n.UUID }),
		moment("created_at", func(n *nodeRow) *time.Time { return &n.CreatedAt }),
		moment("updated_at", func(n *nodeRow) *time.Time { return &n.UpdatedAt }),
		number("version", func(n *nodeRow) *int64 { return &n.Version }),
		apart(text("reservation", func(n *nodeRow) *string { return &n.holder })),
		apart(number("lease_epoch", func(n *nodeRow) *int64 { return &n.LeaseEpoch })),
		apart(number("lease_until", func(n *nodeRow) *int64 { return &n.leaseUntil })),
		text("name", func(n *nodeRow) *string { return &n.Name }),
		text("instance_uuid", func(n *nodeRow) *string { return &n.InstanceID }),
		text("driver", func(n *nodeRow) *string { return &n.Driver }),
		text("chassis_uuid", func(n *nodeRow) *string { return &n.ChassisUUID }),
		text("resource_class", func(n *nodeRow) *string { return &n.ResourceClass }),
		text("conductor_group", func(n *nodeRow) *string { return &n.ConductorGroup }),
		text("owner", func(n *nodeRow) *string { return &n.Owner }),
		text("lessee", func(n *nodeRow) *string { return &n.Lessee }),
		text("description", func(n *nodeRow) *string { return &n.Description }),
		text("shard", func(n *nodeRow) *string { return &n.Shard }),
		text("parent_node", func(n *nodeRow) *string { return &n.ParentNode }),
		text("allocation_uuid", func(n *nodeRow) *string { return &n.AllocationUUID }),
		text("instance_name", func(n *nodeRow) *string { return &n.InstanceName }),
		text("power_state", func(n *nodeRow) *ferric.PowerState { return &n.PowerState }),
		text("target_power_state", func(n *nodeRow) *ferric.PowerState { return &n.TargetPowerState }),
		text("provision_state", func(n *nodeRow) *ferric.ProvisionState { return &n.ProvisionState }),
		text("target_provision_state", func(n *nodeRow) *ferric.ProvisionState { return &n.TargetProvisionState }),
		moment("provision_updated_at", func(n *nodeRow) *time.Time { return &n.ProvisionUpdatedAt }),
		text("last_error", func(n *nodeRow) *string { return &n.LastError }),
		boolean("maintenance", func(n *nodeRow) *bool { return &n.Maintenance }),
		text("maintenance_reason", func(n *nodeRow) *string { return &n.MaintenanceReason }),
		text("fault", func(n *nodeRow) *ferric.Fault { return &n.Fault }),
		boolean("protected", func(n *nodeRow) *bool { return &n.Protected }),
		text("protected_reason", func(n *nodeRow) *string { return &n.ProtectedReason }),
		boolean("retired", func(n *nodeRow) *bool { return &n.Retired }),
		text("retired_reason", func(n *nodeRow) *string { return &n.RetiredReason }),
		maybe("automated_clean", func(n *nodeRow) **bool { return &n.AutomatedClean }),
		boolean("disable_power_off", func(n *nodeRow) *bool { return &n.DisablePowerOff }),
		boolean("console_enabled", func(n *nodeRow) *bool { return &n.ConsoleEnabled }),
		text("boot_mode", func(n *nodeRow) *string { return &n.BootMode }),
		maybe("secure_boot", func(n *nodeRow) **bool { return &n.SecureBoot }),
		text("health", func(n *nodeRow) *string { return &n.Health }),
		moment("inspection_started_at", func(n *nodeRow) *time.Time { return &n.InspectionStartedAt }),
		moment("inspection_finished_at", func(n *nodeRow) *time.Time { return &n.InspectionFinishedAt }),
		text("conductor", func(n *nodeRow) *string { return &n.Conductor }),
		document("interfaces", func(n *nodeRow) *ferric.Interfaces { return &n.Interfaces }),
		document("properties", func(n *nodeRow) *map[string]any { return &n.Properties }),
		document("extra", func(n *nodeRow) *map[string]any { return &n.Extra }),
		document("driver_internal_info", func(n *nodeRow) *map[string]any { return &n.InternalInfo }),
		document("raid_config", func(n *nodeRow) *any { return &n.RAIDConfig }),
		document("target_raid_config", func(n *nodeRow) *any { return &n.TargetRAIDConfig }),
		document("network_data", func(n *nodeRow) *any { return &n.NetworkData }),
		document("clean_step", func(n *nodeRow) *map[string]any { return &n.CleanStep }),
		document("deploy_step", func(n *nodeRow) *map[string]any { return &n.DeployStep }),
		document("service_step", func(n *nodeRow) *map[string]any { return &n.ServiceStep }),
		sealed("driver_info", func(n *nodeRow) *map[string]any { return &n.DriverInfo }),
		sealed("instance_info", func(n *nodeRow) *map[string]any { return &n.InstanceInfo }),
		traitColumn(),
	},
}

var (
	briefNodeTable = nodeTable.brief()
	nodeStampTable = nodeTable.only("uuid", "created_at", "version", "reservation", "lease_until", "driver", "conductor_group", "conductor", "owner", "lessee")
	nodeOrder      = ordering{table: "nodes", marker: "uuid", tie: []string{"created_at", "uuid"},
		keys: sortable(nodeTable, "lease_epoch", "lease_until")}
)

// seen is the node as others see it at a time.
func (n *nodeRow) seen(now time.Time) *ferric.Node {
	n.Reservation = ""
	if n.live(now) {
		n.Reservation = n.holder
	}
	return &n.Node
}

func (s *Store) nodeWhere(ctx context.Context, q querier, clauses string, args ...any) (*ferric.Node, error) {
	n, err := nodeTable.one(ctx, s, q, clauses, args...)
	if err != nil {
		return nil, err
	}
	return n.seen(s.now()), nil
}

// Node returns a node (CodeNotFound).
func (s *Store) Node(ctx context.Context, uuid string) (n *ferric.Node, err error) {
	err = s.get(ctx, "read node", func(ctx context.Context, q querier) error {
		n, err = s.nodeWhere(ctx, q, "WHERE uuid = $1", clean(uuid))
		if missing(err) {
			return nodeNotFound(uuid)
		}
		return err
	})
	return n, err
}

// NodeByIdent returns the node with a UUID or, if there is none, a name (CodeNotFound).
func (s *Store) NodeByIdent(ctx context.Context, ident string) (n *ferric.Node, err error) {
	err = s.get(ctx, "read node", func(ctx context.Context, q querier) error {
		n, err = s.nodeByIdent(ctx, q, nodeTable, ident)
		return err
	})
	return n, err
}

func (s *Store) nodeByIdent(ctx context.Context, q querier, from table[nodeRow], ident string) (*ferric.Node, error) {
	if ident == "" {
		return nil, nodeNotFound(`""`)
	}
	var n *nodeRow
	err := sql.ErrNoRows
	if len(ident) == 36 { // as long as a UUID
		n, err = from.one(ctx, s, q, "WHERE uuid = $1", clean(strings.ToLower(ident)))
	}
	if missing(err) {
		n, err = from.one(ctx, s, q, "WHERE name = $1 AND name <> ''", clean(ident))
	}
	if missing(err) {
		return nil, nodeNotFound(ident)
	}
	if err != nil {
		return nil, err
	}
	return n.seen(s.now()), nil
}

// NodeByMACs returns the node that has a port with one of the MACs. CodeNotFound if none has, or if several have.
func (s *Store) NodeByMACs(ctx context.Context, macs []string) (n *ferric.Node, err error) {
	err = s.get(ctx, "look up node", func(ctx context.Context, q querier) error {
		var f filter
		in(&f, "address", lowered(macs))
		if f.err != nil {
			return f.err
		}
		if len(macs) == 0 {
			return ferric.Errorf(ferric.CodeNotFound, "No node can be found without port addresses")
		}
		list, err := nodeTable.all(ctx, s, q, "WHERE uuid IN (SELECT node_uuid FROM ports "+f.sql.String()+") LIMIT 2", f.args...)
		switch {
		case err != nil:
			return err
		case len(list) == 0:
			return ferric.Errorf(ferric.CodeNotFound, "Node with port addresses %s was not found", strings.Join(macs, ", "))
		case len(list) > 1:
			return ferric.Errorf(ferric.CodeNotFound, "Multiple nodes with port addresses %s were found", strings.Join(macs, ", "))
		}
		n = list[0].seen(s.now())
		return nil
	})
	return n, err
}

func lowered(list []string) []string {
	out := make([]string, len(list))
	for i, v := range list {
		out[i] = strings.ToLower(v)
	}
	return out
}

// Nodes returns nodes. Sorting by another column than created_at is refined by created_at and UUID, so that pages are
// stable. CodeInvalid for an unknown sort key (the message names the known ones), CodeNotFound for an unknown marker.
func (s *Store) Nodes(ctx context.Context, f ferric.NodeFilter, p ferric.Page) ([]*ferric.Node, error) {
	return s.nodes(ctx, nodeTable, f, p)
}

// NodesBrief is Nodes without the documents, which makes it several times as fast: DriverInfo, InstanceInfo, Interfaces,
// Properties, Extra, InternalInfo, RAIDConfig, TargetRAIDConfig, NetworkData, Traits and the steps are nil.
func (s *Store) NodesBrief(ctx context.Context, f ferric.NodeFilter, p ferric.Page) ([]*ferric.Node, error) {
	return s.nodes(ctx, briefNodeTable, f, p)
}

func (s *Store) nodes(ctx context.Context, from table[nodeRow], f ferric.NodeFilter, p ferric.Page) (list []*ferric.Node, err error) {
	err = s.get(ctx, "list nodes", func(ctx context.Context, q querier) error {
		now := s.now()
		w := nodeFilter(f, now)
		if err := w.page(ctx, q, nodeOrder, p, nodeNotFound); err != nil {
			return err
		}
		rows, err := from.all(ctx, s, q, w.sql.String(), w.args...)
		list = make([]*ferric.Node, len(rows))
		for i, n := range rows {
			list[i] = n.seen(now)
		}
		return err
	})
	return list, err
}

// CountNodes counts nodes, and stops at so many.
func (s *Store) CountNodes(ctx context.Context, f ferric.NodeFilter, atMost int) (n int, err error) {
	err = s.get(ctx, "count nodes", func(ctx context.Context, q querier) error {
		w := nodeFilter(f, s.now())
		if w.err != nil {
			return w.err
		}
		query := "SELECT count(*) FROM (SELECT 1 FROM nodes " + w.sql.String() + " LIMIT " + w.arg(atMost) + ") AS found"
		return q.QueryRowContext(ctx, query, w.args...).Scan(&n)
	})
	return n, err
}

// NodesByUUID returns those of the nodes that exist, in no order. It is faster than Nodes, and meant for at most a few hundred.
func (s *Store) NodesByUUID(ctx context.Context, uuids []string) (list []*ferric.Node, err error) {
	if len(uuids) == 0 {
		return nil, nil
	}
	args := make([]any, len(uuids), len(uuids)+padding)
	for i, id := range uuids {
		args[i] = clean(strings.ToLower(id))
	}
	for len(args)%padding != 0 { // so that there are few different statements, which stay prepared
		args = append(args, args[0])
	}
	err = s.get(ctx, "read nodes", func(ctx context.Context, q querier) error {
		w := &filter{}
		w.and("uuid IN (?"+strings.Repeat(", ?", len(args)-1)+")", args...)
		rows, err := nodeTable.all(ctx, s, q, w.sql.String(), w.args...)
		now := s.now()
		list = make([]*ferric.Node, len(rows))
		for i, n := range rows {
			list[i] = n.seen(now)
		}
		return err
	})
	return list, err
}

// padding is what the number of values in a list is rounded up to.
const padding = 50

// NodeStamps is Nodes with no more than what tells whether a node has changed, whose it is and which conductor serves it: UUID, CreatedAt,
// Version, Reservation, Driver, ConductorGroup, Conductor, Owner, Lessee.
func (s *Store) NodeStamps(ctx context.Context, f ferric.NodeFilter, p ferric.Page) ([]*ferric.Node, error) {
	return s.nodes(ctx, nodeStampTable, f, p)
}

// NodeStamp is NodeByIdent with what NodeStamps returns.
func (s *Store) NodeStamp(ctx context.Context, ident string) (n *ferric.Node, err error) {
	if len(ident) == 36 { // as long as a UUID
		row, found, err := s.stamps.get(ctx, clean(strings.ToLower(ident)))
		if err != nil {
			return nil, s.coded(ctx, "read node", err)
		}
		if found {
			return row.seen(s.now()), nil
		}
	}
	err = s.get(ctx, "read node", func(ctx context.Context, q querier) error {
		n, err = s.nodeByIdent(ctx, q, nodeStampTable, ident)
		return err
	})
	return n, err
}

func (s *Store) nodeStamps(ctx context.Context, uuids []string) (map[string]nodeRow, error) {
	found := make(map[string]nodeRow, len(uuids))
	err := s.get(ctx, "read nodes", func(ctx context.Context, q querier) error {
		where, args := oneOf("uuid", uuids)
		rows, err := nodeStampTable.all(ctx, s, q, "WHERE "+where, args...)
		for _, n := range rows {
			found[n.UUID] = *n
		}
		return err
	})
	return found, err
}

// EachNode calls fn for each node that matches, a few hundred at a time, in the order of their UUIDs and without
// holding anything in the database: a node that is added or removed meanwhile may be left out. An error of fn ends it.
func (s *Store) EachNode(ctx context.Context, f ferric.NodeFilter, fn func(*ferric.Node) error) error {
	return s.eachNode(ctx, nodeTable, f, fn)
}

func (s *Store) eachNode(ctx context.Context, from table[nodeRow], f ferric.NodeFilter, fn func(*ferric.Node) error) error {
	const atOnce = 200
	for last := ""; ; {
		var rows []*nodeRow
		now := s.now()
		err := s.get(ctx, "list nodes", func(ctx context.Context, q querier) (err error) {
			w := nodeFilter(f, now)
			if w.err != nil {
				return w.err
			}
			w.and("uuid > ?", last)
			w.sql.WriteString(" ORDER BY uuid LIMIT " + w.arg(atOnce))
			rows, err = from.all(ctx, s, q, w.sql.String(), w.args...)
			return err
		})
		if err != nil {
			return err
		}
		for _, n := range rows {
			if err := fn(n.seen(now)); err != nil {
				return err
			}
		}
		if len(rows) < atOnce {
			return nil
		}
		last = rows[len(rows)-1].UUID
	}
}

func nodeFilter(f ferric.NodeFilter, now time.Time) *filter {
	w := &filter{}
	in(w, "uuid", lowered(f.UUIDs))
	w.equal("name", f.Name)
	w.equal("instance_uuid", f.InstanceID)
	w.is(f.Associated, "instance_uuid <> ''", "instance_uuid = ''")
	w.is(f.Maintenance, "maintenance", "NOT maintenance")
	w.is(f.ConsoleEnabled, "console_enabled", "NOT console_enabled")
	w.is(f.Retired, "retired", "NOT retired")
	w.is(f.Reserved, "(reservation <> '' AND lease_until >= ?)", "(reservation = '' OR lease_until < ?)", micros(now))
	in(w, "provision_state", f.ProvisionStates)
	w.equal("driver", f.Driver)
	w.equal("resource_class", f.ResourceClass)
	if f.Fault == "none" {
		w.and("fault = ''")
	} else {
		w.equal("fault", f.Fault)
	}
	if f.ConductorGroup != nil {
		w.and("conductor_group = ?", clean(*f.ConductorGroup))
		if *f.ConductorGroup != "" {
			w.and("conductor_group <> ''")
		}
	}
	w.equal("owner", f.Owner)
	w.equal("lessee", f.Lessee)
	if f.Project != "" {
		w.and(ofProject, clean(f.Project), clean(f.Project))
	}
	w.contains("description", f.DescriptionLike)
	w.equal("chassis_uuid", f.ChassisUUID)
	in(w, "shard", f.Shards)
	w.is(f.Sharded, "shard <> ''", "shard = ''")
	switch {
	case f.ParentNode != "":
		w.equal("parent_node", f.ParentNode)
	case !f.IncludeChildren:
		w.and("parent_node = ''")
	}
	w.equal("instance_name", f.InstanceName)
	return w
}

// traitColumn reads a node's traits with the node. They are written by writeTraits.
func traitColumn() column[nodeRow] {
	return from("COALESCE((SELECT string_agg(t.trait, ',') FROM node_traits t WHERE t.node_uuid = nodes.uuid), '')",
		column[nodeRow]{name: "traits", doc: true,
			get: func(n *nodeRow) (any, error) {
				list := slices.Compact(slices.Sorted(slices.Values(n.Traits)))
				for _, trait := range list {
					if trait == "" || strings.ContainsRune(trait, ',') {
						return nil, ferric.Errorf(ferric.CodeInvalid, "traits: %q is no valid trait: it must not be empty or hold a comma", trait)
					}
				}
				return clean(strings.Join(list, ",")), nil
			},
			set: func(n *nodeRow, c *cell) error {
				n.Traits = nil
				if c.text != "" {
					n.Traits = strings.Split(c.text, ",")
					slices.Sort(n.Traits)
				}
				return nil
			}})
}

// owns checks that the lease is still the owner's (CodeStale).
func (n *nodeRow) owns(l flow.Lease) error {
	switch {
	case n.LeaseEpoch == l.Epoch && n.holder == l.Owner && l.Owner != "":
		return nil
	case n.holder == "":
		return ferric.Errorf(ferric.CodeStale, "the lease of host %s on node %s (epoch %d) was given back", l.Owner, l.NodeUUID, l.Epoch)
	}
	return ferric.Errorf(ferric.CodeStale, "the lease of host %s on node %s (epoch %d) was taken over by host %s (epoch %d)",
		l.Owner, l.NodeUUID, l.Epoch, n.holder, n.LeaseEpoch)
}
