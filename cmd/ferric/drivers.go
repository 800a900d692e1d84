package main

import (
	"context"
	"log/slog"
	"slices"
	"strings"

	"ferric"
	"ferric/boot"
	"ferric/boot/netboot"
	"ferric/config"
	"ferric/driver"
	agentdriver "ferric/driver/agent"
	"ferric/driver/fake"
	"ferric/driver/ipmi"
	"ferric/driver/noop"
	"ferric/driver/storage"
	"ferric/inspection"
	"ferric/openstack"
)

// hardwareTypes lists the hardware types that Ferric has. This and implementations are the only places that know them all.
func hardwareTypes() []driver.HardwareType {
	none := map[ferric.InterfaceKind][]string{
		ferric.KindBIOS: {"no-bios"}, ferric.KindConsole: {"no-console"}, ferric.KindFirmware: {"no-firmware"}, ferric.KindRAID: {"no-raid"},
		ferric.KindRescue: {"no-rescue"}, ferric.KindVendor: {"no-vendor"}, ferric.KindStorage: {"noop", "cinder", "external"}, ferric.KindNetwork: {"noop", "flat", "neutron"},
	}
	with := func(own map[ferric.InterfaceKind][]string) map[ferric.InterfaceKind][]string {
		all := map[ferric.InterfaceKind][]string{}
		for kind, names := range none {
			all[kind] = names
		}
		for kind, names := range own {
			names = slices.Clone(names)
			for _, name := range all[kind] {
				if !slices.Contains(names, name) {
					names = append(names, name)
				}
			}
			all[kind] = names
		}
		return all
	}
	return []driver.HardwareType{
		{Name: "ipmi", Supports: with(map[ferric.InterfaceKind][]string{
			ferric.KindPower: {"ipmitool"}, ferric.KindManagement: {"ipmitool", "noop"}, ferric.KindVendor: {"ipmitool"},
			ferric.KindBoot: {"ipxe", "pxe"}, ferric.KindDeploy: {"direct"}, ferric.KindInspect: {"agent", "no-inspect"},
			ferric.KindConsole: {"ipmitool-socat"},
			ferric.KindRescue:  {"no-rescue", "agent"},
		})},
		{Name: "fake-hardware", Supports: with(map[ferric.InterfaceKind][]string{
			ferric.KindPower: {"fake"}, ferric.KindManagement: {"fake"}, ferric.KindBoot: {"fake", "ipxe", "pxe"},
			ferric.KindDeploy: {"fake", "direct"}, ferric.KindInspect: {"fake", "no-inspect"}, ferric.KindStorage: {"noop", "fake"},
			ferric.KindBIOS: {"fake"}, ferric.KindConsole: {"fake"}, ferric.KindFirmware: {"fake"}, ferric.KindRAID: {"fake"}, ferric.KindVendor: {"fake"},
			ferric.KindRescue: {"fake", "agent"},
		})},
	}
}

// parts are what implementations are made of.
type parts struct {
	bmcs         *ipmi.Pool
	consoles     *ipmi.Console
	images       *images
	configDrives agentdriver.ConfigDrives
	publisher    netboot.Publisher                            // nil while the boot services are off
	site         func(ctx context.Context) (boot.Site, error) // that machines are told of
	cloud        *openstack.Session                           // nil outside of OpenStack
	states       driver.States
	log          *slog.Logger
}

// implementations lists every implementation by kind and name.
func implementations(cfg *config.Config, p parts) map[ferric.InterfaceKind]map[string]driver.Interface {
	hw := fakeHardware(cfg, p)
	pxe := func(flavor boot.Flavor) *netboot.Boot {
		return &netboot.Boot{Flavor: flavor, Publisher: p.publisher, Files: p.images, Append: cfg.Boot.KernelAppendParams, Site: p.site,
			BootMode: cfg.Deploy.DefaultBootMode}
	}
	all := map[ferric.InterfaceKind]map[string]driver.Interface{
		ferric.KindBIOS:       {"no-bios": noop.Absent{Kind: ferric.KindBIOS}},
		ferric.KindConsole:    {"no-console": noop.Absent{Kind: ferric.KindConsole}, "ipmitool-socat": p.consoles},
		ferric.KindFirmware:   {"no-firmware": noop.Absent{Kind: ferric.KindFirmware}},
		ferric.KindRAID:       {"no-raid": noop.Absent{Kind: ferric.KindRAID}},
		ferric.KindRescue:     {"agent": agentdriver.Rescue{}, "no-rescue": noop.Absent{Kind: ferric.KindRescue}},
		ferric.KindVendor:     {"no-vendor": noop.Absent{Kind: ferric.KindVendor}, "ipmitool": &ipmi.Vendor{Pool: p.bmcs}},
		ferric.KindStorage:    {"noop": noop.Storage{}, "external": storage.External{}},
		ferric.KindNetwork:    {"noop": noop.Network{}},
		ferric.KindPower:      {"ipmitool": &ipmi.Power{Pool: p.bmcs, Background: driver.Background}},
		ferric.KindManagement: {"ipmitool": &ipmi.Management{Pool: p.bmcs, DefaultBootMode: cfg.Deploy.DefaultBootMode}, "noop": noop.Management{}},
		ferric.KindBoot:       {"pxe": pxe(boot.FlavorPXE), "ipxe": pxe(boot.FlavorIPXE)},
		ferric.KindDeploy: {"direct": &agentdriver.Direct{Images: p.images, Glance: p.images.catalogue(), ConfigDrives: p.configDrives, Poll: agentPoll, Lost: agentLost,
			PowerTimeout: cfg.Conductor.PowerStateChangeTimeout, BootMode: cfg.Deploy.DefaultBootMode}},
		ferric.KindInspect: {"agent": agentdriver.Inspect{}, "no-inspect": noop.Inspect{Absent: noop.Absent{Kind: ferric.KindInspect}}},
	}
	for kind, impl := range hw.Implementations() {
		all[kind]["fake"] = impl
	}
	if p.cloud != nil {
		all[ferric.KindStorage]["cinder"] = cinderStorage(cfg, p.cloud)
		for _, i := range neutronInterfaces(cfg, p.cloud) {
			all[ferric.KindNetwork][string(i.Kind)] = i
		}
	}
	return all
}

