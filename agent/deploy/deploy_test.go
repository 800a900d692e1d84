package deploy_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ferric"
	"ferric/agent/deploy"
	"ferric/agent/disk"
	"ferric/agentapi"
)

const mib = 1 << 20

func tool(t *testing.T, name string, args ...string) string {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		t.Skipf("%s is not installed", name)
	}
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
	return string(out)
}

// diskImage makes a GPT image of 16 MiB with some content, raw and as qcow2.
func diskImage(t *testing.T) (raw, qcow2 string, content []byte) {
	t.Helper()
	dir := t.TempDir()
	raw, qcow2 = dir+"/i.raw", dir+"/i.qcow2"
	if err := os.WriteFile(raw, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(raw, 16*mib); err != nil {
		t.Fatal(err)
	}
	tool(t, "sgdisk", "-n", "1:2048:0", raw)
	f, err := os.OpenFile(raw, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	for i := range int64(200) {
		fmt.Fprintf(&offset{f, mib + i*4096}, "block %d of the image", i)
	}
	f.Close()
	tool(t, "qemu-img", "convert", "-c", "-O", "qcow2", raw, qcow2)
	content, err = os.ReadFile(raw)
	if err != nil {
		t.Fatal(err)
	}
	return raw, qcow2, content
}

type offset struct {
	f  *os.File
	at int64
}

func (o *offset) Write(b []byte) (int, error) { return o.f.WriteAt(b, o.at) }

func sum(t *testing.T, file string) string {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	s := sha256.Sum256(b)
	return hex.EncodeToString(s[:])
}

type rig struct {
	disk string
	w    *deploy.Writer
	srv  *httptest.Server
	hits int
}

func start(t *testing.T, dir string, diskSize int64) *rig {
	t.Helper()
	r := &rig{disk: filepath.Join(t.TempDir(), "disk")}
	if err := os.WriteFile(r.disk, bytes.Repeat([]byte("old content "), 100), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(r.disk, diskSize); err != nil {
		t.Fatal(err)
	}
	files := http.FileServer(http.Dir(dir))
	r.srv = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) { r.hits++; files.ServeHTTP(w, q) }))
	t.Cleanup(r.srv.Close)
	r.w = &deploy.Writer{Open: disk.Open, Rescan: disk.Rescan}
	return r
}

func (r *rig) write(t *testing.T, info agentapi.ImageInfo, drive string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	return r.w.Write(ctx, deploy.Job{Info: info, ConfigDrive: drive, Disk: agentapi.BlockDevice{Name: r.disk}, Log: slog.New(slog.DiscardHandler), Progress: func(agentapi.Progress) {}})
}

func drive(t *testing.T) string {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	w.Write(bytes.Repeat([]byte("config drive "), 1000))
	w.Close()
	return base64.StdEncoding.EncodeToString(b.Bytes())
}

func TestWriteImage(t *testing.T) {
	raw, qcow2, content := diskImage(t)
	for name, tt := range map[string]struct{ file, format string }{"raw": {raw, "raw"}, "qcow2": {qcow2, "qcow2"}, "undeclared": {qcow2, ""}} {
		t.Run(name, func(t *testing.T) {
			r := start(t, filepath.Dir(raw), 90*mib)
			info := agentapi.ImageInfo{ID: "img", URLs: []string{r.srv.URL + "/nowhere", r.srv.URL + "/" + filepath.Base(tt.file)}, DiskFormat: tt.format,
				OSHashAlgo: "sha256", OSHashValue: sum(t, tt.file)}
			text, err := r.write(t, info, drive(t))
			if err != nil {
				t.Fatal(err)
			}
			if want := "image (img) written to device " + r.disk + " root_uuid=0x00000000"; text != want {
				t.Errorf("got %q, want %q", text, want)
			}
			got, err := os.ReadFile(r.disk)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got[mib:15*mib], content[mib:15*mib]) {
				t.Error("the disk differs from the image")
			}
			if out := tool(t, "sgdisk", "-v", r.disk); !strings.Contains(out, "No problems found") {
				t.Error(out)
			}
			if out := tool(t, "sgdisk", "-p", r.disk); !strings.Contains(out, "config-2") {
				t.Error(out)
			}
			if !bytes.Contains(got[20*mib:], []byte("config drive config drive")) {
				t.Error("no config drive on the disk")
			}
			hits := r.hits
			if _, err := r.write(t, info, drive(t)); err != nil || r.hits != hits {
				t.Errorf("the same image was fetched again (%d requests), %v", r.hits-hits, err)
			}
			if uuids := r.w.UUIDs(); uuids["root uuid"] != "0x00000000" {
				t.Errorf("uuids %v", uuids)
			}
		})
	}
}

