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
	"ferric/store"
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
		i, err := newImages(cfg, nil, nil, slog.New(slog.DiscardHandler))
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

// TestBootFilesOfAnEarlierVersion takes over what an earlier version kept in files, once, and removes the files.
func TestBootFilesOfAnEarlierVersion(t *testing.T) {
	c := store.Defaults()
	c.DataDir = t.TempDir()
	db, err := store.Open(t.Context(), c, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	node := &ferric.Node{Driver: "fake-hardware", ProvisionState: ferric.DeployWait}
	done := &ferric.Node{Driver: "fake-hardware", ProvisionState: ferric.Active}
	for _, n := range []*ferric.Node{node, done} {
		if err := db.CreateNode(t.Context(), n); err != nil {
			t.Fatal(err)
		}
	}
	nodes := filepath.Join(c.DataDir, "boot", "nodes", "nodes")
	if err := os.MkdirAll(nodes, 0o755); err != nil {
		t.Fatal(err)
	}
	text := func(id, mac string) string {
		return `{"node_uuid": "` + id + `", "macs": ["` + mac + `"], "flavor": "ipxe", "mode": "ramdisk", "kernel": "images/k", "initrd": "images/r", "cmdline": "x=1"}`
	}
	for name, content := range map[string]string{node.UUID + ".json": text(node.UUID, "52:54:00:00:00:01"), "default.json": "{}",
		done.UUID + ".json": text(done.UUID, "52:54:00:00:00:03"),
		"gone.json":         text("1be26c0b-03f2-4d2e-ae87-c02d7f33c123", "52:54:00:00:00:02"), "damaged.json": "{", ".tmp-1.json": "{"} {
		if err := os.WriteFile(filepath.Join(nodes, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s := &service{cfg: &config.Config{DataDir: c.DataDir}, store: db, log: slog.New(slog.DiscardHandler)}
	for i, want := range []bool{true, false} {
		if found, err := s.importBoots(t.Context()); err != nil || found != want {
			t.Errorf("start %d: found %v, %v", i, found, err)
		}
	}
	all, err := bootRecords{db}.All(t.Context())
	if err != nil || len(all) != 1 || all[0].NodeUUID != node.UUID || all[0].Cmdline != "x=1" || all[0].At.IsZero() {
		t.Errorf("taken over: %+v, %v", all, err)
	}
	if _, err := os.Stat(filepath.Join(c.DataDir, "boot", "nodes")); !os.IsNotExist(err) {
		t.Errorf("the files are still there: %v", err)
	}
}
