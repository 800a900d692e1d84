package agent

import (
	"context"

	"ferric"
	"ferric/driver"
)

// Inspect is the inspect interface "agent": the ramdisk looks at the machine from the inside.
type Inspect struct{}

// Properties implements driver.Interface.
func (Inspect) Properties() map[string]string { return nil }

// Validate implements driver.Interface: without a port the agent could not find its node.
func (Inspect) Validate(_ context.Context, m *driver.Machine) error {
	if len(m.Ports) == 0 {
		return ferric.Errorf(ferric.CodeInvalid, "the node has no port: create one with the MAC address that the machine boots from, "+
			"so that it is served and recognised")
	}
	return nil
}

// InBand implements driver.Inspect.
func (Inspect) InBand(*driver.Machine) bool { return true }

// Run implements driver.Inspect; an in-band inspection has nothing to run here.
func (Inspect) Run(context.Context, *driver.Task) (*ferric.Inventory, error) {
	return nil, ferric.Errorf(ferric.CodeUnsupported, "the agent inspects from inside the machine")
}
