package inventory

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"sort"
	"strconv"
	"strings"

	"ferric/agentapi"
)

// Disk is a block device with what the agent needs to know besides the inventory.
type Disk struct {
	agentapi.BlockDevice
	Kernel     string   // "sda"
	ReadOnly   bool     // the kernel or the device refuses writes
	Removable  bool     // media that can be taken out: USB sticks, virtual media
	MD         bool     // a Linux software RAID array
	Members    []string // of an array: kernel names of its members ("sda1")
	Partitions []Partition
}

// Partition is one partition that the kernel knows.
type Partition struct {
	Kernel string // "sda1"
	Number int
	Start  int64 // bytes
	Size   int64 // bytes
}

// fixedMMC matches the boot and replay-protected areas of eMMC, which are no disks.
var fixedMMC = regexp.MustCompile(`^mmcblk\d+(boot\d+|rpmb|gp\d+)$`)

// Disks lists the disks by name: everything that can hold data and is no floppy, CD, loop or RAM device.
func (r *Reader) Disks() []Disk {
	entries, err := os.ReadDir(r.path("sys/block"))
	if err != nil {
		return nil
	}
	var out []Disk
	for _, e := range entries {
		name := e.Name()
		if skipped(name) || r.text("sys/block/"+name+"/hidden") == "1" {
			continue
		}
		sectors, _ := r.number("sys/block/" + name + "/size")
		if sectors == 0 {
			continue
		}
		out = append(out, r.disk(name, sectors*512))
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Name < out[j].Name })
	return out
}

func skipped(name string) bool {
	for _, prefix := range []string{"loop", "ram", "zram", "fd", "sr", "nbd", "dm-", "mtdblock"} {
		if rest, ok := strings.CutPrefix(name, prefix); ok && rest != "" && rest[0] >= '0' && rest[0] <= '9' {
			return true
		}
	}
	return fixedMMC.MatchString(name)
}

func (r *Reader) disk(name string, size int64) Disk {
	sys := "sys/block/" + name + "/"
	device := r.device(sys + "device")
	d := Disk{
		Kernel: name,
		BlockDevice: agentapi.BlockDevice{
			Name: "/dev/" + name, Size: size,
			Model: r.text(sys + "device/model"), Vendor: agentapi.Text(r.text(sys + "device/vendor")),
			Rotational:     r.text(sys+"queue/rotational") == "1",
			LogicalSectors: r.sector(sys + "queue/logical_block_size"), PhysicalSectors: r.sector(sys + "queue/physical_block_size"),
			Tran: agentapi.Text(transport(name, device)), ByPath: agentapi.Text(r.byPath(name, device)),
		},
		ReadOnly:  r.text(sys+"ro") == "1",
		Removable: r.text(sys+"removable") == "1",
	}
	if serial := r.serial(sys); serial != "" {
		d.Serial = agentapi.Texts{serial}
	}
	d.wwn(r.wwid(sys))
	if m, _ := filepath.Glob(r.path(sys + "device/scsi_device/*")); len(m) > 0 { // the pattern is good
		d.HCTL = agentapi.Text(filepath.Base(m[0]))
	}
	if _, err := os.Stat(r.path(sys + "md")); err == nil {
		d.MD = true
		d.Model = r.text(sys + "md/level")
		slaves, _ := os.ReadDir(r.path(sys + "slaves")) // an array that is not running has none
		for _, s := range slaves {
			d.Members = append(d.Members, s.Name())
		}
	}
	d.Partitions = r.partitions(name)
	return d
}

func (r *Reader) sector(rel string) *json.Number {
	n, ok := r.number(rel)
	if !ok {
		return nil
	}
	num := json.Number(strconv.FormatInt(n, 10))
	return &num
}

func (r *Reader) partitions(name string) []Partition {
	files, _ := filepath.Glob(r.path("sys/block/" + name + "/" + name + "*/partition")) // the pattern is good
	var out []Partition
	for _, f := range files {
		rel := "sys/block/" + name + "/" + filepath.Base(filepath.Dir(f))
		n, ok := r.number(rel + "/partition")
		if !ok {
			continue
		}
		start, _ := r.number(rel + "/start")
		size, _ := r.number(rel + "/size")
		out = append(out, Partition{Kernel: filepath.Base(rel), Number: int(n), Start: start * 512, Size: size * 512})
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Number < out[j].Number })
	return out
}

