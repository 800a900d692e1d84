package bmc

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"encoding/binary"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// fleetBMC is one BMC of a fleet, and its machine.
type fleetBMC struct {
	draws atomic.Uint64 // numbers that were drawn

	mu       sync.Mutex
	on       bool
	sessions []*fleetSession // few
	boot     *bootOptions    // nil until somebody asks
	identify time.Time       // until when the lamp is on
}

// fleetSession is a session of a BMC, or the beginning of one.
type fleetSession struct {
	active        bool // the login is done
	used          time.Time
	suite         *fleetSuite
	id, consoleID uint32
	consoleRandom [16]byte
	random        [16]byte
	role          byte
	k1, sik       []byte
	block         cipher.Block
	sequence      uint32 // of the last packet sent
	newest, seen  uint32 // sequence numbers that came; bit i of seen: newest-i did
}

const (
	fleetSessionIdle = time.Minute // after which a BMC ends a session (6.12.15)
	fleetSessions    = 4           // of one BMC; the one that was not used for longest makes room
)

// Status codes of the login (table 13-15).
const (
	statusNoSession   = 0x02
	statusNoSuite     = 0x11
	statusUnknownUser = 0x0d
	statusWrongCode   = 0x0f
)

// answer is the reply to a datagram, nil for none.
func (f *Fleet) answer(index int, b *fleetBMC, p []byte) []byte {
	if len(p) < 14 || p[0] != 0x06 || p[3]&0x1f != 0x07 {
		return nil
	}
	if p[4] == 0 {
		return f.answerV15(index, b, p)
	}
	if p[4] != 0x06 || len(p) < headerLen {
		return nil
	}
	size := int(binary.LittleEndian.Uint16(p[14:]))
	if headerLen+size > len(p) {
		return nil
	}
	payload := p[headerLen : headerLen+size]
	b.mu.Lock()
	defer b.mu.Unlock()
	if id := binary.LittleEndian.Uint32(p[6:]); id != 0 {
		return f.inSession(index, b, b.session(id), p)
	}
	switch p[5] {
	case typeIPMI:
		return f.answerPlain(index, b, payload)
	case typeOpenRequest:
		return f.openSession(b, payload)
	case typeRAKP1:
		return f.rakp1(index, b, payload)
	case typeRAKP3:
		return f.rakp3(index, b, payload)
	}
	return nil
}

// answerV15 answers the request that comes before every login, in a packet of IPMI 1.5 (13.6).
func (f *Fleet) answerV15(index int, b *fleetBMC, p []byte) []byte {
	const header = 14
	n := int(p[13])
	if header+n > len(p) || binary.LittleEndian.Uint32(p[9:]) != 0 {
		return nil
	}
	q, ok := parseRequest(p[header : header+n])
	if !ok || !beforeLogin(q) {
		return nil
	}
	b.mu.Lock()
	code, data := f.execute(index, b, nil, q)
	b.mu.Unlock()
	msg := q.reply(code, data)
	return append([]byte{0x06, 0x00, 0xff, 0x07, 0, 0, 0, 0, 0, 0, 0, 0, 0, byte(len(msg))}, msg...)
}

// answerPlain answers a request outside of any session in a packet of IPMI 2.0: ipmitool asks for the cipher suites so.
func (f *Fleet) answerPlain(index int, b *fleetBMC, payload []byte) []byte {
	q, ok := parseRequest(payload)
	if !ok || !beforeLogin(q) {
		return nil
	}
	code, data := f.execute(index, b, nil, q)
	return plainReply(typeIPMI, q.reply(code, data))
}

// beforeLogin reports whether a request needs no session.
func beforeLogin(q request) bool { return q.netFn == app && (q.command == 0x38 || q.command == 0x54) }

// session finds a session that has not run out.
func (b *fleetBMC) session(id uint32) *fleetSession {
	for _, s := range b.sessions {
		if s.id == id && time.Since(s.used) < fleetSessionIdle {
			return s
		}
	}
	return nil
}

func (b *fleetBMC) drop(s *fleetSession) {
	b.sessions = slices.DeleteFunc(b.sessions, func(o *fleetSession) bool { return o == s })
}

