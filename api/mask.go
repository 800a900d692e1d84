package api

import "strings"

// mask stands for a secret.
const mask = "******"

// secretWords are the parts of a key that tell a secret, as OpenStack's mask_dict_password knows them, and SNMP's.
var secretWords = []string{"password", "adminpass", "admin_pass", "auth_token", "new_pass", "secret", "sys_pswd", "token",
	"configdrive", "encrypted_key", "private_key", "fernetkey", "sslkey", "passphrase", "snmp_auth_key", "snmp_priv_key"}

func isSecret(key string) bool {
	key = strings.ToLower(key)
	for _, word := range secretWords {
		if strings.Contains(key, word) {
			return true
		}
	}
	return false
}

// maskSecrets returns a copy with every secret masked, nested ones too. hidden names more keys, at the top level.
func maskSecrets(m map[string]any, hidden []string) map[string]any {
	out := masked(m).(map[string]any)
	for _, key := range hidden {
		if v, ok := out[key]; ok && v != nil && v != "" {
			out[key] = mask
		}
	}
	return out
}

func masked(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(v))
		for k, x := range v {
			_, nested := x.(map[string]any)
			if isSecret(k) && !nested {
				out[k] = mask
				continue
			}
			out[k] = masked(x)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = masked(v[i])
		}
		return out
	}
	return v
}

// unmask puts the old value back wherever the new one is a mask and there was one: a client that reads an object and
// writes it back must not overwrite the secrets that it was not shown.
func unmask(before, now any) any {
	switch now := now.(type) {
	case string:
		if now == mask && before != nil {
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
