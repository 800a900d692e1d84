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

// Source: NVM Express Base Specification 2.0, figure 275 (identify controller); NVM Command Set 1.0, figure 97 (identify
// namespace) and 4.1.2 (Format NVM).

// NVMe executes admin commands on a controller.
type NVMe interface {
	Admin(opcode byte, nsid, cdw10 uint32, data []byte, timeout time.Duration) error
	// Namespace is the id of the namespace that was opened.
	Namespace() (uint32, error)
}

const (
	nvmeIdentify      = 0x06
	nvmeFormat        = 0x80
	nvmeFormatOffered = 1 << 1 // OACS
	nvmeCryptoOffered = 1 << 2 // FNA
	nvmeFormatsAll    = 1 << 1 // FNA: a secure erase applies to all namespaces
)

// NVMeErase erases a namespace by the drive's own Format NVM: cryptographic erase if it is offered, else user data erase.
// done is false without an error if the drive offers none.
func NVMeErase(n NVMe, name string) (done bool, err error) {
	nsid, err := n.Namespace()
	if err != nil {
		return false, ferric.Errorf(ferric.CodeUnavailable, "NVMe format of %s: find the namespace: %w", name, err)
	}
	ctrl, ns := make([]byte, 4096), make([]byte, 4096)
	if err := n.Admin(nvmeIdentify, 0, 1, ctrl, time.Minute); err != nil {
		return false, ferric.Errorf(ferric.CodeUnavailable, "NVMe format of %s: identify the controller: %w", name, err)
	}
	if binary.LittleEndian.Uint16(ctrl[256:])&nvmeFormatOffered == 0 {
		return false, nil
	}
	if err := n.Admin(nvmeIdentify, nsid, 0, ns, time.Minute); err != nil {
		return false, ferric.Errorf(ferric.CodeUnavailable, "NVMe format of %s: identify the namespace: %w", name, err)
	}
	if err := n.Admin(nvmeFormat, nsid, formatWord(ctrl, ns), nil, 12*time.Hour); err != nil {
		return false, ferric.Errorf(ferric.CodeUnavailable, "NVMe format of %s: %w", name, err)
	}
	return true, nil
}

// formatWord keeps the namespace's block format and protection and asks for the best secure erase.
func formatWord(ctrl, ns []byte) uint32 {
	flbas, dps := ns[26], ns[29]
	format := uint32(flbas&0x0f) | uint32(flbas>>5&0x03)<<12
	metadata := uint32(flbas>>4&1) << 4
	protection := uint32(dps&0x07)<<5 | uint32(dps>>3&1)<<8
	erase := uint32(1)
	if ctrl[524]&nvmeCryptoOffered != 0 {
		erase = 2
	}
	return format | metadata | protection | erase<<9
}

type nvmeDevice struct{ f *os.File }

// OpenNVMe opens a namespace ("/dev/nvme0n1") for admin commands.
func OpenNVMe(name string) (NVMe, func() error, error) {
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return nil, nil, ferric.Errorf(ferric.CodeUnavailable, "open the drive: %w", err)
	}
	return &nvmeDevice{f}, f.Close, nil
}

// adminCommand is struct nvme_admin_cmd (linux/nvme_ioctl.h).
type adminCommand struct {
	opcode, flags byte
	_             uint16
	nsid          uint32
	cdw2, cdw3    uint32
	metadata      uint64
	addr          uint64
	metadataLen   uint32
	dataLen       uint32
	cdw           [6]uint32 // 10 to 15
	timeoutMS     uint32
	result        uint32
}

const (
	nvmeIoctlID    = 0x4e40     // _IO('N', 0x40)
	nvmeIoctlAdmin = 0xc0484e41 // _IOWR('N', 0x41, struct nvme_admin_cmd)
)

func (n *nvmeDevice) Namespace() (uint32, error) {
	id, err := unix.IoctlRetInt(int(n.f.Fd()), nvmeIoctlID)
	return uint32(id), err
}

func (n *nvmeDevice) Admin(opcode byte, nsid, cdw10 uint32, data []byte, timeout time.Duration) error {
	cmd := adminCommand{opcode: opcode, nsid: nsid, timeoutMS: uint32(min(timeout/time.Millisecond, 1<<31)), cdw: [6]uint32{cdw10}}
	if len(data) > 0 {
		cmd.addr, cmd.dataLen = uint64(uintptr(unsafe.Pointer(&data[0]))), uint32(len(data))
	}
	status, _, e := unix.Syscall(unix.SYS_IOCTL, n.f.Fd(), nvmeIoctlAdmin, uintptr(unsafe.Pointer(&cmd)))
	runtime.KeepAlive(data)
	if e != 0 {
		return e
	}
	if status != 0 {
		return ferric.Errorf(ferric.CodeUnavailable, "the drive reports status 0x%x", status)
	}
	return nil
}
