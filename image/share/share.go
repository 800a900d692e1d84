// Package share keeps the files that machines may fetch: the images, kernels and ramdisks of nodes that are being worked on, each under a
// name that stays good over restarts and that a later cache eviction does not take away.
//
// # Concurrency
//
// A Folder may be used by many goroutines and, on one file system, by several processes: every change is a link or a rename.
package share

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"

	"ferric"
)

// Folder is a directory of shared files, named NODE_NAME_TAG.
type Folder struct {
	dir string
}

// Open makes the directory if it is missing.
func Open(dir string) (*Folder, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, ferric.Errorf(ferric.CodeInternal, "shared files: %w", err)
	}
	return &Folder{dir: dir}, nil
}

// word is what node, name and tag may be made of.
var word = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9.-]{0,79}$`)

// Put shares the file at path for a node and returns its id. The file is linked, or copied where the file system cannot link, and an older
// one of the same name is taken away. tag tells contents apart, such as a checksum: the same tag shares the same file again at no cost.
func (f *Folder) Put(node, name, tag, path string) (id string, err error) {
	for _, w := range []string{node, name, tag} {
		if !word.MatchString(w) {
			return "", ferric.Errorf(ferric.CodeInternal, "shared file: %q cannot be part of a name", w)
		}
	}
	id = node + "_" + name + "_" + tag
	target := filepath.Join(f.dir, id)
	if _, err := os.Stat(target); err != nil {
		if !errors.Is(err, os.ErrNotExist) {
			return "", ferric.Errorf(ferric.CodeInternal, "shared file: %w", err)
		}
		if err := place(path, target); err != nil {
			return "", err
		}
	}
	return id, f.remove(node+"_"+name+"_", id)
}

// place links or copies a file so that it appears whole or not at all.
func place(path, target string) error {
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return ferric.Errorf(ferric.CodeNotFound, "shared file: %w", err)
	}
	err = os.Link(real, target)
	if err == nil || errors.Is(err, os.ErrExist) {
		return nil
	}
	in, err := os.Open(real)
	if err != nil {
		return ferric.Errorf(ferric.CodeNotFound, "shared file: %w", err)
	}
	defer in.Close()
	tmp, err := os.CreateTemp(filepath.Dir(target), newPrefix+"*")
	if err != nil {
		return ferric.Errorf(ferric.CodeInternal, "shared file: %w", err)
	}
	defer os.Remove(tmp.Name())
	_, err = io.Copy(tmp, in)
	if err = errors.Join(err, tmp.Sync(), tmp.Close()); err == nil {
		err = os.Rename(tmp.Name(), target)
	}
	if err != nil {
		code := ferric.CodeInternal
		if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
			code = ferric.CodeNoSpace
		}
		return ferric.Errorf(code, "copy %s to %s: %w", path, filepath.Dir(target), err)
	}
	return nil
}

// Remove takes away what is shared for a node under the names.
func (f *Folder) Remove(node string, names ...string) error {
	for _, name := range names {
		if err := f.remove(node+"_"+name+"_", ""); err != nil {
			return err
		}
	}
	return nil
}

// remove takes away all files with the prefix but one.
func (f *Folder) remove(prefix, but string) error {
	entries, err := os.ReadDir(f.dir)
	if err != nil {
		return ferric.Errorf(ferric.CodeInternal, "shared files: %w", err)
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), prefix) && e.Name() != but {
			if err := os.Remove(filepath.Join(f.dir, e.Name())); err != nil && !errors.Is(err, os.ErrNotExist) {
				return ferric.Errorf(ferric.CodeInternal, "shared file: %w", err)
			}
		}
	}
	return nil
}

// IDs lists the shared files.
func (f *Folder) IDs() ([]string, error) {
	entries, err := os.ReadDir(f.dir)
	if err != nil {
		return nil, ferric.Errorf(ferric.CodeInternal, "shared files: %w", err)
	}
	var ids []string
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), newPrefix) {
			ids = append(ids, e.Name())
		}
	}
	return ids, nil
}

// Sweep takes away the files that are not to be kept, and what a process that died was copying an hour ago. It returns how many it took.
func (f *Folder) Sweep(keep func(id string) bool) (removed int, err error) {
	entries, err := os.ReadDir(f.dir)
	if err != nil {
		return 0, ferric.Errorf(ferric.CodeInternal, "shared files: %w", err)
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), newPrefix) {
			if info, err := e.Info(); err != nil || time.Since(info.ModTime()) < time.Hour {
				continue
			}
		} else if keep(e.Name()) {
			continue
		}
		if err := os.Remove(filepath.Join(f.dir, e.Name())); err != nil && !errors.Is(err, os.ErrNotExist) {
			return removed, ferric.Errorf(ferric.CodeInternal, "shared file: %w", err)
		}
		removed++
	}
	return removed, nil
}

// newPrefix begins the name of a file that is being copied.
const newPrefix = ".new-"

// Split takes an id apart. ok is false if it is none.
func Split(id string) (node, name, tag string, ok bool) {
	parts := strings.Split(id, "_")
	if len(parts) != 3 || !word.MatchString(parts[0]) || !word.MatchString(parts[1]) || !word.MatchString(parts[2]) {
		return "", "", "", false
	}
	return parts[0], parts[1], parts[2], true
}

// Get opens a shared file. CodeNotFound if there is none of the id.
func (f *Folder) Get(id string) (*os.File, error) {
	for _, w := range strings.Split(id, "_") {
		if !word.MatchString(w) {
			return nil, ferric.Errorf(ferric.CodeNotFound, "there is no shared file %q", id)
		}
	}
	file, err := os.Open(filepath.Join(f.dir, id))
	if err != nil {
		return nil, ferric.Errorf(ferric.CodeNotFound, "there is no shared file %q", id)
	}
	return file, nil
}

// Tag makes a tag of a file's content.
func Tag(path string) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", ferric.Errorf(ferric.CodeNotFound, "%w", err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return "", ferric.Errorf(ferric.CodeNotFound, "%w", err)
	}
	if !info.Mode().IsRegular() {
		return "", ferric.Errorf(ferric.CodeInvalid, "%s is not a file", path)
	}
	sum := sha256.New()
	if _, err := io.Copy(sum, file); err != nil {
		return "", ferric.Errorf(ferric.CodeUnavailable, "%w", err)
	}
	return hex.EncodeToString(sum.Sum(nil))[:32], nil
}
