package config

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"ferric"
)

// verify checks a value against what the key's tags demand. allowed replaces the values tag if it is not nil.
func (k *key) verify(v reflect.Value, allowed []string) error {
	if allowed == nil {
		allowed = k.values
	}
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			return nil
		}
		return k.verify(v.Elem(), allowed)
	case reflect.Slice:
		if v.Len() == 0 && k.check == "nonempty" {
			return fmt.Errorf("must not be empty%s", k.allowedText(allowed))
		}
		for i := range v.Len() {
			if v.Index(i).Kind() == reflect.String && v.Index(i).String() == "" {
				return fmt.Errorf("holds an empty element")
			}
			if err := k.verify(v.Index(i), allowed); err != nil {
				return err
			}
			for j := range i {
				if v.Index(i).Equal(v.Index(j)) {
					return fmt.Errorf("holds %v twice", v.Index(i).Interface())
				}
			}
		}
		return nil
	case reflect.Map:
		for _, name := range v.MapKeys() {
			if err := k.verify(v.MapIndex(name), allowed); err != nil {
				return fmt.Errorf("%s %w", name, err)
			}
		}
		return nil
	}
	if v.Kind() == reflect.String {
		return k.verifyString(v.String(), allowed)
	}
	if allowed != nil && !slices.Contains(allowed, fmt.Sprint(v.Interface())) {
		return fmt.Errorf("%v is not allowed%s", v.Interface(), k.allowedText(allowed))
	}
	return k.verifyBounds(v)
}

func (k *key) verifyString(s string, allowed []string) error {
	switch {
	case s == "" && k.def == "":
		return nil // may be left empty
	case allowed != nil && !slices.Contains(allowed, s):
		text := k.allowedText(allowed)
		if near := nearest(s, allowed); near != "" {
			text += fmt.Sprintf("; did you mean %q?", near)
		}
		return fmt.Errorf("%q is not allowed%s", s, text)
	case strings.ContainsFunc(s, func(r rune) bool { return unicode.IsControl(r) || r == unicode.ReplacementChar }):
		return fmt.Errorf("holds a control character or text that is not UTF-8")
	}
	switch k.check {
	case "", "nonempty":
		return nil
	}
	check, ok := checks[k.check]
	if !ok {
		return fmt.Errorf("has the unknown check %q", k.check)
	}
	return check(s)
}

func (k *key) allowedText(allowed []string) string {
	if len(allowed) == 0 {
		return ""
	}
	return "; allowed: " + strings.Join(allowed, ", ")
}

// verifyBounds compares with min and max, which are of the value's own type.
func (k *key) verifyBounds(v reflect.Value) error {
	if !v.CanInt() {
		return nil
	}
	for _, bound := range []struct {
		text string
		bad  func(int64) bool
	}{
		{k.min, func(b int64) bool { return v.Int() < b }},
		{k.max, func(b int64) bool { return v.Int() > b }},
	} {
		if bound.text == "" {
			continue
		}
		b, err := parseScalar(v.Type(), bound.text)
		if err != nil {
			return fmt.Errorf("has the bound %q: %w", bound.text, err)
		}
		if bound.bad(b.Int()) {
			return fmt.Errorf("must be %s to %s, not %s", k.min, k.max, strings.Trim(formatTOML(v), `"`))
		}
	}
	return nil
}

// checks are the forms that the check tag names. They never see an empty string whose default is empty.
var checks = map[string]func(string) error{
	"path": func(s string) error {
		if !filepath.IsAbs(s) {
			return fmt.Errorf("%q must be an absolute path", s)
		}
		return nil
	},
	"file": func(s string) error {
		if filepath.IsAbs(s) {
			return nil
		}
		if u, err := url.Parse(s); err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" || err == nil && u.Scheme == "file" && filepath.IsAbs(u.Path) {
			return nil
		}
		if _, ok := ferric.GlanceImage(s); ok {
			return nil
		}
		return fmt.Errorf("%q must be an absolute path, a http://, https:// or file:// URL, or an image in Glance (its UUID, or glance://UUID)", s)
	},
	"priority": func(s string) error {
		if n, err := strconv.Atoi(s); err != nil || n < 0 || n > 1000 {
			return fmt.Errorf("%q must be a priority, a whole number from 0 to 1000", s)
		}
		return nil
	},
	"listen": func(s string) error {
		host, port, err := net.SplitHostPort(s)
		if err == nil {
			_, err = strconv.ParseUint(port, 10, 16)
		}
		if err == nil && host != "" && host != "localhost" {
			_, err = netip.ParseAddr(host)
		}
		if err != nil {
			return fmt.Errorf("%q must be address:port, for example \"127.0.0.1:6385\" or \"[::]:6385\"", s)
		}
		return nil
	},
	"httpurl": func(s string) error {
		u, err := url.Parse(s)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil {
			return fmt.Errorf("must be a URL like \"https://ferric.example.org:6385\", without user and password")
		}
		return nil
	},
	"ip": func(s string) error {
		if _, err := netip.ParseAddr(s); err != nil {
			return fmt.Errorf("%q must be an IP address", s)
		}
		return nil
	},
	"iprange": func(s string) error {
		if _, _, ok := parseRange(s); !ok {
			return fmt.Errorf("%q must be two IPv4 addresses, the lower first: 172.22.0.100-172.22.0.199", s)
		}
		return nil
	},
	"host": func(s string) error {
		if s == "" || len(s) > 255 || strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' || r == '/' }) {
			return fmt.Errorf("%q must be a name of up to 255 ASCII characters without spaces and slashes", s)
		}
		return nil
	},
	"group": func(s string) error {
		if len(s) > 255 || strings.ContainsFunc(s, func(r rune) bool {
			return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_.", r))
		}) {
			return fmt.Errorf("%q must hold only letters, digits, '-', '_' and '.'", s)
		}
		return nil
	},
	"prefix": func(s string) error {
		for token := range strings.SplitSeq(s, ".") {
			if token == "" || strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' || r == '*' || r == '>' }) {
				return fmt.Errorf("%q must be a NATS subject without wildcards, for example \"ferric\"", s)
			}
		}
		return nil
	},
	"nats": func(s string) error {
		for part := range strings.SplitSeq(s, ",") {
			u, err := url.Parse(strings.TrimSpace(part))
			if err != nil || !slices.Contains([]string{"nats", "tls", "ws", "wss"}, u.Scheme) || u.Hostname() == "" {
				return fmt.Errorf("must be URLs like \"nats://host:4222\" or \"tls://host:4222\", separated by commas")
			}
		}
		return nil
	},
	"database": func(s string) error {
		if filepath.IsAbs(s) {
			return nil
		}
		if u, err := url.Parse(s); err == nil && (u.Scheme == "postgres" || u.Scheme == "postgresql") {
			return nil
		}
		return fmt.Errorf("must be an absolute path (SQLite) or a URL like \"postgres://user@host/name\"")
	},
}
