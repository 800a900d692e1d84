package main

import (
	"io"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ferric"
	"ferric/boot"
	"ferric/boot/ipxe"
	"ferric/boot/pxe"
	"ferric/config"
)

// TestDiscovery publishes the deploy ramdisk for machines that nobody knows, and takes it away when discovery is switched off.
func TestDiscovery(t *testing.T) {
	dir := t.TempDir()
	cfg := &config.Config{DataDir: dir}
	cfg.Image.CacheDir = filepath.Join(dir, "images")
	cfg.Boot.KernelAppendParams = "console=ttyS0"
	cfg.Boot.Discovery = true
	site := boot.Site{HTTP: "http://192.0.2.1:8080", TFTP: netip.MustParseAddr("192.0.2.1")}
	pictures := func() *images {
		t.Helper()
		i, err := newImages(cfg, nil, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		i.site = site
		return i
	}
	publisher := boot.NewPublisher(boot.PublisherOptions{Records: &boot.MemoryRecords{}, Site: site, Renderers: map[boot.Flavor]boot.Renderer{
		boot.FlavorPXE: pxe.Renderer{Site: site}, boot.FlavorIPXE: ipxe.Renderer{Site: site}}})
	s := &service{cfg: cfg}

	none := pictures()
	if err := s.publishDiscovery(t.Context(), publisher, none, site); !ferric.IsCode(err, ferric.CodeInvalid) || !strings.Contains(err.Error(), "ferric ramdisk build") {
		t.Errorf("without a ramdisk: %v", err)
	}
	none.Close()

	for name, file := range map[string]*string{"kernel": &cfg.Boot.DeployKernel, "ramdisk": &cfg.Boot.DeployRamdisk} {
		*file = filepath.Join(dir, name)
		if err := os.WriteFile(*file, []byte("the "+name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	i := pictures()
	defer i.Close()
	if err := s.publishDiscovery(t.Context(), publisher, i, site); err != nil {
		t.Fatal(err)
	}
	c, err := publisher.Get(t.Context(), boot.DefaultID)
	want := "ipa-api-url=http://192.0.2.1:8080 ipa-inspection-callback-url=http://192.0.2.1:8080/v1/continue_inspection console=ttyS0"
	if err != nil || c.Cmdline != want {
		t.Errorf("published (%v) with the command line %q, want %q", err, c.Cmdline, want)
	}
	for name, ref := range map[string]string{"kernel": c.Kernel, "ramdisk": c.Initrd} {
		served, err := i.OpenImage(t.Context(), strings.TrimPrefix(ref, "images/"))
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(served.Content)
		if err != nil || string(content) != "the "+name {
			t.Errorf("%s is served as %q, %v", name, content, err)
		}
		served.Content.Close()
	}

	cfg.Boot.Discovery = false
	if err := s.publishDiscovery(t.Context(), publisher, i, site); err != nil {
		t.Fatal(err)
	}
	if _, err := publisher.Get(t.Context(), boot.DefaultID); !ferric.IsCode(err, ferric.CodeNotFound) {
		t.Error("machines that nobody knows are still served")
	}
}
