package config

import (
	"net/netip"
	"strings"
	"time"
)

// Boot is the section [boot].
type Boot struct {
	Interface           string            `toml:"interface" flag:"boot-interface" help:"Network interface of the provisioning network. The services listen on it and nowhere else. Empty: no boot services."`
	Address             string            `toml:"address" check:"ip" help:"Own address on this interface, which machines are told. Empty: the interface's first IPv4 address."`
	DHCP                string            `toml:"dhcp" default:"proxy" values:"off|server|proxy" help:"server hands out addresses and boot files, proxy adds boot files beside another DHCP server, off does neither."`
	DHCPRange           string            `toml:"dhcp_range" check:"iprange" help:"Addresses that dhcp = \"server\" hands out: first-last, for example 172.22.0.100-172.22.0.199."`
	Netmask             string            `toml:"netmask" check:"ip" help:"Netmask for machines. Empty: the interface's."`
	Gateway             string            `toml:"gateway" check:"ip" help:"Router for machines. Empty: none is told."`
	DNS                 []string          `toml:"dns" check:"ip" help:"Name servers for machines."`
	LeaseTime           time.Duration     `toml:"lease_time" default:"1h" min:"2m" max:"720h" help:"How long a machine may keep its address without asking again."`
	TFTP                bool              `toml:"tftp" default:"true" help:"Whether boot files are served by TFTP (port 69)."`
	HTTPPort            int               `toml:"http_port" default:"8080" min:"1" max:"65535" help:"Port of the HTTP server for kernels, ramdisks, images and boot configurations."`
	Discovery           bool              `toml:"discovery" default:"false" help:"Whether machines with unknown MAC addresses are answered, too."`
	RouterAdvertisement bool              `toml:"router_advertisements" default:"false" help:"Whether IPv6 router advertisements are sent on the interface."`
	DeployKernel        string            `toml:"deploy_kernel" check:"file" help:"Kernel of the deploy ramdisk: an absolute path, an http(s) or file URL, or the UUID of an image in Glance. A node's driver_info/deploy_kernel wins. Empty: the one that ferric ramdisk build left in data_dir."`
	DeployRamdisk       string            `toml:"deploy_ramdisk" check:"file" help:"The deploy ramdisk itself, likewise."`
	DeployKernelByArch  map[string]string `toml:"deploy_kernel_by_arch" check:"file" help:"Kernels for single architectures (a node's properties/cpu_arch), for example { aarch64 = \"/srv/arm64/kernel\" }."`
	DeployRamdiskByArch map[string]string `toml:"deploy_ramdisk_by_arch" check:"file" help:"Ramdisks for single architectures."`
	RescueKernel        string            `toml:"rescue_kernel" check:"file" help:"Kernel of the rescue ramdisk, likewise; a node's driver_info/rescue_kernel wins. Empty: the deploy ramdisk is the rescue ramdisk, too."`
	RescueRamdisk       string            `toml:"rescue_ramdisk" check:"file" help:"The rescue ramdisk itself, likewise."`
	RescueKernelByArch  map[string]string `toml:"rescue_kernel_by_arch" check:"file" help:"Rescue kernels for single architectures."`
	RescueRamdiskByArch map[string]string `toml:"rescue_ramdisk_by_arch" check:"file" help:"Rescue ramdisks for single architectures."`
	KernelAppendParams  string            `toml:"kernel_append_params" default:"console=tty0 console=ttyS0,115200n8" help:"Parameters for the kernel of the deploy ramdisk. A node's driver_info/kernel_append_params wins; %default% in it stands for this value."`
	LoaderDir           string            `toml:"loader_dir" check:"path" help:"Directory with boot loaders (pxelinux.0, ldlinux.c32, GRUB and iPXE images). Empty: where Debian's packages put them."`
	ExternalHTTPURL     string            `toml:"external_http_url" check:"httpurl" help:"Base URL of the HTTP server as machines and BMCs reach it, where that is not its own address."`
}

func (b *Boot) contradictions(report reporter) {
	if b.Interface == "" {
		return
	}
	if b.DHCP == "server" && b.DHCPRange == "" {
		report("boot.dhcp_range", "must be set for boot.dhcp = \"server\": first-last, for example 172.22.0.100-172.22.0.199")
	}
}

// Addresses returns the first and the last address of dhcp_range; both are invalid if it is empty.
func (b *Boot) Addresses() (first, last netip.Addr) {
	first, last, _ = parseRange(b.DHCPRange)
	return first, last
}

// parseRange reads first-last, two IPv4 addresses.
func parseRange(s string) (first, last netip.Addr, ok bool) {
	a, z, found := strings.Cut(s, "-")
	if !found {
		return
	}
	first, err1 := netip.ParseAddr(strings.TrimSpace(a))
	last, err2 := netip.ParseAddr(strings.TrimSpace(z))
	if err1 != nil || err2 != nil || !first.Is4() || !last.Is4() || last.Less(first) {
		return netip.Addr{}, netip.Addr{}, false
	}
	return first, last, true
}
