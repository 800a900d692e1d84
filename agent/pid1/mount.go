package pid1

import (
	"log/slog"
	"os"

	"golang.org/x/sys/unix"
)

type mountPoint struct {
	what, where, kind string
	flags             uintptr
	data              string
	need              bool // without it the agent cannot work
}

func mountPoints() []mountPoint {
	const safe = unix.MS_NOSUID | unix.MS_NOEXEC | unix.MS_NODEV
	return []mountPoint{
		{"devtmpfs", "/dev", "devtmpfs", unix.MS_NOSUID, "mode=0755", true},
		{"proc", "/proc", "proc", safe, "", true},
		{"sysfs", "/sys", "sysfs", safe, "", true},
		{"tmpfs", "/run", "tmpfs", unix.MS_NOSUID | unix.MS_NODEV, "mode=0755", false},
		{"tmpfs", "/tmp", "tmpfs", unix.MS_NOSUID | unix.MS_NODEV, "mode=1777", false},
	}
}

// Mount mounts /dev, /proc, /sys, /run and /tmp. It returns the first error that leaves the agent helpless.
func Mount() error {
	for _, m := range mountPoints() {
		if err := mount(m); err != nil && m.need {
			return err
		}
	}
	return nil
}

// MountTerminals mounts the file system of pseudo terminals, for people who log in.
func MountTerminals() error {
	return mount(mountPoint{"devpts", "/dev/pts", "devpts", unix.MS_NOSUID | unix.MS_NOEXEC, "mode=0620,ptmxmode=0666", true})
}

// MountFirmware mounts efivarfs on a UEFI machine, and pstore where the kernel has it. Call it once their modules are
// loaded. Failures are logged: inventory and images do not need them.
func MountFirmware(log *slog.Logger) {
	for _, m := range []mountPoint{
		{"efivarfs", "/sys/firmware/efi/efivars", "efivarfs", unix.MS_NOSUID | unix.MS_NOEXEC | unix.MS_NODEV, "", false},
		{"pstore", "/sys/fs/pstore", "pstore", unix.MS_NOSUID | unix.MS_NOEXEC | unix.MS_NODEV, "", false},
	} {
		if _, err := os.Stat(m.where); err != nil {
			continue // not that kind of machine
		}
		if err := mount(m); err != nil {
			log.Warn("not mounted", "what", m.what, "err", err)
		}
	}
}

func mount(m mountPoint) error {
	if err := os.MkdirAll(m.where, 0o755); err != nil && !os.IsExist(err) {
		return err
	}
	err := unix.Mount(m.what, m.where, m.kind, m.flags, m.data)
	if err == unix.EBUSY { // mounted already
		return nil
	}
	if err != nil {
		return &os.PathError{Op: "mount " + m.kind, Path: m.where, Err: err}
	}
	return nil
}
