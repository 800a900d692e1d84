package boot_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"ferric"
	"ferric/boot"
	"ferric/boot/dhcp"
	"ferric/boot/http"
	"ferric/boot/internal/netlab"
	"ferric/boot/ipxe"
	"ferric/boot/pxe"
	"ferric/boot/ra"
	"ferric/boot/tftp"
)

var nsNumber atomic.Int64

// timeline records what happens while a machine boots, with seconds since power-on.
type timeline struct {
	mu    sync.Mutex
	start time.Time
	lines []string
}

func (tl *timeline) add(format string, args ...any) {
	tl.mu.Lock()
	defer tl.mu.Unlock()
	tl.lines = append(tl.lines, fmt.Sprintf("%7.2fs %s", time.Since(tl.start).Seconds(), fmt.Sprintf(format, args...)))
}

func (tl *timeline) String() string {
	tl.mu.Lock()
	defer tl.mu.Unlock()
	return strings.Join(tl.lines, "\n")
}

// Write takes a line of the services' log.
func (tl *timeline) Write(p []byte) (int, error) {
	tl.add("%s", strings.TrimSpace(string(p)))
	return len(p), nil
}

// directory knows one machine, or none if the function is nil.
type directory func() dhcp.Machine

func (d directory) Lookup(_ context.Context, mac string) (dhcp.Machine, error) {
	if d == nil || mac != nodeMAC {
		return dhcp.Machine{}, ferric.Errorf(ferric.CodeNotFound, "no machine has MAC address %s", mac)
	}
	return d(), nil
}

// stack is a provisioning network with all services, and a tap device for one machine.
type stack struct {
	net  *netlab.Net
	pub  *boot.Publisher
	site boot.Site
	tl   *timeline
	dir  string
}

const (
	nodeUUID = "0b6f3a0e-5d6b-4a0e-9c1e-000000000001"
	nodeMAC  = "52:54:00:77:00:01"
	qemuEnv  = "FERRIC_QEMU"
)

type stackOptions struct {
	noRA    bool                // no router advertisements
	machine directory           // what DHCP is told about the machine
	dhcp    func(*dhcp.Options) // changes the options of DHCP
	proxy   bool                // proxyDHCP, beside a DHCP server on another host
}

func newStack(t *testing.T, o stackOptions) *stack {
	t.Helper()
	s := &stack{net: netlab.New(t, &nsNumber), tl: &timeline{start: time.Now()}, dir: t.TempDir()}
	s.net.Bridge("br0", "10.77.0.1/24")
	s.net.Tap("tap0", "br0")
	addr := netip.MustParseAddr("10.77.0.1")
	s.site = boot.Site{HTTP: "http://10.77.0.1:8080", TFTP: addr}
	loaders := filepath.Join(s.dir, "loaders")
	if _, err := boot.Collect(t.Context(), loaders, "", boot.DefaultAssets()); err != nil {
		t.Skipf("SKIPPED: %v", err)
	}
	if o.proxy {
		if err := boot.BuildGRUB(t.Context(), loaders, s.site); err != nil {
			t.Skipf("SKIPPED: %v", err)
		}
	}
	pub := boot.NewPublisher(boot.PublisherOptions{Records: &boot.MemoryRecords{}, Site: s.site, Renderers: map[boot.Flavor]boot.Renderer{
		boot.FlavorPXE: pxe.Renderer{Site: s.site}, boot.FlavorIPXE: ipxe.Renderer{Site: s.site},
	}})
	s.pub = pub

	files := boot.Tree{pub.Files(), os.DirFS(loaders), os.DirFS(filepath.Join(s.dir, "extra"))}
	log := slog.New(slog.NewTextHandler(s.tl, &slog.HandlerOptions{Level: slog.LevelDebug, ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey || a.Key == slog.LevelKey {
			return slog.Attr{}
		}
		return a
	}}))
	opts := dhcp.Options{
		Interface: "br0", Site: s.site, Proxy: o.proxy,
		Networks: []dhcp.Network{{Prefix: netip.MustParsePrefix("10.77.0.0/24"), First: netip.MustParseAddr("10.77.0.100"), Last: netip.MustParseAddr("10.77.0.199")}},
	}
	other := opts
	if o.dhcp != nil {
		o.dhcp(&opts)
	}
	cache := images(filepath.Join(s.dir, "images"))
	run := runner(t)
	run(s.net, dhcp.NewServer(opts, o.machine, &dhcp.MemoryLeases{}, log, nil))
	run(s.net, tftp.NewServer(tftp.Options{Address: netip.AddrPortFrom(addr, 0)}, append(files, boot.ImageFS(cache)), log, nil))
	run(s.net, http.NewServer(http.Options{Address: netip.AddrPortFrom(addr, 8080)}, files, cache, log, nil))
	if !o.noRA {
		run(s.net, ra.NewSender(ra.Options{Interface: "br0"}, log))
	}
	if o.proxy {
		host := netlab.New(t, &nsNumber)
		host.Connect("eth0", s.net, "host0")
		s.net.IP("link", "set", "host0", "master", "br0")
		host.IP("addr", "add", "10.77.0.2/24", "dev", "eth0")
		other.Interface, other.Proxy = "eth0", false
		run(host, dhcp.NewServer(other, directory(func() dhcp.Machine { return dhcp.Machine{NodeUUID: nodeUUID} }), &dhcp.MemoryLeases{}, log.With("host", "other"), nil))
	}
	return s
}

