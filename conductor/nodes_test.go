package conductor_test

import (
	"maps"
	"slices"
	"testing"
	"time"

	"ferric"
	"ferric/conductor"
	"ferric/flow"
	"ferric/rpc"

	"github.com/google/uuid"
)

func TestCreateNode(t *testing.T) {
	b := newBench(t)
	b.boot("one")
	create := func(n *ferric.Node) (out ferric.Node, err error) {
		return out, b.call(rpc.CreateNode, rpc.NodeArgs{Node: n}, &out)
	}
	n, err := create(&ferric.Node{Driver: "lab", Interfaces: ferric.Interfaces{ferric.KindInspect: "no-inspect"}})
	if err != nil {
		t.Fatal(err)
	}
	same(t, "interfaces", ferric.Interfaces{ferric.KindBIOS: "no-bios", ferric.KindBoot: "lab", ferric.KindConsole: "no-console", ferric.KindDeploy: "direct",
		ferric.KindFirmware: "no-firmware", ferric.KindInspect: "no-inspect", ferric.KindManagement: "lab", ferric.KindNetwork: "noop", ferric.KindPower: "lab",
		ferric.KindRAID: "no-raid", ferric.KindRescue: "agent", ferric.KindStorage: "noop", ferric.KindVendor: "no-vendor"}, n.Interfaces)
	if n.UUID == "" || n.ProvisionState != ferric.Enroll || n.Version != 1 {
		t.Errorf("created %q in %q, version %d", n.UUID, n.ProvisionState, n.Version)
	}
	for name, c := range map[string]struct {
		node  *ferric.Node
		code  ferric.Code
		words []string
	}{
		"unknown driver":    {&ferric.Node{Driver: "redfish"}, ferric.CodeInvalid, []string{`"redfish"`, "lab, fake-hardware"}},
		"no driver":         {&ferric.Node{}, ferric.CodeInvalid, []string{"driver", "lab, fake-hardware"}},
		"unknown interface": {&ferric.Node{Driver: "lab", Interfaces: ferric.Interfaces{ferric.KindDeploy: "ansible"}}, ferric.CodeInvalid, []string{"deploy_interface", `"ansible"`, "direct, fake"}},
		"of another type":   {&ferric.Node{Driver: "fake-hardware", Interfaces: ferric.Interfaces{ferric.KindInspect: "agent"}}, ferric.CodeInvalid, []string{"inspect_interface", "fake, no-inspect"}},
		"uuid taken":        {&ferric.Node{UUID: n.UUID, Driver: "lab"}, ferric.CodeConflict, []string{n.UUID, "already exists"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := create(c.node)
			wantCode(t, err, c.code, c.words...)
		})
	}
}

