package userimage

import (
	"context"
	"debug/elf"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

var tinyFormat = format{espSize: 1 << 20, spare: 8 << 20, fat: "12", overhead: 8, mkfs: []string{"-O", "^has_journal", "-b", "1024"}}

// tinyDiskModules reach the root file system, from the initramfs; tinyModules are loaded after that. A kernel may have
// some built in.
var (
	tinyDiskModules = []string{"virtio_pci", "virtio_blk", "virtio_scsi", "sd_mod", "nvme", "ahci", "crc32c_generic", "ext4"}
	tinyModules     = []string{"virtio_net", "e1000e", "isofs", "vfat", "nls_ascii", "nls_cp437", "button", "evdev"}
)

// arrangeTiny picks from the unpacked packages what the system is made of.
func arrangeTiny(ctx context.Context, r Recipe, from, to tree) error {
	kernels, err := filepath.Glob(from.path("boot/vmlinuz-*"))
	if err != nil || len(kernels) != 1 {
		return fmt.Errorf("the packages brought %d kernels, want 1", len(kernels))
	}
	version := strings.TrimPrefix(filepath.Base(kernels[0]), "vmlinuz-")
	modules, err := findModules(from.path("lib/modules/" + version))
	if err != nil {
		return err
	}
	e := &edit{tree: to}
	for _, name := range []string{"dev", "proc", "sys", "run", "tmp", "mnt", "var/lib/ferric", "var/log", "home", "root", "boot"} {
		if e.err == nil {
			e.err = e.folder(name)
		}
	}
	if e.err == nil {
		e.err = os.Chmod(e.path("root"), 0o700)
	}
	e.copy(from, "boot/vmlinuz-"+version, "boot/vmlinuz")
	e.busybox(ctx, from)
	e.binary(from, "usr/sbin/dropbear")
	e.binary(from, "usr/bin/dropbearkey")
	e.modules(modules, tinyModules, "lib/modules/load", slices.Concat(tinyDiskModules))
	e.copy(from, "usr/lib/os-release", "etc/os-release")
	e.copy(from, "etc/debian_version", "etc/debian_version")
	shadow := "*"
	if r.Password != "" && e.err == nil {
		shadow, e.err = runOutput(ctx, r.Password+"\n", from.path("bin/busybox"), "mkpasswd", "-m", "sha512", "-P", "0")
		shadow = strings.TrimSpace(shadow)
	}
	e.file("etc/passwd", "root:x:0:0:root:/root:/bin/sh\n")
	e.file("etc/group", "root:x:0:\ntty:x:5:\n")
	e.file("etc/shells", "/bin/sh\n")
	e.file("etc/hostname", "tiny\n")
	e.file("etc/hosts", "127.0.0.1 localhost\n::1 localhost\n")
	e.file("etc/issue", "Debian GNU/Linux 12 (Ferric tiny image) \\n \\l\n\n")
	e.symlink("etc/resolv.conf", "../run/resolv.conf")
	for _, script := range []struct{ from, to string }{
		{"tiny/rc", "etc/rc"}, {"tiny/udhcpc", "etc/udhcpc.sh"}, {"tiny/inittab", "etc/inittab"},
		{"configdrive", "usr/lib/ferric/configdrive"}, {"json.awk", "usr/lib/ferric/json.awk"}, {"userdata", "usr/lib/ferric/userdata"},
		{"powerbutton", "usr/lib/ferric/powerbutton"},
	} {
		if e.err == nil {
			e.err = e.install(script.from, script.to, 0o755)
		}
	}
	if e.err == nil {
		e.err = e.write("etc/shadow", "root:"+shadow+":19000:0:99999:7:::\n", 0o600)
	}
	e.file("boot/grub/grub.cfg", grubConfig("/boot/vmlinuz", "/boot/initrd", "LABEL=rootfs", "quiet"))
	if e.err == nil {
		e.err = tinyInitramfs(ctx, from, modules, filepath.Join(filepath.Dir(to.root), "initramfs"), to.path("boot/initrd"))
	}
	return e.err
}

// tinyInitramfs makes the initramfs that mounts the root file system.
func tinyInitramfs(ctx context.Context, from tree, modules map[string]string, root, out string) error {
	e := &edit{tree: tree{root}}
	for _, name := range []string{"dev", "proc", "sys", "root"} {
		if e.err == nil {
			e.err = e.folder(name)
		}
	}
	e.copy(from, "bin/busybox", "bin/busybox")
	for _, applet := range []string{"sh", "mount", "insmod", "findfs", "sleep", "switch_root", "cat"} {
		e.symlink("bin/"+applet, "busybox")
	}
	e.modules(modules, tinyDiskModules, "lib/load", nil)
	if e.err == nil {
		e.err = e.install("tiny/init", "init", 0o755)
	}
	if e.err != nil {
		return e.err
	}
	return run(ctx, "sh", "-c", `cd "$0" && find . | LC_ALL=C sort | cpio --quiet -o -H newc -R 0:0 | zstd -q -19 -f -o "$1"`, root, out)
}

// copy copies a file of another tree, following links.
func (e *edit) copy(from tree, name, to string) {
	if e.err != nil {
		return
	}
	data, err := os.ReadFile(from.path(name))
	if err != nil {
		e.err = err
		return
	}
	info, err := os.Stat(from.path(name))
	if err != nil {
		e.err = err
		return
	}
	e.err = e.write(to, string(data), info.Mode().Perm())
}

// busybox copies busybox and makes a link for each of its programs.
func (e *edit) busybox(ctx context.Context, from tree) {
	e.copy(from, "bin/busybox", "bin/busybox")
	if e.err != nil {
		return
	}
	list, err := runOutput(ctx, "", from.path("bin/busybox"), "--list")
	if err != nil {
		e.err = err
		return
	}
	for applet := range strings.FieldsSeq(list) {
		if applet != "busybox" {
			e.symlink("bin/"+applet, "busybox")
		}
	}
	e.symlink("sbin", "bin")
}

// binary copies a program and the shared libraries that it needs.
func (e *edit) binary(from tree, name string) {
	e.copy(from, name, name)
	if e.err != nil {
		return
	}
	program, err := elf.Open(from.path(name))
	if err != nil {
		e.err = fmt.Errorf("%s: %w", name, err)
		return
	}
	defer program.Close()
	for _, section := range program.Progs {
		if section.Type == elf.PT_INTERP {
			path, err := io.ReadAll(section.Open())
			if err != nil {
				e.err = err
				return
			}
			e.library(from, strings.Trim(string(path), "\x00/"))
		}
	}
	libraries, err := program.ImportedLibraries()
	if err != nil {
		e.err = fmt.Errorf("%s: %w", name, err)
		return
	}
	for _, library := range libraries {
		e.library(from, library)
	}
}

// library copies a shared library, by path or by name, and what it needs itself.
func (e *edit) library(from tree, name string) {
	if e.err != nil {
		return
	}
	to := name
	if !strings.Contains(name, "/") {
		to = "lib/x86_64-linux-gnu/" + name
	}
	if _, err := os.Stat(e.path(to)); err == nil {
		return
	}
	for _, folder := range []string{"", "lib/x86_64-linux-gnu", "usr/lib/x86_64-linux-gnu"} {
		source := filepath.Join(folder, name)
		if info, err := os.Stat(from.path(source)); err != nil || info.IsDir() {
			continue
		}
		e.copy(from, source, to)
		if e.err != nil {
			return
		}
		library, err := elf.Open(from.path(source))
		if err != nil {
			e.err = fmt.Errorf("%s: %w", name, err)
			return
		}
		defer library.Close()
		more, err := library.ImportedLibraries()
		if err != nil {
			e.err = fmt.Errorf("%s: %w", name, err)
			return
		}
		for _, next := range more {
			e.library(from, next)
		}
		return
	}
	e.err = fmt.Errorf("no package brought the library %s", name)
}

// findModules returns the kernel's modules: file by name, with "_" for "-".
func findModules(folder string) (map[string]string, error) {
	modules := map[string]string{}
	err := filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, ".ko") {
			modules[moduleName(path)] = path
		}
		return err
	})
	return modules, err
}

