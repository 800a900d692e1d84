package api

import (
	"encoding/hex"
	"net/netip"
	"slices"
	"strings"
)

// networkData takes OpenStack's network metadata (network_data.json): lists of links, networks and services.
// {} and null are none.
func networkData(where, name string, v any) (any, error) {
	v, err := anObject(where, name, v)
	if err != nil || v == nil {
		return nil, err
	}
	if object := v.(map[string]any); len(object) > 0 {
		return v, wholeNetworkData(object)
	}
	return v, nil
}

// wholeNetworkData takes network metadata that has everything that it must have.
func wholeNetworkData(v any) error {
	object, ok := v.(map[string]any)
	if !ok {
		return badNetworkData("%s is not of type 'object'", repr(v))
	}
	for _, part := range []struct {
		name string
		fits func(map[string]any) bool
	}{{"links", isLink}, {"networks", isNetwork}, {"services", isService}} {
		given, ok := object[part.name]
		if !ok {
			return badNetworkData("'%s' is a required property", part.name)
		}
		list, ok := given.([]any)
		if !ok {
			return badNetworkData("%s is not of type 'array'", repr(given))
		}
		for _, item := range list {
			if entry, ok := item.(map[string]any); !ok || !part.fits(entry) {
				return badNetworkData("%s is not valid under any of the given schemas", repr(item))
			}
		}
	}
	return nil
}

func badNetworkData(format, v string) error {
	return invalid("Invalid network_data: "+format+" ", clip(v))
}

// isLink reports whether m describes an interface, a bond or a VLAN.
func isLink(m map[string]any) bool {
	if !hasTexts(m, "id", "type") || !textIfGiven(m, "vif_id") || !isMTU(m["mtu"]) {
		return false
	}
	switch m["type"] {
	case "bond":
		modes := []any{"802.3ad", "balance-rr", "active-backup", "balance-xor", "broadcast", "balance-tlb", "balance-alb"}
		_, isList := m["bond_links"].([]any)
		return isHardwareAddress(m["ethernet_mac_address"]) && slices.Contains(modes, m["bond_mode"]) && isList &&
			eachIn(m, "bond_links", func(v any) bool { _, ok := v.(string); return ok })
	case "vlan":
		id, ok := m["vlan_id"].(float64)
		return isHardwareAddress(m["vlan_mac_address"]) && hasTexts(m, "vlan_link") && ok && id == float64(int64(id))
	case "bridge", "dvs", "hw_veb", "hyperv", "ovs", "tap", "vhostuser", "vif", "phy":
		return isHardwareAddress(m["ethernet_mac_address"])
	}
	return false
}

// isNetwork reports whether m describes how an interface speaks IPv4 or IPv6.
func isNetwork(m map[string]any) bool {
	if !hasTexts(m, "id", "link", "network_id") {
		return false
	}
	var is, isMask func(any) bool
	switch m["type"] {
	case "ipv4", "ipv4_dhcp":
		is, isMask = isIPv4, isIPv4Mask
	case "ipv6", "ipv6_dhcp", "ipv6_slaac":
		is, isMask = isIPv6, isIPv6
	default:
		return false
	}
	if !ifGiven(m, "ip_address", is) || !ifGiven(m, "netmask", isMask) {
		return false
	}
	return eachIn(m, "routes", func(v any) bool {
		r, ok := v.(map[string]any)
		return ok && is(r["network"]) && isMask(r["netmask"]) && is(r["gateway"]) && eachIn(r, "services", func(v any) bool {
			s, ok := v.(map[string]any)
			return ok && s["type"] == "dns" && is(s["address"])
		})
	})
}

// isService reports whether m describes a name server.
func isService(m map[string]any) bool {
	return m["type"] == "dns" && (isIPv4(m["address"]) || isIPv6(m["address"]))
}

func hasTexts(m map[string]any, names ...string) bool {
	for _, name := range names {
		if _, ok := m[name].(string); !ok {
			return false
		}
	}
	return true
}

func textIfGiven(m map[string]any, name string) bool {
	return ifGiven(m, name, func(v any) bool { _, ok := v.(string); return ok })
}

func ifGiven(m map[string]any, name string, is func(any) bool) bool {
	v, given := m[name]
	return !given || is(v)
}

// eachIn reports whether every item of a list fits. No list is an empty one.
func eachIn(m map[string]any, name string, fits func(any) bool) bool {
	return ifGiven(m, name, func(v any) bool {
		list, ok := v.([]any)
		return ok && !slices.ContainsFunc(list, func(item any) bool { return !fits(item) })
	})
}

// isHardwareAddress takes six bytes in hexadecimal, separated by : or -.
func isHardwareAddress(v any) bool {
	s, _ := v.(string)
	if len(s) != 17 {
		return false
	}
	for i := 2; i < len(s); i += 3 {
		if s[i] != ':' && s[i] != '-' {
			return false
		}
	}
	b, err := hex.DecodeString(strings.NewReplacer(":", "", "-", "").Replace(s))
	return err == nil && len(b) == 6
}

func isMTU(v any) bool {
	if v == nil {
		return true
	}
	n, ok := v.(float64)
	return ok && n >= 1 && n <= 65535
}

func isIPv4(v any) bool {
	s, _ := v.(string)
	a, err := netip.ParseAddr(s)
	return err == nil && a.Is4()
}

// isIPv4Mask takes a mask whose ones come first.
func isIPv4Mask(v any) bool {
	s, _ := v.(string)
	a, err := netip.ParseAddr(s)
	if err != nil || !a.Is4() {
		return false
	}
	b := a.As4()
	bits := uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])
	return ^bits&(^bits+1) == 0
}

// isIPv6 takes an address, which may have a prefix length.
func isIPv6(v any) bool {
	s, _ := v.(string)
	host, _, _ := strings.Cut(s, "/")
	a, err := netip.ParseAddr(host)
	return err == nil && a.Is6()
}
