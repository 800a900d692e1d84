package policy

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// Bounds of one rule, so that a hostile or broken file cannot exhaust the stack.
const (
	maxRule  = 64 << 10 // bytes
	maxDepth = 100      // parentheses and "not"s inside one another
)

// syntaxError says what is wrong with a rule's text, and where.
type syntaxError struct {
	at     int // byte offset, -1: the whole text
	reason string
}

func (e *syntaxError) Error() string {
	if e.at < 0 {
		return e.reason
	}
	return fmt.Sprintf("at character %d: %s", e.at+1, e.reason)
}

// token is a word of a rule.
type token struct {
	text string
	at   int
}

// tokens splits a rule at spaces. Parentheses count at a word's ends only, since %(name)s has some inside.
func tokens(text string) []token {
	var out []token
	for at := 0; at < len(text); {
		rest := text[at:]
		word := strings.TrimLeftFunc(rest, unicode.IsSpace)
		at += len(rest) - len(word)
		if end := strings.IndexFunc(word, unicode.IsSpace); end >= 0 {
			word = word[:end]
		}
		next := at + len(word)
		for strings.HasPrefix(word, "(") {
			out = append(out, token{"(", at})
			word, at = word[1:], at+1
		}
		clean := strings.TrimRight(word, ")")
		if clean != "" {
			out = append(out, token{clean, at})
		}
		for i := len(clean); i < len(word); i++ {
			out = append(out, token{")", at + i})
		}
		at = next
	}
	return out
}

// parser is a recursive descent over a rule's words.
type parser struct {
	text     string
	tokens   []token
	depth    int
	rules    []*ruleCheck
	warnings []string
}

// parse reads a rule's text. The error is a *syntaxError.
func parse(text string) (check, *parser, error) {
	p := &parser{text: text}
	if len(text) > maxRule {
		return nil, p, &syntaxError{-1, fmt.Sprintf("it is longer than %d bytes", maxRule)}
	}
	if strings.TrimFunc(text, unicode.IsSpace) == "" {
		return constant(true), p, nil
	}
	p.tokens = tokens(text)
	c, err := p.or()
	if err == nil && len(p.tokens) > 0 {
		err = p.unexpected(`"and", "or" or the end`)
	}
	return c, p, err
}

// parseLists reads the older form: lists of checks.
func parseLists(lists [][]string) (check, *parser, error) {
	p := &parser{}
	if len(lists) == 0 {
		return constant(true), p, nil
	}
	var any orCheck
	for _, inner := range lists {
		if len(inner) == 0 {
			continue
		}
		var all andCheck
		for _, text := range inner {
			c, err := p.check(token{text, 0})
			if err != nil {
				err.at = -1
				return nil, p, &syntaxError{-1, fmt.Sprintf("in %q: %s", clip(text), err.reason)}
			}
			all = append(all, c)
		}
		any = append(any, simplest(all, all))
	}
	if len(any) == 0 {
		return constant(false), p, nil
	}
	return simplest(any, any), p, nil
}

// simplest is the only element of a list, else the list as a check.
func simplest(list []check, whole check) check {
	if len(list) == 1 {
		return list[0]
	}
	return whole
}

// word reports whether the next word is the given one, and takes it.
func (p *parser) word(want string) bool {
	if len(p.tokens) > 0 && strings.EqualFold(p.tokens[0].text, want) {
		p.tokens = p.tokens[1:]
		return true
	}
	return false
}

func (p *parser) unexpected(wanted string) error {
	if len(p.tokens) == 0 {
		return &syntaxError{len(p.text), "expected " + wanted + ", found the end"}
	}
	return &syntaxError{p.tokens[0].at, fmt.Sprintf("expected %s, found %q", wanted, clip(p.tokens[0].text))}
}

func (p *parser) or() (check, error) {
	var list orCheck
	for {
		c, err := p.and()
		if err != nil {
			return nil, err
		}
		if list = append(list, c); !p.word("or") {
			return simplest(list, list), nil
		}
	}
}

func (p *parser) and() (check, error) {
	var list andCheck
	for {
		c, err := p.not()
		if err != nil {
			return nil, err
		}
		if list = append(list, c); !p.word("and") {
			return simplest(list, list), nil
		}
	}
}

func (p *parser) not() (check, error) {
	if p.depth++; p.depth > maxDepth {
		return nil, &syntaxError{-1, fmt.Sprintf("it is nested deeper than %d", maxDepth)}
	}
	defer func() { p.depth-- }()
	switch {
	case p.word("not"):
		c, err := p.not()
		if err != nil {
			return nil, err
		}
		return notCheck{c}, nil
	case p.word("("):
		c, err := p.or()
		if err != nil {
			return nil, err
		}
		if !p.word(")") {
			return nil, p.unexpected(`")"`)
		}
		return c, nil
	case len(p.tokens) == 0 || slices.Contains([]string{")", "and", "or"}, strings.ToLower(p.tokens[0].text)):
		return nil, p.unexpected("a check")
	}
	t := p.tokens[0]
	p.tokens = p.tokens[1:]
	c, err := p.check(t)
	if err != nil {
		return nil, err
	}
	return c, nil
}

