package api

import (
	"encoding/json"
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// FuzzAppendMasked: documents written without reflection are what json.Marshal writes of them, with the secrets masked and without.
func FuzzAppendMasked(f *testing.F) {
	for _, text := range []string{`{}`, `{"ipmi_password":"x","a":{"token":null,"b":[{"secret":1},"<&>",true,null]},"n":-0.0,"m":1e21,"o":12.5,"p":9007199254740993}`,
		`{"image_url":"http://u:p@h/","ü":"\u2028\n","":""}`, `{"image_url":"","a":[]}`, `{"a":{"image_url":"x"},"image_url":null}`} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var m map[string]any
		if json.Unmarshal([]byte(text), &m) != nil || m == nil {
			t.Skip()
		}
		for name, c := range map[string]struct {
			got  []byte
			want any
		}{
			"plain":  {appendValue(nil, m), m},
			"masked": {appendMasked(nil, m, []string{"image_url"}), maskSecrets(m, []string{"image_url"})},
		} {
			var got, want any
			if err := json.Unmarshal(c.got, &got); err != nil {
				t.Fatalf("%s: %s: %v", name, c.got, err)
			}
			if err := json.Unmarshal(mustJSON(c.want), &want); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s (-json.Marshal +written):\n%s", name, diff)
			}
		}
	})
}

// TestAppendValue: texts that differ from what json.Marshal writes differ in nothing but what needs no escape.
func TestAppendValue(t *testing.T) {
	for name, c := range map[string]struct {
		value any
		want  string
	}{
		"members are sorted":      {map[string]any{"b": 1.0, "a": []any{nil, true, "x"}}, `{"a":[null,true,"x"],"b":1}`},
		"numbers":                 {[]any{0.0, -7.0, 0.5, 1e15, 1e21, math.Copysign(0, -1)}, `[0,-7,0.5,1000000000000000,1e+21,-0]`},
		"angle brackets stay":     {"<a&b>", `"<a&b>"`},
		"escapes":                 {"a\"\\\n\u2028", `"a\"\\\n\u2028"`},
		"nothing":                 {nil, "null"},
		"maps and lists of none":  {[]any{map[string]any(nil), []any(nil), map[string]any{}, []any{}}, "[null,null,{},[]]"},
		"what JSON does not make": {map[string]any{"m": map[string]string{"b": "2", "a": "1"}, "n": 3}, `{"m":{"a":"1","b":"2"},"n":3}`},
	} {
		if got := string(appendValue(nil, c.value)); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
	secret := map[string]any{"of": map[string]string{"password": "hidden"}}
	if got, want := string(appendMasked(nil, secret, nil)), `{"of":{"password":"******"}}`; got != want {
		t.Errorf("a secret in a map of strings: %s, want %s", got, want)
	}
}
