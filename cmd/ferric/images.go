package main

import (
	"context"
	"errors"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"ferric"
	"ferric/agentapi"
	"ferric/boot"
	"ferric/config"
	agentdriver "ferric/driver/agent"
	"ferric/image"
	"ferric/image/share"
	"ferric/openstack"
	"ferric/openstack/glance"
)

// images brings images, kernels and ramdisks to machines: it fetches into the cache and shares from there.
type images struct {
	cache  *image.Cache
	shared *share.Folder
	opts   image.Options
	dir    string        // image.cache_dir
	source string        // where agents get http(s) images by default: local or http
	md5    bool          // whether MD5 may be the checksum
	glance *glanceImages // nil without OpenStack

	kernel, ramdisk string          // the configured ones, which need not lie in an allowed path
	site            boot.Site       // where machines reach the boot services; set before these run
	peers           func() []string // the other hosts' URLs; nil or set before the services run
	files           bootFiles       // nil: only this host knows what is shared
	log             *slog.Logger

	mu   sync.Mutex
	tags map[string]taggedFile // by path
}

// newImages opens cache and shared files. files is where other hosts find what is shared here, and this one what they shared; it may be nil.
// cloud is nil without OpenStack.
func newImages(cfg *config.Config, files bootFiles, cloud *openstack.Session, log *slog.Logger) (*images, error) {
	opts := image.Options{FileRoots: cfg.Image.FileURLAllowedPaths, Insecure: cfg.Image.Insecure,
		ConnectTimeout: cfg.Image.ConnectTimeout, IdleTimeout: cfg.Image.StallTimeout, Logger: log}
	if cfg.Image.CAFile != "" {
		var err error
		if opts.CAs, err = os.ReadFile(cfg.Image.CAFile); err != nil {
			return nil, ferric.Errorf(ferric.CodeInvalid, "image.ca_file: %w", err)
		}
	}
	var inGlance *glanceImages
	if cloud != nil {
		inGlance = &glanceImages{client: glance.New(cloud), md5: cfg.Agent.AllowMD5Checksum}
		opts.Remotes, opts.RemoteFor = map[string]image.Remote{"glance": inGlance}, glancePatience
	}
	cache, err := image.OpenCache(image.CacheConfig{Dir: filepath.Join(cfg.Image.CacheDir, "cache"), MaxBytes: int64(cfg.Image.CacheSize),
		TTL: cfg.Image.CacheTTL, MinFree: minFree, Options: opts, Permitted: formats(cfg.Image.PermittedImageFormats),
		AllowMD5: cfg.Agent.AllowMD5Checksum, Logger: log})
	if err != nil {
		return nil, err
	}
	shared, err := share.Open(filepath.Join(cfg.Image.CacheDir, "shared"))
	if err != nil {
		return nil, errors.Join(err, cache.Close())
	}
	i := &images{cache: cache, shared: shared, opts: opts, dir: cfg.Image.CacheDir, source: cfg.Agent.ImageDownloadSource, files: files, log: log, tags: map[string]taggedFile{},
		md5: cfg.Agent.AllowMD5Checksum, glance: inGlance, kernel: cfg.Boot.DeployKernel, ramdisk: cfg.Boot.DeployRamdisk}
	if i.kernel == "" {
		i.kernel = existing(filepath.Join(ramdiskDir(cfg), "kernel"))
	}
	if i.ramdisk == "" {
		i.ramdisk = existing(filepath.Join(ramdiskDir(cfg), "initramfs"))
	}
	return i, nil
}

// minFree is what the cache leaves free on its disk, in bytes.
const minFree = 64 << 20

func formats(names []string) []image.Format {
	var out []image.Format
	for _, n := range names {
		out = append(out, image.Format(n))
	}
	return out
}

// existing returns the path if there is a file, else "".
func existing(path string) string {
	if _, err := os.Stat(path); err != nil {
		return ""
	}
	return path
}

// Close ends the cache.
func (i *images) Close() error { return i.cache.Close() }

// Publish implements agentdriver.Images.
func (i *images) Publish(ctx context.Context, node string, r agentdriver.ImageRequest) (agentapi.ImageInfo, error) {
	sum, err := image.ResolveChecksum(ctx, image.ChecksumRequest{ImageURL: r.Source, Checksum: r.Checksum, HashAlgo: r.OSHashAlgo, HashValue: r.OSHashValue,
		AllowMD5: i.md5}, i.opts)
	if err != nil {
		return agentapi.ImageInfo{}, err
	}
	from := r.DownloadSource
	if from == "" {
		from = i.source
	}
	name, inGlance := ferric.GlanceImage(r.Source)
	if !inGlance {
		name = r.Source
	}
	// An agent may not log in to Glance, and does not verify by MD5.
	if from == "http" && !strings.HasPrefix(r.Source, "file:") && !inGlance && sum.Algorithm != "md5" {
		return agentapi.ImageInfo{ID: r.Source, URLs: []string{r.Source}, DiskFormat: r.DiskFormat, OSHashAlgo: sum.Algorithm, OSHashValue: sum.Value}, nil
	}
	declared := r.DiskFormat
	if declared == "" && strings.HasSuffix(r.Source, ".qcow2") {
		declared = "qcow2" // so that a damaged one is not taken for a raw disk
	}
	id, entry, err := i.share(ctx, node, "image", bootSource{URL: r.Source, Checksum: sum, Declared: declared})
	if err != nil {
		return agentapi.ImageInfo{}, whileAway(r.Source, err)
	}
	return agentapi.ImageInfo{ID: name, URLs: i.urls("images/" + id), DiskFormat: string(entry.Format),
		OSHashAlgo: "sha256", OSHashValue: entry.SHA256}, nil
}

// Withdraw implements agentdriver.Images.
func (i *images) Withdraw(ctx context.Context, node string) error {
	return i.unshare(ctx, node, "image")
}

// Share implements netboot.Files.
func (i *images) Share(ctx context.Context, node, name, source string) (string, error) {
	src := bootSource{URL: source, Declared: "ari"} // Glance's names of the formats: a ramdisk, else a kernel
	if name == "kernel" {
		src.Declared = "aki"
	}
	path := localPath(source)
	inGlance, ok := ferric.GlanceImage(source)
	switch {
	case ok && i.glance == nil:
		return "", ferric.Errorf(ferric.CodeInvalid, "%s is an image in Glance, and Ferric has no cloud to ask: set the section [openstack] of the configuration", source)
	case ok:
		src.URL = "glance://" + inGlance
	case path != "" && source == i.kernel:
		src = bootSource{Configured: "kernel"}
	case path != "" && source == i.ramdisk:
		src = bootSource{Configured: "ramdisk"}
	case path != "":
		src.URL = (&url.URL{Scheme: "file", Path: path}).String()
	}
	id, _, err := i.share(ctx, node, name, src)
	return "images/" + id, whileAway(src.URL, err)
}

// localPath returns the path of a file URL or of a plain path, "" for anything else.
func localPath(source string) string {
	if filepath.IsAbs(source) {
		return source
	}
	if u, err := url.Parse(source); err == nil && u.Scheme == "file" && (u.Host == "" || u.Host == "localhost") {
		return u.Path
	}
	return ""
}

// Unshare implements netboot.Files.
func (i *images) Unshare(ctx context.Context, node string) error {
	return i.unshare(ctx, node, "kernel", "ramdisk")
}
