package boot

import (
	"net/netip"
	"net/url"
	"path"
	"strings"
	"unicode/utf8"

	"ferric"
)

// Site says where the machines of one provisioning network find the boot services.
type Site struct {
	HTTP string     // base URL of boot/http as the machines reach it, "http://192.0.2.1:8080"; no path, no trailing slash
	TFTP netip.Addr // IPv4 address of boot/tftp; always port 69
}

// Validate reports with CodeInvalid what is wrong with s. Names are refused in HTTP: a loader may have no DNS.
func (s Site) Validate() error {
	u, err := url.Parse(s.HTTP)
	if err != nil || u.Scheme != "http" || u.Path != "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		return ferric.Errorf(ferric.CodeInvalid, "boot site: HTTP address %q: must be http://ADDRESS or http://ADDRESS:PORT", s.HTTP)
	}
	if a, err := netip.ParseAddr(u.Hostname()); err != nil || !a.Is4() {
		return ferric.Errorf(ferric.CodeInvalid, "boot site: HTTP address %q: the host must be an IPv4 address, loaders may have no DNS", s.HTTP)
	}
	if !s.TFTP.Is4() {
		return ferric.Errorf(ferric.CodeInvalid, "boot site: TFTP address %q: must be an IPv4 address", s.TFTP)
	}
	return nil
}

// URL returns the HTTP address of a file of the tree.
func (s Site) URL(name string) string { return s.HTTP + "/" + strings.TrimPrefix(name, "/") }

// Resolve returns the URL of a Config's Kernel or Initrd.
func (s Site) Resolve(ref string) string {
	if strings.Contains(ref, "://") {
		return ref
	}
	return s.URL(ref)
}

// checkRef reports what is wrong with a kernel's or initrd's address.
func checkRef(ref string) error {
	if ref == "" {
		return ferric.Errorf(ferric.CodeInvalid, "must be an http URL or a path below the site's HTTP address")
	}
	if len(ref) > 1024 {
		return ferric.Errorf(ferric.CodeInvalid, "it is %d bytes long; at most 1024 fit", len(ref))
	}
	if err := checkText(ref, false); err != nil {
		return err
	}
	if !strings.Contains(ref, "://") {
		_, err := CleanName(ref)
		return err
	}
	u, err := url.Parse(ref)
	if err != nil || u.Host == "" || u.Scheme != "http" {
		return ferric.Errorf(ferric.CodeInvalid, "%q: must be an http:// URL; the loaders speak neither TLS nor anything else", ref)
	}
	if strings.Contains(ref, "#") {
		return ferric.Errorf(ferric.CodeInvalid, "%q: a URL with a fragment (#) is not allowed", ref)
	}
	if u.User != nil {
		return ferric.Errorf(ferric.CodeInvalid, "the URL carries a user or password, which every machine on the network could read; remove it")
	}
	return nil
}

// Names of the loaders at the root of the served tree.
const (
	LoaderPXELinux  = "lpxelinux.0"     // BIOS, flavor pxe; speaks HTTP
	LoaderShimX64   = "shimx64.efi"     // UEFI x86-64, flavor pxe; starts LoaderGRUBX64
	LoaderGRUBX64   = "grubx64.efi"     // UEFI x86-64, flavor pxe
	LoaderGRUBSite  = "grubsitex64.efi" // UEFI x86-64, flavor pxe, beside another DHCP server; made by BuildGRUB
	LoaderShimARM64 = "shimaa64.efi"    // UEFI arm64, flavor pxe; starts LoaderGRUBARM64
	LoaderGRUBARM64 = "grubaa64.efi"    // UEFI arm64, flavor pxe
	LoaderUndionly  = "undionly.kpxe"   // BIOS, flavor ipxe
	LoaderSNPX64    = "snponly.efi"     // UEFI x86-64, flavor ipxe: the firmware's own network driver
	LoaderIPXEX64   = "ipxe.efi"        // UEFI x86-64, flavor ipxe: iPXE's own network drivers
	LoaderSNPARM64  = "snponly-arm64.efi"
)

// PXELinuxPath is where PXELINUX looks for the configuration of a machine; an empty MAC stands for all others.
func PXELinuxPath(mac string) string {
	if mac == "" {
		return "pxelinux.cfg/default"
	}
	return "pxelinux.cfg/" + BootIF(mac)
}

// GRUBPath is where a network-booted GRUB finds the configuration of a machine (grub/grub.cfg leads it there); an empty
// MAC stands for all others.
func GRUBPath(mac string) string {
	if mac == "" {
		return "grub/grub.cfg-default"
	}
	return "grub/grub.cfg-" + BootIF(mac)
}

// ScriptPath is where DHCP sends an iPXE of a machine; an empty MAC stands for all others.
func ScriptPath(mac string) string {
	if mac == "" {
		return "ipxe/default/boot.ipxe"
	}
	return "ipxe/" + strings.ReplaceAll(mac, ":", "-") + "/boot.ipxe"
}

// BootIF returns the value of BOOTIF= for a canonical MAC: hardware type and address, "01-aa-bb-cc-dd-ee-ff".
func BootIF(mac string) string { return "01-" + strings.ReplaceAll(mac, ":", "-") }

// CleanName turns a file name that a client asked for into a slash-separated path that is valid for fs.FS. Leading
// and doubled slashes are dropped and backslashes, which some firmware sends, become slashes. A name that is empty,
// too long, not UTF-8, has a ".." element or a control character is refused with CodeInvalid.
func CleanName(name string) (string, error) {
	if len(name) > 512 {
		return "", ferric.Errorf(ferric.CodeInvalid, "file name: %d bytes; at most 512 are allowed", len(name))
	}
	if !utf8.ValidString(name) {
		return "", ferric.Errorf(ferric.CodeInvalid, "file name %q: it is not valid UTF-8", name)
	}
	for i := range len(name) {
		if name[i] < ' ' || name[i] == 0x7f {
			return "", ferric.Errorf(ferric.CodeInvalid, "file name %q: control characters are not allowed", name)
		}
	}
	slashed := strings.ReplaceAll(name, `\`, "/")
	for elem := range strings.SplitSeq(slashed, "/") {
		if elem == ".." {
			return "", ferric.Errorf(ferric.CodeInvalid, "file name %q: \"..\" is not allowed", name)
		}
	}
	clean := strings.TrimPrefix(path.Clean("/"+slashed), "/")
	if clean == "" {
		return "", ferric.Errorf(ferric.CodeInvalid, "file name %q: a name is needed", name)
	}
	return clean, nil
}
