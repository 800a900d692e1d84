package policy_test

import (
	"fmt"
	"strings"
	"testing"

	"ferric"
	"ferric/policy"
)

// ask compiles one rule and decides with it.
func ask(t testing.TB, text string, c policy.Caller, target policy.Target) bool {
	t.Helper()
	rules, err := policy.New(nil, []policy.Override{{Name: "r", Check: text, File: "f", Line: 1},
		{Name: "other", Check: "role:other", File: "f", Line: 2}, {Name: "deep", Check: "rule:other or role:deep", File: "f", Line: 3}})
	if err != nil {
		t.Fatal(err)
	}
	return rules.Allow("r", &c, target)
}

func TestLanguage(t *testing.T) {
	roles := func(roles ...string) policy.Caller { return policy.Caller{Roles: roles} }
	none, target := policy.Caller{}, policy.Target{}
	mine := policy.Target{Kind: "node", Owner: "p1", Lessee: "p2"}
	for name, c := range map[string]struct {
		rule   string
		caller policy.Caller
		target policy.Target
		want   bool
	}{
		"everybody":           {"@", none, target, true},
		"empty":               {"", none, target, true},
		"spaces":              {" \t\n", none, target, true},
		"nobody":              {"!", policy.SystemAdmin("x"), target, false},
		"role":                {"role:a", roles("b", "a"), target, true},
		"another role":        {"role:a", roles("b"), target, false},
		"role's case":         {"role:ADMIN", roles("aDmin"), target, true},
		"no roles":            {"role:a", none, target, false},
		"roles":               {"roles:a", roles("a"), target, true},
		"roles, case":         {"roles:A", roles("a"), target, false},
		"or":                  {"role:a or role:b", roles("b"), target, true},
		"and":                 {"role:a and role:b", roles("b"), target, false},
		"and, both":           {"role:a AND role:b", roles("b", "a"), target, true},
		"and before or":       {"role:a or role:b and role:c", roles("a"), target, true},
		"and before or, 2":    {"role:a and role:b or role:c", roles("c"), target, true},
		"and before or, 3":    {"role:a or role:b and role:c and role:d", roles("b", "c"), target, false},
		"parentheses":         {"(role:a or role:b) and role:c", roles("a"), target, false},
		"parentheses, nested": {"((role:a or (role:b)) and role:c)", roles("b", "c"), target, true},
		"not":                 {"not role:a", roles("b"), target, true},
		"not, denied":         {"Not role:a", roles("a"), target, false},
		"not before and":      {"not role:a and role:b", roles("b"), target, true},
		"not not":             {"not not role:a", roles("a"), target, true},
		"not parentheses":     {"not (role:a or role:b)", roles("b"), target, false},
		"rule":                {"rule:deep", roles("other"), target, true},
		"system scope":        {"system_scope:all", policy.Caller{SystemScope: "all"}, target, true},
		"system":              {"system:all", policy.Caller{SystemScope: "all"}, target, true},
		"project scope":       {"system_scope:all", policy.Caller{ProjectID: "p"}, target, false},
		"is_admin":            {"is_admin:True", policy.Caller{IsAdmin: true}, target, true},
		"is_admin, false":     {"is_admin:True", none, target, false},
		"is_public_api":       {"is_public_api:False", none, target, true},
		"owner":               {"project_id:%(node.owner)s", policy.Caller{ProjectID: "p1"}, mine, true},
		"lessee":              {"project_id:%(node.lessee)s", policy.Caller{ProjectID: "p2"}, mine, true},
		"stranger":            {"project_id:%(node.owner)s", policy.Caller{ProjectID: "p3"}, mine, false},
		"no owner":            {"project_id:%(node.owner)s", policy.Caller{ProjectID: "p3"}, policy.Target{Kind: "node"}, false},
		"nobody, no owner":    {"project_id:%(node.owner)s", none, policy.Target{Kind: "node"}, false},
		"owned by None":       {"project_id:%(node.owner)s", none, policy.Target{Kind: "node", Owner: "None"}, false},
		"another kind":        {"project_id:%(node.owner)s", policy.Caller{ProjectID: "p1"}, policy.Target{Kind: "runbook", Owner: "p1"}, false},
		"allocation":          {"project_id:%(allocation.owner)s", policy.Caller{ProjectID: "p1"}, policy.Target{Kind: "allocation", Owner: "p1"}, true},
		"not of a stranger":   {"not project_id:%(node.owner)s", policy.Caller{ProjectID: "p3"}, mine, true},
		"own user":            {"user_id:%(user_id)s", policy.Caller{UserID: "u"}, target, true},
		"a text around":       {"user_id:a-%(node.owner)s-%(project_id)s%%", policy.Caller{UserID: "a-p1-x%", ProjectID: "x"}, mine, true},
		"a text around, gap":  {"user_id:a-%(node.owner)s", policy.Caller{UserID: "a-"}, policy.Target{Kind: "node"}, false},
		"None":                {"project_domain_id:None", none, target, true},
		"not None":            {"project_domain_id:None", policy.Caller{ProjectDomainID: "d"}, target, false},
		"literal":             {"'p1':%(node.owner)s", none, mine, true},
		"literal, double":     {"\"p1\":%(node.owner)s", none, mine, true},
		"literal, other":      {"'p2':%(node.owner)s", none, mine, false},
		"True":                {"True:%(is_admin)s", policy.Caller{IsAdmin: true}, target, true},
		"number":              {"12:12", none, target, true},
		"unknown attribute":   {"tenant:x", none, target, false},
		"unknown target":      {"user_id:%(target.user)s", policy.Caller{UserID: "x"}, target, false},
		"value with colons":   {"user_name:a:b", policy.Caller{UserName: "a:b"}, target, true},
		"elevated services":   {"project_name:%(config.service_project_name)s", policy.Caller{ProjectName: "service", ElevatedServiceProject: "service"}, target, true},
		"not elevated":        {"project_name:%(config.service_project_name)s", policy.Caller{ProjectName: "service"}, target, false},
		"service roles":       {"service_roles:service", policy.Caller{ServiceRoles: []string{"service"}}, target, true},
	} {
		t.Run(name, func(t *testing.T) {
			if got := ask(t, c.rule, c.caller, c.target); got != c.want {
				t.Errorf("%q: %v, want %v", c.rule, got, c.want)
			}
		})
	}
}

