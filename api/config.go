package api

import (
	"net/url"
	"slices"
	"time"

	"ferric"
)

// The authentication strategies.
const (
	NoAuth    = "noauth"
	HTTPBasic = "http_basic"
	Keystone  = "keystone"
)

// Config is what an operator sets.
type Config struct {
	// PublicEndpoint is the URL that links begin with, such as "https://metal.example.org". "" takes the request's Host.
	PublicEndpoint string
	// AuthStrategy is NoAuth, HTTPBasic or Keystone, which needs Deps.Tokens.
	AuthStrategy string
	// UserFile is the htpasswd file of HTTPBasic: lines of "name:bcrypt hash". It is read again when it changes.
	UserFile string
	// AuthURI is where clients of Keystone log in.
	AuthURI string

	// ProjectAdminCanManageOwnNodes lets administrators of projects add and remove nodes that their project owns.
	ProjectAdminCanManageOwnNodes bool
	// ElevatedServiceProject is the name of the project whose service role may do what the system's may, "" for none.
	ElevatedServiceProject string
	// ElevatedServiceDomain is the id of the domain that this project is in, "" for any.
	ElevatedServiceDomain string

	// RamdiskEndpoints lets agents use lookup, heartbeat and continue_inspection here. Ramdisk serves them in any case.
	RamdiskEndpoints bool
	// MaxEventStreams is how many clients may follow the change feed at the same time, EventHeartbeat the time between signs of life to them. A
	// client that does not take what is sent within EventDeadline is sent away.
	MaxEventStreams int
	EventHeartbeat  time.Duration
	EventDeadline   time.Duration
	// DiscoveryDriver is the hardware type of nodes that are made of machines which nobody knows and which send inspection data. "": none are
	// made.
	DiscoveryDriver string
	// RestrictLookup limits lookup to the provision states in which an agent is expected.
	RestrictLookup bool

	MaxLimit          int   // largest page, and the size of one when the request does not say
	MaxBody           int64 // bytes
	MaxBodyProvision  int64 // bytes, for states/provision (config drives)
	MaxBodyInspection int64 // bytes, for continue_inspection (logs)
	MaxDepth          int   // nesting of JSON bodies

	// LockedTries is how often a request waits for LockedInterval until a node on which somebody works can take it. 0: it does not wait.
	LockedTries    int
	LockedInterval time.Duration
	// RequestTimeout bounds one request, calls to conductors included.
	RequestTimeout time.Duration
	// ConductorAlive is how old a conductor's last sign of life may be.
	ConductorAlive time.Duration

	// DefaultResourceClass and DefaultConductorGroup are for new nodes that name none.
	DefaultResourceClass  string
	DefaultConductorGroup string
	// DefaultPortgroupMode is the bonding mode of new port groups that name none.
	DefaultPortgroupMode string

	// What lookup tells an agent. AgentHeartbeatTimeout is for agents too old for a token; others get the conductor's.
	AgentHeartbeatTimeout      time.Duration
	PermittedImageFormats      []string
	AllowMD5                   bool
	DisableDeepImageInspection bool
	FerricVersion              string
}

// Defaults returns the configuration that Ferric starts with; limits are Ironic's.
func Defaults() Config {
	return Config{
		AuthStrategy: NoAuth, ProjectAdminCanManageOwnNodes: true, RamdiskEndpoints: true, RestrictLookup: true, MaxEventStreams: 500, EventHeartbeat: 15 * time.Second, EventDeadline: 10 * time.Second,
		MaxLimit: 1000, MaxBody: 1 << 20, MaxBodyProvision: 64 << 20, MaxBodyInspection: 16 << 20, MaxDepth: 25,
		RequestTimeout: time.Minute, ConductorAlive: time.Minute, AgentHeartbeatTimeout: 5 * time.Minute,
		DefaultPortgroupMode:  "active-backup",
		PermittedImageFormats: []string{"raw", "gpt", "qcow2", "iso"},
	}
}

// Validate refuses what cannot work. CodeInvalid names the field.
func (c Config) Validate() error {
	if !slices.Contains([]string{NoAuth, HTTPBasic, Keystone}, c.AuthStrategy) {
		return ferric.Errorf(ferric.CodeInvalid, "auth_strategy: %q is not known; choose %s, %s or %s", c.AuthStrategy, NoAuth, HTTPBasic, Keystone)
	}
	if c.AuthStrategy == HTTPBasic && c.UserFile == "" {
		return ferric.Errorf(ferric.CodeInvalid, "http_basic_auth_user_file: needed with auth_strategy %s", HTTPBasic)
	}
	if c.PublicEndpoint != "" {
		u, err := url.Parse(c.PublicEndpoint)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
			return ferric.Errorf(ferric.CodeInvalid, "public_endpoint: %q is not an http or https URL", c.PublicEndpoint)
		}
	}
	for _, limit := range []struct {
		name  string
		value int64
	}{{"max_limit", int64(c.MaxLimit)}, {"max_json_body_size", c.MaxBody}, {"max_json_body_size_provision", c.MaxBodyProvision},
		{"max_json_body_size_inspection", c.MaxBodyInspection}, {"max_json_body_depth", int64(c.MaxDepth)},
		{"request_timeout", int64(c.RequestTimeout)}, {"conductor_alive", int64(c.ConductorAlive)},
		{"agent_heartbeat_timeout", int64(c.AgentHeartbeatTimeout)}} {
		if limit.value <= 0 {
			return ferric.Errorf(ferric.CodeInvalid, "%s: must be greater than zero", limit.name)
		}
	}
	return nil
}
