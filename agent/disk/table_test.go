package disk_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ferric"
	"ferric/agent/disk"
)

const mib = 1 << 20

// file makes a disk image file of size bytes.
func file(t *testing.T, size int64) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "disk")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Truncate(size); err != nil {
		t.Fatal(err)
	}
	f.Close()
	return name
}

func open(t *testing.T, name string) disk.Device {
	t.Helper()
	d, err := disk.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

func tool(t *testing.T, name string, args ...string) string {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		t.Skipf("%s is not installed", name)
	}
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
	return string(out)
}

func resize(t *testing.T, name string, size int64) {
	t.Helper()
	if err := os.Truncate(name, size); err != nil {
		t.Fatal(err)
	}
}

// drive is a config drive of n bytes with an ISO 9660 label, and its text form.
func drive(t *testing.T, n int) (text string, content []byte) {
	t.Helper()
	content = make([]byte, n)
	rand.Read(content[:n/2])
	if n > 34816 {
		copy(content[32768:], "\x01CD001\x01\x00")
		copy(content[32768+40:], "config-2                        ")
	}
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	w.Write(content)
	w.Close()
	return base64.StdEncoding.EncodeToString(b.Bytes()), content
}

func parse(t *testing.T, text string) *disk.ConfigDrive {
	t.Helper()
	c, err := disk.ParseConfigDrive(text)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func read(t *testing.T, name string, off int64, n int) []byte {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b := make([]byte, n)
	if _, err := f.ReadAt(b, off); err != nil && err != io.EOF {
		t.Fatal(err)
	}
	return b
}

// TestGPTAgainstSgdisk writes an image's table on a larger disk, as a deploy does, and lets sgdisk judge it.
func TestGPTAgainstSgdisk(t *testing.T) {
	name := file(t, 32*mib)
	tool(t, "sgdisk", "-n", "1:2048:+1M", "-t", "1:ef02", "-n", "2:0:+8M", "-t", "2:ef00", "-c", "2:EFI", "-n", "3:0:0", "-u", "3:11111111-2222-3333-4444-555555555555", name)
	resize(t, name, 300*mib)
	d := open(t, name)
	if err := disk.FixTable(d); err != nil {
		t.Fatal(err)
	}
	if out := tool(t, "sgdisk", "-v", name); !strings.Contains(out, "No problems found") {
		t.Fatalf("after FixTable:\n%s", out)
	}
	text, content := drive(t, 400<<10)
	n, err := disk.WriteConfigDrive(context.Background(), d, parse(t, text))
	if err != nil || n != 4 {
		t.Fatalf("partition %d, %v", n, err)
	}
	if out := tool(t, "sgdisk", "-v", name); !strings.Contains(out, "No problems found") {
		t.Fatalf("with a config drive:\n%s", out)
	}
	if out := tool(t, "sgdisk", "-i", "4", name); !strings.Contains(out, "Partition name: 'config-2'") || !strings.Contains(out, "(64.0 MiB)") || !strings.Contains(out, "Linux filesystem") {
		t.Errorf("sgdisk -i 4:\n%s", out)
	}
	if out := tool(t, "sgdisk", "-i", "3", name); !strings.Contains(out, "11111111-2222-3333-4444-555555555555") {
		t.Errorf("sgdisk -i 3:\n%s", out)
	}
	tab, err := disk.ReadTable(d)
	if err != nil {
		t.Fatal(err)
	}
	last := tab.Regions[3]
	if last.Offset%mib != 0 || last.Size != 64*mib || last.Offset+last.Size < 298*mib {
		t.Errorf("the partition is at %d, %d bytes", last.Offset, last.Size)
	}
	if !bytes.Equal(read(t, name, last.Offset, len(content)), content) {
		t.Error("the config drive reads back differently")
	}
	if tab.Kind != "gpt" || tab.Regions[1].Type != disk.TypeESP || tab.Regions[2].ID != "11111111-2222-3333-4444-555555555555" {
		t.Errorf("%+v", tab)
	}

	// Once more, as after a restart: the same partition is used again, and the rest of the old content is gone.
	text, content = drive(t, 100<<10)
	if n, err := disk.WriteConfigDrive(context.Background(), d, parse(t, text)); err != nil || n != 4 {
		t.Fatalf("again: partition %d, %v", n, err)
	}
	if !bytes.Equal(read(t, name, last.Offset, 400<<10), append(content, make([]byte, 300<<10)...)) {
		t.Error("the second config drive reads back differently")
	}
	if tab, _ := disk.ReadTable(d); len(tab.Regions) != 4 {
		t.Errorf("%d partitions", len(tab.Regions))
	}
}

// mbr makes an MBR with the entries {type, first sector, sectors}.
func mbr(entries ...[3]uint32) []byte {
	b := make([]byte, 512)
	copy(b[440:], "\x78\x56\x34\x12")
	for i, e := range entries {
		p := b[446+16*i:]
		p[4] = byte(e[0])
		binary.LittleEndian.PutUint32(p[8:], e[1])
		binary.LittleEndian.PutUint32(p[12:], e[2])
	}
	b[510], b[511] = 0x55, 0xaa
	return b
}

func put(t *testing.T, name string, off int64, b []byte) {
	t.Helper()
	f, err := os.OpenFile(name, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt(b, off); err != nil {
		t.Fatal(err)
	}
}

func TestMBRConfigDrive(t *testing.T) {
	text, content := drive(t, 100<<10)
	name := file(t, 200*mib)
	put(t, name, 0, mbr([3]uint32{0x83, 2048, 20480}))
	d := open(t, name)
	if err := disk.FixTable(d); err != nil {
		t.Fatal(err)
	}
	n, err := disk.WriteConfigDrive(context.Background(), d, parse(t, text))
	if err != nil || n != 2 {
		t.Fatalf("partition %d, %v", n, err)
	}
	tab, err := disk.ReadTable(d)
	if err != nil {
		t.Fatal(err)
	}
	if tab.Kind != "mbr" || tab.DiskID != "0x12345678" || len(tab.Regions) != 2 || tab.Regions[1].Offset != 136*mib || tab.Regions[1].Size != 64*mib || tab.Regions[1].Type != "0x83" {
		t.Errorf("%+v", tab)
	}
	if !bytes.Equal(read(t, name, 136*mib, len(content)), content) {
		t.Error("the config drive reads back differently")
	}
}

func TestConfigDriveRefuses(t *testing.T) {
	text, _ := drive(t, 100<<10)
	tests := map[string]struct {
		prepare func(t *testing.T) string
		code    ferric.Code
		text    string
	}{
		"no table": {func(t *testing.T) string { return file(t, 100*mib) }, ferric.CodeNotFound, "partition table"},
		"four primaries": {func(t *testing.T) string {
			name := file(t, 200*mib)
			put(t, name, 0, mbr([3]uint32{0x83, 2048, 2048}, [3]uint32{0x83, 4096, 2048}, [3]uint32{0x83, 6144, 2048}, [3]uint32{0x83, 8192, 2048}))
			return name
		}, ferric.CodeNoSpace, "four primary"},
		"MBR full": {func(t *testing.T) string {
			name := file(t, 200*mib)
			put(t, name, 0, mbr([3]uint32{0x83, 2048, 200*2048 - 4096}))
			return name
		}, ferric.CodeNoSpace, "no room"},
		"GPT full": {func(t *testing.T) string {
			name := file(t, 100*mib)
			tool(t, "sgdisk", "-n", "1:2048:0", name)
			return name
		}, ferric.CodeNoSpace, "no room"},
		"labelled but too small": {func(t *testing.T) string {
			name := file(t, 200*mib)
			tool(t, "sgdisk", "-n", "1:2048:+40K", name)
			put(t, name, mib+32768, append([]byte("\x01CD001\x01\x00"), make([]byte, 100)...))
			put(t, name, mib+32768+40, []byte("CONFIG-2"))
			return name
		}, ferric.CodeNoSpace, "partition 1 is labelled"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			d := open(t, tt.prepare(t))
			before, _ := disk.ReadTable(d)
			_, err := disk.WriteConfigDrive(context.Background(), d, parse(t, text))
			if !ferric.IsCode(err, tt.code) || !strings.Contains(err.Error(), tt.text) {
				t.Errorf("got %s %v, want %s with %q", ferric.ErrorCode(err), err, tt.code, tt.text)
			}
			after, _ := disk.ReadTable(d)
			if diff := cmp.Diff(before, after); diff != "" {
				t.Errorf("the table changed: %s", diff)
			}
		})
	}
}

func TestParseConfigDrive(t *testing.T) {
	good, _ := drive(t, 1000)
	big := bytes.Buffer{}
	w := gzip.NewWriter(&big)
	w.Write(make([]byte, 64*mib+1))
	w.Close()
	full := bytes.Buffer{}
	w = gzip.NewWriter(&full)
	w.Write(make([]byte, 64*mib))
	w.Close()
	var empty bytes.Buffer
	gzip.NewWriter(&empty).Close()
	b64 := base64.StdEncoding.EncodeToString
	for name, tt := range map[string]struct {
		text string
		code ferric.Code
	}{
		"good":          {good, ""},
		"broken lines":  {good[:76] + "\r\n " + good[76:] + "\n", ""},
		"64 MiB":        {b64(full.Bytes()), ""},
		"over 64 MiB":   {b64(big.Bytes()), ferric.CodeNoSpace},
		"no base64":     {"{}", ferric.CodeCorrupt},
		"no gzip":       {b64([]byte("hello hello hello")), ferric.CodeCorrupt},
		"cut off":       {good[:len(good)/8*4], ferric.CodeCorrupt},
		"nothing":       {"", ferric.CodeCorrupt},
		"empty content": {b64(empty.Bytes()), ferric.CodeCorrupt},
	} {
		if _, err := disk.ParseConfigDrive(tt.text); ferric.ErrorCode(err) != tt.code {
			t.Errorf("%s: got %v, want %q", name, err, tt.code)
		}
	}
}

func TestDamagedGPT(t *testing.T) {
	prepare := func(t *testing.T) string {
		name := file(t, 32*mib)
		tool(t, "sgdisk", "-n", "1:2048:+8M", name)
		return name
	}
	for name, tt := range map[string]struct {
		spoil func(t *testing.T, name string)
		code  ferric.Code
	}{
		"header":        {func(t *testing.T, n string) { put(t, n, 512+50, []byte{0xff}) }, ferric.CodeCorrupt},
		"entries":       {func(t *testing.T, n string) { put(t, n, 1024+41, []byte{0xff}) }, ferric.CodeCorrupt},
		"header length": {func(t *testing.T, n string) { put(t, n, 512+12, []byte{0xff, 0xff}) }, ferric.CodeCorrupt},
		"disk shrunk":   {func(t *testing.T, n string) { resize(t, n, 4*mib) }, ferric.CodeNoSpace},
		"wiped":         {func(t *testing.T, n string) { put(t, n, 512, make([]byte, 512)) }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			n := prepare(t)
			tt.spoil(t, n)
			if err := disk.FixTable(open(t, n)); ferric.ErrorCode(err) != tt.code {
				t.Errorf("got %v, want %q", err, tt.code)
			}
		})
	}
}

