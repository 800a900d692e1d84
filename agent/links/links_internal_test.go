package links

import (
	"net"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/insomniacslk/dhcp/dhcpv4"

	"ferric"
)

func cidr(s string) *net.IPNet {
	ip, n, err := net.ParseCIDR(s)
	if err != nil {
		panic(err)
	}
	n.IP = ip
	if v4 := ip.To4(); v4 != nil {
		n.IP = v4
	}
	return n
}

func TestFromACK(t *testing.T) {
	base := []dhcpv4.Modifier{dhcpv4.WithYourIP(net.IPv4(10, 0, 2, 15)), dhcpv4.WithNetmask(net.CIDRMask(24, 32))}
	tests := map[string]struct {
		mods []dhcpv4.Modifier
		want Settings
	}{
		"plain": {[]dhcpv4.Modifier{dhcpv4.WithRouter(net.IPv4(10, 0, 2, 2)), dhcpv4.WithDNS(net.IPv4(10, 0, 2, 3)), dhcpv4.WithOption(dhcpv4.OptDomainName("lab"))},
			Settings{Address: cidr("10.0.2.15/24"), Gateway: net.IPv4(10, 0, 2, 2).To4(), DNS: []net.IP{net.IPv4(10, 0, 2, 3).To4()}, Search: []string{"lab"}}},
		"classless routes beat the router": {[]dhcpv4.Modifier{dhcpv4.WithRouter(net.IPv4(10, 0, 2, 99)),
			dhcpv4.WithOption(dhcpv4.OptClasslessStaticRoute(
				&dhcpv4.Route{Dest: cidr("0.0.0.0/0"), Router: net.IPv4(10, 0, 2, 1)},
				&dhcpv4.Route{Dest: cidr("10.9.0.0/16"), Router: net.IPv4(10, 0, 2, 4)},
				&dhcpv4.Route{Dest: cidr("10.8.0.0/16"), Router: net.IPv4zero}))},
			Settings{Address: cidr("10.0.2.15/24"), Gateway: net.IPv4(10, 0, 2, 1).To4(), Routes: []Route{
				{Dest: cidr("10.9.0.0/16"), Gateway: net.IPv4(10, 0, 2, 4).To4()}, {Dest: cidr("10.8.0.0/16")}}}},
		"mtu":       {[]dhcpv4.Modifier{dhcpv4.WithGeneric(dhcpv4.OptionInterfaceMTU, []byte{0x23, 0x28})}, Settings{Address: cidr("10.0.2.15/24"), MTU: 9000}},
		"silly mtu": {[]dhcpv4.Modifier{dhcpv4.WithGeneric(dhcpv4.OptionInterfaceMTU, []byte{0, 9})}, Settings{Address: cidr("10.0.2.15/24")}},
		"no mask":   {[]dhcpv4.Modifier{dhcpv4.WithGeneric(dhcpv4.OptionSubnetMask, nil)}, Settings{Address: cidr("10.0.2.15/8")}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			ack, err := dhcpv4.New(append(append([]dhcpv4.Modifier(nil), base...), tt.mods...)...)
			if err != nil {
				t.Fatal(err)
			}
			again, err := dhcpv4.FromBytes(ack.ToBytes()) // as it comes from the wire
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, fromACK(again)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestRenewAfter(t *testing.T) {
	for name, tt := range map[string]struct {
		mods []dhcpv4.Modifier
		want time.Duration
	}{
		"none":          {nil, 30 * time.Minute},
		"half":          {[]dhcpv4.Modifier{dhcpv4.WithLeaseTime(120)}, time.Minute},
		"T1":            {[]dhcpv4.Modifier{dhcpv4.WithLeaseTime(120), dhcpv4.WithOption(dhcpv4.OptRenewTimeValue(20 * time.Second))}, 20 * time.Second},
		"never at once": {[]dhcpv4.Modifier{dhcpv4.WithLeaseTime(1)}, 10 * time.Second},
	} {
		ack, err := dhcpv4.New(tt.mods...)
		if err != nil {
			t.Fatal(err)
		}
		if got := renewAfter(ack); got != tt.want {
			t.Errorf("%s: %v, want %v", name, got, tt.want)
		}
	}
}

func TestParseIP(t *testing.T) {
	tests := map[string]struct {
		text string
		want Static
		ok   bool
		bad  bool
	}{
		"dhcp":        {text: "dhcp"},
		"off":         {text: "off"},
		"device dhcp": {text: ":::::eth0:dhcp"},
		"full": {text: "192.0.2.7::192.0.2.1:255.255.255.0:host:eth1:off:192.0.2.53", ok: true, want: Static{Device: "eth1",
			Settings: Settings{Address: cidr("192.0.2.7/24"), Gateway: net.IPv4(192, 0, 2, 1), Hostname: "host", DNS: []net.IP{net.IPv4(192, 0, 2, 53)}}}},
		"prefix length":  {text: "192.0.2.7::192.0.2.1:25::eth1", ok: true, want: Static{Device: "eth1", Settings: Settings{Address: cidr("192.0.2.7/25"), Gateway: net.IPv4(192, 0, 2, 1)}}},
		"in the address": {text: "192.0.2.7/26:::", ok: true, want: Static{Settings: Settings{Address: cidr("192.0.2.7/26")}}},
		"IPv6": {text: "[2001:db8::7]::[2001:db8::1]:64::eth0:none", ok: true, want: Static{Device: "eth0",
			Settings: Settings{Address: cidr("2001:db8::7/64"), Gateway: net.ParseIP("2001:db8::1")}}},
		"bad address": {text: "x:::255.0.0.0", bad: true},
		"no mask":     {text: "192.0.2.7::192.0.2.1:", bad: true},
		"bad mask":    {text: "192.0.2.7:::99", bad: true},
		"bad gateway": {text: "192.0.2.7::gw:24", bad: true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got, ok, err := ParseIP(tt.text)
			if tt.bad {
				if !ferric.IsCode(err, ferric.CodeInvalid) {
					t.Errorf("got %v, want CodeInvalid", err)
				}
				return
			}
			if err != nil || ok != tt.ok {
				t.Fatalf("ok %t, %v", ok, err)
			}
			if diff := cmp.Diff(tt.want, got, cmp.Comparer(func(a, b net.IP) bool { return a.Equal(b) })); ok && diff != "" {
				t.Error(diff)
			}
		})
	}
}

func FuzzParseIP(f *testing.F) {
	for _, s := range []string{"dhcp", "192.0.2.7::192.0.2.1:24:h:eth0:off:1.1.1.1", "[::1]::[::2]:64", "[[]:", ":"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		st, ok, err := ParseIP(s)
		if ok && (err != nil || st.Address == nil || len(st.Address.Mask) == 0) {
			t.Fatalf("%+v %v", st, err)
		}
	})
}
