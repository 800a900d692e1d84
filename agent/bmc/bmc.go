// Package bmc asks the machine's management controller for its LAN addresses, in-band through the kernel's IPMI device.
//
// # Concurrency
//
// A Device belongs to one goroutine.
package bmc

import (
	"bytes"
	"context"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"ferric"
)

// Addresses are the controller's. IPv4 is "0.0.0.0" and IPv6 "::/0" when there is a controller without one; MAC is ""
// when it told none.
type Addresses struct {
	IPv4, IPv6, MAC string
}

// Conn sends one command and returns the answer after the completion code, which must be 0.
type Conn interface {
	Do(ctx context.Context, netFn, cmd byte, data ...byte) ([]byte, error)
}

// LAN configuration parameters (IPMI 2.0, table 23-4).
const (
	netFnTransport  = 0x0c
	getLANConfig    = 0x02
	paramIPv4       = 3
	paramMAC        = 5
	paramIPv6Mode   = 51 // 0: IPv4 only, 1: IPv6 only, 2: both
	paramIPv6Status = 55
	paramIPv6Static = 56
	paramIPv6Lease  = 59
)

// Ask reads the addresses from the first LAN channel that has some. Channels 1 to 11 may be LANs.
func Ask(ctx context.Context, c Conn) Addresses {
	out := Addresses{IPv4: "0.0.0.0", IPv6: "::/0"}
	for ch := byte(1); ch <= 11 && ctx.Err() == nil; ch++ {
		v4, err := param(ctx, c, ch, paramIPv4, 0, 4)
		if err != nil {
			continue // no such channel, or no LAN
		}
		if ip := net.IP(v4); out.IPv4 == "0.0.0.0" && !ip.IsUnspecified() {
			out.IPv4 = ip.String()
		}
		if v6 := ipv6(ctx, c, ch); out.IPv6 == "::/0" && v6 != "" {
			out.IPv6 = v6
		}
		configured := !net.IP(v4).IsUnspecified() || out.IPv6 != "::/0"
		if mac, err := param(ctx, c, ch, paramMAC, 0, 6); out.MAC == "" && configured && err == nil && !bytes.Equal(mac, make([]byte, 6)) {
			out.MAC = net.HardwareAddr(mac).String()
		}
	}
	return out
}

// param reads a parameter's value without its revision.
func param(ctx context.Context, c Conn, channel, number, set byte, length int) ([]byte, error) {
	b, err := c.Do(ctx, netFnTransport, getLANConfig, channel, number, set, 0)
	if err != nil {
		return nil, err
	}
	if len(b) < 1+length {
		return nil, ferric.Errorf(ferric.CodeCorrupt, "LAN parameter %d of channel %d has %d bytes", number, channel, len(b)-1)
	}
	return b[1 : 1+length], nil
}

// ipv6 finds an active address: a leased or advertised one, else a static one that is enabled.
func ipv6(ctx context.Context, c Conn, channel byte) string {
	mode, err := param(ctx, c, channel, paramIPv6Mode, 0, 1)
	if err != nil || mode[0] != 1 && mode[0] != 2 {
		return ""
	}
	status, err := param(ctx, c, channel, paramIPv6Status, 0, 2)
	if err != nil {
		return ""
	}
	for i := range min(status[1], 16) {
		b, err := param(ctx, c, channel, paramIPv6Lease, i, 20) // set, source, address, prefix, status
		if source := byte(0); err == nil {
			source = b[1] & 0x0f
			if ip := net.IP(b[2:18]); (source == 1 || source == 2) && b[19] == 0 && !ip.IsUnspecified() {
				return ip.String()
			}
		}
	}
	for i := range min(status[0], 16) {
		b, err := param(ctx, c, channel, paramIPv6Static, i, 20)
		if err != nil {
			continue
		}
		if ip := net.IP(b[2:18]); b[1]&0x80 != 0 && b[19] == 0 && !ip.IsUnspecified() {
			return ip.String()
		}
	}
	return ""
}

// Device is /dev/ipmi0.
type Device struct {
	f  *os.File
	id int64
}

