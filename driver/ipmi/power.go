package ipmi

import (
	"context"
	"slices"
	"time"

	"ferric"
	"ferric/driver"
)

// How long to wait between looks at the power state of a machine that is changing it, and before a command that
// shows no effect is sent again: some BMCs ignore a power-on that follows a power-off closely.
const (
	defaultPowerPoll = time.Second
	resendAfter      = 15 * time.Second
)

// Power is the power interface "ipmitool".
type Power struct {
	Pool *Pool
	Poll time.Duration // between looks at the power state; default 1 s

	// Background reports whether PowerState is asked by periodic work: see BMC.Periodic. Nil means never.
	Background func(ctx context.Context) bool
}

var _ driver.Power = (*Power)(nil)

// Properties implements driver.Interface.
func (*Power) Properties() map[string]string { return properties() }

// Validate implements driver.Interface.
func (*Power) Validate(_ context.Context, m *driver.Machine) error { return validate(m) }

// PowerState implements driver.Power.
func (p *Power) PowerState(ctx context.Context, m *driver.Machine) (ferric.PowerState, error) {
	b, err := bmcOf(p.Pool, m)
	if err != nil {
		return "", err
	}
	if p.Background != nil && p.Background(ctx) {
		b = b.Periodic()
	}
	return b.PowerState(ctx)
}

// SupportedPowerStates implements driver.Power.
func (*Power) SupportedPowerStates(*driver.Machine) []ferric.PowerState {
	return []ferric.PowerState{ferric.PowerOn, ferric.PowerOff, ferric.Reboot, ferric.SoftReboot, ferric.SoftPowerOff}
}

// SetPowerState implements driver.Power. The timeout counts once for each change of the power state, as in
// Ironic: a reboot has it for off and for on. A node with disable_power_off is reset, and refuses soft reboot.
func (p *Power) SetPowerState(ctx context.Context, m *driver.Machine, target ferric.PowerState, timeout time.Duration) error {
	if !slices.Contains(p.SupportedPowerStates(m), target) {
		return ferric.Errorf(ferric.CodeInvalid, "set power state: %q is not one of %q", target, p.SupportedPowerStates(m))
	}
	b, err := bmcOf(p.Pool, m)
	if err != nil {
		return err
	}
	if timeout <= 0 {
		timeout = p.Pool.opts.OperationTimeout
	}
	off := func(a Action) error { return p.change(ctx, b, a, ferric.PowerOff, timeout) }
	on := func() error {
		once, err := p.forceBootDevice(ctx, m, b)
		if err != nil {
			return err
		}
		if err := p.change(ctx, b, PowerUp, ferric.PowerOn, timeout); err != nil || !once {
			return err
		}
		return p.Pool.booted(ctx, m.Node)
	}
	first := func(a Action) error { // off, then on
		if err := off(a); err != nil {
			return err
		}
		return on()
	}
	switch target {
	case ferric.PowerOn:
		return on()
	case ferric.PowerOff:
		return off(PowerDown)
	case ferric.SoftPowerOff:
		return off(SoftShutdown)
	case ferric.SoftReboot:
		if m.Node.DisablePowerOff {
			return ferric.Errorf(ferric.CodeUnsupported, "soft reboot: IPMI cannot do it without switching the machine off, which disable_power_off forbids")
		}
		return first(SoftShutdown)
	default: // ferric.Reboot
		if m.Node.DisablePowerOff {
			return p.reset(ctx, m, b, timeout)
		}
		return first(PowerDown)
	}
}

// reset restarts a machine that must not be switched off, or starts it if it is off.
func (p *Power) reset(ctx context.Context, m *driver.Machine, b BMC, timeout time.Duration) error {
	now, err := b.PowerState(ctx)
	if err != nil {
		return err
	}
	once, err := p.forceBootDevice(ctx, m, b)
	if err != nil {
		return err
	}
	if now == ferric.PowerOn {
		if err := b.Control(ctx, HardReset); err != nil {
			return err
		}
	}
	if err := p.change(ctx, b, PowerUp, ferric.PowerOn, timeout); err != nil || !once {
		return err
	}
	return p.Pool.booted(ctx, m.Node)
}

