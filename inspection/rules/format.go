package rules

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// scope holds the variables of replacement fields.
type scope struct {
	node      map[string]any // an object: its fields are reached with a dot
	inventory map[string]any
	plugin    map[string]any
	item      any // of a loop
	looping   bool
	mask      bool // passwords in inventory and plugin data are shown as ***
	maskNode  bool // and those of the node, for what goes to a log
	// emptyIsNone: a field that the data do not have makes the whole text nothing, for is-empty.
	emptyIsNone bool
}

// hidden are the keys that are masked in inventory and plugin data.
func hidden(key string) bool {
	return key == "password" || key == "auth_token" || key == "bmc_password"
}

// credential reports whether a key of the node's own documents names a secret.
func credential(key string) bool {
	key = strings.ToLower(key)
	for _, part := range []string{"password", "passphrase", "secret", "token", "private", "priv_key", "snmp_community", "configdrive"} {
		if strings.Contains(key, part) {
			return true
		}
	}
	return false
}

// errNoKey is a field that the data do not have. Other errors are of a text that is no format, or of a way through the data that does not exist.
var errNoKey = errors.New("no such field")

// maxWidth bounds the width and the precision of a replacement field.
const maxWidth = 4096

// format replaces the fields {…} of a text, in the notation of Python's str.format, as far as rules can use it: {name.attribute[key]!r:spec}.
func (s *scope) format(t string) (string, error) {
	if !strings.ContainsAny(t, "{}") {
		return t, nil
	}
	var b strings.Builder
	for len(t) > 0 {
		i := strings.IndexAny(t, "{}")
		if i < 0 {
			b.WriteString(t)
			break
		}
		b.WriteString(t[:i])
		c := t[i]
		t = t[i+1:]
		if len(t) > 0 && t[0] == c { // {{ or }}
			b.WriteByte(c)
			t = t[1:]
			continue
		}
		if c == '}' {
			return "", errors.New("single '}' encountered in format string")
		}
		end := fieldEnd(t)
		if end < 0 {
			return "", errors.New("expected '}' before end of string")
		}
		v, err := s.field(t[:end])
		if err != nil {
			return "", err
		}
		b.WriteString(v)
		t = t[end+1:]
	}
	return b.String(), nil
}

// fieldEnd is the place of the brace that closes a field; braces within [] count as text.
func fieldEnd(t string) int {
	inKey := false
	for i := range len(t) {
		switch c := t[i]; {
		case inKey:
			inKey = c != ']'
		case c == '[':
			inKey = true
		case c == '{':
			return -1 // nested fields are not supported
		case c == '}':
			return i
		}
	}
	return -1
}

// field is the text of one replacement field.
func (s *scope) field(f string) (string, error) {
	name, conversion, spec := f, "", ""
	converts, inKey := false, false
scan:
	for i := range len(f) {
		switch c := f[i]; {
		case inKey:
			inKey = c != ']'
		case c == '[':
			inKey = true
		case c == '!' || c == ':':
			name = f[:i]
			rest := f[i+1:]
			if c == ':' {
				spec = rest
				break scan
			}
			converts = true
			conversion, spec, _ = strings.Cut(rest, ":")
			break scan
		}
	}
	v, err := s.resolve(name)
	if err != nil {
		return "", err
	}
	switch {
	case !converts:
	case conversion == "r" || conversion == "a":
		v = repr(v)
	case conversion == "s":
		v = text(v)
	default:
		return "", fmt.Errorf("unknown conversion specifier %q", conversion)
	}
	if t, ok := v.(string); ok && s.fromItem(name) && !converts && spec == "" {
		// An item of a loop may hold fields itself. Only the rule's own text is formatted so, never what a machine sent.
		inner := *s
		inner.item, inner.looping = nil, false
		out, err := inner.format(t)
		if err != nil && !(s.emptyIsNone && errors.Is(err, errNoKey)) {
			return t, nil
		}
		return out, err
	}
	return applySpec(v, spec)
}

func (s *scope) fromItem(name string) bool {
	return s.looping && (name == "item" || strings.HasPrefix(name, "item[") || strings.HasPrefix(name, "item."))
}

