package api

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// arg is one argument of a route. It comes from the query, or from the body's top level where the route's body holds
// arguments.
type arg struct {
	name     string
	parse    parser
	required bool
	since    int  // microversion; before it the argument is refused with 406. 0: always
	quiet    bool // the refusal does not name the microversion
}

// parser checks a value and brings it into the form that the handler reads. From a query v is a string.
type parser func(name string, v any) (any, error)

// args are the arguments of one request, parsed. A missing one and null are the same.
type args map[string]any

func (a args) has(name string) bool { return a[name] != nil }

func (a args) str(name string) string {
	s, _ := a[name].(string)
	return s
}

func (a args) list(name string) []string {
	s, _ := a[name].([]string)
	return s
}

func (a args) boolean(name string) *bool {
	b, ok := a[name].(bool)
	if !ok {
		return nil
	}
	return &b
}

func (a args) isTrue(name string) bool {
	b, _ := a[name].(bool)
	return b
}

func (a args) integer(name string) *int {
	i, ok := a[name].(int)
	if !ok {
		return nil
	}
	return &i
}

func (a args) items(name string) []any {
	l, _ := a[name].([]any)
	return l
}

// parseArgs checks the request's arguments against the route's.
func parseArgs(rq *request, specs []arg) (args, error) {
	raw := map[string]any{}
	for k, v := range rq.query {
		raw[k] = v[0]
		if len(v) > 1 { // several of a name are a list, which few parsers take
			list := make([]any, len(v))
			for i := range v {
				list[i] = v[i]
			}
			raw[k] = list
		}
	}
	for k, v := range rq.bodyArgs {
		raw[k] = v
	}
	var unknown []string
	for k := range raw {
		if !slices.ContainsFunc(specs, func(s arg) bool { return s.name == k }) {
			unknown = append(unknown, k)
		}
	}
	if len(unknown) > 0 {
		slices.Sort(unknown)
		return nil, invalid("Unexpected arguments: %s", strings.Join(unknown, ", "))
	}
	out := args{}
	for _, s := range specs {
		v, given := raw[s.name]
		if !given {
			if s.required {
				return nil, invalid("Missing mandatory parameter: %s", s.name)
			}
			continue
		}
		if v == nil {
			continue
		}
		parsed, err := s.parse(s.name, v)
		if err != nil {
			return nil, err
		}
		out[s.name] = parsed
	}
	for _, s := range specs {
		if out.has(s.name) && rq.version < s.since {
			if s.quiet {
				return nil, notAcceptable()
			}
			return nil, needVersion(s.since)
		}
	}
	return out, nil
}

func argString(name string, v any) (any, error) {
	s, ok := v.(string)
	if !ok {
		return nil, invalid("Expected string for %s: %s", name, repr(v))
	}
	return s, nil
}

// argBool takes what oslo's bool_from_string takes.
func argBool(name string, v any) (any, error) {
	var s string
	switch v := v.(type) {
	case bool:
		return v, nil
	case string:
		s = v
	case float64:
		s = strconv.FormatFloat(v, 'f', -1, 64)
	default:
		s = repr(v)
	}
	switch strings.ToLower(strings.TrimSpace(s)) {
	case "1", "t", "true", "on", "y", "yes":
		return true, nil
	case "0", "f", "false", "off", "n", "no":
		return false, nil
	}
	return nil, invalid("Invalid %s: Unrecognized value '%s', acceptable values are: '0', '1', 'f', 'false', 'n', 'no', "+
		"'off', 'on', 't', 'true', 'y', 'yes'", name, s)
}

func argInt(name string, v any) (any, error) {
	switch v := v.(type) {
	case float64:
		if !math.IsInf(v, 0) && math.Abs(v) < 1<<53 {
			return int(v), nil
		}
	case string:
		if i, err := strconv.Atoi(strings.TrimSpace(v)); err == nil {
			return i, nil
		}
	}
	return nil, invalid("Expected an integer for %s: %s", name, plain(v))
}

func argUUID(name string, v any) (any, error) {
	s, ok := v.(string)
	if !ok || !isUUID(s) {
		return nil, invalid("Expected UUID for %s: %s", name, plain(v))
	}
	return s, nil
}

