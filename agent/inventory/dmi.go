package inventory

import (
	"fmt"
	"os"
	"strconv"

	"ferric"
)

// DMI is what the collector dmi-decode sends: BIOS, processors and memory as the SMBIOS table has them, with the field names and the wording of the tool
// dmidecode. What the table does not have, and the long enumerations of processor families and sockets, are left out.
type DMI struct {
	BIOS   map[string]any   `json:"bios"`
	CPU    []map[string]any `json:"cpu"`
	Memory map[string]any   `json:"memory"` // of the first memory array, with "Number Of Devices" of all and "devices", a list
}

// DMI reads the machine's SMBIOS table. CodeUnsupported without one.
func (r *Reader) DMI() (DMI, error) {
	table, err := os.ReadFile(r.path("sys/firmware/dmi/tables/DMI"))
	if err != nil {
		return DMI{}, ferric.Errorf(ferric.CodeUnsupported, "read the SMBIOS table: %w", err)
	}
	return DecodeDMI(table), nil
}

// DecodeDMI reads an SMBIOS table.
func DecodeDMI(table []byte) DMI {
	out := DMI{BIOS: map[string]any{}, CPU: []map[string]any{}, Memory: map[string]any{}}
	devices := []map[string]any{}
	slots, arrays := 0, 0
	for _, s := range structures(table) {
		f := fields{"Handle": fmt.Sprintf("Handle 0x%04X, DMI type %d, %d bytes", s.handle, s.kind, len(s.data))}
		switch s.kind {
		case 0:
			f.bios(&s)
			out.BIOS = f
		case 4:
			f.processor(&s)
			out.CPU = append(out.CPU, f)
		case 16:
			slots += int(s.word(0x0d))
			if arrays++; arrays == 1 {
				f.array(&s)
				delete(f, "Handle")
				out.Memory = f
			}
		case 17:
			f.module(&s)
			devices = append(devices, f)
		}
	}
	if arrays > 0 {
		out.Memory["Number Of Devices"] = slots
	}
	out.Memory["devices"] = devices
	return out
}

// fields are a structure's fields by dmidecode's names.
type fields map[string]any

// named sets a field to the name of a number in an enumeration that begins with 1.
func (f fields) named(name string, value byte, names ...string) {
	if i := int(value) - 1; i >= 0 && i < len(names) {
		f[name] = names[i]
	} else {
		f[name] = "<OUT OF SPEC>"
	}
}

// number sets a field to a number with its unit, "Unknown" for 0.
func (f fields) number(name string, n uint64, unit string) {
	f[name] = "Unknown"
	if n > 0 {
		f[name] = strconv.FormatUint(n, 10) + unit
	}
}

// texts sets fields to strings of the structure, by offset. Those behind its end are left out.
func (f fields) texts(s *structure, at map[int]string) {
	for offset, name := range at {
		if s.has(offset, 1) {
			f[name] = s.text(offset)
		}
	}
}

// list sets a field to the names of the bits that are set.
func (f fields) list(name string, bits uint64, names map[int]string) {
	out := []string{}
	for i := range 64 {
		if text, ok := names[i]; ok && bits>>i&1 == 1 {
			out = append(out, text)
		}
	}
	if len(out) > 0 {
		f[name] = out
	}
}

