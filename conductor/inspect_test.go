package conductor_test

import (
	"encoding/json"
	"maps"
	"path/filepath"
	"testing"

	"ferric"
	"ferric/agentapi"
	"ferric/conductor"
	"ferric/flow"
	"ferric/rpc"

	"github.com/google/uuid"
)

const otherMAC = "52:54:00:dd:ee:ff"

// ports returns a node's ports: MAC → pxe_enabled.
func (b *bench) ports(id string) map[string]bool {
	b.Helper()
	list, err := b.store.Ports(b.Context(), ferric.PortFilter{NodeUUIDs: []string{id}})
	if err != nil {
		b.Fatal(err)
	}
	out := map[string]bool{}
	for _, p := range list {
		out[p.Address] = p.PXEEnabled
	}
	return out
}

func (b *bench) port(node, mac string, pxe bool) {
	b.Helper()
	if err := b.store.CreatePort(b.Context(), &ferric.Port{UUID: uuid.NewString(), NodeUUID: node, Address: mac, PXEEnabled: pxe}); err != nil {
		b.Fatal(err)
	}
}

// TestInspectedPorts adds, keeps and removes ports as configured. The machine has the card that it boots from, a second one with a cable,
// and a third one without; the node has the first, with the wrong flag, and one that is not there any more.
func TestInspectedPorts(t *testing.T) {
	const wired, bare, gone = "52:54:00:00:00:02", "52:54:00:00:00:03", "52:54:00:00:00:04"
	for name, c := range map[string]struct {
		add, keep string
		update    bool
		unknown   bool // the agent does not know what the machine booted from
		want      map[string]bool
	}{
		"all, all":             {"all", "all", true, false, map[string]bool{"boot": true, wired: false, bare: false, gone: false}},
		"all, present":         {"all", "present", true, false, map[string]bool{"boot": true, wired: false, bare: false}},
		"active, all":          {"active", "all", true, false, map[string]bool{"boot": true, wired: false, gone: false}},
		"pxe, added":           {"pxe", "added", true, false, map[string]bool{"boot": true}},
		"disabled, all":        {"disabled", "all", true, false, map[string]bool{"boot": true, gone: false}},
		"flags are kept":       {"all", "present", false, false, map[string]bool{"boot": false, wired: false, bare: false}},
		"boot card is unknown": {"all", "present", true, true, map[string]bool{"boot": false, wired: true, bare: true}},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.boot("one", func(cf *conductor.Config) {
				cf.Inspection.AddPorts, cf.Inspection.KeepPorts, cf.Inspection.UpdatePXEEnabled = c.add, c.keep, c.update
			})
			m := b.site.node("lab", in(ferric.Manageable))
			list, err := b.store.Ports(t.Context(), ferric.PortFilter{NodeUUIDs: []string{m.id}})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := b.store.UpdatePort(t.Context(), list[0].UUID, 0, func(p *ferric.Port) error { p.PXEEnabled = false; return nil }); err != nil {
				t.Fatal(err)
			}
			b.port(m.id, gone, false)
			m.found.Interfaces = append(m.found.Interfaces, agentapi.Interface{Name: "eth1", MACAddress: "52:54:00:00:00:02", HasCarrier: true, IPv4Address: "192.0.2.2"},
				agentapi.Interface{Name: "eth2", MACAddress: bare}, agentapi.Interface{Name: "lo"})
			m.found.Boot.PXEInterface = agentapi.Text("01-" + dashed(m.mac)) // as pxelinux says it
			if c.unknown {
				m.found.Boot.PXEInterface = ""
			}
			b.verb(m.id, "inspect")
			b.reaches(m.id, ferric.Manageable)
			want := maps.Clone(c.want)
			want[m.mac] = want["boot"]
			delete(want, "boot")
			same(t, "ports", want, b.ports(m.id))
		})
	}
}

func dashed(mac string) string {
	out := []byte(mac)
	for i := range out {
		if out[i] == ':' {
			out[i] = '-'
		}
	}
	return string(out)
}

