package lab

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func testMachine(t *testing.T, spec Spec) MachineConfig {
	t.Helper()
	spec.Nodes = 1
	c, err := spec.config()
	if err != nil {
		t.Fatal(err)
	}
	return c.Machines[0]
}

// values are the arguments that follow an option.
func values(args []string, option string) []string {
	var all []string
	for i, arg := range args[:len(args)-1] {
		if arg == option {
			all = append(all, args[i+1])
		}
	}
	return all
}

func TestQEMUArgs(t *testing.T) {
	m := testMachine(t, Spec{})
	args := qemuArgs(m, files{"/lab/node-1"}, "tcg", BootSetting{Device: "none"}, "")
	want := []string{
		"qemu-system-x86_64", "-name", "node-1", "-uuid", m.UUID,
		"-machine", "q35", "-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "1", "-m", "1024",
		"-nodefaults", "-display", "none", "-vga", "std",
		"-smbios", "type=1,manufacturer=Ferric,product=Virtual Metal,version=1,serial=LAB00001,uuid=" + m.UUID,
		"-drive", "if=none,id=drive0,format=raw,cache=unsafe,discard=unmap,file=/lab/node-1/disk0.raw",
		"-device", "virtio-blk-pci,id=disk0,drive=drive0,serial=LAB001-DISK0,bootindex=20",
		"-netdev", "tap,id=net0,ifname=tap1-0,script=no,downscript=no",
		"-device", "virtio-net-pci,id=nic0,netdev=net0,mac=52:54:00:77:00:01,bootindex=40",
		"-chardev", "socket,id=serial0,reconnect=1,logappend=on,logfile=/lab/node-1/serial.log,path=/lab/node-1/serial.sock",
		"-serial", "chardev:serial0",
		"-chardev", "socket,id=kcs0,host=127.0.0.1,reconnect=2,port=9101",
		"-device", "ipmi-bmc-extern,id=bmc0,chardev=kcs0", "-device", "isa-ipmi-kcs,bmc=bmc0",
		"-qmp", "unix:/lab/node-1/qmp.sock,server=on,wait=off",
		"-daemonize", "-pidfile", "/lab/node-1/qemu.pid",
	}
	if diff := cmp.Diff(want, args); diff != "" {
		t.Errorf("arguments (-want +got):\n%s", diff)
	}
}

func TestQEMUArgsVariants(t *testing.T) {
	disks := []Disk{{Size: 1 << 30, Bus: SATA}, {Size: 1 << 30, Bus: SCSI}, {Size: 1 << 30, Bus: NVMe}, {Size: 1 << 30, Bus: SCSI, Serial: "S1", WWN: 5}}
	tests := map[string]struct {
		spec   Spec
		boot   string
		accel  string
		medium string
		option string
		want   []string
	}{
		"kvm":      {Spec{}, "none", "kvm", "", "-cpu", []string{"host"}},
		"pxe":      {Spec{NICs: []NIC{{}, {Model: E1000E}}}, "pxe", "tcg", "", "-device", []string{"virtio-blk-pci,id=disk0,drive=drive0,serial=LAB001-DISK0,bootindex=20", "virtio-net-pci,id=nic0,netdev=net0,mac=52:54:00:77:00:01,bootindex=10", "e1000e,id=nic1,netdev=net1,mac=52:54:00:77:01:01,bootindex=11"}},
		"no rom":   {Spec{NICs: []NIC{{ROM: "none"}}}, "none", "tcg", "", "-device", []string{"virtio-blk-pci,id=disk0,drive=drive0,serial=LAB001-DISK0,bootindex=20", "virtio-net-pci,id=nic0,netdev=net0,mac=52:54:00:77:00:01,bootindex=40,romfile="}},
		"bios":     {Spec{}, "bios", "tcg", "", "-boot", []string{"menu=on,splash-time=10000"}},
		"uefi":     {Spec{Firmware: UEFI, Disks: []Disk{}}, "none", "tcg", "", "-drive", []string{"if=pflash,format=raw,unit=0,readonly=on,file=/usr/share/OVMF/OVMF_CODE_4M.fd", "if=pflash,format=raw,unit=1,file=/a,,b/vars.fd"}},
		"cd":       {Spec{CDROM: true, Disks: []Disk{}}, "cdrom", "tcg", "/x.iso", "-drive", []string{"if=none,id=medium0,format=raw,readonly=on,file=/x.iso"}},
		"cd drive": {Spec{CDROM: true, Disks: disks[:1]}, "cdrom", "tcg", "", "-device", []string{"ide-hd,bus=ide.0,wwn=0x5000c50000000100,id=disk0,drive=drive0,serial=LAB001-DISK0,bootindex=20", "ide-cd,id=cd0,bus=ide.1,bootindex=10", "virtio-net-pci,id=nic0,netdev=net0,mac=52:54:00:77:00:01,bootindex=40"}},
		"buses": {Spec{Disks: disks}, "disk", "tcg", "", "-device", []string{
			"ide-hd,bus=ide.0,wwn=0x5000c50000000100,id=disk0,drive=drive0,serial=LAB001-DISK0,bootindex=10",
			"virtio-scsi-pci,id=scsi0", "scsi-hd,bus=scsi0.0,scsi-id=1,wwn=0x5000c50000000101,id=disk1,drive=drive1,serial=LAB001-DISK1,bootindex=11",
			"nvme,id=disk2,drive=drive2,serial=LAB001-DISK2,bootindex=12", "scsi-hd,bus=scsi0.0,scsi-id=3,wwn=0x5,id=disk3,drive=drive3,serial=S1,bootindex=13",
			"virtio-net-pci,id=nic0,netdev=net0,mac=52:54:00:77:00:01,bootindex=40"}},
		"console of the Go BMC": {Spec{}, "none", "tcg", "", "-serial", []string{"chardev:serial0"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			test.spec.BMC = GoBMC
			args := qemuArgs(testMachine(t, test.spec), files{"/a,b"}, test.accel, BootSetting{Device: test.boot}, test.medium)
			if diff := cmp.Diff(test.want, values(args, test.option)); diff != "" {
				t.Errorf("%s (-want +got):\n%s", test.option, diff)
			}
			if slices.ContainsFunc(args, func(s string) bool { return strings.Contains(s, "ipmi") }) {
				t.Error("a machine with a Go BMC has an in-band interface")
			}
		})
	}
}

