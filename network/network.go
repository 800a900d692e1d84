package network

import (
	"context"
	"strings"
	"time"

	"ferric"
	"ferric/driver"
	"ferric/flow"
)

// Kind is a network interface of the two.
type Kind string

// The kinds. They differ in who knows the switches: with Flat the machines stay on the network that they are cabled to, and Neutron only knows
// them; with Neutron the ports carry the switch's port, and Neutron's mechanism drivers move it between networks.
const (
	Flat    Kind = "flat"
	Neutron Kind = "neutron"
)

// Settings are what operators decide. Zero values are valid.
type Settings struct {
	// Networks are the names or UUIDs of the networks by purpose; a node's driver_info wins.
	Networks map[driver.NetworkPurpose]string
	// SecurityGroups are the UUIDs for ports made by Neutron interfaces; none leaves the choice to Neutron.
	SecurityGroups map[driver.NetworkPurpose][]string
	AddAllPorts    bool // make ports for network cards that machines do not boot from, too, without addresses
	// FailOnBinding makes the interface "neutron" wait for bindings, and fail if one fails. A node's driver_info/fail_on_binding_failure wins.
	FailOnBinding bool
	// BindPoll and BindTimeout say how often to look whether a port is bound, or a smart NIC's agent is alive, and for how long.
	BindPoll, BindTimeout time.Duration
	// PortSetupDelay is how long to give Neutron's DHCP servers after the DHCP options of ports were changed.
	PortSetupDelay time.Duration
	// StatefulAddresses is how many addresses a port gets in a subnet of stateful DHCPv6: each stage of a boot asks with an identity of its own.
	StatefulAddresses      int
	AllowDisablingPowerOff bool // for nodes of the interface "neutron"
	// DHCP says that Neutron's DHCP servers lead machines to their boot loaders.
	DHCP bool
}

// Interface is one of the network interfaces "flat" and "neutron".
type Interface struct {
	Kind     Kind
	Client   Client
	Settings Settings
}

var (
	_ driver.Network          = (*Interface)(nil)
	_ driver.PortWatcher      = (*Interface)(nil)
	_ driver.DHCPProvider     = (*Interface)(nil)
	_ driver.PurposeValidator = (*Interface)(nil)
	_ driver.NetworkData      = (*Interface)(nil)
	_ driver.PortAuditor      = (*Interface)(nil)
)

// codeNetwork is the code of what Neutron makes fail, for which Ironic answers 500. Not 409, which Nova takes to mean that a VIF is attached
// already.
const codeNetwork = ferric.CodeInternal

// Properties implements driver.Interface.
func (i *Interface) Properties() map[string]string {
	return map[string]string{
		"provisioning_network":    "Name or UUID of the Neutron network for provisioning. Optional: the configured one otherwise.",
		"cleaning_network":        "Name or UUID of the Neutron network for cleaning. Optional: the configured one otherwise.",
		"rescuing_network":        "Name or UUID of the Neutron network for rescue. Optional: the configured one otherwise.",
		"inspection_network":      "Name or UUID of the Neutron network for inspection. Optional: the configured one otherwise.",
		"servicing_network":       "Name or UUID of the Neutron network for servicing. Optional: the configured one otherwise.",
		"fail_on_binding_failure": "Whether an operation fails if Neutron cannot bind a port of the node. Optional.",
	}
}

// Validate implements driver.Interface: the networks that every node of the interface needs must exist.
func (i *Interface) Validate(ctx context.Context, m *driver.Machine) error {
	if _, err := i.networkOf(ctx, m.Node, driver.ForCleaning); err != nil {
		return err
	}
	if _, err := i.mustBind(m.Node, false); err != nil {
		return err
	}
	if i.Kind != Neutron {
		return nil
	}
	if _, err := i.networkOf(ctx, m.Node, driver.ForProvisioning); err != nil {
		return err
	}
	if m.Node.DisablePowerOff && !i.Settings.AllowDisablingPowerOff {
		return ferric.Errorf(ferric.CodeInvalid, "Nodes with disable_power_off cannot be used with the neutron network interface (disallowed in the configuration)")
	}
	return nil
}

