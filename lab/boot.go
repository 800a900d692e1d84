package lab

import (
	"slices"

	"ferric"
)

// BootSetting is the boot device override of a machine.
type BootSetting struct {
	Device     string `json:"device"`     // "none" (disk, then network), "pxe", "disk", "cdrom" or "bios"
	Persistent bool   `json:"persistent"` // until changed; else for the next start or reset only
}

// bootDevices are the devices that a machine can be told to boot from.
var bootDevices = []string{"none", "pxe", "disk", "cdrom", "bios"}

func (b BootSetting) check() error {
	if !slices.Contains(bootDevices, b.Device) {
		return ferric.Errorf(ferric.CodeInvalid, "boot device %q: want one of %v", b.Device, bootDevices)
	}
	return nil
}

// bootIndex is the place of each kind of device in the boot order: lower first. Devices of one kind follow each other.
// Numbers of different orders never meet, since QEMU refuses an index that another device has.
type bootIndex struct{ disk, nic, cd int }

const (
	firstBoot   = 10 // the device that was chosen
	defaultDisk = 20
	defaultNIC  = 40
	defaultCD   = 60
)

// order is the boot order for a device.
func order(device string) bootIndex {
	index := bootIndex{disk: defaultDisk, nic: defaultNIC, cd: defaultCD}
	switch device {
	case "pxe":
		index.nic = firstBoot
	case "disk":
		index.disk = firstBoot
	case "cdrom":
		index.cd = firstBoot
	}
	return index
}

// after is the setting that holds once a start or reset has used b.
func (b BootSetting) after() BootSetting {
	if b.Persistent {
		return b
	}
	return BootSetting{Device: "none"}
}

// properties are the bootindex of each of the machine's devices, by QEMU device id, in that order.
func (index bootIndex) properties(m MachineConfig) []deviceIndex {
	var all []deviceIndex
	for i := range m.Disks {
		all = append(all, deviceIndex{diskID(i), index.disk + i})
	}
	for i := range m.NICs {
		all = append(all, deviceIndex{nicID(i), index.nic + i})
	}
	if m.CDROM {
		all = append(all, deviceIndex{cdID, index.cd})
	}
	return all
}

type deviceIndex struct {
	id    string
	index int
}