// change does a power action and waits until the machine is in the state; nothing is done if it is there.
func (p *Power) change(ctx context.Context, b BMC, action Action, want ferric.PowerState, timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	poll := p.Poll
	if poll <= 0 {
		poll = defaultPowerPoll
	}
	var sent time.Time
	for {
		now, err := b.PowerState(ctx)
		switch {
		case err == nil && now == want:
			return nil
		case err == nil && (sent.IsZero() || action != SoftShutdown && time.Since(sent) >= resendAfter):
			if err := b.Control(ctx, action); err != nil {
				return err
			}
			sent = time.Now()
			continue // it may be done already
		case err != nil && (sent.IsZero() || !passing(err)):
			return err
		}
		if !pause(ctx, poll) {
			if err == nil {
				err = ctx.Err()
			}
			return ferric.Errorf(ferric.CodeTimeout, "%v: BMC %s: the machine is not in state %q after %s: %w", action, b.info.Endpoint(), want, timeout, err)
		}
	}
}

// passing reports whether an error may go away while a machine changes its power state: some BMCs do not answer
// then.
func passing(err error) bool {
	switch ferric.ErrorCode(err) {
	case ferric.CodeUnavailable, ferric.CodeTimeout, ferric.CodeBusy:
		return true
	}
	return false
}

// forceBootDevice sets the boot device again for a machine whose BMC forgets it (ipmi_force_boot_device). once is as nextForced says.
func (p *Power) forceBootDevice(ctx context.Context, m *driver.Machine, b BMC) (once bool, err error) {
	if !b.info.ForceBootDevice {
		return false, nil
	}
	boot, set, once, err := p.Pool.nextForced(ctx, m.Node)
	if err != nil || !set {
		return once, err
	}
	return once, b.SetBoot(ctx, boot)
}

// validate checks a machine's driver_info.
func validate(m *driver.Machine) error {
	_, err := ParseInfo(m.Node.DriverInfo)
	return err
}

func bmcOf(pool *Pool, m *driver.Machine) (BMC, error) {
	info, err := ParseInfo(m.Node.DriverInfo)
	if err != nil {
		return BMC{}, err
	}
	return pool.BMC(info), nil
}

// properties describes the fields of driver_info.
func properties() map[string]string {
	return map[string]string{
		"ipmi_address":              "IP address or host name of the BMC. Required.",
		"ipmi_port":                 "UDP port of the BMC. Default: 623.",
		"ipmi_username":             "User name, at most 16 bytes. Default: the null user.",
		"ipmi_password":             "Password, at most 20 bytes. Default: none.",
		"ipmi_hex_kg_key":           "BMC key (Kg) in hexadecimal, at most 20 bytes, for BMCs that are set up with one. Default: none.",
		"ipmi_priv_level":           "Privilege level of the session: ADMINISTRATOR, OPERATOR, USER or CALLBACK. Default: ADMINISTRATOR.",
		"ipmi_cipher_suite":         "Cipher suite: 17 or 3. Default: those of the configuration are tried in turn.",
		"ipmi_protocol_version":     `Version of the protocol; only "2.0" is supported. Default: 2.0.`,
		"ipmi_bridging":             `Bridged requests; only "no" is supported. Default: no.`,
		"ipmi_local_address":        "Part of ipmi_bridging, which is not supported.",
		"ipmi_transit_channel":      "Part of ipmi_bridging, which is not supported.",
		"ipmi_transit_address":      "Part of ipmi_bridging, which is not supported.",
		"ipmi_target_channel":       "Part of ipmi_bridging, which is not supported.",
		"ipmi_target_address":       "Part of ipmi_bridging, which is not supported.",
		"ipmi_force_boot_device":    "Whether the boot device is set at each power-on, for BMCs that forget it. Default: false.",
		"ipmi_disable_boot_timeout": "Whether the BMC is told to keep the boot device for longer than 60 seconds. Default: as configured.",
		"ipmi_terminal_port":        "TCP port of the serial console on the conductor.",
	}
}
