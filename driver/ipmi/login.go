package ipmi

import (
	"context"
	"crypto/aes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"

	"ferric/flow"
)

// suite is a cipher suite (table 22-20).
type suite struct {
	id                       int
	auth, integrity, privacy byte // algorithm numbers (tables 13-17 to 13-19)
	hash                     func() hash.Hash
	integrityLen             int // of the code in RAKP 4 and in each packet
}

// The cipher suites that are supported: the two with authentication, integrity and AES that are in use.
var suites = map[int]suite{
	3:  {id: 3, auth: 1, integrity: 1, privacy: 1, hash: sha1.New, integrityLen: 12},
	17: {id: 17, auth: 3, integrity: 4, privacy: 1, hash: sha256.New, integrityLen: 16},
}

// credentials are what a login needs. Comparable, so that a change is seen.
type credentials struct {
	username, password string
	key                string // the BMC key (Kg), "" for one-key logins
	privilege          Privilege
	suite              int // 0: whichever of the pool's list the BMC accepts
}

// statusError is an RMCP+ status other than 0 in the reply to a step of the login (table 13-15).
type statusError struct {
	step   string
	status byte
	resent bool // the request was sent more than once, so that the status may speak about the repetition
}

func (e *statusError) Error() string {
	text, ok := statusTexts[e.status]
	if !ok {
		text = "unknown status"
	}
	return fmt.Sprintf("%s: status 0x%02x (%s)", e.step, e.status, text)
}

var statusTexts = map[byte]string{
	0x01: "insufficient resources to create a session",
	0x02: "invalid session id",
	0x03: "invalid payload type",
	0x04: "invalid authentication algorithm",
	0x05: "invalid integrity algorithm",
	0x06: "no matching authentication payload",
	0x07: "no matching integrity payload",
	0x08: "inactive session id",
	0x09: "invalid role",
	0x0a: "unauthorized role or privilege level",
	0x0b: "insufficient resources to create a session at the requested role",
	0x0c: "invalid name length",
	0x0d: "unauthorized name",
	0x0e: "unauthorized GUID",
	0x0f: "invalid integrity check value",
	0x10: "invalid confidentiality algorithm",
	0x11: "no cipher suite match",
	0x12: "illegal or unrecognized parameter",
}

// noSuite reports whether the BMC refused the cipher suite and another one is worth trying.
func (e *statusError) noSuite() bool {
	switch e.status {
	case 0x03, 0x04, 0x05, 0x06, 0x07, 0x09, 0x10, 0x11, 0x12:
		return e.step == stepOpen
	}
	return false
}

// busy reports whether the BMC has no free session now.
func (e *statusError) busy() bool { return e.status == 0x01 || e.status == 0x0b }

const (
	stepOpen  = "open session"
	stepRAKP1 = "RAKP 1"
	stepRAKP3 = "RAKP 3"
)

// Errors of a login that the caller translates.
var (
	errPassword  = errors.New("the key exchange code of the BMC does not match the password")
	errTwoKey    = errors.New("the integrity check value of the BMC does not match")
	errOnly15    = errors.New("the BMC speaks IPMI 1.5 only")
	errDowngrade = errors.New("the BMC answered with other algorithms than were asked for")
)

// present asks the BMC whether it is there and speaks IPMI 2.0.
func present(ctx context.Context, l *link, r retry, privilege Privilege) error {
	var v20 bool
	err := l.exchange(ctx, r,
		func(try int) []byte { return presencePacket(privilege, byte(try)) },
		func(raw []byte) (err error) {
			for try := range r.tries {
				if v20, err = parsePresence(raw, privilege, byte(try)); err == nil {
					return nil
				}
			}
			return err
		})
	if err == nil && !v20 {
		err = errOnly15
	}
	return err
}

