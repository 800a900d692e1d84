package image_test

import (
	"bytes"
	"context"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"ferric"
	"ferric/image"
)

// wantDisk checks that the target holds the image, and its old bytes behind it.
func wantDisk(t *testing.T, got, want []byte) {
	t.Helper()
	if bytes.Equal(got[:len(want)], want) && bytes.Count(got[len(want):], []byte{0xEE}) == len(got)-len(want) {
		return
	}
	for i := range got {
		expected := byte(0xEE)
		if i < len(want) {
			expected = want[i]
		}
		if got[i] != expected {
			t.Fatalf("byte %d of %d is %#x, want %#x", i, len(want), got[i], expected)
		}
	}
}

func TestWrite(t *testing.T) {
	disk := diskLike(37<<20+512, 5)
	small := diskLike(300<<10, 6)
	files := map[string][]byte{
		"raw":             disk,
		"raw, small":      small,
		"raw, odd length": disk[:9<<20+123],
		"raw, all zero":   make([]byte, 6<<20),
		"qcow2":           toQcow2(t, disk),
		"qcow2 zlib":      toQcow2(t, disk, "-c"),
		"qcow2 zstd":      toQcow2(t, disk, "-c", "-o", "compression_type=zstd"),
		"qcow2 small":     toQcow2(t, small, "-o", "cluster_size=512"),
		"qcow2 2M":        toQcow2(t, disk, "-o", "cluster_size=2M"),
		"qcow2 empty":     toQcow2(t, make([]byte, 6<<20)),
	}
	wants := map[string][]byte{
		"raw, small": small, "qcow2 small": small, "raw, odd length": disk[:9<<20+123],
		"raw, all zero": make([]byte, 6<<20), "qcow2 empty": make([]byte, 6<<20),
	}
	for name, file := range files {
		t.Run(name, func(t *testing.T) {
			want := wants[name]
			if want == nil {
				want = disk
			}
			server := newWebServer(t, file)
			spec := image.Spec{Checksum: image.Checksum{Algorithm: "sha256", Value: sum256(file)}}
			targets := map[string]func() (image.Target, *memory, image.Spec){
				"plain": func() (image.Target, *memory, image.Spec) {
					m := newMemory(40 << 20)
					return m, m, spec
				},
				"zeroing": func() (image.Target, *memory, image.Spec) {
					m := newMemory(40 << 20)
					return &zeroingMemory{memory: m}, m, spec
				},
				"known zeros": func() (image.Target, *memory, image.Spec) {
					m := newMemory(40 << 20)
					clear(m.data[:len(want)])
					spec := spec
					spec.Zeroed = true
					return m, m, spec
				},
			}
			for kind, make := range targets {
				target, m, spec := make()
				var last image.Status
				result, err := image.Write(t.Context(), mustOpen(t, server.url(), quick()), target, spec, func(s image.Status) { last = s })
				if err != nil {
					t.Fatalf("%s: %v", kind, err)
				}
				wantDisk(t, m.data, want)
				if result.Digest != sum256(file) || result.Algorithm != "sha256" || result.ReadBytes != int64(len(file)) || result.VirtualSize != int64(len(want)) {
					t.Errorf("%s: result %+v", kind, result)
				}
				if result.WrittenBytes+result.ZeroBytes != int64(len(want)) {
					t.Errorf("%s: written %d and zero %d make no %d", kind, result.WrittenBytes, result.ZeroBytes, len(want))
				}
				if last.ReadBytes != int64(len(file)) || last.TotalBytes != int64(len(file)) || last.WrittenBytes != result.WrittenBytes {
					t.Errorf("%s: last progress %+v", kind, last)
				}
				if m.syncs < 2 {
					t.Errorf("%s: %d syncs; want one before the head and one after it", kind, m.syncs)
				}
			}
		})
	}
}

