package ferric

import (
	"slices"
	"strings"
)

// Capabilities reads properties/capabilities, "k1:v1,k2:v2".
func (n *Node) Capabilities() map[string]string {
	out := map[string]string{}
	text, _ := n.Properties["capabilities"].(string)
	for pair := range strings.SplitSeq(text, ",") {
		if k, v, ok := strings.Cut(strings.TrimSpace(pair), ":"); ok {
			out[k] = v
		}
	}
	return out
}

// SetCapabilities writes properties/capabilities, sorted by name; none removes the property.
func (n *Node) SetCapabilities(m map[string]string) {
	if len(m) == 0 {
		delete(n.Properties, "capabilities")
		return
	}
	parts := make([]string, 0, len(m))
	for k, v := range m {
		parts = append(parts, k+":"+v)
	}
	slices.Sort(parts)
	if n.Properties == nil {
		n.Properties = map[string]any{}
	}
	n.Properties["capabilities"] = strings.Join(parts, ",")
}
