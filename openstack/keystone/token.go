package keystone

import (
	"encoding/json"
	"errors"
	"regexp"
	"slices"
	"strings"
	"time"

	"ferric/openstack"
	"ferric/policy"
)

// token is what Keystone says of a token.
type token struct {
	expires     time.Time
	caller      policy.Caller
	rules       []accessRule // of an application credential
	constrained bool         // only what the rules allow; without any, nothing
}

// parseToken reads Keystone's answer about a token.
func parseToken(body []byte) (*token, error) {
	type named struct {
		ID   string `json:"id"`
		Name string `json:"name"`
	}
	type inDomain struct {
		named
		Domain named `json:"domain"`
	}
	var doc struct {
		Token *struct {
			Expires        openstack.Instant `json:"expires_at"`
			User           *inDomain         `json:"user"`
			Project        *inDomain         `json:"project"`
			Domain         *named            `json:"domain"`
			System         map[string]bool   `json:"system"`
			Roles          []named           `json:"roles"`
			IsAdminProject *bool             `json:"is_admin_project"`
			Credential     *struct {
				Rules *[]accessRule `json:"access_rules"`
			} `json:"application_credential"`
		} `json:"token"`
	}
	if err := json.Unmarshal(body, &doc); err != nil {
		return nil, err
	}
	d := doc.Token
	switch {
	case d == nil || d.User == nil || d.User.ID == "":
		return nil, errors.New("the answer names no user")
	case d.Expires.IsZero():
		return nil, errors.New("the answer does not say when the token expires")
	}
	t := &token{expires: d.Expires.Time}
	c := &t.caller
	c.UserID, c.UserName, c.UserDomainID = d.User.ID, d.User.Name, d.User.Domain.ID
	c.IsAdminProject = d.IsAdminProject == nil || *d.IsAdminProject
	switch {
	case d.Project != nil:
		c.ProjectID, c.ProjectName, c.ProjectDomainID = d.Project.ID, d.Project.Name, d.Project.Domain.ID
	case d.System["all"]:
		c.SystemScope = "all"
	case d.Domain != nil:
		c.DomainID = d.Domain.ID
	}
	for _, r := range d.Roles {
		c.Roles = append(c.Roles, r.Name)
	}
	if d.Credential != nil && d.Credential.Rules != nil {
		t.constrained, t.rules = true, *d.Credential.Rules
		for i := range t.rules {
			t.rules[i].pattern = pattern(t.rules[i].Path)
		}
	}
	return t, nil
}

// hasRole reports whether the token has one of the roles.
func (t *token) hasRole(roles []string) bool {
	return slices.ContainsFunc(t.caller.Roles, func(have string) bool {
		return slices.ContainsFunc(roles, func(want string) bool { return strings.EqualFold(have, want) })
	})
}

// accessRule is what an application credential may be used for.
type accessRule struct {
	Service string `json:"service"`
	Method  string `json:"method"`
	Path    string `json:"path"`
	pattern *regexp.Regexp
}

// allows reports whether the token may be used for a request to this service.
func (t *token) allows(services []string, method, path string) bool {
	return !t.constrained || slices.ContainsFunc(t.rules, func(r accessRule) bool {
		return r.Method == method && slices.Contains(services, r.Service) && r.pattern != nil && r.pattern.MatchString(path)
	})
}

// wildcard is what rules may hold beside plain text.
var wildcard = regexp.MustCompile(`\*\*|\*|\{[^}]*\}`)

// pattern is the regular expression that a rule's path means: * and {name} stand for one or more characters without a slash, ** for any.
func pattern(path string) *regexp.Regexp {
	var b strings.Builder
	b.WriteString(`\A`)
	from := 0
	for _, at := range wildcard.FindAllStringIndex(path, -1) {
		b.WriteString(regexp.QuoteMeta(path[from:at[0]]))
		if path[at[0]:at[1]] == "**" {
			b.WriteString(`(?s:.*)`)
		} else {
			b.WriteString(`[^/]+`)
		}
		from = at[1]
	}
	b.WriteString(regexp.QuoteMeta(path[from:]))
	b.WriteString(`\z`)
	re, err := regexp.Compile(b.String())
	if err != nil { // not UTF-8
		return nil
	}
	return re
}
