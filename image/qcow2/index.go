package qcow2

import (
	"cmp"
	"encoding/binary"
	"hash/maphash"
	"math"
	"math/bits"
	"slices"

	"ferric"
)

// Map says where every guest cluster is in the file, in the order of the file.
type Map struct {
	im         *Image
	host       []uint32     // by cluster of the file: 0 nothing, hostMeta, else guest cluster + 1
	compressed []compressed // ascending by offset
	meta       []region     // ascending by offset
	present    []uint64     // bit per guest cluster: it has data
}

// hostMeta marks a cluster of the file that holds tables.
const hostMeta = math.MaxUint32

// compressed is a compressed cluster: 12 bytes without padding, since there may be many.
type compressed struct {
	offsetLow  uint32
	offsetHigh uint16
	sectors    uint16 // 512-byte sectors after the one that holds the first byte, at most 2^13
	guest      uint32
}

func (c compressed) offset() int64 { return int64(c.offsetHigh)<<32 | int64(c.offsetLow) }

// Tables that lie close together are read together.
const (
	tableReadMax = 4 << 20
	tableReadGap = 64 << 10
)

// Index reads all second-level tables and builds the map. It reads the file by ranges in ascending order.
func (im *Image) Index() (*Map, error) {
	hostClusters := (im.fileSize + im.ClusterSize() - 1) >> im.ClusterBits
	guestClusters := im.clusters()
	if hostClusters >= hostMeta || guestClusters >= hostMeta {
		return nil, corrupt("a file of %d bytes for a disk of %d bytes has too many clusters of %d bytes", im.fileSize, im.Size, im.ClusterSize())
	}
	var tables []int // first-level indexes in the order of the file
	for i, offset := range im.l1 {
		if offset != 0 {
			tables = append(tables, i)
		}
	}
	slices.SortFunc(tables, func(a, b int) int { return cmp.Compare(im.l1[a], im.l1[b]) })

	m := &Map{im: im, meta: slices.Clone(im.meta)}
	fixed := hostClusters*4 + guestClusters/8 + int64(len(im.l1))*8 + int64(len(tables))*32
	if err := m.checkMemory(fixed); err != nil {
		return nil, err
	}
	m.host = make([]uint32, hostClusters)
	m.present = make([]uint64, (guestClusters+63)/64)
	if err := m.markMeta(tables); err != nil {
		return nil, err
	}
	if err := m.readTables(tables, fixed); err != nil {
		return nil, err
	}
	slices.SortFunc(m.meta, func(a, b region) int { return cmp.Compare(a.offset, b.offset) })
	if !slices.IsSortedFunc(m.compressed, compareCompressed) {
		slices.SortFunc(m.compressed, compareCompressed)
	}
	for i := 1; i < len(m.compressed); i++ {
		if a, b := m.compressed[i-1], m.compressed[i]; a.offset() == b.offset() {
			return nil, corrupt("guest clusters %d and %d share the compressed data at %#x", a.guest, b.guest, a.offset())
		}
	}
	return m, nil
}

func compareCompressed(a, b compressed) int { return cmp.Compare(a.offset(), b.offset()) }

func (m *Map) checkMemory(need int64) error {
	if limit := m.im.options.MaxMapBytes; need > limit {
		return ferric.Errorf(ferric.CodeUnsupported,
			"qcow2 image: the cluster map needs more than %d bytes of memory, the limit is %d; convert the image to a larger cluster size or to raw", need, limit)
	}
	return nil
}

// markMeta marks the clusters of the header and of all tables, so that data cannot be mapped on top of them.
func (m *Map) markMeta(tables []int) error {
	for _, r := range m.im.meta {
		for c := r.offset >> m.im.ClusterBits; c<<m.im.ClusterBits < r.offset+r.length; c++ {
			m.host[c] = hostMeta
		}
	}
	for _, i := range tables {
		c := int64(m.im.l1[i]) >> m.im.ClusterBits
		if m.host[c] != 0 {
			return corrupt("the second-level table at %#x overlaps another table", m.im.l1[i])
		}
		m.host[c] = hostMeta
	}
	return nil
}

