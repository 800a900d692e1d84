// Package fake is hardware that does not exist: the implementations named "fake", for trying the API, for tests and for load. Every kind
// works; what is set is kept per node, over restarts if Hardware.States is given, and every kind can be slowed down.
//
// # Concurrency
//
// A Hardware may be shared by all nodes and goroutines.
package fake

import (
	"context"
	"encoding/json"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"ferric"
	"ferric/driver"
	"ferric/flow"
)

// Delay makes an action take a random time between Min and Max.
type Delay struct{ Min, Max time.Duration }

func (d Delay) sleep(ctx context.Context) error {
	if d.Max <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d.pick())
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ferric.Errorf(ferric.CodeTimeout, "fake hardware: %w", ctx.Err())
	case <-t.C:
		return nil
	}
}

// pick draws a time.
func (d Delay) pick() time.Duration {
	if d.Max <= d.Min {
		return max(d.Min, 0)
	}
	return d.Min + time.Duration(rand.Int64N(int64(d.Max-d.Min)))
}

// Hardware is the shared state of the fake implementations. Its zero value is ready for use.
type Hardware struct {
	PowerDelay, ManagementDelay, BootDelay, DeployDelay, InspectDelay, CleanDelay Delay
	BIOSDelay, FirmwareDelay, RAIDDelay, ConsoleDelay, VendorDelay, StorageDelay  Delay
	RescueDelay, ServiceDelay                                                     Delay

	// States is where the machines' states are kept. nil: in memory, which is for tests.
	States driver.States
	// Journal is where the machines note what destroys data or must not be done twice: disks, logical disks, firmware. nil: nowhere.
	Journal *Journal

	locks  [64]sync.Mutex // by node
	mu     sync.Mutex
	states map[string][]byte // while States is nil
}

// Implementations returns the fake implementation of every kind.
func (h *Hardware) Implementations() map[ferric.InterfaceKind]driver.Interface {
	return map[ferric.InterfaceKind]driver.Interface{
		ferric.KindPower: Power{h: h}, ferric.KindManagement: Management{h: h}, ferric.KindBoot: Boot{h: h}, ferric.KindDeploy: Deploy{h: h},
		ferric.KindInspect: Inspect{h: h}, ferric.KindStorage: Storage{h: h}, ferric.KindBIOS: BIOS{h: h}, ferric.KindFirmware: Firmware{h: h},
		ferric.KindRAID: RAID{h: h}, ferric.KindConsole: Console{h: h}, ferric.KindVendor: Vendor{h: h},
		ferric.KindRescue: Rescue{h: h},
	}
}

// open is what all fakes share: no properties, and everything is valid.
type open struct{}

// Properties implements driver.Interface.
func (open) Properties() map[string]string { return nil }

// Validate implements driver.Interface.
func (open) Validate(context.Context, *driver.Machine) error { return nil }

// Power is the power interface "fake": the machine is in the state that was set last, at first in none.
type Power struct {
	open
	h *Hardware
}

// PowerState implements driver.Power.
func (p Power) PowerState(ctx context.Context, m *driver.Machine) (ferric.PowerState, error) {
	return m.Node.PowerState, ctx.Err()
}