func TestUpdateNode(t *testing.T) {
	b := newBench(t)
	b.boot("one")
	update := func(t *testing.T, m *machine, f func(*rpc.NodeArgs)) (ferric.Node, error) {
		t.Helper()
		a := rpc.NodeArgs{Node: b.node(m.id)}
		f(&a)
		var out ferric.Node
		return out, b.call(rpc.UpdateNode, a, &out)
	}
	inspect := func(a *rpc.NodeArgs) { a.Node.Interfaces[ferric.KindInspect] = "no-inspect" }
	t.Run("interface, states", func(t *testing.T) {
		allowed := []ferric.ProvisionState{ferric.Enroll, ferric.Manageable, ferric.Available, ferric.InspectWait, ferric.Inspecting}
		for _, s := range append(allowed, ferric.InspectFailed, ferric.Active, ferric.DeployFailed, ferric.CleanFailed, ferric.ErrorState) {
			m := b.site.node("lab", in(s))
			_, err := update(t, m, inspect)
			if slices.Contains(allowed, s) {
				if err != nil {
					t.Errorf("in %q: %v", s, err)
				}
				continue
			}
			if err == nil || b.node(m.id).Interfaces[ferric.KindInspect] != "agent" {
				t.Errorf("in %q the interface was changed: %v", s, err)
				continue
			}
			wantWords(t, err.Error(), "can not have inspect_interface updated", "manageable")
			b.change(m.id, func(n *ferric.Node) { n.Maintenance = true })
			if _, err := update(t, m, inspect); err != nil {
				t.Errorf("in %q and maintenance: %v", s, err)
			}
		}
	})
	t.Run("everything else, in any state", func(t *testing.T) {
		m := b.site.node("lab", in(ferric.Active))
		n, err := update(t, m, func(a *rpc.NodeArgs) { a.Node.Name, a.Node.Extra = "web-1", map[string]any{"rack": "7"} })
		if err != nil || n.Name != "web-1" || n.Extra["rack"] != "7" {
			t.Errorf("%q, %v, %v", n.Name, n.Extra, err)
		}
	})
	t.Run("another driver", func(t *testing.T) {
		m := b.site.node("lab", in(ferric.Manageable))
		_, err := update(t, m, func(a *rpc.NodeArgs) { a.Node.Driver = "fake-hardware" })
		wantCode(t, err, ferric.CodeInvalid, "_interface", "fake-hardware")
		n, err := update(t, m, func(a *rpc.NodeArgs) {
			a.Node.Driver, a.ResetInterfaces, a.Named = "fake-hardware", true, []string{"storage"}
			a.Node.Interfaces[ferric.KindStorage] = "fake"
		})
		if err != nil || n.Interfaces[ferric.KindPower] != "fake" || n.Interfaces[ferric.KindStorage] != "fake" {
			t.Errorf("interfaces %v, %v", n.Interfaces, err)
		}
	})
	t.Run("a version that is not the latest", func(t *testing.T) {
		m := b.site.node("lab")
		old := b.node(m.id)
		b.change(m.id, func(n *ferric.Node) { n.Description = "changed" })
		old.Name = "late"
		wantCode(t, b.call(rpc.UpdateNode, rpc.NodeArgs{Node: old}, nil), ferric.CodeConflict, m.id)
		if n := b.node(m.id); n.Name == "late" || n.Description != "changed" {
			t.Errorf("name %q, description %q", n.Name, n.Description)
		}
	})
	t.Run("what the API may not change", func(t *testing.T) {
		m := b.site.node("lab", in(ferric.Active), func(n *ferric.Node) {
			n.PowerState, n.LastError, n.Traits = ferric.PowerOn, "old", []string{"CUSTOM_A"}
		})
		before := b.node(m.id)
		n, err := update(t, m, func(a *rpc.NodeArgs) {
			a.Node.ProvisionState, a.Node.TargetProvisionState, a.Node.PowerState, a.Node.Reservation = ferric.Enroll, ferric.Active, ferric.PowerOff, "me"
			a.Node.LastError, a.Node.InternalInfo, a.Node.DeployStep = "", map[string]any{"a": 1}, map[string]any{"step": "x"}
			a.Node.Traits, a.Node.BootMode, a.Node.Conductor = nil, "bios", "me"
			a.Node.InspectionStartedAt, a.Node.CreatedAt = time.Now(), time.Now()
		})
		if err != nil {
			t.Fatal(err)
		}
		before.UpdatedAt, before.Version, before.LeaseEpoch = n.UpdatedAt, n.Version, n.LeaseEpoch
		same(t, "node", before, &n)
	})
	t.Run("the end of maintenance", func(t *testing.T) {
		m := b.site.node("lab", func(n *ferric.Node) {
			n.Maintenance, n.Fault, n.PowerState = true, ferric.FaultPower, ferric.PowerOn
		})
		n, err := update(t, m, func(a *rpc.NodeArgs) { a.Node.DriverInfo["password"] = "better" })
		if err != nil || n.Fault != ferric.FaultPower || n.PowerState != "" {
			t.Errorf("new credentials: fault %q, power %q, %v", n.Fault, n.PowerState, err)
		}
		n, err = update(t, m, func(a *rpc.NodeArgs) { a.Node.Maintenance = false })
		if err != nil || n.Fault != "" {
			t.Errorf("fault %q, %v", n.Fault, err)
		}
	})
	t.Run("no such node", func(t *testing.T) {
		wantCode(t, b.call(rpc.UpdateNode, rpc.NodeArgs{Node: &ferric.Node{UUID: uuid.NewString()}}, nil), ferric.CodeNotFound)
	})
}

