package main

import (
	"context"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"

	"ferric"
	"ferric/api"
	"ferric/boot"
	"ferric/boot/dhcp"
	boothttp "ferric/boot/http"
	"ferric/boot/ipxe"
	"ferric/boot/pxe"
	"ferric/boot/ra"
	"ferric/boot/tftp"
	"ferric/conductor"
	"ferric/store"

	"golang.org/x/sync/errgroup"
	"os"
)

// bootServices is what serves machines that boot.
type bootServices struct {
	site      boot.Site
	publisher *boot.Publisher
}

// setUpBoot opens the boot services on the provisioning interface, and adds the part that serves them.
func (s *service) setUpBoot(ctx context.Context, rest *api.API, pictures *images) (*bootServices, error) {
	b := s.cfg.Boot
	addr, prefix, err := interfaceAddress(b.Interface, b.Address)
	if err != nil {
		return nil, err
	}
	if b.Netmask != "" {
		if prefix, err = withMask(addr, b.Netmask); err != nil {
			return nil, err
		}
	}
	site := boot.Site{HTTP: fmt.Sprintf("http://%s", netip.AddrPortFrom(addr, uint16(b.HTTPPort))), TFTP: addr}
	if b.ExternalHTTPURL != "" {
		site.HTTP = b.ExternalHTTPURL
	}
	if err := site.Validate(); err != nil {
		return nil, err
	}
	publisher, err := boot.OpenPublisher(s.path("boot", "nodes"), map[boot.Flavor]boot.Renderer{
		boot.FlavorPXE: pxe.Renderer{Site: site}, boot.FlavorIPXE: ipxe.Renderer{Site: site}})
	if err != nil {
		return nil, err
	}
	s.closers = append(s.closers, publisher.Close)
	loaders := s.path("boot", "loaders")
	if _, err := boot.Collect(ctx, loaders, b.LoaderDir, boot.DefaultAssets()); err != nil {
		return nil, ferric.Errorf(ferric.ErrorCode(err), "boot.loader_dir: %w", err)
	}
	if b.DHCP == "proxy" {
		// The signed GRUB does not see the offers of a proxy; this one knows the site. Without GRUB's tools only pxe on UEFI machines is lost.
		if err := boot.BuildGRUB(ctx, loaders, site); err != nil {
			s.log.Warn("UEFI machines with the boot interface pxe cannot boot beside another DHCP server", "error", err)
		}
	}
	pictures.site = site
	if err := s.publishDiscovery(ctx, publisher, pictures, site); err != nil {
		return nil, err
	}
	s.publisher = publisher
	if err := s.removeStrangers(ctx); err != nil {
		return nil, err
	}
	tree := boot.Tree{publisher.Files(), os.DirFS(loaders)}

	web := boothttp.NewServer(boothttp.Options{Address: netip.AddrPortFrom(addr, uint16(b.HTTPPort))}, tree, pictures, s.log, nil)
	ramdisk := rest.Ramdisk()
	web.Handle("/v1/", ramdisk)
	web.Handle("/{$}", ramdisk)
	web.Handle("/v1", ramdisk)
	servers := []server{web}
	if b.TFTP {
		servers = append(servers, tftp.NewServer(tftp.Options{Address: netip.AddrPortFrom(addr, 0)}, append(tree, boot.ImageFS(pictures)), s.log, nil))
	}
	if b.DHCP != "off" {
		d, err := s.dhcp(site, addr, prefix, publisher)
		if err != nil {
			return nil, err
		}
		servers = append(servers, d)
	}
	if b.RouterAdvertisement {
		servers = append(servers, ra.NewSender(ra.Options{Interface: b.Interface}, s.log))
	}
	for _, server := range servers {
		if err := server.Listen(ctx); err != nil {
			return nil, err
		}
	}
	s.log.Info("boot services", "interface", b.Interface, "address", addr.String(), "dhcp", b.DHCP, "tftp", b.TFTP, "http", site.HTTP)
	s.run("boot services", func(ctx context.Context) error {
		group, ctx := errgroup.WithContext(ctx)
		for _, server := range servers {
			group.Go(func() error { return server.Serve(ctx) })
		}
		return group.Wait()
	})
	return &bootServices{site: site, publisher: publisher}, nil
}

// publishDiscovery serves the deploy ramdisk to machines that nobody knows, or takes that away again.
func (s *service) publishDiscovery(ctx context.Context, publisher *boot.Publisher, pictures *images, site boot.Site) error {
	if !s.cfg.Boot.Discovery {
		return publisher.Unpublish(ctx, boot.DefaultID)
	}
	if pictures.kernel == "" || pictures.ramdisk == "" {
		return ferric.Errorf(ferric.CodeInvalid, "boot.discovery: there is no deploy ramdisk to serve; run ferric ramdisk build, or set boot.deploy_kernel and boot.deploy_ramdisk")
	}
	kernel, err := pictures.Share(ctx, boot.DefaultID, "kernel", pictures.kernel)
	if err != nil {
		return ferric.Errorf(ferric.ErrorCode(err), "boot.discovery: %w", err)
	}
	ramdisk, err := pictures.Share(ctx, boot.DefaultID, "ramdisk", pictures.ramdisk)
	if err != nil {
		return ferric.Errorf(ferric.ErrorCode(err), "boot.discovery: %w", err)
	}
	conf, err := inspectionConfig(s.cfg)
	if err != nil {
		return err
	}
	params := conductor.InspectionParams(conf, site.HTTP)
	line := "ipa-api-url=" + site.HTTP
	for _, name := range slices.Sorted(maps.Keys(params)) {
		line += " " + name + "=" + params[name]
	}
	line += " " + s.cfg.Boot.KernelAppendParams
	return publisher.Publish(ctx, boot.Config{NodeUUID: boot.DefaultID, Flavor: boot.FlavorIPXE, Mode: boot.ModeRamdisk, Kernel: kernel, Initrd: ramdisk, Cmdline: line})
}

