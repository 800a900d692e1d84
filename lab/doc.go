// Package lab is virtual bare metal: QEMU machines with a BMC each, for trying Ferric without hardware and for
// end-to-end tests.
//
// A lab is a network namespace and a directory. The namespace holds a bridge br0 (10.77.0.1/24, fd00:77::1/64) with
// one tap per network card of the machines, and a bridge bmc0 without ports that carries the BMCs' addresses
// (10.78.0.N). Ferric runs inside the namespace ("ip netns exec", "ferric lab exec"), so that its DHCP and TFTP reach
// the machines and nothing else, and several labs can stand side by side. The directory holds lab.json (what the lab
// consists of) and a folder per machine: disks, UEFI variables, the serial console's log, sockets and records of the
// processes that run.
//
// A machine is one QEMU process. Power off ends it, power on starts it; both survive the command that caused them.
// The boot device is the order of QEMU's bootindex properties: a "next boot only" device is put first at power-on and
// taken back right afterwards, which takes effect at the machine's next reset, as on real hardware.
//
// The BMC is OpenIPMI's ipmi_sim, foreign code that proves the IPMI client right (cipher suite 3, boot flags
// "persistent" and "UEFI" are lost), or package lab/bmc (cipher suite 17, all flags). ipmi_sim reaches the machine by
// a script that runs "ferric lab chassis-control"; the other one is the process "ferric lab bmc NODE". Only machines
// of ipmi_sim have the in-band interface (KCS, /dev/ipmi0).
//
// A process is only ever ended if its pid still has the start time and the command line that were recorded, and by a
// pidfd taken before the check, so a pid that was used again is never hit.
//
// # Concurrency
//
// A Lab and its Machines hold no state in memory beyond what lab.json says; all of their methods may be called from
// any goroutine and from several processes at once. What must not overlap (start, stop, reset and boot device of one
// machine; up and down of one lab) is serialised by file locks.
package lab
