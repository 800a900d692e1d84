package ipmi

import "fmt"

// Network functions (table 5-1), for requests; a reply has the next odd number.
const (
	netFnChassis = 0x00
	netFnSensor  = 0x04
	netFnApp     = 0x06
	netFnStorage = 0x0a
	netFnLAN     = 0x0c
)

const (
	addressBMC     = 0x20 // slave address of the BMC
	addressConsole = 0x81 // software id of a remote console
)

// command is one IPMI request.
type command struct {
	name  string // for messages, e.g. "get chassis status"
	netFn byte
	code  byte
	lun   byte
	data  []byte
	once  bool // must not be executed twice: only ever the very same packet is sent again
}

// completionError is a reply with a completion code other than 0 (table 5-2).
type completionError struct {
	command string
	netFn   byte
	code    byte // the command
	cc      byte
}

func (e *completionError) Error() string {
	return fmt.Sprintf("%s: completion code 0x%02x (%s)", e.command, e.cc, completionText(e.netFn, e.code, e.cc))
}

// transient reports whether the same command may succeed a little later. One that must not run twice (once) is
// repeated only after a code that says that it was not begun.
func (e *completionError) transient(once bool) bool {
	switch e.cc {
	case 0xc0, 0xc4, 0xd2:
		return true
	case 0xc3, 0xcf:
		return !once
	}
	return false
}

// unsupported reports whether the BMC says that it cannot do this at all.
func (e *completionError) unsupported() bool {
	switch e.cc {
	case 0xc1, 0xc2, 0xd6:
		return true
	case 0xc9, 0xcc: // the argument of a chassis command: an action or a boot device that this BMC does not have
		return e.netFn == netFnChassis
	case 0x80: // parameter not supported
		return e.netFn == netFnChassis && (e.code == 0x08 || e.code == 0x09) || e.netFn == netFnLAN
	}
	return false
}

func completionText(netFn, code, cc byte) string {
	if cc >= 0x80 && cc <= 0xbe {
		switch {
		case netFn == netFnApp && code == 0x3b && cc == 0x80:
			return "privilege level not available for this user"
		case netFn == netFnApp && code == 0x3b && cc == 0x81:
			return "privilege level above the limit of the user or the channel"
		case netFn == netFnChassis && (code == 0x08 || code == 0x09) && cc == 0x80, netFn == netFnLAN && cc == 0x80:
			return "parameter not supported"
		case netFn == netFnChassis && code == 0x08 && cc == 0x81:
			return "another set is in progress"
		case netFn == netFnChassis && code == 0x08 && cc == 0x82:
			return "parameter is read-only"
		}
		return "specific to the command"
	}
	if s, ok := completionTexts[cc]; ok {
		return s
	}
	return "specific to the manufacturer"
}

var completionTexts = map[byte]string{
	0xc0: "node busy",
	0xc1: "invalid command",
	0xc2: "command invalid for the given LUN",
	0xc3: "timeout while processing",
	0xc4: "out of space",
	0xc5: "reservation cancelled or invalid",
	0xc6: "request data truncated",
	0xc7: "request data length invalid",
	0xc8: "request data field length limit exceeded",
	0xc9: "parameter out of range",
	0xca: "cannot return that many bytes",
	0xcb: "sensor, data or record not present",
	0xcc: "invalid data field in request",
	0xcd: "command illegal for the sensor or record type",
	0xce: "reply could not be given",
	0xcf: "duplicate request",
	0xd0: "reply could not be given: SDR repository in update mode",
	0xd1: "reply could not be given: firmware update mode",
	0xd2: "reply could not be given: BMC initialization in progress",
	0xd3: "destination unavailable",
	0xd4: "insufficient privilege level",
	0xd5: "not supported in the present state",
	0xd6: "sub-function disabled or unavailable",
	0xff: "unspecified error",
}

func checksum(b []byte) byte {
	var sum byte
	for _, v := range b {
		sum += v
	}
	return -sum
}

// appendRequest appends a request message (figure 13-4). sequence has 6 bits.
func appendRequest(dst []byte, c command, sequence byte) []byte {
	start := len(dst)
	dst = append(dst, addressBMC, c.netFn<<2|c.lun&3)
	dst = append(dst, checksum(dst[start:]))
	second := len(dst)
	dst = append(dst, addressConsole, sequence<<2, c.code)
	dst = append(dst, c.data...)
	return append(dst, checksum(dst[second:]))
}

// parseReply returns completion code and data of a reply message to c with that sequence number.
func parseReply(msg []byte, c command, sequence byte) (cc byte, data []byte, err error) {
	if len(msg) < 8 || checksum(msg[:3]) != 0 || checksum(msg[3:]) != 0 {
		return 0, nil, errNotOurs
	}
	// The first byte should be our address; some BMCs put their own there, and ipmitool does not mind either.
	if msg[1]>>2 != c.netFn|1 || msg[4]>>2 != sequence&0x3f || msg[5] != c.code {
		return 0, nil, errNotOurs
	}
	return msg[6], msg[7 : len(msg)-1], nil
}

// presencePacket is Get Channel Authentication Capabilities outside a session in IPMI 1.5 format (13.6, 22.13):
// the one command that every BMC answers without a login.
func presencePacket(privilege Privilege, sequence byte) []byte {
	msg := appendRequest(nil, presenceCommand(privilege), sequence)
	raw := []byte{0x06, 0x00, 0xff, 0x07, 0, 0, 0, 0, 0, 0, 0, 0, 0, byte(len(msg))}
	return append(raw, msg...)
}

func presenceCommand(privilege Privilege) command {
	return command{name: "get channel authentication capabilities", netFn: netFnApp, code: 0x38,
		data: []byte{0x80 | 0x0e, byte(privilege)}} // 0x80: with IPMI 2.0 data; 0x0e: this channel
}

// parsePresence reads the reply to presencePacket: whether the BMC speaks IPMI 2.0.
func parsePresence(raw []byte, privilege Privilege, sequence byte) (v20 bool, err error) {
	const header = 14
	if len(raw) < header || raw[0] != 0x06 || raw[3] != 0x07 || raw[4] != 0 {
		return false, errNotOurs
	}
	n := int(raw[13])
	if header+n > len(raw) {
		return false, errNotOurs
	}
	cc, data, err := parseReply(raw[header:header+n], presenceCommand(privilege), sequence)
	if err != nil {
		return false, err
	}
	if cc != 0 || len(data) < 4 {
		return true, nil // it is there; what it speaks, the login will tell
	}
	if data[1]&0x80 == 0 { // no IPMI 2.0 data in the reply
		return false, nil
	}
	return data[3]&0x02 != 0, nil
}
