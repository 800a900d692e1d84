package boot_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"ferric"
	"ferric/boot"
)

func ramdiskConfig() boot.Config {
	return boot.Config{NodeUUID: "node-1", MACs: []string{"52-54-00-AA-00-01"}, Flavor: boot.FlavorPXE, Mode: boot.ModeRamdisk,
		Kernel: "images/kernel", Initrd: "http://192.0.2.9/initrd?x=1", Cmdline: "console=ttyS0,115200 ferric.api=http://192.0.2.1:8080"}
}

func TestNormalize(t *testing.T) {
	tests := map[string]struct {
		change func(*boot.Config)
		want   string // part of the error; empty = no error
	}{
		"good":                {func(*boot.Config) {}, ""},
		"local":               {func(c *boot.Config) { c.Mode = boot.ModeLocal; c.Kernel, c.Initrd, c.Cmdline = "", "", "" }, ""},
		"default":             {func(c *boot.Config) { c.NodeUUID, c.MACs = boot.DefaultID, nil }, ""},
		"no node":             {func(c *boot.Config) { c.NodeUUID = "" }, "node_uuid"},
		"node with path":      {func(c *boot.Config) { c.NodeUUID = "../x" }, "node_uuid"},
		"node with newline":   {func(c *boot.Config) { c.NodeUUID = "a\nb" }, "node_uuid"},
		"no MAC":              {func(c *boot.Config) { c.MACs = nil }, "macs"},
		"bad MAC":             {func(c *boot.Config) { c.MACs = []string{"52:54:00"} }, "52:54:00"},
		"long MAC":            {func(c *boot.Config) { c.MACs = []string{"52:54:00:00:00:00:00:01"} }, "macs"},
		"default with MAC":    {func(c *boot.Config) { c.NodeUUID = boot.DefaultID }, "macs"},
		"bad flavor":          {func(c *boot.Config) { c.Flavor = "uboot" }, "flavor"},
		"bad firmware":        {func(c *boot.Config) { c.Firmware = "coreboot" }, "firmware"},
		"bad mode":            {func(c *boot.Config) { c.Mode = "" }, "mode"},
		"local with kernel":   {func(c *boot.Config) { c.Mode = boot.ModeLocal }, "must be empty"},
		"no kernel":           {func(c *boot.Config) { c.Kernel = "" }, "kernel"},
		"no initrd":           {func(c *boot.Config) { c.Initrd = "" }, "initrd"},
		"https":               {func(c *boot.Config) { c.Kernel = "https://x/k" }, "TLS"},
		"file":                {func(c *boot.Config) { c.Kernel = "file:///etc/passwd" }, "http://"},
		"password in URL":     {func(c *boot.Config) { c.Initrd = "http://user:secret@x/k" }, "password"},
		"fragment":            {func(c *boot.Config) { c.Initrd = "http://x/k#a" }, "#"},
		"kernel upwards":      {func(c *boot.Config) { c.Kernel = "../k" }, ".."},
		"kernel with space":   {func(c *boot.Config) { c.Kernel = "a b" }, "position 1"},
		"kernel with newline": {func(c *boot.Config) { c.Kernel = "a\nreboot" }, "position 1"},
		"kernel with quote":   {func(c *boot.Config) { c.Kernel = "a'b" }, "quotes"},
		"newline":             {func(c *boot.Config) { c.Cmdline = "a\nb" }, "cmdline"},
		"tab":                 {func(c *boot.Config) { c.Cmdline = "a\tb" }, "cmdline"},
		"single quote":        {func(c *boot.Config) { c.Cmdline = "a='b'" }, "quotes"},
		"double quote":        {func(c *boot.Config) { c.Cmdline = `a="b"` }, "quotes"},
		"backquote":           {func(c *boot.Config) { c.Cmdline = "a=`b`" }, "quotes"},
		"backslash":           {func(c *boot.Config) { c.Cmdline = `a\b` }, "quotes"},
		"not ASCII":           {func(c *boot.Config) { c.Cmdline = "a=ü" }, "ASCII"},
		"iPXE setting":        {func(c *boot.Config) { c.Cmdline = "a=${net0/mac}" }, "${"},
		"iPXE or":             {func(c *boot.Config) { c.Cmdline = "a || reboot" }, "||"},
		"iPXE and":            {func(c *boot.Config) { c.Cmdline = "a && reboot" }, "&&"},
		"comment":             {func(c *boot.Config) { c.Cmdline = "a #b" }, "#b"},
		"own BOOTIF":          {func(c *boot.Config) { c.Cmdline = "BOOTIF=01-00" }, "BOOTIF"},
		"own initrd":          {func(c *boot.Config) { c.Cmdline = "initrd=x" }, "initrd"},
		"long":                {func(c *boot.Config) { c.Cmdline = strings.Repeat("x", boot.MaxCmdline+1) }, "1800"},
		"longest":             {func(c *boot.Config) { c.Cmdline = strings.Repeat("x", boot.MaxCmdline) }, ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			c := ramdiskConfig()
			tt.change(&c)
			_, err := c.Normalize()
			if tt.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			if !ferric.IsCode(err, ferric.CodeInvalid) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v (code %s); want CodeInvalid about %q", err, ferric.ErrorCode(err), tt.want)
			}
			if strings.Contains(err.Error(), "secret") {
				t.Errorf("the error holds a password: %v", err)
			}
		})
	}
	t.Run("MACs", func(t *testing.T) {
		c := ramdiskConfig()
		c.MACs = []string{"52-54-00-aa-00-02", "525400AA0001", "52:54:00:AA:00:02"}
		got, err := c.Normalize()
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]string{"52:54:00:aa:00:01", "52:54:00:aa:00:02"}, got.MACs); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}

