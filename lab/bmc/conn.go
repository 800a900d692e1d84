package bmc

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"net"
	"slices"
	"sync"
	"time"
)

// Faults are ways to misbehave, for tests of consoles. Counters count down with each datagram they hit.
type Faults struct {
	Silent        bool          // drop everything that comes in
	DropRequests  int           // drop that many datagrams that come in
	DropReplies   int           // drop that many datagrams before they go out
	Delay         time.Duration // before each reply
	Garbage       int           // datagrams of random bytes, and with random bytes after a valid header, before each reply
	RefuseSession byte          // answer requests to open a session with this status (table 13-15); 0 does not
	MuteSuites    bool          // do not answer requests to open a session with a cipher suite other than 3
}

// conn is the server's socket with faults. It also keeps malformed datagrams away from the library, which is
// ended by some of them.
type conn struct {
	udp    net.PacketConn
	closed chan struct{}
	once   sync.Once

	mu        sync.Mutex
	faults    Faults
	datagrams int
	logins    int
	recent    [64][sha256.Size]byte // of packets in sessions
	next      int
}

func newConn(udp net.PacketConn) *conn { return &conn{udp: udp, closed: make(chan struct{})} }

func (c *conn) setFaults(f Faults) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.faults = f
}

func (c *conn) counts() (datagrams, logins int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.datagrams, c.logins
}

// LocalAddr is asked for by the library.
func (c *conn) LocalAddr() net.Addr { return c.udp.LocalAddr() }

// Close closes the socket.
func (c *conn) Close() error {
	c.once.Do(func() { close(c.closed) })
	return c.udp.Close()
}

// ReadFrom returns the next datagram that the library shall see.
func (c *conn) ReadFrom(buffer []byte) (int, net.Addr, error) {
	for {
		n, from, err := c.udp.ReadFrom(buffer)
		if err != nil {
			return n, from, err
		}
		reply, pass := c.inspect(buffer[:n])
		if reply != nil {
			c.udp.WriteTo(reply, from)
		}
		if pass {
			return n, from, nil
		}
	}
}

const (
	headerLen        = 16
	typeOpenRequest  = 0x10
	typeOpenResponse = 0x11
	typeRAKP1        = 0x12
)

// inspect decides on a datagram that came in: an answer of our own, and whether the library sees it.
func (c *conn) inspect(p []byte) (reply []byte, pass bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.datagrams++
	f := &c.faults
	if f.Silent {
		return nil, false
	}
	if f.DropRequests > 0 {
		f.DropRequests--
		return nil, false
	}
	if len(p) < headerLen || p[3]&0x1f != 0x07 || p[4] != 0x06 { // the library looks at the same bits
		return nil, true
	}
	size := int(binary.LittleEndian.Uint16(p[14:]))
	if headerLen+size > len(p) {
		return nil, false
	}
	payload := p[headerLen : headerLen+size]
	switch p[5] & 0x3f {
	case typeOpenRequest:
		c.logins++
		if len(payload) < 32 {
			return nil, false
		}
		if f.RefuseSession != 0 {
			return refuse(payload, f.RefuseSession), false
		}
		if f.MuteSuites && payload[12] != 1 {
			return nil, false
		}
	case typeRAKP1:
		if len(payload) < 28 || payload[27] > 16 || len(payload) < 28+int(payload[27]) {
			return nil, false
		}
	default:
		if p[5]&0x80 != 0 && (size < 32 || size%16 != 0) {
			return nil, false
		}
		if binary.LittleEndian.Uint32(p[6:]) != 0 && c.repeated(p) {
			return nil, false
		}
	}
	return nil, true
}

// repeated reports whether a packet of a session has come before: a BMC takes each session sequence number once
// (6.12.13), while the library takes one as often as it comes.
func (c *conn) repeated(p []byte) bool {
	sum := sha256.Sum256(p)
	if slices.Contains(c.recent[:], sum) {
		return true
	}
	c.recent[c.next] = sum
	c.next = (c.next + 1) % len(c.recent)
	return false
}

// refuse makes the answer to a request to open a session with a status.
func refuse(request []byte, status byte) []byte {
	reply := []byte{0x06, 0x00, 0xff, 0x07, 0x06, typeOpenResponse, 0, 0, 0, 0, 0, 0, 0, 0, 8, 0}
	reply = append(reply, request[0], status, 0, 0)
	return append(reply, request[4:8]...)
}

// WriteTo sends a reply.
func (c *conn) WriteTo(p []byte, to net.Addr) (int, error) {
	c.mu.Lock()
	drop := c.faults.DropReplies > 0
	if drop {
		c.faults.DropReplies--
	}
	delay, garbage := c.faults.Delay, c.faults.Garbage
	c.mu.Unlock()
	if delay > 0 {
		t := time.NewTimer(delay)
		defer t.Stop()
		select {
		case <-t.C:
		case <-c.closed:
			return 0, net.ErrClosed
		}
	}
	for i := range garbage {
		c.udp.WriteTo(garble(p, i), to)
	}
	if drop {
		return len(p), nil
	}
	return c.udp.WriteTo(p, to)
}

// garble makes a datagram that is not the reply p: random bytes, p with random bytes behind its header, p cut
// off, or p with one bit changed. The last is for packets in a session only: before there are keys, nobody can
// tell a change from a wrong password.
func garble(p []byte, i int) []byte {
	var noise [64]byte
	rand.Read(noise[:])
	q := append([]byte(nil), p...)
	switch i % 4 {
	case 0:
		return noise[:noise[0]&0x3f]
	case 1:
		for j := min(headerLen, len(q)); j < len(q); j++ {
			q[j] = noise[j%len(noise)]
		}
	case 2:
		q = q[:len(q)*int(noise[0])/256]
		if len(q) >= headerLen {
			binary.LittleEndian.PutUint16(q[14:], uint16(noise[1]&0x1f))
		}
	case 3:
		if len(q) < headerLen || binary.LittleEndian.Uint32(q[6:]) == 0 {
			return noise[:]
		}
		bit := int(binary.LittleEndian.Uint16(noise[:])) % (len(q) * 8)
		q[bit/8] ^= 1 << (bit % 8)
	}
	return q
}
