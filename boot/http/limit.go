package http

import (
	"net"
	"sync"
)

// limitListener accepts a new connection only while fewer than cap(slots) are open. Its connections are still
// *net.TCPConn underneath, so that net/http can hand files to the kernel (sendfile).
type limitListener struct {
	*net.TCPListener
	slots  chan struct{}
	closed chan struct{}
	once   sync.Once
}

// Accept implements net.Listener.
func (l *limitListener) Accept() (net.Conn, error) {
	select {
	case l.slots <- struct{}{}:
	case <-l.closed:
		return nil, net.ErrClosed
	}
	c, err := l.AcceptTCP()
	if err != nil {
		<-l.slots
		return nil, err
	}
	return &limitConn{TCPConn: c, release: sync.OnceFunc(func() { <-l.slots })}, nil
}

// Close implements net.Listener.
func (l *limitListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.TCPListener.Close()
}

type limitConn struct {
	*net.TCPConn
	release func()
}

// Close implements net.Conn.
func (c *limitConn) Close() error {
	err := c.TCPConn.Close()
	c.release()
	return err
}
