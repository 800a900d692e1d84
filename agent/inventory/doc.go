// Package inventory reads the machine's hardware from sysfs, procfs and SMBIOS into the inventory of
// ironic-python-agent, field by field.
//
// # Concurrency
//
// A Reader holds no state that changes; its methods may be called from many goroutines.
package inventory
