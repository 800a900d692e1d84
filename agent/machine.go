package agent

import (
	"context"
	"time"

	"ferric/agent/disk"
	"ferric/agent/inventory"
	"ferric/agent/pid1"
	"ferric/agentapi"
)

// Machine is the hardware and the kernel that an Agent runs on.
type Machine struct {
	// Inventory and Disks read the hardware.
	Inventory func() agentapi.Inventory
	Disks     func() []inventory.Disk
	// BMC asks the management controller for its addresses, in-band.
	BMC func(ctx context.Context) BMC
	// LLDP listens to neighbours on the links for a while; pairs of TLV type and value in hex, by link.
	LLDP func(ctx context.Context, links []string, wait time.Duration) map[string][][2]any
	PCI  func() []inventory.PCIDevice
	USB  func() []inventory.USBDevice
	NUMA func() (inventory.NUMA, error)
	DMI  func() (inventory.DMI, error)

	Open      func(name string) (disk.Device, error)
	Rescan    func(ctx context.Context, name string) error
	StopArray func(name string) error
	ATA       func(name string) (disk.ATA, func() error, error)
	NVMe      func(name string) (disk.NVMe, func() error, error)

	// Sync flushes all disks, and reports whether that was done within the limit.
	Sync func(limit time.Duration) bool
	// Loader makes the machine's firmware boot from the disk (UEFI). It does nothing on a BIOS machine.
	Loader func(ctx context.Context, name string) error
	// CleanNVRAM removes firmware boot entries whose path matches one of the expressions.
	CleanNVRAM func(patterns []string) error
	// PStore is where the kernel's crash store is mounted.
	PStore string

	// Rescue makes ready to let people into the machine who know the password, of which hash is the crypt(3) form, and refuses what it could not
	// do. run lets them in until its context ends.
	Rescue func(hash string) (run func(ctx context.Context) error, err error)
	// Lockdown takes all network links down.
	Lockdown func() error
	// Log returns the agent's own log, KernelLog the kernel's.
	Log       func() []byte
	KernelLog func() []byte
	// Observe is given every server's time.
	Observe      func(time.Time)
	ClockIsWrong func() bool
}

// BMC is what a management controller says of itself in-band; empty fields are unknown, and so is all of it without a
// controller.
type BMC struct {
	IPv4, IPv6, MAC string
}

// End is how an Agent's Run ended.
type End = pid1.Action
