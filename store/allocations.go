package store

import (
	"context"
	"slices"
	"time"

	"github.com/google/uuid"

	"ferric"
	"ferric/flow"
)

func allocationHead(a *ferric.Allocation) head {
	return head{&a.UUID, &a.Name, &a.CreatedAt, &a.UpdatedAt, &a.Version}
}

var allocationRecords = record[ferric.Allocation]{what: "Allocation", some: "An allocation", object: ferric.ObjectAllocation, head: allocationHead,
	table: table[ferric.Allocation]{name: "allocations", id: func(a *ferric.Allocation) string { return a.UUID },
		cols: append(columns(allocationHead),
			text("node_uuid", func(a *ferric.Allocation) *string { return &a.NodeUUID }),
			text("resource_class", func(a *ferric.Allocation) *string { return &a.ResourceClass }),
			text("state", func(a *ferric.Allocation) *ferric.AllocationState { return &a.State }),
			text("owner", func(a *ferric.Allocation) *string { return &a.Owner }),
			text("last_error", func(a *ferric.Allocation) *string { return &a.LastError }),
			text("conductor", func(a *ferric.Allocation) *string { return &a.Conductor }),
			number("attempts", func(a *ferric.Allocation) *int { return &a.Attempts }),
			moment("due_at", func(a *ferric.Allocation) *time.Time { return &a.DueAt }),
			document("traits", func(a *ferric.Allocation) *[]string { return &a.Traits }),
			document("candidate_nodes", func(a *ferric.Allocation) *[]string { return &a.CandidateNodes }),
			document("extra", func(a *ferric.Allocation) *map[string]any { return &a.Extra }),
		)}}

// CreateAllocation adds an allocation and fills in its times, its version and, if it is empty, its UUID and its state (allocating).
// One that is allocating and has no DueAt is due now. CodeConflict for a UUID or name that another one has.
func (s *Store) CreateAllocation(ctx context.Context, a *ferric.Allocation) error {
	if a.State == "" {
		a.State = ferric.AllocationPending
	}
	if a.State == ferric.AllocationPending && a.DueAt.IsZero() {
		a.DueAt = s.now()
	}
	return allocationRecords.create(ctx, s, a)
}

// Allocation returns an allocation (CodeNotFound).
func (s *Store) Allocation(ctx context.Context, uuid string) (*ferric.Allocation, error) {
	return allocationRecords.get(ctx, s, "uuid", uuid)
}

// AllocationByName returns the allocation with a name (CodeNotFound).
func (s *Store) AllocationByName(ctx context.Context, name string) (*ferric.Allocation, error) {
	return allocationRecords.get(ctx, s, "name", name)
}

// Allocations returns allocations, like Nodes.
func (s *Store) Allocations(ctx context.Context, f ferric.AllocationFilter) ([]*ferric.Allocation, error) {
	w := &filter{}
	w.equal("node_uuid", f.NodeUUID)
	w.equal("resource_class", f.ResourceClass)
	w.equal("state", string(f.State))
	w.equal("owner", f.Owner)
	return allocationRecords.list(ctx, s, w, f.Page)
}

// UpdateAllocation changes an allocation and returns it. expectVersion 0 is any. CodeNotFound; CodeConflict if the version is another one,
// or the name is taken; an error of mutate is returned as it is, and changes nothing. mutate must not change the node.
func (s *Store) UpdateAllocation(ctx context.Context, uuid string, expectVersion int64, mutate func(*ferric.Allocation) error) (*ferric.Allocation, error) {
	return allocationRecords.update(ctx, s, uuid, expectVersion, mutate)
}

// DeleteAllocation removes an allocation that has no node. CodeNotFound; CodeConflict if it has got one: then it ends when the node lets
// go of the instance.
func (s *Store) DeleteAllocation(ctx context.Context, uuid string) error {
	return s.write(ctx, "delete allocation "+uuid, func(ctx context.Context, t *tx) error {
		a, err := allocationRecords.lock(ctx, t, uuid)
		if err != nil {
			return err
		}
		if a.NodeUUID != "" {
			return ferric.Errorf(ferric.CodeConflict, "Allocation %s has got node %s meanwhile.", a.UUID, a.NodeUUID)
		}
		return t.endAllocation(ctx, a.UUID)
	})
}

