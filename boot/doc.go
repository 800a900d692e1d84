// Package boot is the contract shared by the services that boot a machine over the network: what one node is to boot
// (Config), where the services of a provisioning network are found (Site), the boot loaders that they hand out
// (Collect) and the Publisher, which turns a Config into the files that a loader reads, keeps them over a restart and
// removes them again.
//
// The services are sub-packages that know nothing of each other: boot/dhcp answers DHCP and says which loader to
// fetch, boot/tftp and boot/http serve loaders and configuration files, boot/pxe and boot/ipxe write the
// configuration, boot/ra announces a router so that firmware does not wait for one.
//
// # Names of files
//
// TFTP and HTTP serve one tree, so a file has the same name in both: loaders lie at its root (lpxelinux.0,
// shimx64.efi, undionly.kpxe, …), per-machine files at PXELinuxPath, GRUBPath and ScriptPath.
//
// # Concurrency
//
// A Publisher may be used from many goroutines; Publish and Unpublish are serialised, lookups are not blocked by
// file writes. Config, Site and File are plain values. The package starts no goroutines.
package boot
