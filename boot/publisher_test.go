package boot_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"ferric"
	"ferric/boot"
	"ferric/boot/ipxe"
	"ferric/boot/pxe"
)

func site() boot.Site {
	return boot.Site{HTTP: "http://192.0.2.1:8080", TFTP: netip.MustParseAddr("192.0.2.1")}
}

func options(records boot.Records) boot.PublisherOptions {
	return boot.PublisherOptions{Records: records, Site: site(),
		Renderers: map[boot.Flavor]boot.Renderer{boot.FlavorPXE: pxe.Renderer{Site: site()}, boot.FlavorIPXE: ipxe.Renderer{Site: site()}}}
}

func openPublisher() *boot.Publisher { return boot.NewPublisher(options(&boot.MemoryRecords{})) }

// list returns the paths of the published files of the MACs, and of the default ones.
func list(t *testing.T, p *boot.Publisher) []string {
	t.Helper()
	for _, common := range []string{"grub/grub.cfg", "ipxe/boot.ipxe"} {
		if _, err := fs.ReadFile(p.Files(), common); err != nil {
			t.Errorf("the common file: %v", err)
		}
	}
	var names []string
	for _, mac := range []string{"", mac1, mac2} {
		for _, name := range []string{boot.GRUBPath(mac), boot.PXELinuxPath(mac), boot.ScriptPath(mac)} {
			_, err := fs.ReadFile(p.Files(), name)
			if err == nil {
				names = append(names, name)
			} else if !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	slices.Sort(names)
	return names
}

const (
	mac1 = "52:54:00:aa:00:01"
	mac2 = "52:54:00:aa:00:02"
)

func TestPublish(t *testing.T) {
	p, ctx := openPublisher(), t.Context()
	cfg := ramdiskConfig()
	cfg.MACs = []string{mac2, mac1}

	if err := p.Publish(ctx, cfg); err != nil {
		t.Fatal(err)
	}
	want := []string{"grub/grub.cfg-01-52-54-00-aa-00-01", "grub/grub.cfg-01-52-54-00-aa-00-02", "pxelinux.cfg/01-52-54-00-aa-00-01", "pxelinux.cfg/01-52-54-00-aa-00-02"}
	if diff := cmp.Diff(want, list(t, p)); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	got, err := p.Lookup(ctx, "52-54-00-AA-00-02")
	cfg.MACs = []string{mac1, mac2}
	if diff := cmp.Diff(cfg, got); err != nil || diff != "" {
		t.Errorf("Lookup: %v (-want +got):\n%s", err, diff)
	}
	got.MACs[0] = "changed" // must not reach into the publisher
	if _, err := p.Lookup(ctx, mac1); err != nil {
		t.Errorf("the first MAC: %v", err)
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
	if _, err := p.Lookup(ctx, mac2); !ferric.IsCode(err, ferric.CodeNotFound) {
		t.Errorf("the MAC that was taken away: %v, want CodeNotFound", err)
	}
	def := boot.Config{NodeUUID: boot.DefaultID, Flavor: boot.FlavorIPXE, Mode: boot.ModeLocal, Firmware: boot.FirmwareBIOS}
	if err := p.Publish(ctx, def); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"ipxe/52-54-00-aa-00-01/boot.ipxe", "ipxe/default/boot.ipxe"}, list(t, p)); diff != "" {
		t.Errorf("files with the default ones (-want +got):\n%s", diff)
	}
	if _, err := p.Lookup(ctx, mac2); !ferric.IsCode(err, ferric.CodeNotFound) {
		t.Errorf("the default configuration belongs to a MAC: %v", err)
	}

	for range 2 {
		for _, id := range []string{cfg.NodeUUID, boot.DefaultID} {
			if err := p.Unpublish(ctx, id); err != nil {
				t.Fatal(err)
			}
		}
	}
	if got := list(t, p); len(got) != 0 {
		t.Errorf("files after Unpublish: %v", got)
	}
	all, err := p.List(ctx)
	if _, gone := p.Lookup(ctx, mac1); !ferric.IsCode(gone, ferric.CodeNotFound) || err != nil || len(all) != 0 {
		t.Errorf("after Unpublish: %v, %v, %v", gone, all, err)
	}
}

func TestPublishRefused(t *testing.T) {
	p, ctx := openPublisher(), t.Context()
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
	// It would fit here, and not on a host with a longer address.
	bad.Cmdline = "url=" + site().HTTP + " " + strings.Repeat("x", boot.MaxCmdline-len("url= ")-len(site().HTTP))
	if err := p.Publish(ctx, bad); !ferric.IsCode(err, ferric.CodeInvalid) {
		t.Errorf("publishing a command line that is too long elsewhere: %v, want CodeInvalid", err)
	}
	if diff := cmp.Diff(before, list(t, p)); diff != "" {
		t.Errorf("a refused Publish changed the files:\n%s", diff)
	}
	if got, _ := p.Lookup(ctx, mac1); got.Cmdline != cfg.Cmdline {
		t.Errorf("a refused Publish changed the configuration: %+v", got)
	}

	opts := options(&boot.MemoryRecords{})
	delete(opts.Renderers, boot.FlavorPXE)
	if err := boot.NewPublisher(opts).Publish(ctx, cfg); !ferric.IsCode(err, ferric.CodeUnsupported) {
		t.Errorf("publishing a flavor that is not served: %v, want CodeUnsupported", err)
	}
}

// TestAnotherHost publishes on one host and boots from another: every address is the other one's, with the first one's behind it where somebody can choose.
func TestAnotherHost(t *testing.T) {
	records := &boot.MemoryRecords{}
	cfg := ramdiskConfig()
	cfg.Flavor, cfg.Kernel, cfg.Initrd = boot.FlavorIPXE, "images/k", "images/r"
	cfg.Cmdline = "ipa-api-url=http://192.0.2.1:8080 near=http://192.0.2.1:80801/ callback=http://192.0.2.1:8080/v1/x,http://198.51.100.1/y plain=1"
	if err := boot.NewPublisher(options(records)).Publish(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	there := boot.Site{HTTP: "http://192.0.2.22:8080", TFTP: netip.MustParseAddr("192.0.2.22")}
	opts := options(records)
	opts.Site, opts.Peers = there, func() []string { return []string{"http://192.0.2.1:8080"} }
	opts.Renderers = map[boot.Flavor]boot.Renderer{boot.FlavorIPXE: ipxe.Renderer{Site: there}}
	script, err := fs.ReadFile(boot.NewPublisher(opts).Files(), boot.ScriptPath(mac1))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{" http://192.0.2.22:8080/images/k ", " http://192.0.2.22:8080/images/r ",
		" ipa-api-url=http://192.0.2.22:8080,http://192.0.2.1:8080 near=http://192.0.2.1:80801/ " +
			"callback=http://192.0.2.22:8080/v1/x,http://192.0.2.1:8080/v1/x,http://198.51.100.1/y plain=1 "} {
		if !strings.Contains(string(script), want) {
			t.Errorf("the script lacks %q:\n%s", want, script)
		}
	}
	// More hosts than fit: the command line stays one that kernels take.
	cfg.Cmdline = "ipa-api-url=http://192.0.2.1:8080 " + strings.Repeat("x", boot.MaxCmdline-91)
	if err := boot.NewPublisher(options(records)).Publish(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	opts.Peers = func() []string {
		return []string{"http://192.0.2.1:8080", "http://192.0.2.2:8080", "http://192.0.2.3:8080", "http://192.0.2.4:8080"}
	}
	script, err = fs.ReadFile(boot.NewPublisher(opts).Files(), boot.ScriptPath(mac1))
	if err != nil || !strings.Contains(string(script), " ipa-api-url=http://192.0.2.22:8080,http://192.0.2.1:8080,http://192.0.2.2:8080 xxx") {
		t.Errorf("with a long command line: %v\n%s", err, script)
	}
}

// flaky is Records that can be away.
type flaky struct {
	boot.MemoryRecords
	away atomic.Bool
}

func (f *flaky) ByMAC(ctx context.Context, mac string) (boot.Record, error) {
	if f.away.Load() {
		<-ctx.Done()
		return boot.Record{}, ferric.Errorf(ferric.CodeTimeout, "%w", ctx.Err())
	}
	return f.MemoryRecords.ByMAC(ctx, mac)
}

// TestAway takes the records away while machines boot: what was known a moment ago is served, nothing is invented, and what is too old is not served.
func TestAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		records, ctx := &flaky{}, t.Context()
		p := boot.NewPublisher(options(records))
		for mac, node := range map[string]string{mac1: "node-1", mac2: "node-2"} {
			cfg := ramdiskConfig()
			cfg.NodeUUID, cfg.MACs = node, []string{mac}
			if err := records.Put(ctx, cfg); err != nil { // by another host
				t.Fatal(err)
			}
		}
		const stranger = "52:54:00:aa:00:99"
		open := func(mac string) error {
			_, err := fs.ReadFile(p.Files(), boot.PXELinuxPath(mac))
			return err
		}
		if err := open(mac1); err != nil {
			t.Fatal(err)
		}
		if err := open(stranger); !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
		records.away.Store(true)
		began := time.Now()
		if err := open(mac1); err != nil || time.Since(began) > 2*time.Second {
			t.Errorf("what was known: %v after %s", err, time.Since(began))
		}
		if err := open(stranger); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("what was known not to be there: %v", err)
		}
		if err := open(mac2); !boot.Unknown(err) || errors.Is(err, fs.ErrNotExist) {
			t.Errorf("what is not known: %v", err)
		}
		time.Sleep(5 * time.Minute)
		if err := open(mac1); !boot.Unknown(err) {
			t.Errorf("what is too old: %v", err)
		}
		// Somebody waits for what is not known, and the records come back.
		go func() { time.Sleep(3 * time.Second); records.away.Store(false) }()
		for try := 0; ; try++ {
			if err := open(mac2); err == nil {
				break
			} else if try == 3 {
				t.Fatalf("after the records came back: %v", err)
			}
		}
		if err := records.Delete(ctx, "node-1"); err != nil { // by another host
			t.Fatal(err)
		}
		if err := open(mac1); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("what another host took away: %v", err)
		}
		records.away.Store(true)
		if err := open(mac1); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("what is known to be gone: %v", err)
		}
	})
}

