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
