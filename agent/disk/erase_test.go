package disk_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"os/exec"
	"strings"
	"testing"
	"time"

	"ferric"
	"ferric/agent/disk"
)

// fill writes random data over a whole file.
func fill(t *testing.T, name string, size int64) {
	t.Helper()
	b := make([]byte, mib)
	rand.Read(b)
	for at := int64(0); at < size; at += mib {
		put(t, name, at, b)
	}
}

// signatures is what blkid and wipefs still find.
func signatures(t *testing.T, name string) string {
	t.Helper()
	if _, err := exec.LookPath("wipefs"); err != nil {
		t.Skip("wipefs is not installed")
	}
	out, err := exec.Command("wipefs", "--no-act", "--all", name).CombinedOutput()
	if err != nil {
		t.Fatalf("wipefs: %v %s", err, out)
	}
	return string(out)
}

func TestWipeMetadata(t *testing.T) {
	const size = 256 * mib
	md := func(minor byte) []byte { // an md 1.x superblock
		b := make([]byte, 512)
		copy(b, "\xfc\x4e\x2b\xa9\x01\x00\x00\x00")
		return b
	}
	btrfs := make([]byte, 4096)
	copy(btrfs[64:], "_BHRfS_M")
	lvm := append([]byte("LABELONE\x01\x00\x00\x00\x00\x00\x00\x00"), "\x00\x00\x00\x00\x20\x00\x00\x00LVM2 001"...)
	tests := map[string]func(t *testing.T, name string){
		"ext4":   func(t *testing.T, n string) { tool(t, "mkfs.ext4", "-q", n) },
		"vfat":   func(t *testing.T, n string) { tool(t, "mkfs.vfat", n) },
		"swap":   func(t *testing.T, n string) { tool(t, "mkswap", n) },
		"GPT":    func(t *testing.T, n string) { tool(t, "sgdisk", "-n", "1:2048:0", n) },
		"MBR":    func(t *testing.T, n string) { put(t, n, 0, mbr([3]uint32{0x83, 2048, 4096})) },
		"md 1.2": func(t *testing.T, n string) { put(t, n, 4096, md(2)) },
		"md 1.0": func(t *testing.T, n string) { put(t, n, size-8192, md(0)) },
		"md 0.90": func(t *testing.T, n string) {
			put(t, n, size-65536, []byte("\xfc\x4e\x2b\xa9\x00\x00\x00\x00\x5a\x00\x00\x00"))
		},
		"LVM":  func(t *testing.T, n string) { put(t, n, 512, lvm) },
		"LUKS": func(t *testing.T, n string) { put(t, n, 0, []byte("LUKS\xba\xbe\x00\x02")) },
		"DDF":  func(t *testing.T, n string) { put(t, n, size-512, []byte("\xde\x11\xde\x11")) },
		"ISO":  func(t *testing.T, n string) { put(t, n, 32768, []byte("\x01CD001\x01\x00")) },
		"bcache": func(t *testing.T, n string) {
			put(t, n, 4096+24, []byte("\xc6\x85\x73\xf6\x4e\x1a\x45\xca\x82\x65\xf5\x7f\x48\xba\x6d\x81"))
		},
		"nothing": func(t *testing.T, n string) {},
	}
	for name, prepare := range tests {
		t.Run(name, func(t *testing.T) {
			n := file(t, size)
			prepare(t, n)
			d := open(t, n)
			for range 2 { // the second run finds nothing to do
				if err := disk.WipeMetadata(context.Background(), d, nil); err != nil {
					t.Fatal(err)
				}
			}
			if got := signatures(t, n); got != "" {
				t.Errorf("left over: %s", got)
			}
		})
	}
	t.Run("btrfs mirror", func(t *testing.T) {
		n := file(t, size)
		put(t, n, 64*mib, btrfs)
		if err := disk.WipeMetadata(context.Background(), open(t, n), nil); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(read(t, n, 64*mib, 4096), make([]byte, 4096)) {
			t.Error("the second superblock is still there")
		}
	})
}