// TestWriteOverBadNetwork writes while connections break and the server is killed.
func TestWriteOverBadNetwork(t *testing.T) {
	t.Parallel()
	disk := diskLike(48<<20, 8)
	for name, file := range map[string][]byte{"raw": disk, "qcow2": toQcow2(t, disk, "-c")} {
		t.Run(name, func(t *testing.T) {
			server := newWebServer(t, file)
			server.set(func() { server.cutEvery = 3 << 20 })
			source := mustOpen(t, server.url(), quick())
			var once sync.Once
			restarted := make(chan struct{})
			m := newMemory(48 << 20)
			target := &hookedTarget{memory: m, after: 8 << 20, hook: func() {
				once.Do(func() {
					server.kill()
					go func() {
						defer close(restarted)
						time.Sleep(2 * time.Second)
						server.start()
					}()
				})
			}}
			spec := image.Spec{Checksum: image.Checksum{Algorithm: "sha256", Value: sum256(file)}}
			if _, err := image.Write(t.Context(), source, target, spec, nil); err != nil {
				t.Fatal(err)
			}
			<-restarted
			wantDisk(t, m.data, disk)
		})
	}
}

type hookedTarget struct {
	*memory
	after int64
	hook  func()
}

func (h *hookedTarget) WriteAt(p []byte, offset int64) (int, error) {
	n, err := h.memory.WriteAt(p, offset)
	h.mu.Lock()
	reached := h.written >= h.after
	h.mu.Unlock()
	if reached {
		h.hook()
	}
	return n, err
}

func TestWriteNoRanges(t *testing.T) {
	disk := diskLike(20<<20, 8)
	for name, file := range map[string][]byte{"raw": disk, "qcow2": toQcow2(t, disk, "-c")} {
		t.Run(name, func(t *testing.T) {
			server := newWebServer(t, file)
			server.set(func() { server.noRanges = true })
			m := newMemory(20 << 20)
			if _, err := image.Write(t.Context(), mustOpen(t, server.url(), quick()), m, image.Spec{}, nil); err != nil {
				t.Fatal(err)
			}
			wantDisk(t, m.data, disk)
		})
	}
	t.Run("raw of unknown length", func(t *testing.T) {
		server := newWebServer(t, disk)
		server.set(func() { server.chunked = true })
		m := newMemory(21 << 20)
		result, err := image.Write(t.Context(), mustOpen(t, server.url(), quick()), m, image.Spec{}, nil)
		if err != nil || result.VirtualSize != 20<<20 {
			t.Fatalf("%+v, %v", result, err)
		}
		wantDisk(t, m.data, disk)
		m = newMemory(10 << 20)
		_, err = image.Write(t.Context(), mustOpen(t, server.url(), quick()), m, image.Spec{}, nil)
		wantError(t, err, ferric.CodeNoSpace, "larger than the disk", strconv.Itoa(10<<20))
	})
}

func TestWriteLargerThanDisk(t *testing.T) {
	files := map[string][]byte{"raw": noise(8<<20, 1), "qcow2": tinyQcow2(8 << 20), "iso": append(at(32769, "CD001"), make([]byte, 8<<20-100<<10)...)}
	for name, file := range files {
		t.Run(name, func(t *testing.T) {
			m := newMemory(8<<20 - 512)
			_, err := image.Write(t.Context(), fileSource(t, file), m, image.Spec{}, nil)
			wantError(t, err, ferric.CodeNoSpace, "larger than the disk", "8388608", "8388096")
			if m.writes != 0 {
				t.Errorf("%d writes before the image was refused", m.writes)
			}
		})
	}
}

func TestWriteRefused(t *testing.T) {
	tests := map[string]struct {
		file []byte
		spec image.Spec
		code ferric.Code
		want string
	}{
		"backing file":   {backed(), image.Spec{}, ferric.CodeCorrupt, "backing file"},
		"other format":   {tinyQcow2(1 << 20), image.Spec{Declared: "raw"}, ferric.CodeCorrupt, "declared"},
		"not permitted":  {at(0, "KDMV"), image.Spec{}, ferric.CodeCorrupt, "not permitted"},
		"MD5":            {noise(1<<20, 1), image.Spec{Checksum: image.Checksum{Algorithm: "md5", Value: "x"}}, ferric.CodeInvalid, "MD5"},
		"algorithm":      {noise(1<<20, 1), image.Spec{Checksum: image.Checksum{Algorithm: "x", Value: "x"}}, ferric.CodeInvalid, "algorithm"},
		"broken qcow2":   {tinyQcow2(1 << 20)[:65536+4], image.Spec{}, ferric.CodeCorrupt, "first-level table"},
		"map too large":  {tinyQcow2(1 << 20), image.Spec{MaxMapBytes: 1}, ferric.CodeUnsupported, "memory"},
		"not a disk yet": {nil, image.Spec{}, ferric.CodeCorrupt, "empty"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			m := newMemory(16 << 20)
			_, err := image.Write(t.Context(), fileSource(t, test.file), m, test.spec, nil)
			wantError(t, err, test.code, test.want)
			if m.writes != 0 {
				t.Errorf("%d writes before the image was refused", m.writes)
			}
		})
	}
}

