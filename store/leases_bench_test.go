package store_test

import (
	"testing"
	"time"

	"ferric/flow"
)

// BenchmarkRenew is what a conductor does every second: it renews the leases of the 500 operations that it works at.
func BenchmarkRenew(b *testing.B) {
	const held = 500
	benchEach(b, func(b *testing.B, e *env) {
		var leases []flow.Lease
		for i := range held {
			leases = append(leases, e.lease(b, benchNode(b, e, i).UUID))
		}
		for b.Loop() {
			kept, err := e.Renew(b.Context(), leases, time.Minute)
			if err != nil || len(kept) != held {
				b.Fatalf("%d of %d leases were renewed: %v", len(kept), held, err)
			}
		}
	})
}
