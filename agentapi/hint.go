package agentapi

import (
	"fmt"
	"math"
	"sort"
	"strconv"
	"strings"

	"ferric"
)

// Hints choose the root device: every hint must match. They come from a node's instance_info.root_device or
// properties.root_device. The zero value has no hints and matches every disk.
//
// A hint is "<value>" (equal), "<operator> <value>" or "<or> a <or> b"; operators are those of Ironic:
//
//	s== s!= s< s<= s> s>=   compare as text, ignoring case
//	== != < <= > >= =       compare as numbers ("=" means >=)
//	<in> text               the attribute contains the text
//	<all-in> a b            the attribute contains every word
//	<or> a <or> b           the attribute equals one of them
//
// Text attributes: model, vendor, serial, wwn, wwn_with_extension, wwn_vendor_extension, name, hctl, by_path,
// tran. size is in GiB and a positive whole number; rotational is a boolean. An attribute with several values
// (serial and the WWNs) matches when one of them does.
type Hints struct {
	hints []hint
}

type hint struct {
	name   string
	op     string
	values []string // lower case
	flag   bool     // rotational
}

type hintKind int

const (
	hintText hintKind = iota
	hintSize
	hintBool
)

func hintKindOf(name string) (hintKind, bool) {
	switch name {
	case "size":
		return hintSize, true
	case "rotational":
		return hintBool, true
	case "model", "wwn", "serial", "vendor", "wwn_with_extension", "wwn_vendor_extension", "name", "hctl", "by_path", "tran":
		return hintText, true
	}
	return 0, false
}

// operators, longest first among those that share a beginning.
func operators() []string {
	return []string{"s==", "s!=", "s<=", "s>=", "s<", "s>", "<range-in>", "<all-in>", "<in>", "<or>", "==", "!=", "<=", ">=", "=", "<", ">"}
}

// ParseHints reads a root_device object. nil and empty give no hints. An unknown hint or a bad value is
// CodeInvalid and names it.
func ParseHints(m map[string]any) (Hints, error) {
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	sort.Strings(names)
	var hs Hints
	for _, name := range names {
		h, err := parseHint(name, m[name])
		if err != nil {
			return Hints{}, err
		}
		hs.hints = append(hs.hints, h)
	}
	return hs, nil
}

func parseHint(name string, v any) (hint, error) {
	kind, ok := hintKindOf(name)
	if !ok {
		return hint{}, ferric.Errorf(ferric.CodeInvalid, "root device hint %q is unknown; the hints are size, rotational, model, vendor, serial, "+
			"wwn, wwn_with_extension, wwn_vendor_extension, name, hctl, by_path and tran", name)
	}
	switch kind {
	case hintBool:
		b, err := parseBool(v)
		if err != nil {
			return hint{}, ferric.Errorf(ferric.CodeInvalid, "root device hint %q: %v is not a boolean; use true or false", name, v)
		}
		return hint{name: name, flag: b}, nil
	case hintSize:
		text, err := sizeText(v)
		if err != nil {
			return hint{}, ferric.Errorf(ferric.CodeInvalid, "root device hint %q: %v is not a number of GiB", name, v)
		}
		h, err := parseExpression(name, text)
		if err != nil {
			return hint{}, err
		}
		switch h.op {
		case "":
			h.op = "=="
		case "==", "!=", "<", "<=", ">", ">=", "=", "<or>":
		default:
			return hint{}, ferric.Errorf(ferric.CodeInvalid, "root device hint %q: the operator %s is for text; use ==, !=, <, <=, >, >= or <or>", name, h.op)
		}
		for _, val := range h.values {
			if n, err := strconv.Atoi(val); err != nil || n <= 0 {
				return hint{}, ferric.Errorf(ferric.CodeInvalid, "root device hint %q: %q is not a positive whole number of GiB", name, val)
			}
		}
		return h, nil
	}
	text, ok := v.(string)
	if !ok {
		return hint{}, ferric.Errorf(ferric.CodeInvalid, "root device hint %q: %v is not a string", name, v)
	}
	h, err := parseExpression(name, text)
	if err != nil {
		return hint{}, err
	}
	if h.op == "" {
		h.op = "s=="
	}
	return h, nil
}

