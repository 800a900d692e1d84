// Package driver is the hardware contract: what a hardware type must be able to do so that Ferric can operate a
// machine. It is the extension point for vendors.
//
// A hardware type is a value that names, per kind of interface, the implementations that it allows. An
// implementation has one core interface per kind, with few methods; what only some hardware can do is an optional
// interface beside it, found by type assertion.
//
// # Concurrency
//
// Implementations are shared by all nodes and are called from many goroutines at once; they keep no state per call. Every
// method honours its context's deadline.
package driver

import (
	"context"
	"time"

	"ferric"
)

// Machine is the node that a call is about. Implementations read it and do not change it.
type Machine struct {
	Node       *ferric.Node
	Ports      []*ferric.Port
	Portgroups []*ferric.Portgroup
	// Connectors and Targets are how the machine reaches remote volumes, and these, in the order in which they were made. They are there only if the node's
	// storage interface is a VolumeStorage.
	Connectors []*ferric.VolumeConnector
	Targets    []*ferric.VolumeTarget
}

// BootVolume returns the remote volume that the machine is to boot from, nil for none.
func (m *Machine) BootVolume() *ferric.VolumeTarget {
	for _, v := range m.Targets {
		if v.BootIndex == 0 {
			return v
		}
	}
	return nil
}

// Members returns the ports of a port group of the machine.
func (m *Machine) Members(portgroup string) []*ferric.Port {
	var out []*ferric.Port
	for _, p := range m.Ports {
		if p.PortgroupUUID == portgroup {
			out = append(out, p)
		}
	}
	return out
}

// Interface is common to all kinds.
type Interface interface {
	// Properties names the driver_info and instance_info keys that the implementation reads, with a sentence each.
	Properties() map[string]string
	// Validate checks what the implementation needs of the node without touching the hardware. CodeInvalid names
	// every missing or wrong field.
	Validate(ctx context.Context, m *Machine) error
}

// Power controls a machine's power. Interface kind "power".
type Power interface {
	Interface
	// PowerState asks the hardware. CodeUnavailable, CodeUnauthorized, CodeTimeout.
	PowerState(ctx context.Context, m *Machine) (ferric.PowerState, error)
	// SetPowerState brings the machine to the target and returns when it is there, or with CodeTimeout. It may be repeated:
	// a machine that is on stays on. Reboot ends with the machine on, whatever it was before.
	SetPowerState(ctx context.Context, m *Machine, target ferric.PowerState, timeout time.Duration) error
	// SupportedPowerStates returns the targets that SetPowerState takes.
	SupportedPowerStates(m *Machine) []ferric.PowerState
}

// RamdiskBoot says what to boot the machine into.
type RamdiskBoot struct {
	Kernel  string            // source of the kernel: a path or URL; "" is the configured one
	Ramdisk string            // source of the initramfs
	Params  map[string]string // kernel parameters, "ipa-api-url" and the like
	Purpose string            // of the network: provisioning, cleaning, inspection, rescuing, servicing
}

// Boot prepares what a machine loads at its next boot. Interface kind "boot". All methods may be repeated.
type Boot interface {
	Interface
	// PrepareRamdisk makes the machine load the ramdisk when it boots next. It sets the boot device too.
	PrepareRamdisk(ctx context.Context, t *Task, r RamdiskBoot) error
	// CleanUpRamdisk takes away what PrepareRamdisk made.
	CleanUpRamdisk(ctx context.Context, t *Task) error
	// PrepareInstance makes the machine boot the deployed system from now on.
	PrepareInstance(ctx context.Context, t *Task) error
	// CleanUpInstance takes away what PrepareInstance made.
	CleanUpInstance(ctx context.Context, t *Task) error
}

// NetworkPurpose says what a machine is connected to a network for.
type NetworkPurpose string

