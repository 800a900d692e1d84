package gophercloud

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack/baremetal/v1/nodes"
)

func each(t *testing.T, test func(*testing.T, *gophercloud.ServiceClient)) {
	for _, v := range versions {
		t.Run(v, func(t *testing.T) { test(t, client(t, v)) })
	}
}

func TestNodes(t *testing.T) {
	each(t, func(t *testing.T, c *gophercloud.ServiceClient) {
		yes := true
		made := newNode(t, c, nodes.CreateOpts{Name: "metal-one", ResourceClass: "gold", Properties: map[string]any{"cpus": 4.0},
			DriverInfo: map[string]any{"ipmi_password": "secret"}, Extra: map[string]any{"rack": "r1"}, AutomatedClean: &yes,
			ConductorGroup: "", Owner: ""})
		if made.Name != "metal-one" || made.ProvisionState != string(nodes.Enroll) || made.DriverInfo["ipmi_password"] != "******" ||
			made.PowerInterface != "fake" || made.AutomatedClean == nil || !*made.AutomatedClean || made.CreatedAt.IsZero() {
			t.Errorf("made: %+v", made)
		}
		for _, ident := range []string{made.UUID, "metal-one"} {
			got, err := nodes.Get(t.Context(), c, ident).Extract()
			check(t, err)
			if diff := cmp.Diff(made, got); diff != "" {
				t.Errorf("show is not what create said (-create +show):\n%s", diff)
			}
		}
		_, err := nodes.Create(t.Context(), c, nodes.CreateOpts{Driver: "fake-hardware", Name: "metal-one"}).Extract()
		refused(t, err, 409)
		_, err = nodes.Create(t.Context(), c, nodes.CreateOpts{Driver: "nothing"}).Extract()
		refused(t, err, 400)

		changed, err := nodes.Update(t.Context(), c, made.UUID, nodes.UpdateOpts{
			nodes.UpdateOperation{Op: nodes.ReplaceOp, Path: "/name", Value: "metal-two"},
			nodes.UpdateOperation{Op: nodes.AddOp, Path: "/properties/memory_mb", Value: 4096},
			nodes.UpdateOperation{Op: nodes.RemoveOp, Path: "/extra/rack"},
		}).Extract()
		check(t, err)
		if changed.Name != "metal-two" || changed.Properties["memory_mb"] != 4096.0 || len(changed.Extra) != 0 || changed.UpdatedAt.IsZero() {
			t.Errorf("changed: %+v", changed)
		}
		_, err = nodes.Update(t.Context(), c, made.UUID, nodes.UpdateOpts{nodes.UpdateOperation{Op: nodes.ReplaceOp, Path: "/provision_state", Value: "active"}}).Extract()
		refused(t, err, 400)

		check(t, nodes.Delete(t.Context(), c, made.UUID).ExtractErr())
		refused(t, nodes.Get(t.Context(), c, made.UUID).Err, 404)
		refused(t, nodes.Delete(t.Context(), c, made.UUID).ExtractErr(), 404)
	})
}

