package configdrive_test

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/diskfs/go-diskfs/backend/file"
	"github.com/diskfs/go-diskfs/filesystem/iso9660"
	"github.com/google/go-cmp/cmp"

	"ferric"
	"ferric/image"
	"ferric/image/configdrive"
)

const dict = `{
	"meta_data": {"hostname": "node <1>", "uuid": "u-1", "public_keys": {"mykey": "ssh-ed25519 AAAA"}, "launch_index": 0},
	"network_data": {"links": [], "big": 12345678901234567890},
	"vendor_data": {"a": "b"},
	"user_data": "#cloud-config\nhostname: ä\n"
}`

func build(t testing.TB, dict string) []byte {
	t.Helper()
	data, err := configdrive.ParseDict([]byte(dict))
	if err != nil {
		t.Fatal(err)
	}
	drive, err := configdrive.Build(data)
	if err != nil {
		t.Fatal(err)
	}
	return drive
}

// wantFiles are those of dict, in one of the versions' folders.
func wantFiles() map[string]string {
	return map[string]string{
		"meta_data.json":    `{"hostname":"node <1>","launch_index":0,"public_keys":{"mykey":"ssh-ed25519 AAAA"},"uuid":"u-1"}`,
		"network_data.json": `{"big":12345678901234567890,"links":[]}`,
		"vendor_data2.json": `{"a":"b"}`,
		"user_data":         "#cloud-config\nhostname: ä\n",
	}
}

