package conductor_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"ferric"
	"ferric/conductor"
	"ferric/driver"
	"ferric/flow"
	"ferric/rpc"

	"github.com/google/go-cmp/cmp"
)

// labConsole is a console whose starts and ends are in the machine's history.
type labConsole struct{ s *site }

func (labConsole) Properties() map[string]string                   { return nil }
func (labConsole) Validate(context.Context, *driver.Machine) error { return nil }
func (c labConsole) StartConsole(_ context.Context, t *driver.Task) error {
	c.s.machine(t.Node.UUID).note("console on")
	return nil
}

func (c labConsole) StopConsole(_ context.Context, t *driver.Task) error {
	if t.Node.DriverInfo["stuck"] == true {
		return ferric.Errorf(ferric.CodeUnavailable, "the BMC is silent")
	}
	c.s.machine(t.Node.UUID).note("console off")
	return t.Mutate(context.Background(), func(n *ferric.Node) error { n.InternalInfo = map[string]any{"console": "was here"}; return nil })
}

func (c labConsole) LeaveConsole(_ context.Context, m *driver.Machine) error {
	c.s.machine(m.Node.UUID).note("console left")
	return nil
}

func (labConsole) ConsoleInfo(context.Context, *driver.Machine) (map[string]string, error) {
	return map[string]string{"type": "lab", "url": "lab://"}, nil
}

// labVendor adds methods to the fake's: one that fails, one that blocks, and one of the driver.
type labVendor struct {
	driver.Vendor
	s *site
}

func (v labVendor) Methods() []driver.VendorMethod {
	return append(v.Vendor.Methods(),
		driver.VendorMethod{Name: "fail", HTTPMethods: []string{"POST"}, Async: true, Description: "Fails.", Run: func(context.Context, *driver.Machine, map[string]any) (any, error) {
			return nil, ferric.Errorf(ferric.CodeUnavailable, "the BMC is silent")
		}},
		driver.VendorMethod{Name: "echo", HTTPMethods: []string{"GET", "POST"}, Attach: true, Shared: true, Description: "Repeats.", Run: func(_ context.Context, _ *driver.Machine, args map[string]any) (any, error) {
			return args["say"], nil
		}},
		driver.VendorMethod{Name: "pulse", HTTPMethods: []string{"POST"}, Async: true, Description: "Pulses.", Run: func(_ context.Context, m *driver.Machine, _ map[string]any) (any, error) {
			v.s.machine(m.Node.UUID).note("pulse")
			return nil, nil
		}},
		driver.VendorMethod{Name: "block", HTTPMethods: []string{"POST"}, Async: true, Description: "Takes long.", Run: func(ctx context.Context, m *driver.Machine, _ map[string]any) (any, error) {
			v.s.machine(m.Node.UUID).note("blocked")
			<-ctx.Done()
			return nil, ctx.Err()
		}})
}

func (v labVendor) Steps(m *driver.Machine, phase driver.Phase) []driver.Step {
	return v.Vendor.(driver.Stepper).Steps(m, phase)
}

func (labVendor) DriverMethods() []driver.VendorMethod {
	return []driver.VendorMethod{{Name: "hello", HTTPMethods: []string{"GET"}, Description: "Says hello.",
		Check: func(_ context.Context, _ *driver.Machine, args map[string]any) error {
			if args["name"] == nil {
				return ferric.Errorf(ferric.CodeInvalid, "name is missing")
			}
			return nil
		},
		Run: func(_ context.Context, _ *driver.Machine, args map[string]any) (any, error) {
			return "hello " + args["name"].(string), nil
		}},
		{Name: "go", HTTPMethods: []string{"POST"}, Async: true, Description: "Goes.", Run: func(context.Context, *driver.Machine, map[string]any) (any, error) { return 1, nil }}}
}

// fakes gives a node all fake interfaces.
func fakes(n *ferric.Node) {
	n.ProvisionState = ferric.Manageable
	for _, kind := range []ferric.InterfaceKind{ferric.KindBIOS, ferric.KindFirmware, ferric.KindRAID, ferric.KindConsole, ferric.KindVendor} {
		n.Interfaces[kind] = "fake"
	}
}

