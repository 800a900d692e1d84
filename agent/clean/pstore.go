package clean

import (
	"os"
	"path/filepath"

	"ferric"
)

// ErasePStore removes what the kernel kept of crashes in the firmware's store (erase_pstore). dir is where pstore is
// mounted; nothing there is no error.
func ErasePStore(dir string) error {
	entries, err := os.ReadDir(dir)
	if os.IsNotExist(err) {
		return nil
	}
	if err != nil {
		return ferric.Errorf(ferric.CodeUnavailable, "erase pstore: %w", err)
	}
	for _, e := range entries {
		if err := os.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
			return ferric.Errorf(ferric.CodeUnavailable, "erase pstore: %w", err)
		}
	}
	return nil
}
