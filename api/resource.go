package api

import (
	"cmp"
	"reflect"
	"slices"
	"strings"

	"ferric"
	"ferric/policy"
)

// resource is a kind of object: its name and the table of its fields. Everything that is known of a field is in the table.
type resource[T any] struct {
	name       string // "node"
	inText     string // what messages call a body, if it is not the name
	collection string // in paths: "nodes"
	key        string // of a list in an answer; "": as in paths
	uuid       func(*T) string
	version    func(*T) int64 // of the stored record, for entity tags; nil: it has none
	clone      func(*T) *T
	fields     []field[T]
	children   []child
	whole      bool // lists show whole objects
	byName     map[string]*field[T]
	// target is whom an object belongs to, for the rules of its fields. openFields is the rule that shows all of them.
	target     func(*T) policy.Target
	openFields string
}

// field is one row of a resource's table.
type field[T any] struct {
	name  string
	since int // microversion that shows it and takes it; 0: always
	brief bool
	value value[T]
	// write says whether a body may hold it when an object is made, and whether a patch may change it.
	write access
	// check is the type of what a body may hold. nil for a field that is never written.
	check checker
	// required: a body that makes an object must have it, and a patch cannot take it away.
	required bool
	// change refuses a new value in the state that the object is in. It sees the object with the new value and the one
	// before. nil: always allowed.
	change func(now, before *T) error
	// policy is Ironic's name of the rule for changing it, "" for the resource's own.
	policy string
	// policyFor, if set, says for one operation of a patch which rule counts in place of policy.
	policyFor func(patchOp) string
	// read is the rule for seeing it, "" for none, and redacted the JSON that others see. reveal is the rule for seeing secrets in it.
	read, redacted, reveal string
	// sort is whether a list may be sorted by it.
	sort bool
	// unknown: versions before since take it for a name that does not exist (400), not for one that is too new (406).
	unknown bool
}

// in reports whether a version knows the field's name.
func (f *field[T]) in(version int) bool { return f.since <= version || !f.unknown }

// access says when a field may be written.
type access int

const (
	onCreate access = 1 << iota
	onPatch
	readOnly access = 0
	writable        = onCreate | onPatch
)

// child is a collection below an object that a full representation links to.
type child struct {
	name   string
	since  int
	asked  bool // fields= may name it
	nested bool // its links are in a list once more
}

func newResource[T any](r resource[T]) *resource[T] {
	r.byName = map[string]*field[T]{}
	for i := range r.fields {
		r.byName[r.fields[i].name] = &r.fields[i]
	}
	return &r
}

// selection is what of an object an answer shows.
type selection[T any] struct {
	fields   []*field[T]
	children []child
	names    []string // as asked for; nil when everything is shown
}

// full selects everything that the version has.
func (r *resource[T]) full(version int) selection[T] {
	var s selection[T]
	for i := range r.fields {
		if r.fields[i].since <= version {
			s.fields = append(s.fields, &r.fields[i])
		}
	}
	for _, c := range r.children {
		if c.since <= version {
			s.children = append(s.children, c)
		}
	}
	return s
}

// brief selects what a list shows by default.
func (r *resource[T]) brief(version int) selection[T] {
	s := selection[T]{names: []string{}}
	for i := range r.fields {
		if f := &r.fields[i]; f.brief {
			s.names = append(s.names, f.name)
			if f.since <= version {
				s.fields = append(s.fields, f)
			}
		}
	}
	return s
}

// only selects the named fields.
func (r *resource[T]) only(names []string, version int) (selection[T], error) {
	if version < 8 {
		return selection[T]{}, notAcceptable()
	}
	s := selection[T]{names: names}
	for _, name := range names {
		if f := r.byName[name]; f != nil && f.since > version && f.in(version) {
			return selection[T]{}, notAcceptable()
		}
	}
	for _, name := range names {
		f := r.byName[name]
		if i := slices.IndexFunc(r.children, func(c child) bool { return c.asked && c.name == name && c.since <= version }); i >= 0 {
			s.children = append(s.children, r.children[i])
			continue
		}
		if f == nil || !f.in(version) {
			if name == "links" {
				continue
			}
			return selection[T]{}, invalid("Field %s is not a valid field.", clip(name))
		}
		s.fields = append(s.fields, f)
	}
	return s, nil
}

// choose selects for a list: fields=, detail=, or what is shown by default.
func (r *resource[T]) choose(rq *request, detail bool) (selection[T], error) {
	if rq.args.has("fields") && rq.version < 8 {
		return selection[T]{}, notAcceptable()
	}
	if rq.args.has("detail") && rq.version < 43 {
		return selection[T]{}, invalid("Invalid query parameter ?detail=%s received.", repr(rq.args["detail"]))
	}
	if rq.args.has("fields") {
		if rq.args.isTrue("detail") {
			return selection[T]{}, invalid("Can not specify ?detail=True and fields in the same request.")
		}
		return r.only(rq.args.list("fields"), rq.version)
	}
	if detail || r.whole || rq.args.isTrue("detail") {
		return r.full(rq.version), nil
	}
	return r.brief(rq.version), nil
}

