package config

import (
	"slices"
	"time"
)

// Drivers is the section [drivers].
type Drivers struct {
	EnabledHardwareTypes []string `toml:"enabled_hardware_types" default:"ipmi,fake-hardware" check:"nonempty" help:"Hardware types that nodes may use."`

	EnabledBIOSInterfaces       []string `toml:"enabled_bios_interfaces" help:"BIOS settings."`
	EnabledBootInterfaces       []string `toml:"enabled_boot_interfaces" help:"How a machine boots the deploy ramdisk."`
	EnabledConsoleInterfaces    []string `toml:"enabled_console_interfaces" help:"Serial and graphical consoles."`
	EnabledDeployInterfaces     []string `toml:"enabled_deploy_interfaces" help:"How an image gets onto a machine."`
	EnabledFirmwareInterfaces   []string `toml:"enabled_firmware_interfaces" help:"Firmware updates."`
	EnabledInspectInterfaces    []string `toml:"enabled_inspect_interfaces" help:"How a machine's inventory is found out."`
	EnabledManagementInterfaces []string `toml:"enabled_management_interfaces" help:"Boot devices, sensors, NMI."`
	EnabledNetworkInterfaces    []string `toml:"enabled_network_interfaces" help:"How a machine is moved between networks."`
	EnabledPowerInterfaces      []string `toml:"enabled_power_interfaces" help:"Power on and off."`
	EnabledRAIDInterfaces       []string `toml:"enabled_raid_interfaces" help:"RAID configuration."`
	EnabledRescueInterfaces     []string `toml:"enabled_rescue_interfaces" help:"Rescue systems."`
	EnabledStorageInterfaces    []string `toml:"enabled_storage_interfaces" help:"Remote volumes."`
	EnabledVendorInterfaces     []string `toml:"enabled_vendor_interfaces" help:"Vendors' own methods."`

	DefaultBIOSInterface       string `toml:"default_bios_interface" help:"BIOS interface of new nodes that name none."`
	DefaultBootInterface       string `toml:"default_boot_interface" help:"Boot interface of new nodes that name none."`
	DefaultConsoleInterface    string `toml:"default_console_interface" help:"Console interface of new nodes that name none."`
	DefaultDeployInterface     string `toml:"default_deploy_interface" help:"Deploy interface of new nodes that name none."`
	DefaultFirmwareInterface   string `toml:"default_firmware_interface" help:"Firmware interface of new nodes that name none."`
	DefaultInspectInterface    string `toml:"default_inspect_interface" help:"Inspect interface of new nodes that name none."`
	DefaultManagementInterface string `toml:"default_management_interface" help:"Management interface of new nodes that name none."`
	DefaultNetworkInterface    string `toml:"default_network_interface" help:"Network interface of new nodes that name none."`
	DefaultPowerInterface      string `toml:"default_power_interface" help:"Power interface of new nodes that name none."`
	DefaultRAIDInterface       string `toml:"default_raid_interface" help:"RAID interface of new nodes that name none."`
	DefaultRescueInterface     string `toml:"default_rescue_interface" help:"Rescue interface of new nodes that name none."`
	DefaultStorageInterface    string `toml:"default_storage_interface" help:"Storage interface of new nodes that name none."`
	DefaultVendorInterface     string `toml:"default_vendor_interface" help:"Vendor interface of new nodes that name none."`
}

// Interface is what is configured for one kind of interface.
type Interface struct {
	Kind    string   // bios, boot, console …
	Enabled []string // empty: all that the enabled hardware types bring
	Default string   // empty: by the hardware type's order
}

