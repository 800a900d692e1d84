package efi

import (
	"encoding/binary"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"unicode/utf16"

	"ferric"
)

// Loader is a boot loader on an EFI system partition.
type Loader struct {
	File  string // as firmware writes it: \EFI\debian\shimx64.efi
	Label string
}

// defaultLabel names entries whose boot loader brings no name.
const defaultLabel = "ferric"

// rank orders loaders: what a distribution names in its CSV file, then the removable-media default, then known loaders.
func rank(name string) int {
	switch strings.ToLower(name) {
	case "bootx64.csv", "bootaa64.csv", "boot.csv":
		return 1
	case "bootx64.efi", "bootaa64.efi", "bootia32.efi", "bootarm.efi", "bootriscv64.efi":
		return 2
	case "shimx64.efi", "shimaa64.efi":
		return 3
	case "grubx64.efi", "grubaa64.efi", "systemd-bootx64.efi", "systemd-bootaa64.efi", "bootmgfw.efi", "winload.efi":
		return 4
	}
	return 0
}

// FindLoader looks for the boot loader below a mounted EFI system partition. CodeNotFound if there is none.
func FindLoader(dir string) (Loader, error) {
	type found struct {
		rank int
		rel  string
	}
	var all []found
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return nil // a damaged directory; others may do
		}
		if r := rank(d.Name()); r > 0 && d.Type().IsRegular() {
			rel, err := filepath.Rel(dir, p)
			if err != nil {
				return err
			}
			all = append(all, found{r, rel})
		}
		return nil
	})
	if err != nil {
		return Loader{}, ferric.Errorf(ferric.CodeUnavailable, "look for a boot loader: %w", err)
	}
	sort.Slice(all, func(i, j int) bool {
		if all[i].rank != all[j].rank {
			return all[i].rank < all[j].rank
		}
		return all[i].rel < all[j].rel
	})
	for _, f := range all {
		if f.rank > 1 {
			return Loader{File: firmwarePath(f.rel), Label: defaultLabel}, nil
		}
		if l, ok := fromCSV(dir, f.rel); ok {
			return l, nil
		}
	}
	return Loader{}, ferric.Errorf(ferric.CodeNotFound, "the EFI system partition holds no boot loader")
}

func firmwarePath(rel string) string {
	return `\` + strings.ReplaceAll(filepath.ToSlash(rel), "/", `\`)
}

// fromCSV reads shim's "file,label,options,comment" in UTF-16.
func fromCSV(dir, rel string) (Loader, bool) {
	b, err := os.ReadFile(filepath.Join(dir, rel))
	if err != nil || len(b) > 64<<10 {
		return Loader{}, false
	}
	var text []uint16
	for ; len(b) >= 2; b = b[2:] {
		if c := binary.LittleEndian.Uint16(b); c != 0xfeff && c != 0 {
			text = append(text, c)
		}
	}
	line, _, _ := strings.Cut(string(utf16.Decode(text)), "\n")
	fields := strings.SplitN(line, ",", 3)
	if len(fields) < 2 || fields[0] == "" || fields[1] == "" || strings.ContainsAny(fields[0], `/\`) {
		return Loader{}, false
	}
	return Loader{File: firmwarePath(filepath.Join(filepath.Dir(rel), fields[0])), Label: strings.TrimSpace(fields[1])}, true
}

// Register makes a boot entry for a loader on a partition and puts it first in the boot order.
func Register(v Vars, p Partition, l Loader) (uint16, error) {
	return v.Add(Option{Attributes: active, Description: l.Label, Path: path(p, l.File)})
}