func TestListsOfLists(t *testing.T) {
	for name, c := range map[string]struct {
		lists [][]string
		roles []string
		want  bool
	}{
		"none":        {[][]string{}, nil, true},
		"empty inner": {[][]string{{}}, []string{"a"}, false},
		"or":          {[][]string{{"role:a"}, {"role:b"}}, []string{"b"}, true},
		"and":         {[][]string{{"role:a", "role:b"}}, []string{"b"}, false},
		"or of and":   {[][]string{{}, {"role:a", "role:b"}, {"!"}}, []string{"b", "a"}, true},
	} {
		t.Run(name, func(t *testing.T) {
			rules, err := policy.New(nil, []policy.Override{{Name: "r", Lists: c.lists}})
			if err != nil {
				t.Fatal(err)
			}
			if got := rules.Allow("r", &policy.Caller{Roles: c.roles}, policy.Target{}); got != c.want {
				t.Errorf("%v, want %v", got, c.want)
			}
		})
	}
	_, err := policy.New(nil, []policy.Override{{Name: "r", Lists: [][]string{{"role:a", "not role:b"}}, File: "f", Line: 3}})
	if err == nil || !strings.Contains(err.Error(), `f:3: rule "r": in "not role:b":`) {
		t.Errorf("an expression in a list: %v", err)
	}
}

