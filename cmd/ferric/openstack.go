package main

import (
	"cmp"
	"context"
	"log/slog"

	"ferric/config"
	"ferric/openstack"
	"ferric/openstack/keystone"
	"ferric/policy"
)

// cloudCredentials finds out who Ferric is in the cloud: [openstack], else OS_CLOUD and the OS_* variables. ok is false when nothing says so. The
// credentials come from one place as a whole; region, interfaces and certificates of [openstack] win over those of the others.
func cloudCredentials(o *config.OpenStack, env openstack.Environ) (c openstack.Credentials, ok bool, err error) {
	files := openstack.CloudFiles(env)
	if o.CloudsFile != "" {
		files = []string{o.CloudsFile}
	}
	fromEnviron, haveEnviron := openstack.FromEnviron(env)
	cloud := o.Cloud
	if cloud == "" && o.AuthURL == "" {
		cloud = env.Get("OS_CLOUD")
	}
	switch {
	case cloud != "":
		if c, err = openstack.FromClouds(cloud, files); err != nil {
			return c, false, err
		}
		c.Region, c.CACert = cmp.Or(env.Get("OS_REGION_NAME"), c.Region), cmp.Or(c.CACert, fromEnviron.CACert)
		if fromEnviron.Interfaces != nil {
			c.Interfaces = fromEnviron.Interfaces
		}
	case o.AuthURL != "":
		c = openstack.Credentials{
			AuthURL: o.AuthURL, Username: o.Username, UserID: o.UserID, Password: string(o.Password), UserDomainName: o.UserDomainName,
			UserDomainID: o.UserDomainID, ProjectName: o.ProjectName, ProjectID: o.ProjectID, ProjectDomainName: o.ProjectDomainName,
			ProjectDomainID: o.ProjectDomainID, SystemScope: o.SystemScope, ApplicationCredentialID: o.ApplicationCredentialID,
			ApplicationCredentialName: o.ApplicationCredentialName, ApplicationCredentialSecret: string(o.ApplicationCredentialSecret),
			Cert: o.CertFile, Key: o.KeyFile, Source: "the section [openstack]",
		}
	case haveEnviron:
		c = fromEnviron
	default:
		return c, false, nil
	}
	c.Region, c.CACert, c.Insecure = cmp.Or(o.RegionName, c.Region), cmp.Or(o.CAFile, c.CACert), o.Insecure || c.Insecure
	if len(o.ValidInterfaces) > 0 {
		c.Interfaces = o.ValidInterfaces
	}
	return c, true, c.Check()
}

// openCloud makes the session with the cloud, nil when nothing says which cloud. It asks nobody, so a Keystone that is away does not matter yet.
func openCloud(o *config.OpenStack, env openstack.Environ, log *slog.Logger) (*openstack.Session, error) {
	c, ok, err := cloudCredentials(o, env)
	if err != nil || !ok {
		return nil, err
	}
	retries := o.Retries
	if retries == 0 {
		retries = -1
	}
	return openstack.New(c, openstack.Options{Timeout: o.Timeout, Retries: retries, Endpoints: o.EndpointOverride, Log: log})
}

// validator checks clients' tokens as the configuration says.
func validator(cfg *config.Config, cloud *openstack.Session, log *slog.Logger) *keystone.Validator {
	k := cfg.KeystoneAuthToken
	o := keystone.Options{CacheTime: k.TokenCacheTime, Grace: k.TokenCacheGrace, CacheSize: k.TokenCacheSize, ServiceRoles: k.ServiceTokenRoles,
		ServiceRolesRequired: k.ServiceTokenRolesRequired, ServiceTypes: []string{k.ServiceType}, Log: log}
	if k.ServiceType == "baremetal" {
		o.ServiceTypes = append(o.ServiceTypes, "bare-metal") // the catalogue may have either
	}
	if o.CacheTime == 0 {
		o.CacheTime = -1
	}
	return keystone.New(cloud, o)
}

// tokens gives the validator the form that the API declares.
type tokens struct{ validator *keystone.Validator }

func (t tokens) Caller(ctx context.Context, token, serviceToken, method, path string) (policy.Caller, error) {
	return t.validator.Caller(ctx, keystone.Request{Token: token, ServiceToken: serviceToken, Method: method, Path: path})
}
