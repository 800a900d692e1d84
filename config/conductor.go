package config

import "time"

// Conductor is the section [conductor].
type Conductor struct {
	ConductorGroup                string        `toml:"conductor_group" check:"group" flag:"conductor-group" help:"Group of this conductor. It works on the nodes of the same group only."`
	WorkersPoolSize               int           `toml:"workers_pool_size" default:"100" min:"3" max:"10000" help:"Most operations at the same time. Further requests are answered with 503."`
	ReservedWorkersPoolPercentage int           `toml:"reserved_workers_pool_percentage" default:"5" min:"0" max:"50" help:"Part of the workers, in percent, that is kept for requests of the API and for heartbeats; periodic work cannot take it."`
	LeaseDuration                 time.Duration `toml:"lease_duration" default:"30s" min:"3s" max:"10m" help:"How long a conductor holds a node without renewing. After its death another one can go on this much later."`
	HeartbeatInterval             time.Duration `toml:"heartbeat_interval" default:"10s" min:"1s" max:"10m" help:"Time between a conductor's entries in the database that it is alive."`
	HeartbeatTimeout              time.Duration `toml:"heartbeat_timeout" default:"60s" min:"2s" max:"1h" help:"Age of the last entry after which a conductor counts as down in the API."`

	SyncPowerStateInterval    time.Duration `toml:"sync_power_state_interval" default:"5s" min:"0s" max:"24h" help:"Time between two looks at the power state of every node. 0s: never."`
	SyncPowerStateWorkers     int           `toml:"sync_power_state_workers" default:"256" min:"1" max:"10000" help:"Machines that are asked for their power state at the same time. Those that take longer than 0.1 s make room for others; in all, up to 16 times as many are waited for."`
	ForcePowerStateDuringSync bool          `toml:"force_power_state_during_sync" default:"true" help:"Whether a machine that is on or off against the record is set to the recorded state; else the record is corrected."`
	PowerStateSyncMaxRetries  int           `toml:"power_state_sync_max_retries" default:"3" min:"0" max:"1000" help:"Failed looks in a row after which a node goes into maintenance with the fault power failure."`
	PowerStateChangeTimeout   time.Duration `toml:"power_state_change_timeout" default:"60s" min:"2s" max:"1h" help:"How long a change of the power state may take."`
	SoftPowerOffTimeout       time.Duration `toml:"soft_power_off_timeout" default:"600s" min:"1s" max:"24h" help:"How long a machine may take to shut down by itself."`

	DeployCallbackTimeout       time.Duration `toml:"deploy_callback_timeout" default:"1800s" min:"0s" max:"168h" help:"Silence of the agent after which a deployment fails. 0s: never."`
	CleanCallbackTimeout        time.Duration `toml:"clean_callback_timeout" default:"1800s" min:"0s" max:"168h" help:"The same for cleaning."`
	RescueCallbackTimeout       time.Duration `toml:"rescue_callback_timeout" default:"1800s" min:"0s" max:"168h" help:"The same for rescue."`
	ServiceCallbackTimeout      time.Duration `toml:"service_callback_timeout" default:"1800s" min:"0s" max:"168h" help:"The same for servicing."`
	InspectWaitTimeout          time.Duration `toml:"inspect_wait_timeout" default:"1800s" min:"0s" max:"168h" help:"The same for inspection."`
	CheckProvisionStateInterval time.Duration `toml:"check_provision_state_interval" default:"60s" min:"1s" max:"24h" help:"Time between two searches for operations whose agent is silent."`
	StuckAfter                  time.Duration `toml:"stuck_after" default:"1h" min:"1m" max:"720h" help:"Time without progress after which an operation that nobody waits for counts as stuck, which is logged and counted."`

	AutomatedClean              bool              `toml:"automated_clean" default:"true" help:"Whether machines are cleaned on the way to available. A node's own automated_clean wins."`
	CleanStepPriorityOverride   map[string]string `toml:"clean_step_priority_override" check:"priority" help:"Priorities of clean steps in automated cleaning, by interface.step, for example { \"deploy.erase_devices\" = \"10\" }. 0 leaves a step out."`
	VerifyStepPriorityOverride  map[string]string `toml:"verify_step_priority_override" check:"priority" help:"The same for verify steps."`
	PowerOffInCleanFail         bool              `toml:"poweroff_in_cleanfail" default:"false" help:"Whether a machine is switched off when its cleaning failed, although it was cleaned without the ramdisk. With it, it is always."`
	PowerOffInServiceFail       bool              `toml:"poweroff_in_servicefail" default:"false" help:"Whether a machine is switched off when a service step failed; else it stays as it is, for people to look at."`
	MaxConductorWaitStepSeconds int               `toml:"max_conductor_wait_step_seconds" default:"30" min:"0" max:"1800" help:"Most seconds that the step wait may ask for; more are cut to it."`
	RescuePasswordHashAlgorithm string            `toml:"rescue_password_hash_algorithm" default:"sha256" values:"sha256|sha512" help:"How rescue passwords are hashed before they are kept and sent to the agent."`
	AllowProvisioningInMaint    bool              `toml:"allow_provisioning_in_maintenance" default:"true" help:"Whether nodes in maintenance may be cleaned and made available. They are never deployed."`
	AllowDeletingAvailableNodes bool              `toml:"allow_deleting_available_nodes" default:"true" help:"Whether nodes in the state available may be deleted."`
	MaxConcurrentDeploy         int               `toml:"max_concurrent_deploy" default:"250" min:"1" max:"100000" help:"Most nodes in deployment at the same time, over all conductors."`
	MaxConcurrentClean          int               `toml:"max_concurrent_clean" default:"50" min:"1" max:"100000" help:"Most nodes in cleaning at the same time, over all conductors."`
	NodeLockedRetryAttempts     int               `toml:"node_locked_retry_attempts" default:"3" min:"0" max:"1000" help:"How often a request tries again to take a node that is locked."`
	NodeLockedRetryInterval     time.Duration     `toml:"node_locked_retry_interval" default:"1s" min:"10ms" max:"1m" help:"Time between these tries."`
	NodeHistoryMaxEntries       int               `toml:"node_history_max_entries" default:"300" min:"0" max:"1000000" help:"Entries of its history that are kept per node; older ones are removed. 0: all."`

	AutomaticLesseeSource string `toml:"automatic_lessee_source" default:"instance" values:"instance|request|none" help:"Project that a deployed node gets as its lessee, unless it has one: that of instance_info/project_id, that of the request, or none. It leaves with the instance."`
}