// idle waits until nothing is under way on a node.
func (b *bench) idle(id string) *ferric.Node {
	b.Helper()
	b.until(id, "idle", func(n *ferric.Node) bool {
		if n.Reservation != "" {
			return false
		}
		_, err := b.store.Unfinished(b.Context(), id, flow.Hardware)
		return ferric.IsCode(err, ferric.CodeNotFound)
	})
	return b.node(id) // it may have been seen before the end
}

func step(kind, name string, args map[string]any) rpc.StepArgs {
	return rpc.StepArgs{Interface: kind, Step: name, Args: args}
}

// clean runs a manual clean.
func (b *bench) clean(id string, steps ...rpc.StepArgs) *ferric.Node {
	b.Helper()
	b.verb(id, "clean", func(a *rpc.ProvisionArgs) { a.Steps = steps })
	return b.until(id, "cleaned", func(n *ferric.Node) bool {
		return (n.ProvisionState == ferric.Manageable || n.ProvisionState == ferric.CleanFailed) && n.Reservation == ""
	})
}

// TestBIOSAndFirmware reads what a machine says of itself, and changes it by steps.
func TestBIOSAndFirmware(t *testing.T) {
	b := newBench(t)
	b.boot("one")
	m := b.site.node("fake-hardware", fakes, in(ferric.Enroll))
	setting := func(name string) string {
		s, err := b.store.BIOSSetting(t.Context(), m.id, name)
		if err != nil {
			t.Fatal(err)
		}
		return *s.Value
	}
	b.verb(m.id, "manage")
	b.reaches(m.id, ferric.Manageable)
	same(t, "setting that was read", "Enabled", setting("Virtualization"))

	n := b.clean(m.id, step("bios", "apply_configuration", map[string]any{"settings": []any{map[string]any{"name": "Virtualization", "value": "Disabled"},
		map[string]any{"name": "BootDelaySeconds", "value": 5.0}, map[string]any{"name": "Colour", "value": "red"}}}),
		step("firmware", "update", map[string]any{"settings": []any{map[string]any{"component": "bmc", "url": "https://server/bmc-2.1.0.bin", "wait": 0.05}}}))
	if n.LastError != "" {
		t.Fatal(n.LastError)
	}
	same(t, "settings", "Disabled 5 red", setting("Virtualization")+" "+setting("BootDelaySeconds")+" "+setting("Colour"))
	parts, err := b.store.Firmware(t.Context(), m.id)
	if err != nil || len(parts) != 3 {
		t.Fatalf("components %v, %v", parts, err)
	}
	same(t, "versions", "1.0.0 2.1.0 2.1.0", parts[1].InitialVersion+" "+parts[1].CurrentVersion+" "+parts[1].LastVersionFlashed)

	b.clean(m.id, step("bios", "factory_reset", nil))
	same(t, "setting after the reset", "Enabled", setting("Virtualization"))
	if all, err := b.store.BIOSSettings(t.Context(), m.id); err != nil || len(all) != 5 {
		t.Errorf("settings after the reset: %d, %v", len(all), err)
	}
	serviced := b.site.node("fake-hardware", fakes, in(ferric.Active))
	b.verb(serviced.id, "service", func(a *rpc.ProvisionArgs) {
		a.Steps = []rpc.StepArgs{step("bios", "apply_configuration", map[string]any{"settings": []any{map[string]any{"name": "QuietBoot", "value": false}}}),
			step("vendor", "log_passthrough", nil)}
	})
	if n := b.reaches(serviced.id, ferric.Active); n.LastError != "" {
		t.Error(n.LastError)
	}
	if s, err := b.store.BIOSSetting(t.Context(), serviced.id, "QuietBoot"); err != nil || *s.Value != "false" {
		t.Errorf("setting after the service: %+v, %v", s, err)
	}
	for name, c := range map[string]struct {
		step  rpc.StepArgs
		words []string
	}{
		"no list":            {step("bios", "apply_configuration", map[string]any{"settings": "x"}), []string{"settings: must be a list"}},
		"no settings":        {step("bios", "apply_configuration", nil), []string{"settings", "missing"}},
		"no value":           {step("bios", "apply_configuration", map[string]any{"settings": []any{map[string]any{"name": "x"}}}), []string{"item 1 must be an object with name"}},
		"twice":              {step("bios", "apply_configuration", map[string]any{"settings": []any{map[string]any{"name": "x", "value": "1"}, map[string]any{"name": "x", "value": "2"}}}), []string{`"x" is there twice`}},
		"not allowed":        {step("bios", "apply_configuration", map[string]any{"settings": []any{map[string]any{"name": "Virtualization", "value": "Maybe"}}}), []string{"Virtualization: must be one of Enabled, Disabled"}},
		"out of range":       {step("bios", "apply_configuration", map[string]any{"settings": []any{map[string]any{"name": "BootDelaySeconds", "value": 301.0}}}), []string{"from 0 to 300"}},
		"read only":          {step("bios", "apply_configuration", map[string]any{"settings": []any{map[string]any{"name": "SystemBiosVersion", "value": "2"}}}), []string{"can only be read"}},
		"no such component":  {step("firmware", "update", map[string]any{"settings": []any{map[string]any{"component": "gpu", "url": "https://x/y"}}}), []string{`no component "gpu"`}},
		"no URL":             {step("firmware", "update", map[string]any{"settings": []any{map[string]any{"component": "bmc"}}}), []string{"url must be a URL"}},
		"something else":     {step("firmware", "update", map[string]any{"settings": []any{map[string]any{"component": "bmc", "url": "https://x/y", "when": 1.0}}}), []string{`there is no "when"`}},
		"wait of a negative": {step("firmware", "update", map[string]any{"settings": []any{map[string]any{"component": "bmc", "url": "https://x/y", "wait": -1.0}}}), []string{"wait must be"}},
	} {
		t.Run(name, func(t *testing.T) {
			m := b.site.node("fake-hardware", fakes)
			n := b.clean(m.id, c.step)
			same(t, "state", ferric.CleanFailed, n.ProvisionState)
			wantWords(t, n.LastError, c.words...)
		})
	}
}

