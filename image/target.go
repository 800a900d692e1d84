package image

import (
	"context"
	"errors"
	"io"

	"ferric"
)

// Target is what an image is written to: a disk, a partition, a file.
type Target interface {
	// WriteAt is called by several goroutines at once, for ranges that do not overlap.
	io.WriterAt
	// Size is the room in bytes.
	Size() int64
	// Sync returns when everything written is on the medium.
	Sync() error
}

// Zeroer is a Target that can make a range read as zeros faster than by writing zeros to it. ZeroRange is
// called by several goroutines at once. An error that is errors.ErrUnsupported makes Write write zeros.
type Zeroer interface {
	ZeroRange(ctx context.Context, offset, length int64) error
}

// headBytes is the beginning of the target that is written last. Until the checksum is known to be right, it
// holds zeros, so that a disk with a wrong or half-written image has no partition table and does not boot.
const headBytes = 1 << 20

// zeroBytes is a block to write zeros from.
const zeroBytes = 1 << 20

// headTarget keeps the head in memory and passes the rest on.
type headTarget struct {
	target Target
	head   []byte
	zeros  []byte
	zeroer Zeroer // nil if the target has none
}

func newHeadTarget(target Target, virtualSize int64) *headTarget {
	size := int64(headBytes)
	if virtualSize >= 0 {
		size = min(size, virtualSize)
	}
	t := &headTarget{target: target, head: make([]byte, min(size, target.Size())), zeros: make([]byte, zeroBytes)}
	t.zeroer, _ = target.(Zeroer)
	return t
}

// write writes p, of which the part in the head is only kept. Ranges do not overlap, so no lock is needed.
func (t *headTarget) write(p []byte, offset int64) error {
	if offset < int64(len(t.head)) {
		n := copy(t.head[offset:], p)
		p, offset = p[n:], offset+int64(n)
	}
	return t.writeThrough(p, offset)
}

func (t *headTarget) writeThrough(p []byte, offset int64) error {
	if len(p) == 0 {
		return nil
	}
	if _, err := t.target.WriteAt(p, offset); err != nil {
		return writeError(err, offset)
	}
	return nil
}

// zero makes the range read as zeros. The head begins as zeros.
func (t *headTarget) zero(ctx context.Context, offset, length int64) error {
	if skip := int64(len(t.head)) - offset; skip > 0 {
		skip = min(skip, length)
		offset, length = offset+skip, length-skip
	}
	if length <= 0 {
		return nil
	}
	if t.zeroer != nil {
		err := t.zeroer.ZeroRange(ctx, offset, length)
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return contextError(ctx, "write image")
		}
		if !errors.Is(err, errors.ErrUnsupported) {
			return writeError(err, offset)
		}
	}
	for length > 0 {
		if ctx.Err() != nil {
			return contextError(ctx, "write image")
		}
		n := min(length, zeroBytes-offset%zeroBytes)
		if err := t.writeThrough(t.zeros[:n], offset); err != nil {
			return err
		}
		offset, length = offset+n, length-n
	}
	return nil
}

// commit writes the head; before that, everything else is on the medium.
func (t *headTarget) commit() error {
	if err := t.target.Sync(); err != nil {
		return writeError(err, -1)
	}
	if err := t.writeThrough(t.head, 0); err != nil {
		return err
	}
	if err := t.target.Sync(); err != nil {
		return writeError(err, -1)
	}
	return nil
}

func writeError(err error, offset int64) error {
	code := ferric.CodeUnavailable
	var coded *ferric.Error
	switch {
	case errors.As(err, &coded):
		code = coded.Code
	case isNoSpace(err):
		code = ferric.CodeNoSpace
	}
	if offset < 0 {
		return ferric.Errorf(code, "flush the disk: %w", err)
	}
	return ferric.Errorf(code, "write to the disk at byte %d: %w", offset, err)
}
