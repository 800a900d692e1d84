package fake

import (
	"context"
	"slices"
	"strings"

	"ferric"
	"ferric/driver"
)

// Management is the management interface "fake".
type Management struct {
	open
	h *Hardware
}

var (
	_ driver.Management   = Management{}
	_ driver.NMIInjector  = Management{}
	_ driver.SensorReader = Management{}
	_ driver.BootModer    = Management{}
	_ driver.SecureBooter = Management{}
	_ driver.Indicators   = Management{}
	_ driver.VirtualMedia = Management{}
)

// look reads the machine's memory, after the delay; set changes it.
func (g Management) look(ctx context.Context, m *driver.Machine) (memory, error) {
	if err := g.h.ManagementDelay.sleep(ctx); err != nil {
		return memory{}, err
	}
	return g.h.recall(ctx, m.Node.UUID)
}

func (g Management) set(ctx context.Context, m *driver.Machine, change func(*memory)) error {
	if err := g.h.ManagementDelay.sleep(ctx); err != nil {
		return err
	}
	return g.h.remember(ctx, m.Node.UUID, func(mem *memory) error { change(mem); return nil })
}

// SupportedBootDevices implements driver.Management.
func (Management) SupportedBootDevices(*driver.Machine) []ferric.BootDevice {
	return []ferric.BootDevice{ferric.BootPXE, ferric.BootDisk, ferric.BootCDROM, ferric.BootBIOS, ferric.BootSafe}
}

// BootDevice implements driver.Management.
func (g Management) BootDevice(ctx context.Context, m *driver.Machine) (driver.BootDeviceSetting, error) {
	mem, err := g.look(ctx, m)
	if err != nil {
		return driver.BootDeviceSetting{}, err
	}
	if mem.Boot == nil {
		mem.Boot = &bootSetting{Device: ferric.BootPXE}
	}
	return driver.BootDeviceSetting{Device: mem.Boot.Device, Persistent: &mem.Boot.Persistent}, nil
}

// SetBootDevice implements driver.Management.
func (g Management) SetBootDevice(ctx context.Context, m *driver.Machine, d ferric.BootDevice, persistent bool) error {
	if !slices.Contains(g.SupportedBootDevices(m), d) {
		return ferric.Errorf(ferric.CodeInvalid, "Invalid boot device %s specified.", d)
	}
	return g.set(ctx, m, func(mem *memory) { mem.Boot = &bootSetting{d, persistent} })
}

// InjectNMI implements driver.NMIInjector.
func (g Management) InjectNMI(ctx context.Context, m *driver.Machine) error {
	return g.set(ctx, m, func(mem *memory) { mem.NMIs++ })
}

// Sensors implements driver.SensorReader.
func (g Management) Sensors(ctx context.Context, m *driver.Machine) (map[string]map[string]any, error) {
	_, err := g.look(ctx, m)
	return map[string]map[string]any{}, err
}

// SupportedBootModes implements driver.BootModer.
func (Management) SupportedBootModes(*driver.Machine) []string {
	return []string{ferric.BootModeBIOS, ferric.BootModeUEFI}
}

// BootMode implements driver.BootModer. The machine does not say before one is set.
func (g Management) BootMode(ctx context.Context, m *driver.Machine) (string, error) {
	mem, err := g.look(ctx, m)
	return mem.BootMode, err
}

// SetBootMode implements driver.BootModer.
func (g Management) SetBootMode(ctx context.Context, m *driver.Machine, mode string) error {
	if !slices.Contains(g.SupportedBootModes(m), mode) {
		return ferric.Errorf(ferric.CodeInvalid, "Invalid boot mode %s specified.", mode)
	}
	return g.set(ctx, m, func(mem *memory) { mem.BootMode = mode })
}

// SecureBoot implements driver.SecureBooter. The machine does not say before it is set.
func (g Management) SecureBoot(ctx context.Context, m *driver.Machine) (*bool, error) {
	mem, err := g.look(ctx, m)
	return mem.SecureBoot, err
}

