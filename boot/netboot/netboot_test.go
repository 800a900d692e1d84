package netboot_test

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"ferric"
	"ferric/boot"
	"ferric/boot/netboot"
	"ferric/driver"
	"ferric/driver/noop"

	"github.com/google/go-cmp/cmp"
)

// server keeps what is published and shared, as the boot services do.
type server struct {
	configs map[string]boot.Config
	shared  map[string][]string // node → names
	refuse  string              // source that cannot be had
}

func newServer() *server {
	return &server{configs: map[string]boot.Config{}, shared: map[string][]string{}}
}

func (s *server) Publish(_ context.Context, c boot.Config) error {
	n, err := c.Normalize()
	if err == nil {
		s.configs[c.NodeUUID] = n
	}
	return err
}

func (s *server) Unpublish(_ context.Context, node string) error {
	delete(s.configs, node)
	return nil
}

func (s *server) Share(_ context.Context, node, name, source string) (string, error) {
	if source == s.refuse {
		return "", ferric.Errorf(ferric.CodeNotFound, "%s: no such file", source)
	}
	if !slices.Contains(s.shared[node], name) {
		s.shared[node] = append(s.shared[node], name)
	}
	return "images/" + node + "/" + name, nil
}

func (s *server) Unshare(_ context.Context, node string) error {
	delete(s.shared, node)
	return nil
}

// firmware is a management interface that keeps the boot device.
type firmware struct {
	noop.Management
	device     ferric.BootDevice
	persistent bool
}

func (f *firmware) SetBootDevice(_ context.Context, _ *driver.Machine, d ferric.BootDevice, persistent bool) error {
	f.device, f.persistent = d, persistent
	return nil
}

const id = "6d2f4a94-8f0e-4d7c-a5c8-444444444444"

// task makes a task for a node with two ports, of which it boots from one.
func task(t *testing.T, b *netboot.Boot, f *firmware, info map[string]any) *driver.Task {
	t.Helper()
	none := noop.Absent{Kind: ferric.KindBIOS}
	r := &driver.Registry{Implementations: map[ferric.InterfaceKind]map[string]driver.Interface{}}
	supports := map[ferric.InterfaceKind][]string{}
	for _, kind := range ferric.InterfaceKinds() {
		r.Implementations[kind], supports[kind] = map[string]driver.Interface{"it": none}, []string{"it"}
	}
	r.Implementations[ferric.KindBoot]["it"] = b
	r.Implementations[ferric.KindManagement]["it"] = f
	r.Types = []driver.HardwareType{{Name: "test", Supports: supports}}
	n := &ferric.Node{UUID: id, Driver: "test", DriverInfo: info}
	set, err := r.Compose(n)
	if err != nil {
		t.Fatal(err)
	}
	return &driver.Task{Set: set, Machine: &driver.Machine{Node: n, Ports: []*ferric.Port{{Address: "52:54:00:00:00:01", PXEEnabled: true},
		{Address: "52:54:00:00:00:02"}}}}
}

func ramdisk() driver.RamdiskBoot {
	return driver.RamdiskBoot{Kernel: "/k", Ramdisk: "/r", Params: map[string]string{"ipa-api-url": "http://192.0.2.1:6385", "a": "1", "quiet": ""}}
}

