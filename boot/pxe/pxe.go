package pxe

import (
	"fmt"
	"net/url"
	"strings"

	"ferric"
	"ferric/boot"
)

// Renderer renders configurations for one provisioning network. It implements boot.Renderer.
type Renderer struct {
	Site boot.Site
}

// Render implements boot.Renderer: a PXELINUX file per MAC unless the firmware is known to be UEFI, a GRUB file per
// MAC unless it is known to be BIOS.
func (r Renderer) Render(cfg boot.Config) ([]boot.File, error) {
	cfg, err := cfg.Normalize()
	if err != nil {
		return nil, err
	}
	if cfg.Flavor != boot.FlavorPXE {
		return nil, ferric.Errorf(ferric.CodeInvalid, "boot configuration of node %s: flavor %q: this renderer writes pxe only", cfg.NodeUUID, cfg.Flavor)
	}
	if err := r.Site.Validate(); err != nil {
		return nil, err
	}
	macs := cfg.MACs
	if len(macs) == 0 {
		macs = []string{""}
	}
	var files []boot.File
	for _, mac := range macs {
		if cfg.Firmware != boot.FirmwareUEFI {
			files = append(files, boot.File{Path: boot.PXELinuxPath(mac), Data: []byte(r.pxelinux(cfg, mac))})
		}
		if cfg.Firmware != boot.FirmwareBIOS {
			text, err := r.grub(cfg, mac)
			if err != nil {
				return nil, err
			}
			files = append(files, boot.File{Path: boot.GRUBPath(mac), Data: []byte(text)})
		}
	}
	return files, nil
}

// pxelinux renders a configuration for PXELINUX 6. Its language has one directive per line; a kernel command line
// goes to the end of its line as it is. With no MAC, SYSAPPEND 2 lets PXELINUX add BOOTIF.
func (r Renderer) pxelinux(cfg boot.Config, mac string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# node %s\nDEFAULT ferric\nPROMPT 0\nNOESCAPE 1\nONERROR reboot.c32\n\nLABEL ferric\n", cfg.NodeUUID)
	if cfg.Mode == boot.ModeLocal {
		b.WriteString("  LOCALBOOT -1\n") // leave PXE with an error, so that the BIOS tries its next boot device
		return b.String()
	}
	fmt.Fprintf(&b, "  KERNEL %s\n  INITRD %s\n", r.Site.Resolve(cfg.Kernel), r.Site.Resolve(cfg.Initrd))
	if mac == "" {
		fmt.Fprintf(&b, "  SYSAPPEND 2\n  APPEND %s\n", cfg.Cmdline)
	} else {
		fmt.Fprintf(&b, "  APPEND %s\n", strings.TrimSpace(cfg.Cmdline+" BOOTIF="+boot.BootIF(mac)))
	}
	return b.String()
}

// grubFile returns the name of an http URL in GRUB's notation, (http,host:port)/path.
func grubFile(ref string) (string, error) {
	u, err := url.Parse(ref)
	if err != nil {
		return "", ferric.Errorf(ferric.CodeInvalid, "boot address %q: %w", ref, err)
	}
	return fmt.Sprintf("(http,%s)%s", u.Host, u.RequestURI()), nil
}

// grub renders a configuration for GRUB 2.06. Every value is a single-quoted word, in which GRUB expands nothing;
// boot.CheckCmdline has refused the single quote.
func (r Renderer) grub(cfg boot.Config, mac string) (string, error) {
	var b strings.Builder
	fmt.Fprintf(&b, "# node %s\n", cfg.NodeUUID)
	if cfg.Mode == boot.ModeLocal {
		b.WriteString(grubLocal)
		return b.String(), nil
	}
	kernel, err := grubFile(r.Site.Resolve(cfg.Kernel))
	if err != nil {
		return "", err
	}
	initrd, err := grubFile(r.Site.Resolve(cfg.Initrd))
	if err != nil {
		return "", err
	}
	bootif := "'BOOTIF=" + boot.BootIF(mac) + "'"
	if mac == "" {
		bootif = "BOOTIF=01-$mac"
		b.WriteString(grubMAC)
	}
	var args strings.Builder
	for _, word := range strings.Fields(cfg.Cmdline) {
		args.WriteString(" '" + word + "'")
	}
	args.WriteString(" " + bootif)
	fmt.Fprintf(&b, grubRamdisk, kernel, args.String(), initrd)
	return b.String(), nil
}

// grubMAC sets mac to the address of the booting NIC with hyphens, as BOOTIF wants it.
const grubMAC = `regexp --set=1:a --set=2:b --set=3:c --set=4:d --set=5:e --set=6:f '(..):(..):(..):(..):(..):(..)' "$net_default_mac"
set mac="$a-$b-$c-$d-$e-$f"
`

const grubRamdisk = `for try in 1 2 3 4 5; do
  echo "Ferric: loading the deploy ramdisk, try $try of 5"
  if linux '%s'%s; then
    if initrd '%s'; then
      boot
    fi
  fi
  sleep 5
done
echo 'Ferric: the deploy ramdisk could not be loaded; restarting in 30 s'
sleep 30
reboot
`

// grubLocal starts the boot loader on the first disk that has one. Firmware may go on with its next boot entry when
// GRUB ends, or may stop with a menu, so that is the last resort.
const grubLocal = `for loader in /EFI/BOOT/BOOTX64.EFI /EFI/BOOT/BOOTAA64.EFI /EFI/debian/shimx64.efi /EFI/debian/grubx64.efi /EFI/ubuntu/shimx64.efi /EFI/centos/shimx64.efi /EFI/redhat/shimx64.efi /EFI/fedora/shimx64.efi /EFI/rocky/shimx64.efi /EFI/almalinux/shimx64.efi /EFI/opensuse/shim.efi /EFI/sles/shim.efi /EFI/Microsoft/Boot/bootmgfw.efi; do
  if search --no-floppy --set=root --file "$loader"; then
    chainloader "$loader"
    boot
  fi
done
exit
`
