package inventory

import "encoding/binary"

// InstalledMemory adds up the memory modules in an SMBIOS table (/sys/firmware/dmi/tables/DMI), in MiB. Source:
// SMBIOS Reference Specification 3.6, 6.1.2 (structure header) and 7.18 (type 17). Damaged tables give what was read
// until then.
func InstalledMemory(table []byte) int {
	total := 0
	for len(table) >= 4 {
		kind, length := table[0], int(table[1])
		if length < 4 || length > len(table) || kind == 127 {
			break
		}
		if kind == 17 {
			total += moduleSize(table[:length])
		}
		table = afterStrings(table[length:])
	}
	return total
}

func moduleSize(s []byte) int {
	if len(s) < 0x0e {
		return 0
	}
	size := binary.LittleEndian.Uint16(s[0x0c:])
	switch {
	case size == 0 || size == 0xffff: // empty or unknown
		return 0
	case size == 0x7fff: // 32 GiB and more
		if len(s) < 0x20 {
			return 0
		}
		return int(binary.LittleEndian.Uint32(s[0x1c:]) & 0x7fffffff)
	case size&0x8000 != 0: // KiB
		return int(size&0x7fff) >> 10
	}
	return int(size)
}

// afterStrings skips a structure's strings, which end with two zero bytes.
func afterStrings(b []byte) []byte {
	for i := 0; i+1 < len(b); i++ {
		if b[i] == 0 && b[i+1] == 0 {
			return b[i+2:]
		}
	}
	return nil
}