// readTables reads the second-level tables, neighbours together, and enters their content.
func (m *Map) readTables(tables []int, fixed int64) error {
	size := m.im.ClusterSize()
	var buffer []byte
	for len(tables) > 0 {
		start := int64(m.im.l1[tables[0]])
		n, end := 1, start+size
		for ; n < len(tables); n++ {
			next := int64(m.im.l1[tables[n]])
			if next-end > tableReadGap || next+size-start > tableReadMax {
				break
			}
			end = next + size
		}
		if int64(cap(buffer)) < end-start {
			buffer = make([]byte, end-start)
		}
		buffer = buffer[:end-start]
		if err := readFull(m.im.r, buffer, start); err != nil {
			return wrapRead(err, "a second-level table")
		}
		for _, i := range tables[:n] {
			offset := int64(m.im.l1[i])
			table := buffer[offset-start:][:size]
			m.meta = append(m.meta, region{offset, size, maphash.Bytes(m.im.seed, table)})
			if err := m.enterTable(int64(i), table); err != nil {
				return err
			}
			if err := m.checkMemory(fixed + int64(cap(m.compressed))*12); err != nil {
				return err
			}
		}
		tables = tables[n:]
	}
	return nil
}

// enterTable enters the entries of the second-level table with the given first-level index.
func (m *Map) enterTable(index int64, table []byte) error {
	first := index << (m.im.ClusterBits - 3)
	count := min(int64(len(table)/8), m.im.clusters()-first)
	for j := range count {
		raw := binary.BigEndian.Uint64(table[j*8:])
		if raw == 0 {
			continue
		}
		guest := first + j
		e, err := m.im.decodeEntry(raw, guest)
		if err != nil {
			return err
		}
		if e.kind == kindHole {
			continue
		}
		c := e.offset >> m.im.ClusterBits
		owner := m.host[c]
		switch {
		case owner == hostMeta:
			return corrupt("guest cluster %d at %#x overlaps the image's tables", guest, e.offset)
		case e.kind == kindCompressed:
			m.compressed = append(m.compressed, compressed{
				offsetLow:  uint32(e.offset),
				offsetHigh: uint16(e.offset >> 32),
				sectors:    uint16((e.offset&511+e.length+511)/512 - 1),
				guest:      uint32(guest),
			})
		case owner != 0:
			return corrupt("guest clusters %d and %d share the cluster at %#x", owner-1, guest, e.offset)
		default:
			m.host[c] = uint32(guest) + 1
		}
		m.present[guest/64] |= 1 << (guest % 64)
	}
	return nil
}

// Holes calls f for every range of the virtual disk that reads as zeros because the image holds no data for
// it, ascending, until f returns an error.
func (m *Map) Holes(f func(offset, length int64) error) error {
	total := m.im.clusters()
	for c := int64(0); c < total; {
		start := m.next(c, total, false)
		c = m.next(start, total, true)
		if start == c {
			break
		}
		offset := start << m.im.ClusterBits
		if err := f(offset, min(c<<m.im.ClusterBits, m.im.Size)-offset); err != nil {
			return err
		}
	}
	return nil
}

// next finds the first guest cluster from c on whose presence is as wanted; total if there is none.
func (m *Map) next(c, total int64, present bool) int64 {
	for c < total {
		word := m.present[c/64]
		if !present {
			word = ^word
		}
		if word >>= c % 64; word != 0 {
			return min(c+int64(bits.TrailingZeros64(word)), total)
		}
		c = (c/64 + 1) * 64
	}
	return total
}

// DataBytes is the number of bytes of the virtual disk that the image holds data for.
func (m *Map) DataBytes() int64 {
	n := int64(0)
	for _, word := range m.present {
		n += int64(bits.OnesCount64(word))
	}
	return min(n<<m.im.ClusterBits, m.im.Size)
}

// Image is the image that the map is of.
func (m *Map) Image() *Image { return m.im }
