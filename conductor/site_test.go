package conductor_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"ferric"
	"ferric/agentapi"
	"ferric/driver"
	agentdriver "ferric/driver/agent"
	"ferric/driver/fake"
	"ferric/driver/noop"
	"ferric/flow"
	"ferric/network"
	"ferric/network/networktest"

	"github.com/google/uuid"
)

// site is a data centre: machines with BMCs, and what serves them. It outlives conductors.
type site struct {
	b       *bench
	hw      fake.Hardware
	neutron *networktest.Neutron
	cinder  *labCinder
	bind    network.Settings // of the network interfaces flat and neutron

	mu       sync.Mutex
	machines map[string]*machine
	images   map[string]bool // published, by node
}

func newSite(b *bench) *site {
	s := &site{b: b, hw: fake.Hardware{States: b.store}, neutron: newNeutron(), cinder: &labCinder{}, bind: networkSettings(), machines: map[string]*machine{}, images: map[string]bool{}}
	b.Cleanup(s.close)
	return s
}

func (s *site) close() {
	for _, m := range s.all() {
		m.cuts.Wait()
		m.set(ferric.PowerOff)
	}
}

func (s *site) all() []*machine {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Collect(maps.Values(s.machines))
}

// machine returns the machine of a node.
func (s *site) machine(id string) *machine {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.machines[id] == nil {
		s.machines[id] = newMachine(s, id)
	}
	return s.machines[id]
}

// node adds a node with a port; kind "lab" is done by the fake agent, "fake-hardware" by nobody.
func (s *site) node(kind string, change ...func(*ferric.Node)) *machine {
	s.b.Helper()
	n := &ferric.Node{UUID: uuid.NewString(), Driver: kind, ProvisionState: ferric.Available, Interfaces: ferric.Interfaces{},
		DriverInfo: map[string]any{"password": "right"}, Properties: map[string]any{"cpu_arch": "x86_64"},
		InstanceInfo: map[string]any{"image_source": "http://images/debian.qcow2", "image_checksum": "0123456789abcdef0123456789abcdef"}}
	for _, f := range change {
		f(n)
	}
	if err := s.registry().Complete(n); err != nil {
		s.b.Fatal(err)
	}
	if err := s.b.store.CreateNode(s.b.Context(), n); err != nil {
		s.b.Fatal(err)
	}
	m := s.machine(n.UUID)
	p := &ferric.Port{UUID: uuid.NewString(), NodeUUID: n.UUID, Address: m.mac, PXEEnabled: true}
	if err := s.b.store.CreatePort(s.b.Context(), p); err != nil {
		s.b.Fatal(err)
	}
	return m
}

// in makes a node that is in a state.
func in(p ferric.ProvisionState) func(*ferric.Node) {
	return func(n *ferric.Node) { n.ProvisionState = p }
}

