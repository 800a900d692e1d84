package agent

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"ferric/agent/inventory"
	"ferric/agentapi"
)

func (a *Agent) inspects() bool {
	return len(a.p.InspectionURLs) > 0 || len(a.p.Collectors) > 0 && len(a.p.APIURLs) > 0
}

// inspect posts inspection data and returns the node's UUID, "" if it was not told. Failures are logged and told to the
// API: the lookup that follows may work all the same.
func (a *Agent) inspect(ctx context.Context) string {
	collectors := a.p.Collectors
	if len(collectors) == 0 {
		collectors = []string{"default", "logs"}
	}
	a.log.Info("inspection", "collectors", strings.Join(collectors, ","))
	data := agentapi.InspectionData{PluginData: map[string]json.RawMessage{}}
	var failures []string
	put := func(key string, v any) {
		raw, err := json.Marshal(v)
		if err != nil {
			failures = append(failures, fmt.Sprintf("collect %s: %v", key, err))
			return
		}
		data.PluginData[key] = raw
	}
	a.waitForInspection(ctx)
	data.Inventory = a.inventory()
	for _, name := range collectors {
		switch name {
		case "default":
			put("boot_interface", data.Inventory.Boot.PXEInterface)
			put("configuration", map[string]any{"collectors": collectors, "managers": []any{map[string]string{"name": managerName, "version": managerVersion}}})
			if root, err := agentapi.RootDevice(data.Inventory.Disks, agentapi.Hints{}); err == nil {
				put("root_disk", root)
			} else {
				a.log.Warn("no suitable root device", "err", err)
			}
		case "pci-devices":
			put("pci_devices", a.m.PCI())
		case "usb-devices":
			put("usb_devices", a.m.USB())
		case "numa-topology":
			if topology, err := a.m.NUMA(); err != nil {
				failures = append(failures, "collect numa-topology: "+err.Error())
			} else {
				put("numa_topology", topology)
			}
		case "dmi-decode":
			if dmi, err := a.m.DMI(); err != nil {
				failures = append(failures, "collect dmi-decode: "+err.Error())
			} else {
				put("dmi", dmi)
			}
		case "extra-hardware":
			put("data", inventory.Extra(data.Inventory))
		case "lldp":
			put("lldp_raw", a.collectLLDP(ctx))
		case "logs": // after everything else
		default:
			failures = append(failures, fmt.Sprintf("the collector %s is not known; known are default, logs, pci-devices, usb-devices, extra-hardware, lldp, numa-topology, dmi-decode", name))
		}
	}
	put("error", nil)
	if len(failures) > 0 {
		put("error", "The following errors were encountered:\n* "+strings.Join(failures, "\n* "))
		a.log.Error("inspection is not complete", "failures", strings.Join(failures, "; "))
	}
	for _, name := range collectors {
		if logs, err := a.logs(); name == "logs" && err == nil {
			put("logs", logs)
		}
	}
	urls := a.p.InspectionURLs
	if len(urls) == 0 {
		for _, u := range a.p.APIURLs {
			urls = append(urls, strings.TrimRight(u, "/")+"/v1/continue_inspection")
		}
	}
	res, err := a.client.InspectionLoop(ctx, urls, data, 8, 2*a.o.Pause)
	if err != nil {
		a.log.Error("inspection data was not taken; going on with lookup", "err", err)
		return ""
	}
	if res.Config != nil && res.Node != nil {
		// This answer may be the one that carries the token: it is given out once.
		a.accept(*res.Node, *res.Config)
	}
	a.log.Info("inspection data was taken", "node", res.NodeUUID())
	return res.NodeUUID()
}

// waitForInspection lets slow disks and links appear first.
func (a *Agent) waitForInspection(ctx context.Context) {
	disks, links := time.Now().Add(a.p.DiskWait), time.Now().Add(a.p.DHCPWait)
	for {
		waiting := len(a.m.Disks()) == 0 && time.Now().Before(disks)
		if time.Now().Before(links) && (a.p.DHCPAll || a.p.BootIF != "") {
			for _, nic := range a.m.Inventory().Interfaces {
				if nic.IPv4Address == "" && nic.IPv6Address == "" && (a.p.DHCPAll || nic.MACAddress == a.p.MAC()) {
					waiting = true
				}
			}
		}
		if !waiting {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(a.o.Pause / 2):
		}
	}
}

// inventory is the hardware with the BMC's addresses and what LLDP told.
func (a *Agent) inventory() agentapi.Inventory {
	inv := a.m.Inventory()
	a.mu.Lock()
	skip, lldp := a.config.SkipBMCDetect, a.lldp
	a.mu.Unlock()
	if !skip {
		b := a.bmc()
		inv.BMCAddress, inv.BMCV6Address, inv.BMCMAC = agentapi.Text(b.IPv4), agentapi.Text(b.IPv6), b.MAC
	}
	for i := range inv.Interfaces {
		inv.Interfaces[i].LLDP = lldp[inv.Interfaces[i].Name]
	}
	return inv
}

// collectLLDP listens to the neighbours once.
func (a *Agent) collectLLDP(ctx context.Context) map[string][][2]any {
	a.mu.Lock()
	have := a.lldp
	a.mu.Unlock()
	if have != nil {
		return have
	}
	var names []string
	for _, nic := range a.m.Inventory().Interfaces {
		names = append(names, nic.Name)
	}
	got := a.m.LLDP(ctx, names, a.p.LLDPTimeout)
	if got == nil {
		got = map[string][][2]any{}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.lldp = got
	return got
}
