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
)

// machine is one bare-metal machine with its BMC. What happens to it is noted in order.
type machine struct {
	site *site
	id   string
	mac  string

	turning  sync.Mutex // one change of power at a time
	mu       sync.Mutex
	on       ferric.PowerState
	device   ferric.BootDevice
	ramdisk  driver.RamdiskBoot // what it loads from the network; zero: nothing
	broken   error              // what the BMC answers instead of obeying
	slow     chan struct{}      // the BMC answers once it is closed
	asked    chan struct{}      // told of each request to the BMC, if somebody listens
	agent    *agent
	notes    []string
	began    map[string]int // agent commands and steps whose work was begun, over all boots
	plans    map[string]plan
	deaf     bool           // the agent does not call
	awaited  bool           // the agent calls only when the conductor waits for it, as one on a real machine does
	mute     bool           // the agent sends its inventory and then does not call
	dying    string         // the machine loses its power when this is begun, once
	cuts     sync.WaitGroup // power cuts under way
	mortal   bool           // ... and every time
	doomed   string         // what the power cut under way is to hit: it does not end
	lively   bool           // ... and comes back by itself, in the ramdisk
	deny     bool           // the agent does not answer
	handing  func()         // called when the agent gets the rescue password, before it answers; may be nil
	child    *machine
	closes   bool // the agent does not answer any more once it has the rescue password
	occupied bool // the agent is at something else
	stuck    bool // it does not turn on or off
	stock    bool // the agent chooses the ids of commands itself, as ironic-python-agent does
	steps    map[agentapi.StepKind][]agentapi.Step
	found    *agentapi.Inventory
	plugin   map[string]any
	drive    string // config drive as written
	seen     map[string]map[string]any
}

// plan is what comes of an agent command or step when it is run.
type plan struct {
	gate chan struct{} // it ends when this is closed; nil: at once
	fail *agentapi.CommandError
}

func newMachine(s *site, id string) *machine {
	m := &machine{site: s, id: id, on: ferric.PowerOff, device: ferric.BootDisk, began: map[string]int{}, plans: map[string]plan{},
		seen: map[string]map[string]any{}}
	m.mac = fmt.Sprintf("52:54:00:%s:%s:%s", id[0:2], id[2:4], id[4:6])
	m.steps = map[agentapi.StepKind][]agentapi.Step{
		agentapi.CleanStep: {
			{Step: "erase_devices_metadata", Interface: "deploy", Priority: 99, Abortable: true},
			{Step: "erase_devices", Interface: "deploy", Priority: 0, Abortable: true},
			{Step: "update_firmware", Interface: "firmware", Priority: 0, ArgsInfo: map[string]agentapi.StepArgument{"url": {Required: true}}},
		},
		agentapi.DeployStep: {
			{Step: "write_image", Interface: "deploy", Priority: 0},
			{Step: "burn_in", Interface: "deploy", Priority: 70},
			{Step: "inject_files", Interface: "deploy", Priority: 0},
		},
		agentapi.ServiceStep: {
			{Step: "flash", Interface: "firmware", ArgsInfo: map[string]agentapi.StepArgument{"url": {Required: true}}},
			{Step: "burn_in", Interface: "deploy", Abortable: true},
			{Step: "reflash", Interface: "firmware", RebootRequested: true},
		},
	}
	mb := 4096
	m.found = &agentapi.Inventory{CPU: agentapi.CPU{Count: 4, Architecture: "x86_64"}, Memory: agentapi.Memory{Total: 4 << 30, PhysicalMB: &mb},
		Disks:      []agentapi.BlockDevice{{Name: "/dev/sda", Size: 20 << 30, Model: "DISK", Serial: agentapi.Texts{"S1"}}},
		Interfaces: []agentapi.Interface{{Name: "eth0", MACAddress: m.mac, HasCarrier: true}},
		Boot:       agentapi.BootInfo{CurrentBootMode: "uefi", PXEInterface: agentapi.Text(m.mac)}}
	return m
}