func (c *Conductor) contradictions(report reporter) {
	if c.HeartbeatTimeout < 2*c.HeartbeatInterval {
		report("conductor.heartbeat_timeout", "must be at least twice conductor.heartbeat_interval, which is "+c.HeartbeatInterval.String())
	}
}

// Deploy is the section [deploy].
type Deploy struct {
	DefaultBootMode              string        `toml:"default_boot_mode" default:"uefi" values:"uefi|bios" help:"Boot mode of machines for which nothing else says it."`
	BootRetryTimeout             time.Duration `toml:"boot_retry_timeout" default:"10m" min:"0s" max:"24h" help:"How long a machine may take until the agent of its ramdisk looks it up; then it is started again, until the call-back timeout is over. 0s: it is never started again."`
	AgentRestarts                int           `toml:"agent_restarts" default:"2" min:"0" max:"100" help:"How often in one operation a machine is started anew that loses its power, or whose agent is silent for five minutes, in the middle of a step. The step is then repeated, if that can do no harm: image writing and erasing are, a firmware update is not and fails. 0: such operations fail."`
	FastTrack                    bool          `toml:"fast_track" default:"false" help:"Whether machines stay in the deploy ramdisk, powered on, after inspection and cleaning, so that the next cleaning or deployment begins without a boot. A node's own driver_info/fast_track wins."`
	FastTrackTimeout             time.Duration `toml:"fast_track_timeout" default:"300s" min:"0s" max:"300s" help:"Age of the agent's last heartbeat up to which a machine in the ramdisk is not booted again."`
	EraseDevicesPriority         *int          `toml:"erase_devices_priority" min:"0" max:"1000" help:"Priority of the clean step erase_devices, which erases whole disks and can take hours. 0 switches it off in automated cleaning. Unset: off."`
	EraseDevicesMetadataPriority *int          `toml:"erase_devices_metadata_priority" min:"0" max:"1000" help:"Priority of the clean step erase_devices_metadata, which erases partition tables and signatures. 0 switches it off in automated cleaning. Unset: what the agent says."`
	EnableATASecureErase         bool          `toml:"enable_ata_secure_erase" default:"true" help:"Whether erase_devices uses the disk's own ATA secure erase where it has one."`
	EnableNVMeSecureErase        bool          `toml:"enable_nvme_secure_erase" default:"true" help:"Whether erase_devices uses NVMe format with secure erase where the disk has it."`
	ContinueIfSecureEraseFails   bool          `toml:"continue_if_disk_secure_erase_fails" default:"false" help:"Whether erase_devices overwrites a disk whose secure erase failed; else cleaning fails."`
	ShredRandomOverwrites        int           `toml:"shred_random_overwrite_iterations" default:"1" min:"0" max:"100" help:"How often erase_devices overwrites a disk with random data."`
	ShredFinalOverwriteWithZeros bool          `toml:"shred_final_overwrite_with_zeros" default:"true" help:"Whether zeros are written last."`
	DiskErasureConcurrency       int           `toml:"disk_erasure_concurrency" default:"4" min:"1" max:"1000" help:"Disks of one machine that are erased at the same time."`
	PowerOffAfterDeployFailure   bool          `toml:"power_off_after_deploy_failure" default:"true" help:"Whether a machine is switched off when its deployment failed."`
}
