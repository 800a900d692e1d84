package disk

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"hash/crc32"
	"strings"
	"unicode/utf16"

	"ferric"
)

// Source: UEFI Specification 2.10, chapter 5.

// GUID is a GUID in the byte order of the disk.
type GUID [16]byte

// Partition types.
const (
	TypeLinux = "0fc63daf-8483-4772-8e79-3d69d8477de4"
	TypeESP   = "c12a7328-f81f-11d2-ba4b-00a0c93ec93b"
	TypeVMFS  = "aa31e02a-400f-11db-9590-000c2911d1b8"
	TypeGPFS  = "37affc90-ef7d-4e96-91c3-2d7ae055b174"
)

// String writes the GUID as people do; the first three groups are little-endian on disk.
func (g GUID) String() string {
	b := []byte{g[3], g[2], g[1], g[0], g[5], g[4], g[7], g[6]}
	return hex.EncodeToString(b[:4]) + "-" + hex.EncodeToString(b[4:6]) + "-" + hex.EncodeToString(b[6:8]) + "-" + hex.EncodeToString(g[8:10]) + "-" + hex.EncodeToString(g[10:])
}

// parseGUID is the inverse of String for constants.
func parseGUID(s string) GUID {
	raw, err := hex.DecodeString(strings.ReplaceAll(s, "-", ""))
	if err != nil || len(raw) != 16 {
		return GUID{}
	}
	var g GUID
	copy(g[:], raw)
	g[0], g[1], g[2], g[3], g[4], g[5], g[6], g[7] = raw[3], raw[2], raw[1], raw[0], raw[5], raw[4], raw[7], raw[6]
	return g
}

func newGUID() GUID {
	var g GUID
	rand.Read(g[:]) // never fails (crypto/rand, Go 1.24)
	g[7] = g[7]&0x0f | 0x40
	g[8] = g[8]&0x3f | 0x80
	return g
}

// GPTPartition is one entry of a GPT.
type GPTPartition struct {
	Number      int // from 1
	Type, ID    GUID
	First, Last uint64 // sectors, both inclusive
	Name        string
}

// GPT is a GUID partition table.
type GPT struct {
	sector      int64
	header      [92]byte // of the primary header, as on disk
	entries     []byte
	DiskID      GUID
	FirstUsable uint64
	LastUsable  uint64
	backup      uint64
	count, size int
}

const (
	gptSignature  = "EFI PART"
	maxEntryBytes = 1 << 20
	mib           = 1 << 20
)

// errNoGPT says that there is no GPT at all, in contrast to a damaged one.
var errNoGPT = ferric.Errorf(ferric.CodeNotFound, "no GUID partition table")

// ReadGPT reads the primary table. A disk without one is CodeNotFound, a damaged table CodeCorrupt.
func ReadGPT(d Device) (*GPT, error) { return readGPT(d, int64(d.SectorSize()), 1) }

