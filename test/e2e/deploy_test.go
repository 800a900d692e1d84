package e2e

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"ferric/lab"
)

// How long things may take on a busy machine without KVM.
const (
	bootTime   = 6 * time.Minute // a ramdisk, until its agent has done something
	deployTime = 12 * time.Minute
)

// TestQEMUDeploy takes a BIOS and a UEFI machine from nothing to a login and back, each booting its ramdisk once by "pxe" and once by "ipxe". During the BIOS
// machine's deploy Ferric is killed with kill -9 in every step and in the middle of the image; the UEFI machine loses its power in the middle of its
// image. Once deployed, the BIOS machine is rescued and given back.
func TestQEMUDeploy(t *testing.T) {
	s := newSite(t, lab.Spec{Nodes: 2, Firmware: "mixed", Memory: 1024}, "--rescue-shell", "/bin/busybox")
	key, public := s.sshKey()
	machines := s.lab.Machines()
	bios := s.enrol(machines[0], "ipxe", map[string]any{"rescue_interface": "agent"})
	uefi := s.enrol(machines[1], "pxe", nil)
	both := []*node{bios, uefi}

	each(both, func(n *node) { n.verb("manage", nil) })
	each(both, func(n *node) { n.until(time.Minute, "manageable") })
	each(both, func(n *node) { n.verb("inspect", nil) })
	for _, n := range both {
		v := n.until(bootTime, "manageable")
		checkInspected(t, n, v)
	}
	bios.set(map[string]any{"/boot_interface": "pxe"})
	uefi.set(map[string]any{"/boot_interface": "ipxe"})
	for _, n := range both {
		dirty(t, n)
		n.verb("provide", nil)
	}
	for _, n := range both {
		n.until(bootTime, "available")
		checkWiped(t, n)
	}

	seenBIOS, seenUEFI := bios.consoleSize(), uefi.consoleSize()
	for i, n := range both {
		image := []string{s.image.QCOW2, s.image.Raw}[i]
		n.set(map[string]any{"/instance_info/image_source": "file://" + image})
		more := map[string]any{"configdrive": map[string]any{"meta_data": map[string]any{
			"hostname": "deployed-" + n.name, "public_keys": map[string]any{"test": public}}}}
		if n == bios { // so that its disk can be looked at before its system starts
			more["deploy_steps"] = []any{map[string]any{"interface": "deploy", "step": "hold", "priority": 35, "args": map[string]any{}}}
		}
		n.verb("active", more)
	}
	cut := s.cutPower(uefi, seenUEFI)
	s.deployThroughKills(bios, seenBIOS) // the other machine's deploy has to bear them, too
	if err := <-cut; err != nil {
		t.Fatal(err)
	}
	for _, n := range both {
		n.until(deployTime, "active")
	}
	checkPowerCut(t, uefi)
	bios.console(deployTime, `login: `, seenBIOS)
	uefi.console(deployTime, `login: `, seenUEFI)
	for _, n := range both {
		s.checkLogin(n, key)
	}

	uefi.verb("deleted", nil)
	s.rescue(bios)
	bios.verb("deleted", nil)
	for _, n := range both {
		v := n.until(bootTime, "available")
		checkWiped(t, n)
		if v["instance_uuid"] != nil || len(v["instance_info"].(map[string]any)) > 0 {
			t.Errorf("%s keeps what belonged to the instance: %v %v", n.name, v["instance_uuid"], v["instance_info"])
		}
	}
}

// each does something to all nodes.
func each(nodes []*node, do func(*node)) {
	for _, n := range nodes {
		do(n)
	}
}

func checkInspected(t *testing.T, n *node, v map[string]any) {
	t.Helper()
	p := v["properties"].(map[string]any)
	if p["cpu_arch"] != "x86_64" {
		t.Errorf("%s: inspection found cpu_arch %v", n.name, p["cpu_arch"])
	}
	if want := n.m.Firmware; v["boot_mode"] != want && !strings.Contains(toText(p["capabilities"]), "boot_mode:"+want) {
		t.Errorf("%s: inspection found boot mode %v, capabilities %v; want %s", n.name, v["boot_mode"], p["capabilities"], want)
	}
	inv := n.must("GET", "/v1/nodes/"+n.name+"/inventory", nil)["inventory"].(map[string]any)
	disks := inv["disks"].([]any)
	if len(disks) != len(n.m.Disks) {
		t.Errorf("%s: inspection found %d disks, want %d", n.name, len(disks), len(n.m.Disks))
	}
}

