package inventory

import (
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"ferric/agentapi"
)

// Reader reads hardware facts below a root directory, "/" on a real machine.
type Reader struct {
	root string
	// BootIF is the kernel parameter BOOTIF ("01-52-54-00-12-34-56"), "" if there is none.
	BootIF string
	// addresses gives an interface's addresses; nil means net.InterfaceByName.
	addresses func(name string) (v4, v6 string)
	permanent func(name string) string
}

// NewReader makes a Reader for the running machine (root "/") or for a copy of its files.
func NewReader(root, bootIF string) *Reader {
	r := &Reader{root: root, BootIF: bootIF, addresses: func(string) (string, string) { return "", "" }, permanent: func(string) string { return "" }}
	if filepath.Clean(root) == "/" {
		r.addresses, r.permanent = interfaceAddresses, permanentMAC
	}
	return r
}

// Inventory collects everything except the BMC's addresses and LLDP.
func (r *Reader) Inventory() agentapi.Inventory {
	inv := agentapi.Inventory{
		Interfaces:   r.Interfaces(),
		CPU:          r.cpu(),
		Memory:       r.memory(),
		SystemVendor: r.systemVendor(),
		Boot:         r.Boot(),
		Disks:        []agentapi.BlockDevice{},
	}
	for _, d := range r.Disks() {
		inv.Disks = append(inv.Disks, d.BlockDevice)
	}
	inv.Hostname, _ = os.Hostname() // "" if the kernel has none
	return inv
}

// Boot says how the machine was started.
func (r *Reader) Boot() agentapi.BootInfo {
	mode := "bios"
	if _, err := os.Stat(r.path("sys/firmware/efi")); err == nil {
		mode = "uefi"
	}
	return agentapi.BootInfo{CurrentBootMode: mode, PXEInterface: agentapi.Text(r.BootIF)}
}

func (r *Reader) path(rel string) string { return filepath.Join(r.root, rel) }

// text is a file's content without blanks around it, "" if it cannot be read.
func (r *Reader) text(rel string) string {
	b, err := os.ReadFile(r.path(rel))
	if err != nil {
		return ""
	}
	return clean(string(b))
}

// clean drops what hardware puts into names: blanks around, control characters, invalid UTF-8.
func clean(s string) string {
	s = strings.Map(func(c rune) rune {
		if c < ' ' || c == 0x7f {
			return -1
		}
		return c
	}, strings.ToValidUTF8(s, "?"))
	return strings.TrimSpace(s)
}

func (r *Reader) number(rel string) (int64, bool) {
	n, err := strconv.ParseInt(r.text(rel), 10, 64)
	return n, err == nil
}

// link is where a symbolic link leads, its last element only.
func (r *Reader) link(rel string) string {
	to, err := os.Readlink(r.path(rel))
	if err != nil {
		return ""
	}
	return filepath.Base(to)
}

// device is the resolved path of a class device's hardware, like /sys/devices/pci0000:00/…, "" if there is none.
func (r *Reader) device(rel string) string {
	p, err := filepath.EvalSymlinks(r.path(rel))
	if err != nil {
		return ""
	}
	return p
}

var pciAddress = regexp.MustCompile(`^[0-9a-f]{4,}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]$`)

// pciOf is the last PCI address in a device path.
func pciOf(device string) string {
	parts := strings.Split(device, "/")
	for i := len(parts) - 1; i >= 0; i-- {
		if pciAddress.MatchString(parts[i]) {
			return parts[i]
		}
	}
	return ""
}

func (r *Reader) systemVendor() agentapi.SystemVendor {
	const dmi = "sys/class/dmi/id/"
	return agentapi.SystemVendor{
		ProductName:  r.text(dmi + "product_name"),
		SerialNumber: r.text(dmi + "product_serial"),
		Manufacturer: r.text(dmi + "sys_vendor"),
		Firmware: agentapi.SystemFirmware{
			Vendor:    r.text(dmi + "bios_vendor"),
			Version:   r.text(dmi + "bios_version"),
			BuildDate: r.text(dmi + "bios_date"),
		},
	}
}

func (r *Reader) memory() agentapi.Memory {
	var m agentapi.Memory
	for _, line := range strings.Split(r.raw("proc/meminfo"), "\n") {
		if rest, ok := strings.CutPrefix(line, "MemTotal:"); ok {
			kb, _ := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")), 10, 64)
			m.Total = kb << 10
		}
	}
	if mb := InstalledMemory([]byte(r.raw("sys/firmware/dmi/tables/DMI"))); mb > 0 {
		m.PhysicalMB = &mb
	}
	return m
}

func (r *Reader) raw(rel string) string {
	b, err := os.ReadFile(r.path(rel))
	if err != nil {
		return ""
	}
	return string(b)
}

func (r *Reader) cpu() agentapi.CPU {
	cpu := agentapi.CPU{Architecture: machine(), Flags: []string{}}
	sockets := map[string]bool{}
	var mhz string
	for _, line := range strings.Split(r.raw("proc/cpuinfo"), "\n") {
		key, value, ok := strings.Cut(line, ":")
		if !ok {
			continue
		}
		value = clean(value)
		switch strings.TrimSpace(key) {
		case "processor":
			cpu.Count++
		case "physical id":
			sockets[value] = true
		case "model name":
			cpu.ModelName = value
		case "cpu MHz":
			mhz = value
		case "flags", "Features":
			if len(cpu.Flags) == 0 {
				cpu.Flags = strings.Fields(value)
			}
		}
	}
	cpu.SocketCount = max(len(sockets), min(cpu.Count, 1))
	cpu.Frequency = mhz
	if khz, ok := r.number("sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq"); ok {
		cpu.Frequency = strconv.FormatFloat(float64(khz)/1000, 'f', 4, 64)
	}
	return cpu
}

// machine is the architecture as uname -m says it.
func machine() string {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return runtime.GOARCH
	}
	return unix.ByteSliceToString(u.Machine[:])
}
