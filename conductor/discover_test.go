package conductor_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"ferric"
	"ferric/conductor"
	"ferric/rpc"

	"github.com/google/uuid"
)

// unknown is what a machine that nobody knows sends.
func unknown(mac string) rpc.DiscoverArgs {
	return rpc.DiscoverArgs{Node: &ferric.Node{UUID: uuid.NewString(), Driver: "lab", ResourceClass: "found"}, Addresses: []string{mac},
		Inventory: json.RawMessage(`{"interfaces": [{"name": "eth0", "mac_address": "` + mac + `", "ipv4_address": "192.0.2.9"}], "cpu": {"architecture": "x86_64", "count": 2},
			"memory": {"physical_mb": 2048}, "boot": {"current_boot_mode": "uefi"}, "bmc_address": "192.0.2.77"}`), PluginData: json.RawMessage(`{"x": 1}`)}
}

func (b *bench) rule(r ferric.InspectionRule) {
	b.Helper()
	r.Phase = ferric.PhaseMain
	if err := b.store.CreateInspectionRule(b.Context(), &r); err != nil {
		b.Fatal(err)
	}
}

func does(op string, args map[string]any) ferric.RuleOperation {
	return ferric.RuleOperation{Op: op, Args: args}
}

func TestDiscover(t *testing.T) {
	b := newBench(t)
	b.boot("one")
	b.rule(ferric.InspectionRule{Conditions: []ferric.RuleOperation{does("is-true", map[string]any{"value": "{plugin_data[auto_discovered]}"})},
		Actions: []ferric.RuleOperation{does("set-attribute", map[string]any{"path": "driver_info/address", "value": "{inventory[bmc_address]}"}),
			does("extend-attribute", map[string]any{"path": "extra/seen", "value": "x"})}})
	// Many calls of one machine make one node, and process its data once.
	var wg sync.WaitGroup
	var tokens, refused atomic.Int32
	for range 6 {
		wg.Go(func() {
			var reply rpc.LookupReply
			err := b.call(rpc.Discover, unknown(otherMAC), &reply)
			switch {
			case ferric.IsCode(err, ferric.CodeNotFound): // everything was done already
				refused.Add(1)
			case err != nil:
				t.Error(err)
			case len(reply.Token) == 43:
				tokens.Add(1)
			}
		})
	}
	wg.Wait()
	nodes, err := b.store.Nodes(t.Context(), ferric.NodeFilter{}, ferric.Page{})
	if err != nil || len(nodes) != 1 {
		t.Fatalf("%d nodes, %v", len(nodes), err)
	}
	if tokens.Load() != 1 || refused.Load() > 5 {
		t.Errorf("%d tokens were handed out, %d calls refused", tokens.Load(), refused.Load())
	}
	n := b.until(nodes[0].UUID, "inspected", func(n *ferric.Node) bool { return !n.InspectionFinishedAt.IsZero() && n.Reservation == "" })
	same(t, "node", []any{ferric.Enroll, "lab", "found", 2.0, "x86_64", "192.0.2.77", "", []any{"x"}}, []any{n.ProvisionState, n.Driver, n.ResourceClass,
		n.Properties["cpus"], n.Properties["cpu_arch"], n.DriverInfo["address"], n.LastError, n.Extra["seen"]})
	same(t, "ports", map[string]bool{otherMAC: true}, b.ports(n.UUID))
	inv, err := b.store.Inventory(t.Context(), n.UUID)
	if err != nil {
		t.Fatal(err)
	}
	var plugin map[string]any
	if err := json.Unmarshal(inv.PluginData, &plugin); err != nil || plugin["auto_discovered"] != true || plugin["x"] != 1.0 {
		t.Errorf("plugin data %v, %v", plugin, err)
	}
	// Afterwards the machine is known.
	wantCode(t, b.call(rpc.Discover, unknown(otherMAC), nil), ferric.CodeNotFound)
	wantCode(t, b.call(rpc.Discover, rpc.DiscoverArgs{Node: &ferric.Node{UUID: uuid.NewString(), Driver: "lab"}}, nil), ferric.CodeInvalid, "addresses")
	bad := unknown("52:54:00:00:99:99")
	bad.Node.Driver = "nothing"
	wantCode(t, b.call(rpc.Discover, bad, nil), ferric.CodeInvalid, "nothing")
}