func readGPT(d Device, sector int64, lba uint64) (*GPT, error) {
	if (int64(lba)+1)*sector > d.Size() {
		return nil, errNoGPT
	}
	raw := make([]byte, sector)
	if _, err := d.ReadAt(raw, int64(lba)*sector); err != nil {
		return nil, ferric.Errorf(ferric.CodeUnavailable, "read the partition table of %s: %w", d.Name(), err)
	}
	if string(raw[:8]) != gptSignature {
		return nil, errNoGPT
	}
	g := &GPT{sector: sector}
	copy(g.header[:], raw)
	le := binary.LittleEndian
	size := le.Uint32(raw[12:])
	if size < 92 || int64(size) > sector {
		return nil, g.damaged(d, "the header has %d bytes", size)
	}
	sum := le.Uint32(raw[16:])
	le.PutUint32(raw[16:], 0)
	if crc32.ChecksumIEEE(raw[:size]) != sum {
		return nil, g.damaged(d, "the header's checksum is wrong")
	}
	if got := le.Uint64(raw[24:]); got != lba {
		return nil, g.damaged(d, "the header at sector %d says it is at %d", lba, got)
	}
	g.backup, g.FirstUsable, g.LastUsable = le.Uint64(raw[32:]), le.Uint64(raw[40:]), le.Uint64(raw[48:])
	copy(g.DiskID[:], raw[56:72])
	entriesAt := le.Uint64(raw[72:])
	g.count, g.size = int(le.Uint32(raw[80:])), int(le.Uint32(raw[84:]))
	sectors := uint64(d.Size() / sector)
	if g.size < 128 || g.size > 4096 || g.size%8 != 0 || g.count < 1 || g.count > maxEntryBytes/g.size || entriesAt < 2 || entriesAt >= sectors || g.FirstUsable > g.LastUsable {
		return nil, g.damaged(d, "the header's values make no sense")
	}
	g.entries = make([]byte, g.count*g.size)
	if int64(entriesAt)*sector+int64(len(g.entries)) > d.Size() {
		return nil, g.damaged(d, "the entries lie outside the disk")
	}
	if _, err := d.ReadAt(g.entries, int64(entriesAt)*sector); err != nil {
		return nil, ferric.Errorf(ferric.CodeUnavailable, "read the partition table of %s: %w", d.Name(), err)
	}
	if crc32.ChecksumIEEE(g.entries) != le.Uint32(raw[88:]) {
		return nil, g.damaged(d, "the checksum of the entries is wrong")
	}
	for _, p := range g.Partitions() {
		if p.First > p.Last || p.First < g.FirstUsable || p.Last > g.LastUsable {
			return nil, g.damaged(d, "partition %d lies outside the usable sectors", p.Number)
		}
	}
	return g, nil
}

func (g *GPT) damaged(d Device, format string, args ...any) error {
	return ferric.Errorf(ferric.CodeCorrupt, "the GUID partition table of "+d.Name()+" is damaged: "+format, args...)
}

// Partitions lists the used entries.
func (g *GPT) Partitions() []GPTPartition {
	var out []GPTPartition
	for i := range g.count {
		e := g.entries[i*g.size : (i+1)*g.size]
		if bytes.Equal(e[:16], make([]byte, 16)) {
			continue
		}
		p := GPTPartition{Number: i + 1, First: binary.LittleEndian.Uint64(e[32:]), Last: binary.LittleEndian.Uint64(e[40:])}
		copy(p.Type[:], e[:16])
		copy(p.ID[:], e[16:32])
		var name []uint16
		for j := 56; j+1 < 128; j += 2 {
			c := binary.LittleEndian.Uint16(e[j:])
			if c == 0 {
				break
			}
			name = append(name, c)
		}
		p.Name = string(utf16.Decode(name))
		out = append(out, p)
	}
	return out
}

// entrySectors is the room that the entries take.
func (g *GPT) entrySectors() uint64 {
	return uint64((int64(len(g.entries)) + g.sector - 1) / g.sector)
}

// Grow makes the table cover the whole disk: the backup moves to its end. Call Write afterwards.
func (g *GPT) Grow(d Device) error {
	last := uint64(d.Size()/g.sector) - 1
	if last < g.entrySectors()*2+3 {
		return ferric.Errorf(ferric.CodeNoSpace, "%s is too small for a GUID partition table", d.Name())
	}
	usable := last - g.entrySectors() - 1
	for _, p := range g.Partitions() {
		if p.Last > usable {
			return ferric.Errorf(ferric.CodeNoSpace, "partition %d ends at sector %d, behind the last usable one (%d) of %s: the image is too large", p.Number, p.Last, usable, d.Name())
		}
	}
	g.backup, g.LastUsable = last, usable
	return nil
}