func TestRefusedRules(t *testing.T) {
	for name, c := range map[string]struct{ rule, want string }{
		"a word":             {"admin", `at character 1: "admin" is no check`},
		"a word behind":      {"role:a or admin", `at character 11: "admin" is no check`},
		"two checks":         {"role:a role:b", `at character 8: expected "and", "or" or the end, found "role:b"`},
		"nothing behind and": {"role:a and", `at character 11: expected a check, found the end`},
		"nothing before or":  {"or role:a", `at character 1: expected a check, found "or"`},
		"or and":             {"role:a or and role:b", `at character 11: expected a check, found "and"`},
		"not":                {"not", `at character 4: expected a check, found the end`},
		"no end":             {"(role:a or role:b", `at character 18: expected ")", found the end`},
		"no beginning":       {"role:a)", `at character 7: expected "and", "or" or the end, found ")"`},
		"nothing inside":     {"()", `at character 2: expected a check, found ")"`},
		"http":               {"http://auth.example.org/check", "checks by HTTP are not supported"},
		"https":              {"role:a or https://auth.example.org/check", "at character 11: checks by HTTP are not supported"},
		"glued not":          {"not(role:a)", `cannot be the name of an attribute`},
		"quoted":             {"'role:a'", `cannot be the name of an attribute`},
		"no kind":            {":x", `cannot be the name of an attribute`},
		"no rule":            {"rule:", `the rule's name is missing`},
		"unknown rule":       {"role:a or rule:nowhere", `at character 11: it refers to the rule "nowhere", which does not exist`},
		"itself":             {"rule:r", `it refers to itself: r → r`},
		"a circle":           {"role:a or not rule:x", `it refers to itself: r → x → y → r`},
		"glued and":          {"(role:a)and role:b", `a parenthesis inside a check`},
		"percent":            {"project_id:%x", `behind %, (name)s is expected`},
		"percent at the end": {"project_id:%", `behind %, (name)s is expected`},
		"not a text":         {"project_id:%(x)d", `behind %, (name)s is expected`},
		"no name":            {"project_id:%()s", `behind %, (name)s is expected`},
		"too deep":           {strings.Repeat("(", 200) + "@" + strings.Repeat(")", 200), "nested deeper than"},
		"too many nots":      {strings.Repeat("not ", 200) + "@", "nested deeper than"},
		"too long":           {strings.Repeat("@ or ", 20000) + "@", "longer than"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := policy.New(nil, []policy.Override{{Name: "r", Check: c.rule, File: "policy.yaml", Line: 7},
				{Name: "x", Check: "rule:y", File: "policy.yaml", Line: 8}, {Name: "y", Check: "rule:r and role:a", File: "policy.yaml", Line: 9}})
			if !ferric.IsCode(err, ferric.CodeInvalid) || !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(err.Error(), `policy.yaml:7: rule "r": `) {
				t.Errorf("error %v, want policy.yaml:7: rule \"r\": … %s", err, c.want)
			}
		})
	}
}

