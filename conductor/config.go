package conductor

import (
	"time"

	"ferric"
	"ferric/agentapi/shacrypt"
	"ferric/driver"
	"ferric/inspection"
)

// Config is a conductor's settings. Package config documents the keys; durations are positive unless their comment says otherwise.
type Config struct {
	Host   string // unique among the conductors
	Group  string // the conductor group that it serves
	BootID string // new at every start

	Workers           int
	ReservedWorkers   int
	LeaseTTL          time.Duration
	Drain             time.Duration // how long steps may go on when the conductor is told to stop; 0: not at all
	HeartbeatInterval time.Duration
	HeartbeatTimeout  time.Duration

	PowerSyncInterval   time.Duration // 0: no power sync
	PowerSyncWorkers    int
	PowerSyncMaxRetries int
	ForcePowerState     bool // bring a machine back to the recorded state instead of recording what it is
	PowerTimeout        time.Duration
	SoftPowerTimeout    time.Duration

	DeployCallbackTimeout  time.Duration // 0: for ever, as the four below
	CleanCallbackTimeout   time.Duration
	InspectCallbackTimeout time.Duration
	RescueCallbackTimeout  time.Duration
	ServiceCallbackTimeout time.Duration
	BootRetryTimeout       time.Duration // how long a machine may take to boot the ramdisk before it is started again; 0: as long as it likes
	AgentTimeout           time.Duration // how long a known agent may be out of reach during a command
	AgentRestarts          int           // how often in an operation a machine is started anew whose agent is gone in the middle of a step
	AgentPoll              time.Duration // how often a running command is asked after
	StuckInterval          time.Duration
	StuckAfter             time.Duration
	ConsoleInterval        time.Duration // how often consoles are looked for that are not where they belong; 0: never

	AutomatedClean        bool
	CleanRunbooks         CleanRunbooks
	CleanInMaintenance    bool          // nodes in maintenance may be cleaned and provided
	DeleteAvailable       bool          // available nodes may be deleted
	LockWait              time.Duration // how long a call waits for a node that somebody else works on
	MaxConcurrentDeploy   int           // 0: no limit
	MaxConcurrentClean    int
	FastTrack             bool          // machines stay in the ramdisk between inspection, cleaning and deploy; a node's driver_info/fast_track wins
	FastTrackTimeout      time.Duration // age of the agent's last call after which it is not relied upon
	PowerOffAfterFail     bool          // power a machine off after a failed deploy
	PowerOffInCleanFail   bool          // the same for a failed cleaning that did not do so
	PowerOffInServiceFail bool
	MaxWaitStep           time.Duration // longest wait that a step may ask for

	// AutomaticLesseeSource says where a deployed node's lessee comes from: LesseeFromInstance, LesseeFromRequest, LesseeFromNobody ("" is that, too).
	AutomaticLesseeSource string

	// CleanPriorities overrides the priorities of clean steps, "interface.step" → priority; 0 leaves a step out.
	CleanPriorities map[string]int
	// VerifyPriorities does so for verify steps.
	VerifyPriorities map[string]int
	// DisallowedSteps are steps, "interface.step", that never run in a phase, and may not be asked for.
	DisallowedSteps map[driver.Phase][]string

	// EraseSettings are told to agents with the node, in driver_internal_info: how to erase.
	EraseSettings map[string]any

	DeployKernel  string // the ramdisk of nodes that name none
	DeployRamdisk string
	// KernelByArch and RamdiskByArch win over them for nodes with the properties/cpu_arch.
	KernelByArch, RamdiskByArch             map[string]string
	RescueKernel, RescueRamdisk             string // "": the deploy ramdisk
	RescueKernelByArch, RescueRamdiskByArch map[string]string
	RescueHash                              shacrypt.Algorithm // of rescue passwords; "" is SHA256
	RamdiskAPIURL                           string             // where agents reach the API
	RamdiskParams                           map[string]string

	AgentHeartbeatTimeout time.Duration // told to the agents
	AgentRequireTLS       bool
	AgentRequestTimeout   time.Duration // one request to an agent
	LogsDir               string        // where ramdisk logs are kept
	CollectLogs           string        // always, on_failure, never
	LogsKeep              time.Duration // age at which they are removed; 0: never

	// Notices says that other programs are told of power changes and consoles, which takes writes that nobody else needs.
	Notices bool

	HistoryPerNode int
	Inspection     Inspection
}

// Inspection is what is done with what a machine says of itself.
type Inspection struct {
	inspection.Settings
	PowerOff   bool              // machines are powered off afterwards
	Keep       bool              // inventory and plugin data are kept for the API
	Collectors []string          // of the agent, besides those that the hooks need
	Params     map[string]string // kernel parameters of the ramdisk
	RulesFile  string            // YAML file with built-in rules, read at every inspection; "": none
	MaskRules  string            // whether passwords are masked for rules: always, never, sensitive
}

// Validate checks what the conductor cannot work without.
func (c *Config) Validate() error {
	if c.Host == "" {
		return ferric.Errorf(ferric.CodeInvalid, "host: the conductor needs a name; set host in the configuration")
	}
	for name, d := range map[string]time.Duration{"lease": c.LeaseTTL, "heartbeat_interval": c.HeartbeatInterval,
		"heartbeat_timeout": c.HeartbeatTimeout, "agent_timeout": c.AgentTimeout, "agent_poll": c.AgentPoll, "power_timeout": c.PowerTimeout} {
		if d <= 0 {
			return ferric.Errorf(ferric.CodeInvalid, "conductor %s: must be longer than 0, is %s", name, d)
		}
	}
	if c.PowerSyncInterval > 0 && c.PowerSyncWorkers <= 0 {
		return ferric.Errorf(ferric.CodeInvalid, "conductor power_sync_workers: must be more than 0 while power states are synchronised, is %d", c.PowerSyncWorkers)
	}
	return nil
}
