package image_test

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ferric"
	"ferric/image"
)

// fileSource puts the content into a file and opens it.
func fileSource(t testing.TB, content []byte) image.Source {
	t.Helper()
	root := t.TempDir()
	path := filepath.Join(root, "disk")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	source, err := image.Open(t.Context(), "file://"+path, image.Options{FileRoots: []string{root}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { source.Close() })
	return source
}

// at returns a disk of 100 KiB with the text at an offset.
func at(offset int, text string) []byte {
	b := make([]byte, 100<<10)
	copy(b[offset:], text)
	return b
}

// mbr adds a partition of the type to the disk.
func mbr(b []byte, kind byte) []byte {
	entry := b[446:462]
	entry[4] = kind
	binary.LittleEndian.PutUint32(entry[8:], 1)
	binary.LittleEndian.PutUint32(entry[12:], 100)
	b[510], b[511] = 0x55, 0xaa
	return b
}

func TestInspect(t *testing.T) {
	plain := noise(100<<10, 1)
	gpt := mbr(at(512, "EFI PART"), 0xee)
	gpt4k := mbr(at(4096, "EFI PART"), 0xee)
	iso := at(32769, "CD001")
	tests := map[string]struct {
		content  []byte
		declared string
		format   image.Format
		table    string
		err      string // instead
	}{
		"noise":                {plain, "", image.FormatRaw, "", ""},
		"declared raw":         {plain, "raw", image.FormatRaw, "", ""},
		"declared RAW":         {plain, "RAW", image.FormatRaw, "", ""},
		"declared unknown":     {plain, "unknown", image.FormatRaw, "", ""},
		"one byte":             {[]byte("x"), "", image.FormatRaw, "", ""},
		"empty":                {nil, "", "", "", "is empty"},
		"GPT":                  {gpt, "", image.FormatGPT, "gpt", ""},
		"GPT, declared raw":    {gpt, "raw", image.FormatGPT, "gpt", ""},
		"GPT, 4k sectors":      {gpt4k, "gpt", image.FormatGPT, "gpt", ""},
		"MBR":                  {mbr(at(0, ""), 0x83), "raw", image.FormatRaw, "mbr", ""},
		"MBR, declared gpt":    {mbr(at(0, ""), 0x83), "gpt", image.FormatRaw, "mbr", ""},
		"boot sector":          {mbr(at(446, "\x33\xc0"), 0x83), "", image.FormatRaw, "", ""},
		"ISO":                  {iso, "", image.FormatISO, "", ""},
		"ISO, declared iso":    {iso, "iso", image.FormatISO, "", ""},
		"UDF":                  {at(32769, "BEA01"), "", image.FormatISO, "", ""},
		"hybrid ISO with MBR":  {mbr(bytes.Clone(iso), 0x17), "iso", image.FormatISO, "mbr", ""},
		"hybrid ISO with GPT":  {append(bytes.Clone(gpt[:32768]), iso[32768:]...), "", image.FormatISO, "gpt", ""},
		"ISO, declared raw":    {iso, "raw", "", "", `declared to be of the format "raw", but its content is iso`},
		"raw, declared qcow2":  {plain, "qcow2", "", "", "its content is raw"},
		"raw, declared gpt":    {plain, "gpt", "", "", "its content is raw"},
		"qcow2, declared raw":  {tinyQcow2(1 << 20), "raw", "", "", "its content is qcow2"},
		"qcow2":                {tinyQcow2(5 << 20), "qcow2", image.FormatQcow2, "", ""},
		"qcow2 of no size":     {tinyQcow2(0), "qcow2", "", "", "virtual size of 0"},
		"qcow2 with backing":   {backed(), "qcow2", "", "", "backing file"},
		"qcow2 and ISO":        {append(tinyQcow2(1 << 20)[:32768], iso[32768:]...), "", "", "", "several formats"},
		"qcow version 1":       {at(0, "QFI\xfb\x00\x00\x00\x01"), "", "", "", "format qcow,"},
		"VMDK":                 {at(0, "KDMV"), "", "", "", "vmdk, which is not permitted (permitted: raw, gpt, qcow2, iso)"},
		"VMDK, declared":       {at(0, "KDMV"), "vmdk", "", "", "not permitted"},
		"VMDK descriptor":      {at(0, "# Disk DescriptorFile\nRW 1 FLAT \"/etc/passwd\" 0"), "", "", "", "vmdk"},
		"VDI":                  {at(64, "\x7f\x10\xda\xbe"), "", "", "", "vdi"},
		"VHD":                  {at(0, "conectix"), "", "", "", "vhd"},
		"VHD, fixed":           {at(100<<10-512, "conectix"), "raw", "", "", "vhd"},
		"VHD, fixed, with GPT": {append(bytes.Clone(gpt), at(100<<10-512, "conectix")...), "", "", "", "vhd"},
		"VHDX":                 {at(0, "vhdxfile"), "", "", "", "vhdx"},
		"QED":                  {at(0, "QED\x00"), "", "", "", "qed"},
		"LUKS":                 {at(0, "LUKS\xba\xbe"), "", "", "", "luks"},
		"DMG":                  {at(100<<10-512, "koly"), "", "", "", "dmg"},
		"gzip":                 {at(0, "\x1f\x8b\x08"), "raw", "", "", "decompress it first"},
		"xz":                   {at(0, "\xfd7zXZ\x00"), "", "", "", "decompress it first"},
		"zstd":                 {at(0, "\x28\xb5\x2f\xfd"), "", "", "", "decompress it first"},
		"gzip as ramdisk":      {at(0, "\x1f\x8b\x08"), "ari", image.FormatGzip, "", ""},
		"qcow2 as kernel":      {at(0, "KDMV"), "aki", "", "", "not permitted"},
		"tar":                  {at(257, "ustar"), "", "", "", "tar"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			info, err := image.Inspect(t.Context(), fileSource(t, test.content), image.InspectOptions{Declared: test.declared})
			if test.err != "" {
				wantError(t, err, ferric.CodeCorrupt, test.err)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if info.Format != test.format || info.PartitionTable != test.table {
				t.Errorf("format %s, table %q; want %s, %q", info.Format, info.PartitionTable, test.format, test.table)
			}
			want := int64(len(test.content))
			if test.format == image.FormatQcow2 {
				want = 5 << 20
			}
			if info.VirtualSize != want || info.FileSize != int64(len(test.content)) {
				t.Errorf("sizes %d and %d; want %d and %d", info.VirtualSize, info.FileSize, want, len(test.content))
			}
		})
	}
}

func TestPermittedFormats(t *testing.T) {
	only := func(formats ...image.Format) image.InspectOptions { return image.InspectOptions{Permitted: formats} }
	source := fileSource(t, tinyQcow2(1<<20))
	_, err := image.Inspect(t.Context(), source, only(image.FormatRaw))
	wantError(t, err, ferric.CodeCorrupt, "qcow2, which is not permitted (permitted: raw)")
	gpt := fileSource(t, mbr(at(512, "EFI PART"), 0xee))
	if _, err := image.Inspect(t.Context(), gpt, only(image.FormatRaw)); err != nil {
		t.Fatal(err)
	}
	_, err = image.Inspect(t.Context(), gpt, only(image.FormatQcow2))
	wantError(t, err, ferric.CodeCorrupt, "gpt, which is not permitted")
}

// tinyQcow2 is an image without data.
func tinyQcow2(size uint64) []byte {
	b := make([]byte, 4*65536)
	be := binary.BigEndian
	copy(b, "QFI\xfb")
	be.PutUint32(b[4:], 3)
	be.PutUint32(b[20:], 16)
	be.PutUint64(b[24:], size)
	be.PutUint32(b[36:], 1)
	be.PutUint64(b[40:], 65536)
	be.PutUint32(b[96:], 4)
	be.PutUint32(b[100:], 104)
	return b
}

func backed() []byte {
	b := tinyQcow2(1 << 20)
	copy(b[512:], "/etc/passwd")
	binary.BigEndian.PutUint64(b[8:], 512)
	binary.BigEndian.PutUint32(b[16:], 11)
	return b
}

func FuzzInspect(f *testing.F) {
	f.Add(tinyQcow2(1 << 20)[:2048])
	f.Add(backed()[:1024])
	f.Add(mbr(at(512, "EFI PART"), 0xee)[:1024])
	f.Add([]byte("# Disk DescriptorFile"))
	root := f.TempDir()
	path := filepath.Join(root, "disk")
	f.Fuzz(func(t *testing.T, b []byte) {
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		source, err := image.Open(t.Context(), "file://"+path, image.Options{FileRoots: []string{root}})
		if err != nil {
			t.Fatal(err)
		}
		defer source.Close()
		info, err := image.Inspect(t.Context(), source, image.InspectOptions{})
		if err != nil {
			if !ferric.IsCode(err, ferric.CodeCorrupt) {
				t.Fatal(err)
			}
			return
		}
		if !strings.Contains("raw gpt qcow2 iso", string(info.Format)) || info.VirtualSize <= 0 {
			t.Fatalf("accepted as %+v", info)
		}
	})
}
