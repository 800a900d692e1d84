// Package leasetest is the test suite that every implementation of dhcp.Leases passes.
//
// # Concurrency
//
// Run calls the implementation from several goroutines at once.
package leasetest

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"ferric"
	"ferric/boot/dhcp"
)

var (
	subnet = netip.MustParsePrefix("192.0.2.0/24")
	ip1    = netip.MustParseAddr("192.0.2.10")
	ip2    = netip.MustParseAddr("192.0.2.11")
	far    = netip.MustParseAddr("198.51.100.7")
)

const (
	mac1 = "52:54:00:00:00:01"
	mac2 = "52:54:00:00:00:02"
)

// Run tests the implementation that fresh returns, empty, for each case.
func Run(t *testing.T, fresh func(testing.TB) dhcp.Leases) {
	// Whole seconds, in UTC: a store may keep no more.
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	later := now.Add(time.Hour)
	bound := func(ip netip.Addr, mac string) dhcp.Lease {
		return dhcp.Lease{IP: ip, MAC: mac, State: ferric.LeaseBound, Expires: later}
	}
	// Each case runs these steps and then compares the leases in use in the subnet at the time at.
	tests := map[string]struct {
		steps func(t *testing.T, ctx context.Context, l dhcp.Leases)
		at    time.Time
		want  []dhcp.Lease
	}{
		"empty": {at: now, steps: func(t *testing.T, ctx context.Context, l dhcp.Leases) {
			_, err := l.ByMAC(ctx, mac1)
			code(t, "ByMAC", err, ferric.CodeNotFound)
		}},
		"stored": {at: now, want: []dhcp.Lease{bound(ip1, mac1)}, steps: func(t *testing.T, ctx context.Context, l dhcp.Leases) {
			code(t, "Put", l.Put(ctx, bound(ip1, mac1), now), "")
			got, err := l.ByMAC(ctx, mac1)
			code(t, "ByMAC", err, "")
			if diff := cmp.Diff(bound(ip1, mac1), got, equal); diff != "" {
				t.Errorf("ByMAC (-want +got):\n%s", diff)
			}
		}},
		"twice": {at: now, want: []dhcp.Lease{bound(ip1, mac1)}, steps: func(t *testing.T, ctx context.Context, l dhcp.Leases) {
			code(t, "Put", l.Put(ctx, bound(ip1, mac1), now), "")
			code(t, "Put", l.Put(ctx, bound(ip1, mac1), now), "")
		}},
		"expired is not in use": {at: later, steps: func(t *testing.T, ctx context.Context, l dhcp.Leases) {
			code(t, "Put", l.Put(ctx, bound(ip1, mac1), now), "")
		}},
		"expired is remembered": {at: later, steps: func(t *testing.T, ctx context.Context, l dhcp.Leases) {
			code(t, "Put", l.Put(ctx, bound(ip1, mac1), now), "")
			_, err := l.ByMAC(ctx, mac1)
			code(t, "ByMAC", err, "")
		}},
		"other subnet": {at: now, want: []dhcp.Lease{bound(ip1, mac1)}, steps: func(t *testing.T, ctx context.Context, l dhcp.Leases) {
			code(t, "Put", l.Put(ctx, bound(ip1, mac1), now), "")
			code(t, "Put", l.Put(ctx, bound(far, mac2), now), "")
		}},
		"one address per machine": {at: now, want: []dhcp.Lease{bound(ip2, mac1)}, steps: func(t *testing.T, ctx context.Context, l dhcp.Leases) {
			code(t, "Put", l.Put(ctx, bound(ip1, mac1), now), "")
			code(t, "Put", l.Put(ctx, bound(ip2, mac1), now), "")
		}},
		"address in use": {at: now, want: []dhcp.Lease{bound(ip1, mac1), bound(ip2, mac2)}, steps: func(t *testing.T, ctx context.Context, l dhcp.Leases) {
			code(t, "Put", l.Put(ctx, bound(ip1, mac1), now), "")
			code(t, "Put", l.Put(ctx, bound(ip2, mac2), now), "")
			code(t, "Put", l.Put(ctx, bound(ip1, mac2), now), ferric.CodeConflict)
		}},
		"expired address is taken over": {at: later, want: []dhcp.Lease{{IP: ip1, MAC: mac2, State: ferric.LeaseOffered, Expires: later.Add(time.Minute)}},
			steps: func(t *testing.T, ctx context.Context, l dhcp.Leases) {
				code(t, "Put", l.Put(ctx, bound(ip1, mac1), now), "")
				code(t, "Put", l.Put(ctx, dhcp.Lease{IP: ip1, MAC: mac2, State: ferric.LeaseOffered, Expires: later.Add(time.Minute)}, later), "")
				_, err := l.ByMAC(ctx, mac1)
				code(t, "ByMAC", err, ferric.CodeNotFound)
			}},
		"declined": {at: now, want: []dhcp.Lease{{IP: ip1, State: ferric.LeaseDeclined, Expires: later}}, steps: func(t *testing.T, ctx context.Context, l dhcp.Leases) {
			code(t, "Put", l.Put(ctx, bound(ip1, mac1), now), "")
			code(t, "Decline", l.Decline(ctx, mac1, ip1, later), "")
			_, err := l.ByMAC(ctx, mac1)
			code(t, "ByMAC", err, ferric.CodeNotFound)
			code(t, "Put", l.Put(ctx, bound(ip1, mac1), now), ferric.CodeConflict)
			code(t, "Put", l.Put(ctx, bound(ip1, mac2), now), ferric.CodeConflict)
		}},
		"two declined": {at: now, want: []dhcp.Lease{{IP: ip1, State: ferric.LeaseDeclined, Expires: later}, {IP: ip2, State: ferric.LeaseDeclined, Expires: later}},
			steps: func(t *testing.T, ctx context.Context, l dhcp.Leases) {
				for _, ip := range []netip.Addr{ip1, ip2} {
					code(t, "Put", l.Put(ctx, bound(ip, mac1), now), "")
					code(t, "Decline", l.Decline(ctx, mac1, ip, later), "")
				}
			}},
		"decline by a stranger": {at: now, want: []dhcp.Lease{bound(ip1, mac1)}, steps: func(t *testing.T, ctx context.Context, l dhcp.Leases) {
			code(t, "Put", l.Put(ctx, bound(ip1, mac1), now), "")
			code(t, "Decline", l.Decline(ctx, mac2, ip1, later), ferric.CodeNotFound)
			code(t, "Decline", l.Decline(ctx, mac1, ip2, later), ferric.CodeNotFound)
		}},
		"released": {at: now, steps: func(t *testing.T, ctx context.Context, l dhcp.Leases) {
			code(t, "Put", l.Put(ctx, bound(ip1, mac1), now), "")
			code(t, "Release", l.Release(ctx, mac1, ip1), "")
			code(t, "Release", l.Release(ctx, mac1, ip1), "")
		}},
		"released by a stranger": {at: now, want: []dhcp.Lease{bound(ip1, mac1)}, steps: func(t *testing.T, ctx context.Context, l dhcp.Leases) {
			code(t, "Put", l.Put(ctx, bound(ip1, mac1), now), "")
			code(t, "Release", l.Release(ctx, mac2, ip1), "")
			code(t, "Release", l.Release(ctx, mac1, ip2), "")
		}},
		"expire": {at: now, want: []dhcp.Lease{bound(ip1, mac1)}, steps: func(t *testing.T, ctx context.Context, l dhcp.Leases) {
			code(t, "Put", l.Put(ctx, bound(ip1, mac1), now), "")
			code(t, "Put", l.Put(ctx, dhcp.Lease{IP: ip2, MAC: mac2, State: ferric.LeaseOffered, Expires: now.Add(-time.Minute)}, now.Add(-time.Hour)), "")
			for _, want := range []int{1, 0} {
				n, err := l.Expire(ctx, now)
				code(t, "Expire", err, "")
				if n != want {
					t.Errorf("Expire removed %d leases, want %d", n, want)
				}
			}
			_, err := l.ByMAC(ctx, mac2)
			code(t, "ByMAC", err, ferric.CodeNotFound)
		}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			ctx, l := t.Context(), fresh(t)
			tt.steps(t, ctx, l)
			got, err := l.InUse(ctx, subnet, tt.at)
			code(t, "InUse", err, "")
			if diff := cmp.Diff(tt.want, got, equal, cmpopts.EquateEmpty(), byIP); diff != "" {
				t.Errorf("InUse (-want +got):\n%s", diff)
			}
		})
	}
	t.Run("one of many gets the address", func(t *testing.T) {
		ctx, l := t.Context(), fresh(t)
		var wg sync.WaitGroup
		var won atomic.Int32
		for i := range 8 {
			wg.Go(func() {
				err := l.Put(ctx, bound(ip1, fmt.Sprintf("52:54:00:00:00:%02x", i+1)), now)
				if err == nil {
					won.Add(1)
				} else if !ferric.IsCode(err, ferric.CodeConflict) {
					t.Errorf("Put: %v, want none or CodeConflict", err)
				}
			})
		}
		wg.Wait()
		if won.Load() != 1 {
			t.Errorf("%d machines were given one address, want 1", won.Load())
		}
	})
}

var (
	equal = cmp.Options{cmpopts.EquateComparable(netip.Addr{}), cmp.Comparer(func(a, b time.Time) bool { return a.Equal(b) })}
	byIP  = cmpopts.SortSlices(func(a, b dhcp.Lease) bool { return slices.Compare(a.IP.AsSlice(), b.IP.AsSlice()) < 0 })
)

func code(t *testing.T, what string, err error, want ferric.Code) {
	t.Helper()
	if got := ferric.ErrorCode(err); got != want {
		t.Errorf("%s: error %v has code %q, want %q", what, err, got, want)
	}
}
