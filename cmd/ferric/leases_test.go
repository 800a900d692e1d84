package main

import (
	"log/slog"
	"testing"

	"ferric/boot/dhcp"
	"ferric/boot/dhcp/leasetest"
	"ferric/store"
)

// TestLeases holds the database to what the DHCP server expects of its leases.
func TestLeases(t *testing.T) {
	leasetest.Run(t, func(t testing.TB) dhcp.Leases {
		c := store.Defaults()
		c.DataDir = t.TempDir()
		s, err := store.Open(t.Context(), c, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.Close() })
		return leases{s}
	})
}
