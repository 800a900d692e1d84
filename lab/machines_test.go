package lab_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"ferric"
	"ferric/lab"
	"ferric/lab/userimage"
)

func buildImage(t *testing.T, recipe userimage.Recipe) userimage.Image {
	t.Helper()
	if os.Getenv("FERRIC_QEMU") == "" {
		return userimage.Image{}
	}
	image, err := userimage.Build(t.Context(), recipe, userimage.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return image
}

// TestIPMISim goes with ipmitool through what a deploy does: boot from the network, then from the disk.
func TestIPMISim(t *testing.T) {
	image := buildImage(t, userimage.Recipe{Variant: userimage.Tiny})
	b := newBench(t, lab.Spec{Nodes: 2, Firmware: "mixed", BMC: lab.IPMISim, Memory: 512, Disks: []lab.Disk{{Size: 1 << 30}}})
	for i := 1; i <= 2; i++ {
		m := b.machine(i)
		t.Run(m.Firmware, func(t *testing.T) {
			b := &bench{T: t, lab: b.lab, dhcp: b.dhcp, key: b.key, pub: b.pub}
			b.expectPower(m, "3", "off")
			if guid := b.ipmi(m, "3", "mc", "guid"); !strings.Contains(guid, m.UUID) {
				t.Errorf("the BMC's GUID is not the machine's UUID %s: %s", m.UUID, guid)
			}
			if sensors := b.ipmi(m, "3", "sdr", "list"); !strings.Contains(sensors, "CPU Temp") {
				t.Errorf("sensors: %s", sensors)
			}
			// Without an image, so that what asks for an address is the network card's ROM.
			b.ipmi(m, "3", "chassis", "bootdev", "pxe")
			b.ipmi(m, "3", "power", "on")
			b.wait("DHCP by the firmware", func() bool { return strings.Contains(b.dhcp.text(), m.NICs[0].MAC+" PXEClient") })
			if boot := m.Boot(); boot.Device != "none" {
				t.Errorf("the override for the next boot is still there: %+v", boot)
			}
			if err := m.Screenshot(t.Context(), filepath.Join(t.TempDir(), "screen.png")); err != nil {
				t.Error(err)
			}
			b.ipmi(m, "3", "power", "off")
			b.expectPower(m, "3", "off")

			b.deploy(m, image, "metal-"+m.Firmware, "#!/bin/sh\necho user data ran >/dev/console\n")
			said := b.said(m)
			b.ipmi(m, "3", "chassis", "bootdev", "disk", "options=persistent")
			b.ipmi(m, "3", "power", "on")
			b.console(m, said, "metal-"+m.Firmware+" login: ")
			b.console(m, said, "user data ran")
			if got, want := b.ssh(i, "hostname"), "metal-"+m.Firmware; got != want {
				t.Errorf("hostname is %q, want %q", got, want)
			}
			if got := b.ssh(i, "ls /sys/firmware"); strings.Contains(got, "efi") != (m.Firmware == lab.UEFI) {
				t.Errorf("firmware %s, but /sys/firmware has %q", m.Firmware, got)
			}

			said = b.said(m)
			b.ipmi(m, "3", "power", "reset")
			b.console(m, said, "login: ")
			b.ipmi(m, "3", "power", "soft")
			b.expectPower(m, "3", "off")
			if err := m.Reset(t.Context()); !ferric.IsCode(err, ferric.CodeConflict) {
				t.Errorf("reset of a machine that is off: %v, want CodeConflict", err)
			}
		})
	}
}

// TestGoBMC does the same with the BMC of lab/bmc: cipher suite 17 and boot flags. Here with disks of other kinds.
func TestGoBMC(t *testing.T) {
	image := buildImage(t, userimage.Recipe{Variant: userimage.Tiny})
	b := newBench(t, lab.Spec{Nodes: 1, Firmware: lab.UEFI, BMC: lab.GoBMC, Memory: 512, CDROM: true,
		Disks: []lab.Disk{{Size: 1 << 30, Bus: lab.NVMe}, {Size: 1 << 30, Bus: lab.SCSI}}})
	m := b.machine(1)
	b.deploy(m, image, "go-bmc", "")
	b.ipmi(m, "17", "chassis", "bootdev", "disk", "options=persistent,efiboot")
	b.ipmi(m, "17", "power", "on")
	b.console(m, 0, "go-bmc login: ")
	if boot := m.Boot(); boot != (lab.BootSetting{Device: "disk", Persistent: true}) {
		t.Errorf("boot setting %+v, want disk, persistent", boot)
	}
	if disks := b.ssh(1, "ls /sys/block"); !strings.Contains(disks, "nvme0n1") || !strings.Contains(disks, "sda") {
		t.Errorf("disks: %s", disks)
	}
	iso := b.configDrive("x", "")
	for _, medium := range []string{iso, ""} {
		if err := m.SetMedium(t.Context(), medium); err != nil || m.Medium() != medium {
			t.Errorf("CD %q: %v; it is %q", medium, err, m.Medium())
		}
	}
	if err := m.SetMedium(t.Context(), "/does/not/exist"); !ferric.IsCode(err, ferric.CodeInvalid) {
		t.Errorf("CD that does not exist: %v, want CodeInvalid", err)
	}
	b.ipmi(m, "17", "chassis", "power", "diag")
	// Up again changes nothing, and starts a BMC that has died.
	before := m.Status()
	if err := kill(before.BMCPID); err != nil {
		t.Fatal(err)
	}
	b.wait("BMC gone", func() bool { return m.Status().BMCPID == 0 })
	spec := lab.Spec{Name: b.lab.Name(), Dir: b.lab.Dir(), Nodes: 1, Firmware: lab.UEFI, BMC: lab.GoBMC, Memory: 512, CDROM: true,
		Disks: []lab.Disk{{Size: 1 << 30, Bus: lab.NVMe}, {Size: 1 << 30, Bus: lab.SCSI}}, Self: []string{os.Args[0], "lab-helper"}}
	if _, err := lab.Up(t.Context(), spec); err != nil {
		t.Fatal(err)
	}
	if now := m.Status(); now.PID != before.PID || now.BMCPID == 0 {
		t.Errorf("after another up: machine %d, BMC %d; before: machine %d", now.PID, now.BMCPID, before.PID)
	}
	b.expectPower(m, "17", "on")
	b.ipmi(m, "17", "power", "soft")
	b.expectPower(m, "17", "off")
	// Somebody removes the network namespace: a BMC in the old one would never be reached again.
	if out, err := exec.Command("ip", "netns", "delete", b.lab.Name()).CombinedOutput(); err != nil {
		t.Fatalf("delete the namespace: %v: %s", err, out)
	}
	if _, err := lab.Up(t.Context(), spec); err != nil {
		t.Fatal(err)
	}
	b.expectPower(m, "17", "off")
}

// kill kills a process that the test has looked up in the lab's status.
func kill(pid int) error { return syscall.Kill(pid, syscall.SIGKILL) }

// grown reports whether blocks and block size make more than 3 GiB, of a disk of 4.
func grown(stat string) bool {
	var blocks, size int64
	_, err := fmt.Sscan(stat, &blocks, &size)
	return err == nil && blocks*size > 3<<30
}

// TestDebianImage boots the real image with both firmwares at once.
func TestDebianImage(t *testing.T) {
	image := buildImage(t, userimage.Recipe{})
	b := newBench(t, lab.Spec{Nodes: 2, Firmware: "mixed", BMC: lab.GoBMC})
	for i := 1; i <= 2; i++ {
		m := b.machine(i)
		b.deploy(m, image, "debian-"+m.Firmware+".example.org", "#!/bin/sh\necho user data ran >/dev/console\n")
		b.ipmi(m, "17", "chassis", "bootdev", "disk", "options=persistent")
		b.ipmi(m, "17", "power", "on")
	}
	for i := 1; i <= 2; i++ {
		m := b.machine(i)
		b.console(m, 0, "debian-"+m.Firmware+" login: ")
		b.console(m, 0, "user data ran")
		for command, want := range map[string]string{
			"hostname -f":                  "debian-" + m.Firmware + ".example.org",
			"cat /etc/os-release":          `VERSION_CODENAME=bookworm`,
			"cat /etc/resolv.conf":         "nameserver 10.77.0.1",
			"su - debian -c 'sudo id -un'": "root",
			"while ! [ -e /var/lib/ferric/grown ]; do sleep 1; done; echo grown": "grown",
			"systemctl is-system-running --wait":                                 "running",
		} {
			got := b.ssh(i, command)
			if !strings.Contains(got, want) {
				t.Errorf("%s: %s: %q, want %q in it", m.Name, command, got, want)
			}
		}
		if size := b.ssh(i, "stat -f -c '%b %S' /"); !grown(size) {
			t.Errorf("%s: the root file system has not grown: %s", m.Name, size)
		}
		b.ipmi(m, "17", "power", "soft")
		b.expectPower(m, "17", "off")
	}
}
