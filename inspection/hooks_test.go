package inspection_test

import (
	"encoding/json"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ferric"
	"ferric/inspection"
)

type m = map[string]any
type l = []any

const macA, macB = "52:54:00:00:00:0a", "52:54:00:00:00:0b"

// inventory is that of a machine with two cards, the first of which booted, and one disk.
const inventory = `{"interfaces": [
	{"name": "eth0", "mac_address": "52:54:00:00:00:0A", "ipv4_address": "192.0.2.10", "ipv6_address": "fe80::1%eth0", "client_id": "ff:01",
	 "lldp": [[1, "04112233aabbcc"], [2, "0561"], [5, "737731"]]},
	{"name": "eth1", "mac_address": "52:54:00:00:00:0b"}, {"name": "lo", "mac_address": "00:00:00:00:00:00"}, {"name": "x", "mac_address": ""},
	{"name": "bad", "mac_address": "zz"}],
	"cpu": {"architecture": "x86_64", "count": 4, "flags": ["vmx", "aes", "fpu"]}, "memory": {"total": 4294967296, "physical_mb": 8192},
	"disks": [{"name": "/dev/sda", "size": 107374182400, "serial": "S1", "extra": 1}, {"name": "/dev/sdb", "size": 214748364800, "serial": "S2"}],
	"boot": {"current_boot_mode": "uefi", "pxe_interface": "01-52-54-00-00-00-0a"}}`

// row is a row of the table: the settings, the node, what came, and what must be seen afterwards.
type row struct {
	hooks    string // with spaces between
	settings func(*inspection.Settings)
	node     func(*ferric.Node)
	ports    []*ferric.Port
	inv      func(string) string
	plugin   string
	previous []string
	fail     string
	look     func(*inspection.Facts) any
	want     any
}

func replace(old, with string) func(string) string {
	return func(s string) string {
		if !strings.Contains(s, old) {
			panic("no " + old)
		}
		return strings.Replace(s, old, with, 1)
	}
}

func property(name string) func(*inspection.Facts) any {
	return func(f *inspection.Facts) any { return f.Node.Properties[name] }
}

func pluginData(name string) func(*inspection.Facts) any {
	return func(f *inspection.Facts) any { return f.PluginData[name] }
}

// ports are the ports as "MAC flags" for a look.
func ports(f *inspection.Facts) any {
	var out []string
	for _, p := range f.Ports {
		s := p.Address[len(p.Address)-2:]
		if p.PXEEnabled {
			s += " pxe"
		}
		if id, ok := p.Extra["client-id"].(string); ok {
			s += " " + id
		}
		if p.Version == 0 {
			s += " new"
		}
		out = append(out, s)
	}
	return out
}

func port(mac string, more ...func(*ferric.Port)) *ferric.Port {
	p := &ferric.Port{UUID: mac, Address: mac, Version: 1}
	for _, f := range more {
		f(p)
	}
	return p
}

func add(how, keep string) func(*inspection.Settings) {
	return func(s *inspection.Settings) { s.AddPorts, s.KeepPorts = how, keep }
}

