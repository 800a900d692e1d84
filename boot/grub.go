package boot

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
