package obs_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ferric/obs"
)

func TestSecretKey(t *testing.T) {
	for name, want := range map[string]bool{
		"ipmi_password": true, "redfish_password": true, "X-Auth-Token": true, "agent_secret_token": true, "IPMI_PASSWORD": true,
		"admin-pass": true, "configdrive": true, "ipmi_hex_kg_key": true, "Authorization": true, "snmp_auth_key": true,
		"ssh_private_key": true, "clientSecret": true, "Set-Cookie": true, "rescue_password": true, "passphrase": true,
		"ipmi_username": false, "ipmi_address": false, "name": false, "key": false, "public_key": false, "deploy_kernel": false,
		"image_source": false, "author": false, "": false, "passthru": false, "bypass": false,
	} {
		if got := obs.SecretKey(name); got != want {
			t.Errorf("%q: %v", name, got)
		}
	}
}

func TestMask(t *testing.T) {
	in := map[string]any{
		"ipmi_address":  "10.0.0.1",
		"ipmi_password": "pw",
		"null_password": nil,
		"number_token":  5.0,
		"map_secret":    map[string]any{"a": "pw"},
		"list_tokens":   []any{"pw"},
		"nested":        map[string]any{"deep": map[string]any{"token": "pw", "x": 1.0}, "nothing": nil},
		"list":          []any{map[string]any{"password": "pw", "y": true}, "z", []any{map[string]any{"secret": "pw"}}},
		"typed":         map[string]string{"password": "pw", "q": "r"},
		"typed list":    []map[string]any{{"token": "pw"}},
		"open":          map[string]string{"a": "b"},
		"headers":       http.Header{"Authorization": {"pw"}, "Accept": {"a"}},
		"struct":        struct{ Name, Password string }{"n", "pw"},
		"empty":         []any(nil),
	}
	before, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	got := obs.Mask(in)
	want := map[string]any{
		"ipmi_address":  "10.0.0.1",
		"ipmi_password": "******",
		"null_password": "******",
		"number_token":  "******",
		"map_secret":    "******",
		"list_tokens":   "******",
		"nested":        map[string]any{"deep": map[string]any{"token": "******", "x": 1.0}, "nothing": nil},
		"list":          []any{map[string]any{"password": "******", "y": true}, "z", []any{map[string]any{"secret": "******"}}},
		"typed":         map[string]any{"password": "******", "q": "r"},
		"typed list":    []any{map[string]any{"token": "******"}},
		"open":          map[string]string{"a": "b"},
		"headers":       map[string]any{"Authorization": "******", "Accept": []string{"a"}},
		"struct":        map[string]any{"Name": "n", "Password": "******"},
		"empty":         []any(nil),
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	after, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	if string(before) != string(after) {
		t.Errorf("the input has changed to %s", after)
	}
	if obs.Mask(nil) != nil {
		t.Error("nil gives something")
	}
}

// TestMaskAll: URLs lose their passwords at every depth, and what was given is left alone.
func TestMaskAll(t *testing.T) {
	given := func() map[string]any {
		return map[string]any{"url": "http://u:pw@h/fw.bin", "password": "pw", "n": 1.0,
			"settings": []any{map[string]any{"url": "see https://a:pw@b and ftp://c:pw@d", "token": "pw"}, "http://u:pw@h", true, nil}}
	}
	in := given()
	want := map[string]any{"url": "http://u:******@h/fw.bin", "password": "******", "n": 1.0,
		"settings": []any{map[string]any{"url": "see https://a:******@b and ftp://c:******@d", "token": "******"}, "http://u:******@h", true, nil}}
	if diff := cmp.Diff(want, obs.MaskAll(in)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(given(), in); diff != "" {
		t.Errorf("what was given has changed: %s", diff)
	}
	if obs.MaskAll(nil) != nil {
		t.Error("nothing became something")
	}
}

func TestMaskHeader(t *testing.T) {
	in := http.Header{"X-Auth-Token": {"t"}, "Accept": {"a"}}
	if diff := cmp.Diff(http.Header{"X-Auth-Token": {"******"}, "Accept": {"a"}}, obs.MaskHeader(in)); diff != "" {
		t.Error(diff)
	}
	if in.Get("X-Auth-Token") != "t" {
		t.Error("the input has changed")
	}
}

func TestMaskText(t *testing.T) {
	for in, want := range map[string]string{
		"":                                    "",
		"plain text: a@b":                     "plain text: a@b",
		"get http://u:pw@h/p?q=a@b: failed":   "get http://u:******@h/p?q=a@b: failed",
		"http://u:p@w@h and nats://x:pw@h:1,": "http://u:******@h and nats://x:******@h:1,",
		"http://user@h/":                      "http://user@h/",
		"http://h/a:b@c":                      "http://h/a:b@c",
		"end http://u:pw@":                    "end http://u:******@",
		"://":                                 "://",
		`"https://u:pw@h"`:                    `"https://u:******@h"`,
	} {
		if got := obs.MaskText(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

// Under whatever name and depth a secret is, it does not come through, and all else does.
func FuzzMask(f *testing.F) {
	f.Add(`{"a":{"b":[{"password":"SECRETVALUE"}]},"c":"open"}`)
	f.Add(`{"X-Token":["SECRETVALUE"],"n":null,"d":1.5}`)
	f.Add(`[]`)
	f.Fuzz(func(t *testing.T, text string) {
		var m map[string]any
		if json.Unmarshal([]byte(text), &m) != nil {
			return
		}
		var check func(path string, in, out any)
		check = func(path string, in, out any) {
			switch x := in.(type) {
			case map[string]any:
				o, ok := out.(map[string]any)
				if !ok || len(o) != len(x) {
					t.Fatalf("%s: %v became %v", path, in, out)
				}
				for k, v := range x {
					if obs.SecretKey(k) {
						if o[k] != "******" {
							t.Fatalf("%s.%s is shown", path, k)
						}
						continue
					}
					check(path+"."+k, v, o[k])
				}
			case []any:
				o, ok := out.([]any)
				if !ok || len(o) != len(x) {
					t.Fatalf("%s: %v became %v", path, in, out)
				}
				for i := range x {
					check(path+"[]", x[i], o[i])
				}
			default:
				if in != out {
					t.Fatalf("%s: %v became %v", path, in, out)
				}
			}
		}
		if m != nil {
			check("", m, obs.Mask(m))
		}
	})
}

func FuzzMaskText(f *testing.F) {
	f.Add("see http://u:pw@h/ and ftp://a:b@c")
	f.Fuzz(func(t *testing.T, s string) {
		got := obs.MaskText(s)
		if !strings.Contains(s, "@") && got != s {
			t.Errorf("%q became %q", s, got)
		}
		if again := obs.MaskText(got); again != got {
			t.Errorf("%q, masked twice, is %q", got, again)
		}
	})
}
