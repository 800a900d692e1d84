package ipmi

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"hash"
)

// Payload types of RMCP+ packets (table 13-16).
const (
	payloadIPMI         = 0x00
	payloadSOL          = 0x01
	payloadOpenRequest  = 0x10
	payloadOpenResponse = 0x11
	payloadRAKP1        = 0x12
	payloadRAKP2        = 0x13
	payloadRAKP3        = 0x14
	payloadRAKP4        = 0x15
)

const (
	rmcpHeaderLen    = 4
	sessionHeaderLen = 12
	payloadOffset    = rmcpHeaderLen + sessionHeaderLen

	flagEncrypted     = 0x80
	flagAuthenticated = 0x40
	authTypeRMCPPlus  = 0x06
	nextHeader        = 0x07

	maxPacketLen = 1024 // the largest IPMI packet over LAN is well below 300 bytes
)

// errNotOurs says that a datagram is not a reply that we can use. It never reaches a caller: the datagram is
// dropped and the reader goes on waiting.
var errNotOurs = errors.New("not a reply to our request")

// packet is an RMCP+ packet taken apart (figure 13-6).
type packet struct {
	payloadType              byte
	encrypted, authenticated bool
	sessionID, sequence      uint32
	payload                  []byte // still encrypted if encrypted is set
}

// appendHeader appends the RMCP header and the session header.
func appendHeader(dst []byte, payloadType byte, sessionID, sequence uint32, payloadLen int) []byte {
	dst = append(dst, 0x06, 0x00, 0xff, 0x07, authTypeRMCPPlus, payloadType)
	dst = binary.LittleEndian.AppendUint32(dst, sessionID)
	dst = binary.LittleEndian.AppendUint32(dst, sequence)
	return binary.LittleEndian.AppendUint16(dst, uint16(payloadLen))
}

// parsePacket takes an RMCP+ packet apart. The payload aliases raw.
func parsePacket(raw []byte) (packet, error) {
	if len(raw) < payloadOffset || raw[0] != 0x06 || raw[3] != 0x07 || raw[4] != authTypeRMCPPlus {
		return packet{}, errNotOurs
	}
	p := packet{
		payloadType:   raw[5] & 0x3f,
		encrypted:     raw[5]&flagEncrypted != 0,
		authenticated: raw[5]&flagAuthenticated != 0,
		sessionID:     binary.LittleEndian.Uint32(raw[6:]),
		sequence:      binary.LittleEndian.Uint32(raw[10:]),
	}
	n := int(binary.LittleEndian.Uint16(raw[14:]))
	if payloadOffset+n > len(raw) {
		return packet{}, errNotOurs
	}
	p.payload = raw[payloadOffset : payloadOffset+n]
	return p, nil
}

// plainPacket makes a packet outside any session.
func plainPacket(payloadType byte, payload []byte) []byte {
	return append(appendHeader(make([]byte, 0, payloadOffset+len(payload)), payloadType, 0, 0, len(payload)), payload...)
}

// keys are what a session encrypts and authenticates with.
type keys struct {
	integrity    func() hash.Hash
	integrityLen int
	k1           []byte
	block        cipher.Block // AES-128 with the first half of K2
}

// seal makes an authenticated, encrypted packet of a session with an IPMI message.
func (k *keys) seal(sessionID, sequence uint32, plain []byte) []byte {
	return k.sealAs(payloadIPMI, sessionID, sequence, plain)
}

// sealAs is seal for any payload (13.28.4, 13.29).
func (k *keys) sealAs(payloadType byte, sessionID, sequence uint32, plain []byte) []byte {
	pad := (aes.BlockSize - (len(plain)+1)%aes.BlockSize) % aes.BlockSize
	cryptLen := len(plain) + pad + 1
	raw := make([]byte, 0, payloadOffset+aes.BlockSize+cryptLen+4+2+k.integrityLen)
	raw = appendHeader(raw, payloadType|flagEncrypted|flagAuthenticated, sessionID, sequence, aes.BlockSize+cryptLen)
	var iv [aes.BlockSize]byte
	rand.Read(iv[:]) // never fails (crypto/rand)
	raw = append(raw, iv[:]...)
	text := len(raw)
	raw = append(raw, plain...)
	for i := 1; i <= pad; i++ {
		raw = append(raw, byte(i))
	}
	raw = append(raw, byte(pad))
	cipher.NewCBCEncrypter(k.block, iv[:]).CryptBlocks(raw[text:], raw[text:])

	trailerPad := (4 - (len(raw)-rmcpHeaderLen+2)%4) % 4
	for range trailerPad {
		raw = append(raw, 0xff)
	}
	raw = append(raw, byte(trailerPad), nextHeader)
	return append(raw, k.code(raw[rmcpHeaderLen:])...)
}

func (k *keys) code(data []byte) []byte {
	mac := hmac.New(k.integrity, k.k1)
	mac.Write(data)
	return mac.Sum(nil)[:k.integrityLen]
}

// open verifies and decrypts an IPMI message of the session with our id sessionID.
func (k *keys) open(raw []byte, sessionID uint32) (sequence uint32, plain []byte, err error) {
	return k.openAs(payloadIPMI, raw, sessionID)
}

// openAs is open for any payload. Nothing of the packet is used before its integrity code was found right.
func (k *keys) openAs(payloadType byte, raw []byte, sessionID uint32) (sequence uint32, plain []byte, err error) {
	p, err := parsePacket(raw)
	if err != nil {
		return 0, nil, err
	}
	if p.payloadType != payloadType || p.sessionID != sessionID || !p.authenticated || !p.encrypted {
		return 0, nil, errNotOurs
	}
	end := len(raw) - k.integrityLen // of what the code covers
	if end < payloadOffset+len(p.payload)+2 {
		return 0, nil, errNotOurs
	}
	if !hmac.Equal(k.code(raw[rmcpHeaderLen:end]), raw[end:]) {
		return 0, nil, errNotOurs
	}
	if len(p.payload) < 2*aes.BlockSize || len(p.payload)%aes.BlockSize != 0 {
		return 0, nil, errNotOurs
	}
	plain = make([]byte, len(p.payload)-aes.BlockSize)
	cipher.NewCBCDecrypter(k.block, p.payload[:aes.BlockSize]).CryptBlocks(plain, p.payload[aes.BlockSize:])
	pad := int(plain[len(plain)-1])
	if pad >= len(plain) {
		return 0, nil, errNotOurs
	}
	return p.sequence, plain[:len(plain)-1-pad], nil
}

// window holds which session sequence numbers were seen (6.12.13): a packet is taken once, and not when it is
// more than 31 behind the newest.
type window struct {
	newest uint32
	seen   uint32 // bit i: newest-i was seen
}

// take reports whether sequence is new, and remembers it.
func (w *window) take(sequence uint32) bool {
	if sequence == 0 {
		return false
	}
	if ahead := sequence - w.newest; ahead != 0 && ahead < 1<<31 {
		if ahead < 32 {
			w.seen <<= ahead
		} else {
			w.seen = 0
		}
		w.newest, w.seen = sequence, w.seen|1
		return true
	}
	behind := w.newest - sequence
	if behind >= 32 || w.seen&(1<<behind) != 0 {
		return false
	}
	w.seen |= 1 << behind
	return true
}
