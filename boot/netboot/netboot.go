// Package netboot implements the boot interfaces "pxe" and "ipxe" of the driver contract: it publishes what a machine's firmware loads
// over the network and sets the boot device.
//
// # Concurrency
//
// A Boot keeps no state of its own and may be shared by all nodes.
package netboot

import (
	"context"
	"maps"
	"slices"
	"strings"

	"ferric"
	"ferric/boot"
	"ferric/driver"
)

// Publisher keeps the boot configurations; boot.Publisher is one.
type Publisher interface {
	Publish(ctx context.Context, c boot.Config) error
	Unpublish(ctx context.Context, nodeUUID string) error
}

// Files makes kernels and initramfs available to machines.
type Files interface {
	// Share makes the file at source (a path, a file, http or https URL, or an image in Glance) available for the node and returns its path below the
	// site's HTTP address. It may be repeated and survives restarts, until Unshare.
	Share(ctx context.Context, nodeUUID, name, source string) (ref string, err error)
	Unshare(ctx context.Context, nodeUUID string) error
}

// Boot is one of the boot interfaces.
type Boot struct {
	Flavor    boot.Flavor
	Publisher Publisher
	Files     Files
	// Append is added to the kernel command line of nodes that have no kernel_append_params.
	Append string
	// Site and BootMode (bios or uefi, of nodes for which nothing else says it) are what a DHCP server that is not Ferric's own is told. Site is asked for each
	// time: which hosts have boot services changes. It returns CodeUnavailable while none has.
	Site     func(ctx context.Context) (boot.Site, error)
	BootMode string
}

// Properties implements driver.Interface.
func (b *Boot) Properties() map[string]string {
	return map[string]string{
		"deploy_kernel":                "UUID (from Glance), URL or path of the deploy ramdisk's kernel. Optional: the configured one otherwise.",
		"deploy_ramdisk":               "UUID (from Glance), URL or path of the deploy ramdisk's initramfs. Optional: the configured one otherwise.",
		"kernel_append_params":         "Kernel parameters for the ramdisk, in place of those of the configuration; %default% stands for these. Optional.",
		"force_persistent_boot_device": "Whether the disk is set as boot device for good: Default, Always or Never. Optional.",
	}
}

// Validate implements driver.Interface: there must be a port to boot from and the boot services must run here.
func (b *Boot) Validate(_ context.Context, m *driver.Machine) error {
	if b.Publisher == nil {
		return ferric.Errorf(ferric.CodeInvalid, "the boot services are off: name the provisioning interface in the configuration (boot.interface) and start again")
	}
	if len(bootMACs(m)) == 0 {
		return ferric.Errorf(ferric.CodeInvalid, "the node has no port with pxe_enabled: create one with the MAC address that the machine boots from")
	}
	_, err := persistence(m.Node)
	return err
}

func bootMACs(m *driver.Machine) []string {
	var macs []string
	for _, p := range m.Ports {
		if p.PXEEnabled {
			macs = append(macs, p.Address)
		}
	}
	return macs
}

// PrepareRamdisk implements driver.Boot.
func (b *Boot) PrepareRamdisk(ctx context.Context, t *driver.Task, r driver.RamdiskBoot) error {
	if err := b.Validate(ctx, t.Machine); err != nil {
		return err
	}
	if r.Kernel == "" || r.Ramdisk == "" {
		return ferric.Errorf(ferric.CodeInvalid, "no deploy ramdisk is known: set boot.deploy_kernel and boot.deploy_ramdisk in the configuration "+
			"(ferric ramdisk build makes them), or deploy_kernel and deploy_ramdisk in the node's driver_info")
	}
	kernel, err := b.Files.Share(ctx, t.Node.UUID, "kernel", r.Kernel)
	if err != nil {
		return ferric.Errorf(ferric.ErrorCode(err), "deploy_kernel: %w", err)
	}
	initrd, err := b.Files.Share(ctx, t.Node.UUID, "ramdisk", r.Ramdisk)
	if err != nil {
		return ferric.Errorf(ferric.ErrorCode(err), "deploy_ramdisk: %w", err)
	}
	err = b.Publisher.Publish(ctx, boot.Config{NodeUUID: t.Node.UUID, MACs: bootMACs(t.Machine), Flavor: b.Flavor, Mode: boot.ModeRamdisk,
		Kernel: kernel, Initrd: initrd, Cmdline: b.cmdline(t.Node, r.Params)})
	if err != nil {
		return err
	}
	if err := b.tellDHCP(ctx, t); err != nil {
		return err
	}
	return t.Set.Management().SetBootDevice(ctx, t.Machine, ferric.BootPXE, false)
}

// tellDHCP lets a DHCP server other than Ferric's lead the machine to its boot loader.
func (b *Boot) tellDHCP(ctx context.Context, t *driver.Task) error {
	n, ok := t.Set.Get(ferric.KindNetwork).(driver.DHCPProvider)
	if !ok || !n.ServesDHCP(t.Machine) {
		return nil
	}
	site, err := b.Site(ctx)
	if err != nil {
		return err
	}
	return n.SetBootOptions(ctx, t, func(mac string) []driver.DHCPOption { return b.options(t.Node, site, mac) })
}

// cmdline joins the parameters, those of the call sorted by name.
func (b *Boot) cmdline(n *ferric.Node, params map[string]string) string {
	var words []string
	for _, k := range slices.Sorted(maps.Keys(params)) {
		if params[k] == "" {
			words = append(words, k)
		} else {
			words = append(words, k+"="+params[k])
		}
	}
	more := b.Append
	if own, ok := n.DriverInfo["kernel_append_params"].(string); ok {
		more = strings.ReplaceAll(own, "%default%", b.Append)
	}
	return strings.Join(append(words, strings.Fields(more)...), " ")
}

// CleanUpRamdisk implements driver.Boot.
func (b *Boot) CleanUpRamdisk(ctx context.Context, t *driver.Task) error {
	if b.Publisher == nil {
		return nil
	}
	if err := b.Publisher.Unpublish(ctx, t.Node.UUID); err != nil {
		return err
	}
	return b.Files.Unshare(ctx, t.Node.UUID)
}

// PrepareInstance implements driver.Boot: nothing is served any more, and the machine boots from its disk; or it is led to the remote volume that it
// boots from.
func (b *Boot) PrepareInstance(ctx context.Context, t *driver.Task) error {
	if v := b.bootVolume(t); v != nil {
		return b.prepareVolume(ctx, t, v)
	}
	if err := b.CleanUpRamdisk(ctx, t); err != nil {
		return err
	}
	persistent, err := persistence(t.Node)
	if err != nil {
		return err
	}
	return t.Set.Management().SetBootDevice(ctx, t.Machine, ferric.BootDisk, persistent)
}

// persistence reads driver_info/force_persistent_boot_device, which Ironic's operators know.
func persistence(n *ferric.Node) (bool, error) {
	switch v := n.DriverInfo["force_persistent_boot_device"]; v {
	case nil, "", "Default", "Always", true, "true", "True":
		return true, nil
	case "Never", false, "false", "False":
		return false, nil
	default:
		return false, ferric.Errorf(ferric.CodeInvalid, "driver_info: force_persistent_boot_device: %v is not Default, Always or Never", v)
	}
}

// CleanUpInstance implements driver.Boot.
func (b *Boot) CleanUpInstance(ctx context.Context, t *driver.Task) error {
	return b.CleanUpRamdisk(ctx, t)
}
