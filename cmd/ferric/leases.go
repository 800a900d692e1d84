package main

import (
	"context"
	"net/netip"
	"time"

	"ferric"
	"ferric/boot/dhcp"
	"ferric/store"
)

// leases keeps the DHCP server's leases in the database.
type leases struct{ store *store.Store }

// ByMAC implements dhcp.Leases.
func (l leases) ByMAC(ctx context.Context, mac string) (dhcp.Lease, error) {
	have, err := l.store.Lease(ctx, mac)
	if err != nil {
		return dhcp.Lease{}, err
	}
	return fromStore(*have)
}

func fromStore(l ferric.DHCPLease) (dhcp.Lease, error) {
	ip, err := netip.ParseAddr(l.Address)
	if err != nil {
		return dhcp.Lease{}, ferric.Errorf(ferric.CodeInternal, "stored DHCP lease: %w", err)
	}
	return dhcp.Lease{IP: ip, MAC: l.MAC, State: l.State, Expires: l.ExpiresAt}, nil
}

// InUse implements dhcp.Leases.
func (l leases) InUse(ctx context.Context, subnet netip.Prefix, now time.Time) ([]dhcp.Lease, error) {
	all, err := l.store.Leases(ctx)
	if err != nil {
		return nil, err
	}
	var out []dhcp.Lease
	for _, have := range all {
		lease, err := fromStore(have)
		if err != nil {
			return nil, err
		}
		if subnet.Contains(lease.IP) && lease.Expires.After(now) {
			out = append(out, lease)
		}
	}
	return out, nil
}

// Put implements dhcp.Leases.
func (l leases) Put(ctx context.Context, lease dhcp.Lease, now time.Time) error {
	return l.store.PutLease(ctx, ferric.DHCPLease{MAC: lease.MAC, Address: lease.IP.String(), ExpiresAt: lease.Expires, State: lease.State}, now)
}

// Decline implements dhcp.Leases.
func (l leases) Decline(ctx context.Context, mac string, ip netip.Addr, until time.Time) error {
	return l.store.DeclineLease(ctx, mac, ip.String(), until)
}

// Release implements dhcp.Leases.
func (l leases) Release(ctx context.Context, mac string, ip netip.Addr) error {
	return l.store.DeleteLease(ctx, mac, ip.String())
}

// Expire implements dhcp.Leases.
func (l leases) Expire(ctx context.Context, before time.Time) (int, error) {
	return l.store.ExpireLeases(ctx, before)
}
