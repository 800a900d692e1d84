package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"ferric/policy"
	"ferric/policy/file"
)

// policyCommand shows the rules that are in force, or checks a policy file.
func policyCommand(_ context.Context, args []string, stdout, stderr io.Writer) int {
	switch {
	case len(args) > 0 && args[0] == "show":
		cfg, code := loadConfig("policy show", args[1:], stderr, nil)
		if cfg == nil {
			return code
		}
		rules, err := loadPolicy(cfg.API.PolicyFile)
		if err != nil {
			return fail(stderr, err)
		}
		return showPolicy(rules, stdout, stderr)
	case len(args) == 2 && args[0] == "check":
		rules, err := loadPolicy(args[1])
		if err != nil {
			return fail(stderr, err)
		}
		for _, w := range rules.Warnings() {
			fmt.Fprintln(stdout, "warning:", w)
		}
		overridden := 0
		for _, r := range rules.All() {
			if r.Source != "default" {
				overridden++
			}
		}
		fmt.Fprintf(stdout, "%s: good, %d of %d rules are not the default\n", args[1], overridden, len(rules.All()))
		return 0
	}
	fmt.Fprintln(stderr, "usage: ferric policy show [flags] | ferric policy check FILE")
	return 2
}

func loadPolicy(path string) (*policy.Rules, error) {
	if path == "" {
		return policy.New(policy.Ironic(), nil)
	}
	return file.Load(path, policy.Ironic())
}

// showPolicy writes the rules as a policy file, which works when it is read back.
func showPolicy(rules *policy.Rules, stdout, stderr io.Writer) int {
	var b strings.Builder
	for _, r := range rules.All() {
		if r.Help != "" {
			fmt.Fprintf(&b, "# %s", r.Help)
		} else {
			b.WriteString("# (a rule of the policy file)")
		}
		if len(r.Scopes) > 0 {
			fmt.Fprintf(&b, "; scope %s", joinScopes(r.Scopes))
		}
		if r.Source != "default" {
			fmt.Fprintf(&b, "; from %s", r.Source)
		}
		fmt.Fprintf(&b, "\n%q: %q\n\n", r.Name, r.Check)
	}
	if _, err := io.WriteString(stdout, strings.TrimSuffix(b.String(), "\n")); err != nil {
		return fail(stderr, err)
	}
	return 0
}

func joinScopes(scopes []policy.Scope) string {
	names := make([]string, len(scopes))
	for i, s := range scopes {
		names[i] = string(s)
	}
	return strings.Join(names, " or ")
}
