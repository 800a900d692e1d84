package modules_test

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ferric/agent/modules"
)

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// machine is a sysfs with a PCI NIC behind a bus whose driver must be loaded first.
func machine(t *testing.T) (dir string, l *modules.Loader, loaded *[]string) {
	t.Helper()
	dir = t.TempDir()
	write(t, dir+"/lib/6.1/modules.dep", "k/virtio.ko:\nk/virtio_ring.ko: k/virtio.ko\nk/virtio_pci.ko: k/virtio_ring.ko k/virtio.ko\n"+
		"k/virtio-net.ko: k/failover.ko k/virtio_ring.ko k/virtio.ko\nk/failover.ko:\nk/e1000e.ko.xz:\nk/broken.ko:\n")
	write(t, dir+"/lib/6.1/modules.alias", "# comment\nalias pci:v00001AF4d*sv*sd*bc*sc*i* virtio_pci\nalias virtio:d00000001v* virtio_net\n"+
		"alias pci:v00008086d000010D3sv*sd*bc*sc*i* e1000e\nalias cpu:type:x86* broken\nalias fs-ext4 ext4\n")
	write(t, dir+"/sys/devices/pci0/0000:00:03.0/modalias", "pci:v00001AF4d00001000sv00001AF4sd00000001bc02sc00i00\n")
	write(t, dir+"/sys/devices/cpu/modalias", "cpu:type:x86,ven0000")
	l, err := modules.Open(slog.New(slog.DiscardHandler), dir+"/lib", "6.1", dir+"/sys")
	if err != nil {
		t.Fatal(err)
	}
	loaded = new([]string)
	l.WithInsert(func(file, _ string) error {
		name := modules.Name(file)
		if name == "broken" {
			return errors.New("no such device")
		}
		*loaded = append(*loaded, name)
		if name == "virtio_pci" { // its device shows up now
			write(t, dir+"/sys/devices/pci0/0000:00:03.0/virtio0/modalias", "virtio:d00000001v00001AF4\n")
		}
		return nil
	})
	return dir, l, loaded
}

func TestAutoload(t *testing.T) {
	_, l, loaded := machine(t)
	if n := l.Autoload(); n != 5 {
		t.Errorf("%d modules", n)
	}
	want := []string{"virtio", "virtio_ring", "virtio_pci", "failover", "virtio_net"}
	if diff := cmp.Diff(want, *loaded); diff != "" {
		t.Error(diff)
	}
	if n := l.Autoload(); n != 0 {
		t.Errorf("%d modules at the second run", n)
	}
}

func TestLoadByName(t *testing.T) {
	_, l, loaded := machine(t)
	if n := l.Load("e1000e", "virtio-net", "virtio_net", "unknown"); n != 5 {
		t.Errorf("%d modules", n)
	}
	want := []string{"e1000e", "virtio", "virtio_ring", "failover", "virtio_net"}
	if diff := cmp.Diff(want, *loaded); diff != "" {
		t.Error(diff)
	}
}

func TestNoModules(t *testing.T) {
	l, err := modules.Open(slog.New(slog.DiscardHandler), t.TempDir(), "6.1", t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if n := l.Autoload() + l.Load("x"); n != 0 {
		t.Errorf("%d modules out of nothing", n)
	}
}

func FuzzOpen(f *testing.F) {
	f.Add("a.ko: b.ko\nb.ko:\n", "alias pci:* a\n", "pci:x")
	f.Add("a.ko: a.ko\n", "alias [ a\n", "[")
	f.Fuzz(func(t *testing.T, dep, alias, device string) {
		dir := t.TempDir()
		write(t, dir+"/6/modules.dep", dep)
		write(t, dir+"/6/modules.alias", alias)
		write(t, dir+"/sys/devices/x/modalias", device)
		l, err := modules.Open(slog.New(slog.DiscardHandler), dir, "6", dir+"/sys")
		if err != nil {
			if !strings.Contains(err.Error(), "too long") {
				t.Fatal(err)
			}
			return
		}
		l.WithInsert(func(string, string) error { return nil }).Autoload()
	})
}
