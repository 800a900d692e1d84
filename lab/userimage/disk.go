package userimage

import (
	"context"
	"encoding/binary"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
)

// The layout, in sectors of 512 bytes: a partition for GRUB's core image (BIOS), the EFI system partition, the root
// file system up to the end. The root partition comes last so that it can grow.
const (
	sector    = 512
	grubStart = 2048
	grubEnd   = 4095
	espStart  = 4096
	backupGPT = 34 // sectors at the end of the disk that belong to the partition table
)

// layout is where things are, in sectors.
type layout struct {
	total              int64
	espEnd             int64
	rootStart, rootEnd int64
}

func newLayout(total, espSize int64) layout {
	l := layout{total: total / sector, espEnd: espStart + espSize/sector - 1}
	l.rootStart = (l.espEnd/2048 + 1) * 2048
	l.rootEnd = (l.total-backupGPT)/2048*2048 - 1
	return l
}

// rootSize is the size of the root file system in bytes.
func (l layout) rootSize() int64 { return (l.rootEnd - l.rootStart + 1) * sector }

// format is what differs between the variants' disks.
type format struct {
	espSize  int64
	spare    int64    // bytes left free in the root file system, if the recipe does not say how large the disk is
	mkfs     []string // options of mkfs.ext4
	fat      string   // kind of FAT on the ESP: 12, 16 or 32
	overhead int64    // divisor: one part in so many of the content is what ext4 needs for itself
}

// buildDisk makes a raw image from a tree.
func buildDisk(ctx context.Context, t tree, f format, size int64, work, image string) error {
	if size == 0 {
		content, err := contentSize(t.root)
		if err != nil {
			return err
		}
		size = (content+content/f.overhead+f.spare+f.espSize)/(1<<20)*(1<<20) + 4<<20
	}
	l := newLayout(size, f.espSize)
	if l.rootSize() < 1<<20 {
		return fmt.Errorf("disk of %d bytes: too small", size)
	}
	if err := os.WriteFile(image, nil, 0o644); err != nil {
		return err
	}
	if err := os.Truncate(image, size); err != nil {
		return err
	}
	part := func(n int, start, end int64, kind, name string) []string {
		return []string{fmt.Sprintf("-n%d:%d:%d", n, start, end), fmt.Sprintf("-t%d:%s", n, kind), fmt.Sprintf("-c%d:%s", n, name)}
	}
	args := []string{"sgdisk", "--clear"}
	args = append(args, part(1, grubStart, grubEnd, "EF02", "grub")...)
	args = append(args, part(2, espStart, l.espEnd, "EF00", "esp")...)
	args = append(args, part(3, l.rootStart, l.rootEnd, "8304", "root")...)
	if err := run(ctx, append(args, image)...); err != nil {
		return err
	}
	mkfs := append([]string{"mkfs.ext4", "-q", "-F", "-L", "rootfs", "-e", "remount-ro", "-d", t.root,
		"-E", "lazy_itable_init=1,lazy_journal_init=1,offset=" + strconv.FormatInt(l.rootStart*sector, 10)}, f.mkfs...)
	if err := run(ctx, append(mkfs, image, strconv.FormatInt(l.rootSize()/1024, 10)+"k")...); err != nil {
		return err
	}
	return installGRUB(ctx, f, l, work, image)
}

// contentSize is what the files of a tree need, in blocks of 4 KiB.
func contentSize(root string) (int64, error) {
	var total int64
	err := filepath.WalkDir(root, func(_ string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		total += (info.Size()+4095)/4096*4096 + 256 // the inode
		return nil
	})
	return total, err
}

// grubEarly is built into GRUB: it finds the root file system and goes on with the menu there.
const grubEarly = `search --no-floppy --label rootfs --set=root
set prefix=($root)/boot/grub
configfile /boot/grub/grub.cfg
`

