// Package ferric is the domain of bare-metal provisioning: nodes, ports, power states, faults, history and
// the errors that every other package speaks. It has no behaviour that touches the world and imports the
// standard library only.
//
// Field and state names are OpenStack Ironic's, so that a value read here is the value seen at the API.
//
// # Concurrency
//
// All types are plain values. A *Node handed to a caller belongs to that caller; Clone makes a deep copy.
package ferric
