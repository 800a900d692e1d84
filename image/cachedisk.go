package image

import (
	"cmp"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"ferric"
)

// meta describes an entry, in a JSON file beside its data.
type meta struct {
	Key            string // of the request
	ID             string // names the files; never used twice
	Created        time.Time
	File           string // name in the folder; "" if the image is served in place
	Source         SourceInfo
	Checksum       Checksum
	SHA256         string
	Size           int64
	ModTime        time.Time // of the data
	Format         Format
	PartitionTable string
	VirtualSize    int64
	Origin         *fileIdentity // of a file:// image
	Shared         bool          // the data is the file:// image itself, linked or in place
}

// name gives the entry an identity of its own, so that an image that replaces one that is still in use never
// touches its files.
func (m *meta) name(key string) {
	m.Key, m.Created = key, time.Now().UTC()
	m.ID = key + "-" + strconv.FormatInt(m.Created.UnixNano(), 36)
	m.File = m.ID + ".img"
}

// dataPath is where the image is.
func (c *Cache) dataPath(m meta) string {
	if m.File == "" {
		return m.Origin.Path
	}
	return filepath.Join(c.config.Dir, m.File)
}

// metaPath is where the description is.
func (c *Cache) metaPath(m meta) string { return filepath.Join(c.config.Dir, m.ID+".json") }

func (c *Cache) writeMeta(m meta) error {
	b, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return err
	}
	path := c.metaPath(m)
	if err := os.WriteFile(path+".new", append(b, '\n'), 0o640); err == nil {
		err = os.Rename(path+".new", path)
	}
	if err != nil {
		_ = os.Remove(path + ".new")
		return err
	}
	dir, err := os.Open(c.config.Dir)
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Sync()
}

// remove deletes an entry's files.
func (c *Cache) remove(m meta) {
	_ = os.Remove(c.metaPath(m))
	if m.File != "" {
		_ = os.Remove(filepath.Join(c.config.Dir, m.File))
	}
}

// room makes sure that so many bytes fit, by removing unused images and unfinished downloads if need be.
func (c *Cache) room(need int64) error {
	for {
		free, err := c.free()
		if err != nil {
			return err
		}
		if free-c.config.MinFree >= need {
			return nil
		}
		if !c.evictOne() {
			return c.noSpace(need)
		}
	}
}

func (c *Cache) free() (int64, error) {
	var stat unix.Statfs_t
	if err := unix.Statfs(c.config.Dir, &stat); err != nil {
		return 0, ferric.Errorf(ferric.CodeUnavailable, "image cache: find the free space of %s: %w", c.config.Dir, err)
	}
	return int64(stat.Bavail) * stat.Bsize, nil
}

// Full is in the chain of the error of a cache whose disk is full.
type Full struct {
	Need     int64 // bytes of what was to be written; 0 if that is not known
	Capacity int64 // bytes that would fit if the disk held nothing else
	text     string
}

// Error implements error.
func (f *Full) Error() string { return f.text }

// Hopeless reports whether it would not fit on the empty disk either.
func (f *Full) Hopeless() bool { return f.Need > f.Capacity }

func (c *Cache) noSpace(need int64) error {
	full := &Full{Need: need}
	free := int64(0) // if it is not known
	var stat unix.Statfs_t
	if unix.Statfs(c.config.Dir, &stat) == nil {
		free, full.Capacity = int64(stat.Bavail)*stat.Bsize, int64(stat.Blocks)*stat.Bsize-c.config.MinFree
	}
	reserve := ""
	if c.config.MinFree > 0 {
		reserve = ", of which " + bytesText(c.config.MinFree) + " are to stay free"
	}
	needs := "more"
	if need > 0 {
		needs = bytesText(need)
	}
	full.text = "the image cache " + c.config.Dir + " is full: the image needs " + needs + ", " + bytesText(free) + " are free" + reserve +
		"; free some space or give the cache a larger disk (image.cache_dir)"
	return ferric.Errorf(ferric.CodeNoSpace, "%w", full)
}

