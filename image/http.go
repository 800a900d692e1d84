package image

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"ferric"
)

// httpSource is an image on a web server.
type httpSource struct {
	client  *http.Client
	url     *url.URL
	options Options
	info    SourceInfo
	version string // names the content where the server sends no ETag; "" if nothing does

	mu     sync.Mutex // guards cursor, the download that ReadAt continues on servers without ranges
	cursor *httpReader
}

// permanentError marks an error that another attempt would not change.
type permanentError struct{ err error }

func (e *permanentError) Error() string { return e.err.Error() }
func (e *permanentError) Unwrap() error { return e.err }
func permanent(err error) error         { return &permanentError{err} }

func openHTTP(ctx context.Context, u *url.URL, options Options) (Source, error) {
	client, err := options.client()
	if err != nil {
		return nil, err
	}
	s := &httpSource{client: client, url: u, options: options, info: SourceInfo{URL: DisplayURL(u.String()), Size: -1}}
	deadline := time.Now().Add(options.OpenFor)
	if err := s.retry(ctx, func() time.Time { return deadline }, func() error { return s.open(ctx) }); err != nil {
		client.CloseIdleConnections()
		return nil, wrapHTTP(ctx, err, "open image "+s.info.URL)
	}
	return s, nil
}

// open asks for the first byte.
func (s *httpSource) open(ctx context.Context) error {
	response, err := s.get(ctx, "bytes=0-0", "")
	if err != nil {
		return err
	}
	defer response.Body.Close()
	return s.learn(response)
}

// learn takes the identity of the file from the answer to a request for its first byte.
func (s *httpSource) learn(response *http.Response) error {
	s.info.ETag, s.info.LastModified = cmp.Or(response.Header.Get("ETag"), s.version), response.Header.Get("Last-Modified")
	switch response.StatusCode {
	case http.StatusOK:
		s.info.Size = response.ContentLength
	case http.StatusPartialContent:
		_, _, total, err := parseContentRange(response.Header.Get("Content-Range"))
		if err != nil {
			return permanent(err)
		}
		s.info.Size, s.info.Ranges = total, true
	case http.StatusRequestedRangeNotSatisfiable: // an empty file has no first byte
		if rest, ok := strings.CutPrefix(response.Header.Get("Content-Range"), "bytes */"); ok && rest == "0" {
			s.info.Size = 0
			return nil
		}
		return statusError(response)
	default:
		return statusError(response)
	}
	return nil
}

// get sends one request. The answer's body ends with an error if no byte arrives for Options.IdleTimeout.
func (s *httpSource) get(ctx context.Context, ranges, ifRange string) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url.String(), nil)
	if err != nil {
		cancel(nil)
		return nil, permanent(ferric.Errorf(ferric.CodeInvalid, "image URL %s cannot be requested", s.info.URL))
	}
	request.Header.Set("Accept-Encoding", "identity")
	request.Header.Set("User-Agent", "ferric")
	if ranges != "" {
		request.Header.Set("Range", ranges)
	}
	if ifRange != "" {
		request.Header.Set("If-Range", ifRange)
	}
	switch {
	case s.options.Authorization != "":
		request.Header.Set("Authorization", s.options.Authorization)
	case s.options.User != "" || s.options.Password != "":
		request.SetBasicAuth(s.options.User, s.options.Password)
	}
	response, err := s.client.Do(request)
	if err != nil {
		cancel(nil)
		return nil, requestError(err)
	}
	if encoding := response.Header.Get("Content-Encoding"); encoding != "" && encoding != "identity" {
		response.Body.Close()
		cancel(nil)
		return nil, permanent(ferric.Errorf(ferric.CodeUnsupported, "the server sends the content encoding %q although none was asked for", encoding))
	}
	response.Body = newIdleBody(response.Body, cancel, s.options.IdleTimeout)
	return response, nil
}

// requestError strips the URL (it may hold secrets) and finds errors that will not go away.
func requestError(err error) error {
	var kept *permanentError
	if errors.As(err, &kept) {
		return kept
	}
	var inURL *url.Error
	if errors.As(err, &inURL) {
		err = inURL.Err
	}
	var certificate *tls.CertificateVerificationError
	var record tls.RecordHeaderError
	if errors.As(err, &certificate) || errors.As(err, &record) {
		return permanent(ferric.Errorf(ferric.CodeUnavailable, "TLS: %w", err))
	}
	return err
}

// statusError makes an error of an answer that is not a success. Server errors may go away.
func statusError(response *http.Response) error {
	code := ferric.CodeUnavailable
	switch response.StatusCode {
	case http.StatusUnauthorized, http.StatusForbidden:
		code = ferric.CodeForbidden
	case http.StatusNotFound, http.StatusGone:
		code = ferric.CodeNotFound
	}
	err := ferric.Errorf(code, "the server answered %d %s", response.StatusCode, http.StatusText(response.StatusCode))
	switch {
	case response.StatusCode >= 500, response.StatusCode == http.StatusTooManyRequests, response.StatusCode == http.StatusRequestTimeout:
		return err
	default:
		return permanent(err)
	}
}

