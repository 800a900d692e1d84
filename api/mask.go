package api

import "ferric/obs"

// maskSecrets returns a copy with every secret masked, nested ones too. hidden names more keys, at the top level.
func maskSecrets(m map[string]any, hidden []string) map[string]any {
	if m == nil {
		return map[string]any{}
	}
	out := obs.Mask(m)
	for _, key := range hidden {
		if v, ok := out[key]; ok && v != nil && v != "" {
			out[key] = obs.Masked
		}
	}
	return out
}

// unmask puts the old value back wherever the new one is a mask and there was one: a client that reads an object and
// writes it back must not overwrite the secrets that it was not shown.
func unmask(before, now any) any {
	switch now := now.(type) {
	case string:
		if now == obs.Masked && before != nil {
			return before
		}
	case map[string]any:
		old, _ := before.(map[string]any)
		for k, v := range now {
			now[k] = unmask(old[k], v)
		}
	case []any:
		old, _ := before.([]any)
		if len(old) == len(now) {
			for i, v := range now {
				now[i] = unmask(old[i], v)
			}
		}
	}
	return now
}
