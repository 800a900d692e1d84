// Package lldp reads what switches say of themselves (IEEE 802.1AB, with the extensions of 802.1Q and 802.3) into names and values, as
// Ironic's inspection hooks parse-lldp and local-link-connection do. The bytes come from the network: nothing is believed of them.
//
// # Concurrency
//
// Plain functions.
package lldp

import (
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"net"
	"net/netip"
	"strings"
	"unicode/utf8"
)

// TLV is one element of an LLDP frame.
type TLV struct {
	Type  int
	Value []byte
}

// The types of TLVs.
const (
	chassisID       = 1
	portID          = 2
	portDescription = 4
	systemName      = 5
	systemDesc      = 6
	capabilities    = 7
	managementAddr  = 8
	orgSpecific     = 127
)

// maxValue is the longest value that a frame can hold; maxTLVs is more than fit into one.
const (
	maxValue = 511
	maxTLVs  = 1024
)

// TLVs reads a list of pairs, type and value in hex, as agents send it. What is no such pair is left out; ok is false if there is no list.
func TLVs(v any) (list []TLV, ok bool) {
	items, ok := v.([]any)
	if !ok {
		return nil, false
	}
	for _, item := range items[:min(len(items), maxTLVs)] {
		pair, _ := item.([]any)
		if len(pair) != 2 {
			continue
		}
		kind, ok := integer(pair[0])
		text, isText := pair[1].(string)
		value, err := hex.DecodeString(text)
		if ok && isText && err == nil && len(value) <= maxValue {
			list = append(list, TLV{kind, value})
		}
	}
	return list, true
}

func integer(v any) (int, bool) {
	switch v := v.(type) {
	case float64:
		return int(v), v == float64(int(v)) && v >= 0 && v <= 127
	case json.Number:
		n, err := v.Int64()
		return int(n), err == nil && n >= 0 && n <= 127
	case int:
		return v, v >= 0 && v <= 127
	}
	return 0, false
}

// Parse returns what the TLVs say, by Ironic's names: switch_chassis_id, switch_port_id, switch_port_vlans … The first value of a name counts,
// except for lists. What is damaged or unknown is left out.
func Parse(list []TLV) map[string]any {
	p := parsed{}
	for _, t := range list {
		p.read(t)
	}
	return p
}

// parsed are names and values. Numbers are float64, as JSON has them.
type parsed map[string]any

func (p parsed) set(name string, v any) {
	if _, have := p[name]; !have {
		p[name] = v
	}
}

func (p parsed) add(name string, v any) {
	list, _ := p[name].([]any)
	p[name] = append(list, v)
}

func (p parsed) setText(name string, b []byte) {
	if utf8.Valid(b) {
		p.set(name, printable(b))
	}
}

// printable is a text without the zero bytes that a database refuses.
func printable(b []byte) string { return strings.ReplaceAll(string(b), "\x00", "") }

func (p parsed) read(t TLV) {
	v := t.Value
	switch t.Type {
	case chassisID:
		if s, _, ok := identifier(v, 4, 5, 1, 2, 3, 6, 7); ok {
			p.set("switch_chassis_id", s)
		}
	case portID:
		if s, _, ok := identifier(v, 3, 4, 1, 2, 5, 7); ok {
			p.set("switch_port_id", s)
		}
	case portDescription:
		p.setText("switch_port_description", v)
	case systemName:
		p.setText("switch_system_name", v)
	case systemDesc:
		p.setText("switch_system_description", v)
	case capabilities:
		if len(v) == 4 {
			p.set("switch_capabilities_support", capabilityNames(binary.BigEndian.Uint16(v)))
			p.set("switch_capabilities_enabled", capabilityNames(binary.BigEndian.Uint16(v[2:])))
		}
	case managementAddr:
		if len(v) >= 2 {
			if s, ok := address(v[1:]); ok {
				p.add("switch_mgmt_addresses", s)
			}
		}
	case orgSpecific:
		if len(v) < 4 {
			return
		}
		switch hex.EncodeToString(v[:3]) {
		case "0080c2":
			p.dot1(v[3], v[4:])
		case "00120f":
			p.dot3(v[3], v[4:])
		}
	}
}

// identifier reads a chassis or port ID: a subtype, and a MAC address, a network address or a text by it.
func identifier(v []byte, mac, network byte, texts ...byte) (s string, isMAC, ok bool) {
	if len(v) < 1 {
		return "", false, false
	}
	subtype, rest := v[0], v[1:]
	switch {
	case subtype == mac:
		if len(rest) < 6 {
			return "", true, false
		}
		return net.HardwareAddr(rest[:6]).String(), true, true
	case subtype == network:
		s, ok := address(rest)
		return s, false, ok
	}
	for _, t := range texts {
		if subtype == t {
			return printable(rest), false, utf8.Valid(rest)
		}
	}
	return "", false, false
}