// AddAtEnd adds a partition of size bytes in the last place where it fits on a MiB, and returns it. Call Write
// afterwards.
func (g *GPT) AddAtEnd(kind, name string, size int64) (GPTPartition, error) {
	align := uint64(mib / g.sector)
	need := uint64((size + g.sector - 1) / g.sector)
	end := g.FirstUsable
	free := -1
	for i := range g.count {
		if free < 0 && bytes.Equal(g.entries[i*g.size:i*g.size+16], make([]byte, 16)) {
			free = i
		}
	}
	for _, p := range g.Partitions() {
		end = max(end, p.Last+1)
	}
	if free < 0 {
		return GPTPartition{}, ferric.Errorf(ferric.CodeNoSpace, "all %d entries of the partition table are used", g.count)
	}
	if g.LastUsable+1 < need || (g.LastUsable+1-need)/align*align < end {
		room := int64(0)
		if g.LastUsable+1 > end {
			room = int64(g.LastUsable+1-end) * g.sector
		}
		return GPTPartition{}, ferric.Errorf(ferric.CodeNoSpace, "no room for %d MiB behind the last partition: %d MiB are free", size>>20, room>>20)
	}
	first := (g.LastUsable + 1 - need) / align * align
	p := GPTPartition{Number: free + 1, Type: parseGUID(kind), ID: newGUID(), First: first, Last: first + need - 1, Name: name}
	e := g.entries[free*g.size : (free+1)*g.size]
	clear(e)
	copy(e[:16], p.Type[:])
	copy(e[16:32], p.ID[:])
	binary.LittleEndian.PutUint64(e[32:], p.First)
	binary.LittleEndian.PutUint64(e[40:], p.Last)
	for i, c := range utf16.Encode([]rune(name)) {
		if i < 36 {
			binary.LittleEndian.PutUint16(e[56+2*i:], c)
		}
	}
	return p, nil
}

// Write puts the backup, then the primary table, and the size in the protective MBR on the disk.
func (g *GPT) Write(d Device) error {
	backupEntries := g.backup - g.entrySectors()
	steps := []struct {
		data []byte
		lba  uint64
	}{
		{g.entries, backupEntries},
		{g.headerFor(g.backup, 1, backupEntries), g.backup},
		{g.entries, binary.LittleEndian.Uint64(g.header[72:])},
		{g.headerFor(1, g.backup, binary.LittleEndian.Uint64(g.header[72:])), 1},
	}
	for i, s := range steps {
		if i == 2 { // one good copy is on the medium before the other is touched
			if err := d.Sync(); err != nil {
				return ferric.Errorf(ferric.CodeUnavailable, "write the partition table of %s: %w", d.Name(), err)
			}
		}
		if _, err := d.WriteAt(s.data, int64(s.lba)*g.sector); err != nil {
			return ferric.Errorf(ferric.CodeUnavailable, "write the partition table of %s: %w", d.Name(), err)
		}
	}
	if err := g.protect(d); err != nil {
		return err
	}
	if err := d.Sync(); err != nil {
		return ferric.Errorf(ferric.CodeUnavailable, "write the partition table of %s: %w", d.Name(), err)
	}
	return nil
}

// headerFor is a whole sector with the header.
func (g *GPT) headerFor(my, other, entries uint64) []byte {
	le := binary.LittleEndian
	b := make([]byte, g.sector)
	copy(b, g.header[:])
	le.PutUint32(b[12:], 92)
	le.PutUint32(b[16:], 0)
	le.PutUint64(b[24:], my)
	le.PutUint64(b[32:], other)
	le.PutUint64(b[40:], g.FirstUsable)
	le.PutUint64(b[48:], g.LastUsable)
	le.PutUint64(b[72:], entries)
	le.PutUint32(b[88:], crc32.ChecksumIEEE(g.entries))
	le.PutUint32(b[16:], crc32.ChecksumIEEE(b[:92]))
	return b
}

// protect makes the protective entry of the MBR span the disk. Entries of a hybrid MBR stay as they are.
func (g *GPT) protect(d Device) error {
	b := make([]byte, g.sector)
	if _, err := d.ReadAt(b, 0); err != nil {
		return ferric.Errorf(ferric.CodeUnavailable, "read the MBR of %s: %w", d.Name(), err)
	}
	if b[510] != 0x55 || b[511] != 0xaa {
		return nil // the image has none; firmware that needs one would not have booted it before either
	}
	for i := range 4 {
		e := b[446+16*i : 446+16*(i+1)]
		if e[4] == 0xee && binary.LittleEndian.Uint32(e[8:]) == 1 {
			binary.LittleEndian.PutUint32(e[12:], uint32(min(g.backup, 0xffffffff)))
			if _, err := d.WriteAt(b, 0); err != nil {
				return ferric.Errorf(ferric.CodeUnavailable, "write the MBR of %s: %w", d.Name(), err)
			}
			return nil
		}
	}
	return nil
}