// TestWriteWrongChecksum expects the disk not to be bootable afterwards.
func TestWriteWrongChecksum(t *testing.T) {
	disk := mbr(diskLike(10<<20, 1), 0x83)
	wrong := hex.EncodeToString(make([]byte, 64))
	sum := sha512.Sum512(disk)
	m := newMemory(10 << 20)
	spec := image.Spec{Checksum: image.Checksum{Algorithm: "sha512", Value: wrong}}
	_, err := image.Write(t.Context(), fileSource(t, disk), m, spec, nil)
	wantError(t, err, ferric.CodeCorrupt, "sha512", wrong, hex.EncodeToString(sum[:]))
	if !bytes.Equal(m.data[:1<<20], make([]byte, 1<<20)) {
		t.Error("the beginning of the disk is not zero")
	}
	spec.Checksum.Value = hex.EncodeToString(sum[:])
	if _, err := image.Write(t.Context(), fileSource(t, disk), m, spec, nil); err != nil {
		t.Fatal(err)
	}
	wantDisk(t, m.data, disk)
}

// TestWriteTruncated has a server whose file ends early and that cannot resume.
func TestWriteTruncated(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", strconv.Itoa(20<<20))
		w.Write(noise(5<<20, 1))
	}))
	t.Cleanup(server.Close)
	m := newMemory(20 << 20)
	_, err := image.Write(t.Context(), mustOpen(t, server.URL, quick()), m, image.Spec{}, nil)
	wantError(t, err, ferric.CodeUnavailable, "broke off at byte 5242880 of 20971520")
	if !bytes.Equal(m.data[:1<<20], make([]byte, 1<<20)) {
		t.Error("the beginning of the disk is not zero")
	}
}

// TestWriteSwitched has a server that shows one image to the inspection and another one afterwards.
func TestWriteSwitched(t *testing.T) {
	good, evil := noise(10<<20, 1), noise(10<<20, 2)
	server := newWebServer(t, good)
	server.set(func() { server.etag = "" })
	server.modified = time.Time{}
	count := 0
	server.handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		count++
		content := good
		if count > 3 {
			content = evil
		}
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(content))
	})
	_, err := image.Write(t.Context(), mustOpen(t, server.url(), quick()), newMemory(10<<20), image.Spec{}, nil)
	wantError(t, err, ferric.CodeCorrupt, "not the one that was inspected")
}

func TestWriteFailures(t *testing.T) {
	disk := noise(20<<20, 1)
	tests := map[string]struct {
		err  error
		code ferric.Code
	}{
		"medium": {errors.New("input/output error"), ferric.CodeUnavailable},
		"full":   {&os.PathError{Op: "write", Path: "/dev/x", Err: syscall.ENOSPC}, ferric.CodeNoSpace},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			m := newMemory(20 << 20)
			m.fail, m.failAt = test.err, 6<<20
			_, err := image.Write(t.Context(), fileSource(t, disk), m, image.Spec{}, nil)
			wantError(t, err, test.code, "write to the disk at byte", test.err.Error())
		})
	}
	t.Run("cancelled", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		m := newMemory(20 << 20)
		target := &hookedTarget{memory: m, after: 6 << 20, hook: cancel}
		_, err := image.Write(ctx, fileSource(t, disk), target, image.Spec{}, nil)
		wantError(t, err, ferric.CodeUnavailable, "canceled")
	})
}

