// Package network implements the network interfaces "flat" and "neutron" of the driver contract, over OpenStack's Neutron.
//
// Both note an instance's VIFs (Neutron ports that somebody else made) on port groups and ports, and bind them to the machine. For cleaning and
// inspection, and with "neutron" for provisioning, rescue and servicing, too, they make ports of their own, one for each port that the machine boots from, and
// remove them afterwards.
//
// # Nothing is made twice, nothing is left behind
//
// A port of Ferric's own is known by its name (ferric-PURPOSE-PORT), its owner (baremetal:none) and its host (the node), never by what was noted here: Connect asks
// Neutron what there is, adopts what fits, removes what does not, and makes the rest in one request. That Neutron allows a MAC address once in a network is what keeps
// a request of a conductor that was thought dead from making a second one. Strays finds what was left behind all the same.
//
// # While Neutron is away
//
// nothing fails: every method then returns a driver.Pending, with which the step of an operation waits.
//
// # Concurrency
//
// An Interface keeps no state and may be shared by all nodes.
package network
