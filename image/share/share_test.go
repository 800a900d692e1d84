package share_test

import (
	"io"
	"os"
	"path/filepath"
	"testing"

	"ferric"
	"ferric/image/share"
)

func write(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func read(t *testing.T, f *share.Folder, id string) string {
	t.Helper()
	file, err := f.Get(id)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	b, err := io.ReadAll(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestFolder(t *testing.T) {
	dir := t.TempDir()
	f, err := share.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	source := write(t, "one")
	first, err := f.Put("n1", "image", "aa", source)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(source); err != nil { // the cache evicts it: the machine is still served
		t.Fatal(err)
	}
	if f, err = share.Open(dir); err != nil { // and after a restart, too
		t.Fatal(err)
	}
	if got := read(t, f, first); got != "one" {
		t.Errorf("shared %q", got)
	}
	other, err := f.Put("n2", "image", "aa", write(t, "one"))
	if err != nil {
		t.Fatal(err)
	}
	second, err := f.Put("n1", "image", "bb", write(t, "two"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Get(first); !ferric.IsCode(err, ferric.CodeNotFound) {
		t.Errorf("the replaced file: %v, want CodeNotFound", err)
	}
	if got := read(t, f, second); got != "two" {
		t.Errorf("shared %q", got)
	}
	if err := f.Remove("n1", "image"); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Get(second); !ferric.IsCode(err, ferric.CodeNotFound) {
		t.Errorf("the removed file: %v, want CodeNotFound", err)
	}
	if got := read(t, f, other); got != "one" {
		t.Errorf("the other node's file is %q", got)
	}
}

func TestNamesStayInTheFolder(t *testing.T) {
	f, err := share.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"", "../secret", "a/b", "..", "a_../b", "n1_image_"} {
		if _, err := f.Get(id); !ferric.IsCode(err, ferric.CodeNotFound) {
			t.Errorf("Get(%q): %v, want CodeNotFound", id, err)
		}
	}
	if _, err := f.Put("n1", "a/b", "t", write(t, "x")); err == nil {
		t.Error("a name with a slash was taken")
	}
}