// The purposes.
const (
	ForProvisioning NetworkPurpose = "provisioning"
	ForCleaning     NetworkPurpose = "cleaning"
	ForInspection   NetworkPurpose = "inspection"
	ForRescue       NetworkPurpose = "rescuing"
	ForServicing    NetworkPurpose = "servicing"
	ForTenant       NetworkPurpose = "tenant"
)

// Network connects machines. Interface kind "network". All methods may be repeated.
type Network interface {
	Interface
	// Connect puts the machine on the network of the purpose; Disconnect takes it off.
	Connect(ctx context.Context, t *Task, purpose NetworkPurpose) error
	Disconnect(ctx context.Context, t *Task, purpose NetworkPurpose) error
	// AttachVIF notes that the instance's virtual interface is to be plugged into a port group or a port of the machine. CodeConflict if it is
	// attached already, CodeInvalid if none is free.
	AttachVIF(ctx context.Context, t *Task, vif VIF) error
	DetachVIF(ctx context.Context, t *Task, id string) error
	VIFs(ctx context.Context, m *Machine) ([]VIF, error)
}

// PortWatcher is an optional part of Network. It is asked before a port or a port group of the machine is changed, with the new form
// and the stored one, and may refuse. It runs under the node's lease.
type PortWatcher interface {
	PortChanged(ctx context.Context, t *Task, now, before *ferric.Port) error
	PortgroupChanged(ctx context.Context, t *Task, now, before *ferric.Portgroup) error
}

// VIF is a virtual interface of an instance. Extra fields travel as they came.
type VIF struct {
	ID    string
	Extra map[string]any
}

// Deploy writes an image and makes the machine run it. Interface kind "deploy". Its work is its steps (Stepper).
type Deploy interface {
	Interface
	// Prepare is called before the machine is touched: fetch images, build configurations. May be repeated.
	Prepare(ctx context.Context, t *Task) error
	// CleanUp takes away what Prepare made. May be repeated.
	CleanUp(ctx context.Context, t *Task) error
	// UsesRamdisk reports whether the deploy boots the deploy ramdisk.
	UsesRamdisk(m *Machine) bool
}

// Inspect finds out what a machine is made of. Interface kind "inspect".
type Inspect interface {
	Interface
	// InBand reports whether the inspection is done by an agent in the ramdisk. Then the conductor boots it and
	// waits for the inventory; otherwise it calls Run.
	InBand(m *Machine) bool
	// Run inspects out of band. nil is nothing to process.
	Run(ctx context.Context, t *Task) (*ferric.Inventory, error)
}

// Rescue lets people into a machine beside its deployed system. Interface kind "rescue".
type Rescue interface {
	Interface
	// InBand reports whether an agent in a ramdisk is the rescue environment. Then the conductor boots it, gives it the password and
	// leaves it alone, and boots the deployed system again to end it; otherwise it calls Rescue and Unrescue.
	InBand(m *Machine) bool
	// Rescue opens the environment to who knows the password, of which hash is the crypt(3) form. It may be repeated.
	Rescue(ctx context.Context, t *Task, hash string) error
	// Unrescue brings the deployed system back. It may be repeated.
	Unrescue(ctx context.Context, t *Task) error
}

// VolumeBoot is an optional part of Boot: what it can boot over the network once the machine is deployed.
type VolumeBoot interface {
	// BootsVolume reports whether machines boot from remote volumes of a type, such as "iscsi".
	BootsVolume(volumeType string) bool
}

// Storage attaches remote volumes. Interface kind "storage".
type Storage interface {
	Interface
	// Attach gives the machine its volumes, Detach takes them away. They are called again after a Pending and after a crash, and find out what is done
	// already. The checkpoint of the step that calls them is not theirs.
	Attach(ctx context.Context, t *Task) error
	Detach(ctx context.Context, t *Task) error
	// WritesImage reports whether the image is to be written to a local disk.
	WritesImage(m *Machine) bool
}

// VolumeStorage is a Storage that works with the node's volume connectors and targets.
type VolumeStorage interface {
	Storage
	UsesVolumes()
}