// argIdent takes a UUID or a logical name.
func argIdent(name string, v any) (any, error) {
	s, ok := v.(string)
	if !ok || !isName(s) && !isUUID(s) {
		return nil, invalid("Expected UUID or name for %s: %s", name, plain(v))
	}
	return s, nil
}

// argName takes a logical name.
func argName(name string, v any) (any, error) {
	s, ok := v.(string)
	if !ok || !isName(s) {
		return nil, invalid("Expected name for %s: %s", name, clip(plain(v)))
	}
	return s, nil
}

// argList takes a comma-separated list; the items are in lower case and each is there once.
func argList(name string, v any) (any, error) {
	if list, ok := v.([]any); ok {
		items := make([]string, len(list))
		for i := range list {
			if items[i], ok = list[i].(string); !ok {
				return nil, invalid("Expected string for %s: %s", name, clip(repr(list[i])))
			}
		}
		return items, nil
	}
	s, ok := v.(string)
	if !ok {
		return nil, invalid("Expected string for %s: %s", name, clip(repr(v)))
	}
	items := []string{}
	for item := range strings.SplitSeq(s, ",") {
		item = strings.ToLower(strings.TrimSpace(item))
		if item != "" && !slices.Contains(items, item) {
			items = append(items, item)
		}
	}
	return items, nil
}

func argMAC(name string, v any) (any, error) {
	s, _ := v.(string)
	mac, ok := normalMAC(s)
	if !ok {
		return nil, invalid("Expected valid MAC address for %s: %s", name, plain(v))
	}
	return mac, nil
}

func argArray(name string, v any) (any, error) {
	l, ok := v.([]any)
	if !ok {
		return nil, invalid("Expected types <class 'NoneType'>, <class 'list'> for %s: %s", name, plain(v))
	}
	return l, nil
}

func argAny(_ string, v any) (any, error) { return v, nil }

var (
	uuidPattern     = regexp.MustCompile(`^(?i)[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}$`)
	namePattern     = regexp.MustCompile(`^(?i)[a-z0-9\-._~]{1,255}$`)
	hostPattern     = regexp.MustCompile(`^[a-z0-9]([a-z0-9\-]{0,61}[a-z0-9])?(\.[a-z0-9\-_]{0,62}[a-z0-9])*$`)
	macPattern      = regexp.MustCompile(`^[0-9a-f]{2}(:[0-9a-f]{2}){5}$`)
	datapathPattern = regexp.MustCompile(`^[0-9a-f]{16}$`)
)

func isUUID(s string) bool { return uuidPattern.MatchString(s) }

// isName reports whether s may be a logical name: RFC 3986 unreserved characters, at most 255.
func isName(s string) bool { return namePattern.MatchString(s) }

// isNameFor is isName with the narrower rule that was in force before 1.10.
func isNameFor(s string, version int) bool {
	if version < 10 {
		return len(s) <= 255 && hostPattern.MatchString(s)
	}
	return isName(s)
}

// normalMAC brings a MAC address of the form 00:11:22:aa:BB:cc into lower case.
func normalMAC(s string) (string, bool) {
	s = strings.ToLower(s)
	return s, macPattern.MatchString(s)
}

// plain shows a value in a message as Python's str does.
func plain(v any) string {
	if s, ok := v.(string); ok {
		return s
	}
	return repr(v)
}

// repr shows a JSON value in a message as Python's repr does, because Ironic's messages show values so.
func repr(v any) string {
	switch v := v.(type) {
	case nil:
		return "None"
	case bool:
		if v {
			return "True"
		}
		return "False"
	case string:
		return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`, "\n", `\n`).Replace(v) + "'"
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	case []any:
		parts := make([]string, len(v))
		for i := range v {
			parts[i] = repr(v[i])
		}
		return "[" + strings.Join(parts, ", ") + "]"
	case map[string]any:
		parts := []string{}
		for _, k := range sortedKeys(v) {
			parts = append(parts, repr(k)+": "+repr(v[k]))
		}
		return "{" + strings.Join(parts, ", ") + "}"
	}
	return fmt.Sprint(v)
}

func sortedKeys(m map[string]any) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// clip keeps foreign text in a message short.
func clip(s string) string {
	if len(s) > 200 {
		return strings.ToValidUTF8(s[:200], "") + "…"
	}
	return s
}
