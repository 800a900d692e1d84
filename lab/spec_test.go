package lab

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ferric"
)

func TestSpecDefaults(t *testing.T) {
	c, err := Spec{Nodes: 2, Firmware: "mixed"}.config()
	if err != nil {
		t.Fatal(err)
	}
	want := []MachineConfig{
		{Name: "node-1", Index: 1, UUID: c.Machines[0].UUID, Serial: "LAB00001", Firmware: BIOS, Memory: 1024, CPUs: 1,
			Disks:      []Disk{{Size: 4 << 30, Bus: Virtio, Serial: "LAB001-DISK0", WWN: 0x5000c50000000100}},
			NICs:       []NIC{{Model: VirtioNet, MAC: "52:54:00:77:00:01", Tap: "tap1-0"}},
			BMC:        BMC{Kind: IPMISim, Address: "10.78.0.1", Port: 623, User: "admin", Password: "password"},
			SerialPort: 9001, KCSPort: 9101},
		{Name: "node-2", Index: 2, UUID: c.Machines[1].UUID, Serial: "LAB00002", Firmware: UEFI, Memory: 1024, CPUs: 1,
			Disks:      []Disk{{Size: 4 << 30, Bus: Virtio, Serial: "LAB002-DISK0", WWN: 0x5000c50000000200}},
			NICs:       []NIC{{Model: VirtioNet, MAC: "52:54:00:77:00:02", Tap: "tap2-0"}},
			BMC:        BMC{Kind: IPMISim, Address: "10.78.0.2", Port: 623, User: "admin", Password: "password"},
			SerialPort: 9002, KCSPort: 9102},
	}
	if diff := cmp.Diff(want, c.Machines); diff != "" {
		t.Errorf("machines (-want +got):\n%s", diff)
	}
	if c.Machines[0].UUID == c.Machines[1].UUID {
		t.Error("two machines have the same UUID")
	}
	again, err := Spec{Nodes: 1}.config()
	if err != nil || again.Machines[0].UUID != c.Machines[0].UUID {
		t.Errorf("node-1 has the UUID %s at first and then %s, %v", c.Machines[0].UUID, again.Machines[0].UUID, err)
	}
}

func TestSpecInvalid(t *testing.T) {
	tests := map[string]struct {
		spec Spec
		want string // in the message
	}{
		"no nodes":     {Spec{}, "nodes: 0"},
		"many nodes":   {Spec{Nodes: 65}, "nodes: 65"},
		"name":         {Spec{Nodes: 1, Name: "../x"}, `name: "../x"`},
		"firmware":     {Spec{Nodes: 1, Firmware: "efi"}, `firmware: "efi"`},
		"bmc":          {Spec{Nodes: 1, BMC: "redfish"}, `bmc: "redfish"`},
		"memory":       {Spec{Nodes: 1, Memory: 1}, "memory: 1 MiB"},
		"cpus":         {Spec{Nodes: 1, CPUs: -1}, "cpus: -1"},
		"disk size":    {Spec{Nodes: 1, Disks: []Disk{{Size: 1<<30 + 1}}}, "size 1073741825"},
		"disk bus":     {Spec{Nodes: 1, Disks: []Disk{{Size: 1 << 30, Bus: "ide"}}}, `bus "ide"`},
		"disk serial":  {Spec{Nodes: 1, Disks: []Disk{{Size: 1 << 30, Serial: "a,b=c"}}}, `serial "a,b=c"`},
		"many disks":   {Spec{Nodes: 1, Disks: make([]Disk, 6)}, "6 disks"},
		"nic model":    {Spec{Nodes: 1, NICs: []NIC{{Model: "ne2k"}}}, `model "ne2k"`},
		"nic rom":      {Spec{Nodes: 1, NICs: []NIC{{ROM: "x"}}}, `rom "x"`},
		"no nics":      {Spec{Nodes: 1, NICs: []NIC{}}, "0 cards"},
		"upper case":   {Spec{Nodes: 1, Name: "Lab"}, "name:"},
		"name is long": {Spec{Nodes: 1, Name: strings.Repeat("a", 64)}, "name:"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := test.spec.config()
			if !ferric.IsCode(err, ferric.CodeInvalid) || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want CodeInvalid with %q", err, test.want)
			}
		})
	}
}

func TestParseDisk(t *testing.T) {
	tests := map[string]struct {
		want Disk
		ok   bool
	}{
		"4G":                {Disk{Size: 4 << 30}, true},
		"512M,sata":         {Disk{Size: 512 << 20, Bus: SATA}, true},
		"1T,nvme":           {Disk{Size: 1 << 40, Bus: NVMe}, true},
		"1048576":           {Disk{Size: 1 << 20}, true},
		"":                  {Disk{}, false},
		"G":                 {Disk{}, false},
		"-1G":               {Disk{}, false},
		"9999999T":          {Disk{}, false},
		"99999999999999999": {Disk{}, false},
	}
	for text, test := range tests {
		t.Run(text, func(t *testing.T) {
			got, err := ParseDisk(text)
			if (err == nil) != test.ok || got != test.want {
				t.Errorf("ParseDisk(%q) = %+v, %v", text, got, err)
			}
		})
	}
}

func TestDebianPackages(t *testing.T) {
	got := DebianPackages()
	for _, want := range []string{"qemu-system-x86", "openipmi", "mmdebstrap", "ovmf"} {
		if !slices.Contains(got, want) {
			t.Errorf("%s is missing in %v", want, got)
		}
	}
	for _, name := range got {
		if strings.ContainsAny(name, "# \t") {
			t.Errorf("%q is not a package", name)
		}
	}
}

// TestPackagesComplete holds that what checkHost asks for is in the list to install.
func TestPackagesComplete(t *testing.T) {
	c, err := Spec{Nodes: 2, Firmware: "mixed"}.config()
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range c.needs() {
		if !slices.Contains(DebianPackages(), n.pkg) {
			t.Errorf("%s is needed for %s but not in packages.txt", n.pkg, n.file)
		}
	}
}
