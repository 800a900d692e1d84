package userimage

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// tree is the root file system of an image as a folder.
type tree struct{ root string }

func (t tree) path(name string) string { return filepath.Join(t.root, name) }

// folder makes a folder, and those above it, open to all whatever the umask is.
func (t tree) folder(name string) error {
	path := t.path(name)
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return nil
	}
	if path != t.root {
		if err := t.folder(filepath.Dir(name)); err != nil {
			return err
		}
	} else if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	if err := os.Mkdir(path, 0o755); err != nil {
		return err
	}
	return os.Chmod(path, 0o755)
}

// write makes or replaces a file, and the folders above it.
func (t tree) write(name, text string, mode fs.FileMode) error {
	path := t.path(name)
	if err := t.folder(filepath.Dir(name)); err != nil {
		return err
	}
	// A link of that name is replaced, not followed: it may lead out of the tree.
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		return err
	}
	return os.Chmod(path, mode)
}

// link makes or replaces a symbolic link.
func (t tree) link(name, target string) error {
	path := t.path(name)
	if err := t.folder(filepath.Dir(name)); err != nil {
		return err
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.Symlink(target, path)
}

// remove deletes what matches the patterns.
func (t tree) remove(patterns ...string) error {
	var failed []error
	for _, pattern := range patterns {
		names, err := filepath.Glob(t.path(pattern))
		failed = append(failed, err)
		for _, name := range names {
			failed = append(failed, os.RemoveAll(name))
		}
	}
	return errors.Join(failed...)
}

// install copies one of the embedded files.
func (t tree) install(name, to string, mode fs.FileMode) error {
	data, err := parts.ReadFile("guest/" + name)
	if err != nil {
		return err
	}
	return t.write(to, string(data), mode)
}

// edit is a list of changes to a tree that stops at the first error.
type edit struct {
	tree
	err error
}

func (e *edit) file(name, text string) {
	if e.err == nil {
		e.err = e.write(name, text, 0o644)
	}
}

func (e *edit) program(name string) {
	if e.err == nil {
		e.err = e.install(name, "usr/lib/ferric/"+filepath.Base(name), 0o755)
	}
}

func (e *edit) unit(name, wantedBy string) {
	if e.err == nil {
		e.err = e.install("units/"+name, "etc/systemd/system/"+name, 0o644)
	}
	if wantedBy != "" {
		e.symlink("etc/systemd/system/"+wantedBy+".wants/"+name, "../"+name)
	}
}

func (e *edit) symlink(name, target string) {
	if e.err == nil {
		e.err = e.link(name, target)
	}
}

func (e *edit) drop(patterns ...string) {
	if e.err == nil {
		e.err = e.remove(patterns...)
	}
}

// lines are the lines of a text without comments and blanks around.
func lines(text string) []string {
	var all []string
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, "#")
		if line = strings.TrimSpace(line); line != "" {
			all = append(all, line)
		}
	}
	return all
}
