package config

import (
	"slices"
	"strings"
)

// Inspection is the section [inspection].
type Inspection struct {
	DefaultHooks           []string          `toml:"default_hooks" default:"ramdisk-error,validate-interfaces,ports,architecture,cpus,memory,root-device,boot-mode" help:"What $default_hooks stands for in hooks."`
	Hooks                  []string          `toml:"hooks" default:"$default_hooks" help:"What is done with an inventory, in this order, for example [\"$default_hooks\", \"parse-lldp\"]. ports, local-link-connection and physical-network need validate-interfaces before them. What the agent must collect for the hooks (PCI devices, LLDP, extra hardware) it is told."`
	AddPorts               string            `toml:"add_ports" default:"pxe" values:"all|active|pxe|disabled" help:"Which network interfaces become ports: all, those with an IP address, those that booted, none."`
	KeepPorts              string            `toml:"keep_ports" default:"all" values:"all|present|added" help:"Which ports stay: all, those whose MAC address was seen, those that add_ports would add."`
	UpdatePXEEnabled       bool              `toml:"update_pxe_enabled" default:"true" help:"Whether a port's pxe_enabled is set by what booted."`
	PowerOff               bool              `toml:"power_off" default:"true" help:"Whether a machine is switched off after its inspection."`
	DataBackend            string            `toml:"data_backend" default:"database" values:"database|none" help:"Where inventory and plugin data are kept for the API (Ironic: [inventory] data_backend). none: nowhere; the API answers 404."`
	Collectors             []string          `toml:"collectors" help:"What the agent collects besides what it does by itself and what the hooks need, by ironic-python-agent's names: pci-devices, usb-devices, lldp, extra-hardware. A collector that the ramdisk's agent does not know fails the inspection."`
	ExtraKernelParams      map[string]string `toml:"extra_kernel_params" help:"Kernel parameters of the inspection ramdisk, for example { ipa-lldp-timeout = \"60\" }."`
	CPUCapabilities        map[string]string `toml:"cpu_capabilities" default:"vmx=cpu_vt,svm=cpu_vt,aes=cpu_aes,pse=cpu_hugepages,pdpe1gb=cpu_hugepages_1g,smx=cpu_txt" help:"For the hook cpu-capabilities: the capability that a CPU flag gives."`
	PCIDeviceAlias         []string          `toml:"pci_device_alias" help:"For the hook pci-devices: names of PCI devices, each a JSON object such as '{\"vendor_id\": \"10de\", \"product_id\": \"1eb8\", \"name\": \"gpu\"}'."`
	KnownAccelerators      string            `toml:"known_accelerators" check:"path" help:"For the hook accelerators: a YAML file with the known devices, in Ironic's format. Empty: those that Ironic knows."`
	ExtraHardwareStrict    bool              `toml:"extra_hardware_strict" default:"false" help:"For the hook extra-hardware: whether data with an entry that is too short are thrown away."`
	PhysicalNetworkCIDRMap []string          `toml:"physical_network_cidr_map" help:"For the hook physical-network: a port's physical network by the address that it had in the ramdisk, for example [\"192.0.2.0/24:physnet1\", \"2001:db8::/64:physnet2\"]."`
	DiskPartitionSpacing   bool              `toml:"disk_partitioning_spacing" default:"true" help:"For the hook root-device: whether 1 GiB of the disk is left out of local_gb, as room for partitions."`
	BuiltInRules           string            `toml:"built_in_rules" check:"path" help:"YAML file with inspection rules that the API does not show (Ironic: [inspection_rules] built_in_rules). It is read again at every inspection."`
	MaskSecrets            string            `toml:"mask_secrets" default:"always" values:"always|never|sensitive" help:"Whether passwords in inventory and plugin data are masked for inspection rules; sensitive: not for rules that are sensitive themselves."`
}

// EnabledHooks are the hooks with $default_hooks replaced.
func (i *Inspection) EnabledHooks() []string {
	var out []string
	for _, h := range i.Hooks {
		if h == "$default_hooks" {
			out = append(out, i.DefaultHooks...)
			continue
		}
		out = append(out, h)
	}
	return out
}

func (i *Inspection) contradictions(report reporter) {
	hooks := i.EnabledHooks()
	for at, h := range hooks {
		before := hooks[:at]
		if slices.Contains(before, h) {
			report("inspection.hooks", "holds "+h+" twice")
		}
		if slices.Contains([]string{"ports", "local-link-connection", "physical-network"}, h) && !slices.Contains(before, "validate-interfaces") {
			report("inspection.hooks", h+" needs validate-interfaces before it")
		}
	}
	for name := range i.ExtraKernelParams {
		if strings.ContainsAny(name+i.ExtraKernelParams[name], " \t\n") {
			report("inspection.extra_kernel_params", name+" and its value must not hold blanks")
		}
	}
}

// Discovery is the section [discovery].
type Discovery struct {
	Enabled bool   `toml:"enabled" default:"false" help:"Whether a machine that nobody knows, and that sends inspection data, becomes a node (Ironic: [auto_discovery] enabled). Whoever reaches the API for agents can make nodes then. boot.discovery serves such machines the ramdisk."`
	Driver  string `toml:"driver" help:"Hardware type of such nodes."`
}

func (d *Discovery) contradictions(report reporter, types []string) {
	if d.Enabled && !slices.Contains(types, d.Driver) {
		report("discovery.driver", "must be one of drivers.enabled_hardware_types for discovery.enabled = true")
	}
}
