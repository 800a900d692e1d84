package policy

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"ferric"
)

// Default is a rule that the program knows, with what holds unless somebody overrides it.
type Default struct {
	Name   string
	Check  string
	Scopes []Scope // of callers for whom the rule can hold; none: all
	// Was is the name under which older overrides still count, with the default that it had. "": there is none.
	Was, WasCheck string
	Help          string // one line
}

// Override replaces a rule's default, or adds a rule that others refer to.
type Override struct {
	Name  string
	Check string
	Lists [][]string // the older form; nil: Check counts
	File  string     // in messages
	Line  int
}

// StepPrefix begins the names of rules for single steps, which only overrides have: "baremetal:step:execute:raid.delete_configuration".
const StepPrefix = "baremetal:step:execute:"

// Rules are compiled rules. They never change.
type Rules struct {
	byName   map[string]*rule
	warnings []string
}

type rule struct {
	name   string
	check  check
	scopes []Scope
	info   Info
	uses   []*ruleCheck
	where  string // file and line, "" for a default
}

// Info describes a rule that is in force.
type Info struct {
	Name, Check string
	Scopes      []Scope
	Help        string
	// Source is "default", or the file and line that the check is from.
	Source string
}

// New compiles defaults and overrides. CodeInvalid names the file, the line and the rule: text that is no rule, a reference to a rule that
// does not exist, rules that refer to one another in a circle, an override of a rule that does not exist, two of the same one.
func New(defaults []Default, overrides []Override) (*Rules, error) {
	rs := &Rules{byName: make(map[string]*rule, len(defaults)+len(overrides))}
	known := map[string]bool{}
	for _, d := range defaults {
		known[d.Name] = true
	}
	for _, o := range overrides {
		where := fmt.Sprintf("%s:%d", o.File, o.Line)
		if before := rs.byName[o.Name]; before != nil {
			return nil, bad(where, o.Name, "it is there twice, first at %s", before.where)
		}
		if !known[o.Name] && strings.HasPrefix(o.Name, "baremetal:") && !strings.HasPrefix(o.Name, StepPrefix) {
			return nil, bad(where, o.Name, "there is no such rule%s", similar(o.Name, known))
		}
		c, p, err := compile(o)
		if err != nil {
			return nil, bad(where, o.Name, "%w", err)
		}
		for _, w := range p.warnings {
			rs.warnings = append(rs.warnings, fmt.Sprintf("%s: rule %q: %s", where, o.Name, w))
		}
		rs.byName[o.Name] = &rule{name: o.Name, check: c, uses: p.rules, where: where, info: Info{Name: o.Name, Check: text(o, c), Source: where}}
	}
	overridden := maps.Clone(rs.byName)
	for _, d := range defaults {
		r := overridden[d.Name]
		if r == nil {
			made, err := fromDefault(d, overridden)
			if err != nil {
				return nil, err
			}
			r = made
		}
		r.scopes, r.info.Scopes, r.info.Help = d.Scopes, d.Scopes, d.Help
		rs.byName[d.Name] = r
	}
	return rs, rs.link()
}

func compile(o Override) (check, *parser, error) {
	if o.Lists != nil {
		return parseLists(o.Lists)
	}
	return parse(o.Check)
}

func text(o Override, c check) string {
	if o.Lists != nil {
		return c.String()
	}
	return o.Check
}

// fromDefault compiles a rule that nobody overrides under its name. An override of its older name counts, unless it says just what was the
// default, or points at the new one.
func fromDefault(d Default, overridden map[string]*rule) (*rule, error) {
	c, p, err := parse(d.Check)
	if err != nil {
		return nil, bad("the defaults", d.Name, "%w", err)
	}
	r := &rule{name: d.Name, check: c, uses: p.rules, info: Info{Name: d.Name, Check: d.Check, Source: "default"}}
	old := overridden[d.Was]
	if d.Was == "" || d.Was == d.Name || old == nil {
		return r, nil
	}
	was, _, err := parse(d.WasCheck)
	if err != nil {
		return nil, bad("the defaults", d.Name, "its older default: %w", err)
	}
	if says := old.check.String(); says == was.String() || says == "rule:"+d.Name {
		return r, nil
	}
	r.check, r.uses, r.where = old.check, nil, old.where // its references are resolved where it stands
	r.info.Check, r.info.Source = old.info.Check, old.where+", as "+d.Was
	return r, nil
}

