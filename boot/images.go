package boot

import (
	"context"
	"io"
	"io/fs"
	"strings"
	"time"

	"ferric"
)

// Image is an open image file. Whoever gets it closes Content.
type Image struct {
	Content io.ReadSeekCloser
	ModTime time.Time
	ETag    string // an entity tag's text without quotes, such as a checksum; optional
}

// Images opens the image files of a cache.
type Images interface {
	// OpenImage opens the image with the opaque id, or returns CodeNotFound. It may fetch what is not here yet: the machine that asks waits for it.
	OpenImage(ctx context.Context, id string) (Image, error)
}

// ImageFolder is the folder of the served tree that images are in; an image's path is ImageFolder/ID.
const ImageFolder = "images"

// ImageFS returns images as a file system with the files ImageFolder/ID, for a Tree that TFTP serves: a GRUB under
// Secure Boot cannot load by HTTP.
func ImageFS(images Images) fs.FS { return imageFS{images} }

type imageFS struct{ images Images }

// Open implements fs.FS.
func (f imageFS) Open(name string) (fs.File, error) {
	id, ok := strings.CutPrefix(name, ImageFolder+"/")
	if !fs.ValidPath(name) || !ok || strings.Contains(id, "/") {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	img, err := f.images.OpenImage(context.Background(), id)
	if ferric.IsCode(err, ferric.CodeNotFound) || ferric.IsCode(err, ferric.CodeInvalid) {
		err = fs.ErrNotExist
	}
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	size, err := img.Content.Seek(0, io.SeekEnd)
	if err == nil {
		_, err = img.Content.Seek(0, io.SeekStart)
	}
	if err != nil {
		img.Content.Close()
		return nil, &fs.PathError{Op: "seek", Path: name, Err: err}
	}
	return imageFile{img.Content, imageInfo{id, size, img.ModTime}}, nil
}

type imageFile struct {
	io.ReadSeekCloser
	info imageInfo
}

// Stat implements fs.File.
func (f imageFile) Stat() (fs.FileInfo, error) { return f.info, nil }

type imageInfo struct {
	name string
	size int64
	mod  time.Time
}

// The methods of fs.FileInfo.

func (i imageInfo) Name() string       { return i.name }
func (i imageInfo) Size() int64        { return i.size }
func (i imageInfo) Mode() fs.FileMode  { return 0o444 }
func (i imageInfo) ModTime() time.Time { return i.mod }
func (i imageInfo) IsDir() bool        { return false }
func (i imageInfo) Sys() any           { return nil }