// resolve follows a field's name: inventory[cpu][count], node.driver, item.
func (s *scope) resolve(name string) (any, error) {
	root, rest := name, ""
	if i := strings.IndexAny(name, ".["); i >= 0 {
		root, rest = name[:i], name[i:]
	}
	var v any
	object := false // reached with a dot
	masked := s.mask
	secret := hidden
	switch {
	case root == "node":
		v, object, masked, secret = s.node, true, s.maskNode, credential
	case root == "inventory":
		v = s.inventory
	case root == "plugin_data":
		v = s.plugin
	case root == "item" && s.looping:
		v, masked = s.item, false
	default:
		return nil, errNoKey
	}
	if object && rest == "" {
		uuid, _ := s.node["uuid"].(string)
		return "Node " + uuid, nil
	}
	for rest != "" {
		dot := rest[0] == '.'
		var key string
		if dot {
			key, rest = cutAt(rest[1:], ".[")
		} else {
			end := strings.IndexByte(rest, ']')
			if end < 0 {
				return nil, errors.New("missing ']' in format string")
			}
			key, rest = rest[1:end], rest[end+1:]
			if rest != "" && rest[0] != '.' && rest[0] != '[' {
				return nil, errors.New("only '.' or '[' may follow ']' in format field specifier")
			}
		}
		if key == "" {
			return nil, errors.New("empty attribute in format string")
		}
		if dot != object {
			return nil, fmt.Errorf("%q is reached the other way: node.name, but inventory[name]", key)
		}
		object = false
		next, err := member(v, key)
		if err != nil {
			return nil, err
		}
		v = next
		if masked && secret(key) {
			v = "***"
		}
	}
	if masked {
		v = maskAll(v, secret)
	}
	return v, nil
}

func cutAt(s, chars string) (before, rest string) {
	if i := strings.IndexAny(s, chars); i >= 0 {
		return s[:i], s[i:]
	}
	return s, ""
}

// member is an element of an object or a list.
func member(v any, key string) (any, error) {
	switch v := v.(type) {
	case map[string]any:
		if e, ok := v[key]; ok {
			return e, nil
		}
		return nil, errNoKey
	case []any:
		i, err := strconv.Atoi(key)
		if err != nil || i < 0 {
			return nil, fmt.Errorf("%q is no index of a list", key)
		}
		if i >= len(v) {
			return nil, fmt.Errorf("the list has no element %d", i)
		}
		return v[i], nil
	case string:
		i, err := strconv.Atoi(key)
		if err != nil || i < 0 || i >= utf8.RuneCountInString(v) {
			return nil, fmt.Errorf("%q is no index of a text", key)
		}
		return string([]rune(v)[i]), nil
	}
	return nil, fmt.Errorf("there is nothing below %s", repr(v))
}

// maskAll replaces the secrets in a value.
func maskAll(v any, secret func(string) bool) any {
	switch v := v.(type) {
	case map[string]any:
		c := make(map[string]any, len(v))
		for k, e := range v {
			if secret(k) {
				c[k] = "***"
			} else {
				c[k] = maskAll(e, secret)
			}
		}
		return c
	case []any:
		c := make([]any, len(v))
		for i := range v {
			c[i] = maskAll(v[i], secret)
		}
		return c
	}
	return v
}

// applySpec formats a value by Python's format specification, [[fill]align][sign][#][0][width][,][.precision][type], for texts and numbers.
func applySpec(v any, spec string) (string, error) {
	if spec == "" {
		return text(v), nil
	}
	p := parseSpec(spec)
	if p == nil {
		return "", fmt.Errorf("invalid format specifier %q", spec)
	}
	out, numeric, err := p.body(v)
	if err != nil {
		return "", err
	}
	pad := p.width - utf8.RuneCountInString(out)
	if pad <= 0 {
		return out, nil
	}
	align := p.align
	if align == 0 {
		align = '<'
		if numeric {
			align = '>'
		}
	}
	fill := string(p.fill)
	switch align {
	case '>':
		return strings.Repeat(fill, pad) + out, nil
	case '^':
		return strings.Repeat(fill, pad/2) + out + strings.Repeat(fill, pad-pad/2), nil
	case '=':
		if !numeric {
			return "", errors.New("'=' alignment not allowed in string format specifier")
		}
		sign := ""
		if out[0] == '-' || out[0] == '+' || out[0] == ' ' {
			sign, out = out[:1], out[1:]
		}
		return sign + strings.Repeat(fill, pad) + out, nil
	}
	return out + strings.Repeat(fill, pad), nil
}

// formatSpec is a format specification, parsed.
type formatSpec struct {
	fill      rune
	align     rune // <, >, ^, = or 0
	sign      byte
	alternate bool
	width     int
	comma     bool
	precision int // -1: none
	kind      byte
}