// Evict removes unused images that are older than the TTL, and the oldest ones while the cache is too large.
// The cache does so by itself after each download, and from time to time if there is a TTL.
func (c *Cache) Evict() {
	c.mu.Lock()
	defer c.mu.Unlock()
	total := int64(0)
	for _, e := range c.entries {
		total += e.cost()
	}
	for e := range c.stale {
		total += e.cost()
	}
	for _, e := range c.unused() {
		expired := c.config.TTL > 0 && time.Since(e.used) > c.config.TTL
		if expired || (c.config.MaxBytes > 0 && total > c.config.MaxBytes) {
			total -= e.cost()
			c.drop(e)
		}
	}
}

// cost is what the image takes in the folder.
func (e *cached) cost() int64 {
	if e.meta.Shared {
		return 0
	}
	return e.meta.Size
}

// unused lists the entries that nobody has pinned, the longest unused first; c.mu is held.
func (c *Cache) unused() []*cached {
	var list []*cached
	for _, e := range c.entries {
		if e.pins == 0 {
			list = append(list, e)
		}
	}
	slices.SortFunc(list, func(a, b *cached) int { return cmp.Compare(a.used.UnixNano(), b.used.UnixNano()) })
	return list
}

// drop removes an unused entry; c.mu is held.
func (c *Cache) drop(e *cached) {
	c.log.Info("removing an image from the cache", "url", e.meta.Source.URL, "size", e.meta.Size)
	delete(c.entries, e.meta.Key)
	c.remove(e.meta)
}

// evictOne removes the longest unused image that takes space, else an unfinished download that nobody works on.
func (c *Cache) evictOne() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, e := range c.unused() {
		if e.cost() > 0 {
			c.drop(e)
			return true
		}
	}
	parts, _ := filepath.Glob(filepath.Join(c.config.Dir, "*.part")) // the pattern is well-formed
	for _, path := range parts {
		key := strings.TrimSuffix(filepath.Base(path), ".part")
		if c.flights[key] == nil && os.Remove(path) == nil {
			c.partial(key).remove()
			return true
		}
	}
	return false
}

// partialLife is how long an unfinished download is kept.
const partialLife = 7 * 24 * time.Hour

// scan reads the folder at the start, and removes what is not complete.
func (c *Cache) scan() error {
	files, err := os.ReadDir(c.config.Dir)
	if err != nil {
		return ferric.Errorf(ferric.CodeUnavailable, "read the image cache: %w", err)
	}
	names := map[string]bool{}
	for _, file := range files {
		names[file.Name()] = true
	}
	known := map[string]bool{}
	for name := range names {
		if strings.HasSuffix(name, ".json") && !strings.HasSuffix(name, ".part.json") {
			if m, ok := c.load(name); ok {
				known[m.File] = true
			}
		}
	}
	for name := range names {
		path := filepath.Join(c.config.Dir, name)
		part, isNote := strings.CutSuffix(name, ".json")
		gone := false
		switch {
		case strings.HasSuffix(name, ".img"):
			gone = !known[name]
		case strings.HasSuffix(name, ".part"):
			stat, err := os.Stat(path)
			gone = !names[name+".json"] || err != nil || time.Since(stat.ModTime()) > partialLife
		case isNote && strings.HasSuffix(part, ".part"):
			gone = !names[part]
		case strings.HasSuffix(name, ".json.new"):
			gone = true
		}
		if gone {
			_ = os.Remove(path)
		}
	}
	return nil
}

// load reads a description and enters the image; it removes a description that is of no use.
func (c *Cache) load(name string) (meta, bool) {
	path := filepath.Join(c.config.Dir, name)
	var m meta
	b, err := os.ReadFile(path)
	stat, statErr := os.Stat(path)
	if err != nil || statErr != nil || json.Unmarshal(b, &m) != nil || !m.valid(name) {
		_ = os.Remove(path)
		return meta{}, false
	}
	older := c.entries[m.Key]
	if data, err := os.Stat(c.dataPath(m)); err != nil || data.Size() != m.Size || (older != nil && older.meta.Created.After(m.Created)) {
		_ = os.Remove(path)
		return meta{}, false
	}
	if older != nil { // it was in use when it was replaced
		c.remove(older.meta)
	}
	c.entries[m.Key] = &cached{meta: m, used: stat.ModTime()}
	return m, true
}

// valid checks a description that was read from the file of the given name.
func (m meta) valid(name string) bool {
	if m.ID+".json" != name || !strings.HasPrefix(m.ID, m.Key+"-") || len(m.SHA256) != 64 {
		return false
	}
	return m.File == m.ID+".img" || (m.File == "" && m.Origin != nil)
}
