package agent

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"ferric/agent/clean"
	"ferric/agent/command"
	"ferric/agent/deploy"
	"ferric/agent/pid1"
	"ferric/agentapi"
	"ferric/agentapi/shacrypt"
)

// commands is the table of everything that the agent obeys.
func (a *Agent) commands() []command.Spec {
	specs := []command.Spec{
		{Name: agentapi.CmdPrepareImage, Async: true, Params: []string{"image_info", "configdrive"}, Check: checkImage, Run: a.prepareImage(false)},
		{Name: agentapi.CmdCacheImage, Async: true, Params: []string{"image_info", "force", "configdrive"}, Check: checkImage, Run: a.prepareImage(true)},
		{Name: agentapi.CmdRunImage, Async: true, Params: []string{}, Run: func(context.Context, command.Call) (any, error) { return nil, a.power(pid1.Reboot) }},
		{Name: agentapi.CmdPowerOff, Async: true, Params: []string{}, Run: func(context.Context, command.Call) (any, error) { return nil, a.power(pid1.PowerOff) }},
		{Name: agentapi.CmdSync, Params: []string{}, Run: a.sync},
		{Name: agentapi.CmdGetPartitionUUIDs, Params: []string{}, Run: a.partitionUUIDs},
		{Name: agentapi.CmdInstallBootloader, Async: true, Run: a.installBootloader,
			Params: []string{"root_uuid", "efi_system_part_uuid", "prep_boot_part_uuid", "target_boot_mode", "ignore_bootloader_failure"}},
		{Name: agentapi.CmdGetHardwareInfo, Params: []string{}, Run: func(context.Context, command.Call) (any, error) { return a.inventory(), nil }},
		{Name: agentapi.CmdSetNodeInfo, Params: []string{"node_info"}, Check: func(command.Params) error {
			return command.Failf(agentapi.TypeInvalidCommand, "Node lookup data can only be set when the agent is running in standalone mode.")
		}},
		{Name: agentapi.CmdCollectSystemLogs, Params: []string{}, Run: a.collectLogs},
		{Name: agentapi.CmdLockdown, Params: []string{}, Run: func(context.Context, command.Call) (any, error) { return nil, a.finish(lockdown) }},
		{Name: agentapi.CmdFinalizeRescue, Params: []string{"rescue_password", "hashed"}, Run: a.finalizeRescue},
	}
	for _, kind := range []agentapi.StepKind{agentapi.CleanStep, agentapi.DeployStep, agentapi.ServiceStep} {
		specs = append(specs,
			command.Spec{Name: string(kind) + ".get_" + string(kind) + "_steps", Params: []string{"node", "ports"}, Run: a.getSteps(kind)},
			command.Spec{Name: string(kind) + ".execute_" + string(kind) + "_step", Async: true, Check: checkStep(kind), Run: a.executeStep(kind)})
	}
	return specs
}

// finalizeRescue turns the ramdisk into a rescue environment: the agent ends once it has answered, and people may log in.
func (a *Agent) finalizeRescue(_ context.Context, c command.Call) (any, error) {
	var password string
	var hashed bool
	if err := c.Params.Decode("rescue_password", &password); err != nil {
		return nil, err
	}
	if err := c.Params.Decode("hashed", &hashed); err != nil {
		return nil, err
	}
	if strings.TrimSpace(password) == "" {
		return nil, command.Failf(agentapi.TypeInvalidCommandParams, "rescue_password is empty")
	}
	if !hashed {
		hash, err := shacrypt.Hash(password, shacrypt.SHA256)
		if err != nil {
			return nil, command.Failf(agentapi.TypeInvalidCommandParams, "rescue_password: %w", err)
		}
		password = hash
	}
	run, err := a.m.Rescue(password)
	if err != nil {
		return nil, command.Failf(agentapi.TypeCommandExecution, "%w", err)
	}
	a.mu.Lock()
	a.rescue = run
	a.mu.Unlock()
	return nil, a.finish(rescued)
}

