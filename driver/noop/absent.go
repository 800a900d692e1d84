package noop

import (
	"context"

	"ferric"
	"ferric/driver"
	"ferric/flow"
)

// Absent is an interface that a machine does not have, such as "no-raid". Kind names it in the refusal, which every use of it gets.
type Absent struct{ Kind ferric.InterfaceKind }

var (
	_ driver.BIOS     = Absent{}
	_ driver.Firmware = Absent{}
	_ driver.RAID     = Absent{}
	_ driver.Console  = Absent{}
	_ driver.Vendor   = Absent{}
)

// Properties implements driver.Interface.
func (Absent) Properties() map[string]string { return nil }

// Validate implements driver.Interface: the node has no such interface, and says so.
func (a Absent) Validate(_ context.Context, m *driver.Machine) error { return a.refuse(m) }

func (a Absent) refuse(m *driver.Machine) error {
	return driver.Unsupported(m.Node.Driver, string(a.Kind))
}

// BIOSSettings implements driver.BIOS.
func (a Absent) BIOSSettings(_ context.Context, m *driver.Machine) ([]ferric.BIOSSetting, error) {
	return nil, a.refuse(m)
}

// ApplyBIOS implements driver.BIOS.
func (a Absent) ApplyBIOS(_ context.Context, t *driver.Task, _ []driver.BIOSChange) (flow.Outcome, error) {
	return flow.Outcome{}, a.refuse(t.Machine)
}

// ResetBIOS implements driver.BIOS.
func (a Absent) ResetBIOS(_ context.Context, t *driver.Task) (flow.Outcome, error) {
	return flow.Outcome{}, a.refuse(t.Machine)
}

// FirmwareComponents implements driver.Firmware.
func (a Absent) FirmwareComponents(_ context.Context, m *driver.Machine) ([]ferric.FirmwareComponent, error) {
	return nil, a.refuse(m)
}

// UpdateFirmware implements driver.Firmware.
func (a Absent) UpdateFirmware(_ context.Context, t *driver.Task, _ []driver.FirmwareUpdate) (flow.Outcome, error) {
	return flow.Outcome{}, a.refuse(t.Machine)
}

// ValidateRAID implements driver.RAID.
func (a Absent) ValidateRAID(_ context.Context, m *driver.Machine, _ map[string]any) error {
	return a.refuse(m)
}

// LogicalDiskProperties implements driver.RAID. As in Ironic, what the API knows of logical disks is told even here.
func (Absent) LogicalDiskProperties() map[string]string { return driver.RAIDProperties() }

// CreateRAID implements driver.RAID.
func (a Absent) CreateRAID(_ context.Context, t *driver.Task, _ driver.RAIDConfig, _ bool) (flow.Outcome, error) {
	return flow.Outcome{}, a.refuse(t.Machine)
}

// DeleteRAID implements driver.RAID.
func (a Absent) DeleteRAID(_ context.Context, t *driver.Task) (flow.Outcome, error) {
	return flow.Outcome{}, a.refuse(t.Machine)
}

// StartConsole implements driver.Console.
func (a Absent) StartConsole(_ context.Context, t *driver.Task) error { return a.refuse(t.Machine) }

// StopConsole implements driver.Console.
func (a Absent) StopConsole(_ context.Context, t *driver.Task) error { return a.refuse(t.Machine) }

// ConsoleInfo implements driver.Console.
func (a Absent) ConsoleInfo(_ context.Context, m *driver.Machine) (map[string]string, error) {
	return nil, a.refuse(m)
}

// Methods implements driver.Vendor: there are none.
func (Absent) Methods() []driver.VendorMethod { return nil }

// InBand implements driver.Rescue.
func (Absent) InBand(*driver.Machine) bool { return false }

// Rescue implements driver.Rescue.
func (a Absent) Rescue(_ context.Context, t *driver.Task, _ string) error { return a.refuse(t.Machine) }

// Unrescue implements driver.Rescue.
func (a Absent) Unrescue(_ context.Context, t *driver.Task) error { return a.refuse(t.Machine) }
