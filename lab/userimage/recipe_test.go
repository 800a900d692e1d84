package userimage

import (
	"strings"
	"testing"

	"ferric"
)

func TestRecipeInvalid(t *testing.T) {
	tests := map[string]struct {
		recipe Recipe
		want   string
	}{
		"variant":       {Recipe{Variant: "alpine"}, `variant: "alpine"`},
		"kernel":        {Recipe{Kernel: "rt"}, `kernel: "rt"`},
		"tiny packages": {Recipe{Variant: Tiny, Packages: []string{"vim"}}, "packages:"},
		"package":       {Recipe{Packages: []string{"-o=x"}}, `"-o=x"`},
		"suite":         {Recipe{Suite: "--x"}, `suite: "--x"`},
		"size":          {Recipe{Size: 1000}, "size: 1000"},
		"password":      {Recipe{Password: "a\nroot2:x"}, "password:"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := Build(t.Context(), test.recipe, Options{Cache: t.TempDir()})
			if !ferric.IsCode(err, ferric.CodeInvalid) || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want CodeInvalid with %q", err, test.want)
			}
		})
	}
}

func TestRecipeKey(t *testing.T) {
	key := func(r Recipe) string {
		t.Helper()
		r, err := r.complete()
		if err != nil {
			t.Fatal(err)
		}
		k, err := r.key()
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	same := [][2]Recipe{
		{{}, {Variant: Debian, Kernel: CloudKernel, Suite: "bookworm"}},
		{{Packages: []string{"vim", "git"}}, {Packages: []string{"git", "vim"}}},
	}
	for _, pair := range same {
		if key(pair[0]) != key(pair[1]) {
			t.Errorf("%+v and %+v have different keys", pair[0], pair[1])
		}
	}
	seen := map[string]Recipe{}
	for _, r := range []Recipe{{}, {Variant: Tiny}, {Kernel: GenericKernel}, {Packages: []string{"vim"}}, {Password: "x"}, {Size: 2 << 30}, {Mirror: "http://x/"}, {Suite: "trixie"}} {
		k := key(r)
		if other, ok := seen[k]; ok {
			t.Errorf("%+v and %+v have the same key", other, r)
		}
		if strings.Contains(k, "/") {
			t.Errorf("key %s is not a file name", k)
		}
		seen[k] = r
	}
}

func TestMasks(t *testing.T) {
	data, err := parts.ReadFile("guest/masks.txt")
	if err != nil {
		t.Fatal(err)
	}
	for _, unit := range lines(string(data)) {
		if !strings.Contains(unit, ".") || strings.ContainsAny(unit, " /") {
			t.Errorf("%q is not the name of a unit", unit)
		}
	}
}
