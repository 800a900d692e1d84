package netboot

import (
	"strings"

	"ferric"
	"ferric/boot"
	"ferric/driver"
)

// DHCP options that lead a machine to its loader, as dnsmasq names them: tftp-server-name and bootfile-name (RFC 2132), tftp-server-address
// (RFC 5859), and 255, dnsmasq's own server-ip-address, for siaddr.
const (
	optTFTPName    = "66"
	optBootFile    = "67"
	optTFTPAddress = "150"
	optServer      = "255"
)

// options are the DHCP options for a machine that boots from a network card with this MAC address. Unlike Ferric's own server, this one cannot look at what
// firmware asks, so the node says which it is.
func (b *Boot) options(n *ferric.Node, site boot.Site, mac string) []driver.DHCPOption {
	tftp := site.TFTP.String()
	file := loader(b.Flavor, b.bootMode(n), n)
	out := []driver.DHCPOption{{Name: optBootFile, Value: file}}
	if b.Flavor == boot.FlavorIPXE {
		out = []driver.DHCPOption{{Name: "tag:!ipxe," + optBootFile, Value: file}, {Name: "tag:ipxe," + optBootFile, Value: site.URL(boot.ScriptPath(mac))}}
	}
	out = append(out, driver.DHCPOption{Name: optTFTPName, Value: tftp}, driver.DHCPOption{Name: optTFTPAddress, Value: tftp}, driver.DHCPOption{Name: optServer, Value: tftp})
	for i := range out {
		out[i].IPVersion = 4 // as the boot services
	}
	return out
}

func loader(flavor boot.Flavor, mode string, n *ferric.Node) string {
	arch, _ := n.Properties["cpu_arch"].(string)
	arm := arch == "aarch64" || arch == "arm64"
	switch {
	case flavor == boot.FlavorIPXE && arm:
		return boot.LoaderSNPARM64
	case flavor == boot.FlavorIPXE && mode == ferric.BootModeUEFI:
		return boot.LoaderSNPX64
	case flavor == boot.FlavorIPXE:
		return boot.LoaderUndionly
	case arm:
		return boot.LoaderShimARM64
	case mode == ferric.BootModeUEFI:
		return boot.LoaderShimX64
	}
	return boot.LoaderPXELinux
}

// bootMode is the mode that the node is known, or asked, to boot in.
func (b *Boot) bootMode(n *ferric.Node) string {
	caps, _ := n.Properties["capabilities"].(string)
	switch {
	case n.BootMode != "":
		return n.BootMode
	case strings.Contains(caps, "boot_mode:uefi"):
		return ferric.BootModeUEFI
	case strings.Contains(caps, "boot_mode:bios"):
		return ferric.BootModeBIOS
	}
	return b.BootMode
}
