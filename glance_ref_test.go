package ferric_test

import (
	"testing"

	"ferric"
)

func TestGlanceImage(t *testing.T) {
	const id = "6d2f4a94-8f0e-4d7c-a5c8-333333333333"
	for name, c := range map[string]struct {
		ref  string
		want string
	}{
		"id":                 {id, id},
		"upper case":         {"6D2F4A94-8F0E-4D7C-A5C8-333333333333", id},
		"without hyphens":    {"6d2f4a948f0e4d7ca5c8333333333333", id},
		"blanks":             {" " + id + "\n", id},
		"URL":                {"glance://" + id, id},
		"URL with a host":    {"glance://images/" + id, id},
		"URL of a name":      {"glance://debian", ""},
		"nothing":            {"", ""},
		"path":               {"/" + id, ""},
		"web":                {"http://images/" + id, ""},
		"name":               {"debian-12", ""},
		"hyphen misplaced":   {"6d2f4a948-f0e-4d7c-a5c8-333333333333", ""},
		"not hexadecimal":    {"6d2f4a94-8f0e-4d7c-a5c8-33333333333g", ""},
		"too long":           {id + "0", ""},
		"signs of other use": {"../../../v2/images/../../etc/passwd", ""},
	} {
		t.Run(name, func(t *testing.T) {
			if got, ok := ferric.GlanceImage(c.ref); got != c.want || ok != (c.want != "") {
				t.Errorf("GlanceImage(%q) = %q, %v; want %q", c.ref, got, ok, c.want)
			}
		})
	}
}

// FuzzGlanceImage: whatever comes, an id is one, and is read the same again.
func FuzzGlanceImage(f *testing.F) {
	f.Add("glance://6d2f4a94-8f0e-4d7c-a5c8-333333333333")
	f.Add("6D2F4A948F0E4D7CA5C8333333333333")
	f.Fuzz(func(t *testing.T, ref string) {
		id, ok := ferric.GlanceImage(ref)
		if !ok {
			return
		}
		for _, form := range []string{id, "glance://" + id} {
			if again, ok := ferric.GlanceImage(form); !ok || again != id || len(id) != 36 {
				t.Errorf("%q was read as %q, and %q as %q", ref, id, form, again)
			}
		}
	})
}
