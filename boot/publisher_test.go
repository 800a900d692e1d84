package boot_test

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ferric"
	"ferric/boot"
	"ferric/boot/ipxe"
	"ferric/boot/pxe"
)

func site() boot.Site {
	return boot.Site{HTTP: "http://192.0.2.1:8080", TFTP: netip.MustParseAddr("192.0.2.1")}
}

func openPublisher(t *testing.T, dir string) *boot.Publisher {
	t.Helper()
	p, err := boot.OpenPublisher(dir, map[boot.Flavor]boot.Renderer{boot.FlavorPXE: pxe.Renderer{Site: site()}, boot.FlavorIPXE: ipxe.Renderer{Site: site()}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

// common are the files that are always there.
var common = []string{"grub/grub.cfg", "ipxe/boot.ipxe"}

// list returns the paths of the published files, without the common ones.
func list(t *testing.T, p *boot.Publisher) []string {
	t.Helper()
	var names []string
	err := fs.WalkDir(p.Files(), ".", func(name string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			names = append(names, name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range common {
		before := len(names)
		names = removeName(names, c)
		if len(names) != before-1 {
			t.Errorf("the common file %s is missing", c)
		}
	}
	return names
}

func removeName(names []string, name string) []string {
	var keep []string
	for _, n := range names {
		if n != name {
			keep = append(keep, n)
		}
	}
	return keep
}

const (
	mac1 = "52:54:00:aa:00:01"
	mac2 = "52:54:00:aa:00:02"
)

func TestPublish(t *testing.T) {
	dir := t.TempDir()
	p, ctx := openPublisher(t, dir), t.Context()
	cfg := ramdiskConfig()
	cfg.MACs = []string{mac2, mac1}

	if err := p.Publish(ctx, cfg); err != nil {
		t.Fatal(err)
	}
	want := []string{"grub/grub.cfg-01-52-54-00-aa-00-01", "grub/grub.cfg-01-52-54-00-aa-00-02", "pxelinux.cfg/01-52-54-00-aa-00-01", "pxelinux.cfg/01-52-54-00-aa-00-02"}
	if diff := cmp.Diff(want, list(t, p)); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	got, ok := p.Lookup("52-54-00-AA-00-02")
	cfg.MACs = []string{mac1, mac2}
	if diff := cmp.Diff(cfg, got); !ok || diff != "" {
		t.Errorf("Lookup: %t (-want +got):\n%s", ok, diff)
	}
	got.MACs[0] = "changed" // must not reach into the publisher
	if _, ok := p.Lookup(mac1); !ok {
		t.Error("the first MAC is not found")
	}

	// Another flavor, one MAC fewer: everything of the old configuration goes away.
	cfg.Flavor, cfg.Firmware, cfg.MACs = boot.FlavorIPXE, boot.FirmwareBIOS, []string{mac1}
	for range 2 { // may be repeated
		if err := p.Publish(ctx, cfg); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff([]string{"ipxe/52-54-00-aa-00-01/boot.ipxe"}, list(t, p)); diff != "" {
		t.Errorf("files after the change (-want +got):\n%s", diff)
	}
	if _, ok := p.Lookup(mac2); ok {
		t.Error("the MAC that was taken away is still found")
	}

	for range 2 {
		if err := p.Unpublish(ctx, cfg.NodeUUID); err != nil {
			t.Fatal(err)
		}
	}
	if got := list(t, p); len(got) != 0 {
		t.Errorf("files after Unpublish: %v", got)
	}
	if _, ok := p.Lookup(mac1); ok || len(p.List()) != 0 {
		t.Error("the configuration is still there after Unpublish")
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "files", "*", "*")); len(left) != len(common) {
		t.Errorf("left in the directory: %v", left)
	}
}

func TestPublishRefused(t *testing.T) {
	p, ctx := openPublisher(t, t.TempDir()), t.Context()
	cfg := ramdiskConfig()
	if err := p.Publish(ctx, cfg); err != nil {
		t.Fatal(err)
	}
	before := list(t, p)

	other := cfg
	other.NodeUUID = "node-2"
	if err := p.Publish(ctx, other); !ferric.IsCode(err, ferric.CodeConflict) || !strings.Contains(err.Error(), "node-1") {
		t.Errorf("publishing another node's MAC: %v, want CodeConflict naming node-1", err)
	}
	bad := cfg
	bad.Cmdline = "a\nb"
	if err := p.Publish(ctx, bad); !ferric.IsCode(err, ferric.CodeInvalid) {
		t.Errorf("publishing a bad command line: %v, want CodeInvalid", err)
	}
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	if err := p.Publish(cancelled, cfg); !ferric.IsCode(err, ferric.CodeTimeout) {
		t.Errorf("publishing after the end: %v, want CodeTimeout", err)
	}
	if diff := cmp.Diff(before, list(t, p)); diff != "" {
		t.Errorf("a refused Publish changed the files:\n%s", diff)
	}
	if got, _ := p.Lookup(mac1); got.Cmdline != cfg.Cmdline {
		t.Errorf("a refused Publish changed the configuration: %+v", got)
	}

	only, err := boot.OpenPublisher(t.TempDir(), map[boot.Flavor]boot.Renderer{boot.FlavorIPXE: ipxe.Renderer{Site: site()}})
	if err != nil {
		t.Fatal(err)
	}
	defer only.Close()
	if err := only.Publish(ctx, cfg); !ferric.IsCode(err, ferric.CodeUnsupported) {
		t.Errorf("publishing a flavor that is not served: %v, want CodeUnsupported", err)
	}
}

func TestRestart(t *testing.T) {
	dir, ctx := t.TempDir(), t.Context()
	p := openPublisher(t, dir)
	cfg := ramdiskConfig()
	def := boot.Config{NodeUUID: boot.DefaultID, Flavor: boot.FlavorIPXE, Mode: boot.ModeLocal}
	for _, c := range []boot.Config{cfg, def} {
		if err := p.Publish(ctx, c); err != nil {
			t.Fatal(err)
		}
	}
	files, configs := list(t, p), p.List()
	p.Close()

	// What a crash and a curious operator can leave behind.
	damage := map[string]string{
		"files/pxelinux.cfg/01-52-54-00-aa-00-01": "half a fi",           // changed
		"files/pxelinux.cfg/01-52-54-00-aa-00-99": "of a node long gone", // orphan
		"files/grub/.tmp-123":                     "unfinished",
		"nodes/.tmp-456":                          "unfinished",
	}
	for name, text := range damage {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Remove(filepath.Join(dir, "files/grub/grub.cfg-01-52-54-00-aa-00-01")); err != nil {
		t.Fatal(err)
	}

	p = openPublisher(t, dir)
	if diff := cmp.Diff(configs, p.List()); diff != "" {
		t.Errorf("configurations after the restart (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(files, list(t, p)); diff != "" {
		t.Errorf("files after the restart (-want +got):\n%s", diff)
	}
	data, err := fs.ReadFile(p.Files(), "pxelinux.cfg/01-52-54-00-aa-00-01")
	if err != nil || !bytes.Contains(data, []byte("KERNEL http://192.0.2.1:8080/images/kernel")) {
		t.Errorf("the damaged file was not written anew: %v\n%s", err, data)
	}
	if _, err := os.Stat(filepath.Join(dir, "nodes/.tmp-456")); err == nil {
		t.Error("an unfinished node file is still there")
	}
	if _, ok := p.Lookup("00:00:00:00:00:00"); ok {
		t.Error("the default configuration belongs to a MAC")
	}
}

func TestCorruptState(t *testing.T) {
	tests := map[string]string{
		"not json":      "{",
		"unknown field": `{"node_uuid":"node-1","surprise":1}`,
		"invalid":       `{"node_uuid":"node-1","macs":[],"flavor":"pxe","mode":"local"}`,
		"wrong name":    `{"node_uuid":"node-2","macs":["52:54:00:aa:00:01"],"flavor":"pxe","mode":"local"}`,
	}
	for name, text := range tests {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			openPublisher(t, dir).Close()
			file := filepath.Join(dir, "nodes", "node-1.json")
			if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
			_, err := boot.OpenPublisher(dir, map[boot.Flavor]boot.Renderer{boot.FlavorPXE: pxe.Renderer{Site: site()}})
			if !ferric.IsCode(err, ferric.CodeCorrupt) || !strings.Contains(err.Error(), file) {
				t.Errorf("error %v, want CodeCorrupt naming %s", err, file)
			}
		})
	}
}

func TestPublisherConcurrently(t *testing.T) {
	p, ctx := openPublisher(t, t.TempDir()), t.Context()
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			cfg := ramdiskConfig()
			cfg.NodeUUID = fmt.Sprintf("node-%d", i)
			cfg.MACs = []string{fmt.Sprintf("52:54:00:bb:00:%02x", i)}
			for range 3 {
				if err := p.Publish(ctx, cfg); err != nil {
					t.Error(err)
				}
				if got, ok := p.Lookup(cfg.MACs[0]); !ok || got.NodeUUID != cfg.NodeUUID {
					t.Errorf("Lookup: %+v, %t", got, ok)
				}
				if i%2 == 0 {
					if err := p.Unpublish(ctx, cfg.NodeUUID); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	wg.Wait()
	if got := len(p.List()); got != 4 {
		t.Errorf("%d nodes are published, want 4", got)
	}
	if got := len(list(t, p)); got != 8 {
		t.Errorf("%d files are there, want 8", got)
	}
}
