// Package dhcp answers DHCPv4 for machines that boot over the network, on one named interface: either as the network's
// DHCP server, or as a proxyDHCP beside one, which gives no addresses and only says what to boot (ports 67 and 4011).
//
// Who is answered: machines that the Directory knows, and others only while discovery is on. A machine that has no
// boot configuration gets an address and no boot file. The boot file follows from the configuration's flavor, the
// client's architecture (option 93, RFC 4578) and what the client is: firmware PXE, UEFI HTTP boot (option 60
// "HTTPClient"), or iPXE (option 77 "iPXE" or option 175), which is sent straight to its script.
//
// Sources: RFC 2131 (DHCP), 2132 (options), 3046 (option 82), 3527 (link selection), 4578 (PXE options), 6842
// (client identifier in replies), Intel's PXE specification 2.1 (proxyDHCP, option 43), UEFI specification 2.10
// section 24.7 (HTTP boot), iPXE's encapsulated option 175.
//
// # Concurrency
//
// Packets are handled one after the other by the goroutine that runs Serve (in proxy mode by one per port), so that
// two requests never race for an address; several servers on one Leases store are kept apart by Leases.Put. Every
// packet has a deadline (Options.PacketTimeout) for what the Directory and Leases do. Serve stops and waits for all it
// has started before it returns. Handler may be used from many goroutines if its Directory and Leases may.
package dhcp