func writeTemp(t testing.TB, b []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "drive.iso")
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestReadByLibrary reads the drive with another implementation, by its Rock Ridge names.
func TestReadByLibrary(t *testing.T) {
	drive := build(t, dict)
	f, err := os.Open(writeTemp(t, drive))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	iso, err := iso9660.Read(file.New(f, true), int64(len(drive)), 0, 2048)
	if err != nil {
		t.Fatal(err)
	}
	if label := strings.TrimSpace(iso.Label()); label != configdrive.Label {
		t.Errorf("label %q", label)
	}
	got := map[string]string{}
	err = fs.WalkDir(iso, ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		b, err := fs.ReadFile(iso, path)
		got[path] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{}
	for _, version := range []string{"2012-08-10", "latest"} {
		for name, content := range wantFiles() {
			want["openstack/"+version+"/"+name] = content
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
}

// TestReadByPrograms lists and extracts with isoinfo in all three views, and asks blkid for the label.
func TestReadByPrograms(t *testing.T) {
	isoinfo, err := exec.LookPath("isoinfo")
	if err != nil {
		t.Skip("SKIPPED: isoinfo is not installed (package genisoimage)")
	}
	path := writeTemp(t, build(t, dict))
	run := func(name string, args ...string) string {
		out, err := exec.Command(name, args...).CombinedOutput()
		if err != nil {
			t.Fatalf("%s %v: %v\n%s", name, args, err, out)
		}
		return string(out)
	}
	want := []string{"/openstack"}
	for _, version := range []string{"2012-08-10", "latest"} {
		want = append(want, "/openstack/"+version)
		for name := range wantFiles() {
			want = append(want, "/openstack/"+version+"/"+name)
		}
	}
	slices.Sort(want)
	versions := regexp.MustCompile(`(\.?;1)$`)
	for view, flags := range map[string][]string{"Rock Ridge": {"-R"}, "Joliet": {"-J"}, "plain": nil} {
		var got []string
		for _, line := range strings.Fields(run(isoinfo, append(flags, "-f", "-i", path)...)) {
			got = append(got, versions.ReplaceAllString(line, ""))
		}
		want := slices.Clone(want)
		if view == "plain" {
			for i := range want {
				want[i] = strings.ReplaceAll(strings.ToUpper(want[i]), "-", "_")
			}
		}
		slices.Sort(got)
		slices.Sort(want)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", view, diff)
		}
	}
	for name, content := range wantFiles() {
		for _, flag := range []string{"-R", "-J"} {
			inside := "/openstack/latest/" + name
			if got := run(isoinfo, flag, "-x", inside, "-i", path); got != content {
				t.Errorf("isoinfo %s -x %s: %q, want %q", flag, inside, got, content)
			}
		}
	}
	long := run(isoinfo, "-R", "-l", "-i", path)
	for _, want := range []string{"-r--r--r--   1    0    0", "dr-xr-xr-x   4    0    0", "Jan  1 2000"} {
		if !strings.Contains(long, want) {
			t.Errorf("isoinfo -l has no %q:\n%s", want, long)
		}
	}
	head := run(isoinfo, "-d", "-i", path)
	for _, want := range []string{"Volume id: config-2", "Joliet with UCS level 3 found", "Rock Ridge signatures version 1 found"} {
		if !strings.Contains(head, want) {
			t.Errorf("isoinfo -d has no %q:\n%s", want, head)
		}
	}
	blkid, err := exec.LookPath("blkid")
	if err != nil {
		t.Skip("SKIPPED in part: blkid is not installed (package util-linux)")
	}
	if out := run(blkid, "-p", path); !strings.Contains(out, `LABEL="config-2"`) || !strings.Contains(out, `TYPE="iso9660"`) {
		t.Errorf("blkid: %s", out)
	}
}

func TestDeterministic(t *testing.T) {
	first := build(t, dict)
	for range 20 {
		if !bytes.Equal(first, build(t, dict)) {
			t.Fatal("the same input gave different drives")
		}
	}
	a, err := configdrive.Encode(first)
	if err != nil {
		t.Fatal(err)
	}
	if b, _ := configdrive.Encode(first); a != b {
		t.Fatal("the same drive gave different wire forms")
	}
	if len(a) > 4096 {
		t.Errorf("the wire form of a small drive has %d characters", len(a))
	}
}

func TestParseDict(t *testing.T) {
	tests := map[string]struct {
		dict, userData string
		err            string
	}{
		"empty":               {`{}`, "", ""},
		"nulls":               {`{"meta_data": null, "user_data": null, "network_data": null}`, "", ""},
		"text":                {`{"user_data": "hello"}`, "hello", ""},
		"empty text":          {`{"user_data": ""}`, "", ""},
		"object":              {`{"user_data": {"b": 1, "a": [ "<" ]}}`, `{"b":1,"a":["<"]}`, ""},
		"list":                {`{"user_data": [1, 2]}`, "[1,2]", ""},
		"number":              {`{"user_data": 1}`, "", "user_data must be"},
		"meta data is a list": {`{"meta_data": []}`, "", "meta_data must be an object"},
		"network is text":     {`{"network_data": "x"}`, "", "network_data must be an object"},
		"vendor is a number":  {`{"vendor_data": 5}`, "", "vendor_data must be an object"},
		"unknown":             {`{"metadata": {}}`, "", `"metadata" is not known`},
		"not an object":       {`[]`, "", "give a JSON object"},
		"null":                {`null`, "", "give a JSON object"},
		"not JSON":            {`{`, "", "give a JSON object"},
		"more":                {`{} {}`, "", "give a JSON object"},
		"nothing":             {``, "", "give a JSON object"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			data, err := configdrive.ParseDict([]byte(test.dict))
			if test.err != "" {
				if !ferric.IsCode(err, ferric.CodeInvalid) || !strings.Contains(err.Error(), test.err) {
					t.Fatalf("got %v; want invalid and %q", err, test.err)
				}
				return
			}
			if err != nil || string(data.UserData) != test.userData {
				t.Fatalf("user data %q, %v; want %q", data.UserData, err, test.userData)
			}
		})
	}
}

func TestSetDefaults(t *testing.T) {
	var d configdrive.Data
	d.SetDefaults("u", "n")
	if diff := cmp.Diff(map[string]any{"uuid": "u", "name": "n"}, d.MetaData); diff != "" {
		t.Error(diff)
	}
	d = configdrive.Data{MetaData: map[string]any{"uuid": "mine"}}
	d.SetDefaults("u", "")
	if diff := cmp.Diff(map[string]any{"uuid": "mine"}, d.MetaData); diff != "" {
		t.Error(diff)
	}
}

func TestTooLarge(t *testing.T) {
	_, err := configdrive.Build(configdrive.Data{UserData: make([]byte, configdrive.MaxSize)})
	if !ferric.IsCode(err, ferric.CodeInvalid) || !strings.Contains(err.Error(), "the limit is") {
		t.Fatal(err)
	}
	drive, err := configdrive.Build(configdrive.Data{UserData: make([]byte, configdrive.MaxSize-512<<10)})
	if err != nil {
		t.Fatal(err)
	}
	if err := configdrive.Check(drive); err != nil {
		t.Fatal(err)
	}
}

func zip(t testing.TB, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	if _, err := w.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// fat makes the head of a FAT16 file system with so many sectors.
func fat(sectors uint16, size int) []byte {
	b := make([]byte, size)
	b[0], b[510], b[511] = 0xeb, 0x55, 0xaa
	binary.LittleEndian.PutUint16(b[11:], 512)
	binary.LittleEndian.PutUint16(b[19:], sectors)
	copy(b[54:], "FAT16   ")
	return b
}

func TestDecode(t *testing.T) {
	drive := build(t, dict)
	wire, err := configdrive.Encode(drive)
	if err != nil {
		t.Fatal(err)
	}
	base := base64.StdEncoding.EncodeToString
	other := build(t, `{}`)
	tests := map[string]struct {
		value string
		want  []byte
		err   string
	}{
		"wire form":        {wire, drive, ""},
		"lines":            {wire[:100] + "\r\n" + wire[100:] + "\n", drive, ""},
		"not compressed":   {base(drive), drive, ""},
		"FAT":              {base(zip(t, fat(100, 51200))), fat(100, 51200), ""},
		"two gzip members": {base(append(zip(t, other[:5000]), zip(t, other[5000:])...)), other, ""},
		"not base64":       {"###", nil, "base64"},
		"empty":            {"", nil, "neither"},
		"text":             {base([]byte("hello")), nil, "neither"},
		"gzip of another":  {base(zip(t, []byte("hello"))), []byte("hello"), ""},
		"gzip of nothing":  {base(zip(t, nil)), nil, "empty"},
		"gzip of ISO cut":  {base(zip(t, drive[:len(drive)-1])), nil, "are there"},
		"gzip cut off":     {base(zip(t, drive)[:200]), nil, "gzip data is damaged"},
		"gzip damaged":     {base([]byte{0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff}), nil, "gzip data is damaged"},
		"ISO cut off":      {base(drive[:len(drive)-1]), nil, "are there"},
		"FAT cut off":      {base(fat(100, 1024)), nil, "are there"},
		"zip bomb":         {base(zip(t, make([]byte, configdrive.MaxSize+1))), nil, "larger than 64 MiB"},
		"endless text":     {strings.Repeat("A", 100<<20), nil, "too many"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := configdrive.Decode(test.value)
			if test.err != "" {
				if !ferric.IsCode(err, ferric.CodeCorrupt) || !strings.Contains(err.Error(), test.err) {
					t.Fatalf("got %v; want corrupt and %q", err, test.err)
				}
				return
			}
			if err != nil || !bytes.Equal(got, test.want) {
				t.Fatalf("%d bytes, %v", len(got), err)
			}
		})
	}
}

func TestResolve(t *testing.T) {
	drive := build(t, dict)
	wire, err := configdrive.Encode(drive)
	if err != nil {
		t.Fatal(err)
	}
	content := map[string][]byte{"/wire": []byte(wire), "/iso": drive, "/gzip": zip(t, drive), "/text": []byte("hello world")}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, ok := content[r.URL.Path]
		if !ok {
			http.NotFound(w, r)
			return
		}
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(b))
	}))
	defer server.Close()
	for _, value := range []string{wire, server.URL + "/wire", server.URL + "/iso", server.URL + "/gzip"} {
		if got, err := configdrive.Resolve(t.Context(), value, image.Options{}); err != nil || !bytes.Equal(got, drive) {
			t.Errorf("%.60s: %d bytes, %v", value, len(got), err)
		}
	}
	for path, code := range map[string]ferric.Code{"/text": ferric.CodeCorrupt, "/missing": ferric.CodeNotFound} {
		_, err := configdrive.Resolve(t.Context(), server.URL+path+"?token=s3cret", image.Options{})
		if !ferric.IsCode(err, code) || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: %v; want %s", path, err, code)
		}
	}
}

