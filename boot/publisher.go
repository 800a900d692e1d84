package boot

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"ferric"
)

// Renderer writes the files that the loaders of one flavor read. Its methods are pure: they may be repeated and give
// the same files for the same Config. No file of one Config may have the path of another's.
type Renderer interface {
	// Render returns the files for a Config, which is valid and of the renderer's flavor. A Config without MACs asks
	// for the default files. It returns CodeInvalid for a Config that its loaders cannot boot.
	Render(Config) ([]File, error)
	// Common returns the files that are always there, such as one that leads a loader to the file for its MAC.
	Common() []File
}

// Publisher keeps the boot configurations of nodes: it writes the files that their loaders read, answers who boots
// what, and brings everything back after a restart. Make one with OpenPublisher.
type Publisher struct {
	nodesDir  string
	filesDir  string
	root      *os.Root
	renderers map[Flavor]Renderer

	write sync.Mutex // held while files change

	mu    sync.RWMutex
	nodes map[string]Config // by NodeUUID
	byMAC map[string]string // MAC to NodeUUID
}

// OpenPublisher opens the state in dir and makes dir where there is none: dir/nodes holds one JSON file per node,
// which is the truth; dir/files holds the generated files, which are written anew where they differ and removed where
// no node owns them. It returns CodeCorrupt if a node's file cannot be read. Close the publisher after use.
func OpenPublisher(dir string, renderers map[Flavor]Renderer) (*Publisher, error) {
	p := &Publisher{
		nodesDir:  filepath.Join(dir, "nodes"),
		filesDir:  filepath.Join(dir, "files"),
		renderers: maps.Clone(renderers),
		nodes:     map[string]Config{},
		byMAC:     map[string]string{},
	}
	for _, d := range []string{p.nodesDir, p.filesDir} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return nil, ferric.Errorf(ferric.CodeInternal, "make the boot state directory: %w", err)
		}
	}
	want, err := p.load()
	if err != nil {
		return nil, err
	}
	if err := p.reconcile(want); err != nil {
		return nil, ferric.Errorf(ferric.CodeInternal, "bring boot files up to date: %w", err)
	}
	if p.root, err = os.OpenRoot(p.filesDir); err != nil {
		return nil, ferric.Errorf(ferric.CodeInternal, "open the boot files: %w", err)
	}
	return p, nil
}

// Close releases the directory. Files stay where they are.
func (p *Publisher) Close() error { return p.root.Close() }

// Files returns the generated files as a file system that cannot be left, for a Tree.
func (p *Publisher) Files() fs.FS { return p.root.FS() }

// Publish makes cfg the boot configuration of its node, in place of an earlier one. When it returns nil the
// configuration is served and survives a restart. It may be repeated. It returns CodeInvalid for a bad cfg and
// CodeConflict if another node has one of the MACs.
func (p *Publisher) Publish(ctx context.Context, cfg Config) error {
	cfg, err := cfg.Normalize()
	if err != nil {
		return err
	}
	files, err := p.render(cfg)
	if err != nil {
		return err
	}
	data, err := json.MarshalIndent(cfg, "", "  ")
	if err != nil {
		return ferric.Errorf(ferric.CodeInternal, "encode boot configuration of node %s: %w", cfg.NodeUUID, err)
	}
	p.write.Lock()
	defer p.write.Unlock()
	if err := ctx.Err(); err != nil {
		return ferric.Errorf(ferric.CodeTimeout, "publish boot configuration of node %s: %w", cfg.NodeUUID, err)
	}
	old, err := p.checkMACs(cfg)
	if err != nil {
		return err
	}
	stale, err := p.staleFiles(old, files)
	if err != nil {
		return err
	}
	// The node's file first: what it says is put right at the next start, whatever happens after it.
	if err := writeAtomic(p.nodeFile(cfg.NodeUUID), append(data, '\n')); err != nil {
		return storeError(cfg.NodeUUID, err)
	}
	for _, f := range files {
		if err := writeAtomic(p.path(f.Path), f.Data); err != nil {
			return storeError(cfg.NodeUUID, err)
		}
	}
	p.index(old, &cfg)
	if err := p.removeFiles(stale); err != nil {
		return storeError(cfg.NodeUUID, err)
	}
	return nil
}

// Unpublish removes a node's configuration and its files. A node that has none is no error, so it may be repeated.
func (p *Publisher) Unpublish(ctx context.Context, nodeUUID string) error {
	p.write.Lock()
	defer p.write.Unlock()
	if err := ctx.Err(); err != nil {
		return ferric.Errorf(ferric.CodeTimeout, "remove boot configuration of node %s: %w", nodeUUID, err)
	}
	old, ok := p.Get(nodeUUID)
	if !ok {
		return nil
	}
	stale, err := p.staleFiles(&old, nil)
	if err != nil {
		return err
	}
	if err := p.removeFiles(stale); err != nil {
		return storeError(nodeUUID, err)
	}
	if err := removeDurably(p.nodeFile(nodeUUID)); err != nil {
		return storeError(nodeUUID, err)
	}
	p.index(&old, nil)
	return nil
}

// Lookup returns the configuration of the node that has the MAC, in any usual notation. It never returns the default.
func (p *Publisher) Lookup(mac string) (Config, bool) {
	mac, err := ParseMAC(mac)
	if err != nil {
		return Config{}, false
	}
	p.mu.RLock()
	defer p.mu.RUnlock()
	uuid, ok := p.byMAC[mac]
	if !ok {
		return Config{}, false
	}
	return p.nodes[uuid].clone(), true
}

// Get returns the configuration of a node, or the default one for DefaultID.
func (p *Publisher) Get(nodeUUID string) (Config, bool) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	cfg, ok := p.nodes[nodeUUID]
	return cfg.clone(), ok
}

