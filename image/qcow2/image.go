package qcow2

import (
	"encoding/binary"
	"hash/maphash"
	"io"

	"ferric"
)

// Options bounds what an image may cost.
type Options struct {
	// MaxMapBytes limits the memory of the map that Index builds; 0 means DefaultMaxMapBytes.
	MaxMapBytes int64
}

// DefaultMaxMapBytes is the limit of the map's memory if none is given.
const DefaultMaxMapBytes = 256 << 20

// Bits of a table entry.
const (
	entryCopied     = 1 << 63
	entryCompressed = 1 << 62
	entryZero       = 1 << 0
	entryOffset     = 0x00fffffffffffe00
)

// Image is an opened file whose header and first-level table were read.
type Image struct {
	Header
	r        io.ReaderAt
	fileSize int64
	options  Options
	l1       []uint64
	seed     maphash.Seed
	meta     []region // header and first-level table
}

// region is a range of the file whose bytes were used as metadata.
type region struct {
	offset, length int64
	sum            uint64
}

// Open reads the header and the first-level table of the file in r, which is fileSize bytes long. Unsafe or
// damaged images fail with CodeCorrupt; errors of r are returned with their code.
func Open(r io.ReaderAt, fileSize int64, options Options) (*Image, error) {
	if fileSize < 0 {
		return nil, ferric.Errorf(ferric.CodeUnsupported, "qcow2 image: the size of the file is not known")
	}
	if fileSize >= 1<<48 {
		return nil, corrupt("a file of %d bytes is absurd", fileSize)
	}
	if options.MaxMapBytes == 0 {
		options.MaxMapBytes = DefaultMaxMapBytes
	}
	b := make([]byte, min(fileSize, HeaderBytes))
	if err := readFull(r, b, 0); err != nil {
		return nil, wrapRead(err, "the header")
	}
	h, err := ParseHeader(b)
	if err != nil {
		return nil, err
	}
	im := &Image{Header: h, r: r, fileSize: fileSize, options: options, seed: maphash.MakeSeed()}
	im.addRegion(0, b[:min(int64(len(b)), h.ClusterSize())])
	if h.l1Entries == 0 {
		return im, nil
	}
	tableBytes := int64(h.l1Entries) * 8
	if h.l1Offset+tableBytes > fileSize {
		return nil, corrupt("the first-level table at %#x lies beyond the end of the file (%d bytes)", h.l1Offset, fileSize)
	}
	if h.l1Offset < h.ClusterSize() {
		return nil, corrupt("the first-level table overlaps the header")
	}
	table := make([]byte, tableBytes)
	if err := readFull(r, table, h.l1Offset); err != nil {
		return nil, wrapRead(err, "the first-level table")
	}
	im.addRegion(h.l1Offset, table)
	im.l1 = make([]uint64, h.l1Entries)
	for i := range im.l1 {
		entry := binary.BigEndian.Uint64(table[i*8:])
		if entry&^(entryCopied|entryOffset) != 0 {
			return nil, corrupt("first-level entry %d has reserved bits set", i)
		}
		offset := int64(entry & entryOffset)
		if offset%h.ClusterSize() != 0 || offset+h.ClusterSize() > fileSize {
			return nil, corrupt("first-level entry %d points to %#x, which is unaligned or beyond the end of the file (%d bytes)", i, offset, fileSize)
		}
		im.l1[i] = uint64(offset)
	}
	return im, nil
}

func (im *Image) addRegion(offset int64, b []byte) {
	im.meta = append(im.meta, region{offset, int64(len(b)), maphash.Bytes(im.seed, b)})
}

// entry is a second-level entry in decoded form.
type entry struct {
	kind   entryKind
	offset int64 // in the file; of data and compressed clusters
	length int64 // of compressed clusters: bytes in the file, rounded up to a sector's end
}

type entryKind uint8

const (
	kindHole entryKind = iota // not allocated or zero
	kindData
	kindCompressed
)