// address reads an address with its IANA family: 1 is IPv4, 2 IPv6, 6 a MAC address.
func address(v []byte) (string, bool) {
	if len(v) < 1 {
		return "", false
	}
	family, rest := v[0], v[1:]
	switch {
	case family == 1 && len(rest) >= 4:
		return netip.AddrFrom4([4]byte(rest)).String(), true
	case family == 2 && len(rest) >= 16:
		return netip.AddrFrom16([16]byte(rest)).String(), true
	case family == 6 && len(rest) >= 6:
		return net.HardwareAddr(rest[:6]).String(), true
	}
	return "", false
}

func capabilityNames(bits uint16) []any {
	names := []string{"", "Repeater", "Bridge", "WLAN", "Router", "Telephone", "DOCSIS cable device", "Station only", "C-Vlan", "S-Vlan", "TPMR"}
	list := []any{}
	for i, name := range names {
		if name != "" && bits&(1<<i) != 0 {
			list = append(list, name)
		}
	}
	return list
}

// dot1 reads a TLV of IEEE 802.1Q, annex D.
func (p parsed) dot1(subtype byte, v []byte) {
	switch subtype {
	case 1:
		p.setNumber("switch_port_untagged_vlan_id", v)
	case 2:
		if len(v) == 3 {
			p.set("switch_port_protocol_vlan_enabled", v[0]&4 != 0)
			p.set("switch_port_protocol_vlan_support", v[0]&2 != 0)
			p.add("switch_port_protocol_vlan_ids", float64(binary.BigEndian.Uint16(v[1:])))
		}
	case 3:
		if len(v) >= 3 && len(v) >= 3+int(v[2]) {
			name := v[3 : 3+int(v[2])]
			if utf8.Valid(name) {
				p.add("switch_port_vlans", map[string]any{"name": printable(name), "id": float64(binary.BigEndian.Uint16(v))})
			}
		}
	case 4:
		if len(v) >= 1 && len(v) >= 1+int(v[0]) {
			p.add("switch_protocol_identities", hex.EncodeToString(v[1:1+int(v[0])]))
		}
	case 6:
		p.setNumber("switch_port_management_vlan_id", v)
	case 7:
		p.aggregation(v)
	}
}

func (p parsed) setNumber(name string, v []byte) {
	if len(v) >= 2 {
		p.set(name, float64(binary.BigEndian.Uint16(v)))
	}
}

func (p parsed) aggregation(v []byte) {
	if len(v) == 5 {
		p.set("switch_port_link_aggregation_enabled", v[0]&2 != 0)
		p.set("switch_port_link_aggregation_support", v[0]&1 != 0)
		p.set("switch_port_link_aggregation_id", float64(binary.BigEndian.Uint32(v[1:])))
	}
}

// dot3 reads a TLV of IEEE 802.3.
func (p parsed) dot3(subtype byte, v []byte) {
	switch subtype {
	case 1:
		if len(v) != 5 {
			return
		}
		mau, ok := mauType(binary.BigEndian.Uint16(v[3:]))
		if !ok {
			return
		}
		p.set("switch_port_autonegotiation_enabled", v[0]&2 != 0)
		p.set("switch_port_autonegotiation_support", v[0]&1 != 0)
		p.set("switch_port_physical_capabilities", mediaNames(binary.BigEndian.Uint16(v[1:])))
		p.set("switch_port_mau_type", mau)
	case 3:
		p.aggregation(v)
	case 4:
		p.setNumber("switch_port_mtu", v)
	}
}

// Link is where a network card is plugged in. Empty fields are not known.
type Link struct {
	PortID     string
	SwitchID   string // the switch's MAC address
	SwitchInfo string // its name
}

// Where reads the link from the TLVs; ok is false if one that counts is damaged, so that half a truth is not kept.
func Where(list []TLV) (l Link, ok bool) {
	for _, t := range list {
		switch t.Type {
		case portID:
			s, _, ok := identifier(t.Value, 3, 4, 1, 2, 5, 7)
			if !ok {
				return Link{}, false
			}
			l.PortID = s
		case chassisID:
			s, isMAC, ok := identifier(t.Value, 4, 5, 1, 2, 3, 6, 7)
			if !ok {
				return Link{}, false
			}
			if isMAC {
				l.SwitchID = s
			}
		case systemName:
			if !utf8.Valid(t.Value) {
				return Link{}, false
			}
			l.SwitchInfo = printable(t.Value)
		}
	}
	return l, true
}