// TestWipeInsidePartitions checks the file systems in partitions, those that only the kernel knows too, and that the
// rest of the data stays: it is the metadata that is to be erased.
func TestWipeInsidePartitions(t *testing.T) {
	n := file(t, 128*mib)
	fill(t, n, 128*mib)
	put(t, n, 0, make([]byte, mib))
	put(t, n, 128*mib-34*512, make([]byte, 34*512))
	tool(t, "sgdisk", "-n", "1:2048:+40M", n)
	put(t, n, mib+1024, make([]byte, 1024))
	put(t, n, mib+1024+0x38, []byte{0x53, 0xef}) // ext4's magic
	put(t, n, 60*mib, []byte("LUKS\xba\xbe\x00\x02"))
	d := open(t, n)
	if err := disk.WipeMetadata(context.Background(), d, []disk.Region{{Number: 5, Offset: 60 * mib, Size: 20 * mib}, {Number: 9, Offset: 1 << 40, Size: 1}, {Offset: -5, Size: 9}}); err != nil {
		t.Fatal(err)
	}
	zeros := make([]byte, 4*mib)
	for _, at := range []int64{0, mib, 60 * mib, 37 * mib, 76 * mib, 124 * mib} {
		if !bytes.Equal(read(t, n, at, 4*mib), zeros) {
			t.Errorf("4 MiB at %d MiB are not erased", at/mib)
		}
	}
	if bytes.Equal(read(t, n, 20*mib, 4*mib), zeros) {
		t.Error("data in the middle of a partition was erased")
	}
}