// TestSectorSize4096 lets a disk with large sectors be partitioned, and refuses a table for small ones on it.
func TestSectorSize4096(t *testing.T) {
	name := file(t, 100*mib)
	tool(t, "sgdisk", "-n", "1:2048:+8M", name)
	d := &large{open(t, name)}
	if _, err := disk.ReadTable(d); !ferric.IsCode(err, ferric.CodeCorrupt) || !strings.Contains(err.Error(), "sectors of 512") {
		t.Errorf("got %v", err)
	}
}

type large struct{ disk.Device }

func (large) SectorSize() int { return 4096 }

func FuzzReadTable(f *testing.F) {
	f.Add(mbr([3]uint32{0x83, 2048, 20480}))
	gpt := make([]byte, 2048)
	copy(gpt[512:], "EFI PART")
	f.Add(gpt)
	f.Fuzz(func(t *testing.T, b []byte) {
		name := filepath.Join(t.TempDir(), "disk")
		if len(b) > mib {
			return
		}
		if err := os.WriteFile(name, b, 0o600); err != nil {
			t.Fatal(err)
		}
		d := open(t, name)
		tab, err := disk.ReadTable(d)
		if err != nil {
			return
		}
		for _, r := range tab.Regions {
			disk.Label(d, r)
		}
		_ = disk.FixTable(d)
	})
}
