package links

import (
	"context"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"sync"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv4/nclient4"
	"github.com/vishvananda/netlink"

	"ferric"
)

// Manager configures links.
type Manager struct {
	log     *slog.Logger
	sys     string
	etc     string
	static  []Static
	bootMAC string

	wg sync.WaitGroup

	mu      sync.Mutex
	running map[string]bool
	ready   map[string]Settings // by link
	changed chan struct{}       // closed and replaced at every change of ready
}

// Options configure a Manager.
type Options struct {
	Log *slog.Logger
	// Static are the ip= parameters; links that they name get no DHCP.
	Static []Static
	// BootMAC is the link that the machine booted from ("" if unknown): its default route wins.
	BootMAC string
	Sys     string // "/sys"
	Etc     string // "/etc", for resolv.conf
}

// New makes a Manager.
func New(o Options) *Manager {
	return &Manager{log: o.Log, sys: o.Sys, etc: o.Etc, static: o.Static, bootMAC: strings.ToLower(o.BootMAC),
		running: map[string]bool{}, ready: map[string]Settings{}, changed: make(chan struct{})}
}

// Start configures the links that are there and those that appear later, until ctx ends.
func (m *Manager) Start(ctx context.Context) {
	if lo, err := netlink.LinkByName("lo"); err == nil {
		_ = netlink.LinkSetUp(lo) // without it only loopback is missing
	}
	m.wg.Go(func() {
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		for {
			for _, name := range Physical(m.sys) {
				m.mu.Lock()
				known := m.running[name]
				m.running[name] = true
				m.mu.Unlock()
				if !known {
					m.wg.Go(func() { m.manage(ctx, name) })
				}
			}
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
		}
	})
}

// Wait waits for the goroutines after Start's context has ended.
func (m *Manager) Wait() { m.wg.Wait() }

// WaitReady returns once a link is configured. It goes on at once with the boot link, and gives the boot link a few
// seconds of preference when another one is first.
func (m *Manager) WaitReady(ctx context.Context) error {
	var grace <-chan time.Time
	for {
		m.mu.Lock()
		changed, n := m.changed, len(m.ready)
		boot := m.bootReady()
		m.mu.Unlock()
		switch {
		case boot, n > 0 && m.bootMAC == "":
			return nil
		case n > 0 && grace == nil:
			t := time.NewTimer(5 * time.Second)
			defer t.Stop()
			grace = t.C
		}
		select {
		case <-ctx.Done():
			return ferric.Errorf(ferric.CodeTimeout, "no network link has got an address: %w", ctx.Err())
		case <-changed:
		case <-grace:
			return nil
		}
	}
}

func (m *Manager) bootReady() bool {
	for name := range m.ready {
		if m.bootMAC != "" && macOf(m.sys, name) == m.bootMAC {
			return true
		}
	}
	return false
}

// Down takes all links down, for a lockdown.
func (m *Manager) Down() error {
	var failed []string
	for _, name := range Physical(m.sys) {
		l, err := netlink.LinkByName(name)
		if err == nil {
			err = netlink.LinkSetDown(l)
		}
		if err != nil {
			failed = append(failed, name+": "+err.Error())
		}
	}
	if failed != nil {
		return ferric.Errorf(ferric.CodeInternal, "take links down: %s", strings.Join(failed, "; "))
	}
	return nil
}

// Physical lists the links that are backed by a device, by name.
func Physical(sys string) []string {
	devices, _ := filepath.Glob(filepath.Join(sys, "class/net/*/device")) // the pattern is good
	out := make([]string, 0, len(devices))
	for _, d := range devices {
		out = append(out, filepath.Base(filepath.Dir(d)))
	}
	sort.Strings(out)
	return out
}

func macOf(sys, name string) string {
	b, _ := os.ReadFile(filepath.Join(sys, "class/net", name, "address")) // gone: no address
	return strings.ToLower(strings.TrimSpace(string(b)))
}

// manage keeps one link configured.
func (m *Manager) manage(ctx context.Context, name string) {
	log := m.log.With("link", name, "mac", macOf(m.sys, name))
	for pause := time.Second; ; pause = min(pause*2, 15*time.Second) {
		err := m.configure(ctx, log, name)
		if ctx.Err() != nil {
			return
		}
		log.Debug("link is not configured yet", "err", err)
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
	}
}

func (m *Manager) configure(ctx context.Context, log *slog.Logger, name string) error {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return ferric.Errorf(ferric.CodeUnavailable, "find the link: %w", err)
	}
	if err := netlink.LinkSetUp(link); err != nil {
		return ferric.Errorf(ferric.CodeUnavailable, "bring the link up: %w", err)
	}
	for _, s := range m.static {
		if s.Device == name || s.Device == "" && Physical(m.sys)[0] == name {
			if err := m.apply(link, s.Settings); err != nil {
				return err
			}
			log.Info("link configured by ip=", "address", s.Address)
			<-ctx.Done()
			return ctx.Err()
		}
	}
	if err := m.carrier(ctx, log, name); err != nil {
		return err
	}
	return m.dhcp(ctx, log, link)
}

