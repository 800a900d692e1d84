package dhcp

import (
	"context"
	"encoding/binary"
	"net"
	"net/netip"
	"syscall"

	"github.com/mdlayher/packet"
	"golang.org/x/sys/unix"

	"ferric"
)

// listenUDP opens a UDP port on one interface only (SO_BINDTODEVICE). The port is not shared: if another DHCP server
// has it on this interface, or on all interfaces, that is an error and not a lottery.
func listenUDP(ctx context.Context, ifname string, port int) (*net.UDPConn, error) {
	var optErr error
	lc := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) error {
		err := raw.Control(func(fd uintptr) {
			if optErr = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_BROADCAST, 1); optErr == nil {
				optErr = unix.BindToDevice(int(fd), ifname)
			}
		})
		if err != nil {
			return err
		}
		return optErr
	}}
	conn, err := lc.ListenPacket(ctx, "udp4", netip.AddrPortFrom(netip.IPv4Unspecified(), uint16(port)).String())
	if err != nil {
		return nil, ferric.Errorf(ferric.CodeUnavailable, "dhcp: listen on UDP port %d of interface %s (needs root, and no other DHCP server on it): %w", port, ifname, err)
	}
	return conn.(*net.UDPConn), nil
}

// firstIPv4 returns the interface's first IPv4 address.
func firstIPv4(ifi *net.Interface) (netip.Addr, error) {
	addrs, err := ifi.Addrs()
	if err != nil {
		return netip.Addr{}, ferric.Errorf(ferric.CodeUnavailable, "dhcp: read the addresses of interface %s: %w", ifi.Name, err)
	}
	for _, a := range addrs {
		if n, ok := a.(*net.IPNet); ok {
			if ip := toAddr(n.IP); ip.IsValid() {
				return ip, nil
			}
		}
	}
	return netip.Addr{}, ferric.Errorf(ferric.CodeInvalid, "dhcp: interface %s has no IPv4 address; give it one", ifi.Name)
}

// frameSender sends replies to machines that have no address yet, so that ARP cannot find them.
type frameSender struct {
	conn *packet.Conn
	src  net.HardwareAddr
}

func newFrameSender(ifi *net.Interface) (*frameSender, error) {
	// Protocol 0: this socket receives nothing.
	conn, err := packet.Listen(ifi, packet.Raw, 0, nil)
	if err != nil {
		return nil, ferric.Errorf(ferric.CodeUnavailable, "dhcp: open a packet socket on interface %s (needs root): %w", ifi.Name, err)
	}
	return &frameSender{conn: conn, src: ifi.HardwareAddr}, nil
}

func (s *frameSender) send(payload []byte, from, to netip.AddrPort, hw net.HardwareAddr) error {
	_, err := s.conn.WriteTo(frame(payload, s.src, hw, from, to), &packet.Addr{HardwareAddr: hw})
	return err
}

func (s *frameSender) close() { s.conn.Close() }

// frame builds an Ethernet frame with an IPv4 UDP datagram (RFC 791, RFC 768).
func frame(payload []byte, srcHW, dstHW net.HardwareAddr, from, to netip.AddrPort) []byte {
	const eth, ip, udp = 14, 20, 8
	b := make([]byte, eth+ip+udp, eth+ip+udp+len(payload))
	copy(b[0:6], dstHW)
	copy(b[6:12], srcHW)
	binary.BigEndian.PutUint16(b[12:], unix.ETH_P_IP)

	h := b[eth : eth+ip]
	h[0] = 0x45 // version 4, 5 words
	binary.BigEndian.PutUint16(h[2:], uint16(ip+udp+len(payload)))
	h[6] = 0x40 // do not fragment
	h[8] = 64   // time to live
	h[9] = unix.IPPROTO_UDP
	src, dst := from.Addr().As4(), to.Addr().As4()
	copy(h[12:16], src[:])
	copy(h[16:20], dst[:])
	binary.BigEndian.PutUint16(h[10:], checksum(h))

	u := b[eth+ip:]
	binary.BigEndian.PutUint16(u[0:], from.Port())
	binary.BigEndian.PutUint16(u[2:], to.Port())
	binary.BigEndian.PutUint16(u[4:], uint16(udp+len(payload)))
	pseudo := append(append([]byte{}, h[12:20]...), 0, unix.IPPROTO_UDP, u[4], u[5])
	sum := checksum(append(append(pseudo, u...), payload...))
	if sum == 0 {
		sum = 0xffff
	}
	binary.BigEndian.PutUint16(u[6:], sum)
	return append(b, payload...)
}

// checksum is the Internet checksum (RFC 1071).
func checksum(b []byte) uint16 {
	var sum uint32
	for ; len(b) >= 2; b = b[2:] {
		sum += uint32(binary.BigEndian.Uint16(b))
	}
	if len(b) == 1 {
		sum += uint32(b[0]) << 8
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}
