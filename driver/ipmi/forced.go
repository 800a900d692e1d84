package ipmi

import "ferric"

// forcedBoot is what a node with ipmi_force_boot_device is to boot from: its BMC forgets the boot device, so that
// it is set at each power-on. It is kept in memory; after a restart of the conductor a deployed node boots from
// its disk, and others from what their operation sets.
type forcedBoot struct {
	boot    Boot
	known   bool // boot was set as persistent
	oneTime bool // another device was set for the next boot
}

// force notes a boot device that was set.
func (p *Pool) force(n *ferric.Node, boot Boot, persistent bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f := p.forced[n.UUID]
	if persistent {
		f = forcedBoot{boot: boot, known: true}
	} else {
		f.oneTime = true
	}
	p.forced[n.UUID] = f
}

// forcedFor returns the device for all boots.
func (p *Pool) forcedFor(n *ferric.Node) (Boot, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f := p.forced[n.UUID]
	return f.boot, f.known && !f.oneTime
}

// nextForced returns the device to set before a power-on, if one is to be set: not when the next boot has been
// given a device of its own.
func (p *Pool) nextForced(n *ferric.Node) (Boot, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f, noted := p.forced[n.UUID]
	switch {
	case f.oneTime:
		f.oneTime = false
		p.forced[n.UUID] = f
		return Boot{}, false
	case f.known:
		return f.boot, true
	case !noted && n.ProvisionState == ferric.Active:
		return Boot{Device: ferric.BootDisk, UEFI: (&Management{}).bootMode(n) == ferric.BootModeUEFI}, true
	}
	return Boot{}, false
}
