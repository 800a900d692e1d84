package ferric

import "strings"

// GlanceImage reads a reference to an image in Glance, as Ironic's clients give it: glance://UUID, or the UUID alone. It returns the UUID in
// lower case with hyphens; ok is false for anything else, such as a path or another URL.
func GlanceImage(ref string) (id string, ok bool) {
	ref = strings.TrimSpace(ref)
	if rest, found := strings.CutPrefix(ref, "glance://"); found {
		ref = rest[strings.LastIndexByte(rest, '/')+1:]
	}
	hex := strings.ToLower(ref)
	if len(hex) == 36 {
		for i := range len(hex) {
			if (i == 8 || i == 13 || i == 18 || i == 23) != (hex[i] == '-') {
				return "", false
			}
		}
		hex = strings.ReplaceAll(hex, "-", "")
	}
	if len(hex) != 32 || strings.Trim(hex, "0123456789abcdef") != "" {
		return "", false
	}
	return hex[:8] + "-" + hex[8:12] + "-" + hex[12:16] + "-" + hex[16:20] + "-" + hex[20:], true
}

// IsGlanceURL reports whether a reference means Glance, well formed or not.
func IsGlanceURL(ref string) bool { return strings.HasPrefix(strings.TrimSpace(ref), "glance:") }
