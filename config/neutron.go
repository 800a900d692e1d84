package config

import "time"

// Neutron is the section [neutron].
type Neutron struct {
	ProvisioningNetwork string `toml:"provisioning_network" help:"Name or UUID of the network for provisioning, for nodes with network_interface neutron. A node's driver_info/provisioning_network wins, likewise below."`
	CleaningNetwork     string `toml:"cleaning_network" help:"Name or UUID of the network for cleaning, for nodes with network_interface neutron or flat."`
	RescuingNetwork     string `toml:"rescuing_network" help:"Name or UUID of the network for rescue, for nodes with network_interface neutron."`
	InspectionNetwork   string `toml:"inspection_network" help:"Name or UUID of the network for inspection, for nodes with network_interface neutron or flat."`
	ServicingNetwork    string `toml:"servicing_network" help:"Name or UUID of the network for servicing, for nodes with network_interface neutron."`

	ProvisioningNetworkSecurityGroups []string `toml:"provisioning_network_security_groups" help:"UUIDs of security groups for ports made for provisioning, for nodes with network_interface neutron. None: the project's default group."`
	CleaningNetworkSecurityGroups     []string `toml:"cleaning_network_security_groups" help:"The same for cleaning."`
	RescuingNetworkSecurityGroups     []string `toml:"rescuing_network_security_groups" help:"The same for rescue."`
	InspectionNetworkSecurityGroups   []string `toml:"inspection_network_security_groups" help:"The same for inspection."`
	ServicingNetworkSecurityGroups    []string `toml:"servicing_network_security_groups" help:"The same for servicing."`

	AddAllPorts                     bool          `toml:"add_all_ports" default:"false" help:"Whether ports are made in these networks for network cards that machines do not boot from, too, without addresses."`
	FailOnPortBindingFailure        bool          `toml:"fail_on_port_binding_failure" default:"true" help:"Whether nodes with network_interface neutron wait until Neutron has bound their ports, and fail if it cannot. A node's driver_info/fail_on_binding_failure wins."`
	NeutronAgentStatusRetryInterval time.Duration `toml:"neutron_agent_status_retry_interval" default:"10s" min:"1s" max:"10m" help:"How often to look whether a port is bound, or the agent of a smart NIC alive. Events of Neutron (POST /v1/events) make it faster."`
	NeutronAgentMaxAttempts         int           `toml:"neutron_agent_max_attempts" default:"100" min:"1" max:"10000" help:"After how many such intervals it is given up. Time in which Neutron gave no answer does not count."`
	PortSetupDelay                  time.Duration `toml:"port_setup_delay" default:"0s" min:"0s" max:"1h" help:"How long Neutron's DHCP servers get after the DHCP options of ports were changed, before the machine is started."`
	RequestTimeout                  time.Duration `toml:"request_timeout" default:"45s" min:"1s" max:"1h" help:"How long a request to Neutron may take, with its repetitions."`
	DHCPv6StatefulAddressCount      int           `toml:"dhcpv6_stateful_address_count" default:"4" min:"1" max:"100" help:"How many addresses a port gets in a subnet of stateful DHCPv6: each stage of a boot asks with an identity of its own."`
	AllowDisablingPowerOff          bool          `toml:"allow_disabling_power_off" default:"false" help:"Whether nodes with network_interface neutron may have disable_power_off: their systems still run when the networks are changed."`
}

// DHCP is the section [dhcp].
type DHCP struct {
	Provider string `toml:"dhcp_provider" default:"none" values:"none|neutron" help:"neutron: Neutron's DHCP servers lead nodes with network_interface flat or neutron to their boot loaders, by options of their ports, and Ferric's own DHCP server does not answer them. none: Ferric's own does, or whatever there is."`
}