// SetPowerState implements driver.Power. The conductor records the state on the node; that record is this machine.
func (p Power) SetPowerState(ctx context.Context, m *driver.Machine, target ferric.PowerState, timeout time.Duration) error {
	if !slices.Contains(p.SupportedPowerStates(m), target) {
		return ferric.Errorf(ferric.CodeInvalid, "set_power_state called with an invalid power state: %s", target)
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	return p.h.PowerDelay.sleep(ctx)
}

// SupportedPowerStates implements driver.Power.
func (Power) SupportedPowerStates(*driver.Machine) []ferric.PowerState {
	return []ferric.PowerState{ferric.PowerOn, ferric.PowerOff, ferric.Reboot, ferric.SoftReboot, ferric.SoftPowerOff}
}

// Boot is the boot interface "fake".
type Boot struct {
	open
	h *Hardware
}

// PrepareRamdisk implements driver.Boot.
func (b Boot) PrepareRamdisk(ctx context.Context, _ *driver.Task, _ driver.RamdiskBoot) error {
	return b.h.BootDelay.sleep(ctx)
}

// CleanUpRamdisk implements driver.Boot.
func (b Boot) CleanUpRamdisk(ctx context.Context, _ *driver.Task) error {
	return b.h.BootDelay.sleep(ctx)
}

// PrepareInstance implements driver.Boot.
func (b Boot) PrepareInstance(ctx context.Context, _ *driver.Task) error {
	return b.h.BootDelay.sleep(ctx)
}

// CleanUpInstance implements driver.Boot.
func (b Boot) CleanUpInstance(ctx context.Context, _ *driver.Task) error {
	return b.h.BootDelay.sleep(ctx)
}

// Deploy is the deploy interface "fake": nothing is written, and no ramdisk is booted.
type Deploy struct {
	open
	h *Hardware
}

// Prepare implements driver.Deploy.
func (Deploy) Prepare(context.Context, *driver.Task) error { return nil }

// CleanUp implements driver.Deploy.
func (Deploy) CleanUp(context.Context, *driver.Task) error { return nil }

// UsesRamdisk implements driver.Deploy.
func (Deploy) UsesRamdisk(*driver.Machine) bool { return false }

// Steps implements driver.Stepper: one deploy step, and clean steps that take their time. What would destroy data goes into the journal, if there is one.
func (d Deploy) Steps(_ *driver.Machine, phase driver.Phase) []driver.Step {
	step := func(name string, priority int, delay Delay) driver.Step {
		return driver.Step{Name: name, Phase: phase, Priority: priority, Repeat: flow.Safe, Abortable: phase != driver.DeployPhase,
			Run: func(ctx context.Context, t *driver.Task) (flow.Outcome, error) {
				return d.h.destroy(ctx, t, name, delay)
			}}
	}
	switch phase {
	case driver.DeployPhase:
		return []driver.Step{step("deploy", 100, d.h.DeployDelay)}
	case driver.CleanPhase:
		return []driver.Step{step("erase_devices_metadata", 99, d.h.CleanDelay), step("erase_devices", 0, d.h.CleanDelay)}
	case driver.ServicePhase:
		return []driver.Step{step("burn_in", 0, d.h.ServiceDelay)}
	}
	return nil
}

// Inspect is the inspect interface "fake": it finds what the node's driver_info/fake_inventory says, an inventory as an agent sends it, so that
// hooks, rules and the API of inventories can be tried without hardware. Without it nothing is found, as with Ironic's.
type Inspect struct {
	open
	h *Hardware
}

// InBand implements driver.Inspect.
func (Inspect) InBand(*driver.Machine) bool { return false }

// Run implements driver.Inspect.
func (i Inspect) Run(ctx context.Context, t *driver.Task) (*ferric.Inventory, error) {
	if err := i.h.InspectDelay.sleep(ctx); err != nil {
		return nil, err
	}
	found, ok := t.Node.DriverInfo["fake_inventory"]
	if !ok {
		return nil, nil
	}
	raw, err := json.Marshal(found)
	if err != nil {
		return nil, ferric.Errorf(ferric.CodeInvalid, "driver_info/fake_inventory: %w", err)
	}
	return &ferric.Inventory{Inventory: raw}, nil
}

// Rescue is the rescue interface "fake": nothing is booted.
type Rescue struct {
	open
	h *Hardware
}

// InBand implements driver.Rescue.
func (Rescue) InBand(*driver.Machine) bool { return false }

// Rescue implements driver.Rescue.
func (r Rescue) Rescue(ctx context.Context, _ *driver.Task, _ string) error {
	return r.h.RescueDelay.sleep(ctx)
}

// Unrescue implements driver.Rescue.
func (r Rescue) Unrescue(ctx context.Context, _ *driver.Task) error {
	return r.h.RescueDelay.sleep(ctx)
}

// Storage is the storage interface "fake".
type Storage struct {
	open
	h *Hardware
}

// Attach implements driver.Storage.
func (s Storage) Attach(ctx context.Context, _ *driver.Task) error {
	return s.h.StorageDelay.sleep(ctx)
}

// Detach implements driver.Storage.
func (s Storage) Detach(ctx context.Context, _ *driver.Task) error {
	return s.h.StorageDelay.sleep(ctx)
}

// WritesImage implements driver.Storage.
func (Storage) WritesImage(*driver.Machine) bool { return true }
