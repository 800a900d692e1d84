package dhcp

import (
	"context"
	"net/netip"
	"sync"
	"time"

	"ferric"
)

// Lease is an address that is given to a machine for a time.
type Lease struct {
	IP      netip.Addr
	MAC     string // aa:bb:cc:dd:ee:ff; empty only if declined
	State   ferric.LeaseState
	Expires time.Time
}

// Leases keeps the leases over a restart. An address has at most one lease, and so has a MAC. A lease stays after it
// has expired, so that its machine gets the same address again, until Expire removes it or another machine takes the
// address. The test suite for implementations is leasetest.Run.
type Leases interface {
	// ByMAC returns the machine's lease, also an expired one, or CodeNotFound.
	ByMAC(ctx context.Context, mac string) (Lease, error)
	// InUse returns the leases in the subnet that have not expired at now, in any order.
	InUse(ctx context.Context, subnet netip.Prefix, now time.Time) ([]Lease, error)
	// Put stores the lease and removes any other of the same MAC, in one atomic step. It returns CodeConflict, and
	// changes nothing, if another machine's lease (or a declined one) for the address has not expired at now. It may
	// be repeated.
	Put(ctx context.Context, l Lease, now time.Time) error
	// Decline replaces the MAC's lease for the address with a declined one until the given time. It returns
	// CodeNotFound, and changes nothing, if the MAC has no lease for the address.
	Decline(ctx context.Context, mac string, ip netip.Addr, until time.Time) error
	// Release removes the MAC's lease for the address. None there is no error.
	Release(ctx context.Context, mac string, ip netip.Addr) error
	// Expire removes leases that expired before the given time and returns how many there were.
	Expire(ctx context.Context, before time.Time) (int, error)
}

// MemoryLeases is a Leases that forgets everything at the end of the process. Its zero value is ready for use, from
// many goroutines.
type MemoryLeases struct {
	mu   sync.Mutex
	byIP map[netip.Addr]Lease
}

// ByMAC implements Leases.
func (m *MemoryLeases) ByMAC(_ context.Context, mac string) (Lease, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, l := range m.byIP {
		if l.MAC == mac && mac != "" {
			return l, nil
		}
	}
	return Lease{}, ferric.Errorf(ferric.CodeNotFound, "MAC address %s has no lease", mac)
}

// InUse implements Leases.
func (m *MemoryLeases) InUse(_ context.Context, subnet netip.Prefix, now time.Time) ([]Lease, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var list []Lease
	for _, l := range m.byIP {
		if subnet.Contains(l.IP) && l.Expires.After(now) {
			list = append(list, l)
		}
	}
	return list, nil
}

// Put implements Leases.
func (m *MemoryLeases) Put(_ context.Context, l Lease, now time.Time) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if have, ok := m.byIP[l.IP]; ok && have.MAC != l.MAC && have.Expires.After(now) {
		return ferric.Errorf(ferric.CodeConflict, "address %s is leased to another machine", l.IP)
	}
	for ip, other := range m.byIP {
		if other.MAC == l.MAC && ip != l.IP && l.MAC != "" {
			delete(m.byIP, ip)
		}
	}
	if m.byIP == nil {
		m.byIP = map[netip.Addr]Lease{}
	}
	m.byIP[l.IP] = l
	return nil
}

// Decline implements Leases.
func (m *MemoryLeases) Decline(_ context.Context, mac string, ip netip.Addr, until time.Time) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if l, ok := m.byIP[ip]; !ok || l.MAC != mac || mac == "" {
		return ferric.Errorf(ferric.CodeNotFound, "MAC address %s has no lease for %s", mac, ip)
	}
	m.byIP[ip] = Lease{IP: ip, State: ferric.LeaseDeclined, Expires: until}
	return nil
}

// Release implements Leases.
func (m *MemoryLeases) Release(_ context.Context, mac string, ip netip.Addr) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if l, ok := m.byIP[ip]; ok && l.MAC == mac && mac != "" {
		delete(m.byIP, ip)
	}
	return nil
}

// Expire implements Leases.
func (m *MemoryLeases) Expire(_ context.Context, before time.Time) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := 0
	for ip, l := range m.byIP {
		if l.Expires.Before(before) {
			delete(m.byIP, ip)
			n++
		}
	}
	return n, nil
}
