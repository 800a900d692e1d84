package userimage

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"ferric"
)

// Options say where and how to build.
type Options struct {
	Cache    string                                   // directory; default CacheDir()
	Refresh  bool                                     // build even if the cache has the image
	Progress func(step string, elapsed time.Duration) // called when a step begins; may be nil
}

// Image is a built image. The files are in the cache and must not be changed.
type Image struct {
	Key         string    `json:"key"` // of the recipe
	Variant     string    `json:"variant"`
	Raw         string    `json:"raw"`   // path
	QCOW2       string    `json:"qcow2"` // path; compressed
	RawSHA256   string    `json:"raw_sha256"`
	QCOW2SHA256 string    `json:"qcow2_sha256"`
	Size        int64     `json:"size"` // bytes of the disk
	Built       time.Time `json:"built"`
}

const imageFile = "image.json"

// Build returns the image of a recipe, from the cache or new. Beside each image is a file with its checksum in the
// format of sha256sum. Errors: CodeInvalid (a field of the recipe), CodeUnavailable (missing packages are named, or a
// program fails), CodeForbidden (not root).
func Build(ctx context.Context, recipe Recipe, o Options) (Image, error) {
	recipe, err := recipe.complete()
	if err != nil {
		return Image{}, err
	}
	if o.Cache == "" {
		if o.Cache, err = CacheDir(); err != nil {
			return Image{}, err
		}
	}
	if o.Progress == nil {
		o.Progress = func(string, time.Duration) {}
	}
	key, err := recipe.key()
	if err != nil {
		return Image{}, err
	}
	folder := filepath.Join(o.Cache, "images")
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return Image{}, ferric.Errorf(ferric.CodeInvalid, "image cache: %w", err)
	}
	unlock, err := lock(ctx, filepath.Join(folder, key+".lock"))
	if err != nil {
		return Image{}, err
	}
	defer unlock()
	place := filepath.Join(folder, key)
	if image, err := load(place); err == nil && !o.Refresh {
		return image, nil
	}
	if err := checkHost(); err != nil {
		return Image{}, err
	}
	work, err := os.MkdirTemp(folder, "."+key+".*")
	if err != nil {
		return Image{}, ferric.Errorf(ferric.CodeInvalid, "image cache: %w", err)
	}
	defer os.RemoveAll(work)
	if err := build(ctx, recipe, o, key, work); err != nil {
		return Image{}, ferric.Errorf(ferric.CodeUnavailable, "build image %s: %w", recipe.Variant, err)
	}
	if err := os.RemoveAll(place); err != nil {
		return Image{}, err
	}
	if err := os.Rename(filepath.Join(work, "out"), place); err != nil {
		return Image{}, err
	}
	return load(place)
}

// load reads an image of the cache.
func load(place string) (Image, error) {
	data, err := os.ReadFile(filepath.Join(place, imageFile))
	if err != nil {
		return Image{}, err
	}
	var image Image
	if err := json.Unmarshal(data, &image); err != nil {
		return Image{}, err
	}
	image.Raw, image.QCOW2 = filepath.Join(place, image.Raw), filepath.Join(place, image.QCOW2)
	info, err := os.Stat(image.Raw)
	if err != nil {
		return Image{}, err
	}
	if _, err := os.Stat(image.QCOW2); err != nil {
		return Image{}, err
	}
	if info.Size() != image.Size {
		return Image{}, fmt.Errorf("%s has %d bytes, want %d", image.Raw, info.Size(), image.Size)
	}
	return image, nil
}

// build makes work/out.
func build(ctx context.Context, r Recipe, o Options, key, work string) error {
	start := time.Now()
	step := func(name string) { o.Progress(name, time.Since(start)) }
	t, out := tree{filepath.Join(work, "root")}, filepath.Join(work, "out")
	if err := os.Mkdir(out, 0o755); err != nil {
		return err
	}
	f, err := content(ctx, r, o, work, t, step)
	if err != nil {
		return err
	}
	image := Image{Key: key, Variant: r.Variant, Raw: r.Variant + ".raw", QCOW2: r.Variant + ".qcow2", Built: time.Now().UTC().Truncate(time.Second)}
	raw, qcow2 := filepath.Join(out, image.Raw), filepath.Join(out, image.QCOW2)
	step("make the disk")
	if err := buildDisk(ctx, t, f, r.Size, work, raw); err != nil {
		return err
	}
	step("compress to qcow2")
	if err := run(ctx, "qemu-img", "convert", "-f", "raw", "-O", "qcow2", "-c", raw, qcow2); err != nil {
		return err
	}
	step("compute checksums")
	if image.RawSHA256, err = checksum(raw); err != nil {
		return err
	}
	if image.QCOW2SHA256, err = checksum(qcow2); err != nil {
		return err
	}
	info, err := os.Stat(raw)
	if err != nil {
		return err
	}
	image.Size = info.Size()
	data, err := json.MarshalIndent(image, "", "  ")
	if err != nil {
		return err
	}
	step("done")
	return os.WriteFile(filepath.Join(out, imageFile), append(data, '\n'), 0o644)
}

