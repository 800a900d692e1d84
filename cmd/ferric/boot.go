package main

import (
	"context"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"time"

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
	peers     *bootPeers
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
	peers, err := s.followPeers(ctx, ferric.BootHost{Host: s.cfg.Host, HTTP: site.HTTP, Address: addr.String(), Network: prefix.Masked().String()})
	if err != nil {
		return nil, err
	}
	publisher := boot.NewPublisher(boot.PublisherOptions{Records: bootRecords{s.store}, Site: site, Peers: peers.URLs, Log: s.log,
		Renderers: map[boot.Flavor]boot.Renderer{boot.FlavorPXE: pxe.Renderer{Site: site}, boot.FlavorIPXE: ipxe.Renderer{Site: site}}})
	upgraded, err := s.importBoots(ctx)
	if err != nil {
		return nil, err
	}
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
	pictures.site, pictures.peers = site, peers.URLs
	if err := s.publishDiscovery(ctx, publisher, pictures, site); err != nil {
		return nil, err
	}
	s.publisher = publisher
	s.sweepShared(ctx, pictures, !upgraded)
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
		d, err := s.dhcp(ctx, &bootServices{site, publisher, peers}, addr, prefix)
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
	return &bootServices{site, publisher, peers}, nil
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
func (s *service) dhcp(ctx context.Context, services *bootServices, addr netip.Addr, prefix netip.Prefix) (*dhcp.Server, error) {
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
	opts := dhcp.Options{Interface: b.Interface, Address: addr, Proxy: b.DHCP == "proxy", Site: services.site, Networks: []dhcp.Network{network},
		LeaseTime: b.LeaseTime, Ours: func(a netip.Addr) bool { return services.peers.Ours(a.String()) }}
	if b.Discovery {
		opts.Discovery = boot.FlavorIPXE
	}
	if !opts.Proxy {
		clock, err := s.startLeaseClock(ctx)
		if err != nil {
			return nil, err
		}
		opts.Now = clock.Now
	}
	return dhcp.NewServer(opts, directory{s.store, services.publisher, s.cfg.DHCP.Provider == "neutron"}, leases{s.store}, s.log, nil), nil
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

// Lookup implements dhcp.Directory. While the database is away it tells what is known of machines that booted a moment ago.
func (d directory) Lookup(ctx context.Context, mac string) (dhcp.Machine, error) {
	asked, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	port, err := d.store.PortByMAC(asked, mac)
	if ferric.IsCode(err, ferric.CodeNotFound) {
		return dhcp.Machine{}, err
	}
	if d.neutron {
		if err != nil {
			return dhcp.Machine{}, err // nobody knows now whose it is to answer
		}
		n, err := d.store.Node(ctx, port.NodeUUID)
		if err != nil {
			return dhcp.Machine{}, err
		}
		if kind := n.Interfaces[ferric.KindNetwork]; kind == "flat" || kind == "neutron" {
			return dhcp.Machine{NodeUUID: port.NodeUUID, Elsewhere: true}, nil
		}
	}
	c, bootErr := d.publisher.Lookup(ctx, mac)
	switch {
	case bootErr == nil && (err != nil || c.NodeUUID == port.NodeUUID):
		return dhcp.Machine{NodeUUID: c.NodeUUID, Boot: c.Flavor}, nil
	case err != nil:
		return dhcp.Machine{}, err
	case bootErr == nil, ferric.IsCode(bootErr, ferric.CodeNotFound):
		return dhcp.Machine{NodeUUID: port.NodeUUID}, nil
	}
	return dhcp.Machine{}, bootErr
}
