package boot

import (
	"net"
	"slices"
	"strings"

	"ferric"
)

// Mode says what a machine does after its loader has run.
type Mode string

const (
	ModeRamdisk Mode = "ramdisk" // load Kernel and Initrd and start them with Cmdline
	ModeLocal   Mode = "local"   // leave the network and boot from the machine's own disk
	ModeVolume  Mode = "volume"  // boot from the first of Volumes; of flavor ipxe only
)

// Flavor names the family of loaders that a machine is given.
type Flavor string

const (
	FlavorPXE  Flavor = "pxe"  // BIOS: PXELINUX; UEFI: shim and GRUB
	FlavorIPXE Flavor = "ipxe" // iPXE, chain-loaded where the firmware is not iPXE already
)

// Firmware is a hint about the machine's firmware; it only limits which files are written.
type Firmware string

const (
	FirmwareAny  Firmware = ""     // unknown: files for both kinds are written
	FirmwareBIOS Firmware = "bios" // files for BIOS loaders only
	FirmwareUEFI Firmware = "uefi" // files for UEFI loaders only
)

// DefaultID is the NodeUUID of the configuration for machines that nobody knows (discovery). It has no MACs.
const DefaultID = "default"

// Config describes one node's network boot.
type Config struct {
	NodeUUID string   `json:"node_uuid"`          // letters, digits and hyphens; DefaultID for the default configuration
	MACs     []string `json:"macs"`               // every MAC that may boot, any usual notation; kept as aa:bb:cc:dd:ee:ff
	Flavor   Flavor   `json:"flavor"`             // pxe or ipxe
	Firmware Firmware `json:"firmware,omitempty"` // hint
	Mode     Mode     `json:"mode"`               // ramdisk, local or volume

	// Kernel and Initrd are http URLs or paths below the site's HTTP address ("images/abc"), of ramdisk mode only.
	Kernel string `json:"kernel,omitempty"`
	Initrd string `json:"initrd,omitempty"`
	// Cmdline is the kernel command line of ramdisk mode, without BOOTIF (which the loader's configuration adds:
	// BOOTIF=01-aa-bb-cc-dd-ee-ff names the NIC that the machine booted from). See CheckCmdline for what is refused.
	Cmdline string `json:"cmdline,omitempty"`

	// Initiator is what the machine calls itself towards iSCSI targets, an IQN; Volumes are its disks, from drive 0x80 on. Both are of volume mode only.
	Initiator string   `json:"initiator,omitempty"`
	Volumes   []Volume `json:"volumes,omitempty"`
}

// Normalize returns a copy of c with its MACs in canonical form, sorted and without duplicates, and its command line
// with single spaces; or a CodeInvalid error that names the field which is wrong and how to put it right.
func (c Config) Normalize() (Config, error) {
	if !validID(c.NodeUUID) {
		return Config{}, ferric.Errorf(ferric.CodeInvalid, "boot configuration: node_uuid %q: must be 1 to 64 letters, digits or hyphens", c.NodeUUID)
	}
	macs := make([]string, 0, len(c.MACs))
	for _, m := range c.MACs {
		mac, err := ParseMAC(m)
		if err != nil {
			return Config{}, ferric.Errorf(ferric.CodeInvalid, "boot configuration of node %s: macs: %w", c.NodeUUID, err)
		}
		macs = append(macs, mac)
	}
	slices.Sort(macs)
	c.MACs = slices.Compact(macs)
	isDefault := c.NodeUUID == DefaultID
	switch {
	case isDefault && len(c.MACs) > 0:
		return Config{}, ferric.Errorf(ferric.CodeInvalid, "boot configuration %q: macs: must be empty, it is for machines that nobody knows", DefaultID)
	case !isDefault && len(c.MACs) == 0:
		return Config{}, ferric.Errorf(ferric.CodeInvalid, "boot configuration of node %s: macs: at least one MAC address is needed", c.NodeUUID)
	}
	switch c.Flavor {
	case FlavorPXE, FlavorIPXE:
	default:
		return Config{}, ferric.Errorf(ferric.CodeInvalid, "boot configuration of node %s: flavor %q: must be pxe or ipxe", c.NodeUUID, c.Flavor)
	}
	switch c.Firmware {
	case FirmwareAny, FirmwareBIOS, FirmwareUEFI:
	default:
		return Config{}, ferric.Errorf(ferric.CodeInvalid, "boot configuration of node %s: firmware %q: must be empty, bios or uefi", c.NodeUUID, c.Firmware)
	}
	if err := c.checkMode(); err != nil {
		return Config{}, err
	}
	c.Cmdline = strings.Join(strings.Fields(c.Cmdline), " ")
	return c, nil
}

func (c Config) checkMode() error {
	if c.Mode != ModeVolume && (c.Initiator != "" || len(c.Volumes) > 0) {
		return ferric.Errorf(ferric.CodeInvalid, "boot configuration of node %s: initiator and volumes must be empty in mode %s", c.NodeUUID, c.Mode)
	}
	switch c.Mode {
	case ModeRamdisk:
		for _, f := range []struct{ name, ref string }{{"kernel", c.Kernel}, {"initrd", c.Initrd}} {
			if err := checkRef(f.ref); err != nil {
				return ferric.Errorf(ferric.CodeInvalid, "boot configuration of node %s: %s: %w", c.NodeUUID, f.name, err)
			}
		}
		if err := CheckCmdline(c.Cmdline); err != nil {
			return ferric.Errorf(ferric.CodeInvalid, "boot configuration of node %s: cmdline: %w", c.NodeUUID, err)
		}
	case ModeLocal:
		if c.Kernel != "" || c.Initrd != "" || c.Cmdline != "" {
			return ferric.Errorf(ferric.CodeInvalid, "boot configuration of node %s: kernel, initrd and cmdline must be empty in mode local", c.NodeUUID)
		}
	case ModeVolume:
		return c.checkVolumes()
	default:
		return ferric.Errorf(ferric.CodeInvalid, "boot configuration of node %s: mode %q: must be ramdisk, local or volume", c.NodeUUID, c.Mode)
	}
	return nil
}

// clone returns a copy of c that shares no memory with it.
func (c Config) clone() Config {
	c.MACs, c.Volumes = slices.Clone(c.MACs), cloneVolumes(c.Volumes)
	return c
}

// validID reports whether id may be used as a file name and in a comment of a generated file.
func validID(id string) bool {
	if id == "" || len(id) > 64 {
		return false
	}
	for _, r := range id {
		if (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' {
			return false
		}
	}
	return true
}

// ParseMAC returns an Ethernet MAC address in the form aa:bb:cc:dd:ee:ff. It takes colons, hyphens, dots or no
// separator at all. Addresses that are not 6 bytes long, all zero or multicast are refused with CodeInvalid.
func ParseMAC(s string) (string, error) {
	text := s
	if len(s) == 12 && !strings.ContainsAny(s, ":-.") {
		text = s[0:4] + "." + s[4:8] + "." + s[8:12]
	}
	hw, err := net.ParseMAC(text)
	if err != nil || len(hw) != 6 {
		return "", ferric.Errorf(ferric.CodeInvalid, "%q is not an Ethernet MAC address like aa:bb:cc:dd:ee:ff", s)
	}
	if hw[0]&1 != 0 {
		return "", ferric.Errorf(ferric.CodeInvalid, "MAC address %s is a multicast address; no machine can have it", hw)
	}
	if slices.Max(hw) == 0 {
		return "", ferric.Errorf(ferric.CodeInvalid, "MAC address %s is all zeros; no machine can have it", hw)
	}
	return hw.String(), nil
}
