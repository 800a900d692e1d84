package boot

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"ferric"
)

// BuildGRUB makes dst/LoaderGRUBSite with Debian's grub-mkimage: a GRUB for UEFI x86-64 that has the site's address
// built in and loads by HTTP. It is for machines whose DHCP server is not ours: GRUB 2.06 does not look at the offer of a
// proxyDHCP, so the signed one does not know where its configuration is. It is not signed, so not for Secure Boot.
// BuildGRUB may be repeated. It returns CodeNotFound, naming the Debian packages, where grub-mkimage is missing.
func BuildGRUB(ctx context.Context, dst string, site Site) error {
	if err := site.Validate(); err != nil {
		return err
	}
	const packages = "grub-common grub-efi-amd64-bin"
	prog, err := exec.LookPath("grub-mkimage")
	if err != nil {
		return ferric.Errorf(ferric.CodeNotFound, "build GRUB: the program grub-mkimage is missing; on Debian install it with: apt-get install %s", packages)
	}
	dir, err := os.MkdirTemp("", "ferric-grub-")
	if err != nil {
		return ferric.Errorf(ferric.CodeInternal, "build GRUB: %w", err)
	}
	defer os.RemoveAll(dir)
	image := filepath.Join(dir, LoaderGRUBSite)
	args := append([]string{"--format", "x86_64-efi", "--prefix", fmt.Sprintf("(tftp,%s)/grub", site.TFTP), "--output", image}, grubModules...)
	var out bytes.Buffer
	cmd := exec.CommandContext(ctx, prog, args...)
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		return ferric.Errorf(ferric.CodeInternal, "build GRUB (Debian packages %s): %w: %s", packages, err, bytes.TrimSpace(out.Bytes()))
	}
	if err := copyFile(filepath.Join(dst, LoaderGRUBSite), image); err != nil {
		return ferric.Errorf(ferric.CodeInternal, "build GRUB: %w", err)
	}
	return nil
}

// grubModules is what GRUBDispatch, GRUBLocal and the files of flavor pxe need.
var grubModules = []string{"normal", "configfile", "test", "echo", "sleep", "reboot", "regexp", "net", "efinet", "tftp", "http", "linux",
	"search", "search_fs_file", "chain", "part_gpt", "part_msdos", "fat"}

// The parts of GRUB's configuration that flavor ipxe needs as well: on UEFI, iPXE itself cannot start a local disk.

// GRUBDispatchPath is where Debian's signed network GRUB looks for its configuration.
const GRUBDispatchPath = "grub/grub.cfg"

// GRUBDispatch is the text of GRUBDispatchPath, the file that Debian's network GRUB always reads. It knows the booting NIC as net_default_mac.
// A machine's file does not return; if there is none, source says so and goes on. (The test -e does not work over TFTP.)
const GRUBDispatch = `regexp --set=1:a --set=2:b --set=3:c --set=4:d --set=5:e --set=6:f '(..):(..):(..):(..):(..):(..)' "$net_default_mac"
set mac="$a-$b-$c-$d-$e-$f"
source "/grub/grub.cfg-01-$mac"
source /grub/grub.cfg-default
echo "Ferric: there is nothing to boot for $net_default_mac; going on with the next boot device in 5 s"
sleep 5
exit
`

// GRUBLocal starts the boot loader on the first disk that has one. Firmware may go on with its next boot entry when
// GRUB ends, or may stop with a menu, so that is the last resort.
const GRUBLocal = `for loader in /EFI/BOOT/BOOTX64.EFI /EFI/BOOT/BOOTAA64.EFI /EFI/debian/shimx64.efi /EFI/debian/grubx64.efi /EFI/ubuntu/shimx64.efi /EFI/centos/shimx64.efi /EFI/redhat/shimx64.efi /EFI/fedora/shimx64.efi /EFI/rocky/shimx64.efi /EFI/almalinux/shimx64.efi /EFI/opensuse/shim.efi /EFI/sles/shim.efi /EFI/Microsoft/Boot/bootmgfw.efi; do
  if search --no-floppy --set=root --file "$loader"; then
    chainloader "$loader"
    boot
  fi
done
exit
`