// TestBootOrders holds that no index is in two orders for different devices: QEMU refuses an index in use, and the
// devices change one after the other.
func TestBootOrders(t *testing.T) {
	m := testMachine(t, Spec{CDROM: true, Disks: []Disk{{Size: 1 << 30}, {Size: 1 << 30}, {Size: 1 << 30}, {Size: 1 << 30}, {Size: 1 << 30}}, NICs: make([]NIC, 8)})
	defaults := map[string]int{}
	for _, d := range order("none").properties(m) {
		defaults[d.id] = d.index
	}
	if len(defaults) != 14 {
		t.Errorf("%d devices, want 14", len(defaults))
	}
	for _, device := range bootDevices {
		seen := map[int]string{}
		var first deviceIndex
		for _, d := range order(device).properties(m) {
			if other, ok := seen[d.index]; ok {
				t.Errorf("%s: %s and %s have the index %d", device, other, d.id, d.index)
			}
			seen[d.index] = d.id
			for id, index := range defaults {
				if index == d.index && id != d.id {
					t.Errorf("%s: %s has the index %d, which is %s's by default", device, d.id, d.index, id)
				}
			}
			if first.id == "" || d.index < first.index {
				first = d
			}
		}
		want := map[string]string{"none": "disk0", "bios": "disk0", "disk": "disk0", "pxe": "nic0", "cdrom": "cd0"}[device]
		if first.id != want {
			t.Errorf("%s: first is %s, want %s", device, first.id, want)
		}
	}
}

func TestIPMISimFiles(t *testing.T) {
	m := testMachine(t, Spec{})
	m.UUID = "00112233-4455-6677-8899-aabbccddeeff"
	conf := lanConf(m, simFiles{"/lab/node-1/bmc"})
	for _, want := range []string{
		"guid ffeeddccbbaa99887766554433221100\n", "addr 10.78.0.1 623\n", `chassis_control "/lab/node-1/bmc/chassis-control"`,
		"serial 15 127.0.0.1 9101 codec VM\n", `sol "tcp:127.0.0.1:9001" 115200`, `user 2 true "admin" "password" admin`,
	} {
		if !strings.Contains(conf, want) {
			t.Errorf("lan.conf has no %q:\n%s", want, conf)
		}
	}
	if got, want := shellQuote("/a b/c", "it's"), `'/a b/c' 'it'\''s'`; got != want {
		t.Errorf("shellQuote = %s, want %s", got, want)
	}
}

func TestNetworkCommands(t *testing.T) {
	c, err := Spec{Nodes: 2, NICs: make([]NIC, 2)}.config()
	if err != nil {
		t.Fatal(err)
	}
	got := c.networkCommands()
	for _, want := range []string{"addr add 10.77.0.1/24 dev br0", "addr add fd00:77::1/64 dev br0 nodad", "addr add 10.78.0.2/32 dev bmc0", "tuntap add dev tap2-1 mode tap", "link set tap2-1 master br0 up"} {
		if !slices.Contains(got, want) {
			t.Errorf("no %q in:\n%s", want, strings.Join(got, "\n"))
		}
	}
}
