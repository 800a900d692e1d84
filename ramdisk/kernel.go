package ramdisk

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"sort"
	"strings"

	"ferric"
)

// kernel is a kernel image with the directory of its modules.
type kernel struct {
	image, modules, release string
}

func findKernel(ctx context.Context, o Options) (kernel, error) {
	if (o.Kernel == "") != (o.ModulesDir == "") {
		return kernel{}, ferric.Errorf(ferric.CodeInvalid, "build ramdisk: name both the kernel and its modules directory, or neither")
	}
	if o.Kernel != "" {
		return kernel{image: o.Kernel, modules: o.ModulesDir, release: filepath.Base(filepath.Clean(o.ModulesDir))}, nil
	}
	cache := o.CacheDir
	if cache == "" {
		var err error
		if cache, err = defaultCache(); err != nil {
			return kernel{}, err
		}
	}
	return o.debianKernel(ctx, cache)
}

func defaultCache() (string, error) {
	if dir := os.Getenv("FERRIC_CACHE"); dir != "" {
		return filepath.Join(dir, "ramdisk"), nil
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", ferric.Errorf(ferric.CodeInvalid, "build ramdisk: no cache directory; set FERRIC_CACHE: %w", err)
	}
	return filepath.Join(dir, "ferric", "ramdisk"), nil
}

// debianKernel takes Debian's current kernel from the cache, or by apt.
func (o Options) debianKernel(ctx context.Context, cache string) (kernel, error) {
	meta := "linux-image-" + o.Arch
	pkg, err := currentPackage(ctx, meta)
	if err != nil {
		if k, ok := newestCached(cache); ok {
			o.Log.Warn("apt does not know the current kernel; the newest one in the cache is used", "release", k.release, "err", err)
			return k, nil
		}
		return kernel{}, err
	}
	dir := filepath.Join(cache, pkg)
	if k, ok := cachedKernel(dir); ok {
		return k, nil
	}
	o.Log.Info("downloading the kernel", "package", pkg)
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return kernel{}, ferric.Errorf(ferric.CodeInternal, "build ramdisk: %w", err)
	}
	tmp, err := os.MkdirTemp(cache, ".unpack-*")
	if err != nil {
		return kernel{}, ferric.Errorf(ferric.CodeInternal, "build ramdisk: %w", err)
	}
	defer os.RemoveAll(tmp) // what is left of it
	if _, err := run(ctx, tmp, "apt-get", "download", pkg); err != nil {
		return kernel{}, ferric.Errorf(ferric.CodeUnavailable, "build ramdisk: download %s (is there a network, and was apt-get update run?): %w", pkg, err)
	}
	debs, _ := filepath.Glob(filepath.Join(tmp, "*.deb")) // the pattern is good
	if len(debs) != 1 {
		return kernel{}, ferric.Errorf(ferric.CodeUnavailable, "build ramdisk: apt-get download %s left %d packages", pkg, len(debs))
	}
	tree := filepath.Join(tmp, "tree")
	if err := unpack(ctx, debs[0], tree); err != nil {
		return kernel{}, err
	}
	if err := os.Rename(tree, dir); err != nil && !errors.Is(err, fs.ErrExist) {
		if _, ok := cachedKernel(dir); !ok { // another build was faster otherwise
			return kernel{}, ferric.Errorf(ferric.CodeInternal, "build ramdisk: %w", err)
		}
	}
	k, ok := cachedKernel(dir)
	if !ok {
		return kernel{}, ferric.Errorf(ferric.CodeCorrupt, "build ramdisk: the package %s holds no kernel with modules", pkg)
	}
	return k, nil
}

// currentPackage follows the meta package to the kernel's.
func currentPackage(ctx context.Context, meta string) (string, error) {
	out, err := run(ctx, "", "apt-cache", "depends", "--important", meta)
	if err != nil {
		return "", ferric.Errorf(ferric.CodeUnavailable, "build ramdisk: find the package behind %s (run apt-get update): %w", meta, err)
	}
	for _, line := range strings.Split(out, "\n") {
		name, ok := strings.CutPrefix(strings.TrimSpace(line), "Depends: ")
		if ok && strings.HasPrefix(name, "linux-image-") && filepath.IsLocal(name) && !strings.Contains(name, "/") {
			return name, nil
		}
	}
	return "", ferric.Errorf(ferric.CodeUnavailable, "build ramdisk: apt knows no package behind %s; run apt-get update", meta)
}

