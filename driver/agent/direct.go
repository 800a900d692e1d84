package agent

import (
	"context"
	"fmt"
	"strings"
	"time"

	"ferric"
	"ferric/agentapi"
	"ferric/driver"
	"ferric/flow"
)

// Images brings user images to machines.
type Images interface {
	// Publish makes an image available to the machine's agent, verified, and says where it is. It may be repeated, and then is quick. The
	// answer's URL stays good, over restarts too, until Withdraw. CodeCorrupt, CodeNoSpace, CodeNotFound, CodeUnavailable.
	Publish(ctx context.Context, nodeUUID string, r ImageRequest) (agentapi.ImageInfo, error)
	// Withdraw takes the node's images away.
	Withdraw(ctx context.Context, nodeUUID string) error
}

// ImageRequest is what a node says of its image, in instance_info.
type ImageRequest struct {
	Source         string // image_source: http, https or file URL, or an image in Glance
	DiskFormat     string // image_disk_format
	Checksum       string // image_checksum
	OSHashAlgo     string // image_os_hash_algo
	OSHashValue    string // image_os_hash_value
	DownloadSource string // image_download_source: local (through Ferric's cache) or http (the agent fetches it itself); "" as configured
}

// ConfigDrives hands out the config drive that was made for a node's deploy.
type ConfigDrives interface {
	// ConfigDrive returns base64 of the gzipped image. CodeNotFound if the node has none.
	ConfigDrive(ctx context.Context, node string) ([]byte, error)
}

// Direct is the deploy interface "direct".
type Direct struct {
	Images       Images
	Glance       Glance // nil without OpenStack
	ConfigDrives ConfigDrives
	Poll         time.Duration // how often a running command is asked after
	Lost         time.Duration // how long the agent may be out of reach
	PowerTimeout time.Duration
	BootMode     string // of nodes for which nothing else says it: bios or uefi
}

// Properties implements driver.Interface.
func (d *Direct) Properties() map[string]string {
	return map[string]string{
		"deploy_kernel":  "UUID (from Glance), URL or path of the deploy ramdisk's kernel. Optional: the configured one otherwise.",
		"deploy_ramdisk": "UUID (from Glance), URL or path of the deploy ramdisk's initramfs. Optional: the configured one otherwise.",
	}
}

// Request reads the node's image from its instance_info.
func Request(n *ferric.Node) ImageRequest {
	text := func(key string) string {
		s, _ := n.InstanceInfo[key].(string)
		return strings.TrimSpace(s)
	}
	r := ImageRequest{Source: text("image_source"), DiskFormat: text("image_disk_format"), Checksum: text("image_checksum"),
		OSHashAlgo: text("image_os_hash_algo"), OSHashValue: text("image_os_hash_value"), DownloadSource: text("image_download_source")}
	if r.DownloadSource == "" {
		r.DownloadSource, _ = n.DriverInfo["image_download_source"].(string)
	}
	return r
}

// Validate implements driver.Interface: the image and the root device hints.
func (d *Direct) Validate(_ context.Context, m *driver.Machine) error {
	r := Request(m.Node)
	if r.Source == "" && m.BootVolume() != nil { // it has its system already, nothing is written
		return nil
	}
	if r.Source == "" {
		return ferric.Errorf(ferric.CodeInvalid, "instance_info: image_source is missing: set it to the URL of the image (http://, https:// or file://), or to its UUID in Glance")
	}
	scheme, _, ok := strings.Cut(r.Source, "://")
	id, glance := ferric.GlanceImage(r.Source)
	if glance && d.Glance == nil {
		return withoutGlance(id)
	}
	if !glance && scheme == "glance" {
		return ferric.Errorf(ferric.CodeInvalid, "instance_info: image_source %q is not glance:// with the UUID of an image", r.Source)
	}
	if glance { // its checksum is Glance's; ResolveImage asks for it
		r.Checksum, r.OSHashAlgo, r.OSHashValue = "", "", ""
	} else if !ok || scheme != "http" && scheme != "https" && scheme != "file" {
		return ferric.Errorf(ferric.CodeInvalid, "instance_info: image_source %q is not an http://, https:// or file:// URL, nor an image in Glance", r.Source)
	}
	if r.Checksum == "" && r.OSHashValue == "" && scheme != "file" && !glance {
		return ferric.Errorf(ferric.CodeInvalid, "instance_info: image_checksum or image_os_hash_algo and image_os_hash_value is missing: "+
			"an image from the network must be verified")
	}
	if (r.OSHashAlgo == "") != (r.OSHashValue == "") {
		return ferric.Errorf(ferric.CodeInvalid, "instance_info: image_os_hash_algo and image_os_hash_value belong together")
	}
	switch r.DownloadSource {
	case "", "local", "http":
	default:
		return ferric.Errorf(ferric.CodeInvalid, "image_download_source: %q is not local or http", r.DownloadSource)
	}
	if t, ok := m.Node.InstanceInfo["image_type"]; ok && t != "whole-disk" && t != "whole-disk-image" {
		return ferric.Errorf(ferric.CodeUnsupported, "instance_info: image_type %v is not supported; whole-disk images are", t)
	}
	for where, fields := range map[string]map[string]any{"properties": m.Node.Properties, "instance_info": m.Node.InstanceInfo} {
		if err := checkHints(fields["root_device"]); err != nil {
			return ferric.Errorf(ferric.CodeInvalid, "%s: root_device: %w", where, err)
		}
	}
	return nil
}

