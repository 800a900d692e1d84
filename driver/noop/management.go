package noop

import (
	"context"

	"ferric"
	"ferric/driver"
)

// Management is the management interface "noop": the machine's firmware boots from the network first and falls back to its disk, and Ferric
// leaves that alone. Setting the boot device does nothing, as in Ironic; asking for it is refused.
type Management struct{}

// Properties implements driver.Interface.
func (Management) Properties() map[string]string { return nil }

// Validate implements driver.Interface.
func (Management) Validate(context.Context, *driver.Machine) error { return nil }

// SupportedBootDevices implements driver.Management.
func (Management) SupportedBootDevices(*driver.Machine) []ferric.BootDevice {
	return []ferric.BootDevice{ferric.BootPXE, ferric.BootDisk}
}

// BootDevice implements driver.Management.
func (Management) BootDevice(_ context.Context, m *driver.Machine) (driver.BootDeviceSetting, error) {
	return driver.BootDeviceSetting{}, ferric.Errorf(ferric.CodeUnsupported, "Driver %s does not support get_boot_device with the management interface noop.", m.Node.Driver)
}

// SetBootDevice implements driver.Management.
func (Management) SetBootDevice(context.Context, *driver.Machine, ferric.BootDevice, bool) error {
	return nil
}
