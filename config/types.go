package config

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// masked stands for a secret wherever values are shown.
const masked = "******"

// Secret is a value that is not to be shown: every way of printing it gives "******" ("" if it is empty). Use
// string(s) for the value itself.
type Secret string

// String masks.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return masked
}

// GoString masks in %#v.
func (s Secret) GoString() string { return strconv.Quote(s.String()) }

// LogValue masks in logs.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText masks in JSON and TOML.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// SecretURL is a URL, or several separated by commas, that may hold a password (user:password@host, or a query
// parameter such as password=). Printing it masks that; use string(u) for the value itself.
type SecretURL string

// String masks the password.
func (u SecretURL) String() string {
	parts := strings.Split(string(u), ",")
	for i, part := range parts {
		parts[i] = maskURL(part)
	}
	return strings.Join(parts, ",")
}

func maskURL(s string) string {
	if !strings.Contains(s, "://") {
		return s // a path
	}
	p, err := url.Parse(strings.TrimSpace(s))
	if err != nil {
		return masked
	}
	scheme, rest, _ := strings.Cut(s, "://")
	if p.User != nil {
		// The last @ before the path ends the user part, whatever the password holds.
		authority, path := rest, ""
		if i := strings.IndexAny(rest, "/?#"); i >= 0 {
			authority, path = rest[:i], rest[i:]
		}
		at := strings.LastIndexByte(authority, '@')
		name, _, two := strings.Cut(authority[:at], ":")
		if !two {
			name = "" // a bare token
		} else {
			name += ":"
		}
		rest = name + masked + authority[at:] + path
	}
	if before, query, ok := strings.Cut(rest, "?"); ok {
		query, fragment, hasFragment := strings.Cut(query, "#")
		params := strings.Split(query, "&")
		for i, param := range params {
			k, _, _ := strings.Cut(param, "=")
			if name, err := url.QueryUnescape(k); err != nil || strings.Contains(strings.ToLower(name), "pass") ||
				strings.Contains(strings.ToLower(name), "token") || strings.Contains(strings.ToLower(name), "secret") {
				params[i] = k + "=" + masked
			}
		}
		rest = before + "?" + strings.Join(params, "&")
		if hasFragment {
			rest += "#" + fragment
		}
	}
	return scheme + "://" + rest
}

// GoString masks in %#v.
func (u SecretURL) GoString() string { return strconv.Quote(u.String()) }

// LogValue masks in logs.
func (u SecretURL) LogValue() slog.Value { return slog.StringValue(u.String()) }

// MarshalText masks in JSON and TOML.
func (u SecretURL) MarshalText() ([]byte, error) { return []byte(u.String()), nil }

// Size is a number of bytes, written with its unit: B, KiB, MiB, GiB, TiB, PiB.
type Size int64

var sizeUnits = [...]string{"B", "KiB", "MiB", "GiB", "TiB", "PiB"}

// String writes the size with the largest unit that gives a whole number.
func (s Size) String() string {
	u := 0
	for s != 0 && s%1024 == 0 && u < len(sizeUnits)-1 {
		s, u = s/1024, u+1
	}
	return strconv.FormatInt(int64(s), 10) + sizeUnits[u]
}

// MarshalText is String.
func (s Size) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads a whole number and a unit.
func (s *Size) UnmarshalText(text []byte) error {
	t := string(text)
	for u := len(sizeUnits) - 1; u >= 0; u-- {
		number, ok := strings.CutSuffix(t, sizeUnits[u])
		if !ok {
			continue
		}
		n, err := strconv.ParseInt(strings.TrimSpace(number), 10, 64)
		if err != nil || n < 0 || n > (1<<63-1)>>(10*u) {
			break
		}
		*s = Size(n << (10 * u))
		return nil
	}
	return fmt.Errorf("must be a size: a whole number and one of B, KiB, MiB, GiB, TiB, PiB, for example \"20GiB\"")
}

// Delay is a time to wait: always the same, or drawn from a range.
type Delay struct{ Min, Max time.Duration }

// Draw returns a random time in the range.
func (d Delay) Draw() time.Duration {
	if d.Max <= d.Min {
		return d.Min
	}
	return d.Min + rand.N(d.Max-d.Min+1)
}

// String writes one duration, or two joined by "..".
func (d Delay) String() string {
	if d.Max <= d.Min {
		return formatDuration(d.Min)
	}
	return formatDuration(d.Min) + ".." + formatDuration(d.Max)
}

// MarshalText is String.
func (d Delay) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads "2s" or "1s..5s".
func (d *Delay) UnmarshalText(text []byte) error {
	low, high, two := strings.Cut(string(text), "..")
	if !two {
		high = low
	}
	a, err1 := time.ParseDuration(low)
	z, err2 := time.ParseDuration(high)
	if err1 != nil || err2 != nil || a < 0 || z < a || z > 24*time.Hour {
		return fmt.Errorf("must be a duration or a range of two, at most 24h, for example \"2s\" or \"1s..5s\"")
	}
	*d = Delay{a, z}
	return nil
}

// formatDuration writes a duration without zero parts: 1h, not 1h0m0s.
func formatDuration(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}