// carrier waits for the link to be connected; some NICs take seconds after being brought up.
func (m *Manager) carrier(ctx context.Context, log *slog.Logger, name string) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for i := 0; ; i++ {
		if b, err := os.ReadFile(filepath.Join(m.sys, "class/net", name, "carrier")); err == nil && strings.TrimSpace(string(b)) == "1" {
			return nil
		}
		if i == 200 {
			log.Info("link has no carrier yet")
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// dhcp gets a lease and renews it until it is lost.
func (m *Manager) dhcp(ctx context.Context, log *slog.Logger, link netlink.Link) error {
	name := link.Attrs().Name
	c, err := nclient4.New(name, nclient4.WithTimeout(2*time.Second), nclient4.WithRetry(4))
	if err != nil {
		return ferric.Errorf(ferric.CodeUnavailable, "DHCP client: %w", err)
	}
	defer c.Close()
	began := time.Now()
	lease, err := c.Request(ctx, asks)
	if err != nil {
		return ferric.Errorf(ferric.CodeUnavailable, "DHCP: %w", err)
	}
	for renewed := false; ; renewed = true {
		s := fromACK(lease.ACK)
		if err := m.apply(link, s); err != nil {
			return err
		}
		if !renewed {
			log.Info("link configured by DHCP", "address", s.Address, "gateway", s.Gateway, "server", lease.ACK.ServerIdentifier(), "took", time.Since(began).Round(time.Millisecond))
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(renewAfter(lease.ACK)):
		}
		next, err := c.Renew(ctx, lease, asks)
		if err != nil {
			return ferric.Errorf(ferric.CodeUnavailable, "renew the DHCP lease: %w", err)
		}
		lease = next
	}
}

func asks(d *dhcpv4.DHCPv4) {
	d.UpdateOption(dhcpv4.OptParameterRequestList(dhcpv4.OptionSubnetMask, dhcpv4.OptionRouter, dhcpv4.OptionDomainNameServer, dhcpv4.OptionHostName,
		dhcpv4.OptionDomainName, dhcpv4.OptionInterfaceMTU, dhcpv4.OptionDNSDomainSearchList, dhcpv4.OptionClasslessStaticRoute))
	d.UpdateOption(dhcpv4.OptClassIdentifier("ferric-agent"))
}

// apply gives the settings to the link.
func (m *Manager) apply(link netlink.Link, s Settings) error {
	if s.MTU > 0 && s.MTU != link.Attrs().MTU {
		if err := netlink.LinkSetMTU(link, s.MTU); err != nil {
			m.log.Warn("MTU not set", "link", link.Attrs().Name, "mtu", s.MTU, "err", err)
		}
	}
	if err := netlink.AddrReplace(link, &netlink.Addr{IPNet: s.Address}); err != nil {
		return ferric.Errorf(ferric.CodeInternal, "set the address %s: %w", s.Address, err)
	}
	routes := s.Routes
	if s.Gateway != nil {
		bits := 32
		if s.Gateway.To4() == nil {
			bits = 128
		}
		routes = append(routes, Route{Dest: &net.IPNet{IP: make(net.IP, bits/8), Mask: net.CIDRMask(0, bits)}, Gateway: s.Gateway})
	}
	for _, r := range routes {
		nr := &netlink.Route{LinkIndex: link.Attrs().Index, Dst: r.Dest, Gw: r.Gateway, Priority: m.metric(link)}
		if r.Gateway == nil {
			nr.Scope = netlink.SCOPE_LINK
		} else if !s.Address.Contains(r.Gateway) {
			nr.SetFlag(netlink.FLAG_ONLINK) // a gateway outside the subnet, as some clouds hand out
		}
		if err := netlink.RouteReplace(nr); err != nil {
			m.log.Warn("route not set", "link", link.Attrs().Name, "to", r.Dest, "by", r.Gateway, "err", err)
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.ready[link.Attrs().Name] = s
	close(m.changed)
	m.changed = make(chan struct{})
	return m.resolvers()
}

// metric prefers the boot link, then the order in which the kernel found the links.
func (m *Manager) metric(link netlink.Link) int {
	if m.bootMAC != "" && macOf(m.sys, link.Attrs().Name) == m.bootMAC {
		return 10
	}
	return 100 + link.Attrs().Index
}

// resolvers writes resolv.conf from all links, the boot link's first. m.mu is held.
func (m *Manager) resolvers() error {
	names := make([]string, 0, len(m.ready))
	for name := range m.ready {
		names = append(names, name)
	}
	sort.Slice(names, func(i, j int) bool {
		bi, bj := macOf(m.sys, names[i]) == m.bootMAC, macOf(m.sys, names[j]) == m.bootMAC
		if bi != bj {
			return bi
		}
		return names[i] < names[j]
	})
	var b strings.Builder
	seen := map[string]bool{}
	for _, name := range names {
		if s := m.ready[name].Search; len(s) > 0 && !seen["search"] {
			seen["search"] = true
			b.WriteString("search " + strings.Join(s, " ") + "\n")
		}
		for _, ip := range m.ready[name].DNS {
			if !seen[ip.String()] {
				seen[ip.String()] = true
				b.WriteString("nameserver " + ip.String() + "\n")
			}
		}
	}
	if err := os.WriteFile(filepath.Join(m.etc, "resolv.conf"), []byte(b.String()), 0o644); err != nil {
		return ferric.Errorf(ferric.CodeInternal, "write resolv.conf: %w", err)
	}
	return nil
}
