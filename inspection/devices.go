package inspection

import (
	"fmt"
	"maps"
	"slices"
	"strconv"

	"ferric/inspection/lldp"
)

// knownAccelerators are the devices that the hook accelerators knows by itself, as Ironic does.
const knownAccelerators = `
pci_devices:
  - {vendor_id: "10de", device_id: "1eb8", type: GPU, device_info: NVIDIA Corporation Tesla T4}
  - {vendor_id: "10de", device_id: "1df6", type: GPU, device_info: NVIDIA Corporation GV100GL}
  - {vendor_id: "10de", device_id: "2236", type: GPU, device_info: NVIDIA Corporation A10}
  - {vendor_id: "10de", device_id: "2235", type: GPU, device_info: NVIDIA Corporation A40}
  - {vendor_id: "10de", device_id: "26b9", type: GPU, device_info: NVIDIA Corporation L40S}
  - {vendor_id: "10de", device_id: "26ba", type: GPU, device_info: NVIDIA Corporation L20}
`

// pci are the PCI devices that the agent's collector pci-devices found; ok is false if it did not run.
func (f *Facts) pci() (devices []map[string]any, ok bool) {
	list, ok := f.PluginData["pci_devices"].([]any)
	for _, item := range list {
		if m, isObject := item.(map[string]any); isObject {
			devices = append(devices, m)
		}
	}
	return devices, ok
}

// accelerators sets properties/accelerators to the known accelerator cards.
func (p *Processor) accelerators(f *Facts) error {
	devices, _ := f.pci()
	if len(devices) == 0 {
		f.Log.Warn("accelerators cannot be found: the agent sent no PCI devices; its collector pci-devices must be enabled")
		return nil
	}
	found := []any{}
	for _, d := range devices {
		known, ok := p.known[pciID{str(d, "vendor_id"), str(d, "product_id")}]
		if !ok {
			continue
		}
		card := maps.Clone(known)
		card["pci_address"] = str(d, "bus")
		found = append(found, card)
	}
	f.setProperty("accelerators", found)
	return nil
}

// pciDevices counts the PCI devices that have an alias, as capabilities.
func (p *Processor) pciDevices(f *Facts) error {
	devices, ok := f.pci()
	if !ok {
		if len(p.aliases) > 0 {
			f.Log.Warn("the agent sent no PCI devices; its collector pci-devices must be enabled")
		}
		return nil
	}
	count := map[string]int{}
	for _, d := range devices {
		if name := p.aliases[pciID{str(d, "vendor_id"), str(d, "product_id")}]; name != "" {
			count[name]++
		}
	}
	found := map[string]string{}
	for name, n := range count {
		found[name] = strconv.Itoa(n)
	}
	if len(found) > 0 {
		f.addCapabilities(found)
	}
	return nil
}

// extraHardware turns the list of the agent's collector extra-hardware (plugin data "data", entries of four) into objects within one another
// ("extra").
func (p *Processor) extraHardware(f *Facts) error {
	data, given := f.PluginData["data"]
	if !given {
		f.Log.Warn("the agent sent no extra hardware data; its collector extra-hardware must be enabled")
		return nil
	}
	list, ok := data.([]any)
	ok = ok && !slices.ContainsFunc(list, func(item any) bool {
		entry, isList := item.([]any)
		return !isList || p.settings.ExtraHardwareStrict && len(entry) != 4
	})
	if !ok {
		f.Log.Warn("the extra hardware data have a form that is not known")
		if p.settings.ExtraHardwareStrict {
			delete(f.PluginData, "data")
		}
		return nil
	}
	extra := map[string]any{}
	for _, item := range list {
		entry := item.([]any)
		if len(entry) == 0 {
			continue
		}
		if len(entry) < 4 {
			f.Log.Warn("an entry of the extra hardware data is too short", "entry", fmt.Sprint(entry))
			continue
		}
		inner := within(within(extra, fmt.Sprint(entry[0])), fmt.Sprint(entry[1]))
		v := entry[3]
		if s, isText := v.(string); isText {
			if n, err := strconv.ParseInt(s, 10, 53); err == nil {
				v = float64(n)
			}
		}
		inner[fmt.Sprint(entry[2])] = v
	}
	f.PluginData["extra"] = extra
	delete(f.PluginData, "data")
	return nil
}

func within(m map[string]any, key string) map[string]any {
	inner, ok := m[key].(map[string]any)
	if !ok {
		inner = map[string]any{}
		m[key] = inner
	}
	return inner
}

// maxLLDP bounds the interfaces whose LLDP data are read.
const maxLLDP = 64

// lldp is what an interface's neighbour said; ok is false if it said nothing.
func (f *Facts) lldp(nic map[string]any) ([]lldp.TLV, bool) {
	all, _ := f.PluginData["lldp_raw"].(map[string]any)
	raw := all[str(nic, "name")]
	if list, isList := raw.([]any); !isList || len(list) == 0 {
		raw = nic["lldp"]
	}
	return lldp.TLVs(raw)
}

// localLinkConnection notes which switch and port a port is plugged into. What is there already stays.
func (p *Processor) localLinkConnection(f *Facts) error {
	all := f.interfaces("all_interfaces")
	for _, nic := range f.rawInterfaces() {
		port := f.port(normalMAC(str(nic, "mac_address")))
		if _, ok := all[str(nic, "name")]; !ok || port == nil {
			continue
		}
		tlvs, ok := f.lldp(nic)
		if !ok {
			f.Log.Warn("no LLDP data came for an interface", "interface", str(nic, "name"))
			continue
		}
		link, ok := lldp.Where(tlvs)
		if !ok {
			f.Log.Warn("the LLDP data of an interface are damaged", "interface", str(nic, "name"))
			continue
		}
		llc := maps.Clone(port.LocalLinkConnection)
		if llc == nil {
			llc = map[string]any{}
		}
		for key, v := range map[string]string{"port_id": link.PortID, "switch_id": link.SwitchID, "switch_info": link.SwitchInfo} {
			if _, have := llc[key]; !have && v != "" {
				llc[key] = v
			}
		}
		if len(llc) > 0 {
			port.LocalLinkConnection = llc
		}
	}
	return nil
}

// parseLLDP notes what the neighbours said as plugin data "parsed_lldp", by interface.
func (p *Processor) parseLLDP(f *Facts) error {
	list := f.rawInterfaces()
	if len(list) > maxLLDP {
		f.Log.Warn("there are too many network interfaces; the LLDP data of the rest is left out", "interfaces", len(list), "kept", maxLLDP)
		list = list[:maxLLDP]
	}
	for _, nic := range list {
		tlvs, ok := f.lldp(nic)
		if !ok {
			f.Log.Warn("no LLDP data came for an interface", "interface", str(nic, "name"))
			continue
		}
		if parsed := lldp.Parse(tlvs); len(parsed) > 0 {
			within(f.PluginData, "parsed_lldp")[str(nic, "name")] = parsed
		}
	}
	return nil
}
