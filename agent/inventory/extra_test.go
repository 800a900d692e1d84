package inventory_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"ferric/agent/inventory"
	"ferric/agentapi"
)

func TestExtra(t *testing.T) {
	if got := inventory.Extra(agentapi.Inventory{}); len(got) != 0 || got == nil {
		t.Errorf("of nothing: %v", got)
	}
	speed := 10000
	got := inventory.Extra(agentapi.Inventory{
		SystemVendor: agentapi.SystemVendor{ProductName: "R640", Manufacturer: "Dell", SerialNumber: "S", Firmware: agentapi.SystemFirmware{Vendor: "B", Version: "1", BuildDate: "2026"}},
		CPU:          agentapi.CPU{ModelName: "Xeon", Count: 8, SocketCount: 2, Flags: []string{"vmx", "aes"}}, Memory: agentapi.Memory{Total: 1024},
		Disks: []agentapi.BlockDevice{{Name: "/dev/sda", Size: 500_000_000_000, Model: "M", Serial: agentapi.Texts{"D1"}, Rotational: true}},
		Interfaces: []agentapi.Interface{{Name: "eth0", MACAddress: "52:54:00:00:00:01", IPv4Address: "192.0.2.1", HasCarrier: true, Driver: "ixgbe",
			PCIAddress: "0000:01:00.0", SpeedMbps: &speed}, {Name: "eth1", MACAddress: "52:54:00:00:00:02"}}})
	want := [][4]string{
		{"system", "product", "name", "R640"}, {"system", "product", "vendor", "Dell"}, {"system", "product", "serial", "S"},
		{"firmware", "bios", "vendor", "B"}, {"firmware", "bios", "version", "1"}, {"firmware", "bios", "date", "2026"},
		{"cpu", "physical", "number", "2"}, {"cpu", "logical", "number", "8"}, {"cpu", "physical_0", "product", "Xeon"}, {"cpu", "physical_0", "flags", "vmx aes"},
		{"cpu", "physical_1", "product", "Xeon"}, {"cpu", "physical_1", "flags", "vmx aes"}, {"memory", "total", "size", "1024"},
		{"disk", "logical", "count", "1"}, {"disk", "sda", "size", "500"}, {"disk", "sda", "model", "M"}, {"disk", "sda", "id", "D1"}, {"disk", "sda", "rotational", "1"},
		{"network", "eth0", "serial", "52:54:00:00:00:01"}, {"network", "eth0", "ipv4", "192.0.2.1"}, {"network", "eth0", "link", "yes"}, {"network", "eth0", "driver", "ixgbe"},
		{"network", "eth0", "businfo", "pci@0000:01:00.0"}, {"network", "eth0", "speed", "10000Mbit/s"}, {"network", "eth1", "serial", "52:54:00:00:00:02"}, {"network", "eth1", "link", "no"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
