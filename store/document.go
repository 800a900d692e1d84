package store

import (
	"encoding/json"
	"strings"

	"ferric"
)

// decodeDocument reads a JSON text into the field that v points to. What this package writes itself, plain texts and whole numbers, is read
// here, which takes a third of the time; json.Unmarshal reads everything else. The strings share the text's memory.
func decodeDocument(text string, v any) error {
	p := documentText{rest: text}
	switch into := v.(type) {
	case *map[string]any:
		if m, ok := p.object(0); ok && p.rest == "" {
			*into = m
			return nil
		}
	case *ferric.Interfaces:
		if m, ok := p.interfaces(); ok && p.rest == "" {
			*into = m
			return nil
		}
	}
	return json.Unmarshal([]byte(text), v)
}

// documentText reads JSON from the front of a text. Its methods return false for what they leave to json.Unmarshal: escapes, other letters than
// ASCII's, fractions, white space, and what is no JSON.
type documentText struct{ rest string }

// maxNested bounds how deep values are read here.
const maxNested = 32

// take removes a byte from the front, if it is there.
func (p *documentText) take(c byte) bool {
	if p.rest == "" || p.rest[0] != c {
		return false
	}
	p.rest = p.rest[1:]
	return true
}

func (p *documentText) word(w string, v any) (any, bool) {
	rest, ok := strings.CutPrefix(p.rest, w)
	p.rest = rest
	return v, ok
}

func (p *documentText) value(depth int) (any, bool) {
	if p.rest == "" || depth > maxNested {
		return nil, false
	}
	switch c := p.rest[0]; c {
	case '"':
		return p.text()
	case '{':
		return p.object(depth)
	case '[':
		return p.list(depth)
	case 't':
		return p.word("true", true)
	case 'f':
		return p.word("false", false)
	case 'n':
		return p.word("null", nil)
	}
	return p.whole()
}

// whole reads a number of up to 15 digits, which a float64 holds exactly.
func (p *documentText) whole() (float64, bool) {
	s := p.rest
	i, n := 0, int64(0)
	for ; i < len(s) && s[i] >= '0' && s[i] <= '9'; i++ {
		if i == 15 {
			return 0, false
		}
		n = 10*n + int64(s[i]-'0')
	}
	if i == 0 || i > 1 && s[0] == '0' || i < len(s) && s[i] != ',' && s[i] != '}' && s[i] != ']' {
		return 0, false
	}
	p.rest = s[i:]
	return float64(n), true
}

func (p *documentText) text() (string, bool) {
	s := p.rest
	for i := 1; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"':
			p.rest = s[i+1:]
			return s[1:i], s[0] == '"'
		case c < ' ' || c == '\\' || c >= 0x7f:
			return "", false
		}
	}
	return "", false
}

// members calls read for the value of each member of an object, with its name.
func (p *documentText) members(read func(name string) bool) bool {
	if !p.take('{') {
		return false
	}
	if p.take('}') {
		return true
	}
	for {
		name, ok := p.text()
		if !ok || !p.take(':') || !read(name) {
			return false
		}
		if p.take('}') {
			return true
		}
		if !p.take(',') {
			return false
		}
	}
}

func (p *documentText) object(depth int) (map[string]any, bool) {
	m := make(map[string]any, 8)
	ok := p.members(func(name string) bool {
		v, ok := p.value(depth + 1)
		m[name] = v
		return ok
	})
	return m, ok
}

func (p *documentText) interfaces() (ferric.Interfaces, bool) {
	m := make(ferric.Interfaces, 16)
	ok := p.members(func(name string) bool {
		v, ok := p.text()
		m[ferric.InterfaceKind(name)] = v
		return ok
	})
	return m, ok
}

func (p *documentText) list(depth int) ([]any, bool) {
	list := []any{}
	if !p.take('[') {
		return nil, false
	}
	if p.take(']') {
		return list, true
	}
	for {
		v, ok := p.value(depth + 1)
		if !ok {
			return nil, false
		}
		list = append(list, v)
		if p.take(']') {
			return list, true
		}
		if !p.take(',') {
			return nil, false
		}
	}
}
