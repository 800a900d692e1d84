package inspection

import (
	"slices"
	"strings"

	"ferric"
	"ferric/agentapi"
)

func (p *Processor) architecture(f *Facts) error {
	a := f.Inventory.CPU.Architecture
	if a == "" {
		return ferric.Errorf(ferric.CodeInvalid, "the inventory has malformed or missing CPU architecture information")
	}
	f.setProperty("cpu_arch", a)
	return nil
}

func (p *Processor) cpus(f *Facts) error {
	if n := f.Inventory.CPU.Count; n > 0 {
		f.setProperty("cpus", float64(n))
	} else {
		f.Log.Warn("no CPU count is in the inventory")
	}
	return nil
}

// memory sets memory_mb to the modules that are installed or, where the agent does not know them, to what the kernel can use.
func (p *Processor) memory(f *Facts) error {
	var mb int64
	if f.Inventory.Memory.PhysicalMB != nil {
		mb = int64(*f.Inventory.Memory.PhysicalMB)
	} else {
		mb = f.Inventory.Memory.Total >> 20
	}
	if mb <= 0 {
		return ferric.Errorf(ferric.CodeInvalid, "the inventory has missing memory information")
	}
	f.setProperty("memory_mb", float64(mb))
	return nil
}

func (p *Processor) bootMode(f *Facts) error {
	mode := f.Inventory.Boot.CurrentBootMode
	if mode == "" {
		f.Log.Warn("no boot mode is in the inventory")
		return nil
	}
	f.addCapabilities(map[string]string{"boot_mode": mode})
	if m := strings.ToLower(mode); m == ferric.BootModeBIOS || m == ferric.BootModeUEFI {
		f.Node.BootMode = m
	}
	return nil
}

func (p *Processor) cpuCapabilities(f *Facts) error {
	found := map[string]string{}
	for flag, name := range p.settings.CPUCapabilities {
		if slices.Contains(f.Inventory.CPU.Flags, flag) {
			found[name] = "true"
		}
	}
	if len(f.Inventory.CPU.Flags) == 0 {
		f.Log.Warn("no CPU flags are in the inventory")
		return nil
	}
	f.addCapabilities(found)
	return nil
}

// rootDevice finds the disk that an image would go to: by the node's hints, else the one that the agent chose. local_gb is its size in GiB,
// less one as room for partitions; 0 without a disk.
func (p *Processor) rootDevice(f *Facts) error {
	disk, err := p.rootDisk(f)
	if err != nil {
		return err
	}
	gb := 0.0
	if disk != nil {
		f.PluginData["root_disk"] = f.rawDisk(*disk)
		if gb = float64(disk.Size >> 30); gb == 0 {
			f.Log.Warn("the root disk is smaller than 1 GiB, or its size is not known", "disk", disk.Name)
		} else if p.settings.DiskSpacing {
			gb--
		}
	} else {
		f.Log.Info("no root device was found; the node counts as diskless")
	}
	f.PluginData["local_gb"] = gb
	f.setProperty("local_gb", gb)
	return nil
}

func (p *Processor) rootDisk(f *Facts) (*agentapi.BlockDevice, error) {
	raw, _ := f.Node.Properties["root_device"].(map[string]any)
	hints, err := agentapi.ParseHints(raw)
	if err != nil {
		return nil, err
	}
	if !hints.Empty() {
		disks, err := f.notSkipped()
		if err != nil {
			return nil, err
		}
		d, err := agentapi.RootDevice(disks, hints)
		return &d, err
	}
	if chosen, _ := f.PluginData["root_disk"].(map[string]any); str(chosen, "name") != "" {
		for _, d := range f.Inventory.Disks {
			if d.Name == str(chosen, "name") {
				return &d, nil
			}
		}
	}
	if d, err := agentapi.RootDevice(f.Inventory.Disks, hints); err == nil {
		return &d, nil
	}
	return nil, nil
}

// notSkipped are the disks without those of properties/skip_block_devices.
func (f *Facts) notSkipped() ([]agentapi.BlockDevice, error) {
	skip, _ := f.Node.Properties["skip_block_devices"].([]any)
	disks := slices.Clone(f.Inventory.Disks)
	for _, item := range skip {
		raw, _ := item.(map[string]any)
		hints, err := agentapi.ParseHints(raw)
		if err != nil {
			return nil, err
		}
		disks = slices.DeleteFunc(disks, func(d agentapi.BlockDevice) bool { return !hints.Empty() && hints.Match(d) })
	}
	return disks, nil
}

// rawDisk is a disk as it came.
func (f *Facts) rawDisk(d agentapi.BlockDevice) any {
	list, _ := f.Raw["disks"].([]any)
	for _, item := range list {
		if m, ok := item.(map[string]any); ok && str(m, "name") == d.Name {
			return m
		}
	}
	return d
}

// raidDevice finds the root device after RAID was configured: the one disk that the inspection before did not see.
func (p *Processor) raidDevice(f *Facts) error {
	if _, known := f.Node.Properties["root_device"]; known {
		return nil
	}
	now := Serials(f.Inventory)
	if len(now) == 0 {
		f.Log.Warn("no disk with a serial number is in the inventory")
		return nil
	}
	if f.Previous == nil {
		return nil
	}
	added := slices.DeleteFunc(now, func(s string) bool { return slices.Contains(f.Previous, s) })
	if len(added) != 1 {
		f.Log.Warn("the root device cannot be told by what is new", "new_disks", len(added))
		return nil
	}
	f.setProperty("root_device", map[string]any{"serial": added[0]})
	return nil
}
