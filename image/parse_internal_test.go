package image

import (
	"strings"
	"testing"

	"ferric"
)

func FuzzFindChecksum(f *testing.F) {
	value := strings.Repeat("0123456789abcdef", 4)
	f.Add(value+"  disk.img\n", "disk.img")
	f.Add("SHA256 (disk.img) = "+value, "disk.img")
	f.Add(value, "x")
	f.Add("# )(\n*(", "")
	f.Fuzz(func(t *testing.T, text, name string) {
		got, err := findChecksum(text, name, "sums")
		if err != nil {
			if !ferric.IsCode(err, ferric.CodeCorrupt) {
				t.Fatal(err)
			}
			return
		}
		if !isDigest(got) || !strings.Contains(text, got) {
			t.Fatalf("found %q", got)
		}
	})
}

func FuzzContentRange(f *testing.F) {
	for _, s := range []string{"bytes 0-0/1", "bytes 5-9/*", "bytes */0", "bytes 9223372036854775807-1/2", "bytes -1-2/3"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, value string) {
		first, last, total, err := parseContentRange(value)
		if err == nil && (first < 0 || last < first || total < -1 || (total >= 0 && last >= total)) {
			t.Fatalf("%q gave %d-%d/%d", value, first, last, total)
		}
	})
}

func TestDirect(t *testing.T) {
	tests := map[string]struct {
		list, host string
		want       bool
	}{
		"none":            {"", "a.example", false},
		"all":             {"x, *", "a.example", true},
		"name":            {"A.example", "a.EXAMPLE", true},
		"below a name":    {"example", "a.example", true},
		"below, with dot": {".example", "a.example", true},
		"not below":       {"ample", "a.example", false},
		"with a port":     {"a.example:80", "a.example", true},
		"network":         {"10.0.0.0/8", "10.1.2.3", true},
		"other network":   {"10.0.0.0/8", "11.1.2.3", false},
		"network, name":   {"10.0.0.0/8", "a.example", false},
		"address":         {"10.1.2.3", "10.1.2.3", true},
		"IPv6":            {"[::1]:80, fd00::/8", "::1", true},
		"IPv6 network":    {"fd00::/8", "fd00::1", true},
		"blanks":          {" , ,", "a.example", false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if got := (Options{NoProxy: test.list}).direct(test.host); got != test.want {
				t.Errorf("got %t, want %t", got, test.want)
			}
		})
	}
}
