package image

import (
	"bytes"
	"context"
	"hash"
	"io"
	"runtime"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"ferric"
	"ferric/image/qcow2"
)

const (
	// chunkBytes is the unit of reading and the largest write. It is a multiple of every qcow2 image's ChunkUnit.
	chunkBytes = 2 * qcow2.MaxClusterSize
	// chunkCount bounds the chunks in flight.
	chunkCount = 8
	// zeroUnit is the granularity in which zeros are looked for in raw images; zeroRunMin is the shortest run
	// for which a target that may hold old data is asked to zero a range.
	zeroUnit   = 64 << 10
	zeroRunMin = 1 << 20
)

// pipeline is one run of Write. Its stages, each a goroutine but the last: read chunks; hash them; split them
// into jobs; and some workers that decode and write.
type pipeline struct {
	ctx      context.Context
	source   Source
	spec     Spec
	info     Info
	qcow2    *qcow2.Map // nil for raw
	digest   hash.Hash
	target   *headTarget
	progress Progress

	read, written, zeroed atomic.Int64

	free chan *chunk
	jobs chan job
}

// chunk is a buffer that goes back to the free ones when its last user is done.
type chunk struct {
	buffer []byte
	data   []byte
	offset int64 // of data in the file
	users  atomic.Int32
}

// job is a range of the target.
type job struct {
	chunk  *chunk // released afterwards; nil for zeros
	piece  qcow2.Piece
	offset int64 // of zeros
	length int64 // of zeros
}

func (p *pipeline) run() error {
	workers := min(max(runtime.GOMAXPROCS(0), 2), 8)
	p.free = make(chan *chunk, chunkCount)
	for range chunkCount {
		p.free <- &chunk{}
	}
	p.jobs = make(chan job, 2*workers)
	hashes, splits := make(chan *chunk, chunkCount), make(chan *chunk, chunkCount)

	if !p.spec.Zeroed {
		if err := p.target.writeThrough(p.target.zeros[:len(p.target.head)], 0); err != nil {
			return err
		}
	}
	group, ctx := errgroup.WithContext(p.ctx)
	p.ctx = ctx
	// A stage closes its output only if it succeeded. After an error the others are ended by the context, so
	// that none takes an early end for the end of the file.
	group.Go(func() error { return p.readAll(hashes, splits) })
	group.Go(func() error {
		return receive(p, hashes, func(c *chunk) error {
			p.digest.Write(c.data)
			p.release(c)
			return nil
		})
	})
	group.Go(func() error {
		split := p.splitRaw
		if p.qcow2 != nil {
			split = p.splitQcow2
		}
		if err := split(splits); err != nil {
			return err
		}
		close(p.jobs)
		return nil
	})
	for range workers {
		group.Go(p.work)
	}
	stop := p.report()
	err := group.Wait()
	stop()
	return err
}

// report calls progress from time to time until the function it returns is called.
func (p *pipeline) report() (stop func()) {
	if p.progress == nil {
		return func() {}
	}
	status := func() {
		p.progress(Status{ReadBytes: p.read.Load(), TotalBytes: p.info.FileSize, WrittenBytes: p.written.Load(), ZeroBytes: p.zeroed.Load()})
	}
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		ticker := time.NewTicker(500 * time.Millisecond)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				status()
			case <-quit:
				status()
				return
			}
		}
	}()
	return func() { close(quit); <-done }
}

// receive calls f for everything that comes from the channel until it is closed.
func receive[T any](p *pipeline, in <-chan T, f func(T) error) error {
	for {
		select {
		case <-p.ctx.Done():
			return p.cancelled()
		case item, open := <-in:
			if !open {
				return nil
			}
			if err := f(item); err != nil {
				return err
			}
		}
	}
}

func (p *pipeline) cancelled() error { return contextError(p.ctx, "write image") }

func (p *pipeline) release(c *chunk) {
	if c != nil && c.users.Add(-1) == 0 {
		p.free <- c
	}
}

