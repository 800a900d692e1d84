package links

import (
	"net"
	"strings"

	"ferric"
)

// Settings are what a link gets.
type Settings struct {
	Address  *net.IPNet
	Gateway  net.IP
	Routes   []Route
	DNS      []net.IP
	Search   []string
	Hostname string
	MTU      int // 0: as it is
}

// Route is a route by way of a gateway.
type Route struct {
	Dest    *net.IPNet
	Gateway net.IP // nil: on the link
}

// Static is one ip= parameter that names an address.
type Static struct {
	Device string // "" means the first link
	Settings
}

// ParseIP reads the kernel's ip= parameter: client:server:gateway:netmask:hostname:device:autoconf:dns0:dns1, IPv6
// addresses in brackets. ok is false for forms that ask for DHCP ("dhcp", "on", "any" …).
func ParseIP(text string) (s Static, ok bool, err error) {
	f := splitColons(text)
	if len(f) == 1 {
		return s, false, nil // ip=dhcp, ip=on …
	}
	for len(f) < 9 {
		f = append(f, "")
	}
	if f[0] == "" {
		return s, false, nil // ip=:::::eth0:dhcp
	}
	addr := f[0]
	bits := f[3]
	if a, b, found := strings.Cut(addr, "/"); found {
		addr, bits = a, b
	}
	ip := net.ParseIP(addr)
	if ip == nil {
		return s, false, ferric.Errorf(ferric.CodeInvalid, "kernel parameter ip=%s: %q is not an address", text, addr)
	}
	mask, err := parseMask(ip, bits)
	if err != nil {
		return s, false, ferric.Errorf(ferric.CodeInvalid, "kernel parameter ip=%s: %w", text, err)
	}
	s.Address = &net.IPNet{IP: ip, Mask: mask}
	if f[2] != "" {
		if s.Gateway = net.ParseIP(f[2]); s.Gateway == nil {
			return s, false, ferric.Errorf(ferric.CodeInvalid, "kernel parameter ip=%s: the gateway %q is not an address", text, f[2])
		}
	}
	s.Hostname, s.Device = f[4], f[5]
	for _, d := range f[7:9] {
		if ip := net.ParseIP(d); ip != nil {
			s.DNS = append(s.DNS, ip)
		}
	}
	return s, true, nil
}

func parseMask(ip net.IP, text string) (net.IPMask, error) {
	width := 128
	if ip.To4() != nil {
		width = 32
		if m := net.ParseIP(text).To4(); m != nil {
			return net.IPMask(m), nil
		}
	}
	if text == "" {
		return nil, ferric.Errorf(ferric.CodeInvalid, "the netmask is missing")
	}
	_, n, err := net.ParseCIDR(ip.String() + "/" + text)
	if err != nil || len(n.Mask)*8 != width {
		return nil, ferric.Errorf(ferric.CodeInvalid, "%q is not a netmask", text)
	}
	return n.Mask, nil
}

// splitColons splits at colons outside brackets and drops the brackets.
func splitColons(text string) []string {
	var out []string
	var cur strings.Builder
	depth := 0
	for _, r := range text {
		switch {
		case r == '[':
			depth++
		case r == ']' && depth > 0:
			depth--
		case r == ':' && depth == 0:
			out = append(out, cur.String())
			cur.Reset()
		default:
			cur.WriteRune(r)
		}
	}
	return append(out, cur.String())
}