// appendJSON writes an object.
func (r *resource[T]) appendJSON(b []byte, rq *request, o *T, s selection[T]) []byte {
	b = append(b, '{')
	for _, f := range s.fields {
		b = append(b, '"')
		b = append(b, f.name...)
		b = append(b, `":`...)
		b = append(r.appendField(b, rq, o, f), ',')
	}
	uuid := r.uuid(o)
	for _, c := range s.children {
		b = append(b, '"')
		b = append(b, c.name...)
		b = append(b, `":`...)
		if c.nested {
			b = append(b, '[')
		}
		b = appendLinks(b, rq.base, r.collection, "/", uuid, "/", c.name)
		if c.nested {
			b = append(b, ']')
		}
		b = append(b, ',')
	}
	b = append(b, `"links":`...)
	b = appendLinks(b, rq.base, r.collection, "/", uuid)
	return append(b, '}')
}

// appendField writes a field's value as far as the caller may see it.
func (r *resource[T]) appendField(b []byte, rq *request, o *T, f *field[T]) []byte {
	switch {
	case f.read != "" && !rq.always(r.openFields) && !rq.may(f.read, r.target(o)):
		return append(b, f.redacted...)
	case f.reveal != "" && rq.always(f.reveal):
		return appendValue(b, f.value.get(o))
	}
	return f.value.appendJSON(b, o, rq.version)
}

// appendLinks writes an object's two links. path may come in parts.
func appendLinks(b []byte, base string, path ...string) []byte {
	b = append(b, `[{"href":`...)
	b = appendJoined(b, append([]string{base, "/v1/"}, path...))
	b = append(b, `,"rel":"self"},{"href":`...)
	b = appendJoined(b, append([]string{base, "/"}, path...))
	return append(b, `,"rel":"bookmark"}]`...)
}

// object is the full representation of an object.
func (r *resource[T]) object(rq *request, o *T) rawJSON {
	return r.appendJSON(make([]byte, 0, 4096), rq, o, r.full(rq.version))
}

// tagged is the full representation of an object, with its entity tag.
func (r *resource[T]) tagged(rq *request, o *T) rawJSON {
	rq.header.Set("Etag", etag(r.version(o)))
	return r.object(rq, o)
}

// made is the answer to a request that made an object.
func (r *resource[T]) made(rq *request, o *T) rawJSON {
	rq.location(append(strings.Split(r.collection, "/"), r.uuid(o))...)
	return r.tagged(rq, o)
}

// change patches a stored object: load reads it, write checks and stores the new form. It is done again if somebody else changed the object
// meanwhile.
func (r *resource[T]) change(rq *request, ops patch, load func() (*T, error), write func(now, before *T) (*T, error)) (any, error) {
	for try := 1; ; try++ {
		before, err := load()
		if err != nil {
			return nil, err
		}
		if err := matches(rq, r.version(before)); err != nil {
			return nil, err
		}
		now, _, err := r.apply(ops, before)
		if err != nil {
			return nil, err
		}
		rq.changes(ferric.ActionUpdate, now)
		made, err := write(now, before)
		if err == nil {
			return r.tagged(rq, made), nil
		}
		if ferric.IsCode(err, ferric.CodeConflict) && try < updateTries {
			if stored, err := load(); err == nil && r.version(stored) != r.version(before) {
				continue
			}
		}
		return nil, err
	}
}

// show is the answer of GET for one object, which may name fields.
func (r *resource[T]) show(rq *request, o *T) (any, error) {
	if r.version != nil {
		rq.header.Set("Etag", etag(r.version(o)))
	}
	s, err := r.shown(rq)
	if err != nil {
		return nil, err
	}
	return rawJSON(r.appendJSON(make([]byte, 0, 4096), rq, o, s)), nil
}

// shown selects for one object, which may name fields.
func (r *resource[T]) shown(rq *request) (selection[T], error) {
	if rq.args.has("fields") {
		return r.only(rq.args.list("fields"), rq.version)
	}
	return r.full(rq.version), nil
}