func TestProtected(t *testing.T) {
	for name, tt := range map[string]struct {
		prepare func(t *testing.T, n string)
		want    string
	}{
		"VMFS": {func(t *testing.T, n string) {
			tool(t, "sgdisk", "-n", "1:2048:0", "-t", "1:AA31E02A-400F-11DB-9590-000C2911D1B8", n)
		}, "VMware"},
		"VMFS MBR": {func(t *testing.T, n string) { put(t, n, 0, mbr([3]uint32{0xfb, 2048, 4096})) }, "VMware"},
		"GPFS": {func(t *testing.T, n string) {
			tool(t, "sgdisk", "-n", "1:2048:0", "-t", "1:37AFFC90-EF7D-4E96-91C3-2D7AE055B174", n)
		}, "GPFS"},
		"GFS2": {func(t *testing.T, n string) { put(t, n, 65536, []byte{0x01, 0x16, 0x19, 0x70}) }, "Global File System"},
		"GFS2 in a partition": {func(t *testing.T, n string) {
			put(t, n, 0, mbr([3]uint32{0x83, 2048, 4096}))
			put(t, n, mib+65536, []byte{0x01, 0x16, 0x19, 0x70})
		}, "Global File System"},
		"ext4": {func(t *testing.T, n string) { tool(t, "mkfs.ext4", "-q", n) }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			n := file(t, 16*mib)
			tt.prepare(t, n)
			if got := disk.Protected(open(t, n)); (got == "") != (tt.want == "") || !strings.Contains(got, tt.want) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestOverwrite(t *testing.T) {
	const size = 9*mib + 512
	for name, tt := range map[string]struct {
		passes  int
		zeroize bool
		total   int64
		zeros   bool
	}{
		"random and zeros": {1, true, 2 * size, true},
		"random":           {2, false, 2 * size, false},
		"zeros":            {0, true, size, true},
	} {
		t.Run(name, func(t *testing.T) {
			n := file(t, size)
			put(t, n, size-100, []byte("secret"))
			put(t, n, 5*mib, []byte("secret"))
			var last, total int64
			err := disk.Overwrite(context.Background(), open(t, n), tt.passes, tt.zeroize, func(done, all int64) {
				if done < last {
					t.Error("progress goes back")
				}
				last, total = done, all
			})
			if err != nil {
				t.Fatal(err)
			}
			if last != tt.total || total != tt.total {
				t.Errorf("progress %d of %d, want %d", last, total, tt.total)
			}
			got := read(t, n, 0, size)
			if bytes.Contains(got, []byte("secret")) || bytes.Equal(got, make([]byte, size)) != tt.zeros {
				t.Error("the content is not as it should be")
			}
		})
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := disk.Overwrite(ctx, open(t, file(t, size)), 1, true, func(int64, int64) {}); !ferric.IsCode(err, ferric.CodeTimeout) {
		t.Errorf("cancelled: %v", err)
	}
	if err := disk.Overwrite(context.Background(), open(t, file(t, size)), -1, true, nil); !ferric.IsCode(err, ferric.CodeInvalid) {
		t.Errorf("negative: %v", err)
	}
}

// drive simulates the security feature set of an ATA drive.
type ataDrive struct {
	supported, enabled, locked, frozen, enhanced bool
	foreign                                      bool // locked with another password
	failErase, lie                               bool
	prepared, erased, askedEnhanced              bool
	commands                                     []byte
}

func (a *ataDrive) Exec(cmd byte, out, in []byte, timeout time.Duration) error {
	a.commands = append(a.commands, cmd)
	aborted := errors.New("aborted")
	right := out != nil && strings.TrimRight(string(out[2:34]), "\x00") == "NULL" && !a.foreign
	switch cmd {
	case 0xec:
		word := func(i int, v uint16) { binary.LittleEndian.PutUint16(in[2*i:], v) }
		if a.supported {
			word(82, 1<<1)
		}
		var s uint16
		for i, on := range []bool{a.supported, a.enabled, a.locked, a.frozen, false, a.enhanced} {
			if on {
				s |= 1 << i
			}
		}
		word(128, s)
		word(89, 30)
		word(90, 0x8000|700)
		return nil
	case 0xf1:
		if a.frozen || a.locked || !right {
			return aborted
		}
		a.enabled = true
	case 0xf2:
		if !right {
			return aborted
		}
		a.locked = false
	case 0xf3:
		a.prepared = true
	case 0xf4:
		if !a.prepared || !right || a.failErase {
			return aborted
		}
		if want := 61 * time.Minute; timeout < want {
			return errors.New("the time limit is shorter than the drive's own estimate")
		}
		a.askedEnhanced = out[0]&2 != 0
		if !a.lie {
			a.erased, a.enabled = true, false
		}
	case 0xf6:
		if !right || a.locked {
			return aborted
		}
		a.enabled = false
	default:
		return aborted
	}
	return nil
}

func TestATAErase(t *testing.T) {
	tests := map[string]struct {
		drive  ataDrive
		done   bool
		code   ferric.Code
		usable bool // afterwards the drive has no password
	}{
		"plain":                  {ataDrive{supported: true}, true, "", true},
		"enhanced":               {ataDrive{supported: true, enhanced: true}, true, "", true},
		"cut short before":       {ataDrive{supported: true, enabled: true, locked: true}, true, "", true},
		"password set already":   {ataDrive{supported: true, enabled: true}, true, "", true},
		"not supported":          {ataDrive{}, false, "", true},
		"frozen":                 {ataDrive{supported: true, frozen: true}, false, ferric.CodeConflict, true},
		"foreign password":       {ataDrive{supported: true, enabled: true, locked: true, foreign: true}, false, ferric.CodeConflict, false},
		"erase fails":            {ataDrive{supported: true, failErase: true}, false, ferric.CodeUnavailable, true},
		"says yes, does nothing": {ataDrive{supported: true, lie: true}, false, ferric.CodeUnavailable, true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			d := tt.drive
			done, err := disk.ATAErase(&d, "/dev/sda")
			if done != tt.done || ferric.ErrorCode(err) != tt.code {
				t.Errorf("done %t, %v; want %t, %q", done, err, tt.done, tt.code)
			}
			if d.erased != tt.done || done && d.askedEnhanced != d.enhanced {
				t.Errorf("drive %+v", d)
			}
			if !d.enabled != tt.usable {
				t.Errorf("the drive has a password: %t", d.enabled)
			}
		})
	}
}

// nvmeDrive simulates a controller with one namespace.
type nvmeDrive struct {
	oacs, fna, flbas, dps byte
	fail                  bool
	format                uint32
}

func (n *nvmeDrive) Namespace() (uint32, error) { return 3, nil }

func (n *nvmeDrive) Admin(op byte, nsid, cdw10 uint32, data []byte, timeout time.Duration) error {
	switch {
	case op == 6 && cdw10 == 1:
		data[256], data[524] = n.oacs, n.fna
	case op == 6 && cdw10 == 0 && nsid == 3:
		data[26], data[29] = n.flbas, n.dps
	case op == 0x80 && nsid == 3 && !n.fail && timeout >= time.Hour:
		n.format = cdw10
	default:
		return errors.New("invalid field")
	}
	return nil
}

func TestNVMeErase(t *testing.T) {
	tests := map[string]struct {
		drive  nvmeDrive
		done   bool
		code   ferric.Code
		format uint32
	}{
		"crypto erase":           {nvmeDrive{oacs: 2, fna: 4}, true, "", 2 << 9},
		"user data erase":        {nvmeDrive{oacs: 2}, true, "", 1 << 9},
		"keeps the block format": {nvmeDrive{oacs: 2, flbas: 0x13, dps: 0x0a}, true, "", 3 | 1<<4 | 2<<5 | 1<<8 | 1<<9},
		"upper format bits":      {nvmeDrive{oacs: 2, flbas: 0x21}, true, "", 1 | 1<<12 | 1<<9},
		"not offered":            {nvmeDrive{oacs: 1}, false, "", 0},
		"fails":                  {nvmeDrive{oacs: 2, fail: true}, false, ferric.CodeUnavailable, 0},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			d := tt.drive
			done, err := disk.NVMeErase(&d, "/dev/nvme0n1")
			if done != tt.done || ferric.ErrorCode(err) != tt.code || d.format != tt.format {
				t.Errorf("done %t, %v, format 0x%x; want %t, %q, 0x%x", done, err, d.format, tt.done, tt.code, tt.format)
			}
		})
	}
}