// serial reads the number from where each kind of disk keeps it: virtio, NVMe and MMC in a file, SCSI and ATA in VPD
// page 0x80.
func (r *Reader) serial(sys string) string {
	for _, f := range []string{"serial", "device/serial"} {
		if s := r.text(sys + f); s != "" {
			return s
		}
	}
	if page := r.raw(sys + "device/vpd_pg80"); len(page) > 4 {
		n := int(page[2])<<8 | int(page[3])
		return clean(page[4:min(len(page), 4+n)])
	}
	return ""
}

func (r *Reader) wwid(sys string) string {
	if w := r.text(sys + "wwid"); w != "" { // NVMe
		return w
	}
	return r.text(sys + "device/wwid") // SCSI and ATA
}

// wwn splits an identifier as udev does: a registered extended NAA name is 16 digits and a vendor's extension.
func (d *Disk) wwn(id string) {
	hex, isNAA := strings.CutPrefix(id, "naa.")
	switch {
	case isNAA && len(hex) >= 16:
		d.WWN = agentapi.Texts{"0x" + hex[:16]}
		d.WWNWithExtension = agentapi.Texts{"0x" + hex}
		if len(hex) > 16 {
			d.WWNVendorExtension = agentapi.Texts{"0x" + hex[16:]}
		}
	case strings.HasPrefix(id, "eui."), strings.HasPrefix(id, "nvme."), strings.HasPrefix(id, "uuid."):
		d.WWN = agentapi.Texts{id}
	}
}

// transport is the bus that a disk hangs on, in lsblk's words.
func transport(name, device string) string {
	switch {
	case strings.HasPrefix(name, "nvme"):
		return "nvme"
	case strings.HasPrefix(name, "vd"):
		return "virtio"
	case strings.HasPrefix(name, "mmcblk"):
		return "mmc"
	case strings.Contains(device, "/usb"):
		return "usb"
	case regexp.MustCompile(`/ata\d+/`).MatchString(device):
		return "sata"
	case strings.Contains(device, "/end_device-"):
		return "sas"
	case strings.Contains(device, "/rport-"):
		return "fc"
	case strings.Contains(device, "/session"):
		return "iscsi"
	}
	return ""
}

// byPath names the disk by its place as udev's path_id does, for the kinds whose rule is plain: virtio, NVMe, SATA,
// USB and simple SCSI on PCI. Others get "".
func (r *Reader) byPath(name, device string) string {
	pci := pciOf(device)
	if pci == "" {
		return ""
	}
	base := "/dev/disk/by-path/pci-" + pci
	parts := strings.Split(device, "/")
	last := parts[len(parts)-1]
	switch {
	case strings.HasPrefix(name, "nvme"):
		if ns, ok := r.number("sys/block/" + name + "/nsid"); ok {
			return fmt.Sprintf("%s-nvme-%d", base, ns)
		}
		return ""
	case strings.HasPrefix(name, "vd"):
		return base
	}
	for _, p := range parts {
		if ata := regexp.MustCompile(`^ata\d+$`).FindString(p); ata != "" {
			port, ok := r.number("sys/class/ata_port/" + ata + "/port_no")
			if !ok {
				return ""
			}
			return fmt.Sprintf("%s-ata-%d", base, port)
		}
	}
	hctl := strings.Split(last, ":")
	if len(hctl) != 4 || strings.Contains(device, "/end_device-") || strings.Contains(device, "/rport-") || strings.Contains(device, "/session") {
		return ""
	}
	scsi := "scsi-0:" + strings.Join(hctl[1:], ":")
	if i := strings.Index(device, "/usb"); i >= 0 {
		for _, p := range parts {
			// "1-4:1.0" is an interface; udev writes "usb-0:4:1.0"
			if port, conf, ok := strings.Cut(p, ":"); ok && strings.Contains(port, "-") && strings.Contains(conf, ".") {
				_, port, _ = strings.Cut(port, "-")
				return base + "-usb-0:" + port + ":" + conf + "-" + scsi
			}
		}
		return ""
	}
	return base + "-" + scsi
}