// runner returns a function that runs a service in a namespace until the end of the test.
func runner(t *testing.T) func(*netlab.Net, service) {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	t.Cleanup(func() { cancel(); wg.Wait() })
	return func(net *netlab.Net, svc service) {
		t.Helper()
		var err error
		net.Do(func() { err = svc.Listen(ctx) })
		if err != nil {
			t.Fatal(err)
		}
		wg.Go(func() {
			net.Do(func() { // TFTP opens a port per transfer
				if err := svc.Serve(ctx); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// service is what all servers have in common.
type service interface {
	Listen(context.Context) error
	Serve(context.Context) error
}

// images is an image cache: a directory whose file names are the ids.
type images string

func (dir images) OpenImage(_ context.Context, id string) (boot.Image, error) {
	f, err := os.Open(filepath.Join(string(dir), filepath.Base(id)))
	if err != nil {
		return boot.Image{}, ferric.Errorf(ferric.CodeNotFound, "open image: %w", err)
	}
	return boot.Image{Content: f, ETag: id}, nil
}

// add puts a link to a file into the folder images or extra.
func (s *stack) add(t *testing.T, folder, name string, src string) {
	t.Helper()
	dst := filepath.Join(s.dir, folder, name)
	if err := os.MkdirAll(filepath.Dir(dst), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(src, dst); err != nil {
		t.Fatal(err)
	}
}

// qemuOptions say what machine is started.
type qemuOptions struct {
	uefi   bool
	noROM  bool     // no iPXE in the network card
	secure bool     // Secure Boot with Microsoft's keys; uefi and noROM go with it
	extra  []string // more arguments
}

// Limits of time are generous: on a busy host without KVM GRUB's "sleep 5" was seen to take 50 s.

// start powers a machine on and waits until its serial console says want, or until it restarts or goes off if want is
// empty; it returns the console's text.
func (s *stack) start(t *testing.T, o qemuOptions, want string, limit time.Duration) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	serial := filepath.Join(s.dir, "serial.log")
	os.Remove(serial)
	nic := "virtio-net-pci,netdev=n0,mac=" + nodeMAC + ",bootindex=1"
	if o.noROM {
		nic += ",romfile="
	}
	args := []string{"qemu-system-x86_64", "-machine", "q35", "-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "1", "-m", "512",
		"-nodefaults", "-display", "none", "-vga", "std", "-no-reboot",
		"-netdev", "tap,id=n0,ifname=tap0,script=no,downscript=no", "-device", nic,
		"-serial", "file:" + serial}
	if o.uefi {
		vars := filepath.Join(s.dir, "vars.fd")
		code, blank := "/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd"
		if o.secure {
			code, blank = "/usr/share/OVMF/OVMF_CODE_4M.secboot.fd", "/usr/share/OVMF/OVMF_VARS_4M.ms.fd"
			args = append(args, "-machine", "smm=on", "-global", "driver=cfi.pflash01,property=secure,value=on", "-global", "ICH9-LPC.disable_s3=1")
		}
		data, err := os.ReadFile(blank)
		if err != nil {
			t.Skipf("SKIPPED: UEFI firmware is missing (%v); install the package ovmf", err)
		}
		if err := os.WriteFile(vars, data, 0o644); err != nil {
			t.Fatal(err)
		}
		args = append(args, "-drive", "if=pflash,format=raw,unit=0,readonly=on,file="+code,
			"-drive", "if=pflash,format=raw,unit=1,file="+vars)
	}
	cmd := s.net.Command(ctx, append(args, o.extra...)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} // also if this process is killed
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	s.tl.mu.Lock()
	s.tl.start = time.Now()
	s.tl.mu.Unlock()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	exited := make(chan struct{})
	go func() { cmd.Wait(); close(exited) }()
	defer func() { cancel(); <-exited }()
	marks := []string{"EFI stub", "Linux version", "FERRIC-INIT", localMark}
	for {
		text, _ := os.ReadFile(serial)
		marks = slicesDelete(marks, func(m string) bool {
			if !bytes.Contains(text, []byte(m)) {
				return false
			}
			s.tl.add("serial: %s", m)
			return true
		})
		if want != "" && bytes.Contains(text, []byte(want)) {
			line := text[bytes.Index(text, []byte(want)):]
			if bytes.ContainsAny(line, "\n") || !strings.HasPrefix(want, "FERRIC-INIT") {
				return string(text)
			}
		}
		select {
		case <-exited:
			if text, _ := os.ReadFile(serial); bytes.Contains(text, []byte(want)) && ctx.Err() == nil {
				return string(text)
			}
			t.Fatalf("QEMU ended before the console said %q\nQEMU: %s\ntimeline:\n%s\nconsole:\n%s", want, out.String(), s.tl, text)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func slicesDelete(list []string, del func(string) bool) []string {
	var keep []string
	for _, v := range list {
		if !del(v) {
			keep = append(keep, v)
		}
	}
	return keep
}

// needQEMU skips the test unless it is asked for: the core ones by 1 or all, the others by all.
func needQEMU(t *testing.T, core bool) {
	t.Helper()
	switch level := os.Getenv(qemuEnv); {
	case level == "all" || level == "1" && core:
	case core:
		t.Skipf("SKIPPED: boots a virtual machine for up to a minute; set %s=1 to run the most important of these tests, %s=all to run all", qemuEnv, qemuEnv)
	default:
		t.Skipf("SKIPPED: boots a virtual machine for up to a minute; set %s=all to run it", qemuEnv)
	}
	if _, err := exec.LookPath("qemu-system-x86_64"); err != nil {
		t.Skip("SKIPPED: QEMU is missing; install the package qemu-system-x86")
	}
}

// cacheDir is where what tests download or build is kept.
func cacheDir(t *testing.T) string {
	t.Helper()
	dir := os.Getenv("FERRIC_CACHE")
	if dir == "" {
		base, err := os.UserCacheDir()
		if err != nil {
			t.Fatal(err)
		}
		dir = filepath.Join(base, "ferric")
	}
	dir = filepath.Join(dir, "boot-test")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// kernel returns Debian's cloud kernel, downloaded by apt the first time.
func kernel(t *testing.T) string {
	t.Helper()
	dir := cacheDir(t)
	find := func() string {
		names, _ := filepath.Glob(filepath.Join(dir, "boot", "vmlinuz-*-cloud-amd64"))
		if len(names) == 0 {
			return ""
		}
		return names[len(names)-1]
	}
	if k := find(); k != "" {
		return k
	}
	script := `set -e
name=$(apt-cache depends linux-image-cloud-amd64 | sed -n 's/^ *Depends: \(linux-image-[0-9].*-cloud-amd64\).*/\1/p' | head -n 1)
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
cd "$tmp"
apt-get download "$name"
dpkg-deb -x ./*.deb .
mkdir -p "$1/boot"
cp boot/vmlinuz-* "$1/boot/"`
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, "sh", "-c", script, "sh", dir).CombinedOutput()
	if k := find(); err == nil && k != "" {
		return k
	}
	t.Skipf("SKIPPED: Debian's kernel could not be downloaded: %v\n%s", err, out)
	return ""
}

// initramfs builds testdata/init into an initramfs.
func initramfs(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	bin := filepath.Join(dir, "init")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-ldflags=-s -w", "-o", bin, "./testdata/init")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build init: %v\n%s", err, out)
	}
	data, err := os.ReadFile(bin)
	if err != nil {
		t.Fatal(err)
	}
	var buf bytes.Buffer
	zw := gzip.NewWriter(&buf)
	cpio(zw, 1, "dev", 0o040755, 0, 0, nil)
	cpio(zw, 2, "dev/console", 0o020600, 5, 1, nil)
	cpio(zw, 3, "init", 0o100755, 0, 0, data)
	cpio(zw, 0, "TRAILER!!!", 0, 0, 0, nil)
	if err := zw.Close(); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(dir, "initrd.gz")
	if err := os.WriteFile(name, buf.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	return name
}

// cpio writes one entry of a newc archive.
func cpio(w io.Writer, ino int, name string, mode, major, minor int, data []byte) {
	head := fmt.Sprintf("070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x", ino, mode, 0, 0, 1, 0, len(data), 0, 0, major, minor, len(name)+1, 0)
	entry := head + name + "\x00"
	io.WriteString(w, entry+strings.Repeat("\x00", -len(entry)&3))
	w.Write(data)
	io.WriteString(w, strings.Repeat("\x00", -len(data)&3))
}
