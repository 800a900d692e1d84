package bus

import (
	"context"
	"errors"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"ferric"
)

// Bus is a connection to the bus, and with the embedded server the bus itself.
type Bus struct {
	cfg Config
	log *slog.Logger
	srv *server.Server // nil with an external server
	nc  *nats.Conn

	ctx    context.Context // ends when Close begins to stop the handlers
	cancel context.CancelFunc
	gone   chan struct{} // closed when the connection is closed for good

	mu       sync.Mutex
	closed   bool
	services map[*Service]bool
	local    map[string]*Service    // by subject: those that calls of this process reach past the server
	renewed  map[chan struct{}]bool // told of every reconnect
	link     chan struct{}          // closed and replaced when the connection breaks
	wg       sync.WaitGroup         // every goroutine of the package
}

// Open starts the embedded server, or connects to the external one within cfg.ConnectTimeout. From then on a lost
// connection is made again for ever; until then calls fail with CodeUnavailable.
//
// Errors: CodeInvalid for a setting that cannot be used, CodeUnauthorized when the server refuses the credentials,
// CodeUnavailable when no server answers.
func Open(ctx context.Context, cfg Config, log *slog.Logger) (*Bus, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	b := &Bus{
		cfg: cfg, log: log,
		gone:     make(chan struct{}),
		services: map[*Service]bool{}, local: map[string]*Service{},
		renewed: map[chan struct{}]bool{},
		link:    make(chan struct{}),
	}
	// The bus lives until Close, not until the context of Open ends.
	b.ctx, b.cancel = context.WithCancel(context.WithoutCancel(ctx))
	if cfg.URL == "" {
		if b.srv, err = startEmbedded(cfg, log); err != nil {
			b.cancel()
			return nil, err
		}
	}
	if err := b.connect(ctx); err != nil {
		b.cancel()
		b.stopServer()
		return nil, err
	}
	if limit := b.nc.MaxPayload(); limit < int64(cfg.MaxPayload) {
		log.WarnContext(ctx, "the NATS server takes smaller messages than Ferric may send; raise max_payload in its configuration",
			"max_payload", limit, "wanted", cfg.MaxPayload)
	}
	return b, nil
}

// connect makes the first connection, trying again while the server cannot be reached.
func (b *Bus) connect(ctx context.Context) error {
	opts, err := b.options()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, b.cfg.ConnectTimeout)
	defer cancel()
	for {
		nc, err := nats.Connect(b.cfg.URL, opts...)
		if err == nil {
			b.nc = nc
			return nil
		}
		switch {
		case errors.Is(err, nats.ErrAuthorization), errors.Is(err, nats.ErrAuthExpired), errors.Is(err, nats.ErrAuthRevoked):
			return ferric.Errorf(ferric.CodeUnauthorized, "bus: connect: the server refuses the credentials: %w", err)
		case !unreachable(err):
			return ferric.Errorf(ferric.CodeInvalid, "bus: connect: %w", redactURL(err, b.cfg.URL))
		}
		select {
		case <-ctx.Done():
			return ferric.Errorf(ferric.CodeUnavailable, "bus: connect: no connection within %s: %w",
				b.cfg.ConnectTimeout, redactURL(err, b.cfg.URL))
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// Close stops serving, lets no new call in, cancels the handlers' contexts, waits for all goroutines of the bus,
// and closes the connection and the embedded server. It blocks as long as a handler ignores its context (and says
// so in the log every ten seconds). A second Close does nothing.
func (b *Bus) Close() error {
	b.mu.Lock()
	if b.closed {
		b.mu.Unlock()
		return nil
	}
	b.closed = true
	services := make([]*Service, 0, len(b.services))
	for s := range b.services {
		services = append(services, s)
	}
	b.mu.Unlock()

	for _, s := range services {
		s.drain()
	}
	b.cancel()
	b.waitAll()
	if b.nc.IsConnected() {
		_ = b.nc.FlushTimeout(2 * time.Second) // the last answers and goodbyes; nobody is left to tell of a failure
	}
	b.nc.Close()
	<-b.gone
	b.stopServer()
	return nil
}

func (b *Bus) waitAll() {
	done := make(chan struct{})
	go func() { b.wg.Wait(); close(done) }()
	tick := time.NewTicker(10 * time.Second)
	defer tick.Stop()
	for {
		select {
		case <-done:
			return
		case <-tick.C:
			b.log.Warn("closing the bus still waits for a handler or subscriber that does not honour its context")
		}
	}
}

func (b *Bus) stopServer() {
	if b.srv != nil {
		b.srv.Shutdown()
		b.srv.WaitForShutdown()
	}
}

// Connected reports whether the server is reached at this moment.
func (b *Bus) Connected() bool { return b.nc.IsConnected() }

// Check asks the server for a sign of life and waits for it until ctx ends (5 s if it has no deadline). It is made
// for health checks. CodeUnavailable when there is none.
func (b *Bus) Check(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if !b.nc.IsConnected() {
		return ferric.Errorf(ferric.CodeUnavailable, "bus: not connected")
	}
	if err := b.nc.FlushWithContext(ctx); err != nil {
		return ferric.Errorf(ferric.CodeUnavailable, "bus: no answer from the server: %w", err)
	}
	return nil
}

// start runs fn in a goroutine that Close waits for. fn must end when b.ctx does.
func (b *Bus) start(fn func()) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return errClosed("start")
	}
	b.wg.Go(fn)
	return nil
}

func (b *Bus) isClosed() bool {
	_, closed := b.state()
	return closed
}

// state returns a channel that is closed when the present connection breaks, and whether the bus is closed.
func (b *Bus) state() (link <-chan struct{}, closed bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.link, b.closed
}

func errClosed(what string) error {
	return ferric.Errorf(ferric.CodeUnavailable, "bus: %s: the bus is closed", what)
}

// protect runs a function of the user and reports whether it returned, not panicked.
func (b *Bus) protect(ctx context.Context, what, subject string, fn func()) (ok bool) {
	defer func() {
		if v := recover(); v != nil {
			b.log.ErrorContext(ctx, "panic in a "+what+" of the bus", "subject", subject, "panic", v, "stack", string(debug.Stack()))
		}
	}()
	fn()
	return true
}

// notify registers for news of reconnects. The channel holds one; call the function to end it.
func (b *Bus) notify() (<-chan struct{}, func()) {
	ch := make(chan struct{}, 1)
	b.mu.Lock()
	b.renewed[ch] = true
	b.mu.Unlock()
	return ch, func() {
		b.mu.Lock()
		delete(b.renewed, ch)
		b.mu.Unlock()
	}
}

// broken ends the calls under way: their answers will not come.
func (b *Bus) broken() {
	b.mu.Lock()
	defer b.mu.Unlock()
	close(b.link)
	b.link = make(chan struct{})
}

func (b *Bus) reconnected() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for ch := range b.renewed {
		select {
		case ch <- struct{}{}:
		default:
		}
	}
}