// endAllocation removes the allocation of a node that is locked, or one without a node.
func (t *tx) endAllocation(ctx context.Context, uuid string) error {
	if t.s.notices != nil && ferric.Asked(ctx, ferric.ObjectAllocation) == ferric.ActionDelete {
		a, err := allocationRecords.lock(ctx, t, uuid)
		if err == nil {
			allocationRecords.tell(ctx, t, ferric.ActionDelete, a, nil)
		} else if !ferric.IsCode(err, ferric.CodeNotFound) {
			return err
		}
	}
	_, err := t.ExecContext(ctx, "DELETE FROM allocations WHERE uuid = $1", uuid)
	return err
}

// DueAllocations returns the UUIDs of allocations that a conductor should look for a node for now, longest due first.
func (s *Store) DueAllocations(ctx context.Context, limit int) (list []string, err error) {
	err = s.get(ctx, "look for due allocations", func(ctx context.Context, q querier) error {
		rows, err := q.QueryContext(ctx, "SELECT uuid FROM allocations WHERE state = 'allocating' AND due_at <= $1 ORDER BY due_at, uuid LIMIT $2",
			micros(s.now()), limit)
		if err != nil {
			return err
		}
		defer rows.Close()
		list = nil
		for rows.Next() {
			var id string
			if err := rows.Scan(&id); err != nil {
				return err
			}
			list = append(list, id)
		}
		return rows.Err()
	})
	return list, err
}

// NextAllocation returns when the next allocation is due, zero if none is waiting.
func (s *Store) NextAllocation(ctx context.Context) (at time.Time, err error) {
	err = s.get(ctx, "look for the next allocation", func(ctx context.Context, q querier) error {
		var n int64
		err := q.QueryRowContext(ctx, "SELECT COALESCE(MIN(due_at), 0) FROM allocations WHERE state = 'allocating'").Scan(&n)
		at = fromMicros(n)
		return err
	})
	return at, err
}

// Allocate gives an allocation one of the nodes that are fit for it and that nobody holds, in one transaction: the node has the
// allocation's UUID as instance and its traits in instance_info. A node with the allocation's name comes first, the others are tried in no order. If
// there is none, taken is false and left says what there is; the allocation stays as it is. An allocation that is not allocating (any more), that is
// gone or that somebody else is at is left alone: taken is true then, because there is nothing left to do.
func (s *Store) Allocate(ctx context.Context, id, host string) (taken bool, left ferric.Candidates, err error) {
	err = s.write(ctx, "allocate a node for "+id, func(ctx context.Context, t *tx) error {
		taken, left = true, ferric.Candidates{}
		a, err := allocationRecords.one(ctx, s, t, "WHERE uuid = $1 AND state = 'allocating'"+t.skipLocked(), clean(id))
		if missing(err) {
			return nil
		}
		if err != nil {
			return err
		}
		row, err := t.pickNode(ctx, a)
		if err != nil {
			return err
		}
		if row == nil {
			taken = false
			left, err = t.countCandidates(ctx, a)
			return err
		}
		return t.assign(ctx, a, row, host)
	})
	return taken, left, err
}

// assign ties a locked allocation and a locked node together.
func (t *tx) assign(ctx context.Context, a *ferric.Allocation, row *nodeRow, host string) error {
	err := allocationRecords.change(ctx, t, a, func(a *ferric.Allocation) error {
		a.NodeUUID, a.State, a.LastError, a.Conductor = row.UUID, ferric.AllocationActive, "", host
		return nil
	})
	if err != nil {
		return err
	}
	return t.associate(ctx, a, row)
}

// associate lets a locked node serve an allocation.
func (t *tx) associate(ctx context.Context, a *ferric.Allocation, row *nodeRow) error {
	_, err := t.change(ctx, row, func(n *ferric.Node) error {
		n.InstanceID, n.AllocationUUID = a.UUID, a.UUID
		traits := make([]any, len(a.Traits))
		for i, trait := range a.Traits {
			traits[i] = trait
		}
		if n.InstanceInfo == nil {
			n.InstanceInfo = map[string]any{}
		}
		n.InstanceInfo["traits"] = traits
		return nil
	})
	return err
}