// server is one of the boot services.
type server interface {
	Listen(ctx context.Context) error
	Serve(ctx context.Context) error
}

// dhcp makes the DHCP server.
func (s *service) dhcp(site boot.Site, addr netip.Addr, prefix netip.Prefix, publisher *boot.Publisher) (*dhcp.Server, error) {
	b := s.cfg.Boot
	network := dhcp.Network{Prefix: prefix.Masked()}
	if b.DHCP == "server" {
		network.First, network.Last = b.Addresses()
	}
	var err error
	if b.Gateway != "" {
		if network.Gateway, err = netip.ParseAddr(b.Gateway); err != nil {
			return nil, ferric.Errorf(ferric.CodeInvalid, "boot.gateway: %w", err)
		}
	}
	for _, d := range b.DNS {
		a, err := netip.ParseAddr(d)
		if err != nil {
			return nil, ferric.Errorf(ferric.CodeInvalid, "boot.dns: %w", err)
		}
		network.DNS = append(network.DNS, a)
	}
	opts := dhcp.Options{Interface: b.Interface, Address: addr, Proxy: b.DHCP == "proxy", Site: site, Networks: []dhcp.Network{network},
		LeaseTime: b.LeaseTime}
	if b.Discovery {
		opts.Discovery = boot.FlavorIPXE
	}
	return dhcp.NewServer(opts, directory{s.store, publisher, s.cfg.DHCP.Provider == "neutron"}, leases{s.store}, s.log, nil), nil
}

// interfaceAddress returns the address on an interface that machines are told, and its subnet.
func interfaceAddress(name, wanted string) (netip.Addr, netip.Prefix, error) {
	ifi, err := net.InterfaceByName(name)
	if err != nil {
		return netip.Addr{}, netip.Prefix{}, ferric.Errorf(ferric.CodeInvalid, "boot.interface: %q: %w", name, err)
	}
	all, err := ifi.Addrs()
	if err != nil {
		return netip.Addr{}, netip.Prefix{}, ferric.Errorf(ferric.CodeInvalid, "boot.interface: addresses of %q: %w", name, err)
	}
	for _, a := range all {
		p, err := netip.ParsePrefix(a.String())
		if err == nil && p.Addr().Is4() && (wanted == "" || p.Addr().String() == wanted) {
			return p.Addr(), p, nil
		}
	}
	if wanted != "" {
		return netip.Addr{}, netip.Prefix{}, ferric.Errorf(ferric.CodeInvalid, "boot.address: interface %q does not have the address %s", name, wanted)
	}
	return netip.Addr{}, netip.Prefix{}, ferric.Errorf(ferric.CodeInvalid, "boot.interface: %q has no IPv4 address", name)
}

func withMask(addr netip.Addr, mask string) (netip.Prefix, error) {
	ip := net.ParseIP(mask).To4()
	if ip == nil {
		return netip.Prefix{}, ferric.Errorf(ferric.CodeInvalid, "boot.netmask: %q is not a netmask", mask)
	}
	ones, bits := net.IPMask(ip).Size()
	if bits == 0 {
		return netip.Prefix{}, ferric.Errorf(ferric.CodeInvalid, "boot.netmask: %q is not a netmask", mask)
	}
	return netip.PrefixFrom(addr, ones), nil
}

// directory tells DHCP who a MAC address belongs to.
type directory struct {
	store     *store.Store
	publisher *boot.Publisher
	neutron   bool // Neutron's DHCP servers serve the nodes of its network interfaces
}

// Lookup implements dhcp.Directory.
func (d directory) Lookup(ctx context.Context, mac string) (dhcp.Machine, error) {
	port, err := d.store.PortByMAC(ctx, mac)
	if err != nil {
		return dhcp.Machine{}, err
	}
	m := dhcp.Machine{NodeUUID: port.NodeUUID}
	if d.neutron {
		n, err := d.store.Node(ctx, port.NodeUUID)
		if err != nil {
			return dhcp.Machine{}, err
		}
		if kind := n.Interfaces[ferric.KindNetwork]; kind == "flat" || kind == "neutron" {
			m.Elsewhere = true
			return m, nil
		}
	}
	if c, ok := d.publisher.Lookup(mac); ok {
		m.Boot = c.Flavor
	}
	return m, nil
}