// TestDiscoverGarbage leaves a node that says what was wrong.
func TestDiscoverGarbage(t *testing.T) {
	b := newBench(t)
	b.boot("one")
	a := unknown(otherMAC)
	a.Inventory = json.RawMessage(`{"interfaces": "eth0"}`)
	if err := b.call(rpc.Discover, a, nil); err != nil {
		t.Fatal(err)
	}
	n := b.until(a.Node.UUID, "failed", func(n *ferric.Node) bool { return n.LastError != "" && n.Reservation == "" })
	wantWords(t, n.LastError, "the inventory cannot be read")
	if n.ProvisionState != ferric.Enroll {
		t.Errorf("state %q", n.ProvisionState)
	}
	b.until(a.Node.UUID, "forgotten", func(*ferric.Node) bool {
		_, err := b.store.Inspection(t.Context(), a.Node.UUID)
		return ferric.IsCode(err, ferric.CodeNotFound)
	})
	wantCode(t, b.call(rpc.Discover, unknown(otherMAC), nil), ferric.CodeNotFound)
}

// TestDiscoverAgain goes on where a conductor died between making the node and starting its processing.
func TestDiscoverAgain(t *testing.T) {
	b := newBench(t)
	b.boot("one")
	a := unknown(otherMAC)
	interfaces := b.node(b.site.node("lab").id).Interfaces
	if _, made, err := b.store.Discover(t.Context(), &ferric.Node{UUID: a.Node.UUID, Driver: "lab", Interfaces: interfaces}, a.Addresses,
		&ferric.Inspection{Inventory: a.Inventory, PluginData: a.PluginData}); err != nil || !made {
		t.Fatal(made, err)
	}
	again := unknown(otherMAC)
	var reply rpc.LookupReply
	if err := b.call(rpc.Discover, again, &reply); err != nil || reply.Node.UUID != a.Node.UUID {
		t.Fatalf("%v, %+v", err, reply.Node)
	}
	b.until(a.Node.UUID, "inspected", func(n *ferric.Node) bool { return !n.InspectionFinishedAt.IsZero() })
}

