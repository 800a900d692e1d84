package image

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"slices"
	"strings"

	"ferric"
	"ferric/image/qcow2"
)

// Format names what an image is, in the words of Ironic's disk_format where it has one.
type Format string

// The formats that are told apart. Only the first four can be written to a disk.
const (
	FormatRaw   Format = "raw"
	FormatGPT   Format = "gpt" // raw, with a GUID partition table
	FormatQcow2 Format = "qcow2"
	FormatISO   Format = "iso" // ISO 9660 or UDF; written as it is

	FormatQcow      Format = "qcow"
	FormatQED       Format = "qed"
	FormatVMDK      Format = "vmdk"
	FormatVDI       Format = "vdi"
	FormatVHD       Format = "vhd"
	FormatVHDX      Format = "vhdx"
	FormatLUKS      Format = "luks"
	FormatParallels Format = "parallels"
	FormatDMG       Format = "dmg"
	FormatGzip      Format = "gzip"
	FormatXz        Format = "xz"
	FormatZstd      Format = "zstd"
	FormatBzip2     Format = "bzip2"
	FormatTar       Format = "tar"
)

// PermittedFormats are the formats that are accepted if nothing else is said (Ironic's permitted_image_formats).
func PermittedFormats() []Format { return []Format{FormatRaw, FormatGPT, FormatQcow2, FormatISO} }

// Info is what the content of an image says about it.
type Info struct {
	Format         Format
	PartitionTable string // "gpt", "mbr" or ""; of raw, gpt and iso images
	FileSize       int64  // bytes, -1 if it is not known
	VirtualSize    int64  // bytes that the image takes on a disk, -1 if it is not known

	prefix []byte // the bytes that were looked at
}

// InspectOptions says what is expected of an image.
type InspectOptions struct {
	Permitted []Format // nil means PermittedFormats(); raw permits gpt too
	Declared  string   // the operator's disk_format; "" and "unknown" are no statement
}

// prefixBytes covers the volume descriptors of an ISO, which begin at byte 32768.
const prefixBytes = 68 << 10

// Inspect detects the format from the content and refuses an image that is unsafe, not permitted, or not what
// it was declared to be, with CodeCorrupt and the reason. It reads the first 68 KiB and the last sector.
func Inspect(ctx context.Context, source Source, options InspectOptions) (Info, error) {
	what := "image " + source.Info().URL
	info := Info{FileSize: source.Info().Size, VirtualSize: source.Info().Size}
	reader := source.ReaderAt(ctx)
	info.prefix = make([]byte, prefixBytes)
	n, err := reader.ReadAt(info.prefix, 0)
	if err != nil && err != io.EOF {
		return Info{}, err
	}
	info.prefix = info.prefix[:n]
	if n == 0 {
		return Info{}, ferric.Errorf(ferric.CodeCorrupt, "%s is empty", what)
	}
	found := detect(info.prefix)
	if isDisk := len(found) == 0 || slices.Equal(found, []Format{FormatGPT}); isDisk && source.Info().Ranges && info.FileSize >= 1024 {
		var tail [512]byte
		if _, err := reader.ReadAt(tail[:], info.FileSize-512); err != nil && err != io.EOF {
			return Info{}, err
		}
		if format := detectTail(tail[:]); format != "" {
			found = []Format{format}
		}
	}
	if info.Format, info.PartitionTable, err = choose(found, info.prefix); err != nil {
		return Info{}, ferric.Errorf(ferric.CodeCorrupt, "%s: %w", what, err)
	}
	if info.Format == FormatQcow2 {
		header, err := qcow2.ParseHeader(info.prefix[:min(len(info.prefix), qcow2.HeaderBytes)])
		if err != nil {
			return Info{}, ferric.Errorf(ferric.CodeCorrupt, "%s: %w", what, err)
		}
		info.VirtualSize = header.Size
		if header.Size == 0 {
			return Info{}, ferric.Errorf(ferric.CodeCorrupt, "%s has a virtual size of 0", what)
		}
	}
	if err := options.check(info); err != nil {
		return Info{}, ferric.Errorf(ferric.CodeCorrupt, "%s: %w", what, err)
	}
	return info, nil
}

