package bmc_test

import (
	"net"
	"testing"
	"time"

	"ferric/lab/bmc"
)

// FuzzDatagram sends arbitrary datagrams to a BMC, each followed by a presence ping that must be answered.
func FuzzDatagram(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{0x06, 0x00, 0xff, 0x07})
	f.Add([]byte{0x06, 0x00, 0xff, 0x07, 0x06, 0xc0, 1, 0, 0, 0, 1, 0, 0, 0, 4, 0, 1, 2, 3, 4})
	f.Add([]byte{0x06, 0x00, 0xff, 0x07, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9, 0x20, 0x18, 0xc8, 0x81, 0x04, 0x38, 0x8e, 0x04, 0xb1})
	open := []byte{0x06, 0x00, 0xff, 0x07, 0x06, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 32, 0, 1, 0, 0, 0, 9, 9, 9, 9}
	for kind, algorithm := range []byte{3, 4, 1} {
		open = append(open, byte(kind), 0, 0, 8, algorithm, 0, 0, 0)
	}
	f.Add(open)
	rakp1 := append([]byte{0x06, 0x00, 0xff, 0x07, 0x06, 0x12, 0, 0, 0, 0, 0, 0, 0, 0, 28, 0}, make([]byte, 28)...)
	rakp1[len(rakp1)-1] = 0xff // length of the user name
	f.Add(rakp1)
	f.Add(append([]byte{0x06, 0x00, 0xff, 0x07, 0x06, 0x14, 0, 0, 0, 0, 0, 0, 0, 0, 40, 0}, make([]byte, 40)...))

	s, err := bmc.Start(&machine{}, bmc.Options{Users: []bmc.User{{Name: "admin", Password: "pw"}}})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { s.Close() })
	conn, err := net.DialUDP("udp", nil, s.Addr())
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { conn.Close() })
	tag := byte(0)
	f.Fuzz(func(t *testing.T, datagram []byte) {
		if len(datagram) > 2000 {
			return
		}
		conn.Write(datagram)
		tag = (tag + 1) % 255
		ping := []byte{0x06, 0x00, 0xff, 0x06, 0x00, 0x00, 0x11, 0xbe, 0x80, tag, 0x00, 0x00}
		conn.SetReadDeadline(time.Now().Add(30 * time.Second))
		conn.Write(ping)
		buffer := make([]byte, 2048)
		for {
			n, err := conn.Read(buffer)
			if err != nil {
				t.Fatalf("the BMC does not answer any more: %v", err)
			}
			if n >= 12 && buffer[3] == 0x06 && buffer[8] == 0x40 && buffer[9] == tag {
				return
			}
		}
	})
}