// skipLocked is forUpdate for a SELECT that passes over the rows that others are writing now.
func (t *tx) skipLocked() string {
	if t.s.postgres {
		return " FOR NO KEY UPDATE SKIP LOCKED"
	}
	return ""
}

// The conditions that a node must meet to be allocated. The first is that of the index nodes_allocatable, word by word.
const (
	allocatable = "provision_state = 'available' AND instance_uuid = ''"
	allocates   = "NOT maintenance AND power_state <> '' AND parent_node = ''"
)

// candidates selects the nodes that an allocation may have, with its traits or without, but for those that are locked.
func candidates(a *ferric.Allocation, traits bool) *filter {
	w := &filter{}
	w.and(allocatable)
	w.and("resource_class = ?", clean(a.ResourceClass))
	w.and(allocates)
	in(w, "uuid", a.CandidateNodes)
	if a.Owner != "" {
		w.and("(owner = ? OR lessee = ?)", clean(a.Owner), clean(a.Owner))
	}
	if want := slices.Compact(slices.Sorted(slices.Values(a.Traits))); traits && len(want) > 0 {
		for _, trait := range want {
			w.and("EXISTS (SELECT 1 FROM node_traits t WHERE t.node_uuid = nodes.uuid AND t.trait = ?)", clean(trait))
		}
	}
	return w
}

// pickNode locks a node for an allocation, nil if none is to be had.
func (t *tx) pickNode(ctx context.Context, a *ferric.Allocation) (*nodeRow, error) {
	start := uuid.NewString() // nobody begins where the others begin
	for _, c := range []struct {
		where string
		arg   string
		use   bool
	}{{"name = ?", a.Name, a.Name != ""}, {"uuid >= ?", start, true}, {"uuid < ?", start, true}} {
		if !c.use {
			continue
		}
		w := candidates(a, true)
		w.and("(reservation = '' OR lease_until < ?)", micros(t.now))
		w.and(c.where, clean(c.arg))
		if w.err != nil {
			return nil, w.err
		}
		w.sql.WriteString(" ORDER BY uuid LIMIT 1" + t.skipLocked())
		row, err := nodeTable.one(ctx, t.s, t, w.sql.String(), w.args...)
		if err == nil || !missing(err) {
			return row, err
		}
	}
	return nil, nil
}

func (t *tx) countCandidates(ctx context.Context, a *ferric.Allocation) (c ferric.Candidates, err error) {
	for _, count := range []struct {
		traits bool
		to     *int
	}{{false, &c.Class}, {true, &c.Fit}} {
		w := candidates(a, count.traits)
		if w.err != nil {
			return c, w.err
		}
		if err := t.QueryRowContext(ctx, "SELECT COUNT(*) FROM nodes "+w.sql.String(), w.args...).Scan(count.to); err != nil {
			return c, err
		}
	}
	return c, nil
}

// AllocateNode adds an allocation for a node that its caller holds the lease of, whatever state it is in, and gives it that node. check
// refuses a node that is not fit. CodeConflict if the node has another instance, the instance another node, or for a UUID or name that
// another allocation has; CodeStale if the lease was lost; CodeNotFound for the node.
func (s *Store) AllocateNode(ctx context.Context, l flow.Lease, a *ferric.Allocation, check func(*ferric.Node) error) error {
	var made ferric.Allocation
	err := s.write(ctx, "allocate node "+l.NodeUUID, func(ctx context.Context, t *tx) error {
		row, err := lockOwned(ctx, t, l)
		if err != nil {
			return err
		}
		if err := check(row.seen(t.now)); err != nil {
			return mutateError{err}
		}
		if row.InstanceID != "" && row.InstanceID != a.UUID {
			return ferric.Errorf(ferric.CodeConflict, "Node %s is associated with instance %s.", row.UUID, row.InstanceID)
		}
		made = *a
		made.State, made.NodeUUID = ferric.AllocationPending, ""
		if err := allocationRecords.add(ctx, t, &made); err != nil {
			return err
		}
		return t.assign(ctx, &made, row, l.Owner) // a change of it, as people see by its updated_at
	})
	if err == nil {
		*a = made
	}
	return err
}