// checksum hashes a file and writes the result beside it as sha256sum does.
func checksum(path string) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer file.Close()
	hash := sha256.New()
	if _, err := io.Copy(hash, file); err != nil {
		return "", err
	}
	sum := hex.EncodeToString(hash.Sum(nil))
	return sum, os.WriteFile(path+".sha256", []byte(sum+"  "+filepath.Base(path)+"\n"), 0o644)
}

// CopyTo puts the image's files and checksums into a directory, which it makes if needed, and returns the image there.
func (i Image) CopyTo(ctx context.Context, dir string) (Image, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return Image{}, err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return Image{}, ferric.Errorf(ferric.CodeInvalid, "directory for the image: %w", err)
	}
	for _, path := range []string{i.Raw, i.QCOW2, i.Raw + ".sha256", i.QCOW2 + ".sha256"} {
		// cp keeps holes, and shares blocks where the file system can.
		if err := run(ctx, "cp", "--sparse=always", "--reflink=auto", path, dir); err != nil {
			return Image{}, err
		}
	}
	i.Raw, i.QCOW2 = filepath.Join(dir, filepath.Base(i.Raw)), filepath.Join(dir, filepath.Base(i.QCOW2))
	return i, nil
}

// checkHost says what is missing on this host.
func checkHost() error {
	var missing []string
	for _, n := range []struct{ file, pkg string }{
		{"mmdebstrap", "mmdebstrap"}, {"mkfs.ext4", "e2fsprogs"}, {"mkfs.vfat", "dosfstools"}, {"mcopy", "mtools"}, {"sgdisk", "gdisk"},
		{"qemu-img", "qemu-utils"}, {"grub-mkimage", "grub-common"}, {grubFolder + "/boot.img", "grub-pc-bin"},
		{"/usr/lib/grub/x86_64-efi/normal.mod", "grub-efi-amd64-bin"}, {"/usr/share/keyrings/debian-archive-keyring.gpg", "debian-archive-keyring"},
	} {
		_, err := exec.LookPath(n.file)
		if strings.HasPrefix(n.file, "/") {
			_, err = os.Stat(n.file)
		}
		if err != nil {
			missing = append(missing, n.pkg)
		}
	}
	if len(missing) > 0 {
		return ferric.Errorf(ferric.CodeUnavailable, "building an image needs Debian packages that are not installed: apt-get install --no-install-recommends %s",
			strings.Join(missing, " "))
	}
	if os.Geteuid() != 0 {
		return ferric.Errorf(ferric.CodeForbidden, "building an image needs root (owners of files, chroot); try sudo")
	}
	return nil
}

// run executes a program to its end. The error holds what it said.
func run(ctx context.Context, args ...string) error {
	_, err := runOutput(ctx, "", args...)
	return err
}

// runInput is run with a text as standard input.
func runInput(ctx context.Context, input string, args ...string) error {
	_, err := runOutput(ctx, input, args...)
	return err
}

func runOutput(ctx context.Context, input string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	// mmdebstrap cleans up when it is asked to end.
	cmd.Cancel = func() error { return cmd.Process.Signal(unix.SIGTERM) }
	cmd.WaitDelay = 30 * time.Second
	var out bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(input), &out, &out
	err := cmd.Run()
	if err == nil {
		return out.String(), nil
	}
	text := strings.TrimSpace(out.String())
	const most = 2000
	if len(text) > most {
		text = "…" + text[len(text)-most:]
	}
	return "", fmt.Errorf("%s: %w: %s", args[0], errors.Join(err, ctx.Err()), text)
}

// lock takes an exclusive lock on a file and waits for it until ctx ends.
func lock(ctx context.Context, path string) (unlock func(), err error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock: %w", err)
	}
	for {
		err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return func() { file.Close() }, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
			file.Close()
			return nil, fmt.Errorf("lock %s: %w", path, err)
		}
		select {
		case <-ctx.Done():
			file.Close()
			return nil, ferric.Errorf(ferric.CodeTimeout, "wait for another build of the image: %w", ctx.Err())
		case <-time.After(100 * time.Millisecond):
		}
	}
}
