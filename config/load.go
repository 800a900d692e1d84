package config

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"ferric"
)

// DefaultFile is read when no file is named and it exists.
const DefaultFile = "/etc/ferric/ferric.toml"

// Source says where settings come from. The zero value gives nothing but the defaults that need no system; System
// fills in the process' own.
type Source struct {
	File        string   // the file to read; it must exist. --config and FERRIC_CONFIG come before it
	DefaultFile string   // read when no file is named and it exists
	Environ     []string // NAME=value; only FERRIC_…, HOME and XDG_DATA_HOME are looked at; an empty value counts as unset
	Flags       *Flags   // nil for none
	UID         int      // effective user id: decides the default of data_dir
	Hostname    string   // the default of host

	// Allowed adds the values allowed for keys whose values this package cannot know, by full name: the names of
	// hardware types and interfaces, of inspection hooks.
	Allowed map[string][]string
}

// System returns the source of this process. flags may be nil.
func System(flags *Flags) (Source, error) {
	host, err := os.Hostname()
	if err != nil {
		return Source{}, ferric.Errorf(ferric.CodeInternal, "configuration: find out the host's name: %w", err)
	}
	return Source{DefaultFile: DefaultFile, Environ: os.Environ(), Flags: flags, UID: os.Geteuid(), Hostname: host}, nil
}

// Load reads the configuration from all its sources. The error is a *ferric.Error with CodeInvalid that wraps
// Problems with everything that is wrong (or one problem when the file is not TOML at all).
func Load(src Source) (*Config, error) {
	l := &loader{src: src, keys: keys(), config: &Config{origins: map[string]string{}}}
	l.table = keyTable(l.keys)
	l.env = map[string]string{}
	for _, pair := range src.Environ {
		if name, value, _ := strings.Cut(pair, "="); value != "" {
			l.env[name] = value
		}
	}
	l.defaults()
	l.file()
	l.environment()
	l.flags()
	l.expand()
	l.contradictions()
	if err := l.problems.err(); err != nil {
		return nil, err
	}
	return l.config, nil
}

// Defaults returns the configuration without file, environment and flags, as root on a host named "localhost".
func Defaults() *Config {
	c, err := Load(Source{Hostname: "localhost"})
	if err != nil {
		panic(err) // a defect in the tags; a test loads the defaults
	}
	return c
}

// Validate checks a configuration that was made or changed by code, as Load checks.
func (c *Config) Validate() error {
	l := &loader{keys: keys(), config: c}
	l.table = keyTable(l.keys)
	for _, k := range l.keys {
		if err := k.verify(k.field(c), nil); err != nil {
			l.problem(k.name, "", err.Error())
		}
	}
	l.contradictions()
	return l.problems.err()
}

type loader struct {
	src      Source
	keys     []*key
	table    map[string]*key
	env      map[string]string
	config   *Config
	problems Problems
}

func (l *loader) problem(name, where, text string) {
	line := 0
	if colon := strings.LastIndexByte(where, ':'); colon >= 0 {
		line, _ = strconv.Atoi(where[colon+1:]) // 0 for what is not in a file
	}
	l.problems = append(l.problems, Problem{Key: name, Where: where, Text: text, line: line})
}

// set gives a key a value that has been read, if it is good.
func (l *loader) set(k *key, v reflect.Value, err error, where string) {
	if err == nil {
		err = k.verify(v, l.src.Allowed[k.name])
	}
	if err != nil {
		l.problem(k.name, where, err.Error())
		return
	}
	k.field(l.config).Set(v)
	l.config.origins[k.name] = where
}

// setText is set for a value from the environment or a flag, where a path may be relative to the working directory.
func (l *loader) setText(k *key, text, where string) {
	_, inGlance := ferric.GlanceImage(text)
	if slices.Contains([]string{"path", "file", "database"}, k.check) && k.typ.Kind() == reflect.String && !(inGlance && k.check == "file") &&
		text != "" && !strings.Contains(text, "://") {
		abs, err := filepath.Abs(text)
		if err != nil {
			l.problem(k.name, where, "find the working directory: "+err.Error())
			return
		}
		text = abs
	}
	v, err := parseText(k.typ, text)
	l.set(k, v, err, where)
}

func (l *loader) defaults() {
	for _, k := range l.keys {
		v, err := parseText(k.typ, k.def)
		if err != nil {
			l.problem(k.name, "default", err.Error())
			continue
		}
		k.field(l.config).Set(v)
	}
	if l.src.UID == 0 {
		return
	}
	switch {
	case filepath.IsAbs(l.env["XDG_DATA_HOME"]):
		l.config.DataDir = filepath.Join(l.env["XDG_DATA_HOME"], "ferric")
	case filepath.IsAbs(l.env["HOME"]):
		l.config.DataDir = filepath.Join(l.env["HOME"], ".local", "share", "ferric")
	default:
		l.config.DataDir = "" // refused by expand unless it is given
	}
}

