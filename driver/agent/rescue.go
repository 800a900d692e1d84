package agent

import (
	"context"

	"ferric"
	"ferric/driver"
)

// Rescue is the rescue interface "agent": the ramdisk is the rescue environment.
type Rescue struct{}

// Properties implements driver.Interface.
func (Rescue) Properties() map[string]string {
	return map[string]string{
		"rescue_kernel":  "URL or path of the rescue ramdisk's kernel. Optional: the configured one otherwise.",
		"rescue_ramdisk": "URL or path of the rescue ramdisk's initramfs. Optional: the configured one otherwise.",
	}
}

// Validate implements driver.Interface: without a port the agent could not find its node.
func (Rescue) Validate(_ context.Context, m *driver.Machine) error {
	if len(m.Ports) == 0 {
		return ferric.Errorf(ferric.CodeInvalid, "the node has no port: create one with the MAC address that the machine boots from, "+
			"so that it is served and recognised")
	}
	return nil
}

// InBand implements driver.Rescue.
func (Rescue) InBand(*driver.Machine) bool { return true }

// Rescue implements driver.Rescue; the agent does it.
func (Rescue) Rescue(context.Context, *driver.Task, string) error {
	return ferric.Errorf(ferric.CodeUnsupported, "the agent rescues from inside the machine")
}

// Unrescue implements driver.Rescue; the conductor boots the deployed system again.
func (Rescue) Unrescue(context.Context, *driver.Task) error {
	return ferric.Errorf(ferric.CodeUnsupported, "the agent's rescue environment ends with the machine's power")
}
