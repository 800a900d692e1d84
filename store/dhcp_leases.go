package store

import (
	"context"
	"strings"
	"time"

	"ferric"
)

var dhcpTable = table[ferric.DHCPLease]{
	name: "dhcp_leases",
	id:   func(l *ferric.DHCPLease) string { return l.Address },
	cols: []column[ferric.DHCPLease]{
		text("address", func(l *ferric.DHCPLease) *string { return &l.Address }),
		text("mac", func(l *ferric.DHCPLease) *string { return &l.MAC }),
		text("hostname", func(l *ferric.DHCPLease) *string { return &l.Hostname }),
		moment("expires_at", func(l *ferric.DHCPLease) *time.Time { return &l.ExpiresAt }),
		text("state", func(l *ferric.DHCPLease) *ferric.LeaseState { return &l.State }),
	},
}

// Lease returns a MAC's DHCP lease, also an expired one (CodeNotFound).
func (s *Store) Lease(ctx context.Context, mac string) (*ferric.DHCPLease, error) {
	if mac == "" {
		return nil, ferric.Errorf(ferric.CodeNotFound, "No DHCP lease is without a MAC address.")
	}
	return s.dhcpLease(ctx, "mac", strings.ToLower(mac))
}

// LeaseByAddress returns the DHCP lease of an IP address, also an expired one (CodeNotFound).
func (s *Store) LeaseByAddress(ctx context.Context, address string) (*ferric.DHCPLease, error) {
	return s.dhcpLease(ctx, "address", address)
}

func (s *Store) dhcpLease(ctx context.Context, column, value string) (l *ferric.DHCPLease, err error) {
	err = s.get(ctx, "read DHCP lease", func(ctx context.Context, q querier) error {
		l, err = dhcpTable.one(ctx, s, q, "WHERE "+column+" = $1 AND "+column+" <> ''", clean(value))
		if missing(err) {
			return ferric.Errorf(ferric.CodeNotFound, "No DHCP lease for %s could be found.", value)
		}
		return err
	})
	return l, err
}

// PutLease stores a DHCP lease and removes any other of the same MAC, in one step. CodeConflict, and nothing changes, if
// another machine's lease, or a declined one, for the address has not expired at now. It may be repeated.
func (s *Store) PutLease(ctx context.Context, l ferric.DHCPLease, now time.Time) error {
	l.MAC = strings.ToLower(l.MAC)
	if l.Address == "" || l.State == "" || (l.MAC == "") != (l.State == ferric.LeaseDeclined) {
		return ferric.Errorf(ferric.CodeInvalid, "store DHCP lease: it needs Address, State, and a MAC unless it is declined")
	}
	return s.putLease(ctx, l, func(have *ferric.DHCPLease) error {
		if have != nil && have.MAC != l.MAC && have.ExpiresAt.After(now) {
			return ferric.Errorf(ferric.CodeConflict, "Address %s is leased to another machine.", l.Address)
		}
		return nil
	})
}

// DeclineLease replaces a MAC's lease for an address with a declined one until the given time. CodeNotFound, and nothing
// changes, if the MAC has no lease for the address.
func (s *Store) DeclineLease(ctx context.Context, mac, address string, until time.Time) error {
	mac = strings.ToLower(mac)
	declined := ferric.DHCPLease{Address: address, ExpiresAt: until, State: ferric.LeaseDeclined}
	return s.putLease(ctx, declined, func(have *ferric.DHCPLease) error {
		if have == nil || have.MAC != mac || mac == "" {
			return ferric.Errorf(ferric.CodeNotFound, "MAC address %s has no lease for %s.", mac, address)
		}
		return nil
	})
}

// putLease stores a lease if check agrees, given the address's present lease or nil.
func (s *Store) putLease(ctx context.Context, l ferric.DHCPLease, check func(have *ferric.DHCPLease) error) error {
	return s.write(ctx, "store DHCP lease", func(ctx context.Context, t *tx) error {
		have, err := dhcpTable.one(ctx, s, t, "WHERE address = $1"+t.forUpdate(), clean(l.Address))
		if missing(err) {
			have, err = nil, nil
		}
		if err != nil {
			return err
		}
		if err := check(have); err != nil {
			return err
		}
		if l.MAC != "" {
			if _, err := t.ExecContext(ctx, "DELETE FROM dhcp_leases WHERE mac = $1 AND address <> $2", clean(l.MAC), clean(l.Address)); err != nil {
				return err
			}
		}
		if have != nil {
			_, err = t.ExecContext(ctx, "DELETE FROM dhcp_leases WHERE address = $1", clean(l.Address))
			if err != nil {
				return err
			}
		}
		err = dhcpTable.insert(ctx, s, t, nil, &l)
		if duplicate(err, "dhcp_leases", "mac") || duplicate(err, "dhcp_leases", "address") {
			return ferric.Errorf(ferric.CodeConflict, "Address %s or MAC address %s was leased at the same time.", l.Address, l.MAC)
		}
		return err
	})
}

// Leases returns all DHCP leases by address, also expired ones.
func (s *Store) Leases(ctx context.Context) (list []ferric.DHCPLease, err error) {
	err = s.get(ctx, "list DHCP leases", func(ctx context.Context, q querier) error {
		rows, err := dhcpTable.all(ctx, s, q, "ORDER BY address")
		list = flat(rows)
		return err
	})
	return list, err
}

// DeleteLease removes a MAC's DHCP lease for an address. None there is no error.
func (s *Store) DeleteLease(ctx context.Context, mac, address string) error {
	_, err := s.exec(ctx, "delete DHCP lease", "DELETE FROM dhcp_leases WHERE mac = $1 AND address = $2",
		clean(strings.ToLower(mac)), clean(address))
	return err
}

// ExpireLeases removes the DHCP leases that expired before a time and returns how many there were.
func (s *Store) ExpireLeases(ctx context.Context, before time.Time) (int, error) {
	return s.exec(ctx, "expire DHCP leases", "DELETE FROM dhcp_leases WHERE expires_at < $1", micros(before))
}
