// Package modules loads kernel modules for the hardware that is there, by the aliases that sysfs shows.
//
// # Concurrency
//
// A Loader belongs to one goroutine.
package modules

import (
	"bufio"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path"
	"path/filepath"
	"sort"
	"strings"

	"golang.org/x/sys/unix"

	"ferric"
)

// Loader knows the modules below one directory and which of them are loaded.
type Loader struct {
	log     *slog.Logger
	dir     string // /lib/modules/<release>
	sys     string // /sys
	insert  func(file string, params string) error
	deps    map[string][]string // module name -> files to load before it, in order, itself last
	aliases []alias
	exact   map[string][]string // aliases without wildcards
	done    map[string]bool     // by name
	asked   map[string]bool     // modaliases handled
}

type alias struct{ pattern, module string }

// Open reads modules.dep and modules.alias of the running kernel's directory below root ("/lib/modules").
// A directory that does not exist gives a Loader that loads nothing: the kernel may have everything built in.
func Open(log *slog.Logger, root, release, sys string) (*Loader, error) {
	l := &Loader{log: log, dir: filepath.Join(root, release), sys: sys, insert: insert,
		deps: map[string][]string{}, exact: map[string][]string{}, done: map[string]bool{}, asked: map[string]bool{}}
	for _, f := range []struct {
		name  string
		parse func(io.Reader) error
	}{{"modules.dep", l.readDep}, {"modules.alias", l.readAlias}} {
		file, err := os.Open(filepath.Join(l.dir, f.name))
		if os.IsNotExist(err) {
			continue
		}
		if err != nil {
			return nil, ferric.Errorf(ferric.CodeInternal, "read kernel modules: %w", err)
		}
		err = f.parse(file)
		file.Close()
		if err != nil {
			return nil, ferric.Errorf(ferric.CodeInternal, "read %s: %w", f.name, err)
		}
	}
	return l, nil
}

// WithInsert replaces the system call that inserts a module file, for tests and dry runs.
func (l *Loader) WithInsert(f func(file, params string) error) *Loader {
	l.insert = f
	return l
}

// Name is a module's name by its file: "kernel/drivers/net/e1000e.ko.xz" and "snd-pcm" become "e1000e" and "snd_pcm".
func Name(file string) string {
	base := path.Base(file)
	if i := strings.Index(base, ".ko"); i >= 0 {
		base = base[:i]
	}
	return strings.ReplaceAll(base, "-", "_")
}

// readDep reads lines "a.ko: b.ko c.ko": a needs b and c, c is to be loaded first.
func (l *Loader) readDep(r io.Reader) error {
	sc := bufio.NewScanner(r)
	sc.Buffer(nil, 1<<20)
	for sc.Scan() {
		file, rest, ok := strings.Cut(sc.Text(), ":")
		if !ok {
			continue
		}
		need := strings.Fields(rest)
		order := make([]string, 0, len(need)+1)
		for i := len(need) - 1; i >= 0; i-- {
			order = append(order, need[i])
		}
		l.deps[Name(file)] = append(order, file)
	}
	return sc.Err()
}

// readAlias reads lines "alias <pattern> <module>".
func (l *Loader) readAlias(r io.Reader) error {
	sc := bufio.NewScanner(r)
	sc.Buffer(nil, 1<<20)
	for sc.Scan() {
		f := strings.Fields(sc.Text())
		if len(f) != 3 || f[0] != "alias" {
			continue
		}
		if strings.ContainsAny(f[1], "*?[") {
			l.aliases = append(l.aliases, alias{f[1], Name(f[2])})
		} else {
			l.exact[f[1]] = append(l.exact[f[1]], Name(f[2]))
		}
	}
	return sc.Err()
}

// Load inserts the modules and what they need. Unknown names are passed over: they are built in or not packed.
// It returns how many files were inserted. A module that refuses (no such hardware) is no error.
func (l *Loader) Load(names ...string) int {
	n := 0
	for _, name := range names {
		for _, file := range l.deps[Name(name)] {
			mod := Name(file)
			if l.done[mod] {
				continue
			}
			l.done[mod] = true
			if err := l.insert(filepath.Join(l.dir, file), ""); err != nil {
				l.log.Debug("module not loaded", "module", mod, "err", err)
				continue
			}
			n++
		}
	}
	return n
}

// Autoload loads modules for all devices in sysfs, again and again until no new device shows up, because a bus
// driver's devices appear only after it is loaded. It returns the number of modules inserted.
func (l *Loader) Autoload() int {
	total := 0
	for {
		n, fresh := 0, false
		for _, a := range l.modaliases() {
			if l.asked[a] {
				continue
			}
			l.asked[a], fresh = true, true
			n += l.Load(l.match(a)...)
		}
		total += n
		if n == 0 && !fresh {
			return total
		}
	}
}

// modaliases lists the aliases of all devices, sorted.
func (l *Loader) modaliases() []string {
	set := map[string]bool{}
	// Errors are devices that vanish while we look.
	_ = filepath.WalkDir(filepath.Join(l.sys, "devices"), func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || d.Name() != "modalias" {
			return nil
		}
		if b, err := os.ReadFile(p); err == nil {
			if s := strings.TrimSpace(string(b)); s != "" {
				set[s] = true
			}
		}
		return nil
	})
	out := make([]string, 0, len(set))
	for a := range set {
		out = append(out, a)
	}
	sort.Strings(out)
	return out
}

// match returns the modules whose alias fits the device's.
func (l *Loader) match(modalias string) []string {
	out := append([]string(nil), l.exact[modalias]...)
	for _, a := range l.aliases {
		// A device's alias holds no slash and no brackets, so path.Match has fnmatch's meaning.
		if ok, err := path.Match(a.pattern, modalias); ok && err == nil {
			out = append(out, a.module)
		}
	}
	return out
}

func insert(file, params string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	err = unix.FinitModule(int(f.Fd()), params, 0)
	if err == unix.EEXIST {
		return nil
	}
	return err
}
