package ipmi

import (
	"net"
	"os"
	"time"
)

var farFuture = time.Now().Add(time.Hour)

// fakeConn gives one datagram and then none.
type fakeConn struct {
	net.Conn
	datagram []byte
	given    bool
}

func fakeLink(datagram []byte) *link { return &link{conn: &fakeConn{datagram: datagram}} }

func (c *fakeConn) Write(p []byte) (int, error)     { return len(p), nil }
func (c *fakeConn) SetReadDeadline(time.Time) error { return nil }
func (c *fakeConn) Read(p []byte) (int, error) {
	if c.given {
		return 0, os.ErrDeadlineExceeded
	}
	c.given = true
	return copy(p, c.datagram), nil
}
