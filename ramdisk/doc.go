// Package ramdisk builds the deploy ramdisk: a Debian kernel and one zstd-compressed initramfs with the agent as
// /init and the kernel modules that servers need.
//
// The result depends on the inputs alone: entries are sorted, times are zero, owners are root. Two builds from the
// same kernel, agent and options are identical byte by byte.
//
// Firmware files are not packed unless a firmware directory is given; NICs such as bnx2, bnx2x and qed do not work
// without theirs (packages firmware-bnx2, firmware-bnx2x, firmware-qlogic …).
//
// # Concurrency
//
// Build may run several times at once; builds that share a cache directory wait for one another only at its last
// rename.
package ramdisk