// handshake is the state of one RMCP+ session activation (13.15 to 13.23).
type handshake struct {
	suite suite
	creds credentials
	at    string // the step in progress
	tag   byte

	consoleID, bmcID   uint32
	consoleRandom      [16]byte
	bmcRandom, bmcGUID [16]byte
	sik                []byte
}

func newHandshake(s suite, creds credentials) *handshake {
	h := &handshake{suite: s, creds: creds}
	var id [4]byte
	rand.Read(id[:])
	h.consoleID = binary.LittleEndian.Uint32(id[:]) | 1 // never 0
	rand.Read(h.consoleRandom[:])
	return h
}

// login activates a session and returns it; open says how to wait for the first step's reply, where a BMC that
// does not know the cipher suite may keep silent. Errors: *statusError, the errors above, those of
// link.exchange.
func (h *handshake) login(ctx context.Context, l *link, open, r retry) (*session, error) {
	if err := h.open(ctx, l, open); err != nil {
		return nil, err
	}
	if err := h.rakp1(ctx, l, r); err != nil {
		return nil, err
	}
	if err := h.rakp3(ctx, l, r); err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(h.hmac(h.sik, fill(0x02))[:aes.BlockSize])
	if err != nil {
		return nil, err
	}
	return &session{
		link: l, consoleID: h.consoleID, bmcID: h.bmcID, suite: h.suite.id, creds: h.creds,
		keys: keys{integrity: h.suite.hash, integrityLen: h.suite.integrityLen, k1: h.hmac(h.sik, fill(0x01)), block: block},
	}, nil
}

// step sends a request of the login until a reply of that type carries our session id (at byte 4, as in all of
// them) and, if exact, the tag of the last try: a BMC makes a new random number for a repeated RAKP 1, so
// that an older reply is of no use.
func (h *handshake) step(ctx context.Context, l *link, r retry, name string, request, reply byte, exact bool,
	body func() []byte, accept func(msg []byte) error) error {
	h.at = name
	first := h.tag + 1
	resent := false
	return l.exchange(ctx, r,
		func(try int) []byte {
			h.tag++
			resent = try > 0
			msg := body()
			msg[0] = h.tag
			return plainPacket(request, msg)
		},
		func(raw []byte) error {
			p, err := parsePacket(raw)
			if err != nil {
				return err
			}
			if p.payloadType != reply || p.encrypted || p.sessionID != 0 || len(p.payload) < 2 {
				return errNotOurs
			}
			age := h.tag - p.payload[0]
			if age > h.tag-first || exact && age != 0 {
				return errNotOurs
			}
			var id uint32 // some BMCs leave the id out of an error; ipmi_sim ends the packet before it
			if len(p.payload) >= 8 {
				id = binary.LittleEndian.Uint32(p.payload[4:])
			}
			status := p.payload[1]
			switch {
			case id != h.consoleID && (status == 0 || id != 0):
				return errNotOurs
			case status != 0:
				return &statusError{step: name, status: status, resent: resent}
			}
			return accept(p.payload)
		})
}

func (h *handshake) open(ctx context.Context, l *link, r retry) error {
	body := func() []byte {
		msg := make([]byte, 8, 32) // tag, privilege (0: the highest that matches), 2 reserved, console session id
		binary.LittleEndian.PutUint32(msg[4:], h.consoleID)
		for kind, algorithm := range []byte{h.suite.auth, h.suite.integrity, h.suite.privacy} {
			msg = append(msg, byte(kind), 0, 0, 8, algorithm, 0, 0, 0)
		}
		return msg
	}
	return h.step(ctx, l, r, stepOpen, payloadOpenRequest, payloadOpenResponse, true, body, func(msg []byte) error {
		if len(msg) < 36 {
			return errNotOurs
		}
		if msg[16]&0x3f != h.suite.auth || msg[24]&0x3f != h.suite.integrity || msg[32]&0x3f != h.suite.privacy {
			return errDowngrade
		}
		if h.bmcID = binary.LittleEndian.Uint32(msg[8:]); h.bmcID == 0 {
			return errNotOurs // 0 means "no session"
		}
		return nil
	})
}

