// Package pxe writes the boot configuration of machines of flavor pxe: PXELINUX for BIOS and GRUB for UEFI, both from
// Debian's packages.
//
// The loaders come by TFTP; they then load kernel and initramfs by HTTP. A BIOS machine gets lpxelinux.0, the PXELINUX
// that speaks HTTP; it reads pxelinux.cfg/01-MAC. A UEFI machine gets shim and Debian's signed network GRUB; it reads
// grub/grub.cfg, which leads it to grub/grub.cfg-01-MAC. Both read a default file where there is none for their MAC,
// which is how machines that nobody knows are booted.
//
// # Concurrency
//
// A Renderer is a plain value and may be used from many goroutines.
package pxe
