package image

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"ferric"
	"ferric/image/qcow2"
)

// hashes computes SHA-256 and, if it is another one, the expected checksum.
type hashes struct {
	expected Checksum
	sha256   hash.Hash
	other    hash.Hash // nil if the expected one is SHA-256 or none
}

func newHashes(expected Checksum) *hashes {
	h := &hashes{expected: expected, sha256: sha256.New()}
	if algorithm, other, err := expected.newHash(); err == nil && algorithm != "sha256" {
		h.other = other
	}
	return h
}

func (h *hashes) write(p []byte) {
	h.sha256.Write(p)
	if h.other != nil {
		h.other.Write(p)
	}
}

func (h *hashes) verify(what string) error {
	got := h.sha256
	if h.other != nil {
		got = h.other
	}
	return h.expected.verify(what, hex.EncodeToString(got.Sum(nil)))
}

// fetch brings an image into the folder.
func (c *Cache) fetch(ctx context.Context, key string, r Request) (meta, error) {
	source, err := Open(ctx, r.URL, c.options(r))
	if err != nil {
		return meta{}, err
	}
	defer source.Close()
	// Before anything is transferred; the file is inspected again when it is here.
	if _, err := Inspect(ctx, source, c.inspectOptions(r)); err != nil {
		return meta{}, err
	}
	if file, ok := source.(*fileSource); ok {
		m, done, err := c.adopt(ctx, key, r, file)
		if done || err != nil {
			return m, err
		}
	}
	if r.Checksum.IsZero() {
		r.Checksum = source.Info().Expected
	}
	m, again, err := c.download(ctx, key, r, source)
	for n := 0; n < restarts && c.remote(r) && !source.Info().Ranges && ferric.IsCode(err, ferric.CodeUnavailable) && ctx.Err() == nil; n++ {
		c.log.Warn("an image download broke off and cannot be carried on there; fetching all of it again", "url", source.Info().URL, "error", err.Error())
		m, again, err = c.download(ctx, key, r, source)
	}
	if again && ctx.Err() == nil {
		c.log.Warn("an image that was carried on from an earlier download is damaged; fetching all of it", "url", source.Info().URL, "error", err.Error())
		m, _, err = c.download(ctx, key, r, source)
	}
	return m, err
}

// restarts is how often an image is fetched again from the beginning when a service that cannot send parts of it broke off.
const restarts = 3

// download transfers the image. If it fails because of the network or is cancelled, what has arrived stays for
// the next time; otherwise nothing stays. again is true if the checksum is wrong and an earlier download was
// carried on.
func (c *Cache) download(ctx context.Context, key string, r Request, source Source) (m meta, again bool, err error) {
	info := source.Info()
	part := c.partial(key)
	file, err := os.OpenFile(part.data, os.O_CREATE|os.O_RDWR, 0o640)
	if err != nil {
		return meta{}, false, c.diskError("make "+part.data, info.Size, err)
	}
	defer func() {
		file.Close()
		interrupted := ferric.IsCode(err, ferric.CodeUnavailable) || ferric.IsCode(err, ferric.CodeTimeout)
		if err != nil && !(interrupted && part.resumable(info, r.Checksum)) {
			part.remove()
		}
	}()
	sums := newHashes(r.Checksum)
	have := part.length(info, r.Checksum)
	if have > 0 {
		c.log.Info("carrying an image download on", "url", info.URL, "offset", have, "size", info.Size)
		err = sums.readFrom(ctx, file, have)
	} else {
		err = part.begin(file, info)
	}
	if err == nil {
		err = c.room(max(info.Size, 0) - have)
	}
	if err == nil {
		err = c.transfer(ctx, file, source, have, sums)
	}
	if err != nil {
		return meta{}, false, c.diskError("write "+part.data, info.Size, err)
	}
	if err = sums.verify("image " + info.URL); err != nil {
		return meta{}, have > 0, err
	}
	if m, err = c.describe(ctx, r, info, file, sums); err != nil {
		return meta{}, false, err
	}
	m.name(key)
	if local, ok := source.(*fileSource); ok { // copied, since it could not be linked
		id, err := identify(local)
		if err != nil {
			return meta{}, false, err
		}
		m.Origin = &id
	}
	if err = c.publish(file, part, m); err != nil {
		return meta{}, false, c.diskError("finish "+part.data, info.Size, err)
	}
	return m, false, nil
}