// Open opens the IPMI device; CodeNotFound if the machine has none.
func Open(dev string) (*Device, error) {
	for _, pattern := range []string{"ipmi[0-9]*", "ipmi/[0-9]*", "ipmidev/[0-9]*"} {
		names, _ := filepath.Glob(filepath.Join(dev, pattern)) // the patterns are good
		for _, n := range names {
			f, err := os.OpenFile(n, os.O_RDWR, 0)
			if err == nil {
				return &Device{f: f}, nil
			}
		}
	}
	return nil, ferric.Errorf(ferric.CodeNotFound, "no IPMI device")
}

// Close closes the device.
func (d *Device) Close() error { return d.f.Close() }

// The structures of linux/ipmi.h.
type (
	systemAddr struct {
		kind    int32
		channel int16
		lun     uint8
		_       uint8
	}
	message struct {
		netFn, cmd uint8
		length     uint16
		_          uint32
		data       unsafe.Pointer
	}
	request struct {
		addr    unsafe.Pointer
		addrLen uint32
		_       uint32
		id      int64
		msg     message
	}
	received struct {
		kind    int32
		_       uint32
		addr    unsafe.Pointer
		addrLen uint32
		_       uint32
		id      int64
		msg     message
	}
)

const (
	sendCommand      = 0x8028690d // _IOR('i', 13, struct ipmi_req)
	receiveTruncated = 0xc030690b // _IOWR('i', 11, struct ipmi_recv)
	systemInterface  = 0x0c
	bmcChannel       = 0x0f
	answerLimit      = 5 * time.Second
)

// Do implements Conn.
func (d *Device) Do(ctx context.Context, netFn, cmd byte, data ...byte) ([]byte, error) {
	d.id++
	addr := systemAddr{kind: systemInterface, channel: bmcChannel}
	req := request{addr: unsafe.Pointer(&addr), addrLen: uint32(unsafe.Sizeof(addr)), id: d.id, msg: message{netFn: netFn, cmd: cmd, length: uint16(len(data))}}
	if len(data) > 0 {
		req.msg.data = unsafe.Pointer(&data[0])
	}
	_, _, e := unix.Syscall(unix.SYS_IOCTL, d.f.Fd(), sendCommand, uintptr(unsafe.Pointer(&req)))
	runtime.KeepAlive(data)
	if e != 0 {
		return nil, ferric.Errorf(ferric.CodeUnavailable, "send an IPMI command: %w", e)
	}
	for deadline := time.Now().Add(answerLimit); ; {
		left := time.Until(deadline)
		if left <= 0 || ctx.Err() != nil {
			return nil, ferric.Errorf(ferric.CodeTimeout, "the management controller does not answer")
		}
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(d.f.Fd()), Events: unix.POLLIN}}, int(min(left, time.Second)/time.Millisecond))
		if err != nil && err != unix.EINTR {
			return nil, ferric.Errorf(ferric.CodeUnavailable, "wait for the management controller: %w", err)
		}
		if n < 1 {
			continue
		}
		answer, id, err := d.receive()
		if err != nil {
			return nil, err
		}
		if id != d.id {
			continue // the late answer to an earlier command
		}
		if len(answer) == 0 || answer[0] != 0 {
			return nil, ferric.Errorf(ferric.CodeUnsupported, "the management controller refuses the command: %x", answer)
		}
		return answer[1:], nil
	}
}

func (d *Device) receive() ([]byte, int64, error) {
	var addr [32]byte
	buf := make([]byte, 1024)
	rec := received{addr: unsafe.Pointer(&addr), addrLen: uint32(len(addr)), msg: message{data: unsafe.Pointer(&buf[0]), length: uint16(len(buf))}}
	_, _, e := unix.Syscall(unix.SYS_IOCTL, d.f.Fd(), receiveTruncated, uintptr(unsafe.Pointer(&rec)))
	runtime.KeepAlive(buf)
	if e != 0 && e != unix.EMSGSIZE {
		return nil, 0, ferric.Errorf(ferric.CodeUnavailable, "receive an IPMI answer: %w", e)
	}
	return buf[:min(int(rec.msg.length), len(buf))], rec.id, nil
}
