package image

import (
	"context"
	"errors"
	"io"
	"sync/atomic"
	"time"

	"ferric"
)

// idleBody ends a body's request if a read waits too long for the next byte.
type idleBody struct {
	io.ReadCloser
	cancel  context.CancelCauseFunc
	timeout time.Duration
	timer   *time.Timer
	fired   atomic.Bool
}

var errIdle = errors.New("no data arrived for too long")

func newIdleBody(body io.ReadCloser, cancel context.CancelCauseFunc, timeout time.Duration) *idleBody {
	b := &idleBody{ReadCloser: body, cancel: cancel, timeout: timeout}
	b.timer = time.AfterFunc(timeout, func() {
		b.fired.Store(true)
		cancel(errIdle)
	})
	b.timer.Stop()
	return b
}

func (b *idleBody) Read(p []byte) (int, error) {
	b.timer.Reset(b.timeout)
	n, err := b.ReadCloser.Read(p)
	b.timer.Stop()
	if err != nil && b.fired.Load() {
		err = errIdle
	}
	return n, err
}

func (b *idleBody) Close() error {
	b.timer.Stop()
	err := b.ReadCloser.Close()
	b.cancel(nil)
	return err
}

// progressBytes is how much a reader must get before its time to resume counts from the beginning, so that a
// server cannot hold it for ever with single bytes.
const progressBytes = 64 << 10

// httpReader is a download that survives interruptions.
type httpReader struct {
	s          *httpSource
	ctx        context.Context
	cancel     context.CancelFunc
	offset     int64
	body       io.ReadCloser
	gained     int64     // bytes since the deadline was last set
	deadline   time.Time // of the attempts to resume
	lastErr    error
	interrupts int
}

func (s *httpSource) Reader(ctx context.Context, offset int64) (io.ReadCloser, error) {
	if offset < 0 || (s.info.Size >= 0 && offset > s.info.Size) {
		return nil, ferric.Errorf(ferric.CodeInvalid, "read image %s: offset %d is outside its %d bytes", s.info.URL, offset, s.info.Size)
	}
	s.dropCursor() // a download that ReadAt began would only hold a connection
	return s.reader(ctx, offset), nil
}

func (s *httpSource) dropCursor() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cursor != nil {
		s.cursor.Close()
		s.cursor = nil
	}
}

func (s *httpSource) reader(ctx context.Context, offset int64) *httpReader {
	ctx, cancel := context.WithCancel(ctx)
	return &httpReader{s: s, ctx: ctx, cancel: cancel, offset: offset, gained: progressBytes}
}

func (r *httpReader) Close() error {
	defer r.cancel()
	return r.drop()
}

func (r *httpReader) drop() error {
	if r.body == nil {
		return nil
	}
	body := r.body
	r.body = nil
	return body.Close()
}

// Read fails with CodeCorrupt if the file changed, and with CodeUnavailable if the server stays away.
func (r *httpReader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	size := r.s.info.Size
	for {
		if size >= 0 && r.offset == size {
			return 0, io.EOF
		}
		if r.body == nil {
			if err := r.resume(); err != nil {
				return 0, err
			}
		}
		n, err := r.body.Read(p)
		r.offset += int64(n)
		r.gained += int64(n)
		if size >= 0 && r.offset > size {
			return 0, ferric.Errorf(ferric.CodeCorrupt, "image %s: the server sends more than the %d bytes that it announced", r.s.info.URL, size)
		}
		if err == io.EOF && size < 0 {
			r.drop()
			return n, io.EOF // the transfer encoding has marked the end
		}
		if err != nil && r.offset != size {
			if err := r.interrupted(err); err != nil {
				return n, err
			}
		}
		if n > 0 {
			return n, nil
		}
	}
}