func TestDestroyNode(t *testing.T) {
	b := newBench(t)
	b.boot("one")
	b.boot("two", func(c *conductor.Config) { c.DeleteAvailable = false })
	instance := func(n *ferric.Node) { n.InstanceID = uuid.NewString() }
	maintained := func(n *ferric.Node) { n.Maintenance = true }
	for name, c := range map[string]struct {
		change []func(*ferric.Node)
		host   int // index of the conductor
		words  []string
	}{
		"enroll":                       {change: []func(*ferric.Node){in(ferric.Enroll)}},
		"manageable":                   {change: []func(*ferric.Node){in(ferric.Manageable)}},
		"adopt failed":                 {change: []func(*ferric.Node){in(ferric.AdoptFailed)}},
		"available":                    {},
		"available, strict":            {host: 1, words: []string{`"available"`, "maintenance"}},
		"active":                       {change: []func(*ferric.Node){in(ferric.Active)}, words: []string{"Can not delete node", `"active"`, "manageable"}},
		"active in maintenance":        {change: []func(*ferric.Node){in(ferric.Active), maintained}},
		"instance":                     {change: []func(*ferric.Node){instance}, words: []string{"is associated with instance"}},
		"instance in maintenance":      {change: []func(*ferric.Node){instance, maintained}},
		"protected":                    {change: []func(*ferric.Node){in(ferric.Active), func(n *ferric.Node) { n.Protected = true }}, words: []string{"is protected"}},
		"protected and in maintenance": {change: []func(*ferric.Node){maintained, func(n *ferric.Node) { n.Protected = true }}, words: []string{"is protected"}},
	} {
		t.Run(name, func(t *testing.T) {
			m := b.site.node("lab", c.change...)
			err := b.procs[c.host].call(rpc.DestroyNode, ref(m.id), nil)
			_, gone := b.store.Node(t.Context(), m.id)
			if len(c.words) == 0 {
				if err != nil || !ferric.IsCode(gone, ferric.CodeNotFound) {
					t.Errorf("%v; the node is there: %v", err, gone)
				}
				return
			}
			if err == nil || gone != nil {
				t.Fatalf("it was deleted: %v, %v", err, gone)
			}
			wantWords(t, err.Error(), c.words...)
			if r := b.node(m.id).Reservation; r != "" {
				t.Errorf("still reserved by %q", r)
			}
		})
	}
	wantCode(t, b.call(rpc.DestroyNode, ref(uuid.NewString()), nil), ferric.CodeNotFound)
}

func TestValidateNode(t *testing.T) {
	b := newBench(t)
	b.boot("one")
	m := b.site.node("lab", func(n *ferric.Node) { n.DriverInfo, n.InstanceInfo = nil, nil })
	var v rpc.Validations
	if err := b.call(rpc.ValidateNode, ref(m.id), &v); err != nil {
		t.Fatal(err)
	}
	if _, vendor := v[ferric.KindVendor]; vendor || len(v) != len(ferric.InterfaceKinds())-1 {
		t.Errorf("%d kinds: %v", len(v), slices.Sorted(maps.Keys(v)))
	}
	for kind, words := range map[ferric.InterfaceKind]string{ferric.KindPower: "password is missing", ferric.KindDeploy: "image_source is missing",
		ferric.KindBIOS: "does not support bios", ferric.KindManagement: "", ferric.KindNetwork: ""} {
		if v[kind].Result != (words == "") {
			t.Errorf("%s: %+v", kind, v[kind])
		}
		wantWords(t, v[kind].Reason, words)
	}
	wantCode(t, b.call(rpc.ValidateNode, ref(uuid.NewString()), nil), ferric.CodeNotFound)
}

func TestDrivers(t *testing.T) {
	b := newBench(t)
	b.boot("one")
	var list []rpc.Driver
	if err := b.call(rpc.Drivers, nil, &list); err != nil {
		t.Fatal(err)
	}
	if len(list) != 2 || list[0].Name != "lab" || list[0].Hosts[0] != "one" || list[0].Default[ferric.KindDeploy] != "direct" ||
		!slices.Equal(list[0].Enabled[ferric.KindInspect], []string{"agent", "no-inspect"}) || list[0].Properties["password"] == "" {
		t.Errorf("drivers: %+v", list)
	}
}

func TestManagement(t *testing.T) {
	b := newBench(t)
	b.boot("one")
	m := b.site.node("lab")
	var devices []ferric.BootDevice
	var device rpc.BootDeviceReply
	if err := b.call(rpc.BootDevices, ref(m.id), &devices); err != nil || !slices.Equal(devices, []ferric.BootDevice{ferric.BootPXE, ferric.BootDisk}) {
		t.Errorf("devices %v, %v", devices, err)
	}
	if err := b.call(rpc.SetBootDevice, rpc.BootDeviceArgs{NodeRef: ref(m.id), BootDevice: ferric.BootPXE}, nil); err != nil {
		t.Error(err)
	}
	if err := b.call(rpc.BootDevice, ref(m.id), &device); err != nil || device.BootDevice != ferric.BootPXE || device.Persistent == nil {
		t.Errorf("device %+v, %v", device, err)
	}
	wantCode(t, b.call(rpc.SetBootDevice, rpc.BootDeviceArgs{NodeRef: ref(m.id), BootDevice: "floppy"}, nil), ferric.CodeInvalid, "floppy")
	if err := b.call(rpc.InjectNMI, ref(m.id), nil); err != nil {
		t.Error(err)
	}
	none := b.site.node("lab", func(n *ferric.Node) { n.Interfaces[ferric.KindManagement] = "noop" })
	wantCode(t, b.call(rpc.InjectNMI, ref(none.id), nil), ferric.CodeUnsupported, "Driver lab does not support inject_nmi (disabled or not implemented).")
	wantCode(t, b.call(rpc.BootDevice, ref(none.id), nil), ferric.CodeUnsupported, "get_boot_device")
	for _, id := range []string{m.id, none.id} {
		if n := b.node(id); n.Reservation != "" {
			t.Errorf("still reserved by %q", n.Reservation)
		}
	}
}

