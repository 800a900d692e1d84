package dhcp_test

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/iana"

	"ferric"
	"ferric/boot"
	"ferric/boot/dhcp"
)

const (
	macKnown   = "52:54:00:00:00:01"
	macPXE     = "52:54:00:00:00:02"
	macIPXE    = "52:54:00:00:00:03"
	macFixed   = "52:54:00:00:00:04"
	macOther   = "52:54:00:00:00:05"
	macBroken  = "52:54:00:00:00:06"
	macFile    = "52:54:00:00:00:07"
	macScript  = "52:54:00:00:00:08"
	macNeutron = "52:54:00:00:00:09"
	macUnknown = "52:54:00:00:00:99"
	server     = "192.0.2.1"
	broadcast  = "255.255.255.255:68"
)

// machines is the directory of the tests.
type machines map[string]dhcp.Machine

func (m machines) Lookup(_ context.Context, mac string) (dhcp.Machine, error) {
	if mac == macBroken {
		return dhcp.Machine{}, errors.New("database is down")
	}
	if found, ok := m[mac]; ok {
		return found, nil
	}
	return dhcp.Machine{}, ferric.Errorf(ferric.CodeNotFound, "no machine has MAC address %s", mac)
}

func directory() machines {
	return machines{
		macKnown:   {NodeUUID: "known", Hostname: "metal-one"},
		macPXE:     {NodeUUID: "pxe", Boot: boot.FlavorPXE},
		macIPXE:    {NodeUUID: "ipxe", Boot: boot.FlavorIPXE},
		macFixed:   {NodeUUID: "fixed", Fixed: netip.MustParseAddr("192.0.2.5"), Hostname: "bad host\n"},
		macOther:   {NodeUUID: "other"},
		macNeutron: {NodeUUID: "neutron", Elsewhere: true, Boot: boot.FlavorIPXE},
		macFile:    {NodeUUID: "file", Boot: boot.FlavorPXE, BootFile: "special.efi"},
		macScript:  {NodeUUID: "script", Boot: boot.FlavorIPXE, BootFile: "my-ipxe.efi", Script: "http://192.0.2.9/my.ipxe"},
	}
}

func options() dhcp.Options {
	return dhcp.Options{
		Interface: "eth0", Address: netip.MustParseAddr(server),
		Site: boot.Site{HTTP: "http://192.0.2.1:8080", TFTP: netip.MustParseAddr("192.0.2.1")},
		Networks: []dhcp.Network{
			{Prefix: netip.MustParsePrefix("192.0.2.0/24"), First: netip.MustParseAddr("192.0.2.100"), Last: netip.MustParseAddr("192.0.2.102"),
				Gateway: netip.MustParseAddr("192.0.2.254"), DNS: []netip.Addr{netip.MustParseAddr("192.0.2.53")}, Domain: "example.org"},
			{Prefix: netip.MustParsePrefix("198.51.100.0/24"), First: netip.MustParseAddr("198.51.100.10"), Last: netip.MustParseAddr("198.51.100.10")},
			{Prefix: netip.MustParsePrefix("203.0.113.0/24")},
		},
	}
}

// clock is a clock that tests set.
type clock struct{ now time.Time }

func (c *clock) Now() time.Time { return c.now }

// rig is a handler with all that it works on.
type rig struct {
	t      *testing.T
	h      *dhcp.Handler
	leases *dhcp.MemoryLeases
	clock  *clock
}

func newRig(t *testing.T, change func(*dhcp.Options)) *rig {
	t.Helper()
	opts := options()
	if change != nil {
		change(&opts)
	}
	r := &rig{t: t, leases: &dhcp.MemoryLeases{}, clock: &clock{time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}}
	var err error
	if r.h, err = dhcp.NewHandler(opts, directory(), r.leases, r.clock.Now); err != nil {
		t.Fatal(err)
	}
	return r
}

type mod = dhcpv4.Modifier

