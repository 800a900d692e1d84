package conductor

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"ferric"
	"ferric/agentapi"

	"github.com/google/uuid"
)

// Hook is one piece of an inspection's processing.
type Hook struct {
	Name string
	Run  func(ctx context.Context, f *Findings) error
}

// allHooks are the hooks that there are, in the order in which they run.
func allHooks() []Hook {
	return []Hook{
		{"ramdisk-error", ramdiskError},
		{"validate-interfaces", validateInterfaces},
		{"ports", enrollPorts},
		{"architecture", architecture},
		{"cpus", cpus},
		{"memory", memory},
		{"root-device", rootDevice},
		{"boot-mode", bootMode},
	}
}

// HookNames returns the names of all hooks.
func HookNames() []string {
	var names []string
	for _, h := range allHooks() {
		names = append(names, h.Name)
	}
	return names
}

// selectHooks returns the hooks with the names, in their fixed order. CodeInvalid for one that does not exist.
func selectHooks(names []string) ([]Hook, error) {
	for _, n := range names {
		if !slices.Contains(HookNames(), n) {
			return nil, ferric.Errorf(ferric.CodeInvalid, "inspection hooks: there is no hook %q; choose from: %s", n, strings.Join(HookNames(), ", "))
		}
	}
	var out []Hook
	for _, h := range allHooks() {
		if slices.Contains(names, h.Name) {
			out = append(out, h)
		}
	}
	return out, nil
}

func ramdiskError(_ context.Context, f *Findings) error {
	if e, ok := f.PluginData["error"]; ok && e != nil && e != "" {
		return ferric.Errorf(ferric.CodeInvalid, "the ramdisk reported: %v", e)
	}
	return nil
}

// validateInterfaces notes which interfaces are real network cards, and which one the machine booted from.
func validateInterfaces(_ context.Context, f *Findings) error {
	valid := map[string]any{}
	for _, i := range f.Inventory.Interfaces {
		if i.MACAddress == "" || i.Name == "lo" {
			continue
		}
		valid[i.Name] = map[string]any{"name": i.Name, "mac_address": strings.ToLower(i.MACAddress), "ipv4_address": string(i.IPv4Address),
			"ipv6_address": string(i.IPv6Address), "has_carrier": i.HasCarrier, "pxe_enabled": f.isBootNIC(i)}
	}
	if len(valid) == 0 {
		return ferric.Errorf(ferric.CodeInvalid, "no network interface with a MAC address was found")
	}
	f.PluginData["valid_interfaces"] = valid
	return nil
}

func (f *Findings) isBootNIC(i agentapi.Interface) bool {
	boot := strings.ToLower(string(f.Inventory.Boot.PXEInterface))
	boot = strings.ReplaceAll(strings.TrimPrefix(boot, "01-"), "-", ":")
	return boot == "" || boot == strings.ToLower(i.MACAddress)
}

// enrollPorts creates the ports that are missing and, as configured, removes those that are not there any more.
func enrollPorts(ctx context.Context, f *Findings) error {
	have := map[string]*ferric.Port{}
	for _, p := range f.Task.Ports {
		have[p.Address] = p
	}
	seen, wanted := map[string]bool{}, map[string]bool{}
	for _, i := range f.Inventory.Interfaces {
		mac := strings.ToLower(i.MACAddress)
		if mac == "" || seen[mac] {
			continue
		}
		boot := f.isBootNIC(i)
		seen[mac], wanted[mac] = true, f.AddPorts == "all" || f.AddPorts == "pxe" && boot || f.AddPorts == "active" && i.HasCarrier
		if p := have[mac]; p != nil {
			if err := f.updatePXE(ctx, p, boot); err != nil {
				return err
			}
			continue
		}
		if !wanted[mac] {
			continue
		}
		err := f.Store.CreatePort(ctx, &ferric.Port{UUID: uuid.NewString(), NodeUUID: f.Task.Node.UUID, Address: mac, PXEEnabled: boot})
		if ferric.IsCode(err, ferric.CodeConflict) {
			f.Task.Log.Warn("a network interface belongs to another node already; its port is not created", "mac", mac, "error", err)
			continue
		}
		if err != nil {
			return err
		}
		f.portsAdded++
	}
	for mac, p := range have {
		if f.KeepPorts == "present" && !seen[mac] || f.KeepPorts == "added" && !wanted[mac] {
			if err := f.Store.DeletePort(ctx, p.UUID); err != nil && !ferric.IsCode(err, ferric.CodeNotFound) {
				return err
			}
		}
	}
	return nil
}

// updatePXE lets a port's pxe_enabled follow whether the machine booted from it, where one card is known to have.
func (f *Findings) updatePXE(ctx context.Context, p *ferric.Port, boot bool) error {
	if !f.UpdatePXE || p.PXEEnabled == boot || f.Inventory.Boot.PXEInterface == "" {
		return nil
	}
	_, err := f.Store.UpdatePort(ctx, p.UUID, 0, func(p *ferric.Port) error { p.PXEEnabled = boot; return nil })
	return err
}

func architecture(_ context.Context, f *Findings) error {
	if a := f.Inventory.CPU.Architecture; a != "" {
		f.Property("cpu_arch", a)
	}
	return nil
}

func cpus(_ context.Context, f *Findings) error {
	if n := f.Inventory.CPU.Count; n > 0 {
		f.Property("cpus", fmt.Sprint(n))
	}
	return nil
}

func memory(_ context.Context, f *Findings) error {
	mb := int64(0)
	if f.Inventory.Memory.PhysicalMB != nil {
		mb = int64(*f.Inventory.Memory.PhysicalMB)
	} else {
		mb = f.Inventory.Memory.Total >> 20
	}
	if mb > 0 {
		f.Property("memory_mb", fmt.Sprint(mb))
	}
	return nil
}

// rootDevice finds the disk that an image would go to, by the node's hints, and sets local_gb to its size less 1 GiB, as room for
// partitions.
func rootDevice(_ context.Context, f *Findings) error {
	if len(f.Inventory.Disks) == 0 {
		return nil
	}
	raw, _ := f.Task.Node.Properties["root_device"].(map[string]any)
	hints, err := agentapi.ParseHints(raw)
	if err != nil {
		return err
	}
	disk, err := agentapi.RootDevice(f.Inventory.Disks, hints)
	if err != nil {
		if !hints.Empty() {
			return err
		}
		f.Task.Log.Warn("no disk is fit for an image", "error", err)
		return nil
	}
	f.PluginData["root_disk"] = disk
	if gb := disk.Size>>30 - 1; gb > 0 {
		f.Property("local_gb", fmt.Sprint(gb))
	}
	return nil
}

func bootMode(_ context.Context, f *Findings) error {
	mode := strings.ToLower(string(f.Inventory.Boot.CurrentBootMode))
	if mode != ferric.BootModeBIOS && mode != ferric.BootModeUEFI {
		return nil
	}
	f.BootMode = mode
	caps := capabilities(f.Task.Node)
	caps["boot_mode"] = mode
	var parts []string
	for k, v := range caps {
		parts = append(parts, k+":"+v)
	}
	slices.Sort(parts)
	f.Property("capabilities", strings.Join(parts, ","))
	return nil
}

// capabilities reads properties/capabilities, "k1:v1,k2:v2".
func capabilities(n *ferric.Node) map[string]string {
	out := map[string]string{}
	text, _ := n.Properties["capabilities"].(string)
	for _, pair := range strings.Split(text, ",") {
		if k, v, ok := strings.Cut(strings.TrimSpace(pair), ":"); ok {
			out[k] = v
		}
	}
	return out
}
