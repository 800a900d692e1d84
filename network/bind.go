package network

import (
	"context"
	"encoding/json"
	"reflect"
	"strings"
	"time"

	"ferric"
	"ferric/driver"
	"ferric/flow"
)

// Binding tells Neutron that a port is one of a machine's.

// bindVIFs binds the instance's VIFs to the machine.
func (i *Interface) bindVIFs(ctx context.Context, t *driver.Task) error {
	var bound []*Port
	smart := false
	for _, s := range driver.Sockets(t.Machine) {
		if s.VIF() == "" {
			continue
		}
		smart = smart || isSmart(s)
		p, err := i.bind(ctx, t, s, s.VIF(), i.binding(t.Machine, s))
		if err != nil {
			return err
		}
		bound = append(bound, p)
	}
	if len(bound) == 0 {
		return i.noVIFs(t)
	}
	return i.awaitBound(ctx, t, bound, smart)
}

func (i *Interface) noVIFs(t *driver.Task) error {
	switch {
	case len(t.Ports) == 0:
		return ferric.Errorf(ferric.CodeInvalid, "No ports are associated with node %s", t.Node.UUID)
	case i.Kind == Flat:
		return ferric.Errorf(ferric.CodeInvalid, "Failed to bind any flat network ports for node %s: no VIF is attached to it (openstack baremetal node vif attach)", t.Node.UUID)
	}
	return ferric.Errorf(ferric.CodeInvalid, "No neutron ports or portgroups are associated with node %s", t.Node.UUID)
}

func isSmart(s driver.Socket) bool { return s.Port != nil && s.Port.IsSmartNIC }

// address is the MAC address of a socket, "" for a port group that takes a member's.
func address(s driver.Socket) string {
	if s.Group != nil {
		return s.Group.Address
	}
	return s.Port.Address
}

// binding is what a VIF must be to be bound to a socket.
func (i *Interface) binding(m *driver.Machine, s driver.Socket) Attrs {
	a := Attrs{attrHost: m.Node.UUID, attrVNIC: vnicBareMetal}
	if mac := address(s); mac != "" {
		a[attrMAC] = mac
	}
	if i.Kind == Flat {
		return a
	}
	profile, physical := map[string]any{}, ""
	links := []any{}
	if s.Group != nil {
		for _, p := range m.Members(s.Group.UUID) {
			links = append(links, link(p))
		}
		profile["local_group_information"] = groupInformation(s.Group)
		physical = s.Group.PhysicalNetwork
	} else {
		links = append(links, link(s.Port))
		physical = s.Port.PhysicalNetwork
		a[attrHost], a[attrVNIC] = hostOf(m.Node, s.Port)
		if id := clientID(s.Port); id != "" {
			a[attrDHCP] = []any{DHCPOption{Name: optClientID, Value: &id}}
		}
	}
	profile["local_link_information"] = links
	if physical != "" {
		profile["physical_network"] = physical
	}
	a[attrProfile] = profile
	return a
}

// groupInformation tells mechanism drivers how a port group's ports work as one. Properties are Linux' bonding options; they all begin with bond here.
func groupInformation(g *ferric.Portgroup) map[string]any {
	properties := map[string]any{}
	for k, v := range g.Properties {
		if !strings.HasPrefix(k, "bond") {
			k = "bond_" + k
		}
		properties[k] = v
	}
	var name any
	if g.Name != "" {
		name = g.Name
	}
	return map[string]any{"id": g.UUID, "name": name, "bond_mode": g.Mode, "bond_properties": properties}
}

