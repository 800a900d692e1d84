package disk

import (
	"fmt"

	"ferric"
)

// Region is a part of a disk.
type Region struct {
	Number       int
	Offset, Size int64  // bytes
	Type         string // GPT: the type's GUID; MBR: "0x83"
	ID           string // GPT: the partition's GUID
	Name         string // GPT: the partition's name
}

// Table is a partition table of either kind.
type Table struct {
	Kind    string // "gpt" or "mbr"
	Regions []Region
	DiskID  string // GPT: GUID; MBR: "0x1234abcd"
}

// ReadTable reads the partition table. CodeNotFound: there is none. CodeCorrupt: it is damaged, or made for another
// sector size.
func ReadTable(d Device) (Table, error) {
	g, err := ReadGPT(d)
	if err == nil {
		t := Table{Kind: "gpt", DiskID: g.DiskID.String()}
		for _, p := range g.Partitions() {
			t.Regions = append(t.Regions, Region{Number: p.Number, Offset: int64(p.First) * g.sector, Size: int64(p.Last-p.First+1) * g.sector,
				Type: p.Type.String(), ID: p.ID.String(), Name: p.Name})
		}
		return t, nil
	}
	if !ferric.IsCode(err, ferric.CodeNotFound) {
		return Table{}, err
	}
	for _, other := range []int64{512, 4096} {
		if int64(d.SectorSize()) == other {
			continue
		}
		if _, err := readGPT(d, other, 1); err == nil {
			return Table{}, ferric.Errorf(ferric.CodeCorrupt, "the partition table on %s is made for sectors of %d bytes, the disk has %d", d.Name(), other, d.SectorSize())
		}
	}
	m, err := ReadMBR(d)
	if err != nil {
		return Table{}, err
	}
	t := Table{Kind: "mbr", DiskID: fmt.Sprintf("0x%08x", m.Identifier())}
	for _, p := range m.Partitions() {
		t.Regions = append(t.Regions, Region{Number: p.Number, Offset: int64(p.First) * m.sector, Size: int64(p.Count) * m.sector, Type: fmt.Sprintf("0x%02x", p.Type)})
	}
	return t, nil
}

// FixTable makes a GPT that was written with an image cover the whole disk. A disk with an MBR is left alone.
func FixTable(d Device) error {
	g, err := ReadGPT(d)
	if ferric.IsCode(err, ferric.CodeNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := g.Grow(d); err != nil {
		return err
	}
	return g.Write(d)
}
