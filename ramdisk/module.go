package ramdisk

import (
	"bytes"
	"compress/gzip"
	"debug/elf"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"

	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"

	"ferric"
)

// module is one kernel module, uncompressed, with what its .modinfo section says.
type module struct {
	name     string
	path     string // below the modules directory, ending in .ko
	data     []byte
	depends  []string
	softPre  []string // wanted before it, may be missing
	aliases  []string
	firmware []string
}

// maxModule bounds an uncompressed module, in bytes.
const maxModule = 128 << 20

// modules finds modules below one kernel's directory.
type modules struct {
	dir     string
	files   map[string]string // name -> path below dir
	builtin map[string]bool
	read    map[string]*module
}

func openModules(dir string) (*modules, error) {
	m := &modules{dir: dir, files: map[string]string{}, builtin: map[string]bool{}, read: map[string]*module{}}
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.Name() == "build" || d.Name() == "source" {
			return nil // links to header packages
		}
		if !d.IsDir() && isModule(d.Name()) {
			rel, err := filepath.Rel(dir, p)
			if err != nil {
				return err
			}
			m.files[moduleName(rel)] = rel
		}
		return nil
	})
	if err != nil {
		return nil, ferric.Errorf(ferric.CodeNotFound, "list kernel modules: %w", err)
	}
	if len(m.files) == 0 {
		return nil, ferric.Errorf(ferric.CodeNotFound, "no kernel modules in %s", dir)
	}
	if b, err := os.ReadFile(filepath.Join(dir, "modules.builtin")); err == nil {
		for _, f := range strings.Fields(string(b)) {
			m.builtin[moduleName(f)] = true
		}
	}
	return m, nil
}

func isModule(name string) bool {
	for _, ext := range []string{".ko", ".ko.xz", ".ko.zst", ".ko.gz"} {
		if strings.HasSuffix(name, ext) {
			return true
		}
	}
	return false
}

// moduleName is the name by which modules call each other: without directories and endings, dashes as underscores.
func moduleName(file string) string {
	base := filepath.Base(file)
	if i := strings.Index(base, ".ko"); i >= 0 {
		base = base[:i]
	}
	return strings.ReplaceAll(base, "-", "_")
}

// load reads a module, nil if the kernel has none of that name.
func (m *modules) load(name string) (*module, error) {
	name = strings.ReplaceAll(name, "-", "_")
	if mod, ok := m.read[name]; ok {
		return mod, nil
	}
	rel, ok := m.files[name]
	if !ok {
		return nil, nil
	}
	data, err := readModule(filepath.Join(m.dir, rel))
	if err != nil {
		return nil, ferric.Errorf(ferric.CodeCorrupt, "kernel module %s: %w", rel, err)
	}
	mod, err := parseModule(data)
	if err != nil {
		return nil, ferric.Errorf(ferric.CodeCorrupt, "kernel module %s: %w", rel, err)
	}
	mod.name = name
	mod.path = rel[:strings.LastIndex(rel, ".ko")] + ".ko"
	m.read[name] = mod
	return mod, nil
}

func readModule(file string) ([]byte, error) {
	raw, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var r io.Reader
	switch filepath.Ext(file) {
	case ".xz":
		r, err = xz.NewReader(bytes.NewReader(raw))
	case ".gz":
		r, err = gzip.NewReader(bytes.NewReader(raw))
	case ".zst":
		var d *zstd.Decoder
		if d, err = zstd.NewReader(bytes.NewReader(raw)); err == nil {
			defer d.Close()
			r = d
		}
	default:
		return raw, nil
	}
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(r, maxModule+1))
	if err == nil && len(data) > maxModule {
		err = fmt.Errorf("longer than %d MiB", maxModule>>20)
	}
	return data, err
}

