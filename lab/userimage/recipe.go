package userimage

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"ferric"
)

// The variants.
const (
	Debian = "debian"
	Tiny   = "tiny"
)

// The kernels.
const (
	CloudKernel   = "cloud"   // linux-image-cloud-amd64: virtio, NVMe; no AHCI, no e1000, no IPMI; boots faster
	GenericKernel = "generic" // linux-image-amd64, for real servers
)

// Recipe says what an image is made of. The zero value is the default image.
type Recipe struct {
	Variant  string   // Debian (default) or Tiny
	Kernel   string   // CloudKernel (default) or GenericKernel
	Packages []string // more Debian packages, for Debian only
	Password string   // of root on the serial console; "" locks it
	Size     int64    // bytes of the disk; 0: as small as it can be. The root partition grows at the first boot (Debian)
	Mirror   string   // URL of a Debian mirror; "" lets mmdebstrap choose
	Suite    string   // default "bookworm"
}

// parts are the files that go into images, and the code that puts images together: when they change, images do.
//
//go:embed guest base.go debian.go disk.go tiny.go
var parts embed.FS

var packageName = regexp.MustCompile(`^[a-z0-9][a-z0-9+.-]+$`)

// complete fills in defaults and checks. CodeInvalid names the field.
func (r Recipe) complete() (Recipe, error) {
	if r.Variant == "" {
		r.Variant = Debian
	}
	if r.Kernel == "" {
		r.Kernel = CloudKernel
	}
	if r.Suite == "" {
		r.Suite = "bookworm"
	}
	r.Packages = slices.Clone(r.Packages)
	slices.Sort(r.Packages)
	switch {
	case r.Variant != Debian && r.Variant != Tiny:
		return r, ferric.Errorf(ferric.CodeInvalid, "image: variant: %q: want %s or %s", r.Variant, Debian, Tiny)
	case r.Kernel != CloudKernel && r.Kernel != GenericKernel:
		return r, ferric.Errorf(ferric.CodeInvalid, "image: kernel: %q: want %s or %s", r.Kernel, CloudKernel, GenericKernel)
	case r.Variant == Tiny && len(r.Packages) > 0:
		return r, ferric.Errorf(ferric.CodeInvalid, "image: packages: the variant %s has a fixed set", Tiny)
	case !packageName.MatchString(r.Suite):
		return r, ferric.Errorf(ferric.CodeInvalid, "image: suite: %q is not a name of a Debian release", r.Suite)
	case r.Size < 0 || r.Size%(1<<20) != 0:
		return r, ferric.Errorf(ferric.CodeInvalid, "image: size: %d: want a multiple of 1 MiB", r.Size)
	case strings.ContainsAny(r.Password, ":\n"):
		return r, ferric.Errorf(ferric.CodeInvalid, "image: password: it must not hold a colon or a line break")
	}
	for _, name := range r.Packages {
		if !packageName.MatchString(name) {
			return r, ferric.Errorf(ferric.CodeInvalid, "image: packages: %q is not a package name", name)
		}
	}
	return r, nil
}

// key names the image in the cache: a hash of everything that goes into it, except the packages' versions.
func (r Recipe) key() (string, error) {
	hash := sha256.New()
	if err := json.NewEncoder(hash).Encode(struct {
		Recipe   Recipe
		Packages []string
	}{r, r.packages()}); err != nil {
		return "", err
	}
	err := fs.WalkDir(parts, ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := parts.ReadFile(path)
		if err != nil {
			return err
		}
		sum := sha256.Sum256(data)
		hash.Write(append([]byte(path), sum[:]...))
		return nil
	})
	return r.Variant + "-" + hex.EncodeToString(hash.Sum(nil))[:16], err
}

// packages is what is installed.
func (r Recipe) packages() []string {
	kernel := "linux-image-cloud-amd64"
	if r.Kernel == GenericKernel {
		kernel = "linux-image-amd64"
	}
	if r.Variant == Tiny {
		return []string{kernel, "busybox-static", "dropbear-bin", "base-files"}
	}
	initramfs := "tiny-initramfs"
	if r.Kernel == GenericKernel {
		initramfs = "initramfs-tools"
	}
	return append([]string{kernel, initramfs, "systemd-sysv", "udev", "kmod", "openssh-server", "iproute2", "iputils-ping", "netbase", "sudo", "zstd"}, r.Packages...)
}

// CacheDir is where images are kept: $FERRIC_CACHE, or "ferric" in the user's cache directory.
func CacheDir() (string, error) {
	if dir := os.Getenv("FERRIC_CACHE"); dir != "" {
		return dir, nil
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", ferric.Errorf(ferric.CodeInvalid, "no place for the image cache: set FERRIC_CACHE: %w", err)
	}
	return filepath.Join(dir, "ferric"), nil
}
