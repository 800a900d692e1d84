package disk

import (
	"context"
	"errors"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"ferric"
	"ferric/image"
)

// Device is a disk that is open for writing.
type Device interface {
	image.Target
	ReadAt(p []byte, off int64) (int, error)
	ZeroRange(ctx context.Context, offset, length int64) error
	// SectorSize is the logical sector size in bytes: 512 or 4096.
	SectorSize() int
	// Name is what messages call the disk: "/dev/sda".
	Name() string
	Close() error
}

type blockDevice struct {
	*image.Device
	name   string
	sector int
}

// Open opens a block device exclusively: one that is mounted or part of an array fails with CodeConflict. A regular
// file counts as a disk with sectors of 512 bytes.
func Open(name string) (Device, error) {
	d, err := image.OpenDevice(name)
	if err != nil {
		return nil, err
	}
	return &blockDevice{Device: d, name: name, sector: sectorSize(name)}, nil
}

func (d *blockDevice) SectorSize() int { return d.sector }
func (d *blockDevice) Name() string    { return d.name }

func sectorSize(name string) int {
	f, err := os.Open(name)
	if err != nil {
		return 512
	}
	defer f.Close()
	n, err := unix.IoctlGetInt(int(f.Fd()), unix.BLKSSZGET)
	if err != nil || n < 512 {
		return 512
	}
	return n
}

// Rescan makes the kernel read the partition table again. The disk must not be open exclusively. It tries for a few
// seconds while something still holds the disk.
func Rescan(ctx context.Context, name string) error {
	for i := 0; ; i++ {
		err := rescan(name)
		if err == nil || errors.Is(err, unix.ENOTTY) || errors.Is(err, unix.EINVAL) { // not partitionable: a file
			return nil
		}
		if i == 20 || !errors.Is(err, unix.EBUSY) {
			return ferric.Errorf(ferric.CodeUnavailable, "make the kernel read the partition table of %s: %w", name, err)
		}
		select {
		case <-ctx.Done():
			return ferric.Errorf(ferric.CodeTimeout, "make the kernel read the partition table of %s: %w", name, ctx.Err())
		case <-time.After(250 * time.Millisecond):
		}
	}
}

func rescan(name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || info.Mode().IsRegular() {
		return err
	}
	_, err = unix.IoctlRetInt(int(f.Fd()), unix.BLKRRPART)
	return err
}

// zero writes zeros, by ZeroRange where the device can.
func zero(ctx context.Context, d Device, offset, length int64) error {
	if offset < 0 {
		length += offset
		offset = 0
	}
	length = min(length, d.Size()-offset)
	if length <= 0 {
		return nil
	}
	err := d.ZeroRange(ctx, offset, length)
	if !errors.Is(err, errors.ErrUnsupported) {
		return err
	}
	block := make([]byte, min(length, 1<<20))
	for length > 0 {
		if err := ctx.Err(); err != nil {
			return err
		}
		n := min(length, int64(len(block)))
		if _, err := d.WriteAt(block[:n], offset); err != nil {
			return err
		}
		offset, length = offset+n, length-n
	}
	return nil
}