// openSession answers Open Session (13.17, 13.18).
func (f *Fleet) openSession(b *fleetBMC, msg []byte) []byte {
	if len(msg) < 32 {
		return nil
	}
	f.logins.Add(1)
	var suite *fleetSuite
	for i := range fleetSuites {
		if s := &fleetSuites[i]; msg[12] == s.auth && msg[20] == s.integrity && msg[28] == 1 {
			suite = s
		}
	}
	if suite == nil {
		return refuse(msg, statusNoSuite)
	}
	if len(b.sessions) >= fleetSessions {
		b.drop(slices.MinFunc(b.sessions, func(a, c *fleetSession) int { return a.used.Compare(c.used) }))
	}
	var id [4]byte
	rand.Read(id[:])
	s := &fleetSession{suite: suite, used: time.Now(), id: binary.LittleEndian.Uint32(id[:]) | 1, consoleID: binary.LittleEndian.Uint32(msg[4:])}
	b.sessions = append(b.sessions, s)
	reply := append(make([]byte, 0, 36), msg[0], 0, 4, 0) // up to administrator
	reply = append(reply, msg[4:8]...)
	reply = binary.LittleEndian.AppendUint32(reply, s.id)
	return plainReply(typeOpenResponse, append(reply, msg[8:32]...))
}

// loginReply begins the reply to a message of the login.
func loginReply(tag, status byte, console uint32) []byte {
	return binary.LittleEndian.AppendUint32(append(make([]byte, 0, 96), tag, status, 0, 0), console)
}

// rakp1 answers RAKP message 1 (13.20, 13.21).
func (f *Fleet) rakp1(index int, b *fleetBMC, msg []byte) []byte {
	if len(msg) < 28 || len(msg) < 28+int(msg[27]) {
		return nil
	}
	s := b.session(binary.LittleEndian.Uint32(msg[4:]))
	if s == nil || s.active {
		return plainReply(typeRAKP2, loginReply(msg[0], statusNoSession, 0))
	}
	if string(msg[28:28+int(msg[27])]) != f.opts.User.Name {
		b.drop(s)
		return plainReply(typeRAKP2, loginReply(msg[0], statusUnknownUser, s.consoleID))
	}
	copy(s.consoleRandom[:], msg[8:])
	s.role, s.used = msg[24], time.Now()
	rand.Read(s.random[:])
	guid := f.guid(index)
	reply := append(append(loginReply(msg[0], 0, s.consoleID), s.random[:]...), guid[:]...)
	return plainReply(typeRAKP2, append(reply, s.suite.hmac(f.key[:], ids(s.consoleID, s.id), s.consoleRandom[:], s.random[:], guid[:], f.account(s))...))
}

// rakp3 answers RAKP message 3 (13.22, 13.23). It may be repeated.
func (f *Fleet) rakp3(index int, b *fleetBMC, msg []byte) []byte {
	if len(msg) < 8 {
		return nil
	}
	s := b.session(binary.LittleEndian.Uint32(msg[4:]))
	if s == nil {
		return plainReply(typeRAKP4, loginReply(msg[0], statusNoSession, 0))
	}
	if msg[1] != 0 { // the console gives up
		b.drop(s)
		return nil
	}
	want := s.suite.hmac(f.key[:], s.random[:], ids(s.consoleID), f.account(s))
	if !hmac.Equal(msg[8:], want) {
		b.drop(s)
		return plainReply(typeRAKP4, loginReply(msg[0], statusWrongCode, s.consoleID))
	}
	if !s.active {
		s.sik = s.suite.hmac(f.key[:], s.consoleRandom[:], s.random[:], f.account(s))
		s.k1 = s.suite.hmac(s.sik, constant(1))
		block, err := aes.NewCipher(s.suite.hmac(s.sik, constant(2))[:aes.BlockSize])
		if err != nil {
			return nil // not with a key of this size
		}
		s.block, s.active = block, true
	}
	s.used = time.Now()
	guid := f.guid(index)
	return plainReply(typeRAKP4, append(loginReply(msg[0], 0, s.consoleID), s.suite.hmac(s.sik, s.consoleRandom[:], ids(s.id), guid[:])[:s.suite.codeLen]...))
}

func ids(list ...uint32) (b []byte) {
	for _, id := range list {
		b = binary.LittleEndian.AppendUint32(b, id)
	}
	return b
}

// account is role, length of the name and name.
func (f *Fleet) account(s *fleetSession) []byte {
	return append([]byte{s.role, byte(len(f.opts.User.Name))}, f.opts.User.Name...)
}

// constant is what the keys are made from (13.32).
func constant(v byte) []byte {
	b := make([]byte, 20)
	for i := range b {
		b[i] = v
	}
	return b
}