// check compares the format with what is permitted and declared.
func (o InspectOptions) check(info Info) error {
	permitted := o.Permitted
	if permitted == nil {
		permitted = PermittedFormats()
	}
	declared := strings.ToLower(o.Declared)
	switch declared {
	case "aki", "ari", "ami":
		// Kernels and ramdisks are files to be served, never written to a disk; compressed is usual.
		switch info.Format {
		case FormatRaw, FormatGPT, FormatISO, FormatGzip, FormatXz, FormatZstd, FormatBzip2:
			return nil
		}
	}
	if !slices.Contains(permitted, info.Format) && (info.Format != FormatGPT || !slices.Contains(permitted, FormatRaw)) {
		hint := ""
		switch info.Format {
		case FormatGzip, FormatXz, FormatZstd, FormatBzip2:
			hint = "; decompress it first"
		}
		return ferric.Errorf(ferric.CodeCorrupt, "its content is of the format %s, which is not permitted (permitted: %s)%s", info.Format, join(permitted), hint)
	}
	switch {
	case declared == "" || declared == "unknown" || declared == string(info.Format):
	case declared == "raw" && info.Format == FormatGPT:
	case declared == "gpt" && info.Format == FormatRaw && info.PartitionTable == "mbr":
	default:
		return ferric.Errorf(ferric.CodeCorrupt, "it was declared to be of the format %.40q, but its content is %s", o.Declared, info.Format)
	}
	return nil
}

func join(formats []Format) string {
	names := make([]string, len(formats))
	for i, f := range formats {
		names[i] = string(f)
	}
	return strings.Join(names, ", ")
}

// signatures at fixed offsets.
var signatures = []struct {
	format Format
	offset int
	magic  string
}{
	{FormatQED, 0, "QED\x00"},
	{FormatVMDK, 0, "KDMV"},
	{FormatVMDK, 0, "COWD"},
	{FormatVMDK, 0, "# Disk DescriptorFile"},
	{FormatVDI, 64, "\x7f\x10\xda\xbe"},
	{FormatVHD, 0, "conectix"},
	{FormatVHDX, 0, "vhdxfile"},
	{FormatLUKS, 0, "LUKS\xba\xbe"},
	{FormatParallels, 0, "WithoutFreeSpace"},
	{FormatParallels, 0, "WithouFreSpacExt"},
	{FormatGzip, 0, "\x1f\x8b\x08"},
	{FormatXz, 0, "\xfd7zXZ\x00"},
	{FormatZstd, 0, "\x28\xb5\x2f\xfd"},
	{FormatBzip2, 0, "BZh"},
	{FormatTar, 257, "ustar"},
	{FormatISO, 32769, "CD001"},
	{FormatISO, 32769, "BEA01"},
}

// detect returns every format other than raw that the beginning of a file matches.
func detect(b []byte) []Format {
	var found []Format
	add := func(f Format) {
		if !slices.Contains(found, f) {
			found = append(found, f)
		}
	}
	if qcow2.IsQcow2(b) {
		if len(b) >= 8 && binary.BigEndian.Uint32(b[4:]) == 1 {
			add(FormatQcow)
		} else {
			add(FormatQcow2)
		}
	}
	for _, s := range signatures {
		if len(b) >= s.offset+len(s.magic) && string(b[s.offset:s.offset+len(s.magic)]) == s.magic {
			add(s.format)
		}
	}
	if partitionTable(b) == "gpt" {
		add(FormatGPT)
	}
	return found
}

// detectTail recognises formats that look like a plain disk but for a mark in the last sector.
func detectTail(sector []byte) Format {
	switch {
	case bytes.HasPrefix(sector, []byte("conectix")):
		return FormatVHD
	case bytes.HasPrefix(sector, []byte("koly")):
		return FormatDMG
	}
	return ""
}

// choose makes one format of what was found. An ISO may have a partition table, since such are made for USB
// sticks; every other combination is an attempt to be two things at once.
func choose(found []Format, prefix []byte) (Format, string, error) {
	table := partitionTable(prefix)
	switch {
	case len(found) == 0:
		return FormatRaw, table, nil
	case len(found) == 1 && found[0] == FormatGPT, len(found) == 1 && found[0] == FormatISO:
		return found[0], table, nil
	case len(found) == 1:
		return found[0], "", nil
	case len(found) == 2 && slices.Contains(found, FormatISO) && slices.Contains(found, FormatGPT):
		return FormatISO, table, nil
	default:
		return "", "", ferric.Errorf(ferric.CodeCorrupt, "its content matches several formats at once (%s)", join(found))
	}
}

// partitionTable recognises a master boot record with a partition, and a GPT (UEFI specification, chapter 5)
// with 512-byte or 4096-byte sectors.
func partitionTable(b []byte) string {
	if len(b) < 512 || b[510] != 0x55 || b[511] != 0xaa {
		return ""
	}
	mbr, protective := false, false
	for i := range 4 {
		entry := b[446+16*i:][:16]
		start, count := binary.LittleEndian.Uint32(entry[8:]), binary.LittleEndian.Uint32(entry[12:])
		if entry[0]&0x7f != 0 { // boot code of a file system, not a table
			return ""
		}
		if entry[4] != 0 && start != 0 && count != 0 {
			mbr = true
			protective = protective || entry[4] == 0xee
		}
	}
	for _, sector := range []int{512, 4096} {
		if protective && len(b) >= sector+8 && string(b[sector:sector+8]) == "EFI PART" {
			return "gpt"
		}
	}
	if mbr {
		return "mbr"
	}
	return ""
}