func parseExpression(name, text string) (hint, error) {
	text = strings.ToLower(strings.TrimSpace(text))
	if text == "" {
		return hint{}, ferric.Errorf(ferric.CodeInvalid, "root device hint %q is empty", name)
	}
	h := hint{name: name}
	for _, op := range operators() {
		rest, ok := strings.CutPrefix(text, op)
		if !ok {
			continue
		}
		h.op = op
		text = strings.TrimSpace(rest)
		break
	}
	switch h.op {
	case "<or>":
		for _, v := range strings.Split(text, "<or>") {
			if v = strings.TrimSpace(v); v != "" {
				h.values = append(h.values, v)
			}
		}
	case "<all-in>":
		h.values = strings.Fields(text)
	case "<range-in>":
		return hint{}, ferric.Errorf(ferric.CodeInvalid, "root device hint %q: the operator <range-in> is not for root devices; use >= and <=", name)
	default:
		if text != "" {
			h.values = []string{text}
		}
	}
	if len(h.values) == 0 {
		return hint{}, ferric.Errorf(ferric.CodeInvalid, "root device hint %q: the operator %s has no value", name, h.op)
	}
	return h, nil
}

func sizeText(v any) (string, error) {
	switch v := v.(type) {
	case string:
		return v, nil
	case int:
		return strconv.Itoa(v), nil
	case int64:
		return strconv.FormatInt(v, 10), nil
	case float64:
		if v != math.Trunc(v) || math.Abs(v) > 1<<53 {
			return "", fmt.Errorf("not a whole number")
		}
		return strconv.FormatInt(int64(v), 10), nil
	case fmt.Stringer: // json.Number
		return v.String(), nil
	}
	return "", fmt.Errorf("not a number")
}

func parseBool(v any) (bool, error) {
	if b, ok := v.(bool); ok {
		return b, nil
	}
	switch strings.ToLower(strings.TrimSpace(fmt.Sprint(v))) {
	case "1", "t", "true", "on", "y", "yes":
		return true, nil
	case "0", "f", "false", "off", "n", "no":
		return false, nil
	}
	return false, fmt.Errorf("not a boolean")
}

// Empty reports whether there is no hint.
func (hs Hints) Empty() bool { return len(hs.hints) == 0 }

// String lists the hints for messages.
func (hs Hints) String() string {
	parts := make([]string, 0, len(hs.hints))
	for _, h := range hs.hints {
		switch {
		case len(h.values) == 0:
			parts = append(parts, fmt.Sprintf("%s=%t", h.name, h.flag))
		case h.op == "<or>":
			parts = append(parts, h.name+" <or> "+strings.Join(h.values, " <or> "))
		default:
			parts = append(parts, h.name+" "+h.op+" "+strings.Join(h.values, " "))
		}
	}
	return strings.Join(parts, ", ")
}

// Match reports whether the disk satisfies every hint.
func (hs Hints) Match(d BlockDevice) bool {
	for _, h := range hs.hints {
		if !h.match(d) {
			return false
		}
	}
	return true
}

func (h hint) match(d BlockDevice) bool {
	switch h.name {
	case "rotational":
		return d.Rotational == h.flag
	case "size":
		return h.compare(strconv.FormatFloat(float64(d.Size)/(1<<30), 'f', -1, 64), true)
	}
	for _, v := range attribute(d, h.name) {
		v = strings.ToLower(strings.TrimSpace(v))
		if v != "" && h.compare(v, false) {
			return true
		}
	}
	return false
}

func attribute(d BlockDevice, name string) []string {
	switch name {
	case "model":
		return []string{d.Model}
	case "vendor":
		return []string{string(d.Vendor)}
	case "serial":
		return d.Serial
	case "wwn":
		return d.WWN
	case "wwn_with_extension":
		return d.WWNWithExtension
	case "wwn_vendor_extension":
		return d.WWNVendorExtension
	case "name":
		return []string{d.Name}
	case "hctl":
		return []string{string(d.HCTL)}
	case "by_path":
		return []string{string(d.ByPath)}
	case "tran":
		return []string{string(d.Tran)}
	}
	return nil
}

func (h hint) compare(have string, numeric bool) bool {
	want := h.values[0]
	switch h.op {
	case "s==":
		return have == want
	case "s!=":
		return have != want
	case "s<":
		return have < want
	case "s<=":
		return have <= want
	case "s>":
		return have > want
	case "s>=":
		return have >= want
	case "<in>":
		return strings.Contains(have, want)
	case "<all-in>":
		for _, v := range h.values {
			if !strings.Contains(have, v) {
				return false
			}
		}
		return true
	case "<or>":
		for _, v := range h.values {
			if have == v || numeric && sameNumber(have, v) {
				return true
			}
		}
		return false
	}
	a, errA := strconv.ParseFloat(have, 64)
	b, errB := strconv.ParseFloat(want, 64)
	if errA != nil || errB != nil {
		return false
	}
	switch h.op {
	case "==":
		return a == b
	case "!=":
		return a != b
	case "<":
		return a < b
	case "<=":
		return a <= b
	case ">":
		return a > b
	case ">=", "=":
		return a >= b
	}
	return false
}

func sameNumber(x, y string) bool {
	a, errA := strconv.ParseFloat(x, 64)
	b, errB := strconv.ParseFloat(y, 64)
	return errA == nil && errB == nil && a == b
}
