package ramdisk

import (
	"bytes"
	"context"
	"crypto/sha256"
	"debug/elf"
	"encoding/hex"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sort"
	"strings"

	"github.com/klauspost/compress/zstd"

	"ferric"
)

// Options say what is packed and where it goes.
type Options struct {
	// Agent is the agent's binary, statically linked for Linux. It becomes /init.
	Agent string
	// OutputDir gets the files "kernel" and "initramfs". It is created.
	OutputDir string
	// Arch is Debian's name of the architecture; "" means amd64, the only one so far.
	Arch string

	// Kernel and ModulesDir name a kernel image and its modules (a directory such as /lib/modules/6.1.0-1-amd64). Without
	// them Debian's kernel package is downloaded once and kept in the cache.
	Kernel     string
	ModulesDir string
	// CacheDir keeps downloaded kernels. "" means $FERRIC_CACHE/ramdisk, or ferric/ramdisk in the user's cache directory.
	CacheDir string

	// FirmwareDir is a directory like /lib/firmware, of which the files are packed that the packed modules ask for.
	// "" packs none.
	FirmwareDir string
	// CACertificates is a PEM file that the agent's HTTPS trusts (API and image servers). "" packs none.
	CACertificates string
	// RescueShell is a static busybox. With it the ramdisk is a rescue ramdisk, too: people can log in and have a shell, its tools, and the
	// file systems that installed systems use.
	RescueShell string
	// ExtraModules are packed as well. One that the kernel does not have is an error.
	ExtraModules []string
	// ExtraFiles are packed as well: path in the ramdisk to path on this machine.
	ExtraFiles map[string]string

	Log *slog.Logger
}

// Result is what Build made.
type Result struct {
	Kernel        string // path of the kernel
	Initramfs     string // path of the initramfs
	Release       string // "6.1.0-56-amd64"
	KernelSize    int64  // bytes
	InitramfsSize int64  // bytes, compressed
	UnpackedSize  int64  // bytes of the archive before compression
	AgentSize     int64  // bytes
	Modules       int    // kernel modules packed
	ModulesSize   int64  // bytes of them, unpacked
	// Skipped are wanted modules that this kernel does not have.
	Skipped []string
	// Firmware counts files packed; FirmwareMissing are files that packed modules ask for and that were not found.
	Firmware        int
	FirmwareMissing []string
	KernelSHA256    string
	InitramfsSHA256 string
}

// Build makes the ramdisk. Errors name what is missing and how to get it. The output files appear complete or not at
// all.
func Build(ctx context.Context, o Options) (Result, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Arch == "" {
		o.Arch = "amd64"
	}
	if o.Arch != "amd64" {
		return Result{}, ferric.Errorf(ferric.CodeUnsupported, "build ramdisk: architecture %q is not supported yet; use amd64", o.Arch)
	}
	if o.OutputDir == "" {
		return Result{}, ferric.Errorf(ferric.CodeInvalid, "build ramdisk: the output directory is not named")
	}
	agent, err := readStatic(o.Agent, "agent", "build it with CGO_ENABLED=0")
	if err != nil {
		return Result{}, err
	}
	k, err := findKernel(ctx, o)
	if err != nil {
		return Result{}, err
	}
	res := Result{Release: k.release, AgentSize: int64(len(agent))}
	a := newArchive()
	for _, dir := range []string{"dev", "etc", "proc", "root", "run", "sys", "var/log"} {
		a.dir(dir, 0o755)
	}
	a.dir("tmp", 0o777|fs.ModeSticky)
	a.device("dev/console", 0o600, 5, 1) // the kernel opens it for /init before anything is mounted
	a.device("dev/null", 0o666, 1, 3)
	a.file("init", agent, 0o755)
	if o.RescueShell != "" {
		shell, err := readStatic(o.RescueShell, "rescue shell", "take the one of Debian's package busybox-static")
		if err != nil {
			return Result{}, err
		}
		for _, dir := range []string{"bin", "sbin", "mnt", "usr/bin", "usr/sbin"} {
			a.dir(dir, 0o755)
		}
		a.file("bin/busybox", shell, 0o755)
	}
	if err := o.packModules(a, k, &res); err != nil {
		return Result{}, err
	}
	if err := o.packFiles(a); err != nil {
		return Result{}, err
	}
	if err := ctx.Err(); err != nil {
		return Result{}, ferric.Errorf(ferric.CodeTimeout, "build ramdisk: %w", err)
	}
	return res, o.write(a, k, &res)
}

// readStatic reads a program for the ramdisk, and refuses what could not run there. what names it, and remedy says how to get a good one.
func readStatic(path, what, remedy string) ([]byte, error) {
	if path == "" {
		return nil, ferric.Errorf(ferric.CodeInvalid, "build ramdisk: the %s's binary is not named", what)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, ferric.Errorf(ferric.CodeNotFound, "build ramdisk: read the %s: %w", what, err)
	}
	f, err := elf.NewFile(bytes.NewReader(b))
	if err != nil {
		return nil, ferric.Errorf(ferric.CodeInvalid, "build ramdisk: the %s %s is no ELF binary: %w", what, path, err)
	}
	if f.Machine != elf.EM_X86_64 {
		return nil, ferric.Errorf(ferric.CodeInvalid, "build ramdisk: the %s %s is built for %s, not for amd64", what, path, f.Machine)
	}
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			return nil, ferric.Errorf(ferric.CodeInvalid, "build ramdisk: the %s %s is dynamically linked; %s", what, path, remedy)
		}
	}
	return b, nil
}