// TestDevice writes to a file by way of the kernel, and to a loop device if there may be one.
func TestDevice(t *testing.T) {
	disk := diskLike(20<<20, 3)
	file := toQcow2(t, disk, "-c")
	path := filepath.Join(t.TempDir(), "target")
	fill := func() {
		if err := os.WriteFile(path, bytes.Repeat([]byte{0xEE}, 24<<20), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write := func(t *testing.T, path string) {
		for name, file := range map[string][]byte{"qcow2": file, "raw": disk} {
			fill()
			device, err := image.OpenDevice(path)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := image.Write(t.Context(), fileSource(t, file), device, image.Spec{}, nil); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			got := make([]byte, 24<<20)
			if _, err := device.ReadAt(got, 0); err != nil {
				t.Fatal(err)
			}
			device.Close()
			wantDisk(t, got, disk)
		}
	}
	t.Run("file", func(t *testing.T) { write(t, path) })
	t.Run("zero range", func(t *testing.T) {
		for _, r := range [][2]int64{{0, 24 << 20}, {1, 10}, {65535, 2}, {512, 1 << 20}, {1<<20 + 7, 5<<20 + 3}, {24<<20 - 1, 1}, {100, 0}} {
			fill()
			device, err := image.OpenDevice(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := device.ZeroRange(t.Context(), r[0], r[1]); err != nil {
				t.Fatal(err)
			}
			device.Close()
			got, _ := os.ReadFile(path)
			if n := bytes.Count(got, []byte{0}); int64(n) != r[1] || !bytes.Equal(got[r[0]:r[0]+r[1]], make([]byte, r[1])) || len(got) != 24<<20 {
				t.Errorf("range %v: %d zeros in a file of %d bytes", r, n, len(got))
			}
		}
		device, err := image.OpenDevice(path)
		if err != nil {
			t.Fatal(err)
		}
		defer device.Close()
		wantError(t, device.ZeroRange(t.Context(), 24<<20-10, 11), ferric.CodeNoSpace, "the disk has")
		_, err = device.WriteAt(make([]byte, 11), 24<<20-10)
		wantError(t, err, ferric.CodeNoSpace, "the disk has")
	})
	t.Run("loop device", func(t *testing.T) {
		if os.Getuid() != 0 {
			t.Skip("SKIPPED: a loop device needs root")
		}
		losetup := requireProgram(t, "losetup", "util-linux")
		fill()
		loop := string(bytes.TrimSpace([]byte(run(t, losetup, "--show", "-f", path))))
		t.Cleanup(func() { run(t, losetup, "-d", loop) })
		write(t, loop)
	})
	t.Run("missing", func(t *testing.T) {
		_, err := image.OpenDevice(path + "x")
		wantError(t, err, ferric.CodeNotFound)
		_, err = image.OpenDevice("/dev/null")
		wantError(t, err, ferric.CodeInvalid, "neither a block device")
	})
}

// TestWriteEndsItsGoroutines fails and cancels writes at different points.
func TestWriteEndsItsGoroutines(t *testing.T) {
	ignore := goleak.IgnoreCurrent()
	disk := diskLike(20<<20, 1)
	for name, file := range map[string][]byte{"raw": disk, "qcow2": toQcow2(t, disk, "-c")} {
		source := fileSource(t, file)
		for _, after := range []int64{1, 3 << 20, 9 << 20} {
			ctx, cancel := context.WithCancel(t.Context())
			target := &hookedTarget{memory: newMemory(20 << 20), after: after, hook: cancel}
			if _, err := image.Write(ctx, source, target, image.Spec{}, func(image.Status) {}); err == nil {
				t.Errorf("%s: no error although the write was cancelled after %d bytes", name, after)
			}
			cancel()
			m := newMemory(20 << 20)
			m.fail, m.failAt = errors.New("input/output error"), after
			if _, err := image.Write(t.Context(), source, m, image.Spec{}, func(image.Status) {}); err == nil {
				t.Errorf("%s: no error although the disk failed after %d bytes", name, after)
			}
		}
	}
	goleak.VerifyNone(t, ignore)
}
