package driver

import "ferric"

// Unsupported is the refusal of something that a node's driver cannot do, in Ironic's words. what is the name of the call, such as
// "set_boot_mode", or of the interface kind.
func Unsupported(hardwareType, what string) error {
	return ferric.Errorf(ferric.CodeUnsupported, "Driver %s does not support %s (disabled or not implemented).", hardwareType, what)
}