// Interfaces returns the settings by kind, in alphabetical order.
func (d *Drivers) Interfaces() []Interface {
	return []Interface{
		{"bios", d.EnabledBIOSInterfaces, d.DefaultBIOSInterface},
		{"boot", d.EnabledBootInterfaces, d.DefaultBootInterface},
		{"console", d.EnabledConsoleInterfaces, d.DefaultConsoleInterface},
		{"deploy", d.EnabledDeployInterfaces, d.DefaultDeployInterface},
		{"firmware", d.EnabledFirmwareInterfaces, d.DefaultFirmwareInterface},
		{"inspect", d.EnabledInspectInterfaces, d.DefaultInspectInterface},
		{"management", d.EnabledManagementInterfaces, d.DefaultManagementInterface},
		{"network", d.EnabledNetworkInterfaces, d.DefaultNetworkInterface},
		{"power", d.EnabledPowerInterfaces, d.DefaultPowerInterface},
		{"raid", d.EnabledRAIDInterfaces, d.DefaultRAIDInterface},
		{"rescue", d.EnabledRescueInterfaces, d.DefaultRescueInterface},
		{"storage", d.EnabledStorageInterfaces, d.DefaultStorageInterface},
		{"vendor", d.EnabledVendorInterfaces, d.DefaultVendorInterface},
	}
}

func (d *Drivers) contradictions(report reporter) {
	for _, i := range d.Interfaces() {
		if i.Default != "" && len(i.Enabled) > 0 && !slices.Contains(i.Enabled, i.Default) {
			report("drivers.default_"+i.Kind+"_interface", "must be in drivers.enabled_"+i.Kind+"_interfaces")
		}
	}
}

// IPMI is the section [ipmi].
type IPMI struct {
	CommandRetryTimeout time.Duration `toml:"command_retry_timeout" default:"60s" min:"1s" max:"1h" help:"How long a command is tried before the BMC counts as not reachable."`
	MinCommandInterval  time.Duration `toml:"min_command_interval" default:"1s" min:"0s" max:"1m" help:"Least time between two tries of a command."`
	CipherSuiteVersions []int         `toml:"cipher_suite_versions" default:"17,3" values:"3|17" check:"nonempty" help:"IPMI 2.0 cipher suites in the order in which they are tried. A node's driver_info/ipmi_cipher_suite wins."`
	SessionIdleTimeout  time.Duration `toml:"session_idle_timeout" default:"45s" min:"0s" max:"1h" help:"How long a session with a BMC is kept for the next command. BMCs end idle ones after about a minute. 0s: a session per command."`
	DisableBootTimeout  bool          `toml:"disable_boot_timeout" default:"true" help:"Whether the BMC is told not to drop the boot device after 60 seconds. A node's driver_info/ipmi_disable_boot_timeout wins."`
}

// Fake is the section [fake].
type Fake struct {
	PowerDelay      Delay  `toml:"power_delay" default:"0s" help:"Power interface."`
	BootDelay       Delay  `toml:"boot_delay" default:"0s" help:"Boot interface."`
	DeployDelay     Delay  `toml:"deploy_delay" default:"0s" help:"Deploy steps of the deploy interface."`
	CleanDelay      Delay  `toml:"clean_delay" default:"0s" help:"Clean steps of the deploy interface."`
	RescueDelay     Delay  `toml:"rescue_delay" default:"0s" help:"Rescue interface."`
	ServiceDelay    Delay  `toml:"service_delay" default:"0s" help:"Service steps of the deploy interface."`
	ManagementDelay Delay  `toml:"management_delay" default:"0s" help:"Management interface."`
	InspectDelay    Delay  `toml:"inspect_delay" default:"0s" help:"Inspect interface."`
	BIOSDelay       Delay  `toml:"bios_delay" default:"0s" help:"Steps of the BIOS interface."`
	FirmwareDelay   Delay  `toml:"firmware_delay" default:"0s" help:"Each update of the firmware interface."`
	RAIDDelay       Delay  `toml:"raid_delay" default:"0s" help:"Steps of the RAID interface."`
	ConsoleDelay    Delay  `toml:"console_delay" default:"0s" help:"Starting and stopping a console."`
	VendorDelay     Delay  `toml:"vendor_delay" default:"0s" help:"Methods and steps of the vendor interface."`
	StorageDelay    Delay  `toml:"storage_delay" default:"0s" help:"Storage interface."`
	Journal         string `toml:"journal" check:"path" help:"Folder in which every machine notes, in a file of its own, each time that a deploy, clean or service step changed its disks. Several conductors on one host share it. Empty: nothing is noted. It is the evidence of tests that no such step ran twice."`
}
