package conductor_test

import (
	"fmt"
	"strings"

	"ferric"
	"ferric/agentapi"
	"ferric/conductor"
	"ferric/driver"
	"ferric/flow"
	"ferric/rpc"
)

// killing is something that is asked for and whose conductor is killed.
type killing struct {
	verb  string
	ask   func(*bench, string) error // what is asked for if it is no verb
	lane  flow.Lane                  // of what is asked for; "": the one of the verbs
	from  ferric.ProvisionState
	end   ferric.ProvisionState
	begun map[string]int // agent commands and steps: how often they must be begun
	want  []string       // what must happen to the machine, once each and in this order
	twice bool           // what happens several times in a row counts as once
	args  func(*rpc.ProvisionArgs)
	make  func(*bench) *machine   // nil: a node in the state, whose machine is off
	error string                  // last_error in the end
	conf  func(*conductor.Config) // nil: as in every test
	least int                     // writes that there must be; 0: 15
	light bool                    // short runs let it die in one way
	// is tells what the machine and the node have become, which must be become.
	is      func(*bench, *ferric.Node) string
	become  string
	journal []string // what the machine of fake hardware must have done that destroys, once each and in this order
	// excuse is a part of the last_error of what must not be run twice, and has not been then, or once.
	excuse string
	// then is asked for when the node is in the hold, "" for nothing.
	then string
	hold ferric.ProvisionState
}

func killings() map[string]killing {
	erased := map[string]int{"erase_devices_metadata": 1}
	all := map[string]killing{
		"deploy": {verb: "active", from: ferric.Available, end: ferric.Active, begun: map[string]int{"write_image": 1, "burn_in": 1, "image.install_bootloader": 1},
			want: []string{"boots the ramdisk", "image written", "off", "boots the disk"}},
		"clean, power cut": {verb: "provide", from: ferric.Manageable, end: ferric.Available, conf: restarts(1), make: dies("erase_devices_metadata"),
			begun: map[string]int{"erase_devices_metadata": 2}, want: []string{"boots the ramdisk", "erased", "off", "boots the ramdisk", "erased", "off"}},
		"clean":    {verb: "provide", from: ferric.Manageable, end: ferric.Available, begun: erased, want: []string{"boots the ramdisk", "erased", "off"}},
		"undeploy": {verb: "deleted", from: ferric.Active, end: ferric.Available, begun: erased, want: []string{"boots the ramdisk", "erased", "off"}},
		"inspect":  {verb: "inspect", from: ferric.Manageable, end: ferric.Manageable, want: []string{"boots the ramdisk", "off"}},
		"service": {verb: "service", from: ferric.Active, end: ferric.Active, args: asks(vent(1), flash(), burnIn()), make: running,
			begun: map[string]int{"flash": 1, "burn_in": 1}, want: []string{"off", "boots the ramdisk", "vent 1", "flashed", "off", "boots the disk"}},
		"service, held": {verb: "service", from: ferric.Active, end: ferric.Active, args: asks(vent(1), reserved("hold", nil), vent(2)), make: running,
			then: "unhold", hold: ferric.ServiceHold, want: []string{"vent 1", "vent 2"}},
		"rescue": {verb: "rescue", from: ferric.Active, end: ferric.Rescue, args: password("pw"), make: running,
			begun: map[string]int{agentapi.CmdFinalizeRescue: 1}, want: []string{"off", "boots the ramdisk", "rescued"}, least: 11},
		"unrescue": {verb: "unrescue", from: ferric.Rescue, end: ferric.Active, make: running, want: []string{"off", "boots the disk"}, least: 7},
		"clean, reserved steps": {verb: "clean", from: ferric.Manageable, end: ferric.Manageable,
			args:  asks(rpc.StepArgs{Interface: "deploy", Step: "erase_devices"}, reserved("reboot", nil), reserved("wait", map[string]any{"seconds": 0})),
			begun: map[string]int{"erase_devices": 1}, want: []string{"boots the ramdisk", "erased", "off", "boots the ramdisk", "off"}},
		"abort of a failed service": {verb: "abort", from: ferric.ServiceFailed, end: ferric.Active, make: inTheRamdisk, want: []string{"off", "boots the disk"}, least: 7,
			is:    func(b *bench, n *ferric.Node) string { return string(b.site.machine(n.UUID).bootDevice()) },
			error: "By request, the service operation was aborted", become: "disk"},
		"children": {verb: "service", from: ferric.Active, end: ferric.Active, args: asks(onChildren(vent(1)), onChildren(reserved("power_on", nil))),
			make: parentOfOne, want: []string{"vent 1", "boots nothing"}},
	}
	for name, k := range outOfBand() {
		k.light = true
		all[name] = k
	}
	return all
}