// interrupted notes why the download stopped and returns an error if it cannot be carried on.
func (r *httpReader) interrupted(err error) error {
	r.drop()
	r.interrupts++
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	r.lastErr = err
	info := r.s.info
	if r.ctx.Err() != nil {
		return contextError(r.ctx, "read image "+info.URL)
	}
	if !info.Ranges {
		return ferric.Errorf(ferric.CodeUnavailable, "image %s: the download broke off at byte %d of %d, and the server cannot resume (it does not support ranges): %w",
			info.URL, r.offset, info.Size, err)
	}
	r.s.options.Logger.Warn("image download interrupted", "url", info.URL, "offset", r.offset, "size", info.Size, "error", err.Error())
	return nil
}

// resume connects at the current offset.
func (r *httpReader) resume() error {
	if r.gained >= progressBytes {
		r.gained, r.deadline = 0, time.Now().Add(r.s.options.ResumeFor)
	}
	err := r.s.retry(r.ctx, func() time.Time { return r.deadline }, func() error {
		body, err := r.s.connect(r.ctx, r.offset, -1)
		r.body = body
		return err
	})
	if err == nil && r.interrupts > 0 && time.Now().After(r.deadline) {
		r.drop()
		err = r.lastErr
	}
	if err == nil {
		return nil
	}
	if r.offset == 0 && r.interrupts == 0 {
		return wrapHTTP(r.ctx, err, "read image "+r.s.info.URL)
	}
	what := "read image " + r.s.info.URL
	var final *permanentError
	if !errors.As(err, &final) {
		return wrapHTTP(r.ctx, ferric.Errorf(ferric.CodeUnavailable, "it stopped at byte %d of %d and did not come back within %s: %w",
			r.offset, r.s.info.Size, r.s.options.ResumeFor, err), what)
	}
	return wrapHTTP(r.ctx, err, what)
}

func (s *httpSource) ReaderAt(ctx context.Context) io.ReaderAt { return httpReaderAt{s, ctx} }

type httpReaderAt struct {
	s   *httpSource
	ctx context.Context
}

func (r httpReaderAt) ReadAt(p []byte, offset int64) (int, error) {
	s := r.s
	short := false
	if s.info.Size >= 0 {
		if offset >= s.info.Size {
			return 0, io.EOF
		}
		if left := s.info.Size - offset; int64(len(p)) > left {
			p, short = p[:left], true
		}
	}
	if len(p) == 0 {
		return 0, nil
	}
	n, err := 0, error(nil)
	if s.info.Ranges {
		n, err = r.ranged(p, offset)
	} else {
		n, err = r.sequential(p, offset)
	}
	if err == nil && short {
		err = io.EOF
	}
	return n, err
}

// ranged reads by a request of its own, which is repeated as a whole if it breaks.
func (r httpReaderAt) ranged(p []byte, offset int64) (int, error) {
	deadline := time.Now().Add(r.s.options.ResumeFor)
	n := 0
	err := r.s.retry(r.ctx, func() time.Time { return deadline }, func() error {
		body, err := r.s.connect(r.ctx, offset+int64(n), offset+int64(len(p))-1)
		if err != nil {
			return err
		}
		defer body.Close()
		got, err := io.ReadFull(body, p[n:])
		n += got
		return err
	})
	if err != nil {
		return n, wrapHTTP(r.ctx, err, "read image "+r.s.info.URL)
	}
	return n, nil
}

// sequential continues or restarts the one download of a server without ranges.
func (r httpReaderAt) sequential(p []byte, offset int64) (int, error) {
	s := r.s
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cursor == nil || s.cursor.offset > offset {
		if s.cursor != nil {
			s.cursor.Close()
		}
		s.cursor = s.reader(r.ctx, 0)
	}
	_, err := io.CopyN(io.Discard, s.cursor, offset-s.cursor.offset)
	n := 0
	if err == nil {
		n, err = io.ReadFull(s.cursor, p)
	}
	if err == io.ErrUnexpectedEOF {
		err = io.EOF
	}
	if err != nil {
		s.cursor.Close()
		s.cursor = nil
	}
	return n, err
}
