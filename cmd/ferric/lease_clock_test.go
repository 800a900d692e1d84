package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"ferric/boot"
	"ferric/boot/dhcp"
	"ferric/store"
)

// wallClock is a host's clock, which somebody sets.
type wallClock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *wallClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *wallClock) leap(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// anyMachine is a directory in which every machine is known.
type anyMachine struct{}

func (anyMachine) Lookup(context.Context, string) (dhcp.Machine, error) {
	return dhcp.Machine{NodeUUID: "n"}, nil
}

// TestLeasesBearLeaps sets the clock by an hour and by a day, forth and back, while machines have leases and others want some. The pool is as large as there are
// machines at first: with each leap, an address given twice, or a lease that is lost, would show. Then an hour goes by, and the leases do end.
func TestLeasesBearLeaps(t *testing.T) {
	for _, engine := range []string{"sqlite", "postgres"} {
		t.Run(engine, func(t *testing.T) {
			wall := &wallClock{now: time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)}
			c := store.Defaults()
			c.DataDir, c.Now = t.TempDir(), wall.Now
			if engine == "postgres" {
				c.URL = postgres.Fresh(t)
			}
			db, err := store.Open(t.Context(), c, slog.New(slog.DiscardHandler))
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			clock := &leaseClock{store: db}
			address := netip.MustParseAddr("192.0.2.1")
			opts := dhcp.Options{Interface: "eth0", Address: address, LeaseTime: time.Hour, Site: boot.Site{HTTP: "http://192.0.2.1", TFTP: address}, Networks: []dhcp.Network{
				{Prefix: netip.MustParsePrefix("192.0.2.0/24"), First: netip.MustParseAddr("192.0.2.101"), Last: netip.MustParseAddr("192.0.2.104")}}}
			ask := func(machine int, kind dhcpv4.MessageType, more ...dhcpv4.Modifier) dhcp.Result {
				t.Helper()
				if err := clock.tick(t.Context()); err != nil {
					t.Fatal(err)
				}
				h, err := dhcp.NewHandler(opts, anyMachine{}, leases{db}, clock.Now)
				if err != nil {
					t.Fatal(err)
				}
				mac := net.HardwareAddr{0x52, 0x54, 0, 0, 0, byte(machine)}
				p, err := dhcpv4.New(append([]dhcpv4.Modifier{dhcpv4.WithHwAddr(mac), dhcpv4.WithMessageType(kind)}, more...)...)
				if err != nil {
					t.Fatal(err)
				}
				return h.Handle(t.Context(), dhcp.Request{Data: p.ToBytes(), From: netip.MustParseAddrPort("0.0.0.0:68"), Port: dhcp.ServerPort})
			}
			request := func(machine int) string {
				t.Helper()
				offer := ask(machine, dhcpv4.MessageTypeDiscover)
				if offer.Outcome != dhcp.OutcomeAnswered {
					return string(offer.Outcome)
				}
				res := ask(machine, dhcpv4.MessageTypeRequest, dhcpv4.WithOption(dhcpv4.OptRequestedIPAddress(offer.IP.AsSlice())))
				if res.Outcome != dhcp.OutcomeAnswered || res.IP != offer.IP {
					return fmt.Sprint(res.Outcome, res.Err)
				}
				return res.IP.String()
			}
			has, owner := map[int]string{}, map[string]int{}
			for machine := 1; machine <= 4; machine++ {
				has[machine] = request(machine)
				if owner[has[machine]] != 0 {
					t.Fatalf("machines %d and %d have %s", machine, owner[has[machine]], has[machine])
				}
				owner[has[machine]] = machine
			}
			for _, leap := range []time.Duration{time.Hour, -time.Hour, 24 * time.Hour, -48 * time.Hour, 25 * time.Hour} {
				wall.leap(leap)
				if leap > 20*time.Hour { // and the process is started anew
					clock = &leaseClock{store: db}
				}
				if got := request(9); got != string(dhcp.OutcomeFull) {
					t.Errorf("after a leap of %s a machine without a lease gets %s, which another one has", leap, got)
				}
				for machine, ip := range has {
					renewal := ask(machine, dhcpv4.MessageTypeRequest, dhcpv4.WithClientIP(net.ParseIP(ip).To4()))
					if renewal.Outcome != dhcp.OutcomeAnswered || renewal.IP.String() != ip {
						t.Errorf("after a leap of %s machine %d is not given %s again: %s, %v", leap, machine, ip, renewal.Outcome, renewal.Err)
					}
				}
			}
			for range 61 { // an hour, as it goes by
				wall.leap(time.Minute)
				if err := clock.tick(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			if got := request(9); owner[got] == 0 {
				t.Errorf("when all leases have ended a machine gets %s", got)
			}
		})
	}
}