// check reads one check.
func (p *parser) check(t token) (check, *syntaxError) {
	bad := func(format string, args ...any) (check, *syntaxError) {
		return nil, &syntaxError{t.at, fmt.Sprintf(format, args...)}
	}
	switch t.text {
	case "!":
		return constant(false), nil
	case "@":
		return constant(true), nil
	}
	kind, value, ok := strings.Cut(t.text, ":")
	switch {
	case !ok:
		return bad(`%q is no check: a check is "@", "!" or has the form kind:value`, clip(t.text))
	case kind == "http" || kind == "https":
		return bad("checks by HTTP are not supported: %q", clip(t.text))
	case kind == "rule":
		if value == "" {
			return bad("the rule's name is missing behind \"rule:\"")
		}
		r := &ruleCheck{name: value, at: t.at}
		p.rules = append(p.rules, r)
		return r, nil
	}
	want, reason := p.template(value)
	if reason != "" {
		return bad("%s", reason)
	}
	if text, ok := literal(kind); ok {
		return literalCheck{kind, text, want}, nil
	}
	if i := strings.IndexFunc(kind, func(r rune) bool {
		return r != '_' && r != '.' && r != '-' && !unicode.IsLetter(r) && !unicode.IsDigit(r)
	}); i >= 0 || kind == "" {
		return bad(`%q is no check: %q cannot be the name of an attribute`, clip(t.text), clip(kind))
	}
	switch kind {
	case "role":
		return roleCheck{want}, nil
	case "roles":
		return listCheck{kind, func(c *Caller) []string { return c.Roles }, want}, nil
	case "service_roles":
		return listCheck{kind, func(c *Caller) []string { return c.ServiceRoles }, want}, nil
	}
	get := attributes(kind)
	if get == nil {
		p.warnings = append(p.warnings, fmt.Sprintf("callers have no attribute %q, so %q never holds", clip(kind), clip(t.text)))
	}
	return attributeCheck{kind, get, want}, nil
}

// literal reads a constant: 'text', "text", True, False, None, a whole number.
func literal(kind string) (string, bool) {
	if n := len(kind); n >= 2 && (kind[0] == '\'' || kind[0] == '"') && kind[n-1] == kind[0] {
		return kind[1 : n-1], true
	}
	if n, err := strconv.Atoi(kind); err == nil {
		return strconv.Itoa(n), true
	}
	return kind, kind == "True" || kind == "False" || kind == "None"
}

// targetKinds are what rules may ask of targets.
func targetKinds() []string { return []string{"node", "allocation", "runbook"} }

// template reads a value: text with %(name)s and %%. reason says what is wrong with it.
func (p *parser) template(value string) (s template, reason string) {
	s.text = value
	var text strings.Builder
	flush := func() {
		if text.Len() > 0 {
			s.parts = append(s.parts, part{text: text.String()})
			text.Reset()
		}
	}
	for rest := value; rest != ""; {
		before, after, found := strings.Cut(rest, "%")
		if strings.ContainsAny(before, "()") {
			return s, fmt.Sprintf("%q: a parenthesis inside a check; put spaces around it", clip(value))
		}
		text.WriteString(before)
		if !found {
			break
		}
		if strings.HasPrefix(after, "%") {
			text.WriteByte('%')
			rest = after[1:]
			continue
		}
		name, more, ok := strings.Cut(strings.TrimPrefix(after, "("), ")s")
		if !ok || !strings.HasPrefix(after, "(") || name == "" || strings.ContainsAny(name, "()%") {
			return s, fmt.Sprintf("%q: behind %%, (name)s is expected, as in %%(node.owner)s", clip(value))
		}
		flush()
		s.parts = append(s.parts, p.placeholder(name))
		rest = more
	}
	flush()
	if len(s.parts) == 0 {
		s.parts = []part{{}}
	}
	return s, ""
}

// placeholder is the attribute that %(name)s stands for.
func (p *parser) placeholder(name string) part {
	if get := attributes(name); get != nil {
		return part{caller: get}
	}
	kind, attribute, _ := strings.Cut(name, ".")
	known := slices.Contains(targetKinds(), kind) && (attribute == "owner" || attribute == "lessee" && kind == "node")
	if !known {
		p.warnings = append(p.warnings, fmt.Sprintf("neither callers nor targets have an attribute %q, so a check with it never holds", clip(name)))
		return part{caller: func(*Caller) (string, bool) { return "", false }}
	}
	return part{kind: kind, attribute: attribute}
}

// clip keeps foreign text in a message short.
func clip(s string) string {
	if len(s) > 80 {
		return strings.ToValidUTF8(s[:80], "") + "…"
	}
	return s
}
