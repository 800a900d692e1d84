package ipmi

import (
	"context"
	"encoding/json"
	"slices"
	"strings"

	"ferric"
	"ferric/driver"
)

// Management is the management interface "ipmitool".
type Management struct {
	Pool            *Pool
	DefaultBootMode string // of nodes that do not say; default ferric.BootModeUEFI, as in Ironic
}

var (
	_ driver.Management   = (*Management)(nil)
	_ driver.NMIInjector  = (*Management)(nil)
	_ driver.SensorReader = (*Management)(nil)
	_ driver.BootModer    = (*Management)(nil)
)

// Properties implements driver.Interface.
func (*Management) Properties() map[string]string { return properties() }

// Validate implements driver.Interface.
func (*Management) Validate(_ context.Context, m *driver.Machine) error { return validate(m) }

// SupportedBootDevices implements driver.Management.
func (*Management) SupportedBootDevices(*driver.Machine) []ferric.BootDevice { return BootDevices() }

// BootDevice implements driver.Management. As in Ironic it reports the device that was set last, also where the
// BMC says that it has been used up.
func (g *Management) BootDevice(ctx context.Context, m *driver.Machine) (driver.BootDeviceSetting, error) {
	b, err := bmcOf(g.Pool, m)
	if err != nil {
		return driver.BootDeviceSetting{}, err
	}
	if b.info.ForceBootDevice {
		boot, ok, err := g.Pool.forcedFor(ctx, m.Node)
		if err != nil {
			return driver.BootDeviceSetting{}, err
		}
		if ok {
			persistent := true
			return driver.BootDeviceSetting{Device: boot.Device, Persistent: &persistent}, nil
		}
	}
	boot, err := b.Boot(ctx)
	if err != nil {
		return driver.BootDeviceSetting{}, err
	}
	if boot.Selector == SelectorRemotePrimary && supermicro(m.Node) {
		boot.Device = ferric.BootDisk
	}
	return driver.BootDeviceSetting{Device: boot.Device, Persistent: &boot.Persistent}, nil
}

// SetBootDevice implements driver.Management. The flag for UEFI follows the node's boot mode.
func (g *Management) SetBootDevice(ctx context.Context, m *driver.Machine, d ferric.BootDevice, persistent bool) error {
	if _, ok := bootSelectors[d]; !ok {
		return ferric.Errorf(ferric.CodeInvalid, "set boot device: %q is not one of %q", d, BootDevices())
	}
	b, err := bmcOf(g.Pool, m)
	if err != nil {
		return err
	}
	boot := Boot{Device: d, Persistent: persistent, UEFI: g.bootMode(m.Node) == ferric.BootModeUEFI}
	if d == ferric.BootDisk && boot.UEFI && supermicro(m.Node) {
		boot.Selector = SelectorRemotePrimary
	}
	if !b.info.ForceBootDevice {
		return b.SetBoot(ctx, boot)
	}
	boot.Persistent = false // the BMC would not keep it
	if err := b.SetBoot(ctx, boot); err != nil {
		return err
	}
	return g.Pool.force(ctx, m.Node, boot, persistent)
}

// SupportedBootModes implements driver.BootModer.
func (*Management) SupportedBootModes(*driver.Machine) []string {
	return []string{ferric.BootModeBIOS, ferric.BootModeUEFI}
}

// BootMode implements driver.BootModer: IPMI does not tell which mode a machine is in, only which one was asked for last.
func (*Management) BootMode(context.Context, *driver.Machine) (string, error) { return "", nil }

// SetBootMode implements driver.BootModer: the mode is a flag of the boot options, which also goes with each boot device that is set. Without a
// boot device it holds for all boots; the device stays the firmware's choice.
func (g *Management) SetBootMode(ctx context.Context, m *driver.Machine, mode string) error {
	if !slices.Contains(g.SupportedBootModes(m), mode) {
		return ferric.Errorf(ferric.CodeInvalid, "set boot mode: %q is not one of %q", mode, g.SupportedBootModes(m))
	}
	b, err := bmcOf(g.Pool, m)
	if err != nil {
		return err
	}
	now, err := b.Boot(ctx)
	if err != nil {
		return err
	}
	if now.Selector == 0 {
		now.Persistent = true
	}
	return b.SetBoot(ctx, Boot{Selector: now.Selector, Persistent: now.Persistent, UEFI: mode == ferric.BootModeUEFI})
}

// InjectNMI implements driver.NMIInjector.
func (g *Management) InjectNMI(ctx context.Context, m *driver.Machine) error {
	b, err := bmcOf(g.Pool, m)
	if err != nil {
		return err
	}
	return b.Control(ctx, DiagnosticInterrupt)
}

// Sensors implements driver.SensorReader. It lets other work on the BMC pass.
func (g *Management) Sensors(ctx context.Context, m *driver.Machine) (map[string]map[string]any, error) {
	b, err := bmcOf(g.Pool, m)
	if err != nil {
		return nil, err
	}
	sensors, err := b.Periodic().Sensors(ctx)
	if err != nil {
		return nil, err
	}
	all := map[string]map[string]any{}
	for _, s := range sensors {
		group, id, fields := s.Ironic()
		if all[group] == nil {
			all[group] = map[string]any{}
		}
		values := make(map[string]any, len(fields))
		for k, v := range fields {
			values[k] = v
		}
		all[group][id] = values
	}
	return all, nil
}

// supermicro reports whether the node is one of Supermicro's, whose firmware takes another selector for the disk in
// UEFI mode.
func supermicro(n *ferric.Node) bool {
	vendor, _ := n.Properties["vendor"].(string)
	return strings.EqualFold(vendor, "supermicro")
}

// bootMode is the mode that the machine is to boot in: what the instance asks for, what the node is for, what it
// was seen in, the default.
func (g *Management) bootMode(n *ferric.Node) string {
	instance := capabilities(n.InstanceInfo["capabilities"])
	if strings.EqualFold(instance["secure_boot"], "true") {
		return ferric.BootModeUEFI
	}
	deploy, _ := n.InstanceInfo["deploy_boot_mode"].(string)
	for _, mode := range []string{instance["boot_mode"], deploy, capabilities(n.Properties["capabilities"])["boot_mode"], n.BootMode, g.DefaultBootMode} {
		if mode != "" {
			return strings.ToLower(mode)
		}
	}
	return ferric.BootModeUEFI
}

// capabilities reads "a:b,c:d", or an object, or an object as JSON text.
func capabilities(v any) map[string]string {
	all := map[string]string{}
	switch v := v.(type) {
	case map[string]any:
		for k, value := range v {
			if s, ok := value.(string); ok {
				all[k] = s
			}
		}
	case string:
		var object map[string]any
		if json.Unmarshal([]byte(v), &object) == nil {
			return capabilities(object)
		}
		for pair := range strings.SplitSeq(v, ",") {
			if k, value, ok := strings.Cut(pair, ":"); ok {
				all[strings.TrimSpace(k)] = strings.TrimSpace(value)
			}
		}
	}
	return all
}
