package inventory

import (
	"bytes"
	"encoding/binary"
	"strings"
)

// structure is one structure of an SMBIOS table. Source: SMBIOS Reference Specification 3.6, 6.1.
type structure struct {
	kind    byte
	handle  uint16
	data    []byte // from its header on
	strings []string
}

// maxStructures bounds what is read of a table; real ones have a few hundred.
const maxStructures = 1 << 14

// structures takes an SMBIOS table (/sys/firmware/dmi/tables/DMI) apart. A damaged table gives what was read until then.
func structures(table []byte) []structure {
	var out []structure
	for len(table) >= 4 && len(out) < maxStructures {
		kind, length := table[0], int(table[1])
		if length < 4 || length > len(table) {
			break
		}
		s := structure{kind: kind, handle: binary.LittleEndian.Uint16(table[2:]), data: table[:length:length]}
		table = s.readStrings(table[length:])
		out = append(out, s)
		if kind == 127 { // end of table
			break
		}
	}
	return out
}

// readStrings takes a structure's strings, each of which ends with a zero byte, and all of which end with another one. It returns what lies behind.
func (s *structure) readStrings(b []byte) []byte {
	if len(b) >= 2 && b[0] == 0 && b[1] == 0 { // none
		return b[2:]
	}
	for len(b) > 0 {
		end := bytes.IndexByte(b, 0)
		if end < 0 {
			return nil
		}
		if end == 0 {
			return b[1:]
		}
		s.strings = append(s.strings, printable(b[:end]))
		b = b[end+1:]
	}
	return nil
}

// printable drops what terminals and JSON would choke on.
func printable(b []byte) string {
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if r < 0x20 || r > 0x7e {
			return '.'
		}
		return r
	}, string(b)))
}

// has reports whether the structure is long enough for n bytes at an offset.
func (s *structure) has(at, n int) bool { return at+n <= len(s.data) }

// The numbers at an offset, 0 where the structure is too short.

func (s *structure) byte(at int) byte {
	if !s.has(at, 1) {
		return 0
	}
	return s.data[at]
}

func (s *structure) word(at int) uint16 {
	if !s.has(at, 2) {
		return 0
	}
	return binary.LittleEndian.Uint16(s.data[at:])
}

func (s *structure) dword(at int) uint32 {
	if !s.has(at, 4) {
		return 0
	}
	return binary.LittleEndian.Uint32(s.data[at:])
}

func (s *structure) qword(at int) uint64 {
	if !s.has(at, 8) {
		return 0
	}
	return binary.LittleEndian.Uint64(s.data[at:])
}

// text is the string that the byte at an offset names, "Not Specified" for none.
func (s *structure) text(at int) string {
	n := int(s.byte(at))
	if n == 0 || n > len(s.strings) {
		return "Not Specified"
	}
	return s.strings[n-1]
}

// InstalledMemory adds up the memory modules in an SMBIOS table, in MiB (7.18, type 17).
func InstalledMemory(table []byte) int {
	total := 0
	for _, s := range structures(table) {
		if s.kind == 17 {
			total += s.moduleKiB() >> 10
		}
	}
	return total
}

// moduleKiB is a memory module's size, 0 for an empty slot or an unknown size.
func (s *structure) moduleKiB() int {
	switch size := s.word(0x0c); {
	case size == 0 || size == 0xffff:
		return 0
	case size == 0x7fff: // 32 GiB and more
		return int(s.dword(0x1c)&0x7fffffff) << 10
	case size&0x8000 != 0:
		return int(size & 0x7fff)
	default:
		return int(size) << 10
	}
}