// describe inspects the finished file, all of its tables included.
func (c *Cache) describe(ctx context.Context, r Request, info SourceInfo, file *os.File, sums *hashes) (meta, error) {
	stat, err := file.Stat()
	if err != nil {
		return meta{}, ferric.Errorf(ferric.CodeUnavailable, "image cache: %w", err)
	}
	local := &fileSource{file: file, info: SourceInfo{URL: info.URL, Size: stat.Size(), Ranges: true}}
	found, err := Inspect(ctx, local, c.inspectOptions(r))
	if err != nil {
		return meta{}, err
	}
	if found.Format == FormatQcow2 {
		tables, err := qcow2.Open(file, stat.Size(), qcow2.Options{})
		if err == nil {
			_, err = tables.Index()
		}
		if err != nil {
			return meta{}, ferric.Errorf(ferric.ErrorCode(err), "image %s: %w", info.URL, err)
		}
	}
	return meta{
		Source: info, Checksum: r.Checksum, SHA256: hex.EncodeToString(sums.sha256.Sum(nil)), Size: stat.Size(), ModTime: stat.ModTime(),
		Format: found.Format, PartitionTable: found.PartitionTable, VirtualSize: found.VirtualSize,
	}, nil
}

// transfer appends the rest of the source to the file. Hashing overlaps with reading and writing.
func (c *Cache) transfer(ctx context.Context, file *os.File, source Source, offset int64, sums *hashes) error {
	reader, err := source.Reader(ctx, offset)
	if err != nil {
		return err
	}
	defer reader.Close()
	free, full, hashed := make(chan []byte, 3), make(chan []byte, 3), make(chan struct{})
	for range cap(free) {
		free <- make([]byte, 1<<20)
	}
	go func() {
		defer close(hashed)
		for b := range full {
			sums.write(b)
			free <- b[:cap(b)]
		}
	}()
	defer func() {
		close(full)
		<-hashed
	}()
	for checkAt := offset; ; {
		b := <-free
		n, err := io.ReadFull(reader, b)
		_, writeErr := file.WriteAt(b[:n], offset)
		for writeErr != nil && isNoSpace(writeErr) && c.evictOne() {
			_, writeErr = file.WriteAt(b[:n], offset)
		}
		if writeErr != nil {
			return writeErr
		}
		full <- b[:n]
		offset += int64(n)
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			return nil
		}
		if err != nil {
			return err
		}
		if offset >= checkAt { // others write to the file system too
			checkAt = offset + 64<<20
			if err := c.room(0); err != nil {
				return err
			}
		}
	}
}

// publish makes the finished file an entry: data first, then the description, each by a rename.
func (c *Cache) publish(file *os.File, part partial, m meta) error {
	if err := file.Sync(); err != nil {
		return err
	}
	if err := os.Rename(part.data, c.dataPath(m)); err != nil {
		return err
	}
	part.remove()
	if err := c.writeMeta(m); err != nil {
		_ = os.Remove(c.dataPath(m))
		return err
	}
	return nil
}

