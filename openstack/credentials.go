package openstack

import (
	"cmp"
	"strconv"
	"strings"

	"github.com/gophercloud/gophercloud/v2"

	"ferric"
)

// Credentials say which cloud and who we are there. Names and meanings are those of clouds.yaml's auth.
type Credentials struct {
	AuthURL                            string // Keystone, with or without /v3
	Username, UserID, Password         string
	UserDomainName, UserDomainID       string
	ProjectName, ProjectID             string
	ProjectDomainName, ProjectDomainID string
	DomainName, DomainID               string // a token for a domain
	SystemScope                        string // "all": a token for the system
	TrustID                            string
	ApplicationCredentialID            string
	ApplicationCredentialName          string // needs the user as well
	ApplicationCredentialSecret        string
	Token                              string // instead of all that: a token made elsewhere; it cannot be renewed

	Region     string
	Interfaces []string // of endpoints, the preferred one first; none: internal, public
	CACert     string   // PEM file; "": the system's
	Cert, Key  string   // PEM files of a client certificate
	Insecure   bool     // certificates are not checked

	// Source says in messages where these are from: "[openstack]", "cloud mycloud of /etc/openstack/clouds.yaml", "OS_* variables".
	Source string
}

// Environ is a process' environment, NAME=value.
type Environ []string

// Get returns the value of the first of the variables that is not empty, "" if none is.
func (e Environ) Get(names ...string) string {
	for _, name := range names {
		for _, pair := range e {
			if n, v, _ := strings.Cut(pair, "="); n == name && v != "" {
				return v
			}
		}
	}
	return ""
}

// FromEnviron reads OS_* variables as the openstack client does. ok is false without OS_AUTH_URL.
func FromEnviron(env Environ) (c Credentials, ok bool) {
	c = Credentials{
		AuthURL: env.Get("OS_AUTH_URL"), Username: env.Get("OS_USERNAME"), UserID: env.Get("OS_USER_ID"), Password: env.Get("OS_PASSWORD"),
		UserDomainName: env.Get("OS_USER_DOMAIN_NAME"), UserDomainID: env.Get("OS_USER_DOMAIN_ID"),
		ProjectName: env.Get("OS_PROJECT_NAME", "OS_TENANT_NAME"), ProjectID: env.Get("OS_PROJECT_ID", "OS_TENANT_ID"),
		ProjectDomainName: env.Get("OS_PROJECT_DOMAIN_NAME"), ProjectDomainID: env.Get("OS_PROJECT_DOMAIN_ID"),
		DomainName: env.Get("OS_DOMAIN_NAME"), DomainID: env.Get("OS_DOMAIN_ID"), SystemScope: env.Get("OS_SYSTEM_SCOPE"), TrustID: env.Get("OS_TRUST_ID"),
		ApplicationCredentialID:     env.Get("OS_APPLICATION_CREDENTIAL_ID"),
		ApplicationCredentialName:   env.Get("OS_APPLICATION_CREDENTIAL_NAME"),
		ApplicationCredentialSecret: env.Get("OS_APPLICATION_CREDENTIAL_SECRET"),
		Region:                      env.Get("OS_REGION_NAME"), CACert: env.Get("OS_CACERT"), Cert: env.Get("OS_CERT"), Key: env.Get("OS_KEY"),
		Source: "the OS_* variables",
	}
	if t := env.Get("OS_AUTH_TYPE"); t == "token" || t == "v3token" {
		c.Token = env.Get("OS_TOKEN")
	}
	c.setDefaultDomain(env.Get("OS_DEFAULT_DOMAIN_ID", "OS_DEFAULT_DOMAIN"), env.Get("OS_DEFAULT_DOMAIN_NAME"))
	c.Insecure, _ = strconv.ParseBool(env.Get("OS_INSECURE"))
	if i := env.Get("OS_INTERFACE", "OS_ENDPOINT_TYPE"); i != "" {
		c.Interfaces = []string{strings.TrimSuffix(i, "URL")}
	}
	return c, c.AuthURL != ""
}

