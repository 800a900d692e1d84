package lab_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	diskfs "github.com/diskfs/go-diskfs"
	"github.com/diskfs/go-diskfs/disk"
	"github.com/diskfs/go-diskfs/filesystem"
	"github.com/diskfs/go-diskfs/filesystem/iso9660"
	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv4/server4"
	"golang.org/x/crypto/ssh"

	"ferric/lab"
	"ferric/lab/userimage"
)

// patience bounds everything that a machine does: minutes under emulation on a busy host.
const patience = 15 * time.Minute

// TestMain lets the test's own program be what a lab calls: "chassis-control", "bmc", "consoles", and a DHCP server.
func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == "lab-helper" {
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
		defer stop()
		if err := helper(ctx, os.Args[2], os.Args[3:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

func helper(ctx context.Context, verb string, args []string) error {
	if verb == "dhcp" {
		return serveDHCP(ctx)
	}
	options := map[string]string{}
	for len(args) > 1 && strings.HasPrefix(args[0], "--") {
		options[args[0]], args = args[1], args[2:]
	}
	l, err := lab.Open(options["--name"], options["--dir"])
	if err != nil {
		return err
	}
	if verb == "consoles" {
		return l.ServeConsoles(ctx)
	}
	m, err := l.Machine(args[0])
	if err != nil {
		return err
	}
	if verb == "bmc" {
		return m.ServeBMC(ctx, slog.New(slog.NewTextHandler(os.Stderr, nil)))
	}
	return m.ChassisControl(ctx, args[1:], os.Stdout)
}

// serveDHCP gives each machine of a lab the address 10.77.0.100 + its number, and says who asks.
func serveDHCP(ctx context.Context) error {
	gateway := net.IPv4(10, 77, 0, 1)
	handler := func(conn net.PacketConn, peer net.Addr, request *dhcpv4.DHCPv4) {
		fmt.Printf("%s %s %s\n", request.MessageType(), request.ClientHWAddr, request.ClassIdentifier())
		kind := dhcpv4.MessageTypeOffer
		if request.MessageType() == dhcpv4.MessageTypeRequest {
			kind = dhcpv4.MessageTypeAck
		}
		reply, err := dhcpv4.NewReplyFromRequest(request, dhcpv4.WithMessageType(kind), dhcpv4.WithServerIP(gateway),
			dhcpv4.WithYourIP(net.IPv4(10, 77, 0, 100+request.ClientHWAddr[5])), dhcpv4.WithNetmask(net.CIDRMask(24, 32)),
			dhcpv4.WithRouter(gateway), dhcpv4.WithDNS(gateway), dhcpv4.WithLeaseTime(3600), dhcpv4.WithOption(dhcpv4.OptServerIdentifier(gateway)))
		if err == nil {
			_, err = conn.WriteTo(reply.ToBytes(), &net.UDPAddr{IP: net.IPv4bcast, Port: 68})
		}
		if err != nil {
			fmt.Println(err)
		}
	}
	server, err := server4.NewServer("br0", &net.UDPAddr{IP: net.IPv4zero, Port: 67}, handler)
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { server.Close() })()
	if err := server.Serve(); ctx.Err() == nil {
		return err
	}
	return nil
}

// bench is a lab for a test, with a DHCP server.
type bench struct {
	*testing.T
	lab  *lab.Lab
	dhcp *log
	key  string // file of the SSH key
	pub  string // its public part
}

// log is what a process says.
type log struct{ path string }

func (l *log) text() string {
	data, _ := os.ReadFile(l.path)
	return string(data)
}

// newBench sets a lab up and takes it down at the end of the test, and fails if something is left.
func newBench(t *testing.T, spec lab.Spec) *bench {
	t.Helper()
	if os.Getenv("FERRIC_QEMU") == "" {
		t.Skip("SKIPPED: real virtual machines are not tested without FERRIC_QEMU=1 (needs root and the packages of lab/packages.txt)")
	}
	dir, err := os.MkdirTemp("", "ferric-lab")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	spec.Name = fmt.Sprintf("ferric-lab-%d-%s", os.Getpid(), strings.ToLower(spec.BMC[:2]))
	spec.Dir = filepath.Join(dir, "lab")
	spec.Self = []string{self, "lab-helper"}
	l, err := lab.Up(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{T: t, lab: l, dhcp: &log{filepath.Join(dir, "dhcp.log")}, key: filepath.Join(dir, "key")}
	t.Cleanup(func() { b.down(spec) })
	b.makeKey()

	out, err := os.Create(b.dhcp.path)
	if err != nil {
		t.Fatal(err)
	}
	cmd := l.Command(context.Background(), self, "lab-helper", "dhcp")
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM)
		cmd.Wait()
		out.Close()
	})
	return b
}