// packet builds a request.
func packet(t testing.TB, mac string, kind dhcpv4.MessageType, mods ...mod) []byte {
	t.Helper()
	hw, err := net.ParseMAC(mac)
	if err != nil {
		t.Fatal(err)
	}
	p, err := dhcpv4.New(append([]mod{dhcpv4.WithHwAddr(hw), dhcpv4.WithMessageType(kind), dhcpv4.WithTransactionID(dhcpv4.TransactionID{1, 2, 3, 4})}, mods...)...)
	if err != nil {
		t.Fatal(err)
	}
	return p.ToBytes()
}

// handle handles a request, and checks what is true of every answer.
func (r *rig) handle(mac string, kind dhcpv4.MessageType, mods ...mod) dhcp.Result {
	r.t.Helper()
	return r.handleOn(dhcp.ServerPort, mac, kind, mods...)
}

func (r *rig) handleOn(port int, mac string, kind dhcpv4.MessageType, mods ...mod) dhcp.Result {
	r.t.Helper()
	res := r.h.Handle(r.t.Context(), dhcp.Request{Data: packet(r.t, mac, kind, mods...), From: netip.MustParseAddrPort("192.0.2.77:4711"), Port: port})
	replied := res.Outcome == dhcp.OutcomeAnswered || res.Outcome == dhcp.OutcomeRefused
	if (res.Reply != nil) != replied {
		r.t.Fatalf("outcome %s with reply %v", res.Outcome, res.Reply)
	}
	if res.Outcome != dhcp.OutcomeAnswered && res.Outcome != dhcp.OutcomeAccepted && res.Err == nil {
		r.t.Errorf("outcome %s without a reason", res.Outcome)
	}
	if res.Reply != nil {
		p := res.Reply.Packet
		if p.OpCode != dhcpv4.OpcodeBootReply || p.TransactionID != (dhcpv4.TransactionID{1, 2, 3, 4}) || p.ClientHWAddr.String() != mac || !p.ServerIdentifier().Equal(net.ParseIP(server)) {
			r.t.Errorf("reply does not fit the request:\n%s", p.Summary())
		}
		if again, err := dhcpv4.FromBytes(p.ToBytes()); err != nil {
			r.t.Errorf("reply cannot be parsed: %v", err)
		} else if diff := cmp.Diff(p.Options, again.Options); diff != "" {
			r.t.Errorf("options change on the wire:\n%s", diff)
		}
	}
	return res
}

func ip(s string) net.IP { return net.ParseIP(s).To4() }

func withArch(a iana.Arch) mod { return dhcpv4.WithOption(dhcpv4.OptClientArch(a)) }
func withClass(s string) mod   { return dhcpv4.WithOption(dhcpv4.OptClassIdentifier(s)) }
func withBytes(code uint8, b ...byte) mod {
	return dhcpv4.WithGeneric(dhcpv4.GenericOptionCode(code), b)
}

func wants(s string) mod { return dhcpv4.WithOption(dhcpv4.OptRequestedIPAddress(ip(s))) }
func from(s string) mod  { return dhcpv4.WithClientIP(ip(s)) }
func chosen(s string) mod {
	return dhcpv4.WithOption(dhcpv4.OptServerIdentifier(ip(s)))
}