// readAll reads the file in chunks, which are full but for the last.
func (p *pipeline) readAll(outs ...chan<- *chunk) error {
	reader, err := p.source.Reader(p.ctx, 0)
	if err != nil {
		return err
	}
	defer reader.Close()
	for {
		var c *chunk
		select {
		case c = <-p.free:
		case <-p.ctx.Done():
			return p.cancelled()
		}
		if c.buffer == nil {
			c.buffer = make([]byte, chunkBytes)
		}
		n, err := io.ReadFull(reader, c.buffer)
		ended := err == io.EOF || err == io.ErrUnexpectedEOF
		if err != nil && !ended {
			return err
		}
		c.data, c.offset = c.buffer[:n], p.read.Load()
		if c.offset == 0 && !bytes.HasPrefix(c.data, p.info.prefix) {
			return ferric.Errorf(ferric.CodeCorrupt, "it changed while it was read: its beginning is not the one that was inspected")
		}
		p.read.Add(int64(n))
		if n > 0 {
			c.users.Store(int32(len(outs)))
			for _, out := range outs {
				select {
				case out <- c:
				case <-p.ctx.Done():
					return p.cancelled()
				}
			}
		}
		if ended {
			for _, out := range outs {
				close(out)
			}
			return nil
		}
	}
}

// send hands a job to the workers.
func (p *pipeline) send(j job) error {
	if j.chunk != nil {
		j.chunk.users.Add(1)
	}
	select {
	case p.jobs <- j:
		return nil
	case <-p.ctx.Done():
		return p.cancelled()
	}
}

func (p *pipeline) splitQcow2(in <-chan *chunk) error {
	stream := p.qcow2.Stream()
	// Holes first: the data is still on its way.
	err := p.qcow2.Holes(func(offset, length int64) error {
		if p.spec.Zeroed {
			p.zeroed.Add(length)
			return nil
		}
		const step = 256 << 20 // several workers, and a cancelled context is noticed
		for ; length > 0; offset, length = offset+step, length-step {
			if err := p.send(job{offset: offset, length: min(length, step)}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	err = receive(p, in, func(c *chunk) error {
		defer p.release(c)
		return stream.Feed(c.data, func(piece qcow2.Piece) error { return p.send(job{chunk: c, piece: piece}) })
	})
	if err != nil {
		return err
	}
	return stream.Close()
}

// splitRaw separates data from zeros.
func (p *pipeline) splitRaw(in <-chan *chunk) error {
	zeros := make([]byte, zeroUnit)
	size := p.target.target.Size()
	return receive(p, in, func(c *chunk) error {
		defer p.release(c)
		if c.offset+int64(len(c.data)) > size {
			return ferric.Errorf(ferric.CodeNoSpace, "it is larger than the disk: the disk has %s, more than that was sent", bytesText(size))
		}
		for at := 0; at < len(c.data); {
			end, zero := at, false
			for end < len(c.data) {
				unit := c.data[end:min(end+zeroUnit, len(c.data))]
				isZero := bytes.Equal(unit, zeros[:len(unit)])
				if end > at && isZero != zero {
					break
				}
				zero = isZero
				end += len(unit)
			}
			if err := p.sendRaw(c, at, end, zero); err != nil {
				return err
			}
			at = end
		}
		return nil
	})
}

// sendRaw sends a run of a raw chunk, or leaves it out if it is zero and the target is zero there.
func (p *pipeline) sendRaw(c *chunk, from, to int, zero bool) error {
	offset, length := c.offset+int64(from), int64(to-from)
	switch {
	case zero && p.spec.Zeroed:
		p.zeroed.Add(length)
		return nil
	case zero && p.target.zeroer != nil && length >= zeroRunMin:
		return p.send(job{offset: offset, length: length})
	default:
		return p.send(job{chunk: c, piece: qcow2.Piece{Offset: offset, Length: length, Data: c.data[from:to]}})
	}
}

// work decodes and writes until there are no more jobs.
func (p *pipeline) work() error {
	var decoder *qcow2.Decoder
	var buffer []byte
	if p.qcow2 != nil {
		decoder = p.qcow2.Image().NewDecoder()
		defer decoder.Close()
	}
	return receive(p, p.jobs, func(j job) error {
		if j.chunk == nil {
			if err := p.target.zero(p.ctx, j.offset, j.length); err != nil {
				return err
			}
			p.zeroed.Add(j.length)
			return nil
		}
		data := j.piece.Data
		if data == nil {
			var err error
			if data, err = decoder.Decode(j.piece, buffer); err != nil {
				return err
			}
			buffer = data[:0]
		}
		if err := p.target.write(data, j.piece.Offset); err != nil {
			return err
		}
		p.written.Add(int64(len(data)))
		p.release(j.chunk)
		return nil
	})
}
