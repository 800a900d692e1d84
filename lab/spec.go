package lab

import (
	"fmt"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"ferric"
)

// DefaultName is the name of a lab, and of its network namespace, when none is given.
const DefaultName = "ferric-lab"

// The firmware of a machine.
const (
	BIOS = "bios" // SeaBIOS
	UEFI = "uefi" // OVMF
)

// The kinds of BMC.
const (
	IPMISim = "ipmi_sim" // OpenIPMI's simulator: cipher suite 3, in-band KCS, forgets "persistent" and "UEFI"
	GoBMC   = "go"       // package lab/bmc: cipher suites 3 and 17, all boot flags
)

// The buses of disks.
const (
	Virtio = "virtio"
	SATA   = "sata"
	NVMe   = "nvme"
	SCSI   = "scsi"
)

// The models of network cards.
const (
	VirtioNet = "virtio"
	E1000E    = "e1000e"
)

// Spec says what a lab shall consist of. The zero value of every field but Nodes is a default.
type Spec struct {
	Name     string   // of the lab and its network namespace; default DefaultName
	Dir      string   // state directory; default DefaultDir(Name)
	Nodes    int      // number of machines, 1 to 64
	Firmware string   // "bios" (default), "uefi", or "mixed": odd machines BIOS, even ones UEFI
	BMC      string   // "ipmi_sim" (default) or "go"
	Memory   int      // MiB per machine; default 1024
	CPUs     int      // per machine; default 1 (more bring nothing without KVM)
	Disks    []Disk   // of each machine; default one virtio disk of 4 GiB
	NICs     []NIC    // of each machine; default one virtio card
	CDROM    bool     // each machine has a CD drive, empty at first
	Accel    string   // "auto" (default: KVM if it really works), "kvm" or "tcg"
	Self     []string // the command that leads to "chassis-control", "bmc" and "consoles"; default: this executable and "lab"
}

// Disk is one disk of a machine.
type Disk struct {
	Size   int64  `json:"size"`   // bytes, a multiple of 512
	Bus    string `json:"bus"`    // Virtio, SATA, NVMe or SCSI
	Serial string `json:"serial"` // default from machine and disk number; at most 20 bytes
	WWN    uint64 `json:"wwn"`    // default likewise; only SATA and SCSI disks can show one
}

// NIC is one network card of a machine, connected to br0.
type NIC struct {
	Model string `json:"model"` // VirtioNet or E1000E
	MAC   string `json:"mac"`   // default 52:54:00:77:CC:NN (card, machine)
	// ROM is "" for QEMU's iPXE option ROM, or "none": UEFI then boots from the network with its own PXE and HTTP
	// clients, and a BIOS does not boot from it at all.
	ROM string `json:"rom,omitempty"`
	Tap string `json:"tap"` // name of the tap device; set by the lab
}

// BMC is where and how a machine's BMC answers, inside the namespace.
type BMC struct {
	Kind     string `json:"kind"`
	Address  string `json:"address"`
	Port     int    `json:"port"`
	User     string `json:"user"`
	Password string `json:"password"` // a lab's password is no secret: it is shown by status
}

// Config is a lab as it is: the content of lab.json.
type Config struct {
	Version  int             `json:"version"`
	Name     string          `json:"name"`
	Accel    string          `json:"accel"` // "kvm" or "tcg"
	Self     []string        `json:"self"`
	Machines []MachineConfig `json:"machines"`
}

// MachineConfig is a machine as it is.
type MachineConfig struct {
	Name       string `json:"name"`
	Index      int    `json:"index"` // from 1
	UUID       string `json:"uuid"`
	Serial     string `json:"serial"`
	Firmware   string `json:"firmware"`
	Memory     int    `json:"memory_mib"`
	CPUs       int    `json:"cpus"`
	Disks      []Disk `json:"disks"`
	NICs       []NIC  `json:"nics"`
	CDROM      bool   `json:"cdrom"`
	BMC        BMC    `json:"bmc"`
	SerialPort int    `json:"serial_port,omitempty"` // TCP port of the console on the namespace's 127.0.0.1 (ipmi_sim)
	KCSPort    int    `json:"kcs_port,omitempty"`    // TCP port of the in-band interface (ipmi_sim)
}

const (
	configVersion = 1
	maxNodes      = 64
	maxDisks      = 5 // q35 has six SATA ports, and the CD drive wants one
	maxNICs       = 8
)