// grubModules are all that the menu needs; GRUB loads nothing later.
var grubModules = []string{"part_gpt", "fat", "ext2", "normal", "linux", "search", "search_label", "configfile", "serial", "terminal", "echo", "boot", "test", "ls", "reboot", "halt"}

const grubFolder = "/usr/lib/grub/i386-pc"

// installGRUB puts GRUB where a BIOS and where UEFI look for it.
func installGRUB(ctx context.Context, f format, l layout, work, image string) error {
	early := filepath.Join(work, "early.cfg")
	if err := os.WriteFile(early, []byte(grubEarly), 0o644); err != nil {
		return err
	}
	efi, core := filepath.Join(work, "BOOTX64.EFI"), filepath.Join(work, "core.img")
	mkimage := func(format, out string, modules ...string) error {
		return run(ctx, append(append([]string{"grub-mkimage", "-O", format, "-o", out, "-p", "/boot/grub", "-c", early}, grubModules...), modules...)...)
	}
	if err := mkimage("x86_64-efi", efi, "efi_gop", "all_video"); err != nil {
		return err
	}
	// In a file of its own: mkfs.vfat chooses the size of clusters by the size of the whole file.
	esp := filepath.Join(work, "esp")
	if err := os.WriteFile(esp, nil, 0o644); err != nil {
		return err
	}
	if err := os.Truncate(esp, f.espSize); err != nil {
		return err
	}
	for _, command := range [][]string{
		{"mkfs.vfat", "-n", "ESP", "-F", f.fat, "-s", "1", "-h", strconv.Itoa(espStart), esp},
		{"mmd", "-i", esp, "::/EFI", "::/EFI/BOOT"},
		{"mcopy", "-i", esp, efi, "::/EFI/BOOT/BOOTX64.EFI"},
		{"dd", "if=" + esp, "of=" + image, "bs=1M", "seek=" + strconv.Itoa(espStart*sector), "oflag=seek_bytes", "conv=notrunc,sparse", "status=none"},
	} {
		if err := run(ctx, command...); err != nil {
			return err
		}
	}
	if err := mkimage("i386-pc", core, "biosdisk"); err != nil {
		return err
	}
	boot, err := os.ReadFile(filepath.Join(grubFolder, "boot.img"))
	if err != nil {
		return err
	}
	second, err := os.ReadFile(core)
	if err != nil {
		return err
	}
	return writeBIOSBoot(image, boot, second)
}

// Where GRUB 2 keeps what grub-install fills in (grub-core/boot/i386/pc/boot.S and diskboot.S).
const (
	bootCodeSize   = 440 // what follows in the first sector is the partition table's
	bootKernelAt   = 0x5c
	bootDriveCheck = 0x66
	coreBlocksAt   = 0x1f4
)

// writeBIOSBoot writes the boot sector and GRUB's core image to the disk, with the places that they load from.
func writeBIOSBoot(image string, boot, core []byte) error {
	if len(boot) < bootCodeSize || len(core) < sector || int64(len(core)) > (grubEnd-grubStart+1)*sector {
		return fmt.Errorf("GRUB's images have %d and %d bytes, which cannot be right", len(boot), len(core))
	}
	boot = append([]byte(nil), boot[:bootCodeSize]...)
	core = append([]byte(nil), core...)
	binary.LittleEndian.PutUint64(boot[bootKernelAt:], grubStart)
	copy(boot[bootDriveCheck:], []byte{0x90, 0x90}) // trust the BIOS about the drive's number
	// The first sector of the core image loads the rest, in one piece.
	binary.LittleEndian.PutUint64(core[coreBlocksAt:], grubStart+1)
	file, err := os.OpenFile(image, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer file.Close()
	if _, err := file.WriteAt(boot, 0); err != nil {
		return err
	}
	if _, err := file.WriteAt(core, grubStart*sector); err != nil {
		return err
	}
	return file.Close()
}

// grubConfig is the menu: one entry, started at once.
func grubConfig(kernel, initrd, root, options string) string {
	return fmt.Sprintf(grubMenu, kernel, root, options, initrd)
}
