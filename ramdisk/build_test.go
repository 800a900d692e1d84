package ramdisk_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"

	"ferric"
	"ferric/ramdisk"
)

// elfFile is a minimal 64-bit ELF file with one named section, as a kernel module (or, executable, as an agent).
func elfFile(kind uint16, section string, content []byte) []byte {
	names := append([]byte("\x00"+section+"\x00"), ".shstrtab\x00"...)
	off := uint64(64)
	var b bytes.Buffer
	le := func(v any) { _ = binary.Write(&b, binary.LittleEndian, v) }
	b.Write([]byte{0x7f, 'E', 'L', 'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0})
	le(kind)
	le(uint16(62))
	le(uint32(1))
	le([3]uint64{0, 0, off + uint64(len(content)) + uint64(len(names))})
	le(uint32(0))
	le([6]uint16{64, 56, 0, 64, 3, 2})
	b.Write(content)
	b.Write(names)
	sh := func(name, typ uint32, offset, size uint64) {
		le([2]uint32{name, typ})
		le([4]uint64{0, 0, offset, size})
		le([2]uint32{})
		le([2]uint64{1, 0})
	}
	sh(0, 0, 0, 0)
	sh(1, 1, off, uint64(len(content)))
	sh(uint32(2+len(section)), 3, off+uint64(len(content)), uint64(len(names)))
	return b.Bytes()
}

func module(info ...string) []byte {
	return elfFile(1, ".modinfo", []byte(strings.Join(info, "\x00")+"\x00"))
}

func gz(b []byte) []byte {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	w.Write(b)
	w.Close()
	return out.Bytes()
}

func zst(b []byte) []byte {
	enc, _ := zstd.NewWriter(nil)
	return enc.EncodeAll(b, nil)
}

func write(t *testing.T, path string, data []byte) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// options is a small kernel with plain and compressed modules, and an agent.
func options(t *testing.T) ramdisk.Options {
	t.Helper()
	dir := t.TempDir()
	mods := dir + "/lib/modules/6.1.0-test"
	write(t, mods+"/kernel/drivers/virtio/virtio.ko", module("license=GPL", "depends="))
	write(t, mods+"/kernel/drivers/virtio/virtio_ring.ko", module("depends=virtio"))
	write(t, mods+"/kernel/drivers/virtio/virtio_pci.ko", module("alias=pci:v00001AF4d*sv*sd*bc*sc*i*", "depends=virtio,virtio_ring"))
	write(t, mods+"/kernel/drivers/net/virtio_net.ko.gz", gz(module("alias=virtio:d00000001v*", "depends=virtio,virtio_ring,net-failover")))
	write(t, mods+"/kernel/net/net_failover.ko.zst", zst(module("depends=")))
	write(t, mods+"/kernel/drivers/net/bnx2.ko", module("alias=pci:v000014E4d0000164Asv*sd*bc*sc*i*", "firmware=bnx2/a.fw", "firmware=bnx2/b.fw", "firmware=../../etc/passwd", "softdep=pre: crc32 nope post: virtio"))
	write(t, mods+"/kernel/lib/crc32.ko", module("depends="))
	write(t, mods+"/kernel/sound/snd.ko", module("depends="))
	write(t, mods+"/modules.builtin", []byte("kernel/fs/nls/nls_utf8.ko\n"))
	return ramdisk.Options{
		Agent:      write(t, dir+"/agent", elfFile(2, ".text", []byte("agent"))),
		Kernel:     write(t, dir+"/vmlinuz", []byte("kernel image")),
		ModulesDir: mods, OutputDir: dir + "/out",
	}
}

// unpack reads the initramfs: a listing (mode, owner, time, device, name) and the files.
func unpack(t *testing.T, initramfs string) (listing string, read func(string) string) {
	t.Helper()
	b, err := os.ReadFile(initramfs)
	if err != nil {
		t.Fatal(err)
	}
	dec, err := zstd.NewReader(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer dec.Close()
	raw, err := dec.DecodeAll(b, nil)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	var list strings.Builder
	for rest := raw; ; {
		field := func(i int) int {
			n, err := strconv.ParseInt(string(rest[6+8*i:14+8*i]), 16, 64)
			if err != nil {
				t.Fatal(err)
			}
			return int(n)
		}
		name := string(rest[110 : 110+field(11)-1])
		if name == "TRAILER!!!" {
			break
		}
		at := (110 + field(11) + 3) &^ 3
		files[name] = string(rest[at : at+field(6)])
		fmt.Fprintf(&list, "%o %d:%d %d %d,%d %s\n", field(1), field(2), field(3), field(5), field(9), field(10), name)
		rest = rest[(at+field(6)+3)&^3:]
	}
	return list.String(), func(name string) string {
		text, ok := files[name]
		if !ok {
			t.Errorf("%s is not in the ramdisk:\n%s", name, list.String())
		}
		return text
	}
}

func TestBuild(t *testing.T) {
	o := options(t)
	o.FirmwareDir = t.TempDir()
	write(t, o.FirmwareDir+"/bnx2/b.fw.xz", []byte("fw"))
	o.CACertificates = write(t, t.TempDir()+"/ca.pem", []byte("PEM"))
	o.ExtraFiles = map[string]string{"/etc/motd": write(t, t.TempDir()+"/motd", []byte("hello"))}
	res, err := ramdisk.Build(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	list, read := unpack(t, res.Initramfs)
	const base = "lib/modules/6.1.0-test/"
	want := `40755 0:0 0 0,0 dev
20600 0:0 0 5,1 dev/console
20666 0:0 0 1,3 dev/null
40755 0:0 0 0,0 etc
100644 0:0 0 0,0 etc/motd
40755 0:0 0 0,0 etc/ssl
40755 0:0 0 0,0 etc/ssl/certs
100644 0:0 0 0,0 etc/ssl/certs/ca-certificates.crt
100755 0:0 0 0,0 init
`
	if !strings.HasPrefix(list, want) {
		t.Errorf("listing:\n%s\nwant it to begin with:\n%s", list, want)
	}
	if !strings.Contains(list, "\n41777 0:0 0 0,0 tmp\n") || strings.Contains(list, "snd") || strings.Contains(list, "passwd") {
		t.Errorf("listing:\n%s", list)
	}
	wantDep := "kernel/drivers/net/bnx2.ko: kernel/lib/crc32.ko\n" +
		"kernel/drivers/net/virtio_net.ko: kernel/net/net_failover.ko kernel/drivers/virtio/virtio_ring.ko kernel/drivers/virtio/virtio.ko\n" +
		"kernel/drivers/virtio/virtio.ko:\n" +
		"kernel/drivers/virtio/virtio_pci.ko: kernel/drivers/virtio/virtio_ring.ko kernel/drivers/virtio/virtio.ko\n" +
		"kernel/drivers/virtio/virtio_ring.ko: kernel/drivers/virtio/virtio.ko\n" +
		"kernel/lib/crc32.ko:\nkernel/net/net_failover.ko:\n"
	if diff := cmp.Diff(wantDep, read(base+"modules.dep")); diff != "" {
		t.Errorf("modules.dep: %s", diff)
	}
	if got := read(base + "modules.alias"); !strings.Contains(got, "\nalias virtio:d00000001v* virtio_net\n") {
		t.Errorf("modules.alias: %s", got)
	}
	if got := read(base + "kernel/drivers/net/virtio_net.ko"); !strings.HasPrefix(got, "\x7fELF") {
		t.Error("a compressed module was packed without being unpacked")
	}
	if read("etc/motd") != "hello" || read("etc/ssl/certs/ca-certificates.crt") != "PEM" || read("lib/firmware/bnx2/b.fw.xz") != "fw" {
		t.Error("extra files")
	}
	if diff := cmp.Diff([]string{"../../etc/passwd", "bnx2/a.fw"}, res.FirmwareMissing); diff != "" {
		t.Error(diff)
	}
	if res.Modules != 7 || res.Release != "6.1.0-test" || res.Firmware != 1 || res.KernelSize != 12 || res.InitramfsSize == 0 || res.UnpackedSize <= res.InitramfsSize {
		t.Errorf("%+v", res)
	}
	for _, s := range res.Skipped {
		if s == "nls_utf8" || s == "virtio_net" {
			t.Errorf("%s counts as missing", s)
		}
	}
}

func TestBuildIsReproducible(t *testing.T) {
	o := options(t)
	a, err := ramdisk.Build(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	o.OutputDir = t.TempDir()
	b, err := ramdisk.Build(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	x, _ := os.ReadFile(a.Initramfs)
	y, _ := os.ReadFile(b.Initramfs)
	if !bytes.Equal(x, y) || a.InitramfsSHA256 != b.InitramfsSHA256 || len(x) == 0 {
		t.Error("two builds differ")
	}
}

func TestBuildRefuses(t *testing.T) {
	tests := map[string]struct {
		change func(*ramdisk.Options)
		code   ferric.Code
		text   string
	}{
		"arch":           {func(o *ramdisk.Options) { o.Arch = "riscv64" }, ferric.CodeUnsupported, "riscv64"},
		"no output":      {func(o *ramdisk.Options) { o.OutputDir = "" }, ferric.CodeInvalid, "output directory"},
		"no agent":       {func(o *ramdisk.Options) { o.Agent = "" }, ferric.CodeInvalid, "agent"},
		"agent missing":  {func(o *ramdisk.Options) { o.Agent = "/nonexistent" }, ferric.CodeNotFound, "/nonexistent"},
		"agent a script": {func(o *ramdisk.Options) { o.Agent = write(t, t.TempDir()+"/a", []byte("#!/bin/sh")) }, ferric.CodeInvalid, "no ELF"},
		"half a kernel":  {func(o *ramdisk.Options) { o.ModulesDir = "" }, ferric.CodeInvalid, "both"},
		"no kernel":      {func(o *ramdisk.Options) { o.Kernel = "/nonexistent" }, ferric.CodeNotFound, "/nonexistent"},
		"no modules":     {func(o *ramdisk.Options) { o.ModulesDir = t.TempDir() }, ferric.CodeNotFound, "no kernel modules"},
		"extra module":   {func(o *ramdisk.Options) { o.ExtraModules = []string{"not-there"} }, ferric.CodeNotFound, "not-there"},
		"broken module":  {func(o *ramdisk.Options) { write(t, o.ModulesDir+"/e1000.ko", []byte("junk")) }, ferric.CodeCorrupt, "e1000.ko"},
		"unmet need":     {func(o *ramdisk.Options) { write(t, o.ModulesDir+"/e1000.ko", module("depends=ghost")) }, ferric.CodeCorrupt, "ghost"},
		"file outside":   {func(o *ramdisk.Options) { o.ExtraFiles = map[string]string{"../x": "/etc/passwd"} }, ferric.CodeInvalid, "../x"},
		"second init":    {func(o *ramdisk.Options) { o.ExtraFiles = map[string]string{"/init": "/etc/passwd"} }, ferric.CodeInvalid, "init"},
		"no CA":          {func(o *ramdisk.Options) { o.CACertificates = "/nonexistent" }, ferric.CodeNotFound, "/nonexistent"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			o := options(t)
			tt.change(&o)
			_, err := ramdisk.Build(context.Background(), o)
			if !ferric.IsCode(err, tt.code) || !strings.Contains(err.Error(), tt.text) {
				t.Errorf("got %s %v, want %s with %q", ferric.ErrorCode(err), err, tt.code, tt.text)
			}
			if _, err := os.Stat(filepath.Join(o.OutputDir, "initramfs")); err == nil {
				t.Error("there is an initramfs all the same")
			}
		})
	}
}

// TestCpioReadsIt lets cpio list the archive.
func TestCpioReadsIt(t *testing.T) {
	if _, err := exec.LookPath("cpio"); err != nil {
		t.Skip("cpio is not installed")
	}
	res, err := ramdisk.Build(context.Background(), options(t))
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(res.Initramfs)
	if err != nil {
		t.Fatal(err)
	}
	dec, _ := zstd.NewReader(bytes.NewReader(b))
	defer dec.Close()
	cmd := exec.Command("cpio", "-itv", "--quiet")
	cmd.Stdin = dec
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "dev/console") || strings.Contains(string(out), "cpio:") {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestDebianKernel builds from Debian's kernel package, downloaded into the cache at the first run.
func TestDebianKernel(t *testing.T) {
	if os.Getenv("FERRIC_QEMU") == "" {
		t.Skip("set FERRIC_QEMU=1: downloads Debian's kernel (70 MB)")
	}
	o := options(t)
	o.Kernel, o.ModulesDir = "", ""
	res, err := ramdisk.Build(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	_, read := unpack(t, res.Initramfs)
	dep := read("lib/modules/" + res.Release + "/modules.dep")
	for _, m := range []string{"virtio_net", "e1000e", "igb", "ixgbe", "i40e", "ice", "mlx5_core", "bnxt_en", "tg3", "ahci", "nvme", "mpt3sas", "megaraid_sas", "smartpqi", "raid1", "ipmi_si", "efivarfs", "isofs"} {
		if !strings.Contains(dep, "/"+m+".ko:") {
			t.Errorf("%s is not packed", m)
		}
	}
	t.Logf("kernel %d bytes, initramfs %d bytes, %d modules of %d bytes, skipped %v", res.KernelSize, res.InitramfsSize, res.Modules, res.ModulesSize, res.Skipped)
}

// TestRescueShell packs a shell and what people need to get at installed systems.
func TestRescueShell(t *testing.T) {
	o := options(t)
	write(t, o.ModulesDir+"/kernel/fs/ext4/ext4.ko", module("depends=jbd2"))
	write(t, o.ModulesDir+"/kernel/fs/jbd2/jbd2.ko", module("depends="))
	if r, err := ramdisk.Build(t.Context(), o); err != nil {
		t.Fatal(err)
	} else if listing, _ := unpack(t, r.Initramfs); strings.Contains(listing, "ext4") || strings.Contains(listing, "busybox") {
		t.Errorf("without the shell:\n%s", listing)
	}
	o.RescueShell = write(t, t.TempDir()+"/busybox", elfFile(2, ".text", []byte("shell")))
	r, err := ramdisk.Build(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	listing, _ := unpack(t, r.Initramfs)
	for _, want := range []string{"bin/busybox", "ext4.ko", "jbd2.ko", "sbin"} {
		if !strings.Contains(listing, want) {
			t.Errorf("no %s in\n%s", want, listing)
		}
	}
	o.RescueShell = write(t, t.TempDir()+"/busybox", []byte("#!/bin/sh"))
	if _, err := ramdisk.Build(t.Context(), o); err == nil || !strings.Contains(err.Error(), "rescue shell") {
		t.Errorf("a script as a shell: %v", err)
	}
}