// parseContentRange reads "bytes first-last/total"; total is -1 for "*".
func parseContentRange(value string) (first, last, total int64, err error) {
	bad := ferric.Errorf(ferric.CodeCorrupt, "the server sent the Content-Range %.80q", value)
	rest, ok := strings.CutPrefix(value, "bytes ")
	span, size, ok2 := strings.Cut(rest, "/")
	from, to, ok3 := strings.Cut(span, "-")
	if !ok || !ok2 || !ok3 {
		return 0, 0, 0, bad
	}
	number := func(s string) int64 {
		n, parseErr := strconv.ParseUint(s, 10, 63)
		if parseErr != nil {
			err = bad
		}
		return int64(n)
	}
	first, last, total = number(from), number(to), -1
	if size != "*" {
		total = number(size)
	}
	if last < first || (total >= 0 && last >= total) {
		err = bad
	}
	return first, last, total, err
}

// retry calls attempt until it succeeds, fails for good, or the deadline has passed; the pauses grow to 5 s.
func (s *httpSource) retry(ctx context.Context, deadline func() time.Time, attempt func() error) error {
	pause := 200 * time.Millisecond
	for {
		err := attempt()
		var final *permanentError
		if err == nil || errors.As(err, &final) || ctx.Err() != nil {
			return err
		}
		wait := pause + time.Duration(rand.Int64N(int64(pause)/4))
		if time.Until(deadline()) < wait {
			return err
		}
		s.options.Logger.Info("image server not reached, trying again", "url", s.info.URL, "error", err.Error(), "wait", wait.String())
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return err
		case <-timer.C:
		}
		pause = min(pause*8/5, 5*time.Second)
	}
}

// wrapHTTP gives an error of this file a code and says what was tried.
func wrapHTTP(ctx context.Context, err error, what string) error {
	if ctx.Err() != nil {
		return contextError(ctx, what)
	}
	code := ferric.CodeUnavailable
	var coded *ferric.Error
	if errors.As(err, &coded) {
		code = coded.Code
	}
	return ferric.Errorf(code, "%s: %w", what, err)
}

func (s *httpSource) Info() SourceInfo { return s.info }

func (s *httpSource) Close() error {
	s.dropCursor()
	s.client.CloseIdleConnections()
	return nil
}

// connect asks for the bytes from first to last (-1: the end) and checks that the answer is from the same file.
func (s *httpSource) connect(ctx context.Context, first, last int64) (io.ReadCloser, error) {
	ranges, ifRange := "", ""
	if s.info.Ranges && (first > 0 || last >= 0) {
		ranges = fmt.Sprintf("bytes=%d-", first)
		if last >= 0 {
			ranges += strconv.FormatInt(last, 10)
		}
		ifRange = s.info.ETag
		if ifRange == "" || ifRange == s.version || strings.HasPrefix(ifRange, "W/") { // weak tags are not allowed there
			ifRange = s.info.LastModified
		}
	}
	response, err := s.get(ctx, ranges, ifRange)
	if err != nil {
		return nil, err
	}
	if err := s.check(response, first, last); err != nil {
		response.Body.Close()
		return nil, err
	}
	return response.Body, nil
}

// check compares the answer with what Open learned, and skips to the offset if the server sends everything.
func (s *httpSource) check(response *http.Response, first, last int64) error {
	now := SourceInfo{Size: -1, ETag: cmp.Or(response.Header.Get("ETag"), s.version), LastModified: response.Header.Get("Last-Modified")}
	skip := int64(0)
	switch response.StatusCode {
	case http.StatusOK:
		now.Size, skip = response.ContentLength, first
		if now.Size < 0 && s.version != "" { // the service vouches for the content, the checksum for its length
			now.Size = s.info.Size
		}
	case http.StatusPartialContent:
		from, to, total, err := parseContentRange(response.Header.Get("Content-Range"))
		if err != nil {
			return permanent(err)
		}
		if from != first || (last >= 0 && to > last) {
			return permanent(ferric.Errorf(ferric.CodeCorrupt, "the server sent bytes %d-%d instead of those from %d", from, to, first))
		}
		now.Size = total
		if total < 0 {
			now.Size = s.info.Size
		}
		// A proxy may leave these away on partial answers; If-Range has vouched for them.
		if now.ETag == "" {
			now.ETag = s.info.ETag
		}
		if now.LastModified == "" {
			now.LastModified = s.info.LastModified
		}
	case http.StatusRequestedRangeNotSatisfiable, http.StatusPreconditionFailed:
		return permanent(ferric.Errorf(ferric.CodeCorrupt, "it changed on the server while it was read (the server answered %d)", response.StatusCode))
	case http.StatusNotFound:
		// A server that has just started may not have published the file yet.
		return ferric.Errorf(ferric.CodeNotFound, "the server answered 404 Not Found")
	default:
		return statusError(response)
	}
	if !now.SameAs(s.info) {
		return permanent(ferric.Errorf(ferric.CodeCorrupt, "it changed on the server while it was read: it was %s, now it is %s", describe(s.info), describe(now)))
	}
	if skip > 0 {
		if _, err := io.CopyN(io.Discard, response.Body, skip); err != nil {
			return err
		}
	}
	return nil
}

func describe(i SourceInfo) string {
	return fmt.Sprintf("%d bytes, ETag %.80q, Last-Modified %.80q", i.Size, i.ETag, i.LastModified)
}
