package main

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// alike replaces what cannot be the same in the answers of two servers.
type alike struct {
	bases []string          // the servers' addresses, as links show them
	known map[string]string // UUIDs that the conversation has a name for; others become <uuid>
}

var (
	uuidText    = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`)
	timeText    = regexp.MustCompile(`\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?(\+00:00|Z)?`)
	fieldsText  = regexp.MustCompile(`fields=[a-z_,]+`) // in the link to the next page: the order says nothing
	requestText = regexp.MustCompile(`req-[0-9a-f-]{36}`)
)

// ours are UUIDs that conversations choose themselves; they are the same on both sides and stay as they are.
const ours = "10000000-0000-4000-8000-"

func (a alike) text(s string) string {
	for _, b := range a.bases {
		s = strings.ReplaceAll(s, b, "<base>")
	}
	s = requestText.ReplaceAllString(s, "<request>")
	s = fieldsText.ReplaceAllStringFunc(s, func(q string) string {
		names := strings.Split(strings.TrimPrefix(q, "fields="), ",")
		slices.Sort(names)
		return "fields=" + strings.Join(names, ",")
	})
	s = timeText.ReplaceAllString(s, "<time>")
	return uuidText.ReplaceAllStringFunc(s, func(u string) string {
		if strings.HasPrefix(u, ours) {
			return u
		}
		if name, ok := a.known[u]; ok {
			return "<" + name + ">"
		}
		return "<uuid>"
	})
}

// value applies text to every string of a JSON value.
func (a alike) value(v any) any {
	switch v := v.(type) {
	case string:
		return a.text(v)
	case []any:
		for i := range v {
			v[i] = a.value(v[i])
		}
	case map[string]any:
		out := map[string]any{}
		for k, x := range v {
			out[a.text(k)] = a.value(x)
		}
		return out
	}
	return v
}

// sameHeaders are the headers that clients read.
func sameHeaders() []string {
	return []string{"Content-Type", "Location", "Allow", "X-Openstack-Ironic-Api-Version", "X-Openstack-Ironic-Api-Minimum-Version"}
}

// thereHeaders are headers of which only the presence is compared.
func thereHeaders() []string {
	return []string{"X-Openstack-Ironic-Api-Maximum-Version", "Openstack-Request-Id"}
}

// missingText counts where it is what the answer is about: as the reason of a 400 it is one of many.
var missingText = regexp.MustCompile(`\S+ could not be found`)

// parsed are the parts of error texts that clients look for. Where Ironic's text has one, Ferric's must have the same.
var parsed = []*regexp.Regexp{
	missingText,
	regexp.MustCompile(`is locked by host`),
	regexp.MustCompile(`The requested action .* can not be performed on node .* while it is in state .*\.`),
	regexp.MustCompile(`is associated with instance \S+`),
	regexp.MustCompile(`already exists`),
	regexp.MustCompile(`Unable to attach VIF`),
	regexp.MustCompile(`VIF .* is already attached`),
	regexp.MustCompile(`The minimal required API version should be \S+`),
	regexp.MustCompile(`Request not acceptable\.`),
	regexp.MustCompile(`Additional properties are not allowed`),
	regexp.MustCompile(`Cannot patch /\S*`),
	regexp.MustCompile(`Version \d+\.\d+ was requested`),
	regexp.MustCompile(`is not a valid field`),
	regexp.MustCompile(`Invalid value for \S+ header`),
}

// compare returns the differences between two answers, each a line. With texts, error texts are compared whole.
func compare(ironic, ferric answer, a alike, texts bool) []string {
	if ironic.err != nil || ferric.err != nil {
		return []string{fmt.Sprintf("no answer: Ironic %v, Ferric %v", ironic.err, ferric.err)}
	}
	if ironic.status != ferric.status {
		return []string{fmt.Sprintf("status: Ironic %d, Ferric %d", ironic.status, ferric.status) + why(ironic, ferric, a)}
	}
	if x, y := form(ironic), form(ferric); x != y {
		return []string{"form of the error: Ironic's is of " + x + ", Ferric's of " + y}
	}
	var out []string
	for _, h := range sameHeaders() {
		i, f := a.text(strings.Join(ironic.header.Values(h), ", ")), a.text(strings.Join(ferric.header.Values(h), ", "))
		if i, f = canonicalHeader(h, i), canonicalHeader(h, f); i != f {
			out = append(out, fmt.Sprintf("header %s: Ironic %q, Ferric %q", h, i, f))
		}
	}
	for _, h := range thereHeaders() {
		if i, f := ironic.header.Get(h) != "", ferric.header.Get(h) != ""; i != f {
			out = append(out, fmt.Sprintf("header %s: Ironic has it: %v, Ferric has it: %v", h, i, f))
		}
	}
	var i, f any
	errI, errF := json.Unmarshal(ironic.body, &i), json.Unmarshal(ferric.body, &f)
	if errI != nil || errF != nil {
		if x, y := a.text(string(ironic.body)), a.text(string(ferric.body)); x != y {
			out = append(out, fmt.Sprintf("body: Ironic %q, Ferric %q", short(x, 200), short(y, 200)))
		}
		return out
	}
	i, f = a.value(i), a.value(f)
	if ironic.status >= 400 {
		return append(out, compareFaults(ironic.status, i, f, texts)...)
	}
	return append(out, compareValues("body", i, f)...)
}

// form says who made an error, which can be seen from its form and from whether the version had been negotiated by then.
func form(a answer) string {
	if a.status < 400 || len(a.body) == 0 {
		return "nobody"
	}
	m := fault(any(a.object()))
	switch {
	case m == nil:
		return "somebody else"
	case m["code"] == nil:
		return "a controller"
	case a.header.Get("X-Openstack-Ironic-Api-Version") == "":
		return "the framework, before versions"
	}
	return "the framework"
}

// why shows the errors of answers that differ in their status.
func why(ironic, ferric answer, a alike) string {
	s := ""
	for _, x := range []struct {
		name string
		answer
	}{{"Ironic", ironic}, {"Ferric", ferric}} {
		if x.status >= 400 {
			if text := faultText(x.object()); text != "" {
				s += fmt.Sprintf(" (%s: %s)", x.name, short(a.text(text), 240))
			}
		}
	}
	return s
}

// canonicalHeader drops what makes no difference.
func canonicalHeader(name, v string) string {
	switch name {
	case "Content-Type":
		media, _, _ := strings.Cut(v, ";")
		return strings.ToLower(strings.TrimSpace(media))
	case "Allow":
		methods := strings.Split(v, ",")
		for i := range methods {
			methods[i] = strings.TrimSpace(methods[i])
		}
		slices.Sort(methods)
		return strings.Join(methods, ", ")
	}
	return v
}

// fault is the inner object of an error, nil if the body is none.
func fault(body any) map[string]any {
	m, _ := body.(map[string]any)
	switch inner := m["error_message"].(type) {
	case string:
		var out map[string]any
		_ = json.Unmarshal([]byte(inner), &out) // a text that is no object has no members
		return out
	case map[string]any:
		return inner
	}
	return nil
}

func faultText(body any) string {
	m := fault(body)
	for _, k := range []string{"faultstring", "description"} {
		if s, ok := m[k].(string); ok {
			return s
		}
	}
	return ""
}

func compareFaults(status int, ironic, ferric any, texts bool) []string {
	i, f := fault(ironic), fault(ferric)
	if i == nil || f == nil {
		return compareValues("body", ironic, ferric)
	}
	textI, textF := faultText(ironic), faultText(ferric)
	for _, m := range []map[string]any{i, f} {
		for _, k := range []string{"faultstring", "description"} {
			if _, ok := m[k].(string); ok {
				m[k] = "<text>"
			}
		}
	}
	out := compareValues("error", i, f)
	if texts {
		if textI != textF {
			out = append(out, fmt.Sprintf("error text: Ironic %q, Ferric %q", short(textI, 300), short(textF, 300)))
		}
		return out
	}
	for _, p := range parsed {
		if want := p.FindString(textI); want != "" && !strings.Contains(textF, want) && (p != missingText || status == 404) {
			out = append(out, fmt.Sprintf("error text lacks %q: Ironic %q, Ferric %q", want, short(textI, 200), short(textF, 200)))
		}
	}
	return out
}

// unordered are lists whose order says nothing.
var unordered = regexp.MustCompile(`(traits|supported_boot_devices|_interfaces|hosts|drivers|accepted)$`)

// compareValues compares two JSON values and returns a line for each place where they differ.
func compareValues(at string, ironic, ferric any) []string {
	switch i := ironic.(type) {
	case map[string]any:
		f, ok := ferric.(map[string]any)
		if !ok {
			break
		}
		keys := map[string]bool{}
		for k := range i {
			keys[k] = true
		}
		for k := range f {
			keys[k] = true
		}
		var out []string
		for _, k := range sorted(keys) {
			x, inI := i[k]
			y, inF := f[k]
			switch {
			case !inF:
				out = append(out, fmt.Sprintf("%s.%s: only Ironic has it: %s", at, k, brief(x)))
			case !inI:
				out = append(out, fmt.Sprintf("%s.%s: only Ferric has it: %s", at, k, brief(y)))
			default:
				out = append(out, compareValues(at+"."+k, x, y)...)
			}
		}
		return out
	case []any:
		f, ok := ferric.([]any)
		if !ok {
			break
		}
		if len(i) != len(f) {
			return []string{fmt.Sprintf("%s: Ironic has %d items, Ferric %d: %s, %s", at, len(i), len(f), brief(i), brief(f))}
		}
		if unordered.MatchString(at) {
			i, f = ordered(i), ordered(f)
		}
		var out []string
		for n := range i {
			out = append(out, compareValues(fmt.Sprintf("%s[%d]", at, n), i[n], f[n])...)
		}
		return out
	}
	if brief(ironic) != brief(ferric) {
		return []string{fmt.Sprintf("%s: Ironic %s, Ferric %s", at, brief(ironic), brief(ferric))}
	}
	return nil
}

func ordered(list []any) []any {
	list = slices.Clone(list)
	slices.SortFunc(list, func(a, b any) int { return strings.Compare(string(mustJSON(a)), string(mustJSON(b))) })
	return list
}

func brief(v any) string {
	b := &strings.Builder{}
	e := json.NewEncoder(b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		panic(err) // v came from JSON
	}
	return short(strings.TrimSpace(b.String()), 300)
}

func sorted[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
