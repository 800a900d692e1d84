package dhcp

import (
	"context"
	"hash/fnv"
	"net/netip"

	"ferric"
)

// address returns the address that the machine is to have: its fixed one, the one it has or had, the one it asks
// for, or a free one of the pool, whichever comes first and is free. It returns CodeNoSpace if the pool has none.
func (x *exchange) address(ctx context.Context, asked netip.Addr) (netip.Addr, error) {
	if fixed := x.m.Fixed; fixed.IsValid() {
		if !usable(x.network.Prefix, fixed) || fixed == x.h.opts.Address {
			return netip.Addr{}, ferric.Errorf(ferric.CodeInvalid, "dhcp: fixed address %s of node %s is not a host address of network %s", fixed, x.m.NodeUUID, x.network.Prefix)
		}
		return fixed, nil
	}
	had, err := x.h.leases.ByMAC(ctx, x.c.mac)
	if err != nil && !ferric.IsCode(err, ferric.CodeNotFound) {
		return netip.Addr{}, ferric.Errorf(ferric.CodeUnavailable, "dhcp: find the lease of %s: %w", x.c.mac, err)
	}
	now := x.h.now()
	if err == nil && had.Expires.After(now) && x.inPool(had.IP) {
		return had.IP, nil
	}
	if !x.network.First.IsValid() {
		return netip.Addr{}, ferric.Errorf(ferric.CodeNoSpace, "dhcp: network %s has no pool, and node %s no fixed address", x.network.Prefix, x.m.NodeUUID)
	}
	inUse, err := x.h.leases.InUse(ctx, x.network.Prefix, now)
	if err != nil {
		return netip.Addr{}, ferric.Errorf(ferric.CodeUnavailable, "dhcp: list the leases of network %s: %w", x.network.Prefix, err)
	}
	taken := make(map[netip.Addr]bool, len(inUse))
	for _, l := range inUse {
		taken[l.IP] = l.MAC != x.c.mac
	}
	for _, ip := range []netip.Addr{had.IP, asked} {
		if x.inPool(ip) && !taken[ip] {
			return ip, nil
		}
	}
	// The search starts at a place that depends on the MAC, so that a machine finds its old address again even if its
	// lease was forgotten.
	first, size := toUint(x.network.First), toUint(x.network.Last)-toUint(x.network.First)+1
	hash := fnv.New32a()
	hash.Write([]byte(x.c.mac))
	start := hash.Sum32() % size
	for i := range size {
		if ip := fromUint(first + (start+i)%size); x.inPool(ip) && !taken[ip] {
			return ip, nil
		}
	}
	return netip.Addr{}, ferric.Errorf(ferric.CodeNoSpace, "dhcp: all %d addresses of the pool of network %s are in use", size, x.network.Prefix)
}

// inPool reports whether the address may be given from the pool.
func (x *exchange) inPool(ip netip.Addr) bool {
	n := x.network
	return n.First.IsValid() && ip.Is4() && !ip.Less(n.First) && !n.Last.Less(ip) && ip != x.h.opts.Address && ip != n.Gateway
}
