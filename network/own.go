package network

import (
	"context"
	"net/url"
	"slices"
	"strings"

	"ferric"
	"ferric/driver"
)

// How ports of Ferric's own are known.

// namePrefix begins the name of each.
const namePrefix = "ferric-"

func portName(purpose driver.NetworkPurpose, port string) string {
	return namePrefix + string(purpose) + "-" + port
}

// vifKey is where the internal_info of a port holds the Neutron port of a purpose, as in Ironic.
func vifKey(purpose driver.NetworkPurpose) string { return string(purpose) + "_vif_port_id" }

// purposes lists those that ports may be made for.
func purposes() []driver.NetworkPurpose {
	return []driver.NetworkPurpose{driver.ForProvisioning, driver.ForCleaning, driver.ForRescue, driver.ForInspection, driver.ForServicing}
}

// own lists the ports in Neutron that were made for a node by Ferric, or by an Ironic that was here before.
func (i *Interface) own(ctx context.Context, m *driver.Machine) ([]*Port, error) {
	hosts := []string{m.Node.UUID}
	for _, p := range m.Ports {
		if host, _ := hostOf(m.Node, p); host != "" && !slices.Contains(hosts, host) {
			hosts = append(hosts, host)
		}
	}
	found, err := i.Client.Ports(ctx, url.Values{attrOwner: {ownerBareMetal}, attrHost: hosts})
	if err != nil {
		return nil, i.failed(err, "list the ports of node %s", m.Node.UUID)
	}
	var vifs []string
	for _, v := range driver.AttachedVIFs(m) {
		vifs = append(vifs, v.ID)
	}
	return slices.DeleteFunc(found, func(p *Port) bool {
		return slices.Contains(vifs, p.ID) || !madeFor(p, m)
	}), nil
}

// madeFor reports whether a port was made for a node: it has a name of ours, and for one of its ports unless that is gone; or none, as Ironic's.
func madeFor(p *Port, m *driver.Machine) bool {
	if p.Name == "" {
		return p.DeviceID == m.Node.UUID || p.DeviceID == m.Node.InstanceID && p.DeviceID != ""
	}
	_, port, ok := parseName(p.Name)
	return ok && (p.HostID == m.Node.UUID || slices.ContainsFunc(m.Ports, func(o *ferric.Port) bool { return o.UUID == port }))
}

// parseName takes the name of a port of ours apart.
func parseName(name string) (purpose driver.NetworkPurpose, port string, ok bool) {
	rest, ours := strings.CutPrefix(name, namePrefix)
	if !ours {
		return "", "", false
	}
	what, port, ok := strings.Cut(rest, "-")
	return driver.NetworkPurpose(what), port, ok && slices.Contains(purposes(), driver.NetworkPurpose(what))
}

// note writes down which Neutron port a port has for a purpose; id "" is none. With alone those of all other purposes are forgotten.
func note(ctx context.Context, t *driver.Task, p *ferric.Port, purpose driver.NetworkPurpose, id string, alone bool) error {
	want := map[string]string{vifKey(purpose): id}
	for _, other := range purposes() {
		if alone && other != purpose {
			want[vifKey(other)] = ""
		}
	}
	same := true
	for key, id := range want {
		is, _ := p.InternalInfo[key].(string)
		same = same && is == id
	}
	if same {
		return nil
	}
	changed, err := t.PortStore.UpdatePort(ctx, p.UUID, func(p *ferric.Port) error {
		if p.InternalInfo == nil {
			p.InternalInfo = map[string]any{}
		}
		for key, id := range want {
			if p.InternalInfo[key] = id; id == "" {
				delete(p.InternalInfo, key)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	if at := slices.IndexFunc(t.Ports, func(o *ferric.Port) bool { return o.UUID == p.UUID }); at >= 0 {
		t.Ports[at] = changed
	}
	return nil
}