func moduleName(path string) string {
	return strings.ReplaceAll(strings.TrimSuffix(filepath.Base(path), ".ko"), "-", "_")
}

// modules copies modules and those that they need to lib/modules, and writes the list of their files in the order to
// load them. Modules in loaded, and what they need, are left out: they are there already. Names that the kernel has no
// file for are built in.
func (e *edit) modules(all map[string]string, names []string, list string, loaded []string) {
	if e.err != nil {
		return
	}
	var have, wanted []string
	if have, e.err = loadOrder(all, loaded); e.err != nil {
		return
	}
	if wanted, e.err = loadOrder(all, names); e.err != nil {
		return
	}
	var files []string
	for _, name := range wanted {
		if slices.Contains(have, name) {
			continue
		}
		file := "lib/modules/" + filepath.Base(all[name])
		e.copy(tree{"/"}, all[name], file)
		files = append(files, "/"+file)
	}
	e.file(list, strings.Join(files, "\n")+"\n")
}

// loadOrder returns the modules and all that they need, each after what it needs.
func loadOrder(all map[string]string, names []string) ([]string, error) {
	var order []string
	var visit func(name string) error
	visit = func(name string) error {
		path, ok := all[name]
		if !ok || slices.Contains(order, name) {
			return nil
		}
		needs, err := moduleNeeds(path)
		if err != nil {
			return err
		}
		for _, need := range needs {
			if err := visit(need); err != nil {
				return err
			}
		}
		order = append(order, name)
		return nil
	}
	for _, name := range names {
		if err := visit(name); err != nil {
			return nil, err
		}
	}
	return order, nil
}

// moduleNeeds reads the names of the modules that a module needs from its section .modinfo.
func moduleNeeds(path string) ([]string, error) {
	file, err := elf.Open(path)
	if err != nil {
		return nil, fmt.Errorf("kernel module %s: %w", path, err)
	}
	defer file.Close()
	section := file.Section(".modinfo")
	if section == nil {
		return nil, fmt.Errorf("kernel module %s has no .modinfo", path)
	}
	data, err := section.Data()
	if err != nil {
		return nil, fmt.Errorf("kernel module %s: %w", path, err)
	}
	for field := range strings.SplitSeq(string(data), "\x00") {
		if list, ok := strings.CutPrefix(field, "depends="); ok && list != "" {
			return strings.Split(strings.ReplaceAll(list, "-", "_"), ","), nil
		}
	}
	return nil, nil
}
