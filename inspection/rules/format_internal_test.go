package rules

import (
	"encoding/json"
	"testing"
)

// TestFormat has results that Python's str.format gave.
func TestFormat(t *testing.T) {
	s := &scope{node: map[string]any{"uuid": "u", "name": nil, "extra": map[string]any{"a": "b"}},
		inventory: map[string]any{"n": json.Number("1234567"), "f": 2.5, "t": true, "s": "abc", "l": []any{"x", nil, map[string]any{"k": "it's"}},
			"neg": -5.0, "password": "p", "deep": map[string]any{"password": "p", "x": 1.0}, "big": 1e21}, plugin: map[string]any{}, mask: true}
	const bad = "\x00"
	for in, want := range map[string]string{
		"plain": "plain", "{{}}": "{}", "{{{inventory[s]}}}": "{abc}", "{node.name}": "None", "{node}": "Node u",
		"{inventory[l]}": `['x', None, {'k': "it's"}]`, "{inventory[l][0]}": "x", "{inventory[l][2][k]}": "it's", "{inventory[s][1]}": "b",
		"{inventory[s]!r}": "'abc'", "{inventory[t]!s}": "True", "{inventory[n]}": "1234567", "{inventory[n]:,}": "1,234,567",
		"{inventory[n]:>10}": "   1234567", "{inventory[n]:010d}": "0001234567", "{inventory[n]:x}": "12d687", "{inventory[n]:#x}": "0x12d687",
		"{inventory[n]:.2f}": "1234567.00", "{inventory[neg]:05d}": "-0005", "{inventory[neg]:+d}": "-5", "{inventory[f]:+.1f}": "+2.5",
		"{inventory[f]:.0%}": "250%", "{inventory[f]:e}": "2.500000e+00", "{inventory[s]:*^7}": "**abc**", "{inventory[s]:>5s}": "  abc",
		"{inventory[s]:.2}": "ab", "{inventory[s]:05}": "abc00", "{inventory[t]:d}": "1", "{inventory[f]}": "2.5",
		"{inventory[password]}": "***", "{inventory[deep]}": "{'password': '***', 'x': 1}", "{node.extra[a]}": "b",
		"{": bad, "}": bad, "{inventory": bad, "{}": bad, "{inventory.n}": bad, "{node[name]}": bad, "{node.nope}": bad, "{inventory[l][9]}": bad,
		"{inventory[l][x]}": bad, "{inventory[s]!x}": bad, "{inventory[s]:d}": bad, "{inventory[f]:d}": bad, "{inventory[l]:>3}": bad,
		"{inventory[n]:99999}": bad, "{inventory[n]:{x}}": bad, "{item}": bad, "{inventory[n]x}": bad, "{inventory[]}": bad, "{inventory[n}": bad,
		"{inventory[s]!}": bad, "{inventory[n]:.}": bad, "{__class__}": bad, "{inventory[n][x]}": bad,
	} {
		got, err := s.format(in)
		if err != nil {
			got = bad
		}
		if got != want {
			t.Errorf("%s: %q, want %q (%v)", in, got, want, err)
		}
	}
}

func FuzzFormat(f *testing.F) {
	for _, s := range []string{"{inventory[a][0]!r:*>10,.2f}", "{{x}}", "{item}", "{node.a[b]}", "{inventory[a]:=+#010x}"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, in string) {
		s := &scope{node: map[string]any{"a": map[string]any{"b": "c"}}, inventory: map[string]any{"a": []any{1.5, "x", nil, true}, "": "e"},
			plugin: map[string]any{"n": json.Number("7")}, item: "{inventory[a]}", looping: true, mask: true}
		out, err := s.format(in)
		if err == nil && len(out) > (len(in)+1)*2*maxWidth {
			t.Errorf("%d bytes became %d", len(in), len(out))
		}
		_, _ = matches(true, in, in)
	})
}
