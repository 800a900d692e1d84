package driver

import (
	"context"
	"slices"
	"strings"

	"ferric"
)

// vifKey is where the internal_info of a port or a port group holds the attached VIF, as in Ironic.
const vifKey = "tenant_vif_port_id"

// Socket is what a VIF can be plugged into: a port group, or a port. One of the two is set.
type Socket struct {
	Group *ferric.Portgroup
	Port  *ferric.Port
}

// VIF returns the VIF that is plugged in, "" if none is.
func (s Socket) VIF() string {
	if s.Group != nil {
		return PluggedVIF(s.Group.InternalInfo)
	}
	return PluggedVIF(s.Port.InternalInfo)
}

// PluggedVIF returns the instance's VIF that internal_info of a port or a port group names, "" if it names none.
func PluggedVIF(internalInfo map[string]any) string {
	id, _ := internalInfo[vifKey].(string)
	return id
}

// Sockets returns all sockets of a machine, port groups first.
func Sockets(m *Machine) []Socket {
	var out []Socket
	for _, g := range m.Portgroups {
		out = append(out, Socket{Group: g})
	}
	for _, p := range m.Ports {
		out = append(out, Socket{Port: p})
	}
	return out
}

// AttachedVIFs lists the VIFs that are plugged in, those of ports first.
func AttachedVIFs(m *Machine) []VIF {
	var ports, groups []VIF
	for _, s := range Sockets(m) {
		switch id := s.VIF(); {
		case id == "":
		case s.Port != nil:
			ports = append(ports, VIF{ID: id})
		default:
			groups = append(groups, VIF{ID: id})
		}
	}
	return append(ports, groups...)
}

// FreeSockets returns what a VIF can be plugged into, the best first: port groups, ports that machines boot from, other ports. The VIF's
// port_uuid or portgroup_uuid asks for a certain one. A port group is free while neither it nor one of its ports has a VIF, and stands for its
// ports; those of a group with a VIF on one of the ports are offered one by one. Ports that fits refuses are left out; nil refuses none. CodeConflict if the
// VIF is plugged in already.
func FreeSockets(m *Machine, vif VIF, fits func(*ferric.Port) bool) ([]Socket, error) {
	wantPort, _ := vif.Extra["port_uuid"].(string)
	wantGroup, _ := vif.Extra["portgroup_uuid"].(string)
	if wantPort != "" {
		wantGroup = ""
	}
	for _, s := range Sockets(m) {
		if s.VIF() == vif.ID {
			return nil, alreadyPlugged(vif.ID, s)
		}
	}
	var groups, pxe, others []Socket
	offer := func(p *ferric.Port) {
		if p.PXEEnabled {
			pxe = append(pxe, Socket{Port: p})
		} else {
			others = append(others, Socket{Port: p})
		}
	}
	free := map[string][]*ferric.Port{} // by port group
	broken := map[string]bool{}         // port groups with a VIF on one of the ports
	for _, p := range m.Ports {
		switch {
		case wantPort != "" && !strings.EqualFold(p.UUID, wantPort) || !LinkFits(p):
		case PluggedVIF(p.InternalInfo) != "":
			broken[p.PortgroupUUID] = true
		case fits != nil && !fits(p):
		case p.PortgroupUUID == "" && wantGroup == "":
			offer(p)
		default:
			free[p.PortgroupUUID] = append(free[p.PortgroupUUID], p)
		}
	}
	for _, g := range m.Portgroups {
		switch {
		case wantPort != "" || wantGroup != "" && !strings.EqualFold(g.UUID, wantGroup) || PluggedVIF(g.InternalInfo) != "":
		case broken[g.UUID] && wantGroup == "":
			for _, p := range free[g.UUID] {
				offer(p)
			}
		case !broken[g.UUID] && len(free[g.UUID]) > 0:
			groups = append(groups, Socket{Group: g})
		}
	}
	return slices.Concat(groups, pxe, others), nil
}

