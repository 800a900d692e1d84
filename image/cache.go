package image

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"ferric"
)

// CacheConfig describes a cache.
type CacheConfig struct {
	Dir      string        // absolute; made if it is missing; belongs to one process at a time
	MaxBytes int64         // unused images are removed to stay below; images in use may exceed it; 0: no limit
	TTL      time.Duration // unused images are removed after that time; 0: never
	MinFree  int64         // bytes that stay free on the file system
	// InPlace serves file:// images from where they are if they cannot be hard-linked into Dir. Otherwise
	// they are copied then.
	InPlace   bool
	Options   Options  // how images are reached; FileRoots and Remotes count for all requests
	Permitted []Format // see InspectOptions
	AllowMD5  bool
	Logger    *slog.Logger
}

// Validate reports the first bad value with CodeInvalid.
func (c CacheConfig) Validate() error {
	switch {
	case !filepath.IsAbs(c.Dir):
		return ferric.Errorf(ferric.CodeInvalid, "image cache: the folder %q is not an absolute path", c.Dir)
	case c.MaxBytes < 0, c.TTL < 0, c.MinFree < 0:
		return ferric.Errorf(ferric.CodeInvalid, "image cache: sizes and times must not be negative")
	}
	return c.Options.Validate()
}

// Request asks for an image.
type Request struct {
	URL       string
	Checksum  Checksum // zero: what the server has now
	Declared  string   // disk_format; see InspectOptions
	Permitted []Format // nil: the cache's
	Options   *Options // nil: the cache's; else credentials, proxies and so on of this image
}

// Entry is a verified image on the conductor's disk. The file does not change and stays until it is released.
type Entry struct {
	Path           string
	Size           int64
	Format         Format
	PartitionTable string
	VirtualSize    int64
	SHA256         string // of the file, always computed
	Source         SourceInfo
	Hit            bool // nothing had to be transferred
}

// Cache keeps verified images in a folder. See the package comment for concurrency.
type Cache struct {
	config CacheConfig
	log    *slog.Logger
	lock   *os.File
	ctx    context.Context // of the downloads
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu      sync.Mutex
	entries map[string]*cached // current image by key
	stale   map[*cached]bool   // replaced while in use
	flights map[string]*flight // downloads by key
	closed  bool
}

// cached is an image of the cache; its fields but meta are guarded by Cache.mu.
type cached struct {
	meta  meta
	pins  int
	used  time.Time
	stale bool
}

// flight is a download that several callers may wait for.
type flight struct {
	request Request
	done    chan struct{}
	cancel  context.CancelFunc
	waiters int     // guarded by Cache.mu; 0: given up, to be waited for and not to be joined
	entry   *cached // set before done is closed; pinned once for every waiter
	err     error
}

