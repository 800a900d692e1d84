package ramdisk

import "testing"

func FuzzParseModule(f *testing.F) {
	f.Add([]byte("\x7fELF\x02\x01\x01"))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		if m, err := parseModule(b); err == nil && m == nil {
			t.Fatal("neither a module nor an error")
		}
	})
}