func alreadyPlugged(vif string, s Socket) error {
	kind, uuid := "Port", ""
	if s.Group != nil {
		kind, uuid = "Portgroup", s.Group.UUID
	} else {
		uuid = s.Port.UUID
	}
	return ferric.Errorf(ferric.CodeConflict, "Unable to attach VIF because VIF %s is already attached to Ironic %s %s", vif, kind, uuid)
}

// LinkFits reports whether a port's local link connection is of the kind that the port is: a smart NIC's names port_id and hostname, and no
// other does. InfiniBand ports (those with a client-id) are found otherwise.
func LinkFits(p *ferric.Port) bool {
	if id, _ := p.Extra["client-id"].(string); id != "" {
		return true
	}
	_, port := p.LocalLinkConnection["port_id"]
	_, host := p.LocalLinkConnection["hostname"]
	return p.IsSmartNIC == (port && host)
}

// Plug notes a VIF on a socket; "" takes the one that is there away.
func (t *Task) Plug(ctx context.Context, s Socket, vif string) error {
	plug := func(info, extra map[string]any) map[string]any {
		if vif == "" {
			delete(info, vifKey)
			delete(extra, "vif_port_id") // where it was before there was internal_info
			return info
		}
		if info == nil {
			info = map[string]any{}
		}
		info[vifKey] = vif
		return info
	}
	if s.Group != nil {
		_, err := t.PortStore.UpdatePortgroup(ctx, s.Group.UUID, func(g *ferric.Portgroup) error {
			g.InternalInfo = plug(g.InternalInfo, g.Extra)
			return nil
		})
		return err
	}
	_, err := t.PortStore.UpdatePort(ctx, s.Port.UUID, func(p *ferric.Port) error {
		p.InternalInfo = plug(p.InternalInfo, p.Extra)
		return nil
	})
	return err
}

// CheckStandalonePort refuses a port (CodeConflict) that is used by itself in a port group that does not support that.
func CheckStandalonePort(m *Machine, now, before *ferric.Port) error {
	vif := PluggedVIF(now.InternalInfo)
	i := slices.IndexFunc(m.Portgroups, func(g *ferric.Portgroup) bool { return g.UUID == now.PortgroupUUID })
	touched := now.PXEEnabled != before.PXEEnabled || now.PortgroupUUID != before.PortgroupUUID
	if i < 0 || m.Portgroups[i].StandalonePorts || !touched && vif == "" {
		return nil
	}
	if reasons := usedAlone(now, "'pxe_enabled' was set to True", "VIF "+vif+" is attached to the port"); reasons != "" {
		return ferric.Errorf(ferric.CodeConflict, "Port group %s doesn't support standalone ports. This port %s cannot be a member of that port group because of: %s",
			m.Portgroups[i].UUID, now.UUID, reasons)
	}
	return nil
}

// CheckStandalonePorts refuses to take the support of standalone ports away from a port group (CodeConflict) that has such ports.
func CheckStandalonePorts(m *Machine, now, before *ferric.Portgroup) error {
	if now.StandalonePorts || !before.StandalonePorts {
		return nil
	}
	for _, p := range m.Members(now.UUID) {
		if reasons := usedAlone(p, "'pxe_enabled' is set to True", "VIF "+PluggedVIF(p.InternalInfo)+" is attached to this port"); reasons != "" {
			return ferric.Errorf(ferric.CodeConflict, "standalone_ports_supported can not be set to False, because the port group %s contains port with %s", now.UUID, reasons)
		}
	}
	return nil
}

func usedAlone(p *ferric.Port, pxe, vif string) string {
	var reasons []string
	if p.PXEEnabled {
		reasons = append(reasons, pxe)
	}
	if PluggedVIF(p.InternalInfo) != "" {
		reasons = append(reasons, vif)
	}
	return strings.Join(reasons, ", ")
}
