package dhcp_test

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"ferric"
	"ferric/boot"
	"ferric/boot/dhcp"
)

func TestOptions(t *testing.T) {
	addr := netip.MustParseAddr
	tests := map[string]struct {
		change func(*dhcp.Options)
		want   string // part of the error
	}{
		"good":          {func(*dhcp.Options) {}, ""},
		"no interface":  {func(o *dhcp.Options) { o.Interface = "" }, "interface"},
		"no address":    {func(o *dhcp.Options) { o.Address = netip.Addr{} }, "address"},
		"IPv6":          {func(o *dhcp.Options) { o.Address = addr("fd00::1") }, "address"},
		"no site":       {func(o *dhcp.Options) { o.Site = boot.Site{} }, "HTTP address"},
		"bad discovery": {func(o *dhcp.Options) { o.Discovery = "yes" }, "discovery"},
		"short lease":   {func(o *dhcp.Options) { o.LeaseTime = time.Second }, "lease_time"},
		"negative time": {func(o *dhcp.Options) { o.DeclineTime = -1 }, "decline_time"},
		"host bits":     {func(o *dhcp.Options) { o.Networks[0].Prefix = netip.MustParsePrefix("192.0.2.1/24") }, "host bits"},
		"too small":     {func(o *dhcp.Options) { o.Networks[1].Prefix = netip.MustParsePrefix("198.51.100.8/31") }, "between /8 and /30"},
		"overlap": {func(o *dhcp.Options) {
			o.Networks[1].Prefix = netip.MustParsePrefix("192.0.2.128/25")
			o.Networks[1].First = netip.Addr{}
			o.Networks[1].Last = netip.Addr{}
		}, "overlap"},
		"half a pool":         {func(o *dhcp.Options) { o.Networks[0].Last = netip.Addr{} }, "both"},
		"pool elsewhere":      {func(o *dhcp.Options) { o.Networks[0].Last = addr("10.0.0.1") }, "10.0.0.1"},
		"pool with broadcast": {func(o *dhcp.Options) { o.Networks[0].Last = addr("192.0.2.255") }, "192.0.2.255"},
		"pool upside down":    {func(o *dhcp.Options) { o.Networks[0].Last = addr("192.0.2.99") }, "before"},
		"huge pool": {func(o *dhcp.Options) {
			o.Networks = append(o.Networks, dhcp.Network{Prefix: netip.MustParsePrefix("10.0.0.0/8"), First: addr("10.0.0.1"), Last: addr("10.9.0.1")})
		}, "at most"},
		"gateway elsewhere": {func(o *dhcp.Options) { o.Networks[0].Gateway = addr("10.0.0.1") }, "gateway"},
		"IPv6 DNS":          {func(o *dhcp.Options) { o.Networks[0].DNS = []netip.Addr{addr("fd00::1")} }, "IPv4"},
		"many DNS": {func(o *dhcp.Options) {
			o.Networks[0].DNS = make([]netip.Addr, 9)
			for i := range 9 {
				o.Networks[0].DNS[i] = addr("192.0.2.53")
			}
		}, "at most 8"},
		"long domain":          {func(o *dhcp.Options) { o.Networks[0].Domain = strings.Repeat("x", 129) }, "domain"},
		"own network missing":  {func(o *dhcp.Options) { o.Networks = o.Networks[1:] }, "192.0.2.1"},
		"proxy needs none":     {func(o *dhcp.Options) { o.Networks = nil; o.Proxy = true }, ""},
		"boot files of nobody": {func(o *dhcp.Options) { o.BootFiles = map[boot.Flavor]map[uint16]string{"uboot": nil} }, "uboot"},
		"long boot file": {func(o *dhcp.Options) {
			o.BootFiles = map[boot.Flavor]map[uint16]string{boot.FlavorPXE: {0: strings.Repeat("x", 256)}}
		}, "255"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			o := options()
			tt.change(&o)
			_, err := dhcp.NewHandler(o, directory(), &dhcp.MemoryLeases{}, nil)
			if tt.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			if !ferric.IsCode(err, ferric.CodeInvalid) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v (code %s); want CodeInvalid about %q", err, ferric.ErrorCode(err), tt.want)
			}
		})
	}
	t.Run("no leases", func(t *testing.T) {
		if _, err := dhcp.NewHandler(options(), directory(), nil, nil); !ferric.IsCode(err, ferric.CodeInvalid) {
			t.Errorf("error %v, want CodeInvalid", err)
		}
	})
}
