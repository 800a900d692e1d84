// Package file reads overrides of policy rules from a file in YAML or JSON, as oslo.policy's policy.yaml, and reads it again when it changes.
//
// # Concurrency
//
// A Source may be asked by any number of goroutines. It has none of its own: whoever asks finds out that the file has changed.
package file

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"go.yaml.in/yaml/v3"

	"ferric"
	"ferric/policy"
)

// maxSize bounds a policy file.
const maxSize = 1 << 20

// Parse reads overrides: a mapping from a rule's name to its text, or to a list of lists of checks. name is the file's, for messages.
// CodeInvalid names file, line and rule.
func Parse(name string, data []byte) ([]policy.Override, error) {
	if len(data) > maxSize {
		return nil, ferric.Errorf(ferric.CodeInvalid, "%s: it is larger than %d bytes", name, maxSize)
	}
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	var doc yaml.Node
	switch err := decoder.Decode(&doc); {
	case errors.Is(err, io.EOF):
		return nil, nil // empty, or comments only
	case err != nil:
		return nil, ferric.Errorf(ferric.CodeInvalid, "%s: %w", name, err)
	}
	var more yaml.Node
	if err := decoder.Decode(&more); !errors.Is(err, io.EOF) {
		return nil, ferric.Errorf(ferric.CodeInvalid, "%s: it holds more than one document", name)
	}
	if len(doc.Content) != 1 || isNull(doc.Content[0]) {
		return nil, nil
	}
	top := doc.Content[0]
	if top.Kind != yaml.MappingNode {
		return nil, ferric.Errorf(ferric.CodeInvalid, "%s:%d: expected lines of the form \"rule\": \"check\"", name, top.Line)
	}
	var out []policy.Override
	for i := 0; i+1 < len(top.Content); i += 2 {
		key, value := top.Content[i], top.Content[i+1]
		if !isText(key) {
			return nil, ferric.Errorf(ferric.CodeInvalid, "%s:%d: a rule's name must be text", name, key.Line)
		}
		o := policy.Override{Name: key.Value, File: name, Line: key.Line}
		if reason := read(&o, value); reason != "" {
			return nil, ferric.Errorf(ferric.CodeInvalid, "%s:%d: rule %q: %s", name, value.Line, key.Value, reason)
		}
		out = append(out, o)
	}
	return out, nil
}

func isText(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!str" }
func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" }

// read takes a rule's value; reason says what is wrong with it.
func read(o *policy.Override, value *yaml.Node) (reason string) {
	switch {
	case isText(value):
		o.Check = value.Value
		return ""
	case isNull(value):
		return `it says nothing; write "" (with quotes) for everybody, "!" (with quotes) for nobody`
	case value.Kind != yaml.SequenceNode:
		return "it must be text, or a list of lists of checks"
	}
	o.Lists = [][]string{}
	for _, inner := range value.Content {
		switch {
		case isText(inner):
			o.Lists = append(o.Lists, []string{inner.Value})
		case inner.Kind == yaml.SequenceNode:
			list := []string{}
			for _, item := range inner.Content {
				if !isText(item) {
					return "its lists must hold checks, which are text"
				}
				list = append(list, item.Value)
			}
			o.Lists = append(o.Lists, list)
		default:
			return "its list must hold checks, or lists of checks"
		}
	}
	return ""
}

// Load reads a file and makes the rules that are in force with it.
func Load(path string, defaults []policy.Default) (*policy.Rules, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, ferric.Errorf(ferric.CodeInvalid, "policy file: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxSize+1))
	if err != nil {
		return nil, ferric.Errorf(ferric.CodeInvalid, "policy file: %w", err)
	}
	overrides, err := Parse(path, data)
	if err != nil {
		return nil, err
	}
	return policy.New(defaults, overrides)
}

// lookEvery is how often a Source looks whether its file has changed.
const lookEvery = time.Second

// Source holds the rules of a file.
type Source struct {
	path     string
	defaults []policy.Default
	log      *slog.Logger
	now      func() time.Time
	rules    atomic.Pointer[policy.Rules]
	nextLook atomic.Int64 // Unix nanoseconds

	mu   sync.Mutex
	seen stamp // of what is in rules, or was refused
}

// stamp tells one version of a file from another.
type stamp struct {
	modified time.Time
	size     int64
	file     os.FileInfo
}

func (s stamp) same(o stamp) bool {
	return s.modified.Equal(o.modified) && s.size == o.size && (s.file == nil) == (o.file == nil) && (s.file == nil || os.SameFile(s.file, o.file))
}

func stampOf(path string) stamp {
	info, err := os.Stat(path)
	if err != nil {
		return stamp{}
	}
	return stamp{info.ModTime(), info.Size(), info}
}

// Open reads the file. CodeInvalid as of Load; nil for now is time.Now.
func Open(path string, defaults []policy.Default, log *slog.Logger, now func() time.Time) (*Source, error) {
	if now == nil {
		now = time.Now
	}
	s := &Source{path: path, defaults: defaults, log: log, now: now, seen: stampOf(path)}
	rules, err := Load(path, defaults)
	if err != nil {
		return nil, err
	}
	s.take(rules)
	return s, nil
}

func (s *Source) take(rules *policy.Rules) {
	for _, w := range rules.Warnings() {
		s.log.Warn("the policy file has a check that does nothing", "problem", w)
	}
	s.nextLook.Store(s.now().Add(lookEvery).UnixNano())
	s.rules.Store(rules)
}

// Rules returns the rules in force. When the file has changed it is read again; if that fails the rules stay as they were, and the log says
// why, once.
func (s *Source) Rules() *policy.Rules {
	if s.now().UnixNano() >= s.nextLook.Load() && s.mu.TryLock() {
		s.look()
		s.mu.Unlock()
	}
	return s.rules.Load()
}

func (s *Source) look() {
	s.nextLook.Store(s.now().Add(lookEvery).UnixNano())
	found := stampOf(s.path)
	if found.same(s.seen) {
		return
	}
	s.seen = found
	rules, err := Load(s.path, s.defaults)
	if err != nil {
		s.log.Error("the policy file cannot be used; the rules stay as they were", "path", s.path, "error", err)
		return
	}
	s.take(rules)
	s.log.Info("policy read again", "path", s.path)
}
