package api_test

import "testing"

func TestNetworkData(t *testing.T) {
	f := newFixture(t)
	node := f.node(nil)
	link := m{"id": "l1", "type": "phy", "ethernet_mac_address": "52:54:00:00:00:01", "mtu": 1500, "vif_id": "v"}
	network := m{"id": "n1", "link": "l1", "network_id": "x", "type": "ipv4", "ip_address": "10.0.0.2", "netmask": "255.255.255.0",
		"routes": []any{m{"network": "0.0.0.0", "netmask": "0.0.0.0", "gateway": "10.0.0.1", "services": []any{m{"type": "dns", "address": "10.0.0.1"}}}}}
	with := func(of m, key string, v any) m {
		c := m{}
		for k, x := range of {
			c[k] = x
		}
		c[key] = v
		return c
	}
	for name, c := range map[string]struct {
		data   any
		status int
	}{
		"whole":             {m{"links": []any{link}, "networks": []any{network}, "services": []any{m{"type": "dns", "address": "8.8.8.8"}}}, 200},
		"empty lists":       {m{"links": []any{}, "networks": []any{}, "services": []any{}}, 200},
		"bond":              {m{"links": []any{with(with(with(link, "type", "bond"), "bond_mode", "802.3ad"), "bond_links", []any{"l1"})}, "networks": []any{}, "services": []any{}}, 200},
		"vlan":              {m{"links": []any{m{"id": "v", "type": "vlan", "vlan_mac_address": "52-54-00-00-00-01", "vlan_id": 7, "vlan_link": "l1"}}, "networks": []any{}, "services": []any{}}, 200},
		"ipv6":              {m{"links": []any{}, "networks": []any{m{"id": "n", "link": "l", "network_id": "x", "type": "ipv6", "ip_address": "2001:db8::1/64", "netmask": "ffff::"}}, "services": []any{m{"type": "dns", "address": "::1"}}}, 200},
		"null":              {nil, 400},
		"nothing":           {m{}, 400},
		"list":              {[]any{}, 400},
		"no networks":       {m{"links": []any{}, "services": []any{}}, 400},
		"links are text":    {m{"links": "l1", "networks": []any{}, "services": []any{}}, 400},
		"link is text":      {m{"links": []any{"l1"}, "networks": []any{}, "services": []any{}}, 400},
		"unknown type":      {m{"links": []any{with(link, "type", "wire")}, "networks": []any{}, "services": []any{}}, 400},
		"bad address":       {m{"links": []any{with(link, "ethernet_mac_address", "52:54:00")}, "networks": []any{}, "services": []any{}}, 400},
		"bad MTU":           {m{"links": []any{with(link, "mtu", 0)}, "networks": []any{}, "services": []any{}}, 400},
		"bond of nothing":   {m{"links": []any{with(link, "type", "bond")}, "networks": []any{}, "services": []any{}}, 400},
		"vlan without id":   {m{"links": []any{with(link, "type", "vlan")}, "networks": []any{}, "services": []any{}}, 400},
		"network of IPX":    {m{"links": []any{}, "networks": []any{with(network, "type", "ipx")}, "services": []any{}}, 400},
		"mask with holes":   {m{"links": []any{}, "networks": []any{with(network, "netmask", "255.0.255.0")}, "services": []any{}}, 400},
		"IPv6 in IPv4":      {m{"links": []any{}, "networks": []any{with(network, "ip_address", "::1")}, "services": []any{}}, 400},
		"route to nowhere":  {m{"links": []any{}, "networks": []any{with(network, "routes", []any{m{"gateway": "10.0.0.1"}})}, "services": []any{}}, 400},
		"service elsewhere": {m{"links": []any{}, "networks": []any{}, "services": []any{m{"type": "ntp", "address": "10.0.0.1"}}}, 400},
	} {
		t.Run(name, func(t *testing.T) {
			f.with(t).must(c.status, "PATCH", "/v1/nodes/"+node, []m{{"op": "add", "path": "/network_data", "value": c.data}})
		})
	}
	f.must(200, "PATCH", "/v1/nodes/"+node, []m{{"op": "remove", "path": "/network_data"}})
	f.must(201, "POST", "/v1/nodes", m{"driver": "fake-hardware", "network_data": m{}})
	f.must(400, "POST", "/v1/nodes", m{"driver": "fake-hardware", "network_data": m{"links": []any{}}})
}