func TestWriteRefuses(t *testing.T) {
	raw, qcow2, content := diskImage(t)
	dir := filepath.Dir(raw)
	tool(t, "qemu-img", "create", "-f", "qcow2", "-b", "/etc/passwd", "-F", "raw", dir+"/backing.qcow2")
	if err := os.WriteFile(dir+"/noparts.raw", bytes.Repeat([]byte{'x'}, 2*mib), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(dir+"/sums", []byte(sum(t, raw)+"  i.raw\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		file    string
		size    int64
		change  func(*agentapi.ImageInfo)
		drive   string
		typ     ferric.Code
		text    string
		touched bool // the disk may be changed
	}{
		"wrong checksum":     {"i.raw", 90 * mib, func(i *agentapi.ImageInfo) { i.OSHashValue = strings.Repeat("0", 64) }, "", ferric.CodeCorrupt, "checksum mismatch", true},
		"larger than disk":   {"i.qcow2", 8 * mib, nil, "", ferric.CodeNoSpace, "needs 16777216 bytes", false},
		"backing file":       {"backing.qcow2", 90 * mib, nil, "", ferric.CodeCorrupt, "backing", false},
		"declared otherwise": {"i.qcow2", 90 * mib, func(i *agentapi.ImageInfo) { i.DiskFormat = "raw" }, "", ferric.CodeCorrupt, "qcow2", false},
		"no partitions":      {"noparts.raw", 90 * mib, nil, "", ferric.CodeInternal, "no usable partition table", true},
		"not there":          {"gone.raw", 90 * mib, nil, "", ferric.CodeUnavailable, "404", false},
		"bad config drive":   {"i.raw", 90 * mib, nil, "!!!", ferric.CodeInternal, "base64", false},
		"no room for it":     {"i.raw", 20 * mib, nil, drive(t), ferric.CodeInternal, "no room", true},
		"no checksum":        {"i.raw", 90 * mib, func(i *agentapi.ImageInfo) { i.OSHashAlgo, i.OSHashValue = "", "" }, "", ferric.CodeInvalid, "checksum is not available", false},
		"half a checksum":    {"i.raw", 90 * mib, func(i *agentapi.ImageInfo) { i.OSHashAlgo = "" }, "", ferric.CodeInvalid, "together", false},
		"md5":                {"i.raw", 90 * mib, func(i *agentapi.ImageInfo) { i.OSHashAlgo, i.OSHashValue = "md5", strings.Repeat("0", 32) }, "", ferric.CodeInvalid, "MD5", false},
		"no id":              {"i.raw", 90 * mib, func(i *agentapi.ImageInfo) { i.ID = "" }, "", ferric.CodeInvalid, "'id'", false},
		"no URL":             {"i.raw", 90 * mib, func(i *agentapi.ImageInfo) { i.URLs = nil }, "", ferric.CodeInvalid, "'urls'", false},
		"file URL":           {"i.raw", 90 * mib, func(i *agentapi.ImageInfo) { i.URLs = []string{"file:///etc/passwd"} }, "", ferric.CodeInvalid, "http", false},
		"partition image":    {"i.raw", 90 * mib, func(i *agentapi.ImageInfo) { i.ImageType = "partition" }, "", ferric.CodeInvalid, "partition images", false},
		"half credentials":   {"i.raw", 90 * mib, func(i *agentapi.ImageInfo) { i.ServerAuthStrategy, i.ServerUser = "http_basic", "u" }, "", ferric.CodeInvalid, "image_server_password", false},
		"odd strategy":       {"i.raw", 90 * mib, func(i *agentapi.ImageInfo) { i.ServerAuthStrategy = "magic" }, "", ferric.CodeInvalid, "magic", false},
		"bad authorization":  {"i.raw", 90 * mib, func(i *agentapi.ImageInfo) { i.RequestAuthorization = "§" }, "", ferric.CodeInvalid, "base64", false},
	}
	_ = qcow2
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			r := start(t, dir, tt.size)
			before, err := os.ReadFile(r.disk)
			if err != nil {
				t.Fatal(err)
			}
			info := agentapi.ImageInfo{ID: "img", URLs: []string{r.srv.URL + "/" + tt.file}, OSHashAlgo: "sha256"}
			if _, err := os.Stat(dir + "/" + tt.file); err == nil {
				info.OSHashValue = sum(t, dir+"/"+tt.file)
			} else {
				info.OSHashValue = strings.Repeat("0", 64)
			}
			if tt.change != nil {
				tt.change(&info)
			}
			_, err = r.write(t, info, tt.drive)
			if !ferric.IsCode(err, tt.typ) || !strings.Contains(err.Error(), tt.text) {
				t.Errorf("got %s %v, want %s with %q", ferric.ErrorCode(err), err, tt.typ, tt.text)
			}
			after, err := os.ReadFile(r.disk)
			if err != nil {
				t.Fatal(err)
			}
			if !tt.touched && !bytes.Equal(before, after) {
				t.Error("the disk was changed")
			}
			if name == "wrong checksum" && bytes.Contains(after[:mib], content[512:520]) {
				t.Error("there is a partition table although the checksum is wrong")
			}
			if uuids := r.w.UUIDs(); uuids != nil {
				t.Errorf("uuids %v", uuids)
			}
		})
	}
	t.Run("checksum file", func(t *testing.T) {
		r := start(t, dir, 90*mib)
		if _, err := r.write(t, agentapi.ImageInfo{ID: "i", URLs: []string{r.srv.URL + "/i.raw"}, Checksum: r.srv.URL + "/sums"}, ""); err != nil {
			t.Error(err)
		}
	})
	t.Run("config drive by URL", func(t *testing.T) {
		if err := os.WriteFile(dir+"/drive", []byte(drive(t)), 0o644); err != nil {
			t.Fatal(err)
		}
		r := start(t, dir, 90*mib)
		if _, err := r.write(t, agentapi.ImageInfo{ID: "i", URLs: []string{r.srv.URL + "/i.raw"}, Checksum: sum(t, raw), ConfigDrive: r.srv.URL + "/drive"}, ""); err != nil {
			t.Fatal(err)
		}
		if out := tool(t, "sgdisk", "-p", r.disk); !strings.Contains(out, "config-2") {
			t.Error(out)
		}
	})
}
