package dhcp

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/net/ipv4"
	"golang.org/x/sync/errgroup"

	"ferric"
)

// Server answers DHCP on one interface. Make it with NewServer, then call Listen and Serve once.
type Server struct {
	opts   Options
	dir    Directory
	leases Leases
	log    *slog.Logger
	obs    Observer

	mu       sync.Mutex
	handler  *Handler
	conns    map[int]*net.UDPConn // by port
	frames   *frameSender
	listened bool

	strangers map[netip.Addr]time.Time // other DHCP servers, and when they were reported; of the goroutine of ServerPort
}

// NewServer returns a server. leases may be nil in proxy mode, obs may be nil.
func NewServer(opts Options, dir Directory, leases Leases, log *slog.Logger, obs Observer) *Server {
	return &Server{opts: opts.Defaults(), dir: dir, leases: leases, log: log, obs: obs}
}

// Listen checks the options and opens the ports, so that a wrong setting or a port in use is reported before anything
// runs. It returns CodeInvalid or CodeUnavailable. Call Serve or Close after it.
func (s *Server) Listen(ctx context.Context) error {
	ifi, err := net.InterfaceByName(s.opts.Interface)
	if err != nil {
		return ferric.Errorf(ferric.CodeInvalid, "dhcp: interface %q: %w", s.opts.Interface, err)
	}
	opts := s.opts
	if !opts.Address.IsValid() {
		if opts.Address, err = firstIPv4(ifi); err != nil {
			return err
		}
	}
	h, err := NewHandler(opts, s.dir, s.leases, opts.Now)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.listened {
		return ferric.Errorf(ferric.CodeInternal, "dhcp: Listen was called twice")
	}
	ports := []int{ServerPort}
	if opts.Proxy {
		ports = append(ports, ProxyPort)
	}
	s.conns = map[int]*net.UDPConn{}
	for _, port := range ports {
		conn, err := listenUDP(ctx, opts.Interface, port)
		if err != nil {
			s.closeLocked()
			return err
		}
		s.conns[port] = conn
	}
	if s.frames, err = newFrameSender(ifi); err != nil {
		s.closeLocked()
		return err
	}
	s.handler, s.opts, s.listened = h, opts, true
	return nil
}

// Close closes the ports of a server that listens and is not going to serve.
func (s *Server) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closeLocked()
}

func (s *Server) closeLocked() {
	for _, c := range s.conns {
		c.Close()
	}
	if s.frames != nil {
		s.frames.close()
	}
	s.conns, s.frames = nil, nil
}

// Serve answers packets until ctx ends, then closes the ports and returns nil. It returns early only if a port fails.
func (s *Server) Serve(ctx context.Context) error {
	s.mu.Lock()
	conns, frames := s.conns, s.frames
	s.mu.Unlock()
	if len(conns) == 0 {
		return ferric.Errorf(ferric.CodeInternal, "dhcp: Serve was called without Listen")
	}
	g, ctx := errgroup.WithContext(ctx)
	for port, conn := range conns {
		g.Go(func() error { return s.serve(ctx, conn, frames, port) })
	}
	if !s.opts.Proxy {
		g.Go(func() error { s.expire(ctx); return nil })
	}
	g.Go(func() error {
		<-ctx.Done()
		for _, c := range conns {
			c.SetReadDeadline(time.Unix(1, 0)) // wakes the reader, which then sees that ctx has ended
		}
		return nil
	})
	err := g.Wait()
	s.Close()
	return err
}

func (s *Server) serve(ctx context.Context, conn *net.UDPConn, frames *frameSender, port int) error {
	buf := make([]byte, 4096) // longer packets are cut off, and then garbage
	for {
		n, from, err := conn.ReadFromUDPAddrPort(buf)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return ferric.Errorf(ferric.CodeUnavailable, "dhcp: read from port %d: %w", port, err)
			}
			// The interface is down, or the like: wait and try again.
			s.log.WarnContext(ctx, "dhcp: read failed", "interface", s.opts.Interface, "port", port, "error", err)
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(time.Second):
			}
			continue
		}
		from = netip.AddrPortFrom(from.Addr().Unmap(), from.Port())
		s.packet(ctx, conn, frames, Request{Data: buf[:n], From: from, Port: port})
	}
}

