package rules

import (
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"ferric"
)

// maxPattern bounds a regular expression.
const maxPattern = 4096

// holds evaluates one condition, over its loop if it has one.
func (s *scope) holds(c ferric.RuleOperation) (bool, error) {
	op, not := inverted(c.Op)
	sign, ok := conditions()[op]
	if !ok {
		return false, ferric.Errorf(ferric.CodeInvalid, "Unsupported operator: '%s'. Supported operators are: %s.", clip(op), strings.Join(ConditionNames(), ", "))
	}
	args, err := sign.arguments(c.Args)
	if err != nil {
		return false, err
	}
	once := func(s *scope) (bool, error) {
		bound := s.bind(op, sign, args)
		if s.looping && slices.Contains(sign.optional, "force_strings") {
			bound["force_strings"] = true
		}
		result, err := test(op, bound)
		return result != not, err
	}
	items := loopItems(c.Loop)
	if items == nil {
		return once(s)
	}
	results := make([]bool, 0, len(items))
	for _, item := range items {
		inner := *s
		inner.item, inner.looping = item, true
		result, err := once(&inner)
		if err != nil {
			return false, err
		}
		if results = append(results, result); result && c.Multiple == "first" {
			return true, nil
		}
	}
	switch c.Multiple {
	case "all":
		return !slices.Contains(results, false), nil
	case "first":
		return results[0], nil
	case "last":
		return results[len(results)-1], nil
	}
	return slices.Contains(results, true), nil
}

// loopItems are the items of a loop, nil if there is none: an object is one item.
func loopItems(v any) []any {
	switch v := v.(type) {
	case []any:
		if len(v) > 0 {
			return v
		}
	case map[string]any:
		if len(v) > 0 {
			return []any{v}
		}
	}
	return nil
}

// bind formats an operation's arguments: those that its signature names, and within a loop all.
func (s *scope) bind(op string, sign signature, args map[string]any) map[string]any {
	inner := *s
	inner.emptyIsNone = op == "is-empty"
	bound := make(map[string]any, len(args))
	for name, v := range args {
		if s.looping || slices.Contains(sign.formatted, name) {
			v = inner.interpolate(v)
		}
		bound[name] = v
	}
	return bound
}

// test evaluates an operator.
func test(op string, args map[string]any) (bool, error) {
	v := args["value"]
	switch op {
	case "eq", "lt", "gt":
		return ordered(op, args["values"], truth(args["force_strings"]))
	case "is-empty":
		t := text(v)
		return t == "" || t == "None" || t == "[]" || t == "{}", nil
	case "is-none":
		return v == nil, nil
	case "is-true":
		if s, ok := v.(string); ok {
			s = strings.ToLower(s)
			return s == "yes" || s == "true", nil
		}
		n, ok := number(v)
		return ok && n != 0, nil
	case "is-false":
		if s, ok := v.(string); ok {
			s = strings.ToLower(s)
			return s == "no" || s == "false", nil
		}
		n, ok := number(v)
		return v == nil || ok && n == 0, nil
	case "one-of":
		switch list := args["values"].(type) {
		case []any:
			return slices.ContainsFunc(list, func(e any) bool { return equal(v, e) }), nil
		case map[string]any:
			s, ok := v.(string)
			_, has := list[s]
			return ok && has, nil
		case string:
			s, ok := v.(string)
			return ok && strings.Contains(list, s), nil
		case nil:
			return false, nil
		}
		return false, broken("'one-of': Expected list for 'values'")
	case "in-net":
		return inNet(text(args["address"]), text(args["subnet"]))
	case "matches", "contains":
		return matches(op == "matches", text(v), args["regex"])
	}
	return false, broken("there is no operator '%s'", op)
}

func truth(v any) bool { b, ok := v.(bool); return ok && b }

func broken(format string, args ...any) error {
	return ferric.Errorf(ferric.CodeInvalid, "Inspection rule condition check failed. Reason: "+format, args...)
}

// ordered compares each of the values with the next one.
func ordered(op string, v any, asTexts bool) (bool, error) {
	values, ok := v.([]any)
	if !ok {
		return false, broken("'%s': Expected list for 'values'", op)
	}
	for i := range len(values) - 1 {
		a, b := values[i], values[i+1]
		if asTexts {
			a, b = text(a), text(b)
		}
		if op == "eq" {
			if !equal(a, b) {
				return false, nil
			}
			continue
		}
		c, ok := compare(a, b)
		if !ok {
			return false, broken("'%s': values %d and %d have types that cannot be compared; force_strings compares them as texts", op, i+1, i+2)
		}
		if op == "lt" && c >= 0 || op == "gt" && c <= 0 {
			return false, nil
		}
	}
	return true, nil
}

func inNet(address, subnet string) (bool, error) {
	addr, err := netip.ParseAddr(address)
	if err != nil {
		return false, broken("invalid value: %s is no IP address", clip(repr(address)))
	}
	if !strings.Contains(subnet, "/") {
		only, err := netip.ParseAddr(subnet)
		if err != nil {
			return false, broken("invalid value: %s is no network", clip(repr(subnet)))
		}
		return only == addr, nil
	}
	prefix, err := netip.ParsePrefix(subnet)
	if err != nil {
		return false, broken("invalid value: %s is no network", clip(repr(subnet)))
	}
	return prefix.Contains(addr.WithZone("")), nil
}

// matches looks for a regular expression. As in Ironic, "matches" begins at the text's start, and its last alternative must reach the end.
func matches(whole bool, t string, v any) (bool, error) {
	pattern, ok := v.(string)
	if !ok || pattern == "" || len(pattern) > maxPattern {
		return false, broken("regex must be a text of 1 to %d characters", maxPattern)
	}
	if whole {
		if !strings.HasSuffix(pattern, "$") {
			pattern += "$"
		}
		pattern = `\A(?:` + pattern + `)`
	}
	re, err := regexp.Compile(pattern)
	if err != nil {
		return false, broken("invalid regular expression: %w", err)
	}
	return re.MatchString(t), nil
}