func (o Options) packModules(a *archive, k kernel, res *Result) error {
	mods, err := openModules(k.modules)
	if err != nil {
		return err
	}
	list := append(wanted(), o.ExtraModules...)
	if o.RescueShell != "" {
		list = append(list, wantedForRescue()...)
	}
	all, missing, err := mods.closure(list)
	if err != nil {
		return err
	}
	for _, want := range o.ExtraModules {
		for _, m := range missing {
			if m == strings.ReplaceAll(want, "-", "_") {
				return ferric.Errorf(ferric.CodeNotFound, "build ramdisk: the kernel %s has no module %s", k.release, want)
			}
		}
	}
	res.Skipped = missing
	base := "lib/modules/" + k.release + "/"
	firmware := map[string]bool{}
	for _, m := range all {
		a.file(base+m.path, m.data, 0o644)
		res.Modules++
		res.ModulesSize += int64(len(m.data))
		for _, f := range m.firmware {
			firmware[f] = true
		}
	}
	dep, alias := indexes(all)
	a.file(base+"modules.dep", dep, 0o644)
	a.file(base+"modules.alias", alias, 0o644)
	return o.packFirmware(a, firmware, res)
}

func (o Options) packFirmware(a *archive, names map[string]bool, res *Result) error {
	sorted := make([]string, 0, len(names))
	for n := range names {
		sorted = append(sorted, n)
	}
	sort.Strings(sorted)
	for _, n := range sorted {
		if o.FirmwareDir == "" || !filepath.IsLocal(n) {
			res.FirmwareMissing = append(res.FirmwareMissing, n)
			continue
		}
		found := false
		for _, ext := range []string{"", ".xz", ".zst"} { // the kernel unpacks these itself
			b, err := os.ReadFile(filepath.Join(o.FirmwareDir, n+ext))
			if err == nil {
				a.file("lib/firmware/"+n+ext, b, 0o644)
				found = true
				res.Firmware++
				break
			}
		}
		if !found {
			res.FirmwareMissing = append(res.FirmwareMissing, n)
		}
	}
	return nil
}

func (o Options) packFiles(a *archive) error {
	files := map[string]string{}
	for to, from := range o.ExtraFiles {
		files[to] = from
	}
	if o.CACertificates != "" {
		files["etc/ssl/certs/ca-certificates.crt"] = o.CACertificates
	}
	for to, from := range files {
		to = strings.TrimPrefix(to, "/")
		if !filepath.IsLocal(to) || to == "init" {
			return ferric.Errorf(ferric.CodeInvalid, "build ramdisk: %q cannot be a file of the ramdisk", to)
		}
		b, err := os.ReadFile(from)
		if err != nil {
			return ferric.Errorf(ferric.CodeNotFound, "build ramdisk: %w", err)
		}
		a.file(to, b, 0o644)
	}
	return nil
}

// write compresses the archive and puts both files in place.
func (o Options) write(a *archive, k kernel, res *Result) error {
	var raw bytes.Buffer
	if err := a.write(&raw); err != nil {
		return ferric.Errorf(ferric.CodeInternal, "build ramdisk: %w", err)
	}
	res.UnpackedSize = int64(raw.Len())
	// One frame, because the kernel reads one only. Encoding in one call makes the result independent of timing.
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedBestCompression), zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(8<<20))
	if err != nil {
		return ferric.Errorf(ferric.CodeInternal, "build ramdisk: %w", err)
	}
	packed := enc.EncodeAll(raw.Bytes(), nil)
	if err := enc.Close(); err != nil {
		return ferric.Errorf(ferric.CodeInternal, "build ramdisk: %w", err)
	}
	image, err := os.ReadFile(k.image)
	if err != nil {
		return ferric.Errorf(ferric.CodeNotFound, "build ramdisk: read the kernel: %w", err)
	}
	if err := os.MkdirAll(o.OutputDir, 0o755); err != nil {
		return ferric.Errorf(ferric.CodeInternal, "build ramdisk: %w", err)
	}
	res.Kernel, res.Initramfs = filepath.Join(o.OutputDir, "kernel"), filepath.Join(o.OutputDir, "initramfs")
	res.KernelSize, res.InitramfsSize = int64(len(image)), int64(len(packed))
	res.KernelSHA256, res.InitramfsSHA256 = digest(image), digest(packed)
	if err := replace(res.Kernel, image); err != nil {
		return err
	}
	return replace(res.Initramfs, packed)
}

func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// replace writes a file beside its place and renames it, so that a reader sees the old or the new one.
func replace(path string, data []byte) error {
	tmp, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return ferric.Errorf(ferric.CodeInternal, "build ramdisk: %w", err)
	}
	defer os.Remove(tmp.Name()) // gone after the rename
	_, err = tmp.Write(data)
	if err == nil {
		err = tmp.Chmod(0o644)
	}
	if cerr := tmp.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		return ferric.Errorf(ferric.CodeInternal, "build ramdisk: write %s: %w", path, err)
	}
	return nil
}
