// Package disk changes block devices: partition tables (GPT and MBR), config drive partitions, erasing metadata and
// whole disks (overwriting, ATA secure erase, NVMe format), and software RAID arrays that stand in the way.
//
// Everything works on a Device, which may be a plain file, so that it can be tested without hardware.
//
// # Concurrency
//
// Functions work on the Device they are given and keep no state; one Device belongs to one goroutine at a time.
package disk
