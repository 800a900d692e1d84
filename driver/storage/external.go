package storage

import (
	"context"
	"strings"

	"ferric"
	"ferric/driver"
)

// External is the storage interface "external": somebody else attaches the volumes.
type External struct{}

var _ driver.VolumeStorage = External{}

// UsesVolumes implements driver.VolumeStorage.
func (External) UsesVolumes() {}

// Properties implements driver.Interface.
func (External) Properties() map[string]string { return nil }

// Validate implements driver.Interface.
func (External) Validate(_ context.Context, m *driver.Machine) error {
	if !writesImage(m) && !bootsByIPXE(m.Node) {
		return ferric.Errorf(ferric.CodeInvalid, "Failed to validate external storage interface for node %s. To support network booting to an iSCSI volume, "+
			"the boot interface must be set to ``ipxe``.", m.Node.UUID)
	}
	return nil
}

// Attach implements driver.Storage.
func (External) Attach(context.Context, *driver.Task) error { return nil }

// Detach implements driver.Storage.
func (External) Detach(context.Context, *driver.Task) error { return nil }

// WritesImage implements driver.Storage.
func (External) WritesImage(m *driver.Machine) bool { return writesImage(m) }

// writesImage: an image that is named is written; without one, a boot volume is taken to hold the system already.
func writesImage(m *driver.Machine) bool {
	_, named := m.Node.InstanceInfo["image_source"]
	return named || m.BootVolume() == nil
}

// bootsByIPXE reports whether the node's boot interface is one that can boot from iSCSI.
func bootsByIPXE(n *ferric.Node) bool {
	name := n.Interfaces[ferric.KindBoot]
	return name == "ipxe" || strings.HasPrefix(name, "ipxe-") || name == "http-ipxe"
}
