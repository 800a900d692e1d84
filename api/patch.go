package api

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// patch is a JSON Patch (RFC 6902) with the operations that Ironic has: add, replace, remove.
type patch []patchOp

// patchOp is one operation.
type patchOp struct {
	Op    string
	Path  string
	Value any
	keys  []string // the path, split and unescaped
}

// root is the field that the operation is about.
func (op patchOp) root() string { return op.keys[0] }

// oldPath is what a path may be before 1.98: no escapes, and nothing but letters, digits, _ and -.
var oldPath = regexp.MustCompile(`^(/[\w-]+)+$`)

// maxPatchOps bounds the work that one request can ask for.
const maxPatchOps = 1000

// readPatch checks the form of a patch.
func readPatch(doc any, version int) (patch, error) {
	list, ok := doc.([]any)
	if !ok {
		return nil, invalid("Schema error for patch: %s is not of type 'array'", clip(repr(doc)))
	}
	if len(list) > maxPatchOps {
		return nil, invalid("Schema error for patch: it has %d operations; at most %d are allowed", len(list), maxPatchOps)
	}
	out := make(patch, 0, len(list))
	for _, item := range list {
		m, ok := item.(map[string]any)
		if !ok {
			return nil, invalid("Schema error for patch: %s is not of type 'object'", clip(repr(item)))
		}
		for _, k := range sortedKeys(m) {
			if k != "op" && k != "path" && k != "value" {
				return nil, invalid("Schema error for patch: Additional properties are not allowed (%s was unexpected)", repr(clip(k)))
			}
		}
		for _, k := range []string{"op", "path"} {
			if _, ok := m[k]; !ok {
				return nil, invalid("Schema error for patch: '%s' is a required property", k)
			}
			if _, ok := m[k].(string); !ok {
				return nil, typeError("patch", m[k], "string")
			}
		}
		op := patchOp{Op: m["op"].(string), Path: m["path"].(string), Value: m["value"]}
		if !slices.Contains([]string{"add", "replace", "remove"}, op.Op) {
			return nil, invalid("Schema error for patch: %s is not one of ['add', 'replace', 'remove']", clip(repr(op.Op)))
		}
		if _, given := m["value"]; !given && op.Op != "remove" {
			return nil, invalid("Couldn't apply patch '%s'. Reason: The operation does not contain a 'value' member", clip(repr(item)))
		}
		var err error
		if op.keys, err = splitPath(op.Path, version); err != nil {
			return nil, err
		}
		out = append(out, op)
	}
	return out, nil
}

// splitPath splits a JSON pointer (RFC 6901).
func splitPath(path string, version int) ([]string, error) {
	bad := func() ([]string, error) {
		return nil, invalid("Schema error for patch: %s does not match '^(/[\\\\w-]+)+$'", clip(repr(path)))
	}
	if version < 98 && !oldPath.MatchString(path) {
		return bad()
	}
	rest, ok := strings.CutPrefix(path, "/")
	if !ok || rest == "" {
		return bad()
	}
	keys := strings.Split(rest, "/")
	for i, k := range keys {
		for j := range len(k) {
			if k[j] == '~' && (j+1 == len(k) || k[j+1] != '0' && k[j+1] != '1') {
				return bad()
			}
		}
		keys[i] = strings.ReplaceAll(strings.ReplaceAll(k, "~1", "/"), "~0", "~")
	}
	if keys[0] == "" {
		return bad()
	}
	return keys, nil
}

// apply changes doc, operation by operation. The document is not to be used after an error.
func (p patch) apply(doc map[string]any) error {
	for _, op := range p {
		if op.Op == "add" && len(op.keys) == 1 {
			if _, ok := doc[op.keys[0]]; !ok {
				return invalid("Adding a new attribute (%s) to the root of the resource is not allowed", clip(op.Path))
			}
		}
	}
	for _, op := range p {
		if _, err := op.at(doc, op.keys); err != nil {
			return invalid("Couldn't apply patch '%s %s'. Reason: %w", op.Op, clip(op.Path), err)
		}
	}
	return nil
}

// at applies the operation to the value v, of which keys is what is left of the path, and returns the value that takes its place.
func (op patchOp) at(v any, keys []string) (any, error) {
	key, last := keys[0], len(keys) == 1
	switch v := v.(type) {
	case map[string]any:
		old, exists := v[key]
		switch {
		case last && op.Op == "add":
			v[key] = copyJSON(op.Value)
		case last && op.Op == "replace":
			if !exists {
				return nil, invalid("can't replace a non-existent object '%s'", clip(key))
			}
			v[key] = copyJSON(op.Value)
		case last:
			if !exists {
				return nil, invalid("can't remove a non-existent object '%s'", clip(key))
			}
			delete(v, key)
		case !exists:
			return nil, invalid("member '%s' not found", clip(key))
		default:
			changed, err := op.at(old, keys[1:])
			if err != nil {
				return nil, err
			}
			v[key] = changed
		}
		return v, nil
	case []any:
		i, err := arrayIndex(key, len(v), last && op.Op == "add")
		if err != nil {
			return nil, err
		}
		switch {
		case last && op.Op == "add":
			return slices.Insert(v, i, copyJSON(op.Value)), nil
		case last && op.Op == "replace":
			v[i] = copyJSON(op.Value)
		case last:
			return slices.Delete(v, i, i+1), nil
		default:
			changed, err := op.at(v[i], keys[1:])
			if err != nil {
				return nil, err
			}
			v[i] = changed
		}
		return v, nil
	}
	return nil, invalid("the parent of '%s' is neither an object nor a list", clip(key))
}

// arrayIndex reads an index; "-" is the end, where only add makes sense.
func arrayIndex(key string, length int, adding bool) (int, error) {
	if key == "-" && adding {
		return length, nil
	}
	i, err := strconv.Atoi(key)
	if err != nil || i < 0 || strconv.Itoa(i) != key {
		return 0, invalid("'%s' is not a valid list index", clip(key))
	}
	if i > length || i == length && !adding {
		return 0, invalid("list index %d is out of range", i)
	}
	return i, nil
}

// copyJSON copies a JSON value, so that two places of a document never share one.
func copyJSON(v any) any {
	switch v := v.(type) {
	case map[string]any:
		m := make(map[string]any, len(v))
		for k, x := range v {
			m[k] = copyJSON(x)
		}
		return m
	case []any:
		l := make([]any, len(v))
		for i, x := range v {
			l[i] = copyJSON(x)
		}
		return l
	}
	return v
}