func TestWhoIsAnswered(t *testing.T) {
	discover, request := dhcpv4.MessageTypeDiscover, dhcpv4.MessageTypeRequest
	tests := map[string]struct {
		mac     string
		kind    dhcpv4.MessageType
		mods    []mod
		change  func(*dhcp.Options)
		outcome dhcp.Outcome
	}{
		"known":                  {macKnown, discover, nil, nil, dhcp.OutcomeAnswered},
		"unknown":                {macUnknown, discover, nil, nil, dhcp.OutcomeUnknown},
		"unknown with discovery": {macUnknown, discover, nil, func(o *dhcp.Options) { o.Discovery = boot.FlavorIPXE }, dhcp.OutcomeAnswered},
		"directory fails":        {macBroken, discover, nil, func(o *dhcp.Options) { o.Discovery = boot.FlavorIPXE }, dhcp.OutcomeError},
		"other server chosen":    {macKnown, request, []mod{chosen("192.0.2.9"), wants("192.0.2.100")}, nil, dhcp.OutcomeIgnored},
		"request of nothing":     {macKnown, request, nil, nil, dhcp.OutcomeIgnored},
		"offer":                  {macKnown, dhcpv4.MessageTypeOffer, nil, nil, dhcp.OutcomeIgnored},
		"no message type":        {macKnown, dhcpv4.MessageTypeNone, nil, nil, dhcp.OutcomeGarbage},
		"reply":                  {macKnown, discover, []mod{func(p *dhcpv4.DHCPv4) { p.OpCode = dhcpv4.OpcodeBootReply }}, nil, dhcp.OutcomeGarbage},
		"not Ethernet":           {macKnown, discover, []mod{func(p *dhcpv4.DHCPv4) { p.HWType = iana.HWTypeInfiniband }}, nil, dhcp.OutcomeGarbage},
		"no address":             {macKnown, discover, []mod{func(p *dhcpv4.DHCPv4) { p.ClientHWAddr = nil }}, nil, dhcp.OutcomeGarbage},
		"multicast":              {"03:00:00:00:00:01", discover, nil, nil, dhcp.OutcomeGarbage},
		"all zeros":              {"00:00:00:00:00:00", discover, nil, nil, dhcp.OutcomeGarbage},
		"strange relay":          {macKnown, discover, []mod{dhcpv4.WithRelay(ip("10.9.9.9"))}, nil, dhcp.OutcomeIgnored},
		"fixed outside":          {macFixed, discover, []mod{dhcpv4.WithRelay(ip("198.51.100.1"))}, nil, dhcp.OutcomeError},
		"network without pool":   {macKnown, discover, []mod{dhcpv4.WithRelay(ip("203.0.113.1"))}, nil, dhcp.OutcomeFull},
		"inform without address": {macKnown, dhcpv4.MessageTypeInform, nil, nil, dhcp.OutcomeIgnored},
		"inform from elsewhere":  {macKnown, dhcpv4.MessageTypeInform, []mod{from("8.8.8.8")}, nil, dhcp.OutcomeIgnored},
		"decline of nothing":     {macKnown, dhcpv4.MessageTypeDecline, []mod{wants("192.0.2.100")}, nil, dhcp.OutcomeIgnored},
		"release of nothing":     {macKnown, dhcpv4.MessageTypeRelease, []mod{from("192.0.2.100")}, nil, dhcp.OutcomeAccepted},
		"release of unknown":     {macUnknown, dhcpv4.MessageTypeRelease, []mod{from("192.0.2.100")}, nil, dhcp.OutcomeUnknown},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			res := newRig(t, tt.change).handle(tt.mac, tt.kind, tt.mods...)
			if res.Outcome != tt.outcome {
				t.Errorf("outcome %s (%v), want %s", res.Outcome, res.Err, tt.outcome)
			}
		})
	}
}

// TestStranger lets machines take offers of other servers: of one of ours, which is as it should be, and of one that is not.
func TestStranger(t *testing.T) {
	ours := func(o *dhcp.Options) { o.Ours = func(a netip.Addr) bool { return a.String() == "192.0.2.2" } }
	proxy := func(o *dhcp.Options) { ours(o); o.Proxy = true }
	tests := map[string]struct {
		mac, server string
		change      func(*dhcp.Options)
		want        string
	}{
		"a stranger":            {macKnown, "192.0.2.66", ours, "192.0.2.66"},
		"another of ours":       {macKnown, "192.0.2.2", ours, ""},
		"not our machine":       {macUnknown, "192.0.2.66", ours, ""},
		"nobody knows who ours": {macKnown, "192.0.2.66", nil, ""},
		"beside which we work":  {macKnown, "192.0.2.66", proxy, ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			res := newRig(t, tt.change).handle(tt.mac, dhcpv4.MessageTypeRequest, chosen(tt.server), wants("192.0.2.100"))
			got := ""
			if res.Stranger.IsValid() {
				got = res.Stranger.String()
			}
			if got != tt.want || res.Outcome != dhcp.OutcomeIgnored {
				t.Errorf("stranger %q, outcome %s; want %q and no answer", got, res.Outcome, tt.want)
			}
		})
	}
}