// role is the privilege byte of RAKP 1, with the flag that the name alone selects the user.
func (h *handshake) role() byte { return byte(h.creds.privilege) | 0x10 }

func (h *handshake) rakp1(ctx context.Context, l *link, r retry) error {
	body := func() []byte {
		msg := make([]byte, 8, 28+len(h.creds.username))
		binary.LittleEndian.PutUint32(msg[4:], h.bmcID)
		msg = append(msg, h.consoleRandom[:]...)
		msg = append(msg, h.role(), 0, 0, byte(len(h.creds.username)))
		return append(msg, h.creds.username...)
	}
	err := h.step(ctx, l, r, stepRAKP1, payloadRAKP1, payloadRAKP2, true, body, func(msg []byte) error {
		size := h.suite.hash().Size()
		if len(msg) < 40+size {
			return errNotOurs
		}
		copy(h.bmcRandom[:], msg[8:])
		copy(h.bmcGUID[:], msg[24:])
		code := h.hmac(h.userKey(), h.ids(h.consoleID, h.bmcID), h.consoleRandom[:], h.bmcRandom[:], h.bmcGUID[:], h.user())
		if !hmac.Equal(code, msg[40:40+size]) {
			return errPassword
		}
		return nil
	})
	if err == errPassword && flow.Fenced(ctx) == nil {
		// Tell the BMC, so that it frees the session; no reply is awaited.
		msg := make([]byte, 8)
		msg[0], msg[1] = h.tag+1, 0x0f
		binary.LittleEndian.PutUint32(msg[4:], h.bmcID)
		l.conn.Write(plainPacket(payloadRAKP3, msg))
	}
	return err
}

func (h *handshake) rakp3(ctx context.Context, l *link, r retry) error {
	sikKey := h.userKey()
	if h.creds.key != "" {
		sikKey = []byte(h.creds.key)
	}
	h.sik = h.hmac(sikKey, h.consoleRandom[:], h.bmcRandom[:], h.user())
	body := func() []byte {
		msg := make([]byte, 8, 8+32)
		binary.LittleEndian.PutUint32(msg[4:], h.bmcID)
		return append(msg, h.hmac(h.userKey(), h.bmcRandom[:], h.ids(h.consoleID), h.user())...)
	}
	return h.step(ctx, l, r, stepRAKP3, payloadRAKP3, payloadRAKP4, false, body, func(msg []byte) error {
		n := h.suite.integrityLen
		if len(msg) < 8+n {
			return errNotOurs
		}
		if !hmac.Equal(h.hmac(h.sik, h.consoleRandom[:], h.ids(h.bmcID), h.bmcGUID[:])[:n], msg[8:8+n]) {
			return errTwoKey
		}
		return nil
	})
}

func (h *handshake) hmac(key []byte, parts ...[]byte) []byte {
	mac := hmac.New(h.suite.hash, key)
	for _, p := range parts {
		mac.Write(p)
	}
	return mac.Sum(nil)
}

// userKey is Kuid, the password padded to 20 bytes.
func (h *handshake) userKey() []byte {
	key := make([]byte, maxPasswordLen)
	copy(key, h.creds.password)
	return key
}

// user is role, length of the name and name, the end of most hash inputs.
func (h *handshake) user() []byte {
	return append([]byte{h.role(), byte(len(h.creds.username))}, h.creds.username...)
}

func (h *handshake) ids(ids ...uint32) []byte {
	var b []byte
	for _, id := range ids {
		b = binary.LittleEndian.AppendUint32(b, id)
	}
	return b
}

// fill is the constant of 20 equal bytes that the session keys are made from (13.32).
func fill(v byte) []byte {
	b := make([]byte, 20)
	for i := range b {
		b[i] = v
	}
	return b
}
