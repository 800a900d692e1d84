package qcow2

import (
	"hash/maphash"
	"slices"

	"ferric"
)

// BatchBytes is the most guest data that one compressed Piece stands for, unless one cluster alone is larger.
const BatchBytes = 1 << 20

// Piece is a range of guest data found in the stream. Its bytes belong to the chunk given to Feed (or to the
// piece alone), so the chunk must not be reused before the piece is done with.
type Piece struct {
	Offset int64 // on the virtual disk
	Length int64
	Data   []byte // the guest's bytes, or nil if the piece is compressed: see Decoder.Decode

	compressed [][]byte
}

// Stream takes the bytes of the file in order and hands out guest data.
type Stream struct {
	m          *Map
	position   int64
	metaNext   int // index of the next region that has not ended
	metaHash   maphash.Hash
	compressed int    // index of the next compressed cluster that was not handed out
	tail       []byte // the end of the previous chunk, if a compressed cluster reaches over it
}

// Stream begins a pass over the file.
func (m *Map) Stream() *Stream {
	s := &Stream{m: m}
	s.metaHash.SetSeed(m.im.seed)
	return s
}

// ChunkUnit is what the length of every chunk but the last must be a multiple of, in bytes.
func (m *Map) ChunkUnit() int64 { return 2 * m.im.ClusterSize() }

// Feed takes the next chunk of the file and calls emit for the pieces of guest data that it completes. All
// chunks but the last must have a length that is a multiple of ChunkUnit. A file that differs from the one
// that the map was made from fails with CodeCorrupt; an error of emit is returned as it is.
func (s *Stream) Feed(chunk []byte, emit func(Piece) error) error {
	im := s.m.im
	end := s.position + int64(len(chunk))
	if s.position%s.m.ChunkUnit() != 0 {
		return ferric.Errorf(ferric.CodeInternal, "qcow2 stream: a chunk before offset %d was not a multiple of %d", s.position, s.m.ChunkUnit())
	}
	if end > im.fileSize {
		return corrupt("the file became longer than %d bytes while it was read", im.fileSize)
	}
	if err := s.checkMeta(chunk, end); err != nil {
		return err
	}
	if err := s.emitData(chunk, emit); err != nil {
		return err
	}
	if err := s.emitCompressed(chunk, end, emit); err != nil {
		return err
	}
	s.position = end
	return nil
}

// Close checks that the whole file has passed.
func (s *Stream) Close() error {
	if s.position != s.m.im.fileSize {
		return corrupt("the file ended after %d of %d bytes", s.position, s.m.im.fileSize)
	}
	return nil
}

// checkMeta compares the tables that pass with those that the map was made from.
func (s *Stream) checkMeta(chunk []byte, end int64) error {
	for s.metaNext < len(s.m.meta) {
		r := s.m.meta[s.metaNext]
		from := max(r.offset, s.position)
		to := min(r.offset+r.length, end)
		if from >= to {
			return nil
		}
		s.metaHash.Write(chunk[from-s.position : to-s.position])
		if to < r.offset+r.length {
			return nil
		}
		if s.metaHash.Sum64() != r.sum {
			return corrupt("its tables at %#x changed while it was read", r.offset)
		}
		s.metaHash.Reset()
		s.metaNext++
	}
	return nil
}

// emitData hands out the plain clusters of the chunk, runs that are neighbours on both sides together.
func (s *Stream) emitData(chunk []byte, emit func(Piece) error) error {
	im := s.m.im
	first := s.position >> im.ClusterBits
	last := (s.position + int64(len(chunk)) + im.ClusterSize() - 1) >> im.ClusterBits
	for c := first; c < last; {
		owner := s.m.host[c]
		if owner == 0 || owner == hostMeta {
			c++
			continue
		}
		n := int64(1)
		for c+n < last && int64(s.m.host[c+n]) == int64(owner)+n && s.m.host[c+n] != hostMeta {
			n++
		}
		guest := int64(owner) - 1
		length := (n-1)<<im.ClusterBits + im.guestLength(guest+n-1)
		at := c<<im.ClusterBits - s.position
		if at+length > int64(len(chunk)) {
			return corrupt("the file ended within the guest cluster %d", guest+n-1)
		}
		p := Piece{Offset: guest << im.ClusterBits, Length: length, Data: chunk[at : at+length : at+length]}
		if err := emit(p); err != nil {
			return err
		}
		c += n
	}
	return nil
}

// emitCompressed hands out the compressed clusters that end in the chunk. One cluster is never longer than
// two clusters' size, so it reaches over at most one border between chunks.
func (s *Stream) emitCompressed(chunk []byte, end int64, emit func(Piece) error) error {
	im := s.m.im
	batchMax := int(max(1, BatchBytes>>im.ClusterBits))
	var batch [][]byte
	var firstGuest, nextGuest int64
	flush := func() error {
		if len(batch) == 0 {
			return nil
		}
		p := Piece{Offset: firstGuest << im.ClusterBits, compressed: batch}
		p.Length = int64(len(batch)-1)<<im.ClusterBits + im.guestLength(nextGuest-1)
		batch = nil
		return emit(p)
	}
	tailStart := s.position - int64(len(s.tail))
	for s.compressed < len(s.m.compressed) {
		c := s.m.compressed[s.compressed]
		offset := c.offset()
		stop := min((offset&^511)+(int64(c.sectors)+1)*512, im.fileSize)
		if stop > end {
			break
		}
		var src []byte
		switch {
		case offset >= s.position:
			src = chunk[offset-s.position : stop-s.position]
		case stop <= s.position: // only if a damaged image nests one compressed cluster in another
			src = slices.Clone(s.tail[offset-tailStart : stop-tailStart])
		default:
			src = slices.Concat(s.tail[offset-tailStart:], chunk[:stop-s.position])
		}
		guest := int64(c.guest)
		if len(batch) == batchMax || guest != nextGuest {
			if err := flush(); err != nil {
				return err
			}
			firstGuest = guest
		}
		batch = append(batch, src)
		nextGuest = guest + 1
		s.compressed++
	}
	if err := flush(); err != nil {
		return err
	}
	s.tail = s.tail[:0]
	if s.compressed < len(s.m.compressed) {
		if offset := s.m.compressed[s.compressed].offset(); offset < end {
			s.tail = append(s.tail, chunk[offset-s.position:]...)
		}
	}
	return nil
}