// packet handles one packet, and sends and records what became of it.
func (s *Server) packet(ctx context.Context, conn *net.UDPConn, frames *frameSender, in Request) {
	ctx, cancel := context.WithTimeout(ctx, s.opts.PacketTimeout)
	defer cancel()
	res := s.handler.Handle(ctx, in)
	if res.Reply != nil {
		if err := s.send(conn, frames, res.Reply); err != nil {
			res.Outcome = OutcomeError
			res.Err = ferric.Errorf(ferric.CodeUnavailable, "dhcp: send the answer to %s: %w", res.MAC, err)
		}
	}
	if s.obs != nil {
		s.obs.Packet(res.Kind, res.Outcome)
	}
	if res.Stranger.IsValid() {
		s.warnOf(ctx, res)
	}
	level := slog.LevelDebug
	switch res.Outcome {
	case OutcomeAnswered, OutcomeAccepted, OutcomeRefused:
		level = slog.LevelInfo
	case OutcomeError, OutcomeFull:
		level = slog.LevelWarn
	}
	if !s.log.Enabled(ctx, level) {
		return
	}
	attrs := []slog.Attr{slog.String("interface", s.opts.Interface), slog.String("kind", res.Kind),
		slog.String("outcome", string(res.Outcome)), slog.String("mac", res.MAC)}
	if res.NodeUUID != "" {
		attrs = append(attrs, slog.String("node", res.NodeUUID))
	}
	if res.IP.IsValid() {
		attrs = append(attrs, slog.String("address", res.IP.String()))
	}
	if res.BootFile != "" {
		attrs = append(attrs, slog.String("boot_file", res.BootFile))
	}
	if res.Err != nil {
		attrs = append(attrs, slog.Any("error", res.Err))
	}
	s.log.LogAttrs(ctx, level, "dhcp", attrs...)
}

// How often a DHCP server that is not ours is reported, and how many are kept in mind.
const (
	strangerInterval = 10 * time.Minute
	maxStrangers     = 100
)

// warnOf reports a DHCP server that is not ours.
func (s *Server) warnOf(ctx context.Context, res Result) {
	if last, ok := s.strangers[res.Stranger]; ok && time.Since(last) < strangerInterval {
		return
	}
	if s.strangers == nil || len(s.strangers) >= maxStrangers {
		s.strangers = map[netip.Addr]time.Time{}
	}
	s.strangers[res.Stranger] = time.Now()
	s.log.WarnContext(ctx, "dhcp: another DHCP server is on this segment, and a machine took its offer: it does not boot what Ferric wants it to. "+
		"Take that server away, let it ignore the machine, or set boot.dhcp to proxy, which works beside it",
		"interface", s.opts.Interface, "server", res.Stranger.String(), "mac", res.MAC, "node", res.NodeUUID)
}

func (s *Server) send(conn *net.UDPConn, frames *frameSender, r *Reply) error {
	data := r.Packet.ToBytes()
	if r.HW != nil {
		return frames.send(data, netip.AddrPortFrom(s.opts.Address, ServerPort), r.To, r.HW)
	}
	if err := conn.SetWriteDeadline(time.Now().Add(s.opts.PacketTimeout)); err != nil {
		return err
	}
	// The sender must be the server's own address also where the interface has several.
	cm := &ipv4.ControlMessage{Src: s.opts.Address.AsSlice()}
	_, _, err := conn.WriteMsgUDPAddrPort(data, cm.Marshal(), r.To)
	return err
}

// expire forgets old leases from time to time.
func (s *Server) expire(ctx context.Context) {
	tick := time.NewTicker(time.Hour)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		ectx, cancel := context.WithTimeout(ctx, time.Minute)
		n, err := s.leases.Expire(ectx, s.handler.now().Add(-s.opts.KeepTime))
		cancel()
		if err != nil && ctx.Err() == nil {
			s.log.WarnContext(ctx, "dhcp: old leases could not be removed; tried again in an hour", "error", err)
		} else if n > 0 {
			s.log.DebugContext(ctx, "dhcp: old leases removed", "count", n)
		}
	}
}
