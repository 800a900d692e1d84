package policy

import (
	"slices"
	"strings"
)

// Caller is who asks, as the authentication found out. The zero value is nobody.
type Caller struct {
	UserID, UserName, UserDomainID           string
	ProjectID, ProjectName, ProjectDomainID  string
	DomainID                                 string // of a token for a domain
	SystemScope                              string // "all" for a token for the system
	Roles                                    []string
	IsAdmin, IsAdminProject, IsPublicAPI     bool
	ServiceUserID, ServiceUserDomainID       string // of a service that asks in the user's name
	ServiceProjectID, ServiceProjectDomainID string
	ServiceRoles                             []string
	// ElevatedServiceProject is the name of the project whose service role sees everything; "" for none. It is a setting, which
	// rules see as %(config.service_project_name)s.
	ElevatedServiceProject string
}

// SystemAdmin is the caller who may do everything that the default rules allow to anybody. user may be "".
func SystemAdmin(user string) Caller {
	return Caller{UserID: user, UserName: user, SystemScope: "all", Roles: []string{"admin", "manager", "member", "reader"},
		IsAdmin: true, IsAdminProject: true}
}

// Scope is what the caller's token is for.
func (c *Caller) Scope() Scope {
	switch {
	case c.SystemScope != "":
		return System
	case c.DomainID != "":
		return Domain
	}
	return Project
}

// Scope is a kind of token.
type Scope string

// The scopes. A rule says for which of them it can hold.
const (
	System  Scope = "system"
	Domain  Scope = "domain"
	Project Scope = "project"
)

// attribute reads one attribute of a caller in the form in which rules compare it. ok is false if the caller has none.
type attribute func(c *Caller) (value string, ok bool)

// attributes are those that rules know. Roles are lists and are not among them.
func attributes(name string) attribute {
	str := func(at func(*Caller) string) attribute {
		return func(c *Caller) (string, bool) { s := at(c); return s, s != "" }
	}
	flag := func(at func(*Caller) bool) attribute {
		return func(c *Caller) (string, bool) {
			if at(c) {
				return "True", true
			}
			return "False", true
		}
	}
	switch name {
	case "user_id":
		return str(func(c *Caller) string { return c.UserID })
	case "user_name":
		return str(func(c *Caller) string { return c.UserName })
	case "user_domain_id":
		return str(func(c *Caller) string { return c.UserDomainID })
	case "project_id":
		return str(func(c *Caller) string { return c.ProjectID })
	case "project_name":
		return str(func(c *Caller) string { return c.ProjectName })
	case "project_domain_id":
		return str(func(c *Caller) string { return c.ProjectDomainID })
	case "domain_id":
		return str(func(c *Caller) string { return c.DomainID })
	case "system_scope", "system":
		return str(func(c *Caller) string { return c.SystemScope })
	case "is_admin":
		return flag(func(c *Caller) bool { return c.IsAdmin })
	case "is_admin_project":
		return flag(func(c *Caller) bool { return c.IsAdminProject })
	case "is_public_api":
		return flag(func(c *Caller) bool { return c.IsPublicAPI })
	case "service_user_id":
		return str(func(c *Caller) string { return c.ServiceUserID })
	case "service_user_domain_id":
		return str(func(c *Caller) string { return c.ServiceUserDomainID })
	case "service_project_id":
		return str(func(c *Caller) string { return c.ServiceProjectID })
	case "service_project_domain_id":
		return str(func(c *Caller) string { return c.ServiceProjectDomainID })
	case "config.service_project_name":
		return str(func(c *Caller) string { return c.ElevatedServiceProject })
	}
	return nil
}

func (c *Caller) hasRole(role string) bool {
	return slices.ContainsFunc(c.Roles, func(r string) bool { return strings.EqualFold(r, role) })
}

// Target is what a caller wants to do something to. The zero value belongs to nobody.
type Target struct {
	// Kind is what owner and lessee belong to in rules: "node" for %(node.owner)s, "allocation", "runbook".
	Kind          string
	Owner, Lessee string
}

// value returns an attribute of the target, which rules call kind.attribute.
func (t *Target) value(kind, attribute string) (string, bool) {
	if kind != t.Kind {
		return "", false
	}
	switch attribute {
	case "owner":
		return t.Owner, t.Owner != ""
	case "lessee":
		return t.Lessee, t.Lessee != ""
	}
	return "", false
}
