package api

import (
	"log/slog"
	"strings"
	"testing"
)

func testAPI(t *testing.T) *API {
	t.Helper()
	a, err := New(Defaults(), Deps{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// TestEveryRouteHasARule: no route without a rule that Ironic knows, except those that anybody may ask, and those that only refuse.
func TestEveryRouteHasARule(t *testing.T) {
	a := testAPI(t)
	rules := a.rules()
	for _, r := range a.routes() {
		where := r.method + " " + r.path
		switch {
		case r.public:
			if r.policy != "" {
				t.Errorf("%s: it is public and has a rule", where)
			}
			continue
		case r.policy == "" && !r.refusal:
			t.Errorf("%s: it names no rule", where)
		}
		for _, rule := range []string{r.policy, r.own, r.orElse} {
			if rule != "" && !rules.Known(rule) {
				t.Errorf("%s: there is no rule %q", where, rule)
			}
		}
		if r.own != "" && !strings.HasSuffix(r.policy, ":list_all") {
			t.Errorf("%s: a list of a project's own, but the rule for all is %q", where, r.policy)
		}
		if r.method == "PATCH" && r.policy != "" && r.patched != nil && len(r.patched(nil)) == 0 {
			t.Errorf("%s: a patch of nothing asks no rule", where)
		}
	}
}

// TestEveryRuleIsUsed: a rule that nothing asks would protect nothing.
func TestEveryRuleIsUsed(t *testing.T) {
	a := testAPI(t)
	used := map[string]bool{}
	use := func(names ...string) {
		for _, name := range names {
			used[name] = true
		}
	}
	for _, r := range a.routes() {
		use(r.policy, r.own, r.orElse)
	}
	for _, o := range a.kinds {
		use(o.see)
	}
	use(fieldRules(a.nodes)...)
	use(fieldRules(a.ports)...)
	use(fieldRules(a.runbooks)...)
	use(fieldRules(a.targets)...)
	// Rules that handlers ask.
	use("baremetal:node:update_owner_provisioned", "baremetal:node:set_provision_state:clean_steps", "baremetal:node:set_provision_state:service_steps",
		"baremetal:allocation:create_restricted", "baremetal:runbook:use")
	unused := map[string]string{
		"admin_api":                            "overrides of older files refer to it",
		"public_api":                           "overrides of older files refer to it",
		"is_member":                            "overrides of older files refer to it",
		"is_observer":                          "overrides of older files refer to it",
		"is_admin":                             "overrides of older files refer to it",
		"is_node_owner":                        "overrides of older files refer to it",
		"is_node_lessee":                       "overrides of older files refer to it",
		"is_allocation_owner":                  "overrides of older files refer to it",
		"service_role":                         "other rules refer to it",
		"baremetal:allocation:create_pre_rbac": "Ironic asks it only while older defaults count",
		"baremetal:inspection_rule:list_all":   "Ironic does not ask it: to list them needs inspection_rule:get",
	}
	served := func(rule string) bool {
		kind, _, _ := strings.Cut(strings.TrimPrefix(rule, "baremetal:"), ":")
		for name := range used {
			if strings.HasPrefix(name, "baremetal:"+kind+":") {
				return true
			}
		}
		return !strings.HasPrefix(rule, "baremetal:")
	}
	for _, rule := range a.rules().All() {
		_, known := unused[rule.Name]
		switch {
		case !known && !served(rule.Name): // a kind of object that the API does not have
		case known && used[rule.Name]:
			t.Errorf("%s is used; take it off the list", rule.Name)
		case !known && !used[rule.Name]:
			t.Errorf("%s is asked by nothing", rule.Name)
		}
	}
	for name := range used {
		if name != "" && !a.rules().Known(name) {
			t.Errorf("%s is asked, and no rule", name)
		}
	}
}

// fieldRules are the rules of a resource's fields.
func fieldRules[T any](r *resource[T]) []string {
	names := []string{r.openFields}
	for _, f := range r.fields {
		names = append(names, f.policy, f.read, f.reveal)
	}
	return names
}
