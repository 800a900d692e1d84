package bmc

import (
	"fmt"
	"sync"
	"time"
)

// bootOptions are the system boot options (28.12 to 28.14).
type bootOptions struct {
	now func() time.Time

	mu         sync.Mutex
	inProgress byte
	parameters map[byte][]byte // other than 0 and 5, as set
	invalid    map[byte]bool   // marked invalid or locked by the console
	flags      [5]byte
	set        time.Time // when the flags were set, zero after a chassis control command
}

const (
	bootInProgress = 0
	bootNoClear    = 3 // parameter "BMC boot flag valid bit clearing"
	bootFlags      = 5

	flagValid      = 0x80
	flagPersistent = 0x40
	flagUEFI       = 0x20
	noClearTimeout = 0x08

	bootTimeout = 60 * time.Second
)

// bootSizes are the sizes of the parameters that exist, without a set or block selector for 7.
var bootSizes = map[byte]int{0: 1, 1: 1, 2: 1, 3: 1, 4: 2, 5: 5, 6: 9, 7: 17}

// expire clears the valid bit when no chassis control command followed in time. mu is held.
func (b *bootOptions) expire() {
	if b.set.IsZero() || b.now().Sub(b.set) <= bootTimeout {
		return
	}
	if p := b.parameters[bootNoClear]; len(p) > 0 && p[0]&noClearTimeout != 0 {
		return
	}
	b.flags[0] &^= flagValid
	b.set = time.Time{}
}

// controlled notes a chassis control command: the flags stay from now on.
func (b *bootOptions) controlled() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.expire()
	b.set = time.Time{}
}

func (b *bootOptions) get() Boot {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.expire()
	return describe(b.flags)
}

func (b *bootOptions) take() Boot {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.expire()
	boot := describe(b.flags)
	if !boot.Persistent {
		b.flags = [5]byte{}
	}
	b.set = time.Time{}
	return boot
}

func describe(flags [5]byte) Boot {
	return Boot{
		Valid: flags[0]&flagValid != 0, Persistent: flags[0]&flagPersistent != 0, UEFI: flags[0]&flagUEFI != 0,
		Device: deviceName(flags[1] >> 2 & 0x0f), Raw: flags,
	}
}

func deviceName(selector byte) string {
	names := []string{"none", "pxe", "disk", "safe", "diag", "cdrom", "bios"}
	switch {
	case int(selector) < len(names):
		return names[selector]
	case selector == 8:
		return "cdrom"
	case selector == 11:
		return "disk"
	case selector == 7, selector == 15:
		return "floppy"
	}
	return fmt.Sprintf("selector 0x%x", selector)
}

// Completion codes of the boot option commands.
const (
	codeOK            = 0x00
	codeNotSupported  = 0x80
	codeInProgress    = 0x81
	codeLengthInvalid = 0xc7
)

// setParameter executes Set System Boot Options.
func (b *bootOptions) setParameter(request []byte) byte {
	if len(request) == 0 {
		return codeLengthInvalid
	}
	parameter, data := request[0]&0x7f, request[1:]
	size, known := bootSizes[parameter]
	if !known {
		return codeNotSupported
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.invalid == nil {
		b.invalid, b.parameters = map[byte]bool{}, map[byte][]byte{}
	}
	b.invalid[parameter] = request[0]&0x80 != 0
	if len(data) == 0 { // only the mark was to be changed
		return codeOK
	}
	if len(data) > size || len(data) < size && parameter < 6 {
		return codeLengthInvalid
	}
	switch parameter {
	case bootInProgress:
		if data[0]&0x03 == 1 && b.inProgress == 1 {
			return codeInProgress
		}
		b.inProgress = data[0] & 0x03
		if b.inProgress == 2 { // commit write
			b.inProgress = 0
		}
	case bootFlags:
		b.flags = [5]byte(data)
		b.set = b.now()
	default:
		b.parameters[parameter] = append([]byte(nil), data...)
	}
	return codeOK
}

// getParameter executes Get System Boot Options.
func (b *bootOptions) getParameter(request []byte) (reply []byte, code byte) {
	if len(request) < 1 {
		return nil, codeLengthInvalid
	}
	parameter := request[0] & 0x7f
	size, known := bootSizes[parameter]
	if !known {
		return nil, codeNotSupported
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.expire()
	head := parameter
	if b.invalid[parameter] {
		head |= 0x80
	}
	reply = []byte{0x01, head}
	switch parameter {
	case bootInProgress:
		return append(reply, b.inProgress), codeOK
	case bootFlags:
		return append(reply, b.flags[:]...), codeOK
	}
	data := make([]byte, size)
	copy(data, b.parameters[parameter])
	return append(reply, data...), codeOK
}