func TestVIFs(t *testing.T) {
	b := newBench(t)
	b.boot("one")
	m := b.site.node("lab")
	second := &ferric.Port{UUID: uuid.NewString(), NodeUUID: m.id, Address: "52:54:00:aa:bb:cc"}
	if err := b.store.CreatePort(t.Context(), second); err != nil {
		t.Fatal(err)
	}
	attach := func(id string, extra map[string]any) error {
		return b.call(rpc.AttachVIF, rpc.VIFArgs{NodeRef: ref(m.id), VIF: rpc.VIF{ID: id, Extra: extra}}, nil)
	}
	detach := func(id string) error {
		return b.call(rpc.DetachVIF, rpc.VIFArgs{NodeRef: ref(m.id), VIF: rpc.VIF{ID: id}}, nil)
	}
	attached := func() map[string]string { // MAC → VIF
		ports, err := b.store.Ports(t.Context(), ferric.PortFilter{NodeUUIDs: []string{m.id}})
		if err != nil {
			t.Fatal(err)
		}
		out := map[string]string{}
		for _, p := range ports {
			if id, ok := p.InternalInfo["tenant_vif_port_id"].(string); ok {
				out[p.Address] = id
			}
		}
		return out
	}
	if err := attach("vif-1", nil); err != nil {
		t.Fatal(err)
	}
	same(t, "the port that machines boot from comes first", map[string]string{m.mac: "vif-1"}, attached())
	if err := attach("vif-1", nil); err != nil {
		t.Errorf("attached once more: %v", err)
	}
	same(t, "attached once more", map[string]string{m.mac: "vif-1"}, attached())
	if err := attach("vif-2", nil); err != nil {
		t.Fatal(err)
	}
	if err := attach("vif-3", nil); err != nil {
		t.Errorf("no port is free: %v", err) // the network interface noop takes it all the same
	}
	var vifs []rpc.VIF
	if err := b.call(rpc.ListVIFs, ref(m.id), &vifs); err != nil || len(vifs) != 2 {
		t.Errorf("VIFs %v, %v", vifs, err)
	}
	for _, id := range []string{"vif-1", "vif-2"} {
		if err := detach(id); err != nil {
			t.Error(err)
		}
	}
	if err := detach("vif-1"); err != nil {
		t.Errorf("detached once more: %v", err)
	}
	if err := attach("vif-4", map[string]any{"port_uuid": second.UUID}); err != nil {
		t.Fatal(err)
	}
	same(t, "the port that was asked for", map[string]string{second.Address: "vif-4"}, attached())
	if err := attach("vif-5", map[string]any{"port_uuid": second.UUID}); err != nil {
		t.Errorf("the port that was asked for is taken: %v", err)
	}
	same(t, "the port that was asked for is taken", map[string]string{second.Address: "vif-4"}, attached())
	wantCode(t, b.call(rpc.AttachVIF, rpc.VIFArgs{NodeRef: ref(uuid.NewString()), VIF: rpc.VIF{ID: "x"}}, nil), ferric.CodeNotFound)
}

// TestUnknownHardwareType keeps the operations of other conductors' hardware types for them.
func TestUnknownHardwareType(t *testing.T) {
	b := newBench(t)
	fakeOnly := b.site.registry()
	fakeOnly.Types = fakeOnly.Types[1:]
	first := b.boot("one")
	m := b.site.node("lab")
	open := m.gate("write_image")
	defer open()
	b.verb(m.id, "active")
	b.waits(m.id, "finish")
	first.kill()
	bury(b, "one")
	second := b.bootWith(&mortal{Store: b.store}, b.settings("fake-only"), fakeOnly)
	fake := b.site.node("fake-hardware")
	b.verb(fake.id, "active")
	b.reaches(fake.id, ferric.Active) // it looks for work, and does its own
	wantCode(t, second.call(rpc.ValidateNode, ref(m.id), nil), ferric.CodeInvalid, `"lab"`, "fake-hardware")
	if op, err := b.store.Unfinished(t.Context(), m.id, flow.Provision); err != nil || op.Conductor != "one" {
		t.Fatalf("the operation is gone: %v, %v", op, err)
	}
	open()
	b.boot("three")
	b.reaches(m.id, ferric.Active)
}