// TestInspectionFindings looks at what the hooks make of inventories.
func TestInspectionFindings(t *testing.T) {
	for name, c := range map[string]struct {
		node   func(*ferric.Node)
		found  func(*agentapi.Inventory)
		plugin map[string]any
		fail   []string
		want   map[string]any
	}{
		"capabilities are merged": {node: func(n *ferric.Node) { n.Properties["capabilities"] = "gpu:true,boot_mode:bios" },
			want: map[string]any{"capabilities": "boot_mode:uefi,gpu:true"}},
		"no boot mode":         {found: func(i *agentapi.Inventory) { i.Boot.CurrentBootMode = "" }, want: map[string]any{"capabilities": nil}},
		"another architecture": {found: func(i *agentapi.Inventory) { i.CPU.Architecture = "aarch64" }, want: map[string]any{"cpu_arch": "aarch64"}},
		"memory by the kernel": {found: func(i *agentapi.Inventory) { i.Memory.PhysicalMB = nil }, want: map[string]any{"memory_mb": 4096.0}},
		"what is not found stays": {node: func(n *ferric.Node) { n.Properties["cpus"] = "64" }, found: func(i *agentapi.Inventory) { i.CPU.Count = 0 },
			want: map[string]any{"cpus": "64"}},
		"root device by hint": {node: func(n *ferric.Node) { n.Properties["root_device"] = map[string]any{"serial": "S2"} },
			found: func(i *agentapi.Inventory) {
				i.Disks = append(i.Disks, agentapi.BlockDevice{Name: "/dev/sdb", Size: 100 << 30, Serial: agentapi.Texts{"S2"}})
			}, want: map[string]any{"local_gb": 99.0}},
		"no disk matches the hint": {node: func(n *ferric.Node) { n.Properties["root_device"] = map[string]any{"serial": "S9"} },
			fail: []string{"inspection hook root-device", "no disk matches the root device hints (serial", "/dev/sda", `"S1"`}},
		"bad hint": {node: func(n *ferric.Node) { n.Properties["root_device"] = map[string]any{"colour": "red"} },
			fail: []string{"inspection hook root-device", `"colour" is unknown`}},
		"no disk is fit": {found: func(i *agentapi.Inventory) { i.Disks[0].Size = 1 << 30 }, want: map[string]any{"local_gb": 0.0}},
		"no disk":        {found: func(i *agentapi.Inventory) { i.Disks = nil }, want: map[string]any{"local_gb": 0.0, "cpus": 4.0}},
		"no card": {found: func(i *agentapi.Inventory) { i.Interfaces = []agentapi.Interface{{Name: "lo"}} },
			fail: []string{"inspection hook validate-interfaces", "no valid network interfaces"}},
		"ramdisk error": {plugin: map[string]any{"error": "collector dmi failed"}, fail: []string{"inspection hook ramdisk-error", "collector dmi failed"}},
		"no error":      {plugin: map[string]any{"error": nil}, want: map[string]any{"cpus": 4.0}},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.boot("one")
			change := []func(*ferric.Node){in(ferric.Manageable)}
			if c.node != nil {
				change = append(change, c.node)
			}
			m := b.site.node("lab", change...)
			if c.found != nil {
				c.found(m.found)
			}
			m.plugin = c.plugin
			b.verb(m.id, "inspect")
			if c.fail != nil {
				n := b.reaches(m.id, ferric.InspectFailed)
				wantWords(t, n.LastError, c.fail...)
				if !n.InspectionFinishedAt.IsZero() || m.power() != ferric.PowerOff || n.Maintenance {
					t.Errorf("finished at %v, power %q, maintenance %v", n.InspectionFinishedAt, m.power(), n.Maintenance)
				}
				return
			}
			n := b.reaches(m.id, ferric.Manageable)
			for k, v := range c.want {
				if n.Properties[k] != v {
					t.Errorf("%s is %v, want %v", k, n.Properties[k], v)
				}
			}
		})
	}
}

// TestInspectionOfForeignCard leaves the port where it is when another node has it.
func TestInspectionOfForeignCard(t *testing.T) {
	b := newBench(t)
	b.boot("one")
	other, m := b.site.node("lab", in(ferric.Manageable)), b.site.node("lab", in(ferric.Manageable))
	b.port(other.id, otherMAC, true)
	m.found.Interfaces = append(m.found.Interfaces, agentapi.Interface{Name: "eth1", MACAddress: otherMAC})
	b.verb(m.id, "inspect")
	b.reaches(m.id, ferric.Manageable)
	same(t, "ports", map[string]bool{m.mac: true}, b.ports(m.id))
	same(t, "ports of the other node", map[string]bool{other.mac: true, otherMAC: true}, b.ports(other.id))
}

// TestInspectionData keeps what the agent sent and what the hooks made of it, and refuses data that nobody waits for.
func TestInspectionData(t *testing.T) {
	b := newBench(t)
	var logs string
	b.boot("one", func(c *conductor.Config) { c.Inspection.PowerOff, c.CollectLogs = false, "always"; logs = c.LogsDir })
	m := b.site.node("lab", in(ferric.Manageable))
	send := func(inventory string) error {
		return b.call(rpc.ContinueInspection, rpc.InspectionArgs{NodeRef: ref(m.id), Inventory: json.RawMessage(inventory)}, nil)
	}
	wantCode(t, send(`{}`), ferric.CodeNotFound, m.id)
	m.plugin = map[string]any{"lldp_raw": []any{"x"}, "logs": "bG9ncw=="}
	b.verb(m.id, "inspect")
	n := b.reaches(m.id, ferric.Manageable)
	if n.BootMode != ferric.BootModeUEFI || m.power() != ferric.PowerOn {
		t.Errorf("boot mode %q, power %q", n.BootMode, m.power())
	}
	inv, err := b.store.Inventory(t.Context(), m.id)
	if err != nil {
		t.Fatal(err)
	}
	var plugin map[string]any
	if err := json.Unmarshal(inv.PluginData, &plugin); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"lldp_raw", "valid_interfaces", "root_disk"} {
		if plugin[key] == nil {
			t.Errorf("%s is not in the plugin data: %s", key, inv.PluginData)
		}
	}
	if plugin["logs"] != nil {
		t.Error("the logs are in the plugin data")
	}
	if files, err := filepath.Glob(filepath.Join(logs, m.id+"_inspect_*.tar.gz")); err != nil || len(files) == 0 {
		t.Errorf("the logs were not kept: %v", err)
	}
	wantCode(t, send(`{}`), ferric.CodeNotFound, m.id)
	if again, err := b.store.Inventory(t.Context(), m.id); err != nil || !again.UpdatedAt.Equal(inv.UpdatedAt) {
		t.Errorf("data that nobody waits for were kept: %v", err)
	}
}

