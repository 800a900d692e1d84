package dhcp

import (
	"bytes"
	"encoding/binary"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/iana"

	"ferric"
	"ferric/boot"
)

// program is what sent a request.
type program string

const (
	programOS   program = "os"   // an operating system or the agent: wants an address only
	programPXE  program = "pxe"  // PXE firmware: loads its boot file by TFTP
	programHTTP program = "http" // UEFI HTTP boot: loads its boot file by HTTP
	programIPXE program = "ipxe" // iPXE that can load by HTTP
)

// client is what a request says about its sender.
type client struct {
	mac  string
	prog program
	arch uint16 // RFC 4578 section 2.1 and IANA's list; 0 = BIOS
	ipxe bool   // any iPXE, also one without HTTP
}

const etherbootHTTP = 19 // iPXE's feature number for HTTP in option 175

// parseClient reads what the request says about its sender. It returns CodeCorrupt for a packet that is no DHCP
// request from an Ethernet client.
func parseClient(req *dhcpv4.DHCPv4) (client, error) {
	var c client
	if req.OpCode != dhcpv4.OpcodeBootRequest {
		return c, ferric.Errorf(ferric.CodeCorrupt, "dhcp: packet is not a request")
	}
	if req.HWType != iana.HWTypeEthernet || len(req.ClientHWAddr) != 6 {
		return c, ferric.Errorf(ferric.CodeCorrupt, "dhcp: request is not from an Ethernet interface")
	}
	mac, err := boot.ParseMAC(req.ClientHWAddr.String())
	if err != nil {
		return c, ferric.Errorf(ferric.CodeCorrupt, "dhcp: request: %w", err)
	}
	c.mac = mac
	if req.MessageType() == dhcpv4.MessageTypeNone {
		return c, ferric.Errorf(ferric.CodeCorrupt, "dhcp: request has no message type")
	}
	class := string(req.Options.Get(dhcpv4.OptionClassIdentifier))
	features := req.Options.Get(dhcpv4.OptionEtherboot)
	c.ipxe = userClassIs(req.Options.Get(dhcpv4.OptionUserClassInformation), "iPXE") || len(features) > 0
	c.arch = clientArch(req.Options.Get(dhcpv4.OptionClientSystemArchitectureType), class)
	switch {
	case c.ipxe && (len(features) == 0 || hasSubOption(features, etherbootHTTP)):
		c.prog = programIPXE
	case strings.HasPrefix(class, "HTTPClient"):
		c.prog = programHTTP
	case c.ipxe || strings.HasPrefix(class, "PXEClient"):
		c.prog = programPXE
	default:
		c.prog = programOS
	}
	return c, nil
}

// userClassIs reports whether option 77 holds want, as plain text (iPXE, most others) or as RFC 3004's list.
func userClassIs(opt []byte, want string) bool {
	if string(opt) == want {
		return true
	}
	for len(opt) > 0 {
		n := int(opt[0])
		if n == 0 || n > len(opt)-1 {
			return false
		}
		if string(opt[1:1+n]) == want {
			return true
		}
		opt = opt[1+n:]
	}
	return false
}

// hasSubOption reports whether an encapsulated option holds the sub-option with a value other than 0.
func hasSubOption(opt []byte, code byte) bool {
	for len(opt) > 0 {
		if opt[0] == 0 {
			opt = opt[1:]
			continue
		}
		if opt[0] == 255 || len(opt) < 2 || int(opt[1]) > len(opt)-2 {
			return false
		}
		value := opt[2 : 2+int(opt[1])]
		if opt[0] == code {
			return len(bytes.Trim(value, "\x00")) > 0
		}
		opt = opt[2+len(value):]
	}
	return false
}

// clientArch returns the first architecture of option 93, else the one in "PXEClient:Arch:00007:UNDI:003016", else 0.
func clientArch(opt []byte, class string) uint16 {
	if len(opt) >= 2 {
		return binary.BigEndian.Uint16(opt)
	}
	if _, rest, ok := strings.Cut(class, ":Arch:"); ok {
		text, _, _ := strings.Cut(rest, ":")
		if n, err := strconv.ParseUint(text, 10, 16); err == nil {
			return uint16(n)
		}
	}
	return 0
}

// machineID returns the client's machine identifier (option 97, RFC 4578 section 2.3) if it has the right form.
func machineID(req *dhcpv4.DHCPv4) []byte {
	id := req.Options.Get(dhcpv4.OptionClientMachineIdentifier)
	if len(id) != 17 || id[0] != 0 {
		return nil
	}
	return id
}

// toAddr returns the IPv4 address in ip, or the zero Addr for none or 0.0.0.0.
func toAddr(ip net.IP) netip.Addr {
	a, ok := netip.AddrFromSlice(ip.To4())
	if !ok || a.IsUnspecified() {
		return netip.Addr{}
	}
	return a
}

func toUint(a netip.Addr) uint32 {
	b := a.As4()
	return binary.BigEndian.Uint32(b[:])
}

func fromUint(n uint32) netip.Addr {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], n)
	return netip.AddrFrom4(b)
}
