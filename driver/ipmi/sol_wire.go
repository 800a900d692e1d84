package ipmi

import (
	"encoding/binary"
	"fmt"
)

// Flags of a SOL packet from the BMC (table 15-2), and the one that both sides use.
const (
	solNACK         = 0x40
	solUnavailable  = 0x20 // characters cannot be passed on now
	solDeactivating = 0x10
)

// solHeaderLen is what precedes the characters of a SOL packet.
const solHeaderLen = 4

// solPacket is one packet of serial over LAN (15.9). sequence 0 carries no characters, only an acknowledgement; ack 0 acknowledges nothing.
type solPacket struct {
	sequence, ack byte // 4 bits
	accepted      byte // how many characters of the acknowledged packet were taken
	flags         byte
	data          []byte
}

func (p solPacket) encode() []byte {
	return append([]byte{p.sequence & 0x0f, p.ack & 0x0f, p.accepted, p.flags}, p.data...)
}

// parseSOL reads a packet. The data alias raw.
func parseSOL(raw []byte) (solPacket, error) {
	if len(raw) < solHeaderLen {
		return solPacket{}, errNotOurs
	}
	return solPacket{sequence: raw[0] & 0x0f, ack: raw[1] & 0x0f, accepted: raw[2], flags: raw[3], data: raw[solHeaderLen:]}, nil
}

// activateSOL and deactivateSOL are Activate Payload and Deactivate Payload (24.1, 24.2) for the first instance of SOL. The
// characters are encrypted and authenticated; alerts over the serial line wait meanwhile.
var (
	activateSOL   = command{name: "activate payload SOL", netFn: netFnApp, code: 0x48, data: []byte{payloadSOL, 1, 0xc4, 0, 0, 0}}
	deactivateSOL = command{name: "deactivate payload SOL", netFn: netFnApp, code: 0x49, data: []byte{payloadSOL, 1, 0, 0, 0, 0}}
)

// solLimits is what the BMC says when SOL begins.
type solLimits struct {
	toBMC int // most characters in a packet to the BMC
	port  int // UDP port of the payload
}

func parseActivation(data []byte) (solLimits, error) {
	if len(data) < 10 {
		return solLimits{}, short(activateSOL.name, len(data))
	}
	// Some BMCs count the header in, some do not, and some say nothing sensible.
	size := int(binary.LittleEndian.Uint16(data[4:])) - solHeaderLen
	return solLimits{toBMC: max(1, min(size, 200)), port: int(binary.LittleEndian.Uint16(data[8:]))}, nil
}

// activationText explains the completion codes that Activate Payload has of its own.
func activationText(cc byte) string {
	switch cc {
	case 0x80:
		return "serial over LAN is in use by another session"
	case 0x81:
		return "serial over LAN is disabled in the BMC"
	case 0x82:
		return "too many serial-over-LAN sessions"
	case 0x83:
		return "the BMC cannot encrypt serial over LAN"
	case 0x84:
		return "the BMC wants serial over LAN without encryption"
	}
	return fmt.Sprintf("completion code 0x%02x", cc)
}
