package http

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"path"
	"time"

	"ferric"
	"ferric/boot"
)

// serveFile serves a loader or a machine's file.
func (s *Server) serveFile(w http.ResponseWriter, r *http.Request) {
	if !readOnly(w, r) {
		return
	}
	name, err := boot.CleanName(r.URL.Path)
	if err != nil {
		http.NotFound(w, r)
		return
	}
	f, err := s.files.Open(name)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrInvalid) {
		http.NotFound(w, r)
		return
	}
	if err != nil {
		s.fail(w, r, err)
		return
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		s.fail(w, r, err)
		return
	}
	content, ok := f.(io.ReadSeeker)
	if !ok || !info.Mode().IsRegular() {
		http.NotFound(w, r)
		return
	}
	s.serve(w, r, content, info.ModTime(), fmt.Sprintf("%x-%x", info.Size(), info.ModTime().UnixNano()), contentType(name))
}

// serveImage serves an image of the cache.
func (s *Server) serveImage(w http.ResponseWriter, r *http.Request) {
	if !readOnly(w, r) {
		return
	}
	if s.images == nil {
		http.NotFound(w, r)
		return
	}
	img, err := s.images.OpenImage(r.Context(), r.PathValue("id"))
	if ferric.IsCode(err, ferric.CodeNotFound) || ferric.IsCode(err, ferric.CodeInvalid) {
		http.NotFound(w, r)
		return
	}
	if err != nil {
		s.fail(w, r, err)
		return
	}
	defer img.Content.Close()
	s.serve(w, r, img.Content, img.ModTime, img.ETag, "application/octet-stream")
}

func (s *Server) serve(w http.ResponseWriter, r *http.Request, content io.ReadSeeker, mod time.Time, etag, ctype string) {
	if etag != "" && validETag(etag) {
		w.Header().Set("ETag", `"`+etag+`"`)
	}
	w.Header().Set("Content-Type", ctype)
	// A machine's file changes between two boots; nobody on the way may keep it.
	w.Header().Set("Cache-Control", "no-cache")
	http.ServeContent(w, r, "", mod, content)
}

// fail answers with 500, or 503 if asking again may help, and no detail, and logs the reason.
func (s *Server) fail(w http.ResponseWriter, r *http.Request, err error) {
	s.log.WarnContext(r.Context(), "boot http: file not served", "path", r.URL.Path, "error", err)
	if boot.Unknown(err) {
		w.Header().Set("Retry-After", "5")
		http.Error(w, "the file cannot be had now", http.StatusServiceUnavailable)
		return
	}
	http.Error(w, "the file cannot be read", http.StatusInternalServerError)
}

func readOnly(w http.ResponseWriter, r *http.Request) bool {
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		return true
	}
	w.Header().Set("Allow", "GET, HEAD")
	http.Error(w, "only GET and HEAD are allowed", http.StatusMethodNotAllowed)
	return false
}

// contentType says what UEFI HTTP boot and iPXE look at; everything else is bytes.
func contentType(name string) string {
	switch path.Ext(name) {
	case ".efi":
		return "application/efi"
	case ".ipxe", ".cfg":
		return "text/plain; charset=us-ascii"
	}
	return "application/octet-stream"
}

// validETag reports whether the text may stand between the quotes of an entity tag (RFC 9110 section 8.8.3).
func validETag(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] == '"' || s[i] >= 0x7f {
			return false
		}
	}
	return true
}

// flowWriter counts what is written, and gives the client a new write deadline for every piece, so that a slow client
// is served and a dead one is not. It keeps sendfile possible: a piece of an *os.File is still one to the kernel.
type flowWriter struct {
	http.ResponseWriter
	rc     *http.ResponseController
	stall  time.Duration
	status int
	bytes  int64
}

// piece is how much a client has to take within the stall timeout.
const piece = 1 << 20

func (w *flowWriter) extend() {
	// It fails where the connection has no deadlines, as in a test without one; then there is nothing to extend.
	_ = w.rc.SetWriteDeadline(time.Now().Add(w.stall))
}

// Unwrap lets http.ResponseController reach the connection.
func (w *flowWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *flowWriter) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *flowWriter) Write(p []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	w.extend()
	n, err := w.ResponseWriter.Write(p)
	w.bytes += int64(n)
	return n, err
}

// ReadFrom implements io.ReaderFrom.
func (w *flowWriter) ReadFrom(r io.Reader) (int64, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	limit := int64(-1)
	if l, ok := r.(*io.LimitedReader); ok {
		r, limit = l.R, l.N // a limit around a limit would hide the file from sendfile
		defer func(before int64) { l.N -= w.bytes - before }(w.bytes)
	}
	var total int64
	for limit < 0 || total < limit {
		size := int64(piece)
		if limit >= 0 {
			size = min(size, limit-total)
		}
		w.extend()
		n, err := io.CopyN(w.ResponseWriter, r, size)
		total += n
		w.bytes += n
		if errors.Is(err, io.EOF) {
			return total, nil
		}
		if err != nil {
			return total, err
		}
	}
	return total, nil
}