func restarts(n int) func(*conductor.Config) {
	return func(c *conductor.Config) { c.AgentRestarts = n }
}

// dies makes a machine that loses its power when an agent's command or step begins for the first time.
func dies(what string) func(*bench) *machine {
	return func(b *bench) *machine {
		m := b.site.node("lab")
		m.with(func(m *machine) { m.dying = what })
		return m
	}
}

// running is a machine whose deployed system runs.
func running(b *bench) *machine { return deployed(b, "lab") }

// inTheRamdisk is a machine that a failed service left in its ramdisk.
func inTheRamdisk(b *bench) *machine {
	m := deployed(b, "lab")
	m.prepare(ferric.BootPXE)
	if err := b.store.BeginAgentSession(b.Context(), m.id); err != nil {
		b.Fatal(err)
	}
	return m
}

// parentOfOne is a node whose one child shares its machine, so that what is done to the child is seen.
func parentOfOne(b *bench) *machine {
	m := deployed(b, "lab")
	child := b.site.node("lab", in(ferric.Active), func(n *ferric.Node) { n.ParentNode = m.id })
	m.with(func(m *machine) { m.child = child })
	return m
}

// outOfBand are the things that need no agent.
func outOfBand() map[string]killing {
	power := func(_ *bench, n *ferric.Node) string { return string(n.PowerState + "|" + n.TargetPowerState) }
	turn := func(target ferric.PowerState) func(*bench, string) error {
		return func(b *bench, id string) error { return b.turn(id, target) }
	}
	call := func(method rpc.Method, args func(rpc.NodeRef) any) func(*bench, string) error {
		return func(b *bench, id string) error { return b.call(method, args(ref(id)), nil) }
	}
	settings := func(list ...any) map[string]any { return map[string]any{"settings": list} }
	type m = map[string]any
	return map[string]killing{
		"verify": {verb: "manage", from: ferric.Enroll, end: ferric.Manageable, least: 8, become: "power off| lab",
			is: func(b *bench, n *ferric.Node) string { return fmt.Sprint(power(b, n), " ", n.Properties["vendor"]) }},
		"adopt": {verb: "adopt", from: ferric.Manageable, end: ferric.Active, make: running, least: 6, is: power, become: "power on|"},
		"power off": {ask: turn(ferric.PowerOff), lane: flow.Power, from: ferric.Active, end: ferric.Active, make: running, least: 6,
			want: []string{"off"}, is: power, become: "power off|"},
		"reboot": {ask: turn(ferric.Reboot), lane: flow.Power, from: ferric.Active, end: ferric.Active, make: running, least: 7,
			want: []string{"off", "boots the disk"}, is: power, become: "power on|"},
		"soft reboot": {ask: turn(ferric.SoftReboot), lane: flow.Power, from: ferric.Active, end: ferric.Active, least: 7,
			make: func(b *bench) *machine { return deployed(b, "lab", soft) }, want: []string{"off softly", "boots the disk"}, is: power, become: "power on|"},
		"reset": {ask: turn(ferric.Reboot), lane: flow.Power, from: ferric.Active, end: ferric.Active, least: 7, excuse: "must not be run twice",
			make: func(b *bench) *machine { return deployed(b, "lab", func(n *ferric.Node) { n.DisablePowerOff = true }) },
			want: []string{"reboot", "off", "boots the disk"}, is: power, become: "power on|"},
		"service, reboot of the system": {verb: "service", from: ferric.Active, end: ferric.Active, args: asks(vent(1), reserved("reboot", nil), reserved("reboot", nil)),
			make: running, want: []string{"vent 1", "off", "boots the disk", "off", "boots the disk"}, least: 12, is: power, become: "power on|"},

		"boot mode": {ask: call(rpc.SetBootMode, func(r rpc.NodeRef) any { return rpc.BootModeArgs{NodeRef: r, Mode: "bios"} }), lane: flow.Hardware,
			from: ferric.Manageable, end: ferric.Manageable, make: ofFakes, least: 6, become: "bios bios",
			is: func(b *bench, n *ferric.Node) string {
				mode, err := b.management().(driver.BootModer).BootMode(b.Context(), &driver.Machine{Node: n})
				return told(err, n.BootMode, mode)
			}},
		"secure boot": {ask: call(rpc.SetSecureBoot, func(r rpc.NodeRef) any { return rpc.SecureBootArgs{NodeRef: r, On: true} }), lane: flow.Hardware,
			from: ferric.Manageable, end: ferric.Manageable, make: ofFakes, least: 6, become: "true true",
			is: func(b *bench, n *ferric.Node) string {
				on, err := b.management().(driver.SecureBooter).SecureBoot(b.Context(), &driver.Machine{Node: n})
				return told(err, n.SecureBoot != nil && *n.SecureBoot, on != nil && *on)
			}},
		"virtual media attached": {ask: call(rpc.AttachVirtualMedia, func(r rpc.NodeRef) any {
			return rpc.VirtualMediaArgs{NodeRef: r, Device: "cdrom", URL: "http://a", Source: "http"}
		}), lane: flow.Hardware, from: ferric.Manageable, end: ferric.Manageable, make: ofFakes, least: 5, is: inserted, become: "http://a"},
		"virtual media detached": {ask: call(rpc.DetachVirtualMedia, func(r rpc.NodeRef) any { return rpc.VirtualMediaArgs{NodeRef: r} }),
			lane: flow.Hardware, from: ferric.Manageable, end: ferric.Manageable, least: 5, is: inserted, become: "",
			make: func(b *bench) *machine {
				m := ofFakes(b)
				err := b.management().(driver.VirtualMedia).AttachVirtualMedia(b.Context(), &driver.Machine{Node: b.node(m.id)}, driver.VirtualMedium{Device: "cdrom", URL: "http://a"})
				if err != nil {
					b.Fatal(err)
				}
				return m
			}},
		"console on": {ask: call(rpc.SetConsole, func(r rpc.NodeRef) any { return rpc.ConsoleArgs{NodeRef: r, Enabled: true} }), lane: flow.Hardware,
			from: ferric.Manageable, end: ferric.Manageable, make: ofFakes, least: 6, become: "true",
			is: func(_ *bench, n *ferric.Node) string { return fmt.Sprint(n.ConsoleEnabled) }},
		"console off": {ask: call(rpc.SetConsole, func(r rpc.NodeRef) any { return rpc.ConsoleArgs{NodeRef: r} }), lane: flow.Hardware,
			from: ferric.Manageable, end: ferric.Manageable, least: 6, become: "false",
			make: func(b *bench) *machine {
				return b.site.node("fake-hardware", fakes, func(n *ferric.Node) { n.ConsoleEnabled = true })
			},
			is: func(_ *bench, n *ferric.Node) string { return fmt.Sprint(n.ConsoleEnabled) }},
		"vendor call": {ask: call(rpc.VendorCall, func(r rpc.NodeRef) any { return rpc.VendorArgs{NodeRef: r, Method: "pulse", HTTPMethod: "POST"} }), lane: flow.Hardware,
			from: ferric.Manageable, end: ferric.Manageable, make: ofFakes, least: 5, excuse: "vendor_call was interrupted and must not be run twice", want: []string{"pulse"}},

		"clean, steps of the hardware": {verb: "clean", from: ferric.Manageable, end: ferric.Manageable,
			make: func(b *bench) *machine {
				return b.site.node("fake-hardware", fakes, func(n *ferric.Node) {
					n.TargetRAIDConfig = m{"logical_disks": []any{m{"size_gb": 7.0, "raid_level": "0", "is_root_volume": true}, m{"size_gb": "MAX", "raid_level": "1"}}}
				})
			},
			args: asks(step("bios", "factory_reset", nil), step("bios", "apply_configuration", settings(m{"name": "QuietBoot", "value": "false"})),
				step("raid", "create_configuration", nil), step("raid", "delete_configuration", nil), step("raid", "create_configuration", m{"delete_existing": false}),
				step("firmware", "update", settings(m{"component": "bmc", "url": "http://fw/bmc-2.0.bin"}, m{"component": "bios", "url": "http://fw/bios-3.0.bin"}))),
			journal: []string{"create_configuration", "delete_configuration", "create_configuration", "update bmc", "update bios"}, is: ofHardware,
			become: "QuietBoot false, 2 disks, root of 7, bios 3.0, bmc 2.0, nic:0 1.0.0"},
		"inspect out of band": {verb: "inspect", from: ferric.Manageable, end: ferric.Manageable, least: 7, become: "4 8192",
			make: func(b *bench) *machine {
				return b.site.node("fake-hardware", func(n *ferric.Node) {
					n.DriverInfo["fake_inventory"] = m{"cpu": m{"count": 4.0, "architecture": "x86_64"}, "memory": m{"physical_mb": 8192.0},
						"interfaces": []any{m{"name": "eth0", "mac_address": "52:54:00:00:00:01", "has_carrier": true}}}
				})
			},
			is: func(_ *bench, n *ferric.Node) string {
				return fmt.Sprint(n.Properties["cpus"], " ", n.Properties["memory_mb"])
			}},
		"rescue out of band":   {verb: "rescue", from: ferric.Active, end: ferric.Rescue, args: password("pw"), make: ofFakes, least: 6},
		"unrescue out of band": {verb: "unrescue", from: ferric.Rescue, end: ferric.Active, make: ofFakes, least: 5},
	}
}

