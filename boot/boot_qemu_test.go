package boot_test

import (
	"strings"
	"testing"
	"time"

	"ferric/boot"
	"ferric/boot/dhcp"
)

// TestQEMURamdisk boots a real kernel in a virtual machine, through DHCP, TFTP and HTTP, with each flavor of loader on
// each kind of firmware.
func TestQEMURamdisk(t *testing.T) {
	needQEMU(t)
	tests := map[string]struct {
		flavor boot.Flavor
		qemu   qemuOptions
	}{
		"bios pxe":             {boot.FlavorPXE, qemuOptions{}},
		"bios ipxe rom":        {boot.FlavorIPXE, qemuOptions{}},
		"uefi pxe":             {boot.FlavorPXE, qemuOptions{uefi: true, noROM: true}},
		"uefi pxe by ipxe rom": {boot.FlavorPXE, qemuOptions{uefi: true}},
		"uefi ipxe rom":        {boot.FlavorIPXE, qemuOptions{uefi: true}},
		"uefi ipxe chained":    {boot.FlavorIPXE, qemuOptions{uefi: true, noROM: true}},
	}
	kernel, initrd := kernel(t), initramfs(t)
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s := newStack(t, stackOptions{port: 8080, ra: true, machine: func() dhcp.Machine {
				return dhcp.Machine{NodeUUID: nodeUUID, Boot: tt.flavor}
			}})
			s.add(t, "images", "kernel", kernel)
			s.add(t, "images", "initrd", initrd)
			cfg := boot.Config{NodeUUID: nodeUUID, MACs: []string{nodeMAC}, Flavor: tt.flavor, Mode: boot.ModeRamdisk,
				Kernel: "images/kernel", Initrd: "images/initrd", Cmdline: "console=ttyS0 ferric.test=one,two;three&four quiet"}
			if err := s.pub.Publish(t.Context(), cfg); err != nil {
				t.Fatal(err)
			}
			console := s.start(t, tt.qemu, "FERRIC-INIT", 3*time.Minute)
			t.Logf("timeline:\n%s", s.tl)
			for _, want := range []string{"ferric.test=one,two;three&four", "BOOTIF=01-52-54-00-77-00-01"} {
				if !strings.Contains(console, want) {
					t.Errorf("the kernel's command line lacks %q:\n%s", want, console)
				}
			}
		})
	}
}
