package disk

import (
	"encoding/binary"
	"os"
	"runtime"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"ferric"
)

// Source: ATA8-ACS, 4.14 and 7.42 to 7.47 (security feature set); SAT-3, 12.2 (ATA PASS-THROUGH (16)).

// ATA executes ATA commands on a drive.
type ATA interface {
	// Exec runs a command with at most one sector of data: written if out is given, read into in if that is given.
	Exec(command byte, out, in []byte, timeout time.Duration) error
}

const (
	ataIdentify      = 0xec
	ataSetPassword   = 0xf1
	ataUnlock        = 0xf2
	ataErasePrepare  = 0xf3
	ataEraseUnit     = 0xf4
	ataDisable       = 0xf6
	securityWord     = 128
	securityOK       = 1 << 0
	securityEnabled  = 1 << 1
	securityLocked   = 1 << 2
	securityFrozen   = 1 << 3
	securityEnhanced = 1 << 5
)

// short is for commands that a drive answers at once.
const short = 15 * time.Second

type ataSecurity struct {
	state             uint16
	normal, withExtra time.Duration // how long erasing takes, by the drive's own estimate; 0 unknown
}

func (s ataSecurity) is(bit uint16) bool { return s.state&bit != 0 }

func identify(a ATA) (ataSecurity, error) {
	b := make([]byte, 512)
	if err := a.Exec(ataIdentify, nil, b, short); err != nil {
		return ataSecurity{}, err
	}
	word := func(i int) uint16 { return binary.LittleEndian.Uint16(b[2*i:]) }
	s := ataSecurity{normal: eraseTime(word(89)), withExtra: eraseTime(word(90))}
	if word(82)&(1<<1) != 0 { // the feature set is there
		s.state = word(securityWord)
	}
	return s, nil
}

// eraseTime decodes words 89 and 90: units of two minutes in eight or, with bit 15, in fifteen bits.
func eraseTime(w uint16) time.Duration {
	if w&0x8000 != 0 {
		w &= 0x7fff
	} else {
		w &= 0xff
	}
	return time.Duration(w) * 2 * time.Minute
}

// ATAErase erases a drive by its own ATA secure erase, enhanced if it has that. done is false without an error if the
// drive does not offer it. A drive that refuses (frozen, locked by an unknown password) is CodeConflict.
func ATAErase(a ATA, name string) (done bool, err error) {
	sec, err := identify(a)
	if err != nil || !sec.is(securityOK) {
		return false, nil // no ATA drive, or none that we can speak to
	}
	if sec.is(securityFrozen) {
		return false, ferric.Errorf(ferric.CodeConflict, "ATA secure erase of %s: the firmware has frozen the drive's security; a power cycle, or the firmware's setup, may lift that", name)
	}
	if sec.is(securityLocked) { // a run before this one was cut short
		if err := sendPassword(a, ataUnlock, false, short); err != nil {
			return false, ferric.Errorf(ferric.CodeConflict, "ATA secure erase of %s: the drive is locked with a password that is not Ferric's: %w", name, err)
		}
	}
	if !sec.is(securityEnabled) {
		if err := sendPassword(a, ataSetPassword, false, short); err != nil {
			return false, ferric.Errorf(ferric.CodeUnavailable, "ATA secure erase of %s: set a password: %w", name, err)
		}
	}
	limit := sec.normal
	if sec.is(securityEnhanced) {
		limit = sec.withExtra
	}
	if limit == 0 {
		limit = 12 * time.Hour
	}
	err = a.Exec(ataErasePrepare, nil, nil, short)
	if err == nil {
		err = sendPassword(a, ataEraseUnit, sec.is(securityEnhanced), 2*limit+time.Hour)
	}
	if err != nil {
		unlock(a)
		return false, ferric.Errorf(ferric.CodeUnavailable, "ATA secure erase of %s: %w", name, err)
	}
	if err := verifyOpen(a, name); err != nil {
		return false, err
	}
	return true, nil
}

// unlock takes the password off again, so that the drive can be overwritten instead.
func unlock(a ATA) {
	_ = sendPassword(a, ataUnlock, false, short)  // fails if it is not locked
	_ = sendPassword(a, ataDisable, false, short) // the caller reports the erase's own failure
}

func verifyOpen(a ATA, name string) error {
	sec, err := identify(a)
	if err != nil {
		return ferric.Errorf(ferric.CodeUnavailable, "ATA secure erase of %s: the drive does not answer afterwards: %w", name, err)
	}
	if sec.is(securityEnabled) || sec.is(securityLocked) {
		unlock(a)
		return ferric.Errorf(ferric.CodeUnavailable, "ATA secure erase of %s: the drive is still locked afterwards, so it was not erased", name)
	}
	return nil
}

