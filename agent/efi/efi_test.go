package efi_test

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/google/go-cmp/cmp"

	"ferric"
	"ferric/agent/efi"
)

const guid = "-8be4df61-93ca-11d2-aa0d-00e098032b8c"

func part() efi.Partition {
	p := efi.Partition{Number: 2, First: 4096, Size: 0x32000}
	copy(p.GUID[:], "\x78\x56\x34\x12\x34\x12\x78\x56\x01\x02\x03\x04\x05\x06\x07\x08")
	return p
}

func describe(t *testing.T, v efi.Vars) (out []string) {
	t.Helper()
	entries, err := v.Entries()
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		out = append(out, e.Description+" "+efi.PathText(e.Path))
	}
	return out
}

func register(t *testing.T, v efi.Vars, p efi.Partition, label, file string) uint16 {
	t.Helper()
	n, err := efi.Register(v, p, efi.Loader{File: file, Label: label})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestEntries(t *testing.T) {
	v := efi.Vars{Dir: t.TempDir()}
	// A firmware's own entry, the network, with lower-case digits, and one that is damaged.
	pxe := efi.Option{Attributes: 1, Description: "PXE", Path: []byte("\x02\x01\x0c\x00AAAABBBB\x03\x0b\x08\x00CCCC\x7f\xff\x04\x00")}
	os.WriteFile(filepath.Join(v.Dir, "Boot000a"+guid), append([]byte{7, 0, 0, 0}, pxe.Bytes()...), 0o644)
	os.WriteFile(filepath.Join(v.Dir, "Boot0000"+guid), []byte{7, 0, 0, 0, 1}, 0o644)
	os.WriteFile(filepath.Join(v.Dir, "BootOrder"+guid), []byte{7, 0, 0, 0, 0x0a, 0, 0x99, 0}, 0o644)

	first := register(t, v, part(), "debian", `\EFI\debian\shimx64.efi`)
	want := []string{`debian HD(2,GPT,12345678-1234-5678-0102-030405060708,0x1000,0x32000)/File(\EFI\debian\shimx64.efi)`, "PXE PciRoot()/MAC()"}
	if diff := cmp.Diff(want, describe(t, v)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]uint16{first, 0x0a}, v.Order()); diff != "" {
		t.Errorf("order: %s", diff)
	}
	raw, err := os.ReadFile(filepath.Join(v.Dir, "BootOrder"+guid))
	if err != nil || binary.LittleEndian.Uint32(raw) != 7 {
		t.Errorf("BootOrder %x %v", raw, err)
	}

	// The same label again replaces the entry; another one is added before it.
	again := register(t, v, part(), "debian", `\EFI\debian\grubx64.efi`)
	mbr := part()
	mbr.MBR = true
	other := register(t, v, mbr, "ferric", `\EFI\BOOT\BOOTX64.EFI`)
	if got := describe(t, v); len(got) != 3 || !strings.Contains(strings.Join(got, "|"), "ferric HD(2,MBR,0x12345678,0x1000,0x32000)/File(") {
		t.Errorf("entries %v", got)
	}
	if diff := cmp.Diff([]uint16{other, again, 0x0a}, v.Order()); diff != "" {
		t.Errorf("order: %s", diff)
	}

	removed, err := v.Remove([]string{`^HD\(`, `SHIM.*\.efi`})
	if err != nil || len(removed) != 2 {
		t.Errorf("removed %v, %v", removed, err)
	}
	if diff := cmp.Diff([]string{"PXE PciRoot()/MAC()"}, describe(t, v)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]uint16{0x0a}, v.Order()); diff != "" {
		t.Errorf("order: %s", diff)
	}
	if removed, err := v.Remove([]string{`^HD\(`}); err != nil || removed != nil {
		t.Errorf("once more: %v, %v", removed, err)
	}
	if _, err := v.Remove([]string{`(`}); !ferric.IsCode(err, ferric.CodeInvalid) {
		t.Errorf("bad expression: %v", err)
	}
}

func TestNoFirmware(t *testing.T) {
	if _, err := (efi.Vars{Dir: "/nonexistent"}).Entries(); !ferric.IsCode(err, ferric.CodeUnavailable) {
		t.Errorf("got %v", err)
	}
}

func utf16le(s string) string {
	b := []byte{0xff, 0xfe}
	for _, c := range utf16.Encode([]rune(s)) {
		b = binary.LittleEndian.AppendUint16(b, c)
	}
	return string(b)
}

func TestFindLoader(t *testing.T) {
	tests := map[string]struct {
		files map[string]string
		want  efi.Loader
	}{
		"default":            {map[string]string{"EFI/BOOT/BOOTX64.EFI": "x", "EFI/debian/grubx64.efi": "x"}, efi.Loader{File: `\EFI\BOOT\BOOTX64.EFI`, Label: "ferric"}},
		"named by the CSV":   {map[string]string{"EFI/BOOT/BOOTX64.EFI": "x", "EFI/ubuntu/BOOTX64.CSV": utf16le("shimx64.efi,Ubuntu,,This is the entry\n")}, efi.Loader{File: `\EFI\ubuntu\shimx64.efi`, Label: "Ubuntu"}},
		"broken CSV":         {map[string]string{"EFI/ubuntu/BOOTX64.CSV": "junk", "EFI/ubuntu/shimx64.efi": "x"}, efi.Loader{File: `\EFI\ubuntu\shimx64.efi`, Label: "ferric"}},
		"CSV that leads out": {map[string]string{"EFI/x/BOOT.CSV": utf16le(`..\..\evil.efi,Evil`), "EFI/x/grubx64.efi": "x"}, efi.Loader{File: `\EFI\x\grubx64.efi`, Label: "ferric"}},
		"nothing":            {map[string]string{"EFI/readme": "x"}, efi.Loader{}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for f, text := range tt.files {
				os.MkdirAll(filepath.Dir(filepath.Join(dir, f)), 0o755)
				if err := os.WriteFile(filepath.Join(dir, f), []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			got, err := efi.FindLoader(dir)
			if got != tt.want || (err != nil) != (tt.want == efi.Loader{}) || err != nil && !ferric.IsCode(err, ferric.CodeNotFound) {
				t.Errorf("got %+v %v, want %+v", got, err, tt.want)
			}
		})
	}
}

func FuzzOption(f *testing.F) {
	f.Add(efi.Option{Attributes: 1, Description: "x", Path: []byte{4, 4, 8, 0, 'a', 0, 0, 0, 0x7f, 0xff, 4, 0}, Data: []byte{1}}.Bytes())
	f.Add([]byte{1, 0, 0, 0, 42, 0, 0, 0, 4, 1, 42, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		o, err := efi.ParseOption(b)
		if err != nil {
			return
		}
		efi.PathText(o.Path)
		again, err := efi.ParseOption(o.Bytes())
		if err != nil || string(again.Path) != string(o.Path) || string(again.Data) != string(o.Data) {
			t.Fatalf("%+v becomes %+v, %v", o, again, err)
		}
	})
}
