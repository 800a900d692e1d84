package disk

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"io"
	"strings"

	"ferric"
)

const (
	// ConfigDriveLabel is the file system label that cloud-init looks for.
	ConfigDriveLabel = "config-2"
	// MaxConfigDrive is the size of the partition, in bytes.
	MaxConfigDrive = 64 << 20
)

// ConfigDrive is a config drive's file system image.
type ConfigDrive struct {
	text string // base64 of gzip
	Size int64  // bytes, unpacked
}

// ParseConfigDrive checks text that is base64 of a gzipped file system. The text is kept packed. Damage is CodeCorrupt,
// more than MaxConfigDrive is CodeNoSpace.
func ParseConfigDrive(text string) (*ConfigDrive, error) {
	c := &ConfigDrive{text: text}
	n, err := c.unpack(io.Discard)
	if err != nil {
		return nil, err
	}
	if n == 0 {
		return nil, ferric.Errorf(ferric.CodeCorrupt, "the config drive is empty")
	}
	c.Size = n
	return c, nil
}

// unpack writes the file system to w.
func (c *ConfigDrive) unpack(w io.Writer) (int64, error) {
	raw := base64.NewDecoder(base64.StdEncoding, &blankless{strings.NewReader(c.text)})
	zr, err := gzip.NewReader(raw)
	if err != nil {
		return 0, ferric.Errorf(ferric.CodeCorrupt, "the config drive is not base64 of gzip data: %w", err)
	}
	n, err := io.Copy(w, io.LimitReader(zr, MaxConfigDrive+1))
	if err != nil {
		return n, ferric.Errorf(ferric.CodeCorrupt, "unpack the config drive: %w", err)
	}
	if n > MaxConfigDrive {
		return n, ferric.Errorf(ferric.CodeNoSpace, "the config drive is larger than %d MiB", MaxConfigDrive>>20)
	}
	return n, nil
}

// blankless drops blanks, which some tools put into base64 text.
type blankless struct{ r io.Reader }

func (b *blankless) Read(p []byte) (int, error) {
	for {
		n, err := b.r.Read(p)
		kept := 0
		for _, c := range p[:n] {
			if c != ' ' && c != '\t' && c != '\r' {
				p[kept] = c
				kept++
			}
		}
		if kept > 0 || err != nil || len(p) == 0 {
			return kept, err
		}
	}
}

// WriteConfigDrive puts the config drive on the disk: into a partition whose file system is labelled config-2 already,
// else into a new one at the end of the disk. It returns the partition's number. The disk's table must cover the
// disk (FixTable).
func WriteConfigDrive(ctx context.Context, d Device, c *ConfigDrive) (int, error) {
	t, err := ReadTable(d)
	if err != nil {
		return 0, ferric.Errorf(ferric.ErrorCode(err), "config drive: %w", err)
	}
	region, found := labelled(d, t)
	if found && region.Size < c.Size {
		return 0, ferric.Errorf(ferric.CodeNoSpace, "config drive: partition %d is labelled %s and has %d bytes, %d are needed", region.Number, ConfigDriveLabel, region.Size, c.Size)
	}
	if !found {
		if region, err = addRegion(d, t.Kind); err != nil {
			return 0, ferric.Errorf(ferric.ErrorCode(err), "config drive: %w", err)
		}
	}
	if err := zero(ctx, d, region.Offset, region.Size); err != nil {
		return 0, ferric.Errorf(ferric.CodeUnavailable, "config drive: clear partition %d of %s: %w", region.Number, d.Name(), err)
	}
	if _, err := c.unpack(io.NewOffsetWriter(d, region.Offset)); err != nil {
		return 0, ferric.Errorf(ferric.ErrorCode(err), "write the config drive to partition %d of %s: %w", region.Number, d.Name(), err)
	}
	if err := d.Sync(); err != nil {
		return 0, ferric.Errorf(ferric.CodeUnavailable, "write the config drive to partition %d of %s: %w", region.Number, d.Name(), err)
	}
	return region.Number, nil
}

func addRegion(d Device, kind string) (Region, error) {
	if kind == "gpt" {
		g, err := ReadGPT(d)
		if err != nil {
			return Region{}, err
		}
		p, err := g.AddAtEnd(TypeLinux, ConfigDriveLabel, MaxConfigDrive)
		if err != nil {
			return Region{}, err
		}
		return Region{Number: p.Number, Offset: int64(p.First) * g.sector, Size: int64(p.Last-p.First+1) * g.sector}, g.Write(d)
	}
	m, err := ReadMBR(d)
	if err != nil {
		return Region{}, err
	}
	p, err := m.AddAtEnd(d, 0x83, MaxConfigDrive)
	if err != nil {
		return Region{}, err
	}
	return Region{Number: p.Number, Offset: int64(p.First) * m.sector, Size: int64(p.Count) * m.sector}, m.Write(d)
}

// labelled finds the partition whose ISO 9660 or FAT file system has the config drive's label, or whose name is that:
// one that an earlier run made.
func labelled(d Device, t Table) (Region, bool) {
	for _, r := range t.Regions {
		if strings.EqualFold(Label(d, r), ConfigDriveLabel) || r.Name == ConfigDriveLabel {
			return r, true
		}
	}
	return Region{}, false
}

// Label reads the volume label of an ISO 9660 or FAT file system, "" if there is none.
func Label(d Device, r Region) string {
	read := func(off int64, n int) []byte {
		b := make([]byte, n)
		if off+int64(n) > r.Size || r.Offset+off+int64(n) > d.Size() {
			return b
		}
		if _, err := d.ReadAt(b, r.Offset+off); err != nil {
			return make([]byte, n)
		}
		return b
	}
	if pvd := read(32768, 72); string(pvd[:7]) == "\x01CD001\x01" {
		return strings.TrimRight(string(pvd[40:72]), " \x00")
	}
	boot := read(0, 512)
	if boot[510] != 0x55 || boot[511] != 0xaa {
		return ""
	}
	switch {
	case bytes.HasPrefix(boot[0x36:], []byte("FAT")):
		return strings.TrimRight(string(boot[0x2b:0x36]), " \x00")
	case bytes.HasPrefix(boot[0x52:], []byte("FAT32")):
		return strings.TrimRight(string(boot[0x47:0x52]), " \x00")
	}
	return ""
}
