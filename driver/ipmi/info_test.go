package ipmi_test

import (
	"encoding/json"
	"strings"
	"testing"

	"ferric"
	"ferric/driver/ipmi"
)

func TestParseInfo(t *testing.T) {
	tests := map[string]struct {
		in   map[string]any
		want ipmi.Info
	}{
		"the least": {map[string]any{"ipmi_address": "10.0.0.1"}, ipmi.Info{Address: "10.0.0.1", Privilege: ipmi.Administrator}},
		"everything": {map[string]any{
			"ipmi_address": "bmc-1.example.org", "ipmi_port": 6230, "ipmi_username": "admin", "ipmi_password": "pw", "ipmi_hex_kg_key": "6b67",
			"ipmi_priv_level": "OPERATOR", "ipmi_cipher_suite": 17, "ipmi_protocol_version": "2.0", "ipmi_terminal_port": 8023,
			"ipmi_force_boot_device": true, "ipmi_disable_boot_timeout": false, "ipmi_bridging": "no",
		}, ipmi.Info{Address: "bmc-1.example.org", Port: 6230, Username: "admin", Password: "pw", Key: "kg", Privilege: ipmi.Operator,
			CipherSuite: 17, TerminalPort: 8023, ForceBootDevice: true, DisableBootTimeout: ipmi.No}},
		"numbers and booleans as text": {map[string]any{
			"ipmi_address": "fd00::1", "ipmi_port": "623", "ipmi_cipher_suite": "3", "ipmi_protocol_version": 2.0, "ipmi_password": 1234,
			"ipmi_terminal_port": json.Number("10000"), "ipmi_force_boot_device": "Yes", "ipmi_disable_boot_timeout": "1", "ipmi_priv_level": "user",
		}, ipmi.Info{Address: "fd00::1", Port: 623, Password: "1234", Privilege: ipmi.User, CipherSuite: 3, TerminalPort: 10000,
			ForceBootDevice: true, DisableBootTimeout: ipmi.Yes}},
		"null fields, fields of others": {map[string]any{
			"ipmi_address": "10.0.0.1", "ipmi_port": nil, "ipmi_bridging": nil, "ipmi_cipher_suite": "", "redfish_address": "https://x",
			"ipmi_transit_channel": "0",
		}, ipmi.Info{Address: "10.0.0.1", Privilege: ipmi.Administrator}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := ipmi.ParseInfo(test.in)
			if err != nil || got != test.want {
				t.Errorf("got %+v, %v; want %+v", got, err, test.want)
			}
		})
	}
}