// SetSecureBoot implements driver.SecureBooter.
func (g Management) SetSecureBoot(ctx context.Context, m *driver.Machine, on bool) error {
	return g.set(ctx, m, func(mem *memory) { mem.SecureBoot = &on })
}

// Indicators implements driver.Indicators.
func (g Management) Indicators(ctx context.Context, m *driver.Machine) ([]driver.Indicator, error) {
	_, err := g.look(ctx, m)
	return indicators(), err
}

func indicators() []driver.Indicator {
	return []driver.Indicator{
		{Component: "chassis", Name: "led-0", ReadOnly: true, States: []string{driver.IndicatorOff, driver.IndicatorOn}},
		{Component: "system", Name: "led", States: []string{driver.IndicatorBlinking, driver.IndicatorOff, driver.IndicatorOn}},
	}
}

// indicator finds one of the machine's.
func indicator(component, name string) (driver.Indicator, error) {
	known := false
	for _, i := range indicators() {
		if i.Component == component && i.Name == name {
			return i, nil
		}
		known = known || i.Component == component
	}
	if !known {
		return driver.Indicator{}, ferric.Errorf(ferric.CodeInvalid, "Invalid component %s specified.", component)
	}
	return driver.Indicator{}, ferric.Errorf(ferric.CodeInvalid, "Invalid indicator %s specified.", name)
}

// IndicatorState implements driver.Indicators. Lights are on at first.
func (g Management) IndicatorState(ctx context.Context, m *driver.Machine, component, name string) (string, error) {
	if _, err := indicator(component, name); err != nil {
		return "", err
	}
	mem, err := g.look(ctx, m)
	if state, ok := mem.Indicators[name+"@"+component]; ok {
		return state, err
	}
	return driver.IndicatorOn, err
}

// SetIndicatorState implements driver.Indicators.
func (g Management) SetIndicatorState(ctx context.Context, m *driver.Machine, component, name, state string) error {
	i, err := indicator(component, name)
	state = strings.ToLower(state)
	switch {
	case err != nil:
		return err
	case i.ReadOnly:
		return ferric.Errorf(ferric.CodeInvalid, "Indicator %s of component %s can only be read.", name, component)
	case !slices.Contains(i.States, state):
		return ferric.Errorf(ferric.CodeInvalid, "Invalid indicator state %s specified; it can be: %s.", state, strings.Join(i.States, ", "))
	}
	return g.set(ctx, m, func(mem *memory) { put(&mem.Indicators, name+"@"+component, state) })
}

// mediaTypes are the drives, with Redfish's names of what they take.
func mediaTypes(device string) []string {
	return map[string][]string{"cdrom": {"CD", "DVD"}, "disk": {"USBStick"}, "floppy": {"Floppy"}}[device]
}

// VirtualMedia implements driver.VirtualMedia.
func (g Management) VirtualMedia(ctx context.Context, m *driver.Machine) ([]map[string]any, error) {
	mem, err := g.look(ctx, m)
	if err != nil {
		return nil, err
	}
	var list []map[string]any
	for _, device := range driver.VirtualMediaDevices() {
		drive := map[string]any{"media_types": mediaTypes(device), "inserted": false, "image": nil}
		if url := mem.Media[device]; url != "" {
			drive["inserted"], drive["image"] = true, url
		}
		list = append(list, drive)
	}
	return list, nil
}

// AttachVirtualMedia implements driver.VirtualMedia.
func (g Management) AttachVirtualMedia(ctx context.Context, m *driver.Machine, v driver.VirtualMedium) error {
	if mediaTypes(v.Device) == nil {
		return ferric.Errorf(ferric.CodeInvalid, "The machine has no virtual drive %q.", v.Device)
	}
	return g.set(ctx, m, func(mem *memory) { put(&mem.Media, v.Device, v.URL) })
}

// DetachVirtualMedia implements driver.VirtualMedia.
func (g Management) DetachVirtualMedia(ctx context.Context, m *driver.Machine, devices []string) error {
	return g.set(ctx, m, func(mem *memory) {
		for device := range mem.Media {
			if len(devices) == 0 || slices.Contains(devices, device) {
				delete(mem.Media, device)
			}
		}
	})
}