func TestRamdisk(t *testing.T) {
	for name, c := range map[string]struct {
		info    map[string]any
		cmdline string
	}{
		"as configured":  {nil, "a=1 ipa-api-url=http://192.0.2.1:6385 quiet console=ttyS0 nofb"},
		"own parameters": {map[string]any{"kernel_append_params": "debug"}, "a=1 ipa-api-url=http://192.0.2.1:6385 quiet debug"},
		"none":           {map[string]any{"kernel_append_params": ""}, "a=1 ipa-api-url=http://192.0.2.1:6385 quiet"},
		"%default%":      {map[string]any{"kernel_append_params": "x %default%  y"}, "a=1 ipa-api-url=http://192.0.2.1:6385 quiet x console=ttyS0 nofb y"},
		"not a string":   {map[string]any{"kernel_append_params": 7}, "a=1 ipa-api-url=http://192.0.2.1:6385 quiet console=ttyS0 nofb"},
	} {
		t.Run(name, func(t *testing.T) {
			s, f := newServer(), &firmware{}
			b := &netboot.Boot{Flavor: boot.FlavorIPXE, Publisher: s, Files: s, Append: "console=ttyS0 nofb"}
			tk := task(t, b, f, c.info)
			for range 2 { // it may be repeated
				if err := b.PrepareRamdisk(t.Context(), tk, ramdisk()); err != nil {
					t.Fatal(err)
				}
			}
			want := boot.Config{NodeUUID: id, MACs: []string{"52:54:00:00:00:01"}, Flavor: boot.FlavorIPXE, Mode: boot.ModeRamdisk,
				Kernel: "images/" + id + "/kernel", Initrd: "images/" + id + "/ramdisk", Cmdline: c.cmdline}
			if diff := cmp.Diff(want, s.configs[id]); diff != "" {
				t.Errorf("published (-want +have):\n%s", diff)
			}
			if f.device != ferric.BootPXE || f.persistent {
				t.Errorf("boot device %q, persistent %v; want pxe once", f.device, f.persistent)
			}
			for range 2 {
				if err := b.CleanUpRamdisk(t.Context(), tk); err != nil {
					t.Fatal(err)
				}
			}
			if len(s.configs)+len(s.shared) > 0 {
				t.Errorf("left behind: %v, %v", s.configs, s.shared)
			}
		})
	}
}