func TestParseInfoRefuses(t *testing.T) {
	base := func(more ...any) map[string]any {
		m := map[string]any{"ipmi_address": "10.0.0.1"}
		for i := 0; i < len(more); i += 2 {
			m[more[i].(string)] = more[i+1]
		}
		return m
	}
	tests := map[string]struct {
		in    map[string]any
		names []string // fields that the message names
	}{
		"nothing":             {nil, []string{"ipmi_address is required"}},
		"empty address":       {base("ipmi_address", ""), []string{"ipmi_address is required"}},
		"address with port":   {base("ipmi_address", "10.0.0.1:623"), []string{"ipmi_address"}},
		"option as address":   {base("ipmi_address", "-v"), []string{"ipmi_address"}},
		"mistyped address":    {base("ipmi_address", "10.0.0.256"), []string{"ipmi_address"}},
		"port":                {base("ipmi_port", 65536), []string{"ipmi_port"}},
		"port zero":           {base("ipmi_port", 0), []string{"ipmi_port"}},
		"port word":           {base("ipmi_port", "rmcp"), []string{"ipmi_port"}},
		"port fraction":       {base("ipmi_port", 623.5), []string{"ipmi_port"}},
		"terminal port":       {base("ipmi_terminal_port", -1), []string{"ipmi_terminal_port"}},
		"long user":           {base("ipmi_username", "seventeen letters"), []string{"ipmi_username"}},
		"user no text":        {base("ipmi_username", []any{"a"}), []string{"ipmi_username"}},
		"long password":       {base("ipmi_password", "t0p-s3cret-t0p-s3cret"), []string{"ipmi_password"}},
		"password with NUL":   {base("ipmi_password", "t0p-s3cret\x00"), []string{"ipmi_password"}},
		"key odd":             {base("ipmi_hex_kg_key", "abc"), []string{"ipmi_hex_kg_key"}},
		"key no hex":          {base("ipmi_hex_kg_key", "t0p-s3cret"), []string{"ipmi_hex_kg_key"}},
		"key long":            {base("ipmi_hex_kg_key", strings.Repeat("ab", 21)), []string{"ipmi_hex_kg_key"}},
		"privilege":           {base("ipmi_priv_level", "ROOT"), []string{"ipmi_priv_level", "ADMINISTRATOR, CALLBACK, OPERATOR, USER"}},
		"version 1.5":         {base("ipmi_protocol_version", "1.5"), []string{"ipmi_protocol_version"}},
		"version 1.5, number": {base("ipmi_protocol_version", 1.5), []string{"ipmi_protocol_version"}},
		"version":             {base("ipmi_protocol_version", "3"), []string{"ipmi_protocol_version"}},
		"suite":               {base("ipmi_cipher_suite", 1), []string{"ipmi_cipher_suite", "17", "3"}},
		"suite zero":          {base("ipmi_cipher_suite", 0), []string{"ipmi_cipher_suite"}},
		"suite word":          {base("ipmi_cipher_suite", "best"), []string{"ipmi_cipher_suite"}},
		"boolean":             {base("ipmi_force_boot_device", "maybe"), []string{"ipmi_force_boot_device"}},
		"bridging word":       {base("ipmi_bridging", "triple"), []string{"ipmi_bridging"}},
		"bridging single":     {base("ipmi_bridging", "single", "ipmi_target_channel", 0, "ipmi_target_address", "0x24"), []string{"ipmi_bridging"}},
		"bridging dual, fields missing": {base("ipmi_bridging", "dual", "ipmi_target_channel", 0),
			[]string{"ipmi_bridging", "ipmi_target_address", "ipmi_transit_channel", "ipmi_transit_address"}},
		"all at once": {map[string]any{"ipmi_port": "x", "ipmi_priv_level": "x", "ipmi_cipher_suite": "x"},
			[]string{"ipmi_address", "ipmi_port", "ipmi_priv_level", "ipmi_cipher_suite"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := ipmi.ParseInfo(test.in)
			if !ferric.IsCode(err, ferric.CodeInvalid) || got != (ipmi.Info{}) {
				t.Fatalf("got %+v, %v", got, err)
			}
			for _, n := range test.names {
				if !strings.Contains(err.Error(), n) {
					t.Errorf("the message does not name %s: %v", n, err)
				}
			}
			if strings.Contains(err.Error(), "s3cret") {
				t.Errorf("a secret is in the message: %v", err)
			}
		})
	}
}

func TestParseRaw(t *testing.T) {
	netFn, code, data, err := ipmi.ParseRaw("0x00 0x08 5 0xe0 0x08 0 0 0")
	if err != nil || netFn != 0 || code != 8 || string(data) != "\x05\xe0\x08\x00\x00\x00" {
		t.Errorf("got %x %x % x, %v", netFn, code, data, err)
	}
	for _, s := range []string{"", "0x00", "0x00 0x100", "a b", "-1 2"} {
		if _, _, _, err := ipmi.ParseRaw(s); !ferric.IsCode(err, ferric.CodeInvalid) || !strings.Contains(err.Error(), "raw_bytes") {
			t.Errorf("%q: %v", s, err)
		}
	}
}

func FuzzParseInfo(f *testing.F) {
	f.Add(`{"ipmi_address":"10.0.0.1","ipmi_port":"623","ipmi_cipher_suite":3.5,"ipmi_hex_kg_key":"00"}`)
	f.Add(`{"ipmi_address":{},"ipmi_bridging":"dual"}`)
	f.Fuzz(func(t *testing.T, text string) {
		var m map[string]any
		if json.Unmarshal([]byte(text), &m) != nil {
			return
		}
		info, err := ipmi.ParseInfo(m)
		if err != nil && !ferric.IsCode(err, ferric.CodeInvalid) {
			t.Errorf("code %s: %v", ferric.ErrorCode(err), err)
		}
		if err == nil && (info.Address == "" || len(info.Password) > 20 || info.Privilege < ipmi.Callback || info.Privilege > ipmi.Administrator) {
			t.Errorf("accepted %+v", info)
		}
	})
}
