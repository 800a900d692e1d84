package tftp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	pin "github.com/pin/tftp/v3"

	"ferric"
	"ferric/boot"
)

// Port is the port of TFTP; firmware knows no other.
const Port = 69

// Options are the settings of a Server.
type Options struct {
	Address         netip.AddrPort // address to listen on; port 0 means Port
	MaxTransfers    int            // transfers at a time; more are refused. Default 128.
	TransferTimeout time.Duration  // longest time for one transfer. Default 10 min.
	RetryTimeout    time.Duration  // time to wait for an acknowledgement before sending again, up to 5 times. Default 2 s.
}

func (o Options) defaults() Options {
	if o.Address.Port() == 0 {
		o.Address = netip.AddrPortFrom(o.Address.Addr(), Port)
	}
	if o.MaxTransfers == 0 {
		o.MaxTransfers = 128
	}
	if o.TransferTimeout == 0 {
		o.TransferTimeout = 10 * time.Minute
	}
	if o.RetryTimeout == 0 {
		o.RetryTimeout = 2 * time.Second
	}
	return o
}

// Observer counts transfers. Its method must not block.
type Observer interface {
	// Transfer is called once per transfer, with the bytes sent and nil or the reason for its failure.
	Transfer(bytes int64, took time.Duration, err error)
}

// Server serves one file system. Make it with NewServer, then call Listen and Serve once.
type Server struct {
	opts  Options
	files fs.FS
	log   *slog.Logger
	obs   Observer
	slots chan struct{}

	mu   sync.Mutex
	conn *net.UDPConn
}

// NewServer returns a server of files; obs may be nil. Whatever files opens is handed out, so it should be a boot.Tree.
func NewServer(opts Options, files fs.FS, log *slog.Logger, obs Observer) *Server {
	opts = opts.defaults()
	return &Server{opts: opts, files: files, log: log, obs: obs, slots: make(chan struct{}, max(opts.MaxTransfers, 1))}
}

// Listen opens the port, so that a wrong address is reported before anything runs: CodeInvalid or CodeUnavailable.
func (s *Server) Listen(ctx context.Context) error {
	if !s.opts.Address.Addr().Is4() || s.opts.Address.Addr().IsUnspecified() {
		return ferric.Errorf(ferric.CodeInvalid, "tftp: address %s: must be one IPv4 address of this host", s.opts.Address.Addr())
	}
	if s.opts.MaxTransfers < 1 || s.opts.TransferTimeout < time.Second || s.opts.RetryTimeout < 10*time.Millisecond {
		return ferric.Errorf(ferric.CodeInvalid, "tftp: max_transfers must be at least 1, transfer_timeout at least 1s, retry_timeout at least 10ms")
	}
	var lc net.ListenConfig
	conn, err := lc.ListenPacket(ctx, "udp4", s.opts.Address.String())
	if err != nil {
		return ferric.Errorf(ferric.CodeUnavailable, "tftp: listen on %s: %w", s.opts.Address, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conn = conn.(*net.UDPConn)
	return nil
}

// Addr returns the address that Listen opened.
func (s *Server) Addr() netip.AddrPort {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conn == nil {
		return netip.AddrPort{}
	}
	return s.conn.LocalAddr().(*net.UDPAddr).AddrPort()
}

// Close closes the port of a server that listens and is not going to serve.
func (s *Server) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conn != nil {
		s.conn.Close()
	}
}

// Serve answers requests until ctx ends, then cuts off transfers, waits for them and returns nil.
func (s *Server) Serve(ctx context.Context) error {
	s.mu.Lock()
	conn := s.conn
	s.mu.Unlock()
	if conn == nil {
		return ferric.Errorf(ferric.CodeInternal, "tftp: Serve was called without Listen")
	}
	p := pin.NewServer(func(name string, rf io.ReaderFrom) error { return s.transfer(ctx, name, rf) }, nil)
	p.SetTimeout(s.opts.RetryTimeout)
	p.SetRetries(5)
	p.SetBackoff(func(int) time.Duration { return 0 }) // the wait for the acknowledgement was long enough
	stop := context.AfterFunc(ctx, p.Shutdown)
	err := p.Serve(conn)
	if stop() { // Serve ended by itself
		conn.Close()
		return ferric.Errorf(ferric.CodeUnavailable, "tftp: serve on %s: %w", s.opts.Address, err)
	}
	p.Shutdown() // waits for the transfers, and may be repeated
	return nil
}

// transfer handles one read request. The error that it returns goes to the client, so it says nothing about this host.
func (s *Server) transfer(ctx context.Context, name string, rf io.ReaderFrom) error {
	start := time.Now()
	var peer string
	if out, ok := rf.(pin.OutgoingTransfer); ok {
		addr := out.RemoteAddr()
		peer = addr.String()
	}
	n, clientErr, err := s.send(ctx, name, rf)
	took := time.Since(start)
	if s.obs != nil {
		s.obs.Transfer(n, took, err)
	}
	attrs := []slog.Attr{slog.String("file", name), slog.String("peer", peer), slog.Int64("bytes", n), slog.Duration("took", took)}
	if err != nil {
		attrs = append(attrs, slog.Any("error", err))
	}
	s.log.LogAttrs(ctx, slog.LevelDebug, "tftp transfer", attrs...)
	return clientErr
}

func (s *Server) send(ctx context.Context, name string, rf io.ReaderFrom) (n int64, clientErr, err error) {
	select {
	case s.slots <- struct{}{}:
		defer func() { <-s.slots }()
	default:
		return 0, errors.New("server busy"), ferric.Errorf(ferric.CodeBusy, "tftp: %d transfers are under way already", s.opts.MaxTransfers)
	}
	clean, err := boot.CleanName(name)
	if err != nil {
		return 0, errors.New("bad file name"), err
	}
	f, err := s.files.Open(clean)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrInvalid) {
		return 0, errors.New("file not found"), err
	}
	if err != nil {
		return 0, errors.New("read failed"), err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return 0, errors.New("read failed"), err
	}
	if out, ok := rf.(pin.OutgoingTransfer); ok {
		out.SetSize(info.Size())
	}
	ctx, cancel := context.WithTimeout(ctx, s.opts.TransferTimeout)
	defer cancel()
	n, err = rf.ReadFrom(&limitedReader{ctx: ctx, r: f})
	if err != nil {
		return n, errors.New("transfer failed"), fmt.Errorf("send %s: %w", clean, err)
	}
	return n, nil, nil
}

// limitedReader ends a transfer when its context ends. It hides that r can seek, so that the size is ours to say.
type limitedReader struct {
	ctx context.Context
	r   io.Reader
}

func (l *limitedReader) Read(p []byte) (int, error) {
	if l.ctx.Err() != nil {
		return 0, errors.New("transfer cut off")
	}
	return l.r.Read(p)
}