// link resolves references and refuses circles.
func (rs *Rules) link() error {
	names := slices.Sorted(maps.Keys(rs.byName))
	for _, name := range names {
		r := rs.byName[name]
		for _, use := range r.uses {
			if use.rule = rs.byName[use.name]; use.rule == nil {
				return bad(r.where, r.name, "at character %d: it refers to the rule %q, which does not exist", use.at+1, clip(use.name))
			}
		}
	}
	const (
		open = 1
		done = 2
	)
	seen := map[*rule]int{}
	var path []string
	var visit func(r *rule) error
	visit = func(r *rule) error {
		path = append(path, r.name)
		defer func() { path = path[:len(path)-1] }()
		switch seen[r] {
		case open:
			return bad(r.where, r.name, "it refers to itself: %s", strings.Join(path[slices.Index(path, r.name):], " → "))
		case done:
			return nil
		}
		seen[r] = open
		for _, use := range references(r.check) {
			if err := visit(use.rule); err != nil {
				return err
			}
		}
		seen[r] = done
		return nil
	}
	for _, name := range names {
		if err := visit(rs.byName[name]); err != nil {
			return err
		}
	}
	return nil
}

// references are the rules that a check refers to.
func references(c check) []*ruleCheck {
	switch c := c.(type) {
	case *ruleCheck:
		return []*ruleCheck{c}
	case notCheck:
		return references(c.of)
	case andCheck:
		return referencesOf(c)
	case orCheck:
		return referencesOf(c)
	}
	return nil
}

func referencesOf(list []check) (all []*ruleCheck) {
	for _, c := range list {
		all = append(all, references(c)...)
	}
	return all
}

func bad(where, name, format string, args ...any) error {
	if where != "" {
		where += ": "
	}
	return ferric.Errorf(ferric.CodeInvalid, "%srule %q: %w", where, clip(name), fmt.Errorf(format, args...))
}

// similar names a known rule that the name may have been meant for.
func similar(name string, known map[string]bool) string {
	best, least := "", 4
	for _, k := range slices.Sorted(maps.Keys(known)) {
		if d := distance(name, k, least); d < least {
			best, least = k, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf("; did you mean %q?", best)
}

// distance is the number of letters to change between two names, or enough if it is at least that.
func distance(a, b string, enough int) int {
	if len(a) > 200 || len(a)-len(b) >= enough || len(b)-len(a) >= enough {
		return enough
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		before := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := before
			if a[i] != b[j] {
				change++
			}
			before = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

// Known reports whether there is a rule of the name.
func (rs *Rules) Known(name string) bool { return rs.byName[name] != nil }

// Allow decides. A rule that does not exist allows nothing.
func (rs *Rules) Allow(name string, c *Caller, t Target) bool {
	r := rs.byName[name]
	return r != nil && r.inScope(c) && r.check.eval(c, &t) == Always
}

// Decide says what is known of the rule without a target.
func (rs *Rules) Decide(name string, c *Caller) Verdict {
	r := rs.byName[name]
	if r == nil || !r.inScope(c) {
		return Never
	}
	return r.check.eval(c, nil)
}

func (r *rule) inScope(c *Caller) bool {
	return len(r.scopes) == 0 || slices.Contains(r.scopes, c.Scope())
}

// All describes every rule, sorted by name.
func (rs *Rules) All() []Info {
	var all []Info
	for _, name := range slices.Sorted(maps.Keys(rs.byName)) {
		all = append(all, rs.byName[name].info)
	}
	return all
}

// Warnings are what is probably a mistake in the overrides, though it is allowed.
func (rs *Rules) Warnings() []string { return slices.Clone(rs.warnings) }
