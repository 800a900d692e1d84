package image

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"time"

	"ferric"
)

// Remote is a service that keeps images under names of its own, as Glance does. What it has under a name never changes: it may go away, or not be
// handed out for a while.
type Remote interface {
	// Locate says where the image is to be read from. It is asked by every Open. An error of CodeUnavailable or CodeTimeout is tried again
	// like a server that cannot be reached; another one is final.
	Locate(ctx context.Context, u *url.URL) (Location, error)
}

// Location is where and how an image of a Remote is read.
type Location struct {
	URL      string       // http or https
	Client   *http.Client // adds what the service wants to see, such as a token
	Size     int64        // bytes, -1 if it is not known
	Checksum Checksum     // of the content; not zero
}

// openRemote opens an image of a service.
func openRemote(ctx context.Context, u *url.URL, remote Remote, options Options) (Source, error) {
	options.User, options.Password, options.Authorization = "", "", "" // these are for web servers
	s := &httpSource{options: options, info: SourceInfo{URL: DisplayURL(u.String()), Size: -1}}
	deadline := time.Now().Add(options.RemoteFor)
	err := s.retry(ctx, func() time.Time { return deadline }, func() error {
		at, err := remote.Locate(ctx, u)
		if err != nil {
			if ferric.IsCode(err, ferric.CodeUnavailable) || ferric.IsCode(err, ferric.CodeTimeout) {
				return err
			}
			return permanent(err)
		}
		if s.url, err = url.Parse(at.URL); err != nil || at.Checksum.IsZero() {
			return permanent(ferric.Errorf(ferric.CodeInternal, "the service says neither where it is nor what it hashes to"))
		}
		s.client, s.version = at.Client, at.Checksum.String()
		if err := s.open(ctx); err != nil {
			return err
		}
		switch {
		case at.Size >= 0 && s.info.Size < 0:
			s.info.Size = at.Size
		case at.Size >= 0 && s.info.Size != at.Size:
			return permanent(ferric.Errorf(ferric.CodeCorrupt, "the service says that it has %d bytes and sends %d", at.Size, s.info.Size))
		}
		s.info.Expected = at.Checksum
		return nil
	})
	if err != nil {
		var final *permanentError
		if errors.As(err, &final) && ctx.Err() == nil {
			return nil, ferric.Errorf(ferric.ErrorCode(err), "image %s: %w", s.info.URL, err)
		}
		return nil, wrapHTTP(ctx, err, "open image "+s.info.URL)
	}
	return s, nil
}