// TestManyMachines asks for more machines than are remembered.
func TestManyMachines(t *testing.T) {
	records := &flaky{}
	opts := options(records)
	opts.Quick = time.Millisecond
	p := boot.NewPublisher(opts)
	mac := func(i int) string { return fmt.Sprintf("52:54:00:00:%02x:%02x", i/256, i%256) }
	for i := range 10000 {
		if _, err := p.Lookup(t.Context(), mac(i)); !ferric.IsCode(err, ferric.CodeNotFound) {
			t.Fatal(err)
		}
	}
	records.away.Store(true)
	if _, err := p.Lookup(t.Context(), mac(9999)); !ferric.IsCode(err, ferric.CodeNotFound) {
		t.Errorf("the last machine: %v", err)
	}
	short, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if _, err := p.Lookup(short, mac(0)); !boot.Unknown(err) {
		t.Errorf("the first machine: %v", err)
	}
}

func TestNames(t *testing.T) {
	p := openPublisher()
	if err := p.Publish(t.Context(), ramdiskConfig()); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"", ".", "pxelinux.cfg", "pxelinux.cfg/52-54-00-aa-00-01", "pxelinux.cfg/01-52-54-00-AA-00-01", "grub/52-54-00-aa-00-01",
		"ipxe/52-54-00-aa-00-01", "ipxe/52-54-00-aa-00-01/boot.cfg", "x/ipxe/52-54-00-aa-00-01/boot.ipxe", "ipxe/../ipxe/52-54-00-aa-00-01/boot.ipxe",
		"ipxe/01-00-5e-00-00-01/boot.ipxe", "ipxe/00-00-00-00-00-00/boot.ipxe"} {
		if f, err := p.Files().Open(name); err == nil {
			f.Close()
			t.Errorf("%q is served", name)
		}
	}
}

func TestPublisherConcurrently(t *testing.T) {
	p, ctx := openPublisher(), t.Context()
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
				if got, err := p.Lookup(ctx, cfg.MACs[0]); err != nil || got.NodeUUID != cfg.NodeUUID {
					t.Errorf("Lookup: %+v, %v", got, err)
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
	if got, err := p.List(ctx); err != nil || len(got) != 4 {
		t.Errorf("%d nodes are published, want 4: %v", len(got), err)
	}
}
