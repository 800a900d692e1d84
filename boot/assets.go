package boot

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"ferric"
)

// Asset is one boot loader file: its name in the served tree and where Debian's packages put it.
type Asset struct {
	Name     string   // name in the served tree
	Package  string   // Debian package that has it
	Paths    []string // where that package has it, in order of preference
	Optional bool     // left out without an error where it is absent
}

// DefaultAssets returns the loaders of the flavors, for BIOS and UEFI x86-64; those of arm64 are optional. No flavors
// means both.
func DefaultAssets(flavors ...Flavor) []Asset {
	want := func(f Flavor) bool { return len(flavors) == 0 || slices.Contains(flavors, f) }
	// Both flavors start local disks on UEFI by GRUB.
	list := []Asset{
		{Name: LoaderGRUBX64, Package: "grub-efi-amd64-signed", Paths: []string{"/usr/lib/grub/x86_64-efi-signed/grubnetx64.efi.signed"}},
		{Name: LoaderGRUBARM64, Package: "grub-efi-arm64-signed", Paths: []string{"/usr/lib/grub/arm64-efi-signed/grubnetaa64.efi.signed"}, Optional: true},
	}
	if want(FlavorPXE) {
		list = append(list,
			Asset{Name: LoaderPXELinux, Package: "pxelinux", Paths: []string{"/usr/lib/PXELINUX/lpxelinux.0"}},
			syslinuxModule("ldlinux.c32"), syslinuxModule("libcom32.c32"), syslinuxModule("reboot.c32"),
			Asset{Name: LoaderShimX64, Package: "shim-signed", Paths: []string{"/usr/lib/shim/shimx64.efi.signed"}},
			// The signed GRUB loads by HTTP only with this module, and only while Secure Boot is off.
			Asset{Name: "grub/x86_64-efi/http.mod", Package: "grub-efi-amd64-bin", Paths: []string{"/usr/lib/grub/x86_64-efi/http.mod"}},
			Asset{Name: LoaderShimARM64, Package: "shim-signed", Paths: []string{"/usr/lib/shim/shimaa64.efi.signed"}, Optional: true},
			Asset{Name: "grub/arm64-efi/http.mod", Package: "grub-efi-arm64-bin", Paths: []string{"/usr/lib/grub/arm64-efi/http.mod"}, Optional: true},
		)
	}
	if want(FlavorIPXE) {
		list = append(list,
			Asset{Name: LoaderUndionly, Package: "ipxe", Paths: []string{"/usr/lib/ipxe/undionly.kpxe"}},
			Asset{Name: LoaderSNPX64, Package: "ipxe", Paths: []string{"/usr/lib/ipxe/snponly.efi"}},
			Asset{Name: LoaderIPXEX64, Package: "ipxe", Paths: []string{"/usr/lib/ipxe/ipxe.efi", "/boot/ipxe.efi"}},
			Asset{Name: LoaderSNPARM64, Package: "ipxe", Paths: []string{"/usr/lib/ipxe/arm64-efi/snponly.efi", "/usr/lib/ipxe/snponly-arm64.efi"}, Optional: true},
		)
	}
	return list
}

// syslinuxModule returns a module that PXELINUX loads from where it came from.
func syslinuxModule(name string) Asset {
	return Asset{Name: name, Package: "syslinux-common", Paths: []string{"/usr/lib/syslinux/modules/bios/" + name}}
}

// Collect copies the assets into dst, which is made where there is none, and returns those that are there afterwards.
// Each is taken from the first place that has it: source/NAME if source is not empty, then its Paths. Files that are
// the same already are left alone. If a needed one is nowhere, Collect returns CodeNotFound, and the error names every
// missing file and the Debian packages to install.
func Collect(ctx context.Context, dst, source string, assets []Asset) ([]Asset, error) {
	if err := os.MkdirAll(dst, 0o755); err != nil {
		return nil, ferric.Errorf(ferric.CodeInternal, "make the boot loader directory: %w", err)
	}
	var have []Asset
	var missing, packages []string
	for _, a := range assets {
		if err := ctx.Err(); err != nil {
			return nil, ferric.Errorf(ferric.CodeTimeout, "collect boot loaders: %w", err)
		}
		if name, err := CleanName(a.Name); err != nil || name != a.Name {
			return nil, ferric.Errorf(ferric.CodeInvalid, "collect boot loaders: name %q: must be a clean relative path", a.Name)
		}
		places := a.Paths
		if source != "" {
			places = append([]string{filepath.Join(source, a.Name)}, places...)
		}
		found, err := firstFile(places)
		if err != nil {
			return nil, ferric.Errorf(ferric.CodeInternal, "collect boot loader %s: %w", a.Name, err)
		}
		if found == "" {
			if !a.Optional {
				missing = append(missing, fmt.Sprintf("%s (looked at %s)", a.Name, strings.Join(places, ", ")))
				if !slices.Contains(packages, a.Package) {
					packages = append(packages, a.Package)
				}
			}
			continue
		}
		if err := copyFile(filepath.Join(dst, filepath.FromSlash(a.Name)), found); err != nil {
			return nil, ferric.Errorf(ferric.CodeInternal, "collect boot loader %s: %w", a.Name, err)
		}
		have = append(have, a)
	}
	if len(missing) > 0 {
		return nil, ferric.Errorf(ferric.CodeNotFound, "boot loaders are missing: %s; on Debian install them with: apt-get install %s",
			strings.Join(missing, "; "), strings.Join(packages, " "))
	}
	return have, nil
}

// firstFile returns the first of places that is a regular file, or "".
func firstFile(places []string) (string, error) {
	for _, p := range places {
		info, err := os.Stat(p)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return "", err
		}
		if info.Mode().IsRegular() {
			return p, nil
		}
	}
	return "", nil
}

func copyFile(dst, src string) error {
	in, err := os.Open(src)
	if err != nil {
		return err
	}
	defer in.Close()
	const most = 64 << 20 // loaders are a few MB; more is a mistake
	data, err := io.ReadAll(io.LimitReader(in, most+1))
	if err != nil {
		return err
	}
	if len(data) == 0 || len(data) > most {
		return fmt.Errorf("%s: has %d bytes or more; a boot loader has between 1 byte and 64 MiB", src, len(data))
	}
	if have, err := os.ReadFile(dst); err == nil && string(have) == string(data) {
		return nil
	}
	return writeAtomic(dst, data)
}
