package config

import "time"

// OpenStack is the section [openstack].
type OpenStack struct {
	Cloud                       string            `toml:"cloud" help:"Entry of clouds.yaml that says where Keystone is and who Ferric is there. The keys below but region_name, valid_interfaces, cafile and insecure are then ignored."`
	CloudsFile                  string            `toml:"clouds_file" check:"path" help:"The clouds.yaml. Empty: OS_CLIENT_CONFIG_FILE, ./clouds.yaml, ~/.config/openstack/clouds.yaml, /etc/openstack/clouds.yaml, whichever exists first."`
	AuthURL                     string            `toml:"auth_url" check:"httpurl" help:"URL of Keystone. When neither this nor cloud is set, OS_CLOUD and the OS_* variables count."`
	Username                    string            `toml:"username" help:"Ferric's own user."`
	UserID                      string            `toml:"user_id" help:"The same by id; username and its domain are then not needed."`
	Password                    Secret            `toml:"password" help:"The user's password."`
	UserDomainName              string            `toml:"user_domain_name" help:"Domain of the user. Empty, with user_domain_id: the domain with the id default."`
	UserDomainID                string            `toml:"user_domain_id" help:"The same by id."`
	ProjectName                 string            `toml:"project_name" help:"Project that the token is for, usually service."`
	ProjectID                   string            `toml:"project_id" help:"The same by id."`
	ProjectDomainName           string            `toml:"project_domain_name" help:"Domain of the project. Empty, with project_domain_id: the domain with the id default."`
	ProjectDomainID             string            `toml:"project_domain_id" help:"The same by id."`
	SystemScope                 string            `toml:"system_scope" values:"|all" help:"all: the token is for the whole system instead of a project. Glance, Neutron and Cinder usually want a project."`
	ApplicationCredentialID     string            `toml:"application_credential_id" help:"Application credential instead of user and password."`
	ApplicationCredentialName   string            `toml:"application_credential_name" help:"The same by name; needs the user, too."`
	ApplicationCredentialSecret Secret            `toml:"application_credential_secret" help:"Its secret."`
	RegionName                  string            `toml:"region_name" help:"Region of the services. Empty: that of clouds.yaml or OS_REGION_NAME, else any."`
	ValidInterfaces             []string          `toml:"valid_interfaces" values:"internal|public|admin" help:"Interfaces of endpoints, the preferred one first. Empty: that of clouds.yaml or OS_INTERFACE, else internal,public."`
	CAFile                      string            `toml:"cafile" check:"path" help:"PEM file with the authorities that the services' certificates are checked against. Empty: the system's."`
	CertFile                    string            `toml:"certfile" check:"path" help:"PEM file with a client certificate."`
	KeyFile                     string            `toml:"keyfile" check:"path" help:"PEM file with its key. Empty: in certfile."`
	Insecure                    bool              `toml:"insecure" default:"false" help:"Whether the services' certificates are not checked. For tests."`
	EndpointOverride            map[string]string `toml:"endpoint_override" help:"URLs of services instead of those in the catalogue, by service type: image, network, block-storage, compute."`
	Timeout                     time.Duration     `toml:"timeout" default:"60s" min:"1s" max:"1h" help:"How long nothing may move on a connection to a service before a request is given up."`
	Retries                     int               `toml:"retries" default:"3" min:"0" max:"20" help:"How often a request is repeated after a broken connection, 502, 503 or 504, if repeating it does no harm."`
}

func (o *OpenStack) contradictions(report reporter) {
	if o.Cloud != "" || o.AuthURL == "" {
		return
	}
	switch {
	case o.ApplicationCredentialID != "" || o.ApplicationCredentialName != "":
		if o.ApplicationCredentialSecret == "" {
			report("openstack.application_credential_secret", "must be set beside the application credential")
		}
		if o.ApplicationCredentialID == "" && o.Username == "" && o.UserID == "" {
			report("openstack.application_credential_name", "needs openstack.username or user_id beside it; application_credential_id does not")
		}
	case o.Username == "" && o.UserID == "":
		report("openstack.username", "must be set beside openstack.auth_url, or an application credential")
	case o.Password == "":
		report("openstack.password", "must be set beside openstack.username")
	case o.ProjectName == "" && o.ProjectID == "" && o.SystemScope == "":
		report("openstack.project_name", "must be set beside openstack.username (or project_id, or system_scope): a token for nothing may do nothing")
	}
}

// KeystoneAuthToken is the section [keystone_authtoken].
type KeystoneAuthToken struct {
	WWWAuthenticateURI        string        `toml:"www_authenticate_uri" check:"httpurl" help:"Where clients log in: Keystone's public URL, which refusals name. Empty: openstack.auth_url."`
	TokenCacheTime            time.Duration `toml:"token_cache_time" default:"5m" min:"-1s" max:"1h" help:"How long Keystone's answer about a token is believed. A revoked token, and a changed role, may go on counting for that long. Negative: Keystone is asked for every request."`
	TokenCacheGrace           time.Duration `toml:"token_cache_grace" default:"5m" min:"0s" max:"24h" help:"How much longer it is believed while Keystone cannot be asked. Never after the token's own end."`
	TokenCacheSize            int           `toml:"token_cache_size" default:"10000" min:"10" max:"10000000" help:"Most tokens that are remembered, about 1 KiB each."`
	ServiceTokenRoles         []string      `toml:"service_token_roles" default:"service" check:"nonempty" help:"Roles that make a service token (X-Service-Token) one: with it, a user's token may have expired, and access rules of application credentials do not hold."`
	ServiceTokenRolesRequired bool          `toml:"service_token_roles_required" default:"false" help:"Whether requests with a service token without one of these roles are refused."`
	ServiceType               string        `toml:"service_type" default:"baremetal" help:"What access rules of application credentials call this service."`
}