// checkHints checks root device hints; nil is none.
func checkHints(v any) error {
	hints, ok := v.(map[string]any)
	if !ok && v != nil {
		return ferric.Errorf(ferric.CodeInvalid, "must be an object of hints, such as {\"serial\": \"…\"}")
	}
	_, err := agentapi.ParseHints(hints)
	return err
}

// UsesRamdisk implements driver.Deploy.
func (d *Direct) UsesRamdisk(*driver.Machine) bool { return true }

// Prepare implements driver.Deploy: the image is fetched and verified before the machine is touched.
func (d *Direct) Prepare(ctx context.Context, t *driver.Task) error {
	if !t.Set.Storage().WritesImage(t.Machine) {
		return nil
	}
	_, err := d.publish(ctx, t.Node)
	return err
}

// publish makes the node's image available to its agent. An image in Glance must be the one that the deploy was accepted with: then it was looked
// up, and whether it may be used.
func (d *Direct) publish(ctx context.Context, n *ferric.Node) (agentapi.ImageInfo, error) {
	r := Request(n)
	if id, ok := ferric.GlanceImage(r.Source); ok {
		if was, _ := accepted(n); was != id {
			return agentapi.ImageInfo{}, ferric.Errorf(ferric.CodeInvalid, "instance_info: image_source was changed to image %s after the deploy was asked for; ask for it again", id)
		}
		r.Source = "glance://" + id
	}
	return d.Images.Publish(ctx, n.UUID, r)
}

// CleanUp implements driver.Deploy.
func (d *Direct) CleanUp(ctx context.Context, t *driver.Task) error {
	return d.Images.Withdraw(ctx, t.Node.UUID)
}

// Steps implements driver.Stepper.
func (d *Direct) Steps(_ *driver.Machine, phase driver.Phase) []driver.Step {
	if phase != driver.DeployPhase {
		return nil
	}
	step := func(name string, priority int, run driver.StepFunc) driver.Step {
		return driver.Step{Name: name, Phase: driver.DeployPhase, Priority: priority, Repeat: flow.Safe, Run: run}
	}
	return []driver.Step{
		step("write_image", 80, d.writeImage),
		step("prepare_instance_boot", 60, d.prepareInstanceBoot),
		step("tear_down_agent", 40, d.tearDownAgent),
		step("switch_to_tenant_network", 30, d.switchToTenantNetwork),
		step("boot_instance", 20, d.bootInstance),
	}
}

// writeImage lets the agent write the image and the config drive. The command's id belongs to this step, so a conductor that comes back
// finds the writing under way, or done, and does not begin it again.
func (d *Direct) writeImage(ctx context.Context, t *driver.Task) (flow.Outcome, error) {
	if !t.Set.Storage().WritesImage(t.Machine) {
		return flow.Done("the storage interface says that no image is to be written"), nil
	}
	info, err := d.publish(ctx, t.Node)
	if err != nil {
		return flow.Outcome{}, err
	}
	info.NodeUUID, info.ImageType, info.StreamRawImages = t.Node.UUID, "whole-disk", true
	drive, err := d.ConfigDrives.ConfigDrive(ctx, t.Node.UUID)
	if err != nil && !ferric.IsCode(err, ferric.CodeNotFound) {
		return flow.Outcome{}, err
	}
	// The agent's own deploy step is asked for, and not standby.prepare_image: it knows the node, and with it the root device hints.
	step := agentapi.WriteImageStep(info, string(drive))
	step.Priority = 80
	return driver.FollowCommand(ctx, t, driver.Command{Name: agentapi.CmdExecuteDeployStep, Poll: d.Poll, Lost: d.Lost,
		Params: map[string]any{"step": step, "node": nodeForAgent(t.Node), "ports": []any{}}})
}

// nodeForAgent is the little that the write step needs to know.
func nodeForAgent(n *ferric.Node) map[string]any {
	return map[string]any{"uuid": n.UUID, "properties": n.Properties, "instance_info": map[string]any{"root_device": n.InstanceInfo["root_device"]},
		"driver_internal_info": map[string]any{}}
}