func (l *loader) file() {
	file := l.src.File
	if env := l.env[envPrefix+"CONFIG"]; env != "" {
		file = env
	}
	if l.src.Flags != nil && l.src.Flags.file != "" {
		file = l.src.Flags.file
	}
	named := file != ""
	if !named {
		file = l.src.DefaultFile
	}
	if file == "" {
		return
	}
	data, err := os.ReadFile(file)
	switch {
	case os.IsNotExist(err) && !named:
		return
	case err != nil:
		l.problem("", "", "read the configuration file: "+err.Error())
		return
	}
	entries, problems := readFile(file, data, l.table)
	l.problems = append(l.problems, problems...)
	for _, e := range entries {
		k := l.table[e.name]
		v, err := parseTOML(k.typ, e.value)
		l.set(k, v, err, fmt.Sprintf("%s:%d", file, e.line))
	}
}

func (l *loader) environment() {
	known := map[string]*key{}
	for _, k := range l.keys {
		given := ""
		for _, name := range k.env {
			known[name] = k
			value, ok := l.env[name]
			if !ok {
				continue
			}
			if given != "" && value != l.env[given] {
				l.problem(k.name, name, "contradicts "+given+"; set one of the two")
				continue
			}
			given = name
		}
		if given != "" {
			l.setText(k, l.env[given], given)
		}
	}
	names := make([]string, 0, len(known))
	for name := range known {
		names = append(names, name)
	}
	slices.Sort(names)
	for name := range l.env {
		if !strings.HasPrefix(name, envPrefix) || known[name] != nil || foreignVariable.MatchString(name) {
			continue
		}
		text := "unknown environment variable"
		if near := nearest(name, names); near != "" {
			text += "; did you mean " + near + "?"
		}
		l.problem("", name, text)
	}
}

// foreignVariable matches FERRIC_… variables that are not settings of this package: the file's name, those of tests
// and tools, and those that Kubernetes sets for a service called ferric or ferric-….
var foreignVariable = regexp.MustCompile(`^FERRIC_(CONFIG$|OPENSTACK$|(TEST|LAB|DEMO|BENCH|RAMDISK|CACHE|QEMU)(_|$)|(.*_)?(SERVICE_HOST|SERVICE_PORT(_.*)?|PORT(_[0-9]+_(TCP|UDP|SCTP).*)?)$)`)

func (l *loader) flags() {
	if l.src.Flags == nil {
		return
	}
	for _, given := range l.src.Flags.given {
		k := l.table[given.key]
		if k == nil {
			l.problem(given.key, given.where, unknownKey(given.key, l.table))
			continue
		}
		l.setText(k, given.value, given.where)
	}
}

// expand fills in the placeholders of defaults and checks these.
func (l *loader) expand() {
	c := l.config
	if c.DataDir == "" {
		l.problem("data_dir", "", "must be given: neither XDG_DATA_HOME nor HOME says where the user's data is")
	}
	replace := strings.NewReplacer("{data_dir}", c.DataDir, "{hostname}", l.src.Hostname)
	for _, k := range l.keys {
		if c.origins[k.name] != "" {
			continue
		}
		v := k.field(c)
		switch {
		case v.Kind() == reflect.String:
			v.SetString(replace.Replace(v.String()))
		case v.Kind() == reflect.Slice && v.Type().Elem().Kind() == reflect.String:
			for i := range v.Len() {
				v.Index(i).SetString(replace.Replace(v.Index(i).String()))
			}
		}
		if err := k.verify(v, l.src.Allowed[k.name]); err != nil && c.DataDir != "" && !l.hasProblem(k.name) {
			l.problem(k.name, "default", err.Error())
		}
	}
}

func (l *loader) hasProblem(name string) bool {
	return slices.ContainsFunc(l.problems, func(p Problem) bool { return p.Key == name })
}

// contradictions adds what is wrong between keys, except in sections whose values are already found wrong.
func (l *loader) contradictions() {
	bad := map[string]bool{}
	for _, p := range l.problems {
		area, _, _ := strings.Cut(p.Key, ".")
		bad[area] = true
	}
	l.config.contradictions(func(name, text string) {
		if area, _, _ := strings.Cut(name, "."); !bad[area] {
			l.problem(name, l.config.origins[name], text)
		}
	})
}
