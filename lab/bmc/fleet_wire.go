package bmc

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"slices"
)

// The packets of a fleet's BMCs. Figures and tables are those of the IPMI specification 2.0.

const (
	typeIPMI  = 0x00
	typeRAKP2 = 0x13
	typeRAKP3 = 0x14
	typeRAKP4 = 0x15

	flagsSealed = 0xc0 // encrypted and authenticated
)

// fleetSuite is a cipher suite.
type fleetSuite struct {
	id, auth, integrity byte
	hash                func() hash.Hash
	codeLen             int // of the integrity code
}

var fleetSuites = [...]fleetSuite{
	{id: 3, auth: 1, integrity: 1, hash: sha1.New, codeLen: 12},
	{id: 17, auth: 3, integrity: 4, hash: sha256.New, codeLen: 16},
}

func (s *fleetSuite) hmac(key []byte, parts ...[]byte) []byte {
	mac := hmac.New(s.hash, key)
	for _, p := range parts {
		mac.Write(p)
	}
	return mac.Sum(nil)
}

// appendSessionHeader appends RMCP header and session header (figure 13-6).
func appendSessionHeader(dst []byte, payloadType byte, session, sequence uint32, size int) []byte {
	dst = append(dst, 0x06, 0x00, 0xff, 0x07, 0x06, payloadType)
	dst = binary.LittleEndian.AppendUint32(dst, session)
	dst = binary.LittleEndian.AppendUint32(dst, sequence)
	return binary.LittleEndian.AppendUint16(dst, uint16(size))
}

func plainReply(payloadType byte, payload []byte) []byte {
	return append(appendSessionHeader(make([]byte, 0, headerLen+len(payload)), payloadType, 0, 0, len(payload)), payload...)
}

// seal makes an authenticated, encrypted packet for the session's console (13.28.4, 13.29).
func (s *fleetSession) seal(plain []byte) []byte {
	s.sequence++
	pad := (aes.BlockSize - (len(plain)+1)%aes.BlockSize) % aes.BlockSize
	size := aes.BlockSize + len(plain) + pad + 1
	raw := appendSessionHeader(make([]byte, 0, headerLen+size+5+s.suite.codeLen), typeIPMI|flagsSealed, s.consoleID, s.sequence, size)
	text := len(raw) + aes.BlockSize
	raw = raw[:text]
	rand.Read(raw[headerLen:])
	raw = append(raw, plain...)
	for i := 1; i <= pad; i++ {
		raw = append(raw, byte(i))
	}
	raw = append(raw, byte(pad))
	cipher.NewCBCEncrypter(s.block, raw[headerLen:text]).CryptBlocks(raw[text:], raw[text:])
	fill := (4 - (len(raw)-4+2)%4) % 4
	for range fill {
		raw = append(raw, 0xff)
	}
	raw = append(raw, byte(fill), 0x07)
	return append(raw, s.suite.hmac(s.k1, raw[4:])[:s.suite.codeLen]...)
}

// open verifies and decrypts a packet of the session, and takes each sequence number once (6.12.13).
func (s *fleetSession) open(p []byte) (plain []byte, ok bool) {
	end := len(p) - s.suite.codeLen
	size := int(binary.LittleEndian.Uint16(p[14:]))
	if p[5] != typeIPMI|flagsSealed || end < headerLen+size+2 || size < 2*aes.BlockSize || size%aes.BlockSize != 0 {
		return nil, false
	}
	if !hmac.Equal(s.suite.hmac(s.k1, p[4:end])[:s.suite.codeLen], p[end:]) || !s.take(binary.LittleEndian.Uint32(p[10:])) {
		return nil, false
	}
	payload := p[headerLen : headerLen+size]
	plain = slices.Clone(payload[aes.BlockSize:])
	cipher.NewCBCDecrypter(s.block, payload[:aes.BlockSize]).CryptBlocks(plain, plain)
	pad := int(plain[len(plain)-1])
	if pad >= len(plain) {
		return nil, false
	}
	return plain[:len(plain)-1-pad], true
}

// take reports whether a sequence number is new, and remembers it.
func (s *fleetSession) take(sequence uint32) bool {
	ahead := sequence - s.newest
	switch {
	case sequence == 0:
		return false
	case ahead != 0 && ahead < 1<<31:
		if ahead < 32 {
			s.seen = s.seen<<ahead | 1
		} else {
			s.seen = 1
		}
		s.newest = sequence
		return true
	}
	behind := -ahead
	if behind >= 32 || s.seen&(1<<behind) != 0 {
		return false
	}
	s.seen |= 1 << behind
	return true
}

// request is an IPMI request message (figure 13-4).
type request struct {
	from, sequence, netFn, lun, command byte
	data                                []byte
}

func sum(b []byte) (s byte) {
	for _, v := range b {
		s += v
	}
	return s
}

func parseRequest(msg []byte) (q request, ok bool) {
	if len(msg) < 7 || sum(msg[:3]) != 0 || sum(msg[3:]) != 0 || msg[1]>>2&1 != 0 {
		return q, false
	}
	return request{from: msg[3], netFn: msg[1] >> 2, lun: msg[1] & 3, sequence: msg[4] >> 2, command: msg[5], data: msg[6 : len(msg)-1]}, true
}

// reply is the message that answers it.
func (q request) reply(code byte, data []byte) []byte {
	msg := append(make([]byte, 0, 8+len(data)), q.from, (q.netFn|1)<<2)
	msg = append(msg, -sum(msg))
	msg = append(msg, 0x20, q.sequence<<2|q.lun, q.command, code)
	msg = append(msg, data...)
	return append(msg, -sum(msg[3:]))
}