// TestInventoryIsEnough ends an inspection whose agent sends its inventory and never calls again.
func TestInventoryIsEnough(t *testing.T) {
	b := newBench(t)
	b.boot("one")
	m := b.site.node("lab", in(ferric.Manageable))
	m.with(func(m *machine) { m.deaf = true })
	b.verb(m.id, "inspect")
	b.waits(m.id, "first call")
	inv, err := json.Marshal(m.found)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.call(rpc.ContinueInspection, rpc.InspectionArgs{NodeRef: ref(m.id), Inventory: inv}, nil); err != nil {
		t.Fatal(err)
	}
	if n := b.reaches(m.id, ferric.Manageable); n.Properties["cpus"] != 4.0 {
		t.Errorf("properties %v", n.Properties)
	}
}

// TestGarbageInventory fails the inspection with a reason.
func TestGarbageInventory(t *testing.T) {
	for name, inventory := range map[string]string{"a list": `[1, 2]`, "null": `null`, "wrong types": `{"interfaces": "eth0"}`} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.boot("one")
			m := b.site.node("lab", in(ferric.Manageable))
			m.with(func(m *machine) { m.deaf = true })
			b.verb(m.id, "inspect")
			b.waits(m.id, "first call")
			if err := b.call(rpc.ContinueInspection, rpc.InspectionArgs{NodeRef: ref(m.id), Inventory: json.RawMessage(inventory)}, nil); err != nil {
				wantCode(t, err, ferric.CodeInvalid)
				return
			}
			n := b.reaches(m.id, ferric.InspectFailed)
			if n.LastError == "" {
				t.Error("no reason is given")
			}
		})
	}
}

// TestNoInspect refuses to inspect a node that has no inspect interface, and one without ports.
func TestNoInspect(t *testing.T) {
	b := newBench(t)
	b.boot("one")
	m := b.site.node("lab", in(ferric.Manageable), func(n *ferric.Node) { n.Interfaces[ferric.KindInspect] = "no-inspect" })
	wantCode(t, b.try(m.id, "inspect"), ferric.CodeInvalid, "Failed to validate inspect interface", "does not support inspect")
	bare := b.site.node("lab", in(ferric.Manageable))
	ports, err := b.store.Ports(t.Context(), ferric.PortFilter{NodeUUIDs: []string{bare.id}})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.store.DeletePort(t.Context(), ports[0].UUID); err != nil {
		t.Fatal(err)
	}
	wantCode(t, b.try(bare.id, "inspect"), ferric.CodeInvalid, "has no port")
	if op, err := b.store.Unfinished(t.Context(), m.id, flow.Provision); err == nil {
		t.Errorf("unfinished: %+v", op)
	}
}

func TestUnknownHook(t *testing.T) {
	b := newBench(t)
	c := b.settings("one")
	c.Inspection.Hooks = []string{"cpus", "weather"}
	_, err := conductor.New(c, conductor.Deps{Store: b.store, Drivers: b.site.registry(), ConfigDrives: drives{}, Log: quiet(), Metrics: &metrics{}})
	wantCode(t, err, ferric.CodeInvalid, `no hook "weather"`, "root-device")
	for name, change := range map[string]func(*conductor.Config){
		"host":               func(c *conductor.Config) { c.Host = "" },
		"lease":              func(c *conductor.Config) { c.LeaseTTL = 0 },
		"heartbeat_interval": func(c *conductor.Config) { c.HeartbeatInterval = -1 },
		"agent_poll":         func(c *conductor.Config) { c.AgentPoll = 0 },
		"power_sync_workers": func(c *conductor.Config) { c.PowerSyncInterval, c.PowerSyncWorkers = 1, 0 },
	} {
		t.Run(name, func(t *testing.T) {
			c := b.settings("one")
			change(&c)
			wantCode(t, c.Validate(), ferric.CodeInvalid, name)
		})
	}
}
