package qcow2_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"ferric"
	"ferric/image/qcow2"
)

// qemuImg runs qemu-img; the test is skipped if the program is absent.
func qemuImg(t testing.TB, args ...string) {
	t.Helper()
	path, err := exec.LookPath("qemu-img")
	if err != nil {
		t.Skip("SKIPPED: qemu-img is not installed (package qemu-utils); the comparison with QEMU did not run")
	}
	if out, err := exec.Command(path, args...).CombinedOutput(); err != nil {
		t.Fatalf("qemu-img %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// content makes size bytes of a disk with text, noise and holes.
func content(size int, seed uint64) []byte {
	r := rand.New(rand.NewPCG(seed, 1))
	b := make([]byte, size)
	for at := 0; at < size; {
		n := min(size-at, 1+r.IntN(300_000))
		part := b[at : at+n]
		switch r.IntN(3) {
		case 0: // a hole
		case 1:
			for i := range part {
				part[i] = byte(r.Uint32())
			}
		default:
			for i := range part {
				part[i] = "the quick brown fox "[i%20] + byte(i>>12)
			}
		}
		at += n
	}
	return b
}

// guest feeds the file through a stream and returns the virtual disk, which was full of 0xEE before.
func guest(file []byte, chunks int, options qcow2.Options) ([]byte, error) {
	im, err := qcow2.Open(bytes.NewReader(file), int64(len(file)), options)
	if err != nil {
		return nil, err
	}
	return streamGuest(im, file, chunks)
}

func streamGuest(im *qcow2.Image, file []byte, chunks int) ([]byte, error) {
	m, err := im.Index()
	if err != nil {
		return nil, err
	}
	disk := bytes.Repeat([]byte{0xEE}, int(im.Size))
	written := int64(0)
	if err := m.Holes(func(offset, length int64) error {
		clear(disk[offset : offset+length])
		written += length
		return nil
	}); err != nil {
		return nil, err
	}
	s := m.Stream()
	decoder := im.NewDecoder()
	defer decoder.Close()
	unit := int(m.ChunkUnit()) * chunks
	for at := 0; at < len(file); at += unit {
		chunk := bytes.Clone(file[at:min(at+unit, len(file))])
		err := s.Feed(chunk, func(p qcow2.Piece) error {
			data, err := decoder.Decode(p, nil)
			if err != nil {
				return err
			}
			if int64(len(data)) != p.Length {
				return fmt.Errorf("piece at %d: %d bytes, want %d", p.Offset, len(data), p.Length)
			}
			written += p.Length
			copy(disk[p.Offset:p.Offset+p.Length], data)
			return nil
		})
		if err != nil {
			return nil, err
		}
		clear(chunk) // whoever keeps it will be seen
	}
	if err := s.Close(); err != nil {
		return nil, err
	}
	if written != im.Size {
		return nil, fmt.Errorf("holes and pieces cover %d of %d bytes", written, im.Size)
	}
	return disk, nil
}

func mustRead(t testing.TB, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestAgainstQEMU makes images with qemu-img and compares every byte.
func TestAgainstQEMU(t *testing.T) {
	tests := map[string]struct {
		size int
		args []string
	}{
		"plain":                 {40 << 20, nil},
		"version 2":             {20 << 20, []string{"-o", "compat=0.10"}},
		"zlib":                  {40 << 20, []string{"-c"}},
		"zstd":                  {40 << 20, []string{"-c", "-o", "compression_type=zstd"}},
		"cluster 512":           {3 << 20, []string{"-o", "cluster_size=512"}},
		"cluster 512 zlib":      {3 << 20, []string{"-c", "-o", "cluster_size=512"}},
		"cluster 4k zstd":       {9 << 20, []string{"-c", "-o", "cluster_size=4k,compression_type=zstd"}},
		"cluster 2M":            {40 << 20, []string{"-o", "cluster_size=2M"}},
		"cluster 2M zlib":       {40 << 20, []string{"-c", "-o", "cluster_size=2M"}},
		"cluster 2M zstd":       {40 << 20, []string{"-c", "-o", "cluster_size=2M,compression_type=zstd"}},
		"out of order":          {40 << 20, []string{"-W", "-m", "8"}},
		"out of order zlib":     {40 << 20, []string{"-c", "-W", "-m", "8"}},
		"preallocated metadata": {10 << 20, []string{"-o", "preallocation=metadata"}},
		"preallocated full":     {10 << 20, []string{"-o", "preallocation=falloc"}},
		"odd size":              {5<<20 + 512, nil},
		"odd size zlib":         {5<<20 + 1536, []string{"-c"}},
		"one sector":            {512, nil},
		"no sparse detection":   {10 << 20, []string{"-S", "0"}},
		"lazy refcounts":        {10 << 20, []string{"-o", "lazy_refcounts=on,refcount_bits=1"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			raw, file := filepath.Join(dir, "raw"), filepath.Join(dir, "qcow2")
			want := content(test.size, uint64(len(name)))
			if err := os.WriteFile(raw, want, 0o600); err != nil {
				t.Fatal(err)
			}
			qemuImg(t, append(append([]string{"convert", "-f", "raw", "-O", "qcow2"}, test.args...), raw, file)...)
			b := mustRead(t, file)
			for _, chunks := range []int{1, 7} {
				got, err := guest(b, chunks, qcow2.Options{})
				if err != nil {
					t.Fatal(err)
				}
				compare(t, got, want)
			}
			im, err := qcow2.Open(bytes.NewReader(b), int64(len(b)), qcow2.Options{})
			if err != nil {
				t.Fatal(err)
			}
			got := make([]byte, len(want))
			if _, err := im.ReadAt(got, 0); err != nil {
				t.Fatal(err)
			}
			compare(t, got, want)
		})
	}
}

func compare(t *testing.T, got, want []byte) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("the disk has %d bytes, want %d", len(got), len(want))
	}
	for i := range got {
		if got[i] != want[i] {
			t.Fatalf("first difference at byte %d of %d: got %#x, want %#x", i, len(want), got[i], want[i])
		}
	}
}

// TestWrittenAfterwards covers images that lived: overwritten, discarded, zeroed, with snapshots.
func TestWrittenAfterwards(t *testing.T) {
	if _, err := exec.LookPath("qemu-io"); err != nil {
		t.Skip("SKIPPED: qemu-io is not installed (package qemu-utils)")
	}
	dir := t.TempDir()
	file, raw := filepath.Join(dir, "qcow2"), filepath.Join(dir, "raw")
	qemuImg(t, "create", "-f", "qcow2", file, "64M")
	r := rand.New(rand.NewPCG(7, 7))
	write := func(n int) {
		var args []string
		for range n {
			offset, length := r.IntN(60<<20)&^511, (1+r.IntN(1<<20))&^511+512
			command := []string{"write -P %d %d %d", "write -P %d %d %d", "write -z %[2]d %[3]d", "discard %[2]d %[3]d", "write -z -u %[2]d %[3]d"}[r.IntN(5)]
			if strings.Contains(command, "-P") {
				command = fmt.Sprintf(command, 1+r.IntN(250), offset, length)
			} else {
				command = strings.NewReplacer("%[2]d", fmt.Sprint(offset), "%[3]d", fmt.Sprint(length)).Replace(command)
			}
			args = append(args, "-c", command)
		}
		if out, err := exec.Command("qemu-io", append(append([]string{"-f", "qcow2"}, args...), file)...).CombinedOutput(); err != nil {
			t.Fatalf("qemu-io: %v\n%s", err, out)
		}
	}
	write(100)
	qemuImg(t, "snapshot", "-c", "one", file)
	write(60)
	qemuImg(t, "snapshot", "-c", "two", file)
	write(30)
	qemuImg(t, "convert", "-f", "qcow2", "-O", "raw", file, raw)
	b := mustRead(t, file)
	got, err := guest(b, 3, qcow2.Options{})
	if err != nil {
		t.Fatal(err)
	}
	compare(t, got, mustRead(t, raw))
	h, err := qcow2.ParseHeader(b)
	if err != nil || h.Snapshots != 2 {
		t.Fatalf("snapshots: %d, %v; want 2", h.Snapshots, err)
	}
}

// TestHugeDisk shows that a disk of 2 TiB with a little data costs little.
func TestHugeDisk(t *testing.T) {
	if _, err := exec.LookPath("qemu-io"); err != nil {
		t.Skip("SKIPPED: qemu-io is not installed (package qemu-utils)")
	}
	file := filepath.Join(t.TempDir(), "qcow2")
	qemuImg(t, "create", "-f", "qcow2", file, "2T")
	const last = 2<<40 - 65536
	if out, err := exec.Command("qemu-io", "-f", "qcow2", "-c", "write -P 1 0 4k", "-c", "write -P 2 1T 64k",
		"-c", fmt.Sprintf("write -P 3 %d 64k", int64(last)), file).CombinedOutput(); err != nil {
		t.Fatalf("qemu-io: %v\n%s", err, out)
	}
	b := mustRead(t, file)
	im, err := qcow2.Open(bytes.NewReader(b), int64(len(b)), qcow2.Options{MaxMapBytes: 8 << 20})
	if err != nil {
		t.Fatal(err)
	}
	m, err := im.Index()
	if err != nil {
		t.Fatal(err)
	}
	if got, want := m.DataBytes(), int64(3*65536); got != want {
		t.Errorf("data bytes %d, want %d", got, want)
	}
	holes := int64(0)
	if err := m.Holes(func(_, n int64) error { holes += n; return nil }); err != nil || holes != 2<<40-3*65536 {
		t.Errorf("holes %d, %v", holes, err)
	}
	got := map[int64]byte{}
	s := m.Stream()
	if err := s.Feed(b, func(p qcow2.Piece) error { got[p.Offset] = p.Data[0]; return nil }); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if len(got) != 3 || got[0] != 1 || got[1<<40] != 2 || got[last] != 3 {
		t.Errorf("pieces %v", got)
	}
	if _, err := qcow2.Open(bytes.NewReader(b), int64(len(b)), qcow2.Options{}); err != nil {
		t.Fatal(err)
	}
}

func TestMapMemoryLimit(t *testing.T) {
	file := small(t, "-o", "cluster_size=512")
	_, err := guest(file, 1, qcow2.Options{MaxMapBytes: 300})
	if !ferric.IsCode(err, ferric.CodeUnsupported) || !strings.Contains(err.Error(), "memory") {
		t.Fatalf("got %v", err)
	}
}

// small makes a small image with data, holes and compressed clusters if asked for.
func small(t testing.TB, args ...string) []byte {
	t.Helper()
	b := make([]byte, 256<<10)
	copy(b[1000:], bytes.Repeat([]byte("ferric"), 100))
	copy(b[100<<10:], content(64<<10, 3))
	return convert(t, b, args...)
}

func convert(t testing.TB, b []byte, args ...string) []byte {
	t.Helper()
	dir := t.TempDir()
	raw, file := filepath.Join(dir, "raw"), filepath.Join(dir, "qcow2")
	if err := os.WriteFile(raw, b, 0o600); err != nil {
		t.Fatal(err)
	}
	qemuImg(t, append(append([]string{"convert", "-f", "raw", "-O", "qcow2"}, args...), raw, file)...)
	return mustRead(t, file)
}

// TestRefused damages a good image in one place each.
func TestRefused(t *testing.T) {
	be := binary.BigEndian
	l2 := func(b []byte) []byte { return b[be.Uint64(b[be.Uint64(b[40:]):])&0x00fffffffffffe00:] }
	set32 := func(at int, v uint32) func([]byte) []byte {
		return func(b []byte) []byte { be.PutUint32(b[at:], v); return b }
	}
	set64 := func(at int, v uint64) func([]byte) []byte {
		return func(b []byte) []byte { be.PutUint64(b[at:], v); return b }
	}
	tests := map[string]struct {
		damage func([]byte) []byte
		want   string
	}{
		"signature":            {set32(0, 0), "signature"},
		"version 1":            {set32(4, 1), "version 1"},
		"version 4":            {set32(4, 4), "version 4"},
		"backing file":         {set64(8, 0x200), "backing file"},
		"backing name length":  {set32(16, 11), "backing file"},
		"cluster bits 8":       {set32(20, 8), "cluster size"},
		"cluster bits 22":      {set32(20, 22), "cluster size"},
		"cluster bits huge":    {set32(20, 0xffffffff), "cluster size"},
		"AES":                  {set32(32, 1), "encrypted"},
		"LUKS":                 {set32(32, 2), "encrypted"},
		"size negative":        {set64(24, 1<<63), "absurd"},
		"size huge":            {set64(24, 1<<60), "first-level table"},
		"size above table":     {set64(24, 1<<40), "first-level table has"},
		"table too large":      {set32(36, 1<<28), "first-level table has"},
		"table at zero":        {set64(40, 0), "offset"},
		"table unaligned":      {set64(40, 0x30001), "offset"},
		"table far away":       {set64(40, 1<<40), "beyond the end"},
		"table overflow":       {set64(40, 1<<63-1<<16), "offset"},
		"corrupt bit":          {set64(72, 1<<1), "marked as corrupt"},
		"external data file":   {set64(72, 1<<2), "external data file"},
		"compression bit":      {set64(72, 1<<3), "contradict"},
		"extended L2":          {set64(72, 1<<4), "subclusters"},
		"unknown feature":      {set64(72, 1<<40), "unknown incompatible"},
		"refcount order":       {set32(96, 7), "reference count"},
		"header length short":  {set32(100, 96), "header length"},
		"header length huge":   {set32(100, 1<<31), "header length"},
		"compression type":     {func(b []byte) []byte { b[104] = 2; return b }, "compression type"},
		"data file extension":  {set32(112, 0x44415441), "external data file"},
		"crypto extension":     {set32(112, 0x0537be77), "encryption"},
		"extension too long":   {set32(116, 0xfffffff0), "does not fit"},
		"cut off in header":    {func(b []byte) []byte { return b[:80] }, "cut off"},
		"cut off before table": {func(b []byte) []byte { return b[:70000] }, "beyond the end"},
		"cut off in data":      {func(b []byte) []byte { return b[:len(b)-512] }, "truncated"},
		"L1 reserved bits": {func(b []byte) []byte {
			b[be.Uint64(b[40:])] |= 1
			return b
		}, "reserved"},
		"L1 unaligned": {func(b []byte) []byte {
			b[be.Uint64(b[40:])+6] ^= 2
			return b
		}, "unaligned"},
		"L1 beyond the end": {func(b []byte) []byte {
			b[be.Uint64(b[40:])+2] = 1
			return b
		}, "beyond the end"},
		"L2 is L1": {func(b []byte) []byte {
			at := be.Uint64(b[40:])
			be.PutUint64(b[at:], at)
			return b
		}, "overlaps"},
		"L2 reserved bits":  {func(b []byte) []byte { l2(b)[0] |= 1; return b }, "reserved"},
		"L2 to the header":  {func(b []byte) []byte { be.PutUint64(l2(b), 1<<63); return b }, "points to the header"},
		"L2 to a table":     {func(b []byte) []byte { be.PutUint64(l2(b), be.Uint64(b[40:])); return b }, "overlaps the image's tables"},
		"L2 beyond the end": {func(b []byte) []byte { be.PutUint64(l2(b), 1<<40); return b }, "beyond the end"},
		"L2 shared cluster": {func(b []byte) []byte { copy(l2(b)[8:16], l2(b)[:8]); return b }, "share"},
		"L2 compressed outside": {func(b []byte) []byte {
			be.PutUint64(l2(b), 1<<62|uint64(len(b)+100))
			return b
		}, "outside the file"},
		"L2 compressed garbage": {func(b []byte) []byte {
			be.PutUint64(l2(b), 1<<62|uint64(len(b)-4096))
			return b
		}, "compressed data"},
		"L2 compressed header": {func(b []byte) []byte {
			be.PutUint64(l2(b), 1<<62|4)
			return b
		}, "outside the file"},
	}
	good := small(t)
	if _, err := guest(good, 1, qcow2.Options{}); err != nil {
		t.Fatal(err)
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := guest(test.damage(bytes.Clone(good)), 1, qcow2.Options{})
			if !ferric.IsCode(err, ferric.CodeCorrupt) || !strings.Contains(err.Error(), test.want) {
				t.Fatalf("got %v; want code corrupt and %q", err, test.want)
			}
		})
	}
}