// registry is the real registry over the site's implementations and the ones that are not there.
func (s *site) registry() *driver.Registry {
	absent := func(kind ferric.InterfaceKind) map[string]driver.Interface {
		return map[string]driver.Interface{"no-" + string(kind): noop.Absent{Kind: kind}}
	}
	r := &driver.Registry{Implementations: map[ferric.InterfaceKind]map[string]driver.Interface{
		ferric.KindBIOS: absent(ferric.KindBIOS), ferric.KindConsole: absent(ferric.KindConsole), ferric.KindFirmware: absent(ferric.KindFirmware),
		ferric.KindRAID: absent(ferric.KindRAID), ferric.KindRescue: {"agent": agentdriver.Rescue{}, "no-rescue": noop.Absent{Kind: ferric.KindRescue}},
		ferric.KindVendor:  absent(ferric.KindVendor),
		ferric.KindStorage: s.storage(),
		ferric.KindNetwork: {"noop": noop.Network{}, "flat": &network.Interface{Kind: network.Flat, Client: s.neutron, Settings: s.bind},
			"neutron": &network.Interface{Kind: network.Neutron, Client: s.neutron, Settings: s.bind}},
		ferric.KindPower:      {"lab": labPower{s}},
		ferric.KindManagement: {"lab": labManagement{s}, "noop": noop.Management{}},
		ferric.KindBoot:       {"lab": labBoot{s: s}, "ipxe": labIPXE{labBoot{s: s}}},
		ferric.KindDeploy: {"direct": &agentdriver.Direct{Images: images{s}, ConfigDrives: s.b.store, Poll: 10 * time.Millisecond, Lost: patience,
			PowerTimeout: 10 * time.Second, BootMode: ferric.BootModeUEFI}},
		ferric.KindInspect: {"agent": agentdriver.Inspect{}, "no-inspect": noop.Inspect{Absent: noop.Absent{Kind: ferric.KindInspect}}},
	}}
	for kind, impl := range s.hw.Implementations() {
		if r.Implementations[kind] == nil {
			r.Implementations[kind] = map[string]driver.Interface{}
		}
		r.Implementations[kind]["fake"] = impl
	}
	r.Implementations[ferric.KindConsole]["lab"] = labConsole{s: s}
	r.Implementations[ferric.KindVendor]["fake"] = labVendor{s: s, Vendor: r.Implementations[ferric.KindVendor]["fake"].(driver.Vendor)}
	supports := map[ferric.InterfaceKind][]string{
		ferric.KindBIOS: {"no-bios", "fake"}, ferric.KindConsole: {"no-console", "fake", "lab"}, ferric.KindFirmware: {"no-firmware", "fake"}, ferric.KindRAID: {"no-raid", "fake"},
		ferric.KindRescue: {"agent", "fake", "no-rescue"}, ferric.KindVendor: {"no-vendor", "fake"}, ferric.KindStorage: {"noop", "fake", "cinder", "external"}, ferric.KindNetwork: {"noop", "flat", "neutron"},
	}
	with := func(name string) map[ferric.InterfaceKind][]string {
		all := maps.Clone(supports)
		for _, kind := range []ferric.InterfaceKind{ferric.KindPower, ferric.KindManagement, ferric.KindBoot} {
			all[kind] = []string{name, "noop"}
		}
		all[ferric.KindBoot] = append(all[ferric.KindBoot], "ipxe")
		all[ferric.KindDeploy], all[ferric.KindInspect] = []string{"direct", "fake"}, []string{"agent", "no-inspect"}
		if name == "fake" {
			all[ferric.KindDeploy], all[ferric.KindInspect] = []string{"fake"}, []string{"fake", "no-inspect"}
			all[ferric.KindRescue] = []string{"fake", "no-rescue"}
		}
		return all
	}
	r.Types = []driver.HardwareType{{Name: "lab", Supports: with("lab")}, {Name: "fake-hardware", Supports: with("fake")}}
	return r
}

// images publishes images that nobody has to fetch.
type images struct{ s *site }

func (i images) Publish(_ context.Context, node string, r agentdriver.ImageRequest) (agentapi.ImageInfo, error) {
	if r.Source == "http://images/missing" {
		return agentapi.ImageInfo{}, ferric.Errorf(ferric.CodeNotFound, "image http://images/missing: HTTP 404")
	}
	i.s.mu.Lock()
	defer i.s.mu.Unlock()
	i.s.images[node] = true
	return agentapi.ImageInfo{ID: r.Source, URLs: []string{"http://192.0.2.1/images/" + node}, Checksum: r.Checksum}, nil
}

func (i images) Withdraw(_ context.Context, node string) error {
	i.s.mu.Lock()
	defer i.s.mu.Unlock()
	delete(i.s.images, node)
	return nil
}

func (s *site) published(node string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.images[node]
}

// labPower is the BMCs' power control. The node's driver_info/password must be "right".
type labPower struct{ s *site }

func (labPower) Properties() map[string]string {
	return map[string]string{"password": "The BMC's password."}
}

func (labPower) Validate(_ context.Context, m *driver.Machine) error {
	if m.Node.DriverInfo["password"] == nil {
		return ferric.Errorf(ferric.CodeInvalid, "driver_info: password is missing")
	}
	return nil
}

func (p labPower) reach(ctx context.Context, m *driver.Machine) (*machine, error) {
	if m.Node.DriverInfo["password"] != "right" {
		return nil, ferric.Errorf(ferric.CodeUnauthorized, "the BMC refuses the user name or password")
	}
	machine := p.s.machine(m.Node.UUID)
	return machine, machine.bmc(ctx)
}

func (p labPower) PowerState(ctx context.Context, m *driver.Machine) (ferric.PowerState, error) {
	machine, err := p.reach(ctx, m)
	if err != nil {
		return "", err
	}
	return machine.power(), nil
}