func TestLease(t *testing.T) {
	r := newRig(t, nil)
	offer := r.handle(macKnown, dhcpv4.MessageTypeDiscover)
	if offer.Reply == nil || offer.Reply.Packet.MessageType() != dhcpv4.MessageTypeOffer {
		t.Fatalf("DISCOVER: %+v", offer)
	}
	got := offer.Reply.Packet
	address := got.YourIPAddr.String()
	if !strings.HasPrefix(address, "192.0.2.10") || offer.Reply.To.String() != address+":68" || offer.Reply.HW.String() != macKnown {
		t.Errorf("offer of %s goes to %s, Ethernet %s", address, offer.Reply.To, offer.Reply.HW)
	}
	want := dhcpv4.Options{
		53: {2}, 54: {192, 0, 2, 1}, 51: {0, 0, 0x0e, 0x10}, 58: {0, 0, 0x07, 0x08}, 59: {0, 0, 0x0c, 0x4e},
		1: {255, 255, 255, 0}, 28: {192, 0, 2, 255}, 3: {192, 0, 2, 254}, 6: {192, 0, 2, 53}, 15: []byte("example.org"), 12: []byte("metal-one"),
	}
	if diff := cmp.Diff(want, got.Options); diff != "" {
		t.Errorf("options of the offer (-want +got):\n%s", diff)
	}
	ack := r.handle(macKnown, dhcpv4.MessageTypeRequest, chosen(server), wants(address))
	if ack.Reply.Packet.MessageType() != dhcpv4.MessageTypeAck || ack.Reply.Packet.YourIPAddr.String() != address {
		t.Fatalf("REQUEST: %s", ack.Reply.Packet.Summary())
	}
	l, err := r.leases.ByMAC(t.Context(), macKnown)
	if err != nil || l.State != ferric.LeaseBound || !l.Expires.Equal(r.clock.now.Add(time.Hour)) {
		t.Errorf("lease after ACK: %+v, %v", l, err)
	}
	// A boot stage later: the same machine starts over and must get the same address, without losing the lease.
	if again := r.handle(macKnown, dhcpv4.MessageTypeDiscover, withBytes(61, 0, 'x')); again.IP.String() != address {
		t.Errorf("the second DISCOVER is offered %s, want %s", again.IP, address)
	}
	if l, _ := r.leases.ByMAC(t.Context(), macKnown); l.State != ferric.LeaseBound {
		t.Errorf("an offer turned the lease into %+v", l)
	}
	// Renewing: unicast to the address, and the lease is longer.
	r.clock.now = r.clock.now.Add(30 * time.Minute)
	renewed := r.handle(macKnown, dhcpv4.MessageTypeRequest, from(address))
	if renewed.Reply.Packet.MessageType() != dhcpv4.MessageTypeAck || renewed.Reply.To.String() != address+":68" || renewed.Reply.HW != nil {
		t.Errorf("renewal goes to %s, %s: %s", renewed.Reply.To, renewed.Reply.HW, renewed.Reply.Packet.Summary())
	}
	if l, _ := r.leases.ByMAC(t.Context(), macKnown); !l.Expires.Equal(r.clock.now.Add(time.Hour)) {
		t.Errorf("after renewal the lease ends at %s", l.Expires)
	}
	// Long after the end of the lease the machine still gets its address.
	r.clock.now = r.clock.now.Add(24 * time.Hour)
	if back := r.handle(macKnown, dhcpv4.MessageTypeDiscover); back.IP.String() != address {
		t.Errorf("the machine came back to %s, want %s", back.IP, address)
	}
}