func parseSpec(spec string) *formatSpec {
	p := &formatSpec{fill: ' ', precision: -1}
	r := []rune(spec)
	isAlign := func(c rune) bool { return strings.ContainsRune("<>^=", c) }
	switch {
	case len(r) > 1 && isAlign(r[1]):
		p.fill, p.align, r = r[0], r[1], r[2:]
	case isAlign(r[0]):
		p.align, r = r[0], r[1:]
	}
	s := string(r)
	if s != "" && strings.ContainsRune("+- ", rune(s[0])) {
		p.sign, s = s[0], s[1:]
	}
	s, p.alternate = strings.CutPrefix(s, "#")
	if strings.HasPrefix(s, "0") {
		if p.align == 0 {
			p.fill, p.align = '0', '='
		}
		s = s[1:]
	}
	var ok bool
	if p.width, s, ok = leadingInt(s); !ok {
		return nil
	}
	s, p.comma = strings.CutPrefix(s, ",")
	if rest, has := strings.CutPrefix(s, "."); has {
		if rest == "" || rest[0] < '0' || rest[0] > '9' {
			return nil
		}
		if p.precision, s, ok = leadingInt(rest); !ok {
			return nil
		}
	}
	if len(s) > 1 {
		return nil
	}
	if s != "" {
		p.kind = s[0]
	}
	return p
}

func leadingInt(s string) (n int, rest string, ok bool) {
	i := 0
	for i < len(s) && s[i] >= '0' && s[i] <= '9' {
		if n = n*10 + int(s[i]-'0'); n > maxWidth {
			return 0, "", false
		}
		i++
	}
	return n, s[i:], true
}

// body is the value without its padding.
func (p *formatSpec) body(v any) (out string, numeric bool, err error) {
	if s, ok := v.(string); ok {
		if p.kind != 0 && p.kind != 's' || p.sign != 0 || p.comma || p.alternate {
			return "", false, fmt.Errorf("unknown format code for a text")
		}
		if p.align == '=' && p.fill == '0' { // a leading 0 pads texts on the right
			p.align = '<'
		}
		if r := []rune(s); p.precision >= 0 && p.precision < len(r) {
			s = string(r[:p.precision])
		}
		return s, false, nil
	}
	f, ok := number(v)
	if !ok {
		return "", false, fmt.Errorf("unsupported format string for %s", repr(v))
	}
	whole := !strings.ContainsAny(text(v), ".eE") || v == true || v == false
	switch p.kind {
	case 0:
		if whole && p.precision < 0 {
			out = strconv.FormatFloat(f, 'f', -1, 64)
		} else {
			out = strconv.FormatFloat(f, 'g', p.precision, 64)
		}
	case 'd', 'x', 'X', 'o', 'b':
		if !whole || p.precision >= 0 {
			return "", false, fmt.Errorf("unknown format code %q for a float", p.kind)
		}
		base := map[byte]int{'d': 10, 'x': 16, 'X': 16, 'o': 8, 'b': 2}[p.kind]
		out = strconv.FormatInt(int64(f), base)
		if p.kind == 'X' {
			out = strings.ToUpper(out)
		}
		if p.alternate && p.kind != 'd' {
			prefix := "0" + string(p.kind)
			if rest, negative := strings.CutPrefix(out, "-"); negative {
				out = "-" + prefix + rest
			} else {
				out = prefix + out
			}
		}
	case 'f', 'F', 'e', 'E', 'g', 'G', '%':
		precision := p.precision
		if precision < 0 {
			precision = 6
		}
		switch p.kind {
		case '%':
			out = strconv.FormatFloat(f*100, 'f', precision, 64) + "%"
		case 'F':
			out = strconv.FormatFloat(f, 'f', precision, 64)
		case 'g', 'G':
			out = strconv.FormatFloat(f, p.kind, max(precision, 1), 64)
		default:
			out = strconv.FormatFloat(f, p.kind, precision, 64)
		}
	default:
		return "", false, fmt.Errorf("unknown format code %q for a number", p.kind)
	}
	if p.comma {
		out = thousands(out)
	}
	if p.sign == '+' || p.sign == ' ' {
		if !strings.HasPrefix(out, "-") {
			out = string(p.sign) + out
		}
	}
	return out, true, nil
}

func thousands(s string) string {
	sign := ""
	if rest, ok := strings.CutPrefix(s, "-"); ok {
		sign, s = "-", rest
	}
	digits, rest := cutAt(s, ".e%")
	var b strings.Builder
	for i, c := range digits {
		if i > 0 && (len(digits)-i)%3 == 0 {
			b.WriteByte(',')
		}
		b.WriteRune(c)
	}
	return sign + b.String() + rest
}

// interpolate formats every text in a value. A text that cannot be formatted stays as it is.
func (s *scope) interpolate(v any) any {
	switch v := v.(type) {
	case string:
		out, err := s.format(v)
		switch {
		case err == nil:
			return out
		case s.emptyIsNone && errors.Is(err, errNoKey):
			return nil
		}
		return v
	case []any:
		c := make([]any, len(v))
		for i := range v {
			c[i] = s.interpolate(v[i])
		}
		return c
	case map[string]any:
		c := make(map[string]any, len(v))
		for k, e := range v {
			if name, err := s.format(k); err == nil {
				k = name
			}
			c[k] = s.interpolate(e)
		}
		return c
	}
	return v
}