// bind makes a VIF what it must be to be bound to the socket. It may be repeated.
func (i *Interface) bind(ctx context.Context, t *driver.Task, s driver.Socket, vif string, want Attrs) (*Port, error) {
	if isSmart(s) {
		if err := i.awaitAgent(ctx, t, want[attrHost].(string)); err != nil {
			return nil, err
		}
	}
	p, err := i.Client.Port(ctx, vif)
	if ferric.IsCode(err, ferric.CodeNotFound) {
		return nil, ferric.Errorf(ferric.CodeInvalid, "Neutron port %s was not found", vif)
	}
	if err != nil {
		return nil, i.failed(err, "look up VIF %s", vif)
	}
	mac, _ := want[attrMAC].(string)
	moved := mac != "" && !strings.EqualFold(mac, p.MAC)
	if !moved && p.HostID == want[attrHost] && p.VNICType == want[attrVNIC] && p.VIFType != vifUnbound && p.VIFType != vifFailed &&
		(want[attrProfile] == nil || sameJSON(p.Profile, want[attrProfile])) {
		return p, nil
	}
	if moved && p.HostID != "" { // Neutron changes no address of a bound port
		if _, err := i.Client.UpdatePort(ctx, vif, Attrs{attrHost: "", attrProfile: map[string]any{}}); err != nil {
			return nil, i.failed(err, "unbind VIF %s to change its address", vif)
		}
	}
	p, err = i.Client.UpdatePort(ctx, vif, want)
	if err != nil {
		return nil, i.failed(err, "bind VIF %s to node %s", vif, t.Node.UUID)
	}
	return p, nil
}

// unbindVIFs takes the instance's VIFs off the machine; they stay noted.
func (i *Interface) unbindVIFs(ctx context.Context, t *driver.Task) error {
	for _, s := range driver.Sockets(t.Machine) {
		if s.VIF() == "" {
			continue
		}
		if err := i.unbind(ctx, t, s, s.VIF()); err != nil {
			return err
		}
	}
	return nil
}

// unbind takes a VIF off the machine and gives it an address that is not the machine's. One that is gone, or is bound elsewhere by now, is left alone. It may be
// repeated.
func (i *Interface) unbind(ctx context.Context, t *driver.Task, s driver.Socket, vif string) error {
	host := t.Node.UUID
	if isSmart(s) {
		host, _ = hostOf(t.Node, s.Port)
		if err := i.awaitAgent(ctx, t, host); err != nil {
			return err
		}
	}
	p, err := i.Client.Port(ctx, vif)
	if ferric.IsCode(err, ferric.CodeNotFound) {
		return nil
	}
	if err != nil {
		return i.failed(err, "look up VIF %s", vif)
	}
	if p.HostID != "" && p.HostID != host {
		t.Log.Info("a VIF is bound to another host and left alone", "vif", vif, "host", p.HostID)
		return nil
	}
	if p.HostID != "" {
		_, err = i.Client.UpdatePort(ctx, vif, Attrs{attrHost: "", attrProfile: map[string]any{}})
	}
	// A request of its own: Neutron does not change the address of a port in the request that unbinds it.
	if mac := address(s); err == nil && mac != "" && strings.EqualFold(p.MAC, mac) {
		_, err = i.Client.UpdatePort(ctx, vif, Attrs{attrMAC: nil})
	}
	if err != nil && !ferric.IsCode(err, ferric.CodeNotFound) {
		return i.failed(err, "unbind VIF %s from node %s", vif, t.Node.UUID)
	}
	return nil
}

// mustBind reports whether an operation fails with the binding of a port. CodeInvalid if the node says something else than true or false.
func (i *Interface) mustBind(n *ferric.Node, smart bool) (bool, error) {
	switch v := n.DriverInfo["fail_on_binding_failure"].(type) {
	case nil:
		return smart || i.Kind == Neutron && i.Settings.FailOnBinding, nil
	case bool:
		return v, nil
	case string:
		switch strings.ToLower(v) {
		case "true", "yes", "on", "1":
			return true, nil
		case "false", "no", "off", "0":
			return false, nil
		}
	}
	return false, ferric.Errorf(ferric.CodeInvalid, "fail_on_binding_failure: %v in driver_info is neither true nor false", n.DriverInfo["fail_on_binding_failure"])
}