// bmc fails, or takes its time, as the test wants.
func (m *machine) bmc(ctx context.Context) error {
	m.mu.Lock()
	broken, slow, asked := m.broken, m.slow, m.asked
	m.mu.Unlock()
	if asked != nil {
		select {
		case asked <- struct{}{}:
		default:
		}
	}
	if slow != nil {
		select {
		case <-slow:
		case <-ctx.Done():
			return ferric.Errorf(ferric.CodeTimeout, "the BMC does not answer: %w", ctx.Err())
		}
	}
	return broken
}

func (m *machine) power() ferric.PowerState {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.on
}

func (m *machine) bootDevice() ferric.BootDevice {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.device
}

func (m *machine) prepare(d ferric.BootDevice) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.device = d
}

// with changes the machine.
func (m *machine) with(f func(*machine)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f(m)
}

func (m *machine) note(what string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.notes = append(m.notes, what)
}

// noteOnce notes what makes no difference when it happens twice in a row.
func (m *machine) noteOnce(what string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if n := len(m.notes); n == 0 || m.notes[n-1] != what {
		m.notes = append(m.notes, what)
	}
}

// history returns what happened to the machine and forgets it.
func (m *machine) history() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := m.notes
	m.notes = nil
	return out
}

func (m *machine) begun() map[string]int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return maps.Clone(m.began)
}

// count returns how often something happened to the machine.
func (m *machine) count(what string) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := 0
	for _, s := range m.notes {
		if s == what {
			n++
		}
	}
	return n
}

// blackout cuts the machine's power, and lets it come back if that is wanted.
func (m *machine) blackout() {
	m.turning.Lock()
	defer m.turning.Unlock()
	m.turnOff("off")
	m.mu.Lock()
	lively := m.lively
	m.mu.Unlock()
	if lively {
		m.turnOn()
	}
}

// set brings the machine to a power state, at once.
func (m *machine) set(target ferric.PowerState) {
	m.turning.Lock()
	defer m.turning.Unlock()
	switch target {
	case ferric.PowerOn:
		m.turnOn()
	case ferric.Reboot, ferric.SoftReboot:
		m.note("reboot")
		m.turnOff("off")
		m.turnOn()
	case ferric.SoftPowerOff:
		m.turnOff("off softly")
	default:
		m.turnOff("off")
	}
}

// turnOff takes the power away, noted with this word if it was there.
func (m *machine) turnOff(how string) {
	m.mu.Lock()
	a := m.agent
	if m.on == ferric.PowerOn {
		m.notes = append(m.notes, how)
	}
	m.on, m.agent = ferric.PowerOff, nil
	if m.closes {
		m.deny = false
	}
	m.mu.Unlock()
	if a != nil {
		a.close()
	}
}

func (m *machine) turnOn() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.on == ferric.PowerOn {
		if m.agent != nil { // a running system is not disturbed by it
			m.notes = append(m.notes, "on again")
		}
		return
	}
	m.on = ferric.PowerOn
	switch {
	case m.device == ferric.BootPXE && m.ramdisk.Kernel != "":
		m.notes = append(m.notes, "boots the ramdisk")
		m.agent = newAgent(m, m.ramdisk.Params)
	case m.began["write_image"] > 0 && !slices.Contains(m.notes, "erased"):
		m.notes = append(m.notes, "boots the disk")
	default:
		m.notes = append(m.notes, "boots nothing")
	}
}

// called waits until the agent on the machine, if there is one, has looked its node up.
func (m *machine) called() {
	a := m.running()
	if a == nil {
		return
	}
	for a.ctx.Err() == nil {
		a.mu.Lock()
		done := a.token != ""
		a.mu.Unlock()
		if done {
			return
		}
		time.Sleep(time.Millisecond)
	}
}

// running returns the agent on the machine now.
func (m *machine) running() *agent {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.agent
}
