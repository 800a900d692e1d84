package ra

import (
	"context"
	"encoding/binary"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"golang.org/x/net/ipv6"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"ferric"
)

// Options are the settings of a Sender.
type Options struct {
	Interface string        // network interface; it needs an IPv6 link-local address
	Interval  time.Duration // time between unsolicited advertisements. Default 60 s.
	// Prefix, if valid, is announced for autonomous addresses, without a default route. It must be a unique local /64
	// (fd00::/8).
	Prefix netip.Prefix
}

// Sender sends router advertisements. Make it with NewSender, then call Listen and Serve once.
type Sender struct {
	opts Options
	log  *slog.Logger
	ifi  *net.Interface

	mu   sync.Mutex
	conn net.PacketConn
}

// NewSender returns a sender.
func NewSender(opts Options, log *slog.Logger) *Sender {
	if opts.Interval == 0 {
		opts.Interval = time.Minute
	}
	return &Sender{opts: opts, log: log}
}

var (
	allNodes   = netip.MustParseAddr("ff02::1")
	allRouters = netip.MustParseAddr("ff02::2")
)

// Listen checks the options and opens the ICMPv6 socket: CodeInvalid or CodeUnavailable.
func (s *Sender) Listen(ctx context.Context) error {
	ifi, err := net.InterfaceByName(s.opts.Interface)
	if err != nil {
		return ferric.Errorf(ferric.CodeInvalid, "router advertisement: interface %q: %w", s.opts.Interface, err)
	}
	if s.opts.Interval < 4*time.Second || s.opts.Interval > 30*time.Minute {
		return ferric.Errorf(ferric.CodeInvalid, "router advertisement: interval %s: must be between 4s and 30m", s.opts.Interval)
	}
	if p := s.opts.Prefix; p.IsValid() && (!p.Addr().Is6() || p.Bits() != 64 || p != p.Masked() || p.Addr().As16()[0] != 0xfd) {
		return ferric.Errorf(ferric.CodeInvalid, "router advertisement: prefix %s: must be a unique local /64, like fd00:77::/64", p)
	}
	var optErr error
	lc := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) error {
		err := raw.Control(func(fd uintptr) { optErr = unix.BindToDevice(int(fd), ifi.Name) })
		return errors.Join(err, optErr)
	}}
	conn, err := lc.ListenPacket(ctx, "ip6:ipv6-icmp", "::")
	if err != nil {
		return ferric.Errorf(ferric.CodeUnavailable, "router advertisement: open an ICMPv6 socket on interface %s (needs root and IPv6): %w", ifi.Name, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conn, s.ifi = conn, ifi
	return nil
}

// Close closes the socket of a sender that listens and is not going to serve.
func (s *Sender) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conn != nil {
		s.conn.Close()
	}
}

// Serve advertises at every interval and when a machine asks (router solicitation), at most once a second, until ctx
// ends. Then it returns nil.
func (s *Sender) Serve(ctx context.Context) error {
	s.mu.Lock()
	conn := s.conn
	s.mu.Unlock()
	if conn == nil {
		return ferric.Errorf(ferric.CodeInternal, "router advertisement: Serve was called without Listen")
	}
	defer conn.Close()
	p := ipv6.NewPacketConn(conn)
	var filter ipv6.ICMPFilter
	filter.SetAll(true)
	filter.Accept(ipv6.ICMPTypeRouterSolicitation)
	err := errors.Join(
		p.SetICMPFilter(&filter),
		p.JoinGroup(s.ifi, &net.IPAddr{IP: allRouters.AsSlice()}),
		p.SetMulticastHopLimit(255), // RFC 4861: receivers drop anything that may have been forwarded
		p.SetMulticastInterface(s.ifi),
		p.SetMulticastLoopback(false),
		p.SetControlMessage(ipv6.FlagHopLimit|ipv6.FlagInterface, true),
	)
	if err != nil {
		return ferric.Errorf(ferric.CodeUnavailable, "router advertisement: set up the socket on interface %s: %w", s.ifi.Name, err)
	}
	asked := make(chan struct{}, 1)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return s.read(ctx, p, asked) })
	g.Go(func() error { s.send(ctx, p, asked); return nil })
	g.Go(func() error {
		<-ctx.Done()
		return p.SetReadDeadline(time.Unix(1, 0)) // wakes the reader
	})
	return g.Wait()
}

// read notes router solicitations.
func (s *Sender) read(ctx context.Context, p *ipv6.PacketConn, asked chan<- struct{}) error {
	buf := make([]byte, 1500)
	for {
		n, cm, _, err := p.ReadFrom(buf)
		if ctx.Err() != nil {
			return nil
		}
		if errors.Is(err, net.ErrClosed) {
			return ferric.Errorf(ferric.CodeUnavailable, "router advertisement: read: %w", err)
		}
		if err != nil {
			if !pause(ctx, time.Second) {
				return nil
			}
			continue
		}
		valid := n >= 8 && buf[0] == byte(ipv6.ICMPTypeRouterSolicitation) && cm != nil && cm.HopLimit == 255 && cm.IfIndex == s.ifi.Index
		if valid {
			select {
			case asked <- struct{}{}:
			default:
			}
		}
	}
}

func (s *Sender) send(ctx context.Context, p *ipv6.PacketConn, asked <-chan struct{}) {
	msg := advertisement(s.ifi.HardwareAddr, s.ifi.MTU, s.opts.Prefix)
	to, via := &net.IPAddr{IP: allNodes.AsSlice()}, &ipv6.ControlMessage{IfIndex: s.ifi.Index}
	tick := time.NewTicker(s.opts.Interval)
	defer tick.Stop()
	failed := 0
	for {
		// The source is the interface's link-local address. It is missing for the first seconds after the interface
		// comes up, and for good where IPv6 is off.
		_, err := p.WriteTo(msg, via, to)
		switch {
		case err == nil:
			failed = 0
		case ctx.Err() == nil:
			if failed++; failed == 10 {
				s.log.WarnContext(ctx, "router advertisements cannot be sent; tried again every second", "interface", s.ifi.Name, "error", err)
			}
		}
		if !pause(ctx, time.Second) {
			return
		}
		if err != nil {
			continue
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-asked:
		}
	}
}

// pause waits and reports whether ctx goes on.
func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

// advertisement builds the message; the kernel fills in the checksum.
func advertisement(hw net.HardwareAddr, mtu int, prefix netip.Prefix) []byte {
	b := make([]byte, 16)
	b[0] = byte(ipv6.ICMPTypeRouterAdvertisement)
	b[4] = 64 // hop limit for the hosts; flags and router lifetime stay 0
	if len(hw) == 6 {
		b = append(append(b, 1, 1), hw...) // source link-layer address
	}
	if mtu >= 1280 {
		b = binary.BigEndian.AppendUint32(append(b, 5, 1, 0, 0), uint32(mtu))
	}
	if prefix.IsValid() {
		b = append(b, 3, 4, byte(prefix.Bits()), 0xc0) // on-link, autonomous
		b = binary.BigEndian.AppendUint32(b, 86400)    // valid for
		b = binary.BigEndian.AppendUint32(b, 14400)    // preferred for
		b = append(b, 0, 0, 0, 0)
		addr := prefix.Addr().As16()
		b = append(b, addr[:]...)
	}
	return b
}