func TestParseMAC(t *testing.T) {
	tests := map[string]string{
		"52:54:00:AB:cd:01": "52:54:00:ab:cd:01", "52-54-00-ab-cd-01": "52:54:00:ab:cd:01", "5254.00ab.cd01": "52:54:00:ab:cd:01",
		"525400abcd01": "52:54:00:ab:cd:01",
		"":             "", "525400abcd0": "", "xx:54:00:ab:cd:01": "", "01:00:5e:00:00:01": "", "ff:ff:ff:ff:ff:ff": "", "00:00:00:00:00:00": "",
		"52:54:00:ab:cd:01\n": "",
	}
	for in, want := range tests {
		got, err := boot.ParseMAC(in)
		if got != want || (want == "") != ferric.IsCode(err, ferric.CodeInvalid) {
			t.Errorf("ParseMAC(%q) = %q, %v; want %q", in, got, err, want)
		}
	}
}

func TestCleanName(t *testing.T) {
	tests := map[string]string{
		"lpxelinux.0": "lpxelinux.0", "/grub/grub.cfg": "grub/grub.cfg", "//grubx64.efi": "grubx64.efi", `\grub\grub.cfg`: "grub/grub.cfg", "./a/./b": "a/b",
		"": "", "/": "", ".": "", "..": "", "../etc/passwd": "", "a/../../b": "", `..\b`: "", "a/..": "", "a\x00b": "", "a\nb": "", strings.Repeat("x", 513): "",
	}
	for in, want := range tests {
		got, err := boot.CleanName(in)
		if got != want || (want == "") != ferric.IsCode(err, ferric.CodeInvalid) {
			t.Errorf("CleanName(%q) = %q, %v; want %q", in, got, err, want)
		}
	}
}

func FuzzCleanName(f *testing.F) {
	for _, s := range []string{"a", "/a//b", "../x", `a\..\b`, "a/./b", "\x00"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, name string) {
		got, err := boot.CleanName(name)
		if err != nil {
			return
		}
		if !fs.ValidPath(got) || got == "." || !filepath.IsLocal(got) {
			t.Errorf("CleanName(%q) = %q, which leaves the tree", name, got)
		}
	})
}

func TestSite(t *testing.T) {
	good := site()
	tests := map[string]struct {
		change func(*boot.Site)
		ok     bool
	}{
		"good":         {func(*boot.Site) {}, true},
		"without port": {func(s *boot.Site) { s.HTTP = "http://192.0.2.1" }, true},
		"slash":        {func(s *boot.Site) { s.HTTP += "/" }, false},
		"path":         {func(s *boot.Site) { s.HTTP += "/x" }, false},
		"https":        {func(s *boot.Site) { s.HTTP = "https://192.0.2.1" }, false},
		"name":         {func(s *boot.Site) { s.HTTP = "http://boot.example.org" }, false},
		"empty":        {func(s *boot.Site) { s.HTTP = "" }, false},
		"no TFTP":      {func(s *boot.Site) { s.TFTP = boot.Site{}.TFTP }, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s := good
			tt.change(&s)
			if err := s.Validate(); (err == nil) != tt.ok || (err != nil && !ferric.IsCode(err, ferric.CodeInvalid)) {
				t.Errorf("Validate() = %v, want success: %t", err, tt.ok)
			}
		})
	}
	for ref, want := range map[string]string{"images/x": "http://192.0.2.1:8080/images/x", "/images/x": "http://192.0.2.1:8080/images/x", "http://192.0.2.9/k": "http://192.0.2.9/k"} {
		if got := good.Resolve(ref); got != want {
			t.Errorf("Resolve(%q) = %q, want %q", ref, got, want)
		}
	}
}

func TestTree(t *testing.T) {
	outside := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(outside, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	rooted := t.TempDir()
	if err := os.Symlink(outside, filepath.Join(rooted, "link")); err != nil {
		t.Fatal(err)
	}
	root, err := os.OpenRoot(rooted)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	tree := boot.Tree{
		fstest.MapFS{"a": {Data: []byte("first")}, "dir/x": {Data: []byte("x")}},
		fstest.MapFS{"a": {Data: []byte("second")}, "b": {Data: []byte("b")}, "dir": {Data: []byte("file where the first has a directory")}},
		root.FS(),
	}
	for name, want := range map[string]string{"a": "first", "b": "b", "dir/x": "x", "dir": "file where the first has a directory"} {
		if got, err := fs.ReadFile(tree, name); err != nil || string(got) != want {
			t.Errorf("%s: %q, %v; want %q", name, got, err, want)
		}
	}
	for _, name := range []string{"c", ".", "dir/y"} {
		if _, err := tree.Open(name); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: error %v, want one that says it does not exist", name, err)
		}
	}
	for _, name := range []string{"../a", "/a", "link"} {
		if f, err := tree.Open(name); err == nil {
			f.Close()
			t.Errorf("%s was opened", name)
		}
	}
}

