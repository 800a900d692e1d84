package fake

import (
	"context"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"ferric"
	"ferric/driver"
	"ferric/flow"
)

// Firmware is the firmware interface "fake".
type Firmware struct {
	open
	h *Hardware
}

var _ driver.Firmware = Firmware{}

// factoryFirmware are the components of a new machine.
func factoryFirmware() []ferric.FirmwareComponent {
	return []ferric.FirmwareComponent{{Component: "bios", CurrentVersion: "1.0.0"}, {Component: "bmc", CurrentVersion: "1.0.0", Model: "Fake BMC"},
		{Component: "nic:0", CurrentVersion: "1.0.0", Vendor: "Fake Networks", Model: "Fake 25GbE", SerialNumber: "F0000001"}}
}

// FirmwareComponents implements driver.Firmware.
func (f Firmware) FirmwareComponents(ctx context.Context, m *driver.Machine) ([]ferric.FirmwareComponent, error) {
	mem, err := f.h.recall(ctx, m.Node.UUID)
	if err != nil {
		return nil, err
	}
	all := factoryFirmware()
	for i := range all {
		if version := mem.Firmware[all[i].Component]; version != "" {
			all[i].CurrentVersion = version
		}
	}
	return all, nil
}

// flashing is the checkpoint of UpdateFirmware.
type flashing struct {
	Done  int       `json:"done"`           // updates that are written
	Until time.Time `json:"until,omitzero"` // when the machine may be touched again
}

// UpdateFirmware implements driver.Firmware. The new version is the one in the name of the file.
func (f Firmware) UpdateFirmware(ctx context.Context, t *driver.Task, updates []driver.FirmwareUpdate) (flow.Outcome, error) {
	for _, u := range updates {
		if !slices.ContainsFunc(factoryFirmware(), func(c ferric.FirmwareComponent) bool { return c.Component == u.Component }) {
			return flow.Outcome{}, ferric.Errorf(ferric.CodeInvalid, "settings: the machine has no component %q; it has: bios, bmc, nic:0", u.Component)
		}
	}
	var at flashing
	if err := t.Flow.Load(&at); err != nil {
		return flow.Outcome{}, err
	}
	for {
		if left := at.Until.Sub(t.Flow.Now()); left > 0 {
			return t.Flow.Wait("", "the machine to settle after the update of "+updates[at.Done-1].Component, left, 0)
		}
		if at.Done >= len(updates) {
			return flow.Done(nil), nil
		}
		u := updates[at.Done]
		if err := f.flash(ctx, t, at.Done, u); err != nil {
			return flow.Outcome{}, err
		}
		at.Done++
		at.Until = t.Flow.Now().Add(u.Wait)
		if err := t.Flow.Save(ctx, at); err != nil {
			return flow.Outcome{}, err
		}
	}
}

// flash writes the firmware of one component, unless the machine says that this very command has been carried out: then the conductor died before
// it could write that down.
func (f Firmware) flash(ctx context.Context, t *driver.Task, part int, u driver.FirmwareUpdate) error {
	command := order(t, "update "+u.Component, part)
	mem, err := f.h.recall(ctx, t.Node.UUID)
	if err != nil || mem.FlashedBy == command.command() {
		return err
	}
	return f.h.carryOut(ctx, command, f.h.FirmwareDelay, func() error {
		return f.h.remember(ctx, t.Node.UUID, func(mem *memory) error {
			put(&mem.Firmware, u.Component, versionIn(u.URL))
			mem.FlashedBy = command.command()
			return nil
		})
	})
}

var versionPattern = regexp.MustCompile(`[0-9]+(\.[0-9]+)+`)

// versionIn finds the version in the name of a file: 2.1.0 in https://server/bmc-2.1.0.bin.
func versionIn(url string) string {
	file, _, _ := strings.Cut(path.Base(url), "?")
	if v := versionPattern.FindString(file); v != "" {
		return v
	}
	return strings.TrimSuffix(file, path.Ext(file))
}

// Steps implements driver.Stepper.
func (f Firmware) Steps(_ *driver.Machine, phase driver.Phase) []driver.Step {
	return driver.FirmwareSteps(f, phase)
}