func TestRefused(t *testing.T) {
	tests := map[string]struct {
		mac  string
		mods []mod
	}{
		"address of another machine": {macOther, []mod{wants("192.0.2.100")}},
		"wrong network":              {macKnown, []mod{wants("10.0.0.7")}},
		"outside of the pool":        {macKnown, []mod{wants("192.0.2.50")}},
		"not the offered one":        {macFixed, []mod{chosen(server), wants("192.0.2.101")}},
		"renewal of a lost address":  {macOther, []mod{from("192.0.2.100")}},
		"no pool":                    {macKnown, []mod{dhcpv4.WithRelay(ip("203.0.113.1")), wants("203.0.113.7")}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, nil)
			if first := r.handle(macPXE, dhcpv4.MessageTypeRequest, wants("192.0.2.100")); first.Outcome != dhcp.OutcomeAnswered {
				t.Fatalf("the first machine's restart: %+v", first)
			}
			res := r.handle(tt.mac, dhcpv4.MessageTypeRequest, tt.mods...)
			if res.Outcome != dhcp.OutcomeRefused || res.Reply.Packet.MessageType() != dhcpv4.MessageTypeNak {
				t.Fatalf("outcome %s (%v), want a NAK", res.Outcome, res.Err)
			}
			p := res.Reply.Packet
			if p.YourIPAddr != nil || p.BootFileName != "" || p.Options.Has(dhcpv4.OptionIPAddressLeaseTime) {
				t.Errorf("a NAK must carry no address, boot file or lease:\n%s", p.Summary())
			}
			if relayed := p.GatewayIPAddr.To4() != nil && !p.GatewayIPAddr.Equal(net.IPv4zero); relayed {
				if !p.IsBroadcast() || res.Reply.To.String() != "203.0.113.1:67" {
					t.Errorf("relayed NAK goes to %s, broadcast %t", res.Reply.To, p.IsBroadcast())
				}
			} else if res.Reply.To.String() != broadcast {
				t.Errorf("NAK goes to %s, want %s", res.Reply.To, broadcast)
			}
		})
	}
}

func TestPool(t *testing.T) {
	r := newRig(t, nil)
	dir := directory()
	got := map[string]string{}
	for _, mac := range []string{macKnown, macPXE, macIPXE} {
		res := r.handle(mac, dhcpv4.MessageTypeDiscover)
		if res.Outcome != dhcp.OutcomeAnswered {
			t.Fatalf("%s: %+v", mac, res)
		}
		if other, taken := got[res.IP.String()]; taken {
			t.Errorf("%s was offered to %s and %s", res.IP, other, mac)
		}
		got[res.IP.String()] = dir[mac].NodeUUID
	}
	if res := r.handle(macOther, dhcpv4.MessageTypeDiscover); res.Outcome != dhcp.OutcomeFull || !strings.Contains(res.Err.Error(), "192.0.2.0/24") {
		t.Errorf("the pool has 3 addresses, but the fourth machine: %s, %v", res.Outcome, res.Err)
	}
	if res := r.handle(macFixed, dhcpv4.MessageTypeDiscover); res.IP.String() != "192.0.2.5" || res.Reply.Packet.HostName() != "" {
		t.Errorf("fixed address: %s, host name %q (the machine's is not a valid one)", res.IP, res.Reply.Packet.HostName())
	}
	// Offers that nobody took are free again after a minute.
	r.clock.now = r.clock.now.Add(61 * time.Second)
	if res := r.handle(macOther, dhcpv4.MessageTypeDiscover); res.Outcome != dhcp.OutcomeAnswered {
		t.Errorf("after the offers ended: %s, %v", res.Outcome, res.Err)
	}
}