var labName = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,62}$`)

// DefaultDir is the state directory of a lab.
func DefaultDir(name string) string { return filepath.Join("/var/lib/ferric/lab", name) }

// config checks the spec and fills in what it leaves open. CodeInvalid names the field.
func (s Spec) config() (Config, error) {
	invalid := func(field, format string, args ...any) (Config, error) {
		return Config{}, ferric.Errorf(ferric.CodeInvalid, "lab: %s: %s", field, fmt.Sprintf(format, args...))
	}
	if s.Name == "" {
		s.Name = DefaultName
	}
	if !labName.MatchString(s.Name) {
		return invalid("name", "%q: use 1 to 63 of a-z, 0-9, '.', '_' and '-', beginning with a letter or digit", s.Name)
	}
	if s.Nodes < 1 || s.Nodes > maxNodes {
		return invalid("nodes", "%d: want 1 to %d", s.Nodes, maxNodes)
	}
	if s.Firmware = or(s.Firmware, BIOS); s.Firmware != BIOS && s.Firmware != UEFI && s.Firmware != "mixed" {
		return invalid("firmware", "%q: want bios, uefi or mixed", s.Firmware)
	}
	if s.BMC = or(s.BMC, IPMISim); s.BMC != IPMISim && s.BMC != GoBMC {
		return invalid("bmc", "%q: want %s or %s", s.BMC, IPMISim, GoBMC)
	}
	if s.Memory = or(s.Memory, 1024); s.Memory < 64 {
		return invalid("memory", "%d MiB: want at least 64", s.Memory)
	}
	if s.CPUs = or(s.CPUs, 1); s.CPUs < 1 || s.CPUs > 64 {
		return invalid("cpus", "%d: want 1 to 64", s.CPUs)
	}
	if s.Disks == nil {
		s.Disks = []Disk{{Size: 4 << 30, Bus: Virtio}}
	}
	if len(s.Disks) > maxDisks {
		return invalid("disks", "%d disks: want at most %d", len(s.Disks), maxDisks)
	}
	if s.NICs == nil {
		s.NICs = []NIC{{Model: VirtioNet}}
	}
	if len(s.NICs) < 1 || len(s.NICs) > maxNICs {
		return invalid("nics", "%d cards: want 1 to %d", len(s.NICs), maxNICs)
	}
	c := Config{Version: configVersion, Name: s.Name, Accel: s.Accel, Self: s.Self}
	for i := 1; i <= s.Nodes; i++ {
		m, err := s.machine(i)
		if err != nil {
			return Config{}, err
		}
		c.Machines = append(c.Machines, m)
	}
	return c, nil
}

// machine is the configuration of machine number i, from 1.
func (s Spec) machine(i int) (MachineConfig, error) {
	m := MachineConfig{
		Name: fmt.Sprintf("node-%d", i), Index: i, UUID: machineUUID(s.Name, i), Serial: fmt.Sprintf("LAB%05d", i),
		Firmware: s.Firmware, Memory: s.Memory, CPUs: s.CPUs, CDROM: s.CDROM,
		BMC: BMC{Kind: s.BMC, Address: fmt.Sprintf("10.78.0.%d", i), Port: 623, User: "admin", Password: "password"},
	}
	if s.Firmware == "mixed" {
		m.Firmware = [...]string{UEFI, BIOS}[i%2]
	}
	if s.BMC == IPMISim {
		m.SerialPort, m.KCSPort = 9000+i, 9100+i
	}
	for j, d := range s.Disks {
		d.Bus = or(d.Bus, Virtio)
		d.Serial = or(d.Serial, fmt.Sprintf("LAB%03d-DISK%d", i, j))
		d.WWN = or(d.WWN, 0x5000c50000000000|uint64(i)<<8|uint64(j))
		switch {
		case d.Size < 1<<20 || d.Size%512 != 0:
			return m, ferric.Errorf(ferric.CodeInvalid, "lab: disks: size %d: want at least 1 MiB and a multiple of 512 bytes", d.Size)
		case d.Bus != Virtio && d.Bus != SATA && d.Bus != NVMe && d.Bus != SCSI:
			return m, ferric.Errorf(ferric.CodeInvalid, "lab: disks: bus %q: want virtio, sata, nvme or scsi", d.Bus)
		case len(d.Serial) > 20 || strings.ContainsAny(d.Serial, ", \n"):
			return m, ferric.Errorf(ferric.CodeInvalid, "lab: disks: serial %q: want at most 20 bytes without commas and blanks", d.Serial)
		}
		m.Disks = append(m.Disks, d)
	}
	for j, n := range s.NICs {
		n.Model = or(n.Model, VirtioNet)
		n.MAC = or(n.MAC, fmt.Sprintf("52:54:00:77:%02x:%02x", j, i))
		n.Tap = fmt.Sprintf("tap%d-%d", i, j)
		switch {
		case n.Model != VirtioNet && n.Model != E1000E:
			return m, ferric.Errorf(ferric.CodeInvalid, "lab: nics: model %q: want virtio or e1000e", n.Model)
		case n.ROM != "" && n.ROM != "none":
			return m, ferric.Errorf(ferric.CodeInvalid, "lab: nics: rom %q: want nothing or none", n.ROM)
		}
		m.NICs = append(m.NICs, n)
	}
	return m, nil
}

// machineUUID is the same for the same machine of the same lab each time, so that a lab that is set up again has the
// same nodes.
func machineUUID(lab string, i int) string {
	return uuid.NewSHA1(uuid.NameSpaceURL, fmt.Appendf(nil, "ferric:lab:%s:%d", lab, i)).String()
}

// ParseDisk reads "SIZE[,BUS]", e.g. "4G" or "512M,sata". SIZE is a number of bytes or has a suffix M, G or T
// (powers of 1024).
func ParseDisk(text string) (Disk, error) {
	size, bus, _ := strings.Cut(text, ",")
	shift := 0
	switch {
	case strings.HasSuffix(size, "M"):
		shift = 20
	case strings.HasSuffix(size, "G"):
		shift = 30
	case strings.HasSuffix(size, "T"):
		shift = 40
	}
	number := size
	if shift > 0 {
		number = size[:len(size)-1]
	}
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil || n < 1 || n > (1<<50)>>shift {
		return Disk{}, ferric.Errorf(ferric.CodeInvalid, "disk %q: want SIZE[,BUS], e.g. 4G,sata", text)
	}
	return Disk{Size: n << shift, Bus: bus}, nil
}

// or returns v, or fallback if v is the zero value.
func or[T comparable](v, fallback T) T {
	var zero T
	if v == zero {
		return fallback
	}
	return v
}