func TestHooks(t *testing.T) {
	const nics, gone = "validate-interfaces ports", "52:54:00:00:00:0c"
	hint := func(v m) func(*ferric.Node) { return func(n *ferric.Node) { n.Properties["root_device"] = v } }
	pci := `{"pci_devices": [{"vendor_id": "10de", "product_id": "1eb8", "bus": "0000:01:00.0"}, {"vendor_id": "10de", "product_id": "1eb8", "bus": "0000:02:00.0"}, {"vendor_id": "8086", "product_id": "1"}, "x"]}`
	alias := func(s *inspection.Settings) {
		s.PCIAliases = []string{`{"vendor_id": "10de", "product_id": "1eb8", "name": "gpu"}`}
	}
	networks := func(s *inspection.Settings) { s.PhysicalNetworks = []string{"192.0.2.0/24:physA", "fe80::/10:physB"} }
	for name, c := range map[string]row{
		"ramdisk-error":              {hooks: "ramdisk-error", plugin: `{"error": "collector dmi failed"}`, fail: "inspection hook ramdisk-error: the ramdisk reported: collector dmi failed"},
		"ramdisk-error, none":        {hooks: "ramdisk-error", plugin: `{"error": null}`, look: pluginData("error"), want: nil},
		"both before hooks":          {hooks: "ramdisk-error validate-interfaces", plugin: `{"error": "e"}`, inv: func(string) string { return `{}` }, fail: "reported: e; inspection hook validate-interfaces: no valid network interfaces"},
		"interfaces":                 {hooks: "validate-interfaces", look: pluginData("macs"), want: l{macA}},
		"interfaces, all":            {hooks: "validate-interfaces", settings: add("all", "all"), look: pluginData("macs"), want: l{macA, macB, "00:00:00:00:00:00"}[:2]},
		"interfaces, as noted":       {hooks: "validate-interfaces", look: func(f *inspection.Facts) any { return f.PluginData["valid_interfaces"].(m)["eth0"].(m)["ipv6_address"] }, want: "fe80::1"},
		"interfaces, loopback":       {hooks: "validate-interfaces", settings: add("active", "all"), inv: replace("192.0.2.10", "127.0.0.1"), fail: `no network interfaces match the configuration (add_ports set to "active")`},
		"interfaces, none":           {hooks: "validate-interfaces", inv: replace(`"01-52-54-00-00-00-0a"`, `"52:54:00:00:00:0c"`), fail: "no network interfaces match"},
		"ports, pxe":                 {hooks: nics, look: ports, want: []string{"0a pxe ff:01 new"}},
		"ports, active":              {hooks: nics, settings: add("active", "all"), look: ports, want: []string{"0a pxe ff:01 new"}},
		"ports, all":                 {hooks: nics, settings: add("all", "all"), look: ports, want: []string{"0a pxe ff:01 new", "0b new"}},
		"ports, disabled":            {hooks: nics, settings: add("disabled", "all"), look: ports, want: []string(nil)},
		"ports, all stay":            {hooks: nics, ports: []*ferric.Port{port(gone), port(macA)}, look: ports, want: []string{"0c", "0a pxe ff:01"}},
		"ports, present stay":        {hooks: nics, settings: add("pxe", "present"), ports: []*ferric.Port{port(gone), port(macB)}, look: ports, want: []string{"0b", "0a pxe ff:01 new"}},
		"ports, added stay":          {hooks: nics, settings: add("pxe", "added"), ports: []*ferric.Port{port(gone), port(macB)}, look: ports, want: []string{"0a pxe ff:01 new"}},
		"ports, boot unknown":        {hooks: nics, settings: add("all", "all"), inv: replace(`"01-52-54-00-00-00-0a"`, "null"), ports: []*ferric.Port{port(macA)}, look: ports, want: []string{"0a ff:01", "0b pxe new"}},
		"ports, flags stay":          {hooks: nics, settings: func(s *inspection.Settings) { s.UpdatePXEEnabled = false }, ports: []*ferric.Port{port(macA)}, look: ports, want: []string{"0a ff:01"}},
		"architecture":               {hooks: "architecture", look: property("cpu_arch"), want: "x86_64"},
		"architecture, missing":      {hooks: "architecture", inv: replace(`"x86_64"`, `""`), fail: "missing CPU architecture"},
		"cpus":                       {hooks: "cpus", look: property("cpus"), want: 4.0},
		"cpus, unknown":              {hooks: "cpus", inv: replace(`"count": 4`, `"count": 0`), look: property("cpus")},
		"memory":                     {hooks: "memory", look: property("memory_mb"), want: 8192.0},
		"memory of the kernel":       {hooks: "memory", inv: replace("8192", "null"), look: property("memory_mb"), want: 4096.0},
		"memory, missing":            {hooks: "memory", inv: replace(`"memory": {"total": 4294967296, "physical_mb": 8192}`, `"memory": {}`), fail: "missing memory"},
		"boot-mode":                  {hooks: "boot-mode", node: func(n *ferric.Node) { n.Properties["capabilities"] = "gpu:true,boot_mode:bios" }, look: property("capabilities"), want: "boot_mode:uefi,gpu:true"},
		"boot-mode of the node":      {hooks: "boot-mode", look: func(f *inspection.Facts) any { return f.Node.BootMode }, want: "uefi"},
		"boot-mode, unknown":         {hooks: "boot-mode", inv: replace("uefi", ""), look: property("capabilities")},
		"cpu-capabilities":           {hooks: "cpu-capabilities", node: func(n *ferric.Node) { n.Properties["capabilities"] = "a:b" }, look: property("capabilities"), want: "a:b,cpu_aes:true,cpu_vt:true"},
		"cpu-capabilities, no flags": {hooks: "cpu-capabilities", inv: replace(`["vmx", "aes", "fpu"]`, "[]"), look: property("capabilities")},

		"root-device, chosen by the agent": {hooks: "root-device", plugin: `{"root_disk": {"name": "/dev/sdb"}}`, look: property("local_gb"), want: 199.0},
		"root-device, by itself":           {hooks: "root-device", look: property("local_gb"), want: 99.0},
		"root-device, no spacing":          {hooks: "root-device", settings: func(s *inspection.Settings) { s.DiskSpacing = false }, look: pluginData("local_gb"), want: 100.0},
		"root-device, as it came":          {hooks: "root-device", look: func(f *inspection.Facts) any { return f.PluginData["root_disk"].(m)["extra"] }, want: json.Number("1")},
		"root-device, hint":                {hooks: "root-device", node: hint(m{"serial": "S2"}), look: property("local_gb"), want: 199.0},
		"root-device, no match":            {hooks: "root-device", node: hint(m{"serial": "S9"}), fail: "no disk matches the root device hints"},
		"root-device, bad hint":            {hooks: "root-device", node: hint(m{"colour": "red"}), fail: `"colour" is unknown`},
		"root-device, skipped": {hooks: "root-device", node: func(n *ferric.Node) {
			n.Properties["root_device"], n.Properties["skip_block_devices"] = m{"size": ">= 1"}, l{m{"serial": "S1"}}
		}, look: property("local_gb"), want: 199.0},
		"root-device, bad skip": {hooks: "root-device", node: func(n *ferric.Node) {
			n.Properties["root_device"], n.Properties["skip_block_devices"] = m{"size": ">= 1"}, l{m{"colour": "red"}}
		}, fail: `"colour" is unknown`},
		"root-device, diskless": {hooks: "root-device", inv: func(string) string { return `{}` }, look: property("local_gb"), want: 0.0},
		"raid-device":           {hooks: "raid-device", previous: []string{"S1"}, look: property("root_device"), want: m{"serial": "S2"}},
		"raid-device, first":    {hooks: "raid-device", look: property("root_device"), want: nil},
		"raid-device, two":      {hooks: "raid-device", previous: []string{}, look: property("root_device"), want: nil},
		"raid-device, same":     {hooks: "raid-device", previous: []string{"S1", "S2"}, look: property("root_device"), want: nil},
		"raid-device, known":    {hooks: "raid-device", node: hint(m{"serial": "S1"}), previous: []string{"S1"}, look: property("root_device"), want: m{"serial": "S1"}},
		"raid-device, no disks": {hooks: "raid-device", inv: func(string) string { return `{}` }, previous: []string{"S1"}, look: property("root_device"), want: nil},

		"accelerators":           {hooks: "accelerators", plugin: strings.Replace(pci, `"0000:02:00.0"`, `"0000:02:00.0", "product_id": "zzzz"`, 1), look: property("accelerators"), want: l{m{"vendor_id": "10de", "device_id": "1eb8", "type": "GPU", "device_info": "NVIDIA Corporation Tesla T4", "pci_address": "0000:01:00.0"}}},
		"accelerators, none":     {hooks: "accelerators", plugin: `{"pci_devices": [{"vendor_id": "1"}]}`, look: property("accelerators"), want: l{}},
		"accelerators, not sent": {hooks: "accelerators", look: property("accelerators")},
		"accelerators, own list": {hooks: "accelerators", settings: func(s *inspection.Settings) {
			s.Accelerators = []byte("pci_devices: [{vendor_id: '8086', device_id: '1', x: y}]")
		}, plugin: pci, look: property("accelerators"), want: l{m{"vendor_id": "8086", "device_id": "1", "x": "y", "pci_address": ""}}},
		"pci-devices":               {hooks: "pci-devices", settings: alias, plugin: pci, look: property("capabilities"), want: "gpu:2"},
		"pci-devices, not sent":     {hooks: "pci-devices", settings: alias, look: property("capabilities")},
		"pci-devices, no alias":     {hooks: "pci-devices", plugin: pci, look: property("capabilities")},
		"extra-hardware":            {hooks: "extra-hardware", plugin: `{"data": [["cpu", "physical_0", "cores", "12"], ["cpu", "physical_0", "name", "x"], [], ["short"], ["disk", "sda", "size", 5]]}`, look: pluginData("extra"), want: m{"cpu": m{"physical_0": m{"cores": 12.0, "name": "x"}}, "disk": m{"sda": m{"size": json.Number("5")}}}},
		"extra-hardware, removes":   {hooks: "extra-hardware", plugin: `{"data": []}`, look: pluginData("data")},
		"extra-hardware, not sent":  {hooks: "extra-hardware", look: pluginData("extra")},
		"extra-hardware, malformed": {hooks: "extra-hardware", plugin: `{"data": "x"}`, look: pluginData("data"), want: "x"},
		"extra-hardware, strict":    {hooks: "extra-hardware", settings: func(s *inspection.Settings) { s.ExtraHardwareStrict = true }, plugin: `{"data": [["a", "b", "c"]]}`, look: func(f *inspection.Facts) any { return len(f.PluginData) }, want: 0},

		"local-link-connection": {hooks: nics + " local-link-connection", look: func(f *inspection.Facts) any { return f.Ports[0].LocalLinkConnection }, want: m{"port_id": "a", "switch_id": "11:22:33:aa:bb:cc", "switch_info": "sw1"}},
		"local-link-connection, what is there stays": {hooks: "validate-interfaces local-link-connection", ports: []*ferric.Port{port(macA, func(p *ferric.Port) { p.LocalLinkConnection = m{"port_id": "mine"} })},
			look: func(f *inspection.Facts) any { return f.Ports[0].LocalLinkConnection }, want: m{"port_id": "mine", "switch_id": "11:22:33:aa:bb:cc", "switch_info": "sw1"}},
		"local-link-connection, raw wins": {hooks: nics + " local-link-connection", plugin: `{"lldp_raw": {"eth0": [[2, "0562"]]}}`, look: func(f *inspection.Facts) any { return f.Ports[0].LocalLinkConnection }, want: m{"port_id": "b"}},
		"local-link-connection, damaged":  {hooks: nics + " local-link-connection", inv: replace("0561", "03ff"), look: func(f *inspection.Facts) any { return f.Ports[0].LocalLinkConnection }, want: m(nil)},
		"parse-lldp":                      {hooks: "parse-lldp", look: pluginData("parsed_lldp"), want: m{"eth0": m{"switch_chassis_id": "11:22:33:aa:bb:cc", "switch_port_id": "a", "switch_system_name": "sw1"}}},
		"parse-lldp, raw":                 {hooks: "parse-lldp", plugin: `{"lldp_raw": {"eth1": [[2, "0562"]], "eth0": []}}`, look: func(f *inspection.Facts) any { return f.PluginData["parsed_lldp"].(m)["eth1"] }, want: m{"switch_port_id": "b"}},
		"parse-lldp, nothing":             {hooks: "parse-lldp", inv: replace(`[[1, "04112233aabbcc"], [2, "0561"], [5, "737731"]]`, "null"), look: pluginData("parsed_lldp")},
		"physical-network":                {hooks: nics + " physical-network", settings: networks, look: func(f *inspection.Facts) any { return f.Ports[0].PhysicalNetwork }, want: "physA"},
		"physical-network, IPv6":          {hooks: nics + " physical-network", settings: networks, inv: replace("192.0.2.10", "198.51.100.1"), look: func(f *inspection.Facts) any { return f.Ports[0].PhysicalNetwork }, want: "physB"},
		"physical-network, unknown":       {hooks: nics + " physical-network", look: func(f *inspection.Facts) any { return f.Ports[0].PhysicalNetwork }, want: ""},
		"garbage":                         {hooks: "cpus", inv: func(string) string { return `[1]` }, fail: "the inventory cannot be read"},
		"garbage in plugin data":          {hooks: "cpus", plugin: `[1]`, fail: "the plugin data cannot be read"},
	} {
		t.Run(name, func(t *testing.T) {
			s := inspection.Settings{Hooks: strings.Fields(c.hooks), AddPorts: "pxe", KeepPorts: "all", UpdatePXEEnabled: true, DiskSpacing: true,
				CPUCapabilities: map[string]string{"vmx": "cpu_vt", "svm": "cpu_vt", "aes": "cpu_aes"}}
			if c.settings != nil {
				c.settings(&s)
			}
			p, err := inspection.New(s)
			if err != nil {
				t.Fatal(err)
			}
			f := &inspection.Facts{Node: &ferric.Node{UUID: "n", Properties: m{}}, Ports: c.ports, Previous: c.previous, Log: slog.New(slog.DiscardHandler)}
			if c.node != nil {
				c.node(f.Node)
			}
			inv := inventory
			if c.inv != nil {
				inv = c.inv(inv)
			}
			if err = f.Read(json.RawMessage(inv), json.RawMessage(c.plugin)); err == nil {
				err = p.Run(t.Context(), f)
			}
			if c.fail != "" {
				if !ferric.IsCode(err, ferric.CodeInvalid) && !ferric.IsCode(err, ferric.CodeNotFound) || !strings.Contains(err.Error(), c.fail) {
					t.Fatalf("error %v, want %q", err, c.fail)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, c.look(f)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestSettings(t *testing.T) {
	for name, c := range map[string]struct {
		s    inspection.Settings
		fail string
	}{
		"all hooks":      {inspection.Settings{Hooks: inspection.HookNames()}, ""},
		"no hooks":       {inspection.Settings{}, ""},
		"unknown hook":   {inspection.Settings{Hooks: []string{"weather"}}, `there is no hook "weather"; choose from: ramdisk-error`},
		"twice":          {inspection.Settings{Hooks: []string{"cpus", "cpus"}}, "cpus is there twice"},
		"wrong order":    {inspection.Settings{Hooks: []string{"ports", "validate-interfaces"}}, "ports requires validate-interfaces to be enabled before it"},
		"alias":          {inspection.Settings{PCIAliases: []string{`{"vendor_id": "1"}`}}, "pci_device_alias"},
		"alias, garbage": {inspection.Settings{PCIAliases: []string{`x`}}, "pci_device_alias"},
		"network":        {inspection.Settings{PhysicalNetworks: []string{"192.0.2.0/24"}}, "physical_network_cidr_map"},
		"no network":     {inspection.Settings{PhysicalNetworks: []string{"x:y"}}, "physical_network_cidr_map"},
		"accelerators":   {inspection.Settings{Accelerators: []byte("x: y")}, "no list pci_devices"},
		"no id":          {inspection.Settings{Accelerators: []byte("pci_devices: [{vendor_id: '1'}]")}, "missing vendor_id or device_id"},
		"no YAML":        {inspection.Settings{Accelerators: []byte("[")}, "known_accelerators"},
	} {
		_, err := inspection.New(c.s)
		if (err == nil) != (c.fail == "") || err != nil && (!strings.Contains(err.Error(), c.fail) || !ferric.IsCode(err, ferric.CodeInvalid)) {
			t.Errorf("%s: error %v, want %q", name, err, c.fail)
		}
	}
	if got := inspection.Collectors(inspection.HookNames()); !slices.Equal(got, []string{"pci-devices", "extra-hardware", "lldp"}) {
		t.Errorf("collectors %v", got)
	}
	if got := inspection.Collectors([]string{"cpus"}); got != nil {
		t.Errorf("collectors %v", got)
	}
}
