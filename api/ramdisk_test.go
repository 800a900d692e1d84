package api_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"ferric"
	"ferric/agentapi"
	"ferric/api"
	"ferric/rpc"
)

const agentMAC = "52:54:00:aa:bb:cc"

// waiting makes a node that waits for its agent.
func (f *fixture) waiting(s ferric.ProvisionState) string {
	f.t.Helper()
	id := f.node(nil)
	f.must(201, "POST", "/v1/ports", m{"node_uuid": id, "address": agentMAC})
	f.change(id, func(n *ferric.Node) { n.ProvisionState = s })
	return id
}

func TestLookup(t *testing.T) {
	f := newFixture(t)
	id := f.waiting(ferric.DeployWait)
	other := f.node(nil)
	f.must(201, "POST", "/v1/ports", m{"node_uuid": other, "address": "52:54:00:00:00:02"})
	for name, c := range map[string]struct {
		query  string
		status int
	}{
		"by MAC":              {"addresses=" + agentMAC, 200},
		"by MACs, one known":  {"addresses=52:54:00:00:00:99," + strings.ToUpper(agentMAC), 200},
		"by UUID":             {"node_uuid=" + id, 200},
		"UUID before MACs":    {"node_uuid=" + id + "&addresses=52:54:00:00:00:02", 200},
		"no such MAC":         {"addresses=52:54:00:00:00:99", 404},
		"MACs of two nodes":   {"addresses=52:54:00:00:00:02," + agentMAC, 404},
		"not expected":        {"node_uuid=" + other, 404},
		"no such node":        {"node_uuid=00000000-0000-4000-8000-000000000000", 404},
		"nothing":             {"", 400},
		"no valid MAC":        {"addresses=x,y", 400},
		"not a UUID":          {"node_uuid=x", 400},
		"an unknown argument": {"node_uuid=" + id + "&x=1", 400},
	} {
		t.Run(name, func(t *testing.T) {
			f := f.with(t)
			r := f.must(c.status, "GET", "1.62 /v1/lookup?"+c.query, nil)
			switch c.status {
			case 200:
				if node := r.object(t)["node"].(m); node["uuid"] != id {
					t.Errorf("node %v", node)
				}
			case 404:
				if r.text(t) != "Resource could not be found." {
					t.Errorf("the refusal tells more than it must: %s", r.body)
				}
			}
		})
	}
}

// TestLookupKeepsTheToken: an agent too old for tokens must not use up the one there is.
func TestLookupKeepsTheToken(t *testing.T) {
	f := newFixture(t)
	id := f.waiting(ferric.CleanWait)
	asked := 0
	f.conductor.on(rpc.Lookup, func(any) (any, error) { asked++; return rpc.LookupReply{Token: strings.Repeat("t", 43)}, nil })
	config := f.must(200, "GET", "1.61 /v1/lookup?node_uuid="+id, nil).object(t)["config"].(m)
	if _, has := config["agent_token"]; has || asked != 0 || config["heartbeat_timeout"] != 300.0 {
		t.Errorf("at 1.61: asked %d times, config %v", asked, config)
	}
	config = f.must(200, "GET", "1.62 /v1/lookup?node_uuid="+id, nil).object(t)["config"].(m)
	if config["agent_token"] != strings.Repeat("t", 43) || asked != 1 {
		t.Errorf("at 1.62: asked %d times, config %v", asked, config)
	}
}

