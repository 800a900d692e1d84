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

// Common implements boot.Renderer: the file that leads GRUB to the file for its MAC. PXELINUX finds its own.
func (r Renderer) Common() []boot.File {
	return []boot.File{{Path: boot.GRUBDispatchPath, Data: []byte(boot.GRUBDispatch)}}
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

// grubFiles returns the names that GRUB has for a kernel's or initrd's address: (http,host:port)/path, and for a file
// of the site's own also (tftp,address)/path.
func (r Renderer) grubFiles(ref string) (byHTTP, byTFTP string, err error) {
	u, err := url.Parse(r.Site.Resolve(ref))
	if err != nil {
		return "", "", ferric.Errorf(ferric.CodeInvalid, "boot address %q: %w", ref, err)
	}
	if "http://"+u.Host == r.Site.HTTP {
		byTFTP = fmt.Sprintf("(tftp,%s)%s", r.Site.TFTP, u.RequestURI())
	}
	return fmt.Sprintf("(http,%s)%s", u.Host, u.RequestURI()), byTFTP, nil
}

// grub renders a configuration for GRUB 2.06. Every value is a single-quoted word, in which GRUB expands nothing;
// boot.CheckCmdline has refused the single quote.
func (r Renderer) grub(cfg boot.Config, mac string) (string, error) {
	var b strings.Builder
	fmt.Fprintf(&b, "# node %s\n", cfg.NodeUUID)
	if cfg.Mode == boot.ModeLocal {
		b.WriteString(boot.GRUBLocal)
		return b.String(), nil
	}
	kernelHTTP, kernelTFTP, err := r.grubFiles(cfg.Kernel)
	if err != nil {
		return "", err
	}
	initrdHTTP, initrdTFTP, err := r.grubFiles(cfg.Initrd)
	if err != nil {
		return "", err
	}
	bootif := "'BOOTIF=" + boot.BootIF(mac) + "'"
	if mac == "" {
		bootif = `"BOOTIF=01-$mac"` // boot.GRUBDispatch has set mac
	}
	var args strings.Builder
	for _, word := range strings.Fields(cfg.Cmdline) {
		args.WriteString(" '" + word + "'")
	}
	args.WriteString(" " + bootif)
	b.WriteString("for try in 1 2 3 4 5; do\n  echo \"Ferric: loading the deploy ramdisk, try $try of 5\"\n")
	fmt.Fprintf(&b, grubLoad, kernelHTTP, args.String(), initrdHTTP)
	if kernelTFTP != "" && initrdTFTP != "" {
		fmt.Fprintf(&b, grubLoad, kernelTFTP, args.String(), initrdTFTP)
	}
	b.WriteString(grubGiveUp)
	return b.String(), nil
}

// grubLoad is one way to load; if it succeeds nothing after it runs. TFTP comes after HTTP since it is slower, but under
// Secure Boot the signed GRUB refuses to load its HTTP module.
const grubLoad = `  if linux '%s'%s; then
    if initrd '%s'; then
      boot
    fi
  fi
`

const grubGiveUp = `  sleep 5
done
echo 'Ferric: the deploy ramdisk could not be loaded; restarting in 30 s'
sleep 30
reboot
`
