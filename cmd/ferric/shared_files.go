package main

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"strings"
	"time"

	"ferric"
	"ferric/boot"
	"ferric/driver"
	"ferric/image"
	"ferric/image/share"
)

// bootFiles is where it is kept what machines may fetch, so that every boot host can bring it; store.Store is one.
type bootFiles interface {
	PutBootFile(ctx context.Context, f ferric.BootFile) error
	BootFile(ctx context.Context, node, name string) (ferric.BootFile, error)
	BootFiles(ctx context.Context) ([]ferric.BootFile, error)
	DeleteBootFile(ctx context.Context, node, name string) error
}

// bootSource says where a shared file comes from.
type bootSource struct {
	Configured string         `json:"configured,omitempty"` // "kernel" or "ramdisk": the host's own, as its configuration names it
	URL        string         `json:"url,omitempty"`
	Checksum   image.Checksum `json:"checksum,omitzero"`
	Declared   string         `json:"declared,omitempty"`
}

// spaceTime bounds how long an operation waits for space on a full disk.
const spaceTime = time.Hour

// shareTime bounds how long a machine waits for a file that this host has to fetch first.
const shareTime = 10 * time.Minute

// share brings a file here, shares it for the node, and notes it for the other hosts.
func (i *images) share(ctx context.Context, node, name string, src bootSource) (id string, entry image.Entry, err error) {
	id, tag, entry, err := i.bring(ctx, node, name, src)
	var full *image.Full
	if ferric.IsCode(err, ferric.CodeNoSpace) && !(errors.As(err, &full) && full.Hopeless()) {
		return "", entry, &driver.Pending{What: "space on the disk of image.cache_dir, " + i.dir, Timeout: spaceTime, Err: err}
	}
	if err != nil || i.files == nil || node == boot.DefaultID {
		return id, entry, err
	}
	if src.Configured == "" && src.Checksum.IsZero() {
		src.Checksum = image.Checksum{Algorithm: "sha256", Value: entry.SHA256} // other hosts bring the same or nothing
	}
	data, err := json.Marshal(src)
	if err != nil {
		return "", image.Entry{}, ferric.Errorf(ferric.CodeInternal, "note where %s of node %s comes from: %w", name, node, err)
	}
	return id, entry, i.files.PutBootFile(ctx, ferric.BootFile{NodeUUID: node, Name: name, Tag: tag, Source: data})
}

// bring fetches a file and puts it where machines may fetch it. The entry is empty for a configured one.
func (i *images) bring(ctx context.Context, node, name string, src bootSource) (id, tag string, entry image.Entry, err error) {
	if src.Configured != "" {
		path := localPath(i.kernel)
		if src.Configured == "ramdisk" {
			path = localPath(i.ramdisk)
		}
		if path == "" {
			return "", "", entry, ferric.Errorf(ferric.CodeNotFound, "this host has no deploy %s of its own: run ferric ramdisk build, or set boot.deploy_kernel and boot.deploy_ramdisk to files", src.Configured)
		}
		if tag, err = i.tag(path); err != nil {
			return "", "", entry, err
		}
		id, err = i.shared.Put(node, name, tag, path)
		return id, tag, entry, err
	}
	entry, release, err := i.cache.Get(ctx, image.Request{URL: src.URL, Checksum: src.Checksum, Declared: src.Declared})
	if err != nil {
		return "", "", entry, err
	}
	defer release()
	tag = entry.SHA256[:32]
	id, err = i.shared.Put(node, name, tag, entry.Path)
	return id, tag, entry, err
}

// unshare takes files of a node away.
func (i *images) unshare(ctx context.Context, node string, names ...string) error {
	if i.files != nil && node != boot.DefaultID {
		for _, name := range names {
			if err := i.files.DeleteBootFile(ctx, node, name); err != nil {
				return err
			}
		}
	}
	return i.shared.Remove(node, names...)
}

// urls are where machines find a file: at this host first, then at the others.
func (i *images) urls(name string) []string {
	var urls []string
	if i.site.HTTP != "" {
		urls = append(urls, i.site.URL(name))
	}
	if i.peers != nil {
		for _, p := range i.peers() {
			urls = append(urls, p+"/"+name)
		}
	}
	return urls
}

// OpenImage implements boot.Images: what another host shared is fetched when a machine asks for it here.
func (i *images) OpenImage(ctx context.Context, id string) (boot.Image, error) {
	f, err := i.shared.Get(id)
	if ferric.IsCode(err, ferric.CodeNotFound) {
		f, err = i.fromElsewhere(ctx, id, err)
	}
	if err != nil {
		return boot.Image{}, err
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return boot.Image{}, ferric.Errorf(ferric.CodeInternal, "shared file: %w", err)
	}
	return boot.Image{Content: f, ModTime: info.ModTime(), ETag: id}, nil
}

