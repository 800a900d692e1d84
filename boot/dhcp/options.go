package dhcp

import (
	"net/netip"
	"time"

	"ferric"
	"ferric/boot"
)

// Network is one subnet that addresses are given on: the interface's own, or one behind a relay.
type Network struct {
	Prefix  netip.Prefix // the subnet
	First   netip.Addr   // first address of the pool; not valid = no pool, fixed addresses only
	Last    netip.Addr   // last address of the pool
	Gateway netip.Addr   // option 3; optional
	DNS     []netip.Addr // option 6; optional
	NTP     []netip.Addr // option 42; optional
	Domain  string       // option 15; optional
}

// Options are the settings of a Server.
type Options struct {
	Interface string     // network interface; the only one that is listened on
	Proxy     bool       // proxyDHCP: no addresses, only boot files, beside another DHCP server
	Address   netip.Addr // server identifier and sender address; not valid = the interface's first IPv4 address
	Site      boot.Site  // where loaders and scripts are
	// Networks are the subnets served. A request from a relay belongs to the one that its giaddr (or link selection)
	// lies in, any other to the one that Address lies in. Requests from elsewhere are not answered. In proxy mode
	// only Prefix is used, and only for relays.
	Networks []Network
	// Discovery is the flavor of the default boot configuration given to machines that the Directory does not know.
	// Empty: such machines are not answered at all.
	Discovery boot.Flavor

	LeaseTime     time.Duration // length of a lease
	OfferTime     time.Duration // how long an offered address is kept for the machine
	DeclineTime   time.Duration // how long an address that a machine found in use is not offered
	KeepTime      time.Duration // how long a machine's expired lease is remembered, to give it the same address again
	PacketTimeout time.Duration // time for the answer to one packet
	// BootFiles override the loaders by architecture (option 93 values), per flavor. See DefaultBootFiles.
	BootFiles map[boot.Flavor]map[uint16]string
	// Now is the time by which leases run. It should not leap when the host's clock does. Default time.Now.
	Now func() time.Time
	// Ours reports whether an address is that of another server on the same leases. A machine that takes the offer of any other is reported.
	// Optional: then nothing is.
	Ours func(netip.Addr) bool
}

// Defaults returns o with its zero times replaced: leases of 1 h, offers of 1 min, declined addresses kept back 10
// min, expired leases remembered for 7 days, 2 s per packet.
func (o Options) Defaults() Options {
	set := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	set(&o.LeaseTime, time.Hour)
	set(&o.OfferTime, time.Minute)
	set(&o.DeclineTime, 10*time.Minute)
	set(&o.KeepTime, 7*24*time.Hour)
	set(&o.PacketTimeout, 2*time.Second)
	return o
}

// Validate reports with CodeInvalid which setting is wrong. It looks at no interface: Address must be set.
func (o Options) Validate() error {
	if o.Interface == "" {
		return ferric.Errorf(ferric.CodeInvalid, "dhcp: interface: must name the network interface to serve")
	}
	if !o.Address.Is4() {
		return ferric.Errorf(ferric.CodeInvalid, "dhcp: address %s: must be an IPv4 address", o.Address)
	}
	if err := o.Site.Validate(); err != nil {
		return err
	}
	switch o.Discovery {
	case "", boot.FlavorPXE, boot.FlavorIPXE:
	default:
		return ferric.Errorf(ferric.CodeInvalid, "dhcp: discovery %q: must be empty, pxe or ipxe", o.Discovery)
	}
	for _, t := range []struct {
		name string
		d    time.Duration
		min  time.Duration
	}{
		{"lease_time", o.LeaseTime, 2 * time.Minute}, {"offer_time", o.OfferTime, time.Second},
		{"decline_time", o.DeclineTime, time.Second}, {"keep_time", o.KeepTime, 0},
		{"packet_timeout", o.PacketTimeout, 10 * time.Millisecond},
	} {
		if t.d < t.min || t.d > 365*24*time.Hour {
			return ferric.Errorf(ferric.CodeInvalid, "dhcp: %s %s: must be between %s and one year", t.name, t.d, t.min)
		}
	}
	for i, n := range o.Networks {
		if err := n.validate(); err != nil {
			return err
		}
		for _, other := range o.Networks[:i] {
			if n.Prefix.Overlaps(other.Prefix) {
				return ferric.Errorf(ferric.CodeInvalid, "dhcp: networks %s and %s overlap; each address must belong to one", other.Prefix, n.Prefix)
			}
		}
	}
	if _, ok := o.network(o.Address); !ok && !o.Proxy {
		return ferric.Errorf(ferric.CodeInvalid, "dhcp: networks: none holds the server's address %s; add the interface's own subnet", o.Address)
	}
	return nil
}

func (n Network) validate() error {
	p := n.Prefix
	if !p.IsValid() || !p.Addr().Is4() || p != p.Masked() || p.Bits() < 8 || p.Bits() > 30 {
		return ferric.Errorf(ferric.CodeInvalid, "dhcp: network %s: must be an IPv4 subnet between /8 and /30 without host bits, like 192.0.2.0/24", p)
	}
	if n.First.IsValid() != n.Last.IsValid() {
		return ferric.Errorf(ferric.CodeInvalid, "dhcp: network %s: give both the first and the last address of the pool, or neither", p)
	}
	if n.First.IsValid() {
		for _, a := range []netip.Addr{n.First, n.Last} {
			if !usable(p, a) {
				return ferric.Errorf(ferric.CodeInvalid, "dhcp: network %s: pool address %s: must be a host address of the network", p, a)
			}
		}
		if n.Last.Less(n.First) {
			return ferric.Errorf(ferric.CodeInvalid, "dhcp: network %s: the pool's last address %s comes before its first %s", p, n.Last, n.First)
		}
		if size := toUint(n.Last) - toUint(n.First) + 1; size > maxPool {
			return ferric.Errorf(ferric.CodeInvalid, "dhcp: network %s: the pool has %d addresses; at most %d are allowed", p, size, maxPool)
		}
	}
	if n.Gateway.IsValid() && !usable(p, n.Gateway) {
		return ferric.Errorf(ferric.CodeInvalid, "dhcp: network %s: gateway %s: must be a host address of the network", p, n.Gateway)
	}
	for _, a := range append(append([]netip.Addr{}, n.DNS...), n.NTP...) {
		if !a.Is4() {
			return ferric.Errorf(ferric.CodeInvalid, "dhcp: network %s: server address %s: must be IPv4", p, a)
		}
	}
	if len(n.DNS) > 8 || len(n.NTP) > 8 {
		return ferric.Errorf(ferric.CodeInvalid, "dhcp: network %s: at most 8 DNS and 8 NTP servers fit into a reply", p)
	}
	if len(n.Domain) > 128 {
		return ferric.Errorf(ferric.CodeInvalid, "dhcp: network %s: domain: at most 128 bytes fit into a reply", p)
	}
	return nil
}

// maxPool bounds the work of looking for a free address.
const maxPool = 1 << 16

// network returns the network that addr lies in.
func (o Options) network(addr netip.Addr) (Network, bool) {
	for _, n := range o.Networks {
		if n.Prefix.Contains(addr) {
			return n, true
		}
	}
	return Network{}, false
}

// usable reports whether addr is a host address of the subnet.
func usable(p netip.Prefix, addr netip.Addr) bool {
	if !addr.Is4() || !p.Contains(addr) {
		return false
	}
	host := toUint(addr) - toUint(p.Masked().Addr())
	return host != 0 && host != 1<<(32-p.Bits())-1
}