func TestDecline(t *testing.T) {
	r := newRig(t, func(o *dhcp.Options) { o.Networks = o.Networks[:1]; o.Networks[0].Last = o.Networks[0].First })
	if res := r.handle(macKnown, dhcpv4.MessageTypeRequest, wants("192.0.2.100")); res.Outcome != dhcp.OutcomeAnswered {
		t.Fatal(res)
	}
	if res := r.handle(macKnown, dhcpv4.MessageTypeDecline, chosen(server), wants("192.0.2.100")); res.Outcome != dhcp.OutcomeAccepted {
		t.Fatal(res)
	}
	for _, mac := range []string{macKnown, macOther} {
		if res := r.handle(mac, dhcpv4.MessageTypeDiscover); res.Outcome != dhcp.OutcomeFull {
			t.Errorf("%s was offered the declined address: %+v", mac, res)
		}
	}
	r.clock.now = r.clock.now.Add(10 * time.Minute)
	if res := r.handle(macOther, dhcpv4.MessageTypeDiscover); res.Outcome != dhcp.OutcomeAnswered {
		t.Errorf("ten minutes later: %s, %v", res.Outcome, res.Err)
	}
}

func TestRelease(t *testing.T) {
	r := newRig(t, nil)
	r.handle(macKnown, dhcpv4.MessageTypeRequest, wants("192.0.2.100"))
	r.handle(macKnown, dhcpv4.MessageTypeRelease, chosen(server), from("192.0.2.100"))
	if res := r.handle(macOther, dhcpv4.MessageTypeRequest, wants("192.0.2.100")); res.Outcome != dhcp.OutcomeAnswered {
		t.Errorf("a released address is not free: %s, %v", res.Outcome, res.Err)
	}
}

func TestRelay(t *testing.T) {
	info := []byte{1, 4, 'p', 'o', 'r', 't', 2, 2, 'r', '1'}
	tests := map[string]struct {
		mods    []mod
		address string
		to      string
	}{
		"relayed":                {[]mod{dhcpv4.WithRelay(ip("198.51.100.1")), withBytes(82, info...)}, "198.51.100.10", "198.51.100.1:67"},
		"link selection":         {[]mod{dhcpv4.WithRelay(ip("192.0.2.254")), withBytes(82, append(info[:len(info):len(info)], 5, 4, 198, 51, 100, 0)...)}, "198.51.100.10", "192.0.2.254:67"},
		"renewal past the relay": {[]mod{from("198.51.100.10"), dhcpv4.WithMessageType(dhcpv4.MessageTypeRequest)}, "198.51.100.10", "198.51.100.10:68"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			res := newRig(t, nil).handle(macKnown, dhcpv4.MessageTypeDiscover, tt.mods...)
			if res.Outcome != dhcp.OutcomeAnswered {
				t.Fatalf("%s: %v", res.Outcome, res.Err)
			}
			if res.IP.String() != tt.address || res.Reply.To.String() != tt.to || res.Reply.HW != nil {
				t.Errorf("offer of %s goes to %s, Ethernet %s; want %s to %s", res.IP, res.Reply.To, res.Reply.HW, tt.address, tt.to)
			}
			req, err := dhcpv4.FromBytes(packet(t, macKnown, dhcpv4.MessageTypeDiscover, tt.mods...))
			if err != nil {
				t.Fatal(err)
			}
			for _, code := range []uint8{82} {
				if diff := cmp.Diff(req.Options[code], res.Reply.Packet.Options[code]); diff != "" {
					t.Errorf("option %d does not come back as it was:\n%s", code, diff)
				}
			}
			if !res.Reply.Packet.GatewayIPAddr.Equal(req.GatewayIPAddr) {
				t.Errorf("giaddr is %s, want %s", res.Reply.Packet.GatewayIPAddr, req.GatewayIPAddr)
			}
		})
	}
	t.Run("link selection elsewhere", func(t *testing.T) {
		res := newRig(t, nil).handle(macKnown, dhcpv4.MessageTypeDiscover, dhcpv4.WithRelay(ip("192.0.2.254")), withBytes(82, 5, 4, 10, 0, 0, 0))
		if res.Outcome != dhcp.OutcomeIgnored {
			t.Errorf("outcome %s, want ignored", res.Outcome)
		}
	})
}

