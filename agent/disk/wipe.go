package disk

import (
	"context"
	"encoding/binary"

	"ferric"
)

// edge is how much is zeroed at both ends of a disk and of every partition, in bytes. It covers, at the beginning:
// MBR and GPT, ext2/3/4, XFS, F2FS, swap, LUKS 1 and 2 with the second header, bcache, LVM labels and metadata, ISO 9660,
// UDF, ZFS labels 0 and 1, md 1.1 and 1.2, VMFS; at the end: the GPT backup, md 0.90 and 1.0, DDF and IMSM RAID, DRBD,
// NTFS's and NILFS2's second superblocks, ZFS labels 2 and 3.
const edge = 4 << 20

// btrfsMirrors are the second and third superblock of btrfs, from which it can be brought back.
func btrfsMirrors() []int64 { return []int64{64 << 20, 256 << 30} }

// WipeMetadata erases what makes the disk's content findable: partition tables at both ends, and the superblocks of
// file systems, volume managers and RAID on the disk and inside its partitions. Partitions are those in the table on the
// disk and those in known (what the kernel sees, such as logical ones). Running it twice is harmless.
func WipeMetadata(ctx context.Context, d Device, known []Region) error {
	regions := append([]Region(nil), known...)
	if t, err := ReadTable(d); err == nil { // a damaged table hides nothing that the kernel does not see
		regions = append(regions, t.Regions...)
	}
	// The disk's own ends come last: if this is cut short, the next run still finds the partitions.
	for _, r := range append(regions, Region{Size: d.Size()}) {
		if err := wipeRegion(ctx, d, r); err != nil {
			return ferric.Errorf(ferric.CodeUnavailable, "erase the metadata of %s: %w", d.Name(), err)
		}
	}
	if err := d.Sync(); err != nil {
		return ferric.Errorf(ferric.CodeUnavailable, "erase the metadata of %s: %w", d.Name(), err)
	}
	return nil
}

func wipeRegion(ctx context.Context, d Device, r Region) error {
	if r.Offset < 0 || r.Size <= 0 || r.Offset >= d.Size() {
		return nil
	}
	size := min(r.Size, d.Size()-r.Offset)
	for _, at := range btrfsMirrors() {
		if at+4096 <= size && isBtrfs(d, r.Offset+at) {
			if err := zero(ctx, d, r.Offset+at, 4096); err != nil {
				return err
			}
		}
	}
	if err := zero(ctx, d, r.Offset+max(0, size-edge), min(edge, size)); err != nil {
		return err
	}
	return zero(ctx, d, r.Offset, min(edge, size))
}

func isBtrfs(d Device, at int64) bool {
	b := make([]byte, 72)
	_, err := d.ReadAt(b, at)
	return err == nil && string(b[64:72]) == "_BHRfS_M"
}

// Protected names a file system on the disk that several machines may use at the same time, "" if there is none: VMware
// VMFS, IBM GPFS, Red Hat GFS2. Cleaning must not touch such a disk.
func Protected(d Device) string {
	t, err := ReadTable(d)
	regions := []Region{{Size: d.Size()}}
	if err == nil {
		regions = append(regions, t.Regions...)
	}
	for _, r := range regions {
		switch r.Type {
		case TypeVMFS, "0xfb":
			return "VMware VMFS partition"
		case TypeGPFS:
			return "IBM GPFS partition"
		}
		b := make([]byte, 4)
		if r.Size > 65536+4 && r.Offset+65536+4 <= d.Size() {
			if _, err := d.ReadAt(b, r.Offset+65536); err == nil && binary.BigEndian.Uint32(b) == 0x01161970 {
				return "Red Hat Global File System 2"
			}
		}
	}
	return ""
}
