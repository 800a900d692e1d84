package ipmi

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"ferric"
)

var getDeviceID = command{name: "get device id", netFn: netFnApp, code: 0x01}

// Device is what a BMC says about itself (20.1).
type Device struct {
	ID, Revision   int
	Firmware       string // "major.minor"
	IPMI           string // "2.0"
	Manufacturer   int    // IANA enterprise number
	Product        int
	HasSDR, HasSEL bool // it keeps sensor data records, an event log
}

// Device asks the BMC what it is. Safe to repeat.
func (b BMC) Device(ctx context.Context) (Device, error) {
	var d Device
	err := b.do(ctx, "get BMC information", false, func(ctx context.Context, t *turn) error {
		data, err := t.run(ctx, getDeviceID)
		if err != nil {
			return err
		}
		d, err = parseDevice(data)
		return err
	})
	return d, err
}

func parseDevice(data []byte) (Device, error) {
	if len(data) < 11 {
		return Device{}, short("get device id", len(data))
	}
	return Device{
		ID: int(data[0]), Revision: int(data[1] & 0x0f),
		Firmware:     fmt.Sprintf("%d.%02x", data[2]&0x7f, data[3]),
		IPMI:         fmt.Sprintf("%d.%d", data[4]&0x0f, data[4]>>4),
		HasSDR:       data[5]&0x02 != 0,
		HasSEL:       data[5]&0x04 != 0,
		Manufacturer: int(data[6]) | int(data[7])<<8 | int(data[8]&0x0f)<<16,
		Product:      int(binary.LittleEndian.Uint16(data[9:])),
	}, nil
}

// SystemGUID returns the GUID of the machine (22.14) as a UUID in the byte order of SMBIOS, which is what most
// BMCs send, or in the order of RFC 4122 where only that gives a valid version. Safe to repeat.
func (b BMC) SystemGUID(ctx context.Context) (string, error) {
	var guid string
	err := b.do(ctx, "get system GUID", false, func(ctx context.Context, t *turn) error {
		data, err := t.run(ctx, command{name: "get system GUID", netFn: netFnApp, code: 0x37})
		if err != nil {
			return err
		}
		guid, err = parseGUID(data)
		return err
	})
	return guid, err
}

func parseGUID(data []byte) (string, error) {
	if len(data) < 16 {
		return "", short("get system GUID", len(data))
	}
	smbios := [16]byte{data[3], data[2], data[1], data[0], data[5], data[4], data[7], data[6]}
	copy(smbios[8:], data[8:16])
	u := smbios
	if v := u[6] >> 4; v < 1 || v > 8 {
		if v := data[6] >> 4; v >= 1 && v <= 8 {
			copy(u[:], data)
		}
	}
	return fmt.Sprintf("%x-%x-%x-%x-%x", u[:4], u[4:6], u[6:8], u[8:10], u[10:16]), nil
}

// LAN is the address of a BMC as the BMC itself has it.
type LAN struct {
	Address netip.Addr
	MAC     net.HardwareAddr
}

// LAN reads IPv4 and MAC address of the channel the session runs on (23.2). Safe to repeat.
func (b BMC) LAN(ctx context.Context) (LAN, error) {
	var l LAN
	err := b.do(ctx, "get LAN address", false, func(ctx context.Context, t *turn) error {
		get := func(parameter byte, size int) ([]byte, error) {
			data, err := t.run(ctx, command{name: "get LAN configuration", netFn: netFnLAN, code: 0x02, data: []byte{0x0e, parameter, 0, 0}})
			if err == nil && len(data) < 1+size {
				err = short("get LAN configuration", len(data))
			}
			if err != nil {
				return nil, err
			}
			return data[1 : 1+size], nil // after the parameter's revision
		}
		ip, err := get(3, 4)
		if err != nil {
			return err
		}
		mac, err := get(5, 6)
		if err != nil {
			return err
		}
		l = LAN{Address: netip.AddrFrom4([4]byte(ip)), MAC: mac}
		return nil
	})
	return l, err
}

// Reset restarts the BMC itself, not the machine; warm keeps its settings. It is never sent twice. The BMC does
// not answer for a while afterwards, often not even to this command: that counts as success.
func (b BMC) Reset(ctx context.Context, warm bool) error {
	c := command{name: "cold reset", netFn: netFnApp, code: 0x02, once: true}
	if warm {
		c.name, c.code = "warm reset", 0x03
	}
	return b.do(ctx, "reset BMC ("+c.name+")", true, func(ctx context.Context, t *turn) error {
		t.lost = true
		_, err := t.run(ctx, c)
		if err == errNoReply || err == errRefused {
			return nil
		}
		return err
	})
}

// Raw sends any request and returns the data of the reply, without the completion code. It is never sent twice,
// as nobody knows what it does.
func (b BMC) Raw(ctx context.Context, netFn, code byte, data []byte) ([]byte, error) {
	if netFn > 0x3e || netFn&1 != 0 {
		return nil, ferric.Errorf(ferric.CodeInvalid, "raw IPMI request: network function 0x%02x is not an even number up to 0x3e", netFn)
	}
	if len(data) > 200 {
		return nil, ferric.Errorf(ferric.CodeInvalid, "raw IPMI request: %d bytes of data; at most 200 fit", len(data))
	}
	var reply []byte
	c := command{name: fmt.Sprintf("raw request 0x%02x 0x%02x", netFn, code), netFn: netFn, code: code, data: data, once: true}
	err := b.do(ctx, c.name, true, func(ctx context.Context, t *turn) (err error) {
		reply, err = t.run(ctx, c)
		return err
	})
	return reply, err
}

// ParseRaw reads a request written as for ipmitool: numbers from 0 to 255, decimal or with 0x, separated by
// spaces; first the network function, then the command, then the data.
func ParseRaw(s string) (netFn, code byte, data []byte, err error) {
	fields := strings.Fields(strings.ReplaceAll(s, ",", " "))
	if len(fields) < 2 {
		return 0, 0, nil, ferric.Errorf(ferric.CodeInvalid,
			`raw_bytes: %q needs at least two bytes, the network function and the command, e.g. "0x06 0x01"`, s)
	}
	b := make([]byte, len(fields))
	for i, f := range fields {
		n, err := strconv.ParseUint(f, 0, 8)
		if err != nil {
			return 0, 0, nil, ferric.Errorf(ferric.CodeInvalid, "raw_bytes: %q is not a number from 0x00 to 0xff", f)
		}
		b[i] = byte(n)
	}
	return b[0], b[1], b[2:], nil
}