func TestIdentifiersComeBack(t *testing.T) {
	id := append([]byte{0}, "0123456789abcdef"...)
	res := newRig(t, nil).handle(macPXE, dhcpv4.MessageTypeDiscover, withClass("PXEClient"), withBytes(61, 1, 2, 3), withBytes(97, id...))
	got := res.Reply.Packet.Options
	if diff := cmp.Diff([]byte{1, 2, 3}, got[61]); diff != "" {
		t.Errorf("option 61:\n%s", diff)
	}
	if diff := cmp.Diff(id, got[97]); diff != "" {
		t.Errorf("option 97:\n%s", diff)
	}
	res = newRig(t, nil).handle(macPXE, dhcpv4.MessageTypeDiscover, withClass("PXEClient"), withBytes(97, 7, 7))
	if got := res.Reply.Packet.Options; got.Has(dhcpv4.OptionClientMachineIdentifier) {
		t.Errorf("a malformed option 97 came back: %v", got[97])
	}
	if res := newRig(t, nil).handle(macKnown, dhcpv4.MessageTypeDiscover, dhcpv4.WithBroadcast(true)); res.Reply.To.String() != broadcast || res.Reply.HW != nil {
		t.Errorf("a machine that asks for broadcast is answered at %s", res.Reply.To)
	}
}

// TestSize gives a machine more settings than a small client's buffer holds: the least important are left out.
func TestSize(t *testing.T) {
	r := newRig(t, func(o *dhcp.Options) {
		o.Networks[0].Domain = strings.Repeat("d", 128)
		o.Networks[0].NTP = []netip.Addr{netip.MustParseAddr(server)}
	})
	id := withBytes(61, []byte(strings.Repeat("i", 200))...)
	size := func(n uint16) mod { return dhcpv4.WithOption(dhcpv4.OptMaxMessageSize(n)) }
	for name, tt := range map[string]struct {
		mods   []mod
		limit  int
		domain bool
	}{
		"unsaid": {nil, 576, false}, "small": {[]mod{size(576)}, 576, false}, "smaller than allowed": {[]mod{size(100)}, 576, false}, "large": {[]mod{size(1500)}, 1500, true},
	} {
		p := r.handle(macPXE, dhcpv4.MessageTypeDiscover, append(append(biosPXE[:2:2], id), tt.mods...)...).Reply.Packet
		if n := len(p.ToBytes()) + 28; n > tt.limit {
			t.Errorf("%s: the datagram has %d bytes, want at most %d", name, n, tt.limit)
		}
		if p.Options.Has(dhcpv4.OptionDomainName) != tt.domain {
			t.Errorf("%s: domain present: %t, want %t", name, !tt.domain, tt.domain)
		}
		if string(p.Options[67]) != "lpxelinux.0" || !p.Options.Has(dhcpv4.OptionSubnetMask) {
			t.Errorf("%s: the boot file or netmask was left out:\n%s", name, p.Summary())
		}
	}
}

// TestServedElsewhere: a machine that another DHCP server serves gets no answer, not even where unknown ones do.
func TestServedElsewhere(t *testing.T) {
	for _, proxy := range []bool{false, true} {
		r := newRig(t, func(o *dhcp.Options) { o.Proxy, o.Discovery = proxy, boot.FlavorIPXE })
		res := r.h.Handle(t.Context(), dhcp.Request{Data: packet(t, macNeutron, dhcpv4.MessageTypeDiscover), Port: dhcp.ServerPort})
		if res.Reply != nil || res.Outcome != dhcp.OutcomeIgnored || res.Err == nil {
			t.Errorf("proxy %v: %s, %v, %v", proxy, res.Outcome, res.Reply, res.Err)
		}
	}
}
