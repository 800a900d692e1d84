package rules

import (
	"fmt"
	"slices"
	"strings"

	"ferric"
)

// signature is what an operation takes: the arguments that it must have, in the order of the list form, and those that it may have. Texts in
// the formatted ones are replacement fields; within a loop, those in all are.
type signature struct {
	required, optional, formatted []string
}

// conditions are the operators of conditions. Each may be inverted with a leading "!".
func conditions() map[string]signature {
	value := []string{"value"}
	compare := signature{required: []string{"values"}, optional: []string{"force_strings"}, formatted: []string{"values"}}
	one := signature{required: value, formatted: value}
	pattern := signature{required: []string{"value", "regex"}, formatted: value}
	return map[string]signature{
		"eq": compare, "lt": compare, "gt": compare,
		"is-empty": one, "is-none": one, "is-true": one, "is-false": one,
		"in-net":  {required: []string{"address", "subnet"}, formatted: []string{"address", "subnet"}},
		"matches": pattern, "contains": pattern,
		"one-of": {required: value, optional: []string{"values"}, formatted: value},
	}
}

// actions are the operators of actions.
func actions() map[string]signature {
	value := []string{"value"}
	path := signature{required: []string{"path"}}
	name := signature{required: []string{"name"}}
	set := signature{required: []string{"path", "value"}, formatted: value}
	extend := signature{required: []string{"path", "value"}, optional: []string{"unique"}, formatted: value}
	return map[string]signature{
		"fail":          {required: []string{"msg"}, formatted: []string{"msg"}},
		"log":           {required: []string{"msg"}, optional: []string{"level"}, formatted: []string{"msg"}},
		"set-attribute": set, "extend-attribute": extend, "del-attribute": path,
		"set-capability": {required: []string{"name", "value"}, formatted: value}, "unset-capability": name,
		"add-trait": name, "remove-trait": name,
		"set-plugin-data": set, "extend-plugin-data": extend, "unset-plugin-data": path,
		"set-port-attribute":    {required: []string{"port_id", "path", "value"}, formatted: value},
		"extend-port-attribute": {required: []string{"port_id", "path", "value"}, optional: []string{"unique"}, formatted: value},
		"del-port-attribute":    {required: []string{"port_id", "path"}},
		"api-call": {required: []string{"url"}, optional: []string{"headers", "proxies", "timeout", "retries", "backoff_factor"},
			formatted: []string{"url"}},
	}
}

// ActionNames and ConditionNames return the names of the operations that there are, sorted.
func ActionNames() []string { return sorted(actions()) }

// ConditionNames are the operators without their inversions.
func ConditionNames() []string { return sorted(conditions()) }

func sorted(m map[string]signature) []string {
	names := make([]string, 0, len(m))
	for k := range m {
		names = append(names, k)
	}
	slices.Sort(names)
	return names
}

// arguments brings an operation's arguments into the form by name. CodeInvalid names what is missing or unknown.
func (s signature) arguments(v any) (map[string]any, error) {
	var args map[string]any
	switch v := v.(type) {
	case map[string]any:
		args = v
	case []any:
		names := append(slices.Clone(s.required), s.optional...)
		if len(v) < len(s.required) {
			return nil, failed("Not enough arguments provided. Missing: %s", strings.Join(s.required[len(v):], ", "))
		}
		args = map[string]any{}
		for i := range min(len(v), len(names)) {
			args[names[i]] = v[i]
		}
	default:
		return nil, failed("args must be either a list or dictionary")
	}
	var problems []string
	if missing := slices.DeleteFunc(slices.Clone(s.required), func(n string) bool { _, ok := args[n]; return ok }); len(missing) > 0 {
		problems = append(problems, "missing required argument(s): "+strings.Join(missing, ", "))
	}
	var unexpected []string
	for name := range args {
		if !slices.Contains(s.required, name) && !slices.Contains(s.optional, name) && name != "plugin_data" {
			unexpected = append(unexpected, name)
		}
	}
	if len(unexpected) > 0 {
		slices.Sort(unexpected)
		problems = append(problems, "unexpected argument(s): "+strings.Join(unexpected, ", "))
	}
	if len(problems) > 0 {
		return nil, failed("%s", strings.Join(problems, "; "))
	}
	return args, nil
}

func failed(format string, args ...any) error {
	return ferric.Errorf(ferric.CodeInvalid, "Inspection rule validation failed. Reason: %s", fmt.Sprintf(format, args...))
}

// inverted splits the leading "!" from an operator.
func inverted(op string) (string, bool) {
	op = strings.TrimSpace(op)
	rest, not := strings.CutPrefix(op, "!")
	return strings.TrimSpace(rest), not
}

// Bounds of what a rule may hold.
const (
	maxDescription = 255
	maxPriority    = 9999
)

// Check refuses a rule that could not be run: unknown operators, arguments that are missing or too many, a phase or priority that does not exist.
// Built-in rules may have any priority. CodeInvalid.
func Check(r *ferric.InspectionRule, builtIn bool) error {
	var problems []string
	if r.Phase != ferric.PhaseMain {
		problems = append(problems, fmt.Sprintf("Invalid phase: %s. Valid phases are: %s", clip(r.Phase), ferric.PhaseMain))
	}
	if r.Priority < 0 && !builtIn {
		problems = append(problems, "Priority cannot be negative for user-defined rules.")
	}
	if r.Priority > maxPriority && !builtIn {
		problems = append(problems, "Priority must be between 0 and 9999 for user-defined rules.")
	}
	if len([]rune(r.Description)) > maxDescription {
		problems = append(problems, fmt.Sprintf("The description is longer than %d characters.", maxDescription))
	}
	if len(r.Actions) == 0 {
		problems = append(problems, "A rule needs at least one action.")
	}
	for _, c := range r.Conditions {
		op, _ := inverted(c.Op)
		sign, ok := conditions()[op]
		if !ok {
			problems = append(problems, "Unsupported condition operator: "+clip(op))
			continue
		}
		if _, err := sign.arguments(c.Args); err != nil {
			return err
		}
	}
	for _, a := range r.Actions {
		sign, ok := actions()[a.Op]
		if !ok {
			problems = append(problems, "Unsupported action operator: "+clip(a.Op))
			continue
		}
		if _, err := sign.arguments(a.Args); err != nil {
			return err
		}
	}
	switch len(problems) {
	case 0:
		return nil
	case 1:
		return ferric.Errorf(ferric.CodeInvalid, "%s", problems[0])
	}
	return ferric.Errorf(ferric.CodeInvalid, "Multiple validation errors occurred: %s", strings.Join(problems, "; "))
}

// clip keeps foreign text in a message short.
func clip(s string) string {
	if len(s) > 100 {
		return strings.ToValidUTF8(s[:100], "") + "…"
	}
	return s
}