// TestRulesInInspection runs rules of the API and of the file, in their order, over a managed node.
func TestRulesInInspection(t *testing.T) {
	var asked atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if n := asked.Add(1); n == 1 {
			w.WriteHeader(http.StatusServiceUnavailable)
		} else if r.URL.Path == "/gone" {
			w.WriteHeader(http.StatusNotFound)
		} else if r.Header.Get("X-Node") != "yes" {
			t.Errorf("header %v", r.Header)
		}
	}))
	defer server.Close()
	file := filepath.Join(t.TempDir(), "rules.yaml")
	if err := os.WriteFile(file, []byte(`
- priority: 50
  actions: [{op: extend-attribute, args: {path: extra/order, value: "file"}}]
`), 0o600); err != nil {
		t.Fatal(err)
	}
	b := newBench(t)
	b.boot("one", func(c *conductor.Config) { c.Inspection.RulesFile = file })
	order := func(s string) ferric.RuleOperation {
		return does("extend-attribute", map[string]any{"path": "extra/order", "value": s})
	}
	m := b.site.node("lab", in(ferric.Manageable))
	b.rule(ferric.InspectionRule{Priority: 10, Actions: []ferric.RuleOperation{order("last"),
		does("set-port-attribute", map[string]any{"port_id": m.mac, "path": "physical_network", "value": "net"}),
		does("set-plugin-data", map[string]any{"path": "rule.ran", "value": "{node.uuid}"}),
		does("add-trait", map[string]any{"name": "CUSTOM_SEEN"}),
		does("api-call", map[string]any{"url": server.URL + "/ok", "headers": map[string]any{"X-Node": "yes"}, "backoff_factor": 0.001})}})
	b.rule(ferric.InspectionRule{Priority: 100, Actions: []ferric.RuleOperation{order("first")}})
	b.verb(m.id, "inspect")
	n := b.reaches(m.id, ferric.Manageable)
	same[any](t, "order", []any{"first", "file", "last"}, n.Extra["order"])
	same(t, "traits", []string{"CUSTOM_SEEN"}, n.Traits)
	if asked.Load() != 2 {
		t.Errorf("the API was called %d times", asked.Load())
	}
	ports, err := b.store.Ports(t.Context(), ferric.PortFilter{NodeUUIDs: []string{m.id}})
	if err != nil || ports[0].PhysicalNetwork != "net" {
		t.Errorf("ports %+v, %v", ports, err)
	}
	inv, err := b.store.Inventory(t.Context(), m.id)
	if err != nil {
		t.Fatal(err)
	}
	wantWords(t, string(inv.PluginData), `"rule":{"ran":"`+m.id+`"}`)

	// A rule that fails an inspection leaves the node as it was, and the inventory of before.
	b.rule(ferric.InspectionRule{Priority: 1, Actions: []ferric.RuleOperation{does("fail", map[string]any{"msg": "no {node.driver} here"})}})
	b.verb(m.id, "inspect")
	failed := b.reaches(m.id, ferric.InspectFailed)
	wantWords(t, failed.LastError, "Failed to inspect hardware. Reason: no lab here")
	same[any](t, "order", n.Extra["order"], failed.Extra["order"])
	if again, err := b.store.Inventory(t.Context(), m.id); err != nil || !again.UpdatedAt.Equal(inv.UpdatedAt) {
		t.Errorf("the inventory was overwritten: %v", err)
	}
	// Errors of API calls name the host, not the URL.
	if err := b.store.DeleteInspectionRules(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.rule(ferric.InspectionRule{Actions: []ferric.RuleOperation{does("api-call", map[string]any{"url": server.URL + "/gone"})}})
	b.verb(m.id, "inspect")
	wantWords(t, b.reaches(m.id, ferric.InspectFailed).LastError, "api-call", "the answer is 404 Not Found")

	c := b.settings("two")
	c.Inspection.RulesFile = file + ".not"
	if _, err := conductor.New(c, conductor.Deps{Store: b.store, Drivers: b.site.registry(), ConfigDrives: drives{}, Log: quiet(), Metrics: &metrics{}}); !ferric.IsCode(err, ferric.CodeInvalid) {
		t.Errorf("a file that is not there: %v", err)
	}
}

// TestRulesTakeEffectOnce kills the conductor at every write of an inspection; a rule that extends a list does so once.
func TestRulesTakeEffectOnce(t *testing.T) {
	for at := 1; ; at++ {
		ended := false
		t.Run(fmt.Sprint("write ", at), func(t *testing.T) {
			b := newBench(t)
			b.rule(ferric.InspectionRule{Actions: []ferric.RuleOperation{does("extend-attribute", map[string]any{"path": "extra/list", "value": "x"}),
				does("extend-plugin-data", map[string]any{"path": "list", "value": "x"})}})
			id := unknown(otherMAC)
			m := &mortal{Store: b.store, left: at}
			p := b.bootOn(m, "one")
			err := p.call(rpc.Discover, id, nil)
			if err == nil {
				b.until(id.Node.UUID, "inspected or dead", func(n *ferric.Node) bool {
					return m.isDead() || !n.InspectionFinishedAt.IsZero() && n.Reservation == ""
				})
			}
			if ended = !m.isDead(); !ended {
				p.stop()
				b.boot("one")
				// The agent got no answer and asks again.
				if err := b.call(rpc.Discover, id, nil); err != nil && !ferric.IsCode(err, ferric.CodeNotFound) {
					t.Fatal(err)
				}
			}
			n := b.until(id.Node.UUID, "inspected", func(n *ferric.Node) bool { return !n.InspectionFinishedAt.IsZero() })
			same[any](t, "list", []any{"x"}, n.Extra["list"])
			inv, err := b.store.Inventory(t.Context(), n.UUID)
			if err != nil {
				t.Fatal(err)
			}
			var plugin map[string]any
			if err := json.Unmarshal(inv.PluginData, &plugin); err != nil {
				t.Fatal(err)
			}
			same[any](t, "plugin data", []any{"x"}, plugin["list"])
			same(t, "ports", map[string]bool{otherMAC: true}, b.ports(n.UUID))
		})
		if ended || t.Failed() {
			return
		}
	}
}
