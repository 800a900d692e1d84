package network

import (
	"context"
	"maps"
	"slices"
	"strings"

	"ferric"
	"ferric/driver"
)

// AttachVIF implements driver.Network. Neutron is told first, and what is noted here comes last: whoever repeats the call after a crash finds nothing noted and
// does it all again.
func (i *Interface) AttachVIF(ctx context.Context, t *driver.Task, vif driver.VIF) error {
	physical, err := i.physicalNetworks(ctx, vif.ID)
	if err != nil {
		return err
	}
	socket, err := i.choose(t.Machine, vif, physical)
	if err != nil {
		return err
	}
	// An active instance is plugged in at once. For others Neutron learns the host only: that lets it allocate deferred addresses.
	want := Attrs{attrHost: t.Node.UUID, attrVNIC: vnicBareMetal, attrProfile: map[string]any{}}
	if mac := address(socket); mac != "" {
		want[attrMAC] = mac
	}
	active := t.Node.ProvisionState == ferric.Active
	if active {
		want = i.binding(t.Machine, socket)
	}
	p, err := i.bind(ctx, t, socket, vif.ID, want)
	if err != nil {
		return err
	}
	if active {
		waiting, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		if err := i.awaitBound(waiting, t, []*Port{p}, isSmart(socket)); err != nil {
			if undo := i.unbind(ctx, t, socket, vif.ID); undo != nil {
				t.Log.Warn("a VIF that was not attached stays bound to the node", "vif", vif.ID, "error", undo)
			}
			return ferric.Errorf(ferric.ErrorCode(err), "Could not add public network VIF %s to node %s, possible network issue. %w", vif.ID, t.Node.UUID, err)
		}
	}
	return t.Plug(ctx, socket, vif.ID)
}

// choose finds what a VIF is plugged into: what is on one of its physical networks before what names none.
func (i *Interface) choose(m *driver.Machine, vif driver.VIF, physical map[string]bool) (driver.Socket, error) {
	free, err := driver.FreeSockets(m, vif, func(p *ferric.Port) bool {
		return i.unfit(p) == "" && (len(physical) == 0 || p.PhysicalNetwork == "" || physical[p.PhysicalNetwork])
	})
	if err != nil {
		return driver.Socket{}, err
	}
	if len(free) == 0 {
		return driver.Socket{}, ferric.Errorf(ferric.CodeInvalid, "Unable to attach VIF %s, not enough free physical ports.", vif.ID)
	}
	for _, s := range free {
		if s.Group == nil {
			continue
		}
		if is := networksOf(m, s.Group); len(is) > 1 {
			return driver.Socket{}, ferric.Errorf(codeNetwork, "Port group %s has member ports with inconsistent physical networks (%s). All ports in a "+
				"port group must have the same physical network.", s.Group.UUID, strings.Join(is, ", "))
		}
	}
	at := slices.IndexFunc(free, func(s driver.Socket) bool {
		if s.Group != nil {
			return physical[networksOf(m, s.Group)[0]]
		}
		return physical[s.Port.PhysicalNetwork]
	})
	return free[max(at, 0)], nil
}

// networksOf lists the physical networks of the ports of a group, which has ports.
func networksOf(m *driver.Machine, g *ferric.Portgroup) []string {
	is := map[string]bool{}
	for _, p := range m.Members(g.UUID) {
		is[p.PhysicalNetwork] = true
	}
	return slices.Sorted(maps.Keys(is))
}

// physicalNetworks returns where the segments of a VIF's network are; none is anywhere.
func (i *Interface) physicalNetworks(ctx context.Context, vif string) (map[string]bool, error) {
	p, err := i.Client.Port(ctx, vif)
	if ferric.IsCode(err, ferric.CodeNotFound) {
		return nil, ferric.Errorf(ferric.CodeInvalid, "Neutron port %s was not found", vif)
	}
	if err != nil {
		return nil, i.failed(err, "look up VIF %s", vif)
	}
	network, err := i.Client.Network(ctx, p.NetworkID)
	if err != nil {
		return nil, i.failed(err, "look up network %s of VIF %s", p.NetworkID, vif)
	}
	physical := map[string]bool{}
	if network.Segments == nil {
		if network.PhysicalNetwork != "" {
			physical[network.PhysicalNetwork] = true
		}
		return physical, nil
	}
	for _, ip := range p.FixedIPs { // an address says which segment it is
		subnet, err := i.Client.Subnet(ctx, ip.SubnetID)
		if err != nil {
			return nil, i.failed(err, "look up subnet %s of VIF %s", ip.SubnetID, vif)
		}
		if subnet.SegmentID == "" {
			continue
		}
		name, err := i.Client.SegmentNetwork(ctx, subnet.SegmentID)
		if err != nil {
			return nil, i.failed(err, "look up segment %s of VIF %s", subnet.SegmentID, vif)
		}
		if name != "" {
			return map[string]bool{name: true}, nil
		}
	}
	for _, s := range network.Segments {
		if s.PhysicalNetwork != "" {
			physical[s.PhysicalNetwork] = true
		}
	}
	return physical, nil
}

// DetachVIF implements driver.Network. Neutron is told first; see AttachVIF.
func (i *Interface) DetachVIF(ctx context.Context, t *driver.Task, id string) error {
	for _, s := range driver.Sockets(t.Machine) {
		if s.VIF() != id {
			continue
		}
		if err := i.unbind(ctx, t, s, id); err != nil {
			return err
		}
		return t.Plug(ctx, s, "")
	}
	return ferric.Errorf(ferric.CodeInvalid, "Unable to detach VIF %s from node %s because it is not attached to it.", id, t.Node.UUID)
}

// VIFs implements driver.Network.
func (i *Interface) VIFs(_ context.Context, m *driver.Machine) ([]driver.VIF, error) {
	return driver.AttachedVIFs(m), nil
}
