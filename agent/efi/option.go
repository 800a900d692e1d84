// Package efi makes and removes the firmware's boot entries, and finds boot loaders on EFI system partitions.
//
// # Concurrency
//
// Functions work on the firmware's variables, which have no locks: call them from one goroutine.
package efi

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strings"
	"unicode/utf16"

	"ferric"
)

// Source: UEFI Specification 2.10, 3.1.3 (load options) and chapter 10 (device paths).

// Option is a load option: the content of a Boot#### variable.
type Option struct {
	Attributes  uint32
	Description string
	Path        []byte // device path nodes
	Data        []byte
}

const active = 1

// ParseOption reads a load option.
func ParseOption(b []byte) (Option, error) {
	bad := ferric.Errorf(ferric.CodeCorrupt, "damaged boot entry")
	if len(b) < 8 {
		return Option{}, bad
	}
	o := Option{Attributes: binary.LittleEndian.Uint32(b)}
	pathLen := int(binary.LittleEndian.Uint16(b[4:]))
	var text []uint16
	rest := b[6:]
	for {
		if len(rest) < 2 {
			return Option{}, bad
		}
		c := binary.LittleEndian.Uint16(rest)
		rest = rest[2:]
		if c == 0 {
			break
		}
		text = append(text, c)
	}
	if len(rest) < pathLen {
		return Option{}, bad
	}
	o.Description = string(utf16.Decode(text))
	o.Path, o.Data = rest[:pathLen], rest[pathLen:]
	return o, nil
}

// Bytes is the inverse of ParseOption.
func (o Option) Bytes() []byte {
	var b bytes.Buffer
	le := func(v any) { _ = binary.Write(&b, binary.LittleEndian, v) } // a Buffer never fails
	le(o.Attributes)
	le(uint16(len(o.Path)))
	le(append(utf16.Encode([]rune(o.Description)), 0))
	b.Write(o.Path)
	b.Write(o.Data)
	return b.Bytes()
}

// Partition is where a boot loader lies.
type Partition struct {
	Number      uint32
	First, Size uint64 // sectors
	GUID        [16]byte
	MBR         bool // GUID holds the disk's signature in its first four bytes
}

// path is a short-form device path: a hard disk partition, a file, the end.
func path(p Partition, file string) []byte {
	var b bytes.Buffer
	le := func(v any) { _ = binary.Write(&b, binary.LittleEndian, v) } // a Buffer never fails
	kind := [2]byte{2, 2}                                              // GPT, GUID signature
	if p.MBR {
		kind = [2]byte{1, 1}
	}
	le([2]byte{4, 1})
	le(uint16(42))
	le(p.Number)
	le(p.First)
	le(p.Size)
	le(p.GUID)
	le(kind)
	name := append(utf16.Encode([]rune(file)), 0)
	le([2]byte{4, 4})
	le(uint16(4 + 2*len(name)))
	le(name)
	le([4]byte{0x7f, 0xff, 4, 0})
	return b.Bytes()
}

// PathText writes a device path as efibootmgr does, for the nodes that matter: HD(…) and File(…). Other nodes appear by
// their kind.
func PathText(b []byte) string {
	var parts []string
	for len(b) >= 4 {
		kind, sub, n := b[0], b[1], int(binary.LittleEndian.Uint16(b[2:]))
		if n < 4 || n > len(b) || kind == 0x7f {
			break
		}
		parts = append(parts, nodeText(kind, sub, b[4:n]))
		b = b[n:]
	}
	return strings.Join(parts, "/")
}

func nodeText(kind, sub byte, d []byte) string {
	switch {
	case kind == 4 && sub == 1 && len(d) >= 38:
		first, size := binary.LittleEndian.Uint64(d[4:]), binary.LittleEndian.Uint64(d[12:])
		number := binary.LittleEndian.Uint32(d)
		if d[37] == 1 {
			return fmt.Sprintf("HD(%d,MBR,0x%08x,0x%x,0x%x)", number, binary.LittleEndian.Uint32(d[20:]), first, size)
		}
		return fmt.Sprintf("HD(%d,GPT,%s,0x%x,0x%x)", number, guidText(d[20:36]), first, size)
	case kind == 4 && sub == 4:
		var text []uint16
		for i := 0; i+1 < len(d); i += 2 {
			if c := binary.LittleEndian.Uint16(d[i:]); c != 0 {
				text = append(text, c)
			}
		}
		return `File(` + string(utf16.Decode(text)) + `)`
	case kind == 4 && sub == 6:
		return "FvFile()"
	case kind == 4 && sub == 7:
		return "FvVol()"
	case kind == 5:
		return "BBS()"
	case kind == 2:
		return "PciRoot()"
	case kind == 1 && sub == 1:
		return "Pci()"
	case kind == 1:
		return "VenHw()"
	case kind == 3 && sub == 11:
		return "MAC()"
	case kind == 3 && (sub == 5 || sub == 15):
		return "UsbClass()"
	}
	return fmt.Sprintf("Path(%d,%d)", kind, sub)
}

func guidText(g []byte) string {
	b := []byte{g[3], g[2], g[1], g[0], g[5], g[4], g[7], g[6]}
	return hex.EncodeToString(b[:4]) + "-" + hex.EncodeToString(b[4:6]) + "-" + hex.EncodeToString(b[6:8]) + "-" + hex.EncodeToString(g[8:10]) + "-" + hex.EncodeToString(g[10:16])
}
