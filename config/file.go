package config

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"
)

// entry is one value of the file.
type entry struct {
	name  string // dotted
	value any    // as the TOML decoder gives it
	line  int
}

// readFile takes a TOML document apart. A document that is not TOML gives one problem, because nothing behind the
// mistake can be trusted.
func readFile(file string, data []byte, table map[string]*key) ([]entry, Problems) {
	var tree map[string]any
	if err := toml.Unmarshal(data, &tree); err != nil {
		where := file
		var de *toml.DecodeError
		if errors.As(err, &de) {
			row, column := de.Position()
			where = fmt.Sprintf("%s:%d:%d", file, row, column)
		}
		return nil, Problems{{Where: where, Text: "not TOML: " + strings.TrimPrefix(err.Error(), "toml: ")}}
	}
	f := &flattener{file: file, table: table, lines: keyLines(data)}
	f.sections = map[string]bool{}
	for _, s := range sections() {
		f.sections[s.name] = true
	}
	f.walk("", tree)
	return f.entries, f.problems
}

// flattener turns the tree of a document into entries with the names of keys.
type flattener struct {
	file     string
	table    map[string]*key
	sections map[string]bool
	lines    map[string]int
	entries  []entry
	problems Problems
}

func (f *flattener) walk(prefix string, tree map[string]any) {
	for name, value := range tree {
		full := name
		if prefix != "" {
			full = prefix + "." + name
		}
		if f.table[full] != nil {
			f.entries = append(f.entries, entry{full, value, f.line(full)})
			continue
		}
		if prefix == "" && f.sections[name] {
			sub, ok := value.(map[string]any)
			if !ok {
				f.problem(full, "is a section; write ["+full+"] on a line of its own and its keys below")
				continue
			}
			f.walk(full, sub)
			continue
		}
		if _, table := value.(map[string]any); table && prefix == "" {
			f.problem(full, unknownSection(full))
			continue
		}
		f.problem(full, unknownKey(full, f.table))
	}
}

func (f *flattener) problem(name, text string) {
	line := f.line(name)
	f.problems = append(f.problems, Problem{Key: name, Where: fmt.Sprintf("%s:%d", f.file, line), Text: text, line: line})
}

// line finds a name's line, or that of the first thing below it.
func (f *flattener) line(name string) int {
	if n := f.lines[name]; n > 0 {
		return n
	}
	first := 0
	for other, n := range f.lines {
		if strings.HasPrefix(other, name+".") && (first == 0 || n < first) {
			first = n
		}
	}
	return first
}

// unknownKey says that there is no such key, and which one may be meant.
func unknownKey(name string, table map[string]*key) string {
	var names, elsewhere []string
	leaf := name[strings.LastIndexByte(name, '.')+1:]
	for n, k := range table {
		names = append(names, n)
		if k.leaf == leaf {
			elsewhere = append(elsewhere, n)
		}
	}
	slices.Sort(names) // the same suggestion every time
	if len(elsewhere) == 1 {
		return fmt.Sprintf("unknown key; did you mean %s?", elsewhere[0])
	}
	if near := nearest(name, names); near != "" {
		return fmt.Sprintf("unknown key; did you mean %s?", near)
	}
	return "unknown key; docs/configuration.md and \"ferric config reference\" list all keys"
}

func unknownSection(name string) string {
	var names []string
	for _, s := range sections() {
		names = append(names, s.name)
	}
	if near := nearest(name, names); near != "" {
		return fmt.Sprintf("unknown section; did you mean [%s]?", near)
	}
	return "unknown section; there are " + strings.Join(names, ", ")
}

// keyLines finds the line of every table head and key of a valid document, by dotted name.
func keyLines(data []byte) map[string]int {
	lines := map[string]int{}
	var p unstable.Parser
	p.Reset(data)
	table := ""
	for p.NextExpression() {
		e := p.Expression()
		switch e.Kind {
		case unstable.Table, unstable.ArrayTable:
			table = noteLine(&p, "", e.Key(), lines)
		case unstable.KeyValue:
			noteKeyValue(&p, table, e, lines)
		}
	}
	return lines
}

func noteKeyValue(p *unstable.Parser, prefix string, e *unstable.Node, lines map[string]int) {
	name := noteLine(p, prefix, e.Key(), lines)
	if v := e.Value(); v.Kind == unstable.InlineTable {
		for it := v.Children(); it.Next(); {
			noteKeyValue(p, name, it.Node(), lines)
		}
	}
}

// noteLine enters a (dotted) key and returns its full name.
func noteLine(p *unstable.Parser, prefix string, parts unstable.Iterator, lines map[string]int) string {
	name := prefix
	for parts.Next() {
		n := parts.Node()
		if name != "" {
			name += "."
		}
		name += string(n.Data)
		if lines[name] == 0 {
			lines[name] = p.Shape(n.Raw).Start.Line
		}
	}
	return name
}
