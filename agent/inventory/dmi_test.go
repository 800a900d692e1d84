package inventory_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ferric"
	"ferric/agent/inventory"
)

// dmiStructure is a structure whose bytes behind the header are given, with strings.
func dmiStructure(kind byte, handle uint16, body []byte, strings ...string) []byte {
	out := append([]byte{kind, byte(4 + len(body)), byte(handle), byte(handle >> 8)}, body...)
	for _, s := range strings {
		out = append(append(out, s...), 0)
	}
	if len(strings) == 0 {
		out = append(out, 0)
	}
	return append(out, 0)
}

// smbiosTable is the table of a machine with a processor, a memory array and two slots, one of them empty. Offsets are the specification's, less 4.
func smbiosTable() []byte {
	bios := []byte{1, 2, 0x00, 0xe8, 3, 0xff, 0x90, 0x08, 0, 0, 0, 0, 0, 0, 0x03, 0x0d, 5, 17, 1, 2, 32, 0}
	cpu := []byte{1, 3, 0xb3, 2, 0xa9, 6, 3, 0, 0xff, 0xfb, 0x8b, 0x0f, 3, 0x80, 100, 0, 0x10, 0x0e, 0x80, 0x0c, 0x41, 1, 0x10, 0, 0xff, 0xff, 0x12, 0,
		0, 4, 0, 64, 0xff, 0xff, 0xec, 0, 0, 0, 64, 0, 0, 1, 0, 1}
	array := []byte{3, 3, 6, 0, 0, 0, 0x80, 0xfe, 0xff, 2, 0, 0, 0, 0, 0, 0, 2, 0, 0}
	module := func(size uint16) []byte {
		b := []byte{0x10, 0, 0xff, 0xff, 72, 0, 64, 0, byte(size), byte(size >> 8), 9, 0, 1, 2, 26, 0x80, 0, 0xff, 0xff, 3, 4, 0, 5, 2, 0, 0, 0, 0, 0x60, 0x09,
			0xb0, 4, 0xb0, 4, 0, 0}
		for len(b) < 0x58 {
			b = append(b, 0)
		}
		b[0x50], b[0x51] = 0x40, 0x1f // extended speed, 0x54: 8000
		return b
	}
	return slices.Concat(dmiStructure(0, 0, bios, "ACME", "1.2.3\x01", "01/02/2026"), dmiStructure(4, 0x11, cpu, "CPU 1", "Maker", "Model X"),
		dmiStructure(16, 0x10, array), dmiStructure(17, 0x12, module(16384), "DIMM A", "BANK 0", "Memories Inc", "0123", "PN-1"),
		dmiStructure(17, 0x13, module(0), "DIMM B", "BANK 1"), dmiStructure(127, 0x7f, nil), dmiStructure(17, 0x99, module(1)))
}

func TestDecodeDMI(t *testing.T) {
	var have any
	raw, err := json.Marshal(inventory.DecodeDMI(smbiosTable()))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(raw, &have); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join("testdata", "dmi.json")
	golden, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var want any
	if err := json.Unmarshal(golden, &want); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, have); diff != "" {
		t.Errorf("(-want +have):\n%s", diff)
	}
}

func TestDMIWithoutATable(t *testing.T) {
	dir := t.TempDir()
	if _, err := inventory.NewReader(dir, "").DMI(); !ferric.IsCode(err, ferric.CodeUnsupported) {
		t.Errorf("error %v", err)
	}
	put(t, dir, "sys/firmware/dmi/tables/DMI", string(smbiosTable()))
	dmi, err := inventory.NewReader(dir, "").DMI()
	if err != nil || dmi.BIOS["Vendor"] != "ACME" {
		t.Errorf("%v, %v", dmi.BIOS, err)
	}
}

