// Package boot is the contract shared by the services that boot a machine over the network: what one node is to boot
// (Config), where the services of a provisioning network are found (Site), the boot loaders that they hand out
// (Collect) and the Publisher, which keeps a Config where every boot host finds it (Records) and turns it into the files
// that a loader reads when it asks for them.
//
// The services are sub-packages that know nothing of each other: boot/dhcp answers DHCP and says which loader to
// fetch, boot/tftp and boot/http serve loaders and configuration files, boot/pxe and boot/ipxe write the
// configuration, boot/ra announces a router so that firmware does not wait for one.
//
// # Several hosts
//
// A host renders a machine's files with its own addresses, so whichever host answers the machine's DHCP serves all of that boot, and the next one may be
// served by another. URLs of the publishing host on the kernel's command line become those of the serving host, with the others' behind them.
//
// # Names of files
//
// TFTP and HTTP serve one tree, so a file has the same name in both: loaders lie at its root (lpxelinux.0,
// shimx64.efi, undionly.kpxe, …), per-machine files at PXELinuxPath, GRUBPath and ScriptPath.
//
// # What is fastest
//
// Seconds for a kernel of 14 MB, measured with QEMU without KVM on a busy host of 2 cores (the QEMU tests of this package
// print such times; HTTP won in every single comparison):
//
//	loader                                  HTTP       TFTP
//	iPXE in the network card, BIOS or UEFI  0.1 – 0.5  4.5 – 7
//	snponly.efi, chain-loaded               0.25       –
//	lpxelinux.0                             1.5 – 2.5  9
//	GRUB, signed, with http.mod             2 – 3.6    4.3 – 4.9
//	undionly.kpxe, chain-loaded             18         –
//
// Other seconds that were found and are looked after: 18 – 23 for an iPXE that waits for a router (boot/ra), 3 for an
// iPXE that waits for a proxyDHCP (boot/dhcp, option 175.176), 140 for a UEFI machine that boots from the network first
// and is offered nothing (publish a configuration of ModeLocal: then it is on its disk after 7 – 11), 95 for the same
// with an iPXE script that only exits (hence GRUB, which finds the disk's loader).
//
// Under Secure Boot shim and the signed GRUB work; GRUB then refuses http.mod and loads by TFTP.
//
// # Concurrency
//
// A Publisher may be used from many goroutines; nothing is locked while Records are asked. Config, Site and File are plain
// values. The package starts no goroutines.
package boot