// TestRAID wants a configuration, makes it and deletes it.
func TestRAID(t *testing.T) {
	b := newBench(t)
	b.boot("one")
	m := b.site.node("fake-hardware", fakes)
	want := func(config string) error {
		var object map[string]any
		if err := json.Unmarshal([]byte(config), &object); err != nil {
			t.Fatal(err)
		}
		return b.call(rpc.SetTargetRAID, rpc.RAIDArgs{NodeRef: ref(m.id), Config: object}, nil)
	}
	disks := func() string {
		list, _ := b.node(m.id).RAIDConfig.(map[string]any)["logical_disks"].([]any)
		var out []string
		for _, d := range list {
			d := d.(map[string]any)
			out = append(out, fmt.Sprint(d["raid_level"], " ", d["size_gb"], " ", d["volume_name"]))
		}
		return strings.Join(out, ", ")
	}
	n := b.clean(m.id, step("raid", "create_configuration", nil))
	wantWords(t, n.LastError, "has no target RAID configuration")
	b.verb(m.id, "manage")
	b.change(m.id, func(n *ferric.Node) { n.Maintenance, n.Fault = false, "" })
	if err := want(`{"logical_disks": [{"size_gb": 100, "raid_level": "1", "is_root_volume": true}, {"size_gb": "MAX", "raid_level": "5", "volume_name": "data"}]}`); err != nil {
		t.Fatal(err)
	}
	b.change(m.id, func(n *ferric.Node) { n.Properties["capabilities"] = "boot_mode:uefi,raid_level:0" })
	if n = b.clean(m.id, step("raid", "create_configuration", map[string]any{"create_nonroot_volumes": false})); n.LastError != "" {
		t.Fatal(n.LastError)
	}
	same(t, "disks", "1 100 volume-1", disks())
	if n.Properties["local_gb"] != 100.0 || n.Properties["capabilities"] != "boot_mode:uefi,raid_level:1" {
		t.Errorf("properties %v", n.Properties)
	}
	if n = b.clean(m.id, step("raid", "create_configuration", map[string]any{"create_root_volume": false, "delete_existing": false})); n.LastError != "" {
		t.Fatal(n.LastError)
	}
	same(t, "disks", "1 100 volume-1, 5 MAX data", disks())
	b.clean(m.id, step("raid", "delete_configuration", nil))
	same(t, "disks", "", disks())
	deployed := b.site.node("fake-hardware", fakes, in(ferric.Available))
	apply := step("raid", "apply_configuration", map[string]any{"raid_config": map[string]any{"logical_disks": []any{map[string]any{"size_gb": 7.0, "raid_level": "0"}}}})
	priority := 150
	apply.Priority = &priority
	b.verb(deployed.id, "active", func(a *rpc.ProvisionArgs) { a.Steps = []rpc.StepArgs{apply} })
	if n := b.reaches(deployed.id, ferric.Active); n.LastError != "" || n.RAIDConfig == nil || n.TargetRAIDConfig == nil {
		t.Errorf("RAID in a deploy: %v, wanted %v, error %q", n.RAIDConfig, n.TargetRAIDConfig, n.LastError)
	}
	if err := want(`{}`); err != nil {
		t.Error(err)
	}
	wantCode(t, want(`{"logical_disks": []}`), ferric.CodeInvalid, "RAID config validation error: [] should be non-empty")
	none := b.site.node("fake-hardware", in(ferric.Manageable))
	wantCode(t, b.call(rpc.SetTargetRAID, rpc.RAIDArgs{NodeRef: ref(none.id), Config: map[string]any{"logical_disks": []any{}}}, nil), ferric.CodeUnsupported,
		"Driver fake-hardware does not support raid (disabled or not implemented).")
	if err := b.call(rpc.SetTargetRAID, rpc.RAIDArgs{NodeRef: ref(none.id), Config: map[string]any{}}, nil); err != nil {
		t.Errorf("no configuration for a node without RAID: %v", err)
	}
	var properties map[string]string
	if err := b.call(rpc.RAIDProperties, rpc.DriverRef{Driver: "fake-hardware"}, &properties); err != nil || len(properties) != 10 {
		t.Errorf("%d properties, %v", len(properties), err)
	}
	wantCode(t, b.call(rpc.RAIDProperties, rpc.DriverRef{Driver: "elsewhere"}, nil), ferric.CodeUnavailable, `"elsewhere"`)
}