func FuzzDecode(f *testing.F) {
	data, err := configdrive.ParseDict([]byte(`{"user_data": "x"}`))
	if err != nil {
		f.Fatal(err)
	}
	drive, err := configdrive.Build(data)
	if err != nil {
		f.Fatal(err)
	}
	wire, err := configdrive.Encode(drive)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(wire)
	f.Add(base64.StdEncoding.EncodeToString(fat(1, 512)))
	f.Add("H4sIAAAAAAAA/w==")
	f.Fuzz(func(t *testing.T, value string) {
		got, err := configdrive.Decode(value)
		if err == nil && (len(got) == 0 || len(got) > configdrive.MaxSize) {
			t.Fatalf("%d bytes", len(got))
		}
		if err != nil && !ferric.IsCode(err, ferric.CodeCorrupt) {
			t.Fatal(err)
		}
	})
}

func FuzzParseDict(f *testing.F) {
	f.Add([]byte(dict))
	f.Add([]byte(`{"user_data": [1, {"a": null}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		data, err := configdrive.ParseDict(b)
		if err != nil {
			if !ferric.IsCode(err, ferric.CodeInvalid) {
				t.Fatal(err)
			}
			return
		}
		if !json.Valid(b) {
			t.Fatalf("accepted %q", b)
		}
		drive, err := configdrive.Build(data)
		if err != nil {
			t.Fatal(err)
		}
		if err := configdrive.Check(drive); err != nil {
			t.Fatal(err)
		}
	})
}
