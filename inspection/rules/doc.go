// Package rules runs inspection rules: conditions over what an inspection found, and actions on the node. It holds Ironic's language of
// rules (operators, loops, replacement fields in Python's format notation), and changes nothing but the copies that it is given.
//
// # Concurrency
//
// An Engine may be used by several goroutines; a Machine belongs to one.
package rules