// patience is how long a call outside of any operation waits for a port.
const patience = 30 * time.Second

// awaitBound waits until ports are active. It fails as soon as Neutron could bind none of them.
func (i *Interface) awaitBound(ctx context.Context, t *driver.Task, ports []*Port, smart bool) error {
	if must, err := i.mustBind(t.Node, smart); err != nil || !must || len(ports) == 0 {
		return err
	}
	for {
		var waiting, broken []string
		for at, p := range ports {
			if p.Status == statusActive {
				continue
			}
			fresh, err := i.Client.Port(ctx, p.ID)
			if ferric.IsCode(err, ferric.CodeNotFound) {
				return ferric.Errorf(codeNetwork, "Neutron port %s was not found: somebody removed it while node %s waited for it to be bound", p.ID, t.Node.UUID)
			}
			if err != nil {
				return i.failed(err, "see whether port %s is bound", p.ID)
			}
			ports[at] = fresh
			switch {
			case fresh.Status == statusActive:
			case fresh.VIFType == vifFailed:
				broken = append(broken, p.ID)
			default:
				waiting = append(waiting, p.ID)
			}
		}
		if len(broken) == len(ports) {
			return ferric.Errorf(codeNetwork, "Binding failed for neutron port %s of node %s: look whether ironic-neutron-agent runs and knows the node "+
				"(openstack network agent list --host %s), whether the ports' physical_network is the network's, and into Neutron's log", strings.Join(broken, ", "), t.Node.UUID, t.Node.UUID)
		}
		if len(broken) > 0 {
			t.Log.Warn("Neutron could not bind all ports; the others do", "failed", broken)
		}
		if len(waiting) == 0 {
			return nil
		}
		err := ferric.Errorf(ferric.CodeTimeout, "Port %s failed to reach status %s", strings.Join(waiting, ", "), statusActive)
		if t.Flow != nil {
			what := "Neutron to bind the ports of the node"
			return &driver.Pending{Event: flow.EventBindPort, What: what, Poll: i.poll(t, what), Timeout: i.Settings.BindTimeout, Err: err}
		}
		if err := pause(ctx, t, err); err != nil {
			return err
		}
	}
}

// pause waits a moment, outside of operations, unless ctx ends before. Callers give ctx an end.
func pause(ctx context.Context, _ *driver.Task, late error) error {
	timer := time.NewTimer(500 * time.Millisecond)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return late
	case <-timer.C:
		return nil
	}
}

// poll is how soon to look again: soon at first.
func (i *Interface) poll(t *driver.Task, what string) time.Duration {
	if t.Flow.Op.WaitWhat != what || t.Flow.Waited() < i.Settings.BindPoll {
		return min(time.Second, i.Settings.BindPoll)
	}
	return i.Settings.BindPoll
}

// awaitAgent waits until the agent of a smart NIC is alive: it does the binding.
func (i *Interface) awaitAgent(ctx context.Context, t *driver.Task, host string) error {
	alive, err := i.Client.AgentAlive(ctx, host)
	switch {
	case err != nil:
		return i.failed(err, "look up the agent on host %s", host)
	case alive:
		return nil
	}
	err = ferric.Errorf(codeNetwork, "Agent on host %s failed to reach state up", host)
	what := "the Neutron agent on the smart NIC " + host
	if t.Flow == nil {
		return err
	}
	return &driver.Pending{What: what, Poll: i.poll(t, what), Timeout: i.Settings.BindTimeout, Err: err}
}

// sameJSON reports whether two values are the same document.
func sameJSON(a, b any) bool {
	x, err := json.Marshal(a)
	y, err2 := json.Marshal(b)
	if err != nil || err2 != nil {
		return false
	}
	var p, q any
	return json.Unmarshal(x, &p) == nil && json.Unmarshal(y, &q) == nil && reflect.DeepEqual(p, q)
}