// fromElsewhere brings what another host shared. absent is the answer if nobody did.
func (i *images) fromElsewhere(ctx context.Context, id string, absent error) (*os.File, error) {
	node, name, tag, ok := share.Split(id)
	if !ok || i.files == nil || node == boot.DefaultID {
		return nil, absent
	}
	ctx, cancel := context.WithTimeout(ctx, shareTime)
	defer cancel()
	known, err := i.files.BootFile(ctx, node, name)
	if ferric.IsCode(err, ferric.CodeNotFound) || err == nil && known.Tag != tag {
		return nil, absent
	}
	if err != nil {
		return nil, ferric.Errorf(ferric.CodeUnavailable, "find out where %s of node %s comes from: %w", name, node, err)
	}
	var src bootSource
	if err := json.Unmarshal(known.Source, &src); err != nil {
		return nil, ferric.Errorf(ferric.CodeCorrupt, "where %s of node %s comes from: %w", name, node, err)
	}
	i.log.InfoContext(ctx, "a machine asks for a file that another host prepared; fetching it", "node", node, "file", name)
	own, ownTag, _, err := i.bring(ctx, node, name, src)
	if err != nil {
		return nil, ferric.Errorf(missingHere(err), "%s of node %s, which another host prepared, cannot be had here: %w", name, node, err)
	}
	if ownTag != tag { // the configured one; all others were verified
		i.log.WarnContext(ctx, "the deploy "+src.Configured+" of this host is not the same as that of the host that prepared the boot; machines get this host's. "+
			"Give all hosts with the role boot the same deploy kernel and ramdisk", "node", node)
	}
	return i.shared.Get(own)
}

// missingHere is the code of an error for a machine that asks: it may ask again, the file is known to exist.
func missingHere(err error) ferric.Code {
	if code := ferric.ErrorCode(err); code != ferric.CodeNotFound && code != ferric.CodeInvalid {
		return code
	}
	return ferric.CodeUnavailable
}

// taggedFile is a file whose content is known.
type taggedFile struct {
	size int64
	mod  time.Time
	tag  string
}

// tag is share.Tag, which is not asked again about a file that did not change.
func (i *images) tag(path string) (string, error) {
	i.mu.Lock() // one at a time: all want the same two files
	defer i.mu.Unlock()
	info, err := os.Stat(path)
	if err != nil {
		return "", ferric.Errorf(ferric.CodeNotFound, "%w", err)
	}
	have, ok := i.tags[path]
	if ok && have.size == info.Size() && have.mod.Equal(info.ModTime()) {
		return have.tag, nil
	}
	tag, err := share.Tag(path)
	if err == nil {
		i.tags[path] = taggedFile{info.Size(), info.ModTime(), tag}
	}
	return tag, err
}

// sweep takes away shared files that nobody wants any more: their node is gone, or another host ended what they were for.
func (i *images) sweep(ctx context.Context, records boot.Records) (removed int, err error) {
	ids, err := i.shared.IDs() // first: what is shared after this is not looked at
	if err != nil {
		return 0, err
	}
	files, err := i.files.BootFiles(ctx)
	if err != nil {
		return 0, err
	}
	boots, err := records.All(ctx)
	if err != nil {
		return 0, err
	}
	wanted := map[string]bool{}
	for _, f := range files {
		wanted[f.NodeUUID+"_"+f.Name] = true
	}
	for _, b := range boots {
		for _, ref := range []string{b.Kernel, b.Initrd} {
			wanted[strings.TrimPrefix(ref, boot.ImageFolder+"/")] = true
		}
	}
	for _, id := range ids {
		node, name, _, ok := share.Split(id)
		wanted[id] = wanted[id] || !ok || node == boot.DefaultID || wanted[node+"_"+name]
	}
	seen := map[string]bool{}
	for _, id := range ids {
		seen[id] = true
	}
	return i.shared.Sweep(func(id string) bool { return wanted[id] || !seen[id] })
}

// sweepInterval is how often shared files that nobody wants are looked for.
const sweepInterval = time.Hour

// sweepShared removes shared files that nobody wants, and adds the part that goes on with it.
func (s *service) sweepShared(ctx context.Context, pictures *images, now bool) {
	sweep := func(ctx context.Context) {
		n, err := pictures.sweep(ctx, bootRecords{s.store})
		switch {
		case err != nil && ctx.Err() == nil:
			s.log.Warn("cannot look for shared files that nobody wants; trying again in an hour", "error", err)
		case n > 0:
			s.log.Info("removed shared files that nobody wants any more", "files", n)
		}
	}
	if now {
		sweep(ctx)
	}
	s.run("shared files", func(ctx context.Context) error { return every(ctx, sweepInterval, sweep) })
}