func TestCollect(t *testing.T) {
	debian, own, dst := t.TempDir(), t.TempDir(), filepath.Join(t.TempDir(), "a", "b")
	write := func(dir, name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write(debian, "one.signed", "debian's")
	write(debian, "two", "debian's two")
	write(own, "two.efi", "own two")
	assets := []boot.Asset{
		{Name: "one.efi", Package: "pkg-one", Paths: []string{filepath.Join(debian, "none"), filepath.Join(debian, "one.signed")}},
		{Name: "sub/two.efi", Package: "pkg-two", Paths: []string{filepath.Join(debian, "two")}},
		{Name: "two.efi", Package: "pkg-two", Paths: []string{filepath.Join(debian, "two")}},
		{Name: "arm.efi", Package: "pkg-arm", Paths: []string{filepath.Join(debian, "arm")}, Optional: true},
	}
	for range 2 { // the second time everything is there already
		have, err := boot.Collect(t.Context(), dst, own, assets)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(assets[:3], have); diff != "" {
			t.Errorf("collected (-want +got):\n%s", diff)
		}
		for name, want := range map[string]string{"one.efi": "debian's", "sub/two.efi": "debian's two", "two.efi": "own two"} {
			if got, err := os.ReadFile(filepath.Join(dst, name)); err != nil || string(got) != want {
				t.Errorf("%s: %q, %v; want %q", name, got, err, want)
			}
		}
		if _, err := os.Stat(filepath.Join(dst, "arm.efi")); err == nil {
			t.Error("arm.efi came from nowhere")
		}
	}
	_, err := boot.Collect(t.Context(), t.TempDir(), "", append(assets,
		boot.Asset{Name: "three.efi", Package: "pkg-three", Paths: []string{"/nowhere/three"}},
		boot.Asset{Name: "four.efi", Package: "pkg-three", Paths: []string{"/nowhere/four"}}))
	if !ferric.IsCode(err, ferric.CodeNotFound) {
		t.Fatalf("error %v, want CodeNotFound", err)
	}
	for _, want := range []string{"three.efi", "/nowhere/four", "apt-get install pkg-three"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not name %q: %v", want, err)
		}
	}
	if strings.Count(err.Error(), "pkg-three") != 1 {
		t.Errorf("the package is named more than once: %v", err)
	}
}

func TestDefaultAssets(t *testing.T) {
	names := func(flavors ...boot.Flavor) map[string]bool {
		m := map[string]bool{}
		for _, a := range boot.DefaultAssets(flavors...) {
			if m[a.Name] || a.Package == "" || len(a.Paths) == 0 {
				t.Errorf("asset %+v is doubled or incomplete", a)
			}
			m[a.Name] = true
		}
		return m
	}
	pxe, ipxe, both := names(boot.FlavorPXE), names(boot.FlavorIPXE), names()
	for _, tt := range []struct {
		name      string
		pxe, ipxe bool
	}{{boot.LoaderPXELinux, true, false}, {boot.LoaderShimX64, true, false}, {boot.LoaderGRUBX64, true, true}, {boot.LoaderUndionly, false, true}, {boot.LoaderSNPX64, false, true}} {
		if pxe[tt.name] != tt.pxe || ipxe[tt.name] != tt.ipxe || !both[tt.name] {
			t.Errorf("%s: in pxe %t, in ipxe %t, in both %t", tt.name, pxe[tt.name], ipxe[tt.name], both[tt.name])
		}
	}
}

func TestBuildGRUB(t *testing.T) {
	if _, err := exec.LookPath("grub-mkimage"); err != nil {
		if err := boot.BuildGRUB(t.Context(), t.TempDir(), site()); !ferric.IsCode(err, ferric.CodeNotFound) || !strings.Contains(err.Error(), "grub-common") {
			t.Errorf("error %v, want CodeNotFound naming the package", err)
		}
		t.Skip("SKIPPED: grub-mkimage is missing; install the packages grub-common and grub-efi-amd64-bin")
	}
	dir := t.TempDir()
	if err := boot.BuildGRUB(t.Context(), dir, site()); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(filepath.Join(dir, boot.LoaderGRUBSite))
	if err != nil || !bytes.HasPrefix(data, []byte("MZ")) || !bytes.Contains(data, []byte("(tftp,192.0.2.1)/grub")) {
		t.Errorf("the loader has %d bytes, error %v; want an EFI program with the site's address", len(data), err)
	}
	if err := boot.BuildGRUB(t.Context(), dir, boot.Site{}); !ferric.IsCode(err, ferric.CodeInvalid) {
		t.Errorf("error %v, want CodeInvalid", err)
	}
}
