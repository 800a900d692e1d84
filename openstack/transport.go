package openstack

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"ferric/obs"
)

// HTTPClient returns an HTTP client whose requests carry the service token and are repeated like those of Client. typ is for messages. It follows
// redirects within one host only: the token is nobody else's business.
func (s *Session) HTTPClient(typ string) *http.Client {
	return &http.Client{Transport: &transport{session: s, service: serviceName(typ), authenticated: true}, CheckRedirect: sameHost}
}

func sameHost(req *http.Request, via []*http.Request) error {
	if len(via) > 3 || req.URL.Host != via[0].URL.Host || req.URL.Scheme != via[0].URL.Scheme {
		return fmt.Errorf("redirected to %s, which is not followed", bareURL(req.URL.String()))
	}
	return nil
}

// transport sends requests: with the token, the id of the request that they are for, a watch over their progress, and repetitions.
type transport struct {
	session       *Session
	service       string
	authenticated bool
	repeat        bool // whatever the method
}

// RoundTrip implements http.RoundTripper. Its errors are *Error.
func (t *transport) RoundTrip(req *http.Request) (*http.Response, error) {
	o := &t.session.options
	replayable := req.Body == nil || req.Body == http.NoBody || req.GetBody != nil
	body, renewed := req.Body, false
	for attempt := 0; ; attempt++ {
		token := ""
		if t.authenticated {
			var err error
			if token, err = t.session.Token(req.Context()); err != nil {
				if body != nil {
					body.Close()
				}
				return nil, err
			}
		}
		resp, err := t.send(req, body, token)
		again := false
		wait := backoff(o.Backoff, attempt)
		switch {
		case err == nil && resp.StatusCode == http.StatusUnauthorized && t.authenticated && !renewed && replayable:
			if again = t.session.refused(req.Context(), token); again {
				renewed, wait = true, 0
				attempt--
			}
		case attempt >= o.Retries || !replayable || req.Context().Err() != nil:
		case err != nil:
			again = t.repeat || idempotent(req.Method) || notSent(err)
		case resp.StatusCode == http.StatusBadGateway, resp.StatusCode == http.StatusServiceUnavailable, resp.StatusCode == http.StatusGatewayTimeout:
			again = t.repeat || idempotent(req.Method)
			if s, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && s > 0 {
				wait = min(time.Duration(s)*time.Second, 20*o.Backoff)
			}
		}
		if !again {
			if err != nil {
				return nil, failure(t.service, req.Method, req.URL.String(), err)
			}
			return resp, nil
		}
		if wait > 0 {
			o.Log.DebugContext(req.Context(), "repeat a request", "service", t.service, "method", req.Method, "url", bareURL(req.URL.String()), "in", wait,
				"because", because(resp, err))
		}
		if resp != nil {
			_, _ = io.CopyN(io.Discard, resp.Body, 64<<10) // so that the connection can be used again
			resp.Body.Close()
		}
		select {
		case <-req.Context().Done():
			return nil, failure(t.service, req.Method, req.URL.String(), req.Context().Err())
		case <-time.After(wait):
		}
		if req.GetBody != nil {
			if body, err = req.GetBody(); err != nil {
				return nil, failure(t.service, req.Method, req.URL.String(), err)
			}
		}
	}
}

func because(resp *http.Response, err error) string {
	if err != nil {
		return reason(err)
	}
	return resp.Status
}

// backoff is how long to wait before repetition n, from half of the doubled time up to the whole.
func backoff(first time.Duration, n int) time.Duration {
	d := first << min(n, 6)
	return d/2 + rand.N(d/2+1)
}

func idempotent(method string) bool {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodPut, http.MethodDelete:
		return true
	}
	return false
}

// notSent reports whether there was no connection to send anything over.
func notSent(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "dial"
}

// send makes one attempt.
func (t *transport) send(req *http.Request, body io.ReadCloser, token string) (*http.Response, error) {
	w := &watch{timeout: t.session.options.Timeout}
	ctx, cancel := context.WithCancelCause(req.Context())
	w.cancel = cancel
	r := req.Clone(ctx)
	r.Header.Set("User-Agent", userAgent(req))
	if token != "" {
		r.Header.Set("X-Auth-Token", token)
	}
	if id := obs.RequestID(ctx); id != "" {
		r.Header.Set("X-OpenStack-Request-ID", id)
	}
	if r.Body = body; body != nil && body != http.NoBody {
		r.Body = &sent{ReadCloser: body, watch: w}
	}
	w.timer = time.AfterFunc(w.timeout, w.stalled)
	resp, err := t.session.base.RoundTrip(r)
	w.answered.Store(true)
	w.timer.Stop()
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		cancel(nil)
		return nil, err
	}
	resp.Body = &received{ReadCloser: resp.Body, watch: w, ctx: ctx}
	return resp, nil
}

func userAgent(req *http.Request) string {
	if ua := req.Header.Get("User-Agent"); ua != "" {
		return ua
	}
	return "ferric"
}

// watch ends a request on which nothing moves.
type watch struct {
	timeout time.Duration
	timer   *time.Timer
	cancel  context.CancelCauseFunc
	// answered: what is still taken from the request's body tells nothing any more.
	answered atomic.Bool
}

func (w *watch) stalled() { w.cancel(fmt.Errorf("nothing came for %v", w.timeout)) }

// sent is a request's body: each piece that is taken from it is progress.
type sent struct {
	io.ReadCloser
	watch *watch
}

func (b *sent) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if !b.watch.answered.Load() {
		b.watch.timer.Reset(b.watch.timeout)
	}
	return n, err
}

// received is an answer's body. Only while somebody reads must something come.
type received struct {
	io.ReadCloser
	watch *watch
	ctx   context.Context
}

func (b *received) Read(p []byte) (int, error) {
	b.watch.timer.Reset(b.watch.timeout)
	n, err := b.ReadCloser.Read(p)
	b.watch.timer.Stop()
	if err != nil && err != io.EOF {
		if cause := context.Cause(b.ctx); cause != nil {
			err = cause
		}
	}
	return n, err
}

func (b *received) Close() error {
	err := b.ReadCloser.Close()
	b.watch.timer.Stop()
	b.watch.cancel(nil)
	return err
}