// decodeEntry checks and decodes the second-level entry of the guest cluster.
func (im *Image) decodeEntry(raw uint64, cluster int64) (entry, error) {
	if raw == 0 {
		return entry{}, nil
	}
	if raw&entryCompressed != 0 {
		x := 62 - (im.ClusterBits - 8)
		offset := int64(raw & (1<<x - 1))
		sectors := int64(raw>>x) & (1<<(im.ClusterBits-8) - 1)
		length := (sectors+1)*512 - offset&511
		if offset < im.ClusterSize() || offset >= im.fileSize || offset+length > (im.fileSize+511)&^511 {
			return entry{}, corrupt("compressed guest cluster %d at %#x (%d bytes) lies outside the file (%d bytes); the file may be truncated",
				cluster, offset, length, im.fileSize)
		}
		return entry{kindCompressed, offset, min(length, im.fileSize-offset)}, nil
	}
	reserved := raw &^ (entryCopied | entryOffset | entryZero)
	if im.Version == 2 {
		reserved |= raw & entryZero
	}
	offset := int64(raw & entryOffset)
	if reserved != 0 || offset%im.ClusterSize() != 0 {
		return entry{}, corrupt("the table entry %#x of guest cluster %d has reserved bits set or an unaligned offset", raw, cluster)
	}
	if raw&entryZero != 0 {
		return entry{}, nil // a cluster may be set aside for it; its content does not count
	}
	if offset == 0 {
		return entry{}, corrupt("the table entry %#x of guest cluster %d points to the header", raw, cluster)
	}
	if offset+im.guestLength(cluster) > im.fileSize {
		return entry{}, corrupt("guest cluster %d at %#x lies beyond the end of the file (%d bytes); the file may be truncated", cluster, offset, im.fileSize)
	}
	return entry{kindData, offset, 0}, nil
}

// guestLength is the number of bytes of the guest cluster that are inside the virtual disk.
func (im *Image) guestLength(cluster int64) int64 {
	return min(im.ClusterSize(), im.Size-cluster<<im.ClusterBits)
}

// ReadAt reads from the virtual disk: p bytes at the guest offset. It looks everything up in the file, so it
// is slow; it serves tests and small reads such as a partition table.
func (im *Image) ReadAt(p []byte, offset int64) (int, error) {
	if offset < 0 {
		return 0, ferric.Errorf(ferric.CodeInvalid, "qcow2 image: offset %d is negative", offset)
	}
	done := 0
	decoder := im.NewDecoder()
	defer decoder.Close()
	for done < len(p) {
		at := offset + int64(done)
		if at >= im.Size {
			return done, io.EOF
		}
		cluster, within := at>>im.ClusterBits, at&(im.ClusterSize()-1)
		n := min(int64(len(p)-done), im.guestLength(cluster)-within)
		if err := im.readCluster(decoder, cluster, within, p[done:done+int(n)]); err != nil {
			return done, err
		}
		done += int(n)
	}
	return done, nil
}

func (im *Image) readCluster(decoder *Decoder, cluster, within int64, p []byte) error {
	perTable := im.ClusterBits - 3
	table := im.l1[cluster>>perTable]
	if table == 0 {
		clear(p)
		return nil
	}
	var raw [8]byte
	if err := readFull(im.r, raw[:], int64(table)+cluster&(1<<perTable-1)*8); err != nil {
		return wrapRead(err, "a second-level table")
	}
	e, err := im.decodeEntry(binary.BigEndian.Uint64(raw[:]), cluster)
	if err != nil {
		return err
	}
	switch e.kind {
	case kindData:
		return wrapRead(readFull(im.r, p, e.offset+within), "a cluster")
	case kindCompressed:
		src := make([]byte, e.length)
		if err := readFull(im.r, src, e.offset); err != nil {
			return wrapRead(err, "a compressed cluster")
		}
		dst := make([]byte, im.ClusterSize())
		if err := decoder.cluster(dst, src); err != nil {
			return corrupt("compressed guest cluster %d at %#x: %w", cluster, e.offset, err)
		}
		copy(p, dst[within:])
	default:
		clear(p)
	}
	return nil
}

// readFull fills b from r at the offset.
func readFull(r io.ReaderAt, b []byte, offset int64) error {
	n, err := r.ReadAt(b, offset)
	if n == len(b) {
		return nil
	}
	if err == nil || err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return err
}

// wrapRead keeps the code of a source's error and makes a short read a damaged file.
func wrapRead(err error, what string) error {
	switch {
	case err == nil:
		return nil
	case err == io.ErrUnexpectedEOF:
		return corrupt("the file ends within %s", what)
	default:
		return ferric.Errorf(ferric.ErrorCode(err), "read %s of the qcow2 image: %w", what, err)
	}
}
