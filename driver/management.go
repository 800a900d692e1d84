package driver

import (
	"context"

	"ferric"
)

// Management sets up how a machine boots. Interface kind "management".
type Management interface {
	Interface
	SupportedBootDevices(m *Machine) []ferric.BootDevice
	// BootDevice asks the hardware. Device is "" if it has no override.
	BootDevice(ctx context.Context, m *Machine) (BootDeviceSetting, error)
	// SetBootDevice is for the next boot, or for every boot if persistent. It may be repeated. CodeInvalid for a device that is not
	// supported.
	SetBootDevice(ctx context.Context, m *Machine, d ferric.BootDevice, persistent bool) error
}

// BootDeviceSetting is where a machine boots from next; Persistent is nil if the hardware does not say.
type BootDeviceSetting struct {
	Device     ferric.BootDevice
	Persistent *bool
}

// NMIInjector is an optional part of Management.
type NMIInjector interface {
	InjectNMI(ctx context.Context, m *Machine) error
}

// SensorReader is an optional part of Management. The result has Ironic's shape: sensor type → sensor id → reading.
type SensorReader interface {
	Sensors(ctx context.Context, m *Machine) (map[string]map[string]any, error)
}

// BootModer is an optional part of Management.
type BootModer interface {
	SupportedBootModes(m *Machine) []string
	// BootMode returns "" if the hardware does not say.
	BootMode(ctx context.Context, m *Machine) (string, error)
	// SetBootMode may be repeated. CodeInvalid for a mode that is not supported.
	SetBootMode(ctx context.Context, m *Machine, mode string) error
}

// SecureBooter is an optional part of Management.
type SecureBooter interface {
	// SecureBoot returns nil if the hardware does not say.
	SecureBoot(ctx context.Context, m *Machine) (*bool, error)
	// SetSecureBoot may be repeated.
	SetSecureBoot(ctx context.Context, m *Machine, on bool) error
}

// The states of an indicator.
const (
	IndicatorOff      = "off"
	IndicatorOn       = "on"
	IndicatorBlinking = "blinking"
	IndicatorUnknown  = "unknown"
)

// Indicator is a light on a machine.
type Indicator struct {
	Component string // chassis, system, disk, power, nic
	Name      string // unique in its component
	ReadOnly  bool
	States    []string // that it can show
}

// Indicators is an optional part of Management.
type Indicators interface {
	// Indicators lists those of the machine.
	Indicators(ctx context.Context, m *Machine) ([]Indicator, error)
	// IndicatorState asks the hardware. CodeInvalid for an indicator that is not there.
	IndicatorState(ctx context.Context, m *Machine, component, name string) (string, error)
	// SetIndicatorState may be repeated. CodeInvalid for an indicator that is not there or only readable, or a state that it cannot show.
	SetIndicatorState(ctx context.Context, m *Machine, component, name, state string) error
}

// VirtualMedium is an image that a BMC shows to its machine as a drive.
type VirtualMedium struct {
	Device string // disk, cdrom, floppy
	URL    string
	// Source is "local" if the image is to be served to the BMC from here, "http" if the BMC takes it from the URL itself.
	Source string
}

// VirtualMediaDevices are the devices that a virtual medium can be.
func VirtualMediaDevices() []string {
	return []string{string(ferric.BootDisk), string(ferric.BootCDROM), string(ferric.BootFloppy)}
}

// VirtualMedia is an optional part of Management.
type VirtualMedia interface {
	// VirtualMedia lists the drives, with or without an image, as the hardware describes them.
	VirtualMedia(ctx context.Context, m *Machine) ([]map[string]any, error)
	// AttachVirtualMedia puts an image into a drive, in place of another one. It may be repeated. CodeInvalid if there is no such drive.
	AttachVirtualMedia(ctx context.Context, m *Machine, v VirtualMedium) error
	// DetachVirtualMedia empties drives, all of them if none is named. It may be repeated.
	DetachVirtualMedia(ctx context.Context, m *Machine, devices []string) error
}
