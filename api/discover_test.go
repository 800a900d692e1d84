package api_test

import (
	"testing"

	"ferric"
	"ferric/api"
	"ferric/rpc"
)

// TestDiscovery enrols machines that no node is known of, where that is switched on, and tells strangers nothing.
func TestDiscovery(t *testing.T) {
	const path, mac = "1.110 /v1/continue_inspection", "52:54:00:00:00:77"
	data := func(macs ...string) m {
		var nics []any
		for _, mac := range macs {
			nics = append(nics, m{"mac_address": mac})
		}
		return m{"inventory": m{"interfaces": nics, "bmc_address": "192.0.2.7"}, "x": 1}
	}
	off := newFixture(t)
	off.must(404, "POST", path, data(mac))
	if off.conductor.calls != nil {
		t.Errorf("calls %v", off.conductor.calls)
	}

	f := newFixture(t, func(c *api.Config, _ *api.Deps) {
		c.DiscoveryDriver, c.DefaultConductorGroup, c.DefaultResourceClass = "ipmi", "rack1", "found"
	})
	var got rpc.DiscoverArgs
	f.conductor.on(rpc.Discover, func(req any) (any, error) {
		got = req.(rpc.DiscoverArgs)
		return rpc.LookupReply{Node: got.Node, Token: "token"}, nil
	})
	answer := f.must(202, "POST", path, data("52:54:00:00:00:77", "garbage")).object(t)
	node, _ := answer["node"].(m)
	if node["uuid"] != got.Node.UUID || answer["config"].(m)["agent_token"] != "token" {
		t.Errorf("answer %v", answer)
	}
	if got.Node.Driver != "ipmi" || got.Node.ConductorGroup != "rack1" || got.Node.ResourceClass != "found" || len(got.Addresses) != 1 || got.Addresses[0] != mac ||
		string(got.PluginData) != `{"x":1}` || len(got.Inventory) == 0 {
		t.Errorf("call %+v", got)
	}
	if r := f.must(202, "POST", "- /v1/continue_inspection", data(mac)).object(t); len(r) != 1 || r["uuid"] != got.Node.UUID {
		t.Errorf("to an old agent: %v", r)
	}
	f.must(202, "POST", path, data(""))
	if len(got.Addresses) != 1 || got.Addresses[0] != "bmc 192.0.2.7" {
		t.Errorf("by the BMC: %v", got.Addresses)
	}
	f.must(404, "POST", path+"?node_uuid="+nodeID, data(mac)) // it says that it is known

	for code, want := range map[ferric.Code]int{ferric.CodeNotFound: 404, ferric.CodeInvalid: 404, ferric.CodeInternal: 404, ferric.CodeUnavailable: 503,
		ferric.CodeLocked: 503, ferric.CodeBusy: 503} {
		f.conductor.on(rpc.Discover, func(any) (any, error) { return nil, ferric.Errorf(code, "node x is secret") })
		if r := f.must(want, "POST", path, data(mac)); r.text(t) != "Resource could not be found." && want == 404 {
			t.Errorf("%s: %s", code, r.body)
		}
	}
}

// TestInspectionLookup: whose data they are is told by UUID, MAC addresses and BMC, which must not contradict one another.
func TestInspectionLookup(t *testing.T) {
	const macA, macB, stranger = "52:54:00:00:00:01", "52:54:00:00:00:02", "52:54:00:00:00:09"
	f := newFixture(t, func(c *api.Config, _ *api.Deps) { c.DiscoveryDriver = "ipmi" })
	make1 := func(mac, bmc string, state ferric.ProvisionState) string {
		id := f.node(m{"driver_info": m{"ipmi_address": bmc}})
		f.must(201, "POST", "/v1/ports", m{"node_uuid": id, "address": mac})
		f.change(id, func(n *ferric.Node) { n.ProvisionState = state })
		return id
	}
	a, b := make1(macA, "192.0.2.1", ferric.InspectWait), make1(macB, "[2001:db8::2]", ferric.InspectWait)
	make1("52:54:00:00:00:03", "127.0.0.1", ferric.InspectWait)
	make1("52:54:00:00:00:04", "192.0.2.4", ferric.Manageable)
	f.conductor.on(rpc.Discover, func(req any) (any, error) { return rpc.LookupReply{Node: req.(rpc.DiscoverArgs).Node}, nil })
	for name, c := range map[string]struct {
		id, v4, v6 string
		macs       []string
		want       string // "": refused; "new": enrolled
	}{
		"by MAC":                      {macs: []string{stranger, macA}, want: a},
		"by UUID":                     {id: a, macs: []string{stranger}, want: a},
		"UUID and MAC agree":          {id: a, macs: []string{macA}, want: a},
		"UUID and MAC differ":         {id: a, macs: []string{macB}},
		"MACs of two nodes":           {macs: []string{macA, macB}},
		"by BMC":                      {macs: []string{stranger}, v4: "192.0.2.1", want: a},
		"by BMC, IPv6":                {macs: []string{stranger}, v6: "2001:db8::2", want: b},
		"two BMCs":                    {macs: []string{stranger}, v4: "192.0.2.1", v6: "2001:db8::2"},
		"BMC of another node":         {macs: []string{macA}, v6: "2001:db8::2"},
		"BMC agrees":                  {macs: []string{macA}, v4: "192.0.2.1", want: a},
		"BMC unknown":                 {macs: []string{macA}, v4: "192.0.2.200", want: a},
		"BMC without an address":      {macs: []string{macA}, v4: "0.0.0.0", v6: "::/0", want: a},
		"loopback is nobody's":        {macs: []string{stranger}, v4: "127.0.0.1", want: "new"},
		"BMC of one that waits not":   {macs: []string{stranger}, v4: "192.0.2.4", want: "new"},
		"nobody's":                    {macs: []string{stranger}, want: "new"},
		"wrong state":                 {macs: []string{"52:54:00:00:00:04"}},
		"unknown UUID":                {id: nodeID, macs: []string{macA}},
		"nothing to go by is refused": {macs: []string{"", "x"}, want: "400"},
	} {
		t.Run(name, func(t *testing.T) {
			f := f.with(t)
			var nics []any
			for _, mac := range c.macs {
				nics = append(nics, m{"mac_address": mac})
			}
			path := "1.110 /v1/continue_inspection"
			if c.id != "" {
				path += "?node_uuid=" + c.id
			}
			r := f.do("POST", path, m{"inventory": m{"interfaces": nics, "bmc_address": c.v4, "bmc_v6address": c.v6}})
			switch c.want {
			case "400":
				if r.status != 400 {
					t.Errorf("%d %s", r.status, r.body)
				}
			case "":
				if r.status != 404 {
					t.Errorf("%d %s", r.status, r.body)
				}
			default:
				if r.status != 202 {
					t.Fatalf("%d %s", r.status, r.body)
				}
				got := r.object(t)["node"].(m)["uuid"]
				if c.want == "new" && (got == a || got == b) || c.want != "new" && got != c.want {
					t.Errorf("node %v, want %s", got, c.want)
				}
			}
		})
	}
}