// OpenCache opens or makes the cache and removes what an earlier process left unfinished, except downloads that
// can be carried on. A folder that another process uses fails with CodeConflict.
func OpenCache(config CacheConfig) (*Cache, error) {
	if err := config.Validate(); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(config.Dir, 0o750); err != nil {
		return nil, ferric.Errorf(ferric.CodeUnavailable, "make the image cache: %w", err)
	}
	lock, err := os.OpenFile(filepath.Join(config.Dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, ferric.Errorf(ferric.CodeUnavailable, "open the image cache: %w", err)
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		lock.Close()
		return nil, ferric.Errorf(ferric.CodeConflict, "the image cache %s is in use by another process: %w", config.Dir, err)
	}
	c := &Cache{config: config, log: config.Logger, lock: lock, entries: map[string]*cached{}, stale: map[*cached]bool{}, flights: map[string]*flight{}}
	if c.log == nil {
		c.log = slog.New(slog.DiscardHandler)
	}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	if err := c.scan(); err != nil {
		lock.Close()
		return nil, err
	}
	c.Evict()
	if config.TTL > 0 {
		c.wg.Go(c.evictInTime)
	}
	return c, nil
}

// evictInTime removes images that nobody wanted for the TTL, until the cache is closed.
func (c *Cache) evictInTime() {
	tick := time.NewTicker(max(c.config.TTL/10, time.Millisecond))
	defer tick.Stop()
	for {
		select {
		case <-c.ctx.Done():
			return
		case <-tick.C:
			c.Evict()
		}
	}
}

// Close stops all downloads, which can be carried on later, and waits for them. The files of entries that are
// still in use stay.
func (c *Cache) Close() error {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.cancel()
	c.wg.Wait()
	return c.lock.Close()
}

// key names an image in the cache. Credentials are part of it, so that what one caller may read is not handed
// to another who may not.
func (r Request) key() string {
	parts := []string{r.URL, r.Checksum.String()}
	if o := r.Options; o != nil {
		parts = append(parts, o.User, o.Password, o.Authorization)
	}
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return hex.EncodeToString(sum[:16])
}

// expects reports whether both requests accept the same images.
func (r Request) expects(other Request) bool {
	return r.Declared == other.Declared && slices.Equal(r.Permitted, other.Permitted)
}

func (c *Cache) inspectOptions(r Request) InspectOptions {
	o := InspectOptions{Permitted: r.Permitted, Declared: r.Declared}
	if o.Permitted == nil {
		o.Permitted = c.config.Permitted
	}
	return o
}

// options are the request's with the cache's file roots.
func (c *Cache) options(r Request) Options {
	o := c.config.Options
	if r.Options != nil {
		o = *r.Options
		o.FileRoots, o.Remotes = c.config.Options.FileRoots, c.config.Options.Remotes
	}
	if o.Logger == nil {
		o.Logger = c.log
	}
	return o
}

// remote reports whether a Remote keeps the image.
func (c *Cache) remote(r Request) bool {
	scheme, _, _ := strings.Cut(r.URL, ":")
	return c.options(r).Remotes[scheme] != nil
}

// Get returns the image, from the disk if it is there and current. Callers that ask for the same image wait for
// one download, which ends early only when all of them have given up; what had arrived until then, and
// what a killed process had fetched, is used by the next one. The caller must call release when it no longer
// needs the file. Errors: see the package comment; a full disk is CodeNoSpace with the path, the bytes needed
// and free, and leaves nothing behind.
func (c *Cache) Get(ctx context.Context, r Request) (entry Entry, release func(), err error) {
	if r.Checksum.Algorithm == "md5" && !c.config.AllowMD5 {
		return Entry{}, nil, ferric.Errorf(ferric.CodeInvalid, "image checksum: MD5 is not allowed; use sha256 or sha512, or allow MD5 in the configuration")
	}
	if _, _, err := r.Checksum.newHash(); err != nil {
		return Entry{}, nil, err
	}
	e, hit, err := c.get(ctx, r)
	if err != nil {
		return Entry{}, nil, err
	}
	var once sync.Once
	release = func() { once.Do(func() { c.unpin(e) }) }
	m := e.meta
	if err := c.inspectOptions(r).check(Info{Format: m.Format, PartitionTable: m.PartitionTable}); err != nil {
		release()
		return Entry{}, nil, ferric.Errorf(ferric.CodeCorrupt, "image %s: %w", m.Source.URL, err)
	}
	return Entry{
		Path: c.dataPath(m), Size: m.Size, Format: m.Format, PartitionTable: m.PartitionTable, VirtualSize: m.VirtualSize,
		SHA256: m.SHA256, Source: m.Source, Hit: hit,
	}, release, nil
}

// get returns a pinned image.
func (c *Cache) get(ctx context.Context, r Request) (e *cached, hit bool, err error) {
	key := r.key()
	for {
		c.mu.Lock()
		if c.closed {
			c.mu.Unlock()
			return nil, false, ferric.Errorf(ferric.CodeUnavailable, "the image cache is closed")
		}
		if e := c.entries[key]; e != nil {
			e.pins++
			c.mu.Unlock()
			current, err := c.current(ctx, r, e)
			if current {
				c.touch(e)
				return e, true, nil
			}
			c.retire(e, err == nil)
			c.unpin(e)
			if err != nil {
				return nil, false, err
			}
			continue
		}
		f := c.flights[key]
		if f == nil {
			f = c.launch(key, r)
		} else if f.waiters == 0 {
			c.mu.Unlock()
			select {
			case <-f.done:
				continue
			case <-ctx.Done():
				return nil, false, contextError(ctx, "fetch image "+DisplayURL(r.URL))
			}
		}
		f.waiters++
		c.mu.Unlock()
		select {
		case <-f.done:
			if f.err == nil {
				return f.entry, false, nil
			}
			if f.request.expects(r) {
				return nil, false, f.err
			}
			// It failed for a caller who expected something else.
			if ctx.Err() != nil {
				return nil, false, contextError(ctx, "fetch image "+DisplayURL(r.URL))
			}
		case <-ctx.Done():
			c.leave(f)
			return nil, false, contextError(ctx, "fetch image "+DisplayURL(r.URL))
		}
	}
}

// leave gives up waiting; the last one to leave ends the download.
func (c *Cache) leave(f *flight) {
	c.mu.Lock()
	f.waiters--
	if f.waiters == 0 {
		f.cancel()
	}
	e := f.entry
	c.mu.Unlock()
	if e != nil {
		c.unpin(e) // it had ended at the same moment
	}
}

// launch starts a download; c.mu is held.
func (c *Cache) launch(key string, r Request) *flight {
	ctx, cancel := context.WithCancel(c.ctx)
	f := &flight{request: r, done: make(chan struct{}), cancel: cancel}
	c.flights[key] = f
	c.wg.Go(func() {
		defer cancel()
		m, err := c.fetch(ctx, key, r)
		if err != nil && c.ctx.Err() != nil {
			err = ferric.Errorf(ferric.CodeUnavailable, "the image cache was closed: %w", err)
		}
		c.mu.Lock()
		if err == nil {
			f.entry = &cached{meta: m, pins: f.waiters, used: time.Now()}
			c.entries[key] = f.entry
		}
		f.err = err
		delete(c.flights, key)
		close(f.done)
		c.mu.Unlock()
		c.Evict()
	})
	return f
}

// briefly is how long a service is asked about an image that is here already.
const briefly = 5 * time.Second

// current reports whether the pinned entry may be served. An error means that this could not be found out.
func (c *Cache) current(ctx context.Context, r Request, e *cached) (bool, error) {
	m := e.meta
	stat, err := os.Stat(c.dataPath(m))
	if err != nil || stat.Size() != m.Size || !stat.ModTime().Equal(m.ModTime) {
		return false, nil // removed or changed behind our back
	}
	if m.File != "" && !r.Checksum.IsZero() {
		return true, nil
	}
	options := c.options(r)
	if options.RemoteFor == 0 || options.RemoteFor > briefly {
		options.RemoteFor = briefly
	}
	source, err := Open(ctx, r.URL, options)
	if err != nil && c.remote(r) && (ferric.IsCode(err, ferric.CodeUnavailable) || ferric.IsCode(err, ferric.CodeTimeout)) && ctx.Err() == nil {
		c.log.Warn("the image's service cannot be asked; the image is taken from the cache", "url", m.Source.URL, "error", err.Error())
		return true, nil // what it has under a name never changes
	}
	if err != nil {
		return false, err
	}
	defer source.Close()
	if file, ok := source.(*fileSource); ok {
		id, err := identify(file)
		return err == nil && m.Origin != nil && id == *m.Origin, err
	}
	return source.Info().Validated() && source.Info().SameAs(m.Source), nil
}

// retire takes an entry that is no longer current out of use, or leaves it if current is not known.
func (c *Cache) retire(e *cached, known bool) {
	if !known {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !e.stale {
		e.stale = true
		c.stale[e] = true
		if c.entries[e.meta.Key] == e {
			delete(c.entries, e.meta.Key)
		}
	}
}

func (c *Cache) touch(e *cached) {
	now := time.Now()
	c.mu.Lock()
	e.used = now
	c.mu.Unlock()
	// The time survives a restart; losing it only makes the image look older.
	_ = os.Chtimes(c.metaPath(e.meta), now, now)
}

func (c *Cache) unpin(e *cached) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e.pins--
	e.used = time.Now()
	if e.pins == 0 && e.stale {
		delete(c.stale, e)
		c.remove(e.meta)
	}
}

// readFrom adds the first n bytes of the file.
func (h *hashes) readFrom(ctx context.Context, r io.ReaderAt, n int64) error {
	buffer := make([]byte, 1<<20)
	for offset := int64(0); offset < n; {
		if ctx.Err() != nil {
			return contextError(ctx, "hash an image")
		}
		got, err := r.ReadAt(buffer[:min(int64(len(buffer)), n-offset)], offset)
		h.write(buffer[:got])
		offset += int64(got)
		if err != nil && !(errors.Is(err, io.EOF) && offset == n) {
			return err
		}
	}
	return nil
}
