package inventory_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ferric/agent/inventory"
	"ferric/agentapi"
)

// tree writes files ("path": "text") and links ("path": "-> target") below a new directory.
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, text := range files {
		p := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		var err error
		if target, ok := strings.CutPrefix(text, "-> "); ok {
			err = os.MkdirAll(filepath.Join(filepath.Dir(p), target), 0o755)
			if err == nil {
				err = os.Symlink(target, p)
			}
		} else {
			err = os.WriteFile(p, []byte(text), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// server is a machine with a SATA disk with partitions, an NVMe disk, a virtio disk, a USB stick, a SAS disk, an
// array, and things that are no disks.
func server(t *testing.T) *inventory.Reader {
	const (
		ahci = "../../devices/pci0000:00/0000:00:1f.2/ata3/host2/target2:0:0/2:0:0:0"
		nvme = "../../devices/pci0000:00/0000:00:01.0/0000:01:00.0/nvme/nvme0"
		vblk = "../../devices/pci0000:00/0000:00:04.0/virtio1"
		usb  = "../../devices/pci0000:00/0000:00:14.0/usb1/1-4/1-4:1.0/host6/target6:0:0/6:0:0:0"
		sas  = "../../devices/pci0000:00/0000:03:00.0/host7/port-7:0/end_device-7:0/target7:0:0/7:0:0:0"
	)
	return inventory.NewReader(tree(t, map[string]string{
		"sys/block/sda/size": "20971520\n", "sys/block/sda/device": "-> " + ahci, "sys/block/sda/queue/rotational": "1\n", "sys/block/sda/ro": "0\n",
		"sys/block/sda/queue/logical_block_size": "512\n", "sys/block/sda/queue/physical_block_size": "4096\n", "sys/block/sda/removable": "0\n",
		"sys/block/sda/sda2/partition": "2\n", "sys/block/sda/sda2/start": "4096\n", "sys/block/sda/sda2/size": "8192\n",
		"sys/block/sda/sda1/partition": "1\n", "sys/block/sda/sda1/start": "2048\n", "sys/block/sda/sda1/size": "2048\n",
		"sys/devices/pci0000:00/0000:00:1f.2/ata3/host2/target2:0:0/2:0:0:0/model":                      "Samsung SSD 870 \n",
		"sys/devices/pci0000:00/0000:00:1f.2/ata3/host2/target2:0:0/2:0:0:0/vendor":                     "ATA     \n",
		"sys/devices/pci0000:00/0000:00:1f.2/ata3/host2/target2:0:0/2:0:0:0/wwid":                       "naa.5002538f00000001\n",
		"sys/devices/pci0000:00/0000:00:1f.2/ata3/host2/target2:0:0/2:0:0:0/vpd_pg80":                   "\x00\x80\x00\x14      S6PNNX0R123456trailing garbage",
		"sys/devices/pci0000:00/0000:00:1f.2/ata3/host2/target2:0:0/2:0:0:0/scsi_device/2:0:0:0/uevent": "",
		"sys/class/ata_port/ata3/port_no":                                                               "3\n",

		"sys/block/nvme0n1/size": "41943040", "sys/block/nvme0n1/device": "-> " + nvme, "sys/block/nvme0n1/queue/rotational": "0", "sys/block/nvme0n1/nsid": "1",
		"sys/block/nvme0n1/wwid": "eui.0025385b71b00001", "sys/block/nvme0n1/removable": "0",
		"sys/devices/pci0000:00/0000:00:01.0/0000:01:00.0/nvme/nvme0/serial": "S5GXNF0R", "sys/devices/pci0000:00/0000:00:01.0/0000:01:00.0/nvme/nvme0/model": "Fast NVMe\n",
		"sys/block/nvme0c0n1/size": "41943040", "sys/block/nvme0c0n1/hidden": "1",

		"sys/block/vda/size": "100", "sys/block/vda/device": "-> " + vblk, "sys/block/vda/serial": "disk-one", "sys/block/vda/ro": "1",
		"sys/devices/pci0000:00/0000:00:04.0/virtio1/vendor": "0x1af4\n",
		"sys/block/sdb/size": "100", "sys/block/sdb/device": "-> " + usb, "sys/block/sdb/removable": "1",
		"sys/block/sdc/size": "100", "sys/block/sdc/device": "-> " + sas,
		"sys/devices/pci0000:00/0000:03:00.0/host7/port-7:0/end_device-7:0/target7:0:0/7:0:0:0/wwid": "naa.600508b1001c79ade5178f0626caaa9c\n",
		"sys/block/md127/size": "100", "sys/block/md127/md/level": "raid1", "sys/block/md127/slaves/sda1/x": "", "sys/block/md127/slaves/sdb1/x": "",
		"sys/block/loop0/size": "100", "sys/block/sr0/size": "100", "sys/block/fd0/size": "8", "sys/block/zram0/size": "8", "sys/block/dm-0/size": "8",
		"sys/block/mmcblk0boot0/size": "8", "sys/block/sdd/size": "0",
	}), "01-52-54-00-12-34-56")
}

func TestDisks(t *testing.T) {
	disks := map[string]inventory.Disk{}
	var names []string
	for _, d := range server(t).Disks() {
		disks[d.Kernel] = d
		names = append(names, d.Kernel)
	}
	if diff := cmp.Diff([]string{"md127", "nvme0n1", "sda", "sdb", "sdc", "vda"}, names); diff != "" {
		t.Fatal(diff)
	}
	n512, n4096 := json.Number("512"), json.Number("4096")
	want := inventory.Disk{
		Kernel: "sda",
		BlockDevice: agentapi.BlockDevice{Name: "/dev/sda", Model: "Samsung SSD 870", Size: 10 << 30, Rotational: true, Vendor: "ATA",
			Serial: agentapi.Texts{"S6PNNX0R123456"}, WWN: agentapi.Texts{"0x5002538f00000001"}, WWNWithExtension: agentapi.Texts{"0x5002538f00000001"},
			HCTL: "2:0:0:0", ByPath: "/dev/disk/by-path/pci-0000:00:1f.2-ata-3", LogicalSectors: &n512, PhysicalSectors: &n4096, Tran: "sata"},
		Partitions: []inventory.Partition{{Kernel: "sda1", Number: 1, Start: 1 << 20, Size: 1 << 20}, {Kernel: "sda2", Number: 2, Start: 2 << 20, Size: 4 << 20}},
	}
	if diff := cmp.Diff(want, disks["sda"]); diff != "" {
		t.Errorf("sda: %s", diff)
	}
	if d := disks["nvme0n1"]; d.Serial.First() != "S5GXNF0R" || d.WWN.First() != "eui.0025385b71b00001" || d.Tran != "nvme" ||
		d.ByPath != "/dev/disk/by-path/pci-0000:01:00.0-nvme-1" || d.Model != "Fast NVMe" || d.Rotational {
		t.Errorf("nvme0n1: %+v", d)
	}
	if d := disks["vda"]; d.Serial.First() != "disk-one" || d.Vendor != "0x1af4" || !d.ReadOnly || d.Tran != "virtio" || d.ByPath != "/dev/disk/by-path/pci-0000:00:04.0" {
		t.Errorf("vda: %+v", d)
	}
	if d := disks["sdb"]; d.Tran != "usb" || !d.Removable || d.ByPath != "/dev/disk/by-path/pci-0000:00:14.0-usb-0:4:1.0-scsi-0:0:0:0" {
		t.Errorf("sdb: %+v", d)
	}
	if d := disks["sdc"]; d.Tran != "sas" || d.ByPath != "" || d.WWN.First() != "0x600508b1001c79ad" || d.WWNVendorExtension.First() != "0xe5178f0626caaa9c" ||
		d.WWNWithExtension.First() != "0x600508b1001c79ade5178f0626caaa9c" {
		t.Errorf("sdc: %+v", d)
	}
	if d := disks["md127"]; !d.MD || strings.Join(d.Members, " ") != "sda1 sdb1" {
		t.Errorf("md127: %+v", d)
	}
}

func TestInventory(t *testing.T) {
	root := tree(t, map[string]string{
		"proc/cpuinfo": "processor\t: 0\nmodel name\t: Xeon  E5\ncpu MHz\t\t: 2399.998\nphysical id\t: 0\nflags\t\t: fpu vme\n\n" +
			"processor\t: 1\nmodel name\t: Xeon  E5\ncpu MHz\t\t: 2000.000\nphysical id\t: 1\nflags\t\t: fpu vme\n",
		"proc/meminfo":                                       "MemTotal:         497936 kB\nMemFree: 5 kB\n",
		"sys/class/dmi/id/product_name":                      "PowerEdge R740\n",
		"sys/class/dmi/id/sys_vendor":                        "Dell Inc.\n",
		"sys/class/dmi/id/bios_vendor":                       "Dell Inc.",
		"sys/class/dmi/id/bios_version":                      "2.1",
		"sys/class/dmi/id/bios_date":                         "01/02/2024",
		"sys/firmware/efi/x":                                 "",
		"sys/class/net/eth0/device":                          "-> ../../../devices/pci0000:00/0000:00:03.0/virtio0",
		"sys/class/net/eth0/address":                         "52:54:00:12:34:56\n",
		"sys/class/net/eth0/carrier":                         "1\n",
		"sys/class/net/eth0/speed":                           "1000\n",
		"sys/class/net/lo/address":                           "00:00:00:00:00:00",
		"sys/class/net/eth1/device":                          "-> ../../../devices/pci0000:00/0000:00:05.0",
		"sys/class/net/eth1/address":                         "52:54:00:AA:34:56\n",
		"sys/class/net/eth1/speed":                           "-1\n",
		"sys/devices/pci0000:00/0000:00:03.0/virtio0/vendor": "0x1af4\n",
		"sys/devices/pci0000:00/0000:00:03.0/virtio0/device": "0x0001\n",
		"sys/devices/pci0000:00/0000:00:03.0/virtio0/driver": "-> ../../drivers/virtio_net",
	})
	got := inventory.NewReader(root, "01-52-54-00-12-34-56").Inventory()
	speed := 1000
	want := agentapi.Inventory{
		Interfaces: []agentapi.Interface{
			{Name: "eth0", MACAddress: "52:54:00:12:34:56", HasCarrier: true, Vendor: "0x1af4", Product: "0x0001", SpeedMbps: &speed, PCIAddress: "0000:00:03.0", Driver: "virtio_net"},
			{Name: "eth1", MACAddress: "52:54:00:aa:34:56", PCIAddress: "0000:00:05.0"},
		},
		CPU:          agentapi.CPU{ModelName: "Xeon  E5", Frequency: "2000.000", Count: 2, Architecture: got.CPU.Architecture, Flags: []string{"fpu", "vme"}, SocketCount: 2},
		Disks:        []agentapi.BlockDevice{},
		Memory:       agentapi.Memory{Total: 497936 << 10},
		SystemVendor: agentapi.SystemVendor{ProductName: "PowerEdge R740", Manufacturer: "Dell Inc.", Firmware: agentapi.SystemFirmware{Vendor: "Dell Inc.", Version: "2.1", BuildDate: "01/02/2024"}},
		Boot:         agentapi.BootInfo{CurrentBootMode: "uefi", PXEInterface: "01-52-54-00-12-34-56"},
		Hostname:     got.Hostname,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if got.CPU.Architecture == "" {
		t.Error("no architecture")
	}
}

func TestEmptyMachine(t *testing.T) {
	inv := inventory.NewReader(t.TempDir(), "").Inventory()
	b, err := json.Marshal(inv)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"interfaces":[]`, `"disks":[]`, `"flags":[]`, `"physical_mb":null`, `"bmc_address":null`} {
		if !strings.Contains(string(b), want) {
			t.Errorf("%s is not in %s", want, b)
		}
	}
}

// TestThisMachine reads the machine that the test runs on: whatever it is, it has processors and memory.
func TestThisMachine(t *testing.T) {
	inv := inventory.NewReader("/", "").Inventory()
	if inv.CPU.Count < 1 || inv.Memory.Total < 1<<20 {
		t.Errorf("%+v %+v", inv.CPU, inv.Memory)
	}
}

func TestBus(t *testing.T) {
	r := inventory.NewReader(tree(t, map[string]string{
		"sys/bus/pci/devices/0000:00:03.0/vendor": "0x1af4\n", "sys/bus/pci/devices/0000:00:03.0/device": "0x1000\n", "sys/bus/pci/devices/0000:00:03.0/class": "0x020000\n",
		"sys/bus/pci/devices/0000:00:03.0/revision": "0x00\n", "sys/bus/pci/devices/0000:00:04.0/class": "0x1\n",
		"sys/bus/usb/devices/1-4/busnum": "1", "sys/bus/usb/devices/1-4/devnum": "2", "sys/bus/usb/devices/1-4/product": "Stick", "sys/bus/usb/devices/1-4/manufacturer": "ACME",
		"sys/bus/usb/devices/usb1/bDeviceClass": "09", "sys/bus/usb/devices/usb1/busnum": "1", "sys/bus/usb/devices/usb1/devnum": "1", "sys/bus/usb/devices/1-4:1.0/x": "",
	}), "")
	b, _ := json.Marshal(map[string]any{"pci": r.PCI(), "usb": r.USB()})
	want := `{"pci":[{"vendor_id":"1af4","product_id":"1000","class":"020000","revision":"00","bus":"0000:00:03.0","numa_node_id":null}],"usb":[{"product":"Stick","vendor":"ACME","handle":"USB:1:2"}]}`
	if string(b) != want {
		t.Errorf("got  %s\nwant %s", b, want)
	}
}

// module is a type 17 structure with the size word and extended size given, and one string.
func module(size uint16, ext uint32) []byte {
	b := make([]byte, 0x20)
	b[0], b[1] = 17, 0x20
	b[0x0c], b[0x0d] = byte(size), byte(size>>8)
	b[0x1c], b[0x1d], b[0x1e], b[0x1f] = byte(ext), byte(ext>>8), byte(ext>>16), byte(ext>>24)
	return append(b, "DIMM 0\x00\x00"...)
}

func TestInstalledMemory(t *testing.T) {
	bios := append([]byte{0, 5, 0, 0, 1}, "vendor\x00\x00"...)
	end := []byte{127, 4, 0, 0, 0, 0}
	join := func(parts ...[]byte) (out []byte) {
		for _, p := range parts {
			out = append(out, p...)
		}
		return out
	}
	for name, tt := range map[string]struct {
		table []byte
		want  int
	}{
		"two and an empty slot": {join(bios, module(8192, 0), module(0, 0), module(8192, 0), end), 16384},
		"64 GiB module":         {join(module(0x7fff, 65536), end), 65536},
		"KiB":                   {join(module(0x8000|2048, 0), end), 2},
		"unknown":               {join(module(0xffff, 0), end), 0},
		"nothing after the end": {join(end, module(8192, 0)), 0},
		"cut off":               {join(module(8192, 0))[:0x10], 0},
		"no strings' end":       {module(8192, 0)[:0x21], 8192},
		"empty":                 {nil, 0},
	} {
		if got := inventory.InstalledMemory(tt.table); got != tt.want {
			t.Errorf("%s: %d, want %d", name, got, tt.want)
		}
	}
}

func FuzzInstalledMemory(f *testing.F) {
	f.Add(module(8192, 0))
	f.Add([]byte{17, 3, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		if inventory.InstalledMemory(b) < 0 {
			t.Fatal("negative")
		}
	})
}
