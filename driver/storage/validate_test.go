package storage_test

import (
	"strings"
	"testing"

	"ferric"
	"ferric/driver"
	"ferric/driver/storage"
)

func TestValidate(t *testing.T) {
	iqn := []*ferric.VolumeConnector{{Type: "iqn", ConnectorID: "iqn.2026-11.org.example:one"}}
	fc := []*ferric.VolumeConnector{{Type: "wwpn", ConnectorID: "p"}, {Type: "wwnn", ConnectorID: "n"}}
	target := func(typ string, index int) []*ferric.VolumeTarget {
		return []*ferric.VolumeTarget{{UUID: "t1", VolumeID: "v1", Type: typ, BootIndex: index}}
	}
	for name, c := range map[string]struct {
		boot, capabilities string
		image              bool
		connectors         []*ferric.VolumeConnector
		targets            []*ferric.VolumeTarget
		cinder, external   string // what is said against it
	}{
		"nothing":              {},
		"iSCSI":                {boot: "ipxe", capabilities: "iscsi_boot:True", connectors: iqn, targets: target("iscsi", 0)},
		"iSCSI, second volume": {boot: "ipxe", connectors: iqn, targets: target("iscsi", 1)},
		"by pxe": {boot: "pxe", capabilities: "iscsi_boot:True", connectors: iqn, targets: target("iscsi", 0),
			cinder: "the boot interface must be set to ``ipxe``", external: "the boot interface must be set to ``ipxe``."},
		"by pxe, with an image": {boot: "pxe", image: true, targets: target("iscsi", 0), cinder: "the capability 'iscsi_boot' is not set for the node."},
		"no capability":         {boot: "ipxe", connectors: iqn, targets: target("iscsi", 0), cinder: "Volume target t1 is configured for 'iscsi', however the capability 'iscsi_boot' is not set for the node."},
		"capability is false":   {boot: "ipxe", capabilities: "iscsi_boot:no", connectors: iqn, targets: target("iscsi", 0), cinder: "the capability 'iscsi_boot' is not set"},
		"no connector":          {boot: "ipxe", capabilities: "iscsi_boot:true", cinder: "an associated volume_connector type must be valid for iSCSI (iqn)."},
		"no iSCSI connector":    {boot: "ipxe", connectors: fc, targets: target("iscsi", 1), cinder: "however no iSCSI connectors are configured for the node."},
		"Fibre Channel":         {boot: "ipxe", capabilities: "fibre_channel_boot:true", connectors: fc, targets: target("fibre_channel", 0)},
		"half a pair":           {boot: "ipxe", connectors: fc[:1], cinder: "There are 1 wwpn entries and 0 wwnn entries."},
		"FC without connectors": {boot: "ipxe", capabilities: "fibre_channel_boot:1", cinder: "must be valid for Fibre Channel (wwpn, wwnn)."},
		"FC without capability": {boot: "ipxe", connectors: fc, targets: target("fibre_channel", 0), cinder: "the capability 'fibre_channel_boot' is not set on node."},
		"FC volume, no WWPN":    {boot: "ipxe", connectors: iqn, targets: target("fibre_channel", 1), cinder: "no Fibre Channel WWPNs are configured"},
		"unknown type":          {boot: "ipxe", connectors: iqn, targets: target("nfs", 1), cinder: "Volume target t1 is of an unknown type 'nfs'. Supported types: 'iscsi' or 'fibre_channel'"},
		"no volume":             {boot: "ipxe", targets: []*ferric.VolumeTarget{{UUID: "t1", Type: "iscsi", BootIndex: 1}}, cinder: "volume_id missing from target t1."},
	} {
		t.Run(name, func(t *testing.T) {
			n := &ferric.Node{UUID: node, Interfaces: map[ferric.InterfaceKind]string{ferric.KindBoot: c.boot}, Properties: map[string]any{"capabilities": c.capabilities}}
			if c.image {
				n.InstanceInfo = map[string]any{"image_source": "http://i"}
			}
			m := &driver.Machine{Node: n, Connectors: c.connectors, Targets: c.targets}
			for kind, want := range map[string]string{"cinder": c.cinder, "external": c.external} {
				var impl driver.Storage = storage.External{}
				if kind == "cinder" {
					impl = &storage.Cinder{}
				}
				err := impl.Validate(t.Context(), m)
				if want == "" && err == nil {
					continue
				}
				if want == "" || !ferric.IsCode(err, ferric.CodeInvalid) || !strings.Contains(err.Error(), want) ||
					!strings.HasPrefix(err.Error(), "Failed to validate "+kind+" storage interface for node "+node+". ") {
					t.Errorf("%s: %v, want %q", kind, err, want)
				}
			}
			boots := len(c.targets) > 0 && c.targets[0].BootIndex == 0
			if got := (storage.External{}).WritesImage(m); got != (c.image || !boots) {
				t.Errorf("writes an image: %t", got)
			}
		})
	}
}
