package userimage

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/google/uuid"
)

// content makes the root file system and says how its disk is made.
func content(ctx context.Context, r Recipe, o Options, work string, t tree, step func(string)) (format, error) {
	unpacked := t
	if r.Variant == Tiny {
		unpacked = tree{filepath.Join(work, "packages")}
	}
	if err := base(ctx, r, o, work, unpacked, step); err != nil {
		return format{}, err
	}
	step("put the system together")
	if r.Variant == Tiny {
		return tinyFormat, arrangeTiny(ctx, r, unpacked, t)
	}
	f := debianFormat
	id := uuid.NewString()
	f.mkfs = append(slices.Clone(f.mkfs), "-U", id)
	if err := arrangeDebian(t, id); err != nil {
		return format{}, err
	}
	if r.Password == "" {
		return f, nil
	}
	return f, runInput(ctx, "root:"+r.Password+"\n", "chroot", t.root, "chpasswd")
}

// base unpacks what Debian's packages bring: from an archive in the cache that other recipes with the same packages may
// have made, or by mmdebstrap.
func base(ctx context.Context, r Recipe, o Options, work string, t tree, step func(string)) error {
	code, err := parts.ReadFile("base.go")
	if err != nil {
		return err
	}
	// Another password or size needs no other packages.
	hash := sha256.New()
	if err := json.NewEncoder(hash).Encode([]any{r.Variant, r.Suite, r.Mirror, r.packages(), code}); err != nil {
		return err
	}
	archive := filepath.Join(o.Cache, "images", "base-"+hex.EncodeToString(hash.Sum(nil))[:16]+".tar.zst")
	unlock, err := lock(ctx, archive+".lock")
	if err != nil {
		return err
	}
	defer unlock()
	if _, err := os.Stat(archive); err != nil || o.Refresh {
		step("fetch and install packages")
		made := filepath.Join(work, "base.tar.zst")
		bootstrap := bootstrapDebian
		if r.Variant == Tiny {
			bootstrap = func(ctx context.Context, r Recipe, _, archive string) error {
				return r.bootstrap(ctx, "extract", archive)
			}
		}
		if err := bootstrap(ctx, r, work, made); err != nil {
			return err
		}
		if err := os.Rename(made, archive); err != nil {
			return err
		}
	}
	step("unpack")
	if err := os.Mkdir(t.root, 0o755); err != nil {
		return err
	}
	return run(ctx, "tar", "--extract", "--zstd", "--file", archive, "--directory", t.root, "--numeric-owner", "--same-permissions", "--xattrs", "--xattrs-include=*")
}

// initramfsConf says which modules reach the disk. The cloud kernel boots with tiny-initramfs: the programs of
// initramfs-tools take seconds to load and run under emulation. For real servers, with the generic kernel, it is
// initramfs-tools with all drivers.
const initramfsConf = `AUTO_MODULES=no
MICROCODE=no
INCLUDE_MODULES="virtio_pci,virtio_blk,virtio_scsi,sd_mod"
`

// bootstrapDebian installs the packages and makes the user, into an archive.
func bootstrapDebian(ctx context.Context, r Recipe, work, archive string) error {
	early := tree{filepath.Join(work, "early")}
	e := edit{tree: early}
	if r.Kernel == CloudKernel {
		e.file("etc/tiny-initramfs/tiny-initramfs.conf", initramfsConf)
	}
	e.file("etc/kernel-img.conf", "do_symlinks = yes\nlink_in_boot = no\n")
	if e.err != nil {
		return e.err
	}
	return r.bootstrap(ctx, "minbase", archive,
		"--dpkgopt=path-exclude=/usr/share/doc/*", "--dpkgopt=path-include=/usr/share/doc/*/copyright",
		"--dpkgopt=path-exclude=/usr/share/man/*", "--dpkgopt=path-exclude=/usr/share/locale/*", "--dpkgopt=path-exclude=/usr/share/info/*",
		"--essential-hook=sync-in "+early.root+" /",
		`--customize-hook=chroot "$1" useradd --create-home --shell /bin/bash --comment Debian --groups sudo debian`)
}

// bootstrap runs mmdebstrap.
func (r Recipe) bootstrap(ctx context.Context, variant, archive string, options ...string) error {
	args := append([]string{"mmdebstrap", "--quiet", "--mode=root", "--format=tar", "--variant=" + variant, "--components=main",
		"--include=" + strings.Join(r.packages(), ","), `--aptopt=APT::Install-Recommends "false"`}, options...)
	args = append(args, r.Suite, archive)
	if r.Mirror != "" {
		args = append(args, r.Mirror)
	}
	return run(ctx, args...)
}
