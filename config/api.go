package config

import "time"

// API is the section [api].
type API struct {
	Listen                        string        `toml:"listen" default:"127.0.0.1:6385" check:"listen" flag:"listen" env:"FERRIC_LISTEN" help:"Address and port to listen on. Only this machine can reach the default; port 0 chooses a free one."`
	PublicEndpoint                string        `toml:"public_endpoint" check:"httpurl" help:"Base URL in the links that the API returns. Empty: taken from the request."`
	TLSCert                       string        `toml:"tls_cert" check:"path" help:"PEM file with the certificate and its chain. With tls_key, the API speaks HTTPS only."`
	TLSKey                        string        `toml:"tls_key" check:"path" help:"PEM file with the private key of tls_cert."`
	TLSMinimumVersion             string        `toml:"tls_minimum_version" default:"1.2" values:"1.2|1.3" help:"Oldest TLS version that clients may use."`
	AuthStrategy                  string        `toml:"auth_strategy" default:"noauth" values:"noauth|http_basic|keystone" help:"Who may use the API: noauth is everybody who can reach it, http_basic the users of a file, keystone whom Keystone knows (see openstack and keystone_authtoken)."`
	HTTPBasicAuthUserFile         string        `toml:"http_basic_auth_user_file" default:"/etc/ferric/htpasswd" check:"path" help:"htpasswd file with bcrypt entries, for http_basic. Re-read when it changes."`
	PolicyFile                    string        `toml:"policy_file" check:"path" help:"YAML or JSON file in oslo.policy's language that replaces rules of who may do what (Ironic's [oslo_policy]policy_file). Re-read when it changes. Empty: the defaults; ferric policy show prints them."`
	ProjectAdminCanManageOwnNodes bool          `toml:"project_admin_can_manage_own_nodes" default:"true" help:"Whether administrators of projects may add and remove nodes that their project owns."`
	RBACServiceRoleElevatedAccess bool          `toml:"rbac_service_role_elevated_access" default:"true" help:"Whether the service role in the project rbac_service_project_name may see and do what it may in the system's scope. Without it, a Nova whose token is for a project sees no nodes and deletes all its records of them; Ironic's default is false."`
	RBACServiceProjectName        string        `toml:"rbac_service_project_name" default:"service" help:"Name of the project of the cloud's own services."`
	RBACServiceProjectDomainID    string        `toml:"rbac_service_project_domain_id" default:"default" help:"Id of the domain that this project is in, because others may have projects of that name in their own domains. Empty: any, as in Ironic."`
	MaxLimit                      int           `toml:"max_limit" default:"1000" min:"1" max:"100000" help:"Most items in one answer, and the number without a limit parameter."`
	MaxBodySize                   Size          `toml:"max_body_size" default:"1MiB" min:"4KiB" max:"64MiB" help:"Largest request body."`
	MaxBodySizeProvision          Size          `toml:"max_body_size_provision" default:"6MiB" min:"4KiB" max:"64MiB" help:"Largest request body with a config drive. It must fit into bus.max_payload."`
	MaxBodySizeInspection         Size          `toml:"max_body_size_inspection" default:"6MiB" min:"4KiB" max:"64MiB" help:"Largest inventory that a machine may send. It must fit into bus.max_payload."`
	MaxBodyDepth                  int           `toml:"max_body_depth" default:"25" min:"8" max:"1000" help:"Deepest nesting of a JSON request body."`
	MaxEventStreams               int           `toml:"max_event_streams" default:"500" min:"0" max:"1000000" help:"Most clients that follow the change feed (/ferric/v1/events) at the same time. Each holds one of max_connections."`
	MaxConnections                int           `toml:"max_connections" default:"1000" min:"1" max:"1000000" help:"Most connections open at the same time; further ones wait."`
	RequestTimeout                time.Duration `toml:"request_timeout" default:"60s" min:"1s" max:"1h" help:"Longest that a request may take, reading the body included."`
	ConductorPatience             time.Duration `toml:"conductor_patience" default:"20s" min:"0s" max:"10m" help:"How long a request waits for a conductor to answer when the one that it went to has died or is cut off. It is carried out once, whoever answers."`
	DrainDelay                    time.Duration `toml:"drain_delay" default:"0s" min:"0s" max:"5m" help:"How long the API goes on taking requests after it was told to stop, while /readyz says 503. Behind a load balancer: a little longer than it needs to notice that."`
	IdleTimeout                   time.Duration `toml:"idle_timeout" default:"120s" min:"1s" max:"1h" help:"How long an idle connection is kept."`
	EnableRamdiskEndpoints        bool          `toml:"enable_ramdisk_endpoints" default:"true" help:"Whether lookup, heartbeat and continue_inspection are served, which need no login."`
	RestrictLookup                bool          `toml:"restrict_lookup" default:"true" help:"Whether lookup finds only nodes that expect a machine to boot."`
	DisallowCleanSteps            []string      `toml:"disallow_clean_steps" help:"Clean steps, as interface.step, that nobody may ask for and that never run."`
	DisallowDeploySteps           []string      `toml:"disallow_deploy_steps" help:"The same for deploy steps."`
	DisallowServiceSteps          []string      `toml:"disallow_service_steps" help:"The same for service steps."`
	DefaultResourceClass          string        `toml:"default_resource_class" help:"Resource class of new nodes that name none."`
	DefaultConductorGroup         string        `toml:"default_conductor_group" check:"group" help:"Conductor group of new nodes that name none."`
	DefaultPortgroupMode          string        `toml:"default_portgroup_mode" default:"active-backup" help:"Bonding mode of new port groups that name none, as the Linux kernel calls it."`
}

func (a *API) contradictions(report reporter) {
	switch {
	case a.TLSCert != "" && a.TLSKey == "":
		report("api.tls_cert", "needs api.tls_key beside it")
	case a.TLSKey != "" && a.TLSCert == "":
		report("api.tls_key", "needs api.tls_cert beside it")
	}
	if a.AuthStrategy == "http_basic" && a.HTTPBasicAuthUserFile == "" {
		report("api.http_basic_auth_user_file", "must be set for api.auth_strategy = \"http_basic\"")
	}
}

// Database is the section [database].
type Database struct {
	URL                SecretURL     `toml:"url" check:"database" help:"Empty: SQLite in data_dir. A path: SQLite in this file. postgres://user:password@host/name: PostgreSQL, which several conductors need."`
	MaxOpenConnections int           `toml:"max_open_connections" default:"10" min:"1" max:"1000" help:"Most connections at the same time."`
	ConnectTimeout     time.Duration `toml:"connect_timeout" default:"10s" min:"1s" max:"10m" help:"How long the start waits for the database."`
	AutoMigrate        bool          `toml:"auto_migrate" default:"true" help:"Whether the start brings the schema up to date. When false, run ferric db migrate."`
	KeyFile            string        `toml:"key_file" default:"{data_dir}/secret.key" check:"path" help:"File with the key that credentials in the database are encrypted with. Made at the first start, mode 0600. Whoever has the database needs this file to use it; keep a copy elsewhere."`
}
