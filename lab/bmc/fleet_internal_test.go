package bmc

import (
	"crypto/aes"
	"crypto/cipher"
	"testing"
)

// FuzzFleetDatagram sends arbitrary datagrams to a BMC of a fleet, on its own and within a session whose login is done.
func FuzzFleetDatagram(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{0x06, 0x00, 0xff, 0x07, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9, 0x20, 0x18, 0xc8, 0x81, 0x04, 0x38, 0x8e, 0x04, 0xb1})
	f.Add([]byte{0x06, 0x00, 0xff, 0x07, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0x20})
	open := []byte{0x06, 0x00, 0xff, 0x07, 0x06, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 32, 0, 1, 0, 0, 0, 9, 9, 9, 9}
	for kind, algorithm := range []byte{3, 4, 1} {
		open = append(open, byte(kind), 0, 0, 8, algorithm, 0, 0, 0)
	}
	f.Add(open)
	for _, kind := range []byte{typeRAKP1, typeRAKP3} {
		long := append([]byte{0x06, 0x00, 0xff, 0x07, 0x06, kind, 0, 0, 0, 0, 0, 0, 0, 0, 28, 0}, make([]byte, 28)...)
		long[20], long[len(long)-1] = 5, 0xff // the session, and the length of the user name
		f.Add(long)
	}
	f.Add(append([]byte{0x06, 0x00, 0xff, 0x07, 0x06, 0xc0, 7, 0, 0, 0, 1, 0, 0, 0, 48, 0}, make([]byte, 66)...))
	f.Fuzz(func(t *testing.T, datagram []byte) {
		fleet := &Fleet{opts: FleetOptions{User: User{Name: "admin", Password: "secret"}}}
		b := &fleetBMC{}
		suite := &fleetSuites[len(datagram)%2]
		fleet.answer(0, b, open)
		begun := b.sessions[0]
		begun.id = 5
		done := *begun
		done.id = 7
		b.sessions = append(b.sessions, &done)
		done.suite, done.sik = suite, make([]byte, 32)
		done.k1 = suite.hmac(done.sik, constant(1))
		done.block = mustAES(t, done.k1[:16])
		done.active = true
		fleet.answer(0, b, datagram)
		if len(datagram) <= 200 { // as the text of a sealed packet, which is the next layer
			sender := done
			sender.consoleID, sender.sequence = 7, 100
			fleet.answer(0, b, sender.seal(datagram))
		}
	})
}

func mustAES(t *testing.T, key []byte) cipher.Block {
	block, err := aes.NewCipher(key)
	if err != nil {
		t.Fatal(err)
	}
	return block
}