func cachedKernel(dir string) (kernel, bool) {
	images, _ := filepath.Glob(filepath.Join(dir, "boot", "vmlinuz-*")) // the pattern is good
	if len(images) != 1 {
		return kernel{}, false
	}
	release := strings.TrimPrefix(filepath.Base(images[0]), "vmlinuz-")
	k := kernel{image: images[0], release: release, modules: filepath.Join(dir, "lib", "modules", release)}
	_, err := os.Stat(k.modules)
	return k, err == nil
}

func newestCached(cache string) (kernel, bool) {
	dirs, _ := filepath.Glob(filepath.Join(cache, "linux-image-*")) // the pattern is good
	sort.Slice(dirs, func(i, j int) bool {
		a, errA := os.Stat(dirs[i])
		b, errB := os.Stat(dirs[j])
		return errA == nil && errB == nil && a.ModTime().After(b.ModTime())
	})
	for _, d := range dirs {
		if k, ok := cachedKernel(d); ok {
			return k, true
		}
	}
	return kernel{}, false
}

// unneeded are kinds of modules that no deploy ramdisk loads and that make up most of the package.
func unneeded(name string) bool {
	for _, dir := range []string{"/sound/", "/drivers/gpu/", "/drivers/media/", "/drivers/net/wireless/", "/drivers/staging/", "/drivers/iio/", "/drivers/infiniband/ulp/", "/drivers/input/"} {
		if strings.Contains(name, dir) {
			return true
		}
	}
	return false
}

// unpack takes the kernel and its modules out of a Debian package.
func unpack(ctx context.Context, deb, into string) error {
	cmd := exec.CommandContext(ctx, "dpkg-deb", "--fsys-tarfile", deb)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		return ferric.Errorf(ferric.CodeInternal, "build ramdisk: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return ferric.Errorf(ferric.CodeUnavailable, "build ramdisk: run dpkg-deb: %w", err)
	}
	err = untar(pipe, into)
	if err == nil {
		_, err = io.Copy(io.Discard, pipe)
	}
	if werr := cmd.Wait(); err == nil && werr != nil {
		err = ferric.Errorf(ferric.CodeCorrupt, "%s: %w", strings.TrimSpace(stderr.String()), werr)
	}
	if err != nil {
		return ferric.Errorf(ferric.CodeCorrupt, "build ramdisk: unpack %s: %w", filepath.Base(deb), err)
	}
	return nil
}

func untar(r io.Reader, into string) error {
	tr := tar.NewReader(r)
	for {
		h, err := tr.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		name := path.Clean(h.Name)
		kernelFile := strings.HasPrefix(name, "boot/vmlinuz-")
		moduleFile := strings.HasPrefix(name, "lib/modules/") || strings.HasPrefix(name, "usr/lib/modules/")
		if h.Typeflag != tar.TypeReg || !filepath.IsLocal(name) || !kernelFile && !moduleFile || unneeded(name) {
			continue
		}
		to := filepath.Join(into, strings.TrimPrefix(name, "usr/"))
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			return err
		}
		f, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
		if err != nil {
			return err
		}
		_, err = io.Copy(f, tr)
		if cerr := f.Close(); err == nil {
			err = cerr
		}
		if err != nil {
			return err
		}
	}
}

func run(ctx context.Context, dir, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	var out, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &stderr
	if err := cmd.Run(); err != nil {
		text := strings.TrimSpace(stderr.String())
		if i := strings.LastIndexByte(text, '\n'); i >= 0 {
			text = text[i+1:]
		}
		return "", ferric.Errorf(ferric.CodeUnavailable, "%s: %s: %w", name, text, err)
	}
	return out.String(), nil
}
