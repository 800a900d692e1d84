package image

import (
	"context"
	"errors"
	"io"
	"net/url"

	"ferric"
)

// Source is an opened image: its identity is fixed, and everything that is read later comes from the same
// content or fails with CodeCorrupt.
type Source interface {
	// Info says what is known about the file.
	Info() SourceInfo

	// ReaderAt reads ranges. Each read is tried again within Options.ResumeFor. On a server without ranges
	// a read behind the last one continues the same download, one before it starts a new one.
	ReaderAt(ctx context.Context) io.ReaderAt

	// Reader reads from the offset to the end, and carries on where it was when the connection breaks or
	// the server goes away for a while. The caller closes it.
	Reader(ctx context.Context, offset int64) (io.ReadCloser, error)

	// Close releases connections and files.
	Close() error
}

// SourceInfo is what a server or the file system says about an image.
type SourceInfo struct {
	URL          string // for people: without user, password and query
	Size         int64  // bytes, -1 if it is not known
	ETag         string // as the server sent it, or ""
	LastModified string // as the server sent it, or RFC 3339 with nanoseconds for files
	Ranges       bool   // ranges can be read
	Path         string // of a file:// source: the path in the file system, else ""

	// Expected is what the service that keeps the image says that its content hashes to; zero if it says nothing.
	Expected Checksum
}

// Validated reports whether the server gave anything by which a change can be noticed besides the size.
func (i SourceInfo) Validated() bool { return i.ETag != "" || i.LastModified != "" }

// SameAs reports whether both describe the same content as far as one can tell.
func (i SourceInfo) SameAs(other SourceInfo) bool {
	return i.Size == other.Size && i.ETag == other.ETag && i.LastModified == other.LastModified
}

// Open reaches for the image and learns its identity. URLs: http, https, file and the schemes of Options.Remotes. A server that cannot be reached
// is tried again for Options.OpenFor.
func Open(ctx context.Context, rawURL string, options Options) (Source, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		return nil, ferric.Errorf(ferric.CodeInvalid, "image URL: it cannot be parsed; give http://, https:// or file://")
	}
	options = options.withDefaults()
	switch u.Scheme {
	case "http", "https":
		if u.Host == "" {
			return nil, ferric.Errorf(ferric.CodeInvalid, "image URL %s: the host is missing", DisplayURL(rawURL))
		}
		return openHTTP(ctx, u, options)
	case "file":
		return openFile(u, options)
	default:
		if remote := options.Remotes[u.Scheme]; remote != nil {
			return openRemote(ctx, u, remote, options)
		}
		return nil, ferric.Errorf(ferric.CodeInvalid, "image URL: the scheme %q is not supported; give http://, https:// or file://", u.Scheme)
	}
}

// contextError makes an error of a context that ended.
func contextError(ctx context.Context, what string) error {
	cause := context.Cause(ctx)
	code := ferric.CodeUnavailable
	if errors.Is(cause, context.DeadlineExceeded) {
		code = ferric.CodeTimeout
	}
	return ferric.Errorf(code, "%s: %w", what, cause)
}
