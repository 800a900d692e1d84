package dhcp_test

import (
	"testing"

	"ferric/boot/dhcp"
	"ferric/boot/dhcp/leasetest"
)

func TestMemoryLeases(t *testing.T) {
	leasetest.Run(t, func(testing.TB) dhcp.Leases { return &dhcp.MemoryLeases{} })
}
