package main

import (
	"context"
	"net/netip"
	"time"

	"ferric"
	"ferric/boot"
	"ferric/config"
	"ferric/driver"
	"ferric/network"
	"ferric/openstack"
	"ferric/openstack/neutron"
)

// neutronInterfaces makes the network interfaces flat and neutron.
func neutronInterfaces(cfg *config.Config, cloud *openstack.Session) []*network.Interface {
	n := cfg.Neutron
	settings := network.Settings{
		Networks: map[driver.NetworkPurpose]string{driver.ForProvisioning: n.ProvisioningNetwork, driver.ForCleaning: n.CleaningNetwork,
			driver.ForRescue: n.RescuingNetwork, driver.ForInspection: n.InspectionNetwork, driver.ForServicing: n.ServicingNetwork},
		SecurityGroups: map[driver.NetworkPurpose][]string{driver.ForProvisioning: n.ProvisioningNetworkSecurityGroups,
			driver.ForCleaning: n.CleaningNetworkSecurityGroups, driver.ForRescue: n.RescuingNetworkSecurityGroups,
			driver.ForInspection: n.InspectionNetworkSecurityGroups, driver.ForServicing: n.ServicingNetworkSecurityGroups},
		AddAllPorts: n.AddAllPorts, FailOnBinding: n.FailOnPortBindingFailure, BindPoll: n.NeutronAgentStatusRetryInterval,
		BindTimeout:    n.NeutronAgentStatusRetryInterval * time.Duration(n.NeutronAgentMaxAttempts),
		PortSetupDelay: n.PortSetupDelay, StatefulAddresses: n.DHCPv6StatefulAddressCount,
		AllowDisablingPowerOff: n.AllowDisablingPowerOff, DHCP: cfg.DHCP.Provider == "neutron",
	}
	client := &neutron.Client{Session: cloud, Timeout: n.RequestTimeout}
	return []*network.Interface{{Kind: network.Flat, Client: client, Settings: settings}, {Kind: network.Neutron, Client: client, Settings: settings}}
}

// site is where a machine that boots by another DHCP server than Ferric's finds boot services: at any of the hosts that have them.
func (p publishOnly) site(context.Context) (boot.Site, error) {
	all := p.peers.all.Load()
	for _, h := range *all {
		if addr, err := netip.ParseAddr(h.Address); err == nil {
			return boot.Site{HTTP: h.HTTP, TFTP: addr}, nil
		}
	}
	return boot.Site{}, ferric.Errorf(ferric.CodeUnavailable, "no host with boot services is alive: start one with the role boot and boot.interface")
}
