// Package userimage builds images to deploy on machines of the lab, and on real ones: whole disks (GPT) that boot with
// BIOS and UEFI from the same file, with a serial console on ttyS0 and a reader for OpenStack's config drive.
//
// The variant "debian" is a Debian 12: kernel, GRUB, systemd, systemd-networkd, sshd, apt. What an emulated processor is
// slow at is left out of its boot: udev looks at fewer devices, units that nobody needs on a server are masked, the
// initramfs holds what is needed to reach the disk. The variant "tiny" has Debian's kernel with busybox and dropbear
// from Debian's packages, and is there for tests: small, and a few seconds from power-on to the login prompt.
//
// The config drive (label config-2) sets host name, SSH keys (for root, and in "debian" for the user debian), password,
// files and network; user data is run once per instance if it is a script. "tiny" knows host name, SSH keys and files,
// and uses DHCP on all cards.
//
// Nothing is mounted and no loop device is used: file systems are made inside the image file (mkfs.ext4 -d, mtools),
// GRUB is made with grub-mkimage and put in place by hand, as grub-install would do it. Building needs root, for the
// owners of files and for chroot.
//
// # Concurrency
//
// Build may be called from any goroutine and from several processes: builds of the same image wait for each other with
// a file lock, builds of different ones run side by side.
package userimage