func TestHeartbeat(t *testing.T) {
	f := newFixture(t)
	id := f.waiting(ferric.DeployWait)
	var got rpc.HeartbeatArgs
	f.conductor.on(rpc.Heartbeat, func(req any) (any, error) {
		got = req.(rpc.HeartbeatArgs)
		if got.AgentToken != "right" {
			return nil, ferric.Errorf(ferric.CodeInvalid, "Invalid or missing agent token received.")
		}
		return nil, nil
	})
	ok := m{"callback_url": "https://192.0.2.9:9999", "agent_token": "right"}
	with := func(k string, v any) m {
		out := m{k: v}
		for k, v := range ok {
			if _, set := out[k]; !set {
				out[k] = v
			}
		}
		return out
	}
	for name, c := range map[string]struct {
		version string
		body    any
		status  int
		text    string
	}{
		"plain":              {"1.22", ok, 202, ""},
		"all":                {"1.72", m{"callback_url": "https://h", "agent_token": "right", "agent_version": "9", "agent_verify_ca": "PEM", "agent_status": "start", "agent_status_message": "x"}, 202, ""},
		"one way":            {"1.72", with("callback_url", ""), 202, ""},
		"ferric's own":       {"1.68", with("ferric", agentapi.Extension{Epoch: 3, Running: true}), 202, ""},
		"ferric's, wrong":    {"1.68", with("ferric", m{"epoch": "x"}), 400, "ferric"},
		"no callback":        {"1.68", m{"agent_token": "right"}, 400, "Missing mandatory parameter: callback_url"},
		"no token":           {"1.68", m{"callback_url": "https://h"}, 400, "Agent token is required for heartbeat processing."},
		"wrong token":        {"1.68", with("agent_token", "wrong"), 400, "Invalid or missing agent token"},
		"file callback":      {"1.68", with("callback_url", "file:///etc/passwd"), 400, `An issue with the supplied "callback_url"`},
		"callback with user": {"1.68", with("callback_url", "http://a:b@h/"), 400, `An issue with the supplied "callback_url"`},
		"relative callback":  {"1.68", with("callback_url", "h:9999"), 400, `An issue with the supplied "callback_url"`},
		"version too early":  {"1.35", with("agent_version", "9"), 400, `Field "agent_version" not recognised`},
		"ca too early":       {"1.67", with("agent_verify_ca", "PEM"), 400, `Field "agent_verify_ca" not recognised in this version`},
		"status too early":   {"1.71", with("agent_status", "start"), 400, "not recognised."},
		"wrong status":       {"1.72", with("agent_status", "x"), 400, "Valid states are start,end,error."},
		"unknown argument":   {"1.72", with("x", 1), 400, "Unexpected arguments: x"},
	} {
		t.Run(name, func(t *testing.T) {
			f := f.with(t)
			r := f.must(c.status, "POST", c.version+" /v1/heartbeat/"+id, c.body)
			if c.status == 202 {
				if len(r.body) != 0 || got.UUID != id {
					t.Errorf("body %q, conductor told %+v", r.body, got)
				}
			} else if !strings.Contains(r.text(t), c.text) {
				t.Errorf("text %q, want %q in it", r.text(t), c.text)
			}
		})
	}
	f.conductor.on(rpc.Heartbeat, func(any) (any, error) {
		return nil, ferric.Errorf(ferric.CodeLocked, "Node %s is locked by host host-1, please retry after the current operation is completed.", id)
	})
	r := f.must(409, "POST", "1.68 /v1/heartbeat/"+id, ok)
	if !strings.Contains(r.text(t), "host-1") || r.header.Get("Retry-After") == "" {
		t.Errorf("locked: %s %v", r.body, r.header)
	}
}