// TestHardwareActions does what nobody waits for, and sees what came of it.
func TestHardwareActions(t *testing.T) {
	b := newBench(t)
	b.boot("one")
	m := b.site.node("fake-hardware", fakes)
	do := func(method rpc.Method, args any) *ferric.Node {
		t.Helper()
		b.change(m.id, func(n *ferric.Node) { n.LastError = "old" })
		if err := b.call(method, args, nil); err != nil {
			t.Fatal(err)
		}
		n := b.idle(m.id)
		ops, err := b.store.Operations(t.Context(), m.id, 1)
		if err != nil || len(ops) != 1 || ops[0].Kind != string(method) || !ops[0].Status.Ended() {
			t.Fatalf("operations %+v, %v", ops, err)
		}
		if kept, err := b.store.DriverState(t.Context(), m.id, "arguments/"+ops[0].ID); err != nil || kept != nil {
			t.Errorf("%s: the arguments are kept: %q, %v", method, kept, err)
		}
		return n
	}
	r := ref(m.id)
	if n := do(rpc.SetBootMode, rpc.BootModeArgs{NodeRef: r, Mode: "bios"}); n.BootMode != "bios" || n.LastError != "" {
		t.Errorf("boot mode %q, error %q", n.BootMode, n.LastError)
	}
	if n := do(rpc.SetSecureBoot, rpc.SecureBootArgs{NodeRef: r, On: true}); n.SecureBoot == nil || !*n.SecureBoot {
		t.Errorf("secure boot %v", n.SecureBoot)
	}
	if n := do(rpc.SetConsole, rpc.ConsoleArgs{NodeRef: r, Enabled: true}); !n.ConsoleEnabled || n.LastError != "" {
		t.Errorf("console %v, error %q", n.ConsoleEnabled, n.LastError)
	}
	var info map[string]string
	if err := b.call(rpc.GetConsole, r, &info); err != nil || len(info) != 0 {
		t.Errorf("console %v, %v", info, err)
	}
	before, _ := b.store.Operations(t.Context(), m.id, 50)
	if err := b.call(rpc.SetConsole, rpc.ConsoleArgs{NodeRef: r, Enabled: true}, nil); err != nil {
		t.Error(err)
	}
	if after, _ := b.store.Operations(t.Context(), m.id, 50); len(after) != len(before) {
		t.Error("a console that is on was turned on")
	}
	if n := do(rpc.SetConsole, rpc.ConsoleArgs{NodeRef: r}); n.ConsoleEnabled {
		t.Error("the console is still on")
	}
	wantCode(t, b.call(rpc.GetConsole, r, nil), ferric.CodeNotFound, "Console access is not enabled on node "+m.id)

	inserted := func() string {
		var media []struct {
			Types []string `json:"media_types"`
			In    bool     `json:"inserted"`
			Image *string  `json:"image"`
		}
		if err := b.call(rpc.ListVirtualMedia, r, &media); err != nil || len(media) != 3 {
			t.Fatalf("media %v, %v", media, err)
		}
		var out []string
		for _, v := range media {
			if v.In {
				out = append(out, v.Types[0]+" "+*v.Image)
			}
		}
		return strings.Join(out, ", ")
	}
	do(rpc.AttachVirtualMedia, rpc.VirtualMediaArgs{NodeRef: r, Device: "cdrom", URL: "http://a", Source: "http"})
	do(rpc.AttachVirtualMedia, rpc.VirtualMediaArgs{NodeRef: r, Device: "disk", URL: "http://b", Source: "local"})
	same(t, "media", "USBStick http://b, CD http://a", inserted())
	do(rpc.DetachVirtualMedia, rpc.VirtualMediaArgs{NodeRef: r, Devices: []string{"cdrom"}})
	same(t, "media", "USBStick http://b", inserted())
	do(rpc.DetachVirtualMedia, rpc.VirtualMediaArgs{NodeRef: r})
	same(t, "media", "", inserted())
	if n := do(rpc.AttachVirtualMedia, rpc.VirtualMediaArgs{NodeRef: r, Device: "tape", URL: "http://a"}); true {
		wantWords(t, n.LastError, "Could not attach device tape to node "+m.id, `no virtual drive "tape"`)
	}
	wantCode(t, b.call(rpc.SetBootMode, rpc.BootModeArgs{NodeRef: r, Mode: "efi"}, nil), ferric.CodeInvalid, "does not support the boot mode efi; it supports: bios, uefi")
	b.change(m.id, func(n *ferric.Node) { n.Maintenance, n.Fault = true, ferric.FaultPower })
	wantCode(t, b.call(rpc.AttachVirtualMedia, rpc.VirtualMediaArgs{NodeRef: r, Device: "disk", URL: "http://b"}, nil), ferric.CodeBusy, "Unable to attach virtual media for node "+m.id+" due to power failure state")

	stuck := b.site.node("lab", func(n *ferric.Node) {
		n.Interfaces[ferric.KindConsole], n.ConsoleEnabled, n.DriverInfo["stuck"] = "lab", true, true
	})
	if err := b.call(rpc.SetConsole, rpc.ConsoleArgs{NodeRef: ref(stuck.id)}, nil); err != nil {
		t.Fatal(err)
	}
	n := b.idle(stuck.id)
	if !n.ConsoleEnabled {
		t.Error("the console counts as off")
	}
	wantWords(t, n.LastError, "Error disabling the console on node "+stuck.id+". Reason: the BMC is silent")
}

