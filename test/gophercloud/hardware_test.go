package gophercloud

import (
	"net/http"
	"testing"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack/baremetal/v1/nodes"
)

func TestBIOS(t *testing.T) {
	each(t, func(t *testing.T, c *gophercloud.ServiceClient) {
		n := newNode(t, c, nodes.CreateOpts{})
		verb(t, c, n.UUID, nodes.ProvisionStateOpts{Target: nodes.TargetManage}, nodes.Manageable)
		settings, err := nodes.ListBIOSSettings(t.Context(), c, n.UUID, nil).Extract()
		check(t, err)
		if len(settings) == 0 {
			t.Error("fake-hardware has no BIOS settings")
		}
		for _, s := range settings {
			r := nodes.GetBIOSSetting(t.Context(), c, n.UUID, s.Name)
			check(t, r.Err)
			// Extract looks for a key "Setting", which Ironic has not either: the key is the setting's name.
			var one map[string]nodes.BIOSSetting
			check(t, r.ExtractInto(&one))
			if one[s.Name].Value != s.Value {
				t.Errorf("%s is %q in the list and %q alone", s.Name, s.Value, one[s.Name].Value)
			}
		}
		refused(t, nodes.GetBIOSSetting(t.Context(), c, n.UUID, "NoSuchSetting").Err, 404)
		if c.Microversion != "1.50" && c.Microversion != "1.72" {
			_, err = nodes.ListBIOSSettings(t.Context(), c, n.UUID, nodes.ListBIOSSettingsOpts{Detail: true}).Extract()
			check(t, err)
			_, err = nodes.ListBIOSSettings(t.Context(), c, n.UUID, nodes.ListBIOSSettingsOpts{Fields: []string{"name", "value"}}).Extract()
			check(t, err)
		}
	})
}

func TestFirmware(t *testing.T) {
	c := client(t, "1.115")
	n := newNode(t, c, nodes.CreateOpts{})
	verb(t, c, n.UUID, nodes.ProvisionStateOpts{Target: nodes.TargetManage}, nodes.Manageable)
	components, err := nodes.ListFirmware(t.Context(), c, n.UUID).Extract()
	check(t, err)
	if len(components) == 0 {
		t.Error("fake-hardware has no firmware components")
	}
	for _, f := range components {
		if f.Component == "" {
			t.Errorf("a component without a name: %+v", f)
		}
	}
	refused(t, nodes.ListFirmware(t.Context(), client(t, "1.85"), n.UUID).Err, 404)
}

func TestRAID(t *testing.T) {
	each(t, func(t *testing.T, c *gophercloud.ServiceClient) {
		n := newNode(t, c, nodes.CreateOpts{RAIDInterface: "fake"})
		size := 100
		check(t, nodes.SetRAIDConfig(t.Context(), c, n.UUID, nodes.RAIDConfigOpts{LogicalDisks: []nodes.LogicalDisk{
			{SizeGB: &size, RAIDLevel: nodes.RAID1}, {RAIDLevel: nodes.RAID5, DiskType: nodes.SSD}}}).ExtractErr())
		got, err := nodes.Get(t.Context(), c, n.UUID).Extract()
		check(t, err)
		disks, _ := got.TargetRAIDConfig["logical_disks"].([]any)
		if len(disks) != 2 || disks[1].(map[string]any)["size_gb"] != "MAX" {
			t.Errorf("target_raid_config: %v", got.TargetRAIDConfig)
		}
		refused(t, nodes.SetRAIDConfig(t.Context(), c, n.UUID, nodes.RAIDConfigOpts{LogicalDisks: []nodes.LogicalDisk{{SizeGB: &size, RAIDLevel: "99"}}}).ExtractErr(), 400)
	})
}

func TestInventory(t *testing.T) {
	c := client(t, "1.115")
	n := newNode(t, c, nodes.CreateOpts{})
	refused(t, nodes.GetInventory(t.Context(), c, n.UUID).Err, 404)
	verb(t, c, n.UUID, nodes.ProvisionStateOpts{Target: nodes.TargetManage}, nodes.Manageable)
	verb(t, c, n.UUID, nodes.ProvisionStateOpts{Target: nodes.TargetInspect}, nodes.Manageable)
	data, err := nodes.GetInventory(t.Context(), c, n.UUID).Extract()
	if err != nil {
		refused(t, err, 404) // a driver that finds no inventory
		return
	}
	if _, err := data.PluginData.AsMap(); err != nil {
		t.Errorf("plugin_data: %v", err)
	}
}

func TestVirtualMedia(t *testing.T) {
	c := client(t, "1.115")
	n := newNode(t, c, nodes.CreateOpts{})
	verb(t, c, n.UUID, nodes.ProvisionStateOpts{Target: nodes.TargetManage}, nodes.Manageable)
	check(t, nodes.AttachVirtualMedia(t.Context(), c, n.UUID, nodes.AttachVirtualMediaOpts{DeviceType: nodes.VirtualMediaCD, ImageURL: "http://192.0.2.1/x.iso"}).ExtractErr())
	check(t, nodes.GetVirtualMedia(t.Context(), c, n.UUID).Err)
	check(t, nodes.DetachVirtualMedia(t.Context(), c, n.UUID, nodes.DetachVirtualMediaOpts{DeviceTypes: []nodes.VirtualMediaDeviceType{nodes.VirtualMediaCD}}).ExtractErr())
	check(t, nodes.DetachVirtualMedia(t.Context(), c, n.UUID, nodes.DetachVirtualMediaOpts{}).ExtractErr())
	refused(t, nodes.AttachVirtualMedia(t.Context(), c, n.UUID, nodes.AttachVirtualMediaOpts{DeviceType: "tape", ImageURL: "http://192.0.2.1/x.iso"}).ExtractErr(), 400)
}

func TestVendorPassthru(t *testing.T) {
	each(t, func(t *testing.T, c *gophercloud.ServiceClient) {
		n := newNode(t, c, nodes.CreateOpts{VendorInterface: "fake"})
		methods, err := nodes.ListVendorPassthruMethods(t.Context(), c, n.UUID).Extract()
		check(t, err)
		if len(methods) == 0 {
			t.Fatal("fake-hardware has no vendor method")
		}
		for name, m := range methods {
			if m.Description == "" && len(m.HTTPMethods) == 0 {
				t.Errorf("%s says nothing of itself: %+v", name, m)
			}
		}
		r := nodes.CallVendorPassthru(t.Context(), c, n.UUID, http.MethodPost, nodes.VendorPassthruCallOpts{Method: "second_method", Body: map[string]any{"bar": "kazoo"}})
		check(t, r.Err)
		refused(t, nodes.CallVendorPassthru(t.Context(), c, n.UUID, http.MethodPost, nodes.VendorPassthruCallOpts{Method: "no_such", Body: map[string]any{}}).Err, 400)
	})
}

// TestSubscriptions: Redfish subscriptions are a vendor method of drivers that have them; fake-hardware says that it has not.
func TestSubscriptions(t *testing.T) {
	c := client(t, "1.115")
	n := newNode(t, c, nodes.CreateOpts{VendorInterface: "fake"})
	refused(t, nodes.GetAllSubscriptions(t.Context(), c, n.UUID, nodes.CallVendorPassthruOpts{Method: "get_all_subscriptions"}).Err, 400)
	refused(t, nodes.CreateSubscription(t.Context(), c, n.UUID, nodes.CallVendorPassthruOpts{Method: "create_subscription"},
		nodes.CreateSubscriptionOpts{Destination: "https://192.0.2.1/events"}).Err, 400)
}