// down takes the lab down and looks for what it has left.
func (b *bench) down(spec lab.Spec) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if b.Failed() {
		for _, m := range b.lab.Machines() {
			console, _ := os.ReadFile(m.Log())
			b.Logf("end of the console of %s:\n%s", m.Name, console[max(0, len(console)-3000):])
		}
		b.Logf("DHCP:\n%s", b.dhcp.text())
	}
	strangers, err := b.lab.Down(ctx)
	if err != nil {
		b.Errorf("down: %v", err)
	}
	if len(strangers) > 0 {
		b.Errorf("still in the namespace: %+v", strangers)
	}
	if _, err := os.Stat(spec.Dir); !os.IsNotExist(err) {
		b.Errorf("the lab's directory is still there: %v", err)
	}
	if _, err := os.Stat("/run/netns/" + spec.Name); !os.IsNotExist(err) {
		b.Errorf("the namespace is still there: %v", err)
	}
	names, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		b.Fatal(err)
	}
	for _, name := range names {
		if args, err := os.ReadFile(name); err == nil && bytes.Contains(args, []byte(spec.Dir)) {
			b.Errorf("still running: %s", bytes.ReplaceAll(args, []byte{0}, []byte{' '}))
		}
	}
}

func (b *bench) makeKey() {
	b.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(private, "")
	if err != nil {
		b.Fatal(err)
	}
	if err := os.WriteFile(b.key, pem.EncodeToMemory(block), 0o600); err != nil {
		b.Fatal(err)
	}
	line, err := ssh.NewPublicKey(public)
	if err != nil {
		b.Fatal(err)
	}
	b.pub = strings.TrimSpace(string(ssh.MarshalAuthorizedKey(line)))
}

// machine returns machine number i, from 1.
func (b *bench) machine(i int) *lab.Machine {
	b.Helper()
	m, err := b.lab.Machine(fmt.Sprintf("node-%d", i))
	if err != nil {
		b.Fatal(err)
	}
	return m
}

// ipmi runs ipmitool, the proof that the BMC is one.
func (b *bench) ipmi(m *lab.Machine, suite string, args ...string) string {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.Context(), 2*time.Minute)
	defer cancel()
	base := []string{"ipmitool", "-I", "lanplus", "-C", suite, "-H", m.BMC.Address, "-U", m.BMC.User, "-P", m.BMC.Password}
	out, err := b.lab.Command(ctx, append(base, args...)...).CombinedOutput()
	if err != nil {
		b.Fatalf("ipmitool %v: %v: %s", args, err, out)
	}
	return string(out)
}

// expectPower waits until the BMC says "on" or "off".
func (b *bench) expectPower(m *lab.Machine, suite, want string) {
	b.Helper()
	b.wait("power "+want, func() bool { return strings.Contains(b.ipmi(m, suite, "power", "status"), "is "+want) })
}

// wait waits until f is true.
func (b *bench) wait(what string, f func() bool) {
	b.Helper()
	start := time.Now()
	for !f() {
		if time.Since(start) > patience {
			b.Fatalf("no %s after %v", what, patience)
		}
		time.Sleep(200 * time.Millisecond)
	}
	load, _ := os.ReadFile("/proc/loadavg")
	b.Logf("%s after %.1f s (load %.4s)", what, time.Since(start).Seconds(), load)
}