// FuzzDecodeDMI: whatever the firmware says, it can be sent.
func FuzzDecodeDMI(f *testing.F) {
	f.Add(smbiosTable())
	f.Add([]byte{0, 4, 0, 0})
	f.Add([]byte{17, 255, 0, 0, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, err := json.Marshal(inventory.DecodeDMI(b)); err != nil {
			t.Fatal(err)
		}
	})
}

func put(t *testing.T, dir, name, text string) {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestNUMA(t *testing.T) {
	machine := map[string]string{
		"sys/devices/system/node/node0/meminfo":               "Node 0 MemTotal:       1560000 kB\nNode 0 MemFree:         1000 kB\n",
		"sys/devices/system/node/node1/meminfo":               "\nNode 1 MemTotal:\t2097152 kB\n",
		"sys/devices/system/node/node0/cpu0/topology/core_id": "0\n",
		"sys/devices/system/node/node0/cpu2/topology/core_id": "0\n",
		"sys/devices/system/node/node0/cpu1/topology/core_id": "1\n",
		"sys/devices/system/node/node0/cpumap":                "7\n",
		"sys/devices/system/node/node1/cpu3/topology/core_id": "0\n",
		"sys/devices/system/node/node1/cpu4/online":           "0\n",
		"sys/devices/system/node/online":                      "0-1\n",
		"sys/class/net/eth0/device/numa_node":                 "1\n",
		"sys/class/net/eth1/device/numa_node":                 "-1\n",
		"sys/class/net/lo/type":                               "772\n",
	}
	want := inventory.NUMA{
		RAM:  []inventory.NUMAMemory{{Node: 0, SizeKiB: 1560000}, {Node: 1, SizeKiB: 2097152}},
		CPUs: []inventory.NUMACore{{CPU: 0, Node: 0, Siblings: []int{0, 2}}, {CPU: 1, Node: 0, Siblings: []int{1}}, {CPU: 0, Node: 1, Siblings: []int{3}}},
		NICs: []inventory.NUMANIC{{Name: "eth0", Node: 1}, {Name: "eth1", Node: -1}},
	}
	for name, c := range map[string]struct {
		change map[string]string // "" removes
		want   inventory.NUMA
		code   ferric.Code
	}{
		"two nodes":        {want: want},
		"bad memory":       {change: map[string]string{"sys/devices/system/node/node1/meminfo": "Node 1 MemTotal: lots kB\n"}, code: ferric.CodeCorrupt},
		"bad unit":         {change: map[string]string{"sys/devices/system/node/node1/meminfo": "Node 1 MemTotal: 12 GB\n"}, code: ferric.CodeCorrupt},
		"no memory":        {change: map[string]string{"sys/devices/system/node/node1/meminfo": "Node 1 MemFree: 12 kB\n"}, code: ferric.CodeCorrupt},
		"bad core":         {change: map[string]string{"sys/devices/system/node/node0/cpu1/topology/core_id": "one\n"}, code: ferric.CodeCorrupt},
		"no memory's file": {change: map[string]string{"sys/devices/system/node/node2/cpu9/topology/core_id": "1\n"}, code: ferric.CodeUnsupported},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for file, text := range machine {
				put(t, dir, file, text)
			}
			for file, text := range c.change {
				put(t, dir, file, text)
			}
			have, err := inventory.NewReader(dir, "").NUMA()
			if ferric.ErrorCode(err) != c.code {
				t.Fatalf("error %v, want code %q", err, c.code)
			}
			if err == nil {
				if diff := cmp.Diff(c.want, have); diff != "" {
					t.Errorf("(-want +have):\n%s", diff)
				}
			}
		})
	}
	if _, err := inventory.NewReader(t.TempDir(), "").NUMA(); !ferric.IsCode(err, ferric.CodeUnsupported) {
		t.Errorf("without nodes: %v", err)
	}
	empty := t.TempDir()
	put(t, empty, "sys/devices/system/node/online", "")
	if _, err := inventory.NewReader(empty, "").NUMA(); !ferric.IsCode(err, ferric.CodeUnsupported) {
		t.Errorf("with none: %v", err)
	}
}
