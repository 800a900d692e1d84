package ra_test

import (
	"context"
	"encoding/binary"
	"log/slog"
	"net"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/ipv6"

	"ferric"
	"ferric/boot/internal/netlab"
	"ferric/boot/ra"
)

var nsNumber atomic.Int64

// TestAdvertisement asks for a router as a machine does, and looks at the answer's every byte that matters.
func TestAdvertisement(t *testing.T) {
	tests := map[string]struct {
		prefix netip.Prefix
		ask    bool
	}{
		"unsolicited": {},
		"solicited":   {ask: true},
		"prefix":      {prefix: netip.MustParsePrefix("fd00:77::/64")},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			host, client := netlab.New(t, &nsNumber), netlab.New(t, &nsNumber)
			host.Connect("eth0", client, "c0")
			p, ifi := listen(t, client)
			opts := ra.Options{Interface: "eth0", Interval: 4 * time.Second, Prefix: tt.prefix}
			if tt.ask {
				opts.Interval = 30 * time.Minute // so that only asking helps, after the first
			}
			s := ra.NewSender(opts, slog.New(slog.DiscardHandler))
			var err error
			host.Do(func() { err = s.Listen(t.Context()) })
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error, 1)
			go func() { done <- s.Serve(ctx) }()
			defer func() {
				cancel()
				if err := <-done; err != nil {
					t.Errorf("Serve: %v", err)
				}
			}()
			msg := receive(t, p)
			if tt.ask {
				solicitation := []byte{byte(ipv6.ICMPTypeRouterSolicitation), 0, 0, 0, 0, 0, 0, 0}
				to := &net.IPAddr{IP: net.ParseIP("ff02::2")}
				// It takes a second or two until the interface may use its address.
				for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(50 * time.Millisecond) {
					_, err := p.WriteTo(solicitation, &ipv6.ControlMessage{HopLimit: 255, IfIndex: ifi.Index}, to)
					if err == nil {
						break
					}
					if time.Now().After(deadline) {
						t.Fatal(err)
					}
				}
				msg = receive(t, p)
			}
			if flags, lifetime := msg[5], binary.BigEndian.Uint16(msg[6:]); flags != 0 || lifetime != 0 {
				t.Errorf("flags %#x, router lifetime %d; want 0 and 0", flags, lifetime)
			}
			options := map[byte][]byte{}
			for b := msg[16:]; len(b) >= 8; b = b[8*int(b[1]):] {
				options[b[0]] = b[:8*int(b[1])]
			}
			if options[1] == nil || binary.BigEndian.Uint32(options[5][4:]) != 1500 {
				t.Errorf("options %v; want the link-layer address and MTU 1500", options)
			}
			if !tt.prefix.IsValid() {
				if options[3] != nil {
					t.Errorf("a prefix is announced: %v", options[3])
				}
				return
			}
			if o := options[3]; o == nil || o[2] != 64 || o[3] != 0xc0 || netip.AddrFrom16([16]byte(o[16:32])) != tt.prefix.Addr() {
				t.Errorf("prefix option: %v", o)
			}
		})
	}
}

// listen opens a socket for advertisements in the client's namespace.
func listen(t *testing.T, n *netlab.Net) (*ipv6.PacketConn, *net.Interface) {
	t.Helper()
	var p *ipv6.PacketConn
	var ifi *net.Interface
	var err error
	n.Do(func() {
		var conn net.PacketConn
		if ifi, err = net.InterfaceByName("c0"); err != nil {
			return
		}
		if conn, err = net.ListenPacket("ip6:ipv6-icmp", "::"); err == nil {
			t.Cleanup(func() { conn.Close() })
			p = ipv6.NewPacketConn(conn)
			err = p.JoinGroup(ifi, &net.IPAddr{IP: net.ParseIP("ff02::1")})
		}
	})
	if err == nil {
		err = p.SetControlMessage(ipv6.FlagHopLimit, true)
	}
	if err == nil {
		err = p.SetReadDeadline(time.Now().Add(30 * time.Second))
	}
	if err != nil {
		t.Fatal(err)
	}
	return p, ifi
}

// receive returns the next router advertisement, which must come from one link away.
func receive(t *testing.T, p *ipv6.PacketConn) []byte {
	t.Helper()
	buf := make([]byte, 1500)
	for {
		n, cm, from, err := p.ReadFrom(buf)
		if err != nil {
			t.Fatal(err)
		}
		if buf[0] != byte(ipv6.ICMPTypeRouterAdvertisement) {
			continue
		}
		if addr := from.(*net.IPAddr); cm.HopLimit != 255 || !addr.IP.IsLinkLocalUnicast() {
			t.Errorf("from %s with hop limit %d; want a link-local address and 255", addr, cm.HopLimit)
		}
		return buf[:n:n]
	}
}

func TestListenErrors(t *testing.T) {
	host := netlab.New(t, &nsNumber)
	host.Bridge("br0")
	tests := map[string]ra.Options{
		"no interface":   {Interface: "eth9"},
		"short interval": {Interface: "br0", Interval: time.Second},
		"long interval":  {Interface: "br0", Interval: time.Hour},
		"public prefix":  {Interface: "br0", Prefix: netip.MustParsePrefix("2001:db8::/64")},
		"not a /64":      {Interface: "br0", Prefix: netip.MustParsePrefix("fd00::/48")},
		"IPv4 prefix":    {Interface: "br0", Prefix: netip.MustParsePrefix("192.0.2.0/24")},
	}
	for name, opts := range tests {
		t.Run(name, func(t *testing.T) {
			s := ra.NewSender(opts, slog.New(slog.DiscardHandler))
			defer s.Close()
			var err error
			host.Do(func() { err = s.Listen(t.Context()) })
			if !ferric.IsCode(err, ferric.CodeInvalid) {
				t.Errorf("error %v, want CodeInvalid", err)
			}
		})
	}
}