func TestNodeLists(t *testing.T) {
	each(t, func(t *testing.T, c *gophercloud.ServiceClient) {
		a := newNode(t, c, nodes.CreateOpts{Name: "a", ResourceClass: "gold"})
		b := newNode(t, c, nodes.CreateOpts{Name: "b", ResourceClass: "silver", ConductorGroup: ""})
		check(t, nodes.SetMaintenance(t.Context(), c, b.UUID, nodes.MaintenanceOpts{Reason: "fan"}).ExtractErr())
		_, err := nodes.Update(t.Context(), c, b.UUID, nodes.UpdateOpts{
			nodes.UpdateOperation{Op: nodes.AddOp, Path: "/instance_uuid", Value: "5e0ca0d7-1d15-4d43-8b2a-5d2c0f7f2d1b"},
			nodes.UpdateOperation{Op: nodes.AddOp, Path: "/owner", Value: "somebody"}}).Extract()
		check(t, err)
		for name, test := range map[string]struct {
			opts nodes.ListOpts
			want []string
		}{
			"all":            {nodes.ListOpts{SortKey: "name"}, []string{"a", "b"}},
			"other order":    {nodes.ListOpts{SortKey: "name", SortDir: "desc"}, []string{"b", "a"}},
			"resource class": {nodes.ListOpts{ResourceClass: "gold"}, []string{"a"}},
			"maintenance":    {nodes.ListOpts{Maintenance: true}, []string{"b"}},
			"associated":     {nodes.ListOpts{Associated: true}, []string{"b"}},
			"instance":       {nodes.ListOpts{InstanceUUID: "5e0ca0d7-1d15-4d43-8b2a-5d2c0f7f2d1b"}, []string{"b"}},
			"driver":         {nodes.ListOpts{Driver: "fake-hardware", SortKey: "name"}, []string{"a", "b"}},
			"another driver": {nodes.ListOpts{Driver: "ipmi"}, nil},
			"state":          {nodes.ListOpts{ProvisionState: nodes.Enroll, SortKey: "name"}, []string{"a", "b"}},
			"another state":  {nodes.ListOpts{ProvisionState: nodes.Active}, nil},
			"owner":          {nodes.ListOpts{Owner: "somebody"}, []string{"b"}},
			"fault":          {nodes.ListOpts{Fault: "power failure"}, nil},
			"marker":         {nodes.ListOpts{Marker: a.UUID, SortKey: "name"}, []string{"b"}},
		} {
			for kind, pager := range map[string]func(*gophercloud.ServiceClient, nodes.ListOptsBuilder) ([]nodes.Node, error){
				"list": func(c *gophercloud.ServiceClient, o nodes.ListOptsBuilder) ([]nodes.Node, error) {
					p, err := nodes.List(c, o).AllPages(t.Context())
					if err != nil {
						return nil, err
					}
					return nodes.ExtractNodes(p)
				},
				"detail": func(c *gophercloud.ServiceClient, o nodes.ListOptsBuilder) ([]nodes.Node, error) {
					p, err := nodes.ListDetail(c, o).AllPages(t.Context())
					if err != nil {
						return nil, err
					}
					return nodes.ExtractNodes(p)
				},
			} {
				list, err := pager(c, test.opts)
				check(t, err)
				var got []string
				for _, n := range list {
					got = append(got, n.Name)
					if full := n.Driver != ""; full != (kind == "detail") {
						t.Errorf("%s %s: shows a driver: %v", kind, name, full)
					}
				}
				if diff := cmp.Diff(test.want, got); diff != "" {
					t.Errorf("%s %s:\n%s", kind, name, diff)
				}
			}
		}
		p, err := nodes.List(c, nodes.ListOpts{Fields: []string{"uuid", "driver"}, Limit: 1}).AllPages(t.Context())
		check(t, err)
		list, err := nodes.ExtractNodes(p)
		check(t, err)
		if len(list) != 1 || list[0].Driver == "" || list[0].Name != "" {
			t.Errorf("a page of one node with two fields: %+v", list)
		}
	})
}

func TestMaintenance(t *testing.T) {
	each(t, func(t *testing.T, c *gophercloud.ServiceClient) {
		n := newNode(t, c, nodes.CreateOpts{})
		check(t, nodes.SetMaintenance(t.Context(), c, n.UUID, nodes.MaintenanceOpts{Reason: "disk"}).ExtractErr())
		n, err := nodes.Get(t.Context(), c, n.UUID).Extract()
		check(t, err)
		if !n.Maintenance || n.MaintenanceReason != "disk" {
			t.Errorf("set: %+v", n)
		}
		check(t, nodes.UnsetMaintenance(t.Context(), c, n.UUID).ExtractErr())
		if n, err = nodes.Get(t.Context(), c, n.UUID).Extract(); err != nil || n.Maintenance || n.MaintenanceReason != "" {
			t.Errorf("cleared: %+v, %v", n, err)
		}
	})
}