// sendPassword sends a security command with the user password "NULL", the one that hdparm and ironic-python-agent use,
// so that either can carry on where the other was cut short.
func sendPassword(a ATA, command byte, enhanced bool, timeout time.Duration) error {
	b := make([]byte, 512)
	if enhanced && command == ataEraseUnit {
		b[0] |= 1 << 1
	}
	copy(b[2:34], "NULL")
	return a.Exec(command, b, nil, timeout)
}

// sgIO is a drive behind the kernel's SG_IO.
type sgIO struct{ f *os.File }

// OpenATA opens a SATA drive for commands.
func OpenATA(name string) (ATA, func() error, error) {
	f, err := os.OpenFile(name, os.O_RDWR|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, ferric.Errorf(ferric.CodeUnavailable, "open the drive: %w", err)
	}
	return &sgIO{f}, f.Close, nil
}

// sgHeader is struct sg_io_hdr (scsi/sg.h).
type sgHeader struct {
	interfaceID    int32
	direction      int32
	cmdLen         uint8
	maxSense       uint8
	iovecCount     uint16
	dataLen        uint32
	data, cmd      unsafe.Pointer
	sense          unsafe.Pointer
	timeout        uint32 // milliseconds
	flags          uint32
	packID         int32
	_              int32
	usr            unsafe.Pointer
	status         uint8
	masked, msg    uint8
	senseWritten   uint8
	hostStatus     uint16
	driverStatus   uint16
	residual       int32
	duration, info uint32
}

const (
	sgIoctl    = 0x2285
	sgNone     = -1
	sgToDev    = -2
	sgFromDev  = -3
	sgCheckBit = 0x02
)

func (s *sgIO) Exec(command byte, out, in []byte, timeout time.Duration) error {
	cdb := make([]byte, 16)
	sense := make([]byte, 64)
	cdb[0] = 0x85 // ATA PASS-THROUGH (16)
	h := sgHeader{interfaceID: 'S', direction: sgNone, cmdLen: 16, maxSense: uint8(len(sense)), timeout: uint32(min(timeout/time.Millisecond, 1<<31))}
	data := out
	switch {
	case out != nil:
		cdb[1], cdb[2], cdb[6], h.direction = 5<<1, 0x06, 1, sgToDev // PIO out, one block
	case in != nil:
		cdb[1], cdb[2], cdb[6], h.direction = 4<<1, 0x0e, 1, sgFromDev // PIO in, one block
		data = in
	default:
		cdb[1] = 3 << 1 // no data
	}
	cdb[2] |= 0x20 // CK_COND: return the registers in the sense data
	cdb[14] = command
	h.cmd, h.sense = unsafe.Pointer(&cdb[0]), unsafe.Pointer(&sense[0])
	if len(data) > 0 {
		h.data, h.dataLen = unsafe.Pointer(&data[0]), uint32(len(data))
	}
	_, _, e := unix.Syscall(unix.SYS_IOCTL, s.f.Fd(), sgIoctl, uintptr(unsafe.Pointer(&h)))
	runtime.KeepAlive(cdb)
	runtime.KeepAlive(sense)
	runtime.KeepAlive(data)
	if e != 0 {
		return e
	}
	return ataOutcome(h.status, h.hostStatus, h.driverStatus, sense)
}

// ataOutcome finds the drive's status and error registers in descriptor sense data (SAT-3, 12.2.2.6).
func ataOutcome(status uint8, host, driver uint16, sense []byte) error {
	if host != 0 || driver&0x07 != 0 && status&sgCheckBit == 0 {
		return ferric.Errorf(ferric.CodeUnavailable, "the controller refuses ATA commands (host status %d, driver status %d)", host, driver)
	}
	if len(sense) >= 22 && sense[0]&0x7f == 0x72 && sense[8] == 0x09 {
		if st, er := sense[21], sense[11]; st&0x21 != 0 { // error or device fault
			return ferric.Errorf(ferric.CodeUnavailable, "the drive reports status 0x%02x, error 0x%02x", st, er)
		}
		return nil
	}
	if status != 0 {
		return ferric.Errorf(ferric.CodeUnavailable, "the command failed (SCSI status 0x%02x, sense key %d)", status, sense[1]&0x0f)
	}
	return nil
}
