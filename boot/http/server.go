package http

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"ferric"
	"ferric/boot"
)

// Options are the settings of a Server.
type Options struct {
	Address      netip.AddrPort // address to listen on, of the provisioning network
	StallTimeout time.Duration  // a client that takes less than 1 MiB, or the rest, in this time is cut off. Default 1 min.
	StopTimeout  time.Duration  // time for requests under way when the server stops. Default 5 s.
	MaxConns     int            // connections at a time; more wait. Default 1024.
}

func (o Options) defaults() Options {
	if o.StallTimeout == 0 {
		o.StallTimeout = time.Minute
	}
	if o.StopTimeout == 0 {
		o.StopTimeout = 5 * time.Second
	}
	if o.MaxConns == 0 {
		o.MaxConns = 1024
	}
	return o
}

// Observer counts requests for files and images. Its method must not block.
type Observer interface {
	// Request is called once per request with the status code, the bytes of the body sent and the time taken.
	Request(status int, bytes int64, took time.Duration)
}

// Server serves one tree of files, images and mounted handlers. Make it with NewServer, mount handlers with Handle,
// then call Listen and Serve once.
type Server struct {
	opts   Options
	files  fs.FS
	images boot.Images
	log    *slog.Logger
	obs    Observer
	mux    *http.ServeMux

	mu       sync.Mutex
	listener net.Listener
}

// NewServer returns a server of files and images; images and obs may be nil. Whatever files opens is handed out, so it
// should be a boot.Tree.
func NewServer(opts Options, files fs.FS, images boot.Images, log *slog.Logger, obs Observer) *Server {
	s := &Server{opts: opts.defaults(), files: files, images: images, log: log, obs: obs, mux: http.NewServeMux()}
	s.mux.Handle("/", s.observed(s.serveFile))
	s.mux.Handle("/"+boot.ImageFolder+"/{id}", s.observed(s.serveImage))
	return s
}

// Handle mounts a handler, with a pattern of http.ServeMux ("POST /v1/heartbeat/{id}", "/v1/"). Such handlers bring
// their own limits on bodies; a response has to be written within the stall timeout unless they extend it with
// http.ResponseController. It panics on a bad pattern, as http.ServeMux does, so patterns must be constants.
func (s *Server) Handle(pattern string, h http.Handler) { s.mux.Handle(pattern, h) }

// ServeHTTP serves one request, for use without Listen.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Content-Type-Options", "nosniff")
	s.mux.ServeHTTP(w, r)
}

// Listen opens the port, so that a wrong address is reported before anything runs: CodeInvalid or CodeUnavailable.
func (s *Server) Listen(ctx context.Context) error {
	if a := s.opts.Address; !a.Addr().Is4() || a.Addr().IsUnspecified() {
		return ferric.Errorf(ferric.CodeInvalid, "boot http: address %s: must be one IPv4 address of this host and a port", a)
	}
	if s.opts.StallTimeout < time.Second || s.opts.StopTimeout < 0 || s.opts.MaxConns < 1 {
		return ferric.Errorf(ferric.CodeInvalid, "boot http: stall_timeout must be at least 1s, stop_timeout must not be negative, max_conns must be at least 1")
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp4", s.opts.Address.String())
	if err != nil {
		return ferric.Errorf(ferric.CodeUnavailable, "boot http: listen on %s: %w", s.opts.Address, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.listener = &limitListener{TCPListener: l.(*net.TCPListener), slots: make(chan struct{}, s.opts.MaxConns), closed: make(chan struct{})}
	return nil
}

// Addr returns the address that Listen opened.
func (s *Server) Addr() netip.AddrPort {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.listener == nil {
		return netip.AddrPort{}
	}
	return s.listener.Addr().(*net.TCPAddr).AddrPort()
}

// Close closes the port of a server that listens and is not going to serve.
func (s *Server) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.listener != nil {
		s.listener.Close()
	}
}

// Serve answers requests until ctx ends, gives those under way the stop timeout, cuts off the rest and returns nil.
func (s *Server) Serve(ctx context.Context) error {
	s.mu.Lock()
	l := s.listener
	s.mu.Unlock()
	if l == nil {
		return ferric.Errorf(ferric.CodeInternal, "boot http: Serve was called without Listen")
	}
	srv := &http.Server{
		Handler:           s,
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       s.opts.StallTimeout,
		WriteTimeout:      s.opts.StallTimeout, // for the first bytes; serving a file extends it as data flows
		IdleTimeout:       s.opts.StallTimeout,
		MaxHeaderBytes:    16 << 10,
		BaseContext:       func(net.Listener) context.Context { return context.WithoutCancel(ctx) },
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
	stopped := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(stopped)
		sctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.opts.StopTimeout)
		defer cancel()
		if err := srv.Shutdown(sctx); err != nil {
			srv.Close()
		}
	})
	err := srv.Serve(l)
	if stop() {
		srv.Close()
		return ferric.Errorf(ferric.CodeUnavailable, "boot http: serve on %s: %w", s.opts.Address, err)
	}
	<-stopped
	if !errors.Is(err, http.ErrServerClosed) {
		return ferric.Errorf(ferric.CodeUnavailable, "boot http: serve on %s: %w", s.opts.Address, err)
	}
	return nil
}

// observed logs and counts a request for a file.
func (s *Server) observed(h http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		fw := &flowWriter{ResponseWriter: w, rc: http.NewResponseController(w), stall: s.opts.StallTimeout}
		h(fw, r)
		took := time.Since(start)
		if s.obs != nil {
			s.obs.Request(fw.status, fw.bytes, took)
		}
		s.log.DebugContext(r.Context(), "boot http request", "method", r.Method, "path", r.URL.Path, "peer", r.RemoteAddr,
			"status", fw.status, "bytes", fw.bytes, "took", took)
	})
}