// TestBackingFile uses an image as QEMU writes it.
func TestBackingFile(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "qcow2")
	qemuImg(t, "create", "-f", "qcow2", "-b", "/etc/passwd", "-F", "raw", file, "1M")
	_, err := guest(mustRead(t, file), 1, qcow2.Options{})
	if !ferric.IsCode(err, ferric.CodeCorrupt) || !strings.Contains(err.Error(), "backing file") {
		t.Fatalf("got %v", err)
	}
	qemuImg(t, "create", "-f", "qcow2", "-o", "data_file="+filepath.Join(dir, "data"), file, "1M")
	_, err = guest(mustRead(t, file), 1, qcow2.Options{})
	if !ferric.IsCode(err, ferric.CodeCorrupt) || !strings.Contains(err.Error(), "external data file") {
		t.Fatalf("got %v", err)
	}
}

// TestChangedMeanwhile streams other bytes than those that the map was made from.
func TestChangedMeanwhile(t *testing.T) {
	good := small(t, "-o", "cluster_size=4k")
	be := binary.BigEndian
	l1 := be.Uint64(good[40:])
	l2 := be.Uint64(good[l1:]) & 0x00fffffffffffe00
	tests := map[string]struct {
		change func([]byte) []byte
		want   string
	}{
		"header":       {func(b []byte) []byte { b[31] ^= 1; return b }, "changed"},
		"first level":  {func(b []byte) []byte { b[l1+7] ^= 1; return b }, "changed"},
		"second level": {func(b []byte) []byte { b[l2+300] ^= 1; return b }, "changed"},
		"shorter":      {func(b []byte) []byte { return b[:len(b)-1] }, "ended"},
		"longer":       {func(b []byte) []byte { return append(b, 0) }, "longer"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			im, err := qcow2.Open(bytes.NewReader(good), int64(len(good)), qcow2.Options{})
			if err != nil {
				t.Fatal(err)
			}
			_, err = streamGuest(im, test.change(bytes.Clone(good)), 1)
			if !ferric.IsCode(err, ferric.CodeCorrupt) || !strings.Contains(err.Error(), test.want) {
				t.Fatalf("got %v; want code corrupt and %q", err, test.want)
			}
		})
	}
}

