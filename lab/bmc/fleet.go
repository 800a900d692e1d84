package bmc

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/net/ipv4"
	"golang.org/x/sys/unix"

	"ferric"
)

// FleetOptions are the settings of a Fleet. The zero value of a field means the default given there.
type FleetOptions struct {
	Count   int           // how many BMCs; at least 1
	First   netip.Addr    // loopback address of the first one, the others follow; default 127.16.0.1
	Port    int           // UDP port of all of them; default 6230
	User    User          // default admin, secret
	Seed    uint64        // decides which BMCs are dead, which datagrams are lost and how late replies are
	Latency time.Duration // before each reply
	Jitter  time.Duration // up to so much more
	Loss    float64       // share of the datagrams that are lost, in each direction
	Dead    float64       // share of the BMCs that do not answer at all
	On      float64       // share of the machines that are on at first
	Logger  *slog.Logger  // default: nothing is logged
}

// Fleet is many BMCs in one process, each at a loopback address of its own: RMCP+ with cipher suites 3 and 17, power, boot device,
// identification. They share one socket per processor, so that a BMC costs no more than its sessions. Unlike a Server a fleet has no sensors and no console, and
// the machines behind it are a power state each.
//
// All methods may be called from any goroutine.
type Fleet struct {
	opts    FleetOptions
	base    uint32 // First as a number
	bmcs    []fleetBMC
	dead    []atomic.Bool // of the BMC with the same index
	order   []int         // in which BMCs die
	sockets []*ipv4.PacketConn
	key     [20]byte // the user's password, padded
	began   time.Time

	received, sent, lost, logins, commands atomic.Int64

	wg      sync.WaitGroup
	pending sync.WaitGroup // replies that wait for their time
}

// StartFleet starts a fleet. CodeInvalid for options that cannot work; CodeUnavailable if the sockets cannot be opened.
func StartFleet(o FleetOptions) (*Fleet, error) {
	if err := o.complete(); err != nil {
		return nil, err
	}
	f := &Fleet{opts: o, bmcs: make([]fleetBMC, o.Count), dead: make([]atomic.Bool, o.Count), began: time.Now()}
	first := o.First.As4()
	f.base = binary.BigEndian.Uint32(first[:])
	copy(f.key[:], o.User.Password)
	random := rand.New(rand.NewPCG(o.Seed, 1))
	f.order = random.Perm(o.Count)
	for i, on := range random.Perm(o.Count) {
		f.bmcs[i].on = on < int(o.On*float64(o.Count)+0.5)
	}
	f.Kill(o.Dead)
	for range fleetReaders {
		conn, err := listenLoopback(o.Port)
		if err != nil {
			f.closeSockets()
			return nil, ferric.Errorf(ferric.CodeUnavailable, "start virtual BMCs: UDP port %d: %w", o.Port, err)
		}
		f.sockets = append(f.sockets, conn)
	}
	for _, conn := range f.sockets {
		f.wg.Go(func() { f.serve(conn) })
	}
	return f, nil
}