func checkImage(p command.Params) error {
	var info agentapi.ImageInfo
	if err := p.Require("image_info", &info); err != nil {
		return err
	}
	return deploy.Check(info)
}

func (a *Agent) prepareImage(only bool) func(context.Context, command.Call) (any, error) {
	return func(ctx context.Context, c command.Call) (any, error) {
		var info agentapi.ImageInfo
		var drive string
		if err := c.Params.Require("image_info", &info); err != nil {
			return nil, err
		}
		if err := c.Params.Decode("configdrive", &drive); err != nil {
			return nil, err
		}
		return a.writeImage(ctx, c, a.freshNode(ctx), nil, info, drive, only)
	}
}

// freshNode is the node of the lookup. One without root device hints is looked up again, since they may have been set
// after the machine was booted.
func (a *Agent) freshNode(ctx context.Context) agentapi.LookupNode {
	a.mu.Lock()
	node := a.node
	a.mu.Unlock()
	if node.InstanceInfo["root_device"] != nil || node.Properties["root_device"] != nil {
		return node
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	res, err := a.client.Lookup(ctx, a.macs(), node.UUID)
	if err != nil {
		a.log.Warn("the node could not be looked up again; root device hints set since then are not known", "err", err)
		return node
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.node = res.Node
	return res.Node
}

func (a *Agent) writeImage(ctx context.Context, c command.Call, node agentapi.LookupNode, raw json.RawMessage, info agentapi.ImageInfo, drive string, only bool) (string, error) {
	if raw == nil {
		b, err := json.Marshal(node)
		if err != nil {
			return "", command.Failf(agentapi.TypeCommandExecution, "%w", err)
		}
		raw = b
	}
	options, err := clean.ParseOptions(raw)
	if err != nil {
		return "", err
	}
	root, err := a.rootDevice(ctx, node, options)
	if err != nil {
		return "", err
	}
	a.mu.Lock()
	settings := deploy.Settings{AllowMD5: a.config.MD5Enabled, Insecure: a.p.Insecure, Permitted: a.config.PermittedImageFormats}
	a.mu.Unlock()
	return a.writer.Write(ctx, deploy.Job{Info: info, ConfigDrive: drive, Disk: root, Settings: settings, Log: c.Log, Progress: c.Progress, Only: only})
}

func (a *Agent) sync(context.Context, command.Call) (any, error) {
	if !a.m.Sync(2 * time.Minute) {
		return nil, command.Failf(agentapi.TypeCommandExecution, "the disks did not take all data within two minutes")
	}
	return nil, nil
}

func (a *Agent) partitionUUIDs(context.Context, command.Call) (any, error) {
	if u := a.writer.UUIDs(); u != nil {
		return u, nil
	}
	return map[string]string{}, nil
}

// installBootloader adds a firmware boot entry on a UEFI machine. A whole-disk image brings its own boot loader, so on a
// BIOS machine there is nothing to do.
func (a *Agent) installBootloader(ctx context.Context, c command.Call) (any, error) {
	mode, ignore := "bios", a.p.IgnoreLoader
	if err := c.Params.Decode("target_boot_mode", &mode); err != nil {
		return nil, err
	}
	if err := c.Params.Decode("ignore_bootloader_failure", &ignore); err != nil {
		return nil, err
	}
	current := a.m.Inventory().Boot.CurrentBootMode
	if mode != current {
		c.Log.Warn("the machine is to boot in another mode than the ramdisk did", "now", current, "then", mode)
	}
	if current != "uefi" {
		return nil, nil
	}
	a.mu.Lock()
	node := a.node
	a.mu.Unlock()
	disk := a.writer.Disk()
	if disk == "" {
		root, err := a.rootDevice(ctx, node, clean.Options{})
		if err != nil {
			return nil, err
		}
		disk = root.Name
	}
	if err := a.m.Loader(ctx, disk); err != nil {
		if ignore {
			c.Log.Warn("no boot entry was made, as was allowed", "err", err)
			return nil, nil
		}
		return nil, command.Failf(agentapi.TypeCommandExecution, "%w", err)
	}
	return nil, nil
}