func TestOverrides(t *testing.T) {
	defaults := []policy.Default{
		{Name: "baremetal:node:get", Check: "role:reader"},
		{Name: "baremetal:node:update", Check: "role:member"},
		{Name: "baremetal:node:update:name", Check: "role:member", Was: "baremetal:node:update", WasCheck: "rule:old or role:older"},
		{Name: "old", Check: "role:old"},
	}
	has := func(o ...policy.Override) (*policy.Rules, error) {
		for i := range o {
			o[i].File, o[i].Line = "f", i+1
		}
		return policy.New(defaults, o)
	}
	may := func(rules *policy.Rules, name, role string) bool {
		return rules.Allow(name, &policy.Caller{Roles: []string{role}}, policy.Target{})
	}
	for name, c := range map[string]struct {
		override policy.Override
		rule     string
		role     string
		want     bool
	}{
		"of the rule":                        {policy.Override{Name: "baremetal:node:get", Check: "role:cook"}, "baremetal:node:get", "cook", true},
		"the default is gone":                {policy.Override{Name: "baremetal:node:get", Check: "role:cook"}, "baremetal:node:get", "reader", false},
		"of the older name":                  {policy.Override{Name: "baremetal:node:update", Check: "role:cook"}, "baremetal:node:update:name", "cook", true},
		"of the older name, just its old":    {policy.Override{Name: "baremetal:node:update", Check: "rule:old or role:older"}, "baremetal:node:update:name", "older", false},
		"of the older name, just the new":    {policy.Override{Name: "baremetal:node:update", Check: "rule:baremetal:node:update:name"}, "baremetal:node:update:name", "member", true},
		"of a rule that it refers to":        {policy.Override{Name: "old", Check: "role:cook"}, "old", "cook", true},
		"of a step":                          {policy.Override{Name: policy.StepPrefix + "raid.delete_configuration", Check: "role:cook"}, policy.StepPrefix + "raid.delete_configuration", "cook", true},
		"of a rule of one's own":             {policy.Override{Name: "cooks", Check: "role:cook"}, "cooks", "cook", true},
		"which does not exist allows nobody": {policy.Override{Name: "cooks", Check: "role:cook"}, "nothing", "cook", false},
	} {
		t.Run(name, func(t *testing.T) {
			rules, err := has(c.override)
			if err != nil {
				t.Fatal(err)
			}
			if got := may(rules, c.rule, c.role); got != c.want {
				t.Errorf("%s may: %v, want %v", c.role, got, c.want)
			}
		})
	}
	if _, err := has(policy.Override{Name: "baremetal:node:gett", Check: "@"}); err == nil ||
		err.Error() != `f:1: rule "baremetal:node:gett": there is no such rule; did you mean "baremetal:node:get"?` {
		t.Errorf("a typing error: %v", err)
	}
	if _, err := has(policy.Override{Name: "a", Check: "@"}, policy.Override{Name: "a", Check: "!"}); err == nil ||
		err.Error() != `f:2: rule "a": it is there twice, first at f:1` {
		t.Errorf("twice: %v", err)
	}
	rules, err := has(policy.Override{Name: "a", Check: "tenant:x or user_id:%(who)s"})
	if err != nil || len(rules.Warnings()) != 2 {
		t.Errorf("%v, warnings %q", err, rules.Warnings())
	}
}

