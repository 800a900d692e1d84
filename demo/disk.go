package main

import (
	"bytes"
	"fmt"
	"os"
)

// diskEdge is how much at both ends of a disk must be zero for it to count as wiped, in bytes: partition tables, boot
// loaders and the superblocks of RAID and file systems are there.
const diskEdge = 4 << 20

// checkWiped returns an error that says where the first byte is that is not zero at either end of a disk.
func checkWiped(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	edge := min(diskEdge, info.Size())
	for _, from := range []int64{0, info.Size() - edge} {
		b := make([]byte, edge)
		if _, err := f.ReadAt(b, from); err != nil {
			return fmt.Errorf("read the disk: %w", err)
		}
		if i := bytes.IndexFunc(b, func(r rune) bool { return r != 0 }); i >= 0 {
			return fmt.Errorf("the disk is not wiped: the byte at %d is not zero", from+int64(i))
		}
	}
	return nil
}
