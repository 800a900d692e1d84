package lldp_test

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ferric/inspection/lldp"
)

type m = map[string]any
type l = []any

func tlvs(t testing.TB, text string) []lldp.TLV {
	t.Helper()
	var v any
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatal(err)
	}
	list, _ := lldp.TLVs(v)
	return list
}

func TestParse(t *testing.T) {
	for name, c := range map[string]struct {
		in   string
		want m
	}{
		"chassis by MAC":        {`[[1, "04112233aabbcc"]]`, m{"switch_chassis_id": "11:22:33:aa:bb:cc"}},
		"chassis by IPv4":       {`[[1, "0501c0000201"]]`, m{"switch_chassis_id": "192.0.2.1"}},
		"chassis by name":       {`[[1, "07737731"]]`, m{"switch_chassis_id": "sw1"}},
		"unknown subtype":       {`[[1, "09737731"]]`, m{}},
		"short MAC":             {`[[1, "041122"]]`, m{}},
		"bad UTF-8":             {`[[1, "07ff"]]`, m{}},
		"the first counts":      {`[[2, "0561"], [2, "0562"]]`, m{"switch_port_id": "a"}},
		"port by MAC":           {`[[2, "03112233aabbcc"]]`, m{"switch_port_id": "11:22:33:aa:bb:cc"}},
		"port by IPv6":          {`[[2, "040220010db8000000000000000000000001"]]`, m{"switch_port_id": "2001:db8::1"}},
		"ttl and end":           {`[[3, "0078"], [0, ""]]`, m{}},
		"texts":                 {`[[4, "70"], [5, "73"], [6, "6400"]]`, m{"switch_port_description": "p", "switch_system_name": "s", "switch_system_description": "d"}},
		"capabilities":          {`[[7, "00140004"]]`, m{"switch_capabilities_support": l{"Bridge", "Router"}, "switch_capabilities_enabled": l{"Bridge"}}},
		"no capabilities":       {`[[7, "00000000"]]`, m{"switch_capabilities_support": l{}, "switch_capabilities_enabled": l{}}},
		"capabilities, short":   {`[[7, "0014"]]`, m{}},
		"management addresses":  {`[[8, "0501c0000201020000000100"], [8, "110220010db8000000000000000000000001"], [8, "0706112233aabbcc"], [8, "0509c0000201"]]`, m{"switch_mgmt_addresses": l{"192.0.2.1", "2001:db8::1", "11:22:33:aa:bb:cc"}}},
		"untagged VLAN":         {`[[127, "0080c2010064"]]`, m{"switch_port_untagged_vlan_id": 100.0}},
		"protocol VLAN":         {`[[127, "0080c202060001"], [127, "0080c202020002"]]`, m{"switch_port_protocol_vlan_enabled": true, "switch_port_protocol_vlan_support": true, "switch_port_protocol_vlan_ids": l{1.0, 2.0}}},
		"VLAN names":            {`[[127, "0080c203006503763131"], [127, "0080c20300660a7631"]]`, m{"switch_port_vlans": l{m{"id": 101.0, "name": "v11"}}}},
		"protocols":             {`[[127, "0080c2040200ab"], [127, "0080c20405"]]`, m{"switch_protocol_identities": l{"00ab"}}},
		"management VLAN":       {`[[127, "0080c2060fff"]]`, m{"switch_port_management_vlan_id": 4095.0}},
		"link aggregation":      {`[[127, "0080c2070300000007"]]`, m{"switch_port_link_aggregation_enabled": true, "switch_port_link_aggregation_support": true, "switch_port_link_aggregation_id": 7.0}},
		"link aggregation, old": {`[[127, "00120f030100000007"]]`, m{"switch_port_link_aggregation_enabled": false, "switch_port_link_aggregation_support": true, "switch_port_link_aggregation_id": 7.0}},
		"MAC and PHY":           {`[[127, "00120f01036c010010"]]`, m{"switch_port_autonegotiation_enabled": true, "switch_port_autonegotiation_support": true, "switch_port_mau_type": "100BASE-TX full duplex", "switch_port_physical_capabilities": l{"1000BASE-T fdx", "100BASE-TX fdx", "100BASE-TX hdx", "10BASE-T fdx", "10BASE-T hdx"}}},
		"unknown MAU":           {`[[127, "00120f01036c01ffff"]]`, m{}},
		"MTU":                   {`[[127, "00120f04233a"]]`, m{"switch_port_mtu": 9018.0}},
		"foreign organisation":  {`[[127, "00123456"], [127, "0012"]]`, m{}},
		"no pairs":              {`["x", [1], [1, 2], [1, "zz"], ["1", "00"], [500, "00"], [1.5, "00"]]`, m{}},
		"no list":               {`{}`, m{}},
	} {
		if diff := cmp.Diff(c.want, lldp.Parse(tlvs(t, c.in))); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func TestWhere(t *testing.T) {
	for name, c := range map[string]struct {
		in   string
		want lldp.Link
		ok   bool
	}{
		"all":              {`[[1, "04112233aabbcc"], [2, "05457468312f31"], [5, "737731"]]`, lldp.Link{PortID: "Eth1/1", SwitchID: "11:22:33:aa:bb:cc", SwitchInfo: "sw1"}, true},
		"chassis by name":  {`[[1, "07737731"], [2, "0561"]]`, lldp.Link{PortID: "a"}, true},
		"nothing":          {`[]`, lldp.Link{}, true},
		"damaged port":     {`[[1, "04112233aabbcc"], [2, "0311"]]`, lldp.Link{}, false},
		"damaged chassis":  {`[[2, "0561"], [1, "0411"]]`, lldp.Link{}, false},
		"damaged name":     {`[[2, "0561"], [5, "ff"]]`, lldp.Link{}, false},
		"unknown port ID":  {`[[2, "0961"]]`, lldp.Link{}, false},
		"empty chassis ID": {`[[1, ""]]`, lldp.Link{}, false},
	} {
		got, ok := lldp.Where(tlvs(t, c.in))
		if diff := cmp.Diff(c.want, got); diff != "" || ok != c.ok {
			t.Errorf("%s: %v %s", name, ok, diff)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(1, []byte("\x04\x11\x22\x33\xaa\xbb\xcc"))
	f.Add(8, []byte("\x05\x01\xc0\x00\x02\x01"))
	for _, s := range []string{"\x00\x80\xc2\x03\x00\x65\x03v11", "\x00\x80\xc2\x04\x02\x00\xab", "\x00\x12\x0f\x01\x03\x6c\x01\x00\x10"} {
		f.Add(127, []byte(s))
	}
	f.Fuzz(func(t *testing.T, kind int, value []byte) {
		list := []lldp.TLV{{Type: kind, Value: value}}
		lldp.Where(list)
		if _, err := json.Marshal(lldp.Parse(list)); err != nil {
			t.Error(err)
		}
	})
}