func TestScopes(t *testing.T) {
	rules, err := policy.New([]policy.Default{{Name: "s", Check: "@", Scopes: []policy.Scope{policy.System}},
		{Name: "b", Check: "@", Scopes: []policy.Scope{policy.System, policy.Project}}, {Name: "any", Check: "rule:s"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	callers := map[policy.Scope]*policy.Caller{policy.System: {SystemScope: "all"}, policy.Domain: {DomainID: "d"}, policy.Project: {ProjectID: "p"}}
	want := map[string]map[policy.Scope]bool{"s": {policy.System: true}, "b": {policy.System: true, policy.Project: true},
		"any": {policy.System: true, policy.Project: true, policy.Domain: true}}
	for name, scopes := range want {
		for scope, c := range callers {
			if got := rules.Allow(name, c, policy.Target{}); got != scopes[scope] {
				t.Errorf("%s, scope %s: %v", name, scope, got)
			}
			if got := rules.Decide(name, c); (got == policy.Always) != scopes[scope] {
				t.Errorf("%s, scope %s: decision %v", name, scope, got)
			}
		}
	}
}

func TestDecide(t *testing.T) {
	for rule, want := range map[string]policy.Verdict{
		"@": policy.Always, "!": policy.Never, "role:a": policy.Always, "role:b": policy.Never,
		"project_id:%(node.owner)s":                            policy.Depends,
		"not project_id:%(node.owner)s":                        policy.Depends,
		"role:a or project_id:%(node.owner)s":                  policy.Always,
		"role:a and project_id:%(node.owner)s":                 policy.Depends,
		"role:b and project_id:%(node.owner)s":                 policy.Never,
		"not (role:a or project_id:%(node.owner)s)":            policy.Never,
		"domain_id:%(node.owner)s":                             policy.Never,
		"role:b or (role:a and 'x':%(node.lessee)s) or role:b": policy.Depends,
	} {
		rules, err := policy.New(nil, []policy.Override{{Name: "r", Check: rule}})
		if err != nil {
			t.Fatal(err)
		}
		if got := rules.Decide("r", &policy.Caller{ProjectID: "p", Roles: []string{"a"}}); got != want {
			t.Errorf("%s: %d, want %d", rule, got, want)
		}
	}
}

// TestIronic: the table compiles, every rule says what it is for, and it is complete.
func TestIronic(t *testing.T) {
	rules, err := policy.New(policy.Ironic(), nil)
	if err != nil {
		t.Fatal(err)
	}
	all := rules.All()
	if len(all) != 133 {
		t.Errorf("%d rules, want 133", len(all))
	}
	if len(all) != len(policy.Ironic()) {
		t.Error("a rule is there twice")
	}
	names := map[string]bool{}
	for _, d := range policy.Ironic() {
		names[d.Name] = true
		if d.Help == "" {
			t.Errorf("%s: no help", d.Name)
		}
		if (d.Was == "") != (d.WasCheck == "") {
			t.Errorf("%s: Was without WasCheck", d.Name)
		}
	}
	for _, d := range policy.Ironic() {
		if d.Was != "" && !names[d.Was] {
			t.Errorf("%s: %q is no rule", d.Name, d.Was)
		}
	}
	admin := policy.SystemAdmin("")
	never := map[string]bool{"show_password": true, "show_instance_secrets": true}
	for _, i := range all {
		if strings.HasPrefix(i.Name, "baremetal:") && rules.Decide(i.Name, &admin) != policy.Always &&
			i.Name != "baremetal:node:delete:self_owned_node" && i.Name != "baremetal:allocation:create_pre_rbac" || never[i.Name] && rules.Decide(i.Name, &admin) != policy.Never {
			t.Errorf("%s: the system's admin gets %d", i.Name, rules.Decide(i.Name, &admin))
		}
	}
}

func FuzzRule(f *testing.F) {
	for _, d := range policy.Ironic() {
		f.Add(d.Check)
	}
	f.Add("not (role:a or 'x':%(node.owner)s%%) and rule:r2")
	f.Fuzz(func(t *testing.T, text string) {
		rules, err := policy.New(policy.Ironic(), []policy.Override{{Name: "r", Check: text}})
		if err != nil {
			if !ferric.IsCode(err, ferric.CodeInvalid) {
				t.Errorf("%v is not CodeInvalid", err)
			}
			return
		}
		// What is decided without a target must hold with any, and a rule written out again must say the same.
		for _, c := range []policy.Caller{{}, policy.SystemAdmin("u"), {ProjectID: "p", Roles: []string{"member", "a"}}} {
			for _, target := range []policy.Target{{}, {Kind: "node", Owner: "p"}, {Kind: "node", Owner: "q", Lessee: "p"}} {
				got := rules.Allow("r", &c, target)
				if v := rules.Decide("r", &c); v == policy.Always && !got || v == policy.Never && got {
					t.Errorf("%q: decided %d, but %v for %+v", text, v, got, target)
				}
			}
		}
	})
}

func BenchmarkAllow(b *testing.B) {
	rules, err := policy.New(policy.Ironic(), nil)
	if err != nil {
		b.Fatal(err)
	}
	for name, c := range map[string]policy.Caller{"system": policy.SystemAdmin("u"), "lessee": {ProjectID: "p2", Roles: []string{"member", "reader"}}} {
		b.Run(fmt.Sprintf("node:get/%s", name), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				rules.Allow("baremetal:node:get", &c, policy.Target{Kind: "node", Owner: "p1", Lessee: "p2"})
			}
		})
	}
}
