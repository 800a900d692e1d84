package userimage

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"
)

func TestLayout(t *testing.T) {
	tests := map[string]struct {
		total, esp int64
		want       layout
	}{
		"tiny":  {39 << 20, 1 << 20, layout{total: 79872, espEnd: 6143, rootStart: 6144, rootEnd: 77823}},
		"2 GiB": {2 << 30, 36 << 20, layout{total: 4194304, espEnd: 77823, rootStart: 77824, rootEnd: 4192255}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got := newLayout(test.total, test.esp)
			if got != test.want {
				t.Errorf("layout %+v, want %+v", got, test.want)
			}
			if got.rootEnd > got.total-backupGPT {
				t.Error("the root partition covers the second partition table")
			}
		})
	}
}

func TestWriteBIOSBoot(t *testing.T) {
	image := filepath.Join(t.TempDir(), "disk")
	if err := os.WriteFile(image, bytes.Repeat([]byte{0xee}, (grubEnd+1)*sector), 0o600); err != nil {
		t.Fatal(err)
	}
	boot, core := bytes.Repeat([]byte{0xb0}, sector), bytes.Repeat([]byte{0xc0}, 3*sector)
	if err := writeBIOSBoot(image, boot, core); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(image)
	if err != nil {
		t.Fatal(err)
	}
	if got := binary.LittleEndian.Uint64(data[bootKernelAt:]); got != grubStart {
		t.Errorf("the boot sector loads sector %d, want %d", got, grubStart)
	}
	if got := binary.LittleEndian.Uint64(data[grubStart*sector+coreBlocksAt:]); got != grubStart+1 {
		t.Errorf("the core image goes on at sector %d, want %d", got, grubStart+1)
	}
	if data[bootCodeSize-1] != 0xb0 || data[bootCodeSize] != 0xee {
		t.Error("the boot code does not end where the partition table begins")
	}
	if got := data[grubStart*sector+3*sector]; got != 0xee {
		t.Errorf("after the core image is %#x", got)
	}
	if boot[bootKernelAt] != 0xb0 {
		t.Error("the caller's boot code was changed")
	}
	if err := writeBIOSBoot(image, boot, make([]byte, (grubEnd-grubStart+2)*sector)); err == nil {
		t.Error("a core image that is too large: no error")
	}
	if err := writeBIOSBoot(image, boot[:100], core); err == nil {
		t.Error("a boot sector that is too short: no error")
	}
}
