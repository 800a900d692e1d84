package noop

import (
	"context"
	"slices"

	"ferric"
	"ferric/driver"
)

// vifKey is where a port's internal_info holds the attached VIF, as in Ironic.
const vifKey = "tenant_vif_port_id"

// Network is the network interface "noop": machines stay on the network that they are cabled to. It refuses no VIF, as Ironic's does not;
// VIFs are noted on the ports while there are free ones, so that it can tell which are attached.
type Network struct{}

// Properties implements driver.Interface.
func (Network) Properties() map[string]string { return nil }

// Validate implements driver.Interface.
func (Network) Validate(context.Context, *driver.Machine) error { return nil }

// Connect implements driver.Network.
func (Network) Connect(context.Context, *driver.Task, driver.NetworkPurpose) error { return nil }

// Disconnect implements driver.Network.
func (Network) Disconnect(context.Context, *driver.Task, driver.NetworkPurpose) error { return nil }

// AttachVIF implements driver.Network. A VIF takes the first free port that machines boot from, else the first free one, else none.
func (Network) AttachVIF(ctx context.Context, t *driver.Task, vif driver.VIF) error {
	var free []*ferric.Port
	for _, p := range t.Machine.Ports {
		switch p.InternalInfo[vifKey] {
		case nil, "":
			free = append(free, p)
		case vif.ID:
			return nil
		}
	}
	if want, ok := vif.Extra["port_uuid"].(string); ok {
		free = slices.DeleteFunc(free, func(p *ferric.Port) bool { return p.UUID != want })
	}
	if len(free) == 0 {
		return nil
	}
	slices.SortStableFunc(free, func(a, b *ferric.Port) int {
		switch {
		case a.PXEEnabled && !b.PXEEnabled:
			return -1
		case b.PXEEnabled && !a.PXEEnabled:
			return 1
		}
		return 0
	})
	_, err := t.PortStore.UpdatePort(ctx, free[0].UUID, func(p *ferric.Port) error {
		if p.InternalInfo == nil {
			p.InternalInfo = map[string]any{}
		}
		p.InternalInfo[vifKey] = vif.ID
		return nil
	})
	return err
}

// DetachVIF implements driver.Network.
func (Network) DetachVIF(ctx context.Context, t *driver.Task, id string) error {
	for _, p := range t.Machine.Ports {
		if p.InternalInfo[vifKey] != id {
			continue
		}
		_, err := t.PortStore.UpdatePort(ctx, p.UUID, func(p *ferric.Port) error {
			delete(p.InternalInfo, vifKey)
			return nil
		})
		return err
	}
	return nil
}

// VIFs implements driver.Network.
func (Network) VIFs(_ context.Context, m *driver.Machine) ([]driver.VIF, error) {
	var out []driver.VIF
	for _, p := range m.Ports {
		if id, _ := p.InternalInfo[vifKey].(string); id != "" {
			out = append(out, driver.VIF{ID: id})
		}
	}
	return out, nil
}
