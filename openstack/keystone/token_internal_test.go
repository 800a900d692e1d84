package keystone

import (
	"strings"
	"testing"
	"unicode/utf8"
)

// FuzzToken: whatever answers in Keystone's place, the answer is a token with a user and an end, or none.
func FuzzToken(f *testing.F) {
	f.Add([]byte(`{"token":{"expires_at":"2026-11-23T05:47:57.000000Z","user":{"id":"u","domain":{"id":"default"}},"system":{"all":true},"roles":[{"name":"admin"}]}}`))
	f.Add([]byte(`{"token":{"expires_at":"2026-11-23T05:47:57Z","user":{"id":"u"},"application_credential":{"access_rules":[]}}}`))
	f.Add([]byte(`{"token":null}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		tok, err := parseToken(body)
		if err == nil && (tok.caller.UserID == "" || tok.expires.IsZero() || tok.caller.ProjectID != "" && tok.caller.SystemScope != "") {
			t.Errorf("%s gives %+v", body, tok)
		}
	})
}

// FuzzPattern: a rule without wildcards means itself alone, and "**" everything.
func FuzzPattern(f *testing.F) {
	f.Add("/v1/nodes/*/states", "/v1/nodes/x/states")
	f.Add("/v1/{a}/**", "/v1/x/y/z")
	f.Fuzz(func(t *testing.T, rule, path string) {
		re := pattern(rule)
		if re == nil {
			return
		}
		if got := re.MatchString(path); !strings.ContainsAny(rule, "*{") && got != (rule == path) {
			t.Errorf("%q matches %q: %v", rule, path, got)
		}
		if !pattern("**").MatchString(path) && utf8.ValidString(path) {
			t.Errorf("** does not match %q", path)
		}
	})
}