// parseModule reads the .modinfo section: "key=value" strings, each ended by a zero byte.
func parseModule(data []byte) (mod *module, err error) {
	defer func() { // debug/elf is not hardened against hostile files
		if p := recover(); p != nil {
			err = fmt.Errorf("damaged ELF file: %v", p)
		}
	}()
	f, err := elf.NewFile(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	mod = &module{data: data}
	sec := f.Section(".modinfo")
	if sec == nil {
		return mod, nil
	}
	info, err := sec.Data()
	if err != nil {
		return nil, err
	}
	for _, s := range strings.Split(string(info), "\x00") {
		key, value, ok := strings.Cut(s, "=")
		if !ok {
			continue
		}
		switch key {
		case "depends":
			for _, d := range strings.Split(value, ",") {
				if d != "" {
					mod.depends = append(mod.depends, strings.ReplaceAll(d, "-", "_"))
				}
			}
		case "alias":
			mod.aliases = append(mod.aliases, value)
		case "firmware":
			mod.firmware = append(mod.firmware, value)
		case "softdep":
			pre := false
			for _, w := range strings.Fields(value) {
				switch {
				case w == "pre:":
					pre = true
				case strings.HasSuffix(w, ":"):
					pre = false
				case pre:
					mod.softPre = append(mod.softPre, strings.ReplaceAll(w, "-", "_"))
				}
			}
		}
	}
	return mod, nil
}

// closure resolves the wanted modules to everything that must be packed. missing are wanted names that the kernel has
// neither as a module nor built in.
func (m *modules) closure(want []string) (all map[string]*module, missing []string, err error) {
	all = map[string]*module{}
	var visit func(name string, optional bool, by string) error
	visit = func(name string, optional bool, by string) error {
		name = strings.ReplaceAll(name, "-", "_")
		if all[name] != nil || m.builtin[name] {
			return nil
		}
		mod, err := m.load(name)
		if err != nil {
			return err
		}
		if mod == nil {
			switch {
			case by == "":
				missing = append(missing, name)
			case !optional:
				return ferric.Errorf(ferric.CodeCorrupt, "kernel module %s needs %s, which is not there", by, name)
			}
			return nil
		}
		all[name] = mod
		for _, d := range mod.depends {
			if err := visit(d, false, name); err != nil {
				return err
			}
		}
		for _, d := range mod.softPre {
			if err := visit(d, true, name); err != nil {
				return err
			}
		}
		return nil
	}
	for _, name := range want {
		if err := visit(name, false, ""); err != nil {
			return nil, nil, err
		}
	}
	sort.Strings(missing)
	return all, missing, nil
}

// order lists what must be loaded before the module, nearest last, without itself.
func order(all map[string]*module, name string) []string {
	var out []string
	seen := map[string]bool{name: true}
	var visit func(string)
	visit = func(n string) {
		mod := all[n]
		if mod == nil {
			return
		}
		for _, d := range append(append([]string(nil), mod.softPre...), mod.depends...) {
			if !seen[d] && all[d] != nil {
				seen[d] = true
				visit(d)
				out = append(out, d)
			}
		}
	}
	visit(name)
	return out
}

// indexes writes modules.dep and modules.alias in depmod's format for the packed modules.
func indexes(all map[string]*module) (dep, alias []byte) {
	names := make([]string, 0, len(all))
	for n := range all {
		names = append(names, n)
	}
	sort.Slice(names, func(i, j int) bool { return all[names[i]].path < all[names[j]].path })
	var d, a bytes.Buffer
	a.WriteString("# Aliases extracted from modules themselves.\n")
	for _, n := range names {
		fmt.Fprintf(&d, "%s:", all[n].path)
		before := order(all, n)
		for i := len(before) - 1; i >= 0; i-- { // depmod lists what is loaded last first
			fmt.Fprintf(&d, " %s", all[before[i]].path)
		}
		d.WriteByte('\n')
		for _, al := range all[n].aliases {
			fmt.Fprintf(&a, "alias %s %s\n", al, n)
		}
	}
	return d.Bytes(), a.Bytes()
}