func toText(v any) string {
	s, _ := v.(string)
	return s
}

// dirty writes a partition table and a file system onto the machine's disk.
func dirty(t *testing.T, n *node) {
	t.Helper()
	n.run("sgdisk", "-n1:0:0", "-t1:8300", n.m.Disk(0))
	if out, err := exec.Command("sgdisk", "-v", n.m.Disk(0)).CombinedOutput(); err != nil {
		t.Fatalf("sgdisk -v: %v\n%s", err, out)
	}
}

// checkWiped looks for partition tables at both ends of the disk.
func checkWiped(t *testing.T, n *node) {
	t.Helper()
	f, err := os.Open(n.m.Disk(0))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	const part = 64 << 10
	buf := make([]byte, part)
	for _, at := range []int64{0, info.Size() - part} {
		if _, err := f.ReadAt(buf, at); err != nil {
			t.Fatal(err)
		}
		if i := bytes.IndexFunc(buf, func(r rune) bool { return r != 0 }); i >= 0 {
			t.Errorf("%s: the disk is not wiped: byte %d is not zero", n.name, at+int64(i))
		}
	}
}

// sshKey makes a key pair.
func (s *site) sshKey() (private, public string) {
	s.t.Helper()
	private = filepath.Join(s.t.TempDir(), "key")
	s.run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "test", "-f", private)
	b, err := os.ReadFile(private + ".pub")
	if err != nil {
		s.t.Fatal(err)
	}
	return private, strings.TrimSpace(string(b))
}

// checkLogin logs in with the injected key and looks whether host name and system are what they should be.
func (s *site) checkLogin(n *node, key string) {
	s.t.Helper()
	address := ""
	for deadline := time.Now().Add(3 * time.Minute); ; time.Sleep(2 * time.Second) {
		if address = s.addressOf(n); address != "" {
			cmd := s.lab.Command(s.t.Context(), "ssh", "-i", key, "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null",
				"-o", "ConnectTimeout=30", "-o", "BatchMode=yes", "root@"+address, "hostname; cat /etc/os-release")
			out, err := cmd.CombinedOutput()
			if err == nil {
				if want := "deployed-" + n.name; !strings.Contains(string(out), want) || !strings.Contains(string(out), "Debian GNU/Linux 12") {
					s.t.Errorf("%s says:\n%s\nwant host name %s and Debian 12", n.name, out, want)
				}
				return
			}
			if time.Now().After(deadline) {
				s.t.Fatalf("%s: ssh to %s: %v\n%s", n.name, address, err, out)
			}
		} else if time.Now().After(deadline) {
			s.t.Fatalf("%s has no address", n.name)
		}
	}
}

// addressOf finds the address that the machine answers from, by its MAC in the neighbour table of the namespace.
func (s *site) addressOf(n *node) string {
	var pings sync.WaitGroup
	for i := 100; i < 200; i++ { // wake the neighbour table up, for all addresses that the DHCP server gives
		pings.Go(func() {
			s.lab.Command(s.t.Context(), "ping", "-c1", "-W1", fmt.Sprint("10.77.0.", i)).Run()
		})
	}
	pings.Wait()
	out, err := s.lab.Command(s.t.Context(), "ip", "neigh").CombinedOutput()
	if err != nil {
		s.t.Fatalf("ip neigh: %v\n%s", err, out)
	}
	for _, line := range strings.Split(string(out), "\n") {
		f := strings.Fields(line)
		if len(f) > 4 && strings.EqualFold(f[4], n.m.NICs[0].MAC) && !strings.Contains(f[0], ":") {
			return f[0]
		}
	}
	return ""
}