func TestPower(t *testing.T) {
	each(t, func(t *testing.T, c *gophercloud.ServiceClient) {
		n := newNode(t, c, nodes.CreateOpts{})
		for _, step := range []struct {
			opts nodes.PowerStateOpts
			want string
		}{
			{nodes.PowerStateOpts{Target: nodes.PowerOn}, "power on"}, {nodes.PowerStateOpts{Target: nodes.SoftRebooting, Timeout: 30}, "power on"},
			{nodes.PowerStateOpts{Target: nodes.SoftPowerOff}, "power off"}, {nodes.PowerStateOpts{Target: nodes.Rebooting}, "power on"},
			{nodes.PowerStateOpts{Target: nodes.PowerOff}, "power off"},
		} {
			check(t, nodes.ChangePowerState(t.Context(), c, n.UUID, step.opts).ExtractErr())
			until(t, c, n.UUID, func(n *nodes.Node) bool { return n.PowerState == step.want && n.TargetPowerState == "" })
		}
		refused(t, nodes.ChangePowerState(t.Context(), c, n.UUID, nodes.PowerStateOpts{Target: "sideways"}).ExtractErr(), 400)
	})
}

func TestManagement(t *testing.T) {
	each(t, func(t *testing.T, c *gophercloud.ServiceClient) {
		n := newNode(t, c, nodes.CreateOpts{})
		supported, err := nodes.GetSupportedBootDevices(t.Context(), c, n.UUID).Extract()
		check(t, err)
		if len(supported) == 0 {
			t.Error("no boot device is supported")
		}
		check(t, nodes.SetBootDevice(t.Context(), c, n.UUID, nodes.BootDeviceOpts{BootDevice: "pxe", Persistent: true}).ExtractErr())
		got, err := nodes.GetBootDevice(t.Context(), c, n.UUID).Extract()
		check(t, err)
		if got.BootDevice != "pxe" {
			t.Errorf("boot device %+v", got)
		}
		refused(t, nodes.SetBootDevice(t.Context(), c, n.UUID, nodes.BootDeviceOpts{BootDevice: "tape"}).ExtractErr(), 400)
		check(t, nodes.InjectNMI(t.Context(), c, n.UUID).ExtractErr())
	})
}

func TestValidate(t *testing.T) {
	each(t, func(t *testing.T, c *gophercloud.ServiceClient) {
		n := newNode(t, c, nodes.CreateOpts{})
		v, err := nodes.Validate(t.Context(), c, n.UUID).Extract()
		check(t, err)
		for name, got := range map[string]nodes.DriverValidation{"boot": v.Boot, "management": v.Management, "power": v.Power, "network": v.Network, "inspect": v.Inspect} {
			if !got.Result || got.Reason != "" {
				t.Errorf("%s: %+v", name, got)
			}
		}
	})
}

func TestVirtualInterfaces(t *testing.T) {
	each(t, func(t *testing.T, c *gophercloud.ServiceClient) {
		n := newNode(t, c, nodes.CreateOpts{})
		port := newPort(t, c, n.UUID, "52:54:00:aa:00:01")
		const vif = "c1d2e3f4-0000-4000-8000-000000000001"
		check(t, nodes.AttachVirtualInterface(t.Context(), c, n.UUID, nodes.VirtualInterfaceOpts{ID: vif}).ExtractErr())
		list, err := nodes.ListVirtualInterfaces(t.Context(), c, n.UUID).Extract()
		check(t, err)
		if len(list) != 1 || list[0].ID != vif {
			t.Errorf("attached: %+v", list)
		}
		check(t, nodes.DetachVirtualInterface(t.Context(), c, n.UUID, vif).ExtractErr())
		list, err = nodes.ListVirtualInterfaces(t.Context(), c, n.UUID).Extract()
		check(t, err)
		if len(list) != 0 {
			t.Errorf("after the detach: %+v", list)
		}
		if c.Microversion >= "1.72" || len(c.Microversion) > 4 {
			check(t, nodes.AttachVirtualInterface(t.Context(), c, n.UUID, nodes.VirtualInterfaceOpts{ID: vif, PortUUID: port}).ExtractErr())
			check(t, nodes.DetachVirtualInterface(t.Context(), c, n.UUID, vif).ExtractErr())
		}
	})
}
