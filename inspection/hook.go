package inspection

import (
	"slices"
	"strings"

	"ferric"
)

// hook is one piece of an inspection's processing.
type hook struct {
	name  string
	needs []string // hooks that must come before it
	// before runs ahead of all hooks' main parts; nil for most.
	before func(*Processor, *Facts) error
	run    func(*Processor, *Facts) error
}

// hooks are all that there are.
func hooks() []hook {
	interfaces := []string{"validate-interfaces"}
	return []hook{
		{name: "ramdisk-error", before: (*Processor).ramdiskError},
		{name: "validate-interfaces", before: (*Processor).validateInterfaces},
		{name: "ports", needs: interfaces, run: (*Processor).ports},
		{name: "architecture", run: (*Processor).architecture},
		{name: "cpus", run: (*Processor).cpus},
		{name: "memory", run: (*Processor).memory},
		{name: "root-device", run: (*Processor).rootDevice},
		{name: "boot-mode", run: (*Processor).bootMode},
		{name: "cpu-capabilities", run: (*Processor).cpuCapabilities},
		{name: "accelerators", run: (*Processor).accelerators},
		{name: "pci-devices", run: (*Processor).pciDevices},
		{name: "extra-hardware", run: (*Processor).extraHardware},
		{name: "raid-device", run: (*Processor).raidDevice},
		{name: "local-link-connection", needs: interfaces, run: (*Processor).localLinkConnection},
		{name: "parse-lldp", run: (*Processor).parseLLDP},
		{name: "physical-network", needs: interfaces, run: (*Processor).physicalNetwork},
	}
}

// HookNames returns the names of all hooks, in an order in which they can be run.
func HookNames() []string {
	var names []string
	for _, h := range hooks() {
		names = append(names, h.name)
	}
	return names
}

// selectHooks returns the hooks with the names, in the order of the names. CodeInvalid for one that does not exist, is there twice, or comes
// before one that it needs.
func selectHooks(names []string) ([]hook, error) {
	all := hooks()
	var out []hook
	for i, n := range names {
		at := slices.IndexFunc(all, func(h hook) bool { return h.name == n })
		if at < 0 {
			return nil, ferric.Errorf(ferric.CodeInvalid, "inspection hooks: there is no hook %q; choose from: %s", n, strings.Join(HookNames(), ", "))
		}
		if slices.Contains(names[:i], n) {
			return nil, ferric.Errorf(ferric.CodeInvalid, "inspection hooks: %s is there twice", n)
		}
		for _, need := range all[at].needs {
			if !slices.Contains(names[:i], need) {
				return nil, ferric.Errorf(ferric.CodeInvalid, "inspection hooks: %s requires %s to be enabled before it", n, need)
			}
		}
		out = append(out, all[at])
	}
	return out, nil
}

// Collectors are what an agent must collect for the hooks, by the names of ironic-python-agent; nil if what it does by itself is enough.
func Collectors(hooks []string) []string {
	var out []string
	for _, need := range []struct {
		collector string
		hooks     []string
	}{
		{"pci-devices", []string{"pci-devices", "accelerators"}},
		{"extra-hardware", []string{"extra-hardware"}},
		{"lldp", []string{"parse-lldp", "local-link-connection"}},
	} {
		if slices.ContainsFunc(need.hooks, func(h string) bool { return slices.Contains(hooks, h) }) {
			out = append(out, need.collector)
		}
	}
	return out
}
