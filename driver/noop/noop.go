// Package noop holds the implementations that do nothing, honestly: "noop" network and storage, and "no-bios", "no-console", … for what a
// machine does not have. Using what is not there is refused with CodeUnsupported.
//
// # Concurrency
//
// The implementations have no state.
package noop

import (
	"context"

	"ferric"
	"ferric/driver"
)

// Inspect is "no-inspect".
type Inspect struct{ Absent }

// InBand implements driver.Inspect.
func (Inspect) InBand(*driver.Machine) bool { return false }

// Run implements driver.Inspect.
func (i Inspect) Run(ctx context.Context, t *driver.Task) (*ferric.Inventory, error) {
	return nil, i.Validate(ctx, t.Machine)
}

// Storage is the storage interface "noop": the machine boots from its own disks.
type Storage struct{}

// Properties implements driver.Interface.
func (Storage) Properties() map[string]string { return nil }

// Validate implements driver.Interface.
func (Storage) Validate(context.Context, *driver.Machine) error { return nil }

// Attach implements driver.Storage.
func (Storage) Attach(context.Context, *driver.Task) error { return nil }

// Detach implements driver.Storage.
func (Storage) Detach(context.Context, *driver.Task) error { return nil }

// WritesImage implements driver.Storage.
func (Storage) WritesImage(*driver.Machine) bool { return true }
