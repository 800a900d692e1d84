package api

import (
	"math"
	"strings"
	"unicode/utf8"
)

// checker checks one value of a body and brings it into the form that the field's value takes. where is the object's name for
// the message: "node", or "patch". nil passes as nil.
type checker func(where, name string, v any) (any, error)

func typeError(where string, v any, types ...string) error {
	return invalid("Schema error for %s: %s is not of type '%s'", where, clip(repr(v)), strings.Join(types, "', '"))
}

// aString takes a string of up to max characters (0: any) or null.
func aString(max int) checker {
	return func(where, name string, v any) (any, error) {
		if v == nil {
			return nil, nil
		}
		s, ok := v.(string)
		if !ok {
			return nil, typeError(where, v, "string", "null")
		}
		if max > 0 && utf8.RuneCountInString(s) > max {
			return nil, invalid("Schema error for %s: %s is too long; %s may have %d characters", where, clip(repr(s)), name, max)
		}
		return s, nil
	}
}

// notEmpty takes what inner takes, without "".
func notEmpty(inner checker) checker {
	return func(where, name string, v any) (any, error) {
		if v == "" {
			return nil, invalid("Schema error for %s: '' is too short; %s must not be empty", where, name)
		}
		return inner(where, name, v)
	}
}

// aUUID takes a UUID or null. It comes out in lower case.
func aUUID(where, name string, v any) (any, error) {
	if v == nil {
		return nil, nil
	}
	s, ok := v.(string)
	if !ok {
		return nil, typeError(where, v, "string", "null")
	}
	if !isUUID(s) {
		return nil, invalid("Expected UUID for %s: %s", name, clip(s))
	}
	return strings.ToLower(s), nil
}

// some takes what inner takes, without null.
func some(inner checker, types ...string) checker {
	return func(where, name string, v any) (any, error) {
		if v == nil {
			return nil, typeError(where, v, types...)
		}
		return inner(where, name, v)
	}
}

// maybeMAC takes what aMAC takes, or null.
func maybeMAC(where, name string, v any) (any, error) {
	if v == nil {
		return nil, nil
	}
	if _, ok := v.(string); !ok {
		return nil, typeError(where, v, "string", "null")
	}
	return aMAC(where, name, v)
}

// anInteger takes a whole number that databases can hold.
func anInteger(where, name string, v any) (any, error) {
	n, ok := v.(float64)
	if !ok || n != math.Trunc(n) {
		return nil, typeError(where, v, "integer")
	}
	if math.Abs(n) > math.MaxInt32 {
		return nil, invalid("Schema error for %s: %s is out of range for %s", where, clip(repr(v)), name)
	}
	return n, nil
}

// aMAC takes a MAC address, which comes out in lower case.
func aMAC(where, name string, v any) (any, error) {
	s, ok := v.(string)
	if !ok {
		return nil, typeError(where, v, "string")
	}
	mac, ok := normalMAC(s)
	if !ok {
		return nil, invalid("Expected valid MAC address for %s: %s", name, clip(s))
	}
	return mac, nil
}

// aBool takes true, false, the words for them, or null.
func aBool(where, name string, v any) (any, error) {
	switch v.(type) {
	case nil:
		return nil, nil
	case bool, string:
		return argBool(name, v)
	}
	return nil, typeError(where, v, "string", "boolean", "null")
}

// strictBool takes true and false.
func strictBool(where, _ string, v any) (any, error) {
	if _, ok := v.(bool); !ok {
		return nil, typeError(where, v, "boolean")
	}
	return v, nil
}

// anObject takes an object or null.
func anObject(where, _ string, v any) (any, error) {
	switch v.(type) {
	case nil, map[string]any:
		return v, nil
	}
	return nil, typeError(where, v, "object", "null")
}
