package api

import (
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"ferric"
	"ferric/rpc"
)

// stepInterfaces are the interfaces whose steps may be asked for.
func stepInterfaces() []string {
	return []string{"bios", "deploy", "firmware", "management", "power", "raid", "vendor"}
}

// readSteps checks the steps that an operator asks for. The list's name says which kind they are.
func (a *API) readSteps(rq *request, list string, items []any) ([]rpc.StepArgs, error) {
	var steps []rpc.StepArgs
	for i, item := range items {
		s, err := readStep(list, item)
		if err != nil {
			return nil, ferric.Errorf(ferric.CodeInvalid, "Invalid %s: step %d: %w", list, i+1, err)
		}
		steps = append(steps, s)
	}
	for _, s := range steps { // as Ironic, once all have the right form
		if !s.OnChildren {
			continue
		}
		for _, child := range s.Children {
			if err := a.checkChild(rq, child); err != nil {
				return nil, err
			}
		}
	}
	return steps, nil
}

// checkChild refuses a child that there is not, or that the caller may not provision.
func (a *API) checkChild(rq *request, id string) error {
	if !isUUID(id) {
		return invalid("Invalid entry detected for execute_on_child_node parameter: %s is no UUID", repr(clip(id)))
	}
	n, err := a.nodeByIdent(rq, id)
	if err != nil {
		return err
	}
	return rq.require("baremetal:node:set_provision_state", nodeTarget(n))
}

// readStep reads one step.
func readStep(list string, item any) (s rpc.StepArgs, err error) {
	keys := []string{"interface", "step", "args", "order", "execute_on_child_nodes", "limit_child_node_execution"}
	required := []string{"interface", "step"}
	if list == "deploy_steps" {
		keys = []string{"interface", "step", "args", "priority"}
		required = keys
	}
	m, ok := item.(map[string]any)
	if !ok {
		return s, invalid("%s is not of type 'object'", clip(repr(item)))
	}
	for _, k := range sortedKeys(m) {
		if !slices.Contains(keys, k) {
			return s, invalid("Additional properties are not allowed (%s was unexpected)", repr(clip(k)))
		}
	}
	for _, k := range required {
		if _, ok := m[k]; !ok {
			return s, invalid("'%s' is a required property", k)
		}
	}
	if s.Interface, ok = m["interface"].(string); !ok || !slices.Contains(stepInterfaces(), s.Interface) {
		return s, invalid("interface %s is not one of %s", clip(repr(m["interface"])), strings.Join(stepInterfaces(), ", "))
	}
	if s.Step, ok = m["step"].(string); !ok || s.Step == "" {
		return s, invalid("step must be a name")
	}
	if v, given := m["args"]; given {
		if s.Args, ok = v.(map[string]any); !ok {
			return s, invalid("args must be an object")
		}
	}
	if s.Priority, err = wholeNumber(m, "priority"); err != nil {
		return s, err
	}
	if s.Order, err = wholeNumber(m, "order"); err != nil {
		return s, err
	}
	return s, readChildren(m, &s)
}

// readChildren reads on which child nodes a step runs.
func readChildren(m map[string]any, s *rpc.StepArgs) error {
	if v, given := m["execute_on_child_nodes"]; given {
		on, ok := v.(bool)
		if !ok {
			return invalid("execute_on_child_nodes: %s is not of type 'boolean'", clip(repr(v)))
		}
		s.OnChildren = on
	}
	v, given := m["limit_child_node_execution"]
	if !given {
		return nil
	}
	limit, ok := v.([]any)
	if !ok {
		return invalid("limit_child_node_execution: %s is not of type 'array'", clip(repr(v)))
	}
	for _, entry := range limit {
		id, _ := entry.(string)
		if id == "" && s.OnChildren {
			return invalid("Invalid entry detected for execute_on_child_node parameter: %s is no UUID", clip(repr(entry)))
		}
		s.Children = append(s.Children, canonicalUUID(id))
	}
	if !s.OnChildren {
		s.Children = nil
	}
	return nil
}

var digits = regexp.MustCompile(`^[0-9]{1,9}$`)

// wholeNumber reads a number of at least 0, or the text of one. nil is none.
func wholeNumber(m map[string]any, name string) (*int, error) {
	v, given := m[name]
	if !given {
		return nil, nil
	}
	switch v := v.(type) {
	case float64:
		if v >= 0 && v <= 1<<31 && v == math.Trunc(v) {
			n := int(v)
			return &n, nil
		}
	case string:
		if digits.MatchString(v) {
			if n, err := strconv.Atoi(v); err == nil {
				return &n, nil
			}
		}
	}
	return nil, invalid("%s must be an integer of at least 0", name)
}
