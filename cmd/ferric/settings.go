package main

import (
	"maps"
	"os"
	"strconv"
	"time"

	"ferric"
	"ferric/agentapi/shacrypt"
	"ferric/conductor"
	"ferric/config"
	"ferric/driver"
	"ferric/inspection"
)

// inspectionConfig is what inspections go by.
func inspectionConfig(cfg *config.Config) (conductor.Inspection, error) {
	i := cfg.Inspection
	conf := conductor.Inspection{PowerOff: i.PowerOff, Keep: i.DataBackend != "none", Collectors: i.Collectors, Params: i.ExtraKernelParams,
		RulesFile: i.BuiltInRules, MaskRules: i.MaskSecrets,
		Settings: inspection.Settings{Hooks: i.EnabledHooks(), AddPorts: i.AddPorts, KeepPorts: i.KeepPorts, UpdatePXEEnabled: i.UpdatePXEEnabled,
			DiskSpacing: i.DiskPartitionSpacing, CPUCapabilities: i.CPUCapabilities, ExtraHardwareStrict: i.ExtraHardwareStrict,
			PCIAliases: i.PCIDeviceAlias, PhysicalNetworks: i.PhysicalNetworkCIDRMap}}
	if i.KnownAccelerators != "" {
		file, err := os.ReadFile(i.KnownAccelerators)
		if err != nil {
			return conf, ferric.Errorf(ferric.CodeInvalid, "inspection.known_accelerators: %w", err)
		}
		conf.Accelerators = append([]byte{}, file...)
	}
	return conf, nil
}

// conductorConfig gives the conductor its part of the configuration.
func conductorConfig(cfg *config.Config) conductor.Config {
	c, d := cfg.Conductor, cfg.Deploy
	conf := conductor.Config{
		Host: cfg.Host, Group: c.ConductorGroup, BootID: newBootID(),
		Workers: c.WorkersPoolSize, ReservedWorkers: max(1, c.WorkersPoolSize*c.ReservedWorkersPoolPercentage/100),
		LeaseTTL: c.LeaseDuration, Drain: c.DrainTimeout, HeartbeatInterval: c.HeartbeatInterval, HeartbeatTimeout: c.HeartbeatTimeout,
		PowerSyncInterval: c.SyncPowerStateInterval, PowerSyncWorkers: c.SyncPowerStateWorkers,
		PowerSyncMaxRetries: c.PowerStateSyncMaxRetries, ForcePowerState: c.ForcePowerStateDuringSync,
		PowerTimeout: c.PowerStateChangeTimeout, SoftPowerTimeout: c.SoftPowerOffTimeout,
		DeployCallbackTimeout: c.DeployCallbackTimeout, CleanCallbackTimeout: c.CleanCallbackTimeout,
		InspectCallbackTimeout: c.InspectWaitTimeout, BootRetryTimeout: d.BootRetryTimeout, AgentTimeout: agentLost, AgentPoll: agentPoll,
		AgentRestarts: d.AgentRestarts, FastTrack: d.FastTrack, FastTrackTimeout: d.FastTrackTimeout,
		AgentRequestTimeout: cfg.Agent.CommandTimeout, StuckInterval: c.CheckProvisionStateInterval, ConsoleInterval: consoleInterval, StuckAfter: c.StuckAfter,
		CleanInMaintenance: c.AllowProvisioningInMaint, DeleteAvailable: c.AllowDeletingAvailableNodes,
		LockWait: time.Duration(c.NodeLockedRetryAttempts) * c.NodeLockedRetryInterval, LogsKeep: cfg.Agent.DeployLogsKeep,
		KernelByArch: cfg.Boot.DeployKernelByArch, RamdiskByArch: cfg.Boot.DeployRamdiskByArch,
		EraseSettings: map[string]any{
			"agent_erase_devices_iterations": d.ShredRandomOverwrites, "agent_erase_devices_zeroize": d.ShredFinalOverwriteWithZeros,
			"agent_continue_if_secure_erase_failed": d.ContinueIfSecureEraseFails, "agent_enable_ata_secure_erase": d.EnableATASecureErase,
			"agent_enable_nvme_secure_erase": d.EnableNVMeSecureErase, "disk_erasure_concurrency": d.DiskErasureConcurrency,
		},
		CleanRunbooks: conductor.CleanRunbooks{Source: c.AutomatedCleaningStepSource, Runbook: c.AutomatedCleaningRunbook,
			ByClass: c.AutomatedCleaningRunbookByResourceClass, FromNode: c.AutomatedCleaningRunbookFromNode,
			ValidateTraits: c.AutomatedCleaningRunbookValidateTraits},
		AutomatedClean: c.AutomatedClean, MaxConcurrentDeploy: c.MaxConcurrentDeploy, MaxConcurrentClean: c.MaxConcurrentClean,
		AutomaticLesseeSource: c.AutomaticLesseeSource,
		PowerOffAfterFail:     d.PowerOffAfterDeployFailure, CleanPriorities: map[string]int{"deploy.erase_devices": 0},
		AgentHeartbeatTimeout: cfg.Agent.HeartbeatTimeout, AgentRequireTLS: cfg.Agent.RequireTLS,
		LogsDir: cfg.Agent.DeployLogsDir, CollectLogs: cfg.Agent.DeployLogsCollect,
		HistoryPerNode: c.NodeHistoryMaxEntries,
	}
	conf.RescueCallbackTimeout, conf.ServiceCallbackTimeout = c.RescueCallbackTimeout, c.ServiceCallbackTimeout
	conf.RescueKernel, conf.RescueKernelByArch = cfg.Boot.RescueKernel, cfg.Boot.RescueKernelByArch
	conf.RescueRamdisk, conf.RescueRamdiskByArch = cfg.Boot.RescueRamdisk, cfg.Boot.RescueRamdiskByArch
	conf.RescueHash = shacrypt.Algorithm(c.RescuePasswordHashAlgorithm)
	conf.PowerOffInCleanFail, conf.PowerOffInServiceFail = c.PowerOffInCleanFail, c.PowerOffInServiceFail
	conf.MaxWaitStep = time.Duration(c.MaxConductorWaitStepSeconds) * time.Second
	conf.DisallowedSteps = map[driver.Phase][]string{driver.CleanPhase: cfg.API.DisallowCleanSteps, driver.DeployPhase: cfg.API.DisallowDeploySteps,
		driver.ServicePhase: cfg.API.DisallowServiceSteps}
	conf.VerifyPriorities = priorities(c.VerifyStepPriorityOverride)
	if d.EraseDevicesPriority != nil {
		conf.CleanPriorities["deploy.erase_devices"] = *d.EraseDevicesPriority
	}
	if d.EraseDevicesMetadataPriority != nil {
		conf.CleanPriorities["deploy.erase_devices_metadata"] = *d.EraseDevicesMetadataPriority
	}
	maps.Copy(conf.CleanPriorities, priorities(c.CleanStepPriorityOverride))
	return conf
}

// priorities reads priorities of steps, which package config has checked.
func priorities(text map[string]string) map[string]int {
	out := map[string]int{}
	for step, value := range text {
		if n, err := strconv.Atoi(value); err == nil {
			out[step] = n
		}
	}
	return out
}

// consoleInterval is how soon a console comes back that ran on a conductor that is gone.
const consoleInterval = 30 * time.Second
