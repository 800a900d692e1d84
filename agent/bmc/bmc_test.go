package bmc_test

import (
	"context"
	"errors"
	"net"
	"testing"

	"ferric"
	"ferric/agent/bmc"
)

// controller answers Get LAN Configuration Parameters from a table of channel, parameter and set.
type controller map[[3]byte][]byte

func (c controller) Do(_ context.Context, netFn, cmd byte, data ...byte) ([]byte, error) {
	if netFn != 0x0c || cmd != 0x02 || len(data) != 4 {
		return nil, errors.New("invalid command")
	}
	v, ok := c[[3]byte{data[0], data[1], data[2]}]
	if !ok {
		return nil, errors.New("parameter not supported")
	}
	return append([]byte{0x11}, v...), nil
}

func v6(set, source byte, ip string, status byte) []byte {
	return append(append([]byte{set, source}, net.ParseIP(ip)...), 64, status)
}

func TestAsk(t *testing.T) {
	mac := []byte{0x52, 0x54, 0, 1, 2, 3}
	tests := map[string]struct {
		c    controller
		want bmc.Addresses
	}{
		"one channel":       {controller{{1, 3}: {192, 0, 2, 9}, {1, 5}: mac}, bmc.Addresses{"192.0.2.9", "::/0", "52:54:00:01:02:03"}},
		"second channel":    {controller{{1, 3}: {0, 0, 0, 0}, {1, 5}: {9, 9, 9, 9, 9, 9}, {8, 3}: {192, 0, 2, 9}, {8, 5}: mac}, bmc.Addresses{"192.0.2.9", "::/0", "52:54:00:01:02:03"}},
		"not configured":    {controller{{1, 3}: {0, 0, 0, 0}, {1, 5}: mac}, bmc.Addresses{"0.0.0.0", "::/0", ""}},
		"no LAN":            {controller{}, bmc.Addresses{"0.0.0.0", "::/0", ""}},
		"IPv6 by SLAAC":     {controller{{1, 3}: {0, 0, 0, 0}, {1, 5}: mac, {1, 51}: {1}, {1, 55}: {1, 1}, {1, 59, 0}: v6(0, 1, "2001:db8::9", 0), {1, 56, 0}: v6(0, 0x80, "2001:db8::1", 0)}, bmc.Addresses{"0.0.0.0", "2001:db8::9", "52:54:00:01:02:03"}},
		"IPv6 static":       {controller{{1, 3}: {192, 0, 2, 9}, {1, 51}: {2}, {1, 55}: {2, 1}, {1, 59, 0}: v6(0, 1, "2001:db8::9", 3), {1, 56, 0}: v6(0, 0, "2001:db8::1", 0), {1, 56, 1}: v6(1, 0x80, "2001:db8::2", 0)}, bmc.Addresses{"192.0.2.9", "2001:db8::2", ""}},
		"IPv6 switched off": {controller{{1, 3}: {192, 0, 2, 9}, {1, 51}: {0}, {1, 55}: {2, 1}, {1, 59, 0}: v6(0, 1, "2001:db8::9", 0)}, bmc.Addresses{"192.0.2.9", "::/0", ""}},
		"short answers":     {controller{{1, 3}: {192, 0}, {2, 3}: {192, 0, 2, 9}, {2, 5}: {1}, {2, 51}: {2}, {2, 55}: {255}}, bmc.Addresses{"192.0.2.9", "::/0", ""}},
	}
	for name, tt := range tests {
		if got := bmc.Ask(context.Background(), tt.c); got != tt.want {
			t.Errorf("%s: got %+v, want %+v", name, got, tt.want)
		}
	}
}

func TestNoDevice(t *testing.T) {
	if _, err := bmc.Open(t.TempDir()); !ferric.IsCode(err, ferric.CodeNotFound) {
		t.Errorf("got %v", err)
	}
}
