package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"ferric"
	"ferric/flow"
)

// Leases are measured with the database's clock: the clocks of several hosts are never the same, and a lease that one host believes to have run
// out may be live for another. With SQLite all is on one host.
const serverNow = "CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000 AS BIGINT)"

// at is the expression for a moment whose parameter is made by from.
func (s *Store) at(parameter string) string {
	if s.serverClock {
		return "(" + serverNow + " + CAST(" + parameter + " AS BIGINT))"
	}
	return "CAST(" + parameter + " AS BIGINT)"
}

// from is the parameter for the moment that lies a time after now.
func (s *Store) from(now time.Time, d time.Duration) int64 {
	if s.serverClock {
		return d.Microseconds()
	}
	return micros(now.Add(d))
}

// Acquire implements flow.Ledger.
func (s *Store) Acquire(ctx context.Context, nodeUUID, owner string, ttl time.Duration) (flow.Lease, error) {
	if owner == "" || ttl <= 0 {
		return flow.Lease{}, ferric.Errorf(ferric.CodeInvalid, "take the lease of node %s: owner %q and ttl %s must not be empty",
			nodeUUID, owner, ttl)
	}
	var l flow.Lease
	err := s.write(ctx, "take the lease of node "+nodeUUID, func(ctx context.Context, t *tx) error {
		if s.tenure != nil && l.Epoch != 0 {
			s.tenure.end(l) // the transaction is run again
		}
		l = flow.Lease{NodeUUID: strings.ToLower(nodeUUID), Owner: owner}
		over := s.from(t.now, 0) // a lease that ends before has run out
		if s.tenure != nil {
			if holder := s.tenure.holder(l.NodeUUID); holder != "" {
				return nodeLocked(l.NodeUUID, holder)
			}
			over = never
		}
		var until int64
		// The condition is on the row itself, so PostgreSQL checks it again after it has waited for another claimer.
		err := t.QueryRowContext(ctx, "UPDATE nodes SET reservation = $1, lease_epoch = lease_epoch + 1, lease_until = "+s.at("$2")+
			" WHERE uuid = $3 AND (reservation = '' OR lease_until < "+s.at("$4")+") RETURNING lease_epoch, lease_until",
			clean(owner), s.from(t.now, ttl), clean(l.NodeUUID), over).Scan(&l.Epoch, &until)
		if err == nil && s.tenure != nil {
			s.tenure.take(l, ttl) // it ends below if the transaction fails after all
		}
		if !missing(err) {
			l.Until = fromMicros(until)
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
		if s.tenure != nil && l.Epoch != 0 {
			s.tenure.end(l)
		}
		return flow.Lease{}, err
	}
	return l, nil
}

// renewBatch is how many leases are renewed by one statement.
const renewBatch = 512

// Renew implements flow.Ledger. All leases are renewed by one statement.
func (s *Store) Renew(ctx context.Context, leases []flow.Lease, ttl time.Duration) (kept []flow.Lease, err error) {
	if s.tenure != nil {
		return s.renewHere(ctx, leases, ttl)
	}
	for batch := range slices.Chunk(leases, renewBatch) {
		some, err := s.renew(ctx, batch, ttl)
		if err != nil {
			return nil, err
		}
		kept = append(kept, some...)
	}
	return kept, nil
}

// renewHere renews leases of a SQLite database. What the rows say is for readers: a disk that is full or slow takes no lease from anybody, and it
// does not keep their holders waiting until they believe so. A row that takes long is written behind their backs.
func (s *Store) renewHere(ctx context.Context, leases []flow.Lease, ttl time.Duration) ([]flow.Lease, error) {
	ours := s.tenure.prolong(leases, forever)
	defer func() { s.tenure.prolong(ours, ttl) }()
	type result struct {
		kept []flow.Lease
		err  error
	}
	written := make(chan result, 1)
	s.behind.Go(func() {
		var r result
		for batch := range slices.Chunk(leases, renewBatch) {
			some, err := s.renew(ctx, batch, ttl)
			if r.kept, r.err = append(r.kept, some...), err; err != nil {
				break
			}
		}
		written <- r
	})
	slow := time.NewTimer(ttl / 4)
	defer slow.Stop()
	select {
	case r := <-written:
		if !errors.Is(r.err, ferric.ErrOutage) {
			return r.kept, r.err
		}
	case <-slow.C:
	}
	for i := range ours {
		ours[i].Until = s.now().Add(ttl)
	}
	return ours, nil
}

func (s *Store) renew(ctx context.Context, leases []flow.Lease, ttl time.Duration) (kept []flow.Lease, err error) {
	type id struct {
		node, owner string
		epoch       int64
	}
	asked := make(map[id]flow.Lease, len(leases))
	rows := 1
	for rows < len(leases) { // few texts, so that they stay prepared
		rows *= 2
	}
	var values strings.Builder
	args := []any{nil}
	for i := range rows {
		l := leases[min(i, len(leases)-1)]
		asked[id{clean(l.NodeUUID), clean(l.Owner), l.Epoch}] = l
		n := len(args)
		fmt.Fprintf(&values, ", (CAST($%d AS TEXT), CAST($%d AS TEXT), CAST($%d AS BIGINT))", n+1, n+2, n+3)
		args = append(args, clean(l.NodeUUID), clean(l.Owner), l.Epoch)
	}
	text := "UPDATE nodes SET lease_until = " + s.at("$1") + " WHERE (uuid, reservation, lease_epoch) IN (VALUES " + values.String()[2:] +
		") AND reservation <> '' RETURNING uuid, reservation, lease_epoch, lease_until"
	err = s.urgent(ctx, "renew leases", func(ctx context.Context, t *tx) error {
		kept = nil
		args[0] = s.from(t.now, ttl)
		found, err := t.QueryContext(ctx, text, args...)
		if err != nil {
			return err
		}
		defer found.Close()
		for found.Next() {
			var at id
			var until int64
			if err := found.Scan(&at.node, &at.owner, &at.epoch, &until); err != nil {
				return err
			}
			l := asked[at]
			l.Until = fromMicros(until)
			kept = append(kept, l)
		}
		return found.Err()
	})
	if err != nil {
		return nil, err
	}
	return kept, nil
}

// Release implements flow.Ledger.
func (s *Store) Release(ctx context.Context, l flow.Lease) error {
	if s.tenure != nil {
		s.tenure.end(l)
	}
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
	if s.tenure != nil {
		s.tenure.endOf(owner)
	}
	freed := 0
	err := s.write(ctx, "free the leases of host "+owner, func(ctx context.Context, t *tx) (err error) {
		freed, err = affected(t.ExecContext(ctx, "UPDATE nodes SET reservation = '', lease_until = 0 WHERE reservation = $1 AND reservation <> ''", clean(owner)))
		return err
	})
	return freed, err
}
