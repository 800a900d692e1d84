// Package e2e holds the whole-system tests: the real binaries, real IPMI, DHCP, TFTP and HTTP, and machines in QEMU that boot, are written to
// and come up from their own disks. They run as root with FERRIC_QEMU=1 and skip otherwise, saying so.
package e2e
