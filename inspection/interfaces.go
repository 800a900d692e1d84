package inspection

import (
	"maps"
	"net/netip"
	"slices"
	"strings"

	"ferric"
	"ferric/agentapi"

	"github.com/google/uuid"
)

// maxInterfaces bounds the network interfaces that are looked at: more is no machine but an attack.
const maxInterfaces = 256

// ramdiskError fails an inspection that failed in the ramdisk.
func (p *Processor) ramdiskError(f *Facts) error {
	switch e := f.PluginData["error"]; e {
	case nil, "", false:
		return nil
	default:
		return ferric.Errorf(ferric.CodeInvalid, "the ramdisk reported: %v", e)
	}
}

// pxeMAC is the MAC address of the interface that the machine booted from, "" if the agent does not know.
func pxeMAC(inv agentapi.Inventory) string {
	s := strings.ToLower(string(inv.Boot.PXEInterface))
	if len(s) == len("01-aa-bb-cc-dd-ee-ff") { // as pxelinux says it
		s = s[3:]
	}
	return normalMAC(s)
}

// validateInterfaces notes which interfaces there are (all_interfaces), and which may become ports (valid_interfaces, macs).
func (p *Processor) validateInterfaces(f *Facts) error {
	all, valid := map[string]any{}, map[string]any{}
	macs := []any{}
	list := f.rawInterfaces()
	if len(list) > maxInterfaces {
		f.Log.Warn("there are too many network interfaces; the rest is left out", "interfaces", len(list), "kept", maxInterfaces)
		list = list[:maxInterfaces]
	}
	for _, raw := range list {
		name, mac := str(raw, "name"), normalMAC(str(raw, "mac_address"))
		if name == "" || mac == "" {
			continue
		}
		nic := maps.Clone(raw)
		nic["pxe_enabled"] = f.pxeMAC == "" || mac == f.pxeMAC
		nic["ipv6_address"] = raw["ipv6_address"]
		if v6, _, scoped := strings.Cut(str(raw, "ipv6_address"), "%"); scoped {
			nic["ipv6_address"] = v6
		}
		all[name] = nic
		if p.fits(f, name, nic) {
			valid[name] = maps.Clone(nic)
			if !slices.Contains(macs, any(mac)) {
				macs = append(macs, mac)
			}
		}
	}
	if len(all) == 0 {
		return ferric.Errorf(ferric.CodeInvalid, "no valid network interfaces: none has a name and a MAC address")
	}
	if len(valid) == 0 {
		return ferric.Errorf(ferric.CodeInvalid, "no network interfaces match the configuration (add_ports set to %q)", p.settings.AddPorts)
	}
	f.PluginData["all_interfaces"], f.PluginData["valid_interfaces"], f.PluginData["macs"] = all, valid, macs
	return nil
}

// fits reports whether an interface may become a port.
func (p *Processor) fits(f *Facts, name string, nic map[string]any) bool {
	ip := str(nic, "ipv4_address")
	if ip == "" {
		ip = str(nic, "ipv6_address")
	}
	addr, err := netip.ParseAddr(ip)
	if name == "lo" || err == nil && addr.IsLoopback() {
		return false
	}
	switch p.settings.AddPorts {
	case "pxe":
		return nic["pxe_enabled"] == true
	case "active":
		return ip != ""
	}
	return true
}

// interfaces are entries of the plugin data that validateInterfaces wrote, by name.
func (f *Facts) interfaces(key string) map[string]map[string]any {
	out := map[string]map[string]any{}
	m, _ := f.PluginData[key].(map[string]any)
	for name, v := range m {
		if nic, ok := v.(map[string]any); ok {
			out[name] = nic
		}
	}
	return out
}

// ports makes the ports that are missing, removes those that are not there any more, as configured, and lets pxe_enabled and the DHCP client
// ID follow what was found.
func (p *Processor) ports(f *Facts) error {
	all, valid := f.interfaces("all_interfaces"), f.interfaces("valid_interfaces")
	if p.settings.AddPorts != "disabled" {
		for _, name := range slices.Sorted(maps.Keys(valid)) {
			nic := valid[name]
			mac := normalMAC(str(nic, "mac_address"))
			if f.port(mac) != nil {
				continue
			}
			made := &ferric.Port{UUID: uuid.NewString(), NodeUUID: f.Node.UUID, Address: mac, PXEEnabled: nic["pxe_enabled"] == true}
			if id := str(nic, "client_id"); id != "" {
				made.Extra = map[string]any{"client-id": id}
			}
			f.Ports = append(f.Ports, made)
		}
	}
	expected := map[string]bool{}
	switch p.settings.KeepPorts {
	case "present":
		for _, nic := range all {
			expected[normalMAC(str(nic, "mac_address"))] = true
		}
	case "added":
		for _, nic := range valid {
			expected[normalMAC(str(nic, "mac_address"))] = true
		}
	}
	byMAC := map[string]map[string]any{}
	for _, nic := range all {
		byMAC[normalMAC(str(nic, "mac_address"))] = nic
	}
	f.Ports = slices.DeleteFunc(f.Ports, func(port *ferric.Port) bool { return len(expected) > 0 && !expected[port.Address] })
	for _, port := range f.Ports {
		if p.settings.UpdatePXEEnabled && f.pxeMAC != "" {
			port.PXEEnabled = port.Address == f.pxeMAC
		}
		if id := str(byMAC[port.Address], "client_id"); id != "" && port.Extra["client-id"] != id {
			port.Extra = maps.Clone(port.Extra)
			if port.Extra == nil {
				port.Extra = map[string]any{}
			}
			port.Extra["client-id"] = id
		}
	}
	return nil
}

// physicalNetwork sets the ports' physical_network by the addresses that the interfaces had in the ramdisk.
func (p *Processor) physicalNetwork(f *Facts) error {
	for _, nic := range f.interfaces("all_interfaces") {
		port := f.port(normalMAC(str(nic, "mac_address")))
		if port == nil {
			continue
		}
		if name := p.networkOf(str(nic, "ipv4_address"), str(nic, "ipv6_address")); name != "" {
			port.PhysicalNetwork = name
		}
	}
	return nil
}

func (p *Processor) networkOf(addresses ...string) string {
	for _, a := range addresses {
		addr, err := netip.ParseAddr(a)
		if err != nil {
			continue
		}
		for _, n := range p.networks {
			if n.prefix.Contains(addr.WithZone("")) {
				return n.name
			}
		}
	}
	return ""
}
