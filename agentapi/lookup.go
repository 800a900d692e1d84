package agentapi

import "encoding/json"

// The ports, paths and API versions of the protocol.
const (
	// DefaultPort is where the agent's HTTP server listens.
	DefaultPort = 9999
	// VersionHeader names the microversion of a request to the bare metal API.
	VersionHeader = "X-OpenStack-Ironic-API-Version"
	// LookupVersion is the microversion that an agent asks for in lookup (agent token).
	LookupVersion = "1.62"
	// HeartbeatVersion is the microversion that an agent asks for in heartbeats (agent_verify_ca).
	HeartbeatVersion = "1.68"
)

// LookupResponse is the answer of GET /v1/lookup?addresses=MAC,MAC…&node_uuid=….
type LookupResponse struct {
	Node   LookupNode   `json:"node"`
	Config LookupConfig `json:"config"`
}

// LookupNode is the part of a node that an agent may see before it has proved who it is.
type LookupNode struct {
	UUID               string         `json:"uuid"`
	Properties         map[string]any `json:"properties"`
	InstanceInfo       map[string]any `json:"instance_info"`
	DriverInternalInfo map[string]any `json:"driver_internal_info"`
	Links              []Link         `json:"links,omitempty"`
}

// Link is an API link.
type Link struct {
	Href string `json:"href"`
	Rel  string `json:"rel"`
}

// LookupConfig is how the conductor configures the agent.
type LookupConfig struct {
	// HeartbeatTimeout is in seconds: without a heartbeat for this long the conductor gives the agent up.
	HeartbeatTimeout int `json:"heartbeat_timeout"`
	// AgentToken is the secret for this boot; "******" when it was handed out before.
	AgentToken                  string          `json:"agent_token,omitempty"`
	AgentTokenRequired          bool            `json:"agent_token_required"`
	MD5Enabled                  bool            `json:"agent_md5_checksum_enable"`
	DisableDeepImageInspection  bool            `json:"disable_deep_image_inspection"`
	PermittedImageFormats       []string        `json:"permitted_image_formats"`
	SkipBMCDetect               bool            `json:"agent_skip_bmc_detect"`
	EnableBIOSBootloaderInstall bool            `json:"enable_bios_bootloader_install"`
	TLSMinVersion               Text            `json:"tls_min_version"`
	TLSCipherSuites             Text            `json:"tls_cipher_suites"`
	Metrics                     json.RawMessage `json:"metrics,omitempty"`
	MetricsStatsd               json.RawMessage `json:"metrics_statsd,omitempty"`
	AgentContainers             json.RawMessage `json:"agent_containers,omitempty"`
	// Ferric is present only when the conductor is Ferric's. It allows the agent to send Ferric's fields.
	Ferric *LookupFerric `json:"ferric,omitempty"`
}

// LookupFerric is Ferric's part of the lookup answer.
type LookupFerric struct {
	Version string `json:"version,omitempty"`
}

// MaskedToken is what stands for a token that was handed out before.
const MaskedToken = "******"

// MinTokenLength is the shortest agent token that an agent accepts, in characters.
const MinTokenLength = 32

// Heartbeat is the body of POST /v1/heartbeat/{node}. The answer is 202 without a body; 409 means that the
// node is locked and the agent should try again in a few seconds.
type Heartbeat struct {
	CallbackURL   string `json:"callback_url"` // "https://192.0.2.7:9999"
	AgentToken    string `json:"agent_token,omitempty"`
	AgentVersion  string `json:"agent_version,omitempty"`
	AgentVerifyCA string `json:"agent_verify_ca,omitempty"` // PEM certificate of the agent's server
	// AgentStatus and AgentStatusMessage are for one-way agents ("start", "end", "error"; microversion 1.72).
	AgentStatus        string `json:"agent_status,omitempty"`
	AgentStatusMessage string `json:"agent_status_message,omitempty"`
	// Ferric is sent only to a conductor whose lookup answer carried config.ferric.
	Ferric *Extension `json:"ferric,omitempty"`
}

// Status is the answer of GET /v1/status. It needs no token.
type Status struct {
	StartedAt float64    `json:"started_at"` // seconds since 1970
	Version   string     `json:"version"`
	Ferric    *Extension `json:"ferric,omitempty"`
}

// Extension is Ferric's part of a heartbeat, of /v1/status and of a running command's result.
type Extension struct {
	Epoch     int64     `json:"epoch,omitempty"`      // the newest fencing epoch seen
	CommandID string    `json:"command_id,omitempty"` // the command that runs, or the last one
	Command   string    `json:"command,omitempty"`    // "standby.prepare_image"
	Running   bool      `json:"running"`
	Progress  *Progress `json:"progress,omitempty"`
}

// Progress says how far a long command is.
type Progress struct {
	Phase   string `json:"phase"` // "write image", "erase /dev/sda" …
	Done    int64  `json:"done"`  // bytes
	Total   int64  `json:"total"` // bytes; 0 when unknown
	Message string `json:"message,omitempty"`
}

// Percent returns Done in percent of Total, or -1 when Total is unknown.
func (p Progress) Percent() int {
	if p.Total <= 0 {
		return -1
	}
	if p.Done >= p.Total {
		return 100
	}
	return int(float64(p.Done) / float64(p.Total) * 100)
}
