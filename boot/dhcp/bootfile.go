package dhcp

import (
	"strings"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"ferric/boot"
)

// Client architectures (IANA "Processor Architecture Types"; 6 is IA32 by the letter, 7 and 9 are both sent by x86-64
// firmware; 15 to 19 are the same by HTTP).
const (
	archBIOS         = 0
	archEFIIA32      = 6
	archEFIX64       = 7
	archEFIBC        = 9
	archEFIARM64     = 11
	archEFIX86HTTP   = 15
	archEFIX64HTTP   = 16
	archEFIBCHTTP    = 17
	archEFIARM64HTTP = 19
)

// DefaultBootFiles returns the loader for each client architecture that is served, per flavor. Flavor pxe has none for
// UEFI HTTP boot: the distributions' signed network GRUB reads its configuration by TFTP only. In proxy mode
// boot.LoaderGRUBSite takes the place of boot.LoaderShimX64; boot.BuildGRUB makes it.
func DefaultBootFiles() map[boot.Flavor]map[uint16]string {
	table := func(bios, x64, arm64 string) map[uint16]string {
		return map[uint16]string{
			archBIOS:    bios,
			archEFIIA32: x64, archEFIX64: x64, archEFIBC: x64,
			archEFIARM64: arm64,
		}
	}
	ipxe := table(boot.LoaderUndionly, boot.LoaderSNPX64, boot.LoaderSNPARM64)
	for _, arch := range []uint16{archEFIX86HTTP, archEFIX64HTTP, archEFIBCHTTP} {
		ipxe[arch] = boot.LoaderSNPX64
	}
	ipxe[archEFIARM64HTTP] = boot.LoaderSNPARM64
	return map[boot.Flavor]map[uint16]string{
		boot.FlavorPXE:  table(boot.LoaderPXELinux, boot.LoaderShimX64, boot.LoaderShimARM64),
		boot.FlavorIPXE: ipxe,
	}
}

// withoutShim leads an iPXE on UEFI past shim: shim 16 finds the GRUB that it loads through iPXE "malformed" (iPXE
// rounds the size of the file up), and an iPXE that was not started by shim itself has no Secure Boot to keep up.
var withoutShim = map[string]string{
	boot.LoaderShimX64:   boot.LoaderGRUBX64,
	boot.LoaderShimARM64: boot.LoaderGRUBARM64,
}

// bootFile returns what the client is to load: a name below TFTP or an http URL; "" for nothing. known says whether
// the directory knows the machine, else it gets the default configuration.
func (h *Handler) bootFile(c client, m Machine, known bool) string {
	if m.Boot == "" || c.prog == programOS {
		return ""
	}
	if c.prog == programIPXE && m.Boot == boot.FlavorIPXE {
		// Never BootFile, which may be an iPXE: it would load itself for ever.
		switch {
		case m.Script != "":
			return m.Script
		case known:
			return h.opts.Site.URL(boot.ScriptPath(c.mac))
		}
		return h.opts.Site.URL(boot.ScriptPath(""))
	}
	file := m.BootFile
	if file == "" {
		file = h.files[m.Boot][c.arch]
		switch past := withoutShim[file]; {
		case file == boot.LoaderShimX64 && h.opts.Proxy:
			file = boot.LoaderGRUBSite // the signed GRUB does not look at a proxyDHCP's offer
		case past != "" && c.ipxe:
			file = past
		}
	}
	if file != "" && c.prog == programHTTP && !strings.Contains(file, "://") {
		return h.opts.Site.URL(file)
	}
	return file
}

// setBoot writes the boot file and what goes with it into the reply.
func (h *Handler) setBoot(req, resp *dhcpv4.DHCPv4, c client, file string) {
	if c.ipxe && !h.opts.Proxy && file != "" {
		// 175.176 "no-pxedhcp" = 1: do not wait 3 s for a proxyDHCP offer. Without a boot file of ours there may be one.
		resp.Options[dhcpv4.OptionEtherboot.Code()] = []byte{176, 1, 1}
	}
	if c.prog == programOS {
		return
	}
	if h.opts.Proxy && c.prog != programHTTP {
		resp.Options[dhcpv4.OptionClassIdentifier.Code()] = []byte("PXEClient")
		// PXE_DISCOVERY_CONTROL bit 3: take the boot file of this offer, without menu and discovery.
		resp.Options[dhcpv4.OptionVendorSpecificInformation.Code()] = []byte{6, 1, 8, 255}
	}
	if id := machineID(req); id != nil {
		resp.Options[dhcpv4.OptionClientMachineIdentifier.Code()] = id
	}
	if file == "" {
		return
	}
	if c.prog == programHTTP {
		resp.Options[dhcpv4.OptionClassIdentifier.Code()] = []byte("HTTPClient")
	} else {
		resp.ServerIPAddr = h.opts.Site.TFTP.AsSlice()
		resp.Options[dhcpv4.OptionTFTPServerName.Code()] = []byte(h.opts.Site.TFTP.String())
	}
	// The fixed field holds 127 bytes; a longer name is in option 67 only.
	if len(file) <= 127 {
		resp.BootFileName = file
	}
	resp.Options[dhcpv4.OptionBootfileName.Code()] = []byte(file)
}
