package boot

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"path"
	"regexp"
	"strings"
	"time"

	"ferric"
)

// Files returns what loaders read as a file system, for a Tree: a machine's files are written when they are opened. An error other than "does not exist" says
// that it cannot be known now what the machine boots.
func (p *Publisher) Files() fs.FS { return served{p} }

type served struct{ p *Publisher }

// macInName finds the MAC in the name of a machine's file.
var macInName = regexp.MustCompile(`(?:[0-9a-f]{2}-){5}[0-9a-f]{2}(?:/|$)`)

// whose returns the MAC of the machine that a file is for, "" for all others, and whether the name is that of a machine's file at all.
func whose(name string) (mac string, ok bool) {
	if found := macInName.FindString(name); found != "" {
		mac = strings.ReplaceAll(strings.TrimSuffix(found, "/"), "-", ":")
	}
	return mac, name == PXELinuxPath(mac) || name == GRUBPath(mac) || name == ScriptPath(mac)
}

// Open implements fs.FS.
func (s served) Open(name string) (fs.File, error) {
	fail := func(err error) (fs.File, error) { return nil, &fs.PathError{Op: "open", Path: name, Err: err} }
	if !fs.ValidPath(name) {
		return fail(fs.ErrInvalid)
	}
	if data, ok := s.p.common[name]; ok {
		return newTextFile(name, data, s.p.opened), nil
	}
	mac, ok := whose(name)
	if !ok {
		return fail(fs.ErrNotExist)
	}
	var r Record
	var err error
	if mac == "" {
		r, err = s.p.defaultRecord()
	} else {
		r, err = s.p.lookup(context.Background(), mac) // bounded by Patience
	}
	if ferric.IsCode(err, ferric.CodeNotFound) {
		return fail(fs.ErrNotExist)
	}
	var files []File
	if err == nil {
		files, err = s.p.render(r.Config)
	}
	if err != nil {
		return fail(err)
	}
	for _, f := range files {
		if f.Path == name {
			return newTextFile(name, f.Data, r.At), nil
		}
	}
	return fail(fs.ErrNotExist)
}

// textFile is a file that was written in memory.
type textFile struct {
	*bytes.Reader
	info imageInfo
}

func newTextFile(name string, data []byte, mod time.Time) *textFile {
	return &textFile{bytes.NewReader(data), imageInfo{path.Base(name), int64(len(data)), mod}}
}

// Stat implements fs.File.
func (f *textFile) Stat() (fs.FileInfo, error) { return f.info, nil }

// Close implements fs.File.
func (f *textFile) Close() error { return nil }

var _ interface {
	fs.File
	Seek(offset int64, whence int) (int64, error)
} = (*textFile)(nil)

// Unknown reports whether an error of a file system of this package says that it cannot be known now whether there is a file, or what is in it: asking
// again later may help.
func Unknown(err error) bool {
	return err != nil && !errors.Is(err, fs.ErrNotExist) &&
		(ferric.IsCode(err, ferric.CodeUnavailable) || ferric.IsCode(err, ferric.CodeTimeout) || ferric.IsCode(err, ferric.CodeBusy) ||
			ferric.IsCode(err, ferric.CodeNoSpace))
}
