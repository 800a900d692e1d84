package store

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"ferric"
	"ferric/flow"
)

// Acquire implements flow.Ledger.
func (s *Store) Acquire(ctx context.Context, nodeUUID, owner string, ttl time.Duration) (flow.Lease, error) {
	if owner == "" || ttl <= 0 {
		return flow.Lease{}, ferric.Errorf(ferric.CodeInvalid, "take the lease of node %s: owner %q and ttl %s must not be empty",
			nodeUUID, owner, ttl)
	}
	var l flow.Lease
	err := s.write(ctx, "take the lease of node "+nodeUUID, func(ctx context.Context, t *tx) error {
		l = flow.Lease{NodeUUID: strings.ToLower(nodeUUID), Owner: owner, Until: t.now.Add(ttl)}
		// The condition is on the row itself, so PostgreSQL checks it again after it has waited for another claimer.
		err := t.QueryRowContext(ctx, "UPDATE nodes SET reservation = $1, lease_epoch = lease_epoch + 1, lease_until = $2 "+
			"WHERE uuid = $3 AND (reservation = '' OR lease_until < $4) RETURNING lease_epoch",
			clean(owner), micros(l.Until), clean(l.NodeUUID), micros(t.now)).Scan(&l.Epoch)
		if !missing(err) {
			return err
		}
		var holder string
		err = t.QueryRowContext(ctx, "SELECT reservation FROM nodes WHERE uuid = $1", clean(l.NodeUUID)).Scan(&holder)
		if missing(err) {
			return nodeNotFound(nodeUUID)
		}
		if err != nil {
			return err
		}
		return nodeLocked(l.NodeUUID, holder)
	})
	if err != nil {
		return flow.Lease{}, err
	}
	return l, nil
}

// Renew implements flow.Ledger.
func (s *Store) Renew(ctx context.Context, leases []flow.Lease, ttl time.Duration) ([]flow.Lease, error) {
	if len(leases) == 0 {
		return nil, nil
	}
	// One order for all, so that two processes do not wait for each other's rows.
	leases = slices.SortedFunc(slices.Values(leases), func(a, b flow.Lease) int { return cmp.Compare(a.NodeUUID, b.NodeUUID) })
	var kept []flow.Lease
	err := s.write(ctx, "renew leases", func(ctx context.Context, t *tx) error {
		kept = nil
		for _, l := range leases {
			l.Until = t.now.Add(ttl)
			n, err := affected(t.ExecContext(ctx, "UPDATE nodes SET lease_until = $1 WHERE uuid = $2 AND reservation = $3 AND lease_epoch = $4",
				micros(l.Until), clean(l.NodeUUID), clean(l.Owner), l.Epoch))
			if err != nil {
				return err
			}
			if n > 0 && l.Owner != "" {
				kept = append(kept, l)
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return kept, nil
}

// Release implements flow.Ledger.
func (s *Store) Release(ctx context.Context, l flow.Lease) error {
	_, err := s.exec(ctx, "give back the lease of node "+l.NodeUUID,
		"UPDATE nodes SET reservation = '', lease_until = 0 WHERE uuid = $1 AND reservation = $2 AND lease_epoch = $3",
		clean(l.NodeUUID), clean(l.Owner), l.Epoch)
	return err
}

// ReleaseOwner implements flow.Ledger.
func (s *Store) ReleaseOwner(ctx context.Context, owner string) (int, error) {
	if owner == "" {
		return 0, nil
	}
	freed := 0
	err := s.write(ctx, "free the leases of host "+owner, func(ctx context.Context, t *tx) (err error) {
		freed, err = affected(t.ExecContext(ctx, "UPDATE nodes SET reservation = '', lease_until = 0 WHERE reservation = $1 AND reservation <> ''", clean(owner)))
		return err
	})
	return freed, err
}
