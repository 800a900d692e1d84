package ipxe

import (
	"fmt"
	"strings"

	"ferric"
	"ferric/boot"
)

// Renderer renders scripts for one provisioning network. It implements boot.Renderer.
type Renderer struct {
	Site boot.Site
}

// Render implements boot.Renderer: one script per MAC, for every kind of firmware; in mode local also the GRUB file that
// the script leads a UEFI machine to.
func (r Renderer) Render(cfg boot.Config) ([]boot.File, error) {
	cfg, err := cfg.Normalize()
	if err != nil {
		return nil, err
	}
	if cfg.Flavor != boot.FlavorIPXE {
		return nil, ferric.Errorf(ferric.CodeInvalid, "boot configuration of node %s: flavor %q: this renderer writes ipxe only", cfg.NodeUUID, cfg.Flavor)
	}
	if err := r.Site.Validate(); err != nil {
		return nil, err
	}
	macs := cfg.MACs
	if len(macs) == 0 {
		macs = []string{""}
	}
	files := make([]boot.File, 0, len(macs))
	for _, mac := range macs {
		files = append(files, boot.File{Path: boot.ScriptPath(mac), Data: []byte(r.script(cfg, mac))})
		if cfg.Mode == boot.ModeLocal && cfg.Firmware != boot.FirmwareBIOS {
			text := "# node " + cfg.NodeUUID + "\n" + boot.GRUBLocal
			files = append(files, boot.File{Path: boot.GRUBPath(mac), Data: []byte(text)})
		}
	}
	return files, nil
}

// Common implements boot.Renderer: ipxe/boot.ipxe, which leads an iPXE from elsewhere (a USB stick, a DHCP server with one
// boot file for all) to the script for its MAC.
func (r Renderer) Common() []boot.File {
	return []boot.File{
		{Path: "ipxe/boot.ipxe", Data: []byte(fmt.Sprintf(dispatch, r.Site.URL(""), r.Site.URL(boot.ScriptPath(""))))},
		{Path: boot.GRUBDispatchPath, Data: []byte(boot.GRUBDispatch)},
	}
}

const dispatch = `#!ipxe
chain --autofree %sipxe/${netX/mac:hexhyp}/boot.ipxe ||
chain --autofree %s ||
echo Ferric: there is nothing to boot for ${netX/mac}; going on with the next boot device in 5 seconds
sleep 5
exit 1
`

func (r Renderer) script(cfg boot.Config, mac string) string {
	head := "#!ipxe\n# node " + cfg.NodeUUID + "\n"
	if cfg.Mode == boot.ModeLocal {
		return head + fmt.Sprintf(local, r.Site.TFTP, boot.LoaderGRUBARM64, boot.LoaderGRUBX64, boot.LoaderGRUBSite)
	}
	if cfg.Mode == boot.ModeVolume {
		return head + volumes(cfg)
	}
	// "netX" is the NIC that iPXE booted from; hexhyp writes its address with hyphens.
	bootif := "BOOTIF=01-${netX/mac:hexhyp}"
	if mac != "" {
		bootif = "BOOTIF=" + boot.BootIF(mac)
	}
	args := strings.Join(append(strings.Fields(cfg.Cmdline), bootif), " ")
	return head + fmt.Sprintf(ramdisk, r.Site.Resolve(cfg.Kernel), args, r.Site.Resolve(cfg.Initrd))
}

// ramdisk gives the initramfs a name of its own, which the kernel's EFI stub finds by initrd=.
const ramdisk = `set try:int32 0

:try
inc try
echo Ferric: loading the deploy ramdisk, try ${try} of 5
imgfree
kernel --name kernel %s initrd=initrd %s || goto failed
initrd --name initrd %s || goto failed
boot

:failed
echo Ferric: the deploy ramdisk could not be loaded or started
iseq ${try} 5 && goto giveup ||
sleep 5
goto try

:giveup
echo Ferric: giving up; press s within 30 seconds for a shell, or the machine restarts
prompt --key s --timeout 30000 && shell ||
reboot
`

// local: a BIOS machine starts its first disk. On UEFI GRUB finds the disk's loader; without GRUB iPXE leaves it to the
// firmware, whose next boot entries are often IPv6 and HTTP on the same network card: that took OVMF 80 s. The GRUB of
// boot.BuildGRUB comes first, where there is one: it needs no DHCP server of ours.
const local = `iseq ${platform} efi && goto efi ||
sanboot --no-describe --drive 0x80 || goto failed

:efi
set base tftp://%s
iseq ${buildarch} arm64 && set loader %s || set loader %s
chain --autofree ${base}/%s ||
chain --autofree ${base}/${loader} ||
exit 1

:failed
echo Ferric: the first disk could not be started; restarting in 30 seconds
sleep 30
reboot
`
