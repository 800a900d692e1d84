package qcow2

import (
	"encoding/binary"
	"math"

	"ferric"
)

// Sizes and limits of the format (QEMU docs/interop/qcow2, "Header").
const (
	// HeaderBytes is how much of the beginning of a file ParseHeader wants to see; the header and its
	// extensions must end within it.
	HeaderBytes = 64 << 10
	// MaxClusterSize is the largest cluster of the format.
	MaxClusterSize = 1 << maxClusterBits

	minClusterBits = 9
	maxClusterBits = 21
	maxL1Bytes     = 32 << 20 // QEMU's own limit
	headerV2       = 72
	headerV3       = 104
)

// Incompatible feature bits.
const (
	featureDirty       = 1 << 0
	featureCorrupt     = 1 << 1
	featureDataFile    = 1 << 2
	featureCompression = 1 << 3
	featureExtendedL2  = 1 << 4
	featuresKnown      = featureDirty | featureCorrupt | featureDataFile | featureCompression | featureExtendedL2
)

// Header extension types.
const (
	extensionEnd      = 0
	extensionDataFile = 0x44415441
	extensionCrypto   = 0x0537be77
)

// Compression is the method of compressed clusters.
type Compression uint8

// The methods of the format.
const (
	Zlib Compression = 0 // raw deflate
	Zstd Compression = 1
)

// Header is what the first bytes of an image say. Only a header that is safe to read on is ever returned.
type Header struct {
	Version     int
	Size        int64 // bytes of the virtual disk
	ClusterBits uint  // 9 to 21
	Compression Compression
	Snapshots   int  // internal snapshots; they are ignored
	Dirty       bool // not closed cleanly; the tables that are read here are right nevertheless

	l1Entries uint32 // entries that the virtual disk needs, not those that the table has
	l1Offset  int64
}

// ClusterSize is the unit in which the file and the virtual disk are divided, in bytes.
func (h *Header) ClusterSize() int64 { return 1 << h.ClusterBits }

// clusters is the number of clusters of the virtual disk.
func (h *Header) clusters() int64 { return (h.Size + h.ClusterSize() - 1) >> h.ClusterBits }

// IsQcow2 reports whether b begins as a qcow2 (or old qcow) file does.
func IsQcow2(b []byte) bool {
	return len(b) >= 4 && b[0] == 'Q' && b[1] == 'F' && b[2] == 'I' && b[3] == 0xfb
}

func corrupt(format string, args ...any) error {
	return ferric.Errorf(ferric.CodeCorrupt, "qcow2 image refused: "+format, args...)
}

// ParseHeader reads the header in b, the first HeaderBytes of the file (or the whole file if it is shorter).
// Everything that would make the image unsafe or unreadable is refused with CodeCorrupt and the reason.
func ParseHeader(b []byte) (Header, error) {
	if !IsQcow2(b) {
		return Header{}, corrupt("it does not begin with the qcow2 signature")
	}
	if len(b) < headerV2 {
		return Header{}, corrupt("the header is cut off after %d bytes", len(b))
	}
	be := binary.BigEndian
	h := Header{Version: int(min(be.Uint32(b[4:]), math.MaxInt32)), Snapshots: int(min(be.Uint32(b[60:]), math.MaxInt32))}
	if h.Version != 2 && h.Version != 3 {
		return Header{}, corrupt("version %d is not 2 or 3", h.Version)
	}
	if off := be.Uint64(b[8:]); off != 0 {
		return Header{}, corrupt("it has a backing file, which is never followed; flatten it with qemu-img convert")
	}
	if n := be.Uint32(b[16:]); n != 0 {
		return Header{}, corrupt("it has a backing file name of %d bytes, which is never followed; flatten it with qemu-img convert", n)
	}
	if method := be.Uint32(b[32:]); method != 0 {
		return Header{}, corrupt("it is encrypted (method %d)", method)
	}
	bits := be.Uint32(b[20:])
	if bits < minClusterBits || bits > maxClusterBits {
		return Header{}, corrupt("the cluster size 2^%d is outside 2^%d to 2^%d", bits, minClusterBits, maxClusterBits)
	}
	h.ClusterBits = uint(bits)

	length := uint32(headerV2)
	if h.Version == 3 {
		var err error
		if length, err = h.parseV3(b); err != nil {
			return Header{}, err
		}
	}
	if err := checkExtensions(b, length, h.ClusterSize()); err != nil {
		return Header{}, err
	}
	if err := h.parseTables(be.Uint64(b[24:]), be.Uint32(b[36:]), be.Uint64(b[40:])); err != nil {
		return Header{}, err
	}
	return h, nil
}

