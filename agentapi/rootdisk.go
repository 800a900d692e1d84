package agentapi

import (
	"fmt"
	"sort"
	"strings"

	"ferric"
)

// MinRootDiskSize is the smallest disk that is chosen as root device without hints: 4 GiB, as Ironic's.
const MinRootDiskSize = 4 << 30

// RootDevice chooses the disk that an image is written to: the first one that matches the hints, or without
// hints the smallest one of at least MinRootDiskSize bytes (of equals, the first by name). CodeNotFound when
// there is none; the message lists what was there.
func RootDevice(disks []BlockDevice, hints Hints) (BlockDevice, error) {
	if !hints.Empty() {
		for _, d := range disks {
			if hints.Match(d) {
				return d, nil
			}
		}
		return BlockDevice{}, ferric.Errorf(ferric.CodeNotFound, "no disk matches the root device hints (%s); the disks are: %s", hints, describe(disks))
	}
	sorted := append([]BlockDevice(nil), disks...)
	sort.SliceStable(sorted, func(i, j int) bool {
		if sorted[i].Size != sorted[j].Size {
			return sorted[i].Size < sorted[j].Size
		}
		return sorted[i].Name < sorted[j].Name
	})
	for _, d := range sorted {
		if d.Size >= MinRootDiskSize {
			return d, nil
		}
	}
	return BlockDevice{}, ferric.Errorf(ferric.CodeNotFound, "no disk of at least 4 GiB; the disks are: %s", describe(disks))
}

func describe(disks []BlockDevice) string {
	if len(disks) == 0 {
		return "none"
	}
	parts := make([]string, len(disks))
	for i, d := range disks {
		parts[i] = fmt.Sprintf("%s %.1f GiB model %q serial %q wwn %q", d.Name, float64(d.Size)/(1<<30), d.Model, d.Serial.First(), d.WWN.First())
	}
	return strings.Join(parts, "; ")
}
