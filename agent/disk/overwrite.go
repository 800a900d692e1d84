package disk

import (
	"bytes"
	"context"
	"crypto/rand"
	mrand "math/rand/v2"
	"os"

	"golang.org/x/sys/unix"

	"ferric"
)

// Progress is told how many bytes of how many are done.
type Progress func(done, total int64)

const chunk = 4 << 20

// Overwrite writes random data over the whole disk passes times, then zeros if zeroize, and checks samples of the
// outcome. Zeros are written, not discarded, so that they reach the medium.
func Overwrite(ctx context.Context, d Device, passes int, zeroize bool, progress Progress) error {
	if passes < 0 || passes > 100 {
		return ferric.Errorf(ferric.CodeInvalid, "overwrite %s: %d passes; give 0 to 100", d.Name(), passes)
	}
	total := d.Size() * int64(passes)
	if zeroize {
		total += d.Size()
	}
	var done int64
	buf := make([]byte, chunk)
	for pass := range passes + 1 {
		fill := func() {}
		switch {
		case pass < passes:
			var seed [32]byte
			rand.Read(seed[:]) // never fails (crypto/rand, Go 1.24)
			stream := mrand.NewChaCha8(seed)
			fill = func() { _, _ = stream.Read(buf) } // never fails
		case zeroize:
			clear(buf)
		default:
			continue
		}
		for at := int64(0); at < d.Size(); {
			if err := ctx.Err(); err != nil {
				return ferric.Errorf(ferric.CodeTimeout, "overwrite %s: %w", d.Name(), err)
			}
			fill()
			n := min(chunk, d.Size()-at)
			if _, err := d.WriteAt(buf[:n], at); err != nil {
				return ferric.Errorf(ferric.CodeUnavailable, "overwrite %s at byte %d: %w", d.Name(), at, err)
			}
			at += n
			done += n
			progress(done, total)
		}
		if err := d.Sync(); err != nil {
			return ferric.Errorf(ferric.CodeUnavailable, "overwrite %s: %w", d.Name(), err)
		}
	}
	if zeroize {
		return checkZero(d)
	}
	return nil
}

// checkZero reads samples all over the disk.
func checkZero(d Device) error {
	const samples = 64
	dropCache(d.Name())
	b, want := make([]byte, 4096), make([]byte, 4096)
	for i := range int64(samples + 1) {
		at := max(0, min(d.Size()/samples*i, d.Size()-int64(len(b)))) / 512 * 512
		n := min(int64(len(b)), d.Size()-at)
		if _, err := d.ReadAt(b[:n], at); err != nil {
			return ferric.Errorf(ferric.CodeUnavailable, "check the erased disk %s at byte %d: %w", d.Name(), at, err)
		}
		if !bytes.Equal(b[:n], want[:n]) {
			return ferric.Errorf(ferric.CodeCorrupt, "the disk %s was erased, but byte %d and what follows it is not zero", d.Name(), at)
		}
	}
	return nil
}

// dropCache makes later reads come from the medium. It is a hint: a kernel that ignores it lets the check read what
// was written.
func dropCache(name string) {
	f, err := os.Open(name)
	if err != nil {
		return
	}
	defer f.Close()
	_ = unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED)
}
