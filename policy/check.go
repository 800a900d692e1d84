package policy

import (
	"slices"
	"strings"
)

// Verdict is what is known of a decision before the target is.
type Verdict int

// The verdicts, ordered so that "and" is the least and "or" the greatest of two.
const (
	Never   Verdict = iota // whatever the target
	Depends                // on the target
	Always                 // whatever the target
)

func verdict(ok bool) Verdict {
	if ok {
		return Always
	}
	return Never
}

// check is a node of a rule's tree. A nil target is an unknown one; with a target the verdict is Always or Never.
type check interface {
	eval(c *Caller, t *Target) Verdict
	// String writes the check as a rule.
	String() string
}

type constant bool

func (k constant) eval(*Caller, *Target) Verdict { return verdict(bool(k)) }

func (k constant) String() string {
	if k {
		return "@"
	}
	return "!"
}

type notCheck struct{ of check }

func (n notCheck) eval(c *Caller, t *Target) Verdict { return Always - n.of.eval(c, t) }
func (n notCheck) String() string                    { return "not " + n.of.String() }

type andCheck []check

func (a andCheck) eval(c *Caller, t *Target) Verdict {
	least := Always
	for _, x := range a {
		if least = min(least, x.eval(c, t)); least == Never {
			break
		}
	}
	return least
}

func (a andCheck) String() string { return joined(a, " and ") }

type orCheck []check

func (o orCheck) eval(c *Caller, t *Target) Verdict {
	most := Never
	for _, x := range o {
		if most = max(most, x.eval(c, t)); most == Always {
			break
		}
	}
	return most
}

func (o orCheck) String() string { return joined(o, " or ") }

func joined(list []check, word string) string {
	var b strings.Builder
	b.WriteByte('(')
	for i, x := range list {
		if i > 0 {
			b.WriteString(word)
		}
		b.WriteString(x.String())
	}
	b.WriteByte(')')
	return b.String()
}

// ruleCheck is another rule. New resolves it.
type ruleCheck struct {
	name string
	at   int // where it is in the rule's text
	rule *rule
}

func (r *ruleCheck) eval(c *Caller, t *Target) Verdict { return r.rule.check.eval(c, t) }
func (r *ruleCheck) String() string                    { return "rule:" + r.name }

// roleCheck is a role of the caller.
type roleCheck struct{ role template }

func (r roleCheck) eval(c *Caller, t *Target) Verdict {
	if len(c.Roles) == 0 {
		return Never
	}
	return r.role.compare(c, t, c.hasRole)
}

func (r roleCheck) String() string { return "role:" + r.role.text }

// attributeCheck compares an attribute of the caller.
type attributeCheck struct {
	name  string
	get   attribute // nil: there is no such attribute, and the check is false
	value template
}

func (a attributeCheck) eval(c *Caller, t *Target) Verdict {
	if a.get == nil {
		return Never
	}
	has, ok := a.get(c)
	if !ok {
		// "None" is how rules write an attribute that is not there. It equals the word only, never another missing attribute.
		return verdict(a.value.literal() && a.value.text == "None")
	}
	return a.value.compare(c, t, func(want string) bool { return has == want })
}

func (a attributeCheck) String() string { return a.name + ":" + a.value.text }

// listCheck looks for a value in one of the caller's lists of roles. Case counts, unlike in roleCheck.
type listCheck struct {
	name  string
	get   func(*Caller) []string
	value template
}

func (l listCheck) eval(c *Caller, t *Target) Verdict {
	list := l.get(c)
	if len(list) == 0 {
		return Never
	}
	return l.value.compare(c, t, func(want string) bool { return slices.Contains(list, want) })
}

func (l listCheck) String() string { return l.name + ":" + l.value.text }

// literalCheck compares a literal, usually with an attribute of the target.
type literalCheck struct {
	source string
	has    string
	value  template
}

func (l literalCheck) eval(c *Caller, t *Target) Verdict {
	return l.value.compare(c, t, func(want string) bool { return l.has == want })
}

func (l literalCheck) String() string { return l.source + ":" + l.value.text }

// template is a text with attributes in it.
type template struct {
	text  string // as written
	parts []part
}

// part is a piece of text, or an attribute: of the caller if caller is set, else of the target.
type part struct {
	text            string
	caller          attribute
	kind, attribute string
}

func (p *part) isText() bool { return p.caller == nil && p.kind == "" }

// literal reports whether there are no attributes in it.
func (s template) literal() bool { return len(s.parts) == 1 && s.parts[0].isText() }

// compare puts the attributes in and asks is. One that is missing makes the answer no.
func (s template) compare(c *Caller, t *Target, is func(string) bool) Verdict {
	if len(s.parts) == 1 { // nearly all
		text, v := s.parts[0].value(c, t)
		if v != Always {
			return v
		}
		return verdict(is(text))
	}
	var b strings.Builder
	known := Always
	for i := range s.parts {
		text, v := s.parts[i].value(c, t)
		known = min(known, v)
		b.WriteString(text)
	}
	if known != Always {
		return known
	}
	return verdict(is(b.String()))
}

// value is the part's text; Never if there is no such attribute, Depends if the target is not known.
func (p *part) value(c *Caller, t *Target) (string, Verdict) {
	switch {
	case p.isText():
		return p.text, Always
	case p.caller != nil:
		text, ok := p.caller(c)
		return text, verdict(ok)
	case t == nil:
		return "", Depends
	}
	text, ok := t.value(p.kind, p.attribute)
	return text, verdict(ok)
}