func TestInstance(t *testing.T) {
	for name, c := range map[string]struct {
		value      any
		persistent bool
		bad        bool
	}{
		"unset": {nil, true, false}, "Default": {"Default", true, false}, "Always": {"Always", true, false}, "Never": {"Never", false, false},
		"true": {true, true, false}, "false": {false, false, false}, "text false": {"False", false, false}, "nonsense": {"sometimes", false, true},
	} {
		t.Run(name, func(t *testing.T) {
			s, f := newServer(), &firmware{}
			b := &netboot.Boot{Flavor: boot.FlavorPXE, Publisher: s, Files: s}
			tk := task(t, b, f, map[string]any{})
			if err := b.PrepareRamdisk(t.Context(), tk, ramdisk()); err != nil {
				t.Fatal(err)
			}
			if c.value != nil {
				tk.Node.DriverInfo["force_persistent_boot_device"] = c.value
			}
			err := b.PrepareInstance(t.Context(), tk)
			if c.bad {
				if !ferric.IsCode(err, ferric.CodeInvalid) || !strings.Contains(err.Error(), "force_persistent_boot_device") {
					t.Errorf("error %v", err)
				}
				if err := b.Validate(t.Context(), tk.Machine); !ferric.IsCode(err, ferric.CodeInvalid) {
					t.Errorf("validation: %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if f.device != ferric.BootDisk || f.persistent != c.persistent {
				t.Errorf("boot device %q, persistent %v", f.device, f.persistent)
			}
			if len(s.configs)+len(s.shared) > 0 {
				t.Errorf("the ramdisk is still served: %v, %v", s.configs, s.shared)
			}
			if err := b.CleanUpInstance(t.Context(), tk); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestRefusals(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*netboot.Boot, *server, *driver.Task, *driver.RamdiskBoot)
		code   ferric.Code
		words  []string
	}{
		"no ports": {func(_ *netboot.Boot, _ *server, t *driver.Task, _ *driver.RamdiskBoot) { t.Ports = nil },
			ferric.CodeInvalid, []string{"no port with pxe_enabled", "MAC address"}},
		"no port to boot from": {func(_ *netboot.Boot, _ *server, t *driver.Task, _ *driver.RamdiskBoot) { t.Ports = t.Ports[1:] },
			ferric.CodeInvalid, []string{"no port with pxe_enabled"}},
		"services are off": {func(b *netboot.Boot, _ *server, _ *driver.Task, _ *driver.RamdiskBoot) { b.Publisher = nil },
			ferric.CodeInvalid, []string{"boot services are off", "boot.interface"}},
		"no kernel": {func(_ *netboot.Boot, _ *server, _ *driver.Task, r *driver.RamdiskBoot) { r.Kernel = "" },
			ferric.CodeInvalid, []string{"no deploy ramdisk is known", "deploy_kernel"}},
		"no ramdisk": {func(_ *netboot.Boot, _ *server, _ *driver.Task, r *driver.RamdiskBoot) { r.Ramdisk = "" },
			ferric.CodeInvalid, []string{"no deploy ramdisk is known"}},
		"kernel cannot be had":  {func(_ *netboot.Boot, s *server, _ *driver.Task, _ *driver.RamdiskBoot) { s.refuse = "/k" }, ferric.CodeNotFound, []string{"deploy_kernel: /k"}},
		"ramdisk cannot be had": {func(_ *netboot.Boot, s *server, _ *driver.Task, _ *driver.RamdiskBoot) { s.refuse = "/r" }, ferric.CodeNotFound, []string{"deploy_ramdisk: /r"}},
	} {
		t.Run(name, func(t *testing.T) {
			s, f := newServer(), &firmware{}
			b := &netboot.Boot{Flavor: boot.FlavorPXE, Publisher: s, Files: s}
			tk, r := task(t, b, f, nil), ramdisk()
			c.change(b, s, tk, &r)
			err := b.PrepareRamdisk(t.Context(), tk, r)
			if !ferric.IsCode(err, c.code) {
				t.Fatalf("error %v, want code %q", err, c.code)
			}
			for _, w := range c.words {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("%q does not say %q", err, w)
				}
			}
			if len(s.configs) > 0 || f.device != "" {
				t.Errorf("published %v, boot device %q", s.configs, f.device)
			}
			if err := b.CleanUpRamdisk(t.Context(), tk); err != nil {
				t.Errorf("clean-up: %v", err)
			}
		})
	}
}

// dhcpServer is a network interface with a DHCP server of its own.
type dhcpServer struct {
	noop.Network
	serves bool
	given  []driver.DHCPOption
	err    error
}

func (d *dhcpServer) ServesDHCP(*driver.Machine) bool { return d.serves }
func (d *dhcpServer) SetBootOptions(_ context.Context, _ *driver.Task, options func(string) []driver.DHCPOption) error {
	d.given = options("52:54:00:00:00:01")
	return d.err
}

// TestOptionsForAnotherDHCPServer: what Neutron's DHCP servers are told, by loader, boot mode and architecture.
func TestOptionsForAnotherDHCPServer(t *testing.T) {
	const script = "http://192.0.2.1:8080/ipxe/52-54-00-00-00-01/boot.ipxe"
	for name, c := range map[string]struct {
		flavor     boot.Flavor
		properties map[string]any
		mode       string
		file       string
	}{
		"ipxe, as configured": {boot.FlavorIPXE, nil, "", "snponly.efi"},
		"ipxe, bios":          {boot.FlavorIPXE, map[string]any{"capabilities": "a:b,boot_mode:bios"}, "", "undionly.kpxe"},
		"ipxe, arm":           {boot.FlavorIPXE, map[string]any{"cpu_arch": "aarch64"}, "", "snponly-arm64.efi"},
		"ipxe, known":         {boot.FlavorIPXE, map[string]any{"capabilities": "boot_mode:bios"}, "uefi", "snponly.efi"},
		"pxe":                 {boot.FlavorPXE, map[string]any{"capabilities": "boot_mode:uefi"}, "", "shimx64.efi"},
		"pxe, bios":           {boot.FlavorPXE, nil, "bios", "lpxelinux.0"},
		"pxe, arm":            {boot.FlavorPXE, map[string]any{"cpu_arch": "arm64"}, "", "shimaa64.efi"},
	} {
		t.Run(name, func(t *testing.T) {
			s, d := newServer(), &dhcpServer{serves: true}
			b := &netboot.Boot{Flavor: c.flavor, Publisher: s, Files: s, BootMode: "uefi",
				Site: func(context.Context) (boot.Site, error) {
					return boot.Site{HTTP: "http://192.0.2.1:8080", TFTP: netip.MustParseAddr("192.0.2.1")}, nil
				}}
			tk := task(t, b, &firmware{}, nil)
			tk.Node.Properties, tk.Node.BootMode = c.properties, c.mode
			tk.Set = with(t, tk, b, d)
			if err := b.PrepareRamdisk(t.Context(), tk, ramdisk()); err != nil {
				t.Fatal(err)
			}
			want := []driver.DHCPOption{{Name: "67", Value: c.file, IPVersion: 4}}
			if c.flavor == boot.FlavorIPXE {
				want = []driver.DHCPOption{{Name: "tag:!ipxe,67", Value: c.file, IPVersion: 4}, {Name: "tag:ipxe,67", Value: script, IPVersion: 4}}
			}
			for _, name := range []string{"66", "150", "255"} {
				want = append(want, driver.DHCPOption{Name: name, Value: "192.0.2.1", IPVersion: 4})
			}
			if diff := cmp.Diff(want, d.given); diff != "" {
				t.Errorf("options (-want +have):\n%s", diff)
			}
		})
	}
	s, d, f := newServer(), &dhcpServer{}, &firmware{}
	b := &netboot.Boot{Flavor: boot.FlavorIPXE, Publisher: s, Files: s}
	tk := task(t, b, f, nil)
	tk.Set = with(t, tk, b, d)
	if err := b.PrepareRamdisk(t.Context(), tk, ramdisk()); err != nil || d.given != nil {
		t.Errorf("options %v of a DHCP server that serves others, %v", d.given, err)
	}
	d.serves = true
	b.Site = func(context.Context) (boot.Site, error) {
		return boot.Site{}, ferric.Errorf(ferric.CodeUnavailable, "no boot services")
	}
	if err := b.PrepareRamdisk(t.Context(), tk, ramdisk()); !ferric.IsCode(err, ferric.CodeUnavailable) || d.given != nil {
		t.Errorf("without boot services: %v, options %v", err, d.given)
	}
	b.Site = func(context.Context) (boot.Site, error) { return boot.Site{}, nil }
	d.err = ferric.Errorf(ferric.CodeUnavailable, "Neutron is away")
	if err := b.PrepareRamdisk(t.Context(), tk, ramdisk()); !ferric.IsCode(err, ferric.CodeUnavailable) {
		t.Errorf("error %v", err)
	}
}

// with composes the task's node with a network interface.
func with(t *testing.T, tk *driver.Task, b *netboot.Boot, d *dhcpServer) *driver.Set {
	t.Helper()
	r := &driver.Registry{Implementations: map[ferric.InterfaceKind]map[string]driver.Interface{}}
	supports := map[ferric.InterfaceKind][]string{}
	for _, kind := range ferric.InterfaceKinds() {
		r.Implementations[kind], supports[kind] = map[string]driver.Interface{"it": noop.Absent{Kind: kind}}, []string{"it"}
	}
	r.Implementations[ferric.KindBoot]["it"], r.Implementations[ferric.KindNetwork]["it"] = b, d
	r.Implementations[ferric.KindManagement]["it"] = &firmware{}
	r.Types = []driver.HardwareType{{Name: "test", Supports: supports}}
	set, err := r.Compose(tk.Node)
	if err != nil {
		t.Fatal(err)
	}
	return set
}