// ofFakes is a machine of which every part is fake.
func ofFakes(b *bench) *machine { return b.site.node("fake-hardware", fakes) }

// management is the fake machines' own view of what was set.
func (b *bench) management() driver.Interface {
	return b.site.hw.Implementations()[ferric.KindManagement]
}

// told joins what was read, or says why it was not.
func told(err error, values ...any) string {
	if err != nil {
		return err.Error()
	}
	return strings.TrimSuffix(fmt.Sprintln(values...), "\n")
}

// inserted names the images in the machine's drives.
func inserted(b *bench, n *ferric.Node) string {
	media, err := b.management().(driver.VirtualMedia).VirtualMedia(b.Context(), &driver.Machine{Node: n})
	var in []any
	for _, drive := range media {
		if drive["inserted"] == true {
			in = append(in, drive["image"])
		}
	}
	return told(err, in...)
}

// ofHardware says what is recorded of settings, logical disks and firmware.
func ofHardware(b *bench, n *ferric.Node) string {
	setting, err := b.store.BIOSSetting(b.Context(), n.UUID, "QuietBoot")
	if err != nil {
		return err.Error()
	}
	config, _ := n.RAIDConfig.(map[string]any)
	disks, _ := config["logical_disks"].([]any)
	text := fmt.Sprintf("QuietBoot %s, %d disks, root of %v", *setting.Value, len(disks), n.Properties["local_gb"])
	parts, err := b.store.Firmware(b.Context(), n.UUID)
	for _, p := range parts {
		text += ", " + p.Component + " " + p.CurrentVersion
	}
	return told(err, text)
}
