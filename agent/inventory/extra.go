package inventory

import (
	"strconv"
	"strings"

	"ferric/agentapi"
)

// Extra is what the collector extra-hardware sends: the inventory as a list of facts of four (kind, object, name, value), with the names of
// the tool hardware-detect, without its benchmarks. Values are text, as there. What is not known is left out.
func Extra(inv agentapi.Inventory) [][4]string {
	out := [][4]string{}
	add := func(kind, object, name, value string) {
		if value = strings.TrimSpace(value); value != "" {
			out = append(out, [4]string{kind, object, name, value})
		}
	}
	number := func(kind, object, name string, n int64) {
		if n > 0 {
			add(kind, object, name, strconv.FormatInt(n, 10))
		}
	}
	v := inv.SystemVendor
	add("system", "product", "name", v.ProductName)
	add("system", "product", "vendor", v.Manufacturer)
	add("system", "product", "serial", v.SerialNumber)
	add("firmware", "bios", "vendor", v.Firmware.Vendor)
	add("firmware", "bios", "version", v.Firmware.Version)
	add("firmware", "bios", "date", v.Firmware.BuildDate)
	number("cpu", "physical", "number", int64(inv.CPU.SocketCount))
	number("cpu", "logical", "number", int64(inv.CPU.Count))
	for i := range inv.CPU.SocketCount {
		socket := "physical_" + strconv.Itoa(i)
		add("cpu", socket, "product", inv.CPU.ModelName)
		add("cpu", socket, "flags", strings.Join(inv.CPU.Flags, " "))
	}
	number("memory", "total", "size", inv.Memory.Total)
	number("disk", "logical", "count", int64(len(inv.Disks)))
	for _, d := range inv.Disks {
		name := strings.TrimPrefix(d.Name, "/dev/")
		number("disk", name, "size", d.Size/1e9) // GB
		add("disk", name, "model", d.Model)
		add("disk", name, "vendor", string(d.Vendor))
		add("disk", name, "id", d.Serial.First())
		add("disk", name, "rotational", map[bool]string{true: "1", false: "0"}[d.Rotational])
	}
	for _, nic := range inv.Interfaces {
		add("network", nic.Name, "serial", nic.MACAddress)
		add("network", nic.Name, "ipv4", string(nic.IPv4Address))
		add("network", nic.Name, "link", map[bool]string{true: "yes", false: "no"}[nic.HasCarrier])
		add("network", nic.Name, "driver", string(nic.Driver))
		add("network", nic.Name, "businfo", prefixed("pci@", string(nic.PCIAddress)))
		if nic.SpeedMbps != nil {
			add("network", nic.Name, "speed", strconv.Itoa(*nic.SpeedMbps)+"Mbit/s")
		}
	}
	return out
}

func prefixed(prefix, s string) string {
	if s == "" {
		return ""
	}
	return prefix + s
}
