package noop

import (
	"context"

	"ferric"
	"ferric/driver"
)

// Network is the network interface "noop": machines stay on the network that they are cabled to. It refuses no VIF, as Ironic's does not;
// VIFs are noted on port groups and ports while there are free ones, so that it can tell which are attached.
type Network struct{}

// Properties implements driver.Interface.
func (Network) Properties() map[string]string { return nil }

// Validate implements driver.Interface.
func (Network) Validate(context.Context, *driver.Machine) error { return nil }

// Connect implements driver.Network.
func (Network) Connect(context.Context, *driver.Task, driver.NetworkPurpose) error { return nil }

// Disconnect implements driver.Network.
func (Network) Disconnect(context.Context, *driver.Task, driver.NetworkPurpose) error { return nil }

// AttachVIF implements driver.Network.
func (Network) AttachVIF(ctx context.Context, t *driver.Task, vif driver.VIF) error {
	free, err := driver.FreeSockets(t.Machine, vif, nil)
	if err != nil || len(free) == 0 {
		return nil // it is attached already, or there is no place to note it
	}
	return t.Plug(ctx, free[0], vif.ID)
}

// DetachVIF implements driver.Network.
func (Network) DetachVIF(ctx context.Context, t *driver.Task, id string) error {
	for _, s := range driver.Sockets(t.Machine) {
		if s.VIF() == id {
			return t.Plug(ctx, s, "")
		}
	}
	return nil
}

// VIFs implements driver.Network.
func (Network) VIFs(_ context.Context, m *driver.Machine) ([]driver.VIF, error) {
	return driver.AttachedVIFs(m), nil
}

// PortChanged implements driver.PortWatcher.
func (Network) PortChanged(_ context.Context, t *driver.Task, now, before *ferric.Port) error {
	return driver.CheckStandalonePort(t.Machine, now, before)
}

// PortgroupChanged implements driver.PortWatcher.
func (Network) PortgroupChanged(_ context.Context, t *driver.Task, now, before *ferric.Portgroup) error {
	return driver.CheckStandalonePorts(t.Machine, now, before)
}