func TestIndicators(t *testing.T) {
	b := newBench(t)
	b.boot("one")
	m := b.site.node("fake-hardware", fakes)
	var all []rpc.Indicator
	if err := b.call(rpc.ListIndicators, ref(m.id), &all); err != nil {
		t.Fatal(err)
	}
	want := []rpc.Indicator{{Component: "chassis", Name: "led-0", ReadOnly: true, States: []string{"off", "on"}},
		{Component: "system", Name: "led", States: []string{"blinking", "off", "on"}}}
	if diff := cmp.Diff(want, all); diff != "" {
		t.Error(diff)
	}
	light := func(name, component, state string) rpc.IndicatorArgs {
		return rpc.IndicatorArgs{NodeRef: ref(m.id), Indicator: name, Component: component, State: state}
	}
	var state string
	if err := b.call(rpc.GetIndicator, light("led", "system", ""), &state); err != nil || state != "on" {
		t.Errorf("%q, %v", state, err)
	}
	if err := b.call(rpc.SetIndicator, light("led", "system", "BLINKING"), nil); err != nil {
		t.Error(err)
	}
	if err := b.call(rpc.GetIndicator, light("led", "system", ""), &state); err != nil || state != "blinking" {
		t.Errorf("%q, %v", state, err)
	}
	wantCode(t, b.call(rpc.SetIndicator, light("led-0", "chassis", "on"), nil), ferric.CodeInvalid, "can only be read")
	wantCode(t, b.call(rpc.SetIndicator, light("led", "system", "red"), nil), ferric.CodeInvalid, "Invalid indicator state red")
	wantCode(t, b.call(rpc.GetIndicator, light("led", "nic", ""), nil), ferric.CodeInvalid, "Invalid component nic specified.")
	wantCode(t, b.call(rpc.GetIndicator, light("lamp", "system", ""), nil), ferric.CodeInvalid, "Invalid indicator lamp specified.")
}