func (o *FleetOptions) complete() error {
	if !o.First.IsValid() {
		o.First = netip.AddrFrom4([4]byte{127, 16, 0, 1})
	}
	if o.Port == 0 {
		o.Port = 6230
	}
	if o.User == (User{}) {
		o.User = User{Name: "admin", Password: "secret"}
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	bad := func(format string, args ...any) error {
		return ferric.Errorf(ferric.CodeInvalid, "virtual BMCs: "+format, args...)
	}
	switch {
	case o.Count < 1 || o.Count > 1<<20:
		return bad("a count of %d is not possible; 1 to %d are", o.Count, 1<<20)
	case !o.First.Is4() || !o.First.IsLoopback():
		return bad("the first address, %s, is not one of 127.0.0.0/8", o.First)
	case o.Port < 1 || o.Port > 65535:
		return bad("%d is no UDP port", o.Port)
	case len(o.User.Name) > 16 || len(o.User.Password) > 20:
		return bad("the user name may have 16 bytes, the password 20")
	case o.Latency < 0 || o.Jitter < 0:
		return bad("latency and jitter must not be negative")
	}
	for name, share := range map[string]float64{"loss": o.Loss, "dead": o.Dead, "on": o.On} {
		if !(share >= 0 && share <= 1) {
			return bad("%s is %v; it is a share, from 0 to 1", name, share)
		}
	}
	first := o.First.As4()
	if last := uint64(binary.BigEndian.Uint32(first[:])) + uint64(o.Count) - 1; last >= 0x7fffffff {
		return bad("%d addresses from %s on do not fit into 127.0.0.0/8", o.Count, o.First)
	}
	return nil
}

const (
	fleetReaders = 2  // sockets; the kernel spreads the consoles over them
	fleetBatch   = 64 // datagrams per system call
)

// listenLoopback opens a socket for a port of all loopback addresses. It is bound to the loopback device: nothing from outside gets there.
func listenLoopback(port int) (*ipv4.PacketConn, error) {
	config := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) error {
		var failed error
		err := raw.Control(func(fd uintptr) {
			failed = errors.Join(unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1),
				unix.SetsockoptString(int(fd), unix.SOL_SOCKET, unix.SO_BINDTODEVICE, "lo"))
			// Best effort: as much as the system allows is enough.
			unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, 8<<20)
		})
		return errors.Join(err, failed)
	}}
	udp, err := config.ListenPacket(context.Background(), "udp4", fmt.Sprintf("0.0.0.0:%d", port))
	if err != nil {
		return nil, err
	}
	conn := ipv4.NewPacketConn(udp)
	if err := conn.SetControlMessage(ipv4.FlagDst, true); err != nil {
		udp.Close()
		return nil, err
	}
	return conn, nil
}

// Close stops the fleet and waits.
func (f *Fleet) Close() {
	f.closeSockets()
	f.wg.Wait()
	f.pending.Wait()
}

func (f *Fleet) closeSockets() {
	for _, conn := range f.sockets {
		conn.Close()
	}
}

// serve answers what comes in on a socket until it is closed.
func (f *Fleet) serve(conn *ipv4.PacketConn) {
	in := make([]ipv4.Message, fleetBatch)
	for i := range in {
		in[i].Buffers = [][]byte{make([]byte, 1024)}
		in[i].OOB = ipv4.NewControlMessage(ipv4.FlagDst)
	}
	out := make([]ipv4.Message, 0, fleetBatch)
	var control ipv4.ControlMessage
	for {
		n, err := conn.ReadBatch(in, 0)
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return
			}
			continue
		}
		out = out[:0]
		for i := range in[:n] {
			m := &in[i]
			if control.Parse(m.OOB[:m.NN]) != nil {
				continue
			}
			index, ok := f.index(control.Dst)
			if !ok {
				continue
			}
			f.received.Add(1)
			b := &f.bmcs[index]
			if f.dead[index].Load() || f.drops(b, index) {
				continue
			}
			reply := f.answer(index, b, m.Buffers[0][:m.N])
			if reply == nil || f.drops(b, index) {
				continue
			}
			answer := ipv4.Message{Buffers: [][]byte{reply}, OOB: (&ipv4.ControlMessage{Src: f.address(index)}).Marshal(), Addr: m.Addr}
			if f.opts.Latency+f.opts.Jitter > 0 {
				f.later(conn, f.delay(b, index), answer)
				continue
			}
			out = append(out, answer)
		}
		f.send(conn, out)
	}
}

func (f *Fleet) send(conn *ipv4.PacketConn, out []ipv4.Message) {
	for len(out) > 0 {
		n, err := conn.WriteBatch(out, 0)
		f.sent.Add(int64(n))
		if err != nil { // a console that is gone, or a full buffer: a datagram is lost, as on a network
			n = max(n, 1)
		}
		out = out[n:]
	}
}

// later sends a reply after a while.
func (f *Fleet) later(conn *ipv4.PacketConn, after time.Duration, m ipv4.Message) {
	f.pending.Add(1)
	time.AfterFunc(after, func() {
		defer f.pending.Done()
		f.send(conn, []ipv4.Message{m})
	})
}

