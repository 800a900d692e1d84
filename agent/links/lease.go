package links

import (
	"net"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
)

// fromACK takes the settings out of a DHCP acknowledgement.
func fromACK(ack *dhcpv4.DHCPv4) Settings {
	mask := ack.SubnetMask()
	if ones, bits := mask.Size(); len(mask) != 4 || bits == 0 || ones == 0 {
		mask = ack.YourIPAddr.DefaultMask()
	}
	s := Settings{
		Address:  &net.IPNet{IP: ack.YourIPAddr.To4(), Mask: mask},
		DNS:      ack.DNS(),
		Hostname: ack.HostName(),
	}
	if d := ack.DomainSearch(); d != nil {
		s.Search = d.Labels
	}
	if len(s.Search) == 0 && ack.DomainName() != "" {
		s.Search = []string{ack.DomainName()}
	}
	if mtu, err := dhcpv4.GetUint16(dhcpv4.OptionInterfaceMTU, ack.Options); err == nil && mtu >= 576 {
		s.MTU = int(mtu)
	}
	// RFC 3442: with classless routes the router option must be ignored.
	if routes := ack.ClasslessStaticRoute(); len(routes) > 0 {
		for _, r := range routes {
			gw := r.Router
			if gw.IsUnspecified() {
				gw = nil
			}
			if ones, _ := r.Dest.Mask.Size(); ones == 0 && gw != nil {
				s.Gateway = gw
				continue
			}
			s.Routes = append(s.Routes, Route{Dest: r.Dest, Gateway: gw})
		}
	} else if r := ack.Router(); len(r) > 0 {
		s.Gateway = r[0]
	}
	return s
}

// renewAfter is when to renew a lease: T1, by default half of its time, and never at once.
func renewAfter(ack *dhcpv4.DHCPv4) time.Duration {
	lease := ack.IPAddressLeaseTime(time.Hour)
	t1 := ack.IPAddressRenewalTime(lease / 2)
	return max(t1, 10*time.Second)
}
