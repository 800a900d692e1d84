// Package ra sends IPv6 router advertisements (RFC 4861 section 4.2) that offer nothing: router lifetime 0, no prefix,
// no managed configuration. Firmware that tries IPv6 and IPv4 side by side then gives IPv6 up at once: the iPXE of
// network cards otherwise waits some 13 s for a router before it boots by IPv4.
//
// It is off unless it is asked for, since it does not belong on a network that has an IPv6 router of its own.
//
// # Concurrency
//
// One goroutine reads router solicitations and one sends; Serve waits for both.
package ra