// read fills o with a body that makes a new object.
func (r *resource[T]) read(doc any, o *T, version int) error {
	where := cmp.Or(r.inText, r.name)
	body, ok := doc.(map[string]any)
	if !ok {
		return invalid("Schema error for %s: %s is not of type 'object'", where, clip(repr(doc)))
	}
	var unknown []string
	for _, name := range sortedKeys(body) {
		if f := r.byName[name]; f == nil || f.write&onCreate == 0 || !f.in(version) {
			unknown = append(unknown, repr(clip(name)))
		}
	}
	switch len(unknown) {
	case 0:
	case 1:
		return invalid("Schema error for %s: Additional properties are not allowed (%s was unexpected)", where, unknown[0])
	default:
		return invalid("Schema error for %s: Additional properties are not allowed (%s were unexpected)", where, strings.Join(unknown, ", "))
	}
	for i := range r.fields {
		f := &r.fields[i]
		v, given := body[f.name]
		if !given || f.required && v == nil {
			if f.required {
				return invalid("Schema error for %s: '%s' is a required property", where, f.name)
			}
			continue
		}
		v, err := f.check(where, f.name, v)
		if err != nil {
			return err
		}
		if v != nil {
			f.value.set(o, v)
		}
	}
	for _, name := range sortedKeys(body) {
		empty := body[name] == nil || name == "conductor_group" && body[name] == ""
		if !empty && r.byName[name].since > version {
			return notAcceptable()
		}
	}
	return nil
}

// patchable returns the names of the fields that a patch may change, in the order of the table.
func (r *resource[T]) patchable(version int) []string {
	var names []string
	for i := range r.fields {
		if r.fields[i].write&onPatch != 0 && r.fields[i].in(version) {
			names = append(names, r.fields[i].name)
		}
	}
	return names
}

// patchRules returns the rules of the fields that a patch changes, each once. general is for fields that have none, and for what is no
// patch.
func (r *resource[T]) patchRules(general string) func(doc any) []string {
	return func(doc any) []string {
		ops, err := readPatch(doc, maxVersion)
		if err != nil {
			return []string{general}
		}
		var rules []string
		for _, op := range ops {
			rule := general
			if f := r.byName[op.root()]; f != nil && f.policyFor != nil {
				rule = cmp.Or(f.policyFor(op), general)
			} else if f != nil {
				rule = cmp.Or(f.policy, general)
			}
			if !slices.Contains(rules, rule) {
				rules = append(rules, rule)
			}
		}
		if len(rules) == 0 {
			rules = []string{general}
		}
		return rules
	}
}

// checkPatch refuses operations on what may not be patched, and on what the version does not have.
func (r *resource[T]) checkPatch(ops patch, version int) error {
	for _, op := range ops {
		f := r.byName[op.root()]
		if f == nil || f.write&onPatch == 0 || !f.in(version) {
			return invalid("Cannot patch %s. Only the following can be updated: %s", clip(op.Path), strings.Join(r.patchable(version), ", "))
		}
		if f.since > version {
			return notAcceptable()
		}
	}
	return nil
}

// readPatch reads the patch in a request's body and refuses what may not be patched.
func (r *resource[T]) readPatch(rq *request) (patch, error) {
	ops, err := readPatch(rq.doc, rq.version)
	if err != nil {
		return nil, err
	}
	return ops, r.checkPatch(ops, rq.version)
}

// apply patches a copy of o and returns it with the names of the fields that have another value now.
func (r *resource[T]) apply(ops patch, o *T) (*T, []string, error) {
	doc, source := map[string]any{}, r.clone(o)
	for i := range r.fields {
		if f := &r.fields[i]; f.write != readOnly {
			doc[f.name] = f.value.get(source)
		}
	}
	if err := ops.apply(doc); err != nil {
		return nil, nil, err
	}
	now := r.clone(o)
	touched := map[string]bool{}
	for _, op := range ops {
		touched[op.root()] = true
	}
	var changed []string
	for i := range r.fields {
		f := &r.fields[i]
		if !touched[f.name] {
			continue
		}
		v := doc[f.name]
		if v == nil && f.required {
			return nil, nil, invalid("Schema error for patch: '%s' is a required property", f.name)
		}
		v, err := f.check("patch", f.name, v)
		if err != nil {
			return nil, nil, err
		}
		f.value.set(now, v)
		if !reflect.DeepEqual(f.value.get(now), f.value.get(o)) {
			changed = append(changed, f.name)
		}
	}
	for _, name := range changed {
		if rule := r.byName[name].change; rule != nil {
			if err := rule(now, o); err != nil {
				return nil, nil, err
			}
		}
	}
	return now, changed, nil
}

// page reads limit, marker and order. A sort key that lists cannot be sorted by is a 400, one that is too new a 406.
func (r *resource[T]) page(rq *request, max int) (ferric.Page, error) {
	p, err := pageOf(rq, max)
	if err != nil {
		return p, err
	}
	key := rq.args.str("sort_key")
	if f := r.byName[key]; f != nil && f.since > rq.version && f.in(rq.version) {
		return p, notAcceptable()
	}
	switch f := r.byName[key]; {
	case key == "" || key == "id":
	case f == nil || !f.sort || !f.in(rq.version):
		return p, invalid(`The sort_key value "%s" is an invalid field for sorting`, clip(key))
	default:
		p.SortKey = key
	}
	return p, nil
}