// bios is type 0 (SMBIOS 7.1).
func (f fields) bios(s *structure) {
	f.texts(s, map[int]string{0x04: "Vendor", 0x05: "Version", 0x08: "Release Date"})
	if segment := uint32(s.word(0x06)); segment != 0 {
		f["Address"] = fmt.Sprintf("0x%04X0", segment)
		f["Runtime Size"] = size(uint64(0x10000-segment) << 4)
	}
	if s.has(0x09, 1) {
		rom := (uint64(s.byte(0x09)) + 1) << 16
		if extended := s.word(0x18); s.byte(0x09) == 0xff && extended != 0 {
			rom = uint64(extended&0x3fff) << (20 + 10*(extended>>14&1))
		}
		f["ROM Size"] = size(rom)
	}
	f.list("Characteristics", s.qword(0x0a), map[int]string{4: "ISA is supported", 7: "PCI is supported", 9: "PNP is supported", 11: "BIOS is upgradeable",
		12: "BIOS shadowing is allowed", 15: "Boot from CD is supported", 16: "Selectable boot is supported", 19: "EDD is supported"})
	if s.has(0x14, 2) && s.byte(0x14) != 0xff {
		f["BIOS Revision"] = fmt.Sprintf("%d.%d", s.byte(0x14), s.byte(0x15))
	}
	if s.has(0x16, 2) && s.byte(0x16) != 0xff {
		f["Firmware Revision"] = fmt.Sprintf("%d.%d", s.byte(0x16), s.byte(0x17))
	}
}

// size is a number of bytes in dmidecode's words: as large a unit as is exact.
func size(bytes uint64) string {
	units := []string{"bytes", "kB", "MB", "GB", "TB"}
	i := 0
	for ; i < len(units)-1 && bytes >= 1024 && bytes%1024 == 0; i++ {
		bytes /= 1024
	}
	return strconv.FormatUint(bytes, 10) + " " + units[i]
}

// processor is type 4 (SMBIOS 7.5).
func (f fields) processor(s *structure) {
	f.texts(s, map[int]string{0x04: "Socket Designation", 0x07: "Manufacturer", 0x10: "Version", 0x20: "Serial Number", 0x21: "Asset Tag", 0x22: "Part Number"})
	f.named("Type", s.byte(0x05), "Other", "Unknown", "Central Processor", "Math Processor", "DSP Processor", "Video Processor")
	if s.has(0x08, 8) {
		f["ID"] = fmt.Sprintf("% X", s.data[0x08:0x10])
	}
	f.number("External Clock", uint64(s.word(0x12)), " MHz")
	f.number("Max Speed", uint64(s.word(0x14)), " MHz")
	f.number("Current Speed", uint64(s.word(0x16)), " MHz")
	if status := s.byte(0x18); status&0x40 == 0 {
		f["Status"] = "Unpopulated"
	} else {
		states := map[byte]string{0: "Unknown", 1: "Enabled", 2: "Disabled By User", 3: "Disabled By BIOS", 4: "Idle", 7: "Other"}
		text, ok := states[status&7]
		if !ok {
			text = "<OUT OF SPEC>"
		}
		f["Status"] = "Populated, " + text
	}
	for i, name := range []string{"L1 Cache Handle", "L2 Cache Handle", "L3 Cache Handle"} {
		if at := 0x1a + 2*i; s.has(at, 2) {
			f[name] = "Not Provided"
			if h := s.word(at); h != 0xffff {
				f[name] = fmt.Sprintf("0x%04X", h)
			}
		}
	}
	for i, name := range []string{"Core Count", "Core Enabled", "Thread Count"} {
		n, wide := uint64(s.byte(0x23+i)), uint64(s.word(0x2a+2*i))
		if n == 0xff && wide != 0 {
			n = wide
		}
		if n > 0 {
			f[name] = strconv.FormatUint(n, 10)
		}
	}
	f.list("Characteristics", uint64(s.word(0x26)), map[int]string{2: "64-bit capable", 3: "Multi-Core", 4: "Hardware Thread", 5: "Execute Protection",
		6: "Enhanced Virtualization", 7: "Power/Performance Control", 8: "128-bit Capable", 9: "Arm64 SoC ID"})
}