func (p labPower) SetPowerState(ctx context.Context, m *driver.Machine, target ferric.PowerState, timeout time.Duration) error {
	if timeout <= 0 {
		return ferric.Errorf(ferric.CodeInternal, "no timeout for power")
	}
	machine, err := p.reach(ctx, m)
	if err != nil {
		return err
	}
	machine.mu.Lock()
	stuck := machine.stuck
	machine.mu.Unlock()
	if !stuck {
		machine.set(target)
	}
	return nil
}

func (labPower) SupportedPowerStates(m *driver.Machine) []ferric.PowerState {
	all := []ferric.PowerState{ferric.PowerOn, ferric.PowerOff, ferric.Reboot, ferric.SoftPowerOff}
	if m.Node.DriverInfo["soft"] == true {
		all = append(all, ferric.SoftReboot)
	}
	return all
}

// labManagement keeps boot devices, and offers steps that tests ask for: "hold" holds, "vent" is for the operator alone.
type labManagement struct{ s *site }

func (labManagement) Properties() map[string]string                        { return nil }
func (labManagement) Validate(context.Context, *driver.Machine) error      { return nil }
func (labManagement) InjectNMI(_ context.Context, _ *driver.Machine) error { return nil }
func (labManagement) SupportedBootDevices(*driver.Machine) []ferric.BootDevice {
	return []ferric.BootDevice{ferric.BootPXE, ferric.BootDisk}
}

func (g labManagement) BootDevice(_ context.Context, m *driver.Machine) (driver.BootDeviceSetting, error) {
	persistent := true
	return driver.BootDeviceSetting{Device: g.s.machine(m.Node.UUID).bootDevice(), Persistent: &persistent}, nil
}

func (g labManagement) SetBootDevice(_ context.Context, m *driver.Machine, d ferric.BootDevice, _ bool) error {
	if d != ferric.BootPXE && d != ferric.BootDisk {
		return ferric.Errorf(ferric.CodeInvalid, "boot device %q is not supported", d)
	}
	g.s.machine(m.Node.UUID).prepare(d)
	return nil
}

func (g labManagement) Steps(_ *driver.Machine, phase driver.Phase) []driver.Step {
	if phase == driver.VerifyPhase {
		return []driver.Step{{Name: "note_vendor", Phase: phase, Priority: 1, Repeat: flow.Safe, Run: func(ctx context.Context, t *driver.Task) (flow.Outcome, error) {
			return flow.Done(nil), t.Mutate(ctx, func(n *ferric.Node) error { n.Properties["vendor"] = "lab"; return nil })
		}}}
	}
	return []driver.Step{
		{Name: "hold", Phase: phase, Repeat: flow.Safe, Run: func(context.Context, *driver.Task) (flow.Outcome, error) { return flow.Hold(), nil }},
		{Name: "mystery", Phase: phase, Run: func(context.Context, *driver.Task) (flow.Outcome, error) { return flow.Done(nil), nil }},
		{Name: "vent", Phase: phase, Repeat: flow.Safe, Args: map[string]driver.Arg{"seconds": {Required: true}, "fan": {}},
			Run: func(_ context.Context, t *driver.Task) (flow.Outcome, error) {
				g.s.machine(t.Node.UUID).noteOnce(fmt.Sprint("vent ", t.Flow.Step.Args["seconds"]))
				return flow.Done(nil), nil
			}},
	}
}

// labBoot keeps what a machine will load.
type labBoot struct {
	s *site
}

func (labBoot) Properties() map[string]string { return nil }

func (labBoot) Validate(_ context.Context, m *driver.Machine) error {
	if m.Node.DriverInfo["no_boot"] != nil {
		return ferric.Errorf(ferric.CodeInvalid, "the boot services are off")
	}
	return nil
}

func (l labBoot) PrepareRamdisk(_ context.Context, t *driver.Task, r driver.RamdiskBoot) error {
	m := l.s.machine(t.Node.UUID)
	m.mu.Lock()
	m.ramdisk = r
	m.mu.Unlock()
	m.prepare(ferric.BootPXE)
	return nil
}

func (l labBoot) CleanUpRamdisk(_ context.Context, t *driver.Task) error {
	m := l.s.machine(t.Node.UUID)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.ramdisk = driver.RamdiskBoot{}
	return nil
}

func (l labBoot) PrepareInstance(_ context.Context, t *driver.Task) error {
	l.s.machine(t.Node.UUID).prepare(ferric.BootDisk)
	return nil
}

func (l labBoot) CleanUpInstance(context.Context, *driver.Task) error { return nil }
