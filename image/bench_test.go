package image_test

import (
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"ferric/image"
)

// BenchmarkWrite compares Write with the programs that do the same job, for an image of 1 GiB of which half is
// data, into an existing file that holds old data, including the flush to the disk. MB/s are of the virtual
// disk. The file is in the folder FERRIC_BENCH_DIR, which decides whether memory or a disk is measured; the
// default is the temporary folder. Ours verifies SHA-256 at the same time; "http" takes the image from a web
// server on the loopback device.
func BenchmarkWrite(b *testing.B) {
	requireProgram(b, "qemu-img", "qemu-utils")
	dir := os.Getenv("FERRIC_BENCH_DIR")
	if dir == "" {
		dir = b.TempDir()
	} else {
		var err error
		if dir, err = os.MkdirTemp(dir, "ferric-bench"); err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { os.RemoveAll(dir) })
	}
	const size = 1 << 30
	raw := filepath.Join(dir, "raw")
	makeImage(b, raw, size)
	images := []struct {
		name, path string
		args       []string
		qcow2      bool
	}{
		{"raw", raw, nil, false},
		{"qcow2", filepath.Join(dir, "plain"), []string{"-O", "qcow2"}, true},
		{"qcow2-zlib", filepath.Join(dir, "zlib"), []string{"-O", "qcow2", "-c"}, true},
		{"qcow2-zstd", filepath.Join(dir, "zstd"), []string{"-O", "qcow2", "-c", "-o", "compression_type=zstd"}, true},
	}
	server := httptest.NewServer(http.FileServer(http.Dir(dir)))
	b.Cleanup(server.Close)
	target := filepath.Join(dir, "target")
	old := make([]byte, 1<<20)
	for i := range old {
		old[i] = 0xEE
	}
	file, err := os.Create(target)
	if err != nil {
		b.Fatal(err)
	}
	for range size / len(old) {
		if _, err := file.Write(old); err != nil {
			b.Fatal(err)
		}
	}
	file.Close()
	for _, img := range images {
		if img.args != nil {
			run(b, "qemu-img", append(append([]string{"convert", "-f", "raw"}, img.args...), raw, img.path)...)
		}
		sum := fileSum(b, img.path)
		ours := func(url string) func(b *testing.B) {
			return func(b *testing.B) {
				b.SetBytes(size)
				for range b.N {
					writeOnce(b, url, target, dir, sum)
				}
			}
		}
		b.Run(img.name+"/ferric", ours("file://"+img.path))
		b.Run(img.name+"/ferric-http", ours(server.URL+"/"+filepath.Base(img.path)))
		command := []string{"qemu-img", "convert", "-n", "-W", "-f", img.name[:min(len(img.name), 5)], "-O", "raw", img.path, target}
		if !img.qcow2 {
			command = []string{"dd", "if=" + img.path, "of=" + target, "bs=4M", "conv=notrunc,fsync", "status=none"}
		}
		b.Run(img.name+"/"+command[0], func(b *testing.B) {
			b.SetBytes(size)
			for range b.N {
				if out, err := exec.Command(command[0], command[1:]...).CombinedOutput(); err != nil {
					b.Fatalf("%v\n%s", err, out)
				}
			}
		})
	}
}

func writeOnce(b *testing.B, url, target, root, sum string) {
	source, err := image.Open(b.Context(), url, image.Options{FileRoots: []string{root}})
	if err != nil {
		b.Fatal(err)
	}
	defer source.Close()
	device, err := image.OpenDevice(target)
	if err != nil {
		b.Fatal(err)
	}
	defer device.Close()
	spec := image.Spec{Checksum: image.Checksum{Algorithm: "sha256", Value: sum}}
	if _, err := image.Write(b.Context(), source, device, spec, nil); err != nil {
		b.Fatal(err)
	}
}

// makeImage writes a disk of which every second 8 MiB is data that compresses to about a half.
func makeImage(b *testing.B, path string, size int) {
	file, err := os.Create(path)
	if err != nil {
		b.Fatal(err)
	}
	defer file.Close()
	const part = 8 << 20
	for at := 0; at < size; at += 2 * part {
		data := noise(part, uint64(at))
		for i := 0; i < part; i += 16 {
			copy(data[i+8:i+16], "ferrumFe")
		}
		if _, err := file.WriteAt(data, int64(at)); err != nil {
			b.Fatal(err)
		}
	}
	if err := file.Truncate(int64(size)); err != nil {
		b.Fatal(err)
	}
}

func fileSum(b *testing.B, path string) string {
	file, err := os.Open(path)
	if err != nil {
		b.Fatal(err)
	}
	defer file.Close()
	h := sha256.New()
	if _, err := io.Copy(h, file); err != nil {
		b.Fatal(err)
	}
	return hex.EncodeToString(h.Sum(nil))
}
