package image

import (
	"context"
	"errors"
	"io"
	"os"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"

	"ferric"
)

// Device is a block device or regular file as a Target.
type Device struct {
	file    *os.File
	size    int64
	block   bool
	noPunch atomic.Bool // the device cannot discard with zeros
}

// OpenDevice opens an existing block device, partition or regular file for writing. A block device is opened
// exclusively, so one that is mounted or part of an array fails with CodeConflict.
func OpenDevice(path string) (*Device, error) {
	stat, err := os.Stat(path)
	if err != nil {
		code := ferric.CodeUnavailable
		if errors.Is(err, os.ErrNotExist) {
			code = ferric.CodeNotFound
		}
		return nil, ferric.Errorf(code, "open disk: %w", err)
	}
	block := stat.Mode().Type() == os.ModeDevice
	if !block && !stat.Mode().IsRegular() {
		return nil, ferric.Errorf(ferric.CodeInvalid, "open disk %s: it is neither a block device nor a regular file", path)
	}
	flags := os.O_RDWR
	if block {
		flags |= unix.O_EXCL
	}
	file, err := os.OpenFile(path, flags, 0)
	if err != nil {
		code := ferric.CodeUnavailable
		if errors.Is(err, unix.EBUSY) {
			code = ferric.CodeConflict
		}
		return nil, ferric.Errorf(code, "open disk: %w", err)
	}
	size, err := file.Seek(0, io.SeekEnd)
	if err != nil {
		file.Close()
		return nil, ferric.Errorf(ferric.CodeUnavailable, "find the size of disk %s: %w", path, err)
	}
	return &Device{file: file, size: size, block: block}, nil
}

// Size is the size in bytes when the device was opened.
func (d *Device) Size() int64 { return d.size }

// WriteAt writes through the page cache. The kernel is asked to begin with large writes at once, so that the
// disk is busy while the rest of an image arrives, and not only in Sync.
func (d *Device) WriteAt(p []byte, offset int64) (int, error) {
	if offset+int64(len(p)) > d.size {
		return 0, ferric.Errorf(ferric.CodeNoSpace, "write of %d bytes at %d: the disk has %d bytes", len(p), offset, d.size)
	}
	n, err := d.file.WriteAt(p, offset)
	if err == nil && n >= writeBehindMin {
		// A hint: an error of the medium comes back from Sync.
		_ = unix.SyncFileRange(int(d.file.Fd()), offset, int64(n), unix.SYNC_FILE_RANGE_WRITE)
	}
	return n, err
}

// ReadAt reads through the page cache.
func (d *Device) ReadAt(p []byte, offset int64) (int, error) { return d.file.ReadAt(p, offset) }

// Sync waits until everything is on the medium.
func (d *Device) Sync() error { return d.file.Sync() }

// Close closes the device.
func (d *Device) Close() error { return d.file.Close() }

const (
	writeBehindMin = 256 << 10

	zeroAlign = 64 << 10 // a multiple of pages and of sectors
	zeroStep  = 64 << 20 // after each, the context is looked at
)

// ZeroRange makes the range read as zeros: by a discard that guarantees zeros where the device has one, else by
// the kernel's zeroing (BLKZEROOUT), which uses the device's write-zeroes command or writes zero pages.
func (d *Device) ZeroRange(ctx context.Context, offset, length int64) error {
	end := offset + length
	if offset < 0 || length < 0 || end > d.size {
		return ferric.Errorf(ferric.CodeNoSpace, "zero %d bytes at %d: the disk has %d bytes", length, offset, d.size)
	}
	// The unaligned ends are written, since the kernel zeroes whole sectors only.
	first := min((offset+zeroAlign-1)/zeroAlign*zeroAlign, end)
	last := max(end/zeroAlign*zeroAlign, first)
	zeros := make([]byte, max(first-offset, end-last))
	if _, err := d.WriteAt(zeros[:first-offset], offset); err != nil {
		return err
	}
	for at := first; at < last; at += zeroStep {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := d.zeroAligned(at, min(zeroStep, last-at)); err != nil {
			return err
		}
	}
	_, err := d.WriteAt(zeros[:end-last], last)
	return err
}

func (d *Device) zeroAligned(offset, length int64) error {
	if !d.noPunch.Load() {
		err := d.fallocate(unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, offset, length)
		if err == nil {
			return nil
		}
		if !unsupported(err) {
			return err
		}
		d.noPunch.Store(true)
	}
	err := d.fallocate(unix.FALLOC_FL_ZERO_RANGE|unix.FALLOC_FL_KEEP_SIZE, offset, length)
	if unsupported(err) {
		return errors.ErrUnsupported
	}
	return err
}

func (d *Device) fallocate(mode uint32, offset, length int64) error {
	for {
		err := unix.Fallocate(int(d.file.Fd()), mode, offset, length)
		if err != unix.EINTR {
			return err
		}
	}
}

func unsupported(err error) bool {
	return errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.ENODEV)
}

func isNoSpace(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}
