package image

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"ferric"
)

// fileSource is a regular file below one of the allowed roots.
type fileSource struct {
	file *os.File
	info SourceInfo
}

func openFile(u *url.URL, options Options) (Source, error) {
	shown := DisplayURL(u.String())
	if u.Host != "" && u.Host != "localhost" {
		return nil, ferric.Errorf(ferric.CodeInvalid, "image URL %s: file URLs name no host; write file:///path", shown)
	}
	if err := options.Validate(); err != nil {
		return nil, err
	}
	path := filepath.Clean(u.Path)
	if !filepath.IsAbs(path) {
		return nil, ferric.Errorf(ferric.CodeInvalid, "image URL %s: give an absolute path", shown)
	}
	file, err := openBelow(options.FileRoots, path)
	if err != nil {
		code := ferric.CodeUnavailable
		switch {
		case errors.Is(err, errOutside):
			code = ferric.CodeForbidden
		case errors.Is(err, fs.ErrNotExist):
			code = ferric.CodeNotFound
		case errors.Is(err, fs.ErrPermission):
			code = ferric.CodeForbidden
		}
		return nil, ferric.Errorf(code, "open image %s: %w", shown, err)
	}
	stat, err := file.Stat()
	if err == nil && !stat.Mode().IsRegular() {
		err = errors.New("it is not a regular file")
	}
	if err != nil {
		file.Close()
		return nil, ferric.Errorf(ferric.CodeForbidden, "open image %s: %w", shown, err)
	}
	return &fileSource{file: file, info: SourceInfo{
		URL: shown, Size: stat.Size(), LastModified: stat.ModTime().UTC().Format(time.RFC3339Nano), Ranges: true, Path: path,
	}}, nil
}

var errOutside = errors.New("it is outside the folders that file:// images may come from (file roots)")

// openBelow opens the file if it is below a root even after all symbolic links are followed.
func openBelow(roots []string, path string) (*os.File, error) {
	result := errOutside
	for _, folder := range roots {
		relative, err := filepath.Rel(filepath.Clean(folder), path)
		if err != nil || !filepath.IsLocal(relative) {
			continue
		}
		root, err := os.OpenRoot(folder)
		if err != nil {
			result = err
			continue
		}
		// Not blocking, since the path may be a FIFO.
		file, err := root.OpenFile(relative, os.O_RDONLY|syscall.O_NONBLOCK, 0)
		root.Close()
		if err == nil {
			return file, nil
		}
		if !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrPermission) {
			err = errOutside // os.Root says no more than "path escapes from parent"
		}
		result = err
	}
	return nil, result
}

func (s *fileSource) Info() SourceInfo { return s.info }

func (s *fileSource) Close() error { return s.file.Close() }

func (s *fileSource) ReaderAt(ctx context.Context) io.ReaderAt { return fileReaderAt{s, ctx} }

type fileReaderAt struct {
	s   *fileSource
	ctx context.Context
}

func (r fileReaderAt) ReadAt(p []byte, offset int64) (int, error) {
	if r.ctx.Err() != nil {
		return 0, contextError(r.ctx, "read image "+r.s.info.URL)
	}
	n, err := r.s.file.ReadAt(p, offset)
	if err != nil && err != io.EOF {
		err = ferric.Errorf(ferric.CodeUnavailable, "read image %s: %w", r.s.info.URL, err)
	}
	return n, err
}

func (s *fileSource) Reader(ctx context.Context, offset int64) (io.ReadCloser, error) {
	if offset < 0 || offset > s.info.Size {
		return nil, ferric.Errorf(ferric.CodeInvalid, "read image %s: offset %d is outside its %d bytes", s.info.URL, offset, s.info.Size)
	}
	return &fileReader{r: fileReaderAt{s, ctx}, offset: offset}, nil
}

// fileReader reads to the end and checks there that the file is still the one that was opened.
type fileReader struct {
	r      fileReaderAt
	offset int64
}

func (r *fileReader) Read(p []byte) (int, error) {
	info := r.r.s.info
	left := info.Size - r.offset
	if left == 0 {
		return 0, r.r.s.checkUnchanged()
	}
	n, err := r.r.ReadAt(p[:min(int64(len(p)), left)], r.offset)
	r.offset += int64(n)
	if err == io.EOF {
		err = nil
		if n == 0 {
			err = ferric.Errorf(ferric.CodeCorrupt, "image %s ended after %d of %d bytes; it was changed while it was read", info.URL, r.offset, info.Size)
		}
	}
	return n, err
}

func (r *fileReader) Close() error { return nil }

// checkUnchanged returns io.EOF if the file has the size and time that it was opened with.
func (s *fileSource) checkUnchanged() error {
	stat, err := s.file.Stat()
	if err != nil {
		return ferric.Errorf(ferric.CodeUnavailable, "read image %s: %w", s.info.URL, err)
	}
	if stat.Size() != s.info.Size || stat.ModTime().UTC().Format(time.RFC3339Nano) != s.info.LastModified {
		return ferric.Errorf(ferric.CodeCorrupt, "image %s was changed while it was read", s.info.URL)
	}
	return io.EOF
}
