package disk

import (
	"encoding/binary"

	"ferric"
)

// MBR is a DOS partition table. Only its four primary entries are looked at.
type MBR struct {
	sector int64
	raw    []byte // the first sector
}

// MBRPartition is one primary entry.
type MBRPartition struct {
	Number int // 1 to 4
	Type   byte
	First  uint64 // sector
	Count  uint64 // sectors
}

// ReadMBR reads the table. A disk without one, or with a protective one, is CodeNotFound.
func ReadMBR(d Device) (*MBR, error) {
	m := &MBR{sector: int64(d.SectorSize()), raw: make([]byte, d.SectorSize())}
	if d.Size() < m.sector {
		return nil, ferric.Errorf(ferric.CodeNotFound, "no MBR partition table")
	}
	if _, err := d.ReadAt(m.raw, 0); err != nil {
		return nil, ferric.Errorf(ferric.CodeUnavailable, "read the MBR of %s: %w", d.Name(), err)
	}
	if m.raw[510] != 0x55 || m.raw[511] != 0xaa {
		return nil, ferric.Errorf(ferric.CodeNotFound, "no MBR partition table")
	}
	used := false
	for i := range 4 {
		e := m.entry(i)
		// A boot sector of a file system has the same signature; there, the flag is something else.
		if e[0]&0x7f != 0 || e[4] == 0xee {
			return nil, ferric.Errorf(ferric.CodeNotFound, "no MBR partition table")
		}
		used = used || e[4] != 0 && binary.LittleEndian.Uint32(e[12:]) > 0
	}
	if !used {
		return nil, ferric.Errorf(ferric.CodeNotFound, "no MBR partition table")
	}
	return m, nil
}

func (m *MBR) entry(i int) []byte { return m.raw[446+16*i : 446+16*(i+1)] }

// Identifier is the disk's signature.
func (m *MBR) Identifier() uint32 { return binary.LittleEndian.Uint32(m.raw[440:]) }

// Partitions lists the used primary entries.
func (m *MBR) Partitions() []MBRPartition {
	var out []MBRPartition
	for i := range 4 {
		e := m.entry(i)
		if n := binary.LittleEndian.Uint32(e[12:]); e[4] != 0 && n > 0 {
			out = append(out, MBRPartition{Number: i + 1, Type: e[4], First: uint64(binary.LittleEndian.Uint32(e[8:])), Count: uint64(n)})
		}
	}
	return out
}

// maxMBR is the first sector that an MBR cannot address.
const maxMBR = 1 << 32

// AddAtEnd adds a primary partition of size bytes in the last place where it fits on a MiB. Call Write afterwards.
func (m *MBR) AddAtEnd(d Device, kind byte, size int64) (MBRPartition, error) {
	free := -1
	align := uint64(mib / m.sector)
	end := align
	for i := range 4 {
		e := m.entry(i)
		switch {
		case e[4] == 0 && free < 0:
			free = i
		case e[4] != 0:
			end = max(end, uint64(binary.LittleEndian.Uint32(e[8:]))+uint64(binary.LittleEndian.Uint32(e[12:])))
		}
	}
	if free < 0 {
		return MBRPartition{}, ferric.Errorf(ferric.CodeNoSpace, "the MBR partition table has four primary partitions already")
	}
	need := uint64((size + m.sector - 1) / m.sector)
	sectors := min(uint64(d.Size()/m.sector), maxMBR-1)
	if sectors < need || (sectors-need)/align*align < end {
		return MBRPartition{}, ferric.Errorf(ferric.CodeNoSpace, "no room for %d MiB behind the last partition", size>>20)
	}
	first := (sectors - need) / align * align
	e := m.entry(free)
	clear(e)
	copy(e[1:4], []byte{0xfe, 0xff, 0xff}) // CHS means nothing here
	copy(e[5:8], []byte{0xfe, 0xff, 0xff})
	e[4] = kind
	binary.LittleEndian.PutUint32(e[8:], uint32(first))
	binary.LittleEndian.PutUint32(e[12:], uint32(need))
	return MBRPartition{Number: free + 1, Type: kind, First: first, Count: need}, nil
}

// Write puts the table on the disk.
func (m *MBR) Write(d Device) error {
	_, err := d.WriteAt(m.raw, 0)
	if err == nil {
		err = d.Sync()
	}
	if err != nil {
		return ferric.Errorf(ferric.CodeUnavailable, "write the MBR of %s: %w", d.Name(), err)
	}
	return nil
}