// console waits until the machine has said something on its console after offset.
func (b *bench) console(m *lab.Machine, offset int64, text string) {
	b.Helper()
	b.wait(fmt.Sprintf("%s: %q", m.Name, text), func() bool {
		data, err := os.ReadFile(m.Log())
		return err == nil && int64(len(data)) > offset && bytes.Contains(data[offset:], []byte(text))
	})
}

// said is how much the machine has written to its console.
func (b *bench) said(m *lab.Machine) int64 {
	info, err := os.Stat(m.Log())
	if err != nil {
		return 0
	}
	return info.Size()
}

// ssh runs a command on a machine as root, from the namespace.
func (b *bench) ssh(i int, command string) string {
	b.Helper()
	var out []byte
	b.wait("answer by SSH", func() bool {
		ctx, cancel := context.WithTimeout(b.Context(), 2*time.Minute)
		defer cancel()
		cmd := b.lab.Command(ctx, "ssh", "-i", b.key, "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "BatchMode=yes",
			"-o", "ConnectTimeout=60", "-o", "IdentitiesOnly=yes", "-o", "LogLevel=ERROR", fmt.Sprintf("root@10.77.0.%d", 100+i), command)
		var err error
		out, err = cmd.CombinedOutput()
		return err == nil
	})
	return strings.TrimSpace(string(out))
}

// deploy does to a machine's disk what a deploy agent does: image, partition table to the end, config drive.
func (b *bench) deploy(m *lab.Machine, image userimage.Image, hostname, userData string) {
	b.Helper()
	drive := b.configDrive(hostname, userData)
	target := m.Disk(0)
	for _, command := range []string{
		"cp --sparse=always '" + image.Raw + "' '" + target + "'",
		fmt.Sprintf("truncate -s %d '%s'", m.Disks[0].Size, target),
		"sgdisk -e -n4:-64M:0 -t4:8300 -c4:config-2 '" + target + "'",
		"dd conv=notrunc bs=512 status=none if='" + drive + "' of='" + target + "' seek=$(sgdisk -i4 '" + target + "' | awk '/First sector/ { print $3 }')",
	} {
		if out, err := exec.CommandContext(b.Context(), "sh", "-c", command).CombinedOutput(); err != nil {
			b.Fatalf("%s: %v: %s", command, err, out)
		}
	}
}

// configDrive makes the ISO 9660 image that Ferric makes, too: Rock Ridge, label config-2.
func (b *bench) configDrive(hostname, userData string) string {
	b.Helper()
	path := filepath.Join(b.TempDir(), "config.iso")
	d, err := diskfs.Create(path, 4<<20, diskfs.SectorSizeDefault)
	if err != nil {
		b.Fatal(err)
	}
	d.LogicalBlocksize = 2048
	fs, err := d.CreateFilesystem(disk.FilesystemSpec{Partition: 0, FSType: filesystem.TypeISO9660, VolumeLabel: "config-2"})
	if err != nil {
		b.Fatal(err)
	}
	for _, dir := range []string{"openstack", "openstack/latest"} {
		if err := fs.Mkdir(dir); err != nil {
			b.Fatal(err)
		}
	}
	write := func(name, text string) {
		b.Helper()
		file, err := fs.OpenFile(name, os.O_CREATE|os.O_RDWR)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := io.WriteString(file, text); err != nil {
			b.Fatal(err)
		}
		if err := file.Close(); err != nil {
			b.Fatal(err)
		}
	}
	write("openstack/latest/meta_data.json", fmt.Sprintf(`{"uuid": "1-2-3", "hostname": %q, "public_keys": {"test": %q}}`, hostname, b.pub))
	if userData != "" {
		write("openstack/latest/user_data", userData)
	}
	iso, ok := fs.(*iso9660.FileSystem)
	if !ok {
		b.Fatal("no ISO 9660 file system")
	}
	if err := iso.Finalize(iso9660.FinalizeOptions{RockRidge: true, Joliet: true, VolumeIdentifier: "config-2"}); err != nil {
		b.Fatal(err)
	}
	if err := d.Close(); err != nil {
		b.Fatal(err)
	}
	return path
}