// prepareInstanceBoot makes the disk bootable and the machine boot from it.
func (d *Direct) prepareInstanceBoot(ctx context.Context, t *driver.Task) (flow.Outcome, error) {
	if t.Set.Storage().WritesImage(t.Machine) {
		cmd := agentapi.InstallBootloader("", "", d.bootMode(t.Node))
		out, err := driver.FollowCommand(ctx, t, driver.Command{Name: cmd.Name, Params: cmd.Params, Poll: d.Poll, Lost: d.Lost})
		if err != nil || !out.IsDone() {
			return out, err
		}
	}
	if err := t.Set.Boot().PrepareInstance(ctx, t); err != nil {
		return flow.Outcome{}, ferric.Errorf(ferric.ErrorCode(err), "prepare the instance's boot: %w", err)
	}
	return flow.Done(nil), nil
}

// bootMode is the mode that the node is known, or asked, to boot in.
func (d *Direct) bootMode(n *ferric.Node) string {
	if n.BootMode != "" {
		return n.BootMode
	}
	caps, _ := n.Properties["capabilities"].(string)
	if strings.Contains(caps, "boot_mode:uefi") {
		return ferric.BootModeUEFI
	}
	if strings.Contains(caps, "boot_mode:bios") {
		return ferric.BootModeBIOS
	}
	return d.BootMode
}

// tearDown is the checkpoint of tearDownAgent.
type tearDown struct {
	Synced bool `json:"synced"`
}

// tearDownAgent ends the ramdisk: caches to disk, power off, boot configuration and network away.
func (d *Direct) tearDownAgent(ctx context.Context, t *driver.Task) (flow.Outcome, error) {
	var at tearDown
	if err := t.Flow.Load(&at); err != nil {
		return flow.Outcome{}, err
	}
	if !at.Synced && t.Set.Storage().WritesImage(t.Machine) { // otherwise there is no agent
		out, err := driver.FollowCommand(ctx, t, driver.Command{Name: agentapi.CmdSync, Params: map[string]any{}, Poll: d.Poll, Lost: d.Lost})
		if err != nil || !out.IsDone() {
			return out, err
		}
		at.Synced = true
		if err := t.Flow.Save(ctx, at); err != nil {
			return flow.Outcome{}, err
		}
	}
	off := !t.Node.DisablePowerOff // otherwise the ramdisk runs until the reboot
	if off {
		if err := t.Set.Power().SetPowerState(ctx, t.Machine, ferric.PowerOff, d.PowerTimeout); err != nil {
			return flow.Outcome{}, ferric.Errorf(ferric.ErrorCode(err), "power off after the image was written: %w", err)
		}
	}
	if err := t.Agent.End(ctx); err != nil {
		return flow.Outcome{}, err
	}
	if err := d.Images.Withdraw(ctx, t.Node.UUID); err != nil {
		return flow.Outcome{}, err
	}
	return flow.Done(nil), t.Mutate(ctx, func(n *ferric.Node) error {
		if off {
			n.PowerState = ferric.PowerOff
		}
		return nil
	})
}

func (d *Direct) switchToTenantNetwork(ctx context.Context, t *driver.Task) (flow.Outcome, error) {
	if err := t.Set.Network().Disconnect(ctx, t, driver.ForProvisioning); err != nil {
		return flow.Outcome{}, ferric.Errorf(ferric.ErrorCode(err), "leave the provisioning network: %w", err)
	}
	if err := t.Set.Network().Connect(ctx, t, driver.ForTenant); err != nil {
		return flow.Outcome{}, ferric.Errorf(ferric.ErrorCode(err), "connect the tenant network: %w", err)
	}
	return flow.Done(nil), nil
}

func (d *Direct) bootInstance(ctx context.Context, t *driver.Task) (flow.Outcome, error) {
	start := ferric.PowerOn
	if t.Node.DisablePowerOff { // the ramdisk still runs
		start = ferric.Reboot
	}
	if err := t.Set.Power().SetPowerState(ctx, t.Machine, start, d.PowerTimeout); err != nil {
		return flow.Outcome{}, ferric.Errorf(ferric.ErrorCode(err), "power on the deployed machine: %w", err)
	}
	return flow.Done(nil), t.Mutate(ctx, func(n *ferric.Node) error {
		n.PowerState = ferric.PowerOn
		if n.InternalInfo == nil {
			n.InternalInfo = map[string]any{}
		}
		if !t.Set.Storage().WritesImage(t.Machine) {
			n.InternalInfo["deployment_type"] = "direct, boot from volume"
			return nil
		}
		n.InternalInfo["is_whole_disk_image"] = true
		n.InternalInfo["deployment_type"] = fmt.Sprintf("direct, %s", Request(n).Source)
		return nil
	})
}
