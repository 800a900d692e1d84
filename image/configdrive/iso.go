package configdrive

import (
	"bytes"
	"encoding/binary"
	"slices"
	"unicode/utf16"
)

// The file system is ISO 9660 (ECMA-119) at interchange level 2 with the Rock Ridge (RRIP 1991A over SUSP) and
// Joliet extensions. The writer knows small trees only: every folder fits into one sector.

const sectorSize = 2048

// node is a file or a folder. A file may be in several folders; its content is written once.
type node struct {
	name     string // as people and Joliet see it
	isoName  string // as plain ISO 9660 has it
	children []*node
	content  []byte

	extent uint32 // sector of the content
}

func (n *node) isDir() bool { return n.children != nil }

// dir is a folder of one of the two trees, with its place in the path table.
type dir struct {
	node   *node
	parent *dir
	number int // in the path table, from 1
	extent uint32
	dirs   map[*node]*dir
}

// tree is one of the two views of the files.
type tree struct {
	joliet     bool
	dirs       []*dir // in the order of the path table
	pathTable  [2]uint32
	pathBytes  int
	extensions uint32 // sector of the Rock Ridge continuation area
}

// The fixed moment of everything on the drive, so that the same input gives the same bytes: 2000-01-01 UTC.
var (
	recordTime = [7]byte{100, 1, 1, 0, 0, 0, 0}
	volumeTime = []byte("2000010100000000\x00")
)

// writeISO lays the sectors out: system area, descriptors, path tables, folders, extensions, files.
func writeISO(root *node) []byte {
	trees := []*tree{{}, {joliet: true}}
	next := uint32(16 + 3)
	for _, t := range trees {
		t.addDirs(root)
		t.pathBytes = len(t.encodePathTable(binary.LittleEndian))
		for i := range t.pathTable {
			t.pathTable[i] = next
			next += sectors(t.pathBytes)
		}
	}
	for _, t := range trees {
		for _, d := range t.dirs {
			d.extent = next
			next++
		}
	}
	trees[0].extensions = next
	next++
	var files []*node
	for _, d := range trees[0].dirs {
		for _, n := range d.node.children {
			if !n.isDir() && !slices.Contains(files, n) {
				files = append(files, n)
				n.extent = next
				next += sectors(len(n.content))
			}
		}
	}

	b := make([]byte, int(next)*sectorSize)
	at := func(sector uint32) []byte { return b[int(sector)*sectorSize:] }
	for i, t := range trees {
		t.writeDescriptor(at(16+uint32(i)), next)
		copy(at(t.pathTable[0]), t.encodePathTable(binary.LittleEndian))
		copy(at(t.pathTable[1]), t.encodePathTable(binary.BigEndian))
		for _, d := range t.dirs {
			copy(at(d.extent)[:sectorSize], t.encodeDir(d))
		}
	}
	copy(at(18), "\xffCD001\x01")
	copy(at(trees[0].extensions), rockRidgeID())
	for _, n := range files {
		copy(at(n.extent), n.content)
	}
	return b
}

func sectors(n int) uint32 { return uint32((n + sectorSize - 1) / sectorSize) }

// addDirs lists the folders level by level, as path tables want them.
func (t *tree) addDirs(root *node) {
	top := &dir{node: root, number: 1}
	top.parent = top
	t.dirs = []*dir{top}
	for i := 0; i < len(t.dirs); i++ {
		d := t.dirs[i]
		d.dirs = map[*node]*dir{}
		for _, child := range t.sorted(d.node) {
			if child.isDir() {
				sub := &dir{node: child, parent: d, number: len(t.dirs) + 1}
				d.dirs[child] = sub
				t.dirs = append(t.dirs, sub)
			}
		}
	}
}

// identifier is the name in the tree's encoding.
func (t *tree) identifier(n *node) []byte {
	switch {
	case n.name == "":
		return []byte{0}
	case !t.joliet:
		return []byte(n.isoName)
	default:
		return ucs2(n.name) // without a version number, as mkisofs writes it
	}
}

func ucs2(s string) []byte {
	var b []byte
	for _, unit := range utf16.Encode([]rune(s)) {
		b = binary.BigEndian.AppendUint16(b, unit)
	}
	return b
}

func (t *tree) sorted(n *node) []*node {
	list := slices.Clone(n.children)
	slices.SortFunc(list, func(a, b *node) int { return bytes.Compare(t.identifier(a), t.identifier(b)) })
	return list
}

// encodePathTable writes the folders in the byte order of one of the two tables (ECMA-119, 9.4).
func (t *tree) encodePathTable(order binary.AppendByteOrder) []byte {
	var b []byte
	for _, d := range t.dirs {
		id := t.identifier(d.node)
		b = append(b, byte(len(id)), 0)
		b = order.AppendUint32(b, d.extent)
		b = order.AppendUint16(b, uint16(d.parent.number))
		b = append(b, id...)
		if len(id)%2 != 0 {
			b = append(b, 0)
		}
	}
	return b
}

