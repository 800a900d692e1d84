package ipmi

import (
	"context"
	"encoding/json"
	"sync"

	"ferric"
)

// forcedBoot is what a node with ipmi_force_boot_device is to boot from: its BMC forgets the boot device, so that
// it is set at each power-on. It is kept in the drivers' states and so outlives the conductor. Of a node of which
// nothing is known yet, a deployed one boots from its disk, and others from what their operation sets.
type forcedBoot struct {
	Boot    Boot `json:"boot"`
	Known   bool `json:"known,omitempty"`    // Boot was set as persistent
	OneTime bool `json:"one_time,omitempty"` // another device was set for the next boot
}

// forcedState is the name of the state.
const forcedState = "ipmi/forced_boot_device"

// forced reads what is known of a node; noted is false if nothing is.
func (p *Pool) forced(ctx context.Context, n *ferric.Node) (f forcedBoot, noted bool, err error) {
	raw, err := p.opts.States.DriverState(ctx, n.UUID, forcedState)
	if err != nil || len(raw) == 0 {
		return f, false, err
	}
	if err := json.Unmarshal(raw, &f); err != nil {
		return f, false, ferric.Errorf(ferric.CodeInternal, "the boot device that is kept for the node: %w", err)
	}
	return f, true, nil
}

func (p *Pool) keepForced(ctx context.Context, n *ferric.Node, f forcedBoot) error {
	raw, err := json.Marshal(f)
	if err != nil {
		return ferric.Errorf(ferric.CodeInternal, "the boot device to keep for the node: %w", err)
	}
	return p.opts.States.SetDriverState(ctx, n.UUID, forcedState, raw)
}

// force notes a boot device that was set.
func (p *Pool) force(ctx context.Context, n *ferric.Node, boot Boot, persistent bool) error {
	f, _, err := p.forced(ctx, n)
	if err != nil {
		return err
	}
	if persistent {
		f = forcedBoot{Boot: boot, Known: true}
	} else {
		f.OneTime = true
	}
	return p.keepForced(ctx, n, f)
}

// forcedFor returns the device for all boots.
func (p *Pool) forcedFor(ctx context.Context, n *ferric.Node) (Boot, bool, error) {
	f, _, err := p.forced(ctx, n)
	return f.Boot, f.Known && !f.OneTime, err
}

// nextForced returns the device to set before a power-on, if one is to be set: not when the next boot has been
// given a device of its own. once says that it has; booted is to be called when the machine is on.
func (p *Pool) nextForced(ctx context.Context, n *ferric.Node) (boot Boot, set, once bool, err error) {
	f, noted, err := p.forced(ctx, n)
	switch {
	case err != nil:
	case f.OneTime:
		return Boot{}, false, true, nil
	case f.Known:
		return f.Boot, true, false, nil
	case !noted && n.ProvisionState == ferric.Active:
		return Boot{Device: ferric.BootDisk, UEFI: (&Management{}).bootMode(n) == ferric.BootModeUEFI}, true, false, nil
	}
	return Boot{}, false, false, err
}

// booted notes that the device for one boot has been used.
func (p *Pool) booted(ctx context.Context, n *ferric.Node) error {
	f, noted, err := p.forced(ctx, n)
	if err != nil || !noted || !f.OneTime {
		return err
	}
	f.OneTime = false
	return p.keepForced(ctx, n, f)
}

// memory keeps states as long as the process lives, where nothing better is given.
type memory struct{ states sync.Map }

// DriverState implements driver.States.
func (m *memory) DriverState(_ context.Context, node, name string) ([]byte, error) {
	v, _ := m.states.Load(node + "/" + name)
	raw, _ := v.([]byte)
	return raw, nil
}

// SetDriverState implements driver.States.
func (m *memory) SetDriverState(_ context.Context, node, name string, state []byte) error {
	m.states.Store(node+"/"+name, state)
	return nil
}