// List returns every configuration, the default one included, ordered by NodeUUID.
func (p *Publisher) List() []Config {
	p.mu.RLock()
	defer p.mu.RUnlock()
	list := make([]Config, 0, len(p.nodes))
	for _, id := range slices.Sorted(maps.Keys(p.nodes)) {
		list = append(list, p.nodes[id].clone())
	}
	return list
}

func (p *Publisher) render(cfg Config) ([]File, error) {
	r := p.renderers[cfg.Flavor]
	if r == nil {
		return nil, ferric.Errorf(ferric.CodeUnsupported, "boot configuration of node %s: flavor %q is not served here", cfg.NodeUUID, cfg.Flavor)
	}
	return r.Render(cfg)
}

// checkMACs returns the node's present configuration, if any, and CodeConflict if another node has one of the MACs.
func (p *Publisher) checkMACs(cfg Config) (*Config, error) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	for _, mac := range cfg.MACs {
		if owner, ok := p.byMAC[mac]; ok && owner != cfg.NodeUUID {
			return nil, ferric.Errorf(ferric.CodeConflict, "publish boot configuration of node %s: MAC address %s is published for node %s", cfg.NodeUUID, mac, owner)
		}
	}
	if old, ok := p.nodes[cfg.NodeUUID]; ok {
		old = old.clone()
		return &old, nil
	}
	return nil, nil
}

// index puts next in the place of old; either may be nil.
func (p *Publisher) index(old, next *Config) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if old != nil {
		delete(p.nodes, old.NodeUUID)
		for _, mac := range old.MACs {
			delete(p.byMAC, mac)
		}
	}
	if next != nil {
		p.nodes[next.NodeUUID] = next.clone()
		for _, mac := range next.MACs {
			p.byMAC[mac] = next.NodeUUID
		}
	}
}

// staleFiles returns the paths of old's files that are not among files.
func (p *Publisher) staleFiles(old *Config, files []File) ([]string, error) {
	if old == nil {
		return nil, nil
	}
	had, err := p.render(*old)
	if err != nil {
		return nil, err
	}
	var stale []string
	for _, f := range had {
		if !slices.ContainsFunc(files, func(n File) bool { return n.Path == f.Path }) {
			stale = append(stale, f.Path)
		}
	}
	return stale, nil
}

func (p *Publisher) removeFiles(names []string) error {
	for _, name := range names {
		if err := removeDurably(p.path(name)); err != nil {
			return err
		}
		if dir := filepath.Dir(p.path(name)); dir != p.filesDir {
			_ = os.Remove(dir) // succeeds only for an empty directory, which is what is wanted
		}
	}
	return nil
}

// load reads every node's file into the index and returns the files that they want, by path.
func (p *Publisher) load() (map[string][]byte, error) {
	entries, err := os.ReadDir(p.nodesDir)
	if err != nil {
		return nil, ferric.Errorf(ferric.CodeInternal, "read boot state: %w", err)
	}
	want := map[string][]byte{}
	for _, r := range p.renderers {
		for _, f := range r.Common() {
			want[f.Path] = f.Data
		}
	}
	for _, e := range entries {
		name := filepath.Join(p.nodesDir, e.Name())
		if strings.HasPrefix(e.Name(), tmpPrefix) {
			if err := os.Remove(name); err != nil {
				return nil, ferric.Errorf(ferric.CodeInternal, "remove an unfinished boot state file: %w", err)
			}
			continue
		}
		cfg, err := readNode(name)
		if err == nil && e.Name() != cfg.NodeUUID+".json" {
			err = ferric.Errorf(ferric.CodeCorrupt, "it says that it belongs to node %s", cfg.NodeUUID)
		}
		if err == nil {
			_, err = p.checkMACs(cfg)
		}
		var files []File
		if err == nil {
			files, err = p.render(cfg)
		}
		if err != nil {
			return nil, ferric.Errorf(ferric.CodeCorrupt, "read boot state %s: %w; remove the file, the node's next deployment writes it anew", name, err)
		}
		p.index(nil, &cfg)
		for _, f := range files {
			want[f.Path] = f.Data
		}
	}
	return want, nil
}

func readNode(name string) (Config, error) {
	data, err := os.ReadFile(name)
	if err != nil {
		return Config{}, err
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	var cfg Config
	if err := dec.Decode(&cfg); err != nil {
		return Config{}, err
	}
	return cfg.Normalize()
}

// reconcile makes the files directory hold exactly want.
func (p *Publisher) reconcile(want map[string][]byte) error {
	var stale []string
	err := filepath.WalkDir(p.filesDir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(p.filesDir, name)
		if err != nil {
			return err
		}
		if _, ok := want[filepath.ToSlash(rel)]; !ok {
			stale = append(stale, filepath.ToSlash(rel))
		}
		return nil
	})
	if err != nil {
		return err
	}
	if err := p.removeFiles(stale); err != nil {
		return err
	}
	for name, data := range want {
		have, err := os.ReadFile(p.path(name))
		if err == nil && bytes.Equal(have, data) {
			continue
		}
		if err := writeAtomic(p.path(name), data); err != nil {
			return err
		}
	}
	return nil
}

func (p *Publisher) nodeFile(nodeUUID string) string {
	return filepath.Join(p.nodesDir, nodeUUID+".json")
}

func (p *Publisher) path(name string) string {
	return filepath.Join(p.filesDir, filepath.FromSlash(name))
}

func storeError(nodeUUID string, err error) error {
	return ferric.Errorf(ferric.CodeInternal, "store boot configuration of node %s: %w", nodeUUID, err)
}

// removeDurably removes a file that may be gone already, and makes that last over a power cut.
func removeDurably(path string) error {
	if err := os.Remove(path); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	}
	return syncDir(filepath.Dir(path))
}