// encodeDir writes a folder: itself, its parent, its content.
func (t *tree) encodeDir(d *dir) []byte {
	self, parent := record{id: []byte{0}, extent: d.extent, size: sectorSize, dir: true}, record{id: []byte{1}, extent: d.parent.extent, size: sectorSize, dir: true}
	if !t.joliet {
		if d.number == 1 {
			self.use = sharingProtocol()
		}
		self.use = append(self.use, posix(d.node)...)
		if d.number == 1 {
			self.use = append(self.use, continuation(t.extensions, len(rockRidgeID()))...)
		}
		parent.use = posix(d.parent.node)
	}
	b := append(self.encode(), parent.encode()...)
	for _, child := range t.sorted(d.node) {
		r := record{id: t.identifier(child), extent: child.extent, size: uint32(len(child.content))}
		if sub := d.dirs[child]; sub != nil {
			r.extent, r.size, r.dir = sub.extent, sectorSize, true
		}
		if !t.joliet {
			r.use = append(posix(child), alternateName(child.name)...)
		}
		b = append(b, r.encode()...)
	}
	return b
}

// record is a directory record (ECMA-119, 9.1) with its system use field.
type record struct {
	id     []byte
	extent uint32
	size   uint32
	dir    bool
	use    []byte
}

func (r record) encode() []byte {
	flags := byte(0)
	if r.dir {
		flags = 2
	}
	b := make([]byte, 2, 255)
	b = both32(b, r.extent)
	b = both32(b, r.size)
	b = append(b, recordTime[:]...)
	b = append(b, flags, 0, 0)
	b = both16(b, 1)
	b = append(b, byte(len(r.id)))
	b = append(b, r.id...)
	if len(b)%2 != 0 {
		b = append(b, 0)
	}
	b = append(b, r.use...)
	if len(b)%2 != 0 {
		b = append(b, 0)
	}
	b[0] = byte(len(b))
	return b
}

// both32 and both16 append a number in both byte orders.
func both32(b []byte, n uint32) []byte {
	return binary.BigEndian.AppendUint32(binary.LittleEndian.AppendUint32(b, n), n)
}

func both16(b []byte, n uint16) []byte {
	return binary.BigEndian.AppendUint16(binary.LittleEndian.AppendUint16(b, n), n)
}

// entry is a system use entry (SUSP 1.10, 4.1).
func entry(name string, data ...byte) []byte {
	return append([]byte{name[0], name[1], byte(4 + len(data)), 1}, data...)
}

func sharingProtocol() []byte { return entry("SP", 0xbe, 0xef, 0) }

func continuation(sector uint32, length int) []byte {
	return entry("CE", both32(both32(both32(nil, sector), 0), uint32(length))...)
}

// posix gives modes, as mkisofs -r would, and times (RRIP, 4.1.1 and 4.1.6).
func posix(n *node) []byte {
	mode, links := uint32(0o100444), uint32(1)
	if n.isDir() {
		mode, links = 0o040555, 2
		for _, child := range n.children {
			if child.isDir() {
				links++
			}
		}
	}
	b := entry("RR", 0x89) // the older sign that PX, NM and TF are there
	b = append(b, entry("PX", both32(both32(both32(both32(nil, mode), links), 0), 0)...)...)
	times := []byte{0x0e} // modified, read, changed
	for range 3 {
		times = append(times, recordTime[:]...)
	}
	return append(b, entry("TF", times...)...)
}

func alternateName(name string) []byte { return entry("NM", append([]byte{0}, name...)...) }

// rockRidgeID is the extension reference that RRIP 1991A prescribes.
func rockRidgeID() []byte {
	const (
		id          = "RRIP_1991A"
		description = "THE ROCK RIDGE INTERCHANGE PROTOCOL PROVIDES SUPPORT FOR POSIX FILE SYSTEM SEMANTICS"
		source      = "PLEASE CONTACT DISC PUBLISHER FOR SPECIFICATION SOURCE.  SEE PUBLISHER IDENTIFIER IN PRIMARY VOLUME DESCRIPTOR FOR CONTACT INFORMATION."
	)
	return entry("ER", append([]byte{byte(len(id)), byte(len(description)), byte(len(source)), 1}, id+description+source...)...)
}

// writeDescriptor writes the primary (ECMA-119, 8.4) or the Joliet supplementary volume descriptor (8.5).
func (t *tree) writeDescriptor(b []byte, total uint32) {
	text := func(from, to int, s string) {
		if t.joliet {
			for i := from; i+1 < to; i += 2 {
				b[i+1] = ' '
			}
			copy(b[from:to], ucs2(s))
			return
		}
		copy(b[from:to], bytes.Repeat([]byte{' '}, to-from))
		copy(b[from:to], s)
	}
	b[0] = 1
	if t.joliet {
		b[0] = 2
		copy(b[88:], "%/E") // UCS-2 level 3
	}
	copy(b[1:], "CD001\x01")
	text(8, 40, "LINUX")
	text(40, 72, Label)
	copy(b[80:], both32(nil, total))
	copy(b[120:], both16(nil, 1))
	copy(b[124:], both16(nil, 1))
	copy(b[128:], both16(nil, sectorSize))
	copy(b[132:], both32(nil, uint32(t.pathBytes)))
	binary.LittleEndian.PutUint32(b[140:], t.pathTable[0])
	binary.BigEndian.PutUint32(b[148:], t.pathTable[1])
	copy(b[156:], record{id: []byte{0}, extent: t.dirs[0].extent, size: sectorSize, dir: true}.encode())
	for _, field := range []struct {
		from, to int
		value    string
	}{{190, 318, ""}, {318, 446, "FERRIC"}, {446, 574, ""}, {574, 702, "FERRIC"}, {702, 739, ""}, {739, 776, ""}, {776, 813, ""}} {
		text(field.from, field.to, field.value)
	}
	copy(b[813:], volumeTime)
	copy(b[830:], volumeTime)
	copy(b[847:], "0000000000000000\x00")
	copy(b[864:], "0000000000000000\x00")
	b[881] = 1
}