// guid is the machine's, with seed and number in it.
func (f *Fleet) guid(index int) (g [16]byte) {
	binary.BigEndian.PutUint64(g[:], f.opts.Seed)
	binary.BigEndian.PutUint32(g[12:], uint32(index)+1)
	return g
}

// inSession executes a command.
func (f *Fleet) inSession(index int, b *fleetBMC, s *fleetSession, p []byte) []byte {
	if s == nil || !s.active {
		return nil
	}
	msg, ok := s.open(p)
	if !ok {
		return nil
	}
	s.used = time.Now()
	q, ok := parseRequest(msg)
	if !ok {
		return nil
	}
	f.commands.Add(1)
	code, data := f.execute(index, b, s, q)
	return s.seal(q.reply(code, data))
}

const (
	codeInvalidCommand = 0xc1
	chassis            = 0x00
	app                = 0x06
)

// execute executes a command; s is nil before a login. b is locked.
func (f *Fleet) execute(index int, b *fleetBMC, s *fleetSession, q request) (code byte, data []byte) {
	switch int(q.netFn)<<8 | int(q.command) {
	case app<<8 | 0x38: // Get Channel Authentication Capabilities (22.13): 2.0 only, users with names
		return codeOK, []byte{0x01, 0x80, 0x04, 0x02, 0, 0, 0, 0}
	case app<<8 | 0x54: // Get Channel Cipher Suites (22.15)
		data = []byte{0x01}
		if len(q.data) >= 3 && q.data[2]&0x3f == 0 {
			for _, suite := range fleetSuites {
				data = append(data, 0xc0, suite.id, suite.auth, 0x40|suite.integrity, 0x80|1)
			}
		}
		return codeOK, data
	case app<<8 | 0x01: // Get Device ID (20.1), as a Server's
		return codeOK, []byte{0x20, 0x01, 0x01, 0x00, 0x02, 0x81, 0xf2, 0x1b, 0x00, 0x45, 0x46}
	case app<<8 | 0x04: // Get Self Test Results (20.4)
		return codeOK, []byte{0x55, 0x00}
	case app<<8 | 0x37: // Get System GUID (22.14)
		guid := f.guid(index)
		return codeOK, guid[:]
	case app<<8 | 0x3b: // Set Session Privilege Level (22.18)
		if len(q.data) < 1 {
			return codeLengthInvalid, nil
		}
		return codeOK, []byte{max(q.data[0]&0x0f, 2)}
	case app<<8 | 0x3c: // Close Session (22.19)
		if len(q.data) >= 4 && binary.LittleEndian.Uint32(q.data) == s.id {
			b.drop(s)
			return codeOK, nil
		}
		return codeInvalidData, nil
	case chassis<<8 | 0x01: // Get Chassis Status (28.2)
		data = []byte{0x00, 0x00, 0x40, 0x00}
		if b.on {
			data[0] |= 0x01
		}
		if time.Now().Before(b.identify) {
			data[2] |= 0x10
		}
		return codeOK, data
	case chassis<<8 | 0x02:
		return b.control(q.data), nil
	case chassis<<8 | 0x04: // Chassis Identify (28.5)
		interval := 15 * time.Second
		if len(q.data) > 0 {
			interval = time.Duration(q.data[0]) * time.Second
		}
		b.identify = time.Now().Add(interval)
		return codeOK, nil
	case chassis<<8 | 0x08:
		return b.bootOptions().setParameter(q.data), nil
	case chassis<<8 | 0x09:
		data, code = b.bootOptions().getParameter(q.data)
		return code, data
	}
	return codeInvalidCommand, nil
}

// control executes Chassis Control (28.3).
func (b *fleetBMC) control(data []byte) byte {
	if len(data) < 1 {
		return codeLengthInvalid
	}
	if b.boot != nil {
		b.boot.controlled()
	}
	starts := false
	switch data[0] & 0x0f {
	case 0, 5: // off; the operating system does as it is asked
		b.on = false
	case 1:
		starts = !b.on
		b.on = true
	case 2, 3: // cycle, reset
		if !b.on {
			return codeNotNow
		}
		starts = true
	case 4: // NMI
		if !b.on {
			return codeNotNow
		}
	default:
		return codeInvalidData
	}
	if starts && b.boot != nil {
		b.boot.take()
	}
	return codeOK
}

func (b *fleetBMC) bootOptions() *bootOptions {
	if b.boot == nil {
		b.boot = &bootOptions{now: time.Now}
	}
	return b.boot
}