// ValidateFor implements driver.PurposeValidator: the network of the purpose must be there.
func (i *Interface) ValidateFor(ctx context.Context, m *driver.Machine, purpose driver.NetworkPurpose) error {
	if !i.ownPorts(purpose) || purpose == driver.ForCleaning {
		return nil
	}
	_, err := i.networkOf(ctx, m.Node, purpose)
	return err
}

// networkOf finds the network of a purpose. CodeInvalid if none is named, or not exactly one has the name.
func (i *Interface) networkOf(ctx context.Context, n *ferric.Node, purpose driver.NetworkPurpose) (string, error) {
	key := string(purpose) + "_network"
	name, _ := n.DriverInfo[key].(string)
	if name == "" {
		name = i.Settings.Networks[purpose]
	}
	if name == "" {
		return "", ferric.Errorf(ferric.CodeInvalid, "UUID or name of %s is not set in configuration or in node driver_info.", key)
	}
	found, err := i.Client.FindNetworks(ctx, name)
	switch {
	case err != nil:
		return "", i.failed(err, "find the %s %s", key, name)
	case len(found) == 0:
		return "", ferric.Errorf(ferric.CodeInvalid, "%s with name or UUID %s was not found", key, name)
	case len(found) > 1:
		var ids []string
		for _, f := range found {
			ids = append(ids, f.ID)
		}
		return "", ferric.Errorf(ferric.CodeInvalid, "More than one %s was found for name %s: %s", key, name, strings.Join(ids, ", "))
	}
	return found[0].ID, nil
}

// Connect implements driver.Network.
func (i *Interface) Connect(ctx context.Context, t *driver.Task, purpose driver.NetworkPurpose) error {
	if i.ownPorts(purpose) {
		return i.addPorts(ctx, t, purpose)
	}
	return i.bindVIFs(ctx, t)
}

// Disconnect implements driver.Network.
func (i *Interface) Disconnect(ctx context.Context, t *driver.Task, purpose driver.NetworkPurpose) error {
	switch {
	case i.ownPorts(purpose):
		return i.removePorts(ctx, t, purpose)
	case purpose == driver.ForRescue || purpose == driver.ForServicing:
		return nil // the machine never left the instance's network, and there is an instance
	}
	return i.unbindVIFs(ctx, t)
}

// ownPorts reports whether a purpose has ports of its own. With Flat the instance's serve where there is an instance.
func (i *Interface) ownPorts(purpose driver.NetworkPurpose) bool {
	switch purpose {
	case driver.ForTenant:
		return false
	case driver.ForCleaning, driver.ForInspection:
		return true
	}
	return i.Kind == Neutron
}

// failed says what was tried of Neutron. While it gives no answer that is no failure, and while it answers that it has failed, for a while.
func (i *Interface) failed(err error, format string, args ...any) error {
	told := ferric.Errorf(ferric.ErrorCode(err), "Neutron: "+format+": %w", append(args, err)...)
	switch {
	case ferric.IsCode(err, ferric.CodeBusy):
		return &driver.Pending{What: flow.WaitsForService + "Neutron to carry requests out again", Timeout: sickFor, Err: told}
	case away(err):
		return &driver.Pending{What: flow.WaitsForService + "Neutron to answer again", Err: told}
	}
	return told
}

// sickFor is how long a Neutron that answers with errors of its own is asked again.
const sickFor = 10 * time.Minute

// away reports whether an error says nothing about what was asked.
func away(err error) bool {
	switch ferric.ErrorCode(err) {
	case ferric.CodeUnavailable, ferric.CodeTimeout, ferric.CodeBusy:
		return true
	}
	return false
}
