package ramdisk

import (
	"fmt"
	"io"
	"io/fs"
	"path"
	"sort"
)

// archive collects files and writes them as a cpio archive in the "newc" format, the kernel's format for an
// initramfs (Documentation/driver-api/early-userspace/buffer-format.rst).
type archive struct {
	entries map[string]entry
}

type entry struct {
	mode         fs.FileMode
	data         []byte
	major, minor uint32
}

func newArchive() *archive { return &archive{entries: map[string]entry{}} }

// file adds a regular file and the directories above it. Paths have no leading slash.
func (a *archive) file(name string, data []byte, perm fs.FileMode) {
	a.parents(name)
	a.entries[name] = entry{mode: perm, data: data}
}

// dir adds a directory.
func (a *archive) dir(name string, perm fs.FileMode) {
	a.parents(name)
	a.entries[name] = entry{mode: fs.ModeDir | perm}
}

// device adds a character device.
func (a *archive) device(name string, perm fs.FileMode, major, minor uint32) {
	a.parents(name)
	a.entries[name] = entry{mode: fs.ModeDevice | fs.ModeCharDevice | perm, major: major, minor: minor}
}

func (a *archive) parents(name string) {
	for dir := path.Dir(name); dir != "." && dir != "/"; dir = path.Dir(dir) {
		if _, ok := a.entries[dir]; !ok {
			a.entries[dir] = entry{mode: fs.ModeDir | 0o755}
		}
	}
}

// write writes the archive, sorted by name: a directory comes before what is in it.
func (a *archive) write(w io.Writer) error {
	names := make([]string, 0, len(a.entries))
	for name := range a.entries {
		names = append(names, name)
	}
	sort.Strings(names)
	for i, name := range names {
		if err := writeEntry(w, uint32(i+1), name, a.entries[name]); err != nil {
			return err
		}
	}
	return writeEntry(w, 0, "TRAILER!!!", entry{})
}

func writeEntry(w io.Writer, inode uint32, name string, e entry) error {
	mode := uint32(e.mode.Perm())
	links := uint32(1)
	switch {
	case name == "TRAILER!!!":
		mode = 0
	case e.mode.IsDir():
		mode |= 0o040000
		links = 2
	case e.mode&fs.ModeCharDevice != 0:
		mode |= 0o020000
	default:
		mode |= 0o100000
	}
	if e.mode&fs.ModeSticky != 0 {
		mode |= 0o1000
	}
	// magic, inode, mode, uid, gid, nlink, mtime, size, device major and minor, rdev major and minor, name size, check
	header := fmt.Sprintf("070701%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X",
		inode, mode, 0, 0, links, 0, len(e.data), 0, 0, e.major, e.minor, len(name)+1, 0)
	for _, b := range [][]byte{[]byte(header), append([]byte(name), 0), padding(len(header) + len(name) + 1), e.data, padding(len(e.data))} {
		if _, err := w.Write(b); err != nil {
			return err
		}
	}
	return nil
}

// padding fills up to a multiple of four.
func padding(n int) []byte { return make([]byte, -n&3) }