// chance is the next number from 0 to 1 of a BMC: the same with the same seed, whatever the others do.
func (f *Fleet) chance(b *fleetBMC, index int) float64 {
	z := f.opts.Seed ^ uint64(index)<<32 ^ b.draws.Add(1)*0x9e3779b97f4a7c15
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return float64((z^z>>31)>>11) / (1 << 53)
}

func (f *Fleet) drops(b *fleetBMC, index int) bool {
	if f.opts.Loss == 0 || f.chance(b, index) >= f.opts.Loss {
		return false
	}
	f.lost.Add(1)
	return true
}

func (f *Fleet) delay(b *fleetBMC, index int) time.Duration {
	if f.opts.Jitter == 0 {
		return f.opts.Latency
	}
	return f.opts.Latency + time.Duration(f.chance(b, index)*float64(f.opts.Jitter))
}

func (f *Fleet) index(ip net.IP) (int, bool) {
	v4 := ip.To4()
	if v4 == nil {
		return 0, false
	}
	i := int64(binary.BigEndian.Uint32(v4)) - int64(f.base)
	return int(i), i >= 0 && i < int64(len(f.bmcs))
}

func (f *Fleet) address(index int) net.IP {
	return binary.BigEndian.AppendUint32(nil, f.base+uint32(index))
}

// Len is the number of BMCs.
func (f *Fleet) Len() int { return len(f.bmcs) }

// Addr is the address of a BMC, by its number from 0 on.
func (f *Fleet) Addr(index int) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte(f.address(index))), uint16(f.opts.Port))
}

// User is the account that all BMCs have.
func (f *Fleet) User() User { return f.opts.User }

// Power reports whether a machine is on.
func (f *Fleet) Power(index int) bool {
	b := &f.bmcs[index]
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.on
}

// SetPower switches a machine, as somebody who presses its button.
func (f *Fleet) SetPower(index int, on bool) {
	b := &f.bmcs[index]
	b.mu.Lock()
	defer b.mu.Unlock()
	b.on = on
}

// Dead reports whether a BMC does not answer.
func (f *Fleet) Dead(index int) bool { return f.dead[index].Load() }

// Kill makes a share of the BMCs dead, and the others well. With the same seed and share it is always the same ones.
func (f *Fleet) Kill(share float64) {
	n := int(share*float64(len(f.bmcs)) + 0.5)
	for i, index := range f.order {
		f.dead[index].Store(i < n)
	}
}

// Restart makes a BMC forget its sessions without telling anybody, as a restart does.
func (f *Fleet) Restart(index int) {
	b := &f.bmcs[index]
	b.mu.Lock()
	defer b.mu.Unlock()
	b.sessions = nil
}

// FleetStats is what a fleet did so far and how it stands.
type FleetStats struct {
	BMCs     int     `json:"bmcs"`
	Dead     int     `json:"dead"`
	On       int     `json:"on"`
	Sessions int     `json:"sessions"` // open ones
	Logins   int64   `json:"logins"`
	Commands int64   `json:"commands"` // in sessions
	Received int64   `json:"received"` // datagrams
	Sent     int64   `json:"sent"`
	Lost     int64   `json:"lost"`    // by FleetOptions.Loss
	Seconds  float64 `json:"seconds"` // since the start
}

// Stats returns the present values.
func (f *Fleet) Stats() FleetStats {
	st := FleetStats{BMCs: len(f.bmcs), Logins: f.logins.Load(), Commands: f.commands.Load(), Received: f.received.Load(),
		Sent: f.sent.Load(), Lost: f.lost.Load(), Seconds: time.Since(f.began).Seconds()}
	now := time.Now()
	for i := range f.bmcs {
		b := &f.bmcs[i]
		b.mu.Lock()
		if b.on {
			st.On++
		}
		for _, s := range b.sessions {
			if s.active && now.Sub(s.used) < fleetSessionIdle {
				st.Sessions++
			}
		}
		b.mu.Unlock()
		if f.dead[i].Load() {
			st.Dead++
		}
	}
	return st
}