// TestUnsupportedHardware asks a driver for everything that it cannot do.
func TestUnsupportedHardware(t *testing.T) {
	b := newBench(t)
	b.boot("one")
	m := b.site.node("lab", func(n *ferric.Node) { n.Interfaces[ferric.KindManagement] = "noop" })
	r := ref(m.id)
	for what, args := range map[string]struct {
		method rpc.Method
		args   any
	}{
		"set_boot_mode":            {rpc.SetBootMode, rpc.BootModeArgs{NodeRef: r, Mode: "uefi"}},
		"set_secure_boot_state":    {rpc.SetSecureBoot, rpc.SecureBootArgs{NodeRef: r}},
		"console":                  {rpc.SetConsole, rpc.ConsoleArgs{NodeRef: r, Enabled: true}},
		"get_supported_indicators": {rpc.ListIndicators, r},
		"get_indicator_state":      {rpc.GetIndicator, rpc.IndicatorArgs{NodeRef: r}},
		"set_indicator_state":      {rpc.SetIndicator, rpc.IndicatorArgs{NodeRef: r}},
		"get_virtual_media":        {rpc.ListVirtualMedia, r},
		"attach_virtual_media":     {rpc.AttachVirtualMedia, rpc.VirtualMediaArgs{NodeRef: r, Device: "cdrom", URL: "http://x"}},
		"detach_virtual_media":     {rpc.DetachVirtualMedia, rpc.VirtualMediaArgs{NodeRef: r}},
		"inject_nmi":               {rpc.InjectNMI, r},
	} {
		wantCode(t, b.call(args.method, args.args, nil), ferric.CodeUnsupported, "Driver lab does not support "+what+" (disabled or not implemented).")
	}
	wantCode(t, b.call(rpc.VendorCall, rpc.VendorArgs{NodeRef: r, Method: "x", HTTPMethod: "POST"}, nil), ferric.CodeInvalid, "No handler for method x")
	if ops, err := b.store.Operations(t.Context(), m.id, 10); err != nil || len(ops) != 0 {
		t.Errorf("operations %v, %v", ops, err)
	}
}

