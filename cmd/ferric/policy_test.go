package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ferric/policy"
	"ferric/policy/file"
)

// TestPolicyShow: what the command prints is a policy file with the same rules.
func TestPolicyShow(t *testing.T) {
	path := filepath.Join(t.TempDir(), "policy.yaml")
	if err := os.WriteFile(path, []byte("\"baremetal:node:get\": \"role:\\\"cook\\\" or user_name:a%%b\"\ncooks: [[\"role:cook\"]]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(t.TempDir(), "ferric.toml")
	if err := os.WriteFile(config, []byte("[api]\npolicy_file = \""+path+"\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var out, errOut bytes.Buffer
	if code := run(t.Context(), []string{"policy", "show", "--config", config}, &out, &errOut); code != 0 {
		t.Fatalf("exit code %d: %s", code, &errOut)
	}
	overrides, err := file.Parse("shown", out.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	shown, err := policy.New(policy.Ironic(), overrides)
	if err != nil {
		t.Fatal(err)
	}
	want, err := file.Load(path, policy.Ironic())
	if err != nil {
		t.Fatal(err)
	}
	a, b := shown.All(), want.All()
	if len(a) != len(b) || len(a) != len(policy.Ironic())+1 {
		t.Fatalf("%d rules shown, %d in force", len(a), len(b))
	}
	for i := range a {
		if a[i].Name != b[i].Name || a[i].Check != b[i].Check {
			t.Errorf("shown %q: %q, in force %q: %q", a[i].Name, a[i].Check, b[i].Name, b[i].Check)
		}
	}
	if !strings.Contains(out.String(), "; from "+path+":1\n\"baremetal:node:get\"") {
		t.Error("it does not say where an override is from")
	}
}

func TestPolicyCheck(t *testing.T) {
	path := filepath.Join(t.TempDir(), "policy.yaml")
	for name, c := range map[string]struct {
		text string
		code int
		want string
	}{
		"good":    {"\"baremetal:node:create\": \"role:cook\"\n", 0, "good, 1 of 133 rules"},
		"warning": {"\"baremetal:node:create\": \"tenant:cook\"\n", 0, "warning: "},
		"bad":     {"# comment\n\"baremetal:node:create\": \"role:cook and\"\n", 1, path + `:2: rule "baremetal:node:create": at character 14: expected a check, found the end`},
	} {
		t.Run(name, func(t *testing.T) {
			if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
				t.Fatal(err)
			}
			var out bytes.Buffer
			if code := run(t.Context(), []string{"policy", "check", path}, &out, &out); code != c.code || !strings.Contains(out.String(), c.want) {
				t.Errorf("exit code %d, output %q", code, &out)
			}
		})
	}
	var out bytes.Buffer
	if code := run(t.Context(), []string{"policy"}, &out, &out); code != 2 {
		t.Errorf("without arguments: exit code %d", code)
	}
}