// parseV3 reads the fields that version 3 added and returns the header's length.
func (h *Header) parseV3(b []byte) (uint32, error) {
	if len(b) < headerV3 {
		return 0, corrupt("the header is cut off after %d bytes", len(b))
	}
	be := binary.BigEndian
	features := be.Uint64(b[72:])
	switch {
	case features&featureDataFile != 0:
		return 0, corrupt("its data is in an external data file, which is never opened; convert it with qemu-img convert")
	case features&featureCorrupt != 0:
		return 0, corrupt("it is marked as corrupt; repair it with qemu-img check -r all")
	case features&featureExtendedL2 != 0:
		return 0, corrupt("it uses extended L2 entries (subclusters), which are not supported; convert it with qemu-img convert -o extended_l2=off")
	case features&^featuresKnown != 0:
		return 0, corrupt("it uses unknown incompatible features %#x", features&^uint64(featuresKnown))
	}
	h.Dirty = features&featureDirty != 0
	if order := be.Uint32(b[96:]); order > 6 {
		return 0, corrupt("the reference count order %d is above 6", order)
	}
	length := be.Uint32(b[100:])
	if length < headerV3 || int64(length) > h.ClusterSize() || length%8 != 0 || int64(length) > int64(len(b)) {
		return 0, corrupt("the header length %d is not possible", length)
	}
	if length > headerV3 {
		h.Compression = Compression(b[104])
	}
	if h.Compression > Zstd {
		return 0, corrupt("the compression type %d is unknown", h.Compression)
	}
	if (features&featureCompression != 0) != (h.Compression != Zlib) {
		return 0, corrupt("the compression type %d and the feature bit for it contradict each other", h.Compression)
	}
	return length, nil
}

// checkExtensions walks the header extensions and refuses those that say that the data is elsewhere or encrypted.
func checkExtensions(b []byte, start uint32, clusterSize int64) error {
	end := min(int64(len(b)), clusterSize)
	for pos := int64(start); pos+8 <= end; {
		kind, length := binary.BigEndian.Uint32(b[pos:]), int64(binary.BigEndian.Uint32(b[pos+4:]))
		switch kind {
		case extensionEnd:
			return nil
		case extensionDataFile:
			return corrupt("it names an external data file, which is never opened; convert it with qemu-img convert")
		case extensionCrypto:
			return corrupt("it has an encryption header")
		}
		if length > end-pos-8 {
			return corrupt("the header extension %#x of %d bytes does not fit", kind, length)
		}
		pos += 8 + (length+7)&^7
	}
	return nil // a header that fills its cluster to the end needs no end mark
}

// parseTables checks the virtual size and the place of the first-level table.
func (h *Header) parseTables(size uint64, l1Size uint32, l1Offset uint64) error {
	if size > math.MaxInt64-MaxClusterSize {
		return corrupt("the virtual size %d is absurd", size)
	}
	h.Size = int64(size)
	// A first-level entry stands for a table of clusterSize/8 entries, each for one cluster.
	perEntry := uint(h.ClusterBits + h.ClusterBits - 3)
	need := (size + 1<<perEntry - 1) >> perEntry
	if need*8 > maxL1Bytes {
		return corrupt("the virtual size %d needs a first-level table of %d bytes; the limit is %d", size, need*8, maxL1Bytes)
	}
	if uint64(l1Size)*8 > maxL1Bytes {
		return corrupt("the first-level table has %d entries; the limit is %d", l1Size, maxL1Bytes/8)
	}
	if uint64(l1Size) < need {
		return corrupt("the first-level table has %d entries, but the virtual size %d needs %d", l1Size, size, need)
	}
	if l1Offset%uint64(h.ClusterSize()) != 0 || l1Offset > math.MaxInt64-maxL1Bytes || (need > 0 && l1Offset == 0) {
		return corrupt("the first-level table's offset %#x is not possible", l1Offset)
	}
	h.l1Entries, h.l1Offset = uint32(need), int64(l1Offset)
	return nil
}