func TestContinueInspection(t *testing.T) {
	f := newFixture(t)
	id := f.waiting(ferric.InspectWait)
	var got rpc.InspectionArgs
	f.conductor.on(rpc.ContinueInspection, func(req any) (any, error) { got = req.(rpc.InspectionArgs); return nil, nil })
	data := func(mac string) m {
		return m{"inventory": m{"interfaces": []any{m{"mac_address": mac}}, "bmc_address": "192.0.2.77"}, "root_disk": m{"name": "/dev/sda"}}
	}
	f.must(202, "POST", "1.84 /v1/continue_inspection", data(agentMAC))
	if got.UUID != id || !strings.Contains(string(got.Inventory), agentMAC) || string(got.PluginData) != `{"root_disk":{"name":"/dev/sda"}}` {
		t.Errorf("conductor told %s %s %s", got.UUID, got.Inventory, got.PluginData)
	}
	f.must(202, "POST", "1.84 /v1/continue_inspection?node_uuid="+id, data("52:54:00:00:00:99"))
	f.must(404, "POST", "1.84 /v1/continue_inspection", data("52:54:00:00:00:99"))
	f.must(404, "POST", "1.83 /v1/continue_inspection", data(agentMAC))
	f.must(404, "POST", "1.1 /v1/continue_inspection?node_uuid="+id, data(agentMAC))
	f.must(400, "POST", "1.84 /v1/continue_inspection", m{})
	f.must(400, "POST", "1.84 /v1/continue_inspection", m{"inventory": m{"interfaces": []any{}}})
	f.must(400, "POST", "1.84 /v1/continue_inspection", m{"inventory": m{"interfaces": []any{m{}}}})
	f.must(400, "POST", "1.84 /v1/continue_inspection", "[]")
	// By the address of its BMC, if nothing else is known.
	f.change(id, func(n *ferric.Node) { n.DriverInfo = map[string]any{"ipmi_address": "192.0.2.77"} })
	f.must(202, "POST", "1.84 /v1/continue_inspection", data("52:54:00:00:00:99"))
	f.change(id, func(n *ferric.Node) { n.ProvisionState = ferric.Manageable })
	f.must(404, "POST", "1.84 /v1/continue_inspection", data(agentMAC))
}

// TestRamdiskOnly: the provisioning network sees discovery and the agents' calls, without credentials, and nothing else.
func TestRamdiskOnly(t *testing.T) {
	f, _ := basicFixture(t, "alice:"+hash(t, "wonder", "$2y$", 4))
	n := &ferric.Node{UUID: nodeID, Driver: "ipmi", ProvisionState: ferric.DeployWait}
	if err := f.store.CreateNode(t.Context(), n); err != nil {
		t.Fatal(err)
	}
	f.server = httptest.NewServer(f.api.Ramdisk())
	t.Cleanup(f.server.Close)
	f.must(200, "GET", "/", nil)
	f.must(200, "GET", "/v1/", nil)
	f.must(200, "GET", "1.62 /v1/lookup?node_uuid="+nodeID, nil)
	f.must(202, "POST", "1.68 /v1/heartbeat/"+nodeID, m{"callback_url": "http://192.0.2.9:9999", "agent_token": "x"})
	for _, hidden := range []string{"/v1/nodes", "/v1/nodes/" + nodeID, "/v1/ports", "/v1/drivers", "/v1/conductors", "/metrics", "/healthcheck",
		"/ferric/v1/operations/" + opID, "/nodes"} {
		f.must(404, "GET", hidden, nil)
	}
	f.must(404, "POST", "/v1/nodes", m{"driver": "ipmi"})
}

// TestRamdiskSwitchedOff: a public API may hide the agents' calls, and Ramdisk still has them.
func TestRamdiskSwitchedOff(t *testing.T) {
	f := newFixture(t, func(c *api.Config, _ *api.Deps) { c.RamdiskEndpoints = false })
	id := f.waiting(ferric.DeployWait)
	r := f.must(403, "GET", "/v1/lookup?node_uuid="+id, nil)
	if r.text(t) != "Access was denied to the following resource: /v1/lookup" {
		t.Errorf("%s", r.body)
	}
	f.must(403, "POST", "/v1/heartbeat/"+id, m{"callback_url": "http://h", "agent_token": "x"})
	f.must(403, "POST", "/v1/continue_inspection", m{})
	w := httptest.NewRecorder()
	req := httptest.NewRequest("GET", "/v1/lookup?node_uuid="+id, nil)
	req.Header.Set("X-OpenStack-Ironic-API-Version", "1.62")
	f.api.Ramdisk().ServeHTTP(w, req)
	if w.Code != http.StatusOK {
		t.Errorf("Ramdisk: %d %s", w.Code, w.Body)
	}
}