func (c *Credentials) setDefaultDomain(id, name string) {
	if c.UserDomainID == "" && c.UserDomainName == "" {
		c.UserDomainID, c.UserDomainName = id, name
	}
	if c.ProjectDomainID == "" && c.ProjectDomainName == "" {
		c.ProjectDomainID, c.ProjectDomainName = id, name
	}
}

// who names the user in messages.
func (c *Credentials) who() string {
	switch {
	case c.ApplicationCredentialSecret != "":
		return "application credential " + cmp.Or(c.ApplicationCredentialName, c.ApplicationCredentialID)
	case c.Token != "":
		return "the given token"
	}
	return "user " + cmp.Or(c.Username, c.UserID)
}

// Check reports what is missing or contradicts itself, as ferric.CodeInvalid.
func (c *Credentials) Check() error {
	bad := func(text string) error {
		return ferric.Errorf(ferric.CodeInvalid, "%s: %s", cmp.Or(c.Source, "OpenStack credentials"), text)
	}
	switch {
	case c.AuthURL == "":
		return bad("auth_url is missing, the URL of Keystone")
	case !strings.HasPrefix(c.AuthURL, "http://") && !strings.HasPrefix(c.AuthURL, "https://"):
		return bad("auth_url must begin with http:// or https://")
	case c.Token != "":
		return nil
	case c.ApplicationCredentialID != "" || c.ApplicationCredentialName != "":
		if c.ApplicationCredentialSecret == "" {
			return bad("application_credential_secret is missing")
		}
		if c.ApplicationCredentialID == "" && c.UserID == "" && c.Username == "" {
			return bad("application_credential_name needs username or user_id beside it; application_credential_id does not")
		}
		return nil
	case c.Username == "" && c.UserID == "":
		return bad("username is missing (or an application credential)")
	case c.Password == "":
		return bad("password is missing")
	case c.ProjectName == "" && c.ProjectID == "" && c.SystemScope == "" && c.DomainName == "" && c.DomainID == "" && c.TrustID == "":
		return bad("project_name is missing (or project_id, or system_scope = \"all\"): a token without a scope may do nothing")
	case c.SystemScope != "" && c.SystemScope != "all":
		return bad("system_scope knows only \"all\"")
	}
	return nil
}

// options are the credentials in gophercloud's form. Without a domain, users and projects are those of the domain with the id default.
func (c *Credentials) options() *gophercloud.AuthOptions {
	o := &gophercloud.AuthOptions{IdentityEndpoint: c.AuthURL}
	userDomain := func() {
		if o.UserID == "" {
			o.DomainID, o.DomainName = c.UserDomainID, c.UserDomainName
			if o.DomainID != "" {
				o.DomainName = ""
			} else if o.DomainName == "" {
				o.DomainID = "default"
			}
		}
	}
	user := func() {
		if o.UserID = c.UserID; o.UserID == "" {
			o.Username = c.Username
		}
		userDomain()
	}
	if c.ApplicationCredentialSecret != "" {
		o.ApplicationCredentialSecret = c.ApplicationCredentialSecret
		if o.ApplicationCredentialID = c.ApplicationCredentialID; o.ApplicationCredentialID == "" {
			o.ApplicationCredentialName = c.ApplicationCredentialName
			user()
		}
		return o
	}
	o.Password = c.Password
	user()
	switch {
	case c.TrustID != "":
		o.Scope = &gophercloud.AuthScope{TrustID: c.TrustID}
	case c.SystemScope != "":
		o.Scope = &gophercloud.AuthScope{System: true}
	case c.ProjectID != "":
		o.Scope = &gophercloud.AuthScope{ProjectID: c.ProjectID}
	case c.ProjectName != "":
		o.Scope = &gophercloud.AuthScope{ProjectName: c.ProjectName, DomainID: c.ProjectDomainID, DomainName: c.ProjectDomainName}
		if o.Scope.DomainID != "" {
			o.Scope.DomainName = ""
		} else if o.Scope.DomainName == "" {
			o.Scope.DomainID = "default"
		}
	case c.DomainID != "":
		o.Scope = &gophercloud.AuthScope{DomainID: c.DomainID}
	case c.DomainName != "":
		o.Scope = &gophercloud.AuthScope{DomainName: c.DomainName}
	}
	return o
}
