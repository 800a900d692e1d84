package store

import (
	"bytes"
	"crypto/cipher"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"
)

func testKeys(tb testing.TB) *keyring {
	tb.Helper()
	path := filepath.Join(tb.TempDir(), "k")
	if _, err := AddKey(path); err != nil {
		tb.Fatal(err)
	}
	k, err := readKeys(path)
	if err != nil {
		tb.Fatal(err)
	}
	return k
}

// A key file is refused or understood; it never breaks the program, and refusals do not show what stands in it.
func FuzzKeyFile(f *testing.F) {
	path := filepath.Join(f.TempDir(), "k")
	if _, err := AddKey(path); err != nil {
		f.Fatal(err)
	}
	good, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte("12345678 AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n"))
	f.Add([]byte("#\n\n \t12345678\n"))
	f.Add([]byte("1234567g AAAA"))
	f.Fuzz(func(t *testing.T, data []byte) {
		k := &keyring{keys: map[keyID]cipher.AEAD{}}
		if err := k.parse(data); err != nil {
			for _, word := range bytes.Fields(data) {
				if len(word) >= 40 && strings.Contains(err.Error(), string(word)) {
					t.Fatalf("the error %q shows the file's text", err)
				}
			}
			return
		}
		sealed, err := k.seal("t", "c", "r", []byte("x"))
		if err != nil {
			t.Fatal(err)
		}
		if plain, err := k.open("t", "c", "r", sealed); err != nil || string(plain) != "x" {
			t.Fatalf("%q, %v", plain, err)
		}
	})
}

// Only what was sealed is opened.
func FuzzOpenSealed(f *testing.F) {
	k := testKeys(f)
	good, err := k.seal("nodes", "driver_info", "u", []byte(`{"a":"b"}`))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add(good[:5])
	f.Add([]byte{})
	f.Add(append([]byte{1}, k.first[:]...))
	f.Fuzz(func(t *testing.T, data []byte) {
		plain, err := k.open("nodes", "driver_info", "u", data)
		if (err == nil) != bytes.Equal(data, good) {
			t.Fatalf("opened %x: %q, %v", data, plain, err)
		}
	})
}

func FuzzClean(f *testing.F) {
	for _, s := range []string{"", "plain", "a\x00b", "\xff\xfe", "ключ", "\xe2\x28\xa1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		c := clean(s)
		if !utf8.ValidString(c) || strings.ContainsRune(c, 0) {
			t.Fatalf("%q became %q", s, c)
		}
		if utf8.ValidString(s) && !strings.ContainsRune(s, 0) && c != s {
			t.Fatalf("%q was changed to %q", s, c)
		}
	})
}

func TestSealIsNeverTheSame(t *testing.T) {
	k := testKeys(t)
	a, _ := k.seal("t", "c", "r", []byte("x"))
	b, _ := k.seal("t", "c", "r", []byte("x"))
	if bytes.Equal(a, b) {
		t.Fatal("the nonce was used twice")
	}
}