// TestNestedCompressed has compressed clusters that lie within one another, as only a forged image has them.
func TestNestedCompressed(t *testing.T) {
	file := forge(func(l2 []byte, dataAt int) {
		long := uint64(15) << 58 // 16 sectors; clusters of 4 KiB have 4 bits for them
		for i := range 16 {
			binary.BigEndian.PutUint64(l2[i*8:], 1<<62|long|uint64(dataAt+4096+i*300))
			long = uint64(i%3) << 58
		}
	})
	im, err := qcow2.Open(bytes.NewReader(file), int64(len(file)), qcow2.Options{})
	if err != nil {
		t.Fatal(err)
	}
	m, err := im.Index()
	if err != nil {
		t.Fatal(err)
	}
	s, pieces := m.Stream(), int64(0)
	for at := 0; at < len(file); at += 8192 {
		if err := s.Feed(file[at:min(at+8192, len(file))], func(p qcow2.Piece) error { pieces += p.Length; return nil }); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil || pieces != 16*4096 {
		t.Fatalf("pieces of %d bytes, %v", pieces, err)
	}
}

// forge makes an image with 4 KiB clusters, one second-level table and 16 clusters of noise after it.
func forge(fill func(l2 []byte, dataAt int)) []byte {
	b := make([]byte, 3*4096)
	be := binary.BigEndian
	copy(b, "QFI\xfb")
	be.PutUint32(b[4:], 3)
	be.PutUint32(b[20:], 12)
	be.PutUint64(b[24:], 2<<20)
	be.PutUint32(b[36:], 1)
	be.PutUint64(b[40:], 4096)
	be.PutUint32(b[96:], 4)
	be.PutUint32(b[100:], 104)
	be.PutUint64(b[4096:], 8192)
	fill(b[8192:12288], len(b))
	return append(b, content(16*4096, 9)...)
}

func FuzzImage(f *testing.F) {
	f.Add(forge(func(l2 []byte, at int) { binary.BigEndian.PutUint64(l2, uint64(at)) }))
	f.Add(forge(func(l2 []byte, at int) { binary.BigEndian.PutUint64(l2[8:], 1<<62|uint64(at+77)) }))
	if _, err := exec.LookPath("qemu-img"); err == nil {
		disk := make([]byte, 6<<10) // small inputs, or the fuzzer spends its time on shrinking them
		copy(disk[700:], bytes.Repeat([]byte("ferric"), 300))
		for _, args := range [][]string{
			{"-c", "-o", "cluster_size=512"},
			{"-c", "-o", "cluster_size=512,compression_type=zstd"},
			{"-o", "cluster_size=512,compat=0.10"},
		} {
			f.Add(convert(f, disk, args...))
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		im, err := qcow2.Open(bytes.NewReader(b), int64(len(b)), qcow2.Options{MaxMapBytes: 16 << 20})
		if err == nil && im.Size <= 1<<20 {
			var disk []byte
			if disk, err = streamGuest(im, b, 1); err == nil {
				want := make([]byte, im.Size)
				if _, err := im.ReadAt(want, 0); err != nil {
					t.Fatalf("the stream worked, but ReadAt: %v", err)
				}
				if sha256.Sum256(disk) != sha256.Sum256(want) {
					t.Fatal("the stream and ReadAt differ")
				}
			}
		} else if err == nil {
			_, err = im.Index()
		}
		if err != nil && !ferric.IsCode(err, ferric.CodeCorrupt) && !ferric.IsCode(err, ferric.CodeUnsupported) {
			t.Fatalf("code %s: %v", ferric.ErrorCode(err), err)
		}
	})
}