// array is type 16 (SMBIOS 7.17).
func (f fields) array(s *structure) {
	f.named("Location", s.byte(0x04), "Other", "Unknown", "System Board Or Motherboard", "ISA Add-on Card", "EISA Add-on Card", "PCI Add-on Card",
		"MCA Add-on Card", "PCMCIA Add-on Card", "Proprietary Add-on Card", "NuBus")
	f.named("Use", s.byte(0x05), "Other", "Unknown", "System Memory", "Video Memory", "Flash Memory", "Non-volatile RAM", "Cache Memory")
	f.named("Error Correction Type", s.byte(0x06), "Other", "Unknown", "None", "Parity", "Single-bit ECC", "Multi-bit ECC", "CRC")
	capacity := uint64(s.dword(0x07)) << 10
	if s.dword(0x07) == 0x80000000 {
		capacity = s.qword(0x0f)
	}
	f["Maximum Capacity"] = "Unknown"
	if capacity > 0 {
		f["Maximum Capacity"] = size(capacity)
	}
	f["Error Information Handle"] = errorHandle(s.word(0x0b))
}

func errorHandle(h uint16) string {
	switch h {
	case 0xfffe:
		return "Not Provided"
	case 0xffff:
		return "No Error"
	}
	return fmt.Sprintf("0x%04X", h)
}

// module is type 17 (SMBIOS 7.18).
func (f fields) module(s *structure) {
	f.texts(s, map[int]string{0x10: "Locator", 0x11: "Bank Locator", 0x17: "Manufacturer", 0x18: "Serial Number", 0x19: "Asset Tag", 0x1a: "Part Number"})
	f["Array Handle"] = fmt.Sprintf("0x%04X", s.word(0x04))
	f["Error Information Handle"] = errorHandle(s.word(0x06))
	for at, name := range map[int]string{0x08: "Total Width", 0x0a: "Data Width"} {
		width := s.word(at)
		if width == 0xffff {
			width = 0
		}
		f.number(name, uint64(width), " bits")
	}
	switch kib := s.moduleKiB(); {
	case s.word(0x0c) == 0:
		f["Size"] = "No Module Installed"
	case kib == 0:
		f["Size"] = "Unknown"
	default:
		f["Size"] = size(uint64(kib) << 10)
	}
	f.named("Form Factor", s.byte(0x0e), "Other", "Unknown", "SIMM", "SIP", "Chip", "DIP", "ZIP", "Proprietary Card", "DIMM", "TSOP", "Row Of Chips",
		"RIMM", "SODIMM", "SRIMM", "FB-DIMM", "Die", "CAMM")
	switch set := s.byte(0x0f); set {
	case 0:
		f["Set"] = "None"
	case 0xff:
		f["Set"] = "Unknown"
	default:
		f["Set"] = strconv.Itoa(int(set))
	}
	f.named("Type", s.byte(0x12), "Other", "Unknown", "DRAM", "EDRAM", "VRAM", "SRAM", "RAM", "ROM", "Flash", "EEPROM", "FEPROM", "EPROM", "CDRAM", "3DRAM",
		"SDRAM", "SGRAM", "RDRAM", "DDR", "DDR2", "DDR2 FB-DIMM", "Reserved", "Reserved", "Reserved", "DDR3", "FBD2", "DDR4", "LPDDR", "LPDDR2", "LPDDR3",
		"LPDDR4", "Logical non-volatile device", "HBM", "HBM2", "DDR5", "LPDDR5", "HBM3")
	f.speed(s, "Speed", 0x15, 0x54)
	if s.has(0x1b, 1) {
		f.number("Rank", uint64(s.byte(0x1b)&0x0f), "")
	}
	f.speed(s, "Configured Memory Speed", 0x20, 0x58)
	for i, name := range []string{"Minimum Voltage", "Maximum Voltage", "Configured Voltage"} {
		if at := 0x22 + 2*i; s.has(at, 2) {
			f[name] = "Unknown"
			if mv := s.word(at); mv > 0 {
				f[name] = strconv.FormatFloat(float64(mv)/1000, 'f', -1, 64) + " V"
			}
		}
	}
}

// speed sets a speed, for which there is a wider field where it does not fit.
func (f fields) speed(s *structure, name string, at, wide int) {
	if !s.has(at, 2) {
		return
	}
	n := uint64(s.word(at))
	if n == 0xffff {
		n = uint64(s.dword(wide) & 0x7fffffff)
	}
	f.number(name, n, " MT/s")
}
