package qcow2

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/zstd"

	"ferric"
)

// Decoder decompresses clusters. It belongs to one goroutine at a time and must be closed.
type Decoder struct {
	im      *Image
	reader  bytes.Reader
	inflate io.ReadCloser
	zstd    *zstd.Decoder
}

// NewDecoder makes a decoder for the compressed pieces of the image.
func (im *Image) NewDecoder() *Decoder { return &Decoder{im: im} }

// Close releases what the decoder holds.
func (d *Decoder) Close() {
	if d.zstd != nil {
		d.zstd.Close()
	}
}

// Decode returns the guest's bytes of the piece: p.Data as it is, or the decompressed clusters in buffer, which
// is enlarged if it is too small. Damaged data fails with CodeCorrupt.
func (d *Decoder) Decode(p Piece, buffer []byte) ([]byte, error) {
	if p.Data != nil {
		return p.Data, nil
	}
	size := d.im.ClusterSize()
	if need := int64(len(p.compressed)) * size; int64(cap(buffer)) < need {
		buffer = make([]byte, need)
	} else {
		buffer = buffer[:need]
	}
	for i, src := range p.compressed {
		at := int64(i) * size
		if err := d.cluster(buffer[at:at+size:at+size], src); err != nil {
			return nil, corrupt("compressed data of the guest's offset %d: %w", p.Offset+at, err)
		}
	}
	return buffer[:p.Length], nil
}

// cluster decompresses one cluster into dst, which it must fill. Bytes after the compressed data are ignored,
// since the length in the tables is rounded up to whole sectors.
func (d *Decoder) cluster(dst, src []byte) error {
	if d.im.Compression == Zstd {
		return d.zstdCluster(dst, src)
	}
	d.reader.Reset(src)
	if d.inflate == nil {
		d.inflate = flate.NewReader(&d.reader)
	} else if err := d.inflate.(flate.Resetter).Reset(&d.reader, nil); err != nil {
		return err
	}
	if _, err := io.ReadFull(d.inflate, dst); err != nil {
		if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
			return errors.New("it is shorter than a cluster")
		}
		return fmt.Errorf("inflate: %w", err)
	}
	return nil
}

func (d *Decoder) zstdCluster(dst, src []byte) error {
	if d.zstd == nil {
		var err error
		d.zstd, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
			zstd.WithDecoderMaxMemory(uint64(max(d.im.ClusterSize(), 1<<20))), zstd.WithDecoderMaxWindow(8<<20))
		if err != nil {
			return ferric.Errorf(ferric.CodeInternal, "make a zstd decoder: %w", err)
		}
	}
	filled := 0
	for filled < len(dst) {
		length, err := zstdFrameLength(src)
		if err != nil {
			return err
		}
		out, err := d.zstd.DecodeAll(src[:length], dst[filled:filled:len(dst)])
		if err != nil {
			return fmt.Errorf("zstd: %w", err)
		}
		if len(out) > len(dst)-filled {
			return errors.New("zstd: it is longer than a cluster")
		}
		if len(out) > 0 && &out[0] != &dst[filled] {
			copy(dst[filled:], out)
		}
		filled += len(out)
		src = src[length:]
	}
	return nil
}

// zstdFrameLength finds the end of the first frame in b (RFC 8878, section 3.1.1), since DecodeAll takes
// nothing after the last frame.
func zstdFrameLength(b []byte) (int, error) {
	var h zstd.Header
	if err := h.Decode(b); err != nil {
		return 0, fmt.Errorf("zstd: %w", err)
	}
	if h.Skippable {
		return 0, errors.New("zstd: a skippable frame")
	}
	pos := h.HeaderSize
	for last := false; !last; {
		if pos+3 > len(b) {
			return 0, errors.New("zstd: the frame is cut off")
		}
		block := int(b[pos]) | int(b[pos+1])<<8 | int(b[pos+2])<<16
		last = block&1 != 0
		length := block >> 3
		if block>>1&3 == 1 { // RLE: one byte stands for all
			length = 1
		}
		pos += 3 + length
	}
	if h.HasCheckSum {
		pos += 4
	}
	if pos > len(b) {
		return 0, errors.New("zstd: the frame is cut off")
	}
	return pos, nil
}
