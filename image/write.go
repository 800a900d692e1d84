package image

import (
	"context"
	"encoding/hex"
	"fmt"
	"time"

	"ferric"
	"ferric/image/qcow2"
)

// Spec says what is written and what is expected of it. The zero value accepts any permitted image.
type Spec struct {
	Declared  string   // disk_format as the operator declared it; see InspectOptions
	Permitted []Format // see InspectOptions
	Checksum  Checksum // of the file as it is transferred
	AllowMD5  bool     // accept a checksum of MD5
	Zeroed    bool     // the target reads as zeros everywhere, so zeros need not be written
	// MaxMapBytes bounds the memory of a qcow2 image's cluster map; 0 means qcow2.DefaultMaxMapBytes.
	MaxMapBytes int64
}

// Result is what Write did. After an error it holds what was done until then.
type Result struct {
	Format         Format
	PartitionTable string        // "gpt", "mbr", "" or unknown ("" too, for qcow2)
	VirtualSize    int64         // bytes that the image takes on the disk
	ReadBytes      int64         // bytes of the file
	WrittenBytes   int64         // bytes of data written
	ZeroBytes      int64         // bytes that read as zeros without data being written
	Algorithm      string        // of Digest: the checksum's, else sha256
	Digest         string        // of the whole file, lower-case hexadecimal
	Duration       time.Duration // of all of Write
}

// Status is the progress of a write.
type Status struct {
	ReadBytes    int64
	TotalBytes   int64 // size of the file, -1 if it is not known
	WrittenBytes int64
	ZeroBytes    int64
}

// Progress is called about twice a second and once at the end, by one goroutine at a time. It must not block.
type Progress func(Status)

// Write streams the image to the target. The file is read once from start to end (a qcow2 image's tables are
// read before that by ranges) while earlier parts are hashed, decoded and written. Nothing is written if the
// image is unsafe, not permitted, not what was declared, or larger than the target. The first MiB is written
// last, when the checksum has been verified and everything else is on the medium; until then, and after any
// failure, it holds zeros, so a bad image cannot boot.
//
// Parts of the target inside the image's size that the image does not hold data for read as zeros afterwards;
// those behind it are not touched. Memory: about 50 MiB, and for qcow2 the map (see package qcow2).
func Write(ctx context.Context, source Source, target Target, spec Spec, progress Progress) (Result, error) {
	started := time.Now()
	if spec.Checksum.Algorithm == "md5" && !spec.AllowMD5 {
		return Result{}, ferric.Errorf(ferric.CodeInvalid, "image checksum: MD5 is not allowed; use sha256 or sha512, or allow MD5 in the configuration")
	}
	algorithm, digest, err := spec.Checksum.newHash()
	if err != nil {
		return Result{}, err
	}
	info, err := Inspect(ctx, source, InspectOptions{Permitted: spec.Permitted, Declared: spec.Declared})
	if err != nil {
		return Result{}, err
	}
	result := Result{Format: info.Format, PartitionTable: info.PartitionTable, VirtualSize: info.VirtualSize, Algorithm: algorithm}
	what := "image " + source.Info().URL
	if info.VirtualSize > target.Size() {
		return result, tooLarge(what, info.VirtualSize, target.Size())
	}
	p := &pipeline{
		ctx: ctx, source: source, spec: spec, info: info, digest: digest, progress: progress,
		target: newHeadTarget(target, info.VirtualSize),
	}
	if info.Format == FormatQcow2 {
		if p.qcow2, err = openMap(ctx, source, spec); err != nil {
			return result, ferric.Errorf(ferric.ErrorCode(err), "%s: %w", what, err)
		}
		if size := p.qcow2.Image().Size; size != info.VirtualSize {
			return result, ferric.Errorf(ferric.CodeCorrupt, "%s changed while it was read: its virtual size was %d, now it is %d", what, info.VirtualSize, size)
		}
	}
	err = p.run()
	result.ReadBytes, result.WrittenBytes, result.ZeroBytes = p.read.Load(), p.written.Load(), p.zeroed.Load()
	result.Duration = time.Since(started)
	if err != nil {
		return result, ferric.Errorf(ferric.ErrorCode(err), "%s: %w", what, err)
	}
	if result.VirtualSize < 0 {
		result.VirtualSize = result.ReadBytes
	}
	result.Digest = hex.EncodeToString(digest.Sum(nil))
	if err := spec.Checksum.verify(what, result.Digest); err != nil {
		return result, err
	}
	if ctx.Err() != nil {
		return result, contextError(ctx, "write "+what)
	}
	if err := p.target.commit(); err != nil {
		return result, ferric.Errorf(ferric.ErrorCode(err), "%s: %w", what, err)
	}
	result.Duration = time.Since(started)
	return result, nil
}

func tooLarge(what string, image, disk int64) error {
	return ferric.Errorf(ferric.CodeNoSpace, "%s is larger than the disk: it needs %s, the disk has %s", what, bytesText(image), bytesText(disk))
}

// bytesText shows a size exactly and readably.
func bytesText(n int64) string {
	switch {
	case n >= 10<<30:
		return fmt.Sprintf("%d bytes (%.1f GiB)", n, float64(n)/(1<<30))
	case n >= 10<<20:
		return fmt.Sprintf("%d bytes (%.1f MiB)", n, float64(n)/(1<<20))
	default:
		return fmt.Sprintf("%d bytes", n)
	}
}

func openMap(ctx context.Context, source Source, spec Spec) (*qcow2.Map, error) {
	image, err := qcow2.Open(source.ReaderAt(ctx), source.Info().Size, qcow2.Options{MaxMapBytes: spec.MaxMapBytes})
	if err != nil {
		return nil, err
	}
	return image.Index()
}
