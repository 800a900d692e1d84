package storage

import (
	"context"
	"strings"

	"ferric"
	"ferric/driver"
)

// Validate implements driver.Interface: connectors, targets and the node's capabilities must fit together. Cinder is not asked.
func (c *Cinder) Validate(_ context.Context, m *driver.Machine) error {
	fail := func(format string, args ...any) error {
		err := ferric.Errorf(ferric.CodeInvalid, format, args...)
		return ferric.Errorf(ferric.CodeInvalid, "Failed to validate cinder storage interface for node %s. %w", m.Node.UUID, err)
	}
	iscsi, wwpn, wwnn := 0, 0, 0
	for _, v := range m.Connectors {
		switch {
		case v.ConnectorID == "":
		case v.Type == "iqn":
			if iscsi++; !bootsByIPXE(m.Node) {
				return fail("The [pxe]/ipxe_enabled option must be set to True or the boot interface must be set to ``ipxe`` to support network booting to an iSCSI volume.")
			}
		case v.Type == "wwpn":
			wwpn++
		case v.Type == "wwnn":
			wwnn++
		}
	}
	if wwpn != wwnn {
		return fail("Cinder requires both wwnn and wwpn entries for FCoE connections. There must be a wwpn entry for every wwnn entry. "+
			"There are %d wwpn entries and %d wwnn entries.", wwpn, wwnn)
	}
	iscsiBoot, fcBoot := truth(m.Node, "iscsi_boot"), truth(m.Node, "fibre_channel_boot")
	if iscsiBoot && iscsi == 0 {
		return fail("In order to enable the 'iscsi_boot' capability for the node, an associated volume_connector type must be valid for iSCSI (iqn).")
	}
	if fcBoot && wwpn == 0 {
		return fail("In order to enable the 'fibre_channel_boot' capability for the node, an associated volume_connector type must be valid for Fibre Channel (wwpn, wwnn).")
	}
	for _, v := range m.Targets {
		switch {
		case v.VolumeID == "":
			return fail("volume_id missing from target %s.", v.UUID)
		case v.Type == "fibre_channel" && !fcBoot && v.BootIndex == 0:
			return fail("Volume target %s is configured for 'fibre_channel', however the capability 'fibre_channel_boot' is not set on node.", v.UUID)
		case v.Type == "fibre_channel" && wwpn == 0:
			return fail("Volume target %s is configured for 'fibre_channel', however no Fibre Channel WWPNs are configured for the node volume connectors.", v.UUID)
		case v.Type == "iscsi" && !iscsiBoot && v.BootIndex == 0:
			return fail("Volume target %s is configured for 'iscsi', however the capability 'iscsi_boot' is not set for the node.", v.UUID)
		case v.Type == "iscsi" && iscsi == 0:
			return fail("Volume target %s is configured for 'iscsi', however no iSCSI connectors are configured for the node.", v.UUID)
		case v.Type != "iscsi" && v.Type != "fibre_channel":
			return fail("Volume target %s is of an unknown type '%s'. Supported types: 'iscsi' or 'fibre_channel'", v.UUID, v.Type)
		}
	}
	return nil
}

// truth reads a capability as oslo_utils' bool_from_string does.
func truth(n *ferric.Node, capability string) bool {
	switch strings.ToLower(strings.TrimSpace(n.Capabilities()[capability])) {
	case "1", "t", "true", "on", "y", "yes":
		return true
	}
	return false
}