func TestVendorMethods(t *testing.T) {
	b := newBench(t)
	b.boot("one")
	m := b.site.node("fake-hardware", fakes)
	var methods map[string]rpc.VendorMethod
	if err := b.call(rpc.VendorMethods, ref(m.id), &methods); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(rpc.VendorMethod{Description: "Test if the value of bar is meow", HTTPMethods: []string{"POST"}, Exclusive: true}, methods["third_method_sync"]); diff != "" {
		t.Error(diff)
	}
	if !methods["second_method"].Async || methods["fourth_method_shared_lock"].Exclusive {
		t.Errorf("methods %+v", methods)
	}
	call := func(method, verb string, args map[string]any) (r rpc.VendorReply, err error) {
		err = b.call(rpc.VendorCall, rpc.VendorArgs{NodeRef: ref(m.id), Method: method, HTTPMethod: verb, Args: args}, &r)
		return r, err
	}
	for name, c := range map[string]struct {
		method, verb string
		args         map[string]any
		want         rpc.VendorReply
		code         ferric.Code
		words        string
	}{
		"waits":          {"third_method_sync", "POST", map[string]any{"bar": "meow"}, rpc.VendorReply{Return: json.RawMessage("true")}, "", ""},
		"waits, not so":  {"third_method_sync", "post", map[string]any{"bar": "x"}, rpc.VendorReply{Return: json.RawMessage("false")}, "", ""},
		"shared":         {"echo", "GET", map[string]any{"say": "hi"}, rpc.VendorReply{Return: json.RawMessage(`"hi"`), Attach: true}, "", ""},
		"begins":         {"second_method", "POST", map[string]any{"bar": "kazoo"}, rpc.VendorReply{Return: json.RawMessage("null"), Async: true}, "", ""},
		"unknown":        {"fifth", "POST", nil, rpc.VendorReply{}, ferric.CodeInvalid, "No handler for method fifth"},
		"wrong verb":     {"second_method", "GET", nil, rpc.VendorReply{}, ferric.CodeInvalid, "The method second_method does not support HTTP GET"},
		"argument, wait": {"third_method_sync", "POST", nil, rpc.VendorReply{}, ferric.CodeInvalid, "Parameter 'bar' not passed to method 'third_method_sync'."},
		"argument":       {"second_method", "POST", nil, rpc.VendorReply{}, ferric.CodeInvalid, "Parameter 'bar' not passed to method 'second_method'."},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := call(c.method, c.verb, c.args)
			if c.code != "" {
				wantCode(t, err, c.code, c.words)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
			b.idle(m.id)
		})
	}
	if _, err := call("fail", "POST", nil); err != nil {
		t.Fatal(err)
	}
	wantWords(t, b.until(m.id, "failed", func(n *ferric.Node) bool { return n.LastError != "" && n.Reservation == "" }).LastError, "vendor's method fail: the BMC is silent")

	var reply rpc.VendorReply
	hello := rpc.DriverVendorArgs{DriverRef: rpc.DriverRef{Driver: "fake-hardware"}, Method: "hello", HTTPMethod: "GET", Args: map[string]any{"name": "you"}}
	b.change(m.id, func(n *ferric.Node) { n.LastError = "" })
	if err := b.call(rpc.DriverVendorMethods, hello.DriverRef, &methods); err != nil {
		t.Error(err)
	}
	if err := b.call(rpc.DriverVendorCall, hello, &reply); !ferric.IsCode(err, ferric.CodeInvalid) {
		t.Errorf("the default vendor interface has no method, but: %v", err)
	}
}

