package lab

import (
	"fmt"
	"path/filepath"
	"strconv"
)

// Debian's OVMF, from the package ovmf.
const (
	ovmfCode = "/usr/share/OVMF/OVMF_CODE_4M.fd"
	ovmfVars = "/usr/share/OVMF/OVMF_VARS_4M.fd"
)

const qemuProgram = "qemu-system-x86_64"

func diskID(i int) string { return "disk" + strconv.Itoa(i) }
func nicID(i int) string  { return "nic" + strconv.Itoa(i) }

const cdID = "cd0"

// files are the names in a machine's folder.
type files struct{ dir string }

func (f files) disk(i int) string { return filepath.Join(f.dir, fmt.Sprintf("disk%d.raw", i)) }
func (f files) vars() string      { return filepath.Join(f.dir, "vars.fd") }
func (f files) log() string       { return filepath.Join(f.dir, "serial.log") }
func (f files) serial() string    { return filepath.Join(f.dir, "serial.sock") }  // QEMU connects to it
func (f files) console() string   { return filepath.Join(f.dir, "console.sock") } // clients connect to it
func (f files) qmp() string       { return filepath.Join(f.dir, "qmp.sock") }
func (f files) pidfile() string   { return filepath.Join(f.dir, "qemu.pid") }
func (f files) process() string   { return filepath.Join(f.dir, "qemu.json") }
func (f files) boot() string      { return filepath.Join(f.dir, "boot.json") }
func (f files) lock() string      { return filepath.Join(f.dir, "lock") }
func (f files) medium() string    { return filepath.Join(f.dir, "medium.json") }
func (f files) bmc() string       { return filepath.Join(f.dir, "bmc") }

// qemuArgs is the command line of a machine, with the boot order built in. medium is the image in the CD drive, "" for
// none.
func qemuArgs(m MachineConfig, f files, accel string, boot BootSetting, medium string) []string {
	cpu := "max" // without RDRAND a Go program waits minutes for entropy
	if accel == "kvm" {
		cpu = "host"
	}
	accelerator := accel
	if accel == "tcg" {
		accelerator = "tcg,thread=multi"
	}
	args := []string{qemuProgram,
		"-name", m.Name,
		"-uuid", m.UUID,
		"-machine", "q35", "-accel", accelerator, "-cpu", cpu,
		"-smp", strconv.Itoa(m.CPUs), "-m", strconv.Itoa(m.Memory),
		"-nodefaults", "-display", "none", "-vga", "std",
		"-smbios", fmt.Sprintf("type=1,manufacturer=Ferric,product=Virtual Metal,version=1,serial=%s,uuid=%s", m.Serial, m.UUID),
	}
	if m.Firmware == UEFI {
		args = append(args,
			"-drive", "if=pflash,format=raw,unit=0,readonly=on,file="+ovmfCode,
			"-drive", "if=pflash,format=raw,unit=1,file="+escape(f.vars()))
	}
	if boot.Device == "bios" {
		args = append(args, "-boot", "menu=on,splash-time=10000")
	}
	args = append(args, blockArgs(m, f, order(boot.Device), medium)...)
	for i, nic := range m.NICs {
		model := "virtio-net-pci"
		if nic.Model == E1000E {
			model = "e1000e"
		}
		device := fmt.Sprintf("%s,id=%s,netdev=net%d,mac=%s,bootindex=%d", model, nicID(i), i, nic.MAC, order(boot.Device).nic+i)
		if nic.ROM == "none" {
			device += ",romfile="
		}
		args = append(args, "-netdev", fmt.Sprintf("tap,id=net%d,ifname=%s,script=no,downscript=no", i, nic.Tap), "-device", device)
	}
	args = append(args, "-chardev", "socket,id=serial0,reconnect=1,logappend=on,logfile="+escape(f.log())+",path="+escape(f.serial()),
		"-serial", "chardev:serial0")
	if m.KCSPort != 0 {
		args = append(args,
			"-chardev", "socket,id=kcs0,host=127.0.0.1,reconnect=2,port="+strconv.Itoa(m.KCSPort),
			"-device", "ipmi-bmc-extern,id=bmc0,chardev=kcs0", "-device", "isa-ipmi-kcs,bmc=bmc0")
	}
	return append(args,
		"-qmp", "unix:"+escape(f.qmp())+",server=on,wait=off",
		"-daemonize", "-pidfile", f.pidfile())
}

// blockArgs are the disks and the CD drive.
func blockArgs(m MachineConfig, f files, index bootIndex, medium string) []string {
	var args []string
	sata, scsi := 0, false
	for i, d := range m.Disks {
		if d.Bus == SCSI && !scsi {
			scsi = true
			args = append(args, "-device", "virtio-scsi-pci,id=scsi0")
		}
		var device string
		switch d.Bus {
		case Virtio:
			device = "virtio-blk-pci"
		case NVMe:
			device = "nvme"
		case SATA:
			device = fmt.Sprintf("ide-hd,bus=ide.%d,wwn=%#x", sata, d.WWN)
			sata++
		case SCSI:
			device = fmt.Sprintf("scsi-hd,bus=scsi0.0,scsi-id=%d,wwn=%#x", i, d.WWN)
		}
		args = append(args,
			// The disks are scratch: what matters is speed, and that holes stay holes.
			"-drive", fmt.Sprintf("if=none,id=drive%d,format=raw,cache=unsafe,discard=unmap,file=%s", i, escape(f.disk(i))),
			"-device", fmt.Sprintf("%s,id=%s,drive=drive%d,serial=%s,bootindex=%d", device, diskID(i), i, d.Serial, index.disk+i))
	}
	if !m.CDROM {
		return args
	}
	if medium != "" {
		args = append(args, "-drive", "if=none,id=medium0,format=raw,readonly=on,file="+escape(medium))
		return append(args, "-device", fmt.Sprintf("ide-cd,id=%s,bus=ide.%d,drive=medium0,bootindex=%d", cdID, sata, index.cd))
	}
	return append(args, "-device", fmt.Sprintf("ide-cd,id=%s,bus=ide.%d,bootindex=%d", cdID, sata, index.cd))
}

// escape doubles commas, as QEMU's option parser wants them.
func escape(path string) string {
	var out []byte
	for i := range len(path) {
		if path[i] == ',' {
			out = append(out, ',')
		}
		out = append(out, path[i])
	}
	return string(out)
}