// adopt makes a file:// image an entry without a copy. done is false if it must be copied.
func (c *Cache) adopt(ctx context.Context, key string, r Request, source *fileSource) (m meta, done bool, err error) {
	sums := newHashes(r.Checksum)
	if err := sums.readFrom(ctx, source.file, source.info.Size); err != nil {
		return meta{}, false, ferric.Errorf(ferric.ErrorCode(err), "hash image %s: %w", source.info.URL, err)
	}
	if err := sums.verify("image " + source.info.URL); err != nil {
		return meta{}, false, err
	}
	if m, err = c.describe(ctx, r, source.info, source.file, sums); err != nil {
		return meta{}, false, err
	}
	if err := source.checkUnchanged(); err != io.EOF {
		return meta{}, false, err
	}
	id, err := identify(source)
	if err != nil {
		return meta{}, false, err
	}
	m.Origin, m.Shared = &id, true
	m.name(key)
	if err := linkFile(source.file, c.dataPath(m)); err != nil {
		if !c.config.InPlace {
			return meta{}, false, nil
		}
		m.File = ""
	}
	if err := c.writeMeta(m); err != nil {
		c.remove(m)
		return meta{}, false, c.diskError("describe image "+source.info.URL, 0, err)
	}
	return m, true, nil
}

// linkFile gives an open file another name, whatever its path has become meanwhile.
func linkFile(file *os.File, path string) error {
	return unix.Linkat(unix.AT_FDCWD, fmt.Sprintf("/proc/self/fd/%d", file.Fd()), unix.AT_FDCWD, path, unix.AT_SYMLINK_FOLLOW)
}

// fileIdentity tells whether a file is still the one that was read.
type fileIdentity struct {
	Path    string
	Device  uint64
	Inode   uint64
	Size    int64
	ModTime int64 // nanoseconds since 1970
}

func identify(s *fileSource) (fileIdentity, error) {
	stat, err := s.file.Stat()
	if err != nil {
		return fileIdentity{}, ferric.Errorf(ferric.CodeUnavailable, "image %s: %w", s.info.URL, err)
	}
	id := fileIdentity{Path: s.info.Path, Size: stat.Size(), ModTime: stat.ModTime().UnixNano()}
	if sys, ok := stat.Sys().(*syscall.Stat_t); ok {
		id.Device, id.Inode = uint64(sys.Dev), sys.Ino
	}
	return id, nil
}

// partial is an unfinished download: its data, and a note of what it is part of.
type partial struct{ data, note string }

// partialNote is the content of the note.
type partialNote struct {
	Source SourceInfo
	Boot   string // of the kernel; data that was not flushed does not survive another boot
}

func (c *Cache) partial(key string) partial {
	path := filepath.Join(c.config.Dir, key)
	return partial{path + ".part", path + ".part.json"}
}

func (p partial) remove() {
	_ = os.Remove(p.data)
	_ = os.Remove(p.note)
}

// begin empties the data and writes the note.
func (p partial) begin(file *os.File, info SourceInfo) error {
	if err := file.Truncate(0); err != nil {
		return err
	}
	b, err := json.Marshal(partialNote{info, bootID()})
	if err != nil {
		return err
	}
	return os.WriteFile(p.note, b, 0o640)
}

// resumable reports whether a part of the file can be completed another time: the server has ranges, and a
// change of the file would be noticed.
func (p partial) resumable(info SourceInfo, expected Checksum) bool {
	return info.Ranges && info.Path == "" && (info.Validated() || !expected.IsZero())
}

// length is how much of the data can be used for the file that the server has now.
func (p partial) length(info SourceInfo, expected Checksum) int64 {
	b, err := os.ReadFile(p.note)
	if err != nil {
		return 0
	}
	var note partialNote
	stat, err := os.Stat(p.data)
	if err != nil || json.Unmarshal(b, &note) != nil || !p.resumable(info, expected) {
		return 0
	}
	if !note.Source.SameAs(info) || stat.Size() > info.Size || (expected.IsZero() && note.Boot != bootID()) {
		return 0
	}
	return stat.Size()
}

// bootID names this boot of the kernel.
func bootID() string {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}

// diskError gives errors of the cache's own file system a code; others have one.
func (c *Cache) diskError(what string, size int64, err error) error {
	var coded *ferric.Error
	if errors.As(err, &coded) {
		return err
	}
	if isNoSpace(err) {
		return c.noSpace(size)
	}
	return ferric.Errorf(ferric.CodeUnavailable, "image cache: %s: %w", what, err)
}