// TestDriverVendor calls methods that are about no node.
func TestDriverVendor(t *testing.T) {
	b := newBench(t)
	drivers := b.site.registry()
	drivers.Defaults = map[ferric.InterfaceKind]string{ferric.KindVendor: "fake"}
	b.bootWith(&mortal{Store: b.store}, b.settings("one"), drivers)
	args := rpc.DriverVendorArgs{DriverRef: rpc.DriverRef{Driver: "fake-hardware"}, Method: "hello", HTTPMethod: "GET", Args: map[string]any{"name": "you"}}
	var methods map[string]rpc.VendorMethod
	if err := b.call(rpc.DriverVendorMethods, args.DriverRef, &methods); err != nil || methods["hello"].Description != "Says hello." {
		t.Errorf("%+v, %v", methods, err)
	}
	var reply rpc.VendorReply
	if err := b.call(rpc.DriverVendorCall, args, &reply); err != nil || string(reply.Return) != `"hello you"` {
		t.Errorf("%+v, %v", reply, err)
	}
	args.Args = nil
	wantCode(t, b.call(rpc.DriverVendorCall, args, nil), ferric.CodeInvalid, "name is missing")
	args.Method, args.HTTPMethod = "go", "POST"
	if err := b.call(rpc.DriverVendorCall, args, &reply); err != nil || !reply.Async {
		t.Errorf("%+v, %v", reply, err)
	}
	args.Driver = "elsewhere"
	wantCode(t, b.call(rpc.DriverVendorCall, args, nil), ferric.CodeUnavailable, `"elsewhere"`)
}

// TestVendorCallIsNotRepeated kills the conductor in the middle of a vendor's method.
func TestVendorCallIsNotRepeated(t *testing.T) {
	b := newBench(t)
	p := b.boot("one")
	m := b.site.node("fake-hardware", fakes)
	err := b.call(rpc.VendorCall, rpc.VendorArgs{NodeRef: ref(m.id), Method: "block", HTTPMethod: "POST"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	b.until(m.id, "blocked", func(*ferric.Node) bool { return m.count("blocked") == 1 })
	p.kill()
	b.boot("one")
	n := b.until(m.id, "failed", func(n *ferric.Node) bool { return n.LastError != "" && n.Reservation == "" })
	wantWords(t, n.LastError, "vendor_call was interrupted and must not be run twice")
	same(t, "calls", 1, m.count("blocked"))
}

// TestConsolesComeBack restarts the conductor, and moves a node to another one.
func TestConsolesComeBack(t *testing.T) {
	b := newBench(t)
	often := func(c *conductor.Config) { c.ConsoleInterval = 5 * time.Millisecond }
	p := b.boot("one", often)
	m := b.site.node("lab", func(n *ferric.Node) { n.Interfaces[ferric.KindConsole] = "lab" })
	if err := b.call(rpc.SetConsole, rpc.ConsoleArgs{NodeRef: ref(m.id), Enabled: true}, nil); err != nil {
		t.Fatal(err)
	}
	b.idle(m.id)
	var info map[string]string
	if err := b.call(rpc.GetConsole, ref(m.id), &info); err != nil || info["url"] != "lab://" {
		t.Errorf("console %v, %v", info, err)
	}
	n := b.node(m.id)
	n.Interfaces[ferric.KindConsole] = "no-console"
	wantCode(t, b.call(rpc.UpdateNode, rpc.NodeArgs{Node: n}, nil), ferric.CodeConflict, "can not update the console_interface while the console is enabled")
	p.kill()
	b.boot("one", often)
	b.until(m.id, "the console to come back", func(*ferric.Node) bool { return m.count("console on") == 2 })
	b.change(m.id, func(n *ferric.Node) { n.ConductorGroup = "elsewhere" })
	b.until(m.id, "the console to be left", func(*ferric.Node) bool { return m.count("console left") == 1 })
	b.change(m.id, func(n *ferric.Node) { n.ConductorGroup = "" })
	b.until(m.id, "the console to come back", func(*ferric.Node) bool { return m.count("console on") == 3 })
	b.idle(m.id)
	if err := b.call(rpc.DestroyNode, ref(m.id), nil); err != nil {
		t.Fatal(err)
	}
	same(t, "consoles turned off", 1, m.count("console off"))
}
