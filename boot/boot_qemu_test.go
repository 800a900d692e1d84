package boot_test

import (
	"strings"
	"testing"
	"time"

	"ferric/boot"
	"ferric/boot/dhcp"
)

// testCmdline has characters that mean something to loaders. On a busy host without KVM a guest's timer may look broken
// to the kernel, hence no_timer_check.
const testCmdline = "console=ttyS0 ferric.test=one,two;three&four quiet no_timer_check panic=1"

// TestQEMURamdisk boots a real kernel in a virtual machine, through DHCP, TFTP and HTTP, with each flavor of loader on
// each kind of firmware.
func TestQEMURamdisk(t *testing.T) {
	httpOnly := []string{"-fw_cfg", "name=opt/org.tianocore/IPv4PXESupport,string=n", "-fw_cfg", "name=opt/org.tianocore/IPv6PXESupport,string=n"}
	tests := map[string]struct {
		flavor    boot.Flavor
		qemu      qemuOptions
		discovery bool   // nobody knows the machine
		proxy     bool   // beside another DHCP server
		first     string // loader offered until it has been loaded, in place of what follows from the request
		want      string // what the services' log must show
		core      bool
	}{
		"bios pxe":                  {flavor: boot.FlavorPXE, want: "file=lpxelinux.0", core: true},
		"bios pxe discovery":        {flavor: boot.FlavorPXE, discovery: true, want: "file=pxelinux.cfg/default"},
		"bios pxe proxy":            {flavor: boot.FlavorPXE, proxy: true, want: "kind=discover outcome=answered"},
		"bios ipxe rom":             {flavor: boot.FlavorIPXE, want: "path=/ipxe/52-54-00-77-00-01/boot.ipxe", core: true},
		"bios ipxe chained":         {flavor: boot.FlavorIPXE, first: boot.LoaderUndionly, want: "file=undionly.kpxe"},
		"bios ipxe discovery":       {flavor: boot.FlavorIPXE, discovery: true, want: "path=/ipxe/default/boot.ipxe"},
		"bios ipxe proxy":           {flavor: boot.FlavorIPXE, proxy: true, want: "path=/ipxe/52-54-00-77-00-01/boot.ipxe"},
		"uefi pxe":                  {flavor: boot.FlavorPXE, qemu: qemuOptions{uefi: true, noROM: true}, want: "file=shimx64.efi", core: true},
		"uefi pxe secure boot":      {flavor: boot.FlavorPXE, qemu: qemuOptions{uefi: true, noROM: true, secure: true}, want: "file=/images/kernel"},
		"uefi pxe discovery":        {flavor: boot.FlavorPXE, qemu: qemuOptions{uefi: true, noROM: true}, discovery: true, want: "file=/grub/grub.cfg-default"},
		"uefi pxe proxy":            {flavor: boot.FlavorPXE, qemu: qemuOptions{uefi: true, noROM: true}, proxy: true, want: "file=grubsitex64.efi"},
		"uefi pxe by ipxe rom":      {flavor: boot.FlavorPXE, qemu: qemuOptions{uefi: true}, want: "file=grubx64.efi"},
		"uefi ipxe rom":             {flavor: boot.FlavorIPXE, qemu: qemuOptions{uefi: true}, want: "path=/ipxe/52-54-00-77-00-01/boot.ipxe"},
		"uefi ipxe chained":         {flavor: boot.FlavorIPXE, qemu: qemuOptions{uefi: true, noROM: true}, want: "file=snponly.efi", core: true},
		"uefi ipxe chained drivers": {flavor: boot.FlavorIPXE, qemu: qemuOptions{uefi: true, noROM: true}, first: boot.LoaderIPXEX64, want: "file=ipxe.efi"},
		"uefi ipxe proxy":           {flavor: boot.FlavorIPXE, qemu: qemuOptions{uefi: true, noROM: true}, proxy: true, want: "file=snponly.efi"},
		"uefi ipxe http boot":       {flavor: boot.FlavorIPXE, qemu: qemuOptions{uefi: true, noROM: true, extra: httpOnly}, want: "path=/snponly.efi"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			needQEMU(t, tt.core)
			kernel, initrd := kernel(t), initramfs(t)
			var s *stack
			o := stackOptions{proxy: tt.proxy}
			cfg := boot.Config{NodeUUID: boot.DefaultID, Flavor: tt.flavor, Mode: boot.ModeRamdisk,
				Kernel: "images/kernel", Initrd: "images/initrd", Cmdline: testCmdline}
			if tt.discovery {
				o.dhcp = func(o *dhcp.Options) { o.Discovery = tt.flavor }
			} else {
				cfg.NodeUUID, cfg.MACs = nodeUUID, []string{nodeMAC}
				o.machine = func() dhcp.Machine {
					m := dhcp.Machine{NodeUUID: nodeUUID, Boot: tt.flavor}
					if tt.first != "" && !strings.Contains(s.tl.String(), "transfer\" file="+tt.first) {
						m.BootFile, m.Script = tt.first, tt.first
					}
					return m
				}
			}
			s = newStack(t, o)
			s.add(t, "images", "kernel", kernel)
			s.add(t, "images", "initrd", initrd)
			if err := s.pub.Publish(t.Context(), cfg); err != nil {
				t.Fatal(err)
			}
			console := s.start(t, tt.qemu, "FERRIC-INIT", 10*time.Minute)
			t.Logf("timeline:\n%s", s.tl)
			if !strings.Contains(s.tl.String(), tt.want) {
				t.Errorf("the machine booted, but not by way of %q", tt.want)
			}
			for _, want := range []string{"ferric.test=one,two;three&four", "BOOTIF=01-52-54-00-77-00-01"} {
				if !strings.Contains(console, want) {
					t.Errorf("the kernel's command line lacks %q:\n%s", want, console)
				}
			}
		})
	}
}

// TestQEMUMissingKernel boots machines whose kernel is not there: they must say so, try again and start over, and not
// stop at a prompt that nobody sees.
func TestQEMUMissingKernel(t *testing.T) {
	needQEMU(t, false)
	tests := map[string]struct {
		flavor boot.Flavor
		qemu   qemuOptions
		tries  int
	}{
		"bios pxe":  {boot.FlavorPXE, qemuOptions{}, 1},
		"bios ipxe": {boot.FlavorIPXE, qemuOptions{}, 5},
		"uefi pxe":  {boot.FlavorPXE, qemuOptions{uefi: true}, 5},
		"uefi ipxe": {boot.FlavorIPXE, qemuOptions{uefi: true}, 5},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s := newStack(t, stackOptions{machine: func() dhcp.Machine { return dhcp.Machine{NodeUUID: nodeUUID, Boot: tt.flavor} }})
			cfg := boot.Config{NodeUUID: nodeUUID, MACs: []string{nodeMAC}, Flavor: tt.flavor, Mode: boot.ModeRamdisk,
				Kernel: "images/kernel", Initrd: "images/initrd", Cmdline: testCmdline}
			if err := s.pub.Publish(t.Context(), cfg); err != nil {
				t.Fatal(err)
			}
			s.start(t, tt.qemu, "", 15*time.Minute)
			t.Logf("timeline:\n%s", s.tl)
			if got := strings.Count(s.tl.String(), "path=/images/kernel"); got != tt.tries {
				t.Errorf("the machine asked for its kernel %d times before it restarted, want %d", got, tt.tries)
			}
		})
	}
}
