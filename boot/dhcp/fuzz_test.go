package dhcp_test

import (
	"net/netip"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"ferric/boot"
	"ferric/boot/dhcp"
)

// FuzzHandle throws any bytes at servers of both kinds: they must not panic, must answer only what parses as a request
// from a proper Ethernet address, and what they answer must parse again.
func FuzzHandle(f *testing.F) {
	kinds := []dhcpv4.MessageType{dhcpv4.MessageTypeDiscover, dhcpv4.MessageTypeRequest, dhcpv4.MessageTypeInform, dhcpv4.MessageTypeDecline, dhcpv4.MessageTypeRelease}
	for _, kind := range kinds {
		for _, mods := range [][]mod{nil, biosPXE, uefiPXE, uefiHTTP, biosIPXE, {wants("192.0.2.100"), from("192.0.2.101")},
			{dhcpv4.WithRelay(ip("198.51.100.1")), withBytes(82, 5, 4, 192, 0, 2, 0)}, {withBytes(61, 1), withBytes(97, make([]byte, 17)...)}} {
			f.Add(packet(f, macIPXE, kind, mods...), false, false)
			f.Add(packet(f, macUnknown, kind, mods...), true, true)
		}
	}
	f.Add([]byte{}, false, false)
	f.Add(make([]byte, 240), true, false)
	opts := options()
	opts.Discovery = boot.FlavorIPXE
	f.Fuzz(func(t *testing.T, data []byte, proxy, port4011 bool) {
		o := opts
		o.Proxy = proxy
		h, err := dhcp.NewHandler(o, directory(), &dhcp.MemoryLeases{}, func() time.Time { return time.Unix(1e9, 0) })
		if err != nil {
			t.Fatal(err)
		}
		port := dhcp.ServerPort
		if port4011 {
			port = dhcp.ProxyPort
		}
		res := h.Handle(t.Context(), dhcp.Request{Data: data, From: netip.MustParseAddrPort("192.0.2.77:68"), Port: port})
		if res.Reply == nil {
			return
		}
		req, err := dhcpv4.FromBytes(data)
		if err != nil || req.OpCode != dhcpv4.OpcodeBootRequest || len(req.ClientHWAddr) != 6 || req.MessageType() == dhcpv4.MessageTypeNone {
			t.Fatalf("garbage was answered (%v)", err)
		}
		to := res.Reply.To.Addr()
		local := false
		for _, n := range o.Networks {
			local = local || n.Prefix.Contains(to)
		}
		if !local && to.String() != "255.255.255.255" {
			t.Fatalf("answer goes to %s", to)
		}
		if _, err := dhcpv4.FromBytes(res.Reply.Packet.ToBytes()); err != nil {
			t.Fatalf("the answer cannot be parsed: %v", err)
		}
	})
}
