// Package ipxe writes the boot configuration of machines of flavor ipxe: one iPXE script per MAC, which loads kernel
// and initramfs by HTTP.
//
// Firmware that is iPXE already (its DHCP request says so) is sent straight to the script; any other loads undionly.kpxe
// or snponly.efi by TFTP first, asks DHCP again as iPXE and is then sent to the script.
//
// # Concurrency
//
// A Renderer is a plain value and may be used from many goroutines.
package ipxe
