package disk

import (
	"os"

	"golang.org/x/sys/unix"

	"ferric"
)

// stopArray is the md driver's STOP_ARRAY (linux/raid/md_u.h: _IO(MD_MAJOR, 0x32)).
const stopArray = 9<<8 | 0x32

// StopArray stops a Linux software RAID array, so that its members can be erased. The array must not be in use.
func StopArray(name string) error {
	f, err := os.OpenFile(name, os.O_RDONLY, 0)
	if os.IsNotExist(err) {
		return nil // stopped already
	}
	if err != nil {
		return ferric.Errorf(ferric.CodeUnavailable, "stop the array: %w", err)
	}
	defer f.Close()
	if err := unix.IoctlSetInt(int(f.Fd()), stopArray, 0); err != nil && err != unix.ENODEV {
		return ferric.Errorf(ferric.CodeUnavailable, "stop the array %s: %w", name, err)
	}
	return nil
}