func fakeHardware(cfg *config.Config, p parts) *fake.Hardware {
	delay := func(d config.Delay) fake.Delay { return fake.Delay{Min: d.Min, Max: d.Max} }
	f := cfg.Fake
	var journal *fake.Journal
	if f.Journal != "" {
		journal = &fake.Journal{Dir: f.Journal}
	}
	return &fake.Hardware{Journal: journal, PowerDelay: delay(f.PowerDelay), ManagementDelay: delay(f.ManagementDelay), BootDelay: delay(f.BootDelay),
		DeployDelay: delay(f.DeployDelay), CleanDelay: delay(f.CleanDelay), InspectDelay: delay(f.InspectDelay), BIOSDelay: delay(f.BIOSDelay),
		FirmwareDelay: delay(f.FirmwareDelay), RAIDDelay: delay(f.RAIDDelay), ConsoleDelay: delay(f.ConsoleDelay),
		VendorDelay: delay(f.VendorDelay), StorageDelay: delay(f.StorageDelay),
		RescueDelay: delay(f.RescueDelay), ServiceDelay: delay(f.ServiceDelay), States: p.states}
}

// registry makes the registry of what is enabled.
func registry(cfg *config.Config, p parts) (*driver.Registry, error) {
	r := &driver.Registry{Implementations: implementations(cfg, p), Enabled: map[ferric.InterfaceKind][]string{},
		Defaults: map[ferric.InterfaceKind]string{}}
	for _, t := range hardwareTypes() {
		if slices.Contains(cfg.Drivers.EnabledHardwareTypes, t.Name) {
			r.Types = append(r.Types, t)
		}
	}
	for _, i := range cfg.Drivers.Interfaces() {
		for _, name := range append(slices.Clone(i.Enabled), i.Default) {
			if i.Kind == string(ferric.KindNetwork) && (name == "flat" || name == "neutron") && p.cloud == nil {
				return nil, ferric.Errorf(ferric.CodeInvalid, "drivers.enabled_network_interfaces, default_network_interface: %s needs Neutron; "+
					"say in [openstack] (or by OS_* variables) where Keystone is and who Ferric is there", name)
			}
			if i.Kind == string(ferric.KindStorage) && name == "cinder" && p.cloud == nil {
				return nil, ferric.Errorf(ferric.CodeInvalid, "drivers.enabled_storage_interfaces, default_storage_interface: cinder needs Cinder; "+
					"say in [openstack] (or by OS_* variables) where Keystone is and who Ferric is there")
			}
		}
		if len(i.Enabled) > 0 {
			r.Enabled[ferric.InterfaceKind(i.Kind)] = i.Enabled
		}
		if i.Default != "" {
			r.Defaults[ferric.InterfaceKind(i.Kind)] = i.Default
		}
	}
	for _, t := range r.Types {
		for _, kind := range ferric.InterfaceKinds() {
			if len(r.EnabledFor(t, kind)) == 0 {
				return nil, ferric.Errorf(ferric.CodeInvalid, "drivers.enabled_%s_interfaces: leaves hardware type %s without any; it supports: %s",
					kind, t.Name, strings.Join(t.Supports[kind], ", "))
			}
		}
	}
	return r, nil
}

// allowedValues are the names that keys of the configuration may hold, which package config cannot know.
func allowedValues() map[string][]string {
	allowed := map[string][]string{"inspection.hooks": append([]string{"$default_hooks"}, inspection.HookNames()...),
		"inspection.default_hooks": inspection.HookNames()}
	for _, t := range hardwareTypes() {
		allowed["discovery.driver"] = append(allowed["discovery.driver"], t.Name)
		allowed["drivers.enabled_hardware_types"] = append(allowed["drivers.enabled_hardware_types"], t.Name)
	}
	for _, kind := range ferric.InterfaceKinds() {
		var names []string
		for _, t := range hardwareTypes() {
			names = append(names, t.Supports[kind]...)
		}
		slices.Sort(names)
		names = slices.Compact(names)
		allowed["drivers.enabled_"+string(kind)+"_interfaces"] = names
		allowed["drivers.default_"+string(kind)+"_interface"] = names
	}
	return allowed
}
